#include "model/checkpoint.h"

#include <math.h>
#include <string.h>

#include "base/format.h"
#include "model/config.h"
#include "model/from_gguf.h"

enum { MAX_JSON = 64 << 20, MAX_TOKENIZER = 256 << 20, MAX_FILES = 4096 };

/* An optional file gives PITH_OK and *out = NULL when it is absent. */
static pith_status read_json(pith_ctx *ctx, const char *folder, const char *name, bool optional, pith_json **out) {
  char *path, *text = NULL;
  size_t n_bytes;
  *out = NULL;
  PITH_TRY(pith_path_join(ctx, folder, name, &path));
  pith_status status = PITH_OK;
  if (!optional || ctx->host.exists(ctx->host.user, path) != 0) {   /* a folder of that name is an error of opening */
    status = pith_io_read_file(ctx, path, MAX_JSON, &text, &n_bytes);
    if (status == PITH_OK) status = pith_json_parse(ctx, text, n_bytes, path, out);
  }
  pith_free(ctx, text);
  pith_free(ctx, path);
  return status;
}

static pith_status add_file(pith_ctx *ctx, pith_checkpoint *c, const char *name, const char *path) {
  pith_checkpoint_file *file = &c->files[c->n_files];
  file->handle = -1;
  c->n_files++;
  const size_t n = strlen(name) + 1;
  PITH_TRY(pith_malloc(ctx, n, &file->name));
  memcpy(file->name, name, n);
  return pith_io_open(ctx, path, &file->handle, &file->n_bytes);
}

static pith_status open_file(pith_ctx *ctx, pith_checkpoint *c, const char *name) {
  pith_checkpoint_file *file = &c->files[c->n_files];
  pith_safetensors header = {0};
  char *path;
  PITH_TRY(pith_path_join(ctx, c->folder, name, &path));
  pith_status status = add_file(ctx, c, name, path);
  if (status == PITH_OK) status = pith_safetensors_read(ctx, file->handle, file->n_bytes, path, &header);
  pith_free(ctx, path);
  file->index = (pith_tensor_index){header.entries, header.n_entries};
  header.entries = NULL;
  header.n_entries = 0;
  pith_safetensors_free(ctx, &header);
  return status;
}

/* The distinct file names of model.safetensors.index.json's "weight_map", each a plain name inside the folder. */
static pith_status open_shards(pith_ctx *ctx, pith_checkpoint *c, const pith_json *index) {
  const char *what = "model.safetensors.index.json";
  const pith_json *map = pith_json_get(index, "weight_map");
  if (!pith_json_is_object(map) || !pith_json_first(map)) return pith_fail(ctx, PITH_E_FORMAT, "%s has no \"weight_map\"", what);
  PITH_TRY(pith_calloc(ctx, MAX_FILES, sizeof *c->files, &c->files));
  for (const pith_json *item = pith_json_first(map); item; item = pith_json_next(item)) {
    const char *name = pith_json_string(item);
    if (!name || !*name || strpbrk(name, "/\\") || strcmp(name, "..") == 0)
      return pith_fail(ctx, PITH_E_FORMAT, "%s: the file of \"%.80s\" should be a plain name", what, pith_json_key(item));
    bool known = false;
    for (size_t i = 0; i < c->n_files && !known; i++) known = strcmp(c->files[i].name, name) == 0;
    if (known) continue;
    if (c->n_files == MAX_FILES) return pith_fail(ctx, PITH_E_LIMIT, "%s names more than %d files", what, MAX_FILES);
    PITH_TRY(open_file(ctx, c, name));
  }
  return PITH_OK;
}

static pith_status open_weights(pith_ctx *ctx, pith_checkpoint *c) {
  pith_json *index = NULL;
  char *single;
  PITH_TRY(pith_path_join(ctx, c->folder, "model.safetensors", &single));
  const bool whole = ctx->host.exists(ctx->host.user, single) == 1;   /* comes before an index, as in transformers */
  pith_free(ctx, single);
  if (!whole) PITH_TRY(read_json(ctx, c->folder, "model.safetensors.index.json", true, &index));
  if (index) {
    const pith_status status = open_shards(ctx, c, index);
    pith_json_free(index);
    return status;
  }
  PITH_TRY(pith_calloc(ctx, 1, sizeof *c->files, &c->files));
  return open_file(ctx, c, "model.safetensors");
}

static pith_status apply_pooling(pith_ctx *ctx, const pith_json *json, pith_config *config) {
  static const char *const modes[] = {"pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens",
                                      "pooling_mode_lasttoken"};
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (pith_json_true(pith_json_get(json, modes[i])))
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "1_Pooling/config.json asks for \"%s\"; supported are mean and CLS pooling", modes[i]);
  const bool mean = pith_json_true(pith_json_get(json, "pooling_mode_mean_tokens"));
  const bool cls = pith_json_true(pith_json_get(json, "pooling_mode_cls_token"));
  if (mean == cls) return pith_fail(ctx, PITH_E_UNSUPPORTED, "1_Pooling/config.json should choose either mean or CLS pooling");
  config->pooling = cls ? PITH_POOL_CLS : PITH_POOL_MEAN;
  return PITH_OK;
}

static bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n >= m && strcmp(text + n - m, end) == 0;
}

/* Texts are cut where sentence_bert_config.json says, else where tokenizer.json does. */
static pith_status apply_sentence_bert(pith_ctx *ctx, pith_checkpoint *c) {
  static const char *const what = "sentence_bert_config.json";
  pith_json *settings, *tokenizer = NULL;
  PITH_TRY(read_json(ctx, c->folder, what, true, &settings));
  pith_status status = PITH_OK;
  int64_t limit = c->config.max_tokens;
  const bool limited = !pith_json_is_null(pith_json_get(settings, "max_seq_length")), lower = pith_json_true(pith_json_get(settings, "do_lower_case"));
  if (limited) status = pith_json_need_integer(ctx, settings, "max_seq_length", 1, 1 << 22, what, &limit);
  pith_json_free(settings);
  PITH_TRY(status);
  if (!limited || lower) PITH_TRY(read_json(ctx, c->folder, "tokenizer.json", true, &tokenizer));
  const pith_json *truncation = pith_json_get(tokenizer, "truncation");
  if (!limited && !pith_json_is_null(truncation)) status = pith_json_need_integer(ctx, truncation, "max_length", 1, INT32_MAX, "tokenizer.json", &limit);
  if (lower && !pith_json_true(pith_json_get(pith_json_get(tokenizer, "normalizer"), "lowercase")))
    status = pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"do_lower_case\": true is supported only where the tokenizer's normalizer does it", what);
  pith_json_free(tokenizer);
  if (status == PITH_OK && limit < c->config.max_tokens) c->config.max_tokens = (int32_t)limit;
  return status;
}

/* modules.json lists what sentence-transformers runs after the transformer. */
static pith_status apply_modules(pith_ctx *ctx, pith_checkpoint *c) {
  pith_json *modules, *detail = NULL;
  PITH_TRY(read_json(ctx, c->folder, "modules.json", true, &modules));
  if (modules) pith_head_drop(&c->config);   /* made for embeddings, from a checkpoint that had a head */
  pith_status status = PITH_OK;
  for (const pith_json *m = pith_json_first(modules); m && status == PITH_OK; m = pith_json_next(m)) {
    const char *type = pith_json_string(pith_json_get(m, "type"));
    if (!type) {
      status = pith_fail(ctx, PITH_E_FORMAT, "modules.json: a module has no \"type\"");
    } else if (ends_with(type, ".Normalize")) {
      c->config.normalize = true;
    } else if (ends_with(type, ".Pooling")) {
      status = read_json(ctx, c->folder, "1_Pooling/config.json", false, &detail);
      if (status == PITH_OK) status = apply_pooling(ctx, detail, &c->config);
      pith_json_free(detail);
      detail = NULL;
    } else if (!ends_with(type, ".Transformer")) {
      status = pith_fail(ctx, PITH_E_UNSUPPORTED, "modules.json asks for \"%.80s\"; supported are Transformer, Pooling and Normalize", type);
    }
  }
  pith_json_free(modules);
  PITH_TRY(status);
  return apply_sentence_bert(ctx, c);
}

/* generation_config.json knows more end tokens than config.json; tokenizer_config.json says whether a text begins with one. */
static pith_status apply_generation(pith_ctx *ctx, pith_checkpoint *c) {
  pith_json *json;
  PITH_TRY(read_json(ctx, c->folder, "generation_config.json", true, &json));
  pith_status status = PITH_OK;
  if (!pith_json_is_null(pith_json_get(json, "eos_token_id"))) {
    c->config.n_eos = 0;
    status = pith_config_special_ids(ctx, json, "generation_config.json", &c->config);
  }
  pith_json_free(json);
  PITH_TRY(status);
  PITH_TRY(read_json(ctx, c->folder, "tokenizer_config.json", true, &json));
  c->config.add_bos = c->config.bos_id >= 0 && pith_json_true(pith_json_get(json, "add_bos_token"));
  pith_json_free(json);
  return PITH_OK;
}

static pith_status open_folder(pith_ctx *ctx, const char *folder, pith_checkpoint *out) {
  PITH_TRY(pith_path_join(ctx, folder, "", &out->folder));
  PITH_TRY(read_json(ctx, folder, "config.json", false, &out->config_json));
  PITH_TRY(pith_config_parse(ctx, out->config_json, "config.json", &out->config));
  if (out->config.family->task == PITH_TASK_EMBED) PITH_TRY(apply_modules(ctx, out));
  else PITH_TRY(apply_generation(ctx, out));
  return open_weights(ctx, out);
}

static pith_status open_gguf(pith_ctx *ctx, pith_checkpoint *out) {
  const char *slash = strrchr(out->gguf_path, '/');
  PITH_TRY(pith_calloc(ctx, 1, sizeof *out->files, &out->files));
  PITH_TRY(add_file(ctx, out, slash ? slash + 1 : out->gguf_path, out->gguf_path));
  pith_checkpoint_file *file = &out->files[0];
  PITH_TRY(pith_gguf_read(ctx, file->handle, file->n_bytes, out->gguf_path, &out->gguf));
  PITH_TRY(pith_gguf_config(ctx, &out->gguf, &out->config_json));
  PITH_TRY(pith_config_parse(ctx, out->config_json, out->gguf_path, &out->config));
  return pith_gguf_index(ctx, &out->gguf, &out->config, &file->index);
}

/* *path becomes the GGUF file that `source` means; NULL: it is a folder of the Hub's layout. */
static pith_status find_gguf(pith_ctx *ctx, const char *source, char **path) {
  char *config, name[512] = "";
  *path = NULL;
  const int32_t kind = ctx->host.exists(ctx->host.user, source);
  if (kind == 1 || (kind != 2 && ends_with(source, ".gguf"))) {
    PITH_TRY(pith_malloc(ctx, strlen(source) + 1, path));
    memcpy(*path, source, strlen(source) + 1);
    return PITH_OK;
  }
  PITH_TRY(pith_path_join(ctx, source, "config.json", &config));
  const bool hub = ctx->host.exists(ctx->host.user, config) == 1;
  pith_free(ctx, config);
  if (hub) return PITH_OK;
  const int32_t n = ctx->host.find ? ctx->host.find(ctx->host.user, source, ".gguf", name, sizeof name) : 0;
  if (n == 1) return pith_path_join(ctx, source, name, path);
  if (n > 1) return pith_fail(ctx, PITH_E_ARGUMENT, "%s holds %d GGUF files: give one of them itself", source, (int)n);
  return pith_fail(ctx, PITH_E_NOT_FOUND, "%s holds neither a package (pith.json) nor a checkpoint (config.json, or one .gguf file)", source);
}

pith_status pith_checkpoint_open(pith_ctx *ctx, const char *source, pith_checkpoint *out) {
  memset(out, 0, sizeof *out);
  PITH_TRY(find_gguf(ctx, source, &out->gguf_path));
  return out->gguf_path ? open_gguf(ctx, out) : open_folder(ctx, source, out);
}

void pith_checkpoint_close(pith_ctx *ctx, pith_checkpoint *c) {
  for (size_t i = 0; i < c->n_files; i++) {
    pith_io_close(ctx, c->files[i].handle);
    pith_tensor_index_free(ctx, &c->files[i].index);
    pith_free(ctx, c->files[i].name);
  }
  pith_gguf_free(ctx, &c->gguf);
  pith_free(ctx, c->files);
  pith_free(ctx, c->folder);
  pith_free(ctx, c->gguf_path);
  pith_json_free(c->config_json);
  memset(c, 0, sizeof *c);
}

pith_status pith_checkpoint_tokenizer(pith_ctx *ctx, const pith_checkpoint *c, pith_buffer *out) {
  if (c->gguf_path) return pith_gguf_tokenizer(ctx, &c->gguf, out);
  char *path, *text;
  size_t n_bytes;
  PITH_TRY(pith_path_join(ctx, c->folder, "tokenizer.json", &path));
  pith_status status = pith_io_read_file(ctx, path, MAX_TOKENIZER, &text, &n_bytes);
  if (status == PITH_OK) status = pith_buffer_append(ctx, out, text, n_bytes);
  pith_free(ctx, path);
  pith_free(ctx, text);
  return status;
}

bool pith_checkpoint_find(const pith_checkpoint *c, const char *name, const pith_checkpoint_file **file, const pith_tensor_entry **entry) {
  char full[PITH_MAX_NAME + 32];
  for (const char *const *prefix = c->config.family->prefixes; *prefix; prefix++) {
    pith_snprintf(full, sizeof full, "%s%s", *prefix, name);
    for (size_t i = 0; i < c->n_files; i++) {
      *entry = pith_tensor_index_find(&c->files[i].index, full);
      *file = &c->files[i];
      if (*entry) return true;
    }
  }
  return false;
}

bool pith_checkpoint_slot(const pith_checkpoint *c, const pith_slot *slot, const pith_checkpoint_file **file, const pith_tensor_entry **entry) {
  char name[PITH_MAX_NAME];
  memcpy(name, slot->name, sizeof name);
  if (slot->view.n_fused) *strchr(name, ':') = '\0';
  if (pith_checkpoint_find(c, name, file, entry)) return true;
  return c->config.tied && slot->role == PITH_ROLE_HEAD && pith_checkpoint_find(c, "lm_head.weight", file, entry);
}

pith_status pith_checkpoint_need(pith_ctx *ctx, const pith_checkpoint *c, const pith_slot *slot, const pith_checkpoint_file **file,
                                 pith_tensor_entry *entry) {
  const pith_tensor_entry *e;
  if (!pith_checkpoint_slot(c, slot, file, &e))
    return pith_fail(ctx, PITH_E_NOT_FOUND, "the checkpoint has no tensor \"%s\", which its architecture needs", slot->name);
  const bool vector = slot->role == PITH_ROLE_VECTOR;
  const pith_view view = slot->view;
  const uint32_t fused = view.n_fused ? view.n_fused : 1, outputs = vector ? slot->cols : slot->rows;
  const uint64_t all = (uint64_t)outputs * fused, shape[2] = {view.transposed ? slot->cols : all, view.transposed ? all : slot->cols};
  if (vector && (e->n_dims != 1 || e->dims[0] != all))
    return pith_fail(ctx, PITH_E_FORMAT, "tensor \"%s\" should have the shape (%llu), as config.json says", e->name, (unsigned long long)all);
  if (!vector && (e->n_dims != 2 || e->dims[0] != shape[0] || e->dims[1] != shape[1]))
    return pith_fail(ctx, PITH_E_FORMAT, "tensor \"%s\" should have the shape (%llu, %llu), as config.json says", e->name, (unsigned long long)shape[0],
                     (unsigned long long)shape[1]);
  if (!pith_dtype_is_weight(e->dtype))
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "tensor \"%s\" is %s; weights are read as F32, F16, BF16 or in quantised blocks", e->name, pith_dtype_name(e->dtype));
  if (view.transposed && pith_dtype_elems(e->dtype) > 1)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "tensor \"%s\" is stored by its inputs and in quantised blocks, which Pith does not read", e->name);
  *entry = *e;
  entry->view = view;
  entry->dims[0] = outputs;
  if (!vector) entry->dims[1] = slot->cols;
  entry->n_bytes /= fused;
  return PITH_OK;
}

/* Whole blocks. Their bytes are read into the upper part of dst and decoded from the front, a piece at a time by way of `piece`: floats are
 * never smaller than what they come from, so that none overwrites a byte that is still wanted. */
static pith_status read_blocks(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t block, size_t n, float *dst) {
  const size_t n_bytes = pith_dtype_bytes(entry->dtype), n_elems = pith_dtype_elems(entry->dtype);
  uint8_t piece[1024];
  uint8_t *raw = (uint8_t *)dst + n * (n_elems * sizeof *dst - n_bytes);
  PITH_TRY(pith_io_read(ctx, file->handle, entry->offset + block * n_bytes, raw, n * n_bytes, file->name));
  for (size_t done = 0; done < n;) {
    const size_t some = n - done < sizeof piece / n_bytes ? n - done : sizeof piece / n_bytes;
    memcpy(piece, raw + done * n_bytes, some * n_bytes);
    pith_dtype_decode(entry->dtype, piece, some, dst + done * n_elems);
    done += some;
  }
  return PITH_OK;
}

/* n elements from element `first` on, as they lie in the file. */
static pith_status read_stored(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first, size_t n, float *dst) {
  const size_t block = pith_dtype_elems(entry->dtype);
  float whole[PITH_MAX_BLOCK_ELEMS];
  for (size_t done = 0, some; done < n; done += some) {
    const uint64_t at = first + done;
    const size_t within = (size_t)(at % block);
    if (within == 0 && n - done >= block) {
      some = (n - done) / block * block;
      PITH_TRY(read_blocks(ctx, file, entry, at / block, some / block, dst + done));
    } else {
      some = n - done < block - within ? n - done : block - within;
      PITH_TRY(read_blocks(ctx, file, entry, at / block, 1, whole));
      memcpy(dst + done, whole + within, some * sizeof *dst);
    }
  }
  return PITH_OK;
}

static uint64_t row_elems(const pith_tensor_entry *entry) { return entry->dims[0] ? pith_tensor_elems(entry) / entry->dims[0] : 0; }

/* Where row `row` of the Hub's order lies in the file; *n_more: how many of the next ones follow it there. */
static uint64_t stored_row(const pith_tensor_entry *entry, uint64_t row, uint64_t *n_more) {
  const uint64_t n = entry->interleaved, run = entry->view.run;
  *n_more = 0;
  if (n) return row / n * n + row % n % (n / 2) * 2 + row % n / (n / 2);
  *n_more = (entry->view.n_fused ? run - row % run : entry->dims[0] - row) - 1;
  return entry->view.n_fused ? (row / run * entry->view.n_fused + entry->view.part) * run + row % run : row;
}

static pith_status read_rows(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first, size_t n, float *dst) {
  const uint64_t cols = row_elems(entry);
  for (size_t done = 0; done < n;) {
    uint64_t n_more;
    const uint64_t row = (first + done) / cols, begin = (first + done) % cols, at = stored_row(entry, row, &n_more) * cols + begin;
    const uint64_t together = (n_more + 1) * cols - begin;
    const size_t wanted = n - done < together ? n - done : (size_t)together;
    PITH_TRY(read_stored(ctx, file, entry, at, wanted, dst + done));
    done += wanted;
  }
  return PITH_OK;
}

/* Of each input the outputs that are wanted lie together. */
static pith_status read_transposed(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first, size_t n, float *dst) {
  const uint64_t cols = entry->dims[1], end = first + n, stride = entry->dims[0] * (entry->view.n_fused ? entry->view.n_fused : 1);
  float some[256];
  for (uint64_t k = 0; k < cols; k++)
    for (uint64_t row = first > k ? (first - k + cols - 1) / cols : 0; row * cols + k < end;) {
      uint64_t n_more;
      const uint64_t at = stored_row(entry, row, &n_more), left = (end - k + cols - 1) / cols - row;
      uint64_t n_rows = n_more + 1 < left ? n_more + 1 : left;
      if (n_rows > sizeof some / sizeof *some) n_rows = sizeof some / sizeof *some;
      PITH_TRY(read_stored(ctx, file, entry, k * stride + at, (size_t)n_rows, some));
      for (uint64_t i = 0; i < n_rows; i++, row++) dst[row * cols + k - first] = some[i];
    }
  return PITH_OK;
}

pith_status pith_checkpoint_read(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first, size_t n,
                                 float *dst) {
  const uint64_t n_elems = pith_tensor_elems(entry);
  if (first > n_elems || n > n_elems - first) return pith_fail(ctx, PITH_E_INTERNAL, "a read past the end of tensor \"%s\"", entry->name);
  if (entry->view.transposed) PITH_TRY(read_transposed(ctx, file, entry, first, n, dst));
  else if (entry->interleaved || entry->view.n_fused) PITH_TRY(read_rows(ctx, file, entry, first, n, dst));
  else PITH_TRY(read_stored(ctx, file, entry, first, n, dst));
  for (size_t i = 0; i < n; i++)
    if (!isfinite(dst[i]))
      return pith_fail(ctx, PITH_E_FORMAT, "tensor \"%s\" holds a value that is not finite, at element %llu", entry->name,
                       (unsigned long long)(first + i));
  return PITH_OK;
}

static bool is_finite_half(uint16_t h) { return (h & 0x7c00) != 0x7c00; }

/* One block's codes, scale and minimum. */
static bool split_q4(pith_dtype dtype, const uint8_t *block, uint8_t *codes, uint16_t *scale, uint16_t *min) {
  const uint8_t *packed = block + pith_dtype_bytes(dtype) - 16;
  for (int j = 0; j < 16; j++) {
    codes[j] = packed[j] & 15;
    codes[j + 16] = packed[j] >> 4;
  }
  memcpy(scale, block, sizeof *scale);
  if (dtype == PITH_Q4_1) memcpy(min, block + 2, sizeof *min);
  else *min = pith_f32_to_f16(-8.0f * pith_f16_to_f32(*scale));
  return is_finite_half(*scale) && is_finite_half(*min);
}

pith_status pith_checkpoint_read_q4(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first_row, size_t n_rows,
                                    uint8_t *codes, uint16_t *scales, uint16_t *mins) {
  if (entry->dtype != PITH_Q4_0 && entry->dtype != PITH_Q4_1)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "tensor \"%s\" is %s; four-bit codes are read from Q4_0 and Q4_1", entry->name, pith_dtype_name(entry->dtype));
  if (first_row > entry->dims[0] || n_rows > entry->dims[0] - first_row) return pith_fail(ctx, PITH_E_INTERNAL, "a read past the end of tensor \"%s\"", entry->name);
  const uint64_t n_groups = row_elems(entry) / 32, n_bytes = pith_dtype_bytes(entry->dtype);
  uint8_t piece[2048];
  for (uint64_t row = first_row; row < first_row + n_rows; row++) {
    uint64_t n_more;
    const uint64_t begin = entry->offset + stored_row(entry, row, &n_more) * n_groups * n_bytes;
    for (uint64_t g = 0, some; g < n_groups; g += some) {
      some = n_groups - g < sizeof piece / n_bytes ? n_groups - g : sizeof piece / n_bytes;
      PITH_TRY(pith_io_read(ctx, file->handle, begin + g * n_bytes, piece, some * n_bytes, file->name));
      for (uint64_t i = 0; i < some; i++, codes += 32)
        if (!split_q4(entry->dtype, piece + i * n_bytes, codes, scales++, mins++))
          return pith_fail(ctx, PITH_E_FORMAT, "tensor \"%s\" has a scale or a minimum that is not finite in half precision, in row %llu", entry->name,
                           (unsigned long long)row);
    }
  }
  return PITH_OK;
}

pith_status pith_checkpoint_panels(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t row, size_t n,
                                   float *chunk, float *dst) {
  const size_t cols = (size_t)entry->dims[1];
  PITH_TRY(pith_checkpoint_read(ctx, file, entry, row * cols, n * cols, chunk));
  for (size_t begin = 0; begin < n; begin += PITH_PANEL) {
    const size_t rows = n - begin < PITH_PANEL ? n - begin : PITH_PANEL;
    const float *from = chunk + begin * cols;
    float *panel = dst + begin * cols;
    for (size_t k = 0; k < cols; k++)
      for (size_t r = 0; r < PITH_PANEL; r++) panel[k * PITH_PANEL + r] = r < rows ? from[r * cols + k] : 0.0f;
  }
  return PITH_OK;
}
