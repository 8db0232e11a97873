/* Where pruned weights are aimed: at the parent's own rows. What came before in the package has left an error in its rows; a half-layer that is solved
 * for anyway takes off as much of it as its inputs can tell. The parent runs beside the package, batch by batch over the same sequences. */
#ifndef PITH_TARGET_H
#define PITH_TARGET_H

#include "eval/layerwise.h"

typedef struct pith_target {
  pith_layerwise run;        /* the parent */
  bool half_done[2];         /* of its stage */
  bool moving, copied;       /* rows are under way: through a half-layer, or a copy of a batch's through a part of one */
  float *rows;               /* (max_rows, hidden): the copy */
  float *sums;               /* (max_rows, hidden): a batch's rows when the half-layer's output has been added to them */
} pith_target;

/* Zero-initialise first. The arguments must live on. */
pith_status pith_target_begin(pith_ctx *ctx, pith_target *t, pith_source *parent, const int32_t *ids, const pith_span *sequences, uint32_t n_sequences);
/* Until PITH_OK: the parent's rows are where the half-layer begins, its first batch at hand. */
pith_status pith_target_approach(pith_ctx *ctx, pith_target *t, int32_t stage, int half);
/* Some of the way; true: `sums` is that of the batch at hand. reader: the weight whose product is the half-layer's output. */
bool pith_target_step(pith_target *t, int half, uint32_t reader);
void pith_target_free(pith_ctx *ctx, pith_target *t);

#endif
