#include "text/unicode.h"

static uint32_t run_value(const uint32_t *runs, size_t n, uint32_t code_point) {
  size_t low = 0, high = n;   /* runs[low] begins at or before code_point, runs[high] after it */
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    if (runs[middle] >> 8 <= code_point) low = middle;
    else high = middle;
  }
  return runs[low] & 255;
}

uint32_t pith_unicode_flags(uint32_t code_point) { return run_value(pith_unicode_flag_runs, pith_unicode_n_flag_runs, code_point); }

uint32_t pith_unicode_combining_class(uint32_t code_point) {
  return code_point < 0x300 ? 0 : run_value(pith_unicode_class_runs, pith_unicode_n_class_runs, code_point);
}

size_t pith_unicode_lower(uint32_t code_point, uint32_t out[2]) {
  out[0] = code_point;
  if (code_point == 0x130) {   /* the one lower case of two code points without context (SpecialCasing.txt) */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  size_t low = 0, high = pith_unicode_n_case_runs;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const pith_case_run *run = &pith_unicode_case_runs[middle];
    if (code_point < run->first) high = middle;
    else if (code_point > run->last) low = middle + 1;
    else {
      if ((code_point - run->first) % run->step == 0) out[0] = (uint32_t)((int32_t)code_point + run->delta);
      return 1;
    }
  }
  return 1;
}

static const pith_decomposition *find_decomposition(uint32_t code_point) {
  size_t low = 0, high = pith_unicode_n_decompositions;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const pith_decomposition *d = &pith_unicode_decompositions[middle];
    if (d->code_point == code_point) return d;
    if (d->code_point < code_point) low = middle + 1;
    else high = middle;
  }
  return NULL;
}

size_t pith_unicode_decompose(uint32_t code_point, uint32_t out[4]) {
  if (code_point >= 0xac00 && code_point <= 0xd7a3) {   /* Hangul syllables, by arithmetic (Unicode 3.12) */
    const uint32_t s = code_point - 0xac00;
    out[0] = 0x1100 + s / 588;
    out[1] = 0x1161 + s % 588 / 28;
    out[2] = 0x11a7 + s % 28;
    return s % 28 ? 3 : 2;
  }
  /* Only the first of a pair decomposes further, three times at the most. */
  uint32_t tail[4];
  size_t n_tail = 0, n = 0;
  const pith_decomposition *d;
  while (code_point >= 0xc0 && n_tail < 3 && (d = find_decomposition(code_point)) != NULL) {
    if (d->second) tail[n_tail++] = d->second;
    code_point = d->first;
  }
  out[n++] = code_point;
  while (n_tail > 0) out[n++] = tail[--n_tail];
  return n;
}
