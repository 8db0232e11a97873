/* Generation: the prompt in chunks, then token by token through the cache; text comes out as whole UTF-8 pieces. */
#ifndef PITH_GENERATE_H
#define PITH_GENERATE_H

#include "model/open.h"
#include "runtime/sampler.h"

typedef enum pith_finish { PITH_FINISH_NONE, PITH_FINISH_STOP, PITH_FINISH_LENGTH, PITH_FINISH_CONTEXT, PITH_FINISH_STOP_TEXT } pith_finish;
/* "stop" (an end token), "length" (max_tokens), "context" (the model's is full), "stopText". */
const char *pith_finish_name(pith_finish finish);

enum { PITH_MAX_STOPS = 16 };
typedef struct pith_generation {
  pith_sampling sampling;
  int32_t max_tokens;                       /* >= 0 */
  const char *stops[PITH_MAX_STOPS];        /* not empty; borrowed until the generation ends */
  uint32_t n_stops;
} pith_generation;

typedef struct pith_generator {
  const pith_model *model;
  pith_generation options;
  pith_arena arena;
  pith_forward forward;
  pith_sampler sampler;
  float *logits;             /* (vocab) */
  uint8_t *seen;             /* (vocab) */
  int32_t *ids;              /* (context) prompt and generated */
  uint32_t n_prompt, n_ids, n_done;   /* n_done: ids whose keys and values are in the cache */
  uint32_t context;
  pith_span span;
  int32_t unit;              /* as the embedder's; the last one is the head and the choice */
  pith_detokenizer detokenizer;
  pith_buffer text, piece;   /* all text; n_emitted of it may be shown (the rest may begin a stop text) */
  size_t n_emitted;
  pith_finish finish;
  double begin_ms, prompt_ms, end_ms;
} pith_generator;

/* Plans and takes the memory: passes allocate nothing, and text of up to a mebibyte nothing but what decoding a token does. Zero-initialise
 * first. The prompt gets the tokenizer's special tokens. PITH_E_LIMIT when it does not fit the context. */
pith_status pith_generator_begin(pith_ctx *ctx, pith_generator *g, const pith_model *model, const char *prompt, size_t n_bytes,
                                 const pith_generation *options);
/* A half-layer or a part of it, or the choice of a token. PITH_OK when finished. */
pith_status pith_generator_step(pith_ctx *ctx, pith_generator *g);
void pith_generator_free(pith_ctx *ctx, pith_generator *g);

#endif
