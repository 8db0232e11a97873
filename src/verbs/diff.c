/* Two models tensor by tensor: how each is stored, and how far the values of one are from the other's. Both are read in ranges of rows, so
 * that memory holds two of these. A package's pieces are not hashed: each range is checked for what its encoding allows. */
#include <math.h>
#include <string.h>

#include "model/source.h"
#include "verbs/verbs.h"

enum { CHUNK_BYTES = 1 << 18 };

/* One of the two, and its tensor at hand. */
typedef struct side {
  pith_model model;           /* of a package: its manifest; of both: the configuration */
  pith_checkpoint checkpoint;
  pith_source source;
  pith_slot slots[PITH_MAX_SLOTS];
  uint32_t n_slots;
  const pith_slot *slot;      /* NULL: it has no such tensor */
  int32_t stage;
  pith_weight_reader reader;
  uint8_t *codes, *scales;    /* of the range */
  float *row;                 /* (cols) */
  double n_bytes, n_zeros;
} side;

typedef struct diff_state {
  side sides[2];              /* what is looked at, and the reference */
  int32_t stage, last_stage;  /* of the parent's where one of the two lost layers that the other has */
  bool matched;               /* by what the packages' recipes say of that */
  uint32_t next;              /* of both sides' slots, the reference's after the other's */
  bool open, comparable, any_comparable;    /* any: of all tensors so far */
  uint32_t row, rows_a_range;
  double difference, reference;             /* sums of squares: of the tensor, */
  double all_difference, all_reference;     /* and of all that could be compared */
  double all_bytes[2];
  pith_json *tensors;
} diff_state;

static pith_status open_side(pith_job *job, side *s, const char *path) {
  char *manifest;
  size_t n_bytes;
  s->source.handle = -1;
  PITH_TRY(pith_path_join(job->ctx, path, PITH_MANIFEST_FILE, &manifest));
  const bool package = job->ctx->host.exists(job->ctx->host.user, manifest) == 1;
  const pith_status status = package ? pith_model_read_manifest(job->ctx, manifest, &s->model, &n_bytes) : pith_checkpoint_open(job->ctx, path, &s->checkpoint);
  pith_free(job->ctx, manifest);
  PITH_TRY(status);
  if (package) return pith_source_package(job->ctx, &s->source, &s->model, path);
  s->model.config = s->checkpoint.config;
  s->source = pith_source_checkpoint(&s->model, &s->checkpoint);
  return PITH_OK;
}

static int32_t layers_of(const side *s) { return s->model.config.n_layers; }

/* The model's own stage; -2: it has none such. */
static int32_t stage_of(const diff_state *d, const side *s) {
  if (d->stage < 0) return d->stage;
  if (d->stage == d->last_stage) return layers_of(s);
  const int32_t layer = d->matched ? pith_model_layer_now(&s->model, d->stage) : d->stage;
  return layer >= 0 && layer < layers_of(s) ? layer : -2;
}

/* The slots of both at the stage: before the layers, a layer, after them. A model of fewer layers has none at those that it lacks. */
static void begin_stage(diff_state *d) {
  for (int i = 0; i < 2; i++) {
    side *s = &d->sides[i];
    s->stage = stage_of(d, s);
    s->n_slots = s->stage >= -1 ? s->model.config.family->slots(&s->model.config, s->stage, s->slots) : 0;
  }
  d->next = 0;
}

static pith_status start(pith_job *job) {
  diff_state *d = job->state;
  const char *paths[2];
  PITH_TRY(pith_request_string(job, "source", true, &paths[0]));
  PITH_TRY(pith_request_string(job, "against", true, &paths[1]));
  for (int i = 0; i < 2; i++) PITH_TRY(open_side(job, &d->sides[i], paths[i]));
  const pith_config *a = &d->sides[0].model.config, *b = &d->sides[1].model.config;
  if (a->family != b->family)
    return pith_fail(job->ctx, PITH_E_ARGUMENT, "%s is a %s model and %s a %s model: their tensors are not each other's", paths[0], a->family->name, paths[1], b->family->name);
  d->tensors = pith_json_new_array();
  const int32_t before = pith_model_layers_before(&d->sides[0].model);
  d->matched = a->n_layers != b->n_layers && before == pith_model_layers_before(&d->sides[1].model);
  d->last_stage = d->matched ? before : layers_of(&d->sides[0]) > layers_of(&d->sides[1]) ? layers_of(&d->sides[0]) : layers_of(&d->sides[1]);
  d->stage = -1;
  begin_stage(d);
  job->progress = (pith_progress){"compare", "layers", 0, d->last_stage + 2};
  return PITH_OK;
}

static const pith_slot *find_slot(const side *s, uint32_t id) {
  for (uint32_t i = 0; i < s->n_slots; i++)
    if (s->slots[i].id == id) return &s->slots[i];
  return NULL;
}

/* The next tensor that either has; false: there is none at this stage. */
static bool next_tensor(diff_state *d) {
  side *a = &d->sides[0], *b = &d->sides[1];
  for (; d->next < a->n_slots + b->n_slots; d->next++) {
    const bool second = d->next >= a->n_slots;
    const pith_slot *slot = second ? &b->slots[d->next - a->n_slots] : &a->slots[d->next];
    if (second && find_slot(a, slot->id)) continue;
    a->slot = second ? NULL : slot;
    b->slot = find_slot(b, slot->id);
    d->next++;
    return true;
  }
  return false;
}

/* Bytes of a tensor: of all planes of its parts, whatever these are called; of a checkpoint's, its share of what is stored as one. */
static double stored_bytes(const side *s) {
  if (s->source.checkpoint) {
    const pith_tensor_entry *e = &s->reader.entry;
    return (double)e->n_bytes / (double)pith_tensor_elems(e) * (double)s->slot->rows * (double)s->slot->cols;
  }
  double n_bytes = 0;
  for (const pith_json *p = pith_json_first(pith_json_get(pith_package_entry(&s->model.manifest, s->slot->name), "parts")); p; p = pith_json_next(p)) {
    int64_t shard;
    if (!pith_json_integer(pith_json_get(p, "shard"), 0, (int64_t)s->model.manifest.n_shards - 1, &shard)) continue;
    for (const pith_json *plane = pith_json_first(p); plane; plane = pith_json_next(plane)) {
      const char *name = pith_json_string(plane);
      const pith_tensor_entry *e = name ? pith_safetensors_find(&s->source.indexes[shard], name) : NULL;
      if (e) n_bytes += (double)e->n_bytes;
    }
  }
  return n_bytes;
}

static bool is_vector(const side *s) { return s->slot->role == PITH_ROLE_VECTOR; }

static pith_status open_tensor(pith_job *job, diff_state *d) {
  d->rows_a_range = UINT32_MAX;
  for (int i = 0; i < 2; i++) {
    side *s = &d->sides[i];
    s->n_zeros = 0;
    if (!s->slot) continue;
    PITH_TRY(pith_weight_reader_open(job->ctx, &s->reader, &s->source, s->stage, s->slot->id));
    s->n_bytes = stored_bytes(s);
    d->all_bytes[i] += s->n_bytes;
    const uint32_t rows = is_vector(s) ? PITH_PANEL : pith_weight_reader_rows_of(&s->reader, CHUNK_BYTES);
    if (rows < d->rows_a_range) d->rows_a_range = rows;
  }
  for (int i = 0; i < 2; i++) {
    side *s = &d->sides[i];
    if (!s->slot) continue;
    const pith_matrix *m = &s->reader.matrix;
    const uint64_t n_codes = is_vector(s) ? s->slot->cols * sizeof(float) : pith_matrix_code_bytes(m, d->rows_a_range);
    PITH_TRY(pith_malloc(job->ctx, (size_t)n_codes, &s->codes));
    PITH_TRY(pith_malloc(job->ctx, (size_t)pith_matrix_scale_bytes(m, d->rows_a_range) + 1, &s->scales));
    PITH_TRY(pith_calloc(job->ctx, s->slot->cols, sizeof *s->row, &s->row));
  }
  const pith_slot *a = d->sides[0].slot, *b = d->sides[1].slot;
  d->comparable = a && b && a->rows == b->rows && a->cols == b->cols;
  d->difference = d->reference = 0;
  d->row = 0;
  d->open = true;
  return PITH_OK;
}

static void close_tensor(pith_job *job, diff_state *d) {
  for (int i = 0; i < 2; i++) {
    side *s = &d->sides[i];
    pith_weight_reader_close(job->ctx, &s->reader);
    pith_free(job->ctx, s->codes);
    pith_free(job->ctx, s->scales);
    pith_free(job->ctx, s->row);
    s->codes = s->scales = NULL;
    s->row = NULL;
  }
  d->open = false;
}

/* Of the range that begins at d->row; none where the side has no more rows. */
static uint32_t rows_of(const diff_state *d, const side *s) {
  if (!s->slot || d->row >= s->slot->rows) return 0;
  const uint32_t left = s->slot->rows - d->row;
  return left < d->rows_a_range ? left : d->rows_a_range;
}

static void take_row(side *s, uint32_t row, uint32_t n_rows) {
  if (is_vector(s)) {
    memcpy(s->row, s->codes, s->slot->cols * sizeof *s->row);
  } else {
    pith_part part = {.n_rows = n_rows, .codes = s->codes, .scales = s->scales};
    pith_matrix m = s->reader.matrix;
    m.n_parts = 1;
    m.parts = &part;
    pith_matrix_row(&m, row, s->row);
  }
  for (uint32_t k = 0; k < s->slot->cols; k++) s->n_zeros += s->row[k] == 0.0f;
}

static pith_status compare_range(pith_job *job, diff_state *d) {
  uint32_t most = 0;
  for (int i = 0; i < 2; i++) {
    side *s = &d->sides[i];
    const uint32_t n = rows_of(d, s);
    if (n > 0) PITH_TRY(pith_weight_reader_read(job->ctx, &s->reader, d->row, n, s->codes, s->scales));
    if (n > most) most = n;
  }
  for (uint32_t r = 0; r < most; r++) {
    for (int i = 0; i < 2; i++)
      if (r < rows_of(d, &d->sides[i])) take_row(&d->sides[i], r, rows_of(d, &d->sides[i]));
    if (!d->comparable) continue;
    const float *a = d->sides[0].row, *b = d->sides[1].row;
    for (uint32_t k = 0; k < d->sides[0].slot->cols; k++) {
      const double e = (double)a[k] - (double)b[k];
      d->difference += e * e;
      d->reference += (double)b[k] * (double)b[k];
    }
  }
  d->row += d->rows_a_range;
  return PITH_OK;
}

/* |a - b| / |b| over all weights; 1 where the reference is nothing but zeros and the other is not. */
static double relative(double difference, double reference) {
  if (reference > 0) return sqrt(difference / reference);
  return difference > 0 ? 1 : 0;
}

static void describe_side(const side *s, pith_json *out) {
  const double n = (double)s->slot->rows * (double)s->slot->cols;
  pith_json *shape = pith_json_new_array();
  if (!is_vector(s)) pith_json_add_number(shape, NULL, s->slot->rows);
  pith_json_add_number(shape, NULL, s->slot->cols);
  pith_json_add(out, "shape", shape);
  pith_json_add_string(out, "encoding", s->source.checkpoint ? pith_dtype_name(s->reader.entry.dtype) : is_vector(s) ? "f32" : pith_encoding_name(s->reader.package.matrix.encoding));
  pith_json_add_number(out, "bytes", s->n_bytes);
  pith_json_add_number(out, "bits", 8 * s->n_bytes / n);
  pith_json_add_number(out, "zeros", s->n_zeros / n);
}

static void describe_tensor(diff_state *d) {
  side *a = &d->sides[0], *b = &d->sides[1];
  pith_json *tensor = pith_json_new_object();
  pith_json_add_string(tensor, "name", (b->slot && (!a->slot || b->stage == d->stage) ? b : a)->slot->name);
  if (d->stage >= 0 && d->stage < d->last_stage) pith_json_add_number(tensor, "layer", d->stage);
  if (a->slot) describe_side(a, tensor);
  if (b->slot) {
    pith_json *other = pith_json_new_object();
    describe_side(b, other);
    pith_json_add(tensor, "against", other);
  }
  if (d->comparable) {
    pith_json_add_number(tensor, "error", relative(d->difference, d->reference));
    d->any_comparable = true;
    d->all_difference += d->difference;
    d->all_reference += d->reference;
  }
  pith_json_add(d->tensors, NULL, tensor);
}

static pith_status step(pith_job *job) {
  diff_state *d = job->state;
  if (d->open) {
    const uint32_t rows[2] = {d->sides[0].slot ? d->sides[0].slot->rows : 0, d->sides[1].slot ? d->sides[1].slot->rows : 0};
    PITH_TRY(compare_range(job, d));
    if (d->row < (rows[0] > rows[1] ? rows[0] : rows[1])) return PITH_PENDING;
    describe_tensor(d);
    close_tensor(job, d);
    return PITH_PENDING;
  }
  if (next_tensor(d)) {
    PITH_TRY(open_tensor(job, d));
    return PITH_PENDING;
  }
  job->progress.done = d->stage + 2;
  if (d->stage < d->last_stage) {
    d->stage++;
    begin_stage(d);
    return PITH_PENDING;
  }
  pith_json *against = pith_json_new_object();
  pith_json_add_number(against, "bytes", d->all_bytes[1]);
  pith_json_add_number(job->result, "bytes", d->all_bytes[0]);
  pith_json_add(job->result, "against", against);
  if (d->any_comparable) pith_json_add_number(job->result, "error", relative(d->all_difference, d->all_reference));
  pith_json_add(job->result, "tensors", d->tensors);
  d->tensors = NULL;
  return PITH_OK;
}

static void release(pith_job *job) {
  diff_state *d = job->state;
  close_tensor(job, d);
  for (int i = 0; i < 2; i++) {
    side *s = &d->sides[i];
    pith_source_close(job->ctx, &s->source);
    pith_checkpoint_close(job->ctx, &s->checkpoint);
    pith_model_close(job->ctx, &s->model);
  }
  pith_json_free(d->tensors);
}

static const char *const keys[] = {"source", "against", NULL};
const pith_verb pith_verb_diff = {"diff", keys, sizeof(diff_state), start, step, release};
