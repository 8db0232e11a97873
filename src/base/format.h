/* snprintf for what Pith's messages and tables need: %s %d %u %x %X %f %g %%, sizes l ll z, width and precision (as * too), flags - and 0.
 * The C library's brings long double and wide characters along, a tenth of a module for WebAssembly. */
#ifndef PITH_FORMAT_H
#define PITH_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* As vsnprintf and snprintf: the length of the whole text, which is cut at capacity - 1 bytes. -1: a conversion that is not among these. */
int pith_vsnprintf(char *dst, size_t capacity, const char *format, va_list args);
int pith_snprintf(char *dst, size_t capacity, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

#endif
