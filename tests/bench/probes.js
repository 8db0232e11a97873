/**
 * Probes of an engine's ceiling: products in plain tiles of four rows by eight outputs and a sequential read, in WebAssembly's text format,
 * assembled by Binaryen. Nothing but the tile is counted: no scales, no zero points, no widening, operands laid out as the tile reads them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const ROWS = 4, VECTORS = 2; // of four outputs each

/** What a step of a tile is. */
const KINDS = {
  // k: inputs in one step; both operands are 4 bytes a row and step, 16 bytes a vector of four outputs
  f32: { k: 1, madd: (acc, a, b) => `(f32x4.add ${acc} (f32x4.mul ${a} ${b}))` },
  i16: { k: 2, madd: (acc, a, b) => `(i32x4.add ${acc} (i32x4.dot_i16x8_s ${a} ${b}))` },
  relaxed: { k: 4, madd: (acc, a, b) => `(i32x4.relaxed_dot_i8x16_i7x16_add_s ${a} ${b} ${acc})` },
};
export const PRODUCTS = Object.fromEntries(Object.entries(KINDS).map(([name, { k }]) => [name, k]));

/**
 * product(a, b, c, m, n, steps): a is (m, steps) of 4 bytes, b is [n / 8][steps][2] vectors, c is (m, n) of 4 bytes.
 * m is a multiple of 4, n of 8.
 * @param {keyof typeof KINDS} kind
 */
function product(kind) {
  const { madd } = KINDS[kind];
  const rows = [...Array(ROWS).keys()], vectors = [...Array(VECTORS).keys()];
  const accumulators = rows.flatMap((r) => vectors.map((v) => `$c${r}${v}`));
  return `(module (memory (export "memory") 1)
  (func (export "run") (param $a i32) (param $b i32) (param $c i32) (param $m i32) (param $n i32) (param $steps i32)
    (local $i i32) (local $j i32) (local $end i32) (local $pa i32) (local $pb i32) (local $pc i32) (local $row i32)
    (local $w0 v128) (local $w1 v128) (local $x v128) ${accumulators.map((name) => `(local ${name} v128)`).join(' ')}
    (local.set $row (i32.shl (local.get $steps) (i32.const 2)))
    (local.set $j (i32.const 0))
    (loop $outputs
      (local.set $i (i32.const 0))
      (loop $inputs
        (local.set $pb (i32.add (local.get $b) (i32.mul (local.get $j) (local.get $row))))
        (local.set $pa (i32.add (local.get $a) (i32.mul (local.get $i) (local.get $row))))
        (local.set $end (i32.add (local.get $pa) (local.get $row)))
        ${accumulators.map((name) => `(local.set ${name} (v128.const i32x4 0 0 0 0))`).join(' ')}
        (loop $tile
          ${vectors.map((v) => `(local.set $w${v} (v128.load offset=${16 * v} (local.get $pb)))`).join(' ')}
          ${rows.map((r) => `(local.set $x (v128.load32_splat (i32.add (local.get $pa) ${times('(local.get $row)', r)})))
          ${vectors.map((v) => `(local.set $c${r}${v} ${madd(`(local.get $c${r}${v})`, '(local.get $x)', `(local.get $w${v})`)})`).join(' ')}`).join('\n          ')}
          (local.set $pb (i32.add (local.get $pb) (i32.const ${16 * VECTORS})))
          (local.set $pa (i32.add (local.get $pa) (i32.const 4)))
          (br_if $tile (i32.lt_u (local.get $pa) (local.get $end))))
        (local.set $pc (i32.add (local.get $c) (i32.shl (i32.add (i32.mul (local.get $i) (local.get $n)) (local.get $j)) (i32.const 2))))
        ${rows.map((r) => vectors.map((v) => `(v128.store offset=${16 * v} (i32.add (local.get $pc) ${times('(i32.shl (local.get $n) (i32.const 2))', r)}) (local.get $c${r}${v}))`).join(' ')).join('\n        ')}
        (br_if $inputs (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const ${ROWS}))) (local.get $m))))
      (br_if $outputs (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 8))) (local.get $n))))))`;
}

const times = (text, n) => (n === 0 ? '(i32.const 0)' : `(i32.mul ${text} (i32.const ${n}))`);

/** run(from, bytes) → a sum, so that nothing is left out. bytes is a multiple of 128. */
const READ = `(module (memory (export "memory") 1)
  (func (export "run") (param $from i32) (param $bytes i32) (result i32)
    (local $end i32) ${[0, 1, 2, 3].map((i) => `(local $s${i} v128)`).join(' ')}
    (local.set $end (i32.add (local.get $from) (local.get $bytes)))
    (loop $next
      ${[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `(local.set $s${i % 4} (i32x4.add (local.get $s${i % 4}) (v128.load offset=${16 * i} (local.get $from))))`).join('\n      ')}
      (br_if $next (i32.lt_u (local.tee $from (i32.add (local.get $from) (i32.const 128))) (local.get $end))))
    (i32x4.extract_lane 0 (i32x4.add (i32x4.add (local.get $s0) (local.get $s1)) (i32x4.add (local.get $s2) (local.get $s3))))))`;

/** Writes NAME.wasm of every probe. @param {string} folder */
export async function writeProbes(folder) {
  const { default: binaryen } = await import('binaryen');
  mkdirSync(folder, { recursive: true });
  const texts = { ...Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, product(kind)])), read: READ };
  for (const [name, text] of Object.entries(texts)) {
    const module = binaryen.parseText(text);
    module.setFeatures(binaryen.Features.SIMD128 | binaryen.Features.RelaxedSIMD);
    if (!module.validate()) throw new Error(`probe ${name} is not valid`);
    binaryen.setOptimizeLevel(3);
    module.optimize();
    writeFileSync(join(folder, `${name}.wasm`), module.emitBinary());
    module.dispose();
  }
}
