/* How long a model takes in this process, alone or beside its parent: the runtime's own passes over token ids that are made up, without the tokenizer.
 * Rounds take turns between the models, and the median of a model's counts. The host's clock tells the time, so the figures are no two times the
 * same and belong in no file that has to be. */
#ifndef PITH_SPEED_H
#define PITH_SPEED_H

#include "model/open.h"

enum { PITH_SPEED_ROUNDS = 11, PITH_SPEED_MEASURES = 2 };

typedef struct pith_speed_measure {
  const char *name;
  uint32_t tokens, after;                       /* of a pass, and how many the cache holds before it */
  uint32_t n_rounds;                            /* so far */
  double ms[2][PITH_SPEED_ROUNDS];              /* of a pass */
} pith_speed_measure;

/* One of the models and the pass that it is in. */
typedef struct pith_speed_side {
  const pith_model *model;
  pith_arena arena;
  pith_forward forward;
  int32_t *ids;                                 /* (context) */
  float *outputs;
  pith_span span;
  uint32_t position, end;                       /* of the pass */
  int32_t unit;                                 /* 0: the next rows; 1 + h: half-layer h, then what the rows are for */
  uint32_t n_repeats;                           /* passes of a round: enough to be long beside the clock's grain */
} pith_speed_side;

typedef struct pith_speed {
  pith_speed_side sides[2];
  int n_sides, which;
  uint32_t n_threads;
  pith_speed_measure measures[PITH_SPEED_MEASURES];
  uint32_t n_measures, measure;
  bool warming;                                 /* the first passes are not measured: they say how many make a round */
  uint32_t n_passes;                            /* of the round at hand */
  double elapsed_ms, spent_ms;                  /* of the round; of the measure */
} pith_speed;

/* parent: NULL, or of the same task. Both must live on. Zero-initialise first; free accepts a half-made one. */
pith_status pith_speed_begin(pith_ctx *ctx, pith_speed *s, const pith_model *model, const pith_model *parent);
/* Some milliseconds of a round. PITH_E_UNSUPPORTED where the clock stands still. */
pith_status pith_speed_step(pith_ctx *ctx, pith_speed *s);
void pith_speed_free(pith_ctx *ctx, pith_speed *s);
double pith_speed_progress(const pith_speed *s);   /* in [0, 1] */
/* After PITH_OK: "threads", and "shortText" and "longText", or "prompt" and "token": {"tokens" of it, or of a token "after" how many, "ms", "tokensPerSecond",
 * "msAgainst", "tokensPerSecondAgainst", "ratio"}; ratio: the parent's milliseconds by the model's. */
pith_json *pith_speed_report(const pith_speed *s);

#endif
