#include "model/config.h"

#include <string.h>

#include "base/format.h"
#include "model/stages.h"

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

pith_status pith_config_activation(pith_ctx *ctx, const pith_json *json, const char *key, const char *what, pith_activation *out) {
  static const struct {
    const char *name;
    pith_activation activation;
  } known[] = {{"gelu", PITH_GELU_ERF}, {"gelu_new", PITH_GELU_TANH}, {"gelu_pytorch_tanh", PITH_GELU_TANH},
               {"silu", PITH_SILU},     {"swish", PITH_SILU},         {"relu", PITH_RELU}};
  const char *name;
  PITH_TRY(pith_json_need_string(ctx, json, key, what, &name));
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i].name, name) == 0) {
      *out = known[i].activation;
      return PITH_OK;
    }
  return pith_fail(ctx, PITH_E_UNSUPPORTED,
                   "%s: \"%s\" is \"%.40s\"; supported are gelu, gelu_new, gelu_pytorch_tanh, silu, swish and relu", what, key, name);
}

pith_status pith_config_heads(pith_ctx *ctx, const char *what, pith_config *out) {
  if (out->hidden_size % out->n_heads != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: %d attention heads do not divide the hidden size of %d", what, (int)out->n_heads,
                     (int)out->hidden_size);
  out->n_kv_heads = out->n_heads;
  out->head_dim = out->hidden_size / out->n_heads;
  return PITH_OK;
}

const pith_size_keys pith_usual_sizes = {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                                         "max_position_embeddings"};

pith_status pith_config_sizes(pith_ctx *ctx, const pith_json *json, const pith_size_keys *keys, int32_t default_positions, const char *what, pith_config *out) {
  PITH_TRY(pith_config_size(ctx, json, keys->vocab_size, PITH_MAX_VOCAB, what, &out->vocab_size));
  PITH_TRY(pith_config_size(ctx, json, keys->hidden_size, PITH_MAX_HIDDEN, what, &out->hidden_size));
  PITH_TRY(pith_config_size(ctx, json, keys->n_layers, PITH_MAX_LAYERS, what, &out->n_layers));
  PITH_TRY(pith_config_size(ctx, json, keys->n_heads, PITH_MAX_HEADS, what, &out->n_heads));
  if (keys->intermediate_size) PITH_TRY(pith_config_size(ctx, json, keys->intermediate_size, PITH_MAX_HIDDEN, what, &out->intermediate_size));
  PITH_TRY(pith_config_size_or(ctx, json, keys->max_positions, PITH_MAX_CONTEXT, default_positions, what, &out->max_positions));
  if (out->family->task == PITH_TASK_GENERATE && out->max_positions < 2)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: a context of %d token (\"%s\") leaves none to guess", what, (int)out->max_positions, keys->max_positions);
  out->max_tokens = out->max_positions;
  return PITH_OK;
}

pith_status pith_config_eps(pith_ctx *ctx, const pith_json *json, const char *key, double fallback, const char *what, pith_config *out) {
  double eps;
  PITH_TRY(pith_config_positive(ctx, json, key, fallback, what, &eps));
  out->norm_eps = (float)eps;
  return PITH_OK;
}

pith_status pith_config_rope(pith_ctx *ctx, const pith_json *json, const char *theta_key, const char *what, pith_config *out) {
  /* transformers 5 moved rope_theta into rope_parameters; before it, scaling stood in rope_scaling. */
  const pith_json *parameters = pith_json_get(json, "rope_parameters"), *scaling = pith_json_get(json, "rope_scaling");
  const pith_json *rules[2] = {parameters, scaling};
  for (int i = 0; i < 2; i++) {
    if (pith_json_is_null(rules[i])) continue;
    if (!pith_json_is_object(rules[i])) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"rope_parameters\" and \"rope_scaling\" should be objects", what);
    const pith_json *type = pith_json_get(rules[i], "rope_type");
    if (pith_json_is_null(type)) type = pith_json_get(rules[i], "type");
    const char *name = pith_json_is_null(type) ? "default" : pith_json_string(type);
    if (!name || strcmp(name, "default") != 0)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: RoPE of type \"%.40s\" is not supported, only \"default\"", what, name ? name : "?");
  }
  out->rotary_dim = out->head_dim;
  const bool nested = !pith_json_is_null(pith_json_get(parameters, "rope_theta"));
  return pith_config_positive(ctx, nested ? parameters : json, nested ? "rope_theta" : theta_key, 10000.0, what, &out->rope_theta);
}

pith_status pith_config_refuse(pith_ctx *ctx, const pith_json *json, const char *const *keys, const char *what) {
  for (; *keys; keys++)
    if (pith_json_true(pith_json_get(json, *keys))) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": true is not supported", what, *keys);
  return PITH_OK;
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

static void add_pair(pith_slot *slots, uint32_t *n, uint32_t id, pith_role role, int32_t rows, int32_t cols, const char *module, int32_t layer, bool bias) {
  char format[PITH_MAX_NAME];
  pith_snprintf(format, sizeof format, "%s.weight", module);
  pith_slot_add(slots, n, id, role, rows, cols, format, layer);
  if (!bias) return;
  pith_snprintf(format, sizeof format, "%s.bias", module);
  pith_slot_add(slots, n, id + 1, PITH_ROLE_VECTOR, 1, role == PITH_ROLE_VECTOR ? cols : rows, format, layer);
}

void pith_slot_linear(pith_slot *slots, uint32_t *n, uint32_t id, int32_t rows, int32_t cols, const char *module, int32_t layer, bool bias) {
  add_pair(slots, n, id, PITH_ROLE_MATRIX, rows, cols, module, layer, bias);
}

void pith_slot_norm(pith_slot *slots, uint32_t *n, uint32_t id, int32_t cols, const char *module, int32_t layer, bool bias) {
  add_pair(slots, n, id, PITH_ROLE_VECTOR, 1, cols, module, layer, bias);
}

void pith_slot_qkv(pith_slot *slots, uint32_t *n, int32_t size, int32_t run, const char *module, int32_t layer, bool bias, bool transposed) {
  static const uint32_t ids[] = {PITH_QUERY, PITH_KEY, PITH_VALUE};
  static const char *const names[] = {":query", ":key", ":value"};
  for (uint32_t part = 0; part < 3; part++) {
    uint32_t i = *n;
    for (pith_slot_linear(slots, n, ids[part], size, size, module, layer, bias); i < *n; i++) {
      const size_t length = strlen(slots[i].name);
      pith_snprintf(slots[i].name + length, sizeof slots[i].name - length, "%s", names[part]);
      slots[i].view = (pith_view){3, part, (uint32_t)run, transposed && slots[i].role == PITH_ROLE_MATRIX};
    }
  }
}
