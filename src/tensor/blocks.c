/* ggml's quantised blocks as floats. Each decoder takes one block; all numbers are little endian. Codes of two halves of a block share
 * bytes: low nibbles are the first half, high nibbles the second. */
#include <string.h>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

static uint32_t u16_at(const uint8_t *b) { return (uint32_t)b[0] | (uint32_t)b[1] << 8; }
static uint32_t u32_at(const uint8_t *b) { return u16_at(b) | u16_at(b + 2) << 16; }
static float half_at(const uint8_t *b) { return pith_f16_to_f32((uint16_t)u16_at(b)); }

/* d: f16; codes: 16 bytes. value = (code - 8) * d */
static void decode_q4_0(const uint8_t *b, float *y) {
  const float d = half_at(b);
  for (int j = 0; j < 16; j++) {
    y[j] = (float)((b[2 + j] & 15) - 8) * d;
    y[j + 16] = (float)((b[2 + j] >> 4) - 8) * d;
  }
}

/* d, m: f16; codes: 16 bytes. value = code * d + m */
static void decode_q4_1(const uint8_t *b, float *y) {
  const float d = half_at(b), m = half_at(b + 2);
  for (int j = 0; j < 16; j++) {
    y[j] = (float)(b[4 + j] & 15) * d + m;
    y[j + 16] = (float)(b[4 + j] >> 4) * d + m;
  }
}

/* Five-bit codes: four bits in `low`, the fifth of code i in bit i of `high`. */
static void decode_q5(uint32_t high, const uint8_t *low, int zero, float d, float m, float *y) {
  for (uint32_t j = 0; j < 16; j++) {
    y[j] = (float)((int)((low[j] & 15u) | (high >> j & 1u) << 4) - zero) * d + m;
    y[j + 16] = (float)((int)((low[j] >> 4) | (high >> (j + 16) & 1u) << 4) - zero) * d + m;
  }
}

/* d: f16; high: u32; low: 16 bytes. value = (code - 16) * d; adding m = -0 changes no value, not even a zero's sign */
static void decode_q5_0(const uint8_t *b, float *y) { decode_q5(u32_at(b + 2), b + 6, 16, half_at(b), -0.0f, y); }

/* d, m: f16; high: u32; low: 16 bytes. value = code * d + m */
static void decode_q5_1(const uint8_t *b, float *y) { decode_q5(u32_at(b + 4), b + 8, 0, half_at(b), half_at(b + 2), y); }

/* d: f16; codes: 32 signed bytes */
static void decode_q8_0(const uint8_t *b, float *y) {
  const float d = half_at(b);
  for (int j = 0; j < 32; j++) y[j] = (float)(int8_t)b[2 + j] * d;
}

/* scales: 16 bytes, low nibble of d, high nibble of dmin; codes: 64 bytes, 2 bits; d, dmin: f16.
 * Halves of 128 values take 32 bytes each, quarters of 32 values two of their bits, and 16 values a scale. */
static void decode_q2_k(const uint8_t *b, float *y) {
  const float d = half_at(b + 80), dmin = half_at(b + 82);
  for (int i = 0; i < 256; i++) {
    const int code = b[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3, scale = b[i / 16];
    const float dl = d * (float)(scale & 15), ml = dmin * (float)(scale >> 4);
    y[i] = dl * (float)code - ml;
  }
}

/* high bits: 32 bytes; codes: 64 bytes as in Q2_K; scales: 12 bytes, 16 of 6 bits; d: f16. A high bit that is not set takes 4 off. */
static void decode_q3_k(const uint8_t *b, float *y) {
  const uint8_t *scales = b + 96;
  const float d = half_at(b + 108);
  for (int i = 0; i < 256; i++) {
    const int s = i / 16, low = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4, scale = (low | (scales[8 + s % 4] >> (s / 4 * 2) & 3) << 4) - 32;
    const int code = (b[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - (b[i % 32] >> (i / 32) & 1 ? 0 : 4);
    const float dl = d * (float)scale;
    y[i] = dl * (float)code;
  }
}

/* Scale and minimum s of 8, six bits each, from the 12 bytes of Q4_K and Q5_K. */
static void scale_of_k(const uint8_t *p, int s, int *scale, int *min) {
  if (s < 4) {
    *scale = p[s] & 63;
    *min = p[s + 4] & 63;
  } else {
    *scale = (p[s + 4] & 15) | p[s - 4] >> 6 << 4;
    *min = p[s + 4] >> 4 | p[s] >> 6 << 4;
  }
}

/* Groups of 32; a pair of groups shares 32 bytes of nibbles. value = d * scale * code - dmin * min */
static void decode_q45_k(const uint8_t *scales, const uint8_t *high, const uint8_t *low, float d, float dmin, float *y) {
  for (int s = 0; s < 8; s++) {
    int scale, min;
    scale_of_k(scales, s, &scale, &min);
    const float dl = d * (float)scale, ml = dmin * (float)min;
    for (int j = 0; j < 32; j++) {
      const int nibble = s % 2 ? low[s / 2 * 32 + j] >> 4 : low[s / 2 * 32 + j] & 15;
      y[s * 32 + j] = dl * (float)(nibble + (high && high[j] >> s & 1 ? 16 : 0)) - ml;
    }
  }
}

/* d, dmin: f16; scales: 12 bytes; codes: 128 bytes */
static void decode_q4_k(const uint8_t *b, float *y) { decode_q45_k(b + 4, NULL, b + 16, half_at(b), half_at(b + 2), y); }
/* d, dmin: f16; scales: 12 bytes; fifth bits: 32 bytes; codes: 128 bytes */
static void decode_q5_k(const uint8_t *b, float *y) { decode_q45_k(b + 4, b + 16, b + 48, half_at(b), half_at(b + 2), y); }

/* low: 128 bytes; high: 64 bytes; scales: 16 signed bytes; d: f16. Halves of 128 values: 64 bytes of nibbles (two groups of 32 low,
 * then two high), 32 bytes of bit pairs. value = d * scale * (code - 32) */
static void decode_q6_k(const uint8_t *b, float *y) {
  const float d = half_at(b + 208);
  for (int i = 0; i < 256; i++) {
    const int half = i / 128, quarter = i % 128 / 32;
    const int byte = b[half * 64 + i % 64], nibble = quarter < 2 ? byte & 15 : byte >> 4;
    const int code = nibble | (b[128 + half * 32 + i % 32] >> (quarter * 2) & 3) << 4;
    const float dl = d * (float)(int8_t)b[192 + i / 16];
    y[i] = dl * (float)(code - 32);
  }
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void decode_iq4(const uint8_t *codes, float d, float *y) {
  for (int j = 0; j < 16; j++) {
    y[j] = d * (float)iq4_values[codes[j] & 15];
    y[j + 16] = d * (float)iq4_values[codes[j] >> 4];
  }
}

/* d: f16; codes: 16 bytes, indices into the table */
static void decode_iq4_nl(const uint8_t *b, float *y) { decode_iq4(b + 2, half_at(b), y); }

/* d: f16; high bits of the scales: u16; low nibbles of them: 4 bytes; codes: 128 bytes. Groups of 32, scale - 32 of six bits. */
static void decode_iq4_xs(const uint8_t *b, float *y) {
  const float d = half_at(b);
  const uint32_t high = u16_at(b + 2);
  for (uint32_t s = 0; s < 8; s++) {
    const uint32_t low = (uint32_t)b[4 + s / 2] >> (s % 2 * 4) & 15u;
    decode_iq4(b + 8 + s * 16, d * (float)((int)(low | (high >> (2 * s) & 3u) << 4) - 32), y + s * 32);
  }
}

typedef void decode_block(const uint8_t *block, float *y);
static decode_block *const decoders[] = {
    [PITH_Q4_0] = decode_q4_0, [PITH_Q4_1] = decode_q4_1, [PITH_Q5_0] = decode_q5_0, [PITH_Q5_1] = decode_q5_1,
    [PITH_Q8_0] = decode_q8_0, [PITH_Q2_K] = decode_q2_k, [PITH_Q3_K] = decode_q3_k, [PITH_Q4_K] = decode_q4_k,
    [PITH_Q5_K] = decode_q5_k, [PITH_Q6_K] = decode_q6_k, [PITH_IQ4_NL] = decode_iq4_nl, [PITH_IQ4_XS] = decode_iq4_xs};

void pith_dtype_decode(pith_dtype dtype, const uint8_t *src, size_t n, float *dst) {
  if (dtype == PITH_F32) {
    memcpy(dst, src, n * sizeof *dst);
  } else if (dtype == PITH_F16) {
    for (size_t i = 0; i < n; i++) dst[i] = half_at(src + 2 * i);
  } else if (dtype == PITH_BF16) {
    for (size_t i = 0; i < n; i++) dst[i] = pith_bf16_to_f32((uint16_t)u16_at(src + 2 * i));
  } else {
    const size_t n_bytes = pith_dtype_bytes(dtype), n_elems = pith_dtype_elems(dtype);
    for (size_t i = 0; i < n; i++) decoders[dtype](src + i * n_bytes, dst + i * n_elems);
  }
}
