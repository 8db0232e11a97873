// One hash everywhere: native and WebAssembly, two Node.js versions, every variant of the kernels. (Chromium: browser.test.js.)
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { currentNode, data, native, needsData, root, run, story, temporaryFolder } from './support.js';

const cli = join(root, 'js/bin.js');
const engines = [['native', native, []], [`Node.js ${process.version}`, process.execPath, [cli]], ['a current Node.js', currentNode, [cli]]];
const kernelsOf = (name) => (name === 'a current Node.js' ? ['scalar', 'simd128', 'relaxed-dot', 'relaxed-pairs'] : ['scalar', 'simd128']);

function assertOneDigest(source) {
  const digests = {};
  for (const [name, program, before] of engines)
    for (const kernels of kernelsOf(name))
      digests[`${name}, ${kernels}`] = JSON.parse(run(program, [...before, 'digest', source, '--kernels', kernels, '--json'])).digest;
  assert.equal(Object.keys(digests).length, 8);
  assert.equal(new Set(Object.values(digests)).size, 1, JSON.stringify(digests, null, 1));
}

test('the current Node.js is another one', () => assert.notEqual(run(currentNode, ['--version']).trim(), process.version));
test('story, int8', () => assertOneDigest(story));
test('story, fp16', () => assertOneDigest(join(root, 'models/story-fp16')));
test('story, the fp32 checkpoint', { skip: needsData }, () => assertOneDigest(join(data, 'models/story')));
test('MiniLM, int8: also compressed to the same bytes by each', { skip: needsData }, (t) => {
  const folder = temporaryFolder(t), packages = [];
  for (const [i, [name, program, before]] of engines.entries()) {
    const output = join(folder, `${i}`);
    run(program, [...before, 'compress', join(data, 'models/all-MiniLM-L6-v2'), '-o', output]);
    if (i > 0) assert.equal(run('diff', ['-rq', packages[0], output]), '', `${name} made another package`);
    packages.push(output);
  }
  assertOneDigest(packages[0]);
});
