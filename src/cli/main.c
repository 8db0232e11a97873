/* The native program: POSIX host, the command line, its exit code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host_posix.h"
#include "base/json.h"
#include "cli/cli.h"

int main(int argc, char **argv) {
  pith_host_posix posix;
  const pith_host host = pith_host_posix_init(&posix);
  pith_ctx ctx;
  pith_buffer text = {0};
  pith_json *list = pith_json_new_array();
  pith_ctx_init(&ctx, &host, NULL);
  for (int i = 1; i < argc; i++) pith_json_add_string(list, NULL, argv[i]);
  if (pith_json_print(&ctx, list, false, &text) != PITH_OK) return PITH_E_MEMORY;
  pith_json_free(list);
  pith_host_posix_catch_signals();
  pith_cli *cli = pith_cli_open(&host, NULL, text.data, text.n_bytes, isatty(PITH_STDERR) != 0);
  pith_buffer_free(&ctx, &text);
  if (!cli) return PITH_E_MEMORY;
  while (pith_cli_step(cli, 50.0) == PITH_PENDING) continue;
  int code = pith_cli_exit_code(cli);
  if (pith_cli_for_host(cli)) {
    fputs(strcmp(argv[1], "import") == 0
            ? "pith: this program has no network: `npx pith import` fetches; a checkpoint that is here is read where it lies (PITH_E_UNSUPPORTED)\n"
            : "pith: `sweep` and `report` are written in JavaScript: `npx pith sweep` and `npx pith report` run them in Node.js (PITH_E_UNSUPPORTED)\n", stderr);
    code = PITH_E_UNSUPPORTED;
  }
  pith_cli_close(cli);
  pith_host_posix_free(&posix);
  return code;
}
