/* Calibration texts: models that embed read them in pieces too, and the pieces are the text. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/calibrate.h"
#include "tiny_checkpoint.h"

static const tiny_shape shape = {.bert = true, .hidden = 72, .inner = 130, .layers = 1, .heads = 6, .kv_heads = 6, .vocab = 701, .positions = 300};
enum { WORDS = 60, TEXTS = 12, FIRST = 1, LAST = 1 /* special tokens of a sequence */, LEAST = 5, MOST = 15 };

typedef struct tokenized {
  pith_host_posix posix;
  pith_host host;
  pith_ctx ctx;
  pith_checkpoint checkpoint;
  pith_model model;
  pith_source source;
  pith_texts texts;
  pith_calibration calibration;
} tokenized;

static char root[256], folders[1][512];

/* A word is one token, known or not. */
static void tokenize(tokenized *t, const char *lines, bool cuts, size_t most) {
  memset(t, 0, sizeof *t);
  t->host = pith_host_posix_init(&t->posix);
  pith_ctx_init(&t->ctx, &t->host, NULL);
  assert_int_equal(pith_checkpoint_open(&t->ctx, folders[0], &t->checkpoint), PITH_OK);
  t->model.config = t->checkpoint.config;
  t->model.kernels = pith_kernels_find("auto");
  assert_int_equal(pith_model_checkpoint_tokenizer(&t->ctx, &t->checkpoint, &t->model.tokenizer), PITH_OK);
  t->source = pith_source_checkpoint(&t->model, &t->checkpoint);
  assert_int_equal(pith_texts_split(&t->ctx, lines, strlen(lines), &t->texts), PITH_OK);
  assert_int_equal(pith_calibration_begin(&t->ctx, &t->calibration, &t->source, PITH_ATTENTION_F32, &t->texts, false), PITH_OK);
  t->calibration.cuts = cuts;
  t->calibration.most_tokens = most;
  pith_status status;
  while ((status = pith_calibration_tokenize(&t->ctx, &t->calibration)) == PITH_PENDING) continue;
  if (status != PITH_OK) fail_msg("%s", t->ctx.message);
}

static void release(tokenized *t) {
  pith_calibration_free(&t->ctx, &t->calibration);
  pith_texts_free(&t->ctx, &t->texts);
  pith_source_close(&t->ctx, &t->source);
  pith_model_close(&t->ctx, &t->model);
  pith_checkpoint_close(&t->ctx, &t->checkpoint);
  pith_host_posix_free(&t->posix);
}

/* Lines of n words each, no two alike. */
static const char *lines_of(int n) {
  static char lines[TEXTS * WORDS * 8];
  size_t at = 0;
  for (int i = 0; i < TEXTS; i++) {
    for (int k = 0; k < n; k++) at += (size_t)snprintf(lines + at, sizeof lines - at, "%s%c", k ? (k % 7 ? " " : " \t ") : "", 'a' + (i * 5 + k * 3 + k * k) % 26);
    at += (size_t)snprintf(lines + at, sizeof lines - at, "\n");
  }
  return lines;
}

static void test_pieces_are_the_text(void **state) {
  (void)state;
  static tokenized whole, cut;
  bool seen[MOST + LEAST] = {false};
  tokenize(&whole, lines_of(WORDS), false, 1 << 20);
  tokenize(&cut, lines_of(WORDS), true, 1 << 20);
  assert_int_equal(whole.calibration.n_sequences, TEXTS);
  assert_int_equal(cut.calibration.n_tokenized, TEXTS);
  uint32_t q = 0;
  for (int i = 0; i < TEXTS; i++) {
    const pith_span *text = &whole.calibration.sequences[i];
    const int32_t *ids = whole.calibration.ids.ids + text->row;
    assert_int_equal(text->n_rows, FIRST + WORDS + LAST);
    if (i % 3 == 0) assert_int_equal(cut.calibration.sequences[q].n_rows, text->n_rows);
    for (uint32_t n = 0; n < WORDS; q++) {
      const pith_span *piece = &cut.calibration.sequences[q];
      const uint32_t n_words = piece->n_rows - FIRST - LAST;
      assert_true(q < cut.calibration.n_sequences);
      assert_memory_equal(cut.calibration.ids.ids + piece->row + FIRST, ids + FIRST + n, n_words * sizeof *ids);
      assert_int_equal(cut.calibration.ids.ids[piece->row], ids[0]);
      n += n_words;
      assert_true(n <= WORDS);
      if (i % 3 == 0) continue;
      assert_in_range(n_words, LEAST, MOST + LEAST - 1);
      seen[n_words] = true;
    }
  }
  assert_int_equal(q, cut.calibration.n_sequences);
  for (int n = LEAST; n <= MOST; n++) assert_true(seen[n]);   /* of every length */
  release(&whole);
  release(&cut);
}

/* What cannot be cut into two pieces is not, and where the tokens end a text is not counted twice. */
static void test_short_texts_and_the_end(void **state) {
  (void)state;
  static tokenized t;
  tokenize(&t, lines_of(2 * LEAST - 1 + 20), true, 300);
  assert_int_equal(t.calibration.ids.n, 300);
  assert_in_range(t.calibration.n_tokenized, 8, 10);   /* 31 tokens each, some more where they were cut */
  release(&t);
  static char lines[8192];
  lines[0] = '\0';
  for (int i = 0; i < 60; i++) snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "%c b c d e f g h %c\n", 'a' + i % 26, 'a' + i / 26);
  tokenize(&t, lines, true, 1 << 20);
  assert_int_equal(t.calibration.n_sequences, 60);   /* nine words: no two pieces of five */
  release(&t);
}

static int begin(void **state) {
  (void)state;
  tiny_checkpoints(root, sizeof root, &shape, 1, folders);
  return 0;
}

static int end(void **state) {
  (void)state;
  tiny_remove(root);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces_are_the_text), cmocka_unit_test(test_short_texts_and_the_end)};
  return cmocka_run_group_tests(tests, begin, end);
}
