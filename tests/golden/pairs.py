"""Writes tests/c/data/pairs.json: pairs of texts as `tokenizers` makes one sequence of them, with the tokenizers of tests/c/data/tokenizer_cases.json and other
post-processors; and what PyTorch's models of tests/c/data/families.json (tests/golden/families.py has their weights' rule) answer to token types.

    python -m venv v && v/bin/pip install tokenizers torch transformers
    v/bin/python tests/golden/pairs.py      # from the repository's root
"""
import json, os, tempfile
import torch, transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, processors
from random_weights import random_values

BERT = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
XLM = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
SWAPPED = processors.TemplateProcessing(single="[CLS] $A", pair="$B [SEP] [SEP] $A:1 [CLS]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
CASES = [("wordpiece lower", BERT), ("wordpiece cased", processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))), ("wordpiece lower", SWAPPED),
         ("byte level", processors.RobertaProcessing(("</s>", 1), ("<s>", 0))), ("byte level with prefix", processors.Sequence([processors.ByteLevel(), XLM]))]
TEXTS = [("The quick brown fox", "jumps over the lazy dog."), ("Pack my box with five dozen liquor jugs!", "x"), ("", "a text behind none"), ("none behind this", ""), ("", ""),
         ("x", "naïve café, 東京 and emoji 🙂 don't mix; 12345 6.7"), ("a b c d e f g h", "i j k l m n o p q")]
LIMITS = [0, 30, 16, 11, 7, 6, 5, 4]

tokenizers = json.load(open("tests/c/data/tokenizer_cases.json"))
out = {"tokenizers": [], "models": []}
for name, processor in CASES:
    spec = next(t["tokenizer"] for t in tokenizers if t["name"] == name)
    tokenizer, cases = Tokenizer.from_str(json.dumps(spec)), []
    tokenizer.post_processor = processor
    for limit in LIMITS:
        if limit and limit < tokenizer.num_special_tokens_to_add(True): continue
        tokenizer.no_truncation()
        if limit: tokenizer.enable_truncation(limit, strategy="longest_first")
        for a, b in TEXTS:
            encoding = tokenizer.encode(a, b)
            cases.append({"a": a, "b": b, "limit": limit, "ids": encoding.ids, "types": encoding.type_ids})
    out["tokenizers"].append({"of": name, "post_processor": json.loads(tokenizer.to_str())["post_processor"], "cases": cases})

families = json.load(open("tests/c/data/families.json"))
for name in ["bert to classify", "roberta to classify"]:
    case = next(c for c in families if c["name"] == name)
    with tempfile.TemporaryDirectory() as folder:
        json.dump(case["config"], open(os.path.join(folder, "config.json"), "w"))
        state, weights = 12345, {}
        for key, shape in case["tensors"]: state, weights[key] = random_values(state, key, shape)
        save_file(weights, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        model = getattr(transformers, case["config"]["architectures"][0]).from_pretrained(folder).eval()
    answers = []
    cls = 1 if name.startswith("bert") else 0   # 1 would be RoBERTa's padding
    for ids, n_first in [([cls, 17, 200, 3, 2, 42, 9, 77, 2], 5), ([cls, 2, 300, 2], 2), ([cls, 88, 19, 2, 2], 4)]:
        types = [0] * n_first + [1] * (len(ids) - n_first)
        given = {"token_type_ids": torch.tensor([types])} if case["config"]["type_vocab_size"] > 1 else {}
        with torch.no_grad(): logits = model(torch.tensor([ids]), **given).logits[0]
        answers.append({"ids": ids, "types": types if given else [0] * len(ids), "outputs": [float("%.7g" % v) for v in logits.tolist()]})
    out["models"].append({"of": name, "cases": answers})
with open("tests/c/data/pairs.json", "w") as f: json.dump(out, f, ensure_ascii=False, separators=(",", ":"))
