/* GPT-NeoX: LayerNorm before each block, attention and feed-forward in parallel, RoPE of a part of each head, query, key and value stored as one,
 * head by head. Pythia and its likes. */
#include "model/config.h"

static const char *const architectures[] = {"GPTNeoXForCausalLM", NULL};
static const char *const prefixes[] = {"", NULL};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_common(ctx, json, &pith_usual_keys, 2048, what, out));
  PITH_TRY(pith_config_heads(ctx, what, out));
  PITH_TRY(pith_config_eps(ctx, json, "layer_norm_eps", 1e-5, what, out));
  double share;   /* rotary_pct: before transformers 5 */
  PITH_TRY(pith_config_positive(ctx, json, "rotary_pct", 0.25, what, &share));
  PITH_TRY(pith_config_rope(ctx, json, "rotary_emb_base", share, what, out));
  out->parallel = pith_config_true(json, "use_parallel_residual");
  out->qkv_bias = out->out_bias = pith_config_true(json, "attention_bias");
  out->feed_bias = true;
  out->tied = pith_json_true(pith_json_get(json, "tie_word_embeddings"));
  return PITH_OK;
}

#define LAYER "gpt_neox.layers.%d."
static uint32_t slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  static const pith_decoder_names names = {"gpt_neox.embed_in.weight", NULL, LAYER "input_layernorm", LAYER "attention.query_key_value", LAYER "attention.dense",
                                           LAYER "post_attention_layernorm", LAYER "mlp.dense_h_to_4h", LAYER "mlp.dense_4h_to_h",
                                           "gpt_neox.final_layer_norm", "embed_out.weight", false};
  return pith_decoder_slots(c, stage, &names, out);
}

const pith_family pith_family_gpt_neox = {"gpt_neox", PITH_TASK_GENERATE, architectures, parse, slots, prefixes, NULL};
