/** Reports of sweeps: one page that needs nothing beside itself, the same as data, and as pictures. Node.js alone. */
import { ArgumentError, ExistsError, NotFoundError } from './errors.js';
import { named } from './hub.js';
import { nodeModule } from './load.js';
import { figure, isLogarithmic, paretoFront } from './report-page.js';
import { gatherResults, writeWhole } from './results.js';
import { escape, points as pointsChart } from './svg.js';

/** @typedef {import('./report-page.js').Axis} Axis */
/** @typedef {import('./report-page.js').ReportPoint} ReportPoint */
/** @typedef {import('./results.js').SweepResult} SweepResult */
/**
 * @typedef {object} ReportOptions
 * @property {string} output a file whose name says what it becomes: .html, .json, .csv or .svg (the front of bytes and quality)
 * @property {string} [svg] a folder for all pictures
 * @property {boolean} [force] replaces the file
 */
/** @typedef {{done: number, failed: number, front: string[], files: string[]}} ReportSummary front: of bytes and quality, by label */

/** What of a result can be an axis. @type {Record<string, [label: string, better: 1 | -1, digits: number, what: Axis['what']]>} */
const AXES = {
  megabytes: ['MB', -1, 2, 'size'], bits: ['bits a weight in the layers', -1, 2, 'size'],
  embedMs: ['ms a text', -1, 2, 'time'], promptMs: ['ms a prompt', -1, 2, 'time'], decodeMs: ['ms a token', -1, 3, 'time'],
  embedTimes: ['times as fast as int8', 1, 2, 'time'], promptTimes: ['times as fast as int8, prompt', 1, 2, 'time'], decodeTimes: ['times as fast as int8, tokens', 1, 2, 'time'],
  accuracy: ['accuracy', 1, 4, 'quality'], cosineMean: ['cosine to the parent, mean', 1, 5, 'quality'], klMean: ['KL divergence from the parent, nats', -1, 5, 'quality'],
  cosineMin: ['cosine to the parent, worst', 1, 4, 'quality'], spearmanX100: ['Spearman × 100', 1, 2, 'quality'], pearsonX100: ['Pearson × 100', 1, 2, 'quality'],
  topKOverlap: ['overlap of the K nearest', 1, 4, 'quality'], macroF1: ['macro F1', 1, 4, 'quality'], labelAgreement: ['same label as the parent', 1, 4, 'quality'],
  absoluteErrorMean: ['absolute error, mean', -1, 4, 'quality'], perplexity: ['perplexity', -1, 3, 'quality'],
  top1Agreement: ['same likeliest token', 1, 4, 'quality'], bitsPerByte: ['bits a byte of text', -1, 4, 'quality'], nllMean: ['nats a token', -1, 4, 'quality'],
};

const isMatrix = (/** @type {number[] | undefined} */ shape) => shape?.length === 2;
const weights = (/** @type {number[] | undefined} */ shape) => (shape ?? []).reduce((a, b) => a * b, shape ? 1 : 0);

/** Matrices of a layer, or of all: bits of each weight that there is, and the share of the parent's that is zero or gone. @param {import('./results.js').TensorDifference[]} tensors */
function sizesOf(tensors) {
  const matrices = tensors.filter(({ shape, against }) => isMatrix(shape ?? against?.shape));
  const sum = (/** @type {(tensor: import('./results.js').TensorDifference) => number} */ of) => matrices.reduce((total, tensor) => total + of(tensor), 0);
  const n = sum(({ shape }) => weights(shape)), parents = sum(({ shape, against }) => weights(against?.shape ?? shape));
  return { bits: n > 0 ? 8 * sum(({ bytes }) => bytes ?? 0) / n : null, gone: parents > 0 ? 1 - sum(({ shape, zeros = 0 }) => weights(shape) * (1 - zeros)) / parents : 0 };
}

/** @param {SweepResult} result @returns {ReportPoint} */
function pointOf({ id, label, command, recipe, bytes = 0, quality = {}, timing, tensors = [] }) {
  const inLayers = tensors.filter(({ layer }) => layer !== undefined), n = Math.max(0, ...inLayers.map(({ layer = 0 }) => layer + 1));
  const layers = Array.from({ length: n }, (_, layer) => ({ layer, ...sizesOf(inLayers.filter((tensor) => tensor.layer === layer)) }));
  const { bits } = sizesOf(inLayers), all = { megabytes: bytes / 1e6, ...(bits === null ? {} : { bits }), ...timing, ...quality };
  const values = Object.fromEntries(Object.entries(all).filter(([key, value]) => key in AXES && typeof value === 'number' && Number.isFinite(value)));
  return { id, label, command, recipe: typeof recipe === 'string' ? recipe : JSON.stringify(recipe, null, 1), values: /** @type {Record<string, number>} */ (values), layers,
    tensors: tensors.filter(({ shape, against }) => isMatrix(shape ?? against?.shape)).map(({ shape, encoding = 'gone', against, ...rest }) => ({
      ...rest, encoding, shape: (shape ?? against?.shape ?? []).join('×') })) };
}

/** @param {string[]} folders */
function gather(folders) {
  const all = gatherResults(folders), failures = all.filter(({ status }) => status === 'failed'), done = all.filter(({ status }) => status === 'done');
  const points = done.map(pointOf).sort((a, b) => a.values.megabytes - b.values.megabytes || (a.label < b.label ? -1 : 1));
  const axes = Object.entries(AXES).filter(([key]) => points.some(({ values }) => key in values)).map(([key, [label, better, digits, what]]) => ({ key, label, better, digits, what }));
  const y = axes.find(({ what }) => what === 'quality')?.key, time = (axes.find(({ key }) => key.endsWith('Times')) ?? axes.find(({ what }) => what === 'time'))?.key; // of several machines times alone say little
  const { model, evaluation } = all[0], machines = [...new Set(done.map(({ machine }) => machine && `${machine.cpu}, Node.js ${machine.node}, ${machine.module}, Pith ${machine.pith}`))].filter(Boolean);
  const notes = [...new Set(done.map(({ machine }) => machine?.note))].filter(Boolean);
  const axis = (/** @type {string} */ key) => /** @type {Axis} */ (axes.find((one) => one.key === key));
  return { all, failures, points, axes, x: 'megabytes', y, time, model, evaluation, machines, notes, axis,
    front: y === undefined ? [] : paretoFront(points, axis('megabytes'), axis(y)) };
}
/** @typedef {ReturnType<typeof gather>} Gathered */

/** @param {Gathered} g */
function asJson({ all, front, model, evaluation, points }) {
  const layers = new Map(points.map((point) => [point.id, point]));
  return `${JSON.stringify({ model, evaluation, front: front.map(({ id }) => id), results: all.map((result) => ({ ...result, layers: layers.get(result.id)?.layers })) }, null, 1)}\n`;
}

/** @param {Gathered} g */
function asCsv({ all, front, points }) {
  const cell = (/** @type {unknown} */ value) => (value === undefined || value === null ? '' : /[",\r\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
  const numbers = [...new Set(all.flatMap(({ quality = {}, timing = {} }) => Object.entries({ ...quality, ...timing }).filter(([, value]) => typeof value === 'number').map(([key]) => key)))];
  const rows = all.map((result) => {
    const figures = /** @type {Record<string, unknown>} */ ({ ...result.quality, ...result.timing }), point = points.find(({ id }) => id === result.id);
    return [result.id, result.status, result.label, typeof result.recipe === 'string' ? result.recipe : JSON.stringify(result.recipe), result.calibrate?.file, result.bytes, point?.values.bits,
      point ? (front.includes(point) ? 'yes' : 'no') : '', ...numbers.map((key) => figures[key]), result.error?.code, result.error?.message];
  });
  return [['id', 'status', 'label', 'recipe', 'calibrate', 'bytes', 'bits', 'front', ...numbers, 'error', 'message'], ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

/** @param {Gathered} g @param {Axis} x @param {Axis} y */
function frontPicture({ points, model, evaluation }, x, y) {
  const front = paretoFront(points, x, y), there = points.filter(({ values }) => x.key in values && y.key in values);
  const place = (/** @type {ReportPoint} */ { values, label }, named = true) => ({ x: values[x.key], y: values[y.key], ...(named ? { label } : {}) });
  return pointsChart({ title: `${model.name}: ${y.label}, against ${x.label}`, note: `measured on ${nodeModule('node:path').basename(evaluation.file)}`, x: x.label, y: y.label,
    logarithmic: isLogarithmic(y, there.map(({ values }) => values[y.key])), series: [
    { label: 'on the front', colour: 0, joined: true, points: front.map((point) => place(point)) },
    { label: 'beaten by another', colour: 4, points: there.filter((point) => !front.includes(point)).map((point) => place(point, there.length <= 12)) }] });
}

/** All pictures by name. @param {Gathered} g @returns {Record<string, string>} */
function pictures(g) {
  const { points, front, x, y, time, axis, model } = g;
  /** @type {Record<string, string>} */
  const drawn = {};
  if (y === undefined) return drawn;
  drawn['front-bytes.svg'] = frontPicture(g, axis(x), axis(y));
  if (time !== undefined) drawn['front-time.svg'] = frontPicture(g, axis(time), axis(y));
  const shown = front.filter(({ layers }) => layers.length > 0).slice(0, 6);
  /** @param {string} title @param {string} name @param {(facts: ReportPoint['layers'][0]) => number | null} of */
  const byLayer = (title, name, of) => pointsChart({ title: `${model.name}: ${title}`, x: 'layer', y: name, fromZero: true, series: shown.map(({ label, layers }, i) => ({
    label, colour: i, joined: true, points: layers.flatMap((facts) => { const value = of(facts); return value === null ? [] : [{ x: facts.layer, y: value }]; }) })) });
  if (shown.length > 0) {
    drawn['layers-bits.svg'] = byLayer('bits a weight by layer', 'bits', ({ bits }) => bits);
    drawn['layers-gone.svg'] = byLayer('weights that are zero or gone, by layer', '%', ({ gone }) => 100 * gone);
  }
  const errors = points.map(({ label, tensors }) => ({ label, errors: tensors.flatMap(({ error }) => (error === undefined ? [] : [error])) })).filter(({ errors: some }) => some.length > 0);
  if (errors.length > 0) {
    drawn['tensors-error.svg'] = pointsChart({ title: `${model.name}: relative error of each matrix, in the order of the model`, x: 'matrix', y: 'error', fromZero: true,
      series: errors.slice(0, 6).map(({ label, errors: some }, i) => ({ label, colour: i, points: some.map((error, at) => ({ x: at, y: error })) })) });
  }
  return drawn;
}

/** A file that lies beside this one, or where the build puts what it takes over from others. @param {string} name */
function asset(name) {
  const { dirname, join } = nodeModule('node:path'), path = join(dirname(nodeModule('node:url').fileURLToPath(import.meta.url)), name);
  try {
    return nodeModule('node:fs').readFileSync(path, 'utf8');
  } catch (error) {
    if (/** @type {{code?: string}} */ (error).code === 'ENOENT') throw new NotFoundError(`${path} is not there: in a checkout, scripts/build puts it there`);
    throw named(error, path);
  }
}

/** @param {Gathered} g */
function pointsTable({ points, axes, y, axis }) {
  const shown = axes.filter(({ what, key }) => what !== 'quality' || key === y).concat(axes.filter(({ what, key }) => what === 'quality' && key !== y).slice(0, 3));
  const front = new Set(y === undefined ? [] : paretoFront(points, axis('megabytes'), axis(y)));
  const rows = points.map((point) => `<tr data-point="${point.id}"><th scope="row"><button type="button" data-point="${point.id}" aria-pressed="false">${escape(point.label)}</button></th>` +
    `${shown.map((one) => `<td>${one.key in point.values ? figure(point.values[one.key], one) : '–'}</td>`).join('')}<td class="front">${front.has(point) ? 'yes' : 'no'}</td></tr>`);
  return `<table class="points"><thead><tr><th scope="col">recipe</th>${shown.map(({ label }) => `<th scope="col">${escape(label)}</th>`).join('')}<th scope="col">on the front</th></tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table>`;
}

/** @param {SweepResult[]} failures */
function failuresTable(failures) {
  if (failures.length === 0) return '';
  const rows = failures.map(({ label, error, command }) => `<tr><th scope="row">${escape(label)}</th><td>${escape(error?.message)} (${escape(error?.code)})</td><td><code>${escape(command)}</code></td></tr>`);
  return `<h2>Failed</h2><div class="wide" tabindex="0" role="region" aria-label="jobs that failed"><table class="failures"><thead><tr><th scope="col">recipe</th><th scope="col">why</th><th scope="col">command</th></tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table></div>`;
}

/** @param {Gathered} g what the page says of the whole @returns {string} */
function summary({ points, failures, model, evaluation, machines, notes, all }) {
  const against = Object.entries(all.find(({ quality }) => quality)?.quality ?? {}).filter(([key, value]) => key.endsWith('Against') && typeof value === 'number');
  const parent = against.map(([key, value]) => `${AXES[key.slice(0, -7)]?.[0] ?? key.slice(0, -7)} ${Number(/** @type {number} */ (value).toPrecision(6))}`).join(', ');
  return `<p>${escape(model.family)} model of ${(model.parameters / 1e6).toFixed(1)} million weights, ${(model.bytes / 1e6).toFixed(1)} MB; measured on ${escape(nodeModule('node:path').basename(evaluation.file))} (${evaluation.kind}).` +
    `${parent ? ` The parent itself: ${escape(parent)}.` : ''} ${points.length} packages${failures.length > 0 ? `, ${failures.length} failed` : ''}.</p>` +
    `<p class="minor">Times are medians on one thread; how many times as fast as the parent's plain int8 package was measured in the same moments. ${machines.concat(notes).map((line) => escape(line)).join('; ')}.</p>`;
}

/** @param {Gathered} g */
function asPage(g) {
  const { points, axes, x, y, failures, model, evaluation } = g;
  const css = `${asset('../dist/uPlot.min.css')}\n${asset('report.css')}`, library = asset('../dist/uPlot.iife.min.js').trim();
  const data = JSON.stringify({ axes, x, y, points }).replaceAll('<', '\\u003c');
  const own = `${asset('report-page.js')}\nstart(JSON.parse(document.getElementById('data').textContent), uPlot);\n`;
  const hash = (/** @type {string} */ text) => `'sha256-${nodeModule('node:crypto').createHash('sha256').update(text).digest('base64')}'`;
  const policy = `default-src 'none'; img-src data:; style-src ${hash(css)}; script-src ${hash(library)} ${hash(own)}`;
  const title = `${escape(model.name)}: a sweep on ${escape(nodeModule('node:path').basename(evaluation.file))}`;
  const head = `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${policy}">\n` +
    `<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><title>${title}</title>\n<style>${css}</style></head>\n<body><main><h1>${title}</h1>\n${summary(g)}\n`;
  if (points.length === 0 || y === undefined) return `${head}${failuresTable(failures)}\n</main></body></html>\n`;
  return `${head}<h2>What quality costs</h2>
<div class="controls"><label>across <select id="x"></select></label><label>up <select id="y"></select></label></div>
<figure><div id="front-legend" class="legend"></div><div id="front" class="chart" role="img"></div></figure>
<div class="wide" tabindex="0" role="region" aria-label="all packages">${pointsTable(g)}</div>
<h2>The selected package</h2><h3 id="selected"></h3>
<div class="controls"><button type="button" id="copy">Copy the command</button><span id="copied" role="status" class="minor"></span></div>
<pre id="command"></pre><details><summary>Its recipe</summary><pre id="recipe"></pre></details>
<h2>By layer</h2><div class="controls"><label>beside <select id="beside"></select></label></div><div id="layers-legend" class="legend"></div>
<div class="pair"><figure><figcaption>bits a weight of the layer's matrices</figcaption><div id="bits" class="chart" role="img" aria-label="bits a weight by layer; the table below has every matrix"></div></figure>
<figure><figcaption>weights that are zero or gone, %</figcaption><div id="gone" class="chart" role="img" aria-label="weights that are zero or gone by layer; the table below has every matrix"></div></figure></div>
<h2>Relative error of each matrix, by layer</h2><div id="errors-legend" class="legend"></div><div id="errors" class="chart" role="img" aria-label="relative error of each matrix by layer; the table below has every matrix"></div>
<details><summary>Every matrix of the selected package</summary><div class="wide" tabindex="0" role="region" aria-label="every matrix"><table><thead><tr><th scope="col">matrix</th><th scope="col">shape</th><th scope="col">encoding</th><th scope="col">bits</th><th scope="col">zeros</th><th scope="col">bytes</th><th scope="col">error</th></tr></thead><tbody id="tensors"></tbody></table></div></details>
${failuresTable(failures)}
</main><script type="application/json" id="data">${data}</script>
<!-- uPlot, in the next script:\n${asset('../dist/uPlot.LICENSE').replaceAll('--', '- -')}\n-->
<script>${library}</script>
<script type="module">${own}</script></body></html>
`;
}

/** @type {Record<string, (g: Gathered) => string>} */
const WRITERS = { html: asPage, json: asJson, csv: asCsv, svg: (g) => pictures(g)['front-bytes.svg'] ?? '' };

/**
 * @param {string[]} folders
 * @param {ReportOptions} options
 * @returns {Promise<ReportSummary>}
 */
export async function report(folders, { output, svg, force = false }) {
  const fs = nodeModule('node:fs'), { extname, join } = nodeModule('node:path'), writer = WRITERS[extname(output).slice(1).toLowerCase()];
  if (!writer) throw new ArgumentError(`${output} should end in .html, .json, .csv or .svg, which says what it becomes`);
  const g = gather(folders), drawn = svg === undefined ? {} : pictures(g), text = writer(g);
  if (text === '') throw new NotFoundError(`${folders.join(', ')}: no job of the sweep was done, so that there is nothing to draw`);
  const files = [output, ...Object.keys(drawn).map((name) => join(/** @type {string} */ (svg), name))];
  for (const file of files) if (!force && fs.existsSync(file)) throw new ExistsError(`${file} is there already: choose another name, or replace it with --force`);
  if (svg !== undefined) {
    try {
      fs.mkdirSync(svg, { recursive: true });
    } catch (error) {
      throw named(error, svg);
    }
  }
  writeWhole(output, text);
  for (const [name, picture] of Object.entries(drawn)) writeWhole(join(/** @type {string} */ (svg), name), picture);
  return { done: g.points.length, failed: g.failures.length, front: g.front.map(({ label }) => label), files };
}
