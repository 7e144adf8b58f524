"""What a run of a transformer came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vecsmith.training.loop import Fitted
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.token_store import SourceReport
from vecsmith.transformer.text_encoder import TextEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedTransformer:
    """A finished run.

    Attributes:
        encoder: The model, opened from the folder it was written to.
        fitted: How the run went.
        reports: What became of the rows of each set.
        settings: Of the run.
        n_left_out: Pairs that each pass over a set leaves out, by its name.
        notes: What was told of the run.
        provenance: What the model says of how it was made: "recipe", "data" and "scores".
    """

    encoder: TextEncoder
    fitted: Fitted
    reports: tuple[SourceReport, ...]
    settings: TransformerSettings
    n_left_out: Mapping[str, int]
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def n_steps(self) -> int:
        """Steps that were done."""
        return self.fitted.state.step

    @property
    def n_pairs(self) -> int:
        """Pairs that were seen, repeated ones counted again."""
        return self.fitted.state.n_examples

    @property
    def n_tokens(self) -> int:
        """Tokens that were seen, specials counted and padding not."""
        return self.fitted.state.n_tokens
