/* The grouped integer product with 4-bit codes in 512 bits: 64 bytes give a quad of sixteen outputs, two panels, in their low halves and
 * the next quad in their high ones. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include "kernels/tiles_avx512.h"

/* R rows by two panels, two sums a row: of low and of high halves. */
#define TILE(R)                                                                                                                 \
  static void tile_##R(const tile_rows *x, const tile_panels *p, const tile_outputs *out) {                                     \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w0 = p->codes[0], *w1 = p->codes[1];                                                                         \
    const __m512i low = _mm512_set1_epi8(15);                                                                                   \
    __m512 total[R];                                                                                                            \
    FOR_ROWS(r, R) total[r] = _mm512_setzero_ps();                                                                              \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      __m512i even[R], odd[R];                                                                                                  \
      FOR_ROWS(r, R) even[r] = odd[r] = _mm512_setzero_si512();                                                                 \
      for (; q < end; q += 2, w0 += PITH_PANEL * PITH_QUAD, w1 += PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD) {     \
        const __m512i both = load_codes(w0, w1), first = _mm512_and_si512(both, low);                                           \
        FOR_ROWS(r, R) even[r] = _mm512_dpbusd_epi32(even[r], first, spread_quad(a + code_at(x, r)));                           \
        if (q + 1 == end) break; /* an odd last quad: the high halves stand for no input */                                     \
        const __m512i second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);                                               \
        FOR_ROWS(r, R)                                                                                                          \
          odd[r] = _mm512_dpbusd_epi32(odd[r], second, spread_quad(a + PITH_ROWS * PITH_QUAD + code_at(x, r)));                 \
      }                                                                                                                         \
      const float *s0 = p->scales[0] + g * 2 * PITH_PANEL, *s1 = p->scales[1] + g * 2 * PITH_PANEL;                             \
      const __m512 w_scale = load_floats(s0, s1), minimum = load_floats(s0 + PITH_PANEL, s1 + PITH_PANEL);                      \
      FOR_ROWS(r, R) {                                                                                                          \
        const size_t at = group_at(x, r) + g * PITH_ROWS;                                                                       \
        const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(even[r], odd[r]));                                               \
        const __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_set1_epi32(x->offsets[at])), _mm512_set1_ps(-0x1p-6f));      \
        const __m512 t = _mm512_add_ps(_mm512_mul_ps(dot, w_scale), _mm512_mul_ps(sum, minimum));                               \
        total[r] = _mm512_add_ps(total[r], _mm512_mul_ps(t, _mm512_set1_ps(x->scales[at])));                                    \
      }                                                                                                                         \
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

static void tile(size_t n_rows, const tile_rows *x, const tile_panels *p, const tile_outputs *out) {
  static void (*const tiles[])(const tile_rows *, const tile_panels *, const tile_outputs *) = {tile_1, tile_2, tile_3, tile_4,
                                                                                                tile_5, tile_6, tile_7, tile_8};
  tiles[n_rows - 1](x, p, out);
}

/* One row by one panel: 64 bytes of codes are four quads, the first and the third in the low halves. */
static void row(const tile_rows *x, const uint8_t *w, const float *w_scales, float *y8) {
  enum { QUAD = PITH_ROWS * PITH_QUAD };   /* to the row's next */
  const int8_t *a = x->codes;
  const __m512i low = _mm512_set1_epi8(15);
  __m256 total = _mm256_setzero_ps();
  for (size_t g = 0, q = 0; g < x->n_groups; g++, w_scales += 2 * PITH_PANEL) {
    const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;
    __m512i even = _mm512_setzero_si512(), odd = even;
    for (; q + 4 <= end; q += 4, w += 2 * PITH_PANEL * PITH_QUAD, a += 4 * QUAD) {
      const __m512i both = _mm512_loadu_si512(w);
      even = _mm512_dpbusd_epi32(even, _mm512_and_si512(both, low), spread_quads(a, a + 2 * QUAD));
      odd = _mm512_dpbusd_epi32(odd, _mm512_and_si512(_mm512_srli_epi16(both, 4), low), spread_quads(a + QUAD, a + 3 * QUAD));
    }
    for (; q < end; q += 2, w += PITH_PANEL * PITH_QUAD, a += 2 * QUAD) {
      const __m512i both = _mm512_zextsi256_si512(_mm256_loadu_si256((const void *)w));
      even = _mm512_dpbusd_epi32(even, _mm512_and_si512(both, low), spread_quad(a));
      if (q + 1 < end) odd = _mm512_dpbusd_epi32(odd, _mm512_and_si512(_mm512_srli_epi16(both, 4), low), spread_quad(a + QUAD));
    }
    const __m256 dot = _mm256_cvtepi32_ps(add_halves(_mm512_add_epi32(even, odd))), sum = _mm256_set1_ps((float)x->offsets[g * PITH_ROWS] * -0x1p-6f);
    const __m256 t = _mm256_add_ps(_mm256_mul_ps(dot, _mm256_loadu_ps(w_scales)), _mm256_mul_ps(sum, _mm256_loadu_ps(w_scales + PITH_PANEL)));
    total = _mm256_add_ps(total, _mm256_mul_ps(t, _mm256_set1_ps(x->scales[g * PITH_ROWS])));
  }
  _mm256_storeu_ps(y8, total);
}

PITH_GEMM_I8U4(gemm_i8u4_f32_avx512_vnni) {
  const size_t panel_bytes = (k + 2 * PITH_QUAD - 1) / (2 * PITH_QUAD) * PITH_PANEL * PITH_QUAD;
  gemm_by_pairs(tile, TILE_ROWS, row, panel_bytes, 2 * PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif
