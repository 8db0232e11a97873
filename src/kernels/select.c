#include <string.h>

#include "kernels/variants.h"

/* What this processor runs; a module in WebAssembly is chosen by what its engine accepts, so there every variant runs. */
static bool runs_simd128(void) {
#if defined(__x86_64__) || defined(__i386__)
  return __builtin_cpu_supports("sse4.1") != 0;
#else
  return true;
#endif
}

const pith_kernels *const *pith_kernels_list(void) {
  static const pith_kernels *const all[] = {&pith_kernels_scalar, &pith_kernels_simd128, NULL};
  static const pith_kernels *const without_simd[] = {&pith_kernels_scalar, NULL};
  return runs_simd128() ? all : without_simd;
}

const pith_kernels *pith_kernels_find(const char *name) {
  const pith_kernels *found = NULL;
  const bool automatic = !name || !*name || strcmp(name, "auto") == 0;
  for (const pith_kernels *const *k = pith_kernels_list(); *k; k++)
    if (automatic || strcmp((*k)->name, name) == 0) found = *k;
  return found;
}
