/* Measuring a model, alone or against another (its parent), in short steps. */
#ifndef PITH_EVALUATE_H
#define PITH_EVALUATE_H

#include "runtime/embed.h"

/* A list of texts in one blob. */
typedef struct pith_texts {
  const char **texts;
  size_t *n_bytes;
  size_t n;
} pith_texts;

/* The set that ships with Pith, written for it: one text a line. Static storage. */
const char *pith_default_texts(void);
/* One text a line of `text` (blank lines dropped); the lines are borrowed. */
pith_status pith_texts_split(pith_ctx *ctx, const char *text, size_t n_bytes, pith_texts *out);
void pith_texts_free(pith_ctx *ctx, pith_texts *texts);

/* Embedding models: the cosine of each text's embedding to the other model's. */
typedef struct pith_evaluation {
  const pith_model *model, *against;   /* against may be NULL */
  const pith_texts *texts;
  size_t done, total;                  /* texts or tokens */
  /* embedding */
  pith_embedder embedders[2];
  float *embeddings[2];                /* (texts, hidden) */
  int which;                           /* the model whose turn it is */
  size_t next;                         /* the first text of the next block */
  size_t n_block;
  /* scoring tokens */
  pith_arena arenas[2];
  pith_forward forwards[2];
  float *logits[2];
  pith_ids ids;
  size_t *ends;                        /* of the texts in ids */
  size_t text;
  uint32_t window_begin, window_rows, row;   /* in the text's ids; rows done of the window */
  int32_t *window;                     /* (context) bos and ids */
  pith_span span;
  int32_t unit;
  uint64_t n_text_bytes;
  /* results */
  double cosine_sum, cosine_min;
  double nll_sum, nll_sum_against, kl_sum, n_agree;
  uint64_t n_tokens;                   /* scored */
} pith_evaluation;

enum { PITH_EVAL_CONTEXT = 512 };      /* decoders are scored in windows of at most this many tokens, side by side */

/* Both must be of the same task, and of the same vocabulary or width. texts and models must live on. */
pith_status pith_evaluation_begin(pith_ctx *ctx, pith_evaluation *e, const pith_model *model, const pith_model *against, const pith_texts *texts);
pith_status pith_evaluation_step(pith_ctx *ctx, pith_evaluation *e);
void pith_evaluation_free(pith_ctx *ctx, pith_evaluation *e);
/* After PITH_OK: the members that apply, added to `out` (src/pith.h names them). */
pith_status pith_evaluation_report(pith_ctx *ctx, const pith_evaluation *e, pith_json *out);
/* Embedding models, texts 2 i and 2 i + 1 being a pair: their cosines' correlation with the scores. */
pith_status pith_evaluation_similarity(pith_ctx *ctx, const pith_evaluation *e, const double *scores, size_t n_pairs, pith_json *out);

#endif
