/** What bench.json says, by case and system. */

/** @param {number[]} list */
export function median(list) {
  if (list.length === 0) return null;
  const sorted = [...list].sort((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export class Results {
  /** @param {any} data of bench.json */
  constructor(data) {
    this.data = data;
    this.cases = new Map(data.cases.map((test) => [test.id, test]));
    this.label = this.label.bind(this);
    this.where = this.where.bind(this);
  }

  test(id) { return this.cases.get(id); }
  /** Ids of the cases that ran and whose names begin so. */
  family(prefix) { return [...this.cases.keys()].filter((id) => id.startsWith(prefix)); }
  label(key) { return this.data.systems[key.split('@')[0]]?.label ?? key; }
  where(key) { return this.data.systems[key.split('@')[0]]?.where ?? key; }
  /** All samples of a system, rounds joined. */
  samples(id, key) { return this.test(id)?.results[key]?.samples?.flat() ?? []; }
  answer(id, key) { return this.test(id)?.results[key]?.answer; }

  /** Median over the calls, of a member where samples are objects. */
  median(id, key, member) {
    return median(this.samples(id, key).map((sample) => (typeof sample === 'number' ? sample : sample[member])));
  }
  time(id, key) { return this.median(id, key, 'ms'); }
  /** How many times faster `own` is than `peer`. */
  ratio(id, peer, own) {
    const a = this.time(id, peer), b = this.time(id, own);
    return a === null || b === null ? null : a / b;
  }
  /** Tokens a second. The first token comes out of the prompt's pass, so that n tokens take n - 1 steps. */
  rate(id, key, what) {
    return median(this.samples(id, key).map((s) => (what === 'prompt' ? s.promptTokens / s.promptMs : (s.generated - 1) / s.decodeMs) * 1000));
  }

  memory(id, key) {
    const [sample] = this.samples(id, key);
    if (!sample) return null;
    const worker = sample.breakdown.filter(({ scope }) => /Worker/.test(scope)).reduce((sum, part) => sum + part.bytes, 0);
    return { page: sample.page, own: sample.own, worker: worker || null };
  }

  /** A probe's rate: 10⁹ operations or bytes a second. */
  ceiling(probe, place = 'chromium') {
    const answer = this.answer('ceiling', `${probe}/${place}`), time = this.time('ceiling', `${probe}/${place}`);
    return time === null ? null : (answer.operations ?? answer.bytes) / time / 1e6;
  }

  /** Operations of MiniLM's products: [with weights, in attention]. */
  encoderOperations(tokens) {
    const { hidden, layers, intermediate } = this.data.facts.shapes.minilm;
    return [2 * layers * tokens * (4 * hidden * hidden + 2 * hidden * intermediate), 2 * layers * 2 * tokens * tokens * hidden];
  }

  /** Milliseconds of all products at one probe's rate (the better integer one unless told), attention counted, every other cost zero. */
  encoderCeiling(tokens, probe) {
    const best = probe ? this.ceiling(probe) : Math.max(this.ceiling('relaxed') ?? 0, this.ceiling('i16') ?? 0);
    return best ? this.encoderOperations(tokens).reduce((a, b) => a + b, 0) / best / 1e6 : null;
  }

  /** The same by stage, with attention, which is computed in f32, at the f32 probe's rate. */
  encoderStageCeilings(tokens, probe) {
    const best = probe ? this.ceiling(probe) : Math.max(this.ceiling('relaxed') ?? 0, this.ceiling('i16') ?? 0), f32 = this.ceiling('f32');
    if (!best || !f32) return {};
    const [weights, attention] = this.encoderOperations(tokens);
    return { weights: weights / best / 1e6, attention: attention / f32 / 1e6 };
  }
}
