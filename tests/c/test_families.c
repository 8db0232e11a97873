/* Every family against PyTorch's answers (tests/c/data/families.json, by tests/golden/families.py): hidden states of encoders, logits and greedy
 * choices of decoders, on checkpoints that are made here; the same checkpoints through the compressor. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/forward.h"
#include "model/open.h"
#include "pith.h"
#include "tiny_checkpoint.h"

enum { CONTEXT = 32 };
static pith_host_posix posix;
static pith_host host;
static pith_ctx ctx;
static pith_json *cases, *pairs;
static int n_pairs;           /* that were checked */
static char root[256];

/* config.json and model.safetensors of a case; its tensors' values by the generator's rule. */
static void write_checkpoint(const pith_json *c, const char *folder) {
  enum { MAX_TENSORS = 64 };
  pith_tensor_entry entries[MAX_TENSORS];
  pith_buffer text = {0}, header = {0}, data = {0};
  size_t n_entries = 0;
  uint32_t state = 12345;
  assert_int_equal(host.make_dir(host.user, folder), 0);
  assert_int_equal(pith_json_print(&ctx, pith_json_get(c, "config"), false, &text), PITH_OK);
  tiny_write(folder, "config.json", text.data, text.n_bytes, "", 0);
  for (const pith_json *t = pith_json_first(pith_json_get(c, "tensors")); t; t = pith_json_next(t)) {
    const pith_json *name = pith_json_first(t), *shape = pith_json_next(name);
    const char *as_text = pith_json_string(name), *end = strrchr(as_text, '.');
    size_t n_floats = 1;
    pith_tensor_entry *e = &entries[n_entries++];
    assert_true(n_entries <= MAX_TENSORS);
    *e = (pith_tensor_entry){.name = strdup(as_text), .dtype = PITH_F32};
    for (const pith_json *d = pith_json_first(shape); d; d = pith_json_next(d)) {
      e->dims[e->n_dims] = (uint64_t)pith_json_number(d, 0);
      n_floats *= (size_t)e->dims[e->n_dims++];
    }
    e->n_bytes = n_floats * sizeof(float);
    for (size_t k = 0; k < n_floats; k++) {
      state = state * 1664525u + 1013904223u;
      const float random = (float)(state >> 8) / 16777216.0f - 0.5f, value = e->n_dims == 1 && strcmp(end, ".weight") == 0 ? 1.0f + 0.25f * random : 0.5f * random;
      assert_int_equal(pith_buffer_append(&ctx, &data, &value, sizeof value), PITH_OK);
    }
  }
  assert_int_equal(pith_safetensors_print(&ctx, entries, n_entries, NULL, 0, &header), PITH_OK);
  tiny_write(folder, "model.safetensors", header.data, header.n_bytes, data.data, data.n_bytes);
  for (size_t i = 0; i < n_entries; i++) free(entries[i].name);
  pith_buffer_free(&ctx, &text);
  pith_buffer_free(&ctx, &header);
  pith_buffer_free(&ctx, &data);
}

static uint32_t read_ids(const pith_json *list, int32_t *ids) {
  uint32_t n = 0;
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) ids[n++] = (int32_t)pith_json_number(item, -1);
  return n;
}

static double distance(const pith_json *expected, const float *x, size_t n) {
  double worst = 0.0;
  const pith_json *item = pith_json_first(expected);
  assert_int_equal(pith_json_count(expected), n);
  for (size_t i = 0; i < n; i++, item = pith_json_next(item)) worst = fmax(worst, fabs((double)x[i] - pith_json_number(item, INFINITY)));
  return worst;
}

static void run_rows(pith_forward *f, const int32_t *ids, pith_span span) {
  span.row = 0;
  pith_forward_begin(f, ids, span.n_rows, &span, 1);
  for (int32_t half = 0; half < 2 * f->config->n_layers; half++)
    while (!pith_forward_half(f, half)) continue;
  pith_forward_finish(f);
}

static int32_t best_of(const float *x, int32_t n) {
  int32_t best = 0;
  for (int32_t i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

/* The worst difference; a decoder's prompt comes in two pieces, so that the second meets the cache. */
static double check_text(pith_forward *f, const pith_json *text) {
  const pith_config *c = f->config;
  int32_t ids[CONTEXT], greedy[CONTEXT];
  static float logits[1024];
  const uint32_t n = read_ids(pith_json_get(text, "ids"), ids), n_greedy = read_ids(pith_json_get(text, "greedy"), greedy), n_first = n / 3;
  if (c->family->task == PITH_TASK_EMBED) {
    run_rows(f, ids, (pith_span){0, n, 0});
    const double hidden = distance(pith_json_get(text, "hidden"), f->x, n * (size_t)c->hidden_size);
    static float outputs[CONTEXT * 1024];
    if (!c->head) return hidden;
    const uint32_t n_rows = c->task == PITH_TASK_CLASSIFY ? 1 : n;
    pith_head_rows(f, n_rows, f->x);
    pith_head_logits(f, n_rows, f->x, outputs);
    return fmax(hidden, distance(pith_json_get(text, "outputs"), outputs, n_rows * (size_t)pith_head_outputs(c)));
  }
  if (n_first) run_rows(f, ids, (pith_span){0, n_first, 0});
  run_rows(f, ids + n_first, (pith_span){0, n - n_first, n_first});
  pith_forward_logits(f, n - n_first - 1, logits);
  const double worst = distance(pith_json_get(text, "logits"), logits, (size_t)c->vocab_size);
  for (uint32_t i = 0; i < n_greedy; i++) {
    assert_int_equal(best_of(logits, c->vocab_size), greedy[i]);
    run_rows(f, &greedy[i], (pith_span){0, 1, n + i});
    pith_forward_logits(f, 0, logits);
  }
  return worst;
}

/* The worst difference of what a text classifier answers to ids with token types (tests/c/data/pairs.json). */
static double check_pair(pith_forward *f, const pith_json *pair) {
  int32_t ids[CONTEXT], types[CONTEXT];
  float outputs[16];
  const uint32_t n = read_ids(pith_json_get(pair, "ids"), ids);
  assert_int_equal(read_ids(pith_json_get(pair, "types"), types), n);
  f->types = types;
  run_rows(f, ids, (pith_span){0, n, 0});
  f->types = NULL;
  pith_head_rows(f, 1, f->x);
  pith_head_logits(f, 1, f->x, outputs);
  return distance(pith_json_get(pair, "outputs"), outputs, (size_t)pith_head_outputs(f->config));
}

static const pith_json *pairs_of(const char *name) {
  for (const pith_json *m = pith_json_first(pith_json_get(pairs, "models")); m; m = pith_json_next(m))
    if (strcmp(pith_json_string(pith_json_get(m, "of")), name) == 0) return pith_json_get(m, "cases");
  return NULL;
}

static void check_case(const pith_json *c, const char *folder) {
  pith_checkpoint checkpoint;
  pith_checkpoint_loader loader;
  pith_weights weights;
  pith_arena arena;
  pith_forward forward;
  uint64_t n_bytes;
  pith_status status;
  const pith_kernels *kernels = pith_kernels_find("scalar");
  if (pith_checkpoint_open(&ctx, folder, &checkpoint) != PITH_OK) fail_msg("%s", ctx.message);
  assert_int_equal(pith_checkpoint_loader_init(&ctx, &loader, &checkpoint, &weights), PITH_OK);
  while ((status = pith_checkpoint_loader_step(&ctx, &loader)) == PITH_PENDING) continue;
  if (status != PITH_OK) fail_msg("%s", ctx.message);
  pith_checkpoint_loader_free(&ctx, &loader);
  assert_true(pith_forward_plan(&ctx, &checkpoint.config, &weights, kernels, CONTEXT, CONTEXT, &n_bytes));
  assert_int_equal(pith_arena_init(&ctx, &arena, (size_t)n_bytes), PITH_OK);
  assert_int_equal(pith_forward_init(&ctx, &forward, &checkpoint.config, &weights, kernels, CONTEXT, CONTEXT, &arena), PITH_OK);
  double worst = 0.0;
  for (const pith_json *text = pith_json_first(pith_json_get(c, "texts")); text; text = pith_json_next(text)) worst = fmax(worst, check_text(&forward, text));
  for (const pith_json *pair = pith_json_first(pairs_of(pith_json_string(pith_json_get(c, "name")))); pair; pair = pith_json_next(pair), n_pairs++) worst = fmax(worst, check_pair(&forward, pair));
  print_message("%s: worst difference %.2g\n", pith_json_string(pith_json_get(c, "name")), worst);
  assert_true(worst < 2e-5);
  pith_arena_free(&ctx, &arena);
  pith_weights_free(&ctx, &weights);
  pith_checkpoint_close(&ctx, &checkpoint);
}

/* ---- the same as GGUF files ---- */

static void put(pith_buffer *b, uint64_t number, size_t n_bytes) { assert_int_equal(pith_buffer_append(&ctx, b, &number, n_bytes), PITH_OK); }

static void put_text(pith_buffer *b, const char *text) {
  put(b, strlen(text), 8);
  assert_int_equal(pith_buffer_append(&ctx, b, text, strlen(text)), PITH_OK);
}

static const struct {
  const char *hub, *gguf;
} gguf_names[] = {{"model.embed_tokens.", "token_embd."}, {"model.norm.", "output_norm."},    {"lm_head.", "output."},
                  {"input_layernorm.", "attn_norm."},     {"self_attn.q_proj.", "attn_q."},   {"self_attn.k_proj.", "attn_k."},
                  {"self_attn.v_proj.", "attn_v."},       {"self_attn.o_proj.", "attn_output."}, {"self_attn.q_norm.", "attn_q_norm."},
                  {"self_attn.k_norm.", "attn_k_norm."},  {"post_attention_layernorm.", "ffn_norm."}, {"mlp.gate_proj.", "ffn_gate."},
                  {"mlp.up_proj.", "ffn_up."},            {"mlp.down_proj.", "ffn_down."}};

static void gguf_name(const char *hub, char *out, size_t capacity) {
  int layer, n = 0;
  const bool within = sscanf(hub, "model.layers.%d.%n", &layer, &n) == 1;
  for (size_t i = 0; i < sizeof gguf_names / sizeof *gguf_names; i++) {
    const size_t length = strlen(gguf_names[i].hub);
    if (strncmp(hub + n, gguf_names[i].hub, length) != 0) continue;
    if (within) snprintf(out, capacity, "blk.%d.%s%s", layer, gguf_names[i].gguf, hub + n + length);
    else snprintf(out, capacity, "%s%s", gguf_names[i].gguf, hub + length);
    return;
  }
  fail_msg("no name for %s", hub);
}

/* The checkpoint in `folder` as a GGUF file. */
static void write_gguf(const char *folder, const char *architecture, const char *path) {
  static const struct {
    const char *gguf, *hub;
  } sizes[] = {{"context_length", "max_position_embeddings"}, {"embedding_length", "hidden_size"},       {"block_count", "num_hidden_layers"},
               {"feed_forward_length", "intermediate_size"},  {"attention.head_count", "num_attention_heads"}, {"attention.head_count_kv", "num_key_value_heads"},
               {"attention.key_length", "head_dim"},          {"attention.value_length", "head_dim"}};
  pith_checkpoint c;
  pith_buffer keys = {0}, infos = {0}, data = {0}, file = {0};
  uint64_t n_keys = 3;
  char name[PITH_MAX_NAME];
  if (pith_checkpoint_open(&ctx, folder, &c) != PITH_OK) fail_msg("%s", ctx.message);
  put_text(&keys, "general.architecture");
  put(&keys, 8, 4);
  put_text(&keys, architecture);
  const float floats[] = {c.config.norm_eps, (float)c.config.rope_theta};
  for (int i = 0; i < 2; i++) {
    uint32_t bits;
    memcpy(&bits, &floats[i], sizeof bits);
    snprintf(name, sizeof name, "%s.%s", architecture, i ? "rope.freq_base" : "attention.layer_norm_rms_epsilon");
    put_text(&keys, name);
    put(&keys, 6, 4);
    put(&keys, bits, 4);
  }
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const double n = pith_json_number(pith_json_get(c.config_json, sizes[i].hub), 0);
    if (n == 0) continue;
    n_keys++;
    snprintf(name, sizeof name, "%s.%s", architecture, sizes[i].gguf);
    put_text(&keys, name);
    put(&keys, 4, 4);
    put(&keys, (uint64_t)n, 4);
  }
  const pith_tensor_index *index = &c.files[0].index;
  for (size_t i = 0; i < index->n_entries; i++) {
    const pith_tensor_entry *e = &index->entries[i];
    static float values[1 << 16];
    const size_t n = (size_t)pith_tensor_elems(e);
    gguf_name(e->name, name, sizeof name);
    put_text(&infos, name);
    put(&infos, e->n_dims, 4);
    for (uint32_t d = e->n_dims; d-- > 0;) put(&infos, e->dims[d], 8);
    put(&infos, 0, 4);
    while (data.n_bytes % 32) put(&data, 0, 1);
    put(&infos, data.n_bytes, 8);
    assert_int_equal(pith_checkpoint_read(&ctx, &c.files[0], e, 0, n, values), PITH_OK);
    assert_int_equal(pith_buffer_append(&ctx, &data, values, n * sizeof *values), PITH_OK);
  }
  put(&file, 0x46554747, 4);   /* "GGUF" */
  put(&file, 3, 4);
  put(&file, index->n_entries, 8);
  put(&file, n_keys, 8);
  assert_int_equal(pith_buffer_append(&ctx, &file, keys.data, keys.n_bytes), PITH_OK);
  assert_int_equal(pith_buffer_append(&ctx, &file, infos.data, infos.n_bytes), PITH_OK);
  while (file.n_bytes % 32) put(&file, 0, 1);
  tiny_write(root, path, file.data, file.n_bytes, data.data, data.n_bytes);
  pith_checkpoint_close(&ctx, &c);
  pith_buffer_free(&ctx, &keys);
  pith_buffer_free(&ctx, &infos);
  pith_buffer_free(&ctx, &data);
  pith_buffer_free(&ctx, &file);
}

static const char *folder_of(int i, char *out, size_t capacity) {
  snprintf(out, capacity, "%s/case-%d", root, i);
  return out;
}

static void test_answers(void **state) {
  (void)state;
  char folder[512];
  int i = 0;
  for (const pith_json *c = pith_json_first(cases); c; c = pith_json_next(c)) check_case(c, folder_of(i++, folder, sizeof folder));
  assert_true(i > 0 && n_pairs == 6);
}

static void test_gguf(void **state) {
  (void)state;
  char folder[512], path[512];
  int i = 0, n_checked = 0;
  for (const pith_json *c = pith_json_first(cases); c; c = pith_json_next(c), i++) {
    const char *name = pith_json_string(pith_json_get(c, "name"));
    if (strncmp(name, "qwen", 4) != 0) continue;
    write_gguf(folder_of(i, folder, sizeof folder), name, "model.gguf");
    snprintf(path, sizeof path, "%s/model.gguf", root);
    check_case(c, path);
    n_checked++;
  }
  assert_int_equal(n_checked, 2);
}

/* The result, to be freed. */
static pith_json *run(pith_instance *instance, const char *request) {
  pith_job *job;
  pith_json *json;
  size_t n;
  pith_status status = pith_job_start(instance, request, strlen(request), &job);
  while (status == PITH_OK && (status = pith_job_step(job, 1000)) == PITH_PENDING) status = PITH_OK;
  if (!job || status != PITH_OK) fail_msg("%s: %s", request, pith_message(instance));
  const char *text = pith_job_result(job, &n);
  assert_int_equal(pith_json_parse(&ctx, text, n, "the result", &json), PITH_OK);
  pith_job_end(job);
  return json;
}

/* What fails says so in words that hold `says`. */
static void fails(pith_instance *instance, const char *request, pith_status expected, const char *says) {
  pith_job *job;
  pith_status status = pith_job_start(instance, request, strlen(request), &job);
  while (status == PITH_OK && (status = pith_job_step(job, 1000)) == PITH_PENDING) status = PITH_OK;
  if (status != expected || !strstr(pith_message(instance), says)) fail_msg("%s: %s", request, pith_message(instance));
  pith_job_end(job);
}

/* Answers of a loaded model's head: one list a text, scores best first; what it cannot do, it says. */
static void check_head(pith_instance *instance, const char *task) {
  static const char *const tasks[] = {"classify", "tag", "fill"};
  const bool fills = strcmp(task, "fill") == 0, tags = strcmp(task, "tag") == 0;
  char request[256];
  for (int i = 0; i < 3; i++) {
    if (strcmp(tasks[i], task) == 0) continue;
    snprintf(request, sizeof request, "{\"verb\":\"%s\",\"model\":1,\"texts\":[\"a\"]}", tasks[i]);
    fails(instance, request, PITH_E_UNSUPPORTED, task);
  }
  snprintf(request, sizeof request, "{\"verb\":\"%s\",\"model\":1,\"texts\":[\"[MASK] the quick [MASK] fox\",\"[MASK]\"]}", task);
  pith_json *answer = run(instance, request);
  const pith_json *first = pith_json_first(pith_json_get(answer, "results"));
  assert_int_equal(pith_json_count(pith_json_get(answer, "results")), 2);
  if (fills) {
    assert_int_equal(pith_json_count(first), 2);
    first = pith_json_first(first);   /* of the first mask */
    assert_int_equal(pith_json_count(first), 5);
    assert_non_null(pith_json_string(pith_json_get(pith_json_first(first), "token")));
    snprintf(request, sizeof request, "{\"verb\":\"fill\",\"model\":1,\"texts\":[\"[MASK]\",\"nothing\"]}");
    fails(instance, request, PITH_E_ARGUMENT, "text 2 has no [MASK]");
  } else {
    assert_true(pith_json_count(first) > 0);
    assert_non_null(pith_json_string(pith_json_get(pith_json_first(first), "label")));
  }
  double before = INFINITY;
  for (const pith_json *item = pith_json_first(first); item; item = pith_json_next(item)) {
    const double score = pith_json_number(pith_json_get(item, "score"), INFINITY);
    assert_true(tags ? score > 0 && score <= 1 : score <= before);
    before = score;
  }
  pith_json_free(answer);
}

/* Measured layer by layer while compressing, and again on both models loaded whole: the same figures, and good ones. */
static void check_package(int i, const char *more) {
  char request[4096], folder[512];
  pith_instance *instance = pith_open(&host, NULL);
  folder_of(i, folder, sizeof folder);
  snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/package\",\"recipe\":\"int8\",\"shardSize\":65536,\"force\":true%s}", folder, root,
           more);
  pith_json *compressed = run(instance, request);
  snprintf(request, sizeof request, "{\"verb\":\"eval\",\"source\":\"%s/package\",\"against\":\"%s\"}", root, folder);
  pith_json *evaluated = run(instance, request);
  const pith_json *quality = pith_json_get(compressed, "quality");
  int n_compared = 0;
  for (const pith_json *item = pith_json_first(quality); item; item = pith_json_next(item)) {
    const pith_json *other = pith_json_get(evaluated, pith_json_key(item));
    if (!pith_json_is_number(item) || !other) continue;
    n_compared++;
    assert_true(pith_json_number(item, 0) == pith_json_number(other, 1));
  }
  assert_true(n_compared >= 2);
  const double cosine = pith_json_number(pith_json_get(quality, "cosineMin"), 1), kl = pith_json_number(pith_json_get(quality, "klMean"), 0);
  print_message("%s%s: cosine at least %.4f, KL %.4f\n", folder, *more ? ", calibrated" : "", cosine, kl);
  assert_true(cosine > 0.99 && kl < 0.05);
  snprintf(request, sizeof request, "{\"verb\":\"load\",\"path\":\"%s/package\"}", root);
  pith_json *loaded = run(instance, request);
  const char *task = pith_json_string(pith_json_get(pith_json_get(loaded, "info"), "task"));
  const bool embeds = strcmp(task, "generate") != 0;   /* with a head too */
  if (embeds && strcmp(task, "embed") != 0) check_head(instance, task);
  pith_json *used = run(instance, embeds ? "{\"verb\":\"embed\",\"model\":1,\"texts\":[\"The quick brown fox\",\"\"]}"
                                         : "{\"verb\":\"generate\",\"model\":1,\"prompt\":\"The quick\",\"maxTokens\":12}");
  assert_int_equal(embeds ? pith_json_count(pith_json_get(used, "tokens")) : pith_json_count(pith_json_get(used, "ids")), embeds ? 2 : 12);
  pith_json_free(compressed);
  pith_json_free(evaluated);
  pith_json_free(loaded);
  pith_json_free(used);
  pith_close(instance);
}

static char *calibration_texts(char out[1536]) {
  strcpy(out, ",\"calibrate\":[\"\"");
  for (int k = 0; k < 16; k++) snprintf(out + strlen(out), 1536 - strlen(out), ",\"%d The quick brown fox jumps over the lazy dog. Pack my box!\"", 7 * k);
  return strcat(out, "]");
}

static void test_packages(void **state) {
  (void)state;
  const int n = (int)pith_json_count(cases);
  char calibrated[1536];
  calibration_texts(calibrated);
  for (int i = 0; i < n; i++) {
    check_package(i, "");
    check_package(i, calibrated);
  }
}

/* ---- scales that move between activations and weights ---- */

/* The largest difference of what is stored for a tensor from the parent's; both in f32 rows. */
static double moved_by(const char *folder, const char *package, int32_t stage, uint32_t id) {
  const pith_kernels *kernels = pith_kernels_find("scalar");
  const char *const paths[] = {folder, package};
  pith_model models[2];
  static float rows[2][4096];
  double worst = 0.0;
  for (int side = 0; side < 2; side++) {
    pith_model_loader loader;
    pith_status status = pith_model_loader_init(&ctx, &loader, &models[side], paths[side], kernels);
    for (status = status == PITH_OK ? PITH_PENDING : status; status == PITH_PENDING;) status = pith_model_loader_step(&ctx, &loader);
    pith_model_loader_free(&ctx, &loader);
    if (status != PITH_OK) fail_msg("%s", ctx.message);
  }
  const pith_matrix *a = &pith_weights_stage(&models[0].weights, stage)->weights[id].matrix, *b = &pith_weights_stage(&models[1].weights, stage)->weights[id].matrix;
  for (uint32_t r = 0; r < a->rows; r++) {
    pith_matrix_row(a, r, rows[0]);
    pith_matrix_row(b, r, rows[1]);
    for (uint32_t k = 0; k < a->cols; k++) worst = fmax(worst, fabs((double)rows[0][k] - (double)rows[1][k]));
  }
  for (int side = 0; side < 2; side++) pith_model_close(&ctx, &models[side]);
  return worst;
}

/* In f32 the model with folded scales answers as its parent does; each fold that the family allows was made, and moved weights. */
static void check_folds(const char *folder, const char *by, const char *matrices, bool exact) {
  static const struct {
    const char *key;
    uint32_t reader;
  } folds[] = {{"queryKeyValue", PITH_QUERY}, {"attentionOut", PITH_ATTENTION_OUT}, {"gateUp", PITH_UP}, {"down", PITH_DOWN}};
  char request[4096], texts[1536], package[512];
  pith_checkpoint parent;
  pith_instance *instance = pith_open(&host, NULL);
  snprintf(package, sizeof package, "%s/package", root);
  snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s\",\"force\":true,\"recipe\":{\"name\":\"folded\",\"matrices\":{\"encoding\":\"%s\"},"
           "\"tables\":{\"encoding\":\"f32\"},\"migrate\":%s}%s}", folder, package, matrices, by, calibration_texts(texts));
  pith_json *compressed = run(instance, request);
  const pith_json *quality = pith_json_get(compressed, "quality"), *made = pith_json_get(compressed, "folds");
  const double cosine = pith_json_number(pith_json_get(quality, "cosineMin"), 1), kl = pith_json_number(pith_json_get(quality, "klMean"), 0);
  if (pith_checkpoint_open(&ctx, folder, &parent) != PITH_OK) fail_msg("%s", ctx.message);
  const pith_config *c = &parent.config;
  const bool gated = strcmp(c->family->name, "llama") == 0 || strncmp(c->family->name, "qwen", 4) == 0;
  const bool expected[] = {!c->norms_after, true, !c->norms_after, gated || c->activation == PITH_RELU};
  print_message("%s, %s: 1 - cosine %.2g, KL %.2g\n", c->family->name, by, 1.0 - cosine, kl);
  if (exact) assert_true(cosine > 1.0 - 2e-7 && kl < 1e-7);
  else assert_true(cosine > 0.9 && kl < 0.3);
  for (size_t f = 0; f < 4; f++) {
    const double n = pith_json_number(pith_json_get(made, folds[f].key), -1);
    if (!expected[f]) assert_true(n == -1);
    else if (exact) assert_true(n == c->n_layers);
    else assert_true(n >= 0 && n <= c->n_layers);
    const bool moves = expected[f] || (f == 2 && expected[3]);   /* up's rows too, where down's inputs are scaled */
    if (exact && moves != (moved_by(folder, package, c->n_layers - 1, folds[f].reader) > 0.01)) fail_msg("%s: %s", c->family->name, folds[f].key);
  }
  pith_checkpoint_close(&ctx, &parent);
  pith_json_free(compressed);
  pith_close(instance);
}

/* The recipe as the manifest has it makes the same package. */
static void test_recipe_again(void **state) {
  (void)state;
  char request[8192], texts[1536], folder[512], path[600], command[1200], *text;
  size_t n;
  pith_json *manifest;
  pith_buffer recipe = {0};
  const char *more = "{\"name\":\"twice\",\"matrices\":{\"encoding\":\"u4\"},\"tables\":{\"encoding\":\"f32\"},\"order\":\"activations\",\"migrate\":{\"by\":\"smoothquant\",\"alpha\":0.35}}";
  folder_of(0, folder, sizeof folder);
  calibration_texts(texts);
  for (int turn = 0; turn < 2; turn++) {
    pith_instance *instance = pith_open(&host, NULL);
    snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/turn-%d\",\"recipe\":%s%s}", folder, root, turn, more, texts);
    pith_json_free(run(instance, request));
    pith_close(instance);
    if (turn == 1) break;
    snprintf(path, sizeof path, "%s/turn-0/pith.json", root);
    assert_int_equal(pith_io_read_file(&ctx, path, 1 << 24, &text, &n), PITH_OK);
    assert_int_equal(pith_json_parse(&ctx, text, n, path, &manifest), PITH_OK);
    assert_int_equal(pith_json_print(&ctx, pith_json_get(manifest, "recipe"), false, &recipe), PITH_OK);
    assert_int_equal(pith_buffer_append(&ctx, &recipe, "", 1), PITH_OK);
    more = recipe.data;
    pith_json_free(manifest);
    pith_free(&ctx, text);
  }
  snprintf(command, sizeof command, "diff -r '%s/turn-0' '%s/turn-1'", root, root);
  assert_int_equal(system(command), 0);
  pith_buffer_free(&ctx, &recipe);
}

static void test_folds(void **state) {
  (void)state;
  const int n = (int)pith_json_count(cases);
  char folder[512];
  for (int i = 0; i < n; i++) {
    check_folds(folder_of(i, folder, sizeof folder), "{\"by\":\"smoothquant\",\"alpha\":0.7}", "f32", true);
    check_folds(folder, "{\"by\":\"awq\"}", "u4", false);
  }
}

static void test_wrong_recipes(void **state) {
  (void)state;
  static const struct {
    const char *member;
    pith_status status;
    bool calibrate;
    const char *says;
  } wrong[] = {{"\"order\":\"activations\"", PITH_E_ARGUMENT, false, "texts"}, {"\"order\":\"luck\"", PITH_E_UNSUPPORTED, true, "activations"}, {"\"order\":1", PITH_E_UNSUPPORTED, true, "activations"},
               {"\"migrate\":{\"by\":\"awq\"}", PITH_E_ARGUMENT, false, "texts"}, {"\"migrate\":{\"by\":\"luck\"}", PITH_E_UNSUPPORTED, true, "smoothquant or awq"}, {"\"migrate\":{}", PITH_E_UNSUPPORTED, true, "by"},
               {"\"migrate\":[]", PITH_E_FORMAT, true, "object"}, {"\"migrate\":{\"by\":\"smoothquant\",\"alpha\":1.5}", PITH_E_FORMAT, true, "from 0 to 1"},
               {"\"migrate\":{\"by\":\"smoothquant\",\"alpha\":-0.1}", PITH_E_FORMAT, true, "alpha"}, {"\"migrate\":{\"by\":\"smoothquant\",\"alpha\":\"half\"}", PITH_E_FORMAT, true, "alpha"},
               {"\"migrate\":{\"by\":\"awq\",\"alpha\":0.5}", PITH_E_UNSUPPORTED, true, "searches"}, {"\"migrate\":{\"by\":\"awq\",\"grid\":20}", PITH_E_UNSUPPORTED, true, "grid"}};
  char request[4096], texts[1536], folder[512];
  folder_of(0, folder, sizeof folder);
  calibration_texts(texts);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    pith_instance *instance = pith_open(&host, NULL);
    snprintf(request, sizeof request, "{\"verb\":\"compress\",\"source\":\"%s\",\"output\":\"%s/wrong\",\"recipe\":{\"name\":\"wrong\",\"matrices\":{\"encoding\":\"u7\"},"
             "\"tables\":{\"encoding\":\"f32\"},%s}%s}", folder, root, wrong[i].member, wrong[i].calibrate ? texts : "");
    fails(instance, request, wrong[i].status, wrong[i].says);
    pith_close(instance);
  }
}

static const pith_json *config_of(const char *name) {
  for (const pith_json *c = pith_json_first(cases); c; c = pith_json_next(c))
    if (strcmp(pith_json_string(pith_json_get(c, "name")), name) == 0) return pith_json_get(c, "config");
  fail_msg("no case %s", name);
  return NULL;
}

/* A configuration of the goldens with one member more or another one: one clear error. */
static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *name, *key, *value;
    pith_status status;
  } refused[] = {
      {"bert", "is_decoder", "true", PITH_E_UNSUPPORTED},
      {"llama with biases", "head_dim", "9", PITH_E_FORMAT},
      {"distilbert", "dim", "26", PITH_E_FORMAT},
      {"distilbert", "activation", "\"mish\"", PITH_E_UNSUPPORTED},
      {"distilbert", "dim", "\"x\"", PITH_E_FORMAT},
      {"roberta", "pad_token_id", "47", PITH_E_FORMAT},
      {"roberta", "pad_token_id", "-1", PITH_E_FORMAT},
      {"roberta", "is_decoder", "true", PITH_E_UNSUPPORTED},
      {"qwen2", "use_sliding_window", "true", PITH_E_UNSUPPORTED},
      {"qwen2", "rope_scaling", "{\"rope_type\":\"yarn\"}", PITH_E_UNSUPPORTED},
      {"qwen3", "use_sliding_window", "true", PITH_E_UNSUPPORTED},
      {"qwen3", "head_dim", "9", PITH_E_FORMAT},
      {"gpt2", "scale_attn_weights", "false", PITH_E_UNSUPPORTED},
      {"gpt2", "scale_attn_by_inverse_layer_idx", "true", PITH_E_UNSUPPORTED},
      {"gpt2", "add_cross_attention", "true", PITH_E_UNSUPPORTED},
      {"gpt2", "n_embd", "25", PITH_E_FORMAT},
      {"gpt2", "n_positions", "1", PITH_E_UNSUPPORTED},
      {"gpt_neox", "rope_parameters", "{\"partial_rotary_factor\":1.5}", PITH_E_FORMAT},
      {"gpt_neox", "rope_parameters", "{\"partial_rotary_factor\":0.4}", PITH_E_FORMAT},
      {"gpt_neox", "rope_parameters", "{\"rope_type\":\"linear\"}", PITH_E_UNSUPPORTED}};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    pith_buffer text = {0};
    pith_json *json;
    pith_config config;
    assert_int_equal(pith_buffer_printf(&ctx, &text, "{\"%s\":%s", refused[i].key, refused[i].value), PITH_OK);
    for (const pith_json *item = pith_json_first(config_of(refused[i].name)); item; item = pith_json_next(item)) {
      if (strcmp(pith_json_key(item), refused[i].key) == 0) continue;
      assert_int_equal(pith_buffer_printf(&ctx, &text, ",\"%s\":", pith_json_key(item)), PITH_OK);
      assert_int_equal(pith_json_print(&ctx, item, false, &text), PITH_OK);
    }
    assert_int_equal(pith_buffer_append(&ctx, &text, "}", 1), PITH_OK);
    assert_int_equal(pith_json_parse(&ctx, text.data, text.n_bytes, "config.json", &json), PITH_OK);
    const pith_status status = pith_config_parse(&ctx, json, "config.json", &config);
    if (status != refused[i].status || !strstr(ctx.message, "config.json")) fail_msg("%s, %s: %s", refused[i].name, refused[i].key, ctx.message);
    pith_json_free(json);
    pith_buffer_free(&ctx, &text);
  }
}

/* Gives the tokenizer a word to mask with. */
static void add_mask(const char *folder) {
  static const char before[] = "\"added_tokens\":[",
                    token[] = "{\"id\":175,\"content\":\"[MASK]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},";
  char path[600], *text;
  size_t n;
  pith_buffer out = {0};
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  assert_int_equal(pith_io_read_file(&ctx, path, 1 << 24, &text, &n), PITH_OK);
  const char *at = strstr(text, before);
  assert_non_null(at);
  at += strlen(before);
  assert_int_equal(pith_buffer_printf(&ctx, &out, "%.*s%s%s", (int)(at - text), text, token, at), PITH_OK);
  tiny_write(folder, "tokenizer.json", out.data, out.n_bytes, "", 0);
  pith_buffer_free(&ctx, &out);
  pith_free(&ctx, text);
}

static int make_checkpoints(void **state) {
  (void)state;
  char *text, folder[512];
  size_t n;
  int i = 0;
  host = pith_host_posix_init(&posix);
  pith_ctx_init(&ctx, &host, NULL);
  tiny_folder(root, sizeof root);
  for (int k = 0; k < 2; k++) {
    assert_int_equal(pith_io_read_file(&ctx, k ? "tests/c/data/pairs.json" : "tests/c/data/families.json", 1 << 24, &text, &n), PITH_OK);
    assert_int_equal(pith_json_parse(&ctx, text, n, "golden data", k ? &pairs : &cases), PITH_OK);
    pith_free(&ctx, text);
  }
  for (const pith_json *c = pith_json_first(cases); c; c = pith_json_next(c)) {
    write_checkpoint(c, folder_of(i++, folder, sizeof folder));
    tiny_tokenizer(&ctx, folder, strstr(pith_json_string(pith_json_get(c, "name")), "bert") ? "WordPiece" : "BPE");
    if (strstr(pith_json_string(pith_json_get(c, "name")), "to fill")) add_mask(folder);
  }
  return 0;
}

static int remove_checkpoints(void **state) {
  (void)state;
  tiny_remove(root);
  pith_json_free(cases);
  pith_json_free(pairs);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_gguf), cmocka_unit_test(test_packages), cmocka_unit_test(test_folds), cmocka_unit_test(test_recipe_again), cmocka_unit_test(test_wrong_recipes), cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests_name("families", tests, make_checkpoints, remove_checkpoints);
}
