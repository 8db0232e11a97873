/* One choice of every group, so that their losses' sum is least and their costs' sum stays within a budget: the multiple-choice knapsack problem
 * (Kellerer, Pferschy, Pisinger 2004, chapter 11), by dynamic programming over the budget in PITH_BUDGET_STEPS steps. A choice's cost over its
 * group's cheapest is rounded up to steps, so that the budget is never exceeded; what that leaves unused is given to the choices that gain most.
 * The dual bound says how far from the best the outcome can be. */
#ifndef PITH_OPTIMIZE_H
#define PITH_OPTIMIZE_H

#include "base/base.h"

enum { PITH_BUDGET_STEPS = 1 << 14, PITH_MAX_GROUP = 255 };

typedef struct pith_group {
  uint32_t n;                /* 1 … PITH_MAX_GROUP */
  const double *costs, *losses;   /* (n), finite, not negative */
  uint32_t chosen;           /* the outcome */
} pith_group;

/* PITH_E_LIMIT, without a message: even the cheapest choices cost more than the budget; they are chosen then. *gap: by what share of the outcome
 * the best choices' loss may be less, in [0, 1]. */
pith_status pith_optimize(pith_ctx *ctx, pith_group *groups, uint32_t n, double budget, double *gap);

#endif
