#include "compress/target.h"

#include <string.h>

pith_status pith_target_begin(pith_ctx *ctx, pith_target *t, pith_source *parent, const int32_t *ids, const pith_span *sequences, uint32_t n_sequences) {
  PITH_TRY(pith_layerwise_begin(ctx, &t->run, parent, ids, sequences, n_sequences));
  return pith_calloc(ctx, t->run.max_rows, (size_t)t->run.config.hidden_size * sizeof *t->rows, &t->rows);
}

void pith_target_free(pith_ctx *ctx, pith_target *t) {
  pith_layerwise_free(ctx, &t->run);
  pith_free(ctx, t->rows);
  memset(t, 0, sizeof *t);
}

static float *batch_of(const pith_target *t) { return t->run.x + (size_t)t->run.row * (size_t)t->run.config.hidden_size; }

const float *pith_target_rows(const pith_target *t) { return batch_of(t); }

bool pith_target_precedes(const pith_target *t, int32_t stage, int half) {
  if (t->run.stage != stage) return t->run.stage < stage;
  return t->half < half || (t->half == half && !t->summed);
}

/* All rows through the half-layer's products, or through the norm after them. */
static pith_status move_rows(pith_ctx *ctx, pith_target *t) {
  pith_layerwise *run = &t->run;
  if (!t->moving) t->moving = pith_layerwise_rewind(run);
  pith_forward_resume(&run->forward, batch_of(t), run->n_batch, run->spans, run->n_spans);
  if (t->summed) pith_forward_settle(&run->forward, t->half);
  else if (!pith_forward_sum(&run->forward, t->half)) return PITH_PENDING;
  if (pith_layerwise_next_batch(run)) return PITH_PENDING;
  t->moving = false;
  t->summed = !t->summed;
  if (t->summed) return PITH_PENDING;
  t->half = !t->half;
  if (t->half == 0) PITH_TRY(pith_layerwise_next_stage(ctx, run));
  return PITH_PENDING;
}

pith_status pith_target_reach(pith_ctx *ctx, pith_target *t, int32_t stage, int half, bool summed) {
  pith_layerwise *run = &t->run;
  if (run->unit != PITH_LAYERWISE_HALVES) {
    const pith_status status = pith_layerwise_step(ctx, run);
    if (status == PITH_OK) return pith_fail(ctx, PITH_E_INTERNAL, "the parent ran past its layers");
    return status;
  }
  if (run->stage != stage || t->half != half || t->summed != summed) return move_rows(ctx, t);
  (void)pith_layerwise_rewind(run);
  return PITH_OK;
}

bool pith_target_inputs(pith_target *t, uint32_t reader, const float **x, size_t *x_stride) {
  pith_layerwise *run = &t->run;
  if (!t->copied) memcpy(t->rows, batch_of(t), run->n_batch * (size_t)run->config.hidden_size * sizeof *t->rows);
  pith_forward_resume(&run->forward, t->rows, run->n_batch, run->spans, run->n_spans);
  t->copied = !pith_forward_until(&run->forward, t->half, reader, x, x_stride);
  return !t->copied;
}
