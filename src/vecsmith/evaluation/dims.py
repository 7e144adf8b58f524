"""How short vectors may be: quality against dimension, and the shortest prefix that keeps enough.

Every prefix meets the same items, so what it keeps of all dims is a ratio taken resample by
resample: its interval is far narrower than those of the two scores.

The one rule: a prefix is good enough when the lower end of that interval is, and every longer
prefix that was asked for is too. Going from long to short and stopping at the first that fails
keeps the chance of one wrong yes below that of a single interval, however many were asked for
(fixed-sequence testing; Maurer, Hothorn and Lehmacher 1995).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vecsmith.results import EvalResult, Ratio, Retention, TaskResult, View
from vecsmith.results.averages import FAMILIES, Selection, find_selection

_SHORTEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixQuality:
    """How good one prefix is.

    Attributes:
        view: Its dims and their precision.
        score: Average or task that was asked for, as a fraction.
        low: Lower end of the score's interval.
        high: Its upper end.
        kept: Share of the longest prefix's score, with its paired interval.
        families: What it keeps of each family, by name.
        is_enough: Whether it and every longer one keep what was asked for.
    """

    view: View
    score: float
    low: float
    high: float
    kept: Ratio
    families: Mapping[str, Ratio]
    is_enough: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityByDim:
    """Quality against dimension.

    Attributes:
        model: Name of the model.
        over: What the scores are of: "families", "sets", a family, a named group or a task.
        keep: Share of the longest prefix's quality that was asked for.
        level: Of the intervals.
        prefixes: The longest, of which the others are shares, first.
    """

    model: str
    over: str
    keep: float
    level: float
    prefixes: tuple[PrefixQuality, ...]

    @property
    def full(self) -> PrefixQuality:
        """The longest prefix."""
        return self.prefixes[0]

    @property
    def smallest(self) -> PrefixQuality:
        """The shortest prefix that is known to keep enough: the longest if no other is."""
        return [prefix for prefix in self.prefixes if prefix.is_enough][-1]

    @property
    def smallest_by_score(self) -> PrefixQuality:
        """The shortest whose score alone keeps enough, sure or not; so all longer ones."""
        chosen = self.full
        for prefix in self.prefixes:
            if prefix.kept.value is None or prefix.kept.value < self.keep:
                break
            chosen = prefix
        return chosen

    def families_below(self) -> dict[str, Ratio]:
        """Families of which the smallest prefix keeps less than was asked for."""
        families = self.smallest.families.items()
        return {
            name: ratio
            for name, ratio in families
            if ratio.value is not None and ratio.value < self.keep
        }


def quality_by_dim(
    result: EvalResult, *, keep: float = 0.95, over: str | None = None, level: float = 0.95
) -> QualityByDim:
    """Quality of every prefix that `result` was scored under, and which of them keep enough.

    Example:
        >>> result = evaluate(model, "my-tasks/", dims=[256, 128, 64, 32])
        >>> quality_by_dim(result, keep=0.97).smallest.view.dim

    Args:
        result: Of an evaluation with `dims`.
        keep: Share of the longest prefix's quality.
        over: "families" for the mean over families, "sets" for that over sets, a family, a named
            group or a task; None for "families".
        level: Of the intervals; their lower ends decide.

    Raises:
        ValueError: If there is no second prefix, no such average, a share is none, or all dims
            score too near zero to keep anything of.
    """
    _check_shares(keep, level)
    views = [view for view in result.views if view.precision == result.views[0].precision]
    if len(views) < 2 or not views[0].dim:
        found = ", ".join(map(str, result.views)) or "none"
        raise ValueError(
            f"{result.model} was scored under {found}, expected two prefixes or more: evaluate it "
            "with dims, as in dims=[256, 128, 64]"
        )
    over = FAMILIES if over is None else over
    selection = find_selection(result, over)
    prefixes: list[PrefixQuality] = []
    is_enough = True
    for view in sorted(views, key=lambda view: -view.dim):
        retention = result.retention(result, view, level=level)
        kept = _kept(result, retention, selection, view)
        is_full = not prefixes
        is_enough = is_enough and (is_full or (kept.low is not None and kept.low >= keep))
        low, high = result.interval(over, view, level=level)
        prefixes.append(
            PrefixQuality(
                view=view,
                score=result.average(over, view),
                low=low,
                high=high,
                kept=kept,
                families={ratio.name: ratio for ratio in retention.families},
                is_enough=is_enough,
            )
        )
    return QualityByDim(
        model=result.model, over=over, keep=keep, level=level, prefixes=tuple(prefixes)
    )


def halvings(dim: int) -> list[int]:
    """All dims, half of them, a quarter, down to 8 or more: what to ask for when nothing is known.

    Raises:
        ValueError: If `dim` is below 1.
    """
    if dim < 1:
        raise ValueError(f"dim is {dim}, expected 1 or more")
    dims = [dim]
    while dims[-1] // 2 >= _SHORTEST:
        dims.append(dims[-1] // 2)
    return dims


def _check_shares(keep: float, level: float) -> None:
    for name, share in (("keep", keep), ("level", level)):
        if not 0 < share < 1:
            raise ValueError(f"{name} is {share}, expected a share between 0 and 1, as in 0.95")


def _kept(result: EvalResult, retention: Retention, selection: Selection, view: View) -> Ratio:
    """The ratio of the selection, its interval never narrower than so few items allow.

    Raises:
        ValueError: If all dims score too near zero.
    """
    kept = retention.of(selection.name)
    if kept.value is None:
        why = next((ratio.note for ratio in retention.families if ratio.note), kept.note)
        raise ValueError(
            f"{result.model}, {selection.name}: {why}, expected a score to keep a share of; "
            "choose other sets"
        )
    if view == result.views[0] or kept.low != kept.high:
        return kept
    # No item has changed, so no resample has: that no item of others like them would is not known.
    unseen = sum(
        share * _unseen(result.tasks[name], retention.level)
        for name, share in selection.weights.items()
    )
    low = max(0.0, kept.value - unseen / result.average(selection.name))
    return replace(kept, low=low)


def _unseen(task: TaskResult, level: float) -> float:
    """Share of items that may change though none of these did: Clopper and Pearson's upper end."""
    if task.statistic != "mean":
        return 0.0  # equal similarities of all pairs: the same vectors, but for their length
    return 1 - float(((1 - level) / 2) ** (1 / task.n_items))
