/* base/: JSON, SHA-256, buffers, the arena, and what happens when memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/json.h"
#include "base/sha256.h"

static void sha_of(const char *text, size_t times, char hex[65]) {
  pith_sha256 sha;
  pith_sha256_init(&sha);
  for (size_t i = 0; i < times; i++) pith_sha256_update(&sha, text, strlen(text));
  pith_sha256_final(&sha, hex);
}

/* FIPS 180-4's examples. */
static void test_sha256(void **state) {
  (void)state;
  char hex[65];
  sha_of("abc", 1, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  sha_of("", 1, hex);
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  sha_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, hex);
  assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  sha_of("aaaaaaaaaa", 100000, hex);
  assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_json_round_trip(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  const char text[] = "{\"a\":[1,2.5,-3e-07,true,null],\"b\":{\"c\":\"\\u00e9\\n\"},\"d\":[]}";
  pith_json *json;
  assert_int_equal(pith_json_parse(&ctx, text, sizeof text - 1, "text", &json), PITH_OK);
  pith_buffer first = {0}, second = {0};
  assert_int_equal(pith_json_print(&ctx, json, true, &first), PITH_OK);
  pith_json_free(json);
  assert_int_equal(pith_json_parse(&ctx, first.data, first.n_bytes, "printed", &json), PITH_OK);
  assert_int_equal(pith_json_print(&ctx, json, true, &second), PITH_OK);
  assert_string_equal(first.data, second.data);
  int64_t one;
  assert_true(pith_json_integer(pith_json_first(pith_json_get(json, "a")), 0, 10, &one));
  assert_int_equal(one, 1);
  pith_json_free(json);
  pith_buffer_free(&ctx, &first);
  pith_buffer_free(&ctx, &second);
}

static void test_json_refuses(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  static const struct {
    const char *text, *says;
  } cases[] = {{"", "is not JSON"},          {"{", "is not JSON"},         {"{} x", "is not JSON"},
               {"<!DOCTYPE html>", "web page"}, {"{\"a\":1,\"a\":2}", "twice"}, {"[1,]", "is not JSON"},
               {"[\"\\x\"]", "is not JSON"}, {"[\"\\ud800\"]", "is not JSON"}, {"[\"a", "is not JSON"},
               {"{\"a\" 1}", "is not JSON"},   {"[tru]", "is not JSON"},       {"{\"a\":\"x\\u0000y\"}", "NUL"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_json *json;
    assert_int_equal(pith_json_parse(&ctx, cases[i].text, strlen(cases[i].text), "file", &json), PITH_E_FORMAT);
    assert_null(json);
    assert_non_null(strstr(ctx.message, cases[i].says));
  }
  char deep[400];
  memset(deep, '[', sizeof deep);
  pith_json *json;
  assert_int_equal(pith_json_parse(&ctx, deep, sizeof deep, "file", &json), PITH_E_FORMAT);
  assert_non_null(strstr(ctx.message, "deeper"));
}

typedef struct failing {
  int left;
} failing;

static void *failing_allocate(void *user, size_t n_bytes) {
  failing *f = user;
  return f->left-- > 0 ? malloc(n_bytes) : NULL;
}

static void failing_release(void *user, void *ptr) {
  (void)user;
  free(ptr);
}

static void test_out_of_memory(void **state) {
  (void)state;
  int n_failures = 0;
  for (int n = 0;; n++) {
    failing f = {n};
    const pith_allocator allocator = {&f, failing_allocate, failing_release};
    pith_ctx ctx;
    pith_ctx_init(&ctx, NULL, &allocator);
    pith_buffer buffer = {0};
    pith_status status = PITH_OK;
    for (int i = 0; i < 200 && status == PITH_OK; i++) status = pith_buffer_printf(&ctx, &buffer, "%d and on, ", i);
    pith_buffer_free(&ctx, &buffer);
    if (status == PITH_OK) break;
    assert_int_equal(status, PITH_E_MEMORY);
    assert_non_null(strstr(ctx.message, "out of memory"));
    n_failures++;
  }
  assert_true(n_failures > 3);
}

static void test_arena(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  pith_arena arena;
  assert_int_equal(pith_arena_init(&ctx, &arena, 192), PITH_OK);
  uint8_t *a = pith_arena_take(&arena, 1), *b = pith_arena_take(&arena, 128);
  assert_non_null(a);
  assert_ptr_equal(b, a + 64);
  assert_int_equal((uintptr_t)a % PITH_ALIGN, 0);
  assert_null(pith_arena_take(&arena, 1));
  pith_arena_free(&ctx, &arena);
}

static void test_flat_object(void **state) {
  (void)state;
  static const struct {
    const char *text, *keys;   /* each with its value; NULL: not found; "…!": found, and unusual from there on */
  } cases[] = {
      {"{\"a\":[{\"vocab\":{\"x\":1}}], \"model\" : {\"n\":null, \"vocab\": {\"a\":0, \"b c\" : 12 } } }", "a=0 b c=12 "},
      {"{\"model\":{\"vocab\":{\"\\u0120\\\"\\\\\\/\\n\":7,\"\\u20AC\\u0041\":123456789}}}", "\xc4\xa0\"\\/\n=7 \xe2\x82\xac" "A=123456789 "},
      {"{\"model\":{\"vocab\":{\"a\":1,\"a\":2}}}", "a=1 a=2 "},
      {"{\"model\":{\"vocab\":{}}}", NULL},
      {"{\"model\":{\"vocab\":[\"a\"]}}", NULL},
      {"{\"model\":{\"vocab\":{\"a\":{}}}}", NULL},
      {"{\"model\":{\"vocab\":{\"a\":1", NULL},
      {"{\"model\":{\"vocab\":{\"a\\", NULL},
      {"{\"model\":{\"other\":{\"a\":1}}}", NULL},
      {"{\"vocab\":{\"a\":1}}", NULL},
      {"{\"model\":{\"vocab\":{\"a\":1,\"b\":1.5}}}", "a=1 b=1 !"},
      {"{\"model\":{\"vocab\":{\"a\":-1}}}", "!"},
      {"{\"model\":{\"vocab\":{\"a\":01}}}", "!"},
      {"{\"model\":{\"vocab\":{\"a\":1234567890}}}", "!"},
      {"{\"model\":{\"vocab\":{\"a\":\"b\"}}}", "!"},
      {"{\"model\":{\"vocab\":{\"a\":1 \"b\":2}}}", "a=1 !"},
      {"{\"model\":{\"vocab\":{\"a\":1,}}}", "a=1 !"},
      {"{\"model\":{\"vocab\":{\"\\ud83d\\ude00\":1}}}", "!"},
      {"{\"model\":{\"vocab\":{\"\\u0000\":1}}}", "!"},
      {"{\"model\":{\"vocab\":{\"\n\":1}}}", "!"},
      {"{\"model\":{\"vocab\":{\"\\x\":1}}}", "!"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_json_flat flat;
    char seen[256] = "";
    const bool found = pith_json_flat_find(cases[i].text, strlen(cases[i].text), "model", "vocab", &flat);
    assert_int_equal(found, cases[i].keys != NULL);
    const char *key;
    size_t n_bytes, n = 0;
    int32_t value;
    pith_status status = PITH_OK;
    while (found && (status = pith_json_flat_next(&flat, &key, &n_bytes, &value)) == PITH_PENDING)
      n += (size_t)snprintf(seen + n, sizeof seen - n, "%.*s=%d ", (int)n_bytes, key, (int)value);
    if (status != PITH_OK) strcat(seen, "!");
    if (found) assert_string_equal(seen, cases[i].keys);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sha256),
      cmocka_unit_test(test_flat_object), cmocka_unit_test(test_json_round_trip),
                                     cmocka_unit_test(test_json_refuses), cmocka_unit_test(test_out_of_memory),
                                     cmocka_unit_test(test_arena)};
  return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
