#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

/* cJSON recurses over nesting, so depth is bounded before it sees the text. Strings are skipped. */
static bool too_deep(const char *text, size_t n) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < n; i++) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') i++;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > MAX_DEPTH) return true;
    } else if (c == '}' || c == ']') {
      depth--;
    }
  }
  return false;
}

static int compare_keys(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Depth is bounded by MAX_DEPTH, so the recursion is. Sorting finds duplicates in O(n log n). */
static pith_status refuse_duplicates(pith_ctx *ctx, const cJSON *json, const char *what) {
  size_t n = 0;
  for (const cJSON *child = json->child; child; child = child->next, n++)
    if (child->child) PITH_TRY(refuse_duplicates(ctx, child, what));
  if (!cJSON_IsObject(json) || n < 2) return PITH_OK;
  const char **keys;
  PITH_TRY(pith_malloc(ctx, n * sizeof *keys, &keys));
  n = 0;
  for (const cJSON *child = json->child; child; child = child->next) keys[n++] = child->string;
  qsort(keys, n, sizeof *keys, compare_keys);
  pith_status status = PITH_OK;
  for (size_t i = 1; i < n && status == PITH_OK; i++)
    if (strcmp(keys[i - 1], keys[i]) == 0) status = pith_fail(ctx, PITH_E_FORMAT, "%s has the key \"%.80s\" twice", what, keys[i]);
  pith_free(ctx, keys);
  return status;
}

/* cJSON ends a string at an escaped NUL; cutting a text in silence is no option. */
static bool has_escaped_nul(const char *text, size_t n_bytes) {
  for (size_t i = 0; i + 5 < n_bytes; i++) {
    if (text[i] != '\\') continue;
    if (memcmp(text + i + 1, "u0000", 5) == 0) return true;
    i++;   /* what is escaped escapes nothing */
  }
  return false;
}

/* ---- why cJSON gave nothing: it says nowhere that memory ran out. What is JSON for certain failed for that. ---- */

typedef struct scanner {
  const char *at, *end;
} scanner;

static char peek(const scanner *s) { return s->at < s->end ? *s->at : '\0'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool take(scanner *s, const char *word) {
  const size_t n = strlen(word);
  if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0) return false;
  s->at += n;
  return true;
}

static void skip_blanks(scanner *s) {
  while (s->at < s->end && strchr(" \t\r\n", *s->at)) s->at++;
}

static bool scan_string(scanner *s) {
  if (!take(s, "\"")) return false;
  while (s->at < s->end) {
    const char c = *s->at++;
    if (c == '"') return true;
    if ((unsigned char)c < 0x20) return false;
    if (c != '\\') continue;
    const char escape = peek(s);
    if (escape == '\0' || !strchr("\"\\/bfnrtu", escape)) return false;
    s->at++;
    for (int i = 0; escape == 'u' && i < 4; i++, s->at++) {
      const char hex = peek(s);
      if (!is_digit(hex) && !(hex >= 'a' && hex <= 'f') && !(hex >= 'A' && hex <= 'F')) return false;
      if (i == 1 && (s->at[-1] == 'd' || s->at[-1] == 'D') && hex >= '8') return false;   /* surrogates may be unpaired: not certain */
    }
  }
  return false;
}

static bool scan_digits(scanner *s) {
  const char *begin = s->at;
  while (is_digit(peek(s))) s->at++;
  return s->at > begin;
}

static bool scan_number(scanner *s) {
  const char *begin = s->at;
  take(s, "-");
  if (!take(s, "0") && !scan_digits(s)) return false;
  if (take(s, ".") && !scan_digits(s)) return false;
  const bool exponent = take(s, "e") || take(s, "E");
  if (exponent && !take(s, "+")) take(s, "-");
  return (!exponent || scan_digits(s)) && s->at - begin < 60;   /* cJSON reads no longer ones */
}

/* Depth is bounded by MAX_DEPTH, so the recursion is. */
static bool scan_value(scanner *s) {
  skip_blanks(s);
  const char first = peek(s);
  if (first == '"') return scan_string(s);
  if (first != '{' && first != '[') return take(s, "true") || take(s, "false") || take(s, "null") || scan_number(s);
  const char *close = first == '{' ? "}" : "]";
  s->at++;
  skip_blanks(s);
  if (take(s, close)) return true;
  for (;;) {
    skip_blanks(s);
    if (first == '{') {
      if (!scan_string(s)) return false;
      skip_blanks(s);
      if (!take(s, ":")) return false;
    }
    if (!scan_value(s)) return false;
    skip_blanks(s);
    if (take(s, close)) return true;
    if (!take(s, ",")) return false;
  }
}

static bool is_json(const char *text, size_t n_bytes) {
  scanner s = {text, text + n_bytes};
  if (!scan_value(&s)) return false;
  skip_blanks(&s);
  return s.at == s.end;
}

/* ---- an object without a tree ---- */

/* Past the key, if it is that one. */
static bool enter_member(scanner *s, const char *key) {
  const size_t n = strlen(key);
  skip_blanks(s);
  if (!take(s, "{")) return false;
  for (;;) {
    skip_blanks(s);
    const char *begin = s->at + 1;
    if (!scan_string(s)) return false;
    const bool found = (size_t)(s->at - begin) == n + 1 && memcmp(begin, key, n) == 0;
    skip_blanks(s);
    if (!take(s, ":")) return false;
    skip_blanks(s);
    if (found) return true;
    if (!scan_value(s)) return false;
    skip_blanks(s);
    if (!take(s, ",")) return false;
  }
}

bool pith_json_flat_find(const char *text, size_t n_bytes, const char *outer, const char *inner, pith_json_flat *flat) {
  scanner s = {text, text + n_bytes};
  if (!enter_member(&s, outer) || !enter_member(&s, inner) || !take(&s, "{")) return false;
  *flat = (pith_json_flat){.begin = s.at, .at = s.at};
  for (const char *at = s.at; at < s.end; at++) {
    if (*at == '}') {
      flat->end = at;
      return flat->n_members > 0;
    }
    if (*at == '{' || *at == '[') return false;
    if (*at != '"') continue;
    const char *begin = ++at;
    while (at < s.end && *at != '"') at += *at == '\\' && at + 1 < s.end ? 2 : 1;
    flat->n_members++;
    flat->n_key_bytes += (size_t)(at - begin);
  }
  return false;
}

static int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  const char lower = (char)(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* An escaped character, behind the backslash. Surrogates and NUL are unusual. */
static bool decode_escape(scanner *s, char **out) {
  static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  const char name = peek(s), *plain = strchr(names, name);
  if (name == '\0') return false;
  s->at++;
  if (plain) {
    *(*out)++ = meant[plain - names];
    return true;
  }
  uint32_t c = 0;
  if (name != 'u') return false;
  for (int i = 0; i < 4; i++) {
    const int digit = hex_digit(peek(s));
    if (digit < 0) return false;
    c = c << 4 | (uint32_t)digit;
    s->at++;
  }
  if (c == 0 || (c >= 0xd800 && c < 0xe000)) return false;
  if (c >= 0x800) *(*out)++ = (char)(0xe0 | c >> 12);
  if (c >= 0x80) *(*out)++ = (char)(c >= 0x800 ? 0x80 | (c >> 6 & 63) : 0xc0 | c >> 6);
  *(*out)++ = (char)(c >= 0x80 ? 0x80 | (c & 63) : c);
  return true;
}

static bool decode_key(scanner *s, pith_json_flat *flat, const char **key, size_t *n_bytes) {
  const char *begin = s->at;
  while (s->at < s->end && (uint8_t)*s->at >= 0x20 && *s->at != '"' && *s->at != '\\') s->at++;
  *key = begin;
  *n_bytes = (size_t)(s->at - begin);
  if (take(s, "\"")) return true;
  if (*n_bytes > sizeof flat->key / 2) return false;
  memcpy(flat->key, begin, *n_bytes);
  char *out = flat->key + *n_bytes;
  for (;;) {
    if (s->at == s->end || out + 4 > flat->key + sizeof flat->key) return false;
    const char c = *s->at++;
    if (c == '"') break;
    if ((uint8_t)c < 0x20) return false;
    if (c != '\\') *out++ = c;
    else if (!decode_escape(s, &out)) return false;
  }
  *key = flat->key;
  *n_bytes = (size_t)(out - flat->key);
  return true;
}

pith_status pith_json_flat_next(pith_json_flat *flat, const char **key, size_t *n_bytes, int32_t *value) {
  scanner s = {flat->at, flat->end};
  const bool first = s.at == flat->begin;
  skip_blanks(&s);
  if (s.at == s.end && !first) return PITH_OK;
  if (!first && !take(&s, ",")) return PITH_E_FORMAT;
  skip_blanks(&s);
  if (!take(&s, "\"") || !decode_key(&s, flat, key, n_bytes)) return PITH_E_FORMAT;
  skip_blanks(&s);
  if (!take(&s, ":")) return PITH_E_FORMAT;
  skip_blanks(&s);
  const char *digits = s.at;
  *value = 0;
  for (; s.at - digits < 9 && is_digit(peek(&s)); s.at++) *value = *value * 10 + (*s.at - '0');
  if (s.at == digits || is_digit(peek(&s)) || (*digits == '0' && s.at - digits > 1)) return PITH_E_FORMAT;
  flat->at = s.at;
  return PITH_PENDING;
}

pith_status pith_json_parse(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_json **out) {
  *out = NULL;
  if (memchr(text, '\0', n_bytes)) return pith_fail(ctx, PITH_E_FORMAT, "%s is not JSON: it has a NUL byte", what);
  if (too_deep(text, n_bytes)) return pith_fail(ctx, PITH_E_FORMAT, "%s nests deeper than %d levels", what, MAX_DEPTH);
  if (has_escaped_nul(text, n_bytes)) return pith_fail(ctx, PITH_E_FORMAT, "%s has a string with a NUL character (\\u0000), which Pith's texts cannot hold", what);
  const char *end = NULL;
  cJSON *json = cJSON_ParseWithLengthOpts(text, n_bytes, &end, 0);
  if (!json && is_json(text, n_bytes)) return pith_fail(ctx, PITH_E_MEMORY, "out of memory while %s was read, which has %zu bytes", what, n_bytes);
  size_t at = end ? (size_t)(end - text) : 0;
  while (json && at < n_bytes && strchr(" \t\r\n", text[at])) at++;
  if (!json || at < n_bytes) {
    cJSON_Delete(json);
    size_t first = 0;
    while (first < n_bytes && strchr(" \t\r\n", text[first])) first++;
    const bool html = first < n_bytes && text[first] == '<';
    return pith_fail(ctx, PITH_E_FORMAT, "%s is not JSON: error at byte %llu%s", what, (unsigned long long)at,
                     html ? "; it looks like a web page: is the address right?" : "");
  }
  const pith_status status = refuse_duplicates(ctx, json, what);
  if (status != PITH_OK) {
    cJSON_Delete(json);
    return status;
  }
  *out = json;
  return PITH_OK;
}

void pith_json_free(pith_json *json) { cJSON_Delete(json); }

const pith_json *pith_json_get(const pith_json *object, const char *key) {
  return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}
const pith_json *pith_json_first(const pith_json *container) { return container ? container->child : NULL; }
const pith_json *pith_json_next(const pith_json *child) { return child->next; }
const char *pith_json_key(const pith_json *child) { return child->string; }
size_t pith_json_count(const pith_json *container) {
  size_t n = 0;
  for (const cJSON *child = container ? container->child : NULL; child; child = child->next) n++;
  return n;
}
bool pith_json_is_object(const pith_json *json) { return cJSON_IsObject(json); }
bool pith_json_is_array(const pith_json *json) { return cJSON_IsArray(json); }
bool pith_json_is_string(const pith_json *json) { return cJSON_IsString(json); }
bool pith_json_is_number(const pith_json *json) { return cJSON_IsNumber(json); }
bool pith_json_is_bool(const pith_json *json) { return cJSON_IsBool(json); }
bool pith_json_is_null(const pith_json *json) { return !json || cJSON_IsNull(json); }
const char *pith_json_string(const pith_json *json) { return cJSON_IsString(json) ? json->valuestring : NULL; }
bool pith_json_true(const pith_json *json) { return cJSON_IsTrue(json); }
double pith_json_number(const pith_json *json, double fallback) { return cJSON_IsNumber(json) ? json->valuedouble : fallback; }

bool pith_json_integer(const pith_json *json, int64_t low, int64_t high, int64_t *out) {
  if (!cJSON_IsNumber(json)) return false;
  const double value = json->valuedouble;
  if (!(fabs(value) <= 9007199254740992.0) || value != floor(value)) return false;   /* 2^53: every whole number below is exact */
  *out = (int64_t)value;
  return *out >= low && *out <= high;
}

pith_status pith_json_need_string(pith_ctx *ctx, const pith_json *object, const char *key, const char *what, const char **out) {
  *out = pith_json_string(pith_json_get(object, key));
  return *out ? PITH_OK : pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be a string", what, key);
}

pith_status pith_json_need_integer(pith_ctx *ctx, const pith_json *object, const char *key, int64_t low, int64_t high, const char *what,
                                   int64_t *out) {
  if (pith_json_integer(pith_json_get(object, key), low, high, out)) return PITH_OK;
  return pith_fail(ctx, PITH_E_FORMAT, "%s: \"%s\" should be a whole number from %lld to %lld", what, key, (long long)low, (long long)high);
}

pith_json *pith_json_new_object(void) { return cJSON_CreateObject(); }
pith_json *pith_json_new_array(void) { return cJSON_CreateArray(); }
pith_json *pith_json_copy(const pith_json *json) { return json ? cJSON_Duplicate(json, 1) : NULL; }

/* cJSON's types use the low ten bits. A container that lost a child carries this one, so that a tree is built without
 * checks and one look before printing suffices. */
enum { LOST_A_CHILD = 1 << 20 };

void pith_json_add(pith_json *container, const char *key, pith_json *child) {
  const bool added =
      container && child && (key ? cJSON_AddItemToObject(container, key, child) : cJSON_AddItemToArray(container, child));
  if (added) return;
  cJSON_Delete(child);
  if (container) container->type |= LOST_A_CHILD;
}

void pith_json_add_string(pith_json *container, const char *key, const char *value) {
  pith_json_add(container, key, value ? cJSON_CreateString(value) : cJSON_CreateNull());
}
void pith_json_add_number(pith_json *container, const char *key, double value) {
  pith_json_add(container, key, cJSON_CreateNumber(value));
}
void pith_json_add_bool(pith_json *container, const char *key, bool value) { pith_json_add(container, key, cJSON_CreateBool(value)); }
void pith_json_add_null(pith_json *container, const char *key) { pith_json_add(container, key, cJSON_CreateNull()); }

static bool is_whole(const cJSON *json) {
  if (!json || json->type & LOST_A_CHILD) return false;
  for (const cJSON *child = json->child; child; child = child->next)
    if (!is_whole(child)) return false;
  return true;
}

static pith_status indent(pith_ctx *ctx, bool pretty, int depth, pith_buffer *buffer) {
  if (!pretty) return PITH_OK;
  PITH_TRY(pith_buffer_append(ctx, buffer, "\n", 1));
  for (int i = 0; i < depth; i++) PITH_TRY(pith_buffer_append(ctx, buffer, "  ", 2));
  return PITH_OK;
}

static pith_status print_leaf(pith_ctx *ctx, const cJSON *json, pith_buffer *buffer) {
  /* cJSON gives 15 digits where they are near enough, and whole numbers up to 2^53 have 16: a seed has to be exact */
  if (cJSON_IsNumber(json) && fabs(json->valuedouble) > 2147483647.0 && fabs(json->valuedouble) <= 9007199254740992.0 && json->valuedouble == floor(json->valuedouble))
    return pith_buffer_printf(ctx, buffer, "%.0f", json->valuedouble);
  char *text = cJSON_PrintUnformatted(json);
  if (!text) return pith_fail(ctx, PITH_E_MEMORY, "out of memory while JSON was printed");
  const pith_status status = pith_buffer_append(ctx, buffer, text, strlen(text));
  cJSON_free(text);
  return status;
}

pith_status pith_json_print_string(pith_ctx *ctx, const char *text, pith_buffer *buffer) {
  const cJSON leaf = {.type = cJSON_String, .valuestring = (char *)(uintptr_t)text};   /* printing reads alone */
  return print_leaf(ctx, &leaf, buffer);
}

/* cJSON's own formatted printing indents with tabs and puts arrays on one line of any length; leaves are its. */
static pith_status print_value(pith_ctx *ctx, const cJSON *json, bool pretty, int depth, pith_buffer *buffer) {
  if (!cJSON_IsObject(json) && !cJSON_IsArray(json)) return print_leaf(ctx, json, buffer);
  const bool object = cJSON_IsObject(json);
  PITH_TRY(pith_buffer_append(ctx, buffer, object ? "{" : "[", 1));
  bool spread = false;   /* containers of leaves alone stay on one line when they are arrays */
  for (const cJSON *child = json->child; child; child = child->next) spread = spread || object || child->child;
  for (const cJSON *child = json->child; child; child = child->next) {
    PITH_TRY(indent(ctx, pretty && spread, depth + 1, buffer));
    if (object) {
      PITH_TRY(pith_json_print_string(ctx, child->string, buffer));
      PITH_TRY(pith_buffer_append(ctx, buffer, ": ", pretty ? 2 : 1));
    }
    PITH_TRY(print_value(ctx, child, pretty, depth + 1, buffer));
    if (child->next) PITH_TRY(pith_buffer_append(ctx, buffer, ", ", pretty && !spread ? 2 : 1));
  }
  if (json->child) PITH_TRY(indent(ctx, pretty && spread, depth, buffer));
  return pith_buffer_append(ctx, buffer, object ? "}" : "]", 1);
}

pith_status pith_json_print(pith_ctx *ctx, const pith_json *json, bool pretty, pith_buffer *buffer) {
  if (!is_whole(json)) return pith_fail(ctx, PITH_E_MEMORY, "out of memory while JSON was built");
  return print_value(ctx, json, pretty, 0, buffer);
}
