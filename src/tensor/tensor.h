/* What all containers of tensors share: the types of elements, single or in blocks, and where a tensor's bytes lie in its file. */
#ifndef PITH_TENSOR_H
#define PITH_TENSOR_H

#include "base/base.h"

typedef enum pith_dtype {
  PITH_F32, PITH_F16, PITH_BF16, PITH_F64, PITH_I64, PITH_I32, PITH_I16, PITH_I8, PITH_U8, PITH_BOOL,
  /* quantised blocks, as ggml stores them (docs/GGUF.md) */
  PITH_Q4_0, PITH_Q4_1, PITH_Q5_0, PITH_Q5_1, PITH_Q8_0, PITH_Q2_K, PITH_Q3_K, PITH_Q4_K, PITH_Q5_K, PITH_Q6_K, PITH_IQ4_NL, PITH_IQ4_XS
} pith_dtype;
#define PITH_LAST_PLAIN_DTYPE PITH_BOOL

const char *pith_dtype_name(pith_dtype dtype);       /* safetensors' own spelling; ggml's for blocks */
size_t pith_dtype_elems(pith_dtype dtype);           /* elements in a block; 1 for the plain types */
size_t pith_dtype_bytes(pith_dtype dtype);           /* of an element, or of a block */
bool pith_dtype_is_weight(pith_dtype dtype);         /* pith_dtype_decode reads it */
enum { PITH_MAX_BLOCK_ELEMS = 256, PITH_MAX_BLOCK_BYTES = 210 };

/* n blocks (or elements) as floats, exactly as ggml defines them: products and sums rounded to f32 one by one, none contracted.
 * F32, F16, BF16 and the blocks. src: n * dtype_bytes, any alignment; dst: n * dtype_elems. */
void pith_dtype_decode(pith_dtype dtype, const uint8_t *src, size_t n, float *dst);

/* A weight within a tensor that is stored otherwise than it is read. Zero: it is the tensor itself. */
typedef struct pith_view {
  uint32_t n_fused, part, run;      /* n_fused > 0 weights in one tensor, taking turns run by run of so many rows; it is the part-th of them */
  bool transposed;                  /* stored as (inputs, outputs) */
} pith_view;

#define PITH_MAX_DIMS 8
typedef struct pith_tensor_entry {
  char *name;                       /* owned by the index */
  pith_dtype dtype;
  uint32_t n_dims;
  uint64_t dims[PITH_MAX_DIMS];     /* outermost first */
  uint64_t offset;                  /* of the data, from the start of the file */
  uint64_t n_bytes;
  uint32_t interleaved;             /* n > 0: within each run of n rows, they are stored in the order 0, n/2, 1, n/2 + 1, … */
  pith_view view;                   /* dims and n_bytes are then the weight's alone */
} pith_tensor_entry;
uint64_t pith_tensor_elems(const pith_tensor_entry *entry);

typedef struct pith_tensor_index {
  pith_tensor_entry *entries;
  size_t n_entries;
} pith_tensor_index;
void pith_tensor_index_free(pith_ctx *ctx, pith_tensor_index *index);
const pith_tensor_entry *pith_tensor_index_find(const pith_tensor_index *index, const char *name);   /* NULL: there is none */

#endif
