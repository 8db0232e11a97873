/* The error after each layer: rows of a model against its parent's, on the same tokens. Both runs go side by side, each as far as a layer that
 * they have in common, so that no rows are kept. */
#ifndef PITH_PER_LAYER_H
#define PITH_PER_LAYER_H

#include "eval/layerwise.h"

typedef struct pith_layer_error {
  int32_t layers[2];         /* the model's and the parent's; -1: the embedding */
  double error, norm;        /* Σ ‖x − y‖², Σ ‖y‖² over all rows so far, y the parent's */
  double cosine_sum;
} pith_layer_error;

typedef struct pith_per_layer {
  pith_layer_error *items;   /* the embedding, then the layers in order; NULL: nobody asks */
  uint32_t n, next;          /* next: whose turn it is in the block at hand */
  uint64_t n_rows;           /* so far */
} pith_per_layer;

/* Which layers belong together: all where there are as many; else a pruned package's recipe says which of the parent's are gone. PITH_E_ARGUMENT
 * where that cannot be known, and for rows of different widths. Zero-initialise first. */
pith_status pith_per_layer_init(pith_ctx *ctx, pith_per_layer *p, const pith_model *model, const pith_model *parent);
void pith_per_layer_free(pith_ctx *ctx, pith_per_layer *p);
/* Steps the runs of a block, both begun and of the same tokens. PITH_OK: both are done. */
pith_status pith_per_layer_step(pith_ctx *ctx, pith_per_layer *p, pith_layerwise runs[2]);
/* "embedding": {"error", "cosine"} and "layers": [{"layer", "parent", "error", "cosine"}]: relative squared error, mean cosine of rows. */
void pith_per_layer_report(const pith_per_layer *p, pith_json *out);

#endif
