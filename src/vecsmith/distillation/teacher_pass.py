"""One pass of a teacher over many texts, kept on disk: sentence vectors and sums of token states.

The one rule: a pass that was stopped goes on where it was, and ends with the bytes of one that was
not. Texts are read in shards; a shard counts once its files and then the list of shards are whole.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._files import atomic_file, lock_file, read_json, write_json
from vecsmith._progress import progress_bar
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorFile, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

# To be raised when a pass over the same texts gives other figures
PASS_VERSION: Final = 1
# Texts of about equal length share a batch: of many there are enough; and few enough to lose in a
# crash (two minutes of a small teacher on two cores)
SHARD_TEXTS = 8192
# A table of sums of a large vocabulary is a gigabyte: not written after each shard
SAVE_SECONDS = 30.0


class PassReader(Protocol):
    """A teacher, as a pass sees it; `reading.TextReader` is one."""

    dim: int
    fingerprint: str

    def read(self, texts: Sequence[str]) -> Iterator[ReadTexts]:
        """Batches of `texts` as the teacher read them, in any order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTexts:
    """Some texts as a teacher read them.

    Attributes:
        places: Of the N texts among those given, shape [N].
        vectors: Of the texts, unit length, float32 tensor [N, D].
        ids: Student ids of the tokens of all, text after text, shape [T].
        lengths: Tokens of each text, shape [N].
        states: Of the tokens, each divided by the length of its text's pooled vector, [T, D].
    """

    places: NDArray[np.int64]
    vectors: Tensor
    ids: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    states: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Texts of one shard.

    Attributes:
        vectors: Of the texts, unit length, float16, shape [N, D]; memory-mapped.
        ids: Student ids of their tokens, text after text, uint32, shape [T]; memory-mapped.
        offsets: Where each text's ids begin and the last's end, int64, shape [N + 1].
    """

    vectors: NDArray[np.float16]
    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]


class TeacherPass:
    """What a teacher said of many texts.

    Attributes:
        folder: Where it is.
        n_texts: Texts read.
        n_tokens: Tokens in them, specials left out.
        n_unread: Texts for which the teacher gave no finite vector; they have no tokens.
        dim: Length D of its vectors.
        content: Hash of the teacher's fingerprint and of all texts.
        sums: For each token of the student, the sum of its states, shape [V, D]; added up in
            float64, in which passes keep them (those made before keep float32).
        counts: How often it was seen, int64, shape [V].
    """

    def __init__(self, folder: PathLike) -> None:
        """Opens a finished pass.

        Raises:
            FormatError: If there is none, or a file is broken.
        """
        self.folder = Path(folder)
        record = _read_record(self.folder)
        if record is None or not record["finished"]:
            raise FormatError(f"{self.folder}: no finished pass of a teacher, expected one")
        self._record = record["shards"]
        self.dim = int(record["settings"]["dim"])
        facts = [record["settings"], [shard["texts"] for shard in self._record]]
        self.content = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        self.n_texts = sum(shard["n_texts"] for shard in self._record)
        self.n_tokens = sum(shard["n_tokens"] for shard in self._record)
        self.n_unread = sum(shard.get("n_unread", 0) for shard in self._record)
        totals = _open_tensors(self.folder / _totals_name(len(self._record)))
        self.sums: NDArray[np.floating[Any]] = totals.tensor("sums")
        self.counts: NDArray[np.int64] = totals.tensor("counts")

    @property
    def shard_sizes(self) -> list[int]:
        """Texts of each shard."""
        return [int(shard["n_texts"]) for shard in self._record]

    def shards(self) -> Iterator[Shard]:
        """The shards, in the order of the texts.

        Raises:
            FormatError: If a file is broken.
        """
        return (self.shard(i) for i in range(len(self._record)))

    def shard(self, index: int) -> Shard:
        """Shard `index`; its file is open for as long as there is a view of its arrays.

        Raises:
            FormatError: If the file is broken.
        """
        said = self._record[index]
        file = _open_tensors(self.folder / _shard_name(index))
        shard = Shard(
            vectors=file.tensor("vectors"),
            ids=file.tensor("ids"),
            offsets=file.tensor("offsets"),
        )
        shapes = (shard.vectors.shape, shard.ids.shape, shard.offsets.shape)
        n_texts, n_tokens = said["n_texts"], said["n_tokens"]
        if (
            shapes != ((n_texts, self.dim), (n_tokens,), (n_texts + 1,))
            or (np.diff(shard.offsets, prepend=0) < 0).any()
            or shard.offsets[-1] != n_tokens
        ):
            raise FormatError(
                f"{file.path}: arrays of shapes {shapes}, expected {n_texts} texts of "
                f"{n_tokens} tokens; delete the folder"
            )
        return shard


def n_texts_done(folder: PathLike) -> int:
    """Texts of a pass in `folder` that will not be read again, 0 if there is none.

    Raises:
        FormatError: If its record is broken.
    """
    record = _read_record(Path(folder))
    return 0 if record is None else sum(shard["n_texts"] for shard in record["shards"])


def run_teacher_pass(
    reader: PassReader,
    texts: Iterable[str],
    folder: PathLike,
    *,
    n_tokens: int,
    total: int | None = None,
    show_progress_bar: bool = False,
) -> TeacherPass:
    """The pass of `reader` over `texts`, begun or gone on with in `folder`.

    Args:
        reader: The teacher.
        texts: Read once, in order; those of finished shards are compared and skipped.
        folder: Made if it is not there.
        n_tokens: Tokens V of the student.
        total: How many texts there are, for the progress bar.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        ValueError: If there is not one text.
        FormatError: If the folder holds a pass of another teacher, or of other texts; or if the
            teacher gives no finite vectors.
        OSError: If it cannot be written; what was finished stays.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "version": PASS_VERSION,
        "teacher": reader.fingerprint,
        "dim": reader.dim,
        "n_tokens": n_tokens,
        "shard_texts": SHARD_TEXTS,
    }
    try:
        with (
            lock_file(folder / "lock"),
            progress_bar("teacher", total=total, show=show_progress_bar) as advance,
        ):
            _Run(reader, folder, settings, advance).read(iter(texts))
    except BlockingIOError:
        raise FormatError(
            f"{folder}: another process is at work in it, expected a folder of its own; wait for "
            "that one or choose another folder"
        ) from None
    return TeacherPass(folder)


class _Run:
    """A pass at work: its record on disk, and shards written since that was."""

    def __init__(
        self,
        reader: PassReader,
        folder: Path,
        settings: dict[str, Any],
        advance: Callable[[int], object],
    ) -> None:
        self._reader = reader
        self._folder = folder
        self._advance = advance
        self._record = _read_record(folder) or {
            "settings": settings,
            "shards": [],
            "finished": False,
        }
        if self._record["settings"] != settings:
            raise FormatError(
                f"{folder}: holds the pass of another teacher or student, expected an empty folder "
                "or the same settings; choose another folder or delete it"
            )
        self._n_saved = len(self._record["shards"])
        _remove_orphans(folder, self._n_saved)
        self._saved_at = time.monotonic()
        self._totals = _Totals(folder, self._n_saved, settings["n_tokens"], reader.dim)

    def read(self, stream: Iterator[str]) -> None:
        """Reads all texts that no shard holds yet."""
        index = 0
        while texts := list(islice(stream, SHARD_TEXTS)):
            if index < self._n_saved:
                self._compare(index, texts)
            elif self._record["finished"]:
                raise FormatError(
                    f"{self._folder}: the pass ended after {index} shards and there are more "
                    "texts, expected the same texts; choose another folder or delete it"
                )
            else:
                self._add(texts)
            index += 1
        if index < self._n_saved:
            raise FormatError(
                f"{self._folder}: {self._n_saved} shards are there and the texts end after "
                f"{index}, expected the texts this pass began with; choose another folder or "
                "delete it"
            )
        if index == 0:
            raise ValueError("there is not one text, expected some for the teacher to read")
        if not self._record["finished"]:
            self._record["finished"] = True
            self._save()

    def _compare(self, index: int, texts: list[str]) -> None:
        """Raises FormatError if `texts` are not those that a shard was read from."""
        if self._record["shards"][index]["texts"] != _digest(texts):
            raise FormatError(
                f"{self._folder}: shard {index} is of other texts, expected the texts this pass "
                "began with; choose another folder or delete it"
            )
        self._advance(len(texts))

    def _add(self, texts: list[str]) -> None:
        """Reads the texts of the next shard; from time to time all is made to last."""
        shards = self._record["shards"]
        path = self._folder / _shard_name(len(shards))
        n_tokens, n_unread = _write_shard(self._reader, texts, path, self._totals, self._advance)
        if n_unread == len(texts):
            raise FormatError(
                f"{path}: the teacher gave not one finite vector for {n_unread} texts, expected "
                "some; its weights are broken, or it needs compute_dtype 'float32'"
            )
        shards.append(
            {
                "texts": _digest(texts),
                "n_texts": len(texts),
                "n_tokens": n_tokens,
                "n_unread": n_unread,
            }
        )
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        n_shards = len(self._record["shards"])
        if n_shards > self._n_saved:
            self._totals.save(n_shards)
        write_json(self._folder / "pass.json", self._record)
        if n_shards > self._n_saved:
            self._totals.delete(self._n_saved)
        self._n_saved = n_shards
        self._saved_at = time.monotonic()


class _Totals:
    """Sums and counts over the shards so far, in memory and in one file.

    Sums are float64: a float32 sum of a word's states in ten million texts stops growing.
    """

    def __init__(self, folder: Path, n_shards: int, n_tokens: int, dim: int) -> None:
        torch = require("torch", extra="distill", purpose="run the teacher")
        self._folder = folder
        if n_shards:
            file = _open_tensors(folder / _totals_name(n_shards))
            self.sums = torch.from_numpy(np.array(file.tensor("sums"), dtype=np.float64))
            self.counts = np.array(file.tensor("counts"))
        else:
            self.sums = torch.zeros((n_tokens, dim), dtype=torch.float64)
            self.counts = np.zeros(n_tokens, dtype=np.int64)

    def save(self, n_shards: int) -> None:
        write_file(
            self._folder / _totals_name(n_shards),
            {"counts": self.counts, "sums": self.sums.numpy()},
        )

    def delete(self, n_shards: int) -> None:
        with suppress(OSError):
            (self._folder / _totals_name(n_shards)).unlink()


def _write_shard(
    reader: PassReader,
    texts: Sequence[str],
    path: Path,
    totals: _Totals,
    advance: Callable[[int], object],
) -> tuple[int, int]:
    """Reads the texts of a shard, writes its file, adds to the totals; tokens and texts unread."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    vectors = np.zeros((len(texts), reader.dim), dtype=np.float16)
    lists: list[NDArray[np.uint32]] = [np.empty(0, dtype=np.uint32)] * len(texts)
    for part in reader.read(texts):
        vectors[part.places] = part.vectors.cpu().numpy().astype(np.float16)
        ends = np.cumsum(part.lengths)
        for place, own in zip(part.places, np.split(part.ids, ends[:-1]), strict=True):
            lists[place] = own
        ids = torch.from_numpy(part.ids.astype(np.int64))
        totals.sums.index_add_(0, ids, part.states.cpu().double())
        totals.counts += np.bincount(part.ids, minlength=len(totals.counts))
        advance(len(part.places))
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in lists], out=offsets[1:])
    write_file(path, {"offsets": offsets, "ids": np.concatenate(lists), "vectors": vectors})
    return int(offsets[-1]), int((~vectors.any(axis=1)).sum())


def write_file(path: Path, tensors: dict[str, NDArray[Any]]) -> None:
    """Writes `tensors` as safetensors, whole or not at all."""
    with atomic_file(path) as file:
        write_tensors(file, tensors)


def _open_tensors(path: Path) -> TensorFile:
    try:
        return TensorFile(path)
    except FileNotFoundError as error:
        raise FormatError(
            f"{path}: missing, expected a file of a teacher's pass; delete the folder"
        ) from error


def _remove_orphans(folder: Path, n_shards: int) -> None:
    """Takes away files of shards and totals that a run wrote and did not live to record."""
    listed = {_shard_name(i) for i in range(n_shards)} | {_totals_name(n_shards)}
    for pattern in ("shard-*.safetensors", "totals-*.safetensors", ".*.safetensors.*.part"):
        for path in folder.glob(pattern):
            if path.name not in listed:
                with suppress(OSError):
                    path.unlink()


def _read_record(folder: Path) -> dict[str, Any] | None:
    path = folder / "pass.json"
    if not path.is_file():
        return None
    record = read_json(path, remedy="delete the folder")
    if not (
        isinstance(record, dict)
        and isinstance(record.get("settings"), dict)
        and isinstance(record.get("finished"), bool)
        and isinstance(record.get("shards"), list)
        and all(map(_is_shard, record["shards"]))
    ):
        raise FormatError(f"{path}: not the record of a pass, expected one; delete the folder")
    return record


def _is_shard(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("texts"), str)
        and all(isinstance(entry.get(key), int) for key in ("n_texts", "n_tokens"))
        and isinstance(entry.get("n_unread", 0), int)
    )


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _shard_name(index: int) -> str:
    return f"shard-{index:05}.safetensors"


def _totals_name(n_shards: int) -> str:
    return f"totals-{n_shards:05}.safetensors"
