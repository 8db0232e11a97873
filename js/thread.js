/**
 * A thread of work: the module once more over the engine's memory, asleep in WebAssembly until there is something to do. It hears one
 * message, {module, memory, threads, number, stack}, answers {ready: true} and never returns to its event loop.
 */
import { parentPort } from './load.js';

const port = parentPort();

port.listen(({ module, memory, threads, number, stack }) => {
  /** @type {Record<string, () => never>} */
  const host = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    if (from === 'host') host[name] = () => { throw new Error(`work called the host (${name})`); };
  }
  const instance = new WebAssembly.Instance(module, { host, env: { memory, emscripten_notify_memory_growth() {} } });
  const wasm = /** @type {Record<string, any>} */ (instance.exports);
  wasm.pith_wasm_thread_stack(stack);
  port.post({ ready: true });
  try {
    wasm.pith_wasm_thread_run(threads, number);
  } catch (error) {
    wasm.pith_wasm_thread_died(threads);
    throw error;
  }
});
