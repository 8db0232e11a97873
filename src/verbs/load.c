#include <string.h>

#include "verbs/verbs.h"

#ifdef __wasm__
#define PITH_BUILD "wasm"
#else
#define PITH_BUILD "native"
#endif

static pith_status start_version(pith_job *job) {
  pith_json *kernels = pith_json_new_array();
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++) pith_json_add_string(kernels, NULL, (*k)->name);
  pith_json_add_string(job->result, "version", PITH_VERSION);
  pith_json_add_string(job->result, "commit", PITH_COMMIT);
  pith_json_add_string(job->result, "build", PITH_BUILD);
  pith_json_add_string(job->result, "kernels", pith_kernels_find("auto")->name);
  pith_json_add(job->result, "kernelsAvailable", kernels);
  return PITH_OK;
}

static const char *const no_keys[] = {NULL};
const pith_verb pith_verb_version = {"version", no_keys, 0, start_version, pith_verb_done, NULL};

typedef struct load_state {
  pith_model_loader loader;
  pith_model *model;
} load_state;

static pith_status start_load(pith_job *job) {
  load_state *s = job->state;
  const char *path;
  const pith_kernels *kernels;
  s->loader.handle = -1;
  PITH_TRY(pith_request_string(job, "path", true, &path));
  PITH_TRY(pith_request_kernels(job, &kernels));
  PITH_TRY(pith_request_attention(job, NULL));
  PITH_TRY(pith_request_threads(job));
  PITH_TRY(pith_calloc(job->ctx, 1, sizeof *s->model, &s->model));
  job->progress = (pith_progress){"load", "bytes", 0, 0};
  return pith_model_loader_init(job->ctx, &s->loader, s->model, path, kernels);
}

/* Whether the program has the verb of the model's task; a page's smallest one leaves some out. */
static bool is_served(const pith_config *config) {
  const char *task = config->family ? pith_task_name(config->task) : "embed";
  const pith_verb *const *v = pith_verbs;
  while (*v && strcmp((*v)->name, task) != 0) v++;
  return *v != NULL;
}

static pith_status step_load(pith_job *job) {
  load_state *s = job->state;
  pith_status status = pith_model_loader_step(job->ctx, &s->loader);
  if ((status == PITH_OK || status == PITH_PENDING) && !is_served(&s->model->config)) status = PITH_E_INCOMPLETE;
  job->waiting = s->loader.waiting;
  job->progress.done = s->loader.done_bytes;
  job->progress.total = s->loader.total_bytes;
  if (status == PITH_E_INCOMPLETE) {   /* the caller then asks the complete module */
    pith_json_add_bool(job->result, "incomplete", true);
    return PITH_OK;
  }
  if (status != PITH_OK) return status;
  int number = 0;
  while (number < PITH_MAX_MODELS && job->instance->models[number]) number++;
  if (number == PITH_MAX_MODELS) return pith_fail(job->ctx, PITH_E_LIMIT, "an instance holds %d models; unload one first", PITH_MAX_MODELS);
  pith_model_loader_free(job->ctx, &s->loader);
  PITH_TRY(pith_request_attention(job, &s->model->config));
  pith_json_add_number(job->result, "model", number + 1);
  pith_json *info = pith_model_info(s->model);
  pith_json_add_number(info, "threads", pith_parallel_threads(job->ctx->parallel));
  pith_json_add(job->result, "info", info);
  job->instance->models[number] = s->model;
  s->model = NULL;
  return PITH_OK;
}

static void free_load(pith_job *job) {
  load_state *s = job->state;
  pith_model_loader_free(job->ctx, &s->loader);
  if (s->model) pith_model_close(job->ctx, s->model);
  pith_free(job->ctx, s->model);
}

static const char *const load_keys[] = {"path", "kernels", "attention", "threads", NULL};
const pith_verb pith_verb_load = {"load", load_keys, sizeof(load_state), start_load, step_load, free_load};

static pith_status start_unload(pith_job *job) {
  pith_model *model;
  PITH_TRY(pith_request_model(job, &model));
  for (int i = 0; i < PITH_MAX_MODELS; i++)
    if (job->instance->models[i] == model) job->instance->models[i] = NULL;
  pith_model_close(job->ctx, model);
  pith_free(job->ctx, model);
  return PITH_OK;
}

static const char *const model_keys[] = {"model", NULL};
const pith_verb pith_verb_unload = {"unload", model_keys, 0, start_unload, pith_verb_done, NULL};
