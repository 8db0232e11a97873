/* The compressed package's manifest, pith.json (docs/FORMAT.md). */
#ifndef PITH_MANIFEST_H
#define PITH_MANIFEST_H

#include "base/json.h"

enum { PITH_FORMAT_VERSION = 1 };
#define PITH_MANIFEST_FILE "pith.json"
#define PITH_MANIFEST_MAX_BYTES (16u << 20)
#define PITH_SHARD_MAX_BYTES (1u << 30)
#define PITH_MAX_SHARDS 65536

/* Files are hashed in pieces, the last shorter. Browsers hash half a megabyte twice as fast as the same bytes in larger calls, for which they
 * copy into fresh memory, and a piece is hashed while it is still in the processor's cache. */
enum { PITH_PIECE_BYTES = 512 << 10 };

typedef struct pith_file_record {
  const char *file;          /* a plain name; borrowed from the JSON */
  uint64_t n_bytes;
  const pith_json *sha256;   /* of the first piece, a string; the next pieces' follow it. Borrowed */
  uint32_t n_pieces;
} pith_file_record;

typedef struct pith_manifest {
  pith_json *json;           /* owned; config, tensors, recipe, parent and quality are read from it */
  pith_file_record tokenizer;
  pith_file_record *shards;
  uint32_t n_shards;
} pith_manifest;

/* Checks format, version, names (no path leads out of the folder), sizes and hashes. Zeroed on failure. */
pith_status pith_manifest_parse(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_manifest *out);
void pith_manifest_free(pith_ctx *ctx, pith_manifest *manifest);
/* {"file":…,"bytes":…,"sha256":…}: a string where there is one piece, else a list. */
pith_status pith_file_record_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_file_record *out);
/* Takes the list of hashes over. */
pith_json *pith_file_record_print(const char *file, uint64_t n_bytes, pith_json *hashes);

#endif
