/* DistilBERT: BERT without token types, under names of its own. */
#include "model/config.h"
#include "model/stages.h"

static const char *const architectures[] = {"DistilBertModel", "DistilBertForMaskedLM", NULL};
static const char *const prefixes[] = {"", "distilbert.", NULL};

static const pith_size_keys sizes = {"vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "max_position_embeddings"};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_sizes(ctx, json, &sizes, 512, what, out));
  PITH_TRY(pith_config_heads(ctx, what, out));
  PITH_TRY(pith_config_activation(ctx, json, "activation", what, &out->activation));
  out->norm_eps = 1e-12f;   /* the architecture's; no key says it */
  out->norms_after = true;
  out->pooling = PITH_POOL_MEAN;
  return PITH_OK;
}

#define LAYER "transformer.layer.%d."
static uint32_t slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  uint32_t n = 0;
  const int32_t h = c->hidden_size, f = c->intermediate_size;
  if (stage < 0) {
    pith_slot_add(out, &n, PITH_EMBED_TOKENS, PITH_ROLE_TABLE, c->vocab_size, h, "embeddings.word_embeddings.weight", 0);
    pith_slot_add(out, &n, PITH_EMBED_POSITIONS, PITH_ROLE_TABLE, c->max_positions, h, "embeddings.position_embeddings.weight", 0);
    pith_slot_norm(out, &n, PITH_EMBED_NORM, h, "embeddings.LayerNorm", 0, true);
  } else if (stage < c->n_layers) {
    pith_slot_linear(out, &n, PITH_QUERY, h, h, LAYER "attention.q_lin", stage, true);
    pith_slot_linear(out, &n, PITH_KEY, h, h, LAYER "attention.k_lin", stage, true);
    pith_slot_linear(out, &n, PITH_VALUE, h, h, LAYER "attention.v_lin", stage, true);
    pith_slot_linear(out, &n, PITH_ATTENTION_OUT, h, h, LAYER "attention.out_lin", stage, true);
    pith_slot_norm(out, &n, PITH_NORM_1, h, LAYER "sa_layer_norm", stage, true);
    pith_slot_linear(out, &n, PITH_UP, f, h, LAYER "ffn.lin1", stage, true);
    pith_slot_linear(out, &n, PITH_DOWN, h, f, LAYER "ffn.lin2", stage, true);
    pith_slot_norm(out, &n, PITH_NORM_2, h, LAYER "output_layer_norm", stage, true);
  }
  return n;
}

const pith_family pith_family_distilbert = {"distilbert", PITH_TASK_EMBED, architectures, parse, slots, prefixes};
