"""What laws say of runs that they were not fitted to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vecsmith.planning.laws.fitted import FittedLaws
from vecsmith.planning.laws.observations import best_rate_runs
from vecsmith.results.tuning_runs import TuningRun

__all__ = ["Unseen", "predict_unseen", "without_largest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Predictions of one method's law for runs that it did not see.

    Attributes:
        n_runs: Of them.
        mean_error: Mean absolute error of the predicted loss, as a share of the measured one.
        max_error: The greatest.
        inside: Share of the runs whose loss is inside the interval of one new run.
    """

    n_runs: int
    mean_error: float
    max_error: float
    inside: float


def without_largest(runs: Iterable[TuningRun]) -> tuple[list[TuningRun], list[TuningRun]]:
    """The finished runs of all but the largest model, and those of the largest.

    Raises:
        ValueError: If there are not two sizes.
    """
    done = [run for run in runs if run.status == "done"]
    sizes = {run.n_params for run in done}
    if len(sizes) < 2:
        raise ValueError(f"{len(sizes)} model sizes, expected two or more to hold out the largest")
    largest = max(sizes)
    return (
        [run for run in done if run.n_params < largest],
        [run for run in done if run.n_params == largest],
    )


def predict_unseen(laws: FittedLaws, runs: Iterable[TuningRun]) -> dict[str, Unseen]:
    """How far each method's law is off the finished `runs`; methods without a law are left out.

    Of a cell with several learning rates the best counts, as laws are fitted to it.

    Raises:
        ValueError: If a run's losses do not compare with those of the laws.
    """
    errors: dict[str, list[tuple[float, bool]]] = {}
    for run in best_rate_runs(runs):
        method = run.tuning.method
        if run.loss is None or method not in laws.laws:
            continue
        if run.comparable_key != laws.comparable_key:
            raise ValueError(
                f"run {run.key[:12]} has other settings than the laws were fitted for, expected "
                f"{laws.settings}, found {run.comparable}"
            )
        said = laws.predict(method, run.n_params, run.tokens, run.share, model=run.model)
        is_inside = said.run_low <= run.loss <= said.run_high
        errors.setdefault(method, []).append((abs(said.loss / run.loss - 1), is_inside))
    return {
        method: Unseen(
            n_runs=len(found),
            mean_error=float(np.mean([error for error, _ in found])),
            max_error=float(max(error for error, _ in found)),
            inside=float(np.mean([inside for _, inside in found])),
        )
        for method, found in errors.items()
    }
