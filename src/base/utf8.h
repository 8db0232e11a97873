/* UTF-8. */
#ifndef PITH_UTF8_H
#define PITH_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* One code point from n > 0 bytes; returns the bytes it takes, 0 when they are no UTF-8 (overlong, surrogate, too large). */
size_t pith_utf8_decode(const char *text, size_t n_bytes, uint32_t *code_point);
/* Returns the bytes written, 1 to 4. */
size_t pith_utf8_encode(uint32_t code_point, char out[4]);
/* The offset of the first byte that is no UTF-8, n_bytes if there is none. */
size_t pith_utf8_validate(const char *text, size_t n_bytes);

#endif
