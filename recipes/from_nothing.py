"""Models from nothing: Korean and English, ours beside sentence-transformers' on the same pairs.

    python recipes/from_nothing.py --data ../shared/data                        # the record
    python recipes/from_nothing.py --data ../shared/data --language ko --split dev \\
        --trial from-nothing lr=0.1 batch_size=512                              # one dev score

A tokenizer is learnt from the pairs, rows begin at random, no teacher is asked. Settings are chosen
with --split dev, which reads no test row. Without --trial it trains all contenders, scores them on
test rows and writes benchmarks/results/from_nothing.json and the table of
docs/guides/from-nothing.md. What was made is kept in benchmarks/results/local/from_nothing and not
made twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._record import LOCAL_RESULTS, RESULTS, versions, write_record  # noqa: E402
from recipes._from_nothing_peer import train_peer  # noqa: E402
from recipes._from_nothing_sets import (  # noqa: E402
    LANGUAGES,
    Language,
    clean_pairs,
    texts_of_pairs,
)
from vecsmith import StaticModel, evaluate  # noqa: E402
from vecsmith.results import Comparison, EvalResult, compare  # noqa: E402
from vecsmith.training import PRESETS, TrainSettings, train_tokenizer  # noqa: E402
from vecsmith.training.start import Start  # noqa: E402
from vecsmith.training.static import run_training  # noqa: E402

RECORD = RESULTS / "from_nothing.json"
GUIDE = ROOT / "docs" / "guides" / "from-nothing.md"
# of the settings, those that tell trials apart
TOLD = ("start", "start_scale", "betas", "clip_norm", "directions", "batch_size", "lr",
        "token_weights", "seed")  # fmt: skip
DIM = 512
TRIALS = "trials.jsonl"
PACKAGES = ("numpy", "torch", "tokenizers", "sentence-transformers", "transformers", "datasets",
            "scipy", "scikit-learn")  # fmt: skip
FAMILIES = {
    "similarity": "similarity",
    "retrieval": "retrieval",
    "classification": "classification",
    "pair-classification": "pairs",
}
PREFIXES = (512, 256, 128, 64, 32)
# the published recipe and ours, in the dims of this comparison
PUBLISHED = PRESETS["static-retrieval-mrl"].with_given({"dim": DIM, "dims": PREFIXES})
OURS = PRESETS["from-nothing"].with_given({"dim": DIM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where the material and the models of one language are.

    Attributes:
        language: What is trained on.
        public: Folder of the public sets.
        folder: What was made.
    """

    language: Language
    public: Path
    folder: Path

    def files(self) -> dict[str, Path]:
        """The clean pairs by set."""
        facts = clean_pairs(self.language, self.public, self.folder / "pairs")
        return {name: self.folder / "pairs" / f"{name}.parquet" for name in facts["sets"]}

    def facts(self) -> dict[str, Any]:
        """What the clean pairs are, and the report of the tokenizer."""
        self.tokenizer()
        found = clean_pairs(self.language, self.public, self.folder / "pairs")
        report = json.loads((self.folder / "tokenizer-report.json").read_text(encoding="utf-8"))
        return {**found, "tokenizer": report}

    def tokenizer(self) -> Path:
        """The tokenizer.json, learnt from the clean pairs."""
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            files = self.files().values()

            def texts() -> Iterator[str]:
                yield from texts_of_pairs(files)
                yield from self.language.more_texts(self.public)

            trained = train_tokenizer(texts, vocabulary=self.language.vocabulary)
            report = {name: getattr(trained.report, name) for name in trained.report.__slots__}
            (self.folder / "tokenizer-report.json").write_text(json.dumps(report))
            path.write_text(trained.tokenizer_json, encoding="utf-8")
        return path

    def ours(self, settings: TrainSettings) -> tuple[StaticModel, int, float]:
        """The model of `train_static`, its steps and seconds."""
        trained = run_training(
            {name: str(path) for name, path in self.files().items()},
            Start(tokenizer=self.tokenizer()),
            settings,
            out=self.folder / "ours" / key_of(settings.plain()),
        )
        return trained.model, trained.fitted.n_steps, trained.fitted.state.seconds

    def peer(self, settings: TrainSettings) -> tuple[StaticModel, int, float]:
        """The model of sentence-transformers, its steps and seconds."""
        n_steps = settings.steps or self.language.n_steps
        out = self.folder / "peer" / key_of(settings.plain())
        facts = out / "seconds.json"
        if not facts.is_file():
            seconds = train_peer(self.files(), self.tokenizer(), settings, n_steps, out)
            facts.write_text(json.dumps(seconds))
        return StaticModel.from_pretrained(out), n_steps, float(json.loads(facts.read_text()))

    def score(self, model: StaticModel, split: str, name: str = "") -> EvalResult:
        """Scores on dev rows, or on test rows."""
        suite = self.language.test if split == "test" else self.language.dev
        return evaluate(
            model,
            [self.public / folder for folder in self.language.folders],
            suite=suite,
            split="test" if split == "test" else "dev",
            name=name or None,
            measure_speed=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Who is compared.

    Attributes:
        name: As shown.
        settings: Of the training.
        is_peer: Whether sentence-transformers trains it.
    """

    name: str
    settings: TrainSettings
    is_peer: bool = False

    @property
    def optimiser(self) -> str:
        """What moves the rows."""
        return "torch.optim.AdamW, all rows" if self.is_peer else "RowAdam, touched rows"

    def make(self, workshop: Workshop) -> tuple[StaticModel, int, float]:
        """The model, its steps and seconds."""
        settings = replace(self.settings, steps=workshop.language.n_steps)
        return workshop.peer(settings) if self.is_peer else workshop.ours(settings)


# the last is what the others are compared with
CONTENDERS = (
    Contender(name="sentence-transformers, published recipe", settings=PUBLISHED, is_peer=True),
    Contender(name="vecsmith `static-retrieval-mrl`", settings=PUBLISHED),
    Contender(name="**vecsmith `from-nothing`**", settings=OURS),
)


def key_of(settings: Mapping[str, Any]) -> str:
    """What a run with these settings is kept under."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def trial(workshop: Workshop, preset: str, changes: Mapping[str, Any]) -> None:
    """Trains once and prints the dev scores: how settings are chosen."""
    settings = PRESETS[preset.removeprefix("peer-")].with_given({"dim": DIM, **changes})
    make = workshop.peer if preset.startswith("peer-") else workshop.ours
    model, n_steps, seconds = make(settings)
    result = workshop.score(model, "dev")
    found = {
        "trainer": "sentence-transformers" if preset.startswith("peer-") else "vecsmith",
        "changes": unlike_published(settings),
        "scores": {name: round(result.average(name), 5) for name in (*result.families, "families")},
        "tasks": {name: round(task.score(), 5) for name, task in result.tasks.items()},
        "steps": n_steps,
        "seconds": round(seconds, 1),
    }
    with (workshop.folder / TRIALS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")
    print(json.dumps(found), flush=True)


def unlike_published(settings: TrainSettings) -> dict[str, Any]:
    """What of the settings that tell trials apart is not as published."""
    published, own = PUBLISHED.plain(), settings.plain()
    return {name: own[name] for name in TOLD if own[name] != published[name]}


def parsed(changes: Sequence[str]) -> dict[str, Any]:
    """Settings from `name=value`, values as in JSON or else as text."""
    found: dict[str, Any] = {}
    for change in changes:
        name, _, value = change.partition("=")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found


def measured(workshop: Workshop) -> dict[str, Any]:
    """All contenders of one language on test rows, for JSON; a score is [value, low, high]."""
    results: dict[str, EvalResult] = {}
    contenders = []
    for contender in CONTENDERS:
        model, n_steps, seconds = contender.make(workshop)
        results[contender.name] = workshop.score(model, "test", contender.name)
        contenders.append(
            {
                "name": contender.name,
                "settings": contender.settings.plain(),
                "optimiser": contender.optimiser,
                "steps": n_steps,
                "seconds": round(seconds, 1),
                **scores(results[contender.name]),
            }
        )
        print(workshop.language.name, contender.name, n_steps, "steps", flush=True)
    ours = results[CONTENDERS[-1].name]
    trials = workshop.folder / TRIALS
    against = {
        name: differences(compare(ours, result)) for name, result in results.items()
        if result is not ours
    }  # fmt: skip
    return {
        "language": workshop.language.name,
        **workshop.facts(),
        "contenders": contenders,
        "trials": [json.loads(line) for line in trials.read_text(encoding="utf-8").splitlines()]
        if trials.is_file()
        else [],
        "differences": {"of": ours.model, "to": against},
    }


def scores(result: EvalResult) -> dict[str, Any]:
    """Every task and family with its interval."""
    tasks = {
        name: {
            "family": task.kind,
            "metric": task.metric,
            "items": task.n_items,
            "split": task.split,
            "score": _figures(task.score(), *result.interval(name)),
        }
        for name, task in result.tasks.items()
    }
    families = {
        name: _figures(result.average(name), *result.interval(name))
        for name in (*result.families, "families")
    }
    return {"tasks": tasks, "families": families}


def differences(comparison: Comparison) -> dict[str, Any]:
    """Of each family's average the difference with its interval, and the verdict."""
    return {
        row.name: {
            "difference": _figures(row.test.difference, row.test.low, row.test.high),
            "verdict": row.verdict,
        }
        for row in (*comparison.families, *comparison.means)
    }


def _figures(value: float, low: float, high: float) -> list[float]:
    return [round(float(each), 5) for each in (value, low, high)]


def write_guide(record: Mapping[str, Any], guide: Path = GUIDE) -> None:
    """Puts the record's tables between the marks in the guide."""
    guide.write_text(with_tables(guide.read_text(encoding="utf-8"), record), encoding="utf-8")


def with_tables(guide: str, record: Mapping[str, Any]) -> str:
    """The guide's text with the tables of the record."""
    for name, draw in (("scores", table), ("trials", trials_table)):
        mark = rf"(<!-- {name}: [^>]*-->\n).*?(<!-- /{name} -->)"
        tables = "\n".join(draw(found) for found in record["languages"].values())
        found = re.search(mark, guide, flags=re.DOTALL)
        if found:
            guide = guide[: found.end(1)] + tables + guide[found.start(2) :]
    return guide


def table(found: Mapping[str, Any]) -> str:
    """Markdown of one language: a row a contender."""
    families = [name for name in FAMILIES if name in found["contenders"][0]["families"]]
    lists = {name: _tasks_of(found, name) for name in families}
    heads = [f"{FAMILIES[name]} ({', '.join(tasks)})" for name, tasks in lists.items()]
    lines = [
        f"| {found['language']} | steps | {' | '.join(heads)} | mean |",
        "|---|--:|" + "--:|" * (len(families) + 1),
    ]
    for each in found["contenders"]:
        cells = [_points(each["families"][name]) for name in (*families, "families")]
        lines.append(f"| {each['name']} | {each['steps']} | {' | '.join(cells)} |")
    sets = found["sets"].values()
    left_out = sum(each["equal"] + each["near"] for each in sets)
    lines += [
        "",
        f"{sum(each['kept'] for each in sets):,} pairs of {len(found['sets'])} sets; {left_out:,} "
        f"others left out because {found['line'].split(' of ')[0]} of their texts are in the "
        f"evaluation sets. Vocabulary of {found['tokenizer']['n_tokens']:,}.",
        "",
    ]
    return "\n".join(lines) + "\n"


def trials_table(found: Mapping[str, Any]) -> str:
    """Markdown of the dev scores that settings were chosen by, in the order of the trials."""
    families = [name for name in FAMILIES if name in found["contenders"][0]["families"]]
    lines = [
        f"| {found['language']}, dev rows | steps | "
        f"{' | '.join(FAMILIES[name] for name in families)} | mean |",
        "|---|--:|" + "--:|" * (len(families) + 1),
    ]
    for each in found["trials"]:
        changes = ", ".join(f"{name} {_told(value)}" for name, value in each["changes"].items())
        label = f"{each['trainer']}, {changes or 'as published'}"
        cells = [f"{100 * each['scores'][name]:.1f}" for name in (*families, "families")]
        lines.append(f"| {label} | {each['steps']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _told(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _tasks_of(found: Mapping[str, Any], family: str) -> list[str]:
    tasks = found["contenders"][0]["tasks"]
    return [name for name, task in tasks.items() if task["family"] == family]


def _points(figures: Sequence[float]) -> str:
    value, low, high = figures
    return f"{100 * value:.1f} ± {50 * (high - low):.1f}"


def main() -> None:
    """One trial, or the record and the guide's table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--work", type=Path, default=LOCAL_RESULTS / "from_nothing")
    parser.add_argument("--language", choices=[*LANGUAGES], action="append")
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--trial", nargs="+", metavar=("PRESET", "NAME=VALUE"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--guide-only", action="store_true", help="the table, of the record alone")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    workshops = {
        code: Workshop(
            language=LANGUAGES[code], public=arguments.data, folder=arguments.work / code
        )
        for code in arguments.language or [*LANGUAGES]
    }
    if arguments.trial:
        for workshop in workshops.values():
            trial(workshop, arguments.trial[0], parsed(arguments.trial[1:]))
        return
    if not arguments.guide_only:
        for code, workshop in workshops.items():
            _record(code, measured(workshop))
    write_guide(json.loads(RECORD.read_text(encoding="utf-8")))


def _record(code: str, found: Mapping[str, Any]) -> None:
    """Writes the record with what was found of one language, the other's as it was."""
    before = json.loads(RECORD.read_text(encoding="utf-8"))["languages"] if RECORD.is_file() else {}
    languages = {each: {**before, code: found}.get(each) for each in LANGUAGES}
    write_record(
        RECORD.stem,
        {
            "versions": versions(PACKAGES),
            "languages": {name: each for name, each in languages.items() if each},
        },
        folder=RESULTS,
    )


if __name__ == "__main__":
    main()
