/* Opening checkpoints, apart from packages: a page that only infers is served by a module without it. */
#include "model/open.h"

pith_status pith_model_checkpoint_tokenizer(pith_ctx *ctx, const pith_checkpoint *checkpoint, pith_tokenizer **out) {
  pith_buffer text = {0};
  *out = NULL;
  pith_status status = pith_checkpoint_tokenizer(ctx, checkpoint, &text);
  const char *what = checkpoint->gguf_path ? checkpoint->gguf_path : "tokenizer.json";
  if (status == PITH_OK) status = pith_tokenizer_open(ctx, text.data ? text.data : "", text.n_bytes, what, out);
  pith_buffer_free(ctx, &text);
  return status;
}

static pith_status begin(pith_ctx *ctx, pith_model_loader *l, const char *source) {
  PITH_TRY(pith_checkpoint_open(ctx, source, &l->checkpoint));
  l->model->config = l->checkpoint.config;
  l->model->labels = pith_labels(&l->model->config, l->checkpoint.config_json);
  for (size_t i = 0; i < l->checkpoint.n_files; i++) l->model->n_source_bytes += l->checkpoint.files[i].n_bytes;
  PITH_TRY(pith_model_checkpoint_tokenizer(ctx, &l->checkpoint, &l->model->tokenizer));
  PITH_TRY(pith_checkpoint_loader_init(ctx, &l->weights, &l->checkpoint, &l->model->weights));
  l->reading_checkpoint = true;
  l->total_bytes = (double)l->weights.total_bytes;
  return PITH_OK;
}

static pith_status step(pith_ctx *ctx, pith_model_loader *l) {
  const pith_status status = pith_checkpoint_loader_step(ctx, &l->weights);
  l->done_bytes = (double)l->weights.done_bytes;
  return status;
}

static void release(pith_ctx *ctx, pith_model_loader *l) {
  pith_checkpoint_loader_free(ctx, &l->weights);
  pith_checkpoint_close(ctx, &l->checkpoint);
}

const pith_opener pith_opener_checkpoint = {begin, step, release};
