/**
 * Where the time goes: Chromium's sampling profiler over a build of Pith that keeps its functions' names. Nothing in the product measures
 * itself for this. A function belongs to the first stage whose pattern matches its name; one that matches none belongs to its caller's.
 */
export const STAGES = [
  ['weights', /gemm_[iu]\d|gemv|matvec|decode_row|rows?_[iu]\d|_head\b/],
  ['attention', /gemm_f32|attention|attend|flash|scores/],
  ['softmax', /softmax/],
  ['quantising activations', /quanti[sz]e/],
  ['activation function', /gelu|silu|erf|tanh|relu/],
  ['norms', /norm(?!al)/],
  ['rotation', /rope|rotate/],
  ['tokenizer and text', /token|split_|added|wordpiece|bpe|unicode|normalize|utf8|ids_|json|encode_|decompose|vocabulary/],
  ['sampling', /sampler|choose/],
];
const stageOf = (name) => STAGES.find(([, pattern]) => pattern.test(name))?.[0];

/**
 * @param {{page: import('playwright-core').Page, call: Function}} host with its task prepared
 * @param {number} ms to sample for
 */
export async function stageTimes(host, ms) {
  const session = await host.page.context().newCDPSession(host.page);
  await session.send('Profiler.enable');
  await session.send('Profiler.setSamplingInterval', { interval: 100 });
  await session.send('Profiler.start');
  const samples = await host.call('sample', ms);
  const { profile } = await session.send('Profiler.stop');
  await session.detach();
  const self = new Map();
  profile.samples.forEach((id, i) => self.set(id, (self.get(id) ?? 0) + profile.timeDeltas[i] / 1000));
  const functions = {}, byStage = {};
  let idle = 0, total = 0, named = false;
  const visit = (node, inherited) => {
    const { functionName, url } = node.callFrame, wasm = /^wasm:|\.wasm$/.test(url);
    const name = wasm ? functionName.replace(/^\$/, '') : functionName.startsWith('(') ? functionName : 'JavaScript';
    const stage = wasm ? stageOf(name) ?? inherited ?? 'rest' : 'JavaScript and browser', time = self.get(node.id) ?? 0;
    named ||= /^pith_/.test(name);
    if (name === '(idle)') {
      idle += time;
    } else {
      functions[name] = (functions[name] ?? 0) + time;
      const places = byStage[name] ??= {};
      places[stage] = (places[stage] ?? 0) + time;
      total += time;
    }
    for (const child of node.children ?? []) visit(nodes.get(child), wasm ? stageOf(name) ?? inherited : undefined);
  };
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  visit(profile.nodes[0]);
  if (!named) throw new Error('the profile names no function of Pith');
  // Some stacks are cut short: what is at rest there belongs where the same function is mostly found.
  const stages = {};
  for (const places of Object.values(byStage)) {
    const [usual] = Object.keys(places).filter((stage) => stage !== 'rest').sort((a, b) => places[b] - places[a]);
    for (const [stage, time] of Object.entries(places)) {
      const at = stage === 'rest' ? usual ?? 'rest' : stage;
      stages[at] = (stages[at] ?? 0) + time;
    }
  }
  const share = (time) => Math.round(time / total * 1e4) / 1e4;
  return {
    samples: [samples], profiledMs: Math.round(total), idleMs: Math.round(idle),
    shares: Object.fromEntries(Object.entries(stages).sort((a, b) => b[1] - a[1]).map(([name, time]) => [name, share(time)])),
    functions: Object.entries(functions).sort((a, b) => b[1] - a[1]).slice(0, 25).map(([name, time]) => ({ name, share: share(time) })),
  };
}
