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
  pith_ids ids;               /* of all texts, one after another */
  size_t *ends;               /* text i is ids [ends[i - 1], ends[i]) */
  size_t n_texts;
  float *out;                 /* (n_texts, hidden), the caller's */
  /* the batch: texts [first, next) */
  size_t first, next;
  pith_span *spans;           /* (max_rows) in the arena */
  int32_t unit;               /* 0: gather; 1 + 2 l: attention of layer l; 2 + 2 l: its feed-forward */
} pith_embedder;

/* Plans and takes the memory; steps allocate nothing. Zero-initialise first; free accepts a half-made one. */
pith_status pith_embedder_init(pith_ctx *ctx, pith_embedder *e, const pith_model *model);
void pith_embedder_free(pith_ctx *ctx, pith_embedder *e);
/* Tokenises. texts need not live on. normalize: -1 as the model says, else 0 or 1. out: (n, hidden), filled by the steps. */
pith_status pith_embedder_begin(pith_ctx *ctx, pith_embedder *e, const char *const *texts, const size_t *n_bytes, size_t n, int normalize, float *out);
/* One half-layer of one batch. */
pith_status pith_embedder_step(pith_embedder *e);
/* Tokens of text i, special ones counted. */
size_t pith_embedder_tokens(const pith_embedder *e, size_t i);

#endif
