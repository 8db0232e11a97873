#include <math.h>
#include <string.h>

#include "verbs/verbs.h"

typedef struct inspect_state {
  pith_checkpoint checkpoint;
  pith_model package;        /* its manifest and configuration */
} inspect_state;

static pith_json *shape_of(const uint64_t *dims, uint32_t n_dims) {
  pith_json *shape = pith_json_new_array();
  for (uint32_t d = 0; d < n_dims; d++) pith_json_add_number(shape, NULL, (double)dims[d]);
  return shape;
}

static void add_head(pith_job *job, const char *kind, const pith_config *config, double parameters, double n_bytes) {
  pith_json_add_string(job->result, "kind", kind);
  pith_json_add_string(job->result, "family", config->family->name);
  pith_json_add_string(job->result, "task", pith_task_name(config->task));
  pith_json_add_number(job->result, "parameters", parameters);
  pith_json_add_number(job->result, "bytes", n_bytes);
}

static pith_status inspect_checkpoint(pith_job *job, const char *path) {
  inspect_state *s = job->state;
  PITH_TRY(pith_checkpoint_open(job->ctx, path, &s->checkpoint));
  pith_json *tensors = pith_json_new_array();
  double parameters = 0, n_bytes = 0;
  for (size_t f = 0; f < s->checkpoint.n_files; f++) {
    const pith_tensor_index *index = &s->checkpoint.files[f].index;
    n_bytes += (double)s->checkpoint.files[f].n_bytes;
    for (size_t i = 0; i < index->n_entries; i++) {
      const pith_tensor_entry *e = &index->entries[i];
      pith_json *tensor = pith_json_new_object();
      pith_json_add_string(tensor, "name", e->name);
      pith_json_add(tensor, "shape", shape_of(e->dims, e->n_dims));
      pith_json_add_string(tensor, "encoding", pith_dtype_name(e->dtype));
      pith_json_add_number(tensor, "bytes", (double)e->n_bytes);
      pith_json_add(tensors, NULL, tensor);
      if (pith_dtype_is_weight(e->dtype)) parameters += (double)pith_tensor_elems(e);
    }
  }
  add_head(job, "checkpoint", &s->checkpoint.config, parameters, n_bytes);
  pith_json_add(job->result, "config", pith_json_copy(s->checkpoint.config_json));
  pith_json_add(job->result, "tensors", tensors);
  return PITH_OK;
}

/* Bytes of each tensor come from the shards' headers, which the loader reads too. */
static pith_status shard_bytes(pith_job *job, const char *path, const pith_manifest *m, pith_safetensors *indexes) {
  for (uint32_t i = 0; i < m->n_shards; i++) {
    char *file;
    int32_t handle;
    uint64_t size;
    PITH_TRY(pith_path_join(job->ctx, path, m->shards[i].file, &file));
    pith_status status = pith_io_open(job->ctx, file, &handle, &size);
    if (status == PITH_OK) status = pith_safetensors_read(job->ctx, handle, size, m->shards[i].file, &indexes[i]);
    if (status != PITH_E_IO) pith_io_close(job->ctx, handle);
    pith_free(job->ctx, file);
    PITH_TRY(status);
  }
  return PITH_OK;
}

/* "sparsity": the share of codes that are not stored, where a tensor has places: [panels][…]. */
static void add_tensors(pith_job *job, const pith_manifest *m, const pith_safetensors *indexes) {
  pith_json *tensors = pith_json_new_array();
  for (const pith_json *t = pith_json_first(pith_json_get(m->json, "tensors")); t; t = pith_json_next(t)) {
    pith_json *tensor = pith_json_new_object();
    double n_bytes = 0, n_codes = 0, n_dense = 0;
    pith_encoding encoding;
    const uint32_t bits = pith_encoding_find(pith_json_string(pith_json_get(t, "encoding")), &encoding) ? pith_encoding_bits(encoding) : 0;
    for (const pith_json *p = pith_json_first(pith_json_get(t, "parts")); p; p = pith_json_next(p)) {
      static const char *const kinds[] = {"codes", "scales", "places"};
      int64_t shard;
      if (!pith_json_integer(pith_json_get(p, "shard"), 0, (int64_t)m->n_shards - 1, &shard)) continue;
      for (int k = 0; k < 3; k++) {
        const char *name = pith_json_string(pith_json_get(p, kinds[k]));
        const pith_tensor_entry *entry = name ? pith_safetensors_find(&indexes[shard], name) : NULL;
        if (!entry) continue;
        n_bytes += (double)entry->n_bytes;
        if (k == 0) n_codes += floor((double)entry->n_bytes * 8 / (bits ? bits : 8));
        else if (k == 2) n_dense += (double)entry->dims[0] * PITH_BLOCK * ceil(pith_json_number(pith_json_next(pith_json_first(pith_json_get(t, "shape"))), 0) / PITH_QUAD);
      }
    }
    pith_json_add(tensor, "name", pith_json_copy(pith_json_get(t, "name")));
    pith_json_add(tensor, "shape", pith_json_copy(pith_json_get(t, "shape")));
    pith_json_add(tensor, "encoding", pith_json_copy(pith_json_get(t, "encoding")));
    pith_json_add_number(tensor, "bytes", n_bytes);
    if (n_dense > 0) pith_json_add_number(tensor, "sparsity", 1 - n_codes / n_dense);
    pith_json_add(tensors, NULL, tensor);
  }
  pith_json_add(job->result, "tensors", tensors);
}

static pith_status inspect_package(pith_job *job, const char *path, const char *manifest_path) {
  inspect_state *s = job->state;
  pith_manifest *m = &s->package.manifest;
  size_t n_bytes;
  PITH_TRY(pith_model_read_manifest(job->ctx, manifest_path, &s->package, &n_bytes));
  double total = (double)(n_bytes + m->tokenizer.n_bytes);
  for (uint32_t i = 0; i < m->n_shards; i++) total += (double)m->shards[i].n_bytes;
  add_head(job, "package", &s->package.config, pith_json_number(pith_json_get(m->json, "parameters"), 0), total);
  static const char *const copied[] = {"recipe", "parent", "quality", "omitted", "config", "settings", "shards"};
  for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
    const pith_json *part = pith_json_get(m->json, copied[i]);
    if (part) pith_json_add(job->result, copied[i], pith_json_copy(part));
  }
  pith_safetensors *indexes;
  PITH_TRY(pith_calloc(job->ctx, m->n_shards, sizeof *indexes, &indexes));
  const pith_status status = shard_bytes(job, path, m, indexes);
  if (status == PITH_OK) add_tensors(job, m, indexes);
  for (uint32_t i = 0; i < m->n_shards; i++) pith_safetensors_free(job->ctx, &indexes[i]);
  pith_free(job->ctx, indexes);
  return status;
}

static pith_status start_inspect(pith_job *job) {
  const char *path;
  char *manifest;
  PITH_TRY(pith_request_string(job, "path", true, &path));
  PITH_TRY(pith_path_join(job->ctx, path, PITH_MANIFEST_FILE, &manifest));
  const bool package = job->ctx->host.exists(job->ctx->host.user, manifest) == 1;
  const pith_status status = package ? inspect_package(job, path, manifest) : inspect_checkpoint(job, path);
  pith_free(job->ctx, manifest);
  return status;
}

static void free_inspect(pith_job *job) {
  inspect_state *s = job->state;
  pith_checkpoint_close(job->ctx, &s->checkpoint);
  pith_model_close(job->ctx, &s->package);
}

static const char *const keys[] = {"path", NULL};
const pith_verb pith_verb_inspect = {"inspect", keys, sizeof(inspect_state), start_inspect, pith_verb_done, free_inspect};
