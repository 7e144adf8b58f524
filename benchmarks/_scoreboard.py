"""The scoreboard's record made of results, and its page made of the record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vecsmith.reporting.facts import task_facts
from vecsmith.results import EvalResult, SpeedResult, TaskResult
from vecsmith.results.averages import (
    Selection,
    average,
    family_selections,
    group_selections,
    interval_of,
    mean_selections,
)
from vecsmith.results.retention import Ratio

GROUPS = ("STS", "RET", "CLS")
FAMILY_WORDS = {
    "similarity": "similarity",
    "retrieval": "retrieval",
    "classification": "classification",
    "pair-classification": "pairs",
    "triplets": "triplets",
    "clustering": "clustering",
    "bitext": "bitext",
}
SUITE_WORDS = {"english": "English"}
Figures = list[float]  # value, low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """All that was found.

    Attributes:
        roles: "teacher", "model" or "baseline" by contender, in the order shown.
        suites: Results by suite and contender.
        speeds: Of the contenders that encode.
    """

    roles: Mapping[str, str]
    suites: Mapping[str, Mapping[str, EvalResult]]
    speeds: Mapping[str, SpeedResult]


# The record


def payload(board: Board) -> dict[str, Any]:
    """Contenders, tasks, scores with intervals, averages and retention, ready for JSON.

    A figure is [value, low, high], a fraction with the ends of its 95 % interval.
    """
    return {
        "contenders": [_contender(board, name) for name in board.roles],
        "suites": {suite: _suite(board, results) for suite, results in board.suites.items()},
    }


def _contender(board: Board, name: str) -> dict[str, Any]:
    result = next(iter(board.suites.values()))[name]
    speed = board.speeds.get(name, SpeedResult())
    return {
        "name": name,
        "role": board.roles[name],
        "fingerprint": result.fingerprint,
        "views": [str(view) for view in result.views],
        "bytes_per_vector": {str(view): view.n_bytes for view in result.views},
        "texts_per_second": speed.texts_per_second,
        "turns": [round(rate, 1) for rate in speed.turns],
        "speed_texts": speed.n_texts,
        "model_bytes": speed.model_bytes,
        "peak_bytes": speed.peak_bytes,
    }


def _suite(board: Board, results: Mapping[str, EvalResult]) -> dict[str, Any]:
    widest = _widest(results)
    teacher = next(results[name] for name, role in board.roles.items() if role == "teacher")
    return {
        "tasks": {name: _task(task) for name, task in widest.tasks.items()},
        "groups": {name: list(tasks) for name, tasks in widest.groups.items()},
        "scores": {name: _task_scores(name, results) for name in widest.tasks},
        "sets": _sets(results),
        "averages": _averages(results),
        "retention": {
            name: _retention(result, teacher)
            for name, result in results.items()
            if result is not teacher
        },
        "dates": {name: result.date for name, result in results.items()},
        "left_out": dict(widest.settings.get("skipped", {})),
    }


def _task(task: TaskResult) -> dict[str, Any]:
    return {"set": task.set, **task_facts(task)}


def _task_scores(name: str, results: Mapping[str, EvalResult]) -> dict[str, dict[str, Figures]]:
    """Figures of a task by contender and view."""
    return {
        contender: {
            str(view): _figures(result.tasks[name].score(view), *result.interval(name, view))
            for view in result.tasks[name].scores
        }
        for contender, result in results.items()
        if name in result.tasks
    }


def _sets(results: Mapping[str, EvalResult]) -> dict[str, Any]:
    """Figures of the sets of several languages, over which they are the mean."""
    members: dict[str, list[str]] = {}
    for name, task in _widest(results).tasks.items():
        members.setdefault(task.set, []).append(name)
    return {
        name: _average_scores(
            Selection(
                name=name, role="mean", weights=dict.fromkeys(tasks, 1 / len(tasks)), n_sets=1
            ),
            results,
        )
        for name, tasks in members.items()
        if len(tasks) > 1
    }


def _averages(results: Mapping[str, EvalResult]) -> dict[str, Any]:
    """Every average: of the named groups, of the families, of all."""
    widest = _widest(results)
    selections = [
        *group_selections(widest.tasks, widest.groups),
        *family_selections(widest.tasks.values()),
        *mean_selections(widest.tasks.values()),
    ]
    return {
        each.name: {
            "role": each.role,
            "sets": each.n_sets,
            "tasks": len(each.weights),
            "scores": _average_scores(each, results),
        }
        for each in selections
    }


def _average_scores(
    selection: Selection, results: Mapping[str, EvalResult]
) -> dict[str, dict[str, Figures]]:
    """Figures by contender and view, of those contenders that have all of the tasks."""
    return {
        contender: {
            str(view): _figures(
                average(result.tasks, selection, view),
                *interval_of(result.tasks, selection, view),
            )
            for view in result.views
        }
        for contender, result in results.items()
        if selection.weights.keys() <= result.tasks.keys()
    }


def _widest(results: Mapping[str, EvalResult]) -> EvalResult:
    return max(results.values(), key=lambda result: len(result.tasks))


def _retention(result: EvalResult, teacher: EvalResult) -> dict[str, dict[str, Figures]]:
    """Shares of the teacher's score by view: of named groups, families and their means."""
    found = {}
    for view in result.views:
        kept = result.retention(teacher, view)
        ratios: Iterable[Ratio] = (*kept.means, *kept.groups, *kept.families)
        found[str(view)] = {
            ratio.name: _figures(ratio.value, ratio.low, ratio.high)
            for ratio in ratios
            if ratio.value is not None and ratio.low is not None and ratio.high is not None
        }
    return found


def _figures(value: float, low: float, high: float) -> Figures:
    return [round(float(each), 5) for each in (value, low, high)]


# The page


def markdown(record: Mapping[str, Any]) -> str:
    """The scoreboard as a page for people."""
    return "\n".join(_lines(record)).rstrip() + "\n"


def _lines(record: Mapping[str, Any]) -> Iterator[str]:
    settings = record["settings"]
    yield from (
        "# Scoreboard",
        "",
        f'The teacher is {settings["teacher"]}. "texts" and tokenlearn\'s objective had it read '
        "449,000 English texts (recipes/static_models.py), none of the evaluation sets'; the "
        "default and model2vec's recipe are made without any text; BM25 and TF-IDF know words "
        "alone. Scores are of test rows, times 100, with half the width of their 95 % "
        "interval; nothing is chosen by them. Written by `make scoreboard`; every figure is in "
        "[scoreboard.json](scoreboard.json).",
        "",
        "![Quality by dimension, by speed, and retention](scoreboard.png)",
    )
    for suite, found in record["suites"].items():
        if all(group in found["averages"] for group in GROUPS):
            yield from _section("Named groups", groups_table(record, suite))
            yield from _section("Named groups by dimension", _dims_table(record, suite))
        word = SUITE_WORDS.get(suite, suite)
        yield from _section(
            f"{word[0].upper()}{word[1:]} sets by family", _families_table(record, suite)
        )
        yield from _section(f"Every {word} set", _sets_table(record, suite))
    yield from _provenance(record)


def _section(title: str, table: Iterable[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "", *table)


def groups_table(record: Mapping[str, Any], suite: str = "english") -> Iterator[str]:
    """Named groups, retention and costs, a row a contender."""
    found = record["suites"][suite]
    yield from _header("", "dims", *GROUPS, "mean", "kept of the teacher", "texts/s", "MB")
    for each in record["contenders"]:
        view = each["views"][0]
        cells = [_of_average(found, group, each["name"], view) for group in GROUPS]
        yield _row(
            each["name"],
            _dims(view),
            *map(_score, cells),
            _mean(cells),
            _share(found["retention"].get(each["name"], {}).get(view, {}).get("groups"), cells),
            _rate(each["texts_per_second"]),
            _megabytes(each["model_bytes"]),
        )


def _dims_table(record: Mapping[str, Any], suite: str) -> Iterator[str]:
    found = record["suites"][suite]
    yield from _header("", "dims", "bytes", *GROUPS, "mean", "kept of the teacher")
    for each in record["contenders"]:
        for view in each["views"] if each["role"] != "baseline" else ():
            cells = [_of_average(found, group, each["name"], view) for group in GROUPS]
            yield _row(
                each["name"],
                _dims(view),
                f"{each['bytes_per_vector'][view]:,}",
                *map(_score, cells),
                _mean(cells),
                _share(found["retention"].get(each["name"], {}).get(view, {}).get("groups"), cells),
            )


def _families_table(record: Mapping[str, Any], suite: str) -> Iterator[str]:
    found = record["suites"][suite]
    families = [name for name in FAMILY_WORDS if name in found["averages"]]
    sizes = {name: found["averages"][name]["sets"] for name in families}
    heads = [
        f"{FAMILY_WORDS[name]} ({n_sets} set{'s' * (n_sets != 1)})"
        for name, n_sets in sizes.items()
    ]
    yield from _header("", "dims", *heads, "all sets", "kept of the teacher")
    for each in _scored(record, found):
        view = each["views"][0]
        kept = found["retention"].get(each["name"], {}).get(view, {}).get("sets")
        every = _of_average(found, "sets", each["name"], view)
        yield _row(
            each["name"],
            _dims(view),
            *(_score(_of_average(found, name, each["name"], view)) for name in families),
            _score(every),
            _share(kept, [every]),
        )


def _scored(record: Mapping[str, Any], found: Mapping[str, Any]) -> list[Any]:
    """Contenders that were scored on a suite."""
    names = {name for scores in found["scores"].values() for name, each in scores.items() if each}
    return [each for each in record["contenders"] if each["name"] in names]


def _sets_table(record: Mapping[str, Any], suite: str) -> Iterator[str]:
    """A row a set; a set of several languages shows the mean over them."""
    found = record["suites"][suite]
    views = {each["name"]: each["views"][0] for each in _scored(record, found)}
    yield from _header("set", "metric", "items", *(f"{name}, {_dims(view)}".removesuffix(", ")
                                                   for name, view in views.items()))  # fmt: skip
    for name in dict.fromkeys(task["set"] for task in found["tasks"].values()):
        members = [key for key, task in found["tasks"].items() if task["set"] == name]
        task = found["tasks"][members[0]]
        items = sum(found["tasks"][key]["items"] for key in members)
        languages = f" ({len(members)} languages)" if len(members) > 1 else ""
        label = name if len(members) > 1 else members[0]
        yield _row(
            f"{label}{languages}",
            task["metric"],
            f"{items:,} {task['unit']}",
            *(
                _score((found["sets"].get(name) or found["scores"][label]).get(each, {}).get(view))
                for each, view in views.items()
            ),
        )


def _provenance(record: Mapping[str, Any]) -> Iterator[str]:
    machine, settings = record["machine"], record["settings"]
    packages = ", ".join(f"{name} {found}" for name, found in record["versions"].items() if found)
    texts = max(each["speed_texts"] for each in record["contenders"])
    yield from (
        "",
        "## How it was made",
        "",
        f"- {record['date'][:10]}, {machine['cpu']}, {machine['cores_usable']} cores, "
        f"load average {machine['load_average']:.1f}; {packages}; commit {record['commit']}.",
        f"- The teacher's vectors were computed in {settings['teacher_compute_dtype']}.",
        f"- Speeds: {texts:,} texts of the named groups' sets, the same for all, in turns; a slow "
        "model reads the first of each turn's texts. The teacher ran on "
        f"{_threads(settings['teacher_threads'])}.{_busy(machine)}",
        "- STS: stsb, sts12 to sts15 without the pairs of stsb's train and dev rows; RET: scifact, "
        "cranfield, med, trecqa, xquad English; CLS: banking77, sst2, cr, hwu64, subj. An average "
        "is over sets, and within a set first over its languages.",
        "- Kept of the teacher: mean of the ratios to the teacher's scores, of the three groups or "
        "of all sets. The level of chance is not taken off; random vectors show it.",
    )
    reasons: dict[str, dict[str, None]] = {}
    for found in record["suites"].values():
        for name, reason in found["left_out"].items():
            reasons.setdefault(reason.partition(";")[0], {})[name] = None
    for reason, names in reasons.items():
        yield f"- Not scored: {', '.join(names)} ({reason})."


def _threads(n_threads: int) -> str:
    return "1 thread" if n_threads == 1 else f"{n_threads} threads"


def _busy(machine: Mapping[str, Any]) -> str:
    if machine["load_average"] <= machine["cores_usable"]:
        return ""
    return " The machine had other work besides: alone on it all are faster, the teacher most."


def _of_average(found: Mapping[str, Any], name: str, contender: str, view: str) -> Figures | None:
    figures: Figures | None = found["averages"][name]["scores"].get(contender, {}).get(view)
    return figures


def _header(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield "|" + "|".join("---" if place == 0 else "--:" for place in range(len(names))) + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _dims(view: str) -> str:
    return "" if view == "text" else view.split()[0]


def _score(figures: Figures | None) -> str:
    if figures is None:
        return ""
    value, low, high = figures
    return f"{100 * value:.1f} ± {50 * (high - low):.1f}"


def _mean(cells: list[Figures | None]) -> str:
    values = [each[0] for each in cells if each is not None]
    return f"{100 * sum(values) / len(values):.1f}" if len(values) == len(cells) else ""


def _share(figures: Figures | None, cells: list[Figures | None]) -> str:
    """A share of the teacher's; nothing where a figure it is made of is missing."""
    if figures is None or None in cells:
        return ""
    value, low, high = figures
    return f"{100 * value:.1f} % ± {50 * (high - low):.1f}"


def _rate(rate: float | None) -> str:
    if rate is None:
        return ""
    digits = max(0, len(str(int(rate))) - 2)
    return f"{round(rate / 10**digits) * 10**digits:,}"


def _megabytes(n_bytes: int | None) -> str:
    return "" if not n_bytes else f"{n_bytes / 1e6:.0f}"
