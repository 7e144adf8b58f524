"""The engine's normalizers against the library's, one step at a time and in chains.

Python's `unicodedata` only helps to write the questions: which characters are marks, and which
compose. The answers are the library's.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import AddedToken, Regex, models, normalizers

from tests.parity import hostile_text as hostile
from vecsmith.tokenizer import Tokenizer

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
STEPS: dict[str, Any] = {
    name: getattr(normalizers, name)()
    for name in (*FORMS, "Lowercase", "StripAccents", "Nmt", "Strip")
}
# As real files combine them.
CHAINS: dict[str, list[Any]] = {
    "ALBERT without its map": [
        normalizers.Replace("``", '"'),
        normalizers.Replace("''", '"'),
        normalizers.NFKD(),
        normalizers.StripAccents(),
        normalizers.Lowercase(),
    ],
    "Llama 2": [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")],
    "CLIP": [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()],
    "BERT words spaced out": [
        normalizers.BertNormalizer(),
        *(normalizers.Replace(p, f" {p} ") for p in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ],
    "multilingual": [normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip(left=False)],
}


class Difference(AssertionError):
    """The engine and the library normalize a text differently."""


def engine(normalizer: Any) -> Tokenizer:
    """The engine's tokenizer with this normalizer, and nothing else of interest."""
    reference = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    reference.normalizer = normalizer
    tokenizer = Tokenizer(reference.to_str())
    assert tokenizer.is_native, tokenizer.fallback_reason
    return tokenizer


def assert_same(normalizer: Any, texts: Iterable[str]) -> None:
    """Raises Difference for the first text that the two normalize differently."""
    native = engine(normalizer).normalize
    asked = normalizer.normalize_str
    for text in texts:
        found, expected = native(text), asked(text)
        if found != expected:
            raise Difference(f"{text!a} became {found!a}, the library gives {expected!a}")


def every_code_point() -> Iterator[str]:
    """Texts of 256 characters, each between two dots."""
    points = [c for c in hostile.every_code_point() if not 0xD800 <= c <= 0xDFFF]
    for start in range(0, len(points), 256):
        yield ".".join(map(chr, points[start : start + 256]))


@cache
def pools() -> list[Sequence[str]]:
    """Characters whose neighbourhoods are hard: marks, halves of composites, and look-alikes."""
    characters = [chr(c) for c in range(0x30000) if not 0xD800 <= c <= 0xDFFF]
    canonical, compatible = [], []
    halves: set[str] = set()
    for c in characters:
        decomposition = unicodedata.decomposition(c)
        if decomposition.startswith("<"):
            compatible.append(c)
        elif decomposition:
            canonical.append(c)
            halves.update(chr(int(part, 16)) for part in decomposition.split())
    return [
        [c for c in characters if unicodedata.combining(c)],
        [c for c in characters if unicodedata.category(c)[0] == "M"],
        sorted(halves),
        sorted(c for c in halves if not unicodedata.combining(c)),
        canonical,
        compatible,
        [c for c in characters if c.lower() != c],
        [c for c in characters if unicodedata.category(c)[0] in "ZC"],
        [chr(c) for c in range(0x1100, 0x1200)],
        [chr(c) for c in range(0xAC00, 0xD7A4)],
        "\u0338\u0345\u0323\u0301\u3099\u0f73\u0344\u0130\u212a\u1e9b\ufdfa\u2581\ufffd\u00a0",
        " abAB.,-`'",
        characters,
    ]


def adversarial_texts(seed: int, count: int) -> Iterator[str]:
    """Texts of 1 to 12 characters from one to four pools."""
    rng = random.Random(seed)
    choice = rng.choice
    for _ in range(count):
        chosen = rng.sample(pools(), rng.randint(1, 4))
        yield "".join([choice(choice(chosen)) for _ in range(rng.randint(1, 12))])


def random_step(rng: random.Random) -> Any:
    kind = rng.choice(("form", "plain", "plain", "strip", "prepend", "replace", "replace", "bert"))
    flags = [rng.random() < 0.5 for _ in range(4)]
    if kind == "form":
        return STEPS[rng.choice(FORMS)]
    if kind == "plain":
        return STEPS[rng.choice(("Lowercase", "StripAccents", "Nmt"))]
    if kind == "strip":
        return normalizers.Strip(left=flags[0], right=flags[1])
    if kind == "prepend":
        return normalizers.Prepend(rng.choice(("▁", "x", " ", "e\u0301", "\u0301", "\u1161")))
    if kind == "bert":
        names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
        return normalizers.BertNormalizer(**dict(zip(names, flags, strict=True)))
    pattern = rng.choice((" ", ".", ",", "a", "A", "▁", "ab", "aa", "\u0301", "-", Regex(r"\s+")))
    content = rng.choice((" . ", "", "▁", " ", " , ", "a", "e\u0301", "aa", "B", "\u0323"))
    return normalizers.Replace(pattern, content)


@pytest.mark.parametrize("name", STEPS)
def test_every_code_point_becomes_what_the_library_makes_of_it(name: str) -> None:
    assert_same(STEPS[name], every_code_point())


@pytest.mark.parametrize("name", STEPS)
def test_every_script_in_use_alone_becomes_what_the_library_makes_of_it(name: str) -> None:
    points = (*range(0x3400), *range(0xA480, 0xAC00), *range(0xF900, 0x11400))
    assert_same(STEPS[name], map(chr, points))


@pytest.mark.parametrize(("seed", "name"), list(enumerate(FORMS)))
def test_adversarial_texts_have_the_normal_forms_of_the_library(seed: int, name: str) -> None:
    assert_same(STEPS[name], adversarial_texts(seed, 62_500))


def test_chains_of_steps_are_taken_as_the_library_takes_them() -> None:
    rng = random.Random(5)
    for seed in range(400):
        steps = [random_step(rng) for _ in range(rng.randint(1, 5))]
        try:
            assert_same(normalizers.Sequence(steps), adversarial_texts(100 + seed, 60))
        except Difference as difference:
            raise Difference(f"{steps}: {difference}") from None


@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_real_files_are_taken_as_the_library_takes_them(name: str) -> None:
    chain = normalizers.Sequence(CHAINS[name])
    assert_same(chain, adversarial_texts(7, 4_000))
    assert_same(chain, hostile.generated_texts(8, 4_000))
    assert_same(chain, hostile.SENTENCES)


def test_texts_beside_the_repository_normalize_as_in_the_library(shared_data: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the data sets are Parquet files")
    texts: list[str] = []
    for file, column in (
        ("tatoeba/pairs", "anchor"),
        ("xquad/corpus", "text"),
        ("tydiqa_train/corpus", "text"),
        ("stsb_multi/data", "sentence1"),
        ("tweet_emoji/data", "text"),
    ):
        path = shared_data / f"{file}.parquet"
        if path.exists():
            texts += parquet.read_table(path, columns=[column])[column].to_pylist()[::40]
    if not texts:
        pytest.skip("none of the sets asked for is in ../shared/data")
    for normalizer in [*STEPS.values(), *map(normalizers.Sequence, CHAINS.values())]:
        assert_same(normalizer, texts)


def test_a_normalizer_with_other_tables_is_noticed() -> None:
    texts = list(adversarial_texts(0, 20_000))
    asked = STEPS["NFKC"].normalize_str
    assert any(unicodedata.normalize("NFKC", text) != asked(text) for text in texts)


def test_lone_surrogates_count_as_replacement_characters() -> None:
    for normalizer in STEPS.values():
        assert engine(normalizer).normalize("e\ud800\u0301") == normalizer.normalize_str(
            "e\ufffd\u0301"
        )


def test_added_tokens_are_looked_for_in_the_text_that_the_chain_gives() -> None:
    reference = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    reference.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    reference.add_tokens([AddedToken("ＡＢ", normalized=True), AddedToken("ﬁ", normalized=False)])
    tokenizer = Tokenizer(reference.to_str())
    for text in ("AB ab Ａb", "ﬁ fi", "xABﬁ", "a\u0301b", ""):
        expected = reference.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode_batch([text])[0].tolist() == expected


@pytest.mark.parametrize("step", [normalizers.Prepend(""), normalizers.Replace("", "x")])
def test_steps_of_nothing_are_left_to_the_library(step: Any) -> None:
    reference = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    reference.normalizer = step
    tokenizer = Tokenizer(reference.to_str())
    assert not tokenizer.is_native
    assert "empty" in str(tokenizer.fallback_reason)
    assert tokenizer.normalize("abc") == step.normalize_str("abc")
