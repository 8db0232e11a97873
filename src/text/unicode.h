/* Unicode as the tokenizers need it: categories, decomposition and composition, lower case. Tables are generated. */
#ifndef PITH_UNICODE_H
#define PITH_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "base/utf8.h"

/* General categories as bits. Three groups stand apart, so that \s and \w are sets of bits too: the controls that are white space, the symbols
 * that count as letters (circled ones), and the Latin-1 fractions and superscripts, which \w of Oniguruma has. */
enum {
  PITH_LU = 1 << 0, PITH_LL = 1 << 1, PITH_LT = 1 << 2, PITH_LM = 1 << 3, PITH_LO = 1 << 4,
  PITH_MN = 1 << 5, PITH_MC = 1 << 6, PITH_ME = 1 << 7, PITH_ND = 1 << 8, PITH_NL = 1 << 9, PITH_NO = 1 << 10,
  PITH_PC = 1 << 11, PITH_PD = 1 << 12, PITH_PS = 1 << 13, PITH_PE = 1 << 14, PITH_PI = 1 << 15, PITH_PF = 1 << 16, PITH_PO = 1 << 17,
  PITH_SM = 1 << 18, PITH_SC = 1 << 19, PITH_SK = 1 << 20, PITH_SO = 1 << 21, PITH_ZS = 1 << 22, PITH_ZL = 1 << 23, PITH_ZP = 1 << 24,
  PITH_CC = 1 << 25, PITH_CF = 1 << 26, PITH_CO = 1 << 27, PITH_CN = 1 << 28, PITH_CC_SPACE = 1 << 29, PITH_SO_WORD = 1 << 30
};
#define PITH_NO_WORD (1u << 31)
enum {
  PITH_LETTER = PITH_LU | PITH_LL | PITH_LT | PITH_LM | PITH_LO,
  PITH_MARK = PITH_MN | PITH_MC | PITH_ME,
  PITH_PUNCTUATION = PITH_PC | PITH_PD | PITH_PS | PITH_PE | PITH_PI | PITH_PF | PITH_PO,
  PITH_SYMBOL = PITH_SM | PITH_SC | PITH_SK | PITH_SO | PITH_SO_WORD,
  PITH_SEPARATOR = PITH_ZS | PITH_ZL | PITH_ZP,
  PITH_SPACE = PITH_SEPARATOR | PITH_CC_SPACE,                                          /* White_Space */
  PITH_OTHER = PITH_CC | PITH_CC_SPACE | PITH_CF | PITH_CO,                             /* assigned, and neither letter nor mark nor … */
  PITH_WORD = PITH_LETTER | PITH_MARK | PITH_ND | PITH_NL | PITH_PC | PITH_SO_WORD      /* \w but for joiners (UTS 18) */
};
#define PITH_NUMBER ((uint32_t)(PITH_ND | PITH_NL | PITH_NO) | PITH_NO_WORD)

/* The bit of a code point's category. */
uint32_t pith_unicode_flags(uint32_t code_point);
/* The full lower case of one code point, without context: 1 or 2 of them into out. */
size_t pith_unicode_lower(uint32_t code_point, uint32_t out[2]);

/* What the normalisation forms need, unpacked: some 40 KB. Read by any number of threads.
 * Few tokenizers normalise for compatibility (NFKC, NFKD), and the tables for it are large: a program that does without (pith_unicode_compatible
 * is NULL; verbs/inference.c) refuses with PITH_E_INCOMPLETE. */
typedef struct pith_unicode_forms pith_unicode_forms;
pith_status pith_unicode_forms_open(pith_ctx *ctx, bool compatible, pith_unicode_forms **out);
typedef struct pith_unicode_decompositions pith_unicode_decompositions;
extern const pith_unicode_decompositions *const pith_unicode_compatible;
void pith_unicode_forms_close(pith_ctx *ctx, pith_unicode_forms *forms);
uint32_t pith_unicode_combining_class(const pith_unicode_forms *forms, uint32_t code_point);
/* The full decomposition, not yet ordered: canonical, or also of compatibility. */
enum { PITH_MAX_DECOMPOSITION = 18 };
size_t pith_unicode_decompose(const pith_unicode_forms *forms, uint32_t code_point, bool compatible, uint32_t out[PITH_MAX_DECOMPOSITION]);
/* What two code points compose to, 0 if nothing. */
uint32_t pith_unicode_compose(const pith_unicode_forms *forms, uint32_t first, uint32_t second);

/* For the tables: a number in seven bits a byte, the lowest first, which *at then stands behind. */
uint32_t pith_unicode_take_varint(const uint8_t **at);

/* For messages: the bytes of at most 80 that end no character in its middle. PITH_CUT gives the two arguments of a %.*s. */
int pith_cut(const char *text, size_t n_bytes);
#define PITH_CUT(text) pith_cut(text, strlen(text)), text

#endif
