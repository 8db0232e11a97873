/* Float rows into codes, in the layout that the kernels read. Data-free and deterministic. */
#ifndef PITH_QUANTIZE_H
#define PITH_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#include "compress/sparsity.h"

/* Whether f16 can hold a tensor's scales: its largest one has to be in f16's normal range. levels: 63 (packed: fewer) or 127. */
pith_dtype pith_scale_dtype(float tensor_absmax, int levels);

/* How far u7's codes may be from the zero point in an encoding that is u7 in memory: fewer where they are packed to fewer bits. */
static inline int pith_u7_levels(pith_encoding encoding) {
  const uint32_t bits = pith_encoding_bits(encoding);
  return bits ? (1 << (bits - 1)) - 1 : PITH_U7_ZERO - 1;
}
/* What codes are made as, before they are packed. */
static inline pith_encoding pith_encoding_made(pith_encoding encoding) {
  return pith_encoding_sparse(encoding) || pith_encoding_bits(encoding) ? PITH_ENC_U7 : encoding;
}

/* A group's codes are (w - minimum) / scale, rounded and clamped to what the encoding has. */
typedef struct pith_grid {
  float scale, minimum;
  int zero;                  /* -minimum / scale, where that is whole */
} pith_grid;

/* What makes rounding mind the inputs (second_order.h): a weight's error is taken off the weights that come after it, so that what the inputs see
 * changes least. A group's grid is chosen when its first weight is reached, among those below, by what the group then adds to the objective
 * dᵀ H d, d being what the row changes by (of the whole row as one group, of u7's 63 levels, and where weights are dropped: by the weights that stay). With an order
 * the grids are chosen beforehand, as below; nothing is dropped by inputs then.
 * A row stays rounded to the nearest where that has the smaller objective. */
typedef struct pith_rounding {
  size_t cols;
  const uint32_t *order;     /* (cols) the column that is visited k-th; NULL: as they lie */
  const float *u;            /* (cols, cols), as visited */
  const double *factor;      /* (cols, cols): the factored sums, R[i][j] at [j * cols + i] */
  const float *squares;      /* (cols): what choosing by wanda counts inputs by, Σ x² */
  const float *curvature;    /* (cols): the same by second order, R[k][k]² = 1 / U[k][k]². Both: only where weights are dropped */
  float *scratch;            /* (2, 8, cols), the thread's own */
  pith_grid *grids;          /* (groups, 8), the thread's own, where there is an order */
} pith_rounding;

/* One panel of up to 8 rows as u7 codes with one scale per row and group.
 *   levels   codes are within 64 ± levels: 63, or for codes that are then packed to fewer bits 31 (u6), 15 (u5)
 *   w        (n_rows, cols) finite floats, n_rows 1…8; where `dropping` goes by weights or inputs alone, those that go become 0
 *   codes    [ceil(cols/4)][8][4]; absent rows and columns get the zero point 64
 *   scales   [ceil(cols/group_size)][8] of scale_dtype (F16 or F32); absent rows and groups of zeros 0
 * A group's scale is the best, by squared error after its rounding to scale_dtype, of absmax * f / levels for
 * f = 1, 0.99, … 0.75; the first best wins; in F16 none is below 2^-20. Code = 64 + clamp(round_half_even(w / scale), ±levels),
 * the quotient computed as w * (1 / scale). group_size: a multiple of 4. rounding: NULL for the nearest.
 * dropping: which weights become 0, or NULL. By obs (which wants `rounding`) they are chosen while the panel is rounded, by w² / U[k][k]² of the
 * weights as they then are: PITH_DROP_COLUMNS columns at a time (2:4 also each quad when it is reached), and a dropped weight's error is spread as
 * one that was rounded is. Frantar and Alistarh 2023, "SparseGPT", sections 3.2 to 3.4. A row (of blocks: the panel) for which that ends with a
 * larger dᵀ H d than choosing by magnitude and rounding to the nearest has the latter. Otherwise what goes is chosen before, and `rounding` minds
 * what is left. */
enum { PITH_DROP_COLUMNS = 128 };
void pith_quantize_u7_panel(size_t n_rows, size_t cols, size_t group_size, int levels, float *w, pith_dtype scale_dtype, uint8_t *codes, void *scales,
                            const pith_rounding *rounding, const pith_dropping *dropping);

/* Rows of 8-bit codes, 128 + clamp(round_half_even(w / scale), ±127), one scale a row, chosen as above of absmax * f / 127.
 *   codes (n_rows, cols), scales (n_rows) */
double pith_quantize_u8_rows(size_t n_rows, size_t cols, const float *w, pith_dtype scale_dtype, uint8_t *codes, void *scales);

/* One panel of up to 8 rows as u4 codes, 0…15, with a scale and a zero point per row and group (rounded to the nearest, data-free).
 *   codes    [ceil(cols/8)][8][4], two inputs a byte as gemm_i8u4_f32 reads them; absent rows and columns 0
 *   scales   [ceil(cols/group_size)][PITH_U4_GROUP_BYTES]: eight F16 scales, then eight zero points of 4 bits (kernels.h, u4_scales)
 * A group's range [low, high], widened to hold 0, is tried at f = 1, 0.98, … 0.7 of its width; scale = f (high - low) / 15 in F16, not below
 * 2^-20, zero point = clamp(round_half_even(-f low / scale), 0, 15), code = clamp(round_half_even(w / scale) + zero point, 0, 15); the first
 * least squared error wins. False: a scale is too large for F16. */
bool pith_quantize_u4_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint8_t *scales, const pith_rounding *rounding);

/* The same with a minimum instead of a zero point: scales [groups][2][8] F16, scales then minima; code = clamp(round_half_even((w - minimum) /
 * scale), 0, 15), minimum = the group's lowest, scale = f (high - low) / 15. */
bool pith_quantize_u4_min_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint16_t *scales, const pith_rounding *rounding);
/* Codes (n_rows, cols), scales and minima (n_rows, cols / group_size) that are there already, into the same layout. */
void pith_pack_u4_min_panel(size_t n_rows, size_t cols, size_t group_size, const uint8_t *row_codes, const uint16_t *row_scales, const uint16_t *row_mins,
                            uint8_t *codes, uint16_t *scales);

/* A panel [cols][8] of halves, absent rows 0. PITH_E_LIMIT-worthy overflow shows as a return of false. */
bool pith_convert_f16_panel(size_t n_rows, size_t cols, const float *w, uint16_t *panel);

#endif
