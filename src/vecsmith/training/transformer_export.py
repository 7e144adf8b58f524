"""A trained transformer -> its folder, with what is said of how it was made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from vecsmith._typing import Encoder, PathLike
from vecsmith.training.checkpointing import RunFolder, saying_no_room
from vecsmith.training.loop import Fitted
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.prefixes import halved_prefixes
from vecsmith.training.provenance import describe_loss, installed_versions
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.transformer_base import Base
from vecsmith.training.tuning import count_weights, merged_adapters
from vecsmith.transformer.saving import save_encoder
from vecsmith.transformer.source import weights_digest
from vecsmith.transformer.text_encoder import TextEncoder

SCORED_FOLDER: Final = "scored"


class Exporter:
    """Writes the transformer as a folder."""

    def __init__(
        self,
        base: Base,
        settings: TransformerSettings,
        prompts: Mapping[str, str],
        depths: Sequence[int],
    ) -> None:
        self._encoder, self._base, self._settings = base.encoder, base, settings
        self._prompts, self._depths = prompts, depths

    def scored(self, tensors: Mapping[str, Tensor], folder: RunFolder) -> Encoder:
        """What an evaluation gets: the model as it would be if the run ended now."""
        out = folder.path / SCORED_FOLDER
        with saying_no_room(folder.path):
            self.write(tensors, out, {})
        return TextEncoder.from_pretrained(
            out,
            device=self._settings.device,
            compute_dtype=self._settings.precision,
            trust_remote_code=self._base.trust_remote_code,
        )

    def write(
        self, tensors: Mapping[str, Tensor], out: PathLike, provenance: Mapping[str, Any]
    ) -> None:
        """Writes the transformer with these weights."""
        with torch.no_grad():
            for name, parameter in self._encoder.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(tensors[name])
        with merged_adapters(self._encoder.model):
            save_encoder(
                self._encoder.model,
                self._base.source,
                out,
                pooling=self._base.pooling,
                dense=self._encoder.dense_tensors(),
                prompts=self._prompts,
                dims=self._settings.dims or tuple(halved_prefixes(self._encoder.dim)),
                layers=self._depths,
                provenance=provenance,
            )


def start_facts(base: Base, prompts: Mapping[str, str]) -> dict[str, Any]:
    """What the run began with, for its record."""
    return {
        "model": weights_digest(base.source),
        "tokenizer": hashlib.sha256(base.said.tokenizer_json.encode()).hexdigest(),
        "pooling": list(base.encoder.head.modes),
        "prompts": {**base.said.prompts, **prompts},
    }


def recipe_of(
    settings: TransformerSettings,
    losses: Mapping[str, EmbeddingLoss],
    base: Base,
    fitted: Fitted,
) -> dict[str, Any]:
    """How the model was made, for its card."""
    state, weights = fitted.state, count_weights(base.encoder)
    different = set(map(describe_loss, losses.values()))
    return {
        "method": "train_transformer",
        "settings": settings.plain(),
        "start": {"model": base.source.name, "weights": weights_digest(base.source)},
        "loss": different.pop()
        if len(different) == 1
        else {name: describe_loss(loss) for name, loss in losses.items()},
        "steps": {"planned": fitted.n_steps, "done": state.step, "kept": state.best_step},
        "score": None if state.best_step is None else round(state.best_score, 6),
        "score_at_start": state.curve.score_at_start(),
        "weights": {"trained": weights.n_trained, "frozen": weights.n_frozen},
        "pairs_seen": state.n_examples,
        "tokens_seen": state.n_tokens,
        "versions": installed_versions(),
        "seconds": round(state.seconds, 3),
    }
