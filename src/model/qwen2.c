/* Qwen 2: Llama with biases of queries, keys and values. Qwen 2 and 2.5. */
#include "model/config.h"

static const char *const architectures[] = {"Qwen2ForCausalLM", NULL};
static const char *const prefixes[] = {"", NULL};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_llama_parse(ctx, json, what, out));
  static const char *const refused[] = {"use_sliding_window", NULL};
  PITH_TRY(pith_config_refuse(ctx, json, refused, true, what));
  out->qkv_bias = true;
  out->out_bias = false;
  return PITH_OK;
}

const pith_family pith_family_qwen2 = {"qwen2", PITH_TASK_GENERATE, architectures, parse, pith_llama_slots, prefixes, NULL};
