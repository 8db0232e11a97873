/* What the grouped integer products share: the walk over blocks of rows and panels of outputs, and the end of a tile. A product's file
 * holds its tiles alone. */
#ifndef PITH_TILES_SIMD128_H
#define PITH_TILES_SIMD128_H

#include "kernels/kernels.h"
#include "kernels/v128.h"

/* What a tile reads of one block of up to PITH_ROWS rows. */
typedef struct row_block {
  size_t n_groups, n_quads, quads_per_group;
  const void *codes;       /* [quads][PITH_ROWS][4] of one or two bytes */
  const float *scales;     /* [groups][PITH_ROWS] */
  const int32_t *offsets;  /* [groups][PITH_ROWS] */
} row_block;

/* What it reads of one panel of 8 outputs. */
typedef struct panel {
  const uint8_t *codes;
  const float *scales;     /* [groups][8], or [groups][2][8] with minima */
} panel;

/* The product of n_rows rows (1…PITH_ROWS) with a panel, without bias. y8: (PITH_ROWS, 8) */
typedef void tile_fn(size_t n_rows, const row_block *x, const panel *w, float *y8);

/* The end of a tile: n of 8 outputs of some rows. y8: (rows, 8) */
void store_tile_simd128(size_t rows, size_t n, const float *y8, const float *bias, bool accumulate, float *y, size_t y_stride);

/* Rows whose activations stay in a first-level cache while all panels pass: reading them again for every panel costs more than reading
 * the panels again for every such run of rows. */
static inline size_t rows_in_cache(size_t row_bytes) {
  const size_t n = (24u << 10) / row_bytes / PITH_ROWS * PITH_ROWS;
  return n < 2 * PITH_ROWS ? 2 * PITH_ROWS : n;
}

/* elem_bytes: of an activation's code. panel_bytes: of a panel's codes. group_floats: of a panel's scales for one group, 8 or 16. */
static inline __attribute__((always_inline)) void gemm_by_tiles(tile_fn *tile, size_t elem_bytes, size_t panel_bytes, size_t group_floats, size_t n_rows, size_t n, size_t k,
                                                                size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales,
                                                                const float *bias, bool accumulate, float *y, size_t y_stride) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD, row_bytes = n_quads * PITH_QUAD * elem_bytes, n_groups = x->n_groups;
  const size_t run = rows_in_cache(row_bytes);
  float y8[PITH_ROWS * PITH_PANEL];
  for (size_t begin = 0; begin < n_rows; begin += run) {
    const size_t end = n_rows - begin < run ? n_rows : begin + run;
    panel p = {w, w_scales};
    for (size_t o = 0; o < n; o += PITH_PANEL) {
      const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
      for (size_t row = begin; row < end; row += PITH_ROWS) {
        const size_t rows = end - row < PITH_ROWS ? end - row : PITH_ROWS;
        const row_block b = {n_groups, n_quads, group_size / PITH_QUAD, (const uint8_t *)x->codes + row * row_bytes, x->scales + row * n_groups,
                             x->offsets + row * n_groups};
        tile(rows, &b, &p, y8);
        store_tile_simd128(rows, width, y8, bias ? bias + o : NULL, accumulate, y + row * y_stride + o, y_stride);
      }
      p.codes += panel_bytes;
      p.scales += n_groups * group_floats;
    }
  }
}

#endif
