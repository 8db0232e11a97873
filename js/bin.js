#!/usr/bin/env node
// The command line: the same C as build/pith, compiled to WebAssembly, and `import`, which needs a network.
import { Engine } from './engine.js';
import { CancelledError, PithError, statusOf } from './errors.js';
import { MountedFiles } from './files.js';
import { eventLoopTurn, machineFiles, prepareModule, sha256, startThread, suggestedThreads } from './load.js';

const REDRAW_MS = 100, LINE_MS = 5000;

let interrupted = false;
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { interrupted = true; interrupt.abort(); });
// A reader that went away (`| head`) is an error of the next write, not a crash.
process.stdout.on('error', () => {});

/** Progress as the other commands print it. @param {boolean} terminal */
function progressLine(terminal) {
  let phase = '', begin = 0, last = 0, first = 0, open = false;
  return {
    /** @param {import('./index.js').Progress} progress */
    tell(progress) {
      const { done, total } = progress, now = Date.now(), mega = (/** @type {number} */ n) => `${(n / 1e6).toFixed(1)} MB`;
      if (progress.phase !== phase) [phase, begin, last, first] = [progress.phase, now, now, done]; // what was there says nothing of the speed
      if (now - last < (terminal ? REDRAW_MS : LINE_MS)) return;
      last = now;
      const rate = (done - first) / (now - begin) * 1e3;
      const left = total > 0 && rate > 0 ? `, ${((total - done) / rate).toFixed(0)} s left` : '';
      const text = `${phase}: ${mega(done)}${total > 0 ? ` of ${mega(total)}` : ''}, ${mega(rate)}/s${left}`;
      process.stderr.write(terminal ? `\r${text}\x1b[K` : `${text}\n`);
      open = terminal;
    },
    clear() {
      if (open) process.stderr.write('\r\x1b[K');
    },
  };
}

/** @param {Record<string, any>} args */
async function importCommand({ source, output, revision, force, json }) {
  const line = progressLine(process.stderr.isTTY === true);
  try {
    const { importModel } = await import('./index.js');
    const result = await importModel(source, { output, revision, force, signal: interrupt.signal, onProgress: line.tell });
    line.clear();
    const { fetchedBytes, ...rest } = result, members = { ...rest, fetched_bytes: fetchedBytes };
    const lines = Object.entries(members).map(([key, value]) => `${key.padEnd(24)} ${value}\n`);
    process.stdout.write(json ? `${JSON.stringify(members)}\n` : lines.join(''));
    return 0;
  } catch (error) {
    line.clear();
    if (!(error instanceof PithError)) throw error;
    console.error(error instanceof CancelledError ? `pith: ${error.message}` : `pith: ${error.message} (${error.code})`);
    return statusOf(error);
  }
}

try {
  const threads = { suggested: suggestedThreads(), start: startThread };
  const engine = new Engine(await prepareModule({ threads: 'auto', complete: true }), new MountedFiles(machineFiles()), eventLoopTurn(), threads, sha256);
  process.exitCode = await engine.commandLine(process.argv.slice(2), process.stderr.isTTY === true, () => interrupted, importCommand);
  engine.close();
} catch (error) {
  console.error(`pith: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 13;
}
