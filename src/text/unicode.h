/* Unicode as the tokenizers need it: categories, canonical decomposition, lower case. Tables are generated. */
#ifndef PITH_UNICODE_H
#define PITH_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/utf8.h"

enum {
  PITH_LETTER = 1,        /* L* */
  PITH_NUMBER = 2,        /* N* */
  PITH_PUNCTUATION = 4,   /* P* */
  PITH_SPACE = 8,         /* White_Space */
  PITH_OTHER = 16,        /* Cc, Cf, Co, Cs */
  PITH_MARK = 32,         /* M* */
  PITH_NONSPACING = 64    /* Mn */
};

uint32_t pith_unicode_flags(uint32_t code_point);
uint32_t pith_unicode_combining_class(uint32_t code_point);
/* The full lower case of one code point: 1 or 2 of them into out. */
size_t pith_unicode_lower(uint32_t code_point, uint32_t out[2]);
/* The full canonical decomposition, 1 to 4 code points, not yet ordered. */
size_t pith_unicode_decompose(uint32_t code_point, uint32_t out[4]);

/* Generated. A run is first << 8 | value. */
typedef struct pith_case_run {
  uint32_t first, last, step;
  int32_t delta;
} pith_case_run;
typedef struct pith_decomposition {
  uint32_t code_point, first, second;   /* second is 0 for a singleton */
} pith_decomposition;
extern const char pith_unicode_version[];
extern const uint32_t pith_unicode_flag_runs[], pith_unicode_class_runs[];
extern const pith_case_run pith_unicode_case_runs[];
extern const pith_decomposition pith_unicode_decompositions[];
extern const size_t pith_unicode_n_flag_runs, pith_unicode_n_class_runs, pith_unicode_n_case_runs, pith_unicode_n_decompositions;

#endif
