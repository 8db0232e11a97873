/* One tensor into a package: read by ranges, quantised panel by panel, split into parts that fit a shard. */
#include <math.h>
#include <string.h>

#include "base/format.h"
#include "compress/compress.h"
#include "compress/quantize.h"

enum {
  STEP_WEIGHTS = 1 << 16,   /* about this many weights a step and thread */
  Q4_GROUP = 32             /* GGUF's Q4_0 and Q4_1 */
};
#define WEIGHT_NS 60.0              /* to find a weight's scale and code, roughly */

static bool is_vector(const pith_tensor_encoder *t) { return t->slot->role == PITH_ROLE_VECTOR; }

static uint64_t code_bytes(const pith_tensor_encoder *t, uint64_t rows) {
  return is_vector(t) ? rows * t->slot->cols * sizeof(float) : pith_matrix_code_bytes(&t->matrix, rows);   /* a vector is one row */
}

static uint64_t scale_bytes(const pith_tensor_encoder *t, uint64_t rows) { return is_vector(t) ? 0 : pith_matrix_scale_bytes(&t->matrix, rows); }

/* As the package has it. */
static pith_matrix stored_matrix(const pith_tensor_encoder *t) {
  pith_matrix stored = t->matrix;
  stored.encoding = t->stored;
  return stored;
}

static uint64_t place_bytes(const pith_tensor_encoder *t, uint64_t rows) {
  const pith_matrix stored = stored_matrix(t);
  return pith_encoding_sparse(t->stored) ? pith_matrix_place_bytes(&stored, rows) : 0;
}

/* All of a part at most: how many codes a sparse one stores shows when it is there. */
static uint64_t part_bytes(const pith_tensor_encoder *t, uint64_t rows) {
  const pith_matrix stored = stored_matrix(t);
  const uint64_t n_codes = pith_encoding_bits(t->stored) && !pith_encoding_sparse(t->stored) ? pith_matrix_code_bytes(&stored, rows) : code_bytes(t, rows);
  return n_codes + scale_bytes(t, rows) + place_bytes(t, rows);
}

/* Parts of equal height, in multiples of 8 rows, each with its scales within a shard. */
static pith_status plan_parts(pith_ctx *ctx, pith_tensor_encoder *t, uint64_t shard_bytes) {
  const uint64_t rows = t->slot->rows, whole = part_bytes(t, rows);
  uint64_t n_parts = (whole + shard_bytes - 1) / shard_bytes, height = rows;
  if (is_vector(t) || n_parts < 1) n_parts = 1;
  for (; n_parts > 1; n_parts++) {
    height = pith_round_up((size_t)((rows + n_parts - 1) / n_parts), PITH_PANEL);
    if (height == PITH_PANEL || part_bytes(t, height) + (PITH_MAX_PLANES - 1) * PITH_ALIGN <= shard_bytes) break;
  }
  t->part_rows = (uint32_t)height;
  t->n_parts = (uint32_t)((rows + height - 1) / height);
  t->n_code_bytes = code_bytes(t, height);
  t->n_scale_bytes = scale_bytes(t, height);
  PITH_TRY(pith_malloc(ctx, (size_t)t->n_code_bytes, &t->codes));
  PITH_TRY(pith_malloc(ctx, (size_t)place_bytes(t, height), &t->places));
  return pith_malloc(ctx, (size_t)t->n_scale_bytes, &t->scales);
}

/* Made as u7, and packed when a part is whole. */
static bool is_packed(const pith_tensor_encoder *t) { return pith_encoding_made(t->stored) != t->stored; }

static pith_status begin_dropping(pith_ctx *ctx, pith_tensor_encoder *t, const pith_sparsity *sparsity) {
  const size_t n_threads = pith_parallel_threads(ctx->parallel), cols = t->slot->cols;
  float *scores;
  uint8_t *dropped;
  PITH_TRY(pith_calloc(ctx, n_threads, sizeof *t->dropping, &t->dropping));
  PITH_TRY(pith_calloc(ctx, n_threads, cols * sizeof *scores, &scores));
  t->dropping->scores = scores;
  PITH_TRY(pith_calloc(ctx, n_threads, PITH_PANEL * cols, &dropped));
  for (size_t i = 0; i < n_threads; i++) t->dropping[i] = (pith_dropping){*sparsity, scores + i * cols, dropped + i * PITH_PANEL * cols};
  return PITH_OK;
}

/* 4-bit codes that the checkpoint has as the package will. */
static bool takes_q4(const pith_tensor_entry *entry, const pith_edit *edit, const pith_recipe_rule *rule) {
  return !(edit && edit->values) && rule->encoding == PITH_ENC_U4_MIN && rule->group_size == Q4_GROUP && (entry->dtype == PITH_Q4_0 || entry->dtype == PITH_Q4_1);
}

bool pith_tensor_encoder_rounds(const pith_checkpoint *checkpoint, const pith_slot *from, const pith_edit *edit, const pith_recipe_rule *rule) {
  const pith_checkpoint_file *file;
  const pith_tensor_entry *entry;
  if (pith_encoding_group_multiple(rule->encoding) == 0) return false;
  return !pith_checkpoint_slot(checkpoint, from, &file, &entry) || !takes_q4(entry, edit, rule);
}

pith_status pith_tensor_encoder_open(pith_ctx *ctx, pith_tensor_encoder *t, const pith_checkpoint *checkpoint, const pith_slot *slot,
                                     const pith_slot *from, const pith_edit *edit, const pith_recipe_rule *rule, pith_calibration *calibration, uint64_t shard_bytes) {
  memset(t, 0, sizeof *t);
  t->edited = edit ? edit->values : NULL;
  if (!t->edited) PITH_TRY(pith_checkpoint_need(ctx, checkpoint, from, &t->file, &t->entry));
  else if (edit->cols != slot->cols || (edit->rows != slot->rows && slot->role != PITH_ROLE_VECTOR)) return pith_fail(ctx, PITH_E_INTERNAL, "tensor \"%s\" was edited to another shape", slot->name);
  t->slot = slot;
  t->matrix = (pith_matrix){PITH_ENC_F32, PITH_F32, slot->rows, slot->cols, 0, 0, NULL};   /* F32 scales until the scan says otherwise: room for them */
  if (!is_vector(t)) {
    if (rule->encoding == PITH_ENC_U7_BLOCK && slot->cols > PITH_MAX_BLOCK_COLS)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "tensor \"%s\" has more than %d columns, which u7-block cannot have", slot->name, PITH_MAX_BLOCK_COLS);
    t->stored = rule->encoding;
    t->matrix.encoding = pith_encoding_made(rule->encoding);
    t->matrix.group_size = rule->group_size || pith_encoding_group_multiple(rule->encoding) == 0 ? rule->group_size : (uint32_t)pith_round_up(slot->cols, PITH_QUAD);
    t->scanning = pith_encoding_scaled(rule->encoding);
  }
  t->parts = pith_json_new_array();
  const uint64_t wished = (uint64_t)STEP_WEIGHTS * pith_parallel_threads(ctx->parallel) / slot->cols / PITH_PANEL * PITH_PANEL;
  const uint64_t whole = pith_round_up(slot->rows, PITH_PANEL);
  t->batch_rows = (uint32_t)(wished < PITH_PANEL ? PITH_PANEL : wished < whole ? wished : whole);
  PITH_TRY(pith_malloc(ctx, (size_t)t->batch_rows * slot->cols * sizeof *t->rows, &t->rows));
  if (!is_vector(t) && rule->sparsity.form != PITH_SPARSITY_NONE) PITH_TRY(begin_dropping(ctx, t, &rule->sparsity));
  if (!is_vector(t) && takes_q4(&t->entry, edit, rule)) {
    const size_t n = (size_t)t->batch_rows * slot->cols;
    PITH_TRY(pith_malloc(ctx, n, &t->q4_codes));
    PITH_TRY(pith_malloc(ctx, n / Q4_GROUP * sizeof *t->q4_scales, &t->q4_scales));
    PITH_TRY(pith_malloc(ctx, n / Q4_GROUP * sizeof *t->q4_mins, &t->q4_mins));
  }
  t->calibration = calibration;
  t->rounded = calibration && pith_tensor_encoder_rounds(checkpoint, from, edit, rule);
  return plan_parts(ctx, t, shard_bytes);
}

/* Reads a batch at t->row, within the part. */
static pith_status read_rows(pith_ctx *ctx, pith_tensor_encoder *t, size_t *n) {
  const uint64_t end = !t->scanning && t->part_begin + t->part_rows < t->slot->rows ? t->part_begin + t->part_rows : t->slot->rows, left = end - t->row;
  *n = left < t->batch_rows ? (size_t)left : t->batch_rows;
  if (t->q4_codes) return pith_checkpoint_read_q4(ctx, t->file, &t->entry, t->row, *n, t->q4_codes, t->q4_scales, t->q4_mins);
  if (!t->edited) return pith_checkpoint_read(ctx, t->file, &t->entry, t->row * t->slot->cols, *n * t->slot->cols, t->rows);
  memcpy(t->rows, t->edited + (size_t)t->row * t->slot->cols, *n * t->slot->cols * sizeof *t->rows);
  return PITH_OK;
}

typedef struct batch {
  const pith_tensor_encoder *t;
  size_t n_rows;
  bool overflow[PITH_MAX_THREADS];   /* a value that f16 cannot hold, by thread */
} batch;

/* One panel, the batch's rows [row, row + n). codes, scales: of the panel. False: f16 cannot hold it. */
static bool encode_panel(const pith_tensor_encoder *t, size_t row, size_t n, uint8_t *codes, uint8_t *scales, uint32_t thread) {
  const size_t cols = t->slot->cols, group_size = t->matrix.group_size;
  float *rows = t->rows + row * cols, *panel = (float *)(void *)codes;
  const pith_rounding minding = t->rounded ? pith_calibration_rounding(t->calibration, thread) : (pith_rounding){0}, *rounding = t->rounded ? &minding : NULL;
  const pith_dropping *dropping = t->dropping ? &t->dropping[thread] : NULL;
  switch (t->matrix.encoding) {
    case PITH_ENC_U7: pith_quantize_u7_panel(n, cols, group_size, pith_u7_levels(t->stored), rows, t->matrix.scale_dtype, codes, scales, rounding, dropping); return true;
    case PITH_ENC_U8_ROW: pith_quantize_u8_rows(n, cols, rows, t->matrix.scale_dtype, codes, scales); return true;
    case PITH_ENC_U4: return pith_quantize_u4_panel(n, cols, group_size, rows, codes, scales, rounding);
    case PITH_ENC_U4_MIN:
      if (!t->q4_codes) return pith_quantize_u4_min_panel(n, cols, group_size, rows, codes, (uint16_t *)(void *)scales, rounding);
      pith_pack_u4_min_panel(n, cols, group_size, t->q4_codes + row * cols, t->q4_scales + row * (cols / Q4_GROUP), t->q4_mins + row * (cols / Q4_GROUP), codes,
                             (uint16_t *)(void *)scales);
      return true;
    case PITH_ENC_F16: return pith_convert_f16_panel(n, cols, rows, (uint16_t *)(void *)codes);
    case PITH_ENC_U7_BLOCK:   /* quantised as u7, packed by parts */
    case PITH_ENC_U7_SPARSE:
    case PITH_ENC_U7_PACKED:
    case PITH_ENC_U6:
    case PITH_ENC_U5:
    case PITH_ENC_F32: break;
  }
  if (is_vector(t)) memcpy(panel, rows, cols * sizeof *panel);
  for (size_t k = 0; !is_vector(t) && k < cols; k++)
    for (size_t r = 0; r < PITH_PANEL; r++) panel[k * PITH_PANEL + r] = r < n ? rows[r * cols + k] : 0.0f;
  return true;
}

static void encode_panels(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  batch *b = arg;
  const pith_tensor_encoder *t = b->t;
  const size_t n_panels = (b->n_rows + PITH_PANEL - 1) / PITH_PANEL, past = pith_share_end(n_panels, part, n_parts) * PITH_PANEL;
  const size_t at = (size_t)(t->row - t->part_begin), end = past < b->n_rows ? past : b->n_rows;
  for (size_t row = pith_share_begin(n_panels, part, n_parts) * PITH_PANEL; row < end; row += PITH_PANEL) {
    const size_t n = end - row < PITH_PANEL ? end - row : PITH_PANEL;
    uint8_t *codes = t->codes + code_bytes(t, at + row), *scales = t->scales + scale_bytes(t, at + row);
    if (!encode_panel(t, row, n, codes, scales, thread)) b->overflow[thread] = true;
  }
}

static pith_status encode_rows(pith_ctx *ctx, pith_tensor_encoder *t, size_t n) {
  batch b = {.t = t, .n_rows = n};
  const size_t n_panels = (n + PITH_PANEL - 1) / PITH_PANEL;
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, n_panels, t->slot->cols * PITH_PANEL * WEIGHT_NS), encode_panels, &b);
  for (int i = 0; i < PITH_MAX_THREADS; i++)
    if (b.overflow[i])
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "tensor \"%s\" holds a value that half precision cannot (above 65504): use another recipe", t->slot->name);
  return PITH_OK;
}

/* Names: the Hub's own; its parts carry their rows. */
static void part_name(const pith_tensor_encoder *t, uint32_t rows, const char *kind, char *out, size_t capacity) {
  if (is_vector(t)) pith_snprintf(out, capacity, "%s", t->slot->name);
  else if (t->n_parts == 1) pith_snprintf(out, capacity, "%s.%s", t->slot->name, kind);
  else pith_snprintf(out, capacity, "%s.rows-%u-%u.%s", t->slot->name, t->part_begin, t->part_begin + rows, kind);
}

static pith_status write_part(pith_ctx *ctx, pith_tensor_encoder *t, pith_package_writer *writer) {
  const uint32_t rows = (uint32_t)(t->row - t->part_begin);
  const bool vector = is_vector(t);
  const pith_matrix stored = stored_matrix(t);
  pith_plane planes[PITH_MAX_PLANES] = {{"values", PITH_F32, 1, {t->slot->cols}}};
  const uint32_t n_planes = vector ? 1 : pith_matrix_planes(&stored, rows, planes);
  uint64_t bytes[PITH_MAX_PLANES] = {code_bytes(t, rows), scale_bytes(t, rows), place_bytes(t, rows)}, left = 0;
  if (!writer) {
    t->part_begin += rows;
    return PITH_OK;
  }
  if (t->calibration) {   /* before it is packed */
    pith_matrix learned = t->matrix;
    learned.n_parts = t->n_parts;
    const pith_part dense = {.row_begin = t->part_begin, .n_rows = rows, .codes = t->codes, .scales = t->scales};
    PITH_TRY(pith_calibration_learn(ctx, t->calibration, t->slot->id, &learned, t->part++, &dense));
  }
  const uint8_t *const data[PITH_MAX_PLANES] = {t->codes, t->scales, t->places};
  static const char *const keys[PITH_MAX_PLANES] = {"codes", "scales", "places"};
  if (!vector && is_packed(t)) bytes[0] = pith_pack_codes(&stored, rows, t->codes, t->places);
  if (planes[0].dims[0] == PITH_ANY) planes[0].dims[0] = planes[0].n_dims > 1 ? bytes[0] / PITH_BLOCK : bytes[0];
  for (uint32_t i = 1; i < n_planes; i++) left += bytes[i] + PITH_ALIGN;
  char name[PITH_MAX_NAME + 64];
  uint32_t shard;
  pith_json *part = pith_json_new_object();
  for (uint32_t i = 0; i < n_planes; i++) {
    part_name(t, rows, planes[i].kind, name, sizeof name);
    const pith_status status = pith_package_writer_add(ctx, writer, name, planes[i].dtype, planes[i].dims, planes[i].n_dims, data[i], bytes[i], left, &shard);
    if (i + 1 < n_planes) left -= bytes[i + 1] + PITH_ALIGN;
    if (status != PITH_OK) {
      pith_json_free(part);
      return status;
    }
    if (i == 0) pith_json_add_number(part, "shard", shard);
    if (i == 0 && !vector) {
      pith_json *range = pith_json_new_array();
      pith_json_add_number(range, NULL, t->part_begin);
      pith_json_add_number(range, NULL, t->part_begin + rows);
      pith_json_add(part, "rows", range);
    }
    pith_json_add_string(part, keys[i], name);
  }
  pith_json_add(t->parts, NULL, part);
  t->part_begin += rows;
  return PITH_OK;
}

pith_status pith_tensor_encoder_step(pith_ctx *ctx, pith_tensor_encoder *t, pith_package_writer *writer) {
  size_t n;
  PITH_TRY(read_rows(ctx, t, &n));
  if (t->scanning)
    for (size_t i = 0; i < n * t->slot->cols; i++) t->absmax = fmaxf(t->absmax, fabsf(t->rows[i]));
  else PITH_TRY(encode_rows(ctx, t, n));
  t->row += n;
  if (!t->scanning && (t->row == t->slot->rows || t->row - t->part_begin == t->part_rows)) PITH_TRY(write_part(ctx, t, writer));
  if (t->row < t->slot->rows) return PITH_PENDING;
  if (!t->scanning) return PITH_OK;
  t->scanning = false;
  t->matrix.scale_dtype = pith_scale_dtype(t->absmax, t->matrix.encoding == PITH_ENC_U7 ? pith_u7_levels(t->stored) : 127);
  t->row = 0;
  return PITH_PENDING;
}

/* The name of a plane of the part that begins at row `begin`. */
static uint32_t plane_names(const pith_tensor_encoder *t, uint32_t begin, uint32_t rows, char names[PITH_MAX_PLANES][PITH_MAX_NAME + 64]) {
  pith_tensor_encoder at = *t;
  pith_plane planes[PITH_MAX_PLANES] = {{"values", PITH_F32, 1, {t->slot->cols}}};
  const pith_matrix stored = stored_matrix(t);
  const uint32_t n = is_vector(t) ? 1 : pith_matrix_planes(&stored, rows, planes);
  at.part_begin = begin;
  for (uint32_t i = 0; i < n; i++) part_name(&at, rows, planes[i].kind, names[i], sizeof names[i]);
  return n;
}

bool pith_tensor_encoder_kept(const pith_tensor_encoder *t, const pith_resume *resume) {
  char names[PITH_MAX_PLANES][PITH_MAX_NAME + 64];
  uint32_t shard;
  if (is_packed(t)) return false;   /* packed: they are made anew */
  for (uint32_t begin = 0; begin < t->slot->rows; begin += t->part_rows) {
    const uint32_t left = t->slot->rows - begin, n = plane_names(t, begin, left < t->part_rows ? left : t->part_rows, names);
    for (uint32_t i = 0; i < n; i++)
      if (!pith_resume_find(resume, names[i], &shard)) return false;
  }
  return true;
}

pith_status pith_tensor_encoder_take(pith_ctx *ctx, pith_tensor_encoder *t, pith_resume *resume, pith_package_writer *writer) {
  char names[PITH_MAX_PLANES][PITH_MAX_NAME + 64];
  const uint32_t left = t->slot->rows - t->part_begin, rows = left < t->part_rows ? left : t->part_rows, n = plane_names(t, t->part_begin, rows, names);
  uint32_t shard;
  t->scanning = false;
  if (n > 1 && pith_encoding_scaled(t->matrix.encoding)) {
    const pith_tensor_entry *scales = pith_resume_find(resume, names[1], &shard);
    if (scales) t->matrix.scale_dtype = scales->dtype;
  }
  PITH_TRY(pith_resume_read(ctx, resume, names[0], t->codes, code_bytes(t, is_vector(t) ? 1 : rows)));
  if (n > 1) PITH_TRY(pith_resume_read(ctx, resume, names[1], t->scales, scale_bytes(t, rows)));
  t->row = t->part_begin + rows;
  PITH_TRY(write_part(ctx, t, writer));
  return t->row < t->slot->rows ? PITH_PENDING : PITH_OK;
}

pith_matrix pith_tensor_encoder_matrix(const pith_tensor_encoder *t, pith_part *part) {
  pith_matrix matrix = t->matrix;
  *part = (pith_part){.n_rows = t->slot->rows, .codes = t->codes, .scales = t->scales};
  matrix.n_parts = 1;
  matrix.parts = part;
  return matrix;
}

pith_json *pith_tensor_encoder_entry(pith_tensor_encoder *t) {
  pith_json *entry = pith_json_new_object(), *shape = pith_json_new_array();
  if (!is_vector(t)) pith_json_add_number(shape, NULL, t->slot->rows);
  pith_json_add_number(shape, NULL, t->slot->cols);
  pith_json_add_string(entry, "name", t->slot->name);
  pith_json_add(entry, "shape", shape);
  pith_json_add_string(entry, "encoding", pith_encoding_name(t->stored));
  if (t->matrix.group_size) pith_json_add_number(entry, "group_size", t->matrix.group_size);
  if (pith_encoding_scaled(t->matrix.encoding)) pith_json_add_string(entry, "scales", pith_dtype_name(t->matrix.scale_dtype));
  pith_json_add(entry, "parts", t->parts);
  t->parts = NULL;
  return entry;
}

void pith_tensor_encoder_free(pith_ctx *ctx, pith_tensor_encoder *t) {
  pith_free(ctx, t->rows);
  pith_free(ctx, t->q4_codes);
  pith_free(ctx, t->q4_scales);
  pith_free(ctx, t->q4_mins);
  pith_free(ctx, t->codes);
  pith_free(ctx, t->scales);
  pith_free(ctx, t->places);
  if (t->dropping) {
    pith_free(ctx, t->dropping->scores);
    pith_free(ctx, t->dropping->dropped);
  }
  pith_free(ctx, t->dropping);
  pith_json_free(t->parts);
  memset(t, 0, sizeof *t);
}
