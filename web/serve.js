#!/usr/bin/env node
// The static server behind `npm start`: Node's own http, the loopback address alone, the strictest policy that the page runs under.
//   node web/serve.js [--port N] [--isolated]
import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath } from 'node:url';

const host = '127.0.0.1';
const defaultPort = 8080;
const served = new Set(['web', 'js', 'dist', 'models', 'examples']);

/** The one relaxation is WebAssembly's own; the rest only tightens what `default-src` leaves open. */
export const contentSecurityPolicy =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const types = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.safetensors': 'application/octet-stream',
  '.svg': 'image/svg+xml',
  '.ts': 'text/plain; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** An answer that is not a file: its status and one sentence. */
class Refusal extends Error {
  constructor(/** @type {number} */ status, /** @type {string} */ message, /** @type {Record<string, string>} */ headers = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

const notFound = () => new Refusal(404, 'There is nothing at this address.');

/** The URL's path as names, decoded; refuses whatever could lead out of the folders served. */
function pathNames(/** @type {string} */ url) {
  let path;
  try {
    path = decodeURIComponent(url.split(/[?#]/, 1)[0]);
  } catch {
    throw new Refusal(400, 'The address is not valid percent-encoding.');
  }
  if (!path.startsWith('/')) throw new Refusal(400, 'The address should begin with a slash.');
  const names = path.slice(1).split('/');
  if (/[\\\0]/.test(path) || names.some((name) => name === '.' || name === '..')) {
    throw new Refusal(403, 'The address leads out of what is served.');
  }
  if (!served.has(names[0]) || names.slice(0, -1).includes('') || names.some((name) => name.startsWith('.'))) throw notFound();
  return names;
}

/** The file behind the names: a folder gives its index.html, a link may not lead out of the root. */
async function findFile(/** @type {string} */ root, /** @type {string[]} */ names) {
  const wanted = names.at(-1) === '' ? [...names.slice(0, -1), 'index.html'] : names;
  try {
    const file = await realpath([root, ...wanted].join(sep));
    if (!file.startsWith(root + sep)) throw notFound();
    const info = await stat(file, { bigint: true });
    if (info.isDirectory()) throw new Refusal(301, 'It is a folder.', { Location: `/${names.map(encodeURIComponent).join('/')}/` });
    if (!info.isFile()) throw notFound();
    // Nanoseconds: a rebuild within the same millisecond must not look like the same file.
    return { file, size: Number(info.size), etag: `"${info.size.toString(36)}-${info.mtimeNs.toString(36)}"` };
  } catch (error) {
    throw error instanceof Refusal ? error : notFound();
  }
}

/**
 * One range of bytes, as [first, last]; null when the header asks for none that is understood, so that all is sent (RFC 9110, 14.2).
 * @param {string | undefined} header
 * @param {number} size
 * @returns {[number, number] | null}
 */
export function parseRange(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  const suffix = match[1] === '';
  const first = suffix ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const last = suffix || match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (!suffix && match[2] !== '' && Number(match[2]) < first) return null;
  if (first >= size || (suffix && Number(match[2]) === 0)) {
    throw new Refusal(416, 'The range lies beyond the end.', { 'Content-Range': `bytes */${size}` });
  }
  return [first, last];
}

/** True when one of the entity tags of If-None-Match is ours; weak comparison. */
function matches(/** @type {string | undefined} */ header, /** @type {string} */ etag) {
  return (header ?? '').split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
}

/**
 * @param {string} root
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 */
async function answer(root, request, response) {
  const { method, headers, url = '/' } = request;
  if (method !== 'GET' && method !== 'HEAD') throw new Refusal(405, 'Only GET and HEAD are answered.', { Allow: 'GET, HEAD' });
  if (url.split(/[?#]/, 1)[0] === '/') throw new Refusal(302, 'The page is in /web/.', { Location: `/web/${url.slice(1)}` });
  const { file, size, etag } = await findFile(root, pathNames(url));
  response.setHeader('Content-Type', types[/** @type {keyof typeof types} */ (extname(file))] ?? 'application/octet-stream');
  response.setHeader('ETag', etag);
  response.setHeader('Accept-Ranges', 'bytes');
  if (matches(headers['if-none-match'], etag)) {
    response.writeHead(304).end();
    return;
  }
  const range = headers['if-range'] && headers['if-range'] !== etag ? null : parseRange(headers.range, size);
  const [first, last] = range ?? [0, size - 1];
  response.setHeader('Content-Length', last - first + 1);
  if (range) response.setHeader('Content-Range', `bytes ${first}-${last}/${size}`);
  response.statusCode = range ? 206 : 200;
  if (method === 'HEAD' || size === 0) {
    response.end();
    return;
  }
  // A reader who leaves early is no error of ours.
  pipeline(createReadStream(file, { start: first, end: last }), response, () => {});
}

/** @param {import('node:http').ServerResponse} response @param {unknown} error */
function refuse(response, error) {
  const refusal = error instanceof Refusal ? error : new Refusal(500, 'The server failed.');
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const [name, value] of Object.entries(refusal.headers)) response.setHeader(name, value);
  const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${refusal.status}</title>
<h1>${refusal.status}</h1><p>${refusal.message}</p><p><a href="/web/">To the playground</a></p></html>
`;
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(page));
  response.writeHead(refusal.status).end(response.req.method === 'HEAD' ? undefined : page);
}

/**
 * Starts a server on the loopback address; port 0 takes any free one.
 * @param {{ root?: string, port?: number, isolated?: boolean }} [options] `isolated` adds COOP and COEP
 * @returns {Promise<{ url: string, port: number, close(): Promise<void> }>}
 */
export async function serve({ root, port = 0, isolated = false } = {}) {
  const folder = await realpath(root ?? fileURLToPath(new URL('..', import.meta.url)));
  const server = createServer((request, response) => {
    response.setHeader('Content-Security-Policy', contentSecurityPolicy);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.setHeader('Referrer-Policy', 'no-referrer');
    response.setHeader('Cache-Control', 'no-cache'); // kept, but asked for again each time: a rebuild shows at once
    if (isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    answer(folder, request, response).catch((error) => refuse(response, error));
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve(undefined));
  });
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    url: `http://${host}:${address.port}/`,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** The port wished, or the next free one when nobody insisted. */
async function serveNear(/** @type {number | undefined} */ wished, /** @type {boolean} */ isolated) {
  for (let port = wished ?? defaultPort; ; port++) {
    try {
      return await serve({ port, isolated });
    } catch (error) {
      const taken = /** @type {NodeJS.ErrnoException} */ (error).code === 'EADDRINUSE';
      if (!taken || wished !== undefined || port >= defaultPort + 100) throw error;
    }
  }
}

/** @param {string[]} args */
function parseArguments(args) {
  /** @type {{ port?: number, isolated: boolean }} */
  const options = { isolated: false };
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = args[i].split('=', 2);
    if (name === '--isolated' && inline === undefined) options.isolated = true;
    else if (name === '--port') {
      const value = inline ?? args[++i] ?? '';
      options.port = Number(value);
      if (!/^\d+$/.test(value) || options.port > 65535) throw new Error('--port should be a number from 0 to 65535');
    } else throw new Error(`there is no option ${args[i]}; there are --port N and --isolated`);
  }
  return options;
}

async function main() {
  const { port, isolated } = parseArguments(process.argv.slice(2));
  const server = await serveNear(port, isolated);
  console.log(`Pith's playground is at ${server.url} (Ctrl-C stops it)`);
  const stop = () => server.close().then(() => process.exit(0));
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
}

if (process.argv[1] && (await realpath(process.argv[1]).catch(() => '')) === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(`serve: ${error.code === 'EADDRINUSE' ? `port ${error.port} is taken; leave --port out to take the next free one` : error.message}`);
    process.exitCode = 2;
  });
}
