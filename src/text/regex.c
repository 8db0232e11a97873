#include "text/regex.h"

#include <string.h>

#include "text/regex_internal.h"
#include "text/unicode.h"

void pith_regex_close(pith_ctx *ctx, pith_regex *regex) {
  if (!regex) return;
  pith_free(ctx, regex->code);
  pith_free(ctx, regex->classes);
  pith_free(ctx, regex->ranges);
  pith_free(ctx, regex);
}

pith_status pith_matcher_open(pith_ctx *ctx, const pith_regex *regex, size_t n_bytes, pith_matcher *out) {
  memset(out, 0, sizeof *out);
  out->regex = regex;
  out->steps_left = 512 * ((uint64_t)n_bytes + 64);   /* the patterns in use take 50 a byte at most */
  pith_status status = pith_calloc(ctx, regex->n, sizeof *out->marks, &out->marks);
  if (status == PITH_OK) status = pith_calloc(ctx, 2 * (size_t)regex->n + 1, sizeof *out->stack, &out->stack);
  if (status == PITH_OK) status = pith_calloc(ctx, regex->n, sizeof *out->now, &out->now);
  if (status == PITH_OK) status = pith_calloc(ctx, regex->n, sizeof *out->next, &out->next);
  if (status != PITH_OK) pith_matcher_close(ctx, out);
  return status;
}

void pith_matcher_close(pith_ctx *ctx, pith_matcher *matcher) {
  pith_free(ctx, matcher->marks);
  pith_free(ctx, matcher->stack);
  pith_free(ctx, matcher->now);
  pith_free(ctx, matcher->next);
  memset(matcher, 0, sizeof *matcher);
}

/* A character with its category, or none at an end of the text. */
typedef struct character {
  uint32_t code_point, category;
  size_t n_bytes;              /* 0: none */
} character;

static character character_at(const char *text, size_t n_bytes, size_t at) {
  character c = {0};
  if (at >= n_bytes) return c;
  c.n_bytes = pith_utf8_decode(text + at, n_bytes - at, &c.code_point);
  c.category = pith_unicode_flags(c.code_point);
  return c;
}

static character character_before(const char *text, size_t at) {
  size_t begin = at;
  while (begin > 0 && (text[--begin] & 0xc0) == 0x80) continue;
  return character_at(text, at, begin);
}

static bool is_in(const pith_regex *regex, uint32_t class_index, const character *c) {
  const pith_regex_class *class = &regex->classes[class_index];
  if (c->n_bytes == 0) return false;
  bool inside = (class->categories & c->category) != 0;
  for (size_t low = class->begin, high = class->end; !inside && low < high;) {
    const size_t middle = (low + high) / 2;
    if (c->code_point < regex->ranges[middle].first) high = middle;
    else if (c->code_point > regex->ranges[middle].last) low = middle + 1;
    else inside = true;
  }
  return inside != class->negated;
}

/* Adds to `next` the threads that instruction pc leads to without a character: those whose class holds the character that follows, and matches. */
static void follow(pith_matcher *m, uint32_t pc, size_t begin, const character *before, const character *after) {
  const pith_regex *regex = m->regex;
  size_t n = 0;
  m->stack[n++] = pc;
  while (n > 0) {
    const uint32_t at = m->stack[--n];
    const pith_regex_instruction *i = &regex->code[at];
    if (m->marks[at] == m->generation) continue;
    m->marks[at] = m->generation;
    if (m->steps_left > 0) m->steps_left--;
    bool go_on = false;
    switch (i->op) {
      case PITH_RE_SPLIT:
        m->stack[n++] = at + (uint32_t)i->other;
        m->stack[n++] = at + (uint32_t)i->to;
        break;
      case PITH_RE_JUMP: m->stack[n++] = at + (uint32_t)i->to; break;
      case PITH_RE_AHEAD: go_on = is_in(regex, i->value, after); break;
      case PITH_RE_NOT_AHEAD: go_on = !is_in(regex, i->value, after); break;
      case PITH_RE_BEHIND: go_on = is_in(regex, i->value, before); break;
      case PITH_RE_NOT_BEHIND: go_on = !is_in(regex, i->value, before); break;
      case PITH_RE_CLASS:
        if (is_in(regex, i->value, after)) m->next[m->n_next++] = (pith_regex_thread){at, begin};
        break;
      case PITH_RE_MATCH: m->next[m->n_next++] = (pith_regex_thread){at, begin}; break;
    }
    if (go_on) m->stack[n++] = at + 1;
  }
}

static void new_generation(pith_matcher *m) {
  if (++m->generation == 0) {   /* wrapped around: old marks must not look new */
    memset(m->marks, 0, m->regex->n * sizeof *m->marks);
    m->generation = 1;
  }
  m->n_next = 0;
}

pith_status pith_matcher_find(pith_ctx *ctx, pith_matcher *m, const char *text, size_t n_bytes, size_t from, pith_match *out) {
  *out = (pith_match){from, from, false};
  character before = character_before(text, from), after = character_at(text, n_bytes, from);
  new_generation(m);
  for (size_t at = from;; at += before.n_bytes) {
    if (!out->found) follow(m, 0, at, &before, &after);
    pith_regex_thread *const swap = m->now;
    m->now = m->next;
    m->n_now = m->n_next;
    m->next = swap;
    new_generation(m);
    const character here = after;
    after = character_at(text, n_bytes, at + here.n_bytes);
    for (size_t i = 0; i < m->n_now; i++) {
      const pith_regex_thread thread = m->now[i];
      if (m->regex->code[thread.pc].op == PITH_RE_MATCH) {   /* what has a lower priority is out */
        *out = (pith_match){thread.begin, at, true};
        break;
      }
      follow(m, thread.pc + 1, thread.begin, &here, &after);
    }
    if (m->steps_left == 0) return pith_fail(ctx, PITH_E_LIMIT, "a pattern of the tokenizer takes too long on this text");
    if (here.n_bytes == 0 || (out->found && m->n_next == 0)) return PITH_OK;
    before = here;
  }
}

pith_status pith_matcher_next(pith_ctx *ctx, pith_matcher *m, const char *text, size_t n_bytes, pith_match *match) {
  const pith_match last = *match;
  PITH_TRY(pith_matcher_find(ctx, m, text, n_bytes, last.end, match));
  if (match->found && last.found && match->begin == match->end && match->end == last.end) {
    const character c = character_at(text, n_bytes, last.end);
    match->found = false;
    if (c.n_bytes > 0) return pith_matcher_find(ctx, m, text, n_bytes, last.end + c.n_bytes, match);
  }
  return PITH_OK;
}
