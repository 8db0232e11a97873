/**
 * The Hub over HTTP: addresses, the token, redirects, repeats, and downloads that go on where an earlier one was left. For Node.js alone: a
 * page neither sees where a redirect leads nor has a disk to keep half a file on.
 */
import { CancelledError, FormatError, IntegrityError, IoError, NetworkError, NotFoundError, PithError } from './errors.js';
import { ATTEMPTS, backoff, pause, worthRepeating } from './fetch.js';
import { nodeModule, systemError } from './load.js';

const MAX_REDIRECTS = 5;
const MAX_LISTING_BYTES = 32 << 20;
const LONGEST_WAIT_MS = 300000;

/** What the Hub's X-Error-Code says. @type {Record<string, string>} */
const MISSING = {
  RepoNotFound: 'there is no such model', RevisionNotFound: 'the model has no such revision', EntryNotFound: 'the revision has no such file',
};

/** What is known of a file before it is fetched. `blob` is Git's hash of it. @typedef {{size?: number, sha256?: string, blob?: string}} Facts */
/** @typedef {{commit: string | undefined, files: Map<string, Facts>}} Listing */
/** Of an error: the same request may succeed, after so long. @typedef {{again?: boolean, waitMs?: number}} Repeatable */

/** @param {unknown} text @param {RegExp} form */
const matching = (text, form) => (typeof text === 'string' && form.test(text) ? text : undefined);
const SHA256 = /^[0-9a-f]{64}$/, SHA1 = /^[0-9a-f]{40}$/;
/** @param {unknown} n */
const count = (n) => (Number.isSafeInteger(n) && /** @type {number} */ (n) >= 0 ? /** @type {number} */ (n) : undefined);
/** @param {string | null} text of a header; Number('') would be 0 */
const countOf = (text) => (text !== null && /^\d+$/.test(text) ? count(Number(text)) : undefined);

/** @param {string} says @param {{cause?: unknown, waitMs?: number}} [more] */
function passing(says, { cause, waitMs } = {}) {
  return Object.assign(new NetworkError(says, { cause }), { again: true, waitMs });
}

/** How long a server asks to be left alone, in seconds or until a date. @param {Response} response */
function retryAfterMs(response) {
  const text = response.headers.get('retry-after');
  if (text === null) return undefined;
  const ms = /^\s*\d+\s*$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(ms, 0);
}

/** Why something failed: undici keeps it in the cause. @param {any} error */
const reason = (error) => error?.cause?.message || error?.cause?.code || error?.message || String(error);

/** @param {AbortSignal} signal */
function checkAborted(signal) {
  if (signal.aborted) throw new CancelledError('cancelled', { cause: signal.reason });
}

/**
 * A name of the listing that may be made into a path below a folder.
 * @param {unknown} name @param {string} where
 * @returns {asserts name is string}
 */
function checkName(name, where) {
  if (typeof name !== 'string' || /^[A-Za-z]:|[\\\x00-\x1f]/.test(name) || name.split('/').some((part) => ['', '.', '..'].includes(part)))
    throw new FormatError(`${where} names the file ${JSON.stringify(name)}, which would lie outside of the model's folder`);
}

/** What the Hub says of a file: elsewhere an ETag may be any hash. @param {Facts & {commit?: string}} facts @param {Headers} headers */
function learn(facts, headers) {
  facts.commit ??= matching(headers.get('x-repo-commit'), SHA1);
  facts.size ??= countOf(headers.get('x-linked-size'));
  const etag = headers.get('x-linked-etag') ?? (facts.commit ? headers.get('etag') : null);
  facts.sha256 ??= matching(etag?.replace(/^W\/|"/g, ''), SHA256);
}

/**
 * Where a redirect leads, which may take encryption away from none.
 * @param {string} url that was asked for first @param {URL} at @param {string} location
 */
function redirected(url, at, location) {
  if (!URL.canParse(location, at)) throw new NetworkError(`${url}: a redirect leads nowhere`);
  const next = new URL(location, at);
  if (!/^https?:$/.test(next.protocol) || next.username || next.password)
    throw new NetworkError(`${url}: a redirect leads to ${next.protocol}//${next.host}, which is not followed`);
  if (next.protocol === 'http:' && url.startsWith('https:'))
    throw new NetworkError(`${url}: a redirect leads to ${next.host} without encryption, which is not followed`);
  return next;
}

/**
 * What was expected of a file, joined by what is told of it now.
 * @param {Facts} facts @param {Facts} told @param {string} url
 */
function join(facts, told, url) {
  if (facts.size !== undefined && told.size !== undefined && told.size !== facts.size)
    throw new IntegrityError(`${url}: the server says ${told.size} bytes where ${facts.size} were expected`);
  if (facts.sha256 && told.sha256 && told.sha256 !== facts.sha256)
    throw new IntegrityError(`${url}: the server gives another SHA-256 than the list of files`);
  facts.size ??= told.size;
  facts.sha256 ??= told.sha256;
}

/** One host with the Hub's layout, and a token that this host alone gets to see. */
export class Hub {
  #base;
  #token;

  /** @param {string} base the address below which repositories are, without a slash at its end @param {string} token '' for none */
  constructor(base, token) {
    this.#base = base;
    this.#token = token;
  }

  /** @param {string} repo @param {string} revision @param {string} name */
  address(repo, revision, name) {
    return `${this.#base}/${repo}/resolve/${encodeURIComponent(revision)}/${name.split('/').map(encodeURIComponent).join('/')}`;
  }

  /**
   * The answer at the end of all redirects, and what the first host said of the file on the way. The token goes to the first origin alone.
   * @param {string} url @param {Record<string, string>} headers @param {AbortSignal} signal
   * @returns {Promise<{response: Response, facts: Facts & {commit?: string}}>}
   */
  async #follow(url, headers, signal) {
    const first = new URL(url);
    /** @type {Record<string, string>} */
    const token = this.#token && first.origin === new URL(this.#base).origin ? { Authorization: `Bearer ${this.#token}` } : {};
    /** @type {Facts & {commit?: string}} */
    const facts = {};
    let at = first;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const own = at.origin === first.origin;
      let response;
      try {
        response = await fetch(at, { redirect: 'manual', signal, headers: { 'Accept-Encoding': 'identity', ...headers, ...(own ? token : {}) } });
      } catch (error) {
        checkAborted(signal);
        throw passing(`${url} cannot be fetched: ${reason(error)}`, { cause: error });
      }
      if (own) learn(facts, response.headers);
      const location = response.headers.get('location');
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return { response, facts };
      await response.body?.cancel().catch(() => {});
      at = redirected(url, at, location);
    }
    throw new NetworkError(`${url}: more than ${MAX_REDIRECTS} redirects`);
  }

  /**
   * An answer that has what was asked for, or 416.
   * @param {string} url @param {Record<string, string>} headers @param {AbortSignal} signal @param {string} missing what a 404 means
   */
  async #request(url, headers, signal, missing) {
    const answer = await this.#follow(url, headers, signal), { response } = answer;
    if (response.ok && /text\/html/.test(response.headers.get('content-type') ?? '')) {
      await response.body?.cancel().catch(() => {});
      throw new FormatError(`${url} is a web page, not a model's file: is the address right?`);
    }
    if (response.ok || response.status === 416) return answer;
    await response.body?.cancel().catch(() => {});
    throw this.#refusal(url, response, missing);
  }

  /** @param {string} url @param {Response} response @param {string} missing */
  #refusal(url, response, missing) {
    const { status } = response, says = `${url}: the server answers ${`${status} ${response.statusText}`.trim()}`;
    const code = response.headers.get('x-error-code');
    if (code === 'GatedRepo' || status === 403) {
      const then = this.#token ? 'the token in HF_TOKEN has no access yet' : 'then set HF_TOKEN to a token that has it';
      return new NetworkError(`${says}: access has to be granted${code === 'GatedRepo' ? ', on the model\'s page of the Hub' : ''}; ${then}`);
    }
    if (status === 401) {
      const why = this.#token ? 'the token in HF_TOKEN is not accepted' : 'if it is private, set HF_TOKEN';
      return new NetworkError(`${says}: there is no such model, or ${why}`);
    }
    if (status === 404 || status === 410) return new NotFoundError(`${says}: ${MISSING[code ?? ''] ?? missing}`);
    const waitMs = retryAfterMs(response);
    if (waitMs !== undefined && waitMs > LONGEST_WAIT_MS) return new NetworkError(`${says} and asks to wait ${Math.ceil(waitMs / 60000)} minutes`);
    return worthRepeating(status) ? passing(says, { waitMs }) : new NetworkError(says);
  }

  /**
   * The commit that a revision stands for, and its files.
   * @param {string} repo @param {string} revision @param {AbortSignal} signal
   * @returns {Promise<Listing>}
   */
  async list(repo, revision, signal) {
    const url = `${this.#base}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const text = await repeated(signal, async () => {
      const { response } = await this.#request(url, {}, signal, `there is no model ${repo}, or it has no revision ${revision}`);
      return bodyText(url, response, signal);
    });
    let json;
    try {
      json = JSON.parse(text);
    } catch (error) {
      throw new FormatError(`${url} is not JSON (${/** @type {Error} */ (error).message})`);
    }
    if (!Array.isArray(json?.siblings)) throw new FormatError(`${url} has no list of files ("siblings")`);
    /** @type {Listing['files']} */
    const files = new Map();
    for (const sibling of json.siblings) {
      const name = sibling?.rfilename, lfs = sibling?.lfs;
      checkName(name, url);
      const size = count(lfs?.size ?? sibling.size), blob = lfs ? undefined : matching(sibling.blobId, SHA1); // of a large file's pointer else
      files.set(name, { size, sha256: matching(lfs?.sha256, SHA256), blob });
    }
    return { commit: matching(json.sha, SHA1), files };
  }

  /**
   * Fetches a file into `part`, of which some may be there already. What it learns of the file joins `facts`.
   * @param {string} url
   * @param {string} part
   * @param {{facts: Facts & {commit?: string}, etag: string | undefined, pinned: boolean, signal: AbortSignal,
   *   onEtag: (etag: string | undefined) => void, onBytes: (n: number) => void}} options etag: of what is there, which only counts with it, or if the address is `pinned`: always the
   *   same file; onEtag: of what begins to be there; onBytes: how many bytes are there
   */
  async download(url, part, { facts, etag, pinned, signal, onEtag, onBytes }) {
    const fs = nodeModule('node:fs').promises;
    const handle = await fs.open(part, 'a').catch((error) => { throw named(error, part); });
    try {
      let have = (await handle.stat()).size;
      const startOver = async () => { await handle.truncate(0); have = 0; };
      if (have > 0 && (facts.size !== undefined && have > facts.size || !(etag || pinned))) await startOver();
      const begun = have;
      onBytes(have);
      if (have > 0 && have === facts.size) return;
      await repeated(signal, async () => {
        /** @type {Record<string, string>} */
        const headers = have > 0 ? { Range: `bytes=${have}-`, ...(etag ? { 'If-Range': etag } : {}) } : {};
        const { response, facts: told } = await this.#request(url, headers, signal, 'there is no such file');
        const resumed = response.status === 206 && have > 0, start = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
        if (response.status === 416 || (response.status === 206 && Number(start) !== have)) {
          await response.body?.cancel().catch(() => {});
          if (have === 0) throw new NetworkError(`${url}: the server answers ${response.status} where no range was asked for`);
          await startOver();
          throw passing(`${url}: the server answers with another range than the one that was asked for`);
        }
        if (!resumed) {
          await startOver();
          etag = matching(response.headers.get('etag'), /^"[^"]*"$/); // a weak one would not do for ranges
          onEtag(etag);
        }
        const coded = response.headers.get('content-encoding'), length = countOf(response.headers.get('content-length'));
        const whole = length !== undefined && (coded === null || coded === 'identity') ? have + length : undefined;
        join(facts, told, url);
        join(facts, { size: whole }, url);
        facts.commit ??= told.commit;
        for await (const chunk of chunksOf(url, response, signal)) {
          await handle.appendFile(chunk).catch((error) => { throw named(error, part); });
          have += chunk.length;
          if (facts.size !== undefined && have > facts.size) {
            await startOver();
            throw new IntegrityError(`${url}: more than the ${facts.size} bytes that were expected`);
          }
          onBytes(have);
        }
        if (facts.size !== undefined && have < facts.size) throw passing(`${url}: the connection ended after ${have} of ${facts.size} bytes`);
      }, () => have, begun);
      if ((await handle.stat()).size !== have) {
        await startOver();
        throw new IoError(`${part} was written to by another import at the same time; try again when that is done`);
      }
      await handle.sync().catch((error) => { throw named(error, part); });
    } finally {
      await handle.close();
    }
  }
}

/**
 * Tries again what failed in passing. What moves on beyond where it ever was has all its attempts again.
 * @template T
 * @param {AbortSignal} signal @param {() => Promise<T>} action @param {() => number} [place] @param {number} [furthest]
 * @returns {Promise<T>}
 */
async function repeated(signal, action, place = () => 0, furthest = 0) {
  for (let attempt = 0; ; attempt++) {
    checkAborted(signal);
    try {
      return await action();
    } catch (error) {
      checkAborted(signal);
      const { again, waitMs } = /** @type {Repeatable} */ (error);
      if (place() > furthest) {
        furthest = place();
        attempt = 0;
      }
      if (!again || attempt + 1 >= ATTEMPTS) throw error;
      await pause(waitMs ?? backoff(attempt), signal);
    }
  }
}

/** @param {string} url @param {Response} response @param {AbortSignal} signal @returns {AsyncGenerator<Uint8Array>} */
async function* chunksOf(url, response, signal) {
  if (!response.body) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        checkAborted(signal);
        throw passing(`${url}: the connection broke (${reason(error)})`, { cause: error });
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** @param {string} url @param {Response} response @param {AbortSignal} signal */
async function bodyText(url, response, signal) {
  /** @type {Uint8Array[]} */
  const chunks = [];
  let n = 0;
  for await (const chunk of chunksOf(url, response, signal)) {
    n += chunk.length;
    if (n > MAX_LISTING_BYTES) throw new FormatError(`${url}: the list of files has more than ${MAX_LISTING_BYTES} bytes`);
    chunks.push(chunk);
  }
  return new Blob(/** @type {BlobPart[]} */ (chunks)).text();
}

/** @param {unknown} error of node:fs @param {string} path */
export function named(error, path) {
  const { message, constructor } = systemError(error);
  return new /** @type {new (message: string, options: object) => PithError} */ (constructor)(`${path}: ${message}`, { cause: error });
}
