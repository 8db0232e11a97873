/* A small read-only host over stdio for tests that read the real data of ../shared (PITH_SHARED). */
#ifndef PITH_TEST_STDIO_HOST_H
#define PITH_TEST_STDIO_HOST_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

enum { MAX_OPEN = 8, FIRST_HANDLE = 3 };
static FILE *opened[MAX_OPEN];

static int32_t open_file(void *user, const char *path, uint64_t *size) {
  (void)user;
  for (int i = 0; i < MAX_OPEN; i++) {
    if (opened[i]) continue;
    opened[i] = fopen(path, "rb");
    if (!opened[i]) return -(int32_t)PITH_E_NOT_FOUND;
    fseek(opened[i], 0, SEEK_END);
    *size = (uint64_t)ftell(opened[i]);
    return i + FIRST_HANDLE;
  }
  return -(int32_t)PITH_E_IO;
}

static int64_t read_file(void *user, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes) {
  (void)user;
  fseek(opened[handle - FIRST_HANDLE], (long)offset, SEEK_SET);
  return (int64_t)fread(dst, 1, (size_t)n_bytes, opened[handle - FIRST_HANDLE]);
}

static int32_t close_file(void *user, int32_t handle) {
  (void)user;
  fclose(opened[handle - FIRST_HANDLE]);
  opened[handle - FIRST_HANDLE] = NULL;
  return 0;
}

static int32_t exists(void *user, const char *path) {
  (void)user;
  char byte;
  FILE *file = fopen(path, "rb");
  if (!file) return 0;
  const bool folder = fread(&byte, 1, 1, file) == 0 && ferror(file) != 0;   /* a folder opens, and cannot be read */
  fclose(file);
  return folder ? 2 : 1;
}

__attribute__((unused)) static const pith_host stdio_host = {.open = open_file, .read = read_file, .close = close_file, .exists = exists};

/* The path of a file or folder below ../shared/data. */
__attribute__((unused)) static const char *shared_path(char *path, size_t capacity, const char *name) {
  const char *shared = getenv("PITH_SHARED");
  snprintf(path, capacity, "%s/data/%s", shared ? shared : "../shared", name);
  return path;
}

#endif
