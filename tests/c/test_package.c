/* model/package: sparse packages of the fuzz corpus (the manifest, a NUL, the shard) as they are, and with one thing wrong in each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/open.h"
#include "stdio_host.h"

typedef struct sample {
  pith_ctx ctx;
  char *bytes;             /* manifest, NUL, shard */
  size_t n_bytes, n_json;
} sample;

static void open_sample(sample *s, const char *path) {
  pith_ctx_init(&s->ctx, &stdio_host, NULL);
  assert_int_equal(pith_io_read_file(&s->ctx, path, 1 << 20, &s->bytes, &s->n_bytes), PITH_OK);
  s->n_json = strlen(s->bytes);
}

static void close_sample(sample *s) { pith_free(&s->ctx, s->bytes); }

/* Parses and binds; the model is to be closed when that is PITH_OK. */
static pith_status bind(sample *s, const char *json, size_t n_json, pith_model *model) {
  const uint8_t *shard = (const uint8_t *)s->bytes + s->n_json + 1;
  const size_t n_shard = s->n_bytes - s->n_json - 1;
  pith_safetensors index = {0};
  uint64_t header_bytes;
  uint8_t *place;
  memset(model, 0, sizeof *model);
  assert_int_equal(pith_manifest_parse(&s->ctx, json, n_json, "pith.json", &model->manifest), PITH_OK);
  assert_int_equal(pith_config_parse(&s->ctx, pith_json_get(model->manifest.json, "config"), "pith.json", &model->config), PITH_OK);
  assert_int_equal(pith_safetensors_header_bytes(&s->ctx, shard, n_shard, "shard", &header_bytes), PITH_OK);
  assert_int_equal(pith_safetensors_parse(&s->ctx, (const char *)shard + 8, header_bytes, n_shard, "shard", &index), PITH_OK);
  assert_int_equal(pith_weights_init(&s->ctx, &model->weights, model->config.n_layers), PITH_OK);
  assert_int_equal(pith_weights_take(&s->ctx, &model->weights, n_shard, &place), PITH_OK);
  memcpy(place, shard, n_shard);
  const pith_status status = pith_package_bind(&s->ctx, model, &place, &index);
  pith_safetensors_free(&s->ctx, &index);
  if (status != PITH_OK) pith_model_close(&s->ctx, model);
  return status;
}

/* The first `from` of the manifest becomes `to`. */
static void refused_manifest(sample *s, const char *from, const char *to, const char *message) {
  char json[16384];
  pith_model model;
  const char *at = strstr(s->bytes, from);
  assert_non_null(at);
  const int n = snprintf(json, sizeof json, "%.*s%s%s", (int)(at - s->bytes), s->bytes, to, at + strlen(from));
  assert_true(n > 0 && (size_t)n < sizeof json);
  if (bind(s, json, (size_t)n, &model) == PITH_OK) fail_msg("%s instead of %s was accepted", to, from);
  if (!strstr(s->ctx.message, message)) fail_msg("%s instead of %s: %s", to, from, s->ctx.message);
}

/* Byte `at` of the data of that name becomes (itself & kept) ^ bits. */
static void refused_byte(sample *s, const char *name, size_t at, uint8_t kept, uint8_t bits, const char *message) {
  pith_safetensors index;
  uint64_t header_bytes;
  pith_model model;
  char *shard = s->bytes + s->n_json + 1;
  const size_t n_shard = s->n_bytes - s->n_json - 1;
  assert_int_equal(pith_safetensors_header_bytes(&s->ctx, (const uint8_t *)shard, n_shard, "shard", &header_bytes), PITH_OK);
  assert_int_equal(pith_safetensors_parse(&s->ctx, shard + 8, header_bytes, n_shard, "shard", &index), PITH_OK);
  const pith_tensor_entry *entry = pith_safetensors_find(&index, name);
  assert_non_null(entry);
  assert_true(at < entry->n_bytes);
  char *byte = shard + entry->offset + at;
  const char before = *byte;
  *byte = (char)((before & kept) ^ bits);
  if (bind(s, s->bytes, s->n_json, &model) == PITH_OK) fail_msg("byte %zu of %s ^ %02x was accepted", at, name, bits);
  if (!strstr(s->ctx.message, message)) fail_msg("byte %zu of %s ^ %02x: %s", at, name, bits, s->ctx.message);
  *byte = before;
  pith_safetensors_free(&s->ctx, &index);
}

#define QUERY "encoder.layer.0.attention.self.query.weight"

static void test_blocks(void **state) {
  (void)state;
  sample s;
  pith_model model;
  open_sample(&s, "tests/fuzz/corpus/package/tiny-block");
  assert_int_equal(bind(&s, s.bytes, s.n_json, &model), PITH_OK);
  const pith_matrix *query = &pith_weights_stage(&model.weights, 0)->weights[PITH_QUERY].matrix;   /* 24 by 24: 3 panels of 6 quads, 1 group */
  assert_int_equal(query->encoding, PITH_ENC_U7_BLOCK);
  assert_int_equal(query->parts->n_stored, 9 * PITH_BLOCK);
  assert_int_equal(query->parts->starts[3], 9);
  pith_model_close(&s.ctx, &model);
  refused_manifest(&s, "\"encoding\":\"u7-block\",\"group_size\":32,\"scales\"", "\"encoding\":\"u7\",\"group_size\":32,\"scales\"", "another type or shape");
  refused_manifest(&s, "\"encoding\":\"u7-block\",\"group_size\":32,\"scales\"", "\"encoding\":\"u7-sparse\",\"group_size\":32,\"scales\"", "another type or shape");
  refused_manifest(&s, "\"encoding\":\"u7-block\",\"group_size\":32,\"scales\"", "\"encoding\":\"u7-block\",\"group_size\":30,\"scales\"", "multiple of 4");
  refused_manifest(&s, ",\"places\":\"" QUERY ".places\"", "", "names data that its shard does not have");
  refused_manifest(&s, "\"places\":\"" QUERY ".places\"", "\"places\":\"" QUERY ".scales\"", "another type or shape");
  refused_manifest(&s, "\"codes\":\"" QUERY ".codes\"", "\"codes\":\"encoder.layer.0.intermediate.dense.weight.codes\"", "another number of codes");
  refused_byte(&s, QUERY ".places", 0, 0xff, 1, "another number of codes");
  refused_byte(&s, QUERY ".places", 2, 0xff, 0x40, "past its last column");
  refused_byte(&s, QUERY ".codes", 9 * 32 - 1, 0xff, 0x80, "above 127");
  refused_byte(&s, QUERY ".scales", 1, 0, 0x7c, "not finite");
  close_sample(&s);
}

/* Nothing stays in the shard, which is given back. */
static void test_sparse(void **state) {
  (void)state;
  sample s;
  pith_model model;
  open_sample(&s, "tests/fuzz/corpus/package/tiny-sparse");
  assert_int_equal(bind(&s, s.bytes, s.n_json, &model), PITH_OK);
  const pith_stage *layer = pith_weights_stage(&model.weights, 0);
  const pith_matrix *query = &layer->weights[PITH_QUERY].matrix, *words = &pith_weights_stage(&model.weights, -1)->weights[PITH_EMBED_TOKENS].matrix;
  assert_int_equal(query->encoding, PITH_ENC_U7);
  assert_null(query->parts->places);
  const uint8_t *codes = query->parts->codes;
  int n = 0;
  for (int i = 0; i < 24 * 24; i++) n += codes[i] != PITH_U7_ZERO;
  assert_true(n <= 24 * 12 && n > 24 * 11);
  assert_int_equal(words->encoding, PITH_ENC_U7);   /* u5 */
  codes = words->parts->codes;
  for (int i = 0; i < 175 * 24; i++) assert_true(codes[i] > PITH_U7_ZERO - 16 && codes[i] < PITH_U7_ZERO + 16);
  pith_model_close(&s.ctx, &model);
  refused_manifest(&s, "\"encoding\":\"u7-sparse\",\"group_size\":32,\"scales\"", "\"encoding\":\"u7-block\",\"group_size\":32,\"scales\"", "another type or shape");
  refused_manifest(&s, "\"encoding\":\"u7-sparse\",\"group_size\":32,\"scales\"", "\"encoding\":\"u7-packed\",\"group_size\":32,\"scales\"", "another type or shape");
  refused_manifest(&s, "\"encoding\":\"u5\",\"group_size\":32,\"scales\"", "\"encoding\":\"u6\",\"group_size\":32,\"scales\"", "another type or shape");
  refused_manifest(&s, "\"encoding\":\"u5\",\"group_size\":32,\"scales\"", "\"encoding\":\"u3\",\"group_size\":32,\"scales\"", "does not read there");
  refused_manifest(&s, ",\"places\":\"" QUERY ".places\"", "", "names data that its shard does not have");
  refused_manifest(&s, "\"codes\":\"" QUERY ".codes\"", "\"codes\":\"encoder.layer.0.intermediate.dense.weight.codes\"", "another number of codes");
  refused_byte(&s, QUERY ".places", 0, 0, 0xff, "another number of codes");
  refused_byte(&s, QUERY ".places", 71, 0, 0, "another number of codes");
  refused_byte(&s, QUERY ".scales", 1, 0, 0x7c, "not finite");
  close_sample(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks), cmocka_unit_test(test_sparse)};
  return cmocka_run_group_tests_name("package", tests, NULL, NULL);
}
