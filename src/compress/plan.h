/* A recipe within a budget: which way of storing each tensor keeps most of the model, by what each was found to cost (sensitivity.h). */
#ifndef PITH_PLAN_H
#define PITH_PLAN_H

#include "compress/cost.h"
#include "compress/sensitivity.h"

typedef enum pith_budget { PITH_BUDGET_BYTES, PITH_BUDGET_LOSS, PITH_BUDGET_MS } pith_budget;

typedef struct pith_plan_options {
  const char *source;                    /* borrowed */
  pith_budget budget;
  double limit;                          /* bytes of all files of the package; mean loss, as pith_choice has it; milliseconds as cost.h has them */
  const char *metric;                    /* of the loss: "cosine" or "kl" as the model is of one kind or the other; NULL: its own */
  const pith_texts *texts;               /* what is measured with; NULL: the default set */
  bool calibrated;                       /* the package will be calibrated on these texts */
  bool prunes;                           /* heads and neurons may go, as recipes' "prune" has it; wants calibrated */
  pith_attention attention;
  const pith_kernels *kernels;
  bool times;                            /* what the work takes here is measured, whatever the budget is; one in milliseconds needs it */
  uint32_t tokens;                       /* of that work (cost.h); 0: PITH_COST_TOKENS, or as many as the model takes */
} pith_plan_options;

typedef struct pith_plan {
  pith_plan_options options;
  pith_checkpoint checkpoint;
  pith_model parent;
  pith_source source;
  pith_texts default_texts;
  pith_sensitivity sensitivity;
  double fixed_bytes;                    /* of the package whatever is chosen: tokenizer, norms and biases, manifest, headers */
  pith_cost cost;
  uint32_t *timed;                       /* (sensitivity.n_tensors, PITH_MAX_SIZES, PITH_MAX_CHOICES) in cost */
  uint32_t n_threads;                    /* with which times were measured */
  double fixed_ms;                       /* beside products, as far as sizes are chosen: attention, norms, activations */
  uint32_t *sizes;                       /* (2 * layers) of halves, that were chosen; 0: all of it stays */
  uint32_t *chosen;                      /* (sensitivity.n_tensors) */
  pith_json *recipe;
  double bytes, loss, gap, ms;           /* of the recipe, as predicted; ms: 0 where it was not measured */
  double bits;                           /* a weight, of the layers' matrices, scales and zero points counted */
} pith_plan;

/* Zero-initialise first. */
pith_status pith_plan_begin(pith_ctx *ctx, pith_plan *plan, const pith_plan_options *options);
pith_status pith_plan_step(pith_ctx *ctx, pith_plan *plan);
/* After PITH_OK: another recipe for another limit, nothing measured anew. PITH_E_LIMIT where no recipe keeps to it, with the nearest. */
pith_status pith_plan_choose(pith_ctx *ctx, pith_plan *plan, double limit);
/* The members "recipe", "bytes", "loss", "bits", "gap", "tensors" (what was chosen), "sensitivity"; where times were measured "ms" and "time", with
 * pruning "pruned" (what stays of each half-layer). */
void pith_plan_report(const pith_plan *plan, pith_json *out);
void pith_plan_free(pith_ctx *ctx, pith_plan *plan);

#endif
