/* The variants' tables, and the choice among them. */
#include <string.h>

#include "kernels/variants.h"
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#ifdef __wasm_relaxed_simd__
#include "kernels/v128.h"
#endif

/* Of a table the first four differ from variant to variant. */
#define ROWS_SIMD128 \
  remember_simd128, attend_simd128, f16_to_f32_simd128, layer_norm_simd128, rms_norm_simd128, add_simd128, softmax_simd128, gelu_erf_simd128, gelu_tanh_simd128, \
      silu_mul_simd128, silu_simd128, relu_simd128, rope_half_simd128

const pith_kernels pith_kernels_simd128 = {"simd128", 2, quantize_i8_i16_simd128, gemm_i8u7_f32_simd128, gemm_i8u4_f32_simd128, u4_scales_simd128,
                                           gemm_i8u7_sparse_f32_simd128, gemm_f32_simd128, ROWS_SIMD128};

#ifdef __wasm_relaxed_simd__
const pith_kernels pith_kernels_relaxed_dot = {
    "relaxed-dot", 1, quantize_i8_i8_simd128, gemm_i8u7_f32_relaxed_dot, gemm_i8u4_f32_relaxed_dot, u4_scales_simd128, gemm_i8u7_sparse_f32_dot, gemm_f32_simd128, ROWS_SIMD128};
const pith_kernels pith_kernels_relaxed_pairs = {
    "relaxed-pairs", 1, quantize_i8_i8_simd128, gemm_i8u7_f32_relaxed_pairs, gemm_i8u4_f32_relaxed_pairs, u4_scales_simd128, gemm_i8u7_sparse_f32_pairs, gemm_f32_simd128, ROWS_SIMD128};

#ifndef PITH_INFERENCE
/* Whether the engine adds a dot product of four by one instruction of the processor: then none of its steps saturates. Engines
 * without it go over i16 pair sums, which do (255 * 127 * 2 becomes 32767). Operands that set bit 7 are the implementation's to
 * define, so the answer tells implementations apart; the products of this library never set it. Arm reads them as signed: -254.
 * js/load.js asks the same to choose among the modules that only infer. */
static bool dot_is_one_instruction(void) {
  volatile signed char ones = 127, bit7 = -1;   /* volatile: the compiler must not know the answer either */
  const v128_t sum = relaxed_dot_add(wasm_i8x16_splat(ones), wasm_i8x16_splat(bit7), wasm_i32x4_splat(0));
  const int32_t lane = wasm_i32x4_extract_lane(sum, 0);
  return lane == 4 * 255 * 127 || lane == -4 * 127;
}

const pith_kernels *const *pith_kernels_list(void) {
  static const pith_kernels *const dot_last[] = {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_relaxed_pairs, &pith_kernels_relaxed_dot, NULL};
  static const pith_kernels *const pairs_last[] = {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_relaxed_dot, &pith_kernels_relaxed_pairs, NULL};
  return dot_is_one_instruction() ? dot_last : pairs_last;
}
#endif
#elif defined(__x86_64__) || defined(__i386__)
#define ROWS_AVX2 \
  remember_avx2, attend_avx2, f16_to_f32_avx2, layer_norm_avx2, rms_norm_avx2, add_avx2, softmax_avx2, gelu_erf_avx2, gelu_tanh_avx2, silu_mul_avx2, silu_avx2, relu_avx2, rope_half_avx2

#define ROWS_AVX512 \
  remember_avx2, attend_avx2, f16_to_f32_avx2, layer_norm_avx2, rms_norm_avx2, add_avx2, softmax_avx512, gelu_erf_avx512, gelu_tanh_avx512, silu_mul_avx512, silu_avx512, relu_avx2, rope_half_avx2

const pith_kernels pith_kernels_avx2 = {"avx2", 1, quantize_i8_i8_avx2, gemm_i8u7_f32_avx2, gemm_i8u4_f32_avx2, u4_scales_avx2, gemm_i8u7_sparse_f32_avx2, gemm_f32_avx2, ROWS_AVX2};
const pith_kernels pith_kernels_avx_vnni = {
    "avx-vnni", 1, quantize_i8_i8_avx2, gemm_i8u7_f32_avx_vnni, gemm_i8u4_f32_avx_vnni, u4_scales_avx2, gemm_i8u7_sparse_f32_avx_vnni, gemm_f32_avx2, ROWS_AVX2};
const pith_kernels pith_kernels_avx512_vnni = {
    "avx512-vnni", 1, quantize_i8_i8_avx2, gemm_i8u7_f32_avx512_vnni, gemm_i8u4_f32_avx512_vnni, u4_scales_avx2, gemm_i8u7_sparse_f32_avx512_vnni, gemm_f32_avx512, ROWS_AVX512};

/* What this processor runs. */
const pith_kernels *const *pith_kernels_list(void) {
  static const pith_kernels *const lists[][6] = {
      {&pith_kernels_scalar},
      {&pith_kernels_scalar, &pith_kernels_simd128},
      {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_avx2},
      {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_avx2, &pith_kernels_avx_vnni},
      {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_avx2, &pith_kernels_avx512_vnni},
      {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_avx2, &pith_kernels_avx_vnni, &pith_kernels_avx512_vnni}};
  if (!__builtin_cpu_supports("sse4.1")) return lists[0];
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("f16c")) return lists[1];
  const bool vnni = __builtin_cpu_supports("avxvnni") != 0;
  const bool vnni512 = __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq");
  return lists[2 + (vnni ? 1 : 0) + (vnni512 ? 2 : 0)];
}
#elif defined(__aarch64__)
const pith_kernels pith_kernels_neon = {"neon", 1, quantize_i8_i8_simd128, gemm_i8u7_f32_neon, gemm_i8u4_f32_neon, u4_scales_simd128, gemm_i8u7_sparse_f32_pairs, gemm_f32_simd128, ROWS_SIMD128};
const pith_kernels pith_kernels_neon_dot = {
    "neon-dot", 1, quantize_i8_i8_simd128, gemm_i8u7_f32_neon_dot, gemm_i8u4_f32_neon_dot, u4_scales_simd128, gemm_i8u7_sparse_f32_pairs, gemm_f32_simd128, ROWS_SIMD128};

/* Apple's processors all have dot products, and its compiler says so; elsewhere the system does. */
static bool has_dot_products(void) {
#if defined(__ARM_FEATURE_DOTPROD)
  return true;
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return false;
#endif
}

const pith_kernels *const *pith_kernels_list(void) {
  static const pith_kernels *const all[] = {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_neon, &pith_kernels_neon_dot, NULL};
  static const pith_kernels *const without_dot[] = {&pith_kernels_scalar, &pith_kernels_simd128, &pith_kernels_neon, NULL};
  return has_dot_products() ? all : without_dot;
}
#elif !defined(PITH_INFERENCE)
/* A module in WebAssembly is chosen by what its engine accepts, so every variant in it runs. */
const pith_kernels *const *pith_kernels_list(void) {
  static const pith_kernels *const all[] = {&pith_kernels_scalar, &pith_kernels_simd128, NULL};
  return all;
}
#endif

#ifdef PITH_INFERENCE   /* the one table of a module that only infers; what is slower is for comparing, and the complete modules do that */
const pith_kernels *const *pith_kernels_list(void) {
  static const pith_kernels *const one[] = {&PITH_INFERENCE, NULL};
  return one;
}
#endif

const pith_kernels *pith_kernels_find(const char *name) {
  const pith_kernels *found = NULL;
  const bool automatic = !name || !*name || strcmp(name, "auto") == 0;
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++)
    if (automatic || strcmp((*k)->name, name) == 0) found = *k;
  return found;
}
