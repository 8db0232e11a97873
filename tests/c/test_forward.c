/* model/forward in fp32 against PyTorch's answers (../shared/data/golden): hidden states of MiniLM after every layer,
 * logits and greedy choices of the two decoders. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/forward.h"
#include "stdio_host.h"

typedef struct fixture {
  pith_ctx ctx;
  pith_checkpoint checkpoint;
  pith_weights weights;
  pith_arena arena;
  pith_forward forward;
  pith_json *answers;
  pith_checkpoint_file golden;
  pith_safetensors golden_header;
} fixture;

static bool open_fixture(fixture *f, const char *model, const char *golden_json, const char *golden_tensors, uint32_t rows) {
  memset(f, 0, sizeof *f);
  pith_ctx_init(&f->ctx, &stdio_host, NULL);
  char path[512], *text;
  size_t n;
  const pith_status status = pith_checkpoint_open(&f->ctx, shared_path(path, sizeof path, model), &f->checkpoint);
  if (status == PITH_E_NOT_FOUND) {
    print_message("skipped: no checkpoint at %s (set PITH_SHARED to the folder that holds data/)\n", path);
    pith_checkpoint_close(&f->ctx, &f->checkpoint);
    return false;
  }
  if (status != PITH_OK) fail_msg("%s", f->ctx.message);
  pith_checkpoint_loader loader;
  assert_int_equal(pith_checkpoint_loader_init(&f->ctx, &loader, &f->checkpoint, &f->weights), PITH_OK);
  pith_status step;
  while ((step = pith_checkpoint_loader_step(&f->ctx, &loader)) == PITH_PENDING) continue;
  if (step != PITH_OK) fail_msg("%s", f->ctx.message);
  assert_true(loader.done_bytes > 0 && loader.done_bytes <= loader.total_bytes);
  pith_checkpoint_loader_free(&f->ctx, &loader);
  const pith_kernels *kernels = pith_kernels_find("auto");
  uint64_t n_bytes;
  assert_true(pith_forward_plan(&f->ctx, &f->checkpoint.config, &f->weights, kernels, rows, 512, &n_bytes));
  assert_int_equal(pith_arena_init(&f->ctx, &f->arena, (size_t)n_bytes), PITH_OK);
  assert_int_equal(pith_forward_init(&f->ctx, &f->forward, &f->checkpoint.config, &f->weights, kernels, rows, 512, &f->arena), PITH_OK);
  assert_int_equal(f->arena.used, n_bytes);
  assert_int_equal(pith_io_read_file(&f->ctx, shared_path(path, sizeof path, golden_json), 1 << 24, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(&f->ctx, text, n, path, &f->answers), PITH_OK);
  pith_free(&f->ctx, text);
  assert_int_equal(pith_io_open(&f->ctx, shared_path(path, sizeof path, golden_tensors), &f->golden.handle, &f->golden.n_bytes), PITH_OK);
  assert_int_equal(pith_safetensors_read(&f->ctx, f->golden.handle, f->golden.n_bytes, path, &f->golden_header), PITH_OK);
  return true;
}

static void close_fixture(fixture *f) {
  pith_arena_free(&f->ctx, &f->arena);
  pith_weights_free(&f->ctx, &f->weights);
  pith_checkpoint_close(&f->ctx, &f->checkpoint);
  pith_json_free(f->answers);
  pith_safetensors_free(&f->ctx, &f->golden_header);
  pith_io_close(&f->ctx, f->golden.handle);
}

static uint32_t read_ids(const pith_json *list, int32_t *ids) {
  uint32_t n = 0;
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) ids[n++] = (int32_t)pith_json_number(item, -1);
  return n;
}

/* The largest difference between x and the golden tensor of that name. */
static double distance(fixture *f, const char *name, const float *x, size_t n) {
  const pith_tensor_entry *entry = pith_safetensors_find(&f->golden_header, name);
  assert_non_null(entry);
  assert_int_equal(entry->n_bytes, n * sizeof(float));
  float *expected;
  assert_int_equal(pith_malloc(&f->ctx, n * sizeof(float), &expected), PITH_OK);
  assert_int_equal(pith_checkpoint_read(&f->ctx, &f->golden, entry, 0, n, expected), PITH_OK);
  double worst = 0.0;
  for (size_t i = 0; i < n; i++) worst = fmax(worst, fabs((double)x[i] - (double)expected[i]));
  pith_free(&f->ctx, expected);
  return worst;
}

static void run_layer(pith_forward *f, int32_t layer) {
  pith_forward_attention(f, layer);
  pith_forward_feed(f, layer);
}

static void test_minilm_hidden_states(void **state) {
  (void)state;
  fixture f;
  if (!open_fixture(&f, "models/all-MiniLM-L6-v2", "golden/minilm.json", "golden/minilm.safetensors", 64)) skip();
  int32_t ids[512];
  double worst = 0.0;
  const pith_json *list = pith_json_first(pith_json_get(f.answers, "ids"));
  for (int text = 0; text < 4; text++, list = pith_json_next(list)) {
    const uint32_t n = read_ids(list, ids);
    const pith_span span = {0, n, 0};
    char name[32];
    pith_forward_begin(&f.forward, ids, n, &span, 1);
    for (int32_t layer = 0; layer <= 6; layer++) {
      snprintf(name, sizeof name, "hidden.%d.%d", text, (int)layer);
      worst = fmax(worst, distance(&f, name, f.forward.x, (size_t)n * 384));
      if (layer < 6) run_layer(&f.forward, layer);
    }
  }
  print_message("worst difference of a hidden state: %.2g\n", worst);
  assert_true(worst < 1e-4);
  close_fixture(&f);
}

/* Logits of the prompt, then 48 greedy choices through the cache, one token at a time, to the first margin below 1e-3. */
static void check_decoder(const char *model, const char *golden_json, const char *golden_tensors, size_t vocab) {
  fixture f;
  if (!open_fixture(&f, model, golden_json, golden_tensors, 64)) skip();
  float *logits;
  int32_t ids[512], greedy[64];
  double worst = 0.0;
  int prompt = 0;
  size_t n_compared = 0;
  const int32_t n_layers = f.checkpoint.config.n_layers;
  assert_int_equal(pith_malloc(&f.ctx, 64 * vocab * sizeof(float), &logits), PITH_OK);
  for (const pith_json *p = pith_json_first(pith_json_get(f.answers, "prompts")); p; p = pith_json_next(p), prompt++) {
    uint32_t n = read_ids(pith_json_get(p, "ids"), ids);
    const uint32_t n_greedy = read_ids(pith_json_get(p, "greedy"), greedy);
    pith_span span = {0, n, 0};
    pith_forward_begin(&f.forward, ids, n, &span, 1);
    for (int32_t layer = 0; layer < n_layers; layer++) run_layer(&f.forward, layer);
    pith_forward_finish(&f.forward);
    for (uint32_t i = 0; i < n; i++) pith_forward_logits(&f.forward, i, logits + i * vocab);
    char name[32];
    snprintf(name, sizeof name, "logits.%d", prompt);
    worst = fmax(worst, distance(&f, name, logits, n * vocab));
    const pith_json *margin = pith_json_first(pith_json_get(p, "margins"));
    float *last = logits + (n - 1) * vocab;
    for (uint32_t i = 0; i < n_greedy && pith_json_number(margin, 0) >= 1e-3; i++, margin = pith_json_next(margin)) {
      size_t best = 0;
      for (size_t t = 1; t < vocab; t++)
        if (last[t] > last[best]) best = t;
      assert_int_equal(best, greedy[i]);
      n_compared++;
      span = (pith_span){0, 1, n++};
      pith_forward_begin(&f.forward, &greedy[i], 1, &span, 1);
      for (int32_t layer = 0; layer < n_layers; layer++) run_layer(&f.forward, layer);
      pith_forward_finish(&f.forward);
      last = logits;
      pith_forward_logits(&f.forward, 0, last);
    }
  }
  print_message("%s: worst difference of a logit %.2g, %zu greedy ids equal\n", model, worst, n_compared);
  assert_true(prompt >= 3 && worst < 1e-4 && n_compared > 50);
  pith_free(&f.ctx, logits);
  close_fixture(&f);
}

static void test_story(void **state) {
  (void)state;
  check_decoder("models/story", "golden/story.json", "golden/story.safetensors", 4096);
}

static void test_tinystories(void **state) {
  (void)state;
  check_decoder("models/TinyStories-656K", "golden/tinystories.json", "golden/tinystories.safetensors", 2048);
}

/* All layers of a batch; the calls that the longest half-layer took. */
static int run_pieces(pith_forward *f, int32_t *ids, uint32_t n, const pith_span *spans, uint32_t n_spans) {
  int most = 0;
  pith_forward_begin(f, ids, n, spans, n_spans);
  for (int32_t half = 0; half < 2 * f->config->n_layers; half++) {
    int calls = 1;
    while (!pith_forward_half(f, half)) calls++;
    most = calls > most ? calls : most;
  }
  return most;
}

/* Large half-layers come in several pieces, and a text's bits depend neither on that nor on what is beside it. */
static void test_pieces(void **state) {
  (void)state;
  static const char *const models[][3] = {{"models/all-MiniLM-L6-v2", "golden/minilm.json", "golden/minilm.safetensors"},
                                          {"models/story", "golden/story.json", "golden/story.safetensors"}};
  enum { ROWS = 576, TEXT = 64 };
  for (int m = 0; m < 2; m++) {
    fixture f;
    if (!open_fixture(&f, models[m][0], models[m][1], models[m][2], ROWS)) skip();
    const size_t h = (size_t)f.checkpoint.config.hidden_size;
    int32_t ids[ROWS];
    float *expected;
    for (int i = 0; i < ROWS; i++) ids[i] = 1000 + i * 7 % 2000;
    assert_int_equal(pith_malloc(&f.ctx, ROWS * h * sizeof(float), &expected), PITH_OK);
    if (m == 0) {   /* a text among short ones, and beside one so long that attention goes by its rows */
      pith_span spans[] = {{0, TEXT, 0}, {TEXT, TEXT, 0}};
      const int few = run_pieces(&f.forward, ids, 2 * TEXT, spans, 2);
      memcpy(expected, f.forward.x, TEXT * h * sizeof(float));
      spans[1].n_rows = ROWS - TEXT;
      const int many = run_pieces(&f.forward, ids, ROWS, spans, 2);
      print_message("calls of a half-layer: %d for %d rows, %d for %d\n", few, 2 * TEXT, many, ROWS);
      assert_true(few <= 5 && many > 5);
      assert_memory_equal(f.forward.x, expected, TEXT * h * sizeof(float));
    } else {        /* a prompt at once, and in chunks through the cache */
      pith_span span = {0, 512, 0};
      assert_true(run_pieces(&f.forward, ids, 512, &span, 1) > 1);
      memcpy(expected, f.forward.x, 512 * h * sizeof(float));
      for (uint32_t at = 0; at < 512; at += TEXT) {
        span = (pith_span){0, TEXT, at};
        run_pieces(&f.forward, ids + at, TEXT, &span, 1);
        assert_memory_equal(f.forward.x, expected + at * h, TEXT * h * sizeof(float));
      }
    }
    pith_free(&f.ctx, expected);
    close_fixture(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_minilm_hidden_states), cmocka_unit_test(test_story), cmocka_unit_test(test_tinystories),
                                     cmocka_unit_test(test_pieces)};
  return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
