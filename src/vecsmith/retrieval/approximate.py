"""A graph (HNSW) or cells (IVF) over short prefixes, by faiss: a first stage that skips most rows.

What it finds is a shortlist: later stages rescore it with exact prefixes, so it may store its rows
coarsely, in a byte a dimension. It is built once; rows that come later are scanned beside it.
The rule: a file reaches faiss only when its length and digest are those that the index wrote down.
Whoever can alter both is met by faiss's own checks of a file, and no place of it is believed.
Both kinds of first stage are after the Matryoshka paper's HNSW shortlists (Kusupati et al. 2022,
section 4.3.1).
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._files import atomic_file
from vecsmith._similarity import unit_rows
from vecsmith._typing import FloatArray
from vecsmith.errors import FormatError, VecsmithError
from vecsmith.retrieval.exact import Similarity
from vecsmith.retrieval.plan import Stage

Places = NDArray[np.int64]
Approximation = Literal["hnsw", "ivf"]

# Links of a node, as in the paper's HNSW32; the lowest layer has twice as many
LINKS: Final = 32
_BUILD_EFFORT: Final = 80
# Rows that quantizers and cells are trained on
TRAINING_ROWS: Final = 65_536
_PIECE: Final = 2**24
# Queries whose steps are counted for an estimate, and who may count: faiss has one place for all
_COUNTED: Final = 16
_COUNTING: Final = threading.Lock()
_FILE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}\.faiss")
_MOST_BYTES: Final = 2**46
_REMEDY: Final = "restore the folder or build the index again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproximateFile:
    """What the manifest of an index says of the file.

    Attributes:
        name: Of the file, inside the folder of the index.
        how: Graph or cells.
        dim: Dims of the prefix.
        n_rows: Rows it holds, those with the first places.
        n_bytes: Length of the file.
        sha256: Of its bytes.
    """

    name: str
    how: Approximation
    dim: int
    n_rows: int
    n_bytes: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        return {name: getattr(self, name) for name in _FIELDS}

    @classmethod
    def from_json(cls, value: Any, *, source: str) -> ApproximateFile:
        """The record that `to_json` gave; `source` names where it stands.

        Raises:
            FormatError: If it is not such a record.
        """
        if not isinstance(value, dict) or not set(_FIELDS) <= set(value):
            raise FormatError(f"{source}: {value!r:.60}, expected {', '.join(_FIELDS)}; {_REMEDY}")
        for name in ("dim", "n_rows", "n_bytes"):
            if type(value[name]) is not int or not 1 <= value[name] <= _MOST_BYTES:
                raise FormatError(f"{source}: {name} is {value[name]!r:.60}; {_REMEDY}")
        if value["how"] not in ("hnsw", "ivf"):
            raise FormatError(f"{source}: how is {value['how']!r:.60}, expected hnsw or ivf")
        for name, pattern in (("name", _FILE_NAME), ("sha256", re.compile("[0-9a-f]{64}"))):
            if not isinstance(value[name], str) or not pattern.fullmatch(value[name]):
                raise FormatError(f"{source}: {name} is {value[name]!r:.60}; {_REMEDY}")
        return cls(**{name: value[name] for name in _FIELDS})


_FIELDS: Final = ("name", "how", "dim", "n_rows", "n_bytes", "sha256")


class ApproximateRows:
    """Prefixes of the rows with the first places, found without a look at all of them.

    Searches may run in any number of threads; nothing is added later.

    Attributes:
        how: Graph or cells.
        similarity: What near means.
    """

    def __init__(self, native: Any, how: Approximation, similarity: Similarity) -> None:
        """Takes what `build` and `open` make; call one of these."""
        self._native = native
        self.how: Approximation = how
        self.similarity = similarity
        self._source = "the graph or cells"
        self._counted: dict[tuple[int, int], int] = {}

    @classmethod
    def build(
        cls,
        blocks: Iterable[FloatArray],
        training: FloatArray,
        *,
        how: Approximation,
        similarity: Similarity = "cosine",
        n_rows: int,
        n_threads: int = 1,
        seed: int = 0,
    ) -> ApproximateRows:
        """A graph or cells over prefixes.

        Args:
            blocks: Consecutive rows, each [n, d] and not yet of unit length.
            training: Some of them, drawn at random, [n, d]; `TRAINING_ROWS` are enough.
            how: "hnsw" is fast to search and slow to build, "ivf" the other way round.
            similarity: What near means.
            n_rows: How many rows will come.
            n_threads: How many may build; with more than one a graph differs from run to run.
            seed: Of the cells.

        Raises:
            MissingExtraError: If faiss is not installed.
            ValueError: If there are no rows to train on.
        """
        if not len(training):
            raise ValueError("no rows to train on, expected one or more")
        faiss = _faiss()
        native = _empty(faiss, how, similarity, training.shape[1], n_rows, seed)
        with _threads(faiss, n_threads):
            native.train(_prepared(training, similarity))
        for block in blocks:
            with _threads(faiss, n_threads):
                native.add(_prepared(block, similarity))
        return cls(native, how, similarity)

    def __len__(self) -> int:
        return int(self._native.ntotal)

    @property
    def dim(self) -> int:
        """Dims of the prefix."""
        return int(self._native.d)

    @property
    def n_cells(self) -> int:
        """Cells there are; 0 of a graph."""
        return int(self._native.nlist) if self.how == "ivf" else 0

    def search(
        self,
        queries: FloatArray,
        stage: Stage,
        *,
        allowed: NDArray[np.bool_] | None = None,
        n_threads: int = 1,
    ) -> Places:
        """Places of about the best `stage.keep`, best first, [Q, keep]; -1 where fewer were found.

        Args:
            queries: Of at least as many dims, [Q, D].
            stage: Its `effort` is efSearch or nprobe, and grows as fewer rows are allowed.
            allowed: Which places may be found, at least one for each row here; None for all.
            n_threads: How many may run; they share out the queries.

        Raises:
            ValueError: If the stage is another's.
            FormatError: If faiss finds the file broken only now.
        """
        if (stage.how, stage.dim) != (self.how, self.dim):
            raise ValueError(
                f"a stage of {stage.dim} dims by {stage.how}, expected {self.dim} by {self.how}"
            )
        faiss = _faiss()
        selector, share = None, 1.0
        if allowed is not None:
            own = np.ascontiguousarray(allowed[: len(self)])
            share = max(float(own.mean()), 1 / len(self))
            bits = np.packbits(own, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(self), faiss.swig_ptr(bits))
        parameters = self._parameters(faiss, stage, share, selector)
        prefixes = _prepared(queries[:, : self.dim], self.similarity)
        with _threads(faiss, n_threads), _ours(self._source):
            _, places = self._native.search(prefixes, min(stage.keep, len(self)), params=parameters)
        found: Places = places.astype(np.int64, copy=False)
        # cells come with the numbers of their rows: those of an altered file may be any
        if self.how == "ivf":
            found[(found < 0) | (found >= len(self))] = -1
        missing = stage.keep - found.shape[1]
        return np.pad(found, ((0, 0), (0, missing)), constant_values=-1) if missing > 0 else found

    def n_scored(self, queries: FloatArray, stage: Stage) -> int:
        """Rows scored a query, as a mean over `queries`; for one thread, faiss counts in one place.

        Cells count the centres too, which have as many dims.
        """
        faiss = _faiss()
        counts = faiss.cvar.hnsw_stats if self.how == "hnsw" else faiss.cvar.indexIVF_stats
        with _COUNTING:
            counts.reset()
            self.search(queries, stage)
            n_rows = int(counts.ndis)
        # what other threads search meanwhile is counted too, but none scores more than there are
        return min(math.ceil(n_rows / max(len(queries), 1)), len(self)) + self.n_cells

    def estimated_scored(self, queries: FloatArray, stage: Stage, *, share: float = 1.0) -> int:
        """Rows that a query of such a stage scores, counted once of a few queries and kept.

        Args:
            queries: Some at hand, [Q, D].
            stage: As of `search`.
            share: Of the rows, those that may be found: with fewer the effort grows.
        """
        if not len(queries):
            return 0
        effort = self._effort(stage, max(share, 1 / len(self)))
        if share < 1:  # as many different ones as filters: told apart by powers of two
            effort = 2 ** math.ceil(math.log2(effort))
        keep = min(stage.keep, effort)  # more would raise the effort of a graph
        known = (effort, keep if self.how == "hnsw" else 0)
        if known not in self._counted:
            counted = replace(stage, effort=effort, keep=keep)
            self._counted[known] = self.n_scored(queries[:_COUNTED], counted)
        return self._counted[known]

    def save(self, path: Path) -> ApproximateFile:
        """Writes the file, whole or not at all; gives its record.

        Raises:
            OSError: If it cannot be written.
        """
        faiss = _faiss()
        with atomic_file(path) as file:
            written = _Written(file)
            writer = faiss.PyCallbackIOWriter(written.write, _PIECE)
            try:
                faiss.write_index(self._native, writer)
                del writer  # it writes what it holds back
            except Exception:
                written.check()
                raise
            written.check()
        return ApproximateFile(
            name=path.name,
            how=self.how,
            dim=self.dim,
            n_rows=len(self),
            n_bytes=written.n_bytes,
            sha256=written.digest.hexdigest(),
        )

    @classmethod
    def open(
        cls, folder: Path, record: ApproximateFile, *, similarity: Similarity
    ) -> ApproximateRows:
        """What `save` wrote, read into memory.

        Raises:
            FormatError: If the file is not the one that the record tells of.
            FileNotFoundError: If there is none.
            MissingExtraError: If faiss is not installed.
        """
        faiss = _faiss()
        path = folder / record.name
        with path.open("rb") as file:
            _check(file, record, path)
            file.seek(0)
            try:
                with _ours(str(path)):
                    native = faiss.read_index(faiss.PyCallbackIOReader(file.read, _PIECE))
            except MemoryError as error:  # a length in the file may be any
                raise FormatError(
                    f"{path}: what its {record.n_bytes} bytes say takes more memory than there is; "
                    f"free some, or {_REMEDY}"
                ) from error
        found = (type(native).__name__, native.d, native.ntotal, native.metric_type)
        expected = (
            _CLASSES[record.how], record.dim, record.n_rows, _metric(faiss, similarity)
        )  # fmt: skip
        if found != expected:
            raise FormatError(f"{path}: holds {found}, expected {expected}; {_REMEDY}")
        opened = cls(native, record.how, similarity)
        opened._source = str(path)
        return opened

    def _effort(self, stage: Stage, share: float) -> int:
        effort = math.ceil((stage.effort or 1) / share)
        if self.how == "ivf":
            return min(effort, self.n_cells)
        # a graph finds no more than it keeps in sight
        return min(max(effort, stage.keep), len(self))

    def _parameters(self, faiss: Any, stage: Stage, share: float, selector: Any) -> Any:
        effort = self._effort(stage, share)
        if self.how == "ivf":
            return faiss.SearchParametersIVF(nprobe=effort, sel=selector)
        return faiss.SearchParametersHNSW(efSearch=effort, sel=selector)


_CLASSES: Final = {"hnsw": "IndexHNSWSQ", "ivf": "IndexIVFScalarQuantizer"}


@contextmanager
def _threads(faiss: Any, n_threads: int) -> Iterator[None]:
    """So many threads for what the calling thread asks of faiss, and as many as before after it.

    Torch shares the number where it was imported before faiss: left at another one, it trains to
    other bits.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(n_threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@contextmanager
def _ours(source: str) -> Iterator[None]:
    """What faiss says of a file that it cannot make sense of, said as the rest says it.

    Raises:
        FormatError: For faiss's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, VecsmithError):
            raise
        said = str(error).rpartition("Error: ")[2]
        raise FormatError(f"{source}: faiss cannot take it: {said:.200}; {_REMEDY}") from error


class _Written:
    """Bytes on their way into a file, counted and hashed; an error is kept for the caller.

    faiss is C++ between the caller and here and makes another error of ours.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: BaseException | None = None
        self.n_bytes = 0
        self.digest = hashlib.sha256()

    def write(self, piece: bytes) -> None:
        try:
            self._file.write(piece)
        except BaseException as error:
            self._error = error
            raise
        self.n_bytes += len(piece)
        self.digest.update(piece)

    def check(self) -> None:
        if self._error is not None:
            raise self._error


def _check(file: io.BufferedReader, record: ApproximateFile, path: Path) -> None:
    n_bytes = file.seek(0, 2)
    if n_bytes != record.n_bytes:
        raise FormatError(
            f"{path}: {n_bytes} bytes, expected {record.n_bytes}; the file is cut short or of "
            f"another index, {_REMEDY}"
        )
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != record.sha256:
        raise FormatError(
            f"{path}: sha256 {digest[:12]}..., expected {record.sha256[:12]}...; the file was "
            f"altered, {_REMEDY}"
        )


def _empty(
    faiss: Any, how: Approximation, similarity: Similarity, dim: int, n_rows: int, seed: int
) -> Any:
    metric = _metric(faiss, similarity)
    byte = faiss.ScalarQuantizer.QT_8bit
    if how == "hnsw":
        graph = faiss.IndexHNSWSQ(dim, byte, LINKS, metric)
        graph.hnsw.efConstruction = _BUILD_EFFORT
        return graph
    centres = faiss.IndexFlat(dim, metric)
    # faiss's own advice: a few times the root of the rows, and 39 training rows for each
    n_cells = max(1, min(round(4 * math.sqrt(n_rows)), n_rows // 39, TRAINING_ROWS // 39))
    cells = faiss.IndexIVFScalarQuantizer(centres, dim, n_cells, byte, metric)
    cells.cp.seed = seed
    centres.this.disown()  # the cells own it, and outlive this function
    cells.own_fields = True
    return cells


def _metric(faiss: Any, similarity: Similarity) -> int:
    is_distance = similarity == "euclidean"
    return int(faiss.METRIC_L2 if is_distance else faiss.METRIC_INNER_PRODUCT)


def _prepared(rows: FloatArray, similarity: Similarity) -> FloatArray:
    # of unit prefixes the inner product is the cosine; of parts of unit vectors it is not
    found = unit_rows(rows) if similarity == "cosine" else rows
    return np.ascontiguousarray(found, dtype=np.float32)


def _faiss() -> Any:
    return require("faiss", extra="index", purpose="search by graphs and cells")
