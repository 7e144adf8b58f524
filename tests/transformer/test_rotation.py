"""Rotated transformers, against numpy's own projections and sentence-transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.transformer.teachers import save_teacher
from tests.transformer.test_saving import TEXTS, peer_of, with_modules
from vecsmith.transformer.rotation import rotate_encoder
from vecsmith.transformer.text_encoder import TextEncoder

MANY = [f"{text} {i % 7} {'xyz'[i % 3] * (i % 5)}" for i, text in enumerate(TEXTS * 8)]


def opened(folder: Path) -> TextEncoder:
    return TextEncoder.from_pretrained(folder, compute_dtype="float32")


@pytest.mark.parametrize("has_dense", [False, True])
def test_rotation_keeps_cosines_and_orders_dimensions(tmp_path: Path, has_dense: bool) -> None:
    folder = save_teacher(tmp_path / "bert", "bert")
    base = opened(with_modules(folder) if has_dense else folder)
    rotated = rotate_encoder(base, MANY, tmp_path / "rotated")
    before, after = (model.encode(MANY).astype(np.float64) for model in (base, rotated))
    if has_dense:  # then vectors have unit length, in float32
        np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-5)
    unit = before / np.linalg.norm(before, axis=1, keepdims=True)
    turned = after / np.linalg.norm(after, axis=1, keepdims=True)
    np.testing.assert_allclose(turned @ turned.T, unit @ unit.T, atol=1e-5)
    # no projection to k dimensions keeps more than the sum of the k largest eigenvalues
    sizes = np.sort(np.linalg.svd(unit, compute_uv=False) ** 2)[::-1]
    np.testing.assert_allclose((turned**2).sum(axis=0), sizes, rtol=1e-3, atol=1e-4)


def test_sentence_transformers_gives_the_same_rotated_vectors(tmp_path: Path) -> None:
    base = opened(with_modules(save_teacher(tmp_path / "bert", "bert")))
    rotated = rotate_encoder(base, MANY, tmp_path / "rotated")
    np.testing.assert_allclose(
        peer_of(tmp_path / "rotated").encode(TEXTS), rotated.encode(TEXTS), atol=1e-5
    )


def test_too_few_texts_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    base = opened(save_teacher(tmp_path / "bert", "bert"))
    with pytest.raises(ValueError, match=r"3 texts, expected at least 16"):
        rotate_encoder(base, TEXTS[:3], tmp_path / "rotated")
    assert not (tmp_path / "rotated").exists()
