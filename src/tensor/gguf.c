#include "tensor/gguf.h"

#include <math.h>
#include <string.h>

#include "base/sort.h"

/* ---- a window that moves over the file ---- */

enum { WINDOW_BYTES = 1 << 16 };
typedef struct reader {
  pith_ctx *ctx;
  int32_t handle;
  const char *what;
  uint64_t at, end;            /* of the file */
  uint64_t begin;              /* of the window */
  size_t n_window;
  uint8_t *window;
} reader;

static pith_status reader_open(pith_ctx *ctx, reader *r, int32_t handle, uint64_t at, uint64_t end, const char *what) {
  *r = (reader){ctx, handle, what, at, end, at, 0, NULL};
  return pith_malloc(ctx, WINDOW_BYTES, &r->window);
}

/* What lies ahead must exist: `n` bytes of `part`. */
static pith_status need(const reader *r, uint64_t n, const char *part) {
  if (n <= r->end - r->at) return PITH_OK;
  return pith_fail(r->ctx, PITH_E_FORMAT, "%s ends at byte %llu, within %s at byte %llu: it is truncated", r->what, (unsigned long long)r->end, part,
                   (unsigned long long)r->at);
}

static pith_status take(reader *r, void *dst, uint64_t n_bytes, const char *part) {
  uint8_t *to = dst;
  PITH_TRY(need(r, n_bytes, part));
  while (n_bytes > 0) {
    if (r->at < r->begin || r->at >= r->begin + r->n_window) {
      const uint64_t left = r->end - r->at;
      r->n_window = 0;
      r->begin = r->at;
      const size_t n = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
      PITH_TRY(pith_io_read(r->ctx, r->handle, r->at, r->window, n, r->what));
      r->n_window = n;
    }
    const uint64_t there = r->begin + r->n_window - r->at, n = n_bytes < there ? n_bytes : there;
    memcpy(to, r->window + (r->at - r->begin), (size_t)n);
    to += n;
    r->at += n;
    n_bytes -= n;
  }
  return PITH_OK;
}

static pith_status take_number(reader *r, size_t n_bytes, const char *part, uint64_t *out) {
  uint8_t raw[8] = {0};
  PITH_TRY(take(r, raw, n_bytes, part));
  *out = 0;
  for (size_t i = n_bytes; i-- > 0;) *out = *out << 8 | raw[i];
  return PITH_OK;
}

static pith_status skip(reader *r, uint64_t n_bytes, const char *part) {
  PITH_TRY(need(r, n_bytes, part));
  r->at += n_bytes;
  return PITH_OK;
}

/* A key or a name: length, then that many bytes of printable ASCII. */
static pith_status take_name(reader *r, uint64_t cap, const char *part, uint64_t number, char **out) {
  uint64_t n;
  *out = NULL;
  PITH_TRY(take_number(r, 8, part, &n));
  if (n == 0) return pith_fail(r->ctx, PITH_E_FORMAT, "%s: %s %llu is empty", r->what, part, (unsigned long long)number);
  if (n > cap)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: %s %llu has %llu bytes; at most %llu are read", r->what, part, (unsigned long long)number,
                     (unsigned long long)n, (unsigned long long)cap);
  PITH_TRY(need(r, n, part));
  PITH_TRY(pith_malloc(r->ctx, (size_t)n + 1, out));
  (*out)[n] = '\0';
  PITH_TRY(take(r, *out, n, part));
  for (uint64_t i = 0; i < n; i++)
    if ((*out)[i] <= ' ' || (*out)[i] > '~')
      return pith_fail(r->ctx, PITH_E_FORMAT, "%s: %s %llu holds the byte %d, which no name has", r->what, part, (unsigned long long)number,
                       (int)(uint8_t)(*out)[i]);
  return PITH_OK;
}

/* ---- metadata ---- */

static const struct {
  const char *name;
  uint32_t n_bytes;   /* of a number */
} types[] = {[PITH_GGUF_U8] = {"u8", 1},         [PITH_GGUF_I8] = {"i8", 1},       [PITH_GGUF_U16] = {"u16", 2}, [PITH_GGUF_I16] = {"i16", 2},
             [PITH_GGUF_U32] = {"u32", 4},       [PITH_GGUF_I32] = {"i32", 4},     [PITH_GGUF_F32] = {"f32", 4}, [PITH_GGUF_BOOL] = {"bool", 1},
             [PITH_GGUF_STRING] = {"string", 0}, [PITH_GGUF_ARRAY] = {"array", 0}, [PITH_GGUF_U64] = {"u64", 8}, [PITH_GGUF_I64] = {"i64", 8},
             [PITH_GGUF_F64] = {"f64", 8}};
enum { N_TYPES = sizeof types / sizeof *types };

static pith_status take_type(reader *r, const char *key, const char *of, pith_gguf_type *out) {
  uint64_t type;
  PITH_TRY(take_number(r, 4, "a value's type", &type));
  if (type >= N_TYPES)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: %s \"%s\" have the type %llu, which GGUF does not define", r->what, of, key, (unsigned long long)type);
  *out = (pith_gguf_type)type;
  return PITH_OK;
}

static pith_status take_scalar(reader *r, pith_gguf_value *v) {
  PITH_TRY(take_number(r, types[v->type].n_bytes, "a value", &v->bits));
  if (v->type == PITH_GGUF_BOOL && v->bits > 1)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: \"%s\" is a truth value of %llu; only 0 and 1 are", r->what, v->key, (unsigned long long)v->bits);
  if (v->type == PITH_GGUF_I8) v->bits = (uint64_t)(int64_t)(int8_t)v->bits;
  if (v->type == PITH_GGUF_I16) v->bits = (uint64_t)(int64_t)(int16_t)v->bits;
  if (v->type == PITH_GGUF_I32) v->bits = (uint64_t)(int64_t)(int32_t)v->bits;
  return PITH_OK;
}

static pith_status skip_string(reader *r, uint64_t *n_bytes) {
  PITH_TRY(take_number(r, 8, "a string's length", n_bytes));
  return skip(r, *n_bytes, "a string");
}

/* Elements are walked over, not kept: strings have to be, to find their end. */
static pith_status skip_array(reader *r, pith_gguf_value *v) {
  PITH_TRY(take_type(r, v->key, "elements of", &v->elem));
  PITH_TRY(take_number(r, 8, "an array's length", &v->count));
  v->offset = r->at;
  if (v->elem == PITH_GGUF_ARRAY) return pith_fail(r->ctx, PITH_E_UNSUPPORTED, "%s: \"%s\" is an array of arrays, which Pith does not read", r->what, v->key);
  const uint64_t least = v->elem == PITH_GGUF_STRING ? 8 : types[v->elem].n_bytes;
  if (v->count > (r->end - r->at) / least)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: \"%s\" has %llu elements, more than the file has room for", r->what, v->key, (unsigned long long)v->count);
  if (v->elem != PITH_GGUF_STRING) return skip(r, v->count * least, "an array");
  uint64_t n_bytes;
  for (uint64_t i = 0; i < v->count; i++) PITH_TRY(skip_string(r, &n_bytes));
  return PITH_OK;
}

static pith_status take_value(reader *r, uint64_t number, pith_gguf_value *v) {
  PITH_TRY(take_name(r, PITH_GGUF_MAX_KEY, "key", number, &v->key));
  PITH_TRY(take_type(r, v->key, "values of", &v->type));
  if (v->type == PITH_GGUF_ARRAY) return skip_array(r, v);
  if (v->type != PITH_GGUF_STRING) return take_scalar(r, v);
  PITH_TRY(skip_string(r, &v->count));
  v->offset = r->at - v->count;
  return PITH_OK;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Sorts the pointers, so that a name that stands twice shows; *twice is NULL if none does. */
static void find_twice(const char **names, size_t n, const char **twice) {
  *twice = NULL;
  pith_sort(names, n, sizeof *names, compare_names);
  for (size_t i = 1; i < n && !*twice; i++)
    if (strcmp(names[i - 1], names[i]) == 0) *twice = names[i];
}

static pith_status read_values(reader *r, uint64_t n, pith_gguf *out) {
  const char **keys, *twice;
  PITH_TRY(pith_calloc(r->ctx, (size_t)n, sizeof *out->values, &out->values));
  for (uint64_t i = 0; i < n; i++) PITH_TRY(take_value(r, i, &out->values[out->n_values++]));
  PITH_TRY(pith_malloc(r->ctx, (size_t)n * sizeof *keys, &keys));
  for (size_t i = 0; i < n; i++) keys[i] = out->values[i].key;
  find_twice(keys, (size_t)n, &twice);
  pith_free(r->ctx, keys);
  return twice ? pith_fail(r->ctx, PITH_E_FORMAT, "%s has the key \"%s\" twice", r->what, twice) : PITH_OK;
}

/* ---- tensors ---- */

enum { N_TENSOR_TYPES = 40 };
/* ggml's numbers. Those that are not named here were never used, or were taken back. */
static const struct {
  const char *name;   /* NULL: no such type */
  int dtype;          /* -1: Pith lacks it */
} tensor_types[N_TENSOR_TYPES] = {
    [0] = {"F32", PITH_F32},        [1] = {"F16", PITH_F16},       [2] = {"Q4_0", PITH_Q4_0},  [3] = {"Q4_1", PITH_Q4_1},
    [4] = {"Q4_2", -1},             [5] = {"Q4_3", -1},            [6] = {"Q5_0", PITH_Q5_0},  [7] = {"Q5_1", PITH_Q5_1},
    [8] = {"Q8_0", PITH_Q8_0},      [9] = {"Q8_1", -1},            [10] = {"Q2_K", PITH_Q2_K}, [11] = {"Q3_K", PITH_Q3_K},
    [12] = {"Q4_K", PITH_Q4_K},     [13] = {"Q5_K", PITH_Q5_K},    [14] = {"Q6_K", PITH_Q6_K}, [15] = {"Q8_K", -1},
    [16] = {"IQ2_XXS", -1},         [17] = {"IQ2_XS", -1},         [18] = {"IQ3_XXS", -1},     [19] = {"IQ1_S", -1},
    [20] = {"IQ4_NL", PITH_IQ4_NL}, [21] = {"IQ3_S", -1},          [22] = {"IQ2_S", -1},       [23] = {"IQ4_XS", PITH_IQ4_XS},
    [24] = {"I8", PITH_I8},         [25] = {"I16", PITH_I16},      [26] = {"I32", PITH_I32},   [27] = {"I64", PITH_I64},
    [28] = {"F64", PITH_F64},       [29] = {"IQ1_M", -1},          [30] = {"BF16", PITH_BF16}, [34] = {"TQ1_0", -1},
    [35] = {"TQ2_0", -1},           [39] = {"MXFP4", -1}};

static pith_status take_dims(reader *r, pith_tensor_entry *e, uint64_t *n_elems) {
  uint64_t n;
  PITH_TRY(take_number(r, 4, "a tensor's number of dimensions", &n));
  if (n < 1 || n > PITH_GGUF_MAX_DIMS)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has %llu dimensions; tensors have 1 to %d", r->what, e->name, (unsigned long long)n, PITH_GGUF_MAX_DIMS);
  e->n_dims = (uint32_t)n;
  *n_elems = 1;
  for (uint64_t i = n; i-- > 0;) {   /* the file has the innermost first */
    PITH_TRY(take_number(r, 8, "a tensor's dimensions", &e->dims[i]));
    if (e->dims[i] == 0) return pith_fail(r->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has a dimension of 0", r->what, e->name);
    if (!pith_mul_u64(*n_elems, e->dims[i], n_elems) || *n_elems > INT64_MAX)
      return pith_fail(r->ctx, PITH_E_FORMAT, "%s: the dimensions of tensor \"%s\" overflow 63 bits", r->what, e->name);
  }
  return PITH_OK;
}

static pith_status take_dtype(reader *r, pith_tensor_entry *e) {
  uint64_t type;
  PITH_TRY(take_number(r, 4, "a tensor's type", &type));
  const char *name = type < N_TENSOR_TYPES ? tensor_types[type].name : NULL;
  if (!name) return pith_fail(r->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has the type %llu, which is none of ggml's", r->what, e->name, (unsigned long long)type);
  if (tensor_types[type].dtype < 0)
    return pith_fail(r->ctx, PITH_E_UNSUPPORTED,
                     "%s: tensor \"%s\" has the type %s; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS",
                     r->what, e->name, name);
  e->dtype = (pith_dtype)tensor_types[type].dtype;
  return PITH_OK;
}

/* Offsets stay relative to the data until all are known. */
static pith_status take_tensor(reader *r, uint64_t number, uint64_t alignment, pith_tensor_entry *e) {
  uint64_t n_elems;
  PITH_TRY(take_name(r, PITH_GGUF_MAX_NAME, "tensor name", number, &e->name));
  PITH_TRY(take_dims(r, e, &n_elems));
  PITH_TRY(take_dtype(r, e));
  PITH_TRY(take_number(r, 8, "a tensor's offset", &e->offset));
  const uint64_t block = pith_dtype_elems(e->dtype), row = e->dims[e->n_dims - 1];
  if (row % block != 0)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has rows of %llu elements, no multiple of the %llu in a block of %s", r->what, e->name,
                     (unsigned long long)row, (unsigned long long)block, pith_dtype_name(e->dtype));
  if (!pith_mul_u64(n_elems / block, pith_dtype_bytes(e->dtype), &e->n_bytes) || e->n_bytes > INT64_MAX)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: the bytes of tensor \"%s\" overflow 63 bits", r->what, e->name);
  if (e->offset % alignment != 0)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" begins at byte %llu of the data, which is not aligned to %llu", r->what, e->name,
                     (unsigned long long)e->offset, (unsigned long long)alignment);
  return PITH_OK;
}

static int compare_offsets(const void *a, const void *b) {
  const pith_tensor_entry *x = a, *y = b;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  return strcmp(x->name, y->name);
}

/* Each tensor begins where the one before it ended, but for alignment. What follows the last one is nobody's business. */
static pith_status check_places(reader *r, uint64_t data_start, uint64_t alignment, pith_tensor_index *t) {
  const uint64_t n_data = r->end - data_start;
  pith_sort(t->entries, t->n_entries, sizeof *t->entries, compare_offsets);
  uint64_t end = 0;
  for (size_t i = 0; i < t->n_entries; i++) {
    pith_tensor_entry *e = &t->entries[i];
    if (e->offset > n_data || e->n_bytes > n_data - e->offset)
      return pith_fail(r->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" needs %llu bytes from byte %llu of the data, which has %llu: the file is truncated", r->what,
                       e->name, (unsigned long long)e->n_bytes, (unsigned long long)e->offset, (unsigned long long)n_data);
    if (e->offset < end)
      return pith_fail(r->ctx, PITH_E_FORMAT, "%s: tensors \"%s\" and \"%s\" overlap", r->what, i > 0 ? t->entries[i - 1].name : "?", e->name);
    if (e->offset - end >= alignment)
      return pith_fail(r->ctx, PITH_E_FORMAT, "%s: %llu bytes before tensor \"%s\" belong to none", r->what, (unsigned long long)(e->offset - end), e->name);
    end = e->offset + e->n_bytes;
    e->offset += data_start;
  }
  return PITH_OK;
}

static pith_status read_tensors(reader *r, uint64_t n, uint64_t alignment, pith_gguf *out) {
  const char **names, *twice;
  pith_tensor_index *t = &out->tensors;
  PITH_TRY(pith_calloc(r->ctx, (size_t)n, sizeof *t->entries, &t->entries));
  for (uint64_t i = 0; i < n; i++) PITH_TRY(take_tensor(r, i, alignment, &t->entries[t->n_entries++]));
  PITH_TRY(pith_malloc(r->ctx, (size_t)n * sizeof *names, &names));
  for (size_t i = 0; i < n; i++) names[i] = t->entries[i].name;
  find_twice(names, (size_t)n, &twice);
  pith_free(r->ctx, names);
  if (twice) return pith_fail(r->ctx, PITH_E_FORMAT, "%s has the tensor \"%s\" twice", r->what, twice);
  const uint64_t data_start = (r->at + alignment - 1) / alignment * alignment;   /* at < 2^63, alignment <= 2^20 */
  if (n > 0 && data_start > r->end)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s ends before its tensors' data begins at byte %llu: it is truncated", r->what, (unsigned long long)data_start);
  return n > 0 ? check_places(r, data_start, alignment, t) : PITH_OK;
}

/* ---- the whole header ---- */

static pith_status check_version(pith_ctx *ctx, const char *what, uint64_t version) {
  if (version != 0 && (version & 0xffff) == 0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s is a big-endian GGUF file; only little-endian ones are read", what);
  if (version == 1) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s has GGUF version 1, which is long replaced; versions 2 and 3 are read: convert the model again", what);
  if (version == 2 || version == 3) return PITH_OK;
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s has GGUF version %llu; versions 2 and 3 are read", what, (unsigned long long)version);
}

static pith_status check_count(const reader *r, uint64_t n, uint64_t cap, uint64_t least_bytes, const char *of) {
  if (n > cap) return pith_fail(r->ctx, PITH_E_LIMIT, "%s says that it has %llu %s; at most %llu are read", r->what, (unsigned long long)n, of, (unsigned long long)cap);
  if (n > (r->end - r->at) / least_bytes)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s says that it has %llu %s, more than its %llu bytes have room for", r->what, (unsigned long long)n, of,
                     (unsigned long long)r->end);
  return PITH_OK;
}

static pith_status read_alignment(pith_ctx *ctx, const pith_gguf *gguf, uint64_t *out) {
  const pith_gguf_value *v = pith_gguf_find(gguf, "general.alignment");
  *out = 32;
  if (!v) return PITH_OK;
  if (v->type != PITH_GGUF_U32) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"general.alignment\" should be a u32", gguf->what);
  if (v->bits == 0 || (v->bits & (v->bits - 1)) != 0 || v->bits > 1u << 20)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"general.alignment\" is %llu; it should be a power of two up to 1048576", gguf->what, (unsigned long long)v->bits);
  *out = v->bits;
  return PITH_OK;
}

static pith_status read_header(reader *r, pith_gguf *out) {
  uint8_t magic[4];
  uint64_t version, n_tensors, n_values, alignment;
  if (r->end < 24) return pith_fail(r->ctx, PITH_E_FORMAT, "%s has %llu bytes, too few for a GGUF file", r->what, (unsigned long long)r->end);
  PITH_TRY(take(r, magic, sizeof magic, "the first bytes"));
  if (memcmp(magic, "GGUF", sizeof magic) != 0)
    return pith_fail(r->ctx, PITH_E_FORMAT, "%s is no GGUF file: it begins with the bytes %02x %02x %02x %02x", r->what, magic[0], magic[1], magic[2], magic[3]);
  PITH_TRY(take_number(r, 4, "the version", &version));
  PITH_TRY(check_version(r->ctx, r->what, version));
  PITH_TRY(take_number(r, 8, "the number of tensors", &n_tensors));
  PITH_TRY(take_number(r, 8, "the number of keys", &n_values));
  PITH_TRY(check_count(r, n_values, PITH_GGUF_MAX_VALUES, 8 + 1 + 4 + 1, "keys"));            /* length, key, type, value */
  PITH_TRY(check_count(r, n_tensors, PITH_GGUF_MAX_TENSORS, 8 + 1 + 4 + 8 + 4 + 8, "tensors")); /* length, name, rank, one dimension, type, offset */
  PITH_TRY(read_values(r, n_values, out));
  PITH_TRY(read_alignment(r->ctx, out, &alignment));
  return read_tensors(r, n_tensors, alignment, out);
}

pith_status pith_gguf_read(pith_ctx *ctx, int32_t handle, uint64_t n_file_bytes, const char *what, pith_gguf *out) {
  reader r;
  memset(out, 0, sizeof *out);
  if (n_file_bytes > INT64_MAX) return pith_fail(ctx, PITH_E_FORMAT, "%s cannot be read at any place, and a GGUF file has to be", what);
  PITH_TRY(reader_open(ctx, &r, handle, 0, n_file_bytes, what));
  out->handle = handle;
  out->n_file_bytes = n_file_bytes;
  out->what = what;
  const pith_status status = read_header(&r, out);
  pith_free(ctx, r.window);
  if (status != PITH_OK) pith_gguf_free(ctx, out);
  return status;
}

void pith_gguf_free(pith_ctx *ctx, pith_gguf *gguf) {
  for (size_t i = 0; i < gguf->n_values; i++) pith_free(ctx, gguf->values[i].key);
  pith_free(ctx, gguf->values);
  pith_tensor_index_free(ctx, &gguf->tensors);
  memset(gguf, 0, sizeof *gguf);
}

/* ---- values ---- */

const pith_gguf_value *pith_gguf_find(const pith_gguf *gguf, const char *key) {
  for (size_t i = 0; i < gguf->n_values; i++)
    if (strcmp(gguf->values[i].key, key) == 0) return &gguf->values[i];
  return NULL;
}

static pith_status wrong_type(pith_ctx *ctx, const pith_gguf *gguf, const pith_gguf_value *v, const char *wanted) {
  const bool array = v->type == PITH_GGUF_ARRAY;
  return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be %s, and is %s%s", gguf->what, v->key, wanted, array ? "an array of " : "",
                   types[array ? v->elem : v->type].name);
}

static pith_status missing(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool needed) {
  return needed ? pith_fail(ctx, PITH_E_FORMAT, "%s has no \"%s\", which its architecture needs", gguf->what, key) : PITH_OK;
}

pith_status pith_gguf_integer(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool needed, int64_t low, int64_t high, int64_t *out) {
  const pith_gguf_value *v = pith_gguf_find(gguf, key);
  if (!v) return missing(ctx, gguf, key, needed);
  const bool is_signed = v->type == PITH_GGUF_I8 || v->type == PITH_GGUF_I16 || v->type == PITH_GGUF_I32 || v->type == PITH_GGUF_I64;
  if (!is_signed && v->type != PITH_GGUF_U8 && v->type != PITH_GGUF_U16 && v->type != PITH_GGUF_U32 && v->type != PITH_GGUF_U64)
    return wrong_type(ctx, gguf, v, "a whole number");
  const int64_t value = (int64_t)v->bits;
  if ((!is_signed && v->bits > INT64_MAX) || value < low || value > high)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be from %lld to %lld", gguf->what, key, (long long)low, (long long)high);
  *out = value;
  return PITH_OK;
}

pith_status pith_gguf_number(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool needed, double *out) {
  const pith_gguf_value *v = pith_gguf_find(gguf, key);
  double value;
  if (!v) return missing(ctx, gguf, key, needed);
  if (v->type == PITH_GGUF_F32) {
    const uint32_t bits = (uint32_t)v->bits;
    float single;
    memcpy(&single, &bits, sizeof single);
    value = (double)single;
  } else if (v->type == PITH_GGUF_F64) {
    memcpy(&value, &v->bits, sizeof value);
  } else {
    return wrong_type(ctx, gguf, v, "a number with a point");
  }
  if (!isfinite(value)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" is not finite", gguf->what, key);
  *out = value;
  return PITH_OK;
}

pith_status pith_gguf_bool(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool *out) {
  const pith_gguf_value *v = pith_gguf_find(gguf, key);
  if (!v) return PITH_OK;
  if (v->type != PITH_GGUF_BOOL) return wrong_type(ctx, gguf, v, "a truth value");
  *out = v->bits != 0;
  return PITH_OK;
}

pith_status pith_gguf_text(pith_ctx *ctx, const pith_gguf *gguf, const char *key, bool needed, char **out) {
  const pith_gguf_value *v = pith_gguf_find(gguf, key);
  *out = NULL;
  if (!v) return missing(ctx, gguf, key, needed);
  if (v->type != PITH_GGUF_STRING) return wrong_type(ctx, gguf, v, "a string");
  if (v->count > PITH_GGUF_MAX_TEXT)
    return pith_fail(ctx, PITH_E_LIMIT, "%s: \"%s\" has %llu bytes; at most %d are read", gguf->what, key, (unsigned long long)v->count, PITH_GGUF_MAX_TEXT);
  PITH_TRY(pith_malloc(ctx, (size_t)v->count + 1, out));
  (*out)[v->count] = '\0';
  pith_status status = pith_io_read(ctx, gguf->handle, v->offset, *out, v->count, gguf->what);
  if (status == PITH_OK && memchr(*out, '\0', (size_t)v->count)) status = pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" holds a NUL byte", gguf->what, key);
  if (status == PITH_OK) return PITH_OK;
  pith_free(ctx, *out);
  *out = NULL;
  return status;
}

static pith_status need_array(pith_ctx *ctx, const pith_gguf *gguf, const pith_gguf_value *v, bool right, const char *wanted) {
  if (v->type != PITH_GGUF_ARRAY || !right) return wrong_type(ctx, gguf, v, wanted);
  if (v->count <= PITH_GGUF_MAX_ARRAY) return PITH_OK;
  return pith_fail(ctx, PITH_E_LIMIT, "%s: \"%s\" has %llu elements; at most %d are read", gguf->what, v->key, (unsigned long long)v->count, PITH_GGUF_MAX_ARRAY);
}

static pith_status take_strings(reader *r, const pith_gguf_value *v, pith_gguf_strings *out) {
  PITH_TRY(pith_calloc(r->ctx, (size_t)v->count + 1, sizeof *out->offsets, &out->offsets));
  pith_buffer bytes = {0};
  pith_status status = pith_buffer_append(r->ctx, &bytes, "", 0);
  for (uint64_t i = 0; i < v->count && status == PITH_OK; i++) {
    uint64_t n = 0;
    char chunk[1024];
    status = take_number(r, 8, "a string's length", &n);
    if (status == PITH_OK && n > PITH_GGUF_MAX_ARRAY_BYTES - bytes.n_bytes)
      status = pith_fail(r->ctx, PITH_E_LIMIT, "%s: the strings of \"%s\" have more than %u bytes", r->what, v->key, PITH_GGUF_MAX_ARRAY_BYTES);
    while (status == PITH_OK && n > 0) {
      const uint64_t part = n < sizeof chunk ? n : sizeof chunk;
      status = take(r, chunk, part, "a string");
      if (status == PITH_OK) status = pith_buffer_append(r->ctx, &bytes, chunk, (size_t)part);
      n -= part;
    }
    out->offsets[i + 1] = (uint32_t)bytes.n_bytes;
  }
  out->bytes = bytes.data;
  out->n = (uint32_t)v->count;
  return status;
}

pith_status pith_gguf_read_strings(pith_ctx *ctx, const pith_gguf *gguf, const char *key, pith_gguf_strings *out) {
  const pith_gguf_value *v = pith_gguf_find(gguf, key);
  reader r;
  memset(out, 0, sizeof *out);
  if (!v) return PITH_OK;
  PITH_TRY(need_array(ctx, gguf, v, v->elem == PITH_GGUF_STRING, "an array of strings"));
  PITH_TRY(reader_open(ctx, &r, gguf->handle, v->offset, gguf->n_file_bytes, gguf->what));
  const pith_status status = take_strings(&r, v, out);
  pith_free(ctx, r.window);
  if (status != PITH_OK) pith_gguf_strings_free(ctx, out);
  return status;
}

void pith_gguf_strings_free(pith_ctx *ctx, pith_gguf_strings *strings) {
  pith_free(ctx, strings->bytes);
  pith_free(ctx, strings->offsets);
  memset(strings, 0, sizeof *strings);
}

/* n elements of 4 bytes into `out`; the file's byte order is the host's (base: little endian alone). */
static pith_status read_words(pith_ctx *ctx, const pith_gguf *gguf, const char *key, uint32_t n, bool integers, void *out) {
  const pith_gguf_value *v = pith_gguf_find(gguf, key);
  uint8_t *words;
  memset(out, 0, sizeof(void *));
  if (!v) return PITH_OK;
  const bool right = integers ? v->elem == PITH_GGUF_I32 || v->elem == PITH_GGUF_U32 : v->elem == PITH_GGUF_F32;
  PITH_TRY(need_array(ctx, gguf, v, right, integers ? "an array of 32-bit integers" : "an array of 32-bit floats"));
  if (v->count != n)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" has %llu elements, and there are %u tokens", gguf->what, key, (unsigned long long)v->count, n);
  PITH_TRY(pith_malloc(ctx, (size_t)n * 4, &words));
  const pith_status status = pith_io_read(ctx, gguf->handle, v->offset, words, (uint64_t)n * 4, gguf->what);
  if (status != PITH_OK) pith_free(ctx, words);
  else memcpy(out, &words, sizeof words);
  return status;
}

pith_status pith_gguf_read_floats(pith_ctx *ctx, const pith_gguf *gguf, const char *key, uint32_t n, float **out) {
  return read_words(ctx, gguf, key, n, false, out);
}

pith_status pith_gguf_read_integers(pith_ctx *ctx, const pith_gguf *gguf, const char *key, uint32_t n, int32_t **out) {
  return read_words(ctx, gguf, key, n, true, out);
}
