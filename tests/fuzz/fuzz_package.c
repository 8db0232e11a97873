/* pith.json, then (after a NUL) the only shard: manifest, configuration, and the binding of tensors to bytes. Hashes are left out, since
 * no fuzzer finds one. */
#include <string.h>

#include "model/open.h"

static void bind(pith_ctx *ctx, pith_model *model, const uint8_t *shard, size_t n_bytes) {
  pith_safetensors index = {0};
  uint64_t header_bytes;
  uint8_t *place;
  if (n_bytes < 8 || model->manifest.n_shards != 1) return;
  if (pith_config_parse(ctx, pith_json_get(model->manifest.json, "config"), "pith.json", &model->config) != PITH_OK) return;
  if (pith_settings_parse(ctx, pith_json_get(model->manifest.json, "settings"), "pith.json", model) != PITH_OK) return;
  if (pith_safetensors_header_bytes(ctx, shard, n_bytes, "shard", &header_bytes) != PITH_OK) return;
  if (pith_safetensors_parse(ctx, (const char *)shard + 8, header_bytes, n_bytes, "shard", &index) != PITH_OK) return;
  if (model->config.n_layers <= 64 && pith_weights_init(ctx, &model->weights, model->config.n_layers) == PITH_OK &&
      pith_weights_take(ctx, &model->weights, n_bytes, &place) == PITH_OK) {
    memcpy(place, shard, n_bytes);
    (void)pith_package_bind(ctx, model, &place, &index);
  }
  pith_safetensors_free(ctx, &index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  pith_ctx ctx;
  pith_model model;
  memset(&model, 0, sizeof model);
  pith_ctx_init(&ctx, NULL, NULL);
  const uint8_t *end = n_bytes ? memchr(data, '\0', n_bytes) : NULL;
  const size_t n_json = end ? (size_t)(end - data) : n_bytes;
  if (pith_manifest_parse(&ctx, (const char *)data, n_json, "pith.json", &model.manifest) == PITH_OK && end)
    bind(&ctx, &model, end + 1, n_bytes - n_json - 1);
  pith_model_close(&ctx, &model);
  return 0;
}
