// Checkpoints, packages, recipes and texts that are unusual or wrong: refused by name, or read as the Hub's libraries read them.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { native, root, run, temporaryFolder } from './support.js';
import { writeTinyCheckpoint, writeTinyEncoder } from './tiny.js';

const programs = [['native', native, []], ['Node.js', process.execPath, [join(root, 'js/bin.js')]]];
const pith = (args, options = {}) => spawnSync(native, args, { encoding: 'utf8', ...options });
const read = (...path) => JSON.parse(readFileSync(join(...path), 'utf8'));
const write = (value, ...path) => writeFileSync(join(...path), JSON.stringify(value));
function refused(args, status, says, options) {
  const result = pith(args, options);
  assert.equal(result.status, status, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
  assert.match(result.stderr, says);
}
const answer = (args, options) => {
  const { status, stdout, stderr } = pith([...args, '--json'], options);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
};

test('a vocabulary padded past the tokenizer generates: such ids are no text', (t) => {
  const source = join(temporaryFolder(t), 'padded');
  writeTinyCheckpoint(source, 1, 400);
  const tokenizer = read(source, 'tokenizer.json'), known = new Set([...Object.values(tokenizer.model.vocab), ...tokenizer.added_tokens.map(({ id }) => id)]);
  const { ids, text, finish_reason: reason } = answer(['generate', source, 'a', '--max-tokens', '50', '--temperature', '1', '--seed', '3']);
  assert.equal(reason, 'length');
  assert.ok(ids.some((id) => !known.has(id)) && ids.some((id) => known.has(id)));
  assert.equal(typeof text, 'string');
});

test('what narrows a draw makes one; temperature 0 is greedy; a seed is exact', (t) => {
  const source = join(temporaryFolder(t), 'tiny');
  writeTinyCheckpoint(source);
  const ids = (...options) => answer(['generate', source, 'a', '--max-tokens', '30', ...options]).ids.join();
  const greedy = ids();
  assert.equal(ids('--seed', '5'), greedy);
  for (const narrowed of [['--top-k', '40'], ['--top-p', '0.95'], ['--min-p', '0.01']]) {
    assert.notEqual(ids(...narrowed), greedy, narrowed.join(' '));
    assert.notEqual(ids(...narrowed, '--seed', '5'), ids(...narrowed, '--seed', '6'));
    assert.equal(ids(...narrowed, '--temperature', '1'), ids(...narrowed));
    assert.equal(ids(...narrowed, '--temperature', '0'), greedy);
  }
  for (const seed of ['9007199254740992', '9007199254740993', '-1', '0.5']) refused(['generate', source, 'a', '--seed', seed], 2, /seed/);
  ids('--seed', '9007199254740991');
});

for (const [name, program, before] of programs) {
  test(`${name}: texts to measure with: none is an error, blank lines are none, a line that is no text is named`, (t) => {
    const folder = temporaryFolder(t), source = join(folder, 'encoder');
    writeTinyEncoder(source);
    const compress = (text) => {
      writeFileSync(join(folder, 'texts'), text);
      return spawnSync(program, [...before, 'compress', source, '-o', join(folder, 'package'), '--texts', join(folder, 'texts'), '--force', '--json'], { encoding: 'utf8' });
    };
    for (const nothing of ['', '\n\n', '\r\n\r\n']) {
      const { status, stderr } = compress(nothing);
      assert.equal(status, 2, stderr);
      assert.match(stderr, /no text to measure/);
    }
    for (const end of ['\n', '\r\n']) {
      const { status, stdout, stderr } = compress(['the cat', '', 'a cat', ''].join(end));
      assert.equal(status, 0, stderr);
      assert.equal(JSON.parse(stdout).quality.texts, 2);
    }
    const wrong = Buffer.concat([Buffer.from('the cat\n\na c'), Buffer.from([0xff, 0x0a])]);
    const { status, stderr } = compress(wrong);
    assert.equal(status, 2);
    assert.match(stderr, /texts, line 3: .*UTF-8 at byte 3/);
    for (const command of ['embed', 'tokenize']) {
      const result = spawnSync(program, [...before, command, source], { input: wrong, encoding: 'utf8' });
      assert.equal(result.status, 2);
      assert.match(result.stderr, /standard input, line 3: .*UTF-8 at byte 3/);
    }
  });
}

test('recipes: the group size of tables counts, and no file hides a name', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder');
  writeTinyEncoder(source);
  const recipe = (tables, matrices = { encoding: 'u7', group_size: 64 }) => {
    write({ name: 'mine', matrices, tables }, folder, 'recipe.json');
    return ['compress', source, '-o', join(folder, 'package'), '--force', '--recipe', join(folder, 'recipe.json')];
  };
  refused(recipe({ encoding: 'u7', group_size: 'banana' }), 8, /"tables": "group_size" should be/);
  refused(recipe({ encoding: 'u8-row', group_size: 64 }), 8, /"tables": "group_size" does not apply/);
  refused(recipe({ encoding: 'u7' }, { encoding: 'u7', group_size: 63 }), 8, /"matrices": "group_size" should be/);
  answer(recipe({ encoding: 'u7', group_size: 'row' }, { encoding: 'u7', group_size: 32 }));
  const sizes = Object.fromEntries(read(folder, 'package/pith.json').tensors.map((tensor) => [tensor.name, tensor.group_size]));
  assert.equal(sizes['embeddings.word_embeddings.weight'], 32); // the whole row: the hidden size
  answer(recipe({ encoding: 'u7', group_size: 128 }, { encoding: 'u7', group_size: 'row' }));
  const others = Object.fromEntries(read(folder, 'package/pith.json').tensors.map((tensor) => [tensor.name, tensor.group_size]));
  assert.equal(others['embeddings.word_embeddings.weight'], 128);
  assert.equal(others['encoder.layer.0.output.dense.weight'], 64);
  writeFileSync(join(folder, 'int8'), 'no recipe');
  answer(['compress', source, '-o', 'package', '--force', '--recipe', 'int8'], { cwd: folder });
  write({ name: 'mine', matrices: { encoding: 'f16' }, tables: { encoding: 'f16' } }, folder, 'mine');
  answer(['compress', source, '-o', 'package', '--force', '--recipe', './mine'], { cwd: folder });
  assert.equal(read(folder, 'package/pith.json').recipe.name, 'mine');
  refused(['compress', source, '-o', 'package', '--force', '--recipe', 'mine'], 3, /there is no recipe "mine"/, { cwd: folder });
});

test('recipes: sparse weights, and what is no sparsity', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder'), output = join(folder, 'package');
  writeTinyEncoder(source);
  const recipe = (matrices) => {
    write({ name: 'sparse', matrices, tables: { encoding: 'u8-row' } }, folder, 'recipe.json');
    return ['compress', source, '-o', output, '--force', '--recipe', join(folder, 'recipe.json')];
  };
  const half = { form: 'block', fraction: 0.5 }, pairs = { form: '2:4' };
  refused(recipe({ encoding: 'u7-block' }), 8, /"matrices": u7-block stores sparse weights, and wants "sparsity" of the form "block"/);
  refused(recipe({ encoding: 'u7-block', sparsity: pairs }), 8, /u7-block stores the form "block" alone/);
  refused(recipe({ encoding: 'u7-sparse' }), 8, /"matrices": u7-sparse stores sparse weights, and wants "sparsity"/);
  refused(recipe({ encoding: 'u6', sparsity: half }), 8, /"sparsity" does not apply to u6/);
  refused(recipe({ encoding: 'u4', sparsity: half }), 8, /"sparsity" does not apply to u4/);
  refused(recipe({ encoding: 'u7', sparsity: { form: '1:4' } }), 8, /should be unstructured, block or 2:4/);
  refused(recipe({ encoding: 'u7', sparsity: 'block' }), 6, /"sparsity" should be an object/);
  refused(recipe({ encoding: 'u7', sparsity: { ...half, by: 'luck' } }), 8, /"by" of "sparsity" should be magnitude, wanda or obs/);
  refused(recipe({ encoding: 'u7', sparsity: { ...half, by: 'first-order' } }), 8, /should be magnitude, wanda or obs/);
  refused(recipe({ encoding: 'u7', sparsity: { ...half, luck: 1 } }), 8, /"luck" is no part of a recipe/);
  for (const by of ['wanda', 'obs']) {
    refused(recipe({ encoding: 'u7-block', sparsity: { ...half, by } }), 2, new RegExp(`"sparsity" of "encoder.layer.0.attention.self.query.weight" is by "${by}", which looks at texts`));
    const named = { ...read(folder, 'recipe.json'), matrices: { encoding: 'u7' } }, texts = join(folder, 'texts.txt');
    write({ ...named, tensors: [{ name: '*.1.output.dense.weight', encoding: 'u7', sparsity: { ...half, by } }] }, folder, 'recipe.json');
    refused(['compress', source, '-o', output, '--force', '--recipe', join(folder, 'recipe.json')], 2, /layer.1.output.dense.weight" is by .* looks at texts/);
    writeFileSync(texts, 'the cat and the dog run over a hill to the sea\n'.repeat(60));
    write({ ...named, tensors: [{ name: '*word_embeddings.weight', encoding: 'u7', sparsity: { ...half, by } }] }, folder, 'recipe.json');
    refused(['compress', source, '-o', output, '--force', '--recipe', join(folder, 'recipe.json'), '--calibrate', texts], 2, /word_embeddings.weight" is by .* matrices of layers alone/);
  }
  refused(recipe({ encoding: 'u7', sparsity: { ...pairs, fraction: 0.5 } }), 8, /"fraction" does not apply to 2:4/);
  for (const fraction of [0, 1, -0.5, 'half', undefined]) refused(recipe({ encoding: 'u7', sparsity: { form: 'block', fraction } }), 8, /above 0 and below 1/);
  for (const [sparsity, sparse, share] of [[half, 'u7-block', 0.5], [pairs, 'u7-sparse', 0.5], [{ form: 'unstructured', fraction: 0.75 }, 'u7-sparse', 0.75], [{ form: 'block', fraction: 0.9 }, 'u7-block', 0.875]]) {
    const quality = (encoding) => answer(recipe({ encoding, sparsity })).quality;
    assert.deepEqual(quality(sparse), quality('u7'));
    answer(recipe({ encoding: sparse, sparsity }));
    const { encoding, sparsity: found } = answer(['inspect', output]).tensors.find(({ name }) => name === 'encoder.layer.0.attention.self.query.weight');
    assert.deepEqual([encoding, found], [sparse, share]); // 8 blocks a panel
    assert.match(run(native, ['inspect', output]), /query\.weight .* (50|75|87\.5)\.?0? % not stored/);
  }
});

test('texts are cut where sentence_bert_config.json says, else where tokenizer.json does, in checkpoint and package', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder'), output = join(folder, 'package');
  writeTinyEncoder(source);
  const embedding = (from, n) => JSON.stringify(answer(['embed', from, 'the cat '.repeat(n)]).embedding);
  const limit = () => {
    answer(['compress', source, '-o', output, '--force']);
    const { max_tokens: tokens } = read(output, 'pith.json').settings;
    for (const from of [source, output]) {
      assert.notEqual(embedding(from, 2), embedding(from, 3));
      assert[tokens < 20 ? 'equal' : 'notEqual'](embedding(from, 10), embedding(from, 20));
      assert.equal(embedding(from, 40), embedding(from, 80));
    }
    return tokens;
  };
  const tokenizer = read(source, 'tokenizer.json');
  write({ ...tokenizer, truncation: null }, source, 'tokenizer.json');
  assert.equal(limit(), 64);
  write({ ...tokenizer, truncation: { direction: 'Right', max_length: 9, strategy: 'LongestFirst', stride: 0 } }, source, 'tokenizer.json');
  assert.equal(limit(), 9);
  write({ max_seq_length: 12, do_lower_case: false }, source, 'sentence_bert_config.json');
  assert.equal(limit(), 12);
  write({ max_seq_length: null }, source, 'sentence_bert_config.json');
  assert.equal(limit(), 9);
});

test('encoders: what sentence-transformers would do otherwise is refused by name', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder');
  writeTinyEncoder(source);
  mkdirSync(join(source, 'modules.json'));
  refused(['embed', source, 'x'], 4, /modules\.json: Is a directory/);
  rmSync(join(source, 'modules.json'), { recursive: true });
  const tokenizer = read(source, 'tokenizer.json');
  write({ max_seq_length: 20, do_lower_case: true }, source, 'sentence_bert_config.json');
  write({ ...tokenizer, normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: false } }, source, 'tokenizer.json');
  refused(['embed', source, 'x'], 8, /do_lower_case/);
  write({ ...tokenizer, normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true } }, source, 'tokenizer.json');
  answer(['embed', source, 'x']);
  write({ ...read(source, 'config.json'), is_decoder: true }, source, 'config.json');
  refused(['embed', source, 'x'], 8, /is_decoder/);
});

test('a single weight file comes before an index, as in transformers', (t) => {
  const folder = temporaryFolder(t), one = join(folder, 'one'), three = join(folder, 'three');
  writeTinyCheckpoint(one);
  writeTinyCheckpoint(three, 3);
  copyFileSync(join(one, 'model.safetensors'), join(three, 'model.safetensors'));
  rmSync(join(three, 'model-00002-of-00003.safetensors'));
  assert.deepEqual(answer(['generate', three, 'a', '--max-tokens', '9']).ids, answer(['generate', one, 'a', '--max-tokens', '9']).ids);
});

test('a manifest that contradicts its configuration is refused', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'checkpoint'), whole = join(folder, 'whole'), broken = join(folder, 'broken');
  writeTinyCheckpoint(source);
  answer(['compress', source, '-o', whole]);
  for (const [change, says] of [
    [(m) => { m.family = 'bert'; }, /"family" is "bert"/],
    [(m) => { delete m.family; }, /"family"/],
    [(m) => { m.parameters += 1; }, /"parameters"/],
    [(m) => { m.config.num_hidden_layers = 1; }, /lists 20 tensors, .* has 11/],
    [(m) => { m.tensors.push(m.tensors[0]); }, /tensors/],
    [(m) => { m.tensors = [null]; }, /"name" should be a string/],
    [(m) => { delete m.tensors[3].shape; }, /no "shape"/],
  ]) {
    rmSync(broken, { recursive: true, force: true });
    cpSync(whole, broken, { recursive: true });
    const manifest = read(broken, 'pith.json');
    change(manifest);
    write(manifest, broken, 'pith.json');
    refused(['generate', broken, 'a'], 6, says);
    refused(['inspect', broken], 6, says);
  }
});

/** Writes one weight of model.safetensors. */
function setWeight(folder, name, at, value) {
  const path = join(folder, 'model.safetensors'), bytes = readFileSync(path), n = Number(bytes.readBigUInt64LE(0));
  const { data_offsets: [begin] } = JSON.parse(bytes.subarray(8, 8 + n).toString())[name];
  bytes.writeFloatLE(value, 8 + n + begin + 4 * at);
  writeFileSync(path, bytes);
}

test('a huge finite weight is compressed, whatever becomes of what is computed with it', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'checkpoint'), output = join(folder, 'package');
  for (const value of [1e20, 3e38, -3.4e38]) {
    rmSync(source, { recursive: true, force: true });
    writeTinyCheckpoint(source);
    setWeight(source, 'model.layers.1.mlp.down_proj.weight', 40, value);
    answer(['compress', source, '-o', output, '--force']);
    assert.ok(existsSync(join(output, 'pith.json')));
    answer(['generate', output, 'a', '--max-tokens', '3']);
  }
});

test('memory that runs out is called so, not malformed JSON', (t) => {
  const folder = temporaryFolder(t), source = join(folder, 'encoder');
  writeTinyEncoder(source);
  const tokenizer = read(source, 'tokenizer.json'), large = { ...tokenizer, model: { ...tokenizer.model, vocab: { ...tokenizer.model.vocab } } };
  for (let i = 0; i < 400000; i++) large.model.vocab[`token-${i}`] = 1000 + i;
  write(large, source, 'tokenizer.json');
  const seen = [];
  for (let megabytes = 20; megabytes <= 60; megabytes += 5) {
    const { status, stderr } = spawnSync('sh', ['-c', `ulimit -v ${megabytes * 1024}; exec "$0" "$@"`, native, 'embed', source, 'x', '--threads', '1'], { encoding: 'utf8' });
    if (status === 9) seen.push(stderr);
    assert.doesNotMatch(stderr, /is not JSON/);
  }
  assert.ok(seen.some((line) => /out of memory while .*tokenizer\.json was read/.test(line)), seen.join('') || 'memory never ran out');
});
