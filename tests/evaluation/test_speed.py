"""Speed side by side: the same texts, in turns, and a slow encoder costs little."""

from __future__ import annotations

import sys
from collections.abc import Sequence
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


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_peak_memory_is_that_of_the_turn() -> None:
    class Large(Steady):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            held: NDArray[Any] = np.ones(40_000_000)
            vectors = super().encode(texts)
            del held
            return vectors

    measured = measure_speeds({"large": Large(1e6), "small": Steady(1e6)}, TEXTS[:60])
    large, small = measured["large"].peak_bytes, measured["small"].peak_bytes
    assert large is not None
    assert small is not None
    assert 0.9 * 320e6 < large - small < 1.3 * 320e6


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
