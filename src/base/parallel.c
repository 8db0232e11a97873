#include "base/parallel.h"

/* A part has to be worth waking a thread for; several a thread even out the load. Measured: docs/ARCHITECTURE.md. */
#define LEAST_PART_NS 4000.0
enum { PARTS_PER_THREAD = 4 };

uint32_t pith_parallel_parts(const pith_parallel *parallel, size_t n_units, double unit_ns) {
  const uint32_t n_threads = pith_parallel_threads(parallel);
  const double worth = (double)n_units * unit_ns / LEAST_PART_NS;
  if (n_threads == 1 || worth < 2.0) return 1;
  uint32_t n = n_threads * PARTS_PER_THREAD;
  if (worth < n) n = (uint32_t)worth;
  return n_units < n ? (n_units > 1 ? (uint32_t)n_units : 1) : n;
}

void pith_parallel_run(const pith_parallel *parallel, uint32_t n_parts, pith_work *work, void *arg) {
  if (parallel && n_parts > 1) {
    parallel->run(parallel->user, n_parts, work, arg);
    return;
  }
  for (uint32_t part = 0; part < n_parts; part++) work(arg, part, n_parts, 0);
}
