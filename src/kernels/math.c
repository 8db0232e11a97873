/* Elementary functions of +, -, *, / alone, so that every build gives the same bits. Series are Taylor's, long enough for the
 * bound after the argument was reduced; those of the f32 exp and erf are fitted. */
#include <math.h>
#include <string.h>

#include "kernels/coefficients.h"
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

/* ln 2 in two parts, the first with nine trailing zero bits so that n * it is exact. The polynomial is fitted to exp on |r| <= 0.3467 by
 * reweighted least squares: relative error 3.1e-9 before f32's rounding. */
const pith_exp_terms pith_exp_constants = {-87.33f,        88.3f,
                                           1.44269504f,    0.693359375f,
                                           2.12194440e-4f, {0.49999993f, 0.16666521f, 0.041668389f, 0.0083687195f, 0.0013814593f},
                                           12582912.0f};

/* Fitted to 2^r on |r| <= 0.5 by reweighted least squares: relative error 2.9e-6, which is what attention's weights of twelve bits want. */
const pith_exp2_terms pith_exp2_constants = {-64.0f, 12582912.0f, {0.693124175f, 0.240240991f, 0.0559064262f, 0.00958285015f}};

float pith_exp2f(float x) {
  const pith_exp2_terms *t = &pith_exp2_constants;
  if (x < t->lowest) return 0.0f;
  const float shifted = x + t->round_magic, r = x - (shifted - t->round_magic);
  const float p = (((t->c[3] * r + t->c[2]) * r + t->c[1]) * r + t->c[0]) * r + 1.0f;
  return float_of_bits(bits_of_float(p) + (bits_of_float(shifted) << 23));   /* n goes to p's exponent */
}

float pith_expf(float x) {
  const pith_exp_terms *t = &pith_exp_constants;
  if (x < t->lowest) return 0.0f;
  if (x > t->highest) x = t->highest;
  const float n = (x * t->log2_e + t->round_magic) - t->round_magic;
  const float r = (x - n * t->ln2_high) + n * t->minus_ln2_low;
  float p = t->c[4] * r + t->c[3];
  p = p * r + t->c[2];
  p = p * r + t->c[1];
  p = p * r + t->c[0];
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * float_of_bits((uint32_t)((int32_t)n + 127) << 23);
}

/* Fitted to erf on [-3.92, 3.92] by reweighted least squares (largest error 1.6e-8 before f32's rounding); beyond, 1 - erf is less than
 * half of f32's last place. */
const pith_erf_terms pith_erf_constants = {3.92f,
                                           {2.0347336e-6f, 2.8747975e-4f, 0.0038683405f, 0.05306052044f, 0.1927643567f, 1.128378987f},
                                           {3.8070644e-5f, 0.0011881185f, 0.0151723223f, 0.115084745f, 0.5041646361f, 1.0f}};

float pith_erff(float x) {
  const pith_erf_terms *c = &pith_erf_constants;
  if (fabsf(x) >= c->highest) return signbit(x) ? -1.0f : 1.0f;
  const float t = x * x;
  float p = c->p[0], q = c->q[0];
  for (int i = 1; i < 6; i++) {
    p = p * t + c->p[i];
    q = q * t + c->q[i];
  }
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
