/** The checkout's root as a URL: of files in Node.js, of the bench's server in a page. */
export const root = new URL('../../../', import.meta.url);
export const inNode = root.protocol === 'file:';

/** What libraries of Node.js want in the place of a file: URL. @param {string} path below the root */
export const place = (path) => (inNode ? decodeURIComponent(new URL(path, root).pathname) : new URL(path, root).href);

/** Ids of all texts as one padded batch, as every encoder in ONNX wants it. @param {number[][]} ids */
export function padded(ids) {
  const width = Math.max(...ids.map((row) => row.length)), shape = [ids.length, width];
  const tokens = new BigInt64Array(ids.length * width), mask = new BigInt64Array(ids.length * width);
  ids.forEach((row, i) => row.forEach((id, j) => {
    tokens[i * width + j] = BigInt(id);
    mask[i * width + j] = 1n;
  }));
  return { tokens, mask, types: new BigInt64Array(ids.length * width), shape };
}

/**
 * Embeddings of the first and the last text from padded states: means over their tokens, scaled to length one.
 * @param {Float32Array} states (texts, width, hidden) @param {number[][]} ids @param {number} width @param {number} hidden
 */
export function pooledEnds(states, ids, width, hidden) {
  return [0, ids.length - 1].map((text) => unit(Array.from({ length: hidden }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < ids[text].length; i++) sum += states[(text * width + i) * hidden + j];
    return sum;
  })));
}

/** The first and the last row, scaled to length one. @param {ArrayLike<number>} data (texts, hidden) @param {number} hidden */
export const ends = (data, hidden) => [0, data.length - hidden].map((from) => unit(Array.prototype.slice.call(data, from, from + hidden)));

/** @param {ArrayLike<number>} vector */
function unit(vector) {
  const list = Array.from(vector), length = Math.hypot(...list);
  return list.map((x) => Math.round((x / length) * 1e6) / 1e6);
}

/** A task that a system does not know is a mistake in the table of cases. */
export const unknown = (task) => new Error(`this system has no task "${task.kind}"`);
