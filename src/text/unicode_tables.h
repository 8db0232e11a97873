/* The tables that scripts/unicode-tables writes into unicode_tables.c, laid out to be small: most are bytes, numbers in them varints (seven bits
 * a byte, the lowest first, the high bit where more follow). Only unicode.c and unicode_compose.c read them, and those for compatibility are a file of
 * their own, which a program may do without. */
#ifndef PITH_UNICODE_TABLES_H
#define PITH_UNICODE_TABLES_H

#include "text/unicode.h"

extern const char pith_unicode_version[];

/* How many there are, in order of the tables below; the generator compares. */
enum {
  PITH_N_CATEGORY_MARKS = 95, PITH_N_CASE_RUNS = 183, PITH_N_CASE_RUNS_BMP = 173,
  PITH_N_CLASS_RUNS = 580, PITH_N_COMPOSITES = 941
};

/* Categories: runs of code points, min(length - 1, 7) << 5 | category, and the length less 8 as a varint where it is 8 or more. One category
 * more is a run of Lu, Ll, Lu, Ll, … Mark i is for run 32 i: its first code point << 10 | where it begins, less 32 i. */
enum { PITH_CASES_IN_TURN = 31, PITH_RUNS_A_MARK = 32 };
extern const uint8_t pith_unicode_categories[];
extern const uint32_t pith_unicode_category_marks[PITH_N_CATEGORY_MARKS];
extern const uint8_t pith_unicode_ascii[128];   /* the categories of the first 128 again, since most texts are made of them */

/* Lower case: run r is for first … first + span / 2, each or, where span is odd, every second, in plane 0 for the runs before
 * PITH_N_CASE_RUNS_BMP and plane 1 for the others. delta is added modulo 65536: no letter leaves its plane. */
extern const uint16_t pith_unicode_case_first[PITH_N_CASE_RUNS], pith_unicode_case_delta[PITH_N_CASE_RUNS];
extern const uint8_t pith_unicode_case_span[PITH_N_CASE_RUNS];

/* Canonical combining classes: how far behind the last run's first code point (a varint), and the class from there on. */
extern const uint8_t pith_unicode_classes[];

/* Decompositions, one step, in runs: the kinds of all runs, then how many code points each has, then how far behind the last run's end each
 * begins (varints).
 * kind: the length in UTF-16 units (below 32), and two bits. Texts are units side by side, each as a varint of the difference from the unit
 * at the same place of the last text of that length (0, -1, 1, -2, … as 0, 1, 2, 3, …); a growing run has the first one's alone, the others are it plus i. */
enum { PITH_DECOMPOSITION_LENGTH = 31, PITH_DECOMPOSITION_ALONE = 0x20, PITH_DECOMPOSITION_GROWS = 0x40 };
struct pith_unicode_decompositions {
  const uint8_t *runs, *texts;
  uint32_t n_runs, n_units;
};
extern const pith_unicode_decompositions pith_unicode_canonical_decompositions, pith_unicode_compatible_decompositions;

#endif
