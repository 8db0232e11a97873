/* compress/quantize and compress/sparsity: layout, padding, error, scales that f16 cannot hold; which weights stay, how they are stored. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compress/quantize.h"
#include "compress/sparsity.h"
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
  pith_quantize_u7_panel(ROWS, COLS, GROUP, 63, w, PITH_F16, codes, scales, NULL, NULL);
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
    pith_quantize_u7_panel(ROWS, COLS, GROUP, 63, w, dtypes[i], codes, scales, NULL, NULL);
    pith_part part = {.n_rows = ROWS, .codes = codes, .scales = scales};
    const pith_matrix m = {PITH_ENC_U7, dtypes[i], ROWS, COLS, GROUP, 1, &part};
    double error = 0.0;
    for (uint32_t r = 0; r < ROWS; r++) {
      float row[COLS];
      pith_matrix_row(&m, r, row);
      for (int k = 0; k < COLS; k++) error += pow((double)row[k] - (double)w[r * COLS + (uint32_t)k], 2);
    }
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
  pith_part part = {.n_rows = ROWS, .codes = codes, .scales = scales};
  pith_matrix m = {PITH_ENC_U4, PITH_F16, ROWS, COLS, 32, 1, &part};
  for (int min = 0; min < 2; min++) {
    if (min) {
      m.encoding = PITH_ENC_U4_MIN;
      part.scales = halves;
      assert_true(pith_quantize_u4_min_panel(ROWS, COLS, 32, w, codes, halves, NULL));
    } else {
      assert_true(pith_quantize_u4_panel(ROWS, COLS, 32, w, codes, scales, NULL));
    }
    assert_null(pith_matrix_fault(&m, &part));
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
  assert_false(pith_quantize_u4_panel(ROWS, COLS, 32, w, codes, scales, NULL));
  assert_false(pith_quantize_u4_min_panel(ROWS, COLS, 32, w, codes, halves, NULL));
  halves[3] = 0x7c00;
  assert_non_null(pith_matrix_fault(&m, &part));
}

/* Codes that are there already come through unchanged. */
static void test_pack_u4_min(void **state) {
  (void)state;
  uint8_t row_codes[2 * 64], codes[8 * 32];
  uint16_t row_scales[4] = {0x2c00, 0x3000, 0x2800, 0x3400}, row_mins[4] = {0xac00, 0, 0x3c00, 0xbc00}, scales[2 * 16];
  float row[64];
  for (int i = 0; i < 128; i++) row_codes[i] = (uint8_t)(i * 7 % 16);
  pith_pack_u4_min_panel(2, 64, 32, row_codes, row_scales, row_mins, codes, scales);
  pith_part part = {.n_rows = 2, .codes = codes, .scales = scales};
  const pith_matrix m = {PITH_ENC_U4_MIN, PITH_F16, 2, 64, 32, 1, &part};
  for (uint32_t r = 0; r < 2; r++) {
    pith_matrix_row(&m, r, row);
    for (uint32_t k = 0; k < 64; k++)
      assert_true(row[k] == (float)row_codes[r * 64 + k] * pith_f16_to_f32(row_scales[r * 2 + k / 32]) + pith_f16_to_f32(row_mins[r * 2 + k / 32]));
  }
}

/* Sets to 0 what goes by magnitude. */
static void drop(pith_sparsity sparsity, size_t n_rows, size_t cols, float *w) {
  float scores[COLS];
  uint8_t dropped[ROWS * COLS];
  const pith_dropping d = {sparsity, scores, dropped};
  pith_sparsity_choose(&d, NULL, n_rows, cols, 0, cols, w, dropped);
  for (size_t i = 0; i < n_rows * cols; i++)
    if (dropped[i]) w[i] = 0.0f;
}

/* Of every panel the same number of blocks goes, the smallest; of equal ones the later. */
static void test_select_blocks(void **state) {
  (void)state;
  float w[ROWS * COLS], before[ROWS * COLS];
  const pith_sparsity half = {PITH_SPARSITY_BLOCK, 0.5, PITH_IMPORTANCE_MAGNITUDE}, few = {PITH_SPARSITY_BLOCK, 0.05, PITH_IMPORTANCE_MAGNITUDE};
  fill(w, 0.1f);
  memcpy(before, w, sizeof w);
  drop(few, ROWS, COLS, w);   /* less than a block */
  assert_memory_equal(w, before, sizeof w);
  drop(half, ROWS, COLS, w);
  double least_kept = INFINITY, largest_dropped = 0.0;
  int n_dropped = 0;
  for (int q = 0; q < QUADS; q++) {
    double sum = 0.0, left = 0.0;
    for (int row = 0; row < ROWS; row++)
      for (int k = 4 * q; k < 4 * q + 4 && k < COLS; k++) {
        sum += (double)before[row * COLS + k] * (double)before[row * COLS + k];
        left += (double)w[row * COLS + k] * (double)w[row * COLS + k];
      }
    assert_true(left == 0.0 || left == sum);
    n_dropped += left == 0.0;
    if (left == 0.0) largest_dropped = fmax(largest_dropped, sum);
    else least_kept = fmin(least_kept, sum);
  }
  assert_int_equal(n_dropped, QUADS / 2);
  assert_true(largest_dropped < least_kept);
  for (int i = 0; i < ROWS * COLS; i++) w[i] = i / COLS == 0 && i % COLS / 4 == 2 ? 3e38f : 1.0f;   /* the last, shorter one is the smallest */
  drop(half, ROWS, COLS, w);
  for (int k = 0; k < COLS; k++) assert_true((w[COLS + k] != 0.0f) == (k / 4 < QUADS - QUADS / 2));
  memset(w, 0, sizeof w);
  drop(half, ROWS, COLS, w);
}

static void test_select_two_of_four(void **state) {
  (void)state;
  static const pith_sparsity pairs = {PITH_SPARSITY_2OF4, 0, PITH_IMPORTANCE_MAGNITUDE};
  float w[2 * 11] = {1, -2, 3, 0.5f, 1, 1, -1, 1, 4, -5, 6, 0, 0, 0, 2, -1, 1, -1, 1, 3, 2, 0};
  static const float kept[2 * 11] = {0, -2, 3, 0, 1, 1, 0, 0, 0, -5, 6, 0, 0, 0, 2, -1, 1, 0, 0, 3, 2, 0};
  drop(pairs, 2, 11, w);
  assert_memory_equal(w, kept, sizeof w);
}

/* Of every row the same number goes, in one call or in several; inputs that count more keep theirs. */
static void test_select_weights(void **state) {
  (void)state;
  static const float w[2 * 8] = {1, -2, 3, 0.5f, 4, -5, 6, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  static const uint8_t third[2 * 8] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1}, halves[2 * 8] = {1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 1};
  static const float importance[8] = {100, 1, 1, 1, 0, 1, 1, 1};
  float scores[8];
  uint8_t dropped[2 * 8];
  pith_dropping d = {{PITH_SPARSITY_UNSTRUCTURED, 0.34, PITH_IMPORTANCE_MAGNITUDE}, scores, dropped};
  pith_sparsity_choose(&d, NULL, 2, 8, 0, 8, w, dropped);
  assert_memory_equal(dropped, third, sizeof third);
  d.sparsity.fraction = 0.5;
  pith_sparsity_choose(&d, NULL, 2, 8, 0, 4, w, dropped);
  pith_sparsity_choose(&d, NULL, 2, 8, 4, 8, w, dropped);
  assert_memory_equal(dropped, halves, sizeof halves);
  d.sparsity.fraction = 0.25;
  pith_sparsity_choose(&d, importance, 2, 8, 0, 8, w, dropped);
  assert_true(!dropped[0] && dropped[4] && dropped[7] && !dropped[3] && dropped[8 + 4] && dropped[8 + 7]);
}

enum { MOST_ROWS = 19, MOST_COLS = 70, MOST_CODES = 24 * 72 };

/* Codes of u7 that the form can store: of the given share of zeros, in whole blocks or anywhere; of packed ones, all that fit their bits. */
static void fill_sparse(pith_encoding form, uint32_t rows, uint32_t cols, uint32_t eighths, uint8_t *codes) {
  uint32_t x = rows * 1000 + cols * 10 + eighths;
  const uint32_t panels = (rows + 7) / 8, quads = (cols + 3) / 4;
  for (uint32_t i = 0; i < panels * quads; i++) {
    x = x * 1664525u + 1013904223u;
    const bool absent = (x >> 16) % 8 < eighths;
    for (uint32_t o = 0; o < 8; o++) {
      for (uint32_t j = 0; j < 4; j++) {
        const bool inside = i / quads * 8 + o < rows && i % quads * 4 + j < cols, there = form != PITH_ENC_U7_SPARSE ? !absent || form != PITH_ENC_U7_BLOCK : (x >> (o + j)) % 8 >= eighths;
        const uint32_t span = form == PITH_ENC_U6 ? 64 : form == PITH_ENC_U5 ? 32 : 128, code = PITH_U7_ZERO - span / 2 + ((x >> 3) * (o + 1) + 37 * j) % span;
        codes[(i * 8 + o) * 4 + j] = (uint8_t)(inside && there ? code : PITH_U7_ZERO);
      }
    }
  }
}

/* Packed and expanded again, also where the packed codes lie at the end of the room; rows read as those of u7. */
static void test_packed_round_trip(void **state) {
  (void)state;
  static uint8_t dense[MOST_CODES], packed[MOST_CODES], back[MOST_CODES], places[MOST_CODES / 8];
  static uint16_t scales[24 * 5], quads[MOST_CODES / 32];
  static uint32_t starts[3 * 5 + 1];
  static const pith_encoding forms[] = {PITH_ENC_U7_BLOCK, PITH_ENC_U7_SPARSE, PITH_ENC_U7_PACKED, PITH_ENC_U6, PITH_ENC_U5};
  static const uint32_t heights[] = {1, 8, 9, MOST_ROWS}, widths[] = {1, 2, 4, 7, 31, 32, 33, 64, 66, MOST_COLS};
  for (int i = 0; i < 24 * 5; i++) scales[i] = (uint16_t)(0x2000 + 7 * i);
  for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
    for (size_t h = 0; h < sizeof heights / sizeof *heights; h++)
      for (size_t c = 0; c < sizeof widths / sizeof *widths; c++)
        for (uint32_t eighths = 0; eighths <= 8; eighths += 4) {
          const uint32_t rows = heights[h], cols = widths[c];
          pith_part part = {.n_rows = rows, .codes = packed, .scales = scales, .places = places, .quads = quads, .starts = starts}, whole = {.n_rows = rows, .codes = dense, .scales = scales};
          const pith_matrix m = {forms[f], PITH_F16, rows, cols, 16, 1, &part}, u7 = {PITH_ENC_U7, PITH_F16, rows, cols, 16, 1, &whole};
          const uint64_t n_codes = pith_matrix_code_bytes(&u7, rows);
          fill_sparse(forms[f], rows, cols, eighths, dense);
          memcpy(packed, dense, sizeof dense);
          const uint64_t n_packed = part.n_stored = pith_pack_codes(&m, rows, packed, places);
          assert_null(pith_matrix_fault(&m, &part));
          if (pith_encoding_sparse(forms[f])) assert_int_equal(n_packed, pith_matrix_stored_bytes(&m, rows, places));
          else assert_int_equal(n_packed, pith_matrix_code_bytes(&m, rows));
          if (!pith_encoding_sparse(forms[f])) assert_int_equal(n_packed, n_codes * pith_encoding_bits(forms[f]) / 8);
          else if (eighths == 8) assert_int_equal(n_packed, 0);
          else assert_true(n_packed <= n_codes * 7 / 8 || forms[f] == PITH_ENC_U7_BLOCK);
          assert_true(pith_matrix_expand(&m, rows, places, packed, back));
          assert_memory_equal(back, dense, n_codes);
          memset(back, 0x5a, sizeof back);
          memcpy(back + n_codes - n_packed, packed, n_packed);
          assert_true(pith_matrix_expand(&m, rows, places, back + n_codes - n_packed, back));
          assert_memory_equal(back, dense, n_codes);
          for (uint32_t r = 0; forms[f] == PITH_ENC_U7_BLOCK && r < rows; r++) {
            float expected[MOST_COLS], got[MOST_COLS];
            pith_matrix_index_blocks(&m, &part, quads, starts);
            pith_matrix_row(&u7, r, expected);
            pith_matrix_row(&m, r, got);
            for (uint32_t k = 0; k < cols; k++) assert_true(expected[k] == got[k]);
          }
        }
}

/* What no package may hold. */
static void test_sparse_faults(void **state) {
  (void)state;
  static uint8_t dense[MOST_CODES], codes[MOST_CODES], places[MOST_CODES / 8];
  static uint16_t scales[24];
  pith_part part = {.n_rows = 9, .codes = codes, .scales = scales, .places = places};
  pith_matrix m = {PITH_ENC_U7_BLOCK, PITH_F16, 9, 42, 64, 1, &part};   /* 11 quads: bytes of 8 and of 3 */
  fill_sparse(m.encoding, 9, 42, 4, dense);
  memcpy(codes, dense, sizeof dense);
  part.n_stored = pith_pack_codes(&m, 9, codes, places);
  assert_null(pith_matrix_fault(&m, &part));
  static const struct { int byte, bit; const char *fault; } wrong[] = {
      {0, 0, "another number"}, {2, 2, "another number"}, {1, 3, "past its last column"}, {3, 7, "past its last column"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    places[wrong[i].byte] ^= (uint8_t)(1 << wrong[i].bit);
    assert_non_null(strstr(pith_matrix_fault(&m, &part), wrong[i].fault));
    places[wrong[i].byte] ^= (uint8_t)(1 << wrong[i].bit);
  }
  part.n_stored += PITH_BLOCK;
  assert_non_null(strstr(pith_matrix_fault(&m, &part), "another number"));
  part.n_stored -= PITH_BLOCK;
  codes[part.n_stored - 1] = 128;
  assert_non_null(strstr(pith_matrix_fault(&m, &part), "above 127"));
  codes[part.n_stored - 1] = 127;
  codes[part.n_stored] = 128;   /* past them */
  assert_null(pith_matrix_fault(&m, &part));
  scales[15] = 0x7c00;
  assert_non_null(strstr(pith_matrix_fault(&m, &part), "scale that is not finite"));
  scales[15] = 0;
  m.encoding = PITH_ENC_U7_SPARSE;
  fill_sparse(m.encoding, 9, 42, 4, dense);
  memcpy(codes, dense, sizeof dense);
  part.n_stored = pith_pack_codes(&m, 9, codes, places);
  assert_null(pith_matrix_fault(&m, &part));
  for (size_t panel = 0; panel < 2; panel++) {   /* a block's four bytes of bits, all set or none: 9 codes more or fewer at least */
    uint8_t before[4];
    memcpy(before, places + 44 * panel, 4);
    memset(places + 44 * panel, panel ? 0xff : 0, 4);
    assert_non_null(strstr(pith_matrix_fault(&m, &part), "another number"));
    memcpy(places + 44 * panel, before, 4);
  }
  part.n_stored++;
  assert_non_null(strstr(pith_matrix_fault(&m, &part), "another number"));
}

/* Bits after a panel's last code are 0. */
static void test_bits_left(void **state) {
  (void)state;
  static uint8_t dense[2 * 32], codes[2 * 32], back[2 * 32], places[8];
  const pith_matrix m = {PITH_ENC_U7_SPARSE, PITH_F16, 16, 4, 64, 1, NULL};   /* two panels of a block each */
  memset(dense, PITH_U7_ZERO, sizeof dense);
  for (int i = 0; i < 3; i++) dense[7 * i] = 127;   /* 21 bits of 24 */
  dense[40] = 1;                                    /* 7 of 8 */
  memcpy(codes, dense, sizeof dense);
  assert_int_equal(pith_pack_codes(&m, 16, codes, places), 4);
  assert_true(pith_matrix_expand(&m, 16, places, codes, back));
  assert_memory_equal(back, dense, sizeof dense);
  static const struct { int byte, bit; } wrong[] = {{2, 5}, {2, 7}, {3, 7}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    codes[wrong[i].byte] ^= (uint8_t)(1 << wrong[i].bit);
    assert_false(pith_matrix_expand(&m, 16, places, codes, back));
    codes[wrong[i].byte] ^= (uint8_t)(1 << wrong[i].bit);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_panel), cmocka_unit_test(test_scale_dtypes),
                                     cmocka_unit_test(test_u8_rows), cmocka_unit_test(test_f16_panel),
                                     cmocka_unit_test(test_u4),    cmocka_unit_test(test_pack_u4_min),
                                     cmocka_unit_test(test_select_blocks), cmocka_unit_test(test_select_two_of_four),
                                     cmocka_unit_test(test_select_weights), cmocka_unit_test(test_packed_round_trip), cmocka_unit_test(test_sparse_faults), cmocka_unit_test(test_bits_left)};
  return cmocka_run_group_tests_name("quantize", tests, NULL, NULL);
}
