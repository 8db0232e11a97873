#include "tensor/safetensors.h"

#include <stdio.h>
#include <string.h>

#include "base/sort.h"

enum { MAX_NAME = 512 };

pith_status pith_safetensors_header_bytes(pith_ctx *ctx, const uint8_t first8[8], uint64_t file_bytes, const char *what, uint64_t *n_bytes) {
  uint64_t n = 0;
  for (int i = 7; i >= 0; i--) n = n << 8 | first8[i];
  if (n > PITH_SAFETENSORS_MAX_HEADER)
    return pith_fail(ctx, PITH_E_FORMAT, "%s says that its header has %llu bytes, more than the %u allowed: it is no safetensors file", what,
                     (unsigned long long)n, PITH_SAFETENSORS_MAX_HEADER);
  if (file_bytes < 8 || n > file_bytes - 8)
    return pith_fail(ctx, PITH_E_FORMAT, "%s says that its header has %llu bytes, but the file has %llu: it is truncated", what,
                     (unsigned long long)n, (unsigned long long)file_bytes);
  if (n < 2) return pith_fail(ctx, PITH_E_FORMAT, "%s has an empty header", what);
  *n_bytes = n;
  return PITH_OK;
}

/* The exact whole number in a JSON member. */
static bool whole(const pith_json *json, uint64_t *out) {
  int64_t value;
  if (!pith_json_integer(json, 0, (int64_t)1 << 53, &value)) return false;
  *out = (uint64_t)value;
  return true;
}

static pith_status parse_dtype(pith_ctx *ctx, const pith_json *json, const char *name, const char *what, pith_tensor_entry *out) {
  const char *dtype;
  PITH_TRY(pith_json_need_string(ctx, json, "dtype", name, &dtype));
  for (int i = 0; i <= PITH_LAST_PLAIN_DTYPE; i++)
    if (strcmp(pith_dtype_name((pith_dtype)i), dtype) == 0) {
      out->dtype = (pith_dtype)i;
      return PITH_OK;
    }
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: tensor \"%s\" has the dtype \"%.20s\", which Pith does not read", what, name, dtype);
}

/* Fills dtype, dims, offset (still relative to the data) and bytes from one member of the header. */
static pith_status parse_entry(pith_ctx *ctx, const pith_json *json, const char *name, uint64_t data_bytes, const char *what,
                               pith_tensor_entry *out) {
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" is described by no object", what, name);
  PITH_TRY(parse_dtype(ctx, json, name, what, out));
  const pith_json *shape = pith_json_get(json, "shape"), *range = pith_json_get(json, "data_offsets");
  if (!pith_json_is_array(shape)) return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has no \"shape\"", what, name);
  uint64_t n_bytes = pith_dtype_bytes(out->dtype);
  for (const pith_json *dim = pith_json_first(shape); dim; dim = pith_json_next(dim)) {
    if (out->n_dims == PITH_MAX_DIMS)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: tensor \"%s\" has more than %d dimensions", what, name, PITH_MAX_DIMS);
    uint64_t *d = &out->dims[out->n_dims++];
    if (!whole(dim, d)) return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has a dimension that is no whole number", what, name);
    if (!pith_mul_u64(n_bytes, *d, &n_bytes))
      return pith_fail(ctx, PITH_E_FORMAT, "%s: the shape of tensor \"%s\" overflows 64 bits", what, name);
  }
  uint64_t begin, end;
  if (!pith_json_is_array(range) || pith_json_count(range) != 2 || !whole(pith_json_first(range), &begin) ||
      !whole(pith_json_next(pith_json_first(range)), &end))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"data_offsets\" of tensor \"%s\" should be two whole numbers", what, name);
  if (begin > end) return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" ends before it begins", what, name);
  if (end > data_bytes)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" ends at byte %llu of the data, which has %llu: the file is truncated", what, name,
                     (unsigned long long)end, (unsigned long long)data_bytes);
  if (end - begin != n_bytes)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has %llu bytes, but its shape and dtype need %llu", what, name,
                     (unsigned long long)(end - begin), (unsigned long long)n_bytes);
  out->offset = begin;
  out->n_bytes = n_bytes;
  return PITH_OK;
}

static int compare_entries(const void *a, const void *b) {
  const pith_tensor_entry *x = a, *y = b;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;   /* empty tensors before the one that shares their place */
  return strcmp(x->name, y->name);
}

static pith_status copy_text(pith_ctx *ctx, const char *text, char **out) {
  const size_t n = strlen(text) + 1;
  PITH_TRY(pith_malloc(ctx, n, out));
  memcpy(*out, text, n);
  return PITH_OK;
}

static pith_status parse_metadata(pith_ctx *ctx, const pith_json *json, const char *what, pith_safetensors *out) {
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"__metadata__\" should be an object", what);
  PITH_TRY(pith_calloc(ctx, 2 * pith_json_count(json) + 1, sizeof *out->metadata, &out->metadata));
  for (const pith_json *pair = pith_json_first(json); pair; pair = pith_json_next(pair)) {
    const char *value = pith_json_string(pair);
    if (!value) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"__metadata__\" should hold strings alone", what);
    const size_t i = out->n_metadata++;
    PITH_TRY(copy_text(ctx, pith_json_key(pair), &out->metadata[2 * i]));
    PITH_TRY(copy_text(ctx, value, &out->metadata[2 * i + 1]));
  }
  return PITH_OK;
}

static pith_status parse_members(pith_ctx *ctx, const pith_json *json, uint64_t data_bytes, const char *what, pith_safetensors *out) {
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s: the header should be a JSON object", what);
  PITH_TRY(pith_calloc(ctx, pith_json_count(json) + 1, sizeof *out->entries, &out->entries));
  for (const pith_json *member = pith_json_first(json); member; member = pith_json_next(member)) {
    const char *name = pith_json_key(member);
    if (strcmp(name, "__metadata__") == 0) {
      PITH_TRY(parse_metadata(ctx, member, what, out));
      continue;
    }
    if (!*name) return pith_fail(ctx, PITH_E_FORMAT, "%s: a tensor has no name", what);
    if (strlen(name) > MAX_NAME) return pith_fail(ctx, PITH_E_FORMAT, "%s: a tensor's name has more than %d bytes", what, MAX_NAME);
    pith_tensor_entry *entry = &out->entries[out->n_entries++];
    PITH_TRY(copy_text(ctx, name, &entry->name));
    PITH_TRY(parse_entry(ctx, member, name, data_bytes, what, entry));
  }
  return PITH_OK;
}

/* Sorted by offset, each tensor must begin where the one before ended, and the last must end where the file does. */
static pith_status check_ranges(pith_ctx *ctx, uint64_t data_bytes, const char *what, pith_safetensors *out) {
  pith_sort(out->entries, out->n_entries, sizeof *out->entries, compare_entries);
  uint64_t at = 0;
  for (size_t i = 0; i < out->n_entries; i++) {
    pith_tensor_entry *entry = &out->entries[i];
    if (entry->offset < at) {
      const char *before = i > 0 ? out->entries[i - 1].name : "?";
      return pith_fail(ctx, PITH_E_FORMAT, "%s: tensors \"%s\" and \"%s\" overlap", what, before, entry->name);
    }
    if (entry->offset > at)
      return pith_fail(ctx, PITH_E_FORMAT, "%s: %llu bytes before tensor \"%s\" belong to none", what, (unsigned long long)(entry->offset - at),
                       entry->name);
    at += entry->n_bytes;
    entry->offset += out->data_start;
  }
  if (at != data_bytes)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: %llu bytes after the last tensor belong to none", what, (unsigned long long)(data_bytes - at));
  return PITH_OK;
}

pith_status pith_safetensors_parse(pith_ctx *ctx, const char *header, uint64_t header_bytes, uint64_t file_bytes, const char *what,
                                   pith_safetensors *out) {
  memset(out, 0, sizeof *out);
  if (file_bytes < 8 || header_bytes > file_bytes - 8) return pith_fail(ctx, PITH_E_FORMAT, "%s is shorter than its header", what);
  pith_json *json;
  PITH_TRY(pith_json_parse(ctx, header, (size_t)header_bytes, what, &json));
  out->data_start = 8 + header_bytes;
  const uint64_t data_bytes = file_bytes - out->data_start;
  pith_status status = parse_members(ctx, json, data_bytes, what, out);
  pith_json_free(json);
  if (status == PITH_OK) status = check_ranges(ctx, data_bytes, what, out);
  if (status != PITH_OK) pith_safetensors_free(ctx, out);
  return status;
}

pith_status pith_safetensors_read(pith_ctx *ctx, int32_t handle, uint64_t file_bytes, const char *what, pith_safetensors *out) {
  uint8_t first8[8];
  uint64_t n_bytes;
  char *header;
  memset(out, 0, sizeof *out);
  PITH_TRY(pith_io_read(ctx, handle, 0, first8, sizeof first8, what));
  PITH_TRY(pith_safetensors_header_bytes(ctx, first8, file_bytes, what, &n_bytes));
  PITH_TRY(pith_malloc(ctx, (size_t)n_bytes, &header));
  pith_status status = pith_io_read(ctx, handle, 8, header, n_bytes, what);
  if (status == PITH_OK) status = pith_safetensors_parse(ctx, header, n_bytes, file_bytes, what, out);
  pith_free(ctx, header);
  return status;
}

void pith_safetensors_free(pith_ctx *ctx, pith_safetensors *index) {
  for (size_t i = 0; i < index->n_entries; i++) pith_free(ctx, index->entries[i].name);
  for (size_t i = 0; i < 2 * index->n_metadata; i++) pith_free(ctx, index->metadata[i]);
  pith_free(ctx, index->entries);
  pith_free(ctx, index->metadata);
  memset(index, 0, sizeof *index);
}

const pith_tensor_entry *pith_safetensors_find(const pith_safetensors *index, const char *name) {
  for (size_t i = 0; i < index->n_entries; i++)
    if (strcmp(index->entries[i].name, name) == 0) return &index->entries[i];
  return NULL;
}

static void add_entry(pith_json *header, const pith_tensor_entry *entry, uint64_t *at) {
  pith_json *item = pith_json_new_object(), *shape = pith_json_new_array(), *range = pith_json_new_array();
  pith_json_add_string(item, "dtype", pith_dtype_name(entry->dtype));
  for (uint32_t d = 0; d < entry->n_dims; d++) pith_json_add_number(shape, NULL, (double)entry->dims[d]);
  pith_json_add(item, "shape", shape);
  pith_json_add_number(range, NULL, (double)*at);
  *at += entry->n_bytes;
  pith_json_add_number(range, NULL, (double)*at);
  pith_json_add(item, "data_offsets", range);
  pith_json_add(header, entry->name, item);
}

pith_status pith_safetensors_print(pith_ctx *ctx, const pith_tensor_entry *entries, size_t n_entries, const char *const *metadata,
                                   size_t n_metadata, pith_buffer *out) {
  pith_json *header = pith_json_new_object();
  if (n_metadata) {
    pith_json *pairs = pith_json_new_object();
    for (size_t i = 0; i < n_metadata; i++) pith_json_add_string(pairs, metadata[2 * i], metadata[2 * i + 1]);
    pith_json_add(header, "__metadata__", pairs);
  }
  uint64_t at = 0;
  for (size_t i = 0; i < n_entries; i++) add_entry(header, &entries[i], &at);
  const size_t start = out->n_bytes;
  static const char zeros[8];
  pith_status status = pith_buffer_append(ctx, out, zeros, sizeof zeros);
  if (status == PITH_OK) status = pith_json_print(ctx, header, false, out);
  pith_json_free(header);
  while (status == PITH_OK && (out->n_bytes - start) % PITH_ALIGN != 0) status = pith_buffer_append(ctx, out, " ", 1);
  if (status != PITH_OK) return status;
  const uint64_t n_bytes = out->n_bytes - start - 8;
  for (int i = 0; i < 8; i++) out->data[start + (size_t)i] = (char)(n_bytes >> 8 * i & 255);
  return PITH_OK;
}
