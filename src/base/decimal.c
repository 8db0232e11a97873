#include "base/decimal.h"

#include <stdbool.h>
#include <string.h>

/* Natural numbers in limbs of 32 bits, the lowest first. 10^(PITH_DECIMAL_TEXT + MAX_TENS) and 2^1074 * 10 have room, a limb beside. */
enum { N_LIMBS = 46, MAX_TENS = 330 };
typedef struct natural {
  uint32_t limbs[N_LIMBS];
  int n;   /* no leading zero; 0: nought */
} natural;

static void from_u64(natural *a, uint64_t value) {
  a->limbs[0] = (uint32_t)value;
  a->limbs[1] = (uint32_t)(value >> 32);
  a->n = value >> 32 ? 2 : value ? 1 : 0;
}

/* a = a * factor + term */
static void multiply_add(natural *a, uint32_t factor, uint32_t term) {
  uint64_t carry = term;
  for (int i = 0; i < a->n; i++) {
    carry += (uint64_t)a->limbs[i] * factor;
    a->limbs[i] = (uint32_t)carry;
    carry >>= 32;
  }
  if (carry) a->limbs[a->n++] = (uint32_t)carry;
}

static void multiply_by_ten_to(natural *a, int power) {
  for (; power >= 9; power -= 9) multiply_add(a, 1000000000, 0);
  for (; power > 0; power--) multiply_add(a, 10, 0);
}

static void shift_left(natural *a, int n_bits) {
  const int limbs = n_bits / 32, bits = n_bits % 32;
  if (bits) multiply_add(a, 1u << bits, 0);
  if (limbs == 0 || a->n == 0) return;
  memmove(a->limbs + limbs, a->limbs, (size_t)a->n * sizeof *a->limbs);
  memset(a->limbs, 0, (size_t)limbs * sizeof *a->limbs);
  a->n += limbs;
}

static int compare(const natural *a, const natural *b) {
  if (a->n != b->n) return a->n < b->n ? -1 : 1;
  for (int i = a->n; i-- > 0;)
    if (a->limbs[i] != b->limbs[i]) return a->limbs[i] < b->limbs[i] ? -1 : 1;
  return 0;
}

/* a -= b, where b is not the larger */
static void subtract(natural *a, const natural *b) {
  int64_t borrow = 0;
  for (int i = 0; i < a->n; i++) {
    borrow += (int64_t)a->limbs[i] - (i < b->n ? b->limbs[i] : 0);
    a->limbs[i] = (uint32_t)borrow;
    borrow >>= 32;
  }
  while (a->n > 0 && a->limbs[a->n - 1] == 0) a->n--;
}

/* Bits up to the highest that is set. a is not nought. */
static int width(const natural *a) { return 32 * a->n - __builtin_clz(a->limbs[a->n - 1]); }

static double from_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* num / den, rounded once. Neither is nought; num is used up. */
static double divide(natural *num, natural *den) {
  int exponent = width(num) - width(den);   /* of the quotient's highest bit */
  shift_left(exponent < 0 ? num : den, exponent < 0 ? -exponent : exponent);
  if (compare(num, den) < 0) {
    shift_left(num, 1);
    exponent--;
  }
  const int n_bits = exponent >= -1022 ? 53 : 53 + 1022 + exponent;   /* numbers below 2^-1022 have fewer */
  if (n_bits < 0) return 0;
  if (exponent > 1023) return from_bits(UINT64_C(2047) << 52);
  uint64_t quotient = 0;
  for (int i = 0; i < n_bits; i++) {   /* num < 2 den */
    const bool bit = compare(num, den) >= 0;
    if (bit) subtract(num, den);
    quotient = 2 * quotient + bit;
    shift_left(num, 1);
  }
  const int rest = compare(num, den);   /* to one half */
  quotient += rest > 0 || (rest == 0 && quotient & 1);
  /* A carry out of the 53 bits runs into the exponent, which is right, to infinity too. */
  return from_bits(n_bits < 53 ? quotient : ((uint64_t)(exponent + 1022) << 52) + quotient);
}

/* digits * 10^tens; exact where both are small, as numbers mostly are */
static double scale(const char *digits, int n_digits, int tens) {
  uint64_t head = 0;
  for (int i = 0; i < n_digits && i < 19; i++) head = 10 * head + (uint64_t)(digits[i] - '0');
  if (head == 0 || n_digits + tens < -MAX_TENS) return 0;
  if (n_digits + tens > MAX_TENS) return from_bits(UINT64_C(2047) << 52);
  if (n_digits <= 19 && head < UINT64_C(1) << 53 && tens >= -22 && tens <= 22) {   /* 10^22 is a double: one rounding */
    double power = 1;
    for (int i = tens < 0 ? -tens : tens; i > 0; i--) power *= 10;
    return tens < 0 ? (double)head / power : (double)head * power;
  }
  natural num, den;
  from_u64(&num, head);
  for (int i = 19; i < n_digits; i++) multiply_add(&num, 10, (uint32_t)(digits[i] - '0'));
  from_u64(&den, 1);
  multiply_by_ten_to(tens < 0 ? &den : &num, tens < 0 ? -tens : tens);
  return divide(&num, &den);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t pith_decimal_parse(const char *text, size_t n_bytes, double *out) {
  char digits[PITH_DECIMAL_TEXT];
  const size_t end = n_bytes < PITH_DECIMAL_TEXT ? n_bytes : PITH_DECIMAL_TEXT;
  const bool negative = end > 0 && text[0] == '-';
  size_t at = negative;
  int n_digits = 0, tens = 0;   /* leading zeros are not kept */
  size_t n_read = 0;
  *out = 0;
  for (; at < end && is_digit(text[at]); at++, n_read++)
    if (n_digits > 0 || text[at] != '0') digits[n_digits++] = text[at];
  if (at < end && text[at] == '.') {
    for (at++; at < end && is_digit(text[at]); at++, n_read++) {
      if (n_digits > 0 || text[at] != '0') digits[n_digits++] = text[at];
      tens--;
    }
  }
  if (n_read == 0) return 0;
  if (at < end && (text[at] == 'e' || text[at] == 'E')) {
    const bool minus = ++at < end && text[at] == '-';
    at += at < end && (text[at] == '-' || text[at] == '+');
    const size_t first = at;
    int exponent = 0;
    for (; at < end && is_digit(text[at]); at++) exponent = exponent < 9999 ? 10 * exponent + (text[at] - '0') : exponent;
    if (at == first) return 0;
    tens += minus ? -exponent : exponent;
  }
  if (at == end && end < n_bytes && (is_digit(text[at]) || text[at] == '.' || text[at] == 'e' || text[at] == 'E')) return 0;   /* it goes on */
  const double value = scale(digits, n_digits, tens);
  *out = negative ? -value : value;
  return at;
}

void pith_decimal_digits(double value, int n_digits, int n_places, pith_decimal *out) {
  natural num, den;   /* value = num / den * 10^exponent, in [1, 10) */
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  const int biased = (int)(bits >> 52);
  const uint64_t mantissa = (bits & ((UINT64_C(1) << 52) - 1)) | (uint64_t)(biased > 0) << 52;
  out->n = out->exponent = 0;
  if (mantissa == 0) {
    for (; out->n <= n_places && out->n < n_digits; out->n++) out->digits[out->n] = '0';
    return;
  }
  const int twos = (biased ? biased : 1) - 1075;
  const int highest = twos + 63 - __builtin_clzll(mantissa);
  int exponent = (int)((int64_t)highest * (highest < 0 ? 315653 : 315652) >> 20);   /* times log10(2), rounded down: right, or one too small */
  from_u64(&num, mantissa);
  from_u64(&den, 1);
  shift_left(twos < 0 ? &den : &num, twos < 0 ? -twos : twos);
  multiply_by_ten_to(exponent < 0 ? &num : &den, exponent < 0 ? -exponent : exponent);
  natural ten = den;
  multiply_add(&ten, 10, 0);
  if (compare(&num, &ten) >= 0) {
    den = ten;
    exponent++;
  }
  int wanted = n_places < n_digits - exponent - 1 ? exponent + 1 + n_places : n_digits;
  if (wanted > PITH_DECIMAL_DIGITS - 1) wanted = PITH_DECIMAL_DIGITS - 1;
  out->exponent = exponent;
  if (wanted < 0) return;
  for (; out->n < wanted; out->n++) {
    char digit = '0';
    for (; compare(&num, &den) >= 0; digit++) subtract(&num, &den);
    out->digits[out->n] = digit;
    multiply_add(&num, 10, 0);
  }
  multiply_add(&den, 5, 0);
  const int rest = compare(&num, &den);   /* of the last place, to one half */
  if (rest < 0 || (rest == 0 && (wanted == 0 || (out->digits[wanted - 1] - '0') % 2 == 0))) return;
  int at = wanted;
  while (at > 0 && out->digits[at - 1] == '9') out->digits[--at] = '0';
  if (at > 0) out->digits[at - 1]++;
  else {   /* 9.99… became 10.0… */
    memmove(out->digits + 1, out->digits, (size_t)out->n++);
    out->digits[0] = '1';
    out->exponent++;
  }
}
