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
pith_status pith_config_activation(pith_ctx *ctx, const pith_json *json, const char *what, pith_activation *out);
/* eos_token_id as a number, a list or null; bos_token_id. */
pith_status pith_config_special_ids(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out);
/* Adds a slot with the printed name. */
void pith_slot_add(pith_slot *slots, uint32_t *n, uint32_t id, pith_role role, int32_t rows, int32_t cols, const char *format, int32_t layer);

#endif
