#include "base/sort.h"

#include <stdint.h>

static void swap(uint8_t *a, uint8_t *b, size_t n_bytes) {
  for (size_t i = 0; i < n_bytes; i++) {
    const uint8_t byte = a[i];
    a[i] = b[i];
    b[i] = byte;
  }
}

void pith_sort(void *elements, size_t n, size_t element_bytes, int (*compare)(const void *a, const void *b)) {
  uint8_t *heap = elements;
  size_t built = n / 2;   /* the largest on top; elements from here on are heaps already */
  while (n > 1) {
    if (built > 0) built--;
    else swap(heap, heap + --n * element_bytes, element_bytes);   /* the largest to its place */
    for (size_t root = built, child; (child = 2 * root + 1) < n; root = child) {
      if (child + 1 < n && compare(heap + child * element_bytes, heap + (child + 1) * element_bytes) < 0) child++;
      if (compare(heap + root * element_bytes, heap + child * element_bytes) >= 0) break;
      swap(heap + root * element_bytes, heap + child * element_bytes, element_bytes);
    }
  }
}
