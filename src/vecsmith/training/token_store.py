"""Sets of pairs, each text tokenised once: memory-mapped ids that batches are gathered from.

One rule: what is in the record is whole on disk. A shard counts once its file and then the record
are written, so building that was stopped goes on after the last shard, and gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import atomic_file, read_json, write_json
from vecsmith._progress import progress_bar
from vecsmith._typing import PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorStream, write_tensors
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.pair_tokens import PairSource, PairTokenizer, TextMatcher, TokenRows
from vecsmith.training.stored_source import ShardRecord, SourceReport, StoredSource

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
    record = _begun(folder, settings, sources)
    reader = PairTokenizer(
        tokenizer,
        max_length=max_length,
        unk_id_dropped=unk_id_dropped,
        decontaminator=decontaminator,
    )
    ids_dtype = np.dtype(np.uint16 if tokenizer.n_ids <= 2**16 else np.uint32)
    for i, source in enumerate(sources):
        if not record.sources[i].finished:
            _write_source(folder, record, i, source, reader, ids_dtype, show_progress_bar)
    store = TokenStore(folder)
    for report in store.reports:
        if report.n_kept == 0:
            raise ValueError(f"{report}, expected one or more that can be trained on")
    return store


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


def _write_source(
    folder: Path,
    record: _Record,
    index: int,
    source: PairSource,
    reader: PairTokenizer,
    ids_dtype: np.dtype[Any],
    show_progress_bar: bool,
) -> None:
    """Reads what is left of a set into shards."""
    own = record.sources[index]
    text_roles = [role for role in own.roles if role != "score"]
    shard = _Shard(text_roles, ids_dtype)
    with progress_bar(f"tokens of {own.name}", total=source.n_rows, show=show_progress_bar) as bar:
        bar(sum(done.n_read for done in own.shards))
        for rows in source.read(own.shards[-1].position if own.shards else None):
            shard.add(reader.tokens(rows), rows.position)
            bar(len(rows.texts["anchor"]))
            if shard.is_full:
                own.shards.append(shard.written(_shard_path(folder, index, len(own.shards))))
                _write_record(folder, record)
                shard = _Shard(text_roles, ids_dtype)
        if shard.n_read:
            own.shards.append(shard.written(_shard_path(folder, index, len(own.shards))))
        own.finished = True
        _write_record(folder, record)


class _Shard:
    """Rows gathered for one file."""

    def __init__(self, text_roles: Sequence[str], ids_dtype: np.dtype[Any]) -> None:
        self._text_roles = text_roles
        self._ids_dtype = ids_dtype
        self._parts: list[TokenRows] = []
        self._n_rows = self._n_tokens = self.n_read = 0
        self._position: Any = None

    def add(self, rows: TokenRows, position: Any) -> None:
        self._parts.append(rows)
        self._n_rows += len(rows.rows)
        self._n_tokens += sum(len(bag.ids) for bag in rows.bags.values())
        self.n_read += rows.n_read
        self._position = position

    @property
    def is_full(self) -> bool:
        # Rows left out count as well: a set of nothing else must not be gathered without end.
        return self._n_tokens >= SHARD_TOKENS or self.n_read >= SHARD_ROWS

    def written(self, path: Path) -> ShardRecord:
        """The record of the shard, once its file is there."""
        if self._n_rows:
            with atomic_file(path) as file:
                write_tensors(file, self._tensors())
        scores = [p.scores for p in self._parts if p.scores is not None and len(p.scores)]
        skipped: dict[str, int] = {}
        for part in self._parts:
            for reason, n in part.skipped.items():
                skipped[reason] = skipped.get(reason, 0) + n
        return ShardRecord(
            n_rows=self._n_rows,
            n_read=self.n_read,
            n_tokens={role: self._n_tokens_of(role) for role in self._text_roles},
            skipped=skipped,
            score_range=(
                (float(min(s.min() for s in scores)), float(max(s.max() for s in scores)))
                if scores
                else None
            ),
            position=self._position,
        )

    def _tensors(self) -> dict[str, TensorStream]:
        """The tensors, wider types first, which keeps all of them aligned."""
        n = self._n_rows
        wide = {"rows": TensorStream(np.dtype(np.int64), (n,), [p.rows for p in self._parts])}
        for role in self._text_roles:
            keys = [part.keys[role] for part in self._parts]
            wide[f"{role}.keys"] = TensorStream(np.dtype(np.uint64), (n,), keys)
            offsets = self._offsets(role)
            wide[f"{role}.offsets"] = TensorStream(np.dtype(np.int64), (n + 1,), offsets)
        scores = [part.scores for part in self._parts if part.scores is not None]
        narrow = {"scores": TensorStream(np.dtype(np.float32), (n,), scores)} if scores else {}
        for role in self._text_roles:
            ids = [part.bags[role].ids.astype(self._ids_dtype) for part in self._parts]
            narrow[f"{role}.ids"] = TensorStream(self._ids_dtype, (self._n_tokens_of(role),), ids)
        return wide | narrow

    def _n_tokens_of(self, role: str) -> int:
        return sum(len(part.bags[role].ids) for part in self._parts)

    def _offsets(self, role: str) -> list[NDArray[np.int64]]:
        blocks = [np.zeros(1, dtype=np.int64)]
        for part in self._parts:
            blocks.append(blocks[-1][-1] + part.bags[role].offsets[1:])
            if len(blocks[-1]) == 0:
                blocks.pop()
        return blocks


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


def _write_record(folder: Path, record: _Record) -> None:
    write_json(folder / "store.json", asdict(record))


def _fingerprint_of(record: _Record) -> str:
    identities = [[*source.identity, len(source.shards)] for source in record.sources]
    text = json.dumps([record.settings, identities], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _shard_path(folder: Path, source: int, shard: int) -> Path:
    return folder / f"set-{source:03}-{shard:05}.safetensors"
