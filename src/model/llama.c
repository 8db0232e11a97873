/* Llama-type decoders: RMSNorm before attention and before the feed-forward, rotate-half RoPE, grouped-query attention,
 * SwiGLU, tied or untied head. Llama, SmolLM and their likes. */
#include <string.h>

#include "model/config.h"
#include "model/stages.h"

static const char *const architectures[] = {"LlamaForCausalLM", NULL};
static const char *const prefixes[] = {"", NULL};

static pith_status parse_rope(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
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
  const bool nested = !pith_json_is_null(pith_json_get(parameters, "rope_theta"));
  return pith_config_positive(ctx, nested ? parameters : json, "rope_theta", 10000.0, what, &out->rope_theta);
}

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_size(ctx, json, "vocab_size", PITH_MAX_VOCAB, what, &out->vocab_size));
  PITH_TRY(pith_config_size(ctx, json, "hidden_size", PITH_MAX_HIDDEN, what, &out->hidden_size));
  PITH_TRY(pith_config_size(ctx, json, "intermediate_size", PITH_MAX_HIDDEN, what, &out->intermediate_size));
  PITH_TRY(pith_config_size(ctx, json, "num_hidden_layers", PITH_MAX_LAYERS, what, &out->n_layers));
  PITH_TRY(pith_config_size(ctx, json, "num_attention_heads", PITH_MAX_HEADS, what, &out->n_heads));
  PITH_TRY(pith_config_size_or(ctx, json, "num_key_value_heads", PITH_MAX_HEADS, out->n_heads, what, &out->n_kv_heads));
  PITH_TRY(pith_config_size_or(ctx, json, "max_position_embeddings", PITH_MAX_CONTEXT, 2048, what, &out->max_positions));
  if (out->max_positions < 2)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: a context of %d token (\"max_position_embeddings\") leaves none to guess", what, (int)out->max_positions);
  if (out->n_heads % out->n_kv_heads != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: %d attention heads cannot share %d key/value heads evenly", what, (int)out->n_heads,
                     (int)out->n_kv_heads);
  PITH_TRY(pith_config_size_or(ctx, json, "head_dim", 4096, out->hidden_size / out->n_heads, what, &out->head_dim));
  if (out->head_dim < 2 || out->head_dim % 2 != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: a head's width of %d cannot be rotated in halves", what, (int)out->head_dim);
  double eps;
  PITH_TRY(pith_config_positive(ctx, json, "rms_norm_eps", 1e-6, what, &eps));
  out->norm_eps = (float)eps;
  PITH_TRY(parse_rope(ctx, json, what, out));
  PITH_TRY(pith_config_activation(ctx, json, what, &out->activation));
  if (out->activation != PITH_SILU)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: a gated feed-forward with another activation than silu is not supported", what);
  static const char *const biases[] = {"attention_bias", "mlp_bias"};
  for (int i = 0; i < 2; i++)
    if (pith_json_true(pith_json_get(json, biases[i])))
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"%s\": true is not supported yet", what, biases[i]);
  out->tied = pith_json_true(pith_json_get(json, "tie_word_embeddings"));
  out->max_tokens = out->max_positions;
  return pith_config_special_ids(ctx, json, what, out);
}

static uint32_t slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  uint32_t n = 0;
  const int32_t h = c->hidden_size, q = c->n_heads * c->head_dim, kv = c->n_kv_heads * c->head_dim;
  if (stage < 0) {
    pith_slot_add(out, &n, PITH_EMBED_TOKENS, c->tied ? PITH_ROLE_HEAD : PITH_ROLE_TABLE, c->vocab_size, h, "model.embed_tokens.weight", 0);
  } else if (stage < c->n_layers) {
    pith_slot_add(out, &n, PITH_NORM_1, PITH_ROLE_VECTOR, 1, h, "model.layers.%d.input_layernorm.weight", stage);
    pith_slot_add(out, &n, PITH_QUERY, PITH_ROLE_MATRIX, q, h, "model.layers.%d.self_attn.q_proj.weight", stage);
    pith_slot_add(out, &n, PITH_KEY, PITH_ROLE_MATRIX, kv, h, "model.layers.%d.self_attn.k_proj.weight", stage);
    pith_slot_add(out, &n, PITH_VALUE, PITH_ROLE_MATRIX, kv, h, "model.layers.%d.self_attn.v_proj.weight", stage);
    pith_slot_add(out, &n, PITH_ATTENTION_OUT, PITH_ROLE_MATRIX, h, q, "model.layers.%d.self_attn.o_proj.weight", stage);
    pith_slot_add(out, &n, PITH_NORM_2, PITH_ROLE_VECTOR, 1, h, "model.layers.%d.post_attention_layernorm.weight", stage);
    pith_slot_add(out, &n, PITH_GATE, PITH_ROLE_MATRIX, c->intermediate_size, h, "model.layers.%d.mlp.gate_proj.weight", stage);
    pith_slot_add(out, &n, PITH_UP, PITH_ROLE_MATRIX, c->intermediate_size, h, "model.layers.%d.mlp.up_proj.weight", stage);
    pith_slot_add(out, &n, PITH_DOWN, PITH_ROLE_MATRIX, h, c->intermediate_size, "model.layers.%d.mlp.down_proj.weight", stage);
  } else {
    pith_slot_add(out, &n, PITH_FINAL_NORM, PITH_ROLE_VECTOR, 1, h, "model.norm.weight", 0);
    if (!c->tied) pith_slot_add(out, &n, PITH_HEAD, PITH_ROLE_HEAD, c->vocab_size, h, "lm_head.weight", 0);
  }
  return n;
}

const pith_family pith_family_llama = {"llama", PITH_TASK_GENERATE, architectures, parse, slots, prefixes};
