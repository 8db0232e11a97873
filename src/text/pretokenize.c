#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

/* ---- pieces ---- */

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

void pith_pieces_clear(pith_pieces *pieces) { pieces->n = pieces->text.n_bytes = pieces->origin = 0; }

void pith_pieces_free(pith_ctx *ctx, pith_pieces *pieces) {
  pith_buffer_free(ctx, &pieces->text);
  pith_free(ctx, pieces->ends);
  memset(pieces, 0, sizeof *pieces);
}

/* ---- splitting ---- */

/* Takes a text's spans one by one, each a match or what lies between matches, and makes pieces of them. */
typedef struct splitter {
  pith_ctx *ctx;
  const char *text;
  size_t n_bytes, origin;    /* as many leading bytes of the text stem from the first position */
  pith_behavior behavior;
  bool invert;
  bool byte_level;           /* pieces are written in byte-level characters */
  bool waits;                /* a piece that the next span may join */
  bool waits_is_match;
  size_t begin, end;         /* of that piece */
  pith_pieces *out;
} splitter;

static pith_status end_piece(splitter *s, size_t begin, size_t end) {
  pith_buffer *text = &s->out->text;
  if (begin == end) return PITH_OK;
  if (s->byte_level) {
    for (size_t i = begin; i < end; i++) {
      PITH_TRY(pith_append_code_point(s->ctx, text, pith_level_char_of_byte((uint8_t)s->text[i])));
      if (i < s->origin) s->out->origin = text->n_bytes;
    }
  } else {
    PITH_TRY(pith_buffer_append(s->ctx, text, s->text + begin, end - begin));
    if (begin < s->origin) s->out->origin += (end < s->origin ? end : s->origin) - begin;
  }
  return pith_pieces_end(s->ctx, s->out);
}

static pith_status end_waiting(splitter *s) {
  const bool waits = s->waits;
  s->waits = false;
  return waits ? end_piece(s, s->begin, s->end) : PITH_OK;
}

static pith_status add_span(splitter *s, size_t begin, size_t end, bool match) {
  match = match != s->invert;
  bool joins = false;
  switch (s->behavior) {
    case PITH_REMOVED: return match ? PITH_OK : end_piece(s, begin, end);
    case PITH_ISOLATED: return end_piece(s, begin, end);
    case PITH_CONTIGUOUS: joins = match == s->waits_is_match; break;
    case PITH_MERGED_WITH_PREVIOUS: joins = match && !s->waits_is_match; break;   /* of several matches the first */
    case PITH_MERGED_WITH_NEXT: joins = !match && s->waits_is_match; break;       /* of several matches the last */
  }
  if (!(s->waits && joins)) {
    PITH_TRY(end_waiting(s));
    s->waits = true;
    s->begin = begin;
  }
  s->end = end;
  s->waits_is_match = match;
  return PITH_OK;
}

/* What finds the matches of one operation. */
typedef bool is_match_fn(const pith_text_op *op, uint32_t code_point);

static pith_status split_at_characters(splitter *s, const pith_text_op *op, is_match_fn *is_match) {
  size_t done = 0;
  for (size_t i = 0, n; i < s->n_bytes; i += n) {
    uint32_t c;
    n = pith_utf8_decode(s->text + i, s->n_bytes - i, &c);
    if (!is_match(op, c)) continue;
    if (done < i) PITH_TRY(add_span(s, done, i, false));
    PITH_TRY(add_span(s, i, i + n, true));
    done = i + n;
  }
  if (done < s->n_bytes) PITH_TRY(add_span(s, done, s->n_bytes, false));
  return end_waiting(s);
}

static pith_status split_at_string(splitter *s, const char *from) {
  const size_t n = strlen(from);
  size_t done = 0;
  for (size_t at; (at = pith_find_bytes(s->text, s->n_bytes, done, from, n)) < s->n_bytes; done = at + n) {
    if (done < at) PITH_TRY(add_span(s, done, at, false));
    PITH_TRY(add_span(s, at, at + n, true));
  }
  if (done < s->n_bytes) PITH_TRY(add_span(s, done, s->n_bytes, false));
  return end_waiting(s);
}

static pith_status split_at_matches(splitter *s, pith_matcher *matcher) {
  pith_match match = {0};
  size_t done = 0;
  for (;;) {
    PITH_TRY(pith_matcher_next(s->ctx, matcher, s->text, s->n_bytes, &match));
    if (!match.found) break;
    if (done < match.begin) PITH_TRY(add_span(s, done, match.begin, false));
    PITH_TRY(add_span(s, match.begin, match.end, true));
    done = match.end;
  }
  if (done < s->n_bytes) PITH_TRY(add_span(s, done, s->n_bytes, false));
  return end_waiting(s);
}

/* ---- character classes ---- */

static bool is_space(const pith_text_op *op, uint32_t c) {
  (void)op;
  return (pith_unicode_flags(c) & PITH_SPACE) != 0;
}

static bool is_number(const pith_text_op *op, uint32_t c) {
  (void)op;
  return (pith_unicode_flags(c) & PITH_NUMBER) != 0;
}

static bool is_punctuation(const pith_text_op *op, uint32_t c) {
  (void)op;
  if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) return true;
  return (pith_unicode_flags(c) & PITH_PUNCTUATION) != 0;
}

/* BERT: white space parts words and is dropped, every mark is a word of its own. */
static pith_status split_bert(splitter *s) {
  size_t done = 0;
  for (size_t i = 0, n; i < s->n_bytes; i += n) {
    uint32_t c;
    n = pith_utf8_decode(s->text + i, s->n_bytes - i, &c);
    const bool blank = is_space(NULL, c), mark = is_punctuation(NULL, c);
    if (!blank && !mark) continue;
    PITH_TRY(end_piece(s, done, i));
    if (mark) PITH_TRY(end_piece(s, i, i + n));
    done = i + n;
  }
  return end_piece(s, done, s->n_bytes);
}

/* Whitespace: the matches of \w+|[^\w\s]+. */
static pith_status split_words(splitter *s) {
  enum { BLANK, WORD, OTHER } kind = BLANK, before = BLANK;
  size_t begin = 0;
  for (size_t i = 0, n; i < s->n_bytes; i += n) {
    uint32_t c;
    n = pith_utf8_decode(s->text + i, s->n_bytes - i, &c);
    const uint32_t flags = pith_unicode_flags(c);
    kind = flags & PITH_SPACE ? BLANK : flags & PITH_WORD || c == 0x200c || c == 0x200d ? WORD : OTHER;
    if (kind != before) {
      if (before != BLANK) PITH_TRY(end_piece(s, begin, i));
      begin = i;
    }
    before = kind;
  }
  return before == BLANK ? PITH_OK : end_piece(s, begin, s->n_bytes);
}

/* ---- byte level ---- */

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

/* `before`, unless the text begins with it, and the text; the former stems from where the text's first character does. */
static pith_status prepend(splitter *s, const char *before, pith_buffer *scratch) {
  const size_t n = strlen(before);
  if (s->n_bytes >= n && memcmp(s->text, before, n) == 0) return PITH_OK;
  PITH_TRY(pith_buffer_append(s->ctx, scratch, before, n));
  PITH_TRY(pith_buffer_append(s->ctx, scratch, s->text, s->n_bytes));
  s->text = scratch->data;
  s->n_bytes = scratch->n_bytes;
  if (s->origin > 0) s->origin += n;
  return PITH_OK;
}

static pith_status split_byte_level(splitter *s, const pith_text_op *op) {
  pith_buffer prefixed = {0};
  pith_status status = op->add_prefix_space ? prepend(s, " ", &prefixed) : PITH_OK;
  s->byte_level = true;
  for (size_t i = 0, n; i < s->n_bytes && status == PITH_OK; i += n) {
    n = op->use_regex ? gpt2_match(s->text + i, s->n_bytes - i) : s->n_bytes;
    status = end_piece(s, i, i + n);
  }
  pith_buffer_free(s->ctx, &prefixed);
  return status;
}

/* Blanks become the replacement, which then parts words from those before. */
static pith_status split_metaspace(splitter *s, const pith_text_op *op) {
  const pith_text_op blanks = {.kind = PITH_OP_REPLACE, .from = (char[]){" "}, .to = op->to};
  pith_buffer replaced = {0}, prefixed = {0};
  pith_status status = pith_replace(s->ctx, &blanks, s->text, s->n_bytes, &s->origin, &replaced);
  if (status == PITH_OK) {
    s->text = replaced.data;
    s->n_bytes = replaced.n_bytes;
    if (op->prepend == PITH_PREPEND_ALWAYS || (op->prepend == PITH_PREPEND_FIRST && s->origin > 0)) status = prepend(s, op->to, &prefixed);
  }
  s->behavior = PITH_MERGED_WITH_NEXT;
  if (status == PITH_OK) status = op->split ? split_at_string(s, op->to) : end_piece(s, 0, s->n_bytes);
  pith_buffer_free(s->ctx, &replaced);
  pith_buffer_free(s->ctx, &prefixed);
  return status;
}

/* ---- a list of operations ---- */

static pith_status apply(splitter *s, const pith_text_op *op, pith_matcher *matcher) {
  switch (op->kind) {
    case PITH_OP_BERT_SPLIT: return split_bert(s);
    case PITH_OP_WHITESPACE_SPLIT: return split_at_characters(s, op, is_space);
    case PITH_OP_WORDS_SPLIT: return split_words(s);
    case PITH_OP_DIGITS: return split_at_characters(s, op, is_number);
    case PITH_OP_PUNCTUATION: return split_at_characters(s, op, is_punctuation);
    case PITH_OP_SPLIT: return op->regex ? split_at_matches(s, matcher) : split_at_string(s, op->from);
    case PITH_OP_BYTE_LEVEL: return split_byte_level(s, op);
    case PITH_OP_METASPACE: return split_metaspace(s, op);
    default: return pith_fail(s->ctx, PITH_E_INTERNAL, "a pre-tokenizer of an unknown kind");
  }
}

static pith_status apply_to_all(pith_ctx *ctx, const pith_text_op *op, const pith_pieces *in, pith_pieces *out) {
  pith_matcher matcher = {0};
  if (op->regex) PITH_TRY(pith_matcher_open(ctx, op->regex, in->text.n_bytes, &matcher));
  pith_status status = PITH_OK;
  for (size_t p = 0, begin = 0; p < in->n && status == PITH_OK; begin = in->ends[p++]) {
    const size_t n = in->ends[p] - begin, origin = in->origin > begin ? in->origin - begin : 0;
    splitter s = {.ctx = ctx, .text = in->text.data + begin, .n_bytes = n, .origin = origin < n ? origin : n, .behavior = op->behavior,
                  .invert = op->invert, .out = out};
    status = apply(&s, op, &matcher);
  }
  pith_matcher_close(ctx, &matcher);
  return status;
}

pith_status pith_pre_tokenize(pith_ctx *ctx, const pith_text_ops *ops, const char *text, size_t n_bytes, size_t origin, pith_pieces *out) {
  pith_pieces next = {0};
  pith_pieces_clear(out);
  out->origin = origin;
  pith_status status = pith_buffer_append(ctx, &out->text, text, n_bytes);
  if (status == PITH_OK) status = pith_pieces_end(ctx, out);
  for (uint32_t i = 0; i < ops->n && status == PITH_OK; i++) {
    pith_pieces_clear(&next);
    status = apply_to_all(ctx, &ops->ops[i], out, &next);
    const pith_pieces swap = *out;
    *out = next;
    next = swap;
  }
  pith_pieces_free(ctx, &next);
  return status;
}
