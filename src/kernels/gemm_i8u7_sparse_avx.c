/* The block-sparse integer product in 256 bits: a block is one vector. Variants as for the dense one (gemm_i8u7_avx.c). */
#include "kernels/tiles_sparse.h"
#include "kernels/variants.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>

#define ADD_AVX2(bits, acc, w, row) _mm##bits##_add_epi32(acc, _mm##bits##_madd_epi16(_mm##bits##_maddubs_epi16(w, row), _mm##bits##_set1_epi16(1)))
#define ADD_AVX512_VNNI(bits, acc, w, row) _mm##bits##_dpbusd_epi32(acc, w, row)
#define ADD_AVX_VNNI(bits, acc, w, row) _mm##bits##_dpbusd_avx_epi32(acc, w, row)

/* The block of quad[i] and its quads of activations, of B blocks of rows. `sums` gathers the sums of the visited quads of a block's rows. */
#define VISIT(R, B, S, ADD, i)                                                                                                  \
  {                                                                                                                             \
    const int8_t *a = (const int8_t *)x->codes + (size_t)quad[i] * PITH_ROWS * PITH_QUAD;                                       \
    const __m256i block = _mm256_loadu_si256((const void *)(w + (i) * PITH_BLOCK));                                             \
    for (int r = 0; r < (R); r++) {                                                                                             \
      const int32_t row = load_i32(a + (size_t)(r / PITH_ROWS) * block_bytes + r % PITH_ROWS * PITH_QUAD);                      \
      acc[r][(i) % (S)] = ADD(256, acc[r][(i) % (S)], block, _mm256_set1_epi32(row));                                           \
    }                                                                                                                           \
    for (int b = 0; b < (B); b++) sums[b] = ADD(, sums[b], ones8, _mm_loadu_si128((const void *)(a + (size_t)b * block_bytes)));\
  }
/* R rows, of B blocks, by a panel, with S sums a row: few rows need two to hide the latency. The zero point is 2^6. */
#define TILE(R, B, S, NAME, TARGET, ADD)                                                                                        \
  __attribute__((target(TARGET))) static void NAME##_##R(const row_block *x, const sparse_panel *p, float *y) {                 \
    const size_t block_bytes = x->n_quads * PITH_ROWS * PITH_QUAD;                                                              \
    const __m128i ones8 = _mm_set1_epi8(1);                                                                                     \
    __m256 total[R];                                                                                                            \
    for (int r = 0; r < (R); r++) total[r] = _mm256_setzero_ps();                                                               \
    for (size_t g = 0; g < x->n_groups; g++) {                                                                                  \
      __m256i acc[R][S];                                                                                                        \
      __m128i sums[B];                                                                                                          \
      for (int b = 0; b < (B); b++) sums[b] = _mm_setzero_si128();                                                              \
      for (int r = 0; r < (R); r++)                                                                                             \
        for (int s = 0; s < (S); s++) acc[r][s] = _mm256_setzero_si256();                                                       \
      const uint8_t *w = p->codes + (size_t)p->starts[g] * PITH_BLOCK;                                                          \
      const uint16_t *quad = p->quads + p->starts[g], *end = p->quads + p->starts[g + 1];                                       \
      for (; quad + 1 < end; quad += 2, w += 2 * PITH_BLOCK) {                                                                  \
        VISIT(R, B, S, ADD, 0)                                                                                                  \
        VISIT(R, B, S, ADD, 1)                                                                                                  \
      }                                                                                                                         \
      if (quad < end) VISIT(R, B, S, ADD, 0)                                                                                    \
      int32_t offsets[(B) * PITH_ROWS];                                                                                         \
      for (int b = 0; b < (B); b++) _mm_storeu_si128((void *)(offsets + b * PITH_ROWS), _mm_slli_epi32(sums[b], 6));            \
      const __m256 w_scale = _mm256_loadu_ps(p->scales + g * PITH_PANEL);                                                       \
      for (int r = 0; r < (R); r++) {                                                                                           \
        const __m256i dot = (S) == 1 ? acc[r][0] : _mm256_add_epi32(acc[r][0], acc[r][(S)-1]);                                  \
        const __m256 t = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(dot, _mm256_set1_epi32(offsets[r]))), w_scale);      \
        const float scale = x->scales[((size_t)(r / PITH_ROWS) * x->n_groups + g) * PITH_ROWS + (size_t)(r % PITH_ROWS)];       \
        total[r] = _mm256_add_ps(total[r], _mm256_mul_ps(t, _mm256_set1_ps(scale)));                                            \
      }                                                                                                                         \
    }                                                                                                                           \
    for (int r = 0; r < (R); r++) _mm256_storeu_ps(y + r * PITH_PANEL, total[r]);                                               \
  }

/* Rows that a block lacks are computed from what lies there, and not stored. */
#define PRODUCT(NAME, TARGET, ADD)                                                                                              \
  TILE(1, 1, 2, NAME, TARGET, ADD)                                                                                              \
  TILE(4, 1, 2, NAME, TARGET, ADD)                                                                                              \
  TILE(8, 2, 1, NAME, TARGET, ADD)                                                                                              \
  static void tile_##NAME(size_t n_rows, const row_block *x, const sparse_panel *p, float *y8) {                                \
    if (n_rows == 1) NAME##_1(x, p, y8);                                                                                        \
    else if (n_rows <= PITH_ROWS) NAME##_4(x, p, y8);                                                                           \
    else NAME##_8(x, p, y8);                                                                                                    \
  }                                                                                                                             \
  PITH_GEMM_SPARSE(gemm_i8u7_sparse_f32_##NAME) {                                                                               \
    gemm_sparse(tile_##NAME, PITH_SPARSE_ROWS, sizeof(int8_t), n_rows, n, k, group_size, x, w, w_scales, bias, accumulate, y, y_stride);    \
  }

static inline int32_t load_i32(const int8_t *src) {
  int32_t v;
  __builtin_memcpy(&v, src, sizeof v);
  return v;
}

PRODUCT(avx2, "avx2", ADD_AVX2)
PRODUCT(avx512_vnni, "avx512vnni,avx512vl", ADD_AVX512_VNNI)
PRODUCT(avx_vnni, "avxvnni", ADD_AVX_VNNI)
#endif
