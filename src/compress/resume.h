/* Compressing that was interrupted and goes on. Beside the shards that are whole, the folder of an unfinished package holds a note: what made them
 * (recipe, parent, calibration texts, size of shards) and their hashes. A run that asks the same goes through the same tensors in the same order; those
 * that lie in whole shards are read back instead of encoded, so that calibration goes on from the very weights that were written. */
#ifndef PITH_RESUME_H
#define PITH_RESUME_H

#include "package/writer.h"

typedef struct pith_resume {
  const char *folder;                    /* borrowed; NULL: nothing is resumed, nor noted */
  pith_json *made_by;
  pith_json *shards;                     /* records of those that are there */
  pith_safetensors *indexes;             /* (n_shards) */
  uint32_t n_shards;
  uint32_t noted;                        /* shards that the note knows of */
  int32_t handle;                        /* of the shard that is open, -1: none */
  uint32_t open;
} pith_resume;

/* made_by: becomes the resume's. Reads the note, if there is one: PITH_E_ARGUMENT where it is of another compression, naming what differs. */
pith_status pith_resume_begin(pith_ctx *ctx, pith_resume *r, const char *folder, pith_json *made_by);
/* After a step: writes the note anew when the writer has more shards. */
pith_status pith_resume_note(pith_ctx *ctx, pith_resume *r, const pith_package_writer *writer);
/* NULL: no whole shard has it. */
const pith_tensor_entry *pith_resume_find(const pith_resume *r, const char *name, uint32_t *shard);
/* PITH_E_INTEGRITY where it has another size. */
pith_status pith_resume_read(pith_ctx *ctx, pith_resume *r, const char *name, void *dst, uint64_t n_bytes);
void pith_resume_free(pith_ctx *ctx, pith_resume *r);

#endif
