/* Everything: the native program, the command line in Node.js, pages that compress or read checkpoints. */
#include "text/pairs.h"
#include "text/unicode_tables.h"
#include "verbs/verbs.h"

const pith_verb *const pith_verbs[] = {&pith_verb_version,    &pith_verb_load,  &pith_verb_unload,   &pith_verb_inspect,  &pith_verb_tokenize,
                                       &pith_verb_detokenize, &pith_verb_embed, &pith_verb_classify, &pith_verb_tag,    &pith_verb_fill,
                                       &pith_verb_generate,   &pith_verb_compress, &pith_verb_eval, &pith_verb_digest, &pith_verb_plan, &pith_verb_diff, NULL};
pith_pair_reader *const pith_pairs = pith_read_pairs;
const pith_opener *const pith_checkpoint_opener = &pith_opener_checkpoint;
const pith_unicode_decompositions *const pith_unicode_compatible = &pith_unicode_compatible_decompositions;
