/* The tables that scripts/unicode-tables writes into unicode_tables.c, laid out to be small. Only unicode.c reads them. */
#ifndef PITH_UNICODE_TABLES_H
#define PITH_UNICODE_TABLES_H

#include <stddef.h>
#include <stdint.h>

extern const char pith_unicode_version[];

/* Categories: blocks of 2048 code points; block b has the runs [index[b], index[b + 1]), each offset << 5 | category, the first at offset 0.
 * One category more is a run of Lu, Ll, Lu, Ll, … */
enum { PITH_CASES_IN_TURN = 31 };
extern const uint16_t pith_unicode_category_runs[], pith_unicode_category_index[];
extern const uint8_t pith_unicode_ascii[128];   /* the categories of the first 128 again, since most texts are made of them */

/* Canonical combining classes: first << 8 | class; a code point belongs to the last run that begins at or before it. */
extern const uint32_t pith_unicode_class_runs[];
extern const size_t pith_unicode_n_class_runs;

typedef struct pith_case_run {
  uint32_t first, last, step;   /* every step-th code point from first to last */
  int32_t delta;
} pith_case_run;
extern const pith_case_run pith_unicode_case_runs[];
extern const size_t pith_unicode_n_case_runs;

/* Decompositions, one step: run r is for count[r] neighbours from plane << 16 | first[r]; plane p has the runs [planes[p], planes[p + 1]).
 * kind: the length in UTF-16 units (below 32), and two bits. Text i begins at pool[at + i * length], that of a growing run is pool[at] plus i. */
enum { PITH_DECOMPOSITION_LENGTH = 31, PITH_DECOMPOSITION_GROWS = 0x40, PITH_DECOMPOSITION_COMPATIBLE = 0x80 };
extern const uint16_t pith_unicode_decomposition_planes[4], pith_unicode_decomposition_first[], pith_unicode_decomposition_at[];
extern const uint8_t pith_unicode_decomposition_count[], pith_unicode_decomposition_kind[];
extern const uint16_t pith_unicode_decomposition_pool[];

/* The code points that a pair composes to, sorted by the pair: their low 16 bits, the first n_composites_bmp in plane 0, the others in plane 1. */
extern const uint16_t pith_unicode_composites[];
extern const size_t pith_unicode_n_composites, pith_unicode_n_composites_bmp;

#endif
