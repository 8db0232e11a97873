/* model/checkpoint on the real checkpoints of ../shared (PITH_SHARED), through a small read-only host over stdio. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/checkpoint.h"
#include "stdio_host.h"

/* Opens ../shared's model, reads every weight of every stage once; returns the parameters read, 0 when it is absent. */
static uint64_t read_all(const char *name, pith_config *config) {
  char relative[128], folder[512];
  snprintf(relative, sizeof relative, "models/%s", name);
  shared_path(folder, sizeof folder, relative);
  pith_ctx ctx;
  pith_ctx_init(&ctx, &stdio_host, NULL);
  pith_checkpoint c;
  const pith_status status = pith_checkpoint_open(&ctx, folder, &c);
  if (status == PITH_E_NOT_FOUND) {
    print_message("skipped: no checkpoint at %s (set PITH_SHARED to the folder that holds data/)\n", folder);
    pith_checkpoint_close(&ctx, &c);
    return 0;
  }
  if (status != PITH_OK) fail_msg("%s", ctx.message);
  uint64_t n_parameters = 0;
  pith_slot slots[PITH_MAX_SLOTS];
  float row[65536];
  for (int32_t stage = -1; stage <= c.config.n_layers; stage++) {
    const uint32_t n = c.config.family->slots(&c.config, stage, slots);
    for (uint32_t i = 0; i < n; i++) {
      const pith_checkpoint_file *file;
      pith_tensor_entry entry;
      if (pith_checkpoint_need(&ctx, &c, &slots[i], &file, &entry) != PITH_OK) fail_msg("%s", ctx.message);
      for (uint64_t r = 0; r < slots[i].rows; r++)
        if (pith_checkpoint_read(&ctx, file, &entry, r * slots[i].cols, slots[i].cols, row) != PITH_OK) fail_msg("%s", ctx.message);
      n_parameters += (uint64_t)slots[i].rows * slots[i].cols;
    }
  }
  *config = c.config;
  pith_checkpoint_close(&ctx, &c);
  for (int i = 0; i < MAX_OPEN; i++) assert_null(opened[i]);
  return n_parameters;
}

static void test_minilm(void **state) {
  (void)state;
  pith_config c;
  const uint64_t n = read_all("all-MiniLM-L6-v2", &c);
  if (n == 0) skip();
  assert_int_equal(n, 22713216 - (384 * 384 + 384));
  assert_true(c.normalize && c.pooling == PITH_POOL_MEAN && c.max_tokens == 256);
}

static void test_decoders(void **state) {
  (void)state;
  pith_config c;
  const uint64_t n = read_all("story", &c);
  if (n == 0) skip();
  /* embedding, then per layer two norms, q and o, k and v, gate, up and down, then the last norm */
  assert_int_equal(n, 4096 * 192 + 6 * (2 * 192 + 2 * 192 * 192 + 2 * 96 * 192 + 3 * 512 * 192) + 192);
  assert_true(c.n_kv_heads == 3 && c.bos_id == 0 && c.n_eos == 1 && c.tied);
  assert_int_equal(read_all("TinyStories-656K", &c), 656000);
  assert_true(c.n_kv_heads == 4 && c.eos_ids[0] == 2 && c.rope_theta == 10000.0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_minilm), cmocka_unit_test(test_decoders)};
  return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
