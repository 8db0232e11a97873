/**
 * Sweeps: recipes and calibrations as a list of independent jobs. Each compresses a package, measures and times it, leaves one small file of results
 * and takes the package away, so that any number of machines can share the list. Node.js alone.
 */
import { Engine } from './engine.js';
import { ArgumentError, CancelledError, NotFoundError, packError } from './errors.js';
import { CHECKPOINT_FILES } from './fetch.js';
import { MountedFiles } from './files.js';
import { combinations } from './grid.js';
import { named } from './hub.js';
import { compress, diff, evaluate, inspect, version } from './index.js';
import { eventLoopTurn, locate, machineFiles, nodeModule, prepareModule, sha256, startThread } from './load.js';
import { FORMAT, openFolder, readResults, writeResult } from './results.js';
import { openForTiming, timeModels } from './timing.js';

const MEASURED_ON = /** @type {const} */ (['texts', 'similarity', 'classify', 'perplexity']);
const MAX_JOBS_AT_A_TIME = 64;

/** @typedef {import('./results.js').SweepResult} SweepResult */
/**
 * @typedef {object} SweepOptions
 * @property {string} output folder of the results
 * @property {string | (string | Record<string, unknown>)[]} recipes names, files of recipes or grids, patterns of them ('recipes/*.json'), or objects of either
 * @property {(string | null)[]} [calibrate] files of texts, null for none: [null] unless given, here or by a grid
 * @property {string} [texts] one of these four says what quality is measured on, by file
 * @property {string} [similarity]
 * @property {string} [classify]
 * @property {string} [perplexity]
 * @property {string} [column] of texts and calibrations
 * @property {string} [columns] of similarity and classify
 * @property {number} [topKOverlap]
 * @property {number} [jobs] at a time: 1
 * @property {number | 'auto'} [threads] of each job: the processors over `jobs` unless given
 * @property {string} [shard] 'i/n': of the list every n-th job from the i-th on
 * @property {boolean} [resume] goes on with a folder of results; without, one that is not empty is refused
 * @property {boolean} [keep] the packages stay, each in the folder of its result's name
 * @property {AbortSignal} [signal] results that are there stay
 * @property {(progress: import('./index.js').Progress) => void} [onProgress]
 * @property {(result: SweepResult) => void} [onResult] hears of every job as it ends
 */
/** @typedef {{total: number, done: number, failed: number, present: number, results: SweepResult[]}} SweepSummary present: done earlier; results: of this run */
/** @typedef {Pick<SweepResult, 'id' | 'label' | 'recipe' | 'settings' | 'calibrate' | 'command'> & {texts: string[] | undefined}} Job */

const hash = (/** @type {string} */ text) => nodeModule('node:crypto').createHash('sha256').update(text).digest('hex');

/** JSON whose members are in order. @param {unknown} value @returns {string} */
function canonical(value) {
  return JSON.stringify(value, (_, item) => (item && typeof item === 'object' && !Array.isArray(item)
    ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1))) : item));
}

/** One hash of all that a checkpoint is made of. @param {string} path @param {AbortSignal} [signal] */
async function hashModel(path, signal) {
  const fs = nodeModule('node:fs'), { basename, join } = nodeModule('node:path'), hashes = [];
  const isFolder = fs.statSync(path).isDirectory();
  const names = !isFolder ? [basename(path)]
    : [...CHECKPOINT_FILES.filter((name) => fs.existsSync(join(path, name))), ...fs.readdirSync(path).filter((name) => name.endsWith('.safetensors')).sort()];
  for (const name of names) {
    const file = isFolder ? join(path, name) : path, one = nodeModule('node:crypto').createHash('sha256');
    for await (const chunk of fs.createReadStream(file, { highWaterMark: 1 << 20, signal })) one.update(chunk);
    hashes.push(isFolder ? `${name} ${one.digest('hex')}` : one.digest('hex'));
  }
  return hash(hashes.join('\n'));
}

/** @param {string} source as the caller has it @param {AbortSignal} [signal] @returns {Promise<import('./results.js').ModelFacts>} */
async function describeModel(source, signal) {
  const fs = nodeModule('node:fs'), { basename, join, resolve } = nodeModule('node:path');
  const where = locate(source);
  if (!('path' in where)) throw new ArgumentError(`${source}: a sweep reads its model from this machine: pith import fetches it`);
  if (!fs.existsSync(where.path)) throw new NotFoundError(`${source}: there is no such file or folder`);
  if (fs.existsSync(join(where.path, 'pith.json'))) throw new ArgumentError(`${source} is already a package: a sweep wants the checkpoint that it was made of`);
  const { family, task, bytes, parameters } = await inspect(where.path, { signal });
  return { name: basename(resolve(where.path)), sha256: await hashModel(where.path, signal).catch((error) => { throw signal?.aborted ? new CancelledError() : named(error, source); }), family, task, bytes, parameters };
}

/** @param {SweepOptions} options @param {string} task of the model @param {Engine} engine reads the files */
function readEvaluation(options, task, engine) {
  const given = MEASURED_ON.filter((key) => options[key] !== undefined);
  if (given.length !== 1) throw new ArgumentError('a sweep wants one of texts, similarity, classify and perplexity, which say what quality is measured on');
  const [kind] = given, file = /** @type {string} */ (options[kind]);
  if (options.columns !== undefined && kind !== 'similarity' && kind !== 'classify') throw new ArgumentError('columns go with similarity and classify');
  if (task === 'generate' && (kind === 'similarity' || kind === 'classify')) throw new ArgumentError(`a model that generates is measured on texts or perplexity, not on ${kind}`);
  if (task !== 'generate' && kind === 'perplexity') throw new ArgumentError('perplexity is of models that generate; this one is measured on texts, similarity or classify');
  const request = engine.readInputs({ [kind]: file, column: kind === 'texts' ? options.column : undefined, columns: options.columns });
  const read = request[kind === 'similarity' ? 'pairs' : kind], rows = typeof read === 'string' ? 1 : read.length;
  if (read.length === 0) throw new ArgumentError(`${file} holds nothing to measure on`);
  if (options.topKOverlap !== undefined) request.topKOverlap = options.topKOverlap;
  const facts = { kind, file, sha256: hash(canonical(request)), rows, ...(options.topKOverlap === undefined ? {} : { topKOverlap: options.topKOverlap }) };
  return { request, facts };
}

/** For a POSIX shell. @param {string} word */
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll('\'', '\'\\\'\'')}'`);

/** @param {import('./grid.js').Combination} combination @param {string} label @param {string} source @param {SweepOptions} options */
function commandOf({ recipe, file, calibrate }, label, source, options) {
  const name = label.replace(/[^\w.-]+/g, '-').replace(/^-+|-+$/g, '') || 'package';
  const written = typeof recipe === 'string' || file !== undefined ? undefined : `${name}.json`;
  const [kind] = MEASURED_ON.filter((key) => options[key] !== undefined);
  const compressing = ['npx', 'pith', 'compress', source, '-o', name, '--recipe', written ?? file ?? /** @type {string} */ (recipe),
    ...(calibrate === null ? [] : ['--calibrate', calibrate, ...(options.column === undefined ? [] : ['--column', options.column])])];
  const measuring = ['npx', 'pith', 'eval', name, '--against', source, `--${kind}`, /** @type {string} */ (options[kind]),
    ...(options.columns === undefined ? [] : ['--columns', options.columns]), ...(kind === 'texts' && options.column !== undefined ? ['--column', options.column] : []),
    ...(options.topKOverlap === undefined ? [] : ['--top-k-overlap', String(options.topKOverlap)])];
  const lines = [compressing, measuring].map((words) => words.map(quoted).join(' '));
  return [...(written === undefined ? [] : [`printf %s ${quoted(JSON.stringify(recipe))} >${quoted(written)}`]), ...lines].join('\n');
}

/** @param {import('./grid.js').Combination} combination */
function labelOf({ recipe, settings = {}, calibrate }) {
  const name = typeof recipe === 'string' ? recipe : String(recipe.name);
  const keys = Object.keys(settings), last = (/** @type {string} */ key) => key.slice(key.lastIndexOf('.') + 1);
  const short = (/** @type {string} */ key) => (keys.filter((other) => last(other) === last(key)).length > 1 ? key : last(key));
  const said = Object.entries(settings).filter(([key]) => key !== 'name').map(([key, value]) => `${short(key)}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [name, ...said, ...(calibrate === null ? [] : [`calibrated on ${nodeModule('node:path').basename(calibrate)}`])].join(', ');
}

/**
 * The list, in the order of the recipes; the same everywhere.
 * @param {string} source @param {SweepOptions} options @param {string} modelHash @param {string} evaluationHash @param {Engine} engine @returns {Job[]}
 */
function listJobs(source, options, modelHash, evaluationHash, engine) {
  const recipes = Array.isArray(options.recipes) ? options.recipes : [options.recipes];
  const all = combinations(recipes, options.calibrate);
  /** @type {Map<string, {texts: string[], sha256: string}>} */
  const read = new Map();
  for (const { calibrate } of all) {
    if (calibrate === null || read.has(calibrate)) continue;
    const texts = engine.readInputs({ calibrate, column: options.column }).calibrate;
    if (texts.length === 0) throw new ArgumentError(`${calibrate} holds no text to calibrate with`);
    read.set(calibrate, { texts, sha256: hash(JSON.stringify(texts)) });
  }
  if (options.column !== undefined && options.texts === undefined && read.size === 0) throw new ArgumentError('column goes with texts and with calibrations');
  /** @type {Map<string, Job>} */
  const jobs = new Map();
  for (const combination of all) {
    const { recipe, settings, calibrate } = combination, label = labelOf(combination), calibration = calibrate === null ? undefined : read.get(calibrate);
    const id = hash(canonical([FORMAT, recipe, calibration?.sha256 ?? null, modelHash, evaluationHash])).slice(0, 16);
    if (jobs.has(id)) continue; // two ways to say the same
    jobs.set(id, { id, label, recipe, ...(settings ? { settings } : {}), command: commandOf(combination, label, source, options), texts: calibration?.texts,
      calibrate: calibrate === null || !calibration ? null : { file: calibrate, sha256: calibration.sha256, texts: calibration.texts.length } });
  }
  return [...jobs.values()];
}

/** @param {string | undefined} shard @returns {(job: unknown, index: number) => boolean} */
function inShard(shard) {
  if (shard === undefined) return () => true;
  const [, i, n] = /^([1-9]\d{0,5})\/([1-9]\d{0,5})$/.exec(shard) ?? [];
  if (i === undefined || Number(i) > Number(n)) throw new ArgumentError(`a shard is i/n, from 1/n to n/n, not "${shard}"`);
  return (_, index) => index % Number(n) === Number(i) - 1;
}

/** Work that may go on side by side, and work that wants the machine to itself: the times of packages say nothing otherwise. */
class Turns {
  #together = 0;
  #alone = false;
  /** @type {{alone: boolean, begin: () => void}[]} */ #waiting = [];

  #next() {
    for (;;) {
      const first = this.#waiting[0];
      if (!first || this.#alone || (first.alone && this.#together > 0)) return;
      this.#waiting.shift();
      if (first.alone) this.#alone = true;
      else this.#together++;
      first.begin();
    }
  }

  /** @template T @param {boolean} alone @param {() => Promise<T>} work @returns {Promise<T>} */
  async run(alone, work) {
    await new Promise((resolve) => {
      this.#waiting.push({ alone, begin: () => resolve(undefined) });
      this.#next();
    });
    try {
      return await work();
    } finally {
      if (alone) this.#alone = false;
      else this.#together--;
      this.#next();
    }
  }
}

/** What all jobs of a run share. */
class Sweep {
  #turns = new Turns();
  /** The package that times are compared with, opened when the first is taken. @type {Promise<{model: import('./index.js').Model | null, note?: string}> | undefined} */ #reference;

  /**
   * @param {{path: string, model: import('./results.js').ModelFacts, evaluation: {request: Record<string, any>, facts: import('./results.js').Evaluation},
   *   output: string, threads: number | 'auto', keep: boolean, pith: string, signal: AbortSignal}} facts
   */
  constructor(facts) { this.facts = facts; }

  /** @returns {Promise<{model: import('./index.js').Model | null, note?: string}>} */
  async #openReference() {
    const { path, signal } = this.facts;
    try {
      const { files } = await compress(path, { recipe: 'int8', worker: true, signal });
      return { model: await openForTiming(/** @type {Map<string, Blob>} */ (files), signal) };
    } catch (error) {
      if (signal.aborted) throw error;
      return { model: null, note: `there is no int8 package to compare with: ${/** @type {Error} */ (error).message}` };
    }
  }

  /** @param {string} folder */
  async #time(folder) {
    const { signal, pith } = this.facts;
    this.#reference ??= this.#openReference();
    const { model: reference, note } = await this.#reference, model = await openForTiming(folder, signal);
    try {
      const timing = await timeModels(model, reference, signal), { module, kernels } = model.info;
      const cpu = nodeModule('node:os').cpus()[0]?.model.trim() ?? 'unknown';
      return { timing, machine: { pith, cpu, node: process.version, module, kernels, ...(note === undefined ? {} : { note }) } };
    } finally {
      await model.close();
    }
  }

  /** @param {Job} job @param {string} folder of its package */
  async #measure({ recipe, texts }, folder) {
    const { path, evaluation, threads, keep, signal } = this.facts, common = { worker: true, signal };
    const { bytes } = await this.#turns.run(false, () => compress(path, { ...common, recipe, threads, output: folder, force: true, ...(texts ? { calibrate: texts } : {}) }));
    try {
      const quality = await this.#turns.run(false, () => evaluate(folder, { ...common, against: path, threads, ...evaluation.request }));
      const { tensors } = await this.#turns.run(false, () => diff(folder, path, common));
      return { bytes, quality, ...await this.#turns.run(true, () => this.#time(folder)), tensors };
    } finally { // what compress refused to replace is none of ours
      if (!keep || signal.aborted) nodeModule('node:fs').rmSync(folder, { recursive: true, force: true });
    }
  }

  /** @param {Job} job @returns {Promise<SweepResult>} written, unless the sweep was cancelled */
  async run(job) {
    const { texts, ...facts } = job, { output, model, evaluation, signal } = this.facts;
    const folder = nodeModule('node:path').join(output, job.id), about = { format: FORMAT, ...facts, model, evaluation: evaluation.facts };
    /** @type {SweepResult} */
    let result;
    try {
      result = { ...about, status: 'done', ...await this.#measure(job, folder) };
    } catch (error) {
      if (signal.aborted) throw new CancelledError('cancelled', { cause: signal.reason });
      result = { ...about, status: 'failed', error: packError(error) };
    }
    writeResult(output, result);
    return result;
  }

  async close() { await this.#reference?.then(({ model }) => model?.close(), () => {}); }
}

/** @param {string} output @param {Job[]} jobs @param {string} modelHash @param {string} evaluationHash @returns {Set<string>} ids of jobs that were done earlier */
function presentIn(output, jobs, modelHash, evaluationHash) {
  const ids = new Set(jobs.map(({ id }) => id)), done = new Set();
  for (const { id, status, model, evaluation } of readResults(output)) {
    if (model.sha256 !== modelHash || evaluation.sha256 !== evaluationHash)
      throw new ArgumentError(`${output} holds results of ${model.name} on ${evaluation.file}, which are not this sweep's: choose another folder`);
    if (ids.has(id) && status === 'done') done.add(id); // what failed is tried again
  }
  return done;
}

/** @param {unknown} value @param {string} name @param {number} most @returns {number} */
function checkCount(value, name, most) {
  if (!Number.isInteger(value) || /** @type {number} */ (value) < 1 || /** @type {number} */ (value) > most) throw new ArgumentError(`${name} should be a whole number from 1 to ${most}`);
  return /** @type {number} */ (value);
}

/** Reads and checks everything before anything is done. @param {string} source @param {SweepOptions} options @param {AbortSignal} signal */
async function prepare(source, options, signal) {
  const mine = inShard(options.shard), engine = new Engine(await prepareModule({ complete: true }), new MountedFiles(machineFiles()), eventLoopTurn(), { suggested: 1, start: startThread }, sha256);
  try {
    const model = await describeModel(source, signal), evaluation = readEvaluation(options, model.task, engine);
    const jobs = listJobs(source, options, model.sha256, evaluation.facts.sha256, engine).filter(mine);
    openFolder(options.output, options.resume === true);
    return { model, evaluation, jobs, present: presentIn(options.output, jobs, model.sha256, evaluation.facts.sha256) };
  } finally {
    engine.close();
  }
}

/**
 * @param {string} source a checkpoint: a folder or a GGUF file
 * @param {SweepOptions} options
 * @returns {Promise<SweepSummary>}
 */
export async function sweep(source, options) {
  const { output, onProgress, onResult, keep = false, signal = new AbortController().signal } = options;
  const atATime = checkCount(options.jobs ?? 1, 'jobs', MAX_JOBS_AT_A_TIME), processors = nodeModule('node:os').availableParallelism();
  const threads = options.threads ?? Math.max(1, Math.floor(processors / atATime));
  const { model, evaluation, jobs, present } = await prepare(source, options, signal);
  const { version: number, commit } = await version(), failing = new AbortController();
  const all = new Sweep({ path: nodeModule('node:path').resolve(source), model, evaluation, output, threads, keep, pith: `${number} (${commit})`, signal: AbortSignal.any([signal, failing.signal]) });
  const left = jobs.filter(({ id }) => !present.has(id));
  /** @type {SweepResult[]} */
  const results = [];
  const tell = () => onProgress?.({ phase: 'sweep', unit: 'jobs', done: present.size + results.length, total: jobs.length });
  const worker = async () => {
    for (let job = left.shift(); job; job = left.shift()) {
      const result = await all.run(job);
      results.push(result);
      onResult?.(result);
      tell();
    }
  };
  try {
    tell();
    const workers = Array.from({ length: Math.min(atATime, left.length) }, () => worker().catch((error) => { failing.abort(); throw error; }));
    const problem = (await Promise.allSettled(workers)).map((end) => (end.status === 'rejected' ? end.reason : null)).filter((error) => error !== null);
    if (signal.aborted) throw new CancelledError(`cancelled; with --resume it goes on from the ${present.size + results.length} of ${jobs.length} results that are in ${output}`, { cause: signal.reason });
    if (problem.length > 0) throw problem.find((error) => !(error instanceof CancelledError)) ?? problem[0];
  } finally {
    await all.close();
  }
  const failed = results.filter(({ status }) => status === 'failed').length;
  return { total: jobs.length, done: results.length - failed, failed, present: present.size, results };
}
