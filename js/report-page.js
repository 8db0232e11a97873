/**
 * The script of a report's page. js/report.js puts it into the page as it is, so it imports nothing; its charts are uPlot's, which lies beside it there.
 */

/** @typedef {{key: string, label: string, better: 1 | -1, digits: number, what: 'size' | 'time' | 'quality'}} Axis `better`: 1 where more is */
/** @typedef {{layer: number, bits: number | null, gone: number}} LayerFacts */
/**
 * @typedef {{id: string, label: string, command: string, recipe: string, values: Record<string, number>, layers: LayerFacts[],
 *   tensors: {name: string, layer?: number, shape: string, encoding: string, bits?: number, zeros?: number, bytes?: number, error?: number}[]}} ReportPoint
 */
/** @typedef {{axes: Axis[], x: string, y: string, points: ReportPoint[]}} ReportData */

/**
 * The points that no other beats in one of the two without being worse in the other, in the order of x.
 * @template {{values: Record<string, number>}} P
 * @param {P[]} points @param {Axis} x @param {Axis} y @returns {P[]}
 */
export function paretoFront(points, x, y) {
  const there = points.filter(({ values }) => Number.isFinite(values[x.key]) && Number.isFinite(values[y.key]));
  const gain = (/** @type {P} */ point, /** @type {Axis} */ { key, better }) => better * point.values[key];
  return there.filter((point) => !there.some((other) => gain(other, x) >= gain(point, x) && gain(other, y) >= gain(point, y)
    && (gain(other, x) > gain(point, x) || gain(other, y) > gain(point, y)))).sort((a, b) => a.values[x.key] - b.values[x.key]);
}

/** A figure with its axis' digits, or with two that say something. @param {number} value @param {Axis} axis */
export const figure = (value, { digits }) => (value !== 0 && Math.abs(value) < 5 * 10 ** -digits ? Number(value.toPrecision(2)).toString() : value.toFixed(digits));

/**
 * Whether an axis is better read by factors: of losses that span some.
 * @param {Axis} axis @param {number[]} values
 */
export const isLogarithmic = ({ what, better }, values) => what === 'quality' && better < 0 && Math.min(...values) > 0 && Math.max(...values) > 20 * Math.min(...values);

const SERIES = ['--one', '--two', '--three', '--four', '--five', '--six', '--seven', '--eight'];

/** @param {string} id @returns {any} */
const element = (id) => document.getElementById(id);
/** @param {string} name of a custom property */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const font = '12px system-ui, sans-serif';

/** @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} children */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Where a logarithmic axis has its marks: at 1, 2 and 5 of each power of ten, or where these are many at the powers. @param {any} _ @param {number} __ @param {number} low @param {number} high */
function decadesOf(_, __, low, high) {
  const digits = high / low > 1000 ? [1] : [1, 2, 5], first = Math.floor(Math.log10(low)), values = [];
  for (let power = first; 10 ** power <= high; power++) values.push(...digits.map((digit) => Number(`${digit}e${power}`)));
  return values.filter((value) => value >= low && value <= high);
}

/** Marks of an axis as texts: as many digits as tell them apart, or powers of ten. @param {any} _ @param {(number | null)[]} splits */
function marksOf(_, splits) {
  const marks = splits.filter((value) => value !== null), steps = marks.slice(1).map((value, i) => value - marks[i]), step = Math.min(...steps, 1), even = steps.every((one) => one < 1.5 * step);
  const places = Math.min(8, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return splits.map((value) => (value === null ? '' : even ? value.toFixed(places) : String(Number(value.toPrecision(1)))));
}

/** Axes of a chart as they look here. @param {Axis | null} x @param {string} [xLabel] where it is no axis of a choice */
function axesOf(x, xLabel) {
  const common = { stroke: colour('--minor'), font, grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1 } };
  const size = (/** @type {any} */ _, /** @type {string[] | null} */ marks) => 20 + 7 * Math.max(1, ...(marks ?? []).map((mark) => mark.length));
  return [{ ...common, label: x?.label ?? xLabel, labelFont: font, labelSize: 20, size: 32, ...(x ? { values: marksOf } : { incrs: [1, 2, 5, 10, 20, 50] }) },
    { ...common, size, values: marksOf }];
}

/** A chart that fills its place, whatever that becomes. @param {any} uPlot @param {HTMLElement} place @param {number} height @param {object} options @param {any[]} series */
function plot(uPlot, place, height, options, series) {
  place.replaceChildren();
  const chart = new uPlot({ width: place.clientWidth, height, legend: { show: false }, ...options }, series, place);
  const watch = new ResizeObserver(() => { if (place.clientWidth > 0 && place.clientWidth !== chart.width) chart.setSize({ width: place.clientWidth, height }); });
  watch.observe(place);
  return () => { watch.disconnect(); chart.destroy(); };
}

/** @param {HTMLElement} place @param {[string, string][]} names with their colours */
function legend(place, names) {
  place.replaceChildren(...names.map(([name, of]) => {
    const swatch = make('span', { class: 'swatch', 'aria-hidden': 'true' });
    swatch.style.background = colour(of);
    return make('span', {}, swatch, name);
  }));
}

/** @template T @param {T[]} list @returns {T | undefined} */
const middle = (list) => list[list.length >> 1];

class Page {
  /** @type {(() => void)[]} */ #charts = [];

  /** @param {ReportData} data @param {any} uPlot */
  constructor(data, uPlot) {
    this.data = data;
    this.uPlot = uPlot;
    this.selected = middle(this.#front(data.x, data.y)) ?? data.points[0];
    this.other = data.points.find((point) => point !== this.selected);
  }

  /** @param {string} key @returns {Axis} */
  #axis(key) { return /** @type {Axis} */ (this.data.axes.find((axis) => axis.key === key)); }
  /** @param {string} x @param {string} y */
  #front(x, y) { return paretoFront(this.data.points, this.#axis(x), this.#axis(y)); }

  start() {
    for (const [id, chosen] of [['x', this.data.x], ['y', this.data.y]]) {
      element(id).replaceChildren(...this.data.axes.map(({ key, label }) => new Option(label, key, key === chosen, key === chosen)));
      element(id).addEventListener('change', () => this.drawAll());
    }
    element('beside').replaceChildren(new Option('nothing', ''), ...this.data.points.map(({ id, label }) => new Option(label, id)));
    element('beside').value = this.other?.id ?? '';
    element('beside').addEventListener('change', () => {
      this.other = this.data.points.find(({ id }) => id === element('beside').value);
      this.drawAll();
    });
    for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll('button[data-point]')))
      button.addEventListener('click', () => this.select(this.data.points.find(({ id }) => id === button.dataset.point)));
    element('copy').addEventListener('click', () => this.#copy());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.drawAll());
    this.drawAll();
  }

  /** @param {ReportPoint | undefined} point */
  select(point) {
    if (!point) return;
    this.selected = point;
    element('copied').textContent = '';
    this.drawAll();
  }

  async #copy() {
    const { command } = this.selected;
    try {
      await navigator.clipboard.writeText(command);
    } catch { // not a secure context, or not allowed
      const selection = /** @type {Selection} */ (getSelection());
      selection.selectAllChildren(element('command'));
      document.execCommand('copy');
      selection.removeAllRanges();
    }
    element('copied').textContent = 'Copied.';
  }

  drawAll() {
    for (const end of this.#charts.splice(0)) end();
    this.#drawFront();
    this.#showSelected();
    this.#drawLayers();
    this.#drawErrors();
  }

  #drawFront() {
    const x = this.#axis(element('x').value), y = this.#axis(element('y').value), front = this.#front(x.key, y.key);
    const there = this.data.points.filter(({ values }) => Number.isFinite(values[x.key]) && Number.isFinite(values[y.key])).sort((a, b) => a.values[x.key] - b.values[x.key]);
    const of = (/** @type {(point: ReportPoint) => boolean} */ fits) => there.map((point) => (fits(point) ? point.values[y.key] : null));
    const dots = (/** @type {string} */ name, size = 9) => ({ show: true, size, fill: colour(name), stroke: colour(name) });
    legend(element('front-legend'), [['on the front', '--one'], ['beaten by another', '--minor'], ['selected', '--two']]);
    for (const row of document.querySelectorAll('tr[data-point]')) {
      const on = front.some(({ id }) => id === /** @type {HTMLElement} */ (row).dataset.point);
      /** @type {Element} */ (row.querySelector('.front')).textContent = on ? 'yes' : 'no';
    }
    const place = element('front');
    place.setAttribute('aria-label', `${y.label} against ${x.label}; on the front: ${front.map(({ label }) => label).join('; ')}`);
    if (there.length === 0) return place.replaceChildren('No point has both of these.');
    const nearest = (/** @type {any} */ u) => {
      let best = null, distance = 24;
      for (const point of there) {
        const d = Math.hypot(u.valToPos(point.values[x.key], 'x') - u.cursor.left, u.valToPos(point.values[y.key], 'y') - u.cursor.top);
        if (d < distance) [best, distance] = [point, d];
      }
      return best;
    };
    const padded = (/** @type {any} */ u, /** @type {number} */ low, /** @type {number} */ high, /** @type {string} */ scale) => {
      if (u.scales[scale].distr === 3) return [low / 1.6, high * 1.6];
      const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
      return [low - room, high + room];
    };
    const distr = (/** @type {Axis} */ axis) => (isLogarithmic(axis, there.map(({ values }) => values[axis.key])) ? 3 : 1);
    const tip = make('div', { class: 'tip', hidden: '' });
    const options = {
      cursor: { x: false, y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { time: false, distr: distr(x), range: padded }, y: { distr: distr(y), range: padded } },
      axes: axesOf(x).map((axis, i) => (distr([x, y][i]) === 3 ? { ...axis, splits: decadesOf } : axis)),
      series: [{}, { stroke: colour('--one'), width: 2, spanGaps: true, points: dots('--one') },
        { paths: () => null, points: dots('--minor') },
        { paths: () => null, points: { ...dots('--two', 17), fill: 'transparent', width: 2.5 } }],
      hooks: {
        init: [(/** @type {any} */ u) => { u.over.append(tip); u.over.addEventListener('click', () => this.select(nearest(u) ?? undefined)); }],
        setCursor: [(/** @type {any} */ u) => {
          const point = nearest(u);
          u.over.style.cursor = point ? 'pointer' : 'default';
          tip.hidden = !point;
          if (!point) return;
          tip.textContent = `${point.label}: ${figure(point.values[x.key], x)} ${x.label}, ${figure(point.values[y.key], y)} ${y.label}`;
          const left = u.valToPos(point.values[x.key], 'x'), top = u.valToPos(point.values[y.key], 'y');
          tip.style.left = `${Math.max(0, Math.min(left + 10, u.over.clientWidth - tip.offsetWidth))}px`;
          tip.style.top = `${Math.max(0, top - tip.offsetHeight - 10)}px`;
        }],
        draw: [(/** @type {any} */ u) => this.#nameFront(u, front, x, y)],
      },
    };
    const values = [there.map(({ values: own }) => own[x.key]), of((point) => front.includes(point)), of((point) => !front.includes(point)), of((point) => point === this.selected)];
    return this.#charts.push(plot(this.uPlot, place, 380, options, values));
  }

  /** Names beside the points of the front, where there is room. @param {any} u @param {ReportPoint[]} front @param {Axis} x @param {Axis} y */
  #nameFront(u, front, x, y) {
    const ratio = devicePixelRatio, { ctx } = u;
    if (u.width < 560) return;
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = 'left';
    ctx.textBaseline = 'alphabetic';
    ctx.fillStyle = colour('--text');
    /** @type {{left: number, right: number, y: number}[]} */
    const written = [];
    for (const { label, values } of front) {
      const short = label.length > 44 ? `${label.slice(0, 43)}…` : label, width = ctx.measureText(short).width;
      const px = u.valToPos(values[x.key], 'x', true), late = px + width + 12 * ratio > u.bbox.left + u.bbox.width;
      const left = late ? px - 10 * ratio - width : px + 10 * ratio, dot = u.valToPos(values[y.key], 'y', true);
      const py = [dot + 16 * ratio, dot - 8 * ratio].find((at) => at < u.bbox.top + u.bbox.height && at > u.bbox.top + 10 * ratio
        && !written.some((one) => Math.abs(one.y - at) < 14 * ratio && left < one.right && left + width > one.left));
      if (left < u.bbox.left || py === undefined) continue;
      written.push({ left, right: left + width, y: py });
      ctx.fillText(short, left, py);
    }
    ctx.restore();
  }

  #showSelected() {
    const { selected } = this;
    element('selected').textContent = selected.label;
    element('recipe').textContent = selected.recipe;
    element('command').textContent = selected.command;
    for (const row of document.querySelectorAll('tr[data-point]')) row.classList.toggle('chosen', /** @type {HTMLElement} */ (row).dataset.point === selected.id);
    for (const button of document.querySelectorAll('button[data-point]')) button.setAttribute('aria-pressed', String(/** @type {HTMLElement} */ (button).dataset.point === selected.id));
    const amount = (/** @type {number | undefined} */ value, /** @type {(value: number) => string} */ says) => (value === undefined ? '–' : says(value));
    element('tensors').replaceChildren(...selected.tensors.map(({ name, shape, encoding, bits, zeros, bytes, error }) => make('tr', {}, make('th', { scope: 'row' }, name),
      ...[shape, encoding, amount(bits, (b) => b.toFixed(2)), amount(zeros, (z) => `${(100 * z).toFixed(1)} %`), amount(bytes, (b) => String(b)), amount(error, (e) => e.toPrecision(3))]
        .map((cell) => make('td', {}, cell)))));
  }

  #drawLayers() {
    const shown = [this.selected, ...(this.other && this.other !== this.selected ? [this.other] : [])];
    const n = Math.max(0, ...shown.map(({ layers }) => layers.length)), xs = Array.from({ length: n }, (_, i) => i);
    legend(element('layers-legend'), shown.map(({ label }, i) => [label, SERIES[i]]));
    for (const [id, value] of /** @type {[string, (facts: LayerFacts) => number | null][]} */ ([['bits', ({ bits }) => bits], ['gone', ({ gone }) => 100 * gone]])) {
      const rows = shown.map(({ layers }) => xs.map((i) => (layers[i] ? value(layers[i]) : null)));
      this.#lines(element(id), xs, rows.map((row, i) => ({ colour: SERIES[i], row })), 240);
    }
  }

  #drawErrors() {
    /** @type {Map<string, (number | null)[]>} */
    const kinds = new Map();
    const inLayers = this.selected.tensors.filter(({ layer, error }) => layer !== undefined && error !== undefined && error > 0);
    const n = this.selected.layers.length;
    for (const { name, layer, error } of inLayers) {
      const kind = name.replace(new RegExp(`^.*?\\.${layer}\\.`), '').replace(/\.weight$/, '');
      const row = kinds.get(kind) ?? Array(n).fill(null);
      row[/** @type {number} */ (layer)] = error ?? null;
      kinds.set(kind, row);
    }
    const rows = [...kinds].map(([kind, row], i) => ({ kind, row, colour: SERIES[i % SERIES.length], dash: i < SERIES.length ? undefined : [6, 4] }));
    legend(element('errors-legend'), rows.map(({ kind, colour: of }) => [kind, of]));
    this.#lines(element('errors'), Array.from({ length: n }, (_, i) => i), rows, 300);
  }

  /** @param {HTMLElement} place @param {number[]} xs @param {{row: (number | null)[], colour: string, dash?: number[]}[]} rows @param {number} height */
  #lines(place, xs, rows, height) {
    if (xs.length === 0 || rows.length === 0) return place.replaceChildren('Nothing to show.');
    const highest = Math.max(...rows.flatMap(({ row }) => row.map((value) => value ?? 0)));
    const options = {
      cursor: { show: false },
      scales: { x: { time: false, range: [-0.3, xs.length - 0.7] }, y: { range: [0, highest > 0 ? highest * 1.1 : 1] } },
      axes: axesOf(null, 'layer'),
      series: [{}, ...rows.map(({ colour: of, dash }) => ({ stroke: colour(of), width: 2, dash, points: { show: true, size: 7, fill: colour(of), stroke: colour(of) } }))],
    };
    return this.#charts.push(plot(this.uPlot, place, height, options, [xs, ...rows.map(({ row }) => row)]));
  }
}

/** @param {ReportData} data @param {any} uPlot */
export const start = (data, uPlot) => new Page(data, uPlot).start();
