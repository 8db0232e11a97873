/* A checkpoint in one of two containers:
 *  - the Hub's layout: a folder with config.json, model.safetensors (or its index and shards), tokenizer.json and, for sentence-transformers,
 *    modules.json with its pooling and limit;
 *  - a GGUF file, given itself or as the only one of a folder without config.json; its names, metadata and tokenizer are read as the Hub has
 *    them (from_gguf.h).
 * Tensors are read by ranges. */
#ifndef PITH_CHECKPOINT_H
#define PITH_CHECKPOINT_H

#include "model/model.h"
#include "tensor/gguf.h"

typedef struct pith_checkpoint_file {
  char *name;                 /* "model.safetensors" */
  int32_t handle;
  uint64_t n_bytes;
  pith_tensor_index index;    /* by the Hub's names */
} pith_checkpoint_file;

typedef struct pith_checkpoint {
  char *folder;               /* of the Hub's layout */
  pith_config config;
  pith_json *config_json;     /* kept for the package's manifest; what config.json would say where there is none */
  pith_checkpoint_file *files;
  size_t n_files;
  pith_gguf gguf;             /* of a GGUF file: metadata; no values otherwise */
  char *gguf_path;            /* NULL: the Hub's layout */
} pith_checkpoint;

/* Zero-initialise first; close accepts a half-open one. Errors name the file. The tokenizer is not read here. */
pith_status pith_checkpoint_open(pith_ctx *ctx, const char *source, pith_checkpoint *out);
void pith_checkpoint_close(pith_ctx *ctx, pith_checkpoint *checkpoint);

/* Appends the text of tokenizer.json: the file's, or what a GGUF file's metadata stand for. */
pith_status pith_checkpoint_tokenizer(pith_ctx *ctx, const pith_checkpoint *checkpoint, pith_buffer *out);

/* The tensor of that name under any of the family's prefixes; false if there is none. */
bool pith_checkpoint_find(const pith_checkpoint *checkpoint, const char *name, const pith_checkpoint_file **file,
                          const pith_tensor_entry **entry);
/* The slot's tensor: by its name, or, for a tied embedding, by the head's. */
bool pith_checkpoint_slot(const pith_checkpoint *checkpoint, const pith_slot *slot, const pith_checkpoint_file **file,
                          const pith_tensor_entry **entry);
/* Finds the slot's tensor and checks its shape: PITH_E_NOT_FOUND, PITH_E_FORMAT or PITH_E_UNSUPPORTED (dtype) naming it. *entry becomes the
 * weight as the slot views the tensor; its name is the index's. */
pith_status pith_checkpoint_need(pith_ctx *ctx, const pith_checkpoint *checkpoint, const pith_slot *slot,
                                 const pith_checkpoint_file **file, pith_tensor_entry *entry);
/* Reads `n` elements from element `first` on as floats, in the Hub's order; of quantised tensors the blocks that are touched are read and
 * decoded. dst: (n). Non-finite values: PITH_E_FORMAT. */
pith_status pith_checkpoint_read(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first, size_t n,
                                 float *dst);
/* Rows [row, row + n) of a matrix as panels [ceil(n / 8)][cols][8], zero beyond the last row. chunk: (n, cols) */
pith_status pith_checkpoint_panels(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t row, size_t n,
                                   float *chunk, float *dst);

/* Rows of a Q4_0 or Q4_1 matrix as they are quantised, in the Hub's order: value = code * scale + min over groups of 32 columns, exactly
 * what pith_checkpoint_read gives. Q4_0, which has a zero point of 8, gets min = -8 * scale, exact in f16.
 *   codes (n_rows, cols) 0…15; scales, mins (n_rows, cols / 32) f16, finite
 * Any other type of tensor is PITH_E_UNSUPPORTED. */
pith_status pith_checkpoint_read_q4(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first_row, size_t n_rows,
                                    uint8_t *codes, uint16_t *scales, uint16_t *mins);

#endif
