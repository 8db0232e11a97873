#include "compress/recipe.h"

#include <string.h>

#include "base/format.h"
#include "embedded.h"

const char *pith_recipe_text(const char *name) {
  static const struct {
    const char *name, *text;
  } named[] = {{"int8", pith_recipe_int8}, {"int4", pith_recipe_int4}, {"int4-min", pith_recipe_int4_min}, {"fp16", pith_recipe_fp16}};
  for (size_t i = 0; i < sizeof named / sizeof *named; i++)
    if (strcmp(named[i].name, name) == 0) return named[i].text;
  return NULL;
}

static pith_status refuse_unknown(pith_ctx *ctx, const pith_json *object, const char *const *known, const char *what) {
  for (const pith_json *member = pith_json_first(object); member; member = pith_json_next(member)) {
    const char *const *k = known;
    while (*k && strcmp(*k, pith_json_key(member)) != 0) k++;
    if (!*k) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%.60s\" is no part of a recipe that this Pith knows", what, pith_json_key(member));
  }
  return PITH_OK;
}

static pith_status parse_encoding(pith_ctx *ctx, const pith_json *json, const char *key, const char *what, pith_encoding *out) {
  const bool table = strcmp(key, "tables") == 0;
  const char *name = pith_json_string(pith_json_get(json, "encoding"));
  if (pith_encoding_find(name, out) && (table || pith_encoding_multiplied(*out))) return PITH_OK;
  char list[128] = "";
  for (int e = 0; e < PITH_N_ENCODINGS; e++)
    if (table || pith_encoding_multiplied((pith_encoding)e))
      pith_snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? ", " : "", pith_encoding_name((pith_encoding)e));
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\" has the encoding \"%.20s\"; supported are %s", what, key, name ? name : "", list);
}

static bool is_u7(pith_encoding encoding) { return encoding == PITH_ENC_U7 || pith_encoding_sparse(encoding); }

/* Which weights go, and that the encoding can store what is left. */
static pith_status parse_sparsity(pith_ctx *ctx, const pith_json *rule, const char *key, const char *what, pith_recipe_rule *out) {
  static const char *const keys[] = {"form", "fraction", NULL};
  const pith_json *json = pith_json_get(rule, "sparsity"), *fraction = pith_json_get(json, "fraction");
  const char *encoding = pith_encoding_name(out->encoding), *wanted = out->encoding == PITH_ENC_U7_BLOCK ? "block" : out->encoding == PITH_ENC_U7_2OF4 ? "2:4" : NULL;
  if (pith_json_is_null(json)) {
    if (!wanted) return PITH_OK;
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": %s stores sparse weights, and wants \"sparsity\" of the form \"%s\"", what, key, encoding, wanted);
  }
  if (!is_u7(out->encoding)) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": \"sparsity\" does not apply to %s", what, key, encoding);
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\": \"sparsity\" should be an object", what, key);
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  const char *form = pith_json_string(pith_json_get(json, "form"));
  if (form && strcmp(form, "block") == 0) out->sparsity.form = PITH_SPARSITY_BLOCK;
  else if (form && strcmp(form, "2:4") == 0) out->sparsity.form = PITH_SPARSITY_2OF4;
  else return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": the \"form\" of \"sparsity\" should be block or 2:4", what, key);
  if (wanted && strcmp(form, wanted) != 0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": %s stores the form \"%s\" alone", what, key, encoding, wanted);
  if (out->sparsity.form == PITH_SPARSITY_2OF4) {
    if (fraction) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": \"fraction\" does not apply to 2:4", what, key);
    return PITH_OK;
  }
  out->sparsity.fraction = pith_json_number(fraction, 0);
  if (!(out->sparsity.fraction > 0.0 && out->sparsity.fraction < 1.0))
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": the \"fraction\" of \"sparsity\" should be above 0 and below 1", what, key);
  return PITH_OK;
}

static pith_status parse_rule(pith_ctx *ctx, const pith_json *recipe, const char *key, const char *what, pith_recipe_rule *out) {
  static const char *const keys[] = {"encoding", "group_size", "sparsity", NULL};
  const pith_json *json = pith_json_get(recipe, key), *group = pith_json_get(json, "group_size");
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  PITH_TRY(parse_encoding(ctx, json, key, what, &out->encoding));
  PITH_TRY(parse_sparsity(ctx, json, key, what, out));
  if (pith_encoding_group_multiple(out->encoding) == 0) {
    if (group) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": \"group_size\" does not apply to %s", what, key, pith_encoding_name(out->encoding));
    return PITH_OK;
  }
  out->group_size = is_u7(out->encoding) ? 64 : 32;
  if (pith_json_is_null(group)) return PITH_OK;
  const char *row = pith_json_string(group);
  int64_t size;
  if (row && strcmp(row, "row") == 0 && is_u7(out->encoding)) out->group_size = 0;
  else if (pith_json_integer(group, 32, 128, &size) && (size == 32 || size == 64 || size == 128)) out->group_size = (uint32_t)size;
  else return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": \"group_size\" should be 32, 64 or 128, or for u7 \"row\"", what, key);
  return PITH_OK;
}

pith_status pith_recipe_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_recipe *out) {
  static const char *const keys[] = {"name", "description", "matrices", "head", "tables", "attention", NULL};
  memset(out, 0, sizeof *out);
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: a recipe is a JSON object", what);
  const char *name;
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  PITH_TRY(pith_json_need_string(ctx, json, "name", what, &name));
  if (!*name || strlen(name) >= sizeof out->name) return pith_fail(ctx, PITH_E_FORMAT, "%s: a recipe's name has 1 to 63 bytes", what);
  memcpy(out->name, name, strlen(name) + 1);
  PITH_TRY(parse_rule(ctx, json, "matrices", what, &out->matrices));
  PITH_TRY(parse_rule(ctx, json, "tables", what, &out->tables));
  out->head = out->matrices;
  PITH_TRY(pith_attention_parse(ctx, pith_json_get(json, "attention"), what, &out->attention));
  return pith_json_is_null(pith_json_get(json, "head")) ? PITH_OK : parse_rule(ctx, json, "head", what, &out->head);
}

const pith_recipe_rule *pith_recipe_rule_of(const pith_recipe *recipe, pith_role role) {
  /* A label's row decides alone, and all of them are less than a thousandth of the bytes: they keep half precision whatever the recipe. */
  static const pith_recipe_rule labels = {.encoding = PITH_ENC_F16};
  if (role == PITH_ROLE_LABELS) return &labels;
  return role == PITH_ROLE_TABLE ? &recipe->tables : role == PITH_ROLE_HEAD ? &recipe->head : &recipe->matrices;
}
