/* The parts of tokenizer.json as lists of operations. What is not known is refused by name. */
#include <string.h>

#include "text/text_internal.h"

static pith_status type_of(pith_ctx *ctx, const pith_json *json, const char *part, const char *what, const char **type) {
  *type = pith_json_string(pith_json_get(json, "type"));
  return *type ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: the %s has no \"type\"", what, part);
}

static pith_status unsupported(pith_ctx *ctx, const char *part, const char *type, const char *what) {
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for the %s \"%.60s\", which Pith does not have", what, part, type);
}

static pith_status add_op(pith_ctx *ctx, pith_text_ops *ops, pith_text_op_kind kind, const char *what, pith_text_op **out) {
  if (ops->n == PITH_MAX_OPS) return pith_fail(ctx, PITH_E_LIMIT, "%s chains more than %d operations", what, PITH_MAX_OPS);
  *out = &ops->ops[ops->n++];
  memset(*out, 0, sizeof **out);
  (*out)->kind = kind;
  return PITH_OK;
}

static pith_status copy_short(pith_ctx *ctx, const pith_json *json, const char *key, const char *what, char out[32]) {
  const char *text = pith_json_string(json);
  if (!text) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be a string", what, key);
  if (strlen(text) >= 32) return pith_fail(ctx, PITH_E_LIMIT, "%s: \"%s\" has more than 31 bytes", what, key);
  memcpy(out, text, strlen(text) + 1);
  return PITH_OK;
}

/* Missing is the library's own default. */
static bool flag(const pith_json *json, const char *key, bool fallback) {
  const pith_json *member = pith_json_get(json, key);
  return pith_json_is_null(member) ? fallback : pith_json_true(member);
}

static pith_status parse_replace(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  const pith_json *pattern = pith_json_get(pith_json_get(json, "pattern"), "String");
  if (!pattern) return unsupported(ctx, "pattern of Replace", "Regex", what);
  PITH_TRY(add_op(ctx, out, PITH_OP_REPLACE, what, &op));
  PITH_TRY(copy_short(ctx, pattern, "pattern", what, op->from));
  if (!op->from[0]) return pith_fail(ctx, PITH_E_FORMAT, "%s: an empty pattern to replace", what);
  return copy_short(ctx, pith_json_get(json, "content"), "content", what, op->to);
}

typedef pith_status parse_part(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out);

/* A Sequence's members, one level: the library flattens what it nests. */
static pith_status parse_sequence(pith_ctx *ctx, const pith_json *list, parse_part *parse, const char *what, pith_text_ops *out) {
  if (!pith_json_is_array(list)) return pith_fail(ctx, PITH_E_FORMAT, "%s: a \"Sequence\" without its list", what);
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) {
    const char *type = pith_json_string(pith_json_get(item, "type"));
    if (type && strcmp(type, "Sequence") == 0) return unsupported(ctx, "component", "Sequence inside a Sequence", what);
    PITH_TRY(parse(ctx, item, what, out));
  }
  return PITH_OK;
}

pith_status pith_parse_normalizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  const char *type;
  pith_text_op *op;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(type_of(ctx, json, "normalizer", what, &type));
  if (strcmp(type, "Sequence") == 0) return parse_sequence(ctx, pith_json_get(json, "normalizers"), pith_parse_normalizer, what, out);
  if (strcmp(type, "Replace") == 0) return parse_replace(ctx, json, what, out);
  if (strcmp(type, "BertNormalizer") == 0) {
    PITH_TRY(add_op(ctx, out, PITH_OP_BERT_NORMALIZER, what, &op));
    op->clean_text = flag(json, "clean_text", true);
    op->chinese = flag(json, "handle_chinese_chars", true);
    op->lowercase = flag(json, "lowercase", true);
    op->strip_accents = flag(json, "strip_accents", op->lowercase);   /* null follows lowercase */
    return PITH_OK;
  }
  if (strcmp(type, "Prepend") == 0) {
    PITH_TRY(add_op(ctx, out, PITH_OP_PREPEND, what, &op));
    return copy_short(ctx, pith_json_get(json, "prepend"), "prepend", what, op->to);
  }
  if (strcmp(type, "Lowercase") == 0) return add_op(ctx, out, PITH_OP_LOWERCASE, what, &op);
  if (strcmp(type, "StripAccents") == 0) return add_op(ctx, out, PITH_OP_STRIP_ACCENTS, what, &op);
  if (strcmp(type, "NFD") == 0) return add_op(ctx, out, PITH_OP_NFD, what, &op);
  return unsupported(ctx, "normalizer", type, what);
}

pith_status pith_parse_pre_tokenizer(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  const char *type;
  pith_text_op *op;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(type_of(ctx, json, "pre-tokenizer", what, &type));
  if (strcmp(type, "Sequence") == 0) return parse_sequence(ctx, pith_json_get(json, "pretokenizers"), pith_parse_pre_tokenizer, what, out);
  if (strcmp(type, "BertPreTokenizer") == 0) return add_op(ctx, out, PITH_OP_BERT_SPLIT, what, &op);
  if (strcmp(type, "WhitespaceSplit") == 0) return add_op(ctx, out, PITH_OP_WHITESPACE_SPLIT, what, &op);
  if (strcmp(type, "ByteLevel") == 0) {
    PITH_TRY(add_op(ctx, out, PITH_OP_BYTE_LEVEL, what, &op));
    op->add_prefix_space = flag(json, "add_prefix_space", true);
    op->use_regex = flag(json, "use_regex", true);
    return PITH_OK;
  }
  return unsupported(ctx, "pre-tokenizer", type, what);
}

static pith_status parse_strip(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  pith_text_op *op;
  int64_t start, stop;
  PITH_TRY(add_op(ctx, out, PITH_OP_STRIP, what, &op));
  PITH_TRY(copy_short(ctx, pith_json_get(json, "content"), "content", what, op->to));
  PITH_TRY(pith_json_need_integer(ctx, json, "start", 0, 1 << 20, what, &start));
  PITH_TRY(pith_json_need_integer(ctx, json, "stop", 0, 1 << 20, what, &stop));
  op->start = (uint32_t)start;
  op->stop = (uint32_t)stop;
  return op->to[0] ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: a Strip decoder without its character", what);
}

pith_status pith_parse_decoder(pith_ctx *ctx, const pith_json *json, const char *what, pith_text_ops *out) {
  const char *type;
  pith_text_op *op;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(type_of(ctx, json, "decoder", what, &type));
  if (strcmp(type, "Sequence") == 0) return parse_sequence(ctx, pith_json_get(json, "decoders"), pith_parse_decoder, what, out);
  if (strcmp(type, "Replace") == 0) return parse_replace(ctx, json, what, out);
  if (strcmp(type, "Strip") == 0) return parse_strip(ctx, json, what, out);
  if (strcmp(type, "ByteLevel") == 0) return add_op(ctx, out, PITH_OP_BYTE_LEVEL, what, &op);
  if (strcmp(type, "ByteFallback") == 0) return add_op(ctx, out, PITH_OP_BYTE_FALLBACK, what, &op);
  if (strcmp(type, "Fuse") == 0) return add_op(ctx, out, PITH_OP_FUSE, what, &op);
  if (strcmp(type, "WordPiece") == 0) {
    PITH_TRY(add_op(ctx, out, PITH_OP_WORDPIECE, what, &op));
    op->cleanup = flag(json, "cleanup", true);
    return copy_short(ctx, pith_json_get(json, "prefix"), "prefix", what, op->to);
  }
  return unsupported(ctx, "decoder", type, what);
}

/* Special tokens before and after $A of a template for a single text. */
static pith_status parse_template(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  const pith_json *single = pith_json_get(json, "single"), *specials = pith_json_get(json, "special_tokens");
  if (!pith_json_is_array(single)) return pith_fail(ctx, PITH_E_FORMAT, "%s: TemplateProcessing has no \"single\"", what);
  bool seen_text = false;
  for (const pith_json *item = pith_json_first(single); item; item = pith_json_next(item)) {
    if (pith_json_get(item, "Sequence")) {
      if (seen_text) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: a template that repeats its text", what);
      seen_text = true;
      continue;
    }
    const char *name = pith_json_string(pith_json_get(pith_json_get(item, "SpecialToken"), "id"));
    if (!name) return pith_fail(ctx, PITH_E_FORMAT, "%s: TemplateProcessing has an item that is neither text nor token", what);
    const pith_json *ids = pith_json_get(pith_json_get(specials, name), "ids");
    if (!pith_json_is_array(ids)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the template's \"%.60s\" has no ids", what, name);
    for (const pith_json *id = pith_json_first(ids); id; id = pith_json_next(id)) {
      int64_t value;
      uint32_t *n = seen_text ? &t->n_after : &t->n_before;
      if (!pith_json_integer(id, 0, INT32_MAX - 1, &value)) return pith_fail(ctx, PITH_E_FORMAT, "%s: an id of \"%.60s\" is no id", what, name);
      if (*n == PITH_MAX_TEMPLATE) return pith_fail(ctx, PITH_E_LIMIT, "%s: a template of more than %d tokens", what, PITH_MAX_TEMPLATE);
      (seen_text ? t->after : t->before)[(*n)++] = (int32_t)value;
    }
  }
  return seen_text ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: a template without its text", what);
}

/* ["[CLS]", 101] */
static pith_status parse_pair(pith_ctx *ctx, const pith_json *pair, const char *key, const char *what, int32_t *out) {
  int64_t id;
  const pith_json *name = pith_json_first(pair), *number = name ? pith_json_next(name) : NULL;
  if (!number || !pith_json_integer(number, 0, INT32_MAX - 1, &id))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: the post-processor's \"%s\" should be a token and its id", what, key);
  *out = (int32_t)id;
  return PITH_OK;
}

pith_status pith_parse_post_processor(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  const char *type;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(type_of(ctx, json, "post-processor", what, &type));
  if (strcmp(type, "ByteLevel") == 0) return PITH_OK;   /* it moves offsets alone */
  if (strcmp(type, "TemplateProcessing") == 0) return parse_template(ctx, json, what, t);
  if (strcmp(type, "Sequence") == 0) {
    for (const pith_json *p = pith_json_first(pith_json_get(json, "processors")); p; p = pith_json_next(p)) {
      const char *inner = pith_json_string(pith_json_get(p, "type"));
      if (inner && strcmp(inner, "Sequence") == 0) return unsupported(ctx, "post-processor", "Sequence inside a Sequence", what);
      PITH_TRY(pith_parse_post_processor(ctx, p, what, t));
    }
    return PITH_OK;
  }
  if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
    PITH_TRY(parse_pair(ctx, pith_json_get(json, "cls"), "cls", what, &t->before[0]));
    PITH_TRY(parse_pair(ctx, pith_json_get(json, "sep"), "sep", what, &t->after[0]));
    t->n_before = t->n_after = 1;
    return PITH_OK;
  }
  return unsupported(ctx, "post-processor", type, what);
}
