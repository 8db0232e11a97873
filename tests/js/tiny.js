// Small random checkpoints with synthetic tokenizers, a decoder and an encoder, for tests that must run without the development data.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const cases = new URL('../c/data/tokenizer_cases.json', import.meta.url);

/** One safetensors file. @param {[string, number[], Float32Array][]} tensors */
function safetensors(tensors) {
  let offset = 0;
  const header = {}, parts = [];
  for (const [name, shape, values] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset += values.byteLength] };
    parts.push(Buffer.from(values.buffer));
  }
  const json = Buffer.from(JSON.stringify(header)), length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...parts]);
}

/** The synthetic tokenizer of a type. @param {string} type */
function tokenizerOf(type) {
  const { tokenizer } = JSON.parse(readFileSync(cases, 'utf8')).find((one) => one.tokenizer.model.type === type);
  const ids = [...Object.values(tokenizer.model.vocab), ...tokenizer.added_tokens.map((token) => token.id)];
  return { tokenizer, vocabulary: Math.max(...ids) + 1 };
}

/** Values for tensors: around 1 for norms, around 0 for the others. @param {Record<string, number[]>} shapes @returns {[string, number[], Float32Array][]} */
function randomTensors(shapes) {
  let state = 12345;
  const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32 - 0.5; };
  return Object.entries(shapes).map(([name, shape]) => [name, shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (/norm.*weight/i.test(name) ? 1 + random() / 4 : random() / 2))]);
}

/** @param {string} folder is made @param {object} config @param {object} tokenizer */
function writeFolder(folder, config, tokenizer) {
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
}

/** A Llama-type decoder. @param {string} folder is made @param {number} [nFiles] more than one: with an index, as the Hub shards large checkpoints
 * @param {number} [padding] ids that the tokenizer does not have */
export function writeTinyCheckpoint(folder, nFiles = 1, padding = 0) {
  const { tokenizer, vocabulary: tokens } = tokenizerOf('BPE'), vocabulary = tokens + padding;
  const hidden = 32, inner = 48, layers = 2;
  const config = { architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers,
    num_attention_heads: 4, num_key_value_heads: 2, vocab_size: vocabulary, max_position_embeddings: 64, rms_norm_eps: 1e-5, rope_theta: 10000,
    hidden_act: 'silu', tie_word_embeddings: true, bos_token_id: null, eos_token_id: null, torch_dtype: 'float32' };
  const shapes = { 'model.embed_tokens.weight': [vocabulary, hidden], 'model.norm.weight': [hidden] };
  for (let i = 0; i < layers; i++) {
    const name = (rest) => `model.layers.${i}.${rest}.weight`;
    Object.assign(shapes, { [name('input_layernorm')]: [hidden], [name('post_attention_layernorm')]: [hidden], [name('self_attn.q_proj')]: [hidden, hidden],
      [name('self_attn.k_proj')]: [hidden / 2, hidden], [name('self_attn.v_proj')]: [hidden / 2, hidden], [name('self_attn.o_proj')]: [hidden, hidden],
      [name('mlp.gate_proj')]: [inner, hidden], [name('mlp.up_proj')]: [inner, hidden], [name('mlp.down_proj')]: [hidden, inner] });
  }
  const tensors = randomTensors(shapes);
  writeFolder(folder, config, tokenizer);
  if (nFiles === 1) return writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors));
  const weightMap = {}, name = (i) => `model-0000${i + 1}-of-0000${nFiles}.safetensors`;
  for (let i = 0; i < nFiles; i++) {
    const some = tensors.filter((_, at) => at % nFiles === i);
    for (const [tensor] of some) weightMap[tensor] = name(i);
    writeFileSync(join(folder, name(i)), safetensors(some));
  }
  return writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }));
}

/**
 * A BERT-type encoder.
 * @param {string} folder is made
 * @param {{hidden?: number, layers?: number, task?: 'classify' | 'tag' | 'fill', labels?: string[]}} [options] the default size is quick, a larger one
 *   keeps a processor busy; task: with that head
 */
export function writeTinyEncoder(folder, { hidden = 32, layers = 2, task, labels = ['bad', 'good', 'none'] } = {}) {
  const { tokenizer, vocabulary: words } = tokenizerOf('WordPiece'), vocabulary = words + 1;
  tokenizer.added_tokens.push({ ...tokenizer.added_tokens[0], id: words, content: '[MASK]' });
  const [special, text] = [(id, type) => ({ SpecialToken: { id, type_id: type } }), (id, type) => ({ Sequence: { id, type_id: type } })];
  tokenizer.post_processor.pair = [special('[CLS]', 0), text('A', 0), special('[SEP]', 0), text('B', 1), special('[SEP]', 1)];
  const inner = 2 * hidden, positions = 64;
  const config = { architectures: ['BertModel'], model_type: 'bert', hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers,
    num_attention_heads: 4, vocab_size: vocabulary, max_position_embeddings: positions, type_vocab_size: 2, layer_norm_eps: 1e-12, hidden_act: 'gelu',
    torch_dtype: 'float32' };
  const heads = { classify: 'ForSequenceClassification', tag: 'ForTokenClassification', fill: 'ForMaskedLM' };
  if (task) Object.assign(config, { architectures: [`Bert${heads[task]}`], ...(task === 'fill' ? {} : { id2label: { ...labels } }) });
  const shapes = {};
  /** A matrix or a norm with its bias. */
  const add = (name, rows, ...cols) => Object.assign(shapes, { [`${name}.weight`]: [rows, ...cols], [`${name}.bias`]: [rows] });
  for (const [name, rows] of [['word', vocabulary], ['position', positions], ['token_type', 2]]) shapes[`embeddings.${name}_embeddings.weight`] = [rows, hidden];
  add('embeddings.LayerNorm', hidden);
  for (let i = 0; i < layers; i++) {
    const layer = `encoder.layer.${i}`;
    for (const name of ['query', 'key', 'value']) add(`${layer}.attention.self.${name}`, hidden, hidden);
    add(`${layer}.attention.output.dense`, hidden, hidden);
    add(`${layer}.attention.output.LayerNorm`, hidden);
    add(`${layer}.intermediate.dense`, inner, hidden);
    add(`${layer}.output.dense`, hidden, inner);
    add(`${layer}.output.LayerNorm`, hidden);
  }
  if (task === 'classify') add('pooler.dense', hidden, hidden);
  if (task === 'classify' || task === 'tag') add('classifier', labels.length, hidden);
  if (task === 'fill') {
    add('cls.predictions.transform.dense', hidden, hidden);
    add('cls.predictions.transform.LayerNorm', hidden);
    shapes['cls.predictions.bias'] = [vocabulary];
  }
  writeFolder(folder, config, tokenizer);
  writeFileSync(join(folder, 'model.safetensors'), safetensors(randomTensors(shapes)));
}
