/* kernels/: every variant against the scalar definition bit for bit, and the scalar products against sums in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

enum { M = 3, N = 11, K = 150, GROUP = 64, GROUPS = 3, QUADS = 38, PANELS = 2, CODE_STRIDE = 160 };

static uint32_t random_state = 20261124;
static float uniform(void) {   /* [-1, 1) */
  random_state = random_state * 1664525u + 1013904223u;
  return (float)(random_state >> 8) * 0x1p-23f - 1.0f;
}

static void test_gemm_i8u7(void **state) {
  (void)state;
  static float x[M * K], w_scales[PANELS * GROUPS * 8], bias[N], y[M * (N + 2)];
  static uint8_t w[PANELS * QUADS * 32];
  static int16_t codes[M * CODE_STRIDE];
  float scales[M * GROUPS];
  int32_t sums[M * GROUPS];
  for (int i = 0; i < M * K; i++) x[i] = uniform();
  for (int i = 0; i < PANELS * QUADS * 32; i++) w[i] = (uint8_t)(64 + (int)(63 * uniform()));
  for (int i = 0; i < PANELS * GROUPS * 8; i++) w_scales[i] = 0.01f * (1.5f + uniform());
  for (int i = 0; i < N; i++) bias[i] = uniform();
  for (const pith_kernels *const *kernels = pith_kernels_list(); *kernels; kernels++) {
    const pith_activations a = {codes, scales, sums, CODE_STRIDE, GROUPS};
    for (int i = 0; i < M * (N + 2); i++) y[i] = 12345.0f;
    (*kernels)->quantize_i8(M, K, GROUP, x, K, &a);
    (*kernels)->gemm_i8u7_f32(M, N, K, GROUP, &a, w, w_scales, bias, y, N + 2);
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

static void test_gemm_f32(void **state) {
  (void)state;
  static float x[M * K], w[PANELS * K * 8], y[M * N];
  for (int i = 0; i < M * K; i++) x[i] = uniform();
  for (int i = 0; i < PANELS * K * 8; i++) w[i] = uniform();
  for (const pith_kernels *const *kernels = pith_kernels_list(); *kernels; kernels++) {
    (*kernels)->gemm_f32(M, N, K, x, K, w, K * 8, NULL, y, N);
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

static void test_find(void **state) {
  (void)state;
  assert_string_equal(pith_kernels_find("scalar")->name, "scalar");
  assert_non_null(pith_kernels_find(NULL));
  assert_ptr_equal(pith_kernels_find(""), pith_kernels_find("auto"));
  assert_null(pith_kernels_find("avx1024"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gemm_i8u7), cmocka_unit_test(test_gemm_f32), cmocka_unit_test(test_rows),
                                     cmocka_unit_test(test_find)};
  return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
