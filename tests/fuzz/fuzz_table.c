/* A file of texts: a byte of choices, then its content. Rows are UTF-8, and no more than the lines. */
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  static const char *const paths[] = {"a.txt", "a.csv", "a.tsv", "a.jsonl"}, *const texts[] = {"text", "sentence", NULL}, *const labels[] = {"label", NULL};
  static const char *const chosen[] = {NULL, "b", "2", "100001"};
  if (n_bytes < 1 || memchr(data + 1, '\0', n_bytes - 1)) return 0;
  pith_ctx ctx;
  pith_table table;
  const pith_column columns[] = {{chosen[data[0] >> 2 & 3], texts, 1}, {chosen[data[0] >> 4 & 3], labels, 2}, {NULL, texts, 3}};
  char *text = malloc(n_bytes);
  if (!text) return 0;
  memcpy(text, data + 1, n_bytes - 1);
  text[n_bytes - 1] = '\0';
  pith_ctx_init(&ctx, NULL, NULL);
  const uint32_t n = (data[0] & 3) > 0 && data[0] >> 6 ? data[0] >> 6 : 1;   /* lines have one */
  pith_status status = pith_table_open(&ctx, &table, paths[data[0] & 3], PITH_TABLE_LINES, text, n_bytes - 1, columns, n);
  for (size_t n_rows = 0, line = 0; status == PITH_OK || status == PITH_PENDING; line = table.line) {
    status = pith_table_next(&ctx, &table);
    if (status != PITH_PENDING) break;
    if (++n_rows > n_bytes || table.line <= line) __builtin_trap();
    for (uint32_t i = 0; i < n; i++)
      if (!table.values[i] || pith_utf8_validate(table.values[i], strlen(table.values[i])) != strlen(table.values[i])) __builtin_trap();
  }
  pith_table_close(&ctx, &table);
  free(text);
  return 0;
}
