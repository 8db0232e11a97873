"""A GGUF file requantised by llama.cpp's own quantiser, for docs/RECIPES.md. Outside of the product.

    python tests/bench/make_gguf.py LIBRARY_FOLDER SOURCE.gguf OUTPUT.gguf Q8_0|Q4_K_M

LIBRARY_FOLDER: where npm's @node-llama-cpp has libllama. Needs nothing but Python.
"""
import ctypes
import sys
from pathlib import Path

FTYPES = {"Q8_0": 7, "Q4_K_M": 15}  # llama.h, enum llama_ftype


class Params(ctypes.Structure):
    """The head of llama_model_quantize_params, and room for the rest, which keeps its defaults."""
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output_tensor_type", ctypes.c_int), ("token_embedding_type", ctypes.c_int),
                ("allow_requantize", ctypes.c_bool), ("rest", ctypes.c_uint8 * 495)]


folder, source, output, ftype = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
for name in ("libggml-base.so*", "libggml.v*.so*", "libggml.so*"):
    for path in folder.glob(name):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
ggml = ctypes.CDLL(str(next(folder.glob("libggml.v*.so*"), None) or next(folder.glob("libggml.so*"))), mode=ctypes.RTLD_GLOBAL)
ggml.ggml_backend_load_all_from_path(str(folder).encode())
llama = ctypes.CDLL(str(next(folder.glob("libllama.v*.so*"), None) or next(folder.glob("libllama.so*"))))
llama.llama_backend_init()
llama.llama_model_quantize_default_params.restype = Params
params = llama.llama_model_quantize_default_params()
params.nthread, params.ftype, params.allow_requantize = 1, FTYPES[ftype], True
llama.llama_model_quantize.restype = ctypes.c_uint32
if llama.llama_model_quantize(source.encode(), output.encode(), ctypes.byref(params)) != 0:
    sys.exit("llama.cpp's quantiser failed")
