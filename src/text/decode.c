/* Ids into text. The decoder's steps are stages that tokens flow through one by one: each passes on what no later token can change, so that
 * decoding at once and decoding step by step are one and the same code. */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

static const char replacement[] = "\xef\xbf\xbd";   /* U+FFFD */

typedef struct pith_decode_stage {
  const pith_text_op *op;    /* NULL: there is no decoder, a blank parts tokens */
  bool fused;                /* what comes in are parts of one text, not tokens */
  bool begun;                /* something came */
  uint32_t n_stripped;
  pith_buffer held;
  pith_buffer replaced;      /* of the token at hand */
} pith_decode_stage;

typedef struct decoder {
  pith_ctx *ctx;
  pith_decode_stage *stages;
  uint32_t n;
  pith_buffer *out;
} decoder;

/* What leaves stage i - 1: a token, or where stage i is fused a part of the text. Calls itself through the stages, PITH_MAX_OPS of them at most. */
static pith_status feed(decoder *d, uint32_t i, const char *text, size_t n_bytes);

static void forget(pith_buffer *held, size_t n_bytes) {
  if (n_bytes > 0) memmove(held->data, held->data + n_bytes, held->n_bytes - n_bytes);
  held->n_bytes -= n_bytes;
}

/* ---- stages over tokens ---- */

/* Passes on bytes as UTF-8, each maximal part of a broken sequence as one U+FFFD (Unicode 3.9, as Rust's lossy reading). A sequence that the end cuts
 * off may go on: it stays, unless this is all. */
static pith_status feed_bytes(decoder *d, uint32_t i, pith_buffer *bytes, bool all) {
  const char *data = bytes->data ? bytes->data : "";
  size_t good = 0, at = 0;   /* [good, at) is whole */
  while (at < bytes->n_bytes) {
    const size_t left = bytes->n_bytes - at;
    uint32_t c;
    size_t n = pith_utf8_decode(data + at, left, &c);
    if (n == 0) {
      const uint8_t lead = (uint8_t)data[at], next = left > 1 ? (uint8_t)data[at + 1] : 0;
      const size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
      const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
      const bool begins = lead >= 0xc2 && lead <= 0xf4;
      n = 1;
      if (begins && next >= low && next <= high)
        for (n = 2; n < wanted && n < left && ((uint8_t)data[at + n] & 0xc0) == 0x80;) n++;
      if (!all && begins && n == left && (n > 1 || left == 1)) break;
      PITH_TRY(feed(d, i, data + good, at - good));
      PITH_TRY(feed(d, i, replacement, 3));
      good = at + n;
    }
    at += n;
  }
  PITH_TRY(feed(d, i, data + good, at - good));
  forget(bytes, at);
  return PITH_OK;
}

static pith_status feed_byte_level(decoder *d, uint32_t i, const char *text, size_t n_bytes) {
  pith_buffer *held = &d->stages[i].held;
  PITH_TRY(pith_buffer_append(d->ctx, held, "", 0));
  const size_t mark = held->n_bytes;
  bool mapped = true;
  for (size_t k = 0; k < n_bytes && mapped;) {
    uint32_t c = 0;
    k += pith_utf8_decode(text + k, n_bytes - k, &c);
    const int32_t byte = pith_byte_of_level_char(c);
    mapped = byte >= 0;
    const uint8_t b = (uint8_t)byte;
    if (mapped) PITH_TRY(pith_buffer_append(d->ctx, held, &b, 1));
  }
  if (!mapped) {   /* a token with other characters (an added one) stands for itself */
    held->n_bytes = mark;
    PITH_TRY(pith_buffer_append(d->ctx, held, text, n_bytes));
  }
  return feed_bytes(d, i + 1, held, false);
}

/* The byte of "<0x1F>", -1 for anything else. Rust's reading of hexadecimal takes "+F" too. */
static int32_t byte_token(const char *text, size_t n_bytes) {
  if (n_bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
  int32_t value = 0;
  for (int i = text[3] == '+' ? 4 : 3; i < 5; i++) {
    const char c = text[i];
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return -1;
    value = 16 * value + digit;
  }
  return value;
}

/* The bytes so far as a token; one that is broken makes replacements of the whole run, as in the library. */
static pith_status end_byte_run(decoder *d, uint32_t i) {
  pith_buffer *held = &d->stages[i].held;
  pith_status status = PITH_OK;
  if (held->n_bytes == 0) return PITH_OK;
  if (pith_utf8_validate(held->data, held->n_bytes) == held->n_bytes) status = feed(d, i + 1, held->data, held->n_bytes);
  else
    for (size_t k = 0; k < held->n_bytes && status == PITH_OK; k++) status = feed(d, i + 1, replacement, 3);
  held->n_bytes = 0;
  return status;
}

static pith_status feed_byte_fallback(decoder *d, uint32_t i, const char *text, size_t n_bytes) {
  const int32_t byte = byte_token(text, n_bytes);
  const uint8_t b = (uint8_t)byte;
  if (byte >= 0) return pith_buffer_append(d->ctx, &d->stages[i].held, &b, 1);
  PITH_TRY(end_byte_run(d, i));
  return feed(d, i + 1, text, n_bytes);
}

static pith_status feed_replaced(decoder *d, uint32_t i, const pith_text_op *op, const char *text, size_t n_bytes) {
  pith_buffer *replaced = &d->stages[i].replaced;
  size_t origin = 0;
  replaced->n_bytes = 0;
  PITH_TRY(pith_buffer_append(d->ctx, replaced, "", 0));
  PITH_TRY(pith_replace(d->ctx, op, text, n_bytes, &origin, replaced));
  return feed(d, i + 1, replaced->data, replaced->n_bytes);
}

static pith_status feed_stripped(decoder *d, uint32_t i, const pith_text_op *op, const char *text, size_t n_bytes) {
  const size_t n = strlen(op->to);
  size_t begin = 0, end = n_bytes;
  for (uint32_t k = 0; k < op->start && end - begin >= n && memcmp(text + begin, op->to, n) == 0; k++) begin += n;
  for (uint32_t k = 0; k < op->stop && end - begin >= n && memcmp(text + end - n, op->to, n) == 0; k++) end -= n;
  return feed(d, i + 1, text + begin, end - begin);
}

/* WordPiece: words are parted by a blank, continuations lose their prefix; then the library's English clean-up. */
static pith_status feed_wordpiece(decoder *d, uint32_t i, const pith_text_op *op, bool first, const char *text, size_t n_bytes) {
  static const char *const cleanups[][2] = {{" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},         {" ' ", "'"}, {" n't", "n't"},
                                            {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  const size_t n_prefix = strlen(op->to);
  pith_buffer token = {0}, next = {0};
  pith_status status = PITH_OK;
  if (!first && n_bytes >= n_prefix && memcmp(text, op->to, n_prefix) == 0) {
    text += n_prefix;
    n_bytes -= n_prefix;
  } else if (!first) {
    status = pith_buffer_append(d->ctx, &token, " ", 1);
  }
  if (status == PITH_OK) status = pith_buffer_append(d->ctx, &token, text, n_bytes);
  for (size_t k = 0; op->cleanup && k < sizeof cleanups / sizeof *cleanups && status == PITH_OK; k++) {
    char from[8], to[8];
    const size_t n = strlen(cleanups[k][0]);
    if (pith_find_bytes(token.data, token.n_bytes, 0, cleanups[k][0], n) == token.n_bytes) continue;
    memcpy(from, cleanups[k][0], n + 1);
    memcpy(to, cleanups[k][1], strlen(cleanups[k][1]) + 1);
    const pith_text_op replace = {.kind = PITH_OP_REPLACE, .from = from, .to = to};
    size_t origin = 0;
    next.n_bytes = 0;
    status = pith_replace(d->ctx, &replace, token.data, token.n_bytes, &origin, &next);
    const pith_buffer swap = token;
    token = next;
    next = swap;
  }
  if (status == PITH_OK) status = feed(d, i + 1, token.data, token.n_bytes);
  pith_buffer_free(d->ctx, &token);
  pith_buffer_free(d->ctx, &next);
  return status;
}

/* Metaspace: its character is a blank, and nothing in the first token (unless none was ever prepended). */
static pith_status feed_metaspace(decoder *d, uint32_t i, const pith_text_op *op, bool first, const char *text, size_t n_bytes) {
  char blank[] = " ", nothing[] = "";
  const pith_text_op replace = {.kind = PITH_OP_REPLACE, .from = op->to, .to = first && op->prepend != PITH_PREPEND_NEVER ? nothing : blank};
  return feed_replaced(d, i, &replace, text, n_bytes);
}

/* BPEDecoder: the suffix is a blank, and nothing in the last token. */
static pith_status end_suffixed(decoder *d, uint32_t i, const pith_text_op *op, bool last) {
  char blank[] = " ", nothing[] = "";
  const pith_text_op replace = {.kind = PITH_OP_REPLACE, .from = op->from, .to = last ? nothing : blank};
  pith_buffer *held = &d->stages[i].held;
  PITH_TRY(feed_replaced(d, i, &replace, held->data, held->n_bytes));
  held->n_bytes = 0;
  return PITH_OK;
}

static pith_status feed_suffixed(decoder *d, uint32_t i, const pith_text_op *op, bool first, const char *text, size_t n_bytes) {
  if (!first) PITH_TRY(end_suffixed(d, i, op, false));
  return pith_buffer_append(d->ctx, &d->stages[i].held, text, n_bytes);
}

static pith_status feed_token(decoder *d, uint32_t i, const char *text, size_t n_bytes) {
  pith_decode_stage *stage = &d->stages[i];
  const bool first = !stage->begun;
  stage->begun = true;
  if (!stage->op) {
    if (!first) PITH_TRY(feed(d, i + 1, " ", 1));
    return feed(d, i + 1, text, n_bytes);
  }
  switch (stage->op->kind) {
    case PITH_OP_BYTE_LEVEL: return feed_byte_level(d, i, text, n_bytes);
    case PITH_OP_BYTE_FALLBACK: return feed_byte_fallback(d, i, text, n_bytes);
    case PITH_OP_FUSE: return feed(d, i + 1, text, n_bytes);
    case PITH_OP_REPLACE: return feed_replaced(d, i, stage->op, text, n_bytes);
    case PITH_OP_STRIP: return feed_stripped(d, i, stage->op, text, n_bytes);
    case PITH_OP_WORDPIECE: return feed_wordpiece(d, i, stage->op, first, text, n_bytes);
    case PITH_OP_METASPACE: return feed_metaspace(d, i, stage->op, first, text, n_bytes);
    case PITH_OP_SUFFIX: return feed_suffixed(d, i, stage->op, first, text, n_bytes);
    default: return pith_fail(d->ctx, PITH_E_INTERNAL, "a decoder of an unknown kind");
  }
}

static pith_status end_tokens(decoder *d, uint32_t i) {
  pith_decode_stage *stage = &d->stages[i];
  if (!stage->op) return PITH_OK;
  switch (stage->op->kind) {
    case PITH_OP_BYTE_LEVEL: return feed_bytes(d, i + 1, &stage->held, true);
    case PITH_OP_BYTE_FALLBACK: return end_byte_run(d, i);
    case PITH_OP_SUFFIX: return stage->begun ? end_suffixed(d, i, stage->op, true) : PITH_OK;
    default: return PITH_OK;
  }
}

/* ---- stages over one text, which comes in parts ---- */

/* Strip: blanks at the end stay until it is known whether they are the end. */
static pith_status feed_stripped_part(decoder *d, uint32_t i) {
  pith_decode_stage *stage = &d->stages[i];
  const pith_text_op *op = stage->op;
  pith_buffer *held = &stage->held;
  const size_t n = strlen(op->to);
  size_t begin = 0, end = held->n_bytes;
  for (; stage->n_stripped < op->start && end - begin >= n && memcmp(held->data + begin, op->to, n) == 0; begin += n) stage->n_stripped++;
  if (begin == end) {
    held->n_bytes = 0;
    return PITH_OK;
  }
  stage->n_stripped = op->start;   /* the beginning is over */
  for (uint32_t k = 0; k < op->stop && end - begin >= n && memcmp(held->data + end - n, op->to, n) == 0; k++) end -= n;
  PITH_TRY(feed(d, i + 1, held->data + begin, end - begin));
  forget(held, end);
  return PITH_OK;
}

/* Replace: what may be the beginning of a match stays. */
static pith_status feed_replaced_part(decoder *d, uint32_t i) {
  pith_buffer *held = &d->stages[i].held;
  const pith_text_op *op = d->stages[i].op;
  const size_t n = strlen(op->from);
  size_t done = 0, at;
  while ((at = pith_find_bytes(held->data, held->n_bytes, done, op->from, n)) < held->n_bytes) {
    PITH_TRY(feed(d, i + 1, held->data + done, at - done));
    PITH_TRY(feed(d, i + 1, op->to, strlen(op->to)));
    done = at + n;
  }
  size_t end = held->n_bytes - done < n ? done : held->n_bytes - (n - 1);
  while (end > done && (held->data[end] & 0xc0) == 0x80) end--;
  PITH_TRY(feed(d, i + 1, held->data + done, end - done));
  forget(held, end);
  return PITH_OK;
}

/* Other stages behind a fused text are rare, and wait for all of it. */
static pith_status feed_part(decoder *d, uint32_t i, const char *text, size_t n_bytes) {
  pith_decode_stage *stage = &d->stages[i];
  if (stage->op->kind == PITH_OP_FUSE) return feed(d, i + 1, text, n_bytes);
  PITH_TRY(pith_buffer_append(d->ctx, &stage->held, text, n_bytes));
  if (stage->op->kind == PITH_OP_STRIP) return feed_stripped_part(d, i);
  if (stage->op->kind == PITH_OP_REPLACE && !stage->op->regex) return feed_replaced_part(d, i);
  return PITH_OK;
}

static pith_status end_parts(decoder *d, uint32_t i) {
  pith_decode_stage *stage = &d->stages[i];
  if (stage->op->kind == PITH_OP_FUSE || stage->op->kind == PITH_OP_STRIP || !stage->held.data) return PITH_OK;
  if (stage->op->kind == PITH_OP_REPLACE && !stage->op->regex) return feed(d, i + 1, stage->held.data, stage->held.n_bytes);
  pith_buffer whole = stage->held;
  memset(&stage->held, 0, sizeof stage->held);
  pith_status status = feed_token(d, i, whole.data, whole.n_bytes);
  if (status == PITH_OK) status = end_tokens(d, i);
  pith_buffer_free(d->ctx, &whole);
  return status;
}

static pith_status feed(decoder *d, uint32_t i, const char *text, size_t n_bytes) {
  if (i == d->n) return pith_buffer_append(d->ctx, d->out, text, n_bytes);
  return d->stages[i].fused ? feed_part(d, i, text, n_bytes) : feed_token(d, i, text, n_bytes);
}

/* ---- */

static pith_status make_stages(pith_ctx *ctx, const pith_tokenizer *t, pith_detokenizer *state) {
  const uint32_t n = t->has_decoder ? t->decoder.n : 1;
  PITH_TRY(pith_calloc(ctx, n, sizeof *state->stages, &state->stages));
  state->n_stages = n;
  bool fused = false;
  for (uint32_t i = 0; i < t->decoder.n; i++) {
    state->stages[i].op = &t->decoder.ops[i];
    state->stages[i].fused = fused;
    fused = fused || t->decoder.ops[i].kind == PITH_OP_FUSE || t->decoder.ops[i].kind == PITH_OP_BYTE_LEVEL;
  }
  return PITH_OK;
}

pith_status pith_detokenizer_plan(pith_ctx *ctx, const pith_tokenizer *t, pith_detokenizer *state, size_t n_bytes) {
  if (!state->stages) PITH_TRY(make_stages(ctx, t, state));
  for (uint32_t i = 0; i < state->n_stages; i++) {
    PITH_TRY(pith_buffer_reserve(ctx, &state->stages[i].held, n_bytes));
    PITH_TRY(pith_buffer_reserve(ctx, &state->stages[i].replaced, n_bytes));
  }
  return PITH_OK;
}

/* A token's own text; false for an id that has none. An added token stands for what it matches, normalised where it is. */
static bool token_text(const pith_tokenizer *t, int32_t id, const char **text, size_t *n_bytes) {
  if (id < 0 || id >= t->vocab_size || !t->by_id[id]) return false;
  const uint32_t k = t->by_id[id] - 1;
  if (k >= t->vocab.n) {
    *text = t->added[k - t->vocab.n].content;
    *n_bytes = t->added[k - t->vocab.n].n_bytes;
  } else {
    *text = t->vocab.blob + t->vocab.offsets[k];
    *n_bytes = t->vocab.offsets[k + 1] - t->vocab.offsets[k];
  }
  return true;
}

pith_status pith_detokenizer_push(pith_ctx *ctx, const pith_tokenizer *t, pith_detokenizer *state, int32_t id, pith_buffer *piece) {
  const char *text;
  size_t n_bytes;
  if (!state->stages) PITH_TRY(make_stages(ctx, t, state));
  if (!token_text(t, id, &text, &n_bytes)) return PITH_OK;   /* embeddings padded to a round number have ids that no token has */
  if (state->skip_special_tokens && pith_tokenizer_is_special(t, id)) return PITH_OK;
  decoder d = {ctx, state->stages, state->n_stages, piece};
  return feed(&d, 0, text, n_bytes);
}

pith_status pith_detokenizer_flush(pith_ctx *ctx, const pith_tokenizer *t, pith_detokenizer *state, pith_buffer *piece) {
  (void)t;
  decoder d = {ctx, state->stages, state->n_stages, piece};
  pith_status status = PITH_OK;
  for (uint32_t i = 0; i < d.n && status == PITH_OK; i++) status = d.stages[i].fused ? end_parts(&d, i) : end_tokens(&d, i);
  pith_detokenizer_free(ctx, state);
  return status;
}

void pith_detokenizer_free(pith_ctx *ctx, pith_detokenizer *state) {
  for (uint32_t i = 0; i < state->n_stages; i++) {
    pith_buffer_free(ctx, &state->stages[i].held);
    pith_buffer_free(ctx, &state->stages[i].replaced);
  }
  pith_free(ctx, state->stages);
  state->stages = NULL;
  state->n_stages = 0;
}

pith_status pith_tokenizer_decode(pith_ctx *ctx, const pith_tokenizer *t, const int32_t *ids, size_t n, bool skip_special_tokens,
                                  pith_buffer *out) {
  pith_detokenizer state = {.skip_special_tokens = skip_special_tokens};
  pith_status status = pith_buffer_append(ctx, out, "", 0);
  for (size_t i = 0; i < n && status == PITH_OK; i++) status = pith_detokenizer_push(ctx, t, &state, ids[i], out);
  if (status == PITH_OK) status = pith_detokenizer_flush(ctx, t, &state, out);
  pith_detokenizer_free(ctx, &state);
  return status;
}
