/* What products in 256 bits share. Functions name their instruction set, since a file has products of several. */
#ifndef PITH_TILES_AVX2_H
#define PITH_TILES_AVX2_H

#include <immintrin.h>

#include "kernels/tiles_pairs.h"

enum { TILE_ROWS = PITH_ROWS };

/* Quads of products added to eight i32, in VNNI's encoding with VEX. */
#define ADD_AVX_VNNI(acc, w, a) _mm256_dpbusd_avx_epi32(acc, w, a)

__attribute__((target("avx2"))) static inline __m256i load_codes(const uint8_t *src) { return _mm256_loadu_si256((const void *)src); }

/* A row's quad of activations in all lanes. */
__attribute__((target("avx2"))) static inline __m256i spread_quad(const int8_t *src) { return _mm256_set1_epi32(load_quad(src)); }

__attribute__((target("avx2"))) static inline void store_pair(const tile_outputs *out, size_t row, __m256 low, __m256 high) {
  float *y = out->y + row * out->y_stride, y16[PAIR];
  if (out->n == PAIR) {
    if (out->bias) {
      low = _mm256_add_ps(_mm256_loadu_ps(out->bias), low);
      high = _mm256_add_ps(_mm256_loadu_ps(out->bias + PITH_PANEL), high);
    }
    _mm256_storeu_ps(y, out->accumulate ? _mm256_add_ps(_mm256_loadu_ps(y), low) : low);
    _mm256_storeu_ps(y + PITH_PANEL, out->accumulate ? _mm256_add_ps(_mm256_loadu_ps(y + PITH_PANEL), high) : high);
    return;
  }
  _mm256_storeu_ps(y16, low);
  _mm256_storeu_ps(y16 + PITH_PANEL, high);
  for (size_t i = 0; i < out->n; i++) store_output(y16[i], out->bias ? out->bias + i : NULL, out->accumulate, y + i);
}

#endif
