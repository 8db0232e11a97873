/* The four normalisation forms (Unicode Standard Annex 15). */
#include <string.h>

#include "text/text_internal.h"
#include "text/unicode.h"

typedef struct mark {
  uint32_t code_point, class;
  bool from_origin;
} mark;

/* A growing list of marks; the first few need no memory of their own. */
typedef struct marks {
  mark first[32], *more;
  size_t n, capacity;
} marks;

typedef struct form {
  pith_ctx *ctx;
  const pith_text_op *op;
  bool drop_nonspacing;
  marks run;                 /* decomposed: a starter and what combines with it, or the latter alone at the beginning */
  bool has_starter;          /* composing: the last starter waits for what may still join it, `kept` is what stands between */
  mark starter;
  marks kept;
  size_t origin_out;
  pith_buffer *out;
} form;

static mark *list_of(marks *list) { return list->more ? list->more : list->first; }

static pith_status append(pith_ctx *ctx, marks *list, const mark *m) {
  const size_t capacity = list->more ? list->capacity : sizeof list->first / sizeof *list->first;
  if (list->n == capacity) {
    mark *grown;
    PITH_TRY(pith_malloc(ctx, 2 * capacity * sizeof *grown, &grown));
    memcpy(grown, list_of(list), list->n * sizeof *grown);
    pith_free(ctx, list->more);
    list->more = grown;
    list->capacity = 2 * capacity;
  }
  list_of(list)[list->n++] = *m;
  return PITH_OK;
}

static pith_status put(form *f, const mark *m) {
  if (f->drop_nonspacing && pith_unicode_flags(m->code_point) & PITH_MN) return PITH_OK;
  PITH_TRY(pith_append_code_point(f->ctx, f->out, m->code_point));
  if (m->from_origin) f->origin_out = f->out->n_bytes;
  return PITH_OK;
}

static pith_status put_starter(form *f) {
  if (f->has_starter) PITH_TRY(put(f, &f->starter));
  f->has_starter = false;
  for (size_t i = 0; i < f->kept.n; i++) PITH_TRY(put(f, &list_of(&f->kept)[i]));
  f->kept.n = 0;
  return PITH_OK;
}

/* A mark joins the starter unless one of its own or a higher class stands between; a starter does unless anything stands between. */
static pith_status compose(form *f, const mark *m) {
  const uint32_t between = f->kept.n ? list_of(&f->kept)[f->kept.n - 1].class : 0;
  if (f->has_starter && (f->kept.n == 0 || between < m->class)) {
    const uint32_t composite = pith_unicode_compose(f->op->forms, f->starter.code_point, m->code_point);
    if (composite) {
      f->starter.code_point = composite;
      return PITH_OK;
    }
  }
  if (m->class != 0) return f->has_starter ? append(f->ctx, &f->kept, m) : put(f, m);
  PITH_TRY(put_starter(f));
  f->starter = *m;
  f->has_starter = true;
  return PITH_OK;
}

/* Stable, by class. A few marks are put in their places; many are counted first, so that a long run takes linear time. */
static pith_status order(pith_ctx *ctx, mark *m, size_t n) {
  if (n <= 24) {
    for (size_t i = 1; i < n; i++) {
      const mark moved = m[i];
      size_t at = i;
      for (; at > 0 && m[at - 1].class > moved.class; at--) m[at] = m[at - 1];
      m[at] = moved;
    }
    return PITH_OK;
  }
  mark *sorted;
  size_t begins[257] = {0};
  PITH_TRY(pith_malloc(ctx, n * sizeof *sorted, &sorted));
  for (size_t i = 0; i < n; i++) begins[m[i].class + 1]++;
  for (size_t i = 1; i < 257; i++) begins[i] += begins[i - 1];
  for (size_t i = 0; i < n; i++) sorted[begins[m[i].class]++] = m[i];
  memcpy(m, sorted, n * sizeof *m);
  pith_free(ctx, sorted);
  return PITH_OK;
}

static pith_status end_run(form *f) {
  mark *run = list_of(&f->run);
  PITH_TRY(order(f->ctx, run, f->run.n));   /* a starter's class is 0: it stays in front */
  for (size_t i = 0; i < f->run.n; i++) PITH_TRY(f->op->compose ? compose(f, &run[i]) : put(f, &run[i]));
  f->run.n = 0;
  return PITH_OK;
}

static pith_status add_character(form *f, uint32_t c, bool from_origin) {
  uint32_t parts[PITH_MAX_DECOMPOSITION];
  const size_t n = pith_unicode_decompose(f->op->forms, c, f->op->compatible, parts);
  for (size_t k = 0; k < n; k++) {
    const mark m = {parts[k], pith_unicode_combining_class(f->op->forms, parts[k]), from_origin};
    if (m.class == 0) PITH_TRY(end_run(f));
    PITH_TRY(append(f->ctx, &f->run, &m));
  }
  return PITH_OK;
}

pith_status pith_unicode_form(pith_ctx *ctx, const pith_text_op *op, bool drop_nonspacing, const char *text, size_t n_bytes, size_t *origin,
                              pith_buffer *out) {
  form f = {.ctx = ctx, .op = op, .drop_nonspacing = drop_nonspacing, .out = out};
  pith_status status = PITH_OK;
  for (size_t i = 0; i < n_bytes && status == PITH_OK;) {
    uint32_t c;
    const size_t n = pith_utf8_decode(text + i, n_bytes - i, &c);
    status = add_character(&f, c, i < *origin);
    i += n;
  }
  if (status == PITH_OK) status = end_run(&f);
  if (status == PITH_OK) status = put_starter(&f);
  *origin = f.origin_out;
  pith_free(ctx, f.run.more);
  pith_free(ctx, f.kept.more);
  return status;
}
