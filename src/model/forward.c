#include "model/forward_internal.h"

#include <string.h>

enum { SCRATCH_PANELS = 8 };
static bool is_u4(const pith_matrix *m) { return m->encoding == PITH_ENC_U4 || m->encoding == PITH_ENC_U4_MIN; }
static bool is_u7(const pith_matrix *m) { return m->encoding == PITH_ENC_U7 || m->encoding == PITH_ENC_U7_BLOCK; }
static bool is_integer(const pith_matrix *m) { return is_u7(m) || is_u4(m); }

static size_t groups_of(size_t cols, uint32_t group_size) { return group_size ? (cols + group_size - 1) / group_size : 0; }

static bool uses_rope(const pith_config *c) { return c->rope_theta > 0.0; }

/* What the weights ask for: the widest input, the most groups of any u7 matrix, the largest scratch in floats. */
typedef struct demands {
  size_t widest, groups, scratch;
} demands;

static demands demands_of(const pith_weights *weights) {
  demands d = {0, 1, 0};
  for (uint32_t s = 0; s < weights->n_stages; s++)
    for (int i = 0; i < PITH_N_LAYER_WEIGHTS; i++) {
      const pith_matrix *m = &weights->stages[s].weights[i].matrix;
      if (!m->n_parts) continue;
      const size_t groups = groups_of(m->cols, m->group_size);
      const size_t panel = m->encoding == PITH_ENC_F16 ? (size_t)m->cols * PITH_PANEL : groups * PITH_PANEL * (is_u4(m) ? 2 : 1);
      if (m->cols > d.widest) d.widest = m->cols;
      if (groups > d.groups) d.groups = groups;
      if (panel * SCRATCH_PANELS > d.scratch) d.scratch = panel * SCRATCH_PANELS;
    }
  return d;
}

/* Both planning and taking walk this one list, so they cannot disagree. */
typedef struct piece {
  void *pointer;             /* address of the buffer's pointer */
  uint64_t n_elems, elem_bytes;
} piece;

static uint32_t list_pieces(pith_forward *f, piece out[20]) {
  const pith_config *c = f->config;
  const demands d = demands_of(f->weights);
  const uint64_t rows = f->max_rows, h = (uint64_t)c->hidden_size, hd = (uint64_t)c->head_dim, q = (uint64_t)c->n_heads * hd;
  const uint64_t kv = (uint64_t)c->n_kv_heads * hd, ff = (uint64_t)c->intermediate_size;
  const uint64_t rope = uses_rope(c) ? (uint64_t)f->max_context * (uint64_t)c->rotary_dim / 2 : 0;
  const uint64_t blocks = pith_round_up(f->max_rows, PITH_ROWS);   /* rows in whole blocks */
  const pith_attention_sizes sizes = pith_attention_sizes_of(f);
  f->scratch_floats = pith_round_up(d.scratch > sizes.scratch_floats ? d.scratch : sizes.scratch_floats, PITH_ALIGN / sizeof(float));   /* no two threads in a cache line */
  const piece pieces[] = {
      {&f->x, rows * h, 4}, {&f->h, rows * h, 4}, {&f->q, rows * q, 4}, {&f->k, rows * kv, 4}, {&f->v, rows * kv, 4},
      {&f->attended, rows * q, 4}, {&f->up, rows * ff, 4}, {&f->gate, rows * ff, 4}, {&f->keys, sizes.keys, sizes.elem_bytes},
      {&f->values, sizes.values, sizes.elem_bytes}, {&f->key_scales, sizes.scales, 4}, {&f->value_scales, sizes.scales, 4}, {&f->cos, rope, 4}, {&f->sin, rope, 4},
      {&f->scratch, f->n_threads * f->scratch_floats, 4}, {&f->activations.codes, blocks * pith_round_up(d.widest, PITH_QUAD), f->kernels->act_elem_bytes},
      {&f->activations.scales, blocks * d.groups, 4}, {&f->activations.offsets, blocks * d.groups, 4}};
  memcpy(out, pieces, sizeof pieces);
  return sizeof pieces / sizeof *pieces;
}

static void set_bounds(const pith_ctx *ctx, pith_forward *f, const pith_config *config, const pith_weights *weights, const pith_kernels *kernels, uint32_t max_rows,
                       uint32_t max_context) {
  memset(f, 0, sizeof *f);
  f->config = config;
  f->weights = weights;
  f->kernels = kernels;
  f->parallel = ctx->parallel;
  f->n_threads = pith_parallel_threads(ctx->parallel);
  f->max_rows = max_rows;
  f->max_context = max_context;
  f->n_cached_layers = config->family->task == PITH_TASK_GENERATE ? (uint32_t)config->n_layers : 1;
}

bool pith_forward_plan(const pith_ctx *ctx, const pith_config *config, const pith_weights *weights, const pith_kernels *kernels, uint32_t max_rows,
                       uint32_t max_context, uint64_t *n_bytes) {
  pith_forward f;
  piece pieces[20];
  set_bounds(ctx, &f, config, weights, kernels, max_rows, max_context);
  const uint32_t n = list_pieces(&f, pieces);
  *n_bytes = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t bytes;
    if (!pith_mul_u64(pieces[i].n_elems, pieces[i].elem_bytes, &bytes) || bytes > SIZE_MAX / 4) return false;
    if (!pith_add_u64(*n_bytes, pith_round_up((size_t)bytes, PITH_ALIGN), n_bytes) || *n_bytes > SIZE_MAX / 2) return false;
  }
  return true;
}

/* As the reference implementation computes them: inverse frequency and angle are rounded to f32. */
static void fill_rope(pith_forward *f) {
  const int32_t half = f->config->rotary_dim / 2;
  const double log_theta = pith_log(f->config->rope_theta);
  for (int32_t i = 0; i < half; i++) {
    const float inverse = (float)pith_exp(-log_theta * (2.0 * i) / f->config->rotary_dim);
    for (uint32_t p = 0; p < f->max_context; p++) {
      double s, c;
      pith_sincos((double)((float)p * inverse), &s, &c);
      f->cos[(size_t)p * (size_t)half + (size_t)i] = (float)c;
      f->sin[(size_t)p * (size_t)half + (size_t)i] = (float)s;
    }
  }
}

pith_status pith_forward_init(pith_ctx *ctx, pith_forward *forward, const pith_config *config, const pith_weights *weights,
                              const pith_kernels *kernels, uint32_t max_rows, uint32_t max_context, pith_arena *arena) {
  piece pieces[20];
  set_bounds(ctx, forward, config, weights, kernels, max_rows, max_context);
  const uint32_t n = list_pieces(forward, pieces);
  for (uint32_t i = 0; i < n; i++) {
    void *ptr = pith_arena_take(arena, (size_t)(pieces[i].n_elems * pieces[i].elem_bytes));
    if (!ptr) return pith_fail(ctx, PITH_E_INTERNAL, "the arena's plan was too small");
    memcpy(pieces[i].pointer, &ptr, sizeof ptr);
  }
  if (uses_rope(config)) fill_rope(forward);
  pith_attention_init(forward);
  return PITH_OK;
}

/* ---- products: divided over panels of outputs ---- */

typedef struct product_work {
  pith_forward *f;
  const pith_matrix *m;
  const float *bias;         /* (rows) or NULL */
  bool accumulate;           /* to what is in y */
  uint32_t n_rows;
  const float *x;
  float *y;
  size_t x_stride, y_stride;
  size_t panel_begin, panel_end;
} product_work;

/* Outputs [begin, end) of a matrix part; begin is a panel's first. y: the column of `begin`. */
static void product_u7(const product_work *w, const pith_part *part, uint32_t begin, uint32_t end, const float *bias, float *y, float *scratch) {
  const pith_forward *f = w->f;
  const pith_matrix *m = w->m;
  const size_t n_groups = groups_of(m->cols, m->group_size), n_quads = (m->cols + PITH_QUAD - 1) / PITH_QUAD;
  pith_activations a = f->activations;
  a.n_groups = n_groups;
  for (; begin < end; begin += SCRATCH_PANELS * PITH_PANEL, y += SCRATCH_PANELS * PITH_PANEL) {
    const size_t panel = begin / PITH_PANEL, left = end - begin;
    const size_t n = left < SCRATCH_PANELS * PITH_PANEL ? left : SCRATCH_PANELS * PITH_PANEL;
    const size_t at = panel * n_groups * PITH_PANEL, n_scales = (n + PITH_PANEL - 1) / PITH_PANEL * n_groups * PITH_PANEL;
    const float *scales = (const float *)part->scales + at;
    if (m->scale_dtype == PITH_F16) {
      f->kernels->f16_to_f32(n_scales, (const uint16_t *)part->scales + at, scratch);
      scales = scratch;
    }
    const float *b = bias ? bias + begin : NULL;
    if (m->encoding == PITH_ENC_U7_BLOCK) {
      const pith_sparse_panels panels = {part->codes, part->quads, part->starts + panel * n_groups};
      f->kernels->gemm_i8u7_sparse_f32(w->n_rows, n, m->cols, m->group_size, &a, &panels, scales, b, w->accumulate, y, w->y_stride);
    } else {
      f->kernels->gemm_i8u7_f32(w->n_rows, n, m->cols, m->group_size, &a, (const uint8_t *)part->codes + panel * n_quads * PITH_BLOCK, scales, b,
                                w->accumulate, y, w->y_stride);
    }
  }
}

static void product_u4(const product_work *w, const pith_part *part, uint32_t begin, uint32_t end, const float *bias, float *y, float *scratch) {
  const pith_forward *f = w->f;
  const pith_matrix *m = w->m;
  const size_t n_groups = groups_of(m->cols, m->group_size), panel_bytes = (m->cols + 2 * PITH_QUAD - 1) / (2 * PITH_QUAD) * PITH_PANEL * PITH_QUAD;
  pith_activations a = f->activations;
  a.n_groups = n_groups;
  for (; begin < end; begin += SCRATCH_PANELS * PITH_PANEL, y += SCRATCH_PANELS * PITH_PANEL) {
    const size_t panel = begin / PITH_PANEL, left = end - begin;
    const size_t n = left < SCRATCH_PANELS * PITH_PANEL ? left : SCRATCH_PANELS * PITH_PANEL, groups = (n + PITH_PANEL - 1) / PITH_PANEL * n_groups;
    if (m->encoding == PITH_ENC_U4) f->kernels->u4_scales(groups, (const uint8_t *)part->scales + panel * n_groups * PITH_U4_GROUP_BYTES, scratch);
    else f->kernels->f16_to_f32(groups * 2 * PITH_PANEL, (const uint16_t *)part->scales + panel * n_groups * 2 * PITH_PANEL, scratch);
    f->kernels->gemm_i8u4_f32(w->n_rows, n, m->cols, m->group_size, &a, (const uint8_t *)part->codes + panel * panel_bytes, scratch,
                              bias ? bias + begin : NULL, w->accumulate, y, w->y_stride);
  }
}

static void product_f16(const product_work *w, const pith_part *part, uint32_t begin, uint32_t end, const float *bias, float *y, float *scratch) {
  const size_t panel_floats = (size_t)w->m->cols * PITH_PANEL;
  for (; begin < end; begin += SCRATCH_PANELS * PITH_PANEL, y += SCRATCH_PANELS * PITH_PANEL) {
    const size_t left = end - begin, n = left < SCRATCH_PANELS * PITH_PANEL ? left : SCRATCH_PANELS * PITH_PANEL;
    w->f->kernels->f16_to_f32((n + PITH_PANEL - 1) / PITH_PANEL * panel_floats,
                              (const uint16_t *)part->codes + begin / PITH_PANEL * panel_floats, scratch);
    w->f->kernels->gemm_f32(w->n_rows, n, w->m->cols, w->x, w->x_stride, scratch, panel_floats, bias ? bias + begin : NULL, w->accumulate, y, w->y_stride);
  }
}

static void product_f32(const product_work *w, const pith_part *part, uint32_t begin, uint32_t end, const float *bias, float *y) {
  const size_t panel_floats = (size_t)w->m->cols * PITH_PANEL;
  w->f->kernels->gemm_f32(w->n_rows, end - begin, w->m->cols, w->x, w->x_stride, (const float *)part->codes + begin / PITH_PANEL * panel_floats,
                          panel_floats, bias ? bias + begin : NULL, w->accumulate, y, w->y_stride);
}

static void product_panels(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const product_work *w = arg;
  const pith_matrix *m = w->m;
  const size_t n_panels = w->panel_end - w->panel_begin, first = (w->panel_begin + pith_share_begin(n_panels, part, n_parts)) * PITH_PANEL;
  const size_t past = (w->panel_begin + pith_share_end(n_panels, part, n_parts)) * PITH_PANEL, last = past < m->rows ? past : m->rows;
  float *scratch = w->f->scratch + thread * w->f->scratch_floats;
  for (uint32_t i = 0; i < m->n_parts; i++) {
    const pith_part *p = &m->parts[i];
    const size_t from = first > p->row_begin ? first : p->row_begin, to = last < p->row_begin + p->n_rows ? last : p->row_begin + p->n_rows;
    if (from >= to) continue;
    const uint32_t begin = (uint32_t)from - p->row_begin, end = (uint32_t)to - p->row_begin;
    const float *bias = w->bias ? w->bias + p->row_begin : NULL;
    float *y = w->y + from;
    if (is_u7(m)) product_u7(w, p, begin, end, bias, y, scratch);
    else if (is_u4(m)) product_u4(w, p, begin, end, bias, y, scratch);
    else if (m->encoding == PITH_ENC_F16) product_f16(w, p, begin, end, bias, y, scratch);
    else product_f32(w, p, begin, end, bias, y);
  }
}

/* Rows [begin, begin + n) of x, begin a block's first, as codes for the products with m. */
static void quantize(const pith_forward *f, const pith_matrix *m, size_t begin, size_t n, const float *x, size_t x_stride) {
  pith_activations a = f->activations;
  a.n_groups = groups_of(m->cols, m->group_size);
  a.codes = (uint8_t *)a.codes + begin * pith_round_up(m->cols, PITH_QUAD) * f->kernels->act_elem_bytes;
  a.scales += begin * a.n_groups;
  a.offsets += begin * a.n_groups;
  f->kernels->quantize_i8(n, m->cols, m->group_size, x + begin * x_stride, x_stride, &a);
}

static size_t blocks_of(size_t n_rows) { return (n_rows + PITH_ROWS - 1) / PITH_ROWS; }

/* The rows of a part, whole blocks of them: from *begin on. Returns their number. */
static size_t part_rows(size_t n_rows, uint32_t part, uint32_t n_parts, size_t *begin) {
  const size_t blocks = blocks_of(n_rows), end = pith_share_end(blocks, part, n_parts) * PITH_ROWS;
  *begin = pith_share_begin(blocks, part, n_parts) * PITH_ROWS;
  return (end < n_rows ? end : n_rows) - *begin;
}

static void quantize_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const product_work *w = arg;
  size_t begin;
  const size_t n = part_rows(w->n_rows, part, n_parts, &begin);
  (void)thread;
  quantize(w->f, w->m, begin, n, w->x, w->x_stride);
}

static size_t panels_of(const pith_matrix *m) { return (m->rows + PITH_PANEL - 1) / PITH_PANEL; }

/* Panels [begin, end) of the outputs. x is quantised unless it lies there so. */
static void product_range(pith_forward *f, const pith_matrix *m, const float *bias, bool accumulate, uint32_t n_rows, const float *x, size_t x_stride,
                          float *y, size_t y_stride, size_t begin, size_t end) {
  product_work w = {f, m, bias, accumulate, n_rows, x, y, x_stride, y_stride, begin, end};
  const bool integer = is_integer(m);
  if (integer && f->quantized_group != m->group_size) {
    pith_parallel_run(f->parallel, pith_parallel_parts(f->parallel, blocks_of(n_rows), PITH_ROWS * m->cols * QUANTIZE_NS), quantize_rows, &w);
    f->quantized_group = m->group_size;
  }
  const double panel = (double)m->cols * PITH_PANEL, work_ns = panel * n_rows * (integer ? MAC_U7_NS : MAC_F32_NS);
  const double read_ns = panel * (integer ? 1 : m->encoding == PITH_ENC_F16 ? 2 : 4) * BYTE_NS;
  pith_parallel_run(f->parallel, pith_parallel_parts(f->parallel, end - begin, work_ns > read_ns ? work_ns : read_ns), product_panels, &w);
}

void pith_forward_product(pith_forward *f, const pith_matrix *m, const float *bias, uint32_t n_rows, const float *x, size_t x_stride, float *y,
                          size_t y_stride) {
  f->quantized_group = 0;
  product_range(f, m, bias, false, n_rows, x, x_stride, y, y_stride, 0, panels_of(m));
  f->quantized_group = 0;
}

/* ---- what is done row by row: divided over rows ---- */

typedef struct row_work {
  pith_forward *f;
  const pith_stage *stage;
  int norm;                  /* the weight's id; -1: none */
  const float *x;
  float *y;
  size_t n_heads;            /* of y: queries or keys */
  const pith_matrix *reader; /* of the outcome, which becomes codes while it is near where that is an integer product; or NULL */
} row_work;

static void over_rows(pith_forward *f, double row_ns, pith_work *work, row_work *w) {
  pith_parallel_run(f->parallel, pith_parallel_parts(f->parallel, f->n_rows, row_ns), work, w);
}

/* The same in whole blocks. The outcome is what the next product reads, so what is left in codes is of no more use. */
static void over_blocks(pith_forward *f, double row_ns, pith_work *work, row_work *w) {
  if (w->reader && !is_integer(w->reader)) w->reader = NULL;
  if (w->reader) row_ns += w->reader->cols * QUANTIZE_NS;
  pith_parallel_run(f->parallel, pith_parallel_parts(f->parallel, blocks_of(f->n_rows), PITH_ROWS * row_ns), work, w);
  f->quantized_group = w->reader ? w->reader->group_size : 0;
}

/* The rows of a span that are in the part: [*from, *to), counted in the batch. */
static void span_rows(const pith_forward *f, const pith_span *span, uint32_t part, uint32_t n_parts, uint32_t *from, uint32_t *to) {
  const uint32_t begin = (uint32_t)pith_share_begin(f->n_rows, part, n_parts), end = (uint32_t)pith_share_end(f->n_rows, part, n_parts);
  *from = span->row > begin ? span->row : begin;
  *to = span->row + span->n_rows < end ? span->row + span->n_rows : end;
}

static void embed_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const row_work *w = arg;
  const pith_forward *f = w->f;
  const pith_weight *weights = w->stage->weights;
  const size_t h = (size_t)f->config->hidden_size;
  (void)thread;
  for (uint32_t s = 0; s < f->n_spans; s++) {
    uint32_t row, to;
    for (span_rows(f, &f->spans[s], part, n_parts, &row, &to); row < to; row++) {
      float *x = f->x + row * h, *other = f->h + row * h;
      pith_matrix_row(&weights[PITH_EMBED_TOKENS].matrix, (uint32_t)f->ids[row], x);
      /* token types before positions, as the reference adds them */
      if (weights[PITH_EMBED_TYPES].matrix.n_parts) {
        pith_matrix_row(&weights[PITH_EMBED_TYPES].matrix, f->types ? (uint32_t)f->types[row] : 0, other);
        f->kernels->add(h, other, x);
      }
      if (weights[PITH_EMBED_POSITIONS].matrix.n_parts) {
        const uint32_t position = f->spans[s].position + (row - f->spans[s].row);
        pith_matrix_row(&weights[PITH_EMBED_POSITIONS].matrix, position + (uint32_t)f->config->position_offset, other);
        f->kernels->add(h, other, x);
      }
      if (weights[PITH_EMBED_NORM].vector)
        f->kernels->layer_norm(1, h, x, x, h, weights[PITH_EMBED_NORM].vector, weights[PITH_EMBED_NORM_BIAS].vector, f->config->norm_eps);
    }
  }
}

void pith_forward_resume(pith_forward *f, float *x, uint32_t n_rows, const pith_span *spans, uint32_t n_spans) {
  f->ids = NULL;
  f->x = x;
  f->n_rows = n_rows;
  f->spans = spans;
  f->n_spans = n_spans;
  f->quantized_group = 0;   /* x may be any other rows */
}

void pith_forward_begin(pith_forward *f, const int32_t *ids, uint32_t n_rows, const pith_span *spans, uint32_t n_spans) {
  f->ids = ids;
  f->n_rows = n_rows;
  f->spans = spans;
  f->n_spans = n_spans;
  f->op = 0;
  f->done = 0;
  f->quantized_group = 0;
  row_work w = {.f = f, .stage = pith_weights_stage(f->weights, -1)};
  over_rows(f, f->config->hidden_size * (3 * LOOKUP_NS + NORM_NS), embed_rows, &w);
}

/* A token's queries or keys: each head's norm, then its rotation. */
static void place_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const row_work *w = arg;
  const pith_forward *f = w->f;
  const size_t hd = (size_t)f->config->head_dim, half = uses_rope(f->config) ? (size_t)f->config->rotary_dim / 2 : 0;
  const float *weight = w->stage->weights[w->norm].vector;
  (void)thread;
  for (uint32_t s = 0; s < f->n_spans; s++) {
    uint32_t row, to;
    for (span_rows(f, &f->spans[s], part, n_parts, &row, &to); row < to; row++) {
      const size_t p = f->spans[s].position + (row - f->spans[s].row);
      float *heads = w->y + row * w->n_heads * hd;
      if (weight) f->kernels->rms_norm(w->n_heads, hd, heads, heads, hd, weight, f->config->norm_eps);
      for (size_t head = 0; half > 0 && head < w->n_heads; head++) f->kernels->rope_half(half, heads + head * hd, f->cos + p * half, f->sin + p * half);
    }
  }
}

static void place(pith_forward *f, const pith_stage *stage, int norm_id, float *rows, int32_t n_heads) {
  row_work w = {.f = f, .stage = stage, .norm = norm_id, .y = rows, .n_heads = (size_t)n_heads};
  if (!uses_rope(f->config) && !stage->weights[norm_id].vector) return;
  over_rows(f, n_heads * f->config->head_dim * ADD_NS, place_rows, &w);
}

/* RMS where the family has no bias, else LayerNorm. */
static void norm_some(const row_work *w, size_t begin, size_t n, const float *x, float *y) {
  const pith_forward *f = w->f;
  const size_t h = (size_t)f->config->hidden_size;
  const float *weight = w->stage->weights[w->norm].vector, *bias = w->stage->weights[w->norm + 1].vector;
  if (bias) f->kernels->layer_norm(n, h, x + begin * h, y + begin * h, h, weight, bias, f->config->norm_eps);
  else f->kernels->rms_norm(n, h, x + begin * h, y + begin * h, h, weight, f->config->norm_eps);
}

static void norm_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const row_work *w = arg;
  const size_t h = (size_t)w->f->config->hidden_size;
  size_t begin, left = part_rows(w->f->n_rows, part, n_parts, &begin);
  (void)thread;
  for (size_t n; left > 0; begin += n, left -= n) {
    n = left < PITH_ROWS ? left : PITH_ROWS;
    norm_some(w, begin, n, w->x, w->y);
    if (w->reader) quantize(w->f, w->reader, begin, n, w->y, h);
  }
}

void pith_activate(const pith_kernels *kernels, pith_activation activation, size_t n, float *x) {
  switch (activation) {
    case PITH_GELU_ERF: kernels->gelu_erf(n, x); break;
    case PITH_GELU_TANH: kernels->gelu_tanh(n, x); break;
    case PITH_SILU: kernels->silu(n, x); break;
    case PITH_RELU: kernels->relu(n, x); break;
    case PITH_TANH:   /* of a head's few rows alone */
      for (size_t i = 0; i < n; i++) x[i] = pith_tanhf(x[i]);
      break;
  }
}

/* The gate's or the activation's function, in place. */
static void activate_some(const row_work *w, size_t n, float *up, float *gate) {
  if (gate) w->f->kernels->silu_mul(n, gate, up);
  else pith_activate(w->f->kernels, w->f->config->activation, n, up);
}

static void activate_rows(void *arg, uint32_t part, uint32_t n_parts, uint32_t thread) {
  const row_work *w = arg;
  const pith_forward *f = w->f;
  const size_t ff = (size_t)f->shape.intermediate_size;
  const bool gated = w->stage->weights[PITH_GATE].matrix.n_parts != 0;
  size_t begin, left = part_rows(f->n_rows, part, n_parts, &begin);
  (void)thread;
  for (size_t n; left > 0; begin += n, left -= n) {
    n = left < PITH_ROWS ? left : PITH_ROWS;
    activate_some(w, n * ff, f->up + begin * ff, gated ? f->gate + begin * ff : NULL);
    if (w->reader) quantize(f, w->reader, begin, n, gated ? f->gate : f->up, ff);
  }
}

static void norm(pith_forward *f, const pith_stage *stage, int id, const float *x, float *y, const pith_matrix *reader) {
  row_work w = {.f = f, .stage = stage, .norm = id, .x = x, .y = y, .reader = reader};
  over_blocks(f, f->config->hidden_size * NORM_NS, norm_rows, &w);
}

/* Some panels of a product; true when all are there. What goes to the residual stream is added to it. */
static bool project(pith_forward *f, const pith_stage *stage, int id, const float *x, size_t x_stride, float *y, double *budget) {
  const pith_matrix *m = &stage->weights[id].matrix;
  const size_t n_panels = panels_of(m), left = n_panels - f->done;
  const double panel = (double)m->cols * PITH_PANEL * (f->n_rows > 0 ? f->n_rows : 1), wished = *budget / panel;
  size_t n = wished < SCRATCH_PANELS ? SCRATCH_PANELS : wished < (double)left ? (size_t)wished : left;
  if (n > left) n = left;
  product_range(f, m, stage->weights[id + 1].vector, y == f->x, f->n_rows, x, x_stride, y, m->rows, f->done, f->done + n);
  *budget -= (double)n * panel;
  f->done += n;
  if (f->done < n_panels) return false;
  f->done = 0;
  if (y == f->x) f->quantized_group = 0;   /* what lies in codes was for this product alone */
  return true;
}

/* A layer's operations, one half after the other. */
typedef enum layer_op {
  OP_NORM_1, OP_QUERY, OP_KEY, OP_VALUE, OP_PLACE, OP_ATTEND, OP_ATTENTION_OUT, OP_ATTENTION_NORM, OP_NORM_2, OP_UP, OP_GATE, OP_ACTIVATE, OP_DOWN, OP_FEED_NORM
} layer_op;

typedef struct op_list {
  const uint8_t *ops;
  uint32_t n;
} op_list;

/* Where attention and feed-forward are parallel, between two halves there would be more than the residual stream: all is in the second one.
 * What was attended waits in its buffer until the feed-forward, which has read the rows before they change, is through. */
static op_list ops_of(const pith_config *c, int32_t half) {
  static const uint8_t one_by_one[] = {OP_NORM_1, OP_QUERY, OP_KEY, OP_VALUE, OP_PLACE, OP_ATTEND, OP_ATTENTION_OUT, OP_ATTENTION_NORM,
                                       OP_NORM_2, OP_UP, OP_GATE, OP_ACTIVATE, OP_DOWN, OP_FEED_NORM};
  static const uint8_t parallel[] = {OP_NORM_1, OP_QUERY, OP_KEY, OP_VALUE, OP_PLACE, OP_ATTEND, OP_NORM_2, OP_UP, OP_GATE, OP_ACTIVATE,
                                     OP_DOWN, OP_ATTENTION_OUT};
  const bool second = half % 2 != 0;
  if (c->parallel) return (op_list){parallel, second ? sizeof parallel : 0};
  return second ? (op_list){one_by_one + OP_NORM_2, sizeof one_by_one - OP_NORM_2} : (op_list){one_by_one, OP_NORM_2};
}

int pith_forward_half_of(const pith_config *c, uint32_t id) { return c->parallel || id == PITH_GATE || id == PITH_UP || id == PITH_DOWN; }

/* One operation, or a part of it; true when it is done. */
static bool run_op(pith_forward *f, int32_t layer, layer_op op, double *budget) {
  const pith_config *c = f->config;
  const pith_stage *stage = pith_weights_stage(f->weights, layer);
  const size_t h = (size_t)c->hidden_size, ff = (size_t)f->shape.intermediate_size;
  const float *input = c->norms_after ? f->x : f->h;
  const bool gated = stage->weights[PITH_GATE].matrix.n_parts != 0;
  row_work activation = {.f = f, .stage = stage, .reader = &stage->weights[PITH_DOWN].matrix};
  switch (op) {
    case OP_NORM_1:
      if (c->norms_after) f->quantized_group = 0;
      else norm(f, stage, PITH_NORM_1, f->x, f->h, &stage->weights[PITH_QUERY].matrix);
      return true;
    case OP_QUERY: return project(f, stage, PITH_QUERY, input, h, f->q, budget);
    case OP_KEY: return project(f, stage, PITH_KEY, input, h, f->k, budget);
    case OP_VALUE: return project(f, stage, PITH_VALUE, input, h, f->v, budget);
    case OP_PLACE:
      f->span = 0;
      f->quantized_group = 0;
      place(f, stage, PITH_QUERY_NORM, f->q, f->shape.n_heads);
      place(f, stage, PITH_KEY_NORM, f->k, f->shape.n_kv_heads);
      return true;
    case OP_ATTEND: return pith_attend(f, f->n_cached_layers > 1 ? (uint32_t)layer : 0, budget);
    case OP_ATTENTION_OUT: return project(f, stage, PITH_ATTENTION_OUT, f->attended, (size_t)f->shape.n_heads * (size_t)c->head_dim, f->x, budget);
    case OP_ATTENTION_NORM:
      if (c->norms_after) norm(f, stage, PITH_NORM_1, f->x, f->x, &stage->weights[PITH_UP].matrix);
      return true;
    case OP_NORM_2:
      if (!c->norms_after) norm(f, stage, PITH_NORM_2, f->x, f->h, &stage->weights[PITH_UP].matrix);
      return true;
    case OP_UP: return project(f, stage, PITH_UP, input, h, f->up, budget);
    case OP_GATE: return !gated || project(f, stage, PITH_GATE, input, h, f->gate, budget);
    case OP_ACTIVATE: over_blocks(f, (double)ff * ACTIVATION_NS, activate_rows, &activation); return true;
    case OP_DOWN: return project(f, stage, PITH_DOWN, gated ? f->gate : f->up, ff, f->x, budget);
    case OP_FEED_NORM:
      if (c->norms_after) norm(f, stage, PITH_NORM_2, f->x, f->x, NULL);
      return true;
  }
  return true;
}

/* Operations up to number `end`. */
static bool run_ops(pith_forward *f, int32_t half, const op_list *list, uint32_t end) {
  f->shape = pith_layer_shape_of(f->config, half / 2);
  for (double budget = STEP_MACS; f->op < end; f->op++)
    do {
      if (budget <= 0) return false;
    } while (!run_op(f, half / 2, list->ops[f->op], &budget));
  f->op = 0;
  return true;
}

bool pith_forward_half(pith_forward *f, int32_t half) {
  const op_list list = ops_of(f->config, half);
  return run_ops(f, half, &list, list.n);
}

/* The number of the norm that ends the half-layer. */
static uint32_t end_of_sums(const pith_config *c, const op_list *list) { return c->parallel ? list->n : list->n - 1; }

bool pith_forward_sum(pith_forward *f, int32_t half) {
  const op_list list = ops_of(f->config, half);
  return run_ops(f, half, &list, end_of_sums(f->config, &list));
}

void pith_forward_settle(pith_forward *f, int32_t half) {
  const op_list list = ops_of(f->config, half);
  f->op = end_of_sums(f->config, &list);
  while (!run_ops(f, half, &list, list.n)) continue;
}

bool pith_forward_until(pith_forward *f, int32_t half, uint32_t id, const float **x, size_t *x_stride) {
  static const uint8_t ids[] = {[OP_QUERY] = PITH_QUERY, PITH_KEY, PITH_VALUE, [OP_ATTENTION_OUT] = PITH_ATTENTION_OUT, [OP_UP] = PITH_UP, PITH_GATE,
                                 [OP_DOWN] = PITH_DOWN, [OP_FEED_NORM] = 0};
  const pith_config *c = f->config;
  const op_list list = ops_of(c, half);
  const bool gated = pith_weights_stage(f->weights, half / 2)->weights[PITH_GATE].matrix.n_parts != 0;
  f->shape = pith_layer_shape_of(c, half / 2);
  for (double budget = STEP_MACS; budget > 0;) {
    if (ids[list.ops[f->op]] == id) {
      f->op = 0;
      f->done = 0;
      *x_stride = (size_t)(id == PITH_DOWN ? f->shape.intermediate_size : id == PITH_ATTENTION_OUT ? f->shape.n_heads * c->head_dim : c->hidden_size);
      *x = id == PITH_DOWN ? (gated ? f->gate : f->up) : id == PITH_ATTENTION_OUT ? f->attended : c->norms_after ? f->x : f->h;
      return true;
    }
    if (run_op(f, half / 2, list.ops[f->op], &budget)) f->op++;
  }
  return false;
}

void pith_forward_attention(pith_forward *f, int32_t layer) {
  while (!pith_forward_half(f, 2 * layer)) continue;
}

void pith_forward_feed(pith_forward *f, int32_t layer) {
  while (!pith_forward_half(f, 2 * layer + 1)) continue;
}

void pith_forward_finish(pith_forward *f) {
  const pith_stage *stage = pith_weights_stage(f->weights, f->config->n_layers);
  const row_work w = {.f = f, .stage = stage, .norm = PITH_FINAL_NORM};
  if (stage->weights[PITH_FINAL_NORM].vector)
    norm_some(&w, 0, f->n_rows, f->x, f->x);
}

void pith_forward_logits(pith_forward *f, uint32_t row, float *dst) {
  const pith_config *c = f->config;
  const pith_matrix *head = c->tied ? &pith_weights_stage(f->weights, -1)->weights[PITH_EMBED_TOKENS].matrix
                                    : &pith_weights_stage(f->weights, c->n_layers)->weights[PITH_HEAD].matrix;
  pith_forward_product(f, head, NULL, 1, f->x + (size_t)row * (size_t)c->hidden_size, (size_t)c->hidden_size, dst, (size_t)c->vocab_size);
}
