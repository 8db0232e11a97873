// The layers' includes go one way (docs/ARCHITECTURE.md). Each layer names those below it that it may see.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';

const source = fileURLToPath(new URL('../../src', import.meta.url));
const below = {
  base: [],
  kernels: ['base'],
  tensor: ['base', 'kernels'],
  text: ['base'],
  package: ['base', 'tensor'],
  model: ['base', 'kernels', 'tensor', 'text', 'package'],
  runtime: ['base', 'kernels', 'tensor', 'text', 'package', 'model'],
  eval: ['base', 'kernels', 'tensor', 'text', 'package', 'model', 'runtime'],
  compress: ['base', 'kernels', 'tensor', 'text', 'package', 'model', 'runtime', 'eval'],
  verbs: ['base', 'kernels', 'tensor', 'text', 'package', 'model', 'runtime', 'eval', 'compress', 'pith.h'],
  'pith.h': ['base'],
  cli: ['base', 'pith.h'],
  'wasm.c': ['pith.h', 'wasm_threads.h'],
  'wasm_cli.c': ['cli', 'pith.h'],
  'wasm_threads.c': ['base', 'wasm_threads.h'],
  'wasm_threads.h': ['base'],
};

/** Complaints about one file's text; `file` is its path below src/. */
function complaints(file, text) {
  const layer = file.split('/')[0];
  if (!(layer in below)) return [`${file}: src/${layer} is no layer of docs/ARCHITECTURE.md`];
  const found = [];
  for (const [, name] of text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    const target = name.split('/')[0];
    if (name === 'embedded.h') continue; // text files as strings, made by the build
    if (target !== layer && !below[layer].includes(target)) found.push(`${file} includes ${name}, which is not below ${layer}`);
  }
  if (layer !== 'kernels' && /wasm_simd128\.h|simde\/|immintrin\.h|arm_neon\.h/.test(text)) found.push(`${file}: instruction sets belong to src/kernels`);
  if (/[^_a-z]v?s?n?printf\(|[^_a-z]strto(d|f|ld)\(/.test(text)) found.push(`${file}: base/format.h and base/decimal.h do this without the C library's 20 KB in a module`);
  const lines = text.split('\n').length;
  if (lines > 800 && !file.endsWith('_tables.c')) found.push(`${file} has ${lines} lines: it wants a sibling`);
  return found;
}

test('includes go one way', () => {
  const files = readdirSync(source, { recursive: true }).map((f) => String(f)).filter((f) => /\.[ch]$/.test(f));
  assert.ok(files.length > 10, `only ${files.length} sources were seen`);
  const found = files.flatMap((f) => complaints(relative('.', f).split(sep).join('/'), readFileSync(join(source, f), 'utf8')));
  assert.deepEqual(found, []);
});

test('a planted violation is found', () => {
  assert.equal(complaints('kernels/x.c', '#include "model/model.h"\n').length, 1);
  assert.equal(complaints('text/x.c', '#include <wasm_simd128.h>\n').length, 1);
  assert.equal(complaints('model/x.c', '  snprintf(text, sizeof text, "%d", n);\n').length, 1);
  assert.equal(complaints('unknown/x.c', '').length, 1);
  assert.equal(complaints('model/x.c', '#include "base/base.h"\n').length, 0);
});
