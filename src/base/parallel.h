/* Work over threads. Outputs are divided, never sums, so the bits depend neither on the number of threads nor on the division. */
#ifndef PITH_PARALLEL_H
#define PITH_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PITH_MAX_THREADS = 64,
  PITH_AUTO_THREADS = 8,       /* what a host gives at most when it may choose: the models are small */
  PITH_MAX_PARTS = 65535
};

/* Part `part` of n_parts. `thread` says who works: 0 (the caller) … n_threads - 1; scratch memory goes by it. Work neither
 * allocates nor calls the host, and its frames stay below 32 KiB: threads in WebAssembly have small stacks and share a C library
 * that does not lock. */
typedef void pith_work(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread);

typedef struct pith_parallel {
  void *user;
  uint32_t n_threads;          /* the caller's counted, so at least 1 */
  /* Calls `work` once for every part and returns when all are done. The caller works too. Parts are taken in order by whoever is
   * free, so several a thread even out what else the machine does. Not from within work, and by one caller at a time. */
  void (*run)(void *user, uint32_t n_parts, pith_work *work, void *arg);
} pith_parallel;

static inline uint32_t pith_parallel_threads(const pith_parallel *parallel) { return parallel ? parallel->n_threads : 1; }

/* Into how many parts `n_units` units (rows, panels, heads) should go that take about unit_ns nanoseconds each on one thread: 1 where
 * more would cost more than they bring, at most n_units and PITH_MAX_PARTS. */
uint32_t pith_parallel_parts(const pith_parallel *parallel, size_t n_units, double unit_ns);

/* `parallel` may be NULL. One part runs in place. */
void pith_parallel_run(const pith_parallel *parallel, uint32_t n_parts, pith_work *work, void *arg);

/* The units of one part: [begin, end), sizes differ by at most one. */
static inline size_t pith_share_begin(size_t n_units, uint32_t part, uint32_t n_parts) {
  return (size_t)((uint64_t)n_units / n_parts * part) + (n_units % n_parts < part ? n_units % n_parts : part);
}
static inline size_t pith_share_end(size_t n_units, uint32_t part, uint32_t n_parts) { return pith_share_begin(n_units, part + 1, n_parts); }

#endif
