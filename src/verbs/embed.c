#include "runtime/embed.h"
#include "verbs/verbs.h"

typedef struct embed_state {
  pith_texts texts;
  pith_embedder embedder;
} embed_state;

static pith_status start(pith_job *job) {
  embed_state *s = job->state;
  pith_model *model;
  const pith_json *normalize = pith_json_get(job->request, "normalize");
  bool wanted;
  PITH_TRY(pith_request_model(job, &model));
  PITH_TRY(pith_request_bool(job, "normalize", false, &wanted));
  PITH_TRY(pith_request_texts(job, "texts", &s->texts));
  if (!s->texts.texts) return pith_fail(job->ctx, PITH_E_ARGUMENT, "embed: \"texts\" should be a list of strings");
  PITH_TRY(pith_embedder_init(job->ctx, &s->embedder, model));
  job->n_data_bytes = s->texts.n * (size_t)model->config.hidden_size * sizeof(float);
  PITH_TRY(pith_malloc(job->ctx, job->n_data_bytes, &job->data));
  PITH_TRY(pith_embedder_begin(job->ctx, &s->embedder, s->texts.texts, s->texts.n_bytes, s->texts.n,
                               pith_json_is_null(normalize) ? -1 : wanted, job->data));
  job->progress = (pith_progress){"embed", "texts", 0, (double)s->texts.n};
  return PITH_OK;
}

static pith_status step(pith_job *job) {
  embed_state *s = job->state;
  const pith_status status = pith_embedder_step(job->ctx, &s->embedder);
  job->progress.done = (double)s->embedder.encoder.first;
  if (status != PITH_OK) return status;
  pith_json *dims = pith_json_new_array(), *tokens = pith_json_new_array();
  pith_json_add_number(dims, NULL, (double)s->texts.n);
  pith_json_add_number(dims, NULL, s->embedder.encoder.model->config.hidden_size);
  for (size_t i = 0; i < s->texts.n; i++) pith_json_add_number(tokens, NULL, (double)pith_encoder_tokens(&s->embedder.encoder, i));
  pith_json_add(job->result, "dims", dims);
  pith_json_add(job->result, "tokens", tokens);
  return PITH_OK;
}

static void release(pith_job *job) {
  embed_state *s = job->state;
  pith_embedder_free(job->ctx, &s->embedder);
  pith_texts_free(job->ctx, &s->texts);
}

static const char *const keys[] = {"model", "texts", "normalize", NULL};
const pith_verb pith_verb_embed = {"embed", keys, sizeof(embed_state), start, step, release};
