/* Threads of a module with shared memory: workers (js/thread.js) that instantiate the module once more over the same memory. */
#ifndef PITH_WASM_THREADS_H
#define PITH_WASM_THREADS_H

#include "base/parallel.h"

/* The host table's `threads`. */
const pith_parallel *pith_wasm_threads(void *user, uint32_t n);

#endif
