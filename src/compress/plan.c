#include "compress/plan.h"

#include <string.h>

#include "base/format.h"
#include "compress/optimize.h"

/* What a package says of itself, in bytes, a little generously: texts of manifest, shards' headers and the recipe in the manifest. */
enum { MANIFEST_BYTES = 4096, MATRIX_BYTES = 640, VECTOR_BYTES = 280, MATRIX_NAMES = 6, VECTOR_NAMES = 3 };

pith_status pith_plan_begin(pith_ctx *ctx, pith_plan *p, const pith_plan_options *options) {
  memset(p, 0, sizeof *p);
  p->options = *options;
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

static void write_recipe(pith_plan *p, const pith_group *groups) {
  const pith_sensitivity *s = &p->sensitivity;
  static const pith_role roles[] = {PITH_ROLE_MATRIX, PITH_ROLE_HEAD, PITH_ROLE_TABLE};
  char text[200];
  pith_json *recipe = pith_json_new_object(), *tensors = pith_json_new_array();
  pith_json_add_string(recipe, "name", "planned");
  if (p->options.budget == PITH_BUDGET_BYTES) pith_snprintf(text, sizeof text, "Chosen by pith plan for at most %.0f bytes.", p->options.limit);
  else pith_snprintf(text, sizeof text, "Chosen by pith plan for a loss of at most %g.", p->options.limit);
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
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++) {
    const pith_tensor_choices *t = &p->sensitivity.tensors[i];
    const pith_choice *c = &t->choices[groups[i].chosen];
    p->chosen[i] = groups[i].chosen;
    p->bytes += (double)c->n_bytes;
    p->loss += c->loss;
    if (t->slot.role != PITH_ROLE_MATRIX) continue;
    bits += 8.0 * (double)c->n_bytes;
    weights += (double)t->slot.rows * t->slot.cols;
  }
  p->bits = weights > 0.0 ? bits / weights : 0.0;
}

static pith_status choose(pith_ctx *ctx, pith_plan *p, pith_group *groups, double *values) {
  const pith_sensitivity *s = &p->sensitivity;
  const bool bytes = p->options.budget == PITH_BUDGET_BYTES;
  for (uint32_t i = 0; i < s->n_tensors; i++) {
    double *n_bytes = values + (size_t)i * 2 * PITH_MAX_CHOICES, *losses = n_bytes + PITH_MAX_CHOICES;
    for (uint32_t c = 0; c < s->tensors[i].n; c++) {
      n_bytes[c] = (double)s->tensors[i].choices[c].n_bytes;
      losses[c] = s->tensors[i].choices[c].loss;
    }
    groups[i] = (pith_group){s->tensors[i].n, bytes ? n_bytes : losses, bytes ? losses : n_bytes, 0};
  }
  const pith_status status = pith_optimize(ctx, groups, s->n_tensors, bytes ? p->options.limit - p->fixed_bytes : p->options.limit, &p->gap);
  if (status != PITH_OK && status != PITH_E_LIMIT) return status;
  add_up(p, groups);
  write_recipe(p, groups);
  if (status == PITH_OK) return PITH_OK;
  if (bytes) return pith_fail(ctx, PITH_E_LIMIT, "no recipe makes a package of at most %.0f bytes; the smallest is about %.0f", p->options.limit, p->bytes);
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
  const pith_status status = pith_sensitivity_step(ctx, &p->sensitivity);
  if (status != PITH_OK) return status;
  PITH_TRY(count_fixed(ctx, p));
  return pith_plan_choose(ctx, p, p->options.limit);
}

void pith_plan_report(const pith_plan *p, pith_json *out) {
  pith_json_add(out, "recipe", pith_json_copy(p->recipe));
  pith_json_add_number(out, "bytes", p->bytes);
  pith_json_add_number(out, "loss", p->loss);
  pith_json_add_number(out, "bits", p->bits);
  pith_json_add_number(out, "gap", p->gap);
  pith_json *tensors = pith_json_new_array();
  for (uint32_t i = 0; i < p->sensitivity.n_tensors; i++) {
    const pith_tensor_choices *t = &p->sensitivity.tensors[i];
    const pith_choice *c = &t->choices[p->chosen[i]];
    pith_json *tensor = pith_rule_print(&c->rule, t->slot.name);
    if (t->stage >= 0 && t->stage < p->checkpoint.config.n_layers) pith_json_add_number(tensor, "layer", t->stage);
    pith_json_add_number(tensor, "weights", (double)t->slot.rows * t->slot.cols);
    pith_json_add_number(tensor, "bytes", (double)c->n_bytes);
    pith_json_add_number(tensor, "loss", c->loss);
    pith_json_add(tensors, NULL, tensor);
  }
  pith_json_add(out, "tensors", tensors);
  pith_json_add(out, "sensitivity", pith_sensitivity_print(&p->sensitivity));
}
