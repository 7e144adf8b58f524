"""The four pictures of laws and the runs they were fitted to.

The one rule: laws say what is drawn as a line, runs what is drawn as a mark.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vecsmith._files import atomic_file
from vecsmith._typing import PathLike
from vecsmith.planning.laws.best_size import best_sizes
from vecsmith.planning.laws.crossover import crossover
from vecsmith.planning.laws.frontier import LawFrontier, best_of_budgets
from vecsmith.planning.laws.intervals import interval
from vecsmith.planning.laws.isoflop import isoflop_profiles
from vecsmith.planning.laws.observations import Observations, best_rate_runs
from vecsmith.planning.wording import percent_text
from vecsmith.reporting.pictures import Picture
from vecsmith.reporting.pictures.isoflop import Profile, isoflop_figure
from vecsmith.reporting.pictures.loss_budget import Crossing, MethodLosses, loss_budget_figure
from vecsmith.reporting.pictures.optimal_size import MethodSizes, optimal_size_figure
from vecsmith.reporting.pictures.predicted import PredictedRun, predicted_figure
from vecsmith.reporting.pictures.scales import Banded, method_words

if TYPE_CHECKING:
    from vecsmith.planning.laws.fitted import FittedLaws
    from vecsmith.planning.laws.fitted_law import FittedLaw
    from vecsmith.planning.laws.isoflop import IsoFlopProfile
    from vecsmith.results.tuning_runs import TuningRun

# Budgets beyond those run at which a line goes on, either side
_BEYOND: Final = 4.0
_LINE_POINTS: Final = 48
_SIZE_POINTS: Final = 14  # each asks all draws of a law over all sizes
_CURVE_POINTS: Final = 40


def draw_law_pictures(
    laws: FittedLaws, *, runs: Sequence[TuningRun] = (), asked: float | None = None
) -> Iterator[Picture]:
    """Yields the pictures that there is something to draw of.

    Args:
        laws: Fitted to runs, which they keep.
        runs: More finished runs; those that the laws were not fitted to are shown as such, where
            their losses compare.
        asked: A budget to be marked.

    Raises:
        MissingExtraError: If matplotlib or scipy is not installed.
    """
    drawn: tuple[tuple[str, str, Callable[[], Any | None]], ...] = (
        ("isoflop", "IsoFLOP profiles", partial(_isoflop, laws)),
        ("loss-budget", "Loss against budget", partial(_loss_budget, laws, asked)),
        ("optimal-size", "Optimal size against budget", partial(_optimal_size, laws, asked)),
        ("predicted", "Predicted against measured", partial(_predicted, laws, runs)),
    )
    for stem, title, draw in drawn:
        figure = draw()
        if figure is not None:
            yield Picture(stem, title, figure)


def write_law_pictures(
    laws: FittedLaws,
    folder: PathLike,
    *,
    runs: Sequence[TuningRun] = (),
    asked: float | None = None,
) -> Iterator[Path]:
    """Writes each picture as `folder`/<what>.png, and yields the file.

    Raises:
        MissingExtraError: If matplotlib or scipy is not installed.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    for picture in draw_law_pictures(laws, runs=runs, asked=asked):
        path = Path(folder) / f"{picture.stem}.png"
        with atomic_file(path) as file:
            file.write(picture.png())
        yield path


def _isoflop(laws: FittedLaws) -> Any | None:
    profiles = {
        method: [
            _profile(profile, law.observations) for profile in isoflop_profiles(law.observations)
        ]
        for method, law in laws.laws.items()
    }
    return isoflop_figure(profiles)


def _profile(profile: IsoFlopProfile, observed: Observations) -> Profile:
    at = observed.asked == profile.flops
    points = list(zip(observed.n[at].tolist(), observed.loss[at].tolist(), strict=True))
    curve: list[tuple[float, float]] = []
    best = None
    if len(profile.parabola):
        logs = np.linspace(np.log(profile.n[0]), np.log(profile.n[-1]), _CURVE_POINTS)
        losses = np.exp(np.polyval(profile.parabola, logs))
        curve = list(zip(np.exp(logs).tolist(), losses.tolist(), strict=True))
        is_inside = profile.optimum and profile.n[0] <= profile.optimum <= profile.n[-1]
        if is_inside and profile.optimum is not None and profile.loss is not None:
            best = (profile.optimum, profile.loss)
    return Profile(flops=profile.flops, points=points, curve=curve, best=best)


def _budgets(laws: FittedLaws, asked: float | None, n_points: int) -> np.ndarray[Any, Any]:
    """Evenly spaced factors over all budgets run, a little beyond them, and as far as is asked."""
    spans = [laws.frontier(method).span for method in laws.laws]
    low = min(low for low, _ in spans) / _BEYOND
    high = max(high for _, high in spans) * _BEYOND
    if asked is not None:
        low, high = min(low, asked), max(high, asked)
    return np.geomspace(low, high, n_points)


def _loss_budget(laws: FittedLaws, asked: float | None) -> Any | None:
    logs = np.log(_budgets(laws, asked, _LINE_POINTS))
    frontiers = {method: laws.frontier(method) for method in laws.laws}
    return loss_budget_figure(
        {method: _losses(law, frontiers[method], logs) for method, law in laws.laws.items()},
        crossings=_crossings(laws, frontiers, (logs[0], logs[-1])),
        asked=asked,
    )


def _losses(law: FittedLaw, frontier: LawFrontier, logs: np.ndarray[Any, Any]) -> MethodLosses:
    low, high = interval(frontier.draw_log_losses(logs), law.level, frontier.degrees)
    columns = (logs, frontier.log_loss(logs), low, high)
    line = [Banded(*row) for row in np.exp(np.stack(columns, axis=1)).tolist()]
    observed = law.observations
    _, losses, _ = best_of_budgets(observed)
    # at the budget asked for, which methods share; each spends a little less, to a whole step
    budgets = np.unique(observed.asked).tolist()
    return MethodLosses(
        best=list(zip(budgets, losses.tolist(), strict=True)),
        others=list(zip(observed.counted.tolist(), observed.loss.tolist(), strict=True)),
        line=line,
    )


def _crossings(
    laws: FittedLaws, frontiers: dict[str, LawFrontier], log_range: tuple[float, float]
) -> list[Crossing]:
    """Where the best method changes; crossings of two methods behind a third are left out."""
    found = []
    methods = list(frontiers)
    for place, a in enumerate(methods):
        for b in methods[place + 1 :]:
            level = laws.laws[a].level
            crossing = crossover(frontiers[a], frontiers[b], level=level)
            if crossing.flops is None or not _is_lowest(crossing.flops, (a, b), frontiers):
                continue
            if not log_range[0] <= np.log(crossing.flops) <= log_range[1]:
                continue
            beyond = ", outside of the runs" * crossing.extrapolated
            words = f"{method_words(crossing.above)} better above{beyond}"
            ends = crossing.low or None, crossing.high if np.isfinite(crossing.high) else None
            found.append(Crossing(words=words, flops=crossing.flops, low=ends[0], high=ends[1]))
    return sorted(found, key=lambda crossing: crossing.flops)


def _is_lowest(flops: float, pair: tuple[str, str], frontiers: dict[str, LawFrontier]) -> bool:
    at = np.log([flops])
    losses = {method: float(frontier.log_loss(at)[0]) for method, frontier in frontiers.items()}
    return min(losses[method] for method in pair) <= min(losses.values())


def _optimal_size(laws: FittedLaws, asked: float | None) -> Any | None:
    budgets = _budgets(laws, asked, _SIZE_POINTS).tolist()
    methods = {}
    models: dict[str, float] = {}
    for method, law in laws.laws.items():
        observed = law.observations
        _, _, names = best_of_budgets(observed)
        asked_for = np.unique(observed.asked).tolist()
        sizes = dict(zip(observed.names, observed.n.tolist(), strict=True))
        models |= sizes
        methods[method] = MethodSizes(
            best=[(at, sizes[name]) for at, name in zip(asked_for, names, strict=True)],
            line=[
                Banded(best.flops, best.n, best.low, best.high) for best in best_sizes(law, budgets)
            ],
        )
    return optimal_size_figure(methods, models=models, asked=asked)


def _predicted(laws: FittedLaws, runs: Sequence[TuningRun]) -> Any | None:
    methods: dict[str, list[PredictedRun]] = {}
    errors = []
    for method, law in laws.laws.items():
        seen = law.observations
        own = [_seen(law, place) for place in range(len(seen))]
        known = set(zip(seen.n.tolist(), seen.tokens.tolist(), seen.loss.tolist(), strict=True))
        unseen = [
            _unseen(law, run)
            for run in best_rate_runs(runs)
            if run.tuning.method == method
            and run.loss is not None
            and run.comparable_key == laws.comparable_key
            and (float(run.n_params), float(run.tokens), run.loss) not in known
        ]
        errors += [abs(run.predicted / run.measured - 1) for run in unseen]
        methods[method] = own + unseen
    subtitle = ""
    if errors:
        mean = percent_text(float(np.mean(errors)))
        subtitle = (
            f"rings: {len(errors)} runs that the laws had not seen, with the interval of one run; "
            f"their mean error is {mean}; strip: within 3 %"
        )
    return predicted_figure(methods, subtitle=subtitle)


def _seen(law: FittedLaw, place: int) -> PredictedRun:
    observed = law.observations
    loss = float(observed.loss[place])
    return PredictedRun(
        flops=float(observed.counted[place]),
        measured=loss,
        predicted=loss * float(np.exp(-law.residuals[place])),
    )


def _unseen(law: FittedLaw, run: TuningRun) -> PredictedRun:
    assert run.loss is not None
    said = law.predict(float(run.n_params), float(run.tokens), run.share, model=run.model)
    return PredictedRun(
        flops=run.counted_flops,
        measured=run.loss,
        predicted=said.loss,
        low=said.run_low,
        high=said.run_high,
        is_held_out=True,
    )
