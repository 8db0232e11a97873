/* How the weights of a matrix are stored: the one home of every encoding. docs/FORMAT.md describes them. */
#include <math.h>
#include <string.h>

#include "model/model.h"

enum { OCTET = 2 * PITH_QUAD };

static const struct {
  const char *name;
  bool multiplied;               /* a product reads it; else rows are looked up only */
  uint32_t group_multiple;       /* of group_size; 0: there are no groups */
} encodings[] = {
    [PITH_ENC_F32] = {"f32", true, 0},
    [PITH_ENC_F16] = {"f16", true, 0},
    [PITH_ENC_U7] = {"u7", true, PITH_QUAD},
    [PITH_ENC_U4] = {"u4", true, OCTET},
    [PITH_ENC_U4_MIN] = {"u4-min", true, OCTET},
    [PITH_ENC_U8_ROW] = {"u8-row", false, 0},
};

const char *pith_encoding_name(pith_encoding encoding) { return encodings[encoding].name; }
bool pith_encoding_multiplied(pith_encoding encoding) { return encodings[encoding].multiplied; }
uint32_t pith_encoding_group_multiple(pith_encoding encoding) { return encodings[encoding].group_multiple; }
bool pith_encoding_scaled(pith_encoding encoding) { return encoding == PITH_ENC_U7 || encoding == PITH_ENC_U8_ROW; }

bool pith_encoding_find(const char *name, pith_encoding *out) {
  for (int e = 0; name && e < PITH_N_ENCODINGS; e++)
    if (strcmp(encodings[e].name, name) == 0) {
      *out = (pith_encoding)e;
      return true;
    }
  return false;
}

static uint64_t groups_of(const pith_matrix *m) { return m->group_size ? (m->cols + m->group_size - 1) / m->group_size : 0; }

uint32_t pith_matrix_planes(const pith_matrix *m, uint64_t rows, pith_plane out[2]) {
  const uint64_t panels = (rows + PITH_PANEL - 1) / PITH_PANEL, cols = m->cols, quads = (cols + PITH_QUAD - 1) / PITH_QUAD, groups = groups_of(m);
  switch (m->encoding) {
    case PITH_ENC_F32:
    case PITH_ENC_F16:
      out[0] = (pith_plane){"values", m->encoding == PITH_ENC_F32 ? PITH_F32 : PITH_F16, 3, {panels, cols, PITH_PANEL}};
      return 1;
    case PITH_ENC_U7:
      out[0] = (pith_plane){"codes", PITH_U8, 4, {panels, quads, PITH_PANEL, PITH_QUAD}};
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
  pith_plane planes[2];
  pith_matrix_planes(m, n_rows, planes);
  return plane_bytes(&planes[0]);
}

uint64_t pith_matrix_scale_bytes(const pith_matrix *m, uint64_t n_rows) {
  pith_plane planes[2];
  return pith_matrix_planes(m, n_rows, planes) > 1 ? plane_bytes(&planes[1]) : 0;
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

const char *pith_matrix_fault(const pith_matrix *m, uint64_t n_rows, const void *codes, const void *scales) {
  pith_plane planes[2];
  const uint32_t n_planes = pith_matrix_planes(m, n_rows, planes);
  if (n_planes == 1)
    return all_finite(codes, planes[0].dtype, plane_bytes(&planes[0]) / pith_dtype_bytes(planes[0].dtype)) ? NULL : "holds a value that is not finite";
  if (m->encoding == PITH_ENC_U7 && !all_seven_bits(codes, plane_bytes(&planes[0]))) return "has codes above 127";
  const uint64_t n_bytes = plane_bytes(&planes[1]);
  const bool finite = m->encoding == PITH_ENC_U4 ? u4_scales_finite(scales, n_bytes / PITH_U4_GROUP_BYTES)
                                                 : all_finite(scales, planes[1].dtype, n_bytes / pith_dtype_bytes(planes[1].dtype));
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
    case PITH_ENC_U4:
    case PITH_ENC_U4_MIN: row_u4(m, part, panel, lane, dst); return;
    case PITH_ENC_U8_ROW: break;
  }
  const uint8_t *w = (const uint8_t *)part->codes + r * cols;
  const float scale = scale_at(m, part->scales, r);
  for (size_t k = 0; k < cols; k++) dst[k] = (float)(w[k] - 128) * scale;
}
