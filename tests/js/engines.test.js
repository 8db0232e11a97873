// Chromium, Firefox and WebKit: the playground under its policy, models in their workers again and again, aborts, a page of another origin.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compress, load } from '../../js/index.js';
import { engines, needsEngine, open } from './browsers.js';
import { native, root, run, servePlayground, story, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

const folder = temporaryFolder({ after: (end) => after(end) });
const [decoder, encoder, busy] = ['decoder', 'encoder', 'busy'].map((name) => join(folder, name));
writeTinyCheckpoint(decoder);
writeTinyEncoder(join(folder, 'encoder-fp32'));
writeTinyEncoder(busy, { hidden: 384, layers: 6 }); // seconds of work
run(native, ['compress', join(folder, 'encoder-fp32'), '-o', encoder]);

// The page's first script: it keeps what goes wrong, since WebDriver cannot hear the console.
const watch = `globalThis.complaints = [];
addEventListener('error', (event) => complaints.push(event.message ?? (event.target.src || event.target.href) + ' was not loaded'), true);
addEventListener('unhandledrejection', (event) => complaints.push('unhandled: ' + event.reason));
addEventListener('securitypolicyviolation', (event) => complaints.push('policy: ' + event.violatedDirective + ' ' + event.blockedURI));
const says = console.error;
console.error = (...words) => { complaints.push(words.join(' ')); says.apply(console, words); };
globalThis.until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20)); };`;
const index = readFileSync(join(root, 'web/index.html'), 'utf8').replace('<head>', '<head><script src="/watch.js"></script>');
const texts = { '/watch.js': watch, '/watched.html': index, '/blank.html': '<!doctype html><title>Pith</title>' };
const serve = (t, headers) => servePlayground(t, { headers, texts, folders: { '/encoder/': encoder, '/busy/': busy, '/decoder/': decoder } });

/** What Node.js makes of it. */
async function expectedText(prompt, options) {
  const model = await load(story);
  const { text } = await model.generate(prompt, options).result;
  await model.close();
  return prompt + text;
}

/** The playground: writing, and compressing a folder. Chromium has more of it in browser.test.js. */
async function playground(page, url) {
  await page.goto(`${url}watched.html`);
  await page.evaluate(() => until(() => !document.getElementById('run').disabled && document.getElementById('large-facts').innerText.includes('fp16')));
  const pieces = await page.evaluate(async () => {
    const seen = [], text = document.getElementById('small-text');
    new MutationObserver(() => seen.push(text.textContent.length)).observe(text, { childList: true });
    document.getElementById('maxTokens').value = '40';
    document.getElementById('run').click();
    await until(() => document.getElementById('state').textContent === 'Done.');
    return seen;
  });
  assert.ok(pieces.length > 3, `text came in pieces that ended at ${pieces}`);
  assert.equal(await page.evaluate(() => document.getElementById('small-text').textContent),
    await expectedText('Once upon a time', { maxTokens: 40, temperature: 0.8, topP: 0.95, repetitionPenalty: 1.1, seed: 1 }));
  assert.match(await page.evaluate(() => document.getElementById('difference').textContent), /same/);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways');

  const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
  await page.evaluate(async (list) => {
    const files = new DataTransfer(), input = document.getElementById('folder');
    for (const name of list) files.items.add(new File([await (await fetch(`/decoder/${name}`)).blob()], name));
    input.files = files.files;
    input.dispatchEvent(new Event('change'));
    document.getElementById('compress').click();
    await until(() => /^(Compressed|Failed)\.$/.test(document.getElementById('compress-state').textContent));
    document.getElementById('prompt').value = 'a';
    document.getElementById('run').click();
    await until(() => /^(Done|Failed)\.$/.test(document.getElementById('state').textContent));
  }, names);
  const shown = (id) => page.evaluate((which) => document.getElementById(which).innerText, id);
  assert.equal(await shown('compress-state'), 'Compressed.');
  assert.match(await shown('result'), /0\.05 MB/);
  assert.equal(await shown('state'), 'Done.');
  assert.match(await shown('large-facts'), /as it was/);
  assert.equal(await page.evaluate(() => document.getElementById('problem').hidden), true);

  assert.deepEqual(await page.evaluate(() => complaints), []);
  // The policy holds, and had there been a complaint, it would have been heard.
  const heard = await page.evaluate(async () => {
    const script = document.createElement('script');
    script.textContent = 'globalThis.ranInline = true';
    document.head.append(script);
    console.error('said');
    setTimeout(() => { throw new Error('thrown'); }, 0);
    await until(() => complaints.length >= 3);
    return [...complaints, 'ranInline' in globalThis];
  });
  assert.match(heard.join('\n'), /policy: script-src/);
  assert.match(heard.join('\n'), /said[\s\S]*thrown/);
  assert.equal(heard.at(-1), false);
}

/** In the page: models opened and closed, each with work that is given up. */
async function lifecycle(times) {
  const Real = Worker;
  let started = 0, ended = 0;
  globalThis.Worker = class extends Real {
    constructor(...args) { super(...args); started++; }
    terminate() { super.terminate(); ended++; }
  };
  const { load } = await import('/pith/js/index.js');
  const embeddings = new Set(), written = new Set(), codes = new Set();
  const note = (error) => { codes.add(error.code); };
  for (let i = 0; i < times; i++) {
    const [encoder, story] = await Promise.all([load('/encoder/'), load('/models/story/')]);
    embeddings.add(JSON.stringify([...(await encoder.embed(['a cat', ''])).data]));
    const control = new AbortController();
    const generation = story.generate('Once upon a time', { maxTokens: 400, temperature: 1, signal: control.signal });
    try {
      for await (const piece of generation) if (piece) control.abort();
    } catch (error) {
      note(error);
    }
    written.add((await story.generate('Once upon a time', { maxTokens: 5 }).result).text);
    const left = story.generate('The', { maxTokens: 400 }).result.catch(note);
    await story.close();
    await left;
    await encoder.close();
  }
  globalThis.Worker = Real;
  return { started, ended, embeddings: [...embeddings], written: [...written], codes: [...codes] };
}

/** In the page: aborts while the worker is at work. Each says how it ended and after how many ms. */
async function aborts() {
  const { compress, load } = await import('/pith/js/index.js');
  const give = async (work) => {
    const control = new AbortController();
    let begin = 0;
    const onProgress = () => { // from the worker, so it is at work
      begin ||= performance.now();
      control.abort();
    };
    return work({ signal: control.signal, onProgress }).then(() => ({ code: 'finished' }), ({ code }) => ({ code, ms: performance.now() - begin }));
  };
  const model = await load('/busy/'), story = await load('/models/story/');
  const seen = {
    compress: await give((options) => compress('/busy/', options)),
    embed: await give((options) => model.embed(new Array(20000).fill('a text that is embedded with many others of its kind'), options)),
    generate: await give((options) => story.generate('The', { maxTokens: 500, temperature: 1, ...options }).result),
  };
  const rows = (await model.embed('a cat')).dims, { text } = await story.generate('Once upon a time', { maxTokens: 5 }).result;
  await model.close();
  await story.close();
  const { files } = await compress('/decoder/');
  const made = await Promise.all([...files].map(async ([name, blob]) => [name, [...new Uint8Array(await blob.arrayBuffer())]]));
  return { seen, rows, text, made };
}

/** A page without any of Pith's files, under a policy that the query gives. @returns {Promise<string>} its address */
async function servePage(t) {
  const server = createServer((request, response) => {
    const policy = new URL(request.url, 'http://localhost').searchParams.get('policy');
    response.writeHead(200, { 'Content-Type': 'text/html', ...(policy && { 'Content-Security-Policy': policy }) }).end('<!doctype html><title>elsewhere</title>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.close(); server.closeAllConnections(); });
  return `http://localhost:${server.address().port}/`;
}

/** In a page of another origin: the digest in a worker, or why there is none, and the digest without one. */
async function elsewhere(origin) {
  const { load } = await import(`${origin}/pith/js/index.js`);
  const attempt = async (options) => {
    const model = await load(`${origin}/models/story/`, options);
    const digest = await model.digest();
    await model.close();
    return digest;
  };
  return [await attempt({}).catch(({ code, message }) => ({ code, message })), await attempt({ worker: false })];
}

for (const engine of engines) {
  test(engine, { skip: needsEngine(engine) }, async (t) => {
    const page = await open(engine, t);
    const url = await serve(t);

    await t.test('the playground', () => playground(page, url));

    await t.test('load, embed, generate, abort, close, twenty times, in workers', async () => {
      await page.goto(`${url}blank.html`);
      const { started, ended, embeddings, written, codes } = await page.evaluate(lifecycle, 20);
      assert.deepEqual([started, ended], [40, 40]);
      const model = await load(encoder);
      assert.deepEqual(embeddings, [JSON.stringify([...(await model.embed(['a cat', ''])).data])]);
      await model.close();
      assert.deepEqual(written.map((text) => `Once upon a time${text}`), [await expectedText('Once upon a time', { maxTokens: 5 })]);
      assert.deepEqual(codes, ['PITH_E_CANCELLED']);
    });

    await t.test('an abort while the worker is at work, and the model stays usable', async (inner) => {
      const { seen, rows, text, made } = await page.evaluate(aborts);
      for (const [verb, { code, ms }] of Object.entries(seen)) {
        assert.equal(code, 'PITH_E_CANCELLED', `${verb}: ${JSON.stringify(seen[verb])}`);
        inner.diagnostic(`${verb}: cancelled after ${Math.round(ms)} ms`);
      }
      assert.deepEqual(rows, [1, 384]);
      assert.equal(`Once upon a time${text}`, await expectedText('Once upon a time', { maxTokens: 5 }));
      const { files } = await compress(decoder);
      assert.deepEqual(made.map(([name]) => name), [...files.keys()]);
      for (const [name, bytes] of made) assert.ok(Buffer.from(await files.get(name).arrayBuffer()).equals(Buffer.from(bytes)), `${name} differs from what Node.js makes`);
    });

    await t.test('a page of another origin', async () => {
      const away = await servePage(t), { origin } = new URL(await serve(t, { 'Access-Control-Allow-Origin': '*' }));
      const { digest } = JSON.parse(run(native, ['digest', story, '--json']));
      const common = `script-src 'wasm-unsafe-eval' ${origin}; connect-src ${origin}; `;
      for (const policy of ['', `${common}worker-src blob: ${origin}`]) {
        await page.goto(`${away}?policy=${encodeURIComponent(policy)}`);
        assert.deepEqual(await page.evaluate(elsewhere, origin), [digest, digest], policy);
      }
      await page.goto(`${away}?policy=${encodeURIComponent(`${common}worker-src 'self'`)}`);
      const [refused, inPage] = await page.evaluate(elsewhere, origin);
      assert.equal(refused.code, 'PITH_E_UNSUPPORTED');
      assert.match(refused.message, /worker-src blob:.*worker: false/);
      assert.equal(inPage, digest);
    });
  });
}
