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
  const v128_t sign = wasm_v128_and(x, wasm_i32x4_splat(INT32_MIN)), a = wasm_f32x4_abs(x);
  const v128_t t = wasm_f32x4_div(SPLAT(1.0f), wasm_f32x4_add(SPLAT(1.0f), wasm_f32x4_mul(SPLAT(0.3275911f), a)));
  v128_t p = wasm_f32x4_add(SPLAT(-1.453152027f), wasm_f32x4_mul(t, SPLAT(1.061405429f)));
  p = wasm_f32x4_add(SPLAT(1.421413741f), wasm_f32x4_mul(t, p));
  p = wasm_f32x4_add(SPLAT(-0.284496736f), wasm_f32x4_mul(t, p));
  p = wasm_f32x4_add(SPLAT(0.254829592f), wasm_f32x4_mul(t, p));
  p = wasm_f32x4_mul(t, p);
  const v128_t e = wasm_f32x4_sub(SPLAT(1.0f), wasm_f32x4_mul(p, exp_f32x4(wasm_f32x4_mul(wasm_f32x4_neg(a), a))));
  return wasm_v128_xor(e, sign);
}

static inline v128_t tanh_f32x4(v128_t x) {
  const v128_t sign = wasm_v128_and(x, wasm_i32x4_splat(INT32_MIN)), a = wasm_f32x4_abs(x);
  const v128_t e = exp_f32x4(wasm_f32x4_mul(SPLAT(-2.0f), a));
  return wasm_v128_xor(wasm_f32x4_div(wasm_f32x4_sub(SPLAT(1.0f), e), wasm_f32x4_add(SPLAT(1.0f), e)), sign);
}

#endif
