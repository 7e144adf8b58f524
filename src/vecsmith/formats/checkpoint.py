"""The record between bytes on disk and a model: every reader gives one, every writer takes one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

UnknownPolicy = Literal["drop", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A static model as plain values.

    The vector of token id t is `table[mapping[t]] * weights[t]`; without `mapping` the row is t,
    without `weights` the factor is 1. A text is the mean over its tokens' vectors.

    Attributes:
        table: Rows, shape [R, D], C-contiguous, float32, float16 or int8; may be memory-mapped
            and read-only.
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

    table: NDArray[Any]
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
