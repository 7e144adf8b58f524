"""What must be known before a figure is believed: small sets, busy machines, sets left out.

The one rule: nothing is computed anew; widths, counts and loads are those of the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vecsmith.reporting.entries import Entry
from vecsmith.reporting.report import LeftOut
from vecsmith.reporting.wording import count_words, listed, shortened
from vecsmith.results import EvalResult, TaskResult
from vecsmith.results.averages import mean_selections
from vecsmith.results.comparison import Comparison, ComparisonRow

FEW_ITEMS = 30  # below, a bootstrap of the items says little (rule of thumb)
_MOST_NAMED = 3
_MOST_LETTERS = 300  # of a reason


def weak_sets(comparison: Comparison, tasks: Mapping[str, TaskResult]) -> tuple[str, ...]:
    """Sets that are too small, or that alone make most of the average's interval.

    Sets are drawn independently, so the squares of their widths add up: a set makes most of the
    width where its own, by its share in the average, is more than half of the sum of squares.
    """
    mean = next((row for row in comparison.means if row.name == "sets"), None)
    if mean is None:
        return ()
    shares = mean_selections([tasks[row.name] for row in comparison.tasks])[0].weights
    found: list[str] = []
    for row in sorted(comparison.tasks, key=lambda each: each.n_items):
        widest = mean.n_sets > 2 and (shares[row.name] * _width(row)) ** 2 > _width(mean) ** 2 / 2
        is_open = mean.verdict == "no difference shown"
        items = count_words(row.n_items, row.unit)
        if _is_small(row):
            ending = " and makes most of the width" if widest else ""
            found.append(f"{shortened(row.name, 60)} has {items}{ending}")
        elif widest and is_open:
            found.append(f"{shortened(row.name, 60)}, of {items}, makes most of the width")
    if not found:
        return ()
    more = len(found) - _MOST_NAMED
    named = found[:_MOST_NAMED] + ([f"{more} more are as small"] if more > 0 else [])
    few = any(map(_is_small, comparison.tasks))
    return (f"{listed(named)}{': too few to say much' if few else ''}.",)


def _is_small(row: ComparisonRow) -> bool:
    # of clustering the starts of k-means may be what is counted, which are no items
    return row.n_items < FEW_ITEMS and row.unit != "draws"


def _width(row: ComparisonRow) -> float:
    return row.test.high - row.test.low


def is_one_run(entries: Sequence[Entry]) -> bool:
    """Whether all speeds there are were measured in one run, on the same texts."""
    measured = [entry.result for entry in entries if entry.result.speed.texts_per_second]
    runs = {(result.run, result.speed.n_texts) for result in measured}
    return len(measured) < 2 or (len(runs) == 1 and measured[0].run != "")


def busy_machines(runs: Sequence[EvalResult], entries: Sequence[Entry]) -> Iterator[str]:
    """A sentence on the runs whose speeds were measured while others used their cores."""
    found: dict[str, str] = {}
    for entry, run in zip(entries, runs, strict=False):
        load = _number(run.machine.get("load_average"))
        cores = _number(run.machine.get("cores_usable", run.machine.get("cores")))
        if run.speed.texts_per_second is not None and load > cores > 0:
            found[entry.letter] = f"{load:.1f} on {count_words(int(cores), 'cores')}"
    if found:
        loads = listed(list(dict.fromkeys(found.values())))
        yield (
            f"The machine was busy in the {'runs' if len(found) > 1 else 'run'} of "
            f"{listed(list(found))} (load average {loads}): speeds may be too low, by how much is "
            "not known."
        )


def _number(value: object) -> float:
    """A number of a record; 0 where it is none."""
    return float(value) if isinstance(value, int | float) else 0.0


def sets_left_out(runs: Sequence[EvalResult], entries: Sequence[Entry]) -> tuple[LeftOut, ...]:
    """Sets that runs have found and not scored, with the reason; each once."""
    found: dict[tuple[str, str], list[str]] = {}
    for entry, run in zip(entries, runs, strict=False):
        skipped = run.settings.get("skipped")
        if isinstance(skipped, Mapping):
            for name, reason in skipped.items():
                key = (str(name), shortened(str(reason), _MOST_LETTERS))
                found.setdefault(key, []).append(entry.letter)
    return tuple(
        LeftOut(set=name, reason=reason, letters=tuple(letters))
        for (name, reason), letters in sorted(found.items())
    )


def same_runs(entries: Sequence[Entry], places: Sequence[int]) -> Iterator[str]:
    """A sentence for each opponent that is the first run itself, at the same size."""
    first = entries[0]
    for place in places:
        other = entries[place]
        if other.is_same_run(first) and first.view == other.view:
            yield (
                f"{first.letter} and {other.letter} are the same run at the same size: there is "
                "nothing to tell apart. Two sizes of one run are compared by naming both, as in "
                "--view 256,64."
            )


def clustering_notes(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """That clustering is not tested, where rows of it are shown without a verdict."""
    rows = [row for each in comparisons for row in each.rows if row.kind == "clustering"]
    if rows and all(row.verdict == "no difference shown" for row in rows):
        yield "Clustering is not tested: k-means' own luck is larger than most differences."
