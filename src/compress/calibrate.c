#include "compress/calibrate.h"

#include <math.h>
#include <string.h>

enum {
  TOKENIZE_BYTES = 1 << 14,  /* of text a step */
  PIECES_OF = 3,             /* texts, of which all but the first are cut into pieces */
  PIECE_WORDS = 5, PIECE_LENGTHS = 11   /* the least words of a piece, and of how many lengths they are */
};
#define MAC_F64_NS 0.4
#define STEP_MACS 16777216.0   /* of one step: some 10 ms */
enum { LEAST_GROUP = 32 /* of any encoding, but that a row's last one may be short */ };

pith_status pith_calibration_begin(pith_ctx *ctx, pith_calibration *c, pith_source *source, pith_attention attention, const pith_texts *texts, bool aims) {
  memset(c, 0, sizeof *c);
  c->texts = texts;
  c->source = source;
  c->attention = attention;
  c->aims = aims && !source->model->config.parallel;
  c->most_tokens = PITH_CALIBRATION_TOKENS;
  c->rounding_rows = UINT32_MAX;
  c->stage = -1;
  c->n_slots = 2 * texts->n + 1;
  PITH_TRY(pith_calloc(ctx, c->n_slots, sizeof *c->slots, &c->slots));
  c->max_sequences = texts->n ? (uint32_t)texts->n : 1;
  return pith_calloc(ctx, c->max_sequences, sizeof *c->sequences, &c->sequences);
}

static void free_rounding(pith_ctx *ctx, pith_calibration *c) {
  pith_free(ctx, c->order);
  pith_free(ctx, c->u);
  pith_free(ctx, c->squares);
  pith_free(ctx, c->scratch);
  pith_free(ctx, c->grids);
  pith_free(ctx, c->shifts);
  c->shifts = NULL;
  c->order = NULL;
  c->u = c->squares = c->scratch = NULL;
  c->grids = NULL;
}

void pith_calibration_free(pith_ctx *ctx, pith_calibration *c) {
  pith_layerwise_free(ctx, &c->run);
  pith_target_free(ctx, &c->target);
  pith_moments_free(ctx, &c->moments);
  pith_second_order_free(ctx, &c->second_order);
  pith_ids_free(ctx, &c->ids);
  pith_free(ctx, c->sequences);
  pith_free(ctx, c->slots);
  pith_free(ctx, c->rows);
  pith_free(ctx, c->errors);
  pith_free(ctx, c->roots);
  free_rounding(ctx, c);
  memset(c, 0, sizeof *c);
}

/* ---- texts ---- */

static const pith_config *config_of(const pith_calibration *c) { return &c->source->model->config; }

/* Whether text i was there before; from now on it was. */
static bool repeats(pith_calibration *c, size_t i) {
  const pith_texts *t = c->texts;
  uint32_t hash = 2166136261u;   /* FNV-1a */
  for (size_t k = 0; k < t->n_bytes[i]; k++) hash = (hash ^ (uint8_t)t->texts[i][k]) * 16777619u;
  for (size_t at = hash % c->n_slots;; at = at + 1 < c->n_slots ? at + 1 : 0) {
    if (c->slots[at] == 0) {
      c->slots[at] = (uint32_t)i + 1;
      return false;
    }
    const size_t other = c->slots[at] - 1;
    if (t->n_bytes[other] == t->n_bytes[i] && memcmp(t->texts[other], t->texts[i], t->n_bytes[i]) == 0) return true;
  }
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static size_t skip_words(const char *text, size_t n, size_t at, size_t n_words, size_t *n_there) {
  for (*n_there = 0; *n_there < n_words; (*n_there)++) {
    while (at < n && is_space(text[at])) at++;
    if (at == n) break;
    while (at < n && !is_space(text[at])) at++;
  }
  return at;
}

/* Where the piece of the text ends that begins at `at`. Of three texts the first is one piece, the others are cut into 5, 12, 8, … up to 15 words, a rest of
 * less staying with what is before it: texts of one corpus are about equally long, and what a model that embeds will read is of all lengths. */
static size_t piece_end(pith_calibration *c, size_t i, size_t at) {
  const char *text = c->texts->texts[i];
  const size_t n = c->texts->n_bytes[i];
  size_t n_there;
  if (!c->cuts || i % PIECES_OF == 0) return n;
  const size_t end = skip_words(text, n, at, PIECE_WORDS + c->n_pieces++ * 7 % PIECE_LENGTHS, &n_there);
  (void)skip_words(text, n, end, PIECE_WORDS, &n_there);
  return n_there < PIECE_WORDS ? n : end;
}

static pith_status add_sequence(pith_ctx *ctx, pith_calibration *c, size_t begin) {
  if (c->n_sequences == c->max_sequences) {
    const size_t before = c->max_sequences;
    PITH_TRY(pith_realloc(ctx, &c->sequences, before * sizeof *c->sequences, 2 * before * sizeof *c->sequences));
    c->max_sequences = (uint32_t)(2 * before);
  }
  c->sequences[c->n_sequences++] = (pith_span){(uint32_t)begin, (uint32_t)(c->ids.n - begin), 0};
  return PITH_OK;
}

/* A text, or a piece of one, is a sequence, cut where the model's context ends. */
pith_status pith_calibration_tokenize(pith_ctx *ctx, pith_calibration *c) {
  if (c->unit != PITH_CALIBRATE_TOKENS) return PITH_OK;
  const pith_config *config = config_of(c);
  const bool embeds = config->family->task == PITH_TASK_EMBED;
  size_t n_done = 0;
  while (c->n_tokenized < c->texts->n && c->ids.n < c->most_tokens && n_done < TOKENIZE_BYTES) {
    const size_t i = c->n_tokenized, begin = c->piece, end = piece_end(c, i, begin), before = c->ids.n;
    if (begin == 0) c->repeated = repeats(c, i);
    PITH_TRY(pith_model_encode(ctx, c->source->model, c->texts->texts[i] + begin, end - begin, true, embeds, &c->ids));
    const size_t limit = (size_t)config->max_positions, room = c->most_tokens - before;
    if (c->ids.n - before > limit) c->ids.n = before + limit;
    if (c->ids.n - before > room) c->ids.n = before + room;
    if (c->ids.n > before) PITH_TRY(add_sequence(ctx, c, before));
    if (!c->repeated) c->n_different += c->ids.n - before;
    c->piece = end < c->texts->n_bytes[i] ? end : 0;
    if (c->piece == 0) c->n_tokenized++;
    n_done += end - begin + 64;
  }
  if (c->piece > 0 && c->ids.n >= c->most_tokens) {   /* the text that the last tokens are of */
    c->piece = 0;
    c->n_tokenized++;
  }
  if (c->n_tokenized < c->texts->n && c->ids.n < c->most_tokens) return PITH_PENDING;
  if (c->n_different < PITH_CALIBRATION_LEAST)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the calibration texts have %zu tokens%s; give at least %d, better some thousands, of the kind that the model will read",
                     c->n_different, c->n_different < c->ids.n ? ", equal texts counted once" : "", PITH_CALIBRATION_LEAST);
  pith_free(ctx, c->slots);
  c->slots = NULL;
  PITH_TRY(pith_layerwise_begin(ctx, &c->run, c->source, c->ids.ids, c->sequences, c->n_sequences));
  const size_t hidden = (size_t)config->hidden_size;
  if (c->aims) {
    PITH_TRY(pith_target_begin(ctx, &c->target, c->source, c->ids.ids, c->sequences, c->n_sequences));
    PITH_TRY(pith_calloc(ctx, c->run.max_rows, hidden * sizeof *c->errors, &c->errors));
    if (!config->norms_after) PITH_TRY(pith_calloc(ctx, c->run.max_rows, sizeof *c->roots, &c->roots));
  }
  c->run.config.attention = c->attention;
  c->unit = PITH_CALIBRATE_MOVE;
  return pith_calloc(ctx, c->run.max_rows, hidden * sizeof *c->rows, &c->rows);
}

/* ---- layers ---- */

/* Which product's input that is: several matrices share one. */
static uint32_t reader_of(uint32_t id) { return id == PITH_KEY || id == PITH_VALUE ? PITH_QUERY : id == PITH_GATE ? PITH_UP : id; }

static float *rows_of(const pith_calibration *c) { return c->run.x + (size_t)c->run.row * (size_t)c->run.config.hidden_size; }

/* What a matrix's inputs ask for is by far the most that calibrating does. */
static pith_status too_wide(pith_ctx *ctx, pith_status status, size_t cols) {
  if (status != PITH_E_MEMORY) return status;
  return pith_fail(ctx, status, "out of memory: calibrating a matrix of %llu inputs takes %llu MB beside the layer's weights; do it natively, or compress without calibration",
                   (unsigned long long)cols, (unsigned long long)cols * cols * (sizeof(double) + sizeof(float)) / 1000000);
}

static bool ends_half(uint32_t id) { return id == PITH_ATTENTION_OUT || id == PITH_DOWN; }

/* A half-layer that was pruned has been aimed then, by more rows than rounding looks at, and the parent's are past where it begins. */
static pith_aim aim_of(const pith_calibration *c, uint32_t id, bool rounding) {
  if (!c->aims || (rounding && !pith_target_precedes(&c->target, c->stage, pith_forward_half_of(config_of(c), id)))) return PITH_AIM_NOT;
  if (ends_half(id)) return PITH_AIM_SUMS;
  return rounding && !c->moves_inputs ? PITH_AIM_INPUTS : PITH_AIM_NOT;
}

static pith_status begin_collecting(pith_ctx *ctx, pith_calibration *c, uint32_t id, bool rounding) {
  const pith_matrix *m = &pith_weights_stage(&c->run.weights, 0)->weights[id].matrix;
  pith_moments_free(ctx, &c->moments);
  free_rounding(ctx, c);
  c->id = id;
  c->rounding = rounding;
  c->aim = aim_of(c, id, rounding);
  c->inputs = NULL;
  PITH_TRY(too_wide(ctx, pith_moments_init(ctx, &c->moments, m->cols, c->aim == PITH_AIM_NOT ? 0 : (size_t)c->run.config.hidden_size), m->cols));
  PITH_TRY(pith_layerwise_replan(ctx, &c->run));
  (void)pith_layerwise_rewind(&c->run);
  c->unit = c->aim == PITH_AIM_NOT ? PITH_CALIBRATE_COLLECT : PITH_CALIBRATE_AIM;
  return PITH_PENDING;
}

/* One over the row's root of the mean square: sums that a norm reads count by what it leaves of them. Some models' first tokens are a thousand times
 * larger than all others, and would else be all that counts. */
static float root_of(const float *row, size_t n) {
  double sum = 0.0;
  for (size_t k = 0; k < n; k++) sum += (double)row[k] * (double)row[k];
  return sum > 0.0 ? (float)(1.0 / sqrt(sum / (double)n)) : 0.0f;
}

/* By how much the batch misses the parent. Sums are its rows and the product with x, inputs are x; true when the errors are there. */
static bool miss(pith_calibration *c, const float *x, size_t x_stride) {
  const size_t hidden = (size_t)c->run.config.hidden_size, n = c->run.n_batch * hidden;
  const pith_weight *weight = &pith_weights_stage(&c->run.weights, 0)->weights[c->id];
  const float *before = rows_of(c), *target = pith_target_rows(&c->target);
  size_t stride = hidden;
  if (c->aim == PITH_AIM_INPUTS) {
    if (!pith_target_inputs(&c->target, c->id, &target, &stride)) return false;
    for (size_t i = 0; i < n; i++) c->errors[i] = target[i / hidden * stride + i % hidden] - x[i / hidden * x_stride + i % hidden];
  } else {
    pith_forward_product(&c->run.forward, &weight->matrix, weight[1].vector, c->run.n_batch, x, x_stride, c->rows, hidden);
    for (size_t i = 0; i < n; i++) c->errors[i] = target[i] - (before[i] + c->rows[i]);
    for (size_t r = 0; c->roots && r < c->run.n_batch; r++) c->roots[r] = root_of(target + r * hidden, hidden);
  }
  return true;
}

/* Some of the way to a batch's inputs of the weight, from a copy of its rows: they are not to go through the half-layer yet. */
static pith_status collect(pith_ctx *ctx, pith_calibration *c) {
  pith_layerwise *run = &c->run;
  const int half = pith_forward_half_of(config_of(c), c->id);
  if (!c->inputs) {
    if (!c->copied) memcpy(c->rows, rows_of(c), (size_t)run->n_batch * (size_t)run->config.hidden_size * sizeof *c->rows);
    c->copied = true;
    pith_forward_resume(&run->forward, c->rows, run->n_batch, run->spans, run->n_spans);
    if (!pith_forward_until(&run->forward, half, c->id, &c->inputs, &c->inputs_stride)) return PITH_PENDING;
    c->missed = c->aim == PITH_AIM_NOT;
    return PITH_PENDING;
  }
  if (!c->missed) {
    c->missed = miss(c, c->inputs, c->inputs_stride);
    return PITH_PENDING;
  }
  if (run->row >= c->held_out && !pith_moments_add(ctx, c->source->model->kernels, &c->moments, run->n_batch, c->inputs, c->inputs_stride, c->errors,
                                                    c->aim == PITH_AIM_SUMS ? c->roots : NULL))
    return PITH_PENDING;
  c->inputs = NULL;
  c->copied = false;
  if (c->aim != PITH_AIM_NOT) (void)pith_layerwise_next_batch(&c->target.run);
  const bool enough = c->rounding && run->row + run->n_batch >= c->rounding_rows;
  if (!enough && pith_layerwise_next_batch(run)) return PITH_PENDING;
  pith_moments_scale_errors(&c->moments, PITH_AIMED_SHARE);
  c->unit = PITH_CALIBRATE_COLLECTED;
  return PITH_PENDING;
}

static size_t most_grids(const pith_calibration *c) { return (c->moments.cols + LEAST_GROUP - 1) / LEAST_GROUP * PITH_PANEL; }

static pith_status begin_factoring(pith_ctx *ctx, pith_calibration *c) {
  const size_t cols = c->moments.cols;
  if (c->ordered) {
    PITH_TRY(pith_calloc(ctx, cols, sizeof *c->order, &c->order));
    PITH_TRY(pith_calloc(ctx, pith_parallel_threads(ctx->parallel), most_grids(c) * sizeof *c->grids, &c->grids));
    PITH_TRY(pith_moments_order(ctx, &c->moments, c->order));
  }
  PITH_TRY(too_wide(ctx, pith_calloc(ctx, cols, cols * sizeof *c->u, &c->u), cols));
  PITH_TRY(pith_calloc(ctx, pith_parallel_threads(ctx->parallel), 2 * PITH_PANEL * cols * sizeof *c->scratch, &c->scratch));
  PITH_TRY(pith_calloc(ctx, 2, cols * sizeof *c->squares, &c->squares));
  for (size_t k = 0; k < cols; k++) c->squares[k] = (float)c->moments.sums[k * cols + k];
  PITH_TRY(pith_second_order_begin(ctx, &c->second_order, &c->moments, PITH_DAMPING, c->u));
  c->unit = PITH_CALIBRATE_FACTOR;
  return PITH_PENDING;
}

/* All rows through the next half-layer, with its weights as they are quantised now. */
static pith_status move_rows(pith_ctx *ctx, pith_calibration *c) {
  pith_layerwise *run = &c->run;
  const int half = c->half_done[0] ? 1 : 0;
  if (!c->moving) {
    PITH_TRY(pith_layerwise_replan(ctx, run));
    c->moving = pith_layerwise_rewind(run);
    return PITH_PENDING;
  }
  pith_forward_resume(&run->forward, rows_of(c), run->n_batch, run->spans, run->n_spans);
  if (!pith_forward_half(&run->forward, half) || pith_layerwise_next_batch(run)) return PITH_PENDING;
  c->moving = false;
  c->half_done[half] = true;
  if (half == 1) PITH_TRY(pith_layerwise_next_stage(ctx, run));
  return PITH_PENDING;
}

pith_status pith_calibration_reach(pith_ctx *ctx, pith_calibration *c, int32_t stage, int half) {
  pith_layerwise *run = &c->run;
  if (run->unit != PITH_LAYERWISE_HALVES) {   /* a stage is being read */
    const pith_status status = pith_layerwise_step(ctx, run);
    if (status == PITH_OK) return pith_fail(ctx, PITH_E_INTERNAL, "the calibration ran past the model");
    if (status != PITH_PENDING) return status;
    if (run->unit == PITH_LAYERWISE_HALVES && run->stage != stage) PITH_TRY(pith_layerwise_next_stage(ctx, run));   /* one that goes */
    c->stage = run->stage;
    c->half_done[0] = c->half_done[1] = false;
    c->id = PITH_N_LAYER_WEIGHTS;
    return PITH_PENDING;
  }
  return c->stage == stage && (half == 0 || c->half_done[0]) ? PITH_OK : move_rows(ctx, c);
}

static bool is_at(const pith_calibration *c, int32_t stage, uint32_t id, pith_calibration_unit unit) {
  return c->stage == stage && c->id == reader_of(id) && c->unit == unit;
}

static pith_status gather(pith_ctx *ctx, pith_calibration *c, int32_t stage, uint32_t id, bool rounding) {
  if (c->unit == PITH_CALIBRATE_TOKENS) {
    const pith_status status = pith_calibration_tokenize(ctx, c);
    return status == PITH_OK ? PITH_PENDING : status;
  }
  const int half = pith_forward_half_of(config_of(c), id);
  if (c->unit == PITH_CALIBRATE_AIM) {
    const pith_status status = pith_target_reach(ctx, &c->target, stage, half, c->aim == PITH_AIM_SUMS);
    if (status != PITH_OK) return status;
    c->unit = PITH_CALIBRATE_COLLECT;
    return PITH_PENDING;
  }
  if (c->unit == PITH_CALIBRATE_COLLECT) return collect(ctx, c);
  if (is_at(c, stage, id, PITH_CALIBRATE_COLLECTED)) return PITH_OK;
  const pith_status status = pith_calibration_reach(ctx, c, stage, half);
  return status == PITH_OK ? begin_collecting(ctx, c, reader_of(id), rounding) : status;
}

pith_status pith_calibration_collect(pith_ctx *ctx, pith_calibration *c, int32_t stage, uint32_t id) {
  return gather(ctx, c, stage, id, false);
}

pith_weights *pith_calibration_layer(pith_calibration *c) { return &c->run.weights; }

void pith_calibration_edited(pith_calibration *c) { c->id = PITH_N_LAYER_WEIGHTS; }

void pith_calibration_reshape(pith_calibration *c, pith_layer_shape shape) {
  c->shape = shape;
  c->run.config.layers = &c->shape;   /* it runs one layer at a time */
  pith_calibration_edited(c);
}

pith_status pith_calibration_step(pith_ctx *ctx, pith_calibration *c, int32_t stage, uint32_t id) {
  if (c->unit == PITH_CALIBRATE_FACTOR) {
    const pith_status status = pith_second_order_step(ctx, &c->second_order);
    if (status != PITH_OK) return status;
    const size_t cols = c->moments.cols;
    for (size_t k = 0; k < cols; k++) c->squares[cols + k] = (float)(c->moments.sums[k * cols + k] * c->moments.sums[k * cols + k]);
    c->unit = PITH_CALIBRATE_SOLVE;
    return PITH_PENDING;
  }
  if (c->unit == PITH_CALIBRATE_SOLVE) {
    const pith_status status = pith_second_order_solve(ctx, &c->second_order, c->order);
    if (status != PITH_OK) return status;
    pith_second_order_free(ctx, &c->second_order);
    c->unit = PITH_CALIBRATE_READY;
    return PITH_OK;
  }
  if (is_at(c, stage, id, PITH_CALIBRATE_READY)) return PITH_OK;
  const pith_status status = gather(ctx, c, stage, id, true);
  return status == PITH_OK ? begin_factoring(ctx, c) : status;
}

typedef struct shift_work {
  const pith_calibration *c;
  const pith_matrix *matrix;
  size_t first, n;
  float *values;             /* (rows, cols) */
} shift_work;

/* Errors of inputs become those of a row's products: row · E. */
static void shift_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const shift_work *w = arg;
  const pith_moments *m = &w->c->moments;
  double *sums = w->c->shifts + thread * m->cols;
  for (size_t r = pith_share_begin(w->n, part, n_parts); r < pith_share_end(w->n, part, n_parts); r++) {
    float *row = w->values + (w->first + r) * m->cols;
    const double *shift = m->errors + (w->first + r) * m->cols;
    pith_matrix_row(w->matrix, (uint32_t)(w->first + r), row);
    if (w->c->aim == PITH_AIM_INPUTS) {
      memset(sums, 0, m->cols * sizeof *sums);
      for (size_t i = 0; i < m->n_errors; i++)
        for (size_t j = 0; j < m->cols; j++) sums[j] += (double)row[i] * m->errors[i * m->cols + j];
      shift = sums;
    }
    for (size_t j = 0; j < m->cols; j++) row[j] = (float)((double)row[j] + shift[j]);
  }
}

pith_status pith_calibration_shift(pith_ctx *ctx, pith_calibration *c, uint32_t id, pith_edits *edits) {
  const pith_matrix *m = &pith_weights_stage(&c->run.weights, 0)->weights[id].matrix;
  float *values = edits->weights[id].values;
  if (c->aim == PITH_AIM_NOT) return PITH_OK;
  if (c->n_shifted == 0) {
    PITH_TRY(pith_edits_take(ctx, edits, id, m->rows, m->cols, &values));   /* an earlier edit is what the layer has by now */
    if (!c->shifts) PITH_TRY(pith_calloc(ctx, pith_parallel_threads(ctx->parallel), m->cols * sizeof *c->shifts, &c->shifts));
  }
  const double row_macs = (double)m->cols * (c->aim == PITH_AIM_INPUTS ? (double)c->moments.n_errors : 1.0);
  const size_t left = m->rows - c->n_shifted, wished = 1 + (size_t)(STEP_MACS / row_macs) * pith_parallel_threads(ctx->parallel);
  shift_work w = {c, m, c->n_shifted, wished < left ? wished : left, values};
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, w.n, row_macs * MAC_F64_NS), shift_rows, &w);
  c->n_shifted += w.n;
  if (c->n_shifted < m->rows) return PITH_PENDING;
  c->n_shifted = 0;
  return PITH_OK;
}

pith_rounding pith_calibration_rounding(const pith_calibration *c, uint32_t thread) {
  const size_t cols = c->moments.cols;
  return (pith_rounding){cols, c->order, c->u, c->moments.sums, c->squares, c->squares + cols, c->scratch + thread * 2 * PITH_PANEL * cols,
                         c->order ? c->grids + thread * most_grids(c) : NULL};
}

pith_status pith_calibration_learn(pith_ctx *ctx, pith_calibration *c, uint32_t id, const pith_matrix *matrix, uint32_t i, const pith_part *part) {
  pith_weights *weights = &c->run.weights;
  const size_t n_codes = (size_t)pith_matrix_code_bytes(matrix, part->n_rows), n_scales = (size_t)pith_matrix_scale_bytes(matrix, part->n_rows);
  void *codes, *scales;
  if (i == 0) PITH_TRY(pith_weights_take(ctx, weights, matrix->n_parts * sizeof *c->learned, &c->learned));
  PITH_TRY(pith_weights_take(ctx, weights, n_codes, &codes));
  PITH_TRY(pith_weights_take(ctx, weights, n_scales, &scales));
  memcpy(codes, part->codes, n_codes);
  if (n_scales) memcpy(scales, part->scales, n_scales);
  c->learned[i] = (pith_part){.row_begin = part->row_begin, .n_rows = part->n_rows, .codes = codes, .scales = scales};
  if (i + 1 < matrix->n_parts) return PITH_OK;
  pith_matrix *to = &pith_weights_stage(weights, 0)->weights[id].matrix;
  *to = *matrix;
  to->parts = c->learned;
  return PITH_OK;
}

pith_status pith_calibration_learn_vector(pith_ctx *ctx, pith_calibration *c, uint32_t id, size_t n, const float *values) {
  float *copy;
  PITH_TRY(pith_weights_take(ctx, &c->run.weights, n * sizeof *copy, &copy));
  memcpy(copy, values, n * sizeof *copy);
  pith_weights_stage(&c->run.weights, 0)->weights[id].vector = copy;
  return PITH_OK;
}
