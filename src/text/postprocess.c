/* Post-processors of tokenizer.json: the special tokens before and after a text. */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

static pith_status add_special(pith_ctx *ctx, int32_t id, bool after, const char *what, pith_tokenizer *t) {
  uint32_t *n = after ? &t->n_after : &t->n_before;
  if (*n == PITH_MAX_TEMPLATE) return pith_fail(ctx, PITH_E_LIMIT, "%s: a template of more than %d tokens", what, PITH_MAX_TEMPLATE);
  (after ? t->after : t->before)[(*n)++] = id;
  return PITH_OK;
}

/* Special tokens before and after $A of a template for a single text. */
static pith_status parse_template(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  const pith_json *single = pith_json_get(json, "single"), *specials = pith_json_get(json, "special_tokens");
  PITH_TRY(pith_part_keys(ctx, json, "single pair special_tokens", what));   /* pairs.c has the second */
  if (!pith_json_is_array(single)) return pith_fail(ctx, PITH_E_FORMAT, "%s: TemplateProcessing has no \"single\"", what);
  bool seen_text = false;
  for (const pith_json *item = pith_json_first(single); item; item = pith_json_next(item)) {
    const pith_json *sequence = pith_json_get(item, "Sequence");
    if (sequence) {
      const char *id = pith_json_string(pith_json_get(sequence, "id"));
      if (!id || strcmp(id, "A") != 0) return pith_fail(ctx, PITH_E_FORMAT, "%s: a template for one text that speaks of a second", what);
      if (seen_text) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: a template that repeats its text", what);
      seen_text = true;
      continue;
    }
    const char *name = pith_json_string(pith_json_get(pith_json_get(item, "SpecialToken"), "id"));
    if (!name) return pith_fail(ctx, PITH_E_FORMAT, "%s: TemplateProcessing has an item that is neither text nor token", what);
    const pith_json *ids = pith_json_get(pith_json_get(specials, name), "ids");
    if (!pith_json_is_array(ids)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the template's \"%.*s\" has no ids", what, PITH_CUT(name));
    for (const pith_json *id = pith_json_first(ids); id; id = pith_json_next(id)) {
      int64_t value;
      if (!pith_json_integer(id, 0, INT32_MAX - 1, &value))
        return pith_fail(ctx, PITH_E_FORMAT, "%s: an id of \"%.*s\" is no id", what, PITH_CUT(name));
      PITH_TRY(add_special(ctx, (int32_t)value, seen_text, what, t));
    }
  }
  return seen_text ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: a template without its text", what);
}

/* ["[CLS]", 101] */
static pith_status parse_pair(pith_ctx *ctx, const pith_json *json, const char *key, bool after, const char *what, pith_tokenizer *t) {
  int64_t id;
  const pith_json *name = pith_json_first(pith_json_get(json, key)), *number = name ? pith_json_next(name) : NULL;
  if (!number || !pith_json_integer(number, 0, INT32_MAX - 1, &id))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: the post-processor's \"%s\" should be a token and its id", what, key);
  return add_special(ctx, (int32_t)id, after, what, t);
}

/* The members of a Sequence add their tokens one around the other; more than one that does so the library itself cannot run. */
static pith_status parse_sequence(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  const pith_json *list = pith_json_get(json, "processors");
  bool adds = false;
  PITH_TRY(pith_part_keys(ctx, json, "processors", what));
  if (!pith_json_is_array(list)) return pith_fail(ctx, PITH_E_FORMAT, "%s: a \"Sequence\" without its list", what);
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) {
    const char *type = pith_json_string(pith_json_get(item, "type"));
    if (adds && type && strcmp(type, "ByteLevel") != 0)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for a Sequence of post-processors with \"%.*s\" behind another, which Pith does not have", what,
                       PITH_CUT(type));
    PITH_TRY(pith_parse_post_processor(ctx, item, what, t));
    adds = adds || (type && strcmp(type, "ByteLevel") != 0);
  }
  return PITH_OK;
}

pith_status pith_parse_post_processor(pith_ctx *ctx, const pith_json *json, const char *what, pith_tokenizer *t) {
  const char *type;
  if (pith_json_is_null(json)) return PITH_OK;
  PITH_TRY(pith_part_type(ctx, json, "post-processor", what, &type));
  if (strcmp(type, "ByteLevel") == 0) return pith_part_keys(ctx, json, "add_prefix_space trim_offsets use_regex", what);   /* it moves offsets alone */
  if (strcmp(type, "TemplateProcessing") == 0) return parse_template(ctx, json, what, t);
  if (strcmp(type, "Sequence") == 0) return parse_sequence(ctx, json, what, t);
  if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
    PITH_TRY(pith_part_keys(ctx, json, "cls sep trim_offsets add_prefix_space", what));
    PITH_TRY(parse_pair(ctx, json, "cls", false, what, t));
    return parse_pair(ctx, json, "sep", true, what, t);
  }
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for the post-processor \"%.*s\", which Pith does not have", what, PITH_CUT(type));
}
