/** onnxruntime's quantised twins of an encoder on STS-B dev, judged as `pith eval --similarity` judges: cosine to Pith's fp32 embeddings, Spearman's correlation. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from '../../js/index.js';
import { root } from './hosts.js';
import { data } from './recipe_texts.js';

const cosine = (a, b) => {
  let ab = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) { ab += a[i] * b[i]; aa += a[i] * a[i]; bb += b[i] * b[i]; }
  return ab / Math.sqrt(aa * bb);
};

/** Ranks, equal values having the mean of theirs. @param {number[]} values */
function ranks(values) {
  const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]), out = new Array(values.length);
  for (let begin = 0; begin < order.length;) {
    let end = begin;
    while (end < order.length && values[order[end]] === values[order[begin]]) end++;
    for (let i = begin; i < end; i++) out[order[i]] = (begin + end - 1) / 2;
    begin = end;
  }
  return out;
}

function pearson(x, y) {
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length, mx = mean(x), my = mean(y);
  let xy = 0, xx = 0, yy = 0;
  for (let i = 0; i < x.length; i++) { xy += (x[i] - mx) * (y[i] - my); xx += (x[i] - mx) ** 2; yy += (y[i] - my) ** 2; }
  return xy / Math.sqrt(xx * yy);
}

/** @param {'int8' | 'uint8'} kind @param {string} source the checkpoint */
export async function measureOnnx(kind, source) {
  const path = join(root, `build/bench/onnx/${kind}.onnx`), ort = (await import('onnxruntime-node')).default;
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  const model = await load(source, { threads: 1 }), rows = readFileSync(join(data, 'eval/stsb/sts-dev.csv'), 'utf8').split('\n').map((line) => line.split('\t')).filter((row) => row.length >= 7);
  const similarities = [], cosines = [];
  try {
    for (const [, , , , , a, b] of rows) {
      const pair = [];
      for (const text of [a, b]) {
        const ids = [...await model.tokenizer.encode(text)], shape = [1, ids.length], tensor = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), shape);
        const { last_hidden_state: { data: states, dims } } = await session.run({ input_ids: tensor(ids), attention_mask: tensor(ids.map(() => 1)), token_type_ids: tensor(ids.map(() => 0)) });
        const mean = new Float64Array(dims[2]);
        for (let i = 0; i < states.length; i++) mean[i % dims[2]] += states[i];
        pair.push(mean);
        cosines.push(cosine(mean, (await model.embed([text])).data));
      }
      similarities.push(cosine(pair[0], pair[1]));
    }
  } finally {
    await model.close();
    await session.release();
  }
  return { path, quality: { cosine_mean: cosines.reduce((a, b) => a + b, 0) / cosines.length, cosine_min: cosines.reduce((a, b) => Math.min(a, b)),
    spearman_x100: 100 * pearson(ranks(similarities), ranks(rows.map((row) => Number(row[4])))) } };
}
