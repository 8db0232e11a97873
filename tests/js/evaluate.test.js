// What `eval` measures beside quality, by every program.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, evaluate } from 'pith';
import { native, root, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

const programs = [['native', native, []], ['Node.js', process.execPath, [join(root, 'js/bin.js')]]];

test('the error after each layer: the same figures by every program, and as a table', async (t) => {
  const folder = temporaryFolder(t), texts = ['The quick fox', 'Pack my box', 'jumps over the lazy dog'];
  const file = join(folder, 'texts.txt');
  writeFileSync(file, texts.join('\n'));
  for (const [name, write] of /** @type {const} */ ([['encoder', writeTinyEncoder], ['decoder', writeTinyCheckpoint]])) {
    const source = join(folder, name), output = join(folder, `${name}-int4`);
    write(source);
    await compress(source, { output, recipe: 'int4' });
    const { embedding, layers, ...others } = await evaluate(output, { against: source, texts, perLayer: true });
    assert.deepEqual(others, await evaluate(output, { against: source, texts }));
    assert.ok(embedding && layers);
    assert.deepEqual(layers.map(({ layer, parent }) => [layer, parent]), [[0, 0], [1, 1]]);
    assert.ok([embedding, ...layers].every(({ error, cosine }) => error > 0 && error < 0.1 && cosine > 0.9 && cosine < 1), JSON.stringify([embedding, layers]));
    for (const [, program, before] of programs) {
      const pith = (...args) => spawnSync(program, [...before, 'eval', output, ...args, '--texts', file, '--per-layer'], { encoding: 'utf8' });
      const result = JSON.parse(pith('--against', source, '--json').stdout);
      assert.deepEqual([result.embedding, result.layers], [embedding, layers]);
      assert.match(pith('--against', source).stdout, /\nlayer  parent's  squared error      cosine\n {4}0 {9}0 .*\n {4}1 {9}1 .*\n$/);
      const alone = pith();
      assert.equal(alone.status, 2);
      assert.match(alone.stderr, /against which/);
    }
    await assert.rejects(evaluate(output, { against: source, texts, perLayer: /** @type {any} */ ('yes') }), { code: 'PITH_E_ARGUMENT', message: /perLayer/ });
  }
});
