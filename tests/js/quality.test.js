// The bounds that compression of the real models must keep, by Pith's own evaluation.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress } from '../../js/index.js';
import { data, native, needsData, run, story, temporaryFolder } from './support.js';

const evaluate = (...args) => JSON.parse(run(native, ['eval', ...args, '--json']));

test('MiniLM, int8: size, and STS-B dev against fp32', { skip: needsData }, (t) => {
  const parent = join(data, 'models/all-MiniLM-L6-v2'), output = join(temporaryFolder(t), 'minilm');
  run(native, ['compress', parent, '-o', output]);
  const bytes = readdirSync(output).reduce((sum, name) => sum + statSync(join(output, name)).size, 0);
  assert.ok(bytes <= 23.7e6, `${bytes} bytes`);
  const q = evaluate(output, '--against', parent, '--similarity', join(data, 'eval/stsb/sts-dev.csv'));
  assert.ok(q.cosine_mean >= 0.9985, `mean cosine ${q.cosine_mean}`);
  assert.ok(q.cosine_min >= 0.993, `worst cosine ${q.cosine_min}`);
  assert.ok(Math.abs(q.spearman_x100_against - 86.716) < 0.001, `fp32's Spearman is ${q.spearman_x100_against}`);
  assert.ok(q.spearman_x100 >= q.spearman_x100_against - 0.1, `Spearman ${q.spearman_x100}`);
});

test('MiniLM, int4 calibrated on other texts: STS-B dev against fp32', { skip: needsData }, (t) => {
  const parent = join(data, 'models/all-MiniLM-L6-v2'), folder = temporaryFolder(t), output = join(folder, 'minilm'), texts = join(folder, 'texts.txt');
  const sentences = readFileSync(join(data, 'eval/sst2/alps-train.tsv'), 'utf8').split('\n').map((line) => line.split('\t')[0]).filter((text) => text.length > 40);
  writeFileSync(texts, sentences.slice(0, 1500).join('\n'));
  run(native, ['compress', parent, '-o', output, '--recipe', 'int4', '--calibrate', texts]);
  const q = evaluate(output, '--against', parent, '--similarity', join(data, 'eval/stsb/sts-dev.csv'));
  assert.ok(q.cosine_mean >= 0.991, `mean cosine ${q.cosine_mean}`); // 0.976 without texts, 0.989 without aiming at the parent
  assert.ok(q.spearman_x100 >= q.spearman_x100_against - 0.2, `Spearman ${q.spearman_x100}`);
});

test('MiniLM in the module: memory near a layer, and the figures of the models loaded whole', { skip: needsData }, async (t) => {
  const source = join(data, 'models/all-MiniLM-L6-v2'), output = join(temporaryFolder(t), 'minilm');
  const { Instance } = WebAssembly;
  /** @type {WebAssembly.Memory[]} */
  const memories = [];
  t.after(() => { WebAssembly.Instance = Instance; });
  WebAssembly.Instance = new Proxy(Instance, {
    construct(target, [module, imports]) {
      const instance = new target(module, imports);
      memories.push(instance.exports.memory ?? imports.env.memory);
      return instance;
    },
  });
  const { quality } = await compress(source, { output, worker: false });
  assert.equal(memories.length, 1);
  const bytes = memories[0].buffer.byteLength; // a module's memory never shrinks
  assert.ok(bytes < 24e6, `${bytes} bytes for a checkpoint of 91 MB`);
  const whole = evaluate(output, '--against', source);
  assert.deepEqual([quality.texts, quality.cosineMean, quality.cosineMin], [whole.texts, whole.cosine_mean, whole.cosine_min]);
});

test('story: the loss on held-out text, fp32 and int8', { skip: needsData }, () => {
  const text = join(data, 'models/story/heldout.txt');
  const q = evaluate(story, '--against', join(data, 'models/story'), '--perplexity', text);
  assert.ok(Math.abs(q.nll_mean_against - 3.914391289) < 1e-4, `fp32's loss is ${q.nll_mean_against}`);
  assert.ok(q.nll_mean <= q.nll_mean_against * 1.003, `int8's loss is ${q.nll_mean}`);
});
