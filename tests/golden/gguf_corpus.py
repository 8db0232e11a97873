"""Writes tests/fuzz/corpus/gguf with the `gguf` library: small models that have every type and every tokenizer between them.

    python -m venv v && v/bin/pip install gguf
    v/bin/python tests/golden/gguf_corpus.py      # from the repository's root
"""
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Q, GGUFWriter

rng = np.random.default_rng(3)

def write(name, tokenizer, hidden, types, tied=True, alignment=None):
    """types: of the table, queries, keys, values, gate and up; heads are two wide, the rest is F32."""
    table, q, k, v, gate, up = types
    w = GGUFWriter(f"tests/fuzz/corpus/gguf/{name}", "llama")
    if alignment: w.add_custom_alignment(alignment)
    w.add_context_length(32); w.add_embedding_length(hidden); w.add_block_count(1); w.add_feed_forward_length(3); w.add_key_length(2)
    w.add_head_count(2); w.add_head_count_kv(1); w.add_layer_norm_rms_eps(1e-5); w.add_rope_freq_base(10000.0); w.add_rope_dimension_count(2)
    vocab = tokenizer(w)
    def add(tensor, type, *shape):
        elems, n_bytes = GGML_QUANT_SIZES[type]
        if type == Q.F32: return w.add_tensor(tensor, rng.standard_normal(shape).astype(np.float32))
        w.add_tensor(tensor, rng.integers(0, 0x3c, (shape[0], shape[1] // elems * n_bytes), dtype=np.uint8), raw_dtype=type)   # halves below 1
    add("token_embd.weight", table, vocab, hidden); add("output_norm.weight", Q.F32, hidden)
    if not tied: add("output.weight", table, vocab, hidden)
    b = "blk.0."
    add(b + "attn_norm.weight", Q.F32, hidden); add(b + "attn_q.weight", q, 4, hidden); add(b + "attn_k.weight", k, 2, hidden)
    add(b + "attn_v.weight", v, 2, hidden); add(b + "attn_output.weight", Q.F32, hidden, 4); add(b + "ffn_norm.weight", Q.F32, hidden)
    add(b + "ffn_gate.weight", gate, 3, hidden); add(b + "ffn_up.weight", up, 3, hidden); add(b + "ffn_down.weight", Q.F32, hidden, 3)
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()

def byte_level(pre):
    def add(w):
        tokens = ["<|end|>"] + list("nceuptim,12O") + ["Ġ", "On", "ce", "Once", "Ġu", "<tool>"]
        w.add_tokenizer_model("gpt2"); w.add_tokenizer_pre(pre); w.add_token_list(tokens)
        w.add_token_types([3] + [1] * (len(tokens) - 2) + [4]); w.add_token_merges(["O n", "c e", "On ce", "Ġ u"])
        w.add_bos_token_id(0); w.add_eos_token_id(0); w.add_add_bos_token(True)
        return len(tokens)
    return add

def pieces(w):
    tokens = ["<unk>", "<s>", "</s>", "<0x0A>", "<0x31>"] + list("▁Oncetupim,a") + ["▁O", "nce", "ce", "▁Once", "▁u"]
    w.add_tokenizer_model("llama"); w.add_token_list(tokens); w.add_token_scores([float(-i) for i in range(len(tokens))])
    w.add_token_types([2, 3, 3, 6, 6] + [1] * (len(tokens) - 5)); w.add_bos_token_id(1); w.add_eos_token_id(2); w.add_unk_token_id(0)
    return len(tokens)

write("floats", byte_level("smollm"), 8, [Q.F32, Q.F16, Q.BF16, Q.F32, Q.F16, Q.BF16])
write("blocks-of-32", pieces, 64, [Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.IQ4_NL], tied=False)
write("four-bits", byte_level("gpt-2"), 32, [Q.Q4_1] * 6, alignment=64)
write("blocks-of-256", byte_level("llama-bpe"), 256, [Q.Q4_K, Q.Q2_K, Q.Q3_K, Q.Q5_K, Q.Q6_K, Q.IQ4_XS])
