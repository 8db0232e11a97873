/* Sorting in place, in n log n steps whatever the order. The C library's qsort is five times as much code in a module for WebAssembly. */
#ifndef PITH_SORT_H
#define PITH_SORT_H

#include <stddef.h>

/* As qsort; `compare` is a total order, so that the result is one. */
void pith_sort(void *elements, size_t n, size_t element_bytes, int (*compare)(const void *a, const void *b));

#endif
