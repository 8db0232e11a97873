/* Heads of encoders: labels of texts and of tokens, and masked words. A family says where theirs differ (pith_head). */
#include <string.h>

#include "base/format.h"
#include "model/config.h"
#include "model/forward_internal.h"

enum { MAX_LABELS = 65536 };

static const char *const task_names[] = {"embed", "generate", "classify", "tag", "fill"};

const char *pith_task_name(pith_task task) { return task_names[task]; }

static const char *label_at(const pith_json *json, int32_t id) {
  char key[16];
  pith_snprintf(key, sizeof key, "%d", (int)id);
  return pith_json_string(pith_json_get(pith_json_get(json, "id2label"), key));
}

/* Their number is that of "id2label", which transformers leaves out where labels have no names. */
static pith_status parse_labels(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  const size_t n = pith_json_count(pith_json_get(json, "id2label"));
  if (n > MAX_LABELS) return pith_fail(ctx, PITH_E_LIMIT, "%s: \"id2label\" has more than %d labels", what, MAX_LABELS);
  if (n == 0) return pith_config_size_or(ctx, json, "num_labels", MAX_LABELS, 2, what, &out->n_labels);
  out->n_labels = (int32_t)n;
  for (int32_t id = 0; id < out->n_labels; id++)
    if (!label_at(json, id)) return pith_fail(ctx, PITH_E_FORMAT, "%s: \"id2label\" has %d labels, and none for %d", what, (int)n, (int)id);
  return PITH_OK;
}

/* As the reference's text classification does it: one label alone is no choice, so that its score is a probability of its own. */
static pith_status parse_scoring(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out) {
  const pith_json *member = pith_json_get(json, "problem_type");
  const char *name = pith_json_string(member);
  out->scoring = out->n_labels == 1 && out->task == PITH_TASK_CLASSIFY ? PITH_SCORE_SIGMOID : PITH_SCORE_SOFTMAX;
  if (pith_json_is_null(member) || out->task == PITH_TASK_TAG) return PITH_OK;
  if (name && strcmp(name, "regression") == 0) out->scoring = PITH_SCORE_RAW;
  else if (name && strcmp(name, "multi_label_classification") == 0) out->scoring = PITH_SCORE_SIGMOID;
  else if (!name || strcmp(name, "single_label_classification") != 0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: \"problem_type\" is \"%.40s\", which Pith does not know", what, name ? name : "");
  return PITH_OK;
}

int pith_head_find(const pith_family *family, const char *architecture) {
  static const char *const ends[] = {"ForSequenceClassification", "ForTokenClassification", "ForMaskedLM"};
  const char *model = *family->architectures;
  const size_t n = strlen(model) - strlen("Model");
  for (int i = 0; strncmp(architecture, model, n) == 0 && i < 3; i++)
    if (strcmp(architecture + n, ends[i]) == 0) return i;
  return -1;
}

pith_status pith_head_parse(pith_ctx *ctx, const pith_json *json, int head, const char *what, pith_config *out) {
  if (head < 0) return PITH_OK;
  out->task = (pith_task)(PITH_TASK_CLASSIFY + head);
  out->head = &out->family->heads[head];
  if (out->task == PITH_TASK_FILL) {
    out->tied = pith_config_true(json, "tie_word_embeddings");
    return PITH_OK;
  }
  PITH_TRY(parse_labels(ctx, json, what, out));
  return parse_scoring(ctx, json, what, out);
}

void pith_head_drop(pith_config *c) {
  c->task = c->family->task;
  c->head = NULL;
  c->tied = false;
  c->n_labels = 0;
}

pith_json *pith_labels(const pith_config *c, const pith_json *json) {
  pith_json *list = c->n_labels > 0 ? pith_json_new_array() : NULL;
  for (int32_t id = 0; id < c->n_labels; id++) {
    char name[24];
    const char *label = label_at(json, id);
    pith_snprintf(name, sizeof name, "LABEL_%d", (int)id);
    pith_json_add_string(list, NULL, label ? label : name);
  }
  return list;
}

void pith_head_slots(const pith_config *c, pith_slot *slots, uint32_t *n) {
  const pith_head *head = c->head;
  const int32_t h = c->hidden_size, n_outputs = pith_head_outputs(c);
  char name[PITH_MAX_NAME];
  if (head->dense) pith_slot_linear(slots, n, PITH_HEAD_DENSE, h, h, head->dense, 0, true);
  if (head->norm) pith_slot_norm(slots, n, PITH_HEAD_NORM, h, head->norm, 0, true);
  pith_snprintf(name, sizeof name, "%s.weight", head->output);
  if (!c->tied) pith_slot_add(slots, n, PITH_HEAD, c->n_labels ? PITH_ROLE_LABELS : PITH_ROLE_HEAD, n_outputs, h, name, 0);
  pith_snprintf(name, sizeof name, "%s.bias", head->output);
  pith_slot_add(slots, n, PITH_HEAD_BIAS, PITH_ROLE_VECTOR, 1, n_outputs, c->tied ? head->tied_bias : name, 0);
}

int32_t pith_head_outputs(const pith_config *c) { return c->n_labels ? c->n_labels : c->vocab_size; }

void pith_head_rows(pith_forward *f, uint32_t n_rows, float *x) {
  const pith_config *c = f->config;
  const pith_weight *weights = pith_weights_stage(f->weights, c->n_layers)->weights;
  const size_t h = (size_t)c->hidden_size, n = n_rows * h;
  if (!c->head->dense) return;
  pith_forward_product(f, &weights[PITH_HEAD_DENSE].matrix, weights[PITH_HEAD_DENSE_BIAS].vector, n_rows, x, h, f->h, h);
  pith_activate(f->kernels, c->head->hidden_activation ? c->activation : c->head->activation, n, f->h);
  if (c->head->norm) f->kernels->layer_norm(n_rows, h, f->h, x, h, weights[PITH_HEAD_NORM].vector, weights[PITH_HEAD_NORM_BIAS].vector, c->norm_eps);
  else memcpy(x, f->h, n * sizeof *x);
}

void pith_head_logits(pith_forward *f, uint32_t n_rows, const float *x, float *y) {
  const pith_config *c = f->config;
  const pith_weight *weights = pith_weights_stage(f->weights, c->n_layers)->weights;
  const pith_matrix *matrix = c->tied ? &pith_weights_stage(f->weights, -1)->weights[PITH_EMBED_TOKENS].matrix : &weights[PITH_HEAD].matrix;
  const size_t h = (size_t)c->hidden_size;
  pith_forward_product(f, matrix, weights[PITH_HEAD_BIAS].vector, n_rows, x, h, y, (size_t)pith_head_outputs(c));
}
