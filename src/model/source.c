#include "model/source.h"

#include <string.h>

enum { CHUNK_BYTES = 1 << 18, STEP_BYTES = 1 << 20 };

pith_source pith_source_whole(const pith_model *model) { return (pith_source){.model = model, .handle = -1}; }

pith_source pith_source_checkpoint(const pith_model *model, const pith_checkpoint *checkpoint) {
  return (pith_source){.model = model, .checkpoint = checkpoint, .handle = -1};
}

pith_status pith_source_package(pith_ctx *ctx, pith_source *source, const pith_model *model, const char *folder) {
  *source = (pith_source){.model = model, .handle = -1};
  PITH_TRY(pith_path_join(ctx, folder, "", &source->folder));
  return pith_calloc(ctx, model->manifest.n_shards, sizeof *source->indexes, &source->indexes);
}

void pith_source_close(pith_ctx *ctx, pith_source *source) {
  if (!source->model) return;
  for (uint32_t i = 0; source->indexes && i < source->model->manifest.n_shards; i++) pith_safetensors_free(ctx, &source->indexes[i]);
  pith_io_close(ctx, source->handle);
  pith_free(ctx, source->indexes);
  pith_free(ctx, source->folder);
  memset(source, 0, sizeof *source);
}

/* Weights lie in the shards in forward order, so one open shard at a time is enough. */
static pith_status open_shard(pith_ctx *ctx, pith_source *source, uint32_t shard) {
  if (source->handle >= 0 && source->shard == shard) return PITH_OK;
  const pith_file_record *record = &source->model->manifest.shards[shard];
  char *path;
  uint64_t n_bytes;
  pith_io_close(ctx, source->handle);
  source->handle = -1;
  source->shard = shard;
  PITH_TRY(pith_path_join(ctx, source->folder, record->file, &path));
  pith_status status = pith_io_open(ctx, path, &source->handle, &n_bytes);
  if (status == PITH_OK && n_bytes != record->n_bytes)
    status = pith_fail(ctx, PITH_E_INTEGRITY, "%s has %llu bytes, and the manifest says %llu", path, (unsigned long long)n_bytes,
                       (unsigned long long)record->n_bytes);
  if (status == PITH_OK && !source->indexes[shard].entries) status = pith_safetensors_read(ctx, source->handle, n_bytes, path, &source->indexes[shard]);
  pith_free(ctx, path);
  return status;
}

/* What is read as u7 and stored otherwise. */
static bool is_expanded(const pith_matrix *m) { return pith_encoding_sparse(m->encoding) || pith_encoding_bits(m->encoding); }

static pith_status find_in_package(pith_ctx *ctx, pith_weight_reader *r) {
  const pith_manifest *manifest = &r->source->model->manifest;
  const pith_json *part = pith_json_first(pith_json_get(pith_package_entry(manifest, r->slot.name), "parts"));
  for (; part; part = pith_json_next(part)) {
    int64_t shard;
    if (!pith_json_integer(pith_json_get(part, "shard"), 0, (int64_t)manifest->n_shards - 1, &shard)) continue;   /* pith_package_find says so */
    if (!r->source->indexes[shard].entries) PITH_TRY(open_shard(ctx, r->source, (uint32_t)shard));
  }
  PITH_TRY(pith_package_find(ctx, manifest, r->source->indexes, &r->slot, &r->package));
  r->matrix = r->package.matrix;
  if (is_expanded(&r->matrix)) r->matrix.encoding = PITH_ENC_U7;
  return PITH_OK;
}

static bool is_vector(const pith_weight_reader *r) { return r->slot.role == PITH_ROLE_VECTOR; }

static uint64_t code_bytes(const pith_weight_reader *r, uint32_t n_rows) {
  return is_vector(r) ? (uint64_t)r->slot.cols * sizeof(float) : pith_matrix_code_bytes(&r->matrix, n_rows);
}

static pith_status open_weight(pith_ctx *ctx, pith_weight_reader *r, pith_source *source, int32_t stage, const pith_slot *slot) {
  memset(r, 0, sizeof *r);
  r->source = source;
  r->slot = *slot;
  r->matrix = (pith_matrix){PITH_ENC_F32, PITH_F32, slot->rows, slot->cols, 0, 0, NULL};
  if (source->folder) {
    PITH_TRY(find_in_package(ctx, r));
  } else if (source->checkpoint) {
    PITH_TRY(pith_checkpoint_need(ctx, source->checkpoint, slot, &r->file, &r->entry));
    if (is_vector(r)) return PITH_OK;
    r->chunk_rows = pith_weight_reader_rows_of(r, CHUNK_BYTES);
    PITH_TRY(pith_calloc(ctx, r->chunk_rows, slot->cols * sizeof *r->chunk, &r->chunk));
  } else {
    r->whole = &pith_weights_stage(&source->model->weights, stage)->weights[slot->id];
    if (!is_vector(r)) r->matrix = r->whole->matrix;
    if (is_expanded(&r->matrix)) r->matrix.encoding = PITH_ENC_U7;
  }
  r->matrix.parts = NULL;
  r->matrix.n_parts = 0;
  return PITH_OK;
}

pith_status pith_weight_reader_open(pith_ctx *ctx, pith_weight_reader *r, pith_source *source, int32_t stage, uint32_t id) {
  pith_slot slots[PITH_MAX_SLOTS];
  const pith_config *c = &source->model->config;
  const uint32_t n = c->family->slots(c, stage, slots);
  for (uint32_t i = 0; i < n; i++)
    if (slots[i].id == id) return open_weight(ctx, r, source, stage, &slots[i]);
  return pith_fail(ctx, PITH_E_INTERNAL, "the family has no weight %u at stage %d", (unsigned)id, (int)stage);
}

void pith_weight_reader_close(pith_ctx *ctx, pith_weight_reader *r) {
  pith_package_tensor_free(ctx, &r->package);
  pith_free(ctx, r->chunk);
  pith_free(ctx, r->places);
  memset(r, 0, sizeof *r);
}

uint32_t pith_weight_reader_rows_of(const pith_weight_reader *r, uint64_t n_bytes) {
  const uint64_t panels = n_bytes / pith_matrix_code_bytes(&r->matrix, PITH_PANEL), rows = (panels > 1 ? panels : 1) * PITH_PANEL;
  const uint64_t all = pith_round_up(r->slot.rows, PITH_PANEL);
  return (uint32_t)(rows < all ? rows : all);
}

static pith_status read_checkpoint(pith_ctx *ctx, const pith_weight_reader *r, uint32_t row, uint32_t n, float *dst) {
  if (is_vector(r)) return pith_checkpoint_read(ctx, r->file, &r->entry, 0, r->slot.cols, dst);
  for (uint32_t done = 0; done < n;) {
    const uint32_t rows = n - done < r->chunk_rows ? n - done : r->chunk_rows;
    PITH_TRY(pith_checkpoint_panels(ctx, r->file, &r->entry, row + done, rows, r->chunk, dst + (size_t)done * r->slot.cols));
    done += rows;
  }
  return PITH_OK;
}

/* The places of all of a part, which say where the codes of its rows begin. */
static pith_status read_places(pith_ctx *ctx, pith_weight_reader *r, uint32_t i) {
  const pith_package_part *part = &r->package.parts[i];
  const uint64_t n_bytes = pith_matrix_place_bytes(&r->package.matrix, part->n_rows);
  if (r->places && r->part == i) return PITH_OK;
  pith_free(ctx, r->places);
  r->places = NULL;
  r->part = i;
  PITH_TRY(pith_malloc(ctx, (size_t)n_bytes, &r->places));
  PITH_TRY(open_shard(ctx, r->source, part->shard));
  PITH_TRY(pith_io_read(ctx, r->source->handle, part->places, r->places, n_bytes, r->source->model->manifest.shards[part->shard].file));
  const char *fault = pith_matrix_places_fault(&r->package.matrix, part->n_rows, r->places, part->n_stored);
  return fault ? pith_package_bad_tensor(ctx, r->slot.name, fault) : PITH_OK;
}

/* Rows [from, to) of a part, counted in it: from memory, or from a shard. */
static pith_status read_rows(pith_ctx *ctx, pith_weight_reader *r, uint32_t i, uint32_t from, uint32_t to, uint8_t *codes, uint8_t *scales) {
  const pith_part *whole = r->whole ? &r->whole->matrix.parts[i] : NULL;
  const pith_package_part *part = whole ? NULL : &r->package.parts[i];
  const pith_matrix *m = whole ? &r->whole->matrix : &r->package.matrix;   /* as it is stored */
  const bool sparse = !is_vector(r) && pith_encoding_sparse(m->encoding);
  if (sparse && part) PITH_TRY(read_places(ctx, r, i));
  const uint8_t *places = whole ? whole->places : r->places, *these = sparse ? places + pith_matrix_place_bytes(m, from) : NULL;
  const uint64_t code_at = sparse ? pith_matrix_stored_bytes(m, from, places) : pith_matrix_code_bytes(m, from);
  const uint64_t n_room = code_bytes(r, to - from);
  const uint64_t n_codes = sparse ? pith_matrix_stored_bytes(m, to - from, these) : is_vector(r) ? n_room : pith_matrix_code_bytes(m, to - from);
  const uint64_t scale_at = pith_matrix_scale_bytes(m, from), n_scales = pith_matrix_scale_bytes(m, to - from);
  uint8_t *stored = codes + (n_room - n_codes);   /* at the end of their room, from where they are expanded */
  if (whole) {
    memcpy(stored, (const uint8_t *)whole->codes + code_at, (size_t)n_codes);
    if (n_scales) memcpy(scales, (const uint8_t *)whole->scales + scale_at, (size_t)n_scales);
  } else {
    const char *name = r->source->model->manifest.shards[part->shard].file;
    const pith_part these_rows = {0, to - from, stored, scales, these, n_codes, NULL, NULL};
    PITH_TRY(open_shard(ctx, r->source, part->shard));
    PITH_TRY(pith_io_read(ctx, r->source->handle, part->codes + code_at, stored, n_codes, name));
    if (n_scales) PITH_TRY(pith_io_read(ctx, r->source->handle, part->scales + scale_at, scales, n_scales, name));
    PITH_TRY(pith_package_check(ctx, &r->slot, m, &these_rows));
  }
  if (is_vector(r) || !is_expanded(m) || pith_matrix_expand(m, to - from, these, stored, codes)) return PITH_OK;
  return pith_package_bad_tensor(ctx, r->slot.name, PITH_BITS_LEFT);
}

/* What [row, end) and a part share. */
static pith_status read_part(pith_ctx *ctx, pith_weight_reader *r, uint32_t i, uint32_t row, uint32_t end, uint8_t *codes, uint8_t *scales) {
  const uint32_t part_begin = r->whole ? r->whole->matrix.parts[i].row_begin : r->package.parts[i].row_begin;
  const uint32_t part_end = part_begin + (r->whole ? r->whole->matrix.parts[i].n_rows : r->package.parts[i].n_rows);
  const uint32_t from = row > part_begin ? row : part_begin, to = end < part_end ? end : part_end;
  if (from >= to) return PITH_OK;
  codes += pith_matrix_code_bytes(&r->matrix, from - row);
  if (scales) scales += pith_matrix_scale_bytes(&r->matrix, from - row);
  return read_rows(ctx, r, i, from - part_begin, to - part_begin, codes, scales);
}

pith_status pith_weight_reader_read(pith_ctx *ctx, pith_weight_reader *r, uint32_t row, uint32_t n, void *codes, void *scales) {
  if (r->source->checkpoint) return read_checkpoint(ctx, r, row, n, codes);
  if (r->whole && is_vector(r)) {
    memcpy(codes, r->whole->vector, r->slot.cols * sizeof(float));
    return PITH_OK;
  }
  const uint32_t n_parts = r->whole ? r->whole->matrix.n_parts : r->package.matrix.n_parts;
  for (uint32_t i = 0; i < n_parts; i++) PITH_TRY(read_part(ctx, r, i, row, row + n, codes, scales));
  return PITH_OK;
}

pith_status pith_stage_reader_begin(pith_ctx *ctx, pith_stage_reader *r, pith_source *source, int32_t stage, const uint32_t *limits,
                                    pith_weights *into) {
  const pith_config *c = &source->model->config;
  pith_stage_reader_close(ctx, r);
  pith_weights_free(ctx, into);
  r->source = source;
  r->stage = stage;
  r->into = into;
  r->limits = limits;
  r->n_slots = c->family->slots(c, stage, r->slots);
  return pith_weights_init(ctx, into, 1);
}

/* Opens the slot at hand and makes its room. */
static pith_status begin_slot(pith_ctx *ctx, pith_stage_reader *r) {
  const pith_slot *slot = &r->slots[r->slot];
  const int32_t n_layers = r->source->model->config.n_layers, place = r->stage < 0 ? -1 : r->stage < n_layers ? 0 : 1;
  pith_weight *weight = &pith_weights_stage(r->into, place)->weights[slot->id];
  r->row = 0;
  r->n_rows = slot->rows;
  if (r->limits && slot->role != PITH_ROLE_VECTOR && r->limits[slot->id] < slot->rows) r->n_rows = r->limits[slot->id];
  if (r->n_rows == 0) return PITH_OK;
  PITH_TRY(open_weight(ctx, &r->reader, r->source, r->stage, slot));
  const uint64_t n_codes = code_bytes(&r->reader, r->n_rows), n_scales = pith_matrix_scale_bytes(&r->reader.matrix, r->n_rows);
  if (n_codes > SIZE_MAX / 2) return pith_fail(ctx, PITH_E_MEMORY, "tensor \"%s\" does not fit the address space", slot->name);
  PITH_TRY(pith_weights_take(ctx, r->into, (size_t)n_codes, &r->codes));
  r->scales = NULL;
  if (n_scales) PITH_TRY(pith_weights_take(ctx, r->into, (size_t)n_scales, &r->scales));
  if (slot->role == PITH_ROLE_VECTOR) {
    weight->vector = (const float *)(void *)r->codes;
    return PITH_OK;
  }
  pith_part *part;
  PITH_TRY(pith_weights_take(ctx, r->into, sizeof *part, &part));
  *part = (pith_part){.n_rows = r->n_rows, .codes = r->codes, .scales = r->scales};
  weight->matrix = r->reader.matrix;
  weight->matrix.rows = r->n_rows;
  weight->matrix.n_parts = 1;
  weight->matrix.parts = part;
  return PITH_OK;
}

pith_status pith_stage_reader_step(pith_ctx *ctx, pith_stage_reader *r) {
  for (uint64_t done = 0; done < STEP_BYTES;) {
    if (r->slot == r->n_slots) return PITH_OK;
    if (!r->reader.source) PITH_TRY(begin_slot(ctx, r));
    if (r->row < r->n_rows) {
      const uint32_t step = pith_weight_reader_rows_of(&r->reader, CHUNK_BYTES), n = r->n_rows - r->row < step ? r->n_rows - r->row : step;
      const pith_matrix *m = &r->reader.matrix;
      uint8_t *scales = r->scales ? r->scales + pith_matrix_scale_bytes(m, r->row) : NULL;
      PITH_TRY(pith_weight_reader_read(ctx, &r->reader, r->row, n, r->codes + pith_matrix_code_bytes(m, r->row), scales));
      r->row += n;
      done += code_bytes(&r->reader, n);
    }
    if (r->row < r->n_rows) continue;
    pith_weight_reader_close(ctx, &r->reader);
    r->slot++;
  }
  return PITH_PENDING;
}

void pith_stage_reader_close(pith_ctx *ctx, pith_stage_reader *r) {
  pith_weight_reader_close(ctx, &r->reader);
  memset(r, 0, sizeof *r);
}
