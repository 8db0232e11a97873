#include "compress/surgeon.h"

#include <math.h>
#include <string.h>

#define STEP_MACS 16777216.0   /* of one step: some 10 ms */
#define MAC_NS 0.5
#define SUM_ERROR 1e-5         /* what f32 sums of squares may be wrong by: where inputs hardly vary about their mean, nothing below that is known */

/* Less what the mean explains; damped. Columns without any variance are as if alone: their row and column are zero. */
static pith_status condition(pith_ctx *ctx, const pith_moments *m, bool centred, double damping) {
  const size_t n = m->cols;
  double trace = 0.0, whole = 0.0;   /* whole: with the mean */
  for (size_t r = 0; centred && r < m->n_errors; r++)
    for (size_t j = 0; j < n; j++) m->errors[r * n + j] -= m->error_totals[r] * m->totals[j] / m->n_rows;
  for (size_t i = 0; i < n; i++) {
    double *row = m->sums + i * n;
    whole += row[i];
    if (centred)
      for (size_t j = 0; j <= i; j++) row[j] -= m->totals[i] * m->totals[j] / m->n_rows;
    trace += row[i];
  }
  if (!isfinite(trace)) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the calibration texts lead to values that are not finite");
  const double mean = trace > 0.0 ? trace / (double)n : 1.0, least = SUM_ERROR * whole / (double)n;
  for (size_t i = 0; i < n; i++) m->sums[i * n + i] += damping * mean > least ? damping * mean : least;
  return PITH_OK;
}

pith_status pith_surgeon_begin(pith_ctx *ctx, pith_surgeon *s, pith_moments *moments, bool centred, double damping, size_t rows, size_t width, const double *scores) {
  memset(s, 0, sizeof *s);
  s->rows = rows;
  s->cols = moments->cols;
  s->width = width;
  s->n_units = s->n_left = moments->cols / width;
  s->inverse = moments->sums;
  s->moments = moments;
  s->given = scores != NULL;
  PITH_TRY(pith_calloc(ctx, rows, s->cols * sizeof *s->w, &s->w));
  PITH_TRY(pith_calloc(ctx, s->n_units, sizeof *s->scores, &s->scores));
  PITH_TRY(pith_calloc(ctx, s->n_units, sizeof *s->gone, &s->gone));
  PITH_TRY(pith_calloc(ctx, s->cols, sizeof *s->pivot, &s->pivot));
  PITH_TRY(pith_calloc(ctx, rows, sizeof *s->column, &s->column));
  if (width > 1) PITH_TRY(pith_calloc(ctx, pith_parallel_threads(ctx->parallel), width * (width + rows) * sizeof *s->block, &s->block));
  if (scores) memcpy(s->scores, scores, s->n_units * sizeof *s->scores);
  return condition(ctx, moments, centred, damping);
}

pith_status pith_surgeon_fill(pith_ctx *ctx, pith_surgeon *s, const pith_matrix *matrix) {
  float *row;
  PITH_TRY(pith_calloc(ctx, matrix->cols, sizeof *row, &row));
  for (uint32_t r = 0; r < matrix->rows; r++) {
    pith_matrix_row(matrix, r, row);
    for (size_t j = 0; j < matrix->cols; j++) s->w[r * matrix->cols + j] = (double)row[j];
  }
  pith_free(ctx, row);
  return PITH_OK;
}

void pith_surgeon_free(pith_ctx *ctx, pith_surgeon *s) {
  pith_free(ctx, s->w);
  pith_free(ctx, s->scores);
  pith_free(ctx, s->gone);
  pith_free(ctx, s->pivot);
  pith_free(ctx, s->column);
  pith_free(ctx, s->block);
  memset(s, 0, sizeof *s);
}

/* ---- one column out of a symmetric matrix, of which the lower triangle is kept ---- */

static double *entry(const pith_surgeon *s, size_t i, size_t j) { return &s->inverse[i >= j ? i * s->cols + j : j * s->cols + i]; }

static void update_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const pith_surgeon *s = arg;
  const double *pivot = s->pivot;
  (void)thread;
  for (size_t i = part; i < s->cols; i += n_parts) {   /* later rows are longer, so they are dealt out in turn */
    double *row = s->inverse + i * s->cols;
    const double f = pivot[i] / s->divisor;
    if (f == 0.0) continue;
    for (size_t j = 0; j <= i; j++) row[j] -= f * pivot[j];
  }
}

/* All but row and column k: a_ij -= a_ik a_kj / a_kk. pivot is column k, without its diagonal, which is the divisor. */
static pith_status update_inverse(pith_ctx *ctx, pith_surgeon *s, size_t k) {
  for (size_t i = 0; i < s->cols; i++) s->pivot[i] = *entry(s, i, k);
  s->divisor = s->pivot[k];
  s->pivot[k] = 0.0;
  if (!(s->divisor > 0.0) || !isfinite(s->divisor)) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the calibration texts lead to inputs that cannot be told apart");
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, s->cols, (double)s->cols / 2 * MAC_NS), update_rows, s);
  return PITH_OK;
}

/* The inverse in place by sweeping every column (Beaton 1964): after all of them the matrix is its inverse's negative. */
static pith_status sweep(pith_ctx *ctx, pith_surgeon *s) {
  const size_t k = s->n_inverted++;
  PITH_TRY(update_inverse(ctx, s, k));
  for (size_t i = 0; i < s->cols; i++) *entry(s, i, k) = s->pivot[i] / s->divisor;
  *entry(s, k, k) = -1.0 / s->divisor;
  if (s->n_inverted == s->cols)
    for (size_t i = 0; i < s->cols; i++)
      for (size_t j = 0; j <= i; j++) *entry(s, i, j) = -*entry(s, i, j);
  return PITH_OK;
}

typedef struct aim_work {
  pith_surgeon *s;
  size_t begin, end;
} aim_work;

/* Rows of w: += errors · inverse, of which the lower triangle is there. */
static void aim_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const aim_work *work = arg;
  const pith_surgeon *s = work->s;
  const size_t n = work->end - work->begin, cols = s->cols, end = work->begin + pith_share_end(n, part, n_parts);
  (void)thread;
  for (size_t r = work->begin + pith_share_begin(n, part, n_parts); r < end; r++) {
    const double *e = s->moments->errors + r * cols;
    double *w = s->w + r * cols;
    for (size_t k = 0; k < cols; k++) {
      const double *row = s->inverse + k * cols;
      double sum = e[k] * row[k];
      for (size_t j = 0; j < k; j++) {
        w[j] += e[k] * row[j];
        sum += e[j] * row[j];
      }
      w[k] += sum;
    }
  }
}

/* ---- what removing a unit costs ---- */

static double column_norm(const pith_surgeon *s, size_t j) {
  double sum = 0.0;
  for (size_t r = 0; r < s->rows; r++) sum += s->w[r * s->cols + j] * s->w[r * s->cols + j];
  return sum;
}

/* The unit's columns eliminated one by one, within a copy of its block of the inverse and of its columns of w. */
static double block_cost(const pith_surgeon *s, size_t unit, double *g) {
  const size_t n = s->width, first = unit * n;
  double *w = g + n * n, cost = 0.0;   /* (n, rows) */
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < n; j++) g[i * n + j] = *entry(s, first + i, first + j);
    for (size_t r = 0; r < s->rows; r++) w[i * s->rows + r] = s->w[r * s->cols + first + i];
  }
  for (size_t k = 0; k < n; k++) {
    const double *wk = w + k * s->rows, divisor = g[k * n + k];
    double norm = 0.0;
    for (size_t r = 0; r < s->rows; r++) norm += wk[r] * wk[r];
    cost += norm / divisor;
    for (size_t i = k + 1; i < n; i++) {
      const double f = g[i * n + k] / divisor;
      for (size_t j = k + 1; j < n; j++) g[i * n + j] -= f * g[k * n + j];
      for (size_t r = 0; r < s->rows; r++) w[i * s->rows + r] -= f * wk[r];
    }
  }
  return cost;
}

/* Units of one column, row by row as w lies there. */
static void score_columns(pith_surgeon *s, size_t begin, size_t end) {
  for (size_t j = begin; j < end; j++) s->scores[j] = 0.0;
  for (size_t r = 0; r < s->rows; r++) {
    const double *row = s->w + r * s->cols;
    for (size_t j = begin; j < end; j++) s->scores[j] += row[j] * row[j];
  }
  for (size_t j = begin; j < end; j++)
    if (!s->gone[j]) s->scores[j] /= *entry(s, j, j);
}

typedef struct score_work {
  pith_surgeon *s;
  size_t begin, end;
} score_work;

static void score_units(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const score_work *w = arg;
  pith_surgeon *s = w->s;
  const size_t n = w->end - w->begin, begin = w->begin + pith_share_begin(n, part, n_parts), end = w->begin + pith_share_end(n, part, n_parts);
  if (s->width == 1) {
    score_columns(s, begin, end);
    return;
  }
  for (size_t unit = begin; unit < end; unit++)
    if (!s->gone[unit]) s->scores[unit] = block_cost(s, unit, s->block + thread * s->width * (s->width + s->rows));
}

/* ---- removing ---- */

static void update_columns(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const pith_surgeon *s = arg;
  const size_t begin = pith_share_begin(s->cols, part, n_parts), end = pith_share_end(s->cols, part, n_parts);
  (void)thread;
  for (size_t r = 0; r < s->rows; r++) {
    double *row = s->w + r * s->cols;
    const double f = s->column[r] / s->divisor;
    for (size_t j = begin; j < end; j++) row[j] -= f * s->pivot[j];
  }
}

static pith_status remove_column(pith_ctx *ctx, pith_surgeon *s, size_t k) {
  PITH_TRY(update_inverse(ctx, s, k));
  s->loss += column_norm(s, k) / s->divisor;
  for (size_t r = 0; r < s->rows; r++) {
    s->column[r] = s->w[r * s->cols + k];
    s->w[r * s->cols + k] = 0.0;
  }
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, s->cols, (double)s->rows * MAC_NS), update_columns, s);
  for (size_t i = 0; i < s->cols; i++) *entry(s, i, k) = 0.0;
  return PITH_OK;
}

size_t pith_least_unit(const double *scores, const bool *gone, size_t n_units) {
  size_t least = n_units;
  for (size_t unit = 0; unit < n_units; unit++)
    if (!gone[unit] && (least == n_units || scores[unit] < scores[least])) least = unit;
  return least;
}

static pith_status remove_least(pith_ctx *ctx, pith_surgeon *s) {
  const size_t least = pith_least_unit(s->scores, s->gone, s->n_units);
  s->gone[least] = true;
  s->n_left--;
  s->n_scored = 0;
  for (size_t k = least * s->width; k < (least + 1) * s->width; k++) PITH_TRY(remove_column(ctx, s, k));
  return PITH_OK;
}

pith_status pith_surgeon_step(pith_ctx *ctx, pith_surgeon *s, size_t n_keep) {
  const double rows = (double)s->rows, cols = (double)s->cols, width = (double)s->width;
  for (double macs = 0.0; macs < STEP_MACS;) {
    if (s->n_inverted < s->cols) {
      PITH_TRY(sweep(ctx, s));
      macs += cols * cols / 2;
    } else if (s->n_aimed < s->moments->n_errors) {
      const size_t left = s->rows - s->n_aimed, wished = 1 + (size_t)(STEP_MACS / (cols * cols));
      aim_work w = {s, s->n_aimed, s->n_aimed + (wished < left ? wished : left)};
      pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, w.end - w.begin, cols * cols * MAC_NS), aim_rows, &w);
      macs += cols * cols * (double)(w.end - w.begin);
      s->n_aimed = w.end;
    } else if (s->n_left <= n_keep) {
      return PITH_OK;
    } else if (!s->given && s->n_scored < s->n_units) {
      const double unit = rows * width * (s->width == 1 ? 1.0 : width / 2);
      const size_t left = s->n_units - s->n_scored, wished = (size_t)(STEP_MACS / (unit + 1.0)) + pith_parallel_threads(ctx->parallel);
      score_work w = {s, s->n_scored, s->n_scored + (wished < left ? wished : left)};
      pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, w.end - w.begin, unit * MAC_NS), score_units, &w);
      macs += unit * (double)(w.end - w.begin);
      s->n_scored = w.end;
    } else {
      PITH_TRY(remove_least(ctx, s));
      macs += width * (cols * cols / 2 + rows * cols);
    }
  }
  return PITH_PENDING;
}
