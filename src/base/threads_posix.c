#define _GNU_SOURCE   /* sched_getaffinity */
#include "base/threads_posix.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/threads.h"

typedef struct member {
  pthread_t id;
  pith_threads *threads;
  uint32_t number;
} member;

struct pith_threads_posix {
  pith_threads threads;
  pthread_mutex_t mutex;
  pthread_cond_t work, done;   /* the threads sleep on one, the caller on the other */
  uint32_t n_members;
  member members[PITH_MAX_THREADS - 1];
};

static pthread_cond_t *condition(pith_threads_posix *p, const _Atomic uint32_t *word) { return word == &p->threads.ticket ? &p->work : &p->done; }

static void wait_on(void *user, _Atomic uint32_t *word, uint32_t value) {
  pith_threads_posix *p = user;
  pthread_mutex_lock(&p->mutex);
  if (atomic_load(word) == value) pthread_cond_wait(condition(p, word), &p->mutex);
  pthread_mutex_unlock(&p->mutex);
}

static void wake(void *user, _Atomic uint32_t *word, uint32_t n) {
  pith_threads_posix *p = user;
  pthread_mutex_lock(&p->mutex);
  if (n > 1) pthread_cond_broadcast(condition(p, word));
  else pthread_cond_signal(condition(p, word));
  pthread_mutex_unlock(&p->mutex);
}

uint32_t pith_threads_posix_auto(void) {
#ifdef __linux__
  cpu_set_t set;
  const int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
#else
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
#endif
  return n < 1 ? 1 : n < PITH_AUTO_THREADS ? (uint32_t)n : PITH_AUTO_THREADS;
}

static void *serve(void *arg) {
  const member *m = arg;
  pith_threads_serve(m->threads, m->number);
  return NULL;
}

pith_threads_posix *pith_threads_posix_open(uint32_t n_threads) {
  pith_threads_posix *p = aligned_alloc(_Alignof(pith_threads_posix), sizeof *p);
  if (!p) return NULL;
  pthread_mutex_init(&p->mutex, NULL);
  pthread_cond_init(&p->work, NULL);
  pthread_cond_init(&p->done, NULL);
  pith_threads_init(&p->threads, n_threads, wait_on, wake, p);
  /* Signals are the main thread's business. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (p->n_members = 0; p->n_members + 1 < n_threads; p->n_members++) {
    member *m = &p->members[p->n_members];
    m->threads = &p->threads;
    m->number = p->n_members + 1;
    if (pthread_create(&m->id, NULL, serve, m) != 0) break;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  p->threads.parallel.n_threads = p->n_members + 1;
  return p;
}

const pith_parallel *pith_threads_posix_parallel(const pith_threads_posix *p) { return &p->threads.parallel; }

void pith_threads_posix_close(pith_threads_posix *p) {
  if (!p) return;
  pith_threads_stop(&p->threads);
  for (uint32_t i = 0; i < p->n_members; i++) pthread_join(p->members[i].id, NULL);
  pthread_cond_destroy(&p->done);
  pthread_cond_destroy(&p->work);
  pthread_mutex_destroy(&p->mutex);
  free(p);
}
