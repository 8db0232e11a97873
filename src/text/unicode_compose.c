/* Combining classes, decomposition and composition, from tables that are unpacked. */
#include <stdlib.h>
#include <string.h>

#include "base/sort.h"
#include "text/unicode.h"
#include "text/unicode_tables.h"

typedef struct decomposition_run {
  uint32_t first;
  uint16_t at;       /* in the units */
  uint8_t count, kind;
} decomposition_run;

typedef struct composite {
  uint32_t first, second, whole;
} composite;

struct pith_unicode_forms {
  uint32_t classes[PITH_N_CLASS_RUNS];   /* first << 8 | class; a code point belongs to the last run that begins at or before it */
  decomposition_run runs[PITH_N_DECOMPOSITION_RUNS];
  uint16_t units[PITH_N_DECOMPOSITION_UNITS];
  composite composites[PITH_N_COMPOSITES];   /* sorted by the pair */
};

static void unpack_classes(pith_unicode_forms *forms) {
  const uint8_t *at = pith_unicode_classes;
  uint32_t first = 0;
  for (size_t i = 0; i < PITH_N_CLASS_RUNS; i++) {
    first += pith_unicode_take_varint(&at);
    forms->classes[i] = first << 8 | *at++;
  }
}

static void unpack_decompositions(pith_unicode_forms *forms) {
  const uint8_t *kinds = pith_unicode_decompositions, *counts = kinds + PITH_N_DECOMPOSITION_RUNS, *gap = counts + PITH_N_DECOMPOSITION_RUNS;
  const uint8_t *text = pith_unicode_decomposition_texts;
  uint16_t before[PITH_DECOMPOSITION_LENGTH + 1][PITH_DECOMPOSITION_LENGTH] = {{0}};   /* [length][place] */
  uint32_t next = 0, n_units = 0;
  for (size_t i = 0; i < PITH_N_DECOMPOSITION_RUNS; i++) {
    decomposition_run *run = &forms->runs[i];
    run->first = next + pith_unicode_take_varint(&gap);
    run->kind = kinds[i];
    run->count = counts[i];
    run->at = (uint16_t)n_units;
    next = run->first + run->count;
    const uint32_t n_texts = run->kind & PITH_DECOMPOSITION_GROWS ? 1 : run->count, length = run->kind & PITH_DECOMPOSITION_LENGTH;
    for (uint32_t k = 0; k < n_texts; k++)
      for (uint32_t place = 0; place < length; place++) {
        const uint32_t coded = pith_unicode_take_varint(&text);
        before[length][place] = (uint16_t)(before[length][place] + (coded >> 1 ^ (0 - (coded & 1))));
        forms->units[n_units++] = before[length][place];
      }
  }
}

enum { NO_RUN = UINT16_MAX, HANGUL = 0xac00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11a7, N_HANGUL = 11172, N_L = 19, N_V = 21, N_T = 28 };

/* The run of decompositions that a code point lies in. */
static size_t find_run(const pith_unicode_forms *forms, uint32_t code_point) {
  size_t low = 0, high = code_point < 0xa0 ? 0 : PITH_N_DECOMPOSITION_RUNS;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (code_point < forms->runs[middle].first) high = middle;
    else if (code_point >= forms->runs[middle].first + forms->runs[middle].count) low = middle + 1;
    else return middle;
  }
  return NO_RUN;
}

/* The nth text of a run, as code points. */
static size_t read_text(const pith_unicode_forms *forms, const decomposition_run *run, uint32_t nth, uint32_t out[PITH_MAX_DECOMPOSITION]) {
  const uint32_t length = run->kind & PITH_DECOMPOSITION_LENGTH;
  const bool grows = (run->kind & PITH_DECOMPOSITION_GROWS) != 0;
  const uint16_t *units = forms->units + run->at + (grows ? 0 : nth * length);
  size_t n = 0;
  for (uint32_t i = 0; i < length && n < PITH_MAX_DECOMPOSITION; i++) {
    const bool pair = units[i] >= 0xd800 && units[i] < 0xdc00 && i + 1 < length;
    out[n++] = (pair ? 0x10000u + ((units[i] - 0xd800u) << 10) + (units[i + 1] - 0xdc00u) : units[i]) + (grows ? nth : 0);
    i += pair;
  }
  return n;
}

static int compare_composites(const void *a, const void *b) {
  const composite *x = a, *y = b;
  if (x->first != y->first) return x->first < y->first ? -1 : 1;
  return x->second < y->second ? -1 : x->second > y->second;
}

/* Canonical pairs, but for those that stay alone. */
static void find_composites(pith_unicode_forms *forms) {
  size_t n = 0;
  for (size_t i = 0; i < PITH_N_DECOMPOSITION_RUNS; i++) {
    const decomposition_run *run = &forms->runs[i];
    if (run->kind & (PITH_DECOMPOSITION_COMPATIBLE | PITH_DECOMPOSITION_ALONE)) continue;
    for (uint32_t nth = 0; nth < run->count; nth++) {
      uint32_t pair[PITH_MAX_DECOMPOSITION];
      if (read_text(forms, run, nth, pair) == 2) forms->composites[n++] = (composite){pair[0], pair[1], run->first + nth};
    }
  }
  pith_sort(forms->composites, n, sizeof *forms->composites, compare_composites);
}

pith_status pith_unicode_forms_open(pith_ctx *ctx, pith_unicode_forms **out) {
  PITH_TRY(pith_malloc(ctx, sizeof **out, out));
  unpack_classes(*out);
  unpack_decompositions(*out);
  find_composites(*out);
  return PITH_OK;
}

void pith_unicode_forms_close(pith_ctx *ctx, pith_unicode_forms *forms) { pith_free(ctx, forms); }

uint32_t pith_unicode_combining_class(const pith_unicode_forms *forms, uint32_t code_point) {
  if (code_point < 0x300) return 0;
  size_t low = 0, high = PITH_N_CLASS_RUNS;
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    if (forms->classes[middle] >> 8 <= code_point) low = middle;
    else high = middle;
  }
  return forms->classes[low] & 255;
}

size_t pith_unicode_decompose(const pith_unicode_forms *forms, uint32_t code_point, bool compatible, uint32_t out[PITH_MAX_DECOMPOSITION]) {
  if (code_point >= HANGUL && code_point < HANGUL + N_HANGUL) {   /* syllables, by arithmetic (Unicode 3.12) */
    const uint32_t s = code_point - HANGUL;
    out[0] = HANGUL_L + s / (N_V * N_T);
    out[1] = HANGUL_V + s % (N_V * N_T) / N_T;
    out[2] = HANGUL_T + s % N_T;
    return s % N_T ? 3 : 2;
  }
  uint32_t todo[2 * PITH_MAX_DECOMPOSITION] = {code_point};   /* a stack, the next on top; the generator's data never fills it */
  size_t n_todo = 1, n = 0;
  while (n_todo > 0 && n < PITH_MAX_DECOMPOSITION) {
    uint32_t parts[PITH_MAX_DECOMPOSITION];
    const uint32_t next = todo[--n_todo];
    const size_t at = find_run(forms, next);
    const decomposition_run *run = at == NO_RUN ? NULL : &forms->runs[at];
    const bool stays = !run || (run->kind & PITH_DECOMPOSITION_COMPATIBLE && !compatible);
    const size_t n_parts = stays ? 0 : read_text(forms, run, next - run->first, parts);
    if (n_parts == 0 || n_todo + n_parts > sizeof todo / sizeof *todo) out[n++] = next;
    else
      for (size_t i = n_parts; i-- > 0;) todo[n_todo++] = parts[i];
  }
  return n;
}

uint32_t pith_unicode_compose(const pith_unicode_forms *forms, uint32_t first, uint32_t second) {
  if (first >= HANGUL_L && first < HANGUL_L + N_L && second >= HANGUL_V && second < HANGUL_V + N_V)
    return HANGUL + ((first - HANGUL_L) * N_V + (second - HANGUL_V)) * N_T;
  if (first >= HANGUL && first < HANGUL + N_HANGUL && (first - HANGUL) % N_T == 0 && second > HANGUL_T && second < HANGUL_T + N_T)
    return first + (second - HANGUL_T);
  if (second < 0x300 || !(pith_unicode_flags(second) & PITH_MARK)) return 0;   /* the generator has seen that nothing else composes */
  const composite wanted = {first, second, 0};
  const composite *found = bsearch(&wanted, forms->composites, PITH_N_COMPOSITES, sizeof wanted, compare_composites);
  return found ? found->whole : 0;
}
