/* base/: decimals and formats beside the C library's, JSON, SHA-256, buffers, the arena, and what happens when memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "base/decimal.h"
#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/sort.h"

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

static uint64_t random_bits(uint64_t *state) {   /* xorshift64* */
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(2685821657736338717);
}

static double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void check_parse(const char *text) {
  double value, expected = strtod(text, NULL);
  if (pith_decimal_parse(text, strlen(text), &value) != strlen(text) || memcmp(&value, &expected, sizeof value) != 0)
    fail_msg("%s: %a instead of %a", text, value, expected);
}

static void check_print(const char *format, double value) {
  char text[400], expected[400];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  const int n = snprintf(expected, sizeof expected, format, value);
  assert_int_equal(pith_snprintf(text, sizeof text, format, value), n);
#pragma GCC diagnostic pop
  assert_string_equal(text, expected);
}

/* The C library is the definition: the nearest double of a text, the nearest text of a double. */
static void test_decimals(void **state) {
  (void)state;
  static const char *const texts[] = {"0", "-0", "0.1", "1e22", "1e23", "9007199254740993", "9007199254740992.5", "9007199254740993.0000000000000000000000000001",
    "4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308", "2.2250738585072014e-308", "1.7976931348623157e308",
    "1.7976931348623158e308", "1.7976931348623159e308", "1e309", "-1e999", "1e-999", "0e999999999999", "0.000000000000000000000000000000000000000000000000000000001",
    "17976931348623158079372897140530341507993413271003782e256", "-13.228300094604492", "7.2057594037927933e16", "0.5000000000000001665334536937735",
    "123456789012345678901234567890123456789012345678901234567890.12", ".5", "5.", "007"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) check_parse(texts[i]);
  static const char *const none[] = {"", "-", ".", "-.e1", "e1", "1e", "1e+", "x", "1234567890123456789012345678901234567890123456789012345678901234"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    double value = 1;
    assert_int_equal(pith_decimal_parse(none[i], strlen(none[i]), &value), 0);
    assert_true(value == 0);
  }
  static const char *const formats[] = {"%.17g", "%.15g", "%g", "%.9g", "%.1g", "%.0g", "%.0f", "%.1f", "%.6f", "%12.3f", "%-12.2f|", "%012.1f", "%.40f"};
  static const double values[] = {0, -0.0, 0.5, 1.5, 2.5, 0.25, 9.5, 99.5, 0.05, 9.995, 1e15, 1e16, 123456, 1234567, 0.0001, 0.00001234, 9.9999999e-5, 5e-324, 1.7976931348623157e308};
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) check_print(formats[f], values[i]);
  uint64_t seed = 0x9e3779b97f4a7c15;
  for (int i = 0; i < 20000; i++) {
    const uint64_t bits = random_bits(&seed);
    const double any = double_of(bits), near = double_of((bits & ~(UINT64_C(0x7ff) << 52)) | (UINT64_C(1023 - 40) + bits % 80) << 52);
    char text[80];
    if (any - any == 0) {   /* finite */
      for (size_t f = 0; f < 4; f++) check_print(formats[f], any);
      snprintf(text, sizeof text, "%.*e", (int)(bits % 40), any);
      check_parse(text);
    }
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) check_print(formats[f], near);
    snprintf(text, sizeof text, "%.*g", (int)(1 + bits % 20), near);
    check_parse(text);
    snprintf(text, sizeof text, "%llue%d", (unsigned long long)random_bits(&seed), (int)(bits % 60) - 40);
    check_parse(text);
    /* Half-way between two doubles, exactly, and a little more. */
    const uint64_t whole = (random_bits(&seed) >> 11) | UINT64_C(1) << 52;
    snprintf(text, sizeof text, "%llu.5", (unsigned long long)whole);
    check_parse(text);
    snprintf(text, sizeof text, "%llu.5000000000000000000000000000000000001", (unsigned long long)whole);
    check_parse(text);
  }
}

static void test_formats(void **state) {
  (void)state;
  char text[64], expected[64];
#define SAME(...) \
  assert_int_equal(pith_snprintf(text, sizeof text, __VA_ARGS__), snprintf(expected, sizeof expected, __VA_ARGS__)); \
  assert_string_equal(text, expected)
  SAME("plain 100 %%");
  SAME("%d %d %d", 0, -1, INT32_MIN);
  SAME("%lld %lld", (long long)INT64_MIN, (long long)INT64_MAX);
  SAME("%llu %zu %u", (unsigned long long)UINT64_MAX, (size_t)7, 4000000000u);
  SAME("%02x %02X %x %05u %5d %-5d|", 10u, 171u, 0u, 42u, -3, -3);
  SAME("%s|%.2s|%.*s|%5s|%-5s|%.9s", "ab", "abc", 1, "abc", "ab", "ab", "ab");
  SAME("%*s%-*s|", 4, "", 6, "key");
  assert_int_equal(pith_snprintf(text, 8, "%s, %d", "cut off", 12345), 14);
  assert_string_equal(text, "cut off");
  assert_int_equal(pith_snprintf(text, 0, "%d", 123), 3);
  const char *foreign = "%c";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  assert_int_equal(pith_snprintf(text, sizeof text, foreign, 'x'), -1);
#pragma GCC diagnostic pop
}

static int compare_odd(const void *a, const void *b) { return memcmp(a, b, 3); }

static void test_sort(void **state) {
  (void)state;
  uint64_t seed = 7;
  for (size_t n = 0; n < 70; n++) {
    uint8_t ours[70][3], theirs[70][3];
    for (size_t i = 0; i < n; i++)
      for (size_t k = 0; k < 3; k++) ours[i][k] = theirs[i][k] = (uint8_t)(random_bits(&seed) % (n % 2 ? 3 : 256));
    pith_sort(ours, n, 3, compare_odd);
    qsort(theirs, n, 3, compare_odd);
    assert_memory_equal(ours, theirs, 3 * n);
  }
}

static void test_json_round_trip(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  const char text[] = "\xef\xbb\xbf{\"a\":[1,2.5,-3e-07,true,null,\"\\ud83d\\ude00\\/\\b\\f\\t\\u001f\"],\"b\":{\"c\":\"\\u00e9\\n\"},\"d\":[]}";
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
               {"{\"a\" 1}", "is not JSON"},   {"[tru]", "is not JSON"}, {"[01]", "byte 1"}, {"[0,1e309]", "byte 3"}, {"[-1e999]", "byte 1"}, {"[1.]", "byte 1"}, {"[-.5]", "byte 1"}, {"[\"\t\"]", "byte 2"}, {"[\"\\udc00\"]", "byte 2"}, {"[\"ab\\u12g4\"]", "byte 4"},       {"{\"a\":\"x\\u0000y\"}", "NUL"},
               {"[\"\xe4\"]", "byte 2 is not UTF-8"}, {"[\"\xed\xa0\x80\"]", "byte 2 is not UTF-8"}};
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

/* Keys that all hash to one place, with and without one that is there twice: neither slow nor overlooked. */
static void test_crafted_keys(void **state) {
  (void)state;
  enum { KEYS = 400, MASK = (1 << 10) - 1 };
  static char text[KEYS * 24];
  for (int twice = 0; twice < 2; twice++) {
    size_t n = 0;
    uint32_t wanted = 0;
    char *at = text, last[16] = "";
    *at++ = '{';
    for (uint32_t i = 0; n < KEYS; i++) {
      char key[16];
      uint32_t hash = 2166136261u;
      snprintf(key, sizeof key, "%x", (unsigned)i);
      for (const char *c = key; *c; c++) hash = (hash ^ (uint8_t)*c) * 16777619u;
      if (i == 0) wanted = hash & MASK;
      if ((hash & MASK) != wanted) continue;
      at += sprintf(at, "%s\"%s\":1", n ? "," : "", key);
      strcpy(last, key);
      n++;
    }
    if (twice) at += sprintf(at, ",\"%s\":2", last);
    *at++ = '}';
    pith_ctx ctx;
    pith_json *json;
    pith_ctx_init(&ctx, NULL, NULL);
    assert_int_equal(pith_json_parse(&ctx, text, (size_t)(at - text), "crafted", &json), twice ? PITH_E_FORMAT : PITH_OK);
    if (twice) assert_non_null(strstr(ctx.message, last));
    pith_json_free(json);
  }
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
      {"{\"model\":{\"vocab\":{\"\\ud83d\\ude00\":1}}}", "\xf0\x9f\x98\x80=1 "},
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
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sha256), cmocka_unit_test(test_decimals), cmocka_unit_test(test_formats), cmocka_unit_test(test_sort), cmocka_unit_test(test_flat_object), cmocka_unit_test(test_crafted_keys), cmocka_unit_test(test_json_round_trip),
                                     cmocka_unit_test(test_json_refuses), cmocka_unit_test(test_out_of_memory),
                                     cmocka_unit_test(test_arena)};
  return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
