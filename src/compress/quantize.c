#include "compress/quantize.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

enum { WIDEST_TRIED = 128 /* weights of a group whose grid is chosen by trying */ };
#define LEAST_F16_SCALE 0x0010u   /* 2^-20: 16 units of f16's last place, so the scale itself is good to 3 % */

pith_dtype pith_scale_dtype(float tensor_absmax, int levels) {
  const float scale = tensor_absmax / (float)levels;
  return scale == 0.0f || (scale >= 0x1p-14f && scale <= 65504.0f) ? PITH_F16 : PITH_F32;
}

static float code_of(float w, float inverse, float levels) {
  const float q = rintf(w * inverse);
  return q > levels ? levels : q < -levels ? -levels : q;
}

static double squared_error(const float *w, size_t n, float scale, float levels) {
  const float inverse = 1.0f / scale;
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) {
    const float e = w[i] - code_of(w[i], inverse, levels) * scale;
    sum += (double)(e * e);
  }
  return sum;
}

static float rounded_scale(float wished, pith_dtype dtype) {
  if (dtype == PITH_F32) return wished < 0x1p-100f ? 0x1p-100f : wished;
  const uint16_t half = pith_f32_to_f16(wished);
  return pith_f16_to_f32(half < LEAST_F16_SCALE ? LEAST_F16_SCALE : half);
}

/* absmax * percent / 100 / levels */
static float share_of_scale(float absmax, int percent, int levels) {
  /* the second way could not overflow either, and rounds otherwise */
  return absmax < 0x1p120f ? absmax * (float)percent / (float)(100 * levels) : absmax / (float)(100 * levels) * (float)percent;
}

/* The best scale of n weights; 0 when all are zero. */
static float search_scale(const float *w, size_t n, pith_dtype dtype, int levels, double *error) {
  float absmax = 0.0f, best = 0.0f;
  for (size_t i = 0; i < n; i++) absmax = fabsf(w[i]) > absmax ? fabsf(w[i]) : absmax;
  *error = 0.0;
  if (absmax == 0.0f) return 0.0f;
  *error = INFINITY;
  for (int percent = 100; percent >= 75; percent--) {
    const float scale = rounded_scale(share_of_scale(absmax, percent, levels), dtype);
    if (scale == best) continue;
    const double e = squared_error(w, n, scale, (float)levels);
    if (e >= *error && best != 0.0f) continue;   /* the error of huge weights is infinite at every scale */
    *error = e;
    best = scale;
  }
  return best;
}

static void store_scale(void *scales, size_t at, pith_dtype dtype, float scale) {
  if (dtype == PITH_F32) ((float *)scales)[at] = scale;
  else ((uint16_t *)scales)[at] = pith_f32_to_f16(scale);
}

double pith_quantize_u8_rows(size_t n_rows, size_t cols, const float *w, pith_dtype scale_dtype, uint8_t *codes, void *scales) {
  double total = 0.0;
  for (size_t row = 0; row < n_rows; row++) {
    double error;
    const float scale = search_scale(w + row * cols, cols, scale_dtype, 127, &error), inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    total += error;
    store_scale(scales, row, scale_dtype, scale);
    for (size_t k = 0; k < cols; k++) codes[row * cols + k] = (uint8_t)(128 + (int)code_of(w[row * cols + k], inverse, 127.0f));
  }
  return total;
}

/* ---- four bits ---- */

static int code4(float w, float inverse, float minimum) {
  const float q = rintf((w - minimum) * inverse);
  return q > 15.0f ? 15 : q > 0.0f ? (int)q : 0;   /* NaN: 0 */
}

static double affine_error(const float *w, size_t n, const pith_grid *a) {
  const float inverse = a->scale > 0.0f ? 1.0f / a->scale : 0.0f;
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) {
    const float e = w[i] - ((float)code4(w[i], inverse, a->minimum) * a->scale + a->minimum);
    sum += (double)(e * e);
  }
  return sum;
}

static pith_grid with_zero_point(float low, float high, float f) {
  const float scale = rounded_scale(f * (high - low) / 15.0f, PITH_F16), zero = rintf(-f * low / scale);
  const int z = zero > 15.0f ? 15 : zero > 0.0f ? (int)zero : 0;
  return (pith_grid){scale, -(float)z * scale, z};
}

static pith_grid with_minimum(float low, float high, float f) {
  return (pith_grid){rounded_scale(f * (high - low) / 15.0f, PITH_F16), pith_f16_to_f32(pith_f32_to_f16(low)), 0};
}

typedef pith_grid affine_fn(float low, float high, float f);

static pith_grid search_affine(const float *w, size_t n, affine_fn *make, bool with_zero) {
  float low = with_zero ? 0.0f : w[0], high = low;
  for (size_t i = 0; i < n; i++) {
    low = w[i] < low ? w[i] : low;
    high = w[i] > high ? w[i] : high;
  }
  if (low == high) return (pith_grid){0.0f, pith_f16_to_f32(pith_f32_to_f16(low)), 0};
  pith_grid best = {INFINITY, low, 0};   /* stays where no candidate fits f16 */
  double least = INFINITY;
  for (int percent = 100; percent >= 70; percent -= 2) {
    const pith_grid a = make(low, high, (float)percent / 100.0f);
    const double error = affine_error(w, n, &a);
    if (!(error < least)) continue;
    least = error;
    best = a;
  }
  return best;
}

/* ---- panels ---- */

/* How an encoding's panel is made: a group's grid, by itself or `percent` of the whole range, where its parameters go, where a code goes. */
typedef struct panel_form {
  pith_grid (*search)(const float *w, size_t n, pith_dtype scale_dtype, float levels);   /* levels: `high` */
  pith_grid (*narrow)(float low, float high, int percent, pith_dtype scale_dtype, float levels);
  int least_percent, step;
  bool with_zero;            /* the range holds 0 */
  bool tried;                /* grids, where rounding minds the inputs: with seven bits a grid hardly matters, and trying takes as long as all else */
  float low, high;
  void (*store)(void *scales, size_t g, size_t row, const pith_grid *a, pith_dtype scale_dtype, bool *fits);
  void (*put)(uint8_t *codes, size_t row, size_t k, int code);
} panel_form;

static pith_grid search_u7(const float *w, size_t n, pith_dtype scale_dtype, float levels) {
  double error;
  return (pith_grid){search_scale(w, n, scale_dtype, (int)levels, &error), 0.0f, 0};
}
static pith_grid search_u4(const float *w, size_t n, pith_dtype scale_dtype, float levels) {
  (void)scale_dtype, (void)levels;
  return search_affine(w, n, with_zero_point, true);
}
static pith_grid search_u4_min(const float *w, size_t n, pith_dtype scale_dtype, float levels) {
  (void)scale_dtype, (void)levels;
  return search_affine(w, n, with_minimum, false);
}

static pith_grid narrow_u7(float low, float high, int percent, pith_dtype scale_dtype, float levels) {
  return (pith_grid){rounded_scale(share_of_scale(high > -low ? high : -low, percent, (int)levels), scale_dtype), 0.0f, 0};
}
static pith_grid narrow_u4(float low, float high, int percent, pith_dtype scale_dtype, float levels) {
  (void)scale_dtype, (void)levels;
  return with_zero_point(low, high, (float)percent / 100.0f);
}
static pith_grid narrow_u4_min(float low, float high, int percent, pith_dtype scale_dtype, float levels) {
  (void)scale_dtype, (void)levels;
  return with_minimum(low, high, (float)percent / 100.0f);
}

static void store_u7(void *scales, size_t g, size_t row, const pith_grid *a, pith_dtype scale_dtype, bool *fits) {
  (void)fits;
  store_scale(scales, g * PITH_PANEL + row, scale_dtype, a->scale);
}
static void store_u4(void *scales, size_t g, size_t row, const pith_grid *a, pith_dtype scale_dtype, bool *fits) {
  const uint16_t half = pith_f32_to_f16(a->scale);
  uint8_t *group = (uint8_t *)scales + g * PITH_U4_GROUP_BYTES, *zeros = &group[16 + row % 4];
  (void)scale_dtype;
  *fits = *fits && (half & 0x7c00) != 0x7c00;
  group[2 * row] = (uint8_t)half;
  group[2 * row + 1] = (uint8_t)(half >> 8);
  *zeros = (uint8_t)(row < 4 ? (*zeros & 0xf0) | a->zero : (*zeros & 0x0f) | a->zero << 4);
}
static void store_u4_min(void *scales, size_t g, size_t row, const pith_grid *a, pith_dtype scale_dtype, bool *fits) {
  uint16_t *group = (uint16_t *)scales + g * 2 * PITH_PANEL + row;
  (void)scale_dtype;
  group[0] = pith_f32_to_f16(a->scale);
  group[PITH_PANEL] = pith_f32_to_f16(a->minimum);
  *fits = *fits && (group[0] & 0x7c00) != 0x7c00 && (group[PITH_PANEL] & 0x7c00) != 0x7c00;
}

static void put_u7(uint8_t *codes, size_t row, size_t k, int code) {
  codes[(k / PITH_QUAD * PITH_PANEL + row) * PITH_QUAD + k % PITH_QUAD] = (uint8_t)(PITH_U7_ZERO + code);
}
static void put_u4(uint8_t *codes, size_t row, size_t k, int code) {
  uint8_t *both = &codes[(k / 8 * PITH_PANEL + row) * PITH_QUAD + k % PITH_QUAD];
  *both = (uint8_t)(k % 8 < PITH_QUAD ? (*both & 0xf0) | code : (*both & 0x0f) | code << 4);
}

static const panel_form form_u4 = {search_u4, narrow_u4, 70, 2, true, true, 0.0f, 15.0f, store_u4, put_u4},
                        form_u4_min = {search_u4_min, narrow_u4_min, 70, 2, false, true, 0.0f, 15.0f, store_u4_min, put_u4};

/* Up to 8 rows on their way into codes. */
typedef struct panel_work {
  const panel_form *form;
  size_t n_rows, cols, group_size;
  const float *w;            /* (n_rows, cols) */
  pith_dtype scale_dtype;
  uint8_t *codes;
  void *scales;
  const pith_rounding *r;    /* NULL: to the nearest */
  const pith_dropping *dropping;   /* NULL: no weight goes */
  bool resolving;            /* what goes is chosen on the way; columns are visited as they lie then */
} panel_work;

static float code_on(const panel_form *form, const pith_grid *a, float w) {
  const float q = rintf((w - a->minimum) * (a->scale > 0.0f ? 1.0f / a->scale : 0.0f));
  return q > form->high ? form->high : q > form->low ? q : form->low;   /* NaN: low */
}

/* What a group adds to the objective on a grid, its errors taken off its own later weights; from `least` on it is not looked at further.
 * moved: n floats to work with. */
static double try_grid(const panel_work *p, size_t k, size_t n, const pith_grid *a, const float *w, double least, float *moved) {
  double total = 0.0;
  memcpy(moved, w, n * sizeof *moved);
  for (size_t i = 0; i < n && !(total >= least); i++) {
    const float error = moved[i] - (code_on(p->form, a, moved[i]) * a->scale + a->minimum), *factors = p->r->u + (k + i) * p->cols + k;
    const double e = (double)error * p->r->factor[(k + i) * p->cols + k + i];
    total += e * e;
    for (size_t j = i + 1; j < n; j++) moved[j] -= error * factors[j];
  }
  return total;
}

/* The grid of the group that begins at column k, w being its weights as they now are. */
static pith_grid search_minding(const panel_work *p, size_t k, size_t n, const float *w) {
  const panel_form *form = p->form;
  pith_grid best = form->search(w, n, p->scale_dtype, form->high);
  float moved[WIDEST_TRIED], low = form->with_zero ? 0.0f : w[0], high = low;
  if (n > WIDEST_TRIED) return best;
  for (size_t i = 0; i < n; i++) {
    low = w[i] < low ? w[i] : low;
    high = w[i] > high ? w[i] : high;
  }
  if (low == high) return best;
  double least = try_grid(p, k, n, &best, w, INFINITY, moved);
  for (int percent = 100; percent >= form->least_percent; percent -= form->step) {
    const pith_grid a = form->narrow(low, high, percent, p->scale_dtype, form->high);
    const double error = try_grid(p, k, n, &a, w, least, moved);
    if (!(error < least)) continue;
    least = error;
    best = a;
  }
  return best;
}

/* What goes of the columns that begin at k, where a choice is due: of rows whose errors are spread. */
static void choose_at(const panel_work *p, size_t k, const float *w, const bool *spread) {
  const pith_dropping *d = p->dropping;
  const bool quad = d->sparsity.form == PITH_SPARSITY_2OF4 && k % PITH_QUAD == 0;
  if (k % PITH_DROP_COLUMNS != 0 && !quad) return;
  const size_t width = k % PITH_DROP_COLUMNS == 0 ? PITH_DROP_COLUMNS : PITH_QUAD, end = k + width < p->cols ? k + width : p->cols;
  const size_t n = d->sparsity.form == PITH_SPARSITY_BLOCK ? p->n_rows : 1;
  for (size_t row = 0; row < p->n_rows; row += n)
    if (spread[row]) pith_sparsity_choose(d, p->r->curvature, n, p->cols, k, end, w + row * p->cols, d->dropped + row * p->cols);
}

/* At first what goes by magnitude, which rows keep whose errors are not spread. */
static void begin_choosing(const panel_work *p, const float *w, const bool *spread) {
  pith_sparsity_choose(p->dropping, NULL, p->n_rows, p->cols, 0, p->cols, w, p->dropping->dropped);
  for (size_t row = 0; row < p->n_rows; row++)
    if (spread[row]) memset(p->dropping->dropped + row * p->cols, 0, p->cols);
}

/* The grid of a row's group of n weights from column k on, by the weights that stay alone. */
static pith_grid search_group(const panel_work *p, size_t row, size_t k, size_t n, const float *w) {
  if (!p->dropping) return p->form->search(w, n, p->scale_dtype, p->form->high);
  float *left = p->dropping->scores;
  for (size_t i = 0; i < n; i++) left[i] = p->dropping->dropped[row * p->cols + k + i] ? 0.0f : w[i];
  return p->form->search(left, n, p->scale_dtype, p->form->high);
}

/* Where columns are not visited as they lie, a group's grid has to be there before its first weight moves. */
static bool place_grids(const panel_work *p, pith_grid *grids) {
  bool fits = true;
  for (size_t begin = 0, g = 0; begin < p->cols; begin += p->group_size, g++)
    for (size_t row = 0; row < p->n_rows; row++) {
      pith_grid *a = &grids[g * PITH_PANEL + row];
      *a = search_group(p, row, begin, p->cols - begin < p->group_size ? p->cols - begin : p->group_size, p->w + row * p->cols + begin);
      p->form->store(p->scales, g, row, a, p->scale_dtype, &fits);
    }
  return fits;
}

static size_t visited(const panel_work *p, size_t k) { return p->r && p->r->order ? p->r->order[k] : k; }

/* Rounds the rows. w: (n_rows, cols) in the order of visits; rows of which `spread` is set take each weight's error off the weights to come.
 * errors: what was rounded away, in the same order. Both NULL without p->r. */
static bool round_rows(const panel_work *p, float *w, const bool *spread, float *errors) {
  const pith_rounding *r = p->r;
  const size_t cols = p->cols;
  const bool ordered = r && r->order;
  pith_grid at_hand[PITH_PANEL], *grids = ordered ? r->grids : at_hand;
  bool fits = ordered ? place_grids(p, grids) : true;
  if (p->resolving) begin_choosing(p, w, spread);
  for (size_t k = 0; k < cols; k++) {
    const size_t column = visited(p, k), g = column / p->group_size, n = cols - k < p->group_size ? cols - k : p->group_size;
    const pith_grid *grid = ordered ? grids + g * PITH_PANEL : grids;
    if (p->resolving) choose_at(p, k, w, spread);
    for (size_t row = 0; row < p->n_rows && !ordered && k % p->group_size == 0; row++) {
      const float *group = (w ? w : p->w) + row * cols + k;
      grids[row] = spread && spread[row] && p->form->tried && !p->dropping ? search_minding(p, k, n, group) : search_group(p, row, k, n, group);
      p->form->store(p->scales, g, row, &grids[row], p->scale_dtype, &fits);
    }
    for (size_t row = 0; row < p->n_rows; row++) {
      const pith_grid *a = &grid[row];
      const float from = (w ? w : p->w)[row * cols + k], code = p->dropping && p->dropping->dropped[row * cols + column] ? 0.0f : code_on(p->form, a, from);
      p->form->put(p->codes, row, column, (int)code);
      if (!r) continue;
      const float error = from - (code * a->scale + a->minimum), *factors = r->u + k * cols;
      errors[row * cols + k] = error;
      for (size_t j = k + 1; j < cols && spread[row]; j++) w[row * cols + j] -= error * factors[j];
    }
  }
  return fits;
}

static void take_rows(const panel_work *p, float *w) {
  for (size_t row = 0; row < p->n_rows; row++)
    for (size_t k = 0; k < p->cols; k++) w[row * p->cols + k] = p->w[row * p->cols + visited(p, k)];
}

/* dᵀ H d = ‖Rᵀ d‖², R in the columns of the factored sums. */
static double objective_of(const pith_rounding *r, const float *d) {
  double total = 0.0;
  for (size_t j = 0; j < r->cols; j++) {
    const double *column = r->factor + j * r->cols;
    double sum = 0.0;
    for (size_t i = 0; i <= j; i++) sum += column[i] * (double)d[i];
    total += sum * sum;
  }
  return total;
}

/* The same where the errors were spread: each counts alone. */
static double spread_objective(const pith_rounding *r, const float *errors) {
  double total = 0.0;
  for (size_t k = 0; k < r->cols; k++) {
    const double e = (double)errors[k] * r->factor[k * r->cols + k];
    total += e * e;
  }
  return total;
}

/* Which rows' errors are spread: where that has the smaller objective; of blocks, which a panel's rows share, all or none. */
static bool better_spread(const panel_work *p, const double *plain, const float *errors, bool *spread) {
  double spread_sum = 0.0, plain_sum = 0.0;
  bool all = true;
  for (size_t row = 0; row < p->n_rows; row++) {
    const double objective = spread_objective(p->r, errors + row * p->cols);
    spread[row] = objective <= plain[row];
    all = all && spread[row];
    spread_sum += objective;
    plain_sum += plain[row];
  }
  if (!p->resolving || p->dropping->sparsity.form != PITH_SPARSITY_BLOCK) return all;
  for (size_t row = 0; row < p->n_rows; row++) spread[row] = spread_sum <= plain_sum;
  return spread[0];
}

static bool round_panel(const panel_work *p) {
  const pith_rounding *r = p->r;
  if (!r) return round_rows(p, NULL, NULL, NULL);
  bool spread[PITH_PANEL] = {false};
  double plain[PITH_PANEL];
  float *errors = r->scratch, *moved = r->scratch + PITH_PANEL * p->cols;
  take_rows(p, moved);
  (void)round_rows(p, moved, spread, errors);
  for (size_t row = 0; row < p->n_rows; row++) {
    plain[row] = objective_of(r, errors + row * p->cols);
    spread[row] = true;
  }
  const bool fits = round_rows(p, moved, spread, errors);
  if (better_spread(p, plain, errors, spread)) return fits;
  take_rows(p, moved);   /* a row for which it did not pay is rounded to the nearest */
  return round_rows(p, moved, spread, errors);
}

/* What goes by magnitude or by inputs goes before anything is rounded. */
static void drop_before(size_t n_rows, size_t cols, float *w, const pith_rounding *r, const pith_dropping *d) {
  pith_sparsity_choose(d, d->sparsity.by == PITH_IMPORTANCE_WANDA && r ? r->squares : NULL, n_rows, cols, 0, cols, w, d->dropped);
  for (size_t i = 0; i < n_rows * cols; i++)
    if (d->dropped[i]) w[i] = 0.0f;
}

void pith_quantize_u7_panel(size_t n_rows, size_t cols, size_t group_size, int levels, float *w, pith_dtype scale_dtype, uint8_t *codes, void *scales,
                            const pith_rounding *rounding, const pith_dropping *dropping) {
  const panel_form form = {search_u7, narrow_u7, 75, 1, true, levels < PITH_U7_ZERO - 1, -(float)levels, (float)levels, store_u7, put_u7};
  const bool resolving = dropping && rounding && dropping->sparsity.by == PITH_IMPORTANCE_OBS;
  if (dropping && !resolving) drop_before(n_rows, cols, w, rounding, dropping);
  memset(codes, PITH_U7_ZERO, (cols + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, (cols + group_size - 1) / group_size * PITH_PANEL * pith_dtype_bytes(scale_dtype));
  const panel_work p = {&form, n_rows, cols, group_size, w, scale_dtype, codes, scales, rounding, dropping, resolving};
  (void)round_panel(&p);   /* scale_dtype holds the scales */
}

bool pith_quantize_u4_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint8_t *scales, const pith_rounding *rounding) {
  memset(codes, 0, (cols + 7) / 8 * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, (cols + group_size - 1) / group_size * PITH_U4_GROUP_BYTES);
  const panel_work p = {&form_u4, n_rows, cols, group_size, w, PITH_F16, codes, scales, rounding, NULL, false};
  return round_panel(&p);
}

bool pith_quantize_u4_min_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint16_t *scales, const pith_rounding *rounding) {
  memset(codes, 0, (cols + 7) / 8 * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, (cols + group_size - 1) / group_size * 2 * PITH_PANEL * sizeof *scales);
  const panel_work p = {&form_u4_min, n_rows, cols, group_size, w, PITH_F16, codes, scales, rounding, NULL, false};
  return round_panel(&p);
}

void pith_pack_u4_min_panel(size_t n_rows, size_t cols, size_t group_size, const uint8_t *row_codes, const uint16_t *row_scales, const uint16_t *row_mins,
                            uint8_t *codes, uint16_t *scales) {
  const size_t n_groups = cols / group_size;
  memset(codes, 0, (cols + 7) / 8 * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, n_groups * 2 * PITH_PANEL * sizeof *scales);
  for (size_t row = 0; row < n_rows; row++) {
    for (size_t k = 0; k < cols; k++) put_u4(codes, row, k, row_codes[row * cols + k]);
    for (size_t g = 0; g < n_groups; g++) {
      scales[g * 2 * PITH_PANEL + row] = row_scales[row * n_groups + g];
      scales[(g * 2 + 1) * PITH_PANEL + row] = row_mins[row * n_groups + g];
    }
  }
}

bool pith_convert_f16_panel(size_t n_rows, size_t cols, const float *w, uint16_t *panel) {
  bool finite = true;
  for (size_t k = 0; k < cols; k++)
    for (size_t r = 0; r < PITH_PANEL; r++) {
      const uint16_t half = r < n_rows ? pith_f32_to_f16(w[r * cols + k]) : 0;
      finite = finite && (half & 0x7c00) != 0x7c00;
      panel[k * PITH_PANEL + r] = half;
    }
  return finite;
}
