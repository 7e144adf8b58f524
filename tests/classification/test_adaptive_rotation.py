"""Learnt coordinates: the objective against torch, and what it is for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from vecsmith.classification import learnt_rotation
from vecsmith.classification.adaptive import AdaptiveClassifier
from vecsmith.classification.fitting import fit_heads
from vecsmith.classification.learnt_rotation import learn_rotation
from vecsmith.classification.rotation import discriminant_rotation

X, Y = load_digits(return_X_y=True)
TRAIN_X, TEST_X, TRAIN_Y, TEST_Y = train_test_split(X, Y, random_state=0, stratify=Y)
DIMS = (2, 4, 64)


def began(x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
    """The problem of a small set, and numbers some way from where it begins."""
    start = discriminant_rotation(x, y, weights, x.shape[1], single=y.ndim == 1)
    problems: list[Any] = []
    original = learnt_rotation._descend

    def keep(problem: Any, begun: Any, held: Any, steps: int) -> Any:
        problems.append((problem, begun + 0.1 * np.random.default_rng(0).normal(size=len(begun))))
        return original(problem, begun, held, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learnt_rotation, "_descend", keep)
        learn_rotation(start, x, y, weights, (2, 3))
    problem, flat = problems[0]
    return problem, flat


@pytest.mark.parametrize("kind", ["three classes", "two classes", "several labels"])
def test_value_and_gradient_are_those_of_torch(kind: str) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 5))
    y: Any = rng.integers(0, 3 if kind == "three classes" else 2, 40)
    if kind == "several labels":
        y = np.stack([y, 1 - y, rng.integers(0, 2, 40)], axis=1)
    weights = rng.random(40) + 0.5
    problem, flat = began(x, y, weights)
    value, gradient = problem(flat)

    z = torch.tensor(problem.rows.values, dtype=torch.float64)
    leaves = [
        torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in problem.parts(flat)
    ]
    change, *heads, biases = leaves
    share = torch.tensor(weights / weights.sum())
    total = 0.005 * ((change - torch.eye(5, 3)) ** 2).sum()
    for m, (dim, head) in enumerate(zip((2, 3), heads, strict=True)):
        scores = (z @ change)[:, :dim] @ head.T + biases[m]
        if kind == "three classes":
            losses = torch.nn.functional.cross_entropy(
                scores, torch.tensor(y, dtype=torch.long), reduction="none"
            )
        else:
            there = torch.tensor(y if y.ndim == 2 else y[:, None], dtype=torch.float64)
            losses = torch.nn.functional.binary_cross_entropy_with_logits(
                scores, there, reduction="none"
            ).sum(1)
        total = total + share @ losses + 0.003 * (head**2).sum()
    total.backward()
    expected = np.concatenate([leaf.grad.numpy().ravel() for leaf in leaves])
    assert value == pytest.approx(float(total.detach()), rel=1e-5)
    np.testing.assert_allclose(gradient, expected, atol=2e-5)


def accuracy(rotation: Any, dim: int) -> float:
    """Of a head on so many coordinates of test digits."""
    rows, others = (rotation.coordinates(x, 0, dim) for x in (TRAIN_X, TEST_X))
    heads = fit_heads(rows, TRAIN_Y, dims=[dim], strength=100.0, scaling="none")
    return float((heads.predict(others, dim) == TEST_Y).mean())


def test_short_prefixes_classify_better_than_discriminants() -> None:
    weights = np.ones(len(TRAIN_X))
    start = discriminant_rotation(TRAIN_X, TRAIN_Y, weights, 64, single=True)
    learnt, n_steps = learn_rotation(start, TRAIN_X, TRAIN_Y, weights, DIMS)
    assert n_steps > 10
    for dim, gain in ((2, 0.05), (4, 0.02)):
        assert accuracy(learnt, dim) > accuracy(start, dim) + gain
    # what is not learnt stays, and the change can be undone
    assert (learnt.matrix[:, 4:] == start.matrix[:, 4:]).all()
    assert np.linalg.matrix_rank(learnt.matrix) == np.linalg.matrix_rank(start.matrix)


def test_where_other_rows_gain_nothing_nothing_is_changed() -> None:
    rng = np.random.default_rng(0)
    noise, labels = rng.normal(size=(60, 40)), rng.integers(0, 3, 60)
    others = rng.normal(size=(500, 40)), rng.integers(0, 3, 500), np.ones(500)
    start = discriminant_rotation(noise, labels, np.ones(60), 40, single=True)
    learnt, n_steps = learn_rotation(start, noise, labels, np.ones(60), (2, 40), held=others)
    assert n_steps <= 10
    free, _ = learn_rotation(start, noise, labels, np.ones(60), (2, 40))
    moved = [np.abs(one.matrix - start.matrix).max() for one in (learnt, free)]
    assert moved[0] < moved[1]


def test_held_out_rows_may_lack_a_class() -> None:
    start = discriminant_rotation(TRAIN_X, TRAIN_Y, np.ones(len(TRAIN_X)), 64, single=True)
    some = TEST_Y > 2
    held = TEST_X[some], TEST_Y[some], np.ones(int(some.sum()))
    _, n_steps = learn_rotation(
        start, TRAIN_X, TRAIN_Y, np.ones(len(TRAIN_X)), DIMS, held=held, n_steps=40
    )
    assert n_steps > 5


def test_of_very_many_rows_some_are_drawn_and_a_rare_class_keeps_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a class of one row in the middle of the codes, which a draw of 400 of 1300 rows misses
    monkeypatch.setattr(learnt_rotation, "_MAX_ROWS", 400)
    labels = np.where(TRAIN_Y > 4, TRAIN_Y + 1, TRAIN_Y)
    order = np.random.default_rng(0).permutation(len(labels))
    labels[order[-1]] = 5
    drawn = learnt_rotation._drawn(labels)
    assert len(drawn) == 401
    assert np.array_equal(np.unique(labels[drawn]), np.arange(11))
    assert (np.diff(drawn) > 0).all()
    start = discriminant_rotation(TRAIN_X, labels, np.ones(len(labels)), 64, single=True)
    held = TEST_X, np.where(TEST_Y > 4, TEST_Y + 1, TEST_Y), np.ones(len(TEST_Y))
    learnt, n_steps = learn_rotation(
        start, TRAIN_X, labels, np.ones(len(labels)), (2, 64), held=held, n_steps=40
    )
    # held-out labels of the later classes are judged as what they are: learning helps them
    assert n_steps >= 10
    sure = [
        fit_heads(r.coordinates(TRAIN_X, 0, 2), labels, dims=[2], strength=100.0, scaling="none")
        .predict(r.coordinates(TEST_X, 0, 2), 2)
        for r in (start, learnt)
    ]  # fmt: skip
    assert (sure[1] == held[1]).mean() > (sure[0] == held[1]).mean()


def test_prefixes_as_long_as_the_embeddings_leave_nothing_to_learn() -> None:
    start = discriminant_rotation(TRAIN_X, TRAIN_Y, np.ones(len(TRAIN_X)), 64, single=True)
    learnt, n_steps = learn_rotation(start, TRAIN_X, TRAIN_Y, np.ones(len(TRAIN_X)), (64,))
    assert learnt is start
    assert n_steps == 0


def test_the_classifier_needs_fewer_dimensions_with_it() -> None:
    dims = {
        rotation: AdaptiveClassifier(dims=[2, 4, 64], C=100.0, rotation=rotation)
        .fit(TRAIN_X, TRAIN_Y)
        .expected_total_dims_
        for rotation in ("learnt", "discriminant", "none")
    }
    assert dims["learnt"] < dims["discriminant"] < dims["none"]
