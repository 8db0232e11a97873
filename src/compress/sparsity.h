/* Sparse weights: which of a panel's stay, and how only those are stored. Selecting comes before quantising and packing after it, and packing
 * leaves out every code that is the zero point, whoever made it so: another selector only has to leave zeros, and may change what stays. */
#ifndef PITH_SPARSITY_H
#define PITH_SPARSITY_H

#include "compress/recipe.h"

/* Sets to zero what one panel of up to 8 rows loses, by magnitude alone. w: (n_rows, cols).
 *   block  of the panel's ceil(cols / 4) blocks of 8 outputs by 4 inputs the floor(fraction * blocks) with the smallest sum of squares, summed
 *          in double by rows and rounded to f32; of equal ones the later. The same number in every panel, so that threads share evenly
 *   2:4    of each row's four consecutive inputs all but the two largest in magnitude; of equal ones the later
 * scores: ceil(cols / 4) floats to work with */
void pith_sparsify_panel(const pith_sparsity *sparsity, size_t n_rows, size_t cols, float *w, float *scores);

/* u7 codes of n_rows rows, packed in place as `matrix`, which is sparse, stores them; what is not the zero point has to fit its form.
 * places: pith_matrix_place_bytes. Returns the bytes that codes now take. */
uint64_t pith_pack_sparse(const pith_matrix *matrix, uint64_t n_rows, uint8_t *codes, uint8_t *places);

#endif
