/* What commands read from files, as members of a request. Paths, columns and such are members of the parsed arguments. */
#ifndef PITH_CLI_INPUTS_H
#define PITH_CLI_INPUTS_H

#include "base/json.h"

enum { PITH_MAX_INPUT = 1 << 30 };

/* The whole file, which must be a text. The caller frees. */
pith_status pith_input_file(pith_ctx *ctx, const char *path, char **text, size_t *n_bytes);
/* The texts of the file that the argument `key` names (base/table.h), of its column "column", as the request's list `key`. */
pith_status pith_input_texts(pith_ctx *ctx, const pith_json *arguments, const char *key, pith_json *request);
/* "similarity" into "pairs": {"score", "a", "b"} a row; "classify" into "classify": {"text", "label"}, with three columns also "pair". "columns" chooses. */
pith_status pith_input_pairs(pith_ctx *ctx, const pith_json *arguments, pith_json *request);
pith_status pith_input_labelled(pith_ctx *ctx, const pith_json *arguments, pith_json *request);
/* All that an evaluation is asked about: "texts", "similarity", "classify", and the whole file "perplexity" as the request's "perplexity". */
pith_status pith_inputs(pith_ctx *ctx, const pith_json *arguments, pith_json *request);
/* The same, and "calibrate", for commands that are the host's: `arguments` is JSON; *out gets {"status", "message"} and what was read. Ends with a NUL. */
pith_status pith_inputs_for_host(pith_ctx *ctx, const char *arguments, size_t n_bytes, pith_buffer *out);

/* {"text", "pair"} a row of the file that the argument "pairs" names, as a list. */
pith_status pith_input_text_pairs(pith_ctx *ctx, const pith_json *arguments, pith_json **list);

#endif
