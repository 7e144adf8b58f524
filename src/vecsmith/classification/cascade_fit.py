"""Rows and labels to heads in a cascade: coordinates, heads, their strengths and temperatures.

The one rule: what is chosen (how strongly weights are held back, temperatures) is chosen by rows
that the heads were not fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vecsmith.classification.calibration import calibrate
from vecsmith.classification.cascade import Cascade
from vecsmith.classification.cascaded import CascadedHeads, FloatMatrix
from vecsmith.classification.fitting import ClassWeight, fit_heads
from vecsmith.classification.heads import LinearHeads
from vecsmith.classification.holdout import held_out, merged, row_hashes
from vecsmith.classification.learnt_rotation import learn_rotation
from vecsmith.classification.rotation import Rotation, discriminant_rotation, plain_scale
from vecsmith.classification.targets import make_targets

Floats = NDArray[np.float64]
RotationName = Literal["learnt", "discriminant", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How heads are fitted.

    Attributes:
        dims: Prefix lengths, ascending.
        tied: One matrix for all of them (MRL-E), or one each (MRL).
        rotation: Whether coordinates are learnt, or discriminants, or the embeddings' own.
        strengths: C to choose from.
        class_weight: As `fit_heads` takes it, by places of classes.
        calibrate: Whether each head learns a temperature.
        tol: A fit ends when no entry of its gradient is larger.
    """

    dims: tuple[int, ...]
    tied: bool
    rotation: RotationName
    strengths: tuple[float, ...]
    class_weight: ClassWeight
    calibrate: bool
    tol: float


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """Rows to learn from.

    Attributes:
        rows: Embeddings [N, D].
        targets: Place of each row's class, [N]; with several labels 0 or 1 for each, [N, C].
        weights: How much each row counts, [N].
    """

    rows: NDArray[Any]
    targets: NDArray[Any]
    weights: Floats

    @property
    def is_single(self) -> bool:
        """Whether each row has one class."""
        return self.targets.ndim == 1

    def split(self, fraction: float, seed: int) -> tuple[Material, Material | None]:
        """Rows to fit on, and rows held out, each different one of these once; None where none are.

        A class keeps a row to be fitted on, so of classes of one row each none is held out.
        """
        codes = self.targets
        if not self.is_single:
            codes = np.unique(self.targets, axis=0, return_inverse=True)[1].reshape(-1)
        hashes = row_hashes(self.rows, codes, seed)
        # of sets of labels there may be nearly as many as rows: there each counts like another
        strata = codes if self.is_single else np.zeros_like(codes)
        held = held_out(hashes, strata, self.weights, fraction)
        if not held.any():
            return self, None
        judged = self._rows(held)
        places, weights = merged(hashes[held], judged.weights)
        return self._rows(~held), Material(judged.rows[places], judged.targets[places], weights)

    def weighed(self, held: Material, class_weight: ClassWeight) -> Material:
        """Rows held out of these, which count as their classes do in a fit on all.

        With several labels a row that is a matter of labels and not of rows: they stay as they are.
        """
        if class_weight is None or not self.is_single:
            return held
        _, targets = make_targets(
            self.targets, len(self.rows), kind="softmax", classes=None, class_weight=class_weight,
            sample_weight=self.weights,
        )  # fmt: skip
        _, firsts = np.unique(self.targets, return_index=True)
        of_classes = targets.row_weights[firsts] / self.weights[firsts]
        return replace(held, weights=held.weights * of_classes[held.targets])

    def _rows(self, mask: NDArray[np.bool_]) -> Material:
        return Material(self.rows[mask], self.targets[mask], self.weights[mask])


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What held-out rows chose.

    Attributes:
        strengths: C of each prefix length.
        temperatures: Of each head, or None.
        n_steps: Steps in which coordinates were learnt.
    """

    strengths: Mapping[int, float]
    temperatures: tuple[float, ...] | None
    n_steps: int


def fit_cascade(
    fitted: Material, held: Material, settings: FitSettings
) -> tuple[CascadedHeads, Choices]:
    """Heads with the coordinates, strengths and temperatures that held-out rows ask for.

    Their cascade asks the longest head alone: thresholds are learnt from what this gives.
    """
    rotation, n_steps = _rotation(fitted, settings, held, None)
    plan = _prepared(fitted, settings, rotation)
    rows = plan.coordinates(fitted.rows, 0, settings.dims[-1])
    seen = plan.coordinates(held.rows, 0, settings.dims[-1])
    tried = []
    for strength in settings.strengths:
        heads = _fit(rows, fitted, dict.fromkeys(settings.dims, strength), settings)
        if settings.calibrate:
            heads = calibrate(heads, seen, held.targets, sample_weight=held.weights)
        tried.append(heads)
    likeliest = _likeliest(tried, seen, held, tied=settings.tied)
    picked = _picked(tried, likeliest)
    strengths = (settings.strengths[place] for place in likeliest)
    choices = Choices(
        strengths=dict(zip(settings.dims, strengths, strict=True)),
        temperatures=picked.temperatures,
        n_steps=n_steps,
    )
    return replace(plan, heads=picked), choices


def unjudged(settings: FitSettings) -> Choices:
    """What to choose where no row is held out: weights held back most, nothing learnt besides."""
    return Choices(
        strengths=dict.fromkeys(settings.dims, min(settings.strengths)),
        temperatures=None,
        n_steps=0,
    )


def fit_again(material: Material, choices: Choices, settings: FitSettings) -> CascadedHeads:
    """Coordinates and heads fitted on all rows, as it was chosen."""
    rotation, _ = _rotation(material, settings, None, choices.n_steps)
    plan = _prepared(material, settings, rotation)
    rows = plan.coordinates(material.rows, 0, settings.dims[-1])
    heads = _fit(rows, material, choices.strengths, settings)
    return replace(plan, heads=heads.with_temperatures(choices.temperatures))


def _rotation(
    material: Material, settings: FitSettings, held: Material | None, n_steps: int | None
) -> tuple[Rotation | None, int]:
    """The change of coordinates, as many as are needed, and in how many steps it was learnt."""
    if settings.rotation == "none":
        return None, 0
    width = material.rows.shape[1]
    rotation, n_made = (
        discriminant_rotation(
            material.rows, material.targets, material.weights, width, single=material.is_single
        ),
        0,
    )
    if settings.rotation == "learnt":
        rotation, n_made = learn_rotation(
            rotation,
            material.rows,
            material.targets,
            material.weights,
            settings.dims,
            held=None if held is None else (held.rows, held.targets, held.weights),
            n_steps=n_steps,
            class_weight=settings.class_weight,
        )
    return rotation.first(settings.dims[-1]), n_made


def _prepared(
    material: Material, settings: FitSettings, rotation: Rotation | None
) -> CascadedHeads:
    """What makes coordinates, with heads that say nothing yet."""
    single = material.is_single
    n_classes = int(material.targets.max()) + 1 if single else material.targets.shape[1]
    n_heads = len(settings.dims)
    return CascadedHeads(
        heads=LinearHeads(
            dims=settings.dims,
            tied=False,
            weights=np.zeros((n_classes, sum(settings.dims)), np.float32),
            biases=np.zeros((n_heads, n_classes), np.float32),
            classes=np.arange(n_classes),
            kind="softmax" if single else "multilabel",
            scaling="none",
        ),
        cascade=Cascade(settings.dims, (inf,) * (n_heads - 1)),
        n_features=material.rows.shape[1],
        rotation=rotation,
        scale=1.0 if rotation is not None else plain_scale(material.rows, material.weights),
    )


def _fit(
    rows: FloatMatrix, material: Material, strengths: Mapping[int, float], settings: FitSettings
) -> LinearHeads:
    return fit_heads(
        rows,
        material.targets,
        dims=settings.dims,
        tied=settings.tied,
        # the prefixes' weights are strengths here; tied heads have one for all
        weights=None if settings.tied else dict(strengths),
        strength=strengths[settings.dims[-1]] if settings.tied else 1.0,
        class_weight=settings.class_weight,
        sample_weight=material.weights,
        kind="softmax" if material.is_single else "multilabel",
        scaling="none",
        tol=settings.tol,
    )


def _likeliest(
    tried: Sequence[LinearHeads], rows: FloatMatrix, held: Material, *, tied: bool
) -> list[int]:
    """Place among those tried of the heads that make held-out labels likeliest, for each prefix."""
    if len(tried) == 1:
        return [0] * len(tried[0].dims)
    losses = np.array(
        [[_mean_loss(heads, rows, held, dim) for dim in heads.dims] for heads in tried]
    )
    if tied:
        losses = np.broadcast_to(losses.sum(axis=1, keepdims=True), losses.shape)
    return [int(place) for place in losses.argmin(axis=0)]


def _mean_loss(heads: LinearHeads, rows: FloatMatrix, held: Material, dim: int) -> float:
    """Mean negative log-likelihood of labels; of all labels of a row together."""
    probabilities = heads.probabilities(rows, dim).astype(np.float64)
    if held.is_single:
        likely = probabilities[np.arange(len(rows)), held.targets]
        losses = -np.log(np.maximum(likely, np.finfo(float).tiny))
    else:
        likely = np.where(held.targets > 0, probabilities, 1 - probabilities)
        losses = -np.log(np.maximum(likely, np.finfo(np.float32).eps)).sum(axis=1)
    return float(np.average(losses, weights=held.weights))


def _picked(tried: Sequence[LinearHeads], places: Sequence[int]) -> LinearHeads:
    """Heads of each prefix from one of those tried."""
    if len(set(places)) == 1:
        return tried[places[0]]
    dims = tried[0].dims
    chosen = [tried[place] for place in places]
    parts = [heads.head(dim) for heads, dim in zip(chosen, dims, strict=True)]
    temperatures = [
        heads.temperatures[m] for m, heads in enumerate(chosen) if heads.temperatures is not None
    ]
    return replace(
        tried[0],
        weights=np.concatenate([weights for weights, _ in parts], axis=1),
        biases=np.stack([bias for _, bias in parts]),
        temperatures=tuple(temperatures) or None,
        unfinished=tuple(
            dim for heads, dim in zip(chosen, dims, strict=True) if dim in heads.unfinished
        ),
    )
