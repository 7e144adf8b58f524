"""Speed side by side: the same texts, in turns, and a slow encoder costs little."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.evaluation import speed
from vecsmith.evaluation.speed import measure_speeds
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.model import StaticModel

TEXTS = [f"text {i}" for i in range(1000)]


class Clock:
    """A clock that only encoders move: the tests do not depend on how busy the machine is."""

    seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


CLOCK = Clock()


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "time", CLOCK)


class Steady:
    """Takes a known time for each text, and notes what it was asked."""

    n_bytes = 12

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.calls: list[list[str]] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls.append(list(texts))
        CLOCK.seconds += len(texts) / self.rate
        return np.zeros((len(texts), 3), np.float32)


def test_the_rate_is_that_of_the_encoder() -> None:
    measured = measure_speeds({"slow": Steady(500), "fast": Steady(4000)}, TEXTS)
    for name, rate in (("slow", 500), ("fast", 4000)):
        found = measured[name]
        assert found.texts_per_second is not None
        assert found.texts_per_second == pytest.approx(rate)
        assert len(found.turns) == 5
        assert sorted(found.turns)[2] == found.texts_per_second
        assert (found.n_texts, found.model_bytes) == (len(TEXTS), 12)


def test_every_turn_has_new_texts_the_same_for_all() -> None:
    first, second = Steady(20_000), Steady(30_000)
    measure_speeds({"first": first, "second": second}, TEXTS, n_turns=3)
    timed = [encoder.calls[-3:] for encoder in (first, second)]
    assert timed[0] == timed[1]
    flat = [text for call in first.calls[-3:] for text in call]
    assert len(set(flat)) == len(flat)
    assert not set(flat) & {text for call in first.calls[:-3] for text in call}


def test_a_slow_encoder_reads_a_part_of_what_others_read() -> None:
    slow, fast = Steady(100), Steady(50_000)
    start = CLOCK.seconds
    measure_speeds({"slow": slow, "fast": fast}, TEXTS, n_turns=2, seconds_per_turn=0.2)
    assert CLOCK.seconds - start < 1.5
    for part, whole in zip(slow.calls[-2:], fast.calls[-2:], strict=True):
        assert part == whole[: len(part)]
        assert len(part) < len(whole)


def test_the_order_of_the_encoders_moves_on() -> None:
    order: list[str] = []

    class Named(Steady):
        def __init__(self, name: str) -> None:
            super().__init__(1e6)
            self.name = name

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            order.append(self.name)
            return super().encode(texts)

    measure_speeds({name: Named(name) for name in "ab"}, TEXTS[:40], n_turns=3)
    assert "".join(order[-6:]) == "abbaab"


def can_reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


class Large(Steady):
    """Holds 320 MB while it encodes."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        held: NDArray[Any] = np.ones(40_000_000)
        vectors = super().encode(texts)
        del held
        return vectors


@pytest.mark.skipif(not can_reset_peak(), reason="/proc/self/clear_refs cannot be written")
def test_peak_memory_is_what_encoding_takes_beside_the_weights() -> None:
    alone = measure_speeds({"large": Large(1e6)}, TEXTS[:60])["large"].peak_bytes
    held: NDArray[Any] = np.ones(60_000_000)  # results and other models, all this while in memory
    small = Steady(1e6)
    small.n_bytes = 70_000_000
    measured = measure_speeds({"small": small, "large": Large(1e6)}, TEXTS[:60])
    assert held[-1] == 1
    for found in (alone, measured["large"].peak_bytes):
        assert found is not None
        assert 0.7 * 320e6 < found < 1.5 * 320e6
    assert measured["small"].peak_bytes is not None
    assert 70e6 <= measured["small"].peak_bytes < 140e6


@pytest.mark.skipif(not can_reset_peak(), reason="/proc/self/clear_refs cannot be written")
def test_memory_of_earlier_calls_does_not_hide_what_the_next_takes() -> None:
    class Pieces(Steady):
        """About 100 MB in pieces that the C library keeps when they are freed."""

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            held = [np.ones(10_000) for _ in range(1250)]
            vectors = super().encode(texts)
            del held
            return vectors

    found = measure_speeds({"pieces": Pieces(1e6)}, TEXTS[:60])["pieces"].peak_bytes
    assert found is not None
    assert 60e6 < found < 160e6


def test_without_a_word_of_the_system_there_is_no_peak_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speed, "_reset_peak", lambda: False)
    encoder = Steady(4000)
    found = measure_speeds({"steady": encoder}, TEXTS)["steady"]
    assert found.peak_bytes is None
    assert found.texts_per_second == pytest.approx(4000)


def test_one_text_and_unknown_weights_will_do(tiny_checkpoint: Checkpoint) -> None:
    class Plain:
        def encode(self, texts: Sequence[str]) -> list[list[float]]:
            return [[1.0]] * len(texts)

    model = StaticModel(tiny_checkpoint)
    measured = measure_speeds({"plain": Plain(), "static": model}, ["one"])
    assert measured["plain"].model_bytes is None
    assert measured["static"].model_bytes == model.n_bytes
    with pytest.raises(ValueError, match="no texts to measure speed on"):
        measure_speeds({"plain": Plain()}, [])


def test_no_encoders_have_no_speeds() -> None:
    assert measure_speeds({}, ["one"]) == {}


def test_too_few_texts_tell_no_rate() -> None:
    found = measure_speeds({"fast": Steady(1e6)}, TEXTS[:40])["fast"]
    assert found.texts_per_second is None
    assert found.model_bytes == 12


def test_weights_of_a_torch_module_are_counted() -> None:
    class Module:
        def parameters(self) -> list[NDArray[np.float32]]:
            return [np.zeros((3, 4), np.float32), np.zeros(5, np.float32)]

        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.zeros((len(texts), 2), np.float32)

    assert measure_speeds({"module": Module()}, TEXTS[:9])["module"].model_bytes == 68
