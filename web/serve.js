// The playground's server: files of this checkout on localhost, under the strictest policy that a page with Pith can have. Neither COOP
// nor COEP is sent: nothing here needs them.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.json': 'application/json', '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png' };
// What may be seen, and where it lies.
const places = [['/pith/js/', 'js/'], ['/pith/dist/', 'dist/'], ['/models/', 'models/'], ['/vendor/client-zip/', 'node_modules/client-zip/'],
  ['/examples/page/', 'examples/page/'], ['/', 'web/']];
export const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; " +
  "img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/** @param {string} pathname */
function locate(pathname) {
  const clean = normalize(decodeURIComponent(pathname)).split(sep).join('/');
  for (const [prefix, folder] of places) {
    if (clean.startsWith(prefix)) return join(root, folder, clean.slice(prefix.length) || 'index.html');
  }
  return undefined;
}

/** @param {string | undefined} header @param {number} size */
function range(header, size) {
  const match = /^bytes=(\d+)-(\d*)$/.exec(header ?? '');
  if (!match) return undefined;
  const begin = Number(match[1]), end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  return begin <= end ? { begin, end } : null;
}

async function respond(request, response) {
  if (request.method !== 'GET' && request.method !== 'HEAD') return response.writeHead(405, { Allow: 'GET, HEAD' }).end();
  let file;
  try {
    file = locate(new URL(request.url, 'http://localhost').pathname);
  } catch {
    return response.writeHead(400).end('bad address\n');
  }
  if (file?.endsWith(sep)) file += 'index.html';
  const info = file && await stat(file).catch(() => undefined);
  if (!info?.isFile()) return response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found\n');
  const part = range(request.headers.range, info.size);
  const headers = { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': policy,
    'X-Content-Type-Options': 'nosniff', 'Accept-Ranges': 'bytes', 'Cache-Control': 'no-cache' };
  if (part === null) return response.writeHead(416, { 'Content-Range': `bytes */${info.size}` }).end();
  const { begin, end } = part ?? { begin: 0, end: info.size - 1 };
  if (part) headers['Content-Range'] = `bytes ${begin}-${end}/${info.size}`;
  response.writeHead(part ? 206 : 200, { ...headers, 'Content-Length': Math.max(0, end - begin + 1) });
  if (request.method === 'HEAD' || info.size === 0) return response.end();
  createReadStream(file, { start: begin, end }).on('error', () => response.destroy()).pipe(response);
}

/** @param {number} port 0: any @returns {Promise<import('node:http').Server>} */
export function serve(port) {
  const server = createServer((request, response) => { respond(request, response).catch(() => response.destroy()); });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wished = process.argv[2] ?? process.env.PORT;
  const port = wished === undefined ? 8080 : Number(wished);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    console.error(`serve: "${wished}" is no port`);
    process.exit(2);
  }
  // A port that is taken is no reason to fail, unless it was asked for.
  const server = await serve(port).catch((error) => {
    if (error.code === 'EADDRINUSE' && wished === undefined) return serve(0);
    console.error(`serve: port ${port}: ${error.message}`);
    process.exit(1);
  });
  console.log(`Pith's playground: http://localhost:${server.address().port}/   (Ctrl-C ends it)`);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { server.close(); server.closeAllConnections(); });
}
