"""The recipe of MRL's shape: its cuts and figures, and that the guide says what the record says."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed (extra train)")
pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra eval)")

from recipes._matryoshka_models import LINEAR, Outcomes, cuts, from_plain, plain
from recipes.matryoshka_shape import GUIDE, RECORD, digit_rows, digits, measured, table, with_tables


def test_cuts_are_turns_of_the_representation_and_pca_keeps_the_most_of_it() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(200, 6)) * [1, 5, 0.1, 2, 3, 1]).astype(np.float32)
    made = cuts(rows, rows[:50], seed=1)
    lengths = ((rows - rows.mean(axis=0)) ** 2).sum(axis=1)
    kept = {}
    for name, (train, test) in made.items():
        ours = (train**2).sum(axis=1)
        np.testing.assert_allclose(ours / ours[0], lengths / lengths[0], rtol=1e-4)
        np.testing.assert_allclose(test, train[:50], atol=1e-5)
        kept[name] = float((train[:, :2] ** 2).sum())
    decomposition = pytest.importorskip("sklearn.decomposition").PCA(2).fit(rows)
    share = kept["PCA"] / float((made["PCA"][0] ** 2).sum())
    assert share == pytest.approx(decomposition.explained_variance_ratio_.sum(), rel=1e-4)
    assert kept["PCA"] == max(kept.values())


def test_outcomes_are_kept_as_arrays_and_found_again() -> None:
    right = np.array([True, False])
    assert (from_plain(plain({"MRL": {(LINEAR, 8): right}}))["MRL"][LINEAR, 8] == right).all()


def test_an_interval_over_seeds_and_rows_is_wider_than_over_rows_alone() -> None:
    rng = np.random.default_rng(0)
    material = digits("dev")

    def outcomes(share: float) -> dict[str, Outcomes]:
        right: Outcomes = {
            (measure, dim): rng.random(250) < share
            for measure in ("linear", "1-NN")
            for dim in material.dims
        }
        return {"MRL": right, "separate models": right}

    alike = measured(material, [outcomes(0.7)] * 5)
    apart = measured(material, [outcomes(share) for share in (0.5, 0.6, 0.7, 0.8, 0.9)])
    value, low, high = alike["accuracy"]["linear"]["MRL"]["8"]
    # of 250 rows of one kind, 1.96 standard errors
    assert (high - low) / 2 == pytest.approx(1.96 * (value * (1 - value) / 250) ** 0.5, rel=0.15)
    _, wider_low, wider_high = apart["accuracy"]["linear"]["MRL"]["8"]
    assert wider_high - wider_low > 1.5 * (high - low)
    # paired: the same outcomes never differ
    assert apart["less_separate"]["linear"]["MRL"]["8"] == [0, 0, 0]


def test_no_test_row_is_trained_on_or_tested_on_dev() -> None:
    train, test = digit_rows(1797, "test")
    inner, dev = digit_rows(1797, "dev")
    assert sorted([*train, *test]) == list(range(1797))
    assert sorted([*inner, *dev]) == sorted(train)


def test_the_guides_tables_are_those_of_the_record() -> None:
    if not RECORD.is_file():
        pytest.skip("no record has been made")
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    guide = GUIDE.read_text(encoding="utf-8")
    assert with_tables(guide, record) == guide
    for name, found in record["sets"].items():
        assert table(name, found) in guide


def test_the_record_shows_the_papers_shape() -> None:
    if not RECORD.is_file():
        pytest.skip("no record has been made")
    for found in json.loads(RECORD.read_text(encoding="utf-8"))["sets"].values():
        accuracy = found["accuracy"]["linear"]
        for dim, (_, _, high) in found["less_separate"]["linear"]["MRL"].items():
            assert int(dim) < 8 or high > -0.01
        least = min(accuracy["MRL"], key=int)
        for cut in ("PCA", "random features", "random projection"):
            assert accuracy["MRL"][least][0] - accuracy[cut][least][0] > 0.05
