// An HTTP service with OpenAI-compatible /v1/models, /v1/completions (streamed too) and /v1/embeddings.
//   node examples/service/server.js [--port 8000] [--queue 8] NAME=PACKAGE…
// Each model works in its own worker thread, so the event loop stays free. Beyond `queue` requests a model answers 429.
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { load, PithError } from 'pith';

const MAX_BODY = 1 << 20;

class HttpError extends Error {
  /** @param {number} status @param {string} message @param {string} [type] @param {string | null} [param] */
  constructor(status, message, type = 'invalid_request_error', param = null) {
    super(message);
    Object.assign(this, { status, type, param });
  }
}

async function readJson(request) {
  const chunks = [];
  let n = 0;
  for await (const chunk of request) {
    if ((n += chunk.length) <= MAX_BODY) chunks.push(chunk); // the rest is read, so that the answer is heard, and dropped
  }
  if (n > MAX_BODY) throw new HttpError(413, `the request has more than ${MAX_BODY} bytes`);
  try {
    const body = JSON.parse(Buffer.concat(chunks).toString());
    if (body && typeof body === 'object' && !Array.isArray(body)) return body;
  } catch { /* said below */ }
  throw new HttpError(400, 'the request is not a JSON object');
}

/** Parameters that Pith has no counterpart for are refused unless they ask for nothing. */
function checkParameters(body, known, neutral) {
  for (const [key, value] of Object.entries(body)) {
    if (known.includes(key) || value === null || (key in neutral && JSON.stringify(neutral[key]) === JSON.stringify(value))) continue;
    throw new HttpError(400, `"${key}" is not supported`, 'invalid_request_error', key);
  }
}

/** @param {unknown} value @param {string} name @returns {string[]} */
function textList(value, name) {
  const list = Array.isArray(value) ? value : [value];
  if (list.length === 0 || list.length > 256 || list.some((text) => typeof text !== 'string'))
    throw new HttpError(400, `"${name}" should be a string or up to 256 strings`, 'invalid_request_error', name);
  return list;
}

/** Up to four, as the interface says; an empty one would end every text at once. @param {unknown} value @returns {string[]} */
function stopTexts(value) {
  const list = Array.isArray(value) ? value : [value];
  if (list.length > 4 || list.some((text) => typeof text !== 'string' || text === ''))
    throw new HttpError(400, '"stop" should be a text that is not empty, or up to four', 'invalid_request_error', 'stop');
  return list;
}

/** The decoded path of a request. @param {string} url */
function pathOf(url) {
  try {
    return decodeURIComponent(url.split('?', 1)[0]);
  } catch {
    throw new HttpError(400, `${url} is no address: its escapes are wrong`);
  }
}

/**
 * @param {Record<string, string>} packages name → package
 * @param {{queue?: number}} [options] requests that a model holds at once before it answers 429
 */
export async function createService(packages, { queue = 8 } = {}) {
  /** @type {Map<string, {model: import('pith').Model, busy: number, created: number}>} */
  const models = new Map();
  for (const [name, source] of Object.entries(packages))
    models.set(name, { model: await load(source, { worker: true }), busy: 0, created: Math.floor(Date.now() / 1000) });
  let serial = 0;

  function find(name, task) {
    const entry = models.get(name);
    if (!entry) throw new HttpError(404, `there is no model "${name}"; there are ${[...models.keys()].join(', ')}`, 'invalid_request_error', 'model');
    if (entry.model.info.task !== task) throw new HttpError(400, `the model "${name}" cannot ${task}`, 'invalid_request_error', 'model');
    return entry;
  }

  /** Runs `work` if there is room; it is aborted when the client goes. */
  async function admitted(entry, response, work) {
    if (entry.busy >= queue) throw new HttpError(429, `the model has ${queue} requests already; try again`, 'rate_limit_error');
    entry.busy++;
    const control = new AbortController();
    const gone = () => control.abort();
    response.on('close', gone);
    try {
      return await work(control.signal);
    } finally {
      entry.busy--;
      response.off('close', gone);
    }
  }

  async function embeddings(body, response) {
    checkParameters(body, ['model', 'input', 'encoding_format', 'user'], {});
    const entry = find(body.model, 'embed'), input = textList(body.input, 'input'), format = body.encoding_format ?? 'float';
    if (format !== 'float' && format !== 'base64') throw new HttpError(400, '"encoding_format" should be "float" or "base64"', 'invalid_request_error', 'encoding_format');
    const { data, dims: [, d], tokens } = await admitted(entry, response, (signal) => entry.model.embed(input, { signal }));
    const used = tokens.reduce((a, b) => a + b, 0);
    return { object: 'list', model: body.model, usage: { prompt_tokens: used, total_tokens: used }, data: input.map((_, index) => {
      const row = data.subarray(index * d, (index + 1) * d);
      return { object: 'embedding', index, embedding: format === 'base64' ? Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString('base64') : [...row] };
    }) };
  }

  async function completions(body, response) {
    checkParameters(body, ['model', 'prompt', 'max_tokens', 'temperature', 'top_p', 'seed', 'stop', 'stream', 'stream_options', 'user'],
      { n: 1, best_of: 1, echo: false, frequency_penalty: 0, presence_penalty: 0, logit_bias: {} });
    const entry = find(body.model, 'generate'), prompts = textList(body.prompt, 'prompt');
    const options = { maxTokens: body.max_tokens ?? 16, temperature: body.temperature ?? 1, topP: body.top_p ?? 1,
      seed: body.seed ?? Math.floor(Math.random() * 2 ** 32), ...(body.stop === undefined || body.stop === null ? {} : { stop: stopTexts(body.stop) }) };
    const head = { id: `cmpl-${Date.now().toString(36)}-${++serial}`, object: 'text_completion', created: Math.floor(Date.now() / 1000), model: body.model };
    const choice = (index, text, reason) => ({ index, text, logprobs: null, finish_reason: reason });
    const usage = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
    const choices = [];
    const send = (data) => response.write(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`);
    await admitted(entry, response, async (signal) => {
      for (const [index, prompt] of prompts.entries()) {
        const generation = entry.model.generate(prompt, { ...options, signal });
        if (body.stream) {
          for await (const piece of generation) {
            // The head goes with the first piece, so that an early failure still has its status.
            if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
            send({ ...head, choices: [choice(index, piece, null)] });
          }
        }
        const { text, ids, promptTokens, finishReason } = await generation.result;
        const reason = finishReason === 'length' || finishReason === 'context' ? 'length' : 'stop';
        usage.prompt_tokens += promptTokens;
        usage.completion_tokens += ids.length;
        usage.total_tokens += promptTokens + ids.length;
        choices.push(choice(index, body.stream ? '' : text, reason));
      }
    });
    if (!body.stream) return { ...head, choices, usage };
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    for (const last of choices) send({ ...head, choices: [last] });
    if (body.stream_options?.include_usage) send({ ...head, choices: [], usage });
    send('[DONE]');
    response.end();
    return undefined;
  }

  async function answer(request, response) {
    const pathname = pathOf(request.url);
    const card = ([id, { created }]) => ({ id, object: 'model', created, owned_by: 'pith' });
    if (request.method === 'GET' && pathname === '/v1/models') return { object: 'list', data: [...models].map(card) };
    if (request.method === 'GET' && pathname.startsWith('/v1/models/')) {
      const id = pathname.slice('/v1/models/'.length);
      if (!models.has(id)) throw new HttpError(404, `there is no model "${id}"`);
      return card([id, models.get(id)]);
    }
    const verb = { '/v1/embeddings': embeddings, '/v1/completions': completions }[pathname];
    if (!verb) throw new HttpError(404, `there is no ${pathname}`);
    if (request.method !== 'POST') throw new HttpError(405, `${pathname} wants POST`);
    return verb(await readJson(request), response);
  }

  function fail(response, error) {
    const client = error instanceof PithError && ['PITH_E_ARGUMENT', 'PITH_E_LIMIT', 'PITH_E_UNSUPPORTED'].includes(error.code);
    const status = error.status ?? (client ? 400 : 500);
    const body = { error: { message: error.message, type: error.type ?? (status < 500 ? 'invalid_request_error' : 'server_error'), param: error.param ?? null, code: error.code ?? null } };
    if (response.destroyed) return; // the client left: nobody to tell
    if (status >= 500) console.error(error);
    if (response.headersSent) response.end(`data: ${JSON.stringify(body)}\n\n`); // in mid-stream there is no status any more
    else response.writeHead(status, { 'Content-Type': 'application/json', ...(status === 429 ? { 'Retry-After': '1' } : {}) }).end(JSON.stringify(body));
  }

  const server = createServer((request, response) => {
    answer(request, response).then((result) => {
      if (result !== undefined) response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(result));
    }, (error) => fail(response, error));
  });
  return {
    server,
    async close() {
      server.close();
      server.closeAllConnections();
      for (const { model } of models.values()) await model.close();
    },
  };
}

/** @param {string} text @param {string} name @param {number} most */
function wholeNumber(text, name, most) {
  if (!/^\d+$/.test(text) || Number(text) > most) throw new Error(`--${name} should be a whole number up to ${most}, not "${text}"`);
  return Number(text);
}

async function main() {
  const { parseArgs } = await import('node:util');
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { port: { type: 'string', default: '8000' }, queue: { type: 'string', default: '8' } } });
  const port = wholeNumber(values.port, 'port', 65535), queue = wholeNumber(values.queue, 'queue', 1e6);
  const packages = Object.fromEntries((positionals.length ? positionals : ['story=models/story']).map((word) => {
    const cut = word.indexOf('=');
    return cut < 0 ? [word, word] : [word.slice(0, cut), word.slice(cut + 1)];
  }));
  const service = await createService(packages, { queue });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => service.close());
  await new Promise((resolve, reject) => { service.server.once('error', reject).listen(port, '127.0.0.1', () => resolve(undefined)); });
  console.log(`http://127.0.0.1:${service.server.address().port}/v1: ${Object.keys(packages).join(', ')}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(`service: ${error.message.split('\n')[0]}`);
    process.exit(1); // models that are loaded have workers that would stay
  });
}
