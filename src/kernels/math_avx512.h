/* math.c's elementary functions on sixteen lanes: the same operations in the same order. */
#ifndef PITH_MATH_AVX512_H
#define PITH_MATH_AVX512_H

#include <immintrin.h>

#include "kernels/coefficients.h"

static inline __m512 neg_f32x16(__m512 x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f)); }
static inline __m512 sign_f32x16(__m512 x) { return _mm512_and_ps(x, _mm512_set1_ps(-0.0f)); }

static inline __m512 exp_f32x16(__m512 x) {
  const pith_exp_terms *t = &pith_exp_constants;
  const __mmask16 not_zero = _mm512_cmp_ps_mask(x, _mm512_set1_ps(t->lowest), _CMP_NLT_UQ);
  const __m512 magic = _mm512_set1_ps(t->round_magic), one = _mm512_set1_ps(1.0f);
  x = _mm512_min_ps(_mm512_set1_ps(t->highest), x);
  const __m512 shifted = _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(t->log2_e)), magic), n = _mm512_sub_ps(shifted, magic);
  const __m512 r = _mm512_add_ps(_mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(t->ln2_high))), _mm512_mul_ps(n, _mm512_set1_ps(t->minus_ln2_low)));
  __m512 p = _mm512_set1_ps(t->c[4]);
  for (int i = 3; i >= 0; i--) p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(t->c[i]));
  p = _mm512_add_ps(_mm512_mul_ps(p, r), one);
  p = _mm512_add_ps(_mm512_mul_ps(p, r), one);
  /* shifted's bits are the magic number's plus n; shifting by 23 drops all but the exponent that n asks for, and adds to 1.0's. */
  const __m512i exponent = _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23), _mm512_castps_si512(one));
  return _mm512_maskz_mul_ps(not_zero, p, _mm512_castsi512_ps(exponent));
}

static inline __m512 erf_f32x16(__m512 x) {
  const pith_erf_terms *c = &pith_erf_constants;
  const __m512 t = _mm512_mul_ps(x, x), one = _mm512_or_ps(sign_f32x16(x), _mm512_set1_ps(1.0f));
  __m512 p = _mm512_set1_ps(c->p[0]), q = _mm512_set1_ps(c->q[0]);
  for (int i = 1; i < 6; i++) {
    p = _mm512_add_ps(_mm512_mul_ps(p, t), _mm512_set1_ps(c->p[i]));
    q = _mm512_add_ps(_mm512_mul_ps(q, t), _mm512_set1_ps(c->q[i]));
  }
  const __mmask16 beyond = _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(c->highest), _CMP_GE_OQ);
  return _mm512_mask_mov_ps(_mm512_div_ps(_mm512_mul_ps(x, p), q), beyond, one);
}

static inline __m512 tanh_f32x16(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f), e = exp_f32x16(_mm512_mul_ps(_mm512_set1_ps(-2.0f), _mm512_abs_ps(x)));
  return _mm512_xor_ps(_mm512_div_ps(_mm512_sub_ps(one, e), _mm512_add_ps(one, e)), sign_f32x16(x));
}

#endif
