"""Writes tests/c/data/tokenizer_components.json with the `tokenizers` library: what single normalizers, pre-tokenizers and decoders make of texts,
and small tokenizers with the ids and texts that they give.

    python -m venv v && v/bin/pip install tokenizers==0.23.1
    v/bin/python tests/golden/tokenizer_components.py      # from the repository's root
"""
import json, random
from tokenizers import Tokenizer

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|"
            r"\s+(?!\S)|\s+")
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"

# sentencepiece 0.2.3 made this of a normalization_rule_tsv: ﬁ fi, ½ 1/2, ㈱ (株), a◌́ á, e◌́ é, か◌゙ が, Ｈ H, … ..., four blanks, and U+0301, U+200B, U+0007 to nothing.
CHARSMAP = (
    "AAQAAAAYAAAHDQAAAAAAgAEAAIDMAAIAgQkAAMw8AgAWAACAgQUAABkAAICgJQAADSEAAA0AAICBPQAAgFQCAAkxAACLSQAACQAAgIAYAgCBNAIAgF0AAIuAAwDjMAIAvW0AAIJgAgCZ"
    "CQAAiNwCABwAAICxBQAAAwAAgIEFAAATAACAqAkAAKz4AgARAACAIgAAACUAAAAkAAAAJwAAACYAAAApAAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAADEAAAC85AIAMwAAADIA"
    "AAA1AAAANAAAADcAAAA2AAAAOQAAADgAAAA7AAAAOgAAAD0AAACmsQAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAASwAAAEoAAABNAAAATAAA"
    "AE8AAABOAAAAUQAAAFAAAABTAAAAUgAAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAAAFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGWkAgBlAAAAZAAAAGcAAABhvAIA"
    "aQAAAGgAAABrAAAAagAAAG0AAABsAAAAbwAAAG4AAABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACD"
    "AAAAggAAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAAlAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0A"
    "AACcAAAAnwAAAJ4AAAChAAAAoAAAAKMAAACiAAAApQAAAKQAAACnAAAApgAAAKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAACuAAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAA"
    "ALYAAAC5AAAAuAAAALsAAAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADCuAEAxAAAAMcAAADGAAAAyQAAAMgAAADMGAEAygAAAM0AAADMAAAAzwAAAM4AAADRAAAA"
    "0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA4QAAAOAAAADjAAAA4gAAAOKoAQDj3AEA5wAAAOYAAADpAAAA75ABAOsAAADq"
    "AAAA7QAAAOwAAADvAAAA7gAAAPEAAADwAAAA8wAAAPIAAAD1AAAA9AAAAPcAAAD2AAAA+QAAAPgAAAD7AAAA+gAAAP0AAAD8AAAA/wAAAP4AAAAAIAAo5qCqKQAuLi4AMS8yAEgAZmkA"
    "w6EAw6kA44GMAA==")

TEXTS = ["Don't stop: it'S 12345 o'clock, y'all'd've!", "naïve café, 東京 🙂👩‍👩‍👧 ﬁn ½ Ⅷ ²", "  two  blanks\t\ttab \r\n\r\n x \n ", "camelCaseHTTPServer2go a_b-c",
         "e\u0301a\u0328\u0301 \u0301x \u1e9b\u0323 Å ガ ｶﾞ ㈱ ﷺ", "한국어 각 \u1100\u1161\u11a8 \uac00\u11a8", "मस्ते क्षि ٣٤٥ العالم، كيف؟", "\u00a0nb\u3000sp\u2003\u2028z\u200b\ufeff\u200d",
         "▁meta▁▁space ▁ __", "\x01\x07\x7f\x85ctl", "if (x==1) {\n    return y; // aab\n}", "ſK'ſ ⓐ Ⓑ aaa1b2", " a", "İΣΑΣ ǅ ŉ", "<|endoftext|>'re", "a\u0301b\u0301 ﬁ\u0301x Ｈ\r\n\u200b…か\u3099"]
random.seed(4)
POOL = [" ", "  ", "a", "b", "A", "É", "1", "٣", "'", "s", "ll", "\n", "\r", "\t", "東", "-", "_", "▁", "🙂", "\u0301", "\u0328", "\u00a0", "\u1161", "ﬃ", "．", "½"]
TEXTS += ["".join(random.choice(POOL) for _ in range(random.randint(6, 26))) for _ in range(8)]

def one(kind, **rest): return {"type": kind, **rest}
def sequence(key, *parts): return {"type": "Sequence", key: list(parts)}
def split(pattern, behavior="Isolated", invert=False, kind="Regex"): return one("Split", pattern={kind: pattern}, behavior=behavior, invert=invert)
def replace(pattern, content, kind="String"): return one("Replace", pattern={kind: pattern}, content=content)
def byte_level(prefix=False, regex=True): return one("ByteLevel", add_prefix_space=prefix, trim_offsets=True, use_regex=regex)
def metaspace(scheme, split_too=True, mark="▁"): return one("Metaspace", replacement=mark, prepend_scheme=scheme, split=split_too)
def strip(content, start, stop): return one("Strip", content=content, start=start, stop=stop)
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]

NORMALIZERS = [one(n) for n in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")] + [
    one("Precompiled", precompiled_charsmap=CHARSMAP), one("Strip", strip_left=True, strip_right=True), one("Strip", strip_left=True, strip_right=False), one("Strip", strip_left=False, strip_right=True),
    one("Prepend", prepend="▁"), replace(" ", "▁"), replace("a", ""), replace(r"\s+", " ", "Regex"), replace(" {2,}", "▁", "Regex"), replace("x*", "-", "Regex"),
    replace(r"\p{N}", "0", "Regex"), sequence("normalizers", one("NFD"), one("StripAccents"), sequence("normalizers", one("Lowercase"), one("NFC"))),
    one("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True),
    one("BertNormalizer", clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)]

PRE_TOKENIZERS = [split(p) for p in (GPT2, LLAMA3, QWEN2, O200K, DEEPSEEK, BLOOM, r"[0-9][0-9][0-9]", r"[一-龥぀-ゟ゠-ヿ]+", r"\s?\p{P}+", "x*", "a|",
                                     r"a+?b|\s{2,}?|[a-z]??1", r"(?<=a)b|(?<!\s)\d|x(?=\d)|\s(?=\S)", r"((a|A)(b|c)?)+", r"\w+", r"[\W_]", r"(?i:[sdmt]|k|LL)",
                                     r"[\]\-a-c\u0301]+", r"\p{^Ll}{2}", r"(?!a)", ".{3}", r"\p{Lu}\p{P}?\p{Lt}*|\p{S}|\p{Z}|\p{C}")] + [
    split(CLIP, "Removed", True), split(O200K, "Removed", True)] + [split(r"\s+", b, i) for b in BEHAVIORS for i in (False, True)] + [
    split(" ", b, False, "String") for b in BEHAVIORS] + [split("ll", "MergedWithNext", True, "String")] + [
    one("Digits", individual_digits=True), one("Digits", individual_digits=False), one("Whitespace"), one("WhitespaceSplit"), one("BertPreTokenizer"),
    one("CharDelimiterSplit", delimiter="a")] + [one("Punctuation", behavior=b) for b in BEHAVIORS] + [byte_level(p, r) for p in (False, True) for r in (False, True)] + [
    metaspace("always"), metaspace("first"), metaspace("never"), metaspace("always", False, "_"), one("Metaspace", replacement="▁", add_prefix_space=False, prepend_scheme="never"),
    sequence("pretokenizers", one("Digits", individual_digits=True), metaspace("first")),
    sequence("pretokenizers", split(r"\p{N}{1,3}"), split(LLAMA3), byte_level(False, False)),
    sequence("pretokenizers", one("WhitespaceSplit"), sequence("pretokenizers", one("Punctuation", behavior="Isolated"), metaspace("first", False)))]

TOKENS = ["<unk>", "▁", "▁the", "▁▁", "cat", "##s", "##", ".", " .", "n't", " do not", "he</w>", "llo</w>", "a</w>b", "<0xE2>", "<0x82>", "<0xAC>", "<0x41>", "<0xF0>", "<0x9F>",
          "<0xff>", "<0xGG>", "Ġthe", "âĤ¬", "âĤ", "¬", "ðŁ", "ĺĢ", "東京", " ", "  ", "   x  ", "x", "�", "▁a▁b", "aab", "a", "b", "Ã", "'m", "\n", "<0x0A>"]
IDS = [[random.randrange(len(TOKENS)) for _ in range(random.randint(2, 12))] for _ in range(16)] + [[14, 15, 16, 18, 19, 36], [24, 25, 26, 27, 4], [18, 19], [24], [29, 29, 36, 29, 29]]
LLAMA = [replace("▁", " "), one("ByteFallback"), one("Fuse"), strip(" ", 1, 0)]
DECODERS = [None, sequence("decoders", *LLAMA), sequence("decoders", *LLAMA[:3]), byte_level(), one("WordPiece", prefix="##", cleanup=True),
            one("WordPiece", prefix="##", cleanup=False), metaspace("always"), metaspace("never"), one("BPEDecoder", suffix="</w>"), one("ByteFallback"), one("Fuse"),
            strip(" ", 1, 0), replace("a+", "A", "Regex"), sequence("decoders", one("Fuse"), replace("aab", "X"), strip(" ", 2, 1)),
            sequence("decoders", byte_level(), strip("�", 0, 2)), sequence("decoders", one("Fuse"), replace(r"\s+", "_", "Regex")),
            sequence("decoders", one("Fuse"), one("WordPiece", prefix="##", cleanup=True)), sequence("decoders", one("BPEDecoder", suffix="a"), metaspace("first"), one("Fuse"), one("ByteFallback")),
            sequence("decoders", byte_level(), sequence("decoders", one("ByteFallback"), byte_level()))]

def tokenizer(**parts):
    spec = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(TOKENS)}, "unk_token": "<unk>"}, **parts}
    return Tokenizer.from_str(json.dumps(spec))

def decoded(decoder):
    t = tokenizer(decoder=decoder)
    out = []
    for ids in IDS:
        try: out.append(t.decode(ids))
        except BaseException: out.append(None)   # Strip panics where it would strip a token from both sides
    return out


# ---- whole tokenizers: models and their options, added tokens, post-processors ----

WORDS = "the quick brown fox jumps over the lazy dog don't it's 123 12 naïve café 東京 fox foxes the then aab aabb ab word".split()

def bpe(words, n_merges, prefix="", suffix=""):
    """Merges of the most frequent pair, ties to the smallest: the library's own trainer is not deterministic."""
    words = [[prefix * (i > 0) + c + suffix * (i == len(w) - 1) for i, c in enumerate(w)] for w in words]
    vocab, merges = sorted({p for w in words for p in w}), []
    for _ in range(n_merges):
        pairs = {}
        for w in words:
            for pair in zip(w, w[1:]): pairs[pair] = pairs.get(pair, 0) + 1
        if not pairs: break
        a, b = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append([a, b])
        if (made := a + b[len(prefix):]) not in vocab: vocab.append(made)
        for w in words:
            i = 0
            while i + 1 < len(w):
                if (w[i], w[i + 1]) == (a, b): w[i:i + 2] = [made]
                else: i += 1
    return vocab, merges

def model(kind, vocab, **rest): return {"type": kind, "vocab": {t: i for i, t in enumerate(dict.fromkeys(vocab))}, **rest}

def bpe_model(prefix="", suffix="", n_bytes=0, words=WORDS, **options):
    vocab, merges = bpe(words, 30, prefix, suffix)
    bytes_ = [f"<0x{b:02X}>" for b in range(n_bytes)]
    return model("BPE", ["<unk>", "<s>", "</s>"] + bytes_ + vocab, merges=merges, continuing_subword_prefix=prefix or None, end_of_word_suffix=suffix or None, **options)

def unigram(n_bytes=0, unk=0):
    pieces = [["<unk>", 0.0], ["<s>", 0.0], ["▁", -3.0], ["▁the", -3.25], ["fox", -4.0], ["▁fox", -4.5], ["a", -2.5], ["b", -2.75], ["ab", -4.125], ["aab", -6.5], ["aabb", -9.5],
              ["o", -3.5], ["x", -4.0], ["f", -4.5], ["t", -3.0], ["h", -3.25], ["e", -2.0], ["\u0301", -5.0], ["1", -4.0], ["12", -4.5], ["東京", -30.0], ["'", -3.0], ["s", -2.5]]
    return {"type": "Unigram", "unk_id": unk, "byte_fallback": n_bytes > 0, "vocab": pieces + [[f"<0x{b:02X}>", -10.0 - b / 64] for b in range(n_bytes)]}

def added(vocab_size, *tokens):
    out = []
    for content, *flags in tokens:
        spec = {"id": vocab_size, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
        spec.update({flag: True for flag in flags})
        out.append(spec)
        vocab_size += 1
    return out

def special(name): return {"SpecialToken": {"id": name, "type_id": 0}}
A = {"Sequence": {"id": "A", "type_id": 0}}
def template(single): return one("TemplateProcessing", single=single, pair=[A, {"Sequence": {"id": "B", "type_id": 1}}],
                                 special_tokens={"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, "E": {"id": "E", "ids": [2, 2], "tokens": ["</s>", "</s>"]}})
PAIR = {"cls": ["<s>", 1], "sep": ["</s>", 2]}
KEPT = [*range(33, 127), *range(161, 173), *range(174, 256)]
LEVEL_OF = {**{b: chr(b) for b in KEPT}, **{b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in KEPT)}}
LEVEL = bpe(["".join(LEVEL_OF[b] for b in f" {w}".encode()) for w in WORDS], 40)
LEVEL_MODEL = model("BPE", ["<unk>", "<s>", "</s>"] + sorted(LEVEL_OF.values()) + LEVEL[0] + ["Ġquick", "xyz"], merges=LEVEL[1])
n_level, n_bpe = len(LEVEL_MODEL["vocab"]), len(bpe_model()["vocab"])
MASK = [("<mask>", "lstrip", "special"), ("<|end|>", "special"), ("fox", "single_word"), ("FO", "normalized"), ("ll", "rstrip", "normalized"), ("  ", "lstrip")]

TOKENIZERS = {
    "Llama 3": dict(model={**LEVEL_MODEL, "ignore_merges": True}, decoder=byte_level(), pre_tokenizer=sequence("pretokenizers", split(LLAMA3), byte_level(False, False)),
                    post_processor=sequence("processors", byte_level(), template([special("<s>"), A])), added_tokens=added(n_level, ("<|end|>", "special"))),
    "Qwen 2": dict(model=LEVEL_MODEL, decoder=byte_level(), normalizer=one("NFC"), pre_tokenizer=sequence("pretokenizers", split(QWEN2), byte_level(False, False)),
                   post_processor=byte_level(), added_tokens=added(n_level, ("<|end|>", "special"), ("<think>",))),
    "RoBERTa": dict(model=LEVEL_MODEL, decoder=byte_level(), pre_tokenizer=byte_level(True), post_processor=one("RobertaProcessing", trim_offsets=True, add_prefix_space=True, **PAIR),
                    added_tokens=added(n_level, *MASK[:2])),
    "prefix and suffix": dict(model=bpe_model("##", "</w>", unk_token="<unk>", fuse_unk=True), pre_tokenizer=one("Whitespace"), decoder=one("BPEDecoder", suffix="</w>"),
                              post_processor=one("BertProcessing", **PAIR)),
    "prefix and some bytes": dict(model=bpe_model("##", n_bytes=0xd0, unk_token="<unk>", byte_fallback=True), decoder=one("ByteFallback"), post_processor=template([A, special("E")])),
    "suffix and all bytes": dict(model=bpe_model("", "</w>", 256, byte_fallback=True), pre_tokenizer=metaspace("first"), decoder=sequence("decoders", *LLAMA)),
    "added": dict(model=bpe_model(unk_token="<unk>"), normalizer=sequence("normalizers", one("NFKC"), one("Lowercase")), pre_tokenizer=metaspace("first"), decoder=metaspace("first"),
                  post_processor=template([special("<s>"), A, special("E")]), added_tokens=added(n_bpe, *MASK)),
    "no unknown": dict(model=bpe_model(), pre_tokenizer=one("WhitespaceSplit"), decoder=one("Fuse")),
    "Unigram": dict(model=unigram(), normalizer=sequence("normalizers", one("Precompiled", precompiled_charsmap=CHARSMAP), replace(" {2,}", " ", "Regex")), pre_tokenizer=metaspace("always"), decoder=metaspace("always")),
    "Unigram, whole": dict(model=unigram(256), normalizer=sequence("normalizers", one("Nmt"), one("NFKC"), replace(" {2,}", " ", "Regex")), pre_tokenizer=metaspace("first", False),
                           decoder=sequence("decoders", *LLAMA), added_tokens=added(23 + 256, ("<extra>", "rstrip", "special"))),
    "Unigram, some bytes": dict(model=unigram(0xe4), decoder=one("ByteFallback")),
    "WordLevel": dict(model=model("WordLevel", ["<unk>", "fox", "the", "Don", "stop", "'", "1"], unk_token="<unk>"), pre_tokenizer=one("Whitespace")),
}
CASE_TEXTS = TEXTS + ["the quick brown fox jumps over the lazy dog", "", " ", "a <mask> b <mask><mask>  x", "fox foxes fox. _fox fox", "fo FO Fo the", "ll  ll all   x", "<|end|><|end|> <think>",
                      "aabb" * 12, "  leading", "trailing  ", "xyz quick", "<s>the</s>", "<extra>  the", "東京 東 京", "aab\u0301ab", "１２ 12 ²"]

def cases(parts):
    t = tokenizer(**parts)
    out = []
    for text in CASE_TEXTS:
        ids = t.encode(text).ids
        out.append({"text": text, "ids": ids, "decoded": t.decode(ids, skip_special_tokens=False)})
    return {"tokenizer": json.loads(t.to_str()), "cases": out}

json.dump({"texts": TEXTS,
           "normalizers": [[n, [tokenizer(normalizer=n).normalizer.normalize_str(t) for t in TEXTS]] for n in NORMALIZERS],
           "pre_tokenizers": [[p, [[piece for piece, _ in tokenizer(pre_tokenizer=p).pre_tokenizer.pre_tokenize_str(t)] for t in TEXTS]] for p in PRE_TOKENIZERS],
           "tokens": TOKENS, "ids": IDS, "decoders": [[d, decoded(d)] for d in DECODERS],
           "tokenizers": [{"name": name, **cases(parts)} for name, parts in TOKENIZERS.items()]},
          open("tests/c/data/tokenizer_components.json", "w"), ensure_ascii=False, separators=(",", ":"))
