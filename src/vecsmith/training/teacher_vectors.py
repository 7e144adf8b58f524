"""A teacher's vectors of all texts of some sets, made once and found by the texts' keys.

One rule: the teacher reads a text once however often it stands in the pairs; vectors are kept as
float16 in files that say how far the reading is, so a pass that was stopped goes on.

Losses take them as guides (GISTEmbed, Solatorio 2024) or as what is to be imitated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import atomic_file, parse_json
from vecsmith._progress import progress_bar
from vecsmith._typing import Encoder, FloatArray, PathLike
from vecsmith.corpora import Limits
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorFile, write_tensors
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.bag import Bag, Keys, TextKeys
from vecsmith.training.identity import identity_of_teacher
from vecsmith.training.pair_sources import NamedPairs, without_prompt

Side = Literal["query", "document"]

_VERSION: Final = 1
# What a kill costs at most: a minute or so of a transformer on two cores.
_SHARD_TEXTS: Final = 2**14
_LIMITS: Final = Limits(max_rows=2**12)
_SALTS: Final[dict[Side, int]] = {"query": 0x9E3779B97F4A7C15, "document": 0}
_REMEDY: Final = "delete the folder"


class TeacherVectors:
    """Vectors of texts by key."""

    def __init__(self, folder: PathLike) -> None:
        """Opens the files in a folder.

        Raises:
            FormatError: If a file is broken.
        """
        self.folder = Path(folder)
        self._files = [_opened(path) for path in _paths(self.folder)]
        keys = [file.tensor("keys") for file, _ in self._files]
        every: Keys = np.concatenate([*keys, np.empty(0, dtype=np.uint64)])
        self._order = np.argsort(every, kind="stable")
        self._keys = every[self._order]
        self._starts = np.cumsum([0, *(len(of) for of in keys)])
        self._vectors = [file.tensor("vectors") for file, _ in self._files]
        self.is_salted = bool(self._files) and bool(self._files[-1][1]["salted"])

    def __len__(self) -> int:
        return len(self._keys)

    def has(self, keys: Keys) -> NDArray[np.bool_]:
        """Whether there is a vector of each key, shape [N]."""
        if not len(self._keys):
            return np.zeros(len(keys), dtype=np.bool_)
        places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        return np.asarray(self._keys[places] == keys)

    def of(self, keys: Keys, side: Side) -> FloatArray:
        """Vectors of texts by their keys, float32, shape [N, T].

        Args:
            keys: As `TextKeys` gives them.
            side: Whether they stand as queries or as documents.

        Raises:
            FormatError: If there is no vector of a key.
        """
        wanted = salted(keys, side) if self.is_salted else keys
        if not self.has(wanted).all():
            raise FormatError(
                f"{self.folder}: no vector of {int((~self.has(wanted)).sum())} texts of a batch, "
                f"expected one of each; {_REMEDY}"
            )
        rows = self._order[np.searchsorted(self._keys, wanted)]
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        # a file of a set without new texts is empty and has no dims
        dim = max(vectors.shape[1] for vectors in self._vectors)
        found = np.empty((len(rows), dim), dtype=np.float32)
        for shard in np.unique(shards).tolist():
            own = shards == shard
            found[own] = self._vectors[shard][rows[own] - self._starts[shard]]
        return found


def salted(keys: Keys, side: Side) -> Keys:
    """Keys that tell a text as a query from the same text as a document."""
    return np.bitwise_xor(keys, np.uint64(_SALTS[side]))


def build_teacher_vectors(
    sources: Sequence[NamedPairs],
    tokenizer: Tokenizer,
    teacher: Encoder,
    folder: PathLike,
    *,
    max_length: int | None,
    unk_id_dropped: int | None,
    prompts: Sequence[str] = (),
    show_progress_bar: bool = False,
) -> TeacherVectors:
    """The vectors of all texts of `sources` in `folder`, gone on with if they are not whole.

    Texts that the student's tokenizer cannot tell apart get the vector of the first of them.

    Args:
        sources: Sets of pairs.
        tokenizer: Of the student: it gives the keys.
        teacher: What encodes. If it has `encode_query` and `encode_document`, anchors go through
            the first and all else through the second.
        folder: Made if it is not there.
        max_length: Of the student's tokens, as in its token store.
        unk_id_dropped: Token that does not count, as in its token store.
        prompts: The student's own, which texts may begin with and the teacher does not see.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        FormatError: If the folder holds vectors of something else.
        ValueError: If the teacher gives something else than one finite vector a text.
    """
    writer = _Writer(Path(folder), _identity(sources, tokenizer, teacher), teacher)
    keys_of = TextKeys(tokenizer.n_ids)
    for number, source in enumerate(sources):
        start, is_done = writer.resume_at(number)
        if is_done:
            continue
        label = f"teacher on {source.name}"
        with progress_bar(label, total=source.n_rows, show=show_progress_bar) as advance:
            for rows in source.read(start, limits=_LIMITS):
                for side, texts in _sides(rows.texts):
                    ids, offsets = tokenizer.encode_batch(texts, max_length=max_length)
                    keys = keys_of.of(Bag(ids, offsets).without(unk_id_dropped))
                    writer.add(keys, [without_prompt(text, prompts) for text in texts], side)
                writer.reach(number, rows.position)
                advance(len(rows.texts["anchor"]))
        writer.end(number)
    return TeacherVectors(folder)


def _sides(texts: Mapping[str, Sequence[str | None]]) -> Iterator[tuple[Side, list[str]]]:
    for role, column in texts.items():
        yield "query" if role == "anchor" else "document", [text for text in column if text]


@dataclass(slots=True)
class _Place:
    """How far the reading is: a set, and the position in it, None at its end."""

    source: int = 0
    position: Any = None
    is_end: bool = False


class _Writer:
    """Gathers texts that have no vector yet, and writes a file of vectors now and then."""

    def __init__(self, folder: Path, identity: str, teacher: Encoder) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._identity, self._teacher = folder, identity, teacher
        self._salts = hasattr(teacher, "encode_query") and hasattr(teacher, "encode_document")
        self._place = _Place(source=-1)
        self._seen: set[int] = set()
        self._n_files = 0
        self._waiting: dict[int, tuple[str, Side]] = {}
        for path in _paths(folder):
            file, record = _opened(path)
            if record["identity"] != identity:
                raise FormatError(
                    f"{folder}: holds a teacher's vectors of other texts or of another teacher, "
                    f"expected those of these; {_REMEDY}"
                )
            self._seen.update(file.tensor("keys").tolist())
            self._place = _Place(record["source"], record["position"], record["is_end"])
            self._n_files += 1

    def resume_at(self, number: int) -> tuple[Any, bool]:
        """Where to start reading set `number`, and whether it is done."""
        place = self._place
        if number < place.source or (number == place.source and place.is_end):
            return None, True
        return (place.position if number == place.source else None), False

    def add(self, keys: Keys, texts: Sequence[str], side: Side) -> None:
        """Takes in texts with their keys."""
        own = salted(keys, side) if self._salts else keys
        for key, text in zip(own.tolist(), texts, strict=True):
            if key not in self._seen:
                self._seen.add(key)
                self._waiting[key] = (text, side)

    def reach(self, number: int, position: Any) -> None:
        """Notes that all rows up to `position` are taken in."""
        self._place = _Place(number, position)
        if len(self._waiting) >= _SHARD_TEXTS:
            self._write()

    def end(self, number: int) -> None:
        """Notes that a set is read to its end."""
        self._place = _Place(number, None, True)
        self._write()

    def _write(self) -> None:
        vectors = self._encoded()
        keys = np.fromiter(self._waiting, dtype=np.uint64, count=len(self._waiting))
        record = {
            "version": _VERSION,
            "identity": self._identity,
            "salted": self._salts,
            "source": self._place.source,
            "position": self._place.position,
            "is_end": self._place.is_end,
        }
        path = self._folder / f"vectors-{self._n_files:05d}.safetensors"
        with atomic_file(path) as file:
            write_tensors(
                file, {"keys": keys, "vectors": vectors}, metadata={"record": json.dumps(record)}
            )
        self._n_files += 1
        self._waiting.clear()

    def _encoded(self) -> NDArray[np.float16]:
        """Vectors of the waiting texts, in their order."""
        waiting = list(self._waiting.values())
        order: list[int] = []
        parts: list[FloatArray] = []
        # a teacher without sides gets all texts at once
        for sides in [("query",), ("document",)] if self._salts else [("query", "document")]:
            places = [i for i, (_, side) in enumerate(waiting) if side in sides]
            if places:
                order += places
                texts = [waiting[i][0] for i in places]
                parts.append(self._vectors(texts, waiting[places[0]][1]))
        if not parts:
            return np.empty((0, 0), dtype=np.float16)
        vectors = np.concatenate(parts)
        result = np.empty(vectors.shape, dtype=np.float16)
        result[order] = vectors
        return result

    def _vectors(self, texts: list[str], side: str) -> FloatArray:
        method = getattr(self._teacher, f"encode_{side}") if self._salts else self._teacher.encode
        found = np.asarray(method(texts), dtype=np.float32)
        if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
            raise ValueError(
                f"the teacher gave an array of shape {list(found.shape)} for {len(texts)} texts, "
                "expected one finite vector each"
            )
        # cosines are all that losses take of them, and float16 ends at 65504
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        found /= np.maximum(lengths, 1e-12)
        return found


def _identity(sources: Sequence[NamedPairs], tokenizer: Tokenizer, teacher: Encoder) -> str:
    """Hash of what the vectors are of."""
    own = identity_of_teacher(teacher, sources)
    parts = [own, tokenizer.fingerprint, [source.fingerprint for source in sources]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("vectors-*.safetensors"))


def _opened(path: Path) -> tuple[TensorFile, dict[str, Any]]:
    file = TensorFile(path)
    text = file.metadata.get("record", "null")
    record = parse_json(text, source=f"{path}: record", remedy=_REMEDY)
    if not isinstance(record, dict) or record.get("version") != _VERSION:
        raise FormatError(f"{path}: not a file of a teacher's vectors, expected one; {_REMEDY}")
    return file, record
