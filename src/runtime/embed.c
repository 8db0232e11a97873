#include "runtime/embed.h"

#include <math.h>
#include <string.h>

#include "base/format.h"

/* Rows of a batch: enough to use the tiles well, few enough that a half-layer stays short. */
enum { MIN_ROWS = 128, TOKENIZE_BYTES = 1 << 14 /* of text a step */ };

pith_status pith_embedder_init(pith_ctx *ctx, pith_embedder *e, const pith_model *model) {
  memset(e, 0, sizeof *e);
  if (model->config.family->task != PITH_TASK_EMBED)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "this model generates text; it has no embeddings: use generate");
  const uint32_t context = (uint32_t)model->config.max_tokens, rows = context > MIN_ROWS ? context : MIN_ROWS;
  uint64_t n_bytes;
  e->model = model;
  if (!pith_forward_plan(ctx, &model->config, &model->weights, model->kernels, rows, context, &n_bytes))
    return pith_fail(ctx, PITH_E_MEMORY, "a context of %u tokens does not fit the address space", context);
  PITH_TRY(pith_arena_init(ctx, &e->arena, (size_t)n_bytes + rows * sizeof *e->spans + PITH_ALIGN));
  PITH_TRY(pith_forward_init(ctx, &e->forward, &model->config, &model->weights, model->kernels, rows, context, &e->arena));
  e->spans = pith_arena_take(&e->arena, rows * sizeof *e->spans);
  return PITH_OK;
}

void pith_embedder_free(pith_ctx *ctx, pith_embedder *e) {
  pith_arena_free(ctx, &e->arena);
  pith_ids_free(ctx, &e->ids);
  pith_free(ctx, e->ends);
  memset(e, 0, sizeof *e);
}

pith_status pith_embedder_begin(pith_ctx *ctx, pith_embedder *e, const char *const *texts, const size_t *n_bytes, size_t n, int normalize, float *out) {
  pith_free(ctx, e->ends);
  e->ends = NULL;
  e->ids.n = 0;
  PITH_TRY(pith_calloc(ctx, n, sizeof *e->ends, &e->ends));
  e->texts = texts;
  e->n_bytes = n_bytes;
  e->n_texts = n;
  e->n_tokenized = 0;
  e->out = out;
  e->normalize = normalize < 0 ? e->model->config.normalize : normalize != 0;
  e->first = e->next = 0;
  e->unit = 0;
  return PITH_OK;
}

/* Some of the texts. */
static pith_status tokenize(pith_ctx *ctx, pith_embedder *e) {
  size_t n_done = 0;
  while (e->n_tokenized < e->n_texts && n_done < TOKENIZE_BYTES) {
    const size_t i = e->n_tokenized;
    const pith_status status = pith_model_encode(ctx, e->model, e->texts[i], e->n_bytes[i], true, true, &e->ids);
    if (status != PITH_OK && e->n_texts > 1) {
      char which[48];
      pith_snprintf(which, sizeof which, "text %llu", (unsigned long long)i + 1);
      return pith_fail_in(ctx, status, which);
    }
    PITH_TRY(status);
    e->ends[i] = e->ids.n;
    n_done += e->n_bytes[i] + 64;   /* an empty one takes time too */
    e->n_tokenized++;
  }
  return PITH_PENDING;
}

size_t pith_embedder_tokens(const pith_embedder *e, size_t i) { return e->ends[i] - (i > 0 ? e->ends[i - 1] : 0); }

/* As many of the next texts as fit; at least one always does, since rows reach to max_tokens. */
static void gather(pith_embedder *e) {
  uint32_t rows = 0, n_spans = 0;
  e->first = e->next;
  const size_t begin = e->first > 0 ? e->ends[e->first - 1] : 0;
  while (e->next < e->n_texts && n_spans < e->forward.max_rows) {
    const uint32_t n = (uint32_t)pith_embedder_tokens(e, e->next);
    if (rows + n > e->forward.max_rows) break;
    e->spans[n_spans++] = (pith_span){rows, n, 0};
    rows += n;
    e->next++;
  }
  pith_forward_begin(&e->forward, e->ids.ids + begin, rows, e->spans, n_spans);
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

static void pool(pith_embedder *e) {
  const size_t h = (size_t)e->model->config.hidden_size;
  for (size_t i = e->first; i < e->next; i++) {
    const pith_span *span = &e->spans[i - e->first];
    pith_pool(e->model, e->forward.x + (size_t)span->row * h, span->n_rows, e->normalize, e->out + i * h);
  }
}

pith_status pith_embedder_step(pith_ctx *ctx, pith_embedder *e) {
  if (e->n_tokenized < e->n_texts) return tokenize(ctx, e);
  if (e->unit == 0) {
    if (e->next == e->n_texts) return PITH_OK;
    gather(e);
  } else if (!pith_forward_half(&e->forward, e->unit - 1)) {
    return PITH_PENDING;
  }
  if (e->unit++ < 2 * e->model->config.n_layers) return PITH_PENDING;
  pith_forward_finish(&e->forward);
  pool(e);
  e->unit = 0;
  return e->next == e->n_texts ? PITH_OK : PITH_PENDING;
}
