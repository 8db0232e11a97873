/**
 * The systems, as data. `label` is what the report calls them, `counts` what their figure holds, `where` the place they run in:
 * 'chromium' (a page), 'node' (a current Node.js), 'node20' (the Node.js that runs the benchmark) or 'native' (machine code, in a process of Node.js).
 * `config(case)` is given to the module's open(); `needs` names what prepare.js has to have made.
 */
const package_ = ({ model }) => (model === 'story' ? 'models/story/' : `build/bench/${model}/`);
const pith = (options) => ({
  module: 'pith', counts: 'the whole embed() or generate(), tokenizer and pooling included',
  needs: ({ model }) => (model === 'story' ? [] : [model]), config: (at) => ({ package: package_(at), threads: at.threads, ...options }),
});
const onnx = (name) => ({
  module: 'onnxruntime', counts: 'the forward pass alone, from ids that are ready', needs: () => ['onnx'],
  config: ({ threads }) => ({ model: `build/bench/onnx/${name}.onnx`, threads }),
});
const llama = (module, counts) => ({
  module, counts, needs: () => ['smollm2.gguf'], config: ({ threads }) => ({ model: 'build/bench/smollm2.gguf', context: 1024, threads }),
});
// As installed it brings an onnxruntime that can use a GPU too, 27 MB; with an alias for that import it takes the one without, which is faster.
const transformers = {
  module: 'transformers', counts: 'the whole pipeline() call, tokenizer and pooling included', needs: () => ['onnx'],
  config: ({ threads }) => ({ models: 'build/bench/hub/', model: 'minilm', dtype: 'q8', threads }),
};

export const SYSTEMS = {
  'pith': { label: 'Pith', where: 'chromium', ...pith({ worker: false }) },
  'pith-simd128': { label: 'Pith, plain SIMD128', where: 'chromium', ...pith({ worker: false, kernels: 'simd128' }) },
  'pith-worker': { label: 'Pith in its worker', where: 'chromium', ...pith({ worker: true }) },
  'pith-node': { label: 'Pith in a current Node.js', where: 'node', ...pith({}) },
  'pith-node20': { label: 'Pith in the oldest Node.js', where: 'node20', ...pith({}) },
  'pith-native': { label: 'Pith native', where: 'native', ...pith({}), module: 'pith_native' },
  'pith-cli': { label: 'pith embed, native', where: 'native', module: 'pith_cli', counts: 'one process: its start, the load and the answer', needs: ({ model }) => [model], config: (at) => ({ package: package_(at) }) },
  'ort-int8': { label: 'onnxruntime-web int8', where: 'chromium', ...onnx('int8') },
  'ort-fp32': { label: 'onnxruntime-web fp32', where: 'chromium', ...onnx('fp32') },
  'transformers-q8': { label: 'transformers.js q8, lean', where: 'chromium', query: '?ort=wasm', ...transformers },
  'transformers-q8-default': { label: 'transformers.js q8, default', where: 'chromium', ...transformers },
  'ort-native-int8': { label: 'onnxruntime native int8', where: 'native', ...onnx('int8') },
  'ort-native-fp32': { label: 'onnxruntime native fp32', where: 'native', ...onnx('fp32') },
  'wllama': { label: 'wllama', where: 'chromium', ...llama('wllama', 'llama.cpp\'s own prompt and decode times') },
  'llama.cpp': { label: 'llama.cpp native', where: 'native', ...llama('llama_cpp', 'prompt to the first token, first token to the last') },
};
