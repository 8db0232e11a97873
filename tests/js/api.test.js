// The public JavaScript interface in Node.js, in this thread and in a worker.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, evaluate, inspect, load } from '../../js/index.js';
import { data, needsData, story, temporaryFolder } from './support.js';
import { writeTinyCheckpoint } from './tiny.js';

const code = (expected, says) => (error) => {
  assert.equal(error.code, expected, error.message);
  if (says) assert.match(error.message, says);
  return true;
};

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'in this thread';
  test(`generates, streams and stops ${where}`, async (t) => {
    const model = await load(story, { worker });
    t.after(() => model.close());
    const pieces = [];
    const generation = model.generate('Once upon a time', { maxTokens: 30, temperature: 0.8, seed: 1 });
    for await (const piece of generation) pieces.push(piece);
    const result = await generation.result;
    assert.equal(pieces.join(''), result.text);
    
    assert.equal(result.ids.length, 30);
    assert.equal((await model.generate('Once upon a time', { maxTokens: 30, temperature: 0.8, seed: 1 }).result).text, result.text);
    let n = 0;
    for await (const piece of model.generate('Once', { maxTokens: 450, temperature: 1.2, seed: 2 })) n += piece.length > 0 ? 1 : 0;
    assert.ok(n > 2, 'text comes in pieces');
    const stopped = await model.generate('Once upon a time', { maxTokens: 30, temperature: 0.8, seed: 1, stop: result.text.slice(5, 9) }).result;
    assert.equal(stopped.finishReason, 'stopText');
    assert.equal(stopped.text, result.text.slice(0, result.text.indexOf(result.text.slice(5, 9))));
    for await (const piece of model.generate('Once', { maxTokens: 400 })) { assert.ok(piece); break; }
    assert.equal(await model.tokenizer.decode(await model.tokenizer.encode('A cat, naïve 🐈')), 'A cat, naïve 🐈');
  });

  test(`an abort acts and the model stays usable ${where}`, async (t) => {
    const model = await load(story, { worker });
    t.after(() => model.close());
    const control = new AbortController();
    const generation = model.generate('The', { maxTokens: 500, repetitionPenalty: 1.2, temperature: 1, seed: 3, signal: control.signal });
    for await (const piece of generation) { if (piece) break; }
    const second = model.generate('The', { maxTokens: 500, temperature: 1, signal: control.signal });
    setTimeout(() => control.abort(), 30);
    await assert.rejects(second.result, code('PITH_E_CANCELLED'));
    assert.equal((await model.generate('The', { maxTokens: 3 }).result).ids.length, 3);
    await assert.rejects(load(story, { worker, signal: AbortSignal.abort() }), code('PITH_E_CANCELLED'));
  });
}

test('wrong calls are refused by name', async (t) => {
  const model = await load(story);
  t.after(() => model.close());
  await assert.rejects(model.embed('x'), code('PITH_E_UNSUPPORTED', /cannot embed/));
  assert.throws(() => model.generate('x', { temprature: 1 }), code('PITH_E_ARGUMENT', /temprature/));
  assert.throws(() => model.generate(7), code('PITH_E_ARGUMENT'));
  assert.throws(() => model.generate('a\0b'), code('PITH_E_ARGUMENT', /NUL/));
  for (const wrong of [{ temperature: -1 }, { topP: 0 }, { topP: 2 }, { minP: 7 }, { topK: -1 }, { maxTokens: 1.5 }, { repetitionPenalty: 0 }, { seed: -1 }, { temperature: '1' }])
    await assert.rejects(model.generate('x', wrong).result, code('PITH_E_ARGUMENT'), JSON.stringify(wrong));
  await assert.rejects(load(story, { kernels: 'avx9' }), code('PITH_E_UNSUPPORTED', /scalar/));
  await assert.rejects(load(story, { attention: 'i4' }), code('PITH_E_UNSUPPORTED', /f32, i16 and i8/));
  await assert.rejects(load(''), code('PITH_E_ARGUMENT'));
  await assert.rejects(load(null), code('PITH_E_ARGUMENT'));
  await assert.rejects(load(join(story, 'nothing')), code('PITH_E_NOT_FOUND', /neither a package/));
  await assert.rejects(load(story, { workers: 2 }), code('PITH_E_ARGUMENT', /workers/));
  const full = await model.generate('Once upon a time there was', { maxTokens: 100000, temperature: 0.9, seed: 5, repetitionPenalty: 1.1 }).result;
  assert.ok(['context', 'stop'].includes(full.finishReason));
  await assert.rejects(model.generate('word '.repeat(3000)).result, code('PITH_E_LIMIT', /512|context/));
});

test('attention by codes of one byte instead of two: said, measured, and another model', async (t) => {
  const [two, one] = await Promise.all([load(story), load(story, { attention: 'i8' })]);
  t.after(() => two.close());
  t.after(() => one.close());
  assert.deepEqual([two.info.attention, one.info.attention], ['i16', 'i8']);
  assert.notEqual(await two.digest(), await one.digest());
  const text = 'Once upon a time there was a little dog. He liked to play in the park with his friends.';
  const [{ perplexity }, inBytes] = [await evaluate(story, { perplexity: text }), await evaluate(story, { perplexity: text, attention: 'i8' })];
  assert.ok(inBytes.perplexity !== perplexity && Math.abs(inBytes.perplexity / perplexity - 1) < 0.05, `${inBytes.perplexity} against ${perplexity}`);
});

test('a package as a Map of Blobs or bytes, below any folder', async (t) => {
  const files = new Map(readdirSync(story).map((name) => [`some/where/${name}`, new Blob([readFileSync(join(story, name))])]));
  const model = await load(files);
  t.after(() => model.close());
  const direct = await load(story, { kernels: 'scalar' });
  t.after(() => direct.close());
  assert.equal(await model.digest(), await direct.digest());
  await assert.rejects(load(new Map([['readme.txt', new Blob(['x'])]])), code('PITH_E_NOT_FOUND'));
});

test('damaged packages are refused', async (t) => {
  const folder = join(temporaryFolder(t), 'package');
  /** @param {string} file @param {(bytes: Buffer) => Buffer} change @param {string} expected */
  const broken = async (file, change, expected) => {
    cpSync(story, folder, { recursive: true });
    writeFileSync(join(folder, file), change(readFileSync(join(story, file))));
    await assert.rejects(load(folder), code(expected), `${file} → ${expected}`);
  };
  const replaced = (from, to) => (bytes) => Buffer.from(String(bytes).replace(from, to));
  await broken('shard-00001.safetensors', (b) => b.subarray(0, b.length - 1), 'PITH_E_INTEGRITY');
  await broken('shard-00001.safetensors', (b) => Buffer.concat([b, Buffer.from('x')]), 'PITH_E_INTEGRITY');
  await broken('shard-00001.safetensors', (b) => { const c = Buffer.from(b); c[c.length >> 1] ^= 1; return c; }, 'PITH_E_INTEGRITY');
  await broken('shard-00001.safetensors', () => Buffer.alloc(0), 'PITH_E_INTEGRITY');
  cpSync(story, folder, { recursive: true });
  await (await load(folder)).close(); // whole again, it loads: each refusal was for its own damage
  await broken('tokenizer.json', (b) => b.subarray(0, 1000), 'PITH_E_INTEGRITY');
  await broken('pith.json', (b) => b.subarray(0, 1000), 'PITH_E_FORMAT');
  await broken('pith.json', () => Buffer.from('<!doctype html>'), 'PITH_E_FORMAT');
  await broken('pith.json', replaced('"version": 1', '"version": 99'), 'PITH_E_UNSUPPORTED');
  await broken('pith.json', replaced('shard-00001.safetensors', '../../etc/passwd'), 'PITH_E_FORMAT');
  await broken('pith.json', replaced('"hidden_size": 192', '"hidden_size": 1920000000'), 'PITH_E_FORMAT');
  await broken('pith.json', replaced('LlamaForCausalLM', 'MambaForCausalLM'), 'PITH_E_UNSUPPORTED');
});

test('opening and closing a hundred times keeps no memory', async () => {
  const digest = await (async () => { const model = await load(story); const d = await model.digest(); await model.close(); return d; })();
  const settle = async () => { for (let i = 0; i < 5; i++) { globalThis.gc?.(); await new Promise((resolve) => setTimeout(resolve, 20)); } };
  await settle();
  const before = process.memoryUsage();
  for (let i = 0; i < 100; i++) {
    const model = await load(story);
    await model.close();
    if (i % 10 === 9) await settle();
  }
  await settle();
  const after = process.memoryUsage();
  if (globalThis.gc) assert.ok(after.arrayBuffers - before.arrayBuffers < 8e6, `${(after.arrayBuffers - before.arrayBuffers) / 1e6} MB of array buffers stayed`);
  const model = await load(story);
  assert.equal(await model.digest(), digest);
  await model.close();
});

test('a checkpoint in several files with an index is the checkpoint in one', async (t) => {
  const folder = temporaryFolder(t), [one, three] = [join(folder, 'one'), join(folder, 'three')];
  writeTinyCheckpoint(one);
  writeTinyCheckpoint(three, 3);
  const [a, b] = [await compress(one), await compress(three)];
  assert.deepEqual([...b.files.keys()], [...a.files.keys()]);
  assert.ok(Buffer.from(await a.files.get('shard-00001.safetensors').arrayBuffer()).equals(Buffer.from(await b.files.get('shard-00001.safetensors').arrayBuffer())));
  rmSync(join(three, 'model-00002-of-00003.safetensors'));
  await assert.rejects(load(three), code('PITH_E_NOT_FOUND', /model-00002/));
  writeFileSync(join(one, 'model.safetensors'), readFileSync(join(one, 'model.safetensors')).subarray(0, 50000));
  await assert.rejects(compress(one), code('PITH_E_FORMAT'));
  rmSync(join(one, 'tokenizer.json'));
  await assert.rejects(compress(one), (error) => ['PITH_E_NOT_FOUND', 'PITH_E_FORMAT'].includes(error.code));
});

test('compress: into memory and into a folder, the same bytes as the committed package', { skip: needsData }, async (t) => {
  const source = join(data, 'models/story');
  const seen = new Set();
  const { files, bytes, quality } = await compress(source, { onProgress: ({ phase }) => seen.add(phase) });
  assert.ok(seen.has('quantize') && seen.has('measure'), [...seen].join());
  assert.equal(bytes, [...files.values()].reduce((sum, blob) => sum + blob.size, 0));
  for (const [name, blob] of files) assert.ok(readFileSync(join(story, name)).equals(Buffer.from(await blob.arrayBuffer())), `${name} differs`);
  assert.ok(quality.klMean < 0.01);
  const cut = await compress(source, { shardSize: 65536 }); // tensors in parts
  assert.ok(cut.shards > 40, `${cut.shards} shards`);
  const split = await load(cut.files), whole = await load(files);
  assert.equal(await split.digest(), await whole.digest());
  await split.close();
  await whole.close();
  const output = join(temporaryFolder(t), 'out');
  await compress(source, { output, worker: true });
  await assert.rejects(compress(source, { output }), code('PITH_E_EXISTS', /--force|force/));
  assert.deepEqual(readdirSync(output).sort(), [...files.keys()].sort());
  await assert.rejects(compress(source, { output: '/proc/nowhere/x' }), (error) => ['PITH_E_IO', 'PITH_E_NOT_FOUND'].includes(error.code));
  await assert.rejects(compress(source, { recipe: 'int3' }), code('PITH_E_NOT_FOUND', /int3/));
});

test('compress: a cancel at any time leaves nothing', { skip: needsData }, async (t) => {
  const folder = temporaryFolder(t);
  for (const phase of ['hash', 'quantize', 'measure']) {
    const control = new AbortController();
    const work = compress(join(data, 'models/story'), { output: join(folder, phase), signal: control.signal, onProgress: (p) => { if (p.phase === phase) control.abort(); } });
    await assert.rejects(work, code('PITH_E_CANCELLED'), phase).catch((error) => {
      // A phase shorter than the reporting interval is never reported: then the work is done.
      if (!existsSync(join(folder, phase))) throw error;
    });
    assert.ok(!existsSync(join(folder, `${phase}.partial`)), `${phase} left a partial package`);
  }
});

test('inspect and evaluate', { skip: needsData }, async () => {
  const info = await inspect(story);
  assert.equal(info.kind, 'package');
  assert.ok(info.tensors.length > 40);
  const quality = await evaluate(story, { against: join(data, 'models/story') });
  assert.ok(quality.klMean < 0.01 && quality.top1Agreement > 0.9);
});

test('MiniLM: special inputs are no errors', { skip: needsData }, async (t) => {
  const model = await load(join(data, 'models/all-MiniLM-L6-v2'));
  t.after(() => model.close());
  const { dims, tokens, data: values } = await model.embed(['', '   ', 'word '.repeat(4000), 'naïve 中文 \ud800']);
  assert.deepEqual(dims, [4, 384]);
  assert.deepEqual(tokens.slice(0, 3), [2, 2, 256]);
  assert.ok(values.every(Number.isFinite));
  await assert.rejects((async () => model.generate('x').result)(), code('PITH_E_UNSUPPORTED'));
  assert.deepEqual((await model.embed([])).dims, [0, 384]);
});
