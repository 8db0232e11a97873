#include "compress/recipe.h"

#include <stdio.h>
#include <string.h>

#include "embedded.h"

const char *pith_recipe_text(const char *name) {
  if (strcmp(name, "int8") == 0) return pith_recipe_int8;
  if (strcmp(name, "fp16") == 0) return pith_recipe_fp16;
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

static pith_status parse_encoding(pith_ctx *ctx, const pith_json *json, const char *key, pith_encoding last, const char *what, pith_encoding *out) {
  const char *name = pith_json_string(pith_json_get(json, "encoding"));
  for (int e = PITH_ENC_F32; e <= (int)last; e++)
    if (name && strcmp(name, pith_encoding_name((pith_encoding)e)) == 0) {
      *out = (pith_encoding)e;
      return PITH_OK;
    }
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\" has the encoding \"%.20s\"; supported are f32, f16 and u7%s", what, key, name ? name : "",
                   last == PITH_ENC_U8_ROW ? ", and u8-row" : "");
}

pith_status pith_recipe_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_recipe *out) {
  static const char *const keys[] = {"name", "description", "matrices", "tables", NULL};
  static const char *const matrix_keys[] = {"encoding", "group_size", NULL};
  memset(out, 0, sizeof *out);
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: a recipe is a JSON object", what);
  const pith_json *matrices = pith_json_get(json, "matrices"), *tables = pith_json_get(json, "tables");
  const char *name;
  PITH_TRY(refuse_unknown(ctx, json, keys, what));
  PITH_TRY(refuse_unknown(ctx, matrices, matrix_keys, what));
  PITH_TRY(refuse_unknown(ctx, tables, matrix_keys, what));
  PITH_TRY(pith_json_need_string(ctx, json, "name", what, &name));
  if (!*name || strlen(name) >= sizeof out->name) return pith_fail(ctx, PITH_E_FORMAT, "%s: a recipe's name has 1 to 63 bytes", what);
  memcpy(out->name, name, strlen(name) + 1);
  PITH_TRY(parse_encoding(ctx, matrices, "matrices", PITH_ENC_U7, what, &out->matrices));
  PITH_TRY(parse_encoding(ctx, tables, "tables", PITH_ENC_U8_ROW, what, &out->tables));
  const pith_json *group = pith_json_get(matrices, "group_size");
  if (pith_json_get(tables, "group_size") && out->tables != PITH_ENC_U7)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"group_size\" of tables applies to u7 alone", what);
  if (out->matrices != PITH_ENC_U7 && group) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"group_size\" applies to u7 alone", what);
  out->group_size = 64;
  if (pith_json_is_null(group)) return PITH_OK;
  const char *row = pith_json_string(group);
  int64_t size;
  if (row && strcmp(row, "row") == 0) {
    out->group_size = 0;
  } else if (pith_json_integer(group, 32, 128, &size) && (size == 32 || size == 64 || size == 128)) {
    out->group_size = (uint32_t)size;
  } else {
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"group_size\" should be 32, 64, 128 or \"row\"", what);
  }
  return PITH_OK;
}
