/** The workers behind a module's threads. None of them is waited for: work goes on with those that are there. */

/** How long loading waits for threads that have not said that they are ready, so that it can tell how many work. */
const PATIENCE_MS = 3000;

/** @typedef {{module: WebAssembly.Module, memory: WebAssembly.Memory, threads: number, number: number, stack: number}} ThreadStart */
/**
 * Both ends of a worker speak through this.
 * @typedef {{post: (message: unknown, transfer?: ArrayBuffer[]) => void, listen: (hear: (message: any) => void) => void}} Port
 */
/** @typedef {Port & {end: () => void}} WorkerPort */
/** Starts one worker. @typedef {(failed: (error: Error) => void) => WorkerPort} StartThread */

export class ThreadPool {
  #startThread;
  /** @type {(() => void)[]} */ #ends = [];
  /** @type {Promise<void>[]} */ #starts = [];
  #closed = false;
  /** Threads that said that they are ready. */ nReady = 0;
  /** The first failure. @type {string | undefined} */ failure;

  /** @param {StartThread} startThread */
  constructor(startThread) { this.#startThread = startThread; }

  /** @param {ThreadStart} start @returns {boolean} false when there can be no worker */
  start(start) {
    /** @type {() => void} */
    let settle = () => {};
    const started = new Promise((resolve) => { settle = () => resolve(undefined); });
    let ready = false;
    /** @param {Error} error */
    const failed = (error) => {
      if (this.#closed) return;
      if (ready) this.nReady--;
      ready = false;
      this.failure ??= error.message;
      settle();
    };
    try {
      const worker = this.#startThread(failed);
      this.#ends.push(worker.end);
      worker.listen(() => {
        ready = true;
        this.nReady++;
        settle();
      });
      worker.post(start);
    } catch (error) { // a policy that forbids workers, or a system that gives no more
      failed(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
    this.#starts.push(started);
    return true;
  }

  /** Settles when every thread is ready or has failed, or after a while. */
  async settled() {
    let timer;
    const tick = new Promise((resolve) => { timer = setTimeout(resolve, PATIENCE_MS); });
    await Promise.race([Promise.all(this.#starts), tick]);
    clearTimeout(timer);
  }

  close() {
    this.#closed = true;
    for (const end of this.#ends) end();
    this.#ends = [];
  }
}
