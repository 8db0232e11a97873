/* What the compiler and the matcher of patterns share. */
#ifndef PITH_REGEX_INTERNAL_H
#define PITH_REGEX_INTERNAL_H

#include "text/regex.h"

typedef enum pith_regex_op {
  PITH_RE_CLASS,        /* one character of classes[value] */
  PITH_RE_SPLIT,        /* first `to`, then `other` */
  PITH_RE_JUMP,
  PITH_RE_AHEAD, PITH_RE_NOT_AHEAD, PITH_RE_BEHIND, PITH_RE_NOT_BEHIND,   /* a character of classes[value] follows, precedes */
  PITH_RE_MATCH
} pith_regex_op;

typedef struct pith_regex_instruction {
  pith_regex_op op;
  uint32_t value;
  int32_t to, other;    /* relative, so that blocks can be moved and copied */
} pith_regex_instruction;

typedef struct pith_regex_range { uint32_t first, last; } pith_regex_range;

/* Categories (unicode.h) and ranges [begin, end) of the pattern's list, sorted and apart. */
typedef struct pith_regex_class {
  uint32_t categories;
  uint32_t begin, end;
  bool negated;
} pith_regex_class;

struct pith_regex {
  pith_regex_instruction *code;
  pith_regex_class *classes;
  pith_regex_range *ranges;
  uint32_t n, n_classes, n_ranges;
};

typedef struct pith_regex_thread {
  uint32_t pc;          /* of a class that the next character is in, or of the match */
  size_t begin;
} pith_regex_thread;

#endif
