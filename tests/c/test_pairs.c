/* Pairs of texts as the `tokenizers` library makes one sequence of them (tests/c/data/pairs.json, by tests/golden/pairs.py). What models answer to their
 * token types is in test_families.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/host_posix.h"
#include "base/json.h"
#include "text/pairs.h"

static pith_host_posix posix;
static pith_host host;
static pith_ctx ctx;

static pith_json *read_json(const char *path) {
  char *text;
  size_t n;
  pith_json *json;
  assert_int_equal(pith_io_read_file(&ctx, path, 1 << 26, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(&ctx, text, n, path, &json), PITH_OK);
  pith_free(&ctx, text);
  return json;
}

/* A tokenizer of tokenizer_cases.json with another post-processor. */
static pith_tokenizer *open_with(const pith_json *tokenizers, const char *name, const pith_json *post_processor) {
  pith_buffer text = {0};
  pith_tokenizer *t;
  const pith_json *found = NULL;
  for (const pith_json *item = pith_json_first(tokenizers); item && !found; item = pith_json_next(item))
    if (strcmp(pith_json_string(pith_json_get(item, "name")), name) == 0) found = pith_json_get(item, "tokenizer");
  assert_non_null(found);
  pith_json *own = pith_json_new_object();
  for (const pith_json *m = pith_json_first(found); m; m = pith_json_next(m))
    if (strcmp(pith_json_key(m), "post_processor") != 0) pith_json_add(own, pith_json_key(m), pith_json_copy(m));
  if (post_processor) pith_json_add(own, "post_processor", pith_json_copy(post_processor));
  assert_int_equal(pith_json_print(&ctx, own, false, &text), PITH_OK);
  if (pith_tokenizer_open(&ctx, text.data, text.n_bytes, name, &t) != PITH_OK) fail_msg("%s", ctx.message);
  pith_json_free(own);
  pith_buffer_free(&ctx, &text);
  return t;
}

static pith_status encode(const pith_tokenizer *t, const char *a, const char *b, int32_t limit, pith_ids *ids, pith_ids *types) {
  return pith_tokenizer_encode_pair(&ctx, t, (const char *const[]){a, b}, (const size_t[]){strlen(a), strlen(b)}, limit, ids, types);
}

static bool same(const pith_json *expected, const pith_ids *found) {
  const pith_json *item = pith_json_first(expected);
  if (pith_json_count(expected) != found->n) return false;
  for (size_t i = 0; i < found->n; i++, item = pith_json_next(item))
    if (pith_json_number(item, -1) != found->ids[i]) return false;
  return true;
}

static void test_as_the_library(void **state) {
  (void)state;
  pith_json *golden = read_json("tests/c/data/pairs.json"), *tokenizers = read_json("tests/c/data/tokenizer_cases.json");
  int n_cases = 0;
  for (const pith_json *g = pith_json_first(pith_json_get(golden, "tokenizers")); g; g = pith_json_next(g)) {
    pith_tokenizer *t = open_with(tokenizers, pith_json_string(pith_json_get(g, "of")), pith_json_get(g, "post_processor"));
    for (const pith_json *c = pith_json_first(pith_json_get(g, "cases")); c; c = pith_json_next(c), n_cases++) {
      pith_ids ids = {0}, types = {0};
      const char *a = pith_json_string(pith_json_get(c, "a")), *b = pith_json_string(pith_json_get(c, "b"));
      const int32_t limit = (int32_t)pith_json_number(pith_json_get(c, "limit"), -1);
      if (encode(t, a, b, limit, &ids, &types) != PITH_OK) fail_msg("%s", ctx.message);
      if (!same(pith_json_get(c, "ids"), &ids) || !same(pith_json_get(c, "types"), &types))
        fail_msg("%s, at most %d: \"%s\" and \"%s\"", pith_json_string(pith_json_get(g, "of")), (int)limit, a, b);
      pith_ids_free(&ctx, &ids);
      pith_ids_free(&ctx, &types);
    }
    pith_tokenizer_close(&ctx, t);
  }
  assert_true(n_cases > 200);
  pith_json_free(golden);
  pith_json_free(tokenizers);
}

/* Templates that cannot be followed still serve single texts. */
static void test_refused(void **state) {
  (void)state;
  static const char *const templates[] = {
      "null", "{\"type\":\"ByteLevel\",\"trim_offsets\":true}",
#define TEMPLATE(pair) "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]," pair "\"special_tokens\":{\"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[2],\"tokens\":[\"[SEP]\"]}}}"
#define A "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
      TEMPLATE(""), TEMPLATE("\"pair\":[" A "],"), TEMPLATE("\"pair\":[" A "," A "],"), TEMPLATE("\"pair\":[" A ",{\"Sequence\":{\"id\":\"B\",\"type_id\":2}}],"),
      TEMPLATE("\"pair\":[" A ",{\"Sequence\":{\"id\":\"C\",\"type_id\":1}}],")};
  pith_json *tokenizers = read_json("tests/c/data/tokenizer_cases.json");
  for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
    pith_json *post_processor;
    pith_ids ids = {0}, types = {0};
    assert_int_equal(pith_json_parse(&ctx, templates[i], strlen(templates[i]), "the template", &post_processor), PITH_OK);
    pith_tokenizer *t = open_with(tokenizers, "wordpiece lower", post_processor);
    assert_int_equal(encode(t, "a", "b", 0, &ids, &types), PITH_E_UNSUPPORTED);
    assert_non_null(strstr(ctx.message, "how two texts become one sequence"));
    assert_int_equal(ids.n + types.n, 0);
    assert_int_equal(pith_tokenizer_encode(&ctx, t, "a", 1, (pith_encode_options){true, 0}, &ids), PITH_OK);
    pith_ids_free(&ctx, &ids);
    pith_tokenizer_close(&ctx, t);
    pith_json_free(post_processor);
  }
  const char *text = "{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",2],\"cls\":[\"[CLS]\",1]}";
  pith_json *bert;
  pith_ids ids = {0}, types = {0};
  assert_int_equal(pith_json_parse(&ctx, text, strlen(text), "the post-processor", &bert), PITH_OK);
  pith_tokenizer *t = open_with(tokenizers, "wordpiece lower", bert);
  assert_int_equal(encode(t, "a", "b", 2, &ids, &types), PITH_E_ARGUMENT);
  assert_int_equal(encode(t, "a", "b\xff", 0, &ids, &types), PITH_E_ARGUMENT);
  assert_non_null(strstr(ctx.message, "UTF-8 at byte 1"));
  pith_ids_free(&ctx, &ids);
  pith_ids_free(&ctx, &types);
  pith_tokenizer_close(&ctx, t);
  pith_json_free(bert);
  pith_json_free(tokenizers);
}

static int begin(void **state) {
  (void)state;
  host = pith_host_posix_init(&posix);
  pith_ctx_init(&ctx, &host, NULL);
  return 0;
}

static int end(void **state) {
  (void)state;
  pith_host_posix_free(&posix);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_the_library), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests_name("pairs", tests, begin, end);
}
