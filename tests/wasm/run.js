// node tests/wasm/run.js PROGRAM.wasm: runs a C test of the WebAssembly lanes, which wants of its host only output and an end.
import { readFileSync } from 'node:fs';

class Exit extends Error {
  /** @param {number} code */
  constructor(code) {
    super(`exit ${code}`);
    this.code = code;
  }
}

const module = await WebAssembly.compile(readFileSync(process.argv[2]));
/** @type {any} */
let instance = null;
const host = {
  /** @param {number} handle @param {number} vectors @param {number} n @param {number} written */
  fd_write(handle, vectors, n, written) {
    const view = new DataView(instance.exports.memory.buffer);
    let total = 0;
    for (let i = 0; i < n; i++) {
      const at = view.getUint32(vectors + 8 * i, true), length = view.getUint32(vectors + 8 * i + 4, true);
      process.stdout.write(new Uint8Array(view.buffer, at, length).slice());
      total += length;
    }
    view.setUint32(written, total, true);
    return 0;
  },
  /** No arguments. @param {number} count @param {number} bytes */
  args_sizes_get(count, bytes) {
    const view = new DataView(instance.exports.memory.buffer);
    view.setUint32(count, 0, true);
    view.setUint32(bytes, 0, true);
    return 0;
  },
  args_get: () => 0,
  /** @param {number} code */
  proc_exit(code) { throw new Exit(code); },
};
// Whatever else the C library imports, a test that calls it fails.
const imports = Object.fromEntries(WebAssembly.Module.imports(module).map(({ module: from }) => [from, new Proxy(host, {
  has: () => true,
  get: (target, name) => /** @type {any} */ (target)[name] ?? (() => 52), // ENOSYS
})]));
instance = await WebAssembly.instantiate(module, imports);
try {
  instance.exports._start();
} catch (error) {
  if (!(error instanceof Exit)) throw error;
  process.exitCode = error.code;
}
