/* Scale migration: a matrix's inputs are divided by scales and its columns multiplied by the same, so that what is hard to round lies where it matters
 * less. The divisions fold into what makes the inputs, so the model computes the same but for f32 rounding, and nothing is added to it:
 *   norm → query, key, value; norm → gate, up    the norm's weight and bias. Only where norms come before the blocks: elsewhere the residual reads them too
 *   value → attention's output                   value's rows and bias: attention sums them linearly. Heads that share values share scales
 *   up → down                                    up's rows and bias: where a gate multiplies them, or only ReLU lies between
 * Rows and norms that are divided lose nothing: groups lie within a row, and vectors are stored as f32. Scales, of inputs x_j and columns w_j:
 *   smoothquant  max|x_j|^α / max|w_j|^(1-α)     (Xiao et al. 2022)
 *   awq          mean|x_j|^α, α of 0, 0.05, … 1 with the least Σ d H dᵀ, d = (rounded to nearest(w s) / s) - w, over up to 64 rows of each matrix
 *                (Lin et al. 2023; the exact output error on the calibration texts instead of that of a sample)
 * Both normed so that the least times the largest is 1; inputs or columns that are always zero have 1. */
#ifndef PITH_MIGRATE_H
#define PITH_MIGRATE_H

#include "compress/prune.h"

enum { PITH_FOLD_QUERY_KEY_VALUE, PITH_FOLD_ATTENTION_OUT, PITH_FOLD_GATE_UP, PITH_FOLD_DOWN, PITH_N_FOLDS };

typedef enum pith_migration_unit { PITH_MIGRATE_REACH, PITH_MIGRATE_TRY, PITH_MIGRATE_EDIT } pith_migration_unit;

typedef struct pith_migration {
  const pith_recipe *recipe;
  pith_pruning *pruning;             /* its edits hold what is folded, after what it pruned */
  pith_calibration *calibration;
  int32_t stage;                     /* of the package */
  uint32_t counts[PITH_N_FOLDS];     /* layers in which scales were folded */
  /* the fold at hand */
  uint32_t fold;
  pith_migration_unit unit;
  size_t n;                          /* rows of what makes the inputs */
  double *inputs, *columns;          /* (n) sizes of inputs and of the columns that read them */
  double *scales, *best;             /* (n) of the trial; the best so far */
  double least, error;
  uint32_t trial, reader, panel;     /* of the search */
  float *rows;                       /* (8, cols) */
  double *errors;                    /* (8, cols) */
  void *codes, *panel_scales;        /* of a panel */
  uint32_t n_edited;                 /* weights */
} pith_migration;

/* Zero-initialise first. PITH_E_ARGUMENT where the recipe asks for it and `calibrated` says that there are no texts. */
pith_status pith_migration_begin(pith_ctx *ctx, pith_migration *m, const pith_recipe *recipe, pith_pruning *pruning, bool calibrated);
/* Until PITH_OK: weight `id` of the stage is in the pruning's edits if scales were folded into it. After pith_pruning_step for the same. */
pith_status pith_migration_step(pith_ctx *ctx, pith_migration *m, pith_calibration *calibration, int32_t stage, uint32_t id);
/* For each fold that the model has, in how many layers it was made; NULL: the recipe asks for none. */
pith_json *pith_migration_report(const pith_migration *m);
void pith_migration_free(pith_ctx *ctx, pith_migration *m);

#endif
