#!/usr/bin/env node
// The command line: the same C as build/pith, compiled to WebAssembly, and what is Node.js's alone: `import`, `sweep` and `report`.
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
      const { done, total, unit } = progress, now = Date.now(), amount = (/** @type {number} */ n) => (unit === 'bytes' ? `${(n / 1e6).toFixed(1)} MB` : `${n}`);
      if (progress.phase !== phase) [phase, begin, last, first] = [progress.phase, now, now, done]; // what was there says nothing of the speed
      if (now - last < (terminal ? REDRAW_MS : LINE_MS)) return;
      last = now;
      const rate = (done - first) / (now - begin) * 1e3;
      const left = total > 0 && rate > 0 ? `, ${((total - done) / rate).toFixed(0)} s left` : '';
      const text = `${phase}: ${amount(done)}${total > 0 ? ` of ${amount(total)}` : ''}${unit === 'bytes' ? `, ${amount(rate)}/s` : ` ${unit}`}${left}`;
      process.stderr.write(terminal ? `\r${text}\x1b[K` : `${text}\n`);
      open = terminal;
    },
    clear() {
      if (open) process.stderr.write('\r\x1b[K');
    },
  };
}

/** "cosineMean" → "cosine_mean", as the other commands print it. @param {unknown} value @returns {any} */
const snakeCase = (value) => (value === null || typeof value !== 'object' || Array.isArray(value) ? value
  : Object.fromEntries(Object.entries(value).map(([key, item]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), snakeCase(item)])));

/** @param {Record<string, any>} members @param {boolean} json */
function printMembers(members, json) {
  const lines = Object.entries(members).map(([key, value]) => `${key.padEnd(24)} ${value}\n`);
  process.stdout.write(json ? `${JSON.stringify(members)}\n` : lines.join(''));
}

/** @typedef {ReturnType<typeof progressLine>} Line */

/** @param {Record<string, any>} args @param {Line} line */
async function importCommand({ source, output, revision, force, json }, line) {
  const { importModel } = await import('./index.js');
  const result = await importModel(source, { output, revision, force, signal: interrupt.signal, onProgress: line.tell });
  line.clear();
  printMembers(snakeCase(result), json);
  return 0;
}

/** One job of a sweep as it ends. @param {import('./results.js').SweepResult} result @param {boolean} json */
function printResult({ id, status, label, bytes, quality, timing, error }, json) {
  if (json) return process.stdout.write(`${JSON.stringify(snakeCase({ id, status, label, bytes, quality, timing, error }))}\n`);
  if (error) return process.stdout.write(`${label}: failed: ${error.message} (${error.code})\n`);
  const figures = Object.entries(snakeCase(quality)).filter(([, value]) => typeof value === 'number').map(([key, value]) => `${key} ${Number(value.toPrecision(6))}`);
  return process.stdout.write(`${label}: ${((bytes ?? 0) / 1e6).toFixed(2)} MB, ${figures.join(', ')}\n`);
}

/** @param {Record<string, any>} args @param {Line} line */
async function sweepCommand({ command, words, source, json, calibrate, ...options }, line) {
  const { sweep } = await import('./index.js');
  const { total, done, failed, present } = await sweep(source, {
    .../** @type {import('./sweep.js').SweepOptions} */ (options), calibrate: calibrate?.map((/** @type {string} */ file) => (file === 'none' ? null : file)),
    signal: interrupt.signal, onProgress: line.tell, onResult: (result) => { line.clear(); printResult(result, json); },
  });
  line.clear();
  process.stderr.write(`pith: ${total} jobs: ${done} done${present > 0 ? `, ${present} done earlier` : ''}${failed > 0 ? `, ${failed} failed` : ''}\n`);
  return failed > 0 ? 1 : 0;
}

/** @param {Record<string, any>} args */
async function reportCommand({ words, output, svg, force, json }) {
  const { report } = await import('./index.js');
  const { files, ...rest } = await report(words, { output, svg, force });
  printMembers({ ...snakeCase(rest), files: json ? files : files.join(' ') }, json);
  return 0;
}

/** @param {Record<string, any>} args as the C library leaves them */
async function hostCommand(args) {
  const line = progressLine(process.stderr.isTTY === true);
  try {
    return await (args.command === 'sweep' ? sweepCommand(args, line) : args.command === 'report' ? reportCommand(args) : importCommand(args, line));
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
  process.exitCode = await engine.commandLine(process.argv.slice(2), process.stderr.isTTY === true, () => interrupted, hostCommand);
  engine.close();
} catch (error) {
  console.error(`pith: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 13;
}
