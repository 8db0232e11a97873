/* The variants, one table each; variants.c chooses among them. */
#ifndef PITH_KERNEL_VARIANTS_H
#define PITH_KERNEL_VARIANTS_H

#include "kernels/kernels.h"

extern const pith_kernels pith_kernels_scalar;         /* scalar.c: the definitions */
extern const pith_kernels pith_kernels_simd128;        /* WebAssembly SIMD; natively SSE4.1 or NEON through SIMDe */
#if defined(__x86_64__) || defined(__i386__)
extern const pith_kernels pith_kernels_avx2, pith_kernels_avx_vnni, pith_kernels_avx512_vnni;
#endif
#ifdef __aarch64__
extern const pith_kernels pith_kernels_neon, pith_kernels_neon_dot;
#endif
#ifdef __wasm_relaxed_simd__
extern const pith_kernels pith_kernels_relaxed_dot;    /* engines that run a dot product of four as one instruction */
extern const pith_kernels pith_kernels_relaxed_pairs;  /* the others */
#endif

/* The end of a product: kernels.h says in what order. bias: the output's, or NULL. */
static inline void store_output(float total, const float *bias, bool accumulate, float *y) {
  const float v = bias ? *bias + total : total;
  *y = accumulate ? *y + v : v;
}

/* The functions behind the tables, by file. */
#define PITH_GEMM_I8U7(name) \
  void name(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales, \
            const float *bias, bool accumulate, float *y, size_t y_stride)
#define PITH_GEMM_I8U4(name) \
  void name(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales, \
            const float *bias, bool accumulate, float *y, size_t y_stride)
#define PITH_GEMM_SPARSE(name) \
  void name(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const pith_sparse_panels *w, const float *w_scales, \
            const float *bias, bool accumulate, float *y, size_t y_stride)
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_simd128);   /* codes of two bytes */
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_pairs);     /* of one: relaxed SIMD, and natively SSE and NEON */
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_dot);
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_avx2);
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_avx_vnni);
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_avx512_vnni);
PITH_GEMM_I8U7(gemm_i8u7_f32_simd128);
PITH_GEMM_I8U7(gemm_i8u7_f32_relaxed_dot);
PITH_GEMM_I8U7(gemm_i8u7_f32_relaxed_pairs);
PITH_GEMM_I8U7(gemm_i8u7_f32_avx2);
PITH_GEMM_I8U7(gemm_i8u7_f32_avx_vnni);
PITH_GEMM_I8U7(gemm_i8u7_f32_avx512_vnni);
PITH_GEMM_I8U7(gemm_i8u7_f32_neon);
PITH_GEMM_I8U7(gemm_i8u7_f32_neon_dot);
PITH_GEMM_I8U4(gemm_i8u4_f32_neon);
PITH_GEMM_I8U4(gemm_i8u4_f32_neon_dot);
PITH_GEMM_I8U4(gemm_i8u4_f32_avx2);
PITH_GEMM_I8U4(gemm_i8u4_f32_avx_vnni);
PITH_GEMM_I8U4(gemm_i8u4_f32_avx512_vnni);
PITH_GEMM_I8U4(gemm_i8u4_f32_simd128);
PITH_GEMM_I8U4(gemm_i8u4_f32_relaxed_dot);
PITH_GEMM_I8U4(gemm_i8u4_f32_relaxed_pairs);

void gemm_f32_simd128(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                      bool accumulate, float *y, size_t y_stride);

void gemm_f32_avx2(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                   bool accumulate, float *y, size_t y_stride);
void gemm_f32_avx512(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                     bool accumulate, float *y, size_t y_stride);

/* quantize_simd128.c: codes of two bytes, and of one. */
void quantize_i8_i16_simd128(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out);
void quantize_i8_i8_simd128(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out);
void quantize_i8_i8_avx2(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out);

/* attention.c has the definitions. */
void remember_scalar(size_t n_rows, size_t head_dim, size_t code_bytes, const float *k, const float *v, size_t stride, size_t position,
                     const pith_head_memory *memory);
void attend_scalar(const pith_queries *queries, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *scratch);
void remember_simd128(size_t n_rows, size_t head_dim, size_t code_bytes, const float *k, const float *v, size_t stride, size_t position,
                      const pith_head_memory *memory);
void attend_simd128(const pith_queries *queries, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *scratch);
void remember_avx2(size_t n_rows, size_t head_dim, size_t code_bytes, const float *k, const float *v, size_t stride, size_t position,
                   const pith_head_memory *memory);
void attend_avx2(const pith_queries *queries, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *scratch);

/* scalar.c: what is left of a row goes through these, so that a module without the scalar table has no more of it. */
void gelu_erf_scalar(size_t n, float *x);
void gelu_tanh_scalar(size_t n, float *x);
void silu_scalar(size_t n, float *x);
void silu_mul_scalar(size_t n, float *gate, const float *up);
void relu_scalar(size_t n, float *x);

/* rows_simd128.c */
void u4_scales_simd128(size_t n, const uint8_t *src, float *dst);
void layer_norm_simd128(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, const float *bias, float eps);
void rms_norm_simd128(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, float eps);
void add_simd128(size_t n, const float *x, float *y);
void f16_to_f32_simd128(size_t n, const uint16_t *src, float *dst);
void softmax_simd128(size_t n, float *x, float scale);
void gelu_erf_simd128(size_t n, float *x);
void gelu_tanh_simd128(size_t n, float *x);
void silu_simd128(size_t n, float *x);
void silu_mul_simd128(size_t n, float *gate, const float *up);
void relu_simd128(size_t n, float *x);
void rope_half_simd128(size_t half, float *x, const float *cos, const float *sin);

/* rows_avx2.c */
void u4_scales_avx2(size_t n, const uint8_t *src, float *dst);
void layer_norm_avx2(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, const float *bias, float eps);
void rms_norm_avx2(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, float eps);
void add_avx2(size_t n, const float *x, float *y);
void f16_to_f32_avx2(size_t n, const uint16_t *src, float *dst);
void softmax_avx2(size_t n, float *x, float scale);
void gelu_erf_avx2(size_t n, float *x);
void gelu_tanh_avx2(size_t n, float *x);
void silu_avx2(size_t n, float *x);
void silu_mul_avx2(size_t n, float *gate, const float *up);
void relu_avx2(size_t n, float *x);
void rope_half_avx2(size_t half, float *x, const float *cos, const float *sin);

/* rows_avx512.c */
void softmax_avx512(size_t n, float *x, float scale);
void gelu_erf_avx512(size_t n, float *x);
void gelu_tanh_avx512(size_t n, float *x);
void silu_avx512(size_t n, float *x);
void silu_mul_avx512(size_t n, float *gate, const float *up);

#endif
