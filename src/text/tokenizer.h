/* Tokenizers as the Hub's tokenizer.json describes them. Immutable after opening, so that sessions share one. */
#ifndef PITH_TOKENIZER_H
#define PITH_TOKENIZER_H

#include "base/base.h"

typedef struct pith_tokenizer pith_tokenizer;

/* Parses tokenizer.json (n_bytes of UTF-8). What it asks for and Pith lacks (a model type, a normaliser, a
 * pre-tokenizer, a post-processor, a decoder, an option, a key of one of these, a pattern) is PITH_E_UNSUPPORTED naming it;
 * contradictions are PITH_E_FORMAT. `padding` is not applied: Pith computes ragged batches. `what` names the file in messages.
 * *out is NULL on failure. */
pith_status pith_tokenizer_open(pith_ctx *ctx, const char *json, size_t n_bytes, const char *what, pith_tokenizer **out);
void pith_tokenizer_close(pith_ctx *ctx, pith_tokenizer *tokenizer);

int32_t pith_tokenizer_vocab_size(const pith_tokenizer *tokenizer);        /* largest id + 1, added tokens counted */
size_t pith_tokenizer_longest_token(const pith_tokenizer *tokenizer);      /* bytes in the file's form */
/* The id of a token's exact content (added tokens first, then the vocabulary), or -1. */
int32_t pith_tokenizer_token_id(const pith_tokenizer *tokenizer, const char *content);
/* truncation.max_length of tokenizer.json, or 0. */
int32_t pith_tokenizer_truncation(const pith_tokenizer *tokenizer);
bool pith_tokenizer_is_special(const pith_tokenizer *tokenizer, int32_t id);

typedef struct pith_ids {
  int32_t *ids;
  size_t n, capacity;
} pith_ids;
void pith_ids_free(pith_ctx *ctx, pith_ids *ids);
pith_status pith_ids_append(pith_ctx *ctx, pith_ids *ids, int32_t id);

typedef struct pith_encode_options {
  bool add_special_tokens;    /* run the post-processor's template */
  int32_t max_tokens;         /* 0: no limit; else special tokens counted, cut from the end of the text as `truncation` would */
} pith_encode_options;
/* Appends to *out. Invalid UTF-8: PITH_E_ARGUMENT with the byte's offset. NUL bytes in the text are characters. */
pith_status pith_tokenizer_encode(pith_ctx *ctx, const pith_tokenizer *tokenizer, const char *text, size_t n_bytes,
                                  pith_encode_options options, pith_ids *out);

/* Appends the text of ids to *out: tokenizer.json's decoder over the whole list. Ids that no token has are empty text, as in transformers:
 * a model's vocabulary may be padded. Bytes that are no UTF-8 become U+FFFD as the `tokenizers` library does. */
pith_status pith_tokenizer_decode(pith_ctx *ctx, const pith_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                  bool skip_special_tokens, pith_buffer *out);

/* Incremental decoding: the concatenation of all pieces and the flush equals decode(all ids), and no piece ends inside
 * a UTF-8 sequence. Zero-initialise; `skip_special_tokens` may be set first. After a flush a new text begins. */
typedef struct pith_detokenizer {
  bool skip_special_tokens;
  struct pith_decode_stage *stages;   /* one a step of the decoder, with what it holds back; made by the plan or the first push */
  uint32_t n_stages;
} pith_detokenizer;
/* Room for what stages hold back, so that pushing tokens of up to n_bytes allocates nothing (a longer run of held bytes does). */
pith_status pith_detokenizer_plan(pith_ctx *ctx, const pith_tokenizer *tokenizer, pith_detokenizer *state, size_t n_bytes);
pith_status pith_detokenizer_push(pith_ctx *ctx, const pith_tokenizer *tokenizer, pith_detokenizer *state, int32_t id, pith_buffer *piece);
pith_status pith_detokenizer_flush(pith_ctx *ctx, const pith_tokenizer *tokenizer, pith_detokenizer *state, pith_buffer *piece);
void pith_detokenizer_free(pith_ctx *ctx, pith_detokenizer *state);

#endif
