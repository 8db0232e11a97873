#include "model/config.h"

#include <string.h>

#include "base/format.h"

pith_status pith_config_size(pith_ctx *ctx, const pith_json *json, const char *key, int64_t high, const char *what, int32_t *out) {
  int64_t value;
  PITH_TRY(pith_json_need_integer(ctx, json, key, 1, high, what, &value));
  *out = (int32_t)value;
  return PITH_OK;
}

pith_status pith_config_size_or(pith_ctx *ctx, const pith_json *json, const char *key, int64_t high, int32_t fallback, const char *what,
                                int32_t *out) {
  *out = fallback;
  if (pith_json_is_null(pith_json_get(json, key))) return PITH_OK;
  return pith_config_size(ctx, json, key, high, what, out);
}

pith_status pith_config_positive(pith_ctx *ctx, const pith_json *json, const char *key, double fallback, const char *what, double *out) {
  const pith_json *member = pith_json_get(json, key);
  *out = fallback;
  if (pith_json_is_null(member)) return PITH_OK;
  const double value = pith_json_number(member, -1);
  if (!pith_json_is_number(member) || !(value > 0) || !(value < 1e30))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be a positive number", what, key);
  *out = value;
  return PITH_OK;
}

pith_status pith_config_activation(pith_ctx *ctx, const pith_json *json, const char *what, pith_activation *out) {
  static const struct {
    const char *name;
    pith_activation activation;
  } known[] = {{"gelu", PITH_GELU_ERF}, {"gelu_new", PITH_GELU_TANH}, {"gelu_pytorch_tanh", PITH_GELU_TANH},
               {"silu", PITH_SILU},     {"swish", PITH_SILU},         {"relu", PITH_RELU}};
  const char *name;
  PITH_TRY(pith_json_need_string(ctx, json, "hidden_act", what, &name));
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, name) == 0) {
      *out = known[i].activation;
      return PITH_OK;
    }
  return pith_fail(ctx, PITH_E_UNSUPPORTED,
                   "%s: \"hidden_act\" is \"%.40s\"; supported are gelu, gelu_new, gelu_pytorch_tanh, silu, swish and relu", what, name);
}

static pith_status add_eos(pith_ctx *ctx, const pith_json *value, const char *what, pith_config *out) {
  int64_t id;
  if (!pith_json_integer(value, 0, out->vocab_size - 1, &id))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"eos_token_id\" should hold ids below the vocabulary's %d", what, (int)out->vocab_size);
  if (out->n_eos == PITH_MAX_EOS) return pith_fail(ctx, PITH_E_LIMIT, "%s: \"eos_token_id\" has more than %d ids", what, PITH_MAX_EOS);
  out->eos_ids[out->n_eos++] = (int32_t)id;
  return PITH_OK;
}

pith_status pith_config_special_ids(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  const pith_json *eos = pith_json_get(json, "eos_token_id"), *bos = pith_json_get(json, "bos_token_id");
  if (pith_json_is_array(eos)) {
    for (const pith_json *item = pith_json_first(eos); item; item = pith_json_next(item)) PITH_TRY(add_eos(ctx, item, what, out));
  } else if (!pith_json_is_null(eos)) {
    PITH_TRY(add_eos(ctx, eos, what, out));
  }
  int64_t id;
  if (!pith_json_is_null(bos)) {
    if (!pith_json_integer(bos, 0, out->vocab_size - 1, &id))
      return pith_fail(ctx, PITH_E_FORMAT, "%s: \"bos_token_id\" should be an id below the vocabulary's %d", what, (int)out->vocab_size);
    out->bos_id = (int32_t)id;
  }
  return PITH_OK;
}

void pith_slot_add(pith_slot *slots, uint32_t *n, uint32_t id, pith_role role, int32_t rows, int32_t cols, const char *format, int32_t layer) {
  pith_slot *slot = &slots[(*n)++];
  memset(slot, 0, sizeof *slot);
  /* `format` is a family's own literal with at most one %d: no caller passes outside text. */
  const char *mark = strchr(format, '%');
  if (mark)
    pith_snprintf(slot->name, sizeof slot->name, "%.*s%d%s", (int)(mark - format), format, (int)layer, mark + 2);
  else
    pith_snprintf(slot->name, sizeof slot->name, "%s", format);
  slot->id = id;
  slot->role = role;
  slot->rows = (uint32_t)rows;
  slot->cols = (uint32_t)cols;
}
