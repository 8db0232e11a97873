/* compress/quantize: layout, padding, error, and scales that f16 cannot hold. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/quantize.h"
#include "kernels/kernels.h"
#include "model/model.h"

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

/* 4-bit codes: what is decoded is near what went in, at most half a step off within the chosen range; the rest is zero. */
static void test_u4(void **state) {
  (void)state;
  enum { OCTETS = 9, G32 = 3 };
  float w[ROWS * COLS], row[COLS];
  uint8_t codes[OCTETS * 32], scales[G32 * PITH_U4_GROUP_BYTES];
  uint16_t halves[G32 * 16];
  fill(w, 0.1f);
  for (int k = 0; k < COLS; k++) w[2 * COLS + k] = 0.02f + 0.001f * (float)(k % 7);   /* a row without zero in its range */
  for (int k = 32; k < 64; k++) w[3 * COLS + k] = 0.0f;                                /* an empty group */
  pith_part part = {0, ROWS, codes, scales};
  pith_matrix m = {PITH_ENC_U4, PITH_F16, ROWS, COLS, 32, 1, &part};
  for (int min = 0; min < 2; min++) {
    if (min) {
      m.encoding = PITH_ENC_U4_MIN;
      part.scales = halves;
      assert_true(pith_quantize_u4_min_panel(ROWS, COLS, 32, w, codes, halves));
    } else {
      assert_true(pith_quantize_u4_panel(ROWS, COLS, 32, w, codes, scales));
    }
    assert_null(pith_matrix_fault(&m, ROWS, codes, part.scales));
    assert_int_equal(pith_matrix_code_bytes(&m, ROWS), sizeof codes);
    assert_int_equal(pith_matrix_scale_bytes(&m, ROWS), min ? sizeof halves : sizeof scales);
    double error = 0.0;
    for (uint32_t r = 0; r < ROWS; r++) {
      pith_matrix_row(&m, r, row);
      for (int k = 0; k < COLS; k++) error += pow((double)(row[k] - w[r * COLS + (uint32_t)k]), 2);
      if (r == 3)
        for (int k = 32; k < 64; k++) assert_true(row[k] == 0.0f);
    }
    assert_true(error < ROWS * COLS * 0.0042 * 0.0042);   /* steps of 0.2 / 15: 0.0038 on average */
    for (int r = ROWS; r < 8; r++)
      for (int k = 0; k < OCTETS * 4; k++) assert_int_equal(codes[(k / 4 * 8 + r) * 4 + k % 4], 0);
  }
  w[0] = 1e7f;
  assert_false(pith_quantize_u4_panel(ROWS, COLS, 32, w, codes, scales));
  assert_false(pith_quantize_u4_min_panel(ROWS, COLS, 32, w, codes, halves));
  halves[3] = 0x7c00;
  assert_non_null(pith_matrix_fault(&m, ROWS, codes, halves));
}

/* Codes that are there already come through unchanged. */
static void test_pack_u4_min(void **state) {
  (void)state;
  uint8_t row_codes[2 * 64], codes[8 * 32];
  uint16_t row_scales[4] = {0x2c00, 0x3000, 0x2800, 0x3400}, row_mins[4] = {0xac00, 0, 0x3c00, 0xbc00}, scales[2 * 16];
  float row[64];
  for (int i = 0; i < 128; i++) row_codes[i] = (uint8_t)(i * 7 % 16);
  pith_pack_u4_min_panel(2, 64, 32, row_codes, row_scales, row_mins, codes, scales);
  pith_part part = {0, 2, codes, scales};
  const pith_matrix m = {PITH_ENC_U4_MIN, PITH_F16, 2, 64, 32, 1, &part};
  for (uint32_t r = 0; r < 2; r++) {
    pith_matrix_row(&m, r, row);
    for (uint32_t k = 0; k < 64; k++)
      assert_true(row[k] == (float)row_codes[r * 64 + k] * pith_f16_to_f32(row_scales[r * 2 + k / 32]) + pith_f16_to_f32(row_mins[r * 2 + k / 32]));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_panel), cmocka_unit_test(test_scale_dtypes),
                                     cmocka_unit_test(test_u8_rows), cmocka_unit_test(test_f16_panel),
                                     cmocka_unit_test(test_u4),    cmocka_unit_test(test_pack_u4_min)};
  return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
