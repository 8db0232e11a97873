/* Embedding: texts of any lengths packed side by side into batches, pooled and normalised. */
#ifndef PITH_EMBED_H
#define PITH_EMBED_H

#include "model/open.h"

typedef struct pith_embedder {
  const pith_model *model;
  pith_arena arena;
  pith_forward forward;
  bool normalize;
  /* the call */
  const char *const *texts;   /* the caller's */
  const size_t *n_bytes;
  pith_ids ids;               /* of all texts, one after another */
  size_t *ends;               /* text i is ids [ends[i - 1], ends[i]) */
  size_t n_texts, n_tokenized;
  float *out;                 /* (n_texts, hidden), the caller's */
  /* the batch: texts [first, next) */
  size_t first, next;
  pith_span *spans;           /* (max_rows) in the arena */
  int32_t unit;               /* 0: gather; 1 + h: half-layer h */
} pith_embedder;

/* Plans and takes the memory: what is computed allocates nothing, tokenising the texts does. Zero-initialise first; free accepts a half-made one. */
pith_status pith_embedder_init(pith_ctx *ctx, pith_embedder *e, const pith_model *model);
void pith_embedder_free(pith_ctx *ctx, pith_embedder *e);
/* texts and their lengths must live on. normalize: -1 as the model says, else 0 or 1. out: (n, hidden), filled by the steps. */
pith_status pith_embedder_begin(pith_ctx *ctx, pith_embedder *e, const char *const *texts, const size_t *n_bytes, size_t n, int normalize, float *out);
/* First the tokens of some texts, then batches: a half-layer or a part of it. PITH_OK when all is done; errors of texts name the text. */
pith_status pith_embedder_step(pith_ctx *ctx, pith_embedder *e);
/* Tokens of text i, special ones counted; after its tokens were made. */
size_t pith_embedder_tokens(const pith_embedder *e, size_t i);

/* One text's embedding out of its rows after the last layer. x: (n_rows, hidden), y: (hidden), zero where there is no row. */
void pith_pool(const pith_model *model, const float *x, uint32_t n_rows, bool normalize, float *y);

#endif
