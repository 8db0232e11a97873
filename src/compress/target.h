/* What the package is aimed at: the parent's own rows. What came before in the package has left an error in its rows, and weights that are solved or
 * rounded for anyway take off a part of it, as far as their inputs can tell. The parent runs beside the package, over the same sequences. */
#ifndef PITH_TARGET_H
#define PITH_TARGET_H

#include "eval/layerwise.h"

typedef struct pith_target {
  pith_layerwise run;        /* the parent, its rows where a half-layer begins, or */
  bool summed;               /* where what the half-layer adds has been added, but not normed */
  int half;                  /* of its stage */
  bool moving, copied;       /* rows are under way; a copy of a batch's is */
  float *rows;               /* (max_rows, hidden): the copy */
} pith_target;

/* Zero-initialise first. The arguments must live on. */
pith_status pith_target_begin(pith_ctx *ctx, pith_target *target, pith_source *parent, const int32_t *ids, const pith_span *sequences, uint32_t n_sequences);
/* Whether the half-layer still lies ahead, or begins here. */
bool pith_target_precedes(const pith_target *target, int32_t stage, int half);
/* Until PITH_OK: the rows there, the first batch at hand. Only forward. */
pith_status pith_target_reach(pith_ctx *ctx, pith_target *target, int32_t stage, int half, bool summed);
/* The rows of the batch at hand, (n_batch, hidden). */
const float *pith_target_rows(const pith_target *target);
/* Some of the way from where the half-layer begins to what weight `reader` reads in it, (n_batch, *x_stride): true when it is there. */
bool pith_target_inputs(pith_target *target, uint32_t reader, const float **x, size_t *x_stride);
void pith_target_free(pith_ctx *ctx, pith_target *target);

#endif
