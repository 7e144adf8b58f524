"""What comes after a transformer: token states become one vector, and modules shape it.

The one rule: as sentence-transformers does it, whole batches at a time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vecsmith._extras import require
from vecsmith._files import read_json
from vecsmith.errors import FormatError
from vecsmith.transformer.source import Module, read_modules

if TYPE_CHECKING:
    from torch import Tensor

Layer = Callable[["Tensor"], "Tensor"]

# sentence-transformers' names of its pooling modes, old flags and new words, in its own order.
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "last",
}


@dataclass(slots=True, kw_only=True)
class Dense:
    """A Dense module of sentence-transformers, to be called with vectors [..., D].

    Attributes:
        tensors: "linear.weight" and what else there is of "linear.bias" and "residual.weight",
            float32, as its file has them; training puts parameters in their place.
        activation: What the product goes through.
        adds_input: Whether what comes in is added to what goes out.
    """

    tensors: Mapping[str, Tensor]
    activation: Layer
    adds_input: bool = False

    def __call__(self, vectors: Tensor) -> Tensor:
        """The vectors behind it, [..., E]."""
        torch = require("torch", extra="distill", purpose="run the teacher")
        own = {name: tensor.to(vectors.device) for name, tensor in self.tensors.items()}
        product = torch.nn.functional.linear(vectors, own["linear.weight"], own.get("linear.bias"))
        output = self.activation(product)
        if not self.adds_input:
            return output
        residual = own.get("residual.weight")
        return output + (vectors if residual is None else vectors @ residual.T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a sentence-transformers folder puts after the transformer.

    Attributes:
        modes: Pooling modes; the vectors of several are concatenated.
        pools_prompt: Whether the states of a prompt's ids are pooled with the others.
        layers: What the modules after the pooling do, in order, but for a Normalize at the end.
        normalizes: Whether there is a Normalize at the end.
    """

    modes: tuple[str, ...] = ("mean",)
    pools_prompt: bool = True
    layers: tuple[Layer, ...] = ()
    normalizes: bool = False

    def with_prefix(self, dim: int) -> Head:
        """This head with vectors cut to their first `dim` dimensions before a Normalize."""
        return replace(self, layers=(*self.layers, lambda vectors: vectors[..., :dim]))


def read_head(folder: Path, *, use_modules: bool = True) -> Head:
    """The head of the teacher in `folder`; for a plain transformer the mean and nothing else.

    Args:
        folder: Of the teacher.
        use_modules: Whether modules after the pooling count.

    Raises:
        FormatError: If a file is broken, or names a module that is not known.
    """
    if not (folder / "modules.json").is_file():
        return Head()
    modules = read_modules(folder)
    normalizes = False
    while modules and modules[-1].kind == "Normalize":
        modules.pop()
        normalizes = use_modules
    modes, pools_prompt = Head().modes, True
    layers: list[Layer] = []
    for module in modules:
        if module.kind == "Pooling":
            modes, pools_prompt = _read_pooling(module.folder)
        elif module.kind != "Transformer" and use_modules:
            layer = _read_layer(module)
            if layer is not None:
                layers.append(layer)
    return Head(modes=modes, pools_prompt=pools_prompt, layers=tuple(layers), normalizes=normalizes)


def pool(mode: str, states: Tensor, counted: Tensor, pooler: Tensor | None) -> Tensor:
    """One vector a sequence by one pooling mode, float32 [N, D].

    Args:
        mode: "mean", "cls", "last", "max", "mean_sqrt_len_tokens", "weightedmean" or "pooler".
        states: Last states, float32 [N, L, D], padding at the end.
        counted: 1 at positions to pool and 0 at others, float32 [N, L].
        pooler: What the transformer's own pooler gave, [N, D], or None.

    Raises:
        ValueError: If `mode` is "pooler" and there is none.
    """
    torch = require("torch", extra="distill", purpose="run the teacher")
    if mode == "pooler":
        return _taken_from_pooler(pooler)
    if mode in ("cls", "last"):
        steps = torch.arange(1, counted.shape[1] + 1, device=counted.device)
        marks = counted * (steps if mode == "last" else steps.flip(0))
        chosen: Tensor = states[torch.arange(len(states), device=states.device), marks.argmax(1)]
        return chosen
    if mode == "max":
        highest: Tensor = states.masked_fill(counted[..., None] == 0, -torch.inf).amax(dim=1)
        return highest
    if mode == "weightedmean":
        counted = counted * torch.arange(1, counted.shape[1] + 1, device=counted.device)
    total = counted.sum(dim=1, keepdim=True).clamp(min=1e-9)
    # one product reads the states once and copies nothing
    sums: Tensor = torch.bmm(counted[:, None, :], states)[:, 0]
    return sums / (total.sqrt() if mode == "mean_sqrt_len_tokens" else total)


def _taken_from_pooler(pooler: Tensor | None) -> Tensor:
    if pooler is None:
        raise ValueError(
            "pooling 'pooler' needs a teacher with a pooler output, this one has none, "
            "expected 'mean', 'cls' or 'last'"
        )
    return pooler.float()


def _read_pooling(folder: Path) -> tuple[tuple[str, ...], bool]:
    """Modes of a Pooling folder, and whether a prompt's states are pooled too."""
    path = folder / "config.json"
    config = read_json(path)
    if not isinstance(config, dict):
        raise FormatError(f"{path}: {type(config).__name__}, expected an object")
    named = config.get("pooling_mode")
    if named is not None:
        words = [named] if isinstance(named, str) else list(named)
        modes = ["last" if word == "lasttoken" else str(word) for word in words]
    else:
        modes = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)]
    unknown = sorted(set(modes) - set(_POOLING_FLAGS.values()))
    if unknown:
        raise FormatError(
            f"{path}: pooling_mode {unknown}, expected {sorted(set(_POOLING_FLAGS.values()))}"
        )
    return tuple(modes) or Head().modes, config.get("include_prompt") is not False


def _read_layer(module: Module) -> Layer | None:
    """What a module after the pooling does to vectors of shape [N, D], or None for nothing."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    if module.kind == "Normalize":
        return lambda vectors: torch.nn.functional.normalize(vectors, dim=-1)
    if module.kind == "Dropout":
        return None  # does nothing outside training
    if module.kind == "Dense":
        return _read_dense(module.folder)
    if module.kind == "StaticEmbedding":
        raise FormatError(
            f"{module.folder / 'modules.json'}: a static model already, expected a transformer"
        )
    raise FormatError(
        f"{module.folder.parent / 'modules.json'}: module {module.kind}, expected Transformer, "
        "Pooling, Dense, Normalize or Dropout"
    )


def _read_dense(folder: Path) -> Dense:
    config = read_json(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise FormatError(
            f"{folder}: model.safetensors is missing, expected the weights of the Dense module; "
            "a pickle (pytorch_model.bin) is never opened"
        )
    tensors = _load_tensors(path)
    if "linear.weight" not in tensors or not isinstance(config, dict):
        raise FormatError(f"{path}: tensors {sorted(tensors)}, expected linear.weight")
    return Dense(
        tensors={name: tensor.float() for name, tensor in tensors.items()},
        activation=_read_activation(config.get("activation_function"), folder / "config.json"),
        adds_input=bool(config.get("use_residual")),
    )


def _read_activation(name: object, path: Path) -> Layer:
    """The activation called `name`, only from torch.nn: a config must not name code to run."""
    torch = require("torch", extra="distill", purpose="run the teacher")
    if name is None:
        activation: Layer = torch.nn.Tanh()  # sentence-transformers' default
        return activation
    found = re.fullmatch(r"torch\.nn\.modules\.\w+\.(\w+)|torch\.nn\.(\w+)", str(name))
    kind = getattr(torch.nn, (found[1] or found[2]) if found else "", None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise FormatError(f"{path}: activation_function {name!r}, expected a torch.nn class")
    activation = kind()
    return activation


def _load_tensors(path: Path) -> dict[str, Tensor]:
    loader = require("safetensors.torch", extra="distill", purpose="read the teacher's weights")
    safetensors = require("safetensors", extra="distill", purpose="read the teacher's weights")
    try:
        tensors: dict[str, Tensor] = loader.load_file(str(path))
    except (safetensors.SafetensorError, OSError) as error:
        raise FormatError(f"{path}: {error}, expected safetensors; fetch it again") from error
    return tensors
