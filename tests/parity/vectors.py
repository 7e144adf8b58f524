"""Vectors by plain numpy from the reference library's token ids, and the engine's beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.parity.comparison import MAX_EXAMPLES, Tally, reference_ids, reference_tokenizer
from tests.parity.tokenizers_under_test import minilm_json, wide_vocabulary, wordpiece_json
from vecsmith.formats.checkpoint import Checkpoint, UnknownPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorCase:
    """A kind of table and the settings a text is encoded under."""

    dim: int = 256
    dtype: str = "float32"
    weights: bool = False
    mapping: bool = False
    unknown: UnknownPolicy = "drop"
    truncate_dim: int | None = None
    max_length: int | None = None
    vocabulary: str = "small"

    @property
    def name(self) -> str:
        """All that is not the default, in words."""
        parts = [f"{self.dim} {self.dtype}", self.unknown, self.vocabulary]
        parts += [word for word in ("weights", "mapping") if getattr(self, word)]
        if self.truncate_dim is not None:
            parts.append(f"first {self.truncate_dim}")
        if self.max_length is not None:
            parts.append(f"{self.max_length} tokens")
        return " ".join(parts)


@cache
def vector_cases() -> tuple[VectorCase, ...]:
    """Dims that fill vectors of the machine and that do not, each dtype, each extra."""
    policies: tuple[tuple[UnknownPolicy, int], ...] = (("drop", 256), ("keep", 100))
    dtypes = ("float32", "float16", "int8")
    widths = (1, 2, 3, 7, 8, 15, 16, 17, 31, 37, 48, 63, 64, 65, 100, 127, 256, 300, 384, 1000)
    cases = [VectorCase(dim=dim, dtype=dtype) for dim in widths for dtype in dtypes]
    cases += [
        VectorCase(dtype=dtype, weights=weights, mapping=mapping, unknown=unknown, dim=dim)
        for dtype in dtypes
        for weights in (False, True)
        for mapping in (False, True)
        for unknown, dim in policies
    ]
    cases += [
        VectorCase(dtype=dtype, truncate_dim=prefix, weights=dtype == "int8")
        for dtype in dtypes
        for prefix in (1, 5, 64, 129, 256)
    ]
    cases += [VectorCase(max_length=n, unknown=u) for n in (1, 4, 512) for u, _ in policies]
    cases += [VectorCase(vocabulary="minilm", dtype=dtype, weights=True) for dtype in dtypes]
    return tuple(cases)


def case_checkpoint(case: VectorCase) -> Checkpoint:
    """A model of the case's shape with seeded random numbers."""
    text = case_tokenizer(case)
    vocabulary_size = _vocabulary_size(case)
    rng = np.random.default_rng(case.dim)
    rows = vocabulary_size // 3 if case.mapping else vocabulary_size
    table: NDArray[Any]
    if case.dtype == "int8":
        table = rng.integers(-127, 128, size=(rows, case.dim), dtype=np.int8)
    else:
        table = rng.standard_normal((rows, case.dim), dtype=np.float32).astype(case.dtype)
    weights = mapping = None
    if case.weights:
        weights = rng.uniform(0.001, 1.0, vocabulary_size).astype(np.float32)
    if case.mapping:
        mapping = rng.integers(0, rows, vocabulary_size).astype(np.uint32)
    return Checkpoint(
        table=table,
        tokenizer_json=text,
        weights=weights,
        mapping=mapping,
        unknown=case.unknown,
        max_length=case.max_length,
    )


def case_tokenizer(case: VectorCase) -> str:
    """Text of the case's tokenizer.json."""
    if case.vocabulary == "minilm":
        return minilm_json()
    return wordpiece_json(wide_vocabulary(977))


def _vocabulary_size(case: VectorCase) -> int:
    return 30_522 if case.vocabulary == "minilm" else len(wide_vocabulary(977))


def plain_vectors(
    checkpoint: Checkpoint,
    texts: Sequence[str],
    *,
    unk_id: int | None,
    max_length: int | None = None,
    dim: int | None = None,
) -> NDArray[np.float32]:
    """Means of rows in token order, in float32, one true divide; not normalised."""
    all_ids = reference_ids(checkpoint.tokenizer_json, texts, max_length=max_length)
    dim = dim or checkpoint.dim
    means = np.zeros((len(texts), dim), dtype=np.float32)
    for mean, ids in zip(means, all_ids, strict=True):
        kept = [i for i in ids if checkpoint.unknown == "keep" or i != unk_id]
        if not kept:
            continue
        rows_of = kept if checkpoint.mapping is None else checkpoint.mapping[kept]
        rows = checkpoint.table[rows_of, :dim].astype(np.float32)
        if checkpoint.weights is not None:
            rows *= checkpoint.weights[kept][:, None]
        # accumulate adds strictly in order for every width; sum goes pairwise for one column
        start = np.zeros((1, dim), dtype=np.float32)
        total = np.add.accumulate(np.concatenate([start, rows]), axis=0, dtype=np.float32)[-1]
        mean[:] = total / np.float32(len(kept))
    return means


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows over their lengths, all in numpy's float32 as model2vec does it; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, np.float32(1), lengths))


def compare_vectors(case: VectorCase, texts: Sequence[str]) -> Tally:
    """Tally of vectors, as they are and of unit length, that are not the plain ones bit for bit."""
    from vecsmith.model import StaticModel

    checkpoint = case_checkpoint(case)
    model = StaticModel(checkpoint)
    unk_id = reference_tokenizer(checkpoint.tokenizer_json).token_to_id("[UNK]")
    dim = case.truncate_dim or case.dim
    plain = plain_vectors(
        checkpoint, texts, unk_id=unk_id, max_length=case.max_length, dim=case.truncate_dim
    )
    raw = model.encode(texts, normalize=False, truncate_dim=case.truncate_dim)
    unit = model.encode(texts, normalize=True, truncate_dim=case.truncate_dim)
    tally = Tally(documents=2 * len(texts))
    if raw.shape != (len(texts), dim) or raw.dtype != np.float32:
        tally.wrong_ids = len(texts)
        tally.examples.append(f"{case.name}: shape {raw.shape} dtype {raw.dtype}")
        return tally
    bits_differ = (raw.view(np.uint32) != plain.view(np.uint32)).any(axis=1)
    off = (unit.view(np.uint32) != unit_vectors(plain).view(np.uint32)).any(axis=1)
    tally.wrong_ids = int(bits_differ.sum() + off.sum())
    for row in np.flatnonzero(bits_differ | off)[:MAX_EXAMPLES]:
        error = np.abs(raw[row] - plain[row]).max()
        tally.examples.append(f"{case.name}: {ascii(texts[row])[:200]} differs by {error:.3g}")
    return tally
