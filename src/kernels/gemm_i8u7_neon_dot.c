/* The grouped integer product by NEON's dot products (Armv8.2 DotProd): SDOT adds four products to each of four sums. Codes of weights
 * are at most 127, so that both operands are i8. Four rows' quads lie in one vector, a lane each, where SDOT takes them from. */
#include "kernels/variants.h"

#if defined(__aarch64__)
#include "kernels/tiles_neon.h"

/* dot[r]: of eight outputs, four at a time. */
#define TILE(R, ADD_QUAD)                                                                                                       \
  static void tile_##R(const row_block *x, const panel *p, float *y8) {                                                         \
    const int8_t *a = x->codes;                                                                                                 \
    const int8_t *w = (const int8_t *)p->codes;                                                                                 \
    float32x4_t total[R][2];                                                                                                    \
    for (size_t r = 0; r < (R); r++) total[r][0] = total[r][1] = vdupq_n_f32(0.0f);                                             \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      int32x4_t dot[R][2];                                                                                                      \
      for (size_t r = 0; r < (R); r++) dot[r][0] = dot[r][1] = vdupq_n_s32(0);                                                  \
      for (; q < end; q++, w += PITH_PANEL * PITH_QUAD, a += PITH_ROWS * PITH_QUAD) ADD_QUAD(R, vld1q_s8(w), vld1q_s8(w + 16), a); \
      for (size_t r = 0; r < (R); r++) add_group_u7(total[r], dot[r], x, r, g, p->scales + g * PITH_PANEL);                     \
    }                                                                                                                           \
    for (size_t r = 0; r < (R); r++) store_totals(y8 + r * PITH_PANEL, total[r]);                                               \
  }
TILE(1, ADD_BY_ROWS)
TILE(2, ADD_BY_ROWS)
TILE(3, ADD_BY_ROWS)
TILE(4, ADD_BLOCK)
CHOOSE_TILE

PITH_GEMM_I8U7(gemm_i8u7_f32_neon_dot) {
  const size_t panel_bytes = (k + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD;
  gemm_by_tiles(tile, sizeof(int8_t), panel_bytes, PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif
