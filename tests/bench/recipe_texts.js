/** The texts that rows are calibrated on and judged by: parts of ../shared/data, cut the same way every time, below build/recipes/. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './hosts.js';

export const data = process.env.PITH_DATA ?? join(root, '../shared/data');
const unpacked = (path) => execFileSync('xz', ['-dc', join(data, path)], { encoding: 'utf8', maxBuffer: 1 << 29 });
const sentences = (text) => text.split(/(?<=[.!?])\s+(?=[A-Z"])/);

/** The first whole sentences of Wikinews, less those whose markup left gaps. @param {number} n */
function news(n) {
  const list = [];
  for (const line of unpacked('corpora/enwikinews/enwikinews.jsonl.xz').split('\n')) {
    const paragraphs = line ? JSON.parse(line).text.split('\n').map((text) => text.trim()).filter(({ length }) => length >= 60 && length <= 600) : [];
    for (const sentence of paragraphs.slice(0, 2).flatMap(sentences)) {
      if (sentence.length >= 40 && sentence.length <= 220 && /^[A-Z"]/.test(sentence) && !/ ,|\(\)|&|<| {2}| \.|the of|the ,/.test(sentence)) list.push(sentence);
    }
    if (list.length >= n) break;
  }
  return list.slice(0, n);
}

/** Every sentence pair's two sides. @param {number} n */
const sts = (n) => readFileSync(join(data, 'eval/stsb/sts-train.csv'), 'utf8').split('\n').map((line) => line.split('\t')).filter((row) => row.length >= 7)
  .flatMap((row) => [row[5], row[6]]).slice(0, n);

const children = (n) => sentences(unpacked('corpora/gutenberg-children/gutenberg-children.txt.xz').slice(0, 2_000_000).replace(/\s+/g, ' ')).filter((text) => text.length >= 40 && !/[<>]/.test(text)).slice(0, n);

/** @type {Record<string, {made: () => string[], says: string}>} */
export const TEXTS = {
  'news-600': { made: () => news(600), says: '600 sentences of Wikinews' },
  'news-3000': { made: () => news(3000), says: '3,000 sentences of Wikinews' },
  'news-6000': { made: () => news(6000), says: '6,000 sentences of Wikinews' },
  'sts-train': { made: () => sts(6000), says: '6,000 sentences of STS-B\'s train split' },
  'children-600': { made: () => children(600), says: '600 sentences of children\'s books' },
  'wikitext': { made: () => [readFileSync(join(data, 'eval/wikitext2/wiki.valid.tokens'), 'utf8').slice(0, 24_000)], says: 'the first 24,000 characters of WikiText-2\'s validation split' },
  'heldout': { made: () => [readFileSync(join(data, 'models/story/heldout.txt'), 'utf8').slice(0, 50_000)], says: 'the first 50,000 characters of the model\'s held-out text' },
};

/** The path of a file of them. @param {string} name @param {string} folder */
export function textsOf(name, folder) {
  const path = join(folder, `${name}.txt`);
  if (!existsSync(path)) writeFileSync(path, `${TEXTS[name].made().join('\n')}\n`);
  return path;
}
