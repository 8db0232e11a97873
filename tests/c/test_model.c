/* model/: configurations as older and newer transformers write them, refusals, and the families' slots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"

#define LLAMA "\"architectures\":[\"LlamaForCausalLM\"],\"hidden_act\":\"silu\",\"hidden_size\":192,\"intermediate_size\":512," \
              "\"num_attention_heads\":6,\"num_hidden_layers\":2,\"num_key_value_heads\":3,\"vocab_size\":4096,"
#define BERT "\"architectures\":[\"BertModel\"],\"hidden_act\":\"gelu\",\"hidden_size\":384,\"intermediate_size\":1536," \
             "\"num_attention_heads\":12,\"num_hidden_layers\":6,\"vocab_size\":30522"

static pith_status parse(pith_ctx *ctx, const char *text, pith_config *config) {
  pith_ctx_init(ctx, NULL, NULL);
  pith_json *json;
  assert_int_equal(pith_json_parse(ctx, text, strlen(text), "config.json", &json), PITH_OK);
  const pith_status status = pith_config_parse(ctx, json, "config.json", config);
  pith_json_free(json);
  return status;
}

static void test_rope_old_and_new(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_config c;
  assert_int_equal(parse(&ctx, "{" LLAMA "\"rope_theta\":500000.0,\"rope_scaling\":null,\"torch_dtype\":\"float32\"}", &c), PITH_OK);
  assert_true(c.rope_theta == 500000.0 && !c.tied && c.head_dim == 32 && c.bos_id == -1);
  assert_int_equal(parse(&ctx, "{" LLAMA "\"rope_parameters\":{\"rope_theta\":1e6,\"rope_type\":\"default\"},\"tie_word_embeddings\":true,"
                               "\"eos_token_id\":[0,7],\"bos_token_id\":0}", &c), PITH_OK);
  assert_true(!c.qkv_bias && !c.feed_bias && c.rotary_dim == 32);
  assert_true(c.rope_theta == 1e6 && c.tied && c.n_eos == 2 && c.eos_ids[1] == 7 && c.bos_id == 0);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    const char *text;
    pith_status status;
    const char *says;
  } cases[] = {
      {"{\"architectures\":[\"T5Model\"]}", PITH_E_UNSUPPORTED, "BertModel, DistilBertModel"},
      {"{}", PITH_E_FORMAT, "architectures"},
      {"{\"architectures\":[\"BertModel\"],\"vocab_size\":-1}", PITH_E_FORMAT, "vocab_size"},
      {"{\"architectures\":[\"BertModel\"],\"vocab_size\":1e300}", PITH_E_FORMAT, "vocab_size"},
      {"{" BERT ",\"position_embedding_type\":\"relative_key\"}", PITH_E_UNSUPPORTED, "position_embedding_type"},
      {"{" LLAMA "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}", PITH_E_UNSUPPORTED, "linear"},
      {"{" LLAMA "\"eos_token_id\":4096}", PITH_E_FORMAT, "eos_token_id"},
      {"{" LLAMA "\"max_position_embeddings\":1}", PITH_E_UNSUPPORTED, "none to guess"},
      {"{" BERT ",\"is_decoder\":true}", PITH_E_UNSUPPORTED, "is_decoder"},
      {"{" LLAMA "\"head_dim\":33}", PITH_E_FORMAT, "halves"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_ctx ctx;
    pith_config c;
    assert_int_equal(parse(&ctx, cases[i].text, &c), cases[i].status);
    assert_non_null(strstr(ctx.message, cases[i].says));
  }
}

/* MiniLM without its pooler: the sum that the model card's 22.7 M parameters come from. */
static void test_slots(void **state) {
  (void)state;
  pith_ctx ctx;
  pith_config c;
  assert_int_equal(parse(&ctx, "{" BERT "}", &c), PITH_OK);
  uint64_t n_parameters = 0;
  uint32_t n_slots = 0;
  pith_slot slots[PITH_MAX_SLOTS];
  for (int32_t stage = -1; stage <= c.n_layers; stage++) {
    const uint32_t n = c.family->slots(&c, stage, slots);
    n_slots += n;
    for (uint32_t i = 0; i < n; i++) n_parameters += (uint64_t)slots[i].rows * slots[i].cols;
    if (stage == 3) assert_string_equal(slots[0].name, "encoder.layer.3.attention.self.query.weight");
  }
  assert_int_equal(n_slots, 5 + 6 * 16);
  assert_int_equal(n_parameters, 22713216 - (384 * 384 + 384));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rope_old_and_new), cmocka_unit_test(test_refusals), cmocka_unit_test(test_slots)};
  return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
