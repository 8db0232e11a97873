#include <string.h>

#include "verbs/verbs.h"

static pith_status start_tokenize(pith_job *job) {
  pith_model *model;
  const char *text;
  bool special, truncate;
  pith_ids ids = {0};
  PITH_TRY(pith_request_model(job, &model));
  PITH_TRY(pith_request_string(job, "text", true, &text));
  PITH_TRY(pith_request_bool(job, "specialTokens", true, &special));
  PITH_TRY(pith_request_bool(job, "truncate", false, &truncate));
  const pith_status status = pith_model_encode(job->ctx, model, text, strlen(text), special, truncate, &ids);
  pith_json_add(job->result, "ids", pith_ids_print(ids.ids, ids.n));
  pith_json_add_number(job->result, "tokens", (double)ids.n);
  pith_ids_free(job->ctx, &ids);
  return status;
}

static const char *const tokenize_keys[] = {"model", "text", "specialTokens", "truncate", NULL};
const pith_verb pith_verb_tokenize = {"tokenize", tokenize_keys, 0, start_tokenize, pith_verb_done, NULL};

static pith_status start_detokenize(pith_job *job) {
  pith_model *model;
  bool skip;
  pith_ids ids = {0};
  pith_buffer text = {0};
  pith_status status = PITH_OK;
  PITH_TRY(pith_request_model(job, &model));
  PITH_TRY(pith_request_bool(job, "skipSpecialTokens", true, &skip));
  const pith_json *list = pith_json_get(job->request, "ids");
  if (!pith_json_is_array(list)) return pith_fail(job->ctx, PITH_E_ARGUMENT, "detokenize: \"ids\" should be a list of ids");
  for (const pith_json *item = pith_json_first(list); item && status == PITH_OK; item = pith_json_next(item)) {
    int64_t id;
    if (pith_json_integer(item, 0, INT32_MAX - 1, &id)) status = pith_ids_append(job->ctx, &ids, (int32_t)id);
    else status = pith_fail(job->ctx, PITH_E_ARGUMENT, "detokenize: \"ids\" should hold whole numbers");
  }
  if (status == PITH_OK) status = pith_tokenizer_decode(job->ctx, model->tokenizer, ids.ids, ids.n, skip, &text);
  pith_json_add_string(job->result, "text", text.data ? text.data : "");
  pith_ids_free(job->ctx, &ids);
  pith_buffer_free(job->ctx, &text);
  return status;
}

static const char *const detokenize_keys[] = {"model", "ids", "skipSpecialTokens", NULL};
const pith_verb pith_verb_detokenize = {"detokenize", detokenize_keys, 0, start_detokenize, pith_verb_done, NULL};
