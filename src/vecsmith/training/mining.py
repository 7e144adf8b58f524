"""Hard negatives: for each anchor, texts of other pairs that an encoder takes for near.

One rule: a negative is never a text that is known to be right: neither a positive of the same
anchor nor the anchor itself, in any spelling of case and space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, overload

import numpy as np
from numpy.typing import NDArray

from vecsmith._progress import Advance, progress_bar
from vecsmith._similarity import similarity_pairwise
from vecsmith._typing import Encoder, FloatArray, PathLike
from vecsmith.corpora import Corpus, PairCorpus
from vecsmith.corpora.memory import SequencePart
from vecsmith.retrieval import search
from vecsmith.training.mining_texts import MiningTexts, encoded, mining_texts
from vecsmith.training.pair_tokens import PairSource

Strategy = Literal["top", "random"]

_BLOCK_ROWS: Final = 2**12
_BLOCK_SCORES: Final = 2**23  # candidates looked at together: 32 MB of scores, as much of places
# Candidates looked at for an anchor whose positive is so far that hundreds of texts are nearer
_MAX_DEPTH: Final = 2**13
_KNOWN: Final = "known to be right"


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningReport:
    """What became of rows and candidates.

    Attributes:
        n_read: Rows read.
        n_kept: Rows that got all their negatives.
        skipped: Rows left out, by reason.
        refused: Candidates that were refused, by reason, each time they were looked at.
        positive_score: Mean similarity of anchors and positives, of the rows kept.
        negative_score: Mean similarity of anchors and negatives.
    """

    n_read: int
    n_kept: int
    skipped: Mapping[str, int]
    refused: Mapping[str, int]
    positive_score: float
    negative_score: float

    def __str__(self) -> str:
        left_out = "".join(f", {n:,} left out: {reason}" for reason, n in self.skipped.items())
        refused = "".join(f", {n:,} {reason}" for reason, n in self.refused.items())
        return (
            f"{self.n_kept:,} of {self.n_read:,} rows{left_out}; mean similarity of positives "
            f"{self.positive_score:.3f}, of negatives {self.negative_score:.3f}; refused as "
            f"negatives{refused[1:] or ' none'}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MinedPairs:
    """Pairs with negatives.

    Attributes:
        pairs: What can be trained on: the columns there were, then the mined negatives.
        numbers: Which rows of the set as it was read they are, shape [N].
        positive_scores: Similarity of each anchor and positive, shape [N].
        negative_scores: Of each anchor and its negatives, nearest first, shape [N, n_negatives].
        report: What became of rows and candidates.
    """

    pairs: PairCorpus
    numbers: NDArray[np.int64]
    positive_scores: FloatArray
    negative_scores: FloatArray
    report: MiningReport


def mine_hard_negatives(
    pairs: PairSource,
    encoder: Encoder,
    *,
    n_negatives: int = 3,
    range_min: int = 0,
    range_max: int | None = None,
    absolute_margin: float | None = None,
    relative_margin: float | None = 0.05,
    max_score: float | None = None,
    strategy: Strategy = "top",
    corpus: Sequence[str] = (),
    seed: int = 0,
    work: PathLike | None = None,
    show_progress_bar: bool = False,
) -> MinedPairs:
    """`pairs` with `n_negatives` more columns of texts that are near each anchor and yet wrong.

    Candidates are all positives of the set and the texts of `corpus`; the search is exact, by
    cosine. Refused are those too near to be wrong: by default those whose similarity is above 95 %
    of the positive's (TopK-PercPos, NV-Retriever, Moreira et al. 2024, section 3.2). Of several
    positives of one anchor the one with the least similarity counts. Rows that do not get all
    their negatives are left out. All texts are held in memory, and a vector of each.

    The rows of mine_hard_negatives of sentence-transformers with output_format="n-tuple" are
    among these, and are all where `range_max` is given; but an anchor is never its own negative.

    Args:
        pairs: Anchors and positives; negatives that are there already stay.
        encoder: A teacher, or the model itself. If it has `encode_query` and `encode_document`,
            anchors go through the first and candidates through the second.
        n_negatives: Negatives of each row.
        range_min: How many of the nearest that are not refused to pass over.
        range_max: Rank of the last candidate to look at; None for ten times `n_negatives` and the
            largest number of positives of an anchor, as much past `range_min`, and for more where
            these do not suffice.
        absolute_margin: Least difference between the positive's similarity and a negative's.
        relative_margin: The same as a share of the positive's similarity.
        max_score: Largest similarity of a negative.
        strategy: "top" takes the nearest, "random" any of those that are left.
        corpus: More candidates.
        seed: Of "random".
        work: Folder in which vectors are kept, so that mining that was stopped goes on; the
            encoder must have a `fingerprint` then.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        ValueError: If a setting is out of range, or no row gets its negatives.
        FormatError: If the set cannot be read.

    Example:
        mined = mine_hard_negatives(open_pairs("pairs.parquet"), model, n_negatives=5)
        print(mined.report)
        model = train_static(init=model, pairs=mined.pairs)
    """
    _check(n_negatives, range_min, range_max, strategy)
    texts = mining_texts(pairs, corpus)
    if not len(texts.anchors):
        raise ValueError(f"{pairs.name}: no row has both texts, expected some to mine for")
    queries = encoded(encoder, texts.queries, "query", work, show_progress_bar)
    documents = encoded(encoder, texts.documents, "document", work, show_progress_bar)
    positive_scores = _pair_scores(queries, documents, texts)
    ceilings = _ceilings(texts, positive_scores, absolute_margin, relative_margin, max_score)
    n_positives = int(np.bincount(texts.anchors).max())
    window = range_max or range_min + n_negatives * (10 if ceilings else 1) + n_positives
    finder = _Finder(
        queries=queries,
        documents=documents,
        refusals=_Refusals(texts, ceilings),
        choice=_Choice(
            n=n_negatives,
            window=slice(range_min, window),
            dice=np.random.default_rng(seed) if strategy == "random" else None,
        ),
    )
    k = window + n_positives
    with progress_bar("negatives", total=len(queries), show=show_progress_bar) as advance:
        places, scores = finder.find(k, k if range_max else max(k, _MAX_DEPTH), advance)
    return _mined(pairs, texts, positive_scores, places, scores, finder.refusals.counts)


def _check(n_negatives: int, range_min: int, range_max: int | None, strategy: str) -> None:
    if n_negatives < 1:
        raise ValueError(f"n_negatives is {n_negatives}, expected 1 or more")
    if range_min < 0:
        raise ValueError(f"range_min is {range_min}, expected 0 or more")
    if range_max is not None and range_max - range_min < n_negatives:
        raise ValueError(
            f"range_max is {range_max} and range_min {range_min}, expected room for "
            f"{n_negatives} negatives between them"
        )
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy {strategy!r}, expected one of {list(get_args(Strategy))}")


def _ceilings(
    texts: MiningTexts,
    positive_scores: FloatArray,
    absolute_margin: float | None,
    relative_margin: float | None,
    max_score: float | None,
) -> dict[str, FloatArray]:
    """Largest similarity of a negative to each query, by what says so, [Q] each."""
    least = np.full(len(texts.queries), np.inf, dtype=np.float32)
    np.minimum.at(least, texts.anchors, positive_scores)
    ceilings = {}
    if absolute_margin is not None:
        ceilings["above the absolute margin"] = least - np.float32(absolute_margin)
    if relative_margin is not None:
        # of a similarity below 0 the share is taken downwards as well
        ceilings["above the relative margin"] = least - np.abs(least) * np.float32(relative_margin)
    if max_score is not None:
        ceilings["above max_score"] = np.full_like(least, max_score)
    return ceilings


def _pair_scores(queries: FloatArray, documents: FloatArray, texts: MiningTexts) -> FloatArray:
    """Similarity of each row's anchor and positive, shape [N]."""
    scores = np.empty(len(texts.anchors), dtype=np.float32)
    for rows in _blocks(len(scores), queries.shape[1]):
        scores[rows] = similarity_pairwise(
            queries[texts.anchors[rows]], documents[texts.positives[rows]], kind="cosine"
        )
    return scores


def _blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of rows of which a block of `width` columns is of bounded size."""
    step = max(1, min(_BLOCK_ROWS, _BLOCK_SCORES // max(1, width)))
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finder:
    """Looks for the negatives of queries among documents."""

    queries: FloatArray
    documents: FloatArray
    refusals: _Refusals
    choice: _Choice

    def find(self, k: int, deepest: int, advance: Advance) -> tuple[NDArray[np.int32], FloatArray]:
        """Places and scores of the negatives, [Q, n]; -1 and -inf where there are too few.

        Looks at the nearest `k` documents of each query, and at ever more of those queries that
        got too few of them, up to `deepest`.
        """
        n_queries, n = len(self.queries), self.choice.n
        places = np.full((n_queries, n), -1, dtype=np.int32)
        scores = np.full((n_queries, n), -np.inf, dtype=np.float32)
        lacking = np.arange(n_queries)
        while True:
            k = min(k, len(self.documents))
            for block in _blocks(len(lacking), k):
                rows = lacking[block]
                found, similarities = search(self.queries[rows], self.documents, k)
                self.refusals.apply(rows, found, similarities)
                places[rows], scores[rows] = self.choice.of(found, similarities)
                lacks = ~np.isfinite(scores[rows]).all(axis=1)
                advance(int(np.count_nonzero(~lacks)))
            lacking = lacking[~np.isfinite(scores[lacking]).all(axis=1)]
            if not len(lacking) or k >= min(deepest, len(self.documents)):
                advance(len(lacking))
                return places, scores
            k = min(8 * k, deepest)


class _Refusals:
    """Takes out candidates that must not be negatives, and counts them."""

    def __init__(self, texts: MiningTexts, ceilings: Mapping[str, FloatArray]) -> None:
        self._ceilings = ceilings
        self._n_spellings = texts.n_spellings
        self._document_spellings = texts.document_spellings
        # what is right for each query, as query times spellings plus spelling, ascending
        right = texts.anchors * np.int64(texts.n_spellings)
        right += texts.document_spellings[texts.positives]
        own = np.arange(len(texts.queries)) * texts.n_spellings + texts.query_spellings
        self._known = np.unique(np.concatenate([right, own[texts.query_spellings >= 0]]))
        self.counts = dict.fromkeys((_KNOWN, *ceilings), 0)

    def apply(self, rows: NDArray[np.int64], places: NDArray[np.int32], scores: FloatArray) -> None:
        """Sets the scores [q, k] of candidates of the queries `rows` that are refused to -inf."""
        queries = rows[:, None] * self._n_spellings
        asked = queries + self._document_spellings[places]
        found = np.minimum(np.searchsorted(self._known, asked), len(self._known) - 1)
        self._refuse(_KNOWN, (self._known[found] == asked) & (places >= 0), scores)
        for reason, ceiling in self._ceilings.items():
            self._refuse(reason, scores > ceiling[rows][:, None], scores)

    def _refuse(self, reason: str, which: NDArray[np.bool_], scores: FloatArray) -> None:
        self.counts[reason] += int(np.count_nonzero(which))
        scores[which] = -np.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """Which of the candidates that are left become negatives.

    Attributes:
        n: How many of each query.
        window: Ranks among those that are left.
        dice: Chooses among them; None for the nearest.
    """

    n: int
    window: slice
    dice: np.random.Generator | None

    def of(
        self, places: NDArray[np.int32], scores: FloatArray
    ) -> tuple[NDArray[np.int32], FloatArray]:
        """Places and scores of the negatives, nearest first, [q, n]; -1 and -inf for none."""
        ranks = np.argsort(-scores, axis=1, kind="stable")[:, self.window]
        if self.dice is not None:
            ranks = self._drawn(ranks, scores)
        ranks = ranks[:, : self.n]
        found = np.full((len(places), self.n), -1, dtype=np.int32)
        found_scores = np.full((len(places), self.n), -np.inf, dtype=np.float32)
        found[:, : ranks.shape[1]] = np.take_along_axis(places, ranks, axis=1)
        found_scores[:, : ranks.shape[1]] = np.take_along_axis(scores, ranks, axis=1)
        return found, found_scores

    def _drawn(self, ranks: NDArray[np.int64], scores: FloatArray) -> NDArray[np.int64]:
        """`n` of the ranks of each row, drawn from those with a score, in their order."""
        assert self.dice is not None
        left = np.take_along_axis(scores, ranks, axis=1) > -np.inf
        drawn = np.where(left, self.dice.random(ranks.shape), 2.0)  # those without come last
        chosen = np.sort(np.argsort(drawn, axis=1)[:, : self.n], axis=1)
        return np.take_along_axis(ranks, chosen, axis=1)


def _mined(
    pairs: PairSource,
    texts: MiningTexts,
    positive_scores: FloatArray,
    places: NDArray[np.int32],
    scores: FloatArray,
    refused: Mapping[str, int],
) -> MinedPairs:
    """The rows whose anchor got all negatives."""
    kept = np.flatnonzero(np.isfinite(scores[texts.anchors]).all(axis=1))
    skipped = {
        "missing text": texts.n_read - len(texts.anchors),
        "too few negatives": len(texts.anchors) - len(kept),
    }
    if not len(kept):
        raise ValueError(
            f"{pairs.name}: no row of {texts.n_read} got {scores.shape[1]} negatives, expected "
            "some; allow a larger range_max or max_score, a smaller margin or more of a corpus"
        )
    negatives = scores[texts.anchors[kept]]
    rows = _MinedRows(texts, kept, places[texts.anchors[kept]])
    columns = {role: str(i) for i, role in enumerate(rows.roles)}
    return MinedPairs(
        pairs=PairCorpus(Corpus(pairs.name, [SequencePart(rows, pairs.name)]), columns),
        numbers=texts.numbers[kept],
        positive_scores=positive_scores[kept],
        negative_scores=negatives,
        report=MiningReport(
            n_read=texts.n_read,
            n_kept=len(kept),
            skipped={reason: n for reason, n in skipped.items() if n},
            refused={reason: n for reason, n in refused.items() if n},
            positive_score=float(positive_scores[kept].mean(dtype=np.float64)),
            negative_score=float(negatives.mean(dtype=np.float64)),
        ),
    )


class _MinedRows(Sequence[tuple[str | None, ...]]):
    """Rows put together when they are asked for: texts are held once."""

    def __init__(
        self, texts: MiningTexts, rows: NDArray[np.int64], negatives: NDArray[np.int32]
    ) -> None:
        self._texts, self._rows, self._negatives = texts, rows, negatives
        own = [f"negative_{i + 1 + len(texts.others)}" for i in range(negatives.shape[1])]
        self.roles = ("anchor", "positive", *texts.others, *own)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> tuple[str | None, ...]: ...

    @overload
    def __getitem__(self, place: slice) -> list[tuple[str | None, ...]]: ...

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._row(i) for i in range(*place.indices(len(self)))]
        return self._row(range(len(self))[place])

    def _row(self, i: int) -> tuple[str | None, ...]:
        texts, row = self._texts, self._rows[i]
        return (
            texts.queries[texts.anchors[row]],
            texts.documents[texts.positives[row]],
            *(column[row] for column in texts.others.values()),
            *(texts.documents[place] for place in self._negatives[i].tolist()),
        )
