"""Families of tokenizers, trained once into files and compared by any number of processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.parity.comparison import (
    Tally,
    compare,
    compare_ids,
    compare_strings,
    reference_tokenizer,
)
from tests.parity.families import FAMILIES, family_json
from tests.parity.random_tokenizers import (
    ALPHABET,
    random_tokenizer,
    random_tokenizer_texts,
)
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


def compare_random_tokenizers(
    first: int,
    count: int,
    *,
    make: Callable[[int], str] = random_tokenizer,
    alphabet: Sequence[str] = ALPHABET,
) -> tuple[Tally, Counter[str]]:
    """Tally of `count` tokenizers of random parts, and why the engine left some of them."""
    total = Tally()
    reasons: Counter[str] = Counter()
    for seed in range(first, first + count):
        text = make(seed)
        engine = Tokenizer(text)
        if not engine.is_native:
            reasons[str(engine.fallback_reason)] += 1
            continue
        try:
            tally = compare(random_tokenizer_texts(seed, 60, alphabet=alphabet), text, engine)
        except BaseException as error:
            # some added tokens that widen into each other make the reference panic
            if "bad split" not in str(error):
                raise
            continue
        tally.examples = [f"seed {seed}: {example}" for example in tally.examples]
        total.add(tally)
    return total, reasons


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
