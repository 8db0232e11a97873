/* Where a model's weights lie, read a weight at a time and a range of rows at a time: in a checkpoint's files, in a package's shards, or in
 * the memory of a model that was loaded whole. What is read has the form that loading whole gives it, or for u7-block that of u7, so that the
 * forward pass computes the same bits from any of the three. */
#ifndef PITH_SOURCE_H
#define PITH_SOURCE_H

#include "model/open.h"

typedef struct pith_source {
  const pith_model *model;               /* its configuration and kernels; also its weights where it is whole */
  const pith_checkpoint *checkpoint;     /* NULL: another source */
  /* a package */
  char *folder;                          /* NULL: another source */
  pith_safetensors *indexes;             /* of the shards that were needed so far */
  int32_t handle;                        /* of the shard that is open, -1 if none */
  uint32_t shard;
} pith_source;

/* Both borrow: model and checkpoint must live on. */
pith_source pith_source_whole(const pith_model *model);
pith_source pith_source_checkpoint(const pith_model *model, const pith_checkpoint *checkpoint);
/* A package on its own disk, its manifest read (pith_model_read_manifest). Shards are not hashed here: this is for one that was just
 * written; the loader is for those that come from elsewhere. */
pith_status pith_source_package(pith_ctx *ctx, pith_source *source, const pith_model *model, const char *folder);
void pith_source_close(pith_ctx *ctx, pith_source *source);

/* One weight, open for reading. Zero-initialise first; close accepts one that failed to open. */
typedef struct pith_weight_reader {
  pith_source *source;                   /* NULL: not open */
  pith_slot slot;
  pith_matrix matrix;                    /* its shape and encoding, no parts. A vector: f32, one row. Sparse ones are read as u7 */
  const pith_checkpoint_file *file;
  pith_tensor_entry entry;
  pith_package_tensor package;
  const pith_weight *whole;
  uint8_t *places;                       /* of a package's sparse part at hand, or NULL */
  uint32_t part;
  float *chunk;                          /* (chunk_rows, cols): rows as they lie in a checkpoint */
  uint32_t chunk_rows;
} pith_weight_reader;
/* id: pith_weight_id of the stage, which the family must have there. */
pith_status pith_weight_reader_open(pith_ctx *ctx, pith_weight_reader *reader, pith_source *source, int32_t stage, uint32_t id);
void pith_weight_reader_close(pith_ctx *ctx, pith_weight_reader *reader);
/* Rows [row, row + n), row a multiple of 8, as one part: pith_matrix_code_bytes and _scale_bytes of n rows. A vector is read whole. */
pith_status pith_weight_reader_read(pith_ctx *ctx, pith_weight_reader *reader, uint32_t row, uint32_t n, void *codes, void *scales);
/* Rows whose codes take about so many bytes; a multiple of 8, at least 8. */
uint32_t pith_weight_reader_rows_of(const pith_weight_reader *reader, uint64_t n_bytes);

/* A stage into weights of one layer (before, the layer, after), in steps of about a megabyte. */
typedef struct pith_stage_reader {
  pith_source *source;
  int32_t stage;
  pith_weights *into;
  const uint32_t *limits;                /* by pith_weight_id: at most so many rows of a matrix, 0: it is left out. NULL: all */
  pith_slot slots[PITH_MAX_SLOTS];
  uint32_t n_slots, slot;
  pith_weight_reader reader;             /* of the slot at hand */
  uint32_t row, n_rows;
  uint8_t *codes, *scales;
} pith_stage_reader;
/* `into` is emptied first; both it and limits must live on. Zero-initialise the reader first. */
pith_status pith_stage_reader_begin(pith_ctx *ctx, pith_stage_reader *reader, pith_source *source, int32_t stage, const uint32_t *limits,
                                    pith_weights *into);
pith_status pith_stage_reader_step(pith_ctx *ctx, pith_stage_reader *reader);
void pith_stage_reader_close(pith_ctx *ctx, pith_stage_reader *reader);

#endif
