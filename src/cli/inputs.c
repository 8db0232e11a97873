#include "cli/inputs.h"

#include <string.h>

#include "base/decimal.h"
#include "base/table.h"

static const char *const text_names[] = {"text", "sentence", "content", "review", "query", "question", "passage", NULL};
static const char *const label_names[] = {"label", "labels", "class", "category", "target", NULL};
static const char *const score_names[] = {"score", "similarity_score", "similarity", NULL};
static const char *const first_names[] = {"a", "sentence1", "text1", "text", "premise", "question", NULL},
                         *const second_names[] = {"b", "sentence2", "text2", "pair", "hypothesis", "passage", NULL};

static const char *argument(const pith_json *arguments, const char *key) { return pith_json_string(pith_json_get(arguments, key)); }

pith_status pith_input_file(pith_ctx *ctx, const char *path, char **text, size_t *n_bytes) {
  PITH_TRY(pith_io_read_file(ctx, path, PITH_MAX_INPUT, text, n_bytes));
  if (!memchr(*text, '\0', *n_bytes)) return PITH_OK;
  pith_free(ctx, *text);
  return pith_fail(ctx, PITH_E_FORMAT, "%s holds a NUL byte: it is no text", path);
}

/* Each row of the file through `add`, into the request's list. */
typedef pith_status add_row(pith_ctx *ctx, const pith_table *table, pith_json *list);
static pith_status add_rows(pith_ctx *ctx, const char *path, pith_table_form otherwise, const pith_column *columns, uint32_t n_columns, add_row *add,
                            pith_json *request, const char *key) {
  pith_table table;
  char *text;
  size_t n_bytes;
  PITH_TRY(pith_input_file(ctx, path, &text, &n_bytes));
  pith_json *list = pith_json_new_array();
  pith_status status = pith_table_open(ctx, &table, path, otherwise, text, n_bytes, columns, n_columns);
  while (status == PITH_OK && (status = pith_table_next(ctx, &table)) == PITH_PENDING) status = add(ctx, &table, list);
  pith_json_add(request, key, list);
  pith_table_close(ctx, &table);
  pith_free(ctx, text);
  return status;
}

static pith_status add_text(pith_ctx *ctx, const pith_table *table, pith_json *list) {
  (void)ctx;
  pith_json_add_string(list, NULL, table->values[0]);
  return PITH_OK;
}

pith_status pith_input_texts(pith_ctx *ctx, const pith_json *arguments, const char *key, pith_json *request) {
  const char *path = argument(arguments, key);
  const pith_column column = {argument(arguments, "column"), text_names, 1};
  return path ? add_rows(ctx, path, PITH_TABLE_LINES, &column, 1, add_text, request, key) : PITH_OK;
}

/* "columns" names n columns, parted by commas. `names` holds them. */
static pith_status choose_columns(pith_ctx *ctx, const pith_json *arguments, const char *form, char names[256], pith_column *columns, uint32_t n) {
  const char *chosen = argument(arguments, "columns");
  if (!chosen) return PITH_OK;
  const size_t length = strlen(chosen);
  uint32_t i = 0;
  if (length < 256) {
    memcpy(names, chosen, length + 1);
    for (char *at = names; at && i < n; i++) {
      char *comma = strchr(at, ',');
      columns[i].chosen = at;
      if (comma) *comma++ = '\0';
      at = comma;
      if (i + 1 == n && at) i++;
    }
  }
  return i == n ? PITH_OK : pith_fail(ctx, PITH_E_ARGUMENT, "--columns takes %u columns, by name or number from 1: %s", (unsigned)n, form);
}

static pith_status add_pair(pith_ctx *ctx, const pith_table *table, pith_json *list) {
  double score;
  const char *text = table->values[0];
  const size_t n = pith_decimal_parse(text, strlen(text), &score);
  if (n == 0 || text[n])
    return pith_fail(ctx, PITH_E_FORMAT, "%s, line %llu: the score \"%.40s\" is no number", table->path, (unsigned long long)table->line, text);
  pith_json *pair = pith_json_new_object();
  pith_json_add_number(pair, "score", score);
  pith_json_add_string(pair, "a", table->values[1]);
  pith_json_add_string(pair, "b", table->values[2]);
  pith_json_add(list, NULL, pair);
  return PITH_OK;
}

pith_status pith_input_pairs(pith_ctx *ctx, const pith_json *arguments, pith_json *request) {
  const char *path = argument(arguments, "similarity");
  char names[256];
  pith_column columns[] = {{NULL, score_names, 5}, {NULL, first_names, 6}, {NULL, second_names, 7}};   /* STS-B's own layout */
  if (!path) return PITH_OK;
  PITH_TRY(choose_columns(ctx, arguments, "score,a,b", names, columns, 3));
  return add_rows(ctx, path, PITH_TABLE_TSV, columns, 3, add_pair, request, "pairs");
}

/* {"text", "label"}, {"text", "pair", "label"} or {"text", "pair"}. */
static pith_status add_members(const pith_table *table, bool pair, bool label, pith_json *list) {
  pith_json *row = pith_json_new_object();
  pith_json_add_string(row, "text", table->values[0]);
  if (pair) pith_json_add_string(row, "pair", table->values[1]);
  if (label) pith_json_add_string(row, "label", table->values[1 + pair]);
  pith_json_add(list, NULL, row);
  return PITH_OK;
}

static pith_status add_labelled(pith_ctx *ctx, const pith_table *table, pith_json *list) {
  (void)ctx;
  return add_members(table, table->n_columns == 3, true, list);
}

static pith_status add_text_pair(pith_ctx *ctx, const pith_table *table, pith_json *list) {
  (void)ctx;
  return add_members(table, true, false, list);
}

pith_status pith_input_labelled(pith_ctx *ctx, const pith_json *arguments, pith_json *request) {
  const char *path = argument(arguments, "classify");
  char names[256];
  pith_column columns[] = {{NULL, text_names, 1}, {NULL, label_names, 2}, {NULL, label_names, 3}};
  if (!path) return PITH_OK;
  /* with three the second text is in the middle */
  const char *comma = argument(arguments, "columns") ? strchr(argument(arguments, "columns"), ',') : NULL;
  const uint32_t n = comma && strchr(comma + 1, ',') ? 3 : 2;
  PITH_TRY(choose_columns(ctx, arguments, "text,label, or text,pair,label", names, columns, n));
  return add_rows(ctx, path, PITH_TABLE_TSV, columns, n, add_labelled, request, "classify");
}

pith_status pith_input_text_pairs(pith_ctx *ctx, const pith_json *arguments, pith_json **list) {
  char names[256];
  pith_column columns[] = {{NULL, first_names, 1}, {NULL, second_names, 2}};
  PITH_TRY(choose_columns(ctx, arguments, "a,b", names, columns, 2));
  pith_json *rows = pith_json_new_object();
  pith_status status = add_rows(ctx, argument(arguments, "pairs"), PITH_TABLE_TSV, columns, 2, add_text_pair, rows, "pairs");
  *list = status == PITH_OK ? pith_json_copy(pith_json_get(rows, "pairs")) : NULL;
  pith_json_free(rows);
  return status;
}

static pith_status add_perplexity(pith_ctx *ctx, const pith_json *arguments, pith_json *request) {
  const char *path = argument(arguments, "perplexity");
  char *text;
  size_t n_bytes;
  if (!path) return PITH_OK;
  PITH_TRY(pith_input_file(ctx, path, &text, &n_bytes));
  pith_json_add_string(request, "perplexity", text);
  pith_free(ctx, text);
  return PITH_OK;
}

pith_status pith_inputs(pith_ctx *ctx, const pith_json *arguments, pith_json *request) {
  PITH_TRY(pith_input_texts(ctx, arguments, "texts", request));
  PITH_TRY(pith_input_pairs(ctx, arguments, request));
  PITH_TRY(pith_input_labelled(ctx, arguments, request));
  return add_perplexity(ctx, arguments, request);
}

static pith_status read_all(pith_ctx *ctx, const char *arguments, size_t n_bytes, pith_json *read) {
  pith_json *parsed;
  PITH_TRY(pith_json_parse(ctx, arguments, n_bytes, "the arguments", &parsed));
  pith_status status = pith_inputs(ctx, parsed, read);
  if (status == PITH_OK) status = pith_input_texts(ctx, parsed, "calibrate", read);
  pith_json_free(parsed);
  return status;
}

pith_status pith_inputs_for_host(pith_ctx *ctx, const char *arguments, size_t n_bytes, pith_buffer *out) {
  pith_json *read = pith_json_new_object();
  const pith_status status = read_all(ctx, arguments, n_bytes, read);
  pith_json_add_number(read, "status", (double)status);
  if (status != PITH_OK) pith_json_add_string(read, "message", ctx->message);
  const pith_status printed = pith_json_print(ctx, read, false, out);
  pith_json_free(read);
  return printed == PITH_OK ? pith_buffer_append(ctx, out, "", 1) : printed;
}
