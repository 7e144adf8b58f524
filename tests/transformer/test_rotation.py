"""Rotated transformers, against numpy's own projections and sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.transformer.teachers import save_teacher
from tests.transformer.test_saving import TEXTS, peer_of, with_modules
from vecsmith.transformer.loading import load_model
from vecsmith.transformer.rotation import rotate_encoder
from vecsmith.transformer.saving import save_encoder
from vecsmith.transformer.source import find_teacher
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


@pytest.mark.parametrize("changes", [
    {"n_layers": 2}, {"pooling": "cls"}, {"pooling": "last"}, {"max_length": 5},
    {"n_layers": 1, "pooling": "balanced", "max_length": 7},
])  # fmt: skip
def test_what_the_base_was_opened_with_holds_for_the_rotated_one(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    source = find_teacher(with_modules(save_teacher(tmp_path / "bert", "bert", n_layers=3)))
    base, whole = TextEncoder(source, **changes), TextEncoder(source)
    rotate_encoder(base, MANY, tmp_path / "rotated")
    before, after = base.encode(TEXTS), peer_of(tmp_path / "rotated").encode(TEXTS)
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-5)
    assert np.abs(after @ after.T - whole.encode(TEXTS) @ whole.encode(TEXTS).T).max() > 1e-3


def test_what_is_recorded_of_the_base_is_kept_but_for_its_prefixes_and_scores(
    tmp_path: Path,
) -> None:
    source = find_teacher(save_teacher(tmp_path / "bert", "bert", n_layers=4))
    told = {"recipe": {"method": "by hand"}, "scores": [{"score": 1.0}]}
    model = load_model(source, "float32", False, False)
    save_encoder(model, source, tmp_path / "nested", dims=[4, 8], layers=[1, 2, 3], provenance=told)
    nested = find_teacher(tmp_path / "nested")
    rotate_encoder(TextEncoder(nested, n_layers=3), MANY, tmp_path / "rotated")
    config = json.loads((tmp_path / "rotated" / "config.json").read_text(encoding="utf-8"))
    assert config["vecsmith"] == {
        "recipe": {"method": "by hand"},
        "cut": {"of": "nested", "layers": "3 of 4"},
        "rotation": {"of": "nested", "to": "principal directions", "texts": len(MANY)},
        "matryoshka_dims": [16],
        "layers": [1, 2, 3],
    }


@pytest.mark.parametrize(("changes", "message"), [
    ({"dim": 8}, "opened with dim=8, expected its whole vectors"),
    ({"pooling": "pooler"}, "opened with pooling='pooler', expected mean, cls or last"),
])  # fmt: skip
def test_a_base_that_cannot_be_rotated_as_it_was_opened_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    base = TextEncoder(find_teacher(save_teacher(tmp_path / "bert", "bert")), **changes)
    with pytest.raises(ValueError, match=message):
        rotate_encoder(base, MANY, tmp_path / "rotated")
    assert not (tmp_path / "rotated").exists()
