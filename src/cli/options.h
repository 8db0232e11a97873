/* Arguments of the command line into requests. One table per command says what it takes. */
#ifndef PITH_CLI_OPTIONS_H
#define PITH_CLI_OPTIONS_H

#include "base/json.h"

typedef enum pith_option_kind {
  PITH_OPTION_FLAG,      /* --force */
  PITH_OPTION_TEXT,      /* --recipe int8 */
  PITH_OPTION_TEXTS,     /* --stop a --stop b */
  PITH_OPTION_NUMBER,    /* --temperature 0.8 */
  PITH_OPTION_SIZE       /* --shard-size 4M: bytes, or K, M, G of 1024 */
} pith_option_kind;

typedef struct pith_option {
  const char *name;      /* "--max-tokens"; aliases are entries of their own */
  const char *key;       /* member of the parsed object */
  pith_option_kind kind;
} pith_option;

typedef struct pith_command {
  const char *name, *usage, *summary;
  const pith_option *options;            /* ends with a NULL name */
  int min_words, max_words;              /* words that are no options; max -1: any number */
} pith_command;

const pith_command *pith_commands(void);   /* ends with a NULL name */
const pith_command *pith_command_find(const char *name);

/* Options into members of *out, words into its "words". `--` ends the options. PITH_E_ARGUMENT says what is wrong. */
pith_status pith_arguments_parse(pith_ctx *ctx, const pith_command *command, const pith_json *argv, pith_json **out);

#endif
