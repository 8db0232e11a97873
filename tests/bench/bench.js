/**
 * The benchmark: Pith beside its peers, one run on one machine. `npm run bench` (scripts/bench) builds and prepares, then calls this.
 *
 *   --only CASE    this case alone, or all whose id begins so (encoder, batch-32, decoder …); may be given more than once
 *   --rounds N     rounds of every case
 *   --quick        few cases, two rounds: to see that all of it works
 *   --output FILE  where the samples go
 *
 * A whole run writes docs/bench.json; any other one writes build/bench/partial.json unless told where. report.js makes tables and charts of it.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CASES } from './cases.js';
import { currentNode, openChromium, root } from './hosts.js';
import { Measurer } from './measure.js';
import { writeReport } from './report.js';
import { sizes } from './sizes.js';
import { SYSTEMS } from './systems.js';

/** Below these two systems would not compute the same model. transformers.js's q8 has one scale a tensor. */
const LEAST_COSINE = { pith: 0.99, ort: 0.97, transformers: 0.9 };

const { values: options } = parseArgs({ options: { only: { type: 'string', multiple: true }, rounds: { type: 'string' }, quick: { type: 'boolean' }, output: { type: 'string' } } });
if (options.rounds !== undefined && !(Number.isInteger(Number(options.rounds)) && Number(options.rounds) > 0)) throw new Error('--rounds wants a number above 0');
const cases = CASES.filter(({ id, quick }) => (options.only ? options.only.some((prefix) => id.startsWith(prefix)) : !options.quick || quick));
if (cases.length === 0) throw new Error(`no case begins with ${options.only.join(' or ')}; there are ${CASES.map(({ id }) => id).join(', ')}`);
const whole = !options.only && !options.quick;
const output = resolve(options.output ?? join(root, whole ? 'docs/bench.json' : 'build/bench/partial.json'));

const run = (command, args) => execFileSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 }).trim();
const versionOf = (path) => JSON.parse(readFileSync(join(root, 'tests/bench/node_modules', path, 'package.json'), 'utf8')).version;

/** Share of the processors' time that others take while this waits. */
async function busy() {
  const read = () => readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/\s+/).slice(1).map(Number);
  const before = read();
  await pause(2000);
  const spent = read().map((n, i) => n - before[i]), all = spent.reduce((a, b) => a + b, 0);
  return Math.round((1 - (spent[3] + spent[4]) / all) * 1000) / 1000;
}

function machine() {
  const info = readFileSync('/proc/cpuinfo', 'utf8'), flags = /^flags\s*:(.*)$/m.exec(info)?.[1].trim().split(' ') ?? [];
  return {
    processor: cpus()[0].model, family: Number(/^cpu family\s*:\s*(\d+)/m.exec(info)?.[1]), model: Number(/^model\s*:\s*(\d+)/m.exec(info)?.[1]),
    cores: availableParallelism(), memoryGiB: Math.round(totalmem() / 2 ** 30), system: `${process.platform} ${release()}`,
    dotProductInstructions: flags.filter((flag) => /vnni/.test(flag)), vectors: flags.filter((flag) => /^avx2$|^avx512f$/.test(flag)),
  };
}

/** What the report counts operations with. */
function shapes() {
  const { hidden_size: hidden, num_hidden_layers: layers, intermediate_size: intermediate } = JSON.parse(readFileSync(join(root, 'build/bench/checkpoint-512/config.json'), 'utf8'));
  return { minilm: { hidden, layers, intermediate } };
}

/** Token ids for systems that get them ready: Pith's tokenizer, which the tests compare with the reference's. */
const known = new Map();
function idsOf(texts) {
  const key = texts.join('\n');
  if (!known.has(key)) {
    const input = run('build/pith', ['tokenize', 'build/bench/minilm-512', '--json', ...texts]);
    known.set(key, input.split('\n').map((line) => JSON.parse(line).ids));
  }
  return known.get(key);
}

const cosine = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const commonPrefix = (a, b) => {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
};

/** That all computed the same: what differs more than the way of computing explains is a complaint. The vectors themselves are dropped. */
function compare(test, results, reference) {
  const complaints = [], done = Object.entries(results).filter(([, result]) => result.answer);
  if (test.task?.kind === 'embed') {
    for (const [key, { answer }] of done) {
      const least = LEAST_COSINE[key.split('-')[0]];
      answer.cosine = Math.round(Math.min(...answer.vectors.map((v, i) => cosine(v, reference[i]))) * 1e6) / 1e6;
      delete answer.vectors;
      if (!(answer.cosine >= least)) complaints.push(`${test.id}: ${key} computes something else: cosine ${answer.cosine}`);
      const expected = test.tokens;
      if (expected && answer.tokens && answer.tokens[0] !== expected) complaints.push(`${test.id}: ${key} counts ${answer.tokens[0]} tokens, not ${expected}`);
      delete answer.tokens;
    }
  }
  if (test.task?.kind === 'generate') {
    const first = (done.find(([key]) => key.startsWith('llama.cpp')) ?? done[0])?.[1].answer;
    for (const [key, { answer }] of done) {
      answer.sameCharacters = commonPrefix(answer.text, first.text);
      if (answer.promptTokens !== first.promptTokens) complaints.push(`${test.id}: ${key} reads ${answer.promptTokens} tokens, not ${first.promptTokens}`);
      if (answer.generated !== test.task.maxTokens) complaints.push(`${test.id}: ${key} generates ${answer.generated} tokens, not ${test.task.maxTokens}`);
    }
  }
  return complaints;
}

/** What bench.json says of a task. */
const describe = ({ kind, title, id, tokens, batch, after, model, task }) => ({ id, kind, title, model, tokens, batch, after,
  ...(task?.kind === 'generate' ? { generate: task.maxTokens } : {}), ...(task?.kind === 'embed' ? { texts: task.texts.length } : {}) });

for (const signal of ['SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(143)); // and with it the browser and the other processes
const began = Date.now();
const busyBefore = await busy();
if (busyBefore > 0.05) console.log(`bench: others use ${Math.round(busyBefore * 100)} % of this machine: the figures will not be good`);
const chromium = await openChromium();
const complaints = [], done = [];
try {
  const measurer = new Measurer(chromium, { rounds: options.rounds && Number(options.rounds), quick: options.quick, log: console.log, idsOf });
  for (const [i, test] of cases.entries()) {
    const from = Date.now();
    console.log(`bench: ${test.id} (${i + 1} of ${cases.length}): ${test.title}`);
    const { rounds, results, reference } = await measurer.measure(test);
    complaints.push(...compare(test, results, reference));
    done.push({ ...describe(test), rounds, seconds: Math.round((Date.now() - from) / 1000), results });
    writeFileSync(join(root, 'build/bench/progress.json'), JSON.stringify(done)); // what there is if the run is cut short
    await measurer.release(cases[i + 1]);
  }
  await measurer.release();
} finally {
  await chromium.close();
}
const facts = {
  commit: run('git', ['rev-parse', '--short=12', 'HEAD']), changed: run('git', ['status', '--porcelain', '--untracked-files=no', '--', 'src', 'js', 'CMakeLists.txt', 'scripts']) !== '',
  date: new Date(began).toISOString().slice(0, 16).replace('T', ' '), minutes: Math.round((Date.now() - began) / 6000) / 10, complete: whole, rounds: options.rounds && Number(options.rounds),
  machine: machine(), shapes: shapes(), busyBefore, busyAfter: await busy(), load: loadavg().map((x) => Math.round(x * 100) / 100),
  versions: {
    Chromium: chromium.version, 'Node.js': process.version, 'current Node.js': existsSync(currentNode) ? run(currentNode, ['--version']) : null,
    pith: run('build/pith', ['--version']), ...Object.fromEntries(['onnxruntime-web', 'onnxruntime-node', '@huggingface/transformers', '@wllama/wllama', 'node-llama-cpp', 'binaryen'].map((name) => [name, versionOf(name)])),
    'onnxruntime-web in transformers.js': versionOf('@huggingface/transformers/node_modules/onnxruntime-web'),
  },
};
const systems = Object.fromEntries(Object.entries(SYSTEMS).map(([id, { label, where, counts }]) => [id, { label, where, counts }]));
mkdirSync(dirname(output), { recursive: true });
writeFileSync(output, `${JSON.stringify({ facts, systems, sizes: sizes(), cases: done }, null, 1).replaceAll(root, '').replace(/\[\s+(-?[\d.e-]+(?:,\s+-?[\d.e-]+)*)\s+\]/g, (_, list) => `[${list.replace(/\s+/g, ' ')}]`)}\n`);
console.log(`bench: ${output} after ${facts.minutes} minutes`);
writeReport(output, whole ? join(root, 'docs') : join(root, 'build/bench/report'));
for (const complaint of complaints) console.error(`bench: ${complaint}`);
process.exitCode = complaints.length > 0 ? 1 : 0;
