/* text/: ids and texts equal to the reference tokenizers' (../shared/data/golden), and the incremental decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "stdio_host.h"
#include "text/text_internal.h"
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

/* ---- golden files of the `tokenizers` library; their generators stand in tests/golden ---- */

static pith_json *open_golden(const char *path) {
  char *text;
  size_t n;
  pith_json *json;
  pith_ctx_init(&ctx, &stdio_host, NULL);
  assert_int_equal(pith_io_read_file(&ctx, path, 1 << 24, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(&ctx, text, n, path, &json), PITH_OK);
  pith_free(&ctx, text);
  return json;
}

static pith_tokenizer *open_spec(const pith_json *spec, const char *name) {
  pith_buffer file = {0};
  pith_tokenizer *t;
  assert_int_equal(pith_json_print(&ctx, spec, false, &file), PITH_OK);
  if (pith_tokenizer_open(&ctx, file.data, file.n_bytes, name, &t) != PITH_OK) fail_msg("%s", ctx.message);
  pith_buffer_free(&ctx, &file);
  return t;
}

/* [{name, tokenizer, cases: [{text, ids, decoded}]}] */
static int check_tokenizers(const pith_json *all) {
  int n_cases = 0;
  for (const pith_json *item = pith_json_first(all); item; item = pith_json_next(item)) {
    const char *name = pith_json_string(pith_json_get(item, "name"));
    pith_tokenizer *t = open_spec(pith_json_get(item, "tokenizer"), name);
    for (const pith_json *c = pith_json_first(pith_json_get(item, "cases")); c; c = pith_json_next(c), n_cases++) {
      const char *input = pith_json_string(pith_json_get(c, "text"));
      pith_ids got = {0};
      const pith_encode_options options = {.add_special_tokens = true};
      if (pith_tokenizer_encode(&ctx, t, input, strlen(input), options, &got) != PITH_OK) fail_msg("%s: %s", name, ctx.message);
      assert_ids(&got, pith_json_get(c, "ids"), input);
      assert_incremental(t, got.ids, got.n, pith_json_string(pith_json_get(c, "decoded")));
      pith_ids_free(&ctx, &got);
    }
    pith_tokenizer_close(&ctx, t);
  }
  return n_cases;
}

static void test_cases(void **state) {
  (void)state;
  pith_json *cases = open_golden("tests/c/data/tokenizer_cases.json"), *components = open_golden("tests/c/data/tokenizer_components.json");
  assert_true(check_tokenizers(cases) > 700);
  assert_true(check_tokenizers(pith_json_get(components, "tokenizers")) > 400);
  pith_json_free(cases);
  pith_json_free(components);
}

static void check_text(const pith_json *component, const char *input, const char *got, size_t n, const pith_json *expected) {
  pith_buffer name = {0};
  const char *wanted = pith_json_string(expected);
  assert_int_equal(pith_json_print(&ctx, component, false, &name), PITH_OK);
  if (!wanted || n != strlen(wanted) || memcmp(got, wanted, n) != 0)
    fail_msg("%s makes \"%.*s\" of \"%s\", not \"%s\"", name.data, (int)n, got, input, wanted ? wanted : "(nothing)");
  pith_buffer_free(&ctx, &name);
}

/* [[normalizer, [text, …]], …] */
static void test_normalizers(void **state) {
  (void)state;
  int n = 0;
  pith_json *golden = open_golden("tests/c/data/tokenizer_components.json");
  for (const pith_json *c = pith_json_first(pith_json_get(golden, "normalizers")); c; c = pith_json_next(c)) {
    const pith_json *spec = pith_json_first(c), *expected = pith_json_first(pith_json_next(spec));
    pith_text_ops ops = {0};
    pith_buffer out = {0};
    assert_int_equal(pith_parse_normalizer(&ctx, spec, "golden", &ops), PITH_OK);
    const pith_json *text = pith_json_first(pith_json_get(golden, "texts"));
    for (; text; text = pith_json_next(text), expected = pith_json_next(expected), n++) {
      const char *input = pith_json_string(text);
      assert_int_equal(pith_normalize(&ctx, &ops, input, strlen(input), NULL, &out), PITH_OK);
      check_text(spec, input, out.data, out.n_bytes, expected);
    }
    pith_buffer_free(&ctx, &out);
    pith_text_ops_free(&ctx, &ops);
  }
  assert_true(n > 400);
  pith_json_free(golden);
}

/* [[pre-tokenizer, [[piece, …], …]], …] */
static void test_pre_tokenizers(void **state) {
  (void)state;
  int n = 0;
  pith_json *golden = open_golden("tests/c/data/tokenizer_components.json");
  for (const pith_json *c = pith_json_first(pith_json_get(golden, "pre_tokenizers")); c; c = pith_json_next(c)) {
    const pith_json *spec = pith_json_first(c), *expected = pith_json_first(pith_json_next(spec));
    pith_text_ops ops = {0};
    pith_pieces out = {0};
    if (pith_parse_pre_tokenizer(&ctx, spec, "golden", &ops) != PITH_OK) fail_msg("%s", ctx.message);
    const pith_json *text = pith_json_first(pith_json_get(golden, "texts"));
    for (; text; text = pith_json_next(text), expected = pith_json_next(expected), n++) {
      const char *input = pith_json_string(text);
      uint32_t first;
      assert_int_equal(pith_pre_tokenize(&ctx, &ops, input, strlen(input), pith_utf8_decode(input, strlen(input), &first), &out), PITH_OK);
      const pith_json *piece = pith_json_first(expected);
      for (size_t i = 0, begin = 0; i < out.n; begin = out.ends[i++], piece = piece ? pith_json_next(piece) : NULL)
        check_text(spec, input, out.text.data + begin, out.ends[i] - begin, piece);
      if (piece) fail_msg("\"%s\" lacks the piece \"%s\"", input, pith_json_string(piece));
    }
    pith_pieces_free(&ctx, &out);
    pith_text_ops_free(&ctx, &ops);
  }
  assert_true(n > 1000);
  pith_json_free(golden);
}

/* [[decoder, [text, …]], …] for lists of ids; a text is null where the library panics. */
static void test_decoders(void **state) {
  (void)state;
  int n = 0;
  pith_json *golden = open_golden("tests/c/data/tokenizer_components.json");
  for (const pith_json *c = pith_json_first(pith_json_get(golden, "decoders")); c; c = pith_json_next(c)) {
    pith_json *spec = pith_json_new_object(), *model = pith_json_new_object(), *vocab = pith_json_new_object();
    int id = 0;
    for (const pith_json *token = pith_json_first(pith_json_get(golden, "tokens")); token; token = pith_json_next(token))
      pith_json_add_number(vocab, pith_json_string(token), id++);
    pith_json_add_string(model, "type", "WordLevel");
    pith_json_add(model, "vocab", vocab);
    pith_json_add(spec, "model", model);
    pith_json_add(spec, "decoder", pith_json_copy(pith_json_first(c)));
    pith_tokenizer *t = open_spec(spec, "golden");
    const pith_json *expected = pith_json_first(pith_json_next(pith_json_first(c)));
    const pith_json *list = pith_json_first(pith_json_get(golden, "ids"));
    for (; list; list = pith_json_next(list), expected = pith_json_next(expected), n++) {
      pith_ids ids = {0};
      for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item))
        assert_int_equal(pith_ids_append(&ctx, &ids, (int32_t)pith_json_number(item, -1)), PITH_OK);
      assert_incremental(t, ids.ids, ids.n, pith_json_string(expected));
      pith_ids_free(&ctx, &ids);
    }
    pith_tokenizer_close(&ctx, t);
    pith_json_free(spec);
  }
  assert_true(n > 300);
  pith_json_free(golden);
}

/* Half a megabyte of one character takes no quadratic time, whatever splits and merges it: a run that did would not end. */
static void test_long_runs(void **state) {
  (void)state;
  static const char *const characters[] = {"a", " ", "\n", "1", "東", "\xcc\x81", "<"};
  static const char *const names[] = {"Llama 3", "added", "Unigram, whole", "suffix and all bytes", "WordLevel"};
  enum { LENGTH = 1 << 19 };
  pith_json *golden = open_golden("tests/c/data/tokenizer_components.json");
  char *text;
  assert_int_equal(pith_malloc(&ctx, LENGTH, &text), PITH_OK);
  int n = 0;
  for (const pith_json *item = pith_json_first(pith_json_get(golden, "tokenizers")); item; item = pith_json_next(item)) {
    bool wanted = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) wanted = wanted || strcmp(pith_json_string(pith_json_get(item, "name")), names[i]) == 0;
    if (!wanted) continue;
    pith_tokenizer *t = open_spec(pith_json_get(item, "tokenizer"), "golden");
    for (size_t c = 0; c < sizeof characters / sizeof *characters; c++, n++) {
      const size_t width = strlen(characters[c]), n_bytes = LENGTH / width * width;
      for (size_t i = 0; i < n_bytes; i += width) memcpy(text + i, characters[c], width);
      pith_ids ids = {0};
      pith_buffer back = {0};
      assert_int_equal(pith_tokenizer_encode(&ctx, t, text, n_bytes, (pith_encode_options){0}, &ids), PITH_OK);
      assert_int_equal(pith_tokenizer_decode(&ctx, t, ids.ids, ids.n, false, &back), PITH_OK);
      pith_ids_free(&ctx, &ids);
      pith_buffer_free(&ctx, &back);
    }
    pith_tokenizer_close(&ctx, t);
  }
  assert_int_equal(n, 5 * 7);
  pith_free(&ctx, text);
  pith_json_free(golden);
}

/* ---- memory ---- */

typedef struct failing {
  uint64_t n, fail_at;   /* fail_at counts from 1; 0: never */
  int64_t alive;
} failing;

static void *allocate(void *user, size_t n_bytes) {
  failing *f = user;
  if (++f->n == f->fail_at) return NULL;
  f->alive++;
  return malloc(n_bytes);
}

static void release(void *user, void *ptr) {
  ((failing *)user)->alive -= ptr != NULL;
  free(ptr);
}

static pith_status open_encode_decode(const char *file, size_t n, const char *input) {
  pith_tokenizer *t;
  pith_ids ids = {0};
  pith_buffer out = {0};
  pith_status status = pith_tokenizer_open(&ctx, file, n, "golden", &t);
  if (status == PITH_OK) status = pith_tokenizer_encode(&ctx, t, input, strlen(input), (pith_encode_options){.add_special_tokens = true}, &ids);
  if (status == PITH_OK) status = pith_tokenizer_decode(&ctx, t, ids.ids, ids.n, false, &out);
  pith_tokenizer_close(&ctx, t);
  pith_ids_free(&ctx, &ids);
  pith_buffer_free(&ctx, &out);
  return status;
}

/* Memory that runs out at any allocation is PITH_E_MEMORY and leaves nothing behind. */
static void test_out_of_memory(void **state) {
  (void)state;
  static const char input[] = "The  quick <mask> brown f\xc3\xb6x e\xcc\x81\xcc\xa8, \xe6\x9d\xb1\xe4\xba\xac 123!\n";
  pith_json *golden = open_golden("tests/c/data/tokenizer_components.json");
  for (const pith_json *item = pith_json_first(pith_json_get(golden, "tokenizers")); item; item = pith_json_next(item)) {
    pith_buffer file = {0};
    failing f = {0};
    const pith_allocator allocator = {&f, allocate, release};
    pith_ctx_init(&ctx, &stdio_host, NULL);
    assert_int_equal(pith_json_print(&ctx, pith_json_get(item, "tokenizer"), false, &file), PITH_OK);
    pith_ctx_init(&ctx, &stdio_host, &allocator);
    assert_int_equal(open_encode_decode(file.data, file.n_bytes, input), PITH_OK);
    const uint64_t n_all = f.n;
    assert_true(n_all > 20);
    for (uint64_t at = 1; at <= n_all; at += at > 200 ? 7 : 1) {
      f = (failing){.fail_at = at};
      assert_int_equal(open_encode_decode(file.data, file.n_bytes, input), PITH_E_MEMORY);
      assert_int_equal(f.alive, 0);
    }
    pith_ctx_init(&ctx, &stdio_host, NULL);
    pith_buffer_free(&ctx, &file);
  }
  pith_json_free(golden);
}

static void test_refusals(void **state) {
  (void)state;
#define BERT "{\"type\":\"BertProcessing\",\"cls\":[\"a\",0],\"sep\":[\"b\",1]}"
#define SPLIT(pattern) \
  "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern "\"},\"behavior\":\"Isolated\",\"invert\":false}," MODEL "}"
#define MODEL "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
  static const struct {
    const char *json, *says;
    pith_status status;
  } cases[] = {
      {"{\"model\":{\"type\":\"Odd\"}}", "Odd", PITH_E_UNSUPPORTED},
      {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}}", "Unigram", PITH_E_FORMAT},
      {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[\"a\",1]]}}", "twice", PITH_E_FORMAT},
      {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}", "unk_id", PITH_E_FORMAT},
      {"{\"version\":\"2.0\"," MODEL "}", "version", PITH_E_UNSUPPORTED},
      {"{}", "no \"model\"", PITH_E_FORMAT},
      {"{\"normalizer\":{\"type\":\"Odd\"}," MODEL "}", "Odd", PITH_E_UNSUPPORTED},
      {"{\"normalizer\":{\"type\":\"Precompiled\"}," MODEL "}", "precompiled_charsmap", PITH_E_FORMAT},
      {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"a\"}," MODEL "}", "base 64", PITH_E_FORMAT},
      {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"CAAAAAAAAAA=\"}," MODEL "}", "cut off", PITH_E_FORMAT},
      {"{\"normalizer\":{\"type\":\"NFC\",\"odd\":1}," MODEL "}", "\"odd\" of \"NFC\"", PITH_E_UNSUPPORTED},
      {"{\"normalizer\":{\"type\":\"Strip\",\"strip_left\":1}," MODEL "}", "strip_left", PITH_E_FORMAT},
      {"{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}," MODEL "}", "empty", PITH_E_FORMAT},
      {SPLIT("^a"), "anchor", PITH_E_UNSUPPORTED},
      {SPLIT("\\\\ba"), "\\b in", PITH_E_UNSUPPORTED},
      {SPLIT("(?<=ab)c"), "look-around", PITH_E_UNSUPPORTED},
      {SPLIT("(a)\\\\1"), "\\1 in", PITH_E_UNSUPPORTED},
      {SPLIT("\\\\p{Han}"), "\\p{Han}", PITH_E_UNSUPPORTED},
      {SPLIT("a++"), "possessive", PITH_E_UNSUPPORTED},
      {SPLIT("(a*)*"), "may be empty", PITH_E_UNSUPPORTED},
      {SPLIT("(?>a)"), "group", PITH_E_UNSUPPORTED},
      {SPLIT("[a&&b]"), "&&", PITH_E_UNSUPPORTED},
      {SPLIT("[[:alpha:]]"), "POSIX", PITH_E_UNSUPPORTED},
      {SPLIT("(?i:\u00e9)"), "beyond ASCII", PITH_E_UNSUPPORTED},
      {SPLIT("(?i:ss)"), "fold", PITH_E_UNSUPPORTED},
      {SPLIT("(?i:\\\\p{Lu})"), "property", PITH_E_UNSUPPORTED},
      {SPLIT("(a"), "without its end", PITH_E_FORMAT},
      {SPLIT("a)"), "too many", PITH_E_FORMAT},
      {SPLIT("[a"), "without its end", PITH_E_FORMAT},
      {SPLIT("*a"), "repeats nothing", PITH_E_FORMAT},
      {SPLIT("a{3,2}"), "least", PITH_E_FORMAT},
      {SPLIT("a{2000}"), "1000 times", PITH_E_LIMIT},
      {SPLIT("(((a{99}){99}){99})"), "too large", PITH_E_LIMIT},
      {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Odd\",\"invert\":false}," MODEL "}", "Odd", PITH_E_UNSUPPORTED},
      {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}," MODEL "}", "one character", PITH_E_FORMAT},
      {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"odd\"}," MODEL "}", "odd", PITH_E_UNSUPPORTED},
      {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\","
       "\"add_prefix_space\":false,\"prepend_scheme\":\"first\"}," MODEL "}", "contradict", PITH_E_FORMAT},
      {"{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," MODEL "}", "UnicodeScripts", PITH_E_UNSUPPORTED},
      {"{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", "CTC", PITH_E_UNSUPPORTED},
      {"{\"post_processor\":{\"type\":\"Odd\"}," MODEL "}", "Odd", PITH_E_UNSUPPORTED},
      {"{\"post_processor\":{\"type\":\"Sequence\",\"processors\":[" BERT "," BERT "]}," MODEL "}", "behind another", PITH_E_UNSUPPORTED},
      {"{\"added_tokens\":[{\"id\":7,\"content\":\"x\"}]," MODEL "}", "has the id 7, and 3", PITH_E_FORMAT},
      {"{\"added_tokens\":[{\"id\":0,\"content\":\"a\"},{\"id\":0,\"content\":\"a\"}]," MODEL "}", "twice", PITH_E_FORMAT},
      {"{\"added_tokens\":[{\"id\":0,\"content\":\"a\",\"odd\":true}]," MODEL "}", "odd", PITH_E_UNSUPPORTED},
      {"{\"truncation\":{\"max_length\":8,\"direction\":\"Left\"}," MODEL "}", "left", PITH_E_UNSUPPORTED},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0", PITH_E_FORMAT},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", "dropout", PITH_E_UNSUPPORTED},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"odd\":0}}", "odd", PITH_E_UNSUPPORTED},
      {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a a\"]}}", "no pair", PITH_E_FORMAT},
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
}

static void test_encode_errors(void **state) {
  (void)state;
  pith_ctx_init(&ctx, &stdio_host, NULL);
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
  pith_tokenizer_close(&ctx, t);
  /* a pattern that reads the rest of the text for each of its matches is stopped */
  char many[1 << 16];
  memset(many, 'a', sizeof many);
  assert_int_equal(pith_tokenizer_open(&ctx, SPLIT("a*b|a"), strlen(SPLIT("a*b|a")), "file", &t), PITH_OK);
  assert_int_equal(pith_tokenizer_encode(&ctx, t, "aab", 3, (pith_encode_options){0}, &ids), PITH_OK);
  assert_int_equal(pith_tokenizer_encode(&ctx, t, many, sizeof many, (pith_encode_options){0}, &ids), PITH_E_LIMIT);
  pith_tokenizer_close(&ctx, t);
  /* an unknown token that is not in the vocabulary is missed once it is needed */
  static const char no_unk[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\"}}";
  assert_int_equal(pith_tokenizer_open(&ctx, no_unk, strlen(no_unk), "file", &t), PITH_OK);
  assert_int_equal(pith_tokenizer_encode(&ctx, t, "aa", 2, (pith_encode_options){0}, &ids), PITH_OK);
  assert_int_equal(pith_tokenizer_encode(&ctx, t, "ab", 2, (pith_encode_options){0}, &ids), PITH_E_FORMAT);
  pith_tokenizer_close(&ctx, t);
  pith_buffer_free(&ctx, &out);
  pith_ids_free(&ctx, &ids);
}

/* What the packed tables say of every code point, beside UnicodeData.txt; scripts/unicode-tables --check compares the tables themselves. */
static void test_unicode(void **state) {
  (void)state;
  static const char *const names[] = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
                                      "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"};
  FILE *file = fopen("/usr/share/unicode/UnicodeData.txt", "r");
  if (!file) fail_msg("no /usr/share/unicode/UnicodeData.txt: scripts/setup --test installs Debian's unicode-data");
  pith_unicode_forms *forms;
  pith_ctx_init(&ctx, NULL, NULL);
  assert_int_equal(pith_unicode_forms_open(&ctx, true, &forms), PITH_OK);
  char line[1024];
  uint32_t next = 0, n_decompositions = 0;
  while (fgets(line, sizeof line, file)) {
    char *fields[15] = {line};
    for (int i = 1; i < 15; i++) fields[i] = strchr(fields[i - 1], ';') + 1;
    const uint32_t c = (uint32_t)strtoul(fields[0], NULL, 16);
    const bool range_ends = strstr(fields[1], ", Last>;") != NULL, surrogate = strncmp(fields[2], "Cs", 2) == 0;
    for (; next < c; next++)   /* what the file leaves out, or has as the range that ends here */
      if (!range_ends && pith_unicode_flags(next) != PITH_CN) fail_msg("U+%04X is not assigned", next);
      else if (range_ends && pith_unicode_flags(next) != pith_unicode_flags(c)) fail_msg("U+%04X differs from its range", next);
    next = c + 1;
    uint32_t category = pith_unicode_flags(c), lower[2], parts[PITH_MAX_DECOMPOSITION], expected[PITH_MAX_DECOMPOSITION];
    if (category == PITH_CC_SPACE) category = PITH_CC;
    if (category == PITH_SO_WORD) category = PITH_SO;
    if (category == PITH_NO_WORD) category = PITH_NO;
    const char *name = names[__builtin_ctz(category)];
    if (strncmp(fields[2], surrogate ? "Cs" : name, 2) != 0 || (surrogate && category != PITH_CN)) fail_msg("U+%04X is %s", c, name);
    assert_int_equal(pith_unicode_combining_class(forms, c), strtoul(fields[3], NULL, 10));
    const size_t n_lower = pith_unicode_lower(c, lower);
    if (c != 0x130 && (n_lower != 1 || lower[0] != (*fields[13] == ';' ? c : (uint32_t)strtoul(fields[13], NULL, 16)))) fail_msg("U+%04X in lower case", c);
    const bool compatible = *fields[5] == '<';
    const char *at = compatible ? strchr(fields[5], '>') + 1 : fields[5];
    size_t n = 0;
    for (char *end; *at != ';'; at = end) {   /* one step; the library goes on with the parts */
      const uint32_t part = (uint32_t)strtoul(at, &end, 16);
      n += pith_unicode_decompose(forms, part, compatible, expected + n);
    }
    if (n == 0) continue;
    n_decompositions++;
    assert_int_equal(pith_unicode_decompose(forms, c, compatible, parts), n);
    assert_memory_equal(parts, expected, n * sizeof *parts);
    if (compatible) assert_int_equal(pith_unicode_decompose(forms, c, false, parts), 1);
  }
  assert_true(n_decompositions > 5000);
  assert_int_equal(pith_unicode_compose(forms, 'e', 0x301), 0xe9);
  assert_int_equal(pith_unicode_compose(forms, 0x11099, 0x110ba), 0x1109a);
  assert_int_equal(pith_unicode_compose(forms, 0x915, 0x93c), 0);   /* U+0958 is excluded */
  assert_int_equal(pith_unicode_compose(forms, 0x1100, 0x1161), 0xac00);
  pith_unicode_forms_close(&ctx, forms);
  fclose(file);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_unicode), cmocka_unit_test(test_minilm), cmocka_unit_test(test_story), cmocka_unit_test(test_tinystories),
                                     cmocka_unit_test(test_cases), cmocka_unit_test(test_normalizers), cmocka_unit_test(test_pre_tokenizers),
                                     cmocka_unit_test(test_decoders), cmocka_unit_test(test_long_runs), cmocka_unit_test(test_out_of_memory),
                                     cmocka_unit_test(test_refusals), cmocka_unit_test(test_encode_errors)};
  return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
