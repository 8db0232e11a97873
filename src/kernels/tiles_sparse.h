/* What the block-sparse products share: the walk over blocks of rows and panels of outputs. */
#ifndef PITH_TILES_SPARSE_H
#define PITH_TILES_SPARSE_H

#include "kernels/tiles_simd128.h"

/* What a tile reads of one panel: its groups' blocks are [starts[g], starts[g + 1]). */
typedef struct sparse_panel {
  const uint8_t *codes;
  const uint16_t *quads;
  const uint32_t *starts;
  const float *scales;
} sparse_panel;

enum { PITH_SPARSE_ROWS = 2 * PITH_ROWS };   /* of a tile at most */

/* The product of n_rows rows with a panel, without bias; x is the first of their blocks. y8: (PITH_SPARSE_ROWS, 8) */
typedef void sparse_tile_fn(size_t n_rows, const row_block *x, const sparse_panel *p, float *y8);

static inline __attribute__((always_inline)) void gemm_sparse(sparse_tile_fn *tile, size_t tile_rows, size_t elem_bytes, size_t n_rows, size_t n, size_t k, size_t group_size,
                                                              const pith_activations *x, const pith_sparse_panels *w, const float *w_scales,
                                                              const float *bias, bool accumulate, float *y, size_t y_stride) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD, row_bytes = n_quads * PITH_QUAD * elem_bytes, n_groups = x->n_groups;
  const size_t run = rows_in_cache(row_bytes);
  float y8[PITH_SPARSE_ROWS * PITH_PANEL];
  for (size_t begin = 0; begin < n_rows; begin += run) {
    const size_t end = n_rows - begin < run ? n_rows : begin + run;
    sparse_panel p = {w->codes, w->quads, w->starts, w_scales};
    for (size_t o = 0; o < n; o += PITH_PANEL) {
      const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
      for (size_t row = begin; row < end; row += tile_rows) {
        const size_t rows = end - row < tile_rows ? end - row : tile_rows;
        const row_block b = {n_groups, n_quads, group_size / PITH_QUAD, (const uint8_t *)x->codes + row * row_bytes, x->scales + row * n_groups,
                             x->offsets + row * n_groups};
        tile(rows, &b, &p, y8);
        store_tile_simd128(rows, width, y8, bias ? bias + o : NULL, accumulate, y + row * y_stride + o, y_stride);
      }
      p.starts += n_groups;
      p.scales += n_groups * PITH_PANEL;
    }
  }
}

#endif
