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

typedef struct decompositions {
  decomposition_run *runs;
  uint16_t *units;
  size_t n_runs;
} decompositions;

struct pith_unicode_forms {
  uint32_t classes[PITH_N_CLASS_RUNS];   /* first << 8 | class; a code point belongs to the last run that begins at or before it */
  decompositions canonical, compatible;  /* in the same allocation; the second may be empty */
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

static size_t room_of(const pith_unicode_decompositions *packed) {
  return packed->n_runs * sizeof(decomposition_run) + packed->n_units * sizeof(uint16_t) + sizeof(uint64_t);
}

/* To `room`, which room_of says. */
static void unpack_decompositions(const pith_unicode_decompositions *packed, void *room, decompositions *out) {
  const uint8_t *kinds = packed->runs, *counts = kinds + packed->n_runs, *gap = counts + packed->n_runs, *text = packed->texts;
  uint16_t before[PITH_DECOMPOSITION_LENGTH + 1][PITH_DECOMPOSITION_LENGTH] = {{0}};   /* [length][place] */
  uint32_t next = 0, n_units = 0;
  *out = (decompositions){room, NULL, packed->n_runs};
  out->units = (uint16_t *)(void *)(out->runs + packed->n_runs);
  for (size_t i = 0; i < packed->n_runs; i++) {
    decomposition_run *run = &out->runs[i];
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
        out->units[n_units++] = before[length][place];
      }
  }
}

enum { HANGUL = 0xac00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11a7, N_HANGUL = 11172, N_L = 19, N_V = 21, N_T = 28 };

/* The run of decompositions that a code point lies in; NULL: none. */
static const decomposition_run *find_run(const decompositions *list, uint32_t code_point) {
  size_t low = 0, high = code_point < 0xa0 ? 0 : list->n_runs;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (code_point < list->runs[middle].first) high = middle;
    else if (code_point >= list->runs[middle].first + list->runs[middle].count) low = middle + 1;
    else return &list->runs[middle];
  }
  return NULL;
}

/* The nth text of a run, as code points. */
static size_t read_text(const decompositions *list, const decomposition_run *run, uint32_t nth, uint32_t out[PITH_MAX_DECOMPOSITION]) {
  const uint32_t length = run->kind & PITH_DECOMPOSITION_LENGTH;
  const bool grows = (run->kind & PITH_DECOMPOSITION_GROWS) != 0;
  const uint16_t *units = list->units + run->at + (grows ? 0 : nth * length);
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
  for (size_t i = 0; i < forms->canonical.n_runs; i++) {
    const decomposition_run *run = &forms->canonical.runs[i];
    if (run->kind & PITH_DECOMPOSITION_ALONE) continue;
    for (uint32_t nth = 0; nth < run->count; nth++) {
      uint32_t pair[PITH_MAX_DECOMPOSITION];
      if (read_text(&forms->canonical, run, nth, pair) == 2) forms->composites[n++] = (composite){pair[0], pair[1], run->first + nth};
    }
  }
  pith_sort(forms->composites, n, sizeof *forms->composites, compare_composites);
}

pith_status pith_unicode_forms_open(pith_ctx *ctx, bool compatible, pith_unicode_forms **out) {
  const pith_unicode_decompositions *canonical = &pith_unicode_canonical_decompositions, *more = compatible ? pith_unicode_compatible : NULL;
  if (compatible && !more) return pith_fail(ctx, PITH_E_INCOMPLETE, "the tokenizer normalises for compatibility, which this module does not: a complete one does");
  const size_t own = pith_round_up(sizeof **out, sizeof(uint64_t)), first = pith_round_up(room_of(canonical), sizeof(uint64_t));
  PITH_TRY(pith_malloc(ctx, own + first + (more ? room_of(more) : 0), out));
  (*out)->compatible = (decompositions){NULL, NULL, 0};
  unpack_classes(*out);
  unpack_decompositions(canonical, (char *)*out + own, &(*out)->canonical);
  if (more) unpack_decompositions(more, (char *)*out + own + first, &(*out)->compatible);
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
    const decompositions *list = &forms->canonical;
    const decomposition_run *run = find_run(list, next);
    if (!run && compatible) run = find_run(list = &forms->compatible, next);
    const size_t n_parts = run ? read_text(list, run, next - run->first, parts) : 0;
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
