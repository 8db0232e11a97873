#include "runtime/encode.h"

#include <string.h>

#include "base/format.h"

/* Rows of a batch: enough to use the tiles well, few enough that a half-layer stays short. */
enum { MIN_ROWS = 128, TOKENIZE_BYTES = 1 << 14 /* of text a step */ };

static pith_status encode_text(pith_ctx *ctx, pith_encoder *e, size_t i) { return pith_model_encode(ctx, e->model, e->texts[i], e->n_bytes[i], true, true, &e->ids); }

pith_status pith_encoder_init(pith_ctx *ctx, pith_encoder *e, const pith_model *model, size_t n_floats, float **more) {
  memset(e, 0, sizeof *e);
  const uint32_t context = (uint32_t)model->config.max_tokens, rows = context > MIN_ROWS ? context : MIN_ROWS;
  uint64_t n_bytes;
  e->model = model;
  e->encode = encode_text;
  if (!pith_forward_plan(ctx, &model->config, &model->weights, model->kernels, rows, context, &n_bytes))
    return pith_fail(ctx, PITH_E_MEMORY, "a context of %u tokens does not fit the address space", context);
  PITH_TRY(pith_arena_init(ctx, &e->arena, (size_t)n_bytes + rows * sizeof *e->spans + n_floats * sizeof **more + 2 * PITH_ALIGN));
  PITH_TRY(pith_forward_init(ctx, &e->forward, &model->config, &model->weights, model->kernels, rows, context, &e->arena));
  e->spans = pith_arena_take(&e->arena, rows * sizeof *e->spans);
  if (n_floats) *more = pith_arena_take(&e->arena, n_floats * sizeof **more);
  return PITH_OK;
}

void pith_encoder_free(pith_ctx *ctx, pith_encoder *e) {
  pith_arena_free(ctx, &e->arena);
  pith_ids_free(ctx, &e->ids);
  pith_ids_free(ctx, &e->types);
  pith_free(ctx, e->ends);
  memset(e, 0, sizeof *e);
}

pith_status pith_encoder_begin(pith_ctx *ctx, pith_encoder *e, const char *const *texts, const size_t *n_bytes, size_t n) {
  pith_free(ctx, e->ends);
  e->ends = NULL;
  e->ids.n = e->types.n = 0;
  PITH_TRY(pith_calloc(ctx, n, sizeof *e->ends, &e->ends));
  e->texts = texts;
  e->n_bytes = n_bytes;
  e->n_texts = n;
  e->n_tokenized = 0;
  e->first = e->next = 0;
  e->unit = 0;
  return PITH_OK;
}

/* Some of the texts. */
static pith_status tokenize(pith_ctx *ctx, pith_encoder *e) {
  size_t n_done = 0;
  while (e->n_tokenized < e->n_texts && n_done < TOKENIZE_BYTES) {
    const size_t i = e->n_tokenized;
    const pith_status status = e->encode(ctx, e, i);
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

/* As many of the next texts as fit; at least one always does, since rows reach to max_tokens. */
static void gather(pith_encoder *e) {
  uint32_t rows = 0, n_spans = 0;
  e->first = e->next;
  while (e->next < e->n_texts && n_spans < e->forward.max_rows) {
    const uint32_t n = (uint32_t)pith_encoder_tokens(e, e->next);
    if (rows + n > e->forward.max_rows) break;
    e->spans[n_spans++] = (pith_span){rows, n, 0};
    rows += n;
    e->next++;
  }
  e->forward.types = e->types.n ? e->types.ids + pith_encoder_first(e, e->first) : NULL;
  pith_forward_begin(&e->forward, e->ids.ids + pith_encoder_first(e, e->first), rows, e->spans, n_spans);
}

pith_status pith_encoder_step(pith_ctx *ctx, pith_encoder *e) {
  if (e->n_tokenized < e->n_texts) return tokenize(ctx, e);
  if (e->unit == 0) {
    if (pith_encoder_done(e)) return PITH_OK;
    gather(e);
  } else if (!pith_forward_half(&e->forward, e->unit - 1)) {
    return PITH_PENDING;
  }
  if (e->unit++ < 2 * e->model->config.n_layers) return PITH_PENDING;
  pith_forward_finish(&e->forward);
  e->unit = 0;
  return PITH_OK;
}
