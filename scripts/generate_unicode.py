#!/usr/bin/env python3
"""Writes cpp/src/unicode_tables.inc by asking Hugging Face `tokenizers` about every code point.

The engine must treat each character exactly as that library does, and the library's Unicode tables
are neither the newest nor all of one version. So nothing here is read from a Unicode database:
every property is the observed behaviour of a normalizer, a pre-tokenizer or an added token.

    python scripts/generate_unicode.py            # write the table
    python scripts/generate_unicode.py --check    # exit 1 if the checked-in table differs
    python scripts/generate_unicode.py --fuzz 200000   # also compare what it composes to
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from _unicode_probing import (
    CODE_POINTS,
    HANGUL_SYLLABLES,
    TOKENIZERS_VERSION,
    array,
    check_hangul,
    check_version,
    expect,
    middles,
    pooled,
    update,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer, normalizers

TABLE_PATH = Path(__file__).resolve().parent.parent / "cpp" / "src" / "unicode_tables.inc"

# Bits of CodePointFlag in cpp/include/vecsmith/unicode.hpp.
CONTROL, CLEAN_SPACE, WHITESPACE, PUNCTUATION, CJK, NONSPACING_MARK, WORD, REGEX_SPACE = (
    1 << bit for bit in range(8)
)

PAGE_SIZE = 128
HANGUL_DECOMPOSITION = 0xFF
LONGEST_EXPANSION = 4  # Expansion::kCapacity
UNITS_PER_TEXT = 128  # probes of three characters that share one call of the library

# Options in the order of the four steps of a BertNormalizer.
Options = tuple[bool, bool, bool, bool]
EVERY_OPTIONS: list[Options] = [
    (clean, chinese, accents, lower)
    for clean, chinese, accents, lower in itertools.product([False, True], repeat=4)
]

# One mark of each canonical combining class. The numbers are only names: what counts is their
# order, and `check_class_order` asks the library for that.
CLASS_REPRESENTATIVES = {
    1: 0x0334, 7: 0x093C, 8: 0x3099, 9: 0x094D,
    10: 0x05B0, 11: 0x05B1, 12: 0x05B2, 13: 0x05B3, 14: 0x05B4, 15: 0x05B5, 16: 0x05B6, 17: 0x05B7,
    18: 0x05B8, 19: 0x05B9, 20: 0x05BB, 21: 0x05BC, 22: 0x05BD, 23: 0x05BF, 24: 0x05C1, 25: 0x05C2,
    26: 0xFB1E, 27: 0x064B, 28: 0x064C, 29: 0x064D, 30: 0x064E, 31: 0x064F, 32: 0x0650, 33: 0x0651,
    34: 0x0652, 35: 0x0670, 36: 0x0711, 84: 0x0C55, 91: 0x0C56, 103: 0x0E38, 107: 0x0E48,
    118: 0x0EB8, 122: 0x0EC8, 129: 0x0F71, 130: 0x0F72, 132: 0x0F74, 202: 0x0321, 214: 0x1DCE,
    216: 0x031B, 218: 0x302A, 220: 0x0316, 222: 0x059A, 224: 0x302E, 226: 0x1D16D, 228: 0x302B,
    230: 0x0300, 232: 0x0315, 233: 0x0362, 234: 0x0360, 240: 0x0345,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Properties:
    """What the library shows of one code point."""

    flags: int = 0
    combining_class: int = 0
    decomposition: str = ""
    lowercase: str = ""


NOTHING = Properties()


@dataclass(slots=True)
class Table:
    """Properties of every code point that has any, and how they compose."""

    properties: dict[int, Properties] = field(default_factory=dict)

    def __getitem__(self, c: int) -> Properties:
        return self.properties.get(c, NOTHING)

    def normalize(self, text: str, options: Options) -> str:
        """What a BertNormalizer with these options gives, composed from the primitives."""
        clean_text, handle_chinese_chars, strip_accents, lowercase = options
        if clean_text:
            text = "".join(map(self._clean, text))
        if handle_chinese_chars:
            text = "".join(f" {c} " if self[ord(c)].flags & CJK else c for c in text)
        if strip_accents:
            ordered = self.canonical_decomposition(text)
            text = "".join(c for c in ordered if not self[ord(c)].flags & NONSPACING_MARK)
        if lowercase:
            text = "".join(self[ord(c)].lowercase or c for c in text)
        return text

    def canonical_decomposition(self, text: str) -> str:
        """`text` in the library's NFD."""
        decomposed = "".join(self[ord(c)].decomposition or c for c in text)
        pieces: list[str] = []
        for is_starter, run in itertools.groupby(
            decomposed, key=lambda c: self[ord(c)].combining_class == 0
        ):
            if is_starter:
                pieces.extend(run)
            else:
                pieces.extend(sorted(run, key=lambda c: self[ord(c)].combining_class))
        return "".join(pieces)

    def _clean(self, c: str) -> str:
        flags = self[ord(c)].flags
        return "" if flags & CONTROL else " " if flags & CLEAN_SPACE else c


# --- Asking the library -------------------------------------------------------------------------


def probe_table(code_points: Iterable[int] = CODE_POINTS) -> Table:
    """The properties of these code points, measured through the library's own objects."""
    from tokenizers import normalizers

    flags = dict.fromkeys(code_points, 0)
    for c, middle in middles(flags, bert_normalizer((True, False, False, False))):
        if middle == "":
            flags[c] |= CONTROL
        elif middle != chr(c):
            expect(middle == " ", c, "clean_text", middle)
            flags[c] |= CLEAN_SPACE
        elif c == ord(" "):
            flags[c] |= CLEAN_SPACE  # maps to itself
    for c, middle in middles(flags, bert_normalizer((False, True, False, False))):
        if middle != chr(c):
            expect(middle == f" {chr(c)} ", c, "handle_chinese_chars", middle)
            flags[c] |= CJK

    decompositions = {c: m for c, m in middles(flags, normalizers.NFD()) if m != chr(c)}
    for c, middle in middles(flags, bert_normalizer((False, False, True, False))):
        if c not in decompositions and middle != chr(c):
            expect(middle == "", c, "strip_accents", middle)
            flags[c] |= NONSPACING_MARK
    lowercase = {c: m for c, m in middles(flags, normalizers.Lowercase()) if m != chr(c)}
    for c, middle in middles(flags, bert_normalizer((False, False, False, True))):
        expect(middle == lowercase.get(c, chr(c)), c, "lowercase", middle)

    probe_pre_tokenizer(flags)
    probe_added_tokens(flags)
    classes = probe_combining_classes(flags, decompositions)
    return Table(
        {
            c: found
            for c in flags
            if (
                found := Properties(
                    flags[c], classes.get(c, 0), decompositions.get(c, ""), lowercase.get(c, "")
                )
            )
            != NOTHING
        }
    )


def bert_normalizer(options: Options) -> normalizers.Normalizer:
    """The library's BertNormalizer with these options."""
    from tokenizers import normalizers

    clean_text, handle_chinese_chars, strip_accents, lowercase = options
    return normalizers.BertNormalizer(
        clean_text=clean_text,
        handle_chinese_chars=handle_chinese_chars,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )


def probe_pre_tokenizer(flags: dict[int, int]) -> None:
    """Sets WHITESPACE and PUNCTUATION from the number of pieces of "a" + c + "b"."""
    from tokenizers import pre_tokenizers

    bit_of_pieces = {1: 0, 2: WHITESPACE, 3: PUNCTUATION}
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    for c in flags:
        pieces = [piece for piece, _ in pre_tokenizer.pre_tokenize_str(f"a{chr(c)}b")]
        parts = {1: [f"a{chr(c)}b"], 2: ["a", "b"], 3: ["a", chr(c), "b"]}
        expect(pieces == parts.get(len(pieces)), c, "pre-tokenizer", pieces)
        flags[c] |= bit_of_pieces[len(pieces)]


def probe_added_tokens(flags: dict[int, int]) -> None:
    """Sets WORD and REGEX_SPACE from what added tokens match and swallow."""
    word_before = {c for c, span in matches_beside(flags, "single_word", "{}< ", 1) if span is None}
    word_after = {c for c, span in matches_beside(flags, "single_word", "<{} ", 0) if span is None}
    space_before = {c for c, span in matches_beside(flags, "lstrip", "{}<a", 1) if span == (0, 2)}
    space_after = {c for c, span in matches_beside(flags, "rstrip", "<{}a", 0) if span == (0, 2)}
    for c in flags:
        expect((c in word_before) == (c in word_after), c, "single_word", "one side only")
        expect((c in space_before) == (c in space_after), c, "lstrip and rstrip", "one side only")
        flags[c] |= (c in word_before) * WORD | (c in space_before) * REGEX_SPACE


def matches_beside(
    code_points: Iterable[int], option: str, unit: str, place: int
) -> Iterator[tuple[int, tuple[int, int] | None]]:
    """Each code point with the span, in its unit, of the added token at `place` or around it."""
    tokenizer = added_token(option)
    remaining = iter(code_points)
    while batch := list(itertools.islice(remaining, UNITS_PER_TEXT)):
        encoding = tokenizer.encode("".join(unit.format(chr(c)) for c in batch))
        spans: dict[int, tuple[int, int]] = {}
        for id_, (first, last) in zip(encoding.ids, encoding.offsets, strict=True):
            if id_ == 1:
                spans[last - 1] = spans[first] = (first, last)
        for i, c in enumerate(batch):
            span = spans.get(3 * i + place)
            yield c, (span[0] - 3 * i, span[1] - 3 * i) if span else None


def added_token(option: str) -> Tokenizer:
    """A tokenizer whose only token is "<", added with one option set."""
    from tokenizers import AddedToken, Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"unknown": 0}, unk_token="unknown"))
    tokenizer.add_tokens([AddedToken("<", normalized=False, **{option: True})])
    return tokenizer


def probe_combining_classes(
    code_points: Iterable[int], decompositions: dict[int, str]
) -> dict[int, int]:
    """The class of every code point that the library's NFD moves around marks."""
    from tokenizers import normalizers

    nfd = normalizers.NFD().normalize_str

    def stays(first: str, second: str) -> bool:
        return nfd(f"x{first}{second}") == f"x{first}{second}"

    check_class_order(stays)
    lowest, highest = chr(CLASS_REPRESENTATIVES[1]), chr(CLASS_REPRESENTATIVES[240])
    classes: dict[int, int] = {}
    for c in code_points:
        mark = chr(c)
        if c in decompositions or (stays(highest, mark) and stays(mark, lowest)):
            continue
        fitting = [
            number
            for number, representative in CLASS_REPRESENTATIVES.items()
            if stays(chr(representative), mark) and stays(mark, chr(representative))
        ]
        expect(len(fitting) == 1, c, "combining class", fitting)
        classes[c] = fitting[0]
    return classes


def check_class_order(stays: Callable[[str, str], bool]) -> None:
    """Raises if the library orders the representatives differently from their numbers."""
    pairs = itertools.permutations(sorted(CLASS_REPRESENTATIVES), 2)
    for first, second in pairs:
        marks = chr(CLASS_REPRESENTATIVES[first]), chr(CLASS_REPRESENTATIVES[second])
        if stays(*marks) != (first < second):
            raise RuntimeError(f"combining classes {first} and {second} are in unknown order")


# --- Writing the table --------------------------------------------------------------------------


def render(table: Table) -> str:
    """The C++ text of the table: pages of record numbers, shared records, pooled expansions."""
    check_hangul(lambda c: table[c].decomposition)
    pool = pooled(
        (
            expansion
            for c, found in table.properties.items()
            if c not in HANGUL_SYLLABLES
            for expansion in (found.decomposition, found.lowercase)
            if expansion
        ),
        longest=LONGEST_EXPANSION,
    )
    records: dict[str, int] = {record_text(NOTHING, pool): 0}
    pages: dict[tuple[int, ...], int] = {}
    page_numbers = [
        pages.setdefault(
            tuple(
                records.setdefault(record_text(at(table, c), pool), len(records))
                for c in range(start, start + PAGE_SIZE)
            ),
            len(pages),
        )
        for start in range(0, 0x110000, PAGE_SIZE)
    ]
    if len(pages) > 256 or len(records) > 0x10000 or len(pool) > 0x10000:
        raise RuntimeError(f"{len(pages)} pages, {len(records)} records: too many for the table")
    numbers = [str(record) for page in pages for record in page]
    return "\n".join(
        [
            "// Generated by scripts/generate_unicode.py from the behaviour of Hugging Face",
            f"// tokenizers {TOKENIZERS_VERSION}; do not edit. Included by unicode.cpp alone.",
            f"// {len(table.properties)} code points with properties, {len(pages)} pages, "
            f"{len(records)} records, {len(pool)} pooled code points.",
            "",
            f"static_assert(kPageSize == {PAGE_SIZE});",
            f"static_assert(kPageCount == {len(pages)});",
            "",
            *array("const std::uint8_t kPages[]", map(str, page_numbers)),
            *array("const std::uint16_t kRecordOf[]", numbers),
            "// flags, class, sizes and offsets of decomposition and lower case",
            *array("const CodePoint kRecords[]", records),
            *array("const char32_t kExpansions[]", (f"0x{ord(c):X}" for c in pool)),
        ]
    )


def at(table: Table, c: int) -> Properties:
    """The stored properties of `c`: Hangul syllables share one record."""
    found = table[c]
    if c in HANGUL_SYLLABLES:
        return Properties(found.flags, found.combining_class, "hangul", found.lowercase)
    return found


def record_text(found: Properties, pool: str) -> str:
    """One CodePoint as a C++ initializer."""
    decomposition = "" if found.decomposition == "hangul" else found.decomposition
    size = HANGUL_DECOMPOSITION if found.decomposition == "hangul" else len(decomposition)
    offsets = [pool.index(part) if part else 0 for part in (decomposition, found.lowercase)]
    numbers = [found.flags, found.combining_class, size, len(found.lowercase), *offsets]
    return "{" + ",".join(map(str, numbers)) + "}"


# --- Comparing the composition with the library -------------------------------------------------


def disagreements(table: Table, n_texts: int, seed: int = 0) -> list[tuple[Options, str]]:
    """Texts, with their options, for which the table composes to something else."""
    generator = random.Random(seed)
    pools = adversarial_pools(table)
    asked = [(options, bert_normalizer(options)) for options in EVERY_OPTIONS]
    wrong: list[tuple[Options, str]] = []
    for i in range(n_texts):
        options, normalizer = asked[i % len(asked)]
        text = adversarial_text(pools, generator)
        if table.normalize(text, options) != normalizer.normalize_str(text):
            wrong.append((options, text))
    return wrong


def adversarial_pools(table: Table) -> list[Sequence[int]]:
    """Sets of code points whose neighbourhoods are hard to normalize."""
    found = table.properties
    marks = [c for c, p in found.items() if p.combining_class]
    kept = [c for c in marks if not found[c].flags & NONSPACING_MARK]
    barriers = [c for c, p in found.items() if p.flags & NONSPACING_MARK and not p.combining_class]
    composed = [c for c, p in found.items() if p.decomposition and c not in HANGUL_SYLLABLES]
    awkward = [c for c in composed if table[ord(found[c].decomposition[0])].combining_class]
    removed = [c for c, p in found.items() if (p.flags & CONTROL and c < 0xE000) or c == 0xFFFD]
    spaces = [c for c, p in found.items() if p.flags & (CLEAN_SPACE | WHITESPACE)]
    cased = [c for c, p in found.items() if p.lowercase]
    chinese = [c for c, p in found.items() if p.flags & CJK]
    return [
        marks, kept, kept, barriers, composed, awkward, removed, spaces, cased, chinese,
        HANGUL_SYLLABLES, range(0x20, 0x7F), CODE_POINTS,
    ]  # fmt: skip


def adversarial_text(pools: list[Sequence[int]], generator: random.Random) -> str:
    """One to sixteen code points, each from a random pool of a few chosen ones."""
    chosen = generator.sample(pools, generator.randint(1, 4))
    length = generator.randint(1, 16)
    return "".join(chr(generator.choice(generator.choice(chosen))) for _ in range(length))


# --- Command line -------------------------------------------------------------------------------


def main() -> int:
    """Exit status: 0, or 1 when the table differs or does not compose."""
    parser = argparse.ArgumentParser(description="generate the engine's Unicode tables")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="compare N random texts")
    arguments = parser.parse_args()

    check_version(parser)
    table = probe_table()
    if update({TABLE_PATH: render(table)}, check=arguments.check) != 0:
        return 1
    if arguments.fuzz:
        wrong = disagreements(table, arguments.fuzz)
        print(f"{arguments.fuzz} random texts, {len(wrong)} normalized differently")
        for options, example in wrong[:10]:
            print(options, ascii(example))
        return 1 if wrong else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
