/* Added tokens: found in the text before anything else is done to it, or in the normalised text. */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

static pith_status read_flags(pith_ctx *ctx, const pith_json *item, const char *what, pith_added_token *token) {
  PITH_TRY(pith_part_keys(ctx, item, "id content single_word lstrip rstrip normalized special", what));
  PITH_TRY(pith_part_flag(ctx, item, "special", false, what, &token->special));
  PITH_TRY(pith_part_flag(ctx, item, "normalized", !token->special, what, &token->normalized));
  PITH_TRY(pith_part_flag(ctx, item, "single_word", false, what, &token->single_word));
  PITH_TRY(pith_part_flag(ctx, item, "lstrip", false, what, &token->lstrip));
  return pith_part_flag(ctx, item, "rstrip", false, what, &token->rstrip);
}

/* The library takes a token's id from the vocabulary, or counts on from it; a file that says otherwise contradicts itself. */
static pith_status check_id(pith_ctx *ctx, const char *content, int64_t id, int64_t *next_id, const char *what, const pith_tokenizer *t) {
  int64_t expected = pith_string_map_get(&t->vocab, content, strlen(content));
  if (expected < 0) expected = (*next_id)++;
  if (id == expected) return PITH_OK;
  return pith_fail(ctx, PITH_E_FORMAT, "%s: the added token \"%.*s\" has the id %d, and %d in the vocabulary", what, PITH_CUT(content), (int)id,
                   (int)expected);
}

static pith_status read_token(pith_ctx *ctx, const pith_json *item, int64_t *next_id, const char *what, pith_tokenizer *t) {
  const char *content;
  int64_t id;
  PITH_TRY(pith_json_need_string(ctx, item, "content", what, &content));
  PITH_TRY(pith_json_need_integer(ctx, item, "id", 0, 2 * PITH_MAX_VOCAB, what, &id));
  const size_t n = strlen(content);
  if (n == 0 || n > PITH_MAX_ADDED_BYTES)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: an added token is empty or has more than %d bytes", what, PITH_MAX_ADDED_BYTES);
  if (!pith_string_map_insert(&t->added_raw, content, n, (int32_t)t->n_added))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: the added token \"%.*s\" is there twice", what, PITH_CUT(content));
  PITH_TRY(check_id(ctx, content, id, next_id, what, t));
  pith_added_token *token = &t->added[t->n_added++];
  token->id = (int32_t)id;
  PITH_TRY(read_flags(ctx, item, what, token));
  PITH_TRY(pith_malloc(ctx, n + 1, &token->raw));
  memcpy(token->raw, content, n + 1);
  pith_buffer text = {0};
  const pith_status status = token->normalized ? pith_normalize(ctx, &t->normalizer, content, n, NULL, &text)
                                               : pith_buffer_append(ctx, &text, content, n);
  token->content = text.data;
  token->n_bytes = (uint32_t)text.n_bytes;
  return status;
}

static pith_status index_matched(pith_ctx *ctx, bool normalized, pith_tokenizer *t) {
  pith_string_map *map = &t->matched[normalized];
  size_t n = 0, n_bytes = 0;
  for (uint32_t i = 0; i < t->n_added; i++)
    if (t->added[i].normalized == normalized) {
      n++;
      n_bytes += t->added[i].n_bytes;
    }
  PITH_TRY(pith_string_map_reserve(ctx, map, n, n_bytes));
  for (uint32_t i = 0; i < t->n_added; i++)   /* of two that are normalised to one, the first is found */
    if (t->added[i].normalized == normalized && t->added[i].n_bytes > 0) {
      pith_string_map_insert(map, t->added[i].content, t->added[i].n_bytes, (int32_t)i);
      t->begins_match[normalized][(uint8_t)t->added[i].content[0]] = true;
    }
  return pith_string_map_sort(ctx, map);
}

pith_status pith_added_open(pith_ctx *ctx, const pith_json *list, const char *what, pith_tokenizer *t) {
  if (pith_json_is_null(list)) return PITH_OK;
  if (!pith_json_is_array(list)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"added_tokens\" should be a list", what);
  size_t n = 0, n_bytes = 0;
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item), n++) {
    const char *content = pith_json_string(pith_json_get(item, "content"));
    n_bytes += content ? strlen(content) : 0;
  }
  PITH_TRY(pith_string_map_reserve(ctx, &t->added_raw, n, n_bytes));
  PITH_TRY(pith_calloc(ctx, n, sizeof *t->added, &t->added));
  int64_t next_id = t->vocab.n;
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) PITH_TRY(read_token(ctx, item, &next_id, what, t));
  PITH_TRY(index_matched(ctx, false, t));
  return index_matched(ctx, true, t);
}

/* \w of the library's regular expressions: joiners count. */
static bool is_word_at(const char *text, size_t n_bytes, size_t at) {
  uint32_t c;
  if (at >= n_bytes || pith_utf8_decode(text + at, n_bytes - at, &c) == 0) return false;
  return (pith_unicode_flags(c) & PITH_WORD) != 0 || c == 0x200c || c == 0x200d;
}

static bool is_word_before(const char *text, size_t end) {
  size_t begin = end;
  while (begin > 0 && (text[--begin] & 0xc0) == 0x80) continue;
  return begin < end && is_word_at(text, end, begin);
}

/* The longest key that the text has at `at`, -1 if none. */
static int32_t longest_at(const pith_string_map *map, const char *text, size_t n_bytes, size_t at) {
  pith_prefix prefix = pith_prefix_all(map);
  int32_t longest = -1;
  for (size_t i = at; i < n_bytes && pith_prefix_extend(map, &prefix, text[i]); i++) {
    const int32_t key = pith_prefix_key(map, &prefix);
    if (key >= 0) longest = map->values[key];
  }
  return longest;
}

/* Blanks that end where the token begins, not before `floor`. */
static size_t blanks_before(const char *text, size_t at, size_t floor) {
  return floor < at ? floor + pith_space_before(text + floor, at - floor) : floor;
}

pith_added_match pith_added_next(const pith_tokenizer *t, bool normalized, const char *text, size_t n_bytes, const pith_added_match *before) {
  const pith_string_map *map = &t->matched[normalized];
  pith_added_match match = {NULL, n_bytes, n_bytes, n_bytes};
  for (size_t at = before->next; map->n > 0 && at < n_bytes; at++) {
    if (!t->begins_match[normalized][(uint8_t)text[at]]) continue;
    const int32_t found = longest_at(map, text, n_bytes, at);
    if (found < 0) continue;
    const pith_added_token *token = &t->added[found];
    const size_t end = at + token->n_bytes;
    if (token->single_word && (is_word_before(text, at) || is_word_at(text, n_bytes, end))) {
      at = end - 1;   /* the library passes over the whole refused match */
      continue;
    }
    match = (pith_added_match){token, token->lstrip ? blanks_before(text, at, before->end) : at, end, end};
    const bool in_blanks = before->token && before->token->rstrip && end <= before->end;   /* which the one before has seen to their end */
    if (token->rstrip) match.end = in_blanks ? before->end : pith_space_after(text, n_bytes, end);
    break;
  }
  return match;
}
