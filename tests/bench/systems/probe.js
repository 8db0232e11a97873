// The ceiling of the engine that this runs in: probes.js in one thread.
import { inNode, place } from './shared.js';

const M = 128, N = 1536, K = 384, READ_BYTES = 128 << 20;
const INPUTS = { f32: 1, i16: 2, relaxed: 4 };

async function instance(name) {
  const path = place(`build/bench/probes/${name}.wasm`);
  const bytes = inNode ? (await import('node:fs')).readFileSync(path) : await (await fetch(path)).arrayBuffer();
  if (!WebAssembly.validate(bytes)) throw new Error('the engine has no relaxed SIMD');
  return (await WebAssembly.instantiate(bytes)).instance.exports;
}

export async function open() {
  return {
    async prepare({ probe }) {
      const wasm = await instance(probe);
      if (probe === 'read') {
        wasm.memory.grow(READ_BYTES >> 16);
        new Uint32Array(wasm.memory.buffer).fill(1);
        return { run: () => { wasm.run(0, READ_BYTES); }, answer: () => ({ bytes: READ_BYTES }) };
      }
      const steps = K / INPUTS[probe], a = 1024, b = a + M * steps * 4, c = b + N * steps * 4;
      wasm.memory.grow((c + M * N * 4) >> 16);
      if (probe === 'f32') new Float32Array(wasm.memory.buffer).fill(1);
      else new Uint8Array(wasm.memory.buffer).fill(1);
      return {
        run: () => { wasm.run(a, b, c, M, N, steps); },
        // Ones everywhere, so that every sum is K in units of the element.
        answer() {
          const sum = new (probe === 'f32' ? Float32Array : Int32Array)(wasm.memory.buffer, c, M * N), one = probe === 'i16' ? 257 * 257 : 1;
          for (const x of sum) if (x !== K * one) throw new Error(`probe ${probe} computes ${x}`);
          return { operations: 2 * M * N * K };
        },
      };
    },
  };
}
