from __future__ import annotations

from dataclasses import replace

from tests.reporting.conftest import ENGLISH, make_run
from vecsmith.reporting.summary import build_report
from vecsmith.results import EvalResult
from vecsmith.results.comparison import compare

Pair = tuple[EvalResult, EvalResult]
TINY = (*ENGLISH[:5], ("sim-ko", "similarity", "ko", 12))


def test_a_set_of_few_items_that_makes_the_average_unsure_is_named() -> None:
    runs = [make_run("a", 0.62, seed=1, sets=TINY), make_run("b", 0.61, seed=2, sets=TINY)]
    comparison = compare(*runs)
    (mean, _), widths = comparison.means, [row.test.high - row.test.low for row in comparison.tasks]
    assert (widths[-1] / 6) ** 2 > (mean.test.high - mean.test.low) ** 2 / 2
    (weak,) = build_report(runs).versus[0].weak_sets
    assert weak == "sim-ko has 12 pairs and makes most of the width: too few to say much."


def test_sets_of_many_items_are_not_blamed(pair: Pair) -> None:
    versus = build_report(pair).versus[0]
    assert versus.weak_sets == ()
    assert sum(versus.counts.values()) == 10
    assert versus.counts["better"] == compare(*pair).count("better")
    assert versus.are_sets


def test_a_busy_machine_is_named_beside_its_speeds(pair: Pair) -> None:
    first, second = pair
    busy = replace(first, machine={**first.machine, "cores_usable": 2, "load_average": 5.63})
    caveats = build_report([busy, second]).caveats
    assert caveats == (
        "The machine was busy in the run of A (load average 5.6 on 2 cores): speeds may be too "
        "low, by how much is not known.",
    )
    strange = replace(first, machine={"cores": "many", "load_average": None})
    assert not any("busy" in each for each in build_report([strange, second]).caveats)


def test_sets_left_out_are_listed_once_with_their_reason(pair: Pair) -> None:
    skipped = {"plain": "plain text: nothing is asked of it"}
    runs = [replace(run, settings={**run.settings, "skipped": skipped}) for run in pair]
    (left_out,) = build_report(runs).left_out
    assert (left_out.set, left_out.reason) == ("plain", skipped["plain"])
    assert left_out.letters == ("A", "B")
    broken = [replace(run, settings={"skipped": ["plain"]}) for run in pair]
    assert build_report(broken).left_out == ()


def test_a_run_against_itself_is_said_to_be_the_same(pair: Pair) -> None:
    (caveat,) = build_report([pair[0], pair[0]]).caveats
    assert "A and B are the same run at the same size" in caveat
    assert "--view 256,64" in caveat


def test_speeds_of_other_runs_cannot_be_ranked(pair: Pair) -> None:
    assert build_report(pair).is_one_run
    assert not build_report([pair[0], replace(pair[1], run="2" * 32)]).is_one_run
    assert not build_report([replace(run, run="") for run in pair]).is_one_run
