#include "text/unicode.h"

#include "text/unicode_tables.h"

uint32_t pith_unicode_flags(uint32_t code_point) {
  if (code_point < 128) return 1u << pith_unicode_ascii[code_point];
  if (code_point > 0x10ffff) return PITH_CN;
  const uint16_t *runs = pith_unicode_category_runs;
  const uint32_t block = code_point >> 11, offset = code_point & 2047;
  size_t low = pith_unicode_category_index[block], high = pith_unicode_category_index[block + 1];
  while (high - low > 1) {   /* runs[low] begins at or before the code point, runs[high] after it */
    const size_t middle = (low + high) / 2;
    if ((uint32_t)runs[middle] >> 5 <= offset) low = middle;
    else high = middle;
  }
  const uint32_t category = runs[low] & 31;
  if (category == PITH_CASES_IN_TURN) return (offset - (runs[low] >> 5)) % 2 ? PITH_LL : PITH_LU;
  const uint32_t bit = 1u << category;
  return bit == PITH_NO && code_point < 0x100 ? PITH_NO_WORD : bit;
}

uint32_t pith_unicode_combining_class(uint32_t code_point) {
  if (code_point < 0x300) return 0;
  size_t low = 0, high = pith_unicode_n_class_runs;
  while (high - low > 1) {
    const size_t middle = (low + high) / 2;
    if (pith_unicode_class_runs[middle] >> 8 <= code_point) low = middle;
    else high = middle;
  }
  return pith_unicode_class_runs[low] & 255;
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

enum { NO_RUN = UINT16_MAX, HANGUL = 0xac00, HANGUL_L = 0x1100, HANGUL_V = 0x1161, HANGUL_T = 0x11a7, N_HANGUL = 11172, N_L = 19, N_V = 21, N_T = 28 };

/* The run of decompositions that a code point lies in. */
static size_t find_run(uint32_t code_point) {
  const uint32_t plane = code_point >> 16, low_bits = code_point & 0xffff;
  if (code_point < 0xa0 || plane > 2) return NO_RUN;
  size_t low = pith_unicode_decomposition_planes[plane], high = pith_unicode_decomposition_planes[plane + 1];
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const uint32_t first = pith_unicode_decomposition_first[middle];
    if (low_bits < first) high = middle;
    else if (low_bits >= first + pith_unicode_decomposition_count[middle]) low = middle + 1;
    else return middle;
  }
  return NO_RUN;
}

/* One step: the code points of UnicodeData.txt's sixth field, 0 of them if there is none (of that kind). */
static size_t decompose_once(uint32_t code_point, bool compatible, uint32_t out[PITH_MAX_DECOMPOSITION]) {
  const size_t run = find_run(code_point);
  if (run == NO_RUN) return 0;
  const uint32_t kind = pith_unicode_decomposition_kind[run], length = kind & PITH_DECOMPOSITION_LENGTH;
  if (kind & PITH_DECOMPOSITION_COMPATIBLE && !compatible) return 0;
  const uint32_t nth = (code_point & 0xffff) - pith_unicode_decomposition_first[run];
  const bool grows = (kind & PITH_DECOMPOSITION_GROWS) != 0;
  const uint16_t *units = pith_unicode_decomposition_pool + pith_unicode_decomposition_at[run] + (grows ? 0 : nth * length);
  size_t n = 0;
  for (uint32_t i = 0; i < length && n < PITH_MAX_DECOMPOSITION; i++) {
    const bool pair = units[i] >= 0xd800 && units[i] < 0xdc00 && i + 1 < length;
    out[n++] = (pair ? 0x10000u + ((units[i] - 0xd800u) << 10) + (units[i + 1] - 0xdc00u) : units[i]) + (grows ? nth : 0);
    i += pair;
  }
  return n;
}

size_t pith_unicode_decompose(uint32_t code_point, bool compatible, uint32_t out[PITH_MAX_DECOMPOSITION]) {
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
    const size_t n_parts = decompose_once(next, compatible, parts);
    if (n_parts == 0 || n_todo + n_parts > sizeof todo / sizeof *todo) out[n++] = next;
    else
      for (size_t i = n_parts; i-- > 0;) todo[n_todo++] = parts[i];
  }
  return n;
}

uint32_t pith_unicode_compose(uint32_t first, uint32_t second) {
  if (first >= HANGUL_L && first < HANGUL_L + N_L && second >= HANGUL_V && second < HANGUL_V + N_V)
    return HANGUL + ((first - HANGUL_L) * N_V + (second - HANGUL_V)) * N_T;
  if (first >= HANGUL && first < HANGUL + N_HANGUL && (first - HANGUL) % N_T == 0 && second > HANGUL_T && second < HANGUL_T + N_T)
    return first + (second - HANGUL_T);
  if (second < 0x300 || !(pith_unicode_flags(second) & PITH_MARK)) return 0;   /* the generator has seen that nothing else composes */
  size_t low = 0, high = pith_unicode_n_composites;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    uint32_t pair[PITH_MAX_DECOMPOSITION] = {0};
    const uint32_t composite = pith_unicode_composites[middle] | (middle >= pith_unicode_n_composites_bmp ? 0x10000u : 0);
    decompose_once(composite, false, pair);
    if (pair[0] == first && pair[1] == second) return composite;
    if (pair[0] < first || (pair[0] == first && pair[1] < second)) low = middle + 1;
    else high = middle;
  }
  return 0;
}

int pith_cut(const char *text, size_t n_bytes) {
  size_t n = n_bytes < 80 ? n_bytes : 80;
  while (n > 0 && n < n_bytes && (text[n] & 0xc0) == 0x80) n--;
  return (int)n;
}
