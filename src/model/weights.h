/* Bound weights: every slot of a model as a vector or a matrix, wherever its bytes lie. */
#ifndef PITH_WEIGHTS_H
#define PITH_WEIGHTS_H

#include "model/checkpoint.h"
#include "model/stages.h"

typedef struct pith_weight {
  const float *vector;     /* vectors: (cols) */
  pith_matrix matrix;      /* matrices and tables */
} pith_weight;

typedef struct pith_stage {
  pith_weight weights[PITH_N_LAYER_WEIGHTS];   /* by pith_weight_id */
} pith_stage;

typedef struct pith_weights {
  pith_stage *stages;      /* n_layers + 2: before, the layers, after */
  uint32_t n_stages;
  void **owned;            /* memory behind the pointers above */
  size_t n_owned, owned_capacity;
  uint64_t n_bytes;        /* of that memory */
  uint64_t n_parameters;
} pith_weights;

/* Zero-initialise first; free accepts a half-bound one. */
pith_status pith_weights_init(pith_ctx *ctx, pith_weights *weights, int32_t n_layers);
void pith_weights_free(pith_ctx *ctx, pith_weights *weights);
/* 64-byte aligned memory that lives as long as the weights. */
pith_status pith_weights_take(pith_ctx *ctx, pith_weights *weights, size_t n_bytes, void *out_ptr);
/* Gives back what was taken, ahead of the rest. */
void pith_weights_drop(pith_ctx *ctx, pith_weights *weights, const void *taken, size_t n_bytes);
static inline pith_stage *pith_weights_stage(const pith_weights *weights, int32_t stage) { return &weights->stages[stage + 1]; }

/* Loading a checkpoint whole, in fp32, slot by slot: each call of step reads one chunk; PITH_PENDING until all are there. */
typedef struct pith_checkpoint_loader {
  pith_checkpoint *checkpoint;
  pith_weights *weights;
  pith_slot slots[PITH_MAX_SLOTS];
  uint32_t n_slots, slot;
  int32_t stage;
  uint64_t row;            /* of the current slot */
  float *current;          /* its destination */
  float *chunk;            /* some rows as the Hub has them */
  size_t chunk_floats;
  uint64_t done_bytes, total_bytes;   /* of f32 */
} pith_checkpoint_loader;
pith_status pith_checkpoint_loader_init(pith_ctx *ctx, pith_checkpoint_loader *loader, pith_checkpoint *checkpoint, pith_weights *weights);
pith_status pith_checkpoint_loader_step(pith_ctx *ctx, pith_checkpoint_loader *loader);
void pith_checkpoint_loader_free(pith_ctx *ctx, pith_checkpoint_loader *loader);

#endif
