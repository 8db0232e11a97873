/* Everything that works on rows of floats, in eight lanes. Sums stay in the four lanes that define them; where rows are many, those of
 * four rows are taken at a time, since one row's additions wait for each other. Ends of rows are masked, where there are any: a masked
 * store is many times slower than a whole one. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include <math.h>

#include "kernels/math_avx2.h"

enum { LANES = 8, ROWS = 4 };

/* The first n lanes, n <= 8. */
static inline __m256i first_lanes(size_t n) {
  static const int32_t mask[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const void *)(mask + LANES - n));
}

/* (lane0 + lane2) + (lane1 + lane3) */
static inline float horizontal_sum(__m128 v) {
  v = _mm_add_ps(v, _mm_movehl_ps(v, v));
  return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)));
}

/* sums[r]: the four-lane sum of row r less its shift, squared if asked. */
static inline __attribute__((always_inline)) void sum_rows(size_t n_rows, size_t n, const float *x, size_t stride, const float *shifts, bool squared,
                                                           float *sums) {
  __m128 lanes[ROWS], shift[ROWS];
  for (size_t r = 0; r < n_rows; r++) {
    lanes[r] = _mm_setzero_ps();
    shift[r] = _mm_set1_ps(shifts[r]);
  }
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (size_t r = 0; r < n_rows; r++) {
      const __m128 v = _mm_sub_ps(_mm_loadu_ps(x + r * stride + i), shift[r]);
      lanes[r] = _mm_add_ps(lanes[r], squared ? _mm_mul_ps(v, v) : v);
    }
  for (size_t r = 0; r < n_rows; r++) {
    sums[r] = horizontal_sum(lanes[r]);
    for (size_t j = i; j < n; j++) {
      const float v = x[r * stride + j] - shifts[r];
      sums[r] += squared ? v * v : v;
    }
  }
}

static inline __m256 normalized(__m256 x, __m256 mean, __m256 r, __m256 weight, __m256 bias) {
  return _mm256_add_ps(_mm256_mul_ps(_mm256_mul_ps(_mm256_sub_ps(x, mean), r), weight), bias);
}

static inline __attribute__((always_inline)) void layer_norm_rows(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight,
                                                                  const float *bias, float eps) {
  static const float zeros[ROWS];
  float means[ROWS], squares[ROWS];
  sum_rows(n_rows, n, x, stride, zeros, false, means);
  for (size_t r = 0; r < n_rows; r++) means[r] /= (float)n;
  sum_rows(n_rows, n, x, stride, means, true, squares);
  for (size_t row = 0; row < n_rows; row++, x += stride, y += stride) {
    const __m256 mean = _mm256_set1_ps(means[row]), r = _mm256_set1_ps(1.0f / sqrtf(squares[row] / (float)n + eps));
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
      _mm256_storeu_ps(y + i, normalized(_mm256_loadu_ps(x + i), mean, r, _mm256_loadu_ps(weight + i), _mm256_loadu_ps(bias + i)));
    if (i == n) continue;
    const __m256i rest = first_lanes(n - i);
    _mm256_maskstore_ps(y + i, rest, normalized(_mm256_maskload_ps(x + i, rest), mean, r, _mm256_maskload_ps(weight + i, rest), _mm256_maskload_ps(bias + i, rest)));
  }
}

void layer_norm_avx2(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, const float *bias, float eps) {
  for (; n_rows >= ROWS; n_rows -= ROWS, x += ROWS * stride, y += ROWS * stride) layer_norm_rows(ROWS, n, x, y, stride, weight, bias, eps);
  for (; n_rows > 0; n_rows--, x += stride, y += stride) layer_norm_rows(1, n, x, y, stride, weight, bias, eps);
}

static inline __attribute__((always_inline)) void rms_norm_rows(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, float eps) {
  static const float zeros[ROWS];
  float squares[ROWS];
  sum_rows(n_rows, n, x, stride, zeros, true, squares);
  for (size_t row = 0; row < n_rows; row++, x += stride, y += stride) {
    const __m256 r = _mm256_set1_ps(1.0f / sqrtf(squares[row] / (float)n + eps));
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), r), _mm256_loadu_ps(weight + i)));
    if (i == n) continue;
    const __m256i rest = first_lanes(n - i);
    _mm256_maskstore_ps(y + i, rest, _mm256_mul_ps(_mm256_mul_ps(_mm256_maskload_ps(x + i, rest), r), _mm256_maskload_ps(weight + i, rest)));
  }
}

void rms_norm_avx2(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, float eps) {
  for (; n_rows >= ROWS; n_rows -= ROWS, x += ROWS * stride, y += ROWS * stride) rms_norm_rows(ROWS, n, x, y, stride, weight, eps);
  for (; n_rows > 0; n_rows--, x += stride, y += stride) rms_norm_rows(1, n, x, y, stride, weight, eps);
}

void add_avx2(size_t n, const float *x, float *y) {
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
  const __m256i rest = first_lanes(n - i);
  if (i < n) _mm256_maskstore_ps(y + i, rest, _mm256_add_ps(_mm256_maskload_ps(y + i, rest), _mm256_maskload_ps(x + i, rest)));
}

void f16_to_f32_avx2(size_t n, const uint16_t *src, float *dst) {
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(src + i))));
  for (; i < n; i++) dst[i] = pith_f16_to_f32(src[i]);
}

void u4_scales_avx2(size_t n, const uint8_t *src, float *dst) {
  const __m256i low = _mm256_set1_epi32(15), places = _mm256_set_epi32(4, 4, 4, 4, 0, 0, 0, 0);
  for (size_t g = 0; g < n; g++, src += PITH_U4_GROUP_BYTES, dst += 2 * PITH_PANEL) {
    int32_t zeros;
    __builtin_memcpy(&zeros, src + 2 * PITH_PANEL, sizeof zeros);
    const __m256 scales = _mm256_cvtph_ps(_mm_loadu_si128((const void *)src));
    const __m256i bytes = _mm256_cvtepu8_epi32(_mm_set1_epi32(zeros));
    const __m256 zero = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srlv_epi32(bytes, places), low));
    _mm256_storeu_ps(dst, scales);
    _mm256_storeu_ps(dst + PITH_PANEL, _mm256_mul_ps(_mm256_xor_ps(zero, _mm256_set1_ps(-0.0f)), scales));
  }
}

static inline float horizontal_max(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

void softmax_avx2(size_t n, float *x, float scale) {
  __m256 maxima = _mm256_set1_ps(-INFINITY);
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) maxima = _mm256_max_ps(_mm256_loadu_ps(x + i), maxima);
  const __m256i rest = first_lanes(n - i);
  const __m256 last = _mm256_maskload_ps(x + i, rest);
  maxima = _mm256_max_ps(_mm256_blendv_ps(maxima, last, _mm256_castsi256_ps(rest)), maxima);
  const __m256 max = _mm256_set1_ps(horizontal_max(maxima)), scales = _mm256_set1_ps(scale);
  __m128 lanes = _mm_setzero_ps();
  for (i = 0; i + LANES <= n; i += LANES) {
    const __m256 e = exp_f32x8(_mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), max), scales));
    _mm256_storeu_ps(x + i, e);
    lanes = _mm_add_ps(_mm_add_ps(lanes, _mm256_castps256_ps128(e)), _mm256_extractf128_ps(e, 1));
  }
  if (i < n) _mm256_maskstore_ps(x + i, rest, exp_f32x8(_mm256_mul_ps(_mm256_sub_ps(last, max), scales)));
  if (i + 4 <= n) {
    lanes = _mm_add_ps(lanes, _mm_loadu_ps(x + i));
    i += 4;
  }
  float sum = horizontal_sum(lanes);
  for (; i < n; i++) sum += x[i];
  const __m256 inverse = _mm256_set1_ps(1.0f / sum);
  for (i = 0; i + LANES <= n; i += LANES) _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), inverse));
  if (i < n) _mm256_maskstore_ps(x + i, rest, _mm256_mul_ps(_mm256_maskload_ps(x + i, rest), inverse));
}

static inline __m256 gelu_erf_f32x8(__m256 v) {
  const __m256 e = _mm256_add_ps(_mm256_set1_ps(1.0f), erf_f32x8(_mm256_mul_ps(v, _mm256_set1_ps(0.70710678f))));
  return _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.5f), v), e);
}

static inline __m256 gelu_tanh_f32x8(__m256 v) {
  const __m256 cube = _mm256_mul_ps(_mm256_mul_ps(v, v), v);
  const __m256 inner = _mm256_mul_ps(_mm256_set1_ps(0.79788456f), _mm256_add_ps(v, _mm256_mul_ps(_mm256_set1_ps(0.044715f), cube)));
  return _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.5f), v), _mm256_add_ps(_mm256_set1_ps(1.0f), tanh_f32x8(inner)));
}

static inline __m256 silu_f32x8(__m256 v) {
  return _mm256_div_ps(v, _mm256_add_ps(_mm256_set1_ps(1.0f), exp_f32x8(_mm256_xor_ps(v, _mm256_set1_ps(-0.0f)))));
}

static inline __m256 relu_f32x8(__m256 v) { return _mm256_and_ps(v, _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ)); }

/* name: x = f(x), element by element */
#define ELEMENTWISE(name, f)                                                                               \
  void name(size_t n, float *x) {                                                                          \
    size_t i = 0;                                                                                          \
    for (; i + LANES <= n; i += LANES) _mm256_storeu_ps(x + i, f(_mm256_loadu_ps(x + i)));                 \
    const __m256i rest = first_lanes(n - i);                                                               \
    if (i < n) _mm256_maskstore_ps(x + i, rest, f(_mm256_maskload_ps(x + i, rest)));                       \
  }
ELEMENTWISE(gelu_erf_avx2, gelu_erf_f32x8)
ELEMENTWISE(gelu_tanh_avx2, gelu_tanh_f32x8)
ELEMENTWISE(silu_avx2, silu_f32x8)
ELEMENTWISE(relu_avx2, relu_f32x8)

void silu_mul_avx2(size_t n, float *gate, const float *up) {
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) _mm256_storeu_ps(gate + i, _mm256_mul_ps(silu_f32x8(_mm256_loadu_ps(gate + i)), _mm256_loadu_ps(up + i)));
  const __m256i rest = first_lanes(n - i);
  if (i < n) _mm256_maskstore_ps(gate + i, rest, _mm256_mul_ps(silu_f32x8(_mm256_maskload_ps(gate + i, rest)), _mm256_maskload_ps(up + i, rest)));
}

void rope_half_avx2(size_t half, float *x, const float *cos, const float *sin) {
  size_t i = 0;
  for (; i + LANES <= half; i += LANES) {
    const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + half + i), c = _mm256_loadu_ps(cos + i), s = _mm256_loadu_ps(sin + i);
    _mm256_storeu_ps(x + i, _mm256_sub_ps(_mm256_mul_ps(a, c), _mm256_mul_ps(b, s)));
    _mm256_storeu_ps(x + half + i, _mm256_add_ps(_mm256_mul_ps(b, c), _mm256_mul_ps(a, s)));
  }
  for (; i < half; i++) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cos[i] - b * sin[i];
    x[i + half] = b * cos[i] + a * sin[i];
  }
}
#endif
