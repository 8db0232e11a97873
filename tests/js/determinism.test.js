// One hash everywhere: native and WebAssembly, two Node.js versions, three browser engines, in every variant of the kernels that each has.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { engines, needsEngine, open } from './browsers.js';
import { currentNode, data, isolation, native, needsData, root, run, servePlayground, story, temporaryFolder } from './support.js';
import { writeTinyEncoder } from './tiny.js';

const file = { after: (end) => after(end) }; // what lasts for all tests below

const cli = join(root, 'js/bin.js');
const programs = [['native', native, []], [`Node.js ${process.version}`, process.execPath, [cli]], ['a current Node.js', currentNode, [cli]]];

const folder = temporaryFolder(file);
const sources = { '/story/': story, '/story-fp16/': join(root, 'models/story-fp16'), '/encoder/': join(folder, 'encoder'), '/minilm/': join(folder, 'minilm-0'), '/encoder-int4/': join(folder, 'encoder-int4'),
  '/encoder-block/': join(folder, 'encoder-block'), '/encoder-2of4/': join(folder, 'encoder-2of4'), '/encoder-packed/': join(folder, 'encoder-packed'), '/encoder-pruned/': join(folder, 'encoder-pruned') };
writeTinyEncoder(join(folder, 'encoder-fp32'));
run(native, ['compress', join(folder, 'encoder-fp32'), '-o', sources['/encoder/']]);
run(native, ['compress', join(folder, 'encoder-fp32'), '-o', sources['/encoder-int4/'], '--recipe', 'int4']);
for (const [form, encoding, sparsity] of [['block', 'u7-block', { form: 'block', fraction: 0.5 }], ['2of4', 'u7-sparse', { form: '2:4' }], ['packed', 'u6']]) {
  const recipe = join(folder, `${form}.json`);
  writeFileSync(recipe, JSON.stringify({ name: form, matrices: { encoding, sparsity }, tables: { encoding: form === 'packed' ? 'u5' : 'u8-row' } }));
  run(native, ['compress', join(folder, 'encoder-fp32'), '-o', sources[`/encoder-${form}/`], '--recipe', recipe]);
}

const pruned = join(folder, 'pruned.json');
writeFileSync(pruned, JSON.stringify({ name: 'pruned', matrices: { encoding: 'u7' }, tables: { encoding: 'u8-row' }, attention: 'i16', prune: { neurons: 0.5, heads: [0.5, 0], importance: 'magnitude' } }));
run(native, ['compress', join(folder, 'encoder-fp32'), '-o', sources['/encoder-pruned/'], '--recipe', pruned]);

/** The variants that a program has: it lists them when it is asked for one that does not exist. */
function variantsOf(program, before) {
  try {
    run(program, [...before, 'digest', story, '--kernels', 'none']);
  } catch (error) {
    const names = /; there are ([\w-]+(?:, [\w-]+)*)/.exec(error.stderr)?.[1].split(', ') ?? [];
    assert.ok(names.includes('scalar') && names.includes('simd128'), error.stderr);
    return names;
  }
  throw new Error('kernels that do not exist were accepted');
}

/** @type {Map<string, string>} what every engine has to say, by source */
const expected = new Map();
const expect = (source) => {
  if (!expected.has(source)) expected.set(source, JSON.parse(run(native, ['digest', source, '--json'])).digest);
  return expected.get(source);
};

/** @param {string} source @param {string[]} [options] which make it another model, that has a digest of its own */
function assertOneDigest(source, options = []) {
  const wanted = options.length > 0 ? JSON.parse(run(native, ['digest', source, '--json', ...options])).digest : expect(source);
  for (const [name, program, before] of programs) {
    for (const kernels of variantsOf(program, before)) {
      const { digest } = JSON.parse(run(program, [...before, 'digest', source, '--kernels', kernels, '--json', ...options]));
      assert.equal(digest, wanted, `${name}, ${kernels}`);
    }
  }
  return wanted;
}

test('the current Node.js is another one', () => assert.notEqual(run(currentNode, ['--version']).trim(), process.version));
test('story, int8', () => assertOneDigest(story));
test('story, fp16', () => assertOneDigest(sources['/story-fp16/']));
test('story with keys and values of one byte, of two, and in floats', () => {
  const digests = ['i8', 'i16', 'f32'].map((attention) => assertOneDigest(story, ['--attention', attention]));
  assert.equal(new Set(digests).size, 3);
  assert.equal(digests[1], expect(story));
});
test('an encoder of random weights, int8', () => assertOneDigest(sources['/encoder/']));
test('calibrated: the same package from each, on one thread and on two', () => {
  const texts = join(folder, 'calibration.txt'), made = (i) => join(folder, `calibrated-${i}`);
  writeFileSync(texts, Array.from({ length: 60 }, (_, i) => `the ${i} cats and ${i * 7} dogs of house ${i % 9} run over a hill to the sea`).join('\n'));
  const ways = [...programs.map((program) => [...program, '1']), [...programs[0], '2']];
  for (const [i, [name, program, before, threads]] of ways.entries()) {
    run(program, [...before, 'compress', join(folder, 'encoder-fp32'), '-o', made(i), '--recipe', 'int4', '--calibrate', texts, '--threads', threads]);
    if (i > 0) assert.equal(run('diff', ['-rq', made(0), made(i)]), '', `${name} made another package`);
  }
  const { calibration } = JSON.parse(readFileSync(join(made(0), 'pith.json'), 'utf8'));
  assert.ok(calibration.texts === 60 && calibration.tokens > 256 && /^[0-9a-f]{64}$/.test(calibration.sha256), JSON.stringify(calibration));
});
test('an encoder of random weights, int4', () => assertOneDigest(sources['/encoder-int4/']));
test('an encoder of random weights, half of its blocks', () => assertOneDigest(sources['/encoder-block/']));
test('an encoder of random weights, whose layers were pruned to different shapes', () => {
  const { settings } = JSON.parse(readFileSync(join(sources['/encoder-pruned/'], 'pith.json'), 'utf8'));
  assert.equal(new Set(settings.layers.map((layer) => layer.heads)).size, 2);
  assertOneDigest(sources['/encoder-pruned/']);
});
test('pruned by second order: the same package from each', () => {
  const texts = join(folder, 'calibration.txt'), recipe = join(folder, 'by-texts.json'), made = (i) => join(folder, `pruned-${i}`);
  writeFileSync(recipe, JSON.stringify({ name: 'pruned', matrices: { encoding: 'u7' }, tables: { encoding: 'u8-row' }, prune: { neurons: 0.5, heads: 0.5 } }));
  for (const [i, [name, program, before]] of programs.entries()) {
    run(program, [...before, 'compress', join(folder, 'encoder-fp32'), '-o', made(i), '--recipe', recipe, '--calibrate', texts]);
    if (i > 0) assert.equal(run('diff', ['-rq', made(0), made(i)]), '', `${name} made another package`);
  }
});
test('sparse by second order, in packed encodings: the same package from each, on one thread and on two', () => {
  const texts = join(folder, 'calibration.txt'), recipe = join(folder, 'sparse.json'), made = (i) => join(folder, `sparse-${i}`);
  const sparse = (form, fraction, by) => ({ encoding: 'u7-sparse', sparsity: { form, fraction, by } });
  writeFileSync(recipe, JSON.stringify({ name: 'sparse', matrices: sparse('unstructured', 0.5, 'obs'), tables: { encoding: 'u5' }, tensors: [
    { name: '*.query.weight', ...sparse('2:4', undefined, 'obs') }, { name: '*.key.weight', ...sparse('block', 0.5, 'obs') }, { name: '*.value.weight', ...sparse('unstructured', 0.3, 'wanda') },
    { name: '*.0.intermediate.*', encoding: 'u6' }, { name: '*.1.intermediate.*', encoding: 'u7-packed' }] }));
  const ways = [...programs.map((program) => [...program, '1']), [...programs[0], '2']];
  for (const [i, [name, program, before, threads]] of ways.entries()) {
    run(program, [...before, 'compress', join(folder, 'encoder-fp32'), '-o', made(i), '--recipe', recipe, '--calibrate', texts, '--threads', threads]);
    if (i > 0) assert.equal(run('diff', ['-rq', made(0), made(i)]), '', `${name} made another package`);
  }
  assertOneDigest(made(0));
});
test('an encoder of random weights, in packed encodings', () => assertOneDigest(sources['/encoder-packed/']));
test('an encoder of random weights, 2:4', () => assertOneDigest(sources['/encoder-2of4/']));
test('story, the fp32 checkpoint', { skip: needsData }, () => assertOneDigest(join(data, 'models/story')));
test('MiniLM, int8: also compressed to the same bytes by each', { skip: needsData }, () => {
  for (const [i, [name, program, before]] of programs.entries()) {
    run(program, [...before, 'compress', join(data, 'models/all-MiniLM-L6-v2'), '-o', join(folder, `minilm-${i}`)]);
    if (i > 0) assert.equal(run('diff', ['-rq', sources['/minilm/'], join(folder, `minilm-${i}`)]), '', `${name} made another package`);
  }
  assertOneDigest(sources['/minilm/']);
});

/** In the page: the digests of a model, all variants at the same time, each in a worker of its own. */
async function digestsInPage(address) {
  const { load, version } = await import('/pith/js/index.js');
  const { kernelsAvailable } = await version();
  return Promise.all(kernelsAvailable.map(async (kernels) => {
    const model = await load(address, { kernels });
    const digest = await model.digest();
    await model.close();
    return { kernels, inUse: model.info.kernels, digest };
  }));
}

for (const engine of engines) {
  test(`${engine}: the same digests`, { skip: needsEngine(engine) }, async (t) => {
    const texts = { '/blank.html': '<!doctype html><title>Pith</title>' };
    const plain = await servePlayground(t, { folders: sources, texts }), isolated = await servePlayground(t, { folders: sources, texts, headers: isolation });
    const page = await open(engine, t);
    // An isolated page may have variants that share memory, so it computes everything; a plain page shows that it needs no isolation.
    for (const [site, isIsolated] of [[isolated, true], [plain, false]]) {
      await page.goto(`${site}blank.html`);
      assert.equal(await page.evaluate(() => crossOriginIsolated), isIsolated);
      for (const [address, source] of Object.entries(sources)) {
        if (address === '/minilm/' && needsData) continue;
        if (address !== '/story/' && !isIsolated) continue;
        const seen = await page.evaluate(digestsInPage, address);
        assert.ok(seen.length >= 2 && seen.some(({ inUse }) => inUse === 'scalar'), JSON.stringify(seen));
        for (const { kernels, inUse, digest } of seen) {
          assert.equal(inUse, kernels);
          assert.equal(digest, expect(source), `${address}, ${kernels}`);
        }
        t.diagnostic(`${address}${isIsolated ? ' isolated' : ''}: ${seen.map(({ kernels }) => kernels).join(', ')}`);
      }
    }
  });
}
