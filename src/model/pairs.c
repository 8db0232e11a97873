/* A pair of texts as a model wants it. */
#include "model/open.h"
#include "text/pairs.h"

pith_status pith_model_encode_pair(pith_ctx *ctx, const pith_model *model, const char *const texts[2], const size_t n_bytes[2], pith_ids *out, pith_ids *types) {
  const pith_config *c = &model->config;
  const size_t begin = out->n;
  PITH_TRY(pith_tokenizer_encode_pair(ctx, model->tokenizer, texts, n_bytes, c->max_tokens, out, types));
  for (size_t i = 0; c->type_vocab_size < 2 && i < types->n; i++) types->ids[i] = 0;   /* the reference gives such models none */
  return pith_model_check_ids(ctx, model, out, begin);
}
