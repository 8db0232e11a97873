#include "compress/compress.h"

#include <string.h>

#include "verbs/verbs.h"

enum { LESS_BYTES = 1024 };   /* for the measured quality, which a manifest has only in the end */

/* A budget makes the recipe itself: planning comes first, and where what was planned turns out too large in the end, a little less is planned. */
typedef struct compress_state {
  pith_compression_options options;
  pith_compression compression;
  bool compressing;
  pith_plan plan;
  bool planned, planning;
  pith_sensitivity_file sensitivity;
  pith_json *recipe;
  pith_texts texts, calibration;
} compress_state;

/* A name or the recipe itself. */
static pith_status read_recipe(pith_job *job, pith_json **out) {
  const pith_json *wished = pith_json_get(job->request, "recipe");
  if (pith_json_is_object(wished)) {
    *out = pith_json_copy(wished);
    return *out ? PITH_OK : pith_fail(job->ctx, PITH_E_MEMORY, "out of memory");
  }
  const char *name;
  PITH_TRY(pith_request_string(job, "recipe", false, &name));
  const char *text = pith_recipe_text(name ? name : "int8");
  if (!text) return pith_fail(job->ctx, PITH_E_NOT_FOUND, "there is no recipe \"%.60s\"; there are int8, int4, int4-min, edge, tiny, lossless-ish and fp16, and files, whose paths hold a / or end in .json", name);
  return pith_json_parse(job->ctx, text, strlen(text), "the recipe", out);
}

static pith_status begin(pith_job *job) {
  compress_state *s = job->state;
  s->options.recipe = s->planned ? s->plan.recipe : s->recipe;
  s->compressing = true;
  return pith_compression_begin(job->ctx, &s->compression, &s->options);
}

/* Before time goes into planning. */
static pith_status check_output(pith_ctx *ctx, const pith_compression_options *options) {
  pith_package_folder folder = {0};
  const pith_status status = pith_package_folder_open(ctx, &folder, options->output, options->source, options->force, false);
  pith_package_folder_close(ctx, &folder);
  return status;
}

/* Times are measured, so that a package that depended on them could not be made again. */
static pith_status refuse_ms(pith_job *job, const pith_compression_options *options, double limit) {
  const char *texts = options->calibration ? " --calibrate FILE" : "";
  return pith_fail(job->ctx, PITH_E_ARGUMENT, "a time is measured on this machine, and a package depends on its recipe alone: plan first, with `pith plan %.200s --max-ms %g%s -o recipe.json`, "
                   "then `pith compress %.200s --recipe ./recipe.json%s -o %.200s`", options->source, limit, texts, options->source, texts, options->output);
}

static pith_status start(pith_job *job) {
  compress_state *s = job->state;
  pith_compression_options options = {.kernels = pith_kernels_find("auto"), .texts_name = "texts given"};
  int64_t shard_size;
  PITH_TRY(pith_request_string(job, "source", true, &options.source));
  PITH_TRY(pith_request_string(job, "output", true, &options.output));
  PITH_TRY(pith_request_integer(job, "shardSize", 1, (int64_t)1 << 40, 4 << 20, &shard_size));
  PITH_TRY(pith_request_bool(job, "force", false, &options.force));
  PITH_TRY(pith_request_bool(job, "resume", false, &options.resume));
  PITH_TRY(pith_request_texts(job, "texts", &s->texts));
  if (s->texts.texts && s->texts.n == 0) return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress: there is no text to measure with");
  PITH_TRY(pith_request_texts(job, "calibrate", &s->calibration));
  if (s->calibration.texts && s->calibration.n == 0) return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress: there is no text to calibrate with");
  pith_plan_options plan = {.kernels = options.kernels, .attention = PITH_ATTENTION_I16};
  PITH_TRY(pith_request_budget(job, &plan, &s->planning));
  if (s->planning && plan.budget == PITH_BUDGET_MS) return refuse_ms(job, &options, plan.limit);
  if (s->planning && pith_json_get(job->request, "recipe"))
    return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress takes a recipe or a budget: a budget makes its own recipe");
  if (!s->planning && pith_json_get(job->request, "sensitivity")) return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress: a sensitivity goes with a budget");
  if (s->planning && options.resume)
    return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress: what is resumed has a recipe: plan one within the budget first, then compress by it; a plan goes on from its --sensitivity");
  if (!s->planning && pith_json_get(job->request, "prune")) return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress: to prune by plan takes a budget; a recipe says itself what it prunes");
  if (!s->planning) PITH_TRY(read_recipe(job, &s->recipe));
  PITH_TRY(pith_request_threads(job));
  char *manifest;
  PITH_TRY(pith_path_join(job->ctx, options.source, PITH_MANIFEST_FILE, &manifest));
  const bool package = job->ctx->host.exists(job->ctx->host.user, manifest) == 1;
  pith_free(job->ctx, manifest);
  if (package) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s is already a package: compress wants the checkpoint it was made from", options.source);
  options.shard_bytes = (uint64_t)shard_size;
  options.texts = s->texts.n ? &s->texts : NULL;
  options.calibration = s->calibration.n ? &s->calibration : NULL;
  s->options = options;
  if (!s->planning) return begin(job);
  plan.source = options.source;
  plan.texts = options.calibration;
  plan.calibrated = options.calibration != NULL;
  s->planned = true;
  PITH_TRY(pith_request_bool(job, "prune", false, &plan.prunes));
  PITH_TRY(check_output(job->ctx, &options));
  PITH_TRY(pith_plan_begin(job->ctx, &s->plan, &plan));
  return pith_request_sensitivity(job, &s->plan, &s->sensitivity);
}

static pith_status step_plan(pith_job *job, compress_state *s) {
  const pith_status status = pith_plan_step(job->ctx, &s->plan);
  job->progress = (pith_progress){"plan", "trials", s->plan.sensitivity.done, s->plan.sensitivity.total};
  if (status == PITH_OK || status == PITH_PENDING || status == PITH_E_LIMIT) PITH_TRY(pith_sensitivity_file_update(job->ctx, &s->sensitivity, &s->plan));
  if (status != PITH_OK) return status;
  s->planning = false;
  if (s->plan.options.budget == PITH_BUDGET_BYTES) s->options.max_bytes = (uint64_t)s->plan.options.limit;
  PITH_TRY(begin(job));
  return PITH_PENDING;
}

/* The same again for as much less as it was too much. */
static pith_status plan_less(pith_job *job, compress_state *s) {
  const double limit = s->plan.options.limit - (double)s->compression.excess - LESS_BYTES;
  pith_compression_free(job->ctx, &s->compression);
  s->compressing = false;
  PITH_TRY(pith_plan_choose(job->ctx, &s->plan, limit));
  PITH_TRY(begin(job));
  return PITH_PENDING;
}

static pith_status step(pith_job *job) {
  static const char *const phases[] = {"hash", "quantize", "measure", "done"};
  static const char *const units[] = {"bytes", "weights", "tokens", ""};
  compress_state *s = job->state;
  if (s->planning) return step_plan(job, s);
  const pith_status status = pith_compression_step(job->ctx, &s->compression);
  if (status == PITH_E_LIMIT && s->planned && s->compression.excess > 0) return plan_less(job, s);
  const pith_compression *c = &s->compression;
  job->progress = (pith_progress){phases[c->phase], units[c->phase], c->done, c->total};
  if (status != PITH_OK) return status;
  pith_compression_report(c, job->result);
  if (s->planned) {
    pith_json *planned = pith_json_new_object();
    pith_json_add_number(planned, "bytes", s->plan.bytes);
    pith_json_add_number(planned, "loss", s->plan.loss);
    pith_json_add(job->result, "planned", planned);
  }
  return status;
}

static void release(pith_job *job) {
  compress_state *s = job->state;
  if (s->compressing) pith_compression_free(job->ctx, &s->compression);
  if (s->planned) pith_plan_free(job->ctx, &s->plan);
  pith_json_free(s->recipe);
  pith_texts_free(job->ctx, &s->texts);
  pith_texts_free(job->ctx, &s->calibration);
}

static const char *const keys[] = {"source", "output", "recipe", "shardSize", "texts", "calibrate", "maxBytes", "maxLoss", "maxMs", "prune", "metric", "sensitivity", "force", "resume", "threads", NULL};
const pith_verb pith_verb_compress = {"compress", keys, sizeof(compress_state), start, step, release};
