/* Texts whose label is known, and how often a model finds it: by its own labels, or, of an embedding model, by the nearest centroid. */
#ifndef PITH_LABELLED_H
#define PITH_LABELLED_H

#include "eval/evaluate.h"

/* The label of each text as an id: the model's own for one that classifies (its name, or its id in digits), else in order of appearance. */
typedef struct pith_labelled {
  int32_t *ids;              /* (n) */
  size_t n;
  int32_t n_labels;
} pith_labelled;

/* labels: (n), of the texts. Refuses models that give several labels to a text, values, or none. PITH_E_ARGUMENT names a label that the model
 * does not have, and its row. Zero-initialise first. */
pith_status pith_labelled_init(pith_ctx *ctx, pith_labelled *labelled, const pith_model *model, const char *const *labels, size_t n);
void pith_labelled_free(pith_ctx *ctx, pith_labelled *labelled);
/* After an evaluation that kept what was made of the texts: accuracy and macro-F1 of both sides, how often they agree, and of how many texts
 * that is (src/pith.h names the members). An embedding's label is that of the centroid nearest to it by cosine. Centroids are made of every other
 * text of a label, the first among them; the other texts are asked about. */
pith_status pith_labelled_report(pith_ctx *ctx, const pith_labelled *labelled, const pith_evaluation *e, pith_json *out);

#endif
