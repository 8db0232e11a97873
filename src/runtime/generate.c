#include "runtime/generate.h"

#include <string.h>

enum {
  CHUNK_ROWS = 64,             /* of the prompt in one pass */
  HELD_TOKENS = 16,            /* whose text may come as one piece, after broken sequences */
  MAX_PLANNED_TEXT = 1 << 20   /* bytes; a longer text makes its buffer grow */
};

const char *pith_finish_name(pith_finish finish) {
  static const char *const names[] = {"none", "stop", "length", "context", "stopText"};
  return names[finish];
}

static pith_status take_memory(pith_ctx *ctx, pith_generator *g) {
  const pith_model *m = g->model;
  const size_t vocab = (size_t)m->config.vocab_size;
  const uint32_t rows = g->n_prompt < CHUNK_ROWS ? g->n_prompt : CHUNK_ROWS;
  uint64_t n_bytes;
  if (!pith_forward_plan(ctx, &m->config, &m->weights, m->kernels, rows, g->context, &n_bytes))
    return pith_fail(ctx, PITH_E_MEMORY, "a context of %u tokens does not fit the address space", g->context);
  const size_t own = vocab * (sizeof *g->logits + sizeof *g->seen + sizeof *g->sampler.candidates) + g->context * sizeof *g->ids + 4 * PITH_ALIGN;
  PITH_TRY(pith_arena_init(ctx, &g->arena, (size_t)n_bytes + own));
  PITH_TRY(pith_forward_init(ctx, &g->forward, &m->config, &m->weights, m->kernels, rows, g->context, &g->arena));
  g->logits = pith_arena_take(&g->arena, vocab * sizeof *g->logits);
  g->seen = pith_arena_take(&g->arena, vocab * sizeof *g->seen);
  g->ids = pith_arena_take(&g->arena, g->context * sizeof *g->ids);
  pith_candidate *candidates = pith_arena_take(&g->arena, vocab * sizeof *candidates);
  if (!g->logits || !g->seen || !g->ids || !candidates) return pith_fail(ctx, PITH_E_INTERNAL, "the arena's plan was too small");
  memset(g->seen, 0, vocab);
  pith_sampler_init(&g->sampler, &g->options.sampling, candidates);
  return PITH_OK;
}

/* Room for the longest text that the tokens may make: a byte is at most U+FFFD's three, a blank goes before. */
static pith_status plan_text(pith_ctx *ctx, pith_generator *g) {
  const uint64_t piece = 3 * (uint64_t)pith_tokenizer_longest_token(g->model->tokenizer) + 1, whole = piece * (g->context - g->n_prompt + HELD_TOKENS);
  PITH_TRY(pith_detokenizer_plan(ctx, g->model->tokenizer, &g->detokenizer, (size_t)(HELD_TOKENS * piece)));
  PITH_TRY(pith_buffer_reserve(ctx, &g->piece, (size_t)(HELD_TOKENS * piece)));
  return pith_buffer_reserve(ctx, &g->text, whole < MAX_PLANNED_TEXT ? (size_t)whole : MAX_PLANNED_TEXT);
}

static pith_status check_options(pith_ctx *ctx, const pith_model *model, const pith_generation *options) {
  if (model->config.family->task != PITH_TASK_GENERATE)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "this model embeds text; it cannot generate: use embed");
  if (options->max_tokens < 0) return pith_fail(ctx, PITH_E_ARGUMENT, "max tokens should be 0 or more");
  for (uint32_t i = 0; i < options->n_stops; i++)
    if (!options->stops[i] || !*options->stops[i]) return pith_fail(ctx, PITH_E_ARGUMENT, "a stop text should not be empty");
  return pith_sampling_check(ctx, &options->sampling);
}

pith_status pith_generator_begin(pith_ctx *ctx, pith_generator *g, const pith_model *model, const char *prompt, size_t n_bytes,
                                 const pith_generation *options) {
  memset(g, 0, sizeof *g);
  PITH_TRY(check_options(ctx, model, options));
  g->model = model;
  g->options = *options;
  g->detokenizer.skip_special_tokens = true;
  pith_ids ids = {0};
  pith_status status = pith_model_encode(ctx, model, prompt, n_bytes, true, false, &ids);
  const uint64_t limit = (uint64_t)model->config.max_positions;
  if (status == PITH_OK && ids.n == 0)
    status = pith_fail(ctx, PITH_E_ARGUMENT, "the prompt has no tokens, and this model begins with none of its own: give it some text");
  if (status == PITH_OK && ids.n > limit)
    status = pith_fail(ctx, PITH_E_LIMIT, "the prompt has %llu tokens, and the model's context holds %llu", (unsigned long long)ids.n,
                       (unsigned long long)limit);
  if (status == PITH_OK) {
    const uint64_t wanted = (uint64_t)ids.n + (uint64_t)options->max_tokens;
    g->n_prompt = g->n_ids = (uint32_t)ids.n;
    g->context = (uint32_t)(wanted < limit ? wanted : limit);
    status = take_memory(ctx, g);
  }
  if (status == PITH_OK) {
    memcpy(g->ids, ids.ids, ids.n * sizeof *ids.ids);
    for (size_t i = 0; i < ids.n; i++) g->seen[ids.ids[i]] = 1;
    status = plan_text(ctx, g);
  }
  pith_ids_free(ctx, &ids);
  g->begin_ms = ctx->host.now_ms ? ctx->host.now_ms(ctx->host.user) : 0;
  if (status == PITH_OK && options->max_tokens == 0) g->finish = PITH_FINISH_LENGTH;
  return status;
}

static bool is_end(const pith_config *c, int32_t id) {
  for (uint32_t i = 0; i < c->n_eos; i++)
    if (c->eos_ids[i] == id) return true;
  return false;
}

/* Looks for stop texts in what is not yet shown; text that may begin one is held back unless all is `over`. */
static void release_text(pith_generator *g, bool over) {
  const char *text = g->text.data;
  size_t end = g->text.n_bytes, safe = end;
  for (uint32_t s = 0; s < g->options.n_stops; s++) {
    const size_t n = strlen(g->options.stops[s]);
    for (size_t at = g->n_emitted; at < end; at++) {
      const size_t left = end - at < n ? end - at : n;
      if (memcmp(text + at, g->options.stops[s], left) != 0) continue;
      if (left == n) {
        end = at;   /* the earliest stop text wins */
        g->finish = PITH_FINISH_STOP_TEXT;
      } else if (!over && at < safe) {
        safe = at;
      }
      break;
    }
  }
  if (g->finish == PITH_FINISH_STOP_TEXT) {
    g->text.n_bytes = end;
    g->text.data[end] = '\0';
  }
  g->n_emitted = end < safe || g->finish == PITH_FINISH_STOP_TEXT ? end : safe;
}

static pith_status finish(pith_ctx *ctx, pith_generator *g, pith_finish reason) {
  g->finish = reason;
  g->piece.n_bytes = 0;
  PITH_TRY(pith_detokenizer_flush(ctx, g->model->tokenizer, &g->detokenizer, &g->piece));
  if (g->piece.n_bytes) PITH_TRY(pith_buffer_append(ctx, &g->text, g->piece.data, g->piece.n_bytes));
  release_text(g, true);
  return PITH_OK;
}

static pith_status choose(pith_ctx *ctx, pith_generator *g) {
  const pith_config *c = &g->model->config;
  pith_forward_logits(&g->forward, g->span.n_rows - 1, g->logits);
  const int32_t id = pith_sampler_next(&g->sampler, g->logits, c->vocab_size, g->seen);
  if (g->n_ids == g->n_prompt && ctx->host.now_ms) g->prompt_ms = ctx->host.now_ms(ctx->host.user) - g->begin_ms;
  if (is_end(c, id)) return finish(ctx, g, PITH_FINISH_STOP);
  if (g->n_ids == g->context) return finish(ctx, g, PITH_FINISH_CONTEXT);
  g->ids[g->n_ids++] = id;
  g->seen[id] = 1;
  g->piece.n_bytes = 0;
  PITH_TRY(pith_detokenizer_push(ctx, g->model->tokenizer, &g->detokenizer, id, &g->piece));
  if (g->piece.n_bytes) PITH_TRY(pith_buffer_append(ctx, &g->text, g->piece.data, g->piece.n_bytes));
  release_text(g, false);
  if (g->finish != PITH_FINISH_NONE) return PITH_OK;
  if (g->n_ids - g->n_prompt == (uint32_t)g->options.max_tokens) return finish(ctx, g, PITH_FINISH_LENGTH);
  return PITH_PENDING;
}

pith_status pith_generator_step(pith_ctx *ctx, pith_generator *g) {
  const int32_t n_layers = g->model->config.n_layers;
  if (g->finish != PITH_FINISH_NONE) return PITH_OK;
  if (g->unit == 0) {
    const uint32_t left = g->n_ids - g->n_done, rows = left < g->forward.max_rows ? left : g->forward.max_rows;
    g->span = (pith_span){0, rows, g->n_done};
    pith_forward_begin(&g->forward, g->ids + g->n_done, rows, &g->span, 1);
    g->unit = 1;
    return PITH_PENDING;
  }
  if (g->unit <= 2 * n_layers) {
    if (pith_forward_half(&g->forward, g->unit - 1)) g->unit++;
    return PITH_PENDING;
  }
  g->unit = 0;
  g->n_done += g->span.n_rows;
  if (g->n_done < g->n_ids) return PITH_PENDING;
  pith_forward_finish(&g->forward);
  const pith_status status = choose(ctx, g);
  if (ctx->host.now_ms) g->end_ms = ctx->host.now_ms(ctx->host.user);
  return status;
}

void pith_generator_free(pith_ctx *ctx, pith_generator *g) {
  pith_arena_free(ctx, &g->arena);
  pith_detokenizer_free(ctx, &g->detokenizer);
  pith_buffer_free(ctx, &g->text);
  pith_buffer_free(ctx, &g->piece);
  memset(g, 0, sizeof *g);
}
