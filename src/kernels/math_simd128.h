/* math.c's elementary functions on four lanes: the same operations in the same order. */
#ifndef PITH_MATH_SIMD128_H
#define PITH_MATH_SIMD128_H

#include "kernels/coefficients.h"
#include "kernels/v128.h"

#define SPLAT(x) wasm_f32x4_splat(x)
#define LOAD_SPLAT(field) wasm_v128_load32_splat(&(field))

static inline v128_t exp_f32x4(v128_t x) {
  const pith_exp_terms *t = &pith_exp_constants;
  const v128_t zero_below = wasm_f32x4_lt(x, LOAD_SPLAT(t->lowest)), magic = LOAD_SPLAT(t->round_magic), one = SPLAT(1.0f);
  x = wasm_f32x4_pmin(x, LOAD_SPLAT(t->highest));
  const v128_t shifted = wasm_f32x4_add(wasm_f32x4_mul(x, LOAD_SPLAT(t->log2_e)), magic), n = wasm_f32x4_sub(shifted, magic);
  const v128_t r = wasm_f32x4_add(wasm_f32x4_sub(x, wasm_f32x4_mul(n, LOAD_SPLAT(t->ln2_high))), wasm_f32x4_mul(n, LOAD_SPLAT(t->minus_ln2_low)));
  v128_t p = wasm_f32x4_add(wasm_f32x4_mul(LOAD_SPLAT(t->c[4]), r), LOAD_SPLAT(t->c[3]));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), LOAD_SPLAT(t->c[2]));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), LOAD_SPLAT(t->c[1]));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), LOAD_SPLAT(t->c[0]));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), one);
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), one);
  /* shifted's bits are the magic number's plus n; shifting by 23 drops all but the exponent that n asks for, and adds to 1.0's. */
  const v128_t exponent = wasm_i32x4_add(wasm_i32x4_shl(shifted, 23), one);
  return wasm_v128_andnot(wasm_f32x4_mul(p, exponent), zero_below);
}

static inline v128_t exp2_f32x4(v128_t x) {
  const pith_exp2_terms *t = &pith_exp2_constants;
  const v128_t magic = LOAD_SPLAT(t->round_magic), zero_below = wasm_f32x4_lt(x, LOAD_SPLAT(t->lowest));
  const v128_t shifted = wasm_f32x4_add(x, magic), r = wasm_f32x4_sub(x, wasm_f32x4_sub(shifted, magic));
  v128_t p = wasm_f32x4_add(wasm_f32x4_mul(LOAD_SPLAT(t->c[3]), r), LOAD_SPLAT(t->c[2]));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), LOAD_SPLAT(t->c[1]));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), LOAD_SPLAT(t->c[0]));
  p = wasm_f32x4_add(wasm_f32x4_mul(p, r), SPLAT(1.0f));
  return wasm_v128_andnot(wasm_i32x4_add(p, wasm_i32x4_shl(shifted, 23)), zero_below);
}

static inline v128_t erf_f32x4(v128_t x) {
  const pith_erf_terms *c = &pith_erf_constants;
  const v128_t t = wasm_f32x4_mul(x, x);
  v128_t p = LOAD_SPLAT(c->p[0]), q = LOAD_SPLAT(c->q[0]);
  for (int i = 1; i < 6; i++) {
    p = wasm_f32x4_add(wasm_f32x4_mul(p, t), LOAD_SPLAT(c->p[i]));
    q = wasm_f32x4_add(wasm_f32x4_mul(q, t), LOAD_SPLAT(c->q[i]));
  }
  const v128_t one = wasm_v128_or(wasm_v128_and(x, wasm_i32x4_splat(INT32_MIN)), SPLAT(1.0f));
  return select_v128(wasm_f32x4_ge(wasm_f32x4_abs(x), LOAD_SPLAT(c->highest)), one, wasm_f32x4_div(wasm_f32x4_mul(x, p), q));
}

static inline v128_t tanh_f32x4(v128_t x) {
  const v128_t sign = wasm_v128_and(x, wasm_i32x4_splat(INT32_MIN)), a = wasm_f32x4_abs(x);
  const v128_t e = exp_f32x4(wasm_f32x4_mul(SPLAT(-2.0f), a));
  return wasm_v128_xor(wasm_f32x4_div(wasm_f32x4_sub(SPLAT(1.0f), e), wasm_f32x4_add(SPLAT(1.0f), e)), sign);
}

#endif
