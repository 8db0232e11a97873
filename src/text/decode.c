#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

static const char replacement[] = "\xef\xbf\xbd";   /* U+FFFD */

/* A token's own text; false for an id that has none. An added token stands for what it matches, normalised where it is. */
static bool token_text(const pith_tokenizer *t, int32_t id, const char **text, size_t *n_bytes) {
  for (uint32_t i = 0; i < t->n_added; i++)
    if (t->added[i].id == id) {
      *text = t->added[i].content;
      *n_bytes = strlen(*text);
      return true;
    }
  if (id < 0 || id >= t->vocab_size || !t->by_id[id]) return false;
  const uint32_t k = t->by_id[id] - 1;
  *text = t->vocab.blob + t->vocab.offsets[k];
  *n_bytes = t->vocab.offsets[k + 1] - t->vocab.offsets[k];
  return true;
}

/* Appends bytes as UTF-8, each maximal part of a broken sequence as one U+FFFD (Unicode 3.9, as Rust's lossy reading). */
static pith_status append_lossy(pith_ctx *ctx, const char *bytes, size_t n_bytes, pith_buffer *out) {
  for (size_t i = 0; i < n_bytes;) {
    uint32_t c;
    size_t n = pith_utf8_decode(bytes + i, n_bytes - i, &c);
    if (n > 0) {
      PITH_TRY(pith_buffer_append(ctx, out, bytes + i, n));
    } else {
      const uint8_t lead = (uint8_t)bytes[i], next = i + 1 < n_bytes ? (uint8_t)bytes[i + 1] : 0;
      const size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
      const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
      n = 1;
      if (lead >= 0xc2 && lead <= 0xf4 && next >= low && next <= high)
        for (n = 2; n < wanted && i + n < n_bytes && ((uint8_t)bytes[i + n] & 0xc0) == 0x80;) n++;
      PITH_TRY(pith_buffer_append(ctx, out, replacement, 3));
    }
    i += n;
  }
  return PITH_OK;
}

static pith_status decode_byte_level(pith_ctx *ctx, const pith_pieces *in, pith_pieces *out) {
  pith_buffer bytes = {0};
  pith_status status = PITH_OK;
  for (size_t p = 0, begin = 0; p < in->n && status == PITH_OK; begin = in->ends[p++]) {
    const size_t mark = bytes.n_bytes;
    bool mapped = true;
    for (size_t i = begin; i < in->ends[p] && mapped && status == PITH_OK;) {
      uint32_t c = 0;
      i += pith_utf8_decode(in->text.data + i, in->ends[p] - i, &c);
      const int32_t byte = pith_byte_of_level_char(c);
      mapped = byte >= 0;
      const uint8_t b = (uint8_t)byte;
      if (mapped) status = pith_buffer_append(ctx, &bytes, &b, 1);
    }
    if (!mapped) {   /* a token with other characters (an added one) stands for itself */
      bytes.n_bytes = mark;
      if (status == PITH_OK) status = pith_buffer_append(ctx, &bytes, in->text.data + begin, in->ends[p] - begin);
    }
  }
  if (status == PITH_OK) status = append_lossy(ctx, bytes.data ? bytes.data : "", bytes.n_bytes, &out->text);
  if (status == PITH_OK) status = pith_pieces_end(ctx, out);
  pith_buffer_free(ctx, &bytes);
  return status;
}

/* The byte of "<0x1F>", -1 for anything else. */
static int32_t byte_token(const char *text, size_t n_bytes) {
  if (n_bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
  int32_t value = 0;
  for (int i = 3; i < 5; i++) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return -1;
    value = 16 * value + digit;
  }
  return value;
}

static pith_status flush_bytes(pith_ctx *ctx, pith_buffer *bytes, pith_pieces *out) {
  if (bytes->n_bytes == 0) return PITH_OK;
  if (pith_utf8_validate(bytes->data, bytes->n_bytes) == bytes->n_bytes) {
    PITH_TRY(pith_buffer_append(ctx, &out->text, bytes->data, bytes->n_bytes));
    PITH_TRY(pith_pieces_end(ctx, out));
  } else {   /* one broken byte makes replacements of the whole run, as in the library */
    for (size_t i = 0; i < bytes->n_bytes; i++) {
      PITH_TRY(pith_buffer_append(ctx, &out->text, replacement, 3));
      PITH_TRY(pith_pieces_end(ctx, out));
    }
  }
  bytes->n_bytes = 0;
  return PITH_OK;
}

static pith_status decode_byte_fallback(pith_ctx *ctx, const pith_pieces *in, pith_pieces *out) {
  pith_buffer bytes = {0};
  pith_status status = PITH_OK;
  for (size_t p = 0, begin = 0; p < in->n && status == PITH_OK; begin = in->ends[p++]) {
    const char *text = in->text.data + begin;
    const size_t n = in->ends[p] - begin;
    const int32_t byte = byte_token(text, n);
    const uint8_t b = (uint8_t)byte;
    if (byte >= 0) {
      status = pith_buffer_append(ctx, &bytes, &b, 1);
      continue;
    }
    status = flush_bytes(ctx, &bytes, out);
    if (status == PITH_OK) status = pith_buffer_append(ctx, &out->text, text, n);
    if (status == PITH_OK) status = pith_pieces_end(ctx, out);
  }
  if (status == PITH_OK) status = flush_bytes(ctx, &bytes, out);
  pith_buffer_free(ctx, &bytes);
  return status;
}

static pith_status decode_strip(pith_ctx *ctx, const pith_text_op *op, const char *text, size_t n_bytes, pith_buffer *out) {
  const size_t n = strlen(op->to);
  size_t begin = 0, end = n_bytes;
  for (uint32_t i = 0; i < op->start && end - begin >= n && memcmp(text + begin, op->to, n) == 0; i++) begin += n;
  for (uint32_t i = 0; i < op->stop && end - begin >= n && memcmp(text + end - n, op->to, n) == 0; i++) end -= n;
  return pith_buffer_append(ctx, out, text + begin, end - begin);
}

/* WordPiece: words are parted by a blank, continuations lose their prefix; then the library's English clean-up. */
static pith_status decode_wordpiece(pith_ctx *ctx, const pith_text_op *op, bool first, const char *text, size_t n_bytes, pith_buffer *out) {
  static const char *const cleanups[][2] = {{" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},         {" ' ", "'"}, {" n't", "n't"},
                                            {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  const size_t n_prefix = strlen(op->to);
  pith_buffer token = {0}, next = {0};
  pith_status status = PITH_OK;
  if (!first && n_prefix > 0 && n_bytes >= n_prefix && memcmp(text, op->to, n_prefix) == 0) {
    text += n_prefix;
    n_bytes -= n_prefix;
  } else if (!first) {
    status = pith_buffer_append(ctx, &token, " ", 1);
  }
  if (status == PITH_OK) status = pith_buffer_append(ctx, &token, text, n_bytes);
  for (size_t i = 0; op->cleanup && i < sizeof cleanups / sizeof *cleanups && status == PITH_OK; i++) {
    pith_text_ops replace = {.n = 1};
    replace.ops[0].kind = PITH_OP_REPLACE;
    memcpy(replace.ops[0].from, cleanups[i][0], strlen(cleanups[i][0]) + 1);
    memcpy(replace.ops[0].to, cleanups[i][1], strlen(cleanups[i][1]) + 1);
    if (!strstr(token.data, replace.ops[0].from)) continue;
    status = pith_normalize(ctx, &replace, token.data, token.n_bytes, &next);
    const pith_buffer swap = token;
    token = next;
    next = swap;
  }
  if (status == PITH_OK) status = pith_buffer_append(ctx, out, token.data, token.n_bytes);
  pith_buffer_free(ctx, &token);
  pith_buffer_free(ctx, &next);
  return status;
}

static pith_status decode_each(pith_ctx *ctx, const pith_text_op *op, const pith_pieces *in, pith_pieces *out) {
  pith_buffer scratch = {0};
  pith_status status = PITH_OK;
  for (size_t p = 0, begin = 0; p < in->n && status == PITH_OK; begin = in->ends[p++]) {
    const char *text = in->text.data + begin;
    const size_t n = in->ends[p] - begin;
    if (op->kind == PITH_OP_STRIP) {
      status = decode_strip(ctx, op, text, n, &out->text);
    } else if (op->kind == PITH_OP_WORDPIECE) {
      status = decode_wordpiece(ctx, op, p == 0, text, n, &out->text);
    } else {
      const pith_text_ops one = {.ops = {*op}, .n = 1};
      status = pith_normalize(ctx, &one, text, n, &scratch);
      if (status == PITH_OK) status = pith_buffer_append(ctx, &out->text, scratch.data, scratch.n_bytes);
    }
    if (status == PITH_OK) status = pith_pieces_end(ctx, out);
  }
  pith_buffer_free(ctx, &scratch);
  return status;
}

static pith_status decode_step(pith_ctx *ctx, const pith_text_op *op, const pith_pieces *in, pith_pieces *out) {
  switch (op->kind) {
    case PITH_OP_BYTE_LEVEL: return decode_byte_level(ctx, in, out);
    case PITH_OP_BYTE_FALLBACK: return decode_byte_fallback(ctx, in, out);
    case PITH_OP_FUSE:
      PITH_TRY(pith_buffer_append(ctx, &out->text, in->text.data ? in->text.data : "", in->text.n_bytes));
      return pith_pieces_end(ctx, out);
    default: return decode_each(ctx, op, in, out);
  }
}

pith_status pith_tokenizer_decode(pith_ctx *ctx, const pith_tokenizer *t, const int32_t *ids, size_t n, bool skip_special_tokens,
                                  pith_buffer *out) {
  pith_pieces pieces = {0}, next = {0};
  pith_status status = PITH_OK;
  for (size_t i = 0; i < n && status == PITH_OK; i++) {
    const char *text;
    size_t n_bytes;
    if (!token_text(t, ids[i], &text, &n_bytes)) continue;   /* embeddings padded to a round number have ids that no token has */
    if (skip_special_tokens && pith_tokenizer_is_special(t, ids[i])) continue;
    if (!t->has_decoder && pieces.n > 0) status = pith_buffer_append(ctx, &pieces.text, " ", 1);
    if (status == PITH_OK) status = pith_buffer_append(ctx, &pieces.text, text, n_bytes);
    if (status == PITH_OK) status = pith_pieces_end(ctx, &pieces);
  }
  for (uint32_t i = 0; i < t->decoder.n && status == PITH_OK; i++) {
    pith_pieces_clear(&next);
    status = decode_step(ctx, &t->decoder.ops[i], &pieces, &next);
    const pith_pieces swap = pieces;
    pieces = next;
    next = swap;
  }
  if (status == PITH_OK) status = pith_buffer_append(ctx, out, pieces.text.data ? pieces.text.data : "", pieces.text.n_bytes);
  pith_pieces_free(ctx, &pieces);
  pith_pieces_free(ctx, &next);
  return status;
}

/* ---- incremental ---- */

/* How many of the pending ids have a text that no later id can change: all but a run of byte tokens at the end. */
static size_t settled(const pith_tokenizer *t, const pith_ids *ids) {
  bool fallback = false;
  for (uint32_t i = 0; i < t->decoder.n; i++) fallback = fallback || t->decoder.ops[i].kind == PITH_OP_BYTE_FALLBACK;
  size_t n = ids->n;
  const char *text;
  size_t n_bytes;
  while (fallback && n > 0 && token_text(t, ids->ids[n - 1], &text, &n_bytes) && byte_token(text, n_bytes) >= 0) n--;
  return n;
}

static pith_status emit(pith_ctx *ctx, const pith_tokenizer *t, pith_detokenizer *state, bool all, pith_buffer *piece) {
  pith_buffer text = {0};
  const size_t n = all ? state->pending.n : settled(t, &state->pending);
  pith_status status = pith_tokenizer_decode(ctx, t, state->pending.ids, n, state->skip_special_tokens, &text);
  size_t end = text.n_bytes;
  /* a sequence still incomplete shows as replacements at the end */
  while (!all && end >= 3 && memcmp(text.data + end - 3, replacement, 3) == 0) end -= 3;
  if (status == PITH_OK && end > state->n_emitted) {
    status = pith_buffer_append(ctx, piece, text.data + state->n_emitted, end - state->n_emitted);
    state->n_emitted = end;
  }
  const bool settled_all = end == text.n_bytes && n == state->pending.n;
  pith_buffer_free(ctx, &text);
  /* Everything is out: the older ids are forgotten, some stay as the context that decoders look at. */
  enum { KEEP = 4, FORGET_FROM = 32 };
  if (status != PITH_OK || !settled_all || state->pending.n < FORGET_FROM) return status;
  memmove(state->pending.ids, state->pending.ids + state->pending.n - KEEP, KEEP * sizeof *state->pending.ids);
  state->pending.n = KEEP;
  status = pith_tokenizer_decode(ctx, t, state->pending.ids, KEEP, state->skip_special_tokens, &text);
  state->n_emitted = text.n_bytes;
  pith_buffer_free(ctx, &text);
  return status;
}

pith_status pith_detokenizer_push(pith_ctx *ctx, const pith_tokenizer *t, pith_detokenizer *state, int32_t id, pith_buffer *piece) {
  PITH_TRY(pith_ids_append(ctx, &state->pending, id));
  return emit(ctx, t, state, false, piece);
}

pith_status pith_detokenizer_flush(pith_ctx *ctx, const pith_tokenizer *t, pith_detokenizer *state, pith_buffer *piece) {
  return emit(ctx, t, state, true, piece);
}

void pith_detokenizer_free(pith_ctx *ctx, pith_detokenizer *state) {
  pith_ids_free(ctx, &state->pending);
  state->n_emitted = 0;
}
