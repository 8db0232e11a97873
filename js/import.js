/**
 * Checkpoints onto this machine's disk: from the Hub, from an address, or from another folder. What is fetched gathers in "DIR.partial", where
 * an interrupted import goes on; DIR appears when everything is there, has the hashes that are known, and is read as a checkpoint.
 */
import { openClient } from './client.js';
import { ArgumentError, CancelledError, ExistsError, FormatError, IntegrityError, NoSpaceError, NotFoundError, UnsupportedError } from './errors.js';
import { CHECKPOINT_FILES } from './fetch.js';
import { Hub, named } from './hub.js';
import { environment, locate, nodeModule } from './load.js';

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const INDEX = 'model.safetensors.index.json';
const STATE = 'import.json'; // what DIR.partial is a part of
const MAX_INDEX_BYTES = 64 << 20;

/** @typedef {import('./hub.js').Facts} Facts */
/** `url` or `path`: where it is. @typedef {{name: string, facts: Facts & {commit?: string}, url?: string, path?: string}} Item */
/** @typedef {{source: string, pinned: boolean, etags: Record<string, string | undefined>}} State */
/**
 * Where a checkpoint comes from. `files`: names that there are; `item`: how one is had.
 * @typedef {{source: string, pinned: boolean, revision?: string, what: string, files: string[], item: (name: string) => Item, single?: Item,
 *   hub: Hub | null}} Origin
 */
/**
 * @typedef {object} ImportResult
 * @property {string} path of the checkpoint: the folder, or the GGUF file within; the source of `compress` and `load`
 * @property {string} family
 * @property {'embed' | 'generate'} task
 * @property {number} files
 * @property {number} bytes of all files
 * @property {number} fetchedBytes that came over the network this time
 * @property {string} [revision] the commit, where the host says it
 */
/**
 * @typedef {object} ImportOptions
 * @property {string} output the folder that is made
 * @property {string} [revision] a branch, a tag or a commit: 'main' unless given
 * @property {boolean} [force] replaces a checkpoint that is there (never another folder)
 * @property {AbortSignal} [signal] what was fetched stays in "OUTPUT.partial", where the next call goes on
 * @property {(progress: import('./index.js').Progress) => void} [onProgress]
 */

/** @param {string} name */
const isPickled = (name) => /\.(bin|pt|pth|ckpt|pkl|pickle)$/i.test(name);
/** What training leaves beside weights. @param {string} name */
const isState = (name) => /^(training_args|optimizer|scheduler|scaler|rng_state)/.test(name);
const wayOut = 'is pickled Python, which runs code where it is read. Pith reads safetensors: look for a revision that has them (refs/pr/N), or convert ' +
  'it (the Hub\'s safetensors/convert, or save_pretrained of transformers)';
const isRepo = (/** @type {string} */ text) => /^\w[\w.-]*\/\w[\w.-]*$/.test(text);

/**
 * @param {string} revision
 * @param {string} [otherwise] when there is none
 */
function checkRevision(revision, otherwise = 'main') {
  if (revision === '.' || revision === '..' || /[\x00-\x1f]/.test(revision)) throw new ArgumentError(`"${revision}" is no revision`);
  return revision || otherwise;
}

/** HF_ENDPOINT and HF_TOKEN, as the Hub's own programs know them. */
function settings() {
  const endpoint = environment('HF_ENDPOINT') || DEFAULT_ENDPOINT, token = environment('HF_TOKEN').trim();
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash)
    throw new ArgumentError(`HF_ENDPOINT should be an http or https address: "${endpoint}" is not`);
  if (!/^[\x21-\x7e]*$/.test(token)) throw new ArgumentError('HF_TOKEN holds characters that no token has');
  return { endpoint: url.href.replace(/\/+$/, ''), origin: url.origin, token };
}

/**
 * What an address means: a repository, or one GGUF file.
 * @param {URL} url @param {string} endpoint
 * @returns {{base: string, repo: string, revision: string} | {file: string, name: string}}
 */
function parseAddress(url, endpoint) {
  if (url.username || url.password) throw new ArgumentError('an address with a password in it is not taken: HF_TOKEN is the place for a token');
  const base = url.href.startsWith(`${endpoint}/`) ? endpoint : url.origin;
  /** @type {string[]} */
  let parts;
  try {
    parts = `${url.origin}${url.pathname}`.slice(base.length).split('/').filter(Boolean).map(decodeURIComponent);
  } catch {
    throw new ArgumentError(`${url.href} is no address: a % in it stands for no character`);
  }
  const [org, repo, kind, revision] = parts, last = parts.at(-1) ?? '', id = `${org}/${repo}`;
  if (isPickled(last)) throw new UnsupportedError(`${last} ${wayOut}`);
  if (isRepo(id) && parts.length === 2 && !/\.gguf$/i.test(last)) return { base, repo: id, revision: '' };
  if (isRepo(id) && parts.length === 4 && kind === 'tree') return { base, repo: id, revision };
  if (!/\.gguf$/i.test(last))
    throw new ArgumentError(`${url.href} names neither a repository (HOST/ORG/NAME) nor a GGUF file; other files come with their repository`);
  if (!/^[^\\\x00-\x1f/]+$/.test(last)) throw new ArgumentError(`${url.href} names a file that no folder can hold`);
  const file = new URL(url);
  file.hash = '';
  if (parts.length > 4 && kind === 'blob') file.pathname = file.pathname.replace('/blob/', '/resolve/'); // the page about the file
  return { file: file.href, name: last.replace(/gguf$/i, 'gguf') };
}

/** A folder's names, as the Hub lists them. @param {string} folder */
function namesIn(folder) {
  const fs = nodeModule('node:fs');
  try {
    return [...fs.readdirSync(folder).filter((name) => fs.statSync(`${folder}/${name}`, { throwIfNoEntry: false })?.isFile()),
      ...CHECKPOINT_FILES.filter((name) => name.includes('/') && fs.existsSync(`${folder}/${name}`))];
  } catch (error) {
    throw named(error, folder);
  }
}

/** @param {string} path that exists @param {boolean} isFolder @returns {Origin} */
function localOrigin(path, isFolder) {
  const { basename } = nodeModule('node:path');
  const file = (/** @type {string} */ name, /** @type {string} */ from) => {
    const { size } = nodeModule('node:fs').statSync(from);
    return { name, path: from, facts: { size } };
  };
  const origin = { hub: null, source: path, pinned: false, what: path, item: (/** @type {string} */ name) => file(name, `${path}/${name}`) };
  if (isFolder) return { ...origin, files: namesIn(path) };
  const name = basename(path);
  if (isPickled(name)) throw new UnsupportedError(`${path} ${wayOut}`);
  if (!/\.gguf$/i.test(name)) throw new ArgumentError(`${path} is no GGUF file; a checkpoint of several files is given by its folder`);
  return { ...origin, files: [], single: file(name.replace(/gguf$/i, 'gguf'), path) };
}

/** @param {string | URL} source @param {string} revision @param {AbortSignal} signal @returns {Promise<Origin>} */
async function findOrigin(source, revision, signal) {
  const text = String(source), where = locate(source), fs = nodeModule('node:fs');
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(text) && !/^(https?|file):/i.test(text))
    throw new ArgumentError(`${text}: addresses begin with https:// or http://`);
  if ('path' in where) {
    const info = fs.statSync(where.path, { throwIfNoEntry: false });
    if (info) {
      if (revision) throw new ArgumentError(`${text} is on this machine, where it has no revisions`);
      return localOrigin(where.path, info.isDirectory());
    }
    if (!isRepo(text)) throw new NotFoundError(`${text} is neither a file nor a folder here, nor a model's name on the Hub (ORG/NAME)`);
  }
  const { endpoint, origin, token } = settings();
  const address = 'url' in where ? parseAddress(new URL(where.url), endpoint) : { base: endpoint, repo: text, revision: '' };
  if ('file' in address) {
    if (revision) throw new ArgumentError('the address of a file has its revision in itself');
    const item = { name: address.name, url: address.file, facts: {} };
    return { hub: new Hub(endpoint, token), source: address.file, pinned: false, what: address.file, files: [], item: () => item, single: item };
  }
  const { base, repo } = address;
  if (revision && address.revision && revision !== address.revision)
    throw new ArgumentError(`the address says the revision ${address.revision}, --revision ${revision}`);
  const wanted = checkRevision(revision || address.revision), hub = new Hub(base, new URL(base).origin === origin ? token : '');
  const { commit, files } = await hub.list(repo, wanted, signal);
  const at = commit ?? wanted;
  return {
    hub, source: `${base}/${repo}@${at}`, pinned: commit !== undefined, revision: commit, what: `${base}/${repo}`, files: [...files.keys()],
    item: (name) => ({ name, url: hub.address(repo, at, name), facts: { ...files.get(name) } }),
  };
}

/** The files beside the weights, and the weights' file or their index. @param {Origin} origin @returns {string[]} */
function chooseFiles({ what, files, item }) {
  const has = (/** @type {string} */ name) => files.includes(name), at = (/** @type {string} */ name) => item(name).url ?? item(name).path;
  if (has('pith.json')) throw new ArgumentError(`${what} is a package, not a checkpoint: it is compressed already`);
  const weights = has('model.safetensors') ? 'model.safetensors' : has(INDEX) ? INDEX : undefined; // in this order, as it is read
  if (!weights) {
    const gguf = files.filter((name) => /\.gguf$/i.test(name)).map(at), pickled = files.find((name) => isPickled(name) && !isState(name));
    if (gguf.length > 0) throw new ArgumentError(`${what} holds GGUF files, of which one is given by itself: ${gguf.slice(0, 4).join(', ')}`);
    if (pickled) throw new UnsupportedError(`${what} has its weights in ${pickled} alone, which ${wayOut}`);
    throw new NotFoundError(`${what} holds no checkpoint: there is no model.safetensors`);
  }
  if (!has('config.json')) throw new NotFoundError(`${what} has no config.json`);
  if (!has('tokenizer.json'))
    throw new UnsupportedError(`${what} has no tokenizer.json, the one form that is read: save_pretrained of a fast tokenizer writes it`);
  return [...CHECKPOINT_FILES.filter((name) => has(name) && (name !== INDEX || weights === INDEX)), ...(weights === INDEX ? [] : [weights])];
}

/** The files that an index names, each a plain name. @param {string} path of the index @param {Origin} origin */
function shardsOf(path, { what, files }) {
  const fs = nodeModule('node:fs');
  if (fs.statSync(path).size > MAX_INDEX_BYTES) throw new FormatError(`${INDEX} has more than ${MAX_INDEX_BYTES} bytes`);
  let map;
  try {
    map = JSON.parse(fs.readFileSync(path, 'utf8'))?.weight_map;
  } catch (error) {
    throw new FormatError(`${INDEX} is not JSON (${/** @type {Error} */ (error).message})`);
  }
  const names = map && typeof map === 'object' ? [...new Set(Object.values(map))] : [];
  if (names.length === 0) throw new FormatError(`${INDEX} has no "weight_map"`);
  for (const name of names) {
    if (typeof name !== 'string' || !/^\w[\w.-]*\.safetensors$/.test(name))
      throw new FormatError(`${INDEX} names the file ${JSON.stringify(name)}, which should be a plain name that ends in .safetensors`);
    if (!files.includes(name)) throw new NotFoundError(`${what} has no ${name}, which its ${INDEX} names`);
  }
  return /** @type {string[]} */ (names);
}

/**
 * Size and hash, as far as they are known, of what lies on the disk.
 * @param {string} path @param {Item} item @param {AbortSignal} signal @param {ImportOptions['onProgress']} onProgress
 */
async function verify(path, { name, facts: { size, sha256, blob } }, signal, onProgress) {
  const fs = nodeModule('node:fs'), actual = fs.statSync(path).size;
  if (size !== undefined && actual !== size) throw new IntegrityError(`${name} has ${actual} bytes instead of ${size}`);
  if (!sha256 && !blob) return;
  const hash = nodeModule('node:crypto').createHash(sha256 ? 'sha256' : 'sha1');
  if (!sha256) hash.update(`blob ${actual}\0`); // Git's hash of a file
  let done = 0;
  for await (const chunk of fs.createReadStream(path, { highWaterMark: 1 << 20, signal })) {
    hash.update(chunk);
    onProgress?.({ phase: 'hash', unit: 'bytes', done: done += chunk.length, total: actual });
  }
  const digest = hash.digest('hex'), expected = sha256 ?? blob;
  if (digest !== expected)
    throw new IntegrityError(`${name} is not what was announced: its ${sha256 ? 'SHA-256' : 'Git hash'} is ${digest} instead of ${expected}`);
}

/** The folder that is made, and the one beside it in which that happens. */
class Output {
  #force;
  #replaced;
  #replaces = false;
  /** @type {State} */ #state = { source: '', pinned: false, etags: {} };

  /** @param {string} path @param {boolean} force */
  constructor(path, force) {
    const fs = nodeModule('node:fs');
    this.path = nodeModule('node:path').resolve(path);
    if (fs.existsSync(this.path)) this.path = fs.realpathSync(this.path); // what a link leads to is replaced, not the link
    this.partial = `${this.path}.partial`;
    this.#replaced = `${this.path}.replaced`;
    this.#force = force;
    this.#checkReplaceable();
  }

  #checkReplaceable() {
    const fs = nodeModule('node:fs'), info = fs.lstatSync(this.path, { throwIfNoEntry: false });
    this.#replaces = info !== undefined;
    if (!info) return;
    if (!this.#force) throw new ExistsError(`${this.path} is there already: choose another name, or replace it with --force`);
    if (!info.isDirectory()) throw new ExistsError(`${this.path} is a file: --force replaces checkpoints alone; choose another name`);
    const strange = fs.readdirSync(this.path, { recursive: true, withFileTypes: true }).map((entry) => {
      const name = nodeModule('node:path').relative(this.path, `${entry.parentPath}/${entry.name}`);
      return entry.isDirectory() ? `${name}/` : name;
    }).find((name) => name !== '1_Pooling/' && !CHECKPOINT_FILES.includes(name) && !/^[^/]+\.(safetensors|gguf)$/.test(name));
    if (strange !== undefined)
      throw new ExistsError(`${this.path} holds ${strange}, which no import made and --force would remove; choose another name`);
    if (fs.existsSync(this.#replaced)) throw new ExistsError(`${this.#replaced} is in the way: remove it`);
  }

  /** Goes on in a partial folder of the same source, or begins one. @param {Origin} origin */
  begin({ source, pinned }) {
    const fs = nodeModule('node:fs');
    const earlier = this.#earlier();
    if (earlier?.source === source && earlier.pinned === pinned && earlier.etags) {
      this.#state = earlier;
      return;
    }
    this.#state = { source, pinned, etags: {} };
    try {
      fs.rmSync(this.partial, { recursive: true, force: true });
      fs.mkdirSync(this.partial);
    } catch (error) {
      throw named(error, this.partial);
    }
    this.#save();
  }

  /** What an import left in the partial folder, if that is an import's. @returns {State | undefined} */
  #earlier() {
    const fs = nodeModule('node:fs');
    if (!fs.existsSync(this.partial)) return undefined;
    try {
      return JSON.parse(fs.readFileSync(`${this.partial}/${STATE}`, 'utf8')) ?? undefined;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined; // then it begins anew
      throw new ExistsError(`${this.partial} is in the way, and no import's: remove it`, { cause: error });
    }
  }

  #save() {
    const fs = nodeModule('node:fs'), path = `${this.partial}/${STATE}`;
    try {
      fs.writeFileSync(`${path}.new`, JSON.stringify(this.#state));
      fs.renameSync(`${path}.new`, path);
    } catch (error) {
      throw named(error, path);
    }
  }

  /** @param {string} name */
  place(name) {
    const path = `${this.partial}/${name}`;
    nodeModule('node:fs').mkdirSync(nodeModule('node:path').dirname(path), { recursive: true });
    return path;
  }

  /** @param {string} name */
  etagOf(name) { return typeof this.#state.etags[name] === 'string' ? this.#state.etags[name] : undefined; }
  /** @param {string} name @param {string | undefined} etag */
  keepEtag(name, etag) {
    this.#state.etags[name] = etag;
    this.#save();
  }

  /** A failed import leaves what the next one can use, and nothing else. @param {boolean} useful what is there can be gone on with */
  leave(useful) {
    const fs = nodeModule('node:fs');
    if (!fs.existsSync(this.partial)) return;
    const some = fs.readdirSync(this.partial).some((name) => name !== STATE && fs.statSync(`${this.partial}/${name}`).size > 0);
    if (!useful || !some) this.discard();
  }

  discard() { nodeModule('node:fs').rmSync(this.partial, { recursive: true, force: true }); }

  publish() {
    const fs = nodeModule('node:fs'), replaced = this.#replaced;
    this.#checkReplaceable(); // it may have come meanwhile
    try {
      fs.rmSync(`${this.partial}/${STATE}`);
      if (this.#replaces) fs.renameSync(this.path, replaced);
      try {
        fs.renameSync(this.partial, this.path);
      } catch (error) {
        if (this.#replaces) fs.renameSync(replaced, this.path);
        throw error;
      }
      if (this.#replaces) fs.rmSync(replaced, { recursive: true });
    } catch (error) {
      throw named(error, this.path);
    }
  }
}

/** Bytes done of all files, told as they come. */
class Meter {
  /** @type {Map<string, number>} */ #done = new Map();
  /** @type {Item[]} */ #items = [];
  #complete = false;
  fetchedBytes = 0;

  /** @param {ImportOptions['onProgress']} onProgress */
  constructor(onProgress) { this.onProgress = onProgress; }

  /** @param {Item[]} items @param {boolean} complete there will be no more */
  add(items, complete) {
    this.#items.push(...items);
    this.#complete = complete;
  }

  /** @param {string} name @param {number} have */
  tell(name, have) {
    this.#done.set(name, have);
    const known = this.#complete && this.#items.every(({ facts }) => facts.size !== undefined);
    const total = known ? this.#items.reduce((sum, { facts }) => sum + (facts.size ?? 0), 0) : 0;
    this.onProgress?.({ phase: 'fetch', unit: 'bytes', done: [...this.#done.values()].reduce((a, b) => a + b, 0), total });
  }
}

/** @param {string} from @param {string} to @param {AbortSignal} signal @param {(n: number) => void} onBytes */
async function copy(from, to, signal, onBytes) {
  const fs = nodeModule('node:fs');
  const handle = await fs.promises.open(to, 'w').catch((error) => { throw named(error, to); });
  let n = 0;
  try {
    for await (const chunk of fs.createReadStream(from, { highWaterMark: 1 << 20, signal })) {
      await handle.appendFile(chunk).catch((error) => { throw named(error, to); });
      onBytes(n += chunk.length);
    }
    await handle.sync();
  } catch (error) {
    throw error instanceof Error && 'syscall' in error ? named(error, from) : error;
  } finally {
    await handle.close();
  }
}

/** @typedef {{origin: Origin, output: Output, meter: Meter, signal: AbortSignal}} Way */

/**
 * Files into the partial folder, each under its name when it is whole.
 * @param {Item[]} items @param {Way} way
 */
async function gather(items, { origin: { pinned, hub }, output, meter, signal }) {
  const fs = nodeModule('node:fs');
  checkSpace(items, output);
  for (const item of items) {
    const { name, facts, url } = item, path = output.place(name), part = `${path}.part`;
    if (pinned && fs.existsSync(path)) { // an earlier import's, of the same commit
      meter.tell(name, fs.statSync(path).size);
      continue;
    }
    let first = -1;
    const onBytes = (/** @type {number} */ have) => {
      if (first < 0 || have < first) first = have;
      else if (url) meter.fetchedBytes += have - first;
      first = have;
      meter.tell(name, have);
    };
    const onEtag = (/** @type {string | undefined} */ etag) => output.keepEtag(name, etag);
    if (url) await /** @type {Hub} */ (hub).download(url, part, { facts, etag: output.etagOf(name), pinned, signal, onEtag, onBytes });
    else await copy(/** @type {string} */ (item.path), part, signal, onBytes);
    try {
      await verify(part, item, signal, meter.onProgress);
    } catch (error) {
      if (error instanceof IntegrityError) fs.rmSync(part); // nothing stays that only looks whole
      throw error;
    }
    fs.renameSync(part, path);
  }
}

/** @param {Item[]} items @param {Output} output */
function checkSpace(items, output) {
  const fs = nodeModule('node:fs');
  let needed = 0;
  for (const { name, facts } of items) {
    const there = [name, `${name}.part`].map((file) => fs.statSync(`${output.partial}/${file}`, { throwIfNoEntry: false })?.size ?? 0);
    needed += Math.max(0, (facts.size ?? 0) - Math.max(...there));
  }
  const { bavail, bsize } = fs.statfsSync(output.partial), free = bavail * bsize;
  const mega = (/** @type {number} */ n) => `${(n / 1e6).toFixed(1)} MB`;
  if (needed > free) throw new NoSpaceError(`${output.path}: ${mega(needed)} are still to come, and the disk has space for ${mega(free)}`);
}

/** @param {Way} way @param {(path: string) => Promise<Record<string, any>>} inspect */
async function gatherAll(way, inspect) {
  const { origin, output, meter } = way;
  const isLarge = (/** @type {Item} */ { name }) => /\.(safetensors|gguf)$/.test(name);
  const chosen = origin.single ? [origin.single] : chooseFiles(origin).map(origin.item);
  const small = chosen.filter((item) => !isLarge(item)), large = chosen.filter(isLarge);
  meter.add(chosen, large.length > 0);
  await gather(small, way);
  if (!origin.single) { // what cannot be used is refused before its weights come, which are all that may be missing now
    await inspect(output.partial).catch((error) => { if (!(error instanceof NotFoundError)) throw error; });
    if (large.length === 0) {
      large.push(...shardsOf(`${output.partial}/${INDEX}`, origin).map(origin.item));
      meter.add(large, true);
    }
  }
  await gather(large, way);
  return { items: [...small, ...large], info: await inspect(origin.single ? `${output.partial}/${origin.single.name}` : output.partial) };
}

/**
 * Brings a checkpoint of the Hub ('ORG/NAME' or an address), a GGUF file of any address, or what is on this machine into a folder, whole and
 * checked. Node.js alone. HF_ENDPOINT and HF_TOKEN count.
 * @param {string | URL} source
 * @param {ImportOptions} options
 * @returns {Promise<ImportResult>}
 */
export async function importModel(source, { output: path, revision = '', force = false, signal = new AbortController().signal, onProgress }) {
  const fs = nodeModule('node:fs'), output = new Output(path, force), meter = new Meter(onProgress);
  const client = openClient(false, { complete: true });
  /** @type {Origin | undefined} */
  let begun;
  try {
    const origin = await findOrigin(source, checkRevision(revision, ''), signal);
    if (!origin.single) chooseFiles(origin); // what is refused leaves no folder
    output.begin(origin);
    begun = origin;
    const { items, info } = await gatherAll({ origin, output, meter, signal }, async (folder) => {
      try {
        return (await client.run('inspect', { path: { path: folder } }, { signal })).result;
      } catch (error) {
        if (error instanceof FormatError || error instanceof UnsupportedError) output.discard(); // the next import would stop here again
        throw error;
      }
    });
    const bytes = items.reduce((sum, { name }) => sum + fs.statSync(`${output.partial}/${name}`).size, 0);
    output.publish();
    const commit = origin.revision ?? origin.single?.facts.commit;
    return {
      path: origin.single ? `${output.path}/${origin.single.name}` : output.path, family: info.family, task: info.task, files: items.length, bytes,
      fetchedBytes: meter.fetchedBytes, ...(commit ? { revision: commit } : {}),
    };
  } catch (error) {
    if (begun) output.leave(begun.hub !== null);
    const goesOn = fs.existsSync(output.partial) ? `; the next import goes on from what is in ${output.partial}` : '';
    if (signal.aborted) throw new CancelledError(`cancelled${goesOn}`, { cause: signal.reason });
    throw error instanceof Error && 'syscall' in error && 'path' in error ? named(error, String(error.path)) : error;
  } finally {
    client.close();
  }
}
