#include "eval/per_layer.h"

#include "eval/metrics.h"

pith_status pith_per_layer_init(pith_ctx *ctx, pith_per_layer *p, const pith_model *model, const pith_model *parent) {
  const pith_config *a = &model->config, *b = &parent->config;
  if (a->hidden_size != b->hidden_size)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the models' rows have %d and %d numbers: there is no error by layer", (int)a->hidden_size, (int)b->hidden_size);
  const bool pruned = a->n_layers != b->n_layers;
  const int32_t n = pith_model_layers_before(model);
  if (pruned && n != pith_model_layers_before(parent))
    return pith_fail(ctx, PITH_E_ARGUMENT, "the models have %d and %d layers, and no recipe says which of them belong together",
                     (int)a->n_layers, (int)b->n_layers);
  PITH_TRY(pith_calloc(ctx, (size_t)n + 1, sizeof *p->items, &p->items));
  p->items[p->n++] = (pith_layer_error){.layers = {-1, -1}};
  for (int32_t i = 0; i < (pruned ? n : a->n_layers); i++) {
    const int32_t own = pruned ? pith_model_layer_now(model, i) : i, parents = pruned ? pith_model_layer_now(parent, i) : i;
    const pith_layer_error *last = &p->items[p->n - 1];
    if (own > last->layers[0] && parents > last->layers[1]) p->items[p->n++] = (pith_layer_error){.layers = {own, parents}};
  }
  return PITH_OK;
}

void pith_per_layer_free(pith_ctx *ctx, pith_per_layer *p) {
  pith_free(ctx, p->items);
  *p = (pith_per_layer){0};
}

static void compare(pith_per_layer *p, const pith_layerwise runs[2]) {
  pith_layer_error *item = &p->items[p->next];
  const size_t h = (size_t)runs[0].config.hidden_size;
  for (size_t row = 0; row < runs[0].n_rows; row++) {
    const float *x = runs[0].x + row * h, *y = runs[1].x + row * h;
    for (size_t k = 0; k < h; k++) {
      const double d = (double)x[k] - (double)y[k];
      item->error += d * d;
      item->norm += (double)y[k] * (double)y[k];
    }
    item->cosine_sum += pith_cosine(x, y, h);
  }
  if (p->next == 0) p->n_rows += runs[0].n_rows;
  p->next++;
}

pith_status pith_per_layer_step(pith_ctx *ctx, pith_per_layer *p, pith_layerwise runs[2]) {
  for (int i = 0; i < 2; i++) {
    pith_layerwise *run = &runs[i];
    /* rows are those after a layer while the next stage is to be read */
    const bool there = p->next < p->n && run->unit == PITH_LAYERWISE_READ && run->stage == p->items[p->next].layers[i] + 1;
    if (there || run->unit == PITH_LAYERWISE_DONE) continue;
    const pith_status status = pith_layerwise_step(ctx, run);
    return status == PITH_OK ? PITH_PENDING : status;
  }
  if (runs[0].unit != PITH_LAYERWISE_DONE) {
    compare(p, runs);
    return PITH_PENDING;
  }
  p->next = 0;
  return PITH_OK;
}

static void add_figures(const pith_per_layer *p, const pith_layer_error *item, pith_json *out) {
  pith_json_add_number(out, "error", item->norm > 0.0 ? item->error / item->norm : 0.0);
  pith_json_add_number(out, "cosine", p->n_rows > 0 ? item->cosine_sum / (double)p->n_rows : 1.0);
}

void pith_per_layer_report(const pith_per_layer *p, pith_json *out) {
  pith_json *embedding = pith_json_new_object(), *layers = pith_json_new_array();
  add_figures(p, &p->items[0], embedding);
  pith_json_add(out, "embedding", embedding);
  for (uint32_t i = 1; i < p->n; i++) {
    pith_json *layer = pith_json_new_object();
    pith_json_add_number(layer, "layer", p->items[i].layers[0]);
    pith_json_add_number(layer, "parent", p->items[i].layers[1]);
    add_figures(p, &p->items[i], layer);
    pith_json_add(layers, NULL, layer);
  }
  pith_json_add(out, "layers", layers);
}
