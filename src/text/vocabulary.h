/* A tokenizer as lists of tokens, as containers of other ecosystems have it, written as the tokenizer.json that means the same: so that there
 * is one reader of tokenizers, and a package always carries the Hub's form. */
#ifndef PITH_VOCABULARY_H
#define PITH_VOCABULARY_H

#include "base/base.h"

typedef enum pith_vocabulary_kind {
  PITH_VOCABULARY_BYTE_LEVEL,       /* GPT-2's byte-level BPE: merges and a named way to split words */
  PITH_VOCABULARY_SENTENCEPIECE     /* SentencePiece BPE: scores instead of merges, bytes as a fallback */
} pith_vocabulary_kind;

typedef enum pith_token_kind {      /* SentencePiece's numbers, which GGUF took over */
  PITH_TOKEN_NORMAL = 1, PITH_TOKEN_UNKNOWN, PITH_TOKEN_CONTROL, PITH_TOKEN_USER_DEFINED, PITH_TOKEN_UNUSED, PITH_TOKEN_BYTE
} pith_token_kind;

typedef struct pith_vocabulary {
  pith_vocabulary_kind kind;
  uint32_t n;                       /* tokens; the index is the id */
  const char *bytes;
  const uint32_t *offsets;          /* (n + 1) token i is [offsets[i], offsets[i + 1]) of bytes */
  const int32_t *kinds;             /* (n) pith_token_kind; NULL: all normal */
  const float *scores;              /* (n) SentencePiece: the larger is merged first */
  const char *merge_bytes;          /* byte level: "left right" */
  const uint32_t *merge_offsets;    /* (n_merges + 1) */
  uint32_t n_merges;
  const char *pre;                  /* byte level: llama.cpp's name of the splitting; NULL: GPT-2's */
  bool add_space_prefix;            /* a text begins with a blank */
  int32_t unk_id;                   /* SentencePiece; -1: none */
  int32_t bos_id, eos_id;           /* what every text begins and ends with; -1: nothing */
} pith_vocabulary;

/* Whether models with this splitting begin texts with their first token unless they say otherwise. */
bool pith_vocabulary_adds_bos(const char *pre);

/* Appends the text of tokenizer.json. A splitting that is not known is PITH_E_UNSUPPORTED listing the known ones; ids without a token, a token
 * that stands twice, is empty, is no UTF-8 or holds a NUL: PITH_E_FORMAT.
 * SentencePiece joins the neighbours whose union has the largest score; merges say the same as ranked pairs: for each token all pairs of tokens
 * that it splits into, by falling score, then (as the library `transformers` ranks them) by falling length of the left and of the right part. */
pith_status pith_vocabulary_print(pith_ctx *ctx, const pith_vocabulary *v, const char *what, pith_buffer *out);

#endif
