/* A pool of threads behind a pith_parallel. What a host adds is how its threads start and how they sleep. */
#ifndef PITH_THREADS_H
#define PITH_THREADS_H

#include <stdatomic.h>

#include "base/parallel.h"

typedef struct pith_threads {
  /* Parts in all (high 16 bits) and the next one to take (low 16). Who moves it on owns that part, of whatever work it now belongs to:
   * the work cannot end before its parts are done, so a number that comes back later does no harm. */
  _Alignas(64) _Atomic uint32_t ticket;
  _Alignas(64) _Atomic uint32_t pending;         /* parts that are not done */
  _Atomic uint32_t n_asleep;                     /* threads, on `ticket` */
  _Atomic uint32_t caller_asleep;                /* on `pending` */
  pith_work *work;                               /* of the work under way; published by `ticket` */
  void *arg;
  /* Sleeps while *word == value, until woken, or a moment; may return for no reason. */
  void (*wait)(void *user, _Atomic uint32_t *word, uint32_t value);
  /* Wakes up to n who sleep on the word. */
  void (*wake)(void *user, _Atomic uint32_t *word, uint32_t n);
  void *user;
  pith_parallel parallel;
} pith_threads;

void pith_threads_init(pith_threads *threads, uint32_t n_threads, void (*wait)(void *, _Atomic uint32_t *, uint32_t),
                       void (*wake)(void *, _Atomic uint32_t *, uint32_t), void *user);
/* The life of thread 1 … n_threads - 1: returns after stop. */
void pith_threads_serve(pith_threads *threads, uint32_t thread);
/* No work may be under way. */
void pith_threads_stop(pith_threads *threads);

#endif
