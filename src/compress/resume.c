#include "compress/resume.h"

#include <string.h>

enum { MAX_NOTE_BYTES = 64 << 20 };

void pith_resume_free(pith_ctx *ctx, pith_resume *r) {
  if (r->folder) pith_io_close(ctx, r->handle);
  for (uint32_t i = 0; r->indexes && i < r->n_shards; i++) pith_safetensors_free(ctx, &r->indexes[i]);
  pith_free(ctx, r->indexes);
  pith_json_free(r->shards);
  pith_json_free(r->made_by);
  memset(r, 0, sizeof *r);
}

static pith_status same_text(pith_ctx *ctx, const pith_json *a, const pith_json *b, bool *same) {
  pith_buffer one = {0}, other = {0};
  pith_status status = pith_json_print(ctx, a, false, &one);
  if (status == PITH_OK) status = pith_json_print(ctx, b, false, &other);
  *same = status == PITH_OK && one.n_bytes == other.n_bytes && memcmp(one.data, other.data, one.n_bytes) == 0;
  pith_buffer_free(ctx, &one);
  pith_buffer_free(ctx, &other);
  return status;
}

static pith_status compare(pith_ctx *ctx, const pith_resume *r, const pith_json *note) {
  const pith_json *then = pith_json_get(note, "madeBy");
  for (const pith_json *now = pith_json_first(r->made_by); now; now = pith_json_next(now)) {
    const pith_json *before = pith_json_get(then, pith_json_key(now));
    bool same = false;
    if (before) PITH_TRY(same_text(ctx, now, before, &same));
    if (!same)
      return pith_fail(ctx, PITH_E_ARGUMENT, "%s was begun with another %s: go on as it was begun, or begin anew without resuming", r->folder, pith_json_key(now));
  }
  return PITH_OK;
}

static pith_status open_shard(pith_ctx *ctx, pith_resume *r, uint32_t shard) {
  char name[PITH_SHARD_NAME], *path;
  uint64_t n_bytes;
  if (r->handle >= 0 && r->open == shard) return PITH_OK;
  pith_io_close(ctx, r->handle);
  r->handle = -1;
  pith_shard_name(shard + 1, name);
  PITH_TRY(pith_path_join(ctx, r->folder, name, &path));
  pith_status status = pith_io_open(ctx, path, &r->handle, &n_bytes);
  r->open = shard;
  if (status == PITH_OK && !r->indexes[shard].entries) status = pith_safetensors_read(ctx, r->handle, n_bytes, path, &r->indexes[shard]);
  pith_free(ctx, path);
  return status;
}

static pith_status read_note(pith_ctx *ctx, pith_resume *r, const char *path) {
  char *text;
  size_t n_bytes;
  pith_json *note;
  PITH_TRY(pith_io_read_file(ctx, path, MAX_NOTE_BYTES, &text, &n_bytes));
  pith_status status = pith_json_parse(ctx, text, n_bytes, path, &note);
  pith_free(ctx, text);
  PITH_TRY(status);
  status = compare(ctx, r, note);
  if (status == PITH_OK) {
    pith_json_free(r->shards);
    r->shards = pith_json_copy(pith_json_get(note, "shards"));
    r->n_shards = r->noted = (uint32_t)pith_json_count(r->shards);
    status = pith_calloc(ctx, r->n_shards ? r->n_shards : 1, sizeof *r->indexes, &r->indexes);
  }
  pith_json_free(note);
  for (uint32_t i = 0; status == PITH_OK && i < r->n_shards; i++) status = open_shard(ctx, r, i);
  return status;
}

pith_status pith_resume_begin(pith_ctx *ctx, pith_resume *r, const char *folder, pith_json *made_by) {
  char *path;
  memset(r, 0, sizeof *r);
  r->folder = folder;
  r->made_by = made_by;
  r->handle = -1;
  PITH_TRY(pith_path_join(ctx, folder, PITH_RESUME_FILE, &path));
  const pith_status status = ctx->host.exists(ctx->host.user, path) == 1 ? read_note(ctx, r, path) : PITH_OK;
  pith_free(ctx, path);
  return status;
}

pith_status pith_resume_note(pith_ctx *ctx, pith_resume *r, const pith_package_writer *writer) {
  if (!r->folder || writer->n_shards <= r->noted) return PITH_OK;
  pith_json *note = pith_json_new_object();
  pith_buffer text = {0};
  char *path;
  pith_json_add(note, "madeBy", pith_json_copy(r->made_by));
  pith_json_add(note, "shards", pith_json_copy(writer->shards));
  pith_status status = pith_json_print(ctx, note, true, &text);
  pith_json_free(note);
  if (status == PITH_OK) status = pith_path_join(ctx, r->folder, PITH_RESUME_FILE, &path);
  if (status == PITH_OK) {
    status = pith_io_write_file(ctx, path, text.data, text.n_bytes);
    pith_free(ctx, path);
  }
  pith_buffer_free(ctx, &text);
  if (status == PITH_OK) r->noted = writer->n_shards;
  return status;
}

const pith_tensor_entry *pith_resume_find(const pith_resume *r, const char *name, uint32_t *shard) {
  for (uint32_t i = 0; i < r->n_shards; i++) {
    const pith_tensor_entry *entry = pith_safetensors_find(&r->indexes[i], name);
    *shard = i;
    if (entry) return entry;
  }
  return NULL;
}

pith_status pith_resume_read(pith_ctx *ctx, pith_resume *r, const char *name, void *dst, uint64_t n_bytes) {
  uint32_t shard;
  const pith_tensor_entry *entry = pith_resume_find(r, name, &shard);
  if (!entry || entry->n_bytes != n_bytes) return pith_fail(ctx, PITH_E_INTEGRITY, "%s holds \"%.120s\" in another size: begin anew without resuming", r->folder, name);
  PITH_TRY(open_shard(ctx, r, shard));
  return pith_io_read(ctx, r->handle, entry->offset, dst, n_bytes, name);
}
