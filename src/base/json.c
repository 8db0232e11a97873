#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/format.h"
#include "base/sort.h"
#include "base/utf8.h"

enum { MAX_DEPTH = 64 };

typedef enum json_kind { KIND_NULL, KIND_FALSE, KIND_TRUE, KIND_NUMBER, KIND_STRING, KIND_ARRAY, KIND_OBJECT } json_kind;

/* What is parsed has its key and its string in the same allocation; what is built gets its key later, in another. */
struct pith_json {
  pith_json *next;
  char *key;
  union {
    double number;
    char *string;
    struct {
      pith_json *first, *last;
    };
  };
  json_kind kind;
  bool owns_key;
  bool lost_a_child;   /* memory ran out: a tree is built without checks, and one look before printing suffices */
};

static pith_json *new_value(json_kind kind, size_t n_text, char **text) {
  pith_json *json = malloc(sizeof *json + n_text);
  if (!json) return NULL;
  memset(json, 0, sizeof *json);
  json->kind = kind;
  if (text) *text = (char *)(json + 1);
  return json;
}

static bool is_container(const pith_json *json) { return json && json->kind >= KIND_ARRAY; }

static void append(pith_json *container, pith_json *child) {
  if (container->last) container->last->next = child;
  else container->first = child;
  container->last = child;
}

/* Depth is bounded by MAX_DEPTH, so the recursion is. */
void pith_json_free(pith_json *json) {
  if (!json) return;
  for (pith_json *child = is_container(json) ? json->first : NULL, *next; child; child = next) {
    next = child->next;
    pith_json_free(child);
  }
  if (json->owns_key) free(json->key);
  free(json);
}

/* ---- reading ---- */

typedef struct parser {
  pith_ctx *ctx;
  const char *text, *at, *end, *what;
} parser;

static char peek(const parser *p) { return p->at < p->end ? *p->at : '\0'; }

static void skip_blanks(parser *p) {
  while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\r' || *p->at == '\n')) p->at++;
}

static bool take(parser *p, const char *word) {
  const size_t n = strlen(word);
  if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0) return false;
  p->at += n;
  return true;
}

static pith_status refuse(const parser *p) {
  const char *first = p->text;
  while (first < p->end && strchr(" \t\r\n", *first)) first++;
  const bool html = first < p->end && *first == '<';
  return pith_fail(p->ctx, PITH_E_FORMAT, "%s is not JSON: error at byte %zu%s", p->what, (size_t)(p->at - p->text),
                   html ? "; it looks like a web page: is the address right?" : "");
}

static pith_status out_of_memory(const parser *p) {
  return pith_fail(p->ctx, PITH_E_MEMORY, "out of memory while %s was read, which has %zu bytes", p->what, (size_t)(p->end - p->text));
}

/* The bytes between the quotes at p, escapes and all, which is where p then stands behind. */
static pith_status scan_string(parser *p, const char **raw, size_t *n_bytes) {
  if (!take(p, "\"")) return refuse(p);
  *raw = p->at;
  for (; p->at < p->end && *p->at != '"'; p->at++) {
    if ((unsigned char)*p->at < 0x20) return refuse(p);
    if (*p->at == '\\' && ++p->at == p->end) break;   /* what is escaped ends nothing */
  }
  *n_bytes = (size_t)(p->at - *raw);
  return take(p, "\"") ? PITH_OK : refuse(p);
}

/* Four hexadecimal digits; -1 if they are not. */
static int32_t hex4(const char *at, const char *end) {
  int32_t value = 0;
  if (end - at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    const char c = at[i], lower = (char)(c | 0x20);
    if (c >= '0' && c <= '9') value = 16 * value + (c - '0');
    else if (lower >= 'a' && lower <= 'f') value = 16 * value + (lower - 'a' + 10);
    else return -1;
  }
  return value;
}

/* \uXXXX behind the u at *at: a code point, of two escapes where they are surrogates; -1 if it is none. */
static int32_t unescape_code_point(const char **at, const char *end) {
  const int32_t unit = hex4(*at, end);
  if (unit < 0) return -1;
  *at += 4;
  if (unit < 0xd800 || unit > 0xdfff) return unit;
  const int32_t low = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? hex4(*at + 2, end) : -1;
  if (unit > 0xdbff || low < 0xdc00 || low > 0xdfff) return -1;
  *at += 6;
  return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
}

/* What is escaped, behind the backslash. False: nothing that JSON has, or NUL. */
static bool unescape_one(const char **at, const char *end, char **dst) {
  static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  if (*at == end || **at == '\0') return false;
  const char name = *(*at)++, *plain = strchr(names, name);
  if (plain) {
    *(*dst)++ = meant[plain - names];
    return true;
  }
  const int32_t code_point = name == 'u' ? unescape_code_point(at, end) : -1;
  if (code_point <= 0) return false;
  *dst += pith_utf8_encode((uint32_t)code_point, *dst);
  return true;
}

/* A scanned string as text, NUL-terminated: never longer than its escapes were. */
static pith_status unescape(parser *p, const char *raw, size_t n_bytes, char *dst) {
  const char *end = raw + n_bytes;
  for (const char *at = raw; at < end;) {
    const char *escape = memchr(at, '\\', (size_t)(end - at));
    const size_t n = (size_t)((escape ? escape : end) - at);
    memcpy(dst, at, n);
    dst += n;
    at += n;
    if (!escape) break;
    p->at = escape;   /* for the message */
    at++;
    if (unescape_one(&at, end, &dst)) continue;
    if (end - escape >= 6 && memcmp(escape, "\\u0000", 6) == 0)
      return pith_fail(p->ctx, PITH_E_FORMAT, "%s has a string with a NUL character (\\u0000), which Pith's texts cannot hold", p->what);
    return refuse(p);
  }
  *dst = '\0';
  return PITH_OK;
}

/* What the reader of decimals takes and JSON does not: a needless leading zero, a point without a digit on either side. */
static bool is_json_number(const char *text, size_t n_bytes) {
  const char *digits = text + (*text == '-'), *point = memchr(text, '.', n_bytes);
  if (*digits == '.' || (*digits == '0' && digits + 1 < text + n_bytes && digits[1] >= '0' && digits[1] <= '9')) return false;
  return !point || (point + 1 < text + n_bytes && point[1] >= '0' && point[1] <= '9');
}

/* A value and its key into one allocation. `key`: as scanned, or NULL. */
static pith_status parse_value(parser *p, const char *key, size_t n_key, int depth, pith_json **out);

static pith_status parse_children(parser *p, pith_json *container, int depth) {
  const bool object = container->kind == KIND_OBJECT;
  const char *close = object ? "}" : "]";
  p->at++;
  skip_blanks(p);
  if (take(p, close)) return PITH_OK;
  for (;;) {
    const char *key = NULL;
    size_t n_key = 0;
    pith_json *child;
    skip_blanks(p);
    if (object) {
      PITH_TRY(scan_string(p, &key, &n_key));
      skip_blanks(p);
      if (!take(p, ":")) return refuse(p);
      skip_blanks(p);
    }
    PITH_TRY(parse_value(p, key, n_key, depth, &child));
    append(container, child);
    skip_blanks(p);
    if (take(p, close)) return PITH_OK;
    if (!take(p, ",")) return refuse(p);
  }
}

static pith_status parse_value(parser *p, const char *key, size_t n_key, int depth, pith_json **out) {
  const char first = peek(p), *string = NULL;
  size_t n_string = 0;
  double number = 0;
  json_kind kind = KIND_NULL;
  *out = NULL;
  if (first == '"') {
    PITH_TRY(scan_string(p, &string, &n_string));
    kind = KIND_STRING;
  } else if (first == '{' || first == '[') {
    if (depth == MAX_DEPTH) return pith_fail(p->ctx, PITH_E_FORMAT, "%s nests deeper than %d levels", p->what, MAX_DEPTH);
    kind = first == '{' ? KIND_OBJECT : KIND_ARRAY;
  } else if (take(p, "true")) kind = KIND_TRUE;
  else if (take(p, "false")) kind = KIND_FALSE;
  else if (!take(p, "null")) {
    const size_t n = pith_decimal_parse(p->at, (size_t)(p->end - p->at), &number);
    if (n == 0 || !is_json_number(p->at, n) || isinf(number)) return refuse(p);
    p->at += n;
    kind = KIND_NUMBER;
  }
  const char *after = p->at;
  char *text;
  pith_json *json = new_value(kind, (key ? n_key + 1 : 0) + (string ? n_string + 1 : 0), &text);
  if (!json) return out_of_memory(p);
  pith_status status = PITH_OK;
  if (key) {
    json->key = text;
    status = unescape(p, key, n_key, json->key);
  }
  if (string && status == PITH_OK) {
    json->string = text + (key ? n_key + 1 : 0);
    status = unescape(p, string, n_string, json->string);
  }
  if (kind == KIND_NUMBER) json->number = number;
  if (status == PITH_OK) {
    p->at = after;
    if (is_container(json)) status = parse_children(p, json, depth + 1);
  }
  if (status == PITH_OK) *out = json;
  else pith_json_free(json);
  return status;
}

static uint32_t hash_of(const char *text) {   /* FNV-1a */
  uint32_t hash = 2166136261u;
  for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
  return hash;
}

static int compare_keys(const void *a, const void *b) { return strcmp((*(const pith_json *const *)a)->key, (*(const pith_json *const *)b)->key); }

/* A member whose key another has, or NULL. A vocabulary is an object too, so they are not compared one by one: keys are hashed, and where
 * many share a place, as if somebody had wished it, sorted. slots: (n_slots, a power of two, at least twice the members), all NULL */
static const pith_json *find_duplicate(const pith_json *object, const pith_json **slots, size_t n_slots) {
  enum { LONGEST_CHAIN = 64 };
  size_t chain = 0, n = 0;
  for (const pith_json *child = object->first; child && chain < LONGEST_CHAIN; child = child->next) {
    size_t slot = hash_of(child->key) & (n_slots - 1);
    for (chain = 0; slots[slot] && chain < LONGEST_CHAIN; chain++, slot = (slot + 1) & (n_slots - 1))
      if (strcmp(slots[slot]->key, child->key) == 0) return child;
    slots[slot] = child;
  }
  if (chain < LONGEST_CHAIN) return NULL;
  for (const pith_json *child = object->first; child; child = child->next) slots[n++] = child;
  pith_sort(slots, n, sizeof *slots, compare_keys);
  for (size_t i = 1; i < n; i++)
    if (compare_keys(&slots[i - 1], &slots[i]) == 0) return slots[i];
  return NULL;
}

/* Depth is bounded by MAX_DEPTH, so the recursion is. */
static pith_status refuse_duplicates(pith_ctx *ctx, const pith_json *json, const char *what) {
  size_t n = 0, n_slots = 4;
  for (const pith_json *child = pith_json_first(json); child; child = child->next, n++)
    if (pith_json_first(child)) PITH_TRY(refuse_duplicates(ctx, child, what));
  if (!pith_json_is_object(json) || n < 2) return PITH_OK;
  while (n_slots < 2 * n) n_slots *= 2;
  const pith_json **slots;
  PITH_TRY(pith_calloc(ctx, n_slots, sizeof *slots, &slots));
  const pith_json *twice = find_duplicate(json, slots, n_slots);
  const pith_status status = twice ? pith_fail(ctx, PITH_E_FORMAT, "%s has the key \"%.80s\" twice", what, twice->key) : PITH_OK;
  pith_free(ctx, slots);
  return status;
}

/* ---- an object without a tree ---- */

/* Strings and values are passed over here, and checked where they are read. */
static bool pass_string(parser *p) {
  if (!take(p, "\"")) return false;
  for (; p->at < p->end && *p->at != '"'; p->at++)
    if (*p->at == '\\' && ++p->at == p->end) return false;
  return take(p, "\"");
}

static bool pass_value(parser *p) {
  for (int depth = 0; p->at < p->end;) {
    if (*p->at == '"') {
      if (!pass_string(p)) return false;
    } else {
      const char c = *p->at;
      if (depth == 0 && (c == ',' || c == '}' || c == ']')) return true;   /* behind a number or a word */
      depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
      p->at++;
      if (depth > 0 || (c != '}' && c != ']')) continue;
    }
    if (depth == 0) return true;
  }
  return false;
}

/* Past the key, if it is that one. */
static bool enter_member(parser *p, const char *key) {
  const size_t n = strlen(key);
  skip_blanks(p);
  if (!take(p, "{")) return false;
  for (;;) {
    skip_blanks(p);
    const char *begin = p->at + 1;
    if (!pass_string(p)) return false;
    const bool found = (size_t)(p->at - begin) == n + 1 && memcmp(begin, key, n) == 0;
    skip_blanks(p);
    if (!take(p, ":")) return false;
    skip_blanks(p);
    if (found) return true;
    if (!pass_value(p)) return false;
    skip_blanks(p);
    if (!take(p, ",")) return false;
  }
}

bool pith_json_flat_find(const char *text, size_t n_bytes, const char *outer, const char *inner, pith_json_flat *flat) {
  parser p = {.at = text, .end = text + n_bytes};
  if (!enter_member(&p, outer) || !enter_member(&p, inner) || !take(&p, "{")) return false;
  *flat = (pith_json_flat){.begin = p.at, .at = p.at};
  for (const char *at = p.at; at < p.end; at++) {
    if (*at == '}') {
      flat->end = at;
      return flat->n_members > 0;
    }
    if (*at == '{' || *at == '[') return false;
    if (*at != '"') continue;
    const char *begin = ++at;
    while (at < p.end && *at != '"') at += *at == '\\' && at + 1 < p.end ? 2 : 1;
    flat->n_members++;
    flat->n_key_bytes += (size_t)(at - begin);
  }
  return false;
}

/* A key with escapes goes to the object's own buffer. False: it is unusual. */
static bool decode_key(parser *p, pith_json_flat *flat, const char **key, size_t *n_bytes) {
  const char *begin = p->at;
  while (p->at < p->end && (uint8_t)*p->at >= 0x20 && *p->at != '"' && *p->at != '\\') p->at++;
  *key = begin;
  *n_bytes = (size_t)(p->at - begin);
  if (take(p, "\"")) return true;
  if (*n_bytes > sizeof flat->key / 2) return false;
  memcpy(flat->key, begin, *n_bytes);
  char *out = flat->key + *n_bytes;
  for (;;) {
    if (p->at == p->end || out + 4 > flat->key + sizeof flat->key) return false;
    const char c = *p->at++;
    if (c == '"') break;
    if ((uint8_t)c < 0x20) return false;
    if (c != '\\') *out++ = c;
    else if (!unescape_one(&p->at, p->end, &out)) return false;
  }
  *key = flat->key;
  *n_bytes = (size_t)(out - flat->key);
  return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

pith_status pith_json_flat_next(pith_json_flat *flat, const char **key, size_t *n_bytes, int32_t *value) {
  parser p = {.at = flat->at, .end = flat->end};
  const bool first = p.at == flat->begin;
  skip_blanks(&p);
  if (p.at == p.end && !first) return PITH_OK;
  if (!first && !take(&p, ",")) return PITH_E_FORMAT;
  skip_blanks(&p);
  if (!take(&p, "\"") || !decode_key(&p, flat, key, n_bytes)) return PITH_E_FORMAT;
  skip_blanks(&p);
  if (!take(&p, ":")) return PITH_E_FORMAT;
  skip_blanks(&p);
  const char *digits = p.at;
  *value = 0;
  for (; p.at - digits < 9 && is_digit(peek(&p)); p.at++) *value = *value * 10 + (*p.at - '0');
  if (p.at == digits || is_digit(peek(&p)) || (*digits == '0' && p.at - digits > 1)) return PITH_E_FORMAT;
  flat->at = p.at;
  return PITH_PENDING;
}

pith_status pith_json_parse(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_json **out) {
  *out = NULL;
  if (memchr(text, '\0', n_bytes)) return pith_fail(ctx, PITH_E_FORMAT, "%s is not JSON: it has a NUL byte", what);
  const size_t n_valid = pith_utf8_validate(text, n_bytes);
  if (n_valid < n_bytes) return pith_fail(ctx, PITH_E_FORMAT, "%s is not JSON: byte %zu is not UTF-8", what, n_valid);
  parser p = {ctx, text, text, text + n_bytes, what};
  take(&p, "\xef\xbb\xbf");   /* some editors begin a file with U+FEFF */
  skip_blanks(&p);
  pith_json *json;
  PITH_TRY(parse_value(&p, NULL, 0, 0, &json));
  skip_blanks(&p);
  const pith_status status = p.at < p.end ? refuse(&p) : refuse_duplicates(ctx, json, what);
  if (status == PITH_OK) *out = json;
  else pith_json_free(json);
  return status;
}

const pith_json *pith_json_get(const pith_json *object, const char *key) {
  if (!pith_json_is_object(object)) return NULL;
  const pith_json *child = object->first;
  while (child && strcmp(child->key, key) != 0) child = child->next;
  return child;
}
const pith_json *pith_json_first(const pith_json *container) { return is_container(container) ? container->first : NULL; }
const pith_json *pith_json_next(const pith_json *child) { return child->next; }
const char *pith_json_key(const pith_json *child) { return child->key; }
size_t pith_json_count(const pith_json *container) {
  size_t n = 0;
  for (const pith_json *child = pith_json_first(container); child; child = child->next) n++;
  return n;
}

static bool is(const pith_json *json, json_kind kind) { return json && json->kind == kind; }
bool pith_json_is_object(const pith_json *json) { return is(json, KIND_OBJECT); }
bool pith_json_is_array(const pith_json *json) { return is(json, KIND_ARRAY); }
bool pith_json_is_string(const pith_json *json) { return is(json, KIND_STRING); }
bool pith_json_is_number(const pith_json *json) { return is(json, KIND_NUMBER); }
bool pith_json_is_bool(const pith_json *json) { return is(json, KIND_TRUE) || is(json, KIND_FALSE); }
bool pith_json_is_null(const pith_json *json) { return !json || is(json, KIND_NULL); }
const char *pith_json_string(const pith_json *json) { return is(json, KIND_STRING) ? json->string : NULL; }
bool pith_json_true(const pith_json *json) { return is(json, KIND_TRUE); }
double pith_json_number(const pith_json *json, double fallback) { return is(json, KIND_NUMBER) ? json->number : fallback; }

bool pith_json_integer(const pith_json *json, int64_t low, int64_t high, int64_t *out) {
  const double value = pith_json_number(json, NAN);
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

/* ---- writing ---- */

pith_json *pith_json_new_object(void) { return new_value(KIND_OBJECT, 0, NULL); }
pith_json *pith_json_new_array(void) { return new_value(KIND_ARRAY, 0, NULL); }

static pith_json *new_string(const char *value) {
  const size_t n = strlen(value) + 1;
  char *text;
  pith_json *json = new_value(KIND_STRING, n, &text);
  if (json) json->string = memcpy(text, value, n);
  return json;
}

static pith_json *new_number(double value) {
  pith_json *json = new_value(KIND_NUMBER, 0, NULL);
  if (json) json->number = value;
  return json;
}

pith_json *pith_json_copy(const pith_json *json) {
  if (!json) return NULL;
  if (json->kind == KIND_STRING) return new_string(json->string);
  if (json->kind == KIND_NUMBER) return new_number(json->number);
  pith_json *copy = new_value(json->kind, 0, NULL);
  for (const pith_json *child = pith_json_first(json); child; child = child->next) pith_json_add(copy, child->key, pith_json_copy(child));
  if (copy && json->lost_a_child) copy->lost_a_child = true;
  return copy;
}

void pith_json_add(pith_json *container, const char *key, pith_json *child) {
  const size_t n = key ? strlen(key) + 1 : 0;
  char *own = container && child && key ? malloc(n) : NULL;
  if (!container || !child || (key && !own)) {
    pith_json_free(child);
    if (container) container->lost_a_child = true;
    return;
  }
  if (child->owns_key) free(child->key);
  child->key = own ? memcpy(own, key, n) : NULL;
  child->owns_key = own != NULL;
  append(container, child);
}

void pith_json_add_string(pith_json *container, const char *key, const char *value) {
  pith_json_add(container, key, value ? new_string(value) : new_value(KIND_NULL, 0, NULL));
}
void pith_json_add_number(pith_json *container, const char *key, double value) { pith_json_add(container, key, new_number(value)); }
void pith_json_add_bool(pith_json *container, const char *key, bool value) {
  pith_json_add(container, key, new_value(value ? KIND_TRUE : KIND_FALSE, 0, NULL));
}
void pith_json_add_null(pith_json *container, const char *key) { pith_json_add(container, key, new_value(KIND_NULL, 0, NULL)); }

static bool is_whole(const pith_json *json) {
  if (!json || json->lost_a_child) return false;
  for (const pith_json *child = pith_json_first(json); child; child = child->next)
    if (!is_whole(child)) return false;
  return true;
}

static pith_status indent(pith_ctx *ctx, bool pretty, int depth, pith_buffer *buffer) {
  if (!pretty) return PITH_OK;
  PITH_TRY(pith_buffer_append(ctx, buffer, "\n", 1));
  for (int i = 0; i < depth; i++) PITH_TRY(pith_buffer_append(ctx, buffer, "  ", 2));
  return PITH_OK;
}

/* Whole numbers up to 2^53 exactly, since a seed has to be; others in 15 digits where those are near enough, else in 17. */
static pith_status print_number(pith_ctx *ctx, double value, pith_buffer *buffer) {
  if (!isfinite(value)) return pith_buffer_append(ctx, buffer, "null", 4);
  if (fabs(value) <= 9007199254740992.0 && value == floor(value)) return pith_buffer_printf(ctx, buffer, "%.0f", value);
  char text[32];
  double back = 0;
  pith_decimal_parse(text, (size_t)pith_snprintf(text, sizeof text, "%.15g", value), &back);
  const double larger = fabs(back) > fabs(value) ? fabs(back) : fabs(value);
  return pith_buffer_printf(ctx, buffer, fabs(back - value) <= larger * DBL_EPSILON ? "%.15g" : "%.17g", value);
}

pith_status pith_json_print_string(pith_ctx *ctx, const char *text, pith_buffer *buffer) {
  static const char escaped[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
  PITH_TRY(pith_buffer_append(ctx, buffer, "\"", 1));
  for (;;) {
    size_t n = 0;
    while ((unsigned char)text[n] >= 0x20 && text[n] != '"' && text[n] != '\\') n++;
    PITH_TRY(pith_buffer_append(ctx, buffer, text, n));
    text += n;
    if (!*text) return pith_buffer_append(ctx, buffer, "\"", 1);
    const char *found = strchr(escaped, *text);
    if (found) PITH_TRY(pith_buffer_append(ctx, buffer, (const char[]){'\\', names[found - escaped]}, 2));
    else PITH_TRY(pith_buffer_printf(ctx, buffer, "\\u00%02x", (unsigned)(unsigned char)*text));
    text++;
  }
}

/* Formatted, arrays of leaves alone stay on one line. */
static pith_status print_value(pith_ctx *ctx, const pith_json *json, bool pretty, int depth, pith_buffer *buffer) {
  switch (json->kind) {
    case KIND_NULL: return pith_buffer_append(ctx, buffer, "null", 4);
    case KIND_FALSE: return pith_buffer_append(ctx, buffer, "false", 5);
    case KIND_TRUE: return pith_buffer_append(ctx, buffer, "true", 4);
    case KIND_NUMBER: return print_number(ctx, json->number, buffer);
    case KIND_STRING: return pith_json_print_string(ctx, json->string, buffer);
    case KIND_ARRAY:
    case KIND_OBJECT: break;
  }
  const bool object = json->kind == KIND_OBJECT;
  PITH_TRY(pith_buffer_append(ctx, buffer, object ? "{" : "[", 1));
  bool spread = false;
  for (const pith_json *child = json->first; child; child = child->next) spread = spread || object || pith_json_first(child);
  for (const pith_json *child = json->first; child; child = child->next) {
    PITH_TRY(indent(ctx, pretty && spread, depth + 1, buffer));
    if (object) {
      PITH_TRY(pith_json_print_string(ctx, child->key, buffer));
      PITH_TRY(pith_buffer_append(ctx, buffer, ": ", pretty ? 2 : 1));
    }
    PITH_TRY(print_value(ctx, child, pretty, depth + 1, buffer));
    if (child->next) PITH_TRY(pith_buffer_append(ctx, buffer, ", ", pretty && !spread ? 2 : 1));
  }
  if (json->first) PITH_TRY(indent(ctx, pretty && spread, depth, buffer));
  return pith_buffer_append(ctx, buffer, object ? "}" : "]", 1);
}

pith_status pith_json_print(pith_ctx *ctx, const pith_json *json, bool pretty, pith_buffer *buffer) {
  if (!is_whole(json)) return pith_fail(ctx, PITH_E_MEMORY, "out of memory while JSON was built");
  return print_value(ctx, json, pretty, 0, buffer);
}
