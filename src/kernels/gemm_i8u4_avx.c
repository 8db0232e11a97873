/* The grouped integer product with 4-bit codes in 256 bits: 32 bytes of codes give a quad of all eight outputs of a panel in their low
 * halves and the next quad in their high ones. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include "kernels/tiles_avx2.h"

/* Codes in the low and in the high halves of bytes. */
#define LOW(w) _mm256_and_si256(w, _mm256_set1_epi8(15))
#define HIGH(w) _mm256_and_si256(_mm256_srli_epi16(w, 4), _mm256_set1_epi8(15))

/* A group's share of a total: scales of a panel's outputs, then their minima. */
__attribute__((target("avx2"))) static inline __m256 share_of(__m256i dot, __m256 sum, const float *scales, __m256 scale) {
  const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(dot), _mm256_loadu_ps(scales));
  return _mm256_mul_ps(_mm256_add_ps(product, _mm256_mul_ps(sum, _mm256_loadu_ps(scales + PITH_PANEL))), scale);
}

/* Products of a few quads, and of a group. VNNI adds to i32; without it pair sums are added in i16, which holds those of eight quads,
 * 8 * 2 * 127 * 15 < 2^15, and widened once for them. */
enum { QUADS_AVX2 = 8, QUADS_AVX_VNNI = INT32_MAX };   /* the latter: all */
#define ADD_PAIRS_AVX2(acc, w, a) _mm256_add_epi16(acc, _mm256_maddubs_epi16(w, a))
#define WIDEN_AVX2(acc) _mm256_madd_epi16(acc, _mm256_set1_epi16(1))
#define WIDEN_AVX_VNNI(acc) (acc)

/* R rows by two panels: a row's quad, spread over the lanes, serves both. */
#define TILE(R, NAME, TARGET, QUADS, ADD, WIDEN)                                                                                \
  __attribute__((target(TARGET))) static void NAME##_##R(const tile_rows *x, const tile_panels *p, const tile_outputs *out) {   \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w0 = p->codes[0], *w1 = p->codes[1];                                                                         \
    __m256 total[R][2];                                                                                                         \
    FOR_ROWS(r, R) total[r][0] = total[r][1] = _mm256_setzero_ps();                                                             \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      __m256i dot[R][2];                                                                                                        \
      FOR_ROWS(r, R) dot[r][0] = dot[r][1] = _mm256_setzero_si256();                                                            \
      while (q < end) {                                                                                                         \
        const size_t stop = QUADS == INT32_MAX || end - q < QUADS ? end : q + QUADS;                                            \
        __m256i part[R][2];                                                                                                     \
        FOR_ROWS(r, R) part[r][0] = part[r][1] = _mm256_setzero_si256();                                                        \
        for (; q < stop; q += 2, a += 2 * PITH_ROWS * PITH_QUAD, w0 += PITH_PANEL * PITH_QUAD, w1 += PITH_PANEL * PITH_QUAD) {  \
          const __m256i both0 = load_codes(w0), both1 = load_codes(w1);                                                         \
          FOR_ROWS(r, R) {                                                                                                      \
            const __m256i quad = spread_quad(a + r * PITH_QUAD);                                                                \
            part[r][0] = ADD(part[r][0], LOW(both0), quad);                                                                     \
            part[r][1] = ADD(part[r][1], LOW(both1), quad);                                                                     \
          }                                                                                                                     \
          if (q + 1 == stop) break; /* an odd last quad: the high halves stand for no input */                                  \
          FOR_ROWS(r, R) {                                                                                                      \
            const __m256i quad = spread_quad(a + (PITH_ROWS + r) * PITH_QUAD);                                                  \
            part[r][0] = ADD(part[r][0], HIGH(both0), quad);                                                                    \
            part[r][1] = ADD(part[r][1], HIGH(both1), quad);                                                                    \
          }                                                                                                                     \
        }                                                                                                                       \
        q = stop;                                                                                                               \
        FOR_ROWS(r, R)                                                                                                          \
          for (size_t h = 0; h < 2; h++) dot[r][h] = _mm256_add_epi32(dot[r][h], WIDEN(part[r][h]));                            \
      }                                                                                                                         \
      FOR_ROWS(r, R) {                                                                                                          \
        const __m256 sum = _mm256_set1_ps((float)x->offsets[g * PITH_ROWS + r] * -0x1p-6f), scale = _mm256_set1_ps(x->scales[g * PITH_ROWS + r]); \
        for (size_t h = 0; h < 2; h++) total[r][h] = _mm256_add_ps(total[r][h], share_of(dot[r][h], sum, p->scales[h] + g * 2 * PITH_PANEL, scale)); \
      }                                                                                                                         \
    }                                                                                                                           \
    FOR_ROWS(r, R) store_pair(out, r, total[r][0], total[r][1]);                                                                \
  }

/* One row by one panel. */
#define ROW(NAME, TARGET, QUADS, ADD, WIDEN)                                                                                    \
  __attribute__((target(TARGET))) static void NAME##_row(const tile_rows *x, const uint8_t *w, const float *w_scales, float *y8) { \
    const int8_t *a = x->codes;                                                                                                 \
    __m256 total = _mm256_setzero_ps();                                                                                         \
    for (size_t g = 0, q = 0; g < x->n_groups; g++, w_scales += 2 * PITH_PANEL) {                                               \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      __m256i dot = _mm256_setzero_si256();                                                                                     \
      while (q < end) {                                                                                                         \
        const size_t stop = QUADS == INT32_MAX || end - q < QUADS ? end : q + QUADS;                                            \
        __m256i even = _mm256_setzero_si256(), odd = even;                                                                      \
        for (; q < stop; q += 2, w += PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD) {                                 \
          const __m256i both = load_codes(w);                                                                                   \
          even = ADD(even, LOW(both), spread_quad(a));                                                                          \
          if (q + 1 < stop) odd = ADD(odd, HIGH(both), spread_quad(a + PITH_ROWS * PITH_QUAD));                                 \
        }                                                                                                                       \
        q = stop;                                                                                                               \
        dot = _mm256_add_epi32(dot, _mm256_add_epi32(WIDEN(even), WIDEN(odd)));                                                 \
      }                                                                                                                         \
      const __m256 sum = _mm256_set1_ps((float)x->offsets[g * PITH_ROWS] * -0x1p-6f), scale = _mm256_set1_ps(x->scales[g * PITH_ROWS]); \
      total = _mm256_add_ps(total, share_of(dot, sum, w_scales, scale));                                                        \
    }                                                                                                                           \
    _mm256_storeu_ps(y8, total);                                                                                                \
  }

#define PRODUCT(NAME, TARGET, QUADS, ADD, WIDEN)                                                                                \
  TILE(1, NAME, TARGET, QUADS, ADD, WIDEN)                                                                                      \
  TILE(2, NAME, TARGET, QUADS, ADD, WIDEN)                                                                                      \
  TILE(3, NAME, TARGET, QUADS, ADD, WIDEN)                                                                                      \
  TILE(4, NAME, TARGET, QUADS, ADD, WIDEN)                                                                                      \
  ROW(NAME, TARGET, QUADS, ADD, WIDEN)                                                                                          \
  static void NAME##_tile(size_t n_rows, const tile_rows *x, const tile_panels *p, const tile_outputs *out) {                   \
    static void (*const tiles[])(const tile_rows *, const tile_panels *, const tile_outputs *) = {NAME##_1, NAME##_2, NAME##_3, NAME##_4}; \
    tiles[n_rows - 1](x, p, out);                                                                                               \
  }                                                                                                                             \
  PITH_GEMM_I8U4(gemm_i8u4_f32_##NAME) {                                                                                        \
    const size_t panel_bytes = (k + 2 * PITH_QUAD - 1) / (2 * PITH_QUAD) * PITH_PANEL * PITH_QUAD;                              \
    gemm_by_pairs(NAME##_tile, TILE_ROWS, NAME##_row, panel_bytes, 2 * PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride); \
  }
PRODUCT(avx2, "avx2", QUADS_AVX2, ADD_PAIRS_AVX2, WIDEN_AVX2)
PRODUCT(avx_vnni, "avxvnni", QUADS_AVX_VNNI, ADD_AVX_VNNI, WIDEN_AVX_VNNI)
#endif
