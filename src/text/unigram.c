/* Unigram (Kudo 2018): the segmentation whose pieces' scores sum to most, by Viterbi's algorithm over the ends of pieces. */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

typedef struct node {
  double score;              /* of the best way to here */
  int32_t begin, id;         /* of its last piece; begin -1: not reached */
} node;

static void offer(node *end, double score, int32_t begin, int32_t id) {
  if (end->begin < 0 || score > end->score) *end = (node){score, begin, id};
}

static pith_status find_best(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, node *nodes) {
  for (size_t i = 0; i <= n_bytes; i++) nodes[i] = (node){0, -1, -1};
  for (size_t begin = 0, n; begin < n_bytes; begin += n) {
    uint32_t c;
    bool has_single = false;
    n = pith_utf8_decode(word + begin, n_bytes - begin, &c);
    pith_prefix prefix = pith_prefix_all(&t->vocab);
    for (size_t i = begin; i < n_bytes && pith_prefix_extend(&t->vocab, &prefix, word[i]); i++) {
      const int32_t id = pith_prefix_key(&t->vocab, &prefix);
      if (id < 0) continue;
      offer(&nodes[i + 1], t->scores[id] + nodes[begin].score, (int32_t)begin, id);
      has_single = has_single || i + 1 == begin + n;
    }
    if (has_single) continue;
    node *end = &nodes[begin + n];
    const node before = *end;
    offer(end, t->unk_score + nodes[begin].score, (int32_t)begin, t->unk_id);
    if (t->unk_id < 0 && end->begin != before.begin) return pith_unknown_missing(ctx, word + begin, n);
  }
  return PITH_OK;
}

/* A run of unknown characters is one piece. It may be in the vocabulary after all, or fall back to its bytes. */
static pith_status append_unknown(pith_ctx *ctx, const pith_tokenizer *t, const char *piece, size_t n_bytes, pith_ids *out) {
  const int32_t id = pith_string_map_get(&t->vocab, piece, n_bytes);
  if (id >= 0) return pith_ids_append(ctx, out, id);
  bool bytes = t->byte_fallback;
  for (size_t i = 0; i < n_bytes && bytes; i++) bytes = t->byte_ids[(uint8_t)piece[i]] >= 0;
  if (!bytes) return pith_ids_append(ctx, out, t->unk_id);
  for (size_t i = 0; i < n_bytes; i++) PITH_TRY(pith_ids_append(ctx, out, t->byte_ids[(uint8_t)piece[i]]));
  return PITH_OK;
}

/* Turns the links of the best way around, so that each node says where the next piece ends; then follows them. */
static pith_status append_best(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, node *nodes, pith_ids *out) {
  int32_t id = -1;
  for (int32_t at = (int32_t)n_bytes, next = -1; at >= 0;) {
    const node here = nodes[at];
    nodes[at] = (node){0, next, id};   /* the piece behind this place: its end and its id */
    next = at;
    id = here.id;
    at = at > 0 ? here.begin : -1;
  }
  for (int32_t at = 0; at < (int32_t)n_bytes;) {
    int32_t end = nodes[at].begin;
    const bool unknown = nodes[at].id == t->unk_id;
    while (unknown && end < (int32_t)n_bytes && nodes[end].id == t->unk_id) end = nodes[end].begin;
    PITH_TRY(unknown ? append_unknown(ctx, t, word + at, (size_t)(end - at), out) : pith_ids_append(ctx, out, nodes[at].id));
    at = end;
  }
  return PITH_OK;
}

pith_status pith_unigram_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, pith_ids *out) {
  if (n_bytes > INT32_MAX / 4) return pith_fail(ctx, PITH_E_LIMIT, "a text of %llu bytes is too long for one word", (unsigned long long)n_bytes);
  node *nodes;
  PITH_TRY(pith_malloc(ctx, (n_bytes + 1) * sizeof *nodes, &nodes));
  pith_status status = find_best(ctx, t, word, n_bytes, nodes);
  if (status == PITH_OK) status = append_best(ctx, t, word, n_bytes, nodes, out);
  pith_free(ctx, nodes);
  return status;
}
