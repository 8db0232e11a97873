/* The 128-bit vectors of WebAssembly SIMD: its own header in wasm, SIMDe's translation of it natively (SSE4.1, NEON), so that
 * each simd128 kernel is written once and the native tests run the very code that pages run. */
#ifndef PITH_V128_H
#define PITH_V128_H

#include <stddef.h>
#include <stdint.h>

#ifdef __wasm_simd128__
#include <wasm_simd128.h>
#else
#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <simde/wasm/simd128.h>
#pragma GCC diagnostic pop
#endif

/* A loop over the rows of a tile, whose sums are to stay in registers, so that it is unrolled whatever the file is compiled for. */
#ifdef __clang__
#define FOR_ROWS(r, n) _Pragma("clang loop unroll(full)") for (int r = 0; r < (n); r++)
#else
#define FOR_ROWS(r, n) _Pragma("GCC unroll 8") for (int r = 0; r < (n); r++)
#endif

/* Eight bytes widened to u16. SIMDe 0.7.4 spells the load in five instructions, so SSE4.1 is named here. */
static inline v128_t load_u8x8(const uint8_t *src) {
#if defined(__SSE4_1__)
  return simde_v128_from_m128i(_mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)src)));
#else
  return wasm_u16x8_load8x8(src);
#endif
}

static inline v128_t select_v128(v128_t mask, v128_t if_true, v128_t if_false) { return wasm_v128_bitselect(if_true, if_false, mask); }

/* (a0 a1 a2 a3) (b0 b1 b2 b3) → (a0+a1 a2+a3 b0+b1 b2+b3) */
static inline v128_t fold_pairs(v128_t a, v128_t b) {
  return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}

#ifdef __wasm_relaxed_simd__
/* x: i8; w: 0…127, else the engine decides. By the compiler's own names: the header's came after LLVM 19.
 * acc[i] + x[4 i] * w[4 i] + … + x[4 i + 3] * w[4 i + 3] */
static inline v128_t relaxed_dot_add(v128_t x, v128_t w, v128_t acc) {
  typedef signed char i8x16 __attribute__((vector_size(16)));
  typedef int32_t i32x4 __attribute__((vector_size(16)));
  return (v128_t)__builtin_wasm_relaxed_dot_i8x16_i7x16_add_s_i32x4((i8x16)x, (i8x16)w, (i32x4)acc);
}

#endif

/* i16[i] = x[2 i] * w[2 i] + x[2 i + 1] * w[2 i + 1]; x: -127…127; w: 0…127, so that |sum| < 2^15 */
#ifdef __wasm_relaxed_simd__
#define PITH_HAS_DOT_PAIRS
static inline v128_t dot_pairs(v128_t x, v128_t w) {
  typedef signed char i8x16 __attribute__((vector_size(16)));
  return (v128_t)__builtin_wasm_relaxed_dot_i8x16_i7x16_s_i16x8((i8x16)x, (i8x16)w);
}
#elif defined(__SSE4_1__)
#define PITH_HAS_DOT_PAIRS
static inline v128_t dot_pairs(v128_t x, v128_t w) {
  return simde_v128_from_m128i(_mm_maddubs_epi16(simde_v128_to_m128i(w), simde_v128_to_m128i(x)));
}
#elif defined(__aarch64__)
#define PITH_HAS_DOT_PAIRS
static inline v128_t dot_pairs(v128_t x, v128_t w) {
  const int8x16_t a = simde_v128_to_neon_i8(x), b = simde_v128_to_neon_i8(w);
  return simde_v128_from_neon_i16(vpaddq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vmull_high_s8(a, b)));
}
#endif

/* Adding 1.5 * 2^23 rounds |x| < 2^22 to a whole number, half to even; the sum's low bits then are that number. */
#define ROUND_MAGIC 12582912.0f
#define ROUND_MAGIC_BITS 0x4b400000

#endif
