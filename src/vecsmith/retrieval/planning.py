"""Learning a plan: which prefixes, how precise and how long the shortlists, for an asked recall.

One half of held-out queries is learnt from, the other half tells what recall the plans reach on
queries that had no say. The rule: a plan is never judged by the queries that chose it.

Every first stage is run once, with the longest shortlist. Where the true neighbours stand in it
says what any shorter one would have kept, and rescoring the longest one once by a middle stage
says the same of every pair of lengths. No pair is tried by running it.

Shapes: Q queries, K rows of a shortlist, k true neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval import costs
from vecsmith.retrieval.plan import RecallEstimate, RowKind, SearchPlan, Stage

Places = NDArray[np.int64]
Seconds = Callable[[SearchPlan, int | None], float]

# Recalls that a frontier is made of, besides the one asked for
RECALLS: Final = (0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
# A length must reach the asked recall this many standard errors over (one-sided 99 %): so many
# plans are tried on the same queries that the cheapest of them owes some of its recall to luck.
# Measured: with 1.645 and 500 queries, plans of three stages for 0.99 reached 0.9895 on others.
_MARGIN: Final = 2.326
_TWO_SIDED: Final = 1.96
# Lengths of the first shortlist that are tried before a middle stage: each 1.4 times the last
_STEP: Final = math.sqrt(2)
# A middle stage reads at least so many times the bytes of the first, or it tells little more
_COARSER: Final = 2
_PACKED: Final = 8
# More queries than these make plans little better and take as much longer to learn from
_MOST_LEARNING: Final = 1000


class Searcher(Protocol):
    """What carries out stages over rows that are not seen from here; -1 is no row."""

    def exact_top_k(self, queries: FloatArray, k: int) -> Places:
        """Places of the best `k` by whole vectors, [Q, k]."""
        ...

    def scan(self, queries: FloatArray, stage: Stage) -> Places:
        """Places of the best `stage.keep` of all rows, best first, [Q, keep]."""
        ...

    def rescore(
        self, queries: FloatArray, places: Places, stage: Stage
    ) -> tuple[Places, FloatArray]:
        """The best `stage.keep` of the places [Q, K], best first, and their scores."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was learnt: the plan for the asked recall, and the cheapest ones for others.

    Attributes:
        plan: The cheapest that meets what was asked.
        frontier: From the cheapest to the exact one, each for a higher recall than the last.
        seconds: What a query should take by each of them (`costs.seconds`).
    """

    plan: SearchPlan
    frontier: tuple[SearchPlan, ...]
    seconds: tuple[float, ...]


def choose_plan(
    searcher: Searcher,
    queries: FloatArray,
    *,
    n_rows: int,
    k: int = 10,
    recall: float = 0.99,
    dims: Sequence[int] | None = None,
    kinds: Sequence[RowKind] = ("int8", "bits"),
    full: RowKind = "float32",
    firsts: Sequence[Stage] = (),
    n_scored: Callable[[Stage], int] | None = None,
    own: Places | None = None,
    most: int = 4096,
    seed: int = 0,
    machine: costs.Machine = costs.MEASURED,
) -> Choice:
    """The cheapest plan that finds the asked share of the true neighbours, and those beside it.

    Args:
        searcher: Runs stages over the rows.
        queries: Held-out queries, [Q, D]; 200 or more tell 0.99 from 0.98. Of fewer than 50 the
            estimates say that they are few, and what cannot be told of them is searched exactly.
        n_rows: Rows there are.
        k: True neighbours of a query, those of exact search by all dims.
        recall: Share of them to find, as a mean over queries.
        dims: Prefixes that stages may read; None for halvings of D.
        kinds: How packed prefixes may be stored, besides those of whole vectors.
        full: How whole vectors are kept: what the last stage reads.
        firsts: More first stages to try, such as walks through graphs; what they keep is learnt.
        n_scored: Rows that such a stage scored a query, asked once it ran.
        own: Place of each query among the rows, where queries are rows themselves, [Q]; a row does
            not count as its own neighbour.
        most: Rows in the longest shortlist.
        seed: Of the halves.
        machine: What steps take.

    Raises:
        ValueError: If there are fewer than 2 queries, or a number makes no sense.
    """
    _check(queries, recall, k, n_rows)
    dim = queries.shape[1]
    asked_dims = sorted({*(even_halvings(dim) if dims is None else dims)})
    most = min(most, n_rows - (own is not None))
    exact = SearchPlan.exact(dim, k=k, kind=full)
    setting = _Setting(
        # of the vectors that are kept anyway every prefix, of what would be packed the longest
        middles=_coarser(asked_dims, [full], exact.stages[0], most)
        + _coarser(asked_dims[-1:], kinds, exact.stages[0], most),
        last=exact.stages[0],
        seconds=lambda plan, scored: costs.seconds(plan, n_rows, n_scored=scored, machine=machine),
    )
    learning, judging = (
        _Sample(searcher, queries[half], _exact(searcher, queries[half], k, _of(own, half)),
                _of(own, half))
        for half in _halves(len(queries), seed)
    )  # fmt: skip
    best = {
        asked: _Offer(exact, setting.seconds(exact, None)) for asked in sorted({*RECALLS, recall})
    }
    tried = _coarser(asked_dims, kinds, exact.stages[0], most)
    tried += [replace(stage, keep=min(most, stage.keep)) for stage in firsts]
    for first in tried if most > k else []:
        _learn(learning, first, setting, best, n_scored)
    frontier = _judged({**best, 1.0: _Offer(exact, setting.seconds(exact, None))}, judging)
    return Choice(
        plan=next(offer.plan for offer in frontier if _asked(offer.plan) >= recall),
        frontier=tuple(offer.plan for offer in frontier),
        seconds=tuple(offer.seconds for offer in frontier),
    )


def even_halvings(dim: int, *, least: int = 16) -> list[int]:
    """`dim`, half of it, and so on down to `least` or the first odd one, longest first."""
    found = [dim]
    while found[-1] % 2 == 0 and found[-1] // 2 >= least:
        found.append(found[-1] // 2)
    return found


def recall_estimate(recalls: NDArray[np.float64], *, asked: float) -> RecallEstimate:
    """Mean recall over queries with its 95 % interval.

    Wilson's interval with the effective number of trials that the spread between queries tells
    (Korn and Graubard 1998): the k neighbours of a query are found or missed together. Where no
    query differs from another, each counts as one trial, so perfect recall keeps a lower end.

    Args:
        recalls: Share found of each query, [Q].
        asked: What was asked for.
    """
    n, mean = len(recalls), float(recalls.mean())
    low, high = _wilson(mean, _trials(recalls, n), _TWO_SIDED)
    return RecallEstimate(
        achieved=mean, low=min(low, mean), high=max(high, mean), n_queries=n, asked=asked
    )


def _wilson(share: float, trials: float, z: float) -> tuple[float, float]:
    """Wilson 1927, as in Brown, Cai and DasGupta 2001, equation 4."""
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    reach /= 1 + z * z / trials
    return max(0.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A plan, what it takes, and the rows its first stage scores where data tells that."""

    plan: SearchPlan
    seconds: float
    n_scored: int | None = None


@dataclass(frozen=True, slots=True)
class _Sample:
    """Queries and their true neighbours."""

    searcher: Searcher
    queries: FloatArray
    truth: Places
    own: Places | None

    def scan(self, stage: Stage) -> Places:
        """Places the first stage finds, without the query's own row."""
        more = replace(stage, keep=stage.keep + (self.own is not None))
        return _without(self.searcher.scan(self.queries, more), self.own)

    def found(self, plan: SearchPlan) -> Places:
        """Places that the whole plan finds."""
        spare = int(self.own is not None)
        first, *later = (replace(stage, keep=stage.keep + spare) for stage in plan.stages)
        places = self.searcher.scan(self.queries, first)
        for stage in later:
            places, _ = self.searcher.rescore(self.queries, places, stage)
        return _without(places, self.own)


@dataclass(frozen=True, slots=True)
class _Setting:
    """What all shapes of plans are tried with."""

    middles: Sequence[Stage]
    last: Stage
    seconds: Seconds


def _coarser(dims: Sequence[int], kinds: Iterable[RowKind], last: Stage, most: int) -> list[Stage]:
    """Stages that read fewer bytes of a row than the last one, the fewest first.

    What is packed beside whole vectors takes room: an eighth of theirs at most.
    """
    stages = [
        Stage(dim=dim, keep=max(most, 1), kind=kind)
        for dim in dims
        for kind in dict.fromkeys(kinds)
        if dim <= last.dim
    ]
    stages = [
        stage
        for stage in stages
        if stage.row_bytes * (1 if stage.kind == last.kind else _PACKED) <= last.row_bytes
        and (stage.dim, stage.kind) != (last.dim, last.kind)
    ]
    return sorted(stages, key=lambda stage: (stage.row_bytes, stage.dim))


def _learn(
    sample: _Sample, first: Stage, setting: _Setting, best: dict[float, _Offer],
    n_scored: Callable[[Stage], int] | None,
) -> None:  # fmt: skip
    """Offers the cheapest plans that begin with `first`, of two stages and of three."""
    k = setting.last.keep
    if first.how == "exact" and not _may_gain(best, setting, [_keeping(first, k)], None):
        return  # the scan alone takes longer than plans that are known
    places = sample.scan(first)
    scored = n_scored(first) if n_scored is not None and first.how != "exact" else None
    ranks = _ranks(places, sample.truth)
    shortest: dict[float, int] = {}
    for recall in best:
        keep = _shortest(ranks, sample.truth, recall, first.keep)
        if keep is not None:
            shortest[recall] = keep
            _offer(best, recall, (_keeping(first, keep), setting.last), setting, scored)
    for middle in setting.middles:
        if middle.row_bytes >= _COARSER * first.row_bytes:
            _learn_three(sample, first, middle, places, setting, best, scored, shortest)


def _learn_three(
    sample: _Sample, first: Stage, middle: Stage, places: Places, setting: _Setting,
    best: dict[float, _Offer], scored: int | None, shortest: Mapping[float, int],
) -> None:  # fmt: skip
    """Offers plans of `first`, `middle` and the last stage, of all lengths from the shortest."""

    def may_gain(recall: float, keep: int) -> bool:
        stages = [_keeping(first, keep), replace(middle, keep=setting.last.keep)]
        return _may_gain({recall: best[recall]}, setting, stages, scored)

    # what a middle stage is to find, the first one must have let through
    shortest = {recall: keep for recall, keep in shortest.items() if may_gain(recall, keep)}
    if not shortest:
        return
    lengths = [
        keep
        for keep in _lengths(min(shortest.values()), first.keep)
        if any(may_gain(recall, keep) for recall in shortest)
    ]
    places = np.ascontiguousarray(places[:, : lengths[-1]])
    better, _ = sample.searcher.rescore(sample.queries, places, replace(middle, keep=lengths[-1]))
    # where what the middle stage put in order had stood; behind the last, what is nowhere
    stood = np.pad(_moved(places, better), ((0, 0), (0, 1)), constant_values=lengths[-1])
    ranks = _ranks(better, sample.truth)
    for keep in lengths:
        # of a shorter first shortlist the middle stage gets fewer, in the same order
        is_there = stood < keep
        before = np.cumsum(is_there, axis=1, dtype=np.int32)
        within = np.take_along_axis(before, ranks, axis=1).astype(np.int64) - 1
        within = np.where(np.take_along_axis(is_there, ranks, axis=1), within, first.keep)
        for recall, least in shortest.items():
            second = _shortest(within, sample.truth, recall, keep) if keep >= least else None
            if second is not None:
                stages = (_keeping(first, keep), replace(middle, keep=second), setting.last)
                _offer(best, recall, stages, setting, scored)


def _may_gain(
    best: Mapping[float, _Offer], setting: _Setting, stages: Sequence[Stage], scored: int | None
) -> bool:
    """Whether these stages, with the last one, would be cheaper than a plan that is known."""
    plan = SearchPlan(stages=(*stages, setting.last))
    return setting.seconds(plan, scored) < max(offer.seconds for offer in best.values())


def _offer(
    best: dict[float, _Offer], recall: float, stages: tuple[Stage, ...], setting: _Setting,
    scored: int | None,
) -> None:  # fmt: skip
    plan = SearchPlan(stages=stages)
    seconds = setting.seconds(plan, scored)
    if seconds < best[recall].seconds:
        best[recall] = _Offer(plan, seconds, scored)


def _keeping(first: Stage, keep: int) -> Stage:
    return replace(first, keep=keep)


def _shortest(ranks: Places, truth: Places, recall: float, longest: int) -> int | None:
    """Length of the shortest shortlist that is sure to reach `recall`, None if `longest` is not.

    Args:
        ranks: Where the true neighbours stand, from 0, [Q, k].
        truth: The true neighbours, -1 where a query has fewer.
        recall: Mean over queries.
        longest: The most that may be kept.
    """
    k = truth.shape[1]
    lengths = np.unique(np.maximum(ranks[ranks < longest] + 1, k))
    if not len(lengths) or not _reaches(ranks, truth, int(lengths[-1]), recall):
        return None
    low, high = 0, len(lengths) - 1
    while low < high:
        half = (low + high) // 2
        if _reaches(ranks, truth, int(lengths[half]), recall):
            high = half
        else:
            low = half + 1
    return int(lengths[high])


def _reaches(ranks: Places, truth: Places, keep: int, recall: float) -> bool:
    """Whether a shortlist of `keep` is sure to hold the asked share: the lower end of its interval.

    Where none is missed the share counts as if one neighbour had been: that few queries find all
    of theirs says little.
    """
    recalls = _shares(ranks < keep, truth)
    n_true = max(int((truth >= 0).sum()), 1)
    mean = min(float(recalls.mean()), 1 - 1 / n_true)
    return _wilson(mean, min(_trials(recalls, n_true), n_true), _MARGIN)[0] >= recall


def _trials(recalls: NDArray[np.float64], at_most: int) -> float:
    """Independent trials that queries are worth: their neighbours are found or missed together."""
    n, mean = len(recalls), float(recalls.mean())
    spread = float(recalls.var(ddof=1)) if n > 1 else 0.0
    if spread > 0:
        return n * mean * (1 - mean) / spread
    return at_most if mean == 1 else n


def _shares(is_found: NDArray[np.bool_], truth: Places) -> NDArray[np.float64]:
    """Share found of the true neighbours of each query that has any."""
    is_true = truth >= 0
    counts = is_true.sum(axis=1)
    shares: NDArray[np.float64] = (is_found & is_true).sum(axis=1)[counts > 0] / counts[counts > 0]
    return shares if len(shares) else np.ones(1)


def _lengths(shortest: int, longest: int) -> Iterable[int]:
    n = 1 + math.ceil(math.log(longest / shortest, _STEP)) if longest > shortest else 1
    return sorted({min(longest, round(shortest * _STEP**i)) for i in range(n)})


def _ranks(places: Places, wanted: Places) -> Places:
    """Where each of `wanted` [Q, k] stands in its row of `places` [Q, K]; K where it does not."""
    found = np.full(wanted.shape, places.shape[1], dtype=np.int64)
    for column in range(wanted.shape[1]):
        is_it = (places == wanted[:, column, None]) & (wanted[:, column, None] >= 0)
        found[:, column] = np.where(is_it.any(axis=1), is_it.argmax(axis=1), places.shape[1])
    return found


def _moved(places: Places, ordered: Places) -> Places:
    """Where each of `ordered`, the same places in another order, stood in `places`, [Q, K]."""
    stood = np.empty_like(places)
    old, new = (np.argsort(rows, axis=1, kind="stable") for rows in (places, ordered))
    np.put_along_axis(stood, new, old, axis=1)
    return stood


def _without(places: Places, own: Places | None) -> Places:
    """Places [Q, K + 1] without each query's own, or the last where that is not there."""
    if own is None:
        return places
    is_own = places == own[:, None]
    is_own[:, -1] |= ~is_own.any(axis=1)
    # a row that stands twice would be another shape; no stage gives one place twice
    kept: Places = places[~is_own].reshape(len(places), -1)
    return kept


def _exact(searcher: Searcher, queries: FloatArray, k: int, own: Places | None) -> Places:
    if own is None:
        return searcher.exact_top_k(queries, k)
    return _without(searcher.exact_top_k(queries, k + 1), own)


def _asked(plan: SearchPlan) -> float:
    return plan.recall.asked if plan.recall else 1.0


def _judged(best: dict[float, _Offer], judge: _Sample) -> list[_Offer]:
    """Each plan once, with the recall it reaches on the other half, for the most it was learnt."""
    last_of: dict[SearchPlan, tuple[float, _Offer]] = {}
    for recall, offer in sorted(best.items()):
        last_of[offer.plan] = (recall, offer)
    judged = []
    for recall, offer in last_of.values():
        # a plan of one stage is the exact search that the truth is from
        found = judge.truth if len(offer.plan.stages) == 1 else judge.found(offer.plan)
        ranks = _ranks(found, judge.truth)
        shares = _shares(ranks < judge.truth.shape[1], judge.truth)
        plan = offer.plan.with_recall(recall_estimate(shares, asked=recall))
        judged.append(replace(offer, plan=plan))
    return judged


def _halves(n: int, seed: int) -> tuple[Places, Places]:
    """Queries to learn from and to judge by; of many, more judge, which costs little."""
    order = np.random.default_rng(seed).permutation(n)
    n_learning = min(n // 2, _MOST_LEARNING)
    return np.sort(order[:n_learning]), np.sort(order[n_learning:])


def _of(places: Places | None, chosen: Places) -> Places | None:
    return None if places is None else places[chosen]


def _check(queries: Any, recall: float, k: int, n_rows: int) -> None:
    if queries.ndim != 2 or len(queries) < 2:
        raise ValueError(
            f"queries of shape {list(queries.shape)}, expected [Q, D] with 2 or more: one half to "
            "learn from, the other to judge by"
        )
    if not 0 < recall <= 1:
        raise ValueError(f"recall {recall}, expected above 0 and at most 1")
    if k < 1 or n_rows < 1:
        raise ValueError(f"k is {k} among {n_rows} rows, expected 1 or more of both")
