/* What the files of text/ share; nobody else includes it. */
#ifndef PITH_TEXT_INTERNAL_H
#define PITH_TEXT_INTERNAL_H

#include "base/json.h"
#include "text/regex.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

/* ---- vocab.c: strings with numbers, looked up by content ---- */

typedef struct pith_string_map {
  char *blob;                /* the keys, without NULs */
  uint32_t *offsets;         /* (n + 1) into the blob */
  int32_t *values;           /* (n) */
  uint32_t *slots;           /* index + 1, 0 empty; a power of two of them */
  uint32_t *sorted;          /* (n) indices in the order of the keys' bytes; NULL until pith_string_map_sort */
  uint32_t n, n_slots;
} pith_string_map;
/* Room for n keys of n_bytes in all. PITH_E_LIMIT beyond what 32 bits index. */
pith_status pith_string_map_reserve(pith_ctx *ctx, pith_string_map *map, size_t n, size_t n_bytes);
/* Within the room reserved; false, changing nothing, for a key that is there. */
bool pith_string_map_insert(pith_string_map *map, const char *key, size_t n_bytes, int32_t value);
int32_t pith_string_map_get(const pith_string_map *map, const char *key, size_t n_bytes);   /* -1: absent */
pith_status pith_string_map_sort(pith_ctx *ctx, pith_string_map *map);
void pith_string_map_free(pith_ctx *ctx, pith_string_map *map);

/* The keys of a sorted map that begin with what was read so far. */
typedef struct pith_prefix {
  uint32_t low, high;        /* sorted[low … high) */
  uint32_t depth;            /* bytes read */
} pith_prefix;
pith_prefix pith_prefix_all(const pith_string_map *map);
bool pith_prefix_extend(const pith_string_map *map, pith_prefix *prefix, char byte);   /* false: none left */
int32_t pith_prefix_key(const pith_string_map *map, const pith_prefix *prefix);        /* the key that is the prefix itself, or -1 */

/* ---- components: what tokenizer.json asks for, as lists of operations ---- */

typedef enum pith_text_op_kind {
  /* normalisers */
  PITH_OP_BERT_NORMALIZER, PITH_OP_PREPEND, PITH_OP_REPLACE, PITH_OP_LOWERCASE, PITH_OP_STRIP_ACCENTS, PITH_OP_UNICODE, PITH_OP_NMT, PITH_OP_TRIM,
  PITH_OP_PRECOMPILED,
  /* pre-tokenizers; PITH_OP_BYTE_LEVEL and PITH_OP_METASPACE are all three */
  PITH_OP_BERT_SPLIT, PITH_OP_BYTE_LEVEL, PITH_OP_WHITESPACE_SPLIT, PITH_OP_WORDS_SPLIT, PITH_OP_DIGITS, PITH_OP_PUNCTUATION, PITH_OP_SPLIT,
  PITH_OP_METASPACE,
  /* decoders, with PITH_OP_REPLACE */
  PITH_OP_WORDPIECE, PITH_OP_BYTE_FALLBACK, PITH_OP_FUSE, PITH_OP_STRIP, PITH_OP_SUFFIX
} pith_text_op_kind;

/* What becomes of the matches that a text is split at. */
typedef enum pith_behavior {
  PITH_REMOVED, PITH_ISOLATED, PITH_MERGED_WITH_PREVIOUS, PITH_MERGED_WITH_NEXT, PITH_CONTIGUOUS
} pith_behavior;

typedef enum pith_prepend_scheme { PITH_PREPEND_ALWAYS, PITH_PREPEND_FIRST, PITH_PREPEND_NEVER } pith_prepend_scheme;

typedef struct pith_charsmap pith_charsmap;

typedef struct pith_text_op {
  pith_text_op_kind kind;
  bool clean_text, chinese, strip_accents, lowercase;   /* BERT's normaliser */
  bool compatible, compose;                             /* NFKC has both, NFD none */
  bool trim_left, trim_right;
  bool add_prefix_space, use_regex;                     /* byte level */
  bool cleanup;                                         /* WordPiece's decoder */
  bool invert, split;                                   /* split; metaspace */
  pith_behavior behavior;
  pith_prepend_scheme prepend;
  uint32_t start, stop;                                 /* strip */
  char *from, *to;         /* the text to replace or split at (NULL where `regex` is); what is put there, prepended, stripped, a prefix or suffix */
  pith_regex *regex;
  pith_charsmap *charsmap;                              /* precompiled */
  pith_unicode_forms *forms;                            /* of BERT's normaliser where it strips accents, and of the four forms */
} pith_text_op;

enum { PITH_MAX_OPS = 64, PITH_MAX_TEMPLATE = 16, PITH_MAX_ADDED_BYTES = 512, PITH_MAX_OP_BYTES = 255 };
typedef struct pith_text_ops {
  pith_text_op *ops;
  uint32_t n, capacity;
} pith_text_ops;
void pith_text_ops_free(pith_ctx *ctx, pith_text_ops *ops);

/* ---- the tokenizer ---- */

typedef struct pith_merge {
  int32_t left, right;       /* left < 0: empty slot */
  int32_t rank, id;
} pith_merge;

typedef struct pith_added_token {
  char *raw;                 /* as it is written */
  char *content;             /* as it is matched: normalised where the token is */
  uint32_t n_bytes;          /* of content */
  int32_t id;
  bool special, normalized, single_word, lstrip, rstrip;
} pith_added_token;

typedef enum pith_text_model { PITH_MODEL_WORDPIECE, PITH_MODEL_BPE, PITH_MODEL_UNIGRAM, PITH_MODEL_WORD_LEVEL } pith_text_model;

/* Of the sequence that two texts make: a special token, or where one of them goes. */
enum { PITH_MAX_PAIR = PITH_MAX_TEMPLATE + 2, PITH_PAIR_FIRST = -1, PITH_PAIR_SECOND = -2 };
typedef struct pith_pair_item {
  int32_t id, type;
} pith_pair_item;

struct pith_tokenizer {
  pith_text_model model;
  pith_string_map vocab;
  uint32_t *by_id;           /* (vocab_size) index of the key in vocab + 1, or vocab.n + index in added + 1; 0: none */
  int32_t vocab_size;
  int32_t unk_id;            /* -1: none */
  bool unk_missing;          /* named, and not in the vocabulary: an error once it is needed */
  /* WordPiece */
  char prefix[32];           /* BPE too */
  uint32_t max_chars;
  /* BPE */
  char suffix[32];
  pith_merge *merges;        /* hash of pairs, a power of two of slots */
  uint32_t n_merge_slots;
  bool byte_fallback, fuse_unk, ignore_merges;
  int32_t byte_ids[256];     /* of <0x00> … <0xFF>, -1: none */
  /* Unigram: ids are indices in vocab */
  double *scores;            /* (vocab.n) */
  double unk_score;
  pith_added_token *added;
  uint32_t n_added;
  pith_string_map added_raw;         /* every added token by what is written: its index */
  pith_string_map matched[2];        /* added tokens by what is matched, sorted: those of the text as it is, those of the normalised text */
  bool begins_match[2][256];         /* the bytes that these begin with */
  pith_text_ops normalizer, pre_tokenizer, decoder;
  bool has_decoder;
  int32_t before[PITH_MAX_TEMPLATE], after[PITH_MAX_TEMPLATE];   /* the template's special tokens */
  uint32_t n_before, n_after;
  pith_pair_item pair[PITH_MAX_PAIR];
  uint32_t n_pair;           /* 0: none, or none that can be followed (pairs.h) */
  int32_t truncation;
};

/* Pieces of text side by side in one buffer. */
typedef struct pith_pieces {
  pith_buffer text;
  size_t *ends;              /* piece i is [ends[i - 1], ends[i]) */
  size_t n, capacity;
  size_t origin;             /* as many bytes of the text stem from the first position of what the caller gave: "first" of Metaspace asks */
} pith_pieces;
pith_status pith_pieces_end(pith_ctx *ctx, pith_pieces *pieces);   /* ends the piece that was appended to text; empty ones are dropped */
void pith_pieces_clear(pith_pieces *pieces);
void pith_pieces_free(pith_ctx *ctx, pith_pieces *pieces);

pith_status pith_append_code_point(pith_ctx *ctx, pith_buffer *buffer, uint32_t code_point);
/* Where `from` begins in text at or after `at`; n_bytes if nowhere. */
size_t pith_find_bytes(const char *text, size_t n_bytes, size_t at, const char *from, size_t n_from);
/* White space that ends the text [0, end), begins at `at`: where that run begins, ends. */
size_t pith_space_before(const char *text, size_t end);
size_t pith_space_after(const char *text, size_t n_bytes, size_t at);

/* normalize.c: valid UTF-8 in, *out replaced by the result. *origin as in pith_pieces; may be NULL. */
pith_status pith_normalize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, size_t *origin, pith_buffer *out);
/* Appends the text with each match of the operation's pattern replaced. */
pith_status pith_replace(pith_ctx *ctx, const pith_text_op *op, const char *text, size_t n_bytes, size_t *origin, pith_buffer *out);
/* unicode_forms.c: appends the text in NFD, NFC, NFKD or NFKC, without nonspacing marks if asked. */
pith_status pith_unicode_form(pith_ctx *ctx, const pith_text_op *op, bool drop_nonspacing, const char *text, size_t n_bytes, size_t *origin,
                              pith_buffer *out);
/* precompiled.c: SentencePiece's rules, from base 64. */
pith_status pith_charsmap_open(pith_ctx *ctx, const char *base64, const char *what, pith_charsmap **out);
void pith_charsmap_close(pith_ctx *ctx, pith_charsmap *map);
pith_status pith_charsmap_apply(pith_ctx *ctx, const pith_charsmap *map, const char *text, size_t n_bytes, size_t *origin, pith_buffer *out);
/* pretokenize.c: *out replaced by the words. `origin` as in pith_pieces. */
pith_status pith_pre_tokenize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, size_t origin, pith_pieces *out);
/* The byte a byte-level character stands for, -1 if none; and the reverse. */
int32_t pith_byte_of_level_char(uint32_t code_point);
uint32_t pith_level_char_of_byte(uint8_t byte);
/* wordpiece.c, bpe.c, unigram.c: appends the ids of one word. */
pith_status pith_wordpiece_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, pith_ids *out);
pith_status pith_bpe_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, pith_ids *out);
pith_status pith_unigram_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, pith_ids *out);
/* PITH_E_FORMAT: the unknown token is needed and there is none. */
pith_status pith_unknown_missing(pith_ctx *ctx, const char *word, size_t n_bytes);
/* The later of two merges of one pair replaces the earlier, as in the `tokenizers` library. */
void pith_merge_insert(pith_tokenizer *t, const pith_merge *merge);
const pith_merge *pith_merge_find(const pith_tokenizer *t, int32_t left, int32_t right);

/* added.c: finds added tokens. */
typedef struct pith_added_match {
  const pith_added_token *token;   /* NULL: none */
  size_t begin, end;               /* with the blanks that it takes in */
  size_t next;                     /* where the search goes on */
} pith_added_match;
pith_status pith_added_open(pith_ctx *ctx, const pith_json *list, const char *what, pith_tokenizer *t);
/* The one after `before` (zero to begin with), with token NULL when there is none. It may begin inside of blanks that `before` took in: the
 * library searches on from where that one's own text ended. */
pith_added_match pith_added_next(const pith_tokenizer *t, bool normalized, const char *text, size_t n_bytes, const pith_added_match *before);

/* models.c, components.c, postprocess.c: the parts of tokenizer.json. What is not known is refused by name. */
/* A vocabulary without a tree. *done is false where that cannot be; the map is then of no use. */
pith_status pith_read_flat_vocab(pith_ctx *ctx, pith_json_flat *flat, pith_string_map *map, bool *done);
/* t->vocab may be filled already. */
pith_status pith_parse_model(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t);
pith_status pith_parse_normalizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);
pith_status pith_parse_pre_tokenizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);
pith_status pith_parse_decoder(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);
pith_status pith_parse_post_processor(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t);
/* The "type" of a part. */
pith_status pith_part_type(pith_ctx *ctx, const pith_json *json, const char *part, const char *what, const char **type);
/* Refuses keys other than "type" and those in `known`, which blanks part. */
pith_status pith_part_keys(pith_ctx *ctx, const pith_json *json, const char *known, const char *what);
/* A boolean member; `fallback` where it is absent or null. */
pith_status pith_part_flag(pith_ctx *ctx, const pith_json *json, const char *key, bool fallback, const char *what, bool *out);

enum { PITH_MAX_VOCAB = 8000000 };

#endif
