/* Qwen 3: Llama with a norm of each head's queries and keys before they are rotated, and a width of heads of its own. */
#include "model/config.h"

static const char *const architectures[] = {"Qwen3ForCausalLM", NULL};
static const char *const prefixes[] = {"", NULL};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  PITH_TRY(pith_llama_parse(ctx, json, what, out));
  static const char *const refused[] = {"use_sliding_window", NULL};
  PITH_TRY(pith_config_refuse(ctx, json, refused, true, what));
  if (pith_json_is_null(pith_json_get(json, "head_dim"))) out->head_dim = out->rotary_dim = 128;   /* the architecture's default */
  out->head_norms = true;
  return PITH_OK;
}

const pith_family pith_family_qwen3 = {"qwen3", PITH_TASK_GENERATE, architectures, parse, pith_llama_slots, prefixes, NULL};
