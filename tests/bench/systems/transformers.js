// transformers.js as its users call it: one call of the feature-extraction pipeline with mean pooling and normalisation, tokenizer counted.
import { place, ends, unknown } from './shared.js';

const PACKAGE = 'tests/bench/node_modules/@huggingface/transformers/';

/** @param {{models: string, model: string, dtype: string, threads?: number}} config */
export async function open({ models, model, dtype, threads = 1 }) {
  const { env, pipeline } = await import(place(`${PACKAGE}dist/transformers.web.min.js`));
  env.localModelPath = `/${models}`; // a path: it takes a URL for a remote model
  env.allowLocalModels = true;
  env.allowRemoteModels = false;
  env.backends.onnx.wasm.numThreads = threads;
  env.backends.onnx.wasm.wasmPaths = place(`${PACKAGE}node_modules/onnxruntime-web/dist/`);
  const extract = await pipeline('feature-extraction', model, { dtype, device: 'wasm' });
  return {
    facts: { threads, dtype },
    close: () => extract.dispose(),
    prepare(task) {
      if (task.kind !== 'embed') throw unknown(task);
      let last;
      return {
        async run() { last = await extract(task.texts, { pooling: 'mean', normalize: true }); },
        answer: () => ({ vectors: ends(last.data, last.dims[1]) }),
      };
    },
  };
}
