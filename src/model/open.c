#include "model/open.h"

#include <string.h>

enum { MAX_TOKENIZER_BYTES = 256 << 20 };

pith_status pith_model_check_ids(pith_ctx *ctx, const pith_model *model, const pith_ids *ids, size_t begin) {
  for (size_t i = begin; i < ids->n; i++)
    if (ids->ids[i] < 0 || ids->ids[i] >= model->config.vocab_size)
      return pith_fail(ctx, PITH_E_FORMAT, "the tokenizer gives the id %d, and the model has %d: they do not belong together", (int)ids->ids[i],
                       (int)model->config.vocab_size);
  return PITH_OK;
}

pith_status pith_model_encode(pith_ctx *ctx, const pith_model *model, const char *text, size_t n_bytes, bool special_tokens, bool truncate,
                              pith_ids *out) {
  const size_t begin = out->n;
  const bool bos = special_tokens && model->config.add_bos;
  const int32_t limit = truncate ? model->config.max_tokens : 0;
  if (bos) PITH_TRY(pith_ids_append(ctx, out, model->config.bos_id));
  PITH_TRY(pith_tokenizer_encode(ctx, model->tokenizer, text, n_bytes, (pith_encode_options){special_tokens, limit}, out));
  if (bos && out->n > begin + 1 && out->ids[begin + 1] == model->config.bos_id) {   /* the template said it too */
    memmove(out->ids + begin, out->ids + begin + 1, (out->n - begin - 1) * sizeof *out->ids);
    out->n--;
  }
  if (limit > 0 && out->n - begin > (size_t)limit) out->n = begin + (size_t)limit;
  return pith_model_check_ids(ctx, model, out, begin);
}

/* What the manifest says beside the configuration must follow from it. */
static pith_status check_agreement(pith_ctx *ctx, const pith_manifest *m, const pith_config *c, const char *path) {
  const char *family;
  int64_t parameters;
  PITH_TRY(pith_json_need_string(ctx, m->json, "family", path, &family));
  PITH_TRY(pith_json_need_integer(ctx, m->json, "parameters", 0, (int64_t)1 << 53, path, &parameters));
  if (strcmp(family, c->family->name) != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"family\" is \"%.20s\", and its configuration is of a %s", path, family, c->family->name);
  uint64_t n_parameters = 0;
  size_t n_tensors = 0;
  for (int32_t stage = -1; stage <= c->n_layers; stage++) {
    pith_slot slots[PITH_MAX_SLOTS];
    const uint32_t n = c->family->slots(c, stage, slots);
    for (uint32_t i = 0; i < n; i++) n_parameters += (uint64_t)slots[i].rows * slots[i].cols;
    n_tensors += n;
  }
  const size_t n_listed = pith_json_count(pith_json_get(m->json, "tensors"));
  if (n_listed != n_tensors)
    return pith_fail(ctx, PITH_E_FORMAT, "%s lists %zu tensors, and its configuration has %zu", path, n_listed, n_tensors);
  if ((uint64_t)parameters != n_parameters)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"parameters\" is %lld, and its configuration has %llu", path, (long long)parameters, (unsigned long long)n_parameters);
  return PITH_OK;
}

pith_status pith_model_read_manifest(pith_ctx *ctx, const char *path, pith_model *model, size_t *n_bytes) {
  char *text;
  PITH_TRY(pith_io_read_file(ctx, path, PITH_MANIFEST_MAX_BYTES, &text, n_bytes));
  const pith_status status = pith_manifest_parse(ctx, text, *n_bytes, path, &model->manifest);
  pith_free(ctx, text);
  PITH_TRY(status);
  model->is_package = true;
  PITH_TRY(pith_config_parse(ctx, pith_json_get(model->manifest.json, "config"), path, &model->config));
  PITH_TRY(pith_settings_parse(ctx, pith_json_get(model->manifest.json, "settings"), path, model));
  model->labels = pith_labels(&model->config, pith_json_get(model->manifest.json, "config"));
  return check_agreement(ctx, &model->manifest, &model->config, path);
}

static pith_status begin_package(pith_ctx *ctx, pith_model_loader *l, const char *path) {
  size_t n_bytes;
  pith_model *m = l->model;
  PITH_TRY(pith_model_read_manifest(ctx, path, m, &n_bytes));
  m->n_source_bytes = n_bytes + m->manifest.tokenizer.n_bytes;
  for (uint32_t i = 0; i < m->manifest.n_shards; i++) m->n_source_bytes += m->manifest.shards[i].n_bytes;
  l->total_bytes = (double)m->n_source_bytes;
  l->done_bytes = (double)n_bytes;
  PITH_TRY(pith_weights_init(ctx, &m->weights, m->config.n_layers));
  l->n_files = 1 + m->manifest.n_shards;
  size_t n_pieces = m->manifest.tokenizer.n_pieces;
  for (uint32_t i = 0; i < m->manifest.n_shards; i++) n_pieces += m->manifest.shards[i].n_pieces;
  PITH_TRY(pith_calloc(ctx, n_pieces, sizeof *l->tickets, &l->tickets));
  PITH_TRY(pith_calloc(ctx, m->manifest.n_shards, sizeof *l->shards, &l->shards));
  return pith_calloc(ctx, m->manifest.n_shards, sizeof *l->indexes, &l->indexes);
}

pith_status pith_model_loader_init(pith_ctx *ctx, pith_model_loader *l, pith_model *model, const char *folder, const pith_kernels *kernels) {
  memset(l, 0, sizeof *l);
  memset(model, 0, sizeof *model);
  l->model = model;
  l->handle = -1;
  model->kernels = kernels;
  PITH_TRY(pith_path_join(ctx, folder, "", &l->folder));
  char *path;
  PITH_TRY(pith_path_join(ctx, folder, PITH_MANIFEST_FILE, &path));
  const bool package = ctx->host.exists(ctx->host.user, path) == 1;
  const pith_opener *opener = pith_checkpoint_opener;
  pith_status status;
  if (package) status = begin_package(ctx, l, path);
  else if (opener) status = opener->begin(ctx, l, folder);
  else status = pith_fail(ctx, PITH_E_UNSUPPORTED, "%s holds no package (%s), and this module reads nothing else", folder, PITH_MANIFEST_FILE);
  pith_free(ctx, path);
  return status;
}

/* ---- a package's files: the tokenizer's is file 0, shard i is file i + 1 ---- */

static const pith_file_record *record_of(const pith_model_loader *l, uint32_t file) {
  const pith_manifest *m = &l->model->manifest;
  return file == 0 ? &m->tokenizer : &m->shards[file - 1];
}

static uint8_t *bytes_of(const pith_model_loader *l, uint32_t file) { return file == 0 ? l->tokenizer_text : l->shards[file - 1]; }

static pith_status open_file(pith_ctx *ctx, pith_model_loader *l, const pith_file_record *record) {
  char *path;
  uint64_t size;
  PITH_TRY(pith_path_join(ctx, l->folder, record->file, &path));
  pith_status status = pith_io_open(ctx, path, &l->handle, &size);
  if (status == PITH_OK && size != UINT64_MAX && size != record->n_bytes)
    status = pith_fail(ctx, PITH_E_INTEGRITY, "%s has %llu bytes, and the manifest says %llu", path, (unsigned long long)size,
                       (unsigned long long)record->n_bytes);
  if (status == PITH_OK && l->n_read == 0 && record->n_bytes > MAX_TOKENIZER_BYTES)
    status = pith_fail(ctx, PITH_E_LIMIT, "%s has %llu bytes, more than the %d that such a file may have", path, (unsigned long long)record->n_bytes,
                       MAX_TOKENIZER_BYTES);
  pith_free(ctx, path);
  PITH_TRY(status);
  l->offset = 0;
  pith_sha256_init(&l->sha);
  if (l->n_read == 0) return pith_malloc(ctx, (size_t)record->n_bytes, &l->tokenizer_text);
  return pith_weights_take(ctx, &l->model->weights, (size_t)record->n_bytes, &l->shards[l->n_read - 1]);
}

/* A piece is there: where the host hashes, it begins. */
static pith_status end_piece(pith_ctx *ctx, pith_model_loader *l, const pith_file_record *record) {
  if (ctx->host.hash_begin) {
    const uint64_t n = (l->offset - 1) % PITH_PIECE_BYTES + 1;
    const int32_t ticket = ctx->host.hash_begin(ctx->host.user, bytes_of(l, l->n_read) + l->offset - n, n);
    PITH_TRY(pith_io_status(ctx, ticket, "hash", record->file));
    l->tickets[l->n_hashed] = ticket;
  }
  l->n_hashed++;
  return PITH_PENDING;
}

/* The last piece counts when nothing follows it. */
static pith_status finish_file(pith_ctx *ctx, pith_model_loader *l, const pith_file_record *record) {
  uint8_t more;
  const int64_t extra = ctx->host.read(ctx->host.user, l->handle, l->offset, &more, 1);
  if (extra == PITH_HOST_WAIT) {
    l->waiting = true;
    return PITH_PENDING;
  }
  PITH_TRY(pith_io_status(ctx, extra, "read", record->file));
  if (extra > 0) return pith_fail(ctx, PITH_E_INTEGRITY, "%s has more than the %llu bytes that the manifest says", record->file, (unsigned long long)record->n_bytes);
  pith_io_close(ctx, l->handle);
  l->handle = -1;
  const pith_status status = end_piece(ctx, l, record);
  l->n_read++;
  return status;
}

static pith_status parse_header(pith_ctx *ctx, const uint8_t *bytes, const pith_file_record *record, pith_safetensors *index) {
  uint64_t header_bytes;
  if (record->n_bytes < 8) return pith_fail(ctx, PITH_E_FORMAT, "%s is shorter than a header", record->file);
  PITH_TRY(pith_safetensors_header_bytes(ctx, bytes, record->n_bytes, record->file, &header_bytes));
  return pith_safetensors_parse(ctx, (const char *)bytes + 8, header_bytes, record->n_bytes, record->file, index);
}

static pith_status open_tokenizer(pith_ctx *ctx, pith_model_loader *l) {
  char *path;
  PITH_TRY(pith_path_join(ctx, l->folder, record_of(l, 0)->file, &path));
  const pith_status status = pith_tokenizer_open(ctx, (const char *)l->tokenizer_text, (size_t)record_of(l, 0)->n_bytes, path, &l->model->tokenizer);
  pith_free(ctx, path);
  pith_free(ctx, l->tokenizer_text);
  l->tokenizer_text = NULL;
  return status;
}

static pith_status use_file(pith_ctx *ctx, pith_model_loader *l, uint32_t file) {
  return file == 0 ? open_tokenizer(ctx, l) : parse_header(ctx, bytes_of(l, file), record_of(l, file), &l->indexes[file - 1]);
}

/* Compares the next piece's hash; a file is looked at when all of its pieces' were right. Waits while the host is at it. */
static pith_status verify_piece(pith_ctx *ctx, pith_model_loader *l) {
  const pith_file_record *record = record_of(l, l->n_verified);
  char hex[65];
  if (ctx->host.hash_begin) {
    uint8_t hash[PITH_SHA256_BYTES];
    const int32_t result = ctx->host.hash_end(ctx->host.user, l->tickets[l->n_compared], hash);
    l->waiting = result == PITH_HOST_WAIT;
    if (l->waiting) return PITH_PENDING;
    PITH_TRY(pith_io_status(ctx, result, "hash", record->file));
    pith_sha256_hex(hash, hex);
  } else {
    pith_sha256_final(&l->sha, hex);
    pith_sha256_init(&l->sha);
  }
  if (l->n_left == 0) {
    l->expected = record->sha256;
    l->n_left = record->n_pieces;
  }
  const char *expected = pith_json_string(l->expected);
  if (strcmp(hex, expected) != 0)
    return pith_fail(ctx, PITH_E_INTEGRITY, "%s is not what the manifest describes: the SHA-256 of its piece %u is %.12s…, and should be %.12s…", record->file,
                     (unsigned)(record->n_pieces - l->n_left + 1), hex, expected);
  l->n_compared++;
  l->expected = pith_json_next(l->expected);
  if (--l->n_left > 0) return PITH_PENDING;
  PITH_TRY(use_file(ctx, l, l->n_verified));
  l->n_verified++;
  return PITH_PENDING;
}

static pith_status read_file(pith_ctx *ctx, pith_model_loader *l) {
  const pith_file_record *record = record_of(l, l->n_read);
  if (l->handle < 0) {
    PITH_TRY(open_file(ctx, l, record));
    return PITH_PENDING;
  }
  if (l->offset == record->n_bytes) return finish_file(ctx, l, record);
  const uint64_t left = record->n_bytes - l->offset, room = PITH_PIECE_BYTES - l->offset % PITH_PIECE_BYTES;
  uint8_t *to = bytes_of(l, l->n_read) + l->offset;
  const int64_t n = ctx->host.read(ctx->host.user, l->handle, l->offset, to, left < room ? left : room);
  l->waiting = n == PITH_HOST_WAIT;
  if (l->waiting) return PITH_PENDING;
  PITH_TRY(pith_io_status(ctx, n, "read", record->file));
  if (n == 0)
    return pith_fail(ctx, PITH_E_INTEGRITY, "%s ends after %llu bytes, and the manifest says %llu", record->file, (unsigned long long)l->offset,
                     (unsigned long long)record->n_bytes);
  if (!ctx->host.hash_begin) pith_sha256_update(&l->sha, to, (size_t)n);
  l->offset += (uint64_t)n;
  l->done_bytes += (double)n;
  return l->offset % PITH_PIECE_BYTES == 0 && l->offset < record->n_bytes ? end_piece(ctx, l, record) : PITH_PENDING;
}

/* The tokenizer is opened before there are weights, so that what it needs meanwhile leaves no hole between them. */
static pith_status step_package(pith_ctx *ctx, pith_model_loader *l) {
  if (l->n_verified == l->n_files) return pith_package_bind(ctx, l->model, l->shards, l->indexes);
  if (l->n_compared < l->n_hashed) {
    const pith_status status = verify_piece(ctx, l);
    const bool read_on = l->n_read < l->n_files && (l->n_read == 0 || l->n_verified > 0);
    if (!l->waiting || !read_on) return status;
    l->waiting = false;
  }
  return read_file(ctx, l);
}

pith_status pith_model_loader_step(pith_ctx *ctx, pith_model_loader *l) {
  l->waiting = false;
  if (!l->reading_checkpoint) return step_package(ctx, l);
  return pith_checkpoint_opener->step(ctx, l);
}

void pith_model_loader_free(pith_ctx *ctx, pith_model_loader *l) {
  if (l->model)
    for (uint32_t i = 0; l->indexes && i < l->model->manifest.n_shards; i++) pith_safetensors_free(ctx, &l->indexes[i]);
  pith_io_close(ctx, l->handle);
  if (pith_checkpoint_opener) pith_checkpoint_opener->free(ctx, l);
  pith_free(ctx, l->tokenizer_text);
  pith_free(ctx, l->tickets);
  pith_free(ctx, l->shards);
  pith_free(ctx, l->indexes);
  pith_free(ctx, l->folder);
  memset(l, 0, sizeof *l);
  l->handle = -1;
}

void pith_model_close(pith_ctx *ctx, pith_model *model) {
  pith_weights_free(ctx, &model->weights);
  pith_tokenizer_close(ctx, model->tokenizer);
  pith_manifest_free(ctx, &model->manifest);
  pith_free(ctx, model->layers);
  pith_json_free(model->labels);
  memset(model, 0, sizeof *model);
}

pith_json *pith_model_info(const pith_model *m) {
  pith_json *info = pith_json_new_object();
  pith_json_add_string(info, "kind", m->is_package ? "package" : "checkpoint");
  pith_json_add_string(info, "family", m->config.family->name);
  pith_json_add_string(info, "task", pith_task_name(m->config.task));
  pith_json_add_string(info, "kernels", m->kernels->name);
  pith_json_add_string(info, "attention", pith_attention_name(m->config.attention));
  pith_json_add_number(info, "parameters", (double)m->weights.n_parameters);
  pith_json_add_number(info, "bytes", (double)m->n_source_bytes);
  pith_json_add_number(info, "layers", m->config.n_layers);
  pith_json_add_number(info, "hiddenSize", m->config.hidden_size);
  pith_json_add_number(info, "vocabSize", m->config.vocab_size);
  pith_json_add_number(info, "maxTokens", m->config.max_tokens);
  if (m->labels) pith_json_add(info, "labels", pith_json_copy(m->labels));
  if (!m->is_package) return info;
  static const char *const copied[] = {"recipe", "parent", "quality", "omitted"};
  for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
    const pith_json *part = pith_json_get(m->manifest.json, copied[i]);
    if (part) pith_json_add(info, copied[i], pith_json_copy(part));
  }
  return info;
}
