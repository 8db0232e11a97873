/* Sparse weights: which of a panel's stay, and how only those are stored. What goes is chosen before quantising or, by second order, while the
 * panel is rounded (quantize.h). Packing comes after it, and leaves out every code that is the zero point, whoever made it so. */
#ifndef PITH_SPARSITY_H
#define PITH_SPARSITY_H

#include "compress/recipe.h"

/* What goes of a panel, and room to find it. */
typedef struct pith_dropping {
  pith_sparsity sparsity;
  float *scores;             /* (cols), to work with */
  uint8_t *dropped;          /* (8, cols): 1 where a weight goes */
} pith_dropping;

/* Chooses among the columns [begin, end) of n_rows rows, which for blocks are a panel: a weight's score is its square times its input's importance,
 * in double and rounded to f32.
 *   w           (n_rows, cols); begin is a multiple of 4, and end too or cols
 *   importance  (cols), not negative; NULL: all the same, which is choosing by magnitude
 *   dropped     (n_rows, cols), of which the columns [begin, end) are written
 * unstructured: of each row the smallest scores; block: of the blocks of 8 outputs by 4 inputs those with the smallest sums, summed by rows. How
 * many: floor(fraction * n) of the first n, whatever the n where a call begins and ends; of equal scores the later go. 2:4: of each row's four
 * consecutive inputs all but the two largest; of equal ones the later go. */
void pith_sparsity_choose(const pith_dropping *dropping, const float *importance, size_t n_rows, size_t cols, size_t begin, size_t end, const float *w, uint8_t *dropped);

/* u7 codes of n_rows rows, packed in place as `matrix`, which is sparse or packed, stores them; they have to fit its form and width.
 * places: pith_matrix_place_bytes, of sparse ones. Returns the bytes that codes now take. */
uint64_t pith_pack_codes(const pith_matrix *matrix, uint64_t n_rows, uint8_t *codes, uint8_t *places);

#endif
