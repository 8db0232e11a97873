/* base/parallel, base/threads and its POSIX threads; the model's answers with any number of them. Also built for ThreadSanitizer. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/host_posix.h"
#include "base/json.h"
#include "pith.h"

enum { MAX_PARTS = 1000 };

typedef struct counting {
  uint32_t times[MAX_PARTS], thread[MAX_PARTS], n_parts, n_threads;
  uint32_t rest_every;       /* parts that sleep, so that others get a turn */
} counting;

static void rest(long microseconds) {
  const struct timespec time = {0, microseconds * 1000};
  nanosleep(&time, NULL);
}

static void count(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  counting *c = arg;
  if (n_parts != c->n_parts || part >= n_parts || thread >= c->n_threads) abort();
  c->times[part]++;          /* plain: no two parts share it */
  c->thread[part] = thread;
  if (c->rest_every && part % c->rest_every == 0) rest(100);
}

static void check_run(const pith_parallel *parallel, uint32_t n_parts, uint32_t rest_every) {
  counting c = {.n_parts = n_parts, .n_threads = pith_parallel_threads(parallel), .rest_every = rest_every};
  pith_parallel_run(parallel, n_parts, count, &c);
  for (uint32_t part = 0; part < n_parts; part++) assert_int_equal(c.times[part], 1);
}

static void test_shares(void **state) {
  (void)state;
  for (size_t n = 0; n < 40; n++)
    for (uint32_t n_parts = 1; n_parts < 12; n_parts++) {
      size_t at = 0;
      for (uint32_t part = 0; part < n_parts; part++) {
        const size_t begin = pith_share_begin(n, part, n_parts), size = pith_share_end(n, part, n_parts) - begin;
        assert_int_equal(begin, at);
        assert_true(size == n / n_parts || size == n / n_parts + 1);
        at += size;
      }
      assert_int_equal(at, n);
    }
  const pith_parallel four = {NULL, 4, NULL};
  assert_int_equal(pith_parallel_parts(NULL, 1000, 1e9), 1);
  assert_int_equal(pith_parallel_parts(&four, 1000, 1.0), 1);      /* short work stays on one thread */
  assert_true(pith_parallel_parts(&four, 1000, 1e6) >= 4);
  assert_int_equal(pith_parallel_parts(&four, 3, 1e9), 3);
  assert_int_equal(pith_parallel_parts(&four, 1, 1e9), 1);
  assert_int_equal(pith_parallel_parts(&four, 0, 1e9), 1);
}

static void test_every_part_once(void **state) {
  (void)state;
  check_run(NULL, 5, 0);
  for (uint32_t n_threads = 1; n_threads <= 7; n_threads += n_threads < 2 ? 1 : 5) {
    pith_threads_posix *threads = pith_threads_posix_open(n_threads);
    assert_non_null(threads);
    const pith_parallel *parallel = pith_threads_posix_parallel(threads);
    assert_int_equal(parallel->n_threads, n_threads);
    check_run(parallel, 0, 0);
    for (uint32_t n_parts = 1; n_parts < 30; n_parts++) check_run(parallel, n_parts, 0);
    for (int i = 0; i < 3000; i++) check_run(parallel, 1 + (uint32_t)i % 9, 0);
    for (int i = 0; i < 30; i++) {   /* from sleep */
      rest(300);
      check_run(parallel, 8, i % 3 == 0 ? 1 : 0);
    }
    check_run(parallel, MAX_PARTS, 0);
    pith_threads_posix_close(threads);
  }
  pith_threads_posix_close(NULL);
}

/* All threads take part when there is enough to do. */
static void test_all_threads_work(void **state) {
  (void)state;
  pith_threads_posix *threads = pith_threads_posix_open(3);
  counting c = {.n_parts = 300, .n_threads = 3, .rest_every = 1};
  pith_parallel_run(pith_threads_posix_parallel(threads), 300, count, &c);
  uint32_t seen[3] = {0, 0, 0};
  for (int part = 0; part < 300; part++) seen[c.thread[part]]++;
  assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
  pith_threads_posix_close(threads);
}

/* A request's result, which the caller frees; NULL with the status on failure. */
static pith_json *run(pith_instance *instance, const char *request, pith_status *status) {
  pith_ctx ctx;
  pith_job *job;
  pith_json *json = NULL;
  pith_ctx_init(&ctx, NULL, NULL);
  *status = pith_job_start(instance, request, strlen(request), &job);
  if (*status != PITH_OK) return NULL;
  while ((*status = pith_job_step(job, 1000)) == PITH_PENDING) continue;
  size_t n;
  const char *text = pith_job_result(job, &n);
  if (*status == PITH_OK) assert_int_equal(pith_json_parse(&ctx, text, n, "the result", &json), PITH_OK);
  pith_job_end(job);
  return json;
}

static void digest_with(const char *threads, uint32_t n_threads, char digest[65]) {
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_instance *instance = pith_open(&host, NULL);
  pith_status status;
  char request[128];
  snprintf(request, sizeof request, "{\"verb\":\"load\",\"path\":\"models/story\",\"threads\":%s}", threads);
  pith_json *json = run(instance, request, &status);
  if (status != PITH_OK) fail_msg("%s", pith_message(instance));
  assert_int_equal((int)pith_json_number(pith_json_get(pith_json_get(json, "info"), "threads"), 0), n_threads);
  pith_json_free(json);
  /* a prompt long enough to be divided, and decoding */
  json = run(instance, "{\"verb\":\"digest\",\"model\":1,\"texts\":[\"Once upon a time there was a little girl who lived in a house by the sea and liked "
                       "to play with her dog all day long until the sun went down behind the hills and her mother called her home\"]}", &status);
  assert_int_equal(status, PITH_OK);
  snprintf(digest, 65, "%s", pith_json_string(pith_json_get(json, "digest")));
  pith_json_free(json);
  pith_close(instance);
  pith_host_posix_free(&posix);
}

static void test_same_digest(void **state) {
  (void)state;
  char expected[65], digest[65];
  digest_with("1", 1, expected);
  static const struct { const char *text; uint32_t n; } cases[] = {{"2", 2}, {"4", 4}, {"7", 7}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    digest_with(cases[i].text, cases[i].n, digest);
    assert_string_equal(digest, expected);
  }
  digest_with("\"auto\"", pith_threads_posix_auto(), digest);
  assert_string_equal(digest, expected);
}

static void test_wrong_numbers(void **state) {
  (void)state;
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_instance *instance = pith_open(&host, NULL);
  pith_status status;
  static const char *const wrong[] = {"0", "-1", "65", "1000", "1.5", "\"many\"", "true", "1e300"};
  char request[128];
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    snprintf(request, sizeof request, "{\"verb\":\"load\",\"path\":\"models/story\",\"threads\":%s}", wrong[i]);
    assert_null(run(instance, request, &status));
    assert_int_equal(status, PITH_E_ARGUMENT);
    assert_non_null(strstr(pith_message(instance), "from 1 to 64"));
  }
  pith_json_free(run(instance, "{\"verb\":\"load\",\"path\":\"models/story\",\"threads\":2}", &status));
  assert_int_equal(status, PITH_OK);
  assert_null(run(instance, "{\"verb\":\"load\",\"path\":\"models/story\",\"threads\":3}", &status));
  assert_int_equal(status, PITH_E_ARGUMENT);
  assert_non_null(strstr(pith_message(instance), "2 threads already"));
  pith_close(instance);
  pith_host_posix_free(&posix);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares), cmocka_unit_test(test_every_part_once), cmocka_unit_test(test_all_threads_work),
                                     cmocka_unit_test(test_same_digest), cmocka_unit_test(test_wrong_numbers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
