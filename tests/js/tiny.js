// A small random Llama-type checkpoint with a synthetic tokenizer, for tests that must run without the development data.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const cases = new URL('../c/data/tokenizer_cases.json', import.meta.url);

/** @param {string} folder is made */
export function writeTinyCheckpoint(folder) {
  const { tokenizer } = JSON.parse(readFileSync(cases, 'utf8')).find(({ name, tokenizer: { model } }) => model.type === 'BPE' && name);
  const ids = [...Object.values(tokenizer.model.vocab), ...tokenizer.added_tokens.map((token) => token.id)];
  const vocabulary = Math.max(...ids) + 1, hidden = 32, inner = 48, layers = 2;
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
  let state = 12345, offset = 0;
  const random = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32 - 0.5; };
  const header = {}, parts = [];
  for (const [name, shape] of Object.entries(shapes)) {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (shape.length === 1 ? 1 + random() / 4 : random() / 2));
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset += values.byteLength] };
    parts.push(Buffer.from(values.buffer));
  }
  const json = Buffer.from(JSON.stringify(header)), length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([length, json, ...parts]));
}
