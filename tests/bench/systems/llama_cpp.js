// llama.cpp natively, by node-llama-cpp. The prompt's time ends with the first token, the decode's with the last one.
import { place, unknown } from './shared.js';

/** @param {{model: string, context: number, threads?: number}} config */
export async function open({ model: path, context: contextSize, threads = 1 }) {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, logLevel: LlamaLogLevel.error, progressLogs: false });
  const model = await llama.loadModel({ modelPath: place(path), gpuLayers: 0 });
  const context = await model.createContext({ contextSize, threads });
  const sequence = context.getSequence();
  return {
    facts: { threads: context.currentThreads || threads },
    close: () => llama.dispose(),
    prepare(task) {
      if (task.kind !== 'generate') throw unknown(task);
      const tokens = model.tokenize(task.prompt);
      let ids;
      return {
        async run() {
          await sequence.clearHistory();
          ids = [];
          const begin = performance.now();
          let first = 0;
          for await (const id of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
            if (ids.length === 0) first = performance.now();
            ids.push(id);
            if (ids.length === task.maxTokens) break;
          }
          return { promptTokens: tokens.length, generated: ids.length, promptMs: first - begin, decodeMs: performance.now() - first };
        },
        answer: () => ({ promptTokens: tokens.length, generated: ids.length, text: model.detokenize(ids) }),
      };
    },
  };
}
