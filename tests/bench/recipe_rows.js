/** The rows of docs/RECIPES.md, as data. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './hosts.js';
import { measureOnnx } from './recipe_onnx.js';
import { data, textsOf } from './recipe_texts.js';

/**
 * @typedef {{source: string, says: string, evaluation: (out: string) => string[]}} Model
 * @typedef {{id: string, model: string, recipe?: string | object, says?: string, calibrate?: string, args?: string[]}} Row says: what the table calls it, where it is no named recipe
 * @typedef {{id: string, model: string, says: string, measure: (model: Model, out: string) => Promise<{path: string, quality?: object}>}} Peer
 */
const checkpoint = process.env.CHECKPOINT ?? join(data, 'models/all-MiniLM-L6-v2'), smollm = join(root, 'build/bench/smollm2.gguf');

/** @type {Record<string, Model>} */
export const MODELS = {
  minilm: { source: checkpoint, says: 'all-MiniLM-L6-v2', evaluation: () => ['--similarity', join(data, 'eval/stsb/sts-dev.csv')] },
  story: { source: join(data, 'models/story'), says: 'the story model of the page', evaluation: (out) => ['--perplexity', textsOf('heldout', out)] },
  smollm2: { source: smollm, says: 'SmolLM2-135M-Instruct, as its Q4_1 file has it', evaluation: (out) => ['--perplexity', textsOf('wikitext', out)] },
};

const named = (model, texts, solving = texts) => [
  { id: `${model}-lossless-ish`, model, recipe: 'lossless-ish' },
  { id: `${model}-int8`, model, recipe: 'int8' },
  { id: `${model}-int8-calibrated`, model, recipe: 'int8', calibrate: texts },
  { id: `${model}-int4`, model, recipe: 'int4' },
  { id: `${model}-int4-calibrated`, model, recipe: 'int4', calibrate: texts },
  { id: `${model}-edge`, model, recipe: 'edge', calibrate: solving },
  { id: `${model}-tiny`, model, recipe: 'tiny', calibrate: texts },
];

const int8 = { matrices: { encoding: 'u7', group_size: 64 }, tables: { encoding: 'u8-row' }, attention: 'i16' };

/** What the goals are about, beside the named recipes. @type {Row[]} */
const goals = [
  ...[14, 20].map((megabytes) => ({ id: `minilm-budget-${megabytes}`, model: 'minilm', says: `\`--max-bytes ${megabytes}000000\``, calibrate: 'news-600',
    args: ['--max-bytes', `${megabytes}000000`, '--sensitivity', join(root, 'build/recipes/minilm-sensitivity.json')] })),
  ...[['', 'news-3000'], ['-sts', 'sts-train']].map(([suffix, calibrate]) => ({
    id: `minilm-neurons${suffix}`, model: 'minilm', calibrate, says: 'half of all neurons pruned, as `int8`',
    recipe: { ...int8, prune: { neurons: [0.6, 0.6, 0.55, 0.5, 0.4, 0.35] } },
  })),
  ...[['sparse', 'half of the layers\' weights zero (SparseGPT), stored sparse; tables `u5`', 'unstructured', 0.5, 'u7-sparse', { encoding: 'u5' }],
    ['block-50', 'half of the layers\' blocks zero', 'block', 0.5, 'u7-block', int8.tables], ['block-25', 'a quarter of the layers\' blocks zero', 'block', 0.25, 'u7-block', int8.tables]].map(([id, says, form, fraction, encoding, tables]) => ({
    id: `minilm-${id}`, model: 'minilm', calibrate: 'news-6000', says,
    recipe: { ...int8, tables, matrices: { encoding, group_size: 64, sparsity: { form, fraction, by: 'obs' } } },
  })),
  { id: 'minilm-sparse-sts', model: 'minilm', calibrate: 'sts-train', says: 'the same, with texts of the test\'s kind',
    recipe: { ...int8, tables: { encoding: 'u5' }, matrices: { encoding: 'u7-sparse', group_size: 64, sparsity: { form: 'unstructured', fraction: 0.5, by: 'obs' } } } },
  { id: 'minilm-int4-order', model: 'minilm', calibrate: 'news-600', says: '`int4` with `"order": "activations"`',
    recipe: { order: 'activations', matrices: { encoding: 'u4', group_size: 32 }, head: int8.matrices, tables: int8.tables, attention: 'i16' } },
];

/** @type {Row[]} */
export const ROWS = [
  ...named('minilm', 'news-600', 'news-3000'),
  { id: 'minilm-edge-sts', model: 'minilm', recipe: 'edge', calibrate: 'sts-train' },
  { id: 'minilm-tiny-sts', model: 'minilm', recipe: 'tiny', calibrate: 'sts-train' },
  ...goals,
  ...named('story', 'children-600'),
  ...named('smollm2', 'news-600'),
];

function requantized(kind) {
  return async (model, out) => {
    const path = join(out, `smollm2-${kind}.gguf`);
    if (!existsSync(path)) {
      const libraries = join(root, 'tests/bench/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64');
      const { status, stderr } = spawnSync('python3', [join(root, 'tests/bench/make_gguf.py'), libraries, model.source, path, kind], { encoding: 'utf8', maxBuffer: 1 << 26 });
      if (status !== 0) throw new Error(stderr.trim().split('\n').pop());
    }
    return { path };
  };
}

/** @type {Peer[]} */
export const PEERS = [
  { id: 'minilm-onnx-int8', model: 'minilm', says: 'onnxruntime, dynamic int8 by channel', measure: (model) => measureOnnx('int8', model.source) },
  { id: 'minilm-onnx-uint8', model: 'minilm', says: 'onnxruntime, dynamic uint8 by tensor (transformers.js q8)', measure: (model) => measureOnnx('uint8', model.source) },
  { id: 'smollm2-q8_0', model: 'smollm2', says: 'llama.cpp Q8_0', measure: requantized('Q8_0') },
  { id: 'smollm2-q4_k_m', model: 'smollm2', says: 'llama.cpp Q4_K_M', measure: requantized('Q4_K_M') },
];
