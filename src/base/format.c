#include "base/format.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/decimal.h"

enum { MAX_PRECISION = 40 };   /* of a floating-point number */

typedef struct writer {
  char *dst;
  size_t capacity, n;   /* n: of the whole text */
} writer;

typedef struct conversion {
  bool left, zeros;
  int width, precision;   /* precision: -1 where none is given */
} conversion;

static void put(writer *w, const char *text, size_t n) {
  if (w->n < w->capacity) memcpy(w->dst + w->n, text, n < w->capacity - w->n ? n : w->capacity - w->n);
  w->n += n;
}

static void put_times(writer *w, char c, int times) {
  for (; times > 0; times--) put(w, &c, 1);
}

/* sign: "" or "-" */
static void put_padded(writer *w, const conversion *c, const char *sign, const char *text, size_t n) {
  const int missing = c->width - (int)(strlen(sign) + n);
  if (!c->left && !c->zeros) put_times(w, ' ', missing);
  put(w, sign, strlen(sign));
  if (!c->left && c->zeros) put_times(w, '0', missing);
  put(w, text, n);
  if (c->left) put_times(w, ' ', missing);
}

static void put_integer(writer *w, const conversion *c, const char *sign, uint64_t value, unsigned base, bool capital) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (capital ? "0123456789ABCDEF" : "0123456789abcdef")[value % base];
  while ((value /= base) > 0);
  put_padded(w, c, sign, digits + at, sizeof digits - at);
}

/* %f, or where `general` %g: `precision` digits at most, no zeros at the end, and an exponent where the point would be far away. */
static void put_double(writer *w, const conversion *c, double value, bool general) {
  char text[PITH_DECIMAL_DIGITS + 16];   /* 309 before the point, MAX_PRECISION behind it */
  size_t n = 0;
  const char *sign = signbit(value) ? "-" : "";
  if (!isfinite(value)) {
    put_padded(w, &(conversion){c->left, false, c->width, 0}, isnan(value) ? "" : sign, isnan(value) ? "nan" : "inf", 3);
    return;
  }
  const int precision = c->precision < 0 ? 6 : c->precision;
  pith_decimal d;
  if (general) pith_decimal_digits(fabs(value), precision ? precision : 1, INT_MAX / 2, &d);
  else pith_decimal_digits(fabs(value), PITH_DECIMAL_DIGITS, precision, &d);
  const bool scientific = general && (d.exponent < -4 || d.exponent >= (precision ? precision : 1));
  while (general && d.n > 1 && d.digits[d.n - 1] == '0') d.n--;
  const int places = general ? d.n - 1 - (scientific ? 0 : d.exponent) : precision;
  const int first = scientific || d.n == 0 ? 0 : d.exponent;   /* the place of the first digit that is written */
  for (int place = first > 0 ? first : 0; place >= -places || place >= 0; place--) {
    const int i = (scientific ? 0 : d.exponent) - place;
    if (place == -1) text[n++] = '.';
    text[n++] = i >= 0 && i < d.n ? d.digits[i] : '0';
  }
  if (scientific) {
    const int size = d.exponent < 0 ? -d.exponent : d.exponent;
    text[n++] = 'e';
    text[n++] = d.exponent < 0 ? '-' : '+';
    if (size >= 100) text[n++] = (char)('0' + size / 100);
    text[n++] = (char)('0' + size / 10 % 10);
    text[n++] = (char)('0' + size % 10);
  }
  put_padded(w, c, sign, text, n);
}

static int read_count(const char **at, int otherwise) {
  if (**at < '0' || **at > '9') return otherwise;
  int n = 0;
  for (; **at >= '0' && **at <= '9'; ++*at) n = 10 * n + (**at - '0');
  return n;
}

int pith_vsnprintf(char *dst, size_t capacity, const char *format, va_list args) {
  writer w = {dst, capacity > 0 ? capacity - 1 : 0, 0};
  for (const char *at = format; *at;) {
    const char *percent = strchr(at, '%');
    if (!percent) {
      put(&w, at, strlen(at));
      break;
    }
    put(&w, at, (size_t)(percent - at));
    at = percent + 1;
    conversion c = {.precision = -1};
    for (; *at == '-' || *at == '0'; at++) *(*at == '-' ? &c.left : &c.zeros) = true;
    c.width = *at == '*' ? (at++, va_arg(args, int)) : read_count(&at, 0);
    if (*at == '.') c.precision = *++at == '*' ? (at++, va_arg(args, int)) : read_count(&at, 0);
    const bool size = *at == 'z';
    int n_long = 0;
    at += size;
    for (; *at == 'l'; at++) n_long++;
    switch (*at++) {
      case 's': {
        const char *text = va_arg(args, const char *);
        const char *end = c.precision >= 0 ? memchr(text, '\0', (size_t)c.precision) : NULL;
        put_padded(&w, &c, "", text, end ? (size_t)(end - text) : c.precision >= 0 ? (size_t)c.precision : strlen(text));
        break;
      }
      case 'd': {
        const int64_t value = n_long == 2 ? va_arg(args, long long) : n_long == 1 ? va_arg(args, long) : va_arg(args, int);
        put_integer(&w, &c, value < 0 ? "-" : "", value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, false);
        break;
      }
      case 'u':
      case 'x':
      case 'X': {
        const uint64_t value = size ? va_arg(args, size_t) : n_long == 2 ? va_arg(args, unsigned long long) : n_long == 1 ? va_arg(args, unsigned long) : va_arg(args, unsigned);
        put_integer(&w, &c, "", value, at[-1] == 'u' ? 10 : 16, at[-1] == 'X');
        break;
      }
      case 'f':
      case 'g':
        if (c.precision > MAX_PRECISION) return -1;
        put_double(&w, &c, va_arg(args, double), at[-1] == 'g');
        break;
      case '%': put(&w, "%", 1); break;
      default: return -1;
    }
  }
  if (capacity > 0) dst[w.n < w.capacity ? w.n : w.capacity] = '\0';
  return (int)w.n;
}

int pith_snprintf(char *dst, size_t capacity, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int n = pith_vsnprintf(dst, capacity, format, args);
  va_end(args);
  return n;
}
