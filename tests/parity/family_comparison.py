"""Families of tokenizers, trained once into files and compared by any number of processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.parity.comparison import Tally, compare_ids, compare_strings, reference_tokenizer
from tests.parity.families import FAMILIES, family_json
from vecsmith.tokenizer import Tokenizer


def train_families(
    names: Iterable[str], texts: Sequence[str], folder: Path, *, vocab_size: int
) -> tuple[str, ...]:
    """Files of the tokenizers of `names`, trained on `texts`."""
    paths = []
    for name in names:
        path = folder / f"{list(FAMILIES).index(name)}.json"
        path.write_text(family_json(name, texts, vocab_size=vocab_size), encoding="utf-8")
        paths.append(str(path))
    return tuple(paths)


def compare_families(
    paths: Iterable[str], texts: list[str], *, max_length: int | None = None
) -> dict[str, Tally]:
    """Tally of each family over `texts`: ids, and normalised strings where nothing is cut."""
    if not texts:
        return {}
    return {_name(path): _compare_family(path, texts, max_length) for path in paths}


def _compare_family(path: str, texts: list[str], max_length: int | None) -> Tally:
    reference, engine = _both(path, max_length)
    tally = compare_ids(texts, reference, engine, max_length=max_length)
    if max_length is None:
        tally.add(compare_strings(texts, reference, engine))
    return tally


@lru_cache(maxsize=512)
def _both(path: str, max_length: int | None) -> tuple[Any, Tokenizer]:
    text = Path(path).read_text(encoding="utf-8")
    # the engine takes max_length at each call, the reference keeps it
    engine = Tokenizer(text) if max_length is None else _both(path, None)[1]
    if not engine.is_native and FAMILIES[_name(path)].reason is None:
        # otherwise the reference would be compared with itself
        raise RuntimeError(
            f"{_name(path)} is not native ({engine.fallback_reason}), expected the engine's own"
        )
    return reference_tokenizer(text, max_length=max_length), engine


def _name(path: str) -> str:
    return list(FAMILIES)[int(Path(path).stem)]
