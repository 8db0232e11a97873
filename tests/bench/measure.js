/**
 * How each kind of case is measured. Systems of a case take turns: every round each of them is asked once, beginning with another one, so that
 * what disturbs the machine disturbs all.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { currentNode, openNode, root } from './hosts.js';
import { stageTimes } from './stages.js';
import { SYSTEMS } from './systems.js';

const SAMPLE_MS = 40;

export class Measurer {
  #hosts = new Map();
  #references = new Map();

  /**
   * @param {Awaited<ReturnType<import('./hosts.js').openChromium>>} chromium
   * @param {{rounds?: number, quick?: boolean, log: (text: string) => void, idsOf: (texts: string[]) => number[][]}} options
   */
  constructor(chromium, options) {
    this.chromium = chromium;
    this.options = options;
    const missing = join(root, 'build/bench/missing.json');
    this.missing = existsSync(missing) ? JSON.parse(readFileSync(missing, 'utf8')) : {};
  }

  /** @param {any} test @returns {Promise<object>} what goes into bench.json */
  async measure(test) {
    const kinds = { timed: () => this.#timed(test), first: () => this.#first(test), memory: () => this.#memory(test), stages: () => this.#stages(test), ceiling: () => this.#ceiling(test) };
    return { ...await kinds[test.kind](), reference: await this.#reference(test) };
  }

  /** A system that cannot do a case says why, and the others go on. */
  #skip(results, key, error, round) {
    results[key] = { skipped: round === undefined ? error.message : `failed in round ${round + 1}: ${error.message}` };
    this.options.log(`  ${key}: ${results[key].skipped}`);
  }

  #rounds(test) { return this.options.rounds ?? (this.options.quick ? 2 : test.rounds ?? 7); }

  /** @param {any} test @param {string} key id or id@threads */
  #resolve(test, key) {
    const [id, threads = '1'] = key.split('@');
    const system = SYSTEMS[id], at = { ...test, threads: Number(threads) };
    for (const name of system.needs(at)) if (this.missing[name]) throw new Error(`${name} could not be made: ${this.missing[name]}`);
    return { system, config: system.config(at) };
  }

  async #openHost({ where, query }) {
    if (where === 'chromium') return this.chromium.page({ query });
    return openNode(where === 'node' ? currentNode : process.execPath);
  }

  /** The host with this system open, from an earlier case if it is still there. */
  async #host(test, key) {
    const { system, config } = this.#resolve(test, key), name = JSON.stringify([key, config]);
    const known = this.#hosts.get(name);
    if (known) return known;
    const host = await this.#openHost(system);
    try {
      host.facts = await host.call('open', system.module, config);
    } catch (error) {
      await host.end();
      throw error;
    }
    this.#hosts.set(name, host);
    return host;
  }

  async #drop(host) {
    for (const [name, other] of this.#hosts) if (other === host) this.#hosts.delete(name);
    await host.end();
  }

  /** Ends the hosts that the next case does not need. @param {any} [next] */
  async release(next) {
    const wanted = new Set();
    if (next?.kind === 'timed') {
      for (const key of next.systems) {
        try {
          wanted.add(JSON.stringify([key, this.#resolve(next, key).config]));
        } catch {} // it will say so itself
      }
    }
    for (const [name, host] of this.#hosts) if (!wanted.has(name)) await this.#drop(host);
  }

  /** What a guest gets: functions of the round become texts. */
  #task(test, variant) {
    const { task } = test;
    if (task.kind === 'generate') return { ...task, prompt: task.prompt(variant) };
    return { ...task, ids: this.options.idsOf(task.texts) };
  }

  /** What the embeddings should be: the fp32 model's by native onnxruntime, once for every list of texts. */
  async #reference(test) {
    if (test.task?.kind !== 'embed') return undefined;
    const key = test.task.texts.join('\n');
    if (!this.#references.has(key)) {
      const { system, config } = this.#resolve({ ...test, model: 'minilm' }, 'ort-native-fp32'), host = await this.#openHost(system);
      try {
        await host.call('open', system.module, config);
        this.#references.set(key, (await host.call('prepare', this.#task(test, 0), { warmUp: 1 })).vectors);
      } finally {
        await host.end();
      }
    }
    return this.#references.get(key);
  }

  async #timed(test) {
    const results = {}, alive = [];
    const generating = test.task.kind === 'generate';
    for (const key of test.systems) {
      try {
        const host = await this.#host(test, key);
        const answer = await host.call('prepare', this.#task(test, 0), { warmUp: generating ? 1 : 2 });
        results[key] = { facts: host.facts, answer, samples: [] };
        alive.push({ key, host });
      } catch (error) {
        this.#skip(results, key, error);
      }
    }
    const rounds = this.#rounds(test);
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < alive.length; i++) {
        const { key, host } = alive[(i + round) % alive.length];
        if (results[key].skipped) continue;
        try {
          if (generating) await host.call('retask', this.#task(test, round + 1));
          results[key].samples.push(await host.call('sample', generating ? 0 : SAMPLE_MS));
        } catch (error) {
          this.#skip(results, key, error, round);
          await this.#drop(host);
        }
      }
    }
    return { rounds, results };
  }

  /** A fresh page, which no inspector watches, or process each round. The first visit of a page fills the caches and is not counted. */
  async #first(test) {
    const results = {}, rounds = this.#rounds(test), task = this.#task(test, 0);
    const once = async (key) => {
      const { system, config } = this.#resolve(test, key);
      const host = await (system.where === 'chromium' ? this.chromium.unwatchedPage(system) : this.#openHost(system));
      try {
        const served = { ...this.chromium.served };
        const { ms, openMs, answer, facts } = await host.call('firstAnswer', system.module, config, task);
        return { sample: { ms, openMs, fetchedBytes: system.where === 'chromium' ? this.chromium.served.bytes - served.bytes : undefined }, answer, facts };
      } finally {
        if (system.where === 'chromium') await pause(300); // what a library still writes to its cache
        await host.end();
      }
    };
    for (const key of test.systems) {
      try {
        await once(key); // caches of the browser and of the system
        const { answer, facts } = await once(key); // and code that the browser caches at the second visit
        results[key] = { facts, answer, samples: [] };
      } catch (error) {
        this.#skip(results, key, error);
      }
    }
    const alive = test.systems.filter((key) => !results[key].skipped);
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < alive.length; i++) {
        const key = alive[(i + round) % alive.length];
        if (results[key].skipped) continue;
        try {
          results[key].samples.push([(await once(key)).sample]);
        } catch (error) {
          this.#skip(results, key, error, round);
        }
      }
    }
    return { rounds, results };
  }

  async #memory(test) {
    const results = {};
    for (const key of test.systems) {
      let host;
      try {
        const { system, config } = this.#resolve(test, key);
        host = await this.#openHost(system);
        const blank = await host.call('memoryOfPage');
        const facts = await host.call('open', system.module, config);
        const answer = await host.call('prepare', this.#task(test, 0), { warmUp: test.task.kind === 'generate' ? 1 : 3 });
        results[key] = { facts, answer, samples: [[{ ...await host.call('memory'), blankPage: blank }]] };
      } catch (error) {
        this.#skip(results, key, error);
      } finally {
        await host?.end();
      }
    }
    return { rounds: 1, results };
  }

  async #stages(test) {
    const results = {};
    for (const key of ['pith', 'pith-simd128']) {
      try {
        if (this.missing.profile) throw new Error(`the build with names could not be made: ${this.missing.profile}`);
        const { system, config } = this.#resolve(test, key), host = await this.chromium.page({ prefix: '/profile' });
        try {
          const facts = await host.call('open', system.module, config);
          const answer = await host.call('prepare', this.#task(test, 0), { warmUp: test.task.kind === 'generate' ? 1 : 10 });
          if (test.task.kind === 'generate') await host.call('retask', this.#task(test, 1));
          results[key] = { facts, answer, ...await stageTimes(host, this.options.quick ? 1000 : 2500) };
        } finally {
          await host.end();
        }
      } catch (error) {
        this.#skip(results, key, error);
      }
    }
    return { rounds: 1, results };
  }

  async #ceiling(test) {
    const results = {}, rounds = this.#rounds(test), hosts = {};
    for (const place of test.places) {
      try {
        hosts[place] = await this.#openHost({ where: place });
        await hosts[place].call('open', 'probe', {});
      } catch (error) {
        results[place] = { skipped: error.message };
      }
    }
    for (const probe of test.probes) {
      for (const [place, host] of Object.entries(hosts)) {
        const key = `${probe}/${place}`;
        try {
          results[key] = { answer: await host.call('prepare', { probe }, { warmUp: 5 }), samples: [] };
          await host.call('sample', 200); // until the engine's best compiler has done its work
        } catch (error) {
          results[key] = { skipped: error.message };
        }
      }
      for (let round = 0; round < rounds; round++) {
        for (const [place, host] of Object.entries(hosts)) {
          const result = results[`${probe}/${place}`];
          if (!result.skipped) result.samples.push(await host.call('sample', 60));
        }
      }
    }
    for (const host of Object.values(hosts)) await host.end();
    return { rounds, results };
  }
}
