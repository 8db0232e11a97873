/* The folder of a package: what may be replaced, what is never removed, and that a failed change is taken back. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host_posix.h"
#include "package/folder.h"

static pith_ctx ctx;
static pith_host_posix posix;
static char root[64];
static int fail_rename;   /* counts down to the rename that fails */
static int32_t (*real_rename)(void *user, const char *from, const char *to);

static int32_t failing_rename(void *user, const char *from, const char *to) {
  return --fail_rename == 0 ? -(int32_t)PITH_E_IO : real_rename(user, from, to);
}

static const char *at(const char *name) {
  static char paths[4][512];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", root, name);
  return path;
}

static bool is_there(const char *name) { return access(at(name), F_OK) == 0; }

static void put(const char *name, const char *text) {
  FILE *file = fopen(at(name), "wb");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void put_package(const char *name, const char *text) {
  char file[256];
  static const char *const files[] = {"pith.json", "tokenizer.json", "shard-00001.safetensors", "shard-00002.safetensors"};
  assert_int_equal(mkdir(at(name), 0777), 0);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    snprintf(file, sizeof file, "%s/%s", name, files[i]);
    put(file, text);
  }
}

static char first_byte(const char *name) {
  FILE *file = fopen(at(name), "rb");
  assert_non_null(file);
  const int c = fgetc(file);
  fclose(file);
  return (char)c;
}

static int set_up(void **state) {
  (void)state;
  strcpy(root, "/tmp/pith-folder-XXXXXX");
  assert_non_null(mkdtemp(root));
  pith_host host = pith_host_posix_init(&posix);
  real_rename = host.rename;
  host.rename = failing_rename;
  fail_rename = 0;
  pith_ctx_init(&ctx, &host, NULL);
  assert_int_equal(mkdir(at("source"), 0777), 0);
  put("source/config.json", "{}");
  put("source/model.safetensors", "weights");
  return 0;
}

static int tear_down(void **state) {
  char command[128];
  (void)state;
  snprintf(command, sizeof command, "rm -rf %s", root);
  return system(command);
}

static pith_status open_close(const char *name, bool force) {
  pith_package_folder f = {0};
  const pith_status status = pith_package_folder_open(&ctx, &f, at(name), at("source"), force, false);
  pith_package_folder_close(&ctx, &f);
  return status;
}

static void test_new(void **state) {
  (void)state;
  pith_package_folder f = {0};
  assert_int_equal(pith_package_folder_open(&ctx, &f, at("new//"), at("source"), false, false), PITH_OK);
  put("new.partial/pith.json", "1");
  assert_int_equal(pith_package_folder_publish(&ctx, &f), PITH_OK);
  pith_package_folder_close(&ctx, &f);
  assert_true(is_there("new/pith.json") && !is_there("new.partial"));
  assert_int_equal(open_close("new", false), PITH_E_EXISTS);
  assert_int_equal(open_close("other", false), PITH_OK);
  assert_true(!is_there("other") && !is_there("other.partial"));   /* closed before it was whole */
}

static void test_replace(void **state) {
  (void)state;
  put_package("package", "o");
  pith_package_folder f = {0};
  assert_int_equal(pith_package_folder_open(&ctx, &f, at("package"), at("source"), true, false), PITH_OK);
  put("package.partial/pith.json", "n");
  assert_int_equal(first_byte("package/shard-00002.safetensors"), 'o');   /* until the new one is whole */
  assert_int_equal(pith_package_folder_publish(&ctx, &f), PITH_OK);
  pith_package_folder_close(&ctx, &f);
  assert_int_equal(first_byte("package/pith.json"), 'n');
  assert_true(!is_there("package/tokenizer.json") && !is_there("package.partial") && !is_there("package.replaced"));
  assert_int_equal(mkdir(at("empty"), 0777), 0);
  assert_int_equal(open_close("empty", true), PITH_OK);
  assert_true(is_there("empty"));
}

static void test_failed_change(void **state) {
  (void)state;
  for (int which = 1; which <= 2; which++) {
    char name[64];
    snprintf(name, sizeof name, "package-%d", which);
    put_package(name, "o");
    pith_package_folder f = {0};
    assert_int_equal(pith_package_folder_open(&ctx, &f, at(name), at("source"), true, false), PITH_OK);
    fail_rename = which;
    assert_int_equal(pith_package_folder_publish(&ctx, &f), PITH_E_IO);
    pith_package_folder_close(&ctx, &f);
    snprintf(name, sizeof name, "package-%d/shard-00002.safetensors", which);
    assert_int_equal(first_byte(name), 'o');
    snprintf(name, sizeof name, "package-%d.replaced", which);
    assert_false(is_there(name));
    snprintf(name, sizeof name, "package-%d.partial", which);
    assert_false(is_there(name));
  }
}

/* Nothing that is not a package is replaced, whatever is forced. */
static void test_refused(void **state) {
  (void)state;
  assert_int_equal(mkdir(at("home"), 0777), 0);
  put("home/letter.txt", "dear");
  assert_int_equal(open_close("home", true), PITH_E_EXISTS);
  put("file", "x");
  assert_int_equal(open_close("file", true), PITH_E_EXISTS);
  put_package("package", "o");
  put("package/README.md", "mine");
  assert_int_equal(open_close("package", true), PITH_E_EXISTS);
  put_package("kept", "o");
  assert_int_equal(mkdir(at("kept/folder"), 0777), 0);
  assert_int_equal(open_close("kept", true), PITH_E_EXISTS);
  assert_true(is_there("home/letter.txt") && is_there("file") && is_there("package/README.md") && is_there("kept/pith.json"));
  /* what is in the way of the partial folder */
  assert_int_equal(mkdir(at("a.partial"), 0777), 0);
  put("a.partial/letter.txt", "dear");
  assert_int_equal(open_close("a", false), PITH_E_EXISTS);
  assert_int_equal(open_close("a", true), PITH_E_EXISTS);
  put("b.partial", "dear");
  assert_int_equal(open_close("b", true), PITH_E_EXISTS);
  assert_true(is_there("a.partial/letter.txt") && is_there("b.partial"));
  put_package("c.partial", "o");   /* what a broken run left */
  assert_int_equal(open_close("c", false), PITH_OK);
  assert_false(is_there("c.partial"));
}

static void test_beside_source(void **state) {
  (void)state;
  put("source/pith.json", "{}");   /* even then */
  static const char *const names[] = {"source", "source/", "./source", "source/../source", "link", "source/package", "link/package"};
  assert_int_equal(symlink(at("source"), at("link")), 0);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_int_equal(open_close(names[i], true), PITH_E_ARGUMENT);
    assert_non_null(strstr(ctx.message, "the source"));
  }
  static const char *const nameless[] = {"", ".", "..", "source/.", "source/.."};
  for (size_t i = 0; i < sizeof nameless / sizeof *nameless; i++) {
    pith_package_folder f = {0};
    assert_int_equal(pith_package_folder_open(&ctx, &f, nameless[i], at("source"), true, false), PITH_E_ARGUMENT);
    pith_package_folder_close(&ctx, &f);
  }
  pith_package_folder f = {0};
  assert_int_equal(pith_package_folder_open(&ctx, &f, root, at("source"), true, false), PITH_E_ARGUMENT);   /* it contains the source */
  pith_package_folder_close(&ctx, &f);
  assert_true(is_there("source/config.json") && is_there("source/model.safetensors"));
  assert_int_equal(open_close("source-2", true), PITH_OK);   /* a name that only begins alike */
}

/* What a link leads to is replaced, and the link stays. */
static void test_link(void **state) {
  (void)state;
  put_package("package", "o");
  assert_int_equal(symlink(at("package"), at("link")), 0);
  pith_package_folder f = {0};
  assert_int_equal(pith_package_folder_open(&ctx, &f, at("link"), at("source"), true, false), PITH_OK);
  put("package.partial/pith.json", "n");
  assert_int_equal(pith_package_folder_publish(&ctx, &f), PITH_OK);
  pith_package_folder_close(&ctx, &f);
  assert_int_equal(first_byte("link/pith.json"), 'n');
  assert_int_equal(first_byte("package/pith.json"), 'n');
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_new, set_up, tear_down),           cmocka_unit_test_setup_teardown(test_replace, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_failed_change, set_up, tear_down), cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(test_beside_source, set_up, tear_down), cmocka_unit_test_setup_teardown(test_link, set_up, tear_down)};
  return cmocka_run_group_tests_name("folder", tests, NULL, NULL);
}
