// wllama: llama.cpp in WebAssembly, in its own worker. Prompt and decode times are its own (`timings`), as llama.cpp takes them.
import { place, unknown } from './shared.js';

const PACKAGE = 'tests/bench/node_modules/@wllama/wllama/esm/';

/** @param {{model: string, context: number, threads?: number}} config */
export async function open({ model, context, threads = 1 }) {
  const { Wllama } = await import(place(`${PACKAGE}index.min.js`));
  const quiet = () => {};
  const wllama = new Wllama({ default: place(`${PACKAGE}wasm/wllama.wasm`) }, { suppressNativeLog: true, allowOffline: true,
    logger: { debug: quiet, log: quiet, warn: quiet, error: console.error } });
  await wllama.loadModelFromUrl(place(model), { n_threads: threads, n_gpu_layers: 0, n_ctx: context });
  return {
    facts: { threads: wllama.getNumThreads(), multithread: wllama.isMultithread(), llama: Wllama.getLibllamaVersion() },
    close: () => wllama.exit(),
    prepare(task) {
      if (task.kind !== 'generate') throw unknown(task);
      let last;
      return {
        async run() {
          last = await wllama.createCompletion({ prompt: task.prompt, max_tokens: task.maxTokens, temperature: 0, cache_prompt: false, ignore_eos: true });
          const t = last.timings;
          return { promptTokens: t.prompt_n, generated: t.predicted_n, promptMs: t.prompt_ms, decodeMs: t.predicted_ms };
        },
        answer: () => ({ promptTokens: last.timings.prompt_n, generated: last.timings.predicted_n, text: last.choices[0].text }),
      };
    },
  };
}
