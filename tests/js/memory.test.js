// What compressing takes: memory near a layer and what calibration keeps of it, and one clear error where it cannot be had.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Engine } from '../../js/engine.js';
import { MountedFiles } from '../../js/files.js';
import { eventLoopTurn, machineFiles, prepareModule, sha256 } from '../../js/load.js';
import { makeCheckpoint, writeTexts } from '../bench/memory.js';
import { root, run, temporaryFolder } from './support.js';

test('the measurement of memory: the same package natively and in the module, whose memory holds no model', (t) => {
  const folder = temporaryFolder(t), layers = 6, hidden = 256, inner = 1024;
  const lines = run(process.execPath, [join(root, 'tests/bench/memory.js'), '--layers', `${layers}`, '--hidden', `${hidden}`, '--inner', `${inner}`, '--tokens', '256', '--folder', folder]).trim().split('\n');
  const runs = lines.map((line) => /^(\w+) ([\w-]+): .*?(?:module (\d+) MB.*)?, shards (\w{16})$/.exec(line)).map(([, host, recipe, mb, hash]) => ({ host, recipe, mb: Number(mb), hash }));
  assert.deepEqual(runs.map(({ host, recipe }) => `${host} ${recipe}`), ['native int8', 'native int4-calibrated', 'wasm int8', 'wasm int4-calibrated']);
  assert.equal(runs[0].hash, runs[2].hash);
  assert.equal(runs[1].hash, runs[3].hash);
  assert.notEqual(runs[0].hash, runs[1].hash);
  const layer = 4 * (2.5 * hidden * hidden + 3 * hidden * inner) / 1e6, model = layers * layer, inputs = (12 * inner * inner + 8 * hidden * inner) / 1e6;
  assert.ok(runs[2].mb > 0 && runs[2].mb < model, `${runs[2].mb} MB for int8, and the model has ${model}`);
  assert.ok(runs[3].mb < 3 * layer + inputs + 20, `${runs[3].mb} MB calibrated; a layer (the package's, as it is read, and the parent's) has ${layer}, what its inputs say ${inputs}`);
});

test('a module without the memory that calibration wants says so, leaves nothing behind, and compresses without', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'checkpoint'), output = join(folder, 'package'), texts = join(folder, 'texts.txt');
  makeCheckpoint(source, { hidden: 256, inner: 2048, layers: 1 });
  writeTexts(texts, 256);
  const prepared = await prepareModule({ threads: 2, complete: true });
  assert.ok(prepared.memory, prepared.note);
  const threads = { suggested: 1, start: () => { throw new Error('no threads here'); } };
  const engine = new Engine({ ...prepared, memory: new WebAssembly.Memory({ initial: 16, maximum: 640, shared: true }) }, new MountedFiles(machineFiles()), eventLoopTurn(), threads, sha256);
  t.after(() => engine.close());
  const request = { verb: 'compress', source, output, recipe: 'int4', threads: 1, texts: ['Once upon a time.'] };
  await assert.rejects(engine.run({ ...request, calibrate: readFileSync(texts, 'utf8').trim().split('\n') }), (error) => {
    assert.equal(error.code, 'PITH_E_MEMORY', error.message);
    assert.match(error.message, /calibrating a matrix of 2048 inputs takes 50 MB.*natively, or compress without calibration/);
    return true;
  });
  assert.ok(!existsSync(output));
  await engine.run(request);
  assert.ok(existsSync(join(output, 'pith.json')));
});
