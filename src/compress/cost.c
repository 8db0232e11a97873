#include "compress/cost.h"

#include <string.h>

enum { POOL_BYTES = 64 << 20, POOL_BYTE = 0x2c };   /* as a code of any width, as a half and as a float something small and harmless */
#define SAMPLE_MS 0.25     /* a sample takes at least so long, */
#define SAMPLE_TICKS 16.0  /* and so many of the clock's steps, which are a millisecond on some hosts */
#define ROUND_MS 10.0
#define ALIKE 1.05         /* the two shortest samples, when no more are needed */
static const pith_recipe_rule u7 = {.encoding = PITH_ENC_U7, .group_size = 64};

pith_status pith_cost_begin(pith_ctx *ctx, pith_cost *c, const pith_config *config, const pith_kernels *kernels, pith_attention attention, uint32_t tokens) {
  const bool causal = config->family->task == PITH_TASK_GENERATE;
  memset(c, 0, sizeof *c);
  if (tokens < 1 || tokens + causal > (uint32_t)config->max_positions)
    return pith_fail(ctx, PITH_E_LIMIT, "the model takes at most %d tokens, not %u", (int)config->max_positions - causal, (unsigned)tokens);
  c->config = *config;
  c->config.n_layers = 1;
  c->config.attention = attention;
  c->config.layers = &c->shape;
  c->kernels = kernels;
  c->tokens = tokens;
  c->n_rows = causal ? 1 : tokens;
  pith_slot slots[PITH_MAX_SLOTS];
  for (int32_t layer = 0; layer < config->n_layers; layer++)
    for (uint32_t i = 0, n = config->family->slots(config, layer, slots); i < n; i++) c->weights += slots[i].role == PITH_ROLE_MATRIX ? (double)slots[i].rows * slots[i].cols : 0.0;
  return PITH_OK;
}

void pith_cost_free(pith_ctx *ctx, pith_cost *c) {
  pith_free(ctx, c->timed);
  pith_arena_free(ctx, &c->pool);
  pith_free(ctx, c->ones);
  pith_free(ctx, c->x);
  pith_free(ctx, c->y);
  memset(c, 0, sizeof *c);
}

/* ---- what is timed ---- */

static bool same_shape(pith_layer_shape a, pith_layer_shape b) { return a.n_heads == b.n_heads && a.n_kv_heads == b.n_kv_heads && a.intermediate_size == b.intermediate_size; }

static bool same(const pith_timed *a, const pith_timed *b) {
  return a->matrix.rows == b->matrix.rows && a->matrix.cols == b->matrix.cols && a->matrix.encoding == b->matrix.encoding && a->matrix.group_size == b->matrix.group_size &&
         a->n_rows == b->n_rows && a->half == b->half && same_shape(a->shape, b->shape);
}

static pith_status add(pith_ctx *ctx, pith_cost *c, const pith_timed *timed, uint32_t *index) {
  for (*index = 0; *index < c->n; ++*index)
    if (same(&c->timed[*index], timed)) return PITH_OK;
  if (c->n == c->capacity) {
    const uint32_t capacity = c->capacity ? 2 * c->capacity : 64;
    PITH_TRY(pith_realloc(ctx, &c->timed, c->n * sizeof *c->timed, capacity * sizeof *c->timed));
    c->capacity = capacity;
  }
  c->timed[c->n++] = *timed;
  return PITH_OK;
}

/* As loading leaves it, without parts. */
static pith_matrix matrix_of(uint32_t rows, uint32_t cols, const pith_recipe_rule *rule) {
  const pith_encoding encoding = pith_encoding_bits(rule->encoding) ? PITH_ENC_U7 : rule->encoding;
  const bool rowwise = rule->group_size == 0 && pith_encoding_group_multiple(encoding) != 0;
  return (pith_matrix){encoding, PITH_F16, rows, cols, rowwise ? (uint32_t)pith_round_up(cols, PITH_QUAD) : rule->group_size, 0, NULL};
}

pith_status pith_cost_product(pith_ctx *ctx, pith_cost *c, uint32_t rows, uint32_t cols, const pith_recipe_rule *rule, uint32_t n_rows, uint32_t *index) {
  const pith_timed timed = {.matrix = matrix_of(rows, cols, rule), .n_rows = n_rows ? n_rows : c->n_rows};
  return add(ctx, c, &timed, index);
}

static uint32_t slots_of(pith_cost *c, pith_layer_shape shape, int32_t half, pith_slot out[PITH_MAX_SLOTS]) {
  pith_slot slots[PITH_MAX_SLOTS];
  uint32_t n_out = 0;
  c->shape = shape;
  for (uint32_t i = 0, n = c->config.family->slots(&c->config, 0, slots); i < n; i++)
    if (slots[i].role == PITH_ROLE_MATRIX && pith_forward_half_of(&c->config, slots[i].id) == half) out[n_out++] = slots[i];
  return n_out;
}

pith_status pith_cost_half(pith_ctx *ctx, pith_cost *c, int32_t half, pith_layer_shape shape, uint32_t *index) {
  pith_slot slots[PITH_MAX_SLOTS];
  uint32_t product;
  for (uint32_t i = 0, n = slots_of(c, shape, half, slots); i < n; i++) PITH_TRY(pith_cost_product(ctx, c, slots[i].rows, slots[i].cols, &u7, 0, &product));
  const pith_timed timed = {.n_rows = c->n_rows, .half = half, .shape = shape};
  return add(ctx, c, &timed, index);
}

double pith_cost_rest(const pith_cost *cost, int32_t half, pith_layer_shape shape) {
  pith_cost copy = *cost;   /* nothing is added: all of it has been */
  pith_slot slots[PITH_MAX_SLOTS];
  double products = 0.0, whole = 0.0;
  copy.config.layers = &copy.shape;
  for (uint32_t i = 0, n = slots_of(&copy, shape, half, slots); i < n; i++) {
    const pith_timed product = {.matrix = matrix_of(slots[i].rows, slots[i].cols, &u7), .n_rows = copy.n_rows};
    for (uint32_t k = 0; k < copy.n; k++) products += same(&copy.timed[k], &product) ? copy.timed[k].ms : 0.0;
  }
  const pith_timed timed = {.n_rows = copy.n_rows, .half = half, .shape = shape};
  for (uint32_t k = 0; k < copy.n; k++) whole += same(&copy.timed[k], &timed) ? copy.timed[k].ms : 0.0;
  return whole > products ? whole - products : 0.0;
}

/* ---- samples ---- */

static size_t bytes_of(const pith_matrix *m) {
  return pith_round_up((size_t)pith_matrix_code_bytes(m, m->rows), PITH_ALIGN) + pith_round_up((size_t)pith_matrix_scale_bytes(m, m->rows), PITH_ALIGN);
}

static pith_status allocate(pith_ctx *ctx, pith_cost *c) {
  const pith_config *config = &c->config;
  const size_t widest = (size_t)(config->intermediate_size > config->hidden_size ? config->intermediate_size : config->hidden_size);
  size_t largest = 0, inputs = (size_t)c->n_rows * widest, outputs = inputs, ones = widest;
  for (uint32_t i = 0; i < c->n; i++) {
    const pith_matrix *m = &c->timed[i].matrix;
    if (m->rows == 0) continue;
    if (bytes_of(m) > largest) largest = bytes_of(m);
    if ((size_t)c->timed[i].n_rows * m->cols > inputs) inputs = (size_t)c->timed[i].n_rows * m->cols;
    if ((size_t)c->timed[i].n_rows * m->rows > outputs) outputs = (size_t)c->timed[i].n_rows * m->rows;
    if (m->rows > ones) ones = m->rows;
    if (m->cols > ones) ones = m->cols;
  }
  const double wished = 2.0 * c->weights < POOL_BYTES ? 2.0 * c->weights : POOL_BYTES;
  PITH_TRY(pith_arena_init(ctx, &c->pool, wished > (double)largest ? (size_t)wished : largest));
  PITH_TRY(pith_calloc(ctx, ones, sizeof *c->ones, &c->ones));
  PITH_TRY(pith_calloc(ctx, inputs, sizeof *c->x, &c->x));
  PITH_TRY(pith_calloc(ctx, outputs, sizeof *c->y, &c->y));
  memset(c->pool.base, POOL_BYTE, c->pool.capacity);
  for (size_t i = 0; i < ones; i++) c->ones[i] = 1.0f;
  for (size_t i = 0; i < inputs; i++) c->x[i] = (float)(i * 2654435761u % 2048) / 1024.0f - 1.0f;
  return PITH_OK;
}

/* The next place in the pool, as many as the model's layers would have with all matrices so. */
static void place(pith_cost *c, pith_matrix *m, pith_part *part) {
  const size_t codes = pith_round_up((size_t)pith_matrix_code_bytes(m, m->rows), PITH_ALIGN), n_bytes = bytes_of(m);
  const double all = c->weights * (double)n_bytes / ((double)m->rows * m->cols);
  const size_t span = all < (double)c->pool.capacity ? (size_t)all : c->pool.capacity;
  if (c->cursor + n_bytes > span) c->cursor = 0;
  uint8_t *at = c->pool.base + c->cursor;
  *part = (pith_part){.n_rows = m->rows, .codes = at, .scales = n_bytes > codes ? at + codes : NULL};
  m->n_parts = 1;
  m->parts = part;
  c->cursor += n_bytes;
}

typedef struct bench {
  pith_cost *cost;
  pith_timed *timed;
  pith_weights weights;
  pith_part parts[PITH_MAX_SLOTS];
  pith_slot slots[PITH_MAX_SLOTS];
  uint32_t n_slots;
  pith_forward forward;
  pith_arena arena;
  pith_span span;
} bench;

/* One run of it, with weights of the next place. */
static void run_once(bench *b) {
  pith_cost *c = b->cost;
  pith_stage *layer = pith_weights_stage(&b->weights, 0);
  if (b->timed->matrix.rows) {
    pith_matrix *m = &layer->weights[PITH_QUERY].matrix;
    place(c, m, b->parts);
    pith_forward_product(&b->forward, m, NULL, b->timed->n_rows, c->x, m->cols, c->y, m->rows);
    return;
  }
  for (uint32_t i = 0; i < b->n_slots; i++)
    if (b->slots[i].role == PITH_ROLE_MATRIX) place(c, &layer->weights[b->slots[i].id].matrix, &b->parts[i]);
  pith_forward_resume(&b->forward, c->x, b->timed->n_rows, &b->span, 1);
  while (!pith_forward_half(&b->forward, b->timed->half)) continue;
}

static pith_status prepare(pith_ctx *ctx, bench *b) {
  pith_cost *c = b->cost;
  uint64_t n_bytes;
  PITH_TRY(pith_weights_init(ctx, &b->weights, 1));
  pith_stage *layer = pith_weights_stage(&b->weights, 0);
  if (b->timed->matrix.rows) {
    layer->weights[PITH_QUERY].matrix = b->timed->matrix;
    place(c, &layer->weights[PITH_QUERY].matrix, b->parts);
  } else {
    c->shape = b->timed->shape;
    b->n_slots = c->config.family->slots(&c->config, 0, b->slots);
    for (uint32_t i = 0; i < b->n_slots; i++) {
      pith_weight *weight = &layer->weights[b->slots[i].id];
      if (b->slots[i].role == PITH_ROLE_MATRIX) {
        weight->matrix = matrix_of(b->slots[i].rows, b->slots[i].cols, &u7);
        place(c, &weight->matrix, &b->parts[i]);
      } else {
        weight->vector = c->ones;
      }
    }
  }
  b->span = (pith_span){0, b->timed->n_rows, c->config.family->task == PITH_TASK_GENERATE ? c->tokens : 0};
  const uint32_t context = c->tokens + 1;
  if (!pith_forward_plan(ctx, &c->config, &b->weights, c->kernels, c->n_rows, context, &n_bytes)) return pith_fail(ctx, PITH_E_MEMORY, "the work to time does not fit the address space");
  PITH_TRY(pith_arena_init(ctx, &b->arena, (size_t)n_bytes));
  memset(b->arena.base, 0, b->arena.capacity);   /* a decoder's positions before the one at hand are never stored */
  return pith_forward_init(ctx, &b->forward, &c->config, &b->weights, c->kernels, c->n_rows, context, &b->arena);
}

static double now(const pith_ctx *ctx) { return ctx->host.now_ms(ctx->host.user); }

/* The least step that the clock is seen to take. */
static double tick_of(const pith_ctx *ctx) {
  double least = 1e300;
  for (int i = 0; i < 3; i++) {
    const double begin = now(ctx);
    double end;
    do end = now(ctx);
    while (!(end > begin));
    if (end - begin < least) least = end - begin;
  }
  return least;
}

static pith_status sample(pith_ctx *ctx, bench *b) {
  const double ticks = SAMPLE_TICKS * b->cost->tick_ms, least = ticks > SAMPLE_MS ? ticks : SAMPLE_MS;
  PITH_TRY(prepare(ctx, b));
  run_once(b);
  const double first = now(ctx);
  double begin = first, end = first;
  for (uint32_t i = 0, n = 0; i < PITH_COST_SAMPLES && end - first < ROUND_MS; i++, begin = end, n = 0) {
    do {
      run_once(b);
      n++;
      end = now(ctx);
    } while (end - begin < least);
    const double ms = (end - begin) / n;
    pith_timed *t = b->timed;
    if (t->ms == 0.0 || ms < t->ms) {
      t->second = t->ms;
      t->ms = ms;
    } else if (t->second == 0.0 || ms < t->second) {
      t->second = ms;
    }
  }
  return PITH_OK;
}

static bool settled(const pith_timed *t) { return t->second > 0.0 && t->second <= ALIKE * t->ms; }

pith_status pith_cost_step(pith_ctx *ctx, pith_cost *c) {
  if (c->round == PITH_COST_MOST_ROUNDS || c->n == 0) return PITH_OK;
  if (!c->pool.base) {
    PITH_TRY(allocate(ctx, c));
    c->tick_ms = tick_of(ctx);
  }
  bench b = {.cost = c, .timed = &c->timed[c->at]};
  const pith_status status = sample(ctx, &b);
  pith_arena_free(ctx, &b.arena);
  pith_weights_free(ctx, &b.weights);
  PITH_TRY(status);
  do c->at++;
  while (c->at < c->n && c->round >= PITH_COST_ROUNDS && settled(&c->timed[c->at]));
  if (c->at < c->n) return PITH_PENDING;
  c->round++;
  for (c->at = 0; c->at < c->n && c->round >= PITH_COST_ROUNDS && settled(&c->timed[c->at]);) c->at++;
  if (c->at < c->n && c->round < PITH_COST_MOST_ROUNDS) return PITH_PENDING;
  c->at = 0;
  c->round = PITH_COST_MOST_ROUNDS;
  return PITH_OK;
}
