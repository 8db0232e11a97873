/* Writing a package: tensors in forward order into shards of about one size, everything in a folder beside the final one that
 * is renamed when it is whole. */
#ifndef PITH_PACKAGE_WRITER_H
#define PITH_PACKAGE_WRITER_H

#include "package/folder.h"
#include "package/manifest.h"
#include "tensor/safetensors.h"

typedef struct pith_package_writer {
  pith_package_folder folder;
  uint64_t shard_bytes;      /* wished size of a shard's data */
  /* the shard that is being filled */
  pith_tensor_entry *entries;
  size_t n_entries, entries_capacity;
  pith_buffer data;
  uint32_t n_pads;
  /* what has been written */
  pith_json *shards;         /* records */
  uint32_t n_shards;
  uint64_t n_bytes;          /* of all files */
  const pith_json *kept;     /* records of the first shards, which lie there already: they are compared and not written. NULL: none. Borrowed */
} pith_package_writer;

/* folder, source, force, resume: pith_package_folder_open. Zero-initialise first. */
pith_status pith_package_writer_open(pith_ctx *ctx, pith_package_writer *w, const char *folder, const char *source, uint64_t shard_bytes, bool force, bool resume);
/* Appends a tensor, 64-byte aligned in its shard; starts a new shard when this one would grow past shard_bytes.
 * `keep_together`: bytes that follow and belong into the same shard. Returns the shard's number, from 0. */
pith_status pith_package_writer_add(pith_ctx *ctx, pith_package_writer *w, const char *name, pith_dtype dtype, const uint64_t *dims,
                                    uint32_t n_dims, const void *data, uint64_t n_bytes, uint64_t keep_together, uint32_t *shard);
/* Writes the shard that is open, if any. */
pith_status pith_package_writer_flush(pith_ctx *ctx, pith_package_writer *w);
/* Writes a whole file into the package; the caller frees its record. */
pith_status pith_package_writer_file(pith_ctx *ctx, pith_package_writer *w, const char *name, const void *data, uint64_t n_bytes,
                                     pith_json **record);
/* The package is whole: it goes to its place. */
pith_status pith_package_writer_publish(pith_ctx *ctx, pith_package_writer *w);
/* Frees; what was not published is removed, unless it is kept. */
void pith_package_writer_close(pith_ctx *ctx, pith_package_writer *w);

#endif
