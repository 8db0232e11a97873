/* Integer attention where there is AVX2: the code of attention_simd128.c, but for its products, which take a panel's eight columns at once. */
#ifdef __AVX2__
#include <immintrin.h>
#include <string.h>

#include "kernels/kernels.h"
#include "kernels/v128.h"

#define PITH_PAIR_PRODUCTS
static inline __attribute__((always_inline)) void pair_products(const int R, size_t n, const int16_t *x, size_t x_step, size_t row_step, const int16_t *w, v128_t acc[][2]) {
  __m256i sums[PITH_ROWS];
  FOR_ROWS(r, R) sums[r] = _mm256_setzero_si256();
  for (const int16_t *end = w + n * 2 * PITH_PANEL; w != end; w += 2 * PITH_PANEL, x += x_step) {
    const __m256i columns = _mm256_loadu_si256((const __m256i *)(const void *)w);
    FOR_ROWS(r, R) {
      int32_t pair;
      memcpy(&pair, x + (size_t)r * row_step, sizeof pair);
      sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(_mm256_set1_epi32(pair), columns));
    }
  }
  FOR_ROWS(r, R) {
    acc[r][0] = simde_v128_from_m128i(_mm256_castsi256_si128(sums[r]));
    acc[r][1] = simde_v128_from_m128i(_mm256_extracti128_si256(sums[r], 1));
  }
}

#define remember_simd128 remember_avx2
#define attend_simd128 attend_avx2
#include "kernels/attention_simd128.c"
#endif
