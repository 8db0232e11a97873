/**
 * The environment: the only file that knows whether this is a page, a worker or Node.js. Node's modules are asked of the process, so
 * that bundlers for the browser see no import of them.
 */
import { MountedFiles } from './files.js';
import { ArgumentError, ExistsError, IoError, NetworkError, NoSpaceError, NotFoundError, UnsupportedError } from './errors.js';

/** @typedef {import('./engine.js').Files} Files */

const isNode = typeof process === 'object' && Boolean(process.versions?.node) && typeof process.getBuiltinModule === 'function';
/** @typedef {{'node:fs': typeof import('node:fs'), 'node:worker_threads': typeof import('node:worker_threads'), 'node:url': typeof import('node:url'), 'node:path': typeof import('node:path')}} NodeModules */
/** @template {keyof NodeModules} K @param {K} name @returns {NodeModules[K]} */
const node = (name) => /** @type {any} */ (process.getBuiltinModule(name));

/** Written out, so that bundlers find the files. */
const moduleUrls = {
  'pith-relaxed': new URL('../dist/pith-relaxed.wasm', import.meta.url),
  'pith-simd128': new URL('../dist/pith-simd128.wasm', import.meta.url),
};
/** @typedef {keyof typeof moduleUrls} ModuleName */
/** @typedef {import('./engine.js').Prepared} Prepared */

/** () → v128: one relaxed dot product. Engines without relaxed SIMD refuse the module. */
const relaxedProbe = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 147, 2, 11]);

/** The modules that serve these kernels here, the best first. @param {string} [kernels] @returns {ModuleName[]} */
export function moduleNames(kernels = 'auto') {
  const plain = !['', 'auto', 'relaxed'].includes(kernels.split('-')[0]);
  return plain || !WebAssembly.validate(relaxedProbe) ? ['pith-simd128'] : ['pith-relaxed', 'pith-simd128'];
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
 * The module for these kernels; where its file is missing or refused, the next one that serves them.
 * @param {{kernels?: string}} [wish]
 * @returns {Promise<Prepared>}
 */
export async function prepareModule({ kernels } = {}) {
  const names = moduleNames(kernels);
  for (;;) {
    const name = /** @type {ModuleName} */ (names.shift());
    try {
      return { name, module: await compileOnce(name) };
    } catch (error) {
      if (names.length === 0) throw error;
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

/** Files of the machine where there are any. */
export function openFiles() { return new MountedFiles(isNode ? nodeFiles(node('node:fs')) : null); }

/** Reads a Blob at once: only a browser's workers can. @type {((blob: Blob) => ArrayBuffer) | null} */
export const readBlobNow = typeof (/** @type {any} */ (globalThis).FileReaderSync) === 'function'
  ? (blob) => new (/** @type {any} */ (globalThis).FileReaderSync)().readAsArrayBuffer(blob)
  : null;

/** A worker by default where a page would stop moving without one. */
export const workerByDefault = !isNode && typeof Worker === 'function';

/**
 * Both ends of a worker speak through this.
 * @typedef {{post: (message: unknown, transfer?: ArrayBuffer[]) => void, listen: (hear: (message: any) => void) => void}} Port
 */

/** @param {(error: Error) => void} failed @returns {Port & {end: () => void}} */
export function startWorker(failed) {
  if (isNode) {
    const { Worker } = node('node:worker_threads');
    const worker = new Worker(new URL('./worker.js', import.meta.url));
    worker.on('error', failed);
    worker.on('exit', (code) => failed(new Error(`the worker ended (${code})`)));
    return { post: (message, transfer) => worker.postMessage(message, transfer), listen: (hear) => worker.on('message', hear), end: () => { worker.terminate(); } };
  }
  const worker = newPageWorker();
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
/** The address of a script of the page's own origin that imports the worker's: made once, kept as long as the page. */
let standIn = '';

/** @returns {Worker} */
function newPageWorker() {
  if (!isForeign) return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'pith' });
  // A worker's own script has to be of the page's origin; what that imports may come from elsewhere.
  const text = `import ${JSON.stringify(new URL('./worker.js', here).href)};`;
  standIn ||= URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  try {
    return new Worker(standIn, { type: 'module', name: 'pith' });
  } catch (error) {
    throw foreignWorkerError(error);
  }
}

/** @param {unknown} [cause] */
function foreignWorkerError(cause) {
  return new UnsupportedError(`no worker could be started: its script comes from ${origin}, the page from ${globalThis.origin}; ` +
    `that needs CORS, and "worker-src blob: ${origin}" in a page's policy; or load with worker: false`, { cause });
}

/** The worker's end. @returns {Port} */
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
function systemError(error) {
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
