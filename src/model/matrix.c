/* How the weights of a matrix are stored: the one home of every encoding. docs/FORMAT.md describes them. */
#include <math.h>
#include <string.h>

#include "model/model.h"

enum { OCTET = 2 * PITH_QUAD };

static const struct {
  const char *name;
  bool multiplied;               /* a product reads it; else rows are looked up only */
  uint32_t group_multiple;       /* of group_size; 0: there are no groups */
  uint32_t bits;                 /* of a packed code; 0: codes are not packed */
} encodings[] = {
    [PITH_ENC_F32] = {"f32", true, 0, 0},
    [PITH_ENC_F16] = {"f16", true, 0, 0},
    [PITH_ENC_U7] = {"u7", true, PITH_QUAD, 0},
    [PITH_ENC_U7_BLOCK] = {"u7-block", true, PITH_QUAD, 0},
    [PITH_ENC_U7_SPARSE] = {"u7-sparse", true, PITH_QUAD, 7},
    [PITH_ENC_U7_PACKED] = {"u7-packed", true, PITH_QUAD, 7},
    [PITH_ENC_U6] = {"u6", true, PITH_QUAD, 6},
    [PITH_ENC_U5] = {"u5", true, PITH_QUAD, 5},
    [PITH_ENC_U4] = {"u4", true, OCTET, 0},
    [PITH_ENC_U4_MIN] = {"u4-min", true, OCTET, 0},
    [PITH_ENC_U8_ROW] = {"u8-row", false, 0, 0},
};

const char *pith_encoding_name(pith_encoding encoding) { return encodings[encoding].name; }
bool pith_encoding_multiplied(pith_encoding encoding) { return encodings[encoding].multiplied; }
uint32_t pith_encoding_group_multiple(pith_encoding encoding) { return encodings[encoding].group_multiple; }
uint32_t pith_encoding_bits(pith_encoding encoding) { return encodings[encoding].bits; }
bool pith_encoding_sparse(pith_encoding encoding) { return encoding == PITH_ENC_U7_BLOCK || encoding == PITH_ENC_U7_SPARSE; }
bool pith_encoding_scaled(pith_encoding encoding) { return encodings[encoding].group_multiple == PITH_QUAD || encoding == PITH_ENC_U8_ROW; }

bool pith_encoding_find(const char *name, pith_encoding *out) {
  for (int e = 0; name && e < PITH_N_ENCODINGS; e++)
    if (strcmp(encodings[e].name, name) == 0) {
      *out = (pith_encoding)e;
      return true;
    }
  return false;
}

static uint64_t groups_of(const pith_matrix *m) { return m->group_size ? (m->cols + m->group_size - 1) / m->group_size : 0; }
static uint64_t quads_of(const pith_matrix *m) { return ((uint64_t)m->cols + PITH_QUAD - 1) / PITH_QUAD; }
static uint64_t panels_of(uint64_t n_rows) { return (n_rows + PITH_PANEL - 1) / PITH_PANEL; }

uint32_t pith_matrix_planes(const pith_matrix *m, uint64_t rows, pith_plane out[PITH_MAX_PLANES]) {
  const uint64_t panels = panels_of(rows), cols = m->cols, quads = quads_of(m), groups = groups_of(m);
  switch (m->encoding) {
    case PITH_ENC_F32:
    case PITH_ENC_F16:
      out[0] = (pith_plane){"values", m->encoding == PITH_ENC_F32 ? PITH_F32 : PITH_F16, 3, {panels, cols, PITH_PANEL}};
      return 1;
    case PITH_ENC_U7:
      out[0] = (pith_plane){"codes", PITH_U8, 4, {panels, quads, PITH_PANEL, PITH_QUAD}};
      out[1] = (pith_plane){"scales", m->scale_dtype, 3, {panels, groups, PITH_PANEL}};
      return 2;
    case PITH_ENC_U7_BLOCK:
      out[0] = (pith_plane){"codes", PITH_U8, 3, {PITH_ANY, PITH_PANEL, PITH_QUAD}};
      out[1] = (pith_plane){"scales", m->scale_dtype, 3, {panels, groups, PITH_PANEL}};
      out[2] = (pith_plane){"places", PITH_U8, 2, {panels, (quads + 7) / 8}};
      return 3;
    case PITH_ENC_U7_SPARSE:
      out[0] = (pith_plane){"codes", PITH_U8, 1, {PITH_ANY}};
      out[1] = (pith_plane){"scales", m->scale_dtype, 3, {panels, groups, PITH_PANEL}};
      out[2] = (pith_plane){"places", PITH_U8, 3, {panels, quads, PITH_BLOCK / 8}};
      return 3;
    case PITH_ENC_U7_PACKED:
    case PITH_ENC_U6:
    case PITH_ENC_U5:
      out[0] = (pith_plane){"codes", PITH_U8, 3, {panels, quads, PITH_BLOCK / 8 * encodings[m->encoding].bits}};
      out[1] = (pith_plane){"scales", m->scale_dtype, 3, {panels, groups, PITH_PANEL}};
      return 2;
    case PITH_ENC_U4:
      out[0] = (pith_plane){"codes", PITH_U8, 4, {panels, (cols + OCTET - 1) / OCTET, PITH_PANEL, PITH_QUAD}};
      out[1] = (pith_plane){"scales", PITH_U8, 3, {panels, groups, PITH_U4_GROUP_BYTES}};
      return 2;
    case PITH_ENC_U4_MIN:
      out[0] = (pith_plane){"codes", PITH_U8, 4, {panels, (cols + OCTET - 1) / OCTET, PITH_PANEL, PITH_QUAD}};
      out[1] = (pith_plane){"scales", PITH_F16, 4, {panels, groups, 2, PITH_PANEL}};
      return 2;
    case PITH_ENC_U8_ROW: break;
  }
  out[0] = (pith_plane){"codes", PITH_U8, 2, {rows, cols}};
  out[1] = (pith_plane){"scales", m->scale_dtype, 1, {rows}};
  return 2;
}

static uint64_t plane_bytes(const pith_plane *plane) {
  uint64_t n = pith_dtype_bytes(plane->dtype);
  for (uint32_t d = 0; d < plane->n_dims; d++) n *= plane->dims[d];
  return n;
}

uint64_t pith_matrix_code_bytes(const pith_matrix *m, uint64_t n_rows) {
  pith_plane planes[PITH_MAX_PLANES];
  pith_matrix_planes(m, n_rows, planes);
  return plane_bytes(&planes[0]);
}

uint64_t pith_matrix_scale_bytes(const pith_matrix *m, uint64_t n_rows) {
  pith_plane planes[PITH_MAX_PLANES];
  return pith_matrix_planes(m, n_rows, planes) > 1 ? plane_bytes(&planes[1]) : 0;
}

/* ---- sparse, packed ---- */

uint64_t pith_matrix_place_bytes(const pith_matrix *m, uint64_t n_rows) {
  return panels_of(n_rows) * (m->encoding == PITH_ENC_U7_BLOCK ? (quads_of(m) + 7) / 8 : quads_of(m) * (PITH_BLOCK / 8));
}

/* Whether a panel's block of that quad is stored, or a block's code. */
static bool is_stored(const uint8_t *mask, uint64_t i) { return mask[i / 8] >> i % 8 & 1; }

uint64_t pith_matrix_stored_bytes(const pith_matrix *m, uint64_t n_rows, const uint8_t *places) {
  const uint64_t bits = m->encoding == PITH_ENC_U7_BLOCK ? PITH_BLOCK * 8 : encodings[m->encoding].bits, n = pith_matrix_place_bytes(m, PITH_PANEL);
  uint64_t n_bytes = 0;
  for (uint64_t panel = 0; panel < panels_of(n_rows); panel++) {
    uint64_t n_stored = 0;
    for (uint64_t i = 0; i < n; i++) n_stored += (uint64_t)__builtin_popcount(*places++);
    n_bytes += (n_stored * bits + 7) / 8;
  }
  return n_bytes;
}

/* One panel; returns where the next one's codes are stored. A function that is called often, so that an engine gets to run what it has optimised. */
__attribute__((noinline)) static const uint8_t *expand_panel(const pith_matrix *m, const uint8_t *places, const uint8_t *stored, uint8_t *codes, uint32_t *left) {
  const uint64_t quads = quads_of(m);
  const uint32_t bits = encodings[m->encoding].bits, low = (1u << bits) - 1, shift = PITH_U7_ZERO - (1u << bits >> 1);
  const bool sparse = m->encoding == PITH_ENC_U7_SPARSE;
  uint32_t window = 0, n_bits = 0;   /* bits that were read and not used yet */
  for (uint64_t q = 0; q < quads; q++, codes += PITH_BLOCK) {
    uint8_t block[PITH_BLOCK];   /* stored codes may lie where codes go */
    memset(block, PITH_U7_ZERO, PITH_BLOCK);
    if (bits == 0 && is_stored(places, q)) {
      memcpy(block, stored, PITH_BLOCK);
      stored += PITH_BLOCK;
    }
    for (uint32_t k = 0; bits != 0 && k < PITH_BLOCK; k++) {
      if (sparse && !is_stored(places, q * PITH_BLOCK + k)) continue;
      if (n_bits < bits) {   /* at most 14 */
        window |= (uint32_t)*stored++ << n_bits;
        n_bits += 8;
      }
      block[k] = (uint8_t)(shift + (window & low));
      window >>= bits;
      n_bits -= bits;
    }
    memcpy(codes, block, PITH_BLOCK);
  }
  *left |= window;
  return stored;
}

bool pith_matrix_expand(const pith_matrix *m, uint64_t n_rows, const uint8_t *places, const uint8_t *stored, uint8_t *codes) {
  const uint64_t n_places = pith_matrix_place_bytes(m, PITH_PANEL), n_codes = quads_of(m) * PITH_BLOCK;
  uint32_t left = 0;   /* bits of panels' last bytes */
  for (uint64_t panel = 0; panel < panels_of(n_rows); panel++) stored = expand_panel(m, places ? places + panel * n_places : NULL, stored, codes + panel * n_codes, &left);
  return left == 0;
}

void pith_matrix_index_blocks(const pith_matrix *m, const pith_part *part, uint16_t *quads, uint32_t *starts) {
  const uint64_t n_quads = quads_of(m), mask_bytes = (n_quads + 7) / 8, per_group = m->group_size / PITH_QUAD;
  uint32_t n = 0;
  for (uint64_t panel = 0; panel < panels_of(part->n_rows); panel++)
    for (uint64_t q = 0; q < n_quads; q++) {
      if (q % per_group == 0) *starts++ = n;
      if (is_stored(part->places + panel * mask_bytes, q)) quads[n++] = (uint16_t)q;
    }
  *starts = n;
}

const char *pith_matrix_places_fault(const pith_matrix *m, uint64_t n_rows, const uint8_t *places, uint64_t n_stored) {
  const uint64_t n_bytes = pith_matrix_place_bytes(m, n_rows), quads = quads_of(m), mask_bytes = (quads + 7) / 8;
  bool fault = false;
  if (m->encoding == PITH_ENC_U7_BLOCK)
    for (uint64_t i = mask_bytes; quads % 8 != 0 && i <= n_bytes; i += mask_bytes) fault = fault || places[i - 1] >> quads % 8 != 0;
  if (fault) return "has blocks past its last column";
  if (pith_matrix_stored_bytes(m, n_rows, places) != n_stored) return "stores another number of codes than its places say";
  return NULL;
}

static bool all_finite(const void *data, pith_dtype dtype, uint64_t n) {
  bool finite = true;
  if (dtype == PITH_F16) {
    for (uint64_t i = 0; i < n; i++) finite = finite && (((const uint16_t *)data)[i] & 0x7c00) != 0x7c00;
  } else {
    for (uint64_t i = 0; i < n; i++) finite = finite && isfinite(((const float *)data)[i]);
  }
  return finite;
}

/* Eight codes at a time: a package's opening looks at all of them, in code that the engine has not optimised yet. */
static bool all_seven_bits(const uint8_t *codes, uint64_t n) {
  uint64_t seen = 0, eight;
  uint64_t i = 0;
  for (; i + sizeof eight <= n; i += sizeof eight) {
    memcpy(&eight, codes + i, sizeof eight);
    seen |= eight;
  }
  for (; i < n; i++) seen |= codes[i];
  return (seen & 0x8080808080808080u) == 0;
}

/* The halves at the head of each group of u4 scales. */
static bool u4_scales_finite(const uint8_t *scales, uint64_t n_groups) {
  bool finite = true;
  for (uint64_t g = 0; g < n_groups; g++, scales += PITH_U4_GROUP_BYTES)
    for (int o = 0; o < PITH_PANEL; o++) finite = finite && (scales[2 * o + 1] & 0x7c) != 0x7c;
  return finite;
}

const char *pith_matrix_fault(const pith_matrix *m, const pith_part *part) {
  pith_plane planes[PITH_MAX_PLANES];
  const uint32_t n_planes = pith_matrix_planes(m, part->n_rows, planes);
  if (n_planes == 1)
    return all_finite(part->codes, planes[0].dtype, plane_bytes(&planes[0]) / pith_dtype_bytes(planes[0].dtype)) ? NULL : "holds a value that is not finite";
  const bool sparse = pith_encoding_sparse(m->encoding);
  const char *fault = sparse ? pith_matrix_places_fault(m, part->n_rows, part->places, part->n_stored) : NULL;
  if (fault) return fault;
  const uint64_t n_codes = sparse ? part->n_stored : plane_bytes(&planes[0]), n_bytes = plane_bytes(&planes[1]);
  if ((m->encoding == PITH_ENC_U7_BLOCK || m->encoding == PITH_ENC_U7) && !all_seven_bits(part->codes, n_codes)) return "has codes above 127";
  const bool finite = m->encoding == PITH_ENC_U4 ? u4_scales_finite(part->scales, n_bytes / PITH_U4_GROUP_BYTES)
                                                 : all_finite(part->scales, planes[1].dtype, n_bytes / pith_dtype_bytes(planes[1].dtype));
  return finite ? NULL : "has a scale that is not finite";
}

static float scale_at(const pith_matrix *m, const void *scales, size_t at) {
  return m->scale_dtype == PITH_F16 ? pith_f16_to_f32(((const uint16_t *)scales)[at]) : ((const float *)scales)[at];
}

static void row_u7(const pith_matrix *m, const pith_part *part, size_t panel, size_t lane, float *dst) {
  const size_t cols = m->cols, n_quads = (cols + PITH_QUAD - 1) / PITH_QUAD, n_groups = (size_t)groups_of(m);
  const uint8_t *w = (const uint8_t *)part->codes + (panel * n_quads * PITH_PANEL + lane) * PITH_QUAD;
  for (size_t g = 0, k = 0; g < n_groups; g++) {
    const float scale = scale_at(m, part->scales, (panel * n_groups + g) * PITH_PANEL + lane);
    for (; k < cols && k < (g + 1) * m->group_size; k++)
      dst[k] = (float)(w[k / PITH_QUAD * PITH_PANEL * PITH_QUAD + k % PITH_QUAD] - PITH_U7_ZERO) * scale;
  }
}

static void row_block(const pith_matrix *m, const pith_part *part, size_t panel, size_t lane, float *dst) {
  const size_t cols = m->cols, n_groups = (size_t)groups_of(m);
  memset(dst, 0, cols * sizeof *dst);
  for (size_t g = panel * n_groups; g < (panel + 1) * n_groups; g++) {
    const float scale = scale_at(m, part->scales, g * PITH_PANEL + lane);
    for (size_t b = part->starts[g]; b < part->starts[g + 1]; b++) {
      const uint8_t *w = (const uint8_t *)part->codes + b * PITH_BLOCK + lane * PITH_QUAD;
      const size_t k = (size_t)part->quads[b] * PITH_QUAD;
      for (size_t i = 0; i < PITH_QUAD && k + i < cols; i++) dst[k + i] = (float)(w[i] - PITH_U7_ZERO) * scale;
    }
  }
}

static void row_u4(const pith_matrix *m, const pith_part *part, size_t panel, size_t lane, float *dst) {
  const size_t cols = m->cols, n_octets = (cols + OCTET - 1) / OCTET, n_groups = (size_t)groups_of(m);
  const uint8_t *w = (const uint8_t *)part->codes + (panel * n_octets * PITH_PANEL + lane) * PITH_QUAD;
  for (size_t g = 0, k = 0; g < n_groups; g++) {
    float scale, minimum;
    if (m->encoding == PITH_ENC_U4_MIN) {
      const uint16_t *halves = (const uint16_t *)part->scales + (panel * n_groups + g) * 2 * PITH_PANEL + lane;
      scale = pith_f16_to_f32(halves[0]);
      minimum = pith_f16_to_f32(halves[PITH_PANEL]);
    } else {
      const uint8_t *group = (const uint8_t *)part->scales + (panel * n_groups + g) * PITH_U4_GROUP_BYTES;
      const int zeros = group[16 + lane % 4];
      scale = pith_f16_to_f32((uint16_t)(group[2 * lane] | group[2 * lane + 1] << 8));
      minimum = -(float)(lane < 4 ? zeros & 15 : zeros >> 4) * scale;
    }
    for (; k < cols && k < (g + 1) * m->group_size; k++) {
      const int both = w[k / OCTET * PITH_PANEL * PITH_QUAD + k % PITH_QUAD];
      dst[k] = (float)(k % OCTET < PITH_QUAD ? both & 15 : both >> 4) * scale + minimum;
    }
  }
}

void pith_matrix_row(const pith_matrix *m, uint32_t row, float *dst) {
  const pith_part *part = m->parts;
  while (row >= part->row_begin + part->n_rows) part++;
  const size_t r = row - part->row_begin, cols = m->cols, panel = r / PITH_PANEL, lane = r % PITH_PANEL;
  switch (m->encoding) {
    case PITH_ENC_F32: {
      const float *w = (const float *)part->codes + panel * cols * PITH_PANEL + lane;
      for (size_t k = 0; k < cols; k++) dst[k] = w[k * PITH_PANEL];
      return;
    }
    case PITH_ENC_F16: {
      const uint16_t *w = (const uint16_t *)part->codes + panel * cols * PITH_PANEL + lane;
      for (size_t k = 0; k < cols; k++) dst[k] = pith_f16_to_f32(w[k * PITH_PANEL]);
      return;
    }
    case PITH_ENC_U7: row_u7(m, part, panel, lane, dst); return;
    case PITH_ENC_U7_BLOCK: row_block(m, part, panel, lane, dst); return;
    case PITH_ENC_U4:
    case PITH_ENC_U4_MIN: row_u4(m, part, panel, lane, dst); return;
    case PITH_ENC_U7_SPARSE:   /* in memory these are u7 */
    case PITH_ENC_U7_PACKED:
    case PITH_ENC_U6:
    case PITH_ENC_U5:
    case PITH_ENC_U8_ROW: break;
  }
  const uint8_t *w = (const uint8_t *)part->codes + r * cols;
  const float scale = scale_at(m, part->scales, r);
  for (size_t k = 0; k < cols; k++) dst[k] = (float)(w[k] - 128) * scale;
}
