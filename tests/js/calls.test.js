// Wrong values, callbacks that throw, aborts and closes: each ends its own call, with a stable error, and leaves the model usable.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { compress, evaluate, load } from '../../js/index.js';
import { story, temporaryFolder } from './support.js';
import { writeTinyCheckpoint } from './tiny.js';

const code = (expected, says) => (error) => {
  assert.equal(error.code, expected, error.message);
  if (says) assert.match(error.message, says);
  return true;
};

function checkpoint(t) {
  const folder = join(temporaryFolder(t), 'checkpoint');
  writeTinyCheckpoint(folder);
  return folder;
}

for (const worker of [false, true]) {
  const where = worker ? 'in a worker' : 'in this thread';

  test(`values that JSON cannot say are refused by the option's name ${where}`, async (t) => {
    const model = await load(story, { worker }), source = checkpoint(t);
    t.after(() => model.close());
    const circular = {};
    circular.itself = circular;
    for (const wrong of [{ seed: 10n }, { seed: NaN }, { maxTokens: NaN }, { temperature: NaN }, { temperature: Infinity }, { minP: -Infinity }, { topK: () => 3 }, { topP: Symbol('p') }])
      await assert.rejects(model.generate('x', wrong).result, code('PITH_E_ARGUMENT', worker ? /./ : new RegExp(Object.keys(wrong)[0])));
    await assert.rejects(model.tokenizer.decode([1, NaN]), code('PITH_E_ARGUMENT', /"ids"/));
    await assert.rejects(compress(source, { worker, shardSize: NaN }), code('PITH_E_ARGUMENT', /"shardSize"/));
    await assert.rejects(compress(source, { worker, recipe: circular }), code('PITH_E_ARGUMENT', /"recipe"/));
    await assert.rejects(compress(source, { worker, texts: ['a\0'] }), code('PITH_E_ARGUMENT', /"texts" holds a NUL/));
    await assert.rejects(model.digest({ texts: ['x'] }), code('PITH_E_ARGUMENT', /no option "texts"/));
    assert.throws(() => model.generate('x', { onProgress: 5 }), code('PITH_E_ARGUMENT', /onProgress/));
    assert.equal((await model.generate('Once', { maxTokens: 3 }).result).ids.length, 3);
  });

  test(`a lone surrogate is U+FFFD everywhere ${where}`, async (t) => {
    const model = await load(story, { worker }), source = checkpoint(t);
    t.after(() => model.close());
    const options = { maxTokens: 4, stop: '\udc00' };
    assert.deepEqual((await model.generate('Once \ud800 upon', options).result).ids, (await model.generate('Once \ufffd upon', options).result).ids);
    assert.deepEqual(await model.tokenizer.encode('\ud83d'), await model.tokenizer.encode('\ufffd'));
    assert.deepEqual((await compress(source, { worker, texts: ['a \ud800 b c'] })).quality, (await compress(source, { worker, texts: ['a \ufffd b c'] })).quality);
    assert.deepEqual(await evaluate(story, { worker, perplexity: 'Once \ud800 upon' }), await evaluate(story, { worker, perplexity: 'Once \ufffd upon' }));
  });

  test(`what a callback throws rejects that call, and nothing else ends ${where}`, async (t) => {
    const model = await load(story, { worker }), source = checkpoint(t), output = join(temporaryFolder(t), 'package');
    t.after(() => model.close());
    const mine = new RangeError('mine'), onProgress = () => { throw mine; };
    const isMine = (error) => error === mine;
    await assert.rejects(model.generate('Once', { maxTokens: 5, onProgress }).result, isMine);
    await assert.rejects(model.digest({ onProgress }), isMine);
    await assert.rejects(load(story, { worker, onProgress }), isMine);
    await assert.rejects(compress(source, { worker, output, onProgress }), isMine);
    assert.ok(!existsSync(`${output}.partial`), 'nothing half-written stays');
    assert.equal((await model.generate('Once', { maxTokens: 3 }).result).ids.length, 3);
  });
}

for (const worker of [false, true]) {
  test(`a call that waits behind another is gone at its abort ${worker ? 'in a worker' : 'in this thread'}`, async (t) => {
    const model = await load(story, { worker });
    t.after(() => model.close());
    const control = new AbortController();
    let ended = false, begin = () => {};
    const begun = new Promise((resolve) => { begin = () => resolve(undefined); });
    const long = model.generate('Once upon a time', { maxTokens: 450, temperature: 1, seed: 3, repetitionPenalty: 1.5, onProgress: begin });
    const ending = long.result.then((result) => { ended = true; return result; });
    const queued = model.generate('Hello', { maxTokens: 5, signal: control.signal }), last = model.generate('Hello', { maxTokens: 5 });
    await begun;
    control.abort();
    await assert.rejects(queued.result, code('PITH_E_CANCELLED'));
    assert.equal(ended, false, 'the call before it had to end first');
    assert.ok((await ending).ids.length > 5);
    assert.equal((await last.result).ids.length, 5);
  });
}

test('what is no source is refused with a stable code', async () => {
  for (const wrong of [new Map([['config.json', '{}']]), new Map([[7, new Blob(['x'])]]), 'http://[bad', 'https://', 'file://elsewhere/model', [new Uint8Array(3)], 7])
    await assert.rejects(load(wrong), code('PITH_E_ARGUMENT'), String(wrong));
});

for (const worker of [false, true]) {
  test(`errors name files as the caller knows them ${worker ? 'from a worker' : 'from this thread'}`, async (t) => {
    const says = (expected) => (error) => {
      assert.match(error.message, expected);
      assert.doesNotMatch(`${error.message}${error.stack}`, /mount:/);
      return ['PITH_E_FORMAT', 'PITH_E_NOT_FOUND'].includes(error.code);
    };
    const server = createServer((request, response) => response.end('{"format": "other"}'));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => { server.close(); server.closeAllConnections(); });
    const other = `http://127.0.0.1:${server.address().port}/there`;
    await assert.rejects(load(other, { worker }), says(new RegExp(`${other}/pith\\.json`)));
    await assert.rejects(load(new Map([['any/pith.json', new Blob(['{"format": "other"}'])]]), { worker }), says(/^pith\.json/));
    await assert.rejects(load(new Map([['config.json', new Blob(['{}'])]]), { worker }), says(/./));
  });
}

for (const worker of [false, true]) {
  test(`closing in mid-work cancels every call, and no rejection is left over ${worker ? 'in a worker' : 'in this thread'}`, async () => {
    for (const wait of [0, 5, 40, 120]) { // node:test fails at a rejection that nobody handles
      const model = await load(story, { worker });
      const calls = [model.generate('Once', { maxTokens: 480, temperature: 1, repetitionPenalty: 1.5 }).result, model.digest(), model.tokenizer.encode('x')];
      model.generate('nobody looks at this', { maxTokens: 3 });
      const outcomes = Promise.allSettled(calls);
      await new Promise((resolve) => setTimeout(resolve, wait));
      await model.close();
      await model.close();
      for (const { status, reason } of (await outcomes).slice(1)) assert.deepEqual([status, reason.code], ['rejected', 'PITH_E_CANCELLED']);
      await assert.rejects(model.digest(), code('PITH_E_CANCELLED', /closed/));
    }
  });
}
