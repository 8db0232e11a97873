/* math.c's elementary functions on eight lanes: the same operations in the same order. */
#ifndef PITH_MATH_AVX2_H
#define PITH_MATH_AVX2_H

#include <immintrin.h>

#include "kernels/coefficients.h"

static inline __m256 sign_f32x8(__m256 x) { return _mm256_and_ps(x, _mm256_set1_ps(-0.0f)); }
static inline __m256 abs_f32x8(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

static inline __m256 exp_f32x8(__m256 x) {
  const pith_exp_terms *t = &pith_exp_constants;
  const __m256 zero_below = _mm256_cmp_ps(x, _mm256_set1_ps(t->lowest), _CMP_LT_OQ), magic = _mm256_set1_ps(t->round_magic), one = _mm256_set1_ps(1.0f);
  x = _mm256_min_ps(_mm256_set1_ps(t->highest), x);
  const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(x, _mm256_set1_ps(t->log2_e)), magic), n = _mm256_sub_ps(shifted, magic);
  const __m256 r = _mm256_add_ps(_mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(t->ln2_high))), _mm256_mul_ps(n, _mm256_set1_ps(t->minus_ln2_low)));
  __m256 p = _mm256_set1_ps(t->c[4]);
  for (int i = 3; i >= 0; i--) p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(t->c[i]));
  p = _mm256_add_ps(_mm256_mul_ps(p, r), one);
  p = _mm256_add_ps(_mm256_mul_ps(p, r), one);
  /* shifted's bits are the magic number's plus n; shifting by 23 drops all but the exponent that n asks for, and adds to 1.0's. */
  const __m256i exponent = _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23), _mm256_castps_si256(one));
  return _mm256_andnot_ps(zero_below, _mm256_mul_ps(p, _mm256_castsi256_ps(exponent)));
}

static inline __m256 erf_f32x8(__m256 x) {
  const pith_erf_terms *c = &pith_erf_constants;
  const __m256 t = _mm256_mul_ps(x, x), one = _mm256_or_ps(sign_f32x8(x), _mm256_set1_ps(1.0f));
  __m256 p = _mm256_set1_ps(c->p[0]), q = _mm256_set1_ps(c->q[0]);
  for (int i = 1; i < 6; i++) {
    p = _mm256_add_ps(_mm256_mul_ps(p, t), _mm256_set1_ps(c->p[i]));
    q = _mm256_add_ps(_mm256_mul_ps(q, t), _mm256_set1_ps(c->q[i]));
  }
  const __m256 beyond = _mm256_cmp_ps(abs_f32x8(x), _mm256_set1_ps(c->highest), _CMP_GE_OQ);
  return _mm256_blendv_ps(_mm256_div_ps(_mm256_mul_ps(x, p), q), one, beyond);
}

static inline __m256 tanh_f32x8(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f), e = exp_f32x8(_mm256_mul_ps(_mm256_set1_ps(-2.0f), abs_f32x8(x)));
  return _mm256_xor_ps(_mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e)), sign_f32x8(x));
}

#endif
