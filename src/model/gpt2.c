/* GPT-2: learned positions, LayerNorm before each block, biases everywhere, a tied head. Its matrices are stored by their inputs, and query, key
 * and value as one. */
#include "model/config.h"
#include "model/stages.h"

static const char *const architectures[] = {"GPT2LMHeadModel", NULL};
/* The first checkpoints have bare names. */
static const char *const prefixes[] = {"transformer.", "", NULL};

static const pith_size_keys sizes = {"vocab_size", "n_embd", "n_layer", "n_head", NULL, "n_positions"};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_sizes(ctx, json, &sizes, 1024, what, out));
  PITH_TRY(pith_config_size_or(ctx, json, "n_inner", PITH_MAX_HIDDEN, 4 * out->hidden_size, what, &out->intermediate_size));
  PITH_TRY(pith_config_heads(ctx, what, out));
  PITH_TRY(pith_config_eps(ctx, json, "layer_norm_epsilon", 1e-5, what, out));
  PITH_TRY(pith_config_activation(ctx, json, "activation_function", what, &out->activation));
  static const char *const refused[] = {"scale_attn_by_inverse_layer_idx", "add_cross_attention", NULL};
  PITH_TRY(pith_config_refuse(ctx, json, refused, what));
  const pith_json *scaled = pith_json_get(json, "scale_attn_weights"), *tied = pith_json_get(json, "tie_word_embeddings");
  if (!pith_json_is_null(scaled) && !pith_json_true(scaled))
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"scale_attn_weights\": false is not supported", what);
  out->tied = pith_json_is_null(tied) || pith_json_true(tied);
  return pith_config_special_ids(ctx, json, what, out);
}

static void add_transposed(pith_slot *out, uint32_t *n, uint32_t id, int32_t rows, int32_t cols, const char *module, int32_t layer) {
  const uint32_t weight = *n;
  pith_slot_linear(out, n, id, rows, cols, module, layer, true);
  out[weight].view.transposed = true;
}

static uint32_t slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  uint32_t n = 0;
  const int32_t h = c->hidden_size, f = c->intermediate_size;
  if (stage < 0) {
    pith_slot_add(out, &n, PITH_EMBED_TOKENS, c->tied ? PITH_ROLE_HEAD : PITH_ROLE_TABLE, c->vocab_size, h, "wte.weight", 0);
    pith_slot_add(out, &n, PITH_EMBED_POSITIONS, PITH_ROLE_TABLE, c->max_positions, h, "wpe.weight", 0);
  } else if (stage < c->n_layers) {
    pith_slot_norm(out, &n, PITH_NORM_1, h, "h.%d.ln_1", stage, true);
    pith_slot_qkv(out, &n, h, h, "h.%d.attn.c_attn", stage, true, true);
    add_transposed(out, &n, PITH_ATTENTION_OUT, h, h, "h.%d.attn.c_proj", stage);
    pith_slot_norm(out, &n, PITH_NORM_2, h, "h.%d.ln_2", stage, true);
    add_transposed(out, &n, PITH_UP, f, h, "h.%d.mlp.c_fc", stage);
    add_transposed(out, &n, PITH_DOWN, h, f, "h.%d.mlp.c_proj", stage);
  } else {
    pith_slot_norm(out, &n, PITH_FINAL_NORM, h, "ln_f", 0, true);
    if (!c->tied) pith_slot_add(out, &n, PITH_HEAD, PITH_ROLE_HEAD, c->vocab_size, h, "lm_head.weight", 0);
  }
  return n;
}

const pith_family pith_family_gpt2 = {"gpt2", PITH_TASK_GENERATE, architectures, parse, slots, prefixes};
