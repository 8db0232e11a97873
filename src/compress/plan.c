#include "compress/plan.h"

#include <math.h>
#include <string.h>

#include "base/format.h"
#include "compress/combine.h"
#include "compress/optimize.h"

/* What a package says of itself, in bytes, a little generously: texts of manifest, shards' headers and the recipe in the manifest. */
enum { MANIFEST_BYTES = 4096, MATRIX_BYTES = 640, VECTOR_BYTES = 280, MATRIX_NAMES = 6, VECTOR_NAMES = 3 };

pith_status pith_plan_begin(pith_ctx *ctx, pith_plan *p, const pith_plan_options *options) {
  memset(p, 0, sizeof *p);
  p->options = *options;
  if (options->budget == PITH_BUDGET_MS) p->options.times = true;
  PITH_TRY(pith_checkpoint_open(ctx, options->source, &p->checkpoint));
  const char *metric = p->checkpoint.config.family->task == PITH_TASK_EMBED ? "cosine" : "kl";
  if (options->metric && strcmp(options->metric, metric) != 0)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the loss of this model is measured by \"%s\", not by \"%.40s\"", metric, options->metric);
  p->parent.config = p->checkpoint.config;
  p->parent.kernels = options->kernels;
  PITH_TRY(pith_model_checkpoint_tokenizer(ctx, &p->checkpoint, &p->parent.tokenizer));
  p->source = pith_source_checkpoint(&p->parent, &p->checkpoint);
  const pith_texts *texts = options->texts;
  if (!texts) {
    const char *defaults = pith_default_texts();
    PITH_TRY(pith_texts_split(ctx, defaults, strlen(defaults), &p->default_texts));
    texts = &p->default_texts;
  }
  PITH_TRY(pith_calloc(ctx, 2 * (size_t)p->checkpoint.config.n_layers, sizeof *p->sizes, &p->sizes));
  if (options->prunes && !options->calibrated) return pith_fail(ctx, PITH_E_ARGUMENT, "pruning is planned by what the model reads: give texts to calibrate with");
  PITH_TRY(pith_sensitivity_begin(ctx, &p->sensitivity, &p->checkpoint, &p->source, options->attention, texts, options->calibrated));
  return options->prunes ? pith_sensitivity_prune(ctx, &p->sensitivity) : PITH_OK;
}

void pith_plan_free(pith_ctx *ctx, pith_plan *p) {
  pith_sensitivity_free(ctx, &p->sensitivity);
  pith_cost_free(ctx, &p->cost);
  pith_free(ctx, p->timed);
  pith_free(ctx, p->sizes);
  pith_source_close(ctx, &p->source);
  pith_model_close(ctx, &p->parent);
  pith_checkpoint_close(ctx, &p->checkpoint);
  pith_texts_free(ctx, &p->default_texts);
  pith_free(ctx, p->chosen);
  pith_json_free(p->recipe);
  memset(p, 0, sizeof *p);
}

static pith_status count_fixed(pith_ctx *ctx, pith_plan *p) {
  pith_buffer text = {0};
  pith_status status = pith_checkpoint_tokenizer(ctx, &p->checkpoint, &text);
  if (status == PITH_OK) status = pith_json_print(ctx, p->checkpoint.config_json, true, &text);
  p->fixed_bytes = MANIFEST_BYTES + (double)text.n_bytes;
  pith_buffer_free(ctx, &text);
  PITH_TRY(status);
  const pith_config *config = &p->checkpoint.config;
  pith_slot slots[PITH_MAX_SLOTS];
  for (int32_t stage = -1; stage <= config->n_layers; stage++) {
    const uint32_t n = config->family->slots(config, stage, slots);
    for (uint32_t i = 0; i < n; i++) {
      const double name = (double)strlen(slots[i].name);
      if (slots[i].role == PITH_ROLE_VECTOR) p->fixed_bytes += (double)pith_round_up(slots[i].cols * sizeof(float), PITH_ALIGN) + VECTOR_BYTES + VECTOR_NAMES * name;
      else p->fixed_bytes += MATRIX_BYTES + MATRIX_NAMES * name;
      pith_recipe_rule rule;
      const double weights = (double)slots[i].rows * slots[i].cols;
      if (slots[i].role == PITH_ROLE_LABELS) p->fixed_bytes += weights * sizeof(uint16_t) + PITH_ALIGN * PITH_PANEL;
      else if (pith_sensitivity_fixed(config, stage, &slots[i], &rule)) p->fixed_bytes += weights * 8.25 / 8 + PITH_ALIGN * PITH_PANEL;
    }
  }
  return PITH_OK;
}

/* ---- sizes ---- */

/* The half-layer of a tensor that may shrink with it; -1: it has none. */
static int32_t half_of(const pith_plan *p, const pith_tensor_choices *t) {
  const pith_config *config = &p->checkpoint.config;
  if (!p->options.prunes || t->stage < 0 || t->stage >= config->n_layers) return -1;
  return 2 * t->stage + pith_forward_half_of(config, t->slot.id);
}

static uint32_t sizes_of(const pith_plan *p, int32_t half) { return half < 0 ? 1 : p->sensitivity.structures.halves[half].n; }

/* The tensor when its half-layer has that size: rows of what makes the units, columns of what reads them. */
static pith_slot slot_at(const pith_plan *p, const pith_tensor_choices *t, uint32_t size) {
  pith_slot slot = t->slot;
  const int32_t half = half_of(p, t);
  if (half < 0 || size == 0) return slot;
  const pith_half_sizes *h = &p->sensitivity.structures.halves[half];
  uint32_t *side = slot.id == pith_structures_reader(half % 2) ? &slot.cols : &slot.rows;
  *side = *side / (uint32_t)h->n_units * (uint32_t)h->kept[size];
  return slot;
}

static pith_layer_shape shape_at(const pith_plan *p, int32_t layer, int half, uint32_t size) {
  pith_layer_shape shape = pith_layer_shape_of(&p->checkpoint.config, layer);
  if (size == 0) return shape;
  const int32_t kept = p->sensitivity.structures.halves[2 * layer + half].kept[size];
  if (half == 1) shape.intermediate_size = kept;
  else shape = (pith_layer_shape){shape.n_heads / shape.n_kv_heads * kept, kept, shape.intermediate_size};
  return shape;
}

static double bytes_at(const pith_plan *p, uint32_t tensor, uint32_t size, uint32_t choice) {
  const pith_tensor_choices *t = &p->sensitivity.tensors[tensor];
  const pith_slot slot = slot_at(p, t, size);
  return size == 0 ? (double)t->choices[choice].n_bytes : (double)pith_sensitivity_bytes(&slot, &t->choices[choice].rule);
}

/* ---- times ---- */

static bool times_matrix(const pith_tensor_choices *t) { return t->slot.role == PITH_ROLE_MATRIX || t->slot.role == PITH_ROLE_HEAD; }
static uint32_t *timed_at(const pith_plan *p, uint32_t tensor, uint32_t size, uint32_t choice) {
  return &p->timed[(tensor * PITH_MAX_SIZES + size) * PITH_MAX_CHOICES + choice];
}

static double ms_at(const pith_plan *p, uint32_t tensor, uint32_t size, uint32_t choice) {
  return p->options.times && times_matrix(&p->sensitivity.tensors[tensor]) ? p->cost.timed[*timed_at(p, tensor, size, choice)].ms : 0.0;
}

/* Products of the layers in every way and size, a head's one row, and what half-layers do beside. Looking rows of tables up is not counted. */
static pith_status begin_times(pith_ctx *ctx, pith_plan *p) {
  const pith_config *config = &p->checkpoint.config;
  const pith_sensitivity *s = &p->sensitivity;
  const int32_t most = config->max_positions - (config->family->task == PITH_TASK_GENERATE);
  const uint32_t usual = most < PITH_COST_TOKENS ? (uint32_t)most : PITH_COST_TOKENS;
  uint32_t index;
  p->n_threads = pith_parallel_threads(ctx->parallel);
  PITH_TRY(pith_cost_begin(ctx, &p->cost, config, p->options.kernels, p->options.attention, p->options.tokens ? p->options.tokens : usual));
  PITH_TRY(pith_calloc(ctx, s->n_tensors, PITH_MAX_SIZES * PITH_MAX_CHOICES * sizeof *p->timed, &p->timed));
  for (int32_t layer = 0; layer < config->n_layers; layer++)
    for (int half = config->parallel; half < 2; half++)
      for (uint32_t k = 0; k < sizes_of(p, p->options.prunes ? 2 * layer + half : -1); k++) PITH_TRY(pith_cost_half(ctx, &p->cost, half, shape_at(p, layer, half, k), &index));
  for (uint32_t i = 0; i < s->n_tensors; i++) {
    const pith_tensor_choices *t = &s->tensors[i];
    const uint32_t n_rows = t->stage >= 0 && t->stage < config->n_layers ? 0 : 1;
    for (uint32_t k = 0; k < sizes_of(p, half_of(p, t)) && times_matrix(t); k++) {
      const pith_slot slot = slot_at(p, t, k);
      for (uint32_t c = 0; c < t->n; c++) PITH_TRY(pith_cost_product(ctx, &p->cost, slot.rows, slot.cols, &t->choices[c].rule, n_rows, timed_at(p, i, k, c)));
    }
  }
  return PITH_OK;
}

/* ---- what was chosen ---- */

static uint32_t size_of(const pith_plan *p, uint32_t tensor) {
  const int32_t half = half_of(p, &p->sensitivity.tensors[tensor]);
  return half < 0 ? 0 : p->sizes[half];
}

static double bytes_of(const pith_plan *p, uint32_t tensor) { return bytes_at(p, tensor, size_of(p, tensor), p->chosen[tensor]); }

/* Of storing it, in proportion to what stays of it. */
static double loss_of(const pith_plan *p, uint32_t tensor) {
  const pith_tensor_choices *t = &p->sensitivity.tensors[tensor];
  const int32_t half = half_of(p, t);
  const double loss = t->choices[p->chosen[tensor]].loss;
  if (half < 0) return loss;
  const pith_half_sizes *h = &p->sensitivity.structures.halves[half];
  return loss * h->kept[p->sizes[half]] / h->n_units;
}

/* ---- the recipe ---- */

static const char *kind_of(pith_role role) { return role == PITH_ROLE_TABLE ? "tables" : role == PITH_ROLE_HEAD ? "head" : "matrices"; }

/* The choice that most tensors of a role have; rules of a role come in one order. */
static uint32_t commonest(const pith_plan *p, pith_role role) {
  uint32_t counts[PITH_MAX_CHOICES] = {0}, best = 0;
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++)
    if (p->sensitivity.tensors[i].slot.role == role) counts[p->chosen[i]]++;
  for (uint32_t c = 1; c < PITH_MAX_CHOICES; c++)
    if (counts[c] > counts[best]) best = c;
  return best;
}

static void describe(const pith_plan *p, char *out, size_t capacity) {
  const double limit = p->options.limit;
  if (p->options.budget == PITH_BUDGET_BYTES) pith_snprintf(out, capacity, "Chosen by pith plan for at most %.0f bytes.", limit);
  else if (p->options.budget == PITH_BUDGET_LOSS) pith_snprintf(out, capacity, "Chosen by pith plan for a loss of at most %g.", limit);
  else
    pith_snprintf(out, capacity, "Chosen by pith plan for at most %g ms; %.4g ms are predicted for a %s %u tokens, on %u threads with the kernels %s, and a loss of %.4g.", limit, p->ms,
                  p->checkpoint.config.family->task == PITH_TASK_GENERATE ? "step after" : "text of", (unsigned)p->cost.tokens, (unsigned)p->n_threads,
                  p->options.kernels->name, p->loss);
}

/* A fraction for every layer, in four decimals: they lead to the same sizes. */
static void write_prune(const pith_plan *p, pith_json *recipe) {
  static const char *const keys[] = {"heads", "neurons"};
  pith_json *prune = pith_json_new_object();
  bool any = false;
  for (int half = 0; half < 2; half++) {
    pith_json *list = pith_json_new_array();
    for (int32_t layer = 0; layer < p->checkpoint.config.n_layers; layer++) {
      const pith_half_sizes *h = &p->sensitivity.structures.halves[2 * layer + half];
      const uint32_t size = p->sizes[2 * layer + half];
      any = any || size > 0;
      pith_json_add_number(list, NULL, rint(1e4 * (h->n_units - h->kept[size]) / h->n_units) / 1e4);
    }
    pith_json_add(prune, keys[half], list);
  }
  if (any) pith_json_add(recipe, "prune", prune);
  else pith_json_free(prune);
}

static void write_recipe(pith_plan *p) {
  const pith_sensitivity *s = &p->sensitivity;
  static const pith_role roles[] = {PITH_ROLE_MATRIX, PITH_ROLE_HEAD, PITH_ROLE_TABLE};
  char text[320];
  pith_json *recipe = pith_json_new_object(), *tensors = pith_json_new_array();
  pith_json_add_string(recipe, "name", "planned");
  describe(p, text, sizeof text);
  pith_json_add_string(recipe, "description", text);
  uint32_t usual[PITH_ROLE_TABLE + 1] = {0};
  for (size_t r = 0; r < sizeof roles / sizeof *roles; r++) {
    const uint32_t common = usual[roles[r]] = commonest(p, roles[r]);
    const pith_tensor_choices *any = NULL;
    for (uint32_t i = 0; i < s->n_tensors && !any; i++)
      if (s->tensors[i].slot.role == roles[r]) any = &s->tensors[i];
    if (any) pith_json_add(recipe, kind_of(roles[r]), pith_rule_print(&any->choices[common].rule, NULL));
    else if (roles[r] == PITH_ROLE_TABLE) pith_json_add(recipe, "tables", pith_rule_print(&(pith_recipe_rule){.encoding = PITH_ENC_U8_ROW}, NULL));
  }
  for (uint32_t i = 0; i < s->n_tensors; i++)
    if (p->chosen[i] != usual[s->tensors[i].slot.role]) pith_json_add(tensors, NULL, pith_rule_print(&s->tensors[i].choices[p->chosen[i]].rule, s->tensors[i].slot.name));
  const pith_config *config = &p->checkpoint.config;
  pith_slot slots[PITH_MAX_SLOTS];
  pith_recipe_rule rule;
  for (uint32_t i = 0, n = config->family->slots(config, config->n_layers, slots); i < n; i++)
    if (pith_sensitivity_fixed(config, config->n_layers, &slots[i], &rule)) pith_json_add(tensors, NULL, pith_rule_print(&rule, slots[i].name));
  if (pith_json_first(tensors)) pith_json_add(recipe, "tensors", tensors);
  else pith_json_free(tensors);
  if (p->options.prunes) write_prune(p, recipe);
  pith_json_add_string(recipe, "attention", pith_attention_name(p->options.attention));
  pith_json_free(p->recipe);
  p->recipe = recipe;
}

static void add_up(pith_plan *p) {
  const pith_config *config = &p->checkpoint.config;
  double bits = 0.0, weights = 0.0;
  p->bytes = p->fixed_bytes;
  p->loss = p->fixed_ms = 0.0;
  for (int32_t i = 0; i < 2 * config->n_layers; i++) {
    if (p->options.prunes) p->loss += p->sensitivity.structures.halves[i].losses[p->sizes[i]];
    if (p->options.times && !(config->parallel && i % 2 == 0)) p->fixed_ms += pith_cost_rest(&p->cost, i % 2, shape_at(p, i / 2, i % 2, p->sizes[i]));
  }
  p->ms = p->fixed_ms;
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++) {
    const double bytes = bytes_of(p, i);
    const pith_slot slot = slot_at(p, &p->sensitivity.tensors[i], size_of(p, i));
    p->bytes += bytes;
    p->loss += loss_of(p, i);
    p->ms += ms_at(p, i, size_of(p, i), p->chosen[i]);
    if (p->sensitivity.tensors[i].slot.role != PITH_ROLE_MATRIX) continue;
    bits += 8.0 * bytes;
    weights += (double)slot.rows * slot.cols;
  }
  p->bits = weights > 0.0 ? bits / weights : 0.0;
}

/* What choosing works with. */
typedef struct chooser {
  pith_group *groups;                    /* (tensors); of a half that may shrink one, at its first tensor's place */
  double *values;                        /* (tensors, 2, PITH_MAX_GROUP) costs, losses */
  pith_combination *combinations;        /* (tensors, PITH_MAX_GROUP) */
} chooser;

static double cost_at(const pith_plan *p, uint32_t tensor, uint32_t size, uint32_t choice) {
  return p->options.budget == PITH_BUDGET_MS ? ms_at(p, tensor, size, choice) : bytes_at(p, tensor, size, choice);
}

/* Tensors of one half lie together. Those of other halves, and what belongs to none, are alone. */
static uint32_t together(const pith_plan *p, uint32_t tensor) {
  const pith_sensitivity *s = &p->sensitivity;
  const int32_t half = half_of(p, &s->tensors[tensor]);
  uint32_t n = 1;
  while (half >= 0 && tensor + n < s->n_tensors && half_of(p, &s->tensors[tensor + n]) == half) n++;
  return n;
}

static uint32_t list_choices(const pith_plan *p, uint32_t tensor, uint32_t n, pith_combination *out) {
  const pith_tensor_choices *t = &p->sensitivity.tensors[tensor];
  const int32_t half = half_of(p, t);
  double costs[PITH_MAX_SIZES * PITH_MAX_COMBINED * PITH_MAX_CHOICES], fixed[PITH_MAX_SIZES] = {0};
  if (half < 0) {
    for (uint32_t c = 0; c < t->n; c++) out[c] = (pith_combination){cost_at(p, tensor, 0, c), t->choices[c].loss, 0, {(uint8_t)c}};
    return t->n;
  }
  const pith_half_sizes *h = &p->sensitivity.structures.halves[half];
  for (uint32_t k = 0; k < h->n; k++) {
    if (p->options.budget == PITH_BUDGET_MS) fixed[k] = pith_cost_rest(&p->cost, half % 2, shape_at(p, half / 2, half % 2, k));
    for (uint32_t i = 0; i < n; i++)
      for (uint32_t c = 0; c < t[i].n; c++) costs[(k * n + i) * PITH_MAX_CHOICES + c] = cost_at(p, tensor + i, k, c);
  }
  return pith_combine(h, t, n, costs, fixed, out);
}

/* What is spent whatever is chosen. */
static double fixed_of(const pith_plan *p) {
  if (p->options.budget == PITH_BUDGET_BYTES) return p->fixed_bytes;
  double rest = 0.0;
  for (int32_t i = 0; i < 2 * p->checkpoint.config.n_layers && p->options.budget == PITH_BUDGET_MS && !p->options.prunes; i++)
    if (!(p->checkpoint.config.parallel && i % 2 == 0)) rest += pith_cost_rest(&p->cost, i % 2, shape_at(p, i / 2, i % 2, 0));
  return rest;
}

static pith_status choose(pith_ctx *ctx, pith_plan *p, chooser *w) {
  const pith_sensitivity *s = &p->sensitivity;
  const pith_budget budget = p->options.budget;
  uint32_t n_groups = 0;
  for (uint32_t i = 0; i < s->n_tensors; i += together(p, i), n_groups++) {
    pith_combination *list = w->combinations + (size_t)n_groups * PITH_MAX_GROUP;
    double *costs = w->values + (size_t)n_groups * 2 * PITH_MAX_GROUP, *losses = costs + PITH_MAX_GROUP;
    const uint32_t n = list_choices(p, i, together(p, i), list);
    for (uint32_t c = 0; c < n; c++) {
      costs[c] = list[c].cost;
      losses[c] = list[c].loss;
    }
    w->groups[n_groups] = (pith_group){n, budget == PITH_BUDGET_LOSS ? losses : costs, budget == PITH_BUDGET_LOSS ? costs : losses, 0};
  }
  const pith_status status = pith_optimize(ctx, w->groups, n_groups, p->options.limit - fixed_of(p), &p->gap);
  if (status != PITH_OK && status != PITH_E_LIMIT) return status;
  for (uint32_t i = 0, g = 0; i < s->n_tensors; g++) {
    const pith_combination *c = &w->combinations[(size_t)g * PITH_MAX_GROUP + w->groups[g].chosen];
    const uint32_t n = together(p, i);
    if (half_of(p, &s->tensors[i]) >= 0) p->sizes[half_of(p, &s->tensors[i])] = c->size;
    for (uint32_t k = 0; k < n; k++) p->chosen[i++] = c->choices[k];
  }
  add_up(p);
  write_recipe(p);
  if (status == PITH_OK) return PITH_OK;
  if (budget == PITH_BUDGET_MS)
    return pith_fail(ctx, PITH_E_LIMIT, "no recipe is predicted to take at most %g ms here; the fastest takes about %.3g", p->options.limit, p->ms);
  if (budget == PITH_BUDGET_BYTES)
    return pith_fail(ctx, PITH_E_LIMIT, "no recipe makes a package of at most %.0f bytes; the smallest is about %.0f", p->options.limit, p->bytes);
  return pith_fail(ctx, PITH_E_LIMIT, "no recipe keeps the loss to %g; the least is about %g, with %.0f bytes", p->options.limit, p->loss, p->bytes);
}

pith_status pith_plan_choose(pith_ctx *ctx, pith_plan *p, double limit) {
  const size_t n = p->sensitivity.n_tensors;
  chooser w = {0};
  p->options.limit = limit;
  if (!p->chosen) PITH_TRY(pith_calloc(ctx, n, sizeof *p->chosen, &p->chosen));
  pith_status status = pith_calloc(ctx, n, sizeof *w.groups, &w.groups);
  if (status == PITH_OK) status = pith_calloc(ctx, n, 2 * PITH_MAX_GROUP * sizeof *w.values, &w.values);
  if (status == PITH_OK) status = pith_calloc(ctx, n, PITH_MAX_GROUP * sizeof *w.combinations, &w.combinations);
  if (status == PITH_OK) status = choose(ctx, p, &w);
  pith_free(ctx, w.groups);
  pith_free(ctx, w.values);
  pith_free(ctx, w.combinations);
  return status;
}

pith_status pith_plan_step(pith_ctx *ctx, pith_plan *p) {
  pith_status status = pith_sensitivity_step(ctx, &p->sensitivity);
  if (status != PITH_OK) return status;
  if (p->options.times) {
    if (!p->timed) PITH_TRY(begin_times(ctx, p));
    status = pith_cost_step(ctx, &p->cost);
    if (status != PITH_OK) return status;
  }
  PITH_TRY(count_fixed(ctx, p));
  return pith_plan_choose(ctx, p, p->options.limit);
}

static void report_halves(const pith_plan *p, pith_json *out) {
  pith_json *halves = pith_json_new_array();
  for (uint32_t i = 0; i < p->sensitivity.structures.n_halves; i++) {
    const pith_half_sizes *h = &p->sensitivity.structures.halves[i];
    pith_json *half = pith_json_new_object();
    pith_json_add_number(half, "layer", i / 2);
    pith_json_add_string(half, "of", i % 2 ? "neurons" : "heads");
    pith_json_add_number(half, "kept", h->kept[p->sizes[i]]);
    pith_json_add_number(half, "all", h->n_units);
    pith_json_add_number(half, "loss", h->losses[p->sizes[i]]);
    pith_json_add(halves, NULL, half);
  }
  pith_json_add(out, "pruned", halves);
}

void pith_plan_report(const pith_plan *p, pith_json *out) {
  pith_json_add(out, "recipe", pith_json_copy(p->recipe));
  pith_json_add_number(out, "bytes", p->bytes);
  pith_json_add_number(out, "loss", p->loss);
  pith_json_add_number(out, "bits", p->bits);
  pith_json_add_number(out, "gap", p->gap);
  if (p->options.times) {
    pith_json *time = pith_json_new_object();
    pith_json_add_number(time, "tokens", p->cost.tokens);
    pith_json_add_number(time, "threads", p->n_threads);
    pith_json_add_string(time, "kernels", p->options.kernels->name);
    pith_json_add_number(time, "rest", p->fixed_ms);
    pith_json_add_number(out, "ms", p->ms);
    pith_json_add(out, "time", time);
  }
  pith_json *tensors = pith_json_new_array();
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++) {
    const pith_tensor_choices *t = &p->sensitivity.tensors[i];
    const pith_choice *c = &t->choices[p->chosen[i]];
    const pith_slot slot = slot_at(p, t, size_of(p, i));
    pith_json *tensor = pith_rule_print(&c->rule, t->slot.name);
    if (t->stage >= 0 && t->stage < p->checkpoint.config.n_layers) pith_json_add_number(tensor, "layer", t->stage);
    pith_json_add_number(tensor, "weights", (double)slot.rows * slot.cols);
    pith_json_add_number(tensor, "bytes", bytes_of(p, i));
    pith_json_add_number(tensor, "loss", loss_of(p, i));
    if (p->options.times) pith_json_add_number(tensor, "ms", ms_at(p, i, size_of(p, i), p->chosen[i]));
    pith_json_add(tensors, NULL, tensor);
  }
  pith_json_add(out, "tensors", tensors);
  if (p->options.prunes) report_halves(p, out);
  pith_json_add(out, "sensitivity", pith_sensitivity_print(&p->sensitivity));
}
