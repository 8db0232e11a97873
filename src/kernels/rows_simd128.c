/* Everything that works on rows of floats, in four lanes. The ends of rows that fill no vector are done by the scalar functions,
 * which is the same arithmetic. */
#include <math.h>
#include <string.h>

#include "kernels/math_simd128.h"
#include "kernels/variants.h"

/* a > b ? a : b, as the scalar definitions compare */
static v128_t max_f32x4(v128_t a, v128_t b) { return wasm_f32x4_pmax(b, a); }

static float horizontal_max(v128_t v) {
  v = max_f32x4(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  v = max_f32x4(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2));
  return wasm_f32x4_extract_lane(v, 0);
}

/* (lane0 + lane2) + (lane1 + lane3) */
static float horizontal_sum(v128_t v) {
  v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}

static float sum_row(size_t n, const float *x) {
  v128_t lanes = SPLAT(0.0f);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) lanes = wasm_f32x4_add(lanes, wasm_v128_load(x + i));
  float total = horizontal_sum(lanes);
  for (; i < n; i++) total += x[i];
  return total;
}

static float sum_squares(size_t n, const float *x, float shift) {
  v128_t lanes = SPLAT(0.0f);
  const v128_t shifts = SPLAT(shift);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const v128_t v = wasm_f32x4_sub(wasm_v128_load(x + i), shifts);
    lanes = wasm_f32x4_add(lanes, wasm_f32x4_mul(v, v));
  }
  float total = horizontal_sum(lanes);
  for (; i < n; i++) total += (x[i] - shift) * (x[i] - shift);
  return total;
}

void layer_norm_simd128(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, const float *bias, float eps) {
  for (size_t row = 0; row < n_rows; row++, x += stride, y += stride) {
    const float mean = sum_row(n, x) / (float)n;
    const float r = 1.0f / sqrtf(sum_squares(n, x, mean) / (float)n + eps);
    const v128_t means = SPLAT(mean), rs = SPLAT(r);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
      const v128_t v = wasm_f32x4_mul(wasm_f32x4_sub(wasm_v128_load(x + i), means), rs);
      wasm_v128_store(y + i, wasm_f32x4_add(wasm_f32x4_mul(v, wasm_v128_load(weight + i)), wasm_v128_load(bias + i)));
    }
    for (; i < n; i++) y[i] = (x[i] - mean) * r * weight[i] + bias[i];
  }
}

void rms_norm_simd128(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, float eps) {
  for (size_t row = 0; row < n_rows; row++, x += stride, y += stride) {
    const float r = 1.0f / sqrtf(sum_squares(n, x, 0.0f) / (float)n + eps);
    const v128_t rs = SPLAT(r);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) wasm_v128_store(y + i, wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(x + i), rs), wasm_v128_load(weight + i)));
    for (; i < n; i++) y[i] = x[i] * r * weight[i];
  }
}

void add_simd128(size_t n, const float *x, float *y) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(y + i, wasm_f32x4_add(wasm_v128_load(y + i), wasm_v128_load(x + i)));
  for (; i < n; i++) y[i] += x[i];
}

/* Sign and magnitude moved to their places in f32 leave an exponent that is 112 too small; the product mends it, subnormals included. */
void f16_to_f32_simd128(size_t n, const uint16_t *src, float *dst) {
  const v128_t without_gap = wasm_i32x4_splat((int32_t)0x8fffffff), lift = SPLAT(0x1p112f);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const v128_t h = wasm_i32x4_shl(wasm_u32x4_load16x4(src + i), 16);
    wasm_v128_store(dst + i, wasm_f32x4_mul(wasm_v128_and(wasm_i32x4_shr(h, 3), without_gap), lift));
  }
  for (; i < n; i++) dst[i] = pith_f16_to_f32(src[i]);
}

void u4_scales_simd128(size_t n, const uint8_t *src, float *dst) {
  const v128_t low = wasm_i32x4_splat(15);
  for (size_t g = 0; g < n; g++, src += PITH_U4_GROUP_BYTES, dst += 2 * PITH_PANEL) {
    uint16_t halves[PITH_PANEL];
    memcpy(halves, src, sizeof halves);
    f16_to_f32_simd128(PITH_PANEL, halves, dst);
    const v128_t zeros = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(src + 16)));
    const v128_t z0 = wasm_f32x4_convert_i32x4(wasm_v128_and(zeros, low)), z1 = wasm_f32x4_convert_i32x4(wasm_u32x4_shr(zeros, 4));
    wasm_v128_store(dst + PITH_PANEL, wasm_f32x4_mul(wasm_f32x4_neg(z0), wasm_v128_load(dst)));
    wasm_v128_store(dst + PITH_PANEL + 4, wasm_f32x4_mul(wasm_f32x4_neg(z1), wasm_v128_load(dst + 4)));
  }
}

void softmax_simd128(size_t n, float *x, float scale) {
  v128_t maxima = SPLAT(-INFINITY);
  size_t i = 0;
  for (; i + 4 <= n; i += 4) maxima = max_f32x4(wasm_v128_load(x + i), maxima);
  float max = horizontal_max(maxima);
  for (; i < n; i++) max = x[i] > max ? x[i] : max;
  const v128_t maxs = SPLAT(max), scales = SPLAT(scale);
  v128_t lanes = SPLAT(0.0f);
  for (i = 0; i + 4 <= n; i += 4) {
    const v128_t e = exp_f32x4(wasm_f32x4_mul(wasm_f32x4_sub(wasm_v128_load(x + i), maxs), scales));
    wasm_v128_store(x + i, e);
    lanes = wasm_f32x4_add(lanes, e);
  }
  float sum = horizontal_sum(lanes);
  for (; i < n; i++) {
    x[i] = pith_expf((x[i] - max) * scale);
    sum += x[i];
  }
  const float inverse = 1.0f / sum;
  const v128_t inverses = SPLAT(inverse);
  for (i = 0; i + 4 <= n; i += 4) wasm_v128_store(x + i, wasm_f32x4_mul(wasm_v128_load(x + i), inverses));
  for (; i < n; i++) x[i] *= inverse;
}

void gelu_erf_simd128(size_t n, float *x) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const v128_t v = wasm_v128_load(x + i);
    const v128_t e = wasm_f32x4_add(SPLAT(1.0f), erf_f32x4(wasm_f32x4_mul(v, SPLAT(0.70710678f))));
    wasm_v128_store(x + i, wasm_f32x4_mul(wasm_f32x4_mul(SPLAT(0.5f), v), e));
  }
  gelu_erf_scalar(n - i, x + i);
}

void gelu_tanh_simd128(size_t n, float *x) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const v128_t v = wasm_v128_load(x + i), cube = wasm_f32x4_mul(wasm_f32x4_mul(v, v), v);
    const v128_t inner = wasm_f32x4_mul(SPLAT(0.79788456f), wasm_f32x4_add(v, wasm_f32x4_mul(SPLAT(0.044715f), cube)));
    wasm_v128_store(x + i, wasm_f32x4_mul(wasm_f32x4_mul(SPLAT(0.5f), v), wasm_f32x4_add(SPLAT(1.0f), tanh_f32x4(inner))));
  }
  gelu_tanh_scalar(n - i, x + i);
}

static v128_t silu_f32x4(v128_t v) { return wasm_f32x4_div(v, wasm_f32x4_add(SPLAT(1.0f), exp_f32x4(wasm_f32x4_neg(v)))); }

void silu_simd128(size_t n, float *x) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(x + i, silu_f32x4(wasm_v128_load(x + i)));
  silu_scalar(n - i, x + i);
}

void silu_mul_simd128(size_t n, float *gate, const float *up) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(gate + i, wasm_f32x4_mul(silu_f32x4(wasm_v128_load(gate + i)), wasm_v128_load(up + i)));
  silu_mul_scalar(n - i, gate + i, up + i);
}

void relu_simd128(size_t n, float *x) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    const v128_t v = wasm_v128_load(x + i);
    wasm_v128_store(x + i, wasm_v128_and(v, wasm_f32x4_gt(v, SPLAT(0.0f))));
  }
  relu_scalar(n - i, x + i);
}

void rope_half_simd128(size_t half, float *x, const float *cos, const float *sin) {
  size_t i = 0;
  for (; i + 4 <= half; i += 4) {
    const v128_t a = wasm_v128_load(x + i), b = wasm_v128_load(x + half + i), c = wasm_v128_load(cos + i), s = wasm_v128_load(sin + i);
    wasm_v128_store(x + i, wasm_f32x4_sub(wasm_f32x4_mul(a, c), wasm_f32x4_mul(b, s)));
    wasm_v128_store(x + half + i, wasm_f32x4_add(wasm_f32x4_mul(b, c), wasm_f32x4_mul(a, s)));
  }
  for (; i < half; i++) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cos[i] - b * sin[i];
    x[i + half] = b * cos[i] + a * sin[i];
  }
}
