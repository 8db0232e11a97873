#include "tensor/tensor.h"

#include <string.h>

static const struct {
  const char *name;
  size_t n_elems, n_bytes;
} dtypes[] = {
    [PITH_F32] = {"F32", 1, 4},     [PITH_F16] = {"F16", 1, 2},     [PITH_BF16] = {"BF16", 1, 2},     [PITH_F64] = {"F64", 1, 8},
    [PITH_I64] = {"I64", 1, 8},     [PITH_I32] = {"I32", 1, 4},     [PITH_I16] = {"I16", 1, 2},       [PITH_I8] = {"I8", 1, 1},
    [PITH_U8] = {"U8", 1, 1},       [PITH_BOOL] = {"BOOL", 1, 1},   [PITH_Q4_0] = {"Q4_0", 32, 18},   [PITH_Q4_1] = {"Q4_1", 32, 20},
    [PITH_Q5_0] = {"Q5_0", 32, 22}, [PITH_Q5_1] = {"Q5_1", 32, 24}, [PITH_Q8_0] = {"Q8_0", 32, 34},   [PITH_Q2_K] = {"Q2_K", 256, 84},
    [PITH_Q3_K] = {"Q3_K", 256, 110}, [PITH_Q4_K] = {"Q4_K", 256, 144}, [PITH_Q5_K] = {"Q5_K", 256, 176}, [PITH_Q6_K] = {"Q6_K", 256, 210},
    [PITH_IQ4_NL] = {"IQ4_NL", 32, 18}, [PITH_IQ4_XS] = {"IQ4_XS", 256, 136}};

const char *pith_dtype_name(pith_dtype dtype) { return dtypes[dtype].name; }
size_t pith_dtype_elems(pith_dtype dtype) { return dtypes[dtype].n_elems; }
size_t pith_dtype_bytes(pith_dtype dtype) { return dtypes[dtype].n_bytes; }
bool pith_dtype_is_weight(pith_dtype dtype) {
  return dtype == PITH_F32 || dtype == PITH_F16 || dtype == PITH_BF16 || dtype > PITH_LAST_PLAIN_DTYPE;
}

uint64_t pith_tensor_elems(const pith_tensor_entry *entry) {
  return entry->n_bytes / pith_dtype_bytes(entry->dtype) * pith_dtype_elems(entry->dtype);
}

void pith_tensor_index_free(pith_ctx *ctx, pith_tensor_index *index) {
  for (size_t i = 0; i < index->n_entries; i++) pith_free(ctx, index->entries[i].name);
  pith_free(ctx, index->entries);
  memset(index, 0, sizeof *index);
}

const pith_tensor_entry *pith_tensor_index_find(const pith_tensor_index *index, const char *name) {
  for (size_t i = 0; i < index->n_entries; i++)
    if (strcmp(index->entries[i].name, name) == 0) return &index->entries[i];
  return NULL;
}
