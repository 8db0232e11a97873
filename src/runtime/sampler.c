#include "runtime/sampler.h"

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
    if (child + 1 < n && precedes(&heap[child], &heap[child + 1])) child++;
    if (!precedes(&moved, &heap[child])) break;
    heap[root] = heap[child];
  }
  heap[root] = moved;
}

/* Heap sort: in place, no recursion, no libc order to differ. */
static void sort_candidates(pith_candidate *c, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift_down(c, i, n);
  for (size_t end = n; end-- > 1;) {
    const pith_candidate last = c[end];
    c[end] = c[0];
    c[0] = last;
    sift_down(c, 0, end);
  }
}

static void penalize(float *logits, int32_t n, const int32_t *seen, size_t n_seen, float penalty) {
  /* A token seen twice is penalised once: the list is scanned for an earlier occurrence. */
  for (size_t i = 0; i < n_seen; i++) {
    const int32_t id = seen[i];
    if (id < 0 || id >= n) continue;
    bool repeated = false;
    for (size_t j = 0; j < i && !repeated; j++) repeated = seen[j] == id;
    if (!repeated) logits[id] = logits[id] > 0.0f ? logits[id] / penalty : logits[id] * penalty;
  }
}

static int32_t likeliest(const float *logits, int32_t n) {
  int32_t best = 0;
  for (int32_t i = 1; i < n; i++)
    if (logits[i] > logits[best]) best = i;
  return best;
}

/* How many of the sorted candidates remain under top-k, top-p and min-p. At least one. */
static size_t kept(const pith_sampling *s, const pith_candidate *c, size_t n, double mass) {
  if (s->top_k > 0 && (size_t)s->top_k < n) {
    n = (size_t)s->top_k;
    mass = 0.0;
    for (size_t i = 0; i < n; i++) mass += (double)c[i].probability;
  }
  if (s->top_p < 1.0f) {
    double sum = 0.0;
    size_t i = 0;
    while (i < n && sum < (double)s->top_p * mass) sum += (double)c[i++].probability;
    n = i > 0 ? i : 1;
  }
  if (s->min_p > 0.0f)
    while (n > 1 && c[n - 1].probability < s->min_p * c[0].probability) n--;
  return n;
}

int32_t pith_sampler_next(pith_sampler *sampler, float *logits, int32_t n, const int32_t *seen, size_t n_seen) {
  const pith_sampling *s = &sampler->sampling;
  if (s->repetition_penalty != 1.0f) penalize(logits, n, seen, n_seen, s->repetition_penalty);
  if (s->temperature == 0.0f) return likeliest(logits, n);
  pith_candidate *c = sampler->candidates;
  for (int32_t i = 0; i < n; i++) {
    c[i].logit = logits[i];
    c[i].id = i;
  }
  sort_candidates(c, (size_t)n);
  double mass = 0.0;
  for (int32_t i = 0; i < n; i++) {
    c[i].probability = pith_expf((c[i].logit - c[0].logit) / s->temperature);   /* (0, 1] */
    mass += (double)c[i].probability;
  }
  const size_t n_kept = kept(s, c, (size_t)n, mass);
  double kept_mass = 0.0;
  for (size_t i = 0; i < n_kept; i++) kept_mass += (double)c[i].probability;
  const double draw = (double)(next_random(&sampler->random_state) >> 11) * 0x1p-53 * kept_mass;
  double sum = 0.0;
  for (size_t i = 0; i < n_kept; i++) {
    sum += (double)c[i].probability;
    if (draw < sum) return c[i].id;
  }
  return c[n_kept - 1].id;
}
