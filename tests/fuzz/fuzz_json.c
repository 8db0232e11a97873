/* JSON: what is accepted prints as a text that reads as the same tree; a vocabulary that is read where it lies is the tree's. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

/* Where fifteen digits are off by no more than a double's last place, they are what is printed. */
static bool close(double a, double b) { return fabs(a - b) <= DBL_EPSILON * fmax(fabs(a), fabs(b)); }

static bool same(const pith_json *a, const pith_json *b) {
  if (pith_json_is_string(a)) return pith_json_is_string(b) && strcmp(pith_json_string(a), pith_json_string(b)) == 0;
  if (pith_json_is_number(a)) return pith_json_is_number(b) && close(pith_json_number(a, 0), pith_json_number(b, 1));
  if (pith_json_is_bool(a)) return pith_json_is_bool(b) && pith_json_true(a) == pith_json_true(b);
  if (pith_json_is_null(a)) return pith_json_is_null(b);
  if (pith_json_is_object(a) != pith_json_is_object(b) || pith_json_count(a) != pith_json_count(b)) return false;
  a = pith_json_first(a);
  b = pith_json_first(b);
  for (; a && b; a = pith_json_next(a), b = pith_json_next(b)) {
    if ((pith_json_key(a) != NULL) != (pith_json_key(b) != NULL)) return false;
    if ((pith_json_key(a) && strcmp(pith_json_key(a), pith_json_key(b)) != 0) || !same(a, b)) return false;
  }
  return !a && !b;
}

static void print_and_read(pith_ctx *ctx, const pith_json *json, bool pretty) {
  pith_buffer text = {0};
  pith_json *again = NULL;
  if (pith_json_print(ctx, json, pretty, &text) != PITH_OK) __builtin_trap();
  if (pith_json_parse(ctx, text.data, text.n_bytes, "what was printed", &again) != PITH_OK || !same(json, again)) __builtin_trap();
  pith_json_free(again);
  pith_buffer_free(ctx, &text);
}

/* Where the flat reader comes to the end, the tree has the same members in the same order. */
static void read_flat(const char *text, size_t n_bytes, const pith_json *json) {
  pith_json_flat flat;
  if (!pith_json_flat_find(text, n_bytes, "model", "vocab", &flat)) return;
  const pith_json *vocab = pith_json_get(pith_json_get(json, "model"), "vocab"), *member = pith_json_first(vocab);
  const char *key;
  size_t n, n_members = 0, n_key_bytes = 0;
  int32_t value;
  pith_status status;
  for (; (status = pith_json_flat_next(&flat, &key, &n, &value)) == PITH_PENDING; n_members++, n_key_bytes += n) {
    if (!json) continue;   /* the text is none elsewhere */
    if (!member || strlen(pith_json_key(member)) != n || memcmp(pith_json_key(member), key, n) != 0 || pith_json_number(member, -1) != value) __builtin_trap();
    member = pith_json_next(member);
  }
  if (status != PITH_OK) return;
  if (n_members > flat.n_members || n_key_bytes > flat.n_key_bytes || (json && (member || !pith_json_is_object(vocab)))) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  pith_ctx ctx;
  pith_json *json = NULL;
  pith_ctx_init(&ctx, NULL, NULL);
  if (pith_json_parse(&ctx, (const char *)data, n_bytes, "text", &json) == PITH_OK) {
    print_and_read(&ctx, json, false);
    print_and_read(&ctx, json, true);
  } else {
    json = NULL;
  }
  read_flat((const char *)data, n_bytes, json);
  pith_json_free(json);
  return 0;
}
