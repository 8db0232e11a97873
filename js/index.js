/**
 * Pith: compressed transformers in a page and in Node.js.
 * @module pith
 */
import { openClient } from './client.js';
import { ArgumentError, CancelledError, UnsupportedError } from './errors.js';
import { locate, workerByDefault } from './load.js';

export * from './errors.js';

/**
 * Where a model is: a URL or (in Node.js) a path of a folder or of a GGUF file; a GGUF file as a File or Blob; File objects (dropped or chosen);
 * files by their path; a directory handle.
 * @typedef {string | URL | Blob | Iterable<File> | Map<string, Blob | Uint8Array> | FileSystemDirectoryHandle} ModelSource
 */
/**
 * @typedef {object} Progress
 * @property {string} phase 'load', 'fetch', 'plan', 'hash', 'quantize', 'measure', 'compare', 'embed', 'classify', 'tag', 'fill', 'prompt', 'generate', 'sweep'
 * @property {string} unit  of done and total: 'bytes', 'weights', 'texts', 'tokens', 'trials', 'layers', 'jobs'
 * @property {number} done
 * @property {number} total 0 when it is not known
 */
/**
 * @typedef {object} TaskOptions
 * @property {AbortSignal} [signal] stops the work within about 100 ms; the promise then rejects with a CancelledError
 * @property {(progress: Progress) => void} [onProgress] what it throws ends the work and rejects the promise
 */
/**
 * @typedef {object} LoadOptions
 * @property {boolean} [worker] run in a worker of its own: true in pages, false in Node.js unless given
 * @property {number | 'auto'} [threads] to work on, from 1 to 64: 'auto' (the processors, at most 8) unless given. Where there can be no more
 *   than one (a page that is not cross-origin isolated, `worker: false` in a page), `info.threads` says 1 and `info.threadsNote` why
 * @property {'auto' | 'scalar' | 'simd128' | 'relaxed-dot' | 'relaxed-pairs'} [kernels] forces one variant; an UnsupportedError where the
 *   engine lacks it
 * @property {'f32' | 'i16' | 'i8'} [attention] instead of what the package says: in floats, or by codes of two bytes or of one. With i8 the cache of
 *   keys and values of a model that generates takes half of the memory that it takes with i16; `evaluate` says what that costs
 */
/** Of rows against the parent's: Σ ‖x − y‖² / Σ ‖y‖², and the mean of their cosines. @typedef {{error: number, cosine: number}} RowError */
/**
 * Milliseconds of a pass, medians of some rounds: over a text or a prompt of so many tokens, or of a token after so many; ratio: the parent's by the model's.
 * @typedef {{tokens?: number, after?: number, ms: number, tokensPerSecond: number, msAgainst?: number, tokensPerSecondAgainst?: number, ratio?: number}} Pass
 */
/** Texts for encoders (of 16 and of 128 tokens where the model takes so many), a prompt and what follows for models that generate.
 * @typedef {{threads: number, shortText?: Pass, longText?: Pass, prompt?: Pass, token?: Pass}} Speed
 */
/**
 * What the manifest says of the package's quality; which members it has depends on the model's task.
 * @typedef {{measuredOn?: string, texts?: number, tokens?: number, cosineMean?: number, cosineMin?: number, perplexity?: number,
 *   perplexityAgainst?: number, klMean?: number, top1Agreement?: number, embedding?: RowError, layers?: ({layer: number, parent: number} & RowError)[],
 *   speed?: Speed, [key: string]: unknown}} Quality
 */
/**
 * @typedef {object} ModelInfo
 * @property {'package' | 'checkpoint'} kind
 * @property {string} family 'bert', 'llama', …: config.json's `model_type`
 * @property {'embed' | 'classify' | 'tag' | 'fill' | 'generate'} task an encoder with a head (the middle three) embeds too
 * @property {string} module the WebAssembly module in use: 'pith-relaxed-dot' or 'pith-relaxed-pairs' where the engine has relaxed SIMD, else
 *   'pith-simd128'; 'pith-relaxed-complete' or 'pith-simd128-complete' for what is no package; then '-threads' where there are some
 * @property {number} threads that work
 * @property {string} [threadsNote] why there are fewer than asked for
 * @property {string} kernels the variant in use
 * @property {'f32' | 'i16' | 'i8'} attention
 * @property {number} parameters
 * @property {number} bytes of the files
 * @property {number} layers
 * @property {number} hiddenSize
 * @property {number} vocabSize
 * @property {number} maxTokens
 * @property {string[]} [labels] that `classify` or `tag` gives
 * @property {Record<string, unknown>} [recipe] of a package
 * @property {Quality} [quality] of a package, against its parent
 * @property {Record<string, unknown>} [parent] of a package
 * @property {string[]} [omitted] weights that were left out
 */
/**
 * @typedef {object} GenerateOptions
 * @property {number} [maxTokens] 128
 * @property {number} [temperature] 0: greedy, whatever the rest says. The default is 0, or 1 where `topK`, `topP` or `minP` is given
 * @property {number} [topK] 0: all
 * @property {number} [topP] 1
 * @property {number} [minP] 0
 * @property {number} [repetitionPenalty] 1
 * @property {number} [seed] 0
 * @property {string | string[]} [stop] texts that end the generation; they are not part of the text
 */
/** @typedef {{label: string, score: number}} LabelScore */
/** Two texts for a model that reads them as one sequence: a sentence and another, a premise and a hypothesis, a question and a passage.
 * @typedef {{text: string, pair: string}} TextPair */
/** @typedef {{id: number, token: string, score: number}} TokenScore */
/** @typedef {{id: number, token: string, label: string, score: number}} TokenLabel */
/**
 * @typedef {object} GenerationResult
 * @property {string} text
 * @property {number[]} ids
 * @property {number} promptTokens
 * @property {'stop' | 'length' | 'context' | 'stopText'} finishReason
 * @property {number} promptMs
 * @property {number} decodeMs
 */

/** @param {ModelSource} source @returns {import('./server.js').Source} */
function describe(source) {
  if (typeof source === 'string' || source instanceof URL) {
    if (String(source) === '') throw new ArgumentError('the model\'s address is empty');
    return locate(source);
  }
  if (source instanceof Map) {
    for (const [name, file] of source) {
      if (typeof name !== 'string' || !(file instanceof Blob || file instanceof Uint8Array))
        throw new ArgumentError(`a Map of files should hold Blobs or Uint8Arrays by their path; "${String(name)}" does not`);
    }
    return { files: source };
  }
  if (source instanceof Blob) { // alone, a file can only be a GGUF file, whatever its name
    const name = 'name' in source && source.name ? String(source.name) : 'model.gguf';
    return { files: new Map([[/\.gguf$/i.test(name) ? name : `${name}.gguf`, source]]) };
  }
  if (source && typeof source === 'object' && 'kind' in source && source.kind === 'directory') return { directory: source };
  if (source && typeof source === 'object' && Symbol.iterator in source) {
    const files = new Map();
    for (const file of source) {
      if (!(file instanceof Blob)) throw new ArgumentError('a list of files should hold File objects');
      files.set(file.webkitRelativePath || file.name, file);
    }
    return { files };
  }
  throw new ArgumentError('a model is given as a URL, a path, a GGUF file, File objects, a Map of files or a directory handle');
}

/** @param {unknown} text @param {string} name */
function checkText(text, name) {
  if (typeof text !== 'string') throw new ArgumentError(`${name} should be a string`);
  if (text.includes('\0')) throw new ArgumentError(`${name} holds a NUL character`);
  return text;
}

/** @param {TextPair} pair */
function checkPair(pair) {
  if (pair === null || Object.keys(pair).sort().join() !== 'pair,text') throw new ArgumentError('a pair of texts is { text, pair }');
  return { text: checkText(pair.text, 'a text'), pair: checkText(pair.pair, 'the pair of a text') };
}

/** @param {AbortSignal | undefined} signal */
function checkSignal(signal) {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new ArgumentError('signal should be an AbortSignal');
  if (signal?.aborted) throw new CancelledError('cancelled', { cause: signal.reason });
}

/** Options that are no options are refused, here as in the module. @param {Record<string, any>} options @param {string[]} known @param {string} verb */
function checkOptions(options, known, verb) {
  if (options === null || typeof options !== 'object') throw new ArgumentError(`${verb}: the options should be an object`);
  for (const key of Object.keys(options)) if (!known.includes(key)) throw new ArgumentError(`${verb} has no option "${key}"`);
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function') throw new ArgumentError(`${verb}: onProgress should be a function`);
}

/** @param {unknown} threads @returns {number | 'auto'} */
function checkThreads(threads = 'auto') {
  if (threads === 'auto' || (Number.isInteger(threads) && /** @type {number} */ (threads) >= 1 && /** @type {number} */ (threads) <= 64)) return /** @type {number | 'auto'} */ (threads);
  throw new ArgumentError('threads should be a whole number from 1 to 64, or "auto"');
}

/** @param {unknown} kernels @returns {string | undefined} */
function checkKernels(kernels) {
  if (kernels !== undefined && typeof kernels !== 'string') throw new ArgumentError('kernels should be a string');
  return kernels;
}

/**
 * Text as it is generated: iterate for the pieces, or await `result`. Leaving the loop early cancels the work.
 * @implements {AsyncIterable<string>}
 */
export class Generation {
  /** @type {string[]} */ #pieces = [];
  #done = false;
  #wake = () => {};
  #control = new AbortController();
  /** The whole text and how it ended. @type {Promise<GenerationResult>} */ result;

  /** @param {(hooks: import('./server.js').Hooks) => Promise<import('./server.js').Answer>} run @param {TaskOptions} options */
  constructor(run, { signal, onProgress }) {
    const abort = () => this.#control.abort(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    this.result = run({ signal: this.#control.signal, onProgress, onText: (text) => { this.#pieces.push(text); this.#wake(); } })
      .then(({ result }) => result)
      .finally(() => {
        signal?.removeEventListener('abort', abort);
        this.#done = true;
        this.#wake();
      });
    this.result.catch(() => {}); // whoever iterates hears of it there
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        const piece = this.#pieces.shift();
        if (piece !== undefined) yield piece;
        else if (this.#done) break;
        else await new Promise((resolve) => { this.#wake = () => resolve(undefined); });
      }
      await this.result; // throws what ended it
    } finally {
      if (!this.#done) this.#control.abort();
    }
  }
}

/** The tokenizer of a model. */
export class Tokenizer {
  #call;
  /** @param {(verb: string, args: Record<string, any>) => Promise<any>} call */
  constructor(call) { this.#call = call; }

  /**
   * @param {string} text
   * @param {{specialTokens?: boolean, truncate?: boolean}} [options] specialTokens: true; truncate to the model's length: false
   * @returns {Promise<number[]>}
   */
  async encode(text, options = {}) {
    checkOptions(options, ['specialTokens', 'truncate'], 'encode');
    return (await this.#call('tokenize', { text: checkText(text, 'the text'), ...options })).ids;
  }

  /**
   * @param {Iterable<number>} ids
   * @param {{skipSpecialTokens?: boolean}} [options] true
   * @returns {Promise<string>}
   */
  async decode(ids, options = {}) {
    checkOptions(options, ['skipSpecialTokens'], 'decode');
    return (await this.#call('detokenize', { ids: [...ids], ...options })).text;
  }
}

/** A loaded model. Calls run one after another; `close` gives its memory back. */
export class Model {
  #client;
  /** Facts, and for a package its recipe and measured quality. @type {ModelInfo} */ info;
  /** @type {Tokenizer} */ tokenizer;
  /** Bytes of the module's memory after the last call. @type {number} */ memoryBytes;
  /** Bytes that came over the network while loading. @type {number} */ fetchedBytes;

  /**
   * @param {import('./client.js').Client} client
   * @param {import('./server.js').Answer} loaded
   * @param {number} fetchedBytes
   */
  constructor(client, loaded, fetchedBytes) {
    this.#client = client;
    this.info = loaded.result.info;
    this.memoryBytes = loaded.memoryBytes;
    this.fetchedBytes = fetchedBytes;
    this.tokenizer = new Tokenizer(async (verb, args) => (await this.#run(verb, args, {})).result);
  }

  /** @param {string} verb @param {Record<string, any>} args @param {import('./server.js').Hooks} hooks */
  async #run(verb, args, hooks) {
    const answer = await this.#client.run(verb, { model: 1, ...args }, hooks);
    this.memoryBytes = answer.memoryBytes;
    return answer;
  }

  /** @param {ModelInfo['task']} task */
  #need(task) {
    if (this.info.task !== task && (task !== 'embed' || this.info.task === 'generate')) throw new UnsupportedError(`a ${this.info.family} model cannot ${task}; it can ${this.info.task}`);
  }

  /**
   * Embeddings, one row a text.
   * @param {string | string[]} texts
   * @param {TaskOptions & {normalize?: boolean}} [options] normalize: as the model's own files say unless given
   * @returns {Promise<{data: Float32Array, dims: [number, number], tokens: number[]}>} data: (texts, hiddenSize), row after row
   */
  async embed(texts, options = {}) {
    checkOptions(options, ['signal', 'onProgress', 'normalize'], 'embed');
    checkSignal(options.signal);
    this.#need('embed');
    const list = (Array.isArray(texts) ? texts : [texts]).map((text) => checkText(text, 'a text'));
    const { signal, onProgress, ...rest } = options;
    const { result, data } = await this.#run('embed', { texts: list, ...rest }, { signal, onProgress });
    return { data: data ? new Float32Array(data.buffer, 0, data.byteLength / 4) : new Float32Array(0), dims: result.dims, tokens: result.tokens };
  }

  /**
   * @param {'classify' | 'tag' | 'fill'} verb
   * @param {string | TextPair | (string | TextPair)[]} texts
   * @param {TaskOptions & {topK?: number}} options
   * @param {string[]} known
   * @returns {Promise<any>} what one text is answered with; of a list, a list
   */
  async #predict(verb, texts, options, known) {
    checkOptions(options, ['signal', 'onProgress', ...known], verb);
    checkSignal(options.signal);
    this.#need(verb);
    const list = (Array.isArray(texts) ? texts : [texts]).map((text) => (verb === 'classify' && typeof text === 'object' ? checkPair(text) : checkText(text, 'a text')));
    const { signal, onProgress, ...rest } = options;
    const { results } = (await this.#run(verb, { texts: list, ...rest }, { signal, onProgress })).result;
    return Array.isArray(texts) ? results : results[0];
  }

  /**
   * Labels with their scores, best first: probabilities of one choice, or of each label by itself where the model may give several; a regression's
   * values as they are. For a list of texts, a list of such lists. A text may be a pair.
   * @template {string | TextPair | (string | TextPair)[]} T
   * @param {T} texts
   * @param {TaskOptions & {topK?: number}} [options] topK: so many labels; all unless given
   * @returns {Promise<T extends readonly any[] ? LabelScore[][] : LabelScore[]>}
   */
  async classify(texts, options = {}) { return this.#predict('classify', texts, options, ['topK']); }

  /**
   * The label of each token of the text, special tokens left out. `token` is the text that the token alone has ('##ing' is the end of a word).
   * @template {string | string[]} T
   * @param {T} texts
   * @param {TaskOptions} [options]
   * @returns {Promise<T extends string ? TokenLabel[] : TokenLabel[][]>}
   */
  async tag(texts, options = {}) { return this.#predict('tag', texts, options, []); }

  /**
   * The likeliest tokens for each masked word, which a text writes as [MASK] or <mask>, whichever the model's tokenizer has: a list a mask, best first.
   * @template {string | string[]} T
   * @param {T} texts
   * @param {TaskOptions & {topK?: number}} [options] topK: 5
   * @returns {Promise<T extends string ? TokenScore[][] : TokenScore[][][]>}
   */
  async fill(texts, options = {}) { return this.#predict('fill', texts, options, ['topK']); }

  /**
   * Continues the prompt.
   * @param {string} prompt
   * @param {GenerateOptions & TaskOptions} [options]
   * @returns {Generation}
   */
  generate(prompt, options = {}) {
    checkOptions(options, ['signal', 'onProgress', 'maxTokens', 'temperature', 'topK', 'topP', 'minP', 'repetitionPenalty', 'seed', 'stop'], 'generate');
    checkSignal(options.signal);
    this.#need('generate');
    checkText(prompt, 'the prompt');
    const { signal, onProgress, stop, ...rest } = options;
    const stops = stop === undefined ? {} : { stop: (Array.isArray(stop) ? stop : [stop]).map((text) => checkText(text, 'a stop text')) };
    return new Generation((hooks) => this.#run('generate', { prompt, ...stops, ...rest }, hooks), { signal, onProgress });
  }

  /**
   * One hash over what the model computes for fixed texts: the same on every engine.
   * @param {TaskOptions} [options]
   * @returns {Promise<string>}
   */
  async digest(options = {}) {
    checkOptions(options, ['signal', 'onProgress'], 'digest');
    checkSignal(options.signal);
    return (await this.#run('digest', {}, options)).result.digest;
  }

  /** Ends the work under way and gives the memory back. */
  async close() { this.#client.close(); }
  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() { await this.close(); }
}

/**
 * Loads a package or a checkpoint.
 * @param {ModelSource} source
 * @param {LoadOptions & TaskOptions} [options]
 * @returns {Promise<Model>}
 */
export async function load(source, options = {}) {
  checkOptions(options, ['signal', 'onProgress', 'worker', 'kernels', 'attention', 'threads'], 'load');
  checkSignal(options.signal);
  const { signal, onProgress, worker = workerByDefault, ...rest } = options;
  const path = describe(source), threads = checkThreads(options.threads);
  let fetched = 0;
  /** @param {boolean} complete @returns {Promise<Model | undefined>} */
  const open = async (complete) => {
    const client = openClient(worker, { kernels: checkKernels(options.kernels), threads, complete });
    try {
      const loaded = await client.run('load', { path, ...rest, threads }, { signal, onProgress });
      fetched += loaded.fetchedBytes;
      if (!loaded.result.incomplete) return new Model(client, loaded, fetched);
      client.close();
      return undefined;
    } catch (error) {
      client.close();
      throw error;
    }
  };
  // Packages need the smaller module alone; what turns out to be none is opened by the complete one.
  return await open(false) ?? /** @type {Model} */ (await open(true));
}

/** One verb in an engine of its own. @param {string} verb @param {Record<string, any>} args @param {TaskOptions & {worker?: boolean}} options */
async function once(verb, args, { signal, onProgress, worker = workerByDefault }) {
  checkSignal(signal);
  const client = openClient(worker, { kernels: checkKernels(args.kernels), threads: args.threads, complete: verb !== 'version' });
  try {
    return await client.run(verb, args, { signal, onProgress });
  } finally {
    client.close();
  }
}

/**
 * @typedef {object} CompressResult
 * @property {number} bytes of all files of the package
 * @property {number} ratio the parent's bytes to these
 * @property {number} shards
 * @property {Quality} quality against the parent
 * @property {{queryKeyValue?: number, attentionOut?: number, gateUp?: number, down?: number}} [folds] where the recipe moves scales ("migrate"): in how
 *   many layers before each product; those that the model allows
 * @property {Map<string, Blob>} [files] the package by file name, when no output was given; `load` takes it as it is
 */
/**
 * What a package may cost, one of these, and then which recipe keeps most of the model is found out first.
 * @typedef {object} Budget
 * @property {number} [maxBytes] of all its files
 * @property {number} [maxLoss] mean of 1 - cosine of embeddings; of models that generate mean KL divergence in nats
 * @property {number} [maxMs] on this machine, as it was measured: `plan` alone takes it, since a package depends on its recipe and not on a machine
 * @property {'cosine' | 'kl'} [metric] of maxLoss; an ArgumentError where that is not the model's
 * @property {boolean} [prune] heads and neurons may go too; wants texts to calibrate with
 * @property {Sensitivity | string} [sensitivity] what an earlier plan of the same model found with the same texts: nothing is measured anew. In Node.js
 *   also a file's path, which is written where it is not there
 */
/**
 * What each way of storing each tensor costs.
 * @typedef {{complete: boolean, calibrated: boolean, texts: string, parent: Record<string, number>, tensors: {name: string,
 *   choices: {encoding: string, group_size?: number, bytes: number, error?: number, loss?: number}[]}[],
 *   structures?: {layer: number, of: 'heads' | 'neurons', sizes: {kept: number, error: number, loss: number}[]}[]}} Sensitivity
 */
/**
 * Compresses a checkpoint into a package: to the folder `output` (Node.js), else into memory.
 * @param {ModelSource} source
 * @param {TaskOptions & Budget & {output?: string, recipe?: string | Record<string, unknown>, shardSize?: number, texts?: string[], calibrate?: string[],
 *   force?: boolean, resume?: boolean, worker?: boolean, threads?: number | 'auto'}} [options] recipe: a name ('int8' unless given) or a recipe's object, or in its place a
 *   budget; shardSize in bytes: 4 MiB; texts to measure quality on; calibrate: texts whose inputs rounding minds, of the kind that the model will
 *   read, some thousand tokens of them; force: replace a package that is there (never another folder);
 *   resume: go on from what an interrupted run with `resume` left beside `output`, and leave it there when this one is interrupted
 * @returns {Promise<CompressResult>}
 */
export async function compress(source, options = {}) {
  checkOptions(options, ['signal', 'onProgress', 'worker', 'threads', 'output', 'recipe', 'shardSize', 'texts', 'calibrate', 'maxBytes', 'maxLoss', 'maxMs', 'prune', 'metric', 'sensitivity', 'force', 'resume'], 'compress');
  const { signal, onProgress, worker, ...rest } = options;
  if (rest.resume && !rest.output) throw new ArgumentError('compress: only what goes to an output folder can be resumed');
  const { result, files } = await once('compress', { source: describe(source), ...rest, threads: checkThreads(rest.threads) }, { signal, onProgress, worker });
  return files ? { ...result, files } : result;
}

/**
 * @typedef {object} PlanResult
 * @property {Record<string, unknown>} recipe for `compress`
 * @property {number} bytes of the package, about
 * @property {number} loss as `Budget` has it, on the texts that were measured
 * @property {number} bits a weight of the layers' matrices, scales and zero points counted
 * @property {number} gap by what share of it the loss of the best recipe could be less
 * @property {{name: string, layer?: number, encoding: string, group_size?: number, weights: number, bytes: number, loss: number, ms?: number}[]} tensors what was chosen,
 *   and what each is predicted to cost
 * @property {number} [ms] where times were measured: a text's way through the encoder, or a step of a decoder
 * @property {{tokens: number, threads: number, kernels: string, rest: number}} [time] how it was measured; rest: of ms, what no choice changes
 * @property {{layer: number, of: 'heads' | 'neurons', kept: number, all: number, loss: number}[]} [pruned] what stays, where pruning was planned
 * @property {Sensitivity} sensitivity for other budgets of the same model
 */
/**
 * The best recipe within a budget, and what it would cost. No weights are written.
 * @param {ModelSource} source
 * @param {TaskOptions & Budget & {output?: string, texts?: string[], calibrate?: string[], measureTime?: boolean, tokens?: number, force?: boolean, worker?: boolean,
 *   threads?: number | 'auto'}} options measureTime: also how long the work takes here; tokens: of that work, 128: of one text, or before a decoder's step;
 *   output: a file for the recipe (Node.js); texts to measure on, or calibrate: those that the package will be calibrated on; Pith's own when none are
 *   given; force: replace the file
 * @returns {Promise<PlanResult>}
 */
export async function plan(source, options) {
  checkOptions(options, ['signal', 'onProgress', 'worker', 'threads', 'output', 'texts', 'calibrate', 'maxBytes', 'maxLoss', 'maxMs', 'measureTime', 'tokens', 'prune', 'metric', 'sensitivity', 'force'], 'plan');
  const { signal, onProgress, worker, ...rest } = options;
  return (await once('plan', { source: describe(source), ...rest, threads: checkThreads(rest.threads) }, { signal, onProgress, worker })).result;
}

/**
 * Brings a checkpoint onto the disk, whole and checked: of the Hub ('ORG/NAME', or its address), a GGUF file of any address, or one that is on this
 * machine. An import that was interrupted goes on where it was left. Node.js alone; the variables HF_ENDPOINT and HF_TOKEN count.
 * @param {string | URL} source
 * @param {import('./import.js').ImportOptions} options
 * @returns {Promise<import('./import.js').ImportResult>}
 */
export async function importModel(source, options) {
  checkOptions(options, ['signal', 'onProgress', 'output', 'revision', 'force'], 'importModel');
  checkSignal(options.signal);
  if (typeof source !== 'string' && !(source instanceof URL) || String(source) === '')
    throw new ArgumentError('importModel takes a model\'s name on the Hub, an address or a path');
  for (const key of /** @type {const} */ (['output', 'revision'])) if (options[key] !== undefined) checkText(options[key], key);
  if (!options.output) throw new ArgumentError('importModel wants the folder\'s name: output');
  if (options.force !== undefined && typeof options.force !== 'boolean') throw new ArgumentError('force should be true or false');
  return (await import('./import.js')).importModel(source, options);
}

/**
 * What a checkpoint or a package holds, tensor by tensor.
 * @param {ModelSource} source
 * @param {TaskOptions & {worker?: boolean}} [options]
 * @returns {Promise<Record<string, any>>}
 */
export async function inspect(source, options = {}) {
  checkOptions(options, ['signal', 'onProgress', 'worker'], 'inspect');
  return (await once('inspect', { path: describe(source) }, options)).result;
}

/**
 * How a tensor is stored.
 * @typedef {{shape: number[], encoding: string, bytes: number, bits: number, zeros: number}} StoredTensor bits: a weight; zeros: the share of weights
 */
/**
 * @typedef {object} DiffResult
 * @property {number} bytes of all tensors
 * @property {{bytes: number}} against the same of the reference
 * @property {number} [error] |a - b| / |b| (norms) over all weights that can be compared
 * @property {({name: string, layer?: number, against?: StoredTensor, error?: number} & Partial<StoredTensor>)[]} tensors in forward order: those of both.
 *   One that a model lacks has no members of its own, or no `against`; `error` is there where the shapes are the same
 */
/**
 * Two models of a family tensor by tensor: how each is stored, and how far the values of one are from the other's.
 * @param {ModelSource} source
 * @param {ModelSource} against the reference
 * @param {TaskOptions & {worker?: boolean}} [options]
 * @returns {Promise<DiffResult>}
 */
export async function diff(source, against, options = {}) {
  checkOptions(options, ['signal', 'onProgress', 'worker'], 'diff');
  return (await once('diff', { source: describe(source), against: describe(against) }, options)).result;
}

/**
 * Measures a model, alone (perplexity) or against another: cosine of embeddings, correlation with scores, accuracy, KL divergence.
 * @param {ModelSource} source
 * @param {TaskOptions & {against?: ModelSource, texts?: string[], pairs?: {a: string, b: string, score: number}[], perplexity?: string,
 *   classify?: {text: string, pair?: string, label: string}[], topKOverlap?: number, perLayer?: boolean, speed?: boolean,
 *   kernels?: string, attention?: 'f32' | 'i16' | 'i8', threads?: number | 'auto', worker?: boolean}} [options] one of texts, pairs, classify and perplexity; Pith's own texts when none is given;
 *   perLayer: also the error after each layer; speed: also how long both models take here, which is no two times the same
 * @returns {Promise<Quality>}
 */
export async function evaluate(source, options = {}) {
  checkOptions(options, ['signal', 'onProgress', 'worker', 'against', 'texts', 'pairs', 'classify', 'perplexity', 'topKOverlap', 'perLayer', 'speed', 'kernels', 'attention', 'threads'], 'evaluate');
  const { signal, onProgress, worker, against, ...rest } = options;
  const parent = against === undefined ? {} : { against: describe(against) };
  return (await once('eval', { source: describe(source), ...parent, ...rest, threads: checkThreads(rest.threads) }, { signal, onProgress, worker })).result;
}

/**
 * Recipes and calibrations one after another or side by side: each compressed, measured and timed, with one small file of results (docs/SWEEP.md).
 * Node.js alone.
 * @param {string} source a checkpoint of this machine
 * @param {import('./sweep.js').SweepOptions} options
 * @returns {Promise<import('./sweep.js').SweepSummary>}
 */
export async function sweep(source, options) {
  checkOptions(options, ['signal', 'onProgress', 'onResult', 'output', 'recipes', 'calibrate', 'texts', 'similarity', 'classify', 'perplexity', 'column', 'columns',
    'topKOverlap', 'jobs', 'threads', 'shard', 'resume', 'keep'], 'sweep');
  checkSignal(options.signal);
  if (typeof source !== 'string' || source === '') throw new ArgumentError('sweep takes the path of a checkpoint');
  for (const key of /** @type {const} */ (['output', 'texts', 'similarity', 'classify', 'perplexity', 'column', 'columns', 'shard']))
    if (options[key] !== undefined) checkText(options[key], key);
  if (!options.output) throw new ArgumentError('sweep wants a folder for its results: output');
  if (!options.recipes || options.recipes.length === 0) throw new ArgumentError('sweep wants recipes: names, files, patterns or grids');
  if (options.threads !== undefined) checkThreads(options.threads);
  return (await import('./sweep.js')).sweep(source, options);
}

/**
 * What sweeps found, of several folders together, as a page (.html), as data (.json, .csv) or as a picture (.svg). Node.js alone.
 * @param {string | string[]} folders
 * @param {import('./report.js').ReportOptions} options
 * @returns {Promise<import('./report.js').ReportSummary>}
 */
export async function report(folders, options) {
  checkOptions(options, ['output', 'svg', 'force'], 'report');
  const list = Array.isArray(folders) ? folders : [folders];
  if (list.length === 0) throw new ArgumentError('report wants the folders of sweeps');
  for (const folder of list) checkText(folder, 'a folder');
  for (const key of /** @type {const} */ (['output', 'svg'])) if (options[key] !== undefined) checkText(options[key], key);
  if (!options.output) throw new ArgumentError('report wants a file\'s name: output');
  return (await import('./report.js')).report(list, options);
}

/**
 * Version, commit, name and kernels of the module that this engine gets; `kernelsAvailable` are those that `load` can be told to use, slowest first.
 * @returns {Promise<{version: string, commit: string, build: string, module: string, kernels: string, kernelsAvailable: string[]}>}
 */
export async function version() {
  const { result } = await once('version', {}, { worker: false });
  // Those that a module which only infers leaves out come with a complete one, everywhere.
  return { ...result, kernelsAvailable: [...new Set(['scalar', 'simd128', ...result.kernelsAvailable])] };
}
