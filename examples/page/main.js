// Text and embeddings in a page. With a bundler the first line is: import { load } from 'pith';
import { load } from '/pith/js/index.js';

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);
/** A form that says what went wrong. */
function onSubmit(id, action) {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    $('problem').textContent = '';
    action().catch((error) => { $('problem').textContent = `${error.message} (${error.code})`; });
  });
}

const models = new Map();
/** Loads a model once. */
async function model(address) {
  if (!models.has(address)) models.set(address, await load(address));
  return models.get(address);
}

onSubmit('generate', async () => {
  $('text').textContent = $('prompt').value;
  const story = await model('/models/story/');
  for await (const piece of story.generate($('prompt').value, { maxTokens: 80, temperature: 0.8, seed: 1 })) $('text').append(piece);
});

onSubmit('embed', async () => {
  const texts = $('texts').value.split('\n');
  const { data, dims: [n, d] } = await (await model($('address').value)).embed(texts, { normalize: true });
  const items = [];
  for (let i = 0; i < n; i++) {
    let cosine = 0;
    for (let j = 0; j < d; j++) cosine += data[j] * data[i * d + j];
    const item = document.createElement('li');
    item.textContent = `${cosine.toFixed(4)} ${texts[i]}`;
    items.push(item);
  }
  $('scores').replaceChildren(...items);
});
