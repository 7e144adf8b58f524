"""Rows of an index as arrays: the vectors as given, and beside them what a plan's stages read.

A scan has to touch what it needs and nothing else, so each prefix that a plan begins with is kept
on its own, tightly packed. Later stages read prefixes of the vectors themselves. What turns dot
products into similarities, a factor and an offset for each row, is kept for every prefix used:
the cosine of a prefix is that of the prefix at its own unit length, not of a part of a unit vector.

Shapes: N rows, D dims, d dims of a prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray
from vecsmith.retrieval._kernels import Rows
from vecsmith.retrieval.exact import Similarity
from vecsmith.retrieval.plan import RowKind, SearchPlan, Stage

StoreDtype = Literal["float32", "float16", "int8"]
# Values are turned into others in blocks of about this many, so that no copy of all is ever made
_BLOCK_VALUES: Final = 2**22
# As search.hpp has it: integer sums of more products would not fit 32 bits
MOST_DIMS: Final = 65_536
# Below it float16 loses a bit with each halving
_LEAST_FLOAT16: Final = 2.0**-14
_LONGEST_FACTOR: Final = float(np.finfo(np.float32).max)
_DTYPES: Final[dict[RowKind, np.dtype[Any]]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int8": np.dtype("i1"),
    "bits": np.dtype("u1"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Prefixes of rows as one stage reads them.

    Attributes:
        dim: Length of the prefix.
        kind: How its values are stored.
        own: Whether they are packed on their own, or read out of the whole vectors.
    """

    dim: int
    kind: RowKind
    own: bool

    @property
    def name(self) -> str:
        """Begin of the names of its arrays."""
        return f"{self.kind}-{self.dim}" if self.own else f"rows-{self.dim}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Which arrays there are for every row.

    Attributes:
        dim: Of the whole vectors.
        dtype: Of the vectors kept.
        similarity: What a score is.
        parts: Prefixes that plans read, the whole vectors among them.
        near: The graph ("hnsw") or cells ("ivf") that plans begin with, and the dims they are over.
        centre: Of the rows, [D]: far from the origin float32 products would leave nothing of the
            distances between rows, so it is taken from rows and queries first. None for nothing.
    """

    dim: int
    dtype: StoreDtype
    similarity: Similarity
    parts: frozenset[Part] = frozenset()
    near: tuple[Literal["hnsw", "ivf"], int] | None = None
    centre: tuple[float, ...] | None = None

    def centred(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Rows or queries [N, d] less the first d dims of the centre."""
        wide = rows.astype(np.float64)
        if self.centre is not None:
            wide -= np.array(self.centre[: rows.shape[1]])
        return wide

    def part(self, stage: Stage, *, first: bool) -> Part:
        """The prefixes that a stage reads; the first stage of a plan scans packed ones."""
        if stage.dim > self.dim:
            raise ValueError(f"a stage of {stage.dim} dims, expected at most {self.dim}")
        if stage.dim == self.dim and stage.kind == self.dtype:
            return self.whole
        return Part(stage.dim, stage.kind, own=first or stage.kind != self.dtype)

    @property
    def whole(self) -> Part:
        """The whole vectors."""
        return Part(self.dim, self.dtype, own=False)

    def for_plans(self, plans: Iterable[SearchPlan]) -> Layout:
        """The same vectors with what these plans read, and nothing that they do not."""
        parts, near = {self.whole}, None
        for plan in plans:
            parts |= {self.part(stage, first=not i) for i, stage in enumerate(plan.stages)}
            first = plan.stages[0]
            if first.how != "exact":
                near = (first.how, first.dim)
        return replace(self, parts=frozenset(parts), near=near)

    def fitted(self, plan: SearchPlan) -> SearchPlan:
        """The plan with its later float stages read from the vectors as they are kept here.

        Raises:
            ValueError: If it does not decide by all dims.
        """
        if plan.dim != self.dim:
            raise ValueError(
                f"the plan {plan} decides by {plan.dim} dims, expected all {self.dim} of the index"
            )
        if self.similarity == "euclidean" and any(s.kind == "bits" for s in plan.stages):
            raise ValueError(f"the plan {plan} reads signs, which know no euclidean distance")
        stages = [
            replace(stage, kind=self.dtype) if i and stage.kind in ("float32", "float16") else stage
            for i, stage in enumerate(plan.stages)
        ]
        if stages[-1].how != "exact":  # a walk finds candidates; whole vectors decide
            stages.append(Stage(dim=self.dim, keep=plan.k, kind=self.dtype))
        return replace(plan, stages=tuple(stages))


@dataclass(frozen=True, slots=True)
class Arrays:
    """The arrays of some rows by name; none is changed once it is here.

    Attributes:
        layout: What there is.
        by_name: The arrays, each with one entry (or row) for every row.
    """

    layout: Layout
    by_name: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.by_name["vectors"])

    def rows(self, part: Part) -> Rows:
        """What a kernel reads of `part`."""
        values = self.by_name[part.name if part.own else "vectors"]
        return Rows(
            values=values,
            kind=part.kind,
            dim=part.dim,
            factors=self.by_name.get(f"{part.name}.factors"),
            offsets=self.by_name.get(f"{part.name}.offsets"),
        )

    def vectors(self, places: Any) -> FloatArray:
        """The vectors at `places` as float32, rounded as they are kept."""
        return self.prefixes(places, self.layout.dim)

    def prefixes(self, places: Any, dim: int) -> FloatArray:
        """Their first `dim` dims."""
        values: FloatArray = self.by_name["vectors"][places][..., :dim].astype(np.float32)
        if self.layout.dtype == "int8":
            values *= self.by_name["scales"][places][..., None]
        return values

    def centred(self, places: Any, dim: int) -> FloatArray:
        """The same less the centre."""
        return _float32(self.layout.centred(self.prefixes(places, dim)))


def array_names(layout: Layout) -> dict[str, tuple[np.dtype[Any], int | None]]:
    """Type and row length (None: one value) of every array of a layout."""
    names: dict[str, tuple[np.dtype[Any], int | None]] = {
        "vectors": (_DTYPES[layout.dtype], layout.dim)
    }
    if layout.dtype == "int8":
        names["scales"] = (_DTYPES["float32"], None)
    for part in sorted(layout.parts, key=lambda part: part.name):
        names |= part_names(layout, part)
    return names


def part_names(layout: Layout, part: Part) -> dict[str, tuple[np.dtype[Any], int | None]]:
    """Those that belong to one part."""
    names: dict[str, tuple[np.dtype[Any], int | None]] = {}
    if part.own:
        width = -(-part.dim // 8) if part.kind == "bits" else part.dim
        names[part.name] = (_DTYPES[part.kind], width)
    if _has_factors(layout.similarity, part.kind):
        names[f"{part.name}.factors"] = (_DTYPES["float32"], None)
    if layout.similarity == "euclidean":
        names[f"{part.name}.offsets"] = (_DTYPES["float32"], None)
    return names


def kept_vectors(layout: Layout, vectors: FloatArray) -> dict[str, NDArray[Any]]:
    """The vectors [N, D] as the layout keeps them.

    Raises:
        ValueError: If numbers are too large or too small for float16.
    """
    if layout.dtype == "int8":
        values, scales = to_int8(vectors)
        return {"vectors": values, "scales": scales}
    if layout.dtype == "float16":
        with np.errstate(over="ignore"):
            values16 = vectors.astype(np.float16)
        if not np.isfinite(values16).all():
            raise ValueError(
                f"a vector has the value {float(np.abs(vectors).max()):g}, expected at most 65504 "
                "for float16; scale the vectors or keep float32"
            )
        _check_float16(vectors)
        return {"vectors": values16}
    return {"vectors": vectors}


def _check_float16(vectors: FloatArray) -> None:
    """Refuses vectors of which float16 would keep a few bits, or none."""
    largest = np.abs(vectors).max(axis=1, initial=0)
    if ((largest > 0) & (largest < _LEAST_FLOAT16)).any():
        found = largest[largest > 0].min()
        raise ValueError(
            f"a vector has no value beyond {found:g}, expected {_LEAST_FLOAT16:g} or more for "
            "float16; scale the vectors or keep float32"
        )


def part_arrays(
    layout: Layout, part: Part, kept: Arrays, places: slice = slice(None)
) -> dict[str, NDArray[Any]]:
    """The arrays of `part` for the rows at `places`, from the vectors as they are kept."""
    prefix = kept.prefixes(places, part.dim)
    wide = prefix if layout.centre is None else layout.centred(prefix)
    if layout.centre is not None and part.own:
        prefix = _float32(wide)
    arrays: dict[str, NDArray[Any]] = {}
    scales: FloatArray | None = None
    if part.own and part.kind == "int8":
        arrays[part.name], scales = to_int8(prefix)
    elif part.own and part.kind == "bits":
        arrays[part.name] = np.packbits(prefix > 0, axis=1, bitorder="little")
    elif part.own:
        arrays[part.name] = np.ascontiguousarray(prefix, dtype=_DTYPES[part.kind])
    if not part.own and part.kind == "int8":
        scales = kept.by_name["scales"][places]  # one for all dims of a row
    squares = np.einsum("nd,nd->n", wide, wide, dtype=np.float64)
    if _has_factors(layout.similarity, part.kind):
        factors = _factors(layout.similarity, part.kind, squares)
        arrays[f"{part.name}.factors"] = _float32(factors if scales is None else factors * scales)
    if layout.similarity == "euclidean":
        arrays[f"{part.name}.offsets"] = _float32(-squares)
    return arrays


def _has_factors(similarity: Similarity, kind: RowKind) -> bool:
    if kind == "bits":  # signs have the angle alone; a length tells of a dot product
        return similarity != "cosine"
    return similarity != "dot" or kind == "int8"


def _factors(similarity: Similarity, kind: RowKind, squares: NDArray[np.float64]) -> Any:
    lengths = np.sqrt(squares)
    if similarity == "cosine":
        inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return np.minimum(inverse, _LONGEST_FACTOR)
    if kind == "bits":
        return lengths
    return np.full_like(lengths, 2.0 if similarity == "euclidean" else 1.0)


def derived(layout: Layout, vectors: FloatArray) -> dict[str, NDArray[Any]]:
    """Every array of the layout for vectors [N, D] as given; for as many as fit in memory."""
    kept = kept_vectors(layout, vectors)
    arrays = dict(kept)
    for part in layout.parts:
        arrays |= part_arrays(layout, part, Arrays(layout, kept))
    return arrays


def to_int8(rows: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """Rows [N, D] in 127 levels a side and the scale of each row, [N]."""
    scales = np.abs(rows).max(axis=1, initial=0) / 127
    levels = np.divide(rows, scales[:, None], out=np.zeros_like(rows), where=scales[:, None] > 0)
    return np.rint(levels).astype(np.int8), _float32(scales)


def row_blocks(n_rows: int, dim: int) -> Iterable[slice]:
    """Slices of rows of bounded size."""
    step = max(1, _BLOCK_VALUES // dim)
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))


def _float32(values: Any) -> FloatArray:
    as_float32: FloatArray = np.asarray(values).astype(np.float32, copy=False)
    return as_float32
