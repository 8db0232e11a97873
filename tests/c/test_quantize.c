/* compress/quantize: layout, padding, error, and scales that f16 cannot hold. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/quantize.h"
#include "kernels/kernels.h"

enum { ROWS = 5, COLS = 70, GROUP = 64, QUADS = 18, GROUPS = 2 };

static void fill(float *w, float magnitude) {
  uint32_t x = 12345;
  for (int i = 0; i < ROWS * COLS; i++) {
    x = x * 1664525u + 1013904223u;
    w[i] = magnitude * ((float)(x >> 8) * 0x1p-23f - 1.0f);
  }
}

static void test_panel(void **state) {
  (void)state;
  float w[ROWS * COLS];
  fill(w, 0.1f);
  for (int k = 64; k < COLS; k++) w[k] = 0.0f;   /* an empty short group */
  uint8_t codes[QUADS * 32];
  uint16_t scales[GROUPS * 8];
  const double error = pith_quantize_u7_panel(ROWS, COLS, GROUP, w, codes, scales);
  double seen = 0.0, naive = 0.0;
  for (int row = 0; row < 8; row++)
    for (int k = 0; k < QUADS * 4; k++) {
      const int code = codes[(k / 4 * 8 + row) * 4 + k % 4];
      assert_true(code >= 1 && code <= 127);
      if (row >= ROWS || k >= COLS) {
        assert_int_equal(code, 64);
        continue;
      }
      const double e = (double)w[row * COLS + k] - (code - 64) * (double)pith_f16_to_f32(scales[k / 64 * 8 + row]);
      seen += e * e;
      naive += 0.1 / 63 * 0.1 / 63 / 12;   /* rounding at absmax / 63, uniform */
    }
  assert_true(fabs(seen - error) < 1e-9);
  assert_true(seen > 0 && seen < 1.1 * naive);
  assert_int_equal(scales[8], 0);
  assert_int_equal(scales[7], 0);
}

static void test_scales_out_of_f16(void **state) {
  (void)state;
  float w[ROWS * COLS];
  uint8_t codes[QUADS * 32];
  uint16_t scales[GROUPS * 8];
  fill(w, 1e-6f);
  assert_true(pith_quantize_u7_panel(ROWS, COLS, GROUP, w, codes, scales) < 0);
  fill(w, 1e8f);
  assert_true(pith_quantize_u7_panel(ROWS, COLS, GROUP, w, codes, scales) < 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_panel), cmocka_unit_test(test_scales_out_of_f16)};
  return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
