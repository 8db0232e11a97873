/* A pool of POSIX threads. */
#ifndef PITH_THREADS_POSIX_H
#define PITH_THREADS_POSIX_H

#include "base/parallel.h"

typedef struct pith_threads_posix pith_threads_posix;

/* Processors that this process may use, at most PITH_AUTO_THREADS; at least 1. */
uint32_t pith_threads_posix_auto(void);
/* n_threads in all, from 1 to PITH_MAX_THREADS, the caller's counted; fewer where the system gives no more. NULL when memory is out. */
pith_threads_posix *pith_threads_posix_open(uint32_t n_threads);
const pith_parallel *pith_threads_posix_parallel(const pith_threads_posix *threads);
/* Ends the threads. Accepts NULL. No work may be under way. */
void pith_threads_posix_close(pith_threads_posix *threads);

#endif
