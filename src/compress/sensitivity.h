/* What each way of storing each tensor costs: bytes, and how far the model's answers then move from the parent's. One pass over the model.
 *
 * A layer's half (attention, feed-forward) is run with one of its matrices stored in each way, all else as the parent has it; the outcome's
 * relative squared error is taken on the residual stream. What such an error is worth at the end is found once for each half: all its matrices in
 * the coarsest way, carried on through the rest of the parent. Losses are taken as proportional to squared errors, and as adding up (the
 * second-order picture of Dong et al. 2020, "HAWQ-V2", with measured instead of differentiated terms). So it is with tables, whose error is that of
 * the rows the embedding gives. Heads are carried to the end in every way themselves. */
#ifndef PITH_SENSITIVITY_H
#define PITH_SENSITIVITY_H

#include "compress/compress.h"
#include "compress/structures.h"

enum {
  PITH_MAX_CHOICES = 6,
  PITH_SENSITIVITY_TOKENS = 1024,        /* of the texts are measured, at most */
  PITH_SENSITIVITY_BYTES = 192 << 20     /* of rows that are carried along, about: fewer tokens are measured where there are many halves */
};

typedef struct pith_choice {
  pith_recipe_rule rule;
  uint64_t n_bytes;                      /* codes and scales, in whole cache lines */
  double error;                          /* relative squared, at the end of the half, of tables of the embedding; of heads 0; below 0: not known yet */
  double loss;                           /* mean of 1 - cosine of the embeddings; of decoders mean KL(parent ‖ model) in nats */
} pith_choice;

typedef struct pith_tensor_choices {
  pith_slot slot;
  int32_t stage;
  uint32_t n;
  pith_choice choices[PITH_MAX_CHOICES]; /* the fewest bytes first */
} pith_tensor_choices;

typedef enum pith_sensitivity_unit {
  PITH_SENSE_TOKENS, PITH_SENSE_READ, PITH_SENSE_TABLE, PITH_SENSE_REACH, PITH_SENSE_REFERENCE, PITH_SENSE_CALIBRATE, PITH_SENSE_ENCODE,
  PITH_SENSE_TRIAL, PITH_SENSE_STRUCTURES, PITH_SENSE_PROBE_ENCODE, PITH_SENSE_PROBE, PITH_SENSE_CARRY, PITH_SENSE_LAST, PITH_SENSE_HEADS, PITH_SENSE_SCORE, PITH_SENSE_DONE
} pith_sensitivity_unit;

/* Rows that go through the model beside the parent's own, changed at one place. */
typedef struct pith_carried {
  float *x;                              /* (n_rows, hidden) */
  uint32_t tensor;                       /* a table; of a half the first of its tensors; of a half's sizes: the half */
  bool sizes;
  double error, loss;
} pith_carried;

typedef struct pith_sensitivity {
  const pith_checkpoint *checkpoint;     /* borrowed */
  pith_source *source;                   /* borrowed: the parent */
  bool calibrated;                       /* rounding minds the texts */
  bool prunes;                           /* also sizes of halves are tried */
  pith_structures structures;
  pith_calibration calibration;          /* its run is also what is measured with */
  pith_sensitivity_unit unit;
  uint32_t n_sequences, n_rows;          /* that are measured: the first ones */
  pith_tensor_choices *tensors;
  uint32_t n_tensors;
  uint32_t done, total;                  /* choices */
  uint32_t found;                        /* halves of which all is known but what their errors are worth */
  char texts_hash[65];
  /* at hand */
  int32_t stage;
  int half;
  uint32_t first, past, tensor, choice;  /* tensors of the half: [first, past) */
  pith_weight kept[PITH_MAX_SLOTS];      /* the parent's, in whose places encoded ones are */
  pith_tensor_encoder encoders[PITH_MAX_SLOTS];
  pith_part parts[PITH_MAX_SLOTS];
  uint32_t n_encoders;
  pith_slot token_slot;                  /* the tokens that are measured, as a table of their own */
  pith_edit tokens;
  bool encoding, passing;
  float *block, *reference, *next, *trial;   /* (n_rows, hidden) each */
  pith_carried *carried;
  uint32_t n_carried, carry;
  /* scores of decoders: of each that is carried, then of each choice of the head */
  uint32_t chunk_rows, chunk, n_chunk, row, n_sides, side, head_tensor;
  pith_score *scores;                    /* (n_sides, n_rows) */
  float *logits[2];                      /* (PITH_HEAD_ROWS, chunk_rows): the parent's, a side's */
} pith_sensitivity;

/* The rule of a head's matrix that has no choice. */
bool pith_sensitivity_fixed(const pith_config *config, int32_t stage, const pith_slot *slot, pith_recipe_rule *rule);
/* Zero-initialise first. calibrated: matrices of layers are rounded as calibration on the same texts would have it. All must live on. */
pith_status pith_sensitivity_begin(pith_ctx *ctx, pith_sensitivity *s, const pith_checkpoint *checkpoint, pith_source *source, pith_attention attention,
                                   const pith_texts *texts, bool calibrated);
/* Before the first step, and before reading: also what pruning costs. */
pith_status pith_sensitivity_prune(pith_ctx *ctx, pith_sensitivity *s);
/* What a tensor takes so, in whole cache lines. */
uint64_t pith_sensitivity_bytes(const pith_slot *slot, const pith_recipe_rule *rule);
pith_status pith_sensitivity_step(pith_ctx *ctx, pith_sensitivity *s);
/* A rule as recipes have it; name: of one of "tensors", or NULL. */
pith_json *pith_rule_print(const pith_recipe_rule *rule, const char *name);
/* What was found so far, as JSON: "complete", "calibrated", "texts" (their SHA-256), "parent" (files and their sizes), "tensors", and in the end "structures". After a step
 * that made `found` grow there is more to say. */
pith_json *pith_sensitivity_print(const pith_sensitivity *s);
/* Before the first step: takes over what another run found, complete or not. PITH_E_FORMAT where it is no such thing, PITH_E_ARGUMENT where it was about another model, other texts or
 * another way of rounding; what it does not know is measured. */
pith_status pith_sensitivity_read(pith_ctx *ctx, pith_sensitivity *s, const pith_json *json, const char *what);
void pith_sensitivity_free(pith_ctx *ctx, pith_sensitivity *s);

#endif
