/* DistilBERT: BERT without token types, under names of its own. */
#include "model/config.h"

static const char *const architectures[] = {"DistilBertModel", NULL};
static const char *const prefixes[] = {"", "distilbert.", NULL};

static const pith_config_keys keys = {"vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "max_position_embeddings", "activation"};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_common(ctx, json, &keys, 512, what, out));
  PITH_TRY(pith_config_heads(ctx, what, out));
  out->norm_eps = 1e-12f;   /* the architecture's; no key says it */
  out->norms_after = true;
  return PITH_OK;
}

#define LAYER "transformer.layer.%d."
static uint32_t slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  static const pith_encoder_names names = {LAYER "attention.q_lin", LAYER "attention.k_lin", LAYER "attention.v_lin", LAYER "attention.out_lin",
                                           LAYER "sa_layer_norm", LAYER "ffn.lin1", LAYER "ffn.lin2", LAYER "output_layer_norm"};
  return pith_encoder_slots(c, stage, &names, out);
}

static const pith_head heads[] = {
    {.dense = "pre_classifier", .activation = PITH_RELU, .output = "classifier"},
    {.output = "classifier"},
    {.dense = "vocab_transform", .hidden_activation = true, .norm = "vocab_layer_norm", .output = "vocab_projector", .tied_bias = "vocab_projector.bias"}};

const pith_family pith_family_distilbert = {"distilbert", PITH_TASK_EMBED, architectures, parse, slots, prefixes, heads};
