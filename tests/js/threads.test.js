// Threads of a module: the same bits with any number, in Node.js and in Chromium; threads that cannot start, end early or die at work.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Engine } from '../../js/engine.js';
import { compress, evaluate, load } from '../../js/index.js';
import { MountedFiles } from '../../js/files.js';
import { eventLoopTurn, machineFiles, prepareModule, startThread } from '../../js/load.js';
import { launchChromium } from './browsers.js';
import { currentNode, data, isolation, native, needsData, root, run, servePlayground, story } from './support.js';

const nativeDigest = JSON.parse(run(native, ['digest', story, '--threads', '1', '--json'])).digest;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const code = (expected, says) => (error) => {
  assert.equal(error.code, expected, error.message);
  if (says) assert.match(error.message, says);
  return true;
};

for (const worker of [false, true]) {
  test(`one digest for 1, 2, 4 and 7 threads ${worker ? 'in a worker' : 'in this thread'}`, async () => {
    for (const threads of [1, 2, 4, 7]) {
      const model = await load(story, { threads, worker });
      assert.equal(model.info.threads, threads, model.info.threadsNote);
      assert.equal(model.info.threadsNote, undefined);
      assert.equal(model.info.module.endsWith('-threads'), threads > 1, model.info.module);
      assert.equal(await model.digest(), nativeDigest, `${threads} threads`);
      await model.close();
    }
  });
}

test('the command line: one digest, native, here and in a current Node.js', () => {
  const cli = join(root, 'js/bin.js');
  for (const [program, before] of [[native, []], [process.execPath, [cli]], [currentNode, [cli]]]) {
    for (const threads of ['1', '2', '4', '7']) {
      assert.equal(JSON.parse(run(program, [...before, 'digest', story, '--threads', threads, '--json'])).digest, nativeDigest, `${program} ${threads}`);
    }
  }
});

test('compress: the same files with any number of threads', { skip: needsData }, async () => {
  const packages = await Promise.all([1, 3].map((threads) => compress(join(data, 'models/story'), { threads, recipe: 'int8' })));
  for (const [name, blob] of packages[0].files) {
    assert.ok(Buffer.from(await blob.arrayBuffer()).equals(Buffer.from(await packages[1].files.get(name).arrayBuffer())), `${name} differs`);
  }
});

test('wrong numbers of threads are one clear error', async () => {
  for (const threads of [0, -1, 1.5, NaN, Infinity, 65, 1000, '2', null, true]) {
    await assert.rejects(load(story, { threads }), code('PITH_E_ARGUMENT', /from 1 to 64/), String(threads));
  }
  await assert.rejects(compress(story, { threads: 0 }), code('PITH_E_ARGUMENT', /from 1 to 64/));
  await assert.rejects(evaluate(story, { threads: 1000 }), code('PITH_E_ARGUMENT', /from 1 to 64/));
});

test('as many as the processors unless told otherwise', async (t) => {
  const { availableParallelism } = await import('node:os');
  const model = await load(story);
  t.after(() => model.close());
  assert.equal(model.info.threads, Math.min(8, availableParallelism()));
});

test('threads end with the model, do nothing while it does, and do not hold the process', async () => {
  const count = () => readdirSync('/proc/self/task').length;
  await (await load(story, { threads: 1 })).close(); // what the process itself starts late
  const before = count();
  const model = await load(story, { threads: 6 });
  await model.digest();
  assert.equal(count(), before + 5);
  const begin = process.cpuUsage();
  await pause(500);
  const { user, system } = process.cpuUsage(begin);
  assert.ok(user + system < 100_000, `${(user + system) / 1000} ms of processor time in half a second of rest`);
  await model.close();
  for (let i = 0; count() > before && i < 100; i++) await pause(20);
  assert.equal(count(), before);
  const forgotten = `import { load } from ${JSON.stringify(join(root, 'js/index.js'))};
const model = await load(${JSON.stringify(story)}, { threads: 4 });
console.log(model.info.threads);`;
  for (const program of [process.execPath, currentNode]) assert.equal(run(program, ['--input-type=module', '-e', forgotten], { timeout: 30_000 }).trim(), '4');
});

test('where workers are forbidden the model works on one thread and says why', () => {
  const program = `import { load } from ${JSON.stringify(join(root, 'js/index.js'))};
const model = await load(${JSON.stringify(story)}, { threads: 4 });
console.log(JSON.stringify([model.info.threads, model.info.threadsNote, await model.digest()]));
await model.close();`;
  const seen = JSON.parse(run(currentNode, ['--permission', '--allow-fs-read=*', '--input-type=module', '-e', program]));
  assert.equal(seen[0], 1);
  assert.match(seen[1], /did not start: .*permission/i);
  assert.equal(seen[2], nativeDigest);
});

/** An engine with four threads of which `startOne(number, failed)` may start some in its own way. */
async function openEngine(t, { memory = undefined, startOne = () => undefined } = {}) {
  const prepared = await prepareModule({ threads: 4 });
  let number = 0;
  const ends = [];
  const start = (failed) => {
    const port = startOne(++number, failed) ?? startThread(failed);
    ends.push(port.end);
    return port;
  };
  const engine = new Engine(memory ? { ...prepared, memory } : prepared, new MountedFiles(machineFiles()), eventLoopTurn(), { suggested: 2, start }, null);
  t.after(() => engine.close());
  return { engine, ends };
}

test('a thread that ends while it rests costs nothing but its speed', async (t) => {
  const { engine, ends } = await openEngine(t);
  await engine.run({ verb: 'load', path: story, threads: 4 });
  assert.deepEqual(await engine.threadsUp(), { threads: 4, failure: undefined });
  for (const end of ends.slice(1)) end();
  for (let i = 0; (await engine.threadsUp()).threads > 2 && i < 100; i++) await pause(20);
  assert.equal((await engine.threadsUp()).threads, 2);
  assert.equal((await engine.run({ verb: 'digest', model: 1 })).result.digest, nativeDigest);
});

/** A thread that takes a part of some work and then ends, telling or not. The ticket: parts in the high half, the next one in the low. */
const deserter = `
const { parentPort, workerData } = require('node:worker_threads');
parentPort.on('message', ({ module, memory, threads }) => {
  const ticket = new Int32Array(memory.buffer, threads, 1);
  parentPort.postMessage({ ready: true });
  for (;;) {
    const word = Atomics.load(ticket, 0);
    if (word >>> 16 > (word & 0xffff) && Atomics.compareExchange(ticket, 0, word, word + 1) === word) break;
  }
  if (!workerData.tells) process.exit();
  const host = new Proxy({}, { get: () => () => { throw new Error('no'); } });
  new WebAssembly.Instance(module, { host, env: { memory, emscripten_notify_memory_growth() {} } }).exports.pith_wasm_thread_died(threads);
});`;
for (const tells of [true, false]) {
  test(`a thread that dies at its work is one error (${tells ? 'a trap: at once' : 'killed: after some seconds'}), and the model can be closed`, async (t) => {
    const { engine } = await openEngine(t, { startOne: (number, failed) => {
      if (number !== 2) return undefined;
      const worker = new Worker(deserter, { eval: true, workerData: { tells } });
      worker.on('exit', () => failed(new Error('the worker ended')));
      return { post: (message) => worker.postMessage(message), listen: (hear) => { worker.on('message', hear); worker.unref(); }, end: () => worker.terminate() };
    } });
    await engine.run({ verb: 'load', path: story, threads: 4 });
    await engine.threadsUp();
    const begin = Date.now();
    // A prompt that is divided, until the deserter was quick enough to get a part.
    const prompt = 'Once upon a time there was a little girl who lived by the sea. '.repeat(12);
    await assert.rejects(async () => {
      while (Date.now() - begin < 90_000) await engine.run({ verb: 'generate', model: 1, prompt, maxTokens: 5 });
    }, code('PITH_E_INTERNAL', /thread ended in the middle of its work.*load it again/));
    await assert.rejects(engine.run({ verb: 'digest', model: 1 }), code('PITH_E_INTERNAL', /thread/));
    engine.close();
    await assert.rejects(engine.run({ verb: 'version' }), code('PITH_E_CANCELLED', /closed/));
  });
}

test('memory that cannot grow is one error, and the engine goes on', async (t) => {
  const { engine } = await openEngine(t, { memory: new WebAssembly.Memory({ initial: 16, maximum: 64, shared: true }) });
  await assert.rejects(engine.run({ verb: 'load', path: story, threads: 4 }), code('PITH_E_MEMORY', /out of memory/));
  assert.equal((await engine.run({ verb: 'version' })).result.build, 'wasm');
});

async function openPage(t, more) {
  const url = await servePlayground(t, more);
  const page = await (await launchChromium(t)).newPage();
  await page.goto(url);
  return page;
}

/** @returns {Promise<{threads: number, note?: string, module: string, digest: string}[]>} */
const loadInPage = (page, list) => page.evaluate(async (options) => {
  const { load } = await import('/pith/js/index.js');
  const seen = [];
  for (const each of options) {
    const model = await load('/models/story/', each);
    seen.push({ threads: model.info.threads, note: model.info.threadsNote, module: model.info.module, digest: await model.digest() });
    await model.close();
  }
  return seen;
}, list);

test('Chromium, cross-origin isolated: threads, and the same digest', async (t) => {
  const page = await openPage(t, { headers: isolation });
  assert.equal(await page.evaluate(() => globalThis.crossOriginIsolated), true);
  const kernels = ['auto', 'simd128'], numbers = [1, 2, 4, 7];
  const seen = await loadInPage(page, kernels.flatMap((k) => numbers.map((threads) => ({ threads, kernels: k }))));
  for (const [i, { threads, note, module, digest }] of seen.entries()) {
    assert.deepEqual([threads, note, digest], [numbers[i % 4], undefined, nativeDigest]);
    assert.match(module, i < 4 ? /^pith-relaxed-(dot|pairs)/ : /^pith-simd128/);
    assert.equal(module.endsWith('-threads'), i % 4 > 0);
  }
  const [automatic, inPage] = await loadInPage(page, [{}, { worker: false, threads: 4 }]);
  assert.equal(automatic.threads, Math.min(8, await page.evaluate(() => navigator.hardwareConcurrency)));
  assert.equal(inPage.threads, 1);
  assert.match(inPage.note, /page's own thread/);
  assert.equal(inPage.digest, nativeDigest);
});

test('Chromium, not isolated: one thread, and it says why', async (t) => {
  const page = await openPage(t);
  const [four, one] = await loadInPage(page, [{ threads: 4 }, { threads: 1 }]);
  assert.deepEqual([four.threads, four.digest], [1, nativeDigest]);
  assert.match(four.module, /^pith-relaxed-(dot|pairs)$/);
  assert.match(four.note, /COOP and COEP/);
  assert.equal(one.note, undefined);
});

test('Chromium, a policy that forbids the threads\' workers: one thread, and it says why', async (t) => {
  // a worker's policy comes with its script
  const worker = '/pith/js/worker.js';
  const page = await openPage(t, { headers: isolation, texts: { [worker]: readFileSync(join(root, 'js/worker.js'), 'utf8') },
    policies: { [worker]: "script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'" } });
  const [seen] = await loadInPage(page, [{ threads: 4 }]);
  assert.equal(seen.threads, 1);
  assert.match(seen.note, /did not start/);
  assert.equal(seen.digest, nativeDigest);
});

test('native: threads of a process', () => {
  const limited = (threads) => execFileSync('taskset', ['-c', '0', native, 'digest', story, '--threads', threads, '--json'], { encoding: 'utf8' });
  assert.equal(JSON.parse(limited('4')).digest, nativeDigest, 'four threads on one processor');
});
