/* The grouped integer product in 256 bits: a quad of codes of all eight outputs of a panel against a quad of activations, 32 products. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include "kernels/tiles_avx2.h"

/* Without VNNI products go over i16 pair sums, which are exact, since codes are at most 127: 2 * 127 * 127 < 2^15. */
#define ADD_AVX2(acc, w, a) _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(w, a), _mm256_set1_epi16(1)))

/* R rows by two panels: a row's quad, spread over the lanes, serves both. */
#define TILE(R, NAME, TARGET, ADD)                                                                                              \
  __attribute__((target(TARGET))) static void NAME##_##R(const tile_rows *x, const tile_panels *p, const tile_outputs *out) {   \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w0 = p->codes[0], *w1 = p->codes[1];                                                                         \
    __m256 total[R][2];                                                                                                         \
    FOR_ROWS(r, R) total[r][0] = total[r][1] = _mm256_setzero_ps();                                                             \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      __m256i sum[R][2];                                                                                                        \
      FOR_ROWS(r, R) sum[r][0] = sum[r][1] = _mm256_set1_epi32(x->offsets[g * PITH_ROWS + r]);                                  \
      for (; q < end; q++, a += PITH_ROWS * PITH_QUAD, w0 += PITH_PANEL * PITH_QUAD, w1 += PITH_PANEL * PITH_QUAD) {            \
        const __m256i low = load_codes(w0), high = load_codes(w1);                                                              \
        FOR_ROWS(r, R) {                                                                                                        \
          const __m256i quad = spread_quad(a + r * PITH_QUAD);                                                                  \
          sum[r][0] = ADD(sum[r][0], low, quad);                                                                                \
          sum[r][1] = ADD(sum[r][1], high, quad);                                                                               \
        }                                                                                                                       \
      }                                                                                                                         \
      FOR_ROWS(r, R) {                                                                                                          \
        const __m256 scale = _mm256_set1_ps(x->scales[g * PITH_ROWS + r]);                                                      \
        for (size_t h = 0; h < 2; h++) {                                                                                        \
          const __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r][h]), _mm256_loadu_ps(p->scales[h] + g * PITH_PANEL));        \
          total[r][h] = _mm256_add_ps(total[r][h], _mm256_mul_ps(t, scale));                                                    \
        }                                                                                                                       \
      }                                                                                                                         \
    }                                                                                                                           \
    FOR_ROWS(r, R) store_pair(out, r, total[r][0], total[r][1]);                                                                \
  }

/* One row by one panel. Two sums, of even and of odd quads, hide the latency. */
#define ROW(NAME, TARGET, ADD)                                                                                                  \
  __attribute__((target(TARGET))) static void NAME##_row(const tile_rows *x, const uint8_t *w, const float *w_scales, float *y8) { \
    const int8_t *a = x->codes;                                                                                                 \
    __m256 total = _mm256_setzero_ps();                                                                                         \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      __m256i even = _mm256_set1_epi32(x->offsets[g * PITH_ROWS]), odd = _mm256_setzero_si256();                                \
      for (; q < end; q += 2, w += 2 * PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD) {                                \
        even = ADD(even, load_codes(w), spread_quad(a));                                                                        \
        if (q + 1 == end) {                                                                                                     \
          q++;                                                                                                                  \
          w += PITH_PANEL * PITH_QUAD;                                                                                          \
          a += PITH_ROWS * PITH_QUAD;                                                                                           \
          break;                                                                                                                \
        }                                                                                                                       \
        odd = ADD(odd, load_codes(w + PITH_PANEL * PITH_QUAD), spread_quad(a + PITH_ROWS * PITH_QUAD));                         \
      }                                                                                                                         \
      const __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(even, odd)), _mm256_loadu_ps(w_scales + g * PITH_PANEL)); \
      total = _mm256_add_ps(total, _mm256_mul_ps(t, _mm256_set1_ps(x->scales[g * PITH_ROWS])));                                 \
    }                                                                                                                           \
    _mm256_storeu_ps(y8, total);                                                                                                \
  }

#define PRODUCT(NAME, TARGET, ADD)                                                                                              \
  TILE(1, NAME, TARGET, ADD)                                                                                                    \
  TILE(2, NAME, TARGET, ADD)                                                                                                    \
  TILE(3, NAME, TARGET, ADD)                                                                                                    \
  TILE(4, NAME, TARGET, ADD)                                                                                                    \
  ROW(NAME, TARGET, ADD)                                                                                                        \
  static void NAME##_tile(size_t n_rows, const tile_rows *x, const tile_panels *p, const tile_outputs *out) {                   \
    static void (*const tiles[])(const tile_rows *, const tile_panels *, const tile_outputs *) = {NAME##_1, NAME##_2, NAME##_3, NAME##_4}; \
    tiles[n_rows - 1](x, p, out);                                                                                               \
  }                                                                                                                             \
  PITH_GEMM_I8U7(gemm_i8u7_f32_##NAME) {                                                                                        \
    const size_t panel_bytes = (k + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD;                                        \
    gemm_by_pairs(NAME##_tile, TILE_ROWS, NAME##_row, panel_bytes, PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride); \
  }
PRODUCT(avx2, "avx2", ADD_AVX2)
PRODUCT(avx_vnni, "avxvnni", ADD_AVX_VNNI)
#endif
