"""The record between bytes on disk and a model: every reader gives one, every writer takes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith._typing import FloatArray, TableDtype
from vecsmith.formats.int4_table import Int4Table
from vecsmith.formats.short_tables import Bfloat16Table, Int16Table

PackedTable = Int4Table | Int16Table | Bfloat16Table
Table = NDArray[Any] | PackedTable
_PACKED: dict[type, TableDtype] = {
    Int4Table: "int4",
    Int16Table: "int16",
    Bfloat16Table: "bfloat16",
}
UnknownPolicy = Literal["drop", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A static model as plain values.

    The vector of token id t is `table[mapping[t]] * weights[t]`; without `mapping` the row is t,
    without `weights` the factor is 1. A text is the mean over its tokens' vectors.

    Attributes:
        table: Rows, shape [R, D]: an array, C-contiguous, float32, float16 or int8, that may be
            memory-mapped and read-only; or a `PackedTable`.
        tokenizer_json: Text of a Hugging Face `tokenizer.json`.
        weights: Factor of each token id, float32, shape [V], or None.
        mapping: Row of each token id, uint32, shape [V], every value < R, or None.
        normalize: Whether vectors of texts are scaled to unit length.
        unknown: "drop" leaves the unknown token out of the mean (model2vec), "keep" counts it
            (sentence-transformers).
        max_length: Tokens of a text that count, the unknown token included; None for all.
        prompts: Text put before an input, by name ("query", "document", ...).
        default_prompt_name: The prompt `encode` uses when none is asked for, or None.
        similarity: Name of the model's similarity: "cosine", "dot", "euclidean" or "manhattan".
        config: Other keys of config.json, kept as they were found (provenance, recipe, ...).
        card: Front matter of the model card (licence, language, base_model, ...).
        layout: Where it came from, for people: "model2vec", "sentence-transformers", "vecsmith",
            "word2vec".
        source: Folder or Hub id it came from, or None.
    """

    table: Table
    tokenizer_json: str
    weights: NDArray[np.float32] | None = None
    mapping: NDArray[np.uint32] | None = None
    normalize: bool = True
    unknown: UnknownPolicy = "drop"
    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] = "cosine"
    config: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "vecsmith"
    source: str | None = None

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.table.shape[1])

    @property
    def n_tokens(self) -> int:
        """How many token ids have a row."""
        if self.mapping is not None:
            return len(self.mapping)
        return len(self.table)

    @property
    def table_dtype(self) -> TableDtype:
        """Type of the table's numbers."""
        if isinstance(self.table, PackedTable):
            return _PACKED[type(self.table)]
        name: TableDtype = self.table.dtype.name  # type: ignore[assignment]  # readers check it
        return name

    @property
    def rows(self) -> NDArray[Any]:
        """The table as an array, shape [R, D]: as it is, or decoded to float32 if packed."""
        return self.table[:] if isinstance(self.table, PackedTable) else self.table

    @property
    def arrays(self) -> tuple[NDArray[Any] | None, ...]:
        """All arrays that vectors depend on: those of the table, then `weights` and `mapping`."""
        parts = self.table.parts if isinstance(self.table, PackedTable) else (self.table,)
        return (*parts, self.weights, self.mapping)

    @property
    def n_bytes(self) -> int:
        """Bytes of the table and of what goes with it, in memory or mapped from a file."""
        return sum(array.nbytes for array in self.arrays if array is not None)

    def vectors_of(self, ids: NDArray[Any], dim: int | None = None) -> FloatArray:
        """Vectors of token ids, weights included: float32, shape [N, D], or a prefix of them."""
        rows = ids if self.mapping is None else self.mapping[ids]
        vectors = self.table[rows][:, :dim].astype(np.float32)
        if self.weights is not None:
            vectors *= self.weights[ids][:, None]
        return vectors

    def truncated(self, dim: int) -> Checkpoint:
        """The checkpoint whose rows are cut to their first `dim` columns.

        Raises:
            ValueError: If there are not so many.
        """
        if not 1 <= dim <= self.dim:
            raise ValueError(f"dim is {dim}, expected 1 to {self.dim}")
        if dim == self.dim:
            return self
        if isinstance(self.table, PackedTable):
            return replace(self, table=self.table.prefix(dim))
        return replace(self, table=np.ascontiguousarray(self.table[:, :dim]))
