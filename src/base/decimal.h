/* Doubles as decimal texts and back. Both ways are exact: the nearest, ties to even, as the C library has it; its own code for that goes
 * through long double, which WebAssembly has to imitate with some 20 KB. */
#ifndef PITH_DECIMAL_H
#define PITH_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the number at the beginning of `text`, [-]digits[.digits][e[±]digits] with digits on one side of the point at least. 0: none, or
 * one of more than PITH_DECIMAL_TEXT bytes; *out is 0 then. What is too large becomes infinity. */
enum { PITH_DECIMAL_TEXT = 63 };
size_t pith_decimal_parse(const char *text, size_t n_bytes, double *out);

/* The first digits of a finite value that is not negative, the last one rounded: digits[0].digits[1]… times 10^exponent. */
enum { PITH_DECIMAL_DIGITS = 340 };   /* those of the largest double, and room for places behind its point */
typedef struct pith_decimal {
  char digits[PITH_DECIMAL_DIGITS];
  int n, exponent;   /* n: 0 where all of the value is rounded away */
} pith_decimal;
/* At most n_digits, and none beyond n_places behind the point. */
void pith_decimal_digits(double value, int n_digits, int n_places, pith_decimal *out);

#endif
