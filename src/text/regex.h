/* The part of Oniguruma's patterns that tokenizers are written in: alternation, groups, (?i:…) over ASCII, sets with \p{…}, \s, \d, \w and their
 * negations, greedy and lazy repeats, look-around at one character. Matching follows all alternatives side by side (Thompson 1968, Pike's
 * priorities), so that nothing backtracks: the first match, and among those that begin there the one that a backtracking matcher would find. */
#ifndef PITH_REGEX_H
#define PITH_REGEX_H

#include "base/base.h"

typedef struct pith_regex pith_regex;

/* Compiles UTF-8. What lies outside of the subset is PITH_E_UNSUPPORTED naming it; `what` names the file. *out is NULL on failure. */
pith_status pith_regex_open(pith_ctx *ctx, const char *pattern, const char *what, pith_regex **out);
void pith_regex_close(pith_ctx *ctx, pith_regex *regex);

/* What one thread of work needs while it matches. */
typedef struct pith_matcher {
  const pith_regex *regex;
  uint32_t *marks;            /* (n) the generation that saw instruction i */
  uint32_t *stack;            /* (2 n + 1) */
  struct pith_regex_thread *now, *next;   /* (n) in order of priority */
  size_t n_now, n_next;
  uint32_t generation;
  uint64_t steps_left;
} pith_matcher;

/* Room for texts of n_bytes in all: a pattern that reads them over and over again ends with PITH_E_LIMIT instead of quadratic time. */
pith_status pith_matcher_open(pith_ctx *ctx, const pith_regex *regex, size_t n_bytes, pith_matcher *out);
void pith_matcher_close(pith_ctx *ctx, pith_matcher *matcher);

typedef struct pith_match {
  size_t begin, end;
  bool found;
} pith_match;
/* The first match at or after `from` in valid UTF-8. May be empty. */
pith_status pith_matcher_find(pith_ctx *ctx, pith_matcher *matcher, const char *text, size_t n_bytes, size_t from, pith_match *out);
/* The next of the matches that do not overlap, from the one before (zero to begin with). An empty match right behind another is passed over. */
pith_status pith_matcher_next(pith_ctx *ctx, pith_matcher *matcher, const char *text, size_t n_bytes, pith_match *match);

#endif
