/* The f32 product over panels of 8 outputs: an input is spread over four lanes and meets two vectors of weights. Sums run
 * in order of the inputs in every lane, so no lane order has to be agreed on. */
#include "kernels/tiles_simd128.h"
#include "kernels/variants.h"

#define TILE(R)                                                                                                            \
  static void tile_##R(size_t k, const float *x, size_t x_stride, const float *w, float *y8) {                             \
    v128_t total[R][2];                                                                                                    \
    FOR_ROWS(r, R) total[r][0] = total[r][1] = wasm_f32x4_splat(0.0f);                                      \
    for (size_t i = 0; i < k;) {                                                                                           \
      const size_t end = k - i < PITH_SUM_BLOCK ? k : i + PITH_SUM_BLOCK;                                                  \
      v128_t acc[R][2];                                                                                                    \
      FOR_ROWS(r, R) acc[r][0] = acc[r][1] = wasm_f32x4_splat(0.0f);                                        \
      for (; i < end; i++, w += PITH_PANEL) {                                                                              \
        const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 4);                                                   \
        FOR_ROWS(r, R) {                                                                                    \
          const v128_t v = wasm_v128_load32_splat(x + (size_t)r * x_stride + i);                                           \
          acc[r][0] = wasm_f32x4_add(acc[r][0], wasm_f32x4_mul(v, w0));                                                    \
          acc[r][1] = wasm_f32x4_add(acc[r][1], wasm_f32x4_mul(v, w1));                                                    \
        }                                                                                                                  \
      }                                                                                                                    \
      FOR_ROWS(r, R) {                                                                                      \
        total[r][0] = wasm_f32x4_add(total[r][0], acc[r][0]);                                                              \
        total[r][1] = wasm_f32x4_add(total[r][1], acc[r][1]);                                                              \
      }                                                                                                                    \
    }                                                                                                                      \
    FOR_ROWS(r, R) {                                                                                        \
      wasm_v128_store(y8 + r * PITH_PANEL, total[r][0]);                                                                   \
      wasm_v128_store(y8 + r * PITH_PANEL + 4, total[r][1]);                                                               \
    }                                                                                                                      \
  }
TILE(1)
TILE(4)

enum { ROWS = 4 };

void gemm_f32_simd128(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                      bool accumulate, float *y, size_t y_stride) {
  float y8[ROWS * PITH_PANEL];
  for (size_t o = 0; o < n; o += PITH_PANEL, w += panel_stride) {
    const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
    for (size_t row = 0; row < n_rows;) {
      const size_t rows = n_rows - row < ROWS ? 1 : ROWS;   /* two and three one by one */
      (rows == 1 ? tile_1 : tile_4)(k, x + row * x_stride, x_stride, w, y8);
      store_tile_simd128(rows, width, y8, bias ? bias + o : NULL, accumulate, y + row * y_stride + o, y_stride);
      row += rows;
    }
  }
}
