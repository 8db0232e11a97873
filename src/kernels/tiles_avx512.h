/* What the integer products in 512 bits share: the walk over tiles of eight rows by two panels. */
#ifndef PITH_TILES_AVX512_H
#define PITH_TILES_AVX512_H

#include <immintrin.h>

#include "kernels/kernels.h"

enum { TILE_ROWS = 2 * PITH_ROWS, TILE_OUTPUTS = 2 * PITH_PANEL };

/* What a tile reads of its rows, which begin with a block. */
typedef struct tile_rows {
  size_t n_groups, n_quads, quads_per_group;
  size_t block_codes, block_groups;   /* from a block's codes, and scales or offsets, to the next one's */
  const int8_t *codes;                /* [blocks][quads][PITH_ROWS][4] */
  const float *scales;                /* [blocks][groups][PITH_ROWS] */
  const int32_t *offsets;             /* [blocks][groups][PITH_ROWS] */
} tile_rows;

/* And of its panels; where there is but one, the other is that one again. */
typedef struct tile_panels {
  const uint8_t *codes[2];
  const float *scales[2];
} tile_panels;

/* Where its outputs go: those of the mask. bias: of these, or NULL. */
typedef struct tile_outputs {
  __mmask16 mask;
  const float *bias;
  float *y;
  size_t y_stride;
} tile_outputs;

/* The first n of them, at most TILE_OUTPUTS. */
static inline tile_outputs outputs_of(size_t n, const float *bias, float *y, size_t y_stride) {
  return (tile_outputs){(__mmask16)(n < TILE_OUTPUTS ? (1u << n) - 1 : 0xffff), bias, y, y_stride};
}

/* n_rows: 1…TILE_ROWS */
typedef void tile_fn(size_t n_rows, const tile_rows *x, const tile_panels *w, const tile_outputs *out);

static inline size_t code_at(const tile_rows *x, size_t row) { return row / PITH_ROWS * x->block_codes + row % PITH_ROWS * PITH_QUAD; }
static inline size_t group_at(const tile_rows *x, size_t row) { return row / PITH_ROWS * x->block_groups + row % PITH_ROWS; }

/* Two vectors of 256 bits, the first in the low half. */
static inline __m512i load_codes(const uint8_t *low, const uint8_t *high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)low)), _mm256_loadu_si256((const void *)high), 1);
}
static inline __m512 load_floats(const float *low, const float *high) {
  return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(low)), _mm256_loadu_ps(high), 1);
}

/* A row's quad of activations, in all lanes. */
static inline __m512i spread_quad(const int8_t *src) {
  int32_t quad;
  __builtin_memcpy(&quad, src, sizeof quad);
  return _mm512_set1_epi32(quad);
}

/* Two quads, each in half of the lanes. */
static inline __m512i spread_quads(const int8_t *low, const int8_t *high) {
  int32_t quad;
  __builtin_memcpy(&quad, high, sizeof quad);
  return _mm512_mask_set1_epi32(spread_quad(low), 0xff00, quad);
}
static inline __m256i add_halves(__m512i v) { return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1)); }

static inline __attribute__((always_inline)) void store_tile(size_t n_rows, const __m512 *total, tile_outputs out) {
  const __m512 bias = out.bias ? _mm512_maskz_loadu_ps(out.mask, out.bias) : _mm512_setzero_ps();   /* a total is never -0: adding 0 leaves it */
  for (size_t r = 0; r < n_rows; r++, out.y += out.y_stride) _mm512_mask_storeu_ps(out.y, out.mask, _mm512_add_ps(bias, total[r]));
}

/* The product of one row, which is bound by reading the weights: panel by panel, as they lie in memory. */
typedef __m256 row_fn(const tile_rows *x, const uint8_t *codes, const float *scales);

static inline __attribute__((always_inline)) void gemv_by_panels(row_fn *row, size_t panel_bytes, size_t group_floats, size_t n, size_t k, size_t group_size,
                                                                 const pith_activations *x, const uint8_t *w, const float *w_scales, const float *bias, float *y) {
  const tile_rows r = {x->n_groups, (k + PITH_QUAD - 1) / PITH_QUAD, group_size / PITH_QUAD, 0, 0, x->codes, x->scales, x->offsets};
  for (size_t o = 0; o < n; o += PITH_PANEL, w += panel_bytes, w_scales += x->n_groups * group_floats) {
    const __mmask8 mask = (__mmask8)(n - o < PITH_PANEL ? (1u << (n - o)) - 1 : 0xff);
    const __m256 total = row(&r, w, w_scales), first = bias ? _mm256_maskz_loadu_ps(mask, bias + o) : _mm256_setzero_ps();
    _mm256_mask_storeu_ps(y + o, mask, _mm256_add_ps(first, total));
  }
}

/* panel_bytes: of a panel's codes. group_floats: of a panel's scales for one group, 8 or 16. Rows go in runs whose activations stay in a
 * first-level cache while all panels pass (tiles_simd128.h). */
static inline __attribute__((always_inline)) void gemm_by_pairs(tile_fn *tile, size_t panel_bytes, size_t group_floats, size_t n_rows, size_t n, size_t k,
                                                                size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales,
                                                                const float *bias, float *y, size_t y_stride) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD, row_bytes = n_quads * PITH_QUAD, panel_scales = x->n_groups * group_floats;
  const size_t fit = (24u << 10) / row_bytes / TILE_ROWS * TILE_ROWS, run = fit < TILE_ROWS ? TILE_ROWS : fit;
  for (size_t begin = 0; begin < n_rows; begin += run) {
    const size_t end = n_rows - begin < run ? n_rows : begin + run;
    for (size_t o = 0; o < n; o += TILE_OUTPUTS) {
      const size_t first = o / PITH_PANEL, second = n - o > PITH_PANEL ? first + 1 : first;
      const tile_panels p = {{w + first * panel_bytes, w + second * panel_bytes}, {w_scales + first * panel_scales, w_scales + second * panel_scales}};
      tile_outputs out = outputs_of(n - o, bias ? bias + o : NULL, y + begin * y_stride + o, y_stride);
      for (size_t row = begin; row < end; row += TILE_ROWS, out.y += TILE_ROWS * y_stride) {
        const tile_rows r = {x->n_groups, n_quads, group_size / PITH_QUAD, PITH_ROWS * row_bytes, PITH_ROWS * x->n_groups,
                             (const int8_t *)x->codes + row * row_bytes, x->scales + row * x->n_groups, x->offsets + row * x->n_groups};
        tile(end - row < TILE_ROWS ? end - row : TILE_ROWS, &r, &p, &out);
      }
    }
  }
}

#endif
