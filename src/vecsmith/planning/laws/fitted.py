"""Laws and frontiers of all methods of a sweep, and the file that keeps them.

The file is JSON, read field by field: it may come from anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vecsmith._files import atomic_file
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.planning.choosing.experience import experience_of
from vecsmith.planning.laws.crossover import Crossover, crossover, probability_better
from vecsmith.planning.laws.fitted_law import FittedLaw, Prediction
from vecsmith.planning.laws.fitting import fit_law
from vecsmith.planning.laws.forms import Form, checked_form
from vecsmith.planning.laws.frontier import FrontierLine, LawFrontier, frontier_line
from vecsmith.planning.laws.observations import Observations, best_rate_runs, comparable_runs
from vecsmith.planning.laws.plain import law_of, line_of, plain_law, plain_line
from vecsmith.results.fields import Block, plain
from vecsmith.results.tuning import TUNING_METHODS
from vecsmith.results.tuning_runs import TuningRun, key_of

__all__ = ["FittedLaws", "fit_laws"]

_FORMAT: Final = "vecsmith laws"
_VERSION: Final = 2
_REMEDY: Final = "fit the runs again"
# An array of numbers takes one line, not one for each; no text in JSON holds a line's end.
_NUMBERS = re.compile(r"\[\n\s*[-+.\deE]+(,\n\s*[-+.\deE]+)*\n\s*\]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedLaws:
    """One law a method, fitted to runs that compare with each other.

    Attributes:
        form: Of the laws.
        laws: By method, as in "lora".
        lines: Frontier line of each method that has runs at three budgets or more.
        left_out: Methods without a law, and why.
        settings: That all runs share: a loss of other settings does not compare.
        comparable_key: Hash of those.
        provenance: "runs" fitted to, "runs_of_other_rates" that were left out as another learning
            rate was better for their cell, "keys" (a hash of the former's), "models", "vecsmith",
            "recipe" (what all had in common, see `read_experience`).
    """

    form: Form
    laws: Mapping[str, FittedLaw]
    lines: Mapping[str, FrontierLine]
    left_out: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    comparable_key: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those with a law."""
        return tuple(self.laws)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of all laws, each with its method before it."""
        return tuple(
            f"{method}: {warning}" for method, law in self.laws.items() for warning in law.warnings
        )

    def law(self, method: str) -> FittedLaw:
        """The law of `method`.

        Raises:
            ValueError: If there is none; the message says why where that is known.
        """
        if method not in self.laws:
            reason = f" ({self.left_out[method]})" if method in self.left_out else ""
            raise ValueError(f"no law of {method!r}{reason}, expected one of {list(self.laws)}")
        return self.laws[method]

    def predict(
        self,
        method: str,
        n: float,
        tokens: float,
        share: float = 1.0,
        flops: float | None = None,
        model: str = "",
    ) -> Prediction:
        """Loss of a model of n parameters tuned by `method` with so many tokens.

        Args:
            method: As in "lora".
            n: Non-embedding parameters.
            tokens: Real tokens.
            share: Trained share of the parameters.
            flops: Counted FLOP of the run, to say whether that is outside of the runs fitted to.
            model: Its name, to go by its own runs where there are some.

        Raises:
            ValueError: If there is no law of the method, or a number is out of range.
        """
        return self.law(method).predict(n, tokens, share, flops, model)

    def frontier(self, method: str) -> LawFrontier:
        """The least loss that the method's law alone gives any of the cells run, by budget."""
        return LawFrontier.of(method, self.law(method))

    def crossover(self, a: str, b: str) -> Crossover:
        """Where the frontiers of two methods cross, by the laws alone: no model is off them."""
        return crossover(self.frontier(a), self.frontier(b), level=self.law(a).level)

    def probability_better(self, a: str, b: str, flops: float) -> float:
        """How probable it is that the best cell of method `a` beats that of `b` at a budget.

        By the laws alone: what single models are off them is left out.
        """
        return probability_better(self.frontier(a), self.frontier(b), flops)

    def to_json(self) -> dict[str, Any]:
        """The laws in the kinds that JSON has."""
        values = {
            "format": _FORMAT,
            "version": _VERSION,
            "form": self.form,
            "comparable_key": self.comparable_key,
            "settings": self.settings,
            "provenance": self.provenance,
            "left_out": self.left_out,
            "laws": {method: plain_law(law) for method, law in self.laws.items()},
            "lines": {method: plain_line(line) for method, line in self.lines.items()},
        }
        return dict(plain(values, "laws"))

    def save(self, path: PathLike) -> None:
        """Writes the laws as one JSON file, whole or not at all."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        with atomic_file(path, "w", encoding="utf-8") as file:
            file.write(_NUMBERS.sub(lambda found: " ".join(found.group().split()), text) + "\n")

    @classmethod
    def open(cls, path: PathLike) -> FittedLaws:
        """The laws in a file that `save` wrote.

        Raises:
            FormatError: If it is broken, or is no such file.
        """
        block = Block.of_file(Path(path), format_name=_FORMAT, version=_VERSION, remedy=_REMEDY)
        try:
            form = checked_form(block.text("form"))
            laws = block.block("laws")
            if not laws.values:
                raise FormatError(f"{path}: no laws, expected those of one method or more")
            lines = block.block("lines")
            return cls(
                form=form,
                laws={name: law_of(laws.block(name), form) for name in laws.values},
                lines={name: line_of(lines.block(name), name) for name in lines.values},
                left_out=block.mapping("left_out", Block.text),
                settings=block.block("settings").values,
                comparable_key=block.text("comparable_key"),
                provenance=block.block("provenance").values,
            )
        except ValueError as error:
            raise FormatError(f"{path}: {error}") from error


def fit_laws(
    runs: Iterable[TuningRun],
    form: Form = "nds",
    *,
    delta: float | None = None,
    n_starts: int = 8,
    n_bootstrap: int = 200,
    seed: int = 0,
    level: float = 0.9,
) -> FittedLaws:
    """A law and a frontier line for each method that is among the runs.

    A method with too few runs is left out, and why is said. Where a cell has runs of several
    learning rates, those of the best count, see `best_rate_runs`.

    Args:
        runs: Of one or several methods; those not done are left out.
        form: Of the laws.
        delta: As for `fit_law`.
        n_starts: As for `fit_law`.
        n_bootstrap: As for `fit_law`.
        seed: Of the draws.
        level: Of the intervals.

    Raises:
        ValueError: If no method has enough runs, or runs do not compare.
        MissingExtraError: If scipy is not installed.
    """
    finished = comparable_runs(runs)
    done = best_rate_runs(finished)
    laws: dict[str, FittedLaw] = {}
    lines: dict[str, FrontierLine] = {}
    left_out: dict[str, str] = {}
    # Each method has a place of its own among the seeds, whichever others there are.
    for place, method in enumerate(TUNING_METHODS):
        of_method = [run for run in done if run.tuning.method == method]
        if not of_method:
            continue
        observed = Observations.of_runs(of_method)
        own_seed = seed * len(TUNING_METHODS) + place
        try:
            laws[method] = fit_law(
                observed,
                form=form,
                delta=delta,
                n_starts=n_starts,
                n_bootstrap=n_bootstrap,
                seed=own_seed,
                level=level,
            )
        except ValueError as error:
            left_out[method] = str(error)
        if len(np.unique(observed.asked)) >= 3:
            lines[method] = frontier_line(
                observed, name=method, n_bootstrap=n_bootstrap, seed=own_seed
            )
    if not laws:
        raise ValueError("; ".join(f"{method}: {why}" for method, why in left_out.items()))
    return FittedLaws(
        form=form,
        laws=laws,
        lines=lines,
        left_out=left_out,
        settings=done[0].comparable,
        comparable_key=done[0].comparable_key,
        provenance=_provenance(done, finished),
    )


def _provenance(runs: Sequence[TuningRun], finished: Sequence[TuningRun]) -> dict[str, Any]:
    from vecsmith import __version__

    return {
        "runs": len(runs),
        "runs_of_other_rates": len(finished) - len(runs),
        "keys": key_of({"keys": sorted(run.key for run in runs)}),
        "models": sorted({run.model for run in runs}),
        "vecsmith": __version__,
        "recipe": experience_of(finished),
    }
