"""How a run went, step by step: loss, rate, speed, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from vecsmith._files import read_json
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError

_FORMAT, _VERSION = "vecsmith learning curve", 1
# A run of any length has at most so many points on its curve: then two become one.
_MOST_POINTS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """Some consecutive steps of a run.

    Attributes:
        step: The last of them, counted from 1.
        n_steps: How many.
        loss: Mean loss by set of pairs, of those that had a batch among them.
        lr: Learning rate of the last of them.
        gradient: Mean length of the gradient.
        n_examples: Pairs seen since the run began.
        seconds: Time spent training since the run began, evaluations left out.
    """

    step: int
    n_steps: int
    loss: Mapping[str, float]
    lr: float
    gradient: float
    n_examples: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A score of the model as it was after `step` steps, and when that was."""

    step: int
    score: float
    seconds: float


@dataclass(slots=True, kw_only=True)
class Curve:
    """The points of a run so far, and its evaluations.

    Attributes:
        every: Steps in a point; it doubles when there are too many points.
        points: In the order of the steps.
        evaluations: In the order of the steps, the first before any step.
    """

    every: int = 1
    points: list[CurvePoint] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    _open: list[tuple[str, float, float]] = field(default_factory=list)

    def add_step(
        self,
        step: int,
        *,
        source: str,
        loss: float,
        lr: float,
        gradient: float,
        n_examples: int,
        seconds: float,
    ) -> None:
        """Takes in one step; every so many of them are a point."""
        self._open.append((source, loss, gradient))
        if len(self._open) < self.every:
            return
        self.points.append(
            CurvePoint(
                step=step,
                n_steps=len(self._open),
                loss=_means([(source, loss, 1) for source, loss, _ in self._open]),
                lr=lr,
                gradient=sum(each for _, _, each in self._open) / len(self._open),
                n_examples=n_examples,
                seconds=round(seconds, 3),
            )
        )
        self._open.clear()
        if len(self.points) >= _MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [_joined(first, second) for first, second in pairs]
            self.every *= 2

    def add_evaluation(self, step: int, score: float, seconds: float) -> None:
        """Takes in a score."""
        self.evaluations.append(Evaluation(step=step, score=score, seconds=round(seconds, 3)))

    def score_at_start(self) -> float | None:
        """The score before the first step, None where nothing was scored."""
        first = self.evaluations[0] if self.evaluations else None
        return None if first is None or first.step else first.score

    def plain(self) -> dict[str, Any]:
        """The curve in the kinds that JSON has."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "every": self.every,
            "points": [asdict(point) for point in self.points],
            "evaluations": [asdict(evaluation) for evaluation in self.evaluations],
            "open": [list(step) for step in self._open],
        }

    @classmethod
    def from_plain(cls, record: Any, *, source: str) -> Curve:
        """The curve that `plain` gave.

        Raises:
            FormatError: If it is not one.
        """
        try:
            if record["format"] != _FORMAT or record["version"] != _VERSION:
                raise FormatError(
                    f"{source}: format {record['format']!r:.40} version {record['version']!r:.20}, "
                    f"expected {_FORMAT!r} version {_VERSION}"
                )
            return cls(
                every=int(record["every"]),
                points=[CurvePoint(**point) for point in record["points"]],
                evaluations=[Evaluation(**each) for each in record["evaluations"]],
                _open=[(str(name), float(a), float(b)) for name, a, b in record["open"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{source}: {type(error).__name__} {error!s:.80}, expected a learning curve"
            ) from error


def read_curve(path: PathLike) -> Curve:
    """The curve in the file `path`.

    Raises:
        FormatError: If it holds none.
        OSError: If it cannot be read.
    """
    return Curve.from_plain(read_json(path, remedy="train again"), source=str(path))


def _means(losses: list[tuple[str, float, int]]) -> dict[str, float]:
    """Weighted mean by name."""
    sums: dict[str, tuple[float, int]] = {}
    for name, loss, n_steps in losses:
        total, count = sums.get(name, (0.0, 0))
        sums[name] = (total + loss * n_steps, count + n_steps)
    return {name: total / count for name, (total, count) in sorted(sums.items())}


def _joined(first: CurvePoint, second: CurvePoint) -> CurvePoint:
    both = (first, second)
    n_steps = first.n_steps + second.n_steps
    return CurvePoint(
        step=second.step,
        n_steps=n_steps,
        loss=_means(
            [(name, loss, point.n_steps) for point in both for name, loss in point.loss.items()]
        ),
        lr=second.lr,
        gradient=sum(point.gradient * point.n_steps for point in both) / n_steps,
        n_examples=second.n_examples,
        seconds=second.seconds,
    )
