/** The tables of docs/RECIPES.md from docs/recipes.json alone. */
import { readFileSync, writeFileSync } from 'node:fs';
import { MODELS, PEERS, ROWS } from './recipe_rows.js';
import { TEXTS } from './recipe_texts.js';

const megabytes = (n) => (n / 1e6).toFixed(2);
const table = (head, rows) => [`| ${head.join(' | ')} |`, `|${head.map((_, i) => (i ? '---:' : '---')).join('|')}|`, ...rows.map((row) => `| ${row.join(' | ')} |`)].join('\n');

/** How many times as fast as the model's int8 package, which ran beside it. */
const speed = ({ timing }) => (timing?.embedTimes ?? timing?.decodeTimes)?.toFixed(2).concat('x') ?? '–';

function quality(name, q) {
  if (name === 'minilm') return [q.cosine_mean.toFixed(5), q.cosine_min.toFixed(4), q.spearman_x100.toFixed(2)];
  return [Math.exp(q.nll_mean).toFixed(2), q.kl_mean === undefined ? '–' : q.kl_mean.toFixed(4), q.top1_agreement === undefined ? '–' : (100 * q.top1_agreement).toFixed(1)];
}

const there = (by, id) => by.has(id) && !by.get(id).missing;

function rows(name, data) {
  const by = new Map(data.results.map((result) => [result.id, result])), int8 = by.get(`${name}-int8`);
  const line = (title, texts, result) => ([title, texts, megabytes(result.bytes), result.bits ? result.bits.toFixed(2) : '–', result.layerBytes ? `${Math.round((100 * result.layerBytes) / int8.layerBytes)} %` : '–',
      ...quality(name, result.quality), speed(result)]);
  return [
    ...ROWS.filter(({ model, id }) => model === name && there(by, id)).map((row) => line(row.says ?? `\`${row.recipe}\``, row.calibrate ? TEXTS[row.calibrate].says : '–', by.get(row.id))),
    ...PEERS.filter(({ model, id }) => model === name && there(by, id)).map((peer) => line(peer.says, '–', by.get(peer.id))),
  ];
}

/** @param {any} data docs/recipes.json @param {string} path docs/RECIPES.md, in which what is between `<!-- table NAME -->` and `<!-- end -->` is replaced */
export function writeRecipes(data, path) {
  let text = readFileSync(path, 'utf8');
  for (const [name, { says }] of Object.entries(MODELS)) {
    const head = name === 'minilm' ? ['mean cosine', 'worst', 'Spearman×100'] : ['perplexity', 'KL, nats', 'same first choice, %'];
    const body = table([says, 'calibrated on', 'MB', 'bits a weight', 'bytes of the layers to int8\'s', ...head, 'speed to int8\'s'], rows(name, data));
    const measured = new Map(data.results.map((result) => [result.id, result]));
    const left = [...ROWS, ...PEERS].filter(({ model, id }) => model === name && !there(measured, id)).map(({ id }) => `\`${id}\``);
    const note = left.length ? `\n\nRows of the command that were not measured in this run: ${left.join(', ')}.` : '';
    const marks = new RegExp(`(<!-- table ${name} -->\n)[^]*?(<!-- end -->)`);
    if (!marks.test(text)) throw new Error(`${path} has no place for the table of ${name}`);
    text = text.replace(marks, (_, begin, end) => `${begin}${body}${note}\n${end}`);
  }
  text = text.replace(/(<!-- where -->)[^]*?(<!-- end -->)/, (_, begin, end) => `${begin}Put together on ${data.date} on ${data.cpu}; [recipes.json](recipes.json) has each row's commit and figures.${end}`);
  writeFileSync(path, text);
}
