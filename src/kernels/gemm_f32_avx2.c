/* The f32 product over panels of 8 outputs in 256 bits: an input is spread over eight lanes and meets one vector of weights. No fused
 * multiply-add: every lane does what the scalar definition does. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>

enum { ROWS = 8 };

#define TILE(R)                                                                                                                 \
  static void tile_##R(size_t k, const float *x, size_t x_stride, const float *w, float *y8) {                                  \
    __m256 total[R];                                                                                                            \
    for (int r = 0; r < (R); r++) total[r] = _mm256_setzero_ps();                                                               \
    for (size_t i = 0; i < k;) {                                                                                                \
      const size_t end = k - i < PITH_SUM_BLOCK ? k : i + PITH_SUM_BLOCK;                                                       \
      __m256 acc[R];                                                                                                            \
      for (int r = 0; r < (R); r++) acc[r] = _mm256_setzero_ps();                                                               \
      for (; i < end; i++, w += PITH_PANEL) {                                                                                   \
        const __m256 v = _mm256_loadu_ps(w);                                                                                    \
        for (int r = 0; r < (R); r++)                                                                                           \
          acc[r] = _mm256_add_ps(acc[r], _mm256_mul_ps(_mm256_broadcast_ss(x + (size_t)r * x_stride + i), v));                  \
      }                                                                                                                         \
      for (int r = 0; r < (R); r++) total[r] = _mm256_add_ps(total[r], acc[r]);                                                 \
    }                                                                                                                           \
    for (int r = 0; r < (R); r++) _mm256_storeu_ps(y8 + r * PITH_PANEL, total[r]);                                              \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

void gemm_f32_avx2(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                   float *y, size_t y_stride) {
  static void (*const tiles[])(size_t, const float *, size_t, const float *, float *) = {tile_1, tile_2, tile_3, tile_4,
                                                                                         tile_5, tile_6, tile_7, tile_8};
  float y8[ROWS * PITH_PANEL];
  for (size_t o = 0; o < n; o += PITH_PANEL, w += panel_stride) {
    const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
    for (size_t row = 0; row < n_rows; row += ROWS) {
      const size_t rows = n_rows - row < ROWS ? n_rows - row : ROWS;
      tiles[rows - 1](k, x + row * x_stride, x_stride, w, y8);
      for (size_t r = 0; r < rows; r++) {
        float *to = y + (row + r) * y_stride + o;
        for (size_t i = 0; i < width; i++) to[i] = bias ? bias[o + i] + y8[r * PITH_PANEL + i] : y8[r * PITH_PANEL + i];
      }
    }
  }
}
#endif
