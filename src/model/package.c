/* Binding a package: the manifest says where each weight's parts lie, the shards' own headers say what they are, and the
 * family's slots say what they must be. All three have to agree before a pointer is made. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/open.h"

typedef struct binder {
  pith_ctx *ctx;
  pith_model *model;
  uint8_t *const *shards;
  const pith_safetensors *indexes;
  const char *name;            /* of the tensor that is being bound */
} binder;

static pith_status bad(const binder *b, const char *text) {
  return pith_fail(b->ctx, PITH_E_FORMAT, "%s: tensor \"%s\" %s", PITH_MANIFEST_FILE, b->name, text);
}

/* The bytes of a shard's tensor after its type, shape and alignment were found as wanted. */
static pith_status find_data(const binder *b, int64_t shard, const char *tensor, pith_dtype dtype, uint32_t n_dims, const uint64_t *dims,
                             const void **out) {
  const pith_tensor_entry *entry = tensor ? pith_safetensors_find(&b->indexes[shard], tensor) : NULL;
  if (!entry) return bad(b, "names data that its shard does not have");
  bool same = entry->dtype == dtype && entry->n_dims == n_dims;
  for (uint32_t d = 0; same && d < n_dims; d++) same = entry->dims[d] == dims[d];
  if (!same) return bad(b, "has data of another type or shape in its shard than the manifest says");
  if (entry->offset % PITH_ALIGN != 0) return bad(b, "is not aligned to 64 bytes in its shard");
  *out = b->shards[shard] + entry->offset;
  return PITH_OK;
}

static bool all_finite(const void *data, pith_dtype dtype, uint64_t n) {
  bool finite = true;
  if (dtype == PITH_F16) {
    for (uint64_t i = 0; i < n; i++) finite = finite && (((const uint16_t *)data)[i] & 0x7c00) != 0x7c00;
  } else {
    for (uint64_t i = 0; i < n; i++) finite = finite && isfinite(((const float *)data)[i]);
  }
  return finite;
}

static bool all_seven_bits(const uint8_t *codes, uint64_t n) {
  uint8_t seen = 0;
  for (uint64_t i = 0; i < n; i++) seen |= codes[i];
  return seen < 128;
}

static pith_status bind_codes(const binder *b, const pith_matrix *m, pith_part *part, int64_t shard, const char *name) {
  const uint64_t panels = (part->n_rows + PITH_PANEL - 1) / PITH_PANEL, cols = m->cols;
  if (m->encoding == PITH_ENC_U7) {
    const uint64_t dims[] = {panels, (cols + PITH_QUAD - 1) / PITH_QUAD, PITH_PANEL, PITH_QUAD};
    PITH_TRY(find_data(b, shard, name, PITH_U8, 4, dims, &part->codes));
    return all_seven_bits(part->codes, dims[0] * dims[1] * 32) ? PITH_OK : bad(b, "has codes above 127");
  }
  if (m->encoding == PITH_ENC_U8_ROW) {
    const uint64_t dims[] = {part->n_rows, cols};
    return find_data(b, shard, name, PITH_U8, 2, dims, &part->codes);
  }
  const uint64_t dims[] = {panels, cols, PITH_PANEL};
  const pith_dtype dtype = m->encoding == PITH_ENC_F16 ? PITH_F16 : PITH_F32;
  PITH_TRY(find_data(b, shard, name, dtype, 3, dims, &part->codes));
  return all_finite(part->codes, dtype, panels * cols * PITH_PANEL) ? PITH_OK : bad(b, "holds a value that is not finite");
}

static pith_status bind_scales(const binder *b, pith_matrix *m, pith_part *part, int64_t shard, const char *name) {
  if (m->encoding == PITH_ENC_F16 || m->encoding == PITH_ENC_F32) return PITH_OK;
  const uint64_t panels = (part->n_rows + PITH_PANEL - 1) / PITH_PANEL;
  const bool grouped = m->encoding == PITH_ENC_U7;
  const uint64_t dims[] = {grouped ? panels : part->n_rows, grouped ? (m->cols + m->group_size - 1) / m->group_size : 1, PITH_PANEL};
  PITH_TRY(find_data(b, shard, name, m->scale_dtype, grouped ? 3 : 1, dims, &part->scales));
  const uint64_t n = grouped ? dims[0] * dims[1] * dims[2] : dims[0];
  return all_finite(part->scales, m->scale_dtype, n) ? PITH_OK : bad(b, "has a scale that is not finite");
}

static pith_status bind_part(const binder *b, const pith_json *json, pith_matrix *m, uint32_t begin, pith_part *part) {
  int64_t shard, first, last;
  const pith_json *rows = pith_json_get(json, "rows");
  if (!pith_json_integer(pith_json_get(json, "shard"), 0, (int64_t)b->model->manifest.n_shards - 1, &shard)) return bad(b, "names a shard that is not there");
  if (pith_json_count(rows) != 2 || !pith_json_integer(pith_json_first(rows), 0, m->rows, &first) ||
      !pith_json_integer(pith_json_next(pith_json_first(rows)), 0, m->rows, &last) || first != begin || last <= first ||
      (last != m->rows && last % PITH_PANEL != 0))
    return bad(b, "has parts whose rows do not follow each other in multiples of 8");
  part->row_begin = begin;
  part->n_rows = (uint32_t)(last - first);
  PITH_TRY(bind_codes(b, m, part, shard, pith_json_string(pith_json_get(json, "codes"))));
  return bind_scales(b, m, part, shard, pith_json_string(pith_json_get(json, "scales")));
}

static pith_status parse_encoding(const binder *b, const pith_json *json, pith_role role, pith_matrix *m) {
  const char *name = pith_json_string(pith_json_get(json, "encoding"));
  const pith_encoding last = role == PITH_ROLE_TABLE ? PITH_ENC_U8_ROW : PITH_ENC_U7;
  int encoding = PITH_ENC_F32;
  while (encoding <= (int)last && (!name || strcmp(name, pith_encoding_name((pith_encoding)encoding)) != 0)) encoding++;
  if (encoding > (int)last)
    return pith_fail(b->ctx, PITH_E_UNSUPPORTED, "%s: tensor \"%s\" has the encoding \"%.20s\", which Pith does not read there", PITH_MANIFEST_FILE,
                     b->name, name ? name : "");
  m->encoding = (pith_encoding)encoding;
  m->scale_dtype = PITH_F16;
  if (m->encoding != PITH_ENC_U7 && m->encoding != PITH_ENC_U8_ROW) return PITH_OK;
  const char *scales = pith_json_string(pith_json_get(json, "scales"));
  if (!scales || (strcmp(scales, "F16") != 0 && strcmp(scales, "F32") != 0)) return bad(b, "should have \"scales\" F16 or F32");
  if (scales[1] == '3') m->scale_dtype = PITH_F32;
  if (m->encoding == PITH_ENC_U8_ROW) return PITH_OK;
  int64_t group_size;
  if (!pith_json_integer(pith_json_get(json, "group_size"), 4, 1 << 17, &group_size) || group_size % PITH_QUAD != 0)
    return bad(b, "should have a \"group_size\" that is a multiple of 4");
  m->group_size = (uint32_t)group_size;
  return PITH_OK;
}

static pith_status bind_matrix(const binder *b, const pith_json *json, const pith_slot *slot, pith_matrix *m) {
  const pith_json *parts = pith_json_get(json, "parts");
  const size_t n_parts = pith_json_count(parts);
  m->rows = slot->rows;
  m->cols = slot->cols;
  PITH_TRY(parse_encoding(b, json, slot->role, m));
  if (n_parts == 0 || n_parts > slot->rows) return bad(b, "has no parts");
  PITH_TRY(pith_weights_take(b->ctx, &b->model->weights, n_parts * sizeof *m->parts, &m->parts));
  uint32_t row = 0, n = 0;
  for (const pith_json *part = pith_json_first(parts); part; part = pith_json_next(part)) {
    PITH_TRY(bind_part(b, part, m, row, &m->parts[n]));
    row += m->parts[n++].n_rows;
  }
  if (row != slot->rows) return bad(b, "has parts that do not cover its rows");
  m->n_parts = n;
  return PITH_OK;
}

static pith_status bind_vector(const binder *b, const pith_json *json, const pith_slot *slot, const float **out) {
  const pith_json *part = pith_json_first(pith_json_get(json, "parts"));
  const uint64_t dims[] = {slot->cols};
  const void *data;
  int64_t shard;
  if (!pith_json_integer(pith_json_get(part, "shard"), 0, (int64_t)b->model->manifest.n_shards - 1, &shard)) return bad(b, "names a shard that is not there");
  PITH_TRY(find_data(b, shard, pith_json_string(pith_json_get(part, "codes")), PITH_F32, 1, dims, &data));
  if (!all_finite(data, PITH_F32, slot->cols)) return bad(b, "holds a value that is not finite");
  *out = data;
  return PITH_OK;
}

static bool has_shape(const pith_json *json, const pith_slot *slot) {
  const pith_json *shape = pith_json_get(json, "shape"), *first = pith_json_first(shape);
  const double rows = slot->role == PITH_ROLE_VECTOR ? slot->cols : slot->rows;
  if (pith_json_number(first, -1) != rows) return false;
  if (slot->role == PITH_ROLE_VECTOR) return pith_json_count(shape) == 1;
  return pith_json_count(shape) == 2 && pith_json_number(pith_json_next(first), -1) == slot->cols;
}

static pith_status bind_slot(binder *b, const pith_slot *slot, pith_weight *weight) {
  const pith_json *tensor = pith_json_first(pith_json_get(b->model->manifest.json, "tensors"));
  b->name = slot->name;
  for (; tensor; tensor = pith_json_next(tensor)) {
    const char *name = pith_json_string(pith_json_get(tensor, "name"));
    if (name && strcmp(name, slot->name) == 0) break;
  }
  if (!tensor) return pith_fail(b->ctx, PITH_E_NOT_FOUND, "%s lists no tensor \"%s\", which the architecture needs", PITH_MANIFEST_FILE, slot->name);
  if (!has_shape(tensor, slot)) return bad(b, "has another shape than the configuration says");
  b->model->weights.n_parameters += (uint64_t)slot->rows * slot->cols;
  if (slot->role == PITH_ROLE_VECTOR) return bind_vector(b, tensor, slot, &weight->vector);
  return bind_matrix(b, tensor, slot, &weight->matrix);
}

pith_status pith_package_bind(pith_ctx *ctx, pith_model *model, uint8_t *const *shards, const pith_safetensors *indexes) {
  binder b = {ctx, model, shards, indexes, ""};
  pith_slot slots[PITH_MAX_SLOTS];
  const pith_config *c = &model->config;
  for (int32_t stage = -1; stage <= c->n_layers; stage++) {
    const uint32_t n = c->family->slots(c, stage, slots);
    for (uint32_t i = 0; i < n; i++) PITH_TRY(bind_slot(&b, &slots[i], &pith_weights_stage(&model->weights, stage)->weights[slots[i].id]));
  }
  return PITH_OK;
}

pith_json *pith_settings_print(const pith_config *c) {
  pith_json *json = pith_json_new_object();
  pith_json_add_number(json, "max_tokens", c->max_tokens);
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

pith_status pith_settings_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *c) {
  if (!pith_json_is_object(json)) return pith_fail(ctx, PITH_E_FORMAT, "%s has no \"settings\"", what);
  PITH_TRY(pith_config_size(ctx, json, "max_tokens", c->max_positions, what, &c->max_tokens));
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
