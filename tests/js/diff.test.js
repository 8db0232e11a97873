// `pith diff` and `diff` on small checkpoints made here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, diff as diffOf } from 'pith';
import { ggufOf } from './gguf.js';
import { native, root, run, servePlayground, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

const programs = [['native', native, []], ['Node.js', process.execPath, [join(root, 'js/bin.js')]]];
const diff = (a, b) => JSON.parse(run(native, ['diff', a, b, '--json']));

test('a checkpoint differs in nothing from itself, and its package by the rounding of its recipe', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'source'), errors = {};
  writeTinyEncoder(source);
  const same = diff(source, source);
  assert.equal(same.error, 0);
  assert.ok(same.tensors.length > 0 && same.tensors.every((tensor) => tensor.error === 0));
  for (const recipe of ['int8', 'int4']) {
    const output = join(folder, recipe);
    run(native, ['compress', source, '-o', output, '--recipe', recipe]);
    const result = diff(output, source);
    errors[recipe] = result.error;
    assert.deepEqual(result.tensors.map(({ name }) => name), same.tensors.map(({ name }) => name));
    assert.ok(result.bytes < result.against.bytes);
    assert.equal(result.tensors.reduce((sum, { bytes }) => sum + bytes, 0), result.bytes);
  }
  assert.ok(errors.int8 > 0 && errors.int8 < errors.int4 && errors.int4 < 1, JSON.stringify(errors));
});

test('shapes that differ are shown and have no error; layers that one lacks are there', (t) => {
  const folder = temporaryFolder(t), a = join(folder, 'a'), b = join(folder, 'b');
  writeTinyEncoder(a, { hidden: 32, layers: 2 });
  writeTinyEncoder(b, { hidden: 48, layers: 3 });
  const result = diff(a, b), [first] = result.tensors;
  assert.equal(result.error, undefined);
  assert.equal(first.shape[1], 32);
  assert.equal(first.against.shape[1], 48);
  assert.ok(result.tensors.every((tensor) => tensor.error === undefined));
  assert.ok(result.tensors.some(({ layer, shape, against }) => layer === 2 && !shape && against));
});

test('a package that lost a layer is held against the layers that it kept', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'source'), output = join(folder, 'package'), recipe = join(folder, 'recipe.json');
  writeTinyEncoder(source, { layers: 3 });
  writeFileSync(recipe, JSON.stringify({ name: 'two', prune: { layers: [1] }, matrices: { encoding: 'u7' }, tables: { encoding: 'u8-row' } }));
  run(native, ['compress', source, '-o', output, '--recipe', recipe]);
  for (const [a, b, lost] of [[output, source, ({ shape, against }) => !shape && against], [source, output, ({ shape, against }) => shape && !against]]) {
    const { tensors } = diff(a, b);
    for (const tensor of tensors) {
      assert.equal(Boolean(lost(tensor)), tensor.layer === 1, tensor.name);
      if (tensor.layer !== undefined) assert.match(tensor.name, new RegExp(`\\.${tensor.layer}\\.`));
      if (tensor.layer !== 1) assert.ok(tensor.error < 0.05, `${tensor.name}: ${tensor.error}`);
    }
    assert.deepEqual([...new Set(tensors.map(({ layer }) => layer))], [undefined, 0, 1, 2]);
  }
});

test('wrong inputs', (t) => {
  const source = join(temporaryFolder(t), 'source');
  writeTinyEncoder(source);
  for (const [args, status] of [[[source], 2], [[source, `${source}-none`], 3], [[source, source, '--recipe', 'int8'], 2]])
    assert.equal(spawnSync(native, ['diff', ...args]).status, status, args.join(' '));
});

test('every program says the same, of folders, of addresses and of files in memory', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'source'), output = join(folder, 'package');
  writeTinyEncoder(source, { hidden: 96, layers: 3 });
  await compress(source, { output, shardSize: 65536 });
  const expected = diff(output, source);
  assert.ok(readdirSync(output).length > 4); // several shards, which are not read in order
  assert.deepEqual(await diffOf(output, source), expected);
  assert.deepEqual(JSON.parse(run(process.execPath, [join(root, 'js/bin.js'), 'diff', output, source, '--json'])), expected);
  const base = await servePlayground(t, { folders: { '/package/': output, '/source/': source } });
  assert.deepEqual(await diffOf(`${base}package/`, `${base}source/`), expected);
  assert.deepEqual(await diffOf(new Map(readdirSync(output).map((name) => [name, readFileSync(join(output, name))])), source), expected);
  await assert.rejects(diffOf(output, /** @type {any} */ (undefined)), { code: 'PITH_E_ARGUMENT' });
  await assert.rejects(diffOf(output, source, /** @type {any} */ ({ against: source })), { code: 'PITH_E_ARGUMENT', message: /no option "against"/ });
  await assert.rejects(diffOf(output, join(folder, 'none')), { code: 'PITH_E_NOT_FOUND' });
  const decoder = join(folder, 'decoder');
  writeTinyCheckpoint(decoder);
  await assert.rejects(diffOf(output, decoder), { code: 'PITH_E_ARGUMENT', message: /bert model .* llama model/ });
});

test('sparse packages: a share of the weights is 0, and less is stored', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'source');
  writeTinyEncoder(source);
  const matrices = (result) => result.tensors.filter(({ name }) => /encoder.*(query|key|value|dense)\.weight$/.test(name));
  const dense = join(folder, 'dense');
  await compress(source, { output: dense });
  for (const [encoding, sparsity] of /** @type {const} */ ([['u7-sparse', { form: '2:4' }], ['u7-block', { form: 'block', fraction: 0.5 }]])) {
    const output = join(folder, encoding);
    await compress(source, { output, recipe: { name: 'sparse', matrices: { encoding, sparsity }, tables: { encoding: 'u8-row' } } });
    const result = await diffOf(output, source);
    assert.equal(matrices(result).length, 12);
    for (const { name, encoding: stored, zeros, bits, error, against } of matrices(result)) {
      assert.equal(stored, encoding);
      assert.ok(zeros >= 0.5 && zeros < 0.6 && against.zeros < 0.01, `${name}: ${zeros}`);
      assert.ok(error > 0.1 && error < 0.8, `${name}: ${error}`);
      const whole = matrices(await diffOf(dense, source)).find((tensor) => tensor.name === name);
      assert.ok(bits < 0.8 * whole.bits && error > whole.error, `${name}: ${bits} of ${whole.bits}`);
    }
    const again = await diffOf(output, output);
    assert.equal(again.error, 0);
    assert.equal(again.bytes, again.against.bytes);
  }
});

test('a GGUF file is the checkpoint that it was made of, and its package differs as much', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'source'), path = join(folder, 'model.gguf');
  writeTinyCheckpoint(source);
  writeFileSync(path, ggufOf(source));
  const same = await diffOf(path, source);
  assert.equal(same.error, 0);
  assert.ok(same.tensors.length === 20 && same.tensors.every(({ error }) => error === 0));
  assert.deepEqual(await diffOf(new Blob([readFileSync(path)]), source), same);
  const output = join(folder, 'package');
  await compress(path, { output });
  const [ofFile, ofFolder] = [await diffOf(output, path), await diffOf(output, source)];
  assert.ok(ofFile.error > 0 && ofFile.error < 0.1);
  assert.equal(ofFile.error, ofFolder.error);
});

for (const [name, program, before] of programs) {
  test(`${name}: the table keeps within 100 columns`, (t) => {
    const folder = temporaryFolder(t), a = join(folder, 'a'), b = join(folder, 'b'), c = join(folder, 'c');
    writeTinyEncoder(a, { hidden: 48, layers: 3 });
    writeTinyEncoder(b, { hidden: 64, layers: 2 });
    run(native, ['compress', a, '-o', c]);
    for (const [x, y] of [[c, a], [a, b], [b, a]]) {
      const { tensors } = diff(x, y), lines = run(program, [...before, 'diff', x, y]).split('\n');
      for (const line of lines) assert.ok([...line].length <= 100 && line === line.trimEnd(), line);
      for (const { name: tensor } of tensors) assert.equal(lines.filter((line) => line.startsWith(`${tensor} `) || line === tensor).length, 1, tensor);
      // the tensor's own line, or the one below a name that is too long
      assert.equal(lines.filter((line) => / the reference /.test(line)).length, x === c ? 0 : tensors.filter(({ against }) => against).length);
    }
  });
}
