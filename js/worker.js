/**
 * The worker's end. Messages in: {prepared} once; then {id, verb, args} and {cancel: id}. Out: {id, progress}, {id, fetched},
 * {id, text}, and at last {id, answer} or {id, error}.
 */
import { InternalError, packError } from './errors.js';
import { parentPort } from './load.js';
import { Server } from './server.js';

const port = parentPort();
/** What a module that cannot be opened threw is kept: every request tells. @type {() => Server} */
let server = () => { throw new InternalError('no module was posted'); };
/** @type {Map<number, AbortController>} */
const running = new Map();

/** @param {{id: number, verb: string, args: Record<string, any>}} message */
async function run({ id, verb, args }) {
  const control = new AbortController();
  running.set(id, control);
  try {
    const answer = await server().run(verb, args, {
      signal: control.signal,
      onProgress: (progress) => port.post({ id, progress }),
      onFetched: (fetched) => port.post({ id, fetched }),
      onText: (text) => port.post({ id, text }),
    });
    port.post({ id, answer }, answer.data ? [/** @type {ArrayBuffer} */ (answer.data.buffer)] : []);
  } catch (error) {
    port.post({ id, error: packError(error) });
  } finally {
    running.delete(id);
  }
}

/** @param {import('./engine.js').Prepared} prepared @returns {() => Server} */
function open(prepared) {
  try {
    const opened = new Server(prepared);
    return () => opened;
  } catch (error) {
    return () => { throw error; };
  }
}

port.listen((message) => {
  if ('prepared' in message) {
    server = open(message.prepared);
  } else if ('cancel' in message) {
    running.get(message.cancel)?.abort();
  } else {
    run(message);
  }
});
