#include "compress/plan.h"

#include <string.h>

#include "base/format.h"
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
  return pith_sensitivity_begin(ctx, &p->sensitivity, &p->checkpoint, &p->source, options->attention, texts, options->calibrated);
}

void pith_plan_free(pith_ctx *ctx, pith_plan *p) {
  pith_sensitivity_free(ctx, &p->sensitivity);
  pith_cost_free(ctx, &p->cost);
  pith_free(ctx, p->timed);
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

/* ---- times ---- */

static bool times_matrix(const pith_tensor_choices *t) { return t->slot.role == PITH_ROLE_MATRIX || t->slot.role == PITH_ROLE_HEAD; }

/* Products of the layers in every way, a head's one row, and what half-layers do beside. Looking rows of tables up is not counted. */
static pith_status begin_times(pith_ctx *ctx, pith_plan *p) {
  const pith_config *config = &p->checkpoint.config;
  const pith_sensitivity *s = &p->sensitivity;
  const int32_t most = config->max_positions - (config->family->task == PITH_TASK_GENERATE);
  const uint32_t usual = most < PITH_COST_TOKENS ? (uint32_t)most : PITH_COST_TOKENS;
  uint32_t index;
  p->n_threads = pith_parallel_threads(ctx->parallel);
  PITH_TRY(pith_cost_begin(ctx, &p->cost, config, p->options.kernels, p->options.attention, p->options.tokens ? p->options.tokens : usual));
  PITH_TRY(pith_calloc(ctx, s->n_tensors, PITH_MAX_CHOICES * sizeof *p->timed, &p->timed));
  for (int32_t layer = 0; layer < config->n_layers; layer++)
    for (int half = config->parallel; half < 2; half++) PITH_TRY(pith_cost_half(ctx, &p->cost, half, pith_layer_shape_of(config, layer), &index));
  for (uint32_t i = 0; i < s->n_tensors; i++) {
    const pith_tensor_choices *t = &s->tensors[i];
    const uint32_t n_rows = t->stage >= 0 && t->stage < config->n_layers ? 0 : 1;
    for (uint32_t c = 0; c < t->n && times_matrix(t); c++)
      PITH_TRY(pith_cost_product(ctx, &p->cost, t->slot.rows, t->slot.cols, &t->choices[c].rule, n_rows, &p->timed[i * PITH_MAX_CHOICES + c]));
  }
  return PITH_OK;
}

static void take_times(pith_plan *p) {
  const pith_config *config = &p->checkpoint.config;
  p->fixed_ms = 0.0;
  for (int32_t layer = 0; layer < config->n_layers; layer++)
    for (int half = config->parallel; half < 2; half++) p->fixed_ms += pith_cost_rest(&p->cost, half, pith_layer_shape_of(config, layer));
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++) {
    pith_tensor_choices *t = &p->sensitivity.tensors[i];
    for (uint32_t c = 0; c < t->n; c++) t->choices[c].ms = times_matrix(t) ? p->cost.timed[p->timed[i * PITH_MAX_CHOICES + c]].ms : 0.0;
  }
}

/* ---- the recipe ---- */

static const char *kind_of(pith_role role) { return role == PITH_ROLE_TABLE ? "tables" : role == PITH_ROLE_HEAD ? "head" : "matrices"; }

/* The choice that most tensors of a role have; rules of a role come in one order. */
static uint32_t commonest(const pith_plan *p, const pith_group *groups, pith_role role) {
  uint32_t counts[PITH_MAX_CHOICES] = {0}, best = 0;
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++)
    if (p->sensitivity.tensors[i].slot.role == role) counts[groups[i].chosen]++;
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

static void write_recipe(pith_plan *p, const pith_group *groups) {
  const pith_sensitivity *s = &p->sensitivity;
  static const pith_role roles[] = {PITH_ROLE_MATRIX, PITH_ROLE_HEAD, PITH_ROLE_TABLE};
  char text[320];
  pith_json *recipe = pith_json_new_object(), *tensors = pith_json_new_array();
  pith_json_add_string(recipe, "name", "planned");
  describe(p, text, sizeof text);
  pith_json_add_string(recipe, "description", text);
  uint32_t usual[PITH_ROLE_TABLE + 1] = {0};
  for (size_t r = 0; r < sizeof roles / sizeof *roles; r++) {
    const uint32_t common = usual[roles[r]] = commonest(p, groups, roles[r]);
    const pith_tensor_choices *any = NULL;
    for (uint32_t i = 0; i < s->n_tensors && !any; i++)
      if (s->tensors[i].slot.role == roles[r]) any = &s->tensors[i];
    if (any) pith_json_add(recipe, kind_of(roles[r]), pith_rule_print(&any->choices[common].rule, NULL));
    else if (roles[r] == PITH_ROLE_TABLE) pith_json_add(recipe, "tables", pith_rule_print(&(pith_recipe_rule){.encoding = PITH_ENC_U8_ROW}, NULL));
  }
  for (uint32_t i = 0; i < s->n_tensors; i++)
    if (groups[i].chosen != usual[s->tensors[i].slot.role]) pith_json_add(tensors, NULL, pith_rule_print(&s->tensors[i].choices[groups[i].chosen].rule, s->tensors[i].slot.name));
  const pith_config *config = &p->checkpoint.config;
  pith_slot slots[PITH_MAX_SLOTS];
  pith_recipe_rule rule;
  for (uint32_t i = 0, n = config->family->slots(config, config->n_layers, slots); i < n; i++)
    if (pith_sensitivity_fixed(config, config->n_layers, &slots[i], &rule)) pith_json_add(tensors, NULL, pith_rule_print(&rule, slots[i].name));
  if (pith_json_first(tensors)) pith_json_add(recipe, "tensors", tensors);
  else pith_json_free(tensors);
  pith_json_add_string(recipe, "attention", pith_attention_name(p->options.attention));
  pith_json_free(p->recipe);
  p->recipe = recipe;
}

static void add_up(pith_plan *p, const pith_group *groups) {
  double bits = 0.0, weights = 0.0;
  p->bytes = p->fixed_bytes;
  p->loss = 0.0;
  p->ms = p->fixed_ms;
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++) {
    const pith_tensor_choices *t = &p->sensitivity.tensors[i];
    const pith_choice *c = &t->choices[groups[i].chosen];
    p->chosen[i] = groups[i].chosen;
    p->bytes += (double)c->n_bytes;
    p->loss += c->loss;
    p->ms += c->ms;
    if (t->slot.role != PITH_ROLE_MATRIX) continue;
    bits += 8.0 * (double)c->n_bytes;
    weights += (double)t->slot.rows * t->slot.cols;
  }
  p->bits = weights > 0.0 ? bits / weights : 0.0;
}

static pith_status choose(pith_ctx *ctx, pith_plan *p, pith_group *groups, double *values) {
  const pith_sensitivity *s = &p->sensitivity;
  const pith_budget budget = p->options.budget;
  const double fixed = budget == PITH_BUDGET_BYTES ? p->fixed_bytes : budget == PITH_BUDGET_MS ? p->fixed_ms : 0.0;
  for (uint32_t i = 0; i < s->n_tensors; i++) {
    double *costs = values + (size_t)i * 2 * PITH_MAX_CHOICES, *losses = costs + PITH_MAX_CHOICES;
    for (uint32_t c = 0; c < s->tensors[i].n; c++) {
      costs[c] = budget == PITH_BUDGET_MS ? s->tensors[i].choices[c].ms : (double)s->tensors[i].choices[c].n_bytes;
      losses[c] = s->tensors[i].choices[c].loss;
    }
    groups[i] = (pith_group){s->tensors[i].n, budget == PITH_BUDGET_LOSS ? losses : costs, budget == PITH_BUDGET_LOSS ? costs : losses, 0};
  }
  const pith_status status = pith_optimize(ctx, groups, s->n_tensors, p->options.limit - fixed, &p->gap);
  if (status != PITH_OK && status != PITH_E_LIMIT) return status;
  add_up(p, groups);
  write_recipe(p, groups);
  if (status == PITH_OK) return PITH_OK;
  if (budget == PITH_BUDGET_MS)
    return pith_fail(ctx, PITH_E_LIMIT, "no recipe is predicted to take at most %g ms here; the fastest takes about %.3g", p->options.limit, p->ms);
  if (budget == PITH_BUDGET_BYTES) return pith_fail(ctx, PITH_E_LIMIT, "no recipe makes a package of at most %.0f bytes; the smallest is about %.0f", p->options.limit, p->bytes);
  return pith_fail(ctx, PITH_E_LIMIT, "no recipe keeps the loss to %g; the least is about %g, with %.0f bytes", p->options.limit, p->loss, p->bytes);
}

pith_status pith_plan_choose(pith_ctx *ctx, pith_plan *p, double limit) {
  pith_group *groups;
  double *values;
  p->options.limit = limit;
  if (!p->chosen) PITH_TRY(pith_calloc(ctx, p->sensitivity.n_tensors, sizeof *p->chosen, &p->chosen));
  PITH_TRY(pith_calloc(ctx, p->sensitivity.n_tensors, sizeof *groups, &groups));
  pith_status status = pith_calloc(ctx, p->sensitivity.n_tensors, 2 * PITH_MAX_CHOICES * sizeof *values, &values);
  if (status == PITH_OK) status = choose(ctx, p, groups, values);
  pith_free(ctx, groups);
  pith_free(ctx, values);
  return status;
}

pith_status pith_plan_step(pith_ctx *ctx, pith_plan *p) {
  pith_status status = pith_sensitivity_step(ctx, &p->sensitivity);
  if (status != PITH_OK) return status;
  if (p->options.times) {
    if (!p->timed) PITH_TRY(begin_times(ctx, p));
    status = pith_cost_step(ctx, &p->cost);
    if (status != PITH_OK) return status;
    take_times(p);
  }
  PITH_TRY(count_fixed(ctx, p));
  return pith_plan_choose(ctx, p, p->options.limit);
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
    pith_json *tensor = pith_rule_print(&c->rule, t->slot.name);
    if (t->stage >= 0 && t->stage < p->checkpoint.config.n_layers) pith_json_add_number(tensor, "layer", t->stage);
    pith_json_add_number(tensor, "weights", (double)t->slot.rows * t->slot.cols);
    pith_json_add_number(tensor, "bytes", (double)c->n_bytes);
    pith_json_add_number(tensor, "loss", c->loss);
    if (p->options.times) pith_json_add_number(tensor, "ms", c->ms);
    pith_json_add(tensors, NULL, tensor);
  }
  pith_json_add(out, "tensors", tensors);
  pith_json_add(out, "sensitivity", pith_sensitivity_print(&p->sensitivity));
}
