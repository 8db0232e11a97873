#!/usr/bin/env node
// The command line: the same C as build/pith, compiled to WebAssembly.
import { Engine } from './engine.js';
import { MountedFiles } from './files.js';
import { eventLoopTurn, machineFiles, prepareModule, sha256, startThread, suggestedThreads } from './load.js';

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { interrupted = true; });
// A reader that went away (`| head`) is an error of the next write, not a crash.
process.stdout.on('error', () => {});

try {
  const threads = { suggested: suggestedThreads(), start: startThread };
  const engine = new Engine(await prepareModule({ threads: 'auto', complete: true }), new MountedFiles(machineFiles()), eventLoopTurn(), threads, sha256);
  process.exitCode = await engine.commandLine(process.argv.slice(2), process.stderr.isTTY === true, () => interrupted);
  engine.close();
} catch (error) {
  console.error(`pith: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 13;
}
