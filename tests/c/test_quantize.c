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
  const double error = pith_quantize_u7_panel(ROWS, COLS, GROUP, w, PITH_F16, codes, scales);
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

/* Tensors too small or too large for f16's scales take f32 ones, and lose no more than others. */
static void test_scale_dtypes(void **state) {
  (void)state;
  static const float magnitudes[] = {1e-6f, 0.1f, 1e8f};
  static const pith_dtype dtypes[] = {PITH_F32, PITH_F16, PITH_F32};
  float w[ROWS * COLS], scales[GROUPS * 8];
  uint8_t codes[QUADS * 32];
  for (int i = 0; i < 3; i++) {
    fill(w, magnitudes[i]);
    assert_int_equal(pith_scale_dtype(magnitudes[i], 63), dtypes[i]);
    const double error = pith_quantize_u7_panel(ROWS, COLS, GROUP, w, dtypes[i], codes, scales);
    const double step = (double)magnitudes[i] / 63;
    assert_true(error > 0 && error < 1.1 * ROWS * COLS * step * step / 12);
  }
}

static void test_u8_rows(void **state) {
  (void)state;
  float w[ROWS * COLS];
  uint8_t codes[ROWS * COLS];
  uint16_t scales[ROWS];
  fill(w, 0.5f);
  for (int k = 0; k < COLS; k++) w[k] = 0.0f;
  const double error = pith_quantize_u8_rows(ROWS, COLS, w, PITH_F16, codes, scales);
  double seen = 0.0;
  for (int i = 0; i < ROWS * COLS; i++) {
    const double e = (double)w[i] - (codes[i] - 128) * (double)pith_f16_to_f32(scales[i / COLS]);
    seen += e * e;
  }
  assert_true(codes[0] == 128 && scales[0] == 0);
  assert_true(fabs(seen - error) < 1e-6 && seen < 1.1 * (ROWS - 1) * COLS * (0.5 / 127) * (0.5 / 127) / 12);
}

static void test_f16_panel(void **state) {
  (void)state;
  const float w[6] = {1.0f, 0.333f, -2.0f, 1e-9f, 65504.0f, 3.0f}, huge = 1e6f;
  uint16_t panel[3 * 8];
  assert_true(pith_convert_f16_panel(2, 3, w, panel));
  assert_true(panel[0] == 0x3c00 && panel[1] == 0 && panel[17] == pith_f32_to_f16(3.0f) && panel[2] == 0);
  assert_false(pith_convert_f16_panel(1, 1, &huge, panel));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_panel), cmocka_unit_test(test_scale_dtypes),
                                     cmocka_unit_test(test_u8_rows), cmocka_unit_test(test_f16_panel)};
  return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
