#include <string.h>

#include "eval/labelled.h"
#include "eval/speed.h"
#include "verbs/verbs.h"

typedef struct eval_state {
  pith_model models[2];
  bool opened[2];
  int loading;               /* 0, 1: that model; 2: both are there */
  bool has_against;
  const char *paths[2];
  pith_model_loader loader;
  pith_texts texts;
  double *scores;            /* of pairs */
  size_t n_pairs;
  const char **labels;       /* of texts */
  const char **seconds;      /* what makes pairs of them; NULL: no row has any */
  pith_labelled labelled;
  int64_t top_k;             /* 0: no overlap */
  bool per_layer, times;     /* times: the speed too */
  bool asked;                /* for texts to measure quality with: who only asks how fast a model is needs none */
  bool measured;             /* the quality, if there is any to measure */
  pith_speed speed;
  pith_source sources[2];    /* the models, whole */
  pith_evaluation evaluation;
} eval_state;

static pith_status read_pairs(pith_job *job, eval_state *s, const pith_json *pairs) {
  const size_t n = pith_json_count(pairs);
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->scores, &s->scores));
  PITH_TRY(pith_calloc(job->ctx, 2 * n, sizeof *s->texts.texts, &s->texts.texts));
  PITH_TRY(pith_calloc(job->ctx, 2 * n, sizeof *s->texts.n_bytes, &s->texts.n_bytes));
  for (const pith_json *p = pith_json_first(pairs); p; p = pith_json_next(p)) {
    const char *a = pith_json_string(pith_json_get(p, "a")), *b = pith_json_string(pith_json_get(p, "b"));
    const pith_json *score = pith_json_get(p, "score");
    if (!a || !b || !pith_json_is_number(score)) return pith_fail(job->ctx, PITH_E_ARGUMENT, "eval: a pair has \"a\", \"b\" and a number \"score\"");
    s->scores[s->n_pairs++] = pith_json_number(score, 0);
    s->texts.texts[s->texts.n] = a;
    s->texts.n_bytes[s->texts.n++] = strlen(a);
    s->texts.texts[s->texts.n] = b;
    s->texts.n_bytes[s->texts.n++] = strlen(b);
  }
  return PITH_OK;
}

static pith_status read_labelled(pith_job *job, eval_state *s, const pith_json *rows) {
  const size_t n = pith_json_count(rows);
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->labels, &s->labels));
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->texts.texts, &s->texts.texts));
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->texts.n_bytes, &s->texts.n_bytes));
  for (const pith_json *row = pith_json_first(rows); row; row = pith_json_next(row)) {
    const char *text = pith_json_string(pith_json_get(row, "text")), *label = pith_json_string(pith_json_get(row, "label"));
    if (!text || !label) return pith_fail(job->ctx, PITH_E_ARGUMENT, "eval: a row to classify has \"text\" and \"label\"");
    const pith_json *second = pith_json_get(row, "pair");
    if (!pith_json_is_null(second)) {
      if (!pith_json_string(second)) return pith_fail(job->ctx, PITH_E_ARGUMENT, "eval: the \"pair\" of a row to classify should be a string");
      if (!s->seconds) PITH_TRY(pith_calloc(job->ctx, n, sizeof *s->seconds, &s->seconds));
      s->seconds[s->texts.n] = pith_json_string(second);
    }
    s->labels[s->texts.n] = label;
    s->texts.texts[s->texts.n] = text;
    s->texts.n_bytes[s->texts.n++] = strlen(text);
  }
  return PITH_OK;
}

static pith_status read_texts(pith_job *job, eval_state *s) {
  const pith_json *pairs = pith_json_get(job->request, "pairs"), *labelled = pith_json_get(job->request, "classify");
  const char *perplexity;
  PITH_TRY(pith_request_string(job, "perplexity", false, &perplexity));
  const int n_given = !pith_json_is_null(pairs) + !pith_json_is_null(labelled) + (perplexity != NULL) + !pith_json_is_null(pith_json_get(job->request, "texts"));
  s->asked = n_given > 0;
  if (n_given > 1) return pith_fail(job->ctx, PITH_E_ARGUMENT, "eval takes one of texts, pairs, classify and perplexity");
  if (!pith_json_is_null(pairs)) return read_pairs(job, s, pairs);
  if (!pith_json_is_null(labelled)) return read_labelled(job, s, labelled);
  if (perplexity) {
    PITH_TRY(pith_calloc(job->ctx, 1, sizeof *s->texts.texts, &s->texts.texts));
    PITH_TRY(pith_calloc(job->ctx, 1, sizeof *s->texts.n_bytes, &s->texts.n_bytes));
    s->texts.texts[0] = perplexity;
    s->texts.n_bytes[0] = strlen(perplexity);
    s->texts.n = 1;
    return PITH_OK;
  }
  if (n_given == 1) return pith_request_texts(job, "texts", &s->texts);
  return pith_texts_split(job->ctx, pith_default_texts(), strlen(pith_default_texts()), &s->texts);
}

static pith_status begin_load(pith_job *job, eval_state *s) {
  const pith_kernels *kernels;
  PITH_TRY(pith_request_kernels(job, &kernels));
  s->opened[s->loading] = true;
  return pith_model_loader_init(job->ctx, &s->loader, &s->models[s->loading], s->paths[s->loading], kernels);
}

static pith_status start(pith_job *job) {
  eval_state *s = job->state;
  s->loader.handle = -1;
  PITH_TRY(pith_request_string(job, "source", true, &s->paths[0]));
  PITH_TRY(pith_request_string(job, "against", false, &s->paths[1]));
  s->has_against = s->paths[1] != NULL;
  PITH_TRY(pith_request_attention(job, NULL));
  PITH_TRY(pith_request_threads(job));
  PITH_TRY(pith_request_integer(job, "topKOverlap", 1, 10000, 0, &s->top_k));
  PITH_TRY(pith_request_bool(job, "perLayer", false, &s->per_layer));
  PITH_TRY(pith_request_bool(job, "speed", false, &s->times));
  PITH_TRY(read_texts(job, s));
  job->progress = (pith_progress){"load", "bytes", 0, 0};
  return begin_load(job, s);
}

/* The models are there: what is to be measured of their quality fits them. */
static pith_status begin_quality(pith_job *job, eval_state *s) {
  const pith_model *model = &s->models[0];
  const pith_task task = model->config.task;
  if (s->scores && task != PITH_TASK_EMBED)
    return pith_fail(job->ctx, PITH_E_UNSUPPORTED, "eval: pairs measure embeddings, and this model is for %s", pith_task_name(task));
  if (pith_json_get(job->request, "perplexity") && task != PITH_TASK_GENERATE)
    return pith_fail(job->ctx, PITH_E_UNSUPPORTED, "eval: perplexity measures generation, and this model is for %s", pith_task_name(task));
  if (!s->scores && !s->labels && task != PITH_TASK_GENERATE && !s->has_against)
    return pith_fail(job->ctx, PITH_E_ARGUMENT, "eval: texts compare such a model with another: say against which");
  if (s->labels) PITH_TRY(pith_labelled_init(job->ctx, &s->labelled, model, s->labels, s->texts.n));
  for (int i = 0; i < 2; i++) s->sources[i] = pith_source_whole(&s->models[i]);
  PITH_TRY(pith_evaluation_begin(job->ctx, &s->evaluation, &s->sources[0], s->has_against ? &s->sources[1] : NULL, &s->texts, s->scores != NULL));
  if (s->seconds) PITH_TRY(pith_evaluation_pairs(job->ctx, &s->evaluation, s->seconds));
  if (s->labels) PITH_TRY(pith_evaluation_keep(job->ctx, &s->evaluation));
  if (s->top_k) PITH_TRY(pith_evaluation_overlap(job->ctx, &s->evaluation, (uint32_t)s->top_k));
  return s->per_layer ? pith_evaluation_per_layer(job->ctx, &s->evaluation) : PITH_OK;
}

static pith_status begin_speed(pith_job *job, eval_state *s) {
  s->measured = true;
  pith_evaluation_free(job->ctx, &s->evaluation);
  return pith_speed_begin(job->ctx, &s->speed, &s->models[0], s->has_against ? &s->models[1] : NULL);
}

static pith_status step_load(pith_job *job, eval_state *s) {
  const pith_status status = pith_model_loader_step(job->ctx, &s->loader);
  job->waiting = s->loader.waiting;
  job->progress = (pith_progress){"load", "bytes", s->loader.done_bytes, s->loader.total_bytes};
  if (status != PITH_OK) return status;
  pith_model_loader_free(job->ctx, &s->loader);
  s->loading++;
  if (s->loading == 1 && s->has_against) {
    PITH_TRY(begin_load(job, s));
    return PITH_PENDING;
  }
  s->loading = 2;
  PITH_TRY(pith_request_attention(job, &s->models[0].config));
  const bool only_speed = s->times && !s->asked && !s->has_against && !s->top_k && !s->per_layer;
  PITH_TRY(only_speed ? begin_speed(job, s) : begin_quality(job, s));
  return PITH_PENDING;
}

static pith_status step_quality(pith_job *job, eval_state *s) {
  const pith_status status = pith_evaluation_step(job->ctx, &s->evaluation);
  job->progress = (pith_progress){"measure", "tokens", s->evaluation.done, s->evaluation.total};
  if (status != PITH_OK) return status;
  pith_evaluation_report(&s->evaluation, job->result);
  if (s->labels) PITH_TRY(pith_labelled_report(job->ctx, &s->labelled, &s->evaluation, job->result));
  if (s->scores) PITH_TRY(pith_evaluation_similarity(job->ctx, &s->evaluation, s->scores, job->result));
  if (!s->times) return PITH_OK;
  PITH_TRY(begin_speed(job, s));
  return PITH_PENDING;
}

static pith_status step_speed(pith_job *job, eval_state *s) {
  const pith_status status = pith_speed_step(job->ctx, &s->speed);
  job->progress = (pith_progress){"time", "%", 100.0 * pith_speed_progress(&s->speed), 100.0};
  if (status == PITH_OK) pith_json_add(job->result, "speed", pith_speed_report(&s->speed));
  return status;
}

static pith_status step(pith_job *job) {
  eval_state *s = job->state;
  return s->loading < 2 ? step_load(job, s) : s->measured ? step_speed(job, s) : step_quality(job, s);
}

static void release(pith_job *job) {
  eval_state *s = job->state;
  pith_evaluation_free(job->ctx, &s->evaluation);
  pith_speed_free(job->ctx, &s->speed);
  pith_model_loader_free(job->ctx, &s->loader);
  for (int i = 0; i < 2; i++)
    if (s->opened[i]) pith_model_close(job->ctx, &s->models[i]);
  pith_texts_free(job->ctx, &s->texts);
  pith_free(job->ctx, s->scores);
  pith_free(job->ctx, s->labels);
  pith_free(job->ctx, s->seconds);
  pith_labelled_free(job->ctx, &s->labelled);
}

static const char *const keys[] = {"source", "against", "texts", "pairs", "classify", "perplexity", "topKOverlap", "perLayer", "speed", "kernels", "attention", "threads", NULL};
const pith_verb pith_verb_eval = {"eval", keys, sizeof(eval_state), start, step, release};
