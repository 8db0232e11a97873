#include "base/table.h"

#include <string.h>

#include "base/format.h"
#include "base/utf8.h"

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool same(const char *a, size_t n, const char *b, bool any_case) {
  if (strlen(b) != n) return false;
  for (size_t i = 0; i < n; i++)
    if (a[i] != b[i] && !(any_case && lower(a[i]) == lower(b[i]))) return false;
  return true;
}

static bool ends_with(const char *text, const char *end) {
  const size_t n = strlen(text), m = strlen(end);
  return n >= m && same(text + n - m, m, end, true);
}

/* The column that a choice in digits means; 0: it is a name. */
static int number_of(const char *chosen) {
  int n = 0;
  for (const char *c = chosen; *c; c++) {
    if (*c < '0' || *c > '9' || n > 100000) return 0;
    n = 10 * n + (*c - '0');
  }
  return n;
}

pith_status pith_table_open(pith_ctx *ctx, pith_table *t, const char *path, pith_table_form otherwise, char *text, size_t n_bytes,
                            const pith_column *columns, uint32_t n_columns) {
  const char *newline = memchr(text, '\n', n_bytes), *tab = memchr(text, '\t', newline ? (size_t)(newline - text) : n_bytes);
  memset(t, 0, sizeof *t);
  t->path = path;
  t->text = text;
  t->n_bytes = n_bytes;
  t->next_line = 1;
  t->n_columns = n_columns;
  memcpy(t->columns, columns, n_columns * sizeof *columns);
  t->form = ends_with(path, ".csv") ? tab ? PITH_TABLE_TSV : PITH_TABLE_CSV : ends_with(path, ".tsv") ? PITH_TABLE_TSV
            : ends_with(path, ".jsonl") || ends_with(path, ".ndjson") ? PITH_TABLE_JSONL : otherwise;
  if (n_bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) t->at = 3;
  for (uint32_t i = 0; i < n_columns; i++) {
    const char *chosen = columns[i].chosen;
    if (!chosen) continue;
    if (t->form == PITH_TABLE_LINES) return pith_fail(ctx, PITH_E_ARGUMENT, "%s has a text a line and no columns: \"%.60s\" cannot be chosen", path, chosen);
    if (t->form == PITH_TABLE_JSONL) continue;
    t->columns[i].number = number_of(chosen);
    if (*chosen == '\0' || strcmp(chosen, "0") == 0) return pith_fail(ctx, PITH_E_ARGUMENT, "a column is a name or a number from 1, not \"%s\"", chosen);
  }
  return PITH_OK;
}

void pith_table_close(pith_ctx *ctx, pith_table *t) {
  pith_json_free(t->row);
  for (uint32_t i = 0; i < t->n_columns; i++) pith_buffer_free(ctx, &t->printed[i]);
  memset(t, 0, sizeof *t);
}

static pith_status bad_row(pith_ctx *ctx, const pith_table *t, const char *what) {
  return pith_fail(ctx, PITH_E_FORMAT, "%s, line %llu: %s", t->path, (unsigned long long)t->line, what);
}

static pith_status check_utf8(pith_ctx *ctx, const pith_table *t, const char *value, size_t n) {
  const size_t valid = pith_utf8_validate(value, n);
  if (valid == n) return PITH_OK;
  return pith_fail(ctx, PITH_E_ARGUMENT, "%s, line %llu: the text is no UTF-8 at byte %llu", t->path, (unsigned long long)t->line, (unsigned long long)valid);
}

/* The line from t->at on, without its end; t->at behind it. */
static char *take_line(pith_table *t, size_t *n) {
  char *begin = t->text + t->at;
  char *newline = memchr(begin, '\n', t->n_bytes - t->at);
  *n = newline ? (size_t)(newline - begin) : t->n_bytes - t->at;
  t->at += *n + (newline ? 1 : 0);
  t->line = t->next_line++;
  if (*n > 0 && begin[*n - 1] == '\r') --*n;
  return begin;
}

/* ---- CSV and TSV ---- */

typedef struct cell {
  char *text;
  size_t n;
  bool last;                     /* of its row */
} cell;

/* The field from t->at on. Quotes are undone in place. */
static pith_status take_quoted(pith_ctx *ctx, pith_table *t, cell *out) {
  size_t from = t->at + 1;
  out->text = t->text + from;
  for (;; from++) {
    if (from >= t->n_bytes) return bad_row(ctx, t, "a quote is not closed");
    const char c = t->text[from];
    if (c == '"' && t->text[from + 1] != '"') break;
    if (c == '"') from++;
    t->next_line += c == '\n';
    out->text[out->n++] = c;
  }
  t->at = from + 1;
  const bool crlf = t->at + 1 < t->n_bytes && t->text[t->at] == '\r' && t->text[t->at + 1] == '\n';
  if (crlf) t->at++;
  if (t->at < t->n_bytes && t->text[t->at] != ',' && t->text[t->at] != '\n') return bad_row(ctx, t, "there is text behind a closing quote");
  out->last = t->at >= t->n_bytes || t->text[t->at] == '\n';
  return PITH_OK;
}

static pith_status take_cell(pith_ctx *ctx, pith_table *t, cell *out) {
  const char separator = t->form == PITH_TABLE_CSV ? ',' : '\t';
  *out = (cell){.text = t->text + t->at};
  if (t->form == PITH_TABLE_CSV && t->at < t->n_bytes && t->text[t->at] == '"') {
    PITH_TRY(take_quoted(ctx, t, out));
  } else {
    while (t->at < t->n_bytes && t->text[t->at] != separator && t->text[t->at] != '\n') t->at++;
    out->n = (size_t)(t->text + t->at - out->text);
    out->last = t->at >= t->n_bytes || t->text[t->at] == '\n';
    if (out->last && out->n > 0 && out->text[out->n - 1] == '\r') out->n--;
  }
  if (t->at < t->n_bytes) t->at++;
  if (out->last) t->next_line++;
  return PITH_OK;
}

static bool is_name(const pith_column *column, const cell *c) {
  if (column->chosen && column->number == 0) return same(c->text, c->n, column->chosen, false);
  for (const char *const *name = column->names; *name; name++)
    if (same(c->text, c->n, *name, true)) return true;
  return false;
}

/* Reads the first row; leaves it to be read again where it is no header. */
static pith_status read_header(pith_ctx *ctx, pith_table *t) {
  int found[PITH_MAX_COLUMNS] = {0};
  bool header = false;
  const size_t begin = t->at;
  const bool quoted = t->form == PITH_TABLE_CSV && memchr(t->text + begin, '"', t->n_bytes - begin) != NULL;
  char *kept = NULL;
  cell c;
  pith_status status = PITH_OK;
  if (quoted) {   /* quotes are undone in place */
    PITH_TRY(pith_malloc(ctx, t->n_bytes + 1, &kept));
    memcpy(kept, t->text, t->n_bytes + 1);
  }
  t->line = t->next_line;
  for (int column = 1;; column++) {
    status = take_cell(ctx, t, &c);
    if (status != PITH_OK) break;
    for (uint32_t i = 0; i < t->n_columns; i++) {
      if (found[i] || !is_name(&t->columns[i], &c) || (t->columns[i].chosen && t->columns[i].number && t->columns[i].number != column)) continue;
      found[i] = column;
      header = true;
    }
    if (c.last) break;
  }
  for (uint32_t i = 0; i < t->n_columns && status == PITH_OK; i++) {
    pith_column *column = &t->columns[i];
    if (column->chosen && column->number) continue;
    if (found[i]) column->number = found[i];
    else if (column->chosen) status = pith_fail(ctx, PITH_E_ARGUMENT, "%s has no column \"%.60s\" in its first row", t->path, column->chosen);
    else if (header) status = pith_fail(ctx, PITH_E_ARGUMENT, "%s has no column \"%s\": choose one by its name or number", t->path, column->names[0]);
  }
  if (!header) {
    t->at = begin;
    t->next_line = 1;
    if (kept) memcpy(t->text, kept, t->n_bytes + 1);
  }
  pith_free(ctx, kept);
  return status;
}

static pith_status next_separated(pith_ctx *ctx, pith_table *t) {
  cell cells[PITH_MAX_COLUMNS] = {{0}}, c;
  if (!t->begun) PITH_TRY(read_header(ctx, t));
  t->begun = true;
  for (;;) {
    bool blank = true;
    if (t->at >= t->n_bytes) return PITH_OK;
    t->line = t->next_line;
    memset(cells, 0, sizeof cells);
    for (int column = 1;; column++) {
      PITH_TRY(take_cell(ctx, t, &c));
      blank = blank && c.n == 0;
      for (uint32_t i = 0; i < t->n_columns; i++)
        if (t->columns[i].number == column) cells[i] = c;
      if (c.last) break;
    }
    if (!blank) break;
  }
  for (uint32_t i = 0; i < t->n_columns; i++) {
    if (!cells[i].text)
      return pith_fail(ctx, PITH_E_FORMAT, "%s, line %llu: there is no column %d", t->path, (unsigned long long)t->line, t->columns[i].number);
    PITH_TRY(check_utf8(ctx, t, cells[i].text, cells[i].n));
  }
  for (uint32_t i = 0; i < t->n_columns; i++) {   /* what ended them is not needed any more */
    cells[i].text[cells[i].n] = '\0';
    t->values[i] = cells[i].text;
  }
  return PITH_PENDING;
}

/* ---- lines, and JSON in them ---- */

static const pith_json *member_of(const pith_table *t, const pith_column *column, const char **name) {
  *name = column->chosen ? column->chosen : column->names[0];
  const pith_json *found = pith_json_get(t->row, *name);
  for (const char *const *other = column->names; !column->chosen && !found && *other; other++) found = pith_json_get(t->row, *other);
  return found;
}

static pith_status read_object(pith_ctx *ctx, pith_table *t, const char *line, size_t n) {
  char what[300], message[120];
  const char *name;
  pith_json_free(t->row);
  t->row = NULL;
  pith_snprintf(what, sizeof what, "%.240s, line %llu", t->path, (unsigned long long)t->line);
  PITH_TRY(pith_json_parse(ctx, line, n, what, &t->row));
  if (!pith_json_is_object(t->row)) return bad_row(ctx, t, "this is no JSON object");
  for (uint32_t i = 0; i < t->n_columns; i++) {
    const pith_json *member = member_of(t, &t->columns[i], &name);
    t->values[i] = pith_json_string(member);
    if (t->values[i]) continue;
    if (!pith_json_is_number(member)) {
      pith_snprintf(message, sizeof message, "there is no text \"%.60s\"", name);
      return bad_row(ctx, t, message);
    }
    pith_buffer_free(ctx, &t->printed[i]);
    PITH_TRY(pith_json_print(ctx, member, false, &t->printed[i]));
    PITH_TRY(pith_buffer_append(ctx, &t->printed[i], "", 1));
    t->values[i] = t->printed[i].data;
  }
  return PITH_PENDING;
}

static pith_status next_line(pith_ctx *ctx, pith_table *t) {
  char *line;
  size_t n;
  do {
    if (t->at >= t->n_bytes) return PITH_OK;
    line = take_line(t, &n);
  } while (n == 0);
  PITH_TRY(check_utf8(ctx, t, line, n));
  if (t->form == PITH_TABLE_JSONL) return read_object(ctx, t, line, n);
  line[n] = '\0';
  t->values[0] = line;
  return PITH_PENDING;
}

pith_status pith_table_next(pith_ctx *ctx, pith_table *t) {
  return t->form == PITH_TABLE_CSV || t->form == PITH_TABLE_TSV ? next_separated(ctx, t) : next_line(ctx, t);
}
