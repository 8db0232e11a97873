/* Finding a weight in a package: the manifest says where its parts lie, the shards' own headers say what they are, and the family's slots
 * say what they must be. All three have to agree before a byte is read or a pointer is made. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/open.h"

typedef struct finder {
  pith_ctx *ctx;
  const pith_manifest *manifest;
  const pith_safetensors *indexes;
  const char *name;            /* of the tensor that is being looked for */
} finder;

pith_status pith_package_bad_tensor(pith_ctx *ctx, const char *name, const char *text) {
  return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" %s", PITH_MANIFEST_FILE, name, text);
}

static pith_status bad(const finder *f, const char *text) { return pith_package_bad_tensor(f->ctx, f->name, text); }

/* Where the bytes of a shard's tensor begin, after its type, shape and alignment were found as wanted. first_dim: of what is there. */
static pith_status find_data(const finder *f, int64_t shard, const char *tensor, const pith_plane *plane, uint64_t *offset, uint64_t *first_dim) {
  const pith_tensor_entry *entry = tensor ? pith_safetensors_find(&f->indexes[shard], tensor) : NULL;
  if (!entry) return bad(f, "names data that its shard does not have");
  bool same = entry->dtype == plane->dtype && entry->n_dims == plane->n_dims;
  for (uint32_t d = 0; same && d < plane->n_dims; d++) same = plane->dims[d] == PITH_ANY || entry->dims[d] == plane->dims[d];
  if (!same) return bad(f, "has data of another type or shape in its shard than the manifest says");
  if (entry->offset % PITH_ALIGN != 0) return bad(f, "is not aligned to 64 bytes in its shard");
  *offset = entry->offset;
  *first_dim = entry->dims[0];
  return PITH_OK;
}

static pith_status find_shard(const finder *f, const pith_json *part, uint32_t *out) {
  int64_t shard;
  if (!pith_json_integer(pith_json_get(part, "shard"), 0, (int64_t)f->manifest->n_shards - 1, &shard)) return bad(f, "names a shard that is not there");
  *out = (uint32_t)shard;
  return PITH_OK;
}

static pith_status find_part(const finder *f, const pith_json *json, const pith_matrix *m, uint32_t begin, pith_package_part *part) {
  int64_t first, last;
  const pith_json *rows = pith_json_get(json, "rows");
  PITH_TRY(find_shard(f, json, &part->shard));
  if (pith_json_count(rows) != 2 || !pith_json_integer(pith_json_first(rows), 0, m->rows, &first) ||
      !pith_json_integer(pith_json_next(pith_json_first(rows)), 0, m->rows, &last) || first != begin || last <= first ||
      (last != m->rows && last % PITH_PANEL != 0))
    return bad(f, "has parts whose rows do not follow each other in multiples of 8");
  part->row_begin = begin;
  part->n_rows = (uint32_t)(last - first);
  static const char *const keys[PITH_MAX_PLANES] = {"codes", "scales", "places"};
  uint64_t *const offsets[PITH_MAX_PLANES] = {&part->codes, &part->scales, &part->places}, first_dims[PITH_MAX_PLANES];
  pith_plane planes[PITH_MAX_PLANES];
  const uint32_t n = pith_matrix_planes(m, part->n_rows, planes);
  for (uint32_t i = 0; i < n; i++)
    PITH_TRY(find_data(f, part->shard, pith_json_string(pith_json_get(json, keys[i])), &planes[i], offsets[i], &first_dims[i]));
  if (planes[0].dims[0] == PITH_ANY) part->n_stored = first_dims[0] * (planes[0].n_dims > 1 ? PITH_BLOCK : 1);
  return PITH_OK;
}

static pith_status parse_encoding(const finder *f, const pith_json *json, pith_role role, pith_matrix *m) {
  const char *name = pith_json_string(pith_json_get(json, "encoding"));
  if (!pith_encoding_find(name, &m->encoding) || (role != PITH_ROLE_TABLE && !pith_encoding_multiplied(m->encoding)))
    return pith_fail(f->ctx, PITH_E_UNSUPPORTED, "%s: tensor \"%s\" has the encoding \"%.20s\", which Pith does not read there", PITH_MANIFEST_FILE,
                     f->name, name ? name : "");
  if (m->encoding == PITH_ENC_U7_BLOCK && m->cols > PITH_MAX_BLOCK_COLS) return bad(f, "has too many columns for u7-block");
  m->scale_dtype = PITH_F16;
  if (pith_encoding_scaled(m->encoding)) {
    const char *scales = pith_json_string(pith_json_get(json, "scales"));
    if (!scales || (strcmp(scales, "F16") != 0 && strcmp(scales, "F32") != 0)) return bad(f, "should have \"scales\" F16 or F32");
    if (scales[1] == '3') m->scale_dtype = PITH_F32;
  }
  const uint32_t multiple = pith_encoding_group_multiple(m->encoding);
  int64_t group_size;
  if (multiple == 0) return PITH_OK;
  if (!pith_json_integer(pith_json_get(json, "group_size"), multiple, 1 << 17, &group_size) || group_size % multiple != 0)
    return pith_fail(f->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" should have a \"group_size\" that is a multiple of %u", PITH_MANIFEST_FILE, f->name,
                     (unsigned)multiple);
  m->group_size = (uint32_t)group_size;
  return PITH_OK;
}

static pith_status find_matrix(const finder *f, const pith_json *json, const pith_slot *slot, pith_package_tensor *out) {
  const pith_json *parts = pith_json_get(json, "parts");
  const size_t n_parts = pith_json_count(parts);
  PITH_TRY(parse_encoding(f, json, slot->role, &out->matrix));
  if (n_parts == 0 || n_parts > slot->rows) return bad(f, "has no parts");
  PITH_TRY(pith_calloc(f->ctx, n_parts, sizeof *out->parts, &out->parts));
  uint32_t row = 0, n = 0;
  for (const pith_json *part = pith_json_first(parts); part; part = pith_json_next(part)) {
    PITH_TRY(find_part(f, part, &out->matrix, row, &out->parts[n]));
    row += out->parts[n++].n_rows;
  }
  if (row != slot->rows) return bad(f, "has parts that do not cover its rows");
  out->matrix.n_parts = n;
  return PITH_OK;
}

static pith_status find_vector(const finder *f, const pith_json *json, const pith_slot *slot, pith_package_tensor *out) {
  const pith_json *part = pith_json_first(pith_json_get(json, "parts"));
  const pith_plane plane = {"values", PITH_F32, 1, {slot->cols}};
  uint64_t first_dim;
  PITH_TRY(pith_calloc(f->ctx, 1, sizeof *out->parts, &out->parts));
  PITH_TRY(find_shard(f, part, &out->parts->shard));
  out->matrix.n_parts = out->parts->n_rows = 1;
  return find_data(f, out->parts->shard, pith_json_string(pith_json_get(part, "codes")), &plane, &out->parts->codes, &first_dim);
}

static bool has_shape(const pith_json *json, const pith_slot *slot) {
  const pith_json *shape = pith_json_get(json, "shape"), *first = pith_json_first(shape);
  const double rows = slot->role == PITH_ROLE_VECTOR ? slot->cols : slot->rows;
  if (pith_json_number(first, -1) != rows) return false;
  if (slot->role == PITH_ROLE_VECTOR) return pith_json_count(shape) == 1;
  return pith_json_count(shape) == 2 && pith_json_number(pith_json_next(first), -1) == slot->cols;
}

const pith_json *pith_package_entry(const pith_manifest *manifest, const char *name) {
  const pith_json *tensor = pith_json_first(pith_json_get(manifest->json, "tensors"));
  for (; tensor; tensor = pith_json_next(tensor)) {
    const char *found = pith_json_string(pith_json_get(tensor, "name"));
    if (found && strcmp(found, name) == 0) break;
  }
  return tensor;
}

pith_status pith_package_find(pith_ctx *ctx, const pith_manifest *manifest, const pith_safetensors *indexes, const pith_slot *slot,
                              pith_package_tensor *out) {
  const finder f = {ctx, manifest, indexes, slot->name};
  const pith_json *json = pith_package_entry(manifest, slot->name);
  memset(out, 0, sizeof *out);
  if (!json) return pith_fail(ctx, PITH_E_NOT_FOUND, "%s lists no tensor \"%s\", which the architecture needs", PITH_MANIFEST_FILE, slot->name);
  if (!has_shape(json, slot)) return bad(&f, "has another shape than the configuration says");
  out->matrix = (pith_matrix){PITH_ENC_F32, PITH_F32, slot->rows, slot->cols, 0, 0, NULL};
  const pith_status status = slot->role == PITH_ROLE_VECTOR ? find_vector(&f, json, slot, out) : find_matrix(&f, json, slot, out);
  if (status != PITH_OK) pith_package_tensor_free(ctx, out);
  return status;
}

void pith_package_tensor_free(pith_ctx *ctx, pith_package_tensor *tensor) {
  pith_free(ctx, tensor->parts);
  memset(tensor, 0, sizeof *tensor);
}

static bool finite_vector(const float *values, uint32_t n) {
  bool finite = true;
  for (uint32_t i = 0; i < n; i++) finite = finite && isfinite(values[i]);
  return finite;
}

pith_status pith_package_check(pith_ctx *ctx, const pith_slot *slot, const pith_matrix *m, const pith_part *part) {
  const char *fault = slot->role != PITH_ROLE_VECTOR ? pith_matrix_fault(m, part)
                      : finite_vector(part->codes, slot->cols) ? NULL : "holds a value that is not finite";
  return fault ? pith_package_bad_tensor(ctx, slot->name, fault) : PITH_OK;
}

/* A shard whose codes are expanded is not used in place: it goes when the last of its parts has left it. */
typedef struct shard_use {
  bool expanded;
  uint32_t n_parts;            /* that are not bound yet */
} shard_use;

typedef struct binder {
  pith_model *model;
  uint8_t **shards;
  shard_use *uses;             /* (n_shards) */
} binder;

static void count_uses(const pith_manifest *m, shard_use *uses) {
  for (const pith_json *t = pith_json_first(pith_json_get(m->json, "tensors")); t; t = pith_json_next(t)) {
    pith_encoding encoding;
    const bool expanded = pith_encoding_find(pith_json_string(pith_json_get(t, "encoding")), &encoding) && pith_encoding_bits(encoding);
    for (const pith_json *part = pith_json_first(pith_json_get(t, "parts")); part; part = pith_json_next(part)) {
      int64_t shard;
      if (!pith_json_integer(pith_json_get(part, "shard"), 0, (int64_t)m->n_shards - 1, &shard)) continue;   /* find_shard says so */
      uses[shard].n_parts++;
      uses[shard].expanded = uses[shard].expanded || expanded;
    }
  }
}

/* Bytes in their shard, or a copy where that goes. */
static pith_status settle(pith_ctx *ctx, const binder *b, uint32_t shard, const void *bytes, uint64_t n_bytes, const void **out) {
  *out = bytes;
  if (!b->uses[shard].expanded || !n_bytes) return PITH_OK;
  uint8_t *copy;
  PITH_TRY(pith_weights_take(ctx, &b->model->weights, (size_t)n_bytes, &copy));
  memcpy(copy, bytes, (size_t)n_bytes);
  *out = copy;
  return PITH_OK;
}

/* What lies in the shard becomes what products read. */
static pith_status settle_part(pith_ctx *ctx, const binder *b, const pith_slot *slot, uint32_t shard, const pith_matrix *m, pith_part *part) {
  pith_weights *weights = &b->model->weights;
  PITH_TRY(settle(ctx, b, shard, part->scales, pith_matrix_scale_bytes(m, part->n_rows), &part->scales));
  if (pith_encoding_bits(m->encoding)) {
    uint8_t *codes;
    const pith_matrix dense = {.encoding = PITH_ENC_U7, .cols = m->cols};
    const uint64_t n_codes = pith_matrix_code_bytes(&dense, part->n_rows);   /* up to eight times what is stored */
    if (n_codes > SIZE_MAX / 2) return pith_package_bad_tensor(ctx, slot->name, "does not fit the address space");
    PITH_TRY(pith_weights_take(ctx, weights, (size_t)n_codes, &codes));
    if (!pith_matrix_expand(m, part->n_rows, part->places, part->codes, codes)) return pith_package_bad_tensor(ctx, slot->name, PITH_BITS_LEFT);
    part->codes = codes;
    part->places = NULL;
    return PITH_OK;
  }
  const uint64_t n_codes = pith_encoding_sparse(m->encoding) ? part->n_stored : pith_matrix_code_bytes(m, part->n_rows);
  PITH_TRY(settle(ctx, b, shard, part->codes, n_codes, &part->codes));
  if (m->encoding != PITH_ENC_U7_BLOCK) return PITH_OK;
  uint16_t *quads;
  uint32_t *starts;
  const void *places;
  const size_t n_panels = (part->n_rows + PITH_PANEL - 1) / PITH_PANEL, n_groups = (m->cols + m->group_size - 1) / m->group_size;
  PITH_TRY(settle(ctx, b, shard, part->places, pith_matrix_place_bytes(m, part->n_rows), &places));
  PITH_TRY(pith_weights_take(ctx, weights, part->n_stored / PITH_BLOCK * sizeof *quads, &quads));
  PITH_TRY(pith_weights_take(ctx, weights, (n_panels * n_groups + 1) * sizeof *starts, &starts));
  part->places = places;
  pith_matrix_index_blocks(m, part, quads, starts);
  part->quads = quads;
  part->starts = starts;
  return PITH_OK;
}

static pith_status bind_part(pith_ctx *ctx, const binder *b, const pith_slot *slot, const pith_matrix *m, const pith_package_part *from, pith_part *part) {
  const uint8_t *shard = b->shards[from->shard];
  *part = (pith_part){from->row_begin, from->n_rows, shard + from->codes, from->scales ? shard + from->scales : NULL,
                      from->places ? shard + from->places : NULL, from->n_stored, NULL, NULL};
  PITH_TRY(pith_package_check(ctx, slot, m, part));
  if (slot->role == PITH_ROLE_VECTOR) PITH_TRY(settle(ctx, b, from->shard, part->codes, slot->cols * sizeof(float), &part->codes));
  else PITH_TRY(settle_part(ctx, b, slot, from->shard, m, part));
  shard_use *use = &b->uses[from->shard];
  if (--use->n_parts == 0 && use->expanded) {
    pith_weights_drop(ctx, &b->model->weights, shard, (size_t)b->model->manifest.shards[from->shard].n_bytes);
    b->shards[from->shard] = NULL;
  }
  return PITH_OK;
}

static pith_status bind_tensor(pith_ctx *ctx, const binder *b, const pith_slot *slot, const pith_package_tensor *tensor, pith_weight *weight) {
  const bool vector = slot->role == PITH_ROLE_VECTOR;
  pith_part one, *parts = &one;
  if (!vector) PITH_TRY(pith_weights_take(ctx, &b->model->weights, tensor->matrix.n_parts * sizeof *parts, &parts));
  for (uint32_t i = 0; i < tensor->matrix.n_parts; i++) PITH_TRY(bind_part(ctx, b, slot, &tensor->matrix, &tensor->parts[i], &parts[i]));
  b->model->weights.n_parameters += (uint64_t)slot->rows * slot->cols;
  if (vector) {
    weight->vector = one.codes;
    return PITH_OK;
  }
  weight->matrix = tensor->matrix;
  weight->matrix.parts = parts;
  if (pith_encoding_bits(tensor->matrix.encoding)) weight->matrix.encoding = PITH_ENC_U7;
  return PITH_OK;
}

static pith_status bind_all(pith_ctx *ctx, const binder *b, const pith_safetensors *indexes) {
  pith_slot slots[PITH_MAX_SLOTS];
  const pith_config *c = &b->model->config;
  for (int32_t stage = -1; stage <= c->n_layers; stage++) {
    const uint32_t n = c->family->slots(c, stage, slots);
    for (uint32_t i = 0; i < n; i++) {
      pith_package_tensor tensor;
      PITH_TRY(pith_package_find(ctx, &b->model->manifest, indexes, &slots[i], &tensor));
      const pith_status status = bind_tensor(ctx, b, &slots[i], &tensor, &pith_weights_stage(&b->model->weights, stage)->weights[slots[i].id]);
      pith_package_tensor_free(ctx, &tensor);
      PITH_TRY(status);
    }
  }
  return PITH_OK;
}

pith_status pith_package_bind(pith_ctx *ctx, pith_model *model, uint8_t **shards, const pith_safetensors *indexes) {
  binder b = {model, shards, NULL};
  PITH_TRY(pith_calloc(ctx, model->manifest.n_shards, sizeof *b.uses, &b.uses));
  count_uses(&model->manifest, b.uses);
  const pith_status status = bind_all(ctx, &b, indexes);
  pith_free(ctx, b.uses);
  return status;
}

static const char *const attention_names[] = {"f32", "i16", "i8"};

const char *pith_attention_name(pith_attention attention) { return attention_names[attention]; }

pith_status pith_attention_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_attention *out) {
  *out = PITH_ATTENTION_F32;
  if (pith_json_is_null(json)) return PITH_OK;
  const char *name = pith_json_string(json);
  for (size_t i = 0; name && i < sizeof attention_names / sizeof *attention_names; i++)
    if (strcmp(attention_names[i], name) == 0) {
      *out = (pith_attention)i;
      return PITH_OK;
    }
  return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"attention\" is \"%.20s\"; supported are f32, i16 and i8", what, name ? name : "");
}

pith_json *pith_settings_print(const pith_config *c) {
  pith_json *json = pith_json_new_object();
  pith_json_add_string(json, "attention", pith_attention_name(c->attention));
  pith_json_add_number(json, "max_tokens", c->max_tokens);
  if (c->layers) {
    pith_json *list = pith_json_new_array();
    for (int32_t i = 0; i < c->n_layers; i++) {
      pith_json *layer = pith_json_new_object();
      pith_json_add_number(layer, "heads", c->layers[i].n_heads);
      pith_json_add_number(layer, "kv_heads", c->layers[i].n_kv_heads);
      pith_json_add_number(layer, "intermediate", c->layers[i].intermediate_size);
      pith_json_add(list, NULL, layer);
    }
    pith_json_add(json, "layers", list);
  }
  if (c->head) pith_json_add_string(json, "task", pith_task_name(c->task));
  if (c->family->task == PITH_TASK_EMBED) {
    pith_json_add_string(json, "pooling", c->pooling == PITH_POOL_CLS ? "cls" : "mean");
    pith_json_add_bool(json, "normalize", c->normalize);
    return json;
  }
  pith_json *eos = pith_json_new_array();
  for (uint32_t i = 0; i < c->n_eos; i++) pith_json_add_number(eos, NULL, c->eos_ids[i]);
  if (c->bos_id >= 0) pith_json_add_number(json, "bos_token_id", c->bos_id);
  pith_json_add(json, "eos_token_id", eos);
  pith_json_add_bool(json, "add_bos", c->add_bos);
  return json;
}

static void keep_larger(int32_t *largest, int32_t size) {
  if (size > *largest) *largest = size;
}

/* The layers that are left, none larger than the parent's. */
static pith_status parse_layers(pith_ctx *ctx, const pith_json *list, const char *what, pith_model *model) {
  pith_config *c = &model->config;
  const pith_layer_shape parent = pith_layer_shape_of(c, -1);
  const size_t n = pith_json_count(list);
  if (pith_json_is_null(list)) return PITH_OK;
  if (!pith_json_is_array(list) || n < 1 || n > (size_t)c->n_layers)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"layers\" should be a list of 1 to %d layers", what, (int)c->n_layers);
  PITH_TRY(pith_calloc(ctx, n, sizeof *model->layers, &model->layers));
  c->n_layers = (int32_t)n;
  c->n_heads = c->n_kv_heads = c->intermediate_size = 0;
  pith_layer_shape *shape = model->layers;
  for (const pith_json *layer = pith_json_first(list); layer; layer = pith_json_next(layer), shape++) {
    PITH_TRY(pith_config_size(ctx, layer, "heads", parent.n_heads, what, &shape->n_heads));
    PITH_TRY(pith_config_size(ctx, layer, "kv_heads", parent.n_kv_heads, what, &shape->n_kv_heads));
    PITH_TRY(pith_config_size(ctx, layer, "intermediate", parent.intermediate_size, what, &shape->intermediate_size));
    if (shape->n_heads % shape->n_kv_heads != 0)
      return pith_fail(ctx, PITH_E_FORMAT, "%s: %d \"heads\" of a layer cannot share %d \"kv_heads\" evenly", what, (int)shape->n_heads, (int)shape->n_kv_heads);
    keep_larger(&c->n_heads, shape->n_heads);
    keep_larger(&c->n_kv_heads, shape->n_kv_heads);
    keep_larger(&c->intermediate_size, shape->intermediate_size);
  }
  c->layers = model->layers;
  return PITH_OK;
}

pith_status pith_settings_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_model *model) {
  pith_config *c = &model->config;
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s has no \"settings\"", what);
  PITH_TRY(pith_config_size(ctx, json, "max_tokens", c->max_positions, what, &c->max_tokens));
  PITH_TRY(pith_attention_parse(ctx, pith_json_get(json, "attention"), what, &c->attention));
  const char *task = pith_json_string(pith_json_get(json, "task"));
  if (c->head && !task) pith_head_drop(c);
  if (task && strcmp(task, pith_task_name(c->task)) != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"task\" is \"%.20s\", and its configuration is of one to %s", what, task, pith_task_name(c->task));
  PITH_TRY(parse_layers(ctx, pith_json_get(json, "layers"), what, model));
  if (c->family->task == PITH_TASK_EMBED) {
    const char *pooling;
    PITH_TRY(pith_json_need_string(ctx, json, "pooling", what, &pooling));
    if (strcmp(pooling, "mean") != 0 && strcmp(pooling, "cls") != 0)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"pooling\" is \"%.20s\"; supported are mean and cls", what, pooling);
    c->pooling = pooling[0] == 'c' ? PITH_POOL_CLS : PITH_POOL_MEAN;
    c->normalize = pith_json_true(pith_json_get(json, "normalize"));
    return PITH_OK;
  }
  c->n_eos = 0;
  c->bos_id = -1;
  PITH_TRY(pith_config_special_ids(ctx, json, what, c));
  c->add_bos = c->bos_id >= 0 && pith_json_true(pith_json_get(json, "add_bos"));
  return PITH_OK;
}

/* ---- layers that are gone ---- */

static const pith_json *gone_of(const pith_model *model) { return pith_json_get(pith_json_get(pith_json_get(model->manifest.json, "recipe"), "prune"), "layers"); }

int32_t pith_model_layers_before(const pith_model *model) { return model->config.n_layers + (int32_t)pith_json_count(gone_of(model)); }

int32_t pith_model_layer_now(const pith_model *model, int32_t before) {
  int32_t now = before;
  for (const pith_json *gone = pith_json_first(gone_of(model)); gone; gone = pith_json_next(gone)) {
    const double layer = pith_json_number(gone, -1.0);
    if (layer == before) return -1;
    now -= layer < before;
  }
  return now < model->config.n_layers ? now : -1;
}
