/**
 * What runs beside a system, in a page or in a Node.js process of its own: it opens the one system, gives it tasks and holds the watch.
 * The orchestrator (bench.js) calls these methods; what goes in and comes out is JSON.
 *
 * A system is a module of systems/ with `open(config)`, which resolves to
 *   facts     what is worth knowing of it: variant, threads, versions
 *   prepare   (task) → {run, answer}: `run` is what is timed; it may resolve to a sample of its own: milliseconds, or an object of them
 *   memory    () → bytes of WebAssembly memory that the system itself knows of (optional)
 *   close     (optional)
 */
const round = (ms) => Math.round(ms * 1000) / 1000;

let system, job;

/** @param {string} name of a module in systems/ @param {object} config */
export async function open(name, config) {
  const { open: openSystem } = await import(`./systems/${name}.js`);
  system = await openSystem(config);
  return system.facts ?? {};
}

/** Makes a task ready, does it twice to warm up and says what came out. */
export async function prepare(task, { warmUp = 2 } = {}) {
  job = await system.prepare(task);
  for (let i = 0; i < warmUp; i++) await job.run();
  return job.answer();
}

/** Another task of the same kind, without warm-up: a prompt that no cache has seen. */
export async function retask(task) {
  job = await system.prepare(task);
}

/** Calls until so many milliseconds have gone by, at least one. Each call is a sample. */
export async function sample(atLeastMs) {
  const samples = [], begin = performance.now();
  do {
    const from = performance.now();
    const own = await job.run();
    const ms = round(performance.now() - from);
    samples.push(typeof own === 'number' ? round(own) : own ? { ...own, ms } : ms);
  } while (performance.now() - begin < atLeastMs);
  return samples;
}

export const answer = () => job.answer();

/** From nothing to the first answer: the library's import, the model, the task. Only in a fresh page or process. */
export async function firstAnswer(name, config, task) {
  const from = performance.now();
  const { open: openSystem } = await import(`./systems/${name}.js`);
  system = await openSystem(config);
  const opened = performance.now();
  job = await system.prepare(task);
  await job.run();
  const ms = round(performance.now() - from);
  return { ms, openMs: round(opened - from), answer: await job.answer(), facts: system.facts ?? {} };
}

/** Bytes of the whole page, its workers' included, as the browser counts them. */
export async function memoryOfPage() {
  return (await performance.measureUserAgentSpecificMemory()).bytes;
}

export async function memory() {
  const { bytes, breakdown } = await performance.measureUserAgentSpecificMemory();
  return {
    own: system.memory ? await system.memory() : null,
    page: bytes,
    breakdown: breakdown.filter((part) => part.bytes > 0).map((part) => ({ bytes: part.bytes, types: part.types, scope: part.attribution.map((a) => a.scope).join(' ') })),
  };
}

export async function close() {
  await system?.close?.();
  system = job = undefined;
}
