/* Attention over the spans of a batch: keys and values of each head lie in panels of their own, a decoder's for every layer. */
#include <string.h>

#include "model/forward_internal.h"

enum { SCORE_ROWS = 16 };   /* queries whose scores in f32 lie there at a time */

static bool is_integer(const pith_config *c) { return c->attention != PITH_ATTENTION_F32; }
static size_t code_bytes_of(const pith_config *c) { return c->attention == PITH_ATTENTION_I8 ? 1 : 2; }
static float scale_of(const pith_config *c) { return (float)(1.0 / __builtin_sqrt((double)c->head_dim)); }
static bool is_causal(const pith_config *c) { return c->family->task == PITH_TASK_GENERATE; }

/* Positions that there is room for, in whole panels or tiles. */
static size_t context_of(const pith_forward *f) { return pith_round_up(f->max_context, is_integer(f->config) ? PITH_KEYS : PITH_PANEL); }
/* A head's elements at one position. */
static size_t key_width(const pith_config *c) { return is_integer(c) ? pith_round_up((size_t)c->head_dim, 2) : (size_t)c->head_dim; }
static size_t value_width(const pith_config *c) { return pith_round_up((size_t)c->head_dim, PITH_PANEL); }

/* Heads of keys and values in the layers before: the buffers hold one layer's after the other's. */
static size_t heads_before(const pith_forward *f, uint32_t cached_layer) {
  size_t n = 0;
  for (uint32_t layer = 0; layer < cached_layer; layer++) n += (size_t)pith_layer_shape_of(f->config, (int32_t)layer).n_kv_heads;
  return n;
}

pith_attention_sizes pith_attention_sizes_of(const pith_forward *f) {
  const pith_config *c = f->config;
  const uint64_t heads = f->n_cached_layers > 1 ? heads_before(f, f->n_cached_layers) : (size_t)c->n_kv_heads, positions = heads * context_of(f);
  pith_attention_sizes s = {positions * key_width(c), positions * value_width(c), 0, sizeof(float), SCORE_ROWS * context_of(f)};
  if (is_integer(c)) {
    s.elem_bytes = code_bytes_of(c);
    s.scales = positions;
    s.scratch_floats = pith_attend_scratch((size_t)c->head_dim, code_bytes_of(c));
  }
  return s;
}

void pith_attention_init(pith_forward *f) {
  memset(f->value_scales, 0, (size_t)pith_attention_sizes_of(f).scales * sizeof *f->value_scales);   /* finite, as attend() wants those not stored yet */
}

/* ---- integer attention ---- */

/* head: of all in the buffers. */
static pith_head_memory memory_of(const pith_forward *f, size_t head) {
  const pith_config *c = f->config;
  const size_t at = head * context_of(f), bytes = code_bytes_of(c);
  return (pith_head_memory){(char *)f->keys + at * key_width(c) * bytes, (char *)f->values + at * value_width(c) * bytes, f->key_scales + at, f->value_scales + at};
}

/* Queries of one span that read the same head of keys and values: token after token, of each the heads that share it. They are counted so. */
static void attend_queries(pith_forward *f, const pith_span *span, size_t from, size_t to, size_t first_head, size_t head, uint32_t thread) {
  const pith_config *c = f->config;
  const size_t hd = (size_t)c->head_dim, shared = (size_t)(f->shape.n_heads / f->shape.n_kv_heads), q_stride = (size_t)f->shape.n_heads * hd;
  const pith_head_memory memory = memory_of(f, first_head + head);
  while (from < to) {
    pith_queries queries = {.n = to - from < PITH_ROWS ? to - from : PITH_ROWS};
    for (size_t i = 0; i < queries.n; i++, from++) {
      const size_t token = from / shared, at = (span->row + token) * q_stride + (head * shared + from % shared) * hd;
      queries.q[i] = f->q + at;
      queries.y[i] = f->attended + at;
      queries.seen[i] = is_causal(c) ? span->position + token + 1 : span->n_rows;
    }
    f->kernels->attend(&queries, hd, code_bytes_of(c), &memory, scale_of(c), f->scratch + thread * f->scratch_floats);
  }
}

/* ---- attention in f32 ---- */

/* Writes the span's keys and values of one head behind those that the panels of this layer hold already. */
static void store_keys_values(pith_forward *f, const pith_span *span, size_t first_head, size_t head) {
  const size_t hd = (size_t)f->config->head_dim, kv = (size_t)f->shape.n_kv_heads * hd, ctx = context_of(f);
  const float *k = f->k + span->row * kv + head * hd, *v = f->v + span->row * kv + head * hd;
  if (is_integer(f->config)) {
    const pith_head_memory memory = memory_of(f, first_head + head);
    f->kernels->remember(span->n_rows, hd, code_bytes_of(f->config), k, v, kv, span->position, &memory);
    return;
  }
  float *keys = (float *)f->keys + (first_head + head) * ctx * hd, *values = (float *)f->values + (first_head + head) * ctx * value_width(f->config);
  for (size_t i = 0; i < span->n_rows; i++, k += kv, v += kv) {
    const size_t p = span->position + i;
    for (size_t d = 0; d < hd; d++) {
      keys[(p / PITH_PANEL * hd + d) * PITH_PANEL + p % PITH_PANEL] = k[d];
      values[(d / PITH_PANEL * ctx + p) * PITH_PANEL + d % PITH_PANEL] = v[d];
    }
  }
}

/* softmax(q · kᵀ / √head_dim) · v for one head and some rows of one span, SCORE_ROWS queries at a time. Causal for decoders. */
static void attend_head(pith_forward *f, const pith_span *span, size_t from, size_t to, size_t first_head, size_t head, uint32_t thread) {
  const pith_config *c = f->config;
  const size_t hd = (size_t)c->head_dim, ctx = context_of(f), kv_head = head / (size_t)(f->shape.n_heads / f->shape.n_kv_heads), q_stride = (size_t)f->shape.n_heads * hd;
  const size_t at = first_head + kv_head;
  const float *keys = (const float *)f->keys + at * ctx * hd, *values = (const float *)f->values + at * ctx * value_width(c);
  float *tile = f->scratch + thread * f->scratch_floats;
  for (size_t begin = from; begin < to; begin += SCORE_ROWS) {
    const size_t n = to - begin < SCORE_ROWS ? to - begin : SCORE_ROWS;
    const size_t row = span->row + begin, first = span->position + begin, n_keys = is_causal(c) ? first + n : span->n_rows;
    f->kernels->gemm_f32(n, n_keys, hd, f->q + row * q_stride + head * hd, q_stride, keys, hd * PITH_PANEL, NULL, false, tile, ctx);
    for (size_t i = 0; i < n; i++) {
      float *scores = tile + i * ctx;
      const size_t seen = is_causal(c) ? first + i + 1 : n_keys;
      f->kernels->softmax(seen, scores, scale_of(c));
      for (size_t j = seen; j < n_keys; j++) scores[j] = 0.0f;
    }
    f->kernels->gemm_f32(n, hd, n_keys, tile, ctx, values, ctx * PITH_PANEL, NULL, false, f->attended + row * q_stride + head * hd, q_stride);
  }
}

/* ---- both: divided over heads ---- */

typedef struct attention_work {
  pith_forward *f;
  size_t first_head;         /* of the layer, in the buffers of keys and values */
  const pith_span *span;     /* one span's rows [from, to) */
  size_t from, to, n_units;
} attention_work;

/* Tokens [from, to) of a span with the query heads that read one head of keys and values. */
static void attend_tokens(pith_forward *f, const pith_span *span, size_t from, size_t to, size_t first_head, size_t head, uint32_t thread) {
  const size_t shared = (size_t)(f->shape.n_heads / f->shape.n_kv_heads);
  if (is_integer(f->config)) attend_queries(f, span, from * shared, to * shared, first_head, head, thread);
  else
    for (size_t q = head * shared; q < (head + 1) * shared; q++) attend_head(f, span, from, to, first_head, q, thread);
}

/* Heads of keys and values, each with all spans: an encoder's panels serve span after span. */
static void attend_spans(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const attention_work *w = arg;
  const size_t n = (size_t)w->f->shape.n_kv_heads;
  for (size_t head = pith_share_begin(n, part, n_parts); head < pith_share_end(n, part, n_parts); head++)
    for (uint32_t s = 0; s < w->f->n_spans; s++) {
      store_keys_values(w->f, &w->f->spans[s], w->first_head, head);
      attend_tokens(w->f, &w->f->spans[s], 0, w->f->spans[s].n_rows, w->first_head, head, thread);
    }
}

static void store_heads(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const attention_work *w = arg;
  const size_t n = (size_t)w->f->shape.n_kv_heads;
  (void)thread;
  for (size_t head = pith_share_begin(n, part, n_parts); head < pith_share_end(n, part, n_parts); head++) store_keys_values(w->f, w->span, w->first_head, head);
}

/* One span whose keys and values are stored: units of its queries, head after head. */
static void attend_units(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const attention_work *w = arg;
  const pith_layer_shape *s = &w->f->shape;
  const size_t shared = (size_t)(s->n_heads / s->n_kv_heads), queries = (w->to - w->from) * shared, units = w->n_units / (size_t)s->n_kv_heads;
  for (size_t u = pith_share_begin(w->n_units, part, n_parts); u < pith_share_end(w->n_units, part, n_parts); u++) {
    if (!is_integer(w->f->config)) {
      attend_head(w->f, w->span, w->from, w->to, w->first_head, u, thread);
      continue;
    }
    const size_t begin = queries * (u % units) / units, end = queries * (u % units + 1) / units;
    attend_queries(w->f, w->span, w->from * shared + begin, w->from * shared + end, w->first_head, u / units, thread);
  }
}

static double attention_macs(const pith_forward *f, const pith_span *span, size_t n_rows) {
  return 2.0 * f->shape.n_heads * f->config->head_dim * (double)n_rows * (span->position + span->n_rows);
}

/* Nanoseconds of all heads. */
static double attention_ns(const pith_forward *f, const pith_span *span, size_t n_rows) {
  const pith_config *c = f->config;
  return (double)f->shape.n_heads * (double)n_rows * (span->position + span->n_rows) * (2 * c->head_dim * (is_integer(c) ? MAC_I16_NS : MAC_F32_NS) + ACTIVATION_NS);
}

bool pith_attend(pith_forward *f, uint32_t cached_layer, double *budget) {
  const pith_config *c = f->config;
  const size_t n_heads = (size_t)f->shape.n_heads, n_kv = (size_t)f->shape.n_kv_heads;
  attention_work w = {.f = f, .first_head = heads_before(f, cached_layer)};
  double macs = 0, ns = 0;
  for (uint32_t s = 0; s < f->n_spans; s++) {
    macs += attention_macs(f, &f->spans[s], f->spans[s].n_rows);
    ns += attention_ns(f, &f->spans[s], f->spans[s].n_rows);
  }
  if (macs <= STEP_MACS && !(f->n_spans == 1 && n_kv < n_heads)) {
    pith_parallel_run(f->parallel, pith_parallel_parts(f->parallel, n_kv, ns / (double)n_kv), attend_spans, &w);
    *budget -= macs;
    return true;
  }
  if (f->span == f->n_spans) return true;   /* there is none */
  w.span = &f->spans[f->span];
  w.from = f->done;
  const double head_width = c->head_dim;
  if (w.from == 0) pith_parallel_run(f->parallel, pith_parallel_parts(f->parallel, n_kv, head_width * w.span->n_rows * 2 * QUANTIZE_NS), store_heads, &w);
  const double tiles = *budget / (attention_macs(f, w.span, SCORE_ROWS) + 1.0);
  const size_t left = w.span->n_rows - w.from, wished = (tiles > 1.0 ? (size_t)tiles : 1) * SCORE_ROWS, n = left < wished ? left : wished;
  w.to = w.from + n;
  /* Queries that go together share the reading of keys and values; where threads would wait for each other, fewer do. */
  const size_t queries = n * n_heads / n_kv, blocks = (queries + PITH_ROWS - 1) / PITH_ROWS;
  w.n_units = !is_integer(c) ? n_heads : n_kv * (f->n_threads > 1 && n_kv * blocks < 4 * (size_t)f->n_threads ? queries : blocks);
  pith_parallel_run(f->parallel, pith_parallel_parts(f->parallel, w.n_units, attention_ns(f, w.span, n) / (double)w.n_units), attend_units, &w);
  *budget -= attention_macs(f, w.span, n);
  f->done = w.to;
  if (w.to < w.span->n_rows) return false;
  f->done = 0;
  return ++f->span == f->n_spans;
}
