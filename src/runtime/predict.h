/* The answers of an encoder's head: for each row that it is asked about (a text's first, every token's, those of masked words) the outputs that
 * score best. */
#ifndef PITH_PREDICT_H
#define PITH_PREDICT_H

#include "runtime/encode.h"

typedef struct pith_prediction {
  int32_t id;                       /* of the label or the token */
  float score;
} pith_prediction;

typedef struct pith_predictor {
  pith_encoder encoder;             /* first: its `encode` finds the predictor by it */
  const char *const *seconds;       /* (n_texts) what goes with each text, NULL: nothing does. The caller's */
  uint32_t n_outputs, n_best;       /* n_best: predictions of a row */
  const char *mask;                 /* the token that stands for a masked word, as a text writes it */
  int32_t mask_id;
  uint32_t n_rows, n_scored;        /* of the batch: that are asked about, that are answered */
  float *logits;                    /* (tile, outputs) in the arena */
  /* the answers */
  size_t n, n_done;
  size_t *at;                       /* (n) which of encoder.ids the row is */
  pith_prediction *best;            /* (n, n_best), best first; equal scores in order of ids */
} pith_predictor;

/* Zero-initialise first; free accepts a half-made one. n_best: 0 means all. PITH_E_UNSUPPORTED for a model of another task. */
pith_status pith_predictor_init(pith_ctx *ctx, pith_predictor *p, const pith_model *model, pith_task task, uint32_t n_best);
void pith_predictor_free(pith_ctx *ctx, pith_predictor *p);
/* As pith_encoder_begin. */
pith_status pith_predictor_begin(pith_ctx *ctx, pith_predictor *p, const char *const *texts, const size_t *n_bytes, size_t n);
/* After begin: text i and seconds[i], where that is not NULL, are one sequence. seconds must live on. */
void pith_predictor_pairs(pith_predictor *p, const char *const *seconds);
/* Short, as the encoder's. PITH_OK when all is done; PITH_E_ARGUMENT for a text in which no word is masked. */
pith_status pith_predictor_step(pith_ctx *ctx, pith_predictor *p);

/* Scores out of a row's logits, in place: probabilities of one choice, of each output by itself, or the logits as they are. */
void pith_scores(pith_scoring scoring, uint32_t n, float *logits);
/* The k best of scores [first, first + n) and of those before, which `out` holds. out: (k), best first, equal ones in order of ids */
void pith_best(const float *scores, uint32_t first, uint32_t n, uint32_t k, pith_prediction *out);

#endif
