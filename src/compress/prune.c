#include "compress/prune.h"

#include <math.h>
#include <string.h>

/* ---- what is left ---- */

/* The layer's fraction; -1: the list has another length than there are layers. */
static double share_of(const pith_json *shares, int32_t layer, int32_t n_layers) {
  if (pith_json_is_object(shares)) {
    const double first = pith_json_number(pith_json_get(shares, "first"), 0.0), last = pith_json_number(pith_json_get(shares, "last"), 0.0);
    return n_layers < 2 ? first : first + (last - first) * layer / (n_layers - 1);
  }
  if (!pith_json_is_array(shares)) return pith_json_number(shares, 0.0);
  if (pith_json_count(shares) != (size_t)n_layers) return -1.0;
  const pith_json *item = pith_json_first(shares);
  while (layer-- > 0) item = pith_json_next(item);
  return pith_json_number(item, 0.0);
}

static int32_t at_least(int32_t n, int32_t least) { return n < least ? least : n; }

static int32_t neurons_left(int32_t n, double share) {
  if (share == 0.0 || n <= PITH_PRUNE_NEURONS) return n;
  const int32_t left = (int32_t)rint(n * (1.0 - share) / PITH_PRUNE_NEURONS) * PITH_PRUNE_NEURONS;
  return at_least(left < n ? left : n, PITH_PRUNE_NEURONS);
}

static pith_status shape_layer(pith_ctx *ctx, pith_pruning *p, int32_t layer, pith_layer_shape *out) {
  const pith_config *c = &p->parent;
  const double neurons = share_of(p->rule->neurons, layer, c->n_layers), heads = share_of(p->rule->heads, layer, c->n_layers);
  if (neurons < 0.0 || heads < 0.0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "the recipe's \"%s\" of \"prune\" should be a list of %d fractions, one for each of the model's layers",
                     neurons < 0.0 ? "neurons" : "heads", (int)c->n_layers);
  out->n_kv_heads = at_least(c->n_kv_heads - (int32_t)rint(c->n_kv_heads * heads), 1);
  out->n_heads = c->n_heads / c->n_kv_heads * out->n_kv_heads;
  out->intermediate_size = neurons_left(c->intermediate_size, neurons);
  return PITH_OK;
}

/* from: the parent's layers, of which those that go become -1. */
static pith_status drop_layers(pith_ctx *ctx, const pith_json *list, int32_t n_layers, int32_t *from) {
  int64_t layer;
  for (const pith_json *item = pith_json_first(list); item; item = pith_json_next(item)) {
    if (!pith_json_integer(item, 0, n_layers - 1, &layer) || from[layer] < 0)
      return pith_fail(ctx, PITH_E_UNSUPPORTED, "the recipe's \"layers\" of \"prune\" should be different numbers of layers, from 0 to %d", (int)n_layers - 1);
    from[layer] = -1;
  }
  return PITH_OK;
}

pith_status pith_pruning_begin(pith_ctx *ctx, pith_pruning *p, const pith_prune_rule *rule, const pith_config *parent, bool calibrated) {
  memset(p, 0, sizeof *p);
  p->rule = rule;
  p->parent = p->config = *parent;
  p->stage = -1;
  if (!rule->neurons && !rule->heads && !rule->layers) return PITH_OK;
  static const char *const names[] = {"obs", "first-order"};
  if (!calibrated && (rule->neurons || rule->heads) && rule->importance != PITH_IMPORTANCE_MAGNITUDE)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the recipe prunes by \"%s\", which looks at texts: give some to calibrate with, or let its \"importance\" be \"magnitude\"",
                     names[rule->importance]);
  const size_t n = (size_t)parent->n_layers;
  int32_t n_left = 0;
  PITH_TRY(pith_calloc(ctx, n, sizeof *p->from, &p->from));
  PITH_TRY(pith_calloc(ctx, n, sizeof *p->layers, &p->layers));
  for (int32_t i = 0; i < parent->n_layers; i++) p->from[i] = i;
  PITH_TRY(drop_layers(ctx, rule->layers, parent->n_layers, p->from));
  for (int32_t i = 0; i < parent->n_layers; i++) {
    if (p->from[i] < 0) continue;
    PITH_TRY(shape_layer(ctx, p, i, &p->layers[n_left]));
    p->from[n_left++] = i;
  }
  if (n_left == 0) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the recipe's \"layers\" of \"prune\" leave the model none");
  p->config.n_layers = n_left;
  p->config.layers = p->layers;
  return PITH_OK;
}

int32_t pith_pruning_parent_stage(const pith_pruning *p, int32_t stage) {
  if (stage < 0) return stage;
  return stage >= p->config.n_layers ? p->parent.n_layers : p->from ? p->from[stage] : stage;
}

static void end_half(pith_ctx *ctx, pith_pruning *p) {
  pith_surgeon_free(ctx, &p->surgeon);
  pith_free(ctx, p->means);
  pith_free(ctx, p->scores);
  pith_free(ctx, p->gone);
  p->means = p->scores = NULL;
  p->gone = NULL;
}

void pith_pruning_free(pith_ctx *ctx, pith_pruning *p) {
  end_half(ctx, p);
  pith_stage_reader_close(ctx, &p->reader);
  pith_weights_free(ctx, &p->layer);
  pith_edits_free(ctx, &p->edits);
  pith_free(ctx, p->layers);
  pith_free(ctx, p->from);
  memset(p, 0, sizeof *p);
}

/* ---- a half-layer ---- */

/* Units of a half-layer: some columns of the matrix that reads them, some rows of each that makes them. */
typedef struct structure {
  uint32_t reader;           /* weight id; its bias is the next, as everywhere */
  uint32_t makers[3];
  size_t maker_rows[3];      /* of a unit */
  size_t n_makers, n_units, n_keep, width;
} structure;

static structure structure_of(const pith_pruning *p, int half) {
  const pith_config *c = &p->parent;
  const pith_layer_shape *left = &p->layers[p->stage];
  const size_t head = (size_t)c->head_dim, group = head * (size_t)(c->n_heads / c->n_kv_heads);
  if (half == 1)
    return (structure){PITH_DOWN, {PITH_UP, PITH_GATE}, {1, 1}, 2, (size_t)c->intermediate_size, (size_t)left->intermediate_size, 1};
  return (structure){PITH_ATTENTION_OUT, {PITH_QUERY, PITH_KEY, PITH_VALUE}, {group, head, head}, 3, (size_t)c->n_kv_heads, (size_t)left->n_kv_heads, group};
}

static pith_weights *layer_of(pith_pruning *p) { return p->calibration ? pith_calibration_layer(p->calibration) : &p->layer; }
static pith_weight *weight_of(pith_pruning *p, uint32_t id) { return &pith_weights_stage(layer_of(p), 0)->weights[id]; }

/* What chooses the units where it is not the surgeon. row: to work with. */
static void score_units(pith_pruning *p, const structure *s, float *row) {
  const pith_matrix *reader = &weight_of(p, s->reader)->matrix;
  const bool magnitude = p->rule->importance == PITH_IMPORTANCE_MAGNITUDE;
  for (uint32_t r = 0; r < reader->rows; r++) {   /* squares of columns, into means for now */
    pith_matrix_row(reader, r, row);
    for (size_t j = 0; j < reader->cols; j++) p->means[j] += (double)row[j] * (double)row[j];
  }
  for (size_t j = 0; j < reader->cols; j++)
    p->scores[j / s->width] += magnitude ? p->means[j] : p->calibration->moments.magnitudes[j] * sqrt(p->means[j]);
  for (size_t i = 0; magnitude && i < s->n_makers; i++) {
    const pith_matrix *maker = &weight_of(p, s->makers[i])->matrix;
    for (uint32_t r = 0; r < maker->rows; r++) {
      double sum = 0.0;
      pith_matrix_row(maker, r, row);
      for (size_t k = 0; k < maker->cols; k++) sum += (double)row[k] * (double)row[k];
      p->scores[r / s->maker_rows[i]] += sum;
    }
  }
}

static pith_status begin_units(pith_ctx *ctx, pith_pruning *p, const structure *s) {
  const pith_matrix *reader = &weight_of(p, s->reader)->matrix;
  const size_t cols = reader->cols, widest = cols > (size_t)p->parent.hidden_size ? cols : (size_t)p->parent.hidden_size;
  const bool given = p->rule->importance != PITH_IMPORTANCE_OBS;
  PITH_TRY(pith_calloc(ctx, cols, sizeof *p->means, &p->means));
  PITH_TRY(pith_calloc(ctx, s->n_units, sizeof *p->scores, &p->scores));
  PITH_TRY(pith_calloc(ctx, s->n_units, sizeof *p->gone, &p->gone));
  float *row;
  PITH_TRY(pith_calloc(ctx, widest, sizeof *row, &row));
  if (given) score_units(p, s, row);
  pith_status status = PITH_OK;
  if (p->calibration) {
    pith_moments *m = &p->calibration->moments;
    const bool biased = weight_of(p, s->reader + 1)->vector != NULL;
    for (size_t j = 0; j < cols; j++) p->means[j] = m->totals[j] / m->n_rows;
    status = pith_surgeon_begin(ctx, &p->surgeon, m, biased, PITH_PRUNING_DAMPING, reader->rows, s->width, given ? p->scores : NULL);
    if (status == PITH_OK) status = pith_surgeon_fill(ctx, &p->surgeon, reader);
  }
  pith_free(ctx, row);
  p->unit = PITH_PRUNE_REMOVE;
  p->n_edited = 0;
  return status == PITH_OK ? PITH_PENDING : status;
}

/* PITH_OK: which units go is in `gone`. */
static pith_status choose_units(pith_ctx *ctx, pith_pruning *p, const structure *s) {
  if (!p->calibration) {
    for (size_t left = s->n_units; left > s->n_keep; left--) p->gone[pith_least_unit(p->scores, p->gone, s->n_units)] = true;
    return PITH_OK;
  }
  const pith_status status = pith_surgeon_step(ctx, &p->surgeon, s->n_keep);
  if (status == PITH_OK) memcpy(p->gone, p->surgeon.gone, s->n_units * sizeof *p->gone);
  return status;
}

/* The columns that stay, as they were solved for, and what the others gave on average as bias. */
static pith_status edit_reader(pith_ctx *ctx, pith_pruning *p, const structure *s) {
  const pith_weight *weight = weight_of(p, s->reader);
  const float *bias = weight_of(p, s->reader + 1)->vector;
  const pith_moments *m = p->calibration ? &p->calibration->moments : NULL;
  const uint32_t rows = weight->matrix.rows, cols = weight->matrix.cols;
  float *values, *biases = NULL, *row;
  PITH_TRY(pith_edits_take(ctx, &p->edits, s->reader, rows, (uint32_t)(s->n_keep * s->width), &values));
  if (bias && p->calibration) PITH_TRY(pith_edits_take(ctx, &p->edits, s->reader + 1, 1, rows, &biases));
  PITH_TRY(pith_calloc(ctx, cols, sizeof *row, &row));
  for (uint32_t r = 0; r < rows; r++) {
    const double *solved = p->calibration ? p->surgeon.w + (size_t)r * cols : NULL;
    double shift = 0.0;
    pith_matrix_row(&weight->matrix, r, row);
    for (uint32_t j = 0; j < cols; j++) {
      if (solved) shift += ((double)row[j] - solved[j]) * p->means[j];
      if (!p->gone[j / s->width]) *values++ = solved ? (float)solved[j] : row[j];
    }
    if (biases) biases[r] = (float)((double)bias[r] + shift + (m && m->n_errors ? m->error_totals[r] / m->n_rows : 0.0));
  }
  pith_free(ctx, row);
  if (biases) PITH_TRY(pith_edits_bind(ctx, &p->edits, s->reader + 1, layer_of(p)));
  return pith_edits_bind(ctx, &p->edits, s->reader, layer_of(p));
}

/* The rows of the units that stay. */
static pith_status edit_maker(pith_ctx *ctx, pith_pruning *p, const structure *s, size_t i) {
  const uint32_t id = s->makers[i];
  const pith_matrix *m = &weight_of(p, id)->matrix;
  const float *bias = weight_of(p, id + 1)->vector;
  const uint32_t left = (uint32_t)(s->n_keep * s->maker_rows[i]);
  float *values, *biases = NULL;
  if (!m->n_parts) return PITH_OK;   /* no gate */
  PITH_TRY(pith_edits_take(ctx, &p->edits, id, left, m->cols, &values));
  if (bias) PITH_TRY(pith_edits_take(ctx, &p->edits, id + 1, 1, left, &biases));
  for (uint32_t r = 0; r < m->rows; r++) {
    if (p->gone[r / s->maker_rows[i]]) continue;
    pith_matrix_row(m, r, values);
    values += m->cols;
    if (biases) *biases++ = bias[r];
  }
  if (bias) PITH_TRY(pith_edits_bind(ctx, &p->edits, id + 1, layer_of(p)));
  return pith_edits_bind(ctx, &p->edits, id, layer_of(p));
}

/* The layer's weights, with texts also the inputs of the matrix that reads the units. */
static pith_status reach(pith_ctx *ctx, pith_pruning *p, pith_source *source, const structure *s) {
  const int32_t stage = p->from[p->stage];
  if (p->calibration) return pith_calibration_collect(ctx, p->calibration, stage, s->reader);
  if (p->layer.stages && p->layer_stage == stage) return pith_stage_reader_step(ctx, &p->reader);
  p->layer_stage = stage;
  PITH_TRY(pith_stage_reader_begin(ctx, &p->reader, source, stage, NULL, &p->layer));
  return PITH_PENDING;
}

/* The layer as far as it is pruned: what runs it has to know. */
static void reshape(pith_pruning *p, int half) {
  pith_layer_shape shape = p->layers[p->stage];
  if (half == 0) shape.intermediate_size = p->parent.intermediate_size;
  pith_calibration_reshape(p->calibration, shape);
}

/* What makes the units goes some of the way to the parent's inputs first, all of it, so that which units go, and what is solved for, is said by units
 * nearer to the parent's. Once the half-layer is pruned the parent's rows are past it. */
static pith_status aim_makers(pith_ctx *ctx, pith_pruning *p, const structure *s) {
  if (!p->calibration->aims || p->calibration->moves_inputs) return PITH_OK;
  PITH_TRY(pith_calibration_step(ctx, p->calibration, p->from[p->stage], s->makers[0]));
  for (; p->n_aimed < s->n_makers; p->n_aimed++) {
    const uint32_t id = s->makers[p->n_aimed];
    if (!weight_of(p, id)->matrix.n_parts) continue;   /* no gate */
    PITH_TRY(pith_calibration_shift(ctx, p->calibration, id, &p->edits));
    if (p->edits.weights[id].values) PITH_TRY(pith_edits_bind(ctx, &p->edits, id, layer_of(p)));
  }
  return PITH_OK;
}

static pith_status step_half(pith_ctx *ctx, pith_pruning *p, pith_source *source, int half) {
  const structure s = structure_of(p, half);
  if (s.n_keep == s.n_units && !p->calibration) return PITH_OK;
  if (p->unit == PITH_PRUNE_AIM) {
    if (p->calibration) PITH_TRY(aim_makers(ctx, p, &s));
    p->n_aimed = 0;
    p->unit = PITH_PRUNE_REACH;
    return PITH_PENDING;
  }
  if (p->unit == PITH_PRUNE_REACH) {
    const pith_status status = reach(ctx, p, source, &s);
    return status == PITH_OK ? begin_units(ctx, p, &s) : status;
  }
  if (p->unit == PITH_PRUNE_REMOVE) {
    const pith_status status = choose_units(ctx, p, &s);
    if (status != PITH_OK) return status;
    p->unit = PITH_PRUNE_EDIT;
    return PITH_PENDING;
  }
  PITH_TRY(p->n_edited == 0 ? edit_reader(ctx, p, &s) : edit_maker(ctx, p, &s, p->n_edited - 1));
  if (p->n_edited++ < s.n_makers && s.n_keep < s.n_units) return PITH_PENDING;
  end_half(ctx, p);
  if (p->calibration) reshape(p, half);
  p->unit = PITH_PRUNE_AIM;
  return PITH_OK;
}

/* 0: attention's, 1: the feed-forward's. With the norms, so that a half is done before its first weight is encoded. */
static int half_of(uint32_t id) { return id >= PITH_NORM_2; }

pith_status pith_pruning_step(pith_ctx *ctx, pith_pruning *p, pith_source *source, pith_calibration *calibration, int32_t stage, uint32_t id) {
  const int half = half_of(id);
  if (!p->layers || stage < 0 || stage >= p->config.n_layers) return PITH_OK;
  if (p->stage != stage) {
    p->stage = stage;
    p->calibration = calibration;
    p->half_done[0] = p->half_done[1] = false;
  }
  if (p->half_done[half]) return PITH_OK;
  const pith_status status = step_half(ctx, p, source, half);
  p->half_done[half] = status == PITH_OK;
  return status;
}
