"""Numbers and verdicts in words.

The one rule: scores are shown times 100 with one decimal, a difference always with its sign, and
nothing is called better or worse that the test does not call so.
"""

from __future__ import annotations

from collections.abc import Sequence

from vecsmith.reporting.report import Contender, Difference, Estimate, Key, Report, Verdict

_SPACE, _MINUS = "\N{NARROW NO-BREAK SPACE}", "\N{MINUS SIGN}"
_METRICS = {
    "average_precision": "average precision",
    "f1": "F1",
    "pearson_cosine": "Pearson",
    "spearman_cosine": "Spearman",
    "v_measure": "V-measure",
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


def signed_interval(difference: Difference) -> str:
    """Both ends of its interval, with signs: +1.6 to +3.0."""
    return f"{signed(difference.low)} to {signed(difference.high)}"


def p_words(p_value: float) -> str:
    """A p-value: "p < 0.001", "p = 0.03"."""
    if p_value < 0.001:
        return "p < 0.001"
    if p_value < 0.0995:
        return f"p = {p_value:.3f}" if p_value < 0.00995 else f"p = {p_value:.2f}"
    return f"p = {p_value:.1f}"


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
    return f"{number(n)} {noun}" if n != 1 else f"1 {noun.removesuffix('s')}"


def called(contender: Contender) -> str:
    """Letter and name: "A (minilm-256)"."""
    return f"{contender.letter} ({contender.name})"


def verdict_sentences(report: Report) -> list[str]:
    """For each opponent of the first model: what was shown, and what was not, in plain words."""
    first = report.contenders[0]
    sentences = []
    for number_of, place in enumerate(report.opponents):
        sentences.append(_headline(report, number_of, first, report.contenders[place]))
        sentences += _lists(report, number_of)
    return sentences


def _headline(report: Report, place: int, first: Contender, other: Contender) -> str:
    row = next((row for row in report.summary if row.key == ("mean", "sets")), None)
    pair = f"{called(first)} and {called(other)}"
    difference = row.differences[place] if row else None
    if row is None or difference is None:
        return f"{pair} have no set in common: nothing can be compared."
    words = f"over all {count_words(row.n_tasks, 'sets')} ({_numbers(difference)})"
    if row.n_tasks == 1:
        words = f"on the one set both ran ({_numbers(difference)})"
    if difference.verdict == "no difference shown":
        return f"{pair}: no difference shown {words}."
    return f"{called(first)} is {difference.verdict} than {called(other)} {words}."


def _lists(report: Report, place: int) -> list[str]:
    """One sentence for each verdict, over the groups, or the families where there are none."""
    rows = [row for row in report.summary if row.level == "group"]
    rows = [*rows, *(row for row in report.summary if row.level == "family")]
    sentences = []
    openings: tuple[tuple[Verdict, str], ...] = (
        ("better", "Better on"),
        ("worse", "Worse on"),
        ("no difference shown", "No difference shown on"),
    )
    for verdict, opening in openings:
        named = [
            f"{row_words(row.key)} ({_numbers(difference)})"
            for row in rows
            if (difference := row.differences[place]) is not None and difference.verdict == verdict
        ]
        if named:
            sentences.append(f"{opening} {listed(named)}.")
    return sentences


def _numbers(difference: Difference) -> str:
    return (
        f"{signed(difference.value)}, 95{_SPACE}% interval {signed_interval(difference)}, "
        f"{p_words(difference.p_value)}"
    )


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
