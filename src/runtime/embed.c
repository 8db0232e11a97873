#include "runtime/embed.h"

#include <math.h>
#include <string.h>

pith_status pith_embedder_init(pith_ctx *ctx, pith_embedder *e, const pith_model *model) {
  memset(e, 0, sizeof *e);
  if (model->config.family->task != PITH_TASK_EMBED)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "this model generates text; it has no embeddings: use generate");
  return pith_encoder_init(ctx, &e->encoder, model, 0, NULL);
}

void pith_embedder_free(pith_ctx *ctx, pith_embedder *e) { pith_encoder_free(ctx, &e->encoder); }

pith_status pith_embedder_begin(pith_ctx *ctx, pith_embedder *e, const char *const *texts, const size_t *n_bytes, size_t n, int normalize, float *out) {
  e->out = out;
  e->normalize = normalize < 0 ? e->encoder.model->config.normalize : normalize != 0;
  return pith_encoder_begin(ctx, &e->encoder, texts, n_bytes, n);
}

void pith_pool(const pith_model *model, const float *x, uint32_t n_rows, bool normalize, float *y) {
  const size_t h = (size_t)model->config.hidden_size, n = model->config.pooling == PITH_POOL_CLS ? 1 : n_rows;
  memset(y, 0, h * sizeof *y);
  if (n_rows == 0) return;
  for (size_t r = 0; r < n; r++) model->kernels->add(h, x + r * h, y);
  float sum = 0.0f;
  for (size_t k = 0; k < h; k++) {
    y[k] /= (float)n;
    sum += y[k] * y[k];
  }
  const float norm = sqrtf(sum) > 1e-12f ? sqrtf(sum) : 1e-12f;
  for (size_t k = 0; normalize && k < h; k++) y[k] /= norm;
}

pith_status pith_embedder_step(pith_ctx *ctx, pith_embedder *e) {
  const pith_encoder *encoder = &e->encoder;
  PITH_TRY(pith_encoder_step(ctx, &e->encoder));
  const size_t h = (size_t)encoder->model->config.hidden_size;
  for (size_t i = encoder->first; i < encoder->next; i++) {
    const pith_span *span = &encoder->spans[i - encoder->first];
    pith_pool(encoder->model, encoder->forward.x + (size_t)span->row * h, span->n_rows, e->normalize, e->out + i * h);
  }
  return pith_encoder_done(encoder) ? PITH_OK : PITH_PENDING;
}
