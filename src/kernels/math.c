/* Elementary functions of +, -, *, / alone, so that every build gives the same bits. Series are Taylor's, long enough for the
 * bound after the argument was reduced; erf alone has fitted coefficients. */
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

static float float_of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static uint32_t bits_of_float(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

static double power_of_two(int n) {   /* n in [-1022, 1023] */
  const uint64_t bits = (uint64_t)(n + 1023) << 52;
  double d;
  memcpy(&d, &bits, sizeof d);
  return d;
}

/* x = n ln 2 + r with |r| <= 0.35; ln 2 in two parts, the first with nine trailing zero bits so that n * it is exact.
 * Taylor to r^7: 0.3466^8 / 8! = 5e-9. */
float pith_expf(float x) {
  if (x < -87.33f) return 0.0f;
  if (x > 88.3f) x = 88.3f;
  const float magic = 12582912.0f;   /* 1.5 * 2^23: adding it rounds to a whole number, half to even */
  const float n = (x * 1.44269504f + magic) - magic;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * float_of_bits((uint32_t)((int32_t)n + 127) << 23);
}

/* x P(x^2) / Q(x^2), fitted to erf on [-3.92, 3.92] by reweighted least squares (largest error 1.6e-8 before f32's rounding);
 * beyond, 1 - erf is less than half of f32's last place. */
float pith_erff(float x) {
  if (fabsf(x) >= 3.92f) return signbit(x) ? -1.0f : 1.0f;
  const float t = x * x;
  const float p = 1.128378987f + t * (0.1927643567f + t * (0.05306052044f + t * (0.0038683405f + t * (2.8747975e-4f + t * 2.0347336e-6f))));
  const float q = 1.0f + t * (0.5041646361f + t * (0.115084745f + t * (0.0151723223f + t * (0.0011881185f + t * 3.8070644e-5f))));
  return x * p / q;
}

/* (1 - e) / (1 + e) with e = exp(-2 |x|): no cancellation that the absolute bound would feel. */
float pith_tanhf(float x) {
  const float a = fabsf(x), e = pith_expf(-2.0f * a), t = (1.0f - e) / (1.0f + e);
  return signbit(x) ? -t : t;
}

/* x = m * 2^e, m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172; s^2 to the 11th: 4e-18. */
double pith_log(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int e = (int)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffu) | (uint64_t)1023 << 52;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    e++;
  }
  const double s = (m - 1.0) / (m + 1.0), t = s * s;
  double p = 1.0 / 21.0;
  for (int k = 19; k >= 1; k -= 2) p = p * t + 1.0 / k;
  return (double)e * 0.69314718055994531 + 2.0 * s * p;
}

/* As pith_expf, to r^15: 0.3466^16 / 16! = 2e-21. */
double pith_exp(double x) {
  const double magic = 6755399441055744.0;   /* 1.5 * 2^52 */
  const double n = (x * 1.4426950408889634 + magic) - magic;
  const double r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double p = 1.0;
  for (int k = 15; k >= 1; k--) p = p * r / k + 1.0;
  return p * power_of_two((int)n);
}

/* x = n pi/2 + r, |r| <= 0.79; pi/2 in three parts of 33 bits, so that n * the first two are exact for n < 2^20. */
void pith_sincos(double x, double *sin_x, double *cos_x) {
  const double magic = 6755399441055744.0;
  const double n = (x * 0.63661977236758134 + magic) - magic;
  const double r = ((x - n * 1.57079632673412561417e+00) - n * 6.07710050630396597660e-11) - n * 2.02226624879595063154e-21;
  const double t = r * r;
  double s = 1.0, c = 1.0;
  for (int k = 20; k >= 2; k -= 2) {
    s = 1.0 - t * s / (k * (k + 1));
    c = 1.0 - t * c / (k * (k - 1));
  }
  s *= r;
  const int64_t quadrant = (int64_t)n & 3;
  *sin_x = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
  *cos_x = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
}

float pith_f16_to_f32(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, fraction = h & 0x3ffu;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {
    const float f = (float)fraction * 0x1p-24f;   /* exact */
    return sign ? -f : f;
  }
  return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t pith_f32_to_f16(float f) {
  const uint32_t bits = bits_of_float(f), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);   /* 65520 and beyond round to infinity */
  if (magnitude < 0x38800000u) {   /* below 2^-14: whole multiples of 2^-24 */
    const float scaled = float_of_bits(magnitude) * 0x1p24f + 8388608.0f;   /* the addition rounds half to even */
    return (uint16_t)(sign | (bits_of_float(scaled) & 0x7ffu));
  }
  const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
  return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

float pith_bf16_to_f32(uint16_t h) { return float_of_bits((uint32_t)h << 16); }
