/* Memory that runs out at any allocation is one error: nothing crashes, nothing leaks (the sanitizer lane sees that), and the instance goes
 * on working. */
#define _XOPEN_SOURCE 700
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
#include "tiny_checkpoint.h"

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

static const char *const story[] = {"{\"verb\":\"load\",\"path\":\"models/story\"}",
                                       "{\"verb\":\"generate\",\"model\":1,\"prompt\":\"Once\",\"maxTokens\":3,\"temperature\":1,\"stop\":[\"xyz\"]}",
                                       "{\"verb\":\"tokenize\",\"model\":1,\"text\":\"Once upon a time\"}", "{\"verb\":\"unload\",\"model\":1}", NULL};

/* The first status that is not PITH_OK. */
static pith_status session(failing *f, const char *const *requests) {
  pith_host_posix state;
  const pith_host host = pith_host_posix_init(&state);
  const pith_allocator allocator = {f, allocate, release};
  pith_instance *instance = pith_open(&host, &allocator);
  if (!instance) return PITH_E_MEMORY;
  pith_status status = PITH_OK;
  for (size_t i = 0; requests[i] && status == PITH_OK; i++) status = run(instance, requests[i]);
  if (status != PITH_OK) {   /* with memory again, the same instance works */
    assert_true(strlen(pith_message(instance)) > 0);
    assert_int_equal(run(instance, "{\"verb\":\"version\"}"), PITH_OK);
  }
  pith_close(instance);
  return status;
}

static void fail_each_allocation(const char *const *requests, uint64_t last) {
  failing whole = {0, 0, 0};
  assert_int_equal(session(&whole, requests), PITH_OK);
  assert_int_equal(whole.alive, 0);
  assert_true(whole.n > 50);
  uint64_t n_tried = 0;
  /* all of the first and of the `last`, and some of the thousands that a vocabulary makes */
  for (uint64_t at = 1; at <= whole.n; at += at < 40 || at + last > whole.n ? 1 : 1 + whole.n / 40, n_tried++) {
    failing f = {0, at, 0};
    const pith_status status = session(&f, requests);
    if (status != PITH_E_MEMORY) fail_msg("allocation %llu of %llu failed, and the status is %s", (unsigned long long)at, (unsigned long long)whole.n, pith_status_name(status));
    assert_int_equal(f.alive, 0);
  }
  assert_true(n_tried > 50);
}

static void test_load_and_generate(void **state) {
  (void)state;
  fail_each_allocation(story, 60);
}

static void test_compress(void **state) {
  (void)state;
  static const tiny_shape shapes[] = {
      {.tied = false, .hidden = 16, .inner = 24, .layers = 2, .heads = 2, .kv_heads = 1, .vocab = 500, .positions = 64},
      {.bert = true, .hidden = 16, .inner = 24, .layers = 1, .heads = 2, .kv_heads = 2, .vocab = 300, .positions = 64}};
  char root[256];
  tiny_folder(root, sizeof root);
  for (int s = 0; s < 2; s++) {
    char folder[512], compress[2048], eval[2048];
    uint64_t n_bytes;
    tiny_checkpoint(root, shapes[s].bert ? "bert" : "llama", &shapes[s], folder, sizeof folder, &n_bytes);
    snprintf(compress, sizeof compress, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/package\",\"force\":true,\"texts\":[\"a b\",\"c\"]}", folder, root);
    snprintf(eval, sizeof eval, "{\"verb\":\"eval\",\"source\":\"%s/package\",\"against\":\"%s\",\"texts\":[\"a b\",\"c\"]}", root, folder);
    const char *const compressing[] = {compress, NULL}, *const evaluating[] = {eval, NULL};
    fail_each_allocation(compressing, 250);   /* from before the measuring on */
    fail_each_allocation(evaluating, 100);
  }
  tiny_remove(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_load_and_generate), cmocka_unit_test(test_compress)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
