/* Memory that runs out at any allocation is one error: nothing crashes, nothing leaks (the sanitizer lane sees that), and the instance goes
 * on working. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/host_posix.h"
#include "pith.h"

typedef struct failing {
  uint64_t n, fail_at;   /* fail_at counts from 1; 0: never */
  int64_t alive;
} failing;

static void *allocate(void *user, size_t n_bytes) {
  failing *f = user;
  if (++f->n == f->fail_at) return NULL;
  void *ptr = malloc(n_bytes ? n_bytes : 1);
  f->alive += ptr != NULL;
  return ptr;
}

static void release(void *user, void *ptr) {
  ((failing *)user)->alive -= ptr != NULL;
  free(ptr);
}

static pith_status run(pith_instance *instance, const char *request) {
  pith_job *job;
  pith_status status = pith_job_start(instance, request, strlen(request), &job);
  while (status == PITH_OK || status == PITH_PENDING) {
    status = pith_job_step(job, 1000);
    if (status != PITH_PENDING) break;
  }
  pith_job_end(job);
  return status;
}

static const char *const requests[] = {"{\"verb\":\"load\",\"path\":\"models/story\"}",
                                       "{\"verb\":\"generate\",\"model\":1,\"prompt\":\"Once\",\"maxTokens\":3,\"temperature\":1,\"stop\":[\"xyz\"]}",
                                       "{\"verb\":\"tokenize\",\"model\":1,\"text\":\"Once upon a time\"}", "{\"verb\":\"unload\",\"model\":1}"};

/* The first status that is not PITH_OK. */
static pith_status session(failing *f) {
  pith_host_posix state;
  const pith_host host = pith_host_posix_init(&state);
  const pith_allocator allocator = {f, allocate, release};
  pith_instance *instance = pith_open(&host, &allocator);
  if (!instance) return PITH_E_MEMORY;
  pith_status status = PITH_OK;
  for (size_t i = 0; i < sizeof requests / sizeof *requests && status == PITH_OK; i++) status = run(instance, requests[i]);
  if (status != PITH_OK) {   /* with memory again, the same instance works */
    assert_true(strlen(pith_message(instance)) > 0);
    assert_int_equal(run(instance, "{\"verb\":\"version\"}"), PITH_OK);
  }
  pith_close(instance);
  return status;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  failing whole = {0, 0, 0};
  assert_int_equal(session(&whole), PITH_OK);
  assert_int_equal(whole.alive, 0);
  assert_true(whole.n > 50);
  uint64_t n_tried = 0;
  /* all of the first and of the last, and some of the thousands that a vocabulary makes */
  for (uint64_t at = 1; at <= whole.n; at += at < 40 || at + 60 > whole.n ? 1 : 1 + whole.n / 40, n_tried++) {
    failing f = {0, at, 0};
    const pith_status status = session(&f);
    if (status != PITH_E_MEMORY) fail_msg("allocation %llu of %llu failed, and the status is %s", (unsigned long long)at, (unsigned long long)whole.n, pith_status_name(status));
    assert_int_equal(f.alive, 0);
  }
  assert_true(n_tried > 50);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
