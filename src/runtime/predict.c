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
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "a %s model cannot %s; it can %s", c->family->name, pith_task_name(task), pith_task_name(c->task));
  p->n_outputs = (uint32_t)pith_head_outputs(c);
  p->n_best = n_best == 0 || n_best > p->n_outputs ? p->n_outputs : n_best;
  p->mask = pith_tokenizer_token_id(model->tokenizer, "[MASK]") >= 0 ? "[MASK]" : "<mask>";
  p->mask_id = pith_tokenizer_token_id(model->tokenizer, p->mask);
  if (task == PITH_TASK_FILL && p->mask_id < 0) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the tokenizer has neither [MASK] nor <mask>");
  return pith_encoder_init(ctx, &p->encoder, model, (size_t)tile_of(p) * p->n_outputs, &p->logits);
}

void pith_predictor_free(pith_ctx *ctx, pith_predictor *p) {
  pith_encoder_free(ctx, &p->encoder);
  pith_free(ctx, p->best);
  pith_free(ctx, p->at);
  memset(p, 0, sizeof *p);
}

pith_status pith_predictor_begin(pith_ctx *ctx, pith_predictor *p, const char *const *texts, const size_t *n_bytes, size_t n) {
  pith_free(ctx, p->best);
  pith_free(ctx, p->at);
  p->best = NULL;
  p->at = NULL;
  p->n = p->n_done = 0;
  p->n_rows = p->n_scored = 0;
  return pith_encoder_begin(ctx, &p->encoder, texts, n_bytes, n);
}

/* A pair, or a text among pairs. */
static pith_status encode_pair(pith_ctx *ctx, pith_encoder *e, size_t i) {
  const char *second = ((pith_predictor *)e)->seconds[i];
  const size_t before = e->ids.n;
  if (second) {
    const char *const texts[2] = {e->texts[i], second};
    const size_t n_bytes[2] = {e->n_bytes[i], strlen(second)};
    return pith_model_encode_pair(ctx, e->model, texts, n_bytes, &e->ids, &e->types);
  }
  PITH_TRY(pith_model_encode(ctx, e->model, e->texts[i], e->n_bytes[i], true, true, &e->ids));
  for (size_t k = before; k < e->ids.n; k++) PITH_TRY(pith_ids_append(ctx, &e->types, 0));
  return PITH_OK;
}

void pith_predictor_pairs(pith_predictor *p, const char *const *seconds) {
  p->seconds = seconds;
  p->encoder.encode = encode_pair;
}

/* All texts have their tokens: which of them are asked about. */
static pith_status find_rows(pith_ctx *ctx, pith_predictor *p) {
  const pith_encoder *e = &p->encoder;
  const pith_task task = e->model->config.task;
  PITH_TRY(pith_calloc(ctx, e->ids.n, sizeof *p->at, &p->at));
  for (size_t i = 0; i < e->n_texts; i++) {
    const size_t before = p->n, first = pith_encoder_first(e, i);
    for (size_t k = first; k < e->ends[i]; k++)
      if (task == PITH_TASK_TAG || (task == PITH_TASK_FILL ? e->ids.ids[k] == p->mask_id : k == first)) p->at[p->n++] = k;
    if (p->n == before && task != PITH_TASK_TAG)
      return pith_fail(ctx, PITH_E_ARGUMENT, "text %llu has no %s", (unsigned long long)i + 1, task == PITH_TASK_FILL ? p->mask : "token");
  }
  return pith_calloc(ctx, p->n, p->n_best * sizeof *p->best, &p->best);
}

/* The batch's rows that are asked about move to its front: the others are not needed any more. */
static void begin_scoring(pith_predictor *p) {
  const pith_encoder *e = &p->encoder;
  const size_t h = (size_t)e->model->config.hidden_size, first = pith_encoder_first(e, e->first);
  for (p->n_rows = 0; p->n_done + p->n_rows < p->n && p->at[p->n_done + p->n_rows] < e->ends[e->next - 1]; p->n_rows++)
    memmove(e->forward.x + p->n_rows * h, e->forward.x + (p->at[p->n_done + p->n_rows] - first) * h, h * sizeof(float));
  p->n_scored = 0;
  if (p->n_rows > 0) pith_head_rows(&p->encoder.forward, p->n_rows, e->forward.x);
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

void pith_best(const float *scores, uint32_t first, uint32_t n, uint32_t k, pith_prediction *out) {
  for (uint32_t i = 0, n_out = first < k ? first : k; i < n; i++) {
    if (n_out == k && !(scores[i] > out[k - 1].score)) continue;
    uint32_t to = n_out < k ? n_out++ : k - 1;
    for (; to > 0 && scores[i] > out[to - 1].score; to--) out[to] = out[to - 1];
    out[to] = (pith_prediction){(int32_t)(first + i), scores[i]};
  }
}

pith_status pith_predictor_step(pith_ctx *ctx, pith_predictor *p) {
  pith_encoder *e = &p->encoder;
  if (p->n_scored == p->n_rows) {
    if (!p->best && e->n_tokenized == e->n_texts) PITH_TRY(find_rows(ctx, p));
    PITH_TRY(pith_encoder_step(ctx, e));
    if (e->first < e->next) begin_scoring(p);
  } else {
    const uint32_t left = p->n_rows - p->n_scored, tile = tile_of(p), n = left < tile ? left : tile;
    pith_head_logits(&e->forward, n, e->forward.x + (size_t)p->n_scored * (size_t)e->model->config.hidden_size, p->logits);
    for (uint32_t r = 0; r < n; r++) {
      float *scores = p->logits + (size_t)r * p->n_outputs;
      pith_scores(e->model->config.scoring, p->n_outputs, scores);
      pith_best(scores, 0, p->n_outputs, p->n_best, p->best + p->n_done++ * p->n_best);
    }
    p->n_scored += n;
  }
  return p->n_scored < p->n_rows || !pith_encoder_done(e) ? PITH_PENDING : PITH_OK;
}
