// What building says where something is missing.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, temporaryFolder } from './support.js';

test('without cJSON\'s sources the configuration says what to run', (t) => {
  const folder = temporaryFolder(t);
  const { status, stderr } = spawnSync('cmake', ['-S', root, '-B', join(folder, 'build'), '-G', 'Ninja', '-DEMSCRIPTEN=ON', `-DPITH_CJSON_DIR=${folder}`], { encoding: 'utf8' });
  assert.notEqual(status, 0);
  assert.match(stderr.replace(/\s+/g, ' '), /cJSON\.c is not there: run scripts\/setup/);
});
