/* The header of a safetensors file: the first 8 bytes and the JSON after them. */
#include "tensor/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  pith_ctx ctx;
  pith_safetensors index;
  uint64_t header_bytes;
  if (n_bytes < 8) return 0;
  pith_ctx_init(&ctx, NULL, NULL);
  if (pith_safetensors_header_bytes(&ctx, data, n_bytes, "file", &header_bytes) != PITH_OK) return 0;
  if (pith_safetensors_parse(&ctx, (const char *)data + 8, header_bytes, n_bytes, "file", &index) != PITH_OK) return 0;
  volatile uint8_t sink = 0;
  for (size_t i = 0; i < index.n_entries; i++) {   /* every accepted range can be read */
    const pith_tensor_entry *e = &index.entries[i];
    if (e->n_bytes) sink ^= data[e->offset], sink ^= data[e->offset + e->n_bytes - 1];
    if (pith_safetensors_find(&index, e->name) != e) __builtin_trap();
  }
  pith_safetensors_free(&ctx, &index);
  return 0;
}
