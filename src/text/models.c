/* The "model" of tokenizer.json. */
#include <math.h>
#include <string.h>

#include "base/format.h"
#include "text/text_internal.h"
#include "text/unicode.h"

enum { MAX_PIECE_BYTES = 1024 };   /* of Unigram, whose time grows with it */

/* ---- vocabularies ---- */

pith_status pith_read_flat_vocab(pith_ctx *ctx, pith_json_flat *flat, pith_string_map *map, bool *done) {
  const char *key;
  size_t n_bytes;
  int32_t id;
  *done = false;
  PITH_TRY(pith_string_map_reserve(ctx, map, flat->n_members, flat->n_key_bytes));
  pith_status status;
  while ((status = pith_json_flat_next(flat, &key, &n_bytes, &id)) == PITH_PENDING)
    if (id > 2 * PITH_MAX_VOCAB || map->n == flat->n_members || !pith_string_map_insert(map, key, n_bytes, id)) break;
  *done = status == PITH_OK;
  return PITH_OK;
}

/* What pith_read_flat_vocab read is there already. */
static pith_status read_vocab(pith_ctx *ctx, const pith_json *vocab, const char *what, pith_string_map *map) {
  if (!pith_json_is_object(vocab)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the model has no \"vocab\" object", what);
  if (map->n > 0) return PITH_OK;
  size_t n = 0, n_bytes = 0;
  for (const pith_json *item = pith_json_first(vocab); item; item = pith_json_next(item), n++) n_bytes += strlen(pith_json_key(item));
  if (n == 0) return pith_fail(ctx, PITH_E_FORMAT, "%s: the vocabulary is empty", what);
  PITH_TRY(pith_string_map_reserve(ctx, map, n, n_bytes));
  for (const pith_json *item = pith_json_first(vocab); item; item = pith_json_next(item)) {
    const char *key = pith_json_key(item);
    int64_t id;
    if (!pith_json_integer(item, 0, 2 * PITH_MAX_VOCAB, &id))
      return pith_fail(ctx, PITH_E_FORMAT, "%s: the id of token \"%.*s\" is no id", what, PITH_CUT(key));
    pith_string_map_insert(map, key, strlen(key), (int32_t)id);
  }
  return PITH_OK;
}

/* [[piece, score], …]: a piece's id is its place. */
static pith_status read_scored_vocab(pith_ctx *ctx, const pith_json *vocab, const char *what, pith_tokenizer *t) {
  if (!pith_json_is_array(vocab)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the Unigram model has no \"vocab\" list", what);
  size_t n = 0, n_bytes = 0;
  for (const pith_json *item = pith_json_first(vocab); item; item = pith_json_next(item), n++) {
    const char *piece = pith_json_string(pith_json_first(item));
    if (!piece || pith_json_count(item) != 2)
      return pith_fail(ctx, PITH_E_FORMAT, "%s: entry %zu of the vocabulary is no piece with its score", what, n);
    if (strlen(piece) > MAX_PIECE_BYTES)
      return pith_fail(ctx, PITH_E_LIMIT, "%s: entry %zu of the vocabulary has more than %d bytes", what, n, MAX_PIECE_BYTES);
    n_bytes += strlen(piece);
  }
  if (n == 0) return pith_fail(ctx, PITH_E_FORMAT, "%s: the vocabulary is empty", what);
  PITH_TRY(pith_string_map_reserve(ctx, &t->vocab, n, n_bytes));
  PITH_TRY(pith_calloc(ctx, n, sizeof *t->scores, &t->scores));
  double least = 0;
  for (const pith_json *item = pith_json_first(vocab); item; item = pith_json_next(item)) {
    const pith_json *first = pith_json_first(item);
    const char *piece = pith_json_string(first);
    const uint32_t id = t->vocab.n;
    const double score = pith_json_number(pith_json_next(first), NAN);
    if (!isfinite(score)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the score of \"%.*s\" is no number", what, PITH_CUT(piece));
    if (!pith_string_map_insert(&t->vocab, piece, strlen(piece), (int32_t)id))
      return pith_fail(ctx, PITH_E_FORMAT, "%s: the vocabulary has \"%.*s\" twice", what, PITH_CUT(piece));
    t->scores[id] = score;
    if (id == 0 || score < least) least = score;
  }
  t->unk_score = least - 10.0;   /* the library's penalty */
  return pith_string_map_sort(ctx, &t->vocab);
}

/* A name that is not in the vocabulary is an error only where it is needed, as in the library. */
static void read_unk(const pith_json *model, pith_tokenizer *t) {
  const char *unk = pith_json_string(pith_json_get(model, "unk_token"));
  t->unk_id = unk ? pith_string_map_get(&t->vocab, unk, strlen(unk)) : -1;
  t->unk_missing = unk && t->unk_id < 0;
}

static pith_status need_unk(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  const char *unk = pith_json_string(pith_json_get(model, "unk_token"));
  read_unk(model, t);
  if (t->unk_id >= 0) return PITH_OK;
  return pith_fail(ctx, PITH_E_FORMAT, "%s: the unknown token \"%.*s\" is not in the vocabulary", what, PITH_CUT(unk ? unk : ""));
}

static void find_byte_tokens(pith_tokenizer *t) {
  for (int b = 0; b < 256; b++) {
    char name[8];
    t->byte_ids[b] = pith_string_map_get(&t->vocab, name, (size_t)pith_snprintf(name, sizeof name, "<0x%02X>", (unsigned)b));
  }
}

/* A short option; absent, null and "" are the same. */
static pith_status read_affix(pith_ctx *ctx, const pith_json *model, const char *key, const char *what, char out[32]) {
  const pith_json *member = pith_json_get(model, key);
  const char *text = pith_json_string(member);
  if (pith_json_is_null(member)) return PITH_OK;
  if (!text) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be a string", what, key);
  if (strlen(text) > 31) return pith_fail(ctx, PITH_E_LIMIT, "%s: \"%s\" has more than 31 bytes", what, key);
  memcpy(out, text, strlen(text) + 1);
  return PITH_OK;
}

/* ---- WordPiece, WordLevel, Unigram ---- */

static pith_status open_wordpiece(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  const char *prefix;
  int64_t max_chars;
  t->model = PITH_MODEL_WORDPIECE;
  PITH_TRY(pith_part_keys(ctx, model, "unk_token continuing_subword_prefix max_input_chars_per_word vocab", what));
  PITH_TRY(read_vocab(ctx, pith_json_get(model, "vocab"), what, &t->vocab));
  PITH_TRY(need_unk(ctx, model, what, t));
  PITH_TRY(pith_json_need_string(ctx, model, "continuing_subword_prefix", what, &prefix));
  PITH_TRY(pith_json_need_integer(ctx, model, "max_input_chars_per_word", 1, 1 << 20, what, &max_chars));
  PITH_TRY(read_affix(ctx, model, "continuing_subword_prefix", what, t->prefix));
  t->max_chars = (uint32_t)max_chars;
  return PITH_OK;
}

static pith_status open_word_level(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  t->model = PITH_MODEL_WORD_LEVEL;
  PITH_TRY(pith_part_keys(ctx, model, "unk_token vocab", what));
  PITH_TRY(read_vocab(ctx, pith_json_get(model, "vocab"), what, &t->vocab));
  read_unk(model, t);
  return PITH_OK;
}

static pith_status open_unigram(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  int64_t unk = -1;
  t->model = PITH_MODEL_UNIGRAM;
  PITH_TRY(pith_part_keys(ctx, model, "unk_id vocab byte_fallback", what));
  PITH_TRY(read_scored_vocab(ctx, pith_json_get(model, "vocab"), what, t));
  PITH_TRY(pith_part_flag(ctx, model, "byte_fallback", false, what, &t->byte_fallback));
  const pith_json *unk_id = pith_json_get(model, "unk_id");
  if (!pith_json_is_null(unk_id) && !pith_json_integer(unk_id, 0, (int64_t)t->vocab.n - 1, &unk))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"unk_id\" is not in the vocabulary", what);
  t->unk_id = (int32_t)unk;
  find_byte_tokens(t);
  return PITH_OK;
}

/* ---- BPE ---- */

/* A merge is "a b" or ["a", "b"]; finds the two ids and that of what they make. */
static pith_status add_merge(pith_ctx *ctx, const pith_json *item, int32_t rank, const char *what, pith_tokenizer *t, pith_buffer *joined) {
  const char *left = pith_json_string(item), *right;
  size_t n_left;
  if (left) {
    right = strchr(left, ' ');
    if (!right || strchr(right + 1, ' ')) return pith_fail(ctx, PITH_E_FORMAT, "%s: merge %d is no pair", what, (int)rank);
    n_left = (size_t)(right++ - left);
  } else {
    const pith_json *first = pith_json_first(item);
    left = pith_json_string(first);
    right = first && pith_json_next(first) ? pith_json_string(pith_json_next(first)) : NULL;
    if (!left || !right || pith_json_count(item) != 2) return pith_fail(ctx, PITH_E_FORMAT, "%s: merge %d is no pair", what, (int)rank);
    n_left = strlen(left);
  }
  const size_t n_right = strlen(right), n_prefix = strlen(t->prefix);   /* the right part has the prefix, which the whole does not keep */
  if (n_right < n_prefix) return pith_fail(ctx, PITH_E_FORMAT, "%s: merge %d lacks the prefix of what continues a word", what, (int)rank);
  joined->n_bytes = 0;
  PITH_TRY(pith_buffer_append(ctx, joined, left, n_left));
  PITH_TRY(pith_buffer_append(ctx, joined, right + n_prefix, n_right - n_prefix));
  const pith_merge merge = {pith_string_map_get(&t->vocab, left, n_left), pith_string_map_get(&t->vocab, right, n_right), rank,
                            pith_string_map_get(&t->vocab, joined->data, joined->n_bytes)};
  if (merge.left < 0 || merge.right < 0 || merge.id < 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: merge %d speaks of tokens that are not in the vocabulary", what, (int)rank);
  pith_merge_insert(t, &merge);
  return PITH_OK;
}

static pith_status read_merges(pith_ctx *ctx, const pith_json *merges, const char *what, pith_tokenizer *t) {
  if (!pith_json_is_array(merges)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the BPE model has no \"merges\"", what);
  const size_t n = pith_json_count(merges);
  if (n > PITH_MAX_VOCAB) return pith_fail(ctx, PITH_E_LIMIT, "%s: more than %d merges", what, PITH_MAX_VOCAB);
  t->n_merge_slots = 16;
  while (t->n_merge_slots < 2 * n) t->n_merge_slots *= 2;
  PITH_TRY(pith_malloc(ctx, t->n_merge_slots * sizeof *t->merges, &t->merges));
  for (uint32_t i = 0; i < t->n_merge_slots; i++) t->merges[i].left = -1;
  int32_t rank = 0;
  pith_buffer joined = {0};
  pith_status status = PITH_OK;
  for (const pith_json *item = pith_json_first(merges); item && status == PITH_OK; item = pith_json_next(item)) {
    const char *line = pith_json_string(item);
    if (line && strncmp(line, "#version", 8) == 0) continue;
    status = add_merge(ctx, item, rank++, what, t, &joined);
  }
  pith_buffer_free(ctx, &joined);
  return status;
}

static pith_status open_bpe(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  t->model = PITH_MODEL_BPE;
  PITH_TRY(pith_part_keys(ctx, model, "dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk byte_fallback ignore_merges vocab merges",
                          what));
  const pith_json *dropout = pith_json_get(model, "dropout");
  if (!pith_json_is_null(dropout) && pith_json_number(dropout, 1) != 0.0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for BPE with \"dropout\", which Pith does not have", what);
  PITH_TRY(read_vocab(ctx, pith_json_get(model, "vocab"), what, &t->vocab));
  PITH_TRY(read_affix(ctx, model, "continuing_subword_prefix", what, t->prefix));
  PITH_TRY(read_affix(ctx, model, "end_of_word_suffix", what, t->suffix));
  PITH_TRY(pith_part_flag(ctx, model, "byte_fallback", false, what, &t->byte_fallback));
  PITH_TRY(pith_part_flag(ctx, model, "fuse_unk", false, what, &t->fuse_unk));
  PITH_TRY(pith_part_flag(ctx, model, "ignore_merges", false, what, &t->ignore_merges));
  read_unk(model, t);
  find_byte_tokens(t);
  return read_merges(ctx, pith_json_get(model, "merges"), what, t);
}

/* ---- */

pith_status pith_parse_model(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t) {
  static const struct {
    const char *type;
    pith_status (*open)(pith_ctx *ctx, const pith_json *model, const char *what, pith_tokenizer *t);
  } models[] = {{"WordPiece", open_wordpiece}, {"BPE", open_bpe}, {"Unigram", open_unigram}, {"WordLevel", open_word_level}};
  if (!pith_json_is_object(model)) return pith_fail(ctx, PITH_E_FORMAT, "%s has no \"model\": is it a tokenizer.json?", what);
  const char *type = pith_json_string(pith_json_get(model, "type"));
  if (!type) {   /* files before 0.9 of the library name no type */
    type = pith_json_get(model, "merges") ? "BPE" : pith_json_is_array(pith_json_get(model, "vocab")) ? "Unigram"
         : pith_json_get(model, "max_input_chars_per_word") ? "WordPiece" : "WordLevel";
  }
  for (size_t i = 0; i < sizeof models / sizeof *models; i++)
    if (strcmp(type, models[i].type) == 0) return models[i].open(ctx, model, what, t);
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for the model \"%.*s\", which Pith does not have", what, PITH_CUT(type));
}

pith_status pith_unknown_missing(pith_ctx *ctx, const char *word, size_t n_bytes) {
  return pith_fail(ctx, PITH_E_FORMAT, "the tokenizer's vocabulary has neither \"%.*s\" nor an unknown token", pith_cut(word, n_bytes), word);
}
