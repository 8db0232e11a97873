#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

pith_status pith_append_code_point(pith_ctx *ctx, pith_buffer *buffer, uint32_t code_point) {
  char utf8[4];
  return pith_buffer_append(ctx, buffer, utf8, pith_utf8_encode(code_point, utf8));
}

/* The ranges that BERT surrounds with blanks (CJK ideographs, not kana or Hangul). */
static bool is_chinese(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static pith_status clean(pith_ctx *ctx, const char *text, size_t n_bytes, bool chinese, bool clean_text, pith_buffer *out) {
  for (size_t i = 0; i < n_bytes;) {
    uint32_t c;
    i += pith_utf8_decode(text + i, n_bytes - i, &c);
    const uint32_t flags = pith_unicode_flags(c);
    if (clean_text) {
      const bool blank = c == '\t' || c == '\n' || c == '\r' || flags & PITH_SPACE;
      if (c == 0 || c == 0xfffd || (flags & PITH_OTHER && !(c == '\t' || c == '\n' || c == '\r'))) continue;
      if (blank) c = ' ';
    }
    const bool surround = chinese && is_chinese(c);
    if (surround) PITH_TRY(pith_buffer_append(ctx, out, " ", 1));
    PITH_TRY(pith_append_code_point(ctx, out, c));
    if (surround) PITH_TRY(pith_buffer_append(ctx, out, " ", 1));
  }
  return PITH_OK;
}

/* Marks wait here until a starter comes, and are then put into canonical order (Unicode 3.11, stable insertion). A longer
 * run of marks than fits is ordered in pieces; no text that means something has one. */
typedef struct reorder {
  uint32_t code_points[64];
  uint32_t classes[64];
  size_t n;
} reorder;

static pith_status flush_reorder(pith_ctx *ctx, reorder *r, bool drop_nonspacing, pith_buffer *out) {
  for (size_t i = 0; i < r->n; i++) {
    const bool nonspacing = (pith_unicode_flags(r->code_points[i]) & PITH_NONSPACING) != 0;
    if (!(drop_nonspacing && nonspacing)) PITH_TRY(pith_append_code_point(ctx, out, r->code_points[i]));
  }
  r->n = 0;
  return PITH_OK;
}

static pith_status decompose(pith_ctx *ctx, const char *text, size_t n_bytes, bool drop_nonspacing, pith_buffer *out) {
  reorder r = {.n = 0};
  for (size_t i = 0; i < n_bytes;) {
    uint32_t c, parts[4];
    i += pith_utf8_decode(text + i, n_bytes - i, &c);
    const size_t n = pith_unicode_decompose(c, parts);
    for (size_t k = 0; k < n; k++) {
      const uint32_t class = pith_unicode_combining_class(parts[k]);
      if (class == 0 || r.n == sizeof r.classes / sizeof *r.classes) PITH_TRY(flush_reorder(ctx, &r, drop_nonspacing, out));
      size_t at = r.n++;
      for (; class != 0 && at > 0 && r.classes[at - 1] > class; at--) {
        r.classes[at] = r.classes[at - 1];
        r.code_points[at] = r.code_points[at - 1];
      }
      r.classes[at] = class;
      r.code_points[at] = parts[k];
    }
  }
  return flush_reorder(ctx, &r, drop_nonspacing, out);
}

/* StripAccents alone removes marks without decomposing first. */
static pith_status drop_marks(pith_ctx *ctx, const char *text, size_t n_bytes, pith_buffer *out) {
  for (size_t i = 0; i < n_bytes;) {
    uint32_t c;
    i += pith_utf8_decode(text + i, n_bytes - i, &c);
    if (!(pith_unicode_flags(c) & PITH_MARK)) PITH_TRY(pith_append_code_point(ctx, out, c));
  }
  return PITH_OK;
}

static pith_status lowercase(pith_ctx *ctx, const char *text, size_t n_bytes, pith_buffer *out) {
  for (size_t i = 0; i < n_bytes;) {
    uint32_t c, lower[2];
    i += pith_utf8_decode(text + i, n_bytes - i, &c);
    const size_t n = pith_unicode_lower(c, lower);
    for (size_t k = 0; k < n; k++) PITH_TRY(pith_append_code_point(ctx, out, lower[k]));
  }
  return PITH_OK;
}

static pith_status replace(pith_ctx *ctx, const char *text, size_t n_bytes, const char *from, const char *to, pith_buffer *out) {
  const size_t n_from = strlen(from), n_to = strlen(to);
  size_t copied = 0;
  for (size_t i = 0; i + n_from <= n_bytes;) {
    if (memcmp(text + i, from, n_from) != 0) {
      i++;
      continue;
    }
    PITH_TRY(pith_buffer_append(ctx, out, text + copied, i - copied));
    PITH_TRY(pith_buffer_append(ctx, out, to, n_to));
    i += n_from;
    copied = i;
  }
  return pith_buffer_append(ctx, out, text + copied, n_bytes - copied);
}

/* BERT's four steps, each reading what the one before wrote; `a` and `b` take turns. */
static pith_status bert(pith_ctx *ctx, const pith_text_op *op, const char *text, size_t n_bytes, pith_buffer *out) {
  pith_buffer a = {0}, b = {0};
  pith_status status = clean(ctx, text, n_bytes, op->chinese, op->clean_text, &a);
  if (status == PITH_OK && op->strip_accents) {
    status = decompose(ctx, a.data, a.n_bytes, true, &b);
    const pith_buffer swap = a;
    a = b;
    b = swap;
  }
  if (status == PITH_OK && op->lowercase) status = lowercase(ctx, a.data, a.n_bytes, out);
  else if (status == PITH_OK) status = pith_buffer_append(ctx, out, a.data, a.n_bytes);
  pith_buffer_free(ctx, &a);
  pith_buffer_free(ctx, &b);
  return status;
}

static pith_status apply(pith_ctx *ctx, const pith_text_op *op, const char *text, size_t n_bytes, pith_buffer *out) {
  switch (op->kind) {
    case PITH_OP_BERT_NORMALIZER: return bert(ctx, op, text, n_bytes, out);
    case PITH_OP_PREPEND:
      if (n_bytes > 0) PITH_TRY(pith_buffer_append(ctx, out, op->to, strlen(op->to)));
      return pith_buffer_append(ctx, out, text, n_bytes);
    case PITH_OP_REPLACE: return replace(ctx, text, n_bytes, op->from, op->to, out);
    case PITH_OP_LOWERCASE: return lowercase(ctx, text, n_bytes, out);
    case PITH_OP_STRIP_ACCENTS: return drop_marks(ctx, text, n_bytes, out);
    case PITH_OP_NFD: return decompose(ctx, text, n_bytes, false, out);
    default: return pith_fail(ctx, PITH_E_INTERNAL, "a normaliser of an unknown kind");
  }
}

pith_status pith_normalize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, pith_buffer *out) {
  pith_buffer next = {0};
  out->n_bytes = 0;
  PITH_TRY(pith_buffer_append(ctx, out, text, n_bytes));
  pith_status status = PITH_OK;
  for (uint32_t i = 0; i < ops->n && status == PITH_OK; i++) {
    next.n_bytes = 0;
    status = pith_buffer_append(ctx, &next, "", 0);
    if (status == PITH_OK) status = apply(ctx, &ops->ops[i], out->data, out->n_bytes, &next);
    const pith_buffer swap = *out;
    *out = next;
    next = swap;
  }
  pith_buffer_free(ctx, &next);
  return status;
}
