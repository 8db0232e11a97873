/* The grouped integer product by i16 pair products: a quad of codes of two outputs against a quad of activations, eight
 * products a multiply. Pair sums stay apart over a group and are folded once at its end. */
#include "kernels/v128.h"
#include "kernels/variants.h"

/* (a0 a1 a2 a3) (b0 b1 b2 b3) → (a0+a1 a2+a3 b0+b1 b2+b3) */
static inline v128_t fold_pairs(v128_t a, v128_t b) {
  return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}

/* What a tile reads of one block of rows. */
typedef struct block {
  size_t n_groups, n_quads, quads_per_group;
  const int16_t *codes;    /* [quads][PITH_ROWS][4] */
  const float *scales;     /* [groups][PITH_ROWS] */
  const int32_t *offsets;  /* [groups][PITH_ROWS] */
} block;

/* R rows by V vectors of two outputs. w: [quads][8][4] from the tile's first output on; w_scales: [groups][8] likewise;
 * y: (R, PITH_PANEL), of which 2 V columns are written. */
#define TILE(R, V)                                                                                                              \
  static void tile_##R##x##V(const block *x, const uint8_t *w, const float *w_scales, float *y) {                               \
    const int16_t *a = x->codes;                                                                                                \
    v128_t total[R][(V) / 2];                                                                                                   \
    for (int r = 0; r < (R); r++)                                                                                               \
      for (int c = 0; c < (V) / 2; c++) total[r][c] = wasm_f32x4_splat(0.0f);                                                   \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      v128_t acc[R][V];                                                                                                         \
      for (int r = 0; r < (R); r++)                                                                                             \
        for (int c = 0; c < (V); c++) acc[r][c] = wasm_i32x4_splat(0);                                                          \
      for (; q < end; q++, w += PITH_PANEL * PITH_QUAD, a += PITH_ROWS * PITH_QUAD) {                                           \
        v128_t v[V];                                                                                                            \
        for (int c = 0; c < (V); c++) v[c] = load_u8x8(w + 8 * c);                                                              \
        for (int r = 0; r < (R); r++) {                                                                                         \
          const v128_t row = wasm_v128_load64_splat(a + r * PITH_QUAD);                                                         \
          for (int c = 0; c < (V); c++) acc[r][c] = wasm_i32x4_add(acc[r][c], wasm_i32x4_dot_i16x8(v[c], row));                 \
        }                                                                                                                       \
      }                                                                                                                         \
      for (int r = 0; r < (R); r++) {                                                                                           \
        const v128_t offset = wasm_v128_load32_splat(x->offsets + g * PITH_ROWS + (size_t)r);                                   \
        const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r);                                     \
        for (int c = 0; c < (V) / 2; c++) {                                                                                     \
          const v128_t dot = wasm_i32x4_add(fold_pairs(acc[r][2 * c], acc[r][2 * c + 1]), offset);                              \
          const v128_t t = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(dot), wasm_v128_load(w_scales + g * PITH_PANEL + 4 * c));    \
          total[r][c] = wasm_f32x4_add(total[r][c], wasm_f32x4_mul(t, scale));                                                  \
        }                                                                                                                       \
      }                                                                                                                         \
    }                                                                                                                           \
    for (int r = 0; r < (R); r++)                                                                                               \
      for (int c = 0; c < (V) / 2; c++) wasm_v128_store(y + r * PITH_PANEL + 4 * c, total[r][c]);                               \
  }
/* Eight accumulators stay in registers beside the weights; more spill. Four rows by half a panel widen the fewest weights. */
TILE(1, 4)
TILE(2, 4)
TILE(3, 2)
TILE(4, 2)

static void run_tile(size_t n_rows, const block *x, const uint8_t *w, const float *w_scales, float *y8) {
  switch (n_rows) {
    case 1: tile_1x4(x, w, w_scales, y8); break;
    case 2: tile_2x4(x, w, w_scales, y8); break;
    case 3:
      tile_3x2(x, w, w_scales, y8);
      tile_3x2(x, w + 16, w_scales + 4, y8 + 4);
      break;
    default:
      tile_4x2(x, w, w_scales, y8);
      tile_4x2(x, w + 16, w_scales + 4, y8 + 4);
  }
}

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

/* Blocks of rows whose activations stay in a first-level cache while all panels pass: reading them again for every panel costs more
 * than reading the panels again for every such run of blocks. */
static size_t rows_in_cache(size_t n_quads) {
  const size_t n = (24u << 10) / (n_quads * PITH_QUAD * sizeof(int16_t)) / PITH_ROWS * PITH_ROWS;
  return n < 2 * PITH_ROWS ? 2 * PITH_ROWS : n;
}

void gemm_i8u7_f32_simd128(size_t n_rows, size_t n, size_t k, size_t group_size, const pith_activations *x, const uint8_t *w, const float *w_scales,
                           const float *bias, float *y, size_t y_stride) {
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
        const block b = {n_groups, n_quads, group_size / PITH_QUAD, (const int16_t *)x->codes + row * n_quads * PITH_QUAD,
                         x->scales + row * n_groups, x->offsets + row * n_groups};
        run_tile(rows, &b, panel, panel_scales, y8);
        store_tile(rows, width, y8, bias ? bias + o : NULL, y + row * y_stride + o, y_stride);
      }
    }
  }
}
