/**
 * The three browser engines behind one interface, each as Debian has it: Chromium by playwright-core, Firefox by WebDriver BiDi, WebKitGTK's
 * MiniBrowser by WebDriver on a display of its own. Every browser has its own profile; `close` ends what `open` started and nothing else,
 * and so does the end of this process.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** @typedef {{width: number, height: number}} Size */
/**
 * One page of one browser.
 * @typedef {object} Page
 * @property {(url: string) => Promise<unknown>} goto settles when the document and its scripts have loaded
 * @property {(fn: Function, arg?: unknown) => Promise<any>} evaluate runs fn(arg) in the page and waits for its promise; fn sees nothing of
 *   this process, and arg and its answer are JSON
 * @property {(size: Size) => Promise<unknown>} resize of the page, not of the window
 * @property {() => Promise<Buffer>} screenshot a PNG of what is in the window
 * @property {() => Promise<void>} close
 */
/** What ends a browser, last things first. @typedef {(() => unknown)[]} Undo */

export const engines = ['chromium', 'firefox', 'webkit'];
const OPEN_MS = 60000; // a browser's first start on a busy machine
const ANSWER_MS = 180000;

const programs = {
  chromium: { path: '/usr/bin/chromium', from: 'chromium' },
  firefox: { path: '/usr/bin/firefox-esr', from: 'firefox-esr' },
  driver: { path: '/usr/bin/WebKitWebDriver', from: 'webkit2gtk-driver' },
  display: { path: '/usr/bin/Xvfb', from: 'xvfb' },
  webkit: { path: miniBrowser(), from: 'webkit2gtk-driver' },
};

/** Debian keeps it in the folder of the machine's architecture. */
function miniBrowser() {
  const below = (folder) => `/usr/lib/${folder}/webkit2gtk-4.1/MiniBrowser`;
  return below(readdirSync('/usr/lib').find((folder) => existsSync(below(folder))) ?? '*');
}

/** Why an engine cannot be started here, or false. @param {string} engine */
export function missing(engine) {
  for (const name of engine === 'webkit' ? ['driver', 'display', 'webkit'] : [engine]) {
    const { path, from } = programs[name];
    if (!existsSync(path)) return `${path} is not here: scripts/setup --test installs ${from}`;
  }
  return false;
}

/**
 * For node:test's `skip`: a missing browser skips its tests, and says why; where CI is set they run, and fail by it.
 * @param {string} engine
 */
export const needsEngine = (engine) => (process.env.CI ? false : missing(engine));

/**
 * Opens a browser with one blank page.
 * @param {string} engine
 * @param {{after: (end: () => void) => void}} t the test at whose end the browser closes
 * @param {Size} [size] of the page
 * @returns {Promise<Page>}
 */
export async function open(engine, t, size = { width: 1100, height: 1000 }) {
  const reason = missing(engine);
  if (reason) throw new Error(`${engine}: ${reason}`);
  /** @type {Undo} */
  const undo = [];
  const close = async () => { for (let end = undo.pop(); end; end = undo.pop()) await end(); };
  t.after(close);
  try {
    const page = await timed({ chromium, firefox, webkit }[engine](undo), OPEN_MS, `${engine} did not start`);
    await page.resize(size);
    return { ...page, close, evaluate: (fn, arg) => timed(page.evaluate(fn, arg), ANSWER_MS, `${engine}: the page did not answer`) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @template T @param {Promise<T>} work @param {number} ms @param {string} what @returns {Promise<T>} */
async function timed(work, ms, what) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`${what} within ${ms / 1000} s`)), ms); });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A folder that goes when the browser has gone. @param {Undo} undo */
function temporaryProfile(undo) {
  const folder = mkdtempSync(join(tmpdir(), 'pith-browser-'));
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  process.once('exit', remove);
  undo.push(() => {
    process.removeListener('exit', remove);
    remove();
  });
  return folder;
}

/**
 * A program and all that it starts in turn: a process group of its own.
 * @param {string} program @param {string[]} args @param {import('node:child_process').SpawnOptions} options @param {Undo} undo
 */
function startGroup(program, args, options, undo) {
  const child = spawn(program, args, { ...options, detached: true });
  const ended = new Promise((resolve) => { child.once('exit', resolve).once('error', resolve); });
  const kill = () => {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error; // it has ended
    }
  };
  process.prependOnceListener('exit', kill); // before the profile goes
  exitOnSignals();
  undo.push(async () => {
    kill();
    await ended;
    process.removeListener('exit', kill);
  });
  return child;
}

/** A signal ends this process the way that 'exit' hears of: what was started is in groups of its own and does not get the signal. */
function exitOnSignals() {
  for (const [signal, number] of [['SIGINT', 2], ['SIGTERM', 15], ['SIGHUP', 1]]) {
    if (process.listenerCount(signal) === 0) process.once(signal, () => process.exit(128 + number));
  }
}

/** What a program says of itself: the first line that matches. @returns {Promise<string>} the match's first group */
function announced(stream, pattern, what) {
  return new Promise((resolve, reject) => {
    createInterface(stream).on('line', (line) => { if (pattern.test(line)) resolve(pattern.exec(line)[1]); })
      .once('close', () => reject(new Error(`${what} ended at once`)));
  });
}

// ---- Chromium ----
export const chromiumArguments = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

/** Chromium with all that playwright-core can do. @param {{after: (end: () => void) => void}} t */
export async function launchChromium(t) {
  const { chromium: type } = await import('playwright-core');
  const browser = await type.launch({ executablePath: programs.chromium.path, args: chromiumArguments });
  t.after(() => browser.close());
  return browser;
}

/** @param {Undo} undo */
async function chromium(undo) {
  const browser = await launchChromium({ after: (end) => undo.push(end) });
  const page = await browser.newPage();
  return { goto: (url) => page.goto(url), evaluate: (fn, arg) => page.evaluate(fn, arg), resize: (size) => page.setViewportSize(size),
    screenshot: () => page.screenshot() };
}

// ---- Firefox ----
/** @param {Undo} undo */
async function firefox(undo) {
  const home = temporaryProfile(undo);
  const browser = startGroup(programs.firefox.path, ['--headless', '--no-remote', '--profile', home, '--remote-debugging-port', '0'],
    { env: { ...process.env, HOME: home }, stdio: ['ignore', 'ignore', 'pipe'] }, undo);
  const send = await bidi(`${await announced(browser.stderr, /BiDi listening on (ws:\S+)/, 'Firefox')}/session`);
  await send('session.new', { capabilities: {} });
  const { contexts: [{ context }] } = await send('browsingContext.getTree', {});
  const evaluate = async (fn, arg) => {
    // JSON on both ways, as BiDi's own serialisation knows more than JSON.
    const { result, exceptionDetails } = await send('script.callFunction', { target: { context }, awaitPromise: true,
      functionDeclaration: `async (arg) => JSON.stringify(await (${fn})(JSON.parse(arg)) ?? null)`,
      arguments: [{ type: 'string', value: JSON.stringify(arg ?? null) }] });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return JSON.parse(result.value);
  };
  return { evaluate, goto: (url) => send('browsingContext.navigate', { context, url, wait: 'complete' }),
    resize: (viewport) => send('browsingContext.setViewport', { context, viewport }),
    screenshot: async () => Buffer.from((await send('browsingContext.captureScreenshot', { context })).data, 'base64') };
}

/** A connection that speaks WebDriver BiDi. @param {string} url @returns {Promise<(method: string, params: object) => Promise<any>>} */
async function bidi(url) {
  const { WebSocket } = await import('ws'); // Node.js 20 has none of its own
  const socket = new WebSocket(url);
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */
  const pending = new Map();
  const end = () => { for (const { reject } of pending.values()) reject(new Error('Firefox has gone')); };
  let next = 1;
  socket.on('message', (data) => {
    const { id, result, error, message } = JSON.parse(String(data));
    const job = pending.get(id);
    pending.delete(id);
    if (error) job?.reject(new Error(`Firefox: ${error}: ${message}`));
    else job?.resolve(result);
  });
  await new Promise((resolve, reject) => { socket.once('open', resolve).once('error', reject); });
  socket.on('close', end).on('error', end);
  return (method, params) => new Promise((resolve, reject) => {
    if (socket.readyState !== WebSocket.OPEN) return reject(new Error('Firefox has gone'));
    pending.set(next, { resolve, reject });
    return socket.send(JSON.stringify({ id: next++, method, params }));
  });
}

// ---- WebKit ----
/** @param {Undo} undo */
async function webkit(undo) {
  const home = temporaryProfile(undo);
  const screen = startGroup(programs.display.path, ['-displayfd', '3', '-screen', '0', '2000x2400x24', '-nolisten', 'tcp'],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] }, undo);
  const display = `:${await announced(screen.stdio[3], /^(\d+)$/, 'Xvfb')}`;
  const port = await freePort();
  // WebKit shares memory between the threads of isolated pages; this port forgets to, unless told.
  const env = { PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: home, XDG_RUNTIME_DIR: home, TMPDIR: home, DISPLAY: display, GDK_BACKEND: 'x11',
    GSETTINGS_BACKEND: 'memory', NO_AT_BRIDGE: '1', LIBGL_ALWAYS_SOFTWARE: '1', WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
    JSC_useSharedArrayBuffer: '1' };
  startGroup(programs.driver.path, [`--port=${port}`], { env, stdio: 'ignore' }, undo);
  const driver = `http://127.0.0.1:${port}`;
  await untilItAnswers(driver);
  const { sessionId } = await webdriver(driver, 'POST', '/session', { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': {
    binary: programs.webkit.path, args: ['--automation'] } } } });
  const session = `${driver}/session/${sessionId}`;
  await webdriver(session, 'POST', '/timeouts', { script: ANSWER_MS, pageLoad: ANSWER_MS });
  const execute = (fn, arg) => webdriver(session, 'POST', '/execute/async', { args: [arg ?? null], script: `const [arg, done] = arguments;
      (async () => (${fn})(arg))().then((value) => done({ value }), (error) => done({ error: error.name + ': ' + error.message }));` });
  const evaluate = async (fn, arg) => {
    // Under load the driver now and then loses an answer on its way, whatever it was: it is asked once more.
    const { value, error } = await execute(fn, arg).catch((lost) => {
      if (/Could not parse script result/.test(lost.message)) return execute(fn, arg);
      throw lost;
    });
    if (error) throw new Error(error);
    return value;
  };
  const resize = async ({ width, height }) => {
    // WebDriver sizes the window: what its frame and bars take is found by one try.
    await webdriver(session, 'POST', '/window/rect', { x: 0, y: 0, width, height });
    const inner = await evaluate(() => ({ width: innerWidth, height: innerHeight }));
    await webdriver(session, 'POST', '/window/rect', { width: 2 * width - inner.width, height: 2 * height - inner.height });
  };
  return { evaluate, resize, goto: (url) => webdriver(session, 'POST', '/url', { url }),
    screenshot: async () => Buffer.from(await webdriver(session, 'GET', '/screenshot'), 'base64') };
}

/** @returns {Promise<number>} a port that is free now */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject).listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/** One command of W3C WebDriver. @param {string} base @param {string} method @param {string} path @param {object} [body] */
async function webdriver(base, method, path, body) {
  const response = await fetch(base + path, { method, body: body && JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`WebKit: ${value.error}: ${value.message}`);
  return value;
}

/** @param {string} driver */
async function untilItAnswers(driver) {
  for (const begin = Date.now(); Date.now() - begin < OPEN_MS;) {
    if (await webdriver(driver, 'GET', '/status').catch(() => null)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
