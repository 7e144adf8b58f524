"""Whose vectors and scores are kept: models that say what they are, never two taken for one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecsmith import evaluate
from vecsmith.evaluation.embedding_cache import EmbeddingCache
from vecsmith.evaluation.encoding import fingerprint_of
from vecsmith.results import EvalResult


class Seeded:
    """Vectors that text and seed decide; slow enough to be worth a cache."""

    def __init__(self, seed: int, fingerprint: Any) -> None:
        self.seed = seed
        self.fingerprint = fingerprint
        self.n_texts = 0

    def encode(self, texts: Sequence[str], /) -> Any:
        self.n_texts += len(texts)
        return np.array([self._vector(text) for text in texts], dtype=np.float32)

    def _vector(self, text: str) -> Any:
        seed = int.from_bytes(text.encode()[:64] or b"0", "little")
        return np.random.default_rng([self.seed, seed % 2**63]).normal(size=8)


def figures(result: EvalResult) -> list[dict[str, float]]:
    return [dict(scores.figures) for t in result.tasks.values() for scores in t.scores.values()]


@pytest.mark.parametrize("fingerprint", [None, ""])
def test_two_models_that_say_nothing_share_neither_vectors_nor_results(
    fingerprint: str | None, small_sets: Path, tmp_path: Path
) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    found = []
    for seed in (1, 2):
        model = Seeded(seed, fingerprint)
        result = evaluate(
            model, small_sets / "pairs", out=tmp_path / "run", cache=cache, measure_speed=False
        )
        assert model.n_texts
        alone = evaluate(Seeded(seed, fingerprint), small_sets / "pairs", measure_speed=False)
        assert figures(result) == figures(alone)
        assert result.fingerprint == ""
        found.append(figures(result))
    assert found[0] != found[1]
    assert not list((tmp_path / "cache").glob("*"))


def test_a_fingerprint_is_a_str_or_nothing() -> None:
    assert fingerprint_of(Seeded(0, "abc")) == "abc"
    assert fingerprint_of(Seeded(0, None)) == fingerprint_of(object()) == ""
    for wrong, kind in ((7, "int"), (lambda: "abc", "function"), (b"abc", "bytes")):
        message = f"the fingerprint of Seeded is of type {kind}, expected a str that changes"
        with pytest.raises(TypeError, match=message):
            fingerprint_of(Seeded(0, wrong))


def test_a_method_for_a_fingerprint_is_refused_before_anything_is_run(small_sets: Path) -> None:
    model = Seeded(0, lambda: "abc")
    with pytest.raises(TypeError, match=r"is of type function, expected a str"):
        evaluate(model, small_sets / "pairs")
    assert model.n_texts == 0
