"""From what a teacher said of texts to a table: prior, least squares, projection, whitening.

`gather` reads all vectors once; `fit_table` then needs the token ids alone, so settings can be
tried without another reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith._directions import principal_directions
from vecsmith._typing import FloatArray
from vecsmith.distillation.regression.count_rows import CountRows, TokenLists, add_transposed
from vecsmith.distillation.regression.prior import mix_states, weigh_rows
from vecsmith.distillation.regression.ridge import penalties, solve_ridge
from vecsmith.distillation.regression.settings import RegressionSettings
from vecsmith.distillation.regression.whitening import whitening
from vecsmith.distillation.teacher_pass import Shard


class TextShards(Protocol):
    """Texts as a teacher read them; `teacher_pass.TeacherPass` is one.

    Attributes:
        counts: For each of V tokens how often it was seen, [V].
    """

    counts: NDArray[np.int64]

    @property
    def sums(self) -> NDArray[np.floating[Any]]:
        """For each token the sum of its states in the texts, [V, D]."""
        ...

    def shards(self) -> Iterator[Shard]:
        """The texts, some at a time, in the same order each time."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Normals:
    """All that least squares needs of the vectors T of N texts.

    Attributes:
        rows: The texts as X [N, V].
        correlations: X'T, float32 [V, D].
        moment: T'T, float64 [D, D].
    """

    rows: CountRows
    correlations: FloatArray
    moment: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted table.

    Attributes:
        table: Rows of the tokens, float32 [V, K], the most important dimension first.
        rotation: From the teacher's dimensions to the table's, [D, K]: a text with the teacher's
            vector t is to have the vector t @ rotation.
        explained: Share of the targets' size that K dimensions keep.
        residuals: Relative residual of the normal equations before each step and after the last.
    """

    table: FloatArray
    rotation: FloatArray
    explained: float
    residuals: list[float]


def gather(passed: TextShards, *, length_power: float, threads: int | None = None) -> Normals:
    """The normal equations of the texts of a pass.

    Args:
        passed: What the teacher said.
        length_power: Of `RegressionSettings`.
        threads: Cores to use; None for all.
    """
    n_tokens, dim = passed.sums.shape

    def lists() -> Iterator[TokenLists]:
        return ((shard.ids, shard.offsets) for shard in passed.shards())

    rows = CountRows(lists, n_tokens, length_power=length_power, threads=threads)
    correlations = np.zeros((n_tokens, dim), dtype=np.float32)
    moment = np.zeros((dim, dim))
    shards = passed.shards()
    with ThreadPoolExecutor(rows.threads) as pool:
        for group in rows.groups():
            parts = _take(shards, group.shape[0])
            for part in parts:
                vectors = part.astype(np.float32)
                moment += vectors.T @ vectors
            add_transposed(group, parts, correlations, pool)
    return Normals(rows=rows, correlations=correlations, moment=moment)


def _take(shards: Iterator[Shard], n_texts: int) -> list[NDArray[np.float16]]:
    """Vectors of the next texts, which are those of whole shards."""
    parts: list[NDArray[np.float16]] = []
    while n_texts > 0:
        parts.append(next(shards).vectors)
        n_texts -= len(parts[-1])
    return parts


def fit_table(
    passed: TextShards,
    isolated: FloatArray,
    dim: int | float | None,
    settings: RegressionSettings,
    *,
    normals: Normals | None = None,
    threads: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> Fit:
    """The table whose sums of rows come nearest to the teacher's vectors of the texts.

    Args:
        passed: What the teacher said of texts.
        isolated: Its vectors of the V tokens alone, [V, D].
        dim: Dimensions, a share of the targets' size to keep, or None for the teacher's own.
        settings: The constants.
        normals: Of `gather` with the same `length_power`, if they are there already.
        threads: Cores to use; None for all.
        advance: Called with 1 after each of the `n_steps`.
    """
    if isolated.shape != passed.sums.shape:
        raise ValueError(
            f"isolated vectors {isolated.shape} and sums {passed.sums.shape}, expected a row for "
            "each token in both: they are of different teachers or tokenizers"
        )
    if normals is None:
        normals = gather(passed, length_power=settings.length_power, threads=threads)
    rows = normals.rows
    directions, explained = principal_directions(normals.moment, dim)
    rotation = directions.astype(np.float32)
    correlations = normals.correlations @ rotation
    prior = start_rows(passed, isolated, settings, rotation)
    gram_prior = rows.gram(prior)
    scale = _inner(prior, correlations) / max(_inner(prior, gram_prior), np.finfo(float).tiny)
    table, residuals = solve_ridge(
        rows.gram,
        correlations,
        np.float32(scale) * prior,
        penalties(rows.column_squares, ridge=settings.ridge, growth=settings.ridge_growth),
        rows.column_squares,
        n_steps=settings.n_steps,
        gram_prior=np.float32(scale) * gram_prior,
        advance=advance,
    )
    if settings.whitening:
        turn = whitening(table, rows, power=settings.whitening, n_texts=settings.whitening_texts)
        table, rotation = table @ turn, rotation @ turn
    return Fit(table=table, rotation=rotation, explained=explained, residuals=residuals)


def start_rows(
    passed: TextShards,
    isolated: FloatArray,
    settings: RegressionSettings,
    rotation: FloatArray,
) -> FloatArray:
    """Rows of the prior, not scaled yet, times `rotation` [D, K]: [V, K]."""
    rows = np.empty((len(isolated), rotation.shape[1]), dtype=np.float32)
    blocks = mix_states(
        passed.sums,
        passed.counts,
        isolated,
        shrinkage=settings.shrinkage,
        common_count=settings.common_count,
    )
    for place, block in blocks:
        rows[place] = block @ rotation
    return weigh_rows(rows, passed.counts, settings.sif_coefficient)


def _inner(left: FloatArray, right: FloatArray) -> float:
    """Sum of all products, in float64."""
    return float(sum(np.einsum("tk,tk->k", left, right, dtype=np.float64)))
