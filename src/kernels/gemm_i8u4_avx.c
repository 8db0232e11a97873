/* The grouped integer product with 4-bit codes in 256 bits: 32 bytes of codes give a quad of all eight outputs of a panel in their low
 * halves and the next quad in their high ones. Variants as for u7. */
#include "kernels/tiles_simd128.h"
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>

#define ADD_AVX2(acc, w, row) _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, row), ones))
#define ADD_AVX_VNNI(acc, w, row) _mm256_dpbusd_avx_epi32(acc, w, row)

/* R rows by one panel. Two sums a row, of low and of high halves, hide the latency. */
#define TILE(R, NAME, TARGET, ADD)                                                                                              \
  __attribute__((target(TARGET))) static void NAME##_##R(const row_block *x, const panel *p, float *y) {                        \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w = p->codes;                                                                                                \
    const __m256i ones = _mm256_set1_epi16(1), low = _mm256_set1_epi8(15);                                                      \
    (void)ones;                                                                                                                 \
    __m256 total[R];                                                                                                            \
    for (int r = 0; r < (R); r++) total[r] = _mm256_setzero_ps();                                                               \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      __m256i even[R], odd[R];                                                                                                  \
      for (int r = 0; r < (R); r++) even[r] = odd[r] = _mm256_setzero_si256();                                                  \
      for (; q < end; q += 2, w += PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD) {                                    \
        const __m256i both = _mm256_loadu_si256((const void *)w), w0 = _mm256_and_si256(both, low);                             \
        for (int r = 0; r < (R); r++) even[r] = ADD(even[r], w0, _mm256_set1_epi32(load_i32(a + r * PITH_QUAD)));               \
        if (q + 1 == end) break; /* an odd last quad: the high halves stand for no input */                                     \
        const __m256i w1 = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);                                                   \
        for (int r = 0; r < (R); r++) odd[r] = ADD(odd[r], w1, _mm256_set1_epi32(load_i32(a + (PITH_ROWS + r) * PITH_QUAD)));   \
      }                                                                                                                         \
      const float *scales = p->scales + g * 2 * PITH_PANEL;                                                                     \
      const __m256 w_scale = _mm256_loadu_ps(scales), minimum = _mm256_loadu_ps(scales + PITH_PANEL);                           \
      for (int r = 0; r < (R); r++) {                                                                                           \
        const __m256 dot = _mm256_cvtepi32_ps(_mm256_add_epi32(even[r], odd[r]));                                               \
        const __m256 sum = _mm256_set1_ps((float)x->offsets[g * PITH_ROWS + (size_t)r] * -0x1p-6f);                             \
        const __m256 t = _mm256_add_ps(_mm256_mul_ps(dot, w_scale), _mm256_mul_ps(sum, minimum));                               \
        total[r] = _mm256_add_ps(total[r], _mm256_mul_ps(t, _mm256_set1_ps(x->scales[g * PITH_ROWS + (size_t)r])));             \
      }                                                                                                                         \
    }                                                                                                                           \
    for (int r = 0; r < (R); r++) _mm256_storeu_ps(y + r * PITH_PANEL, total[r]);                                               \
  }

#define PRODUCT(NAME, TARGET, ADD)                                                                                              \
  TILE(1, NAME, TARGET, ADD)                                                                                                    \
  TILE(2, NAME, TARGET, ADD)                                                                                                    \
  TILE(3, NAME, TARGET, ADD)                                                                                                    \
  TILE(4, NAME, TARGET, ADD)                                                                                                    \
  static void tile_##NAME(size_t n_rows, const row_block *x, const panel *p, float *y8) {                                       \
    static void (*const tiles[])(const row_block *, const panel *, float *) = {NAME##_1, NAME##_2, NAME##_3, NAME##_4};         \
    tiles[n_rows - 1](x, p, y8);                                                                                                \
  }                                                                                                                             \
  PITH_GEMM_I8U4(gemm_i8u4_f32_##NAME) {                                                                                        \
    const size_t panel_bytes = (k + 2 * PITH_QUAD - 1) / (2 * PITH_QUAD) * PITH_PANEL * PITH_QUAD;                              \
    gemm_by_tiles(tile_##NAME, sizeof(int8_t), panel_bytes, 2 * PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, y, y_stride); \
  }

static inline int32_t load_i32(const int8_t *src) {
  int32_t v;
  __builtin_memcpy(&v, src, sizeof v);
  return v;
}

PRODUCT(avx2, "avx2", ADD_AVX2)
PRODUCT(avx_vnni, "avxvnni", ADD_AVX_VNNI)
#endif
