/* The grouped integer product with 4-bit codes by relaxed SIMD's i8 x i7 dot products: sixteen bytes of codes give a quad of four
 * outputs in their low halves and the next quad in their high ones. Exact, since codes are below 2^7.
 *
 * Two tiles, the same bits, as for u7. "pairs" gains more here: eight pair sums of at most 2 * 15 * 127 fit into i16, so a group of 32
 * is added in i16 and widened once. */
#include "kernels/tiles_simd128.h"
#include "kernels/variants.h"

enum { QUADS_IN_I16 = 8 };   /* 8 * 2 * 15 * 127 = 30480 < 2^15 */

/* A run of up to QUADS_IN_I16 quads of one group for R rows: to the i32 sums `acc` by the four-way product. */
#define RUN_DOT(R, w, a, n, ones)                                                                                               \
  for (size_t i = 0; i < (n); i += 2, (w) += PITH_PANEL * PITH_QUAD, (a) += 2 * PITH_ROWS * PITH_QUAD) {                        \
    const v128_t b0 = wasm_v128_load(w), b1 = wasm_v128_load((w) + 16);                                                         \
    const v128_t l0 = wasm_v128_and(b0, low), l1 = wasm_v128_and(b1, low), h0 = wasm_u8x16_shr(b0, 4), h1 = wasm_u8x16_shr(b1, 4); \
    FOR_ROWS(r, R) {                                                                                             \
      const v128_t row = wasm_v128_load32_splat((a) + r * PITH_QUAD);                                                           \
      acc[r][0] = relaxed_dot_add(row, l0, acc[r][0]);                                                                          \
      acc[r][1] = relaxed_dot_add(row, l1, acc[r][1]);                                                                          \
    }                                                                                                                           \
    if (i + 1 == (n)) break; /* an odd last quad: the high halves stand for no input */                                         \
    FOR_ROWS(r, R) {                                                                                             \
      const v128_t row = wasm_v128_load32_splat((a) + (PITH_ROWS + r) * PITH_QUAD);                                             \
      acc[r][0] = relaxed_dot_add(row, h0, acc[r][0]);                                                                          \
      acc[r][1] = relaxed_dot_add(row, h1, acc[r][1]);                                                                          \
    }                                                                                                                           \
  }                                                                                                                             \
  (void)(ones);

#define RUN_PAIRS(R, w, a, n, ones)                                                                                             \
  v128_t pairs[R][2];                                                                                                           \
  FOR_ROWS(r, R) pairs[r][0] = pairs[r][1] = wasm_i16x8_splat(0);                                                \
  for (size_t i = 0; i < (n); i += 2, (w) += PITH_PANEL * PITH_QUAD, (a) += 2 * PITH_ROWS * PITH_QUAD) {                        \
    const v128_t b0 = wasm_v128_load(w), b1 = wasm_v128_load((w) + 16);                                                         \
    const v128_t l0 = wasm_v128_and(b0, low), l1 = wasm_v128_and(b1, low), h0 = wasm_u8x16_shr(b0, 4), h1 = wasm_u8x16_shr(b1, 4); \
    FOR_ROWS(r, R) {                                                                                             \
      const v128_t row = wasm_v128_load32_splat((a) + r * PITH_QUAD);                                                           \
      pairs[r][0] = wasm_i16x8_add(pairs[r][0], dot_pairs(row, l0));                                                    \
      pairs[r][1] = wasm_i16x8_add(pairs[r][1], dot_pairs(row, l1));                                                    \
    }                                                                                                                           \
    if (i + 1 == (n)) break;                                                                                                    \
    FOR_ROWS(r, R) {                                                                                             \
      const v128_t row = wasm_v128_load32_splat((a) + (PITH_ROWS + r) * PITH_QUAD);                                             \
      pairs[r][0] = wasm_i16x8_add(pairs[r][0], dot_pairs(row, h0));                                                    \
      pairs[r][1] = wasm_i16x8_add(pairs[r][1], dot_pairs(row, h1));                                                    \
    }                                                                                                                           \
  }                                                                                                                             \
  FOR_ROWS(r, R) {                                                                                               \
    acc[r][0] = wasm_i32x4_add(acc[r][0], wasm_i32x4_dot_i16x8(pairs[r][0], ones));                                             \
    acc[r][1] = wasm_i32x4_add(acc[r][1], wasm_i32x4_dot_i16x8(pairs[r][1], ones));                                             \
  }

/* R rows by one panel. `ones` and `low` (15 in every byte) come as arguments, since constants would be rebuilt at every use. */
#define TILE(R, RUN, NAME)                                                                                                      \
  static void NAME##_##R(const row_block *x, const panel *p, float *y, v128_t ones, v128_t low) {                               \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w = p->codes;                                                                                                \
    v128_t total[R][2];                                                                                                         \
    FOR_ROWS(r, R) total[r][0] = total[r][1] = wasm_f32x4_splat(0.0f);                                           \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      v128_t acc[R][2];                                                                                                         \
      FOR_ROWS(r, R) acc[r][0] = acc[r][1] = wasm_i32x4_splat(0);                                                \
      while (q < end) {                                                                                                         \
        const size_t n = end - q < QUADS_IN_I16 ? end - q : QUADS_IN_I16;                                                       \
        q += n;                                                                                                                 \
        RUN(R, w, a, n, ones)                                                                                                   \
      }                                                                                                                         \
      const float *scales = p->scales + g * 2 * PITH_PANEL;                                                                     \
      const v128_t s0 = wasm_v128_load(scales), s1 = wasm_v128_load(scales + 4);                                                \
      const v128_t m0 = wasm_v128_load(scales + PITH_PANEL), m1 = wasm_v128_load(scales + PITH_PANEL + 4);                      \
      FOR_ROWS(r, R) {                                                                                           \
        const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r);                                     \
        const v128_t offset = wasm_f32x4_convert_i32x4(wasm_v128_load32_splat(x->offsets + g * PITH_ROWS + (size_t)r));         \
        const v128_t sum = wasm_f32x4_mul(offset, wasm_f32x4_splat(-0x1p-6f));                                                  \
        const v128_t t0 = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][0]), s0), wasm_f32x4_mul(sum, m0));     \
        const v128_t t1 = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][1]), s1), wasm_f32x4_mul(sum, m1));     \
        total[r][0] = wasm_f32x4_add(total[r][0], wasm_f32x4_mul(t0, scale));                                                   \
        total[r][1] = wasm_f32x4_add(total[r][1], wasm_f32x4_mul(t1, scale));                                                   \
      }                                                                                                                         \
    }                                                                                                                           \
    FOR_ROWS(r, R) {                                                                                             \
      wasm_v128_store(y + r * PITH_PANEL, total[r][0]);                                                                         \
      wasm_v128_store(y + r * PITH_PANEL + 4, total[r][1]);                                                                     \
    }                                                                                                                           \
  }
#define TILES(RUN, NAME)                                                                                                        \
  TILE(1, RUN, NAME)                                                                                                            \
  TILE(4, RUN, NAME)                                                                                                            \
  static void tile_##NAME(size_t n_rows, const row_block *x, const panel *p, float *y8) {                                       \
    static void (*const tiles[])(const row_block *, const panel *, float *, v128_t, v128_t) = {NAME##_1, NAME##_4}; \
    tiles[n_rows > 1](x, p, y8, wasm_i16x8_splat(1), wasm_i8x16_splat(15));                                                     \
  }
TILES(RUN_DOT, dot)
TILES(RUN_PAIRS, pairs)

static size_t panel_bytes(size_t k) { return (k + 2 * PITH_QUAD - 1) / (2 * PITH_QUAD) * PITH_PANEL * PITH_QUAD; }

PITH_GEMM_I8U4(gemm_i8u4_f32_relaxed_dot) {
  gemm_by_tiles(tile_dot, sizeof(int8_t), panel_bytes(k), 2 * PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}

PITH_GEMM_I8U4(gemm_i8u4_f32_relaxed_pairs) {
  gemm_by_tiles(tile_pairs, sizeof(int8_t), panel_bytes(k), 2 * PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
