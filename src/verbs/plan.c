#include "compress/plan.h"

#include "verbs/verbs.h"

typedef struct plan_state {
  pith_plan plan;
  bool begun;
  const char *output;        /* the recipe's file, NULL: it is only answered */
  pith_sensitivity_file sensitivity;
  pith_texts texts, calibration;
} plan_state;

static pith_status start(pith_job *job) {
  plan_state *s = job->state;
  pith_plan_options options = {.kernels = pith_kernels_find("auto"), .attention = PITH_ATTENTION_I16};
  bool force, budget;
  int64_t tokens;
  PITH_TRY(pith_request_string(job, "source", true, &options.source));
  PITH_TRY(pith_request_string(job, "output", false, &s->output));
  PITH_TRY(pith_request_bool(job, "force", false, &force));
  PITH_TRY(pith_request_budget(job, &options, &budget));
  if (!budget) return pith_fail(job->ctx, PITH_E_ARGUMENT, "plan wants a budget: the most bytes, the most loss, or the most milliseconds");
  PITH_TRY(pith_request_bool(job, "measureTime", false, &options.times));
  PITH_TRY(pith_request_integer(job, "tokens", 1, 1 << 20, 0, &tokens));
  PITH_TRY(pith_request_bool(job, "prune", false, &options.prunes));
  options.tokens = (uint32_t)tokens;
  if (tokens && !options.times && options.budget != PITH_BUDGET_MS) return pith_fail(job->ctx, PITH_E_ARGUMENT, "plan: tokens are those of the work that is timed: ask for the most milliseconds, or for times to be measured");
  PITH_TRY(pith_request_texts(job, "texts", &s->texts));
  PITH_TRY(pith_request_texts(job, "calibrate", &s->calibration));
  if (s->texts.n && s->calibration.n) return pith_fail(job->ctx, PITH_E_ARGUMENT, "plan: what a plan is calibrated on it is measured on too: give texts or calibrate");
  PITH_TRY(pith_request_threads(job));
  if (s->output && !force && job->ctx->host.exists(job->ctx->host.user, s->output) != 0)
    return pith_fail(job->ctx, PITH_E_EXISTS, "%s is there already; choose another name, or force it", s->output);
  options.texts = s->calibration.n ? &s->calibration : s->texts.n ? &s->texts : NULL;
  options.calibrated = s->calibration.n > 0;
  s->begun = true;
  PITH_TRY(pith_plan_begin(job->ctx, &s->plan, &options));
  return pith_request_sensitivity(job, &s->plan, &s->sensitivity);
}

static pith_status step(pith_job *job) {
  plan_state *s = job->state;
  const pith_status status = pith_plan_step(job->ctx, &s->plan);
  const pith_cost *cost = &s->plan.cost;
  job->progress = cost->n ? (pith_progress){"plan", "timings", cost->round < PITH_COST_ROUNDS ? (double)cost->round * cost->n + cost->at : PITH_COST_ROUNDS * (double)cost->n, PITH_COST_ROUNDS * (double)cost->n}
                          : (pith_progress){"plan", "trials", s->plan.sensitivity.done, s->plan.sensitivity.total};
  if (status == PITH_OK || status == PITH_PENDING || status == PITH_E_LIMIT) PITH_TRY(pith_sensitivity_file_update(job->ctx, &s->sensitivity, &s->plan));
  if (status != PITH_OK) return status;
  if (s->output) PITH_TRY(pith_json_write_file(job->ctx, s->plan.recipe, s->output));
  pith_plan_report(&s->plan, job->result);
  return PITH_OK;
}

static void release(pith_job *job) {
  plan_state *s = job->state;
  if (s->begun) pith_plan_free(job->ctx, &s->plan);
  pith_texts_free(job->ctx, &s->texts);
  pith_texts_free(job->ctx, &s->calibration);
}

static const char *const keys[] = {"source", "output", "calibrate", "texts", "maxBytes", "maxLoss", "maxMs", "measureTime", "tokens", "prune", "metric", "sensitivity", "force", "threads", NULL};
const pith_verb pith_verb_plan = {"plan", keys, sizeof(plan_state), start, step, release};
