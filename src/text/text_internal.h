/* What the files of text/ share; nobody else includes it. */
#ifndef PITH_TEXT_INTERNAL_H
#define PITH_TEXT_INTERNAL_H

#include "base/json.h"
#include "text/tokenizer.h"

/* Strings with numbers, looked up by content. Keys lie in one blob. */
typedef struct pith_string_map {
  char *blob;
  uint32_t *offsets;         /* (n + 1) into the blob; key i has no NUL */
  int32_t *values;           /* (n) */
  uint32_t *slots;           /* index + 1, 0 empty; a power of two of them */
  uint32_t n, n_slots;
} pith_string_map;
int32_t pith_string_map_get(const pith_string_map *map, const char *key, size_t n_bytes);   /* -1: absent */

typedef struct pith_merge {
  int32_t left, right;       /* left < 0: empty slot */
  int32_t rank, id;
} pith_merge;

typedef enum pith_text_op_kind {
  /* normalisers */
  PITH_OP_BERT_NORMALIZER, PITH_OP_PREPEND, PITH_OP_REPLACE, PITH_OP_LOWERCASE, PITH_OP_STRIP_ACCENTS, PITH_OP_NFD,
  /* pre-tokenizers */
  PITH_OP_BERT_SPLIT, PITH_OP_BYTE_LEVEL, PITH_OP_WHITESPACE_SPLIT,
  /* decoders, with PITH_OP_REPLACE and PITH_OP_BYTE_LEVEL */
  PITH_OP_WORDPIECE, PITH_OP_BYTE_FALLBACK, PITH_OP_FUSE, PITH_OP_STRIP
} pith_text_op_kind;

typedef struct pith_text_op {
  pith_text_op_kind kind;
  bool clean_text, chinese, strip_accents, lowercase;   /* BERT's normaliser */
  bool add_prefix_space, use_regex;                     /* byte level */
  bool cleanup;                                         /* WordPiece's decoder */
  uint32_t start, stop;                                 /* strip */
  char from[32], to[32];                                /* replace; prepend, prefix and strip's character in `to` */
} pith_text_op;

enum { PITH_MAX_OPS = 16, PITH_MAX_TEMPLATE = 16, PITH_MAX_ADDED_BYTES = 512 };
typedef struct pith_text_ops {
  pith_text_op ops[PITH_MAX_OPS];
  uint32_t n;
} pith_text_ops;

typedef struct pith_added_token {
  char *raw;                 /* as it is written */
  char *content;             /* as it is matched: normalised where the token is */
  uint32_t n_bytes;
  int32_t id;
  bool special, normalized, single_word, lstrip, rstrip;
} pith_added_token;

typedef enum pith_text_model { PITH_MODEL_WORDPIECE, PITH_MODEL_BPE } pith_text_model;

struct pith_tokenizer {
  pith_text_model model;
  pith_string_map vocab;
  uint32_t *by_id;           /* (vocab_size) index of the key in vocab + 1; 0: none */
  int32_t vocab_size;
  int32_t unk_id;            /* -1: none */
  /* WordPiece */
  char prefix[32];
  uint32_t max_chars;
  /* BPE */
  pith_merge *merges;        /* hash of pairs, a power of two of slots */
  uint32_t n_merge_slots;
  bool byte_fallback, fuse_unk, ignore_merges;
  int32_t byte_ids[256];     /* of <0x00> … <0xFF>, -1: none */
  pith_added_token *added;
  uint32_t n_added;
  pith_text_ops normalizer, pre_tokenizer, decoder;
  bool has_decoder;
  int32_t before[PITH_MAX_TEMPLATE], after[PITH_MAX_TEMPLATE];   /* the template's special tokens */
  uint32_t n_before, n_after;
  int32_t truncation;
};

/* Pieces of text side by side in one buffer. */
typedef struct pith_pieces {
  pith_buffer text;
  size_t *ends;              /* piece i is [ends[i - 1], ends[i]) */
  size_t n, capacity;
} pith_pieces;
pith_status pith_pieces_end(pith_ctx *ctx, pith_pieces *pieces);   /* ends the piece that was appended to text; empty ones are dropped */
void pith_pieces_clear(pith_pieces *pieces);
void pith_pieces_free(pith_ctx *ctx, pith_pieces *pieces);

pith_status pith_append_code_point(pith_ctx *ctx, pith_buffer *buffer, uint32_t code_point);

/* normalize.c: valid UTF-8 in, *out replaced by the result. */
pith_status pith_normalize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, pith_buffer *out);
/* pretokenize.c: *out replaced by the words. */
pith_status pith_pre_tokenize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, pith_pieces *out);
/* The byte a byte-level character stands for, -1 if none; and the reverse. */
int32_t pith_byte_of_level_char(uint32_t code_point);
uint32_t pith_level_char_of_byte(uint8_t byte);
/* wordpiece.c, bpe.c: appends the ids of one word. */
pith_status pith_wordpiece_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, pith_ids *out);
pith_status pith_bpe_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, pith_ids *out);
/* The later of two merges of one pair replaces the earlier, as in the `tokenizers` library. */
void pith_merge_insert(pith_tokenizer *t, const pith_merge *merge);
const pith_merge *pith_merge_find(const pith_tokenizer *t, int32_t left, int32_t right);
/* open.c's helpers for the components of tokenizer.json */
pith_status pith_parse_normalizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);
pith_status pith_parse_pre_tokenizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);
pith_status pith_parse_decoder(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);
pith_status pith_parse_post_processor(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t);

#endif
