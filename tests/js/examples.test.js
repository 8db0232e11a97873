// Every example runs; the service is spoken to by the official client.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { get } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import OpenAI from 'openai';
import { createService } from '../../examples/service/server.js';
import { launchChromium, needsEngine } from './browsers.js';
import { data, native, needsData, root, run, servePlayground, story, temporaryFolder } from './support.js';

const here = { cwd: root };

/** MiniLM's package, made once. */
let minilm;
function minilmPackage(t) {
  if (!minilm) {
    minilm = join(temporaryFolder({ after: (f) => process.on('exit', f) }), 'minilm');
    run(native, ['compress', join(data, 'models/all-MiniLM-L6-v2'), '-o', minilm]);
  }
  return minilm;
}

async function startService(t, packages, options) {
  const service = await createService(packages, options);
  await new Promise((resolve) => service.server.listen(0, '127.0.0.1', resolve));
  t.after(() => service.close());
  const baseURL = `http://127.0.0.1:${service.server.address().port}/v1`;
  return { baseURL, client: new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 }) };
}

test('node: generate', () => {
  const text = run(process.execPath, ['examples/node/generate.js'], here);
  assert.ok(text.startsWith('Once upon a time') && text.length > 100);
});

test('node: search', { skip: needsData }, (t) => {
  const lines = run(process.execPath, ['examples/node/search.js', minilmPackage(t), 'a cat', 'the stock market fell', 'a small feline', 'bridges of steel'], here);
  assert.match(lines.split('\n')[0], /feline/);
});

test('page', { skip: needsEngine('chromium') }, async (t) => {
  const url = await servePlayground(t);
  const page = await (await launchChromium(t)).newPage();
  await page.goto(`${url}examples/page/`);
  await page.click('#generate button');
  await page.waitForFunction(() => document.getElementById('text').textContent.length > 150);
  await page.fill('#address', '/models/story/');
  await page.click('#embed button');
  await page.locator('#problem', { hasText: 'PITH_E_UNSUPPORTED' }).waitFor();
});

test('service: models and completions by the official client', async (t) => {
  const { client } = await startService(t, { story });
  assert.deepEqual((await client.models.list()).data.map((m) => m.id), ['story']);
  assert.equal((await client.models.retrieve('story')).object, 'model');
  const request = { model: 'story', prompt: 'Once upon a time', max_tokens: 24, temperature: 0.7, seed: 3 };
  const whole = await client.completions.create(request);
  assert.equal(whole.usage.completion_tokens, 24);
  assert.equal(whole.choices[0].finish_reason, 'length');
  let streamed = '', reason = null, usage = null;
  for await (const part of await client.completions.create({ ...request, stream: true, stream_options: { include_usage: true } })) {
    streamed += part.choices[0]?.text ?? '';
    reason = part.choices[0]?.finish_reason ?? reason;
    usage = part.usage ?? usage;
  }
  assert.equal(streamed, whole.choices[0].text);
  assert.equal(reason, 'length');
  assert.deepEqual(usage, whole.usage);
  const two = await client.completions.create({ ...request, prompt: ['Once upon a time', 'The'] });
  assert.equal(two.choices.length, 2);
  assert.equal(two.choices[0].text, whole.choices[0].text);
});

test('service: refusals are the client\'s own error classes', async (t) => {
  const { client, baseURL } = await startService(t, { story });
  const request = { model: 'story', prompt: 'x' };
  const refused = (work, type, says) => assert.rejects(work, (error) => error instanceof type && says.test(error.message));
  await refused(client.completions.create({ ...request, model: 'gpt' }), OpenAI.NotFoundError, /story/);
  await refused(client.completions.create({ ...request, n: 3 }), OpenAI.BadRequestError, /"n"/);
  await refused(client.completions.create({ ...request, temperature: -1 }), OpenAI.BadRequestError, /temperature/);
  await refused(client.completions.create({ ...request, prompt: [1, 2] }), OpenAI.BadRequestError, /prompt/);
  await refused(client.completions.create({ ...request, prompt: 'word '.repeat(2000) }), OpenAI.BadRequestError, /./);
  await refused(client.embeddings.create({ model: 'story', input: 'x' }), OpenAI.BadRequestError, /embed/);
  assert.equal((await fetch(`${baseURL}/completions`, { method: 'POST', body: 'nonsense' })).status, 400);
  assert.equal((await fetch(`${baseURL}/completions`, { method: 'POST', body: 'x'.repeat(2 << 20) })).status, 413);
  assert.equal((await fetch(`${baseURL}/completions`)).status, 405);
  assert.equal((await fetch(`${baseURL}/chat/completions`, { method: 'POST' })).status, 404);
  await refused(client.completions.create({ ...request, stop: '' }), OpenAI.BadRequestError, /"stop"/);
  await refused(client.completions.create({ ...request, stop: ['a', ''] }), OpenAI.BadRequestError, /"stop"/);
  assert.equal((await client.completions.create({ ...request, prompt: 'a \ud800', max_tokens: 2, stop: null })).usage.completion_tokens, 2);
  assert.equal((await fetch(`${baseURL}/models/%zz`)).status, 400);
  assert.equal((await fetch(`${baseURL}/models/sto%72y`)).status, 200);
  const { port } = new URL(baseURL); // fetch would tidy this path up
  assert.equal(await new Promise((resolve, reject) => get({ host: '127.0.0.1', port, path: '//' }, (answer) => { answer.resume(); resolve(answer.statusCode); }).on('error', reject)), 404);
});

test('service: what cannot be started is one line', () => {
  const started = (...args) => spawnSync(process.execPath, ['examples/service/server.js', ...args], { ...here, encoding: 'utf8', timeout: 20000 });
  for (const [args, says] of [[['--port', 'abc'], /--port/], [['--port', '70000'], /--port/], [['--queue', '-1'], /queue/], [['--colour'], /colour/], [['x=/no/where'], /\/no\/where/]]) {
    const { status, stderr, stdout } = started(...args);
    assert.deepEqual([status, stdout], [1, ''], stderr);
    assert.match(stderr, says);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
});

test('service: full, it says so; a client that leaves makes room', async (t) => {
  const { client, baseURL } = await startService(t, { story }, { queue: 2 });
  const leave = new AbortController();
  const long = { model: 'story', prompt: 'The', max_tokens: 480, temperature: 1.5 };
  const waiting = [1, 2].map(() => client.completions.create(long, { signal: leave.signal }));
  await new Promise((resolve) => setTimeout(resolve, 60));
  await assert.rejects(client.completions.create({ ...long, max_tokens: 1 }), (error) => error instanceof OpenAI.RateLimitError && error.headers.get('retry-after') === '1');
  const begin = performance.now();
  assert.equal((await fetch(`${baseURL}/models`)).status, 200); // the event loop is free
  assert.ok(performance.now() - begin < 1000);
  leave.abort();
  await Promise.allSettled(waiting);
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.equal((await client.completions.create({ ...long, max_tokens: 1 })).usage.completion_tokens, 1);
});

test('service: embeddings, as numbers and in base64', { skip: needsData }, async (t) => {
  const { client } = await startService(t, { minilm: minilmPackage(t) });
  const numbers = await client.embeddings.create({ model: 'minilm', input: ['a cat', ''], encoding_format: 'float' });
  const coded = await client.embeddings.create({ model: 'minilm', input: ['a cat', ''] });
  assert.equal(numbers.data.length, 2);
  assert.equal(numbers.data[0].embedding.length, 384);
  assert.deepEqual(coded.data[0].embedding.map(Math.fround), numbers.data[0].embedding.map(Math.fround));
});
