/* Measuring a model, alone or against another (its parent), in short steps. Texts go through in blocks, stage by stage (layerwise.h), so that
 * memory is bounded by a stage and a block however large the models and however many the texts. The figures do not depend on blocks. */
#ifndef PITH_EVALUATE_H
#define PITH_EVALUATE_H

#include "eval/layerwise.h"
#include "eval/metrics.h"
#include "eval/per_layer.h"
#include "runtime/predict.h"

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

enum {
  PITH_EVAL_CONTEXT = 512,             /* decoders are scored in windows of at most this many tokens, side by side */
  PITH_EVAL_BLOCK_BYTES = 8 << 20      /* of one model's rows: a block has no more of them, but for a single longer text */
};

typedef enum pith_evaluation_unit { PITH_EVAL_TOKENIZE, PITH_EVAL_BLOCK, PITH_EVAL_RUN, PITH_EVAL_SCORE, PITH_EVAL_NEIGHBOURS, PITH_EVAL_DONE } pith_evaluation_unit;

/* Where the next window of a decoder begins. */
typedef struct pith_window_cursor {
  size_t text, begin;                  /* begin: in the text's ids */
} pith_window_cursor;

typedef struct pith_evaluation {
  pith_source *sources[2];             /* the model, and the one to compare it with */
  int n_sides;
  const pith_texts *texts;
  bool paired;                         /* texts 2 i and 2 i + 1 are compared too */
  pith_evaluation_unit unit;
  double done, total;                  /* tokens; total is 0 until all texts are tokenised */
  int which;                           /* the side whose turn it is */
  /* tokens of all texts, one after another; the second only where that side has a tokenizer of its own to be measured with */
  pith_ids ids[2];
  size_t *ends[2];                     /* of the texts in ids */
  const char *const *seconds;          /* (texts) what makes a pair of a text, or NULL. NULL: there are no pairs */
  pith_ids types[2];                   /* token types of pairs, beside ids */
  size_t n_tokenized;
  uint64_t n_text_bytes;
  /* a block: texts [first_text, next_text) of an embedding model, windows of a decoder */
  size_t first_text, next_text;
  pith_window_cursor next_window;
  pith_span *sequences[2];
  uint32_t n_sequences, n_rows;        /* n_rows: what counts for the progress */
  uint32_t n_scored;                   /* rows that have outputs: all, or one a text */
  int32_t *block_ids, *targets;        /* decoders: (block_rows) */
  uint32_t block_rows;                 /* at most */
  size_t rows_before;                  /* of the blocks before */
  pith_layerwise runs[2];
  float *embeddings[2];                /* of the block: (texts, hidden) */
  uint32_t width;                      /* of what is kept */
  float *kept[2];                      /* of all texts: (texts, width) embeddings, or outputs before scoring; NULL where nobody asks */
  double *pair_cosines[2];             /* (texts / 2) */
  /* scoring: chunks of the vocabulary, and for each of them PITH_HEAD_ROWS rows at a time */
  uint32_t chunk_rows, first, n_chunk, row, n_tile;
  float *logits[2];                    /* (PITH_HEAD_ROWS, chunk_rows) */
  pith_score *scores;                  /* (block_rows) */
  /* results */
  double cosine_sum, cosine_min;
  double nll_sum, nll_sum_against, kl_sum, n_agree;
  uint32_t top_k;                      /* 0: overlaps are not measured */
  pith_prediction *best[2];            /* (block_rows, top_k) or, of a text's neighbours, (top_k) */
  float *similarities;                 /* (texts) of one text to all */
  size_t next_neighbours;              /* the text whose turn it is */
  double overlap_sum;                  /* of shares in [0, 1] */
  pith_per_layer per_layer;            /* where asked for */
  uint64_t n_tokens;                   /* scored */
} pith_evaluation;

/* `against` may be NULL. Both must be of the same task, and of the same vocabulary, width or labels. All but embedding models are given the
 * first side's tokens; a side without a tokenizer takes the other's, and then has the same configuration. Paired texts are even in number. Zero-initialise first; free accepts a half-made one. texts and sources must live on. */
pith_status pith_evaluation_begin(pith_ctx *ctx, pith_evaluation *e, pith_source *source, pith_source *against, const pith_texts *texts, bool paired);
/* After begin, of models that embed or classify: what is made of each text is kept for both sides. */
pith_status pith_evaluation_keep(pith_ctx *ctx, pith_evaluation *e);
/* After begin, of two models that embed, generate or fill: also measures which share the k nearest neighbours of a text among the texts (by
 * cosine), or the k likeliest tokens of a place, have in common. */
pith_status pith_evaluation_overlap(pith_ctx *ctx, pith_evaluation *e, uint32_t k);
/* After begin, of models that classify: text i and seconds[i], where that is not NULL, are one sequence. seconds must live on. */
pith_status pith_evaluation_pairs(pith_ctx *ctx, pith_evaluation *e, const char *const *seconds);
/* After begin, of two models: also measures the error after each layer. Their tokens must be the same. */
pith_status pith_evaluation_per_layer(pith_ctx *ctx, pith_evaluation *e);
pith_status pith_evaluation_step(pith_ctx *ctx, pith_evaluation *e);
void pith_evaluation_free(pith_ctx *ctx, pith_evaluation *e);
/* After PITH_OK: the members that apply, added to `out` (src/pith.h names them). */
void pith_evaluation_report(const pith_evaluation *e, pith_json *out);
/* Embedding models, paired: the correlation of the pairs' cosines with scores: (texts / 2). */
pith_status pith_evaluation_similarity(pith_ctx *ctx, const pith_evaluation *e, const double *scores, pith_json *out);

#endif
