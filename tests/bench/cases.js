/**
 * The cases, as data. `kind` says how a case is measured (measure.js): 'timed', 'first', 'memory', 'stages', 'ceiling'.
 * `systems` are ids of systems.js, with @N for N threads. A system that cannot do a case says why; the others go on.
 */
import { ofTokens, prompt, SHORT } from './texts.js';

const ENCODERS = ['pith', 'pith-simd128', 'pith-worker', 'pith-node', 'pith-node20', 'pith-native', 'ort-int8', 'ort-fp32', 'transformers-q8',
  'ort-native-int8', 'ort-native-fp32'];
const TWICE = ['pith-worker', 'pith-worker@2', 'pith-native', 'pith-native@2', 'ort-int8', 'ort-int8@2', 'ort-fp32', 'ort-fp32@2', 'ort-native-int8', 'ort-native-int8@2'];
const DECODERS = ['pith-worker', 'pith-simd128', 'pith-node', 'pith-native', 'wllama', 'llama.cpp'];

/** @param {number} n tokens; beyond 256 the package whose limit is 512 */
const encoderModel = (n) => (n > 256 ? 'minilm-512' : 'minilm');
const generation = (n, maxTokens) => ({ kind: 'generate', maxTokens, prompt: (variant) => prompt(n, variant) });
const embedding = (texts) => ({ kind: 'embed', texts });

export const CASES = [
  { id: 'ceiling', kind: 'ceiling', title: 'What the engines can do: probes, one thread', probes: ['f32', 'i16', 'relaxed', 'read'], places: ['chromium', 'node', 'node20'], rounds: 5, quick: true },

  ...[16, 64, 128, 256, 512].map((n) => ({
    id: `encoder-${n}`, kind: 'timed', title: `One text of ${n} tokens, one thread`, model: encoderModel(n), tokens: n, systems: ENCODERS,
    task: embedding([ofTokens(n)]), quick: n === 16 || n === 128,
  })),
  ...[1, 8, 32].map((n) => ({
    id: `batch-${n}`, kind: 'timed', title: `${n} short ${n === 1 ? 'text' : 'texts'} in one call, one thread`, model: 'minilm', batch: n,
    systems: ['pith', 'pith-worker', 'pith-node', 'pith-native', 'ort-int8', 'transformers-q8', 'transformers-q8-default', 'ort-native-int8'], task: embedding(SHORT.slice(0, n)), quick: n === 32,
  })),
  ...[16, 128, 512].map((n) => ({
    id: `threads-${n}`, kind: 'timed', title: `One text of ${n} tokens, one and two threads`, model: encoderModel(n), tokens: n, systems: TWICE,
    task: embedding([ofTokens(n)]), quick: n === 128,
  })),
  { id: 'stages-encoder', kind: 'stages', title: 'Where an encoder\'s time goes, 128 tokens', model: 'minilm', tokens: 128, task: embedding([ofTokens(128)]), quick: true },

  { id: 'decoder', kind: 'timed', title: 'SmolLM2-135M, one thread', model: 'smollm2', after: 130, systems: DECODERS, task: generation(130, 64), rounds: 3, quick: true },
  { id: 'decoder-threads', kind: 'timed', title: 'SmolLM2-135M, two threads', model: 'smollm2', systems: ['pith-worker@2', 'pith-native@2', 'wllama@2', 'llama.cpp@2'],
    task: generation(130, 64), rounds: 3 },
  ...[400, 800].map((n) => ({
    id: `context-${n}`, kind: 'timed', title: `SmolLM2-135M after a prompt of about ${n} tokens, one thread`, model: 'smollm2', after: n,
    systems: ['pith-worker', 'pith-native', 'llama.cpp', ...(n < 800 ? ['wllama'] : [])], task: generation(n, 32), rounds: 1,
  })),
  { id: 'story', kind: 'timed', title: 'The embedded model (story, 3.2 M), one thread', model: 'story', systems: ['pith-worker', 'pith-simd128', 'pith-node', 'pith-node20', 'pith-native'],
    task: generation(130, 64), rounds: 5, quick: true },
  { id: 'stages-decoder', kind: 'stages', title: 'Where a decoder\'s time goes', model: 'smollm2', task: generation(130, 64) },

  { id: 'first-encoder', kind: 'first', title: 'From nothing to the first embedding', model: 'minilm', systems: ['pith-worker', 'ort-int8', 'transformers-q8', 'transformers-q8-default', 'pith-node', 'pith-node20', 'pith-cli', 'ort-native-int8'],
    task: embedding([SHORT[0]]), rounds: 5, quick: true },
  { id: 'first-decoder', kind: 'first', title: 'From nothing to the first generated token', model: 'smollm2', systems: ['pith-worker', 'wllama', 'pith-node', 'llama.cpp'],
    task: generation(8, 1), rounds: 3 },
  { id: 'first-story', kind: 'first', title: 'From nothing to the first token of the embedded model', model: 'story', systems: ['pith-worker', 'pith-node', 'pith-node20'],
    task: generation(8, 1), rounds: 5 },
  { id: 'memory-encoder', kind: 'memory', title: 'Memory with MiniLM after texts of 128 tokens', model: 'minilm', systems: ['pith-worker', 'pith', 'ort-int8', 'ort-fp32', 'transformers-q8', 'transformers-q8-default'],
    task: embedding([ofTokens(128)]), quick: true },
  { id: 'memory-decoder', kind: 'memory', title: 'Memory with SmolLM2-135M after 64 generated tokens', model: 'smollm2', systems: ['pith-worker', 'wllama'], task: generation(130, 64) },
];
