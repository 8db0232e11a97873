/* The definition of integer attention (kernels.h), written to be read. */
#include <math.h>

#include "kernels/variants.h"

/* Below this a row counts as zero: its reciprocal would leave f32's range, and denormal scales are slow. */
#define TINY 0x1p-100f

int32_t pith_key_limit(size_t head_dim) {
  const int32_t limit = (int32_t)sqrt(2147483647.0 / (double)(head_dim > 0 ? head_dim : 1));
  return limit < PITH_MAX_CODE ? limit : PITH_MAX_CODE;
}

static float absmax_of(size_t n, const float *x) {
  float absmax = 0.0f;
  for (size_t i = 0; i < n; i++) absmax = fabsf(x[i]) > absmax ? fabsf(x[i]) : absmax;
  return absmax;
}

static float inverse_scale(float absmax, int32_t limit) { return absmax < TINY ? 0.0f : (float)limit / absmax; }
static float scale_of(float absmax, int32_t limit) { return absmax < TINY ? 0.0f : absmax / (float)limit; }

static int16_t code_of(float x, float inverse, int32_t limit) {
  const float q = rintf(x * inverse), most = (float)limit;
  return (int16_t)(q > most ? most : q < -most ? -most : q == q ? q : 0.0f);   /* NaN: 0 */
}

static int32_t get_code(const void *codes, size_t code_bytes, size_t i) {
  return code_bytes == 1 ? ((const int8_t *)codes)[i] : ((const int16_t *)codes)[i];
}

static void put_code(void *codes, size_t code_bytes, size_t i, int16_t code) {
  if (code_bytes == 1) ((int8_t *)codes)[i] = (int8_t)code;
  else ((int16_t *)codes)[i] = code;
}

static size_t key_at(size_t head_dim, size_t position, size_t d) {
  return ((position / PITH_PANEL * ((head_dim + 1) / 2) + d / 2) * PITH_PANEL + position % PITH_PANEL) * 2 + d % 2;
}

static size_t value_at(size_t head_dim, size_t position, size_t d) {
  const size_t panel = position / PITH_KEYS * ((head_dim + PITH_PANEL - 1) / PITH_PANEL) + d / PITH_PANEL;
  return ((panel * (PITH_KEYS / 2) + position % PITH_KEYS / 2) * PITH_PANEL + d % PITH_PANEL) * 2 + position % 2;
}

void remember_scalar(size_t n_rows, size_t head_dim, size_t code_bytes, const float *k, const float *v, size_t stride, size_t position,
                     const pith_head_memory *memory) {
  const int32_t key_limit = code_bytes == 1 ? 127 : pith_key_limit(head_dim), value_limit = code_bytes == 1 ? 127 : PITH_MAX_CODE;
  const size_t pairs_end = (head_dim + 1) / 2 * 2, panels_end = (head_dim + PITH_PANEL - 1) / PITH_PANEL * PITH_PANEL;
  for (size_t row = 0; row < n_rows; row++, position++, k += stride, v += stride) {
    const float key_max = absmax_of(head_dim, k), value_max = absmax_of(head_dim, v);
    const float key_inverse = inverse_scale(key_max, key_limit), value_inverse = inverse_scale(value_max, value_limit);
    memory->key_scales[position] = scale_of(key_max, key_limit);
    memory->value_scales[position] = scale_of(value_max, value_limit);
    for (size_t d = 0; d < pairs_end; d++)
      put_code(memory->keys, code_bytes, key_at(head_dim, position, d), d < head_dim ? code_of(k[d], key_inverse, key_limit) : 0);
    for (size_t d = 0; d < panels_end; d++)
      put_code(memory->values, code_bytes, value_at(head_dim, position, d), d < head_dim ? code_of(v[d], value_inverse, value_limit) : 0);
  }
}

/* lane sums as kernels.h has them; n: a multiple of 4 */
static float lane_sum(size_t n, const float *x) {
  float lane[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (size_t i = 0; i < n; i++) lane[i % 4] += x[i];
  return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

static void attend_one(const float *q, float *y, size_t seen, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *sums) {
  const int32_t limit = pith_key_limit(head_dim);
  const float q_max = absmax_of(head_dim, q), q_inverse = inverse_scale(q_max, limit), q_scale = scale_of(q_max, limit) * (scale * PITH_LOG2_E);
  float max = -INFINITY, total = 0.0f;
  for (size_t d = 0; d < head_dim; d++) sums[d] = 0.0f;
  for (size_t first = 0; first < seen; first += PITH_KEYS) {
    const size_t n = seen - first < PITH_KEYS ? seen - first : PITH_KEYS;
    float e[PITH_KEYS] = {0}, old_max = max, p_max = 0.0f;
    for (size_t j = 0; j < n; j++) {
      int32_t dot = 0;   /* exact: pith_key_limit */
      for (size_t d = 0; d < head_dim; d++) dot += code_of(q[d], q_inverse, limit) * get_code(memory->keys, code_bytes, key_at(head_dim, first + j, d));
      e[j] = (float)dot * memory->key_scales[first + j] * q_scale;
      max = e[j] > max ? e[j] : max;
    }
    for (size_t j = 0; j < n; j++) e[j] = pith_exp2f(e[j] - max);
    const float shrink = pith_exp2f(old_max - max);
    total = total * shrink + lane_sum(PITH_KEYS, e);
    for (size_t j = 0; j < n; j++) {
      e[j] *= memory->value_scales[first + j];
      p_max = e[j] > p_max ? e[j] : p_max;
    }
    const float inverse = p_max < TINY ? 0.0f : (float)PITH_MAX_WEIGHT / p_max, w_scale = p_max / (float)PITH_MAX_WEIGHT;
    for (size_t d = 0; d < head_dim; d++) {
      int32_t dot = 0;
      for (size_t j = 0; j < n; j++) {
        const float weight = rintf(e[j] * inverse);   /* NaN where scores are infinite: 0 */
        dot += (weight == weight ? (int32_t)weight : 0) * get_code(memory->values, code_bytes, value_at(head_dim, first + j, d));
      }
      sums[d] = sums[d] * shrink + (float)dot * w_scale;
    }
  }
  const float inverse = 1.0f / total;
  for (size_t d = 0; d < head_dim; d++) y[d] = sums[d] * inverse;
}

void attend_scalar(const pith_queries *queries, size_t head_dim, size_t code_bytes, const pith_head_memory *memory, float scale, float *scratch) {
  for (size_t i = 0; i < queries->n; i++) attend_one(queries->q[i], queries->y[i], queries->seen[i], head_dim, code_bytes, memory, scale, scratch);
}
