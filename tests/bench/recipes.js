/**
 * What each named recipe makes of three real models: bytes, time and quality, beside the peers' own quantised files by the same evaluation.
 *   npm run recipes [-- --only PATTERN] [--fresh] [--kept] [--no-times] [--report]
 * Every row is one command of `build/pith` and one evaluation. What was measured is kept row by row in build/recipes/, so that an interrupted run goes
 * on; when all rows are there docs/recipes.json and the tables of docs/RECIPES.md are written from them. PATTERN: a regular expression of row names.
 * --kept: with what earlier runs measured alone, rows that are missing being left open. --no-times: those of docs/recipes.json stay. --report: the tables from docs/recipes.json.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { currentNode, root } from './hosts.js';
import { MODELS, PEERS, ROWS } from './recipe_rows.js';
import { writeRecipes } from './recipes_report.js';
import { textsOf } from './recipe_texts.js';

const { values: options } = parseArgs({ options: { only: { type: 'string' }, fresh: { type: 'boolean' }, kept: { type: 'boolean' }, report: { type: 'boolean' }, 'no-times': { type: 'boolean' } } });
const out = join(root, 'build/recipes'), pith = join(root, 'build/pith');
const say = (text) => console.log(`recipes: ${text}`);

function run(args) {
  const { status, stdout, stderr, error } = spawnSync(pith, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 });
  if (error) throw error;
  if (status !== 0) throw new Error(stderr.trim().split('\n').pop() || `pith ended with ${status}`);
  return stdout;
}

const sizeOf = (path) => (statSync(path).isFile() ? statSync(path).size : readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0));
const commit = () => execFileSync('git', ['describe', '--always', '--dirty', '--exclude=*'], { cwd: root, encoding: 'utf8' }).trim();

/** What `inspect` says of where the bytes are: those of the layers' matrices, and how many bits a weight of them has. */
function layers(path) {
  const { tensors } = JSON.parse(run(['inspect', path, '--json']));
  const matrices = tensors.filter(({ name, shape }) => shape.length === 2 && /\.(layers?|h)\.\d+\./.test(name));
  const bytes = matrices.reduce((sum, tensor) => sum + tensor.bytes, 0), weights = matrices.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return { layerBytes: bytes, bits: (8 * bytes) / weights };
}

/** @param {import('./recipe_rows.js').Row} row @param {import('./recipe_rows.js').Model} model */
function measureRow(row, model) {
  const target = join(out, 'packages', row.id), texts = row.calibrate && textsOf(row.calibrate, out);
  const file = join(out, `${row.id}.json`), recipe = row.recipe === undefined ? [] : ['--recipe', typeof row.recipe === 'string' ? row.recipe : file];
  if (typeof row.recipe === 'object') writeFileSync(file, `${JSON.stringify({ name: row.id, ...row.recipe }, null, 2)}\n`);
  const args = ['compress', model.source, '-o', target, ...recipe, ...(row.args ?? []), ...(texts ? ['--calibrate', texts] : []), '--threads', '2', '--force'];
  const begin = performance.now();
  run(args);
  const seconds = (performance.now() - begin) / 1000;
  return { bytes: sizeOf(target), ...layers(target), seconds, quality: evaluate(target, model) };
}

const evaluate = (path, model) => JSON.parse(run(['eval', path, '--against', model.source, ...model.evaluation(out), '--threads', '2', '--json']));

/** A row's record, from an earlier run where it is of the same program. */
async function record(id, make) {
  const file = join(out, `${id}.result.json`), program = statSync(join(root, 'build/native/pith')).mtimeMs;
  if (options.kept && !existsSync(file)) return { id, missing: 'not measured' };
  if (!options.fresh && existsSync(file) && (options.kept || statSync(file).mtimeMs > program)) return JSON.parse(readFileSync(file, 'utf8'));
  say(id);
  let result;
  try {
    result = { id, commit: commit(), ...await make() };
  } catch (error) {
    result = { id, missing: error.message };
    say(`  ${error.message}`);
    return result;
  }
  writeFileSync(`${file}.part`, JSON.stringify(result));
  copyFileSync(`${file}.part`, file);
  rmSync(`${file}.part`);
  return result;
}

/** Times of all packages of a model that are there, each beside its int8 one, in a current Node.js. */
function times(name, ids) {
  const at = (id) => join(out, 'packages', id), there = ids.filter((id) => existsSync(at(id))), reference = `${name}-int8`;
  if (!there.includes(reference)) return {};
  const { status, stdout, stderr } = spawnSync(currentNode, [join(root, 'tests/bench/recipe_times.js'), at(reference), ...there.map(at)], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr.trim().split('\n').pop());
  const timings = JSON.parse(stdout);
  return Object.fromEntries(there.map((id) => [id, timings[at(id)]]));
}

mkdirSync(join(out, 'packages'), { recursive: true });
if (!options.report) {
  const wanted = new RegExp(options.only ?? '.');
  const written = Object.fromEntries(JSON.parse(readFileSync(join(root, 'docs/recipes.json'), 'utf8')).results.map(({ id, timing }) => [id, timing]));
  const results = [];
  for (const [name, model] of Object.entries(MODELS)) {
    if (!existsSync(model.source)) {
      say(`${name}: ${model.source} is not there; its rows are left out`);
      continue;
    }
    for (const row of ROWS.filter(({ model: of, id }) => of === name && wanted.test(id))) results.push(await record(row.id, () => measureRow(row, model)));
    for (const peer of PEERS.filter(({ model: of, id }) => of === name && wanted.test(id))) {
      results.push(await record(peer.id, async () => {
        const { path, quality } = await peer.measure(model, out);
        return { bytes: sizeOf(path), quality: quality ?? evaluate(path, model) };
      }));
    }
    if (!options['no-times']) say(`${name}: times`);
    const timings = options['no-times'] ? written : times(name, ROWS.filter(({ model: of }) => of === name).map(({ id }) => id));
    for (const result of results) if (timings[result.id] && !result.missing) result.timing = timings[result.id];
  }
  const [cpu] = cpus();
  writeFileSync(join(out, 'recipes.json'), `${JSON.stringify({ commit: commit(), date: new Date().toISOString().slice(0, 10), cpu: cpu.model, results }, null, 1)}\n`);
  if (!options.only) copyFileSync(join(out, 'recipes.json'), join(root, 'docs/recipes.json'));
}
if (options.only) say('a part: docs/recipes.json stays as it is');
else writeRecipes(JSON.parse(readFileSync(join(root, 'docs/recipes.json'), 'utf8')), join(root, 'docs/RECIPES.md'));
