#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

pith_status pith_append_code_point(pith_ctx *ctx, pith_buffer *buffer, uint32_t code_point) {
  char utf8[4];
  return pith_buffer_append(ctx, buffer, utf8, pith_utf8_encode(code_point, utf8));
}

size_t pith_find_bytes(const char *text, size_t n_bytes, size_t at, const char *from, size_t n_from) {
  while (n_bytes - at >= n_from) {
    const char *first = memchr(text + at, from[0], n_bytes - at - n_from + 1);
    if (!first) break;
    at = (size_t)(first - text);
    if (memcmp(first, from, n_from) == 0) return at;
    at++;
  }
  return n_bytes;
}

size_t pith_space_after(const char *text, size_t n_bytes, size_t at) {
  uint32_t c;
  for (size_t n; at < n_bytes; at += n) {
    n = pith_utf8_decode(text + at, n_bytes - at, &c);
    if (!(pith_unicode_flags(c) & PITH_SPACE)) break;
  }
  return at;
}

size_t pith_space_before(const char *text, size_t end) {
  uint32_t c;
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && (text[begin] & 0xc0) == 0x80) begin--;
    pith_utf8_decode(text + begin, end - begin, &c);
    if (!(pith_unicode_flags(c) & PITH_SPACE)) break;
    end = begin;
  }
  return end;
}

/* The text that an operation reads, the buffer it writes. What it makes of the first `origin` bytes stems from there too. */
typedef struct rewriting {
  pith_ctx *ctx;
  const char *text;
  size_t n_bytes, origin, origin_out;
  pith_buffer *out;
} rewriting;

static pith_status put(rewriting *r, uint32_t code_point, size_t from) {
  PITH_TRY(pith_append_code_point(r->ctx, r->out, code_point));
  if (from < r->origin) r->origin_out = r->out->n_bytes;
  return PITH_OK;
}

static pith_status put_bytes(rewriting *r, const char *bytes, size_t n, size_t from) {
  PITH_TRY(pith_buffer_append(r->ctx, r->out, bytes, n));
  if (from < r->origin) r->origin_out = r->out->n_bytes;
  return PITH_OK;
}

/* Bytes [begin, end) as they are. */
static pith_status keep(rewriting *r, size_t begin, size_t end) {
  PITH_TRY(pith_buffer_append(r->ctx, r->out, r->text + begin, end - begin));
  if (begin < r->origin) r->origin_out = r->out->n_bytes - (end > r->origin ? end - r->origin : 0);
  return PITH_OK;
}

/* ---- BERT ---- */

/* The ranges that BERT surrounds with blanks (CJK ideographs, not kana or Hangul). */
static bool is_chinese(uint32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static pith_status clean(rewriting *r, const pith_text_op *op) {
  for (size_t i = 0, n; i < r->n_bytes; i += n) {
    uint32_t c;
    n = pith_utf8_decode(r->text + i, r->n_bytes - i, &c);
    if (op->clean_text) {
      const uint32_t flags = pith_unicode_flags(c);
      const bool line = c == '\t' || c == '\n' || c == '\r';
      if (c == 0 || c == 0xfffd || (flags & PITH_OTHER && !line)) continue;
      if (line || flags & PITH_SPACE) c = ' ';
    }
    const bool surround = op->chinese && is_chinese(c);
    if (surround) PITH_TRY(put(r, ' ', i));
    PITH_TRY(put(r, c, i));
    if (surround) PITH_TRY(put(r, ' ', i));
  }
  return PITH_OK;
}

/* ---- character by character ---- */

/* StripAccents removes marks without decomposing first. */
static pith_status drop_marks(rewriting *r) {
  for (size_t i = 0, n; i < r->n_bytes; i += n) {
    uint32_t c;
    n = pith_utf8_decode(r->text + i, r->n_bytes - i, &c);
    if (!(pith_unicode_flags(c) & PITH_MARK)) PITH_TRY(put(r, c, i));
  }
  return PITH_OK;
}

static pith_status lowercase(rewriting *r) {
  for (size_t i = 0, n; i < r->n_bytes; i += n) {
    uint32_t c, lower[2];
    n = pith_utf8_decode(r->text + i, r->n_bytes - i, &c);
    const size_t n_lower = pith_unicode_lower(c, lower);
    for (size_t k = 0; k < n_lower; k++) PITH_TRY(put(r, lower[k], i));
  }
  return PITH_OK;
}

/* The rules of Google's NMT for controls and blanks, as the `tokenizers` library has them. */
static pith_status nmt(rewriting *r) {
  for (size_t i = 0, n; i < r->n_bytes; i += n) {
    uint32_t c;
    n = pith_utf8_decode(r->text + i, r->n_bytes - i, &c);
    if ((c >= 1 && c <= 8) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f) continue;
    const bool blank = c == 9 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 || (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 ||
                       c == 0x2581 || c == 0xfeff || c == 0xfffd;
    PITH_TRY(put(r, blank ? ' ' : c, i));
  }
  return PITH_OK;
}

static pith_status byte_level(rewriting *r) {
  for (size_t i = 0; i < r->n_bytes; i++) PITH_TRY(put(r, pith_level_char_of_byte((uint8_t)r->text[i]), i));
  return PITH_OK;
}

/* ---- whole texts ---- */

/* The replacement stems from where the last character of the match does. */
static pith_status replace_string(rewriting *r, const char *from, const char *to) {
  const size_t n_from = strlen(from), n_to = strlen(to);
  size_t done = 0;
  for (size_t at; (at = pith_find_bytes(r->text, r->n_bytes, done, from, n_from)) < r->n_bytes; done = at + n_from) {
    PITH_TRY(keep(r, done, at));
    PITH_TRY(put_bytes(r, to, n_to, at + n_from - 1));
  }
  return keep(r, done, r->n_bytes);
}

static pith_status replace_matches(rewriting *r, const pith_regex *regex, const char *to) {
  pith_matcher matcher;
  pith_match match = {0};
  size_t done = 0;
  PITH_TRY(pith_matcher_open(r->ctx, regex, r->n_bytes, &matcher));
  pith_status status = PITH_OK;
  while (status == PITH_OK) {
    status = pith_matcher_next(r->ctx, &matcher, r->text, r->n_bytes, &match);
    if (status != PITH_OK || !match.found) break;
    status = keep(r, done, match.begin);
    if (status == PITH_OK) status = put_bytes(r, to, strlen(to), match.end > 0 ? match.end - 1 : 0);
    done = match.end;
  }
  if (status == PITH_OK) status = keep(r, done, r->n_bytes);
  pith_matcher_close(r->ctx, &matcher);
  return status;
}

pith_status pith_replace(pith_ctx *ctx, const pith_text_op *op, const char *text, size_t n_bytes, size_t *origin, pith_buffer *out) {
  rewriting r = {ctx, text, n_bytes, *origin, 0, out};
  const pith_status status = op->regex ? replace_matches(&r, op->regex, op->to) : replace_string(&r, op->from, op->to);
  *origin = r.origin_out;
  return status;
}

/* BERT's four steps, each reading what the one before wrote; `a` and `b` take turns. */
static pith_status bert(pith_ctx *ctx, const pith_text_op *op, rewriting *r) {
  const pith_text_op nfd = {.kind = PITH_OP_UNICODE, .forms = op->forms};
  pith_buffer a = {0}, b = {0};
  rewriting first = {ctx, r->text, r->n_bytes, r->origin, 0, &a};
  pith_status status = pith_buffer_append(ctx, &a, "", 0);
  if (status == PITH_OK) status = pith_buffer_append(ctx, &b, "", 0);
  if (status == PITH_OK) status = clean(&first, op);
  size_t origin = first.origin_out;
  if (status == PITH_OK && op->strip_accents) {
    status = pith_unicode_form(ctx, &nfd, true, a.data, a.n_bytes, &origin, &b);
    const pith_buffer swap = a;
    a = b;
    b = swap;
  }
  rewriting last = {ctx, a.data, a.n_bytes, origin, 0, r->out};
  if (status == PITH_OK) status = op->lowercase ? lowercase(&last) : keep(&last, 0, a.n_bytes);
  r->origin_out = last.origin_out;
  pith_buffer_free(ctx, &a);
  pith_buffer_free(ctx, &b);
  return status;
}

static pith_status apply(pith_ctx *ctx, const pith_text_op *op, rewriting *r) {
  switch (op->kind) {
    case PITH_OP_BERT_NORMALIZER: return bert(ctx, op, r);
    case PITH_OP_PREPEND:
      if (r->n_bytes > 0) PITH_TRY(put_bytes(r, op->to, strlen(op->to), 0));
      return keep(r, 0, r->n_bytes);
    case PITH_OP_REPLACE:
      r->origin_out = r->origin;
      return pith_replace(ctx, op, r->text, r->n_bytes, &r->origin_out, r->out);
    case PITH_OP_LOWERCASE: return lowercase(r);
    case PITH_OP_STRIP_ACCENTS: return drop_marks(r);
    case PITH_OP_NMT: return nmt(r);
    case PITH_OP_BYTE_LEVEL: return byte_level(r);
    case PITH_OP_UNICODE:
      r->origin_out = r->origin;
      return pith_unicode_form(ctx, op, false, r->text, r->n_bytes, &r->origin_out, r->out);
    case PITH_OP_PRECOMPILED:
      r->origin_out = r->origin;
      return pith_charsmap_apply(ctx, op->charsmap, r->text, r->n_bytes, &r->origin_out, r->out);
    case PITH_OP_TRIM: {
      const size_t begin = op->trim_left ? pith_space_after(r->text, r->n_bytes, 0) : 0;
      const size_t end = op->trim_right ? pith_space_before(r->text, r->n_bytes) : r->n_bytes;
      return begin < end ? keep(r, begin, end) : PITH_OK;
    }
    default: return pith_fail(ctx, PITH_E_INTERNAL, "a normaliser of an unknown kind");
  }
}

pith_status pith_normalize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, size_t *origin, pith_buffer *out) {
  pith_buffer next = {0};
  size_t at_origin = origin ? *origin : 0;
  out->n_bytes = 0;
  PITH_TRY(pith_buffer_append(ctx, out, text, n_bytes));
  pith_status status = PITH_OK;
  for (uint32_t i = 0; i < ops->n && status == PITH_OK; i++) {
    next.n_bytes = 0;
    status = pith_buffer_append(ctx, &next, "", 0);   /* never without its memory, so that an empty text is one */
    rewriting r = {ctx, out->data, out->n_bytes, at_origin, 0, &next};
    if (status == PITH_OK) status = apply(ctx, &ops->ops[i], &r);
    at_origin = r.origin_out;
    const pith_buffer swap = *out;
    *out = next;
    next = swap;
  }
  if (origin) *origin = at_origin;
  pith_buffer_free(ctx, &next);
  return status;
}
