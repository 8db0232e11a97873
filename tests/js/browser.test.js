// The playground in Chromium, under its policy and without COOP or COEP: what a visitor does, and what is on the screen. (Every engine:
// engines.test.js.)
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { load } from '../../js/index.js';
import { launchChromium, needsEngine } from './browsers.js';
import { data, needsData, root, servePlayground, story, temporaryFolder } from './support.js';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const needsChromium = needsEngine('chromium');
const text = (page, selector) => page.locator(selector).innerText();

async function openPage(t, options = {}) {
  const url = await servePlayground(t);
  const browser = await launchChromium(t);
  const page = await browser.newPage({ viewport: { width: 1100, height: 1000 }, ...options });
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
  return { url, browser, page, complaints };
}

/** axe-core is put in by the debugger, which the page's policy does not bind. */
async function accessibility(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(', ')}`);
}

test('writes, compares, stops', { skip: needsChromium }, async (t) => {
  const { url, page, complaints } = await openPage(t);
  const response = await page.goto(url);
  const headers = response.headers();
  assert.match(headers['content-security-policy'], /script-src 'self' 'wasm-unsafe-eval';/);
  assert.equal(headers['cross-origin-opener-policy'], undefined);
  assert.equal(headers['cross-origin-embedder-policy'], undefined);
  assert.equal(await page.evaluate(() => crossOriginIsolated), false);
  await page.waitForSelector('#run:enabled');
  await page.locator('#large-facts', { hasText: 'fp16' }).waitFor();
  await page.fill('#prompt', 'Once upon a time');
  await page.click('#run');
  await page.locator('#state', { hasText: 'Done.' }).waitFor();
  const small = await text(page, '#small-text'), large = await text(page, '#large-text'), facts = await text(page, '#small-facts');
  assert.ok(small.startsWith('Once upon a time') && small.length > 200, small);
  assert.ok(large.startsWith('Once upon a time') && large.length > 200, large);
  for (const fact of [/3\.63 MB/, /relaxed-(dot|pairs)/, /KL \d/, /tokens a second/, /Load time\s+\d+ ms/]) assert.match(facts, fact);
  assert.match(await text(page, '#difference'), /same/);
  // What the page wrote is what Node.js writes.
  const model = await load(story);
  const expected = await model.generate('Once upon a time', { maxTokens: 120, temperature: 0.8, topK: 0, topP: 0.95, minP: 0, repetitionPenalty: 1.1, seed: 1 }).result;
  await model.close();
  assert.equal((await page.locator('#small-text').textContent()), `Once upon a time${expected.text}`);
  await page.fill('#maxTokens', '500');
  await page.click('#run');
  await page.click('#stop');
  await page.locator('#state', { hasText: 'Stopped.' }).waitFor({ timeout: 2000 });
  await page.fill('#temperature', '9');
  await page.click('#run');
  assert.equal(await page.evaluate(() => document.getElementById('temperature').checkValidity()), false);
  assert.equal(await text(page, '#state'), 'Stopped.');
  assert.deepEqual(await accessibility(page), []);
  assert.deepEqual(complaints, []);
});

test('narrow, dark, by keyboard', { skip: needsChromium }, async (t) => {
  const { url, page } = await openPage(t, { viewport: { width: 340, height: 700 }, colorScheme: 'dark' });
  await page.goto(url);
  await page.waitForSelector('#run:enabled');
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'the page scrolls sideways');
  await page.focus('#prompt');
  await page.keyboard.press('Control+Enter');
  await page.locator('#state', { hasText: 'Done.' }).waitFor();
  assert.deepEqual(await accessibility(page), []);
});

test('a checkpoint is compressed in the page, compared and downloaded', { skip: needsChromium || needsData }, async (t) => {
  const { url, page, complaints } = await openPage(t);
  await page.goto(url);
  await page.locator('#large-facts', { hasText: 'fp16' }).waitFor();
  await page.setInputFiles('#folder', join(data, 'models/story'));
  await page.click('#compress');
  await page.locator('#compress-state', { hasText: /^Compressed\.$/ }).waitFor();
  assert.match(await text(page, '#result'), /3\.63 MB/);
  const download = page.waitForEvent('download');
  await page.click('#download');
  const zip = join(temporaryFolder(t), 'package.zip');
  await (await download).saveAs(zip);
  const bytes = readFileSync(zip);
  assert.ok(bytes.includes(readFileSync(join(story, 'shard-00001.safetensors'))), 'the downloaded shard is the committed one');
  assert.ok(bytes.includes(readFileSync(join(story, 'pith.json'))), 'so is the manifest');
  await page.click('#run');
  await page.locator('#state', { hasText: 'Done.' }).waitFor();
  assert.match(await text(page, '#large-facts'), /as it was/);
  assert.deepEqual(complaints, []);
});

test('a budget is planned in the page, chosen on the slider and kept', { skip: needsChromium || needsData }, async (t) => {
  const { url, page, complaints } = await openPage(t);
  await page.goto(url);
  await page.locator('#large-facts', { hasText: 'fp16' }).waitFor();
  assert.ok(await page.locator('#budget').isHidden() && await page.locator('#recipe option[value=planned]').isDisabled());
  await page.setInputFiles('#folder', join(data, 'models/story'));
  await page.click('#plan');
  await page.locator('#compress-state', { hasText: 'Planned' }).waitFor({ timeout: 120000 });
  const predicted = async () => /[\d.]+ MB, loss/.exec(await text(page, '#predicted'))[0], before = await predicted();
  await page.locator('#bytes').fill('10');
  await page.waitForFunction((was) => !document.querySelector('#predicted').textContent.includes(was), before);
  assert.ok(parseFloat(await predicted()) < parseFloat(before));
  assert.ok(await page.locator('#plan-table tbody tr').count() > 2);
  assert.deepEqual(await accessibility(page), []);
  await page.click('#compress');
  await page.locator('#compress-state', { hasText: /^Compressed\.$/ }).waitFor({ timeout: 120000 });
  const made = Number(/planned, ([\d.]+) MB/.exec(await text(page, '#result'))[1]), most = Number(/([\d.]+) MB/.exec(await text(page, '#bytes-text'))[1]);
  assert.ok(made <= most && made > 0.97 * most, `${made} of ${most} MB`);
  await page.setInputFiles('#folder', join(data, 'models/TinyStories-656K'));
  assert.ok(await page.locator('#budget').isHidden(), 'a plan belongs to one model');
  assert.deepEqual(complaints, []);
});

test('an embedding model is compressed in the page; cancel; nonsense', { skip: needsChromium || needsData }, async (t) => {
  const { url, page } = await openPage(t);
  await page.goto(url);
  await page.locator('#large-facts', { hasText: 'fp16' }).waitFor();
  const nonsense = temporaryFolder(t);
  writeFileSync(join(nonsense, 'config.json'), '{"architectures":["MambaForCausalLM"],"model_type":"mamba"}');
  await page.setInputFiles('#folder', nonsense);
  await page.click('#compress');
  await page.locator('#problem', { hasText: 'PITH_E_UNSUPPORTED' }).waitFor();
  assert.match(await text(page, '#problem'), /BertModel|Bert.*Llama/);
  await page.setInputFiles('#folder', join(data, 'models/all-MiniLM-L6-v2'));
  await page.click('#compress');
  await page.locator('#compress-state', { hasText: 'Quantising' }).waitFor();
  const begin = Date.now();
  await page.click('#cancel');
  await page.locator('#compress-state', { hasText: 'Cancelled' }).waitFor();
  assert.ok(Date.now() - begin < 5000);
  await page.click('#compress');
  await page.locator('#compare').waitFor({ timeout: 120000 });
  await page.click('#compare button');
  const similarity = await page.locator('#similarity', { hasText: 'Similarity' }).innerText();
  const [a, b] = similarity.match(/0\.\d+/g).map(Number);
  assert.ok(Math.abs(a - b) < 0.02 && a > 0.4, similarity);
});

test('the package keeps its name; cancelled while it loads to compare; a file dropped beside the field', { skip: needsChromium || needsData }, async (t) => {
  const { url, page, complaints } = await openPage(t);
  await page.goto(url);
  await page.locator('#large-facts', { hasText: 'fp16' }).waitFor();
  const saved = async () => {
    const download = page.waitForEvent('download');
    await page.click('#download');
    return (await download).suggestedFilename();
  };
  await page.setInputFiles('#folder', join(data, 'models/story'));
  await page.evaluate(() => { // at the moment that loading begins
    const cancel = () => document.getElementById('compress-state').textContent.includes('Loading both') && document.getElementById('cancel').click();
    new MutationObserver(cancel).observe(document.getElementById('compress-state'), { childList: true });
  });
  await page.click('#compress');
  await page.locator('#compress-state', { hasText: 'comparison was cancelled' }).waitFor();
  await page.locator('#large-facts', { hasText: 'story, fp16' }).waitFor(); // the page's own models are back
  await page.selectOption('#recipe', 'fp16');
  assert.equal(await saved(), 'story-int8.zip');
  const other = join(temporaryFolder(t), 'another');
  mkdirSync(other);
  writeFileSync(join(other, 'config.json'), '{}');
  await page.setInputFiles('#folder', other);
  assert.match(await text(page, '#chosen'), /another/);
  assert.equal(await saved(), 'story-int8.zip');
  assert.match(await text(page, '#result'), /story-int8, 3\.63 MB/);
  await page.click('#run');
  await page.locator('#state', { hasText: 'Done.' }).waitFor();
  const kept = await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['x'], 'model.gguf'));
    return ['dragover', 'drop'].map((type) => !document.body.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer })));
  });
  assert.deepEqual(kept, [true, true]);
  assert.deepEqual(complaints, []);
});

test('a hundred models opened and closed, and one digest everywhere', { skip: needsChromium }, async (t) => {
  const { url, page } = await openPage(t);
  await page.goto(url);
  await page.waitForSelector('#run:enabled');
  const seen = await page.evaluate(async () => {
    const { load } = await import('/pith/js/index.js');
    const digests = new Set();
    for (const options of [{ worker: true }, { worker: false }, ...['scalar', 'simd128', 'relaxed-dot', 'relaxed-pairs'].map((kernels) => ({ kernels }))]) {
      const model = await load('/models/story/', options);
      digests.add(await model.digest());
      await model.close();
    }
    for (let i = 0; i < 100; i++) {
      const model = await load('/models/story/', {});
      if (i % 25 === 0) digests.add(await model.digest());
      await model.close();
    }
    return [...digests];
  });
  const native = JSON.parse(execFileSync(join(root, 'build/pith'), ['digest', story, '--json'], { encoding: 'utf8' })).digest;
  assert.deepEqual(seen, [native]);
});
