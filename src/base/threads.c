#include "base/threads.h"

/* Looks at a word before going to sleep: about 40 µs, the gaps between the products of a layer are shorter. */
#if defined(__x86_64__) || defined(__i386__)
enum { LOOKS = 1600 };
static void pause_briefly(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
enum { LOOKS = 40000 };
static void pause_briefly(void) { __asm__ volatile("yield"); }
#else
enum { LOOKS = 120000 };
static void pause_briefly(void) {}
#endif

#define STOPPED 0x0000ffffu   /* a ticket of no parts that no work leaves behind */

static uint32_t n_parts_of(uint32_t ticket) { return ticket >> 16; }
static uint32_t next_of(uint32_t ticket) { return ticket & 0xffffu; }

static bool take(pith_threads *t, uint32_t *part, uint32_t *n_parts) {
  uint32_t ticket = atomic_load_explicit(&t->ticket, memory_order_acquire);
  while (next_of(ticket) < n_parts_of(ticket)) {
    if (!atomic_compare_exchange_weak_explicit(&t->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_acquire)) continue;
    *part = next_of(ticket);
    *n_parts = n_parts_of(ticket);
    return true;
  }
  return false;
}

static void help(pith_threads *t, uint32_t thread) {
  uint32_t part, n_parts;
  while (take(t, &part, &n_parts)) {
    t->work(t->arg, part, n_parts, thread);
    if (atomic_fetch_sub(&t->pending, 1) == 1 && atomic_load(&t->caller_asleep)) t->wake(t->user, &t->pending, 1);
  }
}

/* False when the word still has the value after a while. */
static bool changes_soon(_Atomic uint32_t *word, uint32_t value) {
  for (int i = 0; i < LOOKS; i++) {
    if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
    pause_briefly();
  }
  return false;
}

/* Each side says that it sleeps before it looks a last time, and looks whether the other sleeps after it has changed the word: one of
 * them sees the other (both orders are sequentially consistent). */
static void run(void *user, uint32_t n_parts, pith_work *work, void *arg) {
  pith_threads *t = user;
  t->work = work;
  t->arg = arg;
  atomic_store_explicit(&t->pending, n_parts, memory_order_relaxed);
  atomic_store(&t->ticket, n_parts << 16);
  const uint32_t n_asleep = atomic_load(&t->n_asleep);
  if (n_asleep) t->wake(t->user, &t->ticket, n_asleep < n_parts - 1 ? n_asleep : n_parts - 1);
  help(t, 0);
  for (uint32_t left; (left = atomic_load_explicit(&t->pending, memory_order_acquire)) != 0;) {
    if (changes_soon(&t->pending, left)) continue;
    atomic_store(&t->caller_asleep, 1);
    t->wait(t->user, &t->pending, left);
    atomic_store(&t->caller_asleep, 0);
  }
}

void pith_threads_serve(pith_threads *t, uint32_t thread) {
  for (;;) {
    help(t, thread);
    const uint32_t ticket = atomic_load_explicit(&t->ticket, memory_order_acquire);
    if (ticket == STOPPED) return;
    if (next_of(ticket) < n_parts_of(ticket) || changes_soon(&t->ticket, ticket)) continue;
    atomic_fetch_add(&t->n_asleep, 1);
    t->wait(t->user, &t->ticket, ticket);
    atomic_fetch_sub(&t->n_asleep, 1);
  }
}

void pith_threads_init(pith_threads *t, uint32_t n_threads, void (*wait)(void *, _Atomic uint32_t *, uint32_t),
                       void (*wake)(void *, _Atomic uint32_t *, uint32_t), void *user) {
  atomic_init(&t->ticket, 0);
  atomic_init(&t->pending, 0);
  atomic_init(&t->n_asleep, 0);
  atomic_init(&t->caller_asleep, 0);
  t->work = NULL;
  t->arg = NULL;
  t->wait = wait;
  t->wake = wake;
  t->user = user;
  t->parallel = (pith_parallel){t, n_threads, run};
}

void pith_threads_stop(pith_threads *t) {
  atomic_store(&t->ticket, STOPPED);
  t->wake(t->user, &t->ticket, PITH_MAX_THREADS);
}
