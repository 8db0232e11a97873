/* A command is a few requests one after another: most load a model first, then run one verb over the words or lines. */
#include "cli/cli.h"

#include <string.h>

#include "base/utf8.h"
#include "cli/inputs.h"
#include "cli/options.h"
#include "cli/output.h"

enum { BATCH_TEXTS = 64 };

struct pith_cli {
  pith_ctx ctx;                  /* the command line's own: files, messages */
  pith_instance *instance;
  pith_job *job;
  const pith_command *command;
  pith_json *argv, *arguments;
  pith_output output;
  bool started, loaded;
  pith_buffer input;             /* standard input */
  pith_json *texts;              /* for commands that work text by text; or pairs of texts */
  const pith_json *next_text;    /* of texts: the first that is not done */
  pith_json *batch;
  pith_buffer for_host;          /* arguments of a command that is the host's affair */
  int exit_code;
  bool done;
};

static const char *argument(const pith_cli *cli, const char *key) { return pith_json_string(pith_json_get(cli->arguments, key)); }
static const pith_json *words(const pith_cli *cli) { return pith_json_first(pith_json_get(cli->arguments, "words")); }
static bool is_command(const pith_cli *cli, const char *name) { return cli->command && strcmp(cli->command->name, name) == 0; }

static pith_status start_job(pith_cli *cli, pith_json *request) {
  pith_buffer text = {0};
  pith_status status = pith_json_print(&cli->ctx, request, false, &text);
  pith_json_free(request);
  if (status == PITH_OK) {
    status = pith_job_start(cli->instance, text.data, text.n_bytes, &cli->job);
    if (status != PITH_OK) status = pith_fail(&cli->ctx, status, "%s", pith_message(cli->instance));
  }
  pith_buffer_free(&cli->ctx, &text);
  return status;
}

static void copy_arguments(const pith_cli *cli, pith_json *request, const char *const *keys) {
  for (; *keys; keys++) {
    const pith_json *value = pith_json_get(cli->arguments, *keys);
    if (value) pith_json_add(request, *keys, pith_json_copy(value));
  }
}

/* All processors unless told otherwise; the answers do not depend on it. */
static void add_threads(const pith_cli *cli, pith_json *request) {
  const pith_json *value = pith_json_get(cli->arguments, "threads");
  if (value) pith_json_add(request, "threads", pith_json_copy(value));
  else if (!is_command(cli, "tokenize")) pith_json_add_string(request, "threads", "auto");
}

static pith_json *new_request(const char *verb) {
  pith_json *request = pith_json_new_object();
  pith_json_add_string(request, "verb", verb);
  return request;
}

/* ---- input ---- */

/* PITH_PENDING where the host waits for more. */
static pith_status read_stdin(pith_cli *cli) {
  char chunk[65536];
  for (;;) {
    const uint64_t offset = cli->input.n_bytes;
    const int64_t n = cli->ctx.host.read(cli->ctx.host.user, PITH_STDIN, offset, chunk, sizeof chunk);
    if (n == PITH_HOST_WAIT) return PITH_PENDING;
    PITH_TRY(pith_io_status(&cli->ctx, n, "read", "standard input"));
    if (n == 0) return pith_buffer_append(&cli->ctx, &cli->input, "", 0);
    if (offset + (uint64_t)n > PITH_MAX_INPUT) return pith_fail(&cli->ctx, PITH_E_LIMIT, "standard input has more than 1 GiB");
    PITH_TRY(pith_buffer_append(&cli->ctx, &cli->input, chunk, (size_t)n));
  }
}

/* JSON strings end at a NUL, so a text with one is refused rather than cut. */
static pith_status add_text(pith_cli *cli, pith_json *list, char *text, size_t n_bytes, const char *what, size_t line) {
  if (memchr(text, '\0', n_bytes)) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "%s, line %zu: the text holds a NUL byte", what, line);
  const size_t valid = pith_utf8_validate(text, n_bytes);
  if (valid < n_bytes) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "%s, line %zu: the text is no UTF-8 at byte %zu", what, line, valid);
  const char kept = text[n_bytes];
  text[n_bytes] = '\0';
  pith_json_add_string(list, NULL, text);
  text[n_bytes] = kept;
  return PITH_OK;
}

/* Lines of a buffer, ended by LF or CRLF; blank ones are texts too where `blank` says so. */
static pith_status add_lines(pith_cli *cli, pith_json *list, char *text, size_t n_bytes, bool blank, const char *what) {
  for (size_t begin = 0, line = 1; begin < n_bytes; line++) {
    char *newline = memchr(text + begin, '\n', n_bytes - begin);
    const size_t end = newline ? (size_t)(newline - text) : n_bytes;
    size_t length = end - begin;
    if (length > 0 && text[end - 1] == '\r') length--;
    if (blank || length > 0) PITH_TRY(add_text(cli, list, text + begin, length, what, line));
    begin = end + 1;
  }
  return PITH_OK;
}

/* A recipe's name, or a file: its path holds a slash or ends in .json, so that no file hides a name. */
static pith_status add_recipe(pith_cli *cli, pith_json *request) {
  const char *name = argument(cli, "recipe");
  char *text;
  size_t n_bytes;
  if (!name) return PITH_OK;
  const size_t n_name = strlen(name);
  if (!strchr(name, '/') && !(n_name > 5 && strcmp(name + n_name - 5, ".json") == 0)) {
    pith_json_add_string(request, "recipe", name);
    return PITH_OK;
  }
  PITH_TRY(pith_io_read_file(&cli->ctx, name, 1 << 20, &text, &n_bytes));
  pith_json *recipe;
  const pith_status status = pith_json_parse(&cli->ctx, text, n_bytes, name, &recipe);
  pith_free(&cli->ctx, text);
  if (status == PITH_OK) pith_json_add(request, "recipe", recipe);
  return status;
}

/* ---- commands ---- */

/* An option that has no meaning without another. */
static pith_status need_option(pith_cli *cli, const char *key, bool there, const char *message) {
  return argument(cli, key) && !there ? pith_fail(&cli->ctx, PITH_E_ARGUMENT, "%s", message) : PITH_OK;
}

static pith_status build_compress(pith_cli *cli, pith_json *request) {
  static const char *const keys[] = {"output", "shardSize", "maxBytes", "maxLoss", "maxMs", "prune", "metric", "sensitivity", "force", "resume", NULL};
  if (!argument(cli, "output")) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "compress wants the package's name: -o PKG");
  pith_json_add_string(request, "source", pith_json_string(words(cli)));
  copy_arguments(cli, request, keys);
  add_threads(cli, request);
  PITH_TRY(add_recipe(cli, request));
  PITH_TRY(need_option(cli, "column", argument(cli, "texts") || argument(cli, "calibrate"), "--column goes with --texts and --calibrate"));
  PITH_TRY(pith_input_texts(&cli->ctx, cli->arguments, "calibrate", request));
  return pith_input_texts(&cli->ctx, cli->arguments, "texts", request);
}

static pith_status build_plan(pith_cli *cli, pith_json *request) {
  static const char *const keys[] = {"output", "maxBytes", "maxLoss", "maxMs", "measureTime", "tokens", "prune", "metric", "sensitivity", "force", NULL};
  pith_json_add_string(request, "source", pith_json_string(words(cli)));
  copy_arguments(cli, request, keys);
  add_threads(cli, request);
  PITH_TRY(need_option(cli, "column", argument(cli, "texts") || argument(cli, "calibrate"), "--column goes with --texts and --calibrate"));
  PITH_TRY(pith_input_texts(&cli->ctx, cli->arguments, "calibrate", request));
  return pith_input_texts(&cli->ctx, cli->arguments, "texts", request);
}

static pith_status build_eval(pith_cli *cli, pith_json *request) {
  static const char *const keys[] = {"against", "topKOverlap", "perLayer", "speed", "kernels", "attention", NULL};
  pith_json_add_string(request, "source", pith_json_string(words(cli)));
  copy_arguments(cli, request, keys);
  add_threads(cli, request);
  const int n = (argument(cli, "texts") != NULL) + (argument(cli, "similarity") != NULL) + (argument(cli, "classify") != NULL) + (argument(cli, "perplexity") != NULL);
  if (n > 1) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "eval takes one of --texts, --similarity, --classify and --perplexity");
  PITH_TRY(need_option(cli, "column", argument(cli, "texts") != NULL, "--column goes with --texts"));
  PITH_TRY(need_option(cli, "columns", argument(cli, "similarity") || argument(cli, "classify"), "--columns goes with --similarity and --classify"));
  return pith_inputs(&cli->ctx, cli->arguments, request);
}

static pith_status build_diff(pith_cli *cli, pith_json *request) {
  pith_json_add_string(request, "source", pith_json_string(words(cli)));
  pith_json_add_string(request, "against", pith_json_string(pith_json_next(words(cli))));
  return PITH_OK;
}

typedef pith_status build_request(pith_cli *cli, pith_json *request);

static pith_status start_with(pith_cli *cli, const char *verb, build_request *build) {
  pith_json *request = new_request(verb);
  const pith_status status = build(cli, request);
  if (status == PITH_OK) return start_job(cli, request);
  pith_json_free(request);
  return status;
}

static pith_status build_inspect(pith_cli *cli, pith_json *request) {
  pith_json_add_string(request, "path", pith_json_string(words(cli)));
  return PITH_OK;
}

static pith_status build_load(pith_cli *cli, pith_json *request) {
  static const char *const keys[] = {"kernels", "attention", NULL};
  copy_arguments(cli, request, keys);
  add_threads(cli, request);
  return build_inspect(cli, request);
}

static pith_status build_generate(pith_cli *cli, pith_json *request) {
  static const char *const keys[] = {"maxTokens", "temperature", "topK", "topP", "minP", "repetitionPenalty", "seed", "stop", NULL};
  pith_json_add_number(request, "model", 1);
  pith_json_add_string(request, "prompt", pith_json_string(pith_json_next(words(cli))));
  copy_arguments(cli, request, keys);
  return PITH_OK;
}

static pith_status build_digest(pith_cli *cli, pith_json *request) {
  (void)cli;
  pith_json_add_number(request, "model", 1);
  return PITH_OK;
}

/* The words after SRC, or the lines of standard input; begun anew while that is pending. */
static pith_status collect_texts(pith_cli *cli) {
  const pith_json *word = pith_json_next(words(cli));
  if (argument(cli, "pairs")) {
    if (word) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "classify takes texts or --pairs");
    PITH_TRY(pith_input_text_pairs(&cli->ctx, cli->arguments, &cli->texts));
    cli->next_text = pith_json_first(cli->texts);
    return cli->next_text ? PITH_OK : pith_fail(&cli->ctx, PITH_E_ARGUMENT, "%s has no rows", argument(cli, "pairs"));
  }
  if (is_command(cli, "classify")) PITH_TRY(need_option(cli, "columns", false, "--columns goes with --pairs"));
  if (!word) PITH_TRY(read_stdin(cli));
  cli->texts = pith_json_new_array();
  for (; word; word = pith_json_next(word)) pith_json_add_string(cli->texts, NULL, pith_json_string(word));
  if (!pith_json_first(cli->texts)) {
    PITH_TRY(add_lines(cli, cli->texts, cli->input.data, cli->input.n_bytes, true, "standard input"));
    if (!pith_json_first(cli->texts)) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "there is no text: give some as words, or lines on standard input");
  }
  cli->next_text = pith_json_first(cli->texts);
  return PITH_OK;
}

static pith_status start_batch(pith_cli *cli) {
  const bool batch = !is_command(cli, "tokenize");
  pith_json *request = new_request(cli->command->name);
  pith_json_add_number(request, "model", 1);
  pith_json_free(cli->batch);
  cli->batch = pith_json_new_array();
  for (int i = 0; i < (batch ? BATCH_TEXTS : 1) && cli->next_text; i++, cli->next_text = pith_json_next(cli->next_text))
    pith_json_add(cli->batch, NULL, pith_json_copy(cli->next_text));
  if (batch) pith_json_add(request, "texts", pith_json_copy(cli->batch));
  else pith_json_add_string(request, "text", pith_json_string(pith_json_first(cli->batch)));
  static const char *const keys[] = {"topK", NULL};
  copy_arguments(cli, request, keys);
  return start_job(cli, request);
}

/* How a command's one request is built, for those that read their models themselves; NULL: it loads one first. */
static build_request *request_of(const pith_command *command) {
  static const struct {
    const char *name;
    build_request *build;
  } whole[] = {{"inspect", build_inspect}, {"compress", build_compress}, {"plan", build_plan}, {"eval", build_eval}, {"diff", build_diff}};
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
    if (strcmp(whole[i].name, command->name) == 0) return whole[i].build;
  return NULL;
}

/* The next request of the command; *more is false when there is none. */
static pith_status advance(pith_cli *cli, bool *more) {
  *more = true;
  if (!cli->started) {
    cli->started = true;
    build_request *build = request_of(cli->command);
    return build ? start_with(cli, cli->command->name, build) : start_with(cli, "load", build_load);
  }
  if (!cli->loaded) {
    if (cli->command->max_words < 0) PITH_TRY(collect_texts(cli));   /* any number of texts */
    cli->loaded = true;
    if (is_command(cli, "generate")) return start_with(cli, "generate", build_generate);
    if (is_command(cli, "digest")) return start_with(cli, "digest", build_digest);
  }
  if (cli->next_text) return start_batch(cli);
  *more = false;
  return PITH_OK;
}

static pith_status print_result(pith_cli *cli) {
  size_t n_bytes, n_data;
  const char *text = pith_job_result(cli->job, &n_bytes);
  const void *data = pith_job_data(cli->job, &n_data);
  pith_json *result;
  PITH_TRY(pith_json_parse(&cli->ctx, text, n_bytes, "the result", &result));
  const char *name = cli->loaded || request_of(cli->command) ? cli->command->name : "load";
  const pith_json *subject = cli->batch ? cli->batch : pith_json_get(cli->arguments, "words");
  const pith_status status = pith_output_result(&cli->ctx, &cli->output, name, subject, result, data);
  pith_json_free(result);
  return status;
}

static pith_status run(pith_cli *cli, double budget_ms) {
  if (!cli->job) {
    bool more;
    PITH_TRY(advance(cli, &more));
    if (!more) return PITH_OK;
  }
  const pith_status status = pith_job_step(cli->job, budget_ms);
  if (status != PITH_OK && status != PITH_PENDING) return pith_fail(&cli->ctx, status, "%s", pith_message(cli->instance));
  size_t n_bytes;
  const char *text = pith_job_take_text(cli->job, &n_bytes);
  PITH_TRY(pith_output_text(&cli->ctx, &cli->output, text, n_bytes));
  pith_output_progress(&cli->ctx, &cli->output, pith_job_progress(cli->job), status == PITH_OK);
  if (status == PITH_PENDING) return PITH_PENDING;
  const pith_status printed = print_result(cli);
  pith_job_end(cli->job);
  cli->job = NULL;
  return printed == PITH_OK ? PITH_PENDING : printed;
}

/* The network and the making of pages are the host's: its program runs these commands, with the arguments as they were understood here. */
static const struct {
  const char *name, *no_output;
} host_commands[] = {{"import", "import wants the folder's name: -o DIR"},
                     {"sweep", "sweep wants a folder for its results: -o DIR"},
                     {"report", "report wants a file's name: -o FILE.html, .json, .csv or .svg"}};

static pith_status leave_to_host(pith_cli *cli, size_t which) {
  if (!argument(cli, "output")) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "%s", host_commands[which].no_output);
  pith_json_add_string(cli->arguments, "command", host_commands[which].name);
  pith_json_add_string(cli->arguments, "source", pith_json_string(words(cli)));
  PITH_TRY(pith_json_print(&cli->ctx, cli->arguments, false, &cli->for_host));
  return pith_buffer_append(&cli->ctx, &cli->for_host, "", 1);
}

static pith_status open_command(pith_cli *cli) {
  const pith_json *first = pith_json_first(cli->argv);
  const char *name = pith_json_string(first);
  if (!name || strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return pith_output_help(&cli->ctx, &cli->output, pith_commands());
  if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
    PITH_TRY(start_job(cli, new_request("version")));
    PITH_TRY(pith_job_step(cli->job, 0));
    size_t n_bytes;
    const char *text = pith_job_result(cli->job, &n_bytes);
    return pith_output_version(&cli->ctx, &cli->output, text, n_bytes);
  }
  const pith_command *command = pith_command_find(name);
  if (!command) return pith_fail(&cli->ctx, PITH_E_ARGUMENT, "there is no command \"%.40s\"; `pith help` lists them", name);
  for (const pith_json *arg = pith_json_next(first); arg; arg = pith_json_next(arg)) {
    const char *text = pith_json_string(arg);
    if (text && strcmp(text, "--") == 0) break;
    if (text && strcmp(text, "--help") == 0) return pith_output_usage(&cli->ctx, &cli->output, command);
  }
  PITH_TRY(pith_arguments_parse(&cli->ctx, command, pith_json_next(first), &cli->arguments));
  cli->command = command;
  cli->output.json = pith_json_true(pith_json_get(cli->arguments, "json"));
  for (size_t i = 0; i < sizeof host_commands / sizeof *host_commands; i++)
    if (is_command(cli, host_commands[i].name)) return leave_to_host(cli, i);
  return PITH_PENDING;
}

pith_cli *pith_cli_open(const pith_host *host, const pith_allocator *allocator, const char *argv, size_t n_bytes, bool terminal) {
  pith_ctx ctx;
  pith_cli *cli;
  pith_ctx_init(&ctx, host, allocator);
  if (pith_calloc(&ctx, 1, sizeof *cli, &cli) != PITH_OK) return NULL;
  cli->ctx = ctx;
  cli->output.terminal = terminal;
  cli->instance = pith_open(host, allocator);
  pith_status status = cli->instance ? pith_json_parse(&cli->ctx, argv, n_bytes, "the arguments", &cli->argv) : PITH_E_MEMORY;
  if (status == PITH_OK) status = open_command(cli);
  if (status != PITH_PENDING) {
    cli->done = true;
    cli->exit_code = (int)status;
    if (status != PITH_OK) pith_output_error(&cli->ctx, &cli->output, status);
  }
  return cli;
}

pith_status pith_cli_step(pith_cli *cli, double budget_ms) {
  if (cli->done) return PITH_OK;
  const pith_status status = run(cli, budget_ms);
  if (status == PITH_PENDING) return PITH_PENDING;
  pith_output_clear(&cli->ctx, &cli->output);
  pith_job_end(cli->job);   /* before the message: a cancelled job tidies up first */
  cli->job = NULL;
  cli->done = true;
  cli->exit_code = (int)status;
  if (status != PITH_OK) pith_output_error(&cli->ctx, &cli->output, status);
  return PITH_OK;
}

int pith_cli_exit_code(const pith_cli *cli) { return cli->exit_code; }
const char *pith_cli_for_host(const pith_cli *cli) { return cli->done && cli->exit_code == 0 ? cli->for_host.data : NULL; }

void pith_cli_close(pith_cli *cli) {
  if (!cli) return;
  pith_job_end(cli->job);
  pith_close(cli->instance);
  pith_json_free(cli->argv);
  pith_json_free(cli->arguments);
  pith_json_free(cli->texts);
  pith_json_free(cli->batch);
  pith_buffer_free(&cli->ctx, &cli->input);
  pith_buffer_free(&cli->ctx, &cli->for_host);
  pith_ctx ctx = cli->ctx;
  pith_free(&ctx, cli);
}
