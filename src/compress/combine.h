/* A half-layer's choices taken together: how much of it stays, and how each of its matrices is stored. Losses add up, those of storing in proportion
 * to the share that stays; costs add up. Only choices that no other one beats in both are of use; of those at most PITH_MAX_GROUP are kept, evenly
 * over the whole range where there are more. */
#ifndef PITH_COMBINE_H
#define PITH_COMBINE_H

#include "compress/optimize.h"
#include "compress/sensitivity.h"

enum { PITH_MAX_COMBINED = 4 /* matrices of a half */ };

typedef struct pith_combination {
  double cost, loss;
  uint8_t size, choices[PITH_MAX_COMBINED];   /* of the half's sizes, of each matrix */
} pith_combination;

/* costs: (sizes, n, PITH_MAX_CHOICES), fixed: (sizes), what the size costs beside. n <= PITH_MAX_COMBINED. Returns how many are in `out`, by rising cost. */
uint32_t pith_combine(const pith_half_sizes *half, const pith_tensor_choices *tensors, uint32_t n, const double *costs, const double *fixed,
                      pith_combination out[PITH_MAX_GROUP]);

#endif
