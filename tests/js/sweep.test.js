// Sweeps and their reports, on small checkpoints made here: which jobs there are, what their results hold, going on, sharing, failing, and the page.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { diff, inspect, report, sweep } from '../../js/index.js';
import { paretoFront } from '../../js/report-page.js';
import { launchChromium, needsEngine } from './browsers.js';
import { data, native, needsData, root, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

const program = join(root, 'js/bin.js');
const pith = (args, options = {}) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', ...options });
const resultsOf = (folder) => readdirSync(folder).filter((name) => name.endsWith('.json')).sort().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
/** What has to be the same in two runs: all but times and where they were taken. */
const lasting = (folder) => resultsOf(folder).map(({ timing, machine, ...rest }) => rest);

const U4 = { name: 'four', matrices: { encoding: 'u4', group_size: 32 }, tables: { encoding: 'u8-row' }, attention: 'i16' };

/** An encoder with texts to measure on and to calibrate with, and a grid of three jobs that can be done and one that cannot. */
function workshop(t) {
  const folder = temporaryFolder(t), at = (name) => join(folder, name);
  writeTinyEncoder(at('encoder'));
  const words = ['the', 'cat', 'sat', 'on', 'a', 'mat', 'and', 'the', 'dog', 'ran'];
  writeFileSync(at('texts.txt'), Array.from({ length: 8 }, (_, i) => words.slice(i % 3, 4 + i % 7).join(' ')).join('\n'));
  writeFileSync(at('news.txt'), Array.from({ length: 80 }, (_, i) => words.map((_, k) => words[(i * k + i + (k > 4 ? Math.floor(i / 10) : 0)) % 10]).join(' ')).join('\n'));
  mkdirSync(at('recipes'));
  writeFileSync(at('recipes/grid.json'), JSON.stringify({ recipe: U4, vary: { 'matrices.encoding': ['u4', 'u7'], 'matrices.group_size': [32, 33] }, calibrate: [null] }));
  writeFileSync(at('recipes/four.json'), JSON.stringify(U4));
  writeFileSync(at('recipes/eight.json'), JSON.stringify({ ...U4, name: 'eight', matrices: { encoding: 'u7' } }));
  return { folder, at, options: { recipes: ['int8', at('recipes/four.json')], texts: at('texts.txt') } };
}

test('a grid: every combination a result; what a recipe refuses is recorded and the others go on', async (t) => {
  const { at, options } = workshop(t), heard = [];
  const summary = await sweep(at('encoder'), { ...options, recipes: at('recipes/grid.json'), output: at('out'), jobs: 2, onResult: ({ label }) => heard.push(label) });
  assert.deepEqual([summary.total, summary.done, summary.failed, summary.present], [4, 2, 2, 0]);
  assert.equal(heard.length, 4);
  const results = resultsOf(at('out')), done = results.filter(({ status }) => status === 'done'), failed = results.filter(({ status }) => status === 'failed');
  assert.equal(readdirSync(at('out')).length, 4, 'packages are taken away');
  for (const { settings, error, bytes } of failed) {
    assert.equal(settings['matrices.group_size'], 33);
    assert.equal(error.code, 'PITH_E_UNSUPPORTED');
    assert.match(error.message, /group_size/);
    assert.equal(bytes, undefined);
  }
  for (const { settings, recipe, quality, timing, machine, tensors, bytes } of done) {
    assert.equal(recipe.matrices.encoding, settings['matrices.encoding']);
    assert.equal(recipe.matrices.group_size, 32);
    assert.ok(quality.cosineMean > 0.5 && quality.cosineMean <= 1 && bytes > 0);
    assert.ok(timing.embedMs > 0 && timing.embedTimes > 0 && timing.turns >= 7 && timing.tokens > 1);
    assert.match(machine.module, /^pith-/);
    const matrices = tensors.filter(({ layer, shape }) => layer !== undefined && shape.length === 2);
    assert.ok(matrices.length > 0 && matrices.every(({ encoding, error }) => encoding === settings['matrices.encoding'] && error > 0 && error < 1));
  }
});

test('the command of a result makes the same package and figures', async (t) => {
  const { folder, at, options } = workshop(t);
  await sweep(at('encoder'), { ...options, recipes: [{ ...U4, name: 'it\'s "four"' }], calibrate: [at('news.txt')], output: at('out'), keep: true });
  const [{ id, command, quality, bytes, calibrate, label }] = resultsOf(at('out'));
  assert.equal(calibrate.texts, 80);
  assert.match(label, /calibrated on news\.txt/);
  const run = spawnSync('sh', ['-ec', command.replaceAll('npx pith', `'${process.execPath}' '${program}'`)], { cwd: folder, encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr);
  const [, output] = /compress \S+ -o (\S+)/.exec(command);
  assert.equal((await diff(at(output), join(at('out'), id))).error, 0);
  assert.equal((await inspect(at(output))).bytes, bytes);
  assert.equal(Number(/cosine_mean\s+(\S+)/g.exec(run.stdout.slice(run.stdout.lastIndexOf('texts')))[1]).toFixed(9), quality.cosineMean.toFixed(9));
});

test('shards are the whole; what is there is not done again, what failed is', async (t) => {
  const { at, options } = workshop(t), all = { ...options, recipes: ['int8', at('recipes/*.json'), 'fp16'] };
  const whole = await sweep(at('encoder'), { ...all, output: at('whole') });
  const one = await sweep(at('encoder'), { ...all, output: at('one'), shard: '1/2' }), two = await sweep(at('encoder'), { ...all, output: at('two'), shard: '2/2' });
  // eight, four, the grid's four of which two cannot be and one is four.json's; int8 and fp16
  assert.deepEqual([whole.total, one.total + two.total], [7, 7]);
  const names = (folder) => readdirSync(at(folder)).sort();
  assert.deepEqual([...names('one'), ...names('two')].sort(), names('whole'));
  assert.deepEqual([...lasting(at('one')), ...lasting(at('two'))].sort((a, b) => (a.id < b.id ? -1 : 1)), lasting(at('whole')));
  // An interrupted sweep: some results are not there.
  const before = lasting(at('whole')), lost = before.find(({ status }) => status === 'done').id, path = (id) => join(at('whole'), `${id}.json`);
  writeFileSync(path(lost), '');
  await assert.rejects(sweep(at('encoder'), { ...all, output: at('whole'), resume: true }), { code: 'PITH_E_FORMAT', message: new RegExp(lost) });
  (await import('node:fs')).rmSync(path(lost));
  const kept = before.find(({ id, status }) => status === 'done' && id !== lost).id, text = readFileSync(path(kept), 'utf8');
  const again = await sweep(at('encoder'), { ...all, output: at('whole'), resume: true });
  assert.deepEqual([again.done, again.failed, again.present], [1, 2, 4]);
  assert.equal(readFileSync(path(kept), 'utf8'), text);
  assert.deepEqual(lasting(at('whole')), before);
  // Reports of the parts and of the whole agree.
  await report([at('one'), at('two')], { output: at('parts.json') });
  const parts = JSON.parse(readFileSync(at('parts.json'), 'utf8'));
  assert.deepEqual(parts.results.map(({ id }) => id).sort(), before.map(({ id }) => id));
  await assert.rejects(sweep(at('encoder'), { ...all, output: at('whole') }), { code: 'PITH_E_EXISTS', message: /--resume/ });
  await assert.rejects(sweep(at('encoder'), { ...all, texts: at('news.txt'), output: at('whole'), resume: true }), { code: 'PITH_E_ARGUMENT', message: /not this sweep's/ });
});

test('wrong input is refused before anything is done', async (t) => {
  const { at, options } = workshop(t), bad = (name, value) => { writeFileSync(at(name), typeof value === 'string' ? value : JSON.stringify(value)); return at(name); };
  const refused = [
    [{ recipes: at('recipes/*.jsn') }, 'PITH_E_NOT_FOUND', /no file fits/], [{ recipes: at('*/four.json') }, 'PITH_E_ARGUMENT', /last part/],
    [{ recipes: at('none/*.json') }, 'PITH_E_NOT_FOUND', /none/], [{ recipes: at('none.json') }, 'PITH_E_NOT_FOUND', /none\.json/],
    [{ recipes: bad('a.json', '{') }, 'PITH_E_FORMAT', /not JSON/], [{ recipes: bad('b.json', { matrices: {} }) }, 'PITH_E_FORMAT', /"name"/],
    [{ recipes: bad('c.json', { recipe: U4, varies: {} }) }, 'PITH_E_FORMAT', /no "varies"/], [{ recipes: bad('d.json', { vary: { a: [1] } }) }, 'PITH_E_FORMAT', /"recipe"/],
    [{ recipes: bad('e.json', { recipe: U4, vary: { 'matrices.encoding': [] } }) }, 'PITH_E_FORMAT', /list of values/],
    [{ recipes: bad('f.json', { recipe: U4, vary: { 'name.x': [1] } }) }, 'PITH_E_FORMAT', /no object/],
    [{ recipes: bad('g.json', { recipe: 'int8', vary: { attention: ['f32'] } }) }, 'PITH_E_FORMAT', /is a name/],
    [{ recipes: bad('h.json', { recipe: U4, calibrate: ['nowhere.txt'] }) }, 'PITH_E_NOT_FOUND', /nowhere\.txt/],
    [{ recipes: bad('i.json', { recipe: U4, calibrate: [null] }), calibrate: [null] }, 'PITH_E_ARGUMENT', /one place/],
    [{ recipes: bad('j.json', { recipe: U4, vary: Object.fromEntries('abcdef'.split('').map((key) => [key, [1, 2, 3, 4, 5]])) }) }, 'PITH_E_LIMIT', /10000/],
    [{ texts: undefined }, 'PITH_E_ARGUMENT', /one of texts/], [{ perplexity: at('texts.txt') }, 'PITH_E_ARGUMENT', /one of texts/],
    [{ texts: undefined, perplexity: at('texts.txt') }, 'PITH_E_ARGUMENT', /models that generate/], [{ texts: at('no.txt') }, 'PITH_E_NOT_FOUND', /no\.txt/],
    [{ texts: bad('empty.txt', '') }, undefined, /empty/], [{ calibrate: [bad('empty.txt', '')] }, undefined, /empty/],
    [{ texts: undefined, similarity: at('texts.txt') }, undefined, /texts\.txt/],
    [{ shard: '3/2' }, 'PITH_E_ARGUMENT', /1\/n to n\/n/], [{ shard: '0/2' }, 'PITH_E_ARGUMENT', /1\/n/], [{ jobs: 0 }, 'PITH_E_ARGUMENT', /jobs/], [{ jobs: 1.5 }, 'PITH_E_ARGUMENT', /jobs/],
    [{ recipes: [] }, 'PITH_E_ARGUMENT', /wants recipes/], [{ recipe: 'int8' }, 'PITH_E_ARGUMENT', /no option "recipe"/], [{ columns: 'a,b,c' }, 'PITH_E_ARGUMENT', /columns/],
    [{ output: at('texts.txt') }, 'PITH_E_EXISTS', /is a file/], [{ column: 'x', texts: undefined, similarity: at('texts.txt') }, undefined, /./],
  ];
  for (const [changes, code, message] of refused) {
    await assert.rejects(sweep(at('encoder'), { ...options, output: at('out'), ...changes }), (error) => {
      if (code) assert.equal(error.code, code, `${JSON.stringify(changes)}: ${error.message}`);
      assert.match(error.message, message);
      assert.match(error.code ?? '', /^PITH_E_/);
      return true;
    }, JSON.stringify(changes));
    assert.ok(!existsSync(at('out')), JSON.stringify(changes));
  }
  await assert.rejects(sweep(at('nowhere'), { ...options, output: at('out') }), { code: 'PITH_E_NOT_FOUND' });
  await assert.rejects(sweep(join(root, 'models/story'), { ...options, output: at('out') }), { code: 'PITH_E_ARGUMENT', message: /already a package/ });
  await assert.rejects(sweep('https://localhost/m', { ...options, output: at('out') }), { code: 'PITH_E_ARGUMENT', message: /import/ });
});

test('the command line: lines as jobs end, an exit code that says whether all did, reports in each form', (t) => {
  const { at } = workshop(t);
  const args = ['sweep', at('encoder'), '--recipes', 'int8', '--recipes', at('recipes/grid.json'), '--texts', at('texts.txt'), '-o', at('out')];
  const run = pith(args);
  assert.equal(run.status, 1, run.stderr);
  assert.equal(run.stdout.trim().split('\n').length, 5);
  assert.match(run.stdout, /int8: 0\.\d\d MB, .*cosine_mean 0\.\d+/);
  assert.match(run.stdout, /four, encoding=u4, group_size=33: failed: .*\(PITH_E_UNSUPPORTED\)/);
  assert.match(run.stderr, /5 jobs: 3 done, 2 failed/);
  const again = pith([...args, '--resume', '--json', '--calibrate', 'none']); // as the grid says it too, one place is too many
  assert.deepEqual([again.status, /one place/.test(again.stderr)], [2, true], again.stderr);
  for (const form of ['html', 'json', 'csv', 'svg']) assert.equal(pith(['report', at('out'), '-o', at(`r.${form}`)]).status, 0);
  const csv = readFileSync(at('r.csv'), 'utf8').trim().split('\r\n');
  assert.equal(csv.length, 6);
  assert.match(csv[0], /^id,status,label,recipe,calibrate,bytes,bits,front,.*cosineMean.*embedMs/);
  assert.match(readFileSync(at('r.svg'), 'utf8'), /^<svg [\s\S]*int8[\s\S]*<\/svg>\n$/);
  assert.equal(JSON.parse(readFileSync(at('r.json'), 'utf8')).results.length, 5);
  for (const [words, status, says] of [[['report', at('out'), '-o', at('r.csv')], 11, /--force/], [['report', at('out'), '-o', at('r.pdf')], 2, /\.html/],
    [['report', at('nothing'), '-o', at('x.csv')], 3, /nothing/], [['report', at('recipes'), '-o', at('x.csv')], 3, /no results/], [['report', at('out')], 2, /-o/], [['sweep', at('encoder')], 2, /-o/],
    [['sweep', at('encoder'), '-o', at('new')], 2, /recipes/]]) {
    const wrong = pith(words);
    assert.equal(wrong.status, status, `${words}: ${wrong.stderr}`);
    assert.match(wrong.stderr, says);
  }
  const says = spawnSync(native, ['sweep', at('encoder'), '--recipes', 'int8', '-o', at('new')], { encoding: 'utf8' });
  assert.deepEqual([says.status, /npx pith sweep/.test(says.stderr)], [8, true]);
});

test('an interrupt leaves whole results and nothing else', async (t) => {
  const { at } = workshop(t);
  writeTinyEncoder(at('large'), { hidden: 256, layers: 4 });
  const child = spawn(process.execPath, [program, 'sweep', at('large'), '--recipes', 'int8', '--recipes', 'fp16', '--recipes', 'int4', '--calibrate', 'none', '--calibrate', at('news.txt'),
    '--texts', at('texts.txt'), '-o', at('out')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => { errors += chunk; });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGINT');
  assert.equal(await new Promise((resolve) => child.on('exit', resolve)), 130, errors);
  assert.match(errors, /cancelled; with --resume .* of 6 results/);
  const names = readdirSync(at('out'));
  assert.ok(names.length >= 1 && names.length < 6 && names.every((name) => /^[0-9a-f]{16}\.json$/.test(name)), names.join(' '));
  assert.ok(resultsOf(at('out')).every(({ status }) => status === 'done'));
});

test('a decoder is timed by its prompt and its tokens', async (t) => {
  const { at } = workshop(t);
  writeTinyCheckpoint(at('decoder'));
  await sweep(at('decoder'), { recipes: ['int8', 'int4'], perplexity: at('news.txt'), output: at('out') });
  for (const { quality, timing } of resultsOf(at('out'))) {
    assert.ok(quality.perplexity > 1 && quality.klMean >= 0);
    assert.ok(timing.promptMs > 0 && timing.decodeMs > 0 && timing.decodeTimes > 0);
  }
  await assert.rejects(report([at('out')], { output: at('r.html'), colour: 'red' }), { code: 'PITH_E_ARGUMENT' });
  await sweep(at('encoder'), { recipes: ['int8'], texts: at('texts.txt'), output: at('other') });
  await assert.rejects(report([at('out'), at('other')], { output: at('r.html') }), { code: 'PITH_E_FORMAT', message: /two models/ });
});

test('the front is what no other point beats', () => {
  const point = (a, b) => ({ values: { a, b } }), x = { key: 'a', better: -1 }, y = { key: 'b', better: 1 };
  const points = [point(3, 5), point(1, 1), point(2, 5), point(4, 9), point(2, 4), point(5, 9), point(1, NaN)];
  assert.deepEqual(paretoFront(points, x, y).map(({ values: { a, b } }) => [a, b]), [[1, 1], [2, 5], [4, 9]]);
  assert.deepEqual(paretoFront(points, { ...x, better: 1 }, y).map(({ values: { a } }) => a), [5]);
});

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

test('the page: alone, accessible, in both colours and narrow; a chosen point shows its command', { skip: needsEngine('chromium') || needsData }, async (t) => {
  const folder = temporaryFolder(t), at = (name) => join(folder, name);
  const stories = readFileSync(join(data, 'eval/tinystories/tinystories_val_head.txt'), 'utf8').slice(0, 9000);
  writeFileSync(at('stories.txt'), stories);
  await sweep(join(data, 'models/story'), { recipes: ['int8', 'int4', 'fp16', { ...U4, name: '<b>pruned</b> </script>', prune: { neurons: 0.5, importance: 'magnitude' } }, { ...U4, name: 'no', tables: 3 }],
    perplexity: at('stories.txt'), output: at('out'), jobs: 2 });
  const { front, files } = await report(at('out'), { output: at('r.html'), svg: at('pictures') });
  assert.ok(front.length >= 2, front.join());
  assert.ok(files.length >= 4 && files.every((file) => existsSync(file)));
  const html = readFileSync(at('r.html'), 'utf8');
  assert.ok(!/(src|href)="(?!data:)/.test(html), 'nothing is fetched');
  const browser = await launchChromium(t);
  for (const [name, options] of [['light', { viewport: { width: 1200, height: 900 } }], ['dark', { viewport: { width: 1200, height: 900 }, colorScheme: 'dark' }], ['narrow', { viewport: { width: 400, height: 800 } }]]) {
    const context = await browser.newContext(options), page = await context.newPage(), complaints = [], asked = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => { if (message.type() === 'error') complaints.push(message.text()); });
    page.on('request', (request) => asked.push(request.url()));
    await page.goto(pathToFileURL(at('r.html')).href);
    await page.waitForSelector('#errors canvas');
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(', ')}`), [], name);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name}: the page is wider than the window`);
    assert.equal(await page.locator('tbody tr[data-point]').count(), 4);
    await page.locator('button[data-point]', { hasText: '<b>pruned</b>' }).click();
    assert.match(await page.locator('#command').innerText(), /--recipe b-pruned-b-script\.json/);
    assert.match(await page.locator('#recipe').evaluate((node) => node.textContent), /"neurons": 0\.5/);
    await page.locator('#copy').click();
    await page.locator('#copied', { hasText: 'Copied.' }).waitFor();
    await page.selectOption('#x', 'promptMs');
    await page.selectOption('#y', 'perplexity');
    assert.match(await page.locator('#front').getAttribute('aria-label'), /^perplexity against ms a prompt; on the front: ./);
    // The canvases hold more than one colour: something was drawn.
    for (const id of ['front', 'bits', 'gone', 'errors'])
      assert.ok(await page.locator(`#${id} canvas`).evaluate((canvas) => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size > 3), `${name}: ${id}`);
    assert.deepEqual(complaints, [], name);
    assert.equal(asked.length, 1, asked.join());
    if (process.env.PITH_SCREENSHOTS) await page.screenshot({ path: join(process.env.PITH_SCREENSHOTS, `report-${name}.png`), fullPage: true });
    await context.close();
  }
});
