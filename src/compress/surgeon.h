/* Optimal Brain Surgeon for structures: columns of a matrix are removed, one unit of `width` columns after another, and the weights that stay move to
 * where the layer's squared error tr(D H Dᵀ), D = W - Ŵ, is least. With G = H⁻¹ over the columns that are left, unit S costs tr(W_S (G_SS)⁻¹ W_Sᵀ);
 * its columns are eliminated one by one, of column j
 *   loss += ‖w_j‖² / G_jj,   W -= w_j G_j: / G_jj,   G -= G_:j G_j: / G_jj
 * after which W is what solving for all weights at once gives, W H_:K (H_KK)⁻¹ with H damped, and G is (H_KK)⁻¹.
 * Hassibi and Stork 1992; Kurtic, Frantar, Alistarh 2023, "ZipLM", section 3.2; Li et al. 2020 for re-solving.
 * Sums have one order: on any number of threads, on every build, the same bits. */
#ifndef PITH_SURGEON_H
#define PITH_SURGEON_H

#include "compress/second_order.h"
#include "model/model.h"

typedef struct pith_surgeon {
  size_t rows, cols, width, n_units, n_left;
  double *inverse;           /* (cols, cols), borrowed: the lower triangle of H, then of G; of columns that are gone 0 */
  double *w;                 /* (rows, cols) */
  double *scores;            /* (n_units) what removing each would cost; given ones stay */
  bool *gone;                /* (n_units) */
  double loss;               /* of what was removed */
  bool given;                /* scores are the caller's */
  double *pivot;             /* (cols) of the inverse, the column at hand */
  double *column;            /* (rows) of w */
  double *block;             /* (threads, width, width + rows): a unit that is tried */
  double divisor;
  const pith_moments *moments;   /* borrowed */
  size_t n_inverted, n_aimed, n_scored;
} pith_surgeon;

/* What H gets added for pruning, of its diagonal's mean: five times that of rounding, since weights that are solved for anew follow the texts further.
 * Less fits texts of the same kind better, and others worse (docs/COMPRESSION.md). */
#define PITH_PRUNING_DAMPING 0.05

/* moments: of the inputs, which are overwritten and must live on. centred: a bias takes up what does not vary, so H is of the inputs less their mean.
 * damping: of the mean of H's diagonal, added to it; an input that never varies costs nothing. w is zero, for the caller to fill.
 * Where the moments have errors, w first moves to where they are least, W + E H⁻¹, E being the sums of their products with the inputs.
 * scores: NULL, or what the caller would rather choose by; copied. */
pith_status pith_surgeon_begin(pith_ctx *ctx, pith_surgeon *s, pith_moments *moments, bool centred, double damping, size_t rows, size_t width, const double *scores);
/* Fills w with the matrix, before the first step. */
pith_status pith_surgeon_fill(pith_ctx *ctx, pith_surgeon *s, const pith_matrix *matrix);
/* Until PITH_OK: removes the units of least score, of equal ones the first, until n_keep are left. PITH_E_UNSUPPORTED where the inputs were not finite. */
pith_status pith_surgeon_step(pith_ctx *ctx, pith_surgeon *s, size_t n_keep);
/* The one of least score that is not gone, of equal ones the first. */
size_t pith_least_unit(const double *scores, const bool *gone, size_t n_units);
void pith_surgeon_free(pith_ctx *ctx, pith_surgeon *s);

#endif
