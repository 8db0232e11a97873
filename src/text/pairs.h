/* Two texts as one sequence, by the "pair" of tokenizer.json's post-processor. */
#ifndef PITH_PAIRS_H
#define PITH_PAIRS_H

#include "base/json.h"
#include "text/tokenizer.h"

/* Reads the post-processor's pairs while a tokenizer is opened. What cannot be followed is no error until a pair is to be encoded. */
typedef void pith_pair_reader(const pith_json *post_processor, pith_tokenizer *tokenizer);
pith_pair_reader pith_read_pairs;
extern pith_pair_reader *const pith_pairs;   /* the program's choice (verbs/all.c, verbs/inference.c). NULL: it has no use for pairs */

/* Appends ids and their token types, 0 or 1. max_tokens as in pith_encode_options: the longer text is cut first, as "longest_first" of the
 * `tokenizers` library does it. PITH_E_UNSUPPORTED where the tokenizer has no pairs. */
pith_status pith_tokenizer_encode_pair(pith_ctx *ctx, const pith_tokenizer *tokenizer, const char *const texts[2], const size_t n_bytes[2], int32_t max_tokens,
                                       pith_ids *out, pith_ids *types);

#endif
