/* Structured pruning: neurons of the feed-forward, attention heads in whole groups that share keys and values, and whole layers go, and the tensors
 * with them. Half-layer by half-layer, just before it is encoded: what reads the attended rows, or the neurons, says which matter.
 *   obs          what removing a unit costs the half-layer's output on the calibration texts, best moves of the others counted (surgeon.h)
 *   first-order  of a unit's columns j, Σ E|a_j| ‖w_j‖: |a ∂L/∂a| with the norm of w_j, that reads a_j, in the place of a gradient, so that nothing is
 *                run backwards (Molchanov et al. 2017 is the criterion, this a surrogate)
 *   magnitude    the sum of squares of all weights that go with the unit
 * With calibration the weights that stay are solved for again, whatever chose them, and what the removed ones gave on average becomes bias. */
#ifndef PITH_PRUNE_H
#define PITH_PRUNE_H

#include "compress/calibrate.h"
#include "compress/edit.h"
#include "compress/recipe.h"
#include "compress/surgeon.h"

enum {
  PITH_PRUNE_NEURONS = 32    /* neurons are kept in multiples of this, at least so many (or all): whole groups and tiles of the products */
};

typedef enum pith_pruning_unit { PITH_PRUNE_AIM, PITH_PRUNE_REACH, PITH_PRUNE_REMOVE, PITH_PRUNE_EDIT } pith_pruning_unit;

typedef struct pith_pruning {
  const pith_prune_rule *rule;
  pith_calibration *calibration;     /* NULL: no texts */
  pith_config parent, config;        /* config: of what is left */
  pith_layer_shape *layers;          /* config.layers; NULL: nothing goes */
  int32_t *from;                     /* (config.n_layers) the parent's layer */
  pith_edits edits;                  /* of the layer at hand */
  /* the half-layer at hand */
  int32_t stage;                     /* of config */
  bool half_done[2];
  pith_pruning_unit unit;
  pith_stage_reader reader;          /* without texts: the layer, read whole */
  pith_weights layer;
  int32_t layer_stage;               /* of the parent */
  pith_surgeon surgeon;
  double *means;                     /* (cols) of the inputs */
  double *scores;                    /* (n_units) */
  bool *gone;                        /* (n_units) */
  size_t n_aimed, n_edited;          /* matrices */
} pith_pruning;

/* Zero-initialise first. What the rule leaves of the parent: PITH_E_UNSUPPORTED where it does not fit the model, PITH_E_ARGUMENT where it needs texts
 * and `calibrated` says that there are none. Both must live on. */
pith_status pith_pruning_begin(pith_ctx *ctx, pith_pruning *p, const pith_prune_rule *rule, const pith_config *parent, bool calibrated);
/* The parent's stage that a stage of config comes from. */
int32_t pith_pruning_parent_stage(const pith_pruning *p, int32_t stage);
/* Until PITH_OK: weight `id` of the stage is in `edits`, if it is not the checkpoint's. Stages in order, weights of one in forward order.
 * source: the parent; calibration: NULL without texts. */
pith_status pith_pruning_step(pith_ctx *ctx, pith_pruning *p, pith_source *source, pith_calibration *calibration, int32_t stage, uint32_t id);
void pith_pruning_free(pith_ctx *ctx, pith_pruning *p);

#endif
