/* The dispatch behind pith.h. */
#include "verbs/verbs.h"

#include <stdlib.h>
#include <string.h>

pith_instance *pith_open(const pith_host *host, const pith_allocator *allocator) {
  pith_instance *instance = allocator ? allocator->allocate(allocator->user, sizeof *instance) : malloc(sizeof *instance);
  if (!instance) return NULL;
  memset(instance, 0, sizeof *instance);
  pith_ctx_init(&instance->ctx, host, allocator);
  return instance;
}

void pith_close(pith_instance *instance) {
  if (!instance) return;
  for (int i = 0; i < PITH_MAX_MODELS; i++) {
    if (!instance->models[i]) continue;
    pith_model_close(&instance->ctx, instance->models[i]);
    pith_free(&instance->ctx, instance->models[i]);
  }
  const pith_allocator allocator = instance->ctx.allocator;
  allocator.release(allocator.user, instance);
}

const char *pith_message(const pith_instance *instance) { return instance->ctx.message; }

static pith_status check_keys(pith_job *job) {
  for (const pith_json *member = pith_json_first(job->request); member; member = pith_json_next(member)) {
    const char *key = pith_json_key(member);
    const char *const *known = job->verb->keys;
    while (*known && strcmp(*known, key) != 0) known++;
    if (!*known && strcmp(key, "verb") != 0)
      return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s has no option \"%.60s\"", job->verb->name, key);
  }
  return PITH_OK;
}

static pith_status start(pith_job *job, const char *request, size_t n_bytes) {
  const char *name;
  PITH_TRY(pith_json_parse(job->ctx, request, n_bytes, "the request", &job->request));
  PITH_TRY(pith_json_need_string(job->ctx, job->request, "verb", "the request", &name));
  const pith_verb *verb = NULL;
  for (const pith_verb *const *v = pith_verbs; *v; v++)
    if (strcmp((*v)->name, name) == 0) verb = *v;
  if (!verb) return pith_fail(job->ctx, PITH_E_ARGUMENT, "there is no verb \"%.40s\"", name);
  PITH_TRY(pith_calloc(job->ctx, 1, verb->state_bytes + 1, &job->state));
  job->verb = verb;
  job->result = pith_json_new_object();
  job->progress = (pith_progress){verb->name, "", 0, 0};
  PITH_TRY(check_keys(job));
  return verb->start(job);
}

pith_status pith_job_start(pith_instance *instance, const char *request, size_t n_bytes, pith_job **out) {
  pith_job *job;
  *out = NULL;
  PITH_TRY(pith_calloc(&instance->ctx, 1, sizeof *job, &job));
  job->instance = instance;
  job->ctx = &instance->ctx;
  job->status = PITH_PENDING;
  const pith_status status = start(job, request, n_bytes);
  if (status != PITH_OK) {
    pith_job_end(job);
    return status;
  }
  *out = job;
  return PITH_OK;
}

static pith_status run(pith_job *job, double budget_ms) {
  const pith_host *host = &job->ctx->host;
  const double begin = host->now_ms(host->user);
  do {
    if (host->cancelled(host->user)) return pith_fail(job->ctx, PITH_E_CANCELLED, "cancelled");
    job->waiting = false;
    const pith_status status = job->verb->step(job);
    if (status == PITH_OK) return pith_json_print(job->ctx, job->result, false, &job->result_text);
    if (status != PITH_PENDING) return status;
  } while (!job->waiting && host->now_ms(host->user) - begin < budget_ms);
  return PITH_PENDING;
}

pith_status pith_job_step(pith_job *job, double budget_ms) {
  if (job->status == PITH_PENDING) job->status = run(job, budget_ms);
  return job->status;
}

bool pith_job_waiting(const pith_job *job) { return job->waiting; }
pith_progress pith_job_progress(const pith_job *job) { return job->progress; }

const char *pith_job_take_text(pith_job *job, size_t *n_bytes) {
  const char *text = job->text.data ? job->text.data + job->text_taken : "";
  *n_bytes = job->text.n_bytes - job->text_taken;
  job->text_taken = job->text.n_bytes;
  return text;
}

const char *pith_job_result(const pith_job *job, size_t *n_bytes) {
  *n_bytes = job->result_text.n_bytes;
  return job->result_text.data ? job->result_text.data : "";
}

const void *pith_job_data(const pith_job *job, size_t *n_bytes) {
  *n_bytes = job->n_data_bytes;
  return job->data;
}

void pith_job_end(pith_job *job) {
  if (!job) return;
  if (job->verb && job->verb->free) job->verb->free(job);
  pith_free(job->ctx, job->state);
  pith_json_free(job->request);
  pith_json_free(job->result);
  pith_buffer_free(job->ctx, &job->result_text);
  pith_buffer_free(job->ctx, &job->text);
  pith_free(job->ctx, job->data);
  pith_free(job->ctx, job);
}

pith_status pith_verb_done(pith_job *job) {
  (void)job;
  return PITH_OK;
}

pith_status pith_request_string(pith_job *job, const char *key, bool needed, const char **out) {
  const pith_json *member = pith_json_get(job->request, key);
  *out = pith_json_string(member);
  if (*out || (!needed && pith_json_is_null(member))) return PITH_OK;
  return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"%s\" should be a string", job->verb->name, key);
}

pith_status pith_request_number(pith_job *job, const char *key, double fallback, double *out) {
  const pith_json *member = pith_json_get(job->request, key);
  *out = pith_json_number(member, fallback);
  if (pith_json_is_null(member) || pith_json_is_number(member)) return PITH_OK;
  return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"%s\" should be a number", job->verb->name, key);
}

pith_status pith_request_integer(pith_job *job, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out) {
  const pith_json *member = pith_json_get(job->request, key);
  *out = fallback;
  if (pith_json_is_null(member) || pith_json_integer(member, low, high, out)) return PITH_OK;
  return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"%s\" should be a whole number from %lld to %lld", job->verb->name, key, (long long)low, (long long)high);
}

pith_status pith_request_bool(pith_job *job, const char *key, bool fallback, bool *out) {
  const pith_json *member = pith_json_get(job->request, key);
  *out = pith_json_is_null(member) ? fallback : pith_json_true(member);
  if (pith_json_is_null(member) || pith_json_is_bool(member)) return PITH_OK;
  return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"%s\" should be true or false", job->verb->name, key);
}

pith_status pith_request_model(pith_job *job, pith_model **out) {
  int64_t number;
  if (!pith_json_integer(pith_json_get(job->request, "model"), 1, PITH_MAX_MODELS, &number) || !job->instance->models[number - 1])
    return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"model\" should be the number of a loaded model", job->verb->name);
  *out = job->instance->models[number - 1];
  return PITH_OK;
}

pith_status pith_request_kernels(pith_job *job, const pith_kernels **out) {
  const char *name;
  PITH_TRY(pith_request_string(job, "kernels", false, &name));
  *out = pith_kernels_find(name);
  if (*out) return PITH_OK;
  char list[128] = "";
  size_t n = 0;
  for (const pith_kernels *const *k = pith_kernels_list(); *k && n + strlen((*k)->name) + 3 < sizeof list; k++) {
    if (n) memcpy(list + n, ", ", 2), n += 2;
    memcpy(list + n, (*k)->name, strlen((*k)->name) + 1);
    n += strlen((*k)->name);
  }
  return pith_fail(job->ctx, PITH_E_UNSUPPORTED, "there are no kernels \"%.40s\" here; there are %s", name, list);
}

pith_status pith_request_attention(pith_job *job, pith_config *config) {
  const pith_json *name = pith_json_get(job->request, "attention");
  pith_attention attention;
  PITH_TRY(pith_attention_parse(job->ctx, name, job->verb->name, &attention));
  if (config && !pith_json_is_null(name)) config->attention = attention;
  return PITH_OK;
}

pith_status pith_request_threads(pith_job *job) {
  const pith_json *member = pith_json_get(job->request, "threads");
  const pith_host *host = &job->ctx->host;
  const char *word = pith_json_string(member);
  int64_t n = 0;
  if (pith_json_is_null(member)) return PITH_OK;
  if (!(word && strcmp(word, "auto") == 0) && !pith_json_integer(member, 1, PITH_MAX_THREADS, &n))
    return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: threads should be a whole number from 1 to %d, or \"auto\"", job->verb->name, PITH_MAX_THREADS);
  if (!job->ctx->parallel && n != 1 && host->threads) {
    job->ctx->parallel = host->threads(host->user, (uint32_t)n);
    return PITH_OK;
  }
  const uint32_t there = pith_parallel_threads(job->ctx->parallel);
  if (n == 0 || n == there || !host->threads) return PITH_OK;
  return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: this instance works with %u threads already; another number takes another instance", job->verb->name, there);
}

pith_status pith_request_budget(pith_job *job, pith_plan_options *out, bool *given) {
  static const char *const keys[] = {[PITH_BUDGET_BYTES] = "maxBytes", [PITH_BUDGET_LOSS] = "maxLoss", [PITH_BUDGET_MS] = "maxMs"};
  int n_given = 0;
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    if (pith_json_is_null(pith_json_get(job->request, keys[i]))) continue;
    PITH_TRY(pith_request_number(job, keys[i], 0, &out->limit));
    out->budget = (pith_budget)i;
    n_given++;
  }
  PITH_TRY(pith_request_string(job, "metric", false, &out->metric));
  *given = n_given > 0;
  if (n_given > 1) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s keeps to one budget: bytes, loss or milliseconds", job->verb->name);
  if (out->metric && !(n_given == 1 && out->budget == PITH_BUDGET_LOSS)) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: a metric goes with the most loss", job->verb->name);
  if (!*given) return PITH_OK;
  if (!(out->limit > 0 && out->limit < 0x1p53)) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: a budget is a number above 0", job->verb->name);
  return PITH_OK;
}

pith_status pith_json_write_file(pith_ctx *ctx, const pith_json *json, const char *path) {
  pith_buffer text = {0};
  pith_status status = pith_json_print(ctx, json, true, &text);
  if (status == PITH_OK) status = pith_buffer_append(ctx, &text, "\n", 1);
  if (status == PITH_OK) status = pith_io_write_file(ctx, path, text.data, text.n_bytes);
  pith_buffer_free(ctx, &text);
  return status;
}

enum { MAX_SENSITIVITY_BYTES = 64 << 20 };

pith_status pith_request_sensitivity(pith_job *job, pith_plan *plan, pith_sensitivity_file *file) {
  const pith_json *json = pith_json_get(job->request, "sensitivity");
  if (pith_json_is_object(json)) return pith_sensitivity_read(job->ctx, &plan->sensitivity, json, "the sensitivity");
  PITH_TRY(pith_request_string(job, "sensitivity", false, &file->path));
  if (!file->path || job->ctx->host.exists(job->ctx->host.user, file->path) == 0) return PITH_OK;
  char *text;
  size_t n_bytes;
  pith_json *read;
  PITH_TRY(pith_io_read_file(job->ctx, file->path, MAX_SENSITIVITY_BYTES, &text, &n_bytes));
  pith_status status = pith_json_parse(job->ctx, text, n_bytes, file->path, &read);
  pith_free(job->ctx, text);
  PITH_TRY(status);
  status = pith_sensitivity_read(job->ctx, &plan->sensitivity, read, file->path);
  pith_json_free(read);
  file->complete = plan->sensitivity.unit == PITH_SENSE_DONE;
  return status;
}

pith_status pith_sensitivity_file_update(pith_ctx *ctx, pith_sensitivity_file *file, const pith_plan *plan) {
  const pith_sensitivity *s = &plan->sensitivity;
  const bool complete = s->unit == PITH_SENSE_DONE;
  if (!file->path || (s->found == file->found && complete == file->complete)) return PITH_OK;
  file->found = s->found;
  file->complete = complete;
  pith_json *json = pith_sensitivity_print(s);
  const pith_status status = pith_json_write_file(ctx, json, file->path);
  pith_json_free(json);
  return status;
}

pith_status pith_request_texts(pith_job *job, const char *key, pith_texts *out) {
  const pith_json *list = pith_json_get(job->request, key);
  const size_t n = pith_json_count(list);
  memset(out, 0, sizeof *out);
  if (pith_json_is_null(list)) return PITH_OK;
  if (!pith_json_is_array(list)) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"%s\" should be a list of strings", job->verb->name, key);
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *out->texts, &out->texts));
  PITH_TRY(pith_calloc(job->ctx, n, sizeof *out->n_bytes, &out->n_bytes));
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) {
    const char *text = pith_json_string(item);
    if (!text) return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s: \"%s\" should hold strings alone", job->verb->name, key);
    out->texts[out->n] = text;
    out->n_bytes[out->n++] = strlen(text);
  }
  return PITH_OK;
}

pith_json *pith_ids_print(const int32_t *ids, size_t n) {
  pith_json *list = pith_json_new_array();
  for (size_t i = 0; i < n; i++) pith_json_add_number(list, NULL, ids[i]);
  return list;
}
