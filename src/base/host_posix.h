/* The host of native programs: POSIX files, the monotonic clock, Ctrl-C. */
#ifndef PITH_HOST_POSIX_H
#define PITH_HOST_POSIX_H

#include "base/base.h"
#include "base/threads_posix.h"

typedef struct pith_host_posix {
  char error[PITH_MESSAGE_CAP];   /* of the last failure */
  pith_threads_posix *threads;    /* from the first time that some are asked for */
} pith_host_posix;

/* `state` must outlive the host. Handles are file descriptors. */
pith_host pith_host_posix_init(pith_host_posix *state);
/* Ends its threads; close the instances first. */
void pith_host_posix_free(pith_host_posix *state);
/* From now on the first SIGINT or SIGTERM makes `cancelled` true, and a second one ends the process. */
void pith_host_posix_catch_signals(void);

#endif
