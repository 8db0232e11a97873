// `pith diff` on small checkpoints made here.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { native, run, temporaryFolder } from './support.js';
import { writeTinyEncoder } from './tiny.js';

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

test('wrong inputs', (t) => {
  const source = join(temporaryFolder(t), 'source');
  writeTinyEncoder(source);
  for (const [args, status] of [[[source], 2], [[source, `${source}-none`], 3], [[source, source, '--recipe', 'int8'], 2]])
    assert.equal(spawnSync(native, ['diff', ...args]).status, status, args.join(' '));
});
