from __future__ import annotations

from dataclasses import replace

import pytest

from vecsmith.reporting.report import Contender, Difference, Estimate, Report, Versus
from vecsmith.reporting.wording import (
    bytes_words,
    count_words,
    half_width,
    interval,
    judgements,
    listed,
    metric_words,
    number,
    p_words,
    percent,
    points,
    rate_words,
    shortened,
    signed,
)
from vecsmith.results import View
from vecsmith.results.averages import Role
from vecsmith.results.comparison import Verdict


def plain(text: str) -> str:
    return " ".join(text.split()).replace("\N{NARROW NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (points(0.69349), "69.3"),
        (points(-0.021), "−2.1"),
        (signed(0.0231), "+2.3"),
        (signed(-0.0231), "−2.3"),
        (signed(-0.0003), "0.0"),
        (percent(0.872), "87.2 %"),
        (interval(Estimate(value=0.5, low=0.4, high=0.6)), "40.0 to 60.0"),
        (interval(Estimate(value=0.5)), ""),
        (half_width(Estimate(value=0.5, low=0.4, high=0.6)), "±10.0"),
        (p_words(0.0004), "p < 0.001"),
        (p_words(0.0044), "p = 0.004"),
        (p_words(0.034), "p = 0.03"),
        (p_words(0.71), "p = 0.7"),
        (p_words(1.0), "p = 1"),
        (number(1234567), "1 234 567"),
        (bytes_words(812), "812 B"),
        (bytes_words(7_840_000), "7.8 MB"),
        (bytes_words(1_024_000_000), "1.0 GB"),
        (bytes_words(512_000_000), "512 MB"),
        (rate_words(147_312.4), "147 000"),
        (rate_words(131.6), "132"),
        (rate_words(0.53), "0.53"),
        (metric_words("ndcg@10"), "nDCG@10"),
        (metric_words("spearman_cosine"), "Spearman"),
        (metric_words("recall_at_5"), "recall at 5"),
        (listed(["a"]), "a"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (listed([]), ""),
        (shortened("abcdefghij", 7), "abc…hij"),
        (shortened("abc", 7), "abc"),
    ],
)
def test_numbers_are_written_as_people_write_them(found: str, expected: str) -> None:
    assert plain(found) == expected


def test_numbers_and_their_units_stay_on_one_line() -> None:
    assert " " not in p_words(0.03) + percent(0.5) + number(12345)


def report_of(*rows: tuple[Role, str, Verdict], names: tuple[str, str] = ("x", "y")) -> Report:
    averages = {
        (role, name): (
            3,
            Difference(
                value=0.01 * (place + 1), low=-0.01, high=0.02, p_value=0.02, verdict=verdict
            ),
        )
        for place, (role, name, verdict) in enumerate(rows)
    }
    return Report(
        contenders=tuple(
            Contender(letter=letter, name=name, is_baseline=False, view=View(8))
            for letter, name in zip("AB", names, strict=True)
        ),
        opponents=(1,),
        versus=(Versus(letter="B", averages=averages),),
        summary=(),
        tasks=(),
    )


def test_the_headline_says_which_is_better_by_how_much_and_how_sure() -> None:
    (judgement,) = judgements(report_of(("mean", "sets", "better")))
    assert plain(judgement.headline) == (
        "A (x) is better than B (y) over the 3 sets that both ran "
        "(+1.0, 95 % interval −1.0 to +2.0, p = 0.02)."
    )
    (judgement,) = judgements(report_of(("mean", "sets", "worse")))
    assert "A (x) is worse than B (y)" in judgement.headline


def test_no_winner_is_named_where_none_was_shown() -> None:
    (judgement,) = judgements(report_of(("mean", "sets", "no difference shown")))
    assert judgement.headline.startswith("A (x) and B (y): no difference shown over")
    assert "better" not in judgement.headline


def test_groups_and_families_are_listed_by_verdict() -> None:
    (judgement,) = judgements(
        report_of(
            ("mean", "sets", "better"),
            ("group", "STS", "better"),
            ("group", "CLS", "no difference shown"),
            ("family", "pair-classification", "worse"),
        )
    )
    better, worse, nothing = judgement.details
    assert better.startswith("Better on STS (+2.0, ")
    assert worse.startswith("Worse on pair classification (+4.0, ")
    assert nothing.startswith("No difference shown on CLS (+3.0, ")


def test_a_long_name_is_shortened_in_sentences() -> None:
    (judgement,) = judgements(report_of(("mean", "sets", "better"), names=("x" * 500, "y")))
    assert len(judgement.headline) < 300


def versus_of(difference: Difference, counts: dict[Verdict, int], *weak: str) -> Report:
    report = report_of(("mean", "sets", "better"))
    versus = Versus(
        letter="B", averages={("mean", "sets"): (7, difference)}, counts=counts, weak_sets=weak
    )
    return replace(report, versus=(versus,))


OPEN = Difference(value=0.027, low=-0.01, high=0.066, p_value=0.002, verdict="no difference shown")


def test_the_headline_counts_the_sets_that_the_average_hides() -> None:
    (judgement,) = judgements(versus_of(OPEN, {"better": 4, "no difference shown": 3}))
    assert plain(judgement.headline).endswith(
        "A is better on 4 of 7 sets, worse on none, no difference shown on 3."
    )


def test_a_test_and_an_interval_that_disagree_are_said_to_do_so() -> None:
    (judgement,) = judgements(versus_of(OPEN, {}, "sim-ko has 12 pairs."))
    assert "test and interval disagree" in judgement.headline
    assert judgement.details == (
        "The test says there is a difference, the interval does not leave out zero: too few or "
        "too small sets.",
        "sim-ko has 12 pairs.",
    )
    sure = replace(OPEN, low=0.01, verdict="better")
    (judgement,) = judgements(versus_of(sure, {}))
    assert "disagree" not in judgement.headline
    assert judgement.details == ()


@pytest.mark.parametrize(
    ("n", "noun", "expected"),
    [(1, "pairs", "1 pair"), (1, "queries", "1 query"), (2, "queries", "2 queries")],
)
def test_one_of_a_thing_is_said_in_the_singular(n: int, noun: str, expected: str) -> None:
    assert count_words(n, noun) == expected
