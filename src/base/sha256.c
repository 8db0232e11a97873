#include "base/sha256.h"

#include <string.h>

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

static uint32_t big_endian(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* One round. The caller hands the eight words in rotated order, so that none of them moves; w is the schedule's word plus the constant. */
#define ROUND(a, b, c, d, e, f, g, h, w)                                                                       \
  do {                                                                                                         \
    const uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + (w);        \
    d += t1;                                                                                                   \
    h = t1 + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));                       \
  } while (0)

static __attribute__((noinline)) void compress_block(uint32_t state[8], const uint8_t *block) {
  uint32_t w[16];   /* the last sixteen words of the schedule, in a ring */
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
  for (int i = 0; i < 16; i++) w[i] = big_endian(block + 4 * i);
  for (int i = 0; i < 64; i += 16) {
#define WORD(n) (w[k + (n)] + round_constants[i + k + (n)])
    for (int k = 0; k < 16; k += 8) {
      ROUND(a, b, c, d, e, f, g, h, WORD(0));
      ROUND(h, a, b, c, d, e, f, g, WORD(1));
      ROUND(g, h, a, b, c, d, e, f, WORD(2));
      ROUND(f, g, h, a, b, c, d, e, WORD(3));
      ROUND(e, f, g, h, a, b, c, d, WORD(4));
      ROUND(d, e, f, g, h, a, b, c, WORD(5));
      ROUND(c, d, e, f, g, h, a, b, WORD(6));
      ROUND(b, c, d, e, f, g, h, a, WORD(7));
    }
    for (int k = 0; k < 16; k++) {
      const uint32_t w1 = w[(k + 1) & 15], w14 = w[(k + 14) & 15];
      w[k] += (rotate(w1, 7) ^ rotate(w1, 18) ^ (w1 >> 3)) + w[(k + 9) & 15] + (rotate(w14, 17) ^ rotate(w14, 19) ^ (w14 >> 10));
    }
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void pith_sha256_hex(const uint8_t hash[PITH_SHA256_BYTES], char hex[65]) {
  for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[hash[i / 2] >> (i % 2 ? 0 : 4) & 15];
  hex[64] = '\0';
}

void pith_sha256_init(pith_sha256 *sha) {
  static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(sha->state, start, sizeof start);
  sha->n_bytes = 0;
}

void pith_sha256_update(pith_sha256 *sha, const void *src, size_t n_bytes) {
  const uint8_t *from = src;
  while (n_bytes > 0) {
    const size_t used = (size_t)(sha->n_bytes % 64), room = 64 - used;
    if (used == 0 && n_bytes >= 64) {
      compress_block(sha->state, from);
      sha->n_bytes += 64;
      from += 64;
      n_bytes -= 64;
      continue;
    }
    const size_t n = n_bytes < room ? n_bytes : room;
    memcpy(sha->block + used, from, n);
    sha->n_bytes += n;
    from += n;
    n_bytes -= n;
    if (used + n == 64) compress_block(sha->state, sha->block);
  }
}

void pith_sha256_final(pith_sha256 *sha, char hex[65]) {
  const uint64_t n_bits = sha->n_bytes * 8;
  const uint8_t one = 0x80, zero = 0;
  pith_sha256_update(sha, &one, 1);
  while (sha->n_bytes % 64 != 56) pith_sha256_update(sha, &zero, 1);
  uint8_t length[8];
  for (int i = 0; i < 8; i++) length[i] = (uint8_t)(n_bits >> (56 - 8 * i));
  pith_sha256_update(sha, length, 8);
  uint8_t hash[PITH_SHA256_BYTES];
  for (int i = 0; i < PITH_SHA256_BYTES; i++) hash[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
  pith_sha256_hex(hash, hex);
}
