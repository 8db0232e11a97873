#include "eval/layerwise.h"

#include <string.h>

enum { BATCH_ROWS = 128, TOKEN_CHUNK_BYTES = 1 << 16, HEAD_FLOATS = 1 << 18, MAX_HEAD_CHUNK = 2048 };

static bool is_causal(const pith_config *c) { return c->family->task == PITH_TASK_GENERATE; }

static void drop_matrix(pith_ctx *ctx, pith_layerwise *run) {
  pith_weight_reader_close(ctx, &run->matrix);
  pith_free(ctx, run->codes);
  pith_free(ctx, run->scales);
  pith_free(ctx, run->places);
  pith_free(ctx, run->local_ids);
  pith_free(ctx, run->one_row);
  run->codes = run->scales = NULL;
  run->places = run->local_ids = NULL;
  run->one_row = NULL;
}

static void drop_stage(pith_ctx *ctx, pith_layerwise *run) {
  drop_matrix(ctx, run);
  pith_arena_free(ctx, &run->arena);
  pith_stage_reader_close(ctx, &run->reader);
  pith_weights_free(ctx, &run->weights);
}

void pith_layerwise_free(pith_ctx *ctx, pith_layerwise *run) {
  drop_stage(ctx, run);
  pith_free(ctx, run->x);
  pith_free(ctx, run->spans);
  memset(run, 0, sizeof *run);
}

static pith_status begin_stage(pith_ctx *ctx, pith_layerwise *run, int32_t stage) {
  const bool outer = stage < 0 || stage >= run->source->model->config.n_layers;
  const pith_layer_shape *layers = run->source->model->config.layers;
  drop_stage(ctx, run);
  run->stage = stage;
  run->unit = PITH_LAYERWISE_READ;
  run->config.layers = outer || !layers ? NULL : layers + stage;   /* its only layer */
  memset(run->limits, 0, sizeof run->limits);
  if (stage < 0) {
    run->limits[PITH_EMBED_POSITIONS] = run->longest + (uint32_t)run->config.position_offset;
    run->limits[PITH_EMBED_TYPES] = 2;
  } else if (outer && run->config.head) {
    run->limits[PITH_HEAD_DENSE] = (uint32_t)run->config.hidden_size;
  }
  return pith_stage_reader_begin(ctx, &run->reader, run->source, stage, outer ? run->limits : NULL, &run->weights);
}

pith_status pith_layerwise_begin(pith_ctx *ctx, pith_layerwise *run, pith_source *source, const int32_t *ids, const pith_span *sequences,
                                 uint32_t n_sequences) {
  pith_layerwise_free(ctx, run);
  run->source = source;
  run->config = source->model->config;
  run->config.n_layers = 1;
  run->ids = ids;
  run->sequences = sequences;
  run->n_sequences = n_sequences;
  for (uint32_t i = 0; i < n_sequences; i++) {
    run->n_rows += sequences[i].n_rows;
    if (sequences[i].n_rows > run->longest) run->longest = sequences[i].n_rows;
  }
  run->unit = PITH_LAYERWISE_DONE;
  if (run->n_rows == 0) return PITH_OK;
  /* sequences of encoders stay whole, since each token sees all others; a decoder's may go on in the next batch */
  run->max_rows = is_causal(&run->config) || run->longest < BATCH_ROWS ? BATCH_ROWS : run->longest;
  if (run->max_rows > run->n_rows) run->max_rows = run->n_rows;
  PITH_TRY(pith_calloc(ctx, run->n_rows, (size_t)run->config.hidden_size * sizeof *run->x, &run->x));
  PITH_TRY(pith_calloc(ctx, run->max_rows, sizeof *run->spans, &run->spans));
  return begin_stage(ctx, run, -1);
}

/* Opens the embedding or the head, with room for so many of its rows. */
static pith_status open_matrix(pith_ctx *ctx, pith_layerwise *run, int32_t stage, uint32_t id, uint32_t chunk_rows) {
  PITH_TRY(pith_weight_reader_open(ctx, &run->matrix, run->source, stage, id));
  run->chunk_rows = chunk_rows ? chunk_rows : pith_weight_reader_rows_of(&run->matrix, TOKEN_CHUNK_BYTES);
  PITH_TRY(pith_malloc(ctx, (size_t)pith_matrix_code_bytes(&run->matrix.matrix, run->chunk_rows), &run->codes));
  return pith_malloc(ctx, (size_t)pith_matrix_scale_bytes(&run->matrix.matrix, run->chunk_rows), &run->scales);
}

/* A matrix of the weights at hand with one part. */
static pith_status set_matrix(pith_ctx *ctx, pith_layerwise *run, int32_t place, uint32_t id, pith_matrix shape, uint32_t n_rows, const void *codes,
                              const void *scales) {
  pith_part *part;
  PITH_TRY(pith_weights_take(ctx, &run->weights, sizeof *part, &part));
  *part = (pith_part){.n_rows = n_rows, .codes = codes, .scales = scales};
  shape.rows = n_rows;
  shape.n_parts = 1;
  shape.parts = part;
  pith_weights_stage(&run->weights, place)->weights[id].matrix = shape;
  return PITH_OK;
}

/* The block's tokens get a table of their own, in order of their ids, so that the large one is read once and in order. */
static pith_status begin_tokens(pith_ctx *ctx, pith_layerwise *run) {
  const pith_config *c = &run->config;
  const size_t vocab = (size_t)c->vocab_size, h = (size_t)c->hidden_size;
  int32_t n = 0;
  PITH_TRY(open_matrix(ctx, run, -1, PITH_EMBED_TOKENS, 0));
  PITH_TRY(pith_malloc(ctx, vocab * sizeof *run->places, &run->places));
  PITH_TRY(pith_calloc(ctx, run->n_rows, sizeof *run->local_ids, &run->local_ids));
  PITH_TRY(pith_calloc(ctx, h, sizeof *run->one_row, &run->one_row));
  memset(run->places, 0xff, vocab * sizeof *run->places);
  for (uint32_t i = 0; i < run->n_rows; i++) run->places[run->ids[i]] = 0;
  for (size_t id = 0; id < vocab; id++)
    if (run->places[id] == 0) run->places[id] = n++;
  for (uint32_t i = 0; i < run->n_rows; i++) run->local_ids[i] = run->places[run->ids[i]];
  const size_t rows = pith_round_up((size_t)n, PITH_PANEL);
  PITH_TRY(pith_weights_take(ctx, &run->weights, rows * h * sizeof *run->table, &run->table));
  run->next_id = 0;
  run->unit = PITH_LAYERWISE_TOKENS;
  return set_matrix(ctx, run, -1, PITH_EMBED_TOKENS, (pith_matrix){.encoding = PITH_ENC_F32, .scale_dtype = PITH_F32, .cols = (uint32_t)h}, (uint32_t)n,
                    run->table, NULL);
}

static pith_status step_tokens(pith_ctx *ctx, pith_layerwise *run, bool *done) {
  const int32_t vocab = run->config.vocab_size;
  const size_t h = (size_t)run->config.hidden_size;
  while (run->next_id < vocab && run->places[run->next_id] < 0) run->next_id++;
  *done = run->next_id == vocab;
  if (*done) return PITH_OK;
  const uint32_t first = (uint32_t)run->next_id / PITH_PANEL * PITH_PANEL, left = (uint32_t)vocab - first;
  const uint32_t n = left < run->chunk_rows ? left : run->chunk_rows;
  pith_part part = {.n_rows = n, .codes = run->codes, .scales = run->scales};
  pith_matrix chunk = run->matrix.matrix;
  chunk.n_parts = 1;
  chunk.parts = &part;
  PITH_TRY(pith_weight_reader_read(ctx, &run->matrix, first, n, run->codes, run->scales));
  for (; (uint32_t)run->next_id < first + n; run->next_id++) {
    const int32_t place = run->places[run->next_id];
    if (place < 0) continue;
    float *to = run->table + (size_t)place / PITH_PANEL * PITH_PANEL * h + (size_t)place % PITH_PANEL;
    pith_matrix_row(&chunk, (uint32_t)run->next_id - first, run->one_row);
    for (size_t k = 0; k < h; k++) to[k * PITH_PANEL] = run->one_row[k];
  }
  return PITH_OK;
}

static pith_status plan(pith_ctx *ctx, pith_layerwise *run, uint32_t max_rows, uint32_t context) {
  const pith_kernels *kernels = run->source->model->kernels;
  uint64_t n_bytes;
  if (!pith_forward_plan(ctx, &run->config, &run->weights, kernels, max_rows, context, &n_bytes))
    return pith_fail(ctx, PITH_E_MEMORY, "a context of %u tokens does not fit the address space", (unsigned)context);
  PITH_TRY(pith_arena_init(ctx, &run->arena, (size_t)n_bytes));
  return pith_forward_init(ctx, &run->forward, &run->config, &run->weights, kernels, max_rows, context, &run->arena);
}

/* The next rows, as many as fit; false when the block is through. */
bool pith_layerwise_next_batch(pith_layerwise *run) {
  run->row += run->n_batch;
  run->n_batch = run->n_spans = 0;
  while (run->sequence < run->n_sequences && run->n_batch < run->max_rows) {
    const uint32_t left = run->sequences[run->sequence].n_rows - run->position, room = run->max_rows - run->n_batch;
    const uint32_t n = left < room ? left : room;
    if (n < left && !is_causal(&run->config)) break;
    if (n > 0) run->spans[run->n_spans++] = (pith_span){run->n_batch, n, run->position};
    run->n_batch += n;
    run->position += n;
    if (n < left) break;
    run->sequence++;
    run->position = 0;
  }
  return run->n_batch > 0;
}

bool pith_layerwise_rewind(pith_layerwise *run) {
  run->row = run->n_batch = run->sequence = run->position = 0;
  return pith_layerwise_next_batch(run);
}

pith_status pith_layerwise_replan(pith_ctx *ctx, pith_layerwise *run) {
  pith_arena_free(ctx, &run->arena);
  return plan(ctx, run, run->max_rows, run->longest);
}

pith_status pith_layerwise_next_stage(pith_ctx *ctx, pith_layerwise *run) { return begin_stage(ctx, run, run->stage + 1); }

/* The stage is there: its first batch. */
static pith_status begin_batches(pith_ctx *ctx, pith_layerwise *run) {
  const int32_t n_layers = run->source->model->config.n_layers;
  PITH_TRY(plan(ctx, run, run->max_rows, run->longest));
  run->unit = run->stage < 0 ? PITH_LAYERWISE_EMBED : run->stage < n_layers ? PITH_LAYERWISE_HALVES : PITH_LAYERWISE_FINISH;
  (void)pith_layerwise_rewind(run);
  return PITH_OK;
}

/* After a batch: the next one, or the next stage. */
static pith_status advance(pith_ctx *ctx, pith_layerwise *run) {
  if (pith_layerwise_next_batch(run)) return PITH_PENDING;
  if (run->stage < run->source->model->config.n_layers) {
    PITH_TRY(begin_stage(ctx, run, run->stage + 1));
    return PITH_PENDING;
  }
  drop_stage(ctx, run);
  run->unit = PITH_LAYERWISE_DONE;
  return PITH_OK;
}

pith_status pith_layerwise_step(pith_ctx *ctx, pith_layerwise *run) {
  pith_forward *f = &run->forward;
  float *x = run->x ? run->x + (size_t)run->row * (size_t)run->config.hidden_size : NULL;
  bool done;
  switch (run->unit) {
    case PITH_LAYERWISE_READ: {
      const pith_status status = pith_stage_reader_step(ctx, &run->reader);
      if (status != PITH_OK) return status;
      PITH_TRY(run->stage < 0 ? begin_tokens(ctx, run) : begin_batches(ctx, run));
      return PITH_PENDING;
    }
    case PITH_LAYERWISE_TOKENS:
      PITH_TRY(step_tokens(ctx, run, &done));
      if (done) PITH_TRY(begin_batches(ctx, run));
      return PITH_PENDING;
    case PITH_LAYERWISE_EMBED:
      pith_forward_resume(f, x, run->n_batch, run->spans, run->n_spans);
      f->types = run->types ? run->types + run->row : NULL;
      pith_forward_begin(f, run->local_ids + run->row, run->n_batch, run->spans, run->n_spans);
      return advance(ctx, run);
    case PITH_LAYERWISE_HALVES:
      pith_forward_resume(f, x, run->n_batch, run->spans, run->n_spans);
      if (!pith_forward_half(f, run->half)) return PITH_PENDING;
      run->half = 1 - run->half;
      if (run->half == 1) return PITH_PENDING;
      return advance(ctx, run);
    case PITH_LAYERWISE_FINISH:
      pith_forward_resume(f, x, run->n_batch, run->spans, run->n_spans);
      pith_forward_finish(f);
      if (run->config.head) pith_head_rows(f, run->n_batch, f->x);
      return advance(ctx, run);
    case PITH_LAYERWISE_DONE: break;
  }
  return PITH_OK;
}

double pith_layerwise_progress(const pith_layerwise *run) {
  const int32_t n_layers = run->source ? run->source->model->config.n_layers : 0;
  if (run->unit == PITH_LAYERWISE_DONE || run->stage >= n_layers) return 1.0;
  if (run->stage < 0) return 0.0;
  const double rows = run->unit == PITH_LAYERWISE_HALVES ? (double)run->row + 0.5 * run->half * (double)run->n_batch : 0.0;
  return ((double)run->stage + rows / (double)run->n_rows) / (double)n_layers;
}

static pith_status read_head_bias(pith_ctx *ctx, pith_layerwise *run) {
  pith_weight_reader reader = {0};
  float *bias;
  PITH_TRY(pith_weights_take(ctx, &run->weights, (size_t)pith_head_outputs(&run->config) * sizeof *bias, &bias));
  pith_status status = pith_weight_reader_open(ctx, &reader, run->source, run->source->model->config.n_layers, PITH_HEAD_BIAS);
  if (status == PITH_OK) status = pith_weight_reader_read(ctx, &reader, 0, 1, bias, NULL);
  pith_weight_reader_close(ctx, &reader);
  run->head_bias = bias;
  return status;
}

uint32_t pith_layerwise_head_chunk(const pith_config *config, uint32_t n_outputs) {
  const uint32_t wished = HEAD_FLOATS / (uint32_t)config->hidden_size / PITH_PANEL * PITH_PANEL, all = (uint32_t)pith_round_up(n_outputs, PITH_PANEL);
  const uint32_t rows = wished < PITH_PANEL ? PITH_PANEL : wished > MAX_HEAD_CHUNK ? MAX_HEAD_CHUNK : wished;
  return rows < all ? rows : all;
}

pith_status pith_layerwise_head_begin(pith_ctx *ctx, pith_layerwise *run, uint32_t chunk_rows) {
  drop_stage(ctx, run);
  PITH_TRY(pith_weights_init(ctx, &run->weights, 1));
  if (run->config.tied) PITH_TRY(open_matrix(ctx, run, -1, PITH_EMBED_TOKENS, chunk_rows));
  else PITH_TRY(open_matrix(ctx, run, run->source->model->config.n_layers, PITH_HEAD, chunk_rows));
  PITH_TRY(set_matrix(ctx, run, 1, PITH_HEAD, run->matrix.matrix, chunk_rows, run->codes, run->scales));
  run->head_bias = NULL;
  if (run->config.head) PITH_TRY(read_head_bias(ctx, run));
  return plan(ctx, run, PITH_HEAD_ROWS, PITH_PANEL);
}

pith_status pith_layerwise_head_read(pith_ctx *ctx, pith_layerwise *run, uint32_t first, uint32_t n) {
  pith_matrix *head = &pith_weights_stage(&run->weights, 1)->weights[PITH_HEAD].matrix;
  head->rows = head->parts->n_rows = n;
  run->head_first = first;
  return pith_weight_reader_read(ctx, &run->matrix, first, n, run->codes, run->scales);
}

void pith_layerwise_head_logits(pith_layerwise *run, const float *x, uint32_t n_rows, float *dst) {
  const pith_matrix *head = &pith_weights_stage(&run->weights, 1)->weights[PITH_HEAD].matrix;
  const size_t h = (size_t)run->config.hidden_size;
  pith_forward_product(&run->forward, head, run->head_bias ? run->head_bias + run->head_first : NULL, n_rows, x, h, dst, run->chunk_rows);
}
