"""Plans learnt from held-out queries: cheap, and true on queries that had no say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval import costs
from vecsmith.retrieval.plan import SearchPlan, Stage
from vecsmith.retrieval.planning import Places, choose_plan, even_halvings, recall_estimate


@dataclass
class NumpySearcher:
    """Stages by sorting every score in float64, each score computed once."""

    vectors: FloatArray
    similarity: str = "cosine"

    def __post_init__(self) -> None:
        self.known: dict[Any, NDArray[np.float64]] = {}

    def scores(self, queries: FloatArray, stage: Stage) -> NDArray[np.float64]:
        key = (queries.tobytes(), stage.dim, stage.kind)
        if key not in self.known:
            self.known[key] = self._scores(queries, stage)
        return self.known[key]

    def _scores(self, queries: FloatArray, stage: Stage) -> NDArray[np.float64]:
        left, right = (x[:, : stage.dim].astype(np.float64) for x in (queries, self.vectors))
        if stage.kind == "bits":
            left, right = (np.where(np.signbit(x), -1.0, 1.0) for x in (left, right))
        elif stage.kind == "int8":
            left, right = (_rounded(x) for x in (left, right))
        if self.similarity == "cosine":
            left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (left, right))
        if self.similarity == "euclidean":
            squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
            return np.asarray(-squares)
        return np.asarray(left @ right.T)

    def exact_top_k(self, queries: FloatArray, k: int) -> Places:
        return self.scan(queries, Stage(dim=queries.shape[1], keep=k))

    def scan(self, queries: FloatArray, stage: Stage) -> Places:
        order = np.argsort(-self.scores(queries, stage), axis=1, kind="stable")
        return order[:, : stage.keep]

    def rescore(
        self, queries: FloatArray, places: Places, stage: Stage
    ) -> tuple[Places, FloatArray]:
        scores = np.take_along_axis(self.scores(queries, stage), places, axis=1)
        order = np.lexsort((places, -scores), axis=1)[:, : stage.keep]
        found = np.take_along_axis(scores, order, axis=1).astype(np.float32)
        return np.take_along_axis(places, order, axis=1), found


def _rounded(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = np.abs(rows).max(axis=1, keepdims=True) / 127
    rounded: NDArray[np.float64] = np.rint(rows / scale) * scale
    return rounded


def _nested(n: int, *, dim: int = 64, seed: int = 0) -> FloatArray:
    """Vectors whose first dims say most, as those of a nested model."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dim))
    rows = centres[rng.integers(0, 20, n)] + rng.normal(size=(n, dim))
    scaled: FloatArray = (rows / np.sqrt(1 + np.arange(dim))).astype(np.float32)
    return scaled


def _recall(searcher: NumpySearcher, queries: FloatArray, plan: SearchPlan) -> NDArray[np.float64]:
    truth = searcher.exact_top_k(queries, plan.k)
    first, *later = plan.stages
    places = searcher.scan(queries, first)
    for stage in later:
        places, _ = searcher.rescore(queries, places, stage)
    return np.array([np.isin(a, b).mean() for a, b in zip(truth, places, strict=True)])


# a slow machine for scans: with a few thousand rows nothing else than their bytes would count
SLOW = costs.Machine(stage=0.0, scan_kept=0.0)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_the_plan_keeps_its_word_on_queries_that_it_never_saw(similarity: str) -> None:
    searcher = NumpySearcher(_nested(1500), similarity)
    choice = choose_plan(
        searcher, _nested(400, seed=1), n_rows=1500, recall=0.95, machine=SLOW, dims=[8, 32],
        kinds=["int8"], most=500,
    )  # fmt: skip
    assert len(choice.plan.stages) > 1
    fresh = _recall(searcher, _nested(400, seed=2), choice.plan)
    assert choice.plan.recall is not None
    assert fresh.mean() >= 0.94
    assert choice.plan.recall.low <= fresh.mean() + 0.01
    assert choice.plan.recall.high >= fresh.mean() - 0.01


def test_the_plans_recall_is_that_of_running_it_on_the_other_half() -> None:
    searcher = NumpySearcher(_nested(1000))
    queries = _nested(200, seed=1)
    choice = choose_plan(searcher, queries, n_rows=1000, machine=SLOW, seed=5, most=400)
    judging = np.sort(np.random.default_rng(5).permutation(200)[100:])
    for plan in choice.frontier:
        assert plan.recall is not None
        assert plan.recall.n_queries == 100
        assert plan.recall.achieved == pytest.approx(
            _recall(searcher, queries[judging], plan).mean()
        )


def test_no_pair_of_lengths_that_was_passed_over_is_cheaper_and_good_enough() -> None:
    searcher = NumpySearcher(_nested(800, dim=32))
    queries = _nested(120, dim=32, seed=1)
    choice = choose_plan(
        searcher, queries, n_rows=800, k=5, recall=0.9, dims=[4, 16], kinds=["float32"],
        machine=SLOW, seed=3,
    )  # fmt: skip
    learning = queries[np.sort(np.random.default_rng(3).permutation(120)[:60])]
    chosen = costs.seconds(choice.plan, 800, machine=SLOW)
    for first in range(5, 200, 3):
        for second in range(5, first, 3):
            plan = SearchPlan.funnel([4, 16, 32], [first, second, 5])
            if costs.seconds(plan, 800, machine=SLOW) < chosen * 0.9:
                recalls = _recall(searcher, learning, plan)
                assert _lower_end(recalls, k=5) < 0.9, plan


def _lower_end(recalls: NDArray[np.float64], *, k: int) -> float:
    """The share p below the mean m for which m is 2.326 errors of p away: Wilson's equation."""
    mean = recalls.mean()
    n = min(len(recalls) * mean * (1 - mean) / recalls.var(ddof=1), len(recalls) * k)
    squares = 2.326**2 / n
    return float(min(np.roots([1 + squares, -2 * mean - squares, mean**2]).real))


@pytest.mark.parametrize("n", [2, 4, 10, 20, 50])
def test_few_queries_that_find_all_do_not_promise_it(n: int) -> None:
    """With 0.99 asked no plan is taken on the word of a few: others get what was asked for."""
    searcher = NumpySearcher(_nested(1500))
    fresh = _nested(150, seed=2)
    for seed in range(3):
        choice = choose_plan(
            searcher, _nested(n, seed=3 + seed), n_rows=1500, k=3, machine=SLOW, most=700,
            dims=[16], seed=seed,
        )  # fmt: skip
        assert _recall(searcher, fresh, choice.plan).mean() >= 0.985


def test_a_recall_that_is_less_than_asked_or_of_few_queries_says_so() -> None:
    recalls = np.repeat([1.0, 0.9], [90, 10])
    assert recall_estimate(recalls, asked=0.98).caution == ""
    assert "less than asked" in recall_estimate(recalls, asked=0.995).caution
    assert "few queries: give 50 or more" in recall_estimate(np.ones(24), asked=0.9).caution
    assert recall_estimate(np.ones(25), asked=0.9).caution == ""


def test_the_frontier_ends_in_exact_search_and_each_step_costs_more() -> None:
    choice = choose_plan(
        NumpySearcher(_nested(1000)), _nested(200, seed=1), n_rows=1000, machine=SLOW, most=400
    )
    assert choice.frontier[-1].stages == SearchPlan.exact(64).stages
    assert choice.plan in choice.frontier
    assert list(choice.seconds) == sorted(choice.seconds)
    asked = [plan.recall.asked for plan in choice.frontier if plan.recall]
    assert asked == sorted(asked)
    assert asked[-1] == 1.0


def test_equal_seeds_choose_equal_plans() -> None:
    choices = [
        choose_plan(NumpySearcher(_nested(500)), _nested(60, seed=1), n_rows=500, seed=7)
        for _ in range(2)
    ]
    assert choices[0] == choices[1]


def test_a_row_does_not_count_as_its_own_neighbour() -> None:
    rows = _nested(1000)
    own = np.arange(0, 1000, 5)
    choice = choose_plan(
        NumpySearcher(rows), rows[own], n_rows=1000, own=own, recall=0.95, machine=SLOW, dims=[16]
    )
    others = np.delete(rows, own, axis=0)
    assert choice.plan.recall is not None
    # of rows with the queries taken out the same plan finds about as much
    recall = _recall(NumpySearcher(others), rows[own], choice.plan).mean()
    assert choice.plan.recall.achieved == pytest.approx(recall, abs=0.03)
    assert choice.plan.recall.achieved < 1


def test_with_fewer_rows_than_neighbours_the_search_is_exact() -> None:
    choice = choose_plan(NumpySearcher(_nested(6)), _nested(20, seed=1), n_rows=6, k=10)
    assert choice.plan.stages == SearchPlan.exact(64).stages


def test_recall_of_one_is_exact_search() -> None:
    choice = choose_plan(
        NumpySearcher(_nested(500)), _nested(50, seed=1), n_rows=500, recall=1.0, machine=SLOW
    )
    assert choice.plan.recall is not None
    assert choice.plan.recall.achieved == 1.0


def test_prefixes_that_say_nothing_are_not_relied_on() -> None:
    rng = np.random.default_rng(0)
    rows, queries = (rng.normal(size=(n, 64)).astype(np.float32) for n in (2000, 200))
    rows[:, :32] *= 1e-3  # all that tells rows apart is in the second half
    queries[:, :32] *= 1e-3
    choice = choose_plan(
        NumpySearcher(rows), queries, n_rows=2000, dims=[16, 32], most=400, machine=SLOW
    )
    assert choice.plan.stages == SearchPlan.exact(64).stages


def test_the_interval_is_wilsons_where_each_query_has_one_neighbour() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    recalls = np.repeat([1.0, 0.0], [190, 10])
    estimate = recall_estimate(recalls, asked=0.9)
    # the sample's variance divides by n - 1, so 199 trials
    expected = scipy_stats.binomtest(190, 200).proportion_ci(method="wilson")
    assert estimate.low == pytest.approx(expected.low, abs=2e-4)
    assert estimate.high == pytest.approx(expected.high, abs=2e-4)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        # neighbours of a query are found or missed together: the mean over queries is 0.97
        shares = rng.binomial(10, rng.beta(9.7, 0.3, size=150)) / 10
        estimate = recall_estimate(shares, asked=0.97)
        held += estimate.low <= 0.97 <= estimate.high
    assert 0.93 <= held / 2000 <= 0.975


def test_perfect_recall_of_a_few_queries_has_a_lower_end() -> None:
    estimate = recall_estimate(np.ones(50), asked=0.99)
    assert estimate.high == 1.0
    assert estimate.low == pytest.approx(50 / (50 + 1.96**2))


def test_a_long_scan_costs_its_bytes_and_a_rescored_row_more_than_its_bytes() -> None:
    short, long = (costs.seconds(SearchPlan.exact(d), 10**6) for d in (128, 1024))
    assert long / short == pytest.approx(8, rel=0.3)
    scan = Stage(dim=1024, keep=10)
    jumps = SearchPlan(stages=(Stage(dim=16, keep=1000, kind="int8"), scan))
    added = costs.seconds(jumps, 10**6) - costs.seconds(
        SearchPlan.exact(16, k=1000, kind="int8"), 10**6
    )
    assert added > 1000 / 10**6 * costs.seconds(SearchPlan.exact(1024), 10**6)


def test_even_halvings_end_at_sixteen_or_an_odd_number() -> None:
    assert even_halvings(1024) == [1024, 512, 256, 128, 64, 32, 16]
    assert even_halvings(300) == [300, 150, 75]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queries": np.ones((1, 8), np.float32)}, "queries of shape"),
        ({"recall": 0.0}, "recall 0.0, expected above 0"),
        ({"recall": 1.2}, "recall 1.2"),
        ({"k": 0}, "k is 0 among 5 rows"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"queries": np.ones((4, 8), np.float32), "n_rows": 5, **changes}
    with pytest.raises(ValueError, match=message):
        choose_plan(NumpySearcher(np.ones((5, 8), np.float32)), given.pop("queries"), **given)
