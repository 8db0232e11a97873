/* Normalisers, pre-tokenizers and decoders of tokenizer.json as lists of operations. What is not known is refused by name. */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

pith_status pith_part_type(pith_ctx *ctx, const pith_json *json, const char *part, const char *what, const char **type) {
  *type = pith_json_string(pith_json_get(json, "type"));
  return *type ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: the %s has no \"type\"", what, part);
}

static bool has_word(const char *words, const char *word) {
  const size_t n = strlen(word);
  for (const char *at = words; *at;) {
    const char *end = strchr(at, ' ');
    if (!end) end = at + strlen(at);
    if ((size_t)(end - at) == n && memcmp(at, word, n) == 0) return true;
    at = *end ? end + 1 : end;
  }
  return false;
}

pith_status pith_part_keys(pith_ctx *ctx, const pith_json *json, const char *known, const char *what) {
  const char *named = pith_json_string(pith_json_get(json, "type")), *type = named ? named : "?";
  for (const pith_json *item = pith_json_first(json); item; item = pith_json_next(item)) {
    const char *key = pith_json_key(item);
    if (strcmp(key, "type") != 0 && !has_word(known, key))
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for \"%.*s\" of \"%.*s\", which Pith does not know", what, PITH_CUT(key), PITH_CUT(type));
  }
  return PITH_OK;
}

pith_status pith_part_flag(pith_ctx *ctx, const pith_json *json, const char *key, bool fallback, const char *what, bool *out) {
  const pith_json *member = pith_json_get(json, key);
  *out = pith_json_is_null(member) ? fallback : pith_json_true(member);
  if (pith_json_is_null(member) || pith_json_is_bool(member)) return PITH_OK;
  return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be true or false", what, key);
}

void pith_text_ops_free(pith_ctx *ctx, pith_text_ops *ops) {
  for (uint32_t i = 0; i < ops->n; i++) {
    pith_free(ctx, ops->ops[i].from);
    pith_free(ctx, ops->ops[i].to);
    pith_regex_close(ctx, ops->ops[i].regex);
    pith_charsmap_close(ctx, ops->ops[i].charsmap);
    pith_unicode_forms_close(ctx, ops->ops[i].forms);
  }
  pith_free(ctx, ops->ops);
  memset(ops, 0, sizeof *ops);
}

static pith_status unsupported(pith_ctx *ctx, const char *part, const char *type, const char *what) {
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for the %s \"%.*s\", which Pith does not have", what, part, PITH_CUT(type));
}

static pith_status add_op(pith_ctx *ctx, pith_text_ops *ops, pith_text_op_kind kind, const char *what, pith_text_op **out) {
  if (ops->n == PITH_MAX_OPS) return pith_fail(ctx, PITH_E_LIMIT, "%s chains more than %d operations", what, PITH_MAX_OPS);
  if (ops->n == ops->capacity) {
    const uint32_t capacity = ops->capacity ? 2 * ops->capacity : 4;
    PITH_TRY(pith_realloc(ctx, &ops->ops, ops->n * sizeof *ops->ops, capacity * sizeof *ops->ops));
    ops->capacity = capacity;
  }
  *out = &ops->ops[ops->n++];
  memset(*out, 0, sizeof **out);
  (*out)->kind = kind;
  return PITH_OK;
}

static pith_status copy_text(pith_ctx *ctx, const pith_json *json, const char *key, const char *what, char **out) {
  const char *text = pith_json_string(json);
  if (!text) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be a string", what, key);
  const size_t n = strlen(text);
  if (n > PITH_MAX_OP_BYTES) return pith_fail(ctx, PITH_E_LIMIT, "%s: \"%s\" has more than %d bytes", what, key, PITH_MAX_OP_BYTES);
  PITH_TRY(pith_malloc(ctx, n + 1, out));
  memcpy(*out, text, n + 1);
  return PITH_OK;
}

static pith_status copy_character(pith_ctx *ctx, const pith_json *json, const char *key, const char *what, char **out) {
  uint32_t c;
  PITH_TRY(copy_text(ctx, json, key, what, out));
  const size_t n = strlen(*out);
  return n > 0 && pith_utf8_decode(*out, n, &c) == n ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be one character", what, key);
}

/* {"String": …} or {"Regex": …} */
static pith_status parse_pattern(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_op *op) {
  const pith_json *pattern = pith_json_get(json, "pattern"), *string = pith_json_get(pattern, "String");
  const char *regex = pith_json_string(pith_json_get(pattern, "Regex"));
  if (!string && !regex) return pith_fail(ctx, PITH_E_FORMAT, "%s: a \"pattern\" that is neither \"String\" nor \"Regex\"", what);
  if (regex) return pith_regex_open(ctx, regex, what, &op->regex);
  PITH_TRY(copy_text(ctx, string, "pattern", what, &op->from));
  return op->from[0] ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: an empty \"pattern\"", what);
}

static pith_status parse_replace(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "pattern content", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_REPLACE, what, &op));
  PITH_TRY(parse_pattern(ctx, json, what, op));
  return copy_text(ctx, pith_json_get(json, "content"), "content", what, &op->to);
}

static pith_status parse_byte_level(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "add_prefix_space trim_offsets use_regex", what));   /* offsets are not asked for */
  PITH_TRY(add_op(ctx, out, PITH_OP_BYTE_LEVEL, what, &op));
  PITH_TRY(pith_part_flag(ctx, json, "add_prefix_space", true, what, &op->add_prefix_space));
  return pith_part_flag(ctx, json, "use_regex", true, what, &op->use_regex);
}

/* `add_prefix_space` is what files before version 0.15 of the library have for `prepend_scheme`. */
static pith_status parse_metaspace(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  static const char *const schemes[] = {"always", "first", "never"};
  pith_text_op *op;
  bool add_prefix;
  PITH_TRY(pith_part_keys(ctx, json, "replacement prepend_scheme split add_prefix_space str_rep", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_METASPACE, what, &op));
  PITH_TRY(copy_character(ctx, pith_json_get(json, "replacement"), "replacement", what, &op->to));
  PITH_TRY(pith_part_flag(ctx, json, "split", true, what, &op->split));
  PITH_TRY(pith_part_flag(ctx, json, "add_prefix_space", true, what, &add_prefix));
  const pith_json *asked = pith_json_get(json, "prepend_scheme");
  const char *scheme = pith_json_string(asked);
  op->prepend = add_prefix ? PITH_PREPEND_ALWAYS : PITH_PREPEND_NEVER;
  if (!asked) return PITH_OK;
  for (size_t i = 0; i < sizeof schemes / sizeof *schemes && scheme; i++)
    if (strcmp(scheme, schemes[i]) == 0) {
      op->prepend = (pith_prepend_scheme)i;
      if (!add_prefix && op->prepend != PITH_PREPEND_NEVER)
        return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"add_prefix_space\" and \"prepend_scheme\" of Metaspace contradict each other", what);
      return PITH_OK;
    }
  return unsupported(ctx, "\"prepend_scheme\"", scheme ? scheme : "", what);
}

typedef pith_status parse_part(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);

/* A Sequence's members; Sequences inside are flattened, as deep as JSON may nest. */
static pith_status parse_sequence(pith_ctx *ctx, const pith_json *json, const char *key, parse_part *parse, const char *what, pith_text_ops *out) {
  const pith_json *list = pith_json_get(json, key);
  PITH_TRY(pith_part_keys(ctx, json, key, what));
  if (!pith_json_is_array(list)) return pith_fail(ctx, PITH_E_FORMAT, "%s: a \"Sequence\" without its list", what);
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) PITH_TRY(parse(ctx, item, what, out));
  return PITH_OK;
}

/* Parts that are their name alone. */
typedef struct bare_part {
  const char *type;
  pith_text_op op;
} bare_part;

static pith_status parse_bare(pith_ctx *ctx, const pith_json *json, const bare_part *parts, size_t n, const char *part, const char *type,
                              const char *what, pith_text_ops *out) {
  pith_text_op *op;
  for (size_t i = 0; i < n; i++) {
    if (strcmp(type, parts[i].type) != 0) continue;
    PITH_TRY(pith_part_keys(ctx, json, "", what));
    PITH_TRY(add_op(ctx, out, parts[i].op.kind, what, &op));
    *op = parts[i].op;
    return op->kind == PITH_OP_UNICODE ? pith_unicode_forms_open(ctx, op->compatible, &op->forms) : PITH_OK;
  }
  return unsupported(ctx, part, type, what);
}

/* ---- normalisers ---- */

static pith_status parse_bert_normalizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "clean_text handle_chinese_chars strip_accents lowercase", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_BERT_NORMALIZER, what, &op));
  PITH_TRY(pith_part_flag(ctx, json, "clean_text", true, what, &op->clean_text));
  PITH_TRY(pith_part_flag(ctx, json, "handle_chinese_chars", true, what, &op->chinese));
  PITH_TRY(pith_part_flag(ctx, json, "lowercase", true, what, &op->lowercase));
  PITH_TRY(pith_part_flag(ctx, json, "strip_accents", op->lowercase, what, &op->strip_accents));   /* null follows lowercase */
  return op->strip_accents ? pith_unicode_forms_open(ctx, false, &op->forms) : PITH_OK;
}

static pith_status parse_trim(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "strip_left strip_right", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_TRIM, what, &op));
  PITH_TRY(pith_part_flag(ctx, json, "strip_left", true, what, &op->trim_left));
  return pith_part_flag(ctx, json, "strip_right", true, what, &op->trim_right);
}

static pith_status parse_prepend(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "prepend", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_PREPEND, what, &op));
  return copy_text(ctx, pith_json_get(json, "prepend"), "prepend", what, &op->to);
}

static pith_status parse_precompiled(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  const char *map;
  PITH_TRY(pith_part_keys(ctx, json, "precompiled_charsmap", what));
  PITH_TRY(pith_json_need_string(ctx, json, "precompiled_charsmap", what, &map));
  PITH_TRY(add_op(ctx, out, PITH_OP_PRECOMPILED, what, &op));
  return pith_charsmap_open(ctx, map, what, &op->charsmap);
}

pith_status pith_parse_normalizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  static const bare_part bare[] = {
      {"NFC", {.kind = PITH_OP_UNICODE, .compose = true}}, {"NFD", {.kind = PITH_OP_UNICODE}},
      {"NFKC", {.kind = PITH_OP_UNICODE, .compose = true, .compatible = true}}, {"NFKD", {.kind = PITH_OP_UNICODE, .compatible = true}},
      {"Lowercase", {.kind = PITH_OP_LOWERCASE}}, {"StripAccents", {.kind = PITH_OP_STRIP_ACCENTS}}, {"Nmt", {.kind = PITH_OP_NMT}},
      {"ByteLevel", {.kind = PITH_OP_BYTE_LEVEL}}};
  const char *type;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(pith_part_type(ctx, json, "normalizer", what, &type));
  if (strcmp(type, "Sequence") == 0) return parse_sequence(ctx, json, "normalizers", pith_parse_normalizer, what, out);
  if (strcmp(type, "BertNormalizer") == 0) return parse_bert_normalizer(ctx, json, what, out);
  if (strcmp(type, "Replace") == 0) return parse_replace(ctx, json, what, out);
  if (strcmp(type, "Prepend") == 0) return parse_prepend(ctx, json, what, out);
  if (strcmp(type, "Strip") == 0) return parse_trim(ctx, json, what, out);
  if (strcmp(type, "Precompiled") == 0) return parse_precompiled(ctx, json, what, out);
  return parse_bare(ctx, json, bare, sizeof bare / sizeof *bare, "normalizer", type, what, out);
}

/* ---- pre-tokenizers ---- */

static pith_status parse_behavior(pith_ctx *ctx, const pith_json *json, bool needed, const char *what, pith_text_op *op) {
  static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  const pith_json *member = pith_json_get(json, "behavior");
  const char *name = pith_json_string(member);
  op->behavior = PITH_ISOLATED;
  if (!member && !needed) return PITH_OK;
  for (size_t i = 0; i < sizeof names / sizeof *names && name; i++)
    if (strcmp(name, names[i]) == 0) {
      op->behavior = (pith_behavior)i;
      return PITH_OK;
    }
  return unsupported(ctx, "\"behavior\"", name ? name : "", what);
}

static pith_status parse_split(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "pattern behavior invert", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_SPLIT, what, &op));
  PITH_TRY(parse_pattern(ctx, json, what, op));
  PITH_TRY(parse_behavior(ctx, json, true, what, op));
  return pith_part_flag(ctx, json, "invert", false, what, &op->invert);
}

static pith_status parse_delimiter(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "delimiter", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_SPLIT, what, &op));
  return copy_character(ctx, pith_json_get(json, "delimiter"), "delimiter", what, &op->from);
}

static pith_status parse_digits(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  bool individual;
  PITH_TRY(pith_part_keys(ctx, json, "individual_digits", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_DIGITS, what, &op));
  PITH_TRY(pith_part_flag(ctx, json, "individual_digits", false, what, &individual));
  op->behavior = individual ? PITH_ISOLATED : PITH_CONTIGUOUS;
  return PITH_OK;
}

static pith_status parse_punctuation(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "behavior", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_PUNCTUATION, what, &op));
  return parse_behavior(ctx, json, false, what, op);
}

pith_status pith_parse_pre_tokenizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  static const bare_part bare[] = {{"BertPreTokenizer", {.kind = PITH_OP_BERT_SPLIT}}, {"Whitespace", {.kind = PITH_OP_WORDS_SPLIT}},
                                   {"WhitespaceSplit", {.kind = PITH_OP_WHITESPACE_SPLIT}}};
  static const struct { const char *type; parse_part *parse; } parts[] = {
      {"ByteLevel", parse_byte_level}, {"Metaspace", parse_metaspace}, {"Split", parse_split}, {"Digits", parse_digits},
      {"Punctuation", parse_punctuation}, {"CharDelimiterSplit", parse_delimiter}};
  const char *type;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(pith_part_type(ctx, json, "pre-tokenizer", what, &type));
  if (strcmp(type, "Sequence") == 0) return parse_sequence(ctx, json, "pretokenizers", pith_parse_pre_tokenizer, what, out);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strcmp(type, parts[i].type) == 0) return parts[i].parse(ctx, json, what, out);
  return parse_bare(ctx, json, bare, sizeof bare / sizeof *bare, "pre-tokenizer", type, what, out);
}

/* ---- decoders ---- */

static pith_status parse_strip(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  int64_t start, stop;
  PITH_TRY(pith_part_keys(ctx, json, "content start stop", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_STRIP, what, &op));
  PITH_TRY(copy_character(ctx, pith_json_get(json, "content"), "content", what, &op->to));
  PITH_TRY(pith_json_need_integer(ctx, json, "start", 0, 1 << 20, what, &start));
  PITH_TRY(pith_json_need_integer(ctx, json, "stop", 0, 1 << 20, what, &stop));
  op->start = (uint32_t)start;
  op->stop = (uint32_t)stop;
  return PITH_OK;
}

static pith_status parse_wordpiece(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "prefix cleanup", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_WORDPIECE, what, &op));
  PITH_TRY(pith_part_flag(ctx, json, "cleanup", true, what, &op->cleanup));
  return copy_text(ctx, pith_json_get(json, "prefix"), "prefix", what, &op->to);
}

static pith_status parse_suffix(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  PITH_TRY(pith_part_keys(ctx, json, "suffix", what));
  PITH_TRY(add_op(ctx, out, PITH_OP_SUFFIX, what, &op));
  PITH_TRY(copy_text(ctx, pith_json_get(json, "suffix"), "suffix", what, &op->from));
  return op->from[0] ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: a BPEDecoder with an empty \"suffix\"", what);
}

pith_status pith_parse_decoder(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  static const bare_part bare[] = {{"ByteFallback", {.kind = PITH_OP_BYTE_FALLBACK}}, {"Fuse", {.kind = PITH_OP_FUSE}}};
  static const struct { const char *type; parse_part *parse; } parts[] = {
      {"ByteLevel", parse_byte_level}, {"Metaspace", parse_metaspace}, {"Replace", parse_replace}, {"Strip", parse_strip},
      {"WordPiece", parse_wordpiece}, {"BPEDecoder", parse_suffix}};
  const char *type;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(pith_part_type(ctx, json, "decoder", what, &type));
  if (strcmp(type, "Sequence") == 0) return parse_sequence(ctx, json, "decoders", pith_parse_decoder, what, out);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strcmp(type, parts[i].type) == 0) return parts[i].parse(ctx, json, what, out);
  return parse_bare(ctx, json, bare, sizeof bare / sizeof *bare, "decoder", type, what, out);
}
