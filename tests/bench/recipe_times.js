/** The time of packages of one model, one thread, in turns: node recipe_times.js PACKAGE … prints the samples by package, in milliseconds. */
import { load } from '../../js/index.js';
import { ofTokens } from './texts.js';

const ROUNDS = 9;
const PROMPT = 'There was a village between two hills where the road from the coast met the road from the mountains. Every autumn the traders came';
const models = new Map();
for (const path of process.argv.slice(2)) models.set(path, await load(path, { threads: 1 }));

/** An encoder on a text of 128 tokens; a decoder's 32 steps after a prompt. */
async function once(model) {
  if (model.info.task === 'embed') {
    const begin = performance.now();
    await model.embed([ofTokens(128)]);
    return performance.now() - begin;
  }
  return (await model.generate(PROMPT, { maxTokens: 33, temperature: 0 }).result).decodeMs;
}

/** @type {Record<string, number[]>} */
const samples = {};
for (let round = -1; round < ROUNDS; round++) {
  const order = [...models];
  order.push(...order.splice(0, (round + 1) % order.length));   // every round begins with another one
  for (const [path, model] of order) {
    const ms = await once(model);
    if (round >= 0) (samples[path] ??= []).push(Number(ms.toFixed(3)));
  }
}
console.log(JSON.stringify(samples));
for (const model of models.values()) await model.close();
