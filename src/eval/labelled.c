#include "eval/labelled.h"

#include <math.h>
#include <string.h>

/* The place of the name in the list, or of the number that it is; -1: there is none. */
static int32_t find_label(const pith_json *names, const char *label) {
  int32_t i = 0;
  for (const pith_json *name = pith_json_first(names); name; name = pith_json_next(name), i++)
    if (strcmp(pith_json_string(name), label) == 0) return i;
  int32_t id = 0;
  for (const char *c = label; *c; c++) {
    if (*c < '0' || *c > '9' || id >= i) return -1;
    id = 10 * id + (*c - '0');
  }
  return *label && id < i ? id : -1;
}

static int32_t find_before(const pith_labelled *l, const char *const *labels, size_t row) {
  for (size_t i = 0; i < row; i++)
    if (strcmp(labels[i], labels[row]) == 0) return l->ids[i];
  return -1;
}

pith_status pith_labelled_init(pith_ctx *ctx, pith_labelled *l, const pith_model *model, const char *const *labels, size_t n) {
  const pith_config *c = &model->config;
  if (c->task != PITH_TASK_CLASSIFY && c->task != PITH_TASK_EMBED)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "labels measure models that classify or embed, and this one is for %s", pith_task_name(c->task));
  if (c->task == PITH_TASK_CLASSIFY && c->scoring != PITH_SCORE_SOFTMAX)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "labels measure models that choose one of several, and this one gives %s", c->scoring == PITH_SCORE_RAW ? "values" : "each label by itself");
  PITH_TRY(pith_calloc(ctx, n, sizeof *l->ids, &l->ids));
  l->n = n;
  l->n_labels = c->n_labels;
  for (size_t i = 0; i < n; i++) {
    l->ids[i] = model->labels ? find_label(model->labels, labels[i]) : find_before(l, labels, i);
    if (l->ids[i] >= 0) continue;
    if (model->labels) return pith_fail(ctx, PITH_E_ARGUMENT, "row %llu: the model has no label \"%.60s\"", (unsigned long long)i + 1, labels[i]);
    l->ids[i] = l->n_labels++;
  }
  if (l->n_labels < 2) return pith_fail(ctx, PITH_E_ARGUMENT, "all texts have the label \"%.60s\": there is nothing to tell apart", n ? labels[0] : "");
  return PITH_OK;
}

void pith_labelled_free(pith_ctx *ctx, pith_labelled *l) {
  pith_free(ctx, l->ids);
  memset(l, 0, sizeof *l);
}

static int32_t largest(const float *x, int32_t n) {
  int32_t best = 0;
  for (int32_t i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

static double norm_of(const float *x, size_t n) {
  double sum = 0.0;
  for (size_t k = 0; k < n; k++) sum += (double)x[k] * (double)x[k];
  return sum > 0.0 ? sqrt(sum) : 1.0;
}

/* Guesses of the texts that are asked about; -1 for those that made the centroids. */
static pith_status guess_by_centroid(pith_ctx *ctx, const pith_labelled *l, const float *embeddings, size_t width, int32_t *guesses) {
  double *centroids;
  uint8_t *odd;              /* of a label: its next text is one to ask about */
  PITH_TRY(pith_calloc(ctx, (size_t)l->n_labels, width * sizeof *centroids, &centroids));
  const pith_status status = pith_calloc(ctx, (size_t)l->n_labels, 1, &odd);
  for (size_t i = 0; status == PITH_OK && i < l->n; i++) {
    const float *x = embeddings + i * width;
    const double norm = norm_of(x, width);
    guesses[i] = -1 + odd[l->ids[i]];
    odd[l->ids[i]] ^= 1;
    for (size_t k = 0; guesses[i] < 0 && k < width; k++) centroids[(size_t)l->ids[i] * width + k] += (double)x[k] / norm;
  }
  for (int32_t c = 0; status == PITH_OK && c < l->n_labels; c++) {
    double *centroid = centroids + (size_t)c * width, sum = 0.0;
    for (size_t k = 0; k < width; k++) sum += centroid[k] * centroid[k];
    for (size_t k = 0; sum > 0.0 && k < width; k++) centroid[k] /= sqrt(sum);
  }
  for (size_t i = 0; status == PITH_OK && i < l->n; i++) {
    double best = -INFINITY;
    for (int32_t c = 0; guesses[i] >= 0 && c < l->n_labels; c++) {
      double dot = 0.0;
      for (size_t k = 0; k < width; k++) dot += centroids[(size_t)c * width + k] * (double)embeddings[i * width + k];
      if (dot > best) {
        best = dot;
        guesses[i] = c;
      }
    }
  }
  pith_free(ctx, centroids);
  pith_free(ctx, odd);
  return status;
}

/* The share of right guesses; the mean over labels that occur or are guessed of 2 right / (guessed + there). */
static pith_status add_figures(pith_ctx *ctx, const pith_labelled *l, const int32_t *guesses, int side, pith_json *out) {
  size_t *counts, n = 0, n_right = 0;   /* (labels, 3): right, guessed, there */
  double f1 = 0.0;
  int32_t n_labels = 0;
  PITH_TRY(pith_calloc(ctx, (size_t)l->n_labels, 3 * sizeof *counts, &counts));
  for (size_t i = 0; i < l->n; i++) {
    if (guesses[i] < 0) continue;
    n++;
    n_right += guesses[i] == l->ids[i];
    counts[3 * l->ids[i]] += guesses[i] == l->ids[i];
    counts[3 * guesses[i] + 1]++;
    counts[3 * l->ids[i] + 2]++;
  }
  for (int32_t c = 0; c < l->n_labels; c++) {
    const size_t both = counts[3 * c + 1] + counts[3 * c + 2];
    if (both == 0) continue;
    n_labels++;
    f1 += 2.0 * (double)counts[3 * c] / (double)both;
  }
  pith_free(ctx, counts);
  if (n == 0) return pith_fail(ctx, PITH_E_ARGUMENT, "each label has one text alone: it made the centroid, and none is left to ask about");
  if (side == 0) pith_json_add_number(out, "tested", (double)n);
  pith_json_add_number(out, side ? "accuracyAgainst" : "accuracy", (double)n_right / (double)n);
  pith_json_add_number(out, side ? "macroF1Against" : "macroF1", f1 / n_labels);
  return PITH_OK;
}

pith_status pith_labelled_report(pith_ctx *ctx, const pith_labelled *l, const pith_evaluation *e, pith_json *out) {
  int32_t *guesses;
  size_t n = 0, n_agree = 0;
  PITH_TRY(pith_calloc(ctx, l->n, 2 * sizeof *guesses, &guesses));
  pith_status status = PITH_OK;
  for (int side = 0; side < e->n_sides && status == PITH_OK; side++) {
    int32_t *own = guesses + (size_t)side * l->n;
    if (e->sources[0]->model->config.task == PITH_TASK_EMBED) status = guess_by_centroid(ctx, l, e->kept[side], e->width, own);
    else for (size_t i = 0; i < l->n; i++) own[i] = largest(e->kept[side] + i * e->width, l->n_labels);
    if (status == PITH_OK) status = add_figures(ctx, l, own, side, out);
  }
  for (size_t i = 0; i < l->n; i++) {
    n += guesses[i] >= 0;
    n_agree += guesses[i] >= 0 && guesses[i] == guesses[l->n + i];
  }
  if (status == PITH_OK && e->n_sides == 2) pith_json_add_number(out, "labelAgreement", (double)n_agree / (double)n);
  pith_free(ctx, guesses);
  return status;
}
