"""Plans of a search: what they cost, what they refuse, and their JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecsmith.errors import FormatError
from vecsmith.retrieval.plan import RecallEstimate, SearchPlan, Stage


def test_the_shortlist_costs_what_the_matryoshka_paper_counts() -> None:
    # ImageNet-1K: 16 x 1.281 M = 20.5 MFLOPs, and 200 x 2048 = 0.41 MFLOPs to rescore
    plan = SearchPlan.single_shot(16, 2048, shortlist=200)
    cost = plan.cost(1_281_167)
    assert [stage.multiply_adds for stage in cost.stages] == [16 * 1_281_167, 200 * 2048]
    assert cost.multiply_adds == 20_498_672 + 409_600
    # the paper's 128x leaves the rescoring out; with it 125x are left
    assert SearchPlan.exact(2048).cost(1_281_167).multiply_adds / cost.multiply_adds == (
        pytest.approx(125.5, abs=0.1)
    )


def test_the_papers_funnel_rescores_every_shortlist_with_the_next_prefix() -> None:
    plan = SearchPlan.funnel([16, 32, 64, 128, 256, 2048], [200, 100, 50, 25, 10, 10])
    rescored = [stage.multiply_adds for stage in plan.cost(1000).stages[1:]]
    assert rescored == [200 * 32, 100 * 64, 50 * 128, 25 * 256, 10 * 2048]


@pytest.mark.parametrize(
    ("kind", "n_bytes"), [("float32", 1200), ("float16", 600), ("int8", 300), ("bits", 38)]
)
def test_a_prefix_of_300_dims_has_the_bytes_of_its_kind(kind: Any, n_bytes: int) -> None:
    assert Stage(dim=300, keep=1, kind=kind).row_bytes == n_bytes


def test_no_stage_scores_more_rows_than_there_are() -> None:
    cost = SearchPlan.single_shot(8, 64, shortlist=500).cost(20)
    assert [stage.n_rows for stage in cost.stages] == [20, 20]


def test_rows_that_a_graph_scores_are_counted_as_given() -> None:
    graph = Stage(dim=64, keep=50, how="hnsw", effort=80)
    plan = SearchPlan(stages=(graph, Stage(dim=256, keep=10)))
    assert plan.cost(1_000_000, n_scored=900).multiply_adds == 900 * 64 + 50 * 256
    with pytest.raises(ValueError, match="give n_scored"):
        plan.cost(1_000_000)


def test_of_two_graphs_each_hands_on_its_own_rows_and_what_was_estimated_says_so() -> None:
    graph = Stage(dim=64, keep=50, how="hnsw", effort=80)
    plan = SearchPlan(stages=(graph, Stage(dim=256, keep=10)))
    cost = plan.cost(1_000_000, n_scored=1700, n_kept=100, is_estimated=True)
    assert cost.multiply_adds == 1700 * 64 + 100 * 256
    assert [stage.is_estimated for stage in cost.stages] == [True, False]
    assert cost.is_estimated
    assert not SearchPlan.exact(64).cost(100).is_estimated


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": 0, "keep": 1}, "dim is 0, expected a whole number from 1"),
        ({"dim": 8, "keep": True}, "keep is True"),
        ({"dim": 8, "keep": 1, "kind": "int4"}, "kind 'int4', expected one of"),
        ({"dim": 8, "keep": 1, "how": "lsh"}, "how 'lsh', expected one of"),
        ({"dim": 8, "keep": 1, "how": "ivf"}, "effort of ivf is None"),
        ({"dim": 8, "keep": 1, "effort": 4}, "effort 4 of an exact stage"),
    ],
)
def test_a_stage_that_makes_no_sense_is_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stage(**fields)


@pytest.mark.parametrize(
    ("dims", "keeps", "message"),
    [
        ([], [], "0 stages, expected from 1 to 16"),
        ([8, 16], [10], "2 dims and 1 keeps"),
        ([8, 16], [10, 20], "keeps 20 of 10 rows"),
        ([16, 8], [20, 10], "last stage has 8 dims, expected 16"),
    ],
)
def test_stages_that_cannot_follow_each_other_are_refused(
    dims: list[int], keeps: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SearchPlan.funnel(dims, keeps)


def test_only_the_first_stage_may_be_approximate() -> None:
    with pytest.raises(ValueError, match="expected only the first one"):
        SearchPlan(stages=(Stage(dim=8, keep=20), Stage(dim=8, keep=10, how="hnsw", effort=20)))


_STAGES = st.lists(
    st.tuples(
        st.integers(1, 4096), st.integers(1, 10**6),
        st.sampled_from(["float32", "float16", "int8", "bits"]),
    ), min_size=1, max_size=5,
)  # fmt: skip


@given(_STAGES, st.booleans())
def test_a_plan_comes_back_from_its_json(drawn: list[Any], is_graph: bool) -> None:
    dims = sorted(dim for dim, _, _ in drawn)
    keeps = sorted((keep for _, keep, _ in drawn), reverse=True)
    first: dict[str, Any] = {"how": "hnsw", "effort": 9} if is_graph else {}
    stages = tuple(
        Stage(dim=dim, keep=keep, kind=kind, **(first if i == 0 else {}))
        for i, (dim, keep, (_, _, kind)) in enumerate(zip(dims, keeps, drawn, strict=True))
    )
    recall = RecallEstimate(achieved=0.99, low=0.98, high=0.995, n_queries=200, asked=0.99)
    for plan in (SearchPlan(stages=stages), SearchPlan(stages=stages, recall=recall)):
        assert SearchPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


_GOOD = SearchPlan.single_shot(8, 32, shortlist=40).to_json()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (None, "index.json: None, expected an object"),
        ({}, "no field 'stages'"),
        ({**_GOOD, "stages": 3}, "stages is 3, expected an array"),
        ({**_GOOD, "stages": []}, "0 stages"),
        ({**_GOOD, "stages": _GOOD["stages"] * 100}, "17 stages"),
        ({**_GOOD, "stages": [{"dim": 8}]}, r"stages\[0\]: no field 'keep'"),
        ({**_GOOD, "stages": [{**_GOOD["stages"][0], "kind": ["int8"]}]}, "expected a string"),
        ({**_GOOD, "stages": [{**_GOOD["stages"][0], "dim": 1.5}]}, "dim is 1.5"),
        ({**_GOOD, "stages": [{**_GOOD["stages"][0], "keep": 10**400}]}, "keep is 1000.*to 28147"),
        ({**_GOOD, "stages": [{**_GOOD["stages"][0], "how": "hnsw", "effort": 2**48 + 1}]},
         "effort of hnsw is 281474976710657"),
        ({**_GOOD, "recall": {"achieved": 1}}, "recall: no field 'low'"),
        ({**_GOOD, "recall": dict.fromkeys(
            ("achieved", "low", "high", "n_queries", "asked"), math.nan)}, "recall nan"),
        ({**_GOOD, "recall": {**dict.fromkeys(("achieved", "low", "high", "asked"), 1),
                              "n_queries": 10**400}}, "n_queries is 1000"),
    ],
)  # fmt: skip
def test_broken_json_of_a_plan_is_refused_by_name(broken: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        SearchPlan.from_json(broken, source="index.json")


def test_a_plan_prints_its_stages_in_order() -> None:
    plan = SearchPlan.single_shot(64, 256, shortlist=100, kind="int8")
    assert str(plan) == "64 int8 keep 100 -> 256 float32 keep 10"
