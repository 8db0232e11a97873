/** What a page has to fetch: the engine (its modules and scripts, as they are and gzipped) and the model. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './hosts.js';

/** By gzip -9, as servers do it ahead: Node's own zlib makes 1 % more. @param {Buffer} bytes */
const zipped = (bytes) => execFileSync('gzip', ['-9', '-c'], { input: bytes, maxBuffer: 1 << 28 });
const PEERS = 'tests/bench/node_modules/';
const ENGINES = {
  'onnxruntime-web': [`${PEERS}onnxruntime-web/dist/ort.wasm.bundle.min.mjs`, `${PEERS}onnxruntime-web/dist/ort-wasm-simd-threaded.wasm`],
  'transformers.js, default': [`${PEERS}@huggingface/transformers/dist/transformers.web.min.js`,
    `${PEERS}@huggingface/transformers/node_modules/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs`,
    `${PEERS}@huggingface/transformers/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm`],
  'transformers.js, lean': [`${PEERS}@huggingface/transformers/dist/transformers.web.min.js`,
    `${PEERS}@huggingface/transformers/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs`,
    `${PEERS}@huggingface/transformers/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm`],
  'wllama': [`${PEERS}@wllama/wllama/esm/index.min.js`, `${PEERS}@wllama/wllama/esm/wasm/wllama.wasm`],
};
const MODELS = { 'MiniLM, Pith int8': 'build/bench/minilm', 'MiniLM, ONNX int8': 'build/bench/onnx/int8.onnx', 'MiniLM, ONNX q8': 'build/bench/onnx/uint8.onnx',
  'MiniLM, ONNX fp32': 'build/bench/onnx/fp32.onnx', 'SmolLM2-135M, GGUF Q4_1': 'build/bench/smollm2.gguf', 'SmolLM2-135M, Pith': 'build/bench/smollm2', 'story, Pith int8': 'models/story' };

function bytesOf(path) {
  const full = join(root, path);
  if (!existsSync(full)) return null;
  if (statSync(full).isFile()) return statSync(full).size;
  return readdirSync(full).reduce((sum, name) => sum + statSync(join(full, name)).size, 0);
}

/** The scripts that a page loads: what the entries of page, worker and thread import, and what these import. What is imported when it is called (import, sweeps, reports) is Node.js's. */
function pageScripts() {
  const found = new Set(['index.js', 'worker.js', 'server.js', 'thread.js']);
  for (const name of found) {
    for (const [, other] of readFileSync(join(root, 'js', name), 'utf8').matchAll(/^(?:import|export) (?:[^'"]* from )?'\.\/([\w-]+\.js)';/gm)) found.add(other);
  }
  return [...found].map((name) => `js/${name}`);
}

export function sizes() {
  // What a page fetches that loads packages; the -complete modules, which compress too, are for what is none.
  const modules = readdirSync(join(root, 'dist')).filter((name) => name.endsWith('.wasm') && !name.includes('-complete')).map((name) => `dist/${name}`);
  const scripts = pageScripts();
  const engines = { ...Object.fromEntries(modules.map((path) => [`Pith, ${path.slice(5)}`, [path, ...scripts]])), ...ENGINES };
  const size = (files) => {
    const contents = files.map((path) => readFileSync(join(root, path)));
    return { bytes: contents.reduce((sum, c) => sum + c.length, 0), gzipped: contents.reduce((sum, c) => sum + zipped(c).length, 0) };
  };
  return {
    modules: Object.fromEntries(modules.map((path) => [path.slice(5), size([path])])),
    engines: Object.fromEntries(Object.entries(engines).map(([name, files]) => [name, size(files)])),
    models: Object.fromEntries(Object.entries(MODELS).map(([name, path]) => [name, bytesOf(path)])),
  };
}
