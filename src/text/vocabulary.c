#include "text/vocabulary.h"

#include <string.h>

#include "base/json.h"
#include "base/sort.h"
#include "text/unicode.h"

/* ---- how words are split ---- */

#define BYTE_LEVEL(regex) "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":" regex "}"
#define SPLIT(regex) \
  "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}," \
  BYTE_LEVEL("false") "]}"
/* The patterns of Llama 3 and of Qwen 2, which differ in how many digits are a word. */
#define WORDS(digits) \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|" \
  "\\\\s+(?!\\\\S)|\\\\s+"

static const char gpt2_split[] = BYTE_LEVEL("true");
static const char digits_split[] = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL("true") "]}";
static const char llama3_split[] = SPLIT(WORDS("\\\\p{N}{1,3}"));
static const char qwen2_split[] = SPLIT(WORDS("\\\\p{N}"));

typedef struct splitting {
  const char *name, *pre_tokenizer;
  bool whole_words;   /* a word that is a token needs no merges; such models also begin texts with a token */
} splitting;

static const splitting splittings[] = {
    {"gpt-2", gpt2_split, false},       {"default", gpt2_split, false},    {"smollm", digits_split, false}, {"starcoder", digits_split, false},
    {"refact", digits_split, false},    {"codeshell", digits_split, false}, {"llama-bpe", llama3_split, true}, {"llama3", llama3_split, true},
    {"llama-v3", llama3_split, true},   {"falcon3", llama3_split, true},   {"qwen2", qwen2_split, false}};
enum { N_SPLITTINGS = sizeof splittings / sizeof *splittings };

static const splitting *find_splitting(const char *name) {
  for (int i = 0; i < N_SPLITTINGS; i++)
    if (strcmp(splittings[i].name, name ? name : "default") == 0) return &splittings[i];
  return NULL;
}

bool pith_vocabulary_adds_bos(const char *pre) {
  const splitting *s = find_splitting(pre);
  return s && s->whole_words;
}

static pith_status unknown_splitting(pith_ctx *ctx, const char *name, const char *what) {
  char list[256] = "";
  size_t n = 0;
  for (int i = 0; i < N_SPLITTINGS && n + strlen(splittings[i].name) + 3 < sizeof list; i++) {
    if (n) memcpy(list + n, ", ", 2), n += 2;
    memcpy(list + n, splittings[i].name, strlen(splittings[i].name) + 1);
    n += strlen(splittings[i].name);
  }
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: the pre-tokenizer \"%.60s\" is not supported; supported are %s", what, name, list);
}

/* ---- tokens ---- */

static const char *token_bytes(const pith_vocabulary *v, uint32_t id, size_t *n_bytes) {
  *n_bytes = v->offsets[id + 1] - v->offsets[id];
  return v->bytes + v->offsets[id];
}

static int32_t kind_of(const pith_vocabulary *v, uint32_t id) { return v->kinds ? v->kinds[id] : PITH_TOKEN_NORMAL; }

/* Ids by content: open addressing, a power of two of slots. */
typedef struct token_map {
  const pith_vocabulary *v;
  uint32_t *slots;   /* id + 1, 0: empty */
  uint32_t mask;
} token_map;

static const uint32_t hash_begin = 2166136261u;
static uint32_t hash_add(uint32_t h, char c) { return (h ^ (uint8_t)c) * 16777619u; }   /* FNV-1a */
static uint32_t hash_of(const char *bytes, size_t n) {
  uint32_t h = hash_begin;
  for (size_t i = 0; i < n; i++) h = hash_add(h, bytes[i]);
  return h;
}

/* The slot of these bytes: theirs, or the empty one where they belong. */
static uint32_t *find_slot(const token_map *m, uint32_t hash, const char *bytes, size_t n_bytes) {
  for (uint32_t i = hash & m->mask;; i = (i + 1) & m->mask) {
    size_t n;
    if (!m->slots[i]) return &m->slots[i];
    const char *other = token_bytes(m->v, m->slots[i] - 1, &n);
    if (n == n_bytes && memcmp(other, bytes, n) == 0) return &m->slots[i];
  }
}

static pith_status check_token(pith_ctx *ctx, const pith_vocabulary *v, uint32_t id, const char *what) {
  size_t n;
  const char *bytes = token_bytes(v, id, &n);
  if (n == 0) return pith_fail(ctx, PITH_E_FORMAT, "%s: token %u is empty", what, id);
  if (memchr(bytes, '\0', n)) return pith_fail(ctx, PITH_E_FORMAT, "%s: token %u holds a NUL character", what, id);
  if (pith_utf8_validate(bytes, n) < n) return pith_fail(ctx, PITH_E_FORMAT, "%s: token %u is not valid UTF-8", what, id);
  const int32_t kind = kind_of(v, id);
  if (kind < PITH_TOKEN_NORMAL || kind > PITH_TOKEN_BYTE) return pith_fail(ctx, PITH_E_FORMAT, "%s: token %u has the type %d, which is none", what, id, (int)kind);
  return PITH_OK;
}

static pith_status fill_map(pith_ctx *ctx, const pith_vocabulary *v, const char *what, token_map *m) {
  uint32_t n_slots = 16;
  while (n_slots / 2 < v->n) n_slots *= 2;
  *m = (token_map){v, NULL, n_slots - 1};
  PITH_TRY(pith_calloc(ctx, n_slots, sizeof *m->slots, &m->slots));
  for (uint32_t id = 0; id < v->n; id++) {
    size_t n;
    const char *bytes = token_bytes(v, id, &n);
    PITH_TRY(check_token(ctx, v, id, what));
    uint32_t *slot = find_slot(m, hash_of(bytes, n), bytes, n);
    if (*slot) return pith_fail(ctx, PITH_E_FORMAT, "%s: tokens %u and %u are the same: \"%.*s\"", what, *slot - 1, id, n < 60 ? (int)n : 60, bytes);
    *slot = id + 1;
  }
  return PITH_OK;
}

/* ---- text ---- */

typedef struct printer {
  pith_ctx *ctx;
  const pith_vocabulary *v;
  const char *what;
  pith_buffer *out, scratch;
} printer;

static pith_status put(printer *p, const char *text) { return pith_buffer_append(p->ctx, p->out, text, strlen(text)); }

static pith_status put_string(printer *p, const char *bytes, size_t n_bytes) {
  p->scratch.n_bytes = 0;
  PITH_TRY(pith_buffer_append(p->ctx, &p->scratch, bytes, n_bytes));
  return pith_json_print_string(p->ctx, p->scratch.data, p->out);
}

static pith_status put_token(printer *p, uint32_t id) {
  size_t n;
  const char *bytes = token_bytes(p->v, id, &n);
  return put_string(p, bytes, n);
}

/* Tokens that are found in a text before anything else happens to it. */
static pith_status put_added(printer *p) {
  bool first = true;
  PITH_TRY(put(p, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["));
  for (uint32_t id = 0; id < p->v->n; id++) {
    const int32_t kind = kind_of(p->v, id);
    if (kind != PITH_TOKEN_CONTROL && kind != PITH_TOKEN_USER_DEFINED && kind != PITH_TOKEN_UNKNOWN) continue;
    PITH_TRY(pith_buffer_printf(p->ctx, p->out, "%s{\"id\":%u,\"content\":", first ? "" : ",", id));
    PITH_TRY(put_token(p, id));
    PITH_TRY(pith_buffer_printf(p->ctx, p->out, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":%s}",
                                kind == PITH_TOKEN_USER_DEFINED ? "false" : "true"));
    first = false;
  }
  return put(p, "]");
}

static pith_status put_template_item(printer *p, int32_t id, bool listed) {
  PITH_TRY(put(p, listed ? "" : "{\"SpecialToken\":{\"id\":"));
  PITH_TRY(put_token(p, (uint32_t)id));
  if (!listed) return put(p, ",\"type_id\":0}}");
  PITH_TRY(put(p, ":{\"id\":"));
  PITH_TRY(put_token(p, (uint32_t)id));
  PITH_TRY(pith_buffer_printf(p->ctx, p->out, ",\"ids\":[%d],\"tokens\":[", (int)id));
  PITH_TRY(put_token(p, (uint32_t)id));
  return put(p, "]}");
}

/* The template names its special tokens once, also where the first is the last. */
static pith_status put_post_processor(printer *p) {
  const int32_t bos = p->v->bos_id, eos = p->v->eos_id;
  if (bos < 0 && eos < 0) return put(p, ",\"post_processor\":null");
  PITH_TRY(put(p, ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["));
  if (bos >= 0) PITH_TRY(put_template_item(p, bos, false));
  PITH_TRY(put(p, bos >= 0 ? ",{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}" : "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"));
  if (eos >= 0) PITH_TRY(put(p, ","));
  if (eos >= 0) PITH_TRY(put_template_item(p, eos, false));
  PITH_TRY(put(p, "],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\"special_tokens\":{"));
  if (bos >= 0) PITH_TRY(put_template_item(p, bos, true));
  if (bos >= 0 && eos >= 0 && eos != bos) PITH_TRY(put(p, ","));
  if (eos >= 0 && eos != bos) PITH_TRY(put_template_item(p, eos, true));
  return put(p, "}}");
}

static pith_status put_vocab(printer *p) {
  PITH_TRY(put(p, ",\"vocab\":{"));
  for (uint32_t id = 0; id < p->v->n; id++) {
    if (id > 0) PITH_TRY(put(p, ","));
    PITH_TRY(put_token(p, id));
    PITH_TRY(pith_buffer_printf(p->ctx, p->out, ":%u", id));
  }
  return put(p, "},\"merges\":[");
}

/* ---- byte-level BPE ---- */

static pith_status put_byte_level(printer *p) {
  const splitting *s = find_splitting(p->v->pre);
  if (!s) return unknown_splitting(p->ctx, p->v->pre, p->what);
  if (p->v->add_space_prefix) return pith_fail(p->ctx, PITH_E_UNSUPPORTED, "%s: byte-level BPE with a blank before every text is not supported", p->what);
  PITH_TRY(put_added(p));
  PITH_TRY(put(p, ",\"normalizer\":null,\"pre_tokenizer\":"));
  PITH_TRY(put(p, s->pre_tokenizer));
  PITH_TRY(put_post_processor(p));
  PITH_TRY(put(p, ",\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\","
                  "\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
                  "\"byte_fallback\":false,\"ignore_merges\":"));
  PITH_TRY(put(p, s->whole_words ? "true" : "false"));
  PITH_TRY(put_vocab(p));
  for (uint32_t i = 0; i < p->v->n_merges; i++) {
    const char *merge = p->v->merge_bytes + p->v->merge_offsets[i];
    const size_t n = p->v->merge_offsets[i + 1] - p->v->merge_offsets[i];
    if (memchr(merge, '\0', n) || pith_utf8_validate(merge, n) < n) return pith_fail(p->ctx, PITH_E_FORMAT, "%s: merge %u is no text", p->what, i);
    if (i > 0) PITH_TRY(put(p, ","));
    PITH_TRY(put_string(p, merge, n));
  }
  return put(p, "]}}");
}

/* ---- SentencePiece ---- */

enum { MAX_PIECE = 512, MAX_MERGES = 1 << 23 };

typedef struct piece_merge {
  float score;
  uint32_t id, left, right;
  uint16_t n_left, n_right;   /* characters */
} piece_merge;

typedef struct merge_list {
  piece_merge *merges;
  uint32_t n, capacity;
} merge_list;

static int compare_u32(uint32_t a, uint32_t b) { return a < b ? -1 : a > b; }

static int compare_merges(const void *a, const void *b) {
  const piece_merge *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  if (x->n_left != y->n_left) return x->n_left > y->n_left ? -1 : 1;
  if (x->n_right != y->n_right) return x->n_right > y->n_right ? -1 : 1;
  if (x->id != y->id) return compare_u32(x->id, y->id);
  return x->left != y->left ? compare_u32(x->left, y->left) : compare_u32(x->right, y->right);
}

static pith_status add_merge(printer *p, merge_list *list, const piece_merge *merge) {
  if (list->n == MAX_MERGES) return pith_fail(p->ctx, PITH_E_LIMIT, "%s: its tokens split in more than %d ways", p->what, MAX_MERGES);
  if (list->n == list->capacity) {
    const uint32_t capacity = list->capacity ? 2 * list->capacity : 1024;
    PITH_TRY(pith_realloc(p->ctx, &list->merges, list->n * sizeof *list->merges, capacity * sizeof *list->merges));
    list->capacity = capacity;
  }
  list->merges[list->n++] = *merge;
  return PITH_OK;
}

/* All pairs of tokens that make token `id`. */
static pith_status split_piece(printer *p, const token_map *map, uint32_t id, merge_list *list) {
  size_t n;
  const char *bytes = token_bytes(p->v, id, &n);
  if (n > MAX_PIECE) return pith_fail(p->ctx, PITH_E_LIMIT, "%s: token %u has %zu bytes; a piece of SentencePiece has at most %d", p->what, id, n, MAX_PIECE);
  uint32_t hash = hash_begin, n_chars = 0;
  for (size_t i = 0; i < n; i++) n_chars += ((uint8_t)bytes[i] & 0xc0) != 0x80;
  uint16_t n_left = 0;
  for (size_t cut = 1; cut < n; cut++) {
    hash = hash_add(hash, bytes[cut - 1]);
    if (((uint8_t)bytes[cut] & 0xc0) == 0x80) continue;   /* within a character */
    n_left++;
    const uint32_t left = *find_slot(map, hash, bytes, cut);
    if (!left) continue;
    const uint32_t right = *find_slot(map, hash_of(bytes + cut, n - cut), bytes + cut, n - cut);
    if (!right) continue;
    PITH_TRY(add_merge(p, list, &(piece_merge){p->v->scores[id], id, left - 1, right - 1, n_left, (uint16_t)(n_chars - n_left)}));
  }
  return PITH_OK;
}

static pith_status list_merges(printer *p, const token_map *map, merge_list *list) {
  for (uint32_t id = 0; id < p->v->n; id++) {
    const int32_t kind = kind_of(p->v, id);
    if (!(p->v->scores[id] == p->v->scores[id])) return pith_fail(p->ctx, PITH_E_FORMAT, "%s: the score of token %u is no number", p->what, id);
    if (kind == PITH_TOKEN_NORMAL || kind == PITH_TOKEN_USER_DEFINED) PITH_TRY(split_piece(p, map, id, list));
  }
  if (list->n > 0) pith_sort(list->merges, list->n, sizeof *list->merges, compare_merges);
  return PITH_OK;
}

static pith_status put_merges(printer *p, const merge_list *list) {
  for (uint32_t i = 0; i < list->n; i++) {
    PITH_TRY(put(p, i > 0 ? ",[" : "["));
    PITH_TRY(put_token(p, list->merges[i].left));
    PITH_TRY(put(p, ","));
    PITH_TRY(put_token(p, list->merges[i].right));
    PITH_TRY(put(p, "]"));
  }
  return put(p, "]}}");
}

#define BLANK "\xe2\x96\x81"   /* U+2581, which stands for a blank in pieces */
#define REPLACE(from, to) "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"

static pith_status put_sentencepiece(printer *p, const token_map *map) {
  const bool prefix = p->v->add_space_prefix;
  if (!p->v->scores) return pith_fail(p->ctx, PITH_E_FORMAT, "%s: a SentencePiece tokenizer without scores", p->what);
  PITH_TRY(put_added(p));
  PITH_TRY(put(p, ",\"normalizer\":"));
  PITH_TRY(put(p, prefix ? "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" BLANK "\"}," REPLACE(" ", BLANK) "]}" : REPLACE(" ", BLANK)));
  PITH_TRY(put(p, ",\"pre_tokenizer\":null"));
  PITH_TRY(put_post_processor(p));
  PITH_TRY(put(p, ",\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" REPLACE(BLANK, " ") ",{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}"));
  if (prefix) PITH_TRY(put(p, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"));
  PITH_TRY(put(p, "]},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":"));
  if (p->v->unk_id >= 0) PITH_TRY(put_token(p, (uint32_t)p->v->unk_id));
  else PITH_TRY(put(p, "null"));
  PITH_TRY(put(p, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false"));
  PITH_TRY(put_vocab(p));
  merge_list list = {0};
  pith_status status = list_merges(p, map, &list);
  if (status == PITH_OK) status = put_merges(p, &list);
  pith_free(p->ctx, list.merges);
  return status;
}

static pith_status check_id(pith_ctx *ctx, const pith_vocabulary *v, int32_t id, const char *name, const char *what) {
  if (id < (int64_t)v->n) return PITH_OK;
  return pith_fail(ctx, PITH_E_FORMAT, "%s: the %s token %d is not among its %u tokens", what, name, (int)id, v->n);
}

pith_status pith_vocabulary_print(pith_ctx *ctx, const pith_vocabulary *v, const char *what, pith_buffer *out) {
  if (v->n == 0) return pith_fail(ctx, PITH_E_FORMAT, "%s has no tokens", what);
  PITH_TRY(check_id(ctx, v, v->unk_id, "unknown", what));
  PITH_TRY(check_id(ctx, v, v->bos_id, "first", what));
  PITH_TRY(check_id(ctx, v, v->eos_id, "last", what));
  token_map map;
  printer p = {.ctx = ctx, .v = v, .what = what, .out = out};
  pith_status status = fill_map(ctx, v, what, &map);
  if (status == PITH_OK) status = v->kind == PITH_VOCABULARY_BYTE_LEVEL ? put_byte_level(&p) : put_sentencepiece(&p, &map);
  pith_free(ctx, map.slots);
  pith_buffer_free(ctx, &p.scratch);
  return status;
}
