/**
 * Tables and charts from bench.json alone: node tests/bench/report.js [BENCH.json [FOLDER]]. Writes BENCHMARKS.md and bench-*.svg to the folder.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Results } from './results.js';
import { bars, lines, stacked } from '../../js/svg.js';

const MISSING = '–';
const ms = (value) => (value === null ? MISSING : value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0));
const times = (value) => (value === null ? MISSING : `${value < 10 ? value.toFixed(2) : value.toFixed(1)}×`);
const mb = (bytes) => (bytes === null || bytes === undefined ? MISSING : `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`);
const rate = (value) => (value === null ? MISSING : value < 100 ? value.toFixed(1) : value.toFixed(0));
const table = (head, rows) => [`| ${head.join(' | ')} |`, `|${head.map((_, i) => (i === 0 ? '---|' : '---:|')).join('')}`, ...rows.map((row) => `| ${row.join(' | ')} |`), ''];

/** The goals of the project. `value` may be null: then the case did not run. */
function goals(r) {
  const against = (id, peer, own) => r.ratio(id, peer, own);
  const over = (id, key, bound) => { const time = r.time(id, key); return time === null || bound === null ? null : time / bound; };
  const decode = (key) => r.rate('decoder', key, 'decode'), prompt = (key) => r.rate('decoder', key, 'prompt');
  const quotient = (a, b) => (a === null || b === null ? null : a / b);
  const list = [];
  const goal = (work, short, least, value, { most = false, note = '', format = times } = {}) => list.push({ work, short, least, value, met: value === null ? null : most ? value <= least : value >= least, most, note, format });
  const bound = (id, tokens, peer) => { const time = r.time(id, peer), ceiling = r.encoderCeiling(tokens); return time && ceiling ? `every other cost zero: ${times(time / ceiling)}` : ''; };
  for (const n of [128, 512]) {
    goal(`MiniLM, ${n} tokens, against onnxruntime-web int8`, `${n} tokens, onnxruntime-web int8`, 3, against(`encoder-${n}`, 'ort-int8', 'pith'), { note: bound(`encoder-${n}`, n, 'ort-int8') });
    goal(`MiniLM, ${n} tokens, against onnxruntime-web fp32`, `${n} tokens, onnxruntime-web fp32`, 5, against(`encoder-${n}`, 'ort-fp32', 'pith'), { note: bound(`encoder-${n}`, n, 'ort-fp32') });
  }
  goal('MiniLM, 16 tokens, against onnxruntime-web int8', '16 tokens, onnxruntime-web int8', 3.3, against('encoder-16', 'ort-int8', 'pith'), { note: bound('encoder-16', 16, 'ort-int8') });
  const installed = against('batch-32', 'transformers-q8-default', 'pith');
  goal('32 short texts in one call, against transformers.js q8', '32 short texts, transformers.js q8', 5, against('batch-32', 'transformers-q8', 'pith'), { note: installed ? `its default: ${times(installed)}` : '' });
  goal('SmolLM2-135M, prompt, against wllama', 'prompt, wllama', 20, quotient(prompt('pith-worker'), prompt('wllama')));
  goal('SmolLM2-135M, decode, against wllama', 'decode, wllama', 7, quotient(decode('pith-worker'), decode('wllama')));
  goal('SmolLM2-135M, decode, against native llama.cpp', 'decode, native llama.cpp', 1, quotient(decode('pith-worker'), decode('llama.cpp')));
  goal('plain SIMD128, MiniLM 128, over the plain-dot ceiling', '', 1.35, over('encoder-128', 'pith-simd128', r.encoderCeiling(128, 'i16')), { most: true });
  for (const n of [128, 512]) goal(`two threads against one, ${n} tokens`, `two threads, ${n} tokens`, 1.85, against(`threads-${n}`, 'pith-worker', 'pith-worker@2'));
  const first = against('first-encoder', 'transformers-q8', 'pith-worker'), firstInstalled = against('first-encoder', 'transformers-q8-default', 'pith-worker');
  goal('HTTP cache → first embedding, against transformers.js', 'first embedding, transformers.js', 8, first, { note: firstInstalled ? `its default: ${times(firstInstalled)}` : '' });
  goal('native, 128 tokens, against native onnxruntime int8', 'native, onnxruntime native int8', 1, against('encoder-128', 'ort-native-int8', 'pith-native'));
  const worker = r.memory('memory-encoder', 'pith-worker');
  goal('memory of the model\'s worker with MiniLM int8', '', 35e6, worker?.worker ?? null, { most: true, format: (v) => (v === null ? MISSING : mb(v)) });
  const modules = Object.values(r.data.sizes.modules ?? {}), largest = (what) => (modules.length > 0 ? Math.max(...modules.map((size) => size[what])) : null), kb = (v) => (v === null ? MISSING : `${(v / 1000).toFixed(0)} kB`);
  goal('largest WebAssembly module', '', 200e3, largest('bytes'), { most: true, format: kb });
  goal('largest WebAssembly module, gzipped', '', 80e3, largest('gzipped'), { most: true, format: kb });
  return list;
}

/** A table of times: a row a case, a column a system, milliseconds and how much faster Pith is. */
function timesTable(r, ids, keys, label, base = 'pith') {
  const head = ['', ...keys.map((key) => r.label(key))];
  return table(head, ids.map((id) => [label(r.test(id)), ...keys.map((key) => {
    const time = r.time(id, key);
    if (time === null) return MISSING;
    return key.startsWith('pith') ? `**${ms(time)}**` : `${ms(time)} (${times(r.ratio(id, key, base))})`;
  })]));
}

/** Why systems are missing from these cases, each reason once. */
function reasons(r, ids) {
  const found = new Map();
  for (const id of ids) for (const [key, { skipped }] of Object.entries(r.test(id)?.results ?? {})) {
    if (skipped) found.set(skipped, (found.get(skipped) ?? new Set()).add(`${r.label(key)}${key.includes('@') ? ` with ${key.split('@')[1]} threads` : ''}`));
  }
  return [...found].flatMap(([reason, systems]) => [`Not measured: ${[...systems].join('; ')}: ${reason}`, '']);
}

const COLOUR = { 'pith': 0, 'pith-simd128': 1, 'pith-worker': 0, 'pith-node': 1, 'pith-node20': 4, 'pith-native': 6, 'pith-cli': 6, 'ort-int8': 2, 'ort-fp32': 4, 'transformers-q8': 3, 'transformers-q8-default': 7, 'ort-native-int8': 5, 'ort-native-fp32': 4, 'wllama': 2, 'llama.cpp': 5 };
const colour = (key) => COLOUR[key.split('@')[0]] ?? 4;

function encoderParts(r, charts) {
  const ids = r.family('encoder-'), label = ({ tokens }) => `${tokens} tokens`;
  if (ids.length === 0) return [];
  const page = ['pith', 'pith-simd128', 'pith-worker', 'ort-int8', 'ort-fp32', 'transformers-q8'], outside = ['pith-native', 'pith-node', 'pith-node20', 'ort-native-int8', 'ort-native-fp32'];
  charts['bench-encoder'] = bars({
    title: 'MiniLM, one text, one thread, Chromium: times faster than onnxruntime-web fp32',
    groups: ids.map((id) => ({ label: label(r.test(id)), bars: ['pith', 'pith-simd128', 'ort-int8', 'transformers-q8'].filter((key) => r.ratio(id, 'ort-fp32', key) !== null)
      .map((key) => ({ label: r.label(key), value: r.ratio(id, 'ort-fp32', key), text: `${times(r.ratio(id, 'ort-fp32', key))}  ${ms(r.time(id, key))} ms`, colour: colour(key) })) })),
  });
  charts['bench-tokens'] = lines({
    title: 'How an encoder\'s time grows with the text', x: 'tokens', unit: 'milliseconds',
    series: ['pith', 'pith-simd128', 'pith-native', 'ort-int8', 'ort-fp32', 'transformers-q8', 'ort-native-int8'].map((key) => ({
      label: r.label(key), colour: colour(key), points: ids.filter((id) => r.time(id, key) !== null).map((id) => [r.test(id).tokens, r.time(id, key)]) })).filter(({ points }) => points.length > 0),
  });
  return ['## Encoder: all-MiniLM-L6-v2, one text, one thread', '', 'Milliseconds (median); in brackets how many times faster Pith is than that system.', '', '![Times faster than onnxruntime-web fp32](bench-encoder.svg)', '',
    'In Chromium:', '', ...timesTable(r, ids, page, label), 'Native, and Pith\'s WebAssembly in Node.js (the brackets compare with native Pith):', '', ...timesTable(r, ids, outside, label, 'pith-native'), ...reasons(r, ids),
    '![Time by tokens](bench-tokens.svg)', ''];
}

function batchParts(r, charts) {
  const ids = r.family('batch-'), keys = ['pith', 'pith-worker', 'ort-int8', 'transformers-q8', 'transformers-q8-default', 'pith-native', 'ort-native-int8'];
  if (ids.length === 0) return [];
  charts['bench-batch'] = lines({
    title: 'Short texts in one call: time per text', x: 'texts in one call', unit: 'milliseconds a text',
    series: keys.filter((key) => key !== 'pith-worker').map((key) => ({ label: r.label(key), colour: colour(key), points: ids.filter((id) => r.time(id, key) !== null).map((id) => [r.test(id).batch, r.time(id, key) / r.test(id).batch]) })).filter(({ points }) => points.length > 0),
  });
  return ['## Batches of short texts, one thread', '', 'Milliseconds for the whole call; texts of five to seventeen tokens, which onnxruntime pads to the longest.', '', ...timesTable(r, ids, keys, ({ batch }) => `${batch} ${batch === 1 ? 'text' : 'texts'}`), ...reasons(r, ids), '![Time per text](bench-batch.svg)', ''];
}

function threadParts(r, charts) {
  const ids = r.family('threads-'), keys = ['pith-worker', 'pith-native', 'ort-int8', 'ort-fp32', 'ort-native-int8'];
  if (ids.length === 0) return [];
  const groups = ids.map((id) => ({ label: `${r.test(id).tokens} tokens`, bars: keys.filter((key) => r.ratio(id, key, `${key}@2`) !== null)
    .map((key) => ({ label: r.label(key), value: r.ratio(id, key, `${key}@2`), text: times(r.ratio(id, key, `${key}@2`)), colour: colour(key) })) })).filter((group) => group.bars.length > 0);
  if (groups.length > 0) charts['bench-threads'] = bars({ title: 'Two threads against one: times faster', groups });
  return ['## Two threads', '', 'Milliseconds with one and with two threads, and how many times faster two are.', '',
    ...table(['', ...keys.map(r.label)], ids.map((id) => [`${r.test(id).tokens} tokens`, ...keys.map((key) => {
      const one = r.time(id, key), two = r.time(id, `${key}@2`);
      return one === null ? MISSING : `${ms(one)} → ${ms(two)}${two === null ? '' : ` (**${times(one / two)}**)`}`;
    })])), ...reasons(r, ids), ...(groups.length > 0 ? ['![Speed-up](bench-threads.svg)', ''] : [])];
}

function decoderParts(r, charts) {
  const ids = ['decoder', 'decoder-threads'].filter((id) => r.test(id));
  const rows = ids.flatMap((id) => Object.keys(r.test(id).results).filter((key) => r.rate(id, key, 'decode') !== null).map((key) => ({ id, key })));
  const parts = [], recipe = rows.map(({ id, key }) => r.test(id).results[key].facts?.recipe).find(Boolean);
  if (ids.length > 0) {
    const cells = rows.map(({ id, key }) => {
      const a = r.answer(id, key);
      return [r.label(key), key.includes('@') ? 2 : 1, rate(r.rate(id, key, 'prompt')), rate(r.rate(id, key, 'decode')), `${a.promptTokens} + ${a.generated}`, `${a.sameCharacters} of ${a.text.length}`];
    });
    const panel = (what) => ({ label: what === 'prompt' ? 'prompt, tokens a second' : 'generated tokens a second', bars: rows.map(({ id, key }) => ({ label: `${r.label(key)}${key.includes('@') ? ', 2 threads' : ''}`, value: r.rate(id, key, what), text: rate(r.rate(id, key, what)), colour: colour(key) })) });
    if (rows.length > 0) {
      charts['bench-prompt'] = bars({ title: 'SmolLM2-135M: reading a prompt', groups: [panel('prompt')] });
      charts['bench-decode'] = bars({ title: 'SmolLM2-135M: generating', groups: [panel('decode')] });
    }
    parts.push('## Decoder: SmolLM2-135M-Instruct, Q4_1, greedy', '', `Tokens a second (median). All have the weights of the same GGUF file${recipe ? `; Pith's package was made of it by its recipe "${recipe}"` : ''}. The last column says how far each text agrees with llama.cpp's, in characters.`, '',
      ...table(['', 'threads', 'prompt', 'generated', 'tokens', 'same text'], cells), ...reasons(r, ids), ...(rows.length > 0 ? ['![Prompt](bench-prompt.svg)', '', '![Generation](bench-decode.svg)', ''] : []));
  }
  const contexts = ['decoder', ...r.family('context-')].filter((id) => r.test(id)), keys = ['pith-worker', 'pith-native', 'wllama', 'llama.cpp'];
  if (contexts.length > 1) {
    const series = keys.map((key) => ({ label: r.label(key), colour: colour(key), points: contexts.filter((id) => r.rate(id, key, 'decode') !== null).map((id) => [r.test(id).after, 1000 / r.rate(id, key, 'decode')]) })).filter(({ points }) => points.length > 0);
    if (series.length > 0) charts['bench-context'] = lines({ title: 'How a token\'s time grows with what came before', x: 'tokens of prompt', unit: 'milliseconds a generated token', series });
    parts.push('Growth with the context: prompt and generated tokens a second after prompts of that length.', '',
      ...table(['tokens of prompt', ...keys.map(r.label)], contexts.map((id) => [r.test(id).after, ...keys.map((key) => (r.rate(id, key, 'decode') === null ? MISSING : `${rate(r.rate(id, key, 'prompt'))} / ${rate(r.rate(id, key, 'decode'))}`))])),
      ...reasons(r, r.family('context-')), ...(series.length > 0 ? ['![Time by context](bench-context.svg)', ''] : []));
  }
  if (r.test('story')) {
    parts.push('The embedded model (story, 3.2 M parameters; Pith alone has it):', '', ...table(['', 'prompt', 'generated'], Object.keys(r.test('story').results).filter((key) => r.rate('story', key, 'decode') !== null)
      .map((key) => [r.label(key), rate(r.rate('story', key, 'prompt')), rate(r.rate('story', key, 'decode'))])));
  }
  return parts;
}

function firstParts(r, charts) {
  const ids = ['first-encoder', 'first-decoder', 'first-story'].filter((id) => r.test(id));
  if (ids.length === 0) return [];
  const rows = ids.flatMap((id) => Object.keys(r.test(id).results).filter((key) => r.time(id, key) !== null).map((key) => ({ id, key })));
  charts['bench-first'] = bars({ title: 'From nothing to the first answer', note: 'a fresh page with everything in the browser\'s caches; a fresh process with everything on the disk',
    groups: ids.map((id) => ({ label: r.test(id).title, bars: rows.filter((row) => row.id === id).map(({ key }) => ({ label: r.label(key), value: r.time(id, key), text: `${ms(r.time(id, key))} ms`, colour: colour(key) })) })).filter((group) => group.bars.length > 0) });
  return ['## From nothing to the first answer', '', 'A fresh page, or a fresh process of Node.js: import of the library, the engine compiled, the model loaded, the first answer. Each page was visited twice before,',
    'so that all is in the browser\'s HTTP cache and in what caches the library itself keeps; the bytes that the server still had to send are in the last column.', '',
    ...table(['', '', 'ms', 'model ready', 'bytes fetched'], rows.map(({ id, key }) => {
      const [sample] = r.samples(id, key).slice(-1);
      return [r.test(id).title, r.label(key), ms(r.time(id, key)), ms(r.median(id, key, 'openMs')), sample.fetchedBytes ?? MISSING];
    })), ...reasons(r, ids), '![First answer](bench-first.svg)', ''];
}

function memoryParts(r, charts) {
  const ids = ['memory-encoder', 'memory-decoder'].filter((id) => r.test(id));
  const rows = ids.flatMap((id) => Object.keys(r.test(id).results).map((key) => ({ id, key, memory: r.memory(id, key) })).filter(({ memory }) => memory));
  if (rows.length > 0) {
    charts['bench-memory'] = bars({ title: 'Memory of the page', note: 'performance.measureUserAgentSpecificMemory(), workers included',
      groups: ids.map((id) => ({ label: r.test(id).title, bars: rows.filter((row) => row.id === id).map(({ key, memory }) => ({ label: r.label(key), value: memory.page, text: mb(memory.page), colour: colour(key) })) })).filter((group) => group.bars.length > 0) });
  }
  const { engines, models } = r.data.sizes;
  return ['## Memory and size', '', ...(rows.length > 0 ? table(['', '', 'page', 'of it in workers', 'wasm memory'], rows.map(({ id, key, memory }) => [r.test(id).title, r.label(key), mb(memory.page), mb(memory.worker), memory.own ? mb(memory.own) : MISSING])) : []),
    ...reasons(r, ids), ...(rows.length > 0 ? ['![Memory](bench-memory.svg)', ''] : []),
    'What a page fetches before it can answer:', '', ...table(['engine (module and scripts)', 'bytes', 'gzipped'], Object.entries(engines).map(([name, size]) => [name, mb(size.bytes), mb(size.gzipped)])),
    ...table(['model', 'bytes'], Object.entries(models).map(([name, bytes]) => [name, mb(bytes)]))];
}

function ceilingParts(r, charts) {
  const parts = [];
  if (r.test('ceiling')) {
    const names = { f32: 'f32 product, GFLOP/s', i16: 'i16-dot product, GOP/s', relaxed: 'relaxed-dot product, GOP/s', read: 'sequential read, GB/s' }, places = { chromium: 'Chromium', node: 'current Node.js', node20: 'oldest Node.js' };
    parts.push('## What the engines can do', '', 'Probes of the benchmark (`tests/bench/probes.js`): straight tiles of four rows by eight outputs, 128 × 384 by 384 × 1536, nothing but the product; a read of 128 MB.', '',
      ...table(['', ...Object.values(places)], Object.entries(names).map(([probe, name]) => [name, ...Object.keys(places).map((place) => rate(r.ceiling(probe, place)))])));
    const relaxed = r.ceiling('relaxed'), plain = r.ceiling('i16');
    if (relaxed && plain && relaxed < 1.3 * plain) {
      parts.push(`On this processor the relaxed dot product has no advantage over the plain one (${rate(relaxed)} against ${rate(plain)} GOP/s): it lacks the dot-product instruction that the engine compiles it to`,
        '(AVX-VNNI), and gets three instructions instead. The goals were set on a processor that has it.', '');
    }
  }
  const rows = [];
  for (const [id, base, name] of [['stages-encoder', 'encoder-128', 'MiniLM, 128 tokens'], ['stages-decoder', null, 'SmolLM2-135M, prompt and decode']]) {
    for (const [key, result] of Object.entries(r.test(id)?.results ?? {})) {
      if (result.skipped || rows.some((row) => row.name === name && row.kernels === result.facts.kernels)) continue; // auto may choose plain SIMD128
      // The profiler slows what it watches: its shares are applied to the time without it.
      const whole = base ? r.time(base, key) ?? r.time(id, key) : r.time(id, key);
      rows.push({ key, name, whole, shares: result.shares, kernels: result.facts.kernels, encoder: id === 'stages-encoder' });
    }
  }
  if (rows.length > 0) {
    const stages = [...new Set(rows.flatMap(({ shares }) => Object.keys(shares)))];
    const bound = (row) => row.encoder ? r.encoderStageCeilings(128, row.kernels === 'simd128' ? 'i16' : undefined) : {};
    charts['bench-stages'] = stacked({ title: 'Where the time goes (Chromium, one thread)', note: 'dashed: the engine\'s measured ceiling for all products, every other cost zero',
      rows: rows.map((row) => ({ label: `${row.name.split(',')[0]}, ${row.kernels}`, text: `${ms(row.whole)} ms`, bound: row.encoder ? Object.values(bound(row)).reduce((a, b) => a + b, 0) || undefined : undefined,
        parts: stages.filter((stage) => row.shares[stage]).map((label) => ({ label, value: row.shares[label] * row.whole })) })) });
    parts.push('Where the time goes, by the browser\'s profiler, in milliseconds; in brackets how many times the ceiling\'s time it is.', '',
      ...table(['', ...stages], rows.map((row) => [`${row.name}, ${row.kernels}`, ...stages.map((stage) => {
        const time = (row.shares[stage] ?? 0) * row.whole, least = bound(row)[stage];
        return least ? `${ms(time)} (${times(time / least)})` : ms(time);
      })])), '![Stages](bench-stages.svg)', '');
  }
  return [...parts, ...reasons(r, ['stages-encoder', 'stages-decoder'])];
}

function agreementParts(r) {
  const cosines = new Map();
  for (const test of r.data.cases) for (const [key, result] of Object.entries(test.results)) if (result.answer?.cosine !== undefined) {
    cosines.set(r.label(key), Math.min(cosines.get(r.label(key)) ?? 1, result.answer.cosine));
  }
  if (cosines.size === 0) return [];
  return ['## The same answers', '', 'The least cosine between a system\'s embedding and that of the fp32 model, over all texts above (first and last text of a batch). A run fails where it is below 0.99 (Pith),',
    '0.97 (onnxruntime int8, one scale a channel) or 0.9 (q8, one scale a tensor), or where decoders count other tokens.', '', ...table(['', 'least cosine'], [...cosines].map(([label, value]) => [label, Math.min(1, value).toFixed(4)]))];
}

/** @param {string} from bench.json @param {string} folder */
export function writeReport(from, folder) {
  const data = JSON.parse(readFileSync(from, 'utf8')), r = new Results(data), charts = {};
  const { facts } = data, { machine, versions } = facts;
  const list = goals(r).filter(({ value }) => facts.complete || value !== null);
  const warnings = [];
  if (!facts.complete) warnings.push('**This is a part of the benchmark** and no record.');
  if (Math.max(facts.busyBefore, facts.busyAfter) > 0.05) warnings.push(`**Others used the machine** (${Math.round(facts.busyBefore * 100)} % before the run, ${Math.round(facts.busyAfter * 100)} % after it): times are too long and uneven.`);
  if (facts.rounds !== undefined && facts.rounds < 5) warnings.push(`**Only ${facts.rounds} ${facts.rounds === 1 ? 'round' : 'rounds'}** of every case.`);
  const measured = list.filter(({ value }) => value !== null);
  charts['bench-goals'] = measured.some(({ most }) => !most) ? bars({ title: 'Goals: what was measured, and what was wanted', note: 'a bar of full length on the scale of its goal means: reached exactly',
    groups: [{ label: '', bars: measured.filter(({ most }) => !most).map(({ short, value, least, met, format }) => ({ label: short, value: Math.min(2, value / least), text: `${format(value)} of ${format(least)}`, colour: met ? 5 : 2 })) }] }) : undefined;
  const sections = [...encoderParts(r, charts), ...batchParts(r, charts), ...threadParts(r, charts), ...decoderParts(r, charts), ...firstParts(r, charts), ...memoryParts(r, charts), ...ceilingParts(r, charts), ...agreementParts(r)];
  const page = [
    '# Benchmarks', '', '`npm run bench` measures Pith beside its peers: one run, one machine, the same texts and threads. It writes every sample to [bench.json](bench.json), and from that file alone',
    '(`node tests/bench/report.js`) this page and its charts. Ratios are what counts; milliseconds belong to the machine.', '',
    `${machine.processor} (family ${machine.family}, model ${machine.model}), ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}; ${[...machine.vectors, ...machine.dotProductInstructions].join(', ')}.`,
    `Pith ${facts.commit}${facts.changed ? ' with changes' : ''}; ${facts.date} UTC; ${facts.minutes} minutes.`,
    Object.entries(versions).filter(([name]) => name !== 'pith').map(([name, version]) => `${name} ${version}`).join(', ') + '.', '', ...warnings.flatMap((warning) => [warning, '']),
    '## Goals', '', ...(charts['bench-goals'] ? ['![Goals](bench-goals.svg)', ''] : []), ...table(['work (one thread, Chromium, unless said)', 'goal', 'measured', '', ''], list.map(({ work, least, value, met, most, note, format }) =>
      [work, `${most ? '≤' : '≥'} ${format(least)}`, value === null ? 'not measured' : `**${format(value)}**`, met === null ? '' : met ? 'met' : 'missed', note])),
    '"Every other cost zero" is what the goal\'s ratio could be at most on this machine: the peer\'s time over all products at the best rate of the probes below.', '',
    ...sections, '## What is counted', '', ...Object.entries(data.systems).map(([, { label, where, counts }]) => `- ${label} (${where}): ${counts}.`), '',
    'One page or process a system, all of a case open at once and idle but for the one that is asked. After warm-up (two calls; one for decoders) the systems take turns, round by round, each round beginning',
    'with another one; encoders are called for 40 ms at least each time. Figures are medians of all calls. Decoders get another prompt of the same length every round, and prompt caches are off. One thread means one on each side, two mean two.',
    'Peers\' settings: onnxruntime with all graph optimisations; transformers.js with and without its GPU-capable engine; wllama and llama.cpp without a GPU and with a context of 1024.',
    'Pith\'s 512-token package is the same checkpoint with `max_seq_length` 512 in `sentence_bert_config.json`.', '',
  ];
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (/^bench-.*\.svg$/.test(name)) rmSync(join(folder, name)); // of an earlier run that had more
  for (const [name, svg] of Object.entries(charts)) if (svg) writeFileSync(join(folder, `${name}.svg`), svg);
  writeFileSync(join(folder, 'BENCHMARKS.md'), page.join('\n'));
  console.log(`bench: ${join(folder, 'BENCHMARKS.md')}`);
  for (const { work, least, value, met, most, format } of list) console.log(`  ${met === null ? '  –   ' : met ? ' met  ' : 'missed'}  ${work}: ${value === null ? 'not measured' : format(value)} (goal ${most ? '≤' : '≥'} ${format(least)})`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const from = resolve(process.argv[2] ?? fileURLToPath(new URL('../../docs/bench.json', import.meta.url)));
  writeReport(from, resolve(process.argv[3] ?? dirname(from)));
}
