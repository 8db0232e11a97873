/* GPT-NeoX: LayerNorm before each block, attention and feed-forward in parallel, RoPE of a part of each head, query, key and value stored as one,
 * head by head. Pythia and its likes. */
#include "model/config.h"
#include "model/stages.h"

static const char *const architectures[] = {"GPTNeoXForCausalLM", NULL};
static const char *const prefixes[] = {"", NULL};

static bool true_unless_said(const pith_json *json, const char *key) {
  const pith_json *member = pith_json_get(json, key);
  return pith_json_is_null(member) || pith_json_true(member);
}

static pith_status parse_rotary(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  const pith_json *parameters = pith_json_get(json, "rope_parameters");
  const bool nested = !pith_json_is_null(pith_json_get(parameters, "partial_rotary_factor"));
  double share;
  PITH_TRY(pith_config_rope(ctx, json, "rotary_emb_base", what, out));
  PITH_TRY(pith_config_positive(ctx, nested ? parameters : json, nested ? "partial_rotary_factor" : "rotary_pct", 0.25, what, &share));
  out->rotary_dim = share <= 1.0 ? (int32_t)(out->head_dim * share) : 0;
  if (out->rotary_dim < 2 || out->rotary_dim % 2 != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: %d of a head's %d elements (\"partial_rotary_factor\") cannot be rotated in halves", what,
                     (int)out->rotary_dim, (int)out->head_dim);
  return PITH_OK;
}

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_sizes(ctx, json, &pith_usual_sizes, 2048, what, out));
  PITH_TRY(pith_config_heads(ctx, what, out));
  PITH_TRY(pith_config_eps(ctx, json, "layer_norm_eps", 1e-5, what, out));
  PITH_TRY(parse_rotary(ctx, json, what, out));
  PITH_TRY(pith_config_activation(ctx, json, "hidden_act", what, &out->activation));
  out->parallel = true_unless_said(json, "use_parallel_residual");
  out->qkv_bias = out->out_bias = true_unless_said(json, "attention_bias");
  out->tied = pith_json_true(pith_json_get(json, "tie_word_embeddings"));
  return pith_config_special_ids(ctx, json, what, out);
}

#define LAYER "gpt_neox.layers.%d."
static uint32_t slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  uint32_t n = 0;
  const int32_t h = c->hidden_size, f = c->intermediate_size;
  if (stage < 0) {
    pith_slot_add(out, &n, PITH_EMBED_TOKENS, c->tied ? PITH_ROLE_HEAD : PITH_ROLE_TABLE, c->vocab_size, h, "gpt_neox.embed_in.weight", 0);
  } else if (stage < c->n_layers) {
    pith_slot_norm(out, &n, PITH_NORM_1, h, LAYER "input_layernorm", stage, true);
    pith_slot_qkv(out, &n, h, c->head_dim, LAYER "attention.query_key_value", stage, c->qkv_bias, false);
    pith_slot_linear(out, &n, PITH_ATTENTION_OUT, h, h, LAYER "attention.dense", stage, c->out_bias);
    pith_slot_norm(out, &n, PITH_NORM_2, h, LAYER "post_attention_layernorm", stage, true);
    pith_slot_linear(out, &n, PITH_UP, f, h, LAYER "mlp.dense_h_to_4h", stage, true);
    pith_slot_linear(out, &n, PITH_DOWN, h, f, LAYER "mlp.dense_4h_to_h", stage, true);
  } else {
    pith_slot_norm(out, &n, PITH_FINAL_NORM, h, "gpt_neox.final_layer_norm", 0, true);
    if (!c->tied) pith_slot_add(out, &n, PITH_HEAD, PITH_ROLE_HEAD, c->vocab_size, h, "embed_out.weight", 0);
  }
  return n;
}

const pith_family pith_family_gpt_neox = {"gpt_neox", PITH_TASK_GENERATE, architectures, parse, slots, prefixes};
