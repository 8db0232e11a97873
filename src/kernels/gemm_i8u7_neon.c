/* The grouped integer product in NEON: codes of weights are at most 127, so that both operands are i8 and the products of two quads fit
 * i16: 2 * 127 * 127 < 2^15. */
#include "kernels/variants.h"

#if defined(__aarch64__)
#include "kernels/tiles_neon.h"

/* acc: (o0 o0 o1 o1 | o2 o2 o3 o3), i32, of four outputs */
static inline void add_quad(int32x4_t acc[2], int8x16_t w, int8x16_t a) {
  acc[0] = vpadalq_s16(acc[0], vmull_s8(vget_low_s8(w), vget_low_s8(a)));
  acc[1] = vpadalq_s16(acc[1], vmull_high_s8(w, a));
}
static inline void add_quads(int32x4_t acc[2], int8x16_t w0, int8x16_t a0, int8x16_t w1, int8x16_t a1) {
  acc[0] = vpadalq_s16(acc[0], vmlal_s8(vmull_s8(vget_low_s8(w0), vget_low_s8(a0)), vget_low_s8(w1), vget_low_s8(a1)));
  acc[1] = vpadalq_s16(acc[1], vmlal_high_s8(vmull_high_s8(w0, a0), w1, a1));
}

/* R rows by one panel. */
#define TILE(R)                                                                                                                 \
  static void tile_##R(const row_block *x, const panel *p, float *y8) {                                                         \
    const int8_t *a = x->codes;                                                                                                 \
    const int8_t *w = (const int8_t *)p->codes;                                                                                 \
    float32x4_t total[R][2];                                                                                                    \
    for (size_t r = 0; r < (R); r++) total[r][0] = total[r][1] = vdupq_n_f32(0.0f);                                             \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      int32x4_t low[R][2], high[R][2];                                                                                          \
      for (size_t r = 0; r < (R); r++) low[r][0] = low[r][1] = high[r][0] = high[r][1] = vdupq_n_s32(0);                        \
      for (; q + 2 <= end; q += 2, w += 2 * PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD) {                           \
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), w2 = vld1q_s8(w + 32), w3 = vld1q_s8(w + 48);                  \
        for (size_t r = 0; r < (R); r++) {                                                                                      \
          const int8x16_t a0 = spread_quad(a + r * PITH_QUAD), a1 = spread_quad(a + (PITH_ROWS + r) * PITH_QUAD);               \
          add_quads(low[r], w0, a0, w2, a1);                                                                                    \
          add_quads(high[r], w1, a0, w3, a1);                                                                                   \
        }                                                                                                                       \
      }                                                                                                                         \
      if (q < end) {                                                                                                            \
        const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);                                                                \
        for (size_t r = 0; r < (R); r++) {                                                                                      \
          add_quad(low[r], w0, spread_quad(a + r * PITH_QUAD));                                                                 \
          add_quad(high[r], w1, spread_quad(a + r * PITH_QUAD));                                                                \
        }                                                                                                                       \
        q++;                                                                                                                    \
        w += PITH_PANEL * PITH_QUAD;                                                                                            \
        a += PITH_ROWS * PITH_QUAD;                                                                                             \
      }                                                                                                                         \
      for (size_t r = 0; r < (R); r++) {                                                                                        \
        const int32x4_t dot[2] = {vpaddq_s32(low[r][0], low[r][1]), vpaddq_s32(high[r][0], high[r][1])};                        \
        add_group_u7(total[r], dot, x, r, g, p->scales + g * PITH_PANEL);                                                       \
      }                                                                                                                         \
    }                                                                                                                           \
    for (size_t r = 0; r < (R); r++) store_totals(y8 + r * PITH_PANEL, total[r]);                                               \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
CHOOSE_TILE

PITH_GEMM_I8U7(gemm_i8u7_f32_neon) {
  const size_t panel_bytes = (k + PITH_QUAD - 1) / PITH_QUAD * PITH_PANEL * PITH_QUAD;
  gemm_by_tiles(tile, sizeof(int8_t), panel_bytes, PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif
