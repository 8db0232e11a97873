/* GPT-2: learned positions, LayerNorm before each block, biases everywhere, a tied head. Its matrices are stored by their inputs, and query, key
 * and value as one. */
#include "model/config.h"

static const char *const architectures[] = {"GPT2LMHeadModel", NULL};
/* The first checkpoints have bare names. */
static const char *const prefixes[] = {"transformer.", "", NULL};

static const pith_config_keys keys = {"vocab_size", "n_embd", "n_layer", "n_head", NULL, "n_positions", "activation_function"};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_common(ctx, json, &keys, 1024, what, out));
  PITH_TRY(pith_config_size_or(ctx, json, "n_inner", PITH_MAX_HIDDEN, 4 * out->hidden_size, what, &out->intermediate_size));
  PITH_TRY(pith_config_heads(ctx, what, out));
  PITH_TRY(pith_config_eps(ctx, json, "layer_norm_epsilon", 1e-5, what, out));
  static const char *const refused[] = {"scale_attn_by_inverse_layer_idx", "add_cross_attention", NULL};
  static const char *const needed[] = {"scale_attn_weights", NULL};
  PITH_TRY(pith_config_refuse(ctx, json, refused, true, what));
  PITH_TRY(pith_config_refuse(ctx, json, needed, false, what));
  out->qkv_bias = out->out_bias = out->feed_bias = true;
  out->tied = pith_config_true(json, "tie_word_embeddings");
  return PITH_OK;
}

static uint32_t slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  static const pith_decoder_names names = {"wte.weight", "wpe.weight", "h.%d.ln_1", "h.%d.attn.c_attn", "h.%d.attn.c_proj", "h.%d.ln_2",
                                           "h.%d.mlp.c_fc", "h.%d.mlp.c_proj", "ln_f", "lm_head.weight", true};
  return pith_decoder_slots(c, stage, &names, out);
}

const pith_family pith_family_gpt2 = {"gpt2", PITH_TASK_GENERATE, architectures, parse, slots, prefixes, NULL};
