/* Texts of any lengths through an encoder, packed side by side into batches: what embeddings and the heads' answers have in common. */
#ifndef PITH_ENCODE_H
#define PITH_ENCODE_H

#include "model/open.h"

typedef struct pith_encoder pith_encoder;
struct pith_encoder {
  const pith_model *model;
  pith_arena arena;
  pith_forward forward;
  /* the call */
  const char *const *texts;   /* the caller's */
  const size_t *n_bytes;
  pith_status (*encode)(pith_ctx *ctx, pith_encoder *e, size_t i);   /* appends the ids of text i; pith_encoder_init chooses its own */
  pith_ids ids;               /* of all texts, one after another */
  pith_ids types;             /* token types beside them, of pairs of texts; empty: all are 0 */
  size_t *ends;               /* text i is ids [ends[i - 1], ends[i]) */
  size_t n_texts, n_tokenized;
  /* the batch: texts [first, next), whose rows are forward.x */
  size_t first, next;
  pith_span *spans;           /* (max_rows) in the arena */
  int32_t unit;               /* 0: gather; 1 + h: half-layer h */
};

/* Plans and takes the memory, with n_floats more at *more: what is computed allocates nothing, tokenising the texts does. Zero-initialise
 * first; free accepts a half-made one. The model is an encoder. */
pith_status pith_encoder_init(pith_ctx *ctx, pith_encoder *e, const pith_model *model, size_t n_floats, float **more);
void pith_encoder_free(pith_ctx *ctx, pith_encoder *e);
/* texts and their lengths must live on. */
pith_status pith_encoder_begin(pith_ctx *ctx, pith_encoder *e, const char *const *texts, const size_t *n_bytes, size_t n);
/* First the tokens of some texts, then batches: a half-layer or a part of it. PITH_OK: a batch is through, or there are no texts; the next
 * step begins the next one. Errors of texts name the text. */
pith_status pith_encoder_step(pith_ctx *ctx, pith_encoder *e);
static inline bool pith_encoder_done(const pith_encoder *e) { return e->next == e->n_texts; }   /* after PITH_OK: that was the last batch */
/* After the tokens of text i were made: where they begin in ids, and how many they are, special ones counted. */
static inline size_t pith_encoder_first(const pith_encoder *e, size_t i) { return i > 0 ? e->ends[i - 1] : 0; }
static inline size_t pith_encoder_tokens(const pith_encoder *e, size_t i) { return e->ends[i] - pith_encoder_first(e, i); }

#endif
