/* Recipes: what becomes of each kind of weight. They are data (JSON); the named ones are files in recipes/. */
#ifndef PITH_RECIPE_H
#define PITH_RECIPE_H

#include "model/model.h"

/* By what it is chosen what goes: by second order, by first order (structures alone), by weights and their inputs' squares (weights alone, Sun et
 * al. 2023, "Wanda"), by weights. All but the last look at texts. */
typedef enum pith_importance { PITH_IMPORTANCE_OBS, PITH_IMPORTANCE_FIRST_ORDER, PITH_IMPORTANCE_WANDA, PITH_IMPORTANCE_MAGNITUDE } pith_importance;

/* Which weights are set to zero (sparsity.h). */
typedef enum pith_sparsity_form { PITH_SPARSITY_NONE, PITH_SPARSITY_BLOCK, PITH_SPARSITY_2OF4, PITH_SPARSITY_UNSTRUCTURED } pith_sparsity_form;
typedef struct pith_sparsity {
  pith_sparsity_form form;
  double fraction;           /* block: of the blocks, unstructured: of the weights; above 0 and below 1 */
  pith_importance by;        /* OBS, WANDA or MAGNITUDE */
} pith_sparsity;

typedef struct pith_recipe_rule {
  pith_encoding encoding;
  uint32_t group_size;       /* of encodings that have groups; 0: the whole row is one group */
  pith_sparsity sparsity;    /* of u7, u7-block and u7-sparse */
} pith_recipe_rule;

/* What goes for good, so that the model shrinks (prune.h). Members of the recipe's JSON, borrowed; NULL: nothing of it. */
typedef struct pith_prune_rule {
  const pith_json *neurons, *heads;   /* a fraction in [0, 1), a list of one for each of the parent's layers, or those of the first and the last, evenly between */
  const pith_json *layers;            /* a list of the parent's layers that go */
  pith_importance importance;         /* not WANDA */
} pith_prune_rule;

/* Scales that move between activations and weights (migrate.h). */
typedef enum pith_migrate_by { PITH_MIGRATE_NOT, PITH_MIGRATE_SMOOTHQUANT, PITH_MIGRATE_AWQ } pith_migrate_by;
typedef struct pith_migrate_rule {
  pith_migrate_by by;
  double alpha;              /* smoothquant: in [0, 1] */
} pith_migrate_rule;

typedef struct pith_recipe {
  char name[64];
  pith_prune_rule prune;
  pith_migrate_rule migrate;
  pith_recipe_rule matrices, head, tables;
  const pith_json *tensors;  /* rules of tensors by name, which go before those of their kind; NULL: none. Borrowed from the recipe's JSON */
  pith_attention attention;
  bool ordered;              /* what calibration rounds is rounded by descending size of a matrix's inputs */
} pith_recipe;

/* The rule for a slot that is no vector: of "tensors" the first whose name fits, in which * stands for any characters, else that of its kind.
 * PITH_E_UNSUPPORTED where the encoding that is asked for by name does not suit the tensor. */
pith_status pith_recipe_rule_for(pith_ctx *ctx, const pith_recipe *recipe, const pith_slot *slot, pith_recipe_rule *out);
/* PITH_E_NOT_FOUND: one of "tensors" names nothing that the model has. PITH_E_ARGUMENT: a rule looks at texts, and the tensor has none: not
 * `calibrated`, or no matrix of a layer. Also asks for every slot's rule. solves: whether one of them solves for weights (obs). */
pith_status pith_recipe_check(pith_ctx *ctx, const pith_recipe *recipe, const pith_config *config, bool calibrated, bool *solves);
/* Whether calibration reaches a weight. */
bool pith_recipe_calibrates(const pith_config *config, int32_t stage, const pith_slot *slot);

/* The text of a named recipe, NULL if there is none of that name. Static storage. */
const char *pith_recipe_text(const char *name);
/* Unknown keys, encodings and group sizes are refused by name: PITH_E_UNSUPPORTED or PITH_E_FORMAT. json must live on. */
pith_status pith_recipe_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_recipe *out);

#endif
