/* Quantisation of activations in eight lanes, into codes of one byte, a block of rows at a time: its quads then leave in whole vectors. */
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>

enum { LANES = 8, SPAN = 2 * LANES };

/* The first n lanes, n <= 8. */
static inline __m256i first_lanes(size_t n) {
  static const int32_t mask[2 * LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const void *)(mask + LANES - n));
}

static inline __m256 abs_f32x8(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

/* NaN does not enter: the second operand stays where the comparison fails. */
static inline float absmax_of(size_t n, const float *x) {
  __m256 a = _mm256_setzero_ps(), b = a;
  size_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    a = _mm256_max_ps(abs_f32x8(_mm256_loadu_ps(x + i)), a);
    b = _mm256_max_ps(abs_f32x8(_mm256_loadu_ps(x + i + LANES)), b);
  }
  for (; i < n; i += LANES) a = _mm256_max_ps(abs_f32x8(_mm256_maskload_ps(x + i, first_lanes(n - i < LANES ? n - i : LANES))), a);
  a = _mm256_max_ps(a, b);
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* Eight codes as i32, NaN as 0. |x| <= absmax, so that nothing needs a clamp; the conversion rounds half to even. */
static inline __m256i codes_of(__m256 x, __m256 inverse) {
  const __m256 q = _mm256_mul_ps(x, inverse);
  return _mm256_cvtps_epi32(_mm256_and_ps(q, _mm256_cmp_ps(q, q, _CMP_ORD_Q)));
}

/* (a0…a7) (b0…b7) as i32 → i8 in order */
static inline __m128i narrow(__m256i a, __m256i b) {
  const __m256i pairs = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);   /* a0…a3 b0…b3 a4…a7 b4…b7 → a0…a7 b0…b7 */
  return _mm_packs_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
}

/* Codes of the first n <= SPAN inputs and zeros; *sums collects them. */
static inline __attribute__((always_inline)) __m128i span_codes(size_t n, const float *x, __m256 inverse, __m256i *sums) {
  const bool whole = n == SPAN;
  const __m256 x0 = whole ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, first_lanes(n < LANES ? n : LANES));
  const __m256 x1 = whole ? _mm256_loadu_ps(x + LANES) : _mm256_maskload_ps(x + LANES, first_lanes(n > LANES ? n - LANES : 0));
  const __m256i low = codes_of(x0, inverse), high = codes_of(x1, inverse);
  *sums = _mm256_add_epi32(*sums, _mm256_add_epi32(low, high));
  return narrow(low, high);
}

/* The quads of a span to where they lie: those of a whole block side by side, those of one row a block's quads apart. */
static inline __attribute__((always_inline)) void store_span(size_t n_rows, size_t n_quads, const __m128i *codes, int8_t *to) {
  __m128i quads[SPAN / PITH_QUAD] = {codes[0], _mm_srli_si128(codes[0], 4), _mm_srli_si128(codes[0], 8), _mm_srli_si128(codes[0], 12)};
  if (n_rows == PITH_ROWS) {   /* a transpose of quads */
    const __m128i low01 = _mm_unpacklo_epi32(codes[0], codes[1]), low23 = _mm_unpacklo_epi32(codes[2], codes[3]);
    const __m128i high01 = _mm_unpackhi_epi32(codes[0], codes[1]), high23 = _mm_unpackhi_epi32(codes[2], codes[3]);
    quads[0] = _mm_unpacklo_epi64(low01, low23);
    quads[1] = _mm_unpackhi_epi64(low01, low23);
    quads[2] = _mm_unpacklo_epi64(high01, high23);
    quads[3] = _mm_unpackhi_epi64(high01, high23);
  }
  for (size_t q = 0; q < n_quads; q++, to += PITH_ROWS * PITH_QUAD) {
    if (n_rows == PITH_ROWS) _mm_storeu_si128((void *)to, quads[q]);
    else _mm_storeu_si32(to, quads[q]);
  }
}

/* The n inputs x of a group, of a whole block of rows or of one row. */
static inline __attribute__((always_inline)) void quantize_group(size_t n_rows, size_t n, const float *x, size_t x_stride, int8_t *to, float *scales,
                                                                 int32_t *offsets) {
  __m256 inverse[PITH_ROWS];
  __m256i sums[PITH_ROWS];
  __m128i codes[PITH_ROWS];
  for (size_t r = 0; r < n_rows; r++) {
    const float absmax = absmax_of(n, x + r * x_stride);
    inverse[r] = _mm256_set1_ps(absmax < 0x1p-100f ? 0.0f : 127.0f / absmax);
    scales[r] = absmax < 0x1p-100f ? 0.0f : absmax / 127.0f;
    sums[r] = _mm256_setzero_si256();
  }
  size_t i = 0;
  for (; i + SPAN <= n; i += SPAN, to += PITH_ROWS * SPAN) {
    for (size_t r = 0; r < n_rows; r++) codes[r] = span_codes(SPAN, x + r * x_stride + i, inverse[r], &sums[r]);
    store_span(n_rows, SPAN / PITH_QUAD, codes, to);
  }
  if (i < n) {
    for (size_t r = 0; r < n_rows; r++) codes[r] = span_codes(n - i, x + r * x_stride + i, inverse[r], &sums[r]);
    store_span(n_rows, (n - i + PITH_QUAD - 1) / PITH_QUAD, codes, to);
  }
  for (size_t r = 0; r < n_rows; r++) {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(sums[r]), _mm256_extracti128_si256(sums[r], 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    offsets[r] = -PITH_U7_ZERO * _mm_cvtsi128_si32(sum);
  }
}

void quantize_i8_i8_avx2(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD;
  for (size_t row = 0; row < n_rows;) {
    const size_t n_left = n_rows - row, block = row / PITH_ROWS, r = row % PITH_ROWS;
    int8_t *codes = (int8_t *)out->codes + (block * n_quads * PITH_ROWS + r) * PITH_QUAD;
    for (size_t g = 0; g < out->n_groups; g++) {
      const size_t begin = g * group_size, n = k - begin < group_size ? k - begin : group_size, at = (block * out->n_groups + g) * PITH_ROWS + r;
      if (n_left >= PITH_ROWS) quantize_group(PITH_ROWS, n, x + row * x_stride + begin, x_stride, codes + begin * PITH_ROWS, &out->scales[at], &out->offsets[at]);
      else quantize_group(1, n, x + row * x_stride + begin, x_stride, codes + begin * PITH_ROWS, &out->scales[at], &out->offsets[at]);
    }
    row += n_left >= PITH_ROWS ? PITH_ROWS : 1;
  }
}
#endif
