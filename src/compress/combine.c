#include "compress/combine.h"

#include <string.h>

enum { MOST_OF_A_SIZE = 64, ROOM = MOST_OF_A_SIZE * PITH_MAX_CHOICES };

/* By cost, and only what has less loss than all that costs no more; thinned to `most`. Returns how many are left. */
static uint32_t keep_best(pith_combination *list, uint32_t n, uint32_t most) {
  uint32_t left = 0;
  for (uint32_t i = 1; i < n; i++)
    for (uint32_t k = i; k > 0 && (list[k].cost < list[k - 1].cost || (list[k].cost == list[k - 1].cost && list[k].loss < list[k - 1].loss)); k--) {
      const pith_combination swap = list[k];
      list[k] = list[k - 1];
      list[k - 1] = swap;
    }
  for (uint32_t i = 0; i < n; i++)
    if (left == 0 || list[i].loss < list[left - 1].loss) list[left++] = list[i];
  if (left <= most) return left;
  for (uint32_t i = 0; i < most; i++) list[i] = list[(uint64_t)i * (left - 1) / (most - 1)];
  return most;
}

uint32_t pith_combine(const pith_half_sizes *half, const pith_tensor_choices *tensors, uint32_t n, const double *costs, const double *fixed,
                      pith_combination out[PITH_MAX_GROUP]) {
  pith_combination all[PITH_MAX_SIZES * MOST_OF_A_SIZE], some[ROOM], more[ROOM];
  uint32_t n_all = 0;
  for (uint32_t k = 0; k < half->n; k++) {
    const double share = (double)half->kept[k] / half->n_units;
    uint32_t n_some = 1;
    some[0] = (pith_combination){.cost = fixed[k], .loss = half->losses[k], .size = (uint8_t)k};
    for (uint32_t t = 0; t < n; t++) {
      uint32_t n_more = 0;
      for (uint32_t i = 0; i < n_some; i++)
        for (uint32_t c = 0; c < tensors[t].n; c++) {
          more[n_more] = some[i];
          more[n_more].cost += costs[(k * n + t) * PITH_MAX_CHOICES + c];
          more[n_more].loss += share * tensors[t].choices[c].loss;
          more[n_more++].choices[t] = (uint8_t)c;
        }
      n_some = keep_best(more, n_more, MOST_OF_A_SIZE);
      memcpy(some, more, n_some * sizeof *some);
    }
    memcpy(all + n_all, some, n_some * sizeof *some);
    n_all += n_some;
  }
  n_all = keep_best(all, n_all, PITH_MAX_GROUP);
  memcpy(out, all, n_all * sizeof *out);
  return n_all;
}
