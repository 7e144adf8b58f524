"""A sentence transformer that can be trained: token ids in, vectors with gradients out.

One rule: in evaluation it gives what `TextEncoder` gives, but for the Normalize at the end, which
losses do themselves; after layer l it gives what the model cut to its first l layers would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from vecsmith.transformer.depth import count_layers, final_norm
from vecsmith.transformer.loading import count_positions, count_rows, load_model, takes_types
from vecsmith.transformer.pooling import Dense, Head, pool, read_head
from vecsmith.transformer.source import TeacherSource

TrainedPooling = Literal["mean", "cls", "last", "max"]


class TransformerEncoder(nn.Module):
    """A transformer with its pooling and what follows.

    Attributes:
        model: The transformer, as the transformers library has it.
        head: What comes after it.
        dim: Length of a vector.
        n_layers: Layers of the transformer.
        n_positions: Longest sequence its table of positions has rows for; None without one.
        n_rows: Rows of its input table; None if that cannot be told.
    """

    def __init__(self, model: Any, head: Head, *, train_dense: bool = False) -> None:
        """Takes a transformer in memory, and what comes after it.

        Args:
            model: The transformer.
            head: What comes after it; its Dense modules are changed if they are trained.
            train_dense: Whether their weights are trained too.
        """
        super().__init__()
        self.model = model
        self.head = head
        self.dense = nn.ModuleList(_as_parameters(each) for each in _dense_of(head) if train_dense)
        self._takes_types = takes_types(model)
        self.n_layers = count_layers(model)
        self.n_positions = count_positions(model)
        self.n_rows = count_rows(model)
        # a list, so that it is no second name of a part of the model
        self._last_norm = [final_norm(model)]
        with torch.no_grad():
            ids = torch.zeros(1, 1, dtype=torch.long, device=self.device)
            self.dim = int(self(ids, torch.ones_like(ids)).shape[-1])

    @classmethod
    def from_source(
        cls,
        source: TeacherSource,
        *,
        pooling: TrainedPooling | None = None,
        dropout: float | None = None,
        gradient_checkpointing: bool = False,
        train_dense: bool = False,
        device: str = "cpu",
        seed: int = 0,
        trust_remote_code: bool = False,
    ) -> TransformerEncoder:
        """Loads one in float32, ready to be trained.

        Args:
            source: Where it is.
            pooling: How token states become a vector; None for its own way, the mean for a plain
                transformer.
            dropout: Share of activations dropped everywhere; None for what its configuration says.
            gradient_checkpointing: Whether activations of a layer are computed again for the
                gradients instead of held.
            train_dense: Whether Dense modules after the pooling are trained too.
            device: A torch device.
            seed: Of weights that the folder does not have and no vector depends on.
            trust_remote_code: Whether code in the folder may run.

        Raises:
            FormatError: If a file is missing or broken, or there is nothing in it to train.
        """
        head = read_head(source.folder)
        if pooling is not None:
            head = replace(head, modes=(pooling,))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = load_model(source, "float32", trust_remote_code, "pooler" in head.modes)
        encoder = cls(model.to(device), head, train_dense=train_dense).to(device)
        if gradient_checkpointing:
            encoder._checkpoint_gradients(source)
        if dropout is not None:
            _set_dropout(model, dropout)
        return encoder

    def dense_tensors(self) -> list[dict[str, Tensor]] | None:
        """Tensors of the Dense modules in their order, None where they are as they were."""
        if not len(self.dense):
            return None
        return [
            {name: tensor.detach() for name, tensor in each.tensors.items()}
            for each in _dense_of(self.head)
        ]

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return cast(torch.device, next(self.model.parameters()).device)

    def forward(
        self,
        ids: Tensor,
        mask: Tensor,
        layers: Sequence[int] | None = None,
        pooled: Tensor | None = None,
    ) -> Tensor:
        """Vectors of padded sequences, float32 [B, D]; with `layers` [L, B, D], one row a layer.

        Args:
            ids: Token ids with specials, [B, T], padded at the end.
            mask: 1 where an id is and 0 at padding, [B, T].
            layers: After which layers, counted from 1, 0 for before the first; None for after the
                last.
            pooled: 1 at ids whose states are pooled, [B, T]; None for all that are no padding.

        Raises:
            ValueError: If there is no such layer.
        """
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types:
            inputs["token_type_ids"] = torch.zeros_like(ids)
        counted = (mask if pooled is None else pooled).float()
        if layers is None:
            output = self.model(**inputs)
            return self._vectors(output.last_hidden_state, counted, output)
        self._check_layers(layers)
        output = self.model(**inputs, output_hidden_states=True)
        vectors = [
            self._vectors(self._states_after(layer, output), counted, output) for layer in layers
        ]
        return torch.stack(vectors)

    def attend_plainly(self) -> None:
        """Lets attention be plain products and a softmax, where the model knows how.

        On a CPU the gradients of torch's fused attention take half of a step: 32 pairs of 150
        tokens took 9.0 s of MiniLM in bfloat16 with it and 5.0 s without (one core of a Xeon with
        AMX, busy with other work). A table of all pairs of tokens is held instead, which long texts
        have no room for.
        """
        choose = getattr(self.model, "set_attn_implementation", None)
        if choose is not None:
            choose("eager")

    def _states_after(self, layer: int, output: Any) -> Tensor:
        if layer == self.n_layers:
            return cast(Tensor, output.last_hidden_state)
        states: Tensor = output.hidden_states[layer]
        (norm,) = self._last_norm
        return states if norm is None else norm(states)

    def _vectors(self, states: Tensor, counted: Tensor, output: Any) -> Tensor:
        """Pooled states through the modules after the pooling, in float32 whatever runs before."""
        with torch.autocast(states.device.type, enabled=False):
            pooler = getattr(output, "pooler_output", None)
            states = states.float()
            parts = [pool(mode, states, counted, pooler) for mode in self.head.modes]
            vectors = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
            for layer in self.head.layers:
                vectors = layer(vectors)
        return vectors

    def _check_layers(self, layers: Sequence[int]) -> None:
        outside = [layer for layer in layers if not 0 <= layer <= self.n_layers]
        if outside or not layers:
            raise ValueError(
                f"layers {list(layers)}, expected some of the model's 1 to {self.n_layers}, or 0"
            )
        if "pooler" in self.head.modes and tuple(layers) != (self.n_layers,):
            raise ValueError(
                "the model pools by its own pooler, which reads the last layer alone, expected "
                "mean, cls, last or max to train other layers"
            )

    def _checkpoint_gradients(self, source: TeacherSource) -> None:
        if not getattr(self.model, "supports_gradient_checkpointing", False):
            raise ValueError(
                f"gradient_checkpointing with {source.name}: a {type(self.model).__name__} has "
                "none, expected it without"
            )
        # the name it has from transformers 5 on, else the one before
        enable = getattr(self.model, "activation_checkpointing_enable", None)
        (enable or self.model.gradient_checkpointing_enable)({"use_reentrant": False})
        # it lets gradients flow to the embeddings, which reentrant checkpoints need and ours do
        # not: frozen blocks would be passed through for nothing
        if getattr(self.model, "_require_grads_hook", None) is not None:
            self.model.disable_input_require_grads()


def _dense_of(head: Head) -> list[Dense]:
    return [layer for layer in head.layers if isinstance(layer, Dense)]


def _as_parameters(dense: Dense) -> nn.ParameterDict:
    """The weights of `dense`, which reads them from here from now on."""
    # a name of a parameter has no dot
    own = {name: nn.Parameter(tensor.clone()) for name, tensor in dense.tensors.items()}
    dense.tensors = own
    return nn.ParameterDict({name.replace(".", "_"): tensor for name, tensor in own.items()})


def _set_dropout(model: nn.Module, share: float) -> None:
    """Sets every dropout of `model`; attention keeps its share in attributes of its own."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        for name in ("attention_dropout", "dropout", "activation_dropout", "dropout_rate"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)
