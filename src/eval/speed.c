#include "eval/speed.h"

#include <string.h>

#include "base/sort.h"
#include "runtime/embed.h"

enum {
  SHORT_TEXT = 16, LONG_TEXT = 128,
  DECODED = 64,              /* tokens behind a prompt, then from its end again */
  CHUNK_ROWS = 64,           /* of a prompt, as `generate` reads it */
  STEP_MS = 10, ROUND_MS = 20, WARM_MS = 100,
  LONG_MS = 10000, FEW_ROUNDS = 5,   /* a measure that takes so long is content with so many */
  MAX_PASSES = 1000
};

static bool generates(const pith_speed_side *side) { return side->model->config.task == PITH_TASK_GENERATE; }

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Room for the longest pass; of a decoder with what comes after it. */
static pith_status begin_side(pith_ctx *ctx, pith_speed_side *side, uint32_t longest) {
  const pith_model *m = side->model;
  const pith_config *c = &m->config;
  const uint32_t context = generates(side) ? longest + DECODED : longest, rows = generates(side) ? least(longest, CHUNK_ROWS) : longest;
  const size_t n_outputs = (size_t)(c->task == PITH_TASK_EMBED ? c->hidden_size : pith_head_outputs(c)) * (c->task == PITH_TASK_TAG ? rows : 1);
  uint64_t n_bytes;
  if (!pith_forward_plan(ctx, c, &m->weights, m->kernels, rows, context, &n_bytes)) return pith_fail(ctx, PITH_E_MEMORY, "a pass of %u tokens does not fit the address space", (unsigned)context);
  PITH_TRY(pith_arena_init(ctx, &side->arena, (size_t)n_bytes + context * sizeof *side->ids + n_outputs * sizeof *side->outputs + 2 * PITH_ALIGN));
  PITH_TRY(pith_forward_init(ctx, &side->forward, c, &m->weights, m->kernels, rows, context, &side->arena));
  side->ids = pith_arena_take(&side->arena, context * sizeof *side->ids);
  side->outputs = pith_arena_take(&side->arena, n_outputs * sizeof *side->outputs);
  for (uint32_t i = 0; i < context; i++) side->ids[i] = (int32_t)(i * 7919u % (uint32_t)c->vocab_size);
  return PITH_OK;
}

/* The pass of the measure from its first token on. */
static void begin_pass(const pith_speed_measure *m, pith_speed_side *side) {
  /* a token that is decoded goes behind the one before it, until the cache is full */
  side->position = m->after == 0 ? 0 : side->end > m->after && side->end < m->after + DECODED ? side->end : m->after;
  side->end = side->position + m->tokens;
  side->unit = 0;
}

static void begin_measure(pith_speed *s) {
  s->warming = true;
  s->which = 0;
  s->n_passes = 0;
  s->elapsed_ms = s->spent_ms = 0.0;
  for (int i = 0; i < s->n_sides && s->measure < s->n_measures; i++) {
    s->sides[i].end = 0;
    begin_pass(&s->measures[s->measure], &s->sides[i]);
  }
}

pith_status pith_speed_begin(pith_ctx *ctx, pith_speed *s, const pith_model *model, const pith_model *parent) {
  uint32_t longest = LONG_TEXT;
  memset(s, 0, sizeof *s);
  s->sides[0].model = model;
  s->sides[1].model = parent;
  s->n_sides = parent ? 2 : 1;
  s->n_threads = pith_parallel_threads(ctx->parallel);
  for (int i = 0; i < s->n_sides; i++) {
    const pith_config *c = &s->sides[i].model->config;
    const int32_t limit = generates(&s->sides[i]) ? c->max_positions - DECODED : c->max_tokens;
    if (limit < 1) return pith_fail(ctx, PITH_E_UNSUPPORTED, "a context of %d tokens is too short to measure the speed with", (int)c->max_positions);
    longest = least(longest, (uint32_t)limit);
  }
  for (int i = 0; i < s->n_sides; i++) PITH_TRY(begin_side(ctx, &s->sides[i], longest));
  if (generates(&s->sides[0])) {
    s->measures[s->n_measures++] = (pith_speed_measure){"prompt", .tokens = longest};
    s->measures[s->n_measures++] = (pith_speed_measure){"token", .tokens = 1, .after = longest};
  } else {
    s->measures[s->n_measures++] = (pith_speed_measure){"shortText", .tokens = least(SHORT_TEXT, longest)};
    s->measures[s->n_measures++] = (pith_speed_measure){"longText", .tokens = longest};
  }
  begin_measure(s);
  return PITH_OK;
}

void pith_speed_free(pith_ctx *ctx, pith_speed *s) {
  for (int i = 0; i < 2; i++) pith_arena_free(ctx, &s->sides[i].arena);
  memset(s, 0, sizeof *s);
}

/* What the verbs make of the rows. */
static void finish_pass(pith_speed_side *side) {
  pith_forward *f = &side->forward;
  const pith_task task = side->model->config.task;
  pith_forward_finish(f);
  if (task == PITH_TASK_GENERATE) {
    pith_forward_logits(f, side->span.n_rows - 1, side->outputs);
  } else if (task == PITH_TASK_EMBED) {
    pith_pool(side->model, f->x, side->span.n_rows, side->model->config.normalize, side->outputs);
  } else {
    const uint32_t n_rows = task == PITH_TASK_TAG ? side->span.n_rows : 1;
    pith_head_rows(f, n_rows, f->x);
    pith_head_logits(f, n_rows, f->x, side->outputs);
  }
}

/* A half-layer or a part of it; true: the pass is through. */
static bool step_pass(pith_speed_side *side) {
  pith_forward *f = &side->forward;
  if (side->unit == 0) {
    side->span = (pith_span){0, least(f->max_rows, side->end - side->position), side->position};
    pith_forward_begin(f, side->ids + side->position, side->span.n_rows, &side->span, 1);
    side->unit = 1;
    return false;
  }
  if (side->unit <= 2 * side->model->config.n_layers) {
    if (pith_forward_half(f, side->unit - 1)) side->unit++;
    return false;
  }
  side->unit = 0;
  side->position += side->span.n_rows;
  if (side->position < side->end) return false;
  finish_pass(side);
  return true;
}

/* The round is through: the other model's turn, the next round, or the next measure. */
static pith_status end_round(pith_ctx *ctx, pith_speed *s) {
  pith_speed_measure *m = &s->measures[s->measure];
  const double pass_ms = s->elapsed_ms / s->n_passes;
  if (!(pass_ms > 0.0)) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the clock stands still");
  s->spent_ms += s->elapsed_ms;
  if (s->warming) s->sides[s->which].n_repeats = 1 + (uint32_t)(ROUND_MS / pass_ms);
  else m->ms[s->which][m->n_rounds] = pass_ms;
  s->elapsed_ms = 0.0;
  s->n_passes = 0;
  s->which++;
  if (s->which < s->n_sides) return PITH_PENDING;
  s->which = 0;
  if (!s->warming) m->n_rounds++;
  s->warming = false;
  if (m->n_rounds < PITH_SPEED_ROUNDS && !(m->n_rounds >= FEW_ROUNDS && s->spent_ms > LONG_MS)) return PITH_PENDING;
  s->measure++;
  begin_measure(s);
  return s->measure < s->n_measures ? PITH_PENDING : PITH_OK;
}

pith_status pith_speed_step(pith_ctx *ctx, pith_speed *s) {
  const pith_host *host = &ctx->host;
  if (s->measure == s->n_measures) return PITH_OK;
  pith_speed_side *side = &s->sides[s->which];
  const double begin = host->now_ms(host->user);
  double elapsed = 0.0;
  bool whole = false;
  while (!whole && elapsed < STEP_MS) {
    const bool through = step_pass(side);
    elapsed = host->now_ms(host->user) - begin;
    if (!through) continue;
    s->n_passes++;
    whole = s->n_passes == MAX_PASSES || (s->warming ? s->elapsed_ms + elapsed >= WARM_MS : s->n_passes == side->n_repeats);
    begin_pass(&s->measures[s->measure], side);
  }
  s->elapsed_ms += elapsed;
  return whole ? end_round(ctx, s) : PITH_PENDING;
}

double pith_speed_progress(const pith_speed *s) {
  const double rounds = s->measure < s->n_measures ? (double)s->measures[s->measure].n_rounds / PITH_SPEED_ROUNDS : 0.0;
  return ((double)s->measure + rounds) / s->n_measures;
}

static int compare_numbers(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(const double *values, uint32_t n) {
  double sorted[PITH_SPEED_ROUNDS];
  memcpy(sorted, values, n * sizeof *values);
  pith_sort(sorted, n, sizeof *sorted, compare_numbers);
  return 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
}

pith_json *pith_speed_report(const pith_speed *s) {
  static const char *const names[2][2] = {{"ms", "tokensPerSecond"}, {"msAgainst", "tokensPerSecondAgainst"}};
  pith_json *out = pith_json_new_object();
  pith_json_add_number(out, "threads", s->n_threads);
  for (uint32_t i = 0; i < s->n_measures; i++) {
    const pith_speed_measure *m = &s->measures[i];
    pith_json *measure = pith_json_new_object();
    double ms[2];
    pith_json_add_number(measure, m->after ? "after" : "tokens", m->after ? m->after : m->tokens);
    for (int side = 0; side < s->n_sides; side++) {
      ms[side] = median(m->ms[side], m->n_rounds);
      pith_json_add_number(measure, names[side][0], ms[side]);
      pith_json_add_number(measure, names[side][1], 1e3 * m->tokens / ms[side]);
    }
    if (s->n_sides == 2) pith_json_add_number(measure, "ratio", ms[1] / ms[0]);
    pith_json_add(out, m->name, measure);
  }
  return out;
}
