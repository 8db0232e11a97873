/* BERT-type encoders: learned positions and token types, LayerNorm after each block, biases everywhere. BERT, MiniLM. */
#include <string.h>

#include "model/config.h"

static const char *const architectures[] = {"BertModel", NULL};
/* BertModel itself stores bare names; a head's checkpoint puts "bert." before them. */
static const char *const prefixes[] = {"", "bert.", NULL};

pith_status pith_bert_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_config_common(ctx, json, &pith_usual_keys, 512, what, out));
  PITH_TRY(pith_config_size_or(ctx, json, "type_vocab_size", 1024, 2, what, &out->type_vocab_size));
  PITH_TRY(pith_config_heads(ctx, what, out));
  PITH_TRY(pith_config_eps(ctx, json, "layer_norm_eps", 1e-12, what, out));
  const pith_json *positions = pith_json_get(json, "position_embedding_type");
  if (!pith_json_is_null(positions)) {
    const char *name = pith_json_string(positions);
    if (!name || strcmp(name, "absolute") != 0)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"position_embedding_type\" is not \"absolute\", the only one supported", what);
  }
  static const char *const refused[] = {"is_decoder", "add_cross_attention", NULL};
  PITH_TRY(pith_config_refuse(ctx, json, refused, true, what));
  out->norms_after = true;
  return PITH_OK;
}

#define LAYER "encoder.layer.%d."
uint32_t pith_bert_slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]) {
  static const pith_encoder_names names = {
      LAYER "attention.self.query",  LAYER "attention.self.key",         LAYER "attention.self.value", LAYER "attention.output.dense",
      LAYER "attention.output.LayerNorm", LAYER "intermediate.dense", LAYER "output.dense", LAYER "output.LayerNorm"};
  return pith_encoder_slots(c, stage, &names, out);
}

static const pith_head heads[] = {
    {.dense = "pooler.dense", .activation = PITH_TANH, .output = "classifier"},
    {.output = "classifier"},
    {.dense = "cls.predictions.transform.dense", .hidden_activation = true, .norm = "cls.predictions.transform.LayerNorm",
     .output = "cls.predictions.decoder", .tied_bias = "cls.predictions.bias"}};

const pith_family pith_family_bert = {"bert", PITH_TASK_EMBED, architectures, pith_bert_parse, pith_bert_slots, prefixes, heads};
