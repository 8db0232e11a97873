#include "package/manifest.h"

#include <string.h>

static bool is_plain_name(const char *name) {
  const size_t n = strlen(name);
  if (n == 0 || n > 200 || name[0] == '.') return false;
  for (size_t i = 0; i < n; i++) {
    const char c = name[i];
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (!fine) return false;
  }
  return true;
}

static bool is_hash(const char *text) {
  if (!text || strlen(text) != 64) return false;
  for (const char *c = text; *c; c++)
    if (!((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'f'))) return false;
  return true;
}

static uint32_t count_pieces(uint64_t n_bytes) { return (uint32_t)((n_bytes + PITH_PIECE_BYTES - 1) / PITH_PIECE_BYTES); }

static pith_status parse_hashes(pith_ctx *ctx, const pith_json *json, const char *what, pith_file_record *out) {
  const bool list = pith_json_is_array(json);
  out->n_pieces = count_pieces(out->n_bytes);
  out->sha256 = list ? pith_json_first(json) : json;
  if (list != (out->n_pieces > 1) || (list && pith_json_count(json) != out->n_pieces))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"sha256\" of %s, which has %llu bytes, should be %s for every %d KiB of it", what, out->file,
                     (unsigned long long)out->n_bytes, out->n_pieces > 1 ? "a list of a hash" : "the one hash", PITH_PIECE_BYTES >> 10);
  const pith_json *hash = out->sha256;
  for (uint32_t i = 0; i < out->n_pieces; i++, hash = pith_json_next(hash))
    if (!is_hash(pith_json_string(hash)))
      return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"sha256\" of %s should be 64 lower-case hexadecimal digits", what, out->file);
  return PITH_OK;
}

pith_status pith_file_record_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_file_record *out) {
  int64_t n_bytes;
  PITH_TRY(pith_json_need_string(ctx, json, "file", what, &out->file));
  if (!is_plain_name(out->file))
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%.80s\" is no plain file name (letters, digits, '-', '_' and '.')", what, out->file);
  PITH_TRY(pith_json_need_integer(ctx, json, "bytes", 1, PITH_SHARD_MAX_BYTES, what, &n_bytes));
  out->n_bytes = (uint64_t)n_bytes;
  return parse_hashes(ctx, pith_json_get(json, "sha256"), what, out);
}

pith_json *pith_file_record_print(const char *file, uint64_t n_bytes, pith_json *hashes) {
  pith_json *json = pith_json_new_object();
  pith_json_add_string(json, "file", file);
  pith_json_add_number(json, "bytes", (double)n_bytes);
  if (pith_json_count(hashes) != 1) {
    pith_json_add(json, "sha256", hashes);
    return json;
  }
  pith_json_add_string(json, "sha256", pith_json_string(pith_json_first(hashes)));
  pith_json_free(hashes);
  return json;
}

/* What every tensor has; the rest is checked against its architecture. */
static pith_status check_tensors(pith_ctx *ctx, const char *what, const pith_json *tensors) {
  const char *text;
  if (!pith_json_is_array(tensors)) return pith_fail(ctx, PITH_E_FORMAT, "%s has no \"tensors\"", what);
  for (const pith_json *t = pith_json_first(tensors); t; t = pith_json_next(t)) {
    PITH_TRY(pith_json_need_string(ctx, t, "name", what, &text));
    PITH_TRY(pith_json_need_string(ctx, t, "encoding", what, &text));
    if (!pith_json_is_array(pith_json_get(t, "shape")))
      return pith_fail(ctx, PITH_E_FORMAT, "%s: the tensor \"%.80s\" has no \"shape\"", what, pith_json_string(pith_json_get(t, "name")));
  }
  return PITH_OK;
}

static pith_status check(pith_ctx *ctx, const char *what, pith_manifest *m) {
  const char *format = pith_json_string(pith_json_get(m->json, "format"));
  int64_t version;
  if (!format || strcmp(format, "pith") != 0) return pith_fail(ctx, PITH_E_FORMAT, "%s is no Pith manifest: its \"format\" is not \"pith\"", what);
  PITH_TRY(pith_json_need_integer(ctx, m->json, "version", 1, 1 << 20, what, &version));
  if (version != PITH_FORMAT_VERSION)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s has version %d, and this Pith reads version %d: a newer Pith wrote it", what, (int)version,
                     PITH_FORMAT_VERSION);
  PITH_TRY(pith_file_record_parse(ctx, pith_json_get(m->json, "tokenizer"), what, &m->tokenizer));
  const pith_json *shards = pith_json_get(m->json, "shards");
  const size_t n = pith_json_count(shards);
  if (!pith_json_is_array(shards) || n == 0 || n > PITH_MAX_SHARDS)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: \"shards\" should list 1 to %d files", what, PITH_MAX_SHARDS);
  PITH_TRY(pith_calloc(ctx, n, sizeof *m->shards, &m->shards));
  for (const pith_json *s = pith_json_first(shards); s; s = pith_json_next(s)) PITH_TRY(pith_file_record_parse(ctx, s, what, &m->shards[m->n_shards++]));
  if (!pith_json_is_object(pith_json_get(m->json, "config"))) return pith_fail(ctx, PITH_E_FORMAT, "%s has no \"config\"", what);
  return check_tensors(ctx, what, pith_json_get(m->json, "tensors"));
}

pith_status pith_manifest_parse(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_manifest *out) {
  memset(out, 0, sizeof *out);
  PITH_TRY(pith_json_parse(ctx, text, n_bytes, what, &out->json));
  const pith_status status = check(ctx, what, out);
  if (status != PITH_OK) pith_manifest_free(ctx, out);
  return status;
}

void pith_manifest_free(pith_ctx *ctx, pith_manifest *m) {
  pith_json_free(m->json);
  pith_free(ctx, m->shards);
  memset(m, 0, sizeof *m);
}
