#include "compress/compress.h"

#include <string.h>

#include "verbs/verbs.h"

typedef struct compress_state {
  pith_compression compression;
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
  if (!text) return pith_fail(job->ctx, PITH_E_NOT_FOUND, "there is no recipe \"%.60s\"; there are int8, int4, int4-min and fp16, and files, whose paths hold a / or end in .json", name);
  return pith_json_parse(job->ctx, text, strlen(text), "the recipe", out);
}

static pith_status start(pith_job *job) {
  compress_state *s = job->state;
  pith_compression_options options = {.kernels = pith_kernels_find("auto"), .texts_name = "texts given"};
  int64_t shard_size;
  PITH_TRY(pith_request_string(job, "source", true, &options.source));
  PITH_TRY(pith_request_string(job, "output", true, &options.output));
  PITH_TRY(pith_request_integer(job, "shardSize", 1, (int64_t)1 << 40, 4 << 20, &shard_size));
  PITH_TRY(pith_request_bool(job, "force", false, &options.force));
  PITH_TRY(pith_request_texts(job, "texts", &s->texts));
  if (s->texts.texts && s->texts.n == 0) return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress: there is no text to measure with");
  PITH_TRY(pith_request_texts(job, "calibrate", &s->calibration));
  if (s->calibration.texts && s->calibration.n == 0) return pith_fail(job->ctx, PITH_E_ARGUMENT, "compress: there is no text to calibrate with");
  PITH_TRY(read_recipe(job, &s->recipe));
  PITH_TRY(pith_request_threads(job));
  char *manifest;
  PITH_TRY(pith_path_join(job->ctx, options.source, PITH_MANIFEST_FILE, &manifest));
  const bool package = job->ctx->host.exists(job->ctx->host.user, manifest) == 1;
  pith_free(job->ctx, manifest);
  if (package) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s is already a package: compress wants the checkpoint it was made from", options.source);
  options.shard_bytes = (uint64_t)shard_size;
  options.recipe = s->recipe;
  options.texts = s->texts.n ? &s->texts : NULL;
  options.calibration = s->calibration.n ? &s->calibration : NULL;
  return pith_compression_begin(job->ctx, &s->compression, &options);
}

static pith_status step(pith_job *job) {
  static const char *const phases[] = {"hash", "quantize", "measure", "done"};
  static const char *const units[] = {"bytes", "weights", "tokens", ""};
  compress_state *s = job->state;
  const pith_status status = pith_compression_step(job->ctx, &s->compression);
  const pith_compression *c = &s->compression;
  job->progress = (pith_progress){phases[c->phase], units[c->phase], c->done, c->total};
  if (status == PITH_OK) pith_compression_report(c, job->result);
  return status;
}

static void release(pith_job *job) {
  compress_state *s = job->state;
  if (s->compression.options.source) pith_compression_free(job->ctx, &s->compression);
  pith_json_free(s->recipe);
  pith_texts_free(job->ctx, &s->texts);
  pith_texts_free(job->ctx, &s->calibration);
}

static const char *const keys[] = {"source", "output", "recipe", "shardSize", "texts", "calibrate", "force", "threads", NULL};
const pith_verb pith_verb_compress = {"compress", keys, sizeof(compress_state), start, step, release};
