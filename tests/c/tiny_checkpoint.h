/* Synthetic checkpoints with a real tokenizer, written into a temporary folder: for tests that need a whole model, but no particular one. */
#ifndef PITH_TEST_TINY_CHECKPOINT_H
#define PITH_TEST_TINY_CHECKPOINT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host_posix.h"
#include "model/model.h"

typedef struct tiny_shape {
  bool bert, tied;
  int hidden, inner, layers, heads, kv_heads, vocab, positions;
} tiny_shape;

static char *tiny_config(const tiny_shape *s, char *out, size_t capacity) {
  const char *family = s->bert ? "\"architectures\":[\"BertModel\"],\"hidden_act\":\"gelu\",\"type_vocab_size\":2"
                               : "\"architectures\":[\"LlamaForCausalLM\"],\"hidden_act\":\"silu\",\"rope_theta\":10000,\"rms_norm_eps\":1e-5";
  snprintf(out, capacity,
           "{%s,\"hidden_size\":%d,\"intermediate_size\":%d,\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,"
           "\"vocab_size\":%d,\"max_position_embeddings\":%d,\"tie_word_embeddings\":%s}",
           family, s->hidden, s->inner, s->layers, s->heads, s->kv_heads, s->vocab, s->positions, s->tied ? "true" : "false");
  return out;
}

static void tiny_write(const char *folder, const char *name, const void *data, size_t n_bytes, const void *more, size_t n_more) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, n_bytes, file), n_bytes);
  assert_int_equal(fwrite(more, 1, n_more, file), n_more);
  assert_int_equal(fclose(file), 0);
}

/* The first tokenizer of tests/c/data of that kind; the tests run in the checkout's root. */
static void tiny_tokenizer(pith_ctx *ctx, const char *folder, const char *type) {
  char *text;
  size_t n;
  pith_json *cases;
  pith_buffer out = {0};
  assert_int_equal(pith_io_read_file(ctx, "tests/c/data/tokenizer_cases.json", 1 << 26, &text, &n), PITH_OK);
  assert_int_equal(pith_json_parse(ctx, text, n, "cases", &cases), PITH_OK);
  const pith_json *tokenizer = NULL;
  for (const pith_json *c = pith_json_first(cases); c && !tokenizer; c = pith_json_next(c)) {
    const pith_json *candidate = pith_json_get(c, "tokenizer");
    if (strcmp(pith_json_string(pith_json_get(pith_json_get(candidate, "model"), "type")), type) == 0) tokenizer = candidate;
  }
  assert_non_null(tokenizer);
  assert_int_equal(pith_json_print(ctx, tokenizer, false, &out), PITH_OK);
  tiny_write(folder, "tokenizer.json", out.data, out.n_bytes, "", 0);
  pith_buffer_free(ctx, &out);
  pith_json_free(cases);
  pith_free(ctx, text);
}

/* Random weights for every slot of the family. Returns the bytes of a layer's weights; *n_bytes those of all. */
static uint64_t tiny_weights(pith_ctx *ctx, const char *folder, const pith_config *config, uint64_t *n_bytes) {
  enum { MAX_TENSORS = 1024 };
  static pith_tensor_entry entries[MAX_TENSORS];
  static char names[MAX_TENSORS][PITH_MAX_NAME];
  pith_slot slots[PITH_MAX_SLOTS];
  pith_buffer header = {0}, data = {0};
  uint64_t layer_bytes = 0;
  size_t n_entries = 0;
  uint32_t state = 12345;
  for (int32_t stage = -1; stage <= config->n_layers; stage++) {
    const uint32_t n = config->family->slots(config, stage, slots);
    const size_t before = data.n_bytes;
    for (uint32_t i = 0; i < n; i++) {
      const bool vector = slots[i].role == PITH_ROLE_VECTOR;
      const size_t n_floats = (size_t)slots[i].rows * slots[i].cols;
      assert_true(n_entries < MAX_TENSORS);
      memcpy(names[n_entries], slots[i].name, sizeof names[0]);
      entries[n_entries] = (pith_tensor_entry){.name = names[n_entries], .dtype = PITH_F32, .n_dims = vector ? 1 : 2, .n_bytes = n_floats * sizeof(float)};
      entries[n_entries].dims[0] = vector ? slots[i].cols : slots[i].rows;
      entries[n_entries].dims[1] = vector ? 0 : slots[i].cols;
      n_entries++;
      for (size_t k = 0; k < n_floats; k++) {
        state = state * 1664525u + 1013904223u;
        const float random = (float)(state >> 8) / 16777216.0f - 0.5f, value = vector ? 1.0f + 0.25f * random : 0.5f * random;
        assert_int_equal(pith_buffer_append(ctx, &data, &value, sizeof value), PITH_OK);
      }
    }
    if (stage == 0) layer_bytes = data.n_bytes - before;
  }
  assert_int_equal(pith_safetensors_print(ctx, entries, n_entries, NULL, 0, &header), PITH_OK);
  tiny_write(folder, "model.safetensors", header.data, header.n_bytes, data.data, data.n_bytes);
  *n_bytes = data.n_bytes;
  pith_buffer_free(ctx, &header);
  pith_buffer_free(ctx, &data);
  return layer_bytes;
}

/* Makes the folder (parent: an existing one) and gives its path. Returns a layer's bytes. */
static inline uint64_t tiny_checkpoint(const char *parent, const char *name, const tiny_shape *shape, char *folder, size_t capacity, uint64_t *n_bytes) {
  pith_host_posix state;
  const pith_host host = pith_host_posix_init(&state);
  pith_ctx ctx;
  pith_config config;
  pith_json *json;
  char text[1024];
  pith_ctx_init(&ctx, &host, NULL);
  snprintf(folder, capacity, "%s/%s", parent, name);
  assert_int_equal(host.make_dir(host.user, folder), 0);
  tiny_config(shape, text, sizeof text);
  tiny_write(folder, "config.json", text, strlen(text), "", 0);
  assert_int_equal(pith_json_parse(&ctx, text, strlen(text), "config.json", &json), PITH_OK);
  if (pith_config_parse(&ctx, json, "config.json", &config) != PITH_OK) fail_msg("%s", ctx.message);
  pith_json_free(json);
  tiny_tokenizer(&ctx, folder, shape->bert ? "WordPiece" : "BPE");
  return tiny_weights(&ctx, folder, &config, n_bytes);
}

/* An own folder for a test program; tiny_remove when it ends. */
static char *tiny_folder(char *path, size_t capacity) {
  const char *root = getenv("TMPDIR");
  snprintf(path, capacity, "%s/pith-test-XXXXXX", root ? root : "/tmp");
  assert_non_null(mkdtemp(path));
  return path;
}

/* The program's own folder, and in it a checkpoint of each shape. */
static inline void tiny_checkpoints(char *root, size_t capacity, const tiny_shape *shapes, int n, char (*folders)[512]) {
  uint64_t n_bytes;
  tiny_folder(root, capacity);
  for (int s = 0; s < n; s++) {
    char name[32];
    snprintf(name, sizeof name, "shape-%d", s);
    (void)tiny_checkpoint(root, name, &shapes[s], folders[s], sizeof folders[s], &n_bytes);
  }
}

/* A file, or a folder with all that it holds. */
static void tiny_remove(const char *path) {
  pith_host_posix state;
  const pith_host host = pith_host_posix_init(&state);
  char name[256], child[1024];
  while (host.exists(host.user, path) == 2 && host.find(host.user, path, "", name, sizeof name) > 0) {
    snprintf(child, sizeof child, "%s/%s", path, name);
    tiny_remove(child);
  }
  assert_int_equal(host.remove(host.user, path), 0);
}

#endif
