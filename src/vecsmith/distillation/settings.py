"""The settings of a distillation, and which of them go together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from vecsmith._typing import TableDtype
from vecsmith.distillation.reduction import check_dim
from vecsmith.distillation.regression.settings import RegressionSettings
from vecsmith.distillation.vocabulary import VocabularyMode
from vecsmith.distillation.weighting import Weighting
from vecsmith.transformer.teacher import ComputeDtype, Pooling

Objective = Literal["regression", "cosine", "mse", "contrastive"]
StartRows = Literal["isolated", "contextual"]

_WEIGHTINGS: Final = ("zipf", "sif", "none")
# chosen on dev splits, see recipes/distill_defaults.py and the distillation guide
DEFAULT_COEFFICIENTS: Final = {"zipf": 2e-4, "sif": 1e-3, "model2vec": 1e-4}
DEFAULT_WHITENING: Final = 0.25
# BERT's placeholders, which no text holds
UNUSED_TOKENS: Final = r"\[unused\d+\]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenlearnSettings:
    """How a table is learned from a teacher's vectors of texts step by step.

    Attributes:
        epochs: How often every text is read.
        batch_size: Texts in a step.
        lr: Highest learning rate of Adam, for a table whose numbers have the root mean square
            `scale`.
        warmup: Share of the steps in which the rate rises; then it falls to 0 in a line.
        betas: Decay of Adam's moments.
        eps: Added to the root of its second moment.
        scale: Root mean square of the numbers at the start.
        start: "isolated" begins with vectors of the tokens alone, as tokenlearn does;
            "contextual" with the regression's prior.
        centered: Whether the mean of the teacher's vectors is taken away, as tokenlearn does.
        temperature: Of the contrastive objective.
        seed: Of the order of the texts.
    """

    epochs: int = 2
    batch_size: int = 1024
    lr: float = 0.01
    warmup: float = 0.05
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-10
    scale: float = 0.1
    start: StartRows = "isolated"
    centered: bool = True
    temperature: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses values that no run could follow."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}, expected 1 or more")
        for name in ("lr", "scale", "temperature", "eps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value}, expected a number above 0")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup {self.warmup}, expected a share from 0 to 1")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {self.betas}, expected numbers of at least 0 and below 1")
        _check_choice("start", self.start, get_args(StartRows))
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}, expected 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolishSettings:
    """Everything that decides a polish but its table, its pairs and its texts.

    Attributes:
        n_steps: Steps; few, since pairs of a narrow domain cost similarity everywhere else.
        batch_size: Pairs in a step.
        lr: Highest rate of Adam, for a table whose numbers have root mean square 0.1; others are
            moved in proportion to theirs.
        warmup: Share of the steps in which the rate rises; then it falls to 0 in a line.
        temperature: Of InfoNCE.
        target_weight: How many times the distance to the teacher's vectors counts.
        target_texts: The teacher's texts in a step.
        dims: Prefixes; None for the table's dims and its halves down to 32.
        max_length: Tokens of a pair's texts that count.
        seed: Of the order of pairs and of the draws of texts.
    """

    n_steps: int = 60
    batch_size: int = 1024
    lr: float = 3e-3
    warmup: float = 0.1
    temperature: float = 0.05
    target_weight: float = 10.0
    target_texts: int = 4096
    dims: tuple[int, ...] | None = None
    max_length: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses values that no run could follow."""
        for name in ("n_steps", "batch_size", "target_texts", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}, expected 1 or more")
        for name in ("lr", "temperature"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} {value}, expected a number above 0")
        if not (math.isfinite(self.target_weight) and self.target_weight >= 0):
            raise ValueError(f"target_weight {self.target_weight}, expected 0 or more")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup {self.warmup}, expected a share from 0 to 1")
        if self.dims is not None and (not self.dims or min(self.dims) < 1):
            raise ValueError(f"dims {self.dims}, expected lengths of prefixes, 1 or more each")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}, expected 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """How a table is made from texts.

    Attributes:
        objective: "regression" solves for the table; "cosine", "mse" and "contrastive" learn it
            step by step, as tokenlearn does.
        max_length: Tokens of a text that the teacher reads, specials included, where it has room
            for as many.
        regression: Constants of the regression; of its prior, whichever the objective.
        tokenlearn: How the other objectives learn.
        polish: How pairs polish the table of the regression; None if there are none.
    """

    objective: Objective = "regression"
    max_length: int = 128
    regression: RegressionSettings = field(default_factory=RegressionSettings)
    tokenlearn: TokenlearnSettings = field(default_factory=TokenlearnSettings)
    polish: PolishSettings | None = None

    def __post_init__(self) -> None:
        """Refuses values that no run could follow."""
        _check_choice("objective", self.objective, get_args(Objective))
        if self.max_length < 3:
            raise ValueError(f"max_length {self.max_length}, expected 3 or more")
        if self.polish is not None and self.objective != "regression":
            raise ValueError(
                f"objective {self.objective!r} with pairs, expected 'regression': it is its table "
                "that pairs polish"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillSettings:
    """Everything that decides what a distillation gives; kept in the model's recipe.

    Attributes:
        dim: Dimensions, a share of variance to keep, or None for the teacher's own.
        vocabulary_mode: "subword", "word" or "both".
        pooling: How token states become a vector; None for the teacher's own way.
        weighting: "zipf" by rank, "sif" by counts, "none".
        sif_coefficient: a of the weight a / (a + p).
        whitening: Power of whitening, 0 for none.
        remove_components: Strongest components left out.
        token_remove_pattern: Teacher tokens whose beginning matches this are left out.
        dtype: Of the table.
        compute_dtype: Of the teacher's forward pass.
        device: Torch device.
        batch_tokens: Most token ids in one forward pass over the vocabulary.
        prompt: Text the teacher reads before each token and text, or None.
        prompt_name: Name of one of the teacher's prompts, or None.
        language: Language of the "wordfreq" counts.
        compatible: "model2vec" to do all as model2vec 0.10.0 does.
        texts: How texts are used; None if there are none.
        lexical_dims: Dimensions of the lexical tail, 0 for none.
        lexical_scale: Length of a row's tail over that of the row.
    """

    dim: int | float | None = 256
    vocabulary_mode: VocabularyMode = "subword"
    pooling: Pooling | None = None
    weighting: Weighting = "zipf"
    sif_coefficient: float = DEFAULT_COEFFICIENTS["zipf"]
    whitening: float = DEFAULT_WHITENING
    remove_components: int = 0
    token_remove_pattern: str | None = UNUSED_TOKENS
    dtype: TableDtype = "float32"
    compute_dtype: ComputeDtype = "auto"
    device: str = "cpu"
    batch_tokens: int = 2048
    prompt: str | None = None
    prompt_name: str | None = None
    language: str = "en"
    compatible: Literal["model2vec"] | None = None
    texts: TextSettings | None = None
    lexical_dims: int = 0
    lexical_scale: float = 0.5

    def __post_init__(self) -> None:
        """Refuses values that no run could follow."""
        if self.dim is not None:
            check_dim(self.dim, 2**31)
        _check_choice("vocabulary_mode", self.vocabulary_mode, ("subword", "word", "both"))
        _check_choice("pooling", self.pooling, (None, "balanced", "mean", "cls", "last", "pooler"))
        _check_choice("weighting", self.weighting, _WEIGHTINGS)
        _check_choice("dtype", self.dtype, get_args(TableDtype))
        _check_choice("compute_dtype", self.compute_dtype, ("auto", "float32", "bfloat16"))
        _check_choice("compatible", self.compatible, (None, "model2vec"))
        if self.compatible and (self.whitening or self.remove_components):
            raise ValueError(
                f"compatible {self.compatible!r} with whitening {self.whitening:g} and "
                f"remove_components {self.remove_components}, expected neither: it has none"
            )
        if not 0 < self.sif_coefficient < 1:
            raise ValueError(
                f"sif_coefficient {self.sif_coefficient}, expected a number between 0 and 1"
            )
        if not 0 <= self.whitening <= 1:
            raise ValueError(f"whitening {self.whitening}, expected a power from 0 to 1")
        if self.remove_components < 0:
            raise ValueError(f"remove_components {self.remove_components}, expected 0 or more")
        if self.batch_tokens < 1:
            raise ValueError(f"batch_tokens {self.batch_tokens}, expected 1 or more")
        self._check_tail()
        self._check_texts()

    def _check_tail(self) -> None:
        """Raises ValueError for a lexical tail that cannot be."""
        if self.lexical_dims < 0:
            raise ValueError(f"lexical_dims {self.lexical_dims}, expected 0 or more")
        if not (math.isfinite(self.lexical_scale) and self.lexical_scale > 0):
            raise ValueError(f"lexical_scale {self.lexical_scale}, expected a number above 0")
        if self.lexical_dims and self.compatible is not None:
            raise ValueError(
                f"compatible {self.compatible!r} with lexical_dims {self.lexical_dims}, expected "
                "0: it has no tail"
            )

    def _check_texts(self) -> None:
        """Raises ValueError for settings that are not for texts, if there are texts."""
        if self.texts is None:
            return
        if self.compatible is not None:
            raise ValueError(f"compatible {self.compatible!r} uses no texts, expected one of both")
        if self.remove_components:
            raise ValueError(
                f"remove_components {self.remove_components} with texts, expected 0: their "
                "strongest direction is what all texts share, and the teacher has it too"
            )
        if self.weighting == "zipf":
            raise ValueError(
                "weighting 'zipf' with texts, expected 'sif', by their counts, or none"
            )


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} {value!r}, expected one of {list(choices)}")
