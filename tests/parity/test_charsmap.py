"""Character maps, real, made up and broken, give the strings of the reference library."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import pytest
import tokenizers
from generate_graphemes import (
    ACUTE,
    CLOSED,
    COPYRIGHT,
    JOINER,
    KA,
    LEADING,
    NUMBER_SIGN,
    OPEN,
    SEPARATOR,
    TRAILING,
    VIRAMA,
    VOWEL,
    charsmap,
)

from tests.parity import hostile_text as hostile
from tests.parity.families import sentencepiece_charsmap
from vecsmith import _core

REAL_MAPS = ("nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf")
CODE_POINTS = [c for c in range(sys.maxunicode + 1) if not 0xD800 <= c <= 0xDFFF]

# Characters whose neighbours decide where a cluster ends, with one or two, three and four bytes.
JOINING = (
    "a", "A", "e", "i", "\u00a9", "\u00e9", "\u0438", "\u0627", "\u0301", "\u0308", "\u030a",
    "\u0306", "\u0345", "\u0653", "\u0600", "\u200d", "\u200c", "\u200b", "\u0915", "\u093c",
    "\u094d", "\u0903", "\u0e33", "\u1100", "\u1161", "\u11a8", "\uac00", "\uac01", "\u1f00",
    "\u3042", "\u30ab", "\u3099", "\uff21", "\uff76", "\uff9e", "\ufb01", "\ufdfa", "\u2764",
    "\ufe0f", "\ufffd", "\U0001f468", "\U0001f1e6", "\U0001f3fb", "\U000110bd", "\U0001d165",
    "\U00011103", "\U00011133", "\U000e0001", "\U0001d400", "\r", "\n", "\t", " ", "\x00", "\x7f",
    "\x01",
)  # fmt: skip


def engine(map_: bytes) -> Callable[[str], str]:
    """The engine's normalizer of one map."""
    import numpy as np

    settings = _core.TokenizerSettings()
    settings.normalize_precompiled(map_)
    settings.model_wordpiece(["[UNK]"], np.zeros(1, np.uint32), 0, "##", 100)
    return _core.Tokenizer(settings).normalize


def library(map_: bytes) -> Callable[[str], str]:
    """The library's normalizer of one map."""
    normalize: Callable[[str], str] = tokenizers.normalizers.Precompiled(map_).normalize_str
    return normalize


@cache
def real_map(rule: str) -> bytes:
    pytest.importorskip("sentencepiece", reason="needs the character maps of sentencepiece")
    return sentencepiece_charsmap(rule)


@cache
def counting_map() -> bytes:
    """Turns what begins with any byte into a character of that byte's own."""
    leads = (*range(1, 0x80), *range(0xC2, 0xF5))
    return charsmap({bytes([byte]): chr(0x4E00 + byte).encode() for byte in leads})


def random_texts(seed: int, count: int, pieces: Sequence[str] = JOINING) -> list[str]:
    """Short strings of what joins, and of any other characters."""
    rng = random.Random(f"charsmap {seed}")
    texts = []
    for _ in range(count):
        chosen = rng.sample(pieces, min(len(pieces), rng.choice((3, 6, 12))))
        n = rng.randint(1, 14)
        texts.append(
            "".join(
                chr(rng.choice(CODE_POINTS)) if rng.random() < 0.08 else rng.choice(chosen)
                for _ in range(n)
            )
        )
    return texts


def assert_equal(map_: bytes, texts: Iterable[str]) -> int:
    """Raises where the two differ; the number of texts that a map changes."""
    ours, theirs = engine(map_), library(map_)
    changed = 0
    for text in texts:
        expected = theirs(text)
        assert ours(text) == expected, ascii(text)
        changed += expected != text
    return changed


def random_values(rng: random.Random) -> dict[bytes, bytes]:
    """Keys of one to three characters or of a part of one, and texts for them."""
    values = {}
    for _ in range(rng.randint(1, 60)):
        key = "".join(rng.choices(JOINING, k=rng.randint(1, 3))).encode()
        if rng.random() < 0.15:
            key = key[: rng.randint(1, len(key))]
        text = "".join(rng.choices(JOINING, k=rng.randint(0, 3)))
        key, text = key.replace(b"\0", b""), text.replace("\0", "")
        if key:
            values[key] = text.encode()
    return values


@pytest.mark.parametrize("rule", REAL_MAPS)
def test_real_maps_map_every_code_point_alike(rule: str) -> None:
    groups = (CODE_POINTS[start : start + 64] for start in range(0, len(CODE_POINTS), 64))
    changed = assert_equal(real_map(rule), ("x\n".join(map(chr, group)) for group in groups))
    assert changed > 100


@pytest.mark.parametrize("rule", REAL_MAPS)
def test_real_maps_map_marks_and_what_they_follow_alike(rule: str) -> None:
    marks = ("\u0301", "\u0308", "\u0345", "\u0653", "\u093c", "\u3099", "\u11a8", "\u200d")
    bases = [*range(0x20, 0x700), *range(0x900, 0xE80), *range(0x1E00, 0x2000), 0x3042, 0xAC00]
    texts = [
        f"{chr(base)}{first}{second}x"
        for base in bases
        for first in marks[:6]
        for second in ("", marks[base % 8])
    ]
    assert assert_equal(real_map(rule), texts) > 100


@pytest.mark.parametrize("rule", REAL_MAPS)
def test_real_maps_map_hostile_strings_alike(rule: str) -> None:
    texts = [*hostile.generated_texts(5, 2000), *hostile.SENTENCES, *random_texts(5, 4000)]
    assert assert_equal(real_map(rule), texts) > 1000


def test_made_up_maps_map_alike() -> None:
    rng = random.Random(11)
    changed = 0
    for round_ in range(120):
        values = random_values(rng)
        pieces = [*JOINING, *(key.decode(errors="ignore") for key in values)]
        changed += assert_equal(charsmap(values), random_texts(round_, 100, pieces))
    assert changed > 3000


def test_clusters_end_where_the_library_ends_them() -> None:
    # Each pattern shows another class; six bytes are where a cluster is no longer looked up whole.
    patterns = (
        "a{}", "{}a", "{}" + ACUTE + ACUTE, COPYRIGHT + "{}" + JOINER + COPYRIGHT + ACUTE,
        COPYRIGHT + JOINER + "{}", "{}" + JOINER + COPYRIGHT + ACUTE, KA + "{}" + KA + ACUTE,
        KA + VIRAMA + "{}" + KA + ACUTE, KA + VIRAMA + "{}" + ACUTE, "{}" + VIRAMA + KA + ACUTE,
        "{}" + VOWEL + ACUTE, "{}" + TRAILING + ACUTE, "{}" + LEADING + ACUTE,
        NUMBER_SIGN + LEADING + "{}", NUMBER_SIGN + OPEN + "{}", NUMBER_SIGN + CLOSED + "{}",
    )  # fmt: skip
    blocks = (
        (0, 0x3400), (0xA000, 0xAC80), (0xD700, 0xD800), (0xF900, 0x12000), (0x16000, 0x17000),
        (0x1BC00, 0x1F000), (0xE0000, 0xE0200),
    )  # fmt: skip
    in_use = [c for start, end in blocks for c in range(start, end)]
    in_use += random.Random(3).sample(CODE_POINTS, 4000)
    texts = [
        SEPARATOR.join(pattern.format(chr(c)) for c in in_use[start : start + 256])
        for pattern in patterns
        for start in range(0, len(in_use), 256)
    ]
    assert assert_equal(counting_map(), texts) == len(texts)


def test_clusters_of_many_characters_end_where_the_library_ends_them() -> None:
    assert assert_equal(counting_map(), random_texts(17, 20_000)) > 19_000


def test_texts_of_any_length_are_mapped_alike() -> None:
    rng = random.Random(23)
    words = [word for sentence in hostile.SENTENCES for word in sentence.split()]
    texts = [
        rng.choice((" ", "\n", "\u3000", "")).join(rng.choices(words, k=rng.choice((1, 9, 300))))
        for _ in range(600)
    ]
    assert_equal(real_map("nmt_nfkc"), [*texts, "a" + ACUTE * 50_000, "\U0001f1e6" * 20_000])


def test_a_map_that_the_library_refuses_or_fails_on_is_refused(
    capfd: pytest.CaptureFixture[str],
) -> None:
    rng = random.Random(29)
    read = refused = 0
    for _ in range(500):
        map_ = bytearray(charsmap(random_values(rng)))
        for _ in range(rng.randint(0, 3)):
            map_[rng.randrange(len(map_))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.1:
            del map_[rng.randrange(len(map_)) :]
        try:
            ours = engine(bytes(map_))
        except ValueError:
            refused += 1
            continue
        read += 1
        theirs = library(bytes(map_))
        for text in random_texts(read, 8):
            assert ours(text) == theirs(text), ascii(text)
    capfd.readouterr()  # the library prints what it fails on
    assert min(read, refused) > 25


@pytest.mark.parametrize("map_", [b"", b"abc", b"\4\0\0\0", b"\0\0\0\0\xff", b"\0\0\0\0abc"])
def test_a_map_without_an_array_is_refused(map_: bytes) -> None:
    with pytest.raises(ValueError, match="character map"):
        engine(map_)
