// Packages over real HTTP, from servers that fail in every way.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { Engine } from '../../js/engine.js';
import { MountedFiles } from '../../js/files.js';
import { load } from '../../js/index.js';
import { eventLoopTurn, machineFiles, prepareModule, startThread } from '../../js/load.js';
import { story, temporaryFolder } from './support.js';

/** Serves the story model; `fault(name, request, response, bytes)` answers true when it has dealt with the request. */
async function serveModel(t, fault = () => false) {
  const seen = [];
  const server = createServer((request, response) => {
    const name = new URL(request.url, 'http://x').pathname.split('/').pop();
    seen.push({ name, range: request.headers.range });
    let bytes;
    try {
      bytes = readFileSync(join(story, name));
    } catch {
      return response.writeHead(404).end('no');
    }
    if (fault(name, request, response, bytes, seen)) return undefined;
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (from > 0) response.writeHead(206, { 'Content-Length': bytes.length - from, 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    else response.writeHead(200, { 'Content-Length': bytes.length });
    return response.end(bytes.subarray(from));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.close(); server.closeAllConnections(); });
  return { url: `http://127.0.0.1:${server.address().port}/models/story`, seen };
}
const isShard = (name) => name.startsWith('shard-');
const code = (expected, says) => (error) => {
  assert.equal(error.code, expected, error.stack);
  if (says) assert.match(error.message, says);
  return true;
};

test('a package by URL is the package by path', async (t) => {
  const { url } = await serveModel(t);
  const progress = [];
  const model = await load(url, { onProgress: (p) => progress.push(p) });
  const local = await load(story);
  assert.equal(await model.digest(), await local.digest());
  assert.equal(model.fetchedBytes, model.info.bytes);
  assert.ok(progress.length > 0 && progress.at(-1).done === progress.at(-1).total);
  await model.close();
  await local.close();
});

test('a connection that breaks in mid-shard is taken up where it broke', async (t) => {
  let breaks = 0;
  const { url, seen } = await serveModel(t, (name, request, response, bytes) => {
    if (!isShard(name) || breaks >= 2) return false;
    breaks++;
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    response.writeHead(from ? 206 : 200, { 'Content-Length': bytes.length - from });
    response.write(bytes.subarray(from, from + 1000000), () => response.destroy());
    return true;
  });
  const model = await load(url);
  assert.equal(breaks, 2);
  assert.match(seen.filter((s) => isShard(s.name)).at(-1).range, /^bytes=[1-9]/);
  await model.close();
});

test('also by a server without ranges', async (t) => {
  let broke = false;
  const { url } = await serveModel(t, (name, request, response, bytes) => {
    if (!isShard(name)) return false;
    response.writeHead(200, { 'Content-Length': bytes.length });
    if (broke) response.end(bytes);
    else response.write(bytes.subarray(0, 700001), () => response.destroy());
    return broke = true;
  });
  await (await load(url)).close();
});

test('a connection that never recovers is one clear error', async (t) => {
  const { url } = await serveModel(t, (name, request, response, bytes) => {
    if (!isShard(name)) return false;
    if (request.headers.range) response.destroy();
    else {
      response.writeHead(200, { 'Content-Length': bytes.length });
      response.write(bytes.subarray(0, 5000), () => response.destroy());
    }
    return true;
  });
  await assert.rejects(load(url), code('PITH_E_NETWORK', /shard-00001/));
});

test('an overloaded server is asked again', async (t) => {
  let refused = 0;
  const { url } = await serveModel(t, (name, request, response) => (refused++ < 2 ? Boolean(response.writeHead(503).end()) || true : false));
  await (await load(url)).close();
});

/** @param {Buffer} bytes @param {number} at */
function altered(bytes, at) {
  const changed = Buffer.from(bytes);
  changed[at] ^= 4;
  return changed;
}

/** @type {[string, (name: string, response: any, bytes: Buffer) => boolean, string, RegExp][]} */
const faults = [
  ['404 for a shard', (name, r) => isShard(name) && (r.writeHead(404).end(), true), 'PITH_E_NOT_FOUND', /shard-00001.*404/s],
  ['403 for a shard', (name, r) => isShard(name) && (r.writeHead(403).end(), true), 'PITH_E_NETWORK', /403/],
  ['500 for a shard', (name, r) => isShard(name) && (r.writeHead(500).end(), true), 'PITH_E_NETWORK', /500/],
  ['a web page for a shard', (name, r) => isShard(name) && (r.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>'), true), 'PITH_E_FORMAT', /web page/],
  ['a web page for everything', (name, r) => (r.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>'), true), 'PITH_E_NOT_FOUND', /neither|web page/],
  ['a web page called JSON', (name, r) => (r.writeHead(200, { 'Content-Type': 'application/json' }).end('<!doctype html>'), true), 'PITH_E_FORMAT', /JSON/],
  ['404 for the tokenizer', (name, r) => name === 'tokenizer.json' && (r.writeHead(404).end(), true), 'PITH_E_NOT_FOUND', /tokenizer/],
  ['a short shard', (name, r, b) => isShard(name) && (r.writeHead(200, { 'Content-Length': 1000 }).end(b.subarray(0, 1000)), true), 'PITH_E_INTEGRITY', /shard-00001/],
  ['a short shard of unknown length', (name, r, b) => isShard(name) && (r.writeHead(200).end(b.subarray(0, 1000)), true), 'PITH_E_INTEGRITY', /1000/],
  ['a long shard', (name, r, b) => isShard(name) && (r.writeHead(200).end(Buffer.concat([b, b.subarray(0, 10)])), true), 'PITH_E_INTEGRITY', /more than/],
  ['a shard altered in its last piece', (name, r, b) => isShard(name) && (r.end(altered(b, b.length - 100)), true), 'PITH_E_INTEGRITY', /SHA-256 of its piece 7/],
  ['a shard altered in its second piece', (name, r, b) => isShard(name) && (r.end(altered(b, 600000)), true), 'PITH_E_INTEGRITY', /SHA-256 of its piece 2/],
  ['an altered tokenizer', (name, r, b) => name === 'tokenizer.json' && (r.end(altered(b, 1000)), true), 'PITH_E_INTEGRITY', /tokenizer\.json.*SHA-256/],
];
for (const [what, fault, expected, says] of faults) {
  for (const worker of [false, true]) {
    test(`${what}${worker ? ', in a worker' : ''}`, async (t) => {
      const { url } = await serveModel(t, (name, request, response, bytes) => fault(name, response, bytes));
      await assert.rejects(load(url, { worker }), code(expected, says));
    });
  }
}

test('where there is no crypto.subtle, the library hashes', async (t) => {
  const folder = temporaryFolder(t), file = 'shard-00001.safetensors';
  cpSync(story, folder, { recursive: true });
  const engine = new Engine(await prepareModule({}), new MountedFiles(machineFiles()), eventLoopTurn(), { suggested: 1, start: startThread }, null);
  const request = { verb: 'load', path: folder };
  assert.equal((await engine.run(request)).result.model, 1);
  writeFileSync(join(folder, file), altered(readFileSync(join(folder, file)), 600000));
  await assert.rejects(engine.run(request), code('PITH_E_INTEGRITY', /SHA-256 of its piece 2/));
});

test('no server at all', async () => {
  await assert.rejects(load('http://127.0.0.1:9/model'), code('PITH_E_NETWORK', /cannot be fetched/));
});

test('an abort ends a load that hangs', async (t) => {
  const { url } = await serveModel(t, (name, request, response, bytes) => {
    if (!isShard(name)) return false;
    response.writeHead(200, { 'Content-Length': bytes.length });
    response.write(bytes.subarray(0, 100000));
    return true;
  });
  for (const worker of [false, true]) {
    for (const fromCallback of [false, true]) {
      const control = new AbortController();
      const onProgress = ({ done }) => { if (fromCallback && done > 0) control.abort(); };
      const work = load(url, { worker, signal: control.signal, onProgress });
      if (!fromCallback) setTimeout(() => control.abort(), 150);
      await assert.rejects(work, code('PITH_E_CANCELLED'));
    }
  }
});
