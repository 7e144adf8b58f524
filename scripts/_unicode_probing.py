"""What the generators of Unicode tables share: asking `tokenizers`, and writing C++ arrays.

Nothing here is read from a Unicode database: every answer is what an object of the library does
with a character, at the one version that the tables follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from tokenizers import normalizers

TOKENIZERS_VERSION = "0.23.3"
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


# --- Asking the library -------------------------------------------------------------------------


def check_version(parser: argparse.ArgumentParser) -> None:
    """Ends the program unless the installed library is the one that the tables follow."""
    import tokenizers

    if tokenizers.__version__ != TOKENIZERS_VERSION:
        parser.error(
            f"tokenizers is {tokenizers.__version__}, the tables follow {TOKENIZERS_VERSION}: "
            f"pip install tokenizers=={TOKENIZERS_VERSION}"
        )


def middles(
    code_points: Iterable[int], normalizer: normalizers.Normalizer, before: str = "a"
) -> Iterator[tuple[int, str]]:
    """Each code point with what it becomes between `before` and the letter b."""
    for c in code_points:
        normalized = normalizer.normalize_str(f"{before}{chr(c)}b")
        expect(normalized[0] == before and normalized[-1] == "b", c, "context", normalized)
        yield c, normalized[1:-1]


def expect(held: bool, c: int, question: str, found: object) -> None:
    """Raises when the library shows something that the table cannot express."""
    if not held:
        raise RuntimeError(f"U+{c:04X}: {question} gave {found!r}, which the table cannot express")


def jamo_of(syllable: int) -> str:
    """The jamo of a Hangul syllable, by the arithmetic of the Unicode standard, section 3.12."""
    index = syllable - HANGUL_SYLLABLES.start
    tail = index % 28
    jamo = chr(0x1100 + index // 588) + chr(0x1161 + index % 588 // 28)
    return jamo + (chr(0x11A7 + tail) if tail else "")


def check_hangul(decomposition_of: Callable[[int], str]) -> None:
    """Raises unless the standard arithmetic gives the library's decomposition of each syllable."""
    for c in HANGUL_SYLLABLES:
        found = decomposition_of(c)
        expect(found == jamo_of(c), c, "the decomposition", found)


# --- Writing C++ --------------------------------------------------------------------------------


def pooled(expansions: Iterable[str], longest: int) -> str:
    """One string that contains every expansion; the long ones go first, and hold short ones."""
    pool = ""
    for expansion in sorted(set(expansions), key=lambda text: (-len(text), text)):
        if len(expansion) > longest:
            raise RuntimeError(f"{expansion!r} is longer than {longest}, which a table entry holds")
        if expansion not in pool:
            pool += expansion
    return pool


def array(declaration: str, values: Iterable[str]) -> list[str]:
    """Lines of a C++ array, wrapped at 110 columns."""
    lines, line = [f"{declaration} = {{"], ""
    for value in values:
        if len(line) + len(value) >= 109:
            lines.append(line)
            line = ""
        line += f"{value},"
    return [*lines, line, "};", ""]


def update(tables: Mapping[Path, str], *, check: bool) -> int:
    """Writes the tables; or only compares, and gives exit status 1 where one differs."""
    for path, text in tables.items():
        if not check:
            path.write_text(text, encoding="ascii")
        elif not path.exists() or path.read_text(encoding="ascii") != text:
            print(f"{path} differs from what tokenizers {TOKENIZERS_VERSION} shows")
            return 1
    return 0
