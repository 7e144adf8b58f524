"""Sets of pairs, each text tokenised once: memory-mapped ids that batches are gathered from.

One rule: what is in the record is whole on disk. A shard counts once its file and then the record
are written, so building that was stopped goes on after the last shard, and gives the same bytes.

Measured with ten million pairs of 50 tokens in Parquet (two cores of a Xeon, busy with other
work): 33 s of processor time, of which the tokenizer's share is a third and reading's another;
200 MB of memory; 1.4 GB on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vecsmith._files import atomic_file, lock_file, read_json, write_json
from vecsmith._progress import progress_bar
from vecsmith._typing import FloatArray, PathLike
from vecsmith.errors import FormatError, RunFailed
from vecsmith.formats.safetensors import TensorStream, write_tensors
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.bag import Keys
from vecsmith.training.pair_tokens import PairSource, PairTokenizer, TextMatcher, TokenRows
from vecsmith.training.stored_source import ShardRecord, SourceReport, StoredSource, text_roles_of

__all__ = ["SourceReport", "StoredSource", "TokenStore", "build_store"]

# To be raised when the same sets give other bytes
STORE_VERSION: Final = 1
# 64 or 128 MB of ids: few enough to hold while a shard is gathered and to lose in a crash (a few
# seconds' work), many enough that ten million pairs make a few dozen files.
SHARD_TOKENS: Final = 2**25
SHARD_ROWS: Final = 2**20


@dataclass(slots=True, kw_only=True)
class _SourceRecord:
    """What the record says of one set."""

    name: str
    fingerprint: str
    roles: tuple[str, ...]
    finished: bool = False
    shards: list[ShardRecord] = field(default_factory=list)

    @property
    def identity(self) -> tuple[str, str, tuple[str, ...]]:
        return self.name, self.fingerprint, self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What a folder holds, as its file `store.json` says."""

    settings: Mapping[str, Any]
    sources: list[_SourceRecord]

    @property
    def is_finished(self) -> bool:
        return all(source.finished for source in self.sources)


class TokenStore:
    """Sets of pairs as tokens.

    Attributes:
        folder: Where it is.
        fingerprint: Hash of the sets and of all that their tokens depend on.
        sources: The sets, in the order they were given.
    """

    def __init__(self, folder: PathLike) -> None:
        """Opens a finished store.

        Raises:
            FormatError: If there is none, or a file is broken.
        """
        self.folder = Path(folder)
        record = _read_record(self.folder)
        if record is None or not record.is_finished:
            raise FormatError(
                f"{self.folder}: no finished token store, expected one; build it by build_store"
            )
        self.fingerprint = _fingerprint_of(record)
        self.sources = tuple(
            StoredSource(
                source.name,
                source.roles,
                [(_shard_path(self.folder, i, j), shard) for j, shard in enumerate(source.shards)],
            )
            for i, source in enumerate(record.sources)
        )

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    @property
    def reports(self) -> tuple[SourceReport, ...]:
        """What became of the rows of each set."""
        return tuple(source.report for source in self.sources)


def build_store(
    sources: Sequence[PairSource],
    tokenizer: Tokenizer,
    folder: PathLike,
    *,
    max_length: int | None = None,
    unk_id_dropped: int | None,
    decontaminator: TextMatcher | None = None,
    show_progress_bar: bool = False,
) -> TokenStore:
    """The store of `sources` in `folder`: opened if it is there, gone on with if it is not whole.

    Args:
        sources: Sets of pairs; the second of two with one name becomes "name (2)".
        tokenizer: Of the model that is trained.
        folder: Made if it is not there.
        max_length: Tokens of a text that count, the unknown ones included; None for all.
        unk_id_dropped: Id of the token that does not count, as in encoding; None for none.
        decontaminator: Rows with a text that it matches are left out.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        ValueError: If there is no set, or not one row of a set can be trained on.
        FormatError: If the folder holds another store, or a file is broken.
        RunFailed: If another process is building a store there.
        OSError: If it cannot be written; what was finished stays.
    """
    if not sources:
        raise ValueError("there is no set of pairs, expected one or more")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "version": STORE_VERSION,
        "tokenizer": tokenizer.fingerprint,
        "max_length": max_length,
        "unk_id_dropped": unk_id_dropped,
        "decontaminator": None if decontaminator is None else decontaminator.fingerprint,
    }
    reader = PairTokenizer(
        tokenizer,
        max_length=max_length,
        unk_id_dropped=unk_id_dropped,
        decontaminator=decontaminator,
    )
    if not _begun(folder, settings, sources).is_finished:  # one that is may be read by many
        with _alone_in(folder):
            record = _begun(folder, settings, sources)
            writer = _Writer(folder, record, reader, tokenizer.n_ids, show_progress_bar)
            for i, source in enumerate(sources):
                writer.finish(i, source)
    store = TokenStore(folder)
    for report in store.reports:
        if report.n_kept == 0:
            raise ValueError(f"{report}, expected one or more that can be trained on")
    return store


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keeps others from building in `folder`, and clears what a killed process left there."""
    try:
        with lock_file(folder / ".lock"):
            for part in folder.glob(".*.part"):
                part.unlink(missing_ok=True)
            yield
    except BlockingIOError as error:
        raise RunFailed(
            f"{folder}: another process is building this token store, expected none; wait for it "
            "or choose another folder"
        ) from error


def _begun(folder: Path, settings: Mapping[str, Any], sources: Sequence[PairSource]) -> _Record:
    """The record in `folder`, or a new one; a store of other sets is refused."""
    names = _distinct([source.name for source in sources])
    new = [
        _SourceRecord(name=name, fingerprint=source.fingerprint, roles=tuple(source.roles))
        for name, source in zip(names, sources, strict=True)
    ]
    record = _read_record(folder)
    if record is None:
        return _Record(settings=settings, sources=new)
    if record.settings != settings:
        found = {k: v for k, v in record.settings.items() if settings.get(k) != v}
        expected = {k: settings.get(k) for k in found}
        raise FormatError(
            f"{folder}: holds a token store made with {found}, expected {expected}; choose "
            "another folder or delete it"
        )
    if [source.identity for source in record.sources] != [source.identity for source in new]:
        raise FormatError(
            f"{folder}: holds a token store of {[s.name for s in record.sources]} as they were "
            f"when it was begun, expected {names} as they are now; choose another folder or "
            "delete it"
        )
    return record


class _Writer:
    """Reads what is left of the sets into shards."""

    def __init__(
        self, folder: Path, record: _Record, reader: PairTokenizer, n_ids: int, show: bool
    ) -> None:
        self._folder = folder
        self._record = record
        self._reader = reader
        self._ids_dtype = np.dtype(np.uint16 if n_ids <= 2**16 else np.uint32)
        self._show = show

    def finish(self, index: int, source: PairSource) -> None:
        """Writes the shards of a set that are not there yet."""
        own = self._record.sources[index]
        if own.finished:
            return
        start = own.shards[-1].position if own.shards else None
        roles = text_roles_of(own.roles)
        shard = _Shard(roles, self._ids_dtype)
        with progress_bar(f"tokens of {own.name}", total=source.n_rows, show=self._show) as bar:
            bar(sum(done.n_read for done in own.shards))
            for rows in source.read(start):
                tokens = self._reader.tokens(rows)
                shard.add(tokens, rows.position)
                bar(tokens.n_read)
                if shard.is_full:
                    self._write(shard, index)
                    shard = _Shard(roles, self._ids_dtype)
        own.finished = True
        self._write(shard, index)

    def _write(self, shard: _Shard, index: int) -> None:
        """Writes a shard and then, that it is there."""
        shards = self._record.sources[index].shards
        if shard.n_read:
            shards.append(shard.written(_shard_path(self._folder, index, len(shards))))
        write_json(self._folder / "store.json", asdict(self._record))


class _Shard:
    """Rows gathered for one file."""

    def __init__(self, text_roles: Sequence[str], ids_dtype: np.dtype[Any]) -> None:
        self._ids_dtype = ids_dtype
        self._ids: dict[str, list[NDArray[Any]]] = {role: [] for role in text_roles}
        self._ends: dict[str, list[NDArray[np.int64]]] = {role: [] for role in text_roles}
        self._keys: dict[str, list[Keys]] = {role: [] for role in text_roles}
        self._n_tokens = dict.fromkeys(text_roles, 0)
        self._rows: list[NDArray[np.int64]] = []
        self._scores: list[FloatArray] = []
        self._skipped: Counter[str] = Counter()
        self._position: Any = None
        self.n_read = 0

    def add(self, tokens: TokenRows, position: Any) -> None:
        """Takes rows in; `position` is where reading goes on after them."""
        self.n_read += tokens.n_read
        self._skipped.update(tokens.skipped)
        self._position = position
        if not len(tokens.rows):
            return
        self._rows.append(tokens.rows)
        if tokens.scores is not None:
            self._scores.append(tokens.scores)
        for role, bag in tokens.bags.items():
            self._ids[role].append(bag.ids.astype(self._ids_dtype))
            self._ends[role].append(self._n_tokens[role] + bag.offsets[1:])
            self._keys[role].append(tokens.keys[role])
            self._n_tokens[role] += len(bag.ids)

    @property
    def is_full(self) -> bool:
        # Rows left out count as well: a set of nothing else must not be gathered without end.
        return sum(self._n_tokens.values()) >= SHARD_TOKENS or self.n_read >= SHARD_ROWS

    def written(self, path: Path) -> ShardRecord:
        """The record of the shard, once its file is there."""
        if self._rows:
            with atomic_file(path) as file:
                write_tensors(file, self._tensors())
        ranges = [(float(scores.min()), float(scores.max())) for scores in self._scores]
        return ShardRecord(
            n_rows=sum(map(len, self._rows)),
            n_read=self.n_read,
            n_tokens=self._n_tokens,
            skipped=dict(self._skipped),
            score_range=(min(r[0] for r in ranges), max(r[1] for r in ranges)) if ranges else None,
            position=self._position,
        )

    def _tensors(self) -> dict[str, TensorStream]:
        """The tensors, wider types first, which keeps all of them aligned."""
        zero = np.zeros(1, dtype=np.int64)
        tensors = {"rows": _stream(self._rows, np.int64)}
        for role in self._ids:
            tensors[f"{role}.keys"] = _stream(self._keys[role], np.uint64)
            tensors[f"{role}.offsets"] = _stream([zero, *self._ends[role]], np.int64)
        if self._scores:
            tensors["scores"] = _stream(self._scores, np.float32)
        return tensors | {
            f"{role}.ids": _stream(ids, self._ids_dtype) for role, ids in self._ids.items()
        }


def _stream(blocks: Sequence[NDArray[Any]], dtype: DTypeLike) -> TensorStream:
    return TensorStream(np.dtype(dtype), (sum(map(len, blocks)),), blocks)


def _distinct(names: Sequence[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        own, count = name, 1
        while own in found:
            count += 1
            own = f"{name} ({count})"
        found.append(own)
    return found


def _read_record(folder: Path) -> _Record | None:
    path = folder / "store.json"
    if not path.is_file():
        return None
    found = read_json(path, remedy="delete the folder")
    try:
        return _Record(
            settings=dict(found["settings"]),
            sources=[
                _SourceRecord(
                    name=source["name"],
                    fingerprint=source["fingerprint"],
                    roles=tuple(source["roles"]),
                    finished=source["finished"],
                    shards=[ShardRecord(**shard) for shard in source["shards"]],
                )
                for source in found["sources"]
            ],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path}: not the record of a token store ({error!s:.80}), expected one; delete the "
            "folder"
        ) from error


def _fingerprint_of(record: _Record) -> str:
    identities = [[*source.identity, len(source.shards)] for source in record.sources]
    text = json.dumps([record.settings, identities], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _shard_path(folder: Path, source: int, shard: int) -> Path:
    return folder / f"set-{source:03}-{shard:05}.safetensors"
