/* text/: ids and texts equal to the reference tokenizers' (../shared/data/golden), and the incremental decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "stdio_host.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

static pith_ctx ctx;

/* NULL, with a word about it, when the file is absent. */
static pith_tokenizer *open_tokenizer(const char *name) {
  char path[512], *text;
  size_t n;
  pith_ctx_init(&ctx, &stdio_host, NULL);
  if (pith_io_read_file(&ctx, shared_path(path, sizeof path, name), 1 << 26, &text, &n) != PITH_OK) {
    print_message("skipped: no %s (set PITH_SHARED to the folder that holds data/)\n", path);
    return NULL;
  }
  pith_tokenizer *tokenizer;
  if (pith_tokenizer_open(&ctx, text, n, name, &tokenizer) != PITH_OK) fail_msg("%s", ctx.message);
  pith_free(&ctx, text);
  return tokenizer;
}

static pith_json *open_json(const char *name) {
  char path[512], *text;
  size_t n;
  pith_json *json;
  assert_int_equal(pith_io_read_file(&ctx, shared_path(path, sizeof path, name), 1 << 26, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(&ctx, text, n, path, &json), PITH_OK);
  pith_free(&ctx, text);
  return json;
}

static void assert_ids(const pith_ids *got, const pith_json *expected, const char *text) {
  size_t i = 0;
  for (const pith_json *id = pith_json_first(expected); id; id = pith_json_next(id), i++)
    if (i >= got->n || got->ids[i] != (int32_t)pith_json_number(id, -1)) fail_msg("id %zu of \"%.60s\" differs", i, text);
  assert_int_equal(i, got->n);
}

/* decode(ids) token by token must give the same bytes as at once, and every piece must be whole UTF-8. */
static void assert_incremental(const pith_tokenizer *t, const int32_t *ids, size_t n, const char *expected) {
  pith_buffer whole = {0}, pieces = {0}, piece = {0};
  pith_detokenizer state = {0};
  assert_int_equal(pith_tokenizer_decode(&ctx, t, ids, n, false, &whole), PITH_OK);
  if (expected) assert_string_equal(whole.data, expected);
  for (size_t i = 0; i <= n; i++) {
    piece.n_bytes = 0;
    assert_int_equal(i < n ? pith_detokenizer_push(&ctx, t, &state, ids[i], &piece) : pith_detokenizer_flush(&ctx, t, &state, &piece), PITH_OK);
    if (!piece.n_bytes) continue;
    assert_int_equal(pith_utf8_validate(piece.data, piece.n_bytes), piece.n_bytes);
    assert_int_equal(pith_buffer_append(&ctx, &pieces, piece.data, piece.n_bytes), PITH_OK);
  }
  assert_int_equal(pieces.n_bytes, whole.n_bytes);
  if (whole.n_bytes) assert_memory_equal(pieces.data, whole.data, whole.n_bytes);
  pith_detokenizer_free(&ctx, &state);
  pith_buffer_free(&ctx, &whole);
  pith_buffer_free(&ctx, &pieces);
  pith_buffer_free(&ctx, &piece);
}

static void test_minilm(void **state) {
  (void)state;
  pith_tokenizer *t = open_tokenizer("models/all-MiniLM-L6-v2/tokenizer.json");
  if (!t) skip();
  pith_json *golden = open_json("golden/minilm.json");
  const pith_json *ids = pith_json_first(pith_json_get(golden, "ids"));
  int n_texts = 0;
  for (const pith_json *item = pith_json_first(pith_json_get(golden, "texts")); item; item = pith_json_next(item), ids = pith_json_next(ids)) {
    const char *text = pith_json_string(item);
    pith_ids got = {0};
    const pith_encode_options options = {.add_special_tokens = true, .max_tokens = 256};
    assert_int_equal(pith_tokenizer_encode(&ctx, t, text, strlen(text), options, &got), PITH_OK);
    assert_ids(&got, ids, text);
    assert_incremental(t, got.ids, got.n, NULL);
    pith_ids_free(&ctx, &got);
    n_texts++;
  }
  assert_true(n_texts > 50);
  assert_int_equal(pith_tokenizer_truncation(t), 128);
  assert_int_equal(pith_tokenizer_token_id(t, "[CLS]"), 101);
  pith_json_free(golden);
  pith_tokenizer_close(&ctx, t);
}

static void check_decoder(const char *tokenizer, const char *golden_name, int32_t bos) {
  pith_tokenizer *t = open_tokenizer(tokenizer);
  if (!t) skip();
  pith_json *golden = open_json(golden_name);
  for (const pith_json *p = pith_json_first(pith_json_get(golden, "prompts")); p; p = pith_json_next(p)) {
    const char *text = pith_json_string(pith_json_get(p, "prompt"));
    pith_ids got = {0}, greedy = {0};
    assert_int_equal(pith_ids_append(&ctx, &got, bos), PITH_OK);
    assert_int_equal(pith_tokenizer_encode(&ctx, t, text, strlen(text), (pith_encode_options){0}, &got), PITH_OK);
    assert_ids(&got, pith_json_get(p, "ids"), text);
    for (const pith_json *id = pith_json_first(pith_json_get(p, "greedy")); id; id = pith_json_next(id))
      assert_int_equal(pith_ids_append(&ctx, &greedy, (int32_t)pith_json_number(id, -1)), PITH_OK);
    assert_incremental(t, greedy.ids, greedy.n, pith_json_string(pith_json_get(p, "text")));
    assert_incremental(t, got.ids, got.n, NULL);
    pith_ids_free(&ctx, &got);
    pith_ids_free(&ctx, &greedy);
  }
  pith_json_free(golden);
  pith_tokenizer_close(&ctx, t);
}

static void test_story(void **state) {
  (void)state;
  check_decoder("models/story/tokenizer.json", "golden/story.json", 0);
}

static void test_tinystories(void **state) {
  (void)state;
  check_decoder("models/TinyStories-656K/tokenizer.json", "golden/tinystories.json", 1);
}

/* Synthetic tokenizers and what the `tokenizers` library made of many texts; the generator stands beside the file. */
static void test_cases(void **state) {
  (void)state;
  char *text;
  size_t n;
  pith_json *all;
  pith_ctx_init(&ctx, &stdio_host, NULL);
  assert_int_equal(pith_io_read_file(&ctx, "tests/c/data/tokenizer_cases.json", 1 << 24, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(&ctx, text, n, "tokenizer_cases.json", &all), PITH_OK);
  pith_free(&ctx, text);
  int n_cases = 0;
  for (const pith_json *item = pith_json_first(all); item; item = pith_json_next(item)) {
    pith_buffer file = {0};
    pith_tokenizer *t;
    assert_int_equal(pith_json_print(&ctx, pith_json_get(item, "tokenizer"), false, &file), PITH_OK);
    const char *name = pith_json_string(pith_json_get(item, "name"));
    if (pith_tokenizer_open(&ctx, file.data, file.n_bytes, name, &t) != PITH_OK) fail_msg("%s", ctx.message);
    for (const pith_json *c = pith_json_first(pith_json_get(item, "cases")); c; c = pith_json_next(c), n_cases++) {
      const char *input = pith_json_string(pith_json_get(c, "text"));
      pith_ids got = {0};
      assert_int_equal(pith_tokenizer_encode(&ctx, t, input, strlen(input), (pith_encode_options){.add_special_tokens = true}, &got), PITH_OK);
      assert_ids(&got, pith_json_get(c, "ids"), input);
      assert_incremental(t, got.ids, got.n, pith_json_string(pith_json_get(c, "decoded")));
      pith_ids_free(&ctx, &got);
    }
    pith_tokenizer_close(&ctx, t);
    pith_buffer_free(&ctx, &file);
  }
  pith_json_free(all);
  assert_true(n_cases > 100);
}

static void test_refusals(void **state) {
  (void)state;
#define MODEL "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
  static const struct {
    const char *json, *says;
    pith_status status;
  } cases[] = {
      {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}}", "Unigram", PITH_E_UNSUPPORTED},
      {"{}", "no \"model\"", PITH_E_FORMAT},
      {"{\"normalizer\":{\"type\":\"Nmt\"}," MODEL "}", "Nmt", PITH_E_UNSUPPORTED},
      {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," MODEL "}", "UnicodeScripts", PITH_E_UNSUPPORTED},
      {"{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", "CTC", PITH_E_UNSUPPORTED},
      {"{\"post_processor\":{\"type\":\"Odd\"}," MODEL "}", "Odd", PITH_E_UNSUPPORTED},
      {"{\"truncation\":{\"max_length\":8,\"direction\":\"Left\"}," MODEL "}", "left", PITH_E_UNSUPPORTED},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0", PITH_E_FORMAT},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", "dropout", PITH_E_UNSUPPORTED},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", "two tokens", PITH_E_FORMAT},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "no id", PITH_E_FORMAT},
      {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0},\"unk_token\":\"u\"}}", "unknown token", PITH_E_FORMAT},
  };
  pith_ctx_init(&ctx, &stdio_host, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_tokenizer *t;
    assert_int_equal(pith_tokenizer_open(&ctx, cases[i].json, strlen(cases[i].json), "file", &t), cases[i].status);
    assert_null(t);
    if (!strstr(ctx.message, cases[i].says)) fail_msg("case %zu: %s", i, ctx.message);
  }
  pith_tokenizer *t;
  pith_ids ids = {0};
  assert_int_equal(pith_tokenizer_open(&ctx, "{" MODEL "}", strlen("{" MODEL "}"), "file", &t), PITH_OK);
  assert_int_equal(pith_tokenizer_encode(&ctx, t, "ab\xff", 3, (pith_encode_options){0}, &ids), PITH_E_ARGUMENT);
  assert_non_null(strstr(ctx.message, "byte 2"));
  /* ids of padded embeddings: no text, and none between other tokens */
  static const int32_t padded[] = {3, -1, 1000000};
  pith_buffer out = {0};
  assert_int_equal(pith_tokenizer_decode(&ctx, t, padded, 3, false, &out), PITH_OK);
  assert_int_equal(out.n_bytes, 0);
  pith_buffer_free(&ctx, &out);
  pith_ids_free(&ctx, &ids);
  pith_tokenizer_close(&ctx, t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_minilm), cmocka_unit_test(test_story), cmocka_unit_test(test_tinystories),
                                     cmocka_unit_test(test_cases), cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
