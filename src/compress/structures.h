/* What it costs to prune each half-layer to each of some sizes: of its heads, in whole groups that share keys and values, or its neurons. One
 * elimination (surgeon.h) gives all sizes of a half one after the other, on the inputs that the parent gives it; with each, the weights that stay
 * solved for, the half is run as sensitivity.h runs it with one encoding, on rows that the solution has not seen. What an error of that kind is worth
 * at the end is found by carrying the rows of one size, near the half of the units, through the rest of the parent. */
#ifndef PITH_STRUCTURES_H
#define PITH_STRUCTURES_H

#include "compress/calibrate.h"
#include "compress/surgeon.h"

enum { PITH_MAX_SIZES = 8 };

typedef struct pith_half_sizes {
  uint32_t n, probe;
  int32_t n_units, kept[PITH_MAX_SIZES]; /* all of them first */
  double errors[PITH_MAX_SIZES], losses[PITH_MAX_SIZES];   /* as pith_choice has them; of the first 0 */
} pith_half_sizes;

typedef enum pith_structures_unit { PITH_STRUCTURES_COLLECT, PITH_STRUCTURES_REMOVE, PITH_STRUCTURES_TRY } pith_structures_unit;

typedef struct pith_structures {
  pith_half_sizes *halves;               /* (2 * layers): attention, feed-forward, … */
  uint32_t n_halves;
  bool known;                            /* all of it was read */
  /* at hand */
  pith_structures_unit unit;
  uint32_t size;
  pith_surgeon surgeon;
  double *means;                         /* (cols) of the inputs */
  float *panels, *bias;                  /* of the matrix that reads the units, solved for; zero columns in the places of those that are gone */
  pith_part part;
  pith_weight weight, weight_bias;       /* made of them */
  float *rows;                           /* (n_rows, hidden): the probe's */
} pith_structures;

/* Zero-initialise first. PITH_E_UNSUPPORTED where attention and feed-forward are parallel. */
pith_status pith_structures_begin(pith_ctx *ctx, pith_structures *s, const pith_config *config);
/* The weight whose columns are the units'. */
uint32_t pith_structures_reader(int half);
/* Until PITH_OK: `weight` is the half's reader at `size`, its bias the next; or size is past the last. held_out: the first rows of the calibration are
 * not looked at. */
pith_status pith_structures_step(pith_ctx *ctx, pith_structures *s, pith_calibration *calibration, int32_t stage, int half, uint32_t held_out);
/* The size was tried. */
void pith_structures_next(pith_ctx *ctx, pith_structures *s, int32_t stage, int half, double error);
pith_json *pith_structures_print(const pith_structures *s, bool complete);
/* Sets `known` where the list has every loss. */
void pith_structures_read(pith_structures *s, const pith_json *list);
void pith_structures_free(pith_ctx *ctx, pith_structures *s);

#endif
