#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

#define COMMON \
  {"--json", "json", PITH_OPTION_FLAG}, {"--kernels", "kernels", PITH_OPTION_TEXT}, {"--attention", "attention", PITH_OPTION_TEXT}, \
      {"--threads", "threads", PITH_OPTION_NUMBER}

static const pith_option import_options[] = {{"-o", "output", PITH_OPTION_TEXT},     {"--output", "output", PITH_OPTION_TEXT}, {"--revision", "revision", PITH_OPTION_TEXT},
                                             {"--force", "force", PITH_OPTION_FLAG}, {"--json", "json", PITH_OPTION_FLAG},     {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option inspect_options[] = {{"--json", "json", PITH_OPTION_FLAG}, {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option compress_options[] = {{"-o", "output", PITH_OPTION_TEXT},          {"--output", "output", PITH_OPTION_TEXT},
                                               {"--recipe", "recipe", PITH_OPTION_TEXT},    {"--shard-size", "shardSize", PITH_OPTION_SIZE},
                                               {"--texts", "texts", PITH_OPTION_TEXT},      {"--calibrate", "calibrate", PITH_OPTION_TEXT},
                                               {"--max-bytes", "maxBytes", PITH_OPTION_SIZE}, {"--max-loss", "maxLoss", PITH_OPTION_NUMBER},
                                               {"--max-ms", "maxMs", PITH_OPTION_NUMBER},   {"--prune", "prune", PITH_OPTION_FLAG},
                                               {"--metric", "metric", PITH_OPTION_TEXT},    {"--sensitivity", "sensitivity", PITH_OPTION_TEXT},    {"--column", "column", PITH_OPTION_TEXT},
                                               {"--force", "force", PITH_OPTION_FLAG},      {"--resume", "resume", PITH_OPTION_FLAG},
                                               {"--json", "json", PITH_OPTION_FLAG},        {"--threads", "threads", PITH_OPTION_NUMBER},
                                               {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option plan_options[] = {{"-o", "output", PITH_OPTION_TEXT},          {"--output", "output", PITH_OPTION_TEXT},
                                           {"--max-bytes", "maxBytes", PITH_OPTION_SIZE}, {"--max-loss", "maxLoss", PITH_OPTION_NUMBER},
                                           {"--max-ms", "maxMs", PITH_OPTION_NUMBER},     {"--measure-time", "measureTime", PITH_OPTION_FLAG}, {"--tokens", "tokens", PITH_OPTION_NUMBER}, {"--prune", "prune", PITH_OPTION_FLAG},
                                           {"--metric", "metric", PITH_OPTION_TEXT},    {"--sensitivity", "sensitivity", PITH_OPTION_TEXT},
                                           {"--texts", "texts", PITH_OPTION_TEXT},      {"--calibrate", "calibrate", PITH_OPTION_TEXT},
                                           {"--column", "column", PITH_OPTION_TEXT},    {"--force", "force", PITH_OPTION_FLAG},      {"--json", "json", PITH_OPTION_FLAG},
                                           {"--threads", "threads", PITH_OPTION_NUMBER}, {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option embed_options[] = {COMMON, {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option best_options[] = {COMMON, {"--top-k", "topK", PITH_OPTION_NUMBER}, {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option classify_options[] = {COMMON, {"--top-k", "topK", PITH_OPTION_NUMBER}, {"--pairs", "pairs", PITH_OPTION_TEXT}, {"--columns", "columns", PITH_OPTION_TEXT},
                                               {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option generate_options[] = {COMMON,
                                               {"--max-tokens", "maxTokens", PITH_OPTION_NUMBER},
                                               {"--temperature", "temperature", PITH_OPTION_NUMBER},
                                               {"--top-k", "topK", PITH_OPTION_NUMBER},
                                               {"--top-p", "topP", PITH_OPTION_NUMBER},
                                               {"--min-p", "minP", PITH_OPTION_NUMBER},
                                               {"--repetition-penalty", "repetitionPenalty", PITH_OPTION_NUMBER},
                                               {"--seed", "seed", PITH_OPTION_NUMBER},
                                               {"--stop", "stop", PITH_OPTION_TEXTS},
                                               {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option eval_options[] = {COMMON,
                                           {"--against", "against", PITH_OPTION_TEXT},
                                           {"--texts", "texts", PITH_OPTION_TEXT},
                                           {"--column", "column", PITH_OPTION_TEXT},
                                           {"--classify", "classify", PITH_OPTION_TEXT},
                                           {"--top-k-overlap", "topKOverlap", PITH_OPTION_NUMBER},
                                           {"--per-layer", "perLayer", PITH_OPTION_FLAG},
                                           {"--speed", "speed", PITH_OPTION_FLAG},
                                           {"--similarity", "similarity", PITH_OPTION_TEXT},
                                           {"--columns", "columns", PITH_OPTION_TEXT},
                                           {"--perplexity", "perplexity", PITH_OPTION_TEXT},
                                           {NULL, NULL, PITH_OPTION_FLAG}};

static const pith_option sweep_options[] = {{"-o", "output", PITH_OPTION_TEXT},
                                            {"--output", "output", PITH_OPTION_TEXT},
                                            {"--recipes", "recipes", PITH_OPTION_TEXTS},
                                            {"--calibrate", "calibrate", PITH_OPTION_TEXTS},
                                            {"--texts", "texts", PITH_OPTION_TEXT},
                                            {"--similarity", "similarity", PITH_OPTION_TEXT},
                                            {"--classify", "classify", PITH_OPTION_TEXT},
                                            {"--perplexity", "perplexity", PITH_OPTION_TEXT},
                                            {"--column", "column", PITH_OPTION_TEXT},
                                            {"--columns", "columns", PITH_OPTION_TEXT},
                                            {"--top-k-overlap", "topKOverlap", PITH_OPTION_NUMBER},
                                            {"--jobs", "jobs", PITH_OPTION_NUMBER},
                                            {"--threads", "threads", PITH_OPTION_NUMBER},
                                            {"--shard", "shard", PITH_OPTION_TEXT},
                                            {"--resume", "resume", PITH_OPTION_FLAG},
                                            {"--keep", "keep", PITH_OPTION_FLAG},
                                            {"--json", "json", PITH_OPTION_FLAG},
                                            {NULL, NULL, PITH_OPTION_FLAG}};
static const pith_option report_options[] = {{"-o", "output", PITH_OPTION_TEXT}, {"--output", "output", PITH_OPTION_TEXT}, {"--svg", "svg", PITH_OPTION_TEXT},
                                             {"--force", "force", PITH_OPTION_FLAG}, {"--json", "json", PITH_OPTION_FLAG}, {NULL, NULL, PITH_OPTION_FLAG}};

static const pith_command commands[] = {
    {"import", "pith import ORG/NAME|URL|PATH -o DIR [--revision NAME] [--force] [--json]",
     "a checkpoint of the Hub, or one that is here, fetched whole and checked (npx pith alone: build/pith has no network)", import_options, 1, 1},
    {"inspect", "pith inspect SRC [--json]", "what a checkpoint or a package holds", inspect_options, 1, 1},
    {"compress", "pith compress SRC -o PKG [--recipe int8|int4|int4-min|edge|tiny|lossless-ish|fp16|FILE] [--calibrate FILE]\n"
     "                [(--max-bytes N | --max-loss X [--metric cosine|kl]) [--prune] [--sensitivity FILE]]\n"
     "                [--texts FILE] [--column NAME|N] [--shard-size 4M] [--force] [--resume] [--threads N] [--json]",
     "a checkpoint into a package, with its quality measured", compress_options, 1, 1},
    {"plan", "pith plan SRC [-o RECIPE] (--max-bytes N | --max-loss X [--metric cosine|kl] | --max-ms T) [--prune]\n"
     "                [--calibrate FILE | --texts FILE] [--column NAME|N] [--sensitivity FILE] [--measure-time] [--tokens N]\n"
     "                [--force] [--threads N] [--json]",
     "the best recipe within a budget, and what it would cost; no weights are written", plan_options, 1, 1},
    {"embed", "pith embed SRC [TEXT…] [--attention f32|i16|i8] [--threads N] [--json] [--kernels NAME]", "embeddings of texts, or of the lines of standard input", embed_options, 1, -1},
    {"classify", "pith classify SRC [TEXT… | --pairs FILE [--columns a,b]] [--top-k K] [--attention f32|i16|i8] [--threads N] [--json] [--kernels NAME]",
     "labels with their scores, of texts, of the lines of standard input, or of pairs of texts: two columns of .csv, .tsv or .jsonl", classify_options, 1, -1},
    {"tag", "pith tag SRC [TEXT…] [--attention f32|i16|i8] [--threads N] [--json] [--kernels NAME]", "the label of each token", embed_options, 1, -1},
    {"fill", "pith fill SRC [TEXT…] [--top-k K] [--attention f32|i16|i8] [--threads N] [--json] [--kernels NAME]",
     "the likeliest tokens for each [MASK] (or <mask>) in the texts", best_options, 1, -1},
    {"generate",
     "pith generate SRC PROMPT [--max-tokens N] [--temperature T] [--top-k K] [--top-p P] [--min-p M]\n"
     "                [--repetition-penalty R] [--seed S] [--stop TEXT]… [--attention f32|i16|i8] [--threads N] [--json] [--kernels NAME]",
     "text that continues the prompt: the likeliest tokens, or drawn at temperature T (1 where --top-k, --top-p or --min-p is given alone)", generate_options, 2, 2},
    {"eval", "pith eval SRC [--against PARENT] (--texts FILE [--column NAME|N] | --similarity FILE [--columns score,a,b] |\n"
     "                --classify FILE [--columns text,label | text,pair,label] | --perplexity FILE)\n"
     "                [--top-k-overlap K] [--per-layer] [--speed] [--attention f32|i16|i8] [--threads N] [--json]",
     "quality: cosine, correlation, accuracy, perplexity, KL divergence; error by layer, and speed. FILE: a text a line, or .csv, .tsv, .jsonl", eval_options, 1, 1},
    {"sweep", "pith sweep SRC --recipes 'GLOB'|GRID.json|NAME… (--texts FILE [--column NAME|N] | --similarity FILE [--columns score,a,b] |\n"
     "                --classify FILE [--columns text,label] | --perplexity FILE) [--calibrate none|FILE]… [--top-k-overlap K] -o DIR\n"
     "                [--jobs N] [--threads N] [--resume] [--shard i/n] [--keep] [--json]",
     "each recipe with each calibration compressed, measured and timed; a small file of results each (npx pith alone)", sweep_options, 1, 1},
    {"report", "pith report DIR… -o FILE.html|.json|.csv|.svg [--svg FOLDER] [--force] [--json]",
     "what sweeps found, of several folders together: a page, data, or pictures (npx pith alone)", report_options, 1, -1},
    {"diff", "pith diff SRC REFERENCE [--json]", "two models tensor by tensor: encoding, bits, zeros, bytes and relative error against the reference", inspect_options, 2, 2},
    {"tokenize", "pith tokenize SRC [TEXT…] [--json]", "token ids of texts, or of the lines of standard input", embed_options, 1, -1},
    {"digest", "pith digest SRC [--attention f32|i16|i8] [--threads N] [--json] [--kernels NAME]", "one hash of what the model computes: the same on every engine", embed_options, 1, 1},
    {NULL, NULL, NULL, NULL, 0, 0}};

const pith_command *pith_commands(void) { return commands; }

const pith_command *pith_command_find(const char *name) {
  for (const pith_command *c = commands; c->name; c++)
    if (strcmp(c->name, name) == 0) return c;
  return NULL;
}

static pith_status parse_number(pith_ctx *ctx, const pith_option *option, const char *text, double *out) {
  const char *end = text + pith_decimal_parse(text, strlen(text), out);
  double unit = 1;
  if (option->kind == PITH_OPTION_SIZE && *end && end != text) {
    unit = *end == 'K' ? 1024.0 : *end == 'M' ? 1048576.0 : *end == 'G' ? 1073741824.0 : 0.0;
    end++;
  }
  *out *= unit;
  if (end == text || *end || unit == 0.0 || !(*out > -1e300 && *out < 1e300))
    return pith_fail(ctx, PITH_E_ARGUMENT, "%s takes a number%s, not \"%.60s\"", option->name, option->kind == PITH_OPTION_SIZE ? " of bytes (4M, 512K)" : "", text);
  return PITH_OK;
}

static pith_status add_option(pith_ctx *ctx, const pith_option *option, const char *value, pith_json *out) {
  const pith_json *before = pith_json_get(out, option->key);
  double number;
  if (before && option->kind != PITH_OPTION_TEXTS) return pith_fail(ctx, PITH_E_ARGUMENT, "%s is given twice", option->name);
  switch (option->kind) {
    case PITH_OPTION_FLAG: pith_json_add_bool(out, option->key, true); return PITH_OK;
    case PITH_OPTION_TEXT: pith_json_add_string(out, option->key, value); return PITH_OK;
    case PITH_OPTION_TEXTS:
      if (!before) pith_json_add(out, option->key, pith_json_new_array());
      pith_json_add_string((pith_json *)(uintptr_t)pith_json_get(out, option->key), NULL, value);
      return PITH_OK;
    default:
      PITH_TRY(parse_number(ctx, option, value, &number));
      pith_json_add_number(out, option->key, number);
      return PITH_OK;
  }
}

static pith_status parse_all(pith_ctx *ctx, const pith_command *command, const pith_json *arg, pith_json *out) {
  pith_json *words = pith_json_new_array();
  int n_words = 0;
  bool options = true;
  pith_json_add(out, "words", words);
  for (; arg; arg = pith_json_next(arg)) {
    const char *text = pith_json_string(arg);
    if (!text) return pith_fail(ctx, PITH_E_ARGUMENT, "arguments should be strings");
    if (!options || text[0] != '-' || text[1] == '\0') {
      pith_json_add_string(words, NULL, text);
      n_words++;
      continue;
    }
    if (strcmp(text, "--") == 0) {
      options = false;
      continue;
    }
    const char *equals = strncmp(text, "--", 2) == 0 ? strchr(text, '=') : NULL;
    const size_t n = equals ? (size_t)(equals - text) : strlen(text);
    const pith_option *option = command->options;
    while (option->name && (strlen(option->name) != n || strncmp(option->name, text, n) != 0)) option++;
    if (!option->name) return pith_fail(ctx, PITH_E_ARGUMENT, "%s has no option %.*s; its form is: %s", command->name, (int)n, text, command->usage);
    const char *value = equals ? equals + 1 : NULL;
    if (option->kind == PITH_OPTION_FLAG && value) return pith_fail(ctx, PITH_E_ARGUMENT, "%s takes no value", option->name);
    if (option->kind != PITH_OPTION_FLAG && !value) {
      arg = pith_json_next(arg);
      value = arg ? pith_json_string(arg) : NULL;
      if (!value) return pith_fail(ctx, PITH_E_ARGUMENT, "%s wants a value", option->name);
    }
    PITH_TRY(add_option(ctx, option, value, out));
  }
  if (n_words < command->min_words || (command->max_words >= 0 && n_words > command->max_words))
    return pith_fail(ctx, PITH_E_ARGUMENT, "%s: too %s words; its form is: %s", command->name, n_words < command->min_words ? "few" : "many", command->usage);
  return PITH_OK;
}

pith_status pith_arguments_parse(pith_ctx *ctx, const pith_command *command, const pith_json *argv, pith_json **out) {
  *out = pith_json_new_object();
  if (!*out) return pith_fail(ctx, PITH_E_MEMORY, "out of memory");
  const pith_status status = parse_all(ctx, command, argv, *out);
  if (status == PITH_OK) return PITH_OK;
  pith_json_free(*out);
  *out = NULL;
  return status;
}
