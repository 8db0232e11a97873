/* Only the code here and in base/threads.c is compiled for shared memory, and the C library is the ordinary one: threads run work and
 * nothing else, so they never allocate, print or ask the host (base/parallel.h). What the module keeps in globals is the caller's;
 * __stack_pointer alone is each instance's own. */
#include "wasm_threads.h"

#include <stdlib.h>

#include "base/threads.h"

#define EXPORT(name) __attribute__((export_name(#name), used))
#define HOST(name) __attribute__((import_module("host"), import_name(#name)))

/* How many threads there may be, the caller's counted, when `n` are asked for (0: as many as suit the machine). */
HOST(threads) extern uint32_t import_threads(uint32_t n);
/* A worker that calls pith_wasm_thread_stack and pith_wasm_thread_run. 0, or negative where there can be none. It may come late. */
HOST(start_thread) extern int32_t import_start_thread(pith_threads *threads, uint32_t thread, void *stack_end);
/* Throws: a thread ended, or stopped, with a part of the work in its hands. Does not return. */
HOST(thread_lost) extern _Noreturn void import_thread_lost(void);

enum {
  STACK_BYTES = 64 << 10,
  STACK_ALIGN = 16,
  TIMED_OUT = 2,             /* of wait32 */
  N_SLICES = 100             /* of SLICE_NS: so long the caller waits for parts that do not end. Slices, because a machine that slept
                                comes back with any one wait over. */
};
#define SLICE_NS 100000000LL

static pith_threads threads;
static _Atomic uint32_t lost;

static void wait_on(void *user, _Atomic uint32_t *word, uint32_t value) {
  (void)user;
  if (word == &threads.ticket) {
    __builtin_wasm_memory_atomic_wait32((int *)(void *)word, (int)value, -1);
    return;
  }
  for (int i = 0; i < N_SLICES; i++) {
    const int outcome = __builtin_wasm_memory_atomic_wait32((int *)(void *)word, (int)value, SLICE_NS);
    if (atomic_load(&lost)) break;
    if (outcome != TIMED_OUT) return;
  }
  import_thread_lost();
}

static void wake(void *user, _Atomic uint32_t *word, uint32_t n) {
  (void)user;
  __builtin_wasm_memory_atomic_notify((int *)(void *)word, n);
}

const pith_parallel *pith_wasm_threads(void *user, uint32_t n) {
  (void)user;
  if (threads.parallel.n_threads == 0) {
    const bool automatic = n == 0;
    n = import_threads(n);
    if (automatic && n > PITH_AUTO_THREADS) n = PITH_AUTO_THREADS;
    if (n > PITH_MAX_THREADS) n = PITH_MAX_THREADS;
    pith_threads_init(&threads, n, wait_on, wake, NULL);
    uint32_t there = 1;
    for (; there < n; there++) {
      uint8_t *stack = aligned_alloc(STACK_ALIGN, STACK_BYTES);   /* for the module's life */
      if (!stack || import_start_thread(&threads, there, stack + STACK_BYTES) != 0) {
        free(stack);
        break;
      }
    }
    threads.parallel.n_threads = there;
  }
  return threads.parallel.n_threads > 1 ? &threads.parallel : NULL;
}

/* The rest is called in a worker's instance. */
EXPORT(pith_wasm_thread_stack) void pith_wasm_thread_stack(void *stack_end) {
  __asm__ volatile(".globaltype __stack_pointer, i32\n local.get %0\n global.set __stack_pointer" : : "r"(stack_end));
}
EXPORT(pith_wasm_thread_run) void pith_wasm_thread_run(pith_threads *of, uint32_t thread) { pith_threads_serve(of, thread); }
/* After a trap: the caller hears at once. */
EXPORT(pith_wasm_thread_died) void pith_wasm_thread_died(pith_threads *of) {
  atomic_store(&lost, 1);
  wake(NULL, &of->pending, 1);
}
