/* The ground floor: status codes, the context that carries memory, errors and the host, checked sizes. */
#ifndef PITH_BASE_H
#define PITH_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/parallel.h"

/* Stable numbers: the CLI's exit codes, the ABI's return values and the JavaScript error classes are made of them. */
typedef enum pith_status {
  PITH_OK = 0,
  PITH_PENDING = 1,        /* not an error: more steps to do */
  PITH_E_ARGUMENT = 2,     /* an option or a value that the caller gave is wrong */
  PITH_E_NOT_FOUND = 3,    /* a file, a tensor or a token that must exist does not */
  PITH_E_IO = 4,           /* reading or writing failed */
  PITH_E_NO_SPACE = 5,     /* the disk or the quota is full */
  PITH_E_FORMAT = 6,       /* a file is not what it should be: truncated, malformed, contradictory */
  PITH_E_INTEGRITY = 7,    /* bytes differ from their recorded size or SHA-256 */
  PITH_E_UNSUPPORTED = 8,  /* well-formed, but asks for what Pith does not have */
  PITH_E_MEMORY = 9,       /* memory ran out */
  PITH_E_LIMIT = 10,       /* past the model's context or a stated cap */
  PITH_E_EXISTS = 11,      /* the output is already there */
  PITH_E_NETWORK = 12,     /* the host could not fetch */
  PITH_E_INTERNAL = 13,    /* a bug of ours */
  PITH_E_INCOMPLETE = 14,  /* a program that was made small lacks it, the complete one does not */
  PITH_E_CANCELLED = 130   /* the caller asked to stop */
} pith_status;

/* "PITH_E_FORMAT" and so on; "PITH_E_INTERNAL" for a number that is none. Static storage. */
const char *pith_status_name(pith_status status);

/* What the surroundings provide. Every callback gets `user`. Negative returns are -(pith_status) values.
 * Paths are UTF-8 with '/' and belong to the host: the library only joins them. */
typedef struct pith_host {
  void *user;
  /* Opens for reading; *size receives the byte count (UINT64_MAX if unknown, e.g. a pipe). Returns a handle >= 0. */
  int32_t (*open)(void *user, const char *path, uint64_t *size);
  /* Creates or truncates for writing. Returns a handle >= 0. */
  int32_t (*create)(void *user, const char *path);
  /* Up to n bytes from `offset`. Returns bytes read, 0 at the end, -(status), or PITH_HOST_WAIT when bytes are on their way. */
  int64_t (*read)(void *user, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes);
  /* Appends exactly n bytes. Returns 0 or -(status). */
  int32_t (*write)(void *user, int32_t handle, const void *src, uint64_t n_bytes);
  /* Flushes and closes. Returns 0 or -(status): a full disk may only show here. */
  int32_t (*close)(void *user, int32_t handle);
  int32_t (*make_dir)(void *user, const char *path);                     /* fails with PITH_E_EXISTS if there */
  int32_t (*rename)(void *user, const char *from, const char *to);       /* atomic where the host can */
  int32_t (*remove)(void *user, const char *path);   /* a file, or a folder that is empty; absent is not an error. Never follows a link */
  int32_t (*exists)(void *user, const char *path);                       /* 0 no, 1 file, 2 directory */
  /* How many files a folder has whose names end in `suffix` (folders within are not looked into), or -(status). The name of one of them
   * goes to `name`, NUL-terminated. With an empty suffix all that it holds is counted, folders too. May be NULL: no folder can be looked
   * into. */
  int32_t (*find)(void *user, const char *folder, const char *suffix, char *name, uint32_t capacity);
  /* Detail of the last failure ("HTTP 404 for …", "No space left on device"); may be empty. Valid until the next call. */
  const char *(*last_error)(void *user);
  double (*now_ms)(void *user);
  bool (*cancelled)(void *user);
  /* Threads to work on: n in all, the caller's counted, or with 0 as many as suit the machine. NULL: one. What cannot be had is no error:
   * the answer tells how many there are. It lives as long as the host, and asking again gives the same. May be NULL: one thread. */
  const pith_parallel *(*threads)(void *user, uint32_t n);
  /* The one name of what `path` leads to, links followed, into `name`, NUL-terminated. Returns 0 or -(status): what is not there has none.
   * May be NULL: every path is that name itself. */
  int32_t (*resolve)(void *user, const char *path, char *name, uint32_t capacity);
  /* SHA-256 beside other work, where the host has a faster one than the library: begins with n bytes, which stay as they are until its end,
   * and returns a ticket >= 0 or -(status). With the ticket `hash_end` returns 0 and the 32 bytes of the hash, PITH_HOST_WAIT while it is
   * not ready, or -(status). Both may be NULL. */
  int32_t (*hash_begin)(void *user, const void *bytes, uint64_t n_bytes);
  int32_t (*hash_end)(void *user, int32_t ticket, uint8_t *hash);
} pith_host;
#define PITH_HOST_WAIT (-1000)
#define PITH_STDIN 0
#define PITH_STDOUT 1
#define PITH_STDERR 2

typedef struct pith_allocator {
  void *user;
  void *(*allocate)(void *user, size_t n_bytes);   /* 16-byte aligned or better; NULL when out of memory */
  void (*release)(void *user, void *ptr);          /* accepts NULL */
} pith_allocator;

#define PITH_MESSAGE_CAP 768
/* One per thread of work; not shared between threads. Everything fallible takes it first. */
typedef struct pith_ctx {
  pith_host host;
  pith_allocator allocator;
  const pith_parallel *parallel;       /* NULL: one thread */
  uint64_t n_allocations;              /* grows with every allocation: the tests of "allocates nothing" read it */
  pith_status status;                  /* of the last failure */
  char message[PITH_MESSAGE_CAP];      /* one sentence: what, where, what to do */
} pith_ctx;

/* `host` and `allocator` are copied; a NULL allocator means malloc and free. */
void pith_ctx_init(pith_ctx *ctx, const pith_host *host, const pith_allocator *allocator);

/* Records the failure and gives `status`, so that `return pith_fail(ctx, PITH_E_FORMAT, "…")` reads well. A macro, so that
 * compilers see that a failure is never PITH_OK. */
#define pith_fail(ctx, status, ...) (pith_fail_record(ctx, status, __VA_ARGS__), (status))
void pith_fail_record(pith_ctx *ctx, pith_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
/* Puts "context: " before the recorded message; returns `status`. */
pith_status pith_fail_in(pith_ctx *ctx, pith_status status, const char *context);

#define PITH_TRY(expr)                        \
  do {                                        \
    pith_status try_status_ = (expr);         \
    if (try_status_ != PITH_OK) return try_status_; \
  } while (0)

/* Memory. Fails with PITH_E_MEMORY and the byte count. The memory is not cleared, save by pith_calloc. */
pith_status pith_malloc(pith_ctx *ctx, size_t n_bytes, void *out_ptr);   /* out_ptr: address of a pointer */
pith_status pith_calloc(pith_ctx *ctx, size_t n, size_t elem_bytes, void *out_ptr);
/* Grows to n_bytes keeping old_bytes; *ptr unchanged on failure. */
pith_status pith_realloc(pith_ctx *ctx, void *ptr_address, size_t old_bytes, size_t n_bytes);
void pith_free(pith_ctx *ctx, void *ptr);

/* Checked arithmetic: false on overflow, *out then undefined. */
static inline bool pith_mul_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool pith_add_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }

static inline size_t pith_round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Host I/O that turns return values into status and message. `what` names the file in messages. */
pith_status pith_io_open(pith_ctx *ctx, const char *path, int32_t *handle, uint64_t *size);
pith_status pith_io_read(pith_ctx *ctx, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes, const char *what);
pith_status pith_io_write(pith_ctx *ctx, int32_t handle, const void *src, uint64_t n_bytes, const char *what);
void pith_io_close(pith_ctx *ctx, int32_t handle);                       /* for reading ends; ignores handle < 0 */
pith_status pith_io_status(pith_ctx *ctx, int64_t result, const char *verb, const char *what);
/* Whole small file, NUL-terminated beyond *n_bytes; the caller frees. Fails with PITH_E_LIMIT beyond cap_bytes. */
pith_status pith_io_read_file(pith_ctx *ctx, const char *path, uint64_t cap_bytes, char **text, size_t *n_bytes);
/* Writes a file whole or not at all: beside its place first, under its name with ".partial". */
pith_status pith_io_write_file(pith_ctx *ctx, const char *path, const void *src, uint64_t n_bytes);
/* folder + "/" + name; the caller frees. */
pith_status pith_path_join(pith_ctx *ctx, const char *folder, const char *name, char **out);

/* A growing byte buffer, always NUL-terminated after the first append. Zero-initialise, then buffer_free. */
typedef struct pith_buffer {
  char *data;
  size_t n_bytes, capacity;
} pith_buffer;
/* Room for n_bytes in all, so that appending up to them allocates nothing. */
pith_status pith_buffer_reserve(pith_ctx *ctx, pith_buffer *buffer, size_t n_bytes);
pith_status pith_buffer_append(pith_ctx *ctx, pith_buffer *buffer, const void *src, size_t n_bytes);
pith_status pith_buffer_printf(pith_ctx *ctx, pith_buffer *buffer, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
void pith_buffer_free(pith_ctx *ctx, pith_buffer *buffer);

/* Arena: planned in bytes, allocated once, 64-byte aligned pieces, freed whole. */
typedef struct pith_arena {
  uint8_t *base, *allocation;
  size_t capacity, used;
} pith_arena;
#define PITH_ALIGN 64
pith_status pith_arena_init(pith_ctx *ctx, pith_arena *arena, size_t n_bytes);
/* NULL when the plan was too small, which is a bug of the planner. */
void *pith_arena_take(pith_arena *arena, size_t n_bytes);
void pith_arena_free(pith_ctx *ctx, pith_arena *arena);

#endif
