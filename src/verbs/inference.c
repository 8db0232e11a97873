/* What a page needs to run a package, and no more: the smallest download. */
#include "text/unicode.h"
#include "verbs/verbs.h"

const pith_verb *const pith_verbs[] = {&pith_verb_version,    &pith_verb_load,  &pith_verb_unload,   &pith_verb_tokenize,
                                       &pith_verb_detokenize, &pith_verb_embed, &pith_verb_classify, &pith_verb_tag, &pith_verb_fill, &pith_verb_generate, &pith_verb_digest, NULL};
const pith_opener *const pith_checkpoint_opener = NULL;
const pith_unicode_decompositions *const pith_unicode_compatible = NULL;
