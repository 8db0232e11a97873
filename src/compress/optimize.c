#include "compress/optimize.h"

#include <math.h>

static double sum_of(const pith_group *groups, uint32_t n, bool costs) {
  double sum = 0.0;
  for (uint32_t g = 0; g < n; g++) sum += (costs ? groups[g].costs : groups[g].losses)[groups[g].chosen];
  return sum;
}

static void choose_cheapest(pith_group *groups, uint32_t n) {
  for (uint32_t g = 0; g < n; g++) {
    groups[g].chosen = 0;
    for (uint32_t c = 1; c < groups[g].n; c++) {
      const double cost = groups[g].costs[c], least = groups[g].costs[groups[g].chosen];
      if (cost < least || (cost == least && groups[g].losses[c] < groups[g].losses[groups[g].chosen])) groups[g].chosen = c;
    }
  }
}

/* Σ min (loss + price · cost) - price · budget: no choice within the budget has less loss, whatever the price. */
static double bound_at(const pith_group *groups, uint32_t n, double budget, double price, double *spent) {
  double bound = -price * budget;
  *spent = 0.0;
  for (uint32_t g = 0; g < n; g++) {
    uint32_t best = 0;
    for (uint32_t c = 1; c < groups[g].n; c++)
      if (groups[g].losses[c] + price * groups[g].costs[c] < groups[g].losses[best] + price * groups[g].costs[best]) best = c;
    bound += groups[g].losses[best] + price * groups[g].costs[best];
    *spent += groups[g].costs[best];
  }
  return bound;
}

static double dual_bound(const pith_group *groups, uint32_t n, double budget) {
  double low = 0.0, high = 1e-30, spent, best = bound_at(groups, n, budget, 0.0, &spent);
  if (spent <= budget) return best;
  while (high < 1e30) {
    const double bound = bound_at(groups, n, budget, high, &spent);
    best = bound > best ? bound : best;
    if (spent <= budget) break;
    high *= 16.0;
  }
  for (int i = 0; i < 100; i++) {
    const double middle = (low + high) / 2, bound = bound_at(groups, n, budget, middle, &spent);
    best = bound > best ? bound : best;
    if (spent > budget) low = middle;
    else high = middle;
  }
  return best;
}

/* What the steps' rounding left: the change of one group's choice that takes most loss away for its cost, as long as one fits. */
static void spend_rest(pith_group *groups, uint32_t n, double budget) {
  for (;;) {
    const double left = budget - sum_of(groups, n, true);
    double most = 0.0;
    uint32_t group = 0, choice = 0;
    for (uint32_t g = 0; g < n; g++)
      for (uint32_t c = 0; c < groups[g].n; c++) {
        const double gain = groups[g].losses[groups[g].chosen] - groups[g].losses[c], cost = groups[g].costs[c] - groups[g].costs[groups[g].chosen];
        if (!(gain > 0.0) || cost > left) continue;
        const double worth = cost > 0.0 ? gain / cost : INFINITY;
        if (worth <= most) continue;
        most = worth;
        group = g;
        choice = c;
      }
    if (!(most > 0.0)) return;
    groups[group].chosen = choice;
  }
}

pith_status pith_optimize(pith_ctx *ctx, pith_group *groups, uint32_t n, double budget, double *gap) {
  double *least;             /* by steps: the loss of the groups so far */
  uint8_t *chosen;           /* (n, steps + 1) */
  *gap = 0.0;
  choose_cheapest(groups, n);
  const double room = budget - sum_of(groups, n, true), step = room / PITH_BUDGET_STEPS;
  if (room < 0.0) return PITH_E_LIMIT;
  PITH_TRY(pith_calloc(ctx, 2 * (PITH_BUDGET_STEPS + 1), sizeof *least, &least));
  const pith_status status = pith_calloc(ctx, n ? n : 1, PITH_BUDGET_STEPS + 1, &chosen);
  if (status != PITH_OK) {
    pith_free(ctx, least);
    return status;
  }
  double *before = least, *now = least + PITH_BUDGET_STEPS + 1;
  for (uint32_t g = 0; g < n; g++) {
    const pith_group *group = &groups[g];
    uint8_t *choices = chosen + (size_t)g * (PITH_BUDGET_STEPS + 1);
    for (size_t s = 0; s <= PITH_BUDGET_STEPS; s++) {
      now[s] = before[s] + group->losses[group->chosen];
      choices[s] = (uint8_t)group->chosen;
    }
    for (uint32_t c = 0; c < group->n; c++) {
      const double over = group->costs[c] - group->costs[group->chosen], wished = over > 0.0 ? ceil(over / step) : 0.0;
      if (!(wished <= PITH_BUDGET_STEPS)) continue;
      for (size_t s = (size_t)wished; s <= PITH_BUDGET_STEPS; s++) {
        const double loss = before[s - (size_t)wished] + group->losses[c];
        if (!(loss < now[s])) continue;
        now[s] = loss;
        choices[s] = (uint8_t)c;
      }
    }
    double *swap = before;
    before = now;
    now = swap;
  }
  size_t left = PITH_BUDGET_STEPS;
  for (uint32_t g = n; g-- > 0;) {
    pith_group *group = &groups[g];
    const uint32_t c = chosen[(size_t)g * (PITH_BUDGET_STEPS + 1) + left];
    const double over = group->costs[c] - group->costs[group->chosen];
    left -= over > 0.0 ? (size_t)ceil(over / step) : 0;
    group->chosen = c;
  }
  pith_free(ctx, least);
  pith_free(ctx, chosen);
  spend_rest(groups, n, budget);
  const double loss = sum_of(groups, n, false), bound = dual_bound(groups, n, budget);
  *gap = loss > 0.0 && bound < loss ? (loss - (bound > 0.0 ? bound : 0.0)) / loss : 0.0;
  return PITH_OK;
}
