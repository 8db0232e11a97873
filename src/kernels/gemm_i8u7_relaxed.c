/* The grouped integer product by relaxed SIMD's i8 x i7 dot products: a quad of codes of four outputs against a quad of activations,
 * sixteen products an instruction. The relaxed instructions are exact here: weight codes never set bit 7, and a pair sum is at most
 * 2 * 127 * 127 < 2^15.
 *
 * Two tiles, the same bits. "dot" adds quads to i32 in one instruction, which processors with a four-way dot product run as one;
 * elsewhere engines spell it in five, and "pairs" (i16 pair sums, widened by a multiplication with ones that stays in a register)
 * is a third faster. variants.c asks the engine which it does. */
#include "kernels/v128.h"
#include "kernels/variants.h"

typedef signed char i8x16 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));

static inline v128_t add_dot(v128_t x, v128_t w, v128_t acc, v128_t ones) {
  (void)ones;
  return (v128_t)__builtin_wasm_relaxed_dot_i8x16_i7x16_add_s_i32x4((i8x16)x, (i8x16)w, (i32x4)acc);
}

static inline v128_t add_pairs(v128_t x, v128_t w, v128_t acc, v128_t ones) {
  return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8((v128_t)__builtin_wasm_relaxed_dot_i8x16_i7x16_s_i16x8((i8x16)x, (i8x16)w), ones));
}

/* What a tile reads of one block of rows. */
typedef struct block {
  size_t n_groups, n_quads, quads_per_group;
  const int8_t *codes;     /* [quads][PITH_ROWS][4] */
  const float *scales;     /* [groups][PITH_ROWS] */
  const int32_t *offsets;  /* [groups][PITH_ROWS] */
} block;

/* R rows by one panel. w: [quads][8][4]; w_scales: [groups][8]; y: (R, PITH_PANEL). */
#define TILE(R, ADD)                                                                                                            \
  static void tile_##ADD##_##R(const block *x, const uint8_t *w, const float *w_scales, float *y, v128_t ones) {                \
    const int8_t *a = x->codes;                                                                                                 \
    v128_t total[R][2];                                                                                                         \
    for (int r = 0; r < (R); r++) total[r][0] = total[r][1] = wasm_f32x4_splat(0.0f);                                           \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      v128_t acc[R][2];                                                                                                         \
      for (int r = 0; r < (R); r++)                                                                                             \
        acc[r][0] = acc[r][1] = wasm_v128_load32_splat(x->offsets + g * PITH_ROWS + (size_t)r);                                 \
      for (; q < end; q++, w += PITH_PANEL * PITH_QUAD, a += PITH_ROWS * PITH_QUAD) {                                           \
        const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 16);                                                       \
        for (int r = 0; r < (R); r++) {                                                                                         \
          const v128_t row = wasm_v128_load32_splat(a + r * PITH_QUAD);                                                         \
          acc[r][0] = ADD(row, w0, acc[r][0], ones);                                                                            \
          acc[r][1] = ADD(row, w1, acc[r][1], ones);                                                                            \
        }                                                                                                                       \
      }                                                                                                                         \
      const v128_t s0 = wasm_v128_load(w_scales + g * PITH_PANEL), s1 = wasm_v128_load(w_scales + g * PITH_PANEL + 4);          \
      for (int r = 0; r < (R); r++) {                                                                                           \
        const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r);                                     \
        const v128_t t0 = wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][0]), s0), scale);                       \
        const v128_t t1 = wasm_f32x4_mul(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(acc[r][1]), s1), scale);                       \
        total[r][0] = wasm_f32x4_add(total[r][0], t0);                                                                          \
        total[r][1] = wasm_f32x4_add(total[r][1], t1);                                                                          \
      }                                                                                                                         \
    }                                                                                                                           \
    for (int r = 0; r < (R); r++) {                                                                                             \
      wasm_v128_store(y + r * PITH_PANEL, total[r][0]);                                                                         \
      wasm_v128_store(y + r * PITH_PANEL + 4, total[r][1]);                                                                     \
    }                                                                                                                           \
  }
#define TILES(ADD) TILE(1, ADD) TILE(2, ADD) TILE(3, ADD) TILE(4, ADD)
TILES(add_dot)
TILES(add_pairs)

typedef void tile_fn(const block *, const uint8_t *, const float *, float *, v128_t);
static tile_fn *const dot_tiles[PITH_ROWS] = {tile_add_dot_1, tile_add_dot_2, tile_add_dot_3, tile_add_dot_4};
static tile_fn *const pairs_tiles[PITH_ROWS] = {tile_add_pairs_1, tile_add_pairs_2, tile_add_pairs_3, tile_add_pairs_4};

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

/* Blocks of rows whose activations stay in a first-level cache while all panels pass. */
static size_t rows_in_cache(size_t n_quads) {
  const size_t n = (24u << 10) / (n_quads * PITH_QUAD) / PITH_ROWS * PITH_ROWS;
  return n < 2 * PITH_ROWS ? 2 * PITH_ROWS : n;
}

static void gemm(tile_fn *const *tiles, size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w,
                 const float *w_scales, const float *bias, float *y, size_t y_stride) {
  const size_t n_quads = (k + PITH_QUAD - 1) / PITH_QUAD, n_groups = x->n_groups, run = rows_in_cache(n_quads);
  float y8[PITH_ROWS * PITH_PANEL];
  for (size_t begin = 0; begin < n_rows; begin += run) {
    const size_t end = n_rows - begin < run ? n_rows : begin + run;
    const uint8_t *panel = w;
    const float *panel_scales = w_scales;
    for (size_t o = 0; o < n; o += PITH_PANEL, panel += n_quads * PITH_PANEL * PITH_QUAD, panel_scales += n_groups * PITH_PANEL) {
      const size_t width = n - o < PITH_PANEL ? n - o : PITH_PANEL;
      for (size_t row = begin; row < end; row += PITH_ROWS) {
        const size_t rows = end - row < PITH_ROWS ? end - row : PITH_ROWS;
        const block b = {n_groups, n_quads, group_size / PITH_QUAD, (const int8_t *)x->codes + row * n_quads * PITH_QUAD,
                         x->scales + row * n_groups, x->offsets + row * n_groups};
        tiles[rows - 1](&b, panel, panel_scales, y8, wasm_i16x8_splat(1));
        store_tile(rows, width, y8, bias ? bias + o : NULL, y + row * y_stride + o, y_stride);
      }
    }
  }
}

void gemm_i8u7_f32_relaxed_dot(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales,
                               const float *bias, float *y, size_t y_stride) {
  gemm(dot_tiles, n_rows, n, k, group_size, x, w, w_scales, bias, y, y_stride);
}

void gemm_i8u7_f32_relaxed_pairs(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales,
                                 const float *bias, float *y, size_t y_stride) {
  gemm(pairs_tiles, n_rows, n, k, group_size, x, w, w_scales, bias, y, y_stride);
}
