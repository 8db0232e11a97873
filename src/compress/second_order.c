#include "compress/second_order.h"

#include <math.h>
#include <string.h>

#include "base/sort.h"

enum { STRIP = 4 * PITH_PANEL /* columns of H at a time: kernels meet whole pairs of panels, and a chunk of a strip stays in the first cache */ };

#define STEP_MACS 16777216.0   /* of one step: some 10 ms */
#define MOMENT_MACS 134217728.0   /* the same of f32 products */
#define MAC_F32_NS 0.05
#define MAC_F64_NS 0.4
#define TURN_NS 2.0

/* ---- moments ---- */

static size_t panels_of(size_t cols) { return (cols + PITH_PANEL - 1) / PITH_PANEL; }

static size_t product_rows(const pith_moments *m) { return m->cols > m->n_errors ? m->cols : m->n_errors; }

pith_status pith_moments_init(pith_ctx *ctx, pith_moments *m, size_t cols, size_t n_errors) {
  memset(m, 0, sizeof *m);
  m->cols = cols;
  m->n_errors = n_errors;
  if (n_errors) {
    PITH_TRY(pith_calloc(ctx, n_errors, cols * sizeof *m->errors, &m->errors));
    PITH_TRY(pith_calloc(ctx, n_errors, sizeof *m->error_totals, &m->error_totals));
    PITH_TRY(pith_calloc(ctx, n_errors, PITH_MOMENT_ROWS * sizeof *m->turned, &m->turned));
  }
  PITH_TRY(pith_calloc(ctx, cols, cols * sizeof *m->sums, &m->sums));
  PITH_TRY(pith_calloc(ctx, cols, sizeof *m->totals, &m->totals));
  PITH_TRY(pith_calloc(ctx, cols, sizeof *m->magnitudes, &m->magnitudes));
  PITH_TRY(pith_calloc(ctx, cols, sizeof *m->maxima, &m->maxima));
  PITH_TRY(pith_calloc(ctx, cols, PITH_MOMENT_ROWS * sizeof *m->columns, &m->columns));
  PITH_TRY(pith_calloc(ctx, panels_of(cols), PITH_MOMENT_ROWS * PITH_PANEL * sizeof *m->panels, &m->panels));
  return pith_calloc(ctx, pith_parallel_threads(ctx->parallel), product_rows(m) * STRIP * sizeof *m->products, &m->products);
}

void pith_moments_free(pith_ctx *ctx, pith_moments *m) {
  pith_free(ctx, m->sums);
  pith_free(ctx, m->totals);
  pith_free(ctx, m->magnitudes);
  pith_free(ctx, m->maxima);
  pith_free(ctx, m->errors);
  pith_free(ctx, m->error_totals);
  pith_free(ctx, m->turned);
  pith_free(ctx, m->columns);
  pith_free(ctx, m->panels);
  pith_free(ctx, m->products);
  memset(m, 0, sizeof *m);
}

typedef struct moment_work {
  const pith_kernels *kernels;
  pith_moments *m;
  size_t n_rows;
  size_t begin, end;         /* strips */
} moment_work;

static void add_products(double *sums, size_t n, const float *products) {
  for (size_t c = 0; c < n; c++) sums[c] += (double)products[c];
}

/* Strips of columns against all columns from the strip's first on. A chunk is one f32 product; chunks are added in double. */
static void add_strips(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const moment_work *w = arg;
  pith_moments *m = w->m;
  float *products = m->products + thread * product_rows(m) * STRIP;
  for (size_t s = w->begin + part; s < w->end; s += n_parts) {   /* later strips have less to do, so they are dealt out in turn */
    const size_t first = s * STRIP, n = m->cols - first, width = n < STRIP ? n : STRIP;
    const float *panels = m->panels + first * PITH_MOMENT_ROWS;
    w->kernels->gemm_f32(n, width, w->n_rows, m->columns + first * PITH_MOMENT_ROWS, PITH_MOMENT_ROWS, panels, PITH_MOMENT_ROWS * PITH_PANEL, NULL, false, products, STRIP);
    for (size_t i = 0; i < n; i++) add_products(m->sums + (first + i) * m->cols + first, i < width ? i + 1 : width, products + i * STRIP);
    if (m->n_errors == 0) continue;
    w->kernels->gemm_f32(m->n_errors, width, w->n_rows, m->turned, PITH_MOMENT_ROWS, panels, PITH_MOMENT_ROWS * PITH_PANEL, NULL, false, products, STRIP);
    for (size_t i = 0; i < m->n_errors; i++) add_products(m->errors + i * m->cols + first, width, products + i * STRIP);
  }
}

typedef struct turn_work {
  pith_moments *m;
  size_t n_rows, stride;
  const float *x, *errors, *roots;
} turn_work;

/* Rows of eight columns as a panel and as columns, and their sums. */
static void turn_panel(const turn_work *w, size_t panel) {
  pith_moments *m = w->m;
  const size_t first = panel * PITH_PANEL, left = m->cols - first, n = left < PITH_PANEL ? left : PITH_PANEL;
  float *turned = m->columns + first * PITH_MOMENT_ROWS, *rows = m->panels + first * PITH_MOMENT_ROWS;
  double *totals = m->totals + first, *magnitudes = m->magnitudes + first, *maxima = m->maxima + first;
  for (size_t t = 0; t < w->n_rows; t++) {
    const float *row = w->x + t * w->stride + first, root = w->roots ? w->roots[t] : 1.0f;
    const double share = (double)root * (double)root;
    for (size_t k = 0; k < n; k++) {
      const double magnitude = fabs((double)row[k]);
      totals[k] += share * (double)row[k];
      magnitudes[k] += share * magnitude;
      if (magnitude > maxima[k]) maxima[k] = magnitude;
      turned[k * PITH_MOMENT_ROWS + t] = rows[t * PITH_PANEL + k] = root * row[k];
    }
  }
}

static void turn_error(const turn_work *w, size_t k) {
  for (size_t t = 0; t < w->n_rows; t++) {
    const float error = w->errors[t * w->m->n_errors + k], root = w->roots ? w->roots[t] : 1.0f;
    w->m->error_totals[k] += (double)root * (double)root * (double)error;
    w->m->turned[k * PITH_MOMENT_ROWS + t] = root * error;
  }
}

/* A chunk of rows, by panels, and of errors. */
static void turn_some(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const turn_work *w = arg;
  const size_t n_panels = panels_of(w->m->cols), n_errors = w->m->n_errors;
  (void)thread;
  for (size_t p = pith_share_begin(n_panels, part, n_parts); p < pith_share_end(n_panels, part, n_parts); p++) turn_panel(w, p);
  for (size_t k = pith_share_begin(n_errors, part, n_parts); k < pith_share_end(n_errors, part, n_parts); k++) turn_error(w, k);
}

bool pith_moments_add(const pith_ctx *ctx, const pith_kernels *kernels, pith_moments *m, size_t n_rows, const float *x, size_t x_stride, const float *errors,
                      const float *roots) {
  const size_t n_panels = panels_of(m->cols), n_strips = (m->cols + STRIP - 1) / STRIP;
  for (double macs = 0.0; m->row < n_rows && macs < MOMENT_MACS;) {
    moment_work w = {kernels, m, n_rows - m->row < PITH_MOMENT_ROWS ? n_rows - m->row : PITH_MOMENT_ROWS, m->strip, m->strip};
    turn_work turn = {m, w.n_rows, x_stride, x + m->row * x_stride, errors ? errors + m->row * m->n_errors : NULL, roots ? roots + m->row : NULL};
    if (m->strip == 0) pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, n_panels, PITH_PANEL * (double)w.n_rows * TURN_NS), turn_some, &turn);
    for (; w.end < n_strips && macs < MOMENT_MACS; w.end++) macs += (double)(m->cols - w.end * STRIP + m->n_errors) * STRIP * (double)w.n_rows;
    const double strip_ns = ((double)m->cols / 2 + (double)m->n_errors) * STRIP * (double)w.n_rows * MAC_F32_NS;
    pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, w.end - w.begin, strip_ns), add_strips, &w);
    m->strip = w.end < n_strips ? w.end : 0;
    if (m->strip == 0) m->row += w.n_rows;
  }
  if (m->row < n_rows) return false;
  m->row = 0;
  for (size_t t = 0; t < n_rows; t++) m->n_rows += roots ? (double)roots[t] * (double)roots[t] : 1.0;
  return true;
}

void pith_moments_scale_errors(pith_moments *m, double factor) {
  for (size_t i = 0; i < m->n_errors * m->cols; i++) m->errors[i] *= factor;
  for (size_t i = 0; i < m->n_errors; i++) m->error_totals[i] *= factor;
}

typedef struct energy {
  double energy;
  uint32_t column;
} energy;

static int by_energy(const void *a, const void *b) {
  const energy *x = a, *y = b;
  return x->energy != y->energy ? (x->energy > y->energy ? -1 : 1) : x->column < y->column ? -1 : x->column > y->column;
}

pith_status pith_moments_order(pith_ctx *ctx, pith_moments *m, uint32_t *order) {
  const size_t n = m->cols;
  energy *columns;
  double *sums;
  PITH_TRY(pith_calloc(ctx, n, n * sizeof *sums, &sums));
  const pith_status status = pith_calloc(ctx, n, sizeof *columns, &columns);
  if (status != PITH_OK) {
    pith_free(ctx, sums);
    return status;
  }
  for (size_t i = 0; i < n; i++) columns[i] = (energy){m->sums[i * n + i], (uint32_t)i};
  pith_sort(columns, n, sizeof *columns, by_energy);
  for (size_t i = 0; i < n; i++) order[i] = columns[i].column;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j++) {
      const size_t a = order[i], b = order[j];
      sums[i * n + j] = m->sums[a > b ? a * n + b : b * n + a];
    }
  pith_free(ctx, m->sums);
  pith_free(ctx, columns);
  m->sums = sums;
  return PITH_OK;
}

/* ---- the factor ---- */

pith_status pith_second_order_begin(pith_ctx *ctx, pith_second_order *s, pith_moments *m, double damping, float *u) {
  const size_t n = m->cols;
  double trace = 0.0;
  memset(s, 0, sizeof *s);
  s->moments = m;
  s->u = u;
  s->left = n;
  PITH_TRY(pith_calloc(ctx, n, sizeof *s->row, &s->row));
  for (size_t i = 0; i < n; i++) trace += m->sums[i * n + i];
  if (!isfinite(trace)) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the calibration texts lead to values that are not finite");
  for (size_t i = 0; i < n; i++) {
    double *diagonal = &m->sums[i * n + i];
    if (*diagonal == 0.0) *diagonal = trace > 0.0 ? trace / (double)n : 1.0;   /* its row and column are zero */
    else *diagonal += damping * trace / (double)n;
  }
  return PITH_OK;
}

/* H = R Rᵀ with R upper, from the last column on: row j of the lower triangle becomes column j of R. */
static bool factor_column(double *h, size_t n, size_t j) {
  double *r = h + j * n;
  if (!(r[j] > 0.0) || !isfinite(r[j])) return false;
  const double inverse = 1.0 / sqrt(r[j]);
  for (size_t i = 0; i <= j; i++) r[i] *= inverse;
  return true;
}

typedef struct factor_work {
  const pith_second_order *s;
  size_t j;
} factor_work;

static void update_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const factor_work *w = arg;
  const size_t n = w->s->moments->cols;
  double *h = w->s->moments->sums;
  const double *r = h + w->j * n;
  (void)thread;
  for (size_t i = part; i < w->j; i += n_parts) {
    double *row = h + i * n;
    const double f = r[i];
    for (size_t l = 0; l <= i; l++) row[l] -= f * r[l];
  }
}

/* Row i of the normed inverse: V[i][j] = -Σ R[i][k] / R[k][k] V[k][j] over i < k <= j. */
static void invert_columns(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const factor_work *w = arg;
  const size_t n = w->s->moments->cols, i = w->j, begin = i + 1 + pith_share_begin(n - i - 1, part, n_parts), end = i + 1 + pith_share_end(n - i - 1, part, n_parts);
  const double *h = w->s->moments->sums;
  double *row = w->s->row;
  (void)thread;
  for (size_t j = begin; j < end; j++) row[j] = 0.0;
  for (size_t k = i + 1; k < end; k++) {
    const double f = h[k * n + i] / h[k * n + k];
    const float *v = w->s->u + k * n;
    for (size_t j = k > begin ? k : begin; j < end; j++) row[j] -= f * (double)v[j];
  }
  for (size_t j = begin; j < end; j++) w->s->u[i * n + j] = (float)row[j];
}

pith_status pith_second_order_step(pith_ctx *ctx, pith_second_order *s) {
  const size_t n = s->moments->cols;
  for (double macs = 0.0; macs < STEP_MACS;) {
    if (s->left == 0) {
      if (s->inverting) return PITH_OK;
      s->inverting = true;
      s->left = n;
    }
    factor_work w = {s, --s->left};
    const double j = (double)w.j, work = s->inverting ? ((double)n - j) * ((double)n - j) / 2 : j * j / 2;
    macs += work + 1.0;
    if (s->inverting) {
      s->u[w.j * n + w.j] = 1.0f;
      if (w.j + 1 < n) pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, n - w.j - 1, ((double)n - j) / 2 * MAC_F64_NS), invert_columns, &w);
    } else {
      if (!factor_column(s->moments->sums, n, w.j)) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the calibration texts lead to inputs that cannot be told apart");
      if (w.j > 0) pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, w.j, j / 2 * MAC_F64_NS), update_rows, &w);
    }
  }
  return PITH_PENDING;
}

/* ---- what errors ask for ---- */

typedef struct solve_work {
  const pith_second_order *s;
  const uint32_t *order;
  size_t begin, end;         /* rows of errors */
} solve_work;

/* Up to 8 rows side by side: y = E Uᵀ from the left, y U as soon as an entry of y is there. U[i][j] = u[i][j] / R[i][i]. */
static void solve_rows(const solve_work *w, size_t first, size_t n_rows, double *e, double *out) {
  const pith_moments *m = w->s->moments;
  const size_t n = m->cols;
  for (size_t j = 0; j < n; j++)
    for (size_t r = 0; r < PITH_PANEL; r++) {
      e[j * PITH_PANEL + r] = r < n_rows ? m->errors[(first + r) * n + (w->order ? w->order[j] : j)] : 0.0;
      out[j * PITH_PANEL + r] = 0.0;
    }
  for (size_t i = 0; i < n; i++) {
    const float *u = w->s->u + i * n;
    const double pivot = m->sums[i * n + i];
    double y[PITH_PANEL] = {0.0};
    for (size_t j = i; j < n; j++)
      for (size_t r = 0; r < PITH_PANEL; r++) y[r] += e[j * PITH_PANEL + r] * (double)u[j];
    for (size_t r = 0; r < PITH_PANEL; r++) y[r] /= pivot * pivot;
    for (size_t j = i; j < n; j++)
      for (size_t r = 0; r < PITH_PANEL; r++) out[j * PITH_PANEL + r] += y[r] * (double)u[j];
  }
  for (size_t j = 0; j < n; j++)
    for (size_t r = 0; r < n_rows; r++) m->errors[(first + r) * n + (w->order ? w->order[j] : j)] = out[j * PITH_PANEL + r];
}

static void solve_some(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const solve_work *w = arg;
  const size_t n_panels = (w->end - w->begin + PITH_PANEL - 1) / PITH_PANEL, lanes = w->s->moments->cols * PITH_PANEL;
  double *e = w->s->lanes + thread * 2 * lanes;
  for (size_t p = pith_share_begin(n_panels, part, n_parts); p < pith_share_end(n_panels, part, n_parts); p++) {
    const size_t first = w->begin + p * PITH_PANEL, left = w->end - first;
    solve_rows(w, first, left < PITH_PANEL ? left : PITH_PANEL, e, e + lanes);
  }
}

pith_status pith_second_order_solve(pith_ctx *ctx, pith_second_order *s, const uint32_t *order) {
  const size_t n = s->moments->cols, left = s->moments->n_errors - s->n_solved;
  const double panel_macs = (double)n * (double)n * PITH_PANEL;
  if (left == 0) return PITH_OK;
  if (!s->lanes) PITH_TRY(pith_calloc(ctx, pith_parallel_threads(ctx->parallel), 2 * n * PITH_PANEL * sizeof *s->lanes, &s->lanes));
  const size_t wished = (1 + (size_t)(STEP_MACS / panel_macs)) * PITH_PANEL * pith_parallel_threads(ctx->parallel);
  solve_work w = {s, order, s->n_solved, s->n_solved + (wished < left ? wished : left)};
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, (w.end - w.begin + PITH_PANEL - 1) / PITH_PANEL, panel_macs * MAC_F64_NS), solve_some, &w);
  s->n_solved = w.end;
  return w.end < s->moments->n_errors ? PITH_PENDING : PITH_OK;
}

void pith_second_order_free(pith_ctx *ctx, pith_second_order *s) {
  pith_free(ctx, s->row);
  pith_free(ctx, s->lanes);
  memset(s, 0, sizeof *s);
}
