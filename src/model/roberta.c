/* RoBERTa and XLM-RoBERTa: BERT whose table of positions begins with rows for padding, one more than the padding's id. A text that names the
 * padding token itself has other positions in the reference implementation, which counts tokens that are no padding. */
#include "model/config.h"

static const char *const roberta[] = {"RobertaModel", NULL}, *const xlm_roberta[] = {"XLMRobertaModel", NULL};
static const char *const prefixes[] = {"", "roberta.", NULL};

static pith_status parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  int64_t pad = 1;
  PITH_TRY(pith_bert_parse(ctx, json, what, out));
  if (!pith_json_is_null(pith_json_get(json, "pad_token_id"))) PITH_TRY(pith_json_need_integer(ctx, json, "pad_token_id", 0, INT32_MAX - 2, what, &pad));
  if (out->max_positions < pad + 2) return pith_fail(ctx, PITH_E_FORMAT, "%s: the positions of padding leave none", what);
  out->position_offset = (int32_t)pad + 1;
  out->max_positions -= out->position_offset;
  out->max_tokens = out->max_positions;
  return PITH_OK;
}

static const pith_head heads[] = {
    {.dense = "classifier.dense", .activation = PITH_TANH, .output = "classifier.out_proj"},
    {.output = "classifier"},
    {.dense = "lm_head.dense", .activation = PITH_GELU_ERF, .norm = "lm_head.layer_norm", .output = "lm_head.decoder", .tied_bias = "lm_head.bias"}};

const pith_family pith_family_roberta = {"roberta", PITH_TASK_EMBED, roberta, parse, pith_bert_slots, prefixes, heads};
const pith_family pith_family_xlm_roberta = {"xlm-roberta", PITH_TASK_EMBED, xlm_roberta, parse, pith_bert_slots, prefixes, heads};
