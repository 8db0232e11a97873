/** The caller's end: the same calls whether the engine is in this thread or in a worker. */
import { ArgumentError, CancelledError, InternalError, PithError, unpackError } from './errors.js';
import { prepareModule, startWorker } from './load.js';

/** @typedef {import('./server.js').Hooks} Hooks */
/** @typedef {import('./server.js').Answer} Answer */
/** @typedef {{run: (verb: string, args: Record<string, any>, hooks: Hooks) => Promise<Answer>, close: () => void}} Client */

/**
 * The module is fetched and compiled while the worker starts and the first request's files are fetched. Where it cannot be had, requests fail.
 * @param {boolean} inWorker
 * @param {{kernels?: string, threads?: number | 'auto', complete?: boolean}} wish what the module should have
 * @returns {Client}
 */
export function openClient(inWorker, wish) {
  const prepared = prepareModule({ ...wish, inWorker });
  prepared.catch(() => {}); // every request tells
  return (inWorker ? workerClient : localClient)(prepared, wish.complete === true);
}

/**
 * The engine's files are imported here alone: a page that leaves it to a worker need not fetch them.
 * @param {Promise<import('./engine.js').Prepared>} prepared
 * @param {boolean} complete
 * @returns {Client}
 */
function localClient(prepared, complete) {
  /** @type {Promise<import('./server.js').Server> | null} */
  let server = import('./server.js').then(({ Server }) => new Server(prepared, complete));
  server.catch(() => {}); // every request tells
  const closing = new AbortController();
  return {
    async run(verb, args, hooks) {
      if (!server) throw new CancelledError('the model is closed');
      const signal = hooks.signal ? AbortSignal.any([hooks.signal, closing.signal]) : closing.signal;
      return (await server).run(verb, args, { ...hooks, signal });
    },
    close() {
      closing.abort();
      server?.then((opened) => opened.close(), () => {});
      server = null; // and with it the module's memory
    },
  };
}

/** @param {Promise<import('./engine.js').Prepared>} prepared @param {boolean} complete @returns {Client} */
function workerClient(prepared, complete) {
  /** `thrown`: by a callback of the caller's. @type {Map<number, {resolve: (answer: Answer) => void, reject: (error: unknown) => void, hooks: Hooks, thrown?: unknown[]}>} */
  const pending = new Map();
  let next = 1;
  /** @type {Error | null} */
  let ended = null;
  /** @param {Error} error */
  const end = (error) => {
    ended ??= error;
    for (const { reject } of pending.values()) reject(ended);
    pending.clear();
  };
  const worker = startWorker((error) => end(error instanceof PithError ? error : new InternalError(`the worker failed: ${error.message}`, { cause: error })));
  worker.listen(({ id, progress, text, answer, error }) => {
    const job = pending.get(id);
    if (!job) return;
    if (progress || text !== undefined) {
      if (job.thrown) return;
      try {
        if (progress) job.hooks.onProgress?.(progress);
        else job.hooks.onText?.(text);
      } catch (problem) { // the job ends first, so that it leaves nothing half-written
        job.thrown = [problem];
        worker.post({ cancel: id });
      }
    } else {
      pending.delete(id);
      if (job.thrown) job.reject(job.thrown[0]);
      else if (error) job.reject(unpackError(error));
      else job.resolve(answer);
    }
  });
  worker.post({ complete });
  prepared.then((module) => worker.post({ prepared: module })).catch(end);
  return {
    run(verb, args, hooks) {
      if (ended) return Promise.reject(ended);
      const { signal } = hooks;
      if (signal?.aborted) return Promise.reject(new CancelledError('cancelled', { cause: signal.reason }));
      const id = next++;
      const cancel = () => worker.post({ cancel: id });
      signal?.addEventListener('abort', cancel, { once: true });
      /** @type {Promise<Answer>} */
      const job = new Promise((resolve, reject) => {
        pending.set(id, { resolve, reject, hooks });
        try {
          worker.post({ id, verb, args });
        } catch (error) { // what cannot be cloned
          pending.delete(id);
          reject(new ArgumentError(`${verb}: a worker cannot be given this: ${/** @type {Error} */ (error).message}`, { cause: error }));
        }
      });
      return job.finally(() => signal?.removeEventListener('abort', cancel));
    },
    close() {
      end(new CancelledError('the model is closed'));
      worker.end();
    },
  };
}
