/* Reading of config.json's members, shared by the families. */
#ifndef PITH_MODEL_CONFIG_H
#define PITH_MODEL_CONFIG_H

#include "model/model.h"

/* Caps on what a configuration may ask for, so that no product of two of them overflows 64 bits. */
enum { PITH_MAX_VOCAB = 4000000, PITH_MAX_HIDDEN = 65536, PITH_MAX_LAYERS = 1024, PITH_MAX_HEADS = 1024, PITH_MAX_CONTEXT = 1 << 22 };

/* A whole number in [1, high]; PITH_E_FORMAT names the key otherwise. */
pith_status pith_config_size(pith_ctx *ctx, const pith_json *json, const char *key, int64_t high, const char *what, int32_t *out);
/* The same with a fallback for a key that is missing or null. */
pith_status pith_config_size_or(pith_ctx *ctx, const pith_json *json, const char *key, int64_t high, int32_t fallback, const char *what,
                                int32_t *out);
pith_status pith_config_positive(pith_ctx *ctx, const pith_json *json, const char *key, double fallback, const char *what, double *out);
/* What every family has, under its names for them: sizes and the activation. intermediate_size may be NULL: it is then read by the family;
 * max_positions where it is missing is the family's default. max_tokens follows; a decoder's context leaves room to guess. */
typedef struct pith_config_keys {
  const char *vocab_size, *hidden_size, *n_layers, *n_heads, *intermediate_size, *max_positions, *activation;
} pith_config_keys;
extern const pith_config_keys pith_usual_keys;
pith_status pith_config_common(pith_ctx *ctx, const pith_json *json, const pith_config_keys *keys, int32_t default_positions, const char *what, pith_config *out);
/* head_dim and n_kv_heads of a family whose heads divide the hidden size. */
pith_status pith_config_heads(pith_ctx *ctx, const char *what, pith_config *out);
pith_status pith_config_eps(pith_ctx *ctx, const pith_json *json, const char *key, double fallback, const char *what, pith_config *out);
/* rope_theta and rotary_dim, which is `share` of a head where "rope_parameters" does not say it; `theta_key` is its name outside of these. */
pith_status pith_config_rope(pith_ctx *ctx, const pith_json *json, const char *theta_key, double share, const char *what, pith_config *out);
/* Members that would change the computation: PITH_E_UNSUPPORTED if any of the named ones is `value`. keys: NULL-terminated */
pith_status pith_config_refuse(pith_ctx *ctx, const pith_json *json, const char *const *keys, bool value, const char *what);
/* A member that is true where it is missing or null. */
bool pith_config_true(const pith_json *json, const char *key);
/* eos_token_id as a number, a list or null; bos_token_id. */
pith_status pith_config_special_ids(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out);
/* Adds a slot with the printed name. `format` is a family's own literal with at most one %d. */
void pith_slot_add(pith_slot *slots, uint32_t *n, uint32_t id, pith_role role, int32_t rows, int32_t cols, const char *format, int32_t layer);

/* A module's "weight" as a matrix, and where asked for its "bias", which is weight `id` + 1. */
void pith_slot_linear(pith_slot *slots, uint32_t *n, uint32_t id, int32_t rows, int32_t cols, const char *module, int32_t layer, bool bias);
/* The same for a norm. */
void pith_slot_norm(pith_slot *slots, uint32_t *n, uint32_t id, int32_t cols, const char *module, int32_t layer, bool bias);

/* heads.c. The head of the family that makes the architecture, or -1. */
int pith_head_find(const pith_family *family, const char *architecture);
/* What config.json says of the head's outputs. head: -1 is none */
pith_status pith_head_parse(pith_ctx *ctx, const pith_json *json, int head, const char *what, pith_config *out);
/* The encoder alone is wanted. */
void pith_head_drop(pith_config *config);
/* The head's slots, after n others of the stage. */
void pith_head_slots(const pith_config *c, pith_slot *slots, uint32_t *n);

/* What families share that differ little. */
pith_status pith_bert_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out);
uint32_t pith_bert_slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]);
/* The slots of an encoder like BERT whose layers' modules have these names, with %d for the layer; token types as the configuration says. */
typedef struct pith_encoder_names {
  const char *query, *key, *value, *attention_out, *norm_1, *up, *down, *norm_2;
} pith_encoder_names;
uint32_t pith_encoder_slots(const pith_config *c, int32_t stage, const pith_encoder_names *names, pith_slot out[PITH_MAX_SLOTS]);
/* The slots of a decoder with LayerNorm before each block, query, key and value as one tensor, and no gate. positions: NULL where there are none;
 * transposed: matrices are stored by their inputs, and query, key and value are not taken turns head by head. */
typedef struct pith_decoder_names {
  const char *tokens, *positions, *norm_1, *qkv, *attention_out, *norm_2, *up, *down, *final_norm, *head;
  bool transposed;
} pith_decoder_names;
uint32_t pith_decoder_slots(const pith_config *c, int32_t stage, const pith_decoder_names *names, pith_slot out[PITH_MAX_SLOTS]);
pith_status pith_llama_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out);
uint32_t pith_llama_slots(const pith_config *c, int32_t stage, pith_slot out[PITH_MAX_SLOTS]);

#endif
