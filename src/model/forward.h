/* The forward pass in units that stay short: buffers planned once, then half-layers over a batch of token rows.
 * Rows are independent of each other but for attention, so a batch may hold any mix of sequences without padding. */
#ifndef PITH_FORWARD_H
#define PITH_FORWARD_H

#include "model/weights.h"

/* Tokens of one sequence that lie together in the batch. */
typedef struct pith_span {
  uint32_t row, n_rows;      /* in the batch */
  uint32_t position;         /* of the first row in its sequence: > 0 when a cache holds what came before */
} pith_span;

typedef struct pith_forward {
  const pith_config *config;
  const pith_weights *weights;
  const pith_kernels *kernels;
  const pith_parallel *parallel;   /* the context's when the buffers were taken */
  uint32_t n_threads;        /* for which there is scratch */
  uint32_t max_rows;         /* of a batch */
  uint32_t max_context;      /* positions that the panels of keys and values hold */
  uint32_t n_cached_layers;  /* n_layers for decoders (a cache), 1 for encoders (scratch) */
  /* the batch */
  const int32_t *ids;        /* (n_rows) */
  const int32_t *types;      /* (n_rows) of the tokens, which the caller sets before a batch begins; NULL: all are of type 0 */
  const pith_span *spans;
  uint32_t n_rows, n_spans;
  /* where in a half-layer the next call goes on: the operation, its span, and the panels or rows of it that are done */
  uint32_t op, span;
  pith_layer_shape shape;    /* of its layer */
  size_t done;
  /* buffers in the arena */
  float *x;                  /* (max_rows, hidden) the residual stream */
  float *h;                  /* (max_rows, hidden) normed rows, and block outputs */
  float *q, *k, *v;          /* (max_rows, heads * head_dim), (max_rows, kv_heads * head_dim) twice */
  float *attended;           /* (max_rows, heads * head_dim) */
  float *up, *gate;          /* (max_rows, intermediate) */
  /* Of f32 attention: keys [cached layers][kv_heads][context / 8][head_dim][8], values [cached layers][kv_heads][ceil(head_dim / 8)][context][8].
   * Of integer attention: pith_head_memory, one after the other, scales (cached layers, kv_heads, context). */
  void *keys, *values;
  float *key_scales, *value_scales;
  float *cos, *sin;          /* (context, rotary_dim / 2), RoPE only */
  float *scratch;            /* (threads, scratch_floats) widened weights: panels or scales; attention's scores */
  size_t scratch_floats;
  pith_activations activations;
  uint32_t quantized_group;  /* group size in which what the next product reads lies there quantised; 0: it does not */
} pith_forward;

/* Bytes of arena for these bounds and the context's threads; false on overflow. */
bool pith_forward_plan(const pith_ctx *ctx, const pith_config *config, const pith_weights *weights, const pith_kernels *kernels, uint32_t max_rows,
                       uint32_t max_context, uint64_t *n_bytes);
/* Takes the buffers from the arena, fills the RoPE tables. */
pith_status pith_forward_init(pith_ctx *ctx, pith_forward *forward, const pith_config *config, const pith_weights *weights,
                              const pith_kernels *kernels, uint32_t max_rows, uint32_t max_context, pith_arena *arena);

/* A batch: embed, then the half-layers of every layer in order, then finish. Ids below the vocabulary and
 * positions below max_context are the caller's duty. */
void pith_forward_begin(pith_forward *forward, const int32_t *ids, uint32_t n_rows, const pith_span *spans, uint32_t n_spans);
/* Takes a batch up again at any half-layer: x holds its rows (n_rows, hidden), which are worked on in place. */
void pith_forward_resume(pith_forward *forward, float *x, uint32_t n_rows, const pith_span *spans, uint32_t n_spans);
/* Half-layer 2 layer is attention, 2 layer + 1 the feed-forward, or both where they are parallel: as much of it as stays short, whatever the
 * sizes. True when it is done. */
bool pith_forward_half(pith_forward *forward, int32_t half);
/* The same in two: the half-layer as far as what it adds has been added to the rows, and the norm that follows in families that norm sums. */
bool pith_forward_sum(pith_forward *forward, int32_t half);
void pith_forward_settle(pith_forward *forward, int32_t half);
/* 0: the weight `id` (pith_weight_id) is multiplied in a layer's first half, 1: in its second. */
int pith_forward_half_of(const pith_config *config, uint32_t id);
/* The half-layer up to the product with the weight `id` (pith_weight_id), whose input *x then is, (n_rows, *x_stride): true. The half-layer is
 * left there: what comes next begins another one. */
bool pith_forward_until(pith_forward *forward, int32_t half, uint32_t id, const float **x, size_t *x_stride);
/* A whole half-layer. */
void pith_forward_attention(pith_forward *forward, int32_t layer);
void pith_forward_feed(pith_forward *forward, int32_t layer);
void pith_forward_finish(pith_forward *forward);
/* Logits of one row of x after finish. dst: (vocab_size) */
void pith_forward_logits(pith_forward *forward, uint32_t row, float *dst);

/* heads.c, of encoders with a head. Outputs of the last product: labels, or the vocabulary. */
int32_t pith_head_outputs(const pith_config *config);
/* What the last product reads, in place of the rows after the last layer. x: (n_rows <= max_rows, hidden) */
void pith_head_rows(pith_forward *forward, uint32_t n_rows, float *x);
/* y: (n_rows, outputs) before any scoring */
void pith_head_logits(pith_forward *forward, uint32_t n_rows, const float *x, float *y);

/* y = matrix · x + bias for n_rows rows. Quantises x first where the matrix wants it. */
void pith_forward_product(pith_forward *forward, const pith_matrix *matrix, const float *bias, uint32_t n_rows, const float *x, size_t x_stride,
                          float *y, size_t y_stride);

#endif
