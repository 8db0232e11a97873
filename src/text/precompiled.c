/* SentencePiece's normalisation rules, compiled into a double-array trie (Aoe 1989, as darts-clone lays it out) and the texts that it leads to. */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

struct pith_charsmap {
  uint32_t *units;           /* (n_units) */
  char *texts;               /* (n_texts + 1), each ended by a NUL; UTF-8 */
  size_t n_units, n_texts;
};

void pith_charsmap_close(pith_ctx *ctx, pith_charsmap *map) {
  if (!map) return;
  pith_free(ctx, map->units);
  pith_free(ctx, map->texts);
  pith_free(ctx, map);
}

static int32_t base64_digit(char c) {
  static const char extra[] = "+/";
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == extra[0] ? 62 : c == extra[1] ? 63 : -1;
}

static pith_status decode_base64(pith_ctx *ctx, const char *text, const char *what, pith_buffer *out) {
  uint32_t bits = 0;
  size_t n = strlen(text), n_digits = n;
  while (n_digits > 0 && n - n_digits < 2 && text[n_digits - 1] == '=') n_digits--;
  for (size_t i = 0; i < n_digits; i++) {
    const int32_t digit = base64_digit(text[i]);
    if (digit < 0 || n % 4 != 0) return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"precompiled_charsmap\" is no base 64", what);
    bits = bits << 6 | (uint32_t)digit;
    const uint8_t byte = (uint8_t)(bits >> (6 - 2 * (i % 4)));   /* digits 1, 2 and 3 of four end a byte */
    if (i % 4 > 0) PITH_TRY(pith_buffer_append(ctx, out, &byte, 1));
  }
  return PITH_OK;
}

static uint32_t read_u32(const char *bytes) {
  const uint8_t *b = (const uint8_t *)bytes;
  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

/* The trie's bytes (32 bits, little endian), the trie, the texts. */
static pith_status read_map(pith_ctx *ctx, const pith_buffer *bytes, const char *what, pith_charsmap *map) {
  const size_t n_trie = bytes->n_bytes >= 4 ? read_u32(bytes->data) : 0;
  if (n_trie == 0 || n_trie % 4 != 0 || n_trie > bytes->n_bytes - 4)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"precompiled_charsmap\" is cut off", what);
  map->n_units = n_trie / 4;
  map->n_texts = bytes->n_bytes - 4 - n_trie;
  const char *texts = bytes->data + 4 + n_trie;
  if (pith_utf8_validate(texts, map->n_texts) < map->n_texts)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: the \"precompiled_charsmap\" is no UTF-8", what);
  PITH_TRY(pith_malloc(ctx, n_trie, &map->units));
  PITH_TRY(pith_malloc(ctx, map->n_texts + 1, &map->texts));
  for (size_t i = 0; i < map->n_units; i++) map->units[i] = read_u32(bytes->data + 4 + 4 * i);
  memcpy(map->texts, texts, map->n_texts);
  map->texts[map->n_texts] = '\0';
  return PITH_OK;
}

pith_status pith_charsmap_open(pith_ctx *ctx, const char *base64, const char *what, pith_charsmap **out) {
  pith_buffer bytes = {0};
  pith_charsmap *map;
  *out = NULL;
  PITH_TRY(pith_calloc(ctx, 1, sizeof *map, &map));
  pith_status status = decode_base64(ctx, base64, what, &bytes);
  if (status == PITH_OK) status = read_map(ctx, &bytes, what, map);
  pith_buffer_free(ctx, &bytes);
  if (status != PITH_OK) {
    pith_charsmap_close(ctx, map);
    return status;
  }
  *out = map;
  return PITH_OK;
}

/* What the shortest key that begins the piece leads to, NULL if none: it replaces the whole piece, as in the `tokenizers` library. */
static const char *find(const pith_charsmap *map, const char *piece, size_t n_bytes) {
  uint32_t unit = map->units[0];
  size_t at = (unit >> 10) << ((unit & 0x200) >> 6);
  for (size_t i = 0; i < n_bytes; i++) {
    const uint8_t byte = (uint8_t)piece[i];
    at ^= byte;
    if (byte == 0 || at >= map->n_units) return NULL;
    unit = map->units[at];
    if ((unit & 0x800000ff) != byte) return NULL;
    at ^= (size_t)(unit >> 10) << ((unit & 0x200) >> 6);
    if (!(unit & 0x100)) continue;
    const size_t text = at < map->n_units ? map->units[at] & 0x7fffffff : map->n_texts + 1;
    return text <= map->n_texts && (map->texts[text] & 0xc0) != 0x80 ? map->texts + text : NULL;
  }
  return NULL;
}

/* ---- grapheme clusters, as far as they matter: only those of less than six bytes are looked up whole ---- */

enum { MAX_CLUSTER = 5 };

static bool is_prepended(uint32_t c) {
  return (c >= 0x600 && c <= 0x605) || c == 0x6dd || c == 0x70f || c == 0x890 || c == 0x891 || c == 0x8e2 || c == 0xd4e;
}

static bool is_tag(uint32_t c) { return c >= 0xe0020 && c <= 0xe007f; }

static bool is_control(uint32_t c) {
  const uint32_t controls = PITH_CC | PITH_CC_SPACE | PITH_CF | PITH_ZL | PITH_ZP;
  return pith_unicode_flags(c) & controls && c != 0x200c && c != 0x200d && !is_prepended(c) && !is_tag(c);
}

static bool extends(uint32_t c) {
  const bool modifier = c >= 0x1f3fb && c <= 0x1f3ff;   /* of emoji */
  return pith_unicode_flags(c) & PITH_MARK || c == 0x200c || c == 0x200d || c == 0xff9e || c == 0xff9f || c == 0xe33 || c == 0xeb3 || modifier || is_tag(c);
}

/* Hangul: leading consonant 1, vowel 2, trailing consonant 3; syllables without 4 and with 5 the latter. */
static int hangul(uint32_t c) {
  if ((c >= 0x1100 && c <= 0x115f) || (c >= 0xa960 && c <= 0xa97c)) return 1;
  if ((c >= 0x1160 && c <= 0x11a7) || (c >= 0xd7b0 && c <= 0xd7c6)) return 2;
  if ((c >= 0x11a8 && c <= 0x11ff) || (c >= 0xd7cb && c <= 0xd7fb)) return 3;
  return c >= 0xac00 && c <= 0xd7a3 ? ((c - 0xac00) % 28 == 0 ? 4 : 5) : 0;
}

/* UAX 29, GB3 to GB9b; the rules for Indic conjuncts and emoji join what is longer than a cluster of interest. */
static bool joins(uint32_t a, uint32_t b) {
  if (a == '\r' && b == '\n') return true;
  if (is_control(a) || is_control(b)) return false;
  if (extends(b) || is_prepended(a)) return true;
  const int left = hangul(a), right = hangul(b);
  if (left == 1) return right == 1 || right == 2 || right >= 4;
  if (left == 2 || left == 4) return right == 2 || right == 3;
  return (left == 3 || left == 5) && right == 3;
}

/* The cluster's bytes. */
static size_t cluster_at(const char *text, size_t n_bytes, size_t at) {
  uint32_t before, c;
  size_t end = at + pith_utf8_decode(text + at, n_bytes - at, &before);
  while (end < n_bytes) {
    const size_t n = pith_utf8_decode(text + end, n_bytes - end, &c);
    if (!joins(before, c)) break;
    before = c;
    end += n;
  }
  return end - at;
}

pith_status pith_charsmap_apply(pith_ctx *ctx, const pith_charsmap *map, const char *text, size_t n_bytes, size_t *origin, pith_buffer *out) {
  const size_t begin = out->n_bytes;
  size_t origin_out = 0;
  for (size_t cluster = 0, n_cluster; cluster < n_bytes; cluster += n_cluster) {
    n_cluster = cluster_at(text, n_bytes, cluster);
    for (size_t at = cluster, n; at < cluster + n_cluster; at += n) {
      uint32_t c;
      const char *found = at == cluster && n_cluster <= MAX_CLUSTER ? find(map, text + at, n_cluster) : NULL;
      n = found ? n_cluster : pith_utf8_decode(text + at, n_bytes - at, &c);
      if (!found) found = find(map, text + at, n);
      /* the library counts characters left out at the beginning for the first that is not */
      const bool from_origin = at < *origin || (out->n_bytes == begin && *origin > 0);
      PITH_TRY(found ? pith_buffer_append(ctx, out, found, strlen(found)) : pith_buffer_append(ctx, out, text + at, n));
      if (from_origin) origin_out = out->n_bytes - begin;
    }
  }
  *origin = origin_out;
  return PITH_OK;
}
