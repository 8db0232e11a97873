#include "eval/evaluate.h"

#include <math.h>
#include <string.h>

#include "base/format.h"
#include "embedded.h"
#include "runtime/embed.h"

enum { TOKENIZE_BYTES = 1 << 14 };   /* of text a step */
#define LOGIT_NS 10.0         /* what a logit's exp and sums take, roughly */
#define COSINE_NS 3.0         /* what an element of a cosine takes */

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

static const pith_config *config_of(const pith_evaluation *e) { return &e->sources[0]->model->config; }
static pith_task task_of(const pith_evaluation *e) { return config_of(e)->task; }
static bool embeds(const pith_evaluation *e) { return task_of(e) == PITH_TASK_EMBED; }
static bool generates(const pith_evaluation *e) { return task_of(e) == PITH_TASK_GENERATE; }
static uint32_t outputs_of(const pith_evaluation *e) { return (uint32_t)pith_head_outputs(config_of(e)); }

static pith_status check_pair(pith_ctx *ctx, const pith_config *a, const pith_config *b) {
  if (a->task != b->task)
    return pith_fail(ctx, PITH_E_ARGUMENT, "one of the models is for %s and the other for %s: they cannot be compared", pith_task_name(a->task), pith_task_name(b->task));
  if (a->n_labels != b->n_labels || a->scoring != b->scoring)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the models' labels differ (%d and %d): they cannot be compared", (int)a->n_labels, (int)b->n_labels);
  if (a->head && a->max_tokens > b->max_positions)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the model reads texts of %d tokens and the other of %d: they cannot be compared", (int)a->max_tokens, (int)b->max_positions);
  if (a->task != PITH_TASK_EMBED && a->vocab_size != b->vocab_size)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the models' vocabularies differ (%d and %d tokens): they cannot be compared", (int)a->vocab_size, (int)b->vocab_size);
  if (a->task == PITH_TASK_EMBED && a->hidden_size != b->hidden_size)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the models' embeddings have %d and %d numbers: they cannot be compared", (int)a->hidden_size, (int)b->hidden_size);
  return PITH_OK;
}

/* Whose tokenizer makes a side's tokens: its own for embeddings, else one for both. */
static int tokens_of(const pith_evaluation *e, int side) {
  const bool own = e->sources[side]->model->tokenizer != NULL;
  if (side == 0) return own || e->n_sides == 1 ? 0 : 1;
  return own && (embeds(e) || !e->sources[0]->model->tokenizer) ? 1 : 0;
}

static uint32_t context_of(const pith_evaluation *e) {
  int32_t limit = PITH_EVAL_CONTEXT;
  for (int i = 0; i < e->n_sides; i++)
    if (e->sources[i]->model->config.max_positions < limit) limit = e->sources[i]->model->config.max_positions;
  return (uint32_t)limit;
}

static uint32_t rows_of_block(const pith_evaluation *e) {
  int32_t widest = 1;
  for (int i = 0; i < e->n_sides; i++)
    if (e->sources[i]->model->config.hidden_size > widest) widest = e->sources[i]->model->config.hidden_size;
  return PITH_EVAL_BLOCK_BYTES / sizeof(float) / (uint32_t)widest;
}

pith_status pith_evaluation_begin(pith_ctx *ctx, pith_evaluation *e, pith_source *source, pith_source *against, const pith_texts *texts, bool paired) {
  memset(e, 0, sizeof *e);
  e->sources[0] = source;
  e->sources[1] = against;
  e->n_sides = against ? 2 : 1;
  e->texts = texts;
  e->paired = paired;
  e->cosine_min = 1.0;
  if (texts->n == 0) return pith_fail(ctx, PITH_E_ARGUMENT, "there is no text to measure with");
  if (against) PITH_TRY(check_pair(ctx, config_of(e), &against->model->config));
  e->block_rows = rows_of_block(e);
  if (config_of(e)->scoring != PITH_SCORE_SOFTMAX) PITH_TRY(pith_evaluation_keep(ctx, e));
  for (int i = 0; i < e->n_sides; i++) {
    PITH_TRY(pith_calloc(ctx, texts->n, sizeof *e->ends[i], &e->ends[i]));
    if (paired) PITH_TRY(pith_calloc(ctx, texts->n / 2, sizeof *e->pair_cosines[i], &e->pair_cosines[i]));
  }
  return PITH_OK;
}

pith_status pith_evaluation_keep(pith_ctx *ctx, pith_evaluation *e) {
  if (!embeds(e) && task_of(e) != PITH_TASK_CLASSIFY)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "this measures models that embed or classify, and this one is for %s", pith_task_name(task_of(e)));
  e->width = embeds(e) ? (uint32_t)config_of(e)->hidden_size : outputs_of(e);
  for (int i = 0; i < e->n_sides; i++)
    if (!e->kept[i]) PITH_TRY(pith_calloc(ctx, e->texts->n, e->width * sizeof **e->kept, &e->kept[i]));
  return PITH_OK;
}

pith_status pith_evaluation_overlap(pith_ctx *ctx, pith_evaluation *e, uint32_t k) {
  if (e->n_sides < 2) return pith_fail(ctx, PITH_E_ARGUMENT, "an overlap is one of two models: say against which");
  if (config_of(e)->n_labels) return pith_fail(ctx, PITH_E_UNSUPPORTED, "overlaps are measured of neighbours and of tokens, and this model gives labels");
  const uint64_t limit = embeds(e) ? e->texts->n - 1 : outputs_of(e);
  if (k < 1 || k > limit)
    return pith_fail(ctx, PITH_E_ARGUMENT, "an overlap of %u: %s leave from 1 to %llu", (unsigned)k, embeds(e) ? "so many texts" : "the vocabulary's tokens", (unsigned long long)limit);
  e->top_k = k;
  if (!embeds(e)) return PITH_OK;   /* begin_blocks knows how many rows there are */
  for (int i = 0; i < 2; i++) PITH_TRY(pith_calloc(ctx, k, sizeof **e->best, &e->best[i]));
  PITH_TRY(pith_calloc(ctx, e->texts->n, sizeof *e->similarities, &e->similarities));
  return pith_evaluation_keep(ctx, e);
}

pith_status pith_evaluation_per_layer(pith_ctx *ctx, pith_evaluation *e) {
  if (e->n_sides < 2) return pith_fail(ctx, PITH_E_ARGUMENT, "an error by layer is one of two models: say against which");
  return pith_per_layer_init(ctx, &e->per_layer, e->sources[0]->model, e->sources[1]->model);
}

pith_status pith_evaluation_pairs(pith_ctx *ctx, pith_evaluation *e, const char *const *seconds) {
  if (task_of(e) != PITH_TASK_CLASSIFY)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "pairs of texts are for models that classify, and this one is for %s", pith_task_name(task_of(e)));
  e->seconds = seconds;
  return PITH_OK;
}

/* Encoders get their special tokens and their limit; the windows of decoders get a first token each. */
static pith_status encode(pith_ctx *ctx, pith_evaluation *e, int side, size_t i) {
  const pith_model *model = e->sources[side]->model;
  const char *text = e->texts->texts[i], *second = e->seconds ? e->seconds[i] : NULL;
  const size_t n_bytes = e->texts->n_bytes[i];
  if (second) return pith_model_encode_pair(ctx, model, (const char *const[]){text, second}, (const size_t[]){n_bytes, strlen(second)}, &e->ids[side], &e->types[side]);
  PITH_TRY(pith_model_encode(ctx, model, text, n_bytes, !generates(e), !generates(e), &e->ids[side]));
  while (e->seconds && e->types[side].n < e->ids[side].n) PITH_TRY(pith_ids_append(ctx, &e->types[side], 0));
  return PITH_OK;
}

static pith_status tokenize(pith_ctx *ctx, pith_evaluation *e, size_t i) {
  for (int side = 0; side < e->n_sides; side++) {
    if (tokens_of(e, side) != side) continue;
    const pith_status status = encode(ctx, e, side, i);
    if (status != PITH_OK && e->texts->n > 1) {
      char which[48];
      pith_snprintf(which, sizeof which, "text %llu", (unsigned long long)i + 1);
      return pith_fail_in(ctx, status, which);
    }
    PITH_TRY(status);
    e->ends[side][i] = e->ids[side].n;
  }
  e->n_text_bytes += e->texts->n_bytes[i];
  return PITH_OK;
}

typedef struct window {
  const int32_t *ids;        /* (n_ids) */
  uint32_t n_first, n_ids;   /* n_first: 1 where the model's first token goes before them */
} window;

/* The next window: the first token, if the model has one, then as many of the text's as fit. False at the end of all texts. */
static bool take_window(const pith_evaluation *e, pith_window_cursor *at, window *out) {
  const int tokens = tokens_of(e, 0);
  const uint32_t n_first = config_of(e)->bos_id >= 0 ? 1 : 0, room = context_of(e) - n_first;
  for (; at->text < e->texts->n; at->text++, at->begin = 0) {
    const size_t begin = at->text > 0 ? e->ends[tokens][at->text - 1] : 0, left = e->ends[tokens][at->text] - begin - at->begin;
    if (left < (n_first ? 1u : 2u)) continue;   /* there is nothing to guess */
    *out = (window){e->ids[tokens].ids + begin + at->begin, n_first, left < room ? (uint32_t)left : room};
    at->begin += out->n_ids;
    if (n_first + out->n_ids > 1) return true;
  }
  return false;
}

static size_t begin_of(const pith_evaluation *e, int side, size_t text) { return text > 0 ? e->ends[tokens_of(e, side)][text - 1] : 0; }

static uint32_t rows_of_window(const window *w) { return w->n_first + w->n_ids - 1; }   /* the last token only has to be guessed */

/* Rows of both sides are compared one by one: each has to be of the same token. */
static pith_status check_tokens(pith_ctx *ctx, const pith_evaluation *e) {
  const int a = tokens_of(e, 0), b = tokens_of(e, 1);
  const bool same = a == b || (memcmp(e->ends[a], e->ends[b], e->texts->n * sizeof **e->ends) == 0 && memcmp(e->ids[a].ids, e->ids[b].ids, e->ids[a].n * sizeof *e->ids[a].ids) == 0);
  return same ? PITH_OK : pith_fail(ctx, PITH_E_ARGUMENT, "the texts have not the same tokens in both models: there is no error by layer");
}

/* All tokens are known: how much there is to do, and the room of a decoder's blocks. */
static pith_status begin_blocks(pith_ctx *ctx, pith_evaluation *e) {
  e->unit = PITH_EVAL_BLOCK;
  if (e->per_layer.items) PITH_TRY(check_tokens(ctx, e));
  if (embeds(e)) {
    e->total = (double)e->ids[tokens_of(e, 0)].n;
    return PITH_OK;
  }
  uint64_t n_rows = 0;
  uint32_t longest = 0;
  window w;
  for (pith_window_cursor at = {0, 0}; generates(e) && take_window(e, &at, &w);) {
    n_rows += rows_of_window(&w);
    if (rows_of_window(&w) > longest) longest = rows_of_window(&w);
  }
  for (size_t i = 0; !generates(e) && i < e->texts->n; i++) {
    const uint32_t n = (uint32_t)(begin_of(e, 0, i + 1) - begin_of(e, 0, i));
    if (n == 0) return pith_fail(ctx, PITH_E_ARGUMENT, "text %llu has no token", (unsigned long long)i + 1);
    n_rows += n;
    if (n > longest) longest = n;
  }
  if (n_rows == 0) return pith_fail(ctx, PITH_E_ARGUMENT, "the texts have no token to guess");
  e->total = (double)n_rows;
  if (e->block_rows < longest) e->block_rows = longest;
  if (e->block_rows > n_rows) e->block_rows = (uint32_t)n_rows;
  e->chunk_rows = pith_layerwise_head_chunk(config_of(e), outputs_of(e));
  PITH_TRY(pith_calloc(ctx, e->block_rows, sizeof *e->block_ids, &e->block_ids));
  PITH_TRY(pith_calloc(ctx, e->block_rows, sizeof *e->targets, &e->targets));
  PITH_TRY(pith_calloc(ctx, e->block_rows, sizeof *e->scores, &e->scores));
  for (uint32_t row = 0; !generates(e) && row < e->block_rows; row++) e->targets[row] = -1;   /* nobody says what should have come */
  for (int i = 0; e->top_k && i < 2; i++) PITH_TRY(pith_calloc(ctx, e->block_rows, e->top_k * sizeof **e->best, &e->best[i]));
  for (int i = 0; i < e->n_sides; i++)
    PITH_TRY(pith_calloc(ctx, (size_t)PITH_HEAD_ROWS * e->chunk_rows, sizeof **e->logits, &e->logits[i]));
  return PITH_OK;
}

static pith_status step_tokenize(pith_ctx *ctx, pith_evaluation *e) {
  for (size_t n_bytes = 0; n_bytes < TOKENIZE_BYTES && e->n_tokenized < e->texts->n; e->n_tokenized++) {
    PITH_TRY(tokenize(ctx, e, e->n_tokenized));
    n_bytes += e->texts->n_bytes[e->n_tokenized] + 1;
  }
  if (e->n_tokenized == e->texts->n) PITH_TRY(begin_blocks(ctx, e));
  return PITH_PENDING;
}

static void end_block(pith_ctx *ctx, pith_evaluation *e) {
  for (int i = 0; i < 2; i++) {
    pith_layerwise_free(ctx, &e->runs[i]);
    pith_free(ctx, e->embeddings[i]);
    pith_free(ctx, e->sequences[i]);
    e->embeddings[i] = NULL;
    e->sequences[i] = NULL;
  }
  e->rows_before += e->n_rows;
  e->n_rows = 0;
}

/* Rows of texts [first, end) on the side that has more of them; a text counts at least one. */
static uint64_t rows_of_texts(const pith_evaluation *e, size_t first, size_t end) {
  uint64_t most = end - first;
  for (int i = 0; i < e->n_sides; i++) {
    const uint64_t rows = begin_of(e, i, end) - begin_of(e, i, first);
    if (rows > most) most = rows;
  }
  return most;
}

/* As many texts as a block takes, at least one; pairs stay together. PITH_OK at the end. */
static pith_status begin_text_block(pith_ctx *ctx, pith_evaluation *e) {
  const size_t step = e->paired ? 2 : 1;
  e->first_text = e->next_text;
  if (e->first_text >= e->texts->n) return PITH_OK;
  do e->next_text += step;
  while (e->next_text + step <= e->texts->n && rows_of_texts(e, e->first_text, e->next_text + step) <= e->block_rows);
  e->n_sequences = (uint32_t)(e->next_text - e->first_text);
  e->n_rows = (uint32_t)(begin_of(e, 0, e->next_text) - begin_of(e, 0, e->first_text));
  e->n_scored = task_of(e) == PITH_TASK_CLASSIFY ? e->n_sequences : e->n_rows;
  for (int i = 0; i < e->n_sides; i++) {
    PITH_TRY(pith_calloc(ctx, e->n_sequences, sizeof **e->sequences, &e->sequences[i]));
    if (embeds(e)) PITH_TRY(pith_calloc(ctx, e->n_sequences, (size_t)config_of(e)->hidden_size * sizeof **e->embeddings, &e->embeddings[i]));
    uint32_t row = 0;
    for (uint32_t t = 0; t < e->n_sequences; t++) {
      const size_t text = e->first_text + t;
      e->sequences[i][t] = (pith_span){row, (uint32_t)(begin_of(e, i, text + 1) - begin_of(e, i, text)), 0};
      row += e->sequences[i][t].n_rows;
    }
  }
  return PITH_PENDING;
}

/* As many windows as fit. PITH_OK at the end. */
static pith_status begin_scoring_block(pith_ctx *ctx, pith_evaluation *e) {
  window w;
  e->n_sequences = 0;
  PITH_TRY(pith_calloc(ctx, e->block_rows, sizeof **e->sequences, &e->sequences[0]));
  for (pith_window_cursor at = e->next_window; take_window(e, &at, &w) && e->n_rows + rows_of_window(&w) <= e->block_rows; e->next_window = at) {
    const uint32_t n = rows_of_window(&w);
    int32_t *ids = e->block_ids + e->n_rows, *targets = e->targets + e->n_rows;
    if (w.n_first) ids[0] = config_of(e)->bos_id;
    memcpy(ids + w.n_first, w.ids, (n - w.n_first) * sizeof *ids);
    memcpy(targets, w.ids + 1 - w.n_first, n * sizeof *targets);
    e->sequences[0][e->n_sequences++] = (pith_span){e->n_rows, n, 0};
    e->n_rows += n;
  }
  e->n_scored = e->n_rows;
  return e->n_rows > 0 ? PITH_PENDING : PITH_OK;
}

static pith_status begin_run(pith_ctx *ctx, pith_evaluation *e, int side) {
  e->which = side;
  e->unit = PITH_EVAL_RUN;
  const size_t begin = begin_of(e, side, e->first_text);
  const int tokens = tokens_of(e, side);
  PITH_TRY(pith_layerwise_begin(ctx, &e->runs[side], e->sources[side], generates(e) ? e->block_ids : e->ids[tokens].ids + begin, e->sequences[embeds(e) ? side : 0], e->n_sequences));
  if (e->seconds) e->runs[side].types = e->types[tokens].ids + begin;
  return PITH_OK;
}

static pith_status step_block(pith_ctx *ctx, pith_evaluation *e) {
  const pith_status status = generates(e) ? begin_scoring_block(ctx, e) : begin_text_block(ctx, e);
  if (status == PITH_OK) {
    e->unit = e->similarities ? PITH_EVAL_NEIGHBOURS : PITH_EVAL_DONE;
    e->done = e->total;
    return e->similarities ? PITH_PENDING : PITH_OK;
  }
  if (status != PITH_PENDING) return status;
  PITH_TRY(begin_run(ctx, e, 0));
  if (e->per_layer.items) PITH_TRY(begin_run(ctx, e, 1));   /* both side by side */
  return PITH_PENDING;
}

/* Embeddings out of the rows, which are not needed any more. */
static void pool(pith_ctx *ctx, pith_evaluation *e, int side) {
  const pith_model *model = e->sources[side]->model;
  const size_t h = (size_t)model->config.hidden_size;
  for (uint32_t t = 0; t < e->n_sequences; t++) {
    const pith_span *span = &e->sequences[side][t];
    pith_pool(model, e->runs[side].x + span->row * h, span->n_rows, model->config.normalize, e->embeddings[side] + t * h);
  }
  if (e->kept[side]) memcpy(e->kept[side] + e->first_text * h, e->embeddings[side], e->n_sequences * h * sizeof(float));
  pith_layerwise_free(ctx, &e->runs[side]);
}

static void compare_embeddings(pith_evaluation *e) {
  const size_t h = (size_t)config_of(e)->hidden_size;
  for (uint32_t t = 0; e->n_sides == 2 && t < e->n_sequences; t++) {
    const double cosine = pith_cosine(e->embeddings[0] + t * h, e->embeddings[1] + t * h, h);
    e->cosine_sum += cosine;
    if (cosine < e->cosine_min) e->cosine_min = cosine;
  }
  for (int i = 0; e->paired && i < e->n_sides; i++)
    for (uint32_t t = 0; t + 1 < e->n_sequences; t += 2)
      e->pair_cosines[i][(e->first_text + t) / 2] = pith_cosine(e->embeddings[i] + t * h, e->embeddings[i] + (t + 1) * h, h);
}

/* Of each text the first row, which a label is made of. */
static void take_first_rows(pith_evaluation *e, int side) {
  const size_t h = (size_t)e->sources[side]->model->config.hidden_size;
  float *x = e->runs[side].x;
  for (uint32_t t = 0; t < e->n_sequences; t++) memmove(x + t * h, x + e->sequences[0][t].row * h, h * sizeof *x);
}

static pith_status begin_scores(pith_ctx *ctx, pith_evaluation *e) {
  for (int i = 0; i < e->n_sides; i++) {
    if (task_of(e) == PITH_TASK_CLASSIFY) take_first_rows(e, i);
    PITH_TRY(pith_layerwise_head_begin(ctx, &e->runs[i], e->chunk_rows));
  }
  for (uint32_t row = 0; row < e->n_scored; row++) pith_score_init(&e->scores[row]);
  e->first = e->n_chunk = 0;
  e->row = e->n_scored;
  e->unit = PITH_EVAL_SCORE;
  return PITH_OK;
}

static pith_status step_run(pith_ctx *ctx, pith_evaluation *e) {
  const bool both = e->per_layer.items != NULL;
  const pith_status status = both ? pith_per_layer_step(ctx, &e->per_layer, e->runs) : pith_layerwise_step(ctx, &e->runs[e->which]);
  if (status != PITH_OK) return status;
  for (int i = both ? 0 : e->which; embeds(e) && i <= e->which; i++) pool(ctx, e, i);
  if (e->which + 1 < e->n_sides) {
    PITH_TRY(begin_run(ctx, e, e->which + 1));
  } else if (embeds(e)) {
    compare_embeddings(e);
    end_block(ctx, e);
    e->unit = PITH_EVAL_BLOCK;
  } else {
    PITH_TRY(begin_scores(ctx, e));
  }
  return PITH_PENDING;
}

/* Which share of k best ones two lists have in common. */
static double overlap(const pith_prediction *a, const pith_prediction *b, uint32_t k) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < k; i++)
    for (uint32_t j = 0; j < k; j++) n += a[i].id == b[j].id;
  return (double)n / k;
}

static void add_scores(pith_ctx *ctx, pith_evaluation *e) {
  for (uint32_t row = 0; row < e->n_scored; row++) {
    const pith_score *score = &e->scores[row];
    if (generates(e)) e->nll_sum += pith_score_nll(score, 0);
    e->n_tokens++;
    if (e->n_sides == 1) continue;
    if (generates(e)) e->nll_sum_against += pith_score_nll(score, 1);
    if (e->top_k) e->overlap_sum += overlap(e->best[0] + (size_t)row * e->top_k, e->best[1] + (size_t)row * e->top_k, e->top_k);
    e->kl_sum += pith_score_kl(score);
    e->n_agree += score->sides[0].best == score->sides[1].best;
  }
  end_block(ctx, e);
  e->unit = PITH_EVAL_BLOCK;
}

/* Rows [e->row, …) with the chunk's logits, divided over rows. */
static void score_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const pith_evaluation *e = arg;
  (void)thread;
  for (size_t r = pith_share_begin(e->n_tile, part, n_parts); r < pith_share_end(e->n_tile, part, n_parts); r++) {
    const float *parent = e->n_sides == 2 ? e->logits[1] + r * e->chunk_rows : NULL;
    pith_score_add(&e->scores[e->row + r], e->logits[0] + r * e->chunk_rows, parent, (int32_t)e->first, (int32_t)e->n_chunk, e->targets[e->row + r]);
    for (int i = 0; i < e->n_sides; i++) {
      const float *logits = e->logits[i] + r * e->chunk_rows;
      if (e->top_k) pith_best(logits, e->first, e->n_chunk, e->top_k, e->best[i] + (e->row + r) * e->top_k);
      if (e->kept[i]) memcpy(e->kept[i] + (e->first_text + e->row + r) * e->width + e->first, logits, e->n_chunk * sizeof *logits);
    }
  }
}

/* A chunk of the head read, or its logits for some rows. */
static pith_status step_score(pith_ctx *ctx, pith_evaluation *e) {
  const uint32_t vocab = outputs_of(e);
  if (e->row == e->n_scored) {
    e->first += e->n_chunk;
    if (e->first == vocab) {
      add_scores(ctx, e);
      return PITH_PENDING;
    }
    e->n_chunk = vocab - e->first < e->chunk_rows ? vocab - e->first : e->chunk_rows;
    for (int i = 0; i < e->n_sides; i++) PITH_TRY(pith_layerwise_head_read(ctx, &e->runs[i], e->first, e->n_chunk));
    e->row = 0;
    return PITH_PENDING;
  }
  e->n_tile = e->n_scored - e->row < PITH_HEAD_ROWS ? e->n_scored - e->row : PITH_HEAD_ROWS;
  for (int i = 0; i < e->n_sides; i++) pith_layerwise_head_logits(&e->runs[i], e->runs[i].x + (size_t)e->row * (size_t)config_of(e)->hidden_size, e->n_tile, e->logits[i]);
  pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, e->n_tile, e->n_chunk * (double)e->n_sides * LOGIT_NS), score_rows, e);
  e->row += e->n_tile;
  return PITH_PENDING;
}

static void similar_texts(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const pith_evaluation *e = arg;
  const float *kept = e->kept[e->which];
  (void)thread;
  for (size_t i = pith_share_begin(e->texts->n, part, n_parts); i < pith_share_end(e->texts->n, part, n_parts); i++)
    e->similarities[i] = i == e->next_neighbours ? -2.0f : (float)pith_cosine(kept + i * e->width, kept + e->next_neighbours * e->width, e->width);
}

/* A text's neighbours on both sides. */
static pith_status step_neighbours(pith_ctx *ctx, pith_evaluation *e) {
  if (e->next_neighbours == e->texts->n) {
    e->unit = PITH_EVAL_DONE;
    return PITH_OK;
  }
  for (e->which = 0; e->which < 2; e->which++) {
    pith_parallel_run(ctx->parallel, pith_parallel_parts(ctx->parallel, e->texts->n, e->width * COSINE_NS), similar_texts, e);
    pith_best(e->similarities, 0, (uint32_t)e->texts->n, e->top_k, e->best[e->which]);
  }
  e->overlap_sum += overlap(e->best[0], e->best[1], e->top_k);
  e->next_neighbours++;
  return PITH_PENDING;
}

/* Tokens done: those of the blocks before, and of this one as much as its work is done, layers and head weighed by their size. */
static void report_progress(pith_evaluation *e) {
  double done = 0.0, total = 0.0;
  for (int i = 0; i < e->n_sides; i++) {
    const pith_config *c = &e->sources[i]->model->config;
    const double layers = (double)c->n_layers * (double)c->hidden_size * (4.0 * (double)c->hidden_size + 2.0 * (double)c->intermediate_size);
    const double head = embeds(e) ? 0.0 : (double)c->hidden_size * (double)outputs_of(e);
    total += layers + head;
    if (e->unit == PITH_EVAL_SCORE) done += layers + head * ((double)e->first + (double)e->n_chunk * e->row / e->n_scored) / (double)outputs_of(e);
    else if (e->unit == PITH_EVAL_RUN && i <= e->which) done += layers * (i < e->which && !e->per_layer.items ? 1.0 : pith_layerwise_progress(&e->runs[i]));
  }
  if (e->unit == PITH_EVAL_RUN || e->unit == PITH_EVAL_SCORE) e->done = floor((double)e->rows_before + (double)e->n_rows * done / total);
}

pith_status pith_evaluation_step(pith_ctx *ctx, pith_evaluation *e) {
  pith_status status = PITH_OK;
  switch (e->unit) {
    case PITH_EVAL_TOKENIZE: status = step_tokenize(ctx, e); break;
    case PITH_EVAL_BLOCK: status = step_block(ctx, e); break;
    case PITH_EVAL_RUN: status = step_run(ctx, e); break;
    case PITH_EVAL_SCORE: status = step_score(ctx, e); break;
    case PITH_EVAL_NEIGHBOURS: status = step_neighbours(ctx, e); break;
    case PITH_EVAL_DONE: break;
  }
  report_progress(e);
  return status;
}

void pith_evaluation_free(pith_ctx *ctx, pith_evaluation *e) {
  end_block(ctx, e);
  for (int i = 0; i < 2; i++) {
    pith_free(ctx, e->logits[i]);
    pith_free(ctx, e->kept[i]);
    pith_free(ctx, e->best[i]);
    pith_free(ctx, e->pair_cosines[i]);
    pith_ids_free(ctx, &e->ids[i]);
    pith_ids_free(ctx, &e->types[i]);
    pith_free(ctx, e->ends[i]);
  }
  pith_free(ctx, e->block_ids);
  pith_free(ctx, e->targets);
  pith_free(ctx, e->scores);
  pith_free(ctx, e->similarities);
  pith_per_layer_free(ctx, &e->per_layer);
  memset(e, 0, sizeof *e);
}

static double log_sigmoid(double x) {
  const double a = fabs(x) < 600.0 ? fabs(x) : 600.0;
  return (x < 0.0 ? -a : 0.0) - pith_log(1.0 + pith_exp(-a));
}

/* Labels that are no choice: the divergence and the decisions of each by itself; a regression: the difference. */
static void report_outputs(const pith_evaluation *e, pith_json *out) {
  const size_t n = e->texts->n * e->width;
  double kl = 0.0, difference = 0.0, n_agree = 0.0;
  for (size_t i = 0; i < n; i++) {
    const double model = (double)e->kept[0][i], parent = (double)e->kept[1][i], p = pith_exp(log_sigmoid(parent));
    kl += p * (log_sigmoid(parent) - log_sigmoid(model)) + (1.0 - p) * (log_sigmoid(-parent) - log_sigmoid(-model));
    n_agree += (e->kept[0][i] >= 0.0f) == (e->kept[1][i] >= 0.0f);
    difference += fabs((double)e->kept[0][i] - (double)e->kept[1][i]);
  }
  if (config_of(e)->scoring == PITH_SCORE_RAW) {
    pith_json_add_number(out, "absoluteErrorMean", difference / (double)n);
    return;
  }
  pith_json_add_number(out, "klMean", kl / (double)e->texts->n);
  pith_json_add_number(out, "labelAgreement", n_agree / (double)n);
}

void pith_evaluation_report(const pith_evaluation *e, pith_json *out) {
  pith_json_add_number(out, "texts", (double)e->texts->n);
  if (e->per_layer.items) pith_per_layer_report(&e->per_layer, out);
  if (e->top_k) pith_json_add_number(out, "topKOverlap", e->overlap_sum / (embeds(e) ? (double)e->texts->n : (double)e->n_tokens));
  if (embeds(e)) {
    if (e->n_sides == 1) return;
    pith_json_add_number(out, "cosineMean", e->cosine_sum / (double)e->texts->n);
    pith_json_add_number(out, "cosineMin", e->cosine_min);
    return;
  }
  const double n = (double)e->n_tokens;
  if (!generates(e)) {
    if (task_of(e) != PITH_TASK_CLASSIFY) pith_json_add_number(out, "tokens", n);
    if (e->n_sides == 1) return;
    if (config_of(e)->scoring != PITH_SCORE_SOFTMAX) {
      report_outputs(e, out);
      return;
    }
    pith_json_add_number(out, "klMean", e->kl_sum / n);
    pith_json_add_number(out, "top1Agreement", e->n_agree / n);
    return;
  }
  pith_json_add_number(out, "tokens", n);
  pith_json_add_number(out, "nllMean", e->nll_sum / n);
  pith_json_add_number(out, "perplexity", pith_exp(e->nll_sum / n));
  pith_json_add_number(out, "bitsPerByte", e->nll_sum / 0.69314718055994531 / (double)e->n_text_bytes);
  if (e->n_sides == 1) return;
  pith_json_add_number(out, "nllMeanAgainst", e->nll_sum_against / n);
  pith_json_add_number(out, "perplexityAgainst", pith_exp(e->nll_sum_against / n));
  pith_json_add_number(out, "klMean", e->kl_sum / n);
  pith_json_add_number(out, "top1Agreement", e->n_agree / n);
}

pith_status pith_evaluation_similarity(pith_ctx *ctx, const pith_evaluation *e, const double *scores, pith_json *out) {
  static const char *const names[2][2] = {{"spearmanX100", "pearsonX100"}, {"spearmanX100Against", "pearsonX100Against"}};
  const size_t n_pairs = e->texts->n / 2;
  for (int i = 0; i < e->n_sides; i++) {
    double spearman;
    PITH_TRY(pith_spearman(ctx, e->pair_cosines[i], scores, n_pairs, &spearman));
    pith_json_add_number(out, names[i][0], 100.0 * spearman);
    pith_json_add_number(out, names[i][1], 100.0 * pith_pearson(e->pair_cosines[i], scores, n_pairs));
  }
  return PITH_OK;
}
