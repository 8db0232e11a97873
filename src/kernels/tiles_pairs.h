/* What the integer products of x86 share: the walk over tiles of some rows by two panels, and over panels for a single row. */
#ifndef PITH_TILES_PAIRS_H
#define PITH_TILES_PAIRS_H

#include "kernels/variants.h"

enum { PAIR = 2 * PITH_PANEL };   /* outputs of a tile */

/* The rows of a tile. Asked to, GCC unrolls before it decides where arrays live: else it keeps totals in memory, and clears them by REP STOS. */
#define FOR_ROWS(r, n) _Pragma("GCC unroll 8") for (size_t r = 0; r < (n); r++)

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

/* Where its outputs go. bias: (n) or NULL. A total is never -0, so that where there is no bias, or nothing to add to, 0 can be added. */
typedef struct tile_outputs {
  size_t n;              /* 1…PAIR */
  const float *bias;
  bool accumulate;
  float *y;
  size_t y_stride;
} tile_outputs;

/* n_rows: 1 to as many as the product asks of the walk */
typedef void tile_fn(size_t n_rows, const tile_rows *x, const tile_panels *w, const tile_outputs *out);
/* One row by one panel, without bias; y8: (8) */
typedef void row_fn(const tile_rows *x, const uint8_t *codes, const float *scales, float *y8);

static inline size_t code_at(const tile_rows *x, size_t row) { return row / PITH_ROWS * x->block_codes + row % PITH_ROWS * PITH_QUAD; }
static inline size_t group_at(const tile_rows *x, size_t row) { return row / PITH_ROWS * x->block_groups + row % PITH_ROWS; }

static inline int32_t load_quad(const int8_t *src) {
  int32_t quad;
  __builtin_memcpy(&quad, src, sizeof quad);
  return quad;
}

static inline tile_outputs outputs_of(size_t n, const float *bias, bool accumulate, float *y, size_t y_stride) {
  return (tile_outputs){n < PAIR ? n : PAIR, bias, accumulate, y, y_stride};
}

/* A single row is bound by reading the weights: panel by panel, as they lie in memory; two at a time were slower. */
static inline __attribute__((always_inline)) void gemv_by_panels(row_fn *row, size_t panel_bytes, size_t group_floats, size_t n, size_t k, size_t group_size,
                                                                 const pith_activations *x, const uint8_t *w, const float *w_scales, const float *bias,
                                                                 bool accumulate, float *y) {
  const tile_rows r = {x->n_groups, (k + PITH_QUAD - 1) / PITH_QUAD, group_size / PITH_QUAD, 0, 0, x->codes, x->scales, x->offsets};
  for (size_t o = 0; o < n; o += PITH_PANEL, w += panel_bytes, w_scales += x->n_groups * group_floats) {
    const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
    float y8[PITH_PANEL];
    row(&r, w, w_scales, y8);
    for (size_t i = 0; i < width; i++) store_output(y8[i], bias ? bias + o + i : NULL, accumulate, y + o + i);
  }
}

/* panel_bytes: of a panel's codes. group_floats: of a panel's scales for one group, 8 or 16. Rows go in runs whose activations stay in a
 * first-level cache while all panels pass (tiles_simd128.h). Two panels are too short for processors to see where reading will go on, so
 * that the next two are asked for, a share a tile; past the last ones a prefetch does nothing. */
static inline __attribute__((always_inline)) void gemm_by_pairs(tile_fn *tile, size_t rows_per_tile, row_fn *one, size_t panel_bytes, size_t group_floats,
                                                                size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x,
                                                                const uint8_t *w, const float *w_scales, const float *bias, bool accumulate, float *y, size_t y_stride) {
  if (n_rows == 1) {
    gemv_by_panels(one, panel_bytes, group_floats, n, k, group_size, x, w, w_scales, bias, accumulate, y);
    return;
  }
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD, row_bytes = n_quads * PITH_QUAD, panel_scales = x->n_groups * group_floats;
  const size_t fit = (24u << 10) / row_bytes / rows_per_tile * rows_per_tile, run = fit < rows_per_tile ? rows_per_tile : fit;
  for (size_t begin = 0; begin < n_rows; begin += run) {
    const size_t end = n_rows - begin < run ? n_rows : begin + run;
    for (size_t o = 0; o < n; o += PAIR) {
      const size_t first = o / PITH_PANEL, second = n - o > PITH_PANEL ? first + 1 : first;
      const tile_panels p = {{w + first * panel_bytes, w + second * panel_bytes}, {w_scales + first * panel_scales, w_scales + second * panel_scales}};
      tile_outputs out = outputs_of(n - o, bias ? bias + o : NULL, accumulate, y + begin * y_stride + o, y_stride);
      const size_t n_tiles = (end - begin + rows_per_tile - 1) / rows_per_tile, share = (begin == 0 ? 2 * panel_bytes : 0) / n_tiles;
      const uint8_t *next = w + (first + 2) * panel_bytes;
      for (size_t row = begin; row < end; row += rows_per_tile, out.y += rows_per_tile * y_stride, next += share) {
        for (size_t i = 0; i < share; i += 64) __builtin_prefetch(next + i);
        const tile_rows r = {x->n_groups, n_quads, group_size / PITH_QUAD, PITH_ROWS * row_bytes, PITH_ROWS * x->n_groups,
                             (const int8_t *)x->codes + row * row_bytes, x->scales + row * x->n_groups, x->offsets + row * x->n_groups};
        tile(end - row < rows_per_tile ? end - row : rows_per_tile, &r, &p, &out);
      }
    }
  }
}

#endif
