/* A host whose only file is a block of memory, "model.gguf", for tests and fuzz targets. */
#ifndef PITH_TEST_MEMORY_HOST_H
#define PITH_TEST_MEMORY_HOST_H

#include <string.h>

#include "base/base.h"

typedef struct memory_file {
  const uint8_t *data;
  size_t n_bytes;
} memory_file;

static int32_t memory_open(void *user, const char *path, uint64_t *size) {
  if (strcmp(path, "model.gguf") != 0) return -(int32_t)PITH_E_NOT_FOUND;
  *size = ((const memory_file *)user)->n_bytes;
  return 3;
}

static int64_t memory_read(void *user, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes) {
  const memory_file *file = user;
  (void)handle;
  if (offset >= file->n_bytes) return 0;
  const uint64_t left = file->n_bytes - offset, n = n_bytes < left ? n_bytes : left;
  memcpy(dst, file->data + offset, (size_t)n);
  return (int64_t)n;
}

static int32_t memory_close(void *user, int32_t handle) {
  (void)user;
  (void)handle;
  return 0;
}

static int32_t memory_exists(void *user, const char *path) {
  (void)user;
  return strcmp(path, "model.gguf") == 0;
}

static inline pith_host memory_host(memory_file *file) {
  return (pith_host){.user = file, .open = memory_open, .read = memory_read, .close = memory_close, .exists = memory_exists};
}

#endif
