/* One tensor into a package: read by ranges, quantised panel by panel, split into parts that fit a shard. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compress/compress.h"
#include "compress/quantize.h"

enum { STEP_WEIGHTS = 1 << 16 };   /* about this many weights a step and thread */
#define WEIGHT_NS 60.0              /* to find a weight's scale and code, roughly */

static uint64_t groups_of(const pith_tensor_encoder *t) { return (t->slot->cols + t->group_size - 1) / t->group_size; }

/* Bytes of codes and of scales for so many rows, padded to whole panels where the encoding has panels. */
static uint64_t code_bytes(const pith_tensor_encoder *t, uint64_t rows) {
  const uint64_t cols = t->slot->cols, padded = (rows + PITH_PANEL - 1) / PITH_PANEL * PITH_PANEL;
  switch (t->encoding) {
    case PITH_ENC_F32: return (t->slot->role == PITH_ROLE_VECTOR ? rows : padded) * cols * 4;
    case PITH_ENC_F16: return padded * cols * 2;
    case PITH_ENC_U7: return padded * ((cols + PITH_QUAD - 1) / PITH_QUAD) * PITH_QUAD;
    case PITH_ENC_U8_ROW: break;
  }
  return rows * cols;
}

static uint64_t scale_bytes(const pith_tensor_encoder *t, uint64_t rows) {
  const uint64_t elem = pith_dtype_bytes(t->scale_dtype);
  if (t->encoding == PITH_ENC_U7) return (rows + PITH_PANEL - 1) / PITH_PANEL * PITH_PANEL * groups_of(t) * elem;
  return t->encoding == PITH_ENC_U8_ROW ? rows * elem : 0;
}

static bool has_scales(const pith_tensor_encoder *t) { return t->encoding == PITH_ENC_U7 || t->encoding == PITH_ENC_U8_ROW; }

/* Parts of equal height, in multiples of 8 rows, each with its scales within a shard. */
static pith_status plan_parts(pith_ctx *ctx, pith_tensor_encoder *t, uint64_t shard_bytes) {
  const uint64_t rows = t->slot->rows, whole = code_bytes(t, rows) + scale_bytes(t, rows);
  uint64_t n_parts = (whole + shard_bytes - 1) / shard_bytes, height = rows;
  if (t->slot->role == PITH_ROLE_VECTOR || n_parts < 1) n_parts = 1;
  for (; n_parts > 1; n_parts++) {
    height = pith_round_up((size_t)((rows + n_parts - 1) / n_parts), PITH_PANEL);
    if (height == PITH_PANEL || code_bytes(t, height) + scale_bytes(t, height) + PITH_ALIGN <= shard_bytes) break;
  }
  t->part_rows = (uint32_t)height;
  t->n_parts = (uint32_t)((rows + height - 1) / height);
  t->n_code_bytes = code_bytes(t, height);
  t->n_scale_bytes = scale_bytes(t, height);
  PITH_TRY(pith_malloc(ctx, (size_t)t->n_code_bytes, &t->codes));
  return pith_malloc(ctx, (size_t)t->n_scale_bytes, &t->scales);
}

pith_status pith_tensor_encoder_open(pith_ctx *ctx, pith_tensor_encoder *t, const pith_checkpoint *checkpoint, const pith_slot *slot,
                                     const pith_recipe *recipe, uint64_t shard_bytes) {
  memset(t, 0, sizeof *t);
  PITH_TRY(pith_checkpoint_need(ctx, checkpoint, slot, &t->file, &t->entry));
  t->slot = slot;
  t->encoding = slot->role == PITH_ROLE_VECTOR ? PITH_ENC_F32 : slot->role == PITH_ROLE_TABLE ? recipe->tables : recipe->matrices;
  t->group_size = recipe->group_size ? recipe->group_size : (uint32_t)pith_round_up(slot->cols, PITH_QUAD);
  t->scale_dtype = PITH_F32;   /* until the scan says otherwise; room is planned for it */
  t->scanning = has_scales(t);
  t->parts = pith_json_new_array();
  const uint64_t wished = (uint64_t)STEP_WEIGHTS * pith_parallel_threads(ctx->parallel) / slot->cols / PITH_PANEL * PITH_PANEL;
  const uint64_t whole = pith_round_up(slot->rows, PITH_PANEL);
  t->batch_rows = (uint32_t)(wished < PITH_PANEL ? PITH_PANEL : wished < whole ? wished : whole);
  PITH_TRY(pith_malloc(ctx, (size_t)t->batch_rows * slot->cols * sizeof *t->rows, &t->rows));
  return plan_parts(ctx, t, shard_bytes);
}

/* Reads a batch at t->row, within the part. */
static pith_status read_rows(pith_ctx *ctx, pith_tensor_encoder *t, size_t *n) {
  const uint64_t end = !t->scanning && t->part_begin + t->part_rows < t->slot->rows ? t->part_begin + t->part_rows : t->slot->rows, left = end - t->row;
  *n = left < t->batch_rows ? (size_t)left : t->batch_rows;
  return pith_checkpoint_read(ctx, t->file, t->entry, t->row * t->slot->cols, *n * t->slot->cols, t->rows);
}

typedef struct batch {
  const pith_tensor_encoder *t;
  size_t n_rows;
  bool overflow[PITH_MAX_THREADS];   /* a value that f16 cannot hold, by thread */
} batch;

/* One panel, n of its rows. rows: (n, cols); codes, scales: of the panel. False: f16 cannot hold it. */
static bool encode_panel(const pith_tensor_encoder *t, size_t n, const float *rows, uint8_t *codes, uint8_t *scales) {
  const size_t cols = t->slot->cols;
  float *panel = (float *)(void *)codes;
  switch (t->encoding) {
    case PITH_ENC_U7: pith_quantize_u7_panel(n, cols, t->group_size, rows, t->scale_dtype, codes, scales); return true;
    case PITH_ENC_U8_ROW: pith_quantize_u8_rows(n, cols, rows, t->scale_dtype, codes, scales); return true;
    case PITH_ENC_F16: return pith_convert_f16_panel(n, cols, rows, (uint16_t *)(void *)codes);
    case PITH_ENC_F32: break;
  }
  if (t->slot->role == PITH_ROLE_VECTOR) memcpy(panel, rows, cols * sizeof *panel);
  for (size_t k = 0; t->slot->role != PITH_ROLE_VECTOR && k < cols; k++)
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
    if (!encode_panel(t, n, t->rows + row * t->slot->cols, codes, scales)) b->overflow[thread] = true;
  }
}

static pith_status encode_rows(pith_ctx *ctx, pith_tensor_encoder *t, size_t n) {
  batch b = {.t = t, .n_rows = n};
  const size_t n_panels = (n + PITH_PANEL - 1) / PITH_PANEL;
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, n_panels, t->slot->cols * PITH_PANEL * WEIGHT_NS), encode_panels, &b);
  for (int i = 0; i < PITH_MAX_THREADS; i++)
    if (b.overflow[i])
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "tensor \"%s\" holds a value that half precision cannot (above 65504): use another recipe", t->entry->name);
  return PITH_OK;
}

/* Names: the Hub's own; its parts carry their rows. */
static void part_name(const pith_tensor_encoder *t, uint32_t rows, const char *kind, char *out, size_t capacity) {
  if (t->slot->role == PITH_ROLE_VECTOR) snprintf(out, capacity, "%s", t->slot->name);
  else if (t->n_parts == 1) snprintf(out, capacity, "%s.%s", t->slot->name, kind);
  else snprintf(out, capacity, "%s.rows-%u-%u.%s", t->slot->name, t->part_begin, t->part_begin + rows, kind);
}

static pith_status write_part(pith_ctx *ctx, pith_tensor_encoder *t, pith_package_writer *writer) {
  const uint32_t rows = (uint32_t)(t->row - t->part_begin);
  const uint64_t cols = t->slot->cols, panels = (rows + PITH_PANEL - 1) / PITH_PANEL, n_codes = code_bytes(t, rows), n_scales = scale_bytes(t, rows);
  const bool vector = t->slot->role == PITH_ROLE_VECTOR, u7 = t->encoding == PITH_ENC_U7, by_row = t->encoding == PITH_ENC_U8_ROW;
  const uint64_t u7_dims[] = {panels, (cols + PITH_QUAD - 1) / PITH_QUAD, PITH_PANEL, PITH_QUAD}, row_dims[] = {rows, cols};
  const uint64_t float_dims[] = {panels, cols, PITH_PANEL}, scale_dims[] = {u7 ? panels : rows, u7 ? groups_of(t) : 0, PITH_PANEL};
  char name[PITH_MAX_NAME + 64];
  uint32_t shard;
  part_name(t, rows, u7 || by_row ? "codes" : "values", name, sizeof name);
  if (u7) PITH_TRY(pith_package_writer_add(ctx, writer, name, PITH_U8, u7_dims, 4, t->codes, n_codes, n_scales + PITH_ALIGN, &shard));
  else if (by_row) PITH_TRY(pith_package_writer_add(ctx, writer, name, PITH_U8, row_dims, 2, t->codes, n_codes, n_scales + PITH_ALIGN, &shard));
  else if (vector) PITH_TRY(pith_package_writer_add(ctx, writer, name, PITH_F32, &cols, 1, t->codes, n_codes, 0, &shard));
  else PITH_TRY(pith_package_writer_add(ctx, writer, name, t->encoding == PITH_ENC_F16 ? PITH_F16 : PITH_F32, float_dims, 3, t->codes, n_codes, 0, &shard));
  pith_json *part = pith_json_new_object();
  pith_json_add_number(part, "shard", shard);
  if (!vector) {
    pith_json *range = pith_json_new_array();
    pith_json_add_number(range, NULL, t->part_begin);
    pith_json_add_number(range, NULL, t->part_begin + rows);
    pith_json_add(part, "rows", range);
  }
  pith_json_add_string(part, "codes", name);
  if (has_scales(t)) {
    part_name(t, rows, "scales", name, sizeof name);
    pith_json_add_string(part, "scales", name);
  }
  pith_json_add(t->parts, NULL, part);
  if (has_scales(t)) PITH_TRY(pith_package_writer_add(ctx, writer, name, t->scale_dtype, scale_dims, u7 ? 3 : 1, t->scales, n_scales, 0, &shard));
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
  t->scale_dtype = pith_scale_dtype(t->absmax, t->encoding == PITH_ENC_U7 ? 63 : 127);
  t->row = 0;
  return PITH_PENDING;
}

pith_json *pith_tensor_encoder_entry(pith_tensor_encoder *t) {
  pith_json *entry = pith_json_new_object(), *shape = pith_json_new_array();
  if (t->slot->role != PITH_ROLE_VECTOR) pith_json_add_number(shape, NULL, t->slot->rows);
  pith_json_add_number(shape, NULL, t->slot->cols);
  pith_json_add_string(entry, "name", t->slot->name);
  pith_json_add(entry, "shape", shape);
  pith_json_add_string(entry, "encoding", pith_encoding_name(t->encoding));
  if (t->encoding == PITH_ENC_U7) pith_json_add_number(entry, "group_size", t->group_size);
  if (has_scales(t)) pith_json_add_string(entry, "scales", pith_dtype_name(t->scale_dtype));
  pith_json_add(entry, "parts", t->parts);
  t->parts = NULL;
  return entry;
}

void pith_tensor_encoder_free(pith_ctx *ctx, pith_tensor_encoder *t) {
  pith_free(ctx, t->rows);
  pith_free(ctx, t->codes);
  pith_free(ctx, t->scales);
  pith_json_free(t->parts);
  memset(t, 0, sizeof *t);
}
