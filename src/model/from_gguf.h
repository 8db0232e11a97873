/* A GGUF file's metadata and names as the Hub has them, so that families and tokenizers know nothing of GGUF. docs/GGUF.md has the tables. */
#ifndef PITH_FROM_GGUF_H
#define PITH_FROM_GGUF_H

#include "base/json.h"
#include "model/model.h"
#include "tensor/gguf.h"

/* The config.json that the metadata stand for. An architecture that is not known is PITH_E_UNSUPPORTED listing the known ones, and so is a key
 * of the architecture that asks for something Pith lacks or does not know. The caller frees. */
pith_status pith_gguf_config(pith_ctx *ctx, const pith_gguf *gguf, pith_json **out);

/* The tensors under the Hub's names. llama.cpp stores the rows of query and key of "llama" files pair by pair, for its own order of RoPE's
 * pairs: those entries are marked interleaved. A tensor that the architecture does not have is PITH_E_UNSUPPORTED. */
pith_status pith_gguf_index(pith_ctx *ctx, const pith_gguf *gguf, const pith_config *config, pith_tensor_index *out);

/* Appends the tokenizer.json that the metadata stand for. */
pith_status pith_gguf_tokenizer(pith_ctx *ctx, const pith_gguf *gguf, pith_buffer *out);

#endif
