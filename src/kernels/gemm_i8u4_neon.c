/* The grouped integer product with 4-bit codes in NEON: sixteen products fit i16, 16 * 127 * 15 < 2^15, so that sums are widened once for
 * every sixteen quads. */
#include "kernels/variants.h"

#if defined(__aarch64__)
#include "kernels/tiles_neon.h"

enum { QUADS_IN_I16 = 16 };

/* acc: (o0 o0 o0 o0 o1 o1 o1 o1 | o2 … o3 …), i16, of four outputs */
static inline void add_quad(int16x8_t acc[2], uint8x16_t w, int8x16_t a) {
  acc[0] = vmlal_s8(acc[0], vget_low_s8(vreinterpretq_s8_u8(w)), vget_low_s8(a));
  acc[1] = vmlal_high_s8(acc[1], vreinterpretq_s8_u8(w), a);
}
static inline int32x4_t widened(const int16x8_t acc[2]) { return vpaddq_s32(vpaddlq_s16(acc[0]), vpaddlq_s16(acc[1])); }

/* R rows by one panel. */
#define TILE(R)                                                                                                                 \
  static void tile_##R(const row_block *x, const panel *p, float *y8) {                                                         \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w = p->codes;                                                                                                \
    float32x4_t total[R][2];                                                                                                    \
    for (size_t r = 0; r < (R); r++) total[r][0] = total[r][1] = vdupq_n_f32(0.0f);                                             \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      int32x4_t dot[R][2];                                                                                                      \
      for (size_t r = 0; r < (R); r++) dot[r][0] = dot[r][1] = vdupq_n_s32(0);                                                  \
      while (q < end) {                                                                                                         \
        const size_t stop = end - q < QUADS_IN_I16 ? end : q + QUADS_IN_I16;                                                    \
        int16x8_t low[R][2], high[R][2];                                                                                        \
        for (size_t r = 0; r < (R); r++) low[r][0] = low[r][1] = high[r][0] = high[r][1] = vdupq_n_s16(0);                      \
        for (; q < stop; q += 2, w += PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD) {                                 \
          const uint8x16_t w0 = vld1q_u8(w), w1 = vld1q_u8(w + 16);                                                             \
          const uint8x16_t first0 = vandq_u8(w0, vdupq_n_u8(15)), first1 = vandq_u8(w1, vdupq_n_u8(15));                        \
          for (size_t r = 0; r < (R); r++) {                                                                                    \
            const int8x16_t quad = spread_quad(a + r * PITH_QUAD);                                                              \
            add_quad(low[r], first0, quad);                                                                                     \
            add_quad(high[r], first1, quad);                                                                                    \
          }                                                                                                                     \
          if (q + 1 == stop) break; /* an odd last quad: the high halves stand for no input */                                  \
          const uint8x16_t second0 = vshrq_n_u8(w0, 4), second1 = vshrq_n_u8(w1, 4);                                            \
          for (size_t r = 0; r < (R); r++) {                                                                                    \
            const int8x16_t quad = spread_quad(a + (PITH_ROWS + r) * PITH_QUAD);                                                \
            add_quad(low[r], second0, quad);                                                                                    \
            add_quad(high[r], second1, quad);                                                                                   \
          }                                                                                                                     \
        }                                                                                                                       \
        q = stop;                                                                                                               \
        for (size_t r = 0; r < (R); r++) {                                                                                      \
          dot[r][0] = vaddq_s32(dot[r][0], widened(low[r]));                                                                    \
          dot[r][1] = vaddq_s32(dot[r][1], widened(high[r]));                                                                   \
        }                                                                                                                       \
      }                                                                                                                         \
      for (size_t r = 0; r < (R); r++) add_group_u4(total[r], dot[r], x, r, g, p->scales + g * 2 * PITH_PANEL);                 \
    }                                                                                                                           \
    for (size_t r = 0; r < (R); r++) store_totals(y8 + r * PITH_PANEL, total[r]);                                               \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
CHOOSE_TILE

PITH_GEMM_I8U4(gemm_i8u4_f32_neon) {
  const size_t panel_bytes = (k + 2 * PITH_QUAD - 1) / (2 * PITH_QUAD) * PITH_PANEL * PITH_QUAD;
  gemm_by_tiles(tile, sizeof(int8_t), panel_bytes, 2 * PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif
