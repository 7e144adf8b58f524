"""Which candidate is best, by a published recipe or by laws fitted to runs.

The one rule: every comparison is by a named number; where two candidates are as good as each other
by it, what serving costs decides, if it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from vecsmith.planning.choosing.candidates import Candidate
from vecsmith.planning.choosing.presets import Preset, load_preset
from vecsmith.planning.inputs import Data, Limits, Settings

SizeRule = Literal["middle", "largest", "smallest", "tokens-per-parameter"]
SIZE_RULES: Final[tuple[str, ...]] = get_args(SizeRule)
_TOKENS_PER_PARAMETER: Final[float] = load_preset()["tokens_per_parameter"]
# Cheaper serving decides between equals only where it saves this share of all FLOP.
LEAST_SAVING: Final[float] = load_preset()["least_saving"]
# Predicted losses nearer than this are equals.
LOSS_TOLERANCE: Final[float] = load_preset()["loss_tolerance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Candidates in the order of preference.

    Attributes:
        candidates: The best first.
        by: What they are ordered by, in words.
        unserved: Which would be first if serving cost nothing, where that is another.
    """

    candidates: tuple[Candidate, ...]
    by: str
    unserved: Candidate | None = None


def rank_by_preset(
    candidates: Sequence[Candidate],
    preset: Preset,
    *,
    data: Data,
    settings: Settings,
    limits: Limits,
    size_rule: SizeRule,
) -> Ranking:
    """The recipe of Ziarko et al. 2024, algorithm 1: method by threshold, size by a rule.

    Methods that the paper finds worse follow in its order, for whoever cannot use the first.
    """
    distance = size_distance(size_rule, data=data, settings=settings, limits=limits)
    reference = _counted_flops(candidates, distance)
    methods = _methods_by_flops(reference, preset)
    places = _places_in_model(candidates, preset)

    def key(candidate: Candidate) -> tuple[float, ...]:
        method = methods.index(candidate.tuning.method)
        return method, places[id(candidate)], distance(candidate)

    ranked = sorted(candidates, key=key)
    first = ranked[0]
    equals = [
        each
        for each in ranked
        if each.tuning.method == first.tuning.method
        and places[id(each)] == places[id(first)]
        and abs(math.log(each.steps / first.steps)) <= math.log(preset["size_tolerance"])
    ]
    return _served(ranked, equals, by=f"threshold of {preset.name}, then size by rule {size_rule}")


def rank_by_loss(candidates: Sequence[Candidate]) -> Ranking:
    """By predicted loss; all must have one."""
    ranked = sorted(candidates, key=_loss)
    best = _loss(ranked[0])
    equals = [each for each in ranked if _loss(each) <= best * (1 + LOSS_TOLERANCE)]
    return _served(ranked, equals, by="predicted loss")


def size_distance(
    rule: SizeRule, *, data: Data, settings: Settings, limits: Limits
) -> Callable[[Candidate], float]:
    """How far a candidate's size is from what a named rule asks for.

    "middle": ln steps from the geometric mean of the fewest steps and those of the most epochs.
    "tokens-per-parameter": ln tokens from 20 N. "largest", "smallest": by N.

    Raises:
        ValueError: If there is no such rule, or "middle" without a number of pairs.
    """
    if rule not in SIZE_RULES:
        raise ValueError(f"size rule {rule!r:.60}, expected one of {list(SIZE_RULES)}")
    if rule == "largest":
        return lambda candidate: -float(candidate.n_params)
    if rule == "smallest":
        return lambda candidate: float(candidate.n_params)
    if rule == "tokens-per-parameter":
        return lambda candidate: abs(
            math.log(candidate.tokens / (_TOKENS_PER_PARAMETER * candidate.n_params))
        )
    middle = middle_steps(data, settings, limits)
    return lambda candidate: abs(math.log(candidate.steps / middle))


def middle_steps(data: Data, settings: Settings, limits: Limits) -> float:
    """Geometric mean of the fewest steps and of those of the most epochs.

    Raises:
        ValueError: If the number of pairs is not known.
    """
    if data.pairs is None:
        raise ValueError(
            "size rule 'middle' without a number of pairs, expected it: say how many there are, "
            "or take another rule"
        )
    most = limits.max_epochs * data.pairs / settings.batch_size
    return math.sqrt(limits.min_steps * most)


def _counted_flops(
    candidates: Sequence[Candidate], distance: Callable[[Candidate], float]
) -> float:
    """Counted FLOP that the threshold is compared with.

    A budget of hours buys fewer counted FLOP where recompute takes some; the threshold then meets
    those of full fine-tuning, or of what there is.
    """
    full = [each for each in candidates if each.tuning.method == "full"]
    return min(full or candidates, key=distance).flops


def _methods_by_flops(flops: float, preset: Preset) -> list[str]:
    """Methods, the best first: the threshold itself is full fine-tuning's (algorithm 1)."""
    is_small = flops <= preset["threshold_flops"]
    first = ["full", "lora"] if is_small else ["lora", "full"]
    return [*first, "freeze", "bias"]  # section 4.4: freezing close behind, bias-only the worst


def _places_in_model(candidates: Sequence[Candidate], preset: Preset) -> dict[int, int]:
    """Place of each candidate, by identity: 0 for the best of its model and method.

    A rank that is no good default never has place 0, though its model has no better one left.
    """
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault((candidate.model, candidate.tuning.method), []).append(candidate)
    n_good = len(preset["preferred_ranks"])
    places: dict[int, int] = {}
    for group in groups.values():
        ordered = sorted(group, key=lambda candidate: _hyper_distance(candidate, preset))
        for place, candidate in enumerate(ordered):
            is_odd = candidate.tuning.method == "lora" and _hyper_distance(candidate, preset)[0] > 0
            places[id(candidate)] = place + (n_good if is_odd else 0)
    return places


def _hyper_distance(candidate: Candidate, preset: Preset) -> tuple[float, ...]:
    """How far a rank or a share of frozen blocks is from the best; the first number 0 if it is."""
    tuning = candidate.tuning
    if tuning.method == "lora":
        preferred = preset["preferred_ranks"]
        if tuning.rank in preferred:
            return 0.0, float(preferred.index(tuning.rank))
        return 1.0, abs(math.log(tuning.rank / preferred[0]))
    if tuning.method == "freeze":
        active = 1 - tuning.frozen_blocks / candidate.n_layers
        return (abs(active - active_share(candidate.n_params, preset)),)
    return (0.0,)


def active_share(n_params: int, preset: Preset) -> float:
    """Share of blocks that freezing leaves trained in a model of this size."""
    if n_params <= preset["small_size"]:
        return float(preset["active_share_small"])
    if n_params >= preset["large_size"]:
        return float(preset["active_share_large"])
    return float(preset["active_share_between"])


def _served(ranked: Sequence[Candidate], equals: Sequence[Candidate], *, by: str) -> Ranking:
    """The order once serving has decided among `equals`, where it saves enough."""
    first = ranked[0]
    if first.serving is None:
        return Ranking(candidates=tuple(ranked), by=by)
    cheapest = min(equals, key=total_flops)
    if total_flops(cheapest) > (1 - LEAST_SAVING) * total_flops(first):
        return Ranking(candidates=tuple(ranked), by=by)
    others = [each for each in ranked if each is not cheapest]
    return Ranking(
        candidates=(cheapest, *others), by=f"{by}, then cost with serving", unserved=first
    )


def total_flops(candidate: Candidate) -> float:
    """FLOP of training on the device and of serving afterwards."""
    served = 0.0 if candidate.serving is None else candidate.serving.flops
    return candidate.device_flops + served


def _loss(candidate: Candidate) -> float:
    assert candidate.predicted is not None
    return candidate.predicted.loss
