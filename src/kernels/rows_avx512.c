/* Rows that are bound by the latency of exp and erf, in sixteen lanes; the others gain nothing over rows_avx2.c. Ends of rows are masked. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include <math.h>

#include "kernels/math_avx512.h"

enum { LANES = 16 };

/* The first n lanes, n < 16. */
static inline __mmask16 first_lanes(size_t n) { return (__mmask16)((1u << n) - 1); }

static inline __m128 add_quads(__m128 sum, __m512 v) {   /* quad by quad: the four lanes that define the sum */
  sum = _mm_add_ps(sum, _mm512_castps512_ps128(v));
  sum = _mm_add_ps(sum, _mm512_extractf32x4_ps(v, 1));
  sum = _mm_add_ps(sum, _mm512_extractf32x4_ps(v, 2));
  return _mm_add_ps(sum, _mm512_extractf32x4_ps(v, 3));
}

void softmax_avx512(size_t n, float *x, float scale) {
  __m512 maxima = _mm512_set1_ps(-INFINITY);
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) maxima = _mm512_max_ps(_mm512_loadu_ps(x + i), maxima);
  const __mmask16 rest = first_lanes(n - i);
  const __m512 last = _mm512_maskz_loadu_ps(rest, x + i);
  const __m512 max = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_mask_max_ps(maxima, rest, last, maxima))), scales = _mm512_set1_ps(scale);
  __m128 lanes = _mm_setzero_ps();
  for (i = 0; i + LANES <= n; i += LANES) {
    const __m512 e = exp_f32x16(_mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), max), scales));
    _mm512_storeu_ps(x + i, e);
    lanes = add_quads(lanes, e);
  }
  if (i < n) _mm512_mask_storeu_ps(x + i, rest, exp_f32x16(_mm512_mul_ps(_mm512_sub_ps(last, max), scales)));
  for (; i + 4 <= n; i += 4) lanes = _mm_add_ps(lanes, _mm_loadu_ps(x + i));
  lanes = _mm_add_ps(lanes, _mm_movehl_ps(lanes, lanes));
  float sum = _mm_cvtss_f32(_mm_add_ss(lanes, _mm_movehdup_ps(lanes)));   /* (lane0 + lane2) + (lane1 + lane3) */
  for (; i < n; i++) sum += x[i];
  const __m512 inverse = _mm512_set1_ps(1.0f / sum);
  for (i = 0; i + LANES <= n; i += LANES) _mm512_storeu_ps(x + i, _mm512_mul_ps(_mm512_loadu_ps(x + i), inverse));
  if (i < n) _mm512_mask_storeu_ps(x + i, rest, _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, x + i), inverse));
}

static inline __m512 gelu_erf_f32x16(__m512 v) {
  const __m512 e = _mm512_add_ps(_mm512_set1_ps(1.0f), erf_f32x16(_mm512_mul_ps(v, _mm512_set1_ps(0.70710678f))));
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.5f), v), e);
}

static inline __m512 gelu_tanh_f32x16(__m512 v) {
  const __m512 cube = _mm512_mul_ps(_mm512_mul_ps(v, v), v);
  const __m512 inner = _mm512_mul_ps(_mm512_set1_ps(0.79788456f), _mm512_add_ps(v, _mm512_mul_ps(_mm512_set1_ps(0.044715f), cube)));
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.5f), v), _mm512_add_ps(_mm512_set1_ps(1.0f), tanh_f32x16(inner)));
}

static inline __m512 silu_f32x16(__m512 v) { return _mm512_div_ps(v, _mm512_add_ps(_mm512_set1_ps(1.0f), exp_f32x16(neg_f32x16(v)))); }

/* name: x = f(x), element by element */
#define ELEMENTWISE(name, f)                                                                               \
  void name(size_t n, float *x) {                                                                          \
    size_t i = 0;                                                                                          \
    for (; i + LANES <= n; i += LANES) _mm512_storeu_ps(x + i, f(_mm512_loadu_ps(x + i)));                 \
    const __mmask16 rest = first_lanes(n - i);                                                             \
    if (i < n) _mm512_mask_storeu_ps(x + i, rest, f(_mm512_maskz_loadu_ps(rest, x + i)));                  \
  }
ELEMENTWISE(gelu_erf_avx512, gelu_erf_f32x16)
ELEMENTWISE(gelu_tanh_avx512, gelu_tanh_f32x16)
ELEMENTWISE(silu_avx512, silu_f32x16)

void silu_mul_avx512(size_t n, float *gate, const float *up) {
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) _mm512_storeu_ps(gate + i, _mm512_mul_ps(silu_f32x16(_mm512_loadu_ps(gate + i)), _mm512_loadu_ps(up + i)));
  const __mmask16 rest = first_lanes(n - i);
  if (i < n) _mm512_mask_storeu_ps(gate + i, rest, _mm512_mul_ps(silu_f32x16(_mm512_maskz_loadu_ps(rest, gate + i)), _mm512_maskz_loadu_ps(rest, up + i)));
}
#endif
