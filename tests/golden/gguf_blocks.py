"""Writes tests/c/data/gguf_blocks.json with the `gguf` library: random blocks of every type that Pith reads, and the SHA-256 of their values.

    python -m venv v && v/bin/pip install gguf
    v/bin/python tests/golden/gguf_blocks.py      # from the repository's root
"""
import hashlib, json
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Q, dequantize

# where the blocks have halves that scale them: those are drawn from numbers, the rest from all bytes
HALVES = {Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0], Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2],
          Q.Q6_K: [208], Q.IQ4_NL: [0], Q.IQ4_XS: [0]}
rng = np.random.default_rng(7)
out = []
for q, halves in HALVES.items():
    elems, n_bytes = GGML_QUANT_SIZES[q]
    blocks = rng.integers(0, 256, (6, n_bytes), dtype=np.uint8)
    for at in halves:
        blocks[:, at:at + 2] = (rng.standard_normal(6) * 10.0 ** rng.integers(-5, 2, 6)).astype(np.float16).reshape(6, 1).view(np.uint8)
    values = dequantize(blocks, q).astype("<f4")
    assert values.shape == (6, elems) and np.isfinite(values).all()
    out.append({"type": q.name, "blocks": blocks.tobytes().hex(), "sha256": hashlib.sha256(values.tobytes()).hexdigest()})
json.dump(out, open("tests/c/data/gguf_blocks.json", "w"), indent=0)
