/* tokenizer.json, then (after a NUL) a text: what is accepted encodes it and decodes the ids, whole and one by one, and decodes other ids that the
 * text's bytes choose. */
#include <string.h>

#include "text/tokenizer.h"
#include "text/unicode.h"

/* All pieces together are the whole, and none ends in a character's middle. */
static void decode(pith_ctx *ctx, const pith_tokenizer *tokenizer, const pith_ids *ids, bool skip_special_tokens) {
  pith_buffer whole = {0}, pieces = {0};
  pith_detokenizer state = {.skip_special_tokens = skip_special_tokens};
  if (pith_tokenizer_decode(ctx, tokenizer, ids->ids, ids->n, skip_special_tokens, &whole) == PITH_OK) {
    for (size_t i = 0; i <= ids->n; i++) {
      const size_t before = pieces.n_bytes;
      if (i < ids->n) (void)pith_detokenizer_push(ctx, tokenizer, &state, ids->ids[i], &pieces);
      else (void)pith_detokenizer_flush(ctx, tokenizer, &state, &pieces);
      const size_t n = pieces.n_bytes - before;
      if (n && pith_utf8_validate(pieces.data + before, n) != n) __builtin_trap();
    }
    if (whole.n_bytes != pieces.n_bytes || (whole.n_bytes && memcmp(whole.data, pieces.data, whole.n_bytes) != 0)) __builtin_trap();
  }
  pith_detokenizer_free(ctx, &state);
  pith_buffer_free(ctx, &whole);
  pith_buffer_free(ctx, &pieces);
}

static void use(pith_ctx *ctx, const pith_tokenizer *tokenizer, const char *text, size_t n_bytes) {
  pith_ids ids = {0};
  const int32_t vocab_size = pith_tokenizer_vocab_size(tokenizer);
  if (pith_tokenizer_encode(ctx, tokenizer, text, n_bytes, (pith_encode_options){true, 0}, &ids) == PITH_OK) decode(ctx, tokenizer, &ids, false);
  ids.n = 0;
  for (size_t i = 0; i < n_bytes && i < 512; i++)
    if (pith_ids_append(ctx, &ids, (uint8_t)text[i] % vocab_size) != PITH_OK) break;
  decode(ctx, tokenizer, &ids, true);
  pith_ids_free(ctx, &ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  pith_ctx ctx;
  pith_tokenizer *tokenizer;
  pith_ctx_init(&ctx, NULL, NULL);
  const uint8_t *end = n_bytes ? memchr(data, '\0', n_bytes) : NULL;
  const size_t n_json = end ? (size_t)(end - data) : n_bytes;
  if (pith_tokenizer_open(&ctx, (const char *)data, n_json, "tokenizer.json", &tokenizer) != PITH_OK) return 0;
  if (end) use(&ctx, tokenizer, (const char *)end + 1, n_bytes - n_json - 1);
  else use(&ctx, tokenizer, "a text, na\xc3\xafve \xe4\xb8\xad", 16);
  pith_tokenizer_close(&ctx, tokenizer);
  return 0;
}
