#include "compress/sparsity.h"

#include <math.h>
#include <string.h>

static void drop_block(size_t n_rows, size_t cols, size_t quad, float *w) {
  for (size_t row = 0; row < n_rows; row++)
    for (size_t k = quad * PITH_QUAD; k < (quad + 1) * PITH_QUAD && k < cols; k++) w[row * cols + k] = 0.0f;
}

static float block_score(size_t n_rows, size_t cols, size_t quad, const float *w) {
  double sum = 0.0;
  for (size_t row = 0; row < n_rows; row++)
    for (size_t k = quad * PITH_QUAD; k < (quad + 1) * PITH_QUAD && k < cols; k++) sum += (double)w[row * cols + k] * (double)w[row * cols + k];
  return (float)sum;
}

/* The least score that at least n of them do not exceed, by halving: floats that are not negative are ordered as their bits are. */
static float nth_score(const float *scores, size_t n_scores, size_t n) {
  uint32_t low = 0, high = 0x7f800000;
  float limit;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    size_t count = 0;
    memcpy(&limit, &middle, sizeof limit);
    for (size_t i = 0; i < n_scores; i++) count += scores[i] <= limit;
    if (count >= n) high = middle;
    else low = middle + 1;
  }
  memcpy(&limit, &high, sizeof limit);
  return limit;
}

static void drop_blocks(double fraction, size_t n_rows, size_t cols, float *w, float *scores) {
  const size_t n_quads = (cols + PITH_QUAD - 1) / PITH_QUAD;
  size_t n = (size_t)(fraction * (double)n_quads);
  if (n == 0) return;
  for (size_t q = 0; q < n_quads; q++) scores[q] = block_score(n_rows, cols, q, w);
  const float limit = nth_score(scores, n_quads, n);
  for (size_t q = 0; q < n_quads; q++)
    if (scores[q] < limit) {
      drop_block(n_rows, cols, q, w);
      n--;
    }
  for (size_t q = n_quads; n > 0 && q-- > 0;)
    if (scores[q] == limit) {
      drop_block(n_rows, cols, q, w);
      n--;
    }
}

/* The two largest of n <= 4. */
static void keep_two(size_t n, float *w) {
  float kept[PITH_QUAD] = {0.0f};
  for (size_t i = 0; i < n; i++) {
    size_t n_larger = 0;
    for (size_t j = 0; j < n; j++) n_larger += fabsf(w[j]) > fabsf(w[i]) || (fabsf(w[j]) == fabsf(w[i]) && j < i);
    if (n_larger < 2) kept[i] = w[i];
  }
  memcpy(w, kept, n * sizeof *w);
}

void pith_sparsify_panel(const pith_sparsity *sparsity, size_t n_rows, size_t cols, float *w, float *scores) {
  switch (sparsity->form) {
    case PITH_SPARSITY_NONE: break;
    case PITH_SPARSITY_BLOCK: drop_blocks(sparsity->fraction, n_rows, cols, w, scores); break;
    case PITH_SPARSITY_2OF4:
      for (size_t row = 0; row < n_rows; row++)
        for (size_t k = 0; k < cols; k += PITH_QUAD) keep_two(cols - k < PITH_QUAD ? cols - k : PITH_QUAD, w + row * cols + k);
      break;
  }
}

static uint64_t pack_blocks(uint64_t n_panels, uint64_t n_quads, uint8_t *codes, uint8_t *places) {
  uint8_t zero[PITH_BLOCK];
  uint64_t n_bytes = 0;
  memset(zero, PITH_U7_ZERO, sizeof zero);
  for (uint64_t panel = 0; panel < n_panels; panel++, places += (n_quads + 7) / 8)
    for (uint64_t q = 0; q < n_quads; q++) {
      const uint8_t *block = codes + (panel * n_quads + q) * PITH_BLOCK;
      if (memcmp(block, zero, PITH_BLOCK) == 0) continue;
      places[q / 8] |= (uint8_t)(1u << q % 8);
      memmove(codes + n_bytes, block, PITH_BLOCK);
      n_bytes += PITH_BLOCK;
    }
  return n_bytes;
}

/* A row's quad as two codes and the pair of their places in four bits; where fewer than two are not the zero point, it fills up. */
static int pack_quad(const uint8_t quad[PITH_QUAD], uint8_t kept[2]) {
  int first = 0, second = PITH_QUAD - 1;
  while (first < PITH_QUAD - 2 && quad[first] == PITH_U7_ZERO) first++;
  while (second > first + 1 && quad[second] == PITH_U7_ZERO) second--;
  kept[0] = quad[first];
  kept[1] = quad[second];
  return first | second << 2;
}

static uint64_t pack_pairs(uint64_t n_blocks, uint8_t *codes, uint8_t *places) {
  uint8_t *to = codes;
  for (uint64_t i = 0; i < n_blocks; i++, places += PITH_PANEL / 2)
    for (size_t o = 0; o < PITH_PANEL; o++, codes += PITH_QUAD, to += 2) {
      uint8_t kept[2];
      const int pair = pack_quad(codes, kept);
      memcpy(to, kept, sizeof kept);
      places[o % (PITH_PANEL / 2)] |= (uint8_t)(o < PITH_PANEL / 2 ? pair : pair << 4);
    }
  return n_blocks * PITH_PANEL * 2;
}

uint64_t pith_pack_sparse(const pith_matrix *matrix, uint64_t n_rows, uint8_t *codes, uint8_t *places) {
  const uint64_t n_panels = (n_rows + PITH_PANEL - 1) / PITH_PANEL, n_quads = ((uint64_t)matrix->cols + PITH_QUAD - 1) / PITH_QUAD;
  memset(places, 0, (size_t)pith_matrix_place_bytes(matrix, n_rows));
  return matrix->encoding == PITH_ENC_U7_BLOCK ? pack_blocks(n_panels, n_quads, codes, places) : pack_pairs(n_panels * n_quads, codes, places);
}
