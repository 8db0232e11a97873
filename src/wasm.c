/* The flat interface of the WebAssembly module: the host's callbacks as imports, pith.h as exports.
 * Strings go in as (pointer, length) in memory from pith_wasm_alloc; results are read in place. */
#include <stdlib.h>
#include <string.h>

#include "pith.h"
#ifdef PITH_WASM_THREADS
#include "wasm_threads.h"
#else
#define pith_wasm_threads NULL
#endif

/* Exported functions are declared nowhere else: JavaScript calls them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define EXPORT(name) __attribute__((export_name(#name), used))
#define HOST(name) __attribute__((import_module("host"), import_name(#name)))

HOST(open) extern int32_t import_open(const char *path, uint32_t n_bytes);
HOST(size) extern double import_size(int32_t handle);   /* -1: unknown */
HOST(create) extern int32_t import_create(const char *path, uint32_t n_bytes);
HOST(read) extern int32_t import_read(int32_t handle, double offset, void *dst, uint32_t n_bytes);
HOST(write) extern int32_t import_write(int32_t handle, const void *src, uint32_t n_bytes);
HOST(close) extern int32_t import_close(int32_t handle);
HOST(make_dir) extern int32_t import_make_dir(const char *path, uint32_t n_bytes);
HOST(rename) extern int32_t import_rename(const char *from, uint32_t n_from, const char *to, uint32_t n_to);
HOST(remove) extern int32_t import_remove(const char *path, uint32_t n_bytes);
HOST(exists) extern int32_t import_exists(const char *path, uint32_t n_bytes);
HOST(find) extern int32_t import_find(const char *folder, uint32_t n_folder, const char *suffix, uint32_t n_suffix, char *name, uint32_t capacity);
HOST(resolve) extern int32_t import_resolve(const char *path, uint32_t n_bytes, char *name, uint32_t capacity);
HOST(hashes) extern int32_t import_hashes(void);        /* whether the next two may be called */
HOST(hash_begin) extern int32_t import_hash_begin(const void *bytes, uint32_t n_bytes);
HOST(hash_end) extern int32_t import_hash_end(int32_t ticket, uint8_t *hash);
HOST(last_error) extern uint32_t import_last_error(char *dst, uint32_t capacity);
HOST(now_ms) extern double import_now_ms(void);
HOST(cancelled) extern int32_t import_cancelled(void);

static int32_t host_open(void *user, const char *path, uint64_t *size) {
  (void)user;
  const int32_t handle = import_open(path, (uint32_t)strlen(path));
  if (handle < 0) return handle;
  const double n = import_size(handle);
  *size = n < 0 ? UINT64_MAX : (uint64_t)n;
  return handle;
}

static int32_t host_create(void *user, const char *path) {
  (void)user;
  return import_create(path, (uint32_t)strlen(path));
}

static int64_t host_read(void *user, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes) {
  (void)user;
  return import_read(handle, (double)offset, dst, n_bytes > (1u << 30) ? 1u << 30 : (uint32_t)n_bytes);
}

static int32_t host_write(void *user, int32_t handle, const void *src, uint64_t n_bytes) {
  (void)user;
  return import_write(handle, src, (uint32_t)n_bytes);
}

static int32_t host_close(void *user, int32_t handle) {
  (void)user;
  return import_close(handle);
}

static int32_t host_make_dir(void *user, const char *path) {
  (void)user;
  return import_make_dir(path, (uint32_t)strlen(path));
}

static int32_t host_rename(void *user, const char *from, const char *to) {
  (void)user;
  return import_rename(from, (uint32_t)strlen(from), to, (uint32_t)strlen(to));
}

static int32_t host_remove(void *user, const char *path) {
  (void)user;
  return import_remove(path, (uint32_t)strlen(path));
}

static int32_t host_exists(void *user, const char *path) {
  (void)user;
  return import_exists(path, (uint32_t)strlen(path));
}

static int32_t host_find(void *user, const char *folder, const char *suffix, char *name, uint32_t capacity) {
  (void)user;
  return import_find(folder, (uint32_t)strlen(folder), suffix, (uint32_t)strlen(suffix), name, capacity);
}

static int32_t host_resolve(void *user, const char *path, char *name, uint32_t capacity) {
  (void)user;
  return import_resolve(path, (uint32_t)strlen(path), name, capacity);
}

static int32_t host_hash_begin(void *user, const void *bytes, uint64_t n_bytes) {
  (void)user;
  return import_hash_begin(bytes, (uint32_t)n_bytes);
}

static int32_t host_hash_end(void *user, int32_t ticket, uint8_t *hash) {
  (void)user;
  return import_hash_end(ticket, hash);
}

static const char *host_last_error(void *user) {
  char *text = user;   /* PITH_MESSAGE_CAP bytes */
  const uint32_t n = import_last_error(text, PITH_MESSAGE_CAP - 1);
  text[n < PITH_MESSAGE_CAP ? n : PITH_MESSAGE_CAP - 1] = '\0';
  return text;
}

static double host_now_ms(void *user) {
  (void)user;
  return import_now_ms();
}

static bool host_cancelled(void *user) {
  (void)user;
  return import_cancelled() != 0;
}

/* The module is one instance for its whole life, so its state is the module's. */
static pith_instance *instance;
static char error_text[PITH_MESSAGE_CAP];

pith_host pith_wasm_host(void) {
  const bool hashes = import_hashes() != 0;
  const pith_host host = {error_text, host_open, host_create, host_read, host_write, host_close, host_make_dir, host_rename,
                          host_remove, host_exists, host_find, host_last_error, host_now_ms, host_cancelled, pith_wasm_threads,
                          host_resolve, hashes ? host_hash_begin : NULL, hashes ? host_hash_end : NULL};
  return host;
}

/* 0, or PITH_E_MEMORY. Call once, first. */
EXPORT(pith_wasm_open) int32_t pith_wasm_open(void) {
  const pith_host host = pith_wasm_host();
  instance = pith_open(&host, NULL);
  return instance ? PITH_OK : PITH_E_MEMORY;
}

EXPORT(pith_wasm_alloc) void *pith_wasm_alloc(uint32_t n_bytes) { return malloc(n_bytes); }
EXPORT(pith_wasm_free) void pith_wasm_free(void *ptr) { free(ptr); }

/* A job, or 0: then pith_wasm_start_status and pith_wasm_message say why. */
static pith_status start_status;
EXPORT(pith_wasm_start) pith_job *pith_wasm_start(const char *request, uint32_t n_bytes) {
  pith_job *job;
  start_status = pith_job_start(instance, request, n_bytes, &job);
  return job;
}
EXPORT(pith_wasm_start_status) int32_t pith_wasm_start_status(void) { return (int32_t)start_status; }

/* pith_status, or 1000 when the job waits for the host's bytes: step again when some have come. */
EXPORT(pith_wasm_step) int32_t pith_wasm_step(pith_job *job, double budget_ms) {
  const pith_status status = pith_job_step(job, budget_ms);
  return status == PITH_PENDING && pith_job_waiting(job) ? 1000 : (int32_t)status;
}
EXPORT(pith_wasm_end) void pith_wasm_end(pith_job *job) { pith_job_end(job); }

EXPORT(pith_wasm_message) const char *pith_wasm_message(void) { return pith_message(instance); }
EXPORT(pith_wasm_progress_phase) const char *pith_wasm_progress_phase(pith_job *job) { return pith_job_progress(job).phase; }
EXPORT(pith_wasm_progress_unit) const char *pith_wasm_progress_unit(pith_job *job) { return pith_job_progress(job).unit; }
EXPORT(pith_wasm_progress_done) double pith_wasm_progress_done(pith_job *job) { return pith_job_progress(job).done; }
EXPORT(pith_wasm_progress_total) double pith_wasm_progress_total(pith_job *job) { return pith_job_progress(job).total; }

/* Each leaves the byte count for pith_wasm_bytes. */
static size_t last_bytes;
EXPORT(pith_wasm_take_text) const char *pith_wasm_take_text(pith_job *job) { return pith_job_take_text(job, &last_bytes); }
EXPORT(pith_wasm_result) const char *pith_wasm_result(pith_job *job) { return pith_job_result(job, &last_bytes); }
EXPORT(pith_wasm_data) const void *pith_wasm_data(pith_job *job) { return pith_job_data(job, &last_bytes); }
EXPORT(pith_wasm_bytes) uint32_t pith_wasm_bytes(void) { return (uint32_t)last_bytes; }
