"""Numbers and verdicts in words.

The one rule: scores are shown times 100 with one decimal, a difference always with its sign, and
nothing is called better or worse that the test does not call so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vecsmith.reporting.report import Contender, Difference, Estimate, Key, Report, Versus
from vecsmith.results.comparison import SIGNIFICANCE, Verdict

_SPACE, _MINUS = "\N{NARROW NO-BREAK SPACE}", "\N{MINUS SIGN}"
_BREAKLESS = "\N{NO-BREAK SPACE}"
_METRICS = {
    "average_precision": "average precision",
    "f1": "F1",
    "pearson_cosine": "Pearson",
    "spearman_cosine": "Spearman",
    "v_measure": "V-measure",
}
_RATIOS = {
    "sets": "mean over all sets",
    "families": "mean over families",
    "groups": "mean over named groups",
}
_MEANS = {"sets": "all sets", "families": "all families", "groups": "all groups"}
_FAMILIES = {
    "bitext": "bitext mining",
    "classification": "classification",
    "clustering": "clustering",
    "pair-classification": "pair classification",
    "retrieval": "retrieval",
    "similarity": "similarity",
    "triplets": "triplets",
}


def metric_words(metric: str) -> str:
    """A metric as people write it: "ndcg@10" is nDCG@10."""
    if metric.startswith("ndcg"):
        return "nDCG" + metric[4:]
    return _METRICS.get(metric, metric.replace("_", " "))


def row_words(key: Key) -> str:
    """A row as it is called: "all sets", "pair classification", "STS"."""
    level, name = key
    known = {"mean": _MEANS, "family": _FAMILIES}.get(level, {})
    return known.get(name, name)


def ratio_words(key: Key) -> str:
    """A row of the retention: a mean of ratios says over what it is."""
    return _RATIOS.get(key[1], key[1]) if key[0] == "mean" else row_words(key)


def points(fraction: float) -> str:
    """A score times 100: 69.3."""
    return f"{100 * fraction:.1f}".replace("-", _MINUS)


def signed(fraction: float) -> str:
    """A difference times 100, with its sign: +2.3; 0.0 has none."""
    shown = f"{100 * fraction:+.1f}"
    return shown[1:] if shown in ("+0.0", "-0.0") else shown.replace("-", _MINUS)


def percent(fraction: float) -> str:
    """A share: 87.2 %."""
    return f"{points(fraction)}{_SPACE}%"


def interval(estimate: Estimate) -> str:
    """Both ends of its interval: 68.1 to 70.4; empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{points(estimate.low)} to {points(estimate.high)}"


def half_width(estimate: Estimate) -> str:
    """Half of its interval's width: ±1.2; empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"±{100 * (estimate.high - estimate.low) / 2:.1f}"


def signed_interval(difference: Difference) -> str:
    """Both ends of its interval, with signs: +1.6 to +3.0."""
    return f"{signed(difference.low)} to {signed(difference.high)}".replace(" ", _BREAKLESS)


def p_words(p_value: float) -> str:
    """A p-value: "p < 0.001", "p = 0.03"."""
    if p_value < 0.001:
        words = "p < 0.001"
    elif p_value < 0.00995:
        words = f"p = {p_value:.3f}"
    else:
        words = f"p = {p_value:.2f}" if p_value < 0.0995 else f"p = {p_value:.1f}"
    return words.replace(" ", _BREAKLESS).replace("1.0", "1")


def number(value: int) -> str:
    """A count with narrow spaces between thousands."""
    return f"{value:,}".replace(",", _SPACE)


def bytes_words(n_bytes: float) -> str:
    """A size for people, in decimal units: 812 B, 7.8 MB."""
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if value < 99.95 and unit != "B" else f"{value:.0f} {unit}"


def rate_words(rate: float) -> str:
    """Texts a second, to three digits: 147,000 as 147 000."""
    if rate < 10:
        return f"{rate:.2g}"
    digits = len(str(int(rate)))
    return number(int(round(rate, 3 - digits))) if digits > 3 else f"{rate:.0f}"


def count_words(n: int, noun: str) -> str:
    """A count and its noun: "1 set", "7 sets"."""
    if n != 1:
        return f"{number(n)} {noun}"
    return f"1 {noun[:-3]}y" if noun.endswith("ies") else f"1 {noun.removesuffix('s')}"


def called(contender: Contender) -> str:
    """Letter and name: "A (minilm-256)"."""
    return f"{contender.letter} ({shortened(contender.name, 80)})"


def shortened(text: str, n_letters: int) -> str:
    """`text` with its middle left out where it is longer than `n_letters`."""
    if len(text) <= n_letters:
        return text
    tail = n_letters // 2
    return f"{text[: n_letters - tail - 1].rstrip()}…{text[-tail:].lstrip()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was shown of the first model against one other: a sentence, and sentences of detail."""

    headline: str
    details: tuple[str, ...]


def judgements(report: Report) -> list[Judgement]:
    """For each opponent of the first model: what was shown, and what was not, in plain words."""
    first = report.contenders[0]
    return [
        Judgement(
            headline=_headline(
                first.letter if number_before else called(first), report.contenders[place], versus
            ),
            details=tuple(_details(versus)),
        )
        for number_before, (place, versus) in enumerate(
            zip(report.opponents, report.versus, strict=True)
        )
    ]


def _headline(first: str, other: Contender, versus: Versus) -> str:
    n_sets, difference = versus.averages["mean", "sets"]
    where = f"over the {n_sets} sets that both ran" if n_sets > 1 else "on the one set both ran"
    words = f"{where} ({_numbers(difference)})"
    shown = difference.verdict != "no difference shown"
    opening = (
        f"{first} is {difference.verdict} than {called(other)} {words}."
        if shown
        else f"{first} and {called(other)}: no difference shown {words}."
    )
    return f"{opening}{_count(first.split()[0], versus)}"


def _count(letter: str, versus: Versus) -> str:
    """On how many sets which verdict was given: the average alone may hide it."""
    n_tasks = sum(versus.counts.values())
    if n_tasks < 2:
        return ""
    noun = "sets" if versus.are_sets else "tasks"
    better, worse, open_ = (
        versus.counts.get(verdict, 0) for verdict in ("better", "worse", "no difference shown")
    )
    if not better and not worse:
        return f" On none of {count_words(n_tasks, noun)} a difference is shown."
    return (
        f" {letter} is better on {_none(better)} of {count_words(n_tasks, noun)}, worse on "
        f"{_none(worse)}, no difference shown on {_none(open_)}."
    )


def _none(count: int) -> str:
    return number(count) if count else "none"


def _details(versus: Versus) -> Iterator[str]:
    """Why the average is unsure; then a sentence for each verdict, on groups and families."""
    doubt = _doubt(versus.averages["mean", "sets"][1])
    yield from filter(None, (doubt, *versus.weak_sets))
    groups = [
        (n_sets, difference.value)
        for key, (n_sets, difference) in versus.averages.items()
        if key[0] == "group"
    ]
    rows = {
        key: difference
        for key, (n_sets, difference) in versus.averages.items()
        if key[0] == "group" or (key[0] == "family" and not _is_among(groups, n_sets, difference))
    }
    openings: tuple[tuple[Verdict, str], ...] = (
        ("better", "Better on"),
        ("worse", "Worse on"),
        ("no difference shown", "No difference shown on"),
    )
    if len(rows) < 2 and not groups:
        return  # the one family is what the headline is about
    for verdict, opening in openings:
        named = [
            f"{row_words(key)} ({_numbers(difference)})"
            for key, difference in rows.items()
            if difference.verdict == verdict
        ]
        if named:
            yield f"{opening} {listed(named)}."


def _is_among(groups: Sequence[tuple[int, float]], n_sets: int, difference: Difference) -> bool:
    """Whether a family is a group under another name, and need not be said twice."""
    return any(n == n_sets and abs(value - difference.value) < 1e-9 for n, value in groups)


def _doubt(difference: Difference) -> str:
    """What it means that test and interval disagree; empty where they do not."""
    if not disagree(difference):
        return ""
    if difference.p_value < SIGNIFICANCE:
        return (
            "The test says there is a difference, the interval does not leave out zero: too few "
            "or too small sets."
        )
    return (
        "The interval leaves out zero, the test does not say there is a difference: it is at the "
        "edge of what so many items can show."
    )


def disagree(difference: Difference) -> bool:
    """Whether of the test and the interval only one says that there is a difference."""
    if difference.verdict != "no difference shown":
        return False
    leaves_out_zero = difference.low > 0 or difference.high < 0
    return (difference.p_value < SIGNIFICANCE) != leaves_out_zero


def _numbers(difference: Difference) -> str:
    words = (
        f"{signed(difference.value)}, 95{_SPACE}% interval{_BREAKLESS}{signed_interval(difference)}"
    )
    if disagree(difference):  # a bare p would pass for an answer
        return f"{words}; test and interval disagree, {p_words(difference.p_value)}"
    return f"{words}, {p_words(difference.p_value)}"


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
