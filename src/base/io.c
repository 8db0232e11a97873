#include <string.h>

#include "base/base.h"

static const char *host_detail(pith_ctx *ctx) {
  const char *detail = ctx->host.last_error ? ctx->host.last_error(ctx->host.user) : NULL;
  return detail && *detail ? detail : NULL;
}

pith_status pith_io_status(pith_ctx *ctx, int64_t result, const char *verb, const char *what) {
  if (result >= 0) return PITH_OK;
  const pith_status status = result <= -(int64_t)PITH_E_ARGUMENT && result >= -(int64_t)PITH_E_CANCELLED ? (pith_status)-result : PITH_E_IO;
  if (status == PITH_E_CANCELLED) return pith_fail(ctx, status, "cancelled");
  const char *detail = host_detail(ctx);
  if (detail) return pith_fail(ctx, status, "cannot %s %s: %s", verb, what, detail);
  const char *reason = status == PITH_E_NOT_FOUND ? "no such file or folder"
                       : status == PITH_E_NO_SPACE ? "no space left"
                       : status == PITH_E_EXISTS ? "it already exists" : "input/output error";
  return pith_fail(ctx, status, "cannot %s %s: %s", verb, what, reason);
}

pith_status pith_io_open(pith_ctx *ctx, const char *path, int32_t *handle, uint64_t *size) {
  *handle = ctx->host.open(ctx->host.user, path, size);
  return pith_io_status(ctx, *handle, "open", path);
}

pith_status pith_io_read(pith_ctx *ctx, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes, const char *what) {
  uint8_t *to = dst;
  while (n_bytes > 0) {
    const int64_t n = ctx->host.read(ctx->host.user, handle, offset, to, n_bytes);
    if (n == PITH_HOST_WAIT)
      return pith_fail(ctx, PITH_E_INTERNAL, "cannot read %s: it is a stream, and this verb needs a file", what);
    PITH_TRY(pith_io_status(ctx, n, "read", what));
    if (n == 0)
      return pith_fail(ctx, PITH_E_FORMAT, "%s ends at byte %llu, %llu bytes before it should: the file is truncated", what,
                       (unsigned long long)offset, (unsigned long long)n_bytes);
    offset += (uint64_t)n;
    to += n;
    n_bytes -= (uint64_t)n;
  }
  return PITH_OK;
}

pith_status pith_io_write(pith_ctx *ctx, int32_t handle, const void *src, uint64_t n_bytes, const char *what) {
  return pith_io_status(ctx, ctx->host.write(ctx->host.user, handle, src, n_bytes), "write", what);
}

void pith_io_close(pith_ctx *ctx, int32_t handle) {
  if (handle > PITH_STDERR) ctx->host.close(ctx->host.user, handle);
}

pith_status pith_io_read_file(pith_ctx *ctx, const char *path, uint64_t cap_bytes, char **text, size_t *n_bytes) {
  int32_t handle;
  uint64_t size;
  *text = NULL;
  *n_bytes = 0;
  PITH_TRY(pith_io_open(ctx, path, &handle, &size));
  pith_status status = PITH_OK;
  if (size == UINT64_MAX) status = pith_fail(ctx, PITH_E_ARGUMENT, "%s is no file of known length: give one that lies on a disk", path);
  else if (size > cap_bytes)
    status = pith_fail(ctx, PITH_E_LIMIT, "%s has %llu bytes, more than the %llu that such a file may have", path,
                       (unsigned long long)size, (unsigned long long)cap_bytes);
  if (status == PITH_OK) status = pith_malloc(ctx, (size_t)size + 1, text);
  if (status == PITH_OK) status = pith_io_read(ctx, handle, 0, *text, size, path);
  pith_io_close(ctx, handle);
  if (status != PITH_OK) {
    pith_free(ctx, *text);
    *text = NULL;
    return status;
  }
  (*text)[size] = '\0';
  *n_bytes = (size_t)size;
  return PITH_OK;
}

static pith_status write_new(pith_ctx *ctx, const char *partial, const char *path, const void *src, uint64_t n_bytes) {
  const int32_t handle = ctx->host.create(ctx->host.user, partial);
  PITH_TRY(pith_io_status(ctx, handle, "create", partial));
  pith_status status = pith_io_write(ctx, handle, src, n_bytes, path);
  const int32_t closed = ctx->host.close(ctx->host.user, handle);   /* a full disk may only show here */
  if (status == PITH_OK) status = pith_io_status(ctx, closed, "write", path);
  if (status == PITH_OK) status = pith_io_status(ctx, ctx->host.rename(ctx->host.user, partial, path), "rename", path);
  if (status != PITH_OK) (void)ctx->host.remove(ctx->host.user, partial);
  return status;
}

pith_status pith_io_write_file(pith_ctx *ctx, const char *path, const void *src, uint64_t n_bytes) {
  static const char end[] = ".partial";
  const size_t n = strlen(path);
  char *partial;
  PITH_TRY(pith_malloc(ctx, n + sizeof end, &partial));
  memcpy(partial, path, n);
  memcpy(partial + n, end, sizeof end);
  const pith_status status = write_new(ctx, partial, path, src, n_bytes);
  pith_free(ctx, partial);
  return status;
}

pith_status pith_path_join(pith_ctx *ctx, const char *folder, const char *name, char **out) {
  const size_t n_folder = strlen(folder), n_name = strlen(name);
  const bool slash = n_folder > 0 && folder[n_folder - 1] != '/';
  PITH_TRY(pith_malloc(ctx, n_folder + n_name + 2, out));
  memcpy(*out, folder, n_folder);
  if (slash) (*out)[n_folder] = '/';
  memcpy(*out + n_folder + slash, name, n_name + 1);
  return PITH_OK;
}
