/** Charts as SVG texts: horizontal bars, stacked bars, lines. Legible on light and on dark; no script, no font of their own. */

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

const escape = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const text = (x, y, what, { anchor = 'start', kind = '' } = {}) => `<text x="${round(x)}" y="${round(y)}"${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}${kind ? ` class="${kind}"` : ''}>${escape(what)}</text>`;
const round = (x) => Math.round(x * 10) / 10;

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
  const scale = (value, from, to, begin, end) => begin + (from === to ? 0 : Math.log(value / from) / Math.log(to / from)) * (end - begin);
  const at = ([x, y]) => [round(scale(x, xs[0], xs.at(-1), left, width - right)), round(scale(y, low, high, height - bottom, top))];
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
  const labels = series.map((one) => ({ one, y: at([...one.points].sort((a, b) => a[0] - b[0]).at(-1))[1] })).sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + 17);
  for (const { one, y } of labels) {
    const places = [...one.points].sort((a, b) => a[0] - b[0]).map(at), colour = COLOURS[one.colour];
    parts.push(`<polyline class="${colour}" points="${places.map((p) => p.join(',')).join(' ')}"/>`, ...places.map(([px, py]) => `<circle class="${colour}" cx="${px}" cy="${py}" r="3.5"/>`),
      `<rect class="${colour}" x="${width - right + 14}" y="${y - 5}" width="10" height="10" rx="2"/>`, text(width - right + 30, y + 4, one.label));
  }
  return frame(width, height, title, parts);
}
