"""Transformers of fewer layers: the first ones, and what every depth ends with.

The one rule: a depth means what a folder with that many layers would run, the normalisation behind
the last layer included.
"""

from __future__ import annotations

import copy
from typing import Any

from vecsmith._extras import require

_PURPOSE = "cut a transformer"
# Settings that say something of each layer in turn, in transformers 5
_OF_EACH_LAYER = ("layer_types", "mlp_layer_types", "layers_block_type", "no_rope_layers")


def count_layers(model: Any) -> int:
    """Layers of a transformer, as its configuration says.

    Raises:
        ValueError: If it does not say.
    """
    n_layers = getattr(model.config, "num_hidden_layers", None)
    if not isinstance(n_layers, int) or n_layers < 1:
        raise ValueError(
            f"{type(model).__name__}: num_hidden_layers is {n_layers!r}, expected a number of "
            "layers: how deep it is cannot be told"
        )
    return n_layers


def check_depth(n_layers: int, model: Any) -> int:
    """`n_layers`, if `model` has as many.

    Raises:
        ValueError: If not.
    """
    most = count_layers(model)
    if not 1 <= n_layers <= most:
        raise ValueError(f"n_layers is {n_layers}, expected 1 to {most}, the layers of the model")
    return n_layers


def first_layers(model: Any, n_layers: int) -> Any:
    """A transformer of the first `n_layers` of `model`; their weights are shared, not copied.

    It is built anew from the configuration of fewer layers, so it is what a saved folder of them
    would be: a final normalisation stays, and a model that repeats one layer repeats it less.

    Args:
        model: A transformer of the transformers library; left as it is.
        n_layers: From 1 to as many as it has.

    Raises:
        ValueError: If it has not as many, or cannot be cut.
    """
    torch = require("torch", extra="distill", purpose=_PURPOSE)
    if check_depth(n_layers, model) == count_layers(model):
        return model
    config = _shallower(model.config, n_layers)
    try:
        with torch.device("meta"):  # only names and shapes: nothing is made up at random
            cut = type(model)(config)
        for name, tensor in _tensors(model):
            _share(cut, name, tensor)
    except (TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{type(model).__name__} cannot be cut to {n_layers} layers ({error}), expected a "
            "transformer that its configuration describes"
        ) from error
    left = [name for name, tensor in _tensors(cut) if tensor.is_meta]
    if left:
        raise ValueError(
            f"{type(model).__name__} cannot be cut to {n_layers} layers: {left[0]} is no tensor of "
            "the whole model, expected layers of one kind"
        )
    return cut.train(model.training)


def final_norm(model: Any) -> Any | None:
    """The module that normalises the states after the last layer, None where there is none.

    Decoders and other models that normalise before each layer have one. States after an earlier
    layer go through it too, if they are to be those of a model cut there: `hidden_states` of the
    transformers library has gone through it only after the last layer.

    Args:
        model: A transformer; it reads one token to find out.
    """
    torch = require("torch", extra="distill", purpose=_PURPOSE)
    layers = find_layers(model)
    if layers is None:
        return None
    last = layers[-1]
    outputs: dict[str, Any] = {}
    candidates: list[tuple[Any, Any]] = []

    def seen(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        if module is last:
            outputs["last"] = output[0] if isinstance(output, tuple) else output
        elif "last" in outputs and inputs and _is_same(inputs[0], outputs["last"]):
            candidates.append((module, output))

    hooks = [module.register_forward_hook(seen) for module in model.modules()]
    was_training = model.training
    try:
        with torch.no_grad():
            ids = torch.zeros((1, 1), dtype=torch.long, device=model.device)
            states = model.eval()(
                input_ids=ids, attention_mask=torch.ones_like(ids)
            ).last_hidden_state
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return next((module for module, output in candidates if _is_same(output, states)), None)


def find_layers(model: Any) -> Any | None:
    """The list of the modules that the layers are; None where one is repeated."""
    torch = require("torch", extra="distill", purpose=_PURPOSE)
    n_layers = count_layers(model)
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers:
            return module
    return None


def _is_same(tensor: Any, other: Any) -> bool:
    """Whether two tensors are the same numbers at the same place, perhaps in another shape."""
    torch = require("torch", extra="distill", purpose=_PURPOSE)
    if not (torch.is_tensor(tensor) and torch.is_tensor(other)):
        return False
    return bool(tensor.data_ptr() == other.data_ptr() and tensor.numel() == other.numel())


def _shallower(config: Any, n_layers: int) -> Any:
    """A configuration of the first `n_layers`."""
    shallow = copy.deepcopy(config)
    for name in _OF_EACH_LAYER:
        values = getattr(shallow, name, None)
        if isinstance(values, list) and len(values) == config.num_hidden_layers:
            setattr(shallow, name, values[:n_layers])
    shallow.num_hidden_layers = n_layers
    return shallow


def _tensors(model: Any) -> list[tuple[str, Any]]:
    """Every tensor of a model by every name it has."""
    both = (model.named_parameters, model.named_buffers)
    return [pair for named in both for pair in named(remove_duplicate=False)]


def _share(cut: Any, name: str, tensor: Any) -> None:
    """Puts a tensor of the whole model in its place in the cut one, if there is such a place."""
    path, _, last = name.rpartition(".")
    try:
        module = cut.get_submodule(path)
    except AttributeError:  # of a layer that is no more
        return
    for kept in (module._parameters, module._buffers):
        if kept.get(last) is not None and kept[last].shape == tensor.shape:
            kept[last] = tensor
