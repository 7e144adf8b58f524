"""What `index.json` says: the settings of an index and the files of its segments.

The one rule: the files of a generation are written first and never again, then the manifest is
replaced. Whoever reads a manifest finds all its files, or a newer manifest; a crash leaves the old.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, get_args

from vecsmith._files import read_json
from vecsmith.errors import FormatError
from vecsmith.retrieval.approximate import ApproximateFile
from vecsmith.retrieval.exact import Similarity
from vecsmith.retrieval.plan import SearchPlan
from vecsmith.retrieval.storage.array_files import ArrayFile
from vecsmith.retrieval.storage.ids import IdKind
from vecsmith.retrieval.storage.segments import MOST_DIMS, Layout, StoreDtype

MANIFEST: Final = "index.json"
FORMAT: Final = "vecsmith index"
VERSION: Final = 2
_MOST_SEGMENTS: Final = 10_000
_MOST_FLOAT32: Final = 3.5e38
_REMEDY: Final = "restore the folder or build the index again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for the whole index.

    Attributes:
        dim: Of the vectors.
        dtype: They are kept in.
        similarity: What a score is.
        id_kind: Numbers or texts.
        dims: Prefix lengths that a plan may use.
        plans: Learnt ones, cheapest first; the first that meets the recall asked for is used.
        chosen: Which of them `search` uses.
        n_learnt: Rows that there were when the plans were learnt.
        centre: What is taken from rows and queries before products; None for nothing.
    """

    dim: int
    dtype: StoreDtype
    similarity: Similarity
    id_kind: IdKind
    dims: tuple[int, ...]
    plans: tuple[SearchPlan, ...]
    chosen: int
    n_learnt: int
    centre: tuple[float, ...] | None = None

    @property
    def layout(self) -> Layout:
        """The arrays that the plans read."""
        fresh = Layout(self.dim, self.dtype, self.similarity, centre=self.centre)
        return fresh.for_plans(self.plans)

    def using(self, plan: SearchPlan) -> Settings:
        """The settings with `plan` chosen, in the place of one that was given before it.

        Plans over another graph go: rows have one at most.
        """
        near = _near(plan)
        kept = [
            other
            for i, other in enumerate(self.plans)
            # what was learnt, the exact search that stands for it below some rows, and this one
            if (other.recall is not None or other == plan or (not i and len(other.stages) == 1))
            and (near is None or _near(other) in (None, near))
        ]
        if plan not in kept:
            plan = replace(plan, recall=None)  # measured over other rows, if it was
            kept = [*(other for other in kept if other != plan), plan]
        return replace(self, plans=tuple(kept), chosen=kept.index(plan))

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {
            "dim": self.dim,
            "dtype": self.dtype,
            "similarity": self.similarity,
            "ids": self.id_kind,
            "dims": list(self.dims),
            "plans": [plan.to_json() for plan in self.plans],
            "chosen": self.chosen,
            "n_learnt": self.n_learnt,
            "centre": None if self.centre is None else list(self.centre),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], source: str) -> Settings:
        """The settings that `to_json` gave.

        Raises:
            FormatError: If they are not such settings.
        """
        dim = _count(values, "dim", source, most=MOST_DIMS)
        dims = _array(values, "dims", source, most=MOST_DIMS)
        if not dims or any(type(d) is not int or not 1 <= d <= dim for d in dims):
            raise FormatError(f"{source}: dims {dims!r:.60}, expected numbers from 1 to {dim}")
        plans = _array(values, "plans", source, most=1000)
        if not plans:
            raise FormatError(f"{source}: no plans, expected one or more; {_REMEDY}")
        settings = cls(
            dim=dim,
            dtype=_choice(values, "dtype", get_args(StoreDtype), source),
            similarity=_choice(values, "similarity", get_args(Similarity), source),
            id_kind=_choice(values, "ids", get_args(IdKind), source),
            dims=tuple(dims),
            plans=tuple(
                SearchPlan.from_json(plan, source=f"{source}: plans[{i}]")
                for i, plan in enumerate(plans)
            ),
            chosen=_count(values, "chosen", source, most=len(plans) - 1),
            n_learnt=_count(values, "n_learnt", source),
            centre=_centre(values, dim, source),
        )
        try:
            fresh = Layout(settings.dim, settings.dtype, settings.similarity)
            for plan in settings.plans:
                fresh.fitted(plan)
        except ValueError as error:
            raise FormatError(f"{source}: {error}; {_REMEDY}") from error
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFiles:
    """The files of one segment.

    Attributes:
        n_rows: Rows in it.
        arrays: Vectors, what stages read, and ids, by name.
        alive: Which rows were not deleted; None for all.
        near: The graph or cells; None where there are none.
    """

    n_rows: int
    arrays: Mapping[str, ArrayFile]
    alive: ArrayFile | None = None
    near: ApproximateFile | None = None

    @property
    def names(self) -> set[str]:
        """Names of all its files."""
        others = (self.alive, self.near)
        return {file.name for file in (*self.arrays.values(), *others) if file is not None}

    def to_json(self) -> dict[str, Any]:
        """The segment as JSON holds it."""
        return {
            "n_rows": self.n_rows,
            "arrays": {name: file.to_json() for name, file in self.arrays.items()},
            "alive": None if self.alive is None else self.alive.to_json(),
            "near": None if self.near is None else self.near.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any, source: str) -> SegmentFiles:
        """The segment that `to_json` gave.

        Raises:
            FormatError: If it is not one.
        """
        if not isinstance(value, dict) or not isinstance(value.get("arrays"), dict):
            raise FormatError(f"{source}: {value!r:.60}, expected n_rows and arrays; {_REMEDY}")
        alive, near = value.get("alive"), value.get("near")
        return cls(
            n_rows=_count(value, "n_rows", source),
            arrays={
                name: ArrayFile.from_json(file, source=f"{source}: {name:.60}")
                for name, file in value["arrays"].items()
            },
            alive=None if alive is None else ArrayFile.from_json(alive, source=f"{source}: alive"),
            near=None if near is None else ApproximateFile.from_json(near, source=source),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One generation of an index.

    Attributes:
        generation: Counts how often it was saved.
        identity: Drawn for each save: a folder that was taken away and written by another counts
            from one again.
        settings: Of the whole index.
        segments: In the order of their rows.
    """

    generation: int
    identity: str
    settings: Settings
    segments: tuple[SegmentFiles, ...]

    @property
    def names(self) -> set[str]:
        """Names of all files."""
        return set().union(*(segment.names for segment in self.segments))

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON holds it."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "generation": self.generation,
            "identity": self.identity,
            **self.settings.to_json(),
            "segments": [segment.to_json() for segment in self.segments],
        }


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`.

    Raises:
        FormatError: If there is none, or it is none of ours.
        OSError: If it cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FormatError(
            f"{folder}: no {MANIFEST}, expected the folder of an index; build one by "
            "AdaptiveIndex.build(vectors).save(folder)"
        )
    values = read_json(path, remedy=_REMEDY)
    source = str(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise FormatError(f"{source}: not the manifest of an index, expected format {FORMAT!r}")
    if values.get("version") != VERSION:
        found = values.get("version")
        is_older = type(found) is int and found < VERSION
        raise FormatError(
            f"{source}: version {found!r:.20} of the format, expected {VERSION}; it was written by "
            + (
                "an older vecsmith, build the index again"
                if is_older
                else "a newer vecsmith, update this one"
            )
        )
    segments = _array(values, "segments", source, most=_MOST_SEGMENTS)
    return Manifest(
        generation=_count(values, "generation", source),
        identity=_identity(values, source),
        settings=Settings.from_json(values, source),
        segments=tuple(
            SegmentFiles.from_json(segment, f"{source}: segments[{i}]")
            for i, segment in enumerate(segments)
        ),
    )


def _near(plan: SearchPlan) -> tuple[str, int] | None:
    first = plan.stages[0]
    return None if first.how == "exact" else (first.how, first.dim)


def new_identity() -> str:
    """128 random bits, by which a save is known from every other."""
    return secrets.token_hex(16)


def _identity(values: Mapping[str, Any], source: str) -> str:
    value = values.get("identity")
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{32}", value):
        raise FormatError(
            f"{source}: identity is {value!r:.60}, expected 32 hexadecimal digits; {_REMEDY}"
        )
    return value


def _count(values: Mapping[str, Any], name: str, source: str, *, most: int = 2**48) -> int:
    value = values.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise FormatError(f"{source}: {name} is {value!r:.60}, expected 0 to {most}; {_REMEDY}")
    return value


def _array(values: Mapping[str, Any], name: str, source: str, *, most: int) -> list[Any]:
    value = values.get(name)
    if not isinstance(value, list) or len(value) > most:
        raise FormatError(f"{source}: {name} is {value!r:.60}, expected an array; {_REMEDY}")
    return value


def _centre(values: Mapping[str, Any], dim: int, source: str) -> tuple[float, ...] | None:
    value = values.get("centre")
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != dim
        or any(type(x) is not float or not abs(x) < _MOST_FLOAT32 for x in value)
    ):
        raise FormatError(f"{source}: centre is {value!r:.60}, expected {dim} numbers; {_REMEDY}")
    return tuple(value)


def _choice(values: Mapping[str, Any], name: str, choices: tuple[str, ...], source: str) -> Any:
    value = values.get(name)
    if not isinstance(value, str) or value not in choices:
        raise FormatError(f"{source}: {name} is {value!r:.60}, expected one of {list(choices)}")
    return value
