// Importing checkpoints, from servers that behave as the Hub does and that fail in every way; the internet is never asked.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, importModel, load } from '../../js/index.js';
import { ggufOf } from './gguf.js';
import { sendAndBreak, sendBytes, serveHub } from './hub.js';
import { native, root, story, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

const code = (expected, says) => (error) => {
  assert.equal(error.code, expected, error.stack);
  if (says) assert.match(error.message, says);
  assert.doesNotMatch(error.message, /secret/, 'signatures and tokens are nobody\'s');
  return true;
};
const contents = (folder) => Object.fromEntries(readdirSync(folder, { recursive: true }).map(String).filter((name) => statSync(join(folder, name)).isFile())
  .map((name) => [name, readFileSync(join(folder, name))]));

/** A repository in a folder, its servers, and where to import to. */
async function setUp(t, make, how) {
  const folder = temporaryFolder(t), source = join(folder, 'source'), output = join(folder, 'output');
  make(source);
  const hub = await serveHub(t, source, how);
  process.env.HF_ENDPOINT = hub.endpoint;
  t.after(() => { delete process.env.HF_ENDPOINT; delete process.env.HF_TOKEN; });
  return { folder, source, output, partial: `${output}.partial`, ...hub };
}
function writeTinyGguf(path) {
  const hub = `${path}.hub`;
  writeTinyCheckpoint(hub);
  writeFileSync(path, ggufOf(hub));
  rmSync(hub, { recursive: true });
}
const decoder = (source) => writeTinyCheckpoint(source);
const sharded = (source) => writeTinyCheckpoint(source, 3);
const isShard = (name) => name.endsWith('.safetensors');

test('a sharded checkpoint: what is needed, by commit, the token for the endpoint alone; then it is compressed', async (t) => {
  const { source, output, partial, seen, commit } = await setUp(t, (folder) => {
    sharded(folder);
    for (const name of ['README.md', 'pytorch_model.bin', 'other.safetensors', 'vocab.json']) writeFileSync(join(folder, name), 'not wanted');
    writeFileSync(join(folder, 'generation_config.json'), '{}');
    mkdirSync(join(folder, 'onnx'));
    writeFileSync(join(folder, 'onnx/model.safetensors'), 'not wanted');
  });
  process.env.HF_TOKEN = 'hf_secret';
  const progress = [];
  const result = await importModel('org/name', { output, onProgress: (p) => p.phase === 'fetch' && progress.push(p) });
  const wanted = contents(source);
  for (const name of ['README.md', 'pytorch_model.bin', 'other.safetensors', 'vocab.json', 'onnx/model.safetensors']) delete wanted[name];
  assert.deepEqual(contents(output), wanted);
  assert.ok(!existsSync(partial));
  const bytes = Object.values(wanted).reduce((sum, { length }) => sum + length, 0);
  assert.deepEqual(result, { path: output, family: 'llama', task: 'generate', files: 7, bytes, fetchedBytes: bytes, revision: commit });
  assert.deepEqual(progress.at(-1), { phase: 'fetch', unit: 'bytes', done: bytes, total: bytes });
  assert.ok(progress.every(({ done }, i) => i === 0 || done >= progress[i - 1].done));
  for (const { where, url, token } of seen) {
    assert.equal(token, where === 'host' ? 'Bearer hf_secret' : undefined, url);
    if (where === 'host' && !url.startsWith('/api/')) assert.ok(url.startsWith(`/org/name/resolve/${commit}/`), url);
  }
  const packed = join(temporaryFolder(t), 'package');
  await compress(result.path, { output: packed });
  const model = await load(packed);
  assert.equal((await model.generate('a', { maxTokens: 3 }).result).ids.length, 3);
  await model.close();
});

test('an encoder with its pooling, by the repository\'s address', async (t) => {
  const { source, output, endpoint } = await setUp(t, (folder) => {
    writeTinyEncoder(folder);
    mkdirSync(join(folder, '1_Pooling'));
    writeFileSync(join(folder, '1_Pooling/config.json'), '{"pooling_mode_mean_tokens":true}');
    writeFileSync(join(folder, 'modules.json'), '[{"type":"sentence_transformers.models.Transformer"},{"type":"sentence_transformers.models.Pooling"}]');
    writeFileSync(join(folder, 'sentence_bert_config.json'), '{"max_seq_length":32}');
  }, { revisions: ['refs/pr/1'] });
  process.env.HF_ENDPOINT = `${endpoint}/`;
  assert.equal((await importModel(new URL(`${endpoint}/org/name/tree/refs%2Fpr%2F1`), { output })).task, 'embed');
  assert.deepEqual(contents(output), contents(source));
  await assert.rejects(importModel(`${endpoint}/org/name/tree/main`, { output: `${output}2`, revision: 'other' }), code('PITH_E_ARGUMENT', /main.*other/));
});

test('another host than the endpoint: by its address, without the token', async (t) => {
  const { output, endpoint, seen } = await setUp(t, decoder);
  process.env.HF_ENDPOINT = 'http://127.0.0.1:9';
  process.env.HF_TOKEN = 'hf_secret';
  await importModel(`${endpoint}/org/name`, { output });
  assert.ok(seen.length > 3 && seen.every(({ token }) => token === undefined));
});

test('two imports into one folder at a time: at most one makes it, and what it makes is right', async (t) => {
  const { source, output } = await setUp(t, decoder, { store(request, response, name, bytes, headers) {
    response.writeHead(200, { 'Content-Length': bytes.length, ...headers });
    response.write(bytes.subarray(0, 9000));
    setTimeout(() => response.end(bytes.subarray(9000)), 100);
    return true;
  } });
  const ended = await Promise.allSettled([1, 2].map(() => importModel('org/name', { output })));
  assert.ok(ended.some(({ status }) => status === 'rejected'));
  for (const { reason } of ended) if (reason) assert.match(reason.code ?? '', /^PITH_E_/, reason.stack);
  if (existsSync(output)) assert.deepEqual(contents(output), contents(source));
  else assert.deepEqual((await importModel('org/name', { output })).path, output);
});

test('redirects within the endpoint keep the token; from https to http none is followed', async (t) => {
  const { output, source, seen } = await setUp(t, decoder, { host(request, response, name) {
    if (name === 'tokenizer.json') return response.writeHead(307, { Location: '/cache/org/name/tokenizer.json?x' }).end(), true;
    return request.url.startsWith('/cache/') && (sendBytes(request, response, readFileSync(join(source, 'tokenizer.json')), {}), true);
  } });
  process.env.HF_TOKEN = 'hf_secret';
  await importModel('org/name', { output });
  assert.equal(seen.find(({ url }) => url.startsWith('/cache/')).token, 'Bearer hf_secret');
  t.mock.method(globalThis, 'fetch', async () => new Response(null, { status: 302, headers: { Location: 'http://elsewhere.invalid/?secret' } }));
  process.env.HF_ENDPOINT = 'https://hub.invalid';
  await assert.rejects(importModel('org/name', { output: `${output}2` }), code('PITH_E_NETWORK', /elsewhere\.invalid without encryption/));
});

test('where there is no Node.js, an error says so', () => {
  const program = `process.getBuiltinModule = undefined;
    const { importModel } = await import(${JSON.stringify(join(root, 'js/index.js'))});
    await importModel('org/name', { output: 'x' }).catch((error) => console.log(error.code, error.message));`;
  assert.match(spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }).stdout, /^PITH_E_UNSUPPORTED .*a page cannot/);
});

test('a GGUF file by its address, also that of its page', async (t) => {
  const { output, endpoint, store, source, commit, seen } = await setUp(t, (folder) => {
    mkdirSync(folder);
    writeTinyGguf(join(folder, 'tiny.gguf'));
    writeFileSync(join(folder, 'config.json'), '{}');
  });
  process.env.HF_TOKEN = 'hf_secret';
  await assert.rejects(importModel('org/name', { output }), code('PITH_E_ARGUMENT', /resolve\/\w+\/tiny\.gguf/));
  const result = await importModel(`${endpoint}/org/name/blob/main/tiny.gguf`, { output });
  assert.deepEqual([result.path, result.files, result.revision], [join(output, 'tiny.gguf'), 1, commit]);
  assert.deepEqual(contents(output), { 'tiny.gguf': readFileSync(join(source, 'tiny.gguf')) });
  assert.ok(seen.every(({ where, token }) => (token === undefined) === (where === 'store')));
  await (await load(result.path)).close();
  await importModel(`${store}/tiny.gguf?download=true#x`, { output: `${output}2` }); // of any server, which does not get the token
  assert.deepEqual(contents(`${output}2`), contents(output));
  assert.ok(seen.every(({ where, token }) => (token === undefined) === (where === 'store')));
  await assert.rejects(importModel(`${endpoint}/org/name/blob/main/tiny.gguf`, { output: `${output}3`, revision: 'main' }), code('PITH_E_ARGUMENT', /revision/));
});

test('resets and bodies that end early are taken up where they broke', async (t) => {
  let breaks = 0;
  const { source, output, seen } = await setUp(t, decoder, { store(request, response, name, bytes, headers) {
    if (breaks++ >= 6) return false; // more often than attempts: each moves on
    sendAndBreak(request, response, bytes, 9000, headers);
    return true;
  } });
  const { bytes, fetchedBytes } = await importModel('org/name', { output });
  assert.deepEqual(contents(output), contents(source));
  assert.equal(fetchedBytes, bytes);
  const asked = seen.filter(({ where }) => where === 'store');
  assert.ok(asked.length >= 7 && asked.at(-1).range === 'bytes=54000-', JSON.stringify(asked.map(({ range }) => range)));
  assert.ok(asked.slice(1).every(({ ifRange }) => /^"store-/.test(ifRange)));
});

test('a body that ends early without a length is noticed by the announced size', async (t) => {
  let n = 0;
  const { source, output } = await setUp(t, decoder, { store(request, response, name, bytes) {
    if (n++ > 0) return false;
    return response.writeHead(200).end(bytes.subarray(0, 5000)), true;
  } });
  await importModel('org/name', { output });
  assert.deepEqual(contents(output), contents(source));
});

test('servers without ranges, that answer with another range, or whose file changed meanwhile, send all again', async (t) => {
  for (const again of [
    (request, response, bytes, headers) => response.writeHead(200, { 'Content-Length': bytes.length, ...headers }).end(bytes),
    (request, response, bytes, headers) => (request.headers.range ? response.writeHead(206, { 'Content-Range': `bytes 7-${bytes.length - 1}/${bytes.length}`, ...headers }).end(bytes.subarray(7)) : sendBytes(request, response, bytes, headers)),
    (request, response, bytes, headers) => sendBytes(request, response, bytes, { ...headers, ETag: '"another"' }),
    (request, response, bytes, headers) => (request.headers.range ? response.writeHead(416).end() : sendBytes(request, response, bytes, headers)),
  ]) {
    let n = 0;
    const { source, output } = await setUp(t, decoder, { store(request, response, name, bytes, headers) {
      if (n++ === 0) sendAndBreak(request, response, bytes, 9000, headers);
      else again(request, response, bytes, headers);
      return true;
    } });
    await importModel('org/name', { output });
    assert.deepEqual(contents(output), contents(source));
  }
});

test('an import that was aborted goes on where it was; DIR is there only when all is', async (t) => {
  let hang = true;
  const { source, output, partial, seen } = await setUp(t, sharded, { store(request, response, name, bytes, headers) {
    if (!hang || !name.startsWith('model-00002')) return false;
    response.writeHead(200, { 'Content-Length': bytes.length, ...headers });
    return response.write(bytes.subarray(0, 5000));
  } });
  const control = new AbortController();
  const onProgress = ({ done }) => { if (hang && seen.at(-1).name.startsWith('model-00002') && done > 0) setTimeout(() => control.abort(), 200); };
  await assert.rejects(importModel('org/name', { output, signal: control.signal, onProgress }), code('PITH_E_CANCELLED'));
  assert.ok(!existsSync(output));
  assert.equal(statSync(join(partial, 'model-00002-of-00003.safetensors.part')).size, 5000);
  hang = false;
  const before = seen.length;
  const { bytes, fetchedBytes } = await importModel('org/name', { output });
  assert.deepEqual(contents(output), contents(source));
  assert.ok(!existsSync(partial));
  const [first, ...rest] = seen.slice(before).filter(({ where, name }) => where === 'store' || name !== 'list');
  assert.deepEqual([first.name, seen.slice(before).find(({ where }) => where === 'store').range, rest.some(({ name }) => name.startsWith('model-00001'))],
    ['model-00002-of-00003.safetensors', 'bytes=5000-', false]);
  assert.ok(fetchedBytes > 0 && fetchedBytes < bytes);
});

test('what another import left is not mixed in', async (t) => {
  const moved = 'd'.repeat(40);
  let sha = null, broken = true;
  const { source, output, partial } = await setUp(t, decoder, {
    revisions: [moved], listing: (json) => ({ ...json, sha: sha ?? json.sha }),
    store: (request, response) => broken && (response.writeHead(403).end(), true),
  });
  await assert.rejects(importModel('org/name', { output }), code('PITH_E_NETWORK'));
  writeFileSync(join(partial, 'config.json'), '{"old": true}');
  [sha, broken] = [moved, false];
  await importModel('org/name', { output });
  assert.deepEqual(contents(output), contents(source));
  mkdirSync(`${output}2.partial`);
  writeFileSync(join(`${output}2.partial`, 'mine'), '');
  await assert.rejects(importModel('org/name', { output: `${output}2` }), code('PITH_E_EXISTS', /in the way/));
});

test('a listing without commit, sizes and hashes will do; then finished files are fetched again', async (t) => {
  let broken = true;
  const { source, output, seen } = await setUp(t, sharded, {
    listing: ({ siblings }) => ({ siblings: siblings.map(({ rfilename }) => ({ rfilename })) }),
    store: (request, response, name) => broken && name.startsWith('model-00003') && (response.writeHead(403).end(), true),
  });
  await assert.rejects(importModel('org/name', { output }), code('PITH_E_NETWORK'));
  broken = false;
  writeFileSync(join(source, 'config.json'), `${readFileSync(join(source, 'config.json'))} `);
  await importModel('org/name', { output });
  assert.deepEqual(contents(output), contents(source));
  assert.ok(seen.some(({ url }) => url.startsWith('/org/name/resolve/main/')));
});

test('429 and 503: after as long as the server asks, and not for ever', async (t) => {
  let refusals = 0;
  const { output } = await setUp(t, decoder, { host(request, response, name) {
    if (name !== 'tokenizer.json' || refusals++ >= 2) return false;
    return response.writeHead(refusals === 1 ? 429 : 503, { 'Retry-After': refusals === 1 ? '1' : new Date(Date.now() + 2000).toUTCString() }).end(), true;
  } });
  const begin = Date.now();
  await importModel('org/name', { output });
  assert.ok(Date.now() - begin > 1900 && refusals === 3, `${Date.now() - begin} ms`);
  for (const [wait, tries] of [['0', 4], ['3600', 1]]) {
    let asked = 0;
    const other = await setUp(t, decoder, { host: (request, response) => (asked++, response.writeHead(429, { 'Retry-After': wait }).end(), true) });
    await assert.rejects(importModel('org/name', { output: other.output }), code('PITH_E_NETWORK', wait === '0' ? /429/ : /60 minutes/));
    assert.equal(asked, tries);
  }
});

const answer = (status, headers = {}, body = '') => (request, response) => (response.writeHead(status, headers).end(body), true);
const only = (wanted, act) => (request, response, name, ...rest) => wanted(name) && act(request, response, name, ...rest);
const sibling = (rfilename) => ({ listing: (json) => ({ ...json, siblings: [...json.siblings, { rfilename }] }) });
const html = answer(200, { 'Content-Type': 'text/html; charset=utf-8' }, '<!doctype html>');
const changed = (request, response, name, bytes, headers) => {
  const copy = Buffer.from(bytes);
  copy[copy.length - 5] ^= 1;
  return sendBytes(request, response, copy, headers);
};
/** What goes wrong, how, the error, what stays under its name in the partial folder. @type {[string, object, string, RegExp][]} */
const faults = [
  ['401 for the listing', { host: answer(401) }, 'PITH_E_NETWORK', /no such model, or if it is private, set HF_TOKEN/],
  ['403 for a gated model\'s files', { host: only((name) => name === 'config.json', answer(403, { 'X-Error-Code': 'GatedRepo' })) }, 'PITH_E_NETWORK', /access has to be granted.*page.*HF_TOKEN/],
  ['403 where the files are', { store: answer(403) }, 'PITH_E_NETWORK', /model\.safetensors.*403/],
  ['404 for a listed file', { host: only((name) => name === 'tokenizer.json', answer(404, { 'X-Error-Code': 'EntryNotFound' })) }, 'PITH_E_NOT_FOUND', /tokenizer\.json.*no such file/],
  ['404 for everything, without a word', { host: answer(404) }, 'PITH_E_NOT_FOUND', /no model org\/name, or it has no revision main/],
  ['500 without end', { store: answer(500) }, 'PITH_E_NETWORK', /500/],
  ['a web page for the listing', { host: html }, 'PITH_E_FORMAT', /web page/],
  ['a web page for a file', { store: html }, 'PITH_E_FORMAT', /model\.safetensors is a web page/],
  ['a listing that is no JSON', { host: only((name) => name === 'list', answer(200, {}, '{')) }, 'PITH_E_FORMAT', /is not JSON/],
  ['a listing of nothing', { listing: () => ({}) }, 'PITH_E_FORMAT', /siblings/],
  ['a name that leads upwards', sibling('../../x.safetensors'), 'PITH_E_FORMAT', /outside/],
  ['a name that leads upwards within', sibling('a/../../x'), 'PITH_E_FORMAT', /outside/],
  ['an absolute name', sibling('/etc/passwd'), 'PITH_E_FORMAT', /outside/],
  ['a name with a drive', sibling('C:\\x'), 'PITH_E_FORMAT', /outside/],
  ['a name that is none', sibling(7), 'PITH_E_FORMAT', /outside/],
  ['a weight\'s wrong bytes', { store: changed }, 'PITH_E_INTEGRITY', /model\.safetensors.*SHA-256/],
  ['a small file\'s wrong bytes', { host: only((name) => name === 'tokenizer.json', (request, response) => (sendBytes(request, response, Buffer.from('{"a":1}'), {}), true)) }, 'PITH_E_INTEGRITY', /tokenizer\.json.*7 bytes/],
  ['a file that is longer than announced', { store: (request, response, name, bytes) => (response.writeHead(200).end(Buffer.concat([bytes, bytes])), true) }, 'PITH_E_INTEGRITY', /more than/],
  ['another hash by the header than by the listing', { listing: (json) => ({ ...json, siblings: json.siblings.map((s) => (s.lfs ? { ...s, lfs: { ...s.lfs, sha256: 'a'.repeat(64) } } : s)) }) }, 'PITH_E_INTEGRITY', /another SHA-256/],
  ['redirects without end', { host: (request, response) => (response.writeHead(302, { Location: request.url }).end(), true) }, 'PITH_E_NETWORK', /redirects/],
  ['a redirect to no address', { host: answer(302, { Location: 'http://' }) }, 'PITH_E_NETWORK', /nowhere/],
  ['a redirect to a file', { host: answer(302, { Location: 'file:///etc/passwd' }) }, 'PITH_E_NETWORK', /not followed/],
  ['connections that always break', { store: (request, response) => (response.destroy(), true) }, 'PITH_E_NETWORK', /cannot be fetched/],
];
for (const [what, how, expected, says] of faults) {
  test(what, async (t) => {
    const { output, partial } = await setUp(t, decoder, how);
    await assert.rejects(importModel('org/name', { output }), code(expected, says));
    assert.ok(!existsSync(output));
    if (!how.store && how.host) assert.ok(!existsSync(partial) || Object.keys(contents(partial)).length > 1, 'an empty folder is nothing to go on with');
    if (expected === 'PITH_E_INTEGRITY') assert.ok(!Object.keys(contents(partial)).some((name) => name.startsWith('model.safetensors') && contents(partial)[name].length > 0));
  });
}

test('a wrong hash is no obstacle to the next import', async (t) => {
  let wrong = true;
  const { source, output } = await setUp(t, decoder, { store: (...args) => wrong && changed(...args) });
  await assert.rejects(importModel('org/name', { output }), code('PITH_E_INTEGRITY'));
  wrong = false;
  await importModel('org/name', { output });
  assert.deepEqual(contents(output), contents(source));
});

test('a token that is not accepted, a model or a revision that is not there', async (t) => {
  const { output } = await setUp(t, decoder, { host: (request, response) => request.headers.authorization && (response.writeHead(401).end(), true) });
  await assert.rejects(importModel('org/other', { output }), code('PITH_E_NOT_FOUND', /no such model/));
  await assert.rejects(importModel('org/name', { output, revision: 'v9' }), code('PITH_E_NOT_FOUND', /no such revision/));
  process.env.HF_TOKEN = 'hf_secret';
  await assert.rejects(importModel('org/name', { output }), code('PITH_E_NETWORK', /HF_TOKEN is not accepted/));
  process.env.HF_TOKEN = 'with a space';
  await assert.rejects(importModel('org/name', { output }), code('PITH_E_ARGUMENT', /HF_TOKEN/));
  delete process.env.HF_TOKEN;
  process.env.HF_ENDPOINT = 'ftp://x';
  await assert.rejects(importModel('org/name', { output }), code('PITH_E_ARGUMENT', /HF_ENDPOINT/));
  assert.deepEqual(readdirSync(join(output, '..')), ['source'], 'what is refused leaves nothing');
});

test('what cannot be read is refused before its weights come', async (t) => {
  for (const [change, expected, says] of [
    [(source) => { rmSync(join(source, 'model.safetensors')); writeFileSync(join(source, 'pytorch_model.bin'), 'x'); }, 'PITH_E_UNSUPPORTED', /pytorch_model\.bin.*pickled.*safetensors/],
    [(source) => rmSync(join(source, 'model.safetensors')), 'PITH_E_NOT_FOUND', /no model\.safetensors/],
    [(source) => rmSync(join(source, 'tokenizer.json')), 'PITH_E_UNSUPPORTED', /tokenizer\.json/],
    [(source) => rmSync(join(source, 'config.json')), 'PITH_E_NOT_FOUND', /config\.json/],
    [(source) => writeFileSync(join(source, 'config.json'), '{"model_type":"t5"}'), 'PITH_E_UNSUPPORTED', /t5/],
    [(source) => writeFileSync(join(source, 'config.json'), '{'), 'PITH_E_FORMAT', /config\.json/],
    [(source) => writeFileSync(join(source, 'pith.json'), '{}'), 'PITH_E_ARGUMENT', /package/],
  ]) {
    const { source, output, partial, seen } = await setUp(t, (folder) => { decoder(folder); change(folder); });
    await assert.rejects(importModel('org/name', { output }), code(expected, says));
    assert.ok(!existsSync(output) && !existsSync(partial));
    assert.ok(!seen.some(({ name }) => name === 'model.safetensors'));
    await assert.rejects(importModel(source, { output }), code(expected, says)); // the same, from the disk
    assert.ok(!existsSync(output) && !existsSync(partial));
  }
  for (const name of ['../x.safetensors', 'a/b.safetensors', '/x.safetensors', 'x.bin', 7]) {
    const { output } = await setUp(t, (folder) => {
      sharded(folder);
      writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: { a: name } }));
    });
    await assert.rejects(importModel('org/name', { output }), code('PITH_E_FORMAT', /plain name/));
  }
  const { output, endpoint } = await setUp(t, decoder);
  await assert.rejects(importModel(`${endpoint}/org/name/resolve/main/pytorch_model.bin`, { output }), code('PITH_E_UNSUPPORTED', /pickled/));
  for (const wrong of [`${endpoint}/org/name/resolve/main/model.safetensors`, `${endpoint}/gpt2`, `${endpoint}/a/b/c`, endpoint, 'ftp://x/y', 'http://me:secret@x/org/name'])
    await assert.rejects(importModel(wrong, { output }), code('PITH_E_ARGUMENT'), wrong);
  await assert.rejects(importModel('org/name', { output, revision: '..' }), code('PITH_E_ARGUMENT', /revision/));
  await assert.rejects(importModel('nowhere', { output }), code('PITH_E_NOT_FOUND', /ORG\/NAME/));
  await assert.rejects(importModel('org/name', { output, dance: true }), code('PITH_E_ARGUMENT', /dance/));
  await assert.rejects(importModel('org/name', {}), code('PITH_E_ARGUMENT', /output/));
});

test('what is on this machine is copied, links followed; --force replaces checkpoints alone', async (t) => {
  const folder = temporaryFolder(t), blobs = join(folder, 'blobs'), source = join(folder, 'source'), output = join(folder, 'output');
  sharded(blobs);
  writeFileSync(join(blobs, 'notes.txt'), 'not wanted');
  mkdirSync(source); // as the Hub's own cache keeps them
  for (const name of readdirSync(blobs)) symlinkSync(join(blobs, name), join(source, name));
  const { files } = await importModel(source, { output });
  assert.equal(files, 6);
  rmSync(join(blobs, 'notes.txt'));
  assert.deepEqual(contents(output), contents(blobs));
  await assert.rejects(importModel(source, { output }), code('PITH_E_EXISTS', /--force/));
  const encoder = join(folder, 'encoder');
  writeTinyEncoder(encoder);
  await importModel(encoder, { output, force: true });
  assert.deepEqual(contents(output), contents(encoder));
  mkdirSync(join(output, '1_Pooling'));
  writeFileSync(join(output, '1_Pooling/mine'), '');
  await assert.rejects(importModel(source, { output, force: true }), code('PITH_E_EXISTS', /1_Pooling\/mine/));
  rmSync(join(output, '1_Pooling'), { recursive: true });
  mkdirSync(`${output}.replaced`);
  await assert.rejects(importModel(source, { output, force: true }), code('PITH_E_EXISTS', /replaced is in the way/));
  rmSync(`${output}.replaced`, { recursive: true });
  writeFileSync(join(output, 'thesis.tex'), 'mine');
  await assert.rejects(importModel(source, { output, force: true }), code('PITH_E_EXISTS', /thesis\.tex/));
  await assert.rejects(importModel(source, { output: join(output, 'thesis.tex'), force: true }), code('PITH_E_EXISTS', /is a file/));
  await assert.rejects(importModel(source, { output: join(folder, 'no/where') }), code('PITH_E_NOT_FOUND'));
  await assert.rejects(importModel(join(source, 'config.json'), { output: join(folder, 'new') }), code('PITH_E_ARGUMENT', /folder/));
  await assert.rejects(importModel(story, { output: join(folder, 'new') }), code('PITH_E_ARGUMENT', /package/));
  writeFileSync(join(folder, 'bad.gguf'), 'GGUF');
  await assert.rejects(importModel(join(folder, 'bad.gguf'), { output: join(folder, 'new') }), code('PITH_E_FORMAT'));
  writeTinyGguf(join(folder, 'TINY.GGUF'));
  assert.equal((await importModel(join(folder, 'TINY.GGUF'), { output: join(folder, 'new') })).path, join(folder, 'new/TINY.gguf'));
  const control = new AbortController();
  const copying = importModel(source, { output: join(folder, 'cut'), signal: control.signal, onProgress: ({ done }) => { if (done > 60000) control.abort(); } });
  await assert.rejects(copying, code('PITH_E_CANCELLED'));
  assert.deepEqual(readdirSync(folder).filter((name) => /cut|partial|replaced/.test(name)), []);
});

const bin = join(root, 'js/bin.js');
test('the command line: import, compress, an interrupt and what comes after it', async (t) => {
  let hang = true;
  const { folder, source, output, partial, endpoint } = await setUp(t, decoder, { store(request, response, name, bytes, headers) {
    if (!hang) return false;
    response.writeHead(200, { 'Content-Length': bytes.length, ...headers });
    return response.write(bytes.subarray(0, 4000));
  } });
  const pith = async (...args) => {
    const child = spawn(process.execPath, [bin, ...args], { env: { ...process.env, HF_ENDPOINT: endpoint }, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '', stderr = '';
    child.stdout.on('data', (chunk) => { stdout += chunk; });
    child.stderr.on('data', (chunk) => { stderr += chunk; });
    const ended = new Promise((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr })));
    return { child, ended };
  };
  const first = await pith('import', 'org/name', '-o', output);
  const part = join(partial, 'model.safetensors.part');
  while (!existsSync(part) || statSync(part).size < 4000) await new Promise((resolve) => setTimeout(resolve, 20));
  first.child.kill('SIGINT');
  assert.deepEqual(await first.ended, { status: 130, stdout: '', stderr: `pith: cancelled; the next import goes on from what is in ${partial}\n` });
  hang = false;
  const second = await (await pith('import', 'org/name', '-o', output, '--json')).ended;
  assert.equal(second.status, 0, second.stderr);
  const { path, bytes, fetched_bytes: fetched } = JSON.parse(second.stdout);
  assert.deepEqual(contents(path), contents(source));
  assert.equal(fetched, statSync(join(source, 'model.safetensors')).size - 4000);
  assert.ok(bytes > fetched);
  assert.equal((await (await pith('compress', path, '-o', join(folder, 'package'))).ended).status, 0);
  const third = await (await pith('import', 'org/name', '-o', output)).ended;
  assert.deepEqual([third.status, /there already.*PITH_E_EXISTS/.test(third.stderr)], [11, true]);
});

test('native and Node.js: wrong arguments are the same error; the native program has no network and says so', () => {
  for (const args of [['import'], ['import', 'a/b'], ['import', 'a', 'b', '-o', 'x'], ['import', 'a/b', '-o', 'x', '--dance'], ['import', '--help']]) {
    const [a, b] = [[native, []], [process.execPath, [bin]]].map(([program, before]) => spawnSync(program, [...before, ...args], { encoding: 'utf8' }));
    assert.deepEqual([b.status, b.stdout, b.stderr], [a.status, a.stdout, a.stderr]);
    assert.equal(a.status, args[1] === '--help' ? 0 : 2);
  }
  const { status, stderr } = spawnSync(native, ['import', 'a/b', '-o', 'x'], { encoding: 'utf8' });
  assert.deepEqual([status, /npx pith import/.test(stderr)], [8, true]);
});

test('a full disk is one error; with more space the import goes on', async (t) => {
  const { source, folder, output: mounted } = await setUp(t, (where) => { writeTinyEncoder(where, { hidden: 128 }); });
  mkdirSync(mounted);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', mounted]).status !== 0) return t.skip('a small file system needs root');
  try {
    const output = join(mounted, 'model');
    await assert.rejects(importModel('org/name', { output }), code('PITH_E_NO_SPACE', /MB are still to come/));
    await assert.rejects(importModel(source, { output }), code('PITH_E_NO_SPACE'));
    assert.ok(!existsSync(output));
    assert.equal(spawnSync('mount', ['-o', 'remount,size=20m', mounted]).status, 0);
    await importModel('org/name', { output });
    assert.deepEqual(contents(output), contents(source));
    cpSync(output, join(folder, 'copy'), { recursive: true });
  } finally {
    spawnSync('umount', ['-l', mounted]);
  }
  return undefined;
});
