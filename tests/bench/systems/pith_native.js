// The native library behind pith_native.c, which holds the watch itself: one JSON request a line, as src/pith.h has them.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { place, ends, unknown } from './shared.js';

/** @param {{package: string, threads?: number, kernels?: string}} config */
export async function open({ package: folder, threads = 1, ...options }) {
  const child = spawn(place('build/bench/pith_native'), { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = [];
  const end = (error) => { while (waiting.length) waiting.shift().reject(error); };
  child.on('error', end);
  child.on('exit', (code) => end(new Error(`the native program ended (${code})`)));
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift().resolve(JSON.parse(line)));
  const ask = async (request) => {
    const answer = await new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      child.stdin.write(`${JSON.stringify(request)}\n`);
    });
    if (answer.status !== 0) throw new Error(answer.message);
    return answer;
  };
  const { result: { info } } = await ask({ verb: 'load', path: place(folder).replace(/\/$/, ''), ...options, threads });
  if (info.threads !== threads) throw new Error(`asked for ${threads} threads, it has ${info.threads}`);
  return {
    facts: { kernels: info.kernels, threads },
    close: () => child.stdin.end(),
    prepare(task) {
      let last;
      if (task.kind === 'embed') return {
        async run() {
          last = await ask({ verb: 'embed', model: 1, texts: task.texts });
          return last.ms;
        },
        answer: () => ({ tokens: last.result.tokens, vectors: ends(last.data, last.result.dims[1]) }),
      };
      if (task.kind === 'generate') return {
        async run() {
          last = (await ask({ verb: 'generate', model: 1, prompt: task.prompt, maxTokens: task.maxTokens })).result;
          return { promptTokens: last.promptTokens, generated: last.ids.length, promptMs: last.promptMs, decodeMs: last.decodeMs };
        },
        answer: () => ({ promptTokens: last.promptTokens, generated: last.ids.length, text: last.text }),
      };
      throw unknown(task);
    },
  };
}
