/* The folder that a package goes to: written under another name beside it, then put in its place by renaming. Nothing is ever removed but
 * what a package consists of. */
#ifndef PITH_PACKAGE_FOLDER_H
#define PITH_PACKAGE_FOLDER_H

#include "base/base.h"

#define PITH_TOKENIZER_FILE "tokenizer.json"
#define PITH_RESUME_FILE "resume.json"   /* in the partial folder alone */
/* "shard-00001.safetensors" for number 1. */
enum { PITH_SHARD_NAME = 32 };
void pith_shard_name(uint32_t number, char name[PITH_SHARD_NAME]);

typedef struct pith_package_folder {
  char *path;                /* the final one */
  char *partial, *replaced;  /* where the files are until then; where the old package is for the moment of the change */
  bool force, made;          /* made: partial is ours to remove */
  bool keep;                 /* what was not published stays where there is a PITH_RESUME_FILE */
} pith_package_folder;

/* Makes the partial folder; what a broken run left of it goes. PITH_E_EXISTS when `path` is there, unless `force` and it is empty or holds a
 * package and nothing else. PITH_E_ARGUMENT when it has no name of its own (".", ".."), or when it is, contains or lies in `source`, links
 * followed. resume: what a broken run left of the partial folder stays, now and when this one breaks off. Zero-initialise first; close accepts a
 * half-made one. */
pith_status pith_package_folder_open(pith_ctx *ctx, pith_package_folder *f, const char *path, const char *source, bool force, bool resume);
/* The partial folder becomes the final one. When that fails, the old one is back in its place. */
pith_status pith_package_folder_publish(pith_ctx *ctx, pith_package_folder *f);
/* Frees; what was not published is removed, unless it is kept. */
void pith_package_folder_close(pith_ctx *ctx, pith_package_folder *f);

#endif
