"""Makes the golden token ids in this folder with transformers and the tokenizers package.

    python generate.py real MODELS_DIR    # real-*.json, from the GGUF files of the two real models
    python generate.py tiny               # tiny-*/tokenizer.json and tiny-*/ids.json

Every golden file holds, for each line of texts.jsonl, the ids that transformers gives without adding BOS:
"parse" with special tokens recognised, "as_text" with `split_special_tokens=True`; "decoded" is the text of
"parse" without special tokens.
"""

import collections
import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import generate_merges

HERE = pathlib.Path(__file__).parent
TEXTS = [json.loads(line) for line in (HERE / "texts.jsonl").read_text(encoding="utf-8").split("\n") if line]
# What the tiny vocabularies are trained on: not the long words, which would fill them; twice, so that merges are found.
CORPUS = [text for text in TEXTS if len(text) <= 120] * 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
DIGITS = pre_tokenizers.Digits(individual_digits=True)


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


# As in the tokenizer.json files of the models' makers.
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
CASED_LETTERS = (
    r"\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}"
    r"\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}"
    r"\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}"
    r"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}"
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}"
    r"\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}"
    r"\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}"
    r"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}"
    r"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}"
    r"\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}"
    r"\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}"
    r"\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}"
    r"\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"
    r"\x{1E900}-\x{1E943}"
)
PUNCTUATION = r"!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}"
PRE_TOKENIZERS = {
    "gpt-2": GPT2,
    "smollm": pre_tokenizers.Sequence([DIGITS, GPT2]),
    "qwen2": pre_tokenizers.Sequence(
        [
            split(
                CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            BYTES,
        ]
    ),
    "llama-bpe": pre_tokenizers.Sequence(
        [
            split(
                CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            BYTES,
        ]
    ),
    "deepseek-llm": pre_tokenizers.Sequence(
        [
            split("[\r\n]"),
            split(r"\s?[A-Za-z" + CASED_LETTERS + "]+"),
            split(r"\s?[" + PUNCTUATION + "]+"),
            split(r"\s+$"),
            split(r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+"),
            DIGITS,
            BYTES,
        ]
    ),
    "deepseek-v3": pre_tokenizers.Sequence(
        [
            split(r"\p{N}{1,3}"),
            split(r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+"),
            split(
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
            ),
            BYTES,
        ]
    ),
}


def write_ids(path, tokenizer, with_decoded=True):
    parse = [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS]
    as_text = [tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True) for text in TEXTS]
    decoded = [
        tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False) for row in parse
    ]
    ids = {"parse": parse, "as_text": as_text, "decoded": decoded if with_decoded else []}
    lines = ",\n".join(
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(x, separators=(",", ":")) for x in rows) + "\n]"
        for name, rows in ids.items()
    )
    path.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    assert path.stat().st_size < 1_000_000


def real(models_dir):
    for name, file in [("smollm2-135m-instruct", "smollm2.gguf"), ("qwen2.5-coder-0.5b-instruct", "qwen.gguf")]:
        tokenizer = AutoTokenizer.from_pretrained(models_dir, gguf_file=file)
        if name.startswith("smollm2"):
            # transformers reads `tokenizer.ggml.pre = smollm` as GPT-2's pattern alone. The model's own
            # tokenizer.json isolates digits before it, and so does llama.cpp.
            tokenizer.backend_tokenizer.pre_tokenizer = PRE_TOKENIZERS["smollm"]
        write_ids(HERE / f"real-{name}.json", tokenizer)


def save(folder, backend, with_decoded=True):
    folder.mkdir(exist_ok=True)
    path = folder / "tokenizer.json"
    backend.save(str(path), pretty=False)
    write_ids(folder / "ids.json", PreTrainedTokenizerFast(tokenizer_file=str(path)), with_decoded)


def tiny_byte_level(name, pre_tokenizer, ignore_merges=False):
    backend = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    backend.pre_tokenizer = pre_tokenizer
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=590,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    save(HERE / f"tiny-{name}", backend)


def sentencepiece_vocabulary():
    """Tokens and scores in SentencePiece's order: specials, bytes, merged pieces by rank, characters."""
    # llama.cpp takes any piece that looks like a special token for one: let none be learned.
    texts = [text for text in CORPUS if "<" not in text]
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Pieces never span words, as in SentencePiece's training.
    trained.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    counts = collections.Counter("▁" + "".join(texts).replace(" ", "▁"))
    # Ties broken by the character, so that every run yields the same.
    alphabet = [char for char, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))][:120]
    trained.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, limit_alphabet=120, show_progress=False),
    )
    by_id = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    merged = [token for token, _ in by_id if len(token) > 1]
    characters = [token for token, _ in by_id if len(token) == 1]
    special = ["<unk>", "<s>", "</s>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = special + byte_tokens + merged + characters + ["<tool_call>"]
    types = [2, 3, 3] + [6] * 256 + [1] * (len(merged) + len(characters)) + [4]
    ranked = len(merged) + len(characters)
    scores = [0.0] * (3 + 256) + [-float(rank) for rank in range(ranked)] + [0.0]
    return tokens, types, scores


def tiny_sentencepiece():
    tokens, types, scores = sentencepiece_vocabulary()
    vocab = {token: index for index, token in enumerate(tokens)}
    skip = {token for token, kind in zip(tokens, types) if kind in (2, 3, 6)}
    merges = generate_merges(vocab, dict(zip(tokens, scores)), skip)
    gguf = {"tokens": tokens, "token_types": types, "scores": scores}
    (HERE / "tiny-spm-gguf.json").write_text(json.dumps(gguf, ensure_ascii=False) + "\n", encoding="utf-8")

    def backend(legacy):
        made = Tokenizer(
            models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
        )
        if legacy:
            made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        else:
            made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        made.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        made.add_special_tokens([AddedToken(token, normalized=False) for token in tokens[:3]])
        made.add_tokens([AddedToken("<tool_call>", normalized=False)])
        return made

    # Llama 2, TinyLlama, Mistral v0.1: a space before every piece between special tokens.
    save(HERE / "tiny-spm", backend(legacy=True))
    # `legacy: false`, Mistral v0.3: a space before the first piece alone.
    save(HERE / "tiny-spm-first", backend(legacy=False))


def tiny_flags():
    """Added tokens with every flag, over a normalizer that changes what they look like."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    backend.pre_tokenizer = PRE_TOKENIZERS["gpt-2"]
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.add_special_tokens(
        [
            AddedToken("<s>", lstrip=True, normalized=False),
            AddedToken("</s>", rstrip=True, normalized=False),
            AddedToken("<unk>", lstrip=True, rstrip=True, normalized=False),
            AddedToken("[INST]", normalized=True),
        ]
    )
    backend.add_tokens(
        [
            AddedToken("hello", single_word=True, normalized=False),
            AddedToken("World", normalized=True),
            AddedToken("im", single_word=True, normalized=True),
            AddedToken("Café", normalized=True, rstrip=True),
            AddedToken("😀", normalized=False, lstrip=True),
            AddedToken("😀😃", normalized=False),
        ]
    )
    # transformers shows such tokens as normalized, and breaks their letters outside ASCII.
    save(HERE / "tiny-flags", backend, with_decoded=False)


def main():
    if sys.argv[1] == "real":
        real(sys.argv[2])
    else:
        for name, pre_tokenizer in PRE_TOKENIZERS.items():
            tiny_byte_level(name, pre_tokenizer, ignore_merges=name == "llama-bpe")
        tiny_sentencepiece()
        tiny_flags()


main()
