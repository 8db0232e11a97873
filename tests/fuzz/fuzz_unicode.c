/* The four normalisation forms of a text: each is its own form, and every other one that may follow from it does (UAX 15, section 1.2). */
#include <string.h>

#include "text/text_internal.h"

static pith_buffer form_of(pith_ctx *ctx, const pith_unicode_forms *forms, int form, const pith_buffer *text, size_t origin) {
  const pith_text_op op = {.kind = PITH_OP_UNICODE, .compose = (form & 1) != 0, .compatible = (form & 2) != 0, .forms = (pith_unicode_forms *)forms};
  pith_buffer out = {0};
  size_t at = origin;
  if (pith_unicode_form(ctx, &op, false, text->data, text->n_bytes, &at, &out) != PITH_OK) __builtin_trap();
  if (at > out.n_bytes || pith_utf8_validate(out.data, at) != at || (origin == text->n_bytes && at != out.n_bytes)) __builtin_trap();
  if (pith_utf8_validate(out.data, out.n_bytes) != out.n_bytes) __builtin_trap();
  return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  static pith_unicode_forms *forms;
  pith_ctx ctx;
  pith_buffer text = {0}, first[4], second;
  pith_ctx_init(&ctx, NULL, NULL);
  if (!forms && pith_unicode_forms_open(&ctx, true, &forms) != PITH_OK) __builtin_trap();
  const size_t valid = pith_utf8_validate((const char *)data, n_bytes);
  if (pith_buffer_append(&ctx, &text, data, valid) != PITH_OK) __builtin_trap();
  size_t cut = valid / 2;
  while (cut > 0 && ((uint8_t)text.data[cut] & 0xc0) == 0x80) cut--;
  for (int from = 0; from < 4; from++) {
    second = form_of(&ctx, forms, from, &text, cut);
    first[from] = form_of(&ctx, forms, from, &text, valid);
    if (first[from].n_bytes != second.n_bytes || (second.n_bytes && memcmp(first[from].data, second.data, second.n_bytes) != 0)) __builtin_trap();
    pith_buffer_free(&ctx, &second);
  }
  for (int from = 0; from < 4; from++)
    for (int to = 0; to < 4; to++) {
      const pith_buffer *expected = &first[to | (from & 2)];   /* what is compatible stays so */
      second = form_of(&ctx, forms, to, &first[from], first[from].n_bytes);
      if (second.n_bytes != expected->n_bytes || (second.n_bytes && memcmp(second.data, expected->data, second.n_bytes) != 0)) __builtin_trap();
      pith_buffer_free(&ctx, &second);
    }
  for (int from = 0; from < 4; from++) pith_buffer_free(&ctx, &first[from]);
  pith_buffer_free(&ctx, &text);
  return 0;
}
