/* Rows of a text file: a text a line, CSV, TSV or JSONL, as its name ends. Of each row the fields that were asked for. */
#ifndef PITH_TABLE_H
#define PITH_TABLE_H

#include "base/json.h"

typedef enum pith_table_form { PITH_TABLE_LINES, PITH_TABLE_CSV, PITH_TABLE_TSV, PITH_TABLE_JSONL } pith_table_form;

/* A column: the caller's choice, a name or a number from 1, else the first of `names` that the file has, else the column of that number where
 * the file has no header. Its first row is a header where a column is chosen by name, or where one of its fields is among `names`. */
typedef struct pith_column {
  const char *chosen;            /* or NULL */
  const char *const *names;      /* NULL-terminated */
  int number;
} pith_column;

enum { PITH_MAX_COLUMNS = 3 };
typedef struct pith_table {
  pith_table_form form;
  const char *path;              /* for messages */
  char *text;                    /* rows that were read are overwritten */
  size_t n_bytes, at;
  size_t line, next_line;        /* of the row at hand, from 1 */
  bool begun;
  uint32_t n_columns;
  pith_column columns[PITH_MAX_COLUMNS];
  const char *values[PITH_MAX_COLUMNS];   /* of the row at hand: valid UTF-8, NUL-terminated, until the next one */
  pith_json *row;                /* JSONL */
  pith_buffer printed[PITH_MAX_COLUMNS];  /* numbers of it as texts */
} pith_table;

/* .csv (tab-separated if its first line has a tab, as STS-B's), .tsv, .jsonl and .ndjson; anything else is LINES, or `otherwise`. CSV has RFC 4180's
 * quotes, TSV none. text: (n_bytes + 1), without NULs, must live on. PITH_E_ARGUMENT where columns are chosen and there are none. */
pith_status pith_table_open(pith_ctx *ctx, pith_table *table, const char *path, pith_table_form otherwise, char *text, size_t n_bytes,
                            const pith_column *columns, uint32_t n_columns);
/* PITH_PENDING: a row, blank ones left out. PITH_OK: none is left. PITH_E_FORMAT names the line. */
pith_status pith_table_next(pith_ctx *ctx, pith_table *table);
void pith_table_close(pith_ctx *ctx, pith_table *table);

#endif
