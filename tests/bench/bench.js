// Encoder time in Chromium, one thread: Pith int8 beside onnxruntime-web int8 and fp32, interleaved, medians. Pith's figure is its whole
// embed() (tokenizer and pooling counted); the peer's is the forward pass alone, from ids that are ready.
import { execFileSync } from 'node:child_process';
import { createReadStream, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { cpus } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = fileURLToPath(new URL('../..', import.meta.url));
const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json' };
const LENGTHS = [16, 128, 512], ROUNDS = 9;

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://x');
  if (pathname === '/') return response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>bench</title>');
  try {
    const file = join(root, pathname);
    response.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Length': statSync(file).size });
    createReadStream(file).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
  return undefined;
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
  '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const samples = await page.evaluate(async ({ LENGTHS, ROUNDS }) => {
    const { load } = await import('/js/index.js');
    const ort = await import('/tests/bench/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs');
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = '/tests/bench/node_modules/onnxruntime-web/dist/';
    const sessions = {};
    for (const name of ['int8', 'fp32']) sessions[name] = await ort.InferenceSession.create(`/build/bench/${name}.onnx`, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
    const model = await load('/build/bench/minilm/', { worker: false });
    const found = [];
    for (const n of LENGTHS) {
      // n - 2 common words are n tokens; beyond the sentence-transformers limit of 256 Pith cuts, so the text is cut for both.
      const text = 'river stone garden winter letter music window table '.repeat(70).split(' ').slice(0, n - 2).join(' ');
      const ids = (await model.tokenizer.encode(text, { truncate: true })).map(BigInt), shape = [1, ids.length];
      const feeds = {
        input_ids: new ort.Tensor('int64', BigInt64Array.from(ids), shape),
        attention_mask: new ort.Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
        token_type_ids: new ort.Tensor('int64', new BigInt64Array(ids.length), shape),
      };
      const work = { pith: () => model.embed(text), 'onnxruntime-web int8': () => sessions.int8.run(feeds), 'onnxruntime-web fp32': () => sessions.fp32.run(feeds) };
      const times = Object.fromEntries(Object.keys(work).map((name) => [name, []]));
      for (let round = -2; round < ROUNDS; round++) {
        for (const [name, run] of Object.entries(work)) {
          const begin = performance.now();
          await run();
          if (round >= 0) times[name].push(performance.now() - begin);
        }
      }
      // That both compute the same thing: cosine of Pith's embedding with the mean of the peer's fp32 states.
      const { data } = await model.embed(text);
      const states = (await sessions.fp32.run(feeds)).last_hidden_state.data, d = data.length;
      const mean = new Float64Array(d);
      for (let i = 0; i < states.length; i++) mean[i % d] += states[i];
      let dot = 0, a = 0, b = 0;
      for (let i = 0; i < d; i++) { dot += mean[i] * data[i]; a += mean[i] ** 2; b += data[i] ** 2; }
      found.push({ tokens: ids.length, times, cosine: dot / Math.sqrt(a * b) });
    }
    return found;
  }, { LENGTHS, ROUNDS });
  const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
  const peer = JSON.parse(readFileSync(join(root, 'tests/bench/node_modules/onnxruntime-web/package.json'), 'utf8')).version;
  const facts = { commit: execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim(), date: new Date().toISOString().slice(0, 10),
    processor: cpus()[0].model, cores: cpus().length, chromium: browser.version(), 'onnxruntime-web': peer, threads: 1, rounds: ROUNDS };
  for (const { tokens, cosine } of samples) if (!(cosine > 0.99)) throw new Error(`at ${tokens} tokens the two computed different things: cosine ${cosine}`);
  writeFileSync(join(root, 'docs/bench.json'), `${JSON.stringify({ facts, samples }, null, 1)}\n`);
  const names = Object.keys(samples[0].times);
  const rows = samples.map(({ tokens, times }) => `| ${tokens} | ${names.map((name) => median(times[name]).toFixed(1)).join(' | ')} | **${(median(times[names[1]]) / median(times.pith)).toFixed(2)}×** | ${(median(times[names[2]]) / median(times.pith)).toFixed(2)}× |`);
  const table = ['# Benchmarks', '', '`npm run bench` writes this page and every sample to `bench.json`. all-MiniLM-L6-v2, batch 1, one thread, milliseconds (median),',
    'interleaved in one Chromium page. Pith\'s figure is the whole `embed()`, tokenizer and pooling counted; the peer\'s is the forward pass alone.', '',
    `${facts.processor}, ${facts.cores} cores; Chromium ${facts.chromium}; onnxruntime-web ${peer} (its int8 model: dynamic, per channel); Pith ${facts.commit}; ${facts.date}.`, '',
    `| tokens | ${names.join(' | ')} | Pith against int8 | against fp32 |`, `|---|${names.map(() => '---|').join('')}---|---|`, ...rows, ''].join('\n');
  writeFileSync(join(root, 'docs/BENCHMARKS.md'), table);
  console.log(table);
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
}
