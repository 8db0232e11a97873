#include "model/forward.h"

#include <string.h>

enum { SCRATCH_PANELS = 8 };

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
      const size_t panel = m->encoding == PITH_ENC_F16 ? (size_t)m->cols * PITH_PANEL : groups * PITH_PANEL;
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
  const uint64_t kv_heads = (uint64_t)c->n_kv_heads, kv = kv_heads * hd, ctx = pith_round_up(f->max_context, PITH_PANEL);
  const uint64_t layers = f->n_cached_layers, ff = (uint64_t)c->intermediate_size, hd8 = pith_round_up((size_t)hd, PITH_PANEL);
  const uint64_t rope = uses_rope(c) ? (uint64_t)f->max_context * hd / 2 : 0;
  const uint64_t blocks = pith_round_up(f->max_rows, PITH_ROWS);   /* rows in whole blocks */
  const piece pieces[] = {
      {&f->x, rows * h, 4}, {&f->h, rows * h, 4}, {&f->q, rows * q, 4}, {&f->k, rows * kv, 4}, {&f->v, rows * kv, 4},
      {&f->attended, rows * q, 4}, {&f->up, rows * ff, 4}, {&f->gate, rows * ff, 4}, {&f->keys, layers * kv_heads * ctx * hd, 4},
      {&f->values, layers * kv_heads * hd8 * ctx, 4}, {&f->scores, PITH_SCORE_ROWS * ctx, 4}, {&f->cos, rope, 4}, {&f->sin, rope, 4},
      {&f->scratch, d.scratch, 4}, {&f->activations.codes, blocks * pith_round_up(d.widest, PITH_QUAD), f->kernels->act_elem_bytes},
      {&f->activations.scales, blocks * d.groups, 4}, {&f->activations.offsets, blocks * d.groups, 4}};
  memcpy(out, pieces, sizeof pieces);
  return sizeof pieces / sizeof *pieces;
}

static void set_bounds(pith_forward *f, const pith_config *config, const pith_weights *weights, const pith_kernels *kernels, uint32_t max_rows,
                       uint32_t max_context) {
  memset(f, 0, sizeof *f);
  f->config = config;
  f->weights = weights;
  f->kernels = kernels;
  f->max_rows = max_rows;
  f->max_context = max_context;
  f->n_cached_layers = config->family->task == PITH_TASK_GENERATE ? (uint32_t)config->n_layers : 1;
}

bool pith_forward_plan(const pith_config *config, const pith_weights *weights, const pith_kernels *kernels, uint32_t max_rows,
                       uint32_t max_context, uint64_t *n_bytes) {
  pith_forward f;
  piece pieces[20];
  set_bounds(&f, config, weights, kernels, max_rows, max_context);
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
  const int32_t half = f->config->head_dim / 2;
  const double log_theta = pith_log(f->config->rope_theta);
  for (int32_t i = 0; i < half; i++) {
    const float inverse = (float)pith_exp(-log_theta * (2.0 * i) / f->config->head_dim);
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
  set_bounds(forward, config, weights, kernels, max_rows, max_context);
  const uint32_t n = list_pieces(forward, pieces);
  for (uint32_t i = 0; i < n; i++) {
    void *ptr = pith_arena_take(arena, (size_t)(pieces[i].n_elems * pieces[i].elem_bytes));
    if (!ptr) return pith_fail(ctx, PITH_E_INTERNAL, "the arena's plan was too small");
    memcpy(pieces[i].pointer, &ptr, sizeof ptr);
  }
  if (uses_rope(config)) fill_rope(forward);
  return PITH_OK;
}

void pith_forward_begin(pith_forward *f, const int32_t *ids, uint32_t n_rows, const pith_span *spans, uint32_t n_spans) {
  f->ids = ids;
  f->n_rows = n_rows;
  f->spans = spans;
  f->n_spans = n_spans;
  const pith_stage *stage = pith_weights_stage(f->weights, -1);
  const size_t h = (size_t)f->config->hidden_size;
  for (uint32_t s = 0; s < n_spans; s++)
    for (uint32_t i = 0; i < spans[s].n_rows; i++) {
      const uint32_t row = spans[s].row + i;
      float *x = f->x + row * h, *other = f->h;
      pith_matrix_row(&stage->weights[PITH_EMBED_TOKENS].matrix, (uint32_t)ids[row], x);
      if (!stage->weights[PITH_EMBED_POSITIONS].matrix.n_parts) continue;
      /* token types before positions, as the reference adds them */
      pith_matrix_row(&stage->weights[PITH_EMBED_TYPES].matrix, 0, other);
      f->kernels->add(h, other, x);
      pith_matrix_row(&stage->weights[PITH_EMBED_POSITIONS].matrix, spans[s].position + i, other);
      f->kernels->add(h, other, x);
    }
  if (stage->weights[PITH_EMBED_NORM].vector)
    f->kernels->layer_norm(n_rows, h, f->x, f->x, h, stage->weights[PITH_EMBED_NORM].vector, stage->weights[PITH_EMBED_NORM_BIAS].vector,
                           f->config->norm_eps);
}

static void product_u7(pith_forward *f, const pith_matrix *m, const pith_part *part, const float *bias, uint32_t n_rows, float *y, size_t y_stride) {
  const size_t n_groups = groups_of(m->cols, m->group_size), n_quads = (m->cols + PITH_QUAD - 1) / PITH_QUAD;
  pith_activations a = f->activations;
  a.n_groups = n_groups;
  for (uint32_t begin = 0; begin < part->n_rows; begin += SCRATCH_PANELS * PITH_PANEL) {
    const size_t panel = begin / PITH_PANEL, left = part->n_rows - begin;
    const size_t n = left < SCRATCH_PANELS * PITH_PANEL ? left : SCRATCH_PANELS * PITH_PANEL;
    const size_t at = panel * n_groups * PITH_PANEL, n_scales = (n + PITH_PANEL - 1) / PITH_PANEL * n_groups * PITH_PANEL;
    const float *scales = (const float *)part->scales + at;
    if (m->scale_dtype == PITH_F16) {
      f->kernels->f16_to_f32(n_scales, (const uint16_t *)part->scales + at, f->scratch);
      scales = f->scratch;
    }
    f->kernels->gemm_i8u7_f32(n_rows, n, m->cols, m->group_size, &a, (const uint8_t *)part->codes + panel * n_quads * PITH_PANEL * PITH_QUAD,
                              scales, bias ? bias + begin : NULL, y + begin, y_stride);
  }
}

static void product_f16(pith_forward *f, const pith_matrix *m, const pith_part *part, const float *bias, uint32_t n_rows, const float *x,
                        size_t x_stride, float *y, size_t y_stride) {
  const size_t panel_floats = (size_t)m->cols * PITH_PANEL;
  for (uint32_t begin = 0; begin < part->n_rows; begin += SCRATCH_PANELS * PITH_PANEL) {
    const size_t left = part->n_rows - begin, n = left < SCRATCH_PANELS * PITH_PANEL ? left : SCRATCH_PANELS * PITH_PANEL;
    f->kernels->f16_to_f32((n + PITH_PANEL - 1) / PITH_PANEL * panel_floats,
                           (const uint16_t *)part->codes + begin / PITH_PANEL * panel_floats, f->scratch);
    f->kernels->gemm_f32(n_rows, n, m->cols, x, x_stride, f->scratch, panel_floats, bias ? bias + begin : NULL, y + begin, y_stride);
  }
}

void pith_forward_product(pith_forward *f, const pith_matrix *m, const float *bias, uint32_t n_rows, const float *x, size_t x_stride, float *y,
                          size_t y_stride, bool fresh) {
  if (m->encoding == PITH_ENC_U7 && fresh) {
    pith_activations a = f->activations;
    a.n_groups = groups_of(m->cols, m->group_size);
    f->kernels->quantize_i8(n_rows, m->cols, m->group_size, x, x_stride, &a);
  }
  for (uint32_t i = 0; i < m->n_parts; i++) {
    const pith_part *part = &m->parts[i];
    const float *part_bias = bias ? bias + part->row_begin : NULL;
    float *part_y = y + part->row_begin;
    if (m->encoding == PITH_ENC_U7)
      product_u7(f, m, part, part_bias, n_rows, part_y, y_stride);
    else if (m->encoding == PITH_ENC_F16)
      product_f16(f, m, part, part_bias, n_rows, x, x_stride, part_y, y_stride);
    else
      f->kernels->gemm_f32(n_rows, part->n_rows, m->cols, x, x_stride, part->codes, (size_t)m->cols * PITH_PANEL, part_bias, part_y, y_stride);
  }
}

/* Writes the span's keys and values behind those that the panels of this layer hold already. */
static void store_keys_values(pith_forward *f, const pith_span *span, uint32_t cached_layer) {
  const size_t hd = (size_t)f->config->head_dim, heads = (size_t)f->config->n_kv_heads, kv = heads * hd;
  const size_t ctx = pith_round_up(f->max_context, PITH_PANEL), hd8 = pith_round_up(hd, PITH_PANEL);
  for (size_t head = 0; head < heads; head++) {
    float *keys = f->keys + (cached_layer * heads + head) * ctx * hd, *values = f->values + (cached_layer * heads + head) * ctx * hd8;
    for (size_t i = 0; i < span->n_rows; i++) {
      const size_t p = span->position + i;
      const float *k = f->k + (span->row + i) * kv + head * hd, *v = f->v + (span->row + i) * kv + head * hd;
      for (size_t d = 0; d < hd; d++) {
        keys[(p / PITH_PANEL * hd + d) * PITH_PANEL + p % PITH_PANEL] = k[d];
        values[(d / PITH_PANEL * ctx + p) * PITH_PANEL + d % PITH_PANEL] = v[d];
      }
    }
  }
}

/* softmax(q · kᵀ / √head_dim) · v for one head of one span, PITH_SCORE_ROWS queries at a time. Causal for decoders. */
static void attend_head(pith_forward *f, const pith_span *span, uint32_t cached_layer, size_t head, float scale) {
  const pith_config *c = f->config;
  const size_t hd = (size_t)c->head_dim, ctx = pith_round_up(f->max_context, PITH_PANEL), hd8 = pith_round_up(hd, PITH_PANEL);
  const size_t kv_head = head / (size_t)(c->n_heads / c->n_kv_heads), q_stride = (size_t)c->n_heads * hd;
  const size_t at = cached_layer * (size_t)c->n_kv_heads + kv_head;
  const float *keys = f->keys + at * ctx * hd, *values = f->values + at * ctx * hd8;
  const bool causal = c->family->task == PITH_TASK_GENERATE;
  for (size_t begin = 0; begin < span->n_rows; begin += PITH_SCORE_ROWS) {
    const size_t n = span->n_rows - begin < PITH_SCORE_ROWS ? span->n_rows - begin : PITH_SCORE_ROWS;
    const size_t row = span->row + begin, first = span->position + begin, n_keys = causal ? first + n : span->n_rows;
    f->kernels->gemm_f32(n, n_keys, hd, f->q + row * q_stride + head * hd, q_stride, keys, hd * PITH_PANEL, NULL, f->scores, ctx);
    for (size_t i = 0; i < n; i++) {
      float *scores = f->scores + i * ctx;
      const size_t seen = causal ? first + i + 1 : n_keys;
      f->kernels->softmax(seen, scores, scale);
      for (size_t j = seen; j < n_keys; j++) scores[j] = 0.0f;
    }
    f->kernels->gemm_f32(n, hd, n_keys, f->scores, ctx, values, ctx * PITH_PANEL, NULL, f->attended + row * q_stride + head * hd, q_stride);
  }
}

static void rotate(pith_forward *f, float *rows, int32_t n_heads) {
  const size_t hd = (size_t)f->config->head_dim, half = hd / 2;
  for (uint32_t s = 0; s < f->n_spans; s++)
    for (uint32_t i = 0; i < f->spans[s].n_rows; i++) {
      const size_t p = f->spans[s].position + i;
      float *row = rows + (f->spans[s].row + i) * (size_t)n_heads * hd;
      for (int32_t head = 0; head < n_heads; head++)
        f->kernels->rope_half(half, row + (size_t)head * hd, f->cos + p * half, f->sin + p * half);
    }
}

/* The norm of one block's input or output: RMS where the family has no bias, else LayerNorm. */
static void norm(pith_forward *f, const pith_stage *stage, int id, const float *x, float *y) {
  const size_t h = (size_t)f->config->hidden_size;
  const float *weight = stage->weights[id].vector, *bias = stage->weights[id + 1].vector;
  if (bias) f->kernels->layer_norm(f->n_rows, h, x, y, h, weight, bias, f->config->norm_eps);
  else f->kernels->rms_norm(f->n_rows, h, x, y, h, weight, f->config->norm_eps);
}

static void project(pith_forward *f, const pith_stage *stage, int id, bool biased, const float *x, size_t x_stride, float *y, bool fresh) {
  const pith_matrix *m = &stage->weights[id].matrix;
  pith_forward_product(f, m, biased ? stage->weights[id + 1].vector : NULL, f->n_rows, x, x_stride, y, m->rows, fresh);
}

/* BERT norms after the residual sum, Llama before the block: the one difference in the skeleton of a layer. */
static bool norms_after(const pith_config *c) { return c->family->task == PITH_TASK_EMBED; }

void pith_forward_attention(pith_forward *f, int32_t layer) {
  const pith_config *c = f->config;
  const pith_stage *stage = pith_weights_stage(f->weights, layer);
  const size_t h = (size_t)c->hidden_size, q_width = (size_t)c->n_heads * (size_t)c->head_dim;
  const float *input = f->x;
  if (!norms_after(c)) {
    norm(f, stage, PITH_NORM_1, f->x, f->h);
    input = f->h;
  }
  project(f, stage, PITH_QUERY, true, input, h, f->q, true);
  project(f, stage, PITH_KEY, true, input, h, f->k, false);
  project(f, stage, PITH_VALUE, true, input, h, f->v, false);
  if (uses_rope(c)) {
    rotate(f, f->q, c->n_heads);
    rotate(f, f->k, c->n_kv_heads);
  }
  const float scale = (float)(1.0 / __builtin_sqrt((double)c->head_dim));
  const uint32_t cached_layer = f->n_cached_layers > 1 ? (uint32_t)layer : 0;
  for (uint32_t s = 0; s < f->n_spans; s++) {
    store_keys_values(f, &f->spans[s], cached_layer);
    for (int32_t head = 0; head < c->n_heads; head++) attend_head(f, &f->spans[s], cached_layer, (size_t)head, scale);
  }
  project(f, stage, PITH_ATTENTION_OUT, true, f->attended, q_width, f->h, true);
  f->kernels->add(f->n_rows * h, f->h, f->x);
  if (norms_after(c)) norm(f, stage, PITH_NORM_1, f->x, f->x);
}

void pith_forward_feed(pith_forward *f, int32_t layer) {
  const pith_config *c = f->config;
  const pith_stage *stage = pith_weights_stage(f->weights, layer);
  const size_t h = (size_t)c->hidden_size, ff = (size_t)c->intermediate_size, n = f->n_rows * ff;
  const float *input = f->x;
  if (!norms_after(c)) {
    norm(f, stage, PITH_NORM_2, f->x, f->h);
    input = f->h;
  }
  const float *inner = f->up;
  project(f, stage, PITH_UP, true, input, h, f->up, true);
  if (stage->weights[PITH_GATE].matrix.n_parts) {
    project(f, stage, PITH_GATE, false, input, h, f->gate, false);
    f->kernels->silu_mul(n, f->gate, f->up);
    inner = f->gate;
  } else {
    switch (c->activation) {
      case PITH_GELU_ERF: f->kernels->gelu_erf(n, f->up); break;
      case PITH_GELU_TANH: f->kernels->gelu_tanh(n, f->up); break;
      case PITH_SILU: f->kernels->silu(n, f->up); break;
      case PITH_RELU: f->kernels->relu(n, f->up); break;
    }
  }
  project(f, stage, PITH_DOWN, true, inner, ff, f->h, true);
  f->kernels->add(f->n_rows * h, f->h, f->x);
  if (norms_after(c)) norm(f, stage, PITH_NORM_2, f->x, f->x);
}

void pith_forward_finish(pith_forward *f) {
  const pith_stage *stage = pith_weights_stage(f->weights, f->config->n_layers);
  const size_t h = (size_t)f->config->hidden_size;
  if (stage->weights[PITH_FINAL_NORM].vector)
    f->kernels->rms_norm(f->n_rows, h, f->x, f->x, h, stage->weights[PITH_FINAL_NORM].vector, f->config->norm_eps);
}

void pith_forward_logits(pith_forward *f, uint32_t row, float *dst) {
  const pith_config *c = f->config;
  const pith_matrix *head = c->tied ? &pith_weights_stage(f->weights, -1)->weights[PITH_EMBED_TOKENS].matrix
                                    : &pith_weights_stage(f->weights, c->n_layers)->weights[PITH_HEAD].matrix;
  pith_forward_product(f, head, NULL, 1, f->x + (size_t)row * (size_t)c->hidden_size, (size_t)c->hidden_size, dst, (size_t)c->vocab_size, true);
}
