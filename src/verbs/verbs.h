/* What verbs share: the job they run in, and reading of requests. One verb, one file; verbs.c lists them. */
#ifndef PITH_VERBS_H
#define PITH_VERBS_H

#include "compress/plan.h"
#include "eval/evaluate.h"
#include "pith.h"

enum { PITH_MAX_MODELS = 16 };
struct pith_instance {
  pith_ctx ctx;
  pith_model *models[PITH_MAX_MODELS];   /* number - 1; NULL: free */
};

typedef struct pith_verb {
  const char *name;
  const char *const *keys;               /* what a request may hold beside "verb"; NULL-terminated */
  size_t state_bytes;                    /* zeroed before start */
  pith_status (*start)(pith_job *job);   /* checks the request */
  pith_status (*step)(pith_job *job);    /* one short unit; PITH_OK fills job->result */
  void (*free)(pith_job *job);           /* of whatever start made, also half of it */
} pith_verb;

struct pith_job {
  pith_instance *instance;
  pith_ctx *ctx;
  const pith_verb *verb;
  pith_json *request, *result;
  pith_buffer result_text;
  void *data;                            /* the result's binary part */
  size_t n_data_bytes;
  pith_buffer text;                      /* produced, of which text_taken bytes were taken */
  size_t text_taken;
  pith_progress progress;
  bool waiting;
  pith_status status;
  void *state;
};

extern const pith_verb pith_verb_version, pith_verb_load, pith_verb_unload, pith_verb_inspect, pith_verb_tokenize, pith_verb_detokenize,
    pith_verb_embed, pith_verb_classify, pith_verb_tag, pith_verb_fill, pith_verb_generate, pith_verb_compress, pith_verb_eval, pith_verb_digest, pith_verb_plan, pith_verb_diff;

/* The verbs of the program, NULL-terminated: all.c lists every one, inference.c those of a page that only infers. A program links all.c
 * unless it brings the other. */
extern const pith_verb *const pith_verbs[];

/* A step for verbs that do everything in start. */
pith_status pith_verb_done(pith_job *job);

/* Reading of requests. A missing or null key leaves the fallback; another type is PITH_E_ARGUMENT. */
pith_status pith_request_string(pith_job *job, const char *key, bool needed, const char **out);
pith_status pith_request_number(pith_job *job, const char *key, double fallback, double *out);
pith_status pith_request_integer(pith_job *job, const char *key, int64_t low, int64_t high, int64_t fallback, int64_t *out);
pith_status pith_request_bool(pith_job *job, const char *key, bool fallback, bool *out);
pith_status pith_request_model(pith_job *job, pith_model **out);
pith_status pith_request_kernels(pith_job *job, const pith_kernels **out);
/* "attention": how the model is to attend, if not as its package says. NULL: only checks the request. */
pith_status pith_request_attention(pith_job *job, pith_config *config);
/* "threads": a number or "auto", for all work of the instance from now on. Without the key nothing changes. */
pith_status pith_request_threads(pith_job *job);
/* "maxBytes", "maxLoss", "maxMs", "metric": *given is false where there is no budget. PITH_E_ARGUMENT for two of them, and for what is not above 0. */
pith_status pith_request_budget(pith_job *job, pith_plan_options *out, bool *given);
/* "sensitivity" of a plan that was begun: what another run found, itself or in a file that may not be there yet. */
typedef struct pith_sensitivity_file {
  const char *path;                      /* NULL: none */
  uint32_t found;                        /* what the file knows of */
  bool complete;
} pith_sensitivity_file;
pith_status pith_request_sensitivity(pith_job *job, pith_plan *plan, pith_sensitivity_file *file);
/* After a step: writes what is new into the file, whole or not at all, so that a run that is interrupted goes on from there. */
pith_status pith_sensitivity_file_update(pith_ctx *ctx, pith_sensitivity_file *file, const pith_plan *plan);
/* A list of strings, borrowed from the request. n is 0 when it is missing. */
pith_status pith_request_texts(pith_job *job, const char *key, pith_texts *out);

/* The JSON, indented, as a file. */
pith_status pith_json_write_file(pith_ctx *ctx, const pith_json *json, const char *path);

/* The numbers of a list of ids. */
pith_json *pith_ids_print(const int32_t *ids, size_t n);

#endif
