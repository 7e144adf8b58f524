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
import time
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

GUIDE = ROOT / "docs" / "guides" / "from-nothing.md"
BLOCK = re.compile(r"(<!-- numbers: [^>]*-->\n).*?(<!-- /numbers -->)", re.DOTALL)
DIM = 512
PACKAGES = ("numpy", "torch", "tokenizers", "sentence-transformers", "transformers", "datasets",
            "scipy", "scikit-learn")  # fmt: skip
FAMILIES = {
    "similarity": "similarity",
    "retrieval": "retrieval",
    "classification": "classification",
    "pair-classification": "pairs",
}
PREFIXES = (512, 256, 128, 64, 32)
# one pass of the published recipe over the pairs, in the dims of this comparison
PUBLISHED = PRESETS["static-retrieval-mrl"].with_given({"dim": DIM, "dims": PREFIXES})
OURS = PRESETS["from-nothing"].with_given({"dim": DIM, "epochs": 1.0})


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

    def peer(self, settings: TrainSettings, n_steps: int) -> tuple[StaticModel, int, float]:
        """The model of sentence-transformers, its steps and seconds."""
        settings = replace(settings, steps=n_steps)
        out = self.folder / "peer" / key_of(settings.plain())
        facts = out / "seconds.json"
        if not facts.is_file():
            seconds = train_peer(self.files(), self.tokenizer(), settings, n_steps, out)
            facts.write_text(json.dumps(seconds))
        return StaticModel.from_pretrained(out), n_steps, float(json.loads(facts.read_text()))

    def steps_of(self, settings: TrainSettings) -> int:
        """Steps that our trainer takes for the settings."""
        return self.ours(settings)[1]

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
        is_peer: Whether sentence-transformers trains it, for as many steps as the published recipe
            takes in ours.
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
        if not self.is_peer:
            return workshop.ours(self.settings)
        return workshop.peer(self.settings, workshop.steps_of(self.settings))


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
    name = " ".join([preset, *(f"{key}={changes[key]}" for key in sorted(changes))])
    began = time.perf_counter()
    if preset.startswith("peer-"):
        n_steps = settings.steps or 0
        model, n_steps, seconds = workshop.peer(settings, n_steps)
    else:
        model, n_steps, seconds = workshop.ours(settings)
    result = workshop.score(model, "dev")
    figures = [f"{family} {100 * result.average(family):.2f}" for family in result.families]
    tasks = [f"{name} {100 * task.score():.1f}" for name, task in result.tasks.items()]
    print(f"{name}: {', '.join(figures)}, mean {100 * result.average('families'):.2f} | "
          f"{', '.join(tasks)} | {n_steps} steps, {seconds:.0f} s of "
          f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip


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
    against = {
        name: differences(compare(ours, result)) for name, result in results.items()
        if result is not ours
    }  # fmt: skip
    return {
        "language": workshop.language.name,
        **workshop.facts(),
        "contenders": contenders,
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
    text = guide.read_text(encoding="utf-8")
    tables = "\n".join(table(found) for found in record["languages"].values())
    guide.write_text(BLOCK.sub(lambda mark: f"{mark[1]}{tables}{mark[2]}", text), encoding="utf-8")


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
        found = {code: measured(workshop) for code, workshop in workshops.items()}
        write_record(
            "from_nothing", {"versions": versions(PACKAGES), "languages": found}, folder=RESULTS
        )
    write_guide(json.loads((RESULTS / "from_nothing.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
