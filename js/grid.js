/** What a sweep does: recipes by name, by file, by a pattern of files, and grids of them, each with the calibrations that are asked for. Node.js alone. */
import { ArgumentError, FormatError, LimitError, NotFoundError } from './errors.js';
import { named } from './hub.js';
import { nodeModule } from './load.js';

const MAX_RECIPE_BYTES = 1 << 20;
const MAX_JOBS = 10000;
const GRID_KEYS = ['recipe', 'vary', 'calibrate'];

/** @typedef {string | Record<string, unknown>} Recipe a name, or a recipe's object */
/**
 * A recipe with the calibration text's file, null for none. `settings`: where a grid says so, what it varies; `file`: of the recipe, as it is.
 * @typedef {{recipe: Recipe, settings?: Record<string, unknown>, file?: string, calibrate: string | null}} Combination
 */
/** @typedef {{recipe: Recipe, settings?: Record<string, unknown>, file?: string, calibrate?: (string | null)[]}} Entry */

/** @param {unknown} value @returns {value is Record<string, unknown>} */
const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
/** As on the command line: a path holds a slash or ends in .json, so that no file hides a name. @param {string} text */
const isPath = (text) => text.includes('/') || text.includes('*') || text.endsWith('.json');

/** @param {string} path @returns {unknown} */
function readJson(path) {
  const fs = nodeModule('node:fs');
  let text;
  try {
    if (fs.statSync(path).size > MAX_RECIPE_BYTES) throw new LimitError(`${path} has more than ${MAX_RECIPE_BYTES} bytes: that is no recipe`);
    text = fs.readFileSync(path, 'utf8');
  } catch (error) {
    throw error instanceof LimitError ? error : named(error, path);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${path} is not JSON (${/** @type {Error} */ (error).message})`);
  }
}

/** The files that fit a pattern, in order. @param {string} pattern */
function glob(pattern) {
  const { basename, dirname, join } = nodeModule('node:path'), fs = nodeModule('node:fs');
  const folder = dirname(pattern), last = basename(pattern);
  if (folder.includes('*')) throw new ArgumentError(`${pattern}: a * may stand in the last part of a path alone`);
  const fits = new RegExp(`^${last.split('*').map((part) => part.replace(/[^\w]/g, '\\$&')).join('.*')}$`, 'su');
  let names;
  try {
    names = fs.readdirSync(folder, { withFileTypes: true }).filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.') && fits.test(entry.name));
  } catch (error) {
    throw named(error, folder);
  }
  if (names.length === 0) throw new NotFoundError(`no file fits ${pattern}`);
  return names.map((entry) => (folder === '.' && !pattern.startsWith('./') ? entry.name : join(folder, entry.name))).sort();
}

/** A copy of the recipe with one member set; null takes it away. @param {Record<string, unknown>} recipe @param {string} path dotted @param {unknown} value @param {string} what */
function withMember(recipe, path, value, what) {
  const copy = structuredClone(recipe), keys = path.split('.'), last = /** @type {string} */ (keys.pop());
  let at = copy;
  for (const key of keys) {
    at[key] ??= {};
    const next = at[key];
    if (!isObject(next)) throw new FormatError(`${what}: "vary" has "${path}", and the recipe's "${key}" is no object`);
    at = next;
  }
  if (value === null) delete at[last];
  else at[last] = value;
  return copy;
}

/** All settings of a grid, the last member changing first. @param {Record<string, unknown>} vary @param {string} what @returns {Record<string, unknown>[]} */
function settingsOf(vary, what) {
  /** @type {Record<string, unknown>[]} */
  let all = [{}];
  for (const [path, values] of Object.entries(vary)) {
    if (!/^[\w-]+(\.[\w-]+)*$/.test(path)) throw new FormatError(`${what}: "vary" names "${path}", which should be a member of the recipe like "matrices.encoding"`);
    if (!Array.isArray(values) || values.length === 0) throw new FormatError(`${what}: "vary": "${path}" should be a list of values that has some`);
    if (all.length * values.length > MAX_JOBS) throw new LimitError(`${what}: that are more than ${MAX_JOBS} jobs`);
    all = all.flatMap((before) => values.map((value) => ({ ...before, [path]: value })));
  }
  return all;
}

/** @param {unknown} list @param {string} what @param {(path: string) => string} locate @returns {(string | null)[]} */
function calibrationsOf(list, what, locate) {
  if (!Array.isArray(list) || list.length === 0 || list.some((item) => item !== null && (typeof item !== 'string' || item === '')))
    throw new FormatError(`${what}: "calibrate" should be a list of files, with null for none`);
  return list.map((item) => (item === null ? null : locate(item)));
}

/** @param {unknown} recipe @param {string} what @returns {Record<string, unknown>} */
function checkRecipe(recipe, what) {
  if (!isObject(recipe)) throw new FormatError(`${what} should hold a recipe's object`);
  if (typeof recipe.name !== 'string' || recipe.name === '') throw new FormatError(`${what}: a recipe has a "name"`);
  return recipe;
}

/** @param {Record<string, unknown>} grid @param {string} what @param {string} folder that its paths are relative to @returns {Entry[]} */
function entriesOfGrid(grid, what, folder) {
  const { isAbsolute, join } = nodeModule('node:path');
  const locate = (/** @type {string} */ path) => (isAbsolute(path) || folder === '.' ? path : join(folder, path));
  for (const key of Object.keys(grid)) if (!GRID_KEYS.includes(key)) throw new FormatError(`${what}: a grid has no "${key}"; it has ${GRID_KEYS.join(', ')}`);
  if (grid.recipe === undefined) throw new FormatError(`${what}: a grid has a "recipe": an object, a file or a name`);
  const calibrate = grid.calibrate === undefined ? undefined : calibrationsOf(grid.calibrate, what, locate);
  const file = typeof grid.recipe === 'string' && isPath(grid.recipe) ? locate(grid.recipe) : undefined;
  /** @type {Recipe} */
  const base = typeof grid.recipe === 'string' && file === undefined ? grid.recipe : checkRecipe(file === undefined ? grid.recipe : readJson(file), file ?? what);
  if (grid.vary === undefined) return [{ recipe: base, file, calibrate }];
  if (!isObject(grid.vary) || Object.keys(grid.vary).length === 0) throw new FormatError(`${what}: "vary" should be an object of lists by member`);
  if (typeof base === 'string') throw new FormatError(`${what}: "vary" wants the recipe itself, or its file: "${base}" is a name`);
  return settingsOf(grid.vary, what).map((settings) => {
    const recipe = Object.entries(settings).reduce((so, [path, value]) => withMember(so, path, value, what), base);
    return { recipe: checkRecipe(recipe, what), settings, calibrate };
  });
}

/** @param {unknown} json @param {string} what @param {string} [file] @returns {Entry[]} */
function entriesOf(json, what, file) {
  if (isObject(json) && GRID_KEYS.some((key) => key in json)) return entriesOfGrid(json, what, file === undefined ? '.' : nodeModule('node:path').dirname(file));
  return [{ recipe: checkRecipe(json, what), file }];
}

/**
 * @param {(string | Record<string, unknown>)[]} recipes names, files, patterns, objects
 * @param {(string | null)[] | undefined} calibrate for recipes and for grids that do not say
 * @returns {Combination[]}
 */
export function combinations(recipes, calibrate) {
  const entries = recipes.flatMap((item) => {
    if (typeof item !== 'string') return entriesOf(item, 'the recipe');
    if (!isPath(item)) return [{ recipe: item }];
    return (item.includes('*') ? glob(item) : [item]).flatMap((path) => entriesOf(readJson(path), path, path));
  });
  if (calibrate && entries.some((entry) => entry.calibrate)) throw new ArgumentError('calibrations are given by a grid and beside it: one place should say them');
  const all = entries.flatMap(({ calibrate: own, ...entry }) => (own ?? calibrate ?? [null]).map((text) => ({ ...entry, calibrate: text })));
  if (all.length > MAX_JOBS) throw new LimitError(`that are ${all.length} jobs, and ${MAX_JOBS} is the most`);
  return all;
}
