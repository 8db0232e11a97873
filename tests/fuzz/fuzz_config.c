/* config.json of any family: what is accepted lists its slots. */
#include "model/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  pith_ctx ctx;
  pith_json *json;
  pith_config config;
  pith_ctx_init(&ctx, NULL, NULL);
  if (pith_json_parse(&ctx, (const char *)data, n_bytes, "config.json", &json) != PITH_OK) return 0;
  if (pith_config_parse(&ctx, json, "config.json", &config) == PITH_OK) {
    pith_slot slots[PITH_MAX_SLOTS];
    for (int32_t stage = -1; stage <= config.n_layers; stage++)
      if (config.family->slots(&config, stage, slots) > PITH_MAX_SLOTS) __builtin_trap();
    (void)pith_config_special_ids(&ctx, json, "config.json", &config);
  }
  pith_json_free(json);
  return 0;
}
