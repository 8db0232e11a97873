/* kernels/math and runtime/sampler: bounds against libm, half precision over all its values, and what each option does. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "runtime/sampler.h"

static void test_elementary(void **state) {
  (void)state;
  double worst_expf = 0, worst_exp2f = 0, worst_exp = 0, worst_log = 0, worst_sin = 0;
  for (double x = -87.0; x < 88.0; x += 0.00137) {
    const float f = (float)x;
    if (f <= 0.0f && f >= -64.0f) worst_exp2f = fmax(worst_exp2f, fabs((double)pith_exp2f(f) / exp2((double)f) - 1.0));
    worst_expf = fmax(worst_expf, fabs((double)pith_expf(f) / exp((double)f) - 1.0));
    worst_exp = fmax(worst_exp, fabs(pith_exp(8.0 * x) / exp(8.0 * x) - 1.0));
    worst_log = fmax(worst_log, fabs(pith_log(exp(x)) - log(exp(x))) / fmax(1.0, fabs(x)));
    double s, c;
    pith_sincos(1e4 * x, &s, &c);
    worst_sin = fmax(worst_sin, fmax(fabs(s - sin(1e4 * x)), fabs(c - cos(1e4 * x))));
  }
  if (worst_expf >= 2e-7 || worst_exp2f >= 4e-6 || worst_exp >= 1e-14 || worst_log >= 1e-14 || worst_sin >= 1e-13)
    fail_msg("worst: expf %g, exp2f %g, exp %g, log %g, sincos %g", worst_expf, worst_exp2f, worst_exp, worst_log, worst_sin);
  for (double x = -6.0; x < 6.0; x += 0.00037) {
    const float f = (float)x;
    assert_true(fabs((double)pith_erff(f) - erf((double)f)) < 6e-7);
    assert_true(fabs((double)pith_tanhf(f) - tanh((double)f)) < 6e-7);
  }
  assert_true(pith_expf(-88.0f) == 0.0f && pith_expf(0.0f) == 1.0f && pith_expf(1000.0f) == pith_expf(88.3f));
  assert_true(pith_exp2f(0.0f) == 1.0f && pith_exp2f(-64.0f) == 0x1p-64f && pith_exp2f(-64.5f) == 0.0f && pith_exp2f(-INFINITY) == 0.0f);
}

static void test_half(void **state) {
  (void)state;
  for (uint32_t h = 0; h < 65536; h++) {
    const float f = pith_f16_to_f32((uint16_t)h);
    if (f != f) continue;
    assert_int_equal(pith_f32_to_f16(f), h);
    const float next = pith_f16_to_f32((uint16_t)(h + 1));
    if ((h & 0x7fff) >= 0x7bff || next != next) continue;
    assert_int_equal(pith_f32_to_f16(0.5f * (f + next)), h & 1 ? h + 1 : h);   /* a tie goes to even */
  }
  assert_int_equal(pith_f32_to_f16(65519.0f), 0x7bff);
  assert_int_equal(pith_f32_to_f16(65520.0f), 0x7c00);
}

static int32_t draw(pith_sampling s, const uint8_t *seen, int n_times, int32_t counts[4]) {
  pith_candidate candidates[4];
  pith_sampler sampler;
  pith_sampler_init(&sampler, &s, candidates);
  int32_t id = -1;
  memset(counts, 0, 4 * sizeof *counts);
  for (int i = 0; i < n_times; i++) {
    float logits[4] = {1.0f, 3.0f, 3.0f, -1.0f};   /* probabilities .063 .464 .464 .009 */
    id = pith_sampler_next(&sampler, logits, 4, seen);
    counts[id]++;
  }
  return id;
}

static void test_sampler(void **state) {
  (void)state;
  const pith_sampling plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .seed = 7};
  int32_t counts[4], again[4];
  pith_sampling s = plain;
  s.temperature = 0;
  assert_int_equal(draw(s, NULL, 1, counts), 1);   /* equal logits: the smaller id */
  const uint8_t seen[] = {0, 1, 0, 0};
  s.repetition_penalty = 2;
  assert_int_equal(draw(s, seen, 1, counts), 2);
  draw(plain, NULL, 20000, counts);
  assert_true(abs(counts[0] - 1256) < 150 && abs(counts[1] - 9282) < 350 && abs(counts[2] - 9282) < 350 && counts[3] > 80);
  draw(plain, NULL, 20000, again);
  assert_memory_equal(counts, again, sizeof counts);
  s = plain;
  s.top_k = 1;
  draw(s, NULL, 100, counts);
  assert_int_equal(counts[1], 100);
  s = plain;
  s.top_p = 0.9f;
  draw(s, NULL, 2000, counts);
  assert_true(counts[0] == 0 && counts[3] == 0 && counts[2] > 0);
  s = plain;
  s.min_p = 0.1f;
  draw(s, NULL, 2000, counts);
  assert_true(counts[0] > 0 && counts[3] == 0);
}

static void test_sampling_ranges(void **state) {
  (void)state;
  const pith_sampling good = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  assert_int_equal(pith_sampling_check(&ctx, &good), PITH_OK);
  pith_sampling bad[6];
  for (int i = 0; i < 6; i++) bad[i] = good;
  bad[0].temperature = -1;
  bad[1].temperature = NAN;
  bad[2].top_k = -1;
  bad[3].top_p = 0;
  bad[4].min_p = 1.5f;
  bad[5].repetition_penalty = 0;
  for (int i = 0; i < 6; i++) assert_int_equal(pith_sampling_check(&ctx, &bad[i]), PITH_E_ARGUMENT);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_elementary), cmocka_unit_test(test_half), cmocka_unit_test(test_sampler),
                                     cmocka_unit_test(test_sampling_ranges)};
  return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
