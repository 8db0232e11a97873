/* What the inputs of a matrix say about rounding it: the second-order matrix of the layer's squared error, H = 2 Σ x xᵀ, whose factor of two
 * cancels and is left out, and from it the factor by which the error of a rounded weight is made good by the weights that come after it.
 * Frantar, Ashkboos, Hoefler, Alistarh 2022, "GPTQ", sections 3 and 4; Hassibi and Stork 1992 for the update. */
#ifndef PITH_SECOND_ORDER_H
#define PITH_SECOND_ORDER_H

#include "base/base.h"
#include "kernels/kernels.h"

/* Sums of products of a matrix's inputs. The sums have one order: on any number of threads, on every build, the same bits. */
typedef struct pith_moments {
  size_t cols;
  double *sums;              /* (cols, cols), of which the lower triangle is kept: sums[i * cols + j], j <= i */
  double *totals;            /* (cols) sums of the inputs themselves, and of their magnitudes */
  double *magnitudes;
  double *maxima;            /* (cols) the largest magnitude */
  size_t n_errors;           /* where what is multiplied is aimed at something else: the width of what it misses by. 0: nowhere */
  double *errors;            /* (n_errors, cols) sums of products of errors and inputs */
  double *error_totals;      /* (n_errors) sums of the errors */
  float *turned;             /* (n_errors, PITH_MOMENT_ROWS): a chunk of errors */
  float *columns;            /* (cols, PITH_MOMENT_ROWS): a chunk of inputs, turned */
  float *panels;             /* [ceil(cols / 8)][PITH_MOMENT_ROWS][8]: the same in panels */
  float *products;           /* (threads, cols or n_errors, a strip) */
  double n_rows;             /* the sum of what they count for */
  size_t row, strip;         /* of rows that are being added: the chunk's first, and the strip that is next, 0 before the chunk is turned */
} pith_moments;
enum { PITH_MOMENT_ROWS = 128 };
#define PITH_DAMPING 0.01   /* what H gets added to its diagonal, of the diagonal's mean: as in the paper */

pith_status pith_moments_init(pith_ctx *ctx, pith_moments *moments, size_t cols, size_t n_errors);
/* Some of the sums of these rows; true when all of them are in, and until then it is to be called again with the same.
 * x: (n_rows, cols) finite floats, rows x_stride floats apart. errors: (n_rows, n_errors). roots: (n_rows) of what each row counts for, or NULL: 1. */
bool pith_moments_add(const pith_ctx *ctx, const pith_kernels *kernels, pith_moments *moments, size_t n_rows, const float *x, size_t x_stride, const float *errors,
                      const float *roots);
void pith_moments_scale_errors(pith_moments *moments, double factor);
void pith_moments_free(pith_ctx *ctx, pith_moments *moments);

/* The columns by descending Σ x_j², of equal ones the first: order, (cols). The sums are then those of inputs in that order, nothing else is. */
pith_status pith_moments_order(pith_ctx *ctx, pith_moments *moments, uint32_t *order);

/* The upper factor U of the inverse, H⁻¹ = Uᵀ U, in steps. H first gets `damping` times the mean of its diagonal added to the diagonal; an input
 * that was always zero, and a matrix that no input reached, have nothing to say: their columns are as if alone, which is plain rounding.
 * u: (cols, cols), row i has U[i][j] / U[i][i] for j >= i, by which the error of weight i is taken off weight j; nothing is written below. */
typedef struct pith_second_order {
  pith_moments *moments;     /* borrowed; the sums are overwritten */
  float *u;                  /* borrowed */
  double *row;
  size_t left;               /* columns to be factored, then rows to be inverted */
  bool inverting;
  double *lanes;             /* (threads, 2, cols, 8): rows that are being solved for, and what they come to */
  size_t n_solved;           /* rows of errors */
} pith_second_order;
pith_status pith_second_order_begin(pith_ctx *ctx, pith_second_order *s, pith_moments *moments, double damping, float *u);
/* PITH_E_UNSUPPORTED where the inputs were not finite, or too large for their squares. */
pith_status pith_second_order_step(pith_ctx *ctx, pith_second_order *s);
/* When that is there: the moments' errors become E · H⁻¹, in steps, where E is their sums with inputs: what a matrix has to change by to take the
 * errors off. order: by which the columns were sorted (theirs were not), or NULL. */
pith_status pith_second_order_solve(pith_ctx *ctx, pith_second_order *s, const uint32_t *order);
void pith_second_order_free(pith_ctx *ctx, pith_second_order *s);

#endif
