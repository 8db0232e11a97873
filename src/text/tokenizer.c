#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

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

/* ---- the vocabulary ---- */

static uint32_t hash_bytes(const char *key, size_t n) {   /* FNV-1a */
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)key[i]) * 16777619u;
  return h;
}

static int32_t find_key(const pith_string_map *map, const char *key, size_t n_bytes) {
  if (!map->n_slots) return -1;
  const uint32_t mask = map->n_slots - 1;
  for (uint32_t i = hash_bytes(key, n_bytes) & mask; map->slots[i]; i = (i + 1) & mask) {
    const uint32_t k = map->slots[i] - 1;
    if (map->offsets[k + 1] - map->offsets[k] == n_bytes && memcmp(map->blob + map->offsets[k], key, n_bytes) == 0) return (int32_t)k;
  }
  return -1;
}

int32_t pith_string_map_get(const pith_string_map *map, const char *key, size_t n_bytes) {
  const int32_t k = find_key(map, key, n_bytes);
  return k < 0 ? -1 : map->values[k];
}

static uint32_t slots_for(size_t n) {
  uint32_t slots = 16;
  while (slots < 2 * n) slots *= 2;
  return slots;
}

enum { MAX_VOCAB = 8000000 };

static pith_status build_vocab(pith_ctx *ctx, const pith_json *vocab, const char *what, pith_string_map *map) {
  if (!pith_json_is_object(vocab)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the model has no \"vocab\" object", what);
  size_t n = 0, n_bytes = 0;
  for (const pith_json *item = pith_json_first(vocab); item; item = pith_json_next(item), n++) n_bytes += strlen(pith_json_key(item));
  if (n == 0) return pith_fail(ctx, PITH_E_FORMAT, "%s: the vocabulary is empty", what);
  if (n > MAX_VOCAB || n_bytes > UINT32_MAX / 2) return pith_fail(ctx, PITH_E_LIMIT, "%s: the vocabulary has more than %d tokens", what, MAX_VOCAB);
  map->n_slots = slots_for(n);
  PITH_TRY(pith_malloc(ctx, n_bytes, &map->blob));
  PITH_TRY(pith_calloc(ctx, n + 1, sizeof *map->offsets, &map->offsets));
  PITH_TRY(pith_calloc(ctx, n, sizeof *map->values, &map->values));
  PITH_TRY(pith_calloc(ctx, map->n_slots, sizeof *map->slots, &map->slots));
  for (const pith_json *item = pith_json_first(vocab); item; item = pith_json_next(item)) {
    const char *key = pith_json_key(item);
    const size_t length = strlen(key);
    int64_t id;
    if (!pith_json_integer(item, 0, 2 * MAX_VOCAB, &id)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the id of token \"%.60s\" is no id", what, key);
    memcpy(map->blob + map->offsets[map->n], key, length);
    map->offsets[map->n + 1] = map->offsets[map->n] + (uint32_t)length;
    map->values[map->n] = (int32_t)id;
    uint32_t slot = hash_bytes(key, length) & (map->n_slots - 1);
    while (map->slots[slot]) slot = (slot + 1) & (map->n_slots - 1);
    map->slots[slot] = ++map->n;
  }
  return PITH_OK;
}

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
  return PITH_OK;
}

/* ---- models ---- */

static pith_status read_unk(pith_ctx *ctx, const pith_json *model, bool needed, const char *what, pith_tokenizer *t) {
  const char *unk = pith_json_string(pith_json_get(model, "unk_token"));
  t->unk_id = unk ? pith_string_map_get(&t->vocab, unk, strlen(unk)) : -1;
  if ((unk || needed) && t->unk_id < 0) return pith_fail(ctx, PITH_E_FORMAT, "%s: the unknown token \"%.60s\" is not in the vocabulary", what, unk ? unk : "");
  return PITH_OK;
}

static pith_status open_wordpiece(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  const char *prefix;
  int64_t max_chars;
  t->model = PITH_MODEL_WORDPIECE;
  PITH_TRY(read_unk(ctx, model, true, what, t));
  PITH_TRY(pith_json_need_string(ctx, model, "continuing_subword_prefix", what, &prefix));
  PITH_TRY(pith_json_need_integer(ctx, model, "max_input_chars_per_word", 1, 1 << 20, what, &max_chars));
  if (strlen(prefix) >= sizeof t->prefix) return pith_fail(ctx, PITH_E_LIMIT, "%s: the subword prefix has more than 31 bytes", what);
  memcpy(t->prefix, prefix, strlen(prefix) + 1);
  t->max_chars = (uint32_t)max_chars;
  return PITH_OK;
}

/* A merge is "a b" or ["a", "b"]; finds the two ids and that of their concatenation. */
static pith_status add_merge(pith_ctx *ctx, const pith_json *item, int32_t rank, const char *what, pith_tokenizer *t) {
  const char *left = pith_json_string(item), *right;
  size_t n_left;
  if (left) {
    right = strchr(left, ' ');
    if (!right) return pith_fail(ctx, PITH_E_FORMAT, "%s: merge %d is no pair", what, (int)rank);
    n_left = (size_t)(right++ - left);
  } else {
    const pith_json *first = pith_json_first(item);
    left = pith_json_string(first);
    right = first && pith_json_next(first) ? pith_json_string(pith_json_next(first)) : NULL;
    if (!left || !right || pith_json_count(item) != 2) return pith_fail(ctx, PITH_E_FORMAT, "%s: merge %d is no pair", what, (int)rank);
    n_left = strlen(left);
  }
  const size_t n_right = strlen(right);
  char joined[1024];
  if (n_left + n_right > sizeof joined) return pith_fail(ctx, PITH_E_LIMIT, "%s: merge %d is longer than %zu bytes", what, (int)rank, sizeof joined);
  memcpy(joined, left, n_left);
  memcpy(joined + n_left, right, n_right);
  const pith_merge merge = {pith_string_map_get(&t->vocab, left, n_left), pith_string_map_get(&t->vocab, right, n_right), rank,
                            pith_string_map_get(&t->vocab, joined, n_left + n_right)};
  if (merge.left < 0 || merge.right < 0 || merge.id < 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: merge %d speaks of tokens that are not in the vocabulary", what, (int)rank);
  pith_merge_insert(t, &merge);
  return PITH_OK;
}

static pith_status refuse_option(pith_ctx *ctx, const pith_json *model, const char *key, const char *what) {
  const pith_json *member = pith_json_get(model, key);
  const char *text = pith_json_string(member);
  if (pith_json_is_null(member) || (text && !*text) || (pith_json_is_number(member) && !(pith_json_number(member, 1) > 0))) return PITH_OK;
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for BPE with \"%s\", which Pith does not have", what, key);
}

static pith_status open_bpe(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  static const char *const refused[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix"};
  t->model = PITH_MODEL_BPE;
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) PITH_TRY(refuse_option(ctx, model, refused[i], what));
  PITH_TRY(read_unk(ctx, model, false, what, t));
  t->byte_fallback = pith_json_true(pith_json_get(model, "byte_fallback"));
  t->fuse_unk = pith_json_true(pith_json_get(model, "fuse_unk"));
  t->ignore_merges = pith_json_true(pith_json_get(model, "ignore_merges"));
  for (int b = 0; b < 256; b++) {
    char name[8];
    t->byte_ids[b] = pith_string_map_get(&t->vocab, name, (size_t)snprintf(name, sizeof name, "<0x%02X>", (unsigned)b));
  }
  const pith_json *merges = pith_json_get(model, "merges");
  if (!pith_json_is_array(merges)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the BPE model has no \"merges\"", what);
  t->n_merge_slots = slots_for(pith_json_count(merges));
  PITH_TRY(pith_malloc(ctx, t->n_merge_slots * sizeof *t->merges, &t->merges));
  for (uint32_t i = 0; i < t->n_merge_slots; i++) t->merges[i].left = -1;
  int32_t rank = 0;
  for (const pith_json *item = pith_json_first(merges); item; item = pith_json_next(item)) PITH_TRY(add_merge(ctx, item, rank++, what, t));
  return PITH_OK;
}

static pith_status open_model(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  const char *type = pith_json_string(pith_json_get(model, "type"));
  PITH_TRY(build_vocab(ctx, pith_json_get(model, "vocab"), what, &t->vocab));
  if (!type) type = pith_json_get(model, "merges") ? "BPE" : "WordPiece";   /* files before 0.9 name no type */
  if (strcmp(type, "WordPiece") == 0) return open_wordpiece(ctx, model, what, t);
  if (strcmp(type, "BPE") == 0) return open_bpe(ctx, model, what, t);
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for the model \"%.40s\"; supported are WordPiece and BPE", what, type);
}

/* ---- added tokens ---- */

static pith_status open_added(pith_ctx *ctx, const pith_json *list, const char *what, pith_tokenizer *t) {
  if (pith_json_is_null(list)) return PITH_OK;
  if (!pith_json_is_array(list)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"added_tokens\" should be a list", what);
  PITH_TRY(pith_calloc(ctx, pith_json_count(list), sizeof *t->added, &t->added));
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) {
    const char *content;
    int64_t id;
    PITH_TRY(pith_json_need_string(ctx, item, "content", what, &content));
    PITH_TRY(pith_json_need_integer(ctx, item, "id", 0, 2 * MAX_VOCAB, what, &id));
    if (!*content || strlen(content) > PITH_MAX_ADDED_BYTES) return pith_fail(ctx, PITH_E_FORMAT, "%s: an added token is empty or too long", what);
    pith_added_token *token = &t->added[t->n_added++];
    token->id = (int32_t)id;
    token->special = pith_json_true(pith_json_get(item, "special"));
    token->normalized = pith_json_true(pith_json_get(item, "normalized"));
    token->single_word = pith_json_true(pith_json_get(item, "single_word"));
    token->lstrip = pith_json_true(pith_json_get(item, "lstrip"));
    token->rstrip = pith_json_true(pith_json_get(item, "rstrip"));
    PITH_TRY(pith_malloc(ctx, strlen(content) + 1, &token->raw));
    memcpy(token->raw, content, strlen(content) + 1);
    pith_buffer text = {0};
    pith_status status = token->normalized ? pith_normalize(ctx, &t->normalizer, content, strlen(content), &text)
                                           : pith_buffer_append(ctx, &text, content, strlen(content));
    token->content = text.data;
    token->n_bytes = (uint32_t)text.n_bytes;
    PITH_TRY(status);
  }
  return PITH_OK;
}

static bool is_word_char(uint32_t c) { return c == '_' || (pith_unicode_flags(c) & (PITH_LETTER | PITH_NUMBER | PITH_MARK)) != 0; }

static bool word_before(const char *text, size_t at) {
  if (at == 0) return false;
  size_t begin = at - 1;
  while (begin > 0 && (text[begin] & 0xc0) == 0x80) begin--;
  uint32_t c;
  return pith_utf8_decode(text + begin, at - begin, &c) > 0 && is_word_char(c);
}

static bool word_after(const char *text, size_t n_bytes, size_t at) {
  uint32_t c;
  return at < n_bytes && pith_utf8_decode(text + at, n_bytes - at, &c) > 0 && is_word_char(c);
}

/* The leftmost, then longest, added token of that kind at or after `from`; NULL if none. */
static const pith_added_token *find_added(const pith_tokenizer *t, bool normalized, const char *text, size_t n_bytes, size_t from, size_t *at) {
  bool starts[256] = {false};
  bool any = false;
  for (uint32_t i = 0; i < t->n_added; i++)
    if (t->added[i].normalized == normalized && t->added[i].n_bytes) any = starts[(uint8_t)t->added[i].content[0]] = true;
  for (size_t i = from; any && i < n_bytes; i++) {
    if (!starts[(uint8_t)text[i]]) continue;
    const pith_added_token *best = NULL;
    for (uint32_t k = 0; k < t->n_added; k++) {
      const pith_added_token *token = &t->added[k];
      if (token->normalized != normalized || !token->n_bytes || token->n_bytes > n_bytes - i) continue;
      if (best && best->n_bytes >= token->n_bytes) continue;
      if (memcmp(text + i, token->content, token->n_bytes) == 0) best = token;
    }
    if (!best) continue;
    *at = i;
    if (!(best->single_word && (word_before(text, i) || word_after(text, n_bytes, i + best->n_bytes)))) return best;
    i += best->n_bytes - 1;   /* the library passes over the whole refused match */
  }
  return NULL;
}

/* ---- encoding ---- */

typedef struct encoder {
  pith_ctx *ctx;
  const pith_tokenizer *t;
  pith_buffer normalized;
  pith_pieces words;
  pith_ids *out;
} encoder;

typedef pith_status segment_fn(encoder *e, const char *text, size_t n_bytes);

static bool is_space_at(const char *text, size_t n_bytes, size_t at, size_t *n) {
  uint32_t c;
  *n = at < n_bytes ? pith_utf8_decode(text + at, n_bytes - at, &c) : 0;
  return *n > 0 && (pith_unicode_flags(c) & PITH_SPACE) != 0;
}

/* Calls `segment` for the text between added tokens and appends those tokens' ids. */
static pith_status split_added(encoder *e, bool normalized, const char *text, size_t n_bytes, segment_fn *segment) {
  size_t from = 0, at, width;
  const pith_added_token *token;
  while ((token = find_added(e->t, normalized, text, n_bytes, from, &at)) != NULL) {
    size_t end = at + token->n_bytes;
    if (token->lstrip)
      while (at > from) {
        size_t begin = at - 1;
        while (begin > from && (text[begin] & 0xc0) == 0x80) begin--;
        if (!is_space_at(text, n_bytes, begin, &width)) break;
        at = begin;
      }
    if (token->rstrip)
      while (is_space_at(text, n_bytes, end, &width)) end += width;
    if (at > from) PITH_TRY(segment(e, text + from, at - from));
    PITH_TRY(pith_ids_append(e->ctx, e->out, token->id));
    from = end;
  }
  return from < n_bytes ? segment(e, text + from, n_bytes - from) : PITH_OK;
}

static pith_status encode_words(encoder *e, const char *text, size_t n_bytes) {
  PITH_TRY(pith_pre_tokenize(e->ctx, &e->t->pre_tokenizer, text, n_bytes, &e->words));
  for (size_t i = 0, begin = 0; i < e->words.n; begin = e->words.ends[i++]) {
    const char *word = e->words.text.data + begin;
    const size_t n = e->words.ends[i] - begin;
    PITH_TRY(e->t->model == PITH_MODEL_BPE ? pith_bpe_encode(e->ctx, e->t, word, n, e->out) : pith_wordpiece_encode(e->ctx, e->t, word, n, e->out));
  }
  return PITH_OK;
}

static pith_status encode_raw(encoder *e, const char *text, size_t n_bytes) {
  PITH_TRY(pith_normalize(e->ctx, &e->t->normalizer, text, n_bytes, &e->normalized));
  return split_added(e, true, e->normalized.data, e->normalized.n_bytes, encode_words);
}

pith_status pith_tokenizer_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *text, size_t n_bytes, pith_encode_options options,
                                  pith_ids *out) {
  const size_t bad = pith_utf8_validate(text, n_bytes), begin = out->n;
  if (bad < n_bytes) return pith_fail(ctx, PITH_E_ARGUMENT, "the text is not valid UTF-8 at byte %llu", (unsigned long long)bad);
  const uint32_t n_before = options.add_special_tokens ? t->n_before : 0, n_after = options.add_special_tokens ? t->n_after : 0;
  for (uint32_t i = 0; i < n_before; i++) PITH_TRY(pith_ids_append(ctx, out, t->before[i]));
  encoder e = {.ctx = ctx, .t = t, .out = out};
  const pith_status status = split_added(&e, false, text, n_bytes, encode_raw);
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

static pith_status read_truncation(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  if (pith_json_is_null(json)) return PITH_OK;
  int64_t limit;
  PITH_TRY(pith_json_need_integer(ctx, json, "max_length", 0, INT32_MAX, what, &limit));
  const char *direction = pith_json_string(pith_json_get(json, "direction"));
  if (direction && strcmp(direction, "Right") != 0) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for truncation from the left, which Pith does not have", what);
  t->truncation = (int32_t)limit;
  return PITH_OK;
}

static pith_status open_parts(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  if (!pith_json_is_object(pith_json_get(json, "model"))) return pith_fail(ctx, PITH_E_FORMAT, "%s has no \"model\": is it a tokenizer.json?", what);
  PITH_TRY(pith_parse_normalizer(ctx, pith_json_get(json, "normalizer"), what, &t->normalizer));
  PITH_TRY(pith_parse_pre_tokenizer(ctx, pith_json_get(json, "pre_tokenizer"), what, &t->pre_tokenizer));
  PITH_TRY(pith_parse_decoder(ctx, pith_json_get(json, "decoder"), what, &t->decoder));
  t->has_decoder = !pith_json_is_null(pith_json_get(json, "decoder"));
  PITH_TRY(open_model(ctx, pith_json_get(json, "model"), what, t));
  PITH_TRY(open_added(ctx, pith_json_get(json, "added_tokens"), what, t));
  PITH_TRY(pith_parse_post_processor(ctx, pith_json_get(json, "post_processor"), what, t));
  PITH_TRY(read_truncation(ctx, pith_json_get(json, "truncation"), what, t));
  return index_by_id(ctx, t, what);
}

pith_status pith_tokenizer_open(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_tokenizer **out) {
  pith_json *json;
  *out = NULL;
  const size_t bad = pith_utf8_validate(text, n_bytes);
  if (bad < n_bytes) return pith_fail(ctx, PITH_E_FORMAT, "%s is not valid UTF-8 at byte %llu", what, (unsigned long long)bad);
  PITH_TRY(pith_json_parse(ctx, text, n_bytes, what, &json));
  pith_tokenizer *t;
  pith_status status = pith_calloc(ctx, 1, sizeof *t, &t);
  if (status == PITH_OK) {
    t->unk_id = -1;
    status = open_parts(ctx, json, what, t);
  }
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
  pith_free(ctx, t->vocab.blob);
  pith_free(ctx, t->vocab.offsets);
  pith_free(ctx, t->vocab.values);
  pith_free(ctx, t->vocab.slots);
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
  for (uint32_t i = 0; i < t->n_added; i++)
    if (strcmp(t->added[i].raw, content) == 0) return t->added[i].id;
  return pith_string_map_get(&t->vocab, content, strlen(content));
}

bool pith_tokenizer_is_special(const pith_tokenizer *t, int32_t id) {
  for (uint32_t i = 0; i < t->n_added; i++)
    if (t->added[i].id == id) return t->added[i].special;
  return false;
}
