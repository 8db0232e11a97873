#include "text/tokenizer.h"

#include <string.h>

#include "text/pairs.h"
#include "text/text_internal.h"
#include "text/unicode.h"

/* ---- identifiers ---- */

void pith_ids_free(pith_ctx *ctx, pith_ids *ids) {
  pith_free(ctx, ids->ids);
  memset(ids, 0, sizeof *ids);
}

pith_status pith_ids_append(pith_ctx *ctx, pith_ids *ids, int32_t id) {
  if (ids->n == ids->capacity) {
    const size_t capacity = ids->capacity ? 2 * ids->capacity : 64;
    PITH_TRY(pith_realloc(ctx, &ids->ids, ids->n * sizeof *ids->ids, capacity * sizeof *ids->ids));
    ids->capacity = capacity;
  }
  ids->ids[ids->n++] = id;
  return PITH_OK;
}

/* ---- encoding ---- */

typedef struct encoder {
  pith_ctx *ctx;
  const pith_tokenizer *t;
  pith_buffer normalized;
  pith_pieces words;
  pith_ids *out;
} encoder;

/* `origin`: as many leading bytes of the text stem from the first position of what the caller gave. */
typedef pith_status segment_fn(encoder *e, const char *text, size_t n_bytes, size_t origin);

/* Calls `segment` for the text between added tokens and appends those tokens' ids. */
static pith_status split_added(encoder *e, bool normalized, const char *text, size_t n_bytes, size_t origin, segment_fn *segment) {
  pith_added_match match = {0};
  do {
    const size_t from = match.end;
    match = pith_added_next(e->t, normalized, text, n_bytes, &match);
    if (from < match.begin) PITH_TRY(segment(e, text + from, match.begin - from, origin > from ? origin - from : 0));
    if (match.token && match.begin < match.end) PITH_TRY(pith_ids_append(e->ctx, e->out, match.token->id));   /* one whose blanks are taken is none */
  } while (match.token);
  return PITH_OK;
}

static pith_status encode_word(encoder *e, const char *word, size_t n_bytes) {
  const pith_tokenizer *t = e->t;
  switch (t->model) {
    case PITH_MODEL_BPE: return pith_bpe_encode(e->ctx, t, word, n_bytes, e->out);
    case PITH_MODEL_WORDPIECE: return pith_wordpiece_encode(e->ctx, t, word, n_bytes, e->out);
    case PITH_MODEL_UNIGRAM: return pith_unigram_encode(e->ctx, t, word, n_bytes, e->out);
    case PITH_MODEL_WORD_LEVEL: break;
  }
  const int32_t id = pith_string_map_get(&t->vocab, word, n_bytes);
  if (id < 0 && t->unk_id < 0) return pith_unknown_missing(e->ctx, word, n_bytes);
  return pith_ids_append(e->ctx, e->out, id >= 0 ? id : t->unk_id);
}

static pith_status encode_words(encoder *e, const char *text, size_t n_bytes, size_t origin) {
  PITH_TRY(pith_pre_tokenize(e->ctx, &e->t->pre_tokenizer, text, n_bytes, origin, &e->words));
  for (size_t i = 0, begin = 0; i < e->words.n; begin = e->words.ends[i++])
    PITH_TRY(encode_word(e, e->words.text.data + begin, e->words.ends[i] - begin));
  return PITH_OK;
}

static pith_status encode_raw(encoder *e, const char *text, size_t n_bytes, size_t origin) {
  PITH_TRY(pith_normalize(e->ctx, &e->t->normalizer, text, n_bytes, &origin, &e->normalized));
  return split_added(e, true, e->normalized.data, e->normalized.n_bytes, origin, encode_words);
}

pith_status pith_tokenizer_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *text, size_t n_bytes, pith_encode_options options,
                                  pith_ids *out) {
  const size_t bad = pith_utf8_validate(text, n_bytes), begin = out->n;
  if (bad < n_bytes) return pith_fail(ctx, PITH_E_ARGUMENT, "the text is not valid UTF-8 at byte %llu", (unsigned long long)bad);
  const uint32_t n_before = options.add_special_tokens ? t->n_before : 0, n_after = options.add_special_tokens ? t->n_after : 0;
  for (uint32_t i = 0; i < n_before; i++) PITH_TRY(pith_ids_append(ctx, out, t->before[i]));
  encoder e = {.ctx = ctx, .t = t, .out = out};
  uint32_t first;
  const size_t origin = n_bytes > 0 ? pith_utf8_decode(text, n_bytes, &first) : 0;
  const pith_status status = split_added(&e, false, text, n_bytes, origin, encode_raw);
  pith_buffer_free(ctx, &e.normalized);
  pith_pieces_free(ctx, &e.words);
  PITH_TRY(status);
  if (options.max_tokens > 0) {
    const size_t n_special = n_before + n_after, limit = (size_t)options.max_tokens;
    if (n_special > limit) return pith_fail(ctx, PITH_E_ARGUMENT, "a limit of %zu tokens leaves no room for the special ones", limit);
    if (out->n - begin + n_after > limit) out->n = begin + limit - n_after;
  }
  for (uint32_t i = 0; i < n_after; i++) PITH_TRY(pith_ids_append(ctx, out, t->after[i]));
  return PITH_OK;
}

/* ---- opening ---- */

/* Added tokens stand before the vocabulary's: an id may be both. */
static pith_status index_by_id(pith_ctx *ctx, pith_tokenizer *t, const char *what) {
  int32_t largest = -1;
  for (uint32_t i = 0; i < t->vocab.n; i++) largest = t->vocab.values[i] > largest ? t->vocab.values[i] : largest;
  for (uint32_t i = 0; i < t->n_added; i++) largest = t->added[i].id > largest ? t->added[i].id : largest;
  t->vocab_size = largest + 1;
  PITH_TRY(pith_calloc(ctx, (size_t)t->vocab_size, sizeof *t->by_id, &t->by_id));
  for (uint32_t i = 0; i < t->vocab.n; i++) {
    uint32_t *entry = &t->by_id[t->vocab.values[i]];
    if (*entry) return pith_fail(ctx, PITH_E_FORMAT, "%s: two tokens have the id %d", what, (int)t->vocab.values[i]);
    *entry = i + 1;
  }
  for (uint32_t i = 0; i < t->n_added; i++) t->by_id[t->added[i].id] = t->vocab.n + i + 1;
  return PITH_OK;
}

static pith_status read_truncation(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  if (pith_json_is_null(json)) return PITH_OK;
  int64_t limit;
  PITH_TRY(pith_json_need_integer(ctx, json, "max_length", 0, INT32_MAX, what, &limit));
  const char *direction = pith_json_string(pith_json_get(json, "direction"));
  if (direction && strcmp(direction, "Right") != 0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for truncation from the left, which Pith does not have", what);
  t->truncation = (int32_t)limit;
  return PITH_OK;
}

static pith_status open_parts(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  const pith_json *version = pith_json_get(json, "version");
  if (version && (!pith_json_string(version) || strcmp(pith_json_string(version), "1.0") != 0))
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s is of another \"version\" than \"1.0\"", what);
  PITH_TRY(pith_parse_normalizer(ctx, pith_json_get(json, "normalizer"), what, &t->normalizer));
  PITH_TRY(pith_parse_pre_tokenizer(ctx, pith_json_get(json, "pre_tokenizer"), what, &t->pre_tokenizer));
  PITH_TRY(pith_parse_decoder(ctx, pith_json_get(json, "decoder"), what, &t->decoder));
  t->has_decoder = !pith_json_is_null(pith_json_get(json, "decoder"));
  PITH_TRY(pith_parse_model(ctx, pith_json_get(json, "model"), what, t));
  PITH_TRY(pith_added_open(ctx, pith_json_get(json, "added_tokens"), what, t));
  PITH_TRY(pith_parse_post_processor(ctx, pith_json_get(json, "post_processor"), what, t));
  if (pith_pairs) pith_pairs(pith_json_get(json, "post_processor"), t);
  PITH_TRY(read_truncation(ctx, pith_json_get(json, "truncation"), what, t));
  return index_by_id(ctx, t, what);
}

/* The vocabulary of most files is nearly all of them: where it can be read without a tree, the tree is that of the rest. */
static pith_status parse(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_tokenizer *t, pith_json **json) {
  pith_json_flat vocab;
  bool done = false;
  if (pith_json_flat_find(text, n_bytes, "model", "vocab", &vocab)) {
    PITH_TRY(pith_read_flat_vocab(ctx, &vocab, &t->vocab, &done));
    if (!done) pith_string_map_free(ctx, &t->vocab);
  }
  if (done) {
    pith_buffer rest = {0};
    pith_status status = pith_buffer_append(ctx, &rest, text, (size_t)(vocab.begin - text));
    if (status == PITH_OK) status = pith_buffer_append(ctx, &rest, vocab.end, n_bytes - (size_t)(vocab.end - text));
    if (status == PITH_OK) status = pith_json_parse(ctx, rest.data, rest.n_bytes, what, json);
    pith_buffer_free(ctx, &rest);
    if (status != PITH_E_FORMAT) return status;
  }
  return pith_json_parse(ctx, text, n_bytes, what, json);   /* whose errors say where in the text they are */
}

pith_status pith_tokenizer_open(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_tokenizer **out) {
  pith_json *json = NULL;
  *out = NULL;
  const size_t bad = pith_utf8_validate(text, n_bytes);
  if (bad < n_bytes) return pith_fail(ctx, PITH_E_FORMAT, "%s is not valid UTF-8 at byte %llu", what, (unsigned long long)bad);
  pith_tokenizer *t;
  PITH_TRY(pith_calloc(ctx, 1, sizeof *t, &t));
  t->unk_id = -1;
  pith_status status = parse(ctx, text, n_bytes, what, t, &json);
  if (status == PITH_OK) status = open_parts(ctx, json, what, t);
  pith_json_free(json);
  if (status != PITH_OK) {
    pith_tokenizer_close(ctx, t);
    return status;
  }
  *out = t;
  return PITH_OK;
}

void pith_tokenizer_close(pith_ctx *ctx, pith_tokenizer *t) {
  if (!t) return;
  for (uint32_t i = 0; i < t->n_added; i++) {
    pith_free(ctx, t->added[i].raw);
    pith_free(ctx, t->added[i].content);
  }
  pith_free(ctx, t->added);
  pith_string_map_free(ctx, &t->added_raw);
  pith_string_map_free(ctx, &t->matched[false]);
  pith_string_map_free(ctx, &t->matched[true]);
  pith_string_map_free(ctx, &t->vocab);
  pith_text_ops_free(ctx, &t->normalizer);
  pith_text_ops_free(ctx, &t->pre_tokenizer);
  pith_text_ops_free(ctx, &t->decoder);
  pith_free(ctx, t->scores);
  pith_free(ctx, t->merges);
  pith_free(ctx, t->by_id);
  pith_free(ctx, t);
}

int32_t pith_tokenizer_vocab_size(const pith_tokenizer *t) { return t->vocab_size; }
size_t pith_tokenizer_longest_token(const pith_tokenizer *t) {
  size_t longest = 0;
  for (uint32_t i = 0; i < t->vocab.n; i++)
    if (t->vocab.offsets[i + 1] - t->vocab.offsets[i] > longest) longest = t->vocab.offsets[i + 1] - t->vocab.offsets[i];
  for (uint32_t i = 0; i < t->n_added; i++)
    if (strlen(t->added[i].content) > longest) longest = strlen(t->added[i].content);
  return longest;
}

int32_t pith_tokenizer_truncation(const pith_tokenizer *t) { return t->truncation; }

int32_t pith_tokenizer_token_id(const pith_tokenizer *t, const char *content) {
  const int32_t added = pith_string_map_get(&t->added_raw, content, strlen(content));
  return added >= 0 ? t->added[added].id : pith_string_map_get(&t->vocab, content, strlen(content));
}

bool pith_tokenizer_is_special(const pith_tokenizer *t, int32_t id) {
  if (id < 0 || id >= t->vocab_size || t->by_id[id] <= t->vocab.n) return false;
  return t->added[t->by_id[id] - 1 - t->vocab.n].special;
}
