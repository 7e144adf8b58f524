"""Metrics of pairs and labels, against scipy, scikit-learn and hand values."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vecsmith.evaluation import metrics

scipy_stats: Any = pytest.importorskip("scipy.stats", reason="needs scipy (extra eval)")
sklearn_metrics: Any = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")

CLOSE = 1e-9
coarse = st.integers(-3, 3).map(float)  # few values: nearly all tied
fine = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))
number_pairs = st.lists(st.tuples(coarse | fine, coarse | fine), min_size=2, max_size=60)
scored_labels = st.lists(st.tuples(coarse | fine, st.booleans()), min_size=1, max_size=60)
label_pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60)


def columns(rows: list[tuple[Any, Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    first, second = zip(*rows, strict=True)
    return np.array(first), np.array(second)


@settings(deadline=None)
@given(number_pairs)
def test_spearman_is_that_of_scipy(rows: list[tuple[float, float]]) -> None:
    x, y = columns(rows)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert metrics.spearman(x, y) == 0.0
    else:
        assert metrics.spearman(x, y) == pytest.approx(
            scipy_stats.spearmanr(x, y).statistic, abs=CLOSE
        )


@settings(deadline=None)
@given(number_pairs)
def test_pearson_is_that_of_scipy(rows: list[tuple[float, float]]) -> None:
    x, y = columns(rows)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert metrics.pearson(x, y) == 0.0
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy_stats.NearConstantInputWarning)
        expected = scipy_stats.pearsonr(x, y).statistic
    assert metrics.pearson(x, y) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize("scale", [1e-160, 1e-300, 1.0, 1e160, 1e307])
def test_correlations_do_not_depend_on_the_scale(scale: float) -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 40)) / 10
    assert metrics.pearson(x * scale, y) == pytest.approx(metrics.pearson(x, y), abs=CLOSE)
    assert metrics.spearman(x * scale, y) == pytest.approx(metrics.spearman(x, y), abs=CLOSE)


def test_a_constant_whose_mean_is_rounded_correlates_with_nothing() -> None:
    x = np.full(3, 0.1)
    assert x.mean() != 0.1  # the trap
    assert metrics.pearson(x, [1, 2, 4]) == 0.0


def test_correlation_with_itself_is_one_and_with_its_negative_minus_one() -> None:
    x = np.random.default_rng(2).standard_normal(1000)
    for correlation in (metrics.spearman, metrics.pearson):
        assert correlation(x, x) == pytest.approx(1, abs=1e-12)
        assert correlation(x, -x) == pytest.approx(-1, abs=1e-12)
        assert correlation(x, x) <= 1
        assert correlation(x, -x) >= -1


def test_one_item_has_no_correlation() -> None:
    assert metrics.spearman([3.0], [4.0]) == 0.0
    assert metrics.pearson([3.0], [4.0]) == 0.0


@settings(deadline=None)
@given(scored_labels)
def test_average_precision_is_that_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    similarities, labels = columns(rows)
    if labels.any():
        expected = sklearn_metrics.average_precision_score(labels, similarities)
        assert metrics.average_precision(similarities, labels) == pytest.approx(expected, abs=CLOSE)
    else:
        assert metrics.average_precision(similarities, labels) == 0.0


def test_average_precision_of_ties_is_the_share_of_positives() -> None:
    assert metrics.average_precision(np.ones(8), [1, 0, 0, 0, 1, 0, 0, 0]) == 0.25


@settings(deadline=None)
@given(scored_labels)
def test_no_threshold_agrees_with_more_labels_and_no_smaller_one_with_as_many(
    rows: list[tuple[float, bool]],
) -> None:
    similarities, labels = columns(rows)
    threshold = metrics.best_threshold(similarities, labels)
    below = np.append(-np.inf, np.unique(similarities))
    agreed = [((similarities > cut) == labels).mean() for cut in below]  # every way to cut
    reached = ((similarities >= threshold) == labels).mean()
    assert reached == max(agreed)
    smaller = [share for cut, share in zip(below, agreed, strict=True) if cut < threshold]
    # The largest cut below the threshold makes the same division; every one before it a worse one.
    assert all(share < reached for share in smaller[:-1])


@pytest.mark.parametrize(
    ("similarities", "labels", "threshold"),
    [
        ([0.1, 0.2, 0.6, 0.8], [0, 0, 1, 1], 0.4),
        ([0.1, 0.2, 0.6, 0.8], [1, 1, 1, 1], 0.1),
        ([0.1, 0.2, 0.6, 0.8], [0, 0, 0, 0], np.nextafter(0.8, 1)),
        ([0.5, 0.5], [0, 1], 0.5),
        ([0.5, np.nextafter(0.5, 1)], [0, 1], np.nextafter(0.5, 1)),
    ],
)
def test_the_threshold_lies_midway_or_at_the_end(
    similarities: list[float], labels: list[int], threshold: float
) -> None:
    assert metrics.best_threshold(similarities, labels) == pytest.approx(threshold, abs=1e-16)


@settings(deadline=None)
@given(label_pairs)
def test_scores_of_labels_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    predicted, gold = columns(rows)
    macro = sklearn_metrics.f1_score(gold, predicted, average="macro", zero_division=0)
    weighted = sklearn_metrics.f1_score(gold, predicted, average="weighted", zero_division=0)
    assert metrics.accuracy(predicted, gold) == sklearn_metrics.accuracy_score(gold, predicted)
    assert metrics.macro_f1(predicted, gold) == pytest.approx(macro, abs=CLOSE)
    assert metrics.bitext_f1(predicted, gold).mean() == pytest.approx(weighted, abs=CLOSE)


@settings(deadline=None)
@given(label_pairs)
def test_v_measure_is_that_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    gold, clusters = columns(rows)
    expected = sklearn_metrics.v_measure_score(gold, clusters)
    assert metrics.v_measure(gold, clusters) == pytest.approx(expected, abs=CLOSE)


@settings(deadline=None)
@given(label_pairs)
def test_binary_f1_is_that_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    predicted, gold = (column > 2 for column in columns(rows))
    expected = sklearn_metrics.f1_score(gold, predicted, zero_division=0)
    assert metrics.binary_f1(predicted, gold) == pytest.approx(expected, abs=CLOSE)


def test_labels_may_be_strings_of_any_length_and_clusters_have_any_names() -> None:
    gold = ["money", "travel", "", "돈" * 5000, "money"]
    assert metrics.accuracy(gold, list(gold)) == 1
    assert metrics.macro_f1(np.array(gold), gold) == 1
    assert metrics.v_measure(gold, [7, -3, 2, 0, 7]) == 1.0
    assert metrics.v_measure(gold, ["all"] * 5) == 0.0


def test_a_target_taken_by_all_sentences_is_worth_little() -> None:
    # Sentence 0 is right, but its target is named three times: precision 1/3, recall 1, F1 1/2.
    np.testing.assert_allclose(metrics.bitext_f1([0, 0, 0], [0, 1, 2]), [0.5, 0, 0])
    np.testing.assert_allclose(metrics.bitext_f1([-1, 1, 2], [0, 1, 2]), [0, 1, 1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_pair_similarities_are_those_of_scipy_distances(dtype: type) -> None:
    from scipy.spatial import distance

    a, b = np.random.default_rng(3).integers(-90, 90, (2, 50, 33)).astype(dtype)
    pairs = list(zip(a.astype(float), b.astype(float), strict=True))
    expected = {
        "cosine": [1 - distance.cosine(x, y) for x, y in pairs],
        "dot": [float(x @ y) for x, y in pairs],
        "euclidean": [-distance.euclidean(x, y) for x, y in pairs],
        "manhattan": [-distance.cityblock(x, y) for x, y in pairs],
    }
    for kind in ("cosine", "dot", "euclidean", "manhattan"):
        found = metrics.pair_similarities(a, b, kind)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected[kind], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_pairs_are_exactly_equal_wherever_they_lie(dtype: type) -> None:
    rng = np.random.default_rng(4)
    vectors: NDArray[Any] = (
        rng.standard_normal((997, 129)) * 10.0 ** rng.integers(-9, 9, (997, 1))
    ).astype(dtype)
    assert (metrics.pair_similarities(vectors, vectors) == 1.0).all()
    other = vectors[::-1]
    forth, back = (
        metrics.pair_similarities(vectors, other),
        metrics.pair_similarities(other, vectors),
    )
    np.testing.assert_array_equal(forth, back)
    np.testing.assert_array_equal(forth, back[::-1])  # row i of one is row N - 1 - i of the other


def test_blocks_do_not_change_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = np.random.default_rng(5).standard_normal((2, 100, 8))
    whole = metrics.pair_similarities(a, b)
    monkeypatch.setattr(metrics, "_BLOCK", 56)
    np.testing.assert_array_equal(metrics.pair_similarities(a, b), whole)


def test_a_zero_vector_has_cosine_zero() -> None:
    a = np.array([[0, 0], [0, 0], [1, 0]], np.float32)
    b = np.array([[0, 0], [1, 0], [0, 0]], np.float32)
    np.testing.assert_array_equal(metrics.pair_similarities(a, b), [0, 0, 0])
    assert metrics.pair_similarities(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)


def test_the_smallest_and_largest_float32_vectors_have_a_cosine() -> None:
    for length in (1e-45, 1e-38, 1e38):
        a = np.full((1, 300), length, np.float32)
        assert metrics.pair_similarities(a, a)[0] == 1.0


def test_what_does_not_fit_is_refused_with_what_was_found() -> None:
    with pytest.raises(ValueError, match=r"hold nan at place 1.*expected finite"):
        metrics.spearman([0.0, np.nan], [1, 2])
    with pytest.raises(ValueError, match="hold inf at place 0"):
        metrics.average_precision([np.inf, 1], [True, False])
    with pytest.raises(ValueError, match="2 values are compared with 3"):
        metrics.pearson([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="1 values are compared with 2"):
        metrics.accuracy(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="no labels"):
        metrics.macro_f1([], [])
    with pytest.raises(ValueError, match=r"shape \[0\], expected \[N\]"):
        metrics.spearman([], [])
    with pytest.raises(ValueError, match=r"\[2, 3\] and \[3, 2\]"):
        metrics.pair_similarities(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="kind is 'cos'"):
        metrics.pair_similarities(np.zeros((1, 1)), np.zeros((1, 1)), "cos")  # type: ignore[arg-type]


def overlap(first: str, second: str) -> float:
    """Share of words in common: heavily tied, as real similarities seldom are."""
    a, b = set(first.lower().split()), set(second.lower().split())
    return len(a & b) / len(a | b) if a | b else 0.0


STS = "stsb korsts sts12 sts13 sts14 sts15 jsts stsb_multi".split()


@pytest.mark.parametrize("name", STS)
def test_correlations_on_real_sets_are_those_of_scipy(shared_data: Path, name: str) -> None:
    first, second, scores = read(shared_data, f"{name}/data", "sentence1", "sentence2", "score")
    similarities = list(map(overlap, first, second))
    expected = scipy_stats.spearmanr(similarities, scores).statistic
    assert metrics.spearman(similarities, scores) == pytest.approx(expected, abs=CLOSE)
    expected = scipy_stats.pearsonr(similarities, scores).statistic
    assert metrics.pearson(similarities, scores) == pytest.approx(expected, abs=CLOSE)


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("mrpc/data", "sentence1 sentence2 label"),
        ("pawsx/data", "sentence1 sentence2 label"),
        *((f"{name}/nli", "premise hypothesis label") for name in ("rte", "jnli", "klue_nli")),
        *((f"{name}/nli", "premise hypothesis label") for name in ("kornli_xnli", "xnli")),
    ],
)
def test_average_precision_on_real_sets_is_that_of_scikit_learn(
    shared_data: Path, file: str, fields: str
) -> None:
    first, second, named = read(shared_data, file, *fields.split())
    labels = [str(label) in ("1", "entailment") for label in named]
    similarities = list(map(overlap, first, second))
    expected = sklearn_metrics.average_precision_score(labels, similarities)
    assert metrics.average_precision(similarities, labels) == pytest.approx(expected, abs=CLOSE)


CLASSIFICATION = (
    "ag_news banking77 cr hwu64 movie_reviews mpqa nsmc snips sst2 sst5 subj tweet_emoji "
    "tweet_irony tweet_offensive"
).split()


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_scores_of_labels_on_real_sets_are_those_of_scikit_learn(
    shared_data: Path, name: str
) -> None:
    texts, gold = (column[::7] for column in read(shared_data, f"{name}/data", "text", "label"))
    # Each text is given the label of one that begins and ends much as it does.
    order = sorted(range(len(texts)), key=lambda place: (texts[place][:4], texts[place][-3:]))
    predicted = list(gold)
    for place, neighbor in itertools.pairwise(order):
        predicted[place] = gold[neighbor]
    expected = sklearn_metrics.accuracy_score(gold, predicted)
    assert 0 < metrics.accuracy(predicted, gold) == expected < 1
    expected = sklearn_metrics.f1_score(gold, predicted, average="macro", zero_division=0)
    assert metrics.macro_f1(predicted, gold) == pytest.approx(expected, abs=CLOSE)
    expected = sklearn_metrics.v_measure_score(gold, predicted)
    assert metrics.v_measure(gold, predicted) == pytest.approx(expected, abs=CLOSE)
    expected = sklearn_metrics.f1_score(gold, predicted, average="weighted", zero_division=0)
    assert metrics.bitext_f1(predicted, gold).mean() == pytest.approx(expected, abs=CLOSE)


def read(shared_data: Path, file: str, *fields: str) -> list[list[Any]]:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (extra data)")
    table = parquet.read_table(shared_data / f"{file}.parquet", columns=list(fields))
    return [table[field].to_pylist() for field in fields]
