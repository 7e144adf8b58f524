"""A transformer that is trained, and one step of it: vectors, loss, gradients, AdamW.

One rule: everything a step depends on is in `state_tensors` and `record`. Dropout is drawn from the
seed, the step and the block of texts, so it needs no state, and a block computed twice drops the
same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from vecsmith.errors import RunFailed
from vecsmith.training.batching import Batch
from vecsmith.training.distributed import Processes
from vecsmith.training.loop import StepResult
from vecsmith.training.loss_tensors import QUERY, candidate_roles, loss_tensors
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.settings import TransformerSettings
from vecsmith.training.teacher_vectors import TeacherVectors
from vecsmith.training.token_groups import TokenGroup, token_groups
from vecsmith.training.transformer_encoder import TransformerEncoder
from vecsmith.transformer.teacher import Frame

# Texts of a block where no mini-batch is asked for. On a CPU few enough that the states stay in
# its caches and little is padding; a GPU needs many to have work for all of it (assumed).
_CPU_TEXTS, _GPU_TEXTS = 32, 256
_DROPOUT: Final = 0x6D61736B


class TransformerStudent:
    """A transformer with its optimiser."""

    def __init__(
        self,
        encoder: TransformerEncoder,
        settings: TransformerSettings,
        *,
        frame: Frame,
        vectors: TeacherVectors | None = None,
        group: Processes | None = None,
    ) -> None:
        """Takes a transformer, which it changes.

        Args:
            encoder: What is trained.
            settings: Of the optimiser, the precision and the mini-batches.
            frame: Ids put around each text.
            vectors: A teacher's vectors of all texts, for losses that ask for them.
            group: Processes that share each step; None for this one alone.
        """
        self.encoder = encoder.train()
        self._settings, self._frame = settings, frame
        self._vectors, self._group = vectors, group or Processes()
        self._trained = {
            name: value for name, value in encoder.named_parameters() if value.requires_grad
        }
        self._optimizer = _adamw(list(self._trained.values()), settings)
        self._n_steps = 0

    def step(self, batch: Batch, loss: EmbeddingLoss, lr: float) -> StepResult:
        """Moves the weights against the gradient of `loss`.

        Raises:
            RunFailed: If the loss or the gradient is not finite; the weights are as before then.
        """
        groups = self._groups(batch)
        own = list(enumerate(groups))[self._group.rank :: self._group.n]
        n_texts = sum(len(group.places) for group in groups)
        layers = getattr(loss, "layers", None)
        is_cached = 0 < self._settings.mini_batch < n_texts
        with torch.set_grad_enabled(not is_cached):
            outputs = self._embedded(own, layers)
        vectors = self._gathered(own, outputs, n_texts, layers).requires_grad_()
        value = self._loss(batch, loss, vectors)
        value.backward()  # type: ignore[no-untyped-call]
        assert vectors.grad is not None
        if is_cached:
            self._backward_again(own, layers, vectors.grad)
        elif own:
            parts = [vectors.grad[..., group.places, :] for _, group in own]
            torch.autograd.backward(outputs, parts)
        self._group.sum_gradients(list(self._trained.values()))
        n_tokens = sum(group.n_tokens for group in groups)
        loss_before = float(value.detach())
        return StepResult(loss=loss_before, gradient=self._move(lr), n_tokens=n_tokens)

    def model_tensors(self) -> dict[str, Tensor]:
        """The weights of the transformer that are trained, by name; the others are as they were."""
        return {name: value.detach() for name, value in self._trained.items()}

    def state_tensors(self) -> dict[str, Tensor]:
        """All tensors that the next steps depend on, by name."""
        state = {f"model.{name}": value for name, value in self.model_tensors().items()}
        for name, parameter in self._trained.items():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                state[f"adam.{key}.{name}"] = value.reshape(1) if value.dim() == 0 else value
        return state

    def record(self) -> dict[str, Any]:
        """The rest of what they depend on, as JSON."""
        return {"steps": self._n_steps}

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Takes over what `state_tensors` and `record` gave.

        Raises:
            ValueError: If something is missing or of another shape.
        """
        with torch.no_grad():
            for name, parameter in self._trained.items():
                parameter.copy_(_like(tensors, f"model.{name}", parameter))
        self._optimizer.state.clear()
        for name, parameter in self._trained.items():
            if f"adam.step.{name}" not in tensors:  # no step has touched it
                continue
            step = tensors[f"adam.step.{name}"].reshape(()).clone()
            moments = {
                key: _like(tensors, f"adam.{key}.{name}", parameter).to(parameter.device)
                for key in ("exp_avg", "exp_avg_sq")
            }
            self._optimizer.state[parameter] = {"step": step.to(parameter.device), **moments}
        self._n_steps = int(record["steps"])

    def _groups(self, batch: Batch) -> list[TokenGroup]:
        """All texts of a batch: the anchors, then the candidates role by role."""
        roles = [QUERY, *candidate_roles(batch)]
        usual = _CPU_TEXTS if self.encoder.device.type == "cpu" else _GPU_TEXTS
        return token_groups(
            [batch.columns[role] for role in roles],
            self._frame,
            n_texts=min(self._settings.mini_batch or usual, usual),
            n_positions=self.encoder.n_positions,
        )

    def _embedded(
        self, own: Sequence[tuple[int, TokenGroup]], layers: Sequence[int] | None
    ) -> list[Tensor]:
        """Vectors of each group, [N, D] or [L, N, D]."""
        with self._precision():
            return [self._vectors_of(number, group, layers) for number, group in own]

    def _gathered(
        self,
        own: Sequence[tuple[int, TokenGroup]],
        outputs: Sequence[Tensor],
        n_texts: int,
        layers: Sequence[int] | None,
    ) -> Tensor:
        """Vectors of all texts of a batch in their order, those of other processes among them."""
        above = () if layers is None else (len(layers),)
        shape = (*above, n_texts, self.encoder.dim)
        vectors = torch.zeros(shape, device=self.encoder.device)
        for (_, group), output in zip(own, outputs, strict=True):
            vectors[..., group.places, :] = output.detach()
        return self._group.sum(vectors)

    def _vectors_of(self, number: int, group: TokenGroup, layers: Sequence[int] | None) -> Tensor:
        device = self.encoder.device
        ids, mask = (torch.from_numpy(each).to(device) for each in (group.ids, group.mask))
        with _seeded([self._settings.seed, _DROPOUT, self._n_steps, number], device):
            vectors: Tensor = self.encoder(ids, mask, layers)
        return vectors

    def _backward_again(
        self,
        own: Sequence[tuple[int, TokenGroup]],
        layers: Sequence[int] | None,
        gradients: Tensor,
    ) -> None:
        """The second pass of a gradient cache: block by block, with the gradients of its vectors.

        Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
        (RepL4NLP 2021), section 3.
        """
        for number, group in own:
            with self._precision():
                vectors = self._vectors_of(number, group, layers)
            torch.autograd.backward([vectors], [gradients[..., group.places, :]])

    def _loss(self, batch: Batch, loss: EmbeddingLoss, vectors: Tensor) -> Tensor:
        n_queries = len(batch.rows)
        queries, candidates = vectors[..., :n_queries, :], vectors[..., n_queries:, :]
        tensors = loss_tensors(batch, loss, self._vectors, vectors.device)
        value = loss(queries, candidates, **tensors)
        if not torch.isfinite(value):
            raise RunFailed(f"the loss is {value.item()}, expected a number: lower the rate")
        return value

    def _move(self, lr: float) -> float:
        """A step of AdamW; the length of the gradient before it was clipped."""
        moved = [value for value in self._trained.values() if value.grad is not None]
        longest = self._settings.clip_norm or float("inf")
        length = float(nn.utils.clip_grad_norm_(moved, longest))
        if not np.isfinite(length):
            self._optimizer.zero_grad()
            raise RunFailed(f"the gradient's length is {length}, expected a number: lower the rate")
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._n_steps += 1
        return length

    def _precision(self) -> torch.autocast:
        kind = self.encoder.device.type
        enabled = self._settings.precision == "bfloat16"
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=enabled)


def _adamw(trained: Sequence[nn.Parameter], settings: TransformerSettings) -> torch.optim.AdamW:
    """AdamW that decays matrices alone: neither biases nor what norms scale by, as is usual."""
    matrices = [value for value in trained if value.dim() > 1]
    vectors = [value for value in trained if value.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        fused=True,
    )


@contextmanager
def _seeded(numbers: Sequence[int], device: torch.device) -> Iterator[None]:
    """Torch's dice thrown anew for the block, and put back as they lay after it."""
    (seed,) = np.random.SeedSequence(numbers).generate_state(1, np.uint64).tolist()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed >> 1)  # a signed number
        if devices:  # where CUDA is not used, asking it writes a stack trace down at every step
            torch.cuda.manual_seed_all(seed >> 1)
        yield


def _like(tensors: Mapping[str, Tensor], name: str, parameter: Tensor) -> Tensor:
    found = tensors.get(name)
    if found is None or found.shape != parameter.shape:
        shape = None if found is None else list(found.shape)
        raise ValueError(f"{name} is {shape}, expected {list(parameter.shape)}")
    return found
