// Budgets by the JavaScript interface: the same recipe as natively, what was found once is used again, wrong inputs.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, plan } from '../../js/index.js';
import { native, run, temporaryFolder } from './support.js';
import { writeTinyEncoder } from './tiny.js';

test('plan and compress keep to a budget, and to what native code chooses', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder'), file = join(folder, 'recipe.json');
  writeTinyEncoder(source);
  const most = await plan(source, { maxBytes: 1e12 }), least = await plan(source, { maxLoss: 1000, sensitivity: most.sensitivity });
  assert.ok(least.bytes < most.bytes && least.loss > most.loss && most.sensitivity.complete);
  const maxBytes = Math.round((least.bytes + most.bytes) / 2);
  const trials = [];
  const planned = await plan(source, { maxBytes, sensitivity: most.sensitivity, onProgress: ({ done }) => trials.push(done) });
  assert.ok(planned.bytes <= maxBytes && planned.gap >= 0 && planned.gap < 1);
  assert.equal(new Set(trials).size <= 1, true, 'nothing is tried anew');
  run(native, ['plan', source, '-o', file, '--max-bytes', String(maxBytes)]);
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), planned.recipe);
  const { bytes, files } = await compress(source, { maxBytes, sensitivity: most.sensitivity });
  assert.ok(bytes <= maxBytes, `${bytes} of ${maxBytes}`);
  assert.equal([...files.values()].reduce((sum, { size }) => sum + size, 0), bytes);
  assert.deepEqual(planned.tensors.map(({ name }) => name), most.sensitivity.tensors.map(({ name }) => name));
});

test('times are measured, and a budget of them is planned, not compressed', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder');
  writeTinyEncoder(source);
  const units = new Set(), measured = await plan(source, { maxBytes: 1e12, measureTime: true, tokens: 32, onProgress: ({ unit }) => units.add(unit) });
  assert.equal(measured.time.tokens, 32);
  const sum = measured.tensors.reduce((ms, tensor) => ms + tensor.ms, measured.time.rest);
  assert.ok(measured.ms > 0 && Math.abs(sum - measured.ms) < 1e-9 * sum);
  const planned = await plan(source, { maxMs: 1e6, tokens: 32, sensitivity: measured.sensitivity });
  assert.ok(planned.ms <= 1e6 && /1e\+06 ms; .* for a text of 32 tokens/.test(planned.recipe.description), planned.recipe.description);
  const { bytes } = await compress(source, { recipe: planned.recipe });
  assert.ok(bytes > 0);
  await assert.rejects(compress(source, { maxMs: 5 }), { code: 'PITH_E_ARGUMENT', message: /plan first, with `pith plan .*--max-ms 5 -o recipe\.json`, then `pith compress / });
  await assert.rejects(plan(source, { maxMs: 1e-9, sensitivity: measured.sensitivity }), { code: 'PITH_E_LIMIT', message: /fastest takes about/ });
});

test('an interrupted compression goes on, and gives the same files', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder'), output = join(folder, 'package'), whole = join(folder, 'whole');
  writeTinyEncoder(source);
  const files = (name) => Object.fromEntries(readdirSync(name).sort().map((file) => [file, readFileSync(join(name, file)).toString('base64')]));
  await compress(source, { output: whole, shardSize: 65536 });
  const controller = new AbortController();
  await assert.rejects(compress(source, { output, shardSize: 65536, resume: true, signal: controller.signal,
    onProgress: () => { if (existsSync(join(`${output}.partial`, 'resume.json'))) controller.abort(); } }), { code: 'PITH_E_CANCELLED' });
  assert.ok(readdirSync(`${output}.partial`).includes('shard-00001.safetensors'));
  await assert.rejects(compress(source, { output, shardSize: 65536, resume: true, recipe: 'int4' }), { code: 'PITH_E_ARGUMENT', message: /begun with another recipe/ });
  await compress(source, { output, shardSize: 65536, resume: true });
  assert.deepEqual(files(output), files(whole));
  assert.ok(!existsSync(`${output}.partial`));
  await assert.rejects(compress(source, { resume: true }), { code: 'PITH_E_ARGUMENT', message: /output folder/ });
  await assert.rejects(compress(source, { output, resume: true, maxBytes: 1e9, force: true }), { code: 'PITH_E_ARGUMENT', message: /plan one within the budget/ });
});

test('a budget that cannot be kept, two of them, none, and what was found of another model', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder');
  writeTinyEncoder(source);
  await assert.rejects(plan(source, { maxBytes: 1000 }), { code: 'PITH_E_LIMIT', message: /smallest is about \d+/ });
  await assert.rejects(plan(source, { maxBytes: 1000, maxLoss: 1 }), { code: 'PITH_E_ARGUMENT' });
  await assert.rejects(plan(source, {}), { code: 'PITH_E_ARGUMENT', message: /budget/ });
  await assert.rejects(compress(source, { maxBytes: 1e9, recipe: 'int8' }), { code: 'PITH_E_ARGUMENT', message: /recipe or a budget/ });
  const { sensitivity } = await plan(source, { maxLoss: 1 });
  await assert.rejects(plan(source, { maxLoss: 1, sensitivity: { ...sensitivity, parent: { 'other.safetensors': 3 } } }), { code: 'PITH_E_ARGUMENT', message: /another model/ });
  await assert.rejects(plan(source, { maxLoss: 1, calibrate: ['a few words'] }), { code: 'PITH_E_ARGUMENT', message: /at least 256/ });
  await assert.rejects(plan(source, { maxLoss: 1, calibrate: Array(300).fill('the same words') }), { code: 'PITH_E_ARGUMENT', message: /equal texts counted once; give at least 256/ });
});
