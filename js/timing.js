/** How fast a package runs, beside a reference in the same moment: medians of turns that they take. Node.js alone, where a sweep asks for it. */
import { load } from './index.js';

const TOKENS = 128;          // of the text that is embedded, or of a prompt
const NEW_TOKENS = 24;       // that a model which generates is asked for, and
const LEAST_NEW_TOKENS = 8;  // as many must have come for their time to say something
const LEAST_TURNS = 7, MOST_TURNS = 41, ENOUGH_MS = 1500;

const WORDS = ('The harbour was quiet that morning and the boats lay still on the grey water while an old man mended his nets beside the wall ' +
  'He had done so every day for forty years and knew by the colour of the sky what the wind would bring before the evening').split(' ');

/** @typedef {import('./index.js').Model} Model */
/**
 * Milliseconds, medians: of one text's embedding, or of a prompt and of each token after it. `…Reference` is the reference's, `…Times` how many times
 * faster than it, the median of neighbours in time.
 * @typedef {{tokens: number, turns: number, embedMs?: number, embedMsReference?: number, embedTimes?: number, promptMs?: number, promptMsReference?: number,
 *   promptTimes?: number, decodeMs?: number, decodeMsReference?: number, decodeTimes?: number}} Timing
 */

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/** A text of at most so many tokens, and how many it has. @param {Model} model @param {number} most */
async function textFor(model, most) {
  const text = (/** @type {number} */ n) => Array.from({ length: n }, (_, i) => WORDS[i % WORDS.length]).join(' ');
  let least = 1, beyond = most + 1, tokens = (await model.tokenizer.encode(text(1))).length; // a word has at least a token
  while (beyond - least > 1) {
    const middle = (least + beyond) >> 1, n = (await model.tokenizer.encode(text(middle))).length;
    if (n <= most) [least, tokens] = [middle, n];
    else beyond = middle;
  }
  return { text: text(least), tokens };
}

/** Continues the prompt: greedily, or where that ends at once by the first seed that does not. @param {Model} model @param {string} prompt @param {AbortSignal} [signal] */
async function generateOnce(model, prompt, signal) {
  for (let seed = 0; ; seed++) {
    const { ids, promptMs, decodeMs } = await model.generate(prompt, { maxTokens: NEW_TOKENS, signal, ...(seed > 0 ? { temperature: 1, seed } : {}) }).result;
    if (ids.length >= LEAST_NEW_TOKENS || seed === 8) return { promptMs, decodeMs: ids.length >= LEAST_NEW_TOKENS ? decodeMs / (ids.length - 1) : NaN };
  }
}

/** @param {Model} model @param {string} text @param {AbortSignal} [signal] @returns {Promise<Record<string, number>>} */
async function turn(model, text, signal) {
  if (model.info.task === 'generate') return generateOnce(model, text, signal);
  const begin = performance.now();
  await model.embed(text, { signal });
  return { embedMs: performance.now() - begin };
}

/**
 * @param {Model} model
 * @param {Model | null} reference of the same tokenizer and task
 * @param {AbortSignal} [signal]
 * @returns {Promise<Timing>}
 */
export async function timeModels(model, reference, signal) {
  const room = model.info.task === 'generate' ? NEW_TOKENS : 0;
  const { text, tokens } = await textFor(model, Math.max(1, Math.min(TOKENS, model.info.maxTokens - room)));
  const models = reference ? [model, reference] : [model];
  for (const one of models) await turn(one, text, signal); // memory is made and code compiled
  /** @type {Record<string, number>[][]} */
  const turns = [];
  const begin = performance.now();
  while (turns.length < LEAST_TURNS || (turns.length < MOST_TURNS && performance.now() - begin < ENOUGH_MS)) {
    const both = [];
    for (const one of models) both.push(await turn(one, text, signal));
    turns.push(both);
  }
  /** @type {Record<string, number>} */
  const timing = { tokens, turns: turns.length };
  for (const key of Object.keys(turns[0][0])) {
    const own = turns.map(([mine]) => mine[key]), other = turns.map((both) => both[1]?.[key] ?? NaN);
    if (own.some(Number.isNaN)) continue; // no tokens came
    timing[key] = median(own);
    if (other.some(Number.isNaN)) continue;
    timing[`${key}Reference`] = median(other);
    timing[key.replace('Ms', 'Times')] = median(own.map((ms, i) => other[i] / ms));
  }
  return /** @type {any} */ (timing);
}

/** @param {import('./index.js').ModelSource} source @param {AbortSignal} [signal] */
export const openForTiming = (source, signal) => load(source, { worker: false, threads: 1, signal });
