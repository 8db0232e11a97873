/* Checkpoint and recipe in, package out, in short steps: hash, quantise, write, measure, publish. Memory stays near the largest of a shard
 * and a layer: tensors are quantised by ranges of rows, and both models are measured stage by stage from their files. */
#ifndef PITH_COMPRESS_H
#define PITH_COMPRESS_H

#include "compress/migrate.h"
#include "compress/resume.h"
#include "compress/sparsity.h"
#include "eval/evaluate.h"
#include "package/writer.h"

typedef struct pith_compression_options {
  const char *source, *output;       /* borrowed */
  const pith_json *recipe;           /* borrowed */
  uint64_t shard_bytes;
  bool force;
  bool resume;                       /* goes on from what an interrupted run left, and leaves what it made when it is interrupted itself (resume.h) */
  const pith_texts *texts;           /* for the measured quality; NULL: the default set */
  const char *texts_name;            /* what the manifest calls them */
  const pith_texts *calibration;     /* whose inputs rounding minds; NULL: data-free */
  uint64_t max_bytes;                /* of all files: PITH_E_LIMIT, and nothing is published, where they would be more. 0: no bound */
  const pith_kernels *kernels;       /* for measuring and calibrating */
} pith_compression_options;

/* One tensor on its way into the package, a few panels a step, part by part. Panels are encoded on all threads. */
typedef struct pith_tensor_encoder {
  const pith_slot *slot;             /* the package's; NULL: none is open */
  const float *edited;               /* (rows, cols), borrowed: what is read in the checkpoint's place; or NULL */
  const pith_checkpoint_file *file;
  pith_tensor_entry entry;
  pith_matrix matrix;                /* shape and encoding, no parts; a vector: f32. Sparse and packed: u7, until a part is whole */
  pith_encoding stored;              /* the package's */
  bool scanning;                     /* still looking for the largest weight */
  float absmax;
  uint64_t row;                      /* of the tensor */
  uint32_t part_begin, part_rows, part;
  uint32_t n_parts;
  uint8_t *q4_codes;                 /* (batch, cols): 4-bit codes taken over as they are, or NULL */
  uint16_t *q4_scales, *q4_mins;     /* (batch, cols / 32) */
  float *rows;                       /* (batch_rows, cols) as they lie in the file */
  uint32_t batch_rows;               /* whole panels */
  uint8_t *codes, *scales, *places;  /* of the part */
  pith_dropping *dropping;           /* (threads), where weights go; else NULL */
  uint64_t n_code_bytes, n_scale_bytes;
  pith_calibration *calibration;     /* a matrix of a layer, where there is one: learns what becomes of it */
  bool rounded;                      /* as the calibration's inputs ask for */
  pith_json *parts;
} pith_tensor_encoder;

typedef enum pith_compression_phase {
  PITH_COMPRESS_HASH, PITH_COMPRESS_QUANTIZE, PITH_COMPRESS_MEASURE, PITH_COMPRESS_DONE
} pith_compression_phase;

typedef struct pith_compression {
  pith_compression_options options;
  pith_recipe recipe;
  pith_checkpoint checkpoint;
  pith_package_writer writer;
  pith_compression_phase phase;
  double done, total;                /* of the phase */
  double pace;                       /* weights that progress counts for a weight that is calibrated */
  /* hashing */
  size_t file;
  uint64_t offset;
  pith_sha256 sha;
  uint8_t *chunk;
  pith_json *parent_files;
  /* quantising */
  pith_slot slots[PITH_MAX_SLOTS];
  uint32_t n_slots, slot;
  int32_t stage;
  pith_json *tensors;
  pith_tensor_encoder encoder;
  pith_resume resume;
  bool taken;                        /* the tensor at hand lies in a whole shard */
  bool layer_taken;                  /* all of the layer at hand do: of a model that is pruned */
  uint64_t n_parameters;
  bool solves;                       /* weights, so that more texts pay (pith_recipe_check) */
  pith_pruning pruning;              /* its configuration is the package's */
  pith_migration migration;
  pith_calibration calibration;
  pith_json *calibration_json;
  uint64_t excess;                   /* bytes over max_bytes, which ended it */
  /* measuring */
  pith_json *tokenizer;              /* its record */
  pith_model parent, package;        /* configurations, and the parent's tokenizer: their weights stay where they are */
  pith_source parent_source, package_source;
  pith_texts default_texts;
  pith_evaluation evaluation;
  pith_json *quality;
} pith_compression;

/* encode.c: opening a slot's tensor, which the checkpoint has as `from` unless it was edited (edit: NULL, or without values: it was not), one step of it
 * (PITH_OK: all of it is in the writer), its manifest entry. rule: not for vectors. Without a writer it stays here: in one part where it was opened
 * with shards without bound. */
pith_status pith_tensor_encoder_open(pith_ctx *ctx, pith_tensor_encoder *t, const pith_checkpoint *checkpoint, const pith_slot *slot, const pith_slot *from,
                                     const pith_edit *edit, const pith_recipe_rule *rule, pith_calibration *calibration, uint64_t shard_bytes);
/* Every part of it lies in whole shards. */
bool pith_tensor_encoder_kept(const pith_tensor_encoder *t, const pith_resume *resume);
/* In the place of a step: the next part from there. */
pith_status pith_tensor_encoder_take(pith_ctx *ctx, pith_tensor_encoder *t, pith_resume *resume, pith_package_writer *writer);
/* Whether the tensor's codes are chosen here: floats have none, and those of a GGUF file may be taken over. Arguments as above. */
bool pith_tensor_encoder_rounds(const pith_checkpoint *checkpoint, const pith_slot *from, const pith_edit *edit, const pith_recipe_rule *rule);
pith_status pith_tensor_encoder_step(pith_ctx *ctx, pith_tensor_encoder *t, pith_package_writer *writer);
/* What stayed, as products and look-ups read it; its memory is the encoder's. */
pith_matrix pith_tensor_encoder_matrix(const pith_tensor_encoder *t, pith_part *part);
pith_json *pith_tensor_encoder_entry(pith_tensor_encoder *t);
void pith_tensor_encoder_free(pith_ctx *ctx, pith_tensor_encoder *t);

/* Zero-initialise first. */
pith_status pith_compression_begin(pith_ctx *ctx, pith_compression *c, const pith_compression_options *options);
pith_status pith_compression_step(pith_ctx *ctx, pith_compression *c);
/* After PITH_OK: "bytes", "ratio", "shards", "quality". */
void pith_compression_report(const pith_compression *c, pith_json *out);
/* Also cancels: nothing stays of what was not published, unless it is to be resumed. */
void pith_compression_free(pith_ctx *ctx, pith_compression *c);

#endif
