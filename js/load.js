/**
 * The environment: the only file that knows whether this is a page, a worker or Node.js. Node's modules are asked of the process, so
 * that bundlers for the browser see no import of them.
 */
import { ArgumentError, ExistsError, IoError, NetworkError, NoSpaceError, NotFoundError, UnsupportedError } from './errors.js';

/** @typedef {import('./engine.js').Files} Files */

const isNode = typeof process === 'object' && Boolean(process.versions?.node) && typeof process.getBuiltinModule === 'function';
/** @typedef {{'node:fs': typeof import('node:fs'), 'node:worker_threads': typeof import('node:worker_threads'), 'node:url': typeof import('node:url'), 'node:path': typeof import('node:path'), 'node:os': typeof import('node:os'), 'node:crypto': typeof import('node:crypto')}} NodeModules */
/** @template {keyof NodeModules} K @param {K} name @returns {NodeModules[K]} */
const node = (name) => /** @type {any} */ (process.getBuiltinModule(name));

/** What only Node.js can do asks here for its modules. @template {keyof NodeModules} K @param {K} name @returns {NodeModules[K]} */
export function nodeModule(name) {
  if (!isNode) throw new UnsupportedError('this needs the files and the network of Node.js: a page cannot do it');
  return node(name);
}

/** Of the process; '' where there is none. @param {string} name */
export const environment = (name) => (isNode ? process.env[name] ?? '' : '');

/** Written out, so that bundlers find the files. */
const moduleUrls = {
  'pith-relaxed-dot': new URL('../dist/pith-relaxed-dot.wasm', import.meta.url),
  'pith-relaxed-dot-threads': new URL('../dist/pith-relaxed-dot-threads.wasm', import.meta.url),
  'pith-relaxed-pairs': new URL('../dist/pith-relaxed-pairs.wasm', import.meta.url),
  'pith-relaxed-pairs-threads': new URL('../dist/pith-relaxed-pairs-threads.wasm', import.meta.url),
  'pith-relaxed-complete': new URL('../dist/pith-relaxed-complete.wasm', import.meta.url),
  'pith-relaxed-complete-threads': new URL('../dist/pith-relaxed-complete-threads.wasm', import.meta.url),
  'pith-simd128': new URL('../dist/pith-simd128.wasm', import.meta.url),
  'pith-simd128-threads': new URL('../dist/pith-simd128-threads.wasm', import.meta.url),
  'pith-simd128-complete': new URL('../dist/pith-simd128-complete.wasm', import.meta.url),
  'pith-simd128-complete-threads': new URL('../dist/pith-simd128-complete-threads.wasm', import.meta.url),
};
/** @typedef {keyof typeof moduleUrls} ModuleName */
/** @typedef {import('./engine.js').Prepared} Prepared */

/** (i32, i32) → i32: four products of two bytes, added by a relaxed dot product. Engines without relaxed SIMD refuse the module. */
const dotProbe = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 100, 111, 116, 0, 0, 10, 22, 1, 20, 0,
  32, 0, 253, 15, 32, 1, 253, 15, 65, 0, 253, 17, 253, 147, 2, 253, 27, 0, 11]);

/**
 * The kernels of relaxed SIMD that this engine runs fastest: what the complete modules ask of it too (src/kernels/variants.c says why
 * these operands tell).
 */
function fastestRelaxed() {
  try {
    const { dot } = new WebAssembly.Instance(new WebAssembly.Module(dotProbe)).exports;
    const sum = /** @type {(x: number, w: number) => number} */ (dot)(127, -1);
    return sum === 4 * 255 * 127 || sum === -4 * 127 ? 'relaxed-dot' : 'relaxed-pairs';
  } catch {
    return undefined;
  }
}

/**
 * The modules without threads that serve these kernels here, the best first. A module that only infers has the kernels of its name;
 * others are asked of a complete one.
 * @param {string} kernels @param {boolean} complete
 * @returns {('pith-relaxed-dot' | 'pith-relaxed-pairs' | 'pith-simd128' | 'pith-relaxed-complete' | 'pith-simd128-complete')[]}
 */
function modulesFor(kernels, complete) {
  const fastest = fastestRelaxed(), forced = /** @type {const} */ (['relaxed-dot', 'relaxed-pairs']).find((name) => name === kernels);
  const relaxed = fastest && (kernels === 'auto' ? fastest : forced);
  const plain = complete || !(relaxed || kernels === 'auto' || kernels === 'simd128') ? 'pith-simd128-complete' : 'pith-simd128';
  return relaxed ? [complete ? 'pith-relaxed-complete' : `pith-${relaxed}`, plain] : [plain];
}

/** As many threads as the machine has processors; the module takes at most eight of itself. */
export function suggestedThreads() {
  return isNode ? node('node:os').availableParallelism() : globalThis.navigator?.hardwareConcurrency || 1;
}

/** @param {boolean} inWorker the engine will be in a worker of its own @returns {string | undefined} */
function whyNoThreads(inWorker) {
  if (typeof SharedArrayBuffer !== 'function') return isNode ? 'this Node.js has no shared memory' : notIsolated;
  if (isNode) return undefined;
  if (globalThis.crossOriginIsolated !== true) return notIsolated;
  if (typeof Worker !== 'function') return 'there are no workers here';
  return !inWorker && typeof document === 'object' ? 'a page\'s own thread must not wait for others: leave `worker` on' : undefined;
}
const notIsolated = 'the page is not cross-origin isolated: threads need the headers COOP and COEP';

/** The modules declare 1 MiB of 64 KiB pages and allow 4 GiB; systems that do not reserve so much get less. @returns {WebAssembly.Memory | undefined} */
function sharedMemory() {
  for (let maximum = 65536; maximum >= 4096; maximum /= 2) {
    try {
      return new WebAssembly.Memory({ initial: 16, maximum, shared: true });
    } catch { /* less, then */ }
  }
  return undefined;
}

/** Each module is compiled once a thread. @type {Map<ModuleName, Promise<WebAssembly.Module>>} */
const compiled = new Map();

/** @param {ModuleName} name @returns {Promise<WebAssembly.Module>} */
function compileOnce(name) {
  let module = compiled.get(name);
  if (!module) {
    module = compile(moduleUrls[name]);
    compiled.set(name, module);
    module.catch(() => compiled.delete(name)); // the next call tries again
  }
  return module;
}

/**
 * The module for these kernels and threads; where its file is missing or refused, the next one that serves.
 * @param {{kernels?: string, threads?: number | 'auto', inWorker?: boolean, complete?: boolean}} wish threads: 1; complete: with the
 *   compressor, the readers of checkpoints and the command line, which a page that only infers need not fetch
 * @returns {Promise<Prepared>}
 */
export async function prepareModule({ kernels, threads = 1, inWorker = false, complete = false }) {
  const wanted = threads === 'auto' ? suggestedThreads() : threads;
  let note = wanted > 1 ? whyNoThreads(inWorker) : undefined;
  const memory = wanted > 1 && note === undefined ? sharedMemory() : undefined;
  if (wanted > 1 && !memory) note ??= 'there is no shared memory to be had';
  const names = modulesFor(kernels || 'auto', complete).flatMap((set) => (memory ? [/** @type {const} */ (`${set}-threads`), set] : [set]));
  for (;;) {
    const name = /** @type {ModuleName} */ (names.shift());
    try {
      const module = await compileOnce(name);
      return name.endsWith('-threads') ? { name, module, memory } : { name, module, note };
    } catch (error) {
      if (names.length === 0) throw error;
      if (name.endsWith('-threads')) note ??= `the module with threads cannot be had: ${/** @type {Error} */ (error).message}`;
    }
  }
}

/** @param {URL} url */
async function compile(url) {
  if (url.protocol === 'file:' && isNode) {
    try {
      return await WebAssembly.compile(node('node:fs').readFileSync(url));
    } catch (error) {
      if (/** @type {{code?: string}} */ (error).code !== 'ENOENT') throw error;
      throw new NotFoundError(`${url.pathname} is not there: in a checkout, scripts/build makes it`);
    }
  }
  const response = await fetch(url).catch((error) => { throw new NetworkError(`${url.href} cannot be fetched: ${error.message}`, { cause: error }); });
  if (!response.ok) throw new NetworkError(`${url.href}: the server answers ${response.status}`);
  // Servers that do not know application/wasm are common.
  if (response.headers.get('content-type') === 'application/wasm') return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Lets the event loop run once. Timers would wait 4 ms in a page. @returns {() => Promise<void>} */
export function eventLoopTurn() {
  if (isNode) return () => new Promise((resolve) => setImmediate(resolve));
  const { port1, port2 } = new MessageChannel();
  /** @type {(() => void)[]} */
  const waiting = [];
  port1.onmessage = () => waiting.shift()?.();
  return () => new Promise((resolve) => {
    waiting.push(resolve);
    port2.postMessage(0);
  });
}

/** Files of the machine where there are any. @returns {Files | null} */
export function machineFiles() { return isNode ? nodeFiles(node('node:fs')) : null; }

/** Reads a Blob at once: only a browser's workers can. @type {((blob: Blob) => ArrayBuffer) | null} */
export const readBlobNow = typeof (/** @type {any} */ (globalThis).FileReaderSync) === 'function'
  ? (blob) => new (/** @type {any} */ (globalThis).FileReaderSync)().readAsArrayBuffer(blob)
  : null;

/** Pages that are not secure contexts have none. @type {import('./engine.js').Sha256} */
export const sha256 = globalThis.crypto?.subtle ? (bytes) => crypto.subtle.digest('SHA-256', /** @type {Uint8Array<ArrayBuffer>} */ (bytes)) : null;

/** A worker by default where a page would stop moving without one. */
export const workerByDefault = !isNode && typeof Worker === 'function';

/** @typedef {import('./pool.js').WorkerPort} WorkerPort */

/** @param {URL} url @param {(error: Error) => void} failed @param {boolean} alone the process may end while it runs @returns {WorkerPort} */
function startNodeWorker(url, failed, alone) {
  // The flags of the process are not for our scripts: `--input-type` would forbid them.
  const worker = new (node('node:worker_threads').Worker)(url, { execArgv: [] });
  worker.on('error', failed);
  worker.on('exit', (code) => failed(new Error(`the worker ended (${code})`)));
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    listen: (hear) => {
      worker.on('message', hear);
      if (alone) worker.unref(); // after the listener, which would hold the process again
    },
    end: () => { worker.terminate(); },
  };
}

/** @param {Worker} worker @param {(error: Error) => void} failed @returns {WorkerPort} */
function pageWorker(worker, failed) {
  let heard = false;
  worker.onerror = (event) => failed(!heard && isForeign ? foreignWorkerError() : new Error(event.message || 'the worker script cannot be loaded'));
  return {
    post: (message, transfer) => worker.postMessage(message, { transfer }),
    listen: (hear) => {
      worker.onmessage = (event) => {
        heard = true;
        hear(event.data);
      };
    },
    end: () => worker.terminate(),
  };
}

const here = import.meta.url;
const { origin } = new URL(here);
/** These files come from another origin than the page. Browsers call the origin of some schemes, like those of extensions, "null". */
const isForeign = !isNode && origin !== 'null' && origin !== (globalThis.origin ?? origin);
/** The addresses of scripts of the page's own origin that import a worker's: made once, kept as long as the page. @type {Map<string, string>} */
const standIns = new Map();

/** A worker's own script has to be of the page's origin; what that imports may come from elsewhere. @param {URL} url @param {string} name */
function foreignWorker(url, name) {
  const text = `import ${JSON.stringify(url.href)};`;
  const standIn = standIns.get(url.href) ?? URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  standIns.set(url.href, standIn);
  try {
    return new Worker(standIn, { type: 'module', name });
  } catch (error) {
    throw foreignWorkerError(error);
  }
}

/** @param {unknown} [cause] */
function foreignWorkerError(cause) {
  return new UnsupportedError(`no worker could be started: its script comes from ${origin}, the page from ${globalThis.origin}; ` +
    `that needs CORS, and "worker-src blob: ${origin}" in a page's policy; or load with worker: false`, { cause });
}

// The addresses are written where workers are made, so that bundlers find the scripts.
/** A worker for an engine. @param {(error: Error) => void} failed @returns {WorkerPort} */
export function startWorker(failed) {
  if (isNode) return startNodeWorker(new URL('./worker.js', import.meta.url), failed, false);
  if (isForeign) return pageWorker(foreignWorker(new URL('./worker.js', import.meta.url), 'pith'), failed);
  return pageWorker(new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'pith' }), failed);
}

/** A worker for one of an engine's threads. @param {(error: Error) => void} failed @returns {WorkerPort} */
export function startThread(failed) {
  if (isNode) return startNodeWorker(new URL('./thread.js', import.meta.url), failed, true);
  if (isForeign) return pageWorker(foreignWorker(new URL('./thread.js', import.meta.url), 'pith thread'), failed);
  return pageWorker(new Worker(new URL('./thread.js', import.meta.url), { type: 'module', name: 'pith thread' }), failed);
}

/** The worker's end. @returns {import('./pool.js').Port} */
export function parentPort() {
  if (isNode) {
    const port = /** @type {import('node:worker_threads').MessagePort} */ (node('node:worker_threads').parentPort);
    return { post: (message, transfer) => port.postMessage(message, { transfer }), listen: (hear) => port.on('message', hear) };
  }
  const scope = /** @type {any} */ (globalThis);
  return {
    post: (message, transfer) => scope.postMessage(message, transfer ?? []),
    listen: (hear) => { scope.onmessage = (/** @type {MessageEvent} */ event) => hear(event.data); },
  };
}

/**
 * Where a text says a model is: a URL to fetch or a path of this machine.
 * @param {string | URL} where
 * @returns {{url: string} | {path: string}}
 */
export function locate(where) {
  const text = String(where);
  try {
    if (isNode) {
      if (/^file:/i.test(text)) return { path: node('node:url').fileURLToPath(text) };
      return /^https?:/i.test(text) ? { url: new URL(text).href } : { path: node('node:path').resolve(text) };
    }
    return { url: new URL(text, globalThis.document?.baseURI ?? globalThis.location?.href).href };
  } catch (error) {
    throw new ArgumentError(`"${text}" is no address of a model: ${/** @type {Error} */ (error).message}`, { cause: error });
  }
}

/** Where libuv words an error otherwise than the C library, and so than the native program. @type {Record<string, string>} */
const wordsOfC = {
  EBUSY: 'Device or resource busy', EDQUOT: 'Disk quota exceeded', EEXIST: 'File exists', EIO: 'Input/output error', EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links', ENAMETOOLONG: 'File name too long', EMFILE: 'Too many open files', ENFILE: 'Too many open files in system',
  ENOTDIR: 'Not a directory', ETXTBSY: 'Text file busy', EXDEV: 'Invalid cross-device link',
};

/** @param {any} error of node:fs @returns {Error} */
export function systemError(error) {
  const own = String(error?.message ?? error).replace(/^\w+: /, '').replace(/, \w+( '.*')?$/, '');
  const says = wordsOfC[error?.code] ?? own.charAt(0).toUpperCase() + own.slice(1);
  switch (error?.code) {
    case 'ENOENT': case 'ENOTDIR': return new NotFoundError(says);
    case 'EEXIST': return new ExistsError(says);
    case 'ENOSPC': case 'EDQUOT': return new NoSpaceError(says);
    default: return new IoError(says);
  }
}

/**
 * Standard input as it comes: while a read blocks, no signal is heard.
 * @returns {{read: (target: Uint8Array) => number | undefined, arrival: () => Promise<void>}}
 */
function standardInput() {
  const { stdin } = process;
  /** @type {Uint8Array[]} */
  const chunks = [];
  let ended = false, wake = () => {};
  /** @type {unknown} */
  let problem;
  stdin.on('data', (/** @type {Uint8Array} */ chunk) => { chunks.push(chunk); wake(); });
  stdin.on('end', () => { ended = true; wake(); });
  stdin.on('error', (error) => { problem = error; ended = true; wake(); });
  /** @type {{unref?: () => void}} */ (stdin).unref?.(); // an interrupted process ends, whatever is still to come
  return {
    read(target) {
      const chunk = chunks[0];
      if (!chunk && problem) throw problem;
      if (!chunk) return ended ? 0 : undefined;
      const part = chunk.subarray(0, target.length);
      target.set(part);
      if (part.length === chunk.length) chunks.shift();
      else chunks[0] = chunk.subarray(part.length);
      return part.length;
    },
    arrival: () => new Promise((resolve) => { wake = resolve; if (ended || chunks.length > 0) resolve(); }),
  };
}

/** @param {typeof import('node:fs')} fs @returns {Files} */
function nodeFiles(fs) {
  /** @type {ReturnType<typeof standardInput> | undefined} */
  let input;
  /** @template T @param {() => T} action @returns {T} */
  const guarded = (action) => {
    for (;;) {
      try {
        return action();
      } catch (error) {
        const code = /** @type {any} */ (error)?.code;
        if (code === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); // a pipe that is full
        else throw systemError(error);
      }
    }
  };
  /** @type {Set<number>} */
  const written = new Set();
  return {
    open: (path) => guarded(() => {
      const handle = fs.openSync(path, 'r'), info = fs.fstatSync(handle);
      if (info.isDirectory()) {
        fs.closeSync(handle);
        throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
      }
      return { handle, size: info.isFile() ? info.size : -1 };
    }),
    read: (handle, offset, target) => guarded(() => {
      try {
        if (handle === 0) return (input ??= standardInput()).read(target);
        return fs.readSync(handle, target, 0, target.length, offset);
      } catch (error) {
        if (/** @type {any} */ (error)?.code === 'EOF') return 0;
        throw error;
      }
    }),
    create: (path) => guarded(() => {
      const handle = fs.openSync(path, 'w');
      written.add(handle);
      return handle;
    }),
    write: (handle, bytes) => {
      for (let n = 0; n < bytes.length;) n += guarded(() => fs.writeSync(handle, bytes, n));
    },
    close: (handle) => guarded(() => {
      // A file counts as written when it is on the disk.
      try {
        if (written.delete(handle)) fs.fsyncSync(handle);
      } finally {
        fs.closeSync(handle);
      }
    }),
    makeDirectory: (path) => guarded(() => fs.mkdirSync(path)),
    rename: (from, to) => guarded(() => fs.renameSync(from, to)),
    remove: (path) => guarded(() => {
      const info = fs.lstatSync(path, { throwIfNoEntry: false });
      if (info?.isDirectory()) fs.rmdirSync(path);
      else if (info) fs.unlinkSync(path);
    }),
    exists: (path) => {
      try {
        const info = fs.statSync(path, { throwIfNoEntry: false });
        return info ? (info.isDirectory() ? 2 : 1) : 0;
      } catch { // as the native program: what cannot be looked at is not there
        return 0;
      }
    },
    list: (folder, all) => guarded(() => fs.readdirSync(folder).filter((name) => all || !fs.statSync(`${folder}/${name}`, { throwIfNoEntry: false })?.isDirectory())),
    resolve: (path) => guarded(() => fs.realpathSync.native(path)),
    arrival: () => input?.arrival() ?? new Promise(() => {}),
  };
}
