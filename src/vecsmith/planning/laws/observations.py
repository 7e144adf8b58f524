"""The runs that laws are fitted to, as arrays; losses that do not compare are refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from vecsmith.planning.laws.forms import Floats, checked_point
from vecsmith.results.tuning_runs import TuningRun, differing_settings

__all__ = ["Observations", "best_rate_runs", "comparable_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """R finished runs; each field is [R].

    Attributes:
        n: Non-embedding parameters.
        tokens: Real tokens trained on.
        loss: Held-out loss, positive.
        share: Trained share of the parameters; 1 for all runs where left out.
        flops: FLOP counted; 6 n tokens where left out.
        budget: FLOP asked for, which IsoFLOP profiles are sorted by; as `flops` where left out.
        names: Of the models; their sizes where left out.
    """

    n: Floats
    tokens: Floats
    loss: Floats
    share: Floats = field(default_factory=lambda: np.ones(1))
    flops: Floats | None = None
    budget: Floats | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Makes all fields [R].

        Raises:
            ValueError: If lengths differ or a number is out of range.
        """
        n, tokens, share = checked_point(*np.broadcast_arrays(self.n, self.tokens, self.share))
        if n.ndim != 1 or not n.size:
            raise ValueError(f"n has shape {n.shape}, expected one size for each run")
        cost = 6 * n * tokens if self.flops is None else self.flops
        values = {
            "n": n,
            "tokens": tokens,
            "share": share,
            "loss": self.loss,
            "flops": cost,
            "budget": cost if self.budget is None else self.budget,
        }
        for name, given in values.items():
            array = np.asarray(given, np.float64)
            if array.shape != n.shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {n.shape} as n has")
            bad = ~(np.isfinite(array) & (array > 0))
            if bad.any():
                raise ValueError(f"{name} is {array[bad][0]}, expected positive finite numbers")
            object.__setattr__(self, name, array)
        names = self.names or tuple(f"{size:.6g}" for size in n)
        if len(names) != len(n):
            raise ValueError(f"{len(names)} names for {len(n)} runs, expected as many")
        object.__setattr__(self, "names", tuple(names))

    @classmethod
    def of_runs(cls, runs: Iterable[TuningRun]) -> Self:
        """The finished ones of `runs`, of the best learning rate of each cell.

        Raises:
            ValueError: If none is finished, or their losses cannot be compared.
        """
        done = best_rate_runs(comparable_runs(runs))
        return cls(
            n=np.array([run.n_params for run in done], np.float64),
            tokens=np.array([run.tokens for run in done], np.float64),
            loss=np.array([run.loss for run in done], np.float64),
            share=np.array([run.share for run in done], np.float64),
            flops=np.array([run.counted_flops for run in done], np.float64),
            budget=np.array([run.flops for run in done], np.float64),
            names=tuple(run.model for run in done),
        )

    def __len__(self) -> int:
        return len(self.n)

    def where(self, kept: ArrayLike) -> Observations:
        """The runs that `kept`, [R] of booleans, says."""
        chosen = np.flatnonzero(kept)
        return Observations(
            n=self.n[chosen],
            tokens=self.tokens[chosen],
            loss=self.loss[chosen],
            share=self.share[chosen],
            flops=self.counted[chosen],
            budget=self.asked[chosen],
            names=tuple(self.names[i] for i in chosen),
        )

    @property
    def share_varies(self) -> bool:
        """Whether runs of one size differ in their share, which tells it from the size."""
        logs = np.log(self.share)
        return any(float(np.ptp(logs[self.n == size])) > 1e-6 for size in np.unique(self.n))

    @property
    def counted(self) -> Floats:
        """FLOP counted, [R]."""
        assert self.flops is not None
        return self.flops

    @property
    def asked(self) -> Floats:
        """FLOP asked for, [R]."""
        assert self.budget is not None
        return self.budget


def best_rate_runs(runs: Iterable[TuningRun]) -> list[TuningRun]:
    """The finished runs of the learning rate that is best in their cell, in the order given.

    A cell is a model, a tuning and a budget. Where a search gave it several rates, they are no
    seeds of each other: the one of the least log loss, in the mean over its seeds, is what the cell
    reaches, and runs of the others say nothing of a law.
    """
    done = [run for run in runs if run.loss is not None]
    logs: dict[tuple[object, ...], dict[object, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for run in done:
        logs[_cell(run)][run.settings.get("lr")].append(float(np.log(run.loss or np.nan)))
    best = {
        cell: min(rates, key=lambda rate: (float(np.mean(rates[rate])), str(rate)))
        for cell, rates in logs.items()
    }
    return [run for run in done if run.settings.get("lr") == best[_cell(run)]]


def _cell(run: TuningRun) -> tuple[object, ...]:
    return run.model, str(run.tuning), run.flops, run.comparable_key


def comparable_runs(runs: Iterable[TuningRun]) -> list[TuningRun]:
    """The finished ones of `runs`, whose losses may be compared with each other.

    Raises:
        ValueError: If none is finished, or a setting differs that the loss depends on.
    """
    given: Sequence[TuningRun] = list(runs)
    done = [run for run in given if run.status == "done"]
    if not done:
        raise ValueError(f"none of {len(given)} runs is done, expected finished runs")
    for run in done[1:]:
        if run.comparable_key != done[0].comparable_key:
            differing = "; ".join(differing_settings(done[0], run))
            raise ValueError(
                f"runs {done[0].key[:12]} and {run.key[:12]} differ in {differing}: losses of "
                "different settings are not comparable, fit each setting by itself"
            )
    return done
