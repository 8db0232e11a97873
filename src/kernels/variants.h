/* The variants, one table each; select.c chooses among them. */
#ifndef PITH_KERNEL_VARIANTS_H
#define PITH_KERNEL_VARIANTS_H

#include "kernels/kernels.h"

extern const pith_kernels pith_kernels_scalar;    /* scalar.c: the definitions */
extern const pith_kernels pith_kernels_simd128;   /* simd128.c: WebAssembly SIMD; natively SSE4.1 or NEON through SIMDe */

/* simd128's functions, by file. */
void gemm_i8u7_f32_simd128(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales,
                           const float *bias, float *y, size_t y_stride);
void gemm_f32_simd128(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride, const float *bias,
                      float *y, size_t y_stride);

#endif
