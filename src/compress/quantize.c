#include "compress/quantize.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

static float code_of(float w, float scale) {
  const float q = rintf(w / scale);
  return q > 63.0f ? 63.0f : q < -63.0f ? -63.0f : q;
}

static double squared_error(const float *w, size_t n, float scale) {
  double sum = 0.0;
  for (size_t i = 0; i < n; i++) {
    const double e = (double)w[i] - (double)(code_of(w[i], scale) * scale);
    sum += e * e;
  }
  return sum;
}

/* The f16 scale of one row's group; false when the group is not zero and no scale of f16's normal range serves. */
static int search_scale(const float *w, size_t n, uint16_t *scale, double *error) {
  float absmax = 0.0f;
  for (size_t i = 0; i < n; i++) absmax = fmaxf(absmax, fabsf(w[i]));
  *scale = 0;
  *error = 0.0;
  if (absmax == 0.0f) return 1;
  *error = INFINITY;
  for (int percent = 100; percent >= 75; percent--) {
    const uint16_t half = pith_f32_to_f16(absmax * (float)percent / 6300.0f);
    if (half < 0x0400 || half >= 0x7c00) continue;
    const double e = squared_error(w, n, pith_f16_to_f32(half));
    if (e < *error) {
      *error = e;
      *scale = half;
    }
  }
  return *scale != 0;
}

double pith_quantize_u7_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint16_t *scales) {
  const size_t n_quads = (cols + PITH_QUAD - 1) / PITH_QUAD, n_groups = (cols + group_size - 1) / group_size;
  memset(codes, PITH_U7_ZERO, n_quads * PITH_PANEL * PITH_QUAD);
  memset(scales, 0, n_groups * PITH_PANEL * sizeof *scales);
  double total = 0.0;
  for (size_t row = 0; row < n_rows; row++) {
    for (size_t g = 0; g < n_groups; g++) {
      const size_t begin = g * group_size, end = begin + group_size < cols ? begin + group_size : cols;
      uint16_t half;
      double error;
      if (!search_scale(w + row * cols + begin, end - begin, &half, &error)) return -1.0;
      scales[g * PITH_PANEL + row] = half;
      total += error;
      if (half == 0) continue;
      const float scale = pith_f16_to_f32(half);
      for (size_t k = begin; k < end; k++) {
        const int q = (int)code_of(w[row * cols + k], scale);   /* [-63, 63] */
        codes[(k / PITH_QUAD * PITH_PANEL + row) * PITH_QUAD + k % PITH_QUAD] = (uint8_t)(PITH_U7_ZERO + q);
      }
    }
  }
  return total;
}
