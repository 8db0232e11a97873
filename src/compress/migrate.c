#include "compress/migrate.h"

#include <math.h>
#include <string.h>

enum {
  TRIALS = 21,               /* exponents 0, 0.05, … 1 */
  TRIED_PANELS = 8           /* of each matrix */
};
#define LARGEST_SCALE 1024.0 /* and 1/1024: farther apart, f16 scales of groups would leave their range */
#define MAC_F64_NS 0.4

/* What makes the inputs, and what reads them. */
typedef struct fold {
  const char *key;           /* in the report */
  uint32_t maker;
  uint32_t readers[3];
  uint32_t n_readers;
  bool norm;                 /* the maker is one */
} fold;

static const fold folds[PITH_N_FOLDS] = {
    [PITH_FOLD_QUERY_KEY_VALUE] = {"queryKeyValue", PITH_NORM_1, {PITH_QUERY, PITH_KEY, PITH_VALUE}, 3, true},
    [PITH_FOLD_ATTENTION_OUT] = {"attentionOut", PITH_VALUE, {PITH_ATTENTION_OUT}, 1, false},
    [PITH_FOLD_GATE_UP] = {"gateUp", PITH_NORM_2, {PITH_UP, PITH_GATE}, 2, true},
    [PITH_FOLD_DOWN] = {"down", PITH_UP, {PITH_DOWN}, 1, false}};

pith_status pith_migration_begin(pith_ctx *ctx, pith_migration *m, const pith_recipe *recipe, pith_pruning *pruning, bool calibrated) {
  memset(m, 0, sizeof *m);
  m->recipe = recipe;
  m->pruning = pruning;
  m->stage = -1;
  if (recipe->migrate.by == PITH_MIGRATE_NOT || calibrated) return PITH_OK;
  return pith_fail(ctx, PITH_E_ARGUMENT, "the recipe's \"migrate\" looks at texts: give some to calibrate with");
}

static void end_fold(pith_ctx *ctx, pith_migration *m) {
  pith_free(ctx, m->inputs);
  pith_free(ctx, m->columns);
  pith_free(ctx, m->scales);
  pith_free(ctx, m->best);
  pith_free(ctx, m->rows);
  pith_free(ctx, m->errors);
  pith_free(ctx, m->codes);
  pith_free(ctx, m->panel_scales);
  m->inputs = m->columns = m->scales = m->best = m->errors = NULL;
  m->rows = NULL;
  m->codes = m->panel_scales = NULL;
  m->unit = PITH_MIGRATE_REACH;
}

void pith_migration_free(pith_ctx *ctx, pith_migration *m) {
  end_fold(ctx, m);
  memset(m, 0, sizeof *m);
}

static pith_weight *weight_of(const pith_migration *m, uint32_t id) { return &pith_weights_stage(pith_calibration_layer(m->calibration), 0)->weights[id]; }

/* NULL: the family has no such weight. */
static const pith_slot *find_slot(const pith_config *c, int32_t stage, uint32_t id, pith_slot slots[PITH_MAX_SLOTS]) {
  const uint32_t n = c->family->slots(c, stage, slots);
  for (uint32_t i = 0; i < n; i++)
    if (slots[i].id == id) return &slots[i];
  return NULL;
}

/* Every layer of a model has the same. */
static bool folds_exactly(const pith_config *c, uint32_t f) {
  pith_slot slots[PITH_MAX_SLOTS];
  if (f == PITH_FOLD_DOWN) return c->activation == PITH_RELU || find_slot(c, 0, PITH_GATE, slots);
  return f == PITH_FOLD_ATTENTION_OUT || !c->norms_after;
}

/* The maker's row, or element, that makes input j. */
static size_t row_of(const pith_migration *m, size_t j, size_t cols) {
  if (m->fold != PITH_FOLD_ATTENTION_OUT) return j;
  const size_t head = (size_t)m->pruning->config.head_dim, share = cols / m->n;   /* heads that read the same values */
  return j / head / share * head + j % head;
}

/* ---- scales ---- */

static void size_columns(pith_migration *m, const pith_matrix *reader) {
  for (uint32_t r = 0; r < reader->rows; r++) {
    pith_matrix_row(reader, r, m->rows);
    for (size_t j = 0; j < reader->cols; j++) {
      double *size = &m->columns[row_of(m, j, reader->cols)];
      *size = fmax(*size, fabs((double)m->rows[j]));
    }
  }
}

static double power(double x, double exponent) { return exponent == 0.0 ? 1.0 : pith_exp(exponent * pith_log(x)); }

static void set_scales(pith_migration *m, double alpha) {
  double low = INFINITY, high = 0.0;
  for (size_t i = 0; i < m->n; i++) {
    const bool used = m->inputs[i] > 0.0 && m->columns[i] > 0.0;
    m->scales[i] = !used ? 0.0 : power(m->inputs[i], alpha) / (m->recipe->migrate.by == PITH_MIGRATE_SMOOTHQUANT ? power(m->columns[i], 1.0 - alpha) : 1.0);
    if (used) low = fmin(low, m->scales[i]);
    high = fmax(high, m->scales[i]);
  }
  const double norm = high > 0.0 ? sqrt(low) * sqrt(high) : 1.0;
  for (size_t i = 0; i < m->n; i++)
    m->scales[i] = m->scales[i] == 0.0 ? 1.0 : (double)(float)fmin(fmax(m->scales[i] / norm, 1.0 / LARGEST_SCALE), LARGEST_SCALE);
}

/* ---- the search ---- */

static pith_status rule_of(pith_ctx *ctx, const pith_migration *m, uint32_t id, pith_recipe_rule *out) {
  pith_slot slots[PITH_MAX_SLOTS];
  const pith_slot *slot = find_slot(&m->pruning->config, m->stage, id, slots);
  if (slot) return pith_recipe_rule_for(ctx, m->recipe, slot, out);
  *out = (pith_recipe_rule){.encoding = PITH_ENC_F32};   /* no gate */
  return PITH_OK;
}

/* m->rows as they would be stored, to the nearest, and back. */
static void round_panel(pith_migration *m, const pith_recipe_rule *rule, uint32_t n, size_t cols) {
  float absmax = 0.0f;
  for (size_t i = 0; i < n * cols; i++) absmax = fmaxf(absmax, fabsf(m->rows[i]));
  pith_part part = {.n_rows = n, .codes = m->codes, .scales = m->panel_scales};
  const int levels = pith_u7_levels(rule->encoding);
  const pith_encoding encoding = pith_encoding_made(rule->encoding);
  const pith_matrix matrix = {encoding, pith_scale_dtype(absmax, levels), n, (uint32_t)cols, rule->group_size ? rule->group_size : (uint32_t)pith_round_up(cols, PITH_QUAD), 1, &part};
  if (encoding == PITH_ENC_U7) pith_quantize_u7_panel(n, cols, matrix.group_size, levels, m->rows, matrix.scale_dtype, m->codes, m->panel_scales, NULL, NULL);
  else if (encoding == PITH_ENC_U4) (void)pith_quantize_u4_panel(n, cols, matrix.group_size, m->rows, m->codes, m->panel_scales, NULL);
  else (void)pith_quantize_u4_min_panel(n, cols, matrix.group_size, m->rows, m->codes, m->panel_scales, NULL);
  for (uint32_t r = 0; r < n; r++) pith_matrix_row(&matrix, r, m->rows + r * cols);
}

typedef struct objective_work {
  const pith_migration *m;
  size_t cols;
  double totals[PITH_PANEL];
} objective_work;

/* d H dᵀ of each row, of H the lower triangle. */
static void add_objectives(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  objective_work *w = arg;
  (void)thread;
  for (uint32_t r = part; r < PITH_PANEL; r += n_parts) {
    const double *d = w->m->errors + r * w->cols;
    double total = 0.0;
    for (size_t i = 0; i < w->cols; i++) {
      const double *h = w->m->calibration->moments.sums + i * w->cols;
      double sum = 0.0;
      for (size_t j = 0; j < i; j++) sum += h[j] * d[j];
      total += d[i] * (2.0 * sum + h[i] * d[i]);
    }
    w->totals[r] = total;
  }
}

/* What one panel of a matrix adds to the trial's error. */
static void try_panel(pith_ctx *ctx, pith_migration *m, const pith_matrix *reader, const pith_recipe_rule *rule, uint32_t first) {
  const size_t cols = reader->cols;
  const uint32_t n = reader->rows - first < PITH_PANEL ? reader->rows - first : PITH_PANEL;
  memset(m->errors, 0, PITH_PANEL * cols * sizeof *m->errors);
  for (uint32_t r = 0; r < n; r++) {
    float *row = m->rows + r * cols;
    pith_matrix_row(reader, first + r, row);
    for (size_t j = 0; j < cols; j++) {
      m->errors[r * cols + j] = -(double)row[j];
      row[j] *= (float)m->scales[row_of(m, j, cols)];
    }
  }
  round_panel(m, rule, n, cols);
  for (size_t i = 0; i < n * cols; i++) m->errors[i] += (double)m->rows[i] / m->scales[row_of(m, i % cols, cols)];
  objective_work w = {.m = m, .cols = cols};
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, PITH_PANEL, (double)cols * (double)cols / 2 * MAC_F64_NS), add_objectives, &w);
  for (uint32_t r = 0; r < n; r++) m->error += w.totals[r];
}

/* PITH_OK: all trials are through. */
static pith_status search(pith_ctx *ctx, pith_migration *m) {
  const fold *f = &folds[m->fold];
  pith_recipe_rule rule;
  if (m->reader < f->n_readers) {
    const pith_matrix *reader = &weight_of(m, f->readers[m->reader])->matrix;
    PITH_TRY(rule_of(ctx, m, f->readers[m->reader], &rule));
    const uint32_t n_panels = (reader->rows + PITH_PANEL - 1) / PITH_PANEL, stride = (n_panels + TRIED_PANELS - 1) / TRIED_PANELS;
    if (m->panel < n_panels && pith_encoding_group_multiple(rule.encoding) != 0) {
      try_panel(ctx, m, reader, &rule, m->panel * PITH_PANEL);
      m->panel += stride;
    } else {
      m->panel = 0;
      m->reader++;
    }
    return PITH_PENDING;
  }
  if (m->trial == 0 || m->error < m->least) {
    m->least = m->error;
    memcpy(m->best, m->scales, m->n * sizeof *m->best);
  }
  m->reader = 0;
  m->error = 0.0;
  if (++m->trial == TRIALS) return PITH_OK;
  set_scales(m, m->trial / (double)(TRIALS - 1));
  return PITH_PENDING;
}

static pith_status begin_fold(pith_ctx *ctx, pith_migration *m) {
  const fold *f = &folds[m->fold];
  const pith_moments *moments = &m->calibration->moments;
  const bool smooth = m->recipe->migrate.by == PITH_MIGRATE_SMOOTHQUANT;
  const size_t cols = moments->cols, panel_bytes = PITH_PANEL * pith_round_up(cols, PITH_QUAD * 2);
  m->n = f->norm ? cols : weight_of(m, f->maker)->matrix.rows;
  PITH_TRY(pith_calloc(ctx, m->n, sizeof *m->inputs, &m->inputs));
  PITH_TRY(pith_calloc(ctx, m->n, sizeof *m->columns, &m->columns));
  PITH_TRY(pith_calloc(ctx, m->n, sizeof *m->scales, &m->scales));
  PITH_TRY(pith_calloc(ctx, m->n, sizeof *m->best, &m->best));
  PITH_TRY(pith_calloc(ctx, cols, PITH_PANEL * sizeof *m->rows, &m->rows));
  PITH_TRY(pith_calloc(ctx, cols, PITH_PANEL * sizeof *m->errors, &m->errors));
  PITH_TRY(pith_malloc(ctx, panel_bytes, &m->codes));
  PITH_TRY(pith_malloc(ctx, panel_bytes, &m->panel_scales));   /* far more than any encoding's */
  for (size_t j = 0; j < cols; j++) {
    double *size = &m->inputs[row_of(m, j, cols)];
    *size = smooth ? fmax(*size, moments->maxima[j]) : *size + moments->magnitudes[j] / moments->n_rows;
  }
  for (uint32_t i = 0; i < f->n_readers; i++)
    if (weight_of(m, f->readers[i])->matrix.n_parts) size_columns(m, &weight_of(m, f->readers[i])->matrix);
  for (size_t i = 0; i < m->n; i++)
    if (!isfinite(m->inputs[i]) || !isfinite(m->columns[i])) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the calibration texts lead to values that are not finite");
  set_scales(m, smooth ? m->recipe->migrate.alpha : 0.0);
  m->trial = m->reader = m->panel = m->n_edited = 0;
  m->error = 0.0;
  if (smooth) memcpy(m->best, m->scales, m->n * sizeof *m->best);
  m->unit = smooth ? PITH_MIGRATE_EDIT : PITH_MIGRATE_TRY;
  return PITH_PENDING;
}

/* ---- folding ---- */

static pith_status edit_vector(pith_ctx *ctx, pith_migration *m, uint32_t id) {
  const float *vector = weight_of(m, id)->vector;
  float *values;
  if (!vector) return PITH_OK;
  PITH_TRY(pith_edits_take(ctx, &m->pruning->edits, id, 1, (uint32_t)m->n, &values));
  for (size_t i = 0; i < m->n; i++) values[i] = (float)((double)vector[i] / m->best[i]);
  return pith_edits_bind(ctx, &m->pruning->edits, id, pith_calibration_layer(m->calibration));
}

/* The maker's rows divided, or a reader's columns multiplied. */
static pith_status edit_matrix(pith_ctx *ctx, pith_migration *m, uint32_t id, bool reads) {
  const pith_matrix *matrix = &weight_of(m, id)->matrix;
  const size_t cols = matrix->cols;
  float *values;
  if (!matrix->n_parts) return PITH_OK;   /* no gate */
  PITH_TRY(pith_edits_take(ctx, &m->pruning->edits, id, matrix->rows, matrix->cols, &values));
  for (uint32_t r = 0; r < matrix->rows; r++, values += cols) {
    pith_matrix_row(matrix, r, values);
    for (size_t j = 0; j < cols; j++) values[j] = (float)(reads ? (double)values[j] * m->best[row_of(m, j, cols)] : (double)values[j] / m->best[r]);
  }
  return pith_edits_bind(ctx, &m->pruning->edits, id, pith_calibration_layer(m->calibration));
}

/* The weights one by one: the maker, its bias, the readers. */
static pith_status edit_next(pith_ctx *ctx, pith_migration *m) {
  const fold *f = &folds[m->fold];
  const uint32_t i = m->n_edited++;
  if (i == 0) PITH_TRY(f->norm ? edit_vector(ctx, m, f->maker) : edit_matrix(ctx, m, f->maker, false));
  else if (i == 1) PITH_TRY(edit_vector(ctx, m, f->maker + 1));
  else PITH_TRY(edit_matrix(ctx, m, f->readers[i - 2], true));
  if (m->n_edited < 2 + f->n_readers) return PITH_PENDING;
  m->counts[m->fold]++;
  pith_calibration_edited(m->calibration);
  return PITH_OK;
}

static pith_status step_fold(pith_ctx *ctx, pith_migration *m) {
  pith_status status;
  if (m->unit == PITH_MIGRATE_REACH) {
    status = pith_calibration_collect(ctx, m->calibration, pith_pruning_parent_stage(m->pruning, m->stage), folds[m->fold].readers[0]);
    if (status != PITH_OK) return status;
    return begin_fold(ctx, m);
  }
  if (m->unit == PITH_MIGRATE_TRY) {
    status = search(ctx, m);
    if (status != PITH_OK) return status;
    m->unit = PITH_MIGRATE_EDIT;
  }
  bool same = true;
  for (size_t i = 0; i < m->n; i++) same = same && m->best[i] == m->best[0];   /* nothing moves */
  status = same ? PITH_OK : edit_next(ctx, m);
  if (status == PITH_OK) end_fold(ctx, m);
  return status;
}

/* How many folds are due before a weight is encoded: attention's, or all. */
static uint32_t due(uint32_t id) { return id < PITH_NORM_2 ? PITH_FOLD_GATE_UP : PITH_N_FOLDS; }

pith_status pith_migration_step(pith_ctx *ctx, pith_migration *m, pith_calibration *calibration, int32_t stage, uint32_t id) {
  if (m->recipe->migrate.by == PITH_MIGRATE_NOT || stage < 0 || stage >= m->pruning->config.n_layers) return PITH_OK;
  if (m->stage != stage) m->fold = 0;
  m->stage = stage;
  m->calibration = calibration;
  for (; m->fold < due(id); m->fold++)
    if (folds_exactly(&m->pruning->config, m->fold)) PITH_TRY(step_fold(ctx, m));
  return PITH_OK;
}

pith_json *pith_migration_report(const pith_migration *m) {
  if (m->recipe->migrate.by == PITH_MIGRATE_NOT) return NULL;
  pith_json *json = pith_json_new_object();
  for (uint32_t f = 0; f < PITH_N_FOLDS; f++)
    if (folds_exactly(&m->pruning->config, f)) pith_json_add_number(json, folds[f].key, m->counts[f]);
  return json;
}
