/* compress and its measuring: the figures are those of the whole models, memory stays near a stage, an end at any step leaves nothing. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/evaluate.h"
#include "pith.h"
#include "tiny_checkpoint.h"

typedef struct counted {
  uint64_t now, most;
  int64_t alive;
} counted;

enum { BEFORE = 16 };   /* bytes in front of a block that hold its size */

static void *allocate(void *user, size_t n_bytes) {
  counted *c = user;
  uint8_t *block = malloc(n_bytes + BEFORE);
  if (!block) return NULL;
  memcpy(block, &n_bytes, sizeof n_bytes);
  c->now += n_bytes;
  if (c->now > c->most) c->most = c->now;
  c->alive++;
  return block + BEFORE;
}

static void release(void *user, void *ptr) {
  counted *c = user;
  if (!ptr) return;
  uint8_t *block = (uint8_t *)ptr - BEFORE;
  size_t n_bytes;
  memcpy(&n_bytes, block, sizeof n_bytes);
  c->now -= n_bytes;
  c->alive--;
  free(block);
}

static pith_host_posix posix;
static pith_host host;
static counted counts;
static char root[256];

static pith_instance *open_instance(void) {
  host = pith_host_posix_init(&posix);
  counts = (counted){0, 0, 0};
  const pith_allocator allocator = {&counts, allocate, release};
  pith_instance *instance = pith_open(&host, &allocator);
  assert_non_null(instance);
  return instance;
}

/* The result, to be freed. */
static pith_json *run(pith_instance *instance, const char *request) {
  pith_job *job;
  pith_ctx ctx;
  pith_json *json;
  size_t n;
  pith_ctx_init(&ctx, NULL, NULL);
  if (pith_job_start(instance, request, strlen(request), &job) != PITH_OK) fail_msg("%s", pith_message(instance));
  pith_status status;
  double done = 0;
  const char *phase = "";
  while ((status = pith_job_step(job, 0)) == PITH_PENDING) {
    const pith_progress p = pith_job_progress(job);
    assert_true(p.total == 0 || p.done <= p.total);
    assert_true(strcmp(p.phase, phase) != 0 || strcmp(phase, "load") == 0 || p.done >= done);   /* eval loads twice */
    phase = p.phase;
    done = p.done;
  }
  if (status != PITH_OK) fail_msg("%s", pith_message(instance));
  const char *text = pith_job_result(job, &n);
  assert_int_equal(pith_json_parse(&ctx, text, n, "the result", &json), PITH_OK);
  pith_job_end(job);
  return json;
}

static const tiny_shape shapes[] = {
    {.tied = true, .hidden = 64, .inner = 96, .layers = 3, .heads = 4, .kv_heads = 2, .vocab = 5001, .positions = 64},
    {.tied = false, .hidden = 72, .inner = 100, .layers = 2, .heads = 4, .kv_heads = 4, .vocab = 4203, .positions = 1024},
    {.bert = true, .hidden = 72, .inner = 100, .layers = 3, .heads = 6, .kv_heads = 6, .vocab = 701, .positions = 300}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };
static char folders[N_SHAPES][512];

#define SPARSE(encoding, sparsity) "{\"name\":\"sparse\",\"matrices\":{\"encoding\":\"" encoding "\",\"sparsity\":" sparsity "},\"tables\":{\"encoding\":\"u8-row\"}}"
#define HALF "{\"form\":\"block\",\"fraction\":0.5}"
#define PAIRS "{\"form\":\"2:4\"}"
#define ANY "{\"form\":\"unstructured\",\"fraction\":0.6}"
#define PLAIN(encoding) "{\"name\":\"plain\",\"matrices\":{\"encoding\":\"" encoding "\"},\"tables\":{\"encoding\":\"" encoding "\"}}"

/* Evaluating package and parent, both loaded whole, gives the manifest's figures to the last bit. */
static void test_same_figures_as_whole(void **state) {
  (void)state;
  static const struct {
    const char *recipe;
    int shard_bytes, threads;
  } ways[] = {{"\"int8\"", 4 << 20, 1}, {"\"int8\"", 65536, 3}, {"\"int4\"", 65536, 1}, {"\"fp16\"", 65536, 1}, {SPARSE("u7-block", HALF), 65536, 3}, {SPARSE("u7-sparse", PAIRS), 65536, 1},
            {"{\"name\":\"packed\",\"matrices\":{\"encoding\":\"u6\"},\"tables\":{\"encoding\":\"u5\"}}", 65536, 3}};
  for (int s = 0; s < N_SHAPES; s++)
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
      char request[2048];
      int n_compared = 0;
      pith_instance *instance = open_instance();
      snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/package\",\"recipe\":%s,\"shardSize\":%d,\"force\":true,"
               "\"threads\":%d}", folders[s], root, ways[w].recipe, ways[w].shard_bytes, ways[w].threads);
      pith_json *compressed = run(instance, request);
      snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s/package\",\"against\":\"%s\"}", root, folders[s]);
      pith_json *evaluated = run(instance, request);
      const pith_json *m = pith_json_first(pith_json_get(compressed, "quality"));
      for (; m; m = pith_json_next(m)) {
        if (!pith_json_is_number(m)) continue;
        const double a = pith_json_number(m, -1), b = pith_json_number(pith_json_get(evaluated, pith_json_key(m)), -2);
        if (a != b) fail_msg("shape %d, %s, shards of %d: %s is %.17g in compress and %.17g in eval", s, ways[w].recipe, ways[w].shard_bytes, pith_json_key(m), a, b);
        n_compared++;
      }
      assert_true(n_compared >= (shapes[s].bert ? 3 : 9));
      assert_true(!shapes[s].bert || pith_json_number(pith_json_get(evaluated, "cosineMean"), 0) > (strstr(ways[w].recipe, "sparsity") ? 0.5 : 0.9));
      pith_json_free(compressed);
      pith_json_free(evaluated);
      pith_close(instance);
      pith_host_posix_free(&posix);
      assert_int_equal(counts.alive, 0);
    }
}

/* A package's digest and the memory that it takes. */
static void digest_of(const char *folder, const char *kernels, int threads, char digest[65], uint64_t *n_bytes) {
  char request[1024];
  pith_instance *instance = open_instance();
  snprintf(request, sizeof request, "{\"verb\":\"load\",\"path\":\"%s\",\"kernels\":\"%s\",\"threads\":%d}", folder, kernels, threads);
  pith_json_free(run(instance, request));
  *n_bytes = counts.now;
  pith_json *result = run(instance, "{\"verb\":\"digest\",\"model\":1,\"texts\":[\"some words that are many enough for rows in whole and in broken blocks\",\"\",\"more\"]}");
  snprintf(digest, 65, "%s", pith_json_string(pith_json_get(result, "digest")));
  pith_json_free(result);
  pith_close(instance);
  pith_host_posix_free(&posix);
  assert_int_equal(counts.alive, 0);
}

/* The same zeros stored as u7 and sparsely: the same bits by every variant and number of threads, in memory of the expected size. */
static void test_sparse_as_dense(void **state) {
  (void)state;
  static const struct {
    const char *dense, *sparse;
    double least, most;      /* of the memory that u7 takes */
  } forms[] = {{SPARSE("u7", HALF), SPARSE("u7-block", HALF), 0.5, 0.95}, {SPARSE("u7", PAIRS), SPARSE("u7-sparse", PAIRS), 0.95, 1.05}, {SPARSE("u7", ANY), SPARSE("u7-sparse", ANY), 0.95, 1.05},
               {PLAIN("u7"), PLAIN("u7-packed"), 0.95, 1.05}};
  for (int s = 0; s < N_SHAPES; s++)
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
      char request[4096], dense[512], sparse[512], expected[65], digest[65];
      uint64_t n_dense, n_sparse;
      for (int i = 0; i < 2; i++) {
        pith_instance *instance = open_instance();
        snprintf(i ? sparse : dense, sizeof dense, "%s/%s", root, i ? "sparse" : "dense");
        snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s\",\"recipe\":%s,\"shardSize\":65536,\"force\":true,\"texts\":[\"a few\",\"words\"]}",
                 folders[s], i ? sparse : dense, i ? forms[f].sparse : forms[f].dense);
        pith_json_free(run(instance, request));
        pith_close(instance);
        pith_host_posix_free(&posix);
      }
      digest_of(dense, "scalar", 1, expected, &n_dense);
      int threads = 1;
      for (const pith_kernels *const *k = pith_kernels_list(); *k; k++, threads = 4 - threads) {
        digest_of(sparse, (*k)->name, threads, digest, &n_sparse);
        if (strcmp(digest, expected) != 0) fail_msg("shape %d, %s, %d threads: another digest than u7 has", s, (*k)->name, threads);
        if (threads == 1 && !((double)n_sparse > forms[f].least * (double)n_dense && (double)n_sparse < forms[f].most * (double)n_dense))
          fail_msg("shape %d: %llu bytes of memory, and u7 takes %llu", s, (unsigned long long)n_sparse, (unsigned long long)n_dense);
      }
    }
}

static void load_whole(pith_ctx *ctx, const char *folder, pith_model *model) {
  pith_model_loader loader;
  pith_status status = pith_model_loader_init(ctx, &loader, model, folder, pith_kernels_find("auto"));
  for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING;) status = pith_model_loader_step(ctx, &loader);
  if (status != PITH_OK) fail_msg("%s", ctx->message);
  pith_model_loader_free(ctx, &loader);
}

/* Everything that the reports are made of, with blocks of so many rows (0: as they are). */
static pith_evaluation evaluate(pith_ctx *ctx, pith_source *source, pith_source *against, const pith_texts *texts, uint32_t block_rows, double *cosines) {
  pith_evaluation e;
  pith_status status = pith_evaluation_begin(ctx, &e, source, against, texts, cosines != NULL);
  if (block_rows) e.block_rows = block_rows;
  size_t n_blocks = 0;
  for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING; status = pith_evaluation_step(ctx, &e)) n_blocks += e.unit == PITH_EVAL_BLOCK;
  if (status != PITH_OK) fail_msg("%s", ctx->message);
  assert_true(block_rows ? n_blocks > 5 : n_blocks == 2);   /* the last one finds nothing left */
  assert_true(e.done == e.total && e.total > 0);
  for (size_t i = 0; cosines && i < texts->n / 2; i++) {
    cosines[i] = e.pair_cosines[0][i];
    cosines[texts->n / 2 + i] = e.pair_cosines[1][i];
  }
  pith_evaluation copy = e;
  pith_evaluation_free(ctx, &e);
  return copy;
}

/* The figures do not depend on how texts fall into blocks, and another parent gives others. */
static void test_blocks_change_nothing(void **state) {
  (void)state;
  pith_host_posix files;
  const pith_host plain = pith_host_posix_init(&files);
  pith_ctx ctx;
  pith_texts texts;
  pith_ctx_init(&ctx, &plain, NULL);
  assert_int_equal(pith_texts_split(&ctx, pith_default_texts(), strlen(pith_default_texts()), &texts), PITH_OK);
  assert_true(texts.n >= 20 && texts.n <= 64 && texts.n % 2 == 0);
  for (int s = 0; s < N_SHAPES; s++) {
    double cosines[2][64] = {{0}};
    pith_model model, parent;
    char request[2048], package[512];
    pith_instance *instance = open_instance();
    snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/package\",\"force\":true}", folders[s], root);
    pith_json_free(run(instance, request));
    pith_close(instance);
    snprintf(package, sizeof package, "%s/package", root);
    load_whole(&ctx, package, &model);
    load_whole(&ctx, folders[s], &parent);
    pith_source a = pith_source_whole(&model), b = pith_source_whole(&parent);
    const bool embeds = shapes[s].bert;
    const pith_evaluation whole = evaluate(&ctx, &a, &b, &texts, 0, embeds ? cosines[0] : NULL);
    const pith_evaluation cut = evaluate(&ctx, &a, &b, &texts, 100, embeds ? cosines[1] : NULL);
    assert_true(whole.cosine_sum == cut.cosine_sum && whole.cosine_min == cut.cosine_min);
    assert_true(whole.nll_sum == cut.nll_sum && whole.nll_sum_against == cut.nll_sum_against && whole.kl_sum == cut.kl_sum);
    assert_true(whole.n_agree == cut.n_agree && whole.n_tokens == cut.n_tokens);
    assert_memory_equal(cosines[0], cosines[1], sizeof cosines[0]);
    if (embeds) assert_true(whole.cosine_sum > 0.9 * (double)texts.n && whole.cosine_min < 1.0 && cosines[0][0] != 0.0);
    else assert_true(whole.kl_sum > 0.0 && whole.nll_sum > 0.0 && whole.nll_sum != whole.nll_sum_against && whole.n_tokens > 100);
    pith_evaluation same = evaluate(&ctx, &a, &a, &texts, 0, NULL);
    assert_true(same.kl_sum == 0.0 && same.nll_sum == same.nll_sum_against && same.n_agree == (double)same.n_tokens);
    pith_model_close(&ctx, &model);
    pith_model_close(&ctx, &parent);
  }
  pith_texts_free(&ctx, &texts);
}

/* The sums of metrics.h against the definition, in any cut. */
static void test_scores(void **state) {
  (void)state;
  enum { N = 1000 };
  static float a[N], b[N];
  uint32_t random = 7;
  for (int i = 0; i < N; i++) {
    random = random * 1664525u + 1013904223u;
    b[i] = 30.0f * ((float)(random >> 8) / 16777216.0f - 0.5f);
    random = random * 1664525u + 1013904223u;
    a[i] = b[i] + (float)(random >> 8) / 16777216.0f;
  }
  double sum_a = 0, sum_b = 0, kl = 0;
  for (int i = 0; i < N; i++) {
    sum_a += pith_exp((double)a[i]);
    sum_b += pith_exp((double)b[i]);
  }
  for (int i = 0; i < N; i++) {
    const double log_p = (double)b[i] - pith_log(sum_b);
    kl += pith_exp(log_p) * (log_p - ((double)a[i] - pith_log(sum_a)));
  }
  pith_score first = {0};
  for (int cut = 1; cut <= N; cut = cut * 3 + 1) {
    pith_score score;
    pith_score_init(&score);
    for (int begin = 0; begin < N; begin += cut) pith_score_add(&score, a + begin, b + begin, begin, N - begin < cut ? N - begin : cut, 321);
    if (cut == 1) first = score;
    assert_memory_equal(&first.sides[1].sum, &score.sides[1].sum, 2 * sizeof(double));
    assert_true(first.sides[0].sum == score.sides[0].sum && first.sides[0].best == score.sides[0].best);
    const double nll = pith_log(sum_a) - (double)a[321], nll_against = pith_log(sum_b) - (double)b[321];
    assert_true(pith_score_nll(&score, 0) - nll < 1e-6 && nll - pith_score_nll(&score, 0) < 1e-6);
    assert_true(pith_score_nll(&score, 1) - nll_against < 1e-6 && nll_against - pith_score_nll(&score, 1) < 1e-6);
    assert_true(pith_score_kl(&score) - kl < 1e-6 && kl - pith_score_kl(&score) < 1e-6 && kl > 0.01);
    for (int i = 0; i < N; i++) assert_true(a[i] <= a[score.sides[0].best] && b[i] <= b[score.sides[1].best]);
  }
}

/* Many layers and large tables, and memory for one layer, a shard and little else. */
static void test_memory_near_a_stage(void **state) {
  (void)state;
  enum { SHARD = 262144, ELSE = 5 << 19 };   /* a megabyte that is hashed, chunks of the head and their logits, a batch of rows */
  static const tiny_shape large[] = {
      {.tied = true, .hidden = 128, .inner = 384, .layers = 20, .heads = 4, .kv_heads = 4, .vocab = 1700, .positions = 512},
      {.tied = false, .hidden = 128, .inner = 256, .layers = 4, .heads = 4, .kv_heads = 4, .vocab = 10000, .positions = 512},
      {.bert = true, .hidden = 128, .inner = 600, .layers = 20, .heads = 4, .kv_heads = 4, .vocab = 1700, .positions = 512}};
  for (size_t s = 0; s < sizeof large / sizeof *large; s++) {
    char folder[512], request[2048];
    uint64_t n_bytes;
    const uint64_t layer = tiny_checkpoint(root, "large", &large[s], folder, sizeof folder, &n_bytes);
    pith_instance *instance = open_instance();
    snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/package\",\"shardSize\":%d,\"force\":true,\"texts\":[\"One text\",\"and another\"]}",
             folder, root, SHARD);
    pith_json_free(run(instance, request));
    pith_close(instance);
    print_message("checkpoint %llu bytes, a layer %llu, most memory %llu\n", (unsigned long long)n_bytes, (unsigned long long)layer, (unsigned long long)counts.most);
    assert_true(counts.most < layer + 3 * SHARD + ELSE);
    assert_true(3 * counts.most < n_bytes);
    tiny_remove(folder);
  }
}

/* Ended after any number of steps: no memory and no file stays. */
static void test_end_at_any_step(void **state) {
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    pith_status status = PITH_PENDING;
    for (int stop = 0; status == PITH_PENDING; stop = stop < 4 ? stop + 1 : stop * 5 / 4) {
      char request[2048], partial[512];
      pith_job *job;
      pith_instance *instance = open_instance();
      snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/ended\",\"shardSize\":65536,\"texts\":[\"a few words\",\"\",\"more\"]}",
               folders[s], root);
      assert_int_equal(pith_job_start(instance, request, strlen(request), &job), PITH_OK);
      for (int i = 0; i < stop && status == PITH_PENDING; i++) status = pith_job_step(job, 0);
      if (status != PITH_OK && status != PITH_PENDING) fail_msg("%s", pith_message(instance));
      pith_job_end(job);
      pith_close(instance);
      assert_int_equal(counts.alive, 0);
      snprintf(partial, sizeof partial, "%s/ended.partial", root);
      assert_int_equal(host.exists(host.user, partial), 0);
      snprintf(partial, sizeof partial, "%s/ended", root);
      assert_int_equal(host.exists(host.user, partial), status == PITH_OK ? 2 : 0);
      if (status == PITH_OK) tiny_remove(partial);
    }
  }
}

static int make_checkpoints(void **state) {
  (void)state;
  tiny_checkpoints(root, sizeof root, shapes, N_SHAPES, folders);
  return 0;
}

static int remove_checkpoints(void **state) {
  (void)state;
  tiny_remove(root);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_figures_as_whole), cmocka_unit_test(test_sparse_as_dense), cmocka_unit_test(test_blocks_change_nothing), cmocka_unit_test(test_scores),
                                     cmocka_unit_test(test_memory_near_a_stage), cmocka_unit_test(test_end_at_any_step)};
  return cmocka_run_group_tests_name("compress", tests, make_checkpoints, remove_checkpoints);
}
