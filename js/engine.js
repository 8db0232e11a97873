/**
 * One instance of the WebAssembly module and the driver of its jobs. Jobs run one after another; each is stepped for STEP_MS at a
 * time, and between steps the thread hears messages, so that an abort acts soon without shared memory.
 */
import { ArgumentError, CancelledError, errorFromStatus, InternalError, IoError, MemoryError, PithError, statusOf } from './errors.js';
import { ThreadPool } from './pool.js';

const STEP_MS = 20;
const PENDING = 1;
const WAITING = 1000; // pith_wasm_step: the host's bytes are being waited for
const HOST_WAIT = -1000;
const PROGRESS_EVERY_MS = 50;

/**
 * What the module reads and writes: handles are numbers from 3 on. A method may throw; `read` answers undefined while bytes are on their
 * way.
 * @typedef {object} Files
 * @property {(path: string) => {handle: number, size: number}} open   size -1: unknown
 * @property {(handle: number, offset: number, target: Uint8Array) => number | undefined} read
 * @property {(path: string) => number} create
 * @property {(handle: number, bytes: Uint8Array) => void} write
 * @property {(handle: number) => void} close
 * @property {(path: string) => void} makeDirectory
 * @property {(from: string, to: string) => void} rename
 * @property {(path: string) => void} remove   a file, or a folder that is empty; absent is not an error
 * @property {(path: string) => 0 | 1 | 2} exists   no, file, directory
 * @property {(folder: string, all?: boolean) => Iterable<string>} list   names of the files of a folder; with `all`, of folders within too
 * @property {(path: string) => string} resolve   the one name of what is there, links followed
 * @property {() => Promise<void>} arrival   settles when more bytes may be there
 */
/**
 * A module that is ready to be instantiated; it can be posted to a worker.
 * @typedef {object} Prepared
 * @property {string} name
 * @property {WebAssembly.Module} module
 * @property {WebAssembly.Memory} [memory] of a module with threads
 * @property {string} [note] why there are no threads, where some were wished for
 */
/** SHA-256 beside other work, of memory that is not shared; null where the engine has none. @typedef {((bytes: Uint8Array) => Promise<ArrayBuffer>) | null} Sha256 */
/** What an engine asks of its surroundings for threads. @typedef {{suggested: number, start: import('./pool.js').StartThread}} Threads */
/** @typedef {{phase: string, unit: string, done: number, total: number}} Progress */
/**
 * @typedef {object} JobHooks
 * @property {AbortSignal} [signal]
 * @property {(progress: Progress) => void} [onProgress]
 * @property {(text: string) => void} [onText]
 */
/** @typedef {{result: any, data: Uint8Array | null}} JobResult */

/** What a caller's callback threw: it ends that caller's job and nothing else. */
class CallbackFailure {
  /** @param {unknown} error */
  constructor(error) { this.error = error; }
}

/** @template T @param {((value: T) => void) | undefined} callback @param {T} value */
function tell(callback, value) {
  try {
    callback?.(value);
  } catch (error) {
    throw new CallbackFailure(error);
  }
}

/**
 * The request as JSON. What JSON would drop or turn into null is refused, so that no wrong value becomes a default unseen.
 * @param {Record<string, unknown>} request
 */
function requestText(request) {
  let option = '';
  /** @this {unknown} @param {string} key @param {unknown} value */
  function checked(key, value) {
    if (this === request) option = key;
    const refuse = (/** @type {string} */ says) => { throw new ArgumentError(`${request.verb}: "${option}" ${says}`); };
    if (typeof value === 'number' && !Number.isFinite(value)) refuse(this === request ? `should be a finite number, not ${value}` : `should hold finite numbers, not ${value}`);
    if (['bigint', 'function', 'symbol'].includes(typeof value)) refuse(`cannot hold a ${typeof value}`);
    if (typeof value !== 'string') return value;
    if (value.includes('\0')) refuse('holds a NUL character');
    return value.toWellFormed(); // a lone surrogate has no UTF-8: it becomes U+FFFD, as TextEncoder does it
  }
  try {
    return JSON.stringify(request, checked);
  } catch (error) {
    if (error instanceof PithError) throw error;
    throw new ArgumentError(`${request.verb}: "${option}" cannot be written as JSON: ${String(error instanceof Error ? error.message : error).split('\n')[0]}`, { cause: error });
  }
}

export class Engine {
  /** @type {Record<string, any>} */ #wasm = {};
  /** @type {WebAssembly.Memory} */ #memory;
  #encoder = new TextEncoder();
  #decoder = new TextDecoder('utf-8', { ignoreBOM: true }); // a generated U+FEFF is text
  #files;
  #turn;
  #module;
  #threads;
  #sha256;
  /** What became of the hashes that were begun, by ticket. @type {Map<number, {hash?: Uint8Array, error?: unknown}>} */ #hashes = new Map();
  #nextHash = 0;
  /** Ends the wait for bytes and hashes. */ #wake = () => {};
  #pool;
  #lastError = '';
  #cancelled = false;
  /** The last step stopped at bytes that are on their way. */ #waits = false;
  /** The last job, so that the next waits for it. @type {Promise<unknown>} */ #queue = Promise.resolve();
  /** Why the module cannot be used any more. @type {PithError | null} */ #broken = null;

  /**
   * @param {Prepared} prepared
   * @param {Files} files
   * @param {() => Promise<void>} turn lets the event loop run once
   * @param {Threads} threads
   * @param {Sha256} sha256
   */
  constructor({ module, memory }, files, turn, threads, sha256) {
    this.#files = files;
    this.#turn = turn;
    this.#module = module;
    this.#threads = threads;
    this.#sha256 = sha256;
    this.#pool = new ThreadPool(threads.start);
    const env = { emscripten_notify_memory_growth() {}, ...(memory ? { memory } : {}) };
    const instance = new WebAssembly.Instance(module, { host: this.#host(), env });
    this.#wasm = /** @type {any} */ (instance.exports);
    this.#memory = memory ?? this.#wasm.memory;
    this.#wasm._initialize?.();
    if (this.#wasm.pith_wasm_open() !== 0) throw new MemoryError('there is no memory for the module');
  }

  /** Bytes of the module's memory. It never shrinks; it goes with the engine. */
  get memoryBytes() { return this.#memory.buffer.byteLength; }

  /** @param {number} at @param {number} n */
  #bytes(at, n) { return new Uint8Array(this.#memory.buffer, at, n); }
  /** Threads that work, this one counted, once those that were asked for are up or have failed. */
  async threadsUp() {
    await this.#pool.settled();
    return { threads: 1 + this.#pool.nReady, failure: this.#pool.failure };
  }

  /** Ends the threads. No job can run after it. */
  close() {
    this.#broken = new CancelledError('the model is closed');
    this.#pool.close();
  }

  /** A copy: decoders refuse views of shared memory. @param {number} at @param {number} n */
  #text(at, n) { return this.#decoder.decode(this.#bytes(at, n).slice()); }
  /** @param {number} at of a NUL-terminated text */
  #cText(at) {
    const heap = new Uint8Array(this.#memory.buffer);
    return this.#text(at, heap.indexOf(0, at) - at);
  }

  /** @param {string} text @param {(at: number, n: number) => T} use @template T */
  #withText(text, use) {
    const bytes = this.#encoder.encode(text);
    const at = this.#wasm.pith_wasm_alloc(bytes.length + 1);
    if (at === 0) throw new MemoryError(`there is no memory for a request of ${bytes.length} bytes`);
    this.#bytes(at, bytes.length).set(bytes);
    try {
      return use(at, bytes.length);
    } finally {
      this.#wasm.pith_wasm_free(at);
    }
  }

  /** A name that goes back to the module. @param {string} name @param {number} at @param {number} capacity */
  #putName(name, at, capacity) {
    const bytes = this.#encoder.encode(`${name}\0`);
    if (bytes.length > capacity) throw new IoError(`a file's name has more than ${capacity - 1} bytes`);
    this.#bytes(at, bytes.length).set(bytes);
  }

  /** A host callback: what it throws becomes a status and the detail of the next message. @param {() => number} action */
  #guard(action) {
    try {
      return action();
    } catch (error) {
      this.#lastError = error instanceof Error ? error.message : String(error);
      return -statusOf(error);
    }
  }

  /** For the host's callbacks: what they wait for comes. */
  #wait() {
    if (this.#cancelled) throw new CancelledError(); // as a read that a signal interrupts
    this.#waits = true;
    return HOST_WAIT;
  }

  /** @param {Uint8Array} bytes @returns {number} ticket */
  #beginHash(bytes) {
    const ticket = this.#nextHash++;
    /** @type {{hash?: Uint8Array, error?: unknown}} */
    const entry = {};
    this.#hashes.set(ticket, entry);
    // It takes a copy, so that the memory may grow meanwhile; shared memory it refuses.
    const own = bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice();
    /** @type {NonNullable<Sha256>} */ (this.#sha256)(own).then((hash) => { entry.hash = new Uint8Array(hash); }, (error) => { entry.error = error; })
      .finally(() => this.#wake());
    return ticket;
  }

  /** @param {number} ticket @returns {Uint8Array | undefined} while it is not ready */
  #takeHash(ticket) {
    const { hash, error } = this.#hashes.get(ticket) ?? {};
    if (error !== undefined) throw error;
    if (hash) this.#hashes.delete(ticket);
    return hash;
  }

  #host() {
    const files = this.#files;
    /** @type {Map<number, number>} */
    const sizes = new Map();
    return {
      /** @param {number} at @param {number} n */
      open: (at, n) => this.#guard(() => {
        const { handle, size } = files.open(this.#text(at, n));
        sizes.set(handle, size);
        return handle;
      }),
      /** @param {number} handle */
      size: (handle) => sizes.get(handle) ?? -1,
      /** @param {number} at @param {number} n */
      create: (at, n) => this.#guard(() => files.create(this.#text(at, n))),
      /** @param {number} handle @param {number} offset @param {number} at @param {number} n */
      read: (handle, offset, at, n) => this.#guard(() => {
        const got = files.read(handle, offset, this.#bytes(at, n));
        return got === undefined ? this.#wait() : got;
      }),
      hashes: () => (this.#sha256 ? 1 : 0),
      /** @param {number} at @param {number} n */
      hash_begin: (at, n) => this.#guard(() => this.#beginHash(this.#bytes(at, n))),
      /** @param {number} ticket @param {number} at */
      hash_end: (ticket, at) => this.#guard(() => {
        const hash = this.#takeHash(ticket);
        if (!hash) return this.#wait();
        this.#bytes(at, hash.length).set(hash);
        return 0;
      }),
      /** @param {number} handle @param {number} at @param {number} n */
      write: (handle, at, n) => this.#guard(() => (files.write(handle, this.#bytes(at, n)), 0)),
      /** @param {number} handle */
      close: (handle) => this.#guard(() => (files.close(handle), 0)),
      /** @param {number} at @param {number} n */
      make_dir: (at, n) => this.#guard(() => (files.makeDirectory(this.#text(at, n)), 0)),
      /** @param {number} from @param {number} nFrom @param {number} to @param {number} nTo */
      rename: (from, nFrom, to, nTo) => this.#guard(() => (files.rename(this.#text(from, nFrom), this.#text(to, nTo)), 0)),
      /** @param {number} at @param {number} n */
      remove: (at, n) => this.#guard(() => (files.remove(this.#text(at, n)), 0)),
      /** @param {number} at @param {number} n */
      exists: (at, n) => this.#guard(() => files.exists(this.#text(at, n))),
      /** @param {number} at @param {number} n @param {number} suffixAt @param {number} nSuffix @param {number} nameAt @param {number} capacity */
      find: (at, n, suffixAt, nSuffix, nameAt, capacity) => this.#guard(() => {
        const suffix = this.#text(suffixAt, nSuffix), found = [...files.list(this.#text(at, n), suffix === '')].filter((name) => name.endsWith(suffix));
        if (found.length > 0) this.#putName(found[0], nameAt, capacity);
        return found.length;
      }),
      /** @param {number} at @param {number} n @param {number} nameAt @param {number} capacity */
      resolve: (at, n, nameAt, capacity) => this.#guard(() => (this.#putName(files.resolve(this.#text(at, n)), nameAt, capacity), 0)),
      /** @param {number} at @param {number} capacity */
      last_error: (at, capacity) => {
        const bytes = new Uint8Array(capacity);
        const { written } = this.#encoder.encodeInto(this.#lastError, bytes);
        this.#bytes(at, written).set(bytes.subarray(0, written));
        return written;
      },
      now_ms: () => performance.now(),
      cancelled: () => (this.#cancelled ? 1 : 0),
      /** @param {number} n */
      threads: (n) => n || this.#threads.suggested,
      /** @param {number} threads @param {number} number @param {number} stack */
      start_thread: (threads, number, stack) => (this.#pool.start({ module: this.#module, memory: this.#memory, threads, number, stack }) ? 0 : -1),
      thread_lost: () => { throw new Error('a thread ended in the middle of its work'); },
    };
  }

  /**
   * Runs a verb of pith.h to its end, after the jobs before it. Aborted while it waits for those, it is gone at once.
   * @param {Record<string, unknown>} request
   * @param {JobHooks} [hooks]
   * @returns {Promise<JobResult>}
   */
  run(request, hooks = {}) {
    const { signal } = hooks;
    /** @type {Record<string, unknown> | null} */
    let waiting = request;
    const job = this.#queue.then(() => {
      if (!waiting) return undefined;
      waiting = null;
      return this.#run(request, hooks);
    });
    this.#queue = job.catch(() => {});
    return new Promise((resolve, reject) => {
      const leave = () => {
        if (!waiting) return; // #run hears of it
        waiting = null;
        reject(new CancelledError('cancelled', { cause: signal?.reason }));
      };
      signal?.addEventListener('abort', leave);
      job.then((result) => resolve(/** @type {JobResult} */ (result)), reject).finally(() => signal?.removeEventListener('abort', leave));
    });
  }

  /** @param {Record<string, unknown>} request @param {JobHooks} hooks */
  async #run(request, { signal, onProgress, onText }) {
    if (this.#broken) throw this.#broken;
    if (signal?.aborted) throw new CancelledError('cancelled', { cause: signal.reason });
    const abort = () => {
      this.#cancelled = true;
      this.#wake();
    };
    signal?.addEventListener('abort', abort);
    this.#cancelled = false;
    this.#lastError = '';
    try {
      return await this.#drive(request, onProgress, onText);
    } catch (error) {
      if (error instanceof PithError) throw error;
      if (error instanceof CallbackFailure) throw error.error;
      // A trap leaves the module's memory in no known state.
      this.#broken = new InternalError(`the module failed (${error instanceof Error ? error.message : error}); close the model and load it again`, { cause: error });
      throw this.#broken;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * @param {Record<string, unknown>} request
   * @param {JobHooks['onProgress']} onProgress
   * @param {JobHooks['onText']} onText
   */
  async #drive(request, onProgress, onText) {
    const wasm = this.#wasm;
    const job = this.#withText(requestText(request), (at, n) => wasm.pith_wasm_start(at, n));
    if (job === 0) throw this.#failure(wasm.pith_wasm_start_status());
    try {
      let reported = 0;
      for (;;) {
        const status = wasm.pith_wasm_step(job, STEP_MS);
        if (onText) {
          const at = wasm.pith_wasm_take_text(job), n = wasm.pith_wasm_bytes();
          if (n > 0) tell(onText, this.#text(at, n));
        }
        const now = performance.now();
        if (onProgress && (status === 0 || now - reported >= PROGRESS_EVERY_MS)) {
          reported = now;
          tell(onProgress, { phase: this.#cText(wasm.pith_wasm_progress_phase(job)), unit: this.#cText(wasm.pith_wasm_progress_unit(job)),
            done: wasm.pith_wasm_progress_done(job), total: wasm.pith_wasm_progress_total(job) });
        }
        if (status === 0) return this.#take(job);
        if (status !== PENDING && status !== WAITING) throw this.#failure(status);
        if (status === WAITING) await this.#arrival();
        else await this.#turn();
      }
    } finally {
      wasm.pith_wasm_end(job);
    }
  }

  /** Until there are bytes or a hash; a cancel does not wait for a stalled network. @returns {Promise<void>} */
  #arrival() {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#files.arrival().then(resolve);
      if (this.#cancelled) resolve(); // by a callback of this very step
    });
  }

  /** @param {number} job */
  #take(job) {
    const wasm = this.#wasm;
    let at = wasm.pith_wasm_result(job);
    const result = JSON.parse(this.#text(at, wasm.pith_wasm_bytes()) || '{}');
    at = wasm.pith_wasm_data(job);
    const n = wasm.pith_wasm_bytes();
    return { result, data: at === 0 ? null : this.#bytes(at, n).slice() };
  }

  /** @param {number} status */
  #failure(status) { return errorFromStatus(status, this.#cText(this.#wasm.pith_wasm_message())); }

  /**
   * The command line of the C library.
   * @param {string[]} argv
   * @param {boolean} terminal stderr is one
   * @param {() => boolean} interrupted
   * @param {(args: Record<string, any>) => Promise<number>} hostCommand runs what the library leaves to us, like `import`, and gives its exit code
   * @returns {Promise<number>} exit code
   */
  async commandLine(argv, terminal, interrupted, hostCommand) {
    const wasm = this.#wasm;
    const cli = this.#withText(JSON.stringify(argv), (at, n) => wasm.pith_wasm_cli_open(at, n, terminal ? 1 : 0));
    if (cli === 0) throw new MemoryError('there is no memory for the command line');
    while (wasm.pith_wasm_cli_step(cli, STEP_MS) === PENDING) {
      if (this.#waits) await this.#arrivalOr(interrupted);
      else await this.#turn();
      this.#waits = false;
      if (interrupted()) this.#cancelled = true;
    }
    const code = wasm.pith_wasm_cli_exit_code(cli), at = wasm.pith_wasm_cli_for_host(cli);
    const args = at === 0 ? null : JSON.parse(this.#cText(at));
    wasm.pith_wasm_cli_close(cli);
    return args ? hostCommand(args) : code;
  }

  /**
   * What the command line reads from files, for commands that are ours: texts, pairs, rows with labels (src/cli/inputs.h).
   * @param {Record<string, unknown>} args paths and columns as options of the command line
   * @returns {Record<string, any>} members of a request
   */
  readInputs(args) {
    const wasm = this.#wasm;
    const at = this.#withText(JSON.stringify(args), (text, n) => wasm.pith_wasm_cli_inputs(text, n));
    if (at === 0) throw new MemoryError('there is no memory for the texts');
    try {
      const { status, message, ...read } = JSON.parse(this.#cText(at));
      if (status !== 0) throw errorFromStatus(status, message);
      return read;
    } finally {
      wasm.pith_wasm_free(at);
    }
  }

  /** @param {() => boolean} ended is asked while the input is slow */
  async #arrivalOr(ended) {
    let settled = false;
    const arrival = this.#arrival().then(() => { settled = true; });
    while (!settled && !ended()) {
      let timer;
      const tick = new Promise((resolve) => { timer = setTimeout(resolve, 50); });
      await Promise.race([arrival, tick]);
      clearTimeout(timer);
    }
  }
}
