/* Lists of tokens as a tokenizer.json: four bytes of choices, then a token a line (its first byte gives kind and score) up to an empty line,
 * then a merge a line. What is printed is JSON, and where it opens as a tokenizer it encodes the input. */
#include <string.h>

#include "base/json.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

enum { MAX_LINES = 512 };
static uint32_t offsets[2][MAX_LINES + 1];
static char bytes[2][1 << 16];

static void use(pith_ctx *ctx, const pith_buffer *text, const char *input, size_t n_bytes) {
  pith_json *json;
  pith_tokenizer *tokenizer;
  pith_ids ids = {0};
  if (pith_json_parse(ctx, text->data, text->n_bytes, "tokenizer.json", &json) != PITH_OK) __builtin_trap();
  pith_json_free(json);
  if (pith_tokenizer_open(ctx, text->data, text->n_bytes, "tokenizer.json", &tokenizer) != PITH_OK) return;
  if (pith_tokenizer_encode(ctx, tokenizer, input, n_bytes, (pith_encode_options){true, 0}, &ids) == PITH_OK) {
    pith_buffer back = {0};
    for (size_t i = 0; i < ids.n; i++)
      if (ids.ids[i] < 0 || ids.ids[i] >= pith_tokenizer_vocab_size(tokenizer)) __builtin_trap();
    (void)pith_tokenizer_decode(ctx, tokenizer, ids.ids, ids.n, true, &back);
    pith_buffer_free(ctx, &back);
  }
  pith_ids_free(ctx, &ids);
  pith_tokenizer_close(ctx, tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  static const char *const pre[] = {NULL, "default", "gpt-2", "llama-bpe", "qwen2", "smollm", "nothing", "deepseek-llm"};
  static int32_t kinds[MAX_LINES];
  static float scores[MAX_LINES];
  if (n_bytes < 4 || n_bytes > sizeof bytes[0]) return 0;
  pith_ctx ctx;
  pith_buffer out = {0};
  pith_vocabulary v = {.kind = data[0] & 1 ? PITH_VOCABULARY_SENTENCEPIECE : PITH_VOCABULARY_BYTE_LEVEL, .bytes = bytes[0], .offsets = offsets[0],
                       .kinds = data[0] & 2 ? kinds : NULL, .scores = data[0] & 1 ? scores : NULL, .merge_bytes = bytes[1], .merge_offsets = offsets[1],
                       .pre = pre[data[0] >> 3 & 7], .add_space_prefix = (data[0] & 4) != 0, .unk_id = (int8_t)data[1], .bos_id = (int8_t)data[2],
                       .eos_id = (int8_t)data[3]};
  uint32_t n[2] = {0, 0};
  size_t used[2] = {0, 0}, at = 4;
  for (int part = 0; part < 2; part++)
    while (at < n_bytes && n[part] < MAX_LINES) {
      const uint8_t *newline = memchr(data + at, '\n', n_bytes - at);
      size_t length = newline ? (size_t)(newline - data) - at : n_bytes - at;
      const uint8_t *line = data + at;
      at += length + 1;
      if (length == 0) break;
      if (part == 0) {
        kinds[n[0]] = line[0] & 7;
        scores[n[0]] = (float)(int8_t)line[0];
        line++;
        length--;
      }
      memcpy(bytes[part] + used[part], line, length);
      used[part] += length;
      offsets[part][++n[part]] = (uint32_t)used[part];
    }
  v.n = n[0];
  v.n_merges = n[1];
  pith_ctx_init(&ctx, NULL, NULL);
  if (pith_vocabulary_print(&ctx, &v, "model.gguf", &out) == PITH_OK) use(&ctx, &out, (const char *)data, n_bytes);
  pith_buffer_free(&ctx, &out);
  return 0;
}
