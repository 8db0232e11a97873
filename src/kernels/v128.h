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

/* Eight bytes widened to u16. SIMDe 0.7.4 spells the load in five instructions, so SSE4.1 is named here. */
static inline v128_t load_u8x8(const uint8_t *src) {
#if defined(__SSE4_1__)
  return simde_v128_from_m128i(_mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)(const void *)src)));
#else
  return wasm_u16x8_load8x8(src);
#endif
}

static inline v128_t select_v128(v128_t mask, v128_t if_true, v128_t if_false) { return wasm_v128_bitselect(if_true, if_false, mask); }

/* Adding 1.5 * 2^23 rounds |x| < 2^22 to a whole number, half to even; the sum's low bits then are that number. */
#define ROUND_MAGIC 12582912.0f
#define ROUND_MAGIC_BITS 0x4b400000

#endif
