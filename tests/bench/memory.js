/**
 * What compressing a large checkpoint takes: peak memory, time, and the longest step of the module. The checkpoint is made here, of Llama's shape and
 * random weights, with the tokenizer of the story model: its answers mean nothing, its work is that of a real one.
 *
 *   node tests/bench/memory.js [--layers 12] [--hidden 2048] [--inner 5632] [--hosts native,wasm] [--recipes int8,int4-calibrated] [--tokens 512]
 *     [--threads 1] [--folder DIR]
 *
 * The preset is 1.03 GB. With --folder the checkpoint stays there, and is taken as it is when it is there.
 */
import { execFileSync, spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../../', import.meta.url)), story = join(root, 'models/story');
const SHARD_BYTES = 256e6, POLL_MS = 20;

/** Halves of magnitude 1/64 to 1/32: rows of 2048 such weights keep an input's size. */
function randomHalves(n) {
  const halves = new Uint16Array(n);
  let state = 12345;
  for (let i = 0; i < n; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    halves[i] = (state >>> 31) << 15 | 9 << 10 | (state >>> 12 & 1023);
  }
  return halves;
}

/** Tensors by name, in files of about SHARD_BYTES. hidden: a multiple of 256. @param {string} folder @param {{hidden: number, inner: number, layers: number}} shape */
export function makeCheckpoint(folder, { hidden, inner, layers }) {
  const { config } = JSON.parse(readFileSync(join(story, 'pith.json'), 'utf8')), vocabulary = config.vocab_size, heads = hidden / 64, keys = hidden / 4;
  /** @type {[string, number[]][]} */
  const tensors = [['model.embed_tokens.weight', [vocabulary, hidden]]];
  for (let i = 0; i < layers; i++) {
    const of = { 'input_layernorm': [hidden], 'self_attn.q_proj': [hidden, hidden], 'self_attn.k_proj': [keys, hidden], 'self_attn.v_proj': [keys, hidden],
      'self_attn.o_proj': [hidden, hidden], 'post_attention_layernorm': [hidden], 'mlp.gate_proj': [inner, hidden], 'mlp.up_proj': [inner, hidden], 'mlp.down_proj': [hidden, inner] };
    for (const [name, shape] of Object.entries(of)) tensors.push([`model.layers.${i}.${name}.weight`, shape]);
  }
  tensors.push(['model.norm.weight', [hidden]], ['lm_head.weight', [vocabulary, hidden]]);
  const bytesOf = (shape) => 2 * shape.reduce((a, b) => a * b, 1);
  /** @type {[string, number[]][][]} */
  const shards = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    if (filled > SHARD_BYTES) [filled] = [0, shards.push([])];
    shards[shards.length - 1].push(tensor);
    filled += bytesOf(tensor[1]);
  }
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(story, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  const random = Buffer.from(randomHalves(1 << 22).buffer), ones = Buffer.from(new Uint16Array(hidden).fill(0x3c00).buffer);
  const weightMap = {};
  let total = 0;
  shards.forEach((shard, s) => {
    const name = `model-${String(s + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`, file = openSync(join(folder, name), 'w');
    const header = {};
    let offset = 0;
    for (const [tensor, shape] of shard) {
      header[tensor] = { dtype: 'F16', shape, data_offsets: [offset, offset += bytesOf(shape)] };
      weightMap[tensor] = name;
    }
    const json = Buffer.from(JSON.stringify(header)), length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    writeSync(file, length);
    writeSync(file, json);
    for (const [, shape] of shard) {
      if (shape.length === 1) writeSync(file, ones);
      else for (let left = bytesOf(shape), at = total % 1000 * 2; left > 0; at = 0) left -= writeSync(file, random, at, Math.min(left, random.length - at));
      total += bytesOf(shape);
    }
    closeSync(file);
  });
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_size: hidden, head_dim: 64,
    intermediate_size: inner, num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: heads / 4, tie_word_embeddings: false, torch_dtype: 'float16' }));
}

/** Texts of about so many tokens, which are words here. */
export function writeTexts(path, tokens) {
  const words = 'once upon a time there was a little girl who had a red ball and a dog that ran after it in the park'.split(' '), lines = [];
  for (let n = 0; n < tokens; n += 32) lines.push(Array.from({ length: 32 }, (_, i) => words[(n * 7 + i * (1 + n / 32)) % words.length]).join(' '));
  writeFileSync(path, `${lines.join('\n')}\n`);
}

/** Peak resident memory in MB, and seconds of the processors and of the clock. @returns {Promise<{mb: number, cpu: number, seconds: number, output: string}>} */
function measure(program, args, env = {}) {
  const began = performance.now(), child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  let mb = 0, cpu = 0, output = '';
  const timer = setInterval(() => {
    try {
      mb = Math.max(mb, Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1] ?? 0) * 1024 / 1e6);
      const [, user, system] = /^.*\) (?:\S+ ){11}(\d+) (\d+)/.exec(readFileSync(`/proc/${child.pid}/stat`, 'utf8')) ?? [];
      cpu = (Number(user) + Number(system)) / 100 || cpu;
    } catch {} // it has ended
  }, POLL_MS);
  child.stdout.on('data', (text) => { output += text; });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      if (code === 0) resolve({ mb, cpu, seconds: (performance.now() - began) / 1e3, output });
      else reject(new Error(`${program} ended with ${code}`));
    });
  });
}

/** In a process of its own: the module's memory and its longest step. @param {string} request */
async function inModule(request) {
  const { source, ...options } = JSON.parse(request), seen = { step: 0, phase: '', bytes: 0 };
  let phase = '';
  const { Instance } = WebAssembly;
  // @ts-expect-error a stand-in that times the steps
  WebAssembly.Instance = function (module, imports) {
    const instance = new Instance(module, imports), step = /** @type {any} */ (instance.exports).pith_wasm_step;
    if (!step) return instance;
    const memory = imports?.env?.memory ?? instance.exports.memory;
    const timed = (...args) => {
      const began = performance.now(), status = step(...args), ms = performance.now() - began;
      if (ms > seen.step) Object.assign(seen, { step: ms, phase });
      seen.bytes = memory.buffer.byteLength;
      return status;
    };
    return { exports: { ...instance.exports, pith_wasm_step: timed } };
  };
  const { compress } = await import('../../js/index.js');
  await compress(source, { ...options, worker: false, onProgress: (progress) => { phase = `${progress.phase} ${progress.done}`; } });
  console.log(JSON.stringify(seen));
}

async function main() {
  const { values } = parseArgs({ options: { layers: { type: 'string', default: '12' }, hidden: { type: 'string', default: '2048' }, inner: { type: 'string', default: '5632' },
    hosts: { type: 'string', default: 'native,wasm' }, recipes: { type: 'string', default: 'int8,int4-calibrated' }, tokens: { type: 'string', default: '512' },
    threads: { type: 'string', default: '1' }, folder: { type: 'string' } } });
  // A few words are measured on, so that the time is that of compressing.
  const place = values.folder ?? mkdtempSync(join(tmpdir(), 'pith-memory-')), source = join(place, 'checkpoint'), texts = join(place, 'texts.txt'), few = join(place, 'few.txt'), output = join(place, 'package');
  try {
    if (!existsSync(join(source, 'config.json'))) makeCheckpoint(source, { hidden: Number(values.hidden), inner: Number(values.inner), layers: Number(values.layers) });
    writeTexts(texts, Number(values.tokens));
    writeFileSync(few, 'Once upon a time there was a dog.\n');
    const lines = readFileSync(texts, 'utf8').trim().split('\n');
    for (const host of values.hosts.split(','))
      for (const name of values.recipes.split(',')) {
        const [recipe, calibrated] = name.split('-');
        rmSync(output, { recursive: true, force: true });
        const result = host === 'native'
          ? await measure(join(root, 'build/release/pith'), ['compress', source, '-o', output, '--recipe', recipe, '--threads', values.threads, '--texts', few, ...(calibrated ? ['--calibrate', texts] : [])])
          : await measure(process.execPath, [fileURLToPath(import.meta.url)], { PITH_MEMORY_REQUEST: JSON.stringify({ source, output, recipe, threads: Number(values.threads), texts: [readFileSync(few, 'utf8').trim()], ...(calibrated ? { calibrate: lines } : {}) }) });
        const inside = host === 'native' ? null : JSON.parse(result.output);
        const hash = execFileSync('sh', ['-c', 'cat "$0"/*.safetensors | sha256sum', output], { encoding: 'utf8' }).slice(0, 16);
        console.log(`${host} ${name}: ${result.mb.toFixed(0)} MB resident, ${result.cpu.toFixed(0)} s of a processor (${result.seconds.toFixed(0)} s passed)${inside ? `, module ${(inside.bytes / 1e6).toFixed(0)} MB, longest step ${inside.step.toFixed(0)} ms (after ${inside.phase})` : ''}, shards ${hash}`);
      }
  } finally {
    rmSync(output, { recursive: true, force: true });
    if (!values.folder) rmSync(place, { recursive: true, force: true });
  }
}

if (process.env.PITH_MEMORY_REQUEST) await inModule(process.env.PITH_MEMORY_REQUEST);
else if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
