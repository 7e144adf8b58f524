"""What the verbs print: results on stdout, everything else on stderr.

The one rule: with `--json` stdout carries one JSON object and nothing else; with `--quiet`
nothing is printed but errors (and that object).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def one_line(message: str) -> str:
    """`message` on a single line, without control characters (it may quote untrusted text)."""
    words = " ".join(message.split())
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words
    )


def note(message: str, *, quiet: bool) -> None:
    """Prints a line for people on stderr."""
    if not quiet:
        print(one_line(message), file=sys.stderr)


def print_json(result: Mapping[str, Any]) -> None:
    """Prints `result` as one JSON object on stdout."""
    json.dump(result, sys.stdout, indent=2, ensure_ascii=True)
    sys.stdout.write("\n")


def console(*, stderr: bool = False) -> Console:
    """A rich console that leaves text as it is: no markup, no emoji, no highlighting."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)


def count(number: int) -> str:
    """`number` with thin spaces between thousands, as in 12 345."""
    return f"{number:,}".replace(",", " ")


def counted(number: int, noun: str) -> str:
    """`number` and what is counted, as in 1 text and 2 texts."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def size(n_bytes: int) -> str:
    """`n_bytes` for people: 812 B, 7.8 MB (decimal units)."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    value = float(n_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"
