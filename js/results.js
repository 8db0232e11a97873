/** Results of a sweep's jobs: one small JSON file each, which appears when it is whole. Node.js alone. */
import { ExistsError, FormatError, NotFoundError } from './errors.js';
import { named } from './hub.js';
import { nodeModule } from './load.js';

export const FORMAT = 1;

/** @typedef {{name: string, sha256: string, family: string, task: string, bytes: number, parameters: number}} ModelFacts */
/** What quality was measured on: the option's name, and what tells one text from another. @typedef {{kind: string, file: string, sha256: string, rows: number, topKOverlap?: number}} Evaluation */
/** @typedef {{name: string, layer?: number, shape?: number[], encoding?: string, bytes?: number, bits?: number, zeros?: number, error?: number,
 *   against?: {shape: number[], bytes: number, zeros: number}}} TensorDifference */
/**
 * @typedef {object} SweepResult
 * @property {number} format 1
 * @property {string} id of recipe, calibration, model and evaluation: the file's name
 * @property {'done' | 'failed'} status
 * @property {string} label
 * @property {string | Record<string, unknown>} recipe
 * @property {Record<string, unknown>} [settings] what a grid varied
 * @property {{file: string, sha256: string, texts: number} | null} calibrate
 * @property {ModelFacts} model
 * @property {Evaluation} evaluation
 * @property {string} command that makes the package and measures it
 * @property {{code: string, message: string}} [error] of one that failed
 * @property {number} [bytes] of the package, all files
 * @property {import('./index.js').Quality} [quality]
 * @property {TensorDifference[]} [tensors]
 * @property {import('./timing.js').Timing} [timing]
 * @property {{pith: string, cpu: string, node: string, module: string, kernels: string, note?: string}} [machine]
 */

/** @param {string} path @param {string} text whole or not at all */
export function writeWhole(path, text) {
  const fs = nodeModule('node:fs'), { basename, dirname, join } = nodeModule('node:path');
  const partial = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    const handle = fs.openSync(partial, 'w');
    try {
      fs.writeFileSync(handle, text);
      fs.fsyncSync(handle);
    } finally {
      fs.closeSync(handle);
    }
    fs.renameSync(partial, path);
  } catch (error) {
    fs.rmSync(partial, { force: true });
    throw named(error, path);
  }
}

/** @param {string} folder @param {SweepResult} result */
export const writeResult = (folder, result) => writeWhole(nodeModule('node:path').join(folder, `${result.id}.json`), `${JSON.stringify(result)}\n`);

/** @param {string} path @returns {SweepResult} */
function readResult(path) {
  let result;
  try {
    result = JSON.parse(nodeModule('node:fs').readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new FormatError(`${path} is not JSON (${error.message})`);
    throw named(error, path);
  }
  const whole = result && typeof result === 'object' && result.model && result.evaluation && (result.status === 'failed' ? result.error : result.quality && result.bytes > 0);
  if (!whole || result.format !== FORMAT) throw new FormatError(`${path} is no result of a sweep that this version of Pith reads`);
  return result;
}

/** Results of a folder, by name. @param {string} folder */
export function readResults(folder) {
  const { join } = nodeModule('node:path');
  let names;
  try {
    names = nodeModule('node:fs').readdirSync(folder).filter((name) => /^[0-9a-f]{16}\.json$/.test(name)).sort();
  } catch (error) {
    throw named(error, folder);
  }
  return names.map((name) => readResult(join(folder, name)));
}

/** The folder for results, made where it is not there. @param {string} folder @param {boolean} resume */
export function openFolder(folder, resume) {
  const fs = nodeModule('node:fs');
  try {
    if (!fs.existsSync(folder)) fs.mkdirSync(folder, { recursive: true });
    else if (!fs.statSync(folder).isDirectory()) throw new ExistsError(`${folder} is a file: a sweep wants a folder`);
    else if (!resume && fs.readdirSync(folder).length > 0) throw new ExistsError(`${folder} is not empty: --resume goes on with what is there, or choose another name`);
    fs.accessSync(folder, fs.constants.W_OK);
  } catch (error) {
    throw error instanceof ExistsError ? error : named(error, folder);
  }
}

/**
 * What several folders hold together: of a job that is there more than once, one that was done. All have to be of one model and one evaluation.
 * @param {string[]} folders
 */
export function gatherResults(folders) {
  /** @type {Map<string, SweepResult>} */
  const found = new Map();
  for (const folder of folders) {
    for (const result of readResults(folder)) {
      if (found.get(result.id)?.status !== 'done') found.set(result.id, result);
    }
  }
  const all = [...found.values()], [first] = all;
  if (!first) throw new NotFoundError(`${folders.join(', ')}: there are no results of a sweep`);
  for (const { model, evaluation } of all) {
    if (model.sha256 !== first.model.sha256) throw new FormatError(`the results are of two models, ${first.model.name} and ${model.name}, or of two versions of one: each wants a report of its own`);
    if (evaluation.sha256 !== first.evaluation.sha256) throw new FormatError(`the results were measured on two things, ${first.evaluation.file} and ${evaluation.file}: each wants a report of its own`);
  }
  return all;
}
