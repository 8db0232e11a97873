#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/kernels.h"

double pith_cosine(const float *a, const float *b, size_t n) {
  double dot = 0.0, aa = 0.0, bb = 0.0;
  for (size_t i = 0; i < n; i++) {
    dot += (double)a[i] * (double)b[i];
    aa += (double)a[i] * (double)a[i];
    bb += (double)b[i] * (double)b[i];
  }
  return aa > 0.0 && bb > 0.0 ? dot / sqrt(aa) / sqrt(bb) : 0.0;
}

double pith_pearson(const double *a, const double *b, size_t n) {
  double ma = 0.0, mb = 0.0, ab = 0.0, aa = 0.0, bb = 0.0;
  for (size_t i = 0; i < n; i++) {
    ma += a[i];
    mb += b[i];
  }
  ma /= (double)n;
  mb /= (double)n;
  for (size_t i = 0; i < n; i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
  }
  return aa > 0.0 && bb > 0.0 ? ab / sqrt(aa) / sqrt(bb) : 0.0;
}

typedef struct ranked {
  double value;
  size_t index;
} ranked;

static int compare_ranked(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  return x->index < y->index ? -1 : 1;   /* a total order: the same result from every qsort */
}

static void rank(const double *values, size_t n, ranked *scratch, double *out) {
  for (size_t i = 0; i < n; i++) scratch[i] = (ranked){values[i], i};
  qsort(scratch, n, sizeof *scratch, compare_ranked);
  for (size_t i = 0; i < n;) {
    size_t end = i + 1;
    while (end < n && scratch[end].value == scratch[i].value) end++;
    for (size_t k = i; k < end; k++) out[scratch[k].index] = 0.5 * (double)(i + end - 1);
    i = end;
  }
}

pith_status pith_spearman(pith_ctx *ctx, const double *a, const double *b, size_t n, double *out) {
  ranked *scratch = NULL;
  double *ranks = NULL;
  pith_status status = pith_calloc(ctx, n, sizeof *scratch, &scratch);
  if (status == PITH_OK) status = pith_calloc(ctx, 2 * n, sizeof *ranks, &ranks);
  if (status == PITH_OK) {
    rank(a, n, scratch, ranks);
    rank(b, n, scratch, ranks + n);
    *out = pith_pearson(ranks, ranks + n, n);
  }
  pith_free(ctx, scratch);
  pith_free(ctx, ranks);
  return status;
}

double pith_log_sum_exp(const float *logits, int32_t n) {
  float max = logits[0];
  double sum = 0.0;
  for (int32_t i = 1; i < n; i++) max = logits[i] > max ? logits[i] : max;
  for (int32_t i = 0; i < n; i++) sum += (double)pith_expf(logits[i] - max);
  return (double)max + pith_log(sum);
}

double pith_kl_divergence(const float *p, const float *q, int32_t n) {
  const double lp = pith_log_sum_exp(p, n), lq = pith_log_sum_exp(q, n);
  double sum = 0.0;
  for (int32_t i = 0; i < n; i++) {
    const double log_p = (double)p[i] - lp;
    sum += (double)pith_expf((float)log_p) * (log_p - ((double)q[i] - lq));
  }
  return sum > 0.0 ? sum : 0.0;   /* below zero only by rounding */
}
