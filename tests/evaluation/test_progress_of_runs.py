"""What a user sees of a run that takes long: within a task, how many texts are encoded."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vecsmith import StaticModel, evaluate
from vecsmith.evaluation import embedding_cache
from vecsmith.evaluation.embedding_cache import EmbeddingCache


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Slow:
    """The tiny model, an eighth of a second a call."""

    fingerprint = "slow"

    def __init__(self, model: StaticModel) -> None:
        self.model = model

    def encode(self, texts: Sequence[str], /) -> Any:
        time.sleep(0.12)
        return self.model.encode(texts)


def test_a_slow_encoder_shows_how_far_it_is_in_the_one_bar(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # chunks that end soon: the bar is drawn ten times a second
    monkeypatch.setattr(embedding_cache, "_FIRST_CHUNK", 20)
    monkeypatch.setattr(embedding_cache, "_SECONDS_PER_SEGMENT", 0.004)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")

    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        evaluate(
            Slow(tiny_model),
            small_sets / "pairs",
            name="teacher",
            cache=EmbeddingCache(tmp_path),
            measure_speed=False,
            show_progress_bar=True,
        )
    drawn = re.findall(r"pairs: teacher encodes, ([\d,]+) of (\d+) texts", terminal.getvalue())
    assert len({done for done, _ in drawn}) > 2
    (total,) = {int(total) for _, total in drawn}
    assert [int(done) for done, _ in drawn] == sorted(int(done) for done, _ in drawn)
    assert 0 < total <= 80
    lines = re.split(r"[\r\n]", terminal.getvalue())
    assert max(line.count("evaluating") for line in lines) == 1
    assert not any("encoding" in line for line in lines)  # no second bar


def test_nothing_is_drawn_unasked(
    tiny_model: StaticModel, small_sets: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluate(
        Slow(tiny_model),
        small_sets / "pairs",
        cache=EmbeddingCache(tmp_path),
        measure_speed=False,
    )
    assert capfd.readouterr() == ("", "")
