/** What a client asks of an engine, in the same thread or behind a worker's port: mounting of sources, verbs, cancellation. */
import { Engine } from './engine.js';
import { ArgumentError, CancelledError, PithError } from './errors.js';
import { fetchedMount } from './fetch.js';
import { filesMount, MountedFiles, rootedFiles } from './files.js';
import { eventLoopTurn, machineFiles, readBlobNow, sha256, startThread, suggestedThreads } from './load.js';
import './pool.js'; // engine.js imports it: named here, a page asks for all at once

/**
 * A described source: all of it can be posted to a worker.
 * @typedef {{url: string} | {path: string} | {files: Map<string, Blob | Uint8Array>} | {directory: FileSystemDirectoryHandle}} Source
 */
/** @typedef {import('./engine.js').JobHooks} Hooks */
/** @typedef {import('./engine.js').JobResult & {memoryBytes: number, fetchedBytes: number, files?: Map<string, Blob>}} Answer */

/** Arguments of verbs that are Sources. */
const SOURCES = ['path', 'source', 'against'];

/** @param {FileSystemDirectoryHandle} directory @param {string} prefix @param {number} depth @returns {Promise<[string, Blob][]>} */
async function filesOf(directory, prefix = '', depth = 2) {
  /** @type {[string, Blob][]} */
  const found = [];
  for await (const [name, handle] of /** @type {any} */ (directory).entries()) {
    if (handle.kind === 'file') found.push([prefix + name, await handle.getFile()]);
    else if (depth > 0) found.push(...await filesOf(handle, `${prefix}${name}/`, depth - 1));
  }
  return found;
}

/** The folder that a mounted URL stands for. @param {string} url */
function folderOf(url) {
  const { origin, pathname } = new URL(url);
  return origin + (/\.gguf$/i.test(pathname) ? pathname.slice(0, pathname.lastIndexOf('/') + 1) : pathname.replace(/\/*$/, '/'));
}

/** Files are named as the caller knows them, not as the module does. @param {unknown} error @param {Map<string, string>} mounts */
function inCallersWords(error, mounts) {
  if (!(error instanceof PithError)) return error;
  let { message } = error;
  for (const [mount, folder] of mounts) message = message.replaceAll(`${mount}/`, folder).replaceAll(mount, folder || 'the given files');
  return message === error.message ? error : new /** @type {new (message: string, options: object) => PithError} */ (error.constructor)(message, { cause: error.cause });
}

/** @param {Record<string, unknown>} info @param {import('./engine.js').Prepared} prepared @param {Engine} engine */
async function describeModule(info, prepared, engine) {
  const asked = /** @type {number} */ (info.threads), { threads, failure } = await engine.threadsUp();
  info.module = prepared.name;
  info.threads = threads;
  if (prepared.note) info.threadsNote = prepared.note;
  else if (failure !== undefined) info.threadsNote = `a thread did not start: ${failure}`;
  else if (threads < asked) info.threadsNote = `${asked - threads} of ${asked} threads have not started yet`;
}

export class Server {
  #complete;
  #opened;
  #files = new MountedFiles(machineFiles());

  /**
   * @param {Promise<import('./engine.js').Prepared>} prepared
   * @param {boolean} complete that module reads checkpoints too; where it does not, `load` of one answers {incomplete: true}, before anything
   *   large was fetched
   */
  constructor(prepared, complete) {
    this.#complete = complete;
    this.#opened = prepared.then((module) => ({
      prepared: module, engine: new Engine(module, this.#files, eventLoopTurn(), { suggested: suggestedThreads(), start: startThread }, sha256),
    }));
    this.#opened.catch(() => {}); // every request tells
  }

  close() {
    this.#opened.then(({ engine }) => engine.close(), () => {});
  }

  /**
   * Runs a verb. A Source as an argument is mounted first and becomes the path that the verb wants.
   * @param {string} verb
   * @param {Record<string, any>} args
   * @param {Hooks} hooks
   * @returns {Promise<Answer>}
   */
  async run(verb, args, hooks) {
    /** Prefix of the module's paths → what the caller calls it. @type {Map<string, string>} */
    const mounts = new Map();
    const leave = new AbortController();
    let fetchedBytes = 0;
    const count = (/** @type {number} */ n) => { fetchedBytes += n; };
    const onAbort = () => leave.abort();
    hooks.signal?.addEventListener('abort', onAbort);
    /** @type {Record<string, any>} */
    const request = { verb, ...args };
    try {
      if (hooks.signal?.aborted) throw new CancelledError();
      for (const key of SOURCES) {
        if (args[key] === undefined) continue;
        request[key] = await this.#mount(args[key], leave.signal, count, verb === 'diff');
        if (request[key].startsWith('mount:')) mounts.set(request[key], 'url' in args[key] ? folderOf(args[key].url) : '');
      }
      if (verb === 'load' && !this.#complete && this.#files.exists(`${request.path}/pith.json`) !== 1)
        return { result: { incomplete: true }, data: null, memoryBytes: 0, fetchedBytes };
      const { prepared, engine } = await this.#opened; // while files are already on their way
      const inMemory = verb === 'compress' && request.output === undefined;
      if (inMemory) request.output = this.#files.outputPath();
      const answer = await engine.run(request, hooks);
      if (verb === 'version') answer.result.module = prepared.name;
      if (verb === 'load' && !answer.result.incomplete) await describeModule(answer.result.info, prepared, engine);
      return { ...answer, memoryBytes: engine.memoryBytes, fetchedBytes, ...(inMemory ? { files: this.#files.takeOutput(request.output) } : {}) };
    } catch (error) {
      if (hooks.signal?.aborted) throw new CancelledError();
      throw inCallersWords(error, mounts);
    } finally {
      hooks.signal?.removeEventListener('abort', onAbort);
      leave.abort();
      for (const mount of mounts.keys()) this.#files.unmount(mount);
    }
  }

  /** @param {Source} source @param {AbortSignal} signal @param {(n: number) => void} count @param {boolean} atRandom @returns {Promise<string>} */
  async #mount(source, signal, count, atRandom) {
    if ('path' in source) return source.path;
    if ('url' in source) return this.#files.mount((wake) => fetchedMount(source.url, wake, signal, count, this.#complete, atRandom));
    if ('files' in source) return this.#files.mount(() => filesMount(rootedFiles(source.files), readBlobNow));
    if ('directory' in source) return this.#files.mount(async () => filesMount(rootedFiles(await filesOf(source.directory)), readBlobNow));
    throw new ArgumentError('a source is a URL, a path, File objects, a Map of files or a directory handle');
  }
}
