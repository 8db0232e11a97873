/* What a head answers: labels of texts, labels of tokens, words for masked ones. */
#include "runtime/predict.h"

#include <string.h>

#include "verbs/verbs.h"

typedef struct predict_state {
  pith_texts texts;
  const char **seconds;      /* of classify: of pairs of texts, else NULL */
  pith_predictor predictor;
} predict_state;

/* Texts, of which any may be a pair: {"text", "pair"}. */
static pith_status read_pairs(pith_job *job, predict_state *s) {
  const pith_json *list = pith_json_get(job->request, "texts");
  const size_t n = pith_json_count(list);
  if (!pith_json_is_array(list)) return PITH_OK;
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->seconds, &s->seconds));
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->texts.texts, &s->texts.texts));
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->texts.n_bytes, &s->texts.n_bytes));
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) {
    const bool pair = pith_json_is_object(item);
    const char *text = pith_json_string(pair ? pith_json_get(item, "text") : item), *second = pith_json_string(pith_json_get(item, "pair"));
    if (!text || (pair && (!second || pith_json_count(item) != 2)))
      return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"texts\" should hold strings, and pairs with a \"text\" and a \"pair\"", job->verb->name);
    s->seconds[s->texts.n] = second;
    s->texts.texts[s->texts.n] = text;
    s->texts.n_bytes[s->texts.n++] = strlen(text);
  }
  return PITH_OK;
}

static pith_status start(pith_job *job, pith_task task, int64_t n_best) {
  predict_state *s = job->state;
  pith_model *model;
  PITH_TRY(pith_request_model(job, &model));
  PITH_TRY(task == PITH_TASK_CLASSIFY ? read_pairs(job, s) : pith_request_texts(job, "texts", &s->texts));
  if (!s->texts.texts) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"texts\" should be a list of strings", job->verb->name);
  if (task != PITH_TASK_TAG) PITH_TRY(pith_request_integer(job, "topK", 0, INT32_MAX, n_best, &n_best));
  PITH_TRY(pith_predictor_init(job->ctx, &s->predictor, model, task, (uint32_t)n_best));
  PITH_TRY(pith_predictor_begin(job->ctx, &s->predictor, s->texts.texts, s->texts.n_bytes, s->texts.n));
  if (s->seconds) pith_predictor_pairs(&s->predictor, s->seconds);
  job->progress = (pith_progress){job->verb->name, "texts", 0, (double)s->texts.n};
  return PITH_OK;
}

static pith_status start_classify(pith_job *job) { return start(job, PITH_TASK_CLASSIFY, 0); }
static pith_status start_tag(pith_job *job) { return start(job, PITH_TASK_TAG, 1); }
static pith_status start_fill(pith_job *job) { return start(job, PITH_TASK_FILL, 5); }

/* The text that the token alone has. */
static pith_status add_token(pith_job *job, int32_t id, pith_json *to) {
  pith_buffer text = {0};
  const pith_status status = pith_tokenizer_decode(job->ctx, ((predict_state *)job->state)->predictor.encoder.model->tokenizer, &id, 1, false, &text);
  pith_json_add_number(to, "id", id);
  pith_json_add_string(to, "token", text.data ? text.data : "");
  pith_buffer_free(job->ctx, &text);
  return status;
}

static pith_json *label_of(const pith_model *model, int32_t id) {
  const pith_json *label = pith_json_first(model->labels);
  while (id-- > 0) label = pith_json_next(label);
  return pith_json_copy(label);
}

/* A row's predictions into `list`: {label, score}, of a token with the token, or {id, token, score}. */
static pith_status add_row(pith_job *job, size_t row, pith_json *list) {
  const pith_predictor *p = &((predict_state *)job->state)->predictor;
  const pith_model *model = p->encoder.model;
  for (uint32_t k = 0; k < p->n_best; k++) {
    const pith_prediction *best = &p->best[row * p->n_best + k];
    pith_json *item = pith_json_new_object();
    pith_json_add(list, NULL, item);
    if (model->config.task != PITH_TASK_CLASSIFY) PITH_TRY(add_token(job, model->labels ? p->encoder.ids.ids[p->at[row]] : best->id, item));
    if (model->labels) pith_json_add(item, "label", label_of(model, best->id));
    pith_json_add_number(item, "score", (double)best->score);
  }
  return PITH_OK;
}

/* A list a text: of its labels, of its tokens, or of its masked words, each a list of tokens. */
static pith_status report(pith_job *job) {
  const pith_predictor *p = &((predict_state *)job->state)->predictor;
  const pith_encoder *e = &p->encoder;
  pith_json *all = pith_json_new_array(), *tokens = pith_json_new_array();
  pith_json_add(job->result, "results", all);
  pith_json_add(job->result, "tokens", tokens);
  for (size_t i = 0, row = 0; i < e->n_texts; i++) {
    pith_json *list = pith_json_new_array();
    pith_json_add(all, NULL, list);
    pith_json_add_number(tokens, NULL, (double)pith_encoder_tokens(e, i));
    for (; row < p->n && p->at[row] < e->ends[i]; row++) {
      pith_json *into = list;
      if (e->model->config.task == PITH_TASK_FILL) pith_json_add(list, NULL, into = pith_json_new_array());
      else if (e->model->config.task == PITH_TASK_TAG && pith_tokenizer_is_special(e->model->tokenizer, e->ids.ids[p->at[row]])) continue;
      PITH_TRY(add_row(job, row, into));
    }
  }
  return PITH_OK;
}

static pith_status step(pith_job *job) {
  predict_state *s = job->state;
  const pith_status status = pith_predictor_step(job->ctx, &s->predictor);
  job->progress.done = (double)s->predictor.encoder.first;
  return status == PITH_OK ? report(job) : status;
}

static void release(pith_job *job) {
  predict_state *s = job->state;
  pith_predictor_free(job->ctx, &s->predictor);
  pith_texts_free(job->ctx, &s->texts);
  pith_free(job->ctx, s->seconds);
}

static const char *const keys[] = {"model", "texts", "topK", NULL}, *const tag_keys[] = {"model", "texts", NULL};
const pith_verb pith_verb_classify = {"classify", keys, sizeof(predict_state), start_classify, step, release};
const pith_verb pith_verb_tag = {"tag", tag_keys, sizeof(predict_state), start_tag, step, release};
const pith_verb pith_verb_fill = {"fill", keys, sizeof(predict_state), start_fill, step, release};
