/* Float rows into codes, in the layout that the kernels read. Data-free and deterministic. */
#ifndef PITH_QUANTIZE_H
#define PITH_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

/* One panel of up to 8 rows as u7 codes with one scale per row and group.
 *   w        (n_rows, cols) finite floats, n_rows 1…8
 *   codes    [ceil(cols/4)][8][4]; absent rows and columns get the zero point 64
 *   scales   [ceil(cols/group_size)][8] f16 bits; absent rows 0
 * The scale of a group is the best, by squared error after rounding to f16, of absmax * f / 63 for f in {1, 0.99, … 0.75};
 * the first best wins. Code = 64 + clamp(round_half_even(w / scale), -63, 63).
 * Returns the sum of squared errors (f64), or a negative number when a scale does not fit f16's normal range (2^-14 … 65504):
 * the tensor then wants f32 scales. group_size: a multiple of 4. */
double pith_quantize_u7_panel(size_t n_rows, size_t cols, size_t group_size, const float *w, uint8_t *codes, uint16_t *scales);

#endif
