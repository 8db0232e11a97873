/* The numeric contract. Every function of the table has one definition, in src/kernels/scalar.c; the other variants
 * give the same bits for every input that holds no NaN. docs/NUMERICS.md is the same text for readers elsewhere.
 *
 * Rules that all variants keep: IEEE f32 with round to nearest even, no fused multiply-add, sums in the stated order.
 * "4-lane sum of v[0..n)": lane[l] = v[l] + v[4+l] + v[8+l] + … for the whole quads, added in order, starting from 0;
 * total = (lane[0] + lane[2]) + (lane[1] + lane[3]); then the n % 4 last elements are added to the total, in order. */
#ifndef PITH_KERNELS_H
#define PITH_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PITH_PANEL = 8,           /* outputs (matrix rows, keys, or value columns) that lie together */
  PITH_QUAD = 4,            /* inputs whose codes lie together */
  PITH_ROWS = 4,            /* rows of activations whose codes lie together */
  PITH_U4_GROUP_BYTES = 20, /* a panel's scales and zero points of one group */
  PITH_BLOCK = 32,          /* codes of a sparse block: a panel by a quad */
  PITH_U7_ZERO = 64,        /* the u7 zero point */
  PITH_SUM_BLOCK = 128,     /* f32 products: inputs summed in order before they are added to the total */
  PITH_KEYS = 64,           /* integer attention: keys and values that are worked on together */
  PITH_MAX_CODE = 8191,     /* of queries, keys and values in two bytes */
  PITH_MAX_WEIGHT = 4095    /* of attention's weights: PITH_KEYS * PITH_MAX_WEIGHT * PITH_MAX_CODE < 2^31 */
};

/* Activations quantised for the grouped integer product, in blocks of PITH_ROWS rows, the order in which tiles read them.
 *   codes   [rows / 4][k / 4][4 rows][4 inputs], elements of act_elem_bytes; values in [-127, 127]; 0 past k in the last quad
 *   scales  [rows / 4][groups][4 rows]   absmax / 127 of the row's group; 0 where the group's absmax < 2^-100
 *   offsets [rows / 4][groups][4 rows]   -64 * sum of the group's codes: what the zero point of u7 weights takes off
 * All divisions round up; there is room for the rows that a last block lacks, and what it holds has no effect. n_groups = ceil(k / group_size); the last may be short. */
typedef struct pith_activations {
  void *codes;
  float *scales;
  int32_t *offsets;
  size_t n_groups;
} pith_activations;

/* u7 weights of which only blocks of 8 outputs by 4 inputs are stored that hold a weight; all others are exactly zero: code = PITH_U7_ZERO.
 *   codes   [blocks][8 outputs][4 inputs], 0…127; panels in order, their blocks by ascending quad
 *   quads   [blocks] which quad of inputs a block is for
 *   starts  [panels * groups + 1] the first block of every group of every panel; a group may have none */
typedef struct pith_sparse_panels {
  const uint8_t *codes;
  const uint16_t *quads;
  const uint32_t *starts;
} pith_sparse_panels;

/* Keys and values of one head, quantised a position at a time, code = clamp(round_half_even(x * (limit / absmax)), -limit, limit), scale =
 * absmax / limit; zero where absmax < 2^-100. Codes have code_bytes bytes, 1 or 2. The limit is 127 in one byte; in two it is
 * pith_key_limit() for keys and queries and PITH_MAX_CODE for values. "pairs" is head_dim / 2 rounded up.
 *   keys     [positions / 8][pairs][8 positions][2 of the head's]; 0 past head_dim
 *   values   [positions / 64][ceil(head_dim / 8)][32][8 of the head's][2 positions]; 0 past head_dim
 * Positions are rounded up to PITH_KEYS. Value scales of positions not stored yet are finite. */
typedef struct pith_head_memory {
  void *keys, *values;
  float *key_scales, *value_scales;   /* (positions) */
} pith_head_memory;

/* Up to PITH_ROWS queries that read the same keys. */
typedef struct pith_queries {
  size_t n;
  const float *q[PITH_ROWS];   /* (head_dim) each */
  float *y[PITH_ROWS];
  size_t seen[PITH_ROWS];      /* positions [0, seen), at least 1 */
} pith_queries;

/* The largest b for which head_dim products of two codes up to b stay below 2^31, at most PITH_MAX_CODE. head_dim: up to PITH_MAX_HEAD_DIM. */
int32_t pith_key_limit(size_t head_dim);
#define PITH_LOG2_E 1.44269504f
enum { PITH_MAX_HEAD_DIM = 1 << 16 };
/* Floats of scratch that attend() wants: queries and sums, and a tile of codes of one byte in two. */
static inline size_t pith_attend_scratch(size_t head_dim, size_t code_bytes) {
  const size_t pairs = (head_dim + 1) / 2, width = (head_dim + 7) / 8 * 8;
  return PITH_ROWS * (pairs + width) + (code_bytes == 1 ? PITH_KEYS * (pairs + width / 2) : 0);
}

typedef struct pith_kernels {
  const char *name;          /* "scalar", "simd128", … */
  size_t act_elem_bytes;     /* bytes of one activation code: 1, or 2 where products want them widened */

  /* code = clamp(round_half_even(x * (127 / absmax)), -127, 127), scale = absmax / 127 (f32 divisions).
   * group_size: a multiple of 4. x: rows of x_stride floats. */
  void (*quantize_i8)(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out);

  /* y[m][n] = bias[n] + total, or with `accumulate` y[m][n] + (bias[n] + total), as all products have it; total = 0 + t(0) + t(1) + …  over groups in
   * order, with
   *   t(g) = (float)(dot(g) + offsets[m][g]) * w_scales[g][n] * scales[m][g]        (left to right; the i32 sum is exact)
   *   dot(g) = Σ codes[m][k] * w[n][k] over the group, exact in i32
   * w: codes [ceil(n/8)][ceil(k/4)][8][4], 0…127; w_scales: [ceil(n/8)][n_groups][8] f32. bias: (n) or NULL, then
   * total stands alone. y: rows of y_stride floats, only the n valid columns are written. n need not be a multiple of 8. */
  void (*gemm_i8u7_f32)(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w,
                        const float *w_scales, const float *bias, bool accumulate, float *y, size_t y_stride);

  /* The same with 4-bit codes, 0…15, a weight being code * scale + minimum:
   *   t(g) = ((float)dot(g) * scale + ((float)offsets[m][g] * (-1 / 64)) * minimum) * scales[m][g]      (the product in brackets is exact)
   * w: codes [ceil(n/8)][ceil(k/8)][8][4]; byte j of output o in octet i holds input 8 i + j in its low half and 8 i + 4 + j in its
   * high one. w_scales: [ceil(n/8)][n_groups][2][8] f32, scales then minima. group_size: a multiple of 8. */
  void (*gemm_i8u4_f32)(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w,
                        const float *w_scales, const float *bias, bool accumulate, float *y, size_t y_stride);
  /* Groups of eight F16 scales and eight 4-bit zero points (PITH_U4_GROUP_BYTES; byte j of the last four holds those of outputs j and, in
   * its high half, j + 4) as scales and minima, -zero point * scale: [n][2][8]. Scales are finite. */
  void (*u4_scales)(size_t n, const uint8_t *src, float *dst);

  /* gemm_i8u7_f32's very bits for sparse weights: dot(g) + offset(g) is summed as Σ codes[m][k] * (w[n][k] - 64) over the quads of stored
   * blocks, exactly, since all others add 0. n_quads <= 65536. Rows that x's last block lacks are read, and forgotten. */
  void (*gemm_i8u7_sparse_f32)(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const pith_sparse_panels *w,
                               const float *w_scales, const float *bias, bool accumulate, float *y, size_t y_stride);

  /* y[m][n] = bias[n] + total (total alone where bias is NULL); total = 0 + b(0) + b(1) + … over blocks of
   * PITH_SUM_BLOCK inputs, b = Σ x[m][k] * w[n][k] in order of k, starting from 0.
   * w: panels of [k][8] floats, panel p starting at w + p * panel_stride (floats); rows past n in the last panel are
   * readable. Also attention's two products: scores = q · keysᵀ (panels of 8 keys) and probabilities · values
   * (panels of 8 value columns). */
  void (*gemm_f32)(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride,
                   const float *bias, bool accumulate, float *y, size_t y_stride);

  /* Rows of k and v (stride floats apart) become the codes of `position` and those after it. */
  void (*remember)(size_t n_rows, size_t head_dim, size_t code_bytes, const float *k, const float *v, size_t stride, size_t position,
                   const pith_head_memory *memory);
  /* y = softmax(q · keysᵀ * scale) · values, each query for itself, over tiles of PITH_KEYS positions in order (Milakov and Gimelshein 2018;
   * Dao et al. 2022), powers by pith_exp2f, with q quantised as keys are in two bytes, and from m = -inf, l = 0, a[d] = 0:
   *   s[j] = ((float)(q codes · key codes[j]) * key_scale[j]) * (q_scale * (scale * PITH_LOG2_E))     for the tile's positions j < seen
   *   m' = max(m, s[j]…); f = 2^(m - m'); e[j] = 2^(s[j] - m'); l = l * f + 4-lane sum of e, those not seen being 0
   *   p[j] = e[j] * value_scale[j]; P = max p[j]; w[j] = round_half_even(p[j] * (PITH_MAX_WEIGHT / P)), all 0 where P < 2^-100
   *   a[d] = a[d] * f + (float)(Σ w[j] * value codes[j][d]) * (P / PITH_MAX_WEIGHT)
   * and y[d] = a[d] * (1 / l). Integer sums are exact. scratch: pith_attend_scratch() floats. */
  void (*attend)(const pith_queries *queries, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *scratch);

  /* Exact widening of finite halves. src needs only its own alignment. */
  void (*f16_to_f32)(size_t n, const uint16_t *src, float *dst);

  /* y = (x - mean) / sqrt(var + eps) * weight + bias; mean = 4-lane sum / n; var = 4-lane sum of (x - mean)² / n;
   * r = 1 / sqrt(var + eps); y = ((x - mean) * r) * weight + bias. In place allowed. Rows of `stride` floats. */
  void (*layer_norm)(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, const float *bias, float eps);
  /* r = 1 / sqrt(4-lane sum of x² / n + eps); y = (x * r) * weight. In place allowed. */
  void (*rms_norm)(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, float eps);

  /* y[i] += x[i] */
  void (*add)(size_t n, const float *x, float *y);
  /* e = exp((x - max of all n) * scale); y = e * (1 / 4-lane sum of e). In place, one row. scale > 0. */
  void (*softmax)(size_t n, float *x, float scale);
  /* 0.5 * x * (1 + erf(x * 0.70710678)) in place; the "gelu" of transformers */
  void (*gelu_erf)(size_t n, float *x);
  /* 0.5 * x * (1 + tanh(0.79788456 * (x + 0.044715 * x³))) in place; "gelu_new", "gelu_pytorch_tanh" */
  void (*gelu_tanh)(size_t n, float *x);
  /* gate = gate / (1 + exp(-gate)) * up */
  void (*silu_mul)(size_t n, float *gate, const float *up);
  void (*silu)(size_t n, float *x);
  void (*relu)(size_t n, float *x);
  /* Rotate-half RoPE on one head row: for i < half: a = x[i], b = x[i + half];
   * x[i] = a * cos[i] - b * sin[i]; x[i + half] = b * cos[i] + a * sin[i]. */
  void (*rope_half)(size_t half, float *x, const float *cos, const float *sin);
} pith_kernels;

/* NULL-terminated, slowest first; only those that this build and this processor run. */
const pith_kernels *const *pith_kernels_list(void);
/* The named one; NULL or "" or "auto": the fastest. NULL if there is no such variant here. */
const pith_kernels *pith_kernels_find(const char *name);

/* The elementary functions behind the table, scalar definitions (src/kernels/math.h has them inline for the scalar file
 * and src/kernels/math_simd128.h the same operations on four lanes). Bounds are tested against libm in double:
 * exp: relative error < 2e-7 on [-87, 88], 0 below -87.33, saturates above 88.3; erf, tanh: absolute error < 6e-7. */
float pith_expf(float x);
float pith_exp2f(float x);                 /* x <= 0: relative error < 4e-6; 0 below -64 */
float pith_erff(float x);
float pith_tanhf(float x);

/* Same bits on every build: made of +, -, *, / and sqrt in double. */
double pith_log(double x);                 /* x > 0, relative error < 1e-14 */
double pith_exp(double x);                 /* |x| < 700 */
void pith_sincos(double x, double *sin_x, double *cos_x);   /* |x| < 1e6, absolute error < 1e-13 */

/* Half precision, scalar, exact one way and round-half-even the other (overflow gives infinity). */
float pith_f16_to_f32(uint16_t h);
uint16_t pith_f32_to_f16(float f);
float pith_bf16_to_f32(uint16_t h);

#endif
