/* The measures of quality. All in double, sums in order. */
#ifndef PITH_METRICS_H
#define PITH_METRICS_H

#include "base/base.h"

double pith_cosine(const float *a, const float *b, size_t n);             /* 0 when either is zero */
double pith_pearson(const double *a, const double *b, size_t n);          /* 0 when either is constant */
/* Pearson of the ranks, ties averaged. */
pith_status pith_spearman(pith_ctx *ctx, const double *a, const double *b, size_t n, double *out);

/* log Σ exp(logits), by the kernels' exp. */
double pith_log_sum_exp(const float *logits, int32_t n);
/* KL(p ‖ q) in nats of the two distributions' softmax. */
double pith_kl_divergence(const float *p_logits, const float *q_logits, int32_t n);

#endif
