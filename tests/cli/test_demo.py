"""The parts of the demo, each against something else; `make demo` runs the whole."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith.cli._agreement import agreement
from vecsmith.cli._reference import reference_paragraphs
from vecsmith.cli.demo import QUESTIONS
from vecsmith.reporting.pictures.teacher_comparison import (
    TeacherComparison,
    save_teacher_comparison,
)


def unit_vectors(n: int, dim: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def test_the_language_reference_is_many_paragraphs_of_english() -> None:
    paragraphs = reference_paragraphs()
    texts = [paragraph.text for paragraph in paragraphs]
    assert len(texts) > 800
    assert len(set(texts)) == len(texts)
    assert paragraphs == reference_paragraphs()
    assert any("with" in text and "context manager" in text for text in texts)
    for text in texts:
        assert "\n" not in text
        assert ">>>" not in text
        assert "::=" not in text
        assert len(text.split()) >= 8
    assert not set(QUESTIONS) & set(texts)


def test_a_model_agrees_wholly_with_itself() -> None:
    texts = unit_vectors(50, 8, 0)
    queries = unit_vectors(5, 8, 1)
    found = agreement((queries, texts), (queries, texts), own=np.full(5, -1))
    assert (found.overlap, found.first_found) == (1, 1)
    assert found.spearman == pytest.approx(1)
    assert found.chance == 10 / 50


def test_agreement_is_what_scipy_and_sets_say() -> None:
    stats = pytest.importorskip("scipy.stats")
    ours, theirs = unit_vectors(60, 8, 2), unit_vectors(60, 12, 3)
    rows = np.array([4, 9, 33])
    found = agreement((theirs[rows], theirs), (ours[rows], ours), own=rows, k=5)
    overlaps, firsts, correlations = [], [], []
    for row in rows:
        others = [other for other in range(60) if other != row]
        by_theirs = sorted(others, key=lambda other: -float(theirs[other] @ theirs[row]))
        by_ours = sorted(others, key=lambda other: -float(ours[other] @ ours[row]))
        overlaps.append(len(set(by_theirs[:5]) & set(by_ours[:5])) / 5)
        firsts.append(by_theirs[0] in by_ours[:5])
        a, b = theirs @ theirs[row], ours @ ours[row]
        a[row] = b[row] = -2
        correlations.append(stats.spearmanr(a, b).statistic)
    assert found.overlap == pytest.approx(np.mean(overlaps))
    assert found.first_found == pytest.approx(np.mean(firsts))
    assert found.spearman == pytest.approx(np.mean(correlations))


def test_the_picture_is_a_png_and_replaces_the_one_before(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "comparison.png"
    path.write_bytes(b"older")
    save_teacher_comparison(
        path,
        TeacherComparison(
            teacher="all-MiniLM-L6-v2",
            teacher_rate=120.0,
            static_rate=600_000.0,
            ratio=5000.0,
            teacher_bytes=90_000_000,
            static_bytes=30_000_000,
            agreement={"same 10 nearest": 0.4, "rank correlation": 0.6},
            conditions="600 paragraphs",
        ),
    )
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 1000
    assert height > 400
    assert [entry.name for entry in tmp_path.iterdir()] == ["comparison.png"]
