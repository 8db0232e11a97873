/* The constants of exp and erf, shared by math.c's scalar definitions and by math_simd128.h. They are data of another file on purpose:
 * a vector loop then loads each once and keeps it, where engines rebuild a literal vector at every use. */
#ifndef PITH_COEFFICIENTS_H
#define PITH_COEFFICIENTS_H

/* exp(x) = 2^n · p(r), n = round(x · log2_e), r = (x − n · ln2_high) + n · minus_ln2_low; p = 1 + r + c[0] r² + … + c[4] r⁶ */
typedef struct pith_exp_terms {
  float lowest, highest;    /* below: 0; above: as at it */
  float log2_e, ln2_high, minus_ln2_low;
  float c[5];
  float round_magic;        /* 1.5 · 2^23: adding it rounds |x| < 2^22 to a whole number, half to even */
} pith_exp_terms;
extern const pith_exp_terms pith_exp_constants;

/* 2^x = 2^n · p(r), n = round(x), p = 1 + c[0] r + … + c[3] r⁴ */
typedef struct pith_exp2_terms {
  float lowest;             /* below: 0 */
  float round_magic;
  float c[4];
} pith_exp2_terms;
extern const pith_exp2_terms pith_exp2_constants;

/* erf(x) = x · P(x²) / Q(x²), highest power first; Q ends in 1 */
typedef struct pith_erf_terms {
  float highest;            /* |x| from here on: ±1 */
  float p[6], q[6];
} pith_erf_terms;
extern const pith_erf_terms pith_erf_constants;

#endif
