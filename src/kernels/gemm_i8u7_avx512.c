/* The grouped integer product in 512 bits: a quad of codes of sixteen outputs, two panels, against a quad of a row's activations, which
 * VPDPBUSD spreads over the lanes while it reads them: 64 products an instruction. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include "kernels/tiles_avx512.h"

/* R rows by two panels; more than four sums hide the instruction's latency. */
#define TILE(R)                                                                                                                 \
  static void tile_##R(const tile_rows *x, const tile_panels *p, const tile_outputs *out) {                                     \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *low = p->codes[0], *high = p->codes[1];                                                                      \
    __m512 total[R];                                                                                                            \
    FOR_ROWS(r, R) total[r] = _mm512_setzero_ps();                                                                              \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      __m512i sum[R];                                                                                                           \
      FOR_ROWS(r, R) sum[r] = _mm512_set1_epi32(x->offsets[group_at(x, r) + g * PITH_ROWS]);                                    \
      for (; q < end; q++, a += PITH_ROWS * PITH_QUAD, low += PITH_PANEL * PITH_QUAD, high += PITH_PANEL * PITH_QUAD) {         \
        const __m512i codes = load_codes(low, high);                                                                            \
        FOR_ROWS(r, R) sum[r] = _mm512_dpbusd_epi32(sum[r], codes, spread_quad(a + code_at(x, r)));                             \
      }                                                                                                                         \
      const __m512 w_scale = load_floats(p->scales[0] + g * PITH_PANEL, p->scales[1] + g * PITH_PANEL);                         \
      FOR_ROWS(r, R) {                                                                                                          \
        const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r]), w_scale);                                                    \
        total[r] = _mm512_add_ps(total[r], _mm512_mul_ps(t, _mm512_set1_ps(x->scales[group_at(x, r) + g * PITH_ROWS])));        \
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

/* One row by one panel: 64 bytes of codes are two quads. */
static void row(const tile_rows *x, const uint8_t *w, const float *w_scales, float *y8) {
  const int8_t *a = x->codes;
  __m256 total = _mm256_setzero_ps();
  for (size_t g = 0, q = 0; g < x->n_groups; g++) {
    const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;
    __m512i sum = _mm512_zextsi256_si512(_mm256_set1_epi32(x->offsets[g * PITH_ROWS]));
    for (; q + 2 <= end; q += 2, w += 2 * PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD)
      sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(w), spread_quads(a, a + PITH_ROWS * PITH_QUAD));
    if (q < end) {
      sum = _mm512_dpbusd_epi32(sum, _mm512_zextsi256_si512(_mm256_loadu_si256((const void *)w)), spread_quad(a));
      q++;
      w += PITH_PANEL * PITH_QUAD;
      a += PITH_ROWS * PITH_QUAD;
    }
    const __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(add_halves(sum)), _mm256_loadu_ps(w_scales + g * PITH_PANEL));
    total = _mm256_add_ps(total, _mm256_mul_ps(t, _mm256_set1_ps(x->scales[g * PITH_ROWS])));
  }
  _mm256_storeu_ps(y8, total);
}

PITH_GEMM_I8U7(gemm_i8u7_f32_avx512_vnni) {
  const size_t panel_bytes = (k + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD;
  gemm_by_pairs(tile, TILE_ROWS, row, panel_bytes, PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif
