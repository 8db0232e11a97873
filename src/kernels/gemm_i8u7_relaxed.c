/* The grouped integer product by relaxed SIMD's i8 x i7 dot products: a quad of codes of four outputs against a quad of activations,
 * sixteen products an instruction. The relaxed instructions are exact here: weight codes never set bit 7, and a pair sum is at most
 * 2 * 127 * 127 < 2^15.
 *
 * Two tiles, the same bits. "dot" adds quads to i32 in one instruction, which processors with a four-way dot product run as one;
 * elsewhere engines spell it in five, and "pairs" (i16 pair sums, widened by a multiplication with ones that stays in a register)
 * is a quarter faster. variants.c asks the engine which it does. */
#include "kernels/tiles_simd128.h"
#include "kernels/variants.h"

static inline v128_t add_dot(v128_t x, v128_t w, v128_t acc, v128_t ones) {
  (void)ones;
  return relaxed_dot_add(x, w, acc);
}

static inline v128_t add_pairs(v128_t x, v128_t w, v128_t acc, v128_t ones) {
  return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(dot_pairs(x, w), ones));
}

/* R rows by one panel. `ones` comes as an argument, since a constant would be rebuilt at every use. */
#define TILE(R, ADD)                                                                                                            \
  static void ADD##_##R(const row_block *x, const panel *p, float *y, v128_t ones) {                                            \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w = p->codes;                                                                                                \
    v128_t total[R][2];                                                                                                         \
    FOR_ROWS(r, R) total[r][0] = total[r][1] = wasm_f32x4_splat(0.0f);                                           \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      v128_t acc[R][2];                                                                                                         \
      FOR_ROWS(r, R) acc[r][0] = acc[r][1] = wasm_v128_load32_splat(x->offsets + g * PITH_ROWS + (size_t)r);     \
      for (; q < end; q++, w += PITH_PANEL * PITH_QUAD, a += PITH_ROWS * PITH_QUAD) {                                           \
        const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 16);                                                       \
        FOR_ROWS(r, R) {                                                                                         \
          const v128_t row = wasm_v128_load32_splat(a + r * PITH_QUAD);                                                         \
          acc[r][0] = ADD(row, w0, acc[r][0], ones);                                                                            \
          acc[r][1] = ADD(row, w1, acc[r][1], ones);                                                                            \
        }                                                                                                                       \
      }                                                                                                                         \
      const v128_t s0 = wasm_v128_load(p->scales + g * PITH_PANEL), s1 = wasm_v128_load(p->scales + g * PITH_PANEL + 4);        \
      FOR_ROWS(r, R) {                                                                                           \
        const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r);                                     \
        const v128_t t0 = wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][0]), s0), scale);                       \
        const v128_t t1 = wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][1]), s1), scale);                       \
        total[r][0] = wasm_f32x4_add(total[r][0], t0);                                                                          \
        total[r][1] = wasm_f32x4_add(total[r][1], t1);                                                                          \
      }                                                                                                                         \
    }                                                                                                                           \
    FOR_ROWS(r, R) {                                                                                             \
      wasm_v128_store(y + r * PITH_PANEL, total[r][0]);                                                                         \
      wasm_v128_store(y + r * PITH_PANEL + 4, total[r][1]);                                                                     \
    }                                                                                                                           \
  }
#define TILES(ADD)                                                                                                              \
  TILE(1, ADD)                                                                                                                  \
  TILE(4, ADD)                                                                                                                  \
  static void tile_##ADD(size_t n_rows, const row_block *x, const panel *p, float *y8) {                                        \
    static void (*const tiles[])(const row_block *, const panel *, float *, v128_t) = {ADD##_1, ADD##_4};      \
    tiles[n_rows > 1](x, p, y8, wasm_i16x8_splat(1));                                                                           \
  }
TILES(add_dot)
TILES(add_pairs)

static size_t panel_bytes(size_t k) { return (k + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD; }

PITH_GEMM_I8U7(gemm_i8u7_f32_relaxed_dot) {
  gemm_by_tiles(tile_add_dot, sizeof(int8_t), panel_bytes(k), PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}

PITH_GEMM_I8U7(gemm_i8u7_f32_relaxed_pairs) {
  gemm_by_tiles(tile_add_pairs, sizeof(int8_t), panel_bytes(k), PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
