#include "model/from_gguf.h"

#include <string.h>

#include "base/format.h"
#include "model/config.h"
#include "text/vocabulary.h"

typedef struct name_pair {
  const char *gguf, *hub;
  bool rotated;                   /* its rows are those that RoPE turns */
} name_pair;

typedef struct architecture {
  const char *name, *hub;         /* the name is config.json's "model_type" too */
  const name_pair *layer_names;
  bool neighbours;                /* RoPE turns neighbouring rows, which the Hub has a half of a head apart */
} architecture;

/* Below "<name>.": those that are read, and those that change nothing. */
static const char *const keys[] = {
    "context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count", "attention.head_count_kv",
    "attention.key_length", "attention.value_length", "attention.layer_norm_rms_epsilon", "attention.causal", "attention.sliding_window",
    "rope.freq_base", "rope.dimension_count", "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length",
    "rope.scaling.finetuned", "rope.scale_linear", "vocab_size", "expert_count", "expert_used_count", "tensor_data_layout", NULL};
/* Of modules, without ".weight" and ".bias"; layer_names below "blk.N." and "model.layers.N.". */
static const name_pair names[] = {
    {"token_embd", "model.embed_tokens", false}, {"output_norm", "model.norm", false}, {"output", "lm_head", false}, {NULL, NULL, false}};
static const name_pair layer_names[] = {
    {"attn_q_norm", "self_attn.q_norm", false}, {"attn_k_norm", "self_attn.k_norm", false},
    {"attn_norm", "input_layernorm", false},   {"attn_q", "self_attn.q_proj", true},         {"attn_k", "self_attn.k_proj", true},
    {"attn_v", "self_attn.v_proj", false},     {"attn_output", "self_attn.o_proj", false},   {"ffn_norm", "post_attention_layernorm", false},
    {"ffn_gate", "mlp.gate_proj", false},      {"ffn_up", "mlp.up_proj", false},             {"ffn_down", "mlp.down_proj", false},
    {NULL, NULL, false}};

enum { N_HEAD_NORMS = 2 };   /* of layer_names, which not every architecture has */

static const architecture architectures[] = {{"llama", "LlamaForCausalLM", layer_names + N_HEAD_NORMS, true},
                                             {"qwen2", "Qwen2ForCausalLM", layer_names + N_HEAD_NORMS, false},
                                             {"qwen3", "Qwen3ForCausalLM", layer_names, false}};
enum { N_ARCHITECTURES = sizeof architectures / sizeof *architectures };

static pith_status find_architecture(pith_ctx *ctx, const pith_gguf *gguf, const architecture **out) {
  char *name, list[128] = "";
  PITH_TRY(pith_gguf_text(ctx, gguf, "general.architecture", true, &name));
  *out = NULL;
  for (int i = 0; i < N_ARCHITECTURES; i++) {
    if (strcmp(architectures[i].name, name) == 0) *out = &architectures[i];
    pith_snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", architectures[i].name);
  }
  const pith_status status =
      *out ? PITH_OK : pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: the architecture \"%.80s\" is not supported in GGUF files; supported are %s", gguf->what, name, list);
  pith_free(ctx, name);
  return status;
}

/* ---- config.json ---- */

typedef struct reading {
  pith_ctx *ctx;
  const pith_gguf *gguf;
  const architecture *architecture;
  pith_json *config;
  char key[128];
} reading;

static const char *full_key(reading *r, const char *key) {
  pith_snprintf(r->key, sizeof r->key, "%s.%s", r->architecture->name, key);
  return r->key;
}

/* A size under its name of config.json; 0: the file does not say. */
static pith_status copy_size(reading *r, const char *key, bool needed, int64_t high, const char *hub, int64_t *out) {
  *out = 0;
  PITH_TRY(pith_gguf_integer(r->ctx, r->gguf, full_key(r, key), needed, 1, high, out));
  if (hub && *out > 0) pith_json_add_number(r->config, hub, (double)*out);
  return PITH_OK;
}

/* What would change the computation and is not there is refused by name; a key nobody here has heard of may be such a thing. */
static pith_status refuse_unknown(reading *r) {
  const size_t n = strlen(r->architecture->name);
  for (size_t i = 0; i < r->gguf->n_values; i++) {
    const char *key = r->gguf->values[i].key;
    if (strncmp(key, r->architecture->name, n) != 0 || key[n] != '.') continue;
    const char *const *known = keys;
    while (*known && strcmp(*known, key + n + 1) != 0) known++;
    if (!*known) return pith_fail(r->ctx, PITH_E_UNSUPPORTED, "%s asks for \"%s\", which Pith does not know", r->gguf->what, key);
  }
  return PITH_OK;
}

static pith_status refuse_others(reading *r) {
  pith_ctx *ctx = r->ctx;
  const char *what = r->gguf->what;
  int64_t n = 0, context = 0;
  bool causal = true;
  char *type;
  PITH_TRY(pith_gguf_text(ctx, r->gguf, "general.type", false, &type));
  const pith_status status = !type || strcmp(type, "model") == 0 ? PITH_OK : pith_fail(ctx, PITH_E_UNSUPPORTED, "%s holds no model, but a \"%.40s\"", what, type);
  pith_free(ctx, type);
  PITH_TRY(status);
  PITH_TRY(pith_gguf_integer(ctx, r->gguf, "split.count", false, 0, UINT16_MAX, &n));
  if (n > 1) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s is one of %lld parts of a model; Pith reads whole files: merge them (llama-gguf-split --merge)", what, (long long)n);
  n = 0;
  PITH_TRY(pith_gguf_integer(ctx, r->gguf, full_key(r, "expert_count"), false, 0, 1 << 20, &n));
  if (n > 0) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s is a mixture of %lld experts, which Pith does not have", what, (long long)n);
  PITH_TRY(pith_gguf_bool(ctx, r->gguf, full_key(r, "attention.causal"), &causal));
  if (!causal) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for attention that is not causal", what);
  n = 0;
  PITH_TRY(pith_gguf_integer(ctx, r->gguf, full_key(r, "context_length"), true, 1, PITH_MAX_CONTEXT, &context));
  PITH_TRY(pith_gguf_integer(ctx, r->gguf, full_key(r, "attention.sliding_window"), false, 0, INT32_MAX, &n));
  if (n > 0 && n < context) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s asks for attention over a sliding window of %lld tokens, which Pith does not have", what, (long long)n);
  return refuse_unknown(r);
}

/* The kind of scaling goes into config.json, so that the family says what it makes of it. */
static pith_status copy_rope(reading *r, int64_t head_dim) {
  pith_ctx *ctx = r->ctx;
  double theta = 10000.0, linear = 1.0;
  char *type;
  int64_t n = head_dim;
  PITH_TRY(pith_gguf_number(ctx, r->gguf, full_key(r, "rope.freq_base"), false, &theta));
  pith_json_add_number(r->config, "rope_theta", theta);
  PITH_TRY(pith_gguf_integer(ctx, r->gguf, full_key(r, "rope.dimension_count"), false, 1, INT32_MAX, &n));
  if (n != head_dim)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s rotates %lld of a head's %lld dimensions; Pith rotates all", r->gguf->what, (long long)n, (long long)head_dim);
  PITH_TRY(pith_gguf_number(ctx, r->gguf, full_key(r, "rope.scale_linear"), false, &linear));
  PITH_TRY(pith_gguf_text(ctx, r->gguf, full_key(r, "rope.scaling.type"), false, &type));
  if ((type && strcmp(type, "none") != 0) || linear != 1.0) {
    pith_json *scaling = pith_json_new_object();
    pith_json_add_string(scaling, "rope_type", type && strcmp(type, "none") != 0 ? type : "linear");
    pith_json_add(r->config, "rope_scaling", scaling);
  }
  pith_free(ctx, type);
  return PITH_OK;
}

/* The vocabulary is as large as its table: metadata and table have been seen to differ, and the head reads the table. */
static pith_status copy_vocabulary(reading *r) {
  static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  const pith_tensor_entry *table = pith_tensor_index_find(&r->gguf->tensors, "token_embd.weight");
  if (!table || table->n_dims != 2) return pith_fail(r->ctx, PITH_E_FORMAT, "%s has no table of embeddings (\"token_embd.weight\")", r->gguf->what);
  pith_json_add_number(r->config, "vocab_size", (double)table->dims[0]);
  pith_json_add_bool(r->config, "tie_word_embeddings", !pith_tensor_index_find(&r->gguf->tensors, "output.weight"));
  int64_t id = -1, seen[3];
  int n_seen = 0;
  PITH_TRY(pith_gguf_integer(r->ctx, r->gguf, "tokenizer.ggml.bos_token_id", false, 0, INT32_MAX - 1, &id));
  if (id >= 0) pith_json_add_number(r->config, "bos_token_id", (double)id);
  else pith_json_add_null(r->config, "bos_token_id");
  for (int i = 0; i < 3; i++) {
    id = -1;
    PITH_TRY(pith_gguf_integer(r->ctx, r->gguf, ends[i], false, 0, INT32_MAX - 1, &id));
    bool known = id < 0;
    for (int k = 0; k < n_seen; k++) known = known || seen[k] == id;
    if (!known) seen[n_seen++] = id;
  }
  pith_json *list = pith_json_new_array();
  for (int i = 0; i < n_seen; i++) pith_json_add_number(list, NULL, (double)seen[i]);
  pith_json_add(r->config, "eos_token_id", list);
  return PITH_OK;
}

static bool has_bias(const pith_gguf *gguf, const char *part) {
  for (size_t i = 0; i < gguf->tensors.n_entries; i++) {
    const char *name = gguf->tensors.entries[i].name, *dot = strrchr(name, '.');
    if (strncmp(name, "blk.", 4) == 0 && strstr(name, part) && dot && strcmp(dot, ".bias") == 0) return true;
  }
  return false;
}

static pith_status fill_config(reading *r) {
  int64_t n, hidden, heads, key, value;
  double eps;
  pith_json *list = pith_json_new_array();
  pith_json_add_string(list, NULL, r->architecture->hub);
  pith_json_add(r->config, "architectures", list);
  pith_json_add_string(r->config, "model_type", r->architecture->name);
  pith_json_add_string(r->config, "hidden_act", "silu");
  PITH_TRY(refuse_others(r));
  PITH_TRY(copy_size(r, "embedding_length", true, PITH_MAX_HIDDEN, "hidden_size", &hidden));
  PITH_TRY(copy_size(r, "feed_forward_length", true, PITH_MAX_HIDDEN, "intermediate_size", &n));
  PITH_TRY(copy_size(r, "block_count", true, PITH_MAX_LAYERS, "num_hidden_layers", &n));
  PITH_TRY(copy_size(r, "attention.head_count", true, PITH_MAX_HEADS, "num_attention_heads", &heads));
  PITH_TRY(copy_size(r, "attention.head_count_kv", false, PITH_MAX_HEADS, "num_key_value_heads", &n));
  PITH_TRY(copy_size(r, "context_length", true, PITH_MAX_CONTEXT, "max_position_embeddings", &n));
  PITH_TRY(copy_size(r, "attention.key_length", false, PITH_MAX_HIDDEN, "head_dim", &key));
  PITH_TRY(copy_size(r, "attention.value_length", false, PITH_MAX_HIDDEN, NULL, &value));
  if (key == 0) key = hidden / heads;
  if (value > 0 && value != key)
    return pith_fail(r->ctx, PITH_E_UNSUPPORTED, "%s has keys of %lld and values of %lld dimensions; Pith has one width of heads", r->gguf->what, (long long)key, (long long)value);
  PITH_TRY(pith_gguf_number(r->ctx, r->gguf, full_key(r, "attention.layer_norm_rms_epsilon"), true, &eps));
  pith_json_add_number(r->config, "rms_norm_eps", eps);
  PITH_TRY(copy_rope(r, key));
  pith_json_add_bool(r->config, "attention_bias", has_bias(r->gguf, ".attn_"));
  pith_json_add_bool(r->config, "mlp_bias", has_bias(r->gguf, ".ffn_"));
  return copy_vocabulary(r);
}

pith_status pith_gguf_config(pith_ctx *ctx, const pith_gguf *gguf, pith_json **out) {
  reading r = {.ctx = ctx, .gguf = gguf};
  *out = NULL;
  PITH_TRY(find_architecture(ctx, gguf, &r.architecture));
  r.config = pith_json_new_object();
  pith_status status = fill_config(&r);
  pith_buffer whole = {0};   /* a tree that lost a member for want of memory shows when it is printed */
  if (status == PITH_OK) status = pith_json_print(ctx, r.config, false, &whole);
  pith_buffer_free(ctx, &whole);
  if (status == PITH_OK) *out = r.config;
  else pith_json_free(r.config);
  return status;
}

/* ---- names ---- */

static const name_pair *find_module(const name_pair *pair, const char *module, size_t n) {
  for (; pair->gguf; pair++)
    if (strlen(pair->gguf) == n && memcmp(pair->gguf, module, n) == 0) return pair;
  return NULL;
}

/* "blk.N.": the number and what follows; -1 for anything else. Written in one way only, so that two names never mean one tensor. */
static int32_t layer_of(const char *name, const char **rest) {
  int32_t layer = 0;
  if (strncmp(name, "blk.", 4) != 0) return -1;
  const char *digit = name + 4;
  for (; *digit >= '0' && *digit <= '9'; digit++) {
    if (layer >= PITH_MAX_LAYERS || (layer == 0 && digit > name + 4)) return -1;
    layer = 10 * layer + (*digit - '0');
  }
  if (digit == name + 4 || *digit != '.') return -1;
  *rest = digit + 1;
  return layer;
}

static pith_status rename_tensor(pith_ctx *ctx, const pith_gguf *gguf, const architecture *a, const pith_config *c, const pith_tensor_entry *from,
                                 pith_tensor_entry *to) {
  const char *rest = from->name;
  const int32_t layer = layer_of(from->name, &rest);
  const char *dot = strrchr(from->name, '.');
  const bool whole = dot && (strcmp(dot, ".weight") == 0 || strcmp(dot, ".bias") == 0) && dot > rest && layer < c->n_layers;
  const name_pair *pair = whole ? find_module(layer < 0 ? names : a->layer_names, rest, (size_t)(dot - rest)) : NULL;
  if (!pair && strncmp(from->name, "rope_freqs", 10) == 0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s scales RoPE by factors of its own (tensor \"%s\"), which Pith does not have", gguf->what, from->name);
  if (!pair) return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s holds the tensor \"%s\", which the architecture \"%s\" does not have in Pith", gguf->what, from->name, a->name);
  pith_buffer name = {0};
  pith_status status = layer < 0 ? PITH_OK : pith_buffer_printf(ctx, &name, "model.layers.%d.", (int)layer);
  if (status == PITH_OK) status = pith_buffer_printf(ctx, &name, "%s%s", pair->hub, dot);
  if (status != PITH_OK) {
    pith_buffer_free(ctx, &name);
    return status;
  }
  *to = *from;
  to->name = name.data;
  to->interleaved = pair->rotated && a->neighbours ? (uint32_t)c->head_dim : 0;
  if (to->interleaved > 0 && to->dims[0] % to->interleaved != 0)
    return pith_fail(ctx, PITH_E_FORMAT, "%s: tensor \"%s\" has %llu rows, no multiple of a head's %d", gguf->what, from->name, (unsigned long long)to->dims[0],
                     (int)c->head_dim);
  return PITH_OK;
}

pith_status pith_gguf_index(pith_ctx *ctx, const pith_gguf *gguf, const pith_config *config, pith_tensor_index *out) {
  const architecture *a;
  memset(out, 0, sizeof *out);
  PITH_TRY(find_architecture(ctx, gguf, &a));
  PITH_TRY(pith_calloc(ctx, gguf->tensors.n_entries, sizeof *out->entries, &out->entries));
  pith_status status = PITH_OK;
  for (size_t i = 0; i < gguf->tensors.n_entries && status == PITH_OK; i++)
    status = rename_tensor(ctx, gguf, a, config, &gguf->tensors.entries[i], &out->entries[out->n_entries++]);
  if (status != PITH_OK) pith_tensor_index_free(ctx, out);
  return status;
}

/* ---- tokenizer.json ---- */

typedef struct token_lists {
  pith_gguf_strings tokens, merges;
  int32_t *kinds;
  float *scores;
  char *model, *pre;
} token_lists;

static pith_status read_id(pith_ctx *ctx, const pith_gguf *gguf, const char *key, int32_t *out) {
  int64_t id = -1;
  PITH_TRY(pith_gguf_integer(ctx, gguf, key, false, 0, INT32_MAX - 1, &id));
  *out = (int32_t)id;
  return PITH_OK;
}

/* Whether texts get a first and a last token; what the file does not say is what llama.cpp takes then. */
static pith_status read_ends(pith_ctx *ctx, const pith_gguf *gguf, pith_vocabulary *v) {
  bool add_bos = v->kind == PITH_VOCABULARY_SENTENCEPIECE || pith_vocabulary_adds_bos(v->pre), add_eos = false;
  PITH_TRY(pith_gguf_bool(ctx, gguf, "tokenizer.ggml.add_bos_token", &add_bos));
  PITH_TRY(pith_gguf_bool(ctx, gguf, "tokenizer.ggml.add_eos_token", &add_eos));
  PITH_TRY(read_id(ctx, gguf, "tokenizer.ggml.bos_token_id", &v->bos_id));
  PITH_TRY(read_id(ctx, gguf, "tokenizer.ggml.eos_token_id", &v->eos_id));
  PITH_TRY(read_id(ctx, gguf, "tokenizer.ggml.unknown_token_id", &v->unk_id));
  if (add_bos && v->bos_id < 0) return pith_fail(ctx, PITH_E_FORMAT, "%s begins texts with a first token and does not say which (\"tokenizer.ggml.bos_token_id\")", gguf->what);
  if (add_eos && v->eos_id < 0) return pith_fail(ctx, PITH_E_FORMAT, "%s ends texts with a last token and does not say which (\"tokenizer.ggml.eos_token_id\")", gguf->what);
  if (!add_bos) v->bos_id = -1;
  if (!add_eos) v->eos_id = -1;
  return PITH_OK;
}

static pith_status read_tokens(pith_ctx *ctx, const pith_gguf *gguf, token_lists *l, pith_vocabulary *v) {
  PITH_TRY(pith_gguf_text(ctx, gguf, "tokenizer.ggml.model", true, &l->model));
  PITH_TRY(pith_gguf_text(ctx, gguf, "tokenizer.ggml.pre", false, &l->pre));
  const bool byte_level = strcmp(l->model, "gpt2") == 0;
  if (!byte_level && strcmp(l->model, "llama") != 0)
    return pith_fail(ctx, PITH_E_UNSUPPORTED, "%s: the tokenizer \"%.40s\" is not supported; supported are gpt2 (byte-level BPE) and llama (SentencePiece BPE)", gguf->what, l->model);
  v->kind = byte_level ? PITH_VOCABULARY_BYTE_LEVEL : PITH_VOCABULARY_SENTENCEPIECE;
  v->pre = l->pre;
  v->add_space_prefix = !byte_level;
  PITH_TRY(pith_gguf_bool(ctx, gguf, "tokenizer.ggml.add_space_prefix", &v->add_space_prefix));
  PITH_TRY(read_ends(ctx, gguf, v));
  PITH_TRY(pith_gguf_read_strings(ctx, gguf, "tokenizer.ggml.tokens", &l->tokens));
  PITH_TRY(pith_gguf_read_integers(ctx, gguf, "tokenizer.ggml.token_type", l->tokens.n, &l->kinds));
  if (byte_level) PITH_TRY(pith_gguf_read_strings(ctx, gguf, "tokenizer.ggml.merges", &l->merges));
  else PITH_TRY(pith_gguf_read_floats(ctx, gguf, "tokenizer.ggml.scores", l->tokens.n, &l->scores));
  v->n = l->tokens.n;
  v->bytes = l->tokens.bytes;
  v->offsets = l->tokens.offsets;
  v->kinds = l->kinds;
  v->scores = l->scores;
  v->merge_bytes = l->merges.bytes;
  v->merge_offsets = l->merges.offsets;
  v->n_merges = l->merges.n;
  return PITH_OK;
}

pith_status pith_gguf_tokenizer(pith_ctx *ctx, const pith_gguf *gguf, pith_buffer *out) {
  token_lists lists = {.model = NULL};
  pith_vocabulary v = {.n = 0};
  pith_status status = read_tokens(ctx, gguf, &lists, &v);
  if (status == PITH_OK) status = pith_vocabulary_print(ctx, &v, gguf->what, out);
  pith_gguf_strings_free(ctx, &lists.tokens);
  pith_gguf_strings_free(ctx, &lists.merges);
  pith_free(ctx, lists.kinds);
  pith_free(ctx, lists.scores);
  pith_free(ctx, lists.model);
  pith_free(ctx, lists.pre);
  return status;
}
