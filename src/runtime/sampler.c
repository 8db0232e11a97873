#include "runtime/sampler.h"

#include <math.h>

#include "kernels/kernels.h"

pith_status pith_sampling_check(pith_ctx *ctx, const pith_sampling *s) {
  if (!(s->temperature >= 0.0f && s->temperature <= 100.0f))
    return pith_fail(ctx, PITH_E_ARGUMENT, "temperature should be from 0 (greedy) to 100");
  if (s->top_k < 0) return pith_fail(ctx, PITH_E_ARGUMENT, "top-k should be 0 (off) or more");
  if (!(s->top_p > 0.0f && s->top_p <= 1.0f)) return pith_fail(ctx, PITH_E_ARGUMENT, "top-p should be above 0 and at most 1 (off)");
  if (!(s->min_p >= 0.0f && s->min_p <= 1.0f)) return pith_fail(ctx, PITH_E_ARGUMENT, "min-p should be from 0 (off) to 1");
  if (!(s->repetition_penalty > 0.0f && s->repetition_penalty <= 100.0f))
    return pith_fail(ctx, PITH_E_ARGUMENT, "repetition penalty should be above 0 and at most 100 (1 is off)");
  return PITH_OK;
}

/* SplitMix64 (Steele, Lea, Flood 2014): any seed is a good one. */
static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void pith_sampler_init(pith_sampler *sampler, const pith_sampling *sampling, pith_candidate *candidates) {
  sampler->sampling = *sampling;
  sampler->random_state = sampling->seed;
  sampler->candidates = candidates;
}

/* The likelier first, the smaller id among equals: a total order, so that every sort gives the same result. */
static bool precedes(const pith_candidate *a, const pith_candidate *b) { return a->logit > b->logit || (a->logit == b->logit && a->id < b->id); }

static void sift_down(pith_candidate *heap, size_t root, size_t n) {
  const pith_candidate moved = heap[root];
  for (size_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && precedes(&heap[child + 1], &heap[child])) child++;
    if (!precedes(&heap[child], &moved)) break;
    heap[root] = heap[child];
  }
  heap[root] = moved;
}

/* A heap gives the likeliest first and sorts no more than is asked for. What was taken lies behind it, the first at the end. */
typedef struct ranking {
  pith_candidate *heap;
  size_t n_left, n;
} ranking;

static void rank(ranking *r) {
  for (size_t i = r->n / 2; i-- > 0;) sift_down(r->heap, i, r->n);
}

static const pith_candidate *take(ranking *r) {
  const pith_candidate top = r->heap[0];
  r->heap[0] = r->heap[--r->n_left];
  if (r->n_left > 1) sift_down(r->heap, 0, r->n_left);
  r->heap[r->n_left] = top;
  return &r->heap[r->n_left];
}

/* The i-th likeliest, of those that were taken. */
static const pith_candidate *ranked(const ranking *r, size_t i) { return &r->heap[r->n - 1 - i]; }

static void penalize(float *logits, int32_t n, const uint8_t *seen, float penalty) {
  for (int32_t id = 0; id < n; id++)
    if (seen[id]) logits[id] = logits[id] > 0.0f ? logits[id] / penalty : logits[id] * penalty;
}

static int32_t likeliest(const float *logits, int32_t n) {
  int32_t best = 0;
  for (int32_t i = 1; i < n; i++)
    if (logits[i] > logits[best]) best = i;
  return best;
}

/* Takes candidates under top-k, then top-p of what is left, then min-p; returns how many stay, at least one. */
static size_t keep(const pith_sampling *s, ranking *r, double mass) {
  const float floor = s->min_p * take(r)->probability;
  const size_t k = s->top_k > 0 && (size_t)s->top_k < r->n ? (size_t)s->top_k : r->n;
  size_t n = 1;
  if (s->top_k > 0) {
    while (n < k) {
      take(r);
      n++;
    }
    mass = 0.0;
    for (size_t i = 0; i < n; i++) mass += (double)ranked(r, i)->probability;
  }
  double sum = 0.0;
  size_t i = 0;
  const double enough = s->top_p < 1.0f ? (double)s->top_p * mass : INFINITY;
  while (i < k && sum < enough) {
    if (i == n) {
      take(r);
      n++;
    }
    if (ranked(r, i)->probability < floor) break;
    sum += (double)ranked(r, i++)->probability;
  }
  return i > 0 ? i : 1;
}

int32_t pith_sampler_next(pith_sampler *sampler, float *logits, int32_t n, const uint8_t *seen) {
  const pith_sampling *s = &sampler->sampling;
  if (s->repetition_penalty != 1.0f) penalize(logits, n, seen, s->repetition_penalty);
  const int32_t best = likeliest(logits, n);
  if (s->temperature == 0.0f) return best;
  ranking r = {sampler->candidates, (size_t)n, (size_t)n};
  double mass = 0.0;
  for (int32_t i = 0; i < n; i++) {
    const float probability = pith_expf((logits[i] - logits[best]) / s->temperature);   /* [0, 1] */
    r.heap[i] = (pith_candidate){logits[i], probability, i};
    mass += (double)probability;
  }
  rank(&r);
  const double draw = (double)(next_random(&sampler->random_state) >> 11) * 0x1p-53;
  double sum = 0.0;
  if (s->top_k == 0 && s->top_p == 1.0f && s->min_p == 0.0f) {
    for (int32_t i = 0; i < n; i++) {
      const pith_candidate *c = take(&r);
      sum += (double)c->probability;
      if (draw * mass < sum) return c->id;
    }
    return best;
  }
  const size_t n_kept = keep(s, &r, mass);
  double kept_mass = 0.0;
  for (size_t i = 0; i < n_kept; i++) kept_mass += (double)ranked(&r, i)->probability;
  for (size_t i = 0; i < n_kept; i++) {
    sum += (double)ranked(&r, i)->probability;
    if (draw * kept_mass < sum) return ranked(&r, i)->id;
  }
  return ranked(&r, n_kept - 1)->id;
}
