/* A recipe for two models. What is accepted has a rule for every one of their weights. */
#include <string.h>

#include "compress/recipe.h"

static const char *const configs[] = {
    "{\"architectures\":[\"BertModel\"],\"hidden_size\":48,\"intermediate_size\":96,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
    "\"vocab_size\":100,\"max_position_embeddings\":64,\"type_vocab_size\":2,\"layer_norm_eps\":1e-12,\"hidden_act\":\"gelu\"}",
    "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_act\":\"silu\",\"rope_theta\":10000,\"rms_norm_eps\":1e-5,\"hidden_size\":64,"
    "\"intermediate_size\":96,\"num_hidden_layers\":3,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":100,"
    "\"max_position_embeddings\":64,\"tie_word_embeddings\":false}"};

static void apply(pith_ctx *ctx, const pith_recipe *recipe, const char *text) {
  pith_json *json;
  pith_config config;
  bool solves;
  if (pith_json_parse(ctx, text, strlen(text), "config.json", &json) != PITH_OK || pith_config_parse(ctx, json, "config.json", &config) != PITH_OK) __builtin_trap();
  if (pith_recipe_check(ctx, recipe, &config, true, &solves) == PITH_OK)
    for (int32_t stage = -1; stage <= config.n_layers; stage++) {
      pith_slot slots[PITH_MAX_SLOTS];
      const uint32_t n = config.family->slots(&config, stage, slots);
      for (uint32_t i = 0; i < n; i++) {
        pith_recipe_rule rule;
        if (slots[i].role != PITH_ROLE_VECTOR && pith_recipe_rule_for(ctx, recipe, &slots[i], &rule) != PITH_OK) __builtin_trap();
      }
    }
  pith_json_free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  pith_ctx ctx;
  pith_json *json;
  pith_recipe recipe;
  pith_ctx_init(&ctx, NULL, NULL);
  if (pith_json_parse(&ctx, (const char *)data, n_bytes, "recipe", &json) != PITH_OK) return 0;
  if (pith_recipe_parse(&ctx, json, "recipe", &recipe) == PITH_OK)
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) apply(&ctx, &recipe, configs[i]);
  pith_json_free(json);
  return 0;
}
