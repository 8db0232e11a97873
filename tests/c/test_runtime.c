/* runtime/ on the real checkpoints: embeddings and greedy text equal to golden, the options of generation, memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/host_posix.h"
#include "runtime/embed.h"
#include "runtime/generate.h"
#include "stdio_host.h"

static pith_ctx ctx;
static pith_host_posix posix;
static pith_model model;

static bool open_model(const char *name) {
  char path[512];
  const pith_host host = pith_host_posix_init(&posix);
  pith_ctx_init(&ctx, &host, NULL);
  pith_model_loader loader;
  pith_status status = pith_model_loader_init(&ctx, &loader, &model, shared_path(path, sizeof path, name), pith_kernels_find("auto"));
  if (status == PITH_E_NOT_FOUND) {
    print_message("skipped: no checkpoint at %s (set PITH_SHARED to the folder that holds data/)\n", path);
    pith_model_loader_free(&ctx, &loader);
    return false;
  }
  for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING;) status = pith_model_loader_step(&ctx, &loader);
  if (status != PITH_OK) fail_msg("%s", ctx.message);
  pith_model_loader_free(&ctx, &loader);
  return true;
}

static pith_json *golden(const char *name) {
  char path[512], *text;
  size_t n;
  pith_json *json;
  assert_int_equal(pith_io_read_file(&ctx, shared_path(path, sizeof path, name), 1 << 26, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(&ctx, text, n, path, &json), PITH_OK);
  pith_free(&ctx, text);
  return json;
}

static void test_embeddings(void **state) {
  (void)state;
  if (!open_model("models/all-MiniLM-L6-v2")) skip();
  pith_json *answers = golden("golden/minilm.json");
  const char *texts[128];
  size_t n_bytes[128], n = 0;
  for (const pith_json *t = pith_json_first(pith_json_get(answers, "texts")); t; t = pith_json_next(t), n++) {
    texts[n] = pith_json_string(t);
    n_bytes[n] = strlen(texts[n]);
  }
  static float out[128 * 384], one[384];
  pith_embedder e;
  assert_int_equal(pith_embedder_init(&ctx, &e, &model), PITH_OK);
  assert_int_equal(pith_embedder_begin(&ctx, &e, texts, n_bytes, n, -1, out), PITH_OK);
  while (e.encoder.n_tokenized < n) assert_int_equal(pith_embedder_step(&ctx, &e), PITH_PENDING);
  const uint64_t n_allocations = ctx.n_allocations;
  while (pith_embedder_step(&ctx, &e) == PITH_PENDING) continue;
  assert_int_equal(ctx.n_allocations, n_allocations);
  char path[512];
  int32_t handle;
  uint64_t size;
  pith_safetensors index;
  assert_int_equal(pith_io_open(&ctx, shared_path(path, sizeof path, "golden/minilm.safetensors"), &handle, &size), PITH_OK);
  assert_int_equal(pith_safetensors_read(&ctx, handle, size, path, &index), PITH_OK);
  const pith_tensor_entry *entry = pith_safetensors_find(&index, "embeddings");
  static float expected[128 * 384];
  assert_int_equal(entry->n_bytes, n * 384 * sizeof(float));
  assert_int_equal(pith_io_read(&ctx, handle, entry->offset, expected, entry->n_bytes, path), PITH_OK);
  double worst = 0.0;
  for (size_t i = 0; i < n * 384; i++) worst = fmax(worst, fabs((double)out[i] - (double)expected[i]));
  print_message("%zu texts: worst difference of an embedding %.2g\n", n, worst);
  assert_true(worst < 1e-5);
  /* alone or in a batch: the same bits */
  for (size_t i = 0; i < n; i += 7) {
    assert_int_equal(pith_embedder_begin(&ctx, &e, texts + i, n_bytes + i, 1, -1, one), PITH_OK);
    while (pith_embedder_step(&ctx, &e) == PITH_PENDING) continue;
    assert_memory_equal(one, out + i * 384, sizeof one);
  }
  const char *bad = "\xc3(";
  const size_t two = 2;
  assert_int_equal(pith_embedder_begin(&ctx, &e, &bad, &two, 1, -1, one), PITH_OK);
  assert_int_equal(pith_embedder_step(&ctx, &e), PITH_E_ARGUMENT);
  const char *few[] = {"a", "\xc3("};
  const size_t lengths[] = {1, 2};
  assert_int_equal(pith_embedder_begin(&ctx, &e, few, lengths, 2, -1, one), PITH_OK);
  assert_int_equal(pith_embedder_step(&ctx, &e), PITH_E_ARGUMENT);
  assert_non_null(strstr(ctx.message, "text 2: "));
  pith_generator g;
  assert_int_equal(pith_generator_begin(&ctx, &g, &model, "x", 1, &(pith_generation){.max_tokens = 1}), PITH_E_UNSUPPORTED);
  pith_generator_free(&ctx, &g);
  pith_safetensors_free(&ctx, &index);
  pith_io_close(&ctx, handle);
  pith_embedder_free(&ctx, &e);
  pith_json_free(answers);
  pith_model_close(&ctx, &model);
}

static const pith_sampling greedy = {.top_p = 1, .repetition_penalty = 1};

static pith_finish generate(const char *prompt, pith_generation options, char *out, size_t capacity) {
  pith_generator g;
  if (pith_generator_begin(&ctx, &g, &model, prompt, strlen(prompt), &options) != PITH_OK) fail_msg("%s", ctx.message);
  pith_status status;
  const char *const planned = g.text.data, *const piece = g.piece.data;
  for (;;) {
    const uint64_t n_allocations = ctx.n_allocations;
    status = pith_generator_step(&ctx, &g);
    assert_int_equal(ctx.n_allocations, n_allocations);
    if (status != PITH_PENDING) break;
    assert_true(g.n_emitted <= g.text.n_bytes);
  }
  assert_ptr_equal(g.text.data, planned);
  assert_ptr_equal(g.piece.data, piece);
  assert_int_equal(status, PITH_OK);
  assert_int_equal(g.n_emitted, g.text.n_bytes);
  assert_true(g.text.n_bytes < capacity);
  memcpy(out, g.text.data, g.text.n_bytes + 1);
  const pith_finish finish = g.finish;
  pith_generator_free(&ctx, &g);
  return finish;
}

static void test_generation(void **state) {
  (void)state;
  if (!open_model("models/story")) skip();
  pith_json *answers = golden("golden/story.json");
  char text[4096], again[4096];
  for (const pith_json *p = pith_json_first(pith_json_get(answers, "prompts")); p; p = pith_json_next(p)) {
    const char *prompt = pith_json_string(pith_json_get(p, "prompt"));
    assert_int_equal(generate(prompt, (pith_generation){.sampling = greedy, .max_tokens = 48}, text, sizeof text), PITH_FINISH_LENGTH);
    assert_string_equal(text, pith_json_string(pith_json_get(p, "text")));
  }
  pith_generation options = {.sampling = greedy, .max_tokens = 60};
  options.sampling.temperature = 0.9f;
  options.sampling.seed = 3;
  generate("Once upon a time", options, text, sizeof text);
  generate("Once upon a time", options, again, sizeof again);
  assert_string_equal(text, again);
  options.sampling.seed = 4;
  generate("Once upon a time", options, again, sizeof again);
  assert_string_not_equal(text, again);
  options.sampling = greedy;
  options.stops[0] = "and he was a boy";
  options.n_stops = 1;
  assert_int_equal(generate("Once upon a time there was a boy who", options, text, sizeof text), PITH_FINISH_STOP_TEXT);
  assert_string_equal(text, " was a boy, ");
  options.n_stops = 0;
  options.max_tokens = 1000;
  assert_int_equal(generate("Once", options, text, sizeof text), PITH_FINISH_CONTEXT);
  pith_generator g;
  char huge[6000];
  memset(huge, 'x', sizeof huge);
  assert_int_equal(pith_generator_begin(&ctx, &g, &model, huge, sizeof huge, &options), PITH_E_LIMIT);
  pith_generator_free(&ctx, &g);
  pith_embedder e;
  assert_int_equal(pith_embedder_init(&ctx, &e, &model), PITH_E_UNSUPPORTED);
  pith_embedder_free(&ctx, &e);
  pith_json_free(answers);
  pith_model_close(&ctx, &model);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_embeddings), cmocka_unit_test(test_generation)};
  return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
