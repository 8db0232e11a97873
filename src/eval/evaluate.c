#include "eval/evaluate.h"

#include <math.h>
#include <string.h>

#include "embedded.h"
#include "eval/metrics.h"

enum { BLOCK_TEXTS = 256, CHUNK_ROWS = 64 };

const char *pith_default_texts(void) { return pith_eval_default_texts; }

pith_status pith_texts_split(pith_ctx *ctx, const char *text, size_t n_bytes, pith_texts *out) {
  memset(out, 0, sizeof *out);
  size_t n = 1;
  for (size_t i = 0; i < n_bytes; i++) n += text[i] == '\n';
  PITH_TRY(pith_calloc(ctx, n, sizeof *out->texts, &out->texts));
  const pith_status status = pith_calloc(ctx, n, sizeof *out->n_bytes, &out->n_bytes);
  if (status != PITH_OK) {
    pith_texts_free(ctx, out);
    return status;
  }
  for (size_t begin = 0; begin < n_bytes;) {
    const char *newline = memchr(text + begin, '\n', n_bytes - begin);
    const size_t end = newline ? (size_t)(newline - text) : n_bytes;
    size_t length = end - begin;
    if (length > 0 && text[begin + length - 1] == '\r') length--;
    if (length > 0) {
      out->texts[out->n] = text + begin;
      out->n_bytes[out->n++] = length;
    }
    begin = end + 1;
  }
  return PITH_OK;
}

void pith_texts_free(pith_ctx *ctx, pith_texts *texts) {
  pith_free(ctx, texts->texts);
  pith_free(ctx, texts->n_bytes);
  memset(texts, 0, sizeof *texts);
}

static pith_status check_pair(pith_ctx *ctx, const pith_model *model, const pith_model *against) {
  if (!against) return PITH_OK;
  const pith_config *a = &model->config, *b = &against->config;
  if (a->family->task != b->family->task) return pith_fail(ctx, PITH_E_ARGUMENT, "one of the models embeds and the other generates: they cannot be compared");
  if (a->family->task == PITH_TASK_GENERATE && a->vocab_size != b->vocab_size)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the models' vocabularies differ (%d and %d tokens): they cannot be compared", (int)a->vocab_size, (int)b->vocab_size);
  if (a->family->task == PITH_TASK_EMBED && a->hidden_size != b->hidden_size)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the models' embeddings have %d and %d numbers: they cannot be compared", (int)a->hidden_size, (int)b->hidden_size);
  return PITH_OK;
}

static const pith_model *model_of(const pith_evaluation *e, int which) { return which ? e->against : e->model; }

static pith_status begin_embedding(pith_ctx *ctx, pith_evaluation *e) {
  for (int i = 0; i < (e->against ? 2 : 1); i++) {
    PITH_TRY(pith_embedder_init(ctx, &e->embedders[i], model_of(e, i)));
    PITH_TRY(pith_calloc(ctx, e->texts->n * (size_t)e->model->config.hidden_size, sizeof(float), &e->embeddings[i]));
  }
  e->total = e->texts->n;
  return PITH_OK;
}

static uint32_t context_of(const pith_evaluation *e) {
  const int32_t limit = e->model->config.max_positions;
  return limit < PITH_EVAL_CONTEXT ? (uint32_t)limit : PITH_EVAL_CONTEXT;
}

static pith_status begin_scoring(pith_ctx *ctx, pith_evaluation *e) {
  const uint32_t context = context_of(e);
  PITH_TRY(pith_calloc(ctx, e->texts->n, sizeof *e->ends, &e->ends));
  PITH_TRY(pith_calloc(ctx, context, sizeof *e->window, &e->window));
  for (size_t i = 0; i < e->texts->n; i++) {
    /* without special tokens: a window gets its own first one */
    PITH_TRY(pith_model_encode(ctx, e->model, e->texts->texts[i], e->texts->n_bytes[i], false, false, &e->ids));
    e->ends[i] = e->ids.n;
    e->n_text_bytes += e->texts->n_bytes[i];
  }
  for (int i = 0; i < (e->against ? 2 : 1); i++) {
    const pith_model *m = model_of(e, i);
    uint64_t n_bytes;
    if (!pith_forward_plan(ctx, &m->config, &m->weights, m->kernels, CHUNK_ROWS, context, &n_bytes)) return pith_fail(ctx, PITH_E_MEMORY, "out of address space");
    PITH_TRY(pith_arena_init(ctx, &e->arenas[i], (size_t)n_bytes));
    PITH_TRY(pith_forward_init(ctx, &e->forwards[i], &m->config, &m->weights, m->kernels, CHUNK_ROWS, context, &e->arenas[i]));
    PITH_TRY(pith_calloc(ctx, (size_t)m->config.vocab_size * 8, sizeof(float), &e->logits[i]));
  }
  e->total = e->ids.n;
  return PITH_OK;
}

pith_status pith_evaluation_begin(pith_ctx *ctx, pith_evaluation *e, const pith_model *model, const pith_model *against, const pith_texts *texts) {
  memset(e, 0, sizeof *e);
  e->model = model;
  e->against = against;
  e->texts = texts;
  e->cosine_min = 1.0;
  if (texts->n == 0) return pith_fail(ctx, PITH_E_ARGUMENT, "there is no text to measure with");
  PITH_TRY(check_pair(ctx, model, against));
  return model->config.family->task == PITH_TASK_EMBED ? begin_embedding(ctx, e) : begin_scoring(ctx, e);
}

static pith_status step_embedding(pith_ctx *ctx, pith_evaluation *e) {
  const size_t h = (size_t)e->model->config.hidden_size;
  if (e->n_block == 0) {
    if (e->next == e->texts->n) return PITH_OK;
    const size_t left = e->texts->n - e->next;
    e->n_block = left < BLOCK_TEXTS ? left : BLOCK_TEXTS;
    PITH_TRY(pith_embedder_begin(ctx, &e->embedders[e->which], e->texts->texts + e->next, e->texts->n_bytes + e->next, e->n_block, -1,
                                 e->embeddings[e->which] + e->next * h));
    return PITH_PENDING;
  }
  const pith_status status = pith_embedder_step(ctx, &e->embedders[e->which]);
  if (status != PITH_OK) return status;
  if (e->against && e->which == 0) {
    e->which = 1;
    e->n_block = 0;   /* the same block again, for the other model */
    return PITH_PENDING;
  }
  for (size_t i = e->next; e->against && i < e->next + e->n_block; i++) {
    const double cosine = pith_cosine(e->embeddings[0] + i * h, e->embeddings[1] + i * h, h);
    e->cosine_sum += cosine;
    if (cosine < e->cosine_min) e->cosine_min = cosine;
  }
  e->next += e->n_block;
  e->done = e->next;
  e->n_block = 0;
  e->which = 0;
  return PITH_PENDING;
}

/* The next window: the first token, if the model has one, then as many of the text's as fit. False at the end of all texts. */
static bool begin_window(pith_evaluation *e) {
  const pith_config *c = &e->model->config;
  const uint32_t n_first = c->bos_id >= 0 ? 1 : 0, room = context_of(e) - n_first;
  while (e->text < e->texts->n) {
    const size_t begin = e->text > 0 ? e->ends[e->text - 1] : 0, n = e->ends[e->text] - begin;
    if (e->window_begin + (n_first ? 0u : 1u) < n) {
      const size_t left = n - e->window_begin;
      const uint32_t taken = left < room ? (uint32_t)left : room;
      if (n_first) e->window[0] = c->bos_id;
      memcpy(e->window + n_first, e->ids.ids + begin + e->window_begin, taken * sizeof *e->window);
      e->window_begin += taken;
      e->window_rows = n_first + taken - 1;   /* the last token only has to be guessed */
      e->row = 0;
      e->done = begin + e->window_begin;
      return e->window_rows > 0 ? true : begin_window(e);
    }
    e->text++;
    e->window_begin = 0;
  }
  return false;
}

static void score_row(pith_evaluation *e, uint32_t row) {
  const int32_t vocab = e->model->config.vocab_size, target = e->window[e->row + row + 1];
  int32_t best[2] = {0, 0};
  for (int i = 0; i < (e->against ? 2 : 1); i++) {
    pith_forward_logits(&e->forwards[i], row, e->logits[i]);
    const double nll = pith_log_sum_exp(e->logits[i], vocab) - (double)e->logits[i][target];
    if (i == 0) e->nll_sum += nll;
    else e->nll_sum_against += nll;
    for (int32_t t = 1; t < vocab; t++)
      if (e->logits[i][t] > e->logits[i][best[i]]) best[i] = t;
  }
  e->n_tokens++;
  if (!e->against) return;
  e->kl_sum += pith_kl_divergence(e->logits[1], e->logits[0], vocab);   /* from the parent to the model */
  e->n_agree += best[0] == best[1];
}

/* Units of a chunk: for each model embed and half-layers, then eight rows of logits at a time. */
static pith_status step_scoring(pith_evaluation *e) {
  if (e->row == e->window_rows && !begin_window(e)) return PITH_OK;
  pith_forward *f = &e->forwards[e->which];
  const int32_t n_layers = f->config->n_layers;
  if (e->unit == 0) {
    const uint32_t left = e->window_rows - e->row;
    e->span = (pith_span){0, left < CHUNK_ROWS ? left : CHUNK_ROWS, e->row};
    pith_forward_begin(f, e->window + e->row, e->span.n_rows, &e->span, 1);
    e->unit = 1;
  } else if (e->unit <= 2 * n_layers) {
    if (!pith_forward_half(f, e->unit - 1)) return PITH_PENDING;
    e->unit++;
    if (e->unit > 2 * n_layers) pith_forward_finish(f);
    if (e->unit > 2 * n_layers && e->against && e->which == 0) {
      e->which = 1;
      e->unit = 0;
    }
  } else {
    const uint32_t begin = (uint32_t)(e->unit - 2 * n_layers - 1) * 8, end = begin + 8 < e->span.n_rows ? begin + 8 : e->span.n_rows;
    for (uint32_t row = begin; row < end; row++) score_row(e, row);
    e->unit++;
    if (end < e->span.n_rows) return PITH_PENDING;
    e->row += e->span.n_rows;
    e->unit = 0;
    e->which = 0;
  }
  return PITH_PENDING;
}

pith_status pith_evaluation_step(pith_ctx *ctx, pith_evaluation *e) {
  return e->model->config.family->task == PITH_TASK_EMBED ? step_embedding(ctx, e) : step_scoring(e);
}

void pith_evaluation_free(pith_ctx *ctx, pith_evaluation *e) {
  for (int i = 0; i < 2; i++) {
    pith_embedder_free(ctx, &e->embedders[i]);
    pith_free(ctx, e->embeddings[i]);
    pith_arena_free(ctx, &e->arenas[i]);
    pith_free(ctx, e->logits[i]);
  }
  pith_ids_free(ctx, &e->ids);
  pith_free(ctx, e->ends);
  pith_free(ctx, e->window);
  memset(e, 0, sizeof *e);
}

pith_status pith_evaluation_report(pith_ctx *ctx, const pith_evaluation *e, pith_json *out) {
  pith_json_add_number(out, "texts", (double)e->texts->n);
  if (e->model->config.family->task == PITH_TASK_EMBED) {
    if (!e->against) return PITH_OK;
    pith_json_add_number(out, "cosineMean", e->cosine_sum / (double)e->texts->n);
    pith_json_add_number(out, "cosineMin", e->cosine_min);
    return PITH_OK;
  }
  if (e->n_tokens == 0) return pith_fail(ctx, PITH_E_ARGUMENT, "the texts have no token to guess");
  const double n = (double)e->n_tokens;
  pith_json_add_number(out, "tokens", n);
  pith_json_add_number(out, "nllMean", e->nll_sum / n);
  pith_json_add_number(out, "perplexity", pith_exp(e->nll_sum / n));
  pith_json_add_number(out, "bitsPerByte", e->nll_sum / 0.69314718055994531 / (double)e->n_text_bytes);
  if (!e->against) return PITH_OK;
  pith_json_add_number(out, "nllMeanAgainst", e->nll_sum_against / n);
  pith_json_add_number(out, "perplexityAgainst", pith_exp(e->nll_sum_against / n));
  pith_json_add_number(out, "klMean", e->kl_sum / n);
  pith_json_add_number(out, "top1Agreement", e->n_agree / n);
  return PITH_OK;
}

pith_status pith_evaluation_similarity(pith_ctx *ctx, const pith_evaluation *e, const double *scores, size_t n_pairs, pith_json *out) {
  static const char *const names[2][2] = {{"spearmanX100", "pearsonX100"}, {"spearmanX100Against", "pearsonX100Against"}};
  const size_t h = (size_t)e->model->config.hidden_size;
  double *cosines, spearman;
  PITH_TRY(pith_calloc(ctx, n_pairs, sizeof *cosines, &cosines));
  pith_status status = PITH_OK;
  for (int m = 0; m < (e->against ? 2 : 1) && status == PITH_OK; m++) {
    for (size_t i = 0; i < n_pairs; i++) cosines[i] = pith_cosine(e->embeddings[m] + 2 * i * h, e->embeddings[m] + (2 * i + 1) * h, h);
    status = pith_spearman(ctx, cosines, scores, n_pairs, &spearman);
    if (status != PITH_OK) break;
    pith_json_add_number(out, names[m][0], 100.0 * spearman);
    pith_json_add_number(out, names[m][1], 100.0 * pith_pearson(cosines, scores, n_pairs));
  }
  pith_free(ctx, cosines);
  return status;
}
