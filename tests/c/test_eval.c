/* What eval measures beside quality: the error after each layer, against rows of the ordinary forward pass; the speed, by a clock made here. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/evaluate.h"
#include "pith.h"
#include "tiny_checkpoint.h"

enum { LAYERS = 4, HIDDEN = 48, MAX_ROWS = 64 };
static const tiny_shape shapes[] = {{.tied = true, .hidden = HIDDEN, .inner = 96, .layers = LAYERS, .heads = 4, .kv_heads = 2, .vocab = 901, .positions = 300},
                                    {.bert = true, .hidden = HIDDEN, .inner = 96, .layers = LAYERS, .heads = 4, .kv_heads = 4, .vocab = 701, .positions = 64}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };
static char root[256], folders[N_SHAPES][512];
static pith_host_posix posix;
static pith_host host;
static pith_ctx ctx;

/* The result, to be freed; NULL and the message where it fails. */
static pith_json *run(const char *request, char message[PITH_MESSAGE_CAP]) {
  pith_instance *instance = pith_open(&host, NULL);
  pith_job *job;
  pith_json *json = NULL;
  size_t n;
  pith_status status = pith_job_start(instance, request, strlen(request), &job);
  while (status == PITH_OK && (status = pith_job_step(job, 0)) == PITH_PENDING) status = PITH_OK;
  snprintf(message, PITH_MESSAGE_CAP, "%s", pith_message(instance));
  if (job && status == PITH_OK) {
    const char *text = pith_job_result(job, &n);
    assert_int_equal(pith_json_parse(&ctx, text, n, "the result", &json), PITH_OK);
  }
  pith_job_end(job);
  pith_close(instance);
  return json;
}

static pith_json *works(const char *request) {
  char message[PITH_MESSAGE_CAP];
  pith_json *json = run(request, message);
  if (!json) fail_msg("%s: %s", request, message);
  return json;
}

static void fails(const char *request, const char *says) {
  char message[PITH_MESSAGE_CAP];
  if (run(request, message) || !strstr(message, says)) fail_msg("%s: %s", request, message);
}

static char *compressed(int shape, const char *recipe, char package[512]) {
  char request[4096];
  snprintf(package, 512, "%s/package", root);
  snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s\",\"recipe\":%s,\"force\":true,\"texts\":[\"a few words\",\"more\"]}", folders[shape],
           package, recipe);
  pith_json_free(works(request));
  return package;
}

static void load_whole(const char *folder, pith_model *model) {
  pith_model_loader loader;
  memset(model, 0, sizeof *model);
  pith_status status = pith_model_loader_init(&ctx, &loader, model, folder, pith_kernels_find("auto"));
  for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING;) status = pith_model_loader_step(&ctx, &loader);
  if (status != PITH_OK) fail_msg("%s", ctx.message);
  pith_model_loader_free(&ctx, &loader);
}

/* Rows of one sequence after the embedding and after each layer: (layers + 1, n, hidden). */
static void rows_of(const pith_model *model, const int32_t *ids, uint32_t n, float *out) {
  pith_arena arena;
  pith_forward f;
  uint64_t n_bytes;
  const pith_span span = {0, n, 0};
  assert_true(n <= MAX_ROWS && pith_forward_plan(&ctx, &model->config, &model->weights, model->kernels, MAX_ROWS, MAX_ROWS, &n_bytes));
  assert_int_equal(pith_arena_init(&ctx, &arena, (size_t)n_bytes), PITH_OK);
  assert_int_equal(pith_forward_init(&ctx, &f, &model->config, &model->weights, model->kernels, MAX_ROWS, MAX_ROWS, &arena), PITH_OK);
  pith_forward_begin(&f, ids, n, &span, 1);
  for (int32_t layer = -1; layer < model->config.n_layers; layer++, out += n * HIDDEN) {
    if (layer >= 0) pith_forward_attention(&f, layer);
    if (layer >= 0) pith_forward_feed(&f, layer);
    memcpy(out, f.x, n * HIDDEN * sizeof *out);
  }
  pith_arena_free(&ctx, &arena);
}

static const char *const some_texts[] = {"Some words that are many enough for a few rows", "a", "the quick brown fox jumps over the lazy dog", "more of them"};
enum { N_TEXTS = sizeof some_texts / sizeof *some_texts };

/* The figures by definition, in order of rows. */
static void expected_errors(const pith_model *model, const pith_model *parent, pith_layer_error out[LAYERS + 1], uint64_t *n_rows) {
  static float rows[2][(LAYERS + 1) * MAX_ROWS * HIDDEN];
  const bool causal = model->config.task == PITH_TASK_GENERATE;
  memset(out, 0, (LAYERS + 1) * sizeof *out);
  *n_rows = 0;
  for (int t = 0; t < N_TEXTS; t++) {
    pith_ids ids = {0};
    assert_int_equal(pith_model_encode(&ctx, model, some_texts[t], strlen(some_texts[t]), !causal, !causal, &ids), PITH_OK);
    const uint32_t n = (uint32_t)ids.n - causal;   /* a window's last token only has to be guessed */
    rows_of(model, ids.ids, n, rows[0]);
    rows_of(parent, ids.ids, n, rows[1]);
    for (int stage = 0; stage <= LAYERS; stage++)
      for (uint32_t r = 0; r < n; r++) {
        const float *x = rows[0] + ((uint32_t)stage * n + r) * HIDDEN, *y = rows[1] + ((uint32_t)stage * n + r) * HIDDEN;
        for (int k = 0; k < HIDDEN; k++) {
          out[stage].error += ((double)x[k] - (double)y[k]) * ((double)x[k] - (double)y[k]);
          out[stage].norm += (double)y[k] * (double)y[k];
        }
        out[stage].cosine_sum += pith_cosine(x, y, HIDDEN);
      }
    *n_rows += n;
    pith_ids_free(&ctx, &ids);
  }
}

static pith_evaluation evaluate(pith_source *source, pith_source *against, const pith_texts *texts, uint32_t block_rows, bool per_layer) {
  pith_evaluation e;
  pith_status status = pith_evaluation_begin(&ctx, &e, source, against, texts, false);
  if (status == PITH_OK && per_layer) status = pith_evaluation_per_layer(&ctx, &e);
  if (block_rows) e.block_rows = block_rows;
  for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING;) {
    const double done = e.done;
    status = pith_evaluation_step(&ctx, &e);
    assert_true(e.total == 0 || (e.done >= done && e.done <= e.total));
  }
  if (status != PITH_OK) fail_msg("%s", ctx.message);
  return e;
}

/* The sums are those of the definition to the last bit, however texts fall into blocks; and what else is measured does not change. */
static void test_by_definition(void **state) {
  (void)state;
  size_t lengths[N_TEXTS];
  for (int t = 0; t < N_TEXTS; t++) lengths[t] = strlen(some_texts[t]);
  const char *list[N_TEXTS];
  memcpy(list, some_texts, sizeof list);
  const pith_texts texts = {list, lengths, N_TEXTS};
  for (int s = 0; s < N_SHAPES; s++) {
    pith_model model, parent;
    pith_layer_error expected[LAYERS + 1];
    uint64_t n_rows;
    char package[512];
    load_whole(compressed(s, "\"int4\"", package), &model);
    load_whole(folders[s], &parent);
    pith_source a = pith_source_whole(&model), b = pith_source_whole(&parent);
    expected_errors(&model, &parent, expected, &n_rows);
    assert_true(expected[0].error > 0.0 && expected[LAYERS].error > expected[0].error);
    for (uint32_t block_rows = 0; block_rows <= 24; block_rows += 12) {
      pith_evaluation e = evaluate(&a, &b, &texts, block_rows, true), without = evaluate(&a, &b, &texts, 0, false);
      assert_int_equal(e.per_layer.n, LAYERS + 1);
      assert_int_equal(e.per_layer.n_rows, n_rows);
      for (int i = 0; i <= LAYERS; i++) {
        const pith_layer_error *item = &e.per_layer.items[i];
        assert_true(item->layers[0] == i - 1 && item->layers[1] == i - 1);
        if (item->error != expected[i].error || item->norm != expected[i].norm || item->cosine_sum != expected[i].cosine_sum)
          fail_msg("shape %d, stage %d, blocks of %u: %.17g of %.17g, not %.17g of %.17g", s, i, (unsigned)block_rows, item->error, item->norm, expected[i].error, expected[i].norm);
      }
      assert_true(e.cosine_sum == without.cosine_sum && e.kl_sum == without.kl_sum && e.nll_sum == without.nll_sum && (e.cosine_sum > 0 || e.kl_sum > 0));
      pith_evaluation_free(&ctx, &e);
      pith_evaluation_free(&ctx, &without);
    }
    pith_model_close(&ctx, &model);
    pith_model_close(&ctx, &parent);
  }
}

#define DROPPED "{\"name\":\"dropped\",\"matrices\":{\"encoding\":\"f16\"},\"tables\":{\"encoding\":\"f16\"},\"prune\":{\"layers\":[%s],\"importance\":\"magnitude\"}}"

/* Of a model that lost layers each is held against the parent's that it was; what cannot be matched is said. */
static void test_layers_that_stayed(void **state) {
  (void)state;
  char package[512], request[2048], recipe[512], fewer[512], other[512];
  tiny_shape small = shapes[1], narrow = shapes[0];
  uint64_t n_bytes;
  for (int s = 0; s < N_SHAPES; s++) {
    snprintf(recipe, sizeof recipe, DROPPED, "2,0");
    compressed(s, recipe, package);
    snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s\",\"against\":\"%s\",\"texts\":[\"a few words\",\"more\"],\"perLayer\":true}", package, folders[s]);
    pith_json *result = works(request);
    const pith_json *layers = pith_json_get(result, "layers"), *first = pith_json_first(layers), *second = pith_json_next(first);
    assert_int_equal(pith_json_count(layers), 2);
    assert_true(pith_json_number(pith_json_get(first, "layer"), -1) == 0 && pith_json_number(pith_json_get(first, "parent"), -1) == 1);
    assert_true(pith_json_number(pith_json_get(second, "layer"), -1) == 1 && pith_json_number(pith_json_get(second, "parent"), -1) == 3);
    /* the embedding is only rounded; a layer that is gone is felt */
    assert_true(pith_json_number(pith_json_get(pith_json_get(result, "embedding"), "error"), 1) < 1e-5);
    assert_true(pith_json_number(pith_json_get(first, "error"), 0) > 1e-3);
    pith_json_free(result);
    snprintf(recipe, sizeof recipe, DROPPED, "3");   /* the last one: those before it stay what they were */
    compressed(s, recipe, package);
    result = works(request);
    assert_int_equal(pith_json_count(pith_json_get(result, "layers")), LAYERS - 1);
    for (const pith_json *l = pith_json_first(pith_json_get(result, "layers")); l; l = pith_json_next(l)) {
      assert_true(pith_json_number(pith_json_get(l, "layer"), -1) == pith_json_number(pith_json_get(l, "parent"), -2));
      assert_true(pith_json_number(pith_json_get(l, "error"), 1) < 1e-4 && pith_json_number(pith_json_get(l, "cosine"), 0) > 0.9999);
    }
    pith_json_free(result);
  }
  small.layers = 3;
  (void)tiny_checkpoint(root, "fewer", &small, fewer, sizeof fewer, &n_bytes);
  snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s\",\"against\":\"%s\",\"perLayer\":true}", fewer, folders[1]);
  fails(request, "3 and 4 layers");
  snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s\",\"perplexity\":\"words\",\"perLayer\":true}", folders[0]);
  fails(request, "against which");
  (void)tiny_checkpoint(root, "other", &shapes[1], other, sizeof other, &n_bytes);
  tiny_tokenizer(&ctx, other, "BPE");
  snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s\",\"against\":\"%s\",\"perLayer\":true}", other, folders[1]);
  fails(request, "not the same tokens");
  narrow.hidden = 24;   /* models that generate may differ in width */
  (void)tiny_checkpoint(root, "narrow", &narrow, fewer, sizeof fewer, &n_bytes);
  snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s\",\"against\":\"%s\",\"perLayer\":true}", fewer, folders[0]);
  fails(request, "24 and 48 numbers");
}

/* A millisecond goes by whenever somebody looks, or none. */
static double made_clock, clock_step;
static double made_now(void *user) {
  (void)user;
  made_clock += clock_step;
  return made_clock;
}

static void check_measure(const pith_json *result, const char *of, double tokens, double after, double ms, double ms_against) {
  const pith_json *m = pith_json_get(pith_json_get(result, "speed"), of);
  assert_true(pith_json_number(pith_json_get(m, after > 0 ? "after" : "tokens"), -1) == (after > 0 ? after : tokens));
  const double found = pith_json_number(pith_json_get(m, "ms"), -1);
  if (fabs(found - ms) > 1e-9) fail_msg("%s of %g: %g ms, not %g", of, tokens, found, ms);
  assert_true(fabs(pith_json_number(pith_json_get(m, "tokensPerSecond"), -1) - 1e3 * tokens / ms) < 1e-6);
  assert_true(fabs(pith_json_number(pith_json_get(m, "msAgainst"), 0) - ms_against) < 1e-9);
  assert_true(fabs(pith_json_number(pith_json_get(m, "ratio"), 0) - ms_against / ms) < 1e-9);
}

/* A pass of these small models has as many pieces as half-layers, and one before and one after them; a prompt is read 64 tokens at a time. */
static void test_speed(void **state) {
  (void)state;
  char package[512], request[2048], recipe[512];
  host.now_ms = made_now;
  for (clock_step = 1.0; clock_step >= 0.0; clock_step--)
    for (int s = 0; s < N_SHAPES; s++) {
      const bool decoder = !shapes[s].bert;
      snprintf(recipe, sizeof recipe, DROPPED, "1");
      compressed(s, recipe, package);
      snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s\",\"against\":\"%s\",\"texts\":[\"a few words\"],\"speed\":true}", package, folders[s]);
      if (clock_step == 0.0) {
        fails(request, "clock stands still");
        continue;
      }
      pith_json *result = works(request);
      const double whole = 2 * LAYERS + 2, pruned = whole - 2;
      assert_int_equal(pith_json_count(pith_json_get(result, "speed")), 3);
      assert_true(pith_json_get(result, decoder ? "klMean" : "cosineMean") != NULL);
      check_measure(result, decoder ? "prompt" : "shortText", decoder ? 128 : 16, 0, (1 + decoder) * pruned, (1 + decoder) * whole);
      check_measure(result, decoder ? "token" : "longText", decoder ? 1 : 64, decoder ? 128 : 0, pruned, whole);
      pith_json_free(result);
      snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s\",\"speed\":true}", folders[s]);   /* alone, without texts */
      result = works(request);
      assert_true(pith_json_get(result, "texts") == NULL && pith_json_count(result) == 1);
      check_measure(result, decoder ? "prompt" : "shortText", decoder ? 128 : 16, 0, (1 + decoder) * whole, 0);
      pith_json_free(result);
    }
  host = pith_host_posix_init(&posix);
}

static int make_checkpoints(void **state) {
  (void)state;
  host = pith_host_posix_init(&posix);
  pith_ctx_init(&ctx, &host, NULL);
  tiny_checkpoints(root, sizeof root, shapes, N_SHAPES, folders);
  return 0;
}

static int remove_checkpoints(void **state) {
  (void)state;
  tiny_remove(root);
  pith_host_posix_free(&posix);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_definition), cmocka_unit_test(test_layers_that_stayed), cmocka_unit_test(test_speed)};
  return cmocka_run_group_tests_name("eval", tests, make_checkpoints, remove_checkpoints);
}
