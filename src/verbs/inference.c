/* What a page needs to embed and to generate from a package, and no more: the smallest download. Models of other tasks are loaded by the complete
 * module. */
#include "text/pairs.h"
#include "text/unicode.h"
#include "verbs/verbs.h"

const pith_verb *const pith_verbs[] = {&pith_verb_version,    &pith_verb_load,  &pith_verb_unload,   &pith_verb_tokenize,
                                       &pith_verb_detokenize, &pith_verb_embed, &pith_verb_generate, &pith_verb_digest, NULL};
pith_pair_reader *const pith_pairs = NULL;
const pith_opener *const pith_checkpoint_opener = NULL;
const pith_unicode_decompositions *const pith_unicode_compatible = NULL;
