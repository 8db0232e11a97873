/* A model ready to run: configuration, weights in memory, tokenizer, kernels. From a package or from a checkpoint. */
#ifndef PITH_MODEL_OPEN_H
#define PITH_MODEL_OPEN_H

#include "base/sha256.h"
#include "model/forward.h"
#include "package/manifest.h"
#include "text/tokenizer.h"

typedef struct pith_model {
  pith_config config;
  pith_layer_shape *layers;        /* of a pruned package: config.layers */
  pith_weights weights;
  pith_tokenizer *tokenizer;
  const pith_kernels *kernels;
  bool is_package;
  pith_manifest manifest;          /* packages */
  pith_json *labels;               /* their names, of tasks that have labels */
  uint64_t n_source_bytes;         /* of the files that were read */
} pith_model;

/* What an open model says of itself; NULL only when memory is out. */
pith_json *pith_model_info(const pith_model *model);
void pith_model_close(pith_ctx *ctx, pith_model *model);
/* How many layers the parent of a pruned package had, by the recipe in its manifest; of any other model as many as it has. */
int32_t pith_model_layers_before(const pith_model *model);
/* The model's own number of the parent's layer `before`; -1: it is gone. */
int32_t pith_model_layer_now(const pith_model *model, int32_t before);

/* Opening in steps. Zero-initialise the model first; after a failure close it. */
typedef struct pith_model_loader {
  pith_model *model;
  char *folder;
  /* a checkpoint */
  pith_checkpoint checkpoint;
  pith_checkpoint_loader weights;
  bool reading_checkpoint;
  /* a package: its files are read in order, shards straight into their place. Pieces are hashed as they come or, where the host hashes, while
   * the next are read, and a file is used when all its hashes were found right */
  uint8_t *tokenizer_text;         /* until it is opened */
  uint8_t **shards;
  pith_safetensors *indexes;
  uint32_t n_files, n_read, n_verified;
  int32_t *tickets;                /* of the host's hashes, one a piece of all files */
  uint32_t n_hashed, n_compared;   /* pieces: whose hash was begun, was found right */
  const pith_json *expected;       /* the next hash to compare */
  uint32_t n_left;                 /* pieces of its file, with it */
  int32_t handle;                  /* of the open file, -1 if none */
  uint64_t offset;
  pith_sha256 sha;
  bool waiting;                    /* the last step found no bytes, or no hash */
  double done_bytes, total_bytes;
} pith_model_loader;
/* How the loader reads what is no package. Which there is, if any, is the program's choice (verbs/all.c, verbs/inference.c). */
typedef struct pith_opener {
  pith_status (*begin)(pith_ctx *ctx, pith_model_loader *loader, const char *source);
  pith_status (*step)(pith_ctx *ctx, pith_model_loader *loader);
  void (*free)(pith_ctx *ctx, pith_model_loader *loader);
} pith_opener;
extern const pith_opener *const pith_checkpoint_opener;   /* NULL: only packages are read */
extern const pith_opener pith_opener_checkpoint;          /* open_checkpoint.c */

pith_status pith_model_loader_init(pith_ctx *ctx, pith_model_loader *loader, pith_model *model, const char *folder, const pith_kernels *kernels);
pith_status pith_model_loader_step(pith_ctx *ctx, pith_model_loader *loader);
void pith_model_loader_free(pith_ctx *ctx, pith_model_loader *loader);

/* Reads pith.json at `path`: the model's manifest and configuration. */
pith_status pith_model_read_manifest(pith_ctx *ctx, const char *path, pith_model *model, size_t *n_bytes);
/* A checkpoint's tokenizer, whichever container it is in. */
pith_status pith_model_checkpoint_tokenizer(pith_ctx *ctx, const pith_checkpoint *checkpoint, pith_tokenizer **out);

/* ids of a text as this model wants them: special tokens, the first token, cut at max_tokens when `truncate`. Appends. */
pith_status pith_model_encode(pith_ctx *ctx, const pith_model *model, const char *text, size_t n_bytes, bool special_tokens, bool truncate,
                              pith_ids *out);

/* That the model has the ids from `begin` on. */
pith_status pith_model_check_ids(pith_ctx *ctx, const pith_model *model, const pith_ids *ids, size_t begin);
/* pairs.c: the same of two texts, with special tokens and cut, and their token types. Appends to both. */
pith_status pith_model_encode_pair(pith_ctx *ctx, const pith_model *model, const char *const texts[2], const size_t n_bytes[2], pith_ids *out, pith_ids *types);

/* package.c: where a weight lies in a package. `matrix` has the shape and no parts yet; offsets are in the shard's file, 0 where there are
 * no scales or places. A vector is one part. */
typedef struct pith_package_part {
  uint32_t row_begin, n_rows, shard;
  uint64_t codes, scales, places;
  uint64_t n_stored;               /* sparse: bytes of codes */
} pith_package_part;
typedef struct pith_package_tensor {
  pith_matrix matrix;              /* as it is stored */
  pith_package_part *parts;        /* (matrix.n_parts) */
} pith_package_tensor;
/* The manifest's entry of that name; NULL if there is none. */
const pith_json *pith_package_entry(const pith_manifest *manifest, const char *name);
/* Checks that manifest, the shards' headers and the slot agree. indexes: (n_shards), those of the entry's shards filled. */
pith_status pith_package_find(pith_ctx *ctx, const pith_manifest *manifest, const pith_safetensors *indexes, const pith_slot *slot,
                              pith_package_tensor *out);
void pith_package_tensor_free(pith_ctx *ctx, pith_package_tensor *tensor);
/* PITH_E_FORMAT: the tensor of that name has this fault. */
pith_status pith_package_bad_tensor(pith_ctx *ctx, const char *name, const char *fault);
/* That the bytes of a part (or of some of its panels) are what their encoding allows: codes below 128, finite numbers. A vector: its codes. */
pith_status pith_package_check(pith_ctx *ctx, const pith_slot *slot, const pith_matrix *matrix, const pith_part *part);
/* Binds all of the manifest's tensors to the shards' bytes, which the weights own. A shard that holds packed codes is given back when all of
 * it has been expanded or copied; its pointer then is NULL. */
pith_status pith_package_bind(pith_ctx *ctx, pith_model *model, uint8_t **shards, const pith_safetensors *indexes);
/* Settings that a manifest records beside the parent's config.json, and their reading. */
pith_json *pith_settings_print(const pith_config *config);
pith_status pith_settings_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_model *model);

#endif
