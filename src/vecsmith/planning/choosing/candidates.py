"""What could be done with a budget: every model of a catalogue with every method, and its cost.

The one rule: a candidate is plain numbers, counted and not judged; whether it makes sense is
`feasibility`, which one is best is `ranking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from vecsmith.planning.accounting.flops import cost_per_token, count_flops, n_trained, trained_share
from vecsmith.planning.cells import frozen_of_fraction
from vecsmith.planning.choosing.budget import Budget
from vecsmith.planning.choosing.serving import ServingCost
from vecsmith.planning.inputs import Data, Settings
from vecsmith.results.tuning import TUNING_METHODS, Tuning

if TYPE_CHECKING:
    from vecsmith.planning.accounting.shapes import ModelShape
    from vecsmith.planning.catalogue.models import CatalogueEntry

_MAX_STEPS: Final = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedLoss:
    """What a fitted law expects.

    Attributes:
        loss: In the mean.
        low: Lower end of its interval.
        high: Upper end.
        run_low: Lower end of the interval of one run, whose own noise is added.
        run_high: Upper end.
        level: Of the intervals.
        extrapolates: What is outside of the runs that the law was fitted to; "" where nothing is.
    """

    loss: float
    low: float
    high: float
    run_low: float
    run_high: float
    level: float
    extrapolates: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model tuned in one way with the whole budget.

    Attributes:
        model: Name of the base model: a Hub id, or what a catalogue calls it.
        folder: Where its files are; None where they are found under that name.
        family: Of its architecture.
        tuning: Which weights are trained.
        n_layers: Blocks.
        dim: Numbers of a vector.
        n_params: N, parameters without token and position embeddings; adapters are not in it.
        n_backbone: Parameters with them: what is kept on disk and in memory.
        n_trained: Parameters that are trained.
        share: S, the trained share of N.
        cost_per_token: Counted FLOP of a token.
        flops: Counted FLOP of the run.
        device_flops: What a device does for it: attention and recompute are in it.
        tokens: Real tokens that the budget pays for.
        steps: Whole steps that fit.
        pairs: Pairs of these steps, with repetition.
        epochs: Passes over the pairs; None where their number is not known.
        learning_rate: The highest.
        mini_batch: Texts held in memory at a time by a gradient cache; None for the whole batch.
        gradient_checkpointing: Whether activations are computed twice to save memory.
        memory: Bytes of one accelerator by what they hold; None where it was not estimated.
        predicted: What the law expects; None without one.
        serving: What encoding costs afterwards; None where it was not asked for.
        notes: What to know about it, in words.
    """

    model: str
    family: str
    tuning: Tuning
    n_layers: int
    dim: int
    n_params: int
    n_backbone: int
    n_trained: int
    share: float
    cost_per_token: float
    flops: float
    device_flops: float
    tokens: int
    steps: int
    pairs: int
    epochs: float | None
    learning_rate: float
    mini_batch: int | None = None
    gradient_checkpointing: bool = False
    memory: Mapping[str, float] | None = None
    predicted: PredictedLoss | None = None
    serving: ServingCost | None = None
    notes: tuple[str, ...] = ()
    folder: str | None = None

    def __str__(self) -> str:
        """As a person says it: "lora 128 of EleutherAI/pythia-70m"."""
        return f"{self.tuning} of {self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """Which ways of tuning are considered.

    Attributes:
        methods: Among "full", "freeze", "bias" and "lora".
        ranks: Of LoRA.
        frozen_divisors: Denominators of the share of frozen blocks.
        frozen_shares: These shares instead, where there are any.
        alpha: Of LoRA; 0 for twice the rank.
    """

    methods: tuple[str, ...] = TUNING_METHODS
    ranks: tuple[int, ...] = (8, 32, 128)
    frozen_divisors: tuple[int, ...] = (6, 8)
    frozen_shares: tuple[float, ...] = ()
    alpha: float = 0.0

    def __post_init__(self) -> None:
        """Refuses a menu of unknown methods.

        Raises:
            ValueError: If a method or a number makes no sense.
        """
        for method in self.methods:
            if method not in TUNING_METHODS:
                raise ValueError(f"method {method!r:.60}, expected some of {list(TUNING_METHODS)}")
        if not self.methods:
            raise ValueError(f"no methods, expected some of {list(TUNING_METHODS)}")
        if "lora" in self.methods and not self.ranks:
            raise ValueError("method 'lora' without ranks, expected some, as in 32")


def tunings_for(shape: ModelShape, menu: Menu) -> Iterator[Tuning]:
    """Every way on the menu to tune a model of this shape, also those it does not allow."""
    for method in menu.methods:
        if method == "freeze":
            for n_frozen in _frozen(shape.n_layers, menu):
                yield Tuning(method="freeze", frozen_blocks=n_frozen)
        elif method == "lora":
            for rank in menu.ranks:
                yield Tuning(method="lora", rank=rank, alpha=menu.alpha)
        else:
            yield Tuning(method="bias" if method == "bias" else "full")


def _frozen(n_layers: int, menu: Menu) -> list[int]:
    if not menu.frozen_shares:
        return frozen_choices(n_layers, menu.frozen_divisors)
    shares = [Fraction(share).limit_denominator(1000) for share in menu.frozen_shares]
    return sorted({frozen_of_fraction(share, n_layers) for share in shares})


def frozen_choices(n_layers: int, divisors: Sequence[int]) -> list[int]:
    """Numbers of frozen blocks: the shares k/n of each denominator n that divides the blocks.

    Where none divides them, the shares of the first are rounded to whole blocks.
    """
    fitting = [n for n in divisors if n_layers % n == 0] or list(divisors[:1])
    return sorted({round(n_layers * k / n) for n in fitting for k in range(n)} - {n_layers})


def cost_candidate(
    entry: CatalogueEntry,
    tuning: Tuning,
    budget: Budget,
    *,
    data: Data,
    settings: Settings,
    learning_rate: float,
    mini_batch: int | None = None,
    gradient_checkpointing: bool = False,
    **known: Any,
) -> Candidate:
    """The candidate, with the tokens that the budget pays for.

    Raises:
        ValueError: If the tuning does not fit the model.
    """
    shape = entry.shape
    per_token = cost_per_token(shape, tuning)
    device_per_token = (
        count_flops(
            shape,
            tuning,
            tokens=1_000_000,
            length=data.text_length,
            gradient_checkpointing=gradient_checkpointing,
            gradient_cache=mini_batch is not None,
        ).hardware
        / 1_000_000
    )
    tokens = budget.flops / (per_token if budget.kind == "counted" else device_per_token)
    steps = int(min(tokens / (settings.batch_size * data.tokens_per_pair), _MAX_STEPS))
    pairs = steps * settings.batch_size
    return Candidate(
        model=entry.name,
        folder=None if entry.folder is None else str(entry.folder.absolute()),
        family=shape.family,
        tuning=tuning,
        n_layers=shape.n_layers,
        dim=shape.dim,
        n_params=shape.n_non_embedding,
        n_backbone=shape.n_backbone,
        n_trained=n_trained(shape, tuning),
        share=trained_share(shape, tuning),
        cost_per_token=per_token,
        flops=budget.flops if budget.kind == "counted" else tokens * per_token,
        device_flops=tokens * device_per_token,
        tokens=int(tokens),
        steps=steps,
        pairs=pairs,
        epochs=None if data.pairs is None else pairs / data.pairs,
        learning_rate=learning_rate,
        mini_batch=mini_batch,
        gradient_checkpointing=gradient_checkpointing,
        **known,
    )


def best_of_each(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The first candidate of each model and method, in the order given."""
    seen: dict[tuple[str, str], Candidate] = {}
    for candidate in candidates:
        seen.setdefault((candidate.model, candidate.tuning.method), candidate)
    return list(seen.values())
