/* The grouped integer product by i16 pair products: a quad of codes of two outputs against a quad of activations, eight
 * products a multiply. Pair sums stay apart over a group and are folded once at its end. */
#include "kernels/v128.h"
#include "kernels/variants.h"

/* (a0 a1 a2 a3) (b0 b1 b2 b3) → (a0+a1 a2+a3 b0+b1 b2+b3) */
static inline v128_t fold_pairs(v128_t a, v128_t b) {
  return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}

/* R rows by one panel of 8 outputs. codes: R rows, stride apart; w: the panel; w_scales: [groups][8]; y8: (R, 8) */
#define TILE(R)                                                                                                                        \
  static void tile_##R(size_t n_groups, size_t n_quads, size_t quads_per_group, const int16_t *codes, size_t stride, const int32_t *sums, \
                       const float *scales, const uint8_t *w, const float *w_scales, float *y8) {                                      \
    v128_t total[R][2];                                                                                                                \
    for (int r = 0; r < (R); r++) total[r][0] = total[r][1] = wasm_f32x4_splat(0.0f);                                                  \
    for (size_t g = 0, q = 0; g < n_groups; g++) {                                                                                     \
      const size_t end = q + quads_per_group < n_quads ? q + quads_per_group : n_quads;                                                \
      v128_t acc[R][4];                                                                                                                \
      for (int r = 0; r < (R); r++) acc[r][0] = acc[r][1] = acc[r][2] = acc[r][3] = wasm_i32x4_splat(0);                               \
      const int16_t *a = codes + q * PITH_QUAD;                                                                                        \
      for (; q < end; q++, w += 32, a += PITH_QUAD) {                                                                                  \
        const v128_t w0 = load_u8x8(w), w1 = load_u8x8(w + 8), w2 = load_u8x8(w + 16), w3 = load_u8x8(w + 24);                         \
        for (int r = 0; r < (R); r++) {                                                                                                \
          const v128_t v = wasm_v128_load64_splat(a + (size_t)r * stride);                                                             \
          acc[r][0] = wasm_i32x4_add(acc[r][0], wasm_i32x4_dot_i16x8(w0, v));                                                          \
          acc[r][1] = wasm_i32x4_add(acc[r][1], wasm_i32x4_dot_i16x8(w1, v));                                                          \
          acc[r][2] = wasm_i32x4_add(acc[r][2], wasm_i32x4_dot_i16x8(w2, v));                                                          \
          acc[r][3] = wasm_i32x4_add(acc[r][3], wasm_i32x4_dot_i16x8(w3, v));                                                          \
        }                                                                                                                              \
      }                                                                                                                                \
      const v128_t s0 = wasm_v128_load(w_scales + g * PITH_PANEL), s1 = wasm_v128_load(w_scales + g * PITH_PANEL + 4);                 \
      for (int r = 0; r < (R); r++) {                                                                                                  \
        const v128_t zero = wasm_i32x4_splat(sums[(size_t)r * n_groups + g]), scale = wasm_f32x4_splat(scales[(size_t)r * n_groups + g]); \
        const v128_t t0 = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(fold_pairs(acc[r][0], acc[r][1]), zero));                            \
        const v128_t t1 = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(fold_pairs(acc[r][2], acc[r][3]), zero));                            \
        total[r][0] = wasm_f32x4_add(total[r][0], wasm_f32x4_mul(wasm_f32x4_mul(t0, s0), scale));                                      \
        total[r][1] = wasm_f32x4_add(total[r][1], wasm_f32x4_mul(wasm_f32x4_mul(t1, s1), scale));                                      \
      }                                                                                                                                \
    }                                                                                                                                  \
    for (int r = 0; r < (R); r++) {                                                                                                    \
      wasm_v128_store(y8 + r * PITH_PANEL, total[r][0]);                                                                               \
      wasm_v128_store(y8 + r * PITH_PANEL + 4, total[r][1]);                                                                           \
    }                                                                                                                                  \
  }
TILE(1)
TILE(2)

enum { ROWS = 2 };   /* 8 accumulators and 4 weights stay in registers; a third row spills in V8 and GCC (12 % slower); half panels by 4, 5 or 6 rows were no faster */
typedef void tile_fn(size_t, size_t, size_t, const int16_t *, size_t, const int32_t *, const float *, const uint8_t *, const float *, float *);
static tile_fn *const tiles[ROWS + 1] = {NULL, tile_1, tile_2};

static void store_tile(size_t rows, size_t n, const float *y8, const float *bias, float *y, size_t y_stride) {
  for (size_t r = 0; r < rows; r++, y8 += PITH_PANEL, y += y_stride) {
    if (n == PITH_PANEL) {
      v128_t low = wasm_v128_load(y8), high = wasm_v128_load(y8 + 4);
      if (bias) {
        low = wasm_f32x4_add(wasm_v128_load(bias), low);
        high = wasm_f32x4_add(wasm_v128_load(bias + 4), high);
      }
      wasm_v128_store(y, low);
      wasm_v128_store(y + 4, high);
    } else {
      for (size_t i = 0; i < n; i++) y[i] = bias ? bias[i] + y8[i] : y8[i];
    }
  }
}

/* Rows whose activations stay in a first-level cache while all panels pass: reading them again for every panel costs more than reading the
 * panels again for every block. */
static size_t block_rows(size_t code_stride) {
  const size_t n = (24u << 10) / (code_stride * sizeof(int16_t)) / ROWS * ROWS;
  return n < 8 ? 8 : n;
}

void gemm_i8u7_f32_simd128(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales,
                           const float *bias, float *y, size_t y_stride) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD, n_groups = x->n_groups, block = block_rows(x->code_stride);
  float y8[ROWS * PITH_PANEL];
  for (size_t begin = 0; begin < n_rows; begin += block) {
    const size_t end = n_rows - begin < block ? n_rows : begin + block;
    const uint8_t *panel = w;
    const float *panel_scales = w_scales;
    for (size_t o = 0; o < n; o += PITH_PANEL, panel += n_quads * PITH_PANEL * PITH_QUAD, panel_scales += n_groups * PITH_PANEL) {
      const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
      for (size_t row = begin; row < end;) {
        const size_t rows = end - row < ROWS ? end - row : ROWS;
        tiles[rows](n_groups, n_quads, group_size / PITH_QUAD, (const int16_t *)x->codes + row * x->code_stride, x->code_stride,
                    x->sums + row * n_groups, x->scales + row * n_groups, panel, panel_scales, y8);
        store_tile(rows, width, y8, bias ? bias + o : NULL, y + row * y_stride + o, y_stride);
        row += rows;
      }
    }
  }
}
