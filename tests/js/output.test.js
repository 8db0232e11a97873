// Where compress puts its package: the same rules for the native program, for Node.js and in memory.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { native, root, temporaryFolder } from './support.js';
import { writeTinyCheckpoint } from './tiny.js';

const programs = [['native', native, []], ['Node.js', process.execPath, [join(root, 'js/bin.js')]]];
for (const [name, program, before] of programs) {
  test(`${name}: --force replaces a package and nothing else`, (t) => {
    const folder = temporaryFolder(t), checkpoint = join(folder, 'checkpoint');
    const compress = (output, options = {}) => spawnSync(program, [...before, 'compress', checkpoint, '-o', output, '--force'], { encoding: 'utf8', ...options });
    const refused = (output, status, says, options) => {
      const result = compress(output, options);
      assert.equal(result.status, status, `${output}: ${result.stderr}`);
      assert.match(result.stderr, says);
    };
    writeTinyCheckpoint(checkpoint);
    const files = readdirSync(checkpoint).sort(), weights = readFileSync(join(checkpoint, 'model.safetensors'));
    cpSync(checkpoint, join(folder, 'copy'), { recursive: true });
    symlinkSync(checkpoint, join(folder, 'link'));
    mkdirSync(join(folder, 'home'));
    writeFileSync(join(folder, 'home/letter.txt'), 'dear');
    mkdirSync(join(folder, 'mine.partial'));
    writeFileSync(join(folder, 'mine.partial/letter.txt'), 'dear');
    for (const output of [checkpoint, `${checkpoint}/`, join(folder, 'link'), join(checkpoint, 'package'), folder]) refused(output, 2, /the source/);
    for (const output of ['.', '..', '', '/']) refused(output, 2, /name/, { cwd: join(folder, 'home') });
    refused('.', 2, /name/, { cwd: checkpoint });
    refused(join(folder, 'copy'), 11, /no package/);
    refused(join(folder, 'home'), 11, /no package/);
    refused(join(folder, 'mine'), 11, /not Pith's/);
    refused(join(folder, 'nowhere/package'), 3, /No such file/);
    assert.deepEqual(readdirSync(checkpoint).sort(), files);
    assert.deepEqual(readdirSync(join(folder, 'copy')).sort(), files);
    assert.ok(readFileSync(join(checkpoint, 'model.safetensors')).equals(weights));
    assert.ok(existsSync(join(folder, 'home/letter.txt')) && existsSync(join(folder, 'mine.partial/letter.txt')));

    const output = join(folder, 'package');
    for (let i = 0; i < 2; i++) assert.equal(compress(output).status, 0);
    const names = readdirSync(output);
    mkdirSync(`${output}.partial`); // a run that broke off
    writeFileSync(join(`${output}.partial`, 'shard-00001.safetensors'), 'half');
    assert.equal(compress(output).status, 0);
    assert.deepEqual(readdirSync(output), names);
    writeFileSync(join(output, 'README.md'), 'mine');
    refused(output, 11, /other files/);
    assert.equal(readFileSync(join(output, 'README.md'), 'utf8'), 'mine');
    assert.deepEqual(readdirSync(folder).sort(), ['checkpoint', 'copy', 'home', 'link', 'mine.partial', 'package']);
  });
}
