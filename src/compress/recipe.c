#include "compress/recipe.h"

#include <string.h>

#include "base/format.h"
#include "embedded.h"

const char *pith_recipe_text(const char *name) {
  static const struct {
    const char *name, *text;
  } named[] = {{"int8", pith_recipe_int8}, {"int4", pith_recipe_int4}, {"int4-min", pith_recipe_int4_min}, {"fp16", pith_recipe_fp16},
               {"edge", pith_recipe_edge}, {"tiny", pith_recipe_tiny}, {"lossless-ish", pith_recipe_lossless_ish}};
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

static pith_status parse_encoding(pith_ctx *ctx, const pith_json *json, const char *key, bool table, const char *what, pith_encoding *out) {
  const char *name = pith_json_string(pith_json_get(json, "encoding"));
  if (pith_encoding_find(name, out) && (table || pith_encoding_multiplied(*out))) return PITH_OK;
  char list[128] = "";
  for (int e = 0; e < PITH_N_ENCODINGS; e++)
    if (table || pith_encoding_multiplied((pith_encoding)e))
      pith_snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? ", " : "", pith_encoding_name((pith_encoding)e));
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\" has the encoding \"%.20s\"; supported are %s", what, key, name ? name : "", list);
}

/* A name against a pattern in which each * stands for any number of characters. */
static bool fits(const char *pattern, const char *name) {
  const char *star = NULL, *retry = name;
  while (*name) {
    if (*pattern == '*') {
      star = ++pattern;
      retry = name;
    } else if (*pattern == *name) {
      pattern++;
      name++;
    } else if (star) {   /* the last star takes one more */
      pattern = star;
      name = ++retry;
    } else {
      return false;
    }
  }
  while (*pattern == '*') pattern++;
  return *pattern == '\0';
}

static bool is_u7(pith_encoding encoding) { return pith_encoding_group_multiple(encoding) == PITH_QUAD; }   /* in memory */

static const char *const importances[] = {"obs", "first-order", "wanda", "magnitude"};

/* absent: what holds where the key is not there. The recipes' keys know all but one of the names each. */
static bool parse_importance(const pith_json *json, pith_importance absent, pith_importance unknown, pith_importance *out) {
  const char *name = json ? pith_json_string(json) : importances[absent];
  for (size_t i = 0; name && i < sizeof importances / sizeof *importances; i++)
    if (strcmp(importances[i], name) == 0) {
      *out = (pith_importance)i;
      return *out != unknown;
    }
  return false;
}

static pith_status parse_form(pith_ctx *ctx, const pith_json *json, const char *key, const char *what, pith_sparsity_form *out) {
  static const char *const names[] = {[PITH_SPARSITY_BLOCK] = "block", [PITH_SPARSITY_2OF4] = "2:4", [PITH_SPARSITY_UNSTRUCTURED] = "unstructured"};
  const char *name = pith_json_string(json);
  for (size_t i = PITH_SPARSITY_BLOCK; name && i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) {
      *out = (pith_sparsity_form)i;
      return PITH_OK;
    }
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": the \"form\" of \"sparsity\" should be unstructured, block or 2:4", what, key);
}

/* Which weights go, and that the encoding can store what is left. */
static pith_status parse_sparsity(pith_ctx *ctx, const pith_json *rule, const char *key, const char *what, pith_recipe_rule *out) {
  static const char *const keys[] = {"form", "fraction", "by", NULL};
  const pith_json *json = pith_json_get(rule, "sparsity"), *fraction = pith_json_get(json, "fraction");
  const char *encoding = pith_encoding_name(out->encoding);
  const bool blocks = out->encoding == PITH_ENC_U7_BLOCK, sparse = pith_encoding_sparse(out->encoding);
  if (pith_json_is_null(json)) {
    if (!sparse) return PITH_OK;
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": %s stores sparse weights, and wants \"sparsity\"%s", what, key, encoding, blocks ? " of the form \"block\"" : "");
  }
  if (!sparse && out->encoding != PITH_ENC_U7) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": \"sparsity\" does not apply to %s", what, key, encoding);
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\": \"sparsity\" should be an object", what, key);
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  PITH_TRY(parse_form(ctx, pith_json_get(json, "form"), key, what, &out->sparsity.form));
  if (blocks && out->sparsity.form != PITH_SPARSITY_BLOCK)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": u7-block stores the form \"block\" alone", what, key);
  if (!parse_importance(pith_json_get(json, "by"), PITH_IMPORTANCE_MAGNITUDE, PITH_IMPORTANCE_FIRST_ORDER, &out->sparsity.by))
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": the \"by\" of \"sparsity\" should be magnitude, wanda or obs", what, key);
  if (out->sparsity.form == PITH_SPARSITY_2OF4) {
    if (fraction) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": \"fraction\" does not apply to 2:4", what, key);
    return PITH_OK;
  }
  out->sparsity.fraction = pith_json_number(fraction, 0);
  if (!(out->sparsity.fraction > 0.0 && out->sparsity.fraction < 1.0))
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": the \"fraction\" of \"sparsity\" should be above 0 and below 1", what, key);
  return PITH_OK;
}

/* key: what messages call the rule. table: for weights that are looked up, never multiplied. */
static pith_status parse_rule(pith_ctx *ctx, const pith_json *json, const char *key, bool table, const char *what, pith_recipe_rule *out) {
  static const char *const keys[] = {"name", "encoding", "group_size", "sparsity", NULL};
  const pith_json *group = pith_json_get(json, "group_size");
  memset(out, 0, sizeof *out);
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  PITH_TRY(parse_encoding(ctx, json, key, table, what, &out->encoding));
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

static bool is_share(const pith_json *json) {
  const double f = pith_json_number(json, -1);
  return f >= 0.0 && f < 1.0;
}

static bool are_shares(const pith_json *json) {
  if (pith_json_is_object(json)) return pith_json_count(json) == 2 && is_share(pith_json_get(json, "first")) && is_share(pith_json_get(json, "last"));
  if (!pith_json_is_array(json)) return is_share(json);
  for (const pith_json *item = pith_json_first(json); item; item = pith_json_next(item))
    if (!is_share(item)) return false;
  return pith_json_count(json) > 0;
}

static pith_status parse_shares(pith_ctx *ctx, const pith_json *rule, const char *key, const char *what, const pith_json **out) {
  *out = pith_json_get(rule, key);
  if (!*out || are_shares(*out)) return PITH_OK;
  return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" of \"prune\" should be a fraction from 0 to below 1, a list of one for each layer, or {\"first\", \"last\"}", what, key);
}

static pith_status parse_prune(pith_ctx *ctx, const pith_json *json, const char *what, pith_prune_rule *out) {
  static const char *const keys[] = {"neurons", "heads", "layers", "importance", NULL};
  if (!json) return PITH_OK;
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"prune\" should be an object", what);
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  PITH_TRY(parse_shares(ctx, json, "neurons", what, &out->neurons));
  PITH_TRY(parse_shares(ctx, json, "heads", what, &out->heads));
  out->layers = pith_json_get(json, "layers");
  if (!out->neurons && !out->heads && !out->layers) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"prune\" should name \"neurons\", \"heads\" or \"layers\"", what);
  if (out->layers && (!pith_json_is_array(out->layers) || pith_json_count(out->layers) == 0))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"layers\" of \"prune\" should be a list of the layers that go", what);
  if (parse_importance(pith_json_get(json, "importance"), PITH_IMPORTANCE_OBS, PITH_IMPORTANCE_WANDA, &out->importance)) return PITH_OK;
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: the \"importance\" of \"prune\" should be obs, first-order or magnitude", what);
}

static pith_status parse_migrate(pith_ctx *ctx, const pith_json *json, const char *what, pith_migrate_rule *out) {
  static const char *const keys[] = {"by", "alpha", NULL};
  const pith_json *alpha = pith_json_get(json, "alpha");
  if (!json) return PITH_OK;
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"migrate\" should be an object", what);
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  const char *by = pith_json_string(pith_json_get(json, "by"));
  if (by && strcmp(by, "smoothquant") == 0) out->by = PITH_MIGRATE_SMOOTHQUANT;
  else if (by && strcmp(by, "awq") == 0) out->by = PITH_MIGRATE_AWQ;
  else return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: the \"by\" of \"migrate\" should be smoothquant or awq", what);
  if (alpha && out->by == PITH_MIGRATE_AWQ) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"alpha\" does not apply to awq, which searches for it", what);
  out->alpha = alpha ? pith_json_number(alpha, -1.0) : 0.5;
  if (!(out->alpha >= 0.0 && out->alpha <= 1.0)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"alpha\" of \"migrate\" should be from 0 to 1", what);
  return PITH_OK;
}

static pith_status parse_order(pith_ctx *ctx, const pith_json *json, const char *what, bool *out) {
  const pith_json *order = pith_json_get(json, "order");
  const char *name = pith_json_string(order);
  *out = order != NULL;
  if (!order || (name && strcmp(name, "activations") == 0)) return PITH_OK;
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"order\" should be activations, or not be there", what);
}

/* That each is a rule shows when it is asked for: which encodings it may have depends on the tensor. */
static pith_status parse_tensors(pith_ctx *ctx, const pith_json *json, const char *what) {
  if (!pith_json_is_array(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"tensors\" should be a list", what);
  for (const pith_json *rule = pith_json_first(json); rule; rule = pith_json_next(rule)) {
    const char *name;
    if (!pith_json_is_object(rule)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"tensors\" should hold objects", what);
    PITH_TRY(pith_json_need_string(ctx, rule, "name", what, &name));
  }
  return PITH_OK;
}

static pith_status parse_kind(pith_ctx *ctx, const pith_json *recipe, const char *key, const char *what, pith_recipe_rule *out) {
  const pith_json *json = pith_json_get(recipe, key);
  if (pith_json_get(json, "name")) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": a \"name\" belongs to one of \"tensors\"", what, key);
  return parse_rule(ctx, json, key, strcmp(key, "tables") == 0, what, out);
}

pith_status pith_recipe_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_recipe *out) {
  static const char *const keys[] = {"name", "description", "matrices", "head", "tables", "tensors", "attention", "prune", "migrate", "order", NULL};
  memset(out, 0, sizeof *out);
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: a recipe is a JSON object", what);
  const char *name;
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  PITH_TRY(pith_json_need_string(ctx, json, "name", what, &name));
  if (!*name || strlen(name) >= sizeof out->name) return pith_fail(ctx, PITH_E_FORMAT, "%s: a recipe's name has 1 to 63 bytes", what);
  memcpy(out->name, name, strlen(name) + 1);
  PITH_TRY(parse_prune(ctx, pith_json_get(json, "prune"), what, &out->prune));
  PITH_TRY(parse_migrate(ctx, pith_json_get(json, "migrate"), what, &out->migrate));
  PITH_TRY(parse_order(ctx, json, what, &out->ordered));
  PITH_TRY(parse_kind(ctx, json, "matrices", what, &out->matrices));
  PITH_TRY(parse_kind(ctx, json, "tables", what, &out->tables));
  out->head = out->matrices;
  if (!pith_json_is_null(pith_json_get(json, "tensors"))) out->tensors = pith_json_get(json, "tensors");
  if (out->tensors) PITH_TRY(parse_tensors(ctx, out->tensors, what));
  PITH_TRY(pith_attention_parse(ctx, pith_json_get(json, "attention"), what, &out->attention));
  return pith_json_is_null(pith_json_get(json, "head")) ? PITH_OK : parse_kind(ctx, json, "head", what, &out->head);
}

pith_status pith_recipe_rule_for(pith_ctx *ctx, const pith_recipe *recipe, const pith_slot *slot, pith_recipe_rule *out) {
  for (const pith_json *rule = pith_json_first(recipe->tensors); rule; rule = pith_json_next(rule))
    if (fits(pith_json_string(pith_json_get(rule, "name")), slot->name))
      return parse_rule(ctx, rule, slot->name, slot->role == PITH_ROLE_TABLE, "the recipe", out);
  /* A label's row decides alone, and all of them are less than a thousandth of the bytes: they keep half precision unless named. */
  static const pith_recipe_rule labels = {.encoding = PITH_ENC_F16};
  *out = slot->role == PITH_ROLE_LABELS ? labels : slot->role == PITH_ROLE_TABLE ? recipe->tables : slot->role == PITH_ROLE_HEAD ? recipe->head : recipe->matrices;
  return PITH_OK;
}

bool pith_recipe_calibrates(const pith_config *config, int32_t stage, const pith_slot *slot) {
  return slot->role == PITH_ROLE_MATRIX && stage < config->n_layers;
}

/* That a rule which looks at texts has some. */
static pith_status check_texts(pith_ctx *ctx, const pith_slot *slot, const pith_recipe_rule *rule, bool calibrated, bool reached) {
  if (rule->sparsity.form == PITH_SPARSITY_NONE || rule->sparsity.by == PITH_IMPORTANCE_MAGNITUDE || (calibrated && reached)) return PITH_OK;
  const char *by = importances[rule->sparsity.by];
  if (!reached)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the recipe's \"sparsity\" of \"%s\" is by \"%s\", which is for the matrices of layers alone: give it another rule", slot->name, by);
  return pith_fail(ctx, PITH_E_ARGUMENT, "the recipe's \"sparsity\" of \"%s\" is by \"%s\", which looks at texts: give some to calibrate with, or let it be by \"magnitude\"", slot->name, by);
}

pith_status pith_recipe_check(pith_ctx *ctx, const pith_recipe *recipe, const pith_config *config, bool calibrated, bool *solves) {
  pith_slot slots[PITH_MAX_SLOTS];
  *solves = false;
  for (int32_t stage = -1; stage <= config->n_layers; stage++) {
    const uint32_t n = config->family->slots(config, stage, slots);
    for (uint32_t i = 0; i < n; i++) {
      pith_recipe_rule rule;
      if (slots[i].role == PITH_ROLE_VECTOR) continue;
      PITH_TRY(pith_recipe_rule_for(ctx, recipe, &slots[i], &rule));
      PITH_TRY(check_texts(ctx, &slots[i], &rule, calibrated, pith_recipe_calibrates(config, stage, &slots[i])));
      if (recipe->ordered && rule.sparsity.form != PITH_SPARSITY_NONE && rule.sparsity.by != PITH_IMPORTANCE_MAGNITUDE)
        return pith_fail(ctx, PITH_E_UNSUPPORTED, "the recipe's \"order\" does not go with the \"sparsity\" of \"%s\": what goes is chosen among columns as they lie", slots[i].name);
      *solves = *solves || (rule.sparsity.form != PITH_SPARSITY_NONE && rule.sparsity.by == PITH_IMPORTANCE_OBS);
    }
  }
  for (const pith_json *rule = pith_json_first(recipe->tensors); rule; rule = pith_json_next(rule)) {
    const char *name = pith_json_string(pith_json_get(rule, "name"));
    bool found = false;
    for (int32_t stage = -1; stage <= config->n_layers && !found; stage++) {
      const uint32_t n = config->family->slots(config, stage, slots);
      for (uint32_t i = 0; i < n && !found; i++) found = slots[i].role != PITH_ROLE_VECTOR && fits(name, slots[i].name);
    }
    if (!found) return pith_fail(ctx, PITH_E_NOT_FOUND, "the recipe names the tensor \"%.120s\", and the model has no matrix or table of that name", name);
  }
  return PITH_OK;
}
