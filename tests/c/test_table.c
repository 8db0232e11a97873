/* Rows of text files: lines, CSV, TSV, JSONL; headers, columns, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/host_posix.h"
#include "base/table.h"

static pith_ctx ctx;
static const char *const texts[] = {"text", "sentence", NULL}, *const labels[] = {"label", NULL};

/* The rows as "text|label;…" into out; the status of the end. */
static pith_status rows(const char *path, const char *content, const char *text_column, const char *label_column, uint32_t n, char *out, size_t capacity) {
  char copy[512];
  const size_t n_bytes = strlen(content);
  const pith_column columns[] = {{text_column, texts, 1}, {label_column, labels, 2}};
  pith_table table;
  size_t used = 0;
  memcpy(copy, content, n_bytes + 1);
  *out = '\0';
  pith_status status = pith_table_open(&ctx, &table, path, PITH_TABLE_LINES, copy, n_bytes, columns, n);
  while (status == PITH_OK && (status = pith_table_next(&ctx, &table)) == PITH_PENDING) {
    used += (size_t)snprintf(out + used, capacity - used, "%s%s%s;", table.values[0], n > 1 ? "|" : "", n > 1 ? table.values[1] : "");
    status = PITH_OK;
  }
  pith_table_close(&ctx, &table);
  return status;
}

static void test_rows(void **state) {
  (void)state;
  static const struct {
    const char *path, *content, *text, *label;
    uint32_t n;
    const char *expected;
  } cases[] = {
      {"a.txt", "one, \"two\"\r\n\nthree", NULL, NULL, 1, "one, \"two\";three;"},
      {"a.txt", "", NULL, NULL, 1, ""},
      {"a.txt", "\xef\xbb\xbfone\n", NULL, NULL, 1, "one;"},
      {"a.csv", "x,1\ny,2\n", NULL, NULL, 2, "x|1;y|2;"},
      {"a.csv", "id,Label,TEXT\n7,good,\"a \"\"b\"\", c\nd\"\r\n\n8,bad,e\"f\r\n", NULL, NULL, 2, "a \"b\", c\nd|good;e\"f|bad;"},
      {"a.csv", "\"x,y\",1\n\"\",2", NULL, NULL, 2, "x,y|1;|2;"},
      {"a.csv", "x,1\ny,2", "2", "1", 2, "1|x;2|y;"},
      {"a.csv", "n,body\n1,x\n", "body", "1", 2, "x|1;"},
      {"a.csv", "sentence,n\nx,1\n", "1", NULL, 1, "x;"},
      {"a.csv", "\"text\",\"label\"\n\"p\",\"q\"\n", NULL, NULL, 2, "p|q;"},
      {"a.csv", "5\t\"x\ty\n", "2", "3", 2, "\"x|y;"},   /* STS-B: tabs, and quotes that are text */
      {"a.tsv", "sentence\tlabel\na \"b\t0\n", NULL, NULL, 2, "a \"b|0;"},
      {"A.TSV", "x\t1\n\t\ny\t2\n", NULL, NULL, 2, "x|1;y|2;"},
      {"a.jsonl", "{\"text\":\"x\\ny\",\"label\":1}\n\n{\"label\":\"b\",\"text\":\"z\"}\n", NULL, NULL, 2, "x\ny|1;z|b;"},
      {"a.ndjson", "{\"sentence\":\"x\"}", NULL, NULL, 1, "x;"},
      {"a.jsonl", "{\"body\":\"x\",\"2\":\"y\"}", "body", "2", 2, "x|y;"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char out[512];
    if (rows(cases[i].path, cases[i].content, cases[i].text, cases[i].label, cases[i].n, out, sizeof out) != PITH_OK) fail_msg("case %zu: %s", i, ctx.message);
    assert_string_equal(out, cases[i].expected);
  }
}

static void test_faults(void **state) {
  (void)state;
  static const struct {
    const char *path, *content, *text, *label;
    uint32_t n;
    pith_status status;
    const char *says;
  } cases[] = {
      {"a.csv", "x,1\ny\n", NULL, NULL, 2, PITH_E_FORMAT, "a.csv, line 2: there is no column 2"},
      {"a.csv", "\"a\nb\",1\n\"c,2\n", NULL, NULL, 2, PITH_E_FORMAT, "a.csv, line 3: a quote is not closed"},
      {"a.csv", "\"a\"b,1\n", NULL, NULL, 2, PITH_E_FORMAT, "a.csv, line 1: there is text behind a closing quote"},
      {"a.csv", "x,y\n1,2\n", "body", NULL, 1, PITH_E_ARGUMENT, "a.csv has no column \"body\""},
      {"a.csv", "text,y\n1,2\n", NULL, NULL, 2, PITH_E_ARGUMENT, "a.csv has no column \"label\""},
      {"a.csv", "x,y\n", "0", NULL, 1, PITH_E_ARGUMENT, "not \"0\""},
      {"a.tsv", "ok\t1\n\xc3(\t2\n", NULL, NULL, 2, PITH_E_ARGUMENT, "a.tsv, line 2: the text is no UTF-8 at byte 0"},
      {"a.txt", "x\n\xff\n", NULL, NULL, 1, PITH_E_ARGUMENT, "a.txt, line 2: the text is no UTF-8 at byte 0"},
      {"a.txt", "x\n", "text", NULL, 1, PITH_E_ARGUMENT, "a.txt has a text a line and no columns"},
      {"a.jsonl", "{\"text\":\"x\"}\n{\"text\":}\n", NULL, NULL, 1, PITH_E_FORMAT, "a.jsonl, line 2"},
      {"a.jsonl", "{\"text\":\"x\"}\n[1]\n", NULL, NULL, 1, PITH_E_FORMAT, "a.jsonl, line 2: this is no JSON object"},
      {"a.jsonl", "{\"text\":\"x\"}\n", "body", NULL, 1, PITH_E_FORMAT, "a.jsonl, line 1: there is no text \"body\""},
      {"a.jsonl", "{\"text\":null}\n", NULL, NULL, 1, PITH_E_FORMAT, "a.jsonl, line 1: there is no text \"text\""}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char out[512];
    const pith_status status = rows(cases[i].path, cases[i].content, cases[i].text, cases[i].label, cases[i].n, out, sizeof out);
    if (status != cases[i].status || !strstr(ctx.message, cases[i].says)) fail_msg("case %zu: %d, %s", i, (int)status, ctx.message);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_faults)};
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_ctx_init(&ctx, &host, NULL);
  return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
