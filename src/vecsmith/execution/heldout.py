"""Pairs that are never trained on, and the loss that laws are fitted to, measured on them.

The one rule: what is held out is a function of the pairs alone: no seed, no order of the rows and
no number of processes changes it.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vecsmith._files import read_json, write_json
from vecsmith.corpora import PairCorpus
from vecsmith.errors import FormatError
from vecsmith.results.fields import Block

_FORMAT, _VERSION = "vecsmith held-out pairs", 2
# Pairs looked at for each one that is held out: some share a text with another and are passed over
_CANDIDATES: Final = 8
_MOST_SHARE: Final = 0.5
_BLOCK: Final = 1024
_LENGTH_BYTES: Final = 8
_REMEDY: Final = "delete it and run the sweep again"


class PairEncoder(Protocol):
    """What can be measured: it knows its prompts for both sides of a pair."""

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries, [N, D]."""
        ...

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents, [N, D]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Pairs to measure on; no text stands twice among them.

    Attributes:
        queries: The anchors.
        documents: The positive of each.
        content: Hash of all pairs that they were chosen from, texts in their order, wherever these
            lie; "" where that is not known.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    content: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def fingerprint(self) -> str:
        """Hash of the pairs in their order."""
        text = json.dumps([self.queries, self.documents], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def first(self, n_pairs: int) -> HeldOut:
        """The first `n_pairs` of them."""
        return replace(self, queries=self.queries[:n_pairs], documents=self.documents[:n_pairs])

    def save(self, path: Path) -> None:
        """Writes them as JSON, whole or not at all."""
        lists = {"queries": list(self.queries), "documents": list(self.documents)}
        about = {"format": _FORMAT, "version": _VERSION, "content": self.content}
        write_json(path, {**about, **lists})

    @classmethod
    def open(cls, path: Path) -> HeldOut:
        """The pairs that `save` wrote.

        Raises:
            FormatError: If the file is broken.
        """
        block = Block(read_json(path, remedy=_REMEDY), str(path))
        block.choice("format", (_FORMAT,))
        queries, documents = block.texts("queries"), block.texts("documents")
        if len(queries) != len(documents):
            raise FormatError(
                f"{path}: {len(queries)} queries and {len(documents)} documents, expected as many; "
                f"{_REMEDY}"
            )
        content = block.text("content") if block.has("content") else ""  # as in version 1
        return cls(queries=queries, documents=documents, content=content)


class HeldOutTexts:
    """Says of a text whether it is one of the held-out pairs': such a row is not trained on."""

    def __init__(self, held_out: HeldOut) -> None:
        """Takes the pairs."""
        self._digests = {_digest(text) for text in (*held_out.queries, *held_out.documents)}
        self._fingerprint = held_out.fingerprint

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides what is matched."""
        return f"held out {self._fingerprint}"

    def matches(self, texts: Sequence[str]) -> NDArray[np.uint8]:
        """1 for each text that is held out, but for case and spaces, shape [N]."""
        found = (_digest(text) in self._digests for text in texts)
        return np.fromiter(found, dtype=np.uint8, count=len(texts))


def choose_held_out(corpus: PairCorpus, n_pairs: int) -> HeldOut:
    """`n_pairs` of the corpus, those with the smallest hash among which no text stands twice.

    One pass over the pairs; what is kept in memory does not grow with them.

    Raises:
        ValueError: If that would be more than half of the pairs, or the texts repeat too often.
    """
    counted = _Counted(corpus)
    smallest = heapq.nsmallest(_CANDIDATES * n_pairs, counted)
    n_read = counted.n
    if n_pairs > _MOST_SHARE * n_read:
        raise ValueError(
            f"{corpus.name}: {n_pairs:,} pairs to hold out of {n_read:,} with two texts, expected "
            "at most half of them: give more pairs, or set held_out_pairs lower"
        )
    used: set[bytes] = set()
    chosen: list[tuple[str, str]] = []
    for _, anchor, positive in smallest:
        digests = {_digest(anchor), _digest(positive)}
        if len(digests) == 2 and used.isdisjoint(digests):
            used |= digests
            chosen.append((anchor, positive))
            if len(chosen) == n_pairs:
                break
    if len(chosen) < n_pairs:
        raise ValueError(
            f"{corpus.name}: {len(chosen):,} of {len(smallest):,} pairs share no text with another "
            f"of them, expected {n_pairs:,}: set held_out_pairs lower, or leave out repeated pairs"
        )
    return HeldOut(
        queries=tuple(anchor for anchor, _ in chosen),
        documents=tuple(positive for _, positive in chosen),
        content=counted.content,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutScores:
    """What a model comes to on the held-out pairs.

    Attributes:
        loss: Mean over whole batches, in nats; ln of the size of a batch is a guess.
        recall_at_1: Share of the queries whose own document is the nearest of all.
        mrr: Mean of one over the place of the own document.
    """

    loss: float
    recall_at_1: float
    mrr: float


def measure(
    encoder: PairEncoder, held_out: HeldOut, *, batch_size: int, temperature: float
) -> HeldOutScores:
    """Loss and retrieval of `encoder` on the held-out pairs.

    Raises:
        ValueError: If a vector is not finite.
    """
    queries = unit_rows(encoder.encode_query(list(held_out.queries)))
    documents = unit_rows(encoder.encode_document(list(held_out.documents)))
    ranks = ranks_of_own(queries, documents)
    return HeldOutScores(
        loss=batched_info_nce(queries, documents, batch_size=batch_size, temperature=temperature),
        recall_at_1=float((ranks == 1).mean()),
        mrr=float((1 / ranks).mean()),
    )


def unit_rows(vectors: ArrayLike) -> NDArray[np.float64]:
    """`vectors` [N, D] in float64, each of unit length.

    Raises:
        ValueError: If one is not finite.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    if not np.isfinite(rows).all():
        raise ValueError("a vector of a held-out text is not finite, expected numbers")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.maximum(lengths, np.finfo(np.float64).tiny)
    return unit


def batched_info_nce(
    queries: NDArray[np.float64],
    documents: NDArray[np.float64],
    *,
    batch_size: int,
    temperature: float,
) -> float:
    """Mean InfoNCE in both directions over whole batches of consecutive rows, in nats.

    (CE(S / t, i) + CE(S^T / t, i)) / 2 with the cosines S of a batch (Ziarko et al. 2024, section
    3.3). Rows that fill no batch are left out, so that the number of negatives never changes.

    Args:
        queries: Unit rows, [N, D].
        documents: Unit rows, [N, D].
        batch_size: Rows of a batch.
        temperature: t.
    """
    losses = []
    for start in range(0, len(queries) - batch_size + 1, batch_size):
        rows = slice(start, start + batch_size)
        logits = queries[rows] @ documents[rows].T / temperature
        own = np.diagonal(logits)
        there, back = _log_sum_exp(logits), _log_sum_exp(logits.T)
        losses.append(float(((there - own) + (back - own)).mean() / 2))
    return float(np.mean(losses))


def ranks_of_own(queries: NDArray[np.float64], documents: NDArray[np.float64]) -> NDArray[np.int64]:
    """Place of each query's own document among all by cosine, from 1; of equals it is the last."""
    ranks = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), _BLOCK):
        rows = slice(start, start + _BLOCK)
        cosines = queries[rows] @ documents.T
        own = cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))]
        ranks[rows] = (cosines >= own[:, None]).sum(axis=1)
    return ranks


class _Counted:
    """(hash, anchor, positive) of every pair with two texts, counted and hashed as they go by."""

    def __init__(self, corpus: PairCorpus) -> None:
        self._corpus = corpus
        self._digest = hashlib.sha256(json.dumps(list(corpus.roles)).encode())
        self.n = 0

    @property
    def content(self) -> str:
        """Hash of all texts of the rows that went by, in their order."""
        return self._digest.hexdigest()[:32]

    def __iter__(self) -> Iterator[tuple[bytes, str, str]]:
        roles: Any = self._corpus.roles
        if "anchor" not in roles or "positive" not in roles:
            raise ValueError(
                f"{self._corpus.name}: columns {list(roles)}, expected an anchor and a positive"
            )
        for rows in self._corpus.read():
            for texts in zip(*rows.texts.values(), strict=True):
                self._digest.update(b"".join(map(_framed, texts)))
            pairs = zip(rows.texts["anchor"], rows.texts["positive"], strict=True)
            for anchor, positive in pairs:
                if anchor and positive:
                    self.n += 1
                    yield _pair_digest(anchor, positive), anchor, positive


def _log_sum_exp(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    highest = logits.max(axis=1, keepdims=True)
    summed: NDArray[np.float64] = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
    return summed


def _framed(text: str | None) -> bytes:
    """A text behind its length, so that where one ends and the next begins is hashed too."""
    if text is None:
        return b"\xff" * _LENGTH_BYTES
    encoded = text.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded


def _pair_digest(anchor: str, positive: str) -> bytes:
    text = f"{anchor}\0{positive}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def _digest(text: str) -> bytes:
    """Of a text but for case and spaces."""
    words = " ".join(text.split()).casefold().encode("utf-8", "surrogatepass")
    return hashlib.blake2b(words, digest_size=12).digest()
