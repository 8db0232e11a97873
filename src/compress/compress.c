#include "compress/compress.h"

#include <string.h>

enum { CHUNK_BYTES = 1 << 20 };
#define PLAIN_SHARE 0.03   /* what a weight takes that is not calibrated where others are: so much less that time left would be told far too short */

static pith_status check_options(pith_ctx *ctx, const pith_compression_options *o) {
  if (o->shard_bytes < (64u << 10) || o->shard_bytes > (1u << 29))
    return pith_fail(ctx, PITH_E_ARGUMENT, "the shard size should be from 64 KiB to 512 MiB");
  return PITH_OK;
}

pith_status pith_compression_begin(pith_ctx *ctx, pith_compression *c, const pith_compression_options *options) {
  memset(c, 0, sizeof *c);
  c->options = *options;
  PITH_TRY(check_options(ctx, options));
  PITH_TRY(pith_recipe_parse(ctx, options->recipe, "the recipe", &c->recipe));
  if (c->recipe.ordered && !options->calibration)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the recipe's \"order\" looks at texts: give some to calibrate with");
  PITH_TRY(pith_checkpoint_open(ctx, options->source, &c->checkpoint));
  PITH_TRY(pith_pruning_begin(ctx, &c->pruning, &c->recipe.prune, &c->checkpoint.config, options->calibration != NULL));
  PITH_TRY(pith_migration_begin(ctx, &c->migration, &c->recipe, &c->pruning, options->calibration != NULL));
  PITH_TRY(pith_recipe_check(ctx, &c->recipe, &c->pruning.config, options->calibration != NULL, &c->solves));
  if (options->resume && c->recipe.migrate.by != PITH_MIGRATE_NOT)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "a recipe that migrates scales cannot be resumed: what was folded is not in the package; begin it without resuming");
  PITH_TRY(pith_package_writer_open(ctx, &c->writer, options->output, options->source, options->shard_bytes, options->force, options->resume));
  PITH_TRY(pith_malloc(ctx, CHUNK_BYTES, &c->chunk));
  c->parent_files = pith_json_new_array();
  c->tensors = pith_json_new_array();
  c->stage = -2;
  for (size_t i = 0; i < c->checkpoint.n_files; i++) c->total += (double)c->checkpoint.files[i].n_bytes;
  pith_sha256_init(&c->sha);
  return PITH_OK;
}

/* The parent, as calibration and measuring run it. */
static pith_status open_parent(pith_ctx *ctx, pith_compression *c) {
  c->parent.config = c->checkpoint.config;
  c->parent.kernels = c->options.kernels;
  PITH_TRY(pith_model_checkpoint_tokenizer(ctx, &c->checkpoint, &c->parent.tokenizer));
  c->parent_source = pith_source_checkpoint(&c->parent, &c->checkpoint);
  if (!c->options.calibration) return PITH_OK;
  PITH_TRY(pith_calibration_begin(ctx, &c->calibration, &c->parent_source, c->recipe.attention, c->options.calibration, true));
  c->calibration.ordered = c->recipe.ordered;
  c->calibration.moves_inputs = c->recipe.migrate.by != PITH_MIGRATE_NOT;
  c->calibration.cuts = c->checkpoint.config.family->task == PITH_TASK_EMBED;
  if (c->solves || c->pruning.layers) c->calibration.most_tokens = PITH_SOLVING_TOKENS;
  if (!c->solves) c->calibration.rounding_rows = PITH_CALIBRATION_TOKENS;
  return PITH_OK;
}

static void hash_texts(const pith_texts *texts, size_t n, char hex[65]) {
  pith_sha256 sha;
  pith_sha256_init(&sha);
  for (size_t i = 0; i < n; i++) {
    pith_sha256_update(&sha, texts->texts[i], texts->n_bytes[i]);
    pith_sha256_update(&sha, "\n", 1);
  }
  pith_sha256_final(&sha, hex);
}

/* All that the shards' bytes depend on, under the names that messages give it. */
static pith_status begin_resuming(pith_ctx *ctx, pith_compression *c) {
  if (!c->options.resume) return PITH_OK;
  pith_json *made_by = pith_json_new_object();
  char hex[65] = "";
  if (c->options.calibration) hash_texts(c->options.calibration, c->options.calibration->n, hex);
  pith_json_add_number(made_by, "version of the format", PITH_FORMAT_VERSION);
  pith_json_add(made_by, "recipe", pith_json_copy(c->options.recipe));
  pith_json_add(made_by, "model", pith_json_copy(c->parent_files));
  pith_json_add_string(made_by, "set of calibration texts", hex);
  pith_json_add_number(made_by, "shard size", (double)c->options.shard_bytes);
  PITH_TRY(pith_resume_begin(ctx, &c->resume, c->writer.folder.partial, made_by));
  c->writer.kept = c->resume.shards;
  return PITH_OK;
}

/* Rows of a tensor as progress counts them: in weights, of all of which there are as many as the model has. */
static double work_of(const pith_compression *c, int32_t stage, const pith_slot *slot, uint64_t rows) {
  const bool plain = c->options.calibration && !pith_recipe_calibrates(&c->pruning.config, stage, slot);
  return (double)rows * slot->cols * (plain ? PLAIN_SHARE : 1.0) * c->pace;
}

/* The parent's files, each hashed from end to end. */
static pith_status step_hash(pith_ctx *ctx, pith_compression *c) {
  pith_checkpoint_file *file = &c->checkpoint.files[c->file];
  const uint64_t left = file->n_bytes - c->offset, n = left < CHUNK_BYTES ? left : CHUNK_BYTES;
  PITH_TRY(pith_io_read(ctx, file->handle, c->offset, c->chunk, n, file->name));
  pith_sha256_update(&c->sha, c->chunk, (size_t)n);
  c->offset += n;
  c->done += (double)n;
  if (c->offset < file->n_bytes) return PITH_PENDING;
  char hex[65];
  pith_json *hash = pith_json_new_array();
  pith_sha256_final(&c->sha, hex);
  pith_json_add_string(hash, NULL, hex);
  pith_json_add(c->parent_files, NULL, pith_file_record_print(file->name, file->n_bytes, hash));
  pith_sha256_init(&c->sha);
  c->offset = 0;
  if (++c->file < c->checkpoint.n_files) return PITH_PENDING;
  pith_free(ctx, c->chunk);
  c->chunk = NULL;
  PITH_TRY(open_parent(ctx, c));   /* its tokenizer is needed later at the latest, so a faulty one shows now */
  PITH_TRY(begin_resuming(ctx, c));
  c->phase = PITH_COMPRESS_QUANTIZE;
  c->done = 0;
  c->total = 0;
  const pith_config *config = &c->pruning.config;
  double work = 0.0;
  c->pace = 1.0;
  for (int32_t stage = -1; stage <= config->n_layers; stage++) {
    const uint32_t k = config->family->slots(config, stage, c->slots);
    for (uint32_t i = 0; i < k; i++) {
      c->total += (double)c->slots[i].rows * c->slots[i].cols;
      work += work_of(c, stage, &c->slots[i], c->slots[i].rows);
    }
  }
  c->pace = c->total / work;
  return PITH_PENDING;
}

static bool in_layer(const pith_compression *c) { return c->stage >= 0 && c->stage < c->pruning.config.n_layers; }

/* The stage's weights as the parent has them, the same ones in the same order. */
static void parent_slots(const pith_compression *c, pith_slot slots[PITH_MAX_SLOTS]) {
  const pith_config *parent = &c->checkpoint.config;
  (void)parent->family->slots(parent, pith_pruning_parent_stage(&c->pruning, c->stage), slots);
}

/* The tensor's place in whole shards, if it has one: it is then open to be taken from there. */
static pith_status take_slot(pith_ctx *ctx, pith_compression *c, uint32_t i) {
  const pith_slot *slot = &c->slots[i];
  const bool calibrated = c->options.calibration && pith_recipe_calibrates(&c->pruning.config, c->stage, slot);
  pith_slot slots[PITH_MAX_SLOTS];
  pith_recipe_rule rule;
  parent_slots(c, slots);
  if (slot->role != PITH_ROLE_VECTOR) PITH_TRY(pith_recipe_rule_for(ctx, &c->recipe, slot, &rule));
  PITH_TRY(pith_tensor_encoder_open(ctx, &c->encoder, &c->checkpoint, slot, &slots[i], NULL, &rule, calibrated ? &c->calibration : NULL, c->options.shard_bytes));
  c->taken = pith_tensor_encoder_kept(&c->encoder, &c->resume);
  if (!c->taken) pith_tensor_encoder_free(ctx, &c->encoder);
  return PITH_OK;
}

/* A pruned layer is taken as a whole or not at all: what goes is chosen, and what stays is solved for, by all of a half-layer's weights. */
static pith_status find_layer(pith_ctx *ctx, pith_compression *c) {
  c->layer_taken = true;
  for (uint32_t i = 0; i < c->n_slots && c->layer_taken; i++) {
    PITH_TRY(take_slot(ctx, c, i));
    c->layer_taken = c->taken;
    if (c->taken) pith_tensor_encoder_free(ctx, &c->encoder);
    c->taken = false;
  }
  return PITH_OK;
}

/* Calibration goes where the half of the parent's layer begins, so that it can learn what became of a matrix that it has no say in. */
static pith_status reach_half(pith_ctx *ctx, pith_compression *c, int32_t from, uint32_t id) {
  const pith_status status = pith_calibration_tokenize(ctx, &c->calibration);
  return status == PITH_OK ? pith_calibration_reach(ctx, &c->calibration, from, pith_forward_half_of(&c->checkpoint.config, id)) : status;
}

/* A part from there. What calibration runs with learns it: a matrix when it is written, of a pruned layer its vectors and its shape too. */
static pith_status step_taken(pith_ctx *ctx, pith_compression *c) {
  const bool pruned = c->pruning.layers && c->options.calibration && in_layer(c), vector = c->encoder.slot->role == PITH_ROLE_VECTOR;
  const uint32_t id = c->encoder.slot->id;
  if ((c->encoder.calibration || pruned) && c->encoder.part_begin == 0) {
    const pith_status there = reach_half(ctx, c, pith_pruning_parent_stage(&c->pruning, c->stage), vector ? PITH_QUERY : id);
    if (there != PITH_OK) return there;
    if (pruned) pith_calibration_reshape(&c->calibration, c->pruning.layers[c->stage]);
  }
  const pith_status status = pith_tensor_encoder_take(ctx, &c->encoder, &c->resume, &c->writer);
  if (status == PITH_OK && pruned && vector) return pith_calibration_learn_vector(ctx, &c->calibration, id, c->encoder.slot->cols, (const float *)(const void *)c->encoder.codes);
  return status;
}

/* Opens the next weight; PITH_OK when there is none left. */
static pith_status next_slot(pith_ctx *ctx, pith_compression *c) {
  const pith_config *config = &c->pruning.config;
  while (c->slot >= c->n_slots) {
    c->stage = c->stage == -2 ? -1 : c->stage + 1;
    if (c->stage > config->n_layers) return PITH_OK;
    c->n_slots = config->family->slots(config, c->stage, c->slots);
    c->slot = 0;
    c->layer_taken = false;
    if (c->resume.n_shards > 0 && c->pruning.layers && in_layer(c)) PITH_TRY(find_layer(ctx, c));
  }
  const pith_slot *slot = &c->slots[c->slot];
  const bool calibrated = c->options.calibration && pith_recipe_calibrates(config, c->stage, slot), layer = in_layer(c);
  const int32_t from = pith_pruning_parent_stage(&c->pruning, c->stage);
  if (c->resume.n_shards > 0 && (c->layer_taken || !c->pruning.layers || !layer)) {
    PITH_TRY(take_slot(ctx, c, c->slot));
    if (c->taken) return PITH_PENDING;
  }
  pith_status status = pith_pruning_step(ctx, &c->pruning, &c->parent_source, c->options.calibration ? &c->calibration : NULL, c->stage, slot->id);
  if (status == PITH_OK) status = pith_migration_step(ctx, &c->migration, &c->calibration, c->stage, slot->id);
  if (status != PITH_OK) return status;
  pith_slot slots[PITH_MAX_SLOTS];
  parent_slots(c, slots);
  const pith_edit *edit = layer ? &c->pruning.edits.weights[slot->id] : NULL;
  pith_recipe_rule rule;
  if (slot->role != PITH_ROLE_VECTOR) PITH_TRY(pith_recipe_rule_for(ctx, &c->recipe, slot, &rule));
  if (calibrated) {
    const bool rounds = pith_tensor_encoder_rounds(&c->checkpoint, &slots[c->slot], edit, &rule);
    status = rounds ? pith_calibration_step(ctx, &c->calibration, from, slot->id) : reach_half(ctx, c, from, slot->id);
    if (rounds && status == PITH_OK) status = pith_calibration_shift(ctx, &c->calibration, slot->id, &c->pruning.edits);
    if (status != PITH_OK) return status;
  }
  PITH_TRY(pith_tensor_encoder_open(ctx, &c->encoder, &c->checkpoint, slot, &slots[c->slot], edit, &rule, calibrated ? &c->calibration : NULL, c->options.shard_bytes));
  return PITH_PENDING;
}

/* tokenizer.json as it is, or as a GGUF file's metadata have it. */
static pith_status write_tokenizer(pith_ctx *ctx, pith_compression *c) {
  pith_buffer text = {0};
  pith_status status = pith_checkpoint_tokenizer(ctx, &c->checkpoint, &text);
  if (status == PITH_OK) status = pith_package_writer_file(ctx, &c->writer, PITH_TOKENIZER_FILE, text.data, text.n_bytes, &c->tokenizer);
  pith_buffer_free(ctx, &text);
  return status;
}

/* The names of tensors that no verb of this family reads, and of layers that are gone. */
static pith_json *omitted(pith_compression *c) {
  pith_json *list = pith_json_new_array();
  pith_slot slots[PITH_MAX_SLOTS];
  const pith_config *config = &c->checkpoint.config, *left = &c->pruning.config;
  for (size_t f = 0; f < c->checkpoint.n_files; f++)
    for (size_t i = 0; i < c->checkpoint.files[f].index.n_entries; i++) {
      const pith_tensor_entry *entry = &c->checkpoint.files[f].index.entries[i];
      bool used = false;
      for (int32_t stage = -1; stage <= left->n_layers && !used; stage++) {
        const uint32_t n = config->family->slots(config, pith_pruning_parent_stage(&c->pruning, stage), slots);
        for (uint32_t k = 0; k < n && !used; k++) {
          const pith_checkpoint_file *file;
          const pith_tensor_entry *found;
          /* by identity of the entry, so that prefixes and tied heads count */
          used = pith_checkpoint_slot(&c->checkpoint, &slots[k], &file, &found) && found == entry;
        }
      }
      if (!used) pith_json_add_string(list, NULL, entry->name);
    }
  return list;
}

static pith_json *parent_json(pith_compression *c) {
  pith_json *parent = pith_json_new_object();
  double n_bytes = 0;
  for (size_t i = 0; i < c->checkpoint.n_files; i++) n_bytes += (double)c->checkpoint.files[i].n_bytes;
  pith_json_add_number(parent, "bytes", n_bytes);
  pith_json_add(parent, "files", pith_json_copy(c->parent_files));
  return parent;
}

/* Written twice: first for the measuring, which reads the package as it is on the disk, then with the measured quality. */
static pith_status write_manifest(pith_ctx *ctx, pith_compression *c, uint64_t *n_bytes) {
  pith_json *json = pith_json_new_object();
  pith_json_add_string(json, "format", "pith");
  pith_json_add_number(json, "version", PITH_FORMAT_VERSION);
  pith_json_add_string(json, "family", c->checkpoint.config.family->name);
  pith_json_add_number(json, "parameters", (double)c->n_parameters);
  pith_json_add(json, "recipe", pith_json_copy(c->options.recipe));
  if (c->calibration_json) pith_json_add(json, "calibration", pith_json_copy(c->calibration_json));
  pith_json_add(json, "quality", c->quality ? pith_json_copy(c->quality) : pith_json_new_object());
  pith_json_add(json, "parent", parent_json(c));
  pith_json_add(json, "omitted", omitted(c));
  pith_json_add(json, "config", pith_json_copy(c->checkpoint.config_json));
  pith_config config = c->pruning.config;
  config.attention = c->recipe.attention;
  pith_json_add(json, "settings", pith_settings_print(&config));
  pith_json_add(json, "tokenizer", pith_json_copy(c->tokenizer));
  pith_json_add(json, "shards", pith_json_copy(c->writer.shards));
  pith_json_add(json, "tensors", pith_json_copy(c->tensors));
  pith_buffer text = {0};
  pith_json *record = NULL;
  const uint64_t before = c->writer.n_bytes;
  pith_status status = pith_json_print(ctx, json, true, &text);
  if (status == PITH_OK) status = pith_buffer_append(ctx, &text, "\n", 1);
  if (status == PITH_OK) status = pith_package_writer_file(ctx, &c->writer, PITH_MANIFEST_FILE, text.data, text.n_bytes, &record);
  *n_bytes = c->writer.n_bytes - before;
  if (!c->quality) c->writer.n_bytes = before;   /* the second one replaces it */
  pith_buffer_free(ctx, &text);
  pith_json_free(record);
  pith_json_free(json);
  return status;
}

static pith_status check_bytes(pith_ctx *ctx, pith_compression *c, uint64_t more) {
  const uint64_t n_bytes = c->writer.n_bytes + more;
  if (c->options.max_bytes == 0 || n_bytes <= c->options.max_bytes) return PITH_OK;
  c->excess = n_bytes - c->options.max_bytes;
  return pith_fail(ctx, PITH_E_LIMIT, "the package would have %llu bytes, more than the %llu allowed", (unsigned long long)n_bytes, (unsigned long long)c->options.max_bytes);
}

/* All is written but the quality: both models are measured from their files. */
static pith_status begin_measure(pith_ctx *ctx, pith_compression *c) {
  char *path;
  size_t n_bytes;
  PITH_TRY(pith_path_join(ctx, c->writer.folder.partial, PITH_MANIFEST_FILE, &path));
  const pith_status status = pith_model_read_manifest(ctx, path, &c->package, &n_bytes);
  pith_free(ctx, path);
  PITH_TRY(status);
  c->package.kernels = c->options.kernels;
  PITH_TRY(pith_source_package(ctx, &c->package_source, &c->package, c->writer.folder.partial));
  const pith_texts *texts = c->options.texts;
  if (!texts) {
    const char *defaults = pith_default_texts();
    PITH_TRY(pith_texts_split(ctx, defaults, strlen(defaults), &c->default_texts));
    texts = &c->default_texts;
  }
  c->phase = PITH_COMPRESS_MEASURE;
  c->done = c->total = 0;
  PITH_TRY(pith_evaluation_begin(ctx, &c->evaluation, &c->package_source, &c->parent_source, texts, false));
  return PITH_PENDING;
}

/* What the manifest says of it stays, its memory goes. */
static void calibration_done(pith_ctx *ctx, pith_compression *c) {
  if (!c->options.calibration) return;
  char hex[65];
  hash_texts(c->options.calibration, c->calibration.n_tokenized, hex);
  c->calibration_json = pith_json_new_object();
  pith_json_add_number(c->calibration_json, "texts", (double)c->calibration.n_tokenized);
  pith_json_add_number(c->calibration_json, "tokens", (double)c->calibration.ids.n);
  pith_json_add_string(c->calibration_json, "sha256", hex);
  pith_json *folds = pith_migration_report(&c->migration);
  if (folds) pith_json_add(c->calibration_json, "folds", folds);
  pith_calibration_free(ctx, &c->calibration);
}

static pith_status step_quantize(pith_ctx *ctx, pith_compression *c) {
  if (!c->encoder.slot) {
    const pith_status status = next_slot(ctx, c);
    if (status != PITH_OK) return status;
    calibration_done(ctx, c);
    PITH_TRY(pith_package_writer_flush(ctx, &c->writer));
    PITH_TRY(pith_resume_note(ctx, &c->resume, &c->writer));
    PITH_TRY(write_tokenizer(ctx, c));
    uint64_t manifest_bytes;
    PITH_TRY(write_manifest(ctx, c, &manifest_bytes));
    PITH_TRY(check_bytes(ctx, c, manifest_bytes));   /* before time goes into measuring */
    return begin_measure(ctx, c);
  }
  const uint64_t before = c->encoder.scanning ? 0 : c->encoder.row;
  const pith_slot *slot = c->encoder.slot;
  const pith_status status = c->taken ? step_taken(ctx, c) : pith_tensor_encoder_step(ctx, &c->encoder, &c->writer);
  if (status != PITH_OK && status != PITH_PENDING) return status;
  if (!c->encoder.scanning && c->encoder.row > before) c->done += work_of(c, c->stage, slot, c->encoder.row - before);
  PITH_TRY(pith_resume_note(ctx, &c->resume, &c->writer));
  if (status == PITH_PENDING) return PITH_PENDING;
  c->taken = false;
  c->n_parameters += (uint64_t)slot->rows * slot->cols;
  pith_json_add(c->tensors, NULL, pith_tensor_encoder_entry(&c->encoder));
  pith_tensor_encoder_free(ctx, &c->encoder);
  if (c->stage >= 0 && c->stage < c->pruning.config.n_layers) pith_edits_drop(ctx, &c->pruning.edits, slot->id);
  c->slot++;
  return PITH_PENDING;
}

static pith_status step_measure(pith_ctx *ctx, pith_compression *c) {
  const pith_status status = pith_evaluation_step(ctx, &c->evaluation);
  c->done = c->evaluation.done;
  c->total = c->evaluation.total;
  if (status != PITH_OK) return status;
  c->quality = pith_json_new_object();
  pith_json_add_string(c->quality, "measuredOn", c->options.texts ? c->options.texts_name : "Pith's default texts");
  pith_evaluation_report(&c->evaluation, c->quality);
  pith_source_close(ctx, &c->package_source);   /* before its folder gets another name */
  uint64_t manifest_bytes;
  PITH_TRY(write_manifest(ctx, c, &manifest_bytes));
  PITH_TRY(check_bytes(ctx, c, 0));
  PITH_TRY(pith_package_writer_publish(ctx, &c->writer));
  c->phase = PITH_COMPRESS_DONE;
  return PITH_OK;
}

pith_status pith_compression_step(pith_ctx *ctx, pith_compression *c) {
  switch (c->phase) {
    case PITH_COMPRESS_HASH: return step_hash(ctx, c);
    case PITH_COMPRESS_QUANTIZE: return step_quantize(ctx, c);
    case PITH_COMPRESS_MEASURE: return step_measure(ctx, c);
    case PITH_COMPRESS_DONE: break;
  }
  return PITH_OK;
}

void pith_compression_report(const pith_compression *c, pith_json *out) {
  double parent = 0;
  for (size_t i = 0; i < c->checkpoint.n_files; i++) parent += (double)c->checkpoint.files[i].n_bytes;
  pith_json_add_number(out, "bytes", (double)c->writer.n_bytes);
  pith_json_add_number(out, "parentBytes", parent);
  pith_json_add_number(out, "ratio", parent / (double)c->writer.n_bytes);
  pith_json_add_number(out, "shards", c->writer.n_shards);
  pith_json *folds = pith_migration_report(&c->migration);
  if (folds) pith_json_add(out, "folds", folds);
  pith_json_add(out, "quality", pith_json_copy(c->quality));
}

void pith_compression_free(pith_ctx *ctx, pith_compression *c) {
  pith_evaluation_free(ctx, &c->evaluation);
  pith_calibration_free(ctx, &c->calibration);
  pith_migration_free(ctx, &c->migration);
  pith_pruning_free(ctx, &c->pruning);
  pith_json_free(c->calibration_json);
  pith_resume_free(ctx, &c->resume);
  pith_source_close(ctx, &c->package_source);
  pith_source_close(ctx, &c->parent_source);
  pith_model_close(ctx, &c->parent);
  pith_model_close(ctx, &c->package);
  pith_texts_free(ctx, &c->default_texts);
  pith_tensor_encoder_free(ctx, &c->encoder);
  pith_package_writer_close(ctx, &c->writer);
  pith_checkpoint_close(ctx, &c->checkpoint);
  pith_json_free(c->parent_files);
  pith_json_free(c->tokenizer);
  pith_json_free(c->tensors);
  pith_json_free(c->quality);
  pith_free(ctx, c->chunk);
  memset(c, 0, sizeof *c);
}
