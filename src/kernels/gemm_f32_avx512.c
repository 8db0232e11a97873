/* The f32 product in 512 bits: two panels of 8 outputs at a time, an input spread over the lanes by the product that reads it. No fused
 * multiply-add: every lane does what the scalar definition does. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include "kernels/tiles_avx512.h"

/* R rows by two panels. */
#define TILE(R)                                                                                                                 \
  static void tile_##R(size_t k, const float *x, size_t x_stride, const float *low, const float *high, const tile_outputs *out) { \
    __m512 total[R];                                                                                                            \
    FOR_ROWS(r, R) total[r] = _mm512_setzero_ps();                                                                              \
    for (size_t i = 0; i < k;) {                                                                                                \
      const size_t end = k - i < PITH_SUM_BLOCK ? k : i + PITH_SUM_BLOCK;                                                       \
      __m512 sum[R];                                                                                                            \
      FOR_ROWS(r, R) sum[r] = _mm512_setzero_ps();                                                                              \
      for (; i < end; i++) {                                                                                                    \
        const __m512 w = load_floats(low + i * PITH_PANEL, high + i * PITH_PANEL);                                              \
        FOR_ROWS(r, R) sum[r] = _mm512_add_ps(sum[r], _mm512_mul_ps(_mm512_set1_ps(x[r * x_stride + i]), w));                   \
      }                                                                                                                         \
      FOR_ROWS(r, R) total[r] = _mm512_add_ps(total[r], sum[r]);                                                                \
    }                                                                                                                           \
    store_tile(R, total, *out);                                                                                                 \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

void gemm_f32_avx512(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                     bool accumulate, float *y, size_t y_stride) {
  static void (*const tiles[])(size_t, const float *, size_t, const float *, const float *, const tile_outputs *) = {tile_1, tile_2, tile_3, tile_4,
                                                                                                                     tile_5, tile_6, tile_7, tile_8};
  for (size_t o = 0; o < n; o += PAIR, w += 2 * panel_stride) {
    tile_outputs out = outputs_of(n - o, bias ? bias + o : NULL, accumulate, y + o, y_stride);
    const float *high = n - o > PITH_PANEL ? w + panel_stride : w;
    for (size_t row = 0; row < n_rows; row += TILE_ROWS, out.y += TILE_ROWS * y_stride)
      tiles[n_rows - row < TILE_ROWS ? n_rows - row - 1 : TILE_ROWS - 1](k, x + row * x_stride, x_stride, w, high, &out);
  }
}
#endif
