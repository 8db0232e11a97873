/* What products in 512 bits share: two panels side by side in a vector. */
#ifndef PITH_TILES_AVX512_H
#define PITH_TILES_AVX512_H

#include <immintrin.h>

#include "kernels/tiles_pairs.h"

enum { TILE_ROWS = 2 * PITH_ROWS };

/* Two vectors of 256 bits, the first in the low half. */
static inline __m512i load_codes(const uint8_t *low, const uint8_t *high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)low)), _mm256_loadu_si256((const void *)high), 1);
}
static inline __m512 load_floats(const float *low, const float *high) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(low)), _mm256_loadu_ps(high), 1);
}

/* A row's quad of activations in all lanes; two quads, each in half of the lanes. */
static inline __m512i spread_quad(const int8_t *src) { return _mm512_set1_epi32(load_quad(src)); }
static inline __m512i spread_quads(const int8_t *low, const int8_t *high) { return _mm512_mask_set1_epi32(spread_quad(low), 0xff00, load_quad(high)); }

static inline __m256i add_halves(__m512i v) { return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1)); }

static inline __attribute__((always_inline)) void store_tile(size_t n_rows, const __m512 *total, tile_outputs out) {
  const __mmask16 mask = (__mmask16)(out.n < PAIR ? (1u << out.n) - 1 : 0xffff);
  const __m512 bias = out.bias ? _mm512_maskz_loadu_ps(mask, out.bias) : _mm512_setzero_ps();
  const __mmask16 before = out.accumulate ? mask : 0;
  for (size_t r = 0; r < n_rows; r++, out.y += out.y_stride)
    _mm512_mask_storeu_ps(out.y, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(before, out.y), _mm512_add_ps(bias, total[r])));
}

#endif
