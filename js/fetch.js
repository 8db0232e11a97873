/**
 * Packages and checkpoints over HTTP. A package's files stream in the order in which the module reads them, AHEAD of the one that is read,
 * and a stream that breaks is taken up again where it broke. Other files are fetched before the module asks.
 */
import { bytesFile } from './files.js';
import { FormatError, NetworkError, NotFoundError } from './errors.js';

export const ATTEMPTS = 4;
const AHEAD = 3;
/** Beside the weights. */
export const CHECKPOINT_FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'modules.json',
  'sentence_bert_config.json', '1_Pooling/config.json', 'model.safetensors.index.json'];

/** How long to wait after a failure, in milliseconds. @param {number} attempt from 0 */
export const backoff = (attempt) => 200 * 3 ** attempt;

/** @param {number} ms @param {AbortSignal} signal */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); resolve(undefined); }, { once: true });
  });
}

/** A server that is overloaded or broken may answer later; one that says no will not. @param {number} status */
export const worthRepeating = (status) => status === 408 || status === 429 || status >= 500;

/**
 * @param {string} url
 * @param {number} offset of the first byte wanted
 * @param {AbortSignal} signal
 */
async function request(url, offset, signal) {
  let response;
  try {
    response = await fetch(url, { signal, headers: offset > 0 ? { Range: `bytes=${offset}-` } : {} });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new NetworkError(`${url} cannot be fetched: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
  if (response.ok) return response;
  await response.body?.cancel().catch(() => {});
  const says = `${url}: the server answers ${response.status} ${response.statusText}`.trim();
  if (response.status === 404 || response.status === 410) throw new NotFoundError(says);
  throw Object.assign(new NetworkError(says), { final: !worthRepeating(response.status) });
}

/** One file that streams into the module. */
class StreamedFile {
  /** @type {Uint8Array[]} */ #chunks = [];
  #begin = 0; // file offset of the first chunk's first byte
  #end = 0; // file offset after the last chunk
  #done = false;
  /** @type {unknown} */ #error = null;
  #abort = new AbortController();
  #wake;
  size = -1;

  /** @param {string} url @param {() => void} wake @param {(n: number) => void} count */
  constructor(url, wake, count) {
    this.#wake = wake;
    this.#pump(url, count).catch((error) => { this.#error = error; }).finally(() => { this.#done = true; wake(); });
  }

  /** @param {string} url @param {(n: number) => void} count */
  async #pump(url, count) {
    const signal = this.#abort.signal;
    for (let attempt = 0; ; attempt++) {
      const before = this.#end;
      try {
        await this.#stream(url, count);
        if (this.size < 0 || this.#end >= this.size) return;
        throw new NetworkError(`${url}: the connection ended after ${this.#end} of ${this.size} bytes`);
      } catch (error) {
        const final = !(error instanceof NetworkError) || /** @type {{final?: boolean}} */ (error).final;
        if (this.#end > before) attempt = 0; // what moves on is tried on
        if (signal.aborted || final || attempt + 1 >= ATTEMPTS) throw error;
        await pause(backoff(attempt), signal);
        if (signal.aborted) throw error;
      }
    }
  }

  /** @param {string} url @param {(n: number) => void} count */
  async #stream(url, count) {
    const signal = this.#abort.signal;
    const response = await request(url, this.#end, signal);
    if (/text\/html/.test(response.headers.get('content-type') ?? '')) {
      await response.body?.cancel().catch(() => {});
      throw new FormatError(`${url} is a web page, not a model's file: is the address right?`);
    }
    const length = response.headers.get('content-length'), coded = response.headers.get('content-encoding');
    const resumed = response.status === 206;
    if (length !== null && (coded === null || coded === 'identity')) this.size = Number(length) + (resumed ? this.#end : 0);
    this.#wake();
    let skip = resumed ? 0 : this.#end; // a server without ranges sends everything again
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        if (skip >= value.length) {
          skip -= value.length;
          continue;
        }
        const chunk = skip > 0 ? value.subarray(skip) : value;
        skip = 0;
        this.#chunks.push(chunk);
        this.#end += chunk.length;
        count(chunk.length);
        this.#wake();
      }
    } catch (error) {
      if (signal.aborted || error instanceof NetworkError) throw error;
      throw new NetworkError(`${url}: the connection broke after ${this.#end} bytes (${error instanceof Error ? error.message : error})`, { cause: error });
    }
  }

  /** Bytes at the front, which then are forgotten: shards are read once, in order. @param {number} offset @param {Uint8Array} target */
  read(offset, target) {
    let n = 0;
    if (offset < this.#begin) throw new NetworkError('a streamed file can only be read forwards');
    while (n < target.length && this.#chunks.length > 0) {
      const chunk = this.#chunks[0], from = offset + n - this.#begin;
      const part = chunk.subarray(from, from + target.length - n);
      target.set(part, n);
      n += part.length;
      if (from + part.length < chunk.length) break;
      this.#begin += chunk.length;
      this.#chunks.shift();
    }
    if (n > 0) return n;
    if (this.#error) throw this.#error;
    return this.#done ? 0 : undefined;
  }

  close() {
    this.#abort.abort();
    this.#chunks = [];
  }
}

/**
 * A whole small file; undefined when the server has none and `needed` is false.
 * @param {string} url @param {boolean} needed @param {AbortSignal} signal @param {(n: number) => void} count
 */
async function fetchWhole(url, needed, signal, count) {
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await request(url, 0, signal);
      // A single-page application answers every address with its page.
      if (/text\/html/.test(response.headers.get('content-type') ?? '')) {
        await response.body?.cancel().catch(() => {});
        if (!needed) return undefined;
        throw new NotFoundError(`${url} is a web page, not a model's file: is the address right?`);
      }
      const bytes = new Uint8Array(await response.arrayBuffer().catch((error) => {
        throw signal.aborted ? error : new NetworkError(`${url}: the connection broke (${error.message})`, { cause: error });
      }));
      count(bytes.length);
      return bytes;
    } catch (error) {
      if (error instanceof NotFoundError && !needed) return undefined;
      const final = !(error instanceof NetworkError) || /** @type {{final?: boolean}} */ (error).final;
      if (signal.aborted || final || attempt + 1 >= ATTEMPTS) throw error;
      await pause(backoff(attempt), signal);
    }
  }
}

/** @param {Uint8Array} bytes @param {string} url */
function parse(bytes, url) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new FormatError(`${url} is not JSON (${error instanceof Error ? error.message : error})`);
  }
}

/**
 * @param {string} base the folder's URL
 * @param {() => void} wake
 * @param {AbortSignal} signal
 * @param {(n: number) => void} count is told of bytes as they come
 * @param {boolean} checkpoints fetch a checkpoint where there is no package; else the mount is empty
 * @param {boolean} [atRandom] a package will not be read from its beginning to its end: all its files are fetched first
 * @returns {Promise<import('./files.js').Mount>}
 */
export async function fetchedMount(base, wake, signal, count, checkpoints, atRandom = false) {
  const nothing = { has: () => false, open: () => undefined, names: () => [] };
  if (/\.gguf$/i.test(new URL(base).pathname)) return checkpoints ? ggufMount(base, signal, count) : nothing;
  const folder = new URL(base.endsWith('/') ? base : `${base}/`);
  /** @param {string} name */
  const address = (name) => Object.assign(new URL(name, folder), { search: folder.search }).href;
  const manifest = await fetchWhole(address('pith.json'), false, signal, count);
  if (!manifest) return checkpoints ? checkpointMount(address, signal, count) : nothing;
  const json = parse(manifest, address('pith.json'));
  // The module checks the manifest; here it only says what to fetch early. Names that lead elsewhere are the module's to refuse.
  /** @param {unknown} name @returns {name is string} */
  const plain = (name) => typeof name === 'string' && /^[\w.-]+$/.test(name) && !name.startsWith('.');
  const records = [json?.tokenizer, ...(Array.isArray(json?.shards) ? json.shards : [])];
  /** @type {string[]} */
  const files = records.map((/** @type {any} */ record) => record?.file).filter(plain);
  if (atRandom) {
    const whole = await Promise.all(files.map(async (name) => /** @type {[string, Uint8Array]} */ ([name, await fetchWhole(address(name), true, signal, count)])));
    return bytesMount(new Map([['pith.json', manifest], ...whole]));
  }
  /** @type {Map<string, StreamedFile>} */
  const streams = new Map();
  /** @param {number} first */
  const begin = (first) => {
    for (const name of files.slice(first, first + 1 + AHEAD)) if (!streams.has(name)) streams.set(name, new StreamedFile(address(name), wake, count));
  };
  begin(0);
  return {
    has: (name) => name === 'pith.json' || files.includes(name),
    names: () => ['pith.json', ...files],
    open(name) {
      if (name === 'pith.json') return bytesFile(manifest);
      const i = files.indexOf(name);
      if (i < 0) return undefined;
      begin(i);
      const stream = /** @type {StreamedFile} */ (streams.get(name));
      return { size: stream.size, read: (offset, target) => stream.read(offset, target), close: () => { stream.close(); streams.delete(name); } };
    },
    close() { for (const stream of streams.values()) stream.close(); },
  };
}

/** @param {Map<string, Uint8Array>} files @returns {import('./files.js').Mount} */
function bytesMount(files) {
  return { open: (name) => { const bytes = files.get(name); return bytes && bytesFile(bytes); }, has: (name) => files.has(name), names: () => files.keys() };
}

/** @param {string} url @param {AbortSignal} signal @param {(n: number) => void} count */
async function ggufMount(url, signal, count) {
  const name = new URL(url).pathname.split('/').pop()?.replace(/gguf$/i, 'gguf') ?? '';
  return bytesMount(new Map([[name, /** @type {Uint8Array} */ (await fetchWhole(url, true, signal, count))]]));
}

/**
 * A checkpoint is read at random, so all its files are fetched first.
 * @param {(name: string) => string} address
 * @param {AbortSignal} signal
 * @param {(n: number) => void} count
 * @returns {Promise<import('./files.js').Mount>}
 */
async function checkpointMount(address, signal, count) {
  /** @type {Map<string, Uint8Array>} */
  const files = new Map();
  await Promise.all(CHECKPOINT_FILES.map(async (name) => {
    const bytes = await fetchWhole(address(name), false, signal, count);
    if (bytes) files.set(name, bytes);
  }));
  if (!files.has('config.json')) throw new NotFoundError(`${address('')} holds neither a package (pith.json) nor a checkpoint (config.json); a GGUF file is given by its own address`);
  const index = files.get('model.safetensors.index.json');
  const map = index && parse(index, address('model.safetensors.index.json'))?.weight_map;
  const names = map ? [...new Set(/** @type {string[]} */ (Object.values(map)))] : ['model.safetensors'];
  for (const name of names) files.set(name, /** @type {Uint8Array} */ (await fetchWhole(address(name), true, signal, count)));
  return bytesMount(files);
}
