// The playground: the embedded model beside its parent's precision, and compression of a checkpoint that the visitor brings.
import { compress, load, plan, version } from '/pith/js/index.js';
import { downloadZip } from '/vendor/client-zip/index.js';

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);
const megabytes = (n) => `${(n / 1e6).toFixed(2)} MB`;
const fixed = (n, digits) => (typeof n === 'number' ? n.toFixed(digits) : '–');

function showProblem(error) {
  if (error?.name === 'AbortError') return;
  $('problem').textContent = error?.code ? `${error.message} (${error.code})` : `Something failed: ${error?.message ?? error}`;
  $('problem').hidden = false;
}
const clearProblem = () => { $('problem').hidden = true; };
addEventListener('unhandledrejection', (event) => { event.preventDefault(); showProblem(event.reason); });

function showFacts(list, facts) {
  list.replaceChildren(...Object.entries(facts).flatMap(([name, value]) => {
    const dt = document.createElement('dt'), dd = document.createElement('dd');
    dt.textContent = name;
    dd.textContent = value;
    return [dt, dd];
  }));
}

function qualityOf(info) {
  const q = info.quality;
  if (!q) return {};
  if (q.klMean !== undefined) return { 'Measured loss': `KL ${q.klMean.toExponential(1)} nats, perplexity ${fixed(q.perplexity, 2)} (parent ${fixed(q.perplexityAgainst, 2)})` };
  return { 'Measured quality': `cosine to the parent ${fixed(q.cosineMean, 5)} on average, ${fixed(q.cosineMin, 5)} at worst` };
}

/** One side of the comparison. */
class Side {
  constructor(prefix) {
    this.text = $(`${prefix}-text`);
    this.list = $(`${prefix}-facts`);
    this.facts = {};
  }

  show(facts) { showFacts(this.list, Object.assign(this.facts, facts)); }

  async open(source, name, signal) {
    const begin = performance.now();
    this.opening?.abort(); // another model may still be on its way
    const opening = this.opening = new AbortController();
    await this.model?.close();
    this.model = undefined;
    this.facts = {};
    this.model = await load(source, {
      signal: signal ? AbortSignal.any([signal, opening.signal]) : opening.signal,
      onProgress: ({ done, total }) => this.show({ Loading: total ? `${Math.round((100 * done) / total)} %` : '…' }),
    });
    this.facts = {};
    const { info, fetchedBytes } = this.model;
    this.show({ Model: name, Parameters: `${(info.parameters / 1e6).toFixed(2)} M`, 'Size of the package': megabytes(info.bytes),
      Downloaded: megabytes(fetchedBytes), 'Load time': `${Math.round(performance.now() - begin)} ms`, Kernels: info.kernels,
      'Memory (wasm)': megabytes(this.model.memoryBytes), ...qualityOf(info), Speed: '–' });
  }

  async write(prompt, options) {
    const given = document.createElement('span');
    given.className = 'given';
    given.textContent = prompt;
    this.text.replaceChildren(given);
    this.written = '';
    const generation = this.model.generate(prompt, options);
    for await (const piece of generation) {
      this.written += piece;
      this.text.append(piece);
      this.text.scrollTop = this.text.scrollHeight;
    }
    const result = await generation.result;
    const n = result.ids.length;
    this.show({ Speed: n && result.decodeMs > 0 ? `${Math.round((1000 * n) / result.decodeMs)} tokens a second` : '–',
      'Ended by': { stop: 'end of text', length: 'the number of tokens', context: 'the model’s context', stopText: 'a stop text' }[result.finishReason],
      'Memory (wasm)': megabytes(this.model.memoryBytes) });
    return result;
  }
}

const small = new Side('small'), large = new Side('large');
let running = null;

function options() {
  const read = {};
  for (const key of ['maxTokens', 'temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'seed']) {
    if (!$(key).checkValidity()) {
      $(key).reportValidity();
      return null;
    }
    read[key] = Number($(key).value);
  }
  return read;
}

/** Marks where the compressed model's text leaves the parent's. */
function showDifference(prompt) {
  const a = small.written, b = large.written;
  let same = 0;
  while (same < a.length && a[same] === b[same]) same++;
  for (const side of [small, large]) {
    const given = document.createElement('span'), mark = document.createElement('mark');
    given.className = 'given';
    given.textContent = prompt;
    mark.textContent = side.written.slice(same);
    side.text.replaceChildren(given, side.written.slice(0, same), ...(mark.textContent ? [mark] : []));
    side.text.scrollTop = 0;
  }
  $('difference').textContent = a === b ? 'Both wrote the same text.'
    : `The same seed, and the same text for ${same} characters; from there on (underlined) compression changed a choice.`;
}

$('prompt-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const chosen = options();
  if (!chosen || running || $('run').disabled) return;
  clearProblem();
  running = new AbortController();
  $('run').disabled = true;
  $('stop').disabled = false;
  $('state').textContent = 'Writing…';
  $('difference').textContent = '';
  const prompt = $('prompt').value;
  try {
    const sides = [small, large].filter((side) => side.model); // the large one may still be loading
    await Promise.all(sides.map((side) => side.write(prompt, { ...chosen, signal: running.signal })));
    if (sides.length === 2) showDifference(prompt);
    $('state').textContent = 'Done.';
  } catch (error) {
    $('state').textContent = error.name === 'AbortError' ? 'Stopped.' : 'Failed.';
    showProblem(error);
  } finally {
    running = null;
    $('run').disabled = false;
    $('stop').disabled = true;
  }
});
$('stop').addEventListener('click', () => running?.abort());
$('prompt').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) $('prompt-form').requestSubmit();
});

// ---- compress your own ----
/** What the visitor chose: {files, name}; what was made of it: {files, name}, the recipe in its name. */
let picked = null, job = null, made = null, embedders = null;
/** What planning found: {sensitivity, source, texts, least, most}, and the recipe for the budget that the slider shows. */
let planned = null;
/** The promise of a recipe that is being worked out for the slider. */
let choosing = null;

function choose(map, name) {
  picked = { files: map, name };
  const bytes = [...map.values()].reduce((sum, file) => sum + file.size, 0);
  $('chosen').textContent = `${name}: ${map.size} files, ${megabytes(bytes)}`;
  forgetPlan();
  $('compress').disabled = $('plan').disabled = job !== null;
}

// What was found belongs to one model and one set of texts.
function forgetPlan() {
  planned = null;
  $('budget').hidden = true;
  $('recipe').querySelector('[value=planned]').disabled = true;
  if ($('recipe').value === 'planned') $('recipe').value = 'int8';
}

/** The lines of the file of calibration texts; nothing where none was chosen. */
async function calibration() {
  const file = $('calibration').files[0];
  if (!file) return {};
  const lines = (await file.text()).split(/\r?\n/).filter((line) => line.trim() !== '');
  return { calibrate: lines };
}
$('calibration').addEventListener('change', forgetPlan);

$('folder').addEventListener('change', () => {
  const list = [...$('folder').files];
  if (list.length) choose(new Map(list.map((file) => [file.webkitRelativePath || file.name, file])), list[0].webkitRelativePath.split('/')[0] || 'checkpoint');
});

/** Every file below a dropped folder. */
async function walk(entry, found, depth = 3) {
  if (entry.isFile) {
    found.set(entry.fullPath.slice(1), await new Promise((resolve, reject) => entry.file(resolve, reject)));
  } else if (depth > 0) {
    const reader = entry.createReader();
    for (;;) { // a reader gives a hundred at a time
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) return;
      for (const child of some) await walk(child, found, depth - 1);
    }
  }
}

// A file that misses the field must not replace the page.
for (const type of ['dragover', 'drop']) addEventListener(type, (event) => { if (event.dataTransfer?.types.includes('Files')) event.preventDefault(); });

const drop = $('drop');
drop.addEventListener('dragover', (event) => { event.preventDefault(); drop.classList.add('over'); });
drop.addEventListener('dragleave', () => drop.classList.remove('over'));
drop.addEventListener('drop', async (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  try {
    const found = new Map();
    for (const entry of entries) await walk(entry, found);
    if (found.size) choose(found, entries[0].name);
  } catch (error) {
    showProblem(error);
  }
});

const phases = { plan: 'Trying every way of storing every tensor', hash: 'Reading', quantize: 'Quantising', measure: 'Measuring the quality' };

async function openStory() {
  await small.open('/models/story/', 'story, int8');
  $('run').disabled = false;
  $('state').textContent = 'Ready.';
  await large.open('/models/story-fp16/', 'story, fp16');
}

/** Loads what was made and what it was made of. */
async function comparable(task, source, signal) {
  if (task === 'generate') {
    running?.abort();
    $('run').disabled = true;
    try {
      await small.open(made.files, made.name, signal);
      await large.open(source.files, `${source.name}, as it was`, signal);
    } catch (error) {
      await openStory();
      throw error;
    }
    $('run').disabled = false;
    $('state').textContent = `${source.name} is loaded: write with it above.`;
    return;
  }
  for (const model of embedders ?? []) await model.close();
  embedders = null;
  const first = await load(made.files, { signal });
  try {
    embedders = [first, await load(source.files, { signal })];
  } catch (error) {
    await first.close();
    throw error;
  }
  $('compare').hidden = false;
}

/** Work on what was chosen, one at a time: its progress, and how it ended. @param {(signal: AbortSignal, onProgress: Function) => Promise<void>} work
 * @param {(cancelled: boolean) => string} ended what to say when it did not come to its end */
async function runJob(work, ended) {
  clearProblem();
  job = new AbortController();
  $('compress').disabled = $('plan').disabled = true;
  $('cancel').disabled = false;
  $('progress').hidden = false;
  try {
    await work(job.signal, ({ phase, done, total }) => {
      $('progress').value = total ? done / total : 0;
      $('compress-state').textContent = `${phases[phase] ?? phase}…`;
    });
  } catch (error) {
    $('compress-state').textContent = ended(error.name === 'AbortError');
    showProblem(error);
  } finally {
    job = null;
    $('compress').disabled = $('plan').disabled = false;
    $('cancel').disabled = true;
    $('progress').hidden = true;
  }
}

/** The slider's budget in bytes. */
const budget = () => Math.ceil(planned.least + (planned.most - planned.least) * $('bytes').valueAsNumber / 100);

/** The recipe for the slider's budget, and what it would cost by layer. Nothing is measured anew, so this takes a moment. */
async function choosePlan() {
  const { sensitivity, source, texts } = planned, of = planned;
  const result = await plan(source.files, { ...texts, sensitivity, maxBytes: budget() });
  if (planned !== of) return; // another model was chosen
  planned.recipe = result.recipe;
  $('predicted').textContent = `Predicted: ${megabytes(result.bytes)}, loss ${result.loss.toPrecision(3)}, ${result.bits.toFixed(2)} bits a weight in the layers.`;
  const rows = new Map();
  for (const { layer, weights, bytes, loss } of result.tensors) {
    const row = rows.get(layer) ?? { weights: 0, bytes: 0, loss: 0 };
    rows.set(layer, { weights: row.weights + weights, bytes: row.bytes + bytes, loss: row.loss + loss });
  }
  $('plan-table').tBodies[0].replaceChildren(...[...rows].map(([layer, { weights, bytes, loss }]) => {
    const row = document.createElement('tr');
    row.append(...[layer === undefined ? 'embeddings, head' : String(layer), (8 * bytes / weights).toFixed(2), megabytes(bytes), loss.toPrecision(2)].map((text, i) => {
      const cell = document.createElement(i === 0 ? 'th' : 'td');
      if (i === 0) cell.scope = 'row';
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}

// While the slider moves only its budget is shown; one choice at a time is worked out, and the last one always.
$('bytes').addEventListener('input', () => {
  $('bytes-text').textContent = megabytes(budget());
  choosing ??= (async () => {
    for (let last; planned && last !== $('bytes').value;) {
      last = $('bytes').value;
      await choosePlan();
    }
  })().catch(showProblem).finally(() => { choosing = null; });
});

$('plan').addEventListener('click', () => runJob(async (signal, onProgress) => {
  forgetPlan();
  const source = picked, texts = await calibration();
  const { bytes, tensors, sensitivity } = await plan(source.files, { ...texts, maxBytes: Number.MAX_SAFE_INTEGER, signal, onProgress });
  const chosen = new Map(tensors.map((tensor) => [tensor.name, tensor.bytes]));
  const less = sensitivity.tensors.reduce((sum, { name, choices }) => sum + chosen.get(name) - Math.min(...choices.map((choice) => choice.bytes)), 0);
  planned = { sensitivity, source, texts, least: bytes - less, most: bytes, recipe: null };
  $('bytes-text').textContent = megabytes(budget());
  await choosePlan();
  $('budget').hidden = false;
  $('recipe').querySelector('[value=planned]').disabled = false;
  $('recipe').value = 'planned';
  $('compress-state').textContent = 'Planned: choose a budget, then compress.';
}, (cancelled) => cancelled ? 'Cancelled.' : 'Failed.'));

$('compress').addEventListener('click', () => runJob(async (signal, onProgress) => {
  made = null;
  $('download').disabled = true;
  $('compare').hidden = true;
  showFacts($('result'), {});
  await choosing; // the slider's last budget
  const source = picked, name = $('recipe').value, recipe = name === 'planned' ? planned.recipe : name;
  const { files: packed, bytes, ratio, quality } = await compress(source.files, { recipe, ...await calibration(), signal, onProgress });
  made = { files: packed, name: `${source.name}-${name}` };
  showFacts($('result'), { Package: `${made.name}, ${megabytes(bytes)}`, 'Smaller by': `${ratio.toFixed(2)} ×`, Shards: [...packed.keys()].filter((file) => file.startsWith('shard')).length, ...qualityOf({ quality }) });
  $('download').disabled = false;
  $('compress-state').textContent = 'Compressed. Loading both to compare…';
  await comparable(quality.klMean === undefined ? 'embed' : 'generate', source, signal);
  $('compress-state').textContent = 'Compressed.';
}, (cancelled) => {
  if (made) return `Compressed; ${cancelled ? 'the comparison was cancelled' : 'loading to compare failed'}.`;
  return cancelled ? 'Cancelled; nothing was kept.' : 'Failed.';
}));
$('cancel').addEventListener('click', () => job?.abort());

$('download').addEventListener('click', async () => {
  const { files, name } = made;
  const blob = await downloadZip([...files].map(([file, input]) => ({ name: `${name}/${file}`, input }))).blob();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = `${name}.zip`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
});

$('compare').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const texts = [$('text-a').value, $('text-b').value];
    const cosines = await Promise.all(embedders.map(async (model) => {
      const { data, dims: [, d] } = await model.embed(texts, { normalize: true });
      let sum = 0;
      for (let i = 0; i < d; i++) sum += data[i] * data[d + i];
      return sum;
    }));
    $('similarity').textContent = `Similarity ${fixed(cosines[0], 4)} compressed, ${fixed(cosines[1], 4)} as it was.`;
  } catch (error) {
    showProblem(error);
  }
});

try {
  const facts = await version();
  // Only isolated pages may ask for the memory of everything in them.
  if (crossOriginIsolated && performance.measureUserAgentSpecificMemory)
    performance.measureUserAgentSpecificMemory().then(({ bytes }) => { $('page-memory').textContent = ` This page holds ${megabytes(bytes)} in all.`; });
  $('engine').textContent = `Pith ${facts.version}, ${facts.kernels} kernels, ${crossOriginIsolated ? 'isolated' : 'no isolation needed'}.`;
  await openStory();
} catch (error) {
  if (error.name !== 'AbortError') $('state').textContent = 'The model could not be loaded.'; // else another was opened instead
  showProblem(error);
}
