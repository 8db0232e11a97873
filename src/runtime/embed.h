/* Embedding: an encoder's rows pooled and normalised. */
#ifndef PITH_EMBED_H
#define PITH_EMBED_H

#include "runtime/encode.h"

typedef struct pith_embedder {
  pith_encoder encoder;
  bool normalize;
  float *out;                 /* (n_texts, hidden), the caller's */
} pith_embedder;

/* As pith_encoder_init. PITH_E_UNSUPPORTED for a decoder. */
pith_status pith_embedder_init(pith_ctx *ctx, pith_embedder *e, const pith_model *model);
void pith_embedder_free(pith_ctx *ctx, pith_embedder *e);
/* texts and their lengths must live on. normalize: -1 as the model says, else 0 or 1. out: (n, hidden), filled by the steps. */
pith_status pith_embedder_begin(pith_ctx *ctx, pith_embedder *e, const char *const *texts, const size_t *n_bytes, size_t n, int normalize, float *out);
/* PITH_OK when all is done. */
pith_status pith_embedder_step(pith_ctx *ctx, pith_embedder *e);

/* One text's embedding out of its rows after the last layer. x: (n_rows, hidden), y: (hidden), zero where there is no row. */
void pith_pool(const pith_model *model, const float *x, uint32_t n_rows, bool normalize, float *y);

#endif
