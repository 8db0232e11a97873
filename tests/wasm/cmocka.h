/* The part of cmocka that the tests use, for WebAssembly and for emulated processors, where Debian has no cmocka: without setjmp a failure
 * ends the run. */
#ifndef PITH_TESTS_CMOCKA_H
#define PITH_TESTS_CMOCKA_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void check_that(int holds, const char *file, int line, const char *what) {
  if (holds) return;
  printf("[  FAILED  ] %s:%d: %s\n", file, line, what);
  exit(1);
}

__attribute__((format(printf, 1, 2))) static inline void fail_msg(const char *format, ...) {
  va_list values;
  va_start(values, format);
  printf("[  FAILED  ] ");
  vprintf(format, values);
  printf("\n");
  va_end(values);
  exit(1);
}

#define assert_true(condition) check_that((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
#define assert_false(condition) check_that((condition) ? 0 : 1, __FILE__, __LINE__, "not " #condition)
#define assert_int_equal(a, b) check_that((intmax_t)(a) == (intmax_t)(b), __FILE__, __LINE__, #a " == " #b)
#define assert_string_equal(a, b) check_that(strcmp(a, b) == 0, __FILE__, __LINE__, #a " == " #b)
#define assert_string_not_equal(a, b) check_that(strcmp(a, b) != 0, __FILE__, __LINE__, #a " != " #b)
#define assert_memory_equal(a, b, n) check_that(memcmp(a, b, n) == 0, __FILE__, __LINE__, #a " == " #b)
#define assert_null(a) check_that((a) == NULL, __FILE__, __LINE__, #a " is NULL")
#define assert_non_null(a) check_that((a) != NULL, __FILE__, __LINE__, #a " is not NULL")
#define assert_ptr_equal(a, b) check_that((const void *)(a) == (const void *)(b), __FILE__, __LINE__, #a " == " #b)
#define print_message printf
#define skip() return

struct CMUnitTest {
  const char *name;
  void (*run)(void **state);
};
#define cmocka_unit_test(function) {#function, function}
#define cmocka_run_group_tests_name(group, tests, setup, teardown) run_tests(group, tests, sizeof(tests) / sizeof *(tests))

static inline int run_tests(const char *group, const struct CMUnitTest *tests, size_t n) {
  void *state = NULL;
  for (size_t i = 0; i < n; i++) tests[i].run(&state);
  printf("%s: %zu test(s) run\n", group, n);
  return n > 0 ? 0 : 1;
}

#endif
