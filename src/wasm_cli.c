/* The command line in the complete module, for Node.js. */
#include "cli/cli.h"
#include "cli/inputs.h"
#include "pith.h"

/* Exported functions are declared nowhere else: JavaScript calls them. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define EXPORT(name) __attribute__((export_name(#name), used))

pith_host pith_wasm_host(void);   /* wasm.c */

/* argv is a JSON array. */
EXPORT(pith_wasm_cli_open) pith_cli *pith_wasm_cli_open(const char *argv, uint32_t n_bytes, int32_t terminal) {
  const pith_host host = pith_wasm_host();
  return pith_cli_open(&host, NULL, argv, n_bytes, terminal != 0);
}
EXPORT(pith_wasm_cli_step) int32_t pith_wasm_cli_step(pith_cli *cli, double budget_ms) { return (int32_t)pith_cli_step(cli, budget_ms); }
EXPORT(pith_wasm_cli_exit_code) int32_t pith_wasm_cli_exit_code(pith_cli *cli) { return pith_cli_exit_code(cli); }
EXPORT(pith_wasm_cli_for_host) const char *pith_wasm_cli_for_host(const pith_cli *cli) { return pith_cli_for_host(cli); }
/* A JSON text of cli/inputs.h, or NULL when memory is out. The caller frees. */
EXPORT(pith_wasm_cli_inputs) char *pith_wasm_cli_inputs(const char *arguments, uint32_t n_bytes) {
  const pith_host host = pith_wasm_host();
  pith_ctx ctx;
  pith_buffer out = {0};
  pith_ctx_init(&ctx, &host, NULL);
  if (pith_inputs_for_host(&ctx, arguments, n_bytes, &out) == PITH_OK) return out.data;
  pith_buffer_free(&ctx, &out);
  return NULL;
}
EXPORT(pith_wasm_cli_close) void pith_wasm_cli_close(pith_cli *cli) { pith_cli_close(cli); }
