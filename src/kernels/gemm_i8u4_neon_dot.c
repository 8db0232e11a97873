/* The grouped integer product with 4-bit codes by NEON's dot products; as for u7. */
#include "kernels/variants.h"

#if defined(__aarch64__)
#include "kernels/tiles_neon.h"

static inline int8x16_t low_halves(uint8x16_t w) { return vreinterpretq_s8_u8(vandq_u8(w, vdupq_n_u8(15))); }
static inline int8x16_t high_halves(uint8x16_t w) { return vreinterpretq_s8_u8(vshrq_n_u8(w, 4)); }

/* dot[r]: of eight outputs, four at a time. */
#define TILE(R, ADD_QUAD)                                                                                                       \
  static void tile_##R(const row_block *x, const panel *p, float *y8) {                                                         \
    const int8_t *a = x->codes;                                                                                                 \
    const uint8_t *w = p->codes;                                                                                                \
    float32x4_t total[R][2];                                                                                                    \
    for (size_t r = 0; r < (R); r++) total[r][0] = total[r][1] = vdupq_n_f32(0.0f);                                             \
    for (size_t g = 0, q = 0; g < x->n_groups; g++) {                                                                           \
      const size_t end = q + x->quads_per_group < x->n_quads ? q + x->quads_per_group : x->n_quads;                             \
      int32x4_t dot[R][2];                                                                                                      \
      for (size_t r = 0; r < (R); r++) dot[r][0] = dot[r][1] = vdupq_n_s32(0);                                                  \
      for (; q < end; q += 2, w += PITH_PANEL * PITH_QUAD, a += 2 * PITH_ROWS * PITH_QUAD) {                                    \
        const uint8x16_t w0 = vld1q_u8(w), w1 = vld1q_u8(w + 16);                                                               \
        ADD_QUAD(R, low_halves(w0), low_halves(w1), a);                                                                         \
        if (q + 1 == end) break; /* an odd last quad: the high halves stand for no input */                                     \
        ADD_QUAD(R, high_halves(w0), high_halves(w1), a + PITH_ROWS * PITH_QUAD);                                               \
      }                                                                                                                         \
      q = end;                                                                                                                  \
      for (size_t r = 0; r < (R); r++) add_group_u4(total[r], dot[r], x, r, g, p->scales + g * 2 * PITH_PANEL);                 \
    }                                                                                                                           \
    for (size_t r = 0; r < (R); r++) store_totals(y8 + r * PITH_PANEL, total[r]);                                               \
  }
TILE(1, ADD_BY_ROWS)
TILE(2, ADD_BY_ROWS)
TILE(3, ADD_BY_ROWS)
TILE(4, ADD_BLOCK)
CHOOSE_TILE

PITH_GEMM_I8U4(gemm_i8u4_f32_neon_dot) {
  const size_t panel_bytes = (k + 2 * PITH_QUAD - 1) / (2 * PITH_QUAD) * PITH_PANEL * PITH_QUAD;
  gemm_by_tiles(tile, sizeof(int8_t), panel_bytes, 2 * PITH_PANEL, n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);
}
#endif
