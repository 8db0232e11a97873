/* The definitions of docs/ARCHITECTURE.md's numeric contract (kernels.h), written to be read, not to be fast. */
#include <math.h>
#include <string.h>

#include "kernels/variants.h"

/* Below this a group counts as zero: its reciprocal would leave f32's range, and denormal scales are slow. */
#define TINY 0x1p-100f

static float group_absmax(size_t n, const float *x) {
  float absmax = 0.0f;
  for (size_t i = 0; i < n; i++) absmax = fabsf(x[i]) > absmax ? fabsf(x[i]) : absmax;
  return absmax;
}

/* Where row m's codes begin: its quads lie PITH_ROWS * PITH_QUAD elements apart. */
static int8_t *row_of(const pith_activations *a, size_t m, size_t k) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD;
  return (int8_t *)a->codes + (m / PITH_ROWS * n_quads * PITH_ROWS + m % PITH_ROWS) * PITH_QUAD;
}

static size_t code_at(size_t i) { return i / PITH_QUAD * PITH_ROWS * PITH_QUAD + i % PITH_QUAD; }
static size_t group_at(size_t m, size_t g, size_t n_groups) { return (m / PITH_ROWS * n_groups + g) * PITH_ROWS + m % PITH_ROWS; }

static void quantize_i8(size_t n_rows, size_t k, size_t group_size, const float *x, size_t x_stride, const pith_activations *out) {
  for (size_t row = 0; row < n_rows; row++) {
    int8_t *codes = row_of(out, row, k);
    for (size_t g = 0; g < out->n_groups; g++) {
      const size_t begin = g * group_size, n = k - begin < group_size ? k - begin : group_size, at = group_at(row, g, out->n_groups);
      const float *v = x + row * x_stride + begin, absmax = group_absmax(n, v);
      const float inverse = absmax < TINY ? 0.0f : 127.0f / absmax;
      int32_t sum = 0;
      for (size_t i = 0; i < n; i++) {
        const float q = rintf(v[i] * inverse);
        const int8_t code = (int8_t)(q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q == q ? q : 0.0f);   /* NaN: 0 */
        codes[code_at(begin + i)] = code;
        sum += code;
      }
      out->scales[at] = absmax < TINY ? 0.0f : absmax / 127.0f;
      out->offsets[at] = -PITH_U7_ZERO * sum;
    }
    for (size_t i = k; i % PITH_QUAD != 0; i++) codes[code_at(i)] = 0;
  }
}

static void gemm_i8u7_f32(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w,
                          const float *w_scales, const float *bias, bool accumulate, float *y, size_t y_stride) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD;
  for (size_t row = 0; row < n_rows; row++) {
    const int8_t *codes = row_of(x, row, k);
    for (size_t o = 0; o < n; o++) {
      const uint8_t *panel = w + o / PITH_PANEL * n_quads * PITH_PANEL * PITH_QUAD + o % PITH_PANEL * PITH_QUAD;
      float total = 0.0f;
      for (size_t g = 0; g < x->n_groups; g++) {
        const size_t end = (g + 1) * group_size < k ? (g + 1) * group_size : k, at = group_at(row, g, x->n_groups);
        int32_t dot = 0;   /* |dot| <= 127 * 127 * group_size */
        for (size_t i = g * group_size; i < end; i++) dot += codes[code_at(i)] * panel[i / PITH_QUAD * PITH_PANEL * PITH_QUAD + i % PITH_QUAD];
        const float w_scale = w_scales[(o / PITH_PANEL * x->n_groups + g) * PITH_PANEL + o % PITH_PANEL];
        total += (float)(dot + x->offsets[at]) * w_scale * x->scales[at];
      }
      store_output(total, bias ? bias + o : NULL, accumulate, y + row * y_stride + o);
    }
  }
}

static void gemm_i8u4_f32(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w,
                          const float *w_scales, const float *bias, bool accumulate, float *y, size_t y_stride) {
  const size_t octet = 2 * PITH_QUAD, n_octets = (k + octet - 1) / octet;
  for (size_t row = 0; row < n_rows; row++) {
    const int8_t *codes = row_of(x, row, k);
    for (size_t o = 0; o < n; o++) {
      const uint8_t *panel = w + o / PITH_PANEL * n_octets * PITH_PANEL * PITH_QUAD + o % PITH_PANEL * PITH_QUAD;
      float total = 0.0f;
      for (size_t g = 0; g < x->n_groups; g++) {
        const size_t end = (g + 1) * group_size < k ? (g + 1) * group_size : k, at = group_at(row, g, x->n_groups);
        const float *w_scale = w_scales + (o / PITH_PANEL * x->n_groups + g) * 2 * PITH_PANEL + o % PITH_PANEL, *minimum = w_scale + PITH_PANEL;
        int32_t dot = 0;   /* |dot| <= 127 * 15 * group_size */
        for (size_t i = g * group_size; i < end; i++) {
          const int both = panel[i / octet * PITH_PANEL * PITH_QUAD + i % PITH_QUAD];
          dot += codes[code_at(i)] * (i % octet < PITH_QUAD ? both & 15 : both >> 4);
        }
        total += ((float)dot * *w_scale + (float)x->offsets[at] * -0x1p-6f * *minimum) * x->scales[at];
      }
      store_output(total, bias ? bias + o : NULL, accumulate, y + row * y_stride + o);
    }
  }
}

static void gemm_i8u7_sparse_f32(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const pith_sparse_panels *w,
                                 const float *w_scales, const float *bias, bool accumulate, float *y, size_t y_stride) {
  (void)group_size;   /* starts say which blocks are a group's */
  for (size_t row = 0; row < n_rows; row++) {
    const int8_t *codes = row_of(x, row, k);
    for (size_t o = 0; o < n; o++) {
      const size_t panel = o / PITH_PANEL;
      float total = 0.0f;
      for (size_t g = 0; g < x->n_groups; g++) {
        const uint32_t *starts = w->starts + panel * x->n_groups + g;
        int32_t dot = 0;
        for (uint32_t b = starts[0]; b < starts[1]; b++)
          for (size_t i = 0; i < PITH_QUAD; i++)
            dot += codes[code_at((size_t)w->quads[b] * PITH_QUAD + i)] * (w->codes[(size_t)b * PITH_BLOCK + o % PITH_PANEL * PITH_QUAD + i] - PITH_U7_ZERO);
        total += (float)dot * w_scales[(panel * x->n_groups + g) * PITH_PANEL + o % PITH_PANEL] * x->scales[group_at(row, g, x->n_groups)];
      }
      store_output(total, bias ? bias + o : NULL, accumulate, y + row * y_stride + o);
    }
  }
}

static void gemm_f32(size_t n_rows, size_t n, size_t k, const float *x, size_t x_stride, const float *w, size_t panel_stride,
                     const float *bias, bool accumulate, float *y, size_t y_stride) {
  for (size_t row = 0; row < n_rows; row++) {
    for (size_t o = 0; o < n; o++) {
      const float *panel = w + o / PITH_PANEL * panel_stride + o % PITH_PANEL, *v = x + row * x_stride;
      float total = 0.0f;
      for (size_t begin = 0; begin < k; begin += PITH_SUM_BLOCK) {
        const size_t end = begin + PITH_SUM_BLOCK < k ? begin + PITH_SUM_BLOCK : k;
        float block = 0.0f;
        for (size_t i = begin; i < end; i++) block += v[i] * panel[i * PITH_PANEL];
        total += block;
      }
      store_output(total, bias ? bias + o : NULL, accumulate, y + row * y_stride + o);
    }
  }
}

static void u4_scales(size_t n, const uint8_t *src, float *dst) {
  for (size_t g = 0; g < n; g++, src += PITH_U4_GROUP_BYTES, dst += 2 * PITH_PANEL)
    for (size_t o = 0; o < PITH_PANEL; o++) {
      const int zeros = src[16 + o % 4], zero = o < 4 ? zeros & 15 : zeros >> 4;
      dst[o] = pith_f16_to_f32((uint16_t)(src[2 * o] | src[2 * o + 1] << 8));
      dst[PITH_PANEL + o] = -(float)zero * dst[o];
    }
}

static void f16_to_f32(size_t n, const uint16_t *src, float *dst) {
  for (size_t i = 0; i < n; i++) dst[i] = pith_f16_to_f32(src[i]);
}

/* The 4-lane sum of (x - shift), squared if asked. */
static float lane_sum(size_t n, const float *x, float shift, bool squared) {
  float lane[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (size_t l = 0; l < 4; l++) {
      const float v = x[i + l] - shift;
      lane[l] += squared ? v * v : v;
    }
  float total = (lane[0] + lane[2]) + (lane[1] + lane[3]);
  for (; i < n; i++) {
    const float v = x[i] - shift;
    total += squared ? v * v : v;
  }
  return total;
}

static void layer_norm(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, const float *bias, float eps) {
  for (size_t row = 0; row < n_rows; row++, x += stride, y += stride) {
    const float mean = lane_sum(n, x, 0.0f, false) / (float)n;
    const float r = 1.0f / sqrtf(lane_sum(n, x, mean, true) / (float)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = (x[i] - mean) * r * weight[i] + bias[i];
  }
}

static void rms_norm(size_t n_rows, size_t n, const float *x, float *y, size_t stride, const float *weight, float eps) {
  for (size_t row = 0; row < n_rows; row++, x += stride, y += stride) {
    const float r = 1.0f / sqrtf(lane_sum(n, x, 0.0f, true) / (float)n + eps);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * r * weight[i];
  }
}

static void add(size_t n, const float *x, float *y) {
  for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void softmax(size_t n, float *x, float scale) {
  float max = -INFINITY;
  for (size_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
  for (size_t i = 0; i < n; i++) x[i] = pith_expf((x[i] - max) * scale);
  const float inverse = 1.0f / lane_sum(n, x, 0.0f, false);
  for (size_t i = 0; i < n; i++) x[i] *= inverse;
}

void gelu_erf_scalar(size_t n, float *x) {
  for (size_t i = 0; i < n; i++) x[i] = 0.5f * x[i] * (1.0f + pith_erff(x[i] * 0.70710678f));
}

void gelu_tanh_scalar(size_t n, float *x) {
  for (size_t i = 0; i < n; i++) {
    const float v = x[i];
    x[i] = 0.5f * v * (1.0f + pith_tanhf(0.79788456f * (v + 0.044715f * (v * v * v))));
  }
}

void silu_scalar(size_t n, float *x) {
  for (size_t i = 0; i < n; i++) x[i] = x[i] / (1.0f + pith_expf(-x[i]));
}

void silu_mul_scalar(size_t n, float *gate, const float *up) {
  for (size_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + pith_expf(-gate[i])) * up[i];
}

void relu_scalar(size_t n, float *x) {
  for (size_t i = 0; i < n; i++) x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

static void rope_half(size_t half, float *x, const float *cos, const float *sin) {
  for (size_t i = 0; i < half; i++) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cos[i] - b * sin[i];
    x[i + half] = b * cos[i] + a * sin[i];
  }
}

const pith_kernels pith_kernels_scalar = {"scalar", sizeof(int8_t), quantize_i8, gemm_i8u7_f32, gemm_i8u4_f32, u4_scales, gemm_i8u7_sparse_f32, gemm_f32, remember_scalar, attend_scalar, f16_to_f32, layer_norm, rms_norm,
                                          add, softmax, gelu_erf_scalar, gelu_tanh_scalar, silu_mul_scalar, silu_scalar, relu_scalar, rope_half};
