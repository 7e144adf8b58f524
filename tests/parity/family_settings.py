"""The settings of the families of tokenizers that embedding models have.

Vocabularies of the models themselves cannot be had without the network, but what makes a family is
its normalizer, its pre-tokenizer and the options of its model: these are as its models publish
them. `families` makes tokenizers of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]

NFC: Block = {"type": "NFC"}
NFD: Block = {"type": "NFD"}
NFKC: Block = {"type": "NFKC"}
NFKD: Block = {"type": "NFKD"}
LOWERCASE: Block = {"type": "Lowercase"}
STRIP_ACCENTS: Block = {"type": "StripAccents"}
WHITESPACE: Block = {"type": "Whitespace"}
WHITESPACE_SPLIT: Block = {"type": "WhitespaceSplit"}
BERT_WORDS: Block = {"type": "BertPreTokenizer"}

LLAMA_3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2_WORDS = LLAMA_3_WORDS.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN_3_5_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT_4O_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN_WORDS = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK_3_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def bert(*, lowercase: bool = True, strip_accents: bool | None = None) -> Block:
    """A BertNormalizer."""
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": strip_accents,
        "lowercase": lowercase,
    }


def sequence(*steps: Block, members: str = "normalizers") -> Block:
    """Steps one after another."""
    return {"type": "Sequence", members: list(steps)}


def words(*steps: Block) -> Block:
    """Steps of a pre-tokenizer one after another."""
    return sequence(*steps, members="pretokenizers")


def regex(pattern: str, behavior: str = "Isolated", *, invert: bool = False) -> Block:
    """A pre-tokenizer that splits where a regular expression matches."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def literal(pattern: str, behavior: str) -> Block:
    """A pre-tokenizer that splits where a string is."""
    return {"type": "Split", "pattern": {"String": pattern}, "behavior": behavior, "invert": False}


def replace(pattern: str, content: str, *, is_regex: bool = False) -> Block:
    """A normalizer that puts `content` in place of a pattern."""
    return {
        "type": "Replace",
        "pattern": {"Regex" if is_regex else "String": pattern},
        "content": content,
    }


def strip(*, left: bool, right: bool) -> Block:
    """A normalizer that takes white space off the ends."""
    return {"type": "Strip", "strip_left": left, "strip_right": right}


def byte_level(*, prefix_space: bool = False, use_regex: bool = True) -> Block:
    """A pre-tokenizer that spells words in bytes."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": prefix_space,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def metaspace(prepend: str = "always", *, split: bool = True) -> Block:
    """SentencePiece's pre-tokenizer."""
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": prepend, "split": split}


def precompiled(rule: str = "nmt_nfkc") -> Block:
    """One of SentencePiece's character maps; its bytes are put in when it is trained."""
    return {"type": "Precompiled", "precompiled_charsmap": rule}


def token(content: str, *, special: bool = True, **flags: bool) -> Block:
    """An entry of `added_tokens`."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": not special}
    return {"id": 0, "content": content, "special": special, **plain, **flags}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the tokenizers of a family have in common.

    Attributes:
        model: Type of the model.
        normalizer: Its block, or None.
        pre_tokenizer: Its block, or None.
        trained_words: Block that makes words while the model is trained, where it is another one.
        special: Tokens the vocabulary begins with.
        added: Entries of `added_tokens`, besides those of `special`.
        options: Fields of the model.
        has_bytes: Whether the vocabulary has the 256 tokens of byte_fallback.
        reason: Words of the reason why the engine leaves it to `tokenizers`; None where it does
            the work itself.
    """

    model: str
    normalizer: Block | None = None
    pre_tokenizer: Block | None = None
    trained_words: Block | None = None
    special: tuple[str, ...] = ()
    added: tuple[Block, ...] = ()
    options: Block = field(default_factory=dict)
    has_bytes: bool = False
    reason: str | None = None


def bpe_of_bytes(**changes: Any) -> Family:
    """A byte-level BPE; `changes` are fields of `Family`."""
    plain: dict[str, Any] = {
        "model": "BPE",
        "pre_tokenizer": byte_level(),
        "special": ("<|endoftext|>",),
    }
    return Family(**{**plain, **changes})


def unigram(**changes: Any) -> Family:
    """SentencePiece's Unigram; `changes` are fields of `Family`."""
    plain: dict[str, Any] = {
        "model": "Unigram",
        "normalizer": precompiled(),
        "pre_tokenizer": words(WHITESPACE_SPLIT, metaspace()),
        "special": ("<s>", "<pad>", "</s>", "<unk>"),
        "added": (token("<mask>", lstrip=True),),
    }
    return Family(**{**plain, **changes})


def bpe_of_pieces(**changes: Any) -> Family:
    """SentencePiece's BPE with bytes for what is unknown; `changes` are fields of `Family`."""
    plain: dict[str, Any] = {
        "model": "BPE",
        "special": ("<unk>", "<s>", "</s>"),
        "options": {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
        "trained_words": metaspace(),
        "has_bytes": True,
    }
    return Family(**{**plain, **changes})


def wordpiece(**changes: Any) -> Family:
    """BERT's WordPiece; `changes` are fields of `Family`."""
    plain: dict[str, Any] = {
        "model": "WordPiece",
        "normalizer": bert(),
        "pre_tokenizer": BERT_WORDS,
        "special": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        "options": {"unk_token": "[UNK]"},
    }
    return Family(**{**plain, **changes})


def word_level(**changes: Any) -> Family:
    """A token for each word; `changes` are fields of `Family`."""
    plain: dict[str, Any] = {
        "model": "WordLevel",
        "special": ("[UNK]",),
        "options": {"unk_token": "[UNK]"},
    }
    return Family(**{**plain, **changes})


def split_by(pattern: str, **changes: Any) -> Family:
    """A byte-level BPE whose words a regular expression cuts."""
    cut = words(regex(pattern), byte_level(use_regex=False))
    return bpe_of_bytes(**{"pre_tokenizer": cut, **changes})


SPACES = tuple(token(" " * n, special=False, normalized=True) for n in range(2, 25))
ALBERT = (replace("``", '"'), replace("''", '"'), NFKD, STRIP_ACCENTS, LOWERCASE, precompiled())

FAMILIES: dict[str, Family] = {
    "BERT uncased": wordpiece(),
    "BERT cased, multilingual": wordpiece(normalizer=bert(lowercase=False)),
    "MPNet": wordpiece(added=(token("<s>"), token("<mask>", lstrip=True))),
    "WordPiece of the quick tour": wordpiece(
        normalizer=sequence(NFD, LOWERCASE, STRIP_ACCENTS), pre_tokenizer=WHITESPACE
    ),
    "GloVe words": word_level(normalizer=bert(), pre_tokenizer=BERT_WORDS),
    "WordLevel, Whitespace": word_level(pre_tokenizer=WHITESPACE),
    "WordLevel, WhitespaceSplit": word_level(normalizer=LOWERCASE, pre_tokenizer=WHITESPACE_SPLIT),
    "WordLevel, Punctuation and Digits": word_level(
        normalizer=sequence(NFKC, strip(left=True, right=True)),
        pre_tokenizer=words(
            WHITESPACE_SPLIT,
            {"type": "Punctuation", "behavior": "Contiguous"},
            {"type": "Digits", "individual_digits": False},
        ),
    ),
    "GPT-2": bpe_of_bytes(),
    "RoBERTa": bpe_of_bytes(
        special=("<s>", "<pad>", "</s>", "<unk>"),
        added=(token("<mask>", lstrip=True),),
        options={"unk_token": "<unk>"},
    ),
    "RoBERTa with a prefix space": bpe_of_bytes(pre_tokenizer=byte_level(prefix_space=True)),
    "Pythia": bpe_of_bytes(normalizer=NFC, added=SPACES),
    "ModernBERT": bpe_of_bytes(
        normalizer=NFC,
        added=(
            token("|||IP_ADDRESS|||", special=False, normalized=True),
            *SPACES,
            token("[UNK]"),
            token("[MASK]", lstrip=True),
        ),
    ),
    "Llama 3": split_by(LLAMA_3_WORDS, options={"ignore_merges": True}),
    "Qwen 2": split_by(QWEN_2_WORDS, normalizer=NFC),
    "Qwen 3.5": split_by(QWEN_3_5_WORDS, normalizer=NFC),
    "GPT-4o": split_by(GPT_4O_WORDS),
    "Tekken": split_by(TEKKEN_WORDS, options={"ignore_merges": True}),
    "DeepSeek V3": bpe_of_bytes(
        pre_tokenizer=words(
            regex(r"\p{N}{1,3}"),
            regex("[一-龥぀-ゟ゠-ヿ]+"),
            regex(DEEPSEEK_3_WORDS),
            byte_level(use_regex=False),
        )
    ),
    "StarCoder": bpe_of_bytes(
        pre_tokenizer=words({"type": "Digits", "individual_digits": True}, byte_level())
    ),
    "BLOOM": split_by(r" ?[^(\s|[.,!?…。，、।۔،])]+"),
    "Falcon": bpe_of_bytes(
        pre_tokenizer=words(
            {"type": "Punctuation", "behavior": "Contiguous"},
            byte_level(),
            {"type": "Digits", "individual_digits": False},
            regex("[0-9][0-9][0-9]"),
        ),
        reason="ByteLevel comes before others",
    ),
    "CLIP": bpe_of_bytes(
        normalizer=sequence(NFC, replace(r"\s+", " ", is_regex=True), LOWERCASE),
        pre_tokenizer=words(regex(CLIP_WORDS, "Removed", invert=True), byte_level()),
        options={"unk_token": "<|endoftext|>", "end_of_word_suffix": "</w>"},
        reason="end_of_word_suffix",
    ),
    "Llama 2": bpe_of_pieces(
        normalizer=sequence({"type": "Prepend", "prepend": "▁"}, replace(" ", "▁"))
    ),
    "Mistral": bpe_of_pieces(pre_tokenizer=metaspace("first", split=False)),
    "Gemma": bpe_of_pieces(
        normalizer=replace(" ", "▁"), pre_tokenizer=literal(" ", "MergedWithPrevious")
    ),
    "NLLB": bpe_of_pieces(
        normalizer=sequence(precompiled(), replace(" {2,}", " ", is_regex=True)),
        pre_tokenizer=metaspace(),
        options={"unk_token": "<unk>", "fuse_unk": True},
        has_bytes=False,
    ),
    "SentencePiece BPE": bpe_of_pieces(
        normalizer=NFKC,
        pre_tokenizer=metaspace(),
        options={"unk_token": "<unk>"},
        has_bytes=False,
    ),
    "XLM-R": unigram(),
    "T5": unigram(
        special=("<pad>", "</s>", "<unk>"),
        added=tuple(token(f"<extra_id_{i}>") for i in reversed(range(100))),
    ),
    "BGE-M3": unigram(
        normalizer=sequence(
            precompiled(), strip(left=False, right=True), replace(" {2,}", "▁", is_regex=True)
        ),
        pre_tokenizer=metaspace(),
    ),
    "XLM-R of older files": unigram(
        normalizer=sequence(precompiled(), replace(" {2,}", " ", is_regex=True)),
        pre_tokenizer=words(WHITESPACE_SPLIT, metaspace()),
    ),
    "ALBERT": unigram(
        normalizer=sequence(*ALBERT, replace(" {2,}", " ", is_regex=True)),
        pre_tokenizer=words(WHITESPACE_SPLIT, metaspace()),
        added=(token("[MASK]", lstrip=True),),
    ),
    "DeBERTa V3": unigram(
        normalizer=sequence(
            replace(r"\s{2,}|[\n\r\t]", " ", is_regex=True), NFC, strip(left=False, right=True)
        ),
        pre_tokenizer=metaspace(),
    ),
    "DeBERTa V2, punctuation apart": unigram(
        normalizer=sequence(LOWERCASE, strip(left=True, right=True), precompiled("nfkc_cf")),
        pre_tokenizer=words({"type": "Punctuation", "behavior": "Isolated"}, metaspace()),
    ),
    "DeBERTa V2, a prefix for the first word": unigram(
        normalizer=sequence(LOWERCASE, strip(left=True, right=True), precompiled()),
        pre_tokenizer=metaspace("first"),
        reason="Metaspace prepends to the first word after the normalizer's step strip",
    ),
    "RemBERT": unigram(
        normalizer=sequence(*ALBERT[:2], replace(" {2,}", " ", is_regex=True), precompiled()),
        pre_tokenizer=metaspace(),
    ),
    "BigBird": unigram(
        normalizer=sequence(strip(left=False, right=False), replace(" {2,}", "▁", is_regex=True)),
        pre_tokenizer=metaspace(),
    ),
    "mBART": unigram(normalizer=None),
    "Metaspace, never a prefix": unigram(pre_tokenizer=metaspace("never"), normalizer=NFKC),
    "SentencePiece Unigram": unigram(
        normalizer=sequence({"type": "Nmt"}, NFKC, replace(" {2,}", " ", is_regex=True)),
        pre_tokenizer=metaspace(),
    ),
    "Unigram with bytes": unigram(
        normalizer=sequence(NFKC, LOWERCASE),
        pre_tokenizer=metaspace("first"),
        has_bytes=True,
        options={"byte_fallback": True},
    ),
    "model2vec's own": unigram(
        normalizer=sequence(
            bert(),
            *(replace(mark, f" {mark} ") for mark in PUNCTUATION),
            replace(r"\s+", " ", is_regex=True),
            strip(left=True, right=True),
        ),
        pre_tokenizer=metaspace(split=False),
        trained_words=metaspace(),
        special=("[PAD]", "[UNK]"),
        added=(token("new york", special=False), token("São Paulo", special=False)),
    ),
}
