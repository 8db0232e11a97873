#include "base/utf8.h"

size_t pith_utf8_decode(const char *text, size_t n_bytes, uint32_t *code_point) {
  const uint8_t *p = (const uint8_t *)text;
  if (p[0] < 0x80) {
    *code_point = p[0];
    return 1;
  }
  const size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  if (p[0] < 0xc2 || p[0] > 0xf4 || n > n_bytes) return 0;
  uint32_t c = p[0] & (0x7fu >> n);
  for (size_t i = 1; i < n; i++) {
    if ((p[i] & 0xc0) != 0x80) return 0;
    c = c << 6 | (p[i] & 0x3fu);
  }
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
  *code_point = c;
  return n;
}

size_t pith_utf8_encode(uint32_t c, char out[4]) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = n; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
  out[0] = (char)(0xf00u >> n | c);
  return n;
}

size_t pith_utf8_validate(const char *text, size_t n_bytes) {
  size_t i = 0;
  while (i < n_bytes) {
    uint32_t c;
    const size_t n = pith_utf8_decode(text + i, n_bytes - i, &c);
    if (n == 0) return i;
    i += n;
  }
  return n_bytes;
}
