/* The grouped integer product by i16 pair products: a quad of codes of two outputs against a quad of activations, eight
 * products a multiply. Pair sums stay apart over a group and are folded once at its end. */
#include "kernels/tiles_simd128.h"
#include "kernels/variants.h"

/* R rows by V vectors of two outputs, from the panel's output `first` (0 or 4) on. */
#define TILE(R, V)                                                                                                              \
  static void tile_##R##x##V(const row_block *x, const panel *p, size_t first, float *y) {                                      \
    const int16_t *a = x->codes;                                                                                                \
    const uint8_t *w = p->codes + first * PITH_QUAD;                                                                            \
    v128_t total[R][(V) / 2];                                                                                                   \
    FOR_ROWS(r, R)                                                                                               \
      FOR_ROWS(c, V / 2) total[r][c] = wasm_f32x4_splat(0.0f);                                                   \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      v128_t acc[R][V];                                                                                                         \
      FOR_ROWS(r, R)                                                                                             \
        FOR_ROWS(c, V) acc[r][c] = wasm_i32x4_splat(0);                                                          \
      for (; q < end; q++, w += PITH_PANEL * PITH_QUAD, a += PITH_ROWS * PITH_QUAD) {                                           \
        v128_t v[V];                                                                                                            \
        FOR_ROWS(c, V) v[c] = load_u8x8(w + 8 * c);                                                              \
        FOR_ROWS(r, R) {                                                                                         \
          const v128_t row = wasm_v128_load64_splat(a + r * PITH_QUAD);                                                         \
          FOR_ROWS(c, V) acc[r][c] = wasm_i32x4_add(acc[r][c], wasm_i32x4_dot_i16x8(v[c], row));                 \
        }                                                                                                                       \
      }                                                                                                                         \
      FOR_ROWS(r, R) {                                                                                           \
        const v128_t offset = wasm_v128_load32_splat(x->offsets + g * PITH_ROWS + (size_t)r);                                   \
        const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r);                                     \
        FOR_ROWS(c, V / 2) {                                                                                     \
          const v128_t dot = wasm_i32x4_add(fold_pairs(acc[r][2 * c], acc[r][2 * c + 1]), offset);                              \
          const v128_t w_scale = wasm_v128_load(p->scales + g * PITH_PANEL + first + (size_t)c * 4);                            \
          const v128_t t = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(dot), w_scale);                                              \
          total[r][c] = wasm_f32x4_add(total[r][c], wasm_f32x4_mul(t, scale));                                                  \
        }                                                                                                                       \
      }                                                                                                                         \
    }                                                                                                                           \
    FOR_ROWS(r, R)                                                                                               \
      FOR_ROWS(c, V / 2) wasm_v128_store(y + r * PITH_PANEL + first + (size_t)c * 4, total[r][c]);               \
  }
/* Eight accumulators stay in registers beside the weights; more spill. Four rows by half a panel widen the fewest weights. */
TILE(1, 4)
TILE(4, 2)

static void tile(size_t n_rows, const row_block *x, const panel *p, float *y8) {
  if (n_rows == 1) {
    tile_1x4(x, p, 0, y8);
  } else {
    tile_4x2(x, p, 0, y8);
    tile_4x2(x, p, 4, y8);
  }
}

PITH_GEMM_I8U7(gemm_i8u7_f32_simd128) {
  const size_t panel_bytes = (k + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD;
  gemm_by_tiles(tile, sizeof(int16_t), panel_bytes, PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
