/* tensor/: what is printed is parsed again, and every kind of hostile header has its own refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tensor/safetensors.h"

static void test_round_trip(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  char first[] = "first.weight", second[] = "second";
  const pith_tensor_entry entries[] = {{.name = first, .dtype = PITH_F32, .n_dims = 2, .dims = {3, 5}, .n_bytes = 60},
                                       {.name = second, .dtype = PITH_U8, .n_dims = 1, .dims = {4}, .n_bytes = 4}};
  const char *const metadata[] = {"format", "pith"};
  pith_buffer header = {0};
  assert_int_equal(pith_safetensors_print(&ctx, entries, 2, metadata, 1, &header), PITH_OK);
  assert_int_equal(header.n_bytes % 64, 0);
  uint64_t n_bytes;
  const uint64_t file_bytes = header.n_bytes + 64;
  assert_int_equal(pith_safetensors_header_bytes(&ctx, (const uint8_t *)header.data, file_bytes, "file", &n_bytes), PITH_OK);
  assert_int_equal(n_bytes, header.n_bytes - 8);
  pith_safetensors index;
  assert_int_equal(pith_safetensors_parse(&ctx, header.data + 8, n_bytes, file_bytes, "file", &index), PITH_OK);
  assert_int_equal(index.n_entries, 2);
  const pith_tensor_entry *found = pith_safetensors_find(&index, "second");
  assert_non_null(found);
  assert_int_equal(found->offset, header.n_bytes + 60);
  assert_string_equal(index.metadata[1], "pith");
  assert_null(pith_safetensors_find(&index, "third"));
  pith_safetensors_free(&ctx, &index);
  pith_buffer_free(&ctx, &header);
}

#define T(dtype, shape, range) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" range "}"

static void test_hostile_headers(void **state) {
  (void)state;
  static const struct {
    const char *header;   /* the data has 16 bytes */
    const char *says;
  } cases[] = {
      {"[]", "JSON object"},
      {"{\"a\":1}", "no object"},
      {"{\"\":" T("F32", "[4]", "[0,16]") "}", "no name"},
      {"{\"a\":" T("F99", "[4]", "[0,16]") "}", "F99"},
      {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", "shape"},
      {"{\"a\":" T("F32", "[-4]", "[0,16]") "}", "whole number"},
      {"{\"a\":" T("F32", "[2.5]", "[0,16]") "}", "whole number"},
      {"{\"a\":" T("F32", "[1e300]", "[0,16]") "}", "whole number"},
      {"{\"a\":" T("F32", "[4294967296,4294967296,4]", "[0,16]") "}", "overflows"},
      {"{\"a\":" T("F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]") "}", "dimensions"},
      {"{\"a\":" T("F32", "[4]", "[0]") "}", "data_offsets"},
      {"{\"a\":" T("F32", "[4]", "[-16,0]") "}", "data_offsets"},
      {"{\"a\":" T("F32", "[4]", "[16,0]") "}", "ends before"},
      {"{\"a\":" T("F32", "[4]", "[16,32]") "}", "truncated"},
      {"{\"a\":" T("F32", "[3]", "[0,16]") "}", "need 12"},
      {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[3]", "[4,16]") "}", "overlap"},
      {"{\"a\":" T("F32", "[2]", "[8,16]") "}", "belong to none"},
      {"{\"a\":" T("F32", "[2]", "[0,8]") "}", "after the last"},
      {"{\"a\":" T("F32", "[4]", "[0,16]") ",\"a\":" T("F32", "[4]", "[0,16]") "}", "twice"},
      {"{\"__metadata__\":{\"a\":1},\"a\":" T("F32", "[4]", "[0,16]") "}", "strings alone"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_ctx ctx;
    pith_ctx_init(&ctx, NULL, NULL);
    pith_safetensors index;
    const uint64_t n = strlen(cases[i].header);
    const pith_status status = pith_safetensors_parse(&ctx, cases[i].header, n, 8 + n + 16, "file", &index);
    if (status == PITH_OK || !strstr(ctx.message, cases[i].says)) fail_msg("case %d: status %d, \"%s\"", (int)i, (int)status, ctx.message);
    assert_null(index.entries);
  }
}

static void test_header_length(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_ctx_init(&ctx, NULL, NULL);
  uint64_t n;
  const uint8_t huge[8] = {255, 255, 255, 255, 255, 255, 255, 255}, ten[8] = {10}, none[8] = {0};
  assert_int_equal(pith_safetensors_header_bytes(&ctx, huge, 1000, "file", &n), PITH_E_FORMAT);
  assert_int_equal(pith_safetensors_header_bytes(&ctx, ten, 17, "file", &n), PITH_E_FORMAT);
  assert_int_equal(pith_safetensors_header_bytes(&ctx, none, 17, "file", &n), PITH_E_FORMAT);
  assert_int_equal(pith_safetensors_header_bytes(&ctx, ten, 18, "file", &n), PITH_OK);
  assert_int_equal(n, 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_hostile_headers),
                                     cmocka_unit_test(test_header_length)};
  return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
