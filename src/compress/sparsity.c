#include "compress/sparsity.h"

#include <string.h>

/* ---- what goes ---- */

static double score_of(const float *w, const float *importance, size_t k) {
  const double square = (double)w[k] * (double)w[k];
  return importance ? square * (double)importance[k] : square;
}

static float block_score(size_t n_rows, size_t cols, size_t quad, const float *w, const float *importance) {
  double sum = 0.0;
  for (size_t row = 0; row < n_rows; row++)
    for (size_t k = quad * PITH_QUAD; k < (quad + 1) * PITH_QUAD && k < cols; k++) sum += score_of(w + row * cols, importance, k);
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

/* Replaces each score by whether it is one of the n least. */
static void mark_least(float *scores, size_t n_scores, size_t n) {
  const float limit = n > 0 ? nth_score(scores, n_scores, n) : -1.0f;
  size_t below = 0;
  for (size_t i = 0; i < n_scores; i++) below += scores[i] < limit;
  size_t equal = n - below;
  for (size_t i = n_scores; i-- > 0;) {
    const bool goes = scores[i] < limit || (scores[i] == limit && equal > 0);
    if (scores[i] == limit && equal > 0) equal--;
    scores[i] = goes ? 1.0f : 0.0f;
  }
}

static size_t part_of(double fraction, size_t begin, size_t end) { return (size_t)(fraction * (double)end) - (size_t)(fraction * (double)begin); }

static void choose_blocks(const pith_dropping *d, const float *importance, size_t n_rows, size_t cols, size_t begin, size_t end, const float *w, uint8_t *dropped) {
  const size_t first = begin / PITH_QUAD, past = (end + PITH_QUAD - 1) / PITH_QUAD;
  for (size_t q = first; q < past; q++) d->scores[q - first] = block_score(n_rows, cols, q, w, importance);
  mark_least(d->scores, past - first, part_of(d->sparsity.fraction, first, past));
  for (size_t row = 0; row < n_rows; row++)
    for (size_t k = begin; k < end; k++) dropped[row * cols + k] = d->scores[k / PITH_QUAD - first] > 0.0f;
}

static void choose_weights(const pith_dropping *d, const float *importance, size_t begin, size_t end, const float *w, uint8_t *dropped) {
  for (size_t k = begin; k < end; k++) d->scores[k - begin] = (float)score_of(w, importance, k);
  mark_least(d->scores, end - begin, part_of(d->sparsity.fraction, begin, end));
  for (size_t k = begin; k < end; k++) dropped[k] = d->scores[k - begin] > 0.0f;
}

/* All but the two largest of a quad, which the last column may cut. */
static void choose_of_quad(const float *importance, size_t begin, size_t end, const float *w, uint8_t *dropped) {
  for (size_t i = begin; i < end; i++) {
    const float score = (float)score_of(w, importance, i);
    size_t n_larger = 0;
    for (size_t j = begin; j < end; j++) {
      const float other = (float)score_of(w, importance, j);
      n_larger += other > score || (other == score && j < i);
    }
    dropped[i] = n_larger >= 2;
  }
}

void pith_sparsity_choose(const pith_dropping *d, const float *importance, size_t n_rows, size_t cols, size_t begin, size_t end, const float *w, uint8_t *dropped) {
  if (d->sparsity.form == PITH_SPARSITY_BLOCK) {
    choose_blocks(d, importance, n_rows, cols, begin, end, w, dropped);
    return;
  }
  for (size_t row = 0; row < n_rows; row++, w += cols, dropped += cols) {
    if (d->sparsity.form == PITH_SPARSITY_UNSTRUCTURED) choose_weights(d, importance, begin, end, w, dropped);
    else
      for (size_t k = begin; k < end; k += PITH_QUAD) choose_of_quad(importance, k, end - k < PITH_QUAD ? end : k + PITH_QUAD, w, dropped);
  }
}

/* ---- packing ---- */

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

/* A panel's codes to so many bits each, the first in the lowest; places: NULL where all are stored. Returns where the next panel's go. */
static uint8_t *pack_panel(uint64_t n_codes, uint32_t bits, const uint8_t *codes, uint8_t *places, uint8_t *to) {
  uint32_t window = 0, n_bits = 0;
  for (uint64_t i = 0; i < n_codes; i++) {
    if (places && codes[i] == PITH_U7_ZERO) continue;
    if (places) places[i / 8] |= (uint8_t)(1u << i % 8);
    window |= (codes[i] + (1u << bits >> 1) - PITH_U7_ZERO) << n_bits;
    for (n_bits += bits; n_bits >= 8; n_bits -= 8, window >>= 8) *to++ = (uint8_t)window;
  }
  if (n_bits > 0) *to++ = (uint8_t)window;
  return to;
}

uint64_t pith_pack_codes(const pith_matrix *matrix, uint64_t n_rows, uint8_t *codes, uint8_t *places) {
  const uint64_t n_panels = (n_rows + PITH_PANEL - 1) / PITH_PANEL, n_quads = ((uint64_t)matrix->cols + PITH_QUAD - 1) / PITH_QUAD, n_codes = n_quads * PITH_BLOCK;
  const bool sparse = pith_encoding_sparse(matrix->encoding);
  if (sparse) memset(places, 0, (size_t)pith_matrix_place_bytes(matrix, n_rows));
  if (matrix->encoding == PITH_ENC_U7_BLOCK) return pack_blocks(n_panels, n_quads, codes, places);
  uint8_t *to = codes;
  for (uint64_t panel = 0; panel < n_panels; panel++)
    to = pack_panel(n_codes, pith_encoding_bits(matrix->encoding), codes + panel * n_codes, sparse ? places + panel * n_codes / 8 : NULL, to);
  return (uint64_t)(to - codes);
}
