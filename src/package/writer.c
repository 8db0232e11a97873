#include "package/writer.h"

#include <string.h>

#include "base/format.h"
#include "base/sha256.h"

pith_status pith_package_writer_open(pith_ctx *ctx, pith_package_writer *w, const char *folder, const char *source, uint64_t shard_bytes, bool force, bool resume) {
  memset(w, 0, sizeof *w);
  w->shard_bytes = shard_bytes;
  PITH_TRY(pith_package_folder_open(ctx, &w->folder, folder, source, force, resume));
  w->shards = pith_json_new_array();
  return PITH_OK;
}

/* The two parts of a file, which need not be copied together. */
typedef struct part {
  const void *data;
  size_t n_bytes;
} part;

/* One hash for each piece of the file, the last whether full or not. */
static pith_json *hash_parts(const part parts[2]) {
  pith_json *hashes = pith_json_new_array();
  pith_sha256 sha;
  char hex[65];
  size_t room = PITH_PIECE_BYTES;
  pith_sha256_init(&sha);
  for (int i = 0; i < 2; i++) {
    const uint8_t *from = parts[i].data;
    for (size_t left = parts[i].n_bytes; left > 0;) {
      if (room == 0) {
        pith_sha256_final(&sha, hex);
        pith_json_add_string(hashes, NULL, hex);
        pith_sha256_init(&sha);
        room = PITH_PIECE_BYTES;
      }
      const size_t n = left < room ? left : room;
      pith_sha256_update(&sha, from, n);
      from += n;
      left -= n;
      room -= n;
    }
  }
  pith_sha256_final(&sha, hex);
  pith_json_add_string(hashes, NULL, hex);
  return hashes;
}

static pith_status put_file(pith_ctx *ctx, const pith_package_writer *w, const char *name, const part parts[2]) {
  char *path;
  PITH_TRY(pith_path_join(ctx, w->folder.partial, name, &path));
  const int32_t handle = ctx->host.create(ctx->host.user, path);
  pith_status status = pith_io_status(ctx, handle, "create", path);
  if (status == PITH_OK) {
    for (int i = 0; i < 2 && status == PITH_OK; i++) status = pith_io_write(ctx, handle, parts[i].data, parts[i].n_bytes, path);
    const int32_t closed = ctx->host.close(ctx->host.user, handle);
    if (status == PITH_OK) status = pith_io_status(ctx, closed, "write", path);
  }
  pith_free(ctx, path);
  return status;
}

static void record_file(pith_package_writer *w, const char *name, const part parts[2], pith_json **record) {
  const uint64_t n_bytes = (uint64_t)parts[0].n_bytes + parts[1].n_bytes;
  w->n_bytes += n_bytes;
  *record = pith_file_record_print(name, n_bytes, hash_parts(parts));
}

pith_status pith_package_writer_file(pith_ctx *ctx, pith_package_writer *w, const char *name, const void *data, uint64_t n_bytes,
                                     pith_json **record) {
  const part parts[2] = {{data, (size_t)n_bytes}, {"", 0}};
  PITH_TRY(put_file(ctx, w, name, parts));
  record_file(w, name, parts, record);
  return PITH_OK;
}

static pith_status add_entry(pith_ctx *ctx, pith_package_writer *w, const char *name, pith_dtype dtype, const uint64_t *dims, uint32_t n_dims,
                             const void *data, uint64_t n_bytes) {
  if (w->n_entries == w->entries_capacity) {
    const size_t capacity = w->entries_capacity ? 2 * w->entries_capacity : 64;
    PITH_TRY(pith_realloc(ctx, &w->entries, w->n_entries * sizeof *w->entries, capacity * sizeof *w->entries));
    w->entries_capacity = capacity;
  }
  pith_tensor_entry *entry = &w->entries[w->n_entries];
  memset(entry, 0, sizeof *entry);
  PITH_TRY(pith_malloc(ctx, strlen(name) + 1, &entry->name));
  memcpy(entry->name, name, strlen(name) + 1);
  w->n_entries++;
  entry->dtype = dtype;
  entry->n_dims = n_dims;
  memcpy(entry->dims, dims, n_dims * sizeof *dims);
  entry->n_bytes = n_bytes;
  return pith_buffer_append(ctx, &w->data, data, (size_t)n_bytes);
}

pith_status pith_package_writer_add(pith_ctx *ctx, pith_package_writer *w, const char *name, pith_dtype dtype, const uint64_t *dims,
                                    uint32_t n_dims, const void *data, uint64_t n_bytes, uint64_t keep_together, uint32_t *shard) {
  if (w->n_entries > 0 && w->data.n_bytes + n_bytes + keep_together > w->shard_bytes) PITH_TRY(pith_package_writer_flush(ctx, w));
  const size_t past = w->data.n_bytes % PITH_ALIGN;
  if (past != 0) {   /* the format allows no holes, so alignment is a tensor of its own */
    static const uint8_t zeros[PITH_ALIGN];
    char pad[32];
    const uint64_t n = PITH_ALIGN - past;
    pith_snprintf(pad, sizeof pad, "pith.pad.%u", (unsigned)w->n_pads++);
    PITH_TRY(add_entry(ctx, w, pad, PITH_U8, &n, 1, zeros, n));
  }
  PITH_TRY(add_entry(ctx, w, name, dtype, dims, n_dims, data, n_bytes));
  *shard = w->n_shards;
  return PITH_OK;
}

static void forget_entries(pith_ctx *ctx, pith_package_writer *w) {
  for (size_t i = 0; i < w->n_entries; i++) pith_free(ctx, w->entries[i].name);
  w->n_entries = 0;
  w->n_pads = 0;
  pith_buffer_free(ctx, &w->data);   /* rather than kept for the next: after the last shard, memory is wanted elsewhere */
}

/* A shard that lies there already is the one that was to be written. */
static pith_status compare_kept(pith_ctx *ctx, const pith_json *kept, const pith_json *record) {
  pith_buffer a = {0}, b = {0};
  pith_status status = pith_json_print(ctx, kept, false, &a);
  if (status == PITH_OK) status = pith_json_print(ctx, record, false, &b);
  if (status == PITH_OK && strcmp(a.data, b.data) != 0)
    status = pith_fail(ctx, PITH_E_INTEGRITY, "%.60s, which lies there, is not what this compression makes: begin anew without resuming", pith_json_string(pith_json_get(record, "file")));
  pith_buffer_free(ctx, &a);
  pith_buffer_free(ctx, &b);
  return status;
}

/* The count of shards is not known until the last, so they are numbered alone: shard-00001.safetensors. */
pith_status pith_package_writer_flush(pith_ctx *ctx, pith_package_writer *w) {
  if (w->n_entries == 0) return PITH_OK;
  static const char *const metadata[] = {"format", "pith"};
  char name[PITH_SHARD_NAME];
  pith_buffer header = {0};
  pith_json *record;
  pith_shard_name(w->n_shards + 1, name);
  pith_status status = pith_safetensors_print(ctx, w->entries, w->n_entries, metadata, 1, &header);
  const part parts[2] = {{header.data, header.n_bytes}, {w->data.data, w->data.n_bytes}};
  const pith_json *kept = pith_json_first(w->kept);
  for (uint32_t i = 0; kept && i < w->n_shards; i++) kept = pith_json_next(kept);
  if (status == PITH_OK && !kept) status = put_file(ctx, w, name, parts);
  if (status == PITH_OK) {
    record_file(w, name, parts, &record);
    pith_json_add_number(record, "stage", 0);
    if (kept) status = compare_kept(ctx, kept, record);
    if (status != PITH_OK) pith_json_free(record);
  }
  pith_buffer_free(ctx, &header);
  PITH_TRY(status);
  pith_json_add(w->shards, NULL, record);
  w->n_shards++;
  forget_entries(ctx, w);
  return PITH_OK;
}

pith_status pith_package_writer_publish(pith_ctx *ctx, pith_package_writer *w) { return pith_package_folder_publish(ctx, &w->folder); }

void pith_package_writer_close(pith_ctx *ctx, pith_package_writer *w) {
  forget_entries(ctx, w);
  pith_free(ctx, w->entries);
  pith_json_free(w->shards);
  pith_package_folder_close(ctx, &w->folder);
  memset(w, 0, sizeof *w);
}
