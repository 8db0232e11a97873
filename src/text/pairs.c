#include "text/pairs.h"

#include <string.h>

#include "text/text_internal.h"

static void add_item(pith_tokenizer *t, int32_t id, int64_t type) {
  if (t->n_pair < PITH_MAX_PAIR) t->pair[t->n_pair] = (pith_pair_item){id, (int32_t)type};
  t->n_pair++;   /* beyond the room: it will be dropped */
}

/* False: what the template says cannot be followed. */
static bool read_template(const pith_json *json, pith_tokenizer *t) {
  for (const pith_json *item = pith_json_first(pith_json_get(json, "pair")); item; item = pith_json_next(item)) {
    const pith_json *sequence = pith_json_get(item, "Sequence"), *special = pith_json_get(item, "SpecialToken");
    const char *name = pith_json_string(pith_json_get(sequence ? sequence : special, "id"));
    int64_t type, id;
    if (!name || !pith_json_integer(pith_json_get(sequence ? sequence : special, "type_id"), 0, 1, &type)) return false;
    if (sequence) {
      if (strcmp(name, "A") != 0 && strcmp(name, "B") != 0) return false;
      add_item(t, *name == 'A' ? PITH_PAIR_FIRST : PITH_PAIR_SECOND, type);
      continue;
    }
    for (const pith_json *n = pith_json_first(pith_json_get(pith_json_get(pith_json_get(json, "special_tokens"), name), "ids")); n; n = pith_json_next(n)) {
      if (!pith_json_integer(n, 0, INT32_MAX - 1, &id)) return false;
      add_item(t, (int32_t)id, type);
    }
  }
  return true;
}

/* BERT's [CLS] A [SEP] B [SEP], or RoBERTa's <s> A </s></s> B </s>. Opening has looked at both tokens. */
static void read_known(const pith_json *json, bool bert, pith_tokenizer *t) {
  int64_t cls = 0, sep = 0;
  (void)pith_json_integer(pith_json_next(pith_json_first(pith_json_get(json, "cls"))), 0, INT32_MAX - 1, &cls);
  (void)pith_json_integer(pith_json_next(pith_json_first(pith_json_get(json, "sep"))), 0, INT32_MAX - 1, &sep);
  add_item(t, (int32_t)cls, 0);
  add_item(t, PITH_PAIR_FIRST, 0);
  add_item(t, (int32_t)sep, 0);
  if (!bert) add_item(t, (int32_t)sep, 0);
  add_item(t, PITH_PAIR_SECOND, bert);
  add_item(t, (int32_t)sep, bert);
}

/* Each text once. */
static bool is_whole(const pith_tokenizer *t) {
  uint32_t n[2] = {0, 0};
  if (t->n_pair > PITH_MAX_PAIR) return false;
  for (uint32_t i = 0; i < t->n_pair; i++)
    if (t->pair[i].id < 0) n[t->pair[i].id == PITH_PAIR_SECOND]++;
  return n[0] == 1 && n[1] == 1;
}

void pith_read_pairs(const pith_json *json, pith_tokenizer *t) {
  const char *type = pith_json_string(pith_json_get(json, "type"));
  if (!type) return;
  for (const pith_json *item = pith_json_first(pith_json_get(json, "processors")); item; item = pith_json_next(item)) pith_read_pairs(item, t);
  const bool bert = strcmp(type, "BertProcessing") == 0, template = strcmp(type, "TemplateProcessing") == 0;
  if (template && !read_template(json, t)) t->n_pair = 0;
  if (bert || strcmp(type, "RobertaProcessing") == 0) read_known(json, bert, t);
  if (!is_whole(t)) t->n_pair = 0;
}

/* As the `tokenizers` library cuts the longer of two first: *a and *b tokens shall be at most `room`. */
static void cut_longest(size_t room, size_t *a, size_t *b) {
  size_t *shorter = *a > *b ? b : a, *longer = *a > *b ? a : b;
  if (*a + *b <= room) return;
  *longer = *shorter > room || room - *shorter < *shorter ? *shorter : room - *shorter;
  if (*shorter + *longer <= room) return;
  *shorter = room / 2;
  *longer = room - *shorter;
}

static pith_status append_pair(pith_ctx *ctx, const pith_tokenizer *t, const pith_ids texts[2], const size_t kept[2], pith_ids *out, pith_ids *types) {
  for (uint32_t i = 0; i < t->n_pair; i++) {
    const pith_pair_item *item = &t->pair[i];
    const int which = item->id == PITH_PAIR_SECOND;
    const bool special = item->id >= 0;
    for (size_t k = 0; k < (special ? 1 : kept[which]); k++) {
      PITH_TRY(pith_ids_append(ctx, out, special ? item->id : texts[which].ids[k]));
      PITH_TRY(pith_ids_append(ctx, types, item->type));
    }
  }
  return PITH_OK;
}

pith_status pith_tokenizer_encode_pair(pith_ctx *ctx, const pith_tokenizer *t, const char *const texts[2], const size_t n_bytes[2], int32_t max_tokens, pith_ids *out,
                                       pith_ids *types) {
  pith_ids ids[2] = {{0}};
  pith_status status = PITH_OK;
  if (t->n_pair == 0) return pith_fail(ctx, PITH_E_UNSUPPORTED, "the tokenizer says in no way that Pith knows how two texts become one sequence");
  for (int i = 0; i < 2 && status == PITH_OK; i++) status = pith_tokenizer_encode(ctx, t, texts[i], n_bytes[i], (pith_encode_options){false, 0}, &ids[i]);
  size_t kept[2] = {ids[0].n, ids[1].n};
  const size_t n_special = t->n_pair - 2;
  if (status == PITH_OK && max_tokens > 0) {
    if (n_special > (size_t)max_tokens) status = pith_fail(ctx, PITH_E_ARGUMENT, "a limit of %d tokens leaves no room for the special ones", (int)max_tokens);
    else cut_longest((size_t)max_tokens - n_special, &kept[0], &kept[1]);
  }
  if (status == PITH_OK) status = append_pair(ctx, t, ids, kept, out, types);
  for (int i = 0; i < 2; i++) pith_ids_free(ctx, &ids[i]);
  return status;
}
