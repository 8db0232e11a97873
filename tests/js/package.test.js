// The npm package: what is in it, and that a project which installs it can use it.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, run, story, temporaryFolder } from './support.js';
import { writeTinyEncoder } from './tiny.js';

test('the tarball holds what a user needs and nothing else; an empty project uses it', (t) => {
  const folder = temporaryFolder(t);
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: root }));
  const files = packed.files.map((file) => file.path);
  const modules = ['simd128', 'simd128-complete', 'relaxed-dot', 'relaxed-pairs', 'relaxed-complete'].flatMap((set) => ['', '-threads'].map((end) => `dist/pith-${set}${end}.wasm`));
  for (const needed of ['package.json', 'README.md', 'LICENSE', 'js/index.js', 'js/worker.js', 'js/thread.js', 'js/bin.js', 'js/report.css', 'types/index.d.ts',
    'dist/uPlot.iife.min.js', 'dist/uPlot.min.css', 'dist/uPlot.LICENSE', ...modules])
    assert.ok(files.includes(needed), `${needed} is missing`);
  for (const file of files) assert.match(file, /^(package\.json|README\.md|LICENSE|js\/[\w-]+\.js|js\/report\.css|types\/[\w-]+\.d\.ts|dist\/[\w-]+\.wasm|dist\/uPlot\.[\w.]+)$/);
  const project = join(folder, 'project');
  run('mkdir', [project]);
  writeFileSync(join(project, 'package.json'), '{"private":true,"type":"module"}');
  run('npm', ['install', '--no-audit', '--no-fund', '--offline', join(folder, packed.filename)], { cwd: project });
  writeFileSync(join(project, 'use.js'), `import { load } from 'pith';
const model = await load(${JSON.stringify(story)});
for await (const piece of model.generate('Once upon a time', { maxTokens: 8 })) process.stdout.write(piece);
await model.close();`);
  assert.ok(run(process.execPath, ['use.js'], { cwd: project }).length > 10);
  assert.ok(run('npx', ['--no-install', 'pith', 'generate', story, 'Once upon a time', '--max-tokens', '8'], { cwd: project }).length > 10);
  // A report's page is whole without the network and without what this checkout has beside the package.
  writeTinyEncoder(join(project, 'encoder'));
  writeFileSync(join(project, 'texts.txt'), 'the cat sat\na dog ran\n');
  run('npx', ['--no-install', 'pith', 'sweep', 'encoder', '--recipes', 'int8', '--texts', 'texts.txt', '-o', 'results'], { cwd: project });
  run('npx', ['--no-install', 'pith', 'report', 'results', '-o', 'report.html'], { cwd: project });
  assert.match(readFileSync(join(project, 'report.html'), 'utf8'), /uPlot=function/);
  // Types: a program that uses them right compiles, one that does not fails.
  const tsc = join(root, 'node_modules/.bin/tsc');
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2024,esnext.disposable,dom', '--types', ''];
  writeFileSync(join(project, 'right.ts'), `import { load, IntegrityError } from 'pith';
const model = await load(new URL('https://example.com/m'), { signal: new AbortController().signal });
const { data, dims } = await model.embed(['a']);
const n: number = data[0] + dims[1];
for await (const piece of model.generate('x', { maxTokens: n })) piece.toUpperCase();
export const code: string = new IntegrityError('x').code;`);
  run(tsc, [...options, 'right.ts'], { cwd: project });
  writeFileSync(join(project, 'wrong.ts'), "import { load } from 'pith';\nconst model = await load('x');\nmodel.generate('x', { maxTokens: 'many' });\n");
  assert.throws(() => run(tsc, [...options, 'wrong.ts'], { cwd: project }), /Command failed/);
  for (const name of modules) assert.ok(existsSync(join(project, 'node_modules/pith', name)), name);
  assert.ok(!/"(dependencies|scripts)":\s*\{\s*"(pre|post)?install/.test(readFileSync(join(root, 'package.json'), 'utf8')), 'nothing runs on install');
});
