// onnxruntime, in a page by WebAssembly (onnxruntime-web) and in Node.js natively (onnxruntime-node): the forward pass alone, from ids
// that are ready, to the last hidden state. Tokenizer and pooling are not counted.
import { inNode, padded, place, pooledEnds, unknown } from './shared.js';

const DIST = 'tests/bench/node_modules/onnxruntime-web/dist/';

/** @param {{model: string, threads?: number}} config */
export async function open({ model, threads = 1 }) {
  let ort, options;
  if (inNode) {
    ort = (await import('onnxruntime-node')).default;
    options = { executionProviders: ['cpu'], intraOpNumThreads: threads, interOpNumThreads: 1 };
  } else {
    ort = await import(place(`${DIST}ort.wasm.bundle.min.mjs`));
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = place(DIST);
    options = { executionProviders: ['wasm'] };
  }
  const session = await ort.InferenceSession.create(place(model), { ...options, graphOptimizationLevel: 'all' });
  return {
    facts: { threads, model },
    close: () => session.release(),
    prepare(task) {
      if (task.kind !== 'embed') throw unknown(task);
      const { tokens, mask, types, shape } = padded(task.ids);
      const tensor = (data) => new ort.Tensor('int64', data, shape);
      const feeds = { input_ids: tensor(tokens), attention_mask: tensor(mask), token_type_ids: tensor(types) };
      let last;
      return {
        async run() { last = (await session.run(feeds)).last_hidden_state; },
        answer: () => ({ tokens: task.ids.map((row) => row.length), vectors: pooledEnds(last.data, task.ids, last.dims[1], last.dims[2]) }),
      };
    },
  };
}
