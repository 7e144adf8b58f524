"""Texts, their vectors and the model they are of, in one folder: what `vecsmith index` writes.

    index/
    ├── index.json, g000001-*     the vectors: an AdaptiveIndex, which opens from this very folder
    ├── texts/                    the texts and their ids, see texts/store.py
    └── model.json                which model made the vectors

The vectors are known by the numbers of their texts, whatever ids the texts have. So one step
decides: texts that the vectors do not name are not there, and what a crash leaves of an addition
or a deletion is never found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import read_json, write_json
from vecsmith._typing import FloatArray, PathLike
from vecsmith.errors import FormatError, RunFailed
from vecsmith.retrieval.index import AdaptiveIndex, Hits
from vecsmith.retrieval.storage.manifest import MANIFEST
from vecsmith.retrieval.storage.saving import generation_of, writing
from vecsmith.retrieval.texts import TextStore

TEXTS_FOLDER, MODEL_FILE = "texts", "model.json"
_FORMAT, _VERSION = "vecsmith text index", 1
# Vectors are added some at a time, so that those being added fit in memory
_BYTES_AT_A_TIME = 2**29
_TRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """The model that an index was made with.

    Attributes:
        name: Folder, Hub id or package:NAME, as it was given; a folder with its whole path.
        fingerprint: Hash of all that its vectors depend on; "" where it has none.
        dim: Length of its vectors.
        compute_dtype: What a transformer ran in.
        device: Torch device of a transformer.
    """

    name: str
    fingerprint: str
    dim: int
    compute_dtype: str = "float32"
    device: str = "cpu"

    @classmethod
    def read(cls, folder: Path) -> ModelRecord:
        """The record of an index.

        Raises:
            FormatError: If there is none, or it is broken.
        """
        path = folder / MODEL_FILE
        try:
            found = read_json(path, max_bytes=2**20, remedy="build the index again")
        except FileNotFoundError:
            raise FormatError(_no_index(folder)) from None
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise FormatError(f"{path}: not of an index, expected format {_FORMAT!r}")
        if found.get("version") != _VERSION:
            raise FormatError(
                f"{path}.version: {found.get('version')!r:.40}, expected {_VERSION}; it was "
                "written by another version of vecsmith, use that one or build the index again"
            )
        model = found.get("model")
        fields = model if isinstance(model, dict) else {}
        names = ("name", "fingerprint", "compute_dtype", "device")
        texts = {name: fields.get(name) for name in names}
        dim = fields.get("dim")
        if type(dim) is not int or dim < 1 or not all(isinstance(v, str) for v in texts.values()):
            raise FormatError(
                f"{path}.model: {model!r:.80}, expected dim, {', '.join(names)}; the file is "
                "broken, build the index again"
            )
        return cls(dim=dim, **texts)  # type: ignore[arg-type]

    def write(self, folder: Path) -> None:
        """Writes the record of an index."""
        write_json(
            folder / MODEL_FILE, {"format": _FORMAT, "version": _VERSION, "model": asdict(self)}
        )


class TextHit(NamedTuple):
    """One text that was found: its id, similarity, the text, and its number in the index."""

    id: str | int
    score: float
    text: str
    number: int


class TextIndex:
    """Texts with their vectors.

    Example:
        >>> index = TextIndex.open("index/")
        >>> hits, found = index.search(model.encode_query(["how to raise an exception"]), k=5)
        >>> found[0][0].text

    Attributes:
        folder: Where it is.
        vectors: The vectors, by number of text.
        texts: The texts, those that were replaced or deleted among them.
        model: What made the vectors.
    """

    def __init__(
        self, folder: Path, vectors: AdaptiveIndex, texts: TextStore, model: ModelRecord
    ) -> None:
        """Takes the three parts; `TextIndex.open` and `TextIndex.make` fit them together."""
        self.folder = folder
        self.vectors = vectors
        self.texts = texts
        self.model = model

    @classmethod
    def open(cls, folder: PathLike, *, verify: bool = False) -> TextIndex:
        """The index in `folder`, mapped.

        Args:
            folder: Where it was written.
            verify: Whether every byte is read and compared with its digest.

        Raises:
            FormatError: If it is no index with texts, or a file is missing, cut short or altered.
            RunFailed: If it is changed faster than it can be opened.
        """
        folder = Path(folder)
        model = ModelRecord.read(folder)
        for _ in range(_TRIES):
            # in this order: a writer adds texts first, so no vector is without its text
            vectors = AdaptiveIndex.open(folder, verify=verify)
            texts = TextStore.open(folder / TEXTS_FOLDER, verify=verify)
            # and forgets texts last: those of vectors that are still the newest are all there
            if generation_of(folder) == vectors.info["generation"]:
                break
        else:
            raise RunFailed(f"{folder}: is changed faster than it can be opened; try again")
        if vectors.dim != model.dim:
            raise FormatError(
                f"{folder}: vectors of {vectors.dim} dims, expected {model.dim} as {MODEL_FILE} "
                "says; the files are not of one index, build it again"
            )
        return cls(folder, vectors, texts, model)

    @classmethod
    def make(
        cls,
        folder: Path,
        vectors: Any,
        numbers: NDArray[np.int64],
        model: ModelRecord,
        **options: Any,
    ) -> TextIndex:
        """An index in `folder`, where the texts are already.

        Args:
            folder: Whose folder of texts is whole.
            vectors: [N, D], an array or a mapped one.
            numbers: Of the texts that they are of, [N].
            model: What made them.
            **options: Of `AdaptiveIndex.build`.
        """
        texts = TextStore.open(folder / TEXTS_FOLDER)
        model.write(folder)
        index = AdaptiveIndex.build(vectors, ids=numbers, out=folder, **options)
        return cls(folder, index, texts, model)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def n_bytes(self) -> int:
        """Bytes of all files on the disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def search(
        self, queries: FloatArray, k: int = 10, **options: Any
    ) -> tuple[Hits, list[list[TextHit]]]:
        """What is nearest to each query, and the texts it is.

        Args:
            queries: Vectors of the queries by the same model, [Q, D].
            k: How many.
            **options: Of `AdaptiveIndex.search`.

        Raises:
            FormatError: If a file says what cannot be.
            ValueError: If shapes or options do not fit.
        """
        hits = self.vectors.search(queries, k, **options)
        found = [
            [
                hit
                for number, score in zip(numbers, scores, strict=True)
                if number >= 0 and (hit := self._hit(number, score)) is not None
            ]
            for numbers, scores in zip(hits.ids.tolist(), hits.scores.tolist(), strict=True)
        ]
        return hits, found

    def find(self, names: Sequence[str | int]) -> list[list[int]]:
        """Numbers of the texts that are in the index under each id."""
        found = self.texts.find(names)
        every = np.array([number for numbers in found for number in numbers], np.int64)
        there = set(every[np.isin(every, self.vectors.ids)].tolist())
        return [[number for number in numbers if number in there] for numbers in found]

    def sample(self, n: int, *, seed: int = 0) -> NDArray[np.int64]:
        """Numbers of up to `n` texts of the index, ascending."""
        numbers: NDArray[np.int64] = self.vectors.ids
        drawn = np.random.default_rng(seed).permutation(len(numbers))[:n]
        return np.sort(numbers[drawn])

    def delete(self, numbers: Sequence[int]) -> None:
        """Takes texts out, from the disk too.

        Raises:
            ValueError: If one is not in the index.
            RunFailed: If another process is writing the index, or has since it was opened.
            OSError: If it cannot be written.
        """
        with self._writing():
            self.vectors.delete(np.array(numbers, np.int64))
            self.vectors.save(self.folder)
            self.texts = self.texts.forget(numbers)

    def add(self, texts: TextStore, vectors: FloatArray, places: NDArray[np.int64]) -> int:
        """Adds texts; one whose id is in the index already takes the place of that one.

        Args:
            texts: With names if this index has ids.
            vectors: Of those at `places`, [N, D]; may be mapped.
            places: Which texts of `texts` have a vector, ascending, [N].

        Returns:
            How many were replaced.

        Raises:
            ValueError: If one has ids and the other not.
            RunFailed: If another process is writing the index, or has since it was opened.
            OSError: If it cannot be written; what was added until then stays.
        """
        with self._writing():
            first = len(self.texts)
            self.texts = self.texts.adopt(texts)
            return self._add_vectors(first, vectors, places)

    def go_on_adding(self, first: int, vectors: FloatArray, places: NDArray[np.int64]) -> int:
        """Adds the vectors of texts that are there from number `first` on; see `add`."""
        with self._writing():
            return self._add_vectors(first, vectors, places)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keeps other writers of texts out from the look at what there is to the last change.

        The lock is one of its own in the folder of texts: the vectors take theirs when they save.

        Raises:
            RunFailed: If another process is writing the index, or has since it was opened.
        """
        with writing(self.folder / TEXTS_FOLDER):
            found, own = generation_of(self.folder), self.vectors.info["generation"]
            if found != own:
                raise RunFailed(
                    f"{self.folder}: generation {found} of the index, expected {own} as it was "
                    "opened; another process has saved since: open it again and repeat the change"
                )
            # whoever was killed while adding may have left texts that no vector names
            self.texts = TextStore.open(self.folder / TEXTS_FOLDER)
            yield

    def _add_vectors(self, first: int, vectors: FloatArray, places: NDArray[np.int64]) -> int:
        old: list[int] = []
        for numbers, rows in self._missing(first, vectors, places):
            replaced = [] if self.texts.name_kind is None else self._others(numbers)
            if replaced:
                self.vectors.delete(np.array(replaced, np.int64))
            self.vectors.add(rows, numbers)
            self.vectors.save(self.folder)
            old += replaced
        if old:
            self.texts = self.texts.forget(old)
        return len(old)

    def _missing(
        self, first: int, vectors: FloatArray, places: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], FloatArray]]:
        """Numbers and vectors that are not in the index yet, some at a time."""
        n_rows = max(1, _BYTES_AT_A_TIME // (4 * self.vectors.dim))
        there = self.vectors.ids
        for start in range(0, len(places), n_rows):
            numbers = first + places[start : start + n_rows]
            new = ~np.isin(numbers, there)
            if new.any():
                rows = np.asarray(vectors[start : start + n_rows], np.float32)
                yield numbers[new], rows[new]

    def _others(self, numbers: NDArray[np.int64]) -> list[int]:
        """Numbers in the index of other texts that have the ids of these."""
        own = set(numbers.tolist())
        found = self.find(self.texts.names(numbers))
        return [number for every in found for number in every if number not in own]

    def _hit(self, number: int, score: float) -> TextHit | None:
        """The text of a number; None if it was forgotten, which leaves nothing of it."""
        try:
            (name,), text = self.texts.names([number]), self.texts[number]
        except IndexError:
            raise FormatError(
                f"{self.folder}: text {number} is not among {len(self.texts)} texts; the files "
                "are not of one index, build it again"
            ) from None
        is_forgotten = not text if self.texts.name_kind is None else name == ""
        return None if is_forgotten else TextHit(name, score, text, number)


def is_text_index(folder: PathLike) -> bool:
    """Whether `folder` has what `vecsmith index` writes."""
    return (Path(folder) / MODEL_FILE).is_file() and (Path(folder) / MANIFEST).is_file()


def _no_index(folder: Path) -> str:
    if (folder / TEXTS_FOLDER).is_dir():
        return f"{folder / MODEL_FILE}: missing, expected it; build the index again"
    if (folder / MANIFEST).is_file():
        return (
            f"{folder}: vectors without texts, expected an index that vecsmith index wrote; open "
            "it with AdaptiveIndex.open"
        )
    return f"{folder}: no {MODEL_FILE}, expected a folder that vecsmith index wrote"
