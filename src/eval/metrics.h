/* The measures of quality. All in double, sums in order. */
#ifndef PITH_METRICS_H
#define PITH_METRICS_H

#include "base/base.h"

double pith_cosine(const float *a, const float *b, size_t n);             /* 0 when either is zero */
double pith_pearson(const double *a, const double *b, size_t n);          /* 0 when either is constant */
/* Pearson of the ranks, ties averaged. */
pith_status pith_spearman(pith_ctx *ctx, const double *a, const double *b, size_t n, double *out);

/* What is known of a token's guess after some of its logits: log Σ exp, and the divergence of two models, without all logits at once.
 * Every logit is taken in order of its id, so that the outcome does not depend on how the vocabulary is cut. */
typedef struct pith_softmax_sums {
  float max;               /* so far */
  double sum;              /* Σ exp(logit - max), by the kernels' exp */
  double weighted;         /* Σ exp(logit - max) · (logit - other logit) */
  int32_t best;            /* the smallest id of the largest logit */
} pith_softmax_sums;
typedef struct pith_score {
  pith_softmax_sums sides[2];   /* the model, its parent */
  float target[2];              /* the logit of the token that follows */
} pith_score;

void pith_score_init(pith_score *score);
/* logits[i], parent[i]: of ids [first, first + n); parent may be NULL. target: the id that follows, in this chunk or not. */
void pith_score_add(pith_score *score, const float *logits, const float *parent, int32_t first, int32_t n, int32_t target);
/* After all: the negative log likelihood of the target in nats; KL(parent ‖ model). */
double pith_score_nll(const pith_score *score, int side);
double pith_score_kl(const pith_score *score);

#endif
