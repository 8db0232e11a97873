// A Hub checkpoint of a Llama-type model with fp32 weights and byte-level BPE, as the GGUF file that llama.cpp's converter would make of it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const types = { number: 4, float: 6, boolean: 7, string: 8, array: 9 };

class Bytes {
  parts = [];
  length = 0;
  put(bytes) { this.parts.push(bytes); this.length += bytes.length; return this; }
  u32(value) { const b = Buffer.alloc(4); b.writeUInt32LE(value); return this.put(b); }
  u64(value) { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(value)); return this.put(b); }
  f32(value) { const b = Buffer.alloc(4); b.writeFloatLE(value); return this.put(b); }
  text(value) { const b = Buffer.from(value); return this.u64(b.length).put(b); }
  pad(multiple) { return this.put(Buffer.alloc((multiple - this.length % multiple) % multiple)); }
  /** A whole number is a u32, { float } an f32; arrays are of strings or of numbers (i32). */
  value(value) {
    if (Array.isArray(value)) {
      const strings = typeof value[0] === 'string';
      this.u32(types.array).u32(strings ? types.string : 5).u64(value.length);
      for (const item of value) strings ? this.text(item) : this.u32(item);
      return this;
    }
    if (typeof value === 'string') return this.u32(types.string).text(value);
    if (typeof value === 'boolean') return this.u32(types.boolean).put(Buffer.from([value ? 1 : 0]));
    return typeof value === 'number' ? this.u32(types.number).u32(value) : this.u32(types.float).f32(value.float);
  }
  join() { return Buffer.concat(this.parts); }
}

const moduleNames = { 'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output', input_layernorm: 'attn_norm', 'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output', post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down' };

/** Rows of each head in the order 0, n/2, 1, n/2 + 1, …: llama.cpp rotates neighbours. */
function interleave(bytes, rows, head) {
  const row = bytes.length / rows, out = Buffer.alloc(bytes.length);
  for (let r = 0; r < rows; r++) {
    const at = r % head, from = r - at + (at % 2) * (head / 2) + (at >> 1);
    bytes.copy(out, r * row, from * row, (from + 1) * row);
  }
  return out;
}

/** @param {string} folder @param {Record<string, any>} [changes] to the metadata; undefined leaves a key out @returns {Buffer} */
export function ggufOf(folder, changes = {}) {
  const json = (name) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
  const config = json('config.json'), tokenizer = json('tokenizer.json');
  const file = readFileSync(join(folder, 'model.safetensors')), nHeader = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + nHeader)), head = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  const tokens = [], kinds = [];
  for (const [token, id] of Object.entries(tokenizer.model.vocab)) tokens[id] = token;
  for (const { id, content, special } of tokenizer.added_tokens) { tokens[id] = content; kinds[id] = special ? 3 : 4; }
  const metadata = {
    'general.architecture': 'llama', 'llama.context_length': config.max_position_embeddings, 'llama.embedding_length': config.hidden_size,
    'llama.block_count': config.num_hidden_layers, 'llama.feed_forward_length': config.intermediate_size, 'llama.attention.head_count': config.num_attention_heads,
    'llama.attention.head_count_kv': config.num_key_value_heads, 'llama.attention.layer_norm_rms_epsilon': { float: config.rms_norm_eps },
    'llama.rope.freq_base': { float: config.rope_theta ?? config.rope_parameters.rope_theta }, 'llama.rope.dimension_count': head,
    'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': 'gpt-2', 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.token_type': tokens.map((_, id) => kinds[id] ?? 1),
    'tokenizer.ggml.merges': tokenizer.model.merges.map((merge) => (Array.isArray(merge) ? merge.join(' ') : merge)),
    'tokenizer.ggml.bos_token_id': config.bos_token_id ?? undefined, 'tokenizer.ggml.eos_token_id': config.eos_token_id ?? undefined, ...changes };
  const keys = Object.entries(metadata).filter(([, value]) => value !== undefined);
  const tensors = Object.entries(header).filter(([name]) => name !== '__metadata__');
  const out = new Bytes().put(Buffer.from('GGUF')).u32(3).u64(tensors.length).u64(keys.length), data = new Bytes();
  for (const [key, value] of keys) out.text(key).value(value);
  for (const [name, { shape, dtype, data_offsets: [begin, end] }] of tensors) {
    if (dtype !== 'F32') throw new Error(`${name} is ${dtype}`);
    const [, layer, module] = /^(?:model\.layers\.(\d+)\.)?(.*)\.weight$/.exec(name);
    let bytes = file.subarray(8 + nHeader + begin, 8 + nHeader + end);
    if (/[qk]_proj$/.test(module)) bytes = interleave(bytes, shape[0], head);
    out.text(`${layer === undefined ? '' : `blk.${layer}.`}${moduleNames[module]}.weight`).u32(shape.length);
    for (const n of [...shape].reverse()) out.u64(n);
    out.u32(0).u64(data.length);
    data.put(bytes).pad(32);
  }
  return out.pad(32).put(data.join()).join();
}
