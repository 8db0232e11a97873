/* One hash over what a model computes for some texts: embeddings, or logits of every token and a greedy continuation. */
#include <string.h>

#include "base/sha256.h"
#include "embedded.h"
#include "runtime/embed.h"
#include "runtime/generate.h"
#include "verbs/verbs.h"

enum { N_GREEDY = 24 };

typedef struct digest_state {
  pith_model *model;
  pith_texts texts;
  pith_embedder embedder;
  float *embeddings;
  pith_generator generator;
  size_t text;
  bool generating;
  uint32_t n_seen;
  pith_sha256 sha;
} digest_state;

static pith_status start(pith_job *job) {
  digest_state *s = job->state;
  PITH_TRY(pith_request_model(job, &s->model));
  PITH_TRY(pith_request_texts(job, "texts", &s->texts));
  if (s->texts.n == 0) {
    pith_texts_free(job->ctx, &s->texts);
    PITH_TRY(pith_texts_split(job->ctx, pith_digest_texts, strlen(pith_digest_texts), &s->texts));
  }
  job->progress = (pith_progress){"digest", "texts", 0, (double)s->texts.n};
  pith_sha256_init(&s->sha);
  if (s->model->config.family->task != PITH_TASK_EMBED) return PITH_OK;
  PITH_TRY(pith_embedder_init(job->ctx, &s->embedder, s->model));
  PITH_TRY(pith_calloc(job->ctx, s->texts.n * (size_t)s->model->config.hidden_size, sizeof(float), &s->embeddings));
  return pith_embedder_begin(job->ctx, &s->embedder, s->texts.texts, s->texts.n_bytes, s->texts.n, -1, s->embeddings);
}

static pith_status finish(pith_job *job) {
  char hex[65];
  digest_state *s = job->state;
  pith_sha256_final(&s->sha, hex);
  pith_json_add_string(job->result, "digest", hex);
  pith_json_add_string(job->result, "kernels", s->model->kernels->name);
  pith_json_add_number(job->result, "texts", (double)s->texts.n);
  return PITH_OK;
}

/* Every choice's logits and its id go into the hash. */
static pith_status step_generation(pith_job *job) {
  digest_state *s = job->state;
  pith_generator *g = &s->generator;
  if (!s->generating) {
    const pith_generation greedy = {.sampling = {.top_p = 1, .repetition_penalty = 1}, .max_tokens = N_GREEDY};
    if (s->text == s->texts.n) return finish(job);
    PITH_TRY(pith_generator_begin(job->ctx, g, s->model, s->texts.texts[s->text], s->texts.n_bytes[s->text], &greedy));
    s->generating = true;
    s->n_seen = g->n_ids;
    return PITH_PENDING;
  }
  const pith_status status = pith_generator_step(job->ctx, g);
  if (status != PITH_OK && status != PITH_PENDING) return status;
  if (g->n_ids != s->n_seen || status == PITH_OK) {
    pith_sha256_update(&s->sha, g->logits, (size_t)s->model->config.vocab_size * sizeof *g->logits);
    pith_sha256_update(&s->sha, g->ids + s->n_seen, (g->n_ids - s->n_seen) * sizeof *g->ids);
    s->n_seen = g->n_ids;
  }
  if (status == PITH_PENDING) return PITH_PENDING;
  pith_generator_free(job->ctx, g);
  s->generating = false;
  s->text++;
  job->progress.done = (double)s->text;
  return PITH_PENDING;
}

static pith_status step(pith_job *job) {
  digest_state *s = job->state;
  if (!s->embeddings) return step_generation(job);
  const pith_status status = pith_embedder_step(job->ctx, &s->embedder);
  if (status != PITH_OK) return status;
  pith_sha256_update(&s->sha, s->embeddings, s->texts.n * (size_t)s->model->config.hidden_size * sizeof(float));
  return finish(job);
}

static void release(pith_job *job) {
  digest_state *s = job->state;
  pith_embedder_free(job->ctx, &s->embedder);
  pith_generator_free(job->ctx, &s->generator);
  pith_free(job->ctx, s->embeddings);
  pith_texts_free(job->ctx, &s->texts);
}

static const char *const keys[] = {"model", "texts", NULL};
const pith_verb pith_verb_digest = {"digest", keys, sizeof(digest_state), start, step, release};
