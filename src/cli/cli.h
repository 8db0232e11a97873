/* The command line over pith.h: the same code behind build/pith and `npx pith`. */
#ifndef PITH_CLI_H
#define PITH_CLI_H

#include "pith.h"

typedef struct pith_cli pith_cli;

/* argv: JSON array of the arguments without the program's name. `terminal`: stderr is one, so progress may redraw a line.
 * Output goes to the host's handles 1 and 2. NULL when memory is out. */
pith_cli *pith_cli_open(const pith_host *host, const pith_allocator *allocator, const char *argv, size_t n_bytes, bool terminal);
/* PITH_PENDING until done, then PITH_OK; failures are printed and become the exit code. */
pith_status pith_cli_step(pith_cli *cli, double budget_ms);
/* 0, or the pith_status of what failed (documented in `pith help`). */
int pith_cli_exit_code(const pith_cli *cli);
/* When done: NULL, or what the command line leaves to its program, which has the network and Node.js or has them not: the arguments of `import`,
 * `sweep` or `report` as a JSON object, {"command", "words", "source", "output", …}, options as cli/options.c names them. */
const char *pith_cli_for_host(const pith_cli *cli);
void pith_cli_close(pith_cli *cli);

#endif
