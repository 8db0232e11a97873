/* Quantisation of activations in four lanes, into codes of one or of two bytes. */
#include <math.h>

#include "kernels/v128.h"
#include "kernels/variants.h"

static float absmax_of(size_t n, const float *x) {
  v128_t lanes = wasm_f32x4_splat(0.0f);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) lanes = wasm_f32x4_pmax(lanes, wasm_f32x4_abs(wasm_v128_load(x + i)));   /* NaN does not enter */
  lanes = wasm_f32x4_pmax(lanes, wasm_i32x4_shuffle(lanes, lanes, 2, 3, 0, 1));
  lanes = wasm_f32x4_pmax(lanes, wasm_i32x4_shuffle(lanes, lanes, 1, 0, 3, 2));
  float max = wasm_f32x4_extract_lane(lanes, 0);
  for (; i < n; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
  return max;
}

/* Four codes as i32, NaN as 0: the clamp comes before the rounding, which keeps |q| within the magic number's reach. */
static v128_t codes_of(v128_t x, v128_t inverse) {
  v128_t q = wasm_f32x4_mul(x, inverse);
  q = wasm_v128_and(q, wasm_f32x4_eq(q, q));
  q = wasm_f32x4_pmax(wasm_f32x4_pmin(q, wasm_f32x4_splat(127.0f)), wasm_f32x4_splat(-127.0f));
  return wasm_i32x4_sub(wasm_f32x4_add(q, wasm_f32x4_splat(ROUND_MAGIC)), wasm_i32x4_splat(ROUND_MAGIC_BITS));
}

/* One or two quads of i16 to input i of the row that begins at dst. Quads of a row lie PITH_ROWS quads apart. */
typedef void store_fn(v128_t codes, size_t n_quads, void *dst, size_t i);

static inline void store_i16(v128_t codes, size_t n_quads, void *dst, size_t i) {
  int16_t *to = (int16_t *)dst + i * PITH_ROWS;
  wasm_v128_store64_lane(to, codes, 0);
  if (n_quads == 2) wasm_v128_store64_lane(to + PITH_ROWS * PITH_QUAD, codes, 1);
}

static inline void store_i8(v128_t codes, size_t n_quads, void *dst, size_t i) {
  int8_t *to = (int8_t *)dst + i * PITH_ROWS;
  const v128_t narrow = wasm_i8x16_narrow_i16x8(codes, codes);
  wasm_v128_store32_lane(to, narrow, 0);
  if (n_quads == 2) wasm_v128_store32_lane(to + PITH_ROWS * PITH_QUAD, narrow, 1);
}

/* The n inputs x of a group, the first being input `begin` of the row. */
static inline __attribute__((always_inline)) void quantize_group(size_t n, const float *x, size_t begin, void *dst, store_fn *store, float *scale,
                                                                 int32_t *offset) {
  const float absmax = absmax_of(n, x);
  const v128_t inverse = wasm_f32x4_splat(absmax < 0x1p-100f ? 0.0f : 127.0f / absmax);
  v128_t sums = wasm_i32x4_splat(0);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const v128_t low = codes_of(wasm_v128_load(x + i), inverse), high = codes_of(wasm_v128_load(x + i + 4), inverse);
    sums = wasm_i32x4_add(sums, wasm_i32x4_add(low, high));
    store(wasm_i16x8_narrow_i32x4(low, high), 2, dst, begin + i);
  }
  if (i < n) {   /* the rest among zeros, whose codes are 0 */
    float rest[8] = {0};
    for (size_t k = 0; i + k < n; k++) rest[k] = x[i + k];
    const v128_t low = codes_of(wasm_v128_load(rest), inverse), high = codes_of(wasm_v128_load(rest + 4), inverse);
    sums = wasm_i32x4_add(sums, wasm_i32x4_add(low, high));
    store(wasm_i16x8_narrow_i32x4(low, high), n - i > PITH_QUAD ? 2 : 1, dst, begin + i);
  }
  const int32_t sum = wasm_i32x4_extract_lane(sums, 0) + wasm_i32x4_extract_lane(sums, 1) + wasm_i32x4_extract_lane(sums, 2) +
                      wasm_i32x4_extract_lane(sums, 3);
  *scale = absmax < 0x1p-100f ? 0.0f : absmax / 127.0f;
  *offset = -PITH_U7_ZERO * sum;
}

static inline __attribute__((always_inline)) void quantize(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride,
                                                           const pith_activations *out, size_t elem_bytes, store_fn *store) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD;
  for (size_t row = 0; row < n_rows; row++, x += x_stride) {
    const size_t first = (row / PITH_ROWS * n_quads * PITH_ROWS + row % PITH_ROWS) * PITH_QUAD;
    void *codes = (unsigned char *)out->codes + first * elem_bytes;
    for (size_t g = 0; g < out->n_groups; g++) {
      const size_t begin = g * group_size, n = k - begin < group_size ? k - begin : group_size;
      const size_t at = (row / PITH_ROWS * out->n_groups + g) * PITH_ROWS + row % PITH_ROWS;
      quantize_group(n, x + begin, begin, codes, store, &out->scales[at], &out->offsets[at]);
    }
  }
}

void quantize_i8_i16_simd128(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out) {
  quantize(n_rows, k, group_size, x, x_stride, out, sizeof(int16_t), store_i16);
}

void quantize_i8_i8_simd128(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out) {
  quantize(n_rows, k, group_size, x, x_stride, out, sizeof(int8_t), store_i8);
}
