"""Everything that decides what a training run gives, as one frozen value.

One rule: equal settings, equal data and an equal start give an equal model, bit for bit, on one
machine; so the settings are kept beside the run and in the model's recipe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Final, Literal, Self, get_args

from vecsmith.results.tuning import Tuning

Schedule = Literal["linear", "cosine", "constant"]
Sampling = Literal["proportional", "round_robin", "temperature"]
Precision = Literal["float32", "bfloat16"]
Start = Literal["random", "hashed"]
Directions = Literal["one_way", "both_ways", "four_ways"]
_WHOLE_MODEL: Final = Tuning()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Settings that every training run has, whatever it trains.

    Attributes:
        epochs: Passes over the pairs; may be a fraction.
        steps: Steps of the optimiser instead of `epochs`; None for what `epochs` make.
        batch_size: Pairs in a step.
        lr: Highest learning rate.
        warmup: Share of the steps in which the rate rises from 0 to `lr`.
        schedule: How it falls afterwards: "linear" or "cosine" to `final_lr`, or "constant".
        final_lr: Share of `lr` that is left at the end of the run.
        betas: Decay rates of Adam's two moments.
        eps: What is added to the root of Adam's second moment.
        weight_decay: Decoupled weight decay, as in AdamW.
        clip_norm: Largest norm of a step's gradient, 0 for any.
        dims: Prefixes that the default loss is nested over; None for the model's dims, halved
            down to 32.
        temperature: Of the default loss.
        directions: Of the default loss: "one_way" picks each query's candidate, "both_ways" also
            each candidate's query, "four_ways" also tells texts from those of their own side.
        sampling: How batches are drawn from several sets of pairs.
        unique: Whether no text stands twice in a batch; where texts repeat too often for that, the
            loss still leaves equal texts out of the negatives.
        alpha: With "temperature": a set of n pairs is drawn as often as n^alpha says.
        seed: Of everything that is random.
        max_length: Tokens of a text that count, 0 for all.
        precision: Type of the factors of products; sums and logits are always float32.
        device: Torch device.
        evaluate_every: Steps between two evaluations, 0 for a tenth of the run.
        patience: Evaluations without a better score after which the run stops, 0 for never.
        checkpoint_every: Steps between two checkpoints, 0 for by the clock alone.
        checkpoint_minutes: Minutes between two checkpoints, 0 for by steps alone.
    """

    epochs: float = 1.0
    steps: int | None = None
    batch_size: int = 2048
    lr: float = 0.2
    warmup: float = 0.1
    schedule: Schedule = "linear"
    final_lr: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    dims: tuple[int, ...] | None = None
    temperature: float = 0.05
    directions: Directions = "one_way"
    sampling: Sampling = "proportional"
    unique: bool = True
    alpha: float = 0.5
    seed: int = 0
    max_length: int = 0
    precision: Precision = "float32"
    device: str = "cpu"
    evaluate_every: int = 0
    patience: int = 0
    checkpoint_every: int = 0
    checkpoint_minutes: float = 10.0

    def __post_init__(self) -> None:
        """Refuses values that no run could follow."""
        _check_choices(self)
        _check_numbers(self)
        if self.dims is not None and (
            not self.dims or not all(map(_is_whole, self.dims)) or min(self.dims) < 1
        ):
            raise ValueError(f"dims {self.dims}, expected prefix lengths of 1 or more")
        if self.dims is not None:
            object.__setattr__(self, "dims", tuple(map(int, self.dims)))
        if len(tuple(self.betas)) != 2 or not all(_is_number(b) and 0 <= b < 1 for b in self.betas):
            raise ValueError(f"betas {self.betas}, expected two numbers from 0 to below 1")

    def with_given(self, given: Mapping[str, Any]) -> Self:
        """These settings with the values of `given` that are not None.

        Raises:
            TypeError: If there is no such setting.
            ValueError: If a value makes no sense.
        """
        known = {field.name for field in fields(self)}
        unknown = sorted(set(given) - known)
        if unknown:
            raise TypeError(f"no setting is called {unknown[0]!r}, expected one of {sorted(known)}")
        chosen = {name: value for name, value in given.items() if value is not None}
        for name in ("dims", "betas"):
            if name in chosen:
                chosen[name] = tuple(chosen[name])
        return replace(self, **chosen)

    def plain(self) -> dict[str, Any]:
        """The settings in the kinds that JSON has."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(RunSettings):
    """Settings of a training run of a static model: those of every run, and these.

    Attributes:
        dim: Dimensions of a model that is made from nothing; with a model to start from, its own.
        start: How the rows of a model from nothing begin: "random", drawn from N(0, scale^2), or
            "hashed", which gives a token the same row in every vocabulary.
        start_scale: Standard deviation of the numbers of such rows.
        token_dropout: Share of a text's tokens left out of its mean while training.
        token_weights: Whether a factor for each token is trained beside the rows.
        ema: Decay of the moving average of the weights that becomes the model, 0 for none.
        normalize: Whether a model from nothing gives vectors of unit length.
        unknown: Whether a model from nothing leaves the unknown token out of the mean ("drop") or
            counts it ("keep").
    """

    dim: int = 256
    start: Start = "random"
    start_scale: float = 1.0
    token_dropout: float = 0.0
    token_weights: bool = False
    ema: float = 0.0
    normalize: bool = True
    unknown: Literal["drop", "keep"] = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerSettings(RunSettings):
    """Settings of a training run of a transformer: those of every run, and these.

    Attributes:
        mini_batch: Texts whose activations are held at a time, the rest of a batch going by way of
            a gradient cache; 0 for those of the whole batch.
        dropout: Share of activations dropped everywhere in training; None for what the model says.
        gradient_checkpointing: Whether activations of a layer are computed again instead of held.
        train_dense: Whether Dense modules after the pooling are trained too; else they stay as they
            are, as a rotation should.
        tuning: Which weights of the transformer are trained.
        tokens: Tokens of the whole run instead of `epochs` or `steps`, specials counted and padding
            not: it ends after the last step that stays within them. None for what those make.
    """

    batch_size: int = 128
    lr: float = 2e-5
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    directions: Directions = "both_ways"
    max_length: int = 128
    mini_batch: int = 0
    dropout: float | None = None
    gradient_checkpointing: bool = False
    train_dense: bool = False
    tuning: Tuning = _WHOLE_MODEL
    tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuses values that no run could follow."""
        RunSettings.__post_init__(self)
        if not isinstance(self.tuning, Tuning):
            raise TypeError(
                f"tuning is {self.tuning!r:.60}, expected a Tuning, as in "
                "Tuning(method='lora', rank=32)"
            )
        if self.tokens is not None and self.steps is not None:
            raise ValueError(
                f"tokens {self.tokens} and steps {self.steps}, expected one of them: each says "
                "where the run ends"
            )


_CHOICES: dict[str, tuple[str, ...]] = {
    "start": get_args(Start),
    "schedule": get_args(Schedule),
    "directions": get_args(Directions),
    "sampling": get_args(Sampling),
    "precision": get_args(Precision),
    "unknown": ("drop", "keep"),
}
# name, lowest, whether that itself is allowed, highest that is not, what to say
_RANGES: tuple[tuple[str, float, bool, float, str], ...] = (
    ("dim", 1, True, 2**16, "1 to 65535 dimensions"),
    ("start_scale", 0, False, math.inf, "a number above 0"),
    ("epochs", 0, False, 1e9, "a number above 0"),
    ("steps", 1, True, 2**53, "1 or more"),
    ("batch_size", 1, True, 2**31, "1 or more"),
    ("lr", 0, False, math.inf, "a number above 0"),
    ("warmup", 0, True, 1.000001, "a share from 0 to 1"),
    ("final_lr", 0, True, 1.000001, "a share from 0 to 1"),
    ("eps", 0, False, 1, "a number above 0 and below 1"),
    ("weight_decay", 0, True, math.inf, "0 or more"),
    ("clip_norm", 0, True, math.inf, "0 or more"),
    ("temperature", 0, False, math.inf, "a number above 0"),
    ("alpha", 0, True, 1.000001, "a power from 0 to 1"),
    ("seed", 0, True, 2**63, "a whole number from 0"),
    ("max_length", 0, True, 2**31, "0 or more tokens"),
    ("token_dropout", 0, True, 1, "a share from 0 to below 1"),
    ("ema", 0, True, 1, "a decay from 0 to below 1"),
    ("mini_batch", 0, True, 2**31, "0 or more texts"),
    ("dropout", 0, True, 1, "a share from 0 to below 1"),
    ("tokens", 1, True, 2**63, "1 or more tokens"),
    ("evaluate_every", 0, True, 2**53, "0 or more steps"),
    ("patience", 0, True, 2**53, "0 or more evaluations"),
    ("checkpoint_every", 0, True, 2**53, "0 or more steps"),
    ("checkpoint_minutes", 0, True, 1e9, "0 or more minutes"),
)
_WHOLE = frozenset(
    {
        "dim",
        "steps",
        "batch_size",
        "seed",
        "max_length",
        "mini_batch",
        "tokens",
        "evaluate_every",
        "patience",
        "checkpoint_every",
    }
)


def _check_choices(settings: RunSettings) -> None:
    for name, choices in _CHOICES.items():
        value = getattr(settings, name, choices[0])
        if value not in choices:
            raise ValueError(f"{name} {value!r}, expected one of {list(choices)}")


def _check_numbers(settings: RunSettings) -> None:
    for name, lowest, allows_lowest, limit, expected in _RANGES:
        value = getattr(settings, name, None)
        if value is None:
            continue
        if name in _WHOLE and not _is_whole(value):
            raise ValueError(f"{name} {value!r:.40}, expected a whole number, {expected}")
        above = _is_number(value) and (value >= lowest if allows_lowest else value > lowest)
        if not (above and value < limit):  # nor nan
            raise ValueError(f"{name} {value!r:.40}, expected {expected}")
        # numbers of numpy are no JSON
        object.__setattr__(settings, name, int(value) if _is_whole(value) else float(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
