/* GGUF: blocks as the `gguf` library decodes them, a refusal for every kind of hostile file, metadata as configuration and as tokenizer, and
 * tensors under the Hub's names in the Hub's order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sha256.h"
#include "data/gguf_blocks.h"
#include "kernels/kernels.h"
#include "memory_host.h"
#include "model/checkpoint.h"
#include "stdio_host.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

/* ---- files from words ---- */

typedef struct bytes {
  uint8_t data[1 << 17];
  size_t n;
} bytes;

static void put(bytes *b, const void *src, size_t n) {
  assert_true(n <= sizeof b->data - b->n);
  memcpy(b->data + b->n, src, n);
  b->n += n;
}

static void put_number(bytes *b, uint64_t value, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes; i++) put(b, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void put_text(bytes *b, const char *text, size_t n) {
  put_number(b, n, 8);
  put(b, text, n);
}

/* Words: "=GGUF" bytes as they are; "'name" a string with its length; "4:7" a number of 4 bytes; "f:1e-5" a float; "pad:32" zeros up to a
 * multiple, "zeros:64" so many of them. */
static void assemble(bytes *b, const char *words) {
  static const uint8_t zero = 0;
  for (const char *word = words; *word;) {
    const size_t n = strcspn(word, " ");
    char *colon;
    if (*word == '=') {
      put(b, word + 1, n - 1);
    } else if (*word == '\'') {
      put_text(b, word + 1, n - 1);
    } else if (strncmp(word, "pad:", 4) == 0) {
      const size_t multiple = strtoul(word + 4, NULL, 10);
      while (b->n % multiple != 0) put(b, &zero, 1);
    } else if (strncmp(word, "zeros:", 6) == 0) {
      for (size_t i = strtoul(word + 6, NULL, 10); i > 0; i--) put(b, &zero, 1);
    } else if (strncmp(word, "f:", 2) == 0) {
      const float value = strtof(word + 2, NULL);
      put(b, &value, sizeof value);
    } else {
      const size_t n_bytes = strtoul(word, &colon, 10);
      assert_true(*colon == ':' && n_bytes >= 1 && n_bytes <= 8);
      put_number(b, strtoull(colon + 1, NULL, 0), n_bytes);
    }
    word += n;
    while (*word == ' ') word++;
  }
}

#define HEAD(tensors, keys) "=GGUF 4:3 8:" #tensors " 8:" #keys " "
#define TENSOR(name, dims, type, offset) "'" name " " dims " 4:" #type " 8:" #offset " "
#define ONE TENSOR("a", "4:1 8:8", 0, 0)   /* eight floats */
#define DATA "pad:32 zeros:32"

static void test_header(void **state) {
  (void)state;
  static bytes file;
  file.n = 0;
  assemble(&file, HEAD(3, 4) "'general.alignment 4:4 4:64 'a.flag 4:7 1:1 'a.small 4:1 1:0xfe 'a.list 4:9 4:8 8:2 'xy 'z "
                  TENSOR("b", "4:2 8:32 8:2", 2, 64) TENSOR("a", "4:1 8:8", 0, 0) TENSOR("c", "4:3 8:4 8:3 8:2", 1, 128) "pad:64 zeros:176");
  memory_file memory = {file.data, file.n};
  const pith_host host = memory_host(&memory);
  pith_ctx ctx;
  pith_gguf g;
  pith_ctx_init(&ctx, &host, NULL);
  if (pith_gguf_read(&ctx, 3, file.n, "file", &g) != PITH_OK) fail_msg("%s", ctx.message);
  assert_int_equal(g.tensors.n_entries, 3);
  const pith_tensor_entry *a = &g.tensors.entries[0], *b = &g.tensors.entries[1], *c = &g.tensors.entries[2];
  assert_string_equal(a->name, "a");
  assert_true(b->dtype == PITH_Q4_0 && b->n_dims == 2 && b->dims[0] == 2 && b->dims[1] == 32 && b->n_bytes == 36 && b->offset == a->offset + 64);
  assert_true(c->dtype == PITH_F16 && c->dims[0] == 2 && c->dims[1] == 3 && c->dims[2] == 4 && c->offset % 64 == 0 && c->offset + c->n_bytes == file.n);
  assert_int_equal(pith_tensor_elems(b), 64);
  bool flag = false;
  int64_t small = 0;
  pith_gguf_strings list;
  assert_int_equal(pith_gguf_bool(&ctx, &g, "a.flag", &flag), PITH_OK);
  assert_int_equal(pith_gguf_integer(&ctx, &g, "a.small", true, -128, 127, &small), PITH_OK);
  assert_true(flag && small == -2);
  assert_int_equal(pith_gguf_read_strings(&ctx, &g, "a.list", &list), PITH_OK);
  assert_true(list.n == 2 && list.offsets[1] == 2 && list.offsets[2] == 3 && memcmp(list.bytes, "xyz", 3) == 0);
  pith_gguf_strings_free(&ctx, &list);
  pith_gguf_free(&ctx, &g);
}

static void test_hostile_headers(void **state) {
  (void)state;
  static const struct {
    const char *words, *says;
    pith_status status;
  } cases[] = {
      {"=GGUF 4:3 8:0", "too few", PITH_E_FORMAT},
      {"=GGML 4:3 8:0 8:0 zeros:8", "begins with the bytes 47 47 4d 4c", PITH_E_FORMAT},
      {"=GGUF 4:0x03000000 8:0 8:0", "big-endian", PITH_E_UNSUPPORTED},
      {"=GGUF 4:1 4:0 4:0 zeros:16", "version 1", PITH_E_UNSUPPORTED},
      {"=GGUF 4:4 8:0 8:0", "version 4", PITH_E_UNSUPPORTED},
      {"=GGUF 4:0 8:0 8:0", "version 0", PITH_E_UNSUPPORTED},
      {HEAD(18446744073709551615, 0), "18446744073709551615 tensors; at most", PITH_E_LIMIT},
      {HEAD(0, 18446744073709551615), "keys; at most", PITH_E_LIMIT},
      {HEAD(50, 0) "zeros:64", "50 tensors, more than its", PITH_E_FORMAT},
      {HEAD(0, 50) "zeros:64", "50 keys, more than its", PITH_E_FORMAT},
      {HEAD(0, 1) "' zeros:32", "key 0 is empty", PITH_E_FORMAT},
      {HEAD(0, 1) "8:300 zeros:400", "key 0 has 300 bytes; at most", PITH_E_FORMAT},
      {HEAD(0, 1) "8:100 zeros:20", "ends at byte", PITH_E_FORMAT},
      {HEAD(0, 1) "8:18446744073709551615 zeros:20", "key 0 has 18446744073709551615", PITH_E_FORMAT},
      {HEAD(0, 1) "8:2 1:97 1:10 4:4 4:1", "holds the byte 10", PITH_E_FORMAT},
      {HEAD(0, 2) "'k 4:4 4:1 'k 4:4 4:2", "the key \"k\" twice", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:13 zeros:16", "values of \"k\" have the type 13", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:10 zeros:4", "within a value at", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:7 1:2", "truth value of 2", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:8 8:1000 zeros:8", "within a string at", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:8 8:18446744073709551615 zeros:8", "within a string at", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:9 4:99 8:1 zeros:8", "elements of \"k\" have the type 99", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:9 4:9 8:1 zeros:16", "array of arrays", PITH_E_UNSUPPORTED},
      {HEAD(0, 1) "'k 4:9 4:4 8:4611686018427387905 zeros:16", "4611686018427387905 elements, more", PITH_E_FORMAT},
      {HEAD(0, 1) "'k 4:9 4:8 8:2 'x 8:77 zeros:4", "within a string at", PITH_E_FORMAT},
      {HEAD(1, 1) "'general.alignment 4:5 4:32 " ONE DATA, "should be a u32", PITH_E_FORMAT},
      {HEAD(1, 1) "'general.alignment 4:4 4:0 " ONE DATA, "is 0; it should be a power of two", PITH_E_FORMAT},
      {HEAD(1, 1) "'general.alignment 4:4 4:48 " ONE DATA, "is 48; it should be a power of two", PITH_E_FORMAT},
      {HEAD(1, 1) "'general.alignment 4:4 4:0x80000000 " ONE DATA, "power of two", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("", "4:1 8:8", 0, 0) DATA, "tensor name 0 is empty", PITH_E_FORMAT},
      {HEAD(1, 0) "8:128 zeros:400", "tensor name 0 has 128 bytes", PITH_E_FORMAT},
      {HEAD(2, 0) ONE TENSOR("a", "4:1 8:8", 0, 32) DATA " zeros:32", "the tensor \"a\" twice", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:0", 0, 0) DATA, "0 dimensions", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:5 8:1 8:1 8:1 8:1 8:1", 0, 0) DATA, "5 dimensions", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:2 8:8 8:0", 0, 0) DATA, "dimension of 0", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:2 8:4294967296 8:4294967296", 0, 0) DATA, "overflow 63", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:9223372036854775808", 24, 0) DATA, "overflow 63", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:4611686018427387904", 0, 0) DATA, "the bytes of tensor \"a\" overflow", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:8", 31, 0) DATA, "type 31, which is none", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:8", 4294967295, 0) DATA, "type 4294967295, which is none", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:256", 16, 0) DATA, "IQ2_XXS; supported are", PITH_E_UNSUPPORTED},
      {HEAD(1, 0) TENSOR("a", "4:2 8:8 8:4", 2, 0) DATA, "rows of 8 elements, no multiple of the 32", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:8", 0, 8) DATA " zeros:32", "not aligned to 32", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:9", 0, 0) DATA, "needs 36 bytes from byte 0 of the data, which has 32", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:8", 0, 18446744073709551584) DATA, "the file is truncated", PITH_E_FORMAT},
      {HEAD(1, 0) ONE, "ends before its tensors' data begins", PITH_E_FORMAT},
      {HEAD(2, 0) TENSOR("a", "4:1 8:16", 0, 0) TENSOR("b", "4:1 8:8", 0, 32) DATA " zeros:32", "\"a\" and \"b\" overlap", PITH_E_FORMAT},
      {HEAD(1, 0) TENSOR("a", "4:1 8:8", 0, 32) DATA " zeros:32", "32 bytes before tensor \"a\" belong to none", PITH_E_FORMAT},
  };
  static bytes file;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_gguf g;
    pith_ctx ctx;
    file.n = 0;
    assemble(&file, cases[i].words);
    memory_file memory = {file.data, file.n};
    const pith_host host = memory_host(&memory);
    pith_ctx_init(&ctx, &host, NULL);
    const pith_status status = pith_gguf_read(&ctx, 3, file.n, "file", &g);
    if (status != cases[i].status || !strstr(ctx.message, cases[i].says)) fail_msg("case %d: status %d, \"%s\"", (int)i, (int)status, ctx.message);
    assert_true(!g.values && !g.tensors.entries);
  }
  pith_gguf g;
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  assert_int_equal(pith_gguf_read(&ctx, 3, UINT64_MAX, "a pipe", &g), PITH_E_FORMAT);
}

static void test_values(void **state) {
  (void)state;
  static bytes file;
  file.n = 0;
  assemble(&file, HEAD(0, 7) "'neg 4:11 8:0xffffffffffffffff 'big 4:10 8:0xffffffffffffffff 'nan 4:6 4:0x7fc00000 'text 4:8 8:3 1:97 1:0 1:98 'long 4:8 "
                  "8:5000 zeros:5000 'nums 4:9 4:6 8:2 f:1 f:2 'one 4:6 f:1");
  memory_file memory = {file.data, file.n};
  const pith_host host = memory_host(&memory);
  pith_ctx ctx;
  pith_gguf g;
  pith_ctx_init(&ctx, &host, NULL);
  assert_int_equal(pith_gguf_read(&ctx, 3, file.n, "file", &g), PITH_OK);
  int64_t n = 5;
  double x;
  bool flag;
  char *text;
  float *floats;
  int32_t *integers;
  pith_gguf_strings strings;
#define REFUSED(call, wanted) \
  assert_int_equal(call, PITH_E_FORMAT); \
  if (!strstr(ctx.message, wanted)) fail_msg("%s", ctx.message)
  REFUSED(pith_gguf_integer(&ctx, &g, "none", true, 0, 9, &n), "has no \"none\"");
  assert_int_equal(pith_gguf_integer(&ctx, &g, "none", false, 0, 9, &n), PITH_OK);
  assert_int_equal(n, 5);
  assert_int_equal(pith_gguf_integer(&ctx, &g, "neg", true, -1, 0, &n), PITH_OK);
  assert_int_equal(n, -1);
  REFUSED(pith_gguf_integer(&ctx, &g, "neg", true, 0, 9, &n), "from 0 to 9");
  REFUSED(pith_gguf_integer(&ctx, &g, "big", true, -1, INT64_MAX, &n), "from -1");
  REFUSED(pith_gguf_integer(&ctx, &g, "one", true, 0, 9, &n), "a whole number, and is f32");
  REFUSED(pith_gguf_number(&ctx, &g, "nan", true, &x), "not finite");
  REFUSED(pith_gguf_number(&ctx, &g, "neg", true, &x), "with a point, and is i64");
  REFUSED(pith_gguf_number(&ctx, &g, "nums", true, &x), "is an array of f32");
  REFUSED(pith_gguf_bool(&ctx, &g, "one", &flag), "truth value");
  REFUSED(pith_gguf_text(&ctx, &g, "text", true, &text), "NUL");
  assert_null(text);
  assert_int_equal(pith_gguf_text(&ctx, &g, "long", true, &text), PITH_E_LIMIT);
  REFUSED(pith_gguf_read_strings(&ctx, &g, "nums", &strings), "array of strings");
  REFUSED(pith_gguf_read_floats(&ctx, &g, "nums", 3, &floats), "2 elements, and there are 3");
  REFUSED(pith_gguf_read_integers(&ctx, &g, "nums", 2, &integers), "32-bit integers");
  REFUSED(pith_gguf_read_floats(&ctx, &g, "one", 1, &floats), "is f32");
  assert_int_equal(pith_gguf_read_floats(&ctx, &g, "nums", 2, &floats), PITH_OK);
  assert_true(floats[0] == 1.0f && floats[1] == 2.0f);
  pith_free(&ctx, floats);
  pith_gguf_free(&ctx, &g);
}

/* ---- blocks ---- */

static uint8_t hex_digit(char c) { return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10); }

/* Blocks that the `gguf` library decoded (tests/golden/gguf_blocks.py), compared by the hash of the floats. */
static void test_blocks(void **state) {
  (void)state;
  enum { N_TYPES = sizeof gguf_blocks / sizeof *gguf_blocks };
  for (int t = 0; t < N_TYPES; t++) {
    const char *name = gguf_blocks[t].type, *hex = gguf_blocks[t].blocks;
    uint8_t raw[6 * PITH_MAX_BLOCK_BYTES];
    float values[6 * PITH_MAX_BLOCK_ELEMS];
    pith_dtype dtype = PITH_F32;
    while (strcmp(pith_dtype_name(dtype), name) != 0) dtype++;
    const size_t n_bytes = 6 * pith_dtype_bytes(dtype);
    assert_int_equal(strlen(hex), 2 * n_bytes);
    for (size_t i = 0; i < n_bytes; i++) raw[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    pith_dtype_decode(dtype, raw, 6, values);
    pith_sha256 sha;
    char digest[65];
    pith_sha256_init(&sha);
    pith_sha256_update(&sha, values, 6 * pith_dtype_elems(dtype) * sizeof *values);
    pith_sha256_final(&sha, digest);
    if (strcmp(digest, gguf_blocks[t].sha256) != 0) fail_msg("the values of %s differ", name);
  }
  assert_int_equal(N_TYPES, PITH_IQ4_XS - PITH_LAST_PLAIN_DTYPE);
}

/* ---- a small model ---- */

/* Two heads of 32, one for keys; a tensor of each easy type. */
static const struct {
  const char *name;
  uint64_t cols, rows;   /* rows 0: a vector */
  uint32_t type;
  pith_dtype dtype;
} tensors[] = {{"token_embd.weight", 64, 6, 2, PITH_Q4_0},          {"output_norm.weight", 64, 0, 0, PITH_F32},
               {"blk.0.attn_norm.weight", 64, 0, 0, PITH_F32},      {"blk.0.attn_q.weight", 64, 64, 3, PITH_Q4_1},
               {"blk.0.attn_k.weight", 64, 32, 8, PITH_Q8_0},       {"blk.0.attn_v.weight", 64, 32, 1, PITH_F16},
               {"blk.0.attn_output.weight", 64, 64, 6, PITH_Q5_0},  {"blk.0.ffn_norm.weight", 64, 0, 0, PITH_F32},
               {"blk.0.ffn_gate.weight", 64, 32, 3, PITH_Q4_1},     {"blk.0.ffn_up.weight", 64, 32, 30, PITH_BF16},
               {"blk.0.ffn_down.weight", 32, 64, 7, PITH_Q5_1}};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };

static uint64_t bytes_of(int i) {
  return tensors[i].cols / pith_dtype_elems(tensors[i].dtype) * (tensors[i].rows ? tensors[i].rows : 1) * pith_dtype_bytes(tensors[i].dtype);
}

#define SIZES "'general.architecture 4:8 'llama 'llama.context_length 4:4 4:16 'llama.embedding_length 4:4 4:64 'llama.block_count 4:4 4:1 " \
              "'llama.feed_forward_length 4:4 4:32 'llama.attention.head_count 4:4 4:2 'llama.attention.layer_norm_rms_epsilon 4:6 f:1e-5 "
#define N_SIZES 7
#define TOKENS "'tokenizer.ggml.model 4:8 'gpt2 'tokenizer.ggml.tokens 4:9 4:8 8:6 'a 'b 'ab '<e> '! 'abb 'tokenizer.ggml.merges 4:9 4:8 8:2 8:3 =a 1:32 =b " \
               "8:4 =ab 1:32 =b 'tokenizer.ggml.token_type 4:9 4:5 8:6 4:1 4:1 4:1 4:3 4:1 4:1 'tokenizer.ggml.eos_token_id 4:4 4:3 "
#define N_TOKENS 5
#define HEADS_KV "'llama.attention.head_count_kv 4:4 4:1 "

/* The model with these keys; `extra` is one more tensor of 64 floats, or NULL. */
static void make_model(bytes *b, const char *keys, uint32_t n_keys, const char *extra) {
  static uint32_t random = 1;
  uint64_t offset = 0;
  b->n = 0;
  assemble(b, "=GGUF 4:3");
  put_number(b, N_TENSORS + (extra != NULL), 8);
  put_number(b, n_keys, 8);
  assemble(b, keys);
  for (int i = 0; i < N_TENSORS; i++, offset += (bytes_of(i - 1) + 31) / 32 * 32) {
    put_text(b, tensors[i].name, strlen(tensors[i].name));
    put_number(b, tensors[i].rows ? 2 : 1, 4);
    put_number(b, tensors[i].cols, 8);
    if (tensors[i].rows) put_number(b, tensors[i].rows, 8);
    put_number(b, tensors[i].type, 4);
    put_number(b, offset, 8);
  }
  if (extra) {
    put_text(b, extra, strlen(extra));
    assemble(b, "4:1 8:64 4:0");
    put_number(b, offset, 8);
  }
  for (int i = 0; i < N_TENSORS; i++) {
    assemble(b, "pad:32");
    const size_t begin = b->n, n_bytes = pith_dtype_bytes(tensors[i].dtype);
    for (uint64_t k = 0; k < bytes_of(i); k++) put_number(b, (random = random * 1664525u + 1013904223u) >> 24, 1);
    for (size_t at = begin; at < b->n; at += n_bytes)   /* scales, and numbers as such, below 2 in size */
      for (size_t half = 1; half < (tensors[i].dtype == PITH_Q4_1 || tensors[i].dtype == PITH_Q5_1 ? 4u : 2u); half += 2) b->data[at + half] &= 0xbf;
    if (tensors[i].dtype == PITH_F32)
      for (size_t at = begin + 3; at < b->n; at += 4) b->data[at] &= 0xbf;
  }
  assemble(b, "pad:32");
  if (extra) assemble(b, "zeros:256");
}

static pith_status open_model(pith_ctx *ctx, memory_file *memory, const bytes *file, pith_checkpoint *c) {
  *memory = (memory_file){file->data, file->n};
  const pith_host host = memory_host(memory);
  pith_ctx_init(ctx, &host, NULL);
  return pith_checkpoint_open(ctx, "model.gguf", c);
}

static void test_configuration(void **state) {
  (void)state;
  static bytes file;
  memory_file memory;
  pith_ctx ctx;
  pith_checkpoint c;
  make_model(&file, SIZES TOKENS HEADS_KV "'llama.rope.freq_base 4:6 f:5e5 'tokenizer.ggml.eot_token_id 4:4 4:4 'tokenizer.ggml.bos_token_id 4:4 4:3 "
             "'general.name 4:8 'x", N_SIZES + N_TOKENS + 5, NULL);
  if (open_model(&ctx, &memory, &file, &c) != PITH_OK) fail_msg("%s", ctx.message);
  const pith_config *k = &c.config;
  assert_true(k->family == &pith_family_llama && k->hidden_size == 64 && k->n_layers == 1 && k->n_heads == 2 && k->n_kv_heads == 1 && k->head_dim == 32);
  assert_true(k->vocab_size == 6 && k->max_positions == 16 && k->norm_eps == 1e-5f && k->rope_theta == 5e5 && k->tied);
  assert_true(k->bos_id == 3 && k->n_eos == 2 && k->eos_ids[0] == 3 && k->eos_ids[1] == 4 && !k->add_bos);
  assert_string_equal(c.files[0].name, "model.gguf");
  pith_slot slots[PITH_MAX_SLOTS];
  for (int32_t stage = -1; stage <= 1; stage++) {
    const uint32_t n = k->family->slots(k, stage, slots);
    for (uint32_t i = 0; i < n; i++) {
      const pith_checkpoint_file *f;
      pith_tensor_entry e;
      if (pith_checkpoint_need(&ctx, &c, &slots[i], &f, &e) != PITH_OK) fail_msg("%s", ctx.message);
    }
  }
  pith_checkpoint_close(&ctx, &c);
}

static void test_refused_models(void **state) {
  (void)state;
  static const struct {
    const char *keys, *extra, *says;
    uint32_t n_keys;
    pith_status status;
  } cases[] = {
      {"'general.architecture 4:8 'qwen9", NULL, "\"qwen9\" is not supported in GGUF files; supported are llama", 1, PITH_E_UNSUPPORTED},
      {"'general.name 4:8 'x", NULL, "no \"general.architecture\"", 1, PITH_E_FORMAT},
      {"'general.architecture 4:4 4:1", NULL, "should be a string, and is u32", 1, PITH_E_FORMAT},
      {"'general.architecture 4:8 'llama 'llama.context_length 4:4 4:16", NULL, "no \"llama.embedding_length\"", 2, PITH_E_FORMAT},
      {SIZES "'general.type 4:8 'adapter", NULL, "no model, but a \"adapter\"", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'split.count 4:2 2:3", NULL, "one of 3 parts", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.expert_count 4:4 4:8", NULL, "8 experts", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.attention.causal 4:7 1:0", NULL, "not causal", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.attention.sliding_window 4:4 4:8", NULL, "window of 8", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.logit_scale 4:6 f:2", NULL, "asks for \"llama.logit_scale\"", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.rope.scaling.type 4:8 'yarn", NULL, "RoPE of type \"yarn\"", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.rope.scale_linear 4:6 f:4", NULL, "RoPE of type \"linear\"", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.rope.dimension_count 4:4 4:16", NULL, "rotates 16 of a head's 32", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.attention.key_length 4:4 4:32 'llama.attention.value_length 4:4 4:16", NULL, "keys of 32 and values of 16", N_SIZES + 2, PITH_E_UNSUPPORTED},
      {SIZES "'tokenizer.ggml.eos_token_id 4:4 4:6", NULL, "eos_token_id", N_SIZES + 1, PITH_E_FORMAT},
      {SIZES HEADS_KV, "rope_freqs.weight", "factors of its own", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES HEADS_KV, "blk.0.attn_q_norm.weight", "which the architecture \"llama\" does not have", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES HEADS_KV, "blk.1.attn_q.weight", "does not have", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES HEADS_KV, "blk.00.attn_norm.weight", "does not have", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES HEADS_KV, "blk.0", "does not have", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES HEADS_KV, "output.scale", "does not have", N_SIZES + 1, PITH_E_UNSUPPORTED},
      {SIZES "'llama.attention.key_length 4:4 4:48", NULL, "no multiple of a head's 48", N_SIZES + 1, PITH_E_FORMAT},
  };
  static bytes file;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    memory_file memory;
    pith_ctx ctx;
    pith_checkpoint c;
    make_model(&file, cases[i].keys, cases[i].n_keys, cases[i].extra);
    const pith_status status = open_model(&ctx, &memory, &file, &c);
    if (status != cases[i].status || !strstr(ctx.message, cases[i].says)) fail_msg("case %d: status %d, \"%s\"", (int)i, (int)status, ctx.message);
    pith_checkpoint_close(&ctx, &c);
  }
}

/* Every tensor read by ranges that cut blocks and rows is the whole tensor; queries and keys come in the Hub's order. */
static void test_reading(void **state) {
  (void)state;
  static bytes file;
  static float whole[4096], stored[4096], part[4096];
  memory_file memory;
  pith_ctx ctx;
  pith_checkpoint c;
  make_model(&file, SIZES TOKENS HEADS_KV, N_SIZES + N_TOKENS + 1, NULL);
  if (open_model(&ctx, &memory, &file, &c) != PITH_OK) fail_msg("%s", ctx.message);
  int n_interleaved = 0;
  for (size_t t = 0; t < c.files[0].index.n_entries; t++) {
    const pith_tensor_entry *e = &c.files[0].index.entries[t];
    const size_t n = (size_t)pith_tensor_elems(e), cols = e->n_dims == 2 ? (size_t)e->dims[1] : 1;
    if (pith_checkpoint_read(&ctx, &c.files[0], e, 0, n, whole) != PITH_OK) fail_msg("%s: %s", e->name, ctx.message);
    pith_dtype_decode(e->dtype, file.data + e->offset, n / pith_dtype_elems(e->dtype), stored);
    const size_t head = e->interleaved ? e->interleaved : 1;
    for (size_t i = 0; i < n; i++) {
      const size_t row = i / cols, at = row % head, from = head == 1 ? row : row - at + 2 * (at % (head / 2)) + at / (head / 2);
      assert_true(whole[i] == stored[from * cols + i % cols]);
    }
    n_interleaved += e->interleaved == 32;
    for (size_t first = 0; first < n; first += 1 + first / 2)
      for (size_t length = 1; first + length <= n; length = length * 3 + 1) {
        assert_int_equal(pith_checkpoint_read(&ctx, &c.files[0], e, first, length, part), PITH_OK);
        assert_memory_equal(part, whole + first, length * sizeof *part);
      }
    assert_int_equal(pith_checkpoint_read(&ctx, &c.files[0], e, 1, n, part), PITH_E_INTERNAL);
    assert_int_equal(pith_checkpoint_read(&ctx, &c.files[0], e, UINT64_MAX, 2, part), PITH_E_INTERNAL);
  }
  assert_int_equal(n_interleaved, 2);
  const pith_tensor_entry *down = pith_tensor_index_find(&c.files[0].index, "model.layers.0.mlp.down_proj.weight");
  assert_non_null(down);
  file.data[down->offset + 1] = 0x7c;   /* the first scale becomes infinite */
  file.data[down->offset] = 0;
  assert_int_equal(pith_checkpoint_read(&ctx, &c.files[0], down, 0, 1, part), PITH_E_FORMAT);
  pith_checkpoint_close(&ctx, &c);
}

static void assert_q4(pith_ctx *ctx, const pith_checkpoint_file *f, const pith_tensor_entry *e, uint64_t first, size_t n_rows) {
  const size_t cols = (size_t)e->dims[1], groups = cols / 32;
  uint8_t *codes;
  uint16_t *scales, *mins;
  float *values;
  assert_int_equal(pith_malloc(ctx, n_rows * cols, &codes), PITH_OK);
  assert_int_equal(pith_malloc(ctx, n_rows * groups * sizeof *scales, &scales), PITH_OK);
  assert_int_equal(pith_malloc(ctx, n_rows * groups * sizeof *mins, &mins), PITH_OK);
  assert_int_equal(pith_malloc(ctx, n_rows * cols * sizeof *values, &values), PITH_OK);
  if (pith_checkpoint_read_q4(ctx, f, e, first, n_rows, codes, scales, mins) != PITH_OK) fail_msg("%s", ctx->message);
  assert_int_equal(pith_checkpoint_read(ctx, f, e, first * cols, n_rows * cols, values), PITH_OK);
  for (size_t i = 0; i < n_rows * cols; i++) {
    assert_true(codes[i] < 16);
    const float product = (float)codes[i] * pith_f16_to_f32(scales[i / 32]), value = product + pith_f16_to_f32(mins[i / 32]);
    if (value != values[i]) fail_msg("%s: element %zu", e->name, i);
  }
  pith_free(ctx, codes);
  pith_free(ctx, scales);
  pith_free(ctx, mins);
  pith_free(ctx, values);
}

static void test_four_bit_codes(void **state) {
  (void)state;
  static bytes file;
  memory_file memory;
  pith_ctx ctx;
  pith_checkpoint c;
  make_model(&file, SIZES TOKENS HEADS_KV, N_SIZES + N_TOKENS + 1, NULL);
  if (open_model(&ctx, &memory, &file, &c) != PITH_OK) fail_msg("%s", ctx.message);
  const pith_checkpoint_file *f = &c.files[0];
  const pith_tensor_entry *q = pith_tensor_index_find(&f->index, "model.layers.0.self_attn.q_proj.weight");
  const pith_tensor_entry *table = pith_tensor_index_find(&f->index, "model.embed_tokens.weight");
  const pith_tensor_entry *norm = pith_tensor_index_find(&f->index, "model.norm.weight");
  assert_true(q && q->dtype == PITH_Q4_1 && table && table->dtype == PITH_Q4_0 && norm);
  assert_q4(&ctx, f, q, 0, 64);
  assert_q4(&ctx, f, q, 13, 20);
  assert_q4(&ctx, f, table, 1, 5);
  uint8_t codes[64];
  uint16_t scales[2], mins[2];
  assert_int_equal(pith_checkpoint_read_q4(&ctx, f, norm, 0, 1, codes, scales, mins), PITH_E_UNSUPPORTED);
  assert_int_equal(pith_checkpoint_read_q4(&ctx, f, q, 64, 1, codes, scales, mins), PITH_E_INTERNAL);
  file.data[table->offset] = 0;
  file.data[table->offset + 1] = 0x74;   /* a scale of 16384: the minimum of -131072 is no half */
  assert_int_equal(pith_checkpoint_read_q4(&ctx, f, table, 0, 1, codes, scales, mins), PITH_E_FORMAT);
  pith_checkpoint_close(&ctx, &c);
}

/* ---- tokenizers ---- */

static void assert_encodes(pith_ctx *ctx, const pith_tokenizer *t, const char *text, const int32_t *ids, size_t n) {
  pith_ids got = {0};
  if (pith_tokenizer_encode(ctx, t, text, strlen(text), (pith_encode_options){.add_special_tokens = true}, &got) != PITH_OK) fail_msg("%s", ctx->message);
  assert_int_equal(got.n, n);
  assert_memory_equal(got.ids, ids, n * sizeof *ids);
  pith_ids_free(ctx, &got);
}

static pith_tokenizer *open_tokenizer(pith_ctx *ctx, const pith_buffer *text) {
  pith_tokenizer *t;
  if (pith_tokenizer_open(ctx, text->data, text->n_bytes, "tokenizer.json", &t) != PITH_OK) fail_msg("%s", ctx->message);
  return t;
}

static void test_byte_level(void **state) {
  (void)state;
  static bytes file;
  memory_file memory;
  pith_ctx ctx;
  pith_checkpoint c;
  pith_buffer text = {0};
  make_model(&file, SIZES TOKENS HEADS_KV "'tokenizer.ggml.pre 4:8 'gpt-2 'tokenizer.ggml.add_eos_token 4:7 1:1", N_SIZES + N_TOKENS + 3, NULL);
  if (open_model(&ctx, &memory, &file, &c) != PITH_OK || pith_checkpoint_tokenizer(&ctx, &c, &text) != PITH_OK) fail_msg("%s", ctx.message);
  assert_string_equal(
      text.data,
      "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":3,\"content\":\"<e>\",\"single_word\":false,\"lstrip\":false,"
      "\"rstrip\":false,\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
      "\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
      "{\"SpecialToken\":{\"id\":\"<e>\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],"
      "\"special_tokens\":{\"<e>\":{\"id\":\"<e>\",\"ids\":[3],\"tokens\":[\"<e>\"]}}},\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
      "\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":null,"
      "\"end_of_word_suffix\":null,\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<e>\":3,\"!\":4,"
      "\"abb\":5},\"merges\":[\"a b\",\"ab b\"]}}");
  pith_tokenizer *t = open_tokenizer(&ctx, &text);
  assert_encodes(&ctx, t, "abb!<e>ba", (const int32_t[]){5, 4, 3, 1, 0, 3}, 6);
  pith_tokenizer_close(&ctx, t);
  pith_buffer_free(&ctx, &text);
  pith_checkpoint_close(&ctx, &c);
}

/* Pieces with scores: the union with the best score is merged first, wherever it is, then the next. */
static void test_sentencepiece(void **state) {
  (void)state;
  static const char *const pieces[] = {"<unk>", "<s>", "</s>", "<0x62>", "\xe2\x96\x81", "a", "c", "ac", "\xe2\x96\x81" "a", "ca", "aca", "\xe2\x96\x81" "aca", "acac"};
  static const float scores[] = {0, 0, 0, 0, -9, -10, -11, -1, -3, -2, -4, -5, -6};
  static const int32_t kinds[] = {2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  enum { N = sizeof pieces / sizeof *pieces };
  char text[128];
  uint32_t offsets[N + 1] = {0};
  for (int i = 0; i < N; i++) {
    memcpy(text + offsets[i], pieces[i], strlen(pieces[i]));
    offsets[i + 1] = offsets[i] + (uint32_t)strlen(pieces[i]);
  }
  pith_vocabulary v = {.kind = PITH_VOCABULARY_SENTENCEPIECE, .n = N, .bytes = text, .offsets = offsets, .kinds = kinds, .scores = scores,
                       .add_space_prefix = true, .unk_id = 0, .bos_id = 1, .eos_id = -1};
  pith_ctx ctx;
  pith_buffer out = {0};
  pith_ctx_init(&ctx, NULL, NULL);
  if (pith_vocabulary_print(&ctx, &v, "file", &out) != PITH_OK) fail_msg("%s", ctx.message);
  assert_non_null(strstr(out.data, "\"merges\":[[\"a\",\"c\"],[\"c\",\"a\"],[\"\xe2\x96\x81\",\"a\"],[\"ac\",\"a\"],[\"a\",\"ca\"],[\"\xe2\x96\x81" "a\",\"ca\"],"
                                   "[\"\xe2\x96\x81\",\"aca\"],[\"aca\",\"c\"],[\"ac\",\"ac\"]]"));
  pith_tokenizer *t = open_tokenizer(&ctx, &out);
  assert_encodes(&ctx, t, "aca", (const int32_t[]){1, 11}, 2);
  assert_encodes(&ctx, t, "acb<s>a", (const int32_t[]){1, 4, 7, 3, 1, 8}, 6);   /* bytes as a fallback; a blank after a special token too */
  assert_encodes(&ctx, t, "acxc", (const int32_t[]){1, 4, 7, 0, 6}, 5);
  assert_encodes(&ctx, t, "", (const int32_t[]){1}, 1);
  pith_buffer decoded = {0};
  assert_int_equal(pith_tokenizer_decode(&ctx, t, (const int32_t[]){1, 8, 6, 4, 3}, 5, true, &decoded), PITH_OK);
  assert_string_equal(decoded.data, "ac b");
  pith_buffer_free(&ctx, &decoded);
  pith_tokenizer_close(&ctx, t);
  out.n_bytes = 0;
  v.add_space_prefix = false;
  v.bos_id = -1;
  assert_int_equal(pith_vocabulary_print(&ctx, &v, "file", &out), PITH_OK);
  t = open_tokenizer(&ctx, &out);
  assert_encodes(&ctx, t, "ac a", (const int32_t[]){7, 8}, 2);
  pith_tokenizer_close(&ctx, t);
  pith_buffer_free(&ctx, &out);
}

static void test_refused_tokenizers(void **state) {
  (void)state;
#define SPM "'tokenizer.ggml.model 4:8 'llama 'tokenizer.ggml.tokens 4:9 4:8 8:2 'a 'b "
#define GPT2 "'tokenizer.ggml.model 4:8 'gpt2 "
  static const struct {
    const char *keys, *says;
    uint32_t n_keys;
    pith_status status;
  } cases[] = {
      {"", "no \"tokenizer.ggml.model\"", 0, PITH_E_FORMAT},
      {"'tokenizer.ggml.model 4:8 'rwkv", "\"rwkv\" is not supported; supported are gpt2", 1, PITH_E_UNSUPPORTED},
      {GPT2, "has no tokens", 1, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:4 8:1 4:7", "array of strings, and is an array of u32", 2, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:2 'a 'a", "tokens 0 and 1 are the same: \"a\"", 2, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 8:0", "token 0 is empty", 2, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 8:1 1:0", "token 0 holds a NUL", 2, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 8:1 1:255", "token 0 is not valid UTF-8", 2, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 'a 'tokenizer.ggml.token_type 4:9 4:5 8:1 4:9", "type 9, which is none", 3, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 'a 'tokenizer.ggml.token_type 4:9 4:5 8:2 4:1 4:1", "2 elements, and there are 1", 3, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 'a 'tokenizer.ggml.pre 4:8 'tekken", "\"tekken\" is not supported; supported are gpt-2", 3, PITH_E_UNSUPPORTED},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 'a 'tokenizer.ggml.merges 4:9 4:8 8:1 8:1 1:255", "merge 0 is no text", 3, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 'a 'tokenizer.ggml.add_space_prefix 4:7 1:1", "a blank before every text", 3, PITH_E_UNSUPPORTED},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 'a 'tokenizer.ggml.add_bos_token 4:7 1:1", "does not say which", 3, PITH_E_FORMAT},
      {GPT2 "'tokenizer.ggml.tokens 4:9 4:8 8:1 'a 'tokenizer.ggml.add_eos_token 4:7 1:1 'tokenizer.ggml.eos_token_id 4:4 4:5", "last token 5 is not among its 1", 4,
       PITH_E_FORMAT},
      {SPM "'tokenizer.ggml.bos_token_id 4:4 4:1", "without scores", 3, PITH_E_FORMAT},
      {SPM "'tokenizer.ggml.scores 4:9 4:6 8:2 f:0 f:0", "does not say which", 3, PITH_E_FORMAT},
      {SPM "'tokenizer.ggml.scores 4:9 4:6 8:2 f:0 4:0x7fc00000 'tokenizer.ggml.bos_token_id 4:4 4:1", "score of token 1 is no number", 4, PITH_E_FORMAT},
      {SPM "'tokenizer.ggml.scores 4:9 4:12 8:2 8:0 8:0 'tokenizer.ggml.bos_token_id 4:4 4:1", "32-bit floats, and is an array of f64", 4, PITH_E_FORMAT},
  };
  static bytes file;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    memory_file memory;
    pith_ctx ctx;
    pith_checkpoint c;
    pith_buffer out = {0};
    char keys[2048];
    snprintf(keys, sizeof keys, "%s%s", SIZES HEADS_KV, cases[i].keys);
    make_model(&file, keys, N_SIZES + 1 + cases[i].n_keys, NULL);
    if (open_model(&ctx, &memory, &file, &c) != PITH_OK) fail_msg("case %d: %s", (int)i, ctx.message);
    const pith_status status = pith_checkpoint_tokenizer(&ctx, &c, &out);
    if (status != cases[i].status || !strstr(ctx.message, cases[i].says)) fail_msg("case %d: status %d, \"%s\"", (int)i, (int)status, ctx.message);
    pith_buffer_free(&ctx, &out);
    pith_checkpoint_close(&ctx, &c);
  }
}

/* A file cut anywhere is refused, and so is one that shrinks while it is read. */
static void test_truncation(void **state) {
  (void)state;
  static bytes file;
  make_model(&file, SIZES TOKENS HEADS_KV, N_SIZES + N_TOKENS + 1, NULL);
  const size_t whole = file.n;
  for (size_t n = 0; n < whole; n += n < 2000 ? 1 : 97) {
    memory_file memory;
    pith_ctx ctx;
    pith_checkpoint c;
    file.n = n;
    const pith_status status = open_model(&ctx, &memory, &file, &c);
    if (status != PITH_E_FORMAT) fail_msg("%zu of %zu bytes: status %d, %s", n, whole, (int)status, ctx.message);
    pith_checkpoint_close(&ctx, &c);
  }
  memory_file memory;
  pith_ctx ctx;
  pith_checkpoint c;
  pith_buffer out = {0};
  float row[64];
  file.n = whole;
  assert_int_equal(open_model(&ctx, &memory, &file, &c), PITH_OK);
  memory.n_bytes = 64;
  assert_int_equal(pith_checkpoint_tokenizer(&ctx, &c, &out), PITH_E_FORMAT);
  assert_int_equal(pith_checkpoint_read(&ctx, &c.files[0], &c.files[0].index.entries[3], 0, 64, row), PITH_E_FORMAT);
  pith_buffer_free(&ctx, &out);
  pith_checkpoint_close(&ctx, &c);
}

typedef struct failing {
  uint64_t n, fail_at;   /* counted from 1; 0: never */
  int64_t alive;
} failing;

static void *failing_allocate(void *user, size_t n_bytes) {
  failing *f = user;
  if (++f->n == f->fail_at) return NULL;
  f->alive++;
  return malloc(n_bytes ? n_bytes : 1);
}

static void failing_release(void *user, void *ptr) {
  ((failing *)user)->alive -= ptr != NULL;
  free(ptr);
}

/* Memory that runs out at any allocation is one error, and nothing of a half-open file stays. */
static void test_memory(void **state) {
  (void)state;
  static bytes file;
  make_model(&file, SIZES TOKENS HEADS_KV, N_SIZES + N_TOKENS + 1, NULL);
  memory_file memory = {file.data, file.n};
  const pith_host host = memory_host(&memory);
  pith_status status = PITH_E_MEMORY;
  uint64_t at = 0;
  while (status == PITH_E_MEMORY) {
    failing f = {0, ++at, 0};
    const pith_allocator allocator = {&f, failing_allocate, failing_release};
    pith_ctx ctx;
    pith_checkpoint c;
    pith_buffer out = {0};
    pith_ctx_init(&ctx, &host, &allocator);
    status = pith_checkpoint_open(&ctx, "model.gguf", &c);
    if (status == PITH_OK) status = pith_checkpoint_tokenizer(&ctx, &c, &out);
    pith_buffer_free(&ctx, &out);
    pith_checkpoint_close(&ctx, &c);
    assert_int_equal(f.alive, 0);
    if (status != PITH_OK) assert_int_equal(ctx.status, PITH_E_MEMORY);
  }
  assert_int_equal(status, PITH_OK);
  assert_true(at > 50);
}

/* SmolLM2-135M-Instruct's Q4_1 file (docs/GGUF.md says where it is from), which nobody else has to have: `test_gguf FILE`. */
static const char *real_file;
static void test_real_file(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_checkpoint c;
  pith_ctx_init(&ctx, &stdio_host, NULL);
  const pith_status status = pith_checkpoint_open(&ctx, real_file, &c);
  if (status != PITH_OK) fail_msg("%s", ctx.message);
  assert_true(c.config.n_layers == 30 && c.config.hidden_size == 576 && c.config.n_kv_heads == 3 && c.config.head_dim == 64 && c.config.tied);
  int n_q4 = 0;
  for (size_t i = 0; i < c.files[0].index.n_entries; i++) {
    const pith_tensor_entry *e = &c.files[0].index.entries[i];
    if (e->dtype != PITH_Q4_1) continue;
    assert_q4(&ctx, &c.files[0], e, 0, (size_t)e->dims[0]);
    n_q4++;
  }
  assert_int_equal(n_q4, 210);
  pith_checkpoint_close(&ctx, &c);
}

int main(int argc, char **argv) {
  const struct CMUnitTest real[] = {cmocka_unit_test(test_real_file)}, tests[] = {
      cmocka_unit_test(test_header),         cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_values),         cmocka_unit_test(test_blocks),
      cmocka_unit_test(test_configuration),  cmocka_unit_test(test_refused_models),  cmocka_unit_test(test_reading),        cmocka_unit_test(test_four_bit_codes),
      cmocka_unit_test(test_byte_level),     cmocka_unit_test(test_sentencepiece),   cmocka_unit_test(test_refused_tokenizers),
      cmocka_unit_test(test_truncation),     cmocka_unit_test(test_memory)};
  real_file = argc > 1 ? argv[1] : NULL;
  if (real_file && cmocka_run_group_tests_name("a real file", real, NULL, NULL) != 0) return 1;
  return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
