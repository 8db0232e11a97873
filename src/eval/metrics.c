#include "eval/metrics.h"

#include <math.h>

#include "base/sort.h"
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
  return x->index < y->index ? -1 : 1;   /* a total order: the same result from every sort */
}

static void rank(const double *values, size_t n, ranked *scratch, double *out) {
  for (size_t i = 0; i < n; i++) scratch[i] = (ranked){values[i], i};
  pith_sort(scratch, n, sizeof *scratch, compare_ranked);
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

void pith_score_init(pith_score *score) {
  const pith_softmax_sums none = {-INFINITY, 0.0, 0.0, 0};
  *score = (pith_score){{none, none}, {0.0f, 0.0f}};
}

static inline void add_logit(pith_softmax_sums *s, float logit, float other, int32_t id) {
  if (logit > s->max) {
    /* exact, unlike the terms' exp: its error would not average out */
    const double gap = (double)s->max - (double)logit, shrink = gap > -700.0 ? pith_exp(gap) : 0.0;
    s->sum *= shrink;
    s->weighted *= shrink;
    s->max = logit;
    s->best = id;
  }
  const double e = (double)pith_expf(logit - s->max);
  s->sum += e;
  s->weighted += e * ((double)logit - (double)other);
}

void pith_score_add(pith_score *score, const float *logits, const float *parent, int32_t first, int32_t n, int32_t target) {
  for (int32_t i = 0; i < n; i++) add_logit(&score->sides[0], logits[i], logits[i], first + i);
  for (int32_t i = 0; parent && i < n; i++) add_logit(&score->sides[1], parent[i], logits[i], first + i);
  if (target < first || target >= first + n) return;
  score->target[0] = logits[target - first];
  if (parent) score->target[1] = parent[target - first];
}

static double log_sum_exp(const pith_softmax_sums *s) { return (double)s->max + pith_log(s->sum); }

double pith_score_nll(const pith_score *score, int side) { return log_sum_exp(&score->sides[side]) - (double)score->target[side]; }

/* Σ p (log p - log q) with p = exp(a) / Σ exp(a): the mean of a - b under p, less the difference of the logarithms. */
double pith_score_kl(const pith_score *score) {
  const pith_softmax_sums *p = &score->sides[1];
  const double kl = p->weighted / p->sum - log_sum_exp(p) + log_sum_exp(&score->sides[0]);
  return kl > 0.0 ? kl : 0.0;   /* below zero only by rounding */
}
