// Servers on this machine that behave as the Hub does: a host with listings and small files, and another that large files are redirected to.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const gitHash = (bytes) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
const isLarge = (name) => /\.(safetensors|gguf|bin)$/.test(name);

/** An answer with ranges, as servers of files give it. */
export function sendBytes(request, response, bytes, headers = {}) {
  const etag = headers.ETag, asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? ''), condition = request.headers['if-range'];
  const from = asked && (condition === undefined || condition === etag) ? Number(asked[1]) : 0;
  if (from > 0 && from >= bytes.length) return response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
  const range = from > 0 ? { 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
  return response.writeHead(from > 0 ? 206 : 200, { 'Content-Length': bytes.length - from, 'Accept-Ranges': 'bytes', ...range, ...headers }).end(bytes.subarray(from));
}

/** Some of a file, then the connection is reset. */
export function sendAndBreak(request, response, bytes, n, headers = {}) {
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(from > 0 ? 206 : 200, { 'Content-Length': bytes.length - from, 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`, ...headers });
  response.write(bytes.subarray(from, from + n), () => setTimeout(() => response.destroy(), 20));
}

async function listen(t, handle) {
  const server = createServer(handle);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => { server.close(); server.closeAllConnections(); });
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * @param {{after: (fn: () => void) => void}} t
 * @param {string} folder the one repository, org/name
 * @param {object} [how]
 * @param {(request, response, name: string) => unknown} [how.host] answers true when it has dealt with a request to the host; name: of the file, 'list' for the listing
 * @param {(request, response, name: string, bytes: Buffer, headers: object) => unknown} [how.store] likewise where large files are
 * @param {(listing: object) => object} [how.listing] changes it
 * @param {string[]} [how.revisions] beside main
 */
export async function serveHub(t, folder, { host = () => false, store = () => false, listing = (json) => json, revisions = [] } = {}) {
  const commit = 'c0ffee'.padEnd(40, '0'), seen = [];
  const note = (where, name, { url, headers }) => seen.push({ where, name, url, range: headers.range, ifRange: headers['if-range'], token: headers.authorization });
  const storeUrl = await listen(t, (request, response) => {
    const name = decodeURIComponent(new URL(request.url, 'http://x').pathname.slice(1)), bytes = readFileSync(join(folder, name));
    const headers = { ETag: `"store-${bytes.length}"`, 'Content-Type': 'application/octet-stream' };
    note('store', name, request);
    return store(request, response, name, bytes, headers) || sendBytes(request, response, bytes, headers);
  });
  const hostUrl = await listen(t, (request, response) => {
    const parts = new URL(request.url, 'http://x').pathname.split('/').slice(1).map(decodeURIComponent);
    const list = parts[0] === 'api' && parts[1] === 'models' && parts[4] === 'revision';
    const [org, repo] = list ? parts.slice(2) : parts, revision = list ? parts[5] : parts[3], name = list ? 'list' : parts.slice(4).join('/');
    note('host', name, request);
    if (host(request, response, name)) return undefined;
    const missing = (code) => response.writeHead(404, { 'X-Error-Code': code }).end();
    if (`${org}/${repo}` !== 'org/name' || (!list && parts[2] !== 'resolve')) return missing('RepoNotFound');
    if (!['main', commit, ...revisions].includes(revision)) return missing('RevisionNotFound');
    if (list) {
      const names = readdirSync(folder, { recursive: true }).map(String).filter((one) => /\.\w+$/.test(one));
      const siblings = names.map((one) => {
        const bytes = readFileSync(join(folder, one)), size = bytes.length;
        const lfs = { sha256: sha256(bytes), size, pointerSize: 134 };
        return isLarge(one) ? { rfilename: one, size, blobId: '0'.repeat(40), lfs } : { rfilename: one, size, blobId: gitHash(bytes) };
      });
      return response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(listing({ id: 'org/name', sha: commit, siblings })));
    }
    if (!existsSync(join(folder, name))) return missing('EntryNotFound');
    const bytes = readFileSync(join(folder, name));
    if (!isLarge(name)) return sendBytes(request, response, bytes, { ETag: `"${gitHash(bytes)}"`, 'X-Repo-Commit': commit });
    const linked = { 'X-Linked-Size': bytes.length, 'X-Linked-Etag': `"${sha256(bytes)}"`, 'X-Repo-Commit': commit };
    return response.writeHead(302, { Location: `${storeUrl}/${name}?signature=secret`, ...linked }).end();
  });
  return { endpoint: hostUrl, store: storeUrl, commit, seen };
}
