"""The ONNX twin of a BERT-type checkpoint for the benchmark's peers. Outside of the product.

    pip install onnx onnxruntime safetensors numpy
    python tests/bench/make_onnx.py CHECKPOINT OUTPUT_FOLDER

fp32.onnx; int8.onnx: dynamic, per channel, signed; uint8.onnx: dynamic, per tensor, unsigned, what transformers.js's models call q8.
The quantised ones hold their embedding tables in 8 bits too, as published ones do: that makes them small and costs no time.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

source, output = Path(sys.argv[1]), Path(sys.argv[2])
output.mkdir(parents=True, exist_ok=True)
config = json.loads((source / "config.json").read_text())
weights = load_file(source / "model.safetensors")
heads = config["num_attention_heads"]
size = config["hidden_size"] // heads
nodes, constants = [], {}


def constant(name, value):
    constants[name] = numpy_helper.from_array(np.array(value, order="C"), name)
    return name


def add(op, inputs, **attributes):
    name = f"{op}_{len(nodes)}"
    nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
    return name


def linear(x, prefix):
    y = add("MatMul", [x, constant(f"{prefix}.w", weights[f"{prefix}.weight"].astype(np.float32).T)])
    return add("Add", [y, constant(f"{prefix}.b", weights[f"{prefix}.bias"].astype(np.float32))])


def norm(x, prefix):
    scale, bias = (constant(f"{prefix}.{n}", weights[f"{prefix}.{n}"].astype(np.float32)) for n in ("weight", "bias"))
    return add("LayerNormalization", [x, scale, bias], axis=-1, epsilon=config["layer_norm_eps"])


def split(x, order):
    return add("Transpose", [add("Reshape", [x, "split"])], perm=order)


one, zero = constant("one", np.float32(1)), constant("zero", np.int64(0))
constant("split", np.array([0, 0, heads, size], np.int64))
constant("merge", np.array([0, 0, heads * size], np.int64))
words, places, types = (constant(n, weights[f"embeddings.{n}_embeddings.weight"].astype(np.float32)) for n in ("word", "position", "token_type"))
length = add("Gather", [add("Shape", ["input_ids"]), constant("axis1", np.int64(1))])
positions = add("Range", [zero, length, constant("step", np.int64(1))])
x = add("Add", [add("Gather", [words, "input_ids"]), add("Gather", [types, "token_type_ids"])])
x = norm(add("Add", [x, add("Gather", [places, positions])]), "embeddings.LayerNorm")
mask = add("Unsqueeze", ["attention_mask", constant("axes", np.array([1, 2], np.int64))])
mask = add("Mul", [add("Sub", [one, add("Cast", [mask], to=TensorProto.FLOAT)]), constant("low", np.float32(-1e4))])
for i in range(config["num_hidden_layers"]):
    p = f"encoder.layer.{i}"
    q, k, v = (linear(x, f"{p}.attention.self.{n}") for n in ("query", "key", "value"))
    scores = add("MatMul", [split(q, [0, 2, 1, 3]), split(k, [0, 2, 3, 1])])
    scores = add("Add", [add("Div", [scores, constant("root", np.float32(size**0.5))]), mask])
    mixed = add("MatMul", [add("Softmax", [scores], axis=-1), split(v, [0, 2, 1, 3])])
    mixed = add("Reshape", [add("Transpose", [mixed], perm=[0, 2, 1, 3]), "merge"])
    x = norm(add("Add", [linear(mixed, f"{p}.attention.output.dense"), x]), f"{p}.attention.output.LayerNorm")
    h = linear(x, f"{p}.intermediate.dense")
    gate = add("Add", [add("Erf", [add("Div", [h, constant("root2", np.float32(2**0.5))])]), one])
    h = add("Mul", [add("Mul", [h, gate]), constant("half", np.float32(0.5))])
    x = norm(add("Add", [linear(h, f"{p}.output.dense"), x]), f"{p}.output.LayerNorm")
nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "tokens"]) for n in ("input_ids", "attention_mask", "token_type_ids")]
outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", heads * size])]
graph = helper.make_graph(nodes, "bert", inputs, outputs, list(constants.values()))
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.checker.check_model(model)
onnx.save(model, output / "fp32.onnx")
quantize_dynamic(output / "fp32.onnx", output / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8)
quantize_dynamic(output / "fp32.onnx", output / "uint8.onnx", weight_type=QuantType.QUInt8)
