/* SHA-256 (FIPS 180-4), streaming. */
#ifndef PITH_SHA256_H
#define PITH_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define PITH_SHA256_BYTES 32

typedef struct pith_sha256 {
  uint32_t state[8];
  uint64_t n_bytes;
  uint8_t block[64];
} pith_sha256;

void pith_sha256_init(pith_sha256 *sha);
void pith_sha256_update(pith_sha256 *sha, const void *src, size_t n_bytes);
/* Lower-case hex and a NUL. `sha` is spent afterwards. */
void pith_sha256_final(pith_sha256 *sha, char hex[65]);
/* The same of a hash that was computed elsewhere. */
void pith_sha256_hex(const uint8_t hash[PITH_SHA256_BYTES], char hex[65]);

#endif
