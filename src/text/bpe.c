/* Byte-pair encoding (Sennrich et al. 2016) with a heap over the pairs that can merge: O(n log n) for any word. */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

static uint32_t hash_pair(int32_t left, int32_t right) {
  uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
  return (uint32_t)(h >> 32);
}

const pith_merge *pith_merge_find(const pith_tokenizer *t, int32_t left, int32_t right) {
  if (!t->n_merge_slots) return NULL;
  const uint32_t mask = t->n_merge_slots - 1;
  for (uint32_t i = hash_pair(left, right) & mask; t->merges[i].left >= 0; i = (i + 1) & mask)
    if (t->merges[i].left == left && t->merges[i].right == right) return &t->merges[i];
  return NULL;
}

void pith_merge_insert(pith_tokenizer *t, const pith_merge *merge) {
  const uint32_t mask = t->n_merge_slots - 1;
  uint32_t i = hash_pair(merge->left, merge->right) & mask;
  while (t->merges[i].left >= 0 && !(t->merges[i].left == merge->left && t->merges[i].right == merge->right)) i = (i + 1) & mask;
  t->merges[i] = *merge;
}

typedef struct symbol {
  int32_t id;
  int32_t before, after;   /* neighbours, -1 at the ends */
  bool gone;
} symbol;

typedef struct candidate {
  int32_t rank, at, id;    /* merging symbols[at] with its right neighbour gives id */
} candidate;

typedef struct word {
  symbol *symbols;
  candidate *heap;
  size_t n, n_heap;
} word;

static bool sooner(const candidate *a, const candidate *b) { return a->rank < b->rank || (a->rank == b->rank && a->at < b->at); }

/* The heap never holds more than 3 n candidates: n - 1 to begin with and two for each of n - 1 merges. */
static void push(const pith_tokenizer *t, word *w, int32_t at) {
  if (at < 0 || w->symbols[at].after < 0) return;
  const pith_merge *merge = pith_merge_find(t, w->symbols[at].id, w->symbols[w->symbols[at].after].id);
  if (!merge) return;
  const candidate added = {merge->rank, at, merge->id};
  size_t i = w->n_heap++;
  for (; i > 0 && sooner(&added, &w->heap[(i - 1) / 2]); i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
  w->heap[i] = added;
}

static candidate pop(word *w) {
  const candidate top = w->heap[0], last = w->heap[--w->n_heap];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < w->n_heap; i = child) {
    if (child + 1 < w->n_heap && sooner(&w->heap[child + 1], &w->heap[child])) child++;
    if (!sooner(&w->heap[child], &last)) break;
    w->heap[i] = w->heap[child];
  }
  w->heap[i] = last;
  return top;
}

static void merge_all(const pith_tokenizer *t, word *w) {
  for (size_t i = 0; i + 1 < w->n; i++) push(t, w, (int32_t)i);
  while (w->n_heap > 0) {
    const candidate c = pop(w);
    symbol *left = &w->symbols[c.at];
    if (left->gone || left->after < 0) continue;
    symbol *right = &w->symbols[left->after];
    const pith_merge *merge = pith_merge_find(t, left->id, right->id);
    if (!merge || merge->id != c.id) continue;   /* a neighbour has merged since */
    left->id = c.id;
    right->gone = true;
    left->after = right->after;
    if (right->after >= 0) w->symbols[right->after].before = c.at;
    push(t, w, left->before);
    push(t, w, c.at);
  }
}

static void add_symbol(word *w, int32_t id) {
  const int32_t at = (int32_t)w->n++;
  w->symbols[at] = (symbol){id, at - 1, -1, false};
  if (at > 0) w->symbols[at - 1].after = at;
}

/* A character as the vocabulary has it: with the prefix unless it begins the word, with the suffix if it ends it. */
typedef struct affixed {
  char text[72];
  size_t n;
} affixed;

static affixed with_affixes(const pith_tokenizer *t, const char *character, size_t n, bool first, bool last) {
  affixed a = {.n = 0};
  const size_t n_prefix = first ? 0 : strlen(t->prefix), n_suffix = last ? strlen(t->suffix) : 0;
  memcpy(a.text, t->prefix, n_prefix);
  memcpy(a.text + n_prefix, character, n);
  memcpy(a.text + n_prefix + n, t->suffix, n_suffix);
  a.n = n_prefix + n + n_suffix;
  return a;
}

static bool has_bytes(const pith_tokenizer *t, const affixed *a) {
  for (size_t k = 0; k < a->n; k++)
    if (t->byte_ids[(uint8_t)a->text[k]] < 0) return false;
  return t->byte_fallback;
}

/* One symbol a character; unknown ones fall back to bytes, or to the unknown token (one for several if asked). An unknown token waits until
 * something known follows, and bytes do not count as that: so the library has it. */
static pith_status split_characters(pith_ctx *ctx, const pith_tokenizer *t, const char *text, size_t n_bytes, word *w) {
  bool unknown_waits = false;
  for (size_t i = 0, n; i < n_bytes; i += n) {
    uint32_t c;
    n = pith_utf8_decode(text + i, n_bytes - i, &c);
    const affixed a = with_affixes(t, text + i, n, i == 0, i + n == n_bytes);
    const int32_t id = pith_string_map_get(&t->vocab, a.text, a.n);
    if (id < 0 && has_bytes(t, &a)) {
      for (size_t k = 0; k < a.n; k++) add_symbol(w, t->byte_ids[(uint8_t)a.text[k]]);
      continue;
    }
    if (id < 0 && t->unk_missing) return pith_unknown_missing(ctx, text + i, n);
    if (id < 0 && t->unk_id < 0) continue;
    if (unknown_waits && (id >= 0 || !t->fuse_unk)) add_symbol(w, t->unk_id);
    if (id >= 0) add_symbol(w, id);
    unknown_waits = id < 0;
  }
  if (unknown_waits) add_symbol(w, t->unk_id);
  return PITH_OK;
}

pith_status pith_bpe_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *text, size_t n_bytes, pith_ids *out) {
  if (t->ignore_merges) {
    const int32_t whole = pith_string_map_get(&t->vocab, text, n_bytes);
    if (whole >= 0) return pith_ids_append(ctx, out, whole);
  }
  /* a symbol a byte, and bytes for the affixes of every character that has no token of its own */
  const size_t most = (n_bytes + 1) * (1 + (t->byte_fallback ? strlen(t->prefix) + strlen(t->suffix) : 0));
  if (most > INT32_MAX / 4) return pith_fail(ctx, PITH_E_LIMIT, "a text of %llu bytes is too long for one word", (unsigned long long)n_bytes);
  word w = {0};
  pith_status status = pith_malloc(ctx, most * sizeof *w.symbols, &w.symbols);
  if (status == PITH_OK) status = split_characters(ctx, t, text, n_bytes, &w);
  if (status == PITH_OK) status = pith_malloc(ctx, 3 * w.n * sizeof *w.heap, &w.heap);
  if (status == PITH_OK) {
    merge_all(t, &w);
    for (size_t i = 0; i < w.n && status == PITH_OK; i++)
      if (!w.symbols[i].gone) status = pith_ids_append(ctx, out, w.symbols[i].id);
  }
  pith_free(ctx, w.symbols);
  pith_free(ctx, w.heap);
  return status;
}
