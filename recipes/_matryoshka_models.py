"""What recipes/matryoshka_shape.py compares: an encoder trained in each way, and its vectors.

The encoder is the same in all: a hidden layer of batch-normalised units on fixed features, and a
linear layer to the representation, trained from scratch with its heads. What differs is which
prefixes of the representation the loss is summed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vecsmith.classification import fit_heads
from vecsmith.retrieval import search
from vecsmith.training import PrefixHeads, prefix_cross_entropy

Floats = NDArray[np.float32]
Codes = NDArray[np.intp]
# Of each measure and dim, whether each test row was classified rightly
Outcomes = dict[tuple[str, int], NDArray[np.bool_]]

LINEAR, NEIGHBOR = "linear", "1-NN"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """One set, split.

    Attributes:
        name: Of the set.
        train: Features [T, F], centred, of a mean square of 1.
        train_codes: Their classes, [T].
        test: Features [N, F], moved and scaled as those.
        test_codes: Their classes, [N].
        dims: Prefix lengths, ascending; the last is the width of the representation.
        epochs: Passes over the training rows.
        batch_size: Rows of a step.
    """

    name: str
    train: Floats
    train_codes: Codes
    test: Floats
    test_codes: Codes
    dims: tuple[int, ...]
    epochs: int
    batch_size: int

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.train_codes.max()) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of every training, nested or not.

    Attributes:
        hidden: Units of the hidden layer.
        dropout: Share of them left out of a step.
        lr: Largest learning rate of AdamW; it rises for a twentieth of the steps and falls along
            half a cosine to 0.
        weight_decay: Of AdamW.
        label_smoothing: Share of a target spread over all classes.
        smallest_weight: c_m of the shortest prefix; those of the others are 1.
        strength: C of the heads fitted on what was not trained nested.
    """

    hidden: int = 512
    dropout: float = 0.2
    lr: float = 0.01
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    smallest_weight: float = 1.0
    strength: float = 30.0


def outcomes_of_seed(material: Material, settings: Settings, seed: int) -> dict[str, Outcomes]:
    """What each contender gets right with one seed, by name."""
    found: dict[str, Outcomes] = {}
    for name, tied in (("MRL", False), ("MRL-E", True)):
        trained = train(material, material.dims, settings, seed, tied=tied)
        found[name] = trained.outcomes(material)
    separate: Outcomes = {}
    for dim in material.dims:
        trained = train(material, [dim], settings, seed, tied=False)
        separate |= trained.outcomes(material)
    found["separate models"] = separate
    # the last is the model of full width that knows of no prefix
    whole: Outcomes = {}
    for name, (train_rows, test_rows) in cuts(trained.train, trained.test, seed).items():
        # a turned whole is the whole, to a linear classifier and to a cosine: it is fitted once
        dims = material.dims[:-1] if whole else material.dims
        found[name] = outcomes_of_cut(material, dims, train_rows, test_rows, settings) | whole
        whole = {key: right for key, right in found[name].items() if key[1] == material.dims[-1]}
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A trained model's representations and what its heads say.

    Attributes:
        train: Representation of the training rows [T, D].
        test: Of the test rows [N, D].
        predicted: By prefix length the classes of the test rows, [N].
    """

    train: Floats
    test: Floats
    predicted: Mapping[int, Codes]

    def outcomes(self, material: Material) -> Outcomes:
        """Of each prefix its heads, and its nearest training row."""
        found: Outcomes = {}
        for dim, codes in self.predicted.items():
            found[LINEAR, dim] = codes == material.test_codes
            found[NEIGHBOR, dim] = nearest_is_right(material, self.train, self.test, dim)
        return found


def train(
    material: Material, dims: Sequence[int], settings: Settings, seed: int, *, tied: bool
) -> Trained:
    """Trains an encoder of `max(dims)` dimensions with a head on each prefix.

    The loss is equation 1 of the paper.
    """
    torch.manual_seed(seed)
    width = max(dims)
    encoder = nn.Sequential(
        nn.Linear(material.train.shape[1], settings.hidden),
        nn.BatchNorm1d(settings.hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden, width),
    )
    heads = PrefixHeads(dims, material.n_classes, tied=tied)
    _fit(encoder, heads, material, settings, seed)
    encoder.eval()
    with torch.inference_mode():
        vectors = [encoder(torch.from_numpy(rows)) for rows in (material.train, material.test)]
        predicted = {dim: logits.argmax(1).numpy() for dim, logits in heads(vectors[1]).items()}
    return Trained(train=vectors[0].numpy(), test=vectors[1].numpy(), predicted=predicted)


def _fit(
    encoder: nn.Module, heads: PrefixHeads, material: Material, settings: Settings, seed: int
) -> None:
    rows, codes = torch.from_numpy(material.train), torch.from_numpy(material.train_codes)
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *heads.parameters()],
        lr=settings.lr, weight_decay=settings.weight_decay, fused=True,
    )  # fmt: skip
    a_pass = len(rows) // material.batch_size
    n_steps, step = material.epochs * a_pass, 0
    weights = dict.fromkeys(heads.dims, 1.0) | {heads.dims[0]: settings.smallest_weight}
    order = torch.Generator().manual_seed(seed)
    for _ in range(material.epochs):
        # the rows left over at the end are others in each pass
        drawn = torch.randperm(len(rows), generator=order)
        for places in drawn[: a_pass * material.batch_size].view(a_pass, -1):
            rising = min(1.0, (step + 1) / (0.05 * n_steps))
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * rising * (1 + math.cos(math.pi * step / n_steps)) / 2
            loss = prefix_cross_entropy(
                heads(encoder(rows[places])), codes[places], weights,
                label_smoothing=settings.label_smoothing,
            )  # fmt: skip
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1


def cuts(train_rows: Floats, test_rows: Floats, seed: int) -> dict[str, tuple[Floats, Floats]]:
    """Representations turned so that prefixes are what each way of cutting keeps."""
    mean = train_rows.mean(axis=0)
    scale = np.float32(((train_rows - mean) ** 2).sum(axis=1).mean() ** 0.5)
    left, right = (train_rows - mean) / scale, (test_rows - mean) / scale
    axes = np.linalg.svd(left, full_matrices=False)[2].T
    random = np.random.default_rng(seed)
    order = random.permutation(left.shape[1])
    directions = np.linalg.qr(random.normal(size=(left.shape[1],) * 2))[0].astype(np.float32)
    return {
        "PCA": (left @ axes, right @ axes),
        "random features": (left[:, order], right[:, order]),
        "random projection": (left @ directions, right @ directions),
    }


def outcomes_of_cut(
    material: Material,
    dims: Sequence[int],
    train_rows: Floats,
    test_rows: Floats,
    settings: Settings,
) -> Outcomes:
    """Of each prefix a linear classifier fitted on it, and its nearest training row."""
    heads = fit_heads(
        train_rows, material.train_codes, dims=dims, scaling="none",
        strength=settings.strength, max_iter=200,
    )  # fmt: skip
    found: Outcomes = {}
    for dim in dims:
        found[LINEAR, dim] = heads.predict(test_rows, dim) == material.test_codes
        found[NEIGHBOR, dim] = nearest_is_right(material, train_rows, test_rows, dim)
    return found


def nearest_is_right(
    material: Material, train_rows: Floats, test_rows: Floats, dim: int
) -> NDArray[np.bool_]:
    """Whether the training row of the largest cosine has each test row's class, [N]."""
    places, _ = search(test_rows[:, :dim], train_rows[:, :dim], 1)
    right: NDArray[np.bool_] = material.train_codes[places[:, 0]] == material.test_codes
    return right


def plain(outcomes: Mapping[str, Outcomes]) -> dict[str, NDArray[Any]]:
    """Outcomes as arrays by one name each, as a file keeps them."""
    return {
        f"{name}|{measure}|{dim}": right
        for name, of_one in outcomes.items()
        for (measure, dim), right in of_one.items()
    }


def from_plain(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Outcomes]:
    """The reverse of `plain`."""
    found: dict[str, Outcomes] = {}
    for key, right in arrays.items():
        name, measure, dim = key.split("|")
        found.setdefault(name, {})[measure, int(dim)] = right
    return found
