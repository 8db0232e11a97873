// node examples/node/search.js PACKAGE QUERY TEXT…: the texts, nearest in meaning first. PACKAGE is of an embedding model, for example
//   npx pith compress all-MiniLM-L6-v2/ -o minilm/
import { load } from 'pith';

const [source, query, ...texts] = process.argv.slice(2);
if (!source || !query || texts.length === 0) {
  console.error('node examples/node/search.js PACKAGE QUERY TEXT…');
  process.exit(2);
}
const model = await load(source);
const { data, dims: [, d] } = await model.embed([query, ...texts], { normalize: true });
await model.close();
const scores = texts.map((text, i) => {
  let cosine = 0;
  for (let j = 0; j < d; j++) cosine += data[j] * data[(i + 1) * d + j];
  return { text, cosine };
});
for (const { text, cosine } of scores.sort((a, b) => b.cosine - a.cosine)) console.log(`${cosine.toFixed(4)}  ${text}`);
