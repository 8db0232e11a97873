"""Writes OUT, the GGUF file IN with all weights as F32, with the `gguf` library: llama.cpp computes it in floating point, where it would quantise
the activations of IN. For tests/golden/smollm2.mjs.

    v/bin/python tests/golden/smollm2.py IN OUT
"""
import sys
import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter, dequantize

reader, writer = GGUFReader(sys.argv[1]), GGUFWriter(sys.argv[2], "llama")
for key, field in reader.fields.items():
    if key.startswith("GGUF.") or key == "general.architecture": continue
    kind = field.types[0]
    writer.add_key_value(key, field.contents(), kind, sub_type=field.types[-1] if kind == GGUFValueType.ARRAY else None)
for tensor in reader.tensors: writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
