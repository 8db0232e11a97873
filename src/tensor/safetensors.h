/* safetensors: the 8-byte length, the JSON header, the data. The reader trusts nothing. */
#ifndef PITH_SAFETENSORS_H
#define PITH_SAFETENSORS_H

#include "base/json.h"
#include "tensor/tensor.h"

typedef struct pith_safetensors {
  pith_tensor_entry *entries;       /* in order of offset */
  size_t n_entries;
  uint64_t data_start;              /* 8 + header length */
  char **metadata;                  /* __metadata__ as key, value, key, value…; owned */
  size_t n_metadata;                /* pairs */
} pith_safetensors;

#define PITH_SAFETENSORS_MAX_HEADER (100u << 20)

/* Length of the header from the first 8 bytes, checked against the file's size and the cap. */
pith_status pith_safetensors_header_bytes(pith_ctx *ctx, const uint8_t first8[8], uint64_t file_bytes, const char *what, uint64_t *n_bytes);
/* Parses the header's JSON (header_bytes of it, without the first 8). Checks: names unique and not empty, dtypes known,
 * dims whole, product and offsets without overflow, data_offsets = product * dtype, ranges inside the file, without
 * overlap and without holes, ending exactly at the file's end. Each failure has its own message naming the tensor. */
pith_status pith_safetensors_parse(pith_ctx *ctx, const char *header, uint64_t header_bytes, uint64_t file_bytes, const char *what,
                                   pith_safetensors *out);
/* Reads length and header of an open file. */
pith_status pith_safetensors_read(pith_ctx *ctx, int32_t handle, uint64_t file_bytes, const char *what, pith_safetensors *out);
void pith_safetensors_free(pith_ctx *ctx, pith_safetensors *index);
const pith_tensor_entry *pith_safetensors_find(const pith_safetensors *index, const char *name);

/* Writing: collect entries (name copied, offset ignored) in the order of their data, then print. The header is padded
 * with blanks so that the data starts at a multiple of 64; the result includes the 8 length bytes. */
pith_status pith_safetensors_print(pith_ctx *ctx, const pith_tensor_entry *entries, size_t n_entries, const char *const *metadata,
                                   size_t n_metadata, pith_buffer *out);

#endif
