/* Choosing the next token. Deterministic under a seed on every build: integers and the kernels' exp alone. */
#ifndef PITH_SAMPLER_H
#define PITH_SAMPLER_H

#include "base/base.h"

typedef struct pith_sampling {
  float temperature;          /* 0: greedy; else > 0 */
  int32_t top_k;              /* 0: off; else keep the k most likely */
  float top_p;                /* (0, 1]; 1: off. Smallest set of most likely tokens whose mass reaches p */
  float min_p;                /* [0, 1]; 0: off. Drop tokens below min_p times the likeliest's probability */
  float repetition_penalty;   /* > 0; 1: off. CTRL (Keskar et al. 2019): seen tokens' logits / r if positive, * r if not */
  uint64_t seed;
} pith_sampling;

/* PITH_E_ARGUMENT naming the option and its range; NaN is out of every range. */
pith_status pith_sampling_check(pith_ctx *ctx, const pith_sampling *sampling);

typedef struct pith_candidate {
  float logit, probability;
  int32_t id;
} pith_candidate;

typedef struct pith_sampler {
  pith_sampling sampling;
  uint64_t random_state;
  pith_candidate *candidates;  /* (vocab_size), borrowed from the session's arena */
} pith_sampler;

void pith_sampler_init(pith_sampler *sampler, const pith_sampling *sampling, pith_candidate *candidates);

/* Order: repetition penalty, temperature, softmax, top-k, top-p, min-p (each on what the one before left), draw.
 * Equal logits are ordered by id, so that greedy takes the smallest. logits: (n), changed by the penalty in place.
 * seen: (n) not 0 for ids in the prompt and in what was generated. Returns the id. Allocates nothing. */
int32_t pith_sampler_next(pith_sampler *sampler, float *logits, int32_t n, const uint8_t *seen);

#endif
