// Which WebAssembly module is loaded where, and what happens when it is not there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { currentNode, native, root, run, story, temporaryFolder } from './support.js';
import { writeTinyEncoder } from './tiny.js';

/** Answers of a program under another Node.js. */
function ask(program, source) {
  const header = `import { load, version } from ${JSON.stringify(join(root, 'js/index.js'))};\nconst story = ${JSON.stringify(story)};\n`;
  return JSON.parse(run(program, ['--input-type=module', '-e', header + source]));
}
const attempt = `const seen = {};
for (const kernels of ['auto', 'scalar', 'simd128', 'relaxed-dot', 'relaxed-pairs', 'avx9']) {
  try {
    const model = await load(story, { kernels });
    seen[kernels] = [model.info.module.replace('-threads', ''), model.info.kernels, await model.digest()];
    await model.close();
  } catch (error) { seen[kernels] = [error.code, error.message]; }
}
console.log(JSON.stringify(seen));`;

test('an engine with relaxed SIMD gets its module, another the plain one; forced kernels that are not there are one error', () => {
  const old = ask(process.execPath, attempt), current = ask(currentNode, attempt);
  assert.deepEqual(old.auto.slice(0, 2), ['pith-simd128', 'simd128'], `this test runs under Node.js 20, not ${process.version}`);
  assert.match(current.auto[1], /^relaxed-(dot|pairs)$/);
  assert.equal(current.auto[0], `pith-${current.auto[1]}`);
  for (const kernels of ['relaxed-dot', 'relaxed-pairs']) {
    assert.equal(old[kernels][0], 'PITH_E_UNSUPPORTED');
    assert.match(old[kernels][1], /no kernels "relaxed-.*there are scalar, simd128$/);
    assert.deepEqual(current[kernels].slice(0, 2), [`pith-${kernels}`, kernels]);
  }
  assert.deepEqual(current.simd128.slice(0, 2), ['pith-simd128', 'simd128'], 'plain kernels come with the plain module');
  assert.deepEqual(current.scalar.slice(0, 2), ['pith-simd128-complete', 'scalar'], 'the definition comes with the complete module');
  for (const answers of [old, current]) assert.equal(answers.avx9[0], 'PITH_E_UNSUPPORTED');
  const digests = [old, current].flatMap((answers) => Object.values(answers).map((answer) => answer[2]).filter(Boolean));
  assert.equal(digests.length, 8);
  assert.equal(new Set(digests).size, 1);
});

test('what the engine makes of one relaxed dot product decides between the two relaxed modules', () => {
  for (const [sum, kernels] of [[4 * 255 * 127, 'relaxed-dot'], [-4 * 127, 'relaxed-dot'], [65534, 'relaxed-pairs']]) {
    const model = ask(currentNode, `const { Instance } = WebAssembly;
WebAssembly.Instance = function (module, imports) { return imports ? new Instance(module, imports) : { exports: { dot: () => ${sum} } }; };
const model = await load(story);
console.log(JSON.stringify({ module: model.info.module, kernels: model.info.kernels }));
await model.close();`);
    assert.deepEqual([model.module.replace('-threads', ''), model.kernels], [`pith-${kernels}`, kernels]);
  }
});

test('a module that is missing or broken is replaced by the next one', (t) => {
  const folder = temporaryFolder(t);
  for (const part of ['js', 'dist', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true });
  const program = `import { load } from ${JSON.stringify(join(folder, 'js/index.js'))};
const model = await load(${JSON.stringify(story)});
console.log(JSON.stringify(model.info.module));
await model.close();`;
  const loaded = () => JSON.parse(run(currentNode, ['--input-type=module', '-e', program]));
  for (const name of readdirSync(join(folder, 'dist')).filter((file) => file.includes('relaxed'))) writeFileSync(join(folder, 'dist', name), 'nonsense');
  assert.match(loaded(), /^pith-simd128/);
  for (const name of readdirSync(join(folder, 'dist')).filter((file) => file.includes('relaxed'))) rmSync(join(folder, 'dist', name));
  assert.match(loaded(), /^pith-simd128/);
  rmSync(join(folder, 'dist'), { recursive: true });
  assert.throws(loaded, /scripts\/build/);
});

test('the modules import what js/engine.js gives, and nothing of a JavaScript runtime', () => {
  const names = readdirSync(join(root, 'dist')).filter((name) => name.endsWith('.wasm'));
  assert.equal(names.length, 10, names.join());
  for (const name of names) {
    const list = run(currentNode, ['-e', `console.log(JSON.stringify(WebAssembly.Module.imports(new WebAssembly.Module(require('fs').readFileSync(process.argv[1])))))`, join(root, 'dist', name)]);
    const allowed = name.includes('threads') ? ['memory', 'emscripten_notify_memory_growth'] : ['emscripten_notify_memory_growth'];
    const foreign = JSON.parse(list).filter(({ module, name: item }) => module !== 'host' && !(module === 'env' && allowed.includes(item)));
    assert.deepEqual(foreign, [], name);
    // Budgets: what a page that only infers fetches, and the rest. docs/ARCHITECTURE.md says what each holds.
    const bytes = readFileSync(join(root, 'dist', name)), zipped = execFileSync('gzip', ['-9', '-c'], { input: bytes }); // Node's own makes 1 % more of it
    const [most, mostZipped] = name.includes('complete') ? [420_000, 190_000] : [200_000, 80_000];
    assert.ok(bytes.length <= most && zipped.length <= mostZipped, `${name} has ${bytes.length} bytes, ${zipped.length} gzipped`);
  }
});

test('a page that only infers gets the smaller module; a checkpoint opens with the complete one, and so does a package whose tokenizer wants tables that only it has', (t) => {
  const folder = temporaryFolder(t), tokenizer = join(folder, 'checkpoint/tokenizer.json');
  writeTinyEncoder(join(folder, 'checkpoint'));
  writeFileSync(tokenizer, JSON.stringify({ ...JSON.parse(readFileSync(tokenizer, 'utf8')), normalizer: { type: 'NFKC' } }));
  run(native, ['compress', join(folder, 'checkpoint'), '-o', join(folder, 'package')]);
  const program = `for (const source of ${JSON.stringify([story, join(folder, 'checkpoint'), join(folder, 'package')])}) {
    const model = await load(source);
    console.log(model.info.module.includes('-complete'));
    await model.close();
  }`;
  assert.equal(run(process.execPath, ['--input-type=module', '-e', `import { load } from ${JSON.stringify(pathToFileURL(join(root, 'js/index.js')).href)};\n${program}`]), 'false\ntrue\ntrue\n');
});
