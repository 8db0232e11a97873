#include "compress/edit.h"

#include <string.h>

pith_status pith_edits_take(pith_ctx *ctx, pith_edits *edits, uint32_t id, uint32_t rows, uint32_t cols, float **values) {
  pith_edit *e = &edits->weights[id];
  pith_edits_drop(ctx, edits, id);
  PITH_TRY(pith_calloc(ctx, rows, cols * sizeof *e->values, &e->values));
  e->rows = rows;
  e->cols = cols;
  *values = e->values;
  return PITH_OK;
}

static pith_status bind_vector(pith_ctx *ctx, const pith_edit *e, pith_weight *weight, pith_weights *layer) {
  float *copy;
  PITH_TRY(pith_weights_take(ctx, layer, e->cols * sizeof *copy, &copy));
  memcpy(copy, e->values, e->cols * sizeof *copy);
  weight->vector = copy;
  return PITH_OK;
}

pith_status pith_edits_bind(pith_ctx *ctx, const pith_edits *edits, uint32_t id, pith_weights *layer) {
  const pith_edit *e = &edits->weights[id];
  pith_weight *weight = &pith_weights_stage(layer, 0)->weights[id];
  if (weight->vector) return bind_vector(ctx, e, weight, layer);
  pith_part *part;
  float *panels;
  const size_t cols = e->cols, n_bytes = pith_round_up(e->rows, PITH_PANEL) * cols * sizeof *panels;
  PITH_TRY(pith_weights_take(ctx, layer, sizeof *part, &part));
  PITH_TRY(pith_weights_take(ctx, layer, n_bytes, &panels));
  memset(panels, 0, n_bytes);
  for (size_t r = 0; r < e->rows; r++)
    for (size_t k = 0; k < cols; k++) panels[(r / PITH_PANEL * cols + k) * PITH_PANEL + r % PITH_PANEL] = e->values[r * cols + k];
  const pith_matrix *before = &weight->matrix;
  for (uint32_t i = 0; i < before->n_parts; i++) pith_weights_drop(ctx, layer, before->parts[i].codes, (size_t)pith_matrix_code_bytes(before, before->parts[i].n_rows));
  *part = (pith_part){.n_rows = e->rows, .codes = panels};
  weight->matrix = (pith_matrix){PITH_ENC_F32, PITH_F32, e->rows, e->cols, 0, 1, part};
  return PITH_OK;
}

void pith_edits_drop(pith_ctx *ctx, pith_edits *edits, uint32_t id) {
  pith_free(ctx, edits->weights[id].values);
  memset(&edits->weights[id], 0, sizeof edits->weights[id]);
}

void pith_edits_free(pith_ctx *ctx, pith_edits *edits) {
  for (uint32_t id = 0; id < PITH_N_LAYER_WEIGHTS; id++) pith_edits_drop(ctx, edits, id);
}
