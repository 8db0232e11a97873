#include "model/weights.h"

#include <string.h>

/* Rows of a matrix that are read at a time: of tensors that are stored by their inputs, each input's outputs are a reading of their own. */
enum { CHUNK_PANELS = 8, CHUNK_ROWS = CHUNK_PANELS * PITH_PANEL };

pith_status pith_weights_init(pith_ctx *ctx, pith_weights *weights, int32_t n_layers) {
  memset(weights, 0, sizeof *weights);
  weights->n_stages = (uint32_t)n_layers + 2;
  return pith_calloc(ctx, weights->n_stages, sizeof *weights->stages, &weights->stages);
}

void pith_weights_free(pith_ctx *ctx, pith_weights *weights) {
  for (size_t i = 0; i < weights->n_owned; i++) pith_free(ctx, weights->owned[i]);
  pith_free(ctx, weights->owned);
  pith_free(ctx, weights->stages);
  memset(weights, 0, sizeof *weights);
}

pith_status pith_weights_take(pith_ctx *ctx, pith_weights *weights, size_t n_bytes, void *out_ptr) {
  if (weights->n_owned == weights->owned_capacity) {
    const size_t capacity = weights->owned_capacity ? 2 * weights->owned_capacity : 64;
    PITH_TRY(pith_realloc(ctx, &weights->owned, weights->n_owned * sizeof *weights->owned, capacity * sizeof *weights->owned));
    weights->owned_capacity = capacity;
  }
  uint8_t *block;
  PITH_TRY(pith_malloc(ctx, n_bytes + PITH_ALIGN, &block));
  weights->owned[weights->n_owned++] = block;
  weights->n_bytes += n_bytes;
  uint8_t *aligned = block + (PITH_ALIGN - (uintptr_t)block % PITH_ALIGN) % PITH_ALIGN;
  memcpy(out_ptr, &aligned, sizeof aligned);
  return PITH_OK;
}

void pith_weights_drop(pith_ctx *ctx, pith_weights *weights, const void *taken, size_t n_bytes) {
  for (size_t i = 0; i < weights->n_owned; i++) {
    const uintptr_t block = (uintptr_t)weights->owned[i];
    if (pith_round_up(block, PITH_ALIGN) != (uintptr_t)taken) continue;
    pith_free(ctx, weights->owned[i]);
    weights->owned[i] = weights->owned[--weights->n_owned];
    weights->n_bytes -= n_bytes;
    return;
  }
}

static uint64_t slot_floats(const pith_slot *slot) { return (uint64_t)slot->rows * slot->cols; }

pith_status pith_checkpoint_loader_init(pith_ctx *ctx, pith_checkpoint_loader *loader, pith_checkpoint *checkpoint, pith_weights *weights) {
  memset(loader, 0, sizeof *loader);
  loader->checkpoint = checkpoint;
  loader->weights = weights;
  loader->stage = -2;
  const pith_config *c = &checkpoint->config;
  uint32_t widest = 0;
  for (int32_t stage = -1; stage <= c->n_layers; stage++) {
    const uint32_t n = c->family->slots(c, stage, loader->slots);
    for (uint32_t i = 0; i < n; i++) {
      loader->total_bytes += slot_floats(&loader->slots[i]) * sizeof(float);
      if (loader->slots[i].cols > widest) widest = loader->slots[i].cols;
    }
  }
  loader->chunk_floats = (size_t)widest * CHUNK_ROWS;
  PITH_TRY(pith_weights_init(ctx, weights, c->n_layers));
  return pith_malloc(ctx, loader->chunk_floats * sizeof(float), &loader->chunk);
}

void pith_checkpoint_loader_free(pith_ctx *ctx, pith_checkpoint_loader *loader) {
  pith_free(ctx, loader->chunk);
  loader->chunk = NULL;
}

/* Moves to the next slot and makes its room; PITH_OK when there is none left. */
static pith_status begin_slot(pith_ctx *ctx, pith_checkpoint_loader *loader) {
  const pith_config *c = &loader->checkpoint->config;
  while (loader->slot >= loader->n_slots) {
    if (loader->stage == -2) loader->stage = -1;
    else loader->stage++;
    if (loader->stage > c->n_layers) return PITH_OK;
    loader->n_slots = c->family->slots(c, loader->stage, loader->slots);
    loader->slot = 0;
  }
  const pith_slot *slot = &loader->slots[loader->slot];
  const size_t rows = slot->role == PITH_ROLE_VECTOR ? 1 : pith_round_up(slot->rows, PITH_PANEL);
  uint64_t n_bytes;
  if (!pith_mul_u64(rows, (uint64_t)slot->cols * sizeof(float), &n_bytes) || n_bytes > SIZE_MAX / 2)
    return pith_fail(ctx, PITH_E_MEMORY, "tensor \"%s\" does not fit the address space", slot->name);
  PITH_TRY(pith_weights_take(ctx, loader->weights, (size_t)n_bytes, &loader->current));
  loader->row = 0;
  pith_weight *weight = &pith_weights_stage(loader->weights, loader->stage)->weights[slot->id];
  loader->weights->n_parameters += slot_floats(slot);
  if (slot->role == PITH_ROLE_VECTOR) {
    weight->vector = loader->current;
    return PITH_PENDING;
  }
  pith_part *part;
  PITH_TRY(pith_weights_take(ctx, loader->weights, sizeof *part, &part));
  *part = (pith_part){.n_rows = slot->rows, .codes = loader->current};
  weight->matrix = (pith_matrix){PITH_ENC_F32, PITH_F32, slot->rows, slot->cols, 0, 1, part};
  return PITH_PENDING;
}

pith_status pith_checkpoint_loader_step(pith_ctx *ctx, pith_checkpoint_loader *loader) {
  if (!loader->current) return begin_slot(ctx, loader);
  const pith_slot *slot = &loader->slots[loader->slot];
  const size_t cols = slot->cols;
  const pith_checkpoint_file *file;
  pith_tensor_entry entry;
  PITH_TRY(pith_checkpoint_need(ctx, loader->checkpoint, slot, &file, &entry));
  if (slot->role == PITH_ROLE_VECTOR) {
    PITH_TRY(pith_checkpoint_read(ctx, file, &entry, 0, cols, loader->current));
    loader->row = 1;
  } else {
    /* A step reads about 64 panels, so that it stays short. */
    for (int n = 0; n < 64 / CHUNK_PANELS && loader->row < slot->rows; n++) {
      const size_t left = (size_t)(slot->rows - loader->row), rows = left < CHUNK_ROWS ? left : CHUNK_ROWS;
      PITH_TRY(pith_checkpoint_panels(ctx, file, &entry, loader->row, rows, loader->chunk, loader->current + loader->row * cols));
      loader->row += rows;
      loader->done_bytes += rows * cols * sizeof(float);
    }
  }
  if (loader->row < slot->rows) return PITH_PENDING;
  loader->slot++;
  loader->current = NULL;
  return PITH_PENDING;
}
