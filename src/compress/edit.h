/* Weights of the layer at hand that are to be encoded otherwise than the checkpoint has them: in another shape, or with other values. Whoever changes
 * a layer before it is rounded leaves them here, in fp32, and the encoder reads them in the checkpoint's place. */
#ifndef PITH_EDIT_H
#define PITH_EDIT_H

#include "model/weights.h"

typedef struct pith_edit {
  float *values;             /* (rows, cols), NULL: the checkpoint's weight stays. A vector is one row */
  uint32_t rows, cols;
} pith_edit;

typedef struct pith_edits {
  pith_edit weights[PITH_N_LAYER_WEIGHTS];   /* by pith_weight_id */
} pith_edits;

/* Room for the weight, whose values the caller then writes. */
pith_status pith_edits_take(pith_ctx *ctx, pith_edits *edits, uint32_t id, uint32_t rows, uint32_t cols, float **values);
/* A copy takes the place of the weight in a layer's weights, for what is computed with them before they are encoded. */
pith_status pith_edits_bind(pith_ctx *ctx, const pith_edits *edits, uint32_t id, pith_weights *layer);
/* The weight has been encoded. */
void pith_edits_drop(pith_ctx *ctx, pith_edits *edits, uint32_t id);
void pith_edits_free(pith_ctx *ctx, pith_edits *edits);

#endif
