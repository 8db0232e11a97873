#define _XOPEN_SOURCE 700
#include "base/host_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/format.h"

/* A signal handler can reach nothing else: the one mutable global of the library. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
  interrupted = 1;
  signal(number, SIG_DFL);
}

void pith_host_posix_catch_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);   /* a closed pipe is an error of write, not a death */
}

static int32_t failure(void *user, int number) {
  pith_host_posix *state = user;
  pith_snprintf(state->error, sizeof state->error, "%s", strerror(number));
  switch (number) {
    case ENOENT: return -(int32_t)PITH_E_NOT_FOUND;
    case ENOTDIR: return -(int32_t)PITH_E_NOT_FOUND;
    case EEXIST: return -(int32_t)PITH_E_EXISTS;
    case ENOSPC: return -(int32_t)PITH_E_NO_SPACE;
    case EDQUOT: return -(int32_t)PITH_E_NO_SPACE;
    default: return -(int32_t)PITH_E_IO;
  }
}

static int32_t host_open(void *user, const char *path, uint64_t *size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (fd < 0) return failure(user, errno);
  if (fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    const int number = S_ISDIR(info.st_mode) ? EISDIR : errno;
    close(fd);
    return failure(user, number);
  }
  *size = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : UINT64_MAX;
  return fd;
}

static int32_t host_create(void *user, const char *path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return fd < 0 ? failure(user, errno) : fd;
}

/* Waits for standard input; false when interrupted. A signal that comes between two reads would leave the next one waiting. */
static bool wait_for_input(void) {
  struct pollfd input = {.fd = PITH_STDIN, .events = POLLIN};
  while (!interrupted && poll(&input, 1, 100) == 0) continue;
  return !interrupted;
}

static int64_t host_read(void *user, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes) {
  if (handle == PITH_STDIN && !wait_for_input()) return -(int64_t)PITH_E_CANCELLED;
  for (;;) {
    const size_t n = n_bytes < (1u << 30) ? (size_t)n_bytes : (size_t)1 << 30;
    /* pipes and terminals have no offset */
    const ssize_t got = handle == PITH_STDIN ? read(handle, dst, n) : pread(handle, dst, n, (off_t)offset);
    if (got >= 0) return got;
    if (errno == EINTR && interrupted) return -(int64_t)PITH_E_CANCELLED;
    if (errno != EINTR) return failure(user, errno);
  }
}

static int32_t host_write(void *user, int32_t handle, const void *src, uint64_t n_bytes) {
  const char *from = src;
  while (n_bytes > 0) {
    const ssize_t n = write(handle, from, (size_t)n_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure(user, errno);
    from += n;
    n_bytes -= (uint64_t)n;
  }
  return 0;
}

static int32_t host_close(void *user, int32_t handle) {
  /* A file that was written is on the disk before it counts as written; others do not know fsync. */
  const int synced = fsync(handle), number = errno;
  const bool failed = synced != 0 && (number == EIO || number == ENOSPC || number == EDQUOT);
  if (close(handle) != 0) return failure(user, errno);
  return failed ? failure(user, number) : 0;
}

static int32_t host_make_dir(void *user, const char *path) { return mkdir(path, 0777) == 0 ? 0 : failure(user, errno); }
static int32_t host_rename(void *user, const char *from, const char *to) { return rename(from, to) == 0 ? 0 : failure(user, errno); }

static int32_t host_remove(void *user, const char *path) { return remove(path) == 0 || errno == ENOENT ? 0 : failure(user, errno); }

static int32_t host_exists(void *user, const char *path) {
  struct stat info;
  (void)user;
  return stat(path, &info) != 0 ? 0 : S_ISDIR(info.st_mode) ? 2 : 1;
}

static int32_t host_find(void *user, const char *folder, const char *suffix, char *name, uint32_t capacity) {
  DIR *dir = opendir(folder);
  if (!dir) return failure(user, errno);
  const size_t n_suffix = strlen(suffix);
  const struct dirent *entry;
  int32_t n = 0;
  while ((entry = readdir(dir)) != NULL && n < INT32_MAX) {
    const size_t length = strlen(entry->d_name);
    struct stat info;
    if (length < n_suffix || strcmp(entry->d_name + length - n_suffix, suffix) != 0) continue;
    if (n_suffix == 0 && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)) continue;
    if (n_suffix > 0 && (fstatat(dirfd(dir), entry->d_name, &info, 0) != 0 || S_ISDIR(info.st_mode))) continue;
    if (length >= capacity) {
      closedir(dir);
      return failure(user, ENAMETOOLONG);
    }
    memcpy(name, entry->d_name, length + 1);
    n++;
  }
  closedir(dir);
  return n;
}

static const char *host_last_error(void *user) { return ((pith_host_posix *)user)->error; }

static double host_now_ms(void *user) {
  struct timespec now;
  (void)user;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static bool host_cancelled(void *user) {
  (void)user;
  return interrupted != 0;
}

static const pith_parallel *host_threads(void *user, uint32_t n) {
  pith_host_posix *state = user;
  if (n == 0) n = pith_threads_posix_auto();
  if (n > 1 && !state->threads) state->threads = pith_threads_posix_open(n < PITH_MAX_THREADS ? n : PITH_MAX_THREADS);
  return state->threads ? pith_threads_posix_parallel(state->threads) : NULL;
}

static int32_t host_resolve(void *user, const char *path, char *name, uint32_t capacity) {
  char *real = realpath(path, NULL);
  if (!real) return failure(user, errno);
  const size_t n = strlen(real) + 1;
  if (n <= capacity) memcpy(name, real, n);
  free(real);
  return n <= capacity ? 0 : failure(user, ENAMETOOLONG);
}

void pith_host_posix_free(pith_host_posix *state) {
  pith_threads_posix_close(state->threads);
  state->threads = NULL;
}

pith_host pith_host_posix_init(pith_host_posix *state) {
  memset(state, 0, sizeof *state);
  const pith_host host = {state,         host_open,   host_create,      host_read,   host_write,      host_close,  host_make_dir,
                          host_rename,   host_remove, host_exists, host_find, host_last_error, host_now_ms, host_cancelled,
                          host_threads,  host_resolve, NULL, NULL};
  return host;
}
