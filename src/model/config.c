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

static pith_status parse_activation(pith_ctx *ctx, const pith_json *json, const char *key, const char *what, pith_activation *out) {
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

const pith_config_keys pith_usual_keys = {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                                          "max_position_embeddings", "hidden_act"};

pith_status pith_config_common(pith_ctx *ctx, const pith_json *json, const pith_config_keys *keys, int32_t default_positions, const char *what, pith_config *out) {
  PITH_TRY(pith_config_size(ctx, json, keys->vocab_size, PITH_MAX_VOCAB, what, &out->vocab_size));
  PITH_TRY(pith_config_size(ctx, json, keys->hidden_size, PITH_MAX_HIDDEN, what, &out->hidden_size));
  PITH_TRY(pith_config_size(ctx, json, keys->n_layers, PITH_MAX_LAYERS, what, &out->n_layers));
  PITH_TRY(pith_config_size(ctx, json, keys->n_heads, PITH_MAX_HEADS, what, &out->n_heads));
  if (keys->intermediate_size) PITH_TRY(pith_config_size(ctx, json, keys->intermediate_size, PITH_MAX_HIDDEN, what, &out->intermediate_size));
  PITH_TRY(pith_config_size_or(ctx, json, keys->max_positions, PITH_MAX_CONTEXT, default_positions, what, &out->max_positions));
  if (out->family->task == PITH_TASK_GENERATE && out->max_positions < 2)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: a context of %d token (\"%s\") leaves none to guess", what, (int)out->max_positions, keys->max_positions);
  out->max_tokens = out->max_positions;
  return parse_activation(ctx, json, keys->activation, what, &out->activation);
}

pith_status pith_config_eps(pith_ctx *ctx, const pith_json *json, const char *key, double fallback, const char *what, pith_config *out) {
  double eps;
  PITH_TRY(pith_config_positive(ctx, json, key, fallback, what, &eps));
  out->norm_eps = (float)eps;
  return PITH_OK;
}

pith_status pith_config_rope(pith_ctx *ctx, const pith_json *json, const char *theta_key, double share, const char *what, pith_config *out) {
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
  PITH_TRY(pith_config_positive(ctx, parameters, "partial_rotary_factor", share, what, &share));
  out->rotary_dim = share <= 1.0 ? (int32_t)(out->head_dim * share) : 0;
  if (out->rotary_dim < 2 || out->rotary_dim % 2 != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: of a head's width of %d, %d cannot be rotated in halves", what, (int)out->head_dim, (int)out->rotary_dim);
  const bool nested = !pith_json_is_null(pith_json_get(parameters, "rope_theta"));
  return pith_config_positive(ctx, nested ? parameters : json, nested ? "rope_theta" : theta_key, 10000.0, what, &out->rope_theta);
}

bool pith_config_true(const pith_json *json, const char *key) {
  const pith_json *member = pith_json_get(json, key);
  return pith_json_is_null(member) || pith_json_true(member);
}

pith_status pith_config_refuse(pith_ctx *ctx, const pith_json *json, const char *const *keys, bool value, const char *what) {
  for (; *keys; keys++) {
    const pith_json *member = pith_json_get(json, *keys);
    if (!pith_json_is_null(member) && pith_json_true(member) == value)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": %s is not supported", what, *keys, value ? "true" : "false");
  }
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

uint32_t pith_encoder_slots(const pith_config *c, int32_t stage, const pith_encoder_names *names, pith_slot out[PITH_MAX_SLOTS]) {
  uint32_t n = 0;
  const pith_layer_shape shape = pith_layer_shape_of(c, stage);
  const int32_t h = c->hidden_size, f = shape.intermediate_size, q = shape.n_heads * c->head_dim;
  if (stage < 0) {
    pith_slot_add(out, &n, PITH_EMBED_TOKENS, c->tied ? PITH_ROLE_HEAD : PITH_ROLE_TABLE, c->vocab_size, h, "embeddings.word_embeddings.weight", 0);
    pith_slot_add(out, &n, PITH_EMBED_POSITIONS, PITH_ROLE_TABLE, c->position_offset + c->max_positions, h, "embeddings.position_embeddings.weight", 0);
    if (c->type_vocab_size > 0)
      pith_slot_add(out, &n, PITH_EMBED_TYPES, PITH_ROLE_TABLE, c->type_vocab_size, h, "embeddings.token_type_embeddings.weight", 0);
    pith_slot_norm(out, &n, PITH_EMBED_NORM, h, "embeddings.LayerNorm", 0, true);
  } else if (stage < c->n_layers) {
    pith_slot_linear(out, &n, PITH_QUERY, q, h, names->query, stage, true);
    pith_slot_linear(out, &n, PITH_KEY, q, h, names->key, stage, true);
    pith_slot_linear(out, &n, PITH_VALUE, q, h, names->value, stage, true);
    pith_slot_linear(out, &n, PITH_ATTENTION_OUT, h, q, names->attention_out, stage, true);
    pith_slot_norm(out, &n, PITH_NORM_1, h, names->norm_1, stage, true);
    pith_slot_linear(out, &n, PITH_UP, f, h, names->up, stage, true);
    pith_slot_linear(out, &n, PITH_DOWN, h, f, names->down, stage, true);
    pith_slot_norm(out, &n, PITH_NORM_2, h, names->norm_2, stage, true);
  } else if (c->head) {
    pith_head_slots(c, out, &n);
  }
  return n;
}

/* Query, key and value, `part` of one tensor each. */
static void view_as(pith_slot *slots, uint32_t from, uint32_t to, const char *name, pith_view view) {
  for (uint32_t i = from; i < to; i++) {
    const size_t length = strlen(slots[i].name);
    pith_snprintf(slots[i].name + length, sizeof slots[i].name - length, "%s", name);
    slots[i].view = view;
  }
}

uint32_t pith_decoder_slots(const pith_config *c, int32_t stage, const pith_decoder_names *names, pith_slot out[PITH_MAX_SLOTS]) {
  static const char *const parts[] = {":query", ":key", ":value"};
  uint32_t n = 0;
  const pith_layer_shape shape = pith_layer_shape_of(c, stage);
  const int32_t h = c->hidden_size, f = shape.intermediate_size, q = shape.n_heads * c->head_dim;
  if (stage < 0) {
    pith_slot_add(out, &n, PITH_EMBED_TOKENS, c->tied ? PITH_ROLE_HEAD : PITH_ROLE_TABLE, c->vocab_size, h, names->tokens, 0);
    if (names->positions) pith_slot_add(out, &n, PITH_EMBED_POSITIONS, PITH_ROLE_TABLE, c->max_positions, h, names->positions, 0);
  } else if (stage < c->n_layers) {
    pith_slot_norm(out, &n, PITH_NORM_1, h, names->norm_1, stage, true);
    for (uint32_t part = 0; part < 3; part++) {
      const uint32_t first = n;
      pith_slot_linear(out, &n, PITH_QUERY + part * (PITH_KEY - PITH_QUERY), q, h, names->qkv, stage, c->qkv_bias);
      view_as(out, first, n, parts[part], (pith_view){3, part, (uint32_t)(names->transposed ? h : c->head_dim), false});
    }
    pith_slot_linear(out, &n, PITH_ATTENTION_OUT, h, q, names->attention_out, stage, c->out_bias);
    pith_slot_norm(out, &n, PITH_NORM_2, h, names->norm_2, stage, true);
    pith_slot_linear(out, &n, PITH_UP, f, h, names->up, stage, c->feed_bias);
    pith_slot_linear(out, &n, PITH_DOWN, h, f, names->down, stage, c->feed_bias);
    for (uint32_t i = 0; i < n; i++) out[i].view.transposed = names->transposed && out[i].role == PITH_ROLE_MATRIX;
  } else {
    pith_slot_norm(out, &n, PITH_FINAL_NORM, h, names->final_norm, 0, true);
    if (!c->tied) pith_slot_add(out, &n, PITH_HEAD, PITH_ROLE_HEAD, c->vocab_size, h, names->head, 0);
  }
  return n;
}
