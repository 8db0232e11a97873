#include "runtime/predict.h"

#include <string.h>

enum { TILE_FLOATS = 1 << 16, MAX_TILE = 64 };   /* logits of a step, but at least a row of them */

static uint32_t tile_of(const pith_predictor *p) {
  const uint32_t rows = TILE_FLOATS / p->n_outputs;
  return rows < 1 ? 1 : rows < MAX_TILE ? rows : MAX_TILE;
}

pith_status pith_predictor_init(pith_ctx *ctx, pith_predictor *p, const pith_model *model, pith_task task, uint32_t n_best) {
  const pith_config *c = &model->config;
  memset(p, 0, sizeof *p);
  if (c->task != task)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "a %s model for %s cannot %s", c->family->name, pith_task_name(c->task), pith_task_name(task));
  p->n_outputs = (uint32_t)pith_head_outputs(c);
  p->n_best = n_best == 0 || n_best > p->n_outputs ? p->n_outputs : n_best;
  p->mask_id = pith_tokenizer_token_id(model->tokenizer, "[MASK]");
  if (p->mask_id < 0) p->mask_id = pith_tokenizer_token_id(model->tokenizer, "<mask>");
  if (task == PITH_TASK_FILL && p->mask_id < 0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "the tokenizer has neither [MASK] nor <mask>: there is no saying which word to fill in");
  return pith_encoder_init(ctx, &p->encoder, model, (size_t)tile_of(p) * p->n_outputs, &p->logits);
}

void pith_predictor_free(pith_ctx *ctx, pith_predictor *p) {
  pith_encoder_free(ctx, &p->encoder);
  pith_free(ctx, p->best);
  pith_free(ctx, p->at);
  memset(p, 0, sizeof *p);
}

pith_status pith_predictor_begin(pith_ctx *ctx, pith_predictor *p, const char *const *texts, const size_t *n_bytes, size_t n) {
  p->scoring = false;
  p->n = 0;
  return pith_encoder_begin(ctx, &p->encoder, texts, n_bytes, n);
}

static pith_status reserve(pith_ctx *ctx, pith_predictor *p, size_t n) {
  if (n <= p->capacity) return PITH_OK;
  const size_t capacity = n > 2 * p->capacity ? n : 2 * p->capacity;
  pith_prediction *best;
  size_t *at;
  PITH_TRY(pith_calloc(ctx, capacity, p->n_best * sizeof *best, &best));
  const pith_status status = pith_calloc(ctx, capacity, sizeof *at, &at);
  if (status != PITH_OK) {
    pith_free(ctx, best);
    return status;
  }
  if (p->n) {
    memcpy(best, p->best, p->n * p->n_best * sizeof *best);
    memcpy(at, p->at, p->n * sizeof *at);
  }
  pith_free(ctx, p->best);
  pith_free(ctx, p->at);
  p->best = best;
  p->at = at;
  p->capacity = capacity;
  return PITH_OK;
}

/* The rows that are asked about move to the front of the batch: the rest is not needed any more. */
static pith_status begin_scoring(pith_ctx *ctx, pith_predictor *p) {
  const pith_encoder *e = &p->encoder;
  const pith_task task = e->model->config.task;
  const size_t h = (size_t)e->model->config.hidden_size, first = pith_encoder_first(e, e->first);
  PITH_TRY(reserve(ctx, p, p->n + e->forward.n_rows));
  p->n_rows = p->n_scored = 0;
  for (size_t i = e->first; i < e->next; i++) {
    const pith_span span = e->spans[i - e->first];
    const uint32_t before = p->n_rows, end = span.row + (task == PITH_TASK_CLASSIFY && span.n_rows > 1 ? 1 : span.n_rows);
    for (uint32_t row = span.row; row < end; row++) {
      if (task == PITH_TASK_FILL && e->ids.ids[first + row] != p->mask_id) continue;
      memmove(e->forward.x + p->n_rows * h, e->forward.x + row * h, h * sizeof(float));
      p->at[p->n + p->n_rows++] = first + row;
    }
    if (task == PITH_TASK_TAG || p->n_rows > before) continue;
    if (task == PITH_TASK_CLASSIFY) return pith_fail(ctx, PITH_E_ARGUMENT, "text %llu has no token to classify", (unsigned long long)i + 1);
    return pith_fail(ctx, PITH_E_ARGUMENT, "text %llu has no %s", (unsigned long long)i + 1, pith_tokenizer_token_id(e->model->tokenizer, "[MASK]") >= 0 ? "[MASK]" : "<mask>");
  }
  pith_head_rows(&p->encoder.forward, p->n_rows, e->forward.x);
  p->scoring = true;
  return PITH_PENDING;
}

void pith_scores(pith_scoring scoring, uint32_t n, float *x) {
  if (scoring == PITH_SCORE_RAW) return;
  if (scoring == PITH_SCORE_SIGMOID) {
    for (uint32_t i = 0; i < n; i++) x[i] = 1.0f / (1.0f + pith_expf(-x[i]));
    return;
  }
  float max = x[0];
  double sum = 0.0;
  for (uint32_t i = 1; i < n; i++) max = x[i] > max ? x[i] : max;
  for (uint32_t i = 0; i < n; i++) sum += (double)(x[i] = pith_expf(x[i] - max));
  for (uint32_t i = 0; i < n; i++) x[i] = (float)((double)x[i] / sum);
}

void pith_best(const float *scores, uint32_t n, uint32_t k, pith_prediction *out) {
  uint32_t n_out = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (n_out == k && !(scores[i] > out[k - 1].score)) continue;
    uint32_t to = n_out < k ? n_out++ : k - 1;
    for (; to > 0 && scores[i] > out[to - 1].score; to--) out[to] = out[to - 1];
    out[to] = (pith_prediction){(int32_t)i, scores[i]};
  }
}

pith_status pith_predictor_step(pith_ctx *ctx, pith_predictor *p) {
  pith_encoder *e = &p->encoder;
  if (!p->scoring) {
    PITH_TRY(pith_encoder_step(ctx, e));
    return e->first == e->next ? PITH_OK : begin_scoring(ctx, p);
  }
  const uint32_t left = p->n_rows - p->n_scored, tile = tile_of(p), n = left < tile ? left : tile;
  pith_head_logits(&e->forward, n, e->forward.x + (size_t)p->n_scored * (size_t)e->model->config.hidden_size, p->logits);
  for (uint32_t r = 0; r < n; r++) {
    float *scores = p->logits + (size_t)r * p->n_outputs;
    pith_scores(e->model->config.scoring, p->n_outputs, scores);
    pith_best(scores, p->n_outputs, p->n_best, p->best + p->n++ * p->n_best);
  }
  p->n_scored += n;
  p->scoring = p->n_scored < p->n_rows;
  return p->scoring || !pith_encoder_done(e) ? PITH_PENDING : PITH_OK;
}
