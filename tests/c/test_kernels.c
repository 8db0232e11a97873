/* kernels/: every variant against the scalar definition bit for bit, and the scalar products against sums in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

enum { M = 3, N = 11, K = 150, GROUP = 64, GROUPS = 3, QUADS = 38, PANELS = 2 };

static uint32_t random_state = 20261124;
static float uniform(void) {   /* [-1, 1) */
  random_state = random_state * 1664525u + 1013904223u;
  return (float)(random_state >> 8) * 0x1p-23f - 1.0f;
}

static void test_gemm_i8u7(void **state) {
  (void)state;
  static float x[M * K], w_scales[PANELS * GROUPS * 8], bias[N], y[M * (N + 2)];
  static uint8_t w[PANELS * QUADS * 32];
  static int16_t codes[QUADS * PITH_ROWS * PITH_QUAD];
  float scales[GROUPS * PITH_ROWS];
  int32_t offsets[GROUPS * PITH_ROWS];
  for (int i = 0; i < M * K; i++) x[i] = uniform();
  for (int i = 0; i < PANELS * QUADS * 32; i++) w[i] = (uint8_t)(64 + (int)(63 * uniform()));
  for (int i = 0; i < PANELS * GROUPS * 8; i++) w_scales[i] = 0.01f * (1.5f + uniform());
  for (int i = 0; i < N; i++) bias[i] = uniform();
  for (const pith_kernels *const *kernels = pith_kernels_list(); *kernels; kernels++) {
    const pith_activations a = {codes, scales, offsets, GROUPS};
    for (int i = 0; i < M * (N + 2); i++) y[i] = 12345.0f;
    (*kernels)->quantize_i8(M, K, GROUP, x, K, &a);
    (*kernels)->gemm_i8u7_f32(M, N, K, GROUP, &a, w, w_scales, bias, false, y, N + 2);
    for (int m = 0; m < M; m++) {
      for (int n = 0; n < N; n++) {
        double exact = (double)bias[n];
        for (int k = 0; k < K; k++)
          exact += (double)x[m * K + k] * (w[(n / 8 * QUADS + k / 4) * 32 + n % 8 * 4 + k % 4] - 64) *
                   (double)w_scales[(n / 8 * GROUPS + k / GROUP) * 8 + n % 8];
        assert_true(fabs((double)y[m * (N + 2) + n] - exact) < 0.06);   /* rounding of the activations: 1/254 each, random */
      }
      assert_true(y[m * (N + 2) + N] == 12345.0f && y[m * (N + 2) + N + 1] == 12345.0f);
    }
  }
}

/* The scalar definition of the u4 product against sums in double. */
static void test_gemm_i8u4(void **state) {
  (void)state;
  static float x[M * K], w_scales[PANELS * GROUPS * 16], y[M * N];
  static uint8_t w[PANELS * ((K + 7) / 8) * 32];
  static int8_t codes[QUADS * PITH_ROWS * PITH_QUAD];
  float scales[GROUPS * PITH_ROWS];
  int32_t offsets[GROUPS * PITH_ROWS];
  const pith_kernels *kernels = pith_kernels_find("scalar");
  const pith_activations a = {codes, scales, offsets, GROUPS};
  for (int i = 0; i < M * K; i++) x[i] = uniform();
  for (size_t i = 0; i < sizeof w; i++) w[i] = (uint8_t)(127.0f * (1.0f + uniform()));
  for (int i = 0; i < PANELS * GROUPS * 16; i++) w_scales[i] = i / 8 % 2 ? 0.5f * uniform() : 0.05f * (1.5f + uniform());
  kernels->quantize_i8(M, K, GROUP, x, K, &a);
  kernels->gemm_i8u4_f32(M, N, K, GROUP, &a, w, w_scales, NULL, false, y, N);
  for (int m = 0; m < M; m++)
    for (int n = 0; n < N; n++) {
      double exact = 0.0;
      for (int k = 0; k < K; k++) {
        const int both = w[(n / 8 * ((K + 7) / 8) + k / 8) * 32 + n % 8 * 4 + k % 4], code = k % 8 < 4 ? both & 15 : both >> 4;
        const int at = (n / 8 * GROUPS + k / GROUP) * 16 + n % 8;
        exact += (double)x[m * K + k] * (code * (double)w_scales[at] + (double)w_scales[at + 8]);
      }
      assert_true(fabs((double)y[m * N + n] - exact) < 0.06);
    }
}

static void test_gemm_f32(void **state) {
  (void)state;
  static float x[M * K], w[PANELS * K * 8], y[M * N];
  for (int i = 0; i < M * K; i++) x[i] = uniform();
  for (int i = 0; i < PANELS * K * 8; i++) w[i] = uniform();
  for (const pith_kernels *const *kernels = pith_kernels_list(); *kernels; kernels++) {
    (*kernels)->gemm_f32(M, N, K, x, K, w, K * 8, NULL, false, y, N);
    for (int m = 0; m < M; m++)
      for (int n = 0; n < N; n++) {
        double exact = 0.0;
        for (int k = 0; k < K; k++) exact += (double)x[m * K + k] * (double)w[(n / 8 * K + k) * 8 + n % 8];
        assert_true(fabs((double)y[m * N + n] - exact) < 2e-5);
      }
  }
}

static void test_rows(void **state) {
  (void)state;
  const pith_kernels *kernels = pith_kernels_find("auto");
  float x[13], y[13], one[13], zero[13] = {0};
  double sum = 0.0, squares = 0.0, total = 0.0;
  for (int i = 0; i < 13; i++) {
    x[i] = uniform();
    one[i] = 1.0f;
  }
  kernels->layer_norm(1, 13, x, y, 13, one, zero, 1e-12f);
  for (int i = 0; i < 13; i++) {
    sum += (double)y[i];
    squares += (double)y[i] * (double)y[i];
  }
  assert_true(fabs(sum) < 1e-5 && fabs(squares / 13 - 1) < 1e-5);
  kernels->rms_norm(1, 13, x, y, 13, one, 1e-12f);
  squares = 0.0;
  for (int i = 0; i < 13; i++) squares += (double)y[i] * (double)y[i];
  assert_true(fabs(squares / 13 - 1) < 1e-5);
  memcpy(y, x, sizeof y);
  kernels->softmax(13, y, 2.0f);
  for (int i = 0; i < 13; i++) total += (double)y[i];
  assert_true(fabs(total - 1) < 1e-6);
  assert_true(fabs((double)(y[0] / y[1]) - exp(2.0 * ((double)x[0] - (double)x[1]))) < 1e-5 * (double)(y[0] / y[1]));
}

/* Every variant against the scalar definition bit for bit: odd sizes, misaligned rows, extremes, canaries. */
enum { ROOM = 4096, CANARY = 0x5a };
static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 150, 200};
#define FOR_SIZES(n) for (size_t n##_i = 0, n; n##_i < sizeof sizes / sizeof *sizes && (n = sizes[n##_i], true); n##_i++)

typedef struct operands {
  float a[ROOM], b[ROOM], c[ROOM];
} operands;

static float odd_value(int kind) {
  static const float extremes[] = {0.0f, -0.0f, 1.0f, -1.0f, 88.0f, -88.5f, 1e-40f, -1e-39f, 3e38f, -3e38f, 1e-20f, 127.0f, 0.5f, 1.5f, 2.5f};
  random_state = random_state * 1664525u + 1013904223u;
  if (kind == 0) return uniform();
  if (kind == 1) return 12.0f * uniform();
  return extremes[(random_state >> 8) % (sizeof extremes / sizeof *extremes)];
}

static void fill_operands(operands *o, int kind) {
  for (int i = 0; i < ROOM; i++) {
    o->a[i] = odd_value(kind);
    o->b[i] = odd_value(kind == 2 ? 0 : kind);
    o->c[i] = odd_value(0);
  }
}

typedef void run_fn(const pith_kernels *k, size_t n, operands *o);
static void run_layer_norm(const pith_kernels *k, size_t n, operands *o) { k->layer_norm(3, n, o->a + 1, o->a + 1, n + 3, o->b + 1, o->c + 3, 1e-5f); }
static void run_rms_norm(const pith_kernels *k, size_t n, operands *o) { k->rms_norm(3, n, o->a + 1, o->a + 1, n + 3, o->b + 1, 1e-6f); }
static void run_add(const pith_kernels *k, size_t n, operands *o) { k->add(n, o->b + 1, o->a + 3); }
static void run_softmax(const pith_kernels *k, size_t n, operands *o) { k->softmax(n, o->a + 1, 0.17f); }
static void run_gelu_erf(const pith_kernels *k, size_t n, operands *o) { k->gelu_erf(n, o->a + 1); }
static void run_gelu_tanh(const pith_kernels *k, size_t n, operands *o) { k->gelu_tanh(n, o->a + 1); }
static void run_silu(const pith_kernels *k, size_t n, operands *o) { k->silu(n, o->a + 1); }
static void run_silu_mul(const pith_kernels *k, size_t n, operands *o) { k->silu_mul(n, o->a + 1, o->b + 1); }
static void run_relu(const pith_kernels *k, size_t n, operands *o) { k->relu(n, o->a + 1); }
static void run_rope(const pith_kernels *k, size_t n, operands *o) { k->rope_half(n, o->a + 1, o->b + 1, o->c + 1); }

static bool same_bits(const float *x, const float *y, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (memcmp(&x[i], &y[i], sizeof *x) != 0 && !(x[i] != x[i] && y[i] != y[i])) return false;   /* any NaN is any NaN */
  return true;
}

static void test_rows_bit_for_bit(void **state) {
  (void)state;
  static const struct {
    const char *name;
    run_fn *run;
  } functions[] = {{"layer_norm", run_layer_norm}, {"rms_norm", run_rms_norm}, {"add", run_add},   {"softmax", run_softmax}, {"gelu_erf", run_gelu_erf},
                   {"gelu_tanh", run_gelu_tanh},   {"silu", run_silu},         {"silu_mul", run_silu_mul}, {"relu", run_relu}, {"rope_half", run_rope}};
  static operands input, expected, got;
  const pith_kernels *scalar = pith_kernels_find("scalar");
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++)
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
      for (int kind = 0; kind < 3; kind++) FOR_SIZES(n) {
          fill_operands(&input, kind);
          expected = got = input;
          functions[f].run(scalar, n, &expected);
          functions[f].run(*k, n, &got);
          if (!same_bits(expected.a, got.a, ROOM)) fail_msg("%s of %s differs: n %zu, kind %d", functions[f].name, (*k)->name, n, kind);
        }
}

static int code_of(const pith_kernels *k, const void *codes, size_t i) {
  return k->act_elem_bytes == 2 ? ((const int16_t *)codes)[i] : ((const int8_t *)codes)[i];
}

/* The rows' codes agree, and what belongs to no row is as it was. */
static bool same_codes(const pith_kernels *ka, const void *a, const pith_kernels *kb, const void *b, size_t rows, size_t depth) {
  const size_t n_quads = (depth + PITH_QUAD - 1) / PITH_QUAD;
  for (size_t i = 0; i < 12 * 200; i++) {
    const size_t row = i / (n_quads * PITH_ROWS * PITH_QUAD) * PITH_ROWS + i / PITH_QUAD % PITH_ROWS;
    const int untouched_a = ka->act_elem_bytes == 2 ? CANARY * 0x101 : CANARY, untouched_b = kb->act_elem_bytes == 2 ? CANARY * 0x101 : CANARY;
    const int va = code_of(ka, a, i), vb = code_of(kb, b, i);
    if (row < rows ? va != vb : va != untouched_a || vb != untouched_b) return false;
  }
  return true;
}

/* What products are added to: n columns of some rows of 64, canaries beside them. */
static float residual_at(size_t i) { return (float)(i % 37) * 0.37f - 5.0f; }

static void fill_residual(float *z, size_t rows, size_t n) {
  memset(z, CANARY, 9 * 64 * sizeof *z);
  for (size_t i = 0; i < rows * 64; i++)
    if (i % 64 < n) z[i] = residual_at(i);
}

/* An accumulating product has added what the plain one gave, and nothing else has changed. */
static bool is_added(const float *z, const float *y, size_t rows, size_t n) {
  float expected[9 * 64];
  fill_residual(expected, rows, n);
  for (size_t i = 0; i < rows * 64; i++)
    if (i % 64 < n) expected[i] += y[i];
  return memcmp(expected, z, sizeof expected) == 0;
}

/* Codes of four bits in every value, out of those of seven. */
static void test_u4(const pith_kernels *scalar, const pith_kernels *k, size_t rows, size_t n, size_t depth, size_t group, const float *x, const uint8_t *w,
                    const float *w_scales, const float *bias) {
  static float y[2][9 * 64], z[9 * 64], scales[12 * 8];
  static uint8_t w4[8 * 50 * 32];
  static int16_t codes[12 * 200];
  static int32_t offsets[12 * 8];
  for (size_t i = 0; i < sizeof w4; i++) w4[i] = (uint8_t)(2 * w[i] + i % 2);
  for (int v = 0; v < 2; v++) {
    const pith_activations a = {codes, scales, offsets, (depth + group - 1) / group};
    const pith_kernels *kernels = v ? k : scalar;
    memset(y[v], CANARY, sizeof y[v]);
    kernels->quantize_i8(rows, depth, group, x, 200, &a);
    kernels->gemm_i8u4_f32(rows, n, depth, group, &a, w4, w_scales, n % 2 ? bias : NULL, false, y[v], 64);
    fill_residual(z, rows, n);
    kernels->gemm_i8u4_f32(rows, n, depth, group, &a, w4, w_scales, n % 2 ? bias : NULL, true, z, 64);
    if (!is_added(z, y[v], rows, n)) fail_msg("the u4 product of %s does not add: k %zu, group %zu, rows %zu, n %zu", kernels->name, depth, group, rows, n);
  }
  if (!same_bits(y[0], y[1], 9 * 64)) fail_msg("the u4 product of %s differs: k %zu, group %zu, rows %zu, n %zu", k->name, depth, group, rows, n);
}

/* Which blocks are there: by panel none, some or all of them, and none of some groups. */
static bool block_is_there(size_t panel, size_t quad, size_t quads_per_group) {
  switch (panel % 4) {
    case 0: return (quad * 5 + quad / 3) % 4 < 2 && quad / quads_per_group % 3 != 1;
    case 1: return true;
    case 2: return quad % 7 == 3;
    default: return false;
  }
}

/* The sparse product has the bits of the dense product in which absent blocks hold the zero point; of every variant, and scalar. */
static void test_sparse(const pith_kernels *k, size_t shift, size_t rows, size_t n, size_t depth, size_t group, const float *x, const uint8_t *w,
                        const float *w_scales, const float *bias) {
  static float y[3][9 * 64], z[9 * 64], scales[12 * 8];
  static uint8_t dense[8 * 50 * PITH_BLOCK], blocks[8 * 50 * PITH_BLOCK];
  static uint16_t quads[8 * 50];
  static uint32_t starts[8 * 8 + 1];
  static int16_t codes[12 * 200];
  static int32_t offsets[12 * 8];
  const size_t n_quads = (depth + 3) / 4, panels = (n + 7) / 8, n_groups = (depth + group - 1) / group;
  const pith_kernels *const kernels[] = {k, k, pith_kernels_find("scalar")};
  uint32_t n_blocks = 0;
  for (size_t panel = 0; panel < panels; panel++)
    for (size_t q = 0; q < n_quads; q++) {
      const size_t at = (panel * n_quads + q) * PITH_BLOCK;
      const bool there = block_is_there(panel + shift, q, group / 4);
      if (q % (group / 4) == 0) starts[panel * n_groups + q / (group / 4)] = n_blocks;
      for (size_t i = 0; i < PITH_BLOCK; i++) dense[at + i] = there ? w[at + i] : PITH_U7_ZERO;
      if (!there) continue;
      quads[n_blocks] = (uint16_t)q;
      memcpy(blocks + PITH_BLOCK * (size_t)n_blocks++, w + at, PITH_BLOCK);
    }
  starts[panels * n_groups] = n_blocks;
  const pith_activations a = {codes, scales, offsets, n_groups};
  const pith_sparse_panels sparse = {blocks, quads, starts};
  memset(y, CANARY, sizeof y);
  for (int v = 0; v < 3; v++) {
    memset(codes, CANARY, sizeof codes);   /* rows that a block lacks are read */
    kernels[v]->quantize_i8(rows, depth, group, x, 200, &a);
    if (v == 0) kernels[v]->gemm_i8u7_f32(rows, n, depth, group, &a, dense, w_scales, n % 2 ? bias : NULL, false, y[v], 64);
    else kernels[v]->gemm_i8u7_sparse_f32(rows, n, depth, group, &a, &sparse, w_scales, n % 2 ? bias : NULL, false, y[v], 64);
    fill_residual(z, rows, n);
    kernels[v]->gemm_i8u7_sparse_f32(rows, n, depth, group, &a, &sparse, w_scales, n % 2 ? bias : NULL, true, z, 64);
    if (!is_added(z, y[v], rows, n)) fail_msg("the sparse product of %s does not add: k %zu, group %zu, rows %zu, n %zu", kernels[v]->name, depth, group, rows, n);
    if (!same_bits(y[0], y[v], 9 * 64)) fail_msg("the sparse product of %s differs: k %zu, group %zu, rows %zu, n %zu", kernels[v]->name, depth, group, rows, n);
  }
}

static void test_products_bit_for_bit(void **state) {
  (void)state;
  static float x[9 * 200], w_scales[32 * 8 * 8], wf[32 * 200 * 8], bias[64], y[2][9 * 64], z[9 * 64];
  static uint8_t w[8 * 50 * 32];
  static int16_t codes[2][12 * 200];
  static float scales[2][12 * 8];
  static int32_t offsets[2][12 * 8];
  static const size_t groups[] = {32, 64, 128, 200};
  const pith_kernels *scalar = pith_kernels_find("scalar");
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++)
    for (int extreme = 0; extreme < 2; extreme++) {
      for (int i = 0; i < 9 * 200; i++) x[i] = extreme ? odd_value(2) : uniform();
      for (size_t i = 0; i < sizeof w; i++) w[i] = extreme ? (i % 3 ? 127 : 0) : (uint8_t)(64 + (int)(63 * uniform()));
      for (int i = 0; i < 32 * 8 * 8; i++) w_scales[i] = uniform();
      for (int i = 0; i < 32 * 200 * 8; i++) wf[i] = uniform();
      for (int i = 0; i < 64; i++) bias[i] = uniform();
      FOR_SIZES(depth) for (size_t g = 0; g < 4; g++) for (size_t rows = 1; rows < 10; rows += 2) for (size_t n = 1; n < 20; n += 3) {
            for (int v = 0; v < 2; v++) {
              const pith_kernels *kernels = v ? *k : scalar;
              const pith_activations a = {codes[v], scales[v], offsets[v], (depth + groups[g] - 1) / groups[g]};
              memset(y[v], CANARY, sizeof y[v]);
              memset(codes[v], CANARY, sizeof codes[v]);
              memset(scales[v], CANARY, sizeof scales[v]);
              memset(offsets[v], CANARY, sizeof offsets[v]);
              kernels->quantize_i8(rows, depth, groups[g], x, 200, &a);
              kernels->gemm_i8u7_f32(rows, n, depth, groups[g], &a, w, w_scales, n % 2 ? bias : NULL, false, y[v], 64);
              fill_residual(z, rows, n);
              kernels->gemm_i8u7_f32(rows, n, depth, groups[g], &a, w, w_scales, n % 2 ? bias : NULL, true, z, 64);
              if (!is_added(z, y[v], rows, n)) fail_msg("the u7 product of %s does not add: k %zu, group %zu, rows %zu, n %zu", kernels->name, depth, groups[g], rows, n);
              if (g > 0) continue;
              kernels->gemm_f32(rows, n, depth, x, 200, wf, 200 * 8, n % 2 ? bias : NULL, false, y[v] + 32, 64);
              fill_residual(z, rows, n);
              kernels->gemm_f32(rows, n, depth, x, 200, wf, 200 * 8, n % 2 ? bias : NULL, true, z, 64);
              if (!is_added(z, y[v] + 32, rows, n)) fail_msg("the f32 product of %s does not add: k %zu, rows %zu, n %zu", kernels->name, depth, rows, n);
            }
            for (size_t shift = 0; shift < 4; shift++) test_sparse(*k, shift, rows, n, depth, groups[g], x, w, w_scales, bias);
            if (groups[g] % 8 == 0) test_u4(scalar, *k, rows, n, depth, groups[g], x, w, w_scales, bias);
            if (!same_codes(scalar, codes[0], *k, codes[1], rows, depth) || memcmp(scales[0], scales[1], sizeof scales[0]) != 0 ||
                memcmp(offsets[0], offsets[1], sizeof offsets[0]) != 0)
              fail_msg("quantize_i8 of %s differs: k %zu, group %zu", (*k)->name, depth, groups[g]);
            if (!same_bits(y[0], y[1], 9 * 64)) fail_msg("a product of %s differs: k %zu, group %zu, rows %zu, n %zu", (*k)->name, depth, groups[g], rows, n);
          }
    }
}

/* --- attention by integer products --- */

enum { POSITIONS = 200, ROUNDED = 256, WIDEST = 80 };
typedef struct head_buffers {
  int16_t keys[ROUNDED * WIDEST + 8], values[ROUNDED * WIDEST + 8];
  float key_scales[ROUNDED + 1], value_scales[ROUNDED + 1];
} head_buffers;

static void fill_head(float *k, float *v, int kind) {
  for (int i = 0; i < POSITIONS * WIDEST; i++) {
    k[i] = odd_value(kind);
    v[i] = odd_value(kind);
  }
}

/* In two chunks, at an odd position, as a cache is filled; then queries of all counts, each seeing less than the next. */
static void run_attention(const pith_kernels *kernels, size_t head_dim, size_t code_bytes, size_t n_positions, const float *k, const float *v, const float *q,
                          head_buffers *b, float *y) {
  static float scratch[4 * (WIDEST / 2 + WIDEST) + PITH_KEYS * WIDEST + 1];
  const pith_head_memory memory = {b->keys, b->values, b->key_scales, b->value_scales};
  const size_t chunk = n_positions > 37 ? 37 : n_positions;
  memset(b, CANARY, sizeof *b);
  memset(b->value_scales, 0, sizeof b->value_scales);
  memset(scratch, CANARY, sizeof scratch);
  kernels->remember(chunk, head_dim, code_bytes, k, v, WIDEST, 0, &memory);
  kernels->remember(n_positions - chunk, head_dim, code_bytes, k + chunk * WIDEST, v + chunk * WIDEST, WIDEST, chunk, &memory);
  for (size_t n = 1; n <= PITH_ROWS; n++) {
    pith_queries queries = {.n = n};
    for (size_t i = 0; i < n; i++) {
      queries.q[i] = q + i * WIDEST + 1;
      queries.y[i] = y + (n * PITH_ROWS + i) * (WIDEST + 1);
      queries.seen[i] = n_positions > n - 1 - i ? n_positions - (n - 1 - i) : 1;
    }
    kernels->attend(&queries, head_dim, code_bytes, &memory, 0.31f, scratch);
  }
  float canary;
  memset(&canary, CANARY, sizeof canary);
  assert_memory_equal(&scratch[pith_attend_scratch(head_dim, code_bytes)], &canary, sizeof canary);
}

static bool same_memory(const head_buffers *a, const head_buffers *b, size_t head_dim, size_t code_bytes, size_t n) {
  for (size_t p = 0; p < n; p++)
    for (size_t d = 0; d < (head_dim + 7) / 8 * 8; d++) {
      const size_t pairs = (head_dim + 1) / 2, key = (p / 8 * pairs + d / 2) * 16 + p % 8 * 2 + d % 2;
      const size_t value = ((p / 64 * ((head_dim + 7) / 8) + d / 8) * 32 + p % 64 / 2) * 16 + d % 8 * 2 + p % 2;
      if (d < 2 * pairs && memcmp((const char *)a->keys + key * code_bytes, (const char *)b->keys + key * code_bytes, code_bytes) != 0) return false;
      if (memcmp((const char *)a->values + value * code_bytes, (const char *)b->values + value * code_bytes, code_bytes) != 0) return false;
    }
  return memcmp(a->key_scales, b->key_scales, sizeof a->key_scales) == 0 && memcmp(a->value_scales, b->value_scales, sizeof a->value_scales) == 0 &&
         memcmp((const char *)a->keys + ROUNDED * WIDEST * 2, (const char *)b->keys + ROUNDED * WIDEST * 2, 16) == 0;
}

static void test_attention_bit_for_bit(void **state) {
  (void)state;
  static const size_t widths[] = {1, 2, 5, 8, 13, 16, 32, 48, 64, 79, 80}, counts[] = {1, 2, 7, 8, 9, 33, 63, 64, 65, 128, 131, 200};
  static float k[POSITIONS * WIDEST], v[POSITIONS * WIDEST], q[PITH_ROWS * WIDEST + 1], y[2][5 * PITH_ROWS * (WIDEST + 1)];
  static head_buffers memories[2];
  const pith_kernels *scalar = pith_kernels_find("scalar");
  for (int kind = 0; kind < 3; kind++) {
    fill_head(k, v, kind);
    for (int i = 0; i < PITH_ROWS * WIDEST + 1; i++) q[i] = odd_value(kind);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) for (size_t bytes = 1; bytes < 3; bytes++) {
          memset(y, CANARY, sizeof y);
          run_attention(scalar, widths[w], bytes, counts[c], k, v, q, &memories[0], y[0]);
          for (const pith_kernels *const *other = pith_kernels_list() + 1; *other; other++) {
            memset(y[1], CANARY, sizeof y[1]);
            run_attention(*other, widths[w], bytes, counts[c], k, v, q, &memories[1], y[1]);
            if (!same_memory(&memories[0], &memories[1], widths[w], bytes, counts[c]))
              fail_msg("remember of %s differs: width %zu, %zu positions, %zu bytes", (*other)->name, widths[w], counts[c], bytes);
            if (!same_bits(y[0], y[1], sizeof y[0] / sizeof(float)))
              fail_msg("attend of %s differs: width %zu, %zu positions, %zu bytes, kind %d", (*other)->name, widths[w], counts[c], bytes, kind);
          }
        }
  }
}

/* The definition against softmax in double. */
static void test_attention(void **state) {
  (void)state;
  enum { HEAD = 32 };
  static float k[POSITIONS * WIDEST], v[POSITIONS * WIDEST], q[PITH_ROWS * WIDEST + 1], y[5 * PITH_ROWS * (WIDEST + 1)];
  static head_buffers memory;
  fill_head(k, v, 0);
  for (int i = 0; i < PITH_ROWS * WIDEST + 1; i++) q[i] = 4.0f * uniform();
  for (size_t bytes = 1; bytes < 3; bytes++) {
    run_attention(pith_kernels_find("scalar"), HEAD, bytes, POSITIONS, k, v, q, &memory, y);
    for (int d = 0; d < HEAD; d++) {
      double total = 0.0, sum = 0.0;
      for (int j = 0; j < POSITIONS; j++) {
        double score = 0.0;
        for (int i = 0; i < HEAD; i++) score += (double)q[3 * WIDEST + 1 + i] * (double)k[j * WIDEST + i];
        const double e = exp(score * 0.31);
        total += e;
        sum += e * (double)v[j * WIDEST + d];
      }
      const double error = fabs((double)y[(4 * PITH_ROWS + 3) * (WIDEST + 1) + d] - sum / total);
      if (error > (bytes == 1 ? 1e-2 : 3e-4)) fail_msg("attention with %zu bytes is %g off", bytes, error);
    }
  }
  assert_int_equal(pith_key_limit(32), 8191);
  assert_int_equal(pith_key_limit(64), 5792);
  assert_int_equal(pith_key_limit(128), 4095);
  for (size_t width = 1; width <= PITH_MAX_HEAD_DIM; width++)
    assert_true((uint64_t)pith_key_limit(width) * (uint64_t)pith_key_limit(width) * width < (1u << 31));
  assert_true((uint64_t)PITH_KEYS * PITH_MAX_WEIGHT * PITH_MAX_CODE < (1u << 31));
}

static void test_half_bit_for_bit(void **state) {
  (void)state;
  static uint16_t all[65536 + 3];
  static float got[65536 + 3];
  for (uint32_t i = 0; i < 65536; i++) all[i + 1] = (uint16_t)i;
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++) {
    (*k)->f16_to_f32(65535, all + 1, got + 1);
    for (uint32_t i = 0; i < 65535; i++) {
      if ((i & 0x7c00) == 0x7c00) continue;   /* not finite */
      const float expected = pith_f16_to_f32((uint16_t)i);
      if (!same_bits(&expected, &got[i + 1], 1)) fail_msg("f16 %04x differs in %s", (unsigned)i, (*k)->name);
    }
  }
}

static void test_u4_scales_bit_for_bit(void **state) {
  (void)state;
  enum { GROUPS_OF_U4 = 13 };
  static uint8_t src[1 + GROUPS_OF_U4 * PITH_U4_GROUP_BYTES];
  static float expected[GROUPS_OF_U4 * 16], got[GROUPS_OF_U4 * 16];
  for (size_t i = 0; i < sizeof src; i++) {
    random_state = random_state * 1664525u + 1013904223u;
    src[i] = (uint8_t)(random_state >> 24);
    if (i % 2 == 0) src[i] &= 0xbb;   /* the halves' upper bytes: finite */
  }
  pith_kernels_find("scalar")->u4_scales(GROUPS_OF_U4, src + 1, expected);
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++) {
    (*k)->u4_scales(GROUPS_OF_U4, src + 1, got);
    if (!same_bits(expected, got, GROUPS_OF_U4 * 16)) fail_msg("u4_scales of %s differs", (*k)->name);
  }
  const float scale = pith_f16_to_f32((uint16_t)(src[1] | src[2] << 8));
  assert_true(same_bits(&scale, &expected[0], 1));
  assert_true(expected[8] == -(float)(src[17] & 15) * scale && expected[12] == -(float)(src[17] >> 4) * expected[4]);
}

static void test_find(void **state) {
  (void)state;
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++) print_message("variant: %s\n", (*k)->name);   /* a lane that lacks one shows it */
  assert_string_equal(pith_kernels_find("scalar")->name, "scalar");
  assert_non_null(pith_kernels_find(NULL));
  assert_ptr_equal(pith_kernels_find(""), pith_kernels_find("auto"));
  assert_null(pith_kernels_find("avx1024"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gemm_i8u7), cmocka_unit_test(test_gemm_i8u4), cmocka_unit_test(test_gemm_f32), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_rows_bit_for_bit), cmocka_unit_test(test_products_bit_for_bit),
                                     cmocka_unit_test(test_attention_bit_for_bit), cmocka_unit_test(test_attention), cmocka_unit_test(test_half_bit_for_bit), cmocka_unit_test(test_u4_scales_bit_for_bit), cmocka_unit_test(test_find)};
  return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
