// Encoders with a head: labels of texts and of tokens, masked words; from checkpoints and from packages, by every program, with the same bits.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, evaluate, load, version } from 'pith';
import { native, root, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

const texts = ['The quick [MASK] fox', '[MASK] jumps over the [MASK] dog', 'Pack my box [MASK]'];
const programs = [['native', native, []], ['Node.js', process.execPath, [join(root, 'js/bin.js')]]];
/** A model that is closed with the test. */
async function opened(t, ...args) {
  const model = await load(...args);
  t.after(() => model.close());
  return model;
}
const near = (value, expected) => assert.ok(Math.abs(value - expected) < 1e-6, `${value}, not ${expected}`);

/** A checkpoint and the package that is made of it. @param {import('node:test').TestContext} t @param {'classify' | 'tag' | 'fill'} task */
async function made(t, task) {
  const folder = temporaryFolder(t), source = join(folder, task), output = join(folder, 'package');
  writeTinyEncoder(source, { task });
  const { quality } = await compress(source, { output });
  return { folder, source, output, quality };
}

test('classify: labels with probabilities, best first', async (t) => {
  const { output, quality } = await made(t, 'classify');
  assert.ok(quality.klMean < 1e-3 && quality.top1Agreement > 0.9, JSON.stringify(quality));
  const model = await opened(t, output);
  assert.equal(model.info.task, 'classify');
  assert.deepEqual(model.info.labels, ['bad', 'good', 'none']);
  const all = await model.classify(texts), one = await model.classify(texts[1]);
  assert.equal(all.length, 3);
  assert.deepEqual(one, all[1]); // alone or in a batch
  for (const labels of all) {
    assert.deepEqual(labels.map(({ label }) => label).sort(), ['bad', 'good', 'none']);
    near(labels.reduce((sum, { score }) => sum + score, 0), 1);
    assert.deepEqual(labels, [...labels].sort((a, b) => b.score - a.score));
  }
  assert.deepEqual(await model.classify(texts, { topK: 1 }), all.map((labels) => labels.slice(0, 1)));
  assert.deepEqual(await model.classify([]), []);
  assert.equal((await model.embed(texts)).dims[0], 3); // a head does not keep it from embedding
});

test('tag: a label a token, special ones left out', async (t) => {
  const { output } = await made(t, 'tag');
  const model = await opened(t, output);
  const tokens = await model.tag('The quick foxes');
  assert.deepEqual(tokens.map(({ id }) => id), await model.tokenizer.encode('The quick foxes', { specialTokens: false }));
  assert.equal(tokens[0].token, 'the');
  for (const { label, score } of tokens) assert.ok(['bad', 'good', 'none'].includes(label) && score > 1 / 3 && score <= 1);
  assert.deepEqual(await model.tag(['', 'The quick foxes']), [[], tokens]);
});

test('fill: the likeliest tokens for each masked word', async (t) => {
  const { output, quality } = await made(t, 'fill');
  assert.ok(quality.klMean < 1e-2, JSON.stringify(quality));
  const model = await opened(t, output);
  const all = await model.fill(texts);
  assert.deepEqual(all.map((masks) => masks.length), [1, 2, 1]);
  assert.ok(all.flat().every((tokens) => tokens.length === 5 && tokens.every(({ token, score }) => typeof token === 'string' && score > 0)));
  assert.deepEqual(await model.fill(texts[1], { topK: 2 }), all[1].map((tokens) => tokens.slice(0, 2)));
  await assert.rejects(model.fill('nothing masked'), { code: 'PITH_E_ARGUMENT', message: /\[MASK\]/ });
  await assert.rejects(model.fill([texts[0], 'nothing']), { code: 'PITH_E_ARGUMENT', message: /text 2 has no \[MASK\]/ });
});

test('every variant, thread count and form of a model that has the same weights answers with the same bits', async (t) => {
  for (const task of /** @type {const} */ (['classify', 'tag', 'fill'])) {
    const { output } = await made(t, task);
    const answers = new Set();
    for (const kernels of (await version()).kernelsAvailable)
      for (const threads of [1, 2]) {
        const model = await opened(t, output, { kernels, threads });
        answers.add(JSON.stringify(await model[task](texts)));
      }
    const lines = spawnSync(native, [task, output, '--json', ...texts], { encoding: 'utf8' }).stdout.trim().split('\n').map((line) => JSON.parse(line));
    answers.add(JSON.stringify(lines.map(({ labels, tokens, masks }) => labels ?? tokens ?? masks)));
    assert.equal(answers.size, 1, task);
  }
});

test('what a model cannot do it says, and a cancelled call ends', async (t) => {
  const folder = temporaryFolder(t), decoder = join(folder, 'decoder');
  writeTinyCheckpoint(decoder);
  {
    const model = await opened(t, decoder);
    for (const task of ['classify', 'tag', 'fill']) await assert.rejects(model[task]('x'), { code: 'PITH_E_UNSUPPORTED', message: new RegExp(`cannot ${task}`) });
  }
  const { output } = await made(t, 'classify');
  const model = await opened(t, output);
  await assert.rejects(model.tag('x'), { code: 'PITH_E_UNSUPPORTED', message: /cannot tag; it can classify/ });
  await assert.rejects(model.classify(/** @type {any} */ (3)), { code: 'PITH_E_ARGUMENT' });
  await assert.rejects(model.classify('x', { topK: -1 }), { code: 'PITH_E_ARGUMENT', message: /topK/ });
  await assert.rejects(model.classify('x', /** @type {any} */ ({ best: 1 })), { code: 'PITH_E_ARGUMENT', message: /no option "best"/ });
  await assert.rejects(model.classify(Array(4000).fill(texts[1]), { signal: AbortSignal.timeout(20) }), { code: 'PITH_E_CANCELLED' });
  assert.equal((await model.classify('x')).length, 3);
});

test('evaluate: accuracy against labels; a label that the model lacks is named', async (t) => {
  const { source, output } = await made(t, 'classify');
  const model = await opened(t, source);
  const guesses = (await model.classify(texts)).map(([{ label }]) => label);
  const rows = texts.map((text, i) => ({ text, label: i === 0 ? (guesses[0] === 'bad' ? 'good' : 'bad') : guesses[i] }));
  const figures = await evaluate(output, { against: source, classify: rows });
  near(/** @type {number} */ (figures.accuracyAgainst), 2 / 3);
  assert.equal(figures.labelAgreement, 1);
  assert.equal(figures.tested, 3);
  const ids = rows.map(({ text, label }) => ({ text, label: String(['bad', 'good', 'none'].indexOf(label)) }));
  assert.deepEqual(await evaluate(output, { against: source, classify: ids }), figures);
  await assert.rejects(evaluate(output, { classify: [rows[0], { text: 'x', label: 'splendid' }] }), { code: 'PITH_E_ARGUMENT', message: /row 2: the model has no label "splendid"/ });
  await assert.rejects(evaluate(output, { texts }), { code: 'PITH_E_ARGUMENT', message: /against which/ });
  await assert.rejects(evaluate(output, { against: source, texts, topKOverlap: 2 }), { code: 'PITH_E_UNSUPPORTED', message: /labels/ });
});

test('evaluate: embeddings by the nearest centroid, and neighbours in common', async (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder');
  writeTinyEncoder(source);
  const rows = Array.from({ length: 24 }, (_, i) => ({ text: i % 2 ? `quick fox ${i}` : `pack my box ${i} box box`, label: i % 2 ? 'fox' : 'box' }));
  const figures = await evaluate(source, { against: source, classify: rows, topKOverlap: 3 });
  assert.equal(figures.tested, 12);
  assert.ok(/** @type {number} */ (figures.accuracy) > 0.9, JSON.stringify(figures));
  assert.equal(figures.accuracy, figures.accuracyAgainst);
  assert.equal(figures.topKOverlap, 1);
  const all = { text: 'x', label: 'one' };
  await assert.rejects(evaluate(source, { classify: [all, all] }), { code: 'PITH_E_ARGUMENT', message: /all texts have the label "one"/ });
  await assert.rejects(evaluate(source, { against: source, texts: ['a', 'b'], topKOverlap: 2 }), { code: 'PITH_E_ARGUMENT', message: /from 1 to 1/ });
  const decoder = join(folder, 'decoder');
  writeTinyCheckpoint(decoder);
  const { topKOverlap } = await evaluate(decoder, { against: decoder, topKOverlap: 5 });
  assert.equal(topKOverlap, 1);
  await assert.rejects(evaluate(decoder, { classify: rows }), { code: 'PITH_E_UNSUPPORTED', message: /classify or embed/ });
  await assert.rejects(evaluate(decoder, { topKOverlap: 5 }), { code: 'PITH_E_ARGUMENT', message: /against which/ });
});

const pairs = [{ text: 'The quick fox', pair: 'jumps over the dog' }, { text: 'Pack my box', pair: '' }, { text: '', pair: 'jumps over' }];

test('classify: pairs of texts, alone, in a list, beside texts', async (t) => {
  const { source, output } = await made(t, 'classify');
  const model = await opened(t, output), whole = await opened(t, source);
  const all = await model.classify(pairs);
  assert.equal(all.length, 3);
  for (let i = 0; i < 3; i++) assert.deepEqual(await model.classify(pairs[i]), all[i]);
  const mixed = await model.classify([texts[0], pairs[0], texts[1], pairs[1]]);
  assert.deepEqual(mixed, [await model.classify(texts[0]), all[0], await model.classify(texts[1]), all[1]]);
  // the second text's tokens are of another type: the same tokens as one text, and the texts the other way round, are something else
  const one = await model.classify(`${pairs[0].text} [SEP] ${pairs[0].pair}`);
  assert.notDeepEqual(one, all[0]);
  assert.notDeepEqual(await model.classify({ text: pairs[0].pair, pair: pairs[0].text }), all[0]);
  const close = (a, b) => a.forEach(({ label, score }) => assert.ok(Math.abs(b.find((other) => other.label === label).score - score) < 0.05));
  (await whole.classify(pairs)).forEach((labels, i) => close(labels, all[i]));
  const long = { text: 'quick fox '.repeat(60), pair: 'lazy dog '.repeat(3) }; // the longer one is cut
  assert.notDeepEqual(await model.classify(long), await model.classify({ ...long, pair: '' }));
  for (const wrong of [{ text: 'x' }, { pair: 'x' }, { text: 'x', pair: 1 }, { text: 'x', pair: 'y', label: 'z' }, null])
    await assert.rejects(model.classify(/** @type {any} */ (wrong)), { code: 'PITH_E_ARGUMENT' }, JSON.stringify(wrong));
  const tagger = await opened(t, (await made(t, 'tag')).output);
  await assert.rejects(tagger.tag(/** @type {any} */ (pairs[0])), { code: 'PITH_E_ARGUMENT', message: /should be a string/ });
});

test('evaluate: accuracy of pairs, as classify answers them', async (t) => {
  const { source, output } = await made(t, 'classify');
  const model = await opened(t, output);
  const rows = [];
  for (const row of [...pairs, { text: texts[0] }]) rows.push({ ...row, label: (await model.classify('pair' in row ? row : row.text))[0].label });
  rows[0].label = rows[0].label === 'bad' ? 'good' : 'bad';
  const figures = await evaluate(output, { against: source, classify: rows, perLayer: true });
  assert.equal(figures.tested, 4);
  near(/** @type {number} */ (figures.accuracy), 3 / 4);
  assert.ok(/** @type {number} */ (figures.klMean) < 1e-3 && /** @type {any} */ (figures.embedding).error < 1e-3, JSON.stringify(figures));
  const encoder = join(temporaryFolder(t), 'encoder');
  writeTinyEncoder(encoder);
  await assert.rejects(evaluate(encoder, { classify: rows }), { code: 'PITH_E_UNSUPPORTED', message: /pairs of texts are for models that classify/ });
});

/** The program, files of texts below the folder, and a call that has to fail. */
function commandLine(program, before, folder) {
  const pith = (...args) => spawnSync(program, [...before, ...args], { encoding: 'utf8' });
  return {
    pith,
    file: (as, content) => { writeFileSync(join(folder, as), content); return join(folder, as); },
    refused: (status, says, ...args) => {
      const result = pith(...args);
      assert.equal(result.status, status, `${args.join(' ')}: ${result.stderr}`);
      assert.match(result.stderr, says);
    },
  };
}

for (const [name, program, before] of programs) {
  test(`${name}: the command line, with pairs`, async (t) => {
    const { folder, source, output } = await made(t, 'classify');
    const model = await opened(t, output);
    const { pith, file, refused } = commandLine(program, before, folder);
    const expected = (await model.classify(pairs)).map((labels, i) => ({ ...pairs[i], labels }));
    const csv = file('pairs.csv', 'id,text,label,pair\n1,The quick fox,good,jumps over the dog\n2,Pack my box,bad,\n3,,good,jumps over\n');
    for (const as of [file('pairs.tsv', pairs.map(({ text, pair }) => `${text}\t${pair}`).join('\n')), file('pairs.jsonl', pairs.map((pair) => JSON.stringify(pair)).join('\n')), csv]) {
      const result = pith('classify', output, '--pairs', as, '--json');
      assert.deepEqual(result.stdout.trim().split('\n').map((line) => JSON.parse(line)), expected, result.stderr);
    }
    assert.deepEqual(JSON.parse(pith('classify', output, '--pairs', csv, '--columns', 'pair,2', '--json').stdout.split('\n')[0]).text, pairs[0].pair);
    const figures = JSON.parse(pith('eval', output, '--against', source, '--classify', csv, '--columns', 'text,pair,label', '--json').stdout);
    assert.equal(figures.tested, 3);
    assert.deepEqual(Object.fromEntries(['accuracy', 'label_agreement'].map((key) => [key, figures[key]])), {
      accuracy: expected.filter(({ labels }, i) => labels[0].label === ['good', 'bad', 'good'][i]).length / 3, label_agreement: 1 });
    refused(2, /takes texts or --pairs/, 'classify', output, 'x', '--pairs', csv);
    refused(2, /--columns goes with --pairs/, 'classify', output, 'x', '--columns', 'a,b');
    refused(2, /takes 2 columns/, 'classify', output, '--pairs', csv, '--columns', 'text');
    refused(6, /line 1: there is no column 2/, 'classify', output, '--pairs', file('one.tsv', 'alone\n'));
    refused(2, /has no rows/, 'classify', output, '--pairs', file('none.tsv', ''));
    refused(2, /has no option --pairs/, 'tag', output, '--pairs', csv);
  });

  test(`${name}: the command line, with texts from CSV, TSV and JSONL`, async (t) => {
    const { folder, source, output } = await made(t, 'classify');
    const { pith, file, refused } = commandLine(program, before, folder);
    assert.match(pith('classify', output, 'a fox', 'a dog', '--top-k', '1').stdout, /^(bad|good|none) 0\.\d{4}\n(bad|good|none) 0\.\d{4}\n$/);
    const figures = ['rows.csv', 'rows.tsv', 'rows.jsonl'].map((as) => {
      const rows = [['a "quick", fox', 'good'], ['a dog', 'bad']];
      const content = as === 'rows.csv' ? `text,label\n"a ""quick"", fox",good\na dog,bad\n`
        : as === 'rows.tsv' ? rows.map((row) => row.join('\t')).join('\n') : rows.map(([text, label]) => JSON.stringify({ text, label })).join('\n');
      const { status, stdout, stderr } = pith('eval', output, '--against', source, '--classify', file(as, content), '--json');
      assert.equal(status, 0, stderr);
      return stdout;
    });
    assert.equal(new Set(figures).size, 1);
    assert.equal(JSON.parse(figures[0]).tested, 2);
    const csv = file('texts.csv', 'id,body\n1,a fox\n2,a dog\n');
    assert.equal(JSON.parse(pith('eval', output, '--against', source, '--texts', csv, '--column', 'body', '--json').stdout).texts, 2);
    refused(2, /no column "missing"/, 'eval', output, '--against', source, '--texts', csv, '--column', 'missing');
    refused(2, /--column goes with --texts/, 'eval', output, '--against', source, '--column', 'body');
    refused(2, /takes 2 columns/, 'eval', output, '--classify', csv, '--columns', 'body');
    refused(6, /texts.txt, line 1: there is no column 2/, 'eval', output, '--classify', file('texts.txt', 'no label\n'));
    refused(2, /row 1: the model has no label "2x"/, 'eval', output, '--classify', file('wrong.csv', 'x,2x\n'));
    refused(6, /bad.jsonl, line 2/, 'compress', source, '-o', join(folder, 'other'), '--texts', file('bad.jsonl', '{"text":"x"}\n{"text":\n'));
  });
}
