#!/usr/bin/env python3
"""Writes cpp/src/character_classes.inc by asking Hugging Face `tokenizers` about every code point.

Splitters ask whether a character is a letter, a number, a space, a punctuation mark. The library
answers from several Unicode databases of different ages: that of its regular expressions, that of
the `Whitespace` pattern, that of its punctuation and that of its digits. So each property is the
observed behaviour of one of its objects, and nothing is read from a Unicode database.

    python scripts/generate_classes.py            # write the table
    python scripts/generate_classes.py --check    # exit 1 if the checked-in table differs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from _unicode_probing import CODE_POINTS, TOKENIZERS_VERSION, array, check_version, update

if TYPE_CHECKING:
    from tokenizers import pre_tokenizers

TABLE_PATH = Path(__file__).resolve().parent.parent / "cpp" / "src" / "character_classes.inc"

CATEGORIES = (
    "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn"
).split()
UNIONS = "L M N P S Z C".split()
SCRIPTS = ["Han", "Hiragana", "Katakana"]

# In the order of the bits of CharacterTrait in cpp/include/vecsmith/character_classes.hpp.
TRAITS = [*CATEGORIES, "space", "regex_word", "plain_word", "numeric", "isolated", *SCRIPTS]
PAGE_SIZE = 256
MOST_CLASSES = 64  # a set of classes is one bit each of a 64-bit number


def probe_traits() -> dict[str, frozenset[int]]:
    """The code points that have each trait, measured through the library's own objects."""
    from tokenizers import pre_tokenizers

    traits = {name: matches(rf"\p{{{name}}}") for name in (*CATEGORIES, *SCRIPTS)}
    check_partition(traits)
    for union in UNIONS:
        parts = (traits[name] for name in CATEGORIES if name[0] == union)
        same(f"\\p{{{union}}}", matches(rf"\p{{{union}}}"), frozenset().union(*parts))

    traits["space"] = matches(r"\s")
    traits["regex_word"] = matches(r"\w")
    traits["plain_word"] = code_points_in(pre_tokenizers.Whitespace(), 1)
    traits["numeric"] = code_points_in(pre_tokenizers.Digits(individual_digits=True), 3)
    traits["isolated"] = code_points_in(pre_tokenizers.Punctuation(), 3)
    same(r"\d", matches(r"\d"), traits["Nd"])
    same("spaces of Whitespace", code_points_in(pre_tokenizers.Whitespace(), 2), traits["space"])
    for name, pre_tokenizer in (
        ("WhitespaceSplit", pre_tokenizers.WhitespaceSplit()),
        ("BertPreTokenizer", pre_tokenizers.BertPreTokenizer()),
    ):
        same(f"spaces of {name}", code_points_in(pre_tokenizer, 2), traits["space"])
    bert_punctuation = code_points_in(pre_tokenizers.BertPreTokenizer(), 3)
    same("punctuation of BertPreTokenizer", bert_punctuation, traits["isolated"])
    check_byte_level(traits)
    return traits


def matches(pattern: str) -> frozenset[int]:
    """The code points that a regular expression of one character matches."""
    from tokenizers import Regex, normalizers

    everything = "".join(map(chr, CODE_POINTS))
    left = normalizers.Replace(Regex(pattern), "").normalize_str(everything)
    return frozenset(CODE_POINTS) - frozenset(map(ord, left))


def code_points_in(pre_tokenizer: pre_tokenizers.PreTokenizer, n_pieces: int) -> frozenset[int]:
    """The code points that make `n_pieces` pieces of themselves between two letters."""
    return frozenset(
        c for c, pieces in pieces_between(pre_tokenizer, "a", "b") if len(pieces) == n_pieces
    )


def pieces_between(
    pre_tokenizer: pre_tokenizers.PreTokenizer, before: str, after: str
) -> Iterator[tuple[int, list[str]]]:
    """Each code point with the pieces of a text that has it between two others."""
    for c in CODE_POINTS:
        text = f"{before}{chr(c)}{after}"
        yield c, [text[slice(*span)] for _, span in pre_tokenizer.pre_tokenize_str(text)]


def check_partition(traits: dict[str, frozenset[int]]) -> None:
    """Raises unless each code point is in one general category."""
    if sum(len(traits[name]) for name in CATEGORIES) != len(CODE_POINTS):
        raise RuntimeError("the general categories of regular expressions are no partition")
    same("all categories", frozenset().union(*(traits[name] for name in CATEGORIES)),
         frozenset(CODE_POINTS))  # fmt: skip


def check_byte_level(traits: dict[str, frozenset[int]]) -> None:
    """Raises unless the pattern inside ByteLevel knows the same letters, numbers and spaces."""
    from tokenizers import pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = frozenset().union(*(traits[name] for name in CATEGORIES if name[0] == "L"))
    numbers = frozenset().union(*(traits[name] for name in CATEGORIES if name[0] == "N"))
    found = dict(pieces_between(byte_level, "a", "1"))
    joined = {c: [len(piece) for piece in pieces] for c, pieces in found.items()}
    same("letters of ByteLevel", (c for c in found if joined[c] == [2, 1]), letters)
    same("numbers of ByteLevel", (c for c in found if joined[c] == [1, 2] and c != 32), numbers)
    others = (c for c, pieces in pieces_between(byte_level, "!", "!") if len(pieces) == 1)
    spaces = frozenset(CODE_POINTS) - letters - numbers - frozenset(others)
    same("spaces of ByteLevel", spaces, traits["space"])


def same(what: str, found: Iterable[int], expected: frozenset[int]) -> None:
    """Raises when two of the library's objects disagree where one trait serves both."""
    different = sorted(expected.symmetric_difference(found))
    if different:
        raise RuntimeError(f"{what}: {len(different)} code points such as U+{different[0]:04X}")


# --- Writing the table --------------------------------------------------------------------------


def render(traits: dict[str, frozenset[int]]) -> str:
    """The C++ text of the table: pages of class numbers, and the traits of each class."""
    bits = [0] * 0x110000
    for place, name in enumerate(TRAITS):
        for c in traits[name]:
            bits[c] |= 1 << place
    for c in range(0xD800, 0xE000):  # never asked for: decoding gives U+FFFD
        bits[c] = 1 << TRAITS.index("Cn")

    classes = {1 << TRAITS.index("Cn"): 0}
    pages: dict[bytes, int] = {}
    page_numbers = [
        pages.setdefault(
            bytes(classes.setdefault(b, len(classes)) for b in bits[start : start + PAGE_SIZE]),
            len(pages),
        )
        for start in range(0, 0x110000, PAGE_SIZE)
    ]
    if len(pages) > 256 or len(classes) > MOST_CLASSES:
        raise RuntimeError(f"{len(pages)} pages, {len(classes)} classes: too many for the table")
    return "\n".join(
        [
            "// Generated by scripts/generate_classes.py from the behaviour of Hugging Face",
            f"// tokenizers {TOKENIZERS_VERSION}; do not edit. Included by character_classes.cpp",
            f"// alone. {len(classes)} classes, {len(pages)} pages.",
            "",
            f"static_assert(kPageSize == {PAGE_SIZE});",
            f"static_assert(kCharacterClasses == {len(classes)});",
            "",
            *array("const std::uint8_t kPages[]", map(str, page_numbers)),
            *array("const std::uint8_t kClassOf[]", (str(n) for page in pages for n in page)),
            *array("const std::uint64_t kTraits[]", (f"0x{b:X}U" for b in classes)),
        ]
    )


def main() -> int:
    """Exit status: 0, or 1 when the checked-in table differs."""
    parser = argparse.ArgumentParser(description="generate the engine's character classes")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    check_version(parser)

    return update({TABLE_PATH: render(probe_traits())}, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
