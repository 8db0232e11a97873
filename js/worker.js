/**
 * The worker's end. Messages in: {complete} first; {prepared} once the module is; {id, verb, args} and {cancel: id}, before it or after. Out:
 * {id, progress}, {id, text}, and at last {id, answer} or {id, error}.
 */
// What these import in turn is named too: the browser then asks for all files at once.
import './engine.js';
import { packError } from './errors.js';
import './fetch.js';
import './files.js';
import { parentPort } from './load.js';
import './pool.js';
import { Server } from './server.js';

const port = parentPort();
/** @type {Server} */
let server;
/** @type {(prepared: import('./engine.js').Prepared) => void} */
let prepare;
/** @type {Map<number, AbortController>} */
const running = new Map();

/** @param {{id: number, verb: string, args: Record<string, any>}} message */
async function run({ id, verb, args }) {
  const control = new AbortController();
  running.set(id, control);
  try {
    const answer = await server.run(verb, args, {
      signal: control.signal,
      onProgress: (progress) => port.post({ id, progress }),
      onText: (text) => port.post({ id, text }),
    });
    port.post({ id, answer }, answer.data ? [/** @type {ArrayBuffer} */ (answer.data.buffer)] : []);
  } catch (error) {
    port.post({ id, error: packError(error) });
  } finally {
    running.delete(id);
  }
}

port.listen((message) => {
  if ('complete' in message) {
    server = new Server(new Promise((resolve) => { prepare = resolve; }), message.complete);
  } else if ('prepared' in message) {
    prepare(message.prepared);
  } else if ('cancel' in message) {
    running.get(message.cancel)?.abort();
  } else {
    run(message);
  }
});
