/* A sensitivity file for one small checkpoint. What is taken over prints as it was, and where it is complete any budget finds a recipe or says that
 * there is none. */
#include <string.h>

#include "compress/plan.h"
#include "compress/recipe.h"

static const char config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_act\":\"silu\",\"rope_theta\":10000,\"rms_norm_eps\":1e-5,\"hidden_size\":64,"
    "\"intermediate_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":2,\"num_key_value_heads\":1,\"vocab_size\":4,"
    "\"max_position_embeddings\":16,\"tie_word_embeddings\":false}";
static const char tokenizer[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"post_processor\":null,\"decoder\":null,"
    "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"[UNK]\",\"vocab\":{\"[UNK]\":0,\"a\":1,\"b\":2,\"c\":3}}}";

/* A folder "m" in memory. */
typedef struct memory_folder {
  pith_buffer files[3];
} memory_folder;
static const char *const names[] = {"m/config.json", "m/tokenizer.json", "m/model.safetensors"};

static int32_t file_of(const char *path) {
  for (int32_t i = 0; i < 3; i++)
    if (strcmp(path, names[i]) == 0) return i;
  return -(int32_t)PITH_E_NOT_FOUND;
}

static int32_t folder_open(void *user, const char *path, uint64_t *size) {
  const int32_t i = file_of(path);
  if (i >= 0) *size = ((memory_folder *)user)->files[i].n_bytes;
  return i < 0 ? i : i + 3;
}

static int64_t folder_read(void *user, int32_t handle, uint64_t offset, void *dst, uint64_t n_bytes) {
  const pith_buffer *file = &((memory_folder *)user)->files[handle - 3];
  if (offset >= file->n_bytes) return 0;
  const uint64_t left = file->n_bytes - offset, n = n_bytes < left ? n_bytes : left;
  memcpy(dst, file->data + offset, (size_t)n);
  return (int64_t)n;
}

static int32_t folder_close(void *user, int32_t handle) {
  (void)user;
  (void)handle;
  return 0;
}

static int32_t folder_exists(void *user, const char *path) {
  (void)user;
  return strcmp(path, "m") == 0 ? 2 : file_of(path) >= 0;
}

static void need(pith_status status) {
  if (status != PITH_OK) __builtin_trap();
}

/* Weights that do not matter: only their shapes are looked at. */
static void make_weights(pith_ctx *ctx, pith_buffer *out) {
  enum { MAX_TENSORS = 64 };
  static pith_tensor_entry entries[MAX_TENSORS];
  static char entry_names[MAX_TENSORS][PITH_MAX_NAME];
  static const float zeros[64];
  pith_json *json;
  pith_config c;
  pith_slot slots[PITH_MAX_SLOTS];
  size_t n = 0, n_floats = 0;
  need(pith_json_parse(ctx, config, strlen(config), "config.json", &json));
  need(pith_config_parse(ctx, json, "config.json", &c));
  pith_json_free(json);
  for (int32_t stage = -1; stage <= c.n_layers; stage++) {
    const uint32_t n_slots = c.family->slots(&c, stage, slots);
    for (uint32_t i = 0; i < n_slots; i++, n++) {
      const bool vector = slots[i].role == PITH_ROLE_VECTOR;
      memcpy(entry_names[n], slots[i].name, sizeof entry_names[n]);
      entries[n] = (pith_tensor_entry){.name = entry_names[n], .dtype = PITH_F32, .n_dims = vector ? 1 : 2, .n_bytes = (uint64_t)slots[i].rows * slots[i].cols * sizeof(float)};
      entries[n].dims[0] = vector ? slots[i].cols : slots[i].rows;
      entries[n].dims[1] = vector ? 0 : slots[i].cols;
      n_floats += (size_t)slots[i].rows * slots[i].cols;
    }
  }
  need(pith_safetensors_print(ctx, entries, n, NULL, 0, out));
  for (; n_floats > 0; n_floats -= n) {
    n = n_floats < 64 ? n_floats : 64;
    need(pith_buffer_append(ctx, out, zeros, n * sizeof *zeros));
  }
}

static void choose(pith_ctx *ctx, pith_plan *plan) {
  static const double limits[] = {0.0, 1e-6, 0.5, 1e4, 2e4, 1e300};
  pith_status status = pith_plan_step(ctx, plan);
  for (int round = 0; round < 2; round++, plan->options.budget = PITH_BUDGET_LOSS)
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
      pith_recipe recipe;
      bool solves;
      status = pith_plan_choose(ctx, plan, limits[i]);
      if (status != PITH_OK && status != PITH_E_LIMIT) __builtin_trap();
      need(pith_recipe_parse(ctx, plan->recipe, "the plan", &recipe));
      need(pith_recipe_check(ctx, &recipe, &plan->checkpoint.config, true, &solves));
      if (status == PITH_OK && !((plan->options.budget == PITH_BUDGET_BYTES ? plan->bytes : plan->loss) <= limits[i] * (1 + 1e-9))) __builtin_trap();
    }
  pith_json *report = pith_json_new_object();
  pith_buffer text = {0};
  pith_plan_report(plan, report);
  need(pith_json_print(ctx, report, false, &text));
  pith_buffer_free(ctx, &text);
  pith_json_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  static memory_folder folder;
  const pith_host host = {.user = &folder, .open = folder_open, .read = folder_read, .close = folder_close, .exists = folder_exists};
  pith_ctx ctx;
  pith_json *json;
  pith_plan plan;
  const char *line = "a b c a";
  const size_t n_line = 7;
  const pith_texts texts = {&line, (size_t *)&n_line, 1};
  const pith_plan_options options = {.source = "m", .limit = 1e5, .texts = &texts, .attention = PITH_ATTENTION_I16, .kernels = pith_kernels_find("scalar")};
  pith_ctx_init(&ctx, &host, NULL);
  if (!folder.files[0].data) {
    need(pith_buffer_append(&ctx, &folder.files[0], config, strlen(config)));
    need(pith_buffer_append(&ctx, &folder.files[1], tokenizer, strlen(tokenizer)));
    make_weights(&ctx, &folder.files[2]);
  }
  if (pith_json_parse(&ctx, (const char *)data, n_bytes, "file", &json) != PITH_OK) return 0;
  if (pith_plan_begin(&ctx, &plan, &options) != PITH_OK) __builtin_trap();
  if (pith_sensitivity_read(&ctx, &plan.sensitivity, json, "file") == PITH_OK && plan.sensitivity.unit == PITH_SENSE_DONE) choose(&ctx, &plan);
  pith_plan_free(&ctx, &plan);
  pith_json_free(json);
  return 0;
}
