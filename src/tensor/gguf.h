/* GGUF, versions 2 and 3, little endian: the container of llama.cpp's models. The reader trusts nothing and keeps little: scalars of the
 * metadata, and where strings, arrays and tensors lie. */
#ifndef PITH_GGUF_H
#define PITH_GGUF_H

#include "tensor/tensor.h"

typedef enum pith_gguf_type {   /* numbers of the format */
  PITH_GGUF_U8, PITH_GGUF_I8, PITH_GGUF_U16, PITH_GGUF_I16, PITH_GGUF_U32, PITH_GGUF_I32, PITH_GGUF_F32, PITH_GGUF_BOOL, PITH_GGUF_STRING,
  PITH_GGUF_ARRAY, PITH_GGUF_U64, PITH_GGUF_I64, PITH_GGUF_F64
} pith_gguf_type;

typedef struct pith_gguf_value {
  char *key;                  /* owned */
  pith_gguf_type type, elem;  /* elem: of an array's elements */
  uint64_t count;             /* bytes of a string, elements of an array */
  uint64_t offset;            /* of a string's or an array's data in the file */
  uint64_t bits;              /* a number as it is stored, signed ones extended to 64 bits */
} pith_gguf_value;

typedef struct pith_gguf {
  int32_t handle;             /* borrowed; reads of strings and arrays go through it */
  uint64_t n_file_bytes;
  const char *what;           /* names the file in messages; borrowed */
  pith_gguf_value *values;
  size_t n_values;
  pith_tensor_index tensors;  /* in order of offset, by GGUF's names; dims reversed: outermost first */
} pith_gguf;

enum {
  PITH_GGUF_MAX_VALUES = 1 << 16, PITH_GGUF_MAX_TENSORS = 1 << 16, PITH_GGUF_MAX_KEY = 255, PITH_GGUF_MAX_NAME = 127, PITH_GGUF_MAX_DIMS = 4,
  PITH_GGUF_MAX_TEXT = 4096, PITH_GGUF_MAX_ARRAY = 1 << 24
};
#define PITH_GGUF_MAX_ARRAY_BYTES (256u << 20)

/* Reads and checks the header of an open file: magic, version, counts, keys and names (printable ASCII, each once), types, alignment (a
 * power of two), sizes without overflow, rows of whole blocks, data inside the file, aligned, in one piece, without overlap. A type of
 * tensor that Pith lacks is PITH_E_UNSUPPORTED, anything wrong PITH_E_FORMAT; each has its own message that says what and where.
 * Zeroed on failure. */
pith_status pith_gguf_read(pith_ctx *ctx, int32_t handle, uint64_t n_file_bytes, const char *what, pith_gguf *out);
void pith_gguf_free(pith_ctx *ctx, pith_gguf *gguf);

const pith_gguf_value *pith_gguf_find(const pith_gguf *gguf, const char *key);   /* NULL: there is none */
/* Scalars. `needed`: a missing key is PITH_E_FORMAT; else *out keeps what it holds. Another type or range is PITH_E_FORMAT. */
pith_status pith_gguf_integer(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool needed, int64_t low, int64_t high, int64_t *out);
pith_status pith_gguf_number(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool needed, double *out);   /* finite */
pith_status pith_gguf_bool(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool *out);
/* A string of at most PITH_GGUF_MAX_TEXT bytes without NUL; *out stays NULL when the key is missing and not needed. The caller frees. */
pith_status pith_gguf_text(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool needed, char **out);

/* Arrays. A missing key leaves n = 0 and NULLs. */
typedef struct pith_gguf_strings {
  char *bytes;
  uint32_t *offsets;          /* (n + 1): string i is [offsets[i], offsets[i + 1]) */
  uint32_t n;
} pith_gguf_strings;
pith_status pith_gguf_read_strings(pith_ctx *ctx, const pith_gguf *gguf, const char *key, pith_gguf_strings *out);
void pith_gguf_strings_free(pith_ctx *ctx, pith_gguf_strings *strings);
/* n numbers of an array of 32-bit floats, or of 32-bit integers. */
pith_status pith_gguf_read_floats(pith_ctx *ctx, const pith_gguf *gguf, const char *key, uint32_t n, float **out);
pith_status pith_gguf_read_integers(pith_ctx *ctx, const pith_gguf *gguf, const char *key, uint32_t n, int32_t **out);

#endif
