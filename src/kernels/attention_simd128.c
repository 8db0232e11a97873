/* Integer attention by i16 pair products: a pair of a query's codes over four lanes meets the same pair of four keys, and a pair of weights the
 * same pair of positions of four value columns. A tile of PITH_KEYS positions passes from scores to weights in a few kilobytes of stack. */
#include <math.h>
#include <string.h>

#include "kernels/math_simd128.h"
#include "kernels/variants.h"

#define ALWAYS static inline __attribute__((always_inline))
#define NEVER static __attribute__((noinline))   /* once in the module, not in every shape of tile */

/* a > b ? a : b, as the definition compares */
static v128_t max_f32x4(v128_t a, v128_t b) { return wasm_f32x4_pmax(b, a); }

/* Four vectors' lanes a b c d become the lanes of one, (a + c) + (b + d) and the like. */
#define REDUCE(op, v)                                                                                                                        \
  op(wasm_i32x4_shuffle(op(wasm_i32x4_shuffle((v)[0], (v)[1], 0, 4, 1, 5), wasm_i32x4_shuffle((v)[0], (v)[1], 2, 6, 3, 7)),                   \
                        op(wasm_i32x4_shuffle((v)[2], (v)[3], 0, 4, 1, 5), wasm_i32x4_shuffle((v)[2], (v)[3], 2, 6, 3, 7)), 0, 1, 4, 5),      \
     wasm_i32x4_shuffle(op(wasm_i32x4_shuffle((v)[0], (v)[1], 0, 4, 1, 5), wasm_i32x4_shuffle((v)[0], (v)[1], 2, 6, 3, 7)),                   \
                        op(wasm_i32x4_shuffle((v)[2], (v)[3], 0, 4, 1, 5), wasm_i32x4_shuffle((v)[2], (v)[3], 2, 6, 3, 7)), 2, 3, 6, 7))

ALWAYS v128_t reduce_max(const v128_t v[4]) { return REDUCE(max_f32x4, v); }
ALWAYS v128_t reduce_sum(const v128_t v[4]) { return REDUCE(wasm_f32x4_add, v); }

/* Eight floats of a row from i on; zeros past n. */
ALWAYS void load_eight(size_t n, const float *x, size_t i, v128_t out[2]) {
  if (i + 8 <= n) {
    out[0] = wasm_v128_load(x + i);
    out[1] = wasm_v128_load(x + i + 4);
    return;
  }
  float rest[8] = {0};
  for (size_t k = 0; i + k < n; k++) rest[k] = x[i + k];
  out[0] = wasm_v128_load(rest);
  out[1] = wasm_v128_load(rest + 4);
}

/* How four rows, one a lane, become codes up to `limit`. */
typedef struct coders {
  float limit, inverses[4], scales[4];
} coders;

NEVER coders coders_of(size_t n, const float *const x[4], int32_t limit) {
  v128_t lanes[4], v[2];
  for (int r = 0; r < 4; r++) lanes[r] = SPLAT(0.0f);
  for (size_t i = 0; i < n; i += 8)
    for (int r = 0; r < 4; r++) {
      load_eight(n, x[r], i, v);
      lanes[r] = wasm_f32x4_pmax(wasm_f32x4_pmax(lanes[r], wasm_f32x4_abs(v[0])), wasm_f32x4_abs(v[1]));   /* NaN does not enter */
    }
  const v128_t absmax = reduce_max(lanes), most = SPLAT((float)limit), used = wasm_f32x4_ge(absmax, SPLAT(0x1p-100f));
  coders c = {.limit = (float)limit};
  wasm_v128_store(c.inverses, wasm_v128_and(wasm_f32x4_div(most, absmax), used));
  wasm_v128_store(c.scales, wasm_v128_and(wasm_f32x4_div(absmax, most), used));
  return c;
}

ALWAYS v128_t round_codes(v128_t x, const coders *c, size_t row) {
  v128_t q = wasm_f32x4_mul(x, LOAD_SPLAT(c->inverses[row]));
  q = wasm_v128_and(q, wasm_f32x4_eq(q, q));   /* NaN: 0 */
  q = wasm_f32x4_pmax(wasm_f32x4_pmin(q, SPLAT(c->limit)), SPLAT(-c->limit));
  return wasm_i32x4_sub(wasm_f32x4_add(q, SPLAT(ROUND_MAGIC)), wasm_i32x4_splat(ROUND_MAGIC_BITS));
}

/* Inputs i … i + 7 of a row of n as eight i16 codes. */
ALWAYS v128_t code_eight(size_t n, const float *x, size_t i, const coders *c, size_t row) {
  v128_t v[2];
  load_eight(n, x, i, v);
  return wasm_i16x8_narrow_i32x4(round_codes(v[0], c, row), round_codes(v[1], c, row));
}

/* Four pairs of codes, to every PITH_PANEL-th pair from `to` on; `pairs` of them are there. */
ALWAYS void store_key_pairs(bool bytes, v128_t codes, size_t pairs, void *to) {
  if (bytes) {
    int8_t *t = to;
    const v128_t narrow = wasm_i8x16_narrow_i16x8(codes, codes);
    wasm_v128_store16_lane(t, narrow, 0);
    if (pairs > 1) wasm_v128_store16_lane(t + 2 * PITH_PANEL, narrow, 1);
    if (pairs > 2) wasm_v128_store16_lane(t + 4 * PITH_PANEL, narrow, 2);
    if (pairs > 3) wasm_v128_store16_lane(t + 6 * PITH_PANEL, narrow, 3);
  } else {
    int16_t *t = to;
    wasm_v128_store32_lane(t, codes, 0);
    if (pairs > 1) wasm_v128_store32_lane(t + 2 * PITH_PANEL, codes, 1);
    if (pairs > 2) wasm_v128_store32_lane(t + 4 * PITH_PANEL, codes, 2);
    if (pairs > 3) wasm_v128_store32_lane(t + 6 * PITH_PANEL, codes, 3);
  }
}

/* Eight columns of the values at an even position and at the next one; `rows` of the two are there. */
ALWAYS void store_values(bool bytes, size_t rows, bool odd, v128_t first, v128_t second, void *to) {
  if (rows == 2) {
    const v128_t low = wasm_i16x8_shuffle(first, second, 0, 8, 1, 9, 2, 10, 3, 11), high = wasm_i16x8_shuffle(first, second, 4, 12, 5, 13, 6, 14, 7, 15);
    if (bytes) {
      wasm_v128_store(to, wasm_i8x16_narrow_i16x8(low, high));
    } else {
      wasm_v128_store(to, low);
      wasm_v128_store((int16_t *)to + 8, high);
    }
    return;
  }
  int16_t codes[PITH_PANEL];
  wasm_v128_store(codes, first);
  for (size_t d = 0; d < PITH_PANEL; d++) {
    if (bytes) ((int8_t *)to)[2 * d + odd] = (int8_t)codes[d];
    else ((int16_t *)to)[2 * d + odd] = codes[d];
  }
}

NEVER void remember_keys(size_t n_rows, size_t head_dim, size_t code_bytes, const float *k, size_t stride, size_t position, const pith_head_memory *memory) {
  const bool bytes = code_bytes == 1;
  const int32_t limit = bytes ? 127 : pith_key_limit(head_dim);
  const size_t pairs = (head_dim + 1) / 2;
  for (size_t row = 0; row < n_rows; row += 4) {
    const size_t n = n_rows - row < 4 ? n_rows - row : 4;
    const float *x[4];
    for (size_t r = 0; r < 4; r++) x[r] = k + (row + (r < n ? r : 0)) * stride;
    const coders c = coders_of(head_dim, x, limit);
    for (size_t r = 0; r < n; r++) {
      const size_t p = position + row + r;
      char *to = (char *)memory->keys + (p / PITH_PANEL * pairs * PITH_PANEL + p % PITH_PANEL) * 2 * code_bytes;
      memory->key_scales[p] = c.scales[r];
      for (size_t i = 0; i < pairs; i += 4) store_key_pairs(bytes, code_eight(head_dim, x[r], 2 * i, &c, r), pairs - i, to + i * PITH_PANEL * 2 * code_bytes);
    }
  }
}

NEVER void remember_values(size_t n_rows, size_t head_dim, size_t code_bytes, const float *v, size_t stride, size_t position, const pith_head_memory *memory) {
  const int32_t limit = code_bytes == 1 ? 127 : PITH_MAX_CODE;
  const size_t panels = (head_dim + PITH_PANEL - 1) / PITH_PANEL;
  for (size_t row = 0, n; row < n_rows; row += n) {
    const size_t left = n_rows - row;
    n = (position + row) % 2 != 0 ? 1 : left < 4 ? left : 4;   /* pairs of positions lie together */
    const float *x[4];
    for (size_t r = 0; r < 4; r++) x[r] = v + (row + (r < n ? r : 0)) * stride;
    const coders c = coders_of(head_dim, x, limit);
    for (size_t r = 0; r < n; r++) memory->value_scales[position + row + r] = c.scales[r];
    for (size_t r = 0; r < n; r += 2) {
      const size_t at = position + row + r, rows = n - r < 2 ? 1 : 2;
      for (size_t p = 0; p < panels; p++) {
        char *to = (char *)memory->values + ((at / PITH_KEYS * panels + p) * (PITH_KEYS / 2) + at % PITH_KEYS / 2) * 2 * PITH_PANEL * code_bytes;
        const v128_t first = code_eight(head_dim, x[r], p * PITH_PANEL, &c, r);
        store_values(code_bytes == 1, rows, at % 2 != 0, first, rows == 2 ? code_eight(head_dim, x[r + 1], p * PITH_PANEL, &c, r + 1) : first, to);
      }
    }
  }
}

void remember_simd128(size_t n_rows, size_t head_dim, size_t code_bytes, const float *k, const float *v, size_t stride, size_t position,
                      const pith_head_memory *memory) {
  remember_keys(n_rows, head_dim, code_bytes, k, stride, position, memory);
  remember_values(n_rows, head_dim, code_bytes, v, stride, position, memory);
}

/* n codes of one byte, a multiple of 16, as i16. */
NEVER void widen(size_t n, const int8_t *from, int16_t *to) {
  for (size_t i = 0; i < n; i += 16) {
    const v128_t codes = wasm_v128_load(from + i);
    wasm_v128_store(to + i, wasm_i16x8_extend_low_i8x16(codes));
    wasm_v128_store(to + i + 8, wasm_i16x8_extend_high_i8x16(codes));
  }
}

#ifndef PITH_PAIR_PRODUCTS   /* attention_avx2.c has its own */
/* Sums of `n` pairs for R rows and eight columns. x: [pairs][..] of i16, a pair x_step elements after the one before it, rows row_step apart */
ALWAYS void pair_products(const int R, size_t n, const int16_t *x, size_t x_step, size_t row_step, const int16_t *w, v128_t acc[][2]) {
  FOR_ROWS(r, R) acc[r][0] = acc[r][1] = wasm_i32x4_splat(0);
  for (const int16_t *end = w + n * 2 * PITH_PANEL; w != end; w += 2 * PITH_PANEL, x += x_step) {
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 8);
    FOR_ROWS(r, R) {
      const v128_t pair = wasm_v128_load32_splat(x + (size_t)r * row_step);
      acc[r][0] = wasm_i32x4_add(acc[r][0], wasm_i32x4_dot_i16x8(pair, w0));
      acc[r][1] = wasm_i32x4_add(acc[r][1], wasm_i32x4_dot_i16x8(pair, w1));
    }
  }
}
#endif

/* What is known of four queries so far, one a lane. */
typedef struct row_state {
  float q_scales[4], max[4], total[4], shrink[4], weight_scales[4];
} row_state;

/* The R rows' scores of the tile's first n positions, of which row r sees seen[r]; the others, to the end of the last panel, are -inf. scores: (R, PITH_KEYS) */
ALWAYS void tile_scores(const int R, size_t pairs, const int16_t *q, const int16_t *keys, const float *key_scales, size_t n, const size_t *seen,
                        const row_state *state, float *scores) {
  const size_t in_panels = (n + PITH_PANEL - 1) / PITH_PANEL * PITH_PANEL;
  for (size_t j = 0; j < n; j += PITH_PANEL) {
    v128_t acc[PITH_ROWS][2];
    pair_products(R, pairs, q, (size_t)R * 2, 2, keys + j * pairs * 2, acc);
    const v128_t s0 = wasm_v128_load(key_scales + j), s1 = wasm_v128_load(key_scales + j + 4);
    FOR_ROWS(r, R) {
      const v128_t scale = LOAD_SPLAT(state->q_scales[r]);
      wasm_v128_store(scores + (size_t)r * PITH_KEYS + j, wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][0]), s0), scale));
      wasm_v128_store(scores + (size_t)r * PITH_KEYS + j + 4, wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][1]), s1), scale));
    }
  }
  FOR_ROWS(r, R)
    for (size_t j = seen[r]; j < in_panels; j++) scores[(size_t)r * PITH_KEYS + j] = -INFINITY;
}

/* The rows' scores become weights, of which the first n are looked at. */
NEVER void weigh(int n_rows, size_t n, const float *value_scales, float *scores, int16_t *weights, row_state *state) {
  v128_t highest[4], sums[4];
  for (int r = 0; r < 4; r++) highest[r] = sums[r] = SPLAT(-INFINITY);
  for (size_t j = 0; j < n; j += 4)
    for (int r = 0; r < n_rows; r++) highest[r] = max_f32x4(wasm_v128_load(scores + r * PITH_KEYS + j), highest[r]);
  const v128_t old = wasm_v128_load(state->max), max = max_f32x4(reduce_max(highest), old), shrink = exp2_f32x4(wasm_f32x4_sub(old, max));
  wasm_v128_store(state->max, max);
  wasm_v128_store(state->shrink, shrink);
  for (int r = 0; r < 4; r++) highest[r] = sums[r] = SPLAT(0.0f);
  for (int r = 0; r < n_rows; r++) {
    const v128_t row_max = LOAD_SPLAT(state->max[r]);
    for (size_t j = 0; j < n; j += 4) {
      const v128_t e = exp2_f32x4(wasm_f32x4_sub(wasm_v128_load(scores + r * PITH_KEYS + j), row_max));
      const v128_t p = wasm_f32x4_mul(e, wasm_v128_load(value_scales + j));
      sums[r] = wasm_f32x4_add(sums[r], e);
      highest[r] = max_f32x4(p, highest[r]);
      wasm_v128_store(scores + r * PITH_KEYS + j, p);
    }
  }
  wasm_v128_store(state->total, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(state->total), shrink), reduce_sum(sums)));
  const v128_t p_max = reduce_max(highest), most = SPLAT((float)PITH_MAX_WEIGHT), magic = SPLAT(ROUND_MAGIC);
  float inverses[4];
  wasm_v128_store(state->weight_scales, wasm_f32x4_div(p_max, most));
  wasm_v128_store(inverses, wasm_v128_and(wasm_f32x4_div(most, p_max), wasm_f32x4_ge(p_max, SPLAT(0x1p-100f))));
  for (int r = 0; r < n_rows; r++) {
    const v128_t inverse = LOAD_SPLAT(inverses[r]);
    for (size_t j = 0; j < n; j += 8) {   /* the magic number's low half is zero, so that the sums' low halves are the weights */
      const v128_t a = wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(scores + r * PITH_KEYS + j), inverse), magic);
      const v128_t b = wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(scores + r * PITH_KEYS + j + 4), inverse), magic);
      wasm_v128_store(weights + r * PITH_KEYS + j, wasm_i16x8_shuffle(a, b, 0, 2, 4, 6, 8, 10, 12, 14));
    }
  }
}

/* sums = sums * shrink + weights · values. sums: (R, panels * 8) */
ALWAYS void tile_values(const int R, size_t panels, size_t n, const int16_t *weights, const int16_t *values, const row_state *state, float *sums) {
  const size_t width = panels * PITH_PANEL;
  for (size_t p = 0; p < panels; p++) {
    v128_t acc[PITH_ROWS][2];
    pair_products(R, (n + 1) / 2, weights, 2, PITH_KEYS, values + p * PITH_KEYS * PITH_PANEL, acc);
    FOR_ROWS(r, R) {
      float *at = sums + (size_t)r * width + p * PITH_PANEL;
      const v128_t f = LOAD_SPLAT(state->shrink[r]), scale = LOAD_SPLAT(state->weight_scales[r]);
      FOR_ROWS(half, 2) {
        const v128_t t = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][half]), scale);
        wasm_v128_store(at + 4 * half, wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(at + 4 * half), f), t));
      }
    }
  }
}

/* Queries to their pairs, [pairs][R][2]; those that are not there are like the first. */
NEVER void code_queries(size_t n_rows, const pith_queries *queries, size_t head_dim, int16_t *q, float scale, row_state *state) {
  const float *x[4];
  for (size_t r = 0; r < 4; r++) x[r] = queries->q[r < queries->n ? r : 0];
  const coders c = coders_of(head_dim, x, pith_key_limit(head_dim));
  for (size_t r = 0; r < n_rows; r++)
    for (size_t d = 0; d < head_dim; d += 8) {
      int16_t codes[8];
      wasm_v128_store(codes, code_eight(head_dim, x[r], d, &c, r));
      for (size_t i = 0; i < 8 && d + i < head_dim; i += 2) memcpy(q + ((d + i) / 2 * n_rows + r) * 2, codes + i, 2 * sizeof *codes);
    }
  wasm_v128_store(state->q_scales, wasm_f32x4_mul(wasm_v128_load(c.scales), SPLAT(scale * PITH_LOG2_E)));
  wasm_v128_store(state->max, SPLAT(-INFINITY));
  wasm_v128_store(state->total, SPLAT(0.0f));
}

ALWAYS void attend_rows(const int R, const pith_queries *queries, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *scratch) {
  const size_t pairs = (head_dim + 1) / 2, panels = (head_dim + PITH_PANEL - 1) / PITH_PANEL, width = panels * PITH_PANEL;
  float *sums = scratch, scores[PITH_ROWS * PITH_KEYS];
  int16_t *q = (int16_t *)(void *)(scratch + PITH_ROWS * width), *wide = q + PITH_ROWS * 2 * pairs, weights[PITH_ROWS * PITH_KEYS];
  row_state state;
  size_t most = 0;
  code_queries((size_t)R, queries, head_dim, q, scale, &state);
  for (size_t r = 0; r < queries->n; r++)
    if (queries->seen[r] > most) most = queries->seen[r];
  memset(sums, 0, (size_t)R * width * sizeof *sums);
  for (size_t first = 0; first < most; first += PITH_KEYS) {
    const size_t n = most - first < PITH_KEYS ? most - first : PITH_KEYS, in_panels = (n + PITH_PANEL - 1) / PITH_PANEL * PITH_PANEL;
    size_t seen[PITH_ROWS];
    for (size_t r = 0; r < (size_t)R; r++) {
      const size_t all = queries->seen[r < queries->n ? r : 0];
      seen[r] = all <= first ? 0 : all - first < PITH_KEYS ? all - first : PITH_KEYS;
    }
    const int16_t *keys = (const int16_t *)memory->keys + first * pairs * 2, *values = (const int16_t *)memory->values + first * width;
    if (code_bytes == 1) {
      widen(in_panels * pairs * 2, (const int8_t *)memory->keys + first * pairs * 2, wide);
      widen(PITH_KEYS * width, (const int8_t *)memory->values + first * width, wide + PITH_KEYS * pairs * 2);
      keys = wide;
      values = wide + PITH_KEYS * pairs * 2;
    }
    tile_scores(R, pairs, q, keys, memory->key_scales + first, n, seen, &state, scores);
    weigh(R, in_panels, memory->value_scales + first, scores, weights, &state);
    tile_values(R, panels, n, weights, values, &state, sums);
  }
  for (size_t r = 0; r < queries->n; r++) {
    const float inverse = 1.0f / state.total[r];
    const v128_t inverses = SPLAT(inverse);
    size_t d = 0;
    for (; d + 4 <= head_dim; d += 4) wasm_v128_store(queries->y[r] + d, wasm_f32x4_mul(wasm_v128_load(sums + r * width + d), inverses));
    for (; d < head_dim; d++) queries->y[r][d] = sums[r * width + d] * inverse;
  }
}

void attend_simd128(const pith_queries *queries, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *scratch) {
  if (queries->n == 1) attend_rows(1, queries, head_dim, code_bytes, memory, scale, scratch);
  else attend_rows(PITH_ROWS, queries, head_dim, code_bytes, memory, scale, scratch);
}
