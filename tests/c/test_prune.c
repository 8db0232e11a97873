/* Structured pruning: what the surgeon solves for, a shrunk model is the whole one with the removed parts masked, wrong recipes and packages, threads. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compress/surgeon.h"
#include "eval/evaluate.h"
#include "pith.h"
#include "tiny_checkpoint.h"

/* ---- the surgeon ---- */

enum { COLS = 48, ROWS = 5, TOKENS = 300, ERRORS = ROWS };

static uint32_t random_state = 1;
static float uniform(void) {
  random_state = random_state * 1664525u + 1013904223u;
  return (float)(random_state >> 8) / 16777216.0f - 0.5f;
}

typedef struct operated {
  pith_ctx ctx;
  pith_moments moments;
  pith_surgeon surgeon;
  double h[COLS * COLS];     /* conditioned, before it was inverted */
  double e[ROWS * COLS];
  double w[ROWS * COLS];     /* before */
} operated;

static double *h_of(operated *o, size_t i, size_t j) { return &o->h[i * COLS + j]; }

/* Inputs that depend on each other, with a mean; errors that depend on them where `aimed`. */
static void operate(operated *o, bool centred, bool aimed, size_t width, size_t n_keep, const double *scores) {
  static float x[TOKENS * COLS], errors[TOKENS * ERRORS];
  memset(o, 0, sizeof *o);
  pith_ctx_init(&o->ctx, NULL, NULL);
  random_state = 7;
  for (int t = 0; t < TOKENS; t++) {
    float *row = x + t * COLS, shared = uniform();
    for (int k = 0; k < COLS; k++) row[k] = k == 11 ? 0.25f : 0.3f + shared * (float)(k % 5) + uniform();
    for (int r = 0; r < ERRORS; r++) errors[t * ERRORS + r] = 0.1f * uniform() + 0.2f * row[r] - 0.1f * row[r + 20];
  }
  assert_int_equal(pith_moments_init(&o->ctx, &o->moments, COLS, aimed ? ERRORS : 0), PITH_OK);
  while (!pith_moments_add(&o->ctx, pith_kernels_find("auto"), &o->moments, TOKENS, x, COLS, errors, NULL)) continue;
  assert_int_equal(pith_surgeon_begin(&o->ctx, &o->surgeon, &o->moments, centred, 0.01, ROWS, width, scores), PITH_OK);
  for (int i = 0; i < ROWS * COLS; i++) o->surgeon.w[i] = o->w[i] = (double)uniform();
  for (size_t i = 0; i < COLS; i++)
    for (size_t j = 0; j <= i; j++) *h_of(o, i, j) = *h_of(o, j, i) = o->moments.sums[i * COLS + j];
  if (aimed) memcpy(o->e, o->moments.errors, sizeof o->e);
  pith_status status;
  while ((status = pith_surgeon_step(&o->ctx, &o->surgeon, n_keep)) == PITH_PENDING) continue;
  assert_int_equal(status, PITH_OK);
  assert_int_equal(o->surgeon.n_left, n_keep);
}

static void release_operated(operated *o) {
  pith_surgeon_free(&o->ctx, &o->surgeon);
  pith_moments_free(&o->ctx, &o->moments);
}

/* tr(D H Dᵀ) - 2 tr(D Eᵀ): what is minimised over D = Ŵ - W, but for a constant. */
static double objective(operated *o, const double *after) {
  double total = 0.0;
  for (size_t r = 0; r < ROWS; r++)
    for (size_t i = 0; i < COLS; i++) {
      const double d = after[r * COLS + i] - o->w[r * COLS + i];
      total -= 2.0 * d * o->e[r * COLS + i];
      for (size_t j = 0; j < COLS; j++) total += d * *h_of(o, i, j) * (after[r * COLS + j] - o->w[r * COLS + j]);
    }
  return total;
}

/* The gradient vanishes on the columns that stay, the others are 0, and the sum of what each removal cost is what all cost. */
static void test_solves(void **state) {
  (void)state;
  static operated o;
  static double masked[ROWS * COLS];
  for (int way = 0; way < 12; way++) {
    const bool centred = way & 1, aimed = way & 2;
    const size_t width = way < 4 ? 1 : way < 8 ? 4 : 16;
    operate(&o, centred, aimed, width, COLS / width / 2, NULL);
    double size = 0.0, worst = 0.0;
    for (size_t r = 0; r < ROWS; r++)
      for (size_t k = 0; k < COLS; k++) {
        const double w = o.surgeon.w[r * COLS + k];
        masked[r * COLS + k] = o.surgeon.gone[k / width] ? 0.0 : o.w[r * COLS + k];
        if (o.surgeon.gone[k / width]) {
          assert_true(w == 0.0);
          continue;
        }
        double gradient = -o.e[r * COLS + k];
        for (size_t j = 0; j < COLS; j++) {
          gradient += *h_of(&o, k, j) * (o.surgeon.w[r * COLS + j] - o.w[r * COLS + j]);
          size += fabs(*h_of(&o, k, j) * o.w[r * COLS + j]);
        }
        if (fabs(gradient) > worst) worst = fabs(gradient);
      }
    if (worst > 1e-9 * size) fail_msg("way %d: a gradient of %g is left", way, worst);
    const double solved = objective(&o, o.surgeon.w), without = objective(&o, masked);
    if (solved > without) fail_msg("way %d: %g when solved for, %g without", way, solved, without);
    if (!aimed && fabs(solved - o.surgeon.loss) > 1e-6 * solved) fail_msg("way %d: %g was counted, %g is lost", way, o.surgeon.loss, solved);
    release_operated(&o);
  }
}

/* Of equal scores the first goes; given ones are not the surgeon's. */
static void test_given_scores(void **state) {
  (void)state;
  static operated o;
  double scores[COLS / 4];
  for (size_t i = 0; i < COLS / 4; i++) scores[i] = (double)(i % 3);
  operate(&o, true, false, 4, COLS / 4 - 5, scores);
  for (size_t i = 0; i < COLS / 4; i++) assert_int_equal(o.surgeon.gone[i], i % 3 == 0 || i == 1);
  release_operated(&o);
}

static void test_not_finite(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_moments moments;
  pith_surgeon surgeon;
  const float x[4] = {1.0f, NAN, 2.0f, 3.0f};
  pith_ctx_init(&ctx, NULL, NULL);
  assert_int_equal(pith_moments_init(&ctx, &moments, 4, 0), PITH_OK);
  assert_true(pith_moments_add(&ctx, pith_kernels_find("auto"), &moments, 1, x, 4, NULL, NULL));
  assert_int_equal(pith_surgeon_begin(&ctx, &surgeon, &moments, true, 0.01, 2, 1, NULL), PITH_E_UNSUPPORTED);
  pith_surgeon_free(&ctx, &surgeon);
  pith_moments_free(&ctx, &moments);
}

/* ---- whole models ---- */

static const tiny_shape shapes[] = {
    {.tied = true, .hidden = 64, .inner = 160, .layers = 3, .heads = 4, .kv_heads = 2, .vocab = 5001, .positions = 64},
    {.bert = true, .hidden = 72, .inner = 130, .layers = 3, .heads = 6, .kv_heads = 6, .vocab = 701, .positions = 300}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_TEXTS = 60 };
static char root[256], folders[N_SHAPES][512], texts_json[16384];

#define RECIPE(encoding, prune) "{\"name\":\"pruned\",\"matrices\":{\"encoding\":\"" encoding "\"},\"tables\":{\"encoding\":\"f32\"},\"prune\":" prune "}"

/* The status of a compression of shape s into root/name; the message where it failed. */
static pith_status compress(int s, const char *name, const char *recipe, bool calibrate, int threads, char message[512]) {
  static char request[32768];
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_instance *instance = pith_open(&host, NULL);
  pith_job *job = NULL;
  assert_non_null(instance);
  snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/%s\",\"recipe\":%s,\"shardSize\":65536,\"force\":true,\"threads\":%d,"
           "\"texts\":[\"a few\",\"words\"]%s%s}", folders[s], root, name, recipe, threads, calibrate ? ",\"calibrate\":" : "", calibrate ? texts_json : "");
  pith_status status = pith_job_start(instance, request, strlen(request), &job);
  while (status == PITH_OK && (status = pith_job_step(job, 0)) == PITH_PENDING) status = PITH_OK;
  snprintf(message, 512, "%s", status == PITH_OK ? "" : pith_message(instance));
  if (job) pith_job_end(job);
  pith_close(instance);
  pith_host_posix_free(&posix);
  return status;
}

static void must_compress(int s, const char *name, const char *recipe, bool calibrate, int threads) {
  char message[512];
  if (compress(s, name, recipe, calibrate, threads, message) != PITH_OK) fail_msg("%s", message);
}

static pith_status load(pith_ctx *ctx, const char *folder, pith_model *model) {
  pith_model_loader loader;
  pith_status status = pith_model_loader_init(ctx, &loader, model, folder, pith_kernels_find("auto"));
  for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING;) status = pith_model_loader_step(ctx, &loader);
  pith_model_loader_free(ctx, &loader);
  return status;
}

static float *panel_entry(const pith_matrix *m, size_t row, size_t col) { return &((float *)(uintptr_t)m->parts->codes)[(row / PITH_PANEL * m->cols + col) * PITH_PANEL + row % PITH_PANEL]; }

static bool same_rows(const pith_matrix *a, uint32_t i, const pith_matrix *b, uint32_t j) {
  static float x[2][4096];
  pith_matrix_row(a, i, x[0]);
  pith_matrix_row(b, j, x[1]);
  return memcmp(x[0], x[1], a->cols * sizeof(float)) == 0;
}

/* The cosine of two rows. */
static double alike(const pith_matrix *a, uint32_t i, const pith_matrix *b, uint32_t j) {
  static float x[2][4096];
  double dot = 0.0, squares[2] = {0.0, 0.0};
  pith_matrix_row(a, i, x[0]);
  pith_matrix_row(b, j, x[1]);
  for (uint32_t k = 0; k < a->cols; k++) {
    dot += (double)x[0][k] * (double)x[1][k];
    for (int side = 0; side < 2; side++) squares[side] += (double)x[side][k] * (double)x[side][k];
  }
  return dot / sqrt(squares[0] * squares[1]);
}

typedef struct maker {
  uint32_t id;
  size_t rows;               /* of a unit */
} maker;

/* The parent's unit whose row is most like that of the one that stays. */
static size_t most_alike(const pith_matrix *whole, const pith_matrix *left, size_t unit, size_t rows) {
  const size_t n_units = whole->rows / rows;
  size_t best = 0;
  for (size_t u = 1; u < n_units; u++)
    if (alike(whole, (uint32_t)(u * rows), left, (uint32_t)(unit * rows)) > alike(whole, (uint32_t)(best * rows), left, (uint32_t)(unit * rows))) best = u;
  return best;
}

/* What reads what is gone becomes 0 in the parent, all else of the half-layer what the package has; its biases too. Units that stay are told by a row of
 * the last maker, which texts may have moved, but not so far that another is more like it; without texts all rows of makers are the parent's own. unit: columns. */
static void mask(const pith_stage *pruned, pith_stage *parent, uint32_t reader, const maker *makers, size_t n_makers, size_t unit, bool aimed) {
  const pith_matrix *from = &pruned->weights[reader].matrix, *to = &parent->weights[reader].matrix;
  const size_t n_units = to->cols / unit, n_left = from->cols / unit;
  const maker *told = &makers[n_makers - 1];
  static float row[4096];
  size_t places[4096];
  for (size_t left = 0; left < n_left; left++) {
    places[left] = most_alike(&parent->weights[told->id].matrix, &pruned->weights[told->id].matrix, left, told->rows);
    assert_true(left == 0 || places[left] > places[left - 1]);
  }
  for (uint32_t r = 0; r < to->rows; r++) {
    pith_matrix_row(from, r, row);
    for (size_t k = 0; k < n_units * unit; k++) *panel_entry(to, r, k) = 0.0f;
    for (size_t left = 0; left < n_left; left++)
      for (size_t k = 0; k < unit; k++) *panel_entry(to, r, places[left] * unit + k) = row[left * unit + k];
  }
  for (size_t i = 0; i < n_makers; i++) {
    const pith_matrix *whole = &parent->weights[makers[i].id].matrix;
    for (size_t r = 0; whole->n_parts && r < n_left * makers[i].rows; r++) {   /* none: no gate */
      const size_t place = places[r / makers[i].rows] * makers[i].rows + r % makers[i].rows;
      if (!aimed) assert_true(same_rows(whole, (uint32_t)place, &pruned->weights[makers[i].id].matrix, (uint32_t)r));
      pith_matrix_row(&pruned->weights[makers[i].id].matrix, (uint32_t)r, row);
      for (size_t k = 0; k < whole->cols; k++) *panel_entry(whole, place, k) = row[k];
    }
  }
  if (pruned->weights[reader + 1].vector) parent->weights[reader + 1].vector = pruned->weights[reader + 1].vector;
}

static void zero(pith_stage *parent, uint32_t reader) {
  const pith_matrix *m = &parent->weights[reader].matrix;
  memset((void *)(uintptr_t)m->parts->codes, 0, (size_t)pith_matrix_code_bytes(m, m->rows));
}

/* Package and masked parent give the same embeddings, or logits. */
static void compare(pith_ctx *ctx, pith_model *model, pith_model *parent, double most, const char *what) {
  pith_texts texts;
  pith_evaluation e;
  assert_int_equal(pith_texts_split(ctx, pith_default_texts(), strlen(pith_default_texts()), &texts), PITH_OK);
  pith_source a = pith_source_whole(model), b = pith_source_whole(parent);
  pith_status status = pith_evaluation_begin(ctx, &e, &a, &b, &texts, false);
  for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING;) status = pith_evaluation_step(ctx, &e);
  if (status != PITH_OK) fail_msg("%s", ctx->message);
  if (model->config.family->task == PITH_TASK_EMBED) {
    if (!(e.cosine_min > 1.0 - most)) fail_msg("%s: a cosine of %.9f to the masked model", what, e.cosine_min);
  } else if (!(e.kl_sum / (double)e.n_tokens < most && e.n_agree > 0.99 * (double)e.n_tokens)) {
    fail_msg("%s: a KL of %g to the masked model", what, e.kl_sum / (double)e.n_tokens);
  }
  pith_evaluation_free(ctx, &e);
  pith_texts_free(ctx, &texts);
}

static void test_shrunk_is_masked(void **state) {
  (void)state;
  static const struct {
    const char *recipe;
    bool calibrate;
    int gone;                /* layer; -1: none. Where norms come first a layer of zeros is none */
  } ways[] = {{RECIPE("f32", "{\"neurons\":[0.5,0,0.75],\"heads\":[0,0.5,0.9],\"importance\":\"magnitude\"}"), false, -1},
              {RECIPE("f32", "{\"neurons\":0.5,\"heads\":0.5}"), true, -1},
              {RECIPE("f32", "{\"neurons\":0.3,\"importance\":\"first-order\"}"), true, -1},
              {RECIPE("f32", "{\"layers\":[1],\"heads\":0.5}"), true, 1},
              {RECIPE("f32", "{\"layers\":[0]}"), false, 0}};
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_ctx ctx;
  pith_ctx_init(&ctx, &host, NULL);
  for (int s = 0; s < N_SHAPES; s++)
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
      pith_model model, parent;
      char package[512];
      if (shapes[s].bert && ways[way].gone >= 0) continue;
      must_compress(s, "package", ways[way].recipe, ways[way].calibrate, 1);
      snprintf(package, sizeof package, "%s/package", root);
      if (load(&ctx, package, &model) != PITH_OK || load(&ctx, folders[s], &parent) != PITH_OK) fail_msg("%s", ctx.message);
      const pith_config *c = &model.config;
      assert_non_null(c->layers);
      assert_int_equal(c->n_layers, parent.config.n_layers - (ways[way].gone >= 0));
      for (int32_t i = 0, left = 0; i < parent.config.n_layers; i++) {
        pith_stage *whole = pith_weights_stage(&parent.weights, i);
        if (i == ways[way].gone) {
          zero(whole, PITH_ATTENTION_OUT);
          zero(whole, PITH_DOWN);
          continue;
        }
        const pith_stage *pruned = pith_weights_stage(&model.weights, left++);
        const size_t head = (size_t)c->head_dim, group = head * (size_t)(parent.config.n_heads / parent.config.n_kv_heads);
        mask(pruned, whole, PITH_ATTENTION_OUT, (const maker[]){{PITH_QUERY, group}, {PITH_VALUE, head}, {PITH_KEY, head}}, 3, group, ways[way].calibrate);
        mask(pruned, whole, PITH_DOWN, (const maker[]){{PITH_GATE, 1}, {PITH_UP, 1}}, 2, 1, ways[way].calibrate);
      }
      if (way == 0) {
        const int32_t n = parent.config.n_heads, kv = parent.config.n_kv_heads, inner = parent.config.intermediate_size;
        const pith_layer_shape expected[] = {{n, kv, 64}, {n / 2, kv / 2, inner}, {n / kv, 1, 32}};
        assert_memory_equal(c->layers, expected, sizeof expected);
        assert_true(c->n_heads == n && c->n_kv_heads == kv && c->intermediate_size == inner);
      }
      compare(&ctx, &model, &parent, 1e-6, ways[way].recipe);
      pith_model_close(&ctx, &model);
      pith_model_close(&ctx, &parent);
    }
  pith_host_posix_free(&posix);
}

/* Scales are folded into what pruning left, and change nothing, however much is moved. */
static void test_folded(void **state) {
  (void)state;
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_ctx ctx;
  pith_ctx_init(&ctx, &host, NULL);
  for (int s = 0; s < N_SHAPES; s++) {
    pith_model folded, further;
    char paths[2][512];
    must_compress(s, "folded", RECIPE("f32", "{\"neurons\":0.5,\"heads\":0.5},\"migrate\":{\"by\":\"smoothquant\"}"), true, 1);
    must_compress(s, "further", RECIPE("f32", "{\"neurons\":0.5,\"heads\":0.5},\"migrate\":{\"by\":\"smoothquant\",\"alpha\":0.9}"), true, 1);
    snprintf(paths[0], sizeof paths[0], "%s/folded", root);
    snprintf(paths[1], sizeof paths[1], "%s/further", root);
    if (load(&ctx, paths[0], &folded) != PITH_OK || load(&ctx, paths[1], &further) != PITH_OK) fail_msg("%s", ctx.message);
    assert_false(same_rows(&pith_weights_stage(&folded.weights, 0)->weights[PITH_ATTENTION_OUT].matrix, 0, &pith_weights_stage(&further.weights, 0)->weights[PITH_ATTENTION_OUT].matrix, 0));
    compare(&ctx, &folded, &further, 1e-3, "folded");   /* solving enlarges differences of rounding where inputs hardly differ */
    pith_model_close(&ctx, &folded);
    pith_model_close(&ctx, &further);
  }
  pith_host_posix_free(&posix);
}

/* Solved for again is nearer to the parent than by magnitude alone. */
static double cosine_of(const char *name) {
  char path[512], *text;
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_ctx ctx;
  pith_json *json;
  size_t n;
  pith_ctx_init(&ctx, &host, NULL);
  snprintf(path, sizeof path, "%s/%s/pith.json", root, name);
  assert_int_equal(pith_io_read_file(&ctx, path, 1 << 24, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(&ctx, text, n, path, &json), PITH_OK);
  const double cosine = pith_json_number(pith_json_get(pith_json_get(json, "quality"), "cosineMean"), -1);
  pith_json_free(json);
  pith_free(&ctx, text);
  pith_host_posix_free(&posix);
  return cosine;
}

static void test_texts_help(void **state) {
  (void)state;
  must_compress(1, "texts", RECIPE("u7", "{\"neurons\":0.5,\"heads\":0.5}"), true, 1);
  must_compress(1, "blind", RECIPE("u7", "{\"neurons\":0.5,\"heads\":0.5,\"importance\":\"magnitude\"}"), false, 1);
  if (!(cosine_of("texts") > cosine_of("blind"))) fail_msg("%g with texts, %g without", cosine_of("texts"), cosine_of("blind"));
}

static void test_threads(void **state) {
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    char command[1024];
    static const char *const recipes[] = {RECIPE("u4", "{\"neurons\":0.5,\"heads\":0.5}"), RECIPE("u4", "{\"neurons\":0.5},\"order\":\"activations\",\"migrate\":{\"by\":\"awq\"}")};
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
      must_compress(s, "one", recipes[i], true, 1);
      must_compress(s, "two", recipes[i], true, 2);
      snprintf(command, sizeof command, "diff -r '%s/one' '%s/two'", root, root);
      assert_int_equal(system(command), 0);
    }
  }
}

static void test_shares_from_first_to_last(void **state) {
  (void)state;
  char command[1024];
  must_compress(1, "ends", RECIPE("u7", "{\"neurons\":{\"first\":0.75,\"last\":0.25},\"importance\":\"magnitude\"}"), false, 1);
  must_compress(1, "list", RECIPE("u7", "{\"neurons\":[0.75,0.5,0.25],\"importance\":\"magnitude\"}"), false, 1);
  snprintf(command, sizeof command, "for f in '%s'/ends/*.safetensors; do cmp \"$f\" '%s'/list/$(basename \"$f\") || exit 1; done", root, root);
  assert_int_equal(system(command), 0);
}

static void test_wrong_recipes(void **state) {
  (void)state;
  static const struct {
    const char *prune;
    pith_status status;
    bool calibrate;
    const char *message;
  } wrong[] = {{"{\"neurons\":0.5}", PITH_E_ARGUMENT, false, "magnitude"}, {"{\"heads\":0.5,\"importance\":\"first-order\"}", PITH_E_ARGUMENT, false, "first-order"},
               {"{}", PITH_E_FORMAT, false, "neurons"}, {"[]", PITH_E_FORMAT, false, "object"}, {"{\"neurons\":1}", PITH_E_FORMAT, true, "neurons"},
               {"{\"heads\":-0.1}", PITH_E_FORMAT, true, "heads"}, {"{\"heads\":\"half\"}", PITH_E_FORMAT, true, "heads"}, {"{\"heads\":[]}", PITH_E_FORMAT, true, "heads"},
               {"{\"neurons\":{\"first\":0.5}}", PITH_E_FORMAT, true, "last"}, {"{\"neurons\":{\"first\":0.5,\"last\":1}}", PITH_E_FORMAT, true, "last"},
               {"{\"heads\":[0.1,0.2,1.5]}", PITH_E_FORMAT, true, "heads"}, {"{\"neurons\":[0.1,0.2]}", PITH_E_UNSUPPORTED, true, "list of 3"},
               {"{\"layers\":[]}", PITH_E_FORMAT, false, "layers"}, {"{\"layers\":[3]}", PITH_E_UNSUPPORTED, false, "from 0 to 2"},
               {"{\"layers\":[1,1]}", PITH_E_UNSUPPORTED, false, "different"}, {"{\"layers\":[0,1,2]}", PITH_E_UNSUPPORTED, false, "none"},
               {"{\"neurons\":0.5,\"importance\":\"luck\"}", PITH_E_UNSUPPORTED, true, "importance"}, {"{\"neurons\":0.5,\"rows\":1}", PITH_E_UNSUPPORTED, true, "rows"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    char recipe[512], message[512], output[512];
    pith_host_posix posix;
    const pith_host host = pith_host_posix_init(&posix);
    snprintf(recipe, sizeof recipe, "{\"name\":\"wrong\",\"matrices\":{\"encoding\":\"u7\"},\"tables\":{\"encoding\":\"f32\"},\"prune\":%s}", wrong[i].prune);
    const pith_status status = compress(1, "wrong", recipe, wrong[i].calibrate, 1, message);
    if (status != wrong[i].status || !strstr(message, wrong[i].message)) fail_msg("%s: %d, %s", wrong[i].prune, (int)status, message);
    snprintf(output, sizeof output, "%s/wrong.partial", root);
    assert_int_equal(host.exists(host.user, output), 0);
    pith_host_posix_free(&posix);
  }
}

/* "layers" of a package's settings replaced by what cannot be. */
static void test_wrong_packages(void **state) {
  (void)state;
  static const char *const wrong[] = {"[]", "{}", "7", "[{},{},{}]", "[null,null,null]",
                                      "[{\"heads\":0,\"kv_heads\":1,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64}]",
                                      "[{\"heads\":3,\"kv_heads\":2,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64}]",
                                      "[{\"heads\":3,\"kv_heads\":3,\"intermediate\":2147483647},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64}]",
                                      "[{\"heads\":3,\"kv_heads\":3,\"intermediate\":64}]",
                                      "[{\"heads\":6,\"kv_heads\":6,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64}]",
                                      "[{\"heads\":3,\"kv_heads\":3,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64},{\"heads\":3,\"kv_heads\":3,\"intermediate\":64}]"};
  char folder[512], path[600], *text;
  size_t n;
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_ctx ctx;
  pith_model model;
  pith_ctx_init(&ctx, &host, NULL);
  must_compress(1, "hostile", RECIPE("u7", "{\"neurons\":0.5,\"heads\":0.5,\"importance\":\"magnitude\"}"), false, 1);
  snprintf(folder, sizeof folder, "%s/hostile", root);
  snprintf(path, sizeof path, "%s/pith.json", folder);
  assert_int_equal(pith_io_read_file(&ctx, path, 1 << 24, &text, &n), PITH_OK);
  char *begin = strstr(strstr(text, "\"settings\""), "\"layers\": ") + strlen("\"layers\": "), *end = strchr(begin, ']') + 1;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fprintf(file, "%.*s%s%s", (int)(begin - text), text, wrong[i], end);
    assert_int_equal(fclose(file), 0);
    const pith_status status = load(&ctx, folder, &model);
    if (status != PITH_E_FORMAT) fail_msg("%s: %d, %s", wrong[i], (int)status, status == PITH_OK ? "" : ctx.message);
    pith_model_close(&ctx, &model);
  }
  pith_free(&ctx, text);
  pith_host_posix_free(&posix);
}

static int make_checkpoints(void **state) {
  (void)state;
  size_t used = 0;
  tiny_checkpoints(root, sizeof root, shapes, N_SHAPES, folders);
  for (int i = 0; i < N_TEXTS; i++)
    used += (size_t)snprintf(texts_json + used, sizeof texts_json - used, "%s\"the %d cats and %d dogs of house %d run over a hill to the sea\"", i ? "," : "[", i, i * 7, i % 9);
  snprintf(texts_json + used, sizeof texts_json - used, "]");
  return 0;
}

static int remove_checkpoints(void **state) {
  (void)state;
  tiny_remove(root);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_solves), cmocka_unit_test(test_given_scores), cmocka_unit_test(test_not_finite), cmocka_unit_test(test_shrunk_is_masked), cmocka_unit_test(test_folded),
                                     cmocka_unit_test(test_texts_help), cmocka_unit_test(test_threads), cmocka_unit_test(test_shares_from_first_to_last), cmocka_unit_test(test_wrong_recipes), cmocka_unit_test(test_wrong_packages)};
  return cmocka_run_group_tests_name("prune", tests, make_checkpoints, remove_checkpoints);
}
