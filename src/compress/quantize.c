#include "compress/quantize.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

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

/* The best scale of n weights; 0 when all are zero. */
static float search_scale(const float *w, size_t n, pith_dtype dtype, int levels, double *error) {
  float absmax = 0.0f, best = 0.0f;
  for (size_t i = 0; i < n; i++) absmax = fabsf(w[i]) > absmax ? fabsf(w[i]) : absmax;
  *error = 0.0;
  if (absmax == 0.0f) return 0.0f;
  *error = INFINITY;
  for (int percent = 100; percent >= 75; percent--) {
    /* the second way could not overflow either, and rounds otherwise */
    const float wished = absmax < 0x1p120f ? absmax * (float)percent / (float)(100 * levels) : absmax / (float)(100 * levels) * (float)percent;
    const float scale = rounded_scale(wished, dtype);
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

/* A group's codes are (w - minimum) / scale, rounded and clamped to low … high. */
typedef struct affine {
  float scale, minimum;
  int zero;                  /* -minimum / scale, where that is whole */
} affine;

static int code4(float w, float inverse, float minimum) {
  const float q = rintf((w - minimum) * inverse);
  return q > 15.0f ? 15 : q > 0.0f ? (int)q : 0;   /* NaN: 0 */
}

static double affine_error(const float *w, size_t n, const affine *a) {
  const float inverse = a->scale > 0.0f ? 1.0f / a->scale : 0.0f;
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) {
    const float e = w[i] - ((float)code4(w[i], inverse, a->minimum) * a->scale + a->minimum);
    sum += (double)(e * e);
  }
  return sum;
}

static affine with_zero_point(float low, float high, float f) {
  const float scale = rounded_scale(f * (high - low) / 15.0f, PITH_F16), zero = rintf(-f * low / scale);
  const int z = zero > 15.0f ? 15 : zero > 0.0f ? (int)zero : 0;
  return (affine){scale, -(float)z * scale, z};
}

static affine with_minimum(float low, float high, float f) {
  return (affine){rounded_scale(f * (high - low) / 15.0f, PITH_F16), pith_f16_to_f32(pith_f32_to_f16(low)), 0};
}

typedef affine affine_fn(float low, float high, float f);

static affine search_affine(const float *w, size_t n, affine_fn *make, bool with_zero) {
  float low = with_zero ? 0.0f : w[0], high = low;
  for (size_t i = 0; i < n; i++) {
    low = w[i] < low ? w[i] : low;
    high = w[i] > high ? w[i] : high;
  }
  if (low == high) return (affine){0.0f, pith_f16_to_f32(pith_f32_to_f16(low)), 0};
  affine best = {INFINITY, low, 0};   /* stays where no candidate fits f16 */
  double least = INFINITY;
  for (int percent = 100; percent >= 70; percent -= 2) {
    const affine a = make(low, high, (float)percent / 100.0f);
    const double error = affine_error(w, n, &a);
    if (!(error < least)) continue;
    least = error;
    best = a;
  }
  return best;
}

/* ---- panels ---- */

/* How an encoding's panel is made: a group's grid, where its parameters go, where a code goes. */
typedef struct panel_form {
  affine (*search)(const float *w, size_t n, pith_dtype scale_dtype, float high);
  float low, high;
  void (*store)(void *scales, size_t g, size_t row, const affine *a, pith_dtype scale_dtype, bool *fits);
  void (*put)(uint8_t *codes, size_t row, size_t k, int code);
} panel_form;

static affine search_u7(const float *w, size_t n, pith_dtype scale_dtype, float high) {
  double error;
  return (affine){search_scale(w, n, scale_dtype, (int)high, &error), 0.0f, 0};
}
static affine search_u4(const float *w, size_t n, pith_dtype scale_dtype, float high) {
  (void)scale_dtype, (void)high;
  return search_affine(w, n, with_zero_point, true);
}
static affine search_u4_min(const float *w, size_t n, pith_dtype scale_dtype, float high) {
  (void)scale_dtype, (void)high;
  return search_affine(w, n, with_minimum, false);
}

static void store_u7(void *scales, size_t g, size_t row, const affine *a, pith_dtype scale_dtype, bool *fits) {
  (void)fits;
  store_scale(scales, g * PITH_PANEL + row, scale_dtype, a->scale);
}
static void store_u4(void *scales, size_t g, size_t row, const affine *a, pith_dtype scale_dtype, bool *fits) {
  const uint16_t half = pith_f32_to_f16(a->scale);
  uint8_t *group = (uint8_t *)scales + g * PITH_U4_GROUP_BYTES, *zeros = &group[16 + row % 4];
  (void)scale_dtype;
  *fits = *fits && (half & 0x7c00) != 0x7c00;
  group[2 * row] = (uint8_t)half;
  group[2 * row + 1] = (uint8_t)(half >> 8);
  *zeros = (uint8_t)(row < 4 ? (*zeros & 0xf0) | a->zero : (*zeros & 0x0f) | a->zero << 4);
}
static void store_u4_min(void *scales, size_t g, size_t row, const affine *a, pith_dtype scale_dtype, bool *fits) {
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

static const panel_form form_u4 = {search_u4, 0.0f, 15.0f, store_u4, put_u4},
                        form_u4_min = {search_u4_min, 0.0f, 15.0f, store_u4_min, put_u4};

/* A panel on its way. */
typedef struct panel_work {
  const panel_form *form;
  size_t n_rows, cols, group_size;
  pith_dtype scale_dtype;
  uint8_t *codes;
  void *scales;
  const pith_rounding *rounding;   /* NULL: to the nearest */
  const pith_dropping *dropping;   /* NULL: no weight goes */
  bool resolving;                  /* what goes is chosen on the way */
} panel_work;

/* What goes of the columns that begin at k, where a choice is due: of rows whose errors are spread. */
static void choose_at(const panel_work *p, size_t k, const float *w, const bool *spread) {
  const pith_dropping *d = p->dropping;
  const bool quad = d->sparsity.form == PITH_SPARSITY_2OF4 && k % PITH_QUAD == 0;
  if (k % PITH_DROP_COLUMNS != 0 && !quad) return;
  const size_t width = k % PITH_DROP_COLUMNS == 0 ? PITH_DROP_COLUMNS : PITH_QUAD, end = k + width < p->cols ? k + width : p->cols;
  const size_t n = d->sparsity.form == PITH_SPARSITY_BLOCK ? p->n_rows : 1;
  for (size_t row = 0; row < p->n_rows; row += n)
    if (spread[row]) pith_sparsity_choose(d, p->rounding->curvature, n, p->cols, k, end, w + row * p->cols, d->dropped + row * p->cols);
}

/* At first what goes by magnitude, which rows keep whose errors are not spread. */
static void begin_choosing(const panel_work *p, const float *w, const bool *spread) {
  pith_sparsity_choose(p->dropping, NULL, p->n_rows, p->cols, 0, p->cols, w, p->dropping->dropped);
  for (size_t row = 0; row < p->n_rows; row++)
    if (spread[row]) memset(p->dropping->dropped + row * p->cols, 0, p->cols);
}

/* The best grid of a row's group, of the weights that stay. */
static affine search_group(const panel_work *p, const float *w, size_t row, size_t begin, size_t end) {
  const float *from = w + row * p->cols;
  if (!p->dropping) return p->form->search(from + begin, end - begin, p->scale_dtype, p->form->high);
  float *left = p->dropping->scores;
  for (size_t k = begin; k < end; k++) left[k - begin] = p->dropping->dropped[row * p->cols + k] ? 0.0f : from[k];
  return p->form->search(left, end - begin, p->scale_dtype, p->form->high);
}

/* Rounds the rows, group after group. Rows of which `spread` is set take each weight's error off the weights to come. What was rounded away goes
 * into the rounding's scratch, (n_rows, cols). */
static bool round_rows(const panel_work *p, float *w, const bool *spread) {
  const panel_form *form = p->form;
  const size_t cols = p->cols;
  bool fits = true;
  if (p->resolving) begin_choosing(p, w, spread);
  for (size_t begin = 0, g = 0; begin < cols; begin += p->group_size, g++) {
    const size_t end = begin + p->group_size < cols ? begin + p->group_size : cols;
    affine a[PITH_PANEL];
    float inverse[PITH_PANEL];
    if (p->resolving) choose_at(p, begin, w, spread);
    for (size_t row = 0; row < p->n_rows; row++) {
      a[row] = search_group(p, w, row, begin, end);
      inverse[row] = a[row].scale > 0.0f ? 1.0f / a[row].scale : 0.0f;
      form->store(p->scales, g, row, &a[row], p->scale_dtype, &fits);
    }
    for (size_t k = begin; k < end; k++) {
      if (p->resolving && k > begin) choose_at(p, k, w, spread);
      for (size_t row = 0; row < p->n_rows; row++) {
        float *from = w + row * cols;
        const float q = p->dropping && p->dropping->dropped[row * cols + k] ? 0.0f : rintf((from[k] - a[row].minimum) * inverse[row]);
        const float code = q > form->high ? form->high : q > form->low ? q : form->low;   /* NaN: low */
        form->put(p->codes, row, k, (int)code);
        if (!p->rounding) continue;
        const float error = from[k] - (code * a[row].scale + a[row].minimum);
        p->rounding->scratch[row * cols + k] = error;
        if (!spread[row]) continue;
        const float *factors = p->rounding->u + k * cols;
        for (size_t j = k + 1; j < cols; j++) from[j] -= error * factors[j];
      }
    }
  }
  return fits;
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
static bool better_spread(const panel_work *p, const double *plain, bool *spread) {
  double spread_sum = 0.0, plain_sum = 0.0;
  bool all = true;
  for (size_t row = 0; row < p->n_rows; row++) {
    const double objective = spread_objective(p->rounding, p->rounding->scratch + row * p->cols);
    spread[row] = objective <= plain[row];
    all = all && spread[row];
    spread_sum += objective;
    plain_sum += plain[row];
  }
  if (!p->resolving || p->dropping->sparsity.form != PITH_SPARSITY_BLOCK) return all;
  for (size_t row = 0; row < p->n_rows; row++) spread[row] = spread_sum <= plain_sum;
  return spread[0];
}

static bool round_panel(const panel_work *p, const float *w) {
  bool spread[PITH_PANEL] = {false}, fits;
  /* the search and the rounding alone leave w as it is */
  if (!p->rounding) return round_rows(p, (float *)w, spread);
  double plain[PITH_PANEL];
  float *errors = p->rounding->scratch, *moved = errors + p->n_rows * p->cols;
  const size_t n_bytes = p->n_rows * p->cols * sizeof *moved;
  (void)round_rows(p, (float *)w, spread);
  for (size_t row = 0; row < p->n_rows; row++) {
    plain[row] = objective_of(p->rounding, errors + row * p->cols);
    spread[row] = true;
  }
  memcpy(moved, w, n_bytes);
  fits = round_rows(p, moved, spread);
  if (better_spread(p, plain, spread)) return fits;
  memcpy(moved, w, n_bytes);   /* a row for which it did not pay is rounded to the nearest */
  return round_rows(p, moved, spread);
}

/* What goes by magnitude or by inputs goes before anything is rounded. */
static void drop_before(size_t n_rows, size_t cols, float *w, const pith_rounding *r, const pith_dropping *d) {
  pith_sparsity_choose(d, d->sparsity.by == PITH_IMPORTANCE_WANDA && r ? r->squares : NULL, n_rows, cols, 0, cols, w, d->dropped);
  for (size_t i = 0; i < n_rows * cols; i++)
    if (d->dropped[i]) w[i] = 0.0f;
}

void pith_quantize_u7_panel(size_t n_rows, size_t cols, size_t group_size, int levels, float *w, pith_dtype scale_dtype, uint8_t *codes, void *scales,
                            const pith_rounding *rounding, const pith_dropping *dropping) {
  const panel_form form = {search_u7, -(float)levels, (float)levels, store_u7, put_u7};
  const bool resolving = dropping && rounding && dropping->sparsity.by == PITH_IMPORTANCE_OBS;
  const panel_work p = {&form, n_rows, cols, group_size, scale_dtype, codes, scales, rounding, dropping, resolving};
  if (dropping && !resolving) drop_before(n_rows, cols, w, rounding, dropping);
  memset(codes, PITH_U7_ZERO, (cols + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, (cols + group_size - 1) / group_size * PITH_PANEL * pith_dtype_bytes(scale_dtype));
  (void)round_panel(&p, w);   /* scale_dtype holds the scales */
}

bool pith_quantize_u4_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint8_t *scales, const pith_rounding *rounding) {
  memset(codes, 0, (cols + 7) / 8 * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, (cols + group_size - 1) / group_size * PITH_U4_GROUP_BYTES);
  return round_panel(&(panel_work){&form_u4, n_rows, cols, group_size, PITH_F16, codes, scales, rounding, NULL, false}, w);
}

bool pith_quantize_u4_min_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint16_t *scales, const pith_rounding *rounding) {
  memset(codes, 0, (cols + 7) / 8 * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, (cols + group_size - 1) / group_size * 2 * PITH_PANEL * sizeof *scales);
  return round_panel(&(panel_work){&form_u4_min, n_rows, cols, group_size, PITH_F16, codes, scales, rounding, NULL, false}, w);
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
