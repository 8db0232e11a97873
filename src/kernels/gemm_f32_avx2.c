/* The f32 product in 256 bits: an input is spread over eight lanes and meets two panels of 8 outputs. No fused multiply-add: every lane
 * does what the scalar definition does. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include "kernels/tiles_avx2.h"

/* R rows by two panels. */
#define TILE(R)                                                                                                                 \
  static void tile_##R(size_t k, const float *x, size_t x_stride, const float *low, const float *high, const tile_outputs *out) { \
    __m256 total[R][2];                                                                                                         \
    FOR_ROWS(r, R) total[r][0] = total[r][1] = _mm256_setzero_ps();                                                             \
    for (size_t i = 0; i < k;) {                                                                                                \
      const size_t end = k - i < PITH_SUM_BLOCK ? k : i + PITH_SUM_BLOCK;                                                       \
      __m256 sum[R][2];                                                                                                         \
      FOR_ROWS(r, R) sum[r][0] = sum[r][1] = _mm256_setzero_ps();                                                               \
      for (; i < end; i++) {                                                                                                    \
        const __m256 w0 = _mm256_loadu_ps(low + i * PITH_PANEL), w1 = _mm256_loadu_ps(high + i * PITH_PANEL);                   \
        FOR_ROWS(r, R) {                                                                                                        \
          const __m256 v = _mm256_broadcast_ss(x + r * x_stride + i);                                                           \
          sum[r][0] = _mm256_add_ps(sum[r][0], _mm256_mul_ps(v, w0));                                                           \
          sum[r][1] = _mm256_add_ps(sum[r][1], _mm256_mul_ps(v, w1));                                                           \
        }                                                                                                                       \
      }                                                                                                                         \
      FOR_ROWS(r, R)                                                                                                            \
        for (size_t h = 0; h < 2; h++) total[r][h] = _mm256_add_ps(total[r][h], sum[r][h]);                                     \
    }                                                                                                                           \
    FOR_ROWS(r, R) store_pair(out, r, total[r][0], total[r][1]);                                                                \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)

void gemm_f32_avx2(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                   bool accumulate, float *y, size_t y_stride) {
  static void (*const tiles[])(size_t, const float *, size_t, const float *, const float *, const tile_outputs *) = {tile_1, tile_2, tile_3, tile_4};
  for (size_t o = 0; o < n; o += PAIR, w += 2 * panel_stride) {
    tile_outputs out = outputs_of(n - o, bias ? bias + o : NULL, accumulate, y + o, y_stride);
    const float *high = n - o > PITH_PANEL ? w + panel_stride : w;
    for (size_t row = 0; row < n_rows; row += TILE_ROWS, out.y += TILE_ROWS * y_stride)
      tiles[n_rows - row < TILE_ROWS ? n_rows - row - 1 : TILE_ROWS - 1](k, x + row * x_stride, x_stride, w, high, &out);
  }
}
#endif
