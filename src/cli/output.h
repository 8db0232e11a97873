/* What the command line prints: results as JSON lines or for people, progress, errors. */
#ifndef PITH_CLI_OUTPUT_H
#define PITH_CLI_OUTPUT_H

#include "base/json.h"
#include "cli/options.h"
#include "pith.h"

typedef struct pith_output {
  bool json, terminal;
  bool line_open;            /* a progress line is on the terminal */
  const char *phase;         /* of the last progress */
  double phase_begin_ms, last_ms;
} pith_output;

/* `command` as in pith_commands, or "load", which prints nothing. subject: the words or the texts of the request. */
pith_status pith_output_result(pith_ctx *ctx, pith_output *o, const char *command, const pith_json *subject, const pith_json *result, const void *data);
/* Generated text as it comes (not with --json). */
pith_status pith_output_text(pith_ctx *ctx, pith_output *o, const char *text, size_t n_bytes);
void pith_output_progress(pith_ctx *ctx, pith_output *o, pith_progress progress, bool last);
void pith_output_clear(pith_ctx *ctx, pith_output *o);
void pith_output_error(pith_ctx *ctx, pith_output *o, pith_status status);
pith_status pith_output_help(pith_ctx *ctx, pith_output *o, const pith_command *commands);
pith_status pith_output_usage(pith_ctx *ctx, pith_output *o, const pith_command *command);
pith_status pith_output_version(pith_ctx *ctx, pith_output *o, const char *result, size_t n_bytes);

#endif
