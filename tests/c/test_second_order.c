/* compress/second_order and the rounding that minds it: the factor against a plain inverse, and never a larger objective than the nearest. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compress/quantize.h"
#include "compress/second_order.h"
#include "model/model.h"
#include "stdio_host.h"

enum { N = 75, ROWS = 5, TOKENS = 300 };

static uint32_t random_state = 7;
static float uniform(void) {   /* [-1, 1) */
  random_state = random_state * 1664525u + 1013904223u;
  return (float)(random_state >> 8) * 0x1p-23f - 1.0f;
}

/* Inputs that depend on each other, as a layer's do. */
static void fill_inputs(float *x, size_t rank) {
  static float basis[N * N];
  for (size_t i = 0; i < N * N; i++) basis[i] = uniform();
  for (int t = 0; t < TOKENS; t++) {
    for (int k = 0; k < N; k++) x[t * N + k] = rank < N ? 0.0f : 0.3f * uniform();
    for (size_t r = 0; r < rank && r < 20; r++) {
      const float f = uniform();
      for (size_t k = 0; k < N; k++) x[t * N + (int)k] += f * basis[r * N + k];
    }
  }
}

typedef struct factored {
  pith_ctx ctx;
  pith_moments moments;
  float u[N * N];
  double sums[N * N];        /* before they were ordered and factored, both triangles */
  uint32_t order[N];
} factored;

enum { ERRORS = 11 };

/* errors: (TOKENS, ERRORS), or NULL. What they ask for is then left in the moments, and what they were in `asked`. */
static pith_status factor_aimed(factored *f, const float *x, const float *errors, double *asked, double damping, bool ordered) {
  pith_second_order s;
  pith_ctx_init(&f->ctx, &stdio_host, NULL);
  assert_int_equal(pith_moments_init(&f->ctx, &f->moments, N, errors ? ERRORS : 0), PITH_OK);
  while (!pith_moments_add(&f->ctx, pith_kernels_find("auto"), &f->moments, 100, x, N, errors, NULL)) continue;
  while (!pith_moments_add(&f->ctx, pith_kernels_find("auto"), &f->moments, TOKENS - 100, x + 100 * N, N, errors ? errors + 100 * ERRORS : NULL, NULL)) continue;
  if (errors) memcpy(asked, f->moments.errors, ERRORS * N * sizeof *asked);
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j++) f->sums[i * N + j] = f->moments.sums[i > j ? i * N + j : j * N + i];
  if (ordered) assert_int_equal(pith_moments_order(&f->ctx, &f->moments, f->order), PITH_OK);
  pith_status status = pith_second_order_begin(&f->ctx, &s, &f->moments, damping, f->u);
  while (status == PITH_OK || status == PITH_PENDING) {
    status = pith_second_order_step(&f->ctx, &s);
    if (status == PITH_OK) break;
  }
  while (status == PITH_OK && pith_second_order_solve(&f->ctx, &s, ordered ? f->order : NULL) == PITH_PENDING) continue;
  pith_second_order_free(&f->ctx, &s);
  return status;
}

static pith_status factor(factored *f, const float *x, double damping, bool ordered) { return factor_aimed(f, x, NULL, NULL, damping, ordered); }

static void release(factored *f) { pith_moments_free(&f->ctx, &f->moments); }

/* Wide inputs are summed in several steps, every one of them once. */
static void test_wide_moments(void **state) {
  (void)state;
  enum { WIDE = 1507, WIDE_ROWS = 200, WIDE_ERRORS = 9 };
  static float x[WIDE_ROWS * WIDE], errors[WIDE_ROWS * WIDE_ERRORS];
  pith_ctx ctx;
  pith_moments m;
  int n_pauses = 0;
  for (int i = 0; i < WIDE_ROWS * WIDE; i++) x[i] = uniform();
  for (int i = 0; i < WIDE_ROWS * WIDE_ERRORS; i++) errors[i] = uniform();
  pith_ctx_init(&ctx, &stdio_host, NULL);
  assert_int_equal(pith_moments_init(&ctx, &m, WIDE, WIDE_ERRORS), PITH_OK);
  for (uint64_t round = 1; round <= 2; round++) {
    for (; !pith_moments_add(&ctx, pith_kernels_find("auto"), &m, WIDE_ROWS, x, WIDE, errors, NULL); n_pauses++) assert_true(m.n_rows == (round - 1) * WIDE_ROWS);
    assert_true(m.n_rows == round * WIDE_ROWS);
  }
  assert_true(n_pauses >= 2);
  for (size_t i = 0; i < WIDE; i += 7)
    for (size_t j = 0; j <= i; j += 11) {
      double sum = 0.0;
      for (size_t t = 0; t < WIDE_ROWS; t++) sum += 2.0 * (double)x[t * WIDE + i] * (double)x[t * WIDE + j];
      assert_true(fabs(sum - m.sums[i * WIDE + j]) < 1e-3);
    }
  for (size_t i = 0; i < WIDE_ERRORS; i++)
    for (size_t j = 0; j < WIDE; j++) {
      double sum = 0.0;
      for (size_t t = 0; t < WIDE_ROWS; t++) sum += 2.0 * (double)errors[t * WIDE_ERRORS + i] * (double)x[t * WIDE + j];
      assert_true(fabs(sum - m.errors[i * WIDE + j]) < 1e-3);
    }
  pith_moments_free(&ctx, &m);
}

static void test_moments(void **state) {
  (void)state;
  static float x[TOKENS * N];
  static factored f;
  fill_inputs(x, N);
  assert_int_equal(factor(&f, x, 0.01, false), PITH_OK);
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j <= i; j++) {
      double sum = 0.0;
      for (size_t t = 0; t < TOKENS; t++) sum += (double)x[t * N + i] * (double)x[t * N + j];
      assert_true(fabs(sum - f.sums[i * N + j]) < 1e-3);
    }
  release(&f);
}

/* (H + damping) Uᵀ U = 1 */
static void test_factor(void **state) {
  (void)state;
  static float x[TOKENS * N];
  static factored f;
  static double product[N * N];
  fill_inputs(x, N);
  assert_int_equal(factor(&f, x, 0.01, false), PITH_OK);
  double trace = 0.0;
  for (size_t i = 0; i < N; i++) trace += f.sums[i * N + i];
  for (size_t i = 0; i < N; i++) f.sums[i * N + i] += 0.01 * trace / N;
  for (size_t i = 0; i < N; i++)      /* H⁻¹[i][j] = Σ U[k][i] U[k][j] over k <= min(i, j) */
    for (size_t j = 0; j < N; j++)
      for (size_t k = 0; k <= i && k <= j; k++) {
        const double diagonal = 1.0 / f.moments.sums[k * N + k];
        product[i * N + j] += (double)f.u[k * N + i] * (double)f.u[k * N + j] * diagonal * diagonal;
      }
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j++) {
      double sum = 0.0;
      for (size_t k = 0; k < N; k++) sum += f.sums[i * N + k] * product[k * N + j];
      assert_true(fabs(sum - (i == j ? 1.0 : 0.0)) < 1e-4);
    }
  release(&f);
}

/* Each column once, the larger sums of squares first, equal ones as they lie; the sums follow. */
static void test_order(void **state) {
  (void)state;
  static float x[TOKENS * N];
  static factored f;
  fill_inputs(x, N);
  for (int t = 0; t < TOKENS; t++) x[t * N + 30] = x[t * N + 12];
  pith_ctx_init(&f.ctx, &stdio_host, NULL);
  assert_int_equal(pith_moments_init(&f.ctx, &f.moments, N, 0), PITH_OK);
  pith_moments_add(&f.ctx, pith_kernels_find("auto"), &f.moments, TOKENS, x, N, NULL, NULL);
  memcpy(f.sums, f.moments.sums, sizeof f.sums);
  assert_int_equal(pith_moments_order(&f.ctx, &f.moments, f.order), PITH_OK);
  bool seen[N] = {false};
  for (size_t i = 0; i < N; i++) {
    const size_t a = f.order[i];
    if (a >= N || seen[a]) {
      fail_msg("column %zu", a);
      return;
    }
    seen[a] = true;
    assert_true(a != 30 || (i > 0 && f.order[i - 1] == 12));
    for (size_t j = 0; j <= i; j++) {
      const size_t b = f.order[j];
      assert_true(f.moments.sums[i * N + j] == f.sums[a > b ? a * N + b : b * N + a]);
    }
    assert_true(i == 0 || f.moments.sums[i * N + i] <= f.moments.sums[(i - 1) * N + i - 1]);
  }
  release(&f);
}

static double objective(const factored *f, const float *w, const pith_matrix *m, uint32_t row) {
  float got[N];
  double total = 0.0;
  pith_matrix_row(m, row, got);
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j++) total += (double)(w[row * N + i] - got[i]) * f->sums[i * N + j] * (double)(w[row * N + j] - got[j]);
  return total;
}

/* By encoding, in both orders, and by what the inputs are: full rank, of rank five, none at all, a column that is always zero. */
static void test_never_worse_than_nearest(void **state) {
  (void)state;
  static const pith_encoding encodings[] = {PITH_ENC_U7, PITH_ENC_U4, PITH_ENC_U4_MIN};
  static float x[TOKENS * N], w[ROWS * N], scratch[2 * 8 * N];
  static pith_grid grids[(N + 31) / 32 * 8];
  static factored f;
  for (int way = 0; way < 8; way++) {
    const int kind = way / 2;
    const bool ordered = way % 2 != 0;
    fill_inputs(x, kind == 1 ? 5 : kind == 2 ? 0 : N);
    for (int t = 0; t < TOKENS && kind == 3; t++) x[t * N + 11] = 0.0f;
    assert_int_equal(factor(&f, x, 0.01, ordered), PITH_OK);
    double trace = 0.0;
    for (size_t i = 0; i < N; i++) trace += f.sums[i * N + i];
    for (size_t i = 0; i < N; i++) f.sums[i * N + i] += f.sums[i * N + i] == 0.0 ? (trace > 0.0 ? trace / N : 1.0) : 0.01 * trace / N;
    for (size_t e = 0; e < 3; e++) {
      uint8_t codes[2][20 * 32];
      uint16_t scales[2][3 * 16];
      double totals[2] = {0.0, 0.0};
      const pith_rounding rounding = {N, ordered ? f.order : NULL, f.u, f.moments.sums, NULL, NULL, scratch, grids};
      for (int i = 0; i < ROWS * N; i++) w[i] = 0.1f * uniform();
      for (int second = 0; second < 2; second++) {
        const pith_rounding *r = second ? &rounding : NULL;
        pith_part part = {.n_rows = ROWS, .codes = codes[second], .scales = scales[second]};
        const pith_matrix m = {encodings[e], PITH_F16, ROWS, N, 32, 1, &part};
        if (e == 0) pith_quantize_u7_panel(ROWS, N, 32, 63, w, PITH_F16, codes[second], scales[second], r, NULL);
        else if (e == 1) assert_true(pith_quantize_u4_panel(ROWS, N, 32, w, codes[second], (uint8_t *)scales[second], r));
        else assert_true(pith_quantize_u4_min_panel(ROWS, N, 32, w, codes[second], scales[second], r));
        assert_null(pith_matrix_fault(&m, &part));
        for (uint32_t row = 0; row < ROWS; row++) totals[second] += objective(&f, w, &m, row);
      }
      if (totals[1] > totals[0] * (1.0 + 1e-5)) fail_msg("kind %d, %s: %g after %g", kind, pith_encoding_name(encodings[e]), totals[1], totals[0]);
      if (kind == 0 && totals[1] > 0.8 * totals[0]) fail_msg("%s gains little: %g after %g", pith_encoding_name(encodings[e]), totals[1], totals[0]);
      if (kind == 2) assert_memory_equal(codes[0], codes[1], (e == 0 ? 19 : 10) * 32);
    }
    release(&f);
  }
}

static void add_damping(factored *f) {
  double trace = 0.0;
  for (size_t i = 0; i < N; i++) trace += f->sums[i * N + i];
  for (size_t i = 0; i < N; i++) f->sums[i * N + i] += f->sums[i * N + i] == 0.0 ? (trace > 0.0 ? trace / N : 1.0) : 0.01 * trace / N;
}

/* Weights that are chosen by second order, against the same number chosen by magnitude and rounded to the nearest: by form and by what the inputs
 * are. A row's objective, or of blocks a panel's, is never larger. */
static void test_dropping(void **state) {
  (void)state;
  static const struct { pith_sparsity_form form; double fraction; uint32_t group; int levels; } ways[] = {
      {PITH_SPARSITY_UNSTRUCTURED, 0.5, 32, 63}, {PITH_SPARSITY_UNSTRUCTURED, 0.9, 76, 63}, {PITH_SPARSITY_2OF4, 0, 32, 63}, {PITH_SPARSITY_BLOCK, 0.5, 32, 63}, {PITH_SPARSITY_BLOCK, 0.25, 64, 15}};
  static float x[TOKENS * N], w[ROWS * N], copy[ROWS * N], scratch[2 * 8 * N], scores[N], squares[2][N];
  static uint8_t dropped[8 * N];
  static factored f;
  double gained = 0.0, sums[3] = {0};
  for (int kind = 0; kind < 5; kind++) {
    fill_inputs(x, kind == 1 ? 5 : kind == 2 ? 0 : N);
    for (int t = 0; t < TOKENS && kind == 3; t++) x[t * N + 11] = 0.0f;
    for (int i = 0; i < TOKENS * N && kind == 4; i++) x[i] = i % N % 5 == 0 || i % N / 4 % 4 == 0 ? 3.0f * uniform() : 0.1f * uniform();
    assert_int_equal(factor(&f, x, 0.01, false), PITH_OK);
    for (size_t k = 0; k < N; k++) {
      squares[0][k] = (float)f.sums[k * N + k];
      squares[1][k] = (float)(f.moments.sums[k * N + k] * f.moments.sums[k * N + k]);
    }
    add_damping(&f);
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
      const pith_rounding rounding = {N, NULL, f.u, f.moments.sums, squares[0], squares[1], scratch, NULL};
      static const pith_importance by[] = {PITH_IMPORTANCE_MAGNITUDE, PITH_IMPORTANCE_WANDA, PITH_IMPORTANCE_OBS};
      double totals[3] = {0.0}, rows[3][ROWS];
      size_t zeros[3] = {0};
      for (int i = 0; i < ROWS * N; i++) w[i] = 0.1f * uniform();
      for (int b = 0; b < 3; b++) {
        uint8_t codes[20 * 32];
        uint16_t scales[3 * 8];
        pith_part part = {.n_rows = ROWS, .codes = codes, .scales = scales};
        const pith_matrix m = {PITH_ENC_U7, PITH_F16, ROWS, N, ways[way].group, 1, &part};
        const pith_dropping d = {{ways[way].form, ways[way].fraction, by[b]}, scores, dropped};
        memcpy(copy, w, sizeof w);
        pith_quantize_u7_panel(ROWS, N, ways[way].group, ways[way].levels, copy, PITH_F16, codes, scales, b == 0 ? NULL : &rounding, &d);
        assert_null(pith_matrix_fault(&m, &part));
        for (size_t i = 0; i < 19 * 32; i++) assert_true(abs((int)codes[i] - PITH_U7_ZERO) <= ways[way].levels);
        for (uint32_t row = 0; row < ROWS; row++) totals[b] += rows[b][row] = objective(&f, w, &m, row);
        for (int i = 0; i < ROWS * N; i++) zeros[b] += dropped[i];
        for (size_t row = 0; row < ROWS; row++)
          for (size_t k = 0; k < N; k++)
            if (dropped[row * N + k]) assert_int_equal(codes[(k / 4 * 8 + row) * 4 + k % 4], PITH_U7_ZERO);
      }
      if (ways[way].form != PITH_SPARSITY_BLOCK) assert_true(zeros[0] == zeros[1] && zeros[0] == zeros[2]);   /* a block may be cut by the last column */
      for (uint32_t row = 0; row < ROWS && ways[way].form != PITH_SPARSITY_BLOCK; row++)
        if (rows[2][row] > rows[0][row] * (1.0 + 1e-5)) fail_msg("inputs %d, way %zu, row %u: %g, and %g by magnitude", kind, way, row, rows[2][row], rows[0][row]);
      if (totals[2] > totals[0] * (1.0 + 1e-5)) fail_msg("inputs %d, way %zu: %g, and %g by magnitude", kind, way, totals[2], totals[0]);
      if (kind == 0) assert_true(totals[2] < 0.8 * totals[0] && totals[2] < 0.8 * totals[1]);
      if (kind == 4) assert_true(totals[1] < 0.9 * totals[0]);   /* by inputs, where these differ in size */
      if (kind == 0) gained += totals[2] / totals[0];
      for (int b = 0; b < 3; b++) sums[b] += totals[b];
    }
    release(&f);
  }
  assert_true(sums[2] < sums[1] && sums[1] < sums[0] && gained < 0.6 * (double)(sizeof ways / sizeof *ways));
}

/* What errors ask for, times H with its damping, are the sums of errors and inputs again, whatever the order of the columns. */
static void test_solve(void **state) {
  (void)state;
  static float x[TOKENS * N], errors[TOKENS * ERRORS];
  static double asked[ERRORS * N];
  static factored f;
  fill_inputs(x, N);
  for (int t = 0; t < TOKENS; t++)
    for (int r = 0; r < ERRORS; r++) errors[t * ERRORS + r] = 0.5f * x[t * N + r] - x[t * N + N - 1 - r] + 0.1f * uniform();
  for (int ordered = 0; ordered < 2; ordered++) {
    assert_int_equal(factor_aimed(&f, x, errors, asked, 0.01, ordered), PITH_OK);
    add_damping(&f);
    double wrong = 0.0, size = 0.0;
    for (size_t r = 0; r < ERRORS; r++)
      for (size_t j = 0; j < N; j++) {
        double sum = -asked[r * N + j];
        for (size_t i = 0; i < N; i++) sum += f.moments.errors[r * N + i] * f.sums[i * N + j];
        wrong += sum * sum;
        size += asked[r * N + j] * asked[r * N + j];
      }
    if (!(wrong < 1e-10 * size)) fail_msg("ordered %d: off by %g of %g", ordered, sqrt(wrong), sqrt(size));
    release(&f);
  }
}

static void test_wrong_inputs(void **state) {
  (void)state;
  static float x[TOKENS * N];
  static factored f;
  fill_inputs(x, N);
  x[17] = NAN;
  assert_int_equal(factor(&f, x, 0.01, false), PITH_E_UNSUPPORTED);
  release(&f);
  fill_inputs(x, 5);   /* cannot be factored without damping */
  assert_int_equal(factor(&f, x, 0.0, false), PITH_E_UNSUPPORTED);
  release(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_moments), cmocka_unit_test(test_wide_moments), cmocka_unit_test(test_factor), cmocka_unit_test(test_order), cmocka_unit_test(test_never_worse_than_nearest), cmocka_unit_test(test_dropping), cmocka_unit_test(test_solve),
                                     cmocka_unit_test(test_wrong_inputs)};
  return cmocka_run_group_tests_name("second_order", tests, NULL, NULL);
}
