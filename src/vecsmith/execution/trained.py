"""A training that came to its end: what a record says of it, read back where it is there already.

The one rule: a finished model is never trained again because what comes after it was cut short.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vecsmith._files import read_json
from vecsmith.errors import FormatError
from vecsmith.results.fields import Block
from vecsmith.training.checkpointing import CURVE_FILE, RUN_FILE
from vecsmith.training.curves import Curve, read_curve
from vecsmith.training.transformer_result import TrainedTransformer

RUN_FOLDER: Final = "run"
MODEL_FOLDER: Final = "model"
_LAST_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training that is done.

    Attributes:
        model: Folder of what came of it.
        tokens: Real tokens trained on.
        pairs: Pairs trained on, with repetition.
        steps: Steps of the optimiser.
        train_loss: Mean over the last tenth of the steps.
        seconds: Time it took.
    """

    model: Path
    tokens: int
    pairs: int
    steps: int
    train_loss: float
    seconds: float


def training_of(trained: TrainedTransformer, model: Path) -> Training:
    """What is to be known of a run that has just ended with `model`."""
    state = trained.fitted.state
    return Training(
        model=model,
        tokens=trained.n_tokens,
        pairs=trained.n_pairs,
        steps=trained.n_steps,
        train_loss=last_loss(state.curve),
        seconds=state.seconds,
    )


def finished_training(place: Path, kept: Path) -> Training | None:
    """The training that came to its end in `place`, None where it did not, or its files are broken.

    Args:
        place: Where the cell was worked on.
        kept: Where its model is moved to when it has been measured.
    """
    run = place / RUN_FOLDER
    if not (run / RUN_FILE).is_file():
        return None
    model = place / MODEL_FOLDER if (place / MODEL_FOLDER).is_dir() else kept
    with suppress(FormatError, OSError):
        if not Block(read_json(run / RUN_FILE), str(run)).values.get("finished"):
            return None
        config = Block(read_json(model / "config.json"), str(model))
        recipe = config.block("vecsmith").block("recipe")
        return Training(
            model=model,
            tokens=recipe.count("tokens_seen"),
            pairs=recipe.count("pairs_seen"),
            steps=recipe.block("steps").count("done"),
            train_loss=last_loss(read_curve(run / CURVE_FILE)),
            seconds=recipe.number("seconds"),
        )
    return None


def last_loss(curve: Curve) -> float:
    """Mean loss over the last tenth of the steps of a curve with one set of pairs."""
    end = curve.points[-1].step
    last = [point for point in curve.points if point.step > (1 - _LAST_SHARE) * end]
    n_steps = sum(point.n_steps for point in last)
    return sum(sum(point.loss.values()) * point.n_steps for point in last) / n_steps


def share_tokens(store: Path, place: Path) -> None:
    """Lets a run read the tokens that are there already; where links cannot be, it makes its own.

    A run removes its own tokens when it ends, but not through a link. The link is relative and made
    anew each time: the folder of a sweep may be moved.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        if place.is_symlink():
            place.unlink()
        if not place.exists():
            target = os.path.relpath(store.resolve(), place.parent.resolve())
            os.symlink(target, place, target_is_directory=True)
