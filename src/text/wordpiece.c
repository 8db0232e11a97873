#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

enum { MAX_PIECE = 512 };

/* Longest match first (Wu et al. 2016, as BERT uses it): a word that cannot be covered is one unknown token. */
pith_status pith_wordpiece_encode(pith_ctx *ctx, const pith_tokenizer *t, const char *word, size_t n_bytes, pith_ids *out) {
  const size_t n_before = out->n, n_prefix = strlen(t->prefix);
  size_t n_chars = 0;
  for (size_t i = 0; i < n_bytes; i++) n_chars += (word[i] & 0xc0) != 0x80;
  bool covered = n_chars <= t->max_chars;
  char piece[MAX_PIECE];
  for (size_t begin = 0; begin < n_bytes && covered;) {
    const size_t shift = begin > 0 ? n_prefix : 0;
    memcpy(piece, t->prefix, shift);
    size_t end = n_bytes - begin < MAX_PIECE - shift ? n_bytes : begin + MAX_PIECE - shift;
    memcpy(piece + shift, word + begin, end - begin);
    int32_t id = -1;
    for (; end > begin; end--) {
      if (end < n_bytes && (word[end] & 0xc0) == 0x80) continue;   /* inside a character */
      id = pith_string_map_get(&t->vocab, piece, shift + end - begin);
      if (id >= 0) break;
    }
    covered = id >= 0;
    if (covered) PITH_TRY(pith_ids_append(ctx, out, id));
    begin = end;
  }
  if (covered) return PITH_OK;
  out->n = n_before;
  return pith_ids_append(ctx, out, t->unk_id);
}
