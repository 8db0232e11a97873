#include <string.h>

#include "runtime/generate.h"
#include "verbs/verbs.h"

typedef struct generate_state {
  pith_texts stops;
  pith_generator generator;
  size_t n_taken;            /* of the generator's text */
} generate_state;

static bool is_given(const pith_job *job, const char *key) { return !pith_json_is_null(pith_json_get(job->request, key)); }

/* Greedy unless the request asks for a draw: by a temperature, or by what narrows one. */
static pith_status read_sampling(pith_job *job, pith_sampling *s) {
  const double fallback = is_given(job, "topK") || is_given(job, "topP") || is_given(job, "minP") ? 1.0 : 0.0;
  double temperature, top_p, min_p, penalty;
  int64_t top_k, seed;
  PITH_TRY(pith_request_number(job, "temperature", fallback, &temperature));
  PITH_TRY(pith_request_number(job, "topP", 1.0, &top_p));
  PITH_TRY(pith_request_number(job, "minP", 0.0, &min_p));
  PITH_TRY(pith_request_number(job, "repetitionPenalty", 1.0, &penalty));
  PITH_TRY(pith_request_integer(job, "topK", 0, INT32_MAX, 0, &top_k));
  PITH_TRY(pith_request_integer(job, "seed", 0, ((int64_t)1 << 53) - 1, 0, &seed));
  *s = (pith_sampling){(float)temperature, (int32_t)top_k, (float)top_p, (float)min_p, (float)penalty, (uint64_t)seed};
  return PITH_OK;
}

static pith_status start(pith_job *job) {
  generate_state *s = job->state;
  pith_model *model;
  pith_generation options = {0};
  const char *prompt;
  int64_t max_tokens;
  PITH_TRY(pith_request_model(job, &model));
  PITH_TRY(pith_request_string(job, "prompt", true, &prompt));
  PITH_TRY(pith_request_integer(job, "maxTokens", 0, INT32_MAX, 128, &max_tokens));
  PITH_TRY(read_sampling(job, &options.sampling));
  PITH_TRY(pith_request_texts(job, "stop", &s->stops));
  if (s->stops.n > PITH_MAX_STOPS) return pith_fail(job->ctx, PITH_E_LIMIT, "generate: at most %d stop texts", PITH_MAX_STOPS);
  for (size_t i = 0; i < s->stops.n; i++) options.stops[i] = s->stops.texts[i];
  options.n_stops = (uint32_t)s->stops.n;
  options.max_tokens = (int32_t)max_tokens;
  PITH_TRY(pith_generator_begin(job->ctx, &s->generator, model, prompt, strlen(prompt), &options));
  PITH_TRY(pith_buffer_reserve(job->ctx, &job->text, s->generator.text.capacity));
  job->progress = (pith_progress){"prompt", "tokens", 0, s->generator.n_prompt};
  return PITH_OK;
}

static pith_status step(pith_job *job) {
  generate_state *s = job->state;
  pith_generator *g = &s->generator;
  const pith_status status = pith_generator_step(job->ctx, g);
  if (status != PITH_OK && status != PITH_PENDING) return status;
  if (g->n_emitted > s->n_taken) {
    PITH_TRY(pith_buffer_append(job->ctx, &job->text, g->text.data + s->n_taken, g->n_emitted - s->n_taken));
    s->n_taken = g->n_emitted;
  }
  if (g->n_ids > g->n_prompt) job->progress = (pith_progress){"generate", "tokens", g->n_ids - g->n_prompt, g->options.max_tokens};
  else job->progress.done = g->n_done;
  if (status == PITH_PENDING) return status;
  pith_json_add_string(job->result, "text", g->text.data ? g->text.data : "");
  pith_json_add(job->result, "ids", pith_ids_print(g->ids + g->n_prompt, g->n_ids - g->n_prompt));
  pith_json_add_number(job->result, "promptTokens", g->n_prompt);
  pith_json_add_string(job->result, "finishReason", pith_finish_name(g->finish));
  pith_json_add_number(job->result, "promptMs", g->prompt_ms);
  pith_json_add_number(job->result, "decodeMs", g->end_ms > 0 ? g->end_ms - g->begin_ms - g->prompt_ms : 0);
  return PITH_OK;
}

static void release(pith_job *job) {
  generate_state *s = job->state;
  pith_generator_free(job->ctx, &s->generator);
  pith_texts_free(job->ctx, &s->stops);
}

static const char *const keys[] = {"model", "prompt", "maxTokens", "temperature", "topK", "topP", "minP", "repetitionPenalty", "seed", "stop", NULL};
const pith_verb pith_verb_generate = {"generate", keys, sizeof(generate_state), start, step, release};
