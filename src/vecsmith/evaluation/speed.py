"""How fast encoders are, side by side in one run.

The one rule: all get the same texts in the same order, in turns, each text once; a slow one stops
early in each turn and so sees a part of them. Memory is looked at in a call that is not timed.
"""

from __future__ import annotations

import ctypes
import gc
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from vecsmith._typing import Encoder
from vecsmith.results import SpeedResult

_TURNS: Final = 5
_SECONDS_PER_TURN: Final = 1.0
# The first texts, which are not timed: threads start, and memory is taken
_WARM_SHARE: Final = 0.125
_WARM_SECONDS: Final = 0.3
# In less, the start of a call and of threads is measured, not the encoder
_SHORTEST_TURN: Final = 1e-3


def measure_speeds(
    encoders: Mapping[str, Encoder],
    texts: Sequence[str],
    *,
    n_turns: int = _TURNS,
    seconds_per_turn: float = _SECONDS_PER_TURN,
) -> dict[str, SpeedResult]:
    """Texts a second, weights and peak memory of each encoder, by name.

    In each turn every encoder gets the turn's own texts in one call, or as many of the first of
    them as take it about `seconds_per_turn`. The order of the encoders moves on with the turns.

    Peak memory is the model's own bytes, where it tells them, and how far the process's resident
    memory rose, while the model encoded some of the texts, above what it was just before: so what
    else is in memory does not count, other models included. It is None where the system does not
    tell (it is read from /proc).

    There is no rate where a turn lasts less than a millisecond: then the texts are too few.

    Args:
        encoders: What is measured, by name.
        texts: The sample, at least a few for each turn; its order is mixed, the same each time.
        n_turns: Turns of each encoder.
        seconds_per_turn: About how long a turn of a slow encoder is.

    Raises:
        ValueError: If there is no text.
    """
    if not len(texts):
        raise ValueError("no texts to measure speed on, expected at least one")
    order = np.random.default_rng(0).permutation(len(texts))
    mixed = [texts[place] for place in order]
    n_warm = max(1, int(len(mixed) * _WARM_SHARE))
    warm, timed = mixed[:n_warm], mixed[n_warm:] or mixed
    parts = [timed[turn::n_turns] or timed for turn in range(n_turns)]
    rates = {name: _warm_up(encoder, warm) for name, encoder in encoders.items()}
    peaks = {
        name: _peak(encoder, warm[: max(1, int(rates[name] * seconds_per_turn))])
        for name, encoder in encoders.items()
    }
    turns: dict[str, list[float]] = {name: [] for name in encoders}
    names = list(encoders)
    for turn, part in enumerate(parts):
        first = turn % max(1, len(names))
        for name in names[first:] + names[:first]:
            n_texts = max(1, min(len(part), int(rates[name] * seconds_per_turn)))
            turns[name].append(_time(encoders[name], part[:n_texts]))
    return {
        name: SpeedResult(
            texts_per_second=_rate(turns[name], len(parts[0])),
            n_texts=len(texts),
            turns=tuple(turns[name]),
            model_bytes=_model_bytes(encoders[name]),
            peak_bytes=peaks[name],
        )
        for name in encoders
    }


def _rate(turns: Sequence[float], n_texts: int) -> float | None:
    """Median of the turns, or None where so many texts are too few to tell."""
    rate = statistics.median(turns)
    return None if n_texts / rate < _SHORTEST_TURN else rate


def _warm_up(encoder: Encoder, texts: Sequence[str]) -> float:
    """Roughly how many texts a second `encoder` takes, once it is warm."""
    n_texts, rate = min(4, len(texts)), 0.0
    while True:
        start = time.perf_counter()
        encoder.encode(texts[:n_texts])
        seconds = max(time.perf_counter() - start, 1e-9)
        rate = n_texts / seconds
        if n_texts == len(texts) or seconds > _WARM_SECONDS:
            return rate
        n_texts = min(4 * n_texts, len(texts))


def _time(encoder: Encoder, texts: Sequence[str]) -> float:
    """Texts a second."""
    gc.collect()
    start = time.perf_counter()
    vectors = np.asarray(encoder.encode(texts))
    seconds = max(time.perf_counter() - start, 1e-9)
    del vectors
    return len(texts) / seconds


def _peak(encoder: Encoder, texts: Sequence[str]) -> int | None:
    """Bytes of the model and of what encoding `texts` takes beside it, None if unknown."""
    gc.collect()
    _return_free_memory()
    before = _read_peak() if _reset_peak() else None
    if before is None:
        return None
    vectors = np.asarray(encoder.encode(texts))
    after = _read_peak()
    del vectors
    return None if after is None else max(0, after - before) + (_model_bytes(encoder) or 0)


def _return_free_memory() -> None:
    """Gives back what the C library keeps of earlier calls, which hides what the next takes."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> bool:
    """Brings the process's peak memory down to what it is now; whether the system could."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _read_peak() -> int | None:
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _model_bytes(encoder: Encoder) -> int | None:
    n_bytes = getattr(encoder, "n_bytes", None)
    if isinstance(n_bytes, int | np.integer):
        return int(n_bytes)
    parameters = getattr(encoder, "parameters", None)  # a torch module, as sentence-transformers'
    return sum(int(each.nbytes) for each in parameters()) if callable(parameters) else None
