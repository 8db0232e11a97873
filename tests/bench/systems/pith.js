// Pith by its public interface, in a page and in Node.js. embed() counts whole: tokenizer, forward pass and pooling.
import { root, ends, unknown } from './shared.js';

/** @param {{package: string, worker?: boolean, threads?: number, kernels?: string}} config */
export async function open({ package: folder, threads = 1, ...options }) {
  const { load } = await import(new URL('js/index.js', root).href);
  const model = await load(new URL(folder, root), { ...options, threads });
  if (model.info.threads !== threads) throw new Error(model.info.threadsNote ?? `asked for ${threads} threads, it has ${model.info.threads}`);
  return {
    facts: { module: model.info.module, kernels: model.info.kernels, recipe: model.info.recipe?.name, threads, worker: options.worker },
    memory: () => model.memoryBytes,
    close: () => model.close(),
    prepare(task) {
      let last;
      if (task.kind === 'embed') return {
        async run() { last = await model.embed(task.texts); },
        answer: () => ({ tokens: last.tokens, vectors: ends(last.data, last.dims[1]) }),
      };
      if (task.kind === 'generate') return {
        async run() {
          last = await model.generate(task.prompt, { maxTokens: task.maxTokens }).result;
          return { promptTokens: last.promptTokens, generated: last.ids.length, promptMs: last.promptMs, decodeMs: last.decodeMs };
        },
        answer: () => ({ promptTokens: last.promptTokens, generated: last.ids.length, text: last.text }),
      };
      throw unknown(task);
    },
  };
}
