// The command line, native and by Node.js: the same answers, exit codes and messages.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { data, native, needsData, root, story, temporaryFolder } from './support.js';
import { writeTinyCheckpoint } from './tiny.js';

const programs = [['native', native, []], ['Node.js', process.execPath, [join(root, 'js/bin.js')]]];
for (const [name, program, before] of programs) {
  const pith = (args, options = {}) => spawnSync(program, [...before, ...args], { encoding: 'utf8', ...options });

  test(`${name}: generates and tokenizes`, () => {
    const { stdout, status } = pith(['generate', story, 'Once upon a time', '--max-tokens', '20', '--json']);
    assert.equal(status, 0);
    assert.equal(JSON.parse(stdout).ids.length, 20);
    const lines = pith(['tokenize', story, '--json'], { input: 'one\n\nthree\r\n' });
    assert.deepEqual(lines.stdout.trim().split('\n').map((line) => JSON.parse(line).text), ['one', '', 'three']);
  });

  test(`${name}: wrong use has an exit code and one line`, (t) => {
    const folder = temporaryFolder(t);
    mkdirSync(join(folder, 'there'));
    for (const [args, status, says] of [
      [['dance'], 2, /no command "dance"/], [['generate', story], 2, /too few/], [['generate', story, 'x', '--top-k'], 2, /wants a value/],
      [['generate', story, 'x', '--temperature', 'hot'], 2, /number/], [['generate', story, 'x', '--beams', '4'], 2, /no option/],
      [['generate', story, 'x', '--threads', '0'], 2, /from 1 to 64/], [['generate', story, 'x', '--threads', '1000'], 2, /from 1 to 64/],
      [['digest', story, '--threads', '-2'], 2, /from 1 to 64/], [['digest', story, '--threads', 'all'], 2, /number/],
      [['embed', story, 'x'], 8, /./], [['generate', '/nowhere', 'x'], 3, /nowhere/], [['inspect', folder], 3, /neither/],
      [['compress', story, '-o', join(folder, 'new')], 2, /already a package/], [['tokenize', story], 2, /no text/],
    ]) {
      const result = pith(args, { input: '' });
      assert.equal(result.status, status, `${args.join(' ')}: ${result.stderr}`);
      assert.match(result.stderr, says);
      const nLines = result.stderr.trim().split('\n').length;
      assert.ok(nLines === 1 || (nLines === 2 && result.stderr.includes('its form is')), result.stderr); // generate's form takes two lines
      assert.equal(result.stdout, '');
    }
  });

  test(`${name}: help, version`, () => {
    assert.match(pith(['help']).stdout, /compress[\s\S]*exit/i);
    assert.match(pith(['--version']).stdout, /^pith \d+\.\d+\.\d+/);
  });

  test(`${name}: a full disk is one error, and nothing stays`, { skip: needsData }, (t) => {
    const folder = temporaryFolder(t);
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { encoding: 'utf8' });
    if (mount.status !== 0) return t.skip('a small file system needs root');
    try {
      const result = pith(['compress', join(data, 'models/story'), '-o', join(folder, 'package')]);
      assert.equal(result.status, 5, result.stderr);
      assert.match(result.stderr, /space|full/i);
      assert.ok(!existsSync(join(folder, 'package')) && !existsSync(join(folder, 'package.partial')));
    } finally {
      spawnSync('umount', ['-l', folder]);
    }
    return undefined;
  });

  test(`${name}: an interrupt ends the work cleanly`, { skip: needsData }, async (t) => {
    const output = join(temporaryFolder(t), 'package');
    const child = spawn(program, [...before, 'compress', join(data, 'models/all-MiniLM-L6-v2'), '-o', output], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk) => { errors += chunk; });
    while (!existsSync(`${output}.partial`)) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGINT');
    const status = await new Promise((resolve) => child.on('exit', resolve));
    assert.equal(status, 130, errors);
    assert.match(errors, /cancelled/);
    assert.ok(!existsSync(output) && !existsSync(`${output}.partial`));
  });

  for (const signal of ['SIGINT', 'SIGTERM']) {
    test(`${name}: ${signal} is heard while standard input is waited for`, async () => {
      const child = spawn(program, [...before, 'tokenize', story], { stdio: ['pipe', 'ignore', 'pipe'] });
      const ended = new Promise((resolve) => child.on('exit', (...how) => resolve(how)));
      let errors = '';
      child.stderr.on('data', (chunk) => { errors += chunk; });
      child.stdin.on('error', () => {});
      await new Promise((resolve) => child.stdin.write('a line of text\n'.repeat(1 << 16), resolve)); // more than a pipe holds: it is being read
      child.kill(signal);
      const timer = setTimeout(() => child.kill('SIGKILL'), 10000);
      assert.deepEqual(await ended, [130, null], errors);
      assert.match(errors, /cancelled/);
      clearTimeout(timer);
    });
  }

  test(`${name}: standard input may come in parts`, async () => {
    const child = spawn(program, [...before, 'tokenize', story, '--json'], { stdio: ['pipe', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.on('data', (chunk) => { output += chunk; });
    child.stdin.write('one\ntw');
    setTimeout(() => child.stdin.end('o\n'), 600);
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
    assert.deepEqual(output.trim().split('\n').map((line) => JSON.parse(line).text), ['one', 'two']);
  });
}

test('both say the same where the system fails', (t) => {
  const folder = temporaryFolder(t), file = join(folder, 'file'), source = join(folder, 'checkpoint');
  writeFileSync(file, 'text');
  writeTinyCheckpoint(source);
  const both = (args, says, options = {}) => {
    const [a, b] = programs.map(([, program, before]) => spawnSync(program, [...before, ...args], { encoding: 'utf8', ...options }));
    assert.deepEqual([b.stderr, b.status], [a.stderr, a.status]);
    assert.match(a.stderr, says);
  };
  both(['eval', story, '--texts', '/nowhere/texts'], /: No such file or directory/);
  both(['eval', story, '--texts', folder], /: Is a directory/);
  both(['eval', story, '--texts', join(file, 'texts')], /: Not a directory/);
  both(['eval', story, '--texts', 'x'.repeat(300)], /: File name too long/);
  both(['inspect', join(folder, 'nothing')], /neither a package/);
  both(['compress', source, '-o', join(folder, 'no/where')], /: No such file or directory/);
  both(['compress', source, '-o', join(file, 'package')], /: Not a directory/);
  both(['compress', source, '-o', '/proc/sys/package'], /cannot \w+ .*: [A-Z]/); // a folder that nobody may write
  if (!existsSync('/dev/full')) return;
  const full = openSync('/dev/full', 'w');
  both(['tokenize', story, 'x'], /: No space left on device/, { stdio: ['ignore', full, 'pipe'] });
  closeSync(full);
});
