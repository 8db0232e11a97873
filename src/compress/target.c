#include "compress/target.h"

#include <string.h>

pith_status pith_target_begin(pith_ctx *ctx, pith_target *t, pith_source *parent, const int32_t *ids, const pith_span *sequences, uint32_t n_sequences) {
  PITH_TRY(pith_layerwise_begin(ctx, &t->run, parent, ids, sequences, n_sequences));
  const size_t hidden = (size_t)t->run.config.hidden_size;
  PITH_TRY(pith_calloc(ctx, t->run.max_rows, hidden * sizeof *t->rows, &t->rows));
  return pith_calloc(ctx, t->run.max_rows, hidden * sizeof *t->sums, &t->sums);
}

void pith_target_free(pith_ctx *ctx, pith_target *t) {
  pith_layerwise_free(ctx, &t->run);
  pith_free(ctx, t->rows);
  pith_free(ctx, t->sums);
  memset(t, 0, sizeof *t);
}

static float *batch_of(const pith_target *t) { return t->run.x + (size_t)t->run.row * (size_t)t->run.config.hidden_size; }

/* All rows through a half-layer. */
static pith_status move_rows(pith_ctx *ctx, pith_target *t) {
  pith_layerwise *run = &t->run;
  const int half = t->half_done[0] ? 1 : 0;
  if (!t->moving) t->moving = pith_layerwise_rewind(run);
  pith_forward_resume(&run->forward, batch_of(t), run->n_batch, run->spans, run->n_spans);
  if (!pith_forward_half(&run->forward, half) || pith_layerwise_next_batch(run)) return PITH_PENDING;
  t->moving = false;
  t->half_done[half] = true;
  if (half == 1) PITH_TRY(pith_layerwise_next_stage(ctx, run));
  return PITH_PENDING;
}

pith_status pith_target_approach(pith_ctx *ctx, pith_target *t, int32_t stage, int half) {
  pith_layerwise *run = &t->run;
  if (run->unit != PITH_LAYERWISE_HALVES) {
    t->half_done[0] = t->half_done[1] = false;
    const pith_status status = pith_layerwise_step(ctx, run);
    if (status == PITH_OK) return pith_fail(ctx, PITH_E_INTERNAL, "the parent ran past its layers");
    return status;
  }
  if (run->stage != stage || (half == 1 && !t->half_done[0])) return move_rows(ctx, t);
  (void)pith_layerwise_rewind(run);
  return PITH_OK;
}

bool pith_target_step(pith_target *t, int half, uint32_t reader) {
  pith_layerwise *run = &t->run;
  const size_t hidden = (size_t)run->config.hidden_size, n = run->n_batch * hidden;
  const pith_weight *weight = &pith_weights_stage(&run->weights, 0)->weights[reader];
  const float *x;
  size_t stride;
  if (!t->copied) memcpy(t->rows, batch_of(t), n * sizeof *t->rows);
  t->copied = true;
  pith_forward_resume(&run->forward, t->rows, run->n_batch, run->spans, run->n_spans);
  if (!pith_forward_until(&run->forward, half, reader, &x, &stride)) return false;
  t->copied = false;
  pith_forward_product(&run->forward, &weight->matrix, weight[1].vector, run->n_batch, x, stride, t->sums, hidden);
  run->source->model->kernels->add(n, batch_of(t), t->sums);
  return true;
}
