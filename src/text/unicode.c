#include "text/unicode.h"

#include "text/unicode_tables.h"

uint32_t pith_unicode_take_varint(const uint8_t **at) {
  uint32_t value = 0, shift = 0;
  do value |= (**at & 127u) << shift, shift += 7;
  while (*(*at)++ & 128);
  return value;
}

uint32_t pith_unicode_flags(uint32_t code_point) {
  if (code_point < 128) return 1u << pith_unicode_ascii[code_point];
  if (code_point > 0x10ffff) return PITH_CN;
  const uint32_t *marks = pith_unicode_category_marks;
  size_t low = 0, high = PITH_N_CATEGORY_MARKS;
  while (high - low > 1) {   /* marks[low] begins at or before the code point, marks[high] after it */
    const size_t middle = (low + high) / 2;
    if (marks[middle] >> 10 <= code_point) low = middle;
    else high = middle;
  }
  const uint8_t *at = pith_unicode_categories + PITH_RUNS_A_MARK * low + (marks[low] & 1023);
  for (uint32_t first = marks[low] >> 10;;) {
    const uint32_t run = *at++, category = run & 31, length = run >> 5 < 7 ? (run >> 5) + 1 : pith_unicode_take_varint(&at) + 8;
    if (code_point - first >= length) {
      first += length;
      continue;
    }
    if (category == PITH_CASES_IN_TURN) return (code_point - first) % 2 ? PITH_LL : PITH_LU;
    const uint32_t bit = 1u << category;
    return bit == PITH_NO && code_point < 0x100 ? PITH_NO_WORD : bit;
  }
}

size_t pith_unicode_lower(uint32_t code_point, uint32_t out[2]) {
  out[0] = code_point;
  if (code_point == 0x130) {   /* the one lower case of two code points without context (SpecialCasing.txt) */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  const uint32_t plane = code_point & ~0xffffu, low_bits = code_point & 0xffff;
  size_t low = plane ? PITH_N_CASE_RUNS_BMP : 0, high = plane > 0x10000 ? 0 : plane ? PITH_N_CASE_RUNS : PITH_N_CASE_RUNS_BMP;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    const uint32_t first = pith_unicode_case_first[middle], span = pith_unicode_case_span[middle];
    if (low_bits < first) high = middle;
    else if (low_bits > first + span / 2) low = middle + 1;
    else {
      if (span % 2 == 0 || (low_bits - first) % 2 == 0) out[0] = plane | ((low_bits + pith_unicode_case_delta[middle]) & 0xffff);
      return 1;
    }
  }
  return 1;
}

int pith_cut(const char *text, size_t n_bytes) {
  size_t n = n_bytes < 80 ? n_bytes : 80;
  while (n > 0 && n < n_bytes && (text[n] & 0xc0) == 0x80) n--;
  return (int)n;
}
