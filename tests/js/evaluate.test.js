// What `eval` measures beside quality, by every program.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, evaluate } from 'pith';
import { native, root, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

/** That a measure is there, and positive. */
function checkMeasure(measure, tokens, after) {
  assert.deepEqual([measure.tokens, measure.after], [tokens, after]);
  assert.ok(measure.ms > 0 && measure.msAgainst > 0 && measure.ratio > 0 && measure.tokensPerSecond > 0 && measure.tokensPerSecondAgainst > 0, JSON.stringify(measure));
}

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

test('the speed: of both models, by every program, and alone', async (t) => {
  const folder = temporaryFolder(t);
  for (const [name, write] of /** @type {const} */ ([['encoder', writeTinyEncoder], ['decoder', writeTinyCheckpoint]])) {
    const source = join(folder, name), output = join(folder, `${name}-int8`);
    write(source);
    if (name === 'decoder') { // with room for what is decoded
      const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8'));
      writeFileSync(join(source, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: 192 }));
    }
    await compress(source, { output });
    assert.doesNotMatch(readFileSync(join(output, 'pith.json'), 'utf8'), /ratio|tokensPerSecond|"ms"/);
    const { speed, ...others } = await evaluate(output, { against: source, speed: true, threads: 1 });
    assert.deepEqual(others, await evaluate(output, { against: source }));
    assert.equal(speed?.threads, 1);
    const names = name === 'decoder' ? ['prompt', 'token'] : ['short_text', 'long_text'];
    assert.equal(Object.keys(speed).length, 3);
    checkMeasure(speed.prompt ?? speed.shortText, name === 'decoder' ? 128 : 16);
    checkMeasure(speed.token ?? speed.longText, ...(name === 'decoder' ? [undefined, 128] : [64]));
    for (const [, program, before] of programs) {
      const pith = (...args) => spawnSync(program, [...before, 'eval', output, '--speed', '--threads', '2', ...args], { encoding: 'utf8' });
      const alone = JSON.parse(pith('--json').stdout);
      assert.deepEqual(Object.keys(alone), ['speed']);
      assert.equal(alone.speed.threads, 2);
      assert.deepEqual(Object.keys(alone.speed), ['threads', ...names]);
      for (const measure of names.map((key) => alone.speed[key])) assert.ok(measure.ms > 0 && measure.tokens_per_second > 0 && !('ratio' in measure), JSON.stringify(alone));
      for (const key of names) assert.match(pith('--against', source).stdout, new RegExp(`\\n  ${key}\\n    (tokens|after) +\\d+\\n    ms +\\d[^]*\\n    ratio +\\d`));
    }
  }
  const short = join(folder, 'short');
  writeTinyCheckpoint(short); // 64 positions
  await assert.rejects(evaluate(short, { speed: true }), { code: 'PITH_E_UNSUPPORTED', message: /too short/ });
  await assert.rejects(evaluate(join(folder, 'encoder'), { perLayer: true, speed: true }), { code: 'PITH_E_ARGUMENT', message: /against which/ });
});
