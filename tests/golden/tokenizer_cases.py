"""Writes tests/c/data/tokenizer_cases.json with the `tokenizers` library: small synthetic tokenizers, texts, ids and decoded texts.

    python -m venv v && v/bin/pip install tokenizers
    v/bin/python tests/golden/tokenizer_cases.py      # from the repository's root
"""
import json, random
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = ["The quick brown fox jumps over the lazy dog.", "Pack my box with five dozen liquor jugs!", "naïve café, 東京 and emoji 🙂 don't mix; 12345 6.7",
          "  two  blanks, tabs\tand\nlines \n", "It's we've I'm they'll you'd isn't", "ÀÉÎõü İstanbul ﬁn Ω≈ç√"] * 3
TEXTS = CORPUS[:6] + ["", " ", "   ", "a", "a  b", "\n\n x", "don't can't DON'T", "x" * 40, "🙂🚀👩‍👩‍👧", "e\u0301a\u0328\u0301 \u1e9b\u0323", "<s>lit</s>", "a<mask> b",
         "word<mask>word", " <mask>  <s>", "한국어 가각", "\u00a0nbsp\u3000ideographic", "tab\t\tx  ", "１２ ½ ²", "under_score-dash—em", "\u200bzero\ufeff", "\x07bell\x00nul", "…!?。"]
random.seed(1)
POOL = [chr(c) for r in [(32, 127), (160, 600), (0x300, 0x370), (0x4e00, 0x4e20), (0xac00, 0xac20), (0x1f600, 0x1f610), (0x2000, 0x2070)] for c in range(*r)]
TEXTS += ["".join(random.choice(POOL) for _ in range(random.randint(1, 24))) for _ in range(60)]

def train(tok, trainer):
    tok.train_from_iterator(CORPUS, trainer)
    return tok

def wordpiece(lower, cleanup=True):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30))
    t.normalizer = normalizers.BertNormalizer(lowercase=lower)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix="##", cleanup=cleanup)
    train(t, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", "[CLS]", "[SEP]"]))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    return t

def byte_level(prefix, regex=True):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)
    t.decoder = decoders.ByteLevel()
    train(t, trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=prefix, special=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return t

def byte_fallback(fuse):
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=fuse))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    train(t, trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>"] + bytes_, limit_alphabet=40))
    spec = json.loads(t.to_str())
    for a in spec["added_tokens"]: a["normalized"] = True
    spec["added_tokens"] = [a for a in spec["added_tokens"] if not a["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(spec))

def no_bytes(fuse):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    train(t, trainers.BpeTrainer(vocab_size=150, special_tokens=["<unk>"], limit_alphabet=25))
    t.add_tokens([AddedToken("fox", single_word=True), AddedToken("word", single_word=True)])
    return t

out = []
for name, t in [("wordpiece lower", wordpiece(True)), ("wordpiece cased", wordpiece(False, False)), ("byte level", byte_level(False)),
                ("byte level with prefix", byte_level(True)), ("byte level, whole", byte_level(False, False)), ("byte fallback", byte_fallback(False)),
                ("byte fallback, fused", byte_fallback(True)), ("bpe with unknowns", no_bytes(False)), ("bpe with fused unknowns", no_bytes(True))]:
    cases = []
    for text in TEXTS:
        if "\x00" in text: continue
        ids = t.encode(text).ids
        cases.append({"text": text, "ids": ids, "decoded": t.decode(ids, skip_special_tokens=False)})
    out.append({"name": name, "tokenizer": json.loads(t.to_str()), "cases": cases})
json.dump(out, open("tests/c/data/tokenizer_cases.json", "w"), ensure_ascii=False, separators=(",", ":"))
