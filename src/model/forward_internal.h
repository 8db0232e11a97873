/* What forward.c and attention.c share: how much work a step takes, and what it costs. */
#ifndef PITH_FORWARD_INTERNAL_H
#define PITH_FORWARD_INTERNAL_H

#include "model/forward.h"

/* Multiplications that one call of pith_forward_half is worth, about: some 10 ms in WebAssembly, one thread. */
#define STEP_MACS 33554432.0

/* What work takes on one thread, roughly, in nanoseconds: into how many parts it goes depends on it, and nothing else. */
#define MAC_U7_NS 0.02      /* of a product by rows */
#define MAC_F32_NS 0.04
#define MAC_I16_NS 0.02
#define BYTE_NS 0.08        /* of a row at a time: weights come from memory */
#define NORM_NS 0.5         /* an element */
#define LOOKUP_NS 1.0
#define ADD_NS 0.2
#define QUANTIZE_NS 0.3
#define ACTIVATION_NS 1.0

/* Buffers of keys and values: elements, and bytes of one. */
typedef struct pith_attention_sizes {
  uint64_t keys, values, scales, elem_bytes;
  size_t scratch_floats;     /* of a thread */
} pith_attention_sizes;
pith_attention_sizes pith_attention_sizes_of(const pith_forward *forward);
/* Makes the buffers ready for a first span. */
void pith_attention_init(pith_forward *forward);

/* The activation in place. */
void pith_activate(const pith_kernels *kernels, pith_activation activation, size_t n, float *x);

/* Attends with the batch's queries, keys and values: all of a short batch at once, many short sequences among them; else the rows of one span
 * after another, as many as the budget of multiplications allows. True when all are done. */
bool pith_attend(pith_forward *forward, uint32_t cached_layer, double *budget);

#endif
