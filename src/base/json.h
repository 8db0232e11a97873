/* JSON in and out (RFC 8259). */
#ifndef PITH_JSON_H
#define PITH_JSON_H

#include "base/base.h"

typedef struct pith_json pith_json;   /* opaque to the layers above */

/* Parses exactly n bytes of UTF-8 (trailing white space allowed). Refuses duplicate keys, nesting beyond 64,
 * NUL bytes, numbers of more than 63 bytes or beyond a double's range, and trailing text: PITH_E_FORMAT naming `what` and the byte. The caller frees. */
pith_status pith_json_parse(pith_ctx *ctx, const char *text, size_t n_bytes, const char *what, pith_json **out);
void pith_json_free(pith_json *json);

/* An object of whole numbers that is read where it lies in a text: a vocabulary, whose tree would take longer than all the rest of opening. */
typedef struct pith_json_flat {
  const char *begin, *end;         /* the text between its braces */
  const char *at;
  size_t n_members, n_key_bytes;   /* as they are written: decoded keys are no longer */
  char key[256];                   /* a key that had to be decoded */
} pith_json_flat;
/* The object of numbers that is member `inner` of the text's member `outer`. False when none is found, or anything of it is unusual: a tree
 * then tells what it is. */
bool pith_json_flat_find(const char *text, size_t n_bytes, const char *outer, const char *inner, pith_json_flat *flat);
/* PITH_PENDING: a member, its key valid until the next call. PITH_OK: none is left. PITH_E_FORMAT, without a message: see above. */
pith_status pith_json_flat_next(pith_json_flat *flat, const char **key, size_t *n_bytes, int32_t *value);

/* Reading. A missing key is NULL; NULL containers are accepted. Borrowed from the tree. */
const pith_json *pith_json_get(const pith_json *object, const char *key);
const pith_json *pith_json_first(const pith_json *container);   /* first child of an object or array, NULL if none */
const pith_json *pith_json_next(const pith_json *child);
const char *pith_json_key(const pith_json *child);               /* of a member of an object; NULL otherwise */
size_t pith_json_count(const pith_json *container);
bool pith_json_is_object(const pith_json *json);
bool pith_json_is_array(const pith_json *json);
bool pith_json_is_string(const pith_json *json);
bool pith_json_is_number(const pith_json *json);
bool pith_json_is_bool(const pith_json *json);
bool pith_json_is_null(const pith_json *json);                   /* true for JSON null and for NULL */
const char *pith_json_string(const pith_json *json);             /* NULL unless a string */
bool pith_json_true(const pith_json *json);                      /* is the literal true */
double pith_json_number(const pith_json *json, double fallback);
/* A whole number in [low, high]; false otherwise. A number is a double. */
bool pith_json_integer(const pith_json *json, int64_t low, int64_t high, int64_t *out);

/* Typed members with messages: PITH_E_FORMAT "«what»: "key" should be …". */
pith_status pith_json_need_string(pith_ctx *ctx, const pith_json *object, const char *key, const char *what, const char **out);
pith_status pith_json_need_integer(pith_ctx *ctx, const pith_json *object, const char *key, int64_t low, int64_t high,
                                   const char *what, int64_t *out);

/* Writing. Builders return NULL when out of memory and accept NULL, so that a tree is built first and checked once. */
pith_json *pith_json_new_object(void);
pith_json *pith_json_new_array(void);
pith_json *pith_json_copy(const pith_json *json);
/* Each adds to an object under `key` (copied), or to an array when key is NULL. `child` is owned by the container. */
void pith_json_add(pith_json *container, const char *key, pith_json *child);
void pith_json_add_string(pith_json *container, const char *key, const char *value);
void pith_json_add_number(pith_json *container, const char *key, double value);
void pith_json_add_bool(pith_json *container, const char *key, bool value);
void pith_json_add_null(pith_json *container, const char *key);
/* Appends the text to `buffer`; indented with two spaces if `pretty`. The same tree gives the same bytes everywhere. */
pith_status pith_json_print(pith_ctx *ctx, const pith_json *json, bool pretty, pith_buffer *buffer);
/* Appends one string as JSON, quoted and escaped: for texts too large to be built as a tree. */
pith_status pith_json_print_string(pith_ctx *ctx, const char *text, pith_buffer *buffer);

#endif
