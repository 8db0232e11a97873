"""Writes tests/c/data/families.json with PyTorch and transformers: for small models of every family their config.json, the names and shapes of their
tensors as save_pretrained stores them, and what they answer with weights that tests/c/test_families.c makes by the same rule.

    python -m venv v && v/bin/pip install torch transformers
    v/bin/python tests/golden/families.py      # from the repository's root
"""
import json, os, tempfile
import torch, transformers as t
from safetensors import safe_open
from safetensors.torch import save_file
from random_weights import random_values

HIDDEN, LAYERS, HEADS, INNER, VOCAB, CONTEXT = 24, 2, 4, 40, 416, 48
TEXTS = [[5, 17, 200, 3, 150, 42, 9, 77, 260, 31, 6], [300], [88, 19, 88, 7]]
GREEDY = 12
sizes = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS, num_attention_heads=HEADS, max_position_embeddings=CONTEXT)
ends = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
gated = dict(sizes, num_key_value_heads=2, **ends)
neox = dict(sizes, hidden_size=32, rotary_pct=0.5, hidden_dropout=0.0, attention_dropout=0.0, **ends)
CASES = [
    ("bert", t.BertModel, t.BertConfig(**sizes), {"add_pooling_layer": False}),
    ("distilbert", t.DistilBertModel, t.DistilBertConfig(vocab_size=VOCAB, dim=HIDDEN, hidden_dim=INNER, n_layers=LAYERS, n_heads=HEADS, max_position_embeddings=CONTEXT), {}),
    ("distilbert to fill", t.DistilBertForMaskedLM, t.DistilBertConfig(vocab_size=VOCAB, dim=HIDDEN, hidden_dim=INNER, n_layers=1, n_heads=HEADS, max_position_embeddings=CONTEXT, activation="relu"), {}),
    ("roberta", t.RobertaModel, t.RobertaConfig(**sizes, type_vocab_size=1, layer_norm_eps=1e-5), {"add_pooling_layer": False}),
    ("xlm-roberta to fill", t.XLMRobertaForMaskedLM, t.XLMRobertaConfig(**sizes, type_vocab_size=1, pad_token_id=2, layer_norm_eps=1e-5), {}),
    ("bert to classify", t.BertForSequenceClassification, t.BertConfig(**sizes, id2label={0: "bad", 1: "middling", 2: "good"}), {}),
    ("bert to tag", t.BertForTokenClassification, t.BertConfig(**sizes, id2label={0: "O", 1: "B-X", 2: "I-X", 3: "B-Y", 4: "I-Y"}), {}),
    ("bert to fill", t.BertForMaskedLM, t.BertConfig(**sizes), {}),
    ("distilbert to classify", t.DistilBertForSequenceClassification, t.DistilBertConfig(vocab_size=VOCAB, dim=HIDDEN, hidden_dim=INNER, n_layers=1, n_heads=HEADS, max_position_embeddings=CONTEXT, problem_type="multi_label_classification"), {}),
    ("distilbert to tag", t.DistilBertForTokenClassification, t.DistilBertConfig(vocab_size=VOCAB, dim=HIDDEN, hidden_dim=INNER, n_layers=1, n_heads=HEADS, max_position_embeddings=CONTEXT, id2label={0: "O", 1: "X"}), {}),
    ("roberta to classify", t.RobertaForSequenceClassification, t.RobertaConfig(**sizes, type_vocab_size=1, layer_norm_eps=1e-5, num_labels=1, problem_type="regression"), {}),
    ("roberta to fill", t.RobertaForMaskedLM, t.RobertaConfig(**sizes, type_vocab_size=1, layer_norm_eps=1e-5, tie_word_embeddings=False), {}),
    ("xlm-roberta to classify", t.XLMRobertaForSequenceClassification, t.XLMRobertaConfig(**sizes, type_vocab_size=1, pad_token_id=2, layer_norm_eps=1e-5, num_labels=1), {}),
    ("xlm-roberta to tag", t.XLMRobertaForTokenClassification, t.XLMRobertaConfig(**sizes, type_vocab_size=1, pad_token_id=2, layer_norm_eps=1e-5, num_labels=4), {}),
    ("llama with biases", t.LlamaForCausalLM, t.LlamaConfig(**gated, attention_bias=True, mlp_bias=True), {}),
    ("qwen2", t.Qwen2ForCausalLM, t.Qwen2Config(**gated, tie_word_embeddings=True), {}),
    ("qwen3", t.Qwen3ForCausalLM, t.Qwen3Config(**gated, head_dim=10, rope_theta=1e6), {}),
    ("gpt2", t.GPT2LMHeadModel, t.GPT2Config(vocab_size=VOCAB, n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_positions=CONTEXT, n_inner=None, **ends), {}),
    ("gpt_neox", t.GPTNeoXForCausalLM, t.GPTNeoXConfig(**neox), {}),
    ("gpt_neox in sequence", t.GPTNeoXForCausalLM, t.GPTNeoXConfig(**neox, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True, hidden_act="gelu_new"), {}),
]

def numbers(x): return [float("%.7g" % v) for v in x.flatten().tolist()]

cases = []
for name, kind, config, options in CASES:
    with tempfile.TemporaryDirectory() as folder:
        kind(config, **options).save_pretrained(folder)
        saved = json.load(open(os.path.join(folder, "config.json")))
        with safe_open(os.path.join(folder, "model.safetensors"), "pt") as f: shapes = {k: list(f.get_slice(k).get_shape()) for k in sorted(f.keys())}
        state, weights = 12345, {}
        for key, shape in shapes.items(): state, weights[key] = random_values(state, key, shape)
        save_file(weights, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
        assert not report["missing_keys"] and not report["unexpected_keys"], report
        model.eval()
    case = {"name": name, "config": {k: v for k, v in saved.items() if k not in ("transformers_version", "dtype")}, "tensors": list(shapes.items()), "texts": []}
    causal = "CausalLM" in kind.__name__ or "LMHead" in kind.__name__
    for ids in TEXTS:
        with torch.no_grad():
            if not causal:
                body = getattr(model, model.base_model_prefix) if hasattr(model, model.base_model_prefix) else model
                answer = {"ids": ids, "hidden": numbers(body(torch.tensor([ids])).last_hidden_state[0])}
                if body is not model: answer["outputs"] = numbers(model(torch.tensor([ids])).logits[0])   # one row a text, or one a token
                case["texts"].append(answer)
                continue
            all_ids, margins = list(ids), []
            logits = model(torch.tensor([ids])).logits[0, -1]
            for _ in range(GREEDY):
                top = model(torch.tensor([all_ids])).logits[0, -1].topk(2)
                margins.append((top.values[0] - top.values[1]).item())
                all_ids.append(top.indices[0].item())
            assert min(margins) > 1e-3, (name, min(margins))
            case["texts"].append({"ids": ids, "logits": numbers(logits), "greedy": all_ids[len(ids):]})
    cases.append(case)
with open("tests/c/data/families.json", "w") as f: json.dump(cases, f, separators=(",", ":"))
