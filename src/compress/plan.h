/* A recipe within a budget: which way of storing each tensor keeps most of the model, by what each was found to cost (sensitivity.h). */
#ifndef PITH_PLAN_H
#define PITH_PLAN_H

#include "compress/sensitivity.h"

typedef enum pith_budget { PITH_BUDGET_BYTES, PITH_BUDGET_LOSS } pith_budget;

typedef struct pith_plan_options {
  const char *source;                    /* borrowed */
  pith_budget budget;
  double limit;                          /* bytes of all files of the package; mean loss, as pith_choice has it */
  const char *metric;                    /* of the loss: "cosine" or "kl" as the model is of one kind or the other; NULL: its own */
  const pith_texts *texts;               /* what is measured with; NULL: the default set */
  bool calibrated;                       /* the package will be calibrated on these texts */
  pith_attention attention;
  const pith_kernels *kernels;
} pith_plan_options;

typedef struct pith_plan {
  pith_plan_options options;
  pith_checkpoint checkpoint;
  pith_model parent;
  pith_source source;
  pith_texts default_texts;
  pith_sensitivity sensitivity;
  double fixed_bytes;                    /* of the package whatever is chosen: tokenizer, norms and biases, manifest, headers */
  uint32_t *chosen;                      /* (sensitivity.n_tensors) */
  pith_json *recipe;
  double bytes, loss, gap;               /* of the recipe, as predicted */
  double bits;                           /* a weight, of the layers' matrices, scales and zero points counted */
} pith_plan;

/* Zero-initialise first. */
pith_status pith_plan_begin(pith_ctx *ctx, pith_plan *plan, const pith_plan_options *options);
pith_status pith_plan_step(pith_ctx *ctx, pith_plan *plan);
/* After PITH_OK: another recipe for another limit, nothing measured anew. PITH_E_LIMIT where no recipe keeps to it, with the nearest. */
pith_status pith_plan_choose(pith_ctx *ctx, pith_plan *plan, double limit);
/* The members "recipe", "bytes", "loss", "bits", "gap", "tensors" (what was chosen), "sensitivity". */
void pith_plan_report(const pith_plan *plan, pith_json *out);
void pith_plan_free(pith_ctx *ctx, pith_plan *plan);

#endif
