#!/usr/bin/env python3
"""Writes cpp/src/grapheme_tables.inc by asking Hugging Face `tokenizers` where clusters end.

The library's Precompiled normalizer looks up whole grapheme clusters of fewer than six bytes, and
the characters of longer ones. So a character map that turns whatever begins with any byte into one
"x" counts: one for each short cluster, and one for each character of a long one. That shows every
boundary that can make a difference, and the class of every code point with it.

    python scripts/generate_graphemes.py           # write the table
    python scripts/generate_graphemes.py --check   # exit 1 if the checked-in table differs
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from _unicode_probing import (
    CODE_POINTS,
    TOKENIZERS_VERSION,
    array,
    check_version,
    expect,
    update,
)

TABLE_PATH = Path(__file__).resolve().parent.parent / "cpp" / "src" / "grapheme_tables.inc"
PAGE_SIZE = 128
UNITS_PER_TEXT = 512  # probes that share one call of the library

# The order of GraphemeClass in cpp/src/graphemes.hpp.
CLASSES = (
    "other", "control", "carriage return", "line feed", "extend", "conjunct extend", "linker",
    "joiner", "spacing mark", "prepend", "leading", "vowel", "trailing", "open syllable",
    "closed syllable", "pictograph", "consonant",
)  # fmt: skip

# Characters whose place in the rules is known; what joins them shows what it is.
ACUTE, JOINER, COPYRIGHT = "\u0301", "\u200d", "\u00a9"  # extends, joins, is a pictograph
NUMBER_SIGN = "\u0600"  # two bytes, takes in what follows: makes short clusters out of three bytes
KA, VIRAMA = "\u0915", "\u094d"  # a consonant and a linker
LEADING, VOWEL, TRAILING, OPEN, CLOSED = "\u1100", "\u1161", "\u11a8", "\uac00", "\uac01"

SEPARATOR = "\x01"  # a control: a boundary on both sides

Node: TypeAlias = "dict[int, Node | bytes]"


def charsmap(values: Mapping[bytes, bytes]) -> bytes:
    """A SentencePiece character map that turns keys into values.

    Its form: the bytes of a double array, the array of 32-bit units, then the values, each with a
    zero behind it. A node's children are at its base with the byte of each in the lowest bits, and
    at the base itself is the place of its value. Here each base has a block of its own.
    """
    root: Node = {}
    for key, value in values.items():
        node = root
        for byte in key:
            child = node.setdefault(byte, {})
            assert isinstance(child, dict)
            node = child
        node[-1] = value
    units, pool = [0] * 512, bytearray()
    remaining: list[tuple[Node, int, int]] = [(root, 0, 256)]
    while remaining:
        node, place, base = remaining.pop()
        units[place] |= offset_bits(place ^ base)
        for byte, child in node.items():
            if isinstance(child, bytes):
                units[place] |= 1 << 8
                units[base] = 1 << 31 | len(pool)
                pool += child + b"\0"
            else:
                units[base + byte] = byte
                remaining.append((child, base + byte, len(units)))
                units += [0] * 256
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(pool)


def offset_bits(offset: int) -> int:
    """The offset of a unit, in its place; large ones are kept without their low eight bits."""
    if offset < 1 << 21:
        return offset << 10
    if offset % 256 or offset >= 1 << 29:
        raise ValueError(f"an offset of {offset} does not fit a unit")
    return offset >> 8 << 10 | 1 << 9


# --- Asking the library -------------------------------------------------------------------------


class Clusters:
    """The library's clusters, by their numbers."""

    def __init__(self) -> None:
        from tokenizers import normalizers

        leads = [*range(1, 0x80), *range(0xC2, 0xF5)]
        values = {bytes([byte]): b"x" for byte in leads} | {SEPARATOR.encode(): b"\n"}
        self._normalizer = normalizers.Precompiled(charsmap(values))

    def count(self, texts: list[str]) -> list[int]:
        """For each text its clusters, a cluster of six bytes or more by its characters."""
        marked = self._normalizer.normalize_str("".join(text + SEPARATOR for text in texts))
        counts = [len(part) for part in marked.split("\n")[:-1]]
        if len(counts) != len(texts):
            raise RuntimeError(f"{len(texts)} texts came back as {len(counts)}")
        return counts

    def around(self, pattern: str) -> Iterator[tuple[int, int]]:
        """Each code point with the number for the pattern with it in the place of {}."""
        probed = [c for c in CODE_POINTS if chr(c) != SEPARATOR]
        for start in range(0, len(probed), UNITS_PER_TEXT):
            batch = probed[start : start + UNITS_PER_TEXT]
            counts = self.count([pattern.format(chr(c)) for c in batch])
            yield from zip(batch, counts, strict=True)

    def where(self, pattern: str, number: int) -> set[int]:
        """The code points that give this number."""
        return {c for c, found in self.around(pattern) if found == number}


def probe_classes() -> dict[int, str]:
    """The class of every code point that is not "other"."""
    clusters = Clusters()
    classes = probe_marks(clusters)
    marks = set(classes)
    # Alone it is a cluster, the acute is another, and both marks together are short.
    controls = clusters.where("{}" + ACUTE + ACUTE, 2) | {ord(SEPARATOR)}
    prepended = clusters.where("{}a", 1)
    expect(controls.isdisjoint(prepended | marks), 0, "classes", "overlap")
    expect(prepended.isdisjoint(marks), 0, "classes", "overlap")
    classes |= dict.fromkeys(controls, "control") | dict.fromkeys(prepended, "prepend")
    taken = set(classes)
    for name, found in (
        *probe_hangul(clusters, taken),
        ("pictograph", probe_pictographs(clusters, taken)),
        ("consonant", probe_consonants(clusters, taken)),
    ):
        for c in found:
            expect(c not in classes, c, "class", (name, classes.get(c)))
            classes[c] = name
    expect(clusters.count(["\r\n", "\n\r", "\r\r", "\n\n"]) == [1, 2, 2, 2], 13, "CR LF", "other")
    return classes | {ord("\r"): "carriage return", ord("\n"): "line feed"}


def probe_marks(clusters: Clusters) -> dict[int, str]:
    """The classes of all that joins a letter before it."""
    marks = clusters.where("a{}", 1)
    # The last two signs are one cluster, or their three characters belong to a long one.
    extending = clusters.where(COPYRIGHT + "{}" + JOINER + COPYRIGHT + ACUTE, 5) & marks
    joining = clusters.where(COPYRIGHT + "{}" + COPYRIGHT + ACUTE, 4) & marks
    linking = clusters.where(KA + "{}" + KA + ACUTE, 4)
    between = clusters.where(KA + VIRAMA + "{}" + KA + ACUTE, 5)
    prepended = clusters.where("{}a", 1)  # they take in the second consonant by another rule
    names = {
        # extends, joins, links, stands between
        (True, False, False, False): "extend",
        (True, False, False, True): "conjunct extend",
        (True, False, True, True): "linker",
        (False, True, False, True): "joiner",
        (False, False, False, False): "spacing mark",
    }
    for c in (linking | between) - prepended:
        expect(c in marks, c, "a conjunct", "joined by what joins nothing")
    shown = {c: (c in extending, c in joining, c in linking, c in between) for c in marks}
    for c, answers in shown.items():
        expect(answers in names, c, "a mark", answers)
    return {c: names[answers] for c, answers in shown.items()}


def probe_hangul(clusters: Clusters, taken: set[int]) -> Iterator[tuple[str, set[int]]]:
    """The names and members of the five classes of Hangul."""
    # The acute makes a short cluster of the jamo alone, the number sign of the character before.
    joins = {jamo: clusters.where("{}" + jamo + ACUTE, 3) - taken for jamo in (LEADING, VOWEL)}
    takes_trailing = clusters.where("{}" + TRAILING + ACUTE, 3) - taken
    follows = {
        jamo: clusters.where(NUMBER_SIGN + jamo + "{}", 3) - taken for jamo in (LEADING, CLOSED)
    }
    follows_open = clusters.where(NUMBER_SIGN + OPEN + "{}", 3) - taken
    names = {
        # before a leading, vowel, trailing; behind a leading, open syllable, closed syllable
        (True, True, False, True, False, False): "leading",
        (False, True, True, True, True, False): "vowel",
        (False, False, True, False, True, True): "trailing",
        (False, True, True, True, False, False): "open syllable",
        (False, False, True, True, False, False): "closed syllable",
    }
    members: dict[str, set[int]] = {name: set() for name in names.values()}
    sets = (
        joins[LEADING], joins[VOWEL], takes_trailing, follows[LEADING], follows_open,
        follows[CLOSED],
    )  # fmt: skip
    for c in set.union(*sets):
        answers = tuple(c in found for found in sets)
        expect(answers in names, c, "Hangul", answers)
        members[names[answers]].add(c)  # type: ignore[index]
    yield from members.items()


def probe_pictographs(clusters: Clusters, taken: set[int]) -> set[int]:
    """What a joiner binds, on either side."""
    before = clusters.where("{}" + JOINER + COPYRIGHT + ACUTE, 4) - taken
    behind = clusters.where(COPYRIGHT + JOINER + "{}", 3) - taken
    for c in before ^ behind:
        expect(False, c, "pictograph", "on one side only")
    return before


def probe_consonants(clusters: Clusters, taken: set[int]) -> set[int]:
    """What a linker binds: seen on the left, and on the right but for characters of four bytes."""
    before = clusters.where("{}" + VIRAMA + KA + ACUTE, 4) - taken
    behind = clusters.where(KA + VIRAMA + "{}" + ACUTE, 4) - taken
    for c in {c for c in before ^ behind if c < 0x10000}:
        expect(False, c, "consonant", "on one side only")
    return before


# --- Writing the table --------------------------------------------------------------------------


def render(classes: Mapping[int, str]) -> str:
    """The C++ text of the table: pages of classes, those that are alike once."""
    pages: dict[tuple[int, ...], int] = {}
    numbers = {name: number for number, name in enumerate(CLASSES)}
    page_of = [
        pages.setdefault(
            tuple(numbers[classes.get(c, "other")] for c in range(start, start + PAGE_SIZE)),
            len(pages),
        )
        for start in range(0, 0x110000, PAGE_SIZE)
    ]
    if len(pages) > 256:
        raise RuntimeError(f"{len(pages)} pages do not fit a byte")
    values = [str(number) for page in pages for number in page]
    return "\n".join(
        [
            "// Generated by scripts/generate_graphemes.py from the behaviour of Hugging Face",
            f"// tokenizers {TOKENIZERS_VERSION}; do not edit. Included by graphemes.cpp alone.",
            f"// {len(classes)} code points with a class, {len(pages)} pages.",
            "",
            f"static_assert(kPageSize == {PAGE_SIZE});",
            f"static_assert(kGraphemeClasses == {len(CLASSES)});",
            f"const std::size_t kStoredPages = {len(pages)};",
            "",
            *array("const std::uint8_t kPageOf[]", map(str, page_of)),
            *array("const std::uint8_t kClassOf[]", values),
        ]
    )


def main() -> int:
    """Exit status: 0, or 1 when the table differs."""
    parser = argparse.ArgumentParser(description="generate the engine's grapheme classes")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    check_version(parser)

    return update({TABLE_PATH: render(probe_classes())}, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
