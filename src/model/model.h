/* A model: its configuration, its weights wherever they came from, and the units of its forward pass. */
#ifndef PITH_MODEL_H
#define PITH_MODEL_H

#include "base/base.h"
#include "base/json.h"
#include "kernels/kernels.h"
#include "tensor/safetensors.h"

/* What a model is for. The first two are a family's own; the others are an encoder with a head: labels of texts, labels of tokens, masked words. */
typedef enum pith_task { PITH_TASK_EMBED, PITH_TASK_GENERATE, PITH_TASK_CLASSIFY, PITH_TASK_TAG, PITH_TASK_FILL } pith_task;
const char *pith_task_name(pith_task task);   /* "embed", "generate", "classify", "tag", "fill" */
/* What makes scores of a head's outputs. */
typedef enum pith_scoring { PITH_SCORE_SOFTMAX, PITH_SCORE_SIGMOID, PITH_SCORE_RAW } pith_scoring;
typedef enum pith_pooling { PITH_POOL_MEAN, PITH_POOL_CLS } pith_pooling;
/* How queries meet keys and weights meet values: in f32, or by codes of two bytes or of one (kernels.h, attend). */
typedef enum pith_attention { PITH_ATTENTION_F32, PITH_ATTENTION_I16, PITH_ATTENTION_I8 } pith_attention;
typedef enum pith_activation { PITH_GELU_ERF, PITH_GELU_TANH, PITH_SILU, PITH_RELU, PITH_TANH } pith_activation;

/* What may differ from layer to layer, where heads and neurons were pruned. */
typedef struct pith_layer_shape {
  int32_t n_heads, n_kv_heads, intermediate_size;
} pith_layer_shape;

#define PITH_MAX_EOS 8
typedef struct pith_family pith_family;
/* What lies between an encoder's last layer and its outputs: a product with an activation, a norm, the product that gives the outputs; modules
 * that are NULL are not there. The embedding is that last product's matrix where the model is tied. */
typedef struct pith_head {
  const char *dense;
  bool hidden_activation;         /* the layers' own, else `activation` */
  pith_activation activation;
  const char *norm, *output;
  const char *tied_bias;          /* the outputs' bias where the model is tied; else that of `output` */
} pith_head;
typedef struct pith_config {
  const pith_family *family;
  pith_task task;
  const pith_head *head;          /* NULL: none */
  int32_t n_labels;               /* of tasks with labels; else 0 */
  pith_scoring scoring;
  int32_t vocab_size, hidden_size, n_layers, n_heads, n_kv_heads, head_dim, intermediate_size;
  const pith_layer_shape *layers; /* (n_layers) of a pruned model, whose sizes above are then the largest of any layer. NULL: they are every layer's.
                                     Borrowed: pith_model has those of a package */
  int32_t max_positions;          /* that a sequence may have: the position table's, or the trained context */
  int32_t position_offset;        /* the position table's row of the first token: RoBERTa keeps those of padding before it */
  int32_t type_vocab_size;        /* BERT's token types; 0 elsewhere */
  pith_activation activation;
  float norm_eps;
  double rope_theta;              /* 0: no RoPE */
  int32_t rotary_dim;             /* of each head the first so many elements are rotated */
  bool norms_after;               /* a block's norm comes after its residual sum, else before the block */
  bool parallel;                  /* attention and feed-forward read the same rows, and both are added to them */
  bool qkv_bias, out_bias, feed_bias, head_norms;   /* of families that have these or not; head_norms: RMSNorm of each head's queries and keys */
  bool tied;                      /* the head's product reads the embedding table */
  int32_t bos_id;                 /* -1: none */
  bool add_bos;                   /* a text begins with bos_id even where the tokenizer's template does not say so */
  int32_t eos_ids[PITH_MAX_EOS];
  uint32_t n_eos;
  int32_t max_tokens;             /* texts are cut here (special tokens counted) */
  pith_pooling pooling;
  bool normalize;
  pith_attention attention;
} pith_config;

/* Outside of the layers: the configuration's. */
static inline pith_layer_shape pith_layer_shape_of(const pith_config *c, int32_t layer) {
  if (c->layers && layer >= 0 && layer < c->n_layers) return c->layers[layer];
  return (pith_layer_shape){c->n_heads, c->n_kv_heads, c->intermediate_size};
}

typedef enum pith_role {
  PITH_ROLE_VECTOR,               /* norms, biases: f32 (cols) */
  PITH_ROLE_MATRIX,               /* read by products: (rows outputs, cols inputs) */
  PITH_ROLE_HEAD,                 /* a matrix whose product gives logits; where it is tied its rows are looked up too */
  PITH_ROLE_LABELS,               /* a matrix whose product gives a label each */
  PITH_ROLE_TABLE                 /* rows are looked up, never multiplied */
} pith_role;

/* One weight that a family needs. `id` indexes pith_stage_weights; names are the Hub's. Where checkpoints store several weights as one tensor,
 * the name is that tensor's, a colon and what tells them apart. */
#define PITH_MAX_NAME 160
typedef struct pith_slot {
  char name[PITH_MAX_NAME];
  pith_role role;
  uint32_t id;
  uint32_t rows, cols;            /* rows is 1 for vectors */
  pith_view view;                 /* how a checkpoint has it */
} pith_slot;

#define PITH_MAX_SLOTS 24
struct pith_family {
  const char *name;                       /* config.json's "model_type" */
  pith_task task;
  const char *const *architectures;       /* config.json's "architectures" that it reads; NULL-terminated. With heads: XModel alone, also XFor… */
  pith_status (*parse)(pith_ctx *ctx, const pith_json *config_json, const char *what, pith_config *out);
  /* The weights of a stage: -1 before the layers, 0 … n_layers - 1, n_layers after them. Returns the count. */
  uint32_t (*slots)(const pith_config *config, int32_t stage, pith_slot out[PITH_MAX_SLOTS]);
  /* Prefixes under which checkpoints of the family store the same names ("", "bert.", "model."); NULL-terminated. */
  const char *const *prefixes;
  const pith_head *heads;                 /* of PITH_TASK_CLASSIFY, _TAG and _FILL; NULL: the family has none */
};
extern const pith_family pith_family_bert, pith_family_distilbert, pith_family_roberta, pith_family_xlm_roberta, pith_family_llama, pith_family_qwen2, pith_family_qwen3,
    pith_family_gpt2, pith_family_gpt_neox;
/* "f32", "i16", "i8"; absent: f32. */
pith_status pith_attention_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_attention *out);
const char *pith_attention_name(pith_attention attention);
/* The names of the labels that config.json (or a manifest's copy) gives, in order; NULL for tasks without. */
pith_json *pith_labels(const pith_config *config, const pith_json *config_json);
const pith_family *const *pith_families(void);   /* NULL-terminated */

/* Reads config.json (or a manifest's copy of it): finds the family by "architectures", or "model_type", then its own keys.
 * PITH_E_UNSUPPORTED lists the supported families. */
pith_status pith_config_parse(pith_ctx *ctx, const pith_json *json, const char *what, pith_config *out);

/* How a matrix's weights are stored (matrix.c). */
typedef enum pith_encoding {
  PITH_ENC_F32, PITH_ENC_F16, PITH_ENC_U7, PITH_ENC_U7_BLOCK, PITH_ENC_U7_SPARSE, PITH_ENC_U7_PACKED, PITH_ENC_U6, PITH_ENC_U5, PITH_ENC_U4, PITH_ENC_U4_MIN, PITH_ENC_U8_ROW
} pith_encoding;
enum { PITH_N_ENCODINGS = PITH_ENC_U8_ROW + 1 };
const char *pith_encoding_name(pith_encoding encoding);            /* "f32", "f16", "u7", "u7-block", "u7-sparse", "u7-packed", "u6", … */
bool pith_encoding_find(const char *name, pith_encoding *out);     /* false: there is none of that name; NULL is none */
bool pith_encoding_multiplied(pith_encoding encoding);             /* products read it; else it is for tables alone */
bool pith_encoding_scaled(pith_encoding encoding);                 /* its scales are F16 or F32 as the tensor needs: scale_dtype */
uint32_t pith_encoding_group_multiple(pith_encoding encoding);     /* what group_size is a multiple of; 0: no groups */
/* u7 of which only some codes are stored, and places that say which; all others are the zero point. */
bool pith_encoding_sparse(pith_encoding encoding);
/* Encodings for storage alone, which are u7 in memory: the bits that a code is packed to. 0: memory has what is stored. */
uint32_t pith_encoding_bits(pith_encoding encoding);

/* Rows of a matrix that lie together; a matrix larger than a shard has several. row_begin is a multiple of 8. */
typedef struct pith_part {
  uint32_t row_begin, n_rows;
  const void *codes, *scales;   /* pith_matrix_planes; scales: NULL for floats */
  const uint8_t *places;        /* sparse: NULL elsewhere */
  uint64_t n_stored;            /* sparse: bytes of codes */
  const uint16_t *quads;        /* u7-block, for products: (blocks) and (panels * groups + 1), pith_sparse_panels */
  const uint32_t *starts;
} pith_part;

typedef struct pith_matrix {
  pith_encoding encoding;
  pith_dtype scale_dtype;  /* PITH_F16 or PITH_F32, where pith_encoding_scaled */
  uint32_t rows, cols, group_size, n_parts;
  pith_part *parts;
} pith_matrix;

/* What n_rows rows consist of, in whole panels where the encoding has panels: codes (or values), scales, places. Returns the count. */
typedef struct pith_plane {
  const char *kind;        /* "codes", "values", "scales", "places" */
  pith_dtype dtype;
  uint32_t n_dims;
  uint64_t dims[4];        /* PITH_ANY: as many blocks (u7-sparse: bytes) as places say */
} pith_plane;
#define PITH_BITS_LEFT "has bits that are not 0 after a panel's last code"
enum { PITH_MAX_PLANES = 3, PITH_MAX_BLOCK_COLS = PITH_QUAD << 16 };   /* u7-block: quads are counted in 16 bits */
#define PITH_ANY UINT64_MAX
uint32_t pith_matrix_planes(const pith_matrix *matrix, uint64_t n_rows, pith_plane out[PITH_MAX_PLANES]);
/* What is wrong with the bytes of a part, or of some of its panels; NULL: nothing. */
const char *pith_matrix_fault(const pith_matrix *matrix, const pith_part *part);
/* Row `row` of a table or matrix as floats. dst: (cols) */
void pith_matrix_row(const pith_matrix *matrix, uint32_t row, float *dst);
/* Bytes of the planes. Also the place of row n_rows (a multiple of 8) within a part. Codes of sparse ones depend on places: pith_matrix_stored_bytes. */
uint64_t pith_matrix_code_bytes(const pith_matrix *matrix, uint64_t n_rows);
uint64_t pith_matrix_scale_bytes(const pith_matrix *matrix, uint64_t n_rows);

/* Sparse matrices. Bytes of the codes that n_rows rows store, and of their places. */
uint64_t pith_matrix_stored_bytes(const pith_matrix *matrix, uint64_t n_rows, const uint8_t *places);
uint64_t pith_matrix_place_bytes(const pith_matrix *matrix, uint64_t n_rows);
/* What is wrong with places, for which n_stored bytes of codes are there; NULL: nothing. */
const char *pith_matrix_places_fault(const pith_matrix *matrix, uint64_t n_rows, const uint8_t *places, uint64_t n_stored);
/* All codes of n_rows rows of a sparse or packed matrix, as u7 has them. `stored` may be the end of the room for `codes`. Without fault:
 * pith_matrix_fault. False: what fills up a panel's last byte is not 0. */
bool pith_matrix_expand(const pith_matrix *matrix, uint64_t n_rows, const uint8_t *places, const uint8_t *stored, uint8_t *codes);
/* Of a u7-block part: quads (blocks), starts (panels * groups + 1). */
void pith_matrix_index_blocks(const pith_matrix *matrix, const pith_part *part, uint16_t *quads, uint32_t *starts);

#endif
