/* Runs a fuzz target over every file of the folders given. A run that read nothing is a failure. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int replay(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) return 0;
  const long n = ftell(file);
  rewind(file);
  uint8_t *data = malloc(n > 0 ? (size_t)n : 1);   /* exact, so that a sanitizer sees the end */
  const int ok = n >= 0 && data && fread(data, 1, (size_t)n, file) == (size_t)n;
  fclose(file);
  if (ok) LLVMFuzzerTestOneInput(data, (size_t)n);
  free(data);
  return ok;
}

int main(int argc, char **argv) {
  int n = 0;
  for (int i = 1; i < argc; i++) {
    DIR *folder = opendir(argv[i]);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
      char path[4096];
      snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
      if (entry->d_name[0] != '.') n += replay(path);
    }
    if (folder) closedir(folder);
  }
  printf("%d inputs replayed\n", n);
  return n > 0 ? 0 : 1;
}
