#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

pith_status pith_pieces_end(pith_ctx *ctx, pith_pieces *pieces) {
  if (pieces->text.n_bytes == (pieces->n ? pieces->ends[pieces->n - 1] : 0)) return PITH_OK;
  if (pieces->n == pieces->capacity) {
    const size_t capacity = pieces->capacity ? 2 * pieces->capacity : 32;
    PITH_TRY(pith_realloc(ctx, &pieces->ends, pieces->n * sizeof *pieces->ends, capacity * sizeof *pieces->ends));
    pieces->capacity = capacity;
  }
  pieces->ends[pieces->n++] = pieces->text.n_bytes;
  return PITH_OK;
}

void pith_pieces_clear(pith_pieces *pieces) { pieces->n = pieces->text.n_bytes = 0; }

void pith_pieces_free(pith_ctx *ctx, pith_pieces *pieces) {
  pith_buffer_free(ctx, &pieces->text);
  pith_free(ctx, pieces->ends);
  memset(pieces, 0, sizeof *pieces);
}

static bool is_bert_punctuation(uint32_t c) {
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
  return (pith_unicode_flags(c) & PITH_PUNCTUATION) != 0;
}

/* White space parts words and is dropped; with `punctuation` every mark is a word of its own. */
static pith_status split_blanks(pith_ctx *ctx, const char *text, size_t n_bytes, bool punctuation, pith_pieces *out) {
  for (size_t i = 0; i < n_bytes;) {
    uint32_t c;
    const size_t n = pith_utf8_decode(text + i, n_bytes - i, &c);
    const bool blank = (pith_unicode_flags(c) & PITH_SPACE) != 0, mark = punctuation && is_bert_punctuation(c);
    if (blank || mark) PITH_TRY(pith_pieces_end(ctx, out));
    if (!blank) PITH_TRY(pith_buffer_append(ctx, &out->text, text + i, n));
    if (mark) PITH_TRY(pith_pieces_end(ctx, out));
    i += n;
  }
  return pith_pieces_end(ctx, out);
}

/* GPT-2 maps bytes to printable characters: the Latin-1 printables to themselves, the rest from U+0100 on. */
static bool is_level_printable(uint32_t b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255); }

uint32_t pith_level_char_of_byte(uint8_t byte) {
  if (is_level_printable(byte)) return byte;
  if (byte <= 32) return 256u + byte;            /* 0 … 32 */
  if (byte <= 160) return 256u + 33 + (byte - 127u);   /* 127 … 160 */
  return 256u + 67;                              /* 173 */
}

int32_t pith_byte_of_level_char(uint32_t c) {
  if (c < 256) return is_level_printable(c) ? (int32_t)c : -1;
  if (c <= 256 + 32) return (int32_t)(c - 256);
  if (c <= 256 + 66) return (int32_t)(c - 256 - 33 + 127);
  return c == 256 + 67 ? 173 : -1;
}

typedef enum char_class { CLASS_END, CLASS_SPACE, CLASS_LETTER, CLASS_NUMBER, CLASS_OTHER } char_class;

static char_class class_at(const char *text, size_t n_bytes, size_t i, size_t *n) {
  uint32_t c;
  *n = 0;
  if (i >= n_bytes) return CLASS_END;
  *n = pith_utf8_decode(text + i, n_bytes - i, &c);
  const uint32_t flags = pith_unicode_flags(c);
  return flags & PITH_SPACE ? CLASS_SPACE : flags & PITH_LETTER ? CLASS_LETTER : flags & PITH_NUMBER ? CLASS_NUMBER : CLASS_OTHER;
}

static size_t contraction(const char *text, size_t n_bytes) {
  static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    const size_t n = strlen(endings[i]);
    if (n <= n_bytes && memcmp(text, endings[i], n) == 0) return n;
  }
  return 0;
}

/* The length of the next match of GPT-2's pattern
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t gpt2_match(const char *text, size_t n_bytes) {
  size_t n = contraction(text, n_bytes), width;
  if (n) return n;
  const size_t blank = text[0] == ' ';
  char_class class = class_at(text, n_bytes, blank, &width);
  if (class >= CLASS_LETTER) {
    n = blank;
    do n += width;
    while (class_at(text, n_bytes, n, &width) == class);
    return n;
  }
  size_t last = 0;   /* where the run's last character begins */
  n = 0;
  while ((class = class_at(text, n_bytes, n, &width)) == CLASS_SPACE) {
    last = n;
    n += width;
  }
  return class == CLASS_END || last == 0 ? n : last;
}

static pith_status split_byte_level(pith_ctx *ctx, const pith_text_op *op, const char *text, size_t n_bytes, pith_pieces *out) {
  pith_buffer prefixed = {0};
  pith_status status = PITH_OK;
  if (op->add_prefix_space && n_bytes > 0 && text[0] != ' ') {
    status = pith_buffer_append(ctx, &prefixed, " ", 1);
    if (status == PITH_OK) status = pith_buffer_append(ctx, &prefixed, text, n_bytes);
    text = prefixed.data;
    n_bytes++;
  }
  for (size_t i = 0; i < n_bytes && status == PITH_OK;) {
    const size_t n = op->use_regex ? gpt2_match(text + i, n_bytes - i) : n_bytes;
    for (size_t k = 0; k < n && status == PITH_OK; k++)
      status = pith_append_code_point(ctx, &out->text, pith_level_char_of_byte((uint8_t)text[i + k]));
    if (status == PITH_OK) status = pith_pieces_end(ctx, out);
    i += n;
  }
  pith_buffer_free(ctx, &prefixed);
  return status;
}

static pith_status apply(pith_ctx *ctx, const pith_text_op *op, const char *text, size_t n_bytes, pith_pieces *out) {
  switch (op->kind) {
    case PITH_OP_BERT_SPLIT: return split_blanks(ctx, text, n_bytes, true, out);
    case PITH_OP_WHITESPACE_SPLIT: return split_blanks(ctx, text, n_bytes, false, out);
    case PITH_OP_BYTE_LEVEL: return split_byte_level(ctx, op, text, n_bytes, out);
    default: return pith_fail(ctx, PITH_E_INTERNAL, "a pre-tokenizer of an unknown kind");
  }
}

pith_status pith_pre_tokenize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, pith_pieces *out) {
  pith_pieces next = {0};
  pith_pieces_clear(out);
  pith_status status = pith_buffer_append(ctx, &out->text, text, n_bytes);
  if (status == PITH_OK) status = pith_pieces_end(ctx, out);
  for (uint32_t i = 0; i < ops->n && status == PITH_OK; i++) {
    pith_pieces_clear(&next);
    for (size_t p = 0, begin = 0; p < out->n && status == PITH_OK; begin = out->ends[p++])
      status = apply(ctx, &ops->ops[i], out->text.data + begin, out->ends[p] - begin, &next);
    const pith_pieces swap = *out;
    *out = next;
    next = swap;
  }
  pith_pieces_free(ctx, &next);
  return status;
}
