/* The block-sparse integer product: of each panel only the quads that hold a weight are stored and visited, 8 outputs by 4 inputs at a
 * time. Skipped weights are exact zeros, so the zero point is taken off for visited quads alone. */
#include "kernels/tiles_simd128.h"
#include "kernels/variants.h"

/* The bits of up to 32 quads from `begin` on, a multiple of 8. A group is one loop, so that groups with equally many blocks are one
 * that the processor can predict: a loop a byte was 1.5 times slower. */
static inline uint32_t stored_quads(const uint8_t *mask, size_t begin, size_t end) {
  uint32_t bits = 0;
  for (size_t q = begin; q < end; q += 8) bits |= (uint32_t)mask[q / 8] << (q - begin);
  return end - begin < 32 ? bits & ((1u << (end - begin)) - 1) : bits;
}

/* Calls VISIT(q) for every quad of a group that has a block, in order. */
#define FOR_STORED(mask, begin, end, VISIT)                                                                          \
  for (size_t base = (begin); base < (end); base += 32)                                                              \
    for (uint32_t bits = stored_quads(mask, base, (end) - base < 32 ? (end) : base + 32); bits; bits &= bits - 1)     \
      VISIT(base + (size_t)__builtin_ctz(bits))

/* The walk over a panel's groups: BEGIN opens a group's sums, VISIT(q) adds a stored quad and moves on, END(g) folds them. */
#define FOR_GROUPS(x, BEGIN, VISIT, END)                                                                                        \
  for (size_t g = 0, q = 0; g < (x)->n_groups; g++) {                                                                           \
    const size_t end = q + (x)->quads_per_group < (x)->n_quads ? q + (x)->quads_per_group : (x)->n_quads;                       \
    BEGIN                                                                                                                       \
    FOR_STORED(mask, q, end, VISIT)                                                                                             \
    q = end;                                                                                                                    \
    END                                                                                                                         \
  }

/* --- activations of two bytes: signed weights by i16 pair products, half a panel at a time --- */

#define BEGIN_I16(R)                                                                                                            \
  v128_t acc[R][2];                                                                                                             \
  for (int r = 0; r < (R); r++) acc[r][0] = acc[r][1] = wasm_i32x4_splat(0);
#define VISIT_I16(R, quad)                                                                                                      \
  {                                                                                                                             \
    const v128_t w0 = wasm_i16x8_sub(load_u8x8(codes), zero), w1 = wasm_i16x8_sub(load_u8x8(codes + 8), zero);                  \
    const int16_t *at = a + (quad) * PITH_ROWS * PITH_QUAD;                                                                     \
    for (int r = 0; r < (R); r++) {                                                                                             \
      const v128_t row = wasm_v128_load64_splat(at + r * PITH_QUAD);                                                            \
      acc[r][0] = wasm_i32x4_add(acc[r][0], wasm_i32x4_dot_i16x8(w0, row));                                                     \
      acc[r][1] = wasm_i32x4_add(acc[r][1], wasm_i32x4_dot_i16x8(w1, row));                                                     \
    }                                                                                                                           \
    codes += PITH_BLOCK;                                                                                                        \
  }
#define END_I16(R)                                                                                                              \
  for (int r = 0; r < (R); r++) {                                                                                               \
    const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r);                                         \
    const v128_t dot = wasm_f32x4_convert_i32x4(fold_pairs(acc[r][0], acc[r][1]));                                              \
    const v128_t t = wasm_f32x4_mul(dot, wasm_v128_load(w_scales + g * PITH_PANEL));                                            \
    total[r] = wasm_f32x4_add(total[r], wasm_f32x4_mul(t, scale));                                                              \
  }
#define VISIT_I16_1(quad) VISIT_I16(1, quad)
#define VISIT_I16_4(quad) VISIT_I16(4, quad)
#define HALF_I16(R)                                                                                                             \
  static void i16_##R(const row_block *x, const uint8_t *codes, const uint8_t *mask, const float *w_scales, float *y) {         \
    const int16_t *a = x->codes;                                                                                                \
    const v128_t zero = wasm_i16x8_splat(PITH_U7_ZERO);                                                                         \
    v128_t total[R];                                                                                                            \
    for (int r = 0; r < (R); r++) total[r] = wasm_f32x4_splat(0.0f);                                                            \
    FOR_GROUPS(x, BEGIN_I16(R), VISIT_I16_##R, END_I16(R))                                                                      \
    for (int r = 0; r < (R); r++) wasm_v128_store(y + r * PITH_PANEL, total[r]);                                                \
  }
HALF_I16(1)
HALF_I16(4)

/* Rows that a block lacks are computed from what lies there, and not stored. */
static void tile_i16(size_t n_rows, const row_block *x, const uint8_t *codes, const uint8_t *mask, const float *w_scales, float *y8) {
  for (size_t half = 0; half < 2; half++) {
    if (n_rows == 1) i16_1(x, codes + 16 * half, mask, w_scales + 4 * half, y8 + 4 * half);
    else i16_4(x, codes + 16 * half, mask, w_scales + 4 * half, y8 + 4 * half);
  }
}

/* --- activations of one byte: unsigned weights by i8 dot products, the zero point apart --- */

#ifdef PITH_HAS_DOT_PAIRS
/* `sums` gathers the sums of the visited quads of all four rows at once. */
#define BEGIN_I8(R)                                                                                                             \
  v128_t acc[R][2], sums = wasm_i32x4_splat(0);                                                                                 \
  for (int r = 0; r < (R); r++) acc[r][0] = acc[r][1] = sums;
#define VISIT_I8(R, ADD, quad)                                                                                                  \
  {                                                                                                                             \
    const v128_t w0 = wasm_v128_load(codes), w1 = wasm_v128_load(codes + 16);                                                   \
    const int8_t *at = a + (quad) * PITH_ROWS * PITH_QUAD;                                                                      \
    for (int r = 0; r < (R); r++) {                                                                                             \
      const v128_t row = wasm_v128_load32_splat(at + r * PITH_QUAD);                                                            \
      acc[r][0] = ADD(row, w0, acc[r][0]);                                                                                      \
      acc[r][1] = ADD(row, w1, acc[r][1]);                                                                                      \
    }                                                                                                                           \
    sums = ADD(wasm_v128_load(at), ones8, sums);                                                                                \
    codes += PITH_BLOCK;                                                                                                        \
  }
#define END_I8(R)                                                                                                               \
  int32_t sum[PITH_ROWS];                                                                                                       \
  wasm_v128_store(sum, wasm_i32x4_shl(sums, 6)); /* the zero point is 2^6 */                                                    \
  const v128_t s0 = wasm_v128_load(w_scales + g * PITH_PANEL), s1 = wasm_v128_load(w_scales + g * PITH_PANEL + 4);              \
  for (int r = 0; r < (R); r++) {                                                                                               \
    const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r), zero = wasm_v128_load32_splat(sum + r);  \
    const v128_t d0 = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(acc[r][0], zero));                                                \
    const v128_t d1 = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(acc[r][1], zero));                                                \
    total[r][0] = wasm_f32x4_add(total[r][0], wasm_f32x4_mul(wasm_f32x4_mul(d0, s0), scale));                                   \
    total[r][1] = wasm_f32x4_add(total[r][1], wasm_f32x4_mul(wasm_f32x4_mul(d1, s1), scale));                                   \
  }
#define PANEL_I8(R, NAME)                                                                                                       \
  static void NAME##_##R(const row_block *x, const uint8_t *codes, const uint8_t *mask, const float *w_scales, float *y, v128_t ones16, \
                         v128_t ones8) {                                                                                        \
    const int8_t *a = x->codes;                                                                                                 \
    v128_t total[R][2];                                                                                                         \
    (void)ones16;                                                                                                               \
    for (int r = 0; r < (R); r++) total[r][0] = total[r][1] = wasm_f32x4_splat(0.0f);                                           \
    FOR_GROUPS(x, BEGIN_I8(R), VISIT_##NAME##_##R, END_I8(R))                                                                   \
    for (int r = 0; r < (R); r++) {                                                                                             \
      wasm_v128_store(y + r * PITH_PANEL, total[r][0]);                                                                         \
      wasm_v128_store(y + r * PITH_PANEL + 4, total[r][1]);                                                                     \
    }                                                                                                                           \
  }
#define TILE_I8(NAME)                                                                                                           \
  PANEL_I8(1, NAME)                                                                                                             \
  PANEL_I8(4, NAME)                                                                                                             \
  static void tile_##NAME(size_t n_rows, const row_block *x, const uint8_t *codes, const uint8_t *mask, const float *w_scales, float *y8) { \
    if (n_rows == 1) NAME##_1(x, codes, mask, w_scales, y8, wasm_i16x8_splat(1), wasm_i8x16_splat(1));                          \
    else NAME##_4(x, codes, mask, w_scales, y8, wasm_i16x8_splat(1), wasm_i8x16_splat(1));                                      \
  }

#define ADD_PAIRS(x, w, acc) wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(dot_pairs(x, w), ones16))
#define VISIT_pairs_1(quad) VISIT_I8(1, ADD_PAIRS, quad)
#define VISIT_pairs_4(quad) VISIT_I8(4, ADD_PAIRS, quad)
TILE_I8(pairs)
#endif

#ifdef __wasm_relaxed_simd__
#define VISIT_dot_1(quad) VISIT_I8(1, relaxed_dot_add, quad)
#define VISIT_dot_4(quad) VISIT_I8(4, relaxed_dot_add, quad)
TILE_I8(dot)
#endif

/* --- the walk over rows and panels --- */

typedef void sparse_tile_fn(size_t n_rows, const row_block *x, const uint8_t *codes, const uint8_t *mask, const float *w_scales, float *y8);

static inline __attribute__((always_inline)) void gemm_sparse(sparse_tile_fn *tile, size_t elem_bytes, size_t n_rows, size_t n, size_t k, size_t group_size,
                                                              const pith_activations *x, const pith_sparse_panels *w, const float *w_scales,
                                                              const float *bias, float *y, size_t y_stride) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD, row_bytes = n_quads * PITH_QUAD * elem_bytes, n_groups = x->n_groups;
  const size_t mask_bytes = (n_quads + 7) / 8, run = rows_in_cache(row_bytes);
  float y8[PITH_ROWS * PITH_PANEL];
  for (size_t begin = 0; begin < n_rows; begin += run) {
    const size_t end = n_rows - begin < run ? n_rows : begin + run;
    for (size_t o = 0, p = 0; o < n; o += PITH_PANEL, p++) {
      const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
      for (size_t row = begin; row < end; row += PITH_ROWS) {
        const size_t rows = end - row < PITH_ROWS ? end - row : PITH_ROWS;
        const row_block b = {n_groups, n_quads, group_size / PITH_QUAD, (const uint8_t *)x->codes + row * row_bytes, x->scales + row * n_groups,
                             x->offsets + row * n_groups};
        tile(rows, &b, w->codes + (size_t)w->starts[p] * PITH_BLOCK, w->mask + p * mask_bytes, w_scales + p * n_groups * PITH_PANEL, y8);
        store_tile(rows, width, y8, bias ? bias + o : NULL, y + row * y_stride + o, y_stride);
      }
    }
  }
}

PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_simd128) {
  gemm_sparse(tile_i16, sizeof(int16_t), n_rows, n, k, group_size, x, w, w_scales, bias, y, y_stride);
}

#ifdef PITH_HAS_DOT_PAIRS
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_pairs) {
  gemm_sparse(tile_pairs, sizeof(int8_t), n_rows, n, k, group_size, x, w, w_scales, bias, y, y_stride);
}
#endif

#ifdef __wasm_relaxed_simd__
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_dot) {
  gemm_sparse(tile_dot, sizeof(int8_t), n_rows, n, k, group_size, x, w, w_scales, bias, y, y_stride);
}
#endif
