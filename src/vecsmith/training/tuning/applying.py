"""A transformer of which some weights are trained, and the others stay as they are.

The one rule: after this a weight is trained exactly where it asks for a gradient; whoever makes an
optimiser, a checkpoint or a record looks there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from vecsmith.results.tuning import Tuning
from vecsmith.training.tuning.adapters import add_adapters
from vecsmith.training.tuning.order import parameters_before
from vecsmith.training.unfit import UnfitRun
from vecsmith.transformer.depth import count_layers, find_layers

_OTHERS: Final = "expected method 'full' or 'bias'"


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedWeights:
    """How many weights there are.

    Attributes:
        n_trained: Numbers that a step moves, adapters among them.
        n_frozen: Numbers that stay as they are.
    """

    n_trained: int
    n_frozen: int


def apply_tuning(model: Any, tuning: Tuning, *, seed: int = 0) -> None:
    """Lets exactly those weights of `model` be trained that `tuning` says; changes it in place.

    "freeze" leaves everything before the first trained block as it is: token and position
    embeddings, what normalises them, and the first blocks; a final normalisation is trained. So
    backpropagation ends at that block (Ziarko et al. 2024, section 4.2: N_B = N_U < N_F).

    Args:
        model: A transformer of the transformers library.
        tuning: What is trained.
        seed: Of the adapters' first factors; the second ones are zero, so the model gives what it
            gave.

    Raises:
        ValueError: If the model has no such weights.
        MissingExtraError: If adapters are asked for and peft is not installed.
    """
    _METHODS[tuning.method](model, tuning, seed)


def count_weights(model: nn.Module) -> TunedWeights:
    """How many numbers of `model` are trained, and how many are not."""
    sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
    return TunedWeights(
        n_trained=sum(size for size, is_trained in sizes if is_trained),
        n_frozen=sum(size for size, is_trained in sizes if not is_trained),
    )


def _train_all(model: Any, tuning: Tuning, seed: int) -> None:
    model.requires_grad_(True)


def _train_last_blocks(model: Any, tuning: Tuning, seed: int) -> None:
    most = count_layers(model)
    if tuning.frozen_blocks > most:
        raise UnfitRun(
            f"frozen_blocks {tuning.frozen_blocks}, expected 0 to {most}, the blocks of this "
            f"{type(model).__name__}"
        )
    blocks = _blocks_of(model, "freeze")
    # everything that has run before the first trained block; of none, before the final norm
    frozen = parameters_before(model, blocks, tuning.frozen_blocks)
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) not in frozen)
    if not count_weights(model).n_trained:
        raise UnfitRun(
            f"frozen_blocks {tuning.frozen_blocks} leaves nothing of this {type(model).__name__} "
            f"to train, expected 0 to {most - 1}"
        )


def _train_biases(model: Any, tuning: Tuning, seed: int) -> None:
    named = list(model.named_parameters())
    biases = {name for name, _ in named if name.rpartition(".")[2] == "bias"}
    if not biases:
        raise UnfitRun(
            f"method 'bias': none of the {len(named)} weights of this {type(model).__name__} is a "
            "bias, expected a model with biases, or method 'full', 'freeze' or 'lora'"
        )
    for name, parameter in named:
        parameter.requires_grad_(name in biases)


def _train_adapters(model: Any, tuning: Tuning, seed: int) -> None:
    _blocks_of(model, "lora")
    add_adapters(model, rank=tuning.rank, alpha=tuning.alpha, seed=seed)


def _blocks_of(model: Any, method: str) -> nn.ModuleList:
    blocks: nn.ModuleList | None = find_layers(model)
    if blocks is None:
        raise UnfitRun(
            f"method {method!r}: a {type(model).__name__} has no list of its blocks, as it repeats "
            f"one, {_OTHERS}"
        )
    return blocks


_METHODS: Final[dict[str, Callable[[Any, Tuning, int], None]]] = {
    "full": _train_all,
    "freeze": _train_last_blocks,
    "bias": _train_biases,
    "lora": _train_adapters,
}
