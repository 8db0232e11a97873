// The native command line, one process a call: its start, the load and the answer are all counted.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { ends, place, unknown } from './shared.js';

/** @param {{package: string, threads?: number}} config */
export async function open({ package: folder }) {
  return {
    prepare(task) {
      if (task.kind !== 'embed' || task.texts.length !== 1) throw unknown(task);
      let last;
      return {
        async run() { last = (await promisify(execFile)(place('build/pith'), ['embed', place(folder), '--json', ...task.texts], { maxBuffer: 1 << 24 })).stdout; },
        answer() {
          const { embedding } = JSON.parse(last);
          return { vectors: ends(embedding, embedding.length) };
        },
      };
    },
  };
}
