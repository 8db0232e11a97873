/** Charts as SVG texts: horizontal bars, stacked bars, lines, points. Legible on light and on dark; no script, no font of their own. */

const COLOURS = ['pith', 'pith2', 'a', 'b', 'c', 'd', 'e', 'f', 'g'];
const STYLE = `<style>
.back{fill:#fff}text{fill:#1f2328;font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}.title{font-weight:600;font-size:15px}.minor{fill:#59636e;font-size:12px}
.axis{stroke:#d1d9e0;fill:none}.mark{stroke:#1f2328;stroke-width:2;stroke-dasharray:4 3}
.pith{fill:#0a58ca;stroke:#0a58ca}.pith2{fill:#6ea8fe;stroke:#6ea8fe}.a{fill:#bc4c00;stroke:#bc4c00}.b{fill:#8250df;stroke:#8250df}.c{fill:#57606a;stroke:#57606a}.d{fill:#1a7f37;stroke:#1a7f37}
.e{fill:#0b7a75;stroke:#0b7a75}.f{fill:#bf3989;stroke:#bf3989}.g{fill:#9a6700;stroke:#9a6700}
rect{stroke:none!important}polyline{fill:none!important;stroke-width:2.5}
@media (prefers-color-scheme:dark){.back{fill:#0d1117}text{fill:#e6edf3}.minor{fill:#9198a1}.axis{stroke:#3d444d}.mark{stroke:#e6edf3}
.pith{fill:#4493f8;stroke:#4493f8}.pith2{fill:#1f5fb5;stroke:#1f5fb5}.a{fill:#f0883e;stroke:#f0883e}.b{fill:#ab7df8;stroke:#ab7df8}.c{fill:#9198a1;stroke:#9198a1}.d{fill:#3fb950;stroke:#3fb950}
.e{fill:#2bb5ad;stroke:#2bb5ad}.f{fill:#f778ba;stroke:#f778ba}.g{fill:#d29922;stroke:#d29922}}
</style>`;

/** @param {unknown} text */
export const escape = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;');
/** @param {number} x @param {number} y @param {unknown} what @param {{anchor?: string, kind?: string}} [how] */
const text = (x, y, what, { anchor = 'start', kind = '' } = {}) => `<text x="${round(x)}" y="${round(y)}"${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}${kind ? ` class="${kind}"` : ''}>${escape(what)}</text>`;
/** @param {number} x */
const round = (x) => Math.round(x * 10) / 10;

/** @param {number} width @param {number} height @param {string} title @param {string[]} parts */
function frame(width, height, title, parts) {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">\n${STYLE}\n` +
    `<rect class="back" width="${width}" height="${height}" rx="6"/>\n${text(16, 26, title, { kind: 'title' })}\n${parts.join('\n')}\n</svg>\n`;
}

/**
 * @param {{title: string, note?: string, groups: {label: string, bars: {label: string, value: number, text: string, colour: number}[]}[]}} chart
 */
export function bars({ title, note, groups }) {
  const width = 760, left = 275, right = 125, line = 21;
  const most = Math.max(...groups.flatMap((group) => group.bars.map((bar) => bar.value)));
  const parts = note ? [text(16, 46, note, { kind: 'minor' })] : [];
  let y = note ? 62 : 44;
  for (const group of groups) {
    if (group.label) { parts.push(text(16, y + 14, group.label, { kind: 'minor' })); y += 22; }
    for (const bar of group.bars) {
      const long = Math.max(1, (bar.value / most) * (width - left - right));
      parts.push(text(left - 10, y + 14, bar.label, { anchor: 'end' }), `<rect class="${COLOURS[bar.colour]}" x="${left}" y="${y + 2}" width="${round(long)}" height="${line - 6}" rx="2"/>`, text(left + long + 8, y + 14, bar.text));
      y += line;
    }
    y += 8;
  }
  return frame(width, y + 8, title, parts);
}

/**
 * Bars of parts, with a dashed mark where a bound lies.
 * @param {{title: string, note?: string, rows: {label: string, text: string, bound?: number, parts: {label: string, value: number}[]}[]}} chart
 */
export function stacked({ title, note, rows }) {
  const width = 760, left = 190, right = 90, line = 34;
  const names = [...new Set(rows.flatMap((row) => row.parts.map((part) => part.label)))];
  const most = Math.max(...rows.map((row) => Math.max(row.bound ?? 0, row.parts.reduce((sum, part) => sum + part.value, 0))));
  const parts = note ? [text(16, 46, note, { kind: 'minor' })] : [];
  let x = 16, y = note ? 60 : 42;
  for (const [i, name] of names.entries()) {
    if (x + 30 + name.length * 7.5 > width) { x = 16; y += 20; }
    parts.push(`<rect class="${COLOURS[i % COLOURS.length]}" x="${x}" y="${y}" width="11" height="11" rx="2"/>`, text(x + 16, y + 10, name, { kind: 'minor' }));
    x += 34 + name.length * 7.2;
  }
  y += 26;
  for (const row of rows) {
    let from = left;
    parts.push(text(left - 10, y + 17, row.label, { anchor: 'end' }));
    for (const part of row.parts) {
      const long = (part.value / most) * (width - left - right);
      parts.push(`<rect class="${COLOURS[names.indexOf(part.label) % COLOURS.length]}" x="${round(from)}" y="${y + 3}" width="${round(Math.max(0.5, long - 1))}" height="${line - 14}"/>`);
      from += long;
    }
    parts.push(text(from + 8, y + 17, row.text));
    if (row.bound) {
      const at = round(left + (row.bound / most) * (width - left - right));
      parts.push(`<line class="mark" x1="${at}" x2="${at}" y1="${y - 2}" y2="${y + line - 6}"/>`);
    }
    y += line;
  }
  return frame(width, y + 10, title, parts);
}

/**
 * Lines over logarithmic axes.
 * @param {{title: string, note?: string, x: string, unit: string, series: {label: string, colour: number, points: [number, number][]}[]}} chart
 */
export function lines({ title, note, x: xName, unit, series }) {
  const width = 760, height = 380, left = 70, right = 225, top = note ? 66 : 48, bottom = 50;
  const points = series.flatMap((one) => one.points), xs = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
  const low = Math.min(...points.map(([, y]) => y)) / 1.25, high = Math.max(...points.map(([, y]) => y)) * 1.25;
  const scale = (/** @type {number} */ value, /** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ begin, /** @type {number} */ end) => begin + (from === to ? 0 : Math.log(value / from) / Math.log(to / from)) * (end - begin);
  /** @param {[number, number]} point @returns {[number, number]} */
  const at = ([x, y]) => [round(scale(x, xs[0], xs[xs.length - 1], left, width - right)), round(scale(y, low, high, height - bottom, top))];
  const parts = note ? [text(16, 46, note, { kind: 'minor' })] : [];
  for (const x of xs) {
    const [px] = at([x, low]);
    parts.push(`<line class="axis" x1="${px}" x2="${px}" y1="${top}" y2="${height - bottom}"/>`, text(px, height - bottom + 18, x, { anchor: 'middle', kind: 'minor' }));
  }
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.log10(high); decade++) {
    for (const digit of [1, 2, 5]) {
      const value = digit * 10 ** decade;
      if (value < low || value > high) continue;
      const [, py] = at([xs[0], value]);
      parts.push(`<line class="axis" x1="${left}" x2="${width - right}" y1="${py}" y2="${py}"/>`, text(left - 8, py + 4, Number(value.toPrecision(1)), { anchor: 'end', kind: 'minor' }));
    }
  }
  parts.push(text((left + width - right) / 2, height - 12, xName, { anchor: 'middle', kind: 'minor' }), text(16, top - 6, unit, { kind: 'minor' }));
  // Labels at the lines' ends, pushed apart where they would lie on each other.
  const labels = series.map((one) => ({ one, y: at(/** @type {[number, number]} */ ([...one.points].sort((a, b) => a[0] - b[0]).at(-1)))[1] })).sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + 17);
  for (const { one, y } of labels) {
    const places = [...one.points].sort((a, b) => a[0] - b[0]).map(at), colour = COLOURS[one.colour];
    parts.push(`<polyline class="${colour}" points="${places.map((p) => p.join(',')).join(' ')}"/>`, ...places.map(([px, py]) => `<circle class="${colour}" cx="${px}" cy="${py}" r="3.5"/>`),
      `<rect class="${colour}" x="${width - right + 14}" y="${y - 5}" width="10" height="10" rx="2"/>`, text(width - right + 30, y + 4, one.label));
  }
  return frame(width, height, title, parts);
}

/** Round values that an axis is marked at. @param {number} low @param {number} high @param {number} about how many */
function ticks(low, high, about) {
  const rough = (high - low) / about, decade = 10 ** Math.floor(Math.log10(rough)), step = decade * (/** @type {number} */ ([1, 2, 5, 10].find((digit) => digit * decade >= rough * 0.999)));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => ({ value: (first + i) * step, text: ((first + i) * step).toFixed(digits) }));
}

/** 1, 2 and 5 of each power of ten, or where these are many the powers. @param {number} low @param {number} high logarithms */
function decades(low, high) {
  const values = Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i).flatMap((power) => (high - low > 3 ? [1] : [1, 2, 5]).map((digit) => digit * 10 ** power));
  return values.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high).map((value) => ({ value, text: String(Number(value.toPrecision(1))) }));
}

/** A little more than what there is, so that no point lies on an edge. @param {number[]} values @param {boolean} fromZero */
function range(values, fromZero) {
  const low = fromZero ? 0 : Math.min(...values), high = Math.max(...values), room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  return [fromZero ? 0 : low - room, high + room];
}

/** A legend's names in rows that are no wider than the picture. @param {string[]} labels @param {number} width */
function rowsOf(labels, width) {
  /** @type {{index: number, x: number, label: string}[][]} */
  const rows = [[]];
  let x = 16;
  for (const [index, label] of labels.entries()) {
    const long = 36 + label.length * 6.6;
    if (x + long > width && x > 16) { rows.push([]); x = 16; }
    rows[rows.length - 1].push({ index, x: round(x), label });
    x += long;
  }
  return rows;
}

/**
 * Points, joined where a series says so, over linear axes or a logarithmic vertical one.
 * @param {{title: string, note?: string, x: string, y: string, fromZero?: boolean, logarithmic?: boolean, series: {label: string, colour: number, joined?: boolean, points: {x: number, y: number, label?: string}[]}[]}} chart
 *   label of a point: written beside it; fromZero: where the vertical axis begins
 */
export function points({ title, note, x: xName, y: yName, fromZero = false, logarithmic = false, series }) {
  const width = 760, left = 70, right = 24, bottom = 50, legend = note ? 62 : 44, names = rowsOf(series.map(({ label }) => label), width), top = legend + 46 + 20 * (names.length - 1), height = top + 320;
  const bent = logarithmic ? Math.log10 : (/** @type {number} */ y) => y;
  const all = series.flatMap((one) => one.points), [x0, x1] = range(all.map(({ x }) => x), false), [y0, y1] = range(all.map(({ y }) => bent(y)), fromZero);
  const across = (/** @type {number} */ x) => round(left + (x - x0) / (x1 - x0) * (width - left - right)), up = (/** @type {number} */ y) => round(height - bottom - (bent(y) - y0) / (y1 - y0) * (height - bottom - top));
  const parts = note ? [text(16, 46, note, { kind: 'minor' })] : [];
  for (const [row, some] of names.entries()) {
    for (const { index, x, label } of some) parts.push(`<rect class="${COLOURS[series[index].colour % COLOURS.length]}" x="${x}" y="${legend + 20 * row}" width="11" height="11" rx="2"/>`, text(x + 16, legend + 10 + 20 * row, label, { kind: 'minor' }));
  }
  for (const { value, text: says } of ticks(x0, x1, 7)) parts.push(`<line class="axis" x1="${across(value)}" x2="${across(value)}" y1="${top}" y2="${height - bottom}"/>`, text(across(value), height - bottom + 18, says, { anchor: 'middle', kind: 'minor' }));
  for (const { value, text: says } of logarithmic ? decades(y0, y1) : ticks(y0, y1, 6)) parts.push(`<line class="axis" x1="${left}" x2="${width - right}" y1="${up(value)}" y2="${up(value)}"/>`, text(left - 8, up(value) + 4, says, { anchor: 'end', kind: 'minor' }));
  parts.push(text((left + width - right) / 2, height - 12, xName, { anchor: 'middle', kind: 'minor' }), text(16, top - 12, yName, { kind: 'minor' }));
  /** @type {{from: number, to: number, y: number}[]} */
  const written = [];
  for (const { colour, joined, points: some } of series) {
    const kind = COLOURS[colour % COLOURS.length], places = some.map((point) => ({ ...point, x: across(point.x), y: up(point.y) }));
    if (joined && places.length > 1) parts.push(`<polyline class="${kind}" points="${places.map(({ x, y }) => `${x},${y}`).join(' ')}"/>`);
    for (const { x, y, label } of places) {
      parts.push(`<circle class="${kind}" cx="${x}" cy="${y}" r="4.5"/>`);
      if (!label) continue;
      const long = label.length * 6.4, late = x + 9 + long > width - right, from = late ? x - 9 - long : x + 9;
      const free = (/** @type {number} */ at) => at < height - bottom - 2 && at > top && !written.some((other) => Math.abs(other.y - at) < 13 && other.from < from + long && other.to > from);
      const at = y + ([15, -7, 28, -20, 41, -33].find((down) => free(y + down)) ?? 15);
      written.push({ from, to: from + long, y: at });
      parts.push(text(late ? x - 9 : x + 9, at, label, { anchor: late ? 'end' : 'start', kind: 'minor' }));
    }
  }
  return frame(width, height, title, parts);
}
