/* What the runtime's work takes on this machine, in milliseconds: products of some shape and encoding, and whole half-layers, run by the forward pass
 * itself on made-up weights and activations. Weights lie in one pool, through which each run moves on, so that caches hold as little of them as
 * they do when the layers of a model follow each other. Every thing is timed for a few milliseconds a round, after a run that warms up; rounds follow
 * each other over all of them, so that what disturbs the machine for a while disturbs them all alike. Samples are short, and the shortest counts: on an
 * idle machine it is near the median, and on a busy one, where most samples hold work of others, still the time of the work itself. It depends on the
 * machine and the threads: it may go into plans, never into packages. Where the two shortest are not alike, more rounds follow. */
#ifndef PITH_COST_H
#define PITH_COST_H

#include "compress/recipe.h"
#include "model/forward.h"

enum { PITH_COST_ROUNDS = 7, PITH_COST_MOST_ROUNDS = 50, PITH_COST_SAMPLES = 9 /* a round, at most */, PITH_COST_TOKENS = 128 };

typedef struct pith_timed {
  pith_matrix matrix;                    /* a product with it, n_rows rows of activations; rows = 0: a half-layer of `shape` with u7 matrices */
  uint32_t n_rows;
  int32_t half;
  pith_layer_shape shape;
  double ms, second;                     /* the two shortest samples so far; 0: there is none */
} pith_timed;

typedef struct pith_cost {
  pith_config config;                    /* the model's with one layer, whose shape is `shape` */
  pith_layer_shape shape;
  const pith_kernels *kernels;
  uint32_t tokens, n_rows;               /* of work, and the rows of a batch: all tokens, or the last one of a decoder */
  pith_timed *timed;
  uint32_t n, capacity, at, round;
  double tick_ms;                        /* of the host's clock */
  double weights;                        /* of all layers' matrices: how far a product moves through the pool */
  pith_arena pool;
  size_t cursor;
  float *ones, *x, *y;                   /* vectors of any length there is; (n_rows, widest), (n_rows, most outputs) */
} pith_cost;

/* tokens: encoders work through one text of so many; decoders make a step after so many. Zero-initialise first. PITH_E_LIMIT: more than the model takes. */
pith_status pith_cost_begin(pith_ctx *ctx, pith_cost *cost, const pith_config *config, const pith_kernels *kernels, pith_attention attention, uint32_t tokens);
/* Before the first step: what is to be timed. *index: where its outcome will be; the same for what was asked for before. n_rows: 0 is the layers'. */
pith_status pith_cost_product(pith_ctx *ctx, pith_cost *cost, uint32_t rows, uint32_t cols, const pith_recipe_rule *rule, uint32_t n_rows, uint32_t *index);
pith_status pith_cost_half(pith_ctx *ctx, pith_cost *cost, int32_t half, pith_layer_shape shape, uint32_t *index);
/* The samples of one thing in one round; PITH_OK when all are there. */
pith_status pith_cost_step(pith_ctx *ctx, pith_cost *cost);
/* What a half-layer of that shape takes beside its products: attention, norms, activations. Its half and products must have been timed (u7 in groups of 64). */
double pith_cost_rest(const pith_cost *cost, int32_t half, pith_layer_shape shape);
void pith_cost_free(pith_ctx *ctx, pith_cost *cost);

#endif
