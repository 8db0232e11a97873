/* A model run over a block of sequences one stage after another: a stage is read, all rows go through it, it is dropped, the next one is
 * read. Memory holds the rows and one stage, never the model; the results have the bits of the ordinary forward pass, since rows do not
 * depend on each other but for attention. */
#ifndef PITH_LAYERWISE_H
#define PITH_LAYERWISE_H

#include "model/source.h"

typedef enum pith_layerwise_unit {
  PITH_LAYERWISE_READ,         /* a stage */
  PITH_LAYERWISE_TOKENS,       /* the embedding's rows of the block's tokens */
  PITH_LAYERWISE_EMBED, PITH_LAYERWISE_HALVES, PITH_LAYERWISE_FINISH,   /* of a batch */
  PITH_LAYERWISE_DONE
} pith_layerwise_unit;

typedef struct pith_layerwise {
  pith_source *source;
  pith_config config;          /* the model's with one layer: what the weights of one stage look like to the forward pass */
  pith_weights weights;        /* of the stage at hand */
  pith_stage_reader reader;
  uint32_t limits[PITH_N_LAYER_WEIGHTS];   /* rows of positions and token types; tokens and the head are read by rows */
  pith_arena arena;            /* of the stage at hand */
  pith_forward forward;
  /* the block */
  const int32_t *ids;          /* (n_rows) */
  const int32_t *types;        /* (n_rows) of the tokens; NULL, as begin() leaves it: all are of type 0 */
  const pith_span *sequences;
  uint32_t n_rows, n_sequences, longest;
  float *x;                    /* (n_rows, hidden) */
  int32_t stage;
  pith_layerwise_unit unit;
  /* a batch of rows [row, row + n_batch) */
  uint32_t max_rows, row, n_batch, n_spans;
  int32_t half;                /* of the layer: 0 attention, 1 feed-forward */
  uint32_t sequence, position; /* where the next batch begins */
  pith_span *spans;            /* (max_rows) */
  /* one matrix by rows: the embedding, then the head */
  pith_weight_reader matrix;
  uint32_t chunk_rows;
  uint8_t *codes, *scales;     /* (chunk_rows) of it */
  int32_t *places;             /* (vocab) of a token in the block's own table, -1: not in the block */
  int32_t *local_ids;          /* (n_rows) ids as places */
  int32_t next_id;
  float *table, *one_row;      /* panels of the block's tokens; (hidden) */
  const float *head_bias;      /* of the head's outputs, or NULL */
  uint32_t head_first;         /* of the chunk that was read */
} pith_layerwise;

/* Zero-initialise first; also ends the block before. sequences lie one behind the other in ids (span.position 0) and may be empty; all
 * arguments must live on. Ids below the vocabulary and lengths within the model's positions are the caller's duty. */
pith_status pith_layerwise_begin(pith_ctx *ctx, pith_layerwise *run, pith_source *source, const int32_t *ids, const pith_span *sequences,
                                 uint32_t n_sequences);
/* A megabyte read, or some of a batch's half-layer. PITH_OK: x is what pith_forward_finish leaves, or pith_head_rows of a model with a head. */
pith_status pith_layerwise_step(pith_ctx *ctx, pith_layerwise *run);
void pith_layerwise_free(pith_ctx *ctx, pith_layerwise *run);

/* For who wants more of a layer than its outcome: once step() has made run->unit PITH_LAYERWISE_HALVES, its weights are there and the first batch
 * is at hand. Weights may be replaced by other encodings of the same shapes, if replan() follows. */
pith_status pith_layerwise_replan(pith_ctx *ctx, pith_layerwise *run);
/* The first batch again: rows run->row … + n_batch, spans. False: there is none. */
bool pith_layerwise_rewind(pith_layerwise *run);
bool pith_layerwise_next_batch(pith_layerwise *run);
/* The rows have gone through the layer, by whatever means: the next stage is to be read. */
pith_status pith_layerwise_next_stage(pith_ctx *ctx, pith_layerwise *run);
/* In [0, 1] */
double pith_layerwise_progress(const pith_layerwise *run);

/* After PITH_OK, for models with outputs: the head by chunks of at most chunk_rows of its rows (a multiple of 8). */
enum { PITH_HEAD_ROWS = 64 };
/* A chunk that stays short: rows of the head, of n_outputs. */
uint32_t pith_layerwise_head_chunk(const pith_config *config, uint32_t n_outputs);
pith_status pith_layerwise_head_begin(pith_ctx *ctx, pith_layerwise *run, uint32_t chunk_rows);
/* Reads logits' [first, first + n) rows of the head. */
pith_status pith_layerwise_head_read(pith_ctx *ctx, pith_layerwise *run, uint32_t first, uint32_t n);
/* Those logits for n_rows (at most PITH_HEAD_ROWS) rows x: (n_rows, hidden). dst: rows of chunk_rows floats */
void pith_layerwise_head_logits(pith_layerwise *run, const float *x, uint32_t n_rows, float *dst);

#endif
