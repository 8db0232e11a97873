/* What the integer products of NEON share: how a group's sums enter the totals, and a tile's end. The walk is that of tiles_simd128.h. */
#ifndef PITH_TILES_NEON_H
#define PITH_TILES_NEON_H

#include <arm_neon.h>

#include "kernels/tiles_simd128.h"

/* A row's quad four times. */
static inline int8x16_t spread_quad(const int8_t *src) { return vreinterpretq_s8_s32(vld1q_dup_s32((const void *)src)); }

/* A u7 group's share of row r's total, four outputs of eight at a time; dot: Σ codes · codes. */
static inline void add_group_u7(float32x4_t total[2], const int32x4_t dot[2], const row_block *x, size_t r, size_t g, const float *scales) {
  const int32x4_t offset = vdupq_n_s32(x->offsets[g * PITH_ROWS + r]);
  const float scale = x->scales[g * PITH_ROWS + r];
  for (size_t h = 0; h < 2; h++) {
    const float32x4_t t = vmulq_f32(vcvtq_f32_s32(vaddq_s32(dot[h], offset)), vld1q_f32(scales + 4 * h));
    total[h] = vaddq_f32(total[h], vmulq_n_f32(t, scale));
  }
}

/* The same of a u4 group; scales: of eight outputs, then their minima. */
static inline void add_group_u4(float32x4_t total[2], const int32x4_t dot[2], const row_block *x, size_t r, size_t g, const float *scales) {
  const float sum = (float)x->offsets[g * PITH_ROWS + r] * -0x1p-6f, scale = x->scales[g * PITH_ROWS + r];
  for (size_t h = 0; h < 2; h++) {
    const float32x4_t product = vmulq_f32(vcvtq_f32_s32(dot[h]), vld1q_f32(scales + 4 * h));
    const float32x4_t t = vaddq_f32(product, vmulq_n_f32(vld1q_f32(scales + PITH_PANEL + 4 * h), sum));
    total[h] = vaddq_f32(total[h], vmulq_n_f32(t, scale));
  }
}

static inline void store_totals(float *y8, const float32x4_t total[2]) {
  vst1q_f32(y8, total[0]);
  vst1q_f32(y8 + 4, total[1]);
}

#ifdef __ARM_FEATURE_DOTPROD
/* A quad of eight outputs (w0, w1) times the quads at `at`, added to dot[r][2]: of R rows, and of a block of rows. */
#define ADD_BY_ROWS(R, w0, w1, at)                                              \
  {                                                                             \
    const int8x16_t first = w0, second = w1;                                    \
    for (size_t r = 0; r < (R); r++) {                                          \
      const int8x16_t quad = spread_quad((at) + r * PITH_QUAD);                 \
      dot[r][0] = vdotq_s32(dot[r][0], first, quad);                            \
      dot[r][1] = vdotq_s32(dot[r][1], second, quad);                           \
    }                                                                           \
  }
#define ADD_ROW_OF_BLOCK(r)                                                     \
  dot[r][0] = vdotq_laneq_s32(dot[r][0], first, quads, r);                      \
  dot[r][1] = vdotq_laneq_s32(dot[r][1], second, quads, r);
#define ADD_BLOCK(R, w0, w1, at)                                                \
  {                                                                             \
    const int8x16_t first = w0, second = w1, quads = vld1q_s8(at);              \
    ADD_ROW_OF_BLOCK(0) ADD_ROW_OF_BLOCK(1) ADD_ROW_OF_BLOCK(2) ADD_ROW_OF_BLOCK(3) \
  }
#endif

/* tile: tile_1…tile_4 by their number of rows */
#define CHOOSE_TILE                                                                                                  \
  static void tile(size_t n_rows, const row_block *x, const panel *p, float *y8) {                                   \
    static void (*const tiles[])(const row_block *, const panel *, float *) = {tile_1, tile_2, tile_3, tile_4};      \
    tiles[n_rows - 1](x, p, y8);                                                                                     \
  }

#endif
