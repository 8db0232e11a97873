/* The block-sparse integer product: of each panel only the blocks that hold a weight are stored and visited, 8 outputs by 4 inputs at a
 * time. Absent weights are exact zeros, so the zero point is taken off for visited quads alone. */
#include "kernels/tiles_sparse.h"
#include "kernels/variants.h"

/* --- activations of two bytes: signed weights by i16 pair products --- */

/* R rows by V vectors of two outputs, from the panel's output `first` (0 or 4) on. */
#define TILE_I16(R, V)                                                                                                          \
  static void tile_i16_##R##x##V(const row_block *x, const sparse_panel *p, size_t first, float *y, v128_t zero) {              \
    v128_t total[R][(V) / 2];                                                                                                   \
    FOR_ROWS(r, R)                                                                                               \
      FOR_ROWS(c, V / 2) total[r][c] = wasm_f32x4_splat(0.0f);                                                   \
    for (size_t g = 0; g < x->n_groups; g++) {                                                                                  \
      v128_t acc[R][V];                                                                                                         \
      FOR_ROWS(r, R)                                                                                             \
        FOR_ROWS(c, V) acc[r][c] = wasm_i32x4_splat(0);                                                          \
      const uint8_t *w = p->codes + (size_t)p->starts[g] * PITH_BLOCK + first * PITH_QUAD;                                      \
      for (const uint16_t *quad = p->quads + p->starts[g], *end = p->quads + p->starts[g + 1]; quad < end; quad++, w += PITH_BLOCK) { \
        const int16_t *a = (const int16_t *)x->codes + (size_t)*quad * PITH_ROWS * PITH_QUAD;                                   \
        v128_t v[V];                                                                                                            \
        FOR_ROWS(c, V) v[c] = wasm_i16x8_sub(load_u8x8(w + 8 * c), zero);                                        \
        FOR_ROWS(r, R) {                                                                                         \
          const v128_t row = wasm_v128_load64_splat(a + r * PITH_QUAD);                                                         \
          FOR_ROWS(c, V) acc[r][c] = wasm_i32x4_add(acc[r][c], wasm_i32x4_dot_i16x8(v[c], row));                 \
        }                                                                                                                       \
      }                                                                                                                         \
      FOR_ROWS(r, R) {                                                                                           \
        const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r);                                     \
        FOR_ROWS(c, V / 2) {                                                                                     \
          const v128_t dot = wasm_f32x4_convert_i32x4(fold_pairs(acc[r][2 * c], acc[r][2 * c + 1]));                            \
          const v128_t t = wasm_f32x4_mul(dot, wasm_v128_load(p->scales + g * PITH_PANEL + first + (size_t)c * 4));             \
          total[r][c] = wasm_f32x4_add(total[r][c], wasm_f32x4_mul(t, scale));                                                  \
        }                                                                                                                       \
      }                                                                                                                         \
    }                                                                                                                           \
    FOR_ROWS(r, R)                                                                                               \
      FOR_ROWS(c, V / 2) wasm_v128_store(y + r * PITH_PANEL + first + (size_t)c * 4, total[r][c]);               \
  }
TILE_I16(1, 4)
TILE_I16(4, 2)

/* Rows that a block lacks are computed from what lies there, and not stored. The zero point comes as an argument, and through a table that
 * hides it from the optimisers, since a constant would be rebuilt at every use. */
static void tile_i16(size_t n_rows, const row_block *x, const sparse_panel *p, float *y8) {
  static void (*const tiles[])(const row_block *, const sparse_panel *, size_t, float *, v128_t) = {tile_i16_1x4, tile_i16_4x2};
  const v128_t zero = wasm_i16x8_splat(PITH_U7_ZERO);
  tiles[n_rows > 1](x, p, 0, y8, zero);
  if (n_rows > 1) tiles[1](x, p, 4, y8, zero);
}

/* --- activations of one byte: unsigned weights by i8 dot products, the zero point apart --- */

#ifdef PITH_HAS_DOT_PAIRS
/* `sums` gathers the sums of the visited quads: of all four rows at once, or of the one that there is. */
#define VISIT_I8(R, ADD, quad, w)                                                                                               \
  {                                                                                                                             \
    const int8_t *a = (const int8_t *)x->codes + (size_t)(quad) * PITH_ROWS * PITH_QUAD;                                        \
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load((w) + 16);                                                         \
    FOR_ROWS(r, R) {                                                                                             \
      const v128_t row = wasm_v128_load32_splat(a + r * PITH_QUAD);                                                             \
      acc[r][0] = ADD(row, w0, acc[r][0], ones16);                                                                              \
      acc[r][1] = ADD(row, w1, acc[r][1], ones16);                                                                              \
    }                                                                                                                           \
    sums = ADD((R) == 1 ? wasm_v128_load32_splat(a) : wasm_v128_load(a), ones8, sums, ones16);                                  \
  }
/* R rows by a panel, STEP (1 or 2) blocks at a time. The zero point is 2^6. */
#define TILE_I8(R, STEP, ADD)                                                                                                   \
  static void ADD##_##R(const row_block *x, const sparse_panel *p, float *y, v128_t ones16, v128_t ones8) {                     \
    v128_t total[R][2];                                                                                                         \
    FOR_ROWS(r, R) total[r][0] = total[r][1] = wasm_f32x4_splat(0.0f);                                           \
    for (size_t g = 0; g < x->n_groups; g++) {                                                                                  \
      v128_t acc[R][2], sums = wasm_i32x4_splat(0);                                                                             \
      FOR_ROWS(r, R) acc[r][0] = acc[r][1] = sums;                                                               \
      const uint8_t *w = p->codes + (size_t)p->starts[g] * PITH_BLOCK;                                                          \
      const uint16_t *quad = p->quads + p->starts[g], *end = p->quads + p->starts[g + 1];                                       \
      for (; quad + ((STEP) - 1) < end; quad += (STEP), w += (STEP) * PITH_BLOCK)                                               \
        FOR_ROWS(i, STEP) VISIT_I8(R, ADD, quad[i], w + i * PITH_BLOCK)                                          \
      if ((STEP) == 2 && quad < end) VISIT_I8(R, ADD, *quad, w)                                                                 \
      int32_t offsets[PITH_ROWS];                                                                                               \
      wasm_v128_store(offsets, wasm_i32x4_shl(sums, 6));                                                                        \
      const v128_t s0 = wasm_v128_load(p->scales + g * PITH_PANEL), s1 = wasm_v128_load(p->scales + g * PITH_PANEL + 4);        \
      FOR_ROWS(r, R) {                                                                                           \
        const v128_t scale = wasm_v128_load32_splat(x->scales + g * PITH_ROWS + (size_t)r), offset = wasm_v128_load32_splat(offsets + r); \
        const v128_t d0 = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(acc[r][0], offset));                                          \
        const v128_t d1 = wasm_f32x4_convert_i32x4(wasm_i32x4_sub(acc[r][1], offset));                                          \
        total[r][0] = wasm_f32x4_add(total[r][0], wasm_f32x4_mul(wasm_f32x4_mul(d0, s0), scale));                               \
        total[r][1] = wasm_f32x4_add(total[r][1], wasm_f32x4_mul(wasm_f32x4_mul(d1, s1), scale));                               \
      }                                                                                                                         \
    }                                                                                                                           \
    FOR_ROWS(r, R) {                                                                                             \
      wasm_v128_store(y + r * PITH_PANEL, total[r][0]);                                                                         \
      wasm_v128_store(y + r * PITH_PANEL + 4, total[r][1]);                                                                     \
    }                                                                                                                           \
  }
/* The ones come as arguments, as above. */
#define TILES_I8(ADD)                                                                                                           \
  TILE_I8(1, 2, ADD)                                                                                                            \
  TILE_I8(4, 1, ADD)                                                                                                            \
  static void tile_##ADD(size_t n_rows, const row_block *x, const sparse_panel *p, float *y8) {                                 \
    static void (*const tiles[])(const row_block *, const sparse_panel *, float *, v128_t, v128_t) = {ADD##_1, ADD##_4};        \
    tiles[n_rows > 1](x, p, y8, wasm_i16x8_splat(1), wasm_i8x16_splat(1));                                                      \
  }

static inline v128_t add_pairs(v128_t x, v128_t w, v128_t acc, v128_t ones16) {
  return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(dot_pairs(x, w), ones16));
}
TILES_I8(add_pairs)
#endif

#ifdef __wasm_relaxed_simd__
static inline v128_t add_dot(v128_t x, v128_t w, v128_t acc, v128_t ones16) {
  (void)ones16;
  return relaxed_dot_add(x, w, acc);
}
TILES_I8(add_dot)
#endif

/* --- the products --- */

PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_simd128) {
  gemm_sparse(tile_i16, PITH_ROWS, sizeof(int16_t), n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}

#ifdef PITH_HAS_DOT_PAIRS
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_pairs) {
  gemm_sparse(tile_add_pairs, PITH_ROWS, sizeof(int8_t), n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif

#ifdef __wasm_relaxed_simd__
PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_dot) {
  gemm_sparse(tile_add_dot, PITH_ROWS, sizeof(int8_t), n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif
