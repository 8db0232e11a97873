#include "compress/structures.h"

#include <math.h>
#include <string.h>

#include "compress/prune.h"


static void list_sizes(pith_half_sizes *h, int32_t n_units, int32_t multiple) {
  const int32_t all = n_units / multiple, steps = all < PITH_MAX_SIZES && multiple == 1 ? all : PITH_MAX_SIZES;
  h->n_units = n_units;
  h->n = 1;
  h->kept[0] = n_units;
  for (int32_t i = 1; i + 1 < PITH_MAX_SIZES && i < steps && n_units > multiple; i++) {
    const int32_t kept = (int32_t)rint((double)all * (steps - i) / steps) * multiple, least = kept < multiple ? multiple : kept;
    if (least < h->kept[h->n - 1]) h->kept[h->n++] = least;
  }
  for (uint32_t i = 1; i < h->n; i++)
    if (2 * h->kept[i] >= n_units) h->probe = i;
  if (h->probe == 0 && h->n > 1) h->probe = 1;
}

pith_status pith_structures_begin(pith_ctx *ctx, pith_structures *s, const pith_config *config) {
  memset(s, 0, sizeof *s);
  if (config->parallel) return pith_fail(ctx, PITH_E_UNSUPPORTED, "pruning is not planned for models whose attention and feed-forward are parallel");
  PITH_TRY(pith_calloc(ctx, 2 * (size_t)config->n_layers, sizeof *s->halves, &s->halves));
  for (int32_t layer = 0; layer < config->n_layers; layer++) {
    list_sizes(&s->halves[s->n_halves++], config->n_kv_heads, 1);
    list_sizes(&s->halves[s->n_halves++], config->intermediate_size, config->intermediate_size % PITH_PRUNE_NEURONS ? config->intermediate_size : PITH_PRUNE_NEURONS);
  }
  return PITH_OK;
}

static void end_half(pith_ctx *ctx, pith_structures *s) {
  pith_surgeon_free(ctx, &s->surgeon);
  pith_free(ctx, s->means);
  pith_free(ctx, s->panels);
  pith_free(ctx, s->bias);
  s->means = NULL;
  s->panels = s->bias = NULL;
  s->size = 0;
  s->unit = PITH_STRUCTURES_COLLECT;
}

void pith_structures_free(pith_ctx *ctx, pith_structures *s) {
  end_half(ctx, s);
  pith_free(ctx, s->halves);
  pith_free(ctx, s->rows);
  memset(s, 0, sizeof *s);
}

uint32_t pith_structures_reader(int half) { return half == 0 ? PITH_ATTENTION_OUT : PITH_DOWN; }

static const pith_weight *parent_of(pith_calibration *c, int half) { return &pith_weights_stage(pith_calibration_layer(c), 0)->weights[pith_structures_reader(half)]; }

/* The inputs' moments are there: the surgeon gets them and the parent's weights. */
static pith_status begin_removing(pith_ctx *ctx, pith_structures *s, pith_calibration *c, int half, int32_t n_units) {
  const pith_weight *parent = parent_of(c, half);
  const size_t rows = parent->matrix.rows, cols = parent->matrix.cols;
  pith_moments *m = &c->moments;
  if (m->n_rows == 0.0) return pith_fail(ctx, PITH_E_ARGUMENT, "pruning is planned on more text: give some thousand tokens to calibrate with");
  PITH_TRY(pith_calloc(ctx, cols, sizeof *s->means, &s->means));
  for (size_t j = 0; j < cols; j++) s->means[j] = m->totals[j] / m->n_rows;
  PITH_TRY(pith_calloc(ctx, pith_round_up(rows, PITH_PANEL), cols * sizeof *s->panels, &s->panels));
  PITH_TRY(pith_calloc(ctx, rows, sizeof *s->bias, &s->bias));
  PITH_TRY(pith_surgeon_begin(ctx, &s->surgeon, m, parent[1].vector != NULL, PITH_PRUNING_DAMPING, rows, cols / (size_t)n_units, NULL));
  PITH_TRY(pith_surgeon_fill(ctx, &s->surgeon, &parent->matrix));
  s->size = 1;
  s->unit = PITH_STRUCTURES_REMOVE;
  return PITH_PENDING;
}

/* The solution as a matrix with its bias. */
static pith_status take_solution(pith_ctx *ctx, pith_structures *s, pith_calibration *c, int half) {
  const pith_weight *parent = parent_of(c, half);
  const size_t rows = parent->matrix.rows, cols = parent->matrix.cols;
  float *row;
  PITH_TRY(pith_calloc(ctx, cols, sizeof *row, &row));
  for (size_t r = 0; r < rows; r++) {
    const double *solved = s->surgeon.w + r * cols;
    float *to = s->panels + r / PITH_PANEL * cols * PITH_PANEL + r % PITH_PANEL;
    double shift = 0.0;
    pith_matrix_row(&parent->matrix, (uint32_t)r, row);
    for (size_t j = 0; j < cols; j++) {
      shift += ((double)row[j] - solved[j]) * s->means[j];
      to[j * PITH_PANEL] = (float)solved[j];
    }
    if (parent[1].vector) s->bias[r] = (float)((double)parent[1].vector[r] + shift);
  }
  pith_free(ctx, row);
  s->part = (pith_part){.n_rows = (uint32_t)rows, .codes = s->panels};
  s->weight = (pith_weight){.matrix = {PITH_ENC_F32, PITH_F32, (uint32_t)rows, (uint32_t)cols, 0, 1, &s->part}};
  s->weight_bias = (pith_weight){.vector = parent[1].vector ? s->bias : NULL};
  s->unit = PITH_STRUCTURES_TRY;
  return PITH_OK;
}

pith_status pith_structures_step(pith_ctx *ctx, pith_structures *s, pith_calibration *c, int32_t stage, int half, uint32_t held_out) {
  pith_half_sizes *h = &s->halves[2 * stage + half];
  if (h->n == 1 || s->size == h->n) {
    s->size = h->n;
    return PITH_OK;
  }
  pith_status status;
  switch (s->unit) {
    case PITH_STRUCTURES_COLLECT:
      c->held_out = held_out;
      status = pith_calibration_collect(ctx, c, stage, pith_structures_reader(half));
      c->held_out = 0;
      return status == PITH_OK ? begin_removing(ctx, s, c, half, h->n_units) : status;
    case PITH_STRUCTURES_REMOVE:
      status = pith_surgeon_step(ctx, &s->surgeon, (size_t)h->kept[s->size]);
      return status == PITH_OK ? take_solution(ctx, s, c, half) : status;
    case PITH_STRUCTURES_TRY: break;
  }
  return PITH_OK;
}

void pith_structures_next(pith_ctx *ctx, pith_structures *s, int32_t stage, int half, double error) {
  pith_half_sizes *h = &s->halves[2 * stage + half];
  if (s->size < h->n) h->errors[s->size++] = error;
  s->unit = PITH_STRUCTURES_REMOVE;
  if (s->size < h->n) return;
  end_half(ctx, s);
  s->size = h->n;
}

/* ---- as JSON ---- */

pith_json *pith_structures_print(const pith_structures *s, bool complete) {
  pith_json *list = pith_json_new_array();
  for (uint32_t i = 0; complete && i < s->n_halves; i++) {
    const pith_half_sizes *h = &s->halves[i];
    pith_json *half = pith_json_new_object(), *sizes = pith_json_new_array();
    pith_json_add_number(half, "layer", i / 2);
    pith_json_add_string(half, "of", i % 2 ? "neurons" : "heads");
    for (uint32_t k = 0; k < h->n; k++) {
      pith_json *size = pith_json_new_object();
      pith_json_add_number(size, "kept", h->kept[k]);
      pith_json_add_number(size, "error", h->errors[k]);
      pith_json_add_number(size, "loss", h->losses[k]);
      pith_json_add(sizes, NULL, size);
    }
    pith_json_add(half, "sizes", sizes);
    pith_json_add(list, NULL, half);
  }
  return list;
}

void pith_structures_read(pith_structures *s, const pith_json *list) {
  uint32_t i = 0;
  for (const pith_json *half = pith_json_first(list); half; half = pith_json_next(half), i++) {
    if (i == s->n_halves) return;
    pith_half_sizes *h = &s->halves[i];
    uint32_t k = 0;
    for (const pith_json *size = pith_json_first(pith_json_get(half, "sizes")); size; size = pith_json_next(size), k++) {
      const double error = pith_json_number(pith_json_get(size, "error"), -1.0), loss = pith_json_number(pith_json_get(size, "loss"), -1.0);
      if (k == h->n || pith_json_number(pith_json_get(size, "kept"), -1.0) != h->kept[k] || !(error >= 0.0 && error <= 1e300) || !(loss >= 0.0 && loss <= 1e300)) return;
      h->errors[k] = error;
      h->losses[k] = loss;
    }
    if (k != h->n) return;
  }
  s->known = i == s->n_halves;
}
