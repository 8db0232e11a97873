/* What calibration texts say about a layer's matrices, in the order in which they are quantised: a layer is run on the outputs of the layers
 * before it as the package will compute them, and each of its matrices on what the ones before it in the layer then give. */
#ifndef PITH_CALIBRATE_H
#define PITH_CALIBRATE_H

#include "compress/edit.h"
#include "compress/quantize.h"
#include "compress/second_order.h"
#include "compress/target.h"
#include "eval/evaluate.h"
#include "eval/layerwise.h"

enum {
  PITH_CALIBRATION_TOKENS = 16384,   /* most_tokens, where nothing else is said */
  PITH_SOLVING_TOKENS = 65536,       /* the same where weights are solved for: many more unknowns (docs/COMPRESSION.md has what they bring) */
  PITH_CALIBRATION_LEAST = 256
};
/* How much of the errors before them weights are asked to take off: all of it would fit the texts at hand best, and others less well. */
#define PITH_AIMED_SHARE 0.5
/* What that leaves of the loss of a package that embeds, for predicting: 0.62 to 0.81 was measured from 4.6 to 8.3 bits a weight; of one that generates 0.86 to
 * 0.98, which is left at 1 (docs/COMPRESSION.md, "Rules by name, and budgets"). Finding it would take solving all layers once for every half-layer. */
#define PITH_AIMED_LOSS 0.75

typedef enum pith_calibration_unit {
  PITH_CALIBRATE_TOKENS,     /* the texts */
  PITH_CALIBRATE_MOVE,       /* rows through what comes before */
  PITH_CALIBRATE_AIM,        /* the parent to where it goes on, for who wants that */
  PITH_CALIBRATE_COLLECT, PITH_CALIBRATE_COLLECTED, PITH_CALIBRATE_FACTOR, PITH_CALIBRATE_SOLVE,
  PITH_CALIBRATE_READY
} pith_calibration_unit;

/* Against what a collection's errors are: nothing, what the weight reads in the parent, or the parent's rows when the half-layer that ends with
 * the weight has been added to them. */
typedef enum pith_aim { PITH_AIM_NOT, PITH_AIM_INPUTS, PITH_AIM_SUMS } pith_aim;

typedef struct pith_calibration {
  const pith_texts *texts;   /* borrowed */
  pith_source *source;       /* borrowed: the parent */
  pith_attention attention;
  size_t most_tokens;        /* of the texts in order; the rest is not looked at. May be changed before the first step */
  uint32_t rounding_rows;    /* how many of their rows, in whole batches, are looked at for rounding, which has fewer unknowns than pruning: the same */
  bool aims;                 /* errors against the parent's rows are collected and taken off */
  bool moves_inputs;         /* what weights read is not what they read in the parent: the owner may set it before the first step */
  bool ordered;              /* columns are visited by descending size of their inputs: the owner may set it before the first step */
  bool cuts;                 /* texts are read in pieces too: the owner may set it before the first step */
  size_t n_tokenized, n_pieces;
  size_t piece;              /* where in the text at hand the next one begins */
  bool repeated;             /* that text was there before */
  uint32_t *slots;           /* (n_slots) a table of the texts by their bytes: 1 + the number of one, 0 where there is none */
  size_t n_slots, n_different;   /* n_different: tokens of texts, of equal ones once */
  pith_ids ids;
  pith_span *sequences;
  uint32_t n_sequences, max_sequences;
  pith_layerwise run;
  pith_calibration_unit unit;
  /* the inputs at hand: those of weight `id` in `stage`, and of all others that read the same */
  int32_t stage;
  uint32_t id;
  pith_layer_shape shape;    /* of the stage, where it was changed */
  bool half_done[2];         /* of the stage: its rows have gone through it */
  bool moving;               /* through the next one */
  pith_part *learned;        /* of the matrix that is being learned */
  float *rows;               /* (max_rows, hidden): a batch that goes through a part of a layer */
  bool copied;               /* it is under way */
  uint32_t held_out;         /* the first rows, which moments leave out */
  pith_target target;        /* where it aims */
  pith_aim aim;              /* of the collection at hand, */
  bool rounding;             /* and whether it is for that, or for pruning */
  float *errors;             /* (max_rows, hidden): the batch's, */
  bool missed;               /* when they are there */
  float *roots;              /* (max_rows): of what the batch's rows count for; NULL where all count alike */
  const float *inputs;       /* the batch's, while they are being summed; NULL: they are not there yet */
  size_t inputs_stride;
  pith_moments moments;
  pith_second_order second_order;
  uint32_t *order;           /* (cols); NULL: as they lie */
  float *u;                  /* (cols, cols) */
  float *squares;            /* (2, cols): pith_rounding's squares and curvature */
  float *scratch;            /* (threads, 2, 8, cols) */
  pith_grid *grids;          /* (threads, groups, 8), where there is an order */
  double *shifts;            /* (threads, cols): of a row */
  size_t n_shifted;          /* rows of the matrix that is being shifted */
} pith_calibration;

/* Zero-initialise first. The texts are tokenised in the first steps: PITH_E_ARGUMENT where they have fewer than PITH_CALIBRATION_LEAST tokens, of equal texts counted once.
 * aims: whether the parent is to run beside; not of families whose halves are parallel. */
pith_status pith_calibration_begin(pith_ctx *ctx, pith_calibration *c, pith_source *source, pith_attention attention, const pith_texts *texts, bool aims);
/* Until PITH_OK: the moments of the inputs of weight `id` of layer `stage` are there, for whoever changes the layer before it is rounded: order as
 * below. With `aims`, and where a half-layer ends with that product, so are the errors: by how much its rows then miss the parent's. Layers that are never asked for are taken for gone. */
pith_status pith_calibration_collect(pith_ctx *ctx, pith_calibration *c, int32_t stage, uint32_t id);
/* The layer's weights, which its owner may replace after collecting (edit.h), and what its shape then is: the moments are of no more use. */
pith_weights *pith_calibration_layer(pith_calibration *c);
void pith_calibration_edited(pith_calibration *c);   /* the same shape */
void pith_calibration_reshape(pith_calibration *c, pith_layer_shape shape);
/* Until PITH_OK: makes ready what rounding weight `id` (a matrix) of layer `stage` minds. Layers in order, weights of a layer in forward order. */
pith_status pith_calibration_step(pith_ctx *ctx, pith_calibration *c, int32_t stage, uint32_t id);
/* Parts of the above, for who measures layers by the same run. The texts' tokens: PITH_OK when they are there and run is at its first stage. */
pith_status pith_calibration_tokenize(pith_ctx *ctx, pith_calibration *calibration);
/* Until PITH_OK: the rows to where the half-layer begins, its weights read. */
pith_status pith_calibration_reach(pith_ctx *ctx, pith_calibration *calibration, int32_t stage, int half);
/* Then, until PITH_OK: what weight `id` is to be rounded from, where that is not the layer's own but takes a share off of the errors before it, goes to
 * its edit, in place of one that is there. */
pith_status pith_calibration_shift(pith_ctx *ctx, pith_calibration *c, uint32_t id, pith_edits *edits);
pith_rounding pith_calibration_rounding(const pith_calibration *c, uint32_t thread);
/* Part i of a matrix of the layer as it was quantised; with the last the matrix takes the parent's place, for what comes after it. Copies. matrix:
 * its shape and the number of parts. */
pith_status pith_calibration_learn(pith_ctx *ctx, pith_calibration *c, uint32_t id, const pith_matrix *matrix, uint32_t i, const pith_part *part);
/* A vector of the layer, in its place. Copies n floats. */
pith_status pith_calibration_learn_vector(pith_ctx *ctx, pith_calibration *c, uint32_t id, size_t n, const float *values);
void pith_calibration_free(pith_ctx *ctx, pith_calibration *c);

#endif
