#include "package/folder.h"

#include <stdio.h>
#include <string.h>

#include "base/format.h"
#include "package/manifest.h"

enum { MAX_PATH_BYTES = 4096, SPARE_SHARDS = 64 /* numbers looked at past a gap */ };

void pith_shard_name(uint32_t number, char name[PITH_SHARD_NAME]) { pith_snprintf(name, PITH_SHARD_NAME, "shard-%05u.safetensors", (unsigned)number); }

static int32_t exists(pith_ctx *ctx, const char *path) { return ctx->host.exists(ctx->host.user, path); }

static pith_status rename_to(pith_ctx *ctx, const char *from, const char *to, const char *verb) {
  return pith_io_status(ctx, ctx->host.rename(ctx->host.user, from, to), verb, to);
}

static pith_status copy_text(pith_ctx *ctx, const char *text, size_t n, const char *end, char **out) {
  PITH_TRY(pith_malloc(ctx, n + strlen(end) + 1, out));
  memcpy(*out, text, n);
  memcpy(*out + n, end, strlen(end) + 1);
  return PITH_OK;
}

/* ---- what is a package's ---- */

/* Calls for every file that a package may consist of, shards up to `n_shards`. */
typedef pith_status name_fn(pith_ctx *ctx, const char *path, uint32_t *count);

static pith_status for_names(pith_ctx *ctx, const char *folder, uint32_t n_shards, name_fn *call, uint32_t *count) {
  static const char *const names[] = {PITH_MANIFEST_FILE, PITH_TOKENIZER_FILE, PITH_RESUME_FILE, PITH_RESUME_FILE ".partial"};
  enum { N_NAMES = sizeof names / sizeof *names };
  for (uint32_t i = 0; i < n_shards + N_NAMES; i++) {
    char shard[PITH_SHARD_NAME], *path;
    pith_shard_name(i < N_NAMES ? 1 : i - N_NAMES + 1, shard);
    PITH_TRY(pith_path_join(ctx, folder, i < N_NAMES ? names[i] : shard, &path));
    const pith_status status = call(ctx, path, count);
    pith_free(ctx, path);
    PITH_TRY(status);
  }
  return PITH_OK;
}

static pith_status count_file(pith_ctx *ctx, const char *path, uint32_t *count) {
  *count += exists(ctx, path) == 1;
  return PITH_OK;
}

static pith_status remove_file(pith_ctx *ctx, const char *path, uint32_t *count) {
  (void)count;
  return pith_io_status(ctx, ctx->host.remove(ctx->host.user, path), "remove", path);
}

static pith_status count_all(pith_ctx *ctx, const char *folder, uint32_t *n) {
  char name[1024];
  const int32_t found = ctx->host.find ? ctx->host.find(ctx->host.user, folder, "", name, sizeof name) : -(int32_t)PITH_E_IO;
  *n = found > 0 ? (uint32_t)found : 0;
  return pith_io_status(ctx, found, "look into", folder);
}

/* By the names alone: what a broken run leaves need not be readable. */
static pith_status holds_package_only(pith_ctx *ctx, const char *folder, bool *out) {
  uint32_t n, n_ours = 0;
  PITH_TRY(count_all(ctx, folder, &n));
  if (n <= PITH_MAX_SHARDS) PITH_TRY(for_names(ctx, folder, n + SPARE_SHARDS, count_file, &n_ours));
  *out = n == n_ours;
  return PITH_OK;
}

/* Whatever else is in the folder keeps it. */
static pith_status remove_package(pith_ctx *ctx, const char *folder) {
  uint32_t n, none = 0;
  PITH_TRY(count_all(ctx, folder, &n));
  PITH_TRY(for_names(ctx, folder, n + SPARE_SHARDS, remove_file, &none));
  return pith_io_status(ctx, ctx->host.remove(ctx->host.user, folder), "remove", folder);
}

static pith_status check_replaceable(pith_ctx *ctx, const pith_package_folder *f) {
  const int32_t kind = exists(ctx, f->path);
  char *manifest;
  uint32_t n;
  bool ours;
  if (kind == 0) return PITH_OK;
  if (!f->force) return pith_fail(ctx, PITH_E_EXISTS, "%s is there already: choose another name, or replace it with --force", f->path);
  if (kind == 1) return pith_fail(ctx, PITH_E_EXISTS, "%s is a file: --force replaces packages alone; choose another name", f->path);
  PITH_TRY(count_all(ctx, f->path, &n));
  if (n == 0) return PITH_OK;
  PITH_TRY(pith_path_join(ctx, f->path, PITH_MANIFEST_FILE, &manifest));
  const bool package = exists(ctx, manifest) == 1;
  pith_free(ctx, manifest);
  if (!package) return pith_fail(ctx, PITH_E_EXISTS, "%s holds no package (%s): --force replaces packages alone; choose another name", f->path, PITH_MANIFEST_FILE);
  PITH_TRY(holds_package_only(ctx, f->path, &ours));
  return ours ? PITH_OK : pith_fail(ctx, PITH_E_EXISTS, "%s holds other files beside its package, which --force would remove; choose another name", f->path);
}

/* Removes what a broken run left there. */
static pith_status clear(pith_ctx *ctx, const char *path) {
  const int32_t kind = exists(ctx, path);
  bool ours = false;
  if (kind == 0) return PITH_OK;
  if (kind == 2) PITH_TRY(holds_package_only(ctx, path, &ours));
  if (!ours) return pith_fail(ctx, PITH_E_EXISTS, "%s is in the way and not Pith's: move it away, or choose another name", path);
  return remove_package(ctx, path);
}

/* ---- where it lies ---- */

/* The one name of a path; what is not there is named by its folder. */
static pith_status real_path(pith_ctx *ctx, const char *path, char **out) {
  char name[MAX_PATH_BYTES], *folder;
  if (!ctx->host.resolve) return copy_text(ctx, path, strlen(path), "", out);
  if (ctx->host.resolve(ctx->host.user, path, name, sizeof name) >= 0) return copy_text(ctx, name, strlen(name), "", out);
  const char *slash = strrchr(path, '/');
  PITH_TRY(copy_text(ctx, slash ? path : ".", slash == path ? 1 : slash ? (size_t)(slash - path) : 1, "", &folder));
  const int32_t found = ctx->host.resolve(ctx->host.user, folder, name, sizeof name);
  pith_free(ctx, folder);
  if (found < 0) return copy_text(ctx, path, strlen(path), "", out);   /* making the folder will say it */
  return pith_path_join(ctx, name, slash ? slash + 1 : path, out);
}

static bool within(const char *inner, const char *outer) {
  const size_t n = strlen(outer);
  return strncmp(inner, outer, n) == 0 && (inner[n] == '\0' || inner[n] == '/' || (n > 0 && outer[n - 1] == '/'));
}

static pith_status check_apart(pith_ctx *ctx, const char *output, const char *source) {
  char *a, *b;
  PITH_TRY(real_path(ctx, output, &a));
  pith_status status = real_path(ctx, source, &b);
  if (status == PITH_OK) {
    const char *how = strcmp(a, b) == 0 ? "is" : within(b, a) ? "contains" : within(a, b) ? "lies in" : NULL;
    if (how) status = pith_fail(ctx, PITH_E_ARGUMENT, "the output %s %s the source %s: choose another name", output, how, source);
    pith_free(ctx, b);
  }
  pith_free(ctx, a);
  return status;
}

/* The partial folder of a run that broke off. */
static pith_status take_partial(pith_ctx *ctx, const pith_package_folder *f) {
  bool ours = false;
  if (exists(ctx, f->partial) == 2) PITH_TRY(holds_package_only(ctx, f->partial, &ours));
  return ours ? PITH_OK : pith_fail(ctx, PITH_E_EXISTS, "%s is in the way and not Pith's: move it away, or choose another name", f->partial);
}

pith_status pith_package_folder_open(pith_ctx *ctx, pith_package_folder *f, const char *path, const char *source, bool force, bool resume) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  f->force = force;
  PITH_TRY(copy_text(ctx, path, n, "", &f->path));
  const char *slash = strrchr(f->path, '/'), *name = slash ? slash + 1 : f->path;
  if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return pith_fail(ctx, PITH_E_ARGUMENT, "the output \"%s\" has no name of its own: give the new folder one", path);
  PITH_TRY(check_apart(ctx, f->path, source));
  PITH_TRY(check_replaceable(ctx, f));
  if (exists(ctx, f->path) != 0) {   /* what a link leads to is replaced, not the link */
    char *real;
    PITH_TRY(real_path(ctx, f->path, &real));
    pith_free(ctx, f->path);
    f->path = real;
  }
  PITH_TRY(copy_text(ctx, f->path, strlen(f->path), ".partial", &f->partial));
  PITH_TRY(copy_text(ctx, f->path, strlen(f->path), ".replaced", &f->replaced));
  const bool there = resume && exists(ctx, f->partial) != 0;
  f->keep = resume;
  if (there) PITH_TRY(take_partial(ctx, f));
  else PITH_TRY(clear(ctx, f->partial));
  if (exists(ctx, f->path) != 0) PITH_TRY(clear(ctx, f->replaced));
  if (!there) PITH_TRY(pith_io_status(ctx, ctx->host.make_dir(ctx->host.user, f->partial), "make the folder", f->partial));
  f->made = true;
  return PITH_OK;
}

static pith_status note_path(pith_ctx *ctx, const pith_package_folder *f, char **path) { return pith_path_join(ctx, f->partial, PITH_RESUME_FILE, path); }

/* What to go on from is of no more use. */
static pith_status remove_note(pith_ctx *ctx, const pith_package_folder *f) {
  char *path;
  if (!f->keep) return PITH_OK;
  PITH_TRY(note_path(ctx, f, &path));
  const pith_status status = pith_io_status(ctx, ctx->host.remove(ctx->host.user, path), "remove", path);
  pith_free(ctx, path);
  return status;
}

static bool is_kept(pith_ctx *ctx, const pith_package_folder *f) {
  char *path;
  if (!f->keep || note_path(ctx, f, &path) != PITH_OK) return f->keep;
  const bool kept = exists(ctx, path) == 1;
  pith_free(ctx, path);
  return kept;
}

pith_status pith_package_folder_publish(pith_ctx *ctx, pith_package_folder *f) {
  PITH_TRY(check_replaceable(ctx, f));
  const bool replaces = exists(ctx, f->path) != 0;
  if (replaces) PITH_TRY(rename_to(ctx, f->path, f->replaced, "move the old package to"));
  pith_status status = remove_note(ctx, f);
  if (status == PITH_OK) status = rename_to(ctx, f->partial, f->path, "publish");
  if (status != PITH_OK) {
    if (replaces) ctx->host.rename(ctx->host.user, f->replaced, f->path);
    return status;
  }
  f->made = false;
  return replaces ? remove_package(ctx, f->replaced) : PITH_OK;
}

void pith_package_folder_close(pith_ctx *ctx, pith_package_folder *f) {
  if (f->made) {
    char message[PITH_MESSAGE_CAP];   /* why it was not published is what the caller wants to hear */
    memcpy(message, ctx->message, sizeof message);
    if (!is_kept(ctx, f)) remove_package(ctx, f->partial);
    memcpy(ctx->message, message, sizeof message);
  }
  pith_free(ctx, f->path);
  pith_free(ctx, f->partial);
  pith_free(ctx, f->replaced);
  memset(f, 0, sizeof *f);
}
