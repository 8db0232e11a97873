/* math.c's elementary functions on four lanes: the same operations in the same order. */
#ifndef PITH_MATH_SIMD128_H
#define PITH_MATH_SIMD128_H

#include "kernels/v128.h"

#define SPLAT(x) wasm_f32x4_splat(x)

static inline v128_t exp_f32x4(v128_t x) {
  const v128_t zero_below = wasm_f32x4_lt(x, SPLAT(-87.33f)), saturated = wasm_f32x4_gt(x, SPLAT(88.3f));
  x = select_v128(saturated, SPLAT(88.3f), x);
  const v128_t shifted = wasm_f32x4_add(wasm_f32x4_mul(x, SPLAT(1.44269504f)), SPLAT(ROUND_MAGIC));
  const v128_t n = wasm_f32x4_sub(shifted, SPLAT(ROUND_MAGIC));
  const v128_t r = wasm_f32x4_add(wasm_f32x4_sub(x, wasm_f32x4_mul(n, SPLAT(0.693359375f))), wasm_f32x4_mul(n, SPLAT(2.12194440e-4f)));
  v128_t p = SPLAT(1.0f / 5040.0f);
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(1.0f / 720.0f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(1.0f / 120.0f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(1.0f / 24.0f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(1.0f / 6.0f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(0.5f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(1.0f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(1.0f));
  const v128_t exponent = wasm_i32x4_shl(wasm_i32x4_sub(shifted, wasm_i32x4_splat(ROUND_MAGIC_BITS - 127)), 23);
  return wasm_v128_andnot(wasm_f32x4_mul(p, exponent), zero_below);
}

static inline v128_t erf_f32x4(v128_t x) {
  const v128_t t = wasm_f32x4_mul(x, x);
  v128_t p = SPLAT(2.0347336e-6f), q = SPLAT(3.8070644e-5f);
  p = wasm_f32x4_add(wasm_f32x4_mul(p, t), SPLAT(2.8747975e-4f));
  q = wasm_f32x4_add(wasm_f32x4_mul(q, t), SPLAT(0.0011881185f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, t), SPLAT(0.0038683405f));
  q = wasm_f32x4_add(wasm_f32x4_mul(q, t), SPLAT(0.0151723223f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, t), SPLAT(0.05306052044f));
  q = wasm_f32x4_add(wasm_f32x4_mul(q, t), SPLAT(0.115084745f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, t), SPLAT(0.1927643567f));
  q = wasm_f32x4_add(wasm_f32x4_mul(q, t), SPLAT(0.5041646361f));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, t), SPLAT(1.128378987f));
  q = wasm_f32x4_add(wasm_f32x4_mul(q, t), SPLAT(1.0f));
  const v128_t one = wasm_v128_or(wasm_v128_and(x, wasm_i32x4_splat(INT32_MIN)), SPLAT(1.0f));
  return select_v128(wasm_f32x4_ge(wasm_f32x4_abs(x), SPLAT(3.92f)), one, wasm_f32x4_div(wasm_f32x4_mul(x, p), q));
}

static inline v128_t tanh_f32x4(v128_t x) {
  const v128_t sign = wasm_v128_and(x, wasm_i32x4_splat(INT32_MIN)), a = wasm_f32x4_abs(x);
  const v128_t e = exp_f32x4(wasm_f32x4_mul(SPLAT(-2.0f), a));
  return wasm_v128_xor(wasm_f32x4_div(wasm_f32x4_sub(SPLAT(1.0f), e), wasm_f32x4_add(SPLAT(1.0f), e)), sign);
}

#endif
