#include "base/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/format.h"

const char *pith_status_name(pith_status status) {
  switch (status) {
    case PITH_OK: return "PITH_OK";
    case PITH_PENDING: return "PITH_PENDING";
    case PITH_E_ARGUMENT: return "PITH_E_ARGUMENT";
    case PITH_E_NOT_FOUND: return "PITH_E_NOT_FOUND";
    case PITH_E_IO: return "PITH_E_IO";
    case PITH_E_NO_SPACE: return "PITH_E_NO_SPACE";
    case PITH_E_FORMAT: return "PITH_E_FORMAT";
    case PITH_E_INTEGRITY: return "PITH_E_INTEGRITY";
    case PITH_E_UNSUPPORTED: return "PITH_E_UNSUPPORTED";
    case PITH_E_MEMORY: return "PITH_E_MEMORY";
    case PITH_E_LIMIT: return "PITH_E_LIMIT";
    case PITH_E_EXISTS: return "PITH_E_EXISTS";
    case PITH_E_NETWORK: return "PITH_E_NETWORK";
    case PITH_E_CANCELLED: return "PITH_E_CANCELLED";
    case PITH_E_INCOMPLETE: return "PITH_E_INCOMPLETE";
    case PITH_E_INTERNAL: break;
  }
  return "PITH_E_INTERNAL";
}

static void *default_allocate(void *user, size_t n_bytes) {
  (void)user;
  return malloc(n_bytes);
}

static void default_release(void *user, void *ptr) {
  (void)user;
  free(ptr);
}

void pith_ctx_init(pith_ctx *ctx, const pith_host *host, const pith_allocator *allocator) {
  memset(ctx, 0, sizeof *ctx);
  if (host) ctx->host = *host;
  if (allocator) {
    ctx->allocator = *allocator;
  } else {
    ctx->allocator.allocate = default_allocate;
    ctx->allocator.release = default_release;
  }
}

void pith_fail_record(pith_ctx *ctx, pith_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (pith_vsnprintf(ctx->message, sizeof ctx->message, format, args) < 0) pith_snprintf(ctx->message, sizeof ctx->message, "%s", format);
  va_end(args);
  ctx->status = status;
}

pith_status pith_fail_in(pith_ctx *ctx, pith_status status, const char *context) {
  char inner[PITH_MESSAGE_CAP];
  memcpy(inner, ctx->message, sizeof inner);
  const int room = (int)sizeof ctx->message / 3;
  pith_snprintf(ctx->message, sizeof ctx->message, "%.*s: %.*s", room, context, 2 * room - 3, inner);
  ctx->status = status;
  return status;
}

/* memcpy keeps strict aliasing while the callers pass the address of any pointer type. */
static void store_pointer(void *out_ptr, void *value) { memcpy(out_ptr, &value, sizeof value); }

pith_status pith_malloc(pith_ctx *ctx, size_t n_bytes, void *out_ptr) {
  void *ptr = ctx->allocator.allocate(ctx->allocator.user, n_bytes ? n_bytes : 1);
  ctx->n_allocations++;
  store_pointer(out_ptr, ptr);
  if (!ptr) return pith_fail(ctx, PITH_E_MEMORY, "out of memory: %llu bytes could not be had", (unsigned long long)n_bytes);
  return PITH_OK;
}

pith_status pith_calloc(pith_ctx *ctx, size_t n, size_t elem_bytes, void *out_ptr) {
  uint64_t n_bytes;
  store_pointer(out_ptr, NULL);
  if (!pith_mul_u64(n, elem_bytes, &n_bytes) || n_bytes > SIZE_MAX)
    return pith_fail(ctx, PITH_E_MEMORY, "out of memory: %llu elements of %llu bytes exceed the address space",
                     (unsigned long long)n, (unsigned long long)elem_bytes);
  PITH_TRY(pith_malloc(ctx, (size_t)n_bytes, out_ptr));
  void *ptr;
  memcpy(&ptr, out_ptr, sizeof ptr);
  memset(ptr, 0, (size_t)n_bytes);
  return PITH_OK;
}

pith_status pith_realloc(pith_ctx *ctx, void *ptr_address, size_t old_bytes, size_t n_bytes) {
  void *old, *grown;
  memcpy(&old, ptr_address, sizeof old);
  PITH_TRY(pith_malloc(ctx, n_bytes, &grown));
  if (old_bytes) memcpy(grown, old, old_bytes < n_bytes ? old_bytes : n_bytes);
  pith_free(ctx, old);
  store_pointer(ptr_address, grown);
  return PITH_OK;
}

void pith_free(pith_ctx *ctx, void *ptr) {
  if (ptr) ctx->allocator.release(ctx->allocator.user, ptr);
}

pith_status pith_buffer_reserve(pith_ctx *ctx, pith_buffer *buffer, size_t n_bytes) {
  if (n_bytes >= SIZE_MAX / 4) return pith_fail(ctx, PITH_E_MEMORY, "a buffer grew too large");
  if (n_bytes < buffer->capacity) return PITH_OK;
  PITH_TRY(pith_realloc(ctx, &buffer->data, buffer->n_bytes, n_bytes + 1));
  buffer->capacity = n_bytes + 1;
  buffer->data[buffer->n_bytes] = '\0';
  return PITH_OK;
}

pith_status pith_buffer_append(pith_ctx *ctx, pith_buffer *buffer, const void *src, size_t n_bytes) {
  if (n_bytes >= SIZE_MAX / 4 || buffer->n_bytes >= SIZE_MAX / 4) return pith_fail(ctx, PITH_E_MEMORY, "a buffer grew too large");
  if (buffer->n_bytes + n_bytes + 1 > buffer->capacity) {
    size_t capacity = buffer->capacity ? buffer->capacity : 128;
    while (capacity < buffer->n_bytes + n_bytes + 1) capacity *= 2;
    PITH_TRY(pith_realloc(ctx, &buffer->data, buffer->n_bytes, capacity));
    buffer->capacity = capacity;
  }
  if (n_bytes) memcpy(buffer->data + buffer->n_bytes, src, n_bytes);
  buffer->n_bytes += n_bytes;
  buffer->data[buffer->n_bytes] = '\0';
  return PITH_OK;
}

pith_status pith_buffer_printf(pith_ctx *ctx, pith_buffer *buffer, const char *format, ...) {
  char small[512];
  va_list args;
  va_start(args, format);
  const int n = pith_vsnprintf(small, sizeof small, format, args);
  va_end(args);
  if (n < 0) return pith_fail(ctx, PITH_E_INTERNAL, "a message could not be formatted");
  if ((size_t)n < sizeof small) return pith_buffer_append(ctx, buffer, small, (size_t)n);
  char *large;
  PITH_TRY(pith_malloc(ctx, (size_t)n + 1, &large));
  va_start(args, format);
  pith_vsnprintf(large, (size_t)n + 1, format, args);
  va_end(args);
  const pith_status status = pith_buffer_append(ctx, buffer, large, (size_t)n);
  pith_free(ctx, large);
  return status;
}

void pith_buffer_free(pith_ctx *ctx, pith_buffer *buffer) {
  pith_free(ctx, buffer->data);
  memset(buffer, 0, sizeof *buffer);
}

pith_status pith_arena_init(pith_ctx *ctx, pith_arena *arena, size_t n_bytes) {
  memset(arena, 0, sizeof *arena);
  PITH_TRY(pith_malloc(ctx, n_bytes + PITH_ALIGN, &arena->allocation));
  arena->base = arena->allocation + (PITH_ALIGN - (uintptr_t)arena->allocation % PITH_ALIGN) % PITH_ALIGN;
  arena->capacity = n_bytes;
  return PITH_OK;
}

void *pith_arena_take(pith_arena *arena, size_t n_bytes) {
  const size_t n = pith_round_up(n_bytes, PITH_ALIGN);
  if (n > arena->capacity - arena->used) return NULL;
  void *ptr = arena->base + arena->used;
  arena->used += n;
  return ptr;
}

void pith_arena_free(pith_ctx *ctx, pith_arena *arena) {
  pith_free(ctx, arena->allocation);
  memset(arena, 0, sizeof *arena);
}
