#include "compress/sensitivity.h"

#include <string.h>

#include "runtime/embed.h"

#define LOGIT_NS 10.0

static pith_layerwise *run_of(pith_sensitivity *s) { return &s->calibration.run; }
static const pith_config *config_of(const pith_sensitivity *s) { return &s->source->model->config; }
static size_t width_of(const pith_sensitivity *s) { return (size_t)config_of(s)->hidden_size; }
static bool embeds(const pith_sensitivity *s) { return config_of(s)->family->task == PITH_TASK_EMBED; }

/* ---- the choices ---- */

static uint64_t stored_bytes(const pith_slot *slot, const pith_recipe_rule *rule) {
  const pith_matrix m = {.encoding = rule->encoding, .scale_dtype = PITH_F16, .rows = slot->rows, .cols = slot->cols, .group_size = rule->group_size};
  return pith_round_up((size_t)pith_matrix_code_bytes(&m, slot->rows), PITH_ALIGN) + pith_round_up((size_t)pith_matrix_scale_bytes(&m, slot->rows), PITH_ALIGN);
}

uint64_t pith_sensitivity_bytes(const pith_slot *slot, const pith_recipe_rule *rule) { return stored_bytes(slot, rule); }

/* What a tensor of that kind may be stored as, the coarsest first. */
static uint32_t rules_of(pith_role role, pith_recipe_rule out[PITH_MAX_CHOICES]) {
  static const pith_recipe_rule multiplied[] = {{.encoding = PITH_ENC_U4, .group_size = 64},        {.encoding = PITH_ENC_U4, .group_size = 32}, {.encoding = PITH_ENC_U5, .group_size = 64},
                                                {.encoding = PITH_ENC_U6, .group_size = 64},        {.encoding = PITH_ENC_U7_PACKED, .group_size = 64}, {.encoding = PITH_ENC_F16}};
  static const pith_recipe_rule looked_up[] = {{.encoding = PITH_ENC_U4, .group_size = 64},        {.encoding = PITH_ENC_U5, .group_size = 64}, {.encoding = PITH_ENC_U6, .group_size = 64},
                                               {.encoding = PITH_ENC_U7_PACKED, .group_size = 64}, {.encoding = PITH_ENC_U8_ROW},               {.encoding = PITH_ENC_F16}};
  if (role == PITH_ROLE_VECTOR || role == PITH_ROLE_LABELS) return 0;
  if (role == PITH_ROLE_TABLE) {
    memcpy(out, looked_up, sizeof looked_up);
    return sizeof looked_up / sizeof *looked_up;
  }
  memcpy(out, multiplied, sizeof multiplied);
  return sizeof multiplied / sizeof *multiplied;
}

bool pith_sensitivity_fixed(const pith_config *config, int32_t stage, const pith_slot *slot, pith_recipe_rule *rule) {
  if (config->family->task != PITH_TASK_EMBED || stage != config->n_layers || (slot->role != PITH_ROLE_MATRIX && slot->role != PITH_ROLE_HEAD)) return false;
  *rule = (pith_recipe_rule){.encoding = PITH_ENC_U7, .group_size = 64};
  return true;
}

static pith_status list_tensors(pith_ctx *ctx, pith_sensitivity *s) {
  const pith_config *config = config_of(s);
  pith_slot slots[PITH_MAX_SLOTS];
  PITH_TRY(pith_calloc(ctx, ((size_t)config->n_layers + 2) * PITH_MAX_SLOTS, sizeof *s->tensors, &s->tensors));
  for (int32_t stage = -1; stage <= config->n_layers; stage++) {
    const uint32_t n = config->family->slots(config, stage, slots);
    for (uint32_t i = 0; i < n; i++) {
      pith_recipe_rule rules[PITH_MAX_CHOICES], fixed;
      const uint32_t n_rules = rules_of(slots[i].role, rules);
      if (n_rules == 0 || pith_sensitivity_fixed(config, stage, &slots[i], &fixed)) continue;
      pith_tensor_choices *t = &s->tensors[s->n_tensors++];
      t->slot = slots[i];
      t->stage = stage;
      t->n = n_rules;
      for (uint32_t k = 0; k < n_rules; k++) t->choices[k] = (pith_choice){.rule = rules[k], .n_bytes = stored_bytes(&slots[i], &rules[k]), .error = slots[i].role == PITH_ROLE_MATRIX ? -1.0 : 0.0};
      s->total += n_rules;
    }
  }
  return PITH_OK;
}

pith_status pith_sensitivity_begin(pith_ctx *ctx, pith_sensitivity *s, const pith_checkpoint *checkpoint, pith_source *source, pith_attention attention,
                                   const pith_texts *texts, bool calibrated) {
  memset(s, 0, sizeof *s);
  s->checkpoint = checkpoint;
  s->source = source;
  s->calibrated = calibrated;
  pith_sha256 sha;
  pith_sha256_init(&sha);
  for (size_t i = 0; i < texts->n; i++) {
    pith_sha256_update(&sha, texts->texts[i], texts->n_bytes[i]);
    pith_sha256_update(&sha, "\n", 1);
  }
  pith_sha256_final(&sha, s->texts_hash);
  PITH_TRY(list_tensors(ctx, s));
  return pith_calibration_begin(ctx, &s->calibration, source, attention, texts, false);
}

pith_status pith_sensitivity_prune(pith_ctx *ctx, pith_sensitivity *s) {
  s->prunes = true;
  return pith_structures_begin(ctx, &s->structures, config_of(s));
}

static void drop_encoders(pith_ctx *ctx, pith_sensitivity *s) {
  for (uint32_t i = 0; i < s->n_encoders; i++) pith_tensor_encoder_free(ctx, &s->encoders[i]);
  s->n_encoders = 0;
}

void pith_sensitivity_free(pith_ctx *ctx, pith_sensitivity *s) {
  drop_encoders(ctx, s);
  pith_calibration_free(ctx, &s->calibration);
  pith_structures_free(ctx, &s->structures);
  pith_free(ctx, s->tensors);
  pith_free(ctx, s->block);
  pith_free(ctx, s->carried);
  pith_free(ctx, s->scores);
  pith_free(ctx, s->logits[0]);
  pith_free(ctx, s->logits[1]);
  pith_free(ctx, s->tokens.values);
  memset(s, 0, sizeof *s);
}

/* ---- rows ---- */

/* How much is measured, and room for it: the parent's rows twice, a trial's, and those that are carried. */
static pith_status take_rows(pith_ctx *ctx, pith_sensitivity *s) {
  const pith_config *config = config_of(s);
  uint32_t n_carried = (s->prunes ? 4 : 2) * (uint32_t)config->n_layers;
  for (uint32_t i = 0; i < s->n_tensors; i++) n_carried += s->tensors[i].stage < 0;
  const size_t row_bytes = (n_carried + 3) * width_of(s) * sizeof(float), fits = PITH_SENSITIVITY_BYTES / row_bytes;
  const uint32_t most = fits < PITH_CALIBRATION_LEAST ? PITH_CALIBRATION_LEAST : fits < PITH_SENSITIVITY_TOKENS ? (uint32_t)fits : PITH_SENSITIVITY_TOKENS;
  const pith_calibration *c = &s->calibration;
  const uint32_t half = (uint32_t)c->ids.n / 2, limit = s->prunes && half < most ? half : most;   /* pruning is solved on the others */
  while (s->n_sequences < c->n_sequences && (s->n_sequences == 0 || s->n_rows + c->sequences[s->n_sequences].n_rows <= limit)) s->n_rows += c->sequences[s->n_sequences++].n_rows;
  const size_t floats = s->n_rows * width_of(s);
  if (s->prunes) PITH_TRY(pith_calloc(ctx, floats, sizeof *s->structures.rows, &s->structures.rows));
  PITH_TRY(pith_calloc(ctx, n_carried, sizeof *s->carried, &s->carried));
  PITH_TRY(pith_calloc(ctx, n_carried + 3, floats * sizeof *s->block, &s->block));
  s->reference = s->block;
  s->next = s->reference + floats;
  s->trial = s->next + floats;
  for (uint32_t i = 0; i < n_carried; i++) s->carried[i].x = s->trial + (i + 1) * floats;
  return PITH_OK;
}

static void copy_rows(const pith_sensitivity *s, float *to, const float *from) { memcpy(to, from, s->n_rows * width_of(s) * sizeof *to); }

/* Σ ‖x - y‖² / Σ ‖y‖² */
static double relative_error(const pith_sensitivity *s, const float *x, const float *y) {
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < s->n_rows * width_of(s); i++) {
    const double d = (double)x[i] - (double)y[i];
    error += d * d;
    norm += (double)y[i] * (double)y[i];
  }
  return norm > 0.0 ? error / norm : 0.0;
}

/* The first batch of the sequences that are measured. */
static void begin_pass(pith_sensitivity *s) {
  pith_layerwise *run = run_of(s);
  run->n_sequences = s->n_sequences;
  (void)pith_layerwise_rewind(run);
  s->passing = true;
}

/* False at the end: the run has all its sequences again. */
static bool next_batch(pith_sensitivity *s) {
  pith_layerwise *run = run_of(s);
  s->passing = pith_layerwise_next_batch(run);
  if (!s->passing) run->n_sequences = s->calibration.n_sequences;
  return s->passing;
}

/* Some of the rows through the half at hand, in place; true when all are. */
static bool pass(pith_sensitivity *s, float *rows) {
  pith_layerwise *run = run_of(s);
  if (!s->passing) begin_pass(s);
  pith_forward_resume(&run->forward, rows + run->row * width_of(s), run->n_batch, run->spans, run->n_spans);
  return pith_forward_half(&run->forward, s->half) && !next_batch(s);
}

static pith_weight *weight_of(pith_sensitivity *s, const pith_tensor_choices *t) {
  return &pith_weights_stage(&run_of(s)->weights, t->stage < 0 ? -1 : 0)->weights[t->slot.id];
}

/* ---- encoding ---- */

static bool is_tokens(const pith_sensitivity *s, const pith_tensor_choices *t) { return s->unit == PITH_SENSE_TABLE && t->slot.id == PITH_EMBED_TOKENS; }

/* One tensor in one way, into an encoder of its own. Of the tokens' table the rows that are measured. */
static pith_status encode(pith_ctx *ctx, pith_sensitivity *s, uint32_t tensor, uint32_t choice, bool calibrated) {
  const pith_tensor_choices *t = &s->tensors[tensor];
  pith_tensor_encoder *encoder = &s->encoders[s->n_encoders];
  if (!s->encoding) {
    const bool tokens = is_tokens(s, t);
    PITH_TRY(pith_tensor_encoder_open(ctx, encoder, s->checkpoint, tokens ? &s->token_slot : &t->slot, &t->slot, tokens ? &s->tokens : NULL, &t->choices[choice].rule,
                                      calibrated ? &s->calibration : NULL, UINT64_MAX));
    s->encoding = true;
  }
  const pith_status status = pith_tensor_encoder_step(ctx, encoder, NULL);
  if (status != PITH_PENDING) s->encoding = false;
  if (status == PITH_OK) s->n_encoders++;
  return status;
}

static pith_matrix encoded(pith_sensitivity *s, uint32_t i) { return pith_tensor_encoder_matrix(&s->encoders[i], &s->parts[i]); }

/* ---- tables ---- */

/* The block's tokens, as rows for the encoder. */
static pith_status take_tokens(pith_ctx *ctx, pith_sensitivity *s, const pith_tensor_choices *t) {
  const uint32_t n = weight_of(s, t)->matrix.rows;
  const size_t h = width_of(s);
  s->token_slot = t->slot;
  s->token_slot.rows = n;
  PITH_TRY(pith_calloc(ctx, n, h * sizeof *s->tokens.values, &s->tokens.values));
  s->tokens.rows = n;
  s->tokens.cols = (uint32_t)h;
  for (uint32_t row = 0; row < n; row++) pith_matrix_row(&weight_of(s, t)->matrix, row, s->tokens.values + row * h);
  return PITH_OK;
}

/* The block's own table, as it is stored in this way, or the parent's (NULL) again. */
static pith_status replace_tokens(pith_ctx *ctx, pith_sensitivity *s, const pith_matrix *stored) {
  const size_t h = width_of(s);
  float *row;
  PITH_TRY(pith_malloc(ctx, h * sizeof *row, &row));
  for (uint32_t i = 0; i < s->tokens.rows; i++) {
    const float *from = stored ? row : s->tokens.values + i * h;
    float *to = run_of(s)->table + (size_t)i / PITH_PANEL * PITH_PANEL * h + (size_t)i % PITH_PANEL;
    if (stored) pith_matrix_row(stored, i, row);
    for (size_t k = 0; k < h; k++) to[k * PITH_PANEL] = from[k];
  }
  pith_free(ctx, row);
  return PITH_OK;
}

/* The embedding of all rows, which is short. */
static void embed_rows(pith_sensitivity *s, float *x) {
  pith_layerwise *run = run_of(s);
  begin_pass(s);
  do {
    pith_forward_resume(&run->forward, x + run->row * width_of(s), run->n_batch, run->spans, run->n_spans);
    pith_forward_begin(&run->forward, run->local_ids + run->row, run->n_batch, run->spans, run->n_spans);
  } while (next_batch(s));
}

static void begin_half(pith_sensitivity *s, int32_t stage, int half) {
  s->stage = stage;
  s->half = half;
  s->first = s->past;
  while (s->past < s->n_tensors && s->tensors[s->past].stage == stage && pith_forward_half_of(config_of(s), s->tensors[s->past].slot.id) == half) s->past++;
  s->tensor = s->first;
  s->choice = 0;
  s->unit = stage < config_of(s)->n_layers ? PITH_SENSE_REACH : PITH_SENSE_LAST;
}

/* The embedding with the table as it was encoded, all else as the parent has it. */
static pith_status embed_trial(pith_ctx *ctx, pith_sensitivity *s, const pith_tensor_choices *t) {
  const pith_matrix stored = encoded(s, 0);
  if (is_tokens(s, t)) {
    PITH_TRY(replace_tokens(ctx, s, &stored));
    embed_rows(s, s->trial);
    return replace_tokens(ctx, s, NULL);
  }
  const pith_weight kept = *weight_of(s, t);
  weight_of(s, t)->matrix = stored;
  embed_rows(s, s->trial);
  *weight_of(s, t) = kept;
  return PITH_OK;
}

/* A table in one way: the rows it gives, of which the coarsest's are carried on. */
static pith_status step_table(pith_ctx *ctx, pith_sensitivity *s) {
  pith_tensor_choices *t = &s->tensors[s->tensor];
  if (s->tensor == s->n_tensors || t->stage >= 0) {
    s->past = s->tensor;
    begin_half(s, 0, 0);
    return PITH_PENDING;
  }
  if (is_tokens(s, t) && !s->tokens.values) PITH_TRY(take_tokens(ctx, s, t));
  const pith_status status = encode(ctx, s, s->tensor, s->choice, false);
  if (status != PITH_OK) return status;
  PITH_TRY(embed_trial(ctx, s, t));
  t->choices[s->choice].error = relative_error(s, s->trial, s->reference);
  if (s->choice == 0) {
    pith_carried *carried = &s->carried[s->n_carried++];
    *carried = (pith_carried){.x = carried->x, .tensor = s->tensor, .error = t->choices[0].error};
    copy_rows(s, carried->x, s->trial);
  }
  drop_encoders(ctx, s);
  s->done++;
  if (++s->choice == t->n) {
    s->choice = 0;
    s->tensor++;
  }
  return PITH_PENDING;
}

/* ---- halves ---- */

static pith_status step_reach(pith_ctx *ctx, pith_sensitivity *s) {
  const pith_status status = pith_calibration_reach(ctx, &s->calibration, s->stage, s->half);
  if (status != PITH_OK) return status;
  PITH_TRY(pith_layerwise_replan(ctx, run_of(s)));
  copy_rows(s, s->next, s->reference);
  s->unit = PITH_SENSE_REFERENCE;
  return PITH_PENDING;
}

static bool known(const pith_tensor_choices *t) {
  for (uint32_t c = 0; c < t->n; c++)
    if (t->choices[c].error < 0.0) return false;
  return true;
}

/* The next tensor of the half that has to be tried. */
static void begin_tensor(pith_sensitivity *s, uint32_t tensor) {
  for (s->tensor = tensor; s->tensor < s->past && known(&s->tensors[s->tensor]); s->tensor++) s->done += s->tensors[s->tensor].n;
  s->choice = 0;
  s->unit = s->tensor < s->past ? PITH_SENSE_CALIBRATE : s->prunes ? PITH_SENSE_STRUCTURES : PITH_SENSE_PROBE_ENCODE;
  s->structures.size = 0;
}

static void next_choice(pith_sensitivity *s) {
  s->done++;
  s->unit = PITH_SENSE_ENCODE;
  if (++s->choice == s->tensors[s->tensor].n) begin_tensor(s, s->tensor + 1);
  if (s->tensor == s->past) s->found++;
}

/* The encoded matrices in the places of tensors from `tensor` on, or the parent's back again. */
static pith_status replace(pith_ctx *ctx, pith_sensitivity *s, uint32_t tensor) {
  for (uint32_t i = 0; i < s->n_encoders; i++) {
    pith_weight *weight = weight_of(s, &s->tensors[tensor + i]);
    s->kept[i] = *weight;
    weight->matrix = encoded(s, i);
  }
  copy_rows(s, s->trial, s->reference);
  return pith_layerwise_replan(ctx, run_of(s));
}

static pith_status restore(pith_ctx *ctx, pith_sensitivity *s, uint32_t tensor) {
  for (uint32_t i = 0; i < s->n_encoders; i++) *weight_of(s, &s->tensors[tensor + i]) = s->kept[i];
  drop_encoders(ctx, s);
  return pith_layerwise_replan(ctx, run_of(s));
}

static pith_status step_trial(pith_ctx *ctx, pith_sensitivity *s) {
  if (!pass(s, s->trial)) return PITH_PENDING;
  s->tensors[s->tensor].choices[s->choice].error = relative_error(s, s->trial, s->next);
  PITH_TRY(restore(ctx, s, s->tensor));
  next_choice(s);
  return PITH_PENDING;
}

static pith_status step_encode(pith_ctx *ctx, pith_sensitivity *s) {
  const pith_status status = encode(ctx, s, s->tensor, s->choice, s->calibrated);
  if (status != PITH_OK) return status;
  PITH_TRY(replace(ctx, s, s->tensor));
  s->unit = PITH_SENSE_TRIAL;
  return PITH_PENDING;
}

/* The half with its reader as it is solved for at a size, size after size. */
static pith_status step_structures(pith_ctx *ctx, pith_sensitivity *s) {
  pith_structures *st = &s->structures;
  pith_half_sizes *h = &st->halves[2 * s->stage + s->half];
  pith_weight *reader = &pith_weights_stage(&run_of(s)->weights, 0)->weights[pith_structures_reader(s->half)];
  if (st->unit != PITH_STRUCTURES_TRY) {
    const pith_status status = pith_structures_step(ctx, st, &s->calibration, s->stage, s->half, s->n_rows);
    if (status != PITH_OK) return status;
    if (st->size == h->n) {
      s->unit = PITH_SENSE_PROBE_ENCODE;
      return PITH_PENDING;
    }
    s->kept[0] = reader[0];
    s->kept[1] = reader[1];
    reader[0] = st->weight;
    reader[1] = st->weight_bias;
    copy_rows(s, s->trial, s->reference);
    PITH_TRY(pith_layerwise_replan(ctx, run_of(s)));
    return PITH_PENDING;
  }
  if (!pass(s, s->trial)) return PITH_PENDING;
  reader[0] = s->kept[0];
  reader[1] = s->kept[1];
  if (st->size == h->probe) copy_rows(s, st->rows, s->trial);
  pith_structures_next(ctx, st, s->stage, s->half, relative_error(s, s->trial, s->next));
  PITH_TRY(pith_layerwise_replan(ctx, run_of(s)));
  return PITH_PENDING;
}

static void begin_carrying(pith_sensitivity *s) {
  s->carry = 0;
  s->unit = PITH_SENSE_CARRY;
}

/* All matrices of the half in the coarsest way. A half without any (where attention and feed-forward are parallel) has nothing to probe. */
static pith_status step_probe_encode(pith_ctx *ctx, pith_sensitivity *s) {
  if (s->first == s->past) {
    begin_carrying(s);
    return PITH_PENDING;
  }
  const pith_status status = encode(ctx, s, s->first + s->n_encoders, 0, false);
  if (status != PITH_OK) return status;
  if (s->first + s->n_encoders < s->past) return PITH_PENDING;
  PITH_TRY(replace(ctx, s, s->first));
  s->unit = PITH_SENSE_PROBE;
  return PITH_PENDING;
}

static pith_status step_probe(pith_ctx *ctx, pith_sensitivity *s) {
  if (!pass(s, s->trial)) return PITH_PENDING;
  PITH_TRY(restore(ctx, s, s->first));
  begin_carrying(s);   /* those before this one */
  return PITH_PENDING;
}

static pith_status step_carry(pith_sensitivity *s) {
  if (s->carry < s->n_carried) {
    if (pass(s, s->carried[s->carry].x)) s->carry++;
    return PITH_PENDING;
  }
  if (s->first < s->past) {
    pith_carried *carried = &s->carried[s->n_carried++];
    *carried = (pith_carried){.x = carried->x, .tensor = s->first, .error = relative_error(s, s->trial, s->next)};
    copy_rows(s, carried->x, s->trial);
  }
  const uint32_t half = (uint32_t)(2 * s->stage + s->half);
  if (s->prunes && s->structures.halves[half].n > 1) {
    pith_carried *carried = &s->carried[s->n_carried++];
    *carried = (pith_carried){.x = carried->x, .tensor = half, .sizes = true, .error = relative_error(s, s->structures.rows, s->next)};
    copy_rows(s, carried->x, s->structures.rows);
  }
  float *before = s->reference;
  s->reference = s->next;
  s->next = before;
  begin_half(s, s->stage + s->half, 1 - s->half);
  return PITH_PENDING;
}

/* ---- the end ---- */

static pith_status step_last(pith_ctx *ctx, pith_sensitivity *s) {
  pith_layerwise *run = run_of(s);
  if (run->stage < s->stage) {
    PITH_TRY(pith_layerwise_next_stage(ctx, run));
    return PITH_PENDING;
  }
  if (run->unit != PITH_LAYERWISE_FINISH) {
    const pith_status status = pith_layerwise_step(ctx, run);
    return status == PITH_OK ? PITH_PENDING : status;
  }
  float *const parent = s->reference;
  for (uint32_t i = 0; i <= s->n_carried; i++) {
    float *x = i < s->n_carried ? s->carried[i].x : parent;
    begin_pass(s);
    do {
      pith_forward_resume(&run->forward, x + run->row * width_of(s), run->n_batch, run->spans, run->n_spans);
      pith_forward_finish(&run->forward);
    } while (next_batch(s));
  }
  s->head_tensor = s->n_tensors;
  for (uint32_t i = 0; i < s->n_tensors && !embeds(s); i++)
    if (s->tensors[i].slot.role == PITH_ROLE_HEAD) s->head_tensor = i;
  s->choice = 0;
  s->unit = PITH_SENSE_HEADS;
  return PITH_PENDING;
}

/* Mean of 1 - cosine of the sequences' embeddings. */
static pith_status compare_embeddings(pith_ctx *ctx, pith_sensitivity *s) {
  const size_t h = width_of(s);
  float *pooled;
  PITH_TRY(pith_calloc(ctx, 2, h * sizeof *pooled, &pooled));
  for (uint32_t i = 0; i < s->n_carried; i++) {
    pith_carried *carried = &s->carried[i];
    for (uint32_t q = 0; q < s->n_sequences; q++) {
      const pith_span *span = &s->calibration.sequences[q];
      pith_pool(s->source->model, s->reference + span->row * h, span->n_rows, true, pooled);
      pith_pool(s->source->model, carried->x + span->row * h, span->n_rows, true, pooled + h);
      carried->loss += (1.0 - pith_cosine(pooled, pooled + h, h)) / s->n_sequences;
    }
  }
  pith_free(ctx, pooled);
  return PITH_OK;
}

/* What a unit of a half's or a table's squared error is worth at the end gives all its choices' losses. */
static void spread_losses(pith_sensitivity *s) {
  const double aimed = s->calibrated && embeds(s) ? PITH_AIMED_LOSS : 1.0;
  for (uint32_t i = 0; i < s->n_carried; i++) {
    const pith_carried *carried = &s->carried[i];
    if (carried->sizes) {
      pith_half_sizes *h = &s->structures.halves[carried->tensor];
      for (uint32_t k = 0; k < h->n; k++) h->losses[k] = carried->error > 0.0 ? carried->loss / carried->error * h->errors[k] : 0.0;
      continue;
    }
    pith_tensor_choices *first = &s->tensors[carried->tensor], *end = first->stage < 0 ? first + 1 : s->tensors + s->n_tensors;
    const int half = pith_forward_half_of(config_of(s), first->slot.id);
    const double worth = carried->error > 0.0 ? aimed * carried->loss / carried->error : 0.0;
    for (pith_tensor_choices *t = first; t < end && t->stage == first->stage; t++)
      for (uint32_t c = 0; c < t->n && (first->stage < 0 || pith_forward_half_of(config_of(s), t->slot.id) == half); c++) t->choices[c].loss += worth * t->choices[c].error;
  }
  s->unit = PITH_SENSE_DONE;
}

/* The head in every way, then room for the scores. */
static pith_status step_heads(pith_ctx *ctx, pith_sensitivity *s) {
  if (embeds(s)) {
    PITH_TRY(compare_embeddings(ctx, s));
    spread_losses(s);
    return PITH_OK;
  }
  if (s->head_tensor < s->n_tensors && s->choice < s->tensors[s->head_tensor].n) {
    const pith_status status = encode(ctx, s, s->head_tensor, s->choice, false);
    if (status != PITH_OK) return status;
    if (s->tensors[s->head_tensor].stage >= 0) s->done++;
    s->choice++;
    return PITH_PENDING;
  }
  pith_layerwise *run = run_of(s);
  s->chunk_rows = pith_layerwise_head_chunk(config_of(s), (uint32_t)config_of(s)->vocab_size);
  s->n_sides = s->n_carried + s->n_encoders;
  PITH_TRY(pith_calloc(ctx, (size_t)s->n_sides * s->n_rows, sizeof *s->scores, &s->scores));
  for (size_t i = 0; i < (size_t)s->n_sides * s->n_rows; i++) pith_score_init(&s->scores[i]);
  for (int i = 0; i < 2; i++) PITH_TRY(pith_calloc(ctx, (size_t)PITH_HEAD_ROWS * s->chunk_rows, sizeof *s->logits[i], &s->logits[i]));
  PITH_TRY(pith_layerwise_head_begin(ctx, run, s->chunk_rows));
  /* the buffers have to suit the encoded heads too: any places of the stage show them to the plan */
  for (uint32_t i = 0; i < s->n_encoders; i++) pith_weights_stage(&run->weights, 0)->weights[i].matrix = encoded(s, i);
  PITH_TRY(pith_layerwise_replan(ctx, run));
  s->row = s->n_rows;
  s->unit = PITH_SENSE_SCORE;
  return PITH_PENDING;
}

typedef struct score_work {
  pith_sensitivity *s;
  uint32_t n_tile;
} score_work;

static void score_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const score_work *w = arg;
  const pith_sensitivity *s = w->s;
  (void)thread;
  for (size_t r = pith_share_begin(w->n_tile, part, n_parts); r < pith_share_end(w->n_tile, part, n_parts); r++)
    pith_score_add(&s->scores[(size_t)s->side * s->n_rows + s->row + r], s->logits[1] + r * s->chunk_rows, s->logits[0] + r * s->chunk_rows, (int32_t)s->chunk,
                   (int32_t)s->n_chunk, -1);
}

static void side_logits(pith_sensitivity *s, uint32_t n_tile) {
  pith_layerwise *run = run_of(s);
  const size_t h = width_of(s), at = s->row * h;
  if (s->side < s->n_carried) {
    pith_layerwise_head_logits(run, s->carried[s->side].x + at, n_tile, s->logits[1]);
    return;
  }
  pith_matrix m = encoded(s, s->side - s->n_carried);   /* the chunk's rows of it */
  pith_part part = *m.parts;
  part.codes = (const uint8_t *)part.codes + pith_matrix_code_bytes(&m, s->chunk);
  part.scales = part.scales ? (const uint8_t *)part.scales + pith_matrix_scale_bytes(&m, s->chunk) : NULL;
  m.rows = part.n_rows = s->n_chunk;
  m.parts = &part;
  pith_forward_product(&run->forward, &m, NULL, n_tile, s->reference + at, h, s->logits[1], s->chunk_rows);
}

static void end_scores(pith_ctx *ctx, pith_sensitivity *s) {
  for (uint32_t side = 0; side < s->n_sides; side++) {
    double kl = 0.0;
    for (uint32_t r = 0; r < s->n_rows; r++) kl += pith_score_kl(&s->scores[(size_t)side * s->n_rows + r]) / s->n_rows;
    if (side < s->n_carried) s->carried[side].loss = kl;
    else s->tensors[s->head_tensor].choices[side - s->n_carried].loss += kl;
  }
  drop_encoders(ctx, s);
  spread_losses(s);
}

/* A chunk of the head read, or one side's logits of it for some rows. */
static pith_status step_score(pith_ctx *ctx, pith_sensitivity *s) {
  pith_layerwise *run = run_of(s);
  const uint32_t vocab = (uint32_t)config_of(s)->vocab_size;
  if (s->row == s->n_rows) {
    s->chunk += s->n_chunk;
    if (s->chunk == vocab) {
      end_scores(ctx, s);
      return PITH_OK;
    }
    s->n_chunk = vocab - s->chunk < s->chunk_rows ? vocab - s->chunk : s->chunk_rows;
    s->row = s->side = 0;
    PITH_TRY(pith_layerwise_head_read(ctx, run, s->chunk, s->n_chunk));
    return PITH_PENDING;
  }
  const uint32_t n_tile = s->n_rows - s->row < PITH_HEAD_ROWS ? s->n_rows - s->row : PITH_HEAD_ROWS;
  if (s->side == 0) pith_layerwise_head_logits(run, s->reference + s->row * width_of(s), n_tile, s->logits[0]);
  side_logits(s, n_tile);
  score_work work = {s, n_tile};
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, n_tile, s->n_chunk * 2 * LOGIT_NS), score_rows, &work);
  if (++s->side == s->n_sides) {
    s->side = 0;
    s->row += n_tile;
  }
  return PITH_PENDING;
}

/* ---- as JSON ---- */

static pith_json *parent_json(const pith_sensitivity *s) {
  pith_json *files = pith_json_new_object();
  for (size_t i = 0; i < s->checkpoint->n_files; i++) pith_json_add_number(files, s->checkpoint->files[i].name, (double)s->checkpoint->files[i].n_bytes);
  return files;
}

pith_json *pith_rule_print(const pith_recipe_rule *rule, const char *name) {
  pith_json *json = pith_json_new_object();
  if (name) pith_json_add_string(json, "name", name);
  pith_json_add_string(json, "encoding", pith_encoding_name(rule->encoding));
  if (pith_encoding_group_multiple(rule->encoding)) pith_json_add_number(json, "group_size", rule->group_size);
  return json;
}

pith_json *pith_sensitivity_print(const pith_sensitivity *s) {
  pith_json *json = pith_json_new_object(), *tensors = pith_json_new_array();
  pith_json_add_bool(json, "complete", s->unit == PITH_SENSE_DONE);
  pith_json_add_bool(json, "calibrated", s->calibrated);
  pith_json_add_string(json, "texts", s->texts_hash);
  pith_json_add(json, "parent", parent_json(s));
  for (uint32_t i = 0; i < s->n_tensors; i++) {
    const pith_tensor_choices *t = &s->tensors[i];
    pith_json *tensor = pith_json_new_object(), *choices = pith_json_new_array();
    pith_json_add_string(tensor, "name", t->slot.name);
    for (uint32_t c = 0; c < t->n; c++) {
      pith_json *choice = pith_rule_print(&t->choices[c].rule, NULL);
      pith_json_add_number(choice, "bytes", (double)t->choices[c].n_bytes);
      if (t->choices[c].error >= 0.0) pith_json_add_number(choice, "error", t->choices[c].error);
      if (s->unit == PITH_SENSE_DONE) pith_json_add_number(choice, "loss", t->choices[c].loss);
      pith_json_add(choices, NULL, choice);
    }
    pith_json_add(tensor, "choices", choices);
    pith_json_add(tensors, NULL, tensor);
  }
  pith_json_add(json, "tensors", tensors);
  if (s->prunes) pith_json_add(json, "structures", pith_structures_print(&s->structures, s->unit == PITH_SENSE_DONE));
  return json;
}

/* A number that is finite and not negative. */
static bool read_amount(const pith_json *object, const char *key, double *out) {
  const double value = pith_json_number(pith_json_get(object, key), -1.0);
  if (!(value >= 0.0 && value <= 1e300)) return false;
  *out = value;
  return true;
}

static void read_tensor(pith_tensor_choices *t, const pith_json *choices, bool *complete) {
  for (uint32_t c = 0; c < t->n; c++) {
    pith_choice *choice = &t->choices[c];
    bool found = false;
    for (const pith_json *j = pith_json_first(choices); j && !found; j = pith_json_next(j)) {
      const char *encoding = pith_json_string(pith_json_get(j, "encoding"));
      int64_t group = 0;
      (void)pith_json_integer(pith_json_get(j, "group_size"), 0, 1 << 20, &group);
      if (!encoding || strcmp(encoding, pith_encoding_name(choice->rule.encoding)) != 0 || (uint32_t)group != choice->rule.group_size) continue;
      found = read_amount(j, "loss", &choice->loss);
      if (!read_amount(j, "error", &choice->error)) found = false;
      break;
    }
    *complete = *complete && found;
  }
}

/* The same members with the same values in the same order. */
static bool same_files(const pith_json *a, const pith_json *b) {
  a = pith_json_first(a);
  b = pith_json_first(b);
  for (; a && b; a = pith_json_next(a), b = pith_json_next(b))
    if (!pith_json_key(b) || strcmp(pith_json_key(a), pith_json_key(b)) != 0 || pith_json_number(a, -1) != pith_json_number(b, -2)) return false;
  return !a && !b;
}

pith_status pith_sensitivity_read(pith_ctx *ctx, pith_sensitivity *s, const pith_json *json, const char *what) {
  const char *texts = pith_json_string(pith_json_get(json, "texts"));
  if (!texts || !pith_json_is_object(pith_json_get(json, "parent"))) return pith_fail(ctx, PITH_E_FORMAT, "%s holds no sensitivity", what);
  pith_json *parent = parent_json(s);
  const bool same = same_files(parent, pith_json_get(json, "parent"));
  pith_json_free(parent);
  if (!same) return pith_fail(ctx, PITH_E_ARGUMENT, "%s is about another model: give another file", what);
  if (strcmp(texts, s->texts_hash) != 0 || pith_json_true(pith_json_get(json, "calibrated")) != s->calibrated)
    return pith_fail(ctx, PITH_E_ARGUMENT, "%s was found with other texts, or calibrated otherwise: give another file", what);
  bool complete = pith_json_true(pith_json_get(json, "complete"));
  for (uint32_t i = 0; i < s->n_tensors; i++) {
    const pith_json *tensor = NULL;
    for (const pith_json *t = pith_json_first(pith_json_get(json, "tensors")); t && !tensor; t = pith_json_next(t)) {
      const char *name = pith_json_string(pith_json_get(t, "name"));
      if (name && strcmp(name, s->tensors[i].slot.name) == 0) tensor = t;
    }
    read_tensor(&s->tensors[i], pith_json_get(tensor, "choices"), &complete);
  }
  if (s->prunes) {
    pith_structures_read(&s->structures, pith_json_get(json, "structures"));
    complete = complete && s->structures.known;
  }
  if (complete) {
    s->unit = PITH_SENSE_DONE;
    s->done = s->total;
    return PITH_OK;
  }
  for (uint32_t i = 0; i < s->n_tensors; i++)   /* they are found anew */
    for (uint32_t c = 0; c < s->tensors[i].n; c++) s->tensors[i].choices[c].loss = 0.0;
  return PITH_OK;
}

/* ---- steps ---- */

static pith_status step_read(pith_ctx *ctx, pith_sensitivity *s) {
  if (run_of(s)->unit != PITH_LAYERWISE_EMBED) {
    const pith_status status = pith_layerwise_step(ctx, run_of(s));
    return status == PITH_OK ? PITH_PENDING : status;
  }
  PITH_TRY(take_rows(ctx, s));
  embed_rows(s, s->reference);
  s->unit = PITH_SENSE_TABLE;
  return PITH_PENDING;
}

pith_status pith_sensitivity_step(pith_ctx *ctx, pith_sensitivity *s) {
  pith_status status;
  switch (s->unit) {
    case PITH_SENSE_TOKENS:
      status = pith_calibration_tokenize(ctx, &s->calibration);
      if (status == PITH_OK) s->unit = PITH_SENSE_READ;
      return status == PITH_OK ? PITH_PENDING : status;
    case PITH_SENSE_READ: return step_read(ctx, s);
    case PITH_SENSE_TABLE: return step_table(ctx, s);
    case PITH_SENSE_REACH: return step_reach(ctx, s);
    case PITH_SENSE_REFERENCE:
      if (pass(s, s->next)) begin_tensor(s, s->first);
      return PITH_PENDING;
    case PITH_SENSE_CALIBRATE:
      status = s->calibrated ? pith_calibration_step(ctx, &s->calibration, s->stage, s->tensors[s->tensor].slot.id) : PITH_OK;
      if (status == PITH_OK) s->unit = PITH_SENSE_ENCODE;
      return status == PITH_OK ? PITH_PENDING : status;
    case PITH_SENSE_ENCODE: return step_encode(ctx, s);
    case PITH_SENSE_TRIAL: return step_trial(ctx, s);
    case PITH_SENSE_STRUCTURES: return step_structures(ctx, s);
    case PITH_SENSE_PROBE_ENCODE: return step_probe_encode(ctx, s);
    case PITH_SENSE_PROBE: return step_probe(ctx, s);
    case PITH_SENSE_CARRY: return step_carry(s);
    case PITH_SENSE_LAST: return step_last(ctx, s);
    case PITH_SENSE_HEADS: return step_heads(ctx, s);
    case PITH_SENSE_SCORE: return step_score(ctx, s);
    case PITH_SENSE_DONE: break;
  }
  return PITH_OK;
}
