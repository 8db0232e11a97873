/* The end of all products' tiles, once in the module. */
#include "kernels/tiles_simd128.h"
#include "kernels/variants.h"

void store_tile_simd128(size_t rows, size_t n, const float *y8, const float *bias, bool accumulate, float *y, size_t y_stride) {
  for (size_t r = 0; r < rows; r++, y8 += PITH_PANEL, y += y_stride) {
    size_t i = 0;
    for (; n - i >= 4; i += 4) {
      v128_t v = wasm_v128_load(y8 + i);
      if (bias) v = wasm_f32x4_add(wasm_v128_load(bias + i), v);
      if (accumulate) v = wasm_f32x4_add(wasm_v128_load(y + i), v);
      wasm_v128_store(y + i, v);
    }
    for (; i < n; i++) store_output(y8[i], bias ? bias + i : NULL, accumulate, y + i);
  }
}
