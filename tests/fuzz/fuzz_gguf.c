/* A GGUF file from a host in memory: header, metadata as configuration, names, tokenizer, and the first and last row of every weight. What is
 * accepted reads the same whole and in two pieces. */
#include <stdlib.h>

#include "../c/memory_host.h"
#include "model/checkpoint.h"
#include "text/tokenizer.h"

static void read_row(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t row, size_t cols, float *x, float *y) {
  if (pith_checkpoint_read(ctx, file, entry, row * cols, cols, x) != PITH_OK) return;
  const size_t cut = cols / 3;
  if (pith_checkpoint_read(ctx, file, entry, row * cols, cut, y) != PITH_OK) __builtin_trap();
  if (pith_checkpoint_read(ctx, file, entry, row * cols + cut, cols - cut, y + cut) != PITH_OK) __builtin_trap();
  if (memcmp(x, y, cols * sizeof *x) != 0) __builtin_trap();
}

static void read_weights(pith_ctx *ctx, const pith_checkpoint *c) {
  static float x[1 << 16], y[1 << 16];
  static uint8_t codes[1 << 16];
  static uint16_t scales[1 << 11], mins[1 << 11];
  pith_slot slots[PITH_MAX_SLOTS];
  for (int32_t stage = -1; stage <= c->config.n_layers && stage < 8; stage++) {
    const uint32_t n = c->config.family->slots(&c->config, stage, slots);
    for (uint32_t i = 0; i < n; i++) {
      const pith_checkpoint_file *file;
      pith_tensor_entry entry;
      if (pith_checkpoint_need(ctx, c, &slots[i], &file, &entry) != PITH_OK || slots[i].cols > 1 << 16) continue;
      read_row(ctx, file, &entry, 0, slots[i].cols, x, y);
      read_row(ctx, file, &entry, slots[i].rows - 1, slots[i].cols, x, y);
      if (entry.n_dims == 2) (void)pith_checkpoint_read_q4(ctx, file, &entry, slots[i].rows - 1, 1, codes, scales, mins);
    }
  }
}

static void use_tokenizer(pith_ctx *ctx, const pith_checkpoint *c) {
  pith_buffer text = {0};
  pith_tokenizer *tokenizer;
  pith_ids ids = {0};
  if (pith_checkpoint_tokenizer(ctx, c, &text) == PITH_OK && pith_tokenizer_open(ctx, text.data, text.n_bytes, "model.gguf", &tokenizer) == PITH_OK) {
    (void)pith_tokenizer_encode(ctx, tokenizer, "Once upon a time, 12", 20, (pith_encode_options){true, 0}, &ids);
    pith_tokenizer_close(ctx, tokenizer);
  }
  pith_ids_free(ctx, &ids);
  pith_buffer_free(ctx, &text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  memory_file memory = {data, n_bytes};
  const pith_host host = memory_host(&memory);
  pith_ctx ctx;
  pith_checkpoint c;
  pith_ctx_init(&ctx, &host, NULL);
  if (pith_checkpoint_open(&ctx, "model.gguf", &c) == PITH_OK) {
    read_weights(&ctx, &c);
    use_tokenizer(&ctx, &c);
  }
  pith_checkpoint_close(&ctx, &c);
  return 0;
}
