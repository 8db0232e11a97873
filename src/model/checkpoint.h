/* A checkpoint in the Hub's layout: a folder with config.json, model.safetensors (or its index and shards), tokenizer.json
 * and, for sentence-transformers, modules.json with its pooling and limit. Tensors are read by ranges. */
#ifndef PITH_CHECKPOINT_H
#define PITH_CHECKPOINT_H

#include "model/model.h"

typedef struct pith_checkpoint_file {
  char *name;                 /* "model.safetensors" */
  int32_t handle;
  uint64_t n_bytes;
  pith_safetensors index;
} pith_checkpoint_file;

typedef struct pith_checkpoint {
  char *folder;
  pith_config config;
  pith_json *config_json;     /* kept for the package's manifest */
  pith_checkpoint_file *files;
  size_t n_files;
} pith_checkpoint;

/* Zero-initialise first; close accepts a half-open one. Errors name the file. The tokenizer is not read here. */
pith_status pith_checkpoint_open(pith_ctx *ctx, const char *folder, pith_checkpoint *out);
void pith_checkpoint_close(pith_ctx *ctx, pith_checkpoint *checkpoint);

/* The tensor of that name under any of the family's prefixes; false if there is none. */
bool pith_checkpoint_find(const pith_checkpoint *checkpoint, const char *name, const pith_checkpoint_file **file,
                          const pith_tensor_entry **entry);
/* The slot's tensor: by its name, or, for a tied embedding, by the head's. */
bool pith_checkpoint_slot(const pith_checkpoint *checkpoint, const pith_slot *slot, const pith_checkpoint_file **file,
                          const pith_tensor_entry **entry);
/* Finds the slot's tensor and checks its shape: PITH_E_NOT_FOUND, PITH_E_FORMAT or PITH_E_UNSUPPORTED (dtype) naming it. */
pith_status pith_checkpoint_need(pith_ctx *ctx, const pith_checkpoint *checkpoint, const pith_slot *slot,
                                 const pith_checkpoint_file **file, const pith_tensor_entry **entry);
/* Reads `n` elements from element `first` on as floats (F32, F16, BF16). dst: (n). Non-finite values: PITH_E_FORMAT. */
pith_status pith_checkpoint_read(pith_ctx *ctx, const pith_checkpoint_file *file, const pith_tensor_entry *entry, uint64_t first, size_t n,
                                 float *dst);

#endif
