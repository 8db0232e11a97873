/* Llama-type decoders: RMSNorm before attention and before the feed-forward, rotate-half RoPE, grouped-query attention,
 * SwiGLU, tied or untied head. Llama, SmolLM and their likes. */
#include "model/config.h"
#include "model/stages.h"

static const char *const architectures[] = {"LlamaForCausalLM", NULL};
static const char *const prefixes[] = {"", NULL};

pith_status pith_llama_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_common(ctx, json, &pith_usual_keys, 2048, what, out));
  PITH_TRY(pith_config_size_or(ctx, json, "num_key_value_heads", PITH_MAX_HEADS, out->n_heads, what, &out->n_kv_heads));
  if (out->n_heads % out->n_kv_heads != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: %d attention heads cannot share %d key/value heads evenly", what, (int)out->n_heads,
                     (int)out->n_kv_heads);
  PITH_TRY(pith_config_size_or(ctx, json, "head_dim", 4096, out->hidden_size / out->n_heads, what, &out->head_dim));
  PITH_TRY(pith_config_eps(ctx, json, "rms_norm_eps", 1e-6, what, out));
  PITH_TRY(pith_config_rope(ctx, json, "rope_theta", 1.0, what, out));
  if (out->activation != PITH_SILU)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: a gated feed-forward with another activation than silu is not supported", what);
  out->qkv_bias = out->out_bias = pith_json_true(pith_json_get(json, "attention_bias"));
  out->feed_bias = pith_json_true(pith_json_get(json, "mlp_bias"));
  out->tied = pith_json_true(pith_json_get(json, "tie_word_embeddings"));
  return PITH_OK;
}

#define LAYER "model.layers.%d."
uint32_t pith_llama_slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  uint32_t n = 0;
  const pith_layer_shape shape = pith_layer_shape_of(c, stage);
  const int32_t h = c->hidden_size, f = shape.intermediate_size, q = shape.n_heads * c->head_dim, kv = shape.n_kv_heads * c->head_dim;
  if (stage < 0) {
    pith_slot_add(out, &n, PITH_EMBED_TOKENS, c->tied ? PITH_ROLE_HEAD : PITH_ROLE_TABLE, c->vocab_size, h, "model.embed_tokens.weight", 0);
  } else if (stage < c->n_layers) {
    pith_slot_norm(out, &n, PITH_NORM_1, h, LAYER "input_layernorm", stage, false);
    pith_slot_linear(out, &n, PITH_QUERY, q, h, LAYER "self_attn.q_proj", stage, c->qkv_bias);
    pith_slot_linear(out, &n, PITH_KEY, kv, h, LAYER "self_attn.k_proj", stage, c->qkv_bias);
    pith_slot_linear(out, &n, PITH_VALUE, kv, h, LAYER "self_attn.v_proj", stage, c->qkv_bias);
    if (c->head_norms) {
      pith_slot_norm(out, &n, PITH_QUERY_NORM, c->head_dim, LAYER "self_attn.q_norm", stage, false);
      pith_slot_norm(out, &n, PITH_KEY_NORM, c->head_dim, LAYER "self_attn.k_norm", stage, false);
    }
    pith_slot_linear(out, &n, PITH_ATTENTION_OUT, h, q, LAYER "self_attn.o_proj", stage, c->out_bias);
    pith_slot_norm(out, &n, PITH_NORM_2, h, LAYER "post_attention_layernorm", stage, false);
    pith_slot_linear(out, &n, PITH_GATE, f, h, LAYER "mlp.gate_proj", stage, c->feed_bias);
    pith_slot_linear(out, &n, PITH_UP, f, h, LAYER "mlp.up_proj", stage, c->feed_bias);
    pith_slot_linear(out, &n, PITH_DOWN, h, f, LAYER "mlp.down_proj", stage, c->feed_bias);
  } else {
    pith_slot_norm(out, &n, PITH_FINAL_NORM, h, "model.norm", 0, false);
    if (!c->tied) pith_slot_add(out, &n, PITH_HEAD, PITH_ROLE_HEAD, c->vocab_size, h, "lm_head.weight", 0);
  }
  return n;
}

const pith_family pith_family_llama = {"llama", PITH_TASK_GENERATE, architectures, pith_llama_parse, pith_llama_slots, prefixes, NULL};
