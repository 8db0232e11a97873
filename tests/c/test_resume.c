/* Compressions that break off and go on: wherever that was, the same bytes; notes and shards that are not what they should be. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sha256.h"
#include "pith.h"
#include "tiny_checkpoint.h"

static pith_ctx ctx;
static pith_host_posix posix;
static pith_host host;
static char root[256];
static const tiny_shape shapes[] = {
    {.bert = true, .hidden = 128, .inner = 192, .layers = 3, .heads = 4, .kv_heads = 4, .vocab = 701, .positions = 64},
    {.tied = true, .hidden = 96, .inner = 128, .layers = 2, .heads = 3, .kv_heads = 3, .vocab = 3001, .positions = 64}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };
static char folders[N_SHAPES][512];
static char texts[8192];

/* The n-th write fails, as on a full disk; from then on all do. */
static int32_t writes_left;
static int32_t failing_write(void *user, int32_t handle, const void *src, uint64_t n_bytes) {
  return writes_left-- > 0 ? host.write(user, handle, src, n_bytes) : -(int32_t)PITH_E_NO_SPACE;
}

/* Steps until `n_steps` are done, then it is dropped; negative: to its end. */
static pith_status run(const pith_host *with, const char *request, int n_steps, char message[512]) {
  pith_instance *instance = pith_open(with, NULL);
  pith_job *job = NULL;
  pith_status status = pith_job_start(instance, request, strlen(request), &job);
  if (status == PITH_OK)
    do status = pith_job_step(job, 0);
    while (status == PITH_PENDING && --n_steps != 0);
  pith_job_end(job);
  snprintf(message, 512, "%s", pith_message(instance));
  pith_close(instance);
  return status;
}

/* Of all files of the package. */
static void digest(const char *folder, char hex[65]) {
  pith_sha256 sha;
  char path[600], name[64], *text;
  size_t n;
  pith_sha256_init(&sha);
  for (int i = -2; i < 99; i++) {
    snprintf(name, sizeof name, i == -2 ? "pith.json" : i == -1 ? "tokenizer.json" : "shard-%05d.safetensors", i + 1);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (host.exists(host.user, path) != 1) continue;
    assert_int_equal(pith_io_read_file(&ctx, path, 1 << 26, &text, &n), PITH_OK);
    pith_sha256_update(&sha, text, n);
    pith_free(&ctx, text);
  }
  pith_sha256_final(&sha, hex);
}

static char *request_for(int s, const char *name, const char *recipe, bool calibrated, bool resume, char out[16384]) {
  snprintf(out, 16384, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/%s\",\"shardSize\":65536,\"recipe\":%s,\"force\":true%s%s%s%s}", folders[s], root, name, recipe,
           resume ? ",\"resume\":true" : "", calibrated ? ",\"calibrate\":[" : "", calibrated ? texts : "", calibrated ? "]" : "");
  return out;
}

static void gone(const char *name, bool expected) {
  char path[600];
  snprintf(path, sizeof path, "%s/%s.partial", root, name);
  assert_true((host.exists(host.user, path) == 0) == expected);
}

static int count(const char *name, const char *end) {
  char path[600], found[256];
  snprintf(path, sizeof path, "%s/%s.partial", root, name);
  return host.exists(host.user, path) == 2 ? host.find(host.user, path, end, found, sizeof found) : 0;
}

#define PRUNED(WHAT) "{\"name\":\"p\",\"matrices\":{\"encoding\":\"u7\"},\"tables\":{\"encoding\":\"u8-row\"},\"prune\":{" WHAT "}}"

/* Broken off at every write, and again, and then whole. */
static void test_full_disk(void **state) {
  (void)state;
  static const struct {
    int shape;
    bool calibrated;
    const char *recipe;
    int step, least;         /* between writes, breaks */
  } cases[] = {{0, false, "\"int8\"", 1, 12},
               {1, false, "{\"name\":\"b\",\"matrices\":{\"encoding\":\"u7-block\",\"sparsity\":{\"form\":\"block\",\"fraction\":0.5}},\"tables\":{\"encoding\":\"u8-row\"}}", 1, 12},
               {0, true, "\"int4\"", 5, 3},
               {1, true, "\"int4\"", 5, 3},
               {1, false, PRUNED("\"neurons\":0.5,\"importance\":\"magnitude\""), 4, 3},
               {0, true, PRUNED("\"neurons\":0.5,\"heads\":0.3,\"layers\":[1]"), 5, 3},
               {1, true, PRUNED("\"neurons\":[0.3,0.6],\"heads\":0.3"), 5, 3}};
  char request[16384], message[512], whole[65], resumed[65], path[600];
  pith_host failing = host;
  failing.write = failing_write;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const int s = cases[i].shape;
    int n_kept = 0, n_broken = 0;
    assert_int_equal(run(&host, request_for(s, "whole", cases[i].recipe, cases[i].calibrated, false, request), -1, message), PITH_OK);
    snprintf(path, sizeof path, "%s/whole", root);
    digest(path, whole);
    for (int32_t n = 0;; n += cases[i].step) {
      request_for(s, "resumed", cases[i].recipe, cases[i].calibrated, true, request);
      writes_left = n;
      const pith_status status = run(&failing, request, -1, message);
      if (status == PITH_OK) break;
      assert_int_equal(status, PITH_E_NO_SPACE);
      n_kept += count("resumed", ".safetensors") > 0;
      n_broken++;
      gone("resumed", count("resumed", "resume.json") == 0);
      writes_left = n + 3;   /* a little further */
      const pith_status again = run(&failing, request, -1, message);
      assert_true(again == PITH_E_NO_SPACE || again == PITH_OK);
      assert_int_equal(run(&host, request, -1, message), PITH_OK);
      snprintf(path, sizeof path, "%s/resumed", root);
      digest(path, resumed);
      assert_string_equal(whole, resumed);
      gone("resumed", true);
      snprintf(path, sizeof path, "%s/resumed/resume.json", root);
      assert_int_equal(host.exists(host.user, path), 0);
    }
    print_message("case %zu: broken off at %d writes, with shards that stayed at %d\n", i, n_broken, n_kept);
    assert_true(n_broken > cases[i].least && n_kept > n_broken / 2);
  }
}

/* Dropped between two steps, as when it is cancelled; without being asked nothing stays. */
static void test_cancelled(void **state) {
  (void)state;
  char request[16384], message[512], whole[65], resumed[65], path[600];
  assert_int_equal(run(&host, request_for(0, "whole", "\"int8\"", true, false, request), -1, message), PITH_OK);
  snprintf(path, sizeof path, "%s/whole", root);
  digest(path, whole);
  for (int n = 1; n < 2000; n = n * 3 / 2 + 1) {
    run(&host, request_for(0, "resumed", "\"int8\"", true, true, request), n, message);
    assert_int_equal(run(&host, request, -1, message), PITH_OK);
    snprintf(path, sizeof path, "%s/resumed", root);
    digest(path, resumed);
    assert_string_equal(whole, resumed);
    run(&host, request_for(0, "dropped", "\"int8\"", true, false, request), n, message);
    gone("dropped", true);
  }
}

/* Until some shards are there. */
static void break_off(const char *request, char message[512]) {
  pith_host failing = host;
  failing.write = failing_write;
  writes_left = 10;
  assert_int_equal(run(&failing, request, -1, message), PITH_E_NO_SPACE);
  assert_true(count("resumed", ".safetensors") > 1);
}

static void test_wrong(void **state) {
  (void)state;
  static const struct {
    int shape;
    const char *recipe;
    bool calibrated;
    const char *says;
  } others[] = {{0, "\"int4\"", false, "another recipe"}, {0, "\"int8\"", true, "another set of calibration texts"}, {1, "\"int8\"", false, "another model"}};
  char request[16384], message[512], path[600];
  break_off(request_for(0, "resumed", "\"int8\"", false, true, request), message);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    assert_int_equal(run(&host, request_for(others[i].shape, "resumed", others[i].recipe, others[i].calibrated, true, request), -1, message), PITH_E_ARGUMENT);
    if (!strstr(message, others[i].says)) fail_msg("\"%s\" does not say \"%s\"", message, others[i].says);
    gone("resumed", false);
  }
  /* a shard with another byte */
  snprintf(path, sizeof path, "%s/resumed.partial/shard-00001.safetensors", root);
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  assert_int_equal(fseek(file, -200, SEEK_END), 0);
  const int byte = fgetc(file);
  assert_int_equal(fseek(file, -200, SEEK_END), 0);
  assert_int_equal(fputc(byte ^ 1, file), byte ^ 1);
  assert_int_equal(fclose(file), 0);
  assert_int_equal(run(&host, request_for(0, "resumed", "\"int8\"", false, true, request), -1, message), PITH_E_INTEGRITY);
  if (!strstr(message, "shard-00001")) fail_msg("%s", message);
  /* begun anew, it goes */
  assert_int_equal(run(&host, request_for(0, "resumed", "\"int8\"", false, false, request), -1, message), PITH_OK);
  gone("resumed", true);
  /* a note that is none */
  break_off(request_for(0, "resumed", "\"int8\"", false, true, request), message);
  snprintf(path, sizeof path, "%s/resumed.partial", root);
  tiny_write(path, "resume.json", "{", 1, "", 0);
  assert_int_equal(run(&host, request, -1, message), PITH_E_FORMAT);
  assert_int_equal(run(&host, request_for(0, "resumed", "\"int8\"", false, false, request), -1, message), PITH_OK);
  assert_int_equal(run(&host, request_for(1, "refused", "{\"name\":\"m\",\"matrices\":{\"encoding\":\"u7\"},\"tables\":{\"encoding\":\"u8-row\"},\"migrate\":{\"by\":\"awq\"}}",
                                          true, true, request), -1, message), PITH_E_UNSUPPORTED);
  gone("refused", true);
}

static int set_up(void **state) {
  static const char *const words[] = {"river", "stone", "green", "house", "light", "water", "north", "table", "cloud", "paper"};
  (void)state;
  host = pith_host_posix_init(&posix);
  pith_ctx_init(&ctx, &host, NULL);
  tiny_checkpoints(root, sizeof root, shapes, N_SHAPES, folders);
  size_t n = 0;
  for (int i = 0; i < 40; i++) {
    n += (size_t)snprintf(texts + n, sizeof texts - n, "%s\"", i ? "," : "");
    for (int k = 0; k < 12; k++) n += (size_t)snprintf(texts + n, sizeof texts - n, "%s ", words[(i * 7 + k * (i % 3 + 1) + k * k) % 10]);
    n += (size_t)snprintf(texts + n, sizeof texts - n, "\"");
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  tiny_remove(root);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_full_disk), cmocka_unit_test(test_cancelled), cmocka_unit_test(test_wrong)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
