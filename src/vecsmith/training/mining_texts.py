"""The texts of a set of pairs, each once, and their vectors.

One rule: vectors kept on disk are known by the encoder and by the texts they are of; what does not
fit both is made anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._files import atomic_file
from vecsmith._progress import progress_bar
from vecsmith._typing import Encoder, FloatArray, PathLike
from vecsmith.errors import FormatError
from vecsmith.formats.safetensors import TensorFile, write_tensors
from vecsmith.training.pair_tokens import PairSource

Side = Literal["query", "document"]

# What a kill costs at most: a minute or so of a small transformer on two cores.
_SHARD_TEXTS: Final = 2**14


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningTexts:
    """Texts of N rows that have an anchor and a positive.

    Attributes:
        queries: Different anchors, Q in the order in which they come.
        documents: Different candidates, D: those given, then the positives.
        anchors: Place of each row's anchor among the queries, int32, shape [N].
        positives: Place of each row's positive among the documents, int32, shape [N].
        query_spellings: Number of each query without regard to case and space, -1 for one that no
            document has, int32, shape [Q].
        document_spellings: The same of the documents, int32, shape [D].
        n_spellings: How many different ones the documents have.
        others: Other columns of the rows, by role.
        numbers: Which rows of the set they are, shape [N].
        n_read: Rows read.
    """

    queries: Sequence[str]
    documents: Sequence[str]
    anchors: NDArray[np.int32]
    positives: NDArray[np.int32]
    query_spellings: NDArray[np.int32]
    document_spellings: NDArray[np.int32]
    n_spellings: int
    others: dict[str, list[str | None]]
    numbers: NDArray[np.int64]
    n_read: int


def mining_texts(pairs: PairSource, corpus: Iterable[str]) -> MiningTexts:
    """The texts of all rows of `pairs` that have both; those of `corpus` are candidates too.

    Raises:
        ValueError: If the pairs have scores.
    """
    if "score" in pairs.roles:
        raise ValueError(
            f"{pairs.name}: pairs with scores, expected pairs that belong together; name the "
            "columns without the score"
        )
    queries: dict[str, int] = {}
    documents = {text: i for i, text in enumerate(dict.fromkeys(corpus))}
    anchors: list[int] = []
    positives: list[int] = []
    numbers: list[int] = []
    others: dict[str, list[str | None]] = {
        role: [] for role in pairs.roles if role not in ("anchor", "positive")
    }
    n_read = 0
    for rows in pairs.read():
        both = zip(rows.texts["anchor"], rows.texts["positive"], strict=True)
        n_read += len(rows.texts["anchor"])
        for i, (anchor, positive) in enumerate(both):
            # an empty text has a vector that is near nothing, or near everything
            if not (anchor and positive and anchor.strip() and positive.strip()):
                continue
            anchors.append(queries.setdefault(anchor, len(queries)))
            positives.append(documents.setdefault(positive, len(documents)))
            numbers.append(rows.first_row + i)
            for role, column in others.items():
                column.append(rows.texts[role][i])
    spellings: dict[str, int] = {}
    of_documents = [spellings.setdefault(_spelling(text), len(spellings)) for text in documents]
    of_queries = [spellings.get(_spelling(text), -1) for text in queries]
    return MiningTexts(
        queries=list(queries),
        documents=list(documents),
        anchors=np.array(anchors, dtype=np.int32),
        positives=np.array(positives, dtype=np.int32),
        query_spellings=np.array(of_queries, dtype=np.int32),
        document_spellings=np.array(of_documents, dtype=np.int32),
        n_spellings=len(spellings),
        others=others,
        numbers=np.array(numbers, dtype=np.int64),
        n_read=n_read,
    )


def encoded(
    encoder: Encoder,
    texts: Sequence[str],
    side: Side,
    work: PathLike | None,
    show_progress_bar: bool,
) -> FloatArray:
    """Vectors of `texts`, shape [N, D], those kept in the folder `work` not made again.

    Raises:
        ValueError: If the encoder gives something else than one finite vector each, or has no
            fingerprint by which vectors on disk could be known.
    """
    method: Callable[[Sequence[str]], Any] = getattr(encoder, f"encode_{side}", encoder.encode)
    kept = None if work is None else _Kept(Path(work), encoder, side)
    parts: list[FloatArray] = []
    with progress_bar(f"{side} vectors", total=len(texts), show=show_progress_bar) as advance:
        for i, shard in enumerate(_shards(texts)):
            part = None if kept is None else kept.read(i, shard)
            if part is None:
                part = _checked(method(shard), shard)
                if kept is not None:
                    kept.write(i, shard, part)
            parts.append(part)
            advance(len(shard))
    return np.concatenate(parts)


def _spelling(text: str) -> str:
    return " ".join(text.casefold().split())


def _shards(texts: Sequence[str]) -> Iterator[list[str]]:
    stream = iter(texts)
    while shard := list(islice(stream, _SHARD_TEXTS)):
        yield shard


def _checked(vectors: Any, texts: Sequence[str]) -> FloatArray:
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != len(texts):
        raise ValueError(
            f"the encoder gave shape {list(rows.shape)} for {len(texts)} texts, expected "
            f"[{len(texts)}, D]"
        )
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        place = int(np.flatnonzero(~finite)[0])
        raise ValueError(
            f"the encoder gave values that are not finite for {int((~finite).sum())} texts, the "
            f"first {texts[place][:60]!r}, expected finite vectors"
        )
    return rows


class _Kept:
    """Vectors of one side in files of a folder, one for each shard of texts."""

    def __init__(self, folder: Path, encoder: Encoder, side: Side) -> None:
        fingerprint = getattr(encoder, "fingerprint", None)
        if not isinstance(fingerprint, str) or not fingerprint:
            raise ValueError(
                f"{type(encoder).__name__} has no fingerprint by which its vectors could be known "
                "on disk, expected a str; leave out `work`"
            )
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._side, self._encoder = folder, side, fingerprint

    def read(self, index: int, texts: Sequence[str]) -> FloatArray | None:
        """The vectors of a shard, None if they are not there whole."""
        path = self._path(index)
        if not path.is_file():
            return None
        try:
            file = TensorFile(path)
            vectors: FloatArray = file.tensor("vectors")
        except FormatError:
            return None
        known = file.metadata.get("of") == self._identity(texts)
        fits = vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == len(texts)
        return vectors if known and fits else None

    def write(self, index: int, texts: Sequence[str], vectors: FloatArray) -> None:
        with atomic_file(self._path(index)) as file:
            write_tensors(file, {"vectors": vectors}, metadata={"of": self._identity(texts)})

    def _path(self, index: int) -> Path:
        return self._folder / f"{self._side}-{index:05}.safetensors"

    def _identity(self, texts: Sequence[str]) -> str:
        digest = hashlib.sha256(f"{self._encoder}\0{self._side}".encode())
        for text in texts:
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "little") + raw)
        return digest.hexdigest()
