#!/usr/bin/env python3
"""Writes cpp/src/normal_forms.inc and code_point_sets.inc by asking Hugging Face `tokenizers`.

The library's NFC, NFD, NFKC and NFKD follow Unicode tables of their own, older than Python's; so
every decomposition, every pair that composes and every character that a step changes is what its
normalizers show. Canonical decompositions, combining classes and lower case are in the table that
scripts/generate_unicode.py writes; here is what the normal forms need besides.

    python scripts/generate_normal_forms.py            # write the table
    python scripts/generate_normal_forms.py --check    # exit 1 if the checked-in table differs
    python scripts/generate_normal_forms.py --fuzz 200000   # also compare what it composes to
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from generate_unicode import probe_combining_classes

SOURCES = Path(__file__).resolve().parent.parent / "cpp" / "src"

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
CHANGERS = ("StripAccents", "Lowercase", "Nmt")  # steps that change one character at a time
BLOCK_SIZE = 64  # code points whose answers are the bits of one number
PAGE_SIZE = 128
LONGEST_DECOMPOSITION = 18  # U+FDFA
LEADING, VOWELS, TRAILING = range(0x1100, 0x1113), range(0x1161, 0x1176), range(0x11A8, 0x11C3)
BEFORE = "."  # composes with nothing


@dataclass(slots=True)
class Forms:
    """What the library's normal forms are made of, and which characters the other steps change."""

    canonical: dict[int, str] = field(default_factory=dict)
    compatible: dict[int, str] = field(default_factory=dict)
    classes: dict[int, int] = field(default_factory=dict)
    pairs: dict[tuple[str, str], str] = field(default_factory=dict)
    changed: dict[str, dict[int, str]] = field(default_factory=dict)

    def normalize(self, text: str, form: str) -> str:
        """`text` in a normal form, composed from the primitives."""
        decomposed = self._decomposed(text, self.compatible if "K" in form else self.canonical)
        return self._composed(decomposed) if form.endswith("C") else "".join(decomposed)

    def _decomposed(self, text: str, decompositions: dict[int, str]) -> list[str]:
        parts = "".join(decompositions.get(ord(c), c) for c in text)
        ordered: list[str] = []
        for _, run in itertools.groupby(parts, key=lambda c: self._class_of(c) == 0):
            ordered.extend(sorted(run, key=self._class_of))  # starters keep their order
        return ordered

    def _composed(self, parts: list[str]) -> str:
        out: list[str] = []
        starter, last_class = -1, 0
        for c in parts:
            class_ = self._class_of(c)
            is_next = starter == len(out) - 1
            if starter >= 0 and (is_next or last_class < class_):
                composite = self.composite(out[starter], c)
                if composite is not None:
                    out[starter] = composite
                    continue
            if class_ == 0:
                starter = len(out)
            last_class = class_
            out.append(c)
        return "".join(out)

    def composite(self, first: str, second: str) -> str | None:
        """The character that two become, or None."""
        a, b = ord(first), ord(second)
        if a in LEADING and b in VOWELS:
            index = (a - LEADING.start) * len(VOWELS) + b - VOWELS.start
            return chr(HANGUL_SYLLABLES.start + index * 28)
        if a in HANGUL_SYLLABLES and (a - HANGUL_SYLLABLES.start) % 28 == 0 and b in TRAILING:
            return chr(a + b - TRAILING.start + 1)
        return self.pairs.get((first, second))

    def members(self, step: str) -> set[int]:
        """Characters that a step may change, or that may change with what is before them.

        What lies between two characters outside this set normalizes independently of the rest.
        """
        if step in self.changed:
            return set(self.changed[step])
        found = set(self.compatible if "K" in step else self.canonical) | set(self.classes)
        if step.endswith("C"):
            found = {
                c for c in found if c in self.classes or self.normalize(chr(c), step) != chr(c)
            }
            found.update(ord(second) for _, second in self.pairs)
            found.update(VOWELS, TRAILING)
        return found

    def quiet_marks(self) -> set[int]:
        """Marks that stay as they are in the forms that compose, and that join nothing."""
        seconds = {ord(second) for _, second in self.pairs}
        return {c for c in self.classes if c not in self.compatible and c not in seconds}

    def _class_of(self, c: str) -> int:
        return self.classes.get(ord(c), 0)


# --- Asking the library -------------------------------------------------------------------------


def probe_forms(code_points: Sequence[int] = CODE_POINTS) -> Forms:
    """The primitives, measured through the library's own objects."""
    from tokenizers import normalizers

    def changes(step: str) -> dict[int, str]:
        asked = getattr(normalizers, step)()
        return {c: m for c, m in middles(code_points, asked, BEFORE) if m != chr(c)}

    forms = Forms(changes("NFD"), changes("NFKD"))
    check_hangul(forms.canonical.__getitem__)
    check_hangul(forms.compatible.__getitem__)
    forms.classes = probe_combining_classes(code_points, forms.canonical)
    forms.pairs = probe_pairs(forms.canonical, changes("NFC"))
    forms.changed = {step: changes(step) for step in CHANGERS}
    for step in ("NFC", "NFKC"):
        composed = changes(step)
        for c in code_points:
            found = forms.normalize(chr(c), step)
            expect(composed.get(c, chr(c)) == found, c, step, found)
    return forms


def probe_pairs(canonical: dict[int, str], composed: dict[int, str]) -> dict[tuple[str, str], str]:
    """Pairs that the library composes: the two halves of what its NFC leaves whole."""
    from tokenizers import normalizers

    nfc = normalizers.NFC().normalize_str
    pairs: dict[tuple[str, str], str] = {}
    for c, parts in canonical.items():
        if c in composed or c in HANGUL_SYLLABLES:
            continue
        first, second = nfc(parts[:-1]), parts[-1]
        expect(len(first) == 1 and nfc(first + second) == chr(c), c, "NFC", nfc(first + second))
        pairs[first, second] = chr(c)
    return pairs


# --- Writing the table --------------------------------------------------------------------------


def tables(forms: Forms) -> dict[Path, str]:
    """What is written, by file."""
    return {
        SOURCES / "code_point_sets.inc": render_sets(forms),
        SOURCES / "normal_forms.inc": render_forms(forms),
    }


def render_sets(forms: Forms) -> str:
    """The C++ text of the sets: which block of bits is where, and the bits of each block."""
    names = [*FORMS, *CHANGERS, "deleted by Nmt", "quiet marks"]
    sets = [forms.members(step) for step in (*FORMS, *CHANGERS)]
    sets[names.index("Lowercase")] -= set(range(0x80))  # ASCII letters need no table
    sets.append({c for c, becomes in forms.changed["Nmt"].items() if becomes == ""})
    sets.append(forms.quiet_marks())
    blocks: dict[tuple[int, ...], int] = {}
    numbers = [
        blocks.setdefault(
            tuple(sum((start + i in found) << i for i in range(BLOCK_SIZE)) for found in sets),
            len(blocks),
        )
        for start in range(0, 0x110000, BLOCK_SIZE)
    ]
    if len(blocks) > 256:
        raise RuntimeError(f"{len(blocks)} blocks: too many for a byte each")
    bits = ("{{" + ",".join(f"0x{mask:X}" for mask in block) + "}}" for block in blocks)
    return "\n".join(
        [
            *heading("code_point_sets.cpp"),
            f"static_assert(kBlockSize == {BLOCK_SIZE});",
            f"static_assert(kSetCount == {len(sets)});",
            "",
            "// Numbers of blocks, from U+0000 on, and how many blocks in a row have that number.",
            *array("constexpr BlockRun kBlockRuns[]", runs_of(numbers)),
            f"// One bit for each code point of a block: {', '.join(names)}.",
            *array("constexpr Block kBlocks[]", bits),
        ]
    )


def render_forms(forms: Forms) -> str:
    """The C++ text of the decompositions and compositions."""
    return "\n".join(
        [
            *heading("normal_forms.cpp"),
            f"static_assert(kPageSize == {PAGE_SIZE});",
            "",
            *compatible_text(forms),
            *pairs_text(forms),
        ]
    )


def heading(source: str) -> list[str]:
    """What each table says of itself."""
    return [
        "// Generated by scripts/generate_normal_forms.py from the behaviour of Hugging Face",
        f"// tokenizers {TOKENIZERS_VERSION}; do not edit. Included by {source} alone.",
        "",
    ]


def runs_of(numbers: Iterable[int]) -> Iterable[str]:
    """Equal numbers in a row as C++ initializers of the number and how many there are."""
    return (f"{{{number},{len(list(run))}}}" for number, run in itertools.groupby(numbers))


def compatible_text(forms: Forms) -> list[str]:
    """Compatibility decompositions that are not the canonical ones."""
    found = {c: m for c, m in forms.compatible.items() if forms.canonical.get(c) != m}
    pool = pooled(found.values(), LONGEST_DECOMPOSITION)
    records: dict[str, int] = {"{0,0}": 0}
    pages: dict[tuple[int, ...], int] = {}

    def record_number(c: int) -> int:
        if c not in found:
            return 0
        text = f"{{{pool.index(found[c])},{len(found[c])}}}"
        return records.setdefault(text, len(records))

    page_numbers = [
        pages.setdefault(tuple(map(record_number, range(start, start + PAGE_SIZE))), len(pages))
        for start in range(0, 0x110000, PAGE_SIZE)
    ]
    if len(pages) > 256 or len(records) > 0x10000 or len(pool) > 0x10000:
        raise RuntimeError(f"{len(pages)} pages, {len(records)} records: too many for the table")
    return [
        f"// {len(found)} compatibility decompositions that are not the canonical ones.",
        "// Numbers of pages, and how many pages in a row have that number; records on each page.",
        *array("constexpr PageRun kCompatiblePageRuns[]", runs_of(page_numbers)),
        *array("constexpr std::uint16_t kCompatibleRecordOf[]", (str(r) for p in pages for r in p)),
        "// offset and size of the expansion",
        *array("constexpr Slice kCompatibleRecords[]", records),
        *array("constexpr char32_t kCompatibleExpansions[]", (f"0x{ord(c):X}" for c in pool)),
    ]


def pairs_text(forms: Forms) -> list[str]:
    """Pairs that compose, with what they become."""
    triples = sorted((ord(a), ord(b), ord(c)) for (a, b), c in forms.pairs.items())
    return [
        "// Two code points that become one; Hangul is computed.",
        *array("constexpr Pair kPairs[]", (f"{{0x{a:X},0x{b:X},0x{c:X}}}" for a, b, c in triples)),
    ]


# --- Comparing the composition with the library -------------------------------------------------


def disagreements(forms: Forms, n_texts: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts, with their forms, for which the primitives compose to something else."""
    from tokenizers import normalizers

    generator = random.Random(seed)
    pools = adversarial_pools(forms)
    asked = [(form, getattr(normalizers, form)()) for form in FORMS]
    wrong: list[tuple[str, str]] = []
    for i in range(n_texts):
        form, normalizer = asked[i % len(asked)]
        text = adversarial_text(pools, generator)
        if forms.normalize(text, form) != normalizer.normalize_str(text):
            wrong.append((form, text))
    return wrong


def adversarial_pools(forms: Forms) -> list[Sequence[int]]:
    """Sets of code points whose neighbourhoods are hard to normalize."""
    pairs = forms.pairs
    seconds = [ord(second) for _, second in pairs]
    return [
        list(forms.classes),
        [ord(first) for first, _ in pairs],
        seconds,
        [c for c in seconds if c not in forms.classes],
        [ord(composite) for composite in pairs.values()],
        [c for c in forms.canonical if c not in HANGUL_SYLLABLES],
        [c for c in forms.compatible if c not in HANGUL_SYLLABLES],
        range(0x1100, 0x1200),
        HANGUL_SYLLABLES,
        range(0x20, 0x7F),
        CODE_POINTS,
    ]


def adversarial_text(pools: Iterable[Sequence[int]], generator: random.Random) -> str:
    """One to twelve code points, each from a random pool of a few chosen ones."""
    chosen = generator.sample(list(pools), generator.randint(1, 4))
    length = generator.randint(1, 12)
    return "".join(chr(generator.choice(generator.choice(chosen))) for _ in range(length))


# --- Command line -------------------------------------------------------------------------------


def main() -> int:
    """Exit status: 0, or 1 when the table differs or does not compose."""
    parser = argparse.ArgumentParser(description="generate the tables of the normal forms")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--fuzz", type=int, default=0, metavar="N", help="compare N random texts")
    arguments = parser.parse_args()
    check_version(parser)

    forms = probe_forms()
    if update(tables(forms), check=arguments.check) != 0:
        return 1
    if arguments.fuzz:
        wrong = disagreements(forms, arguments.fuzz)
        print(f"{arguments.fuzz} random texts, {len(wrong)} normalized differently")
        for form, example in wrong[:10]:
            print(form, ascii(example))
        return 1 if wrong else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
