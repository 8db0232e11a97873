// docs/BENCHMARKS.md and its charts are what report.js makes of docs/bench.json, and nothing else.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryFolder } from './support.js';

test('the benchmark\'s page comes from its samples alone', (t) => {
  const folder = temporaryFolder(t), docs = join(root, 'docs');
  execFileSync(process.execPath, [join(root, 'tests/bench/report.js'), join(docs, 'bench.json'), folder]);
  const made = readdirSync(folder).sort();
  assert.deepEqual(made, ['BENCHMARKS.md', ...readdirSync(docs).filter((name) => /^bench-.*\.svg$/.test(name))].sort());
  for (const name of made) assert.equal(readFileSync(join(folder, name), 'utf8'), readFileSync(join(docs, name), 'utf8'), name);
  // Every chart is on the page, and every picture of the page is there.
  const shown = [...readFileSync(join(folder, 'BENCHMARKS.md'), 'utf8').matchAll(/\]\((bench-[a-z]+\.svg)\)/g)].map((match) => match[1]);
  assert.deepEqual([...new Set(shown)].sort(), made.filter((name) => name.endsWith('.svg')));
});
