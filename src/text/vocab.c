#include <string.h>

#include "text/text_internal.h"

static uint32_t hash_bytes(const char *key, size_t n) {   /* FNV-1a */
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)key[i]) * 16777619u;
  return h;
}

pith_status pith_string_map_reserve(pith_ctx *ctx, pith_string_map *map, size_t n, size_t n_bytes) {
  memset(map, 0, sizeof *map);
  if (n > PITH_MAX_VOCAB || n_bytes > UINT32_MAX / 2) return pith_fail(ctx, PITH_E_LIMIT, "a vocabulary of more than %d tokens", PITH_MAX_VOCAB);
  map->n_slots = 16;
  while (map->n_slots < 2 * n) map->n_slots *= 2;
  PITH_TRY(pith_malloc(ctx, n_bytes, &map->blob));
  PITH_TRY(pith_calloc(ctx, n + 1, sizeof *map->offsets, &map->offsets));
  PITH_TRY(pith_calloc(ctx, n, sizeof *map->values, &map->values));
  return pith_calloc(ctx, map->n_slots, sizeof *map->slots, &map->slots);
}

static const char *key_at(const pith_string_map *map, uint32_t k, uint32_t *n_bytes) {
  *n_bytes = map->offsets[k + 1] - map->offsets[k];
  return map->blob + map->offsets[k];
}

/* The slot that holds the key, or the empty one where it would go. */
static uint32_t find_slot(const pith_string_map *map, const char *key, size_t n_bytes) {
  const uint32_t mask = map->n_slots - 1;
  uint32_t slot = hash_bytes(key, n_bytes) & mask, n;
  for (; map->slots[slot]; slot = (slot + 1) & mask) {
    const char *there = key_at(map, map->slots[slot] - 1, &n);
    if (n == n_bytes && memcmp(there, key, n_bytes) == 0) break;
  }
  return slot;
}

bool pith_string_map_insert(pith_string_map *map, const char *key, size_t n_bytes, int32_t value) {
  const uint32_t slot = find_slot(map, key, n_bytes), at = map->offsets[map->n];
  if (map->slots[slot]) return false;
  memcpy(map->blob + at, key, n_bytes);
  map->offsets[map->n + 1] = at + (uint32_t)n_bytes;
  map->values[map->n] = value;
  map->slots[slot] = ++map->n;
  return true;
}

int32_t pith_string_map_get(const pith_string_map *map, const char *key, size_t n_bytes) {
  if (!map->n_slots) return -1;
  const uint32_t k = map->slots[find_slot(map, key, n_bytes)];
  return k ? map->values[k - 1] : -1;
}

void pith_string_map_free(pith_ctx *ctx, pith_string_map *map) {
  pith_free(ctx, map->blob);
  pith_free(ctx, map->offsets);
  pith_free(ctx, map->values);
  pith_free(ctx, map->slots);
  pith_free(ctx, map->sorted);
  memset(map, 0, sizeof *map);
}

/* ---- in order ---- */

static bool comes_before(const pith_string_map *map, uint32_t a, uint32_t b) {
  uint32_t n_a, n_b;
  const char *key_a = key_at(map, a, &n_a), *key_b = key_at(map, b, &n_b);
  const int order = memcmp(key_a, key_b, n_a < n_b ? n_a : n_b);
  return order < 0 || (order == 0 && n_a < n_b);
}

static void sift_down(const pith_string_map *map, uint32_t *heap, uint32_t root, uint32_t n) {
  const uint32_t moved = heap[root];
  for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && comes_before(map, heap[child], heap[child + 1])) child++;
    if (!comes_before(map, moved, heap[child])) break;
    heap[root] = heap[child];
  }
  heap[root] = moved;
}

/* Heapsort: the C library's qsort hands its comparison no map. */
pith_status pith_string_map_sort(pith_ctx *ctx, pith_string_map *map) {
  PITH_TRY(pith_calloc(ctx, map->n, sizeof *map->sorted, &map->sorted));
  for (uint32_t i = 0; i < map->n; i++) map->sorted[i] = i;
  for (uint32_t i = map->n / 2; i-- > 0;) sift_down(map, map->sorted, i, map->n);
  for (uint32_t n = map->n; n-- > 1;) {
    const uint32_t largest = map->sorted[0];
    map->sorted[0] = map->sorted[n];
    map->sorted[n] = largest;
    sift_down(map, map->sorted, 0, n);
  }
  return PITH_OK;
}

pith_prefix pith_prefix_all(const pith_string_map *map) { return (pith_prefix){0, map->sorted ? map->n : 0, 0}; }

/* The first of sorted[low … high) whose byte at that depth is at least `byte`; keys that end there come first. */
static uint32_t first_with(const pith_string_map *map, const pith_prefix *prefix, uint32_t low, int byte) {
  uint32_t high = prefix->high;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    uint32_t n;
    const char *key = key_at(map, map->sorted[middle], &n);
    if (n <= prefix->depth || (uint8_t)key[prefix->depth] < byte) low = middle + 1;
    else high = middle;
  }
  return low;
}

bool pith_prefix_extend(const pith_string_map *map, pith_prefix *prefix, char byte) {
  prefix->low = first_with(map, prefix, prefix->low, (uint8_t)byte);
  prefix->high = first_with(map, prefix, prefix->low, (uint8_t)byte + 1);
  prefix->depth++;
  return prefix->low < prefix->high;
}

int32_t pith_prefix_key(const pith_string_map *map, const pith_prefix *prefix) {
  uint32_t n;
  if (prefix->low == prefix->high) return -1;
  key_at(map, map->sorted[prefix->low], &n);
  return n == prefix->depth ? (int32_t)map->sorted[prefix->low] : -1;
}
