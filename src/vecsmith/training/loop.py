"""The loop: batches in, steps done, scores now and then, everything kept.

One rule: a run that is killed and goes on ends with the same bits as one that was never killed.
Evaluations and checkpoints change nothing that a step depends on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from torch import Tensor

from vecsmith._progress import Advance, progress_bar
from vecsmith._typing import Encoder
from vecsmith.errors import FormatError, RunFailed
from vecsmith.training.batching import Batch, BatchStream
from vecsmith.training.checkpointing import CHECKPOINT_FILE, CURVE_FILE, RunFolder
from vecsmith.training.curves import Curve
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.losses.signature import drawn
from vecsmith.training.schedule import Schedule
from vecsmith.training.settings import RunSettings

Score = Callable[[Encoder], float]
EncoderOf = Callable[[Mapping[str, Tensor]], Encoder]
_EVALUATIONS: Final = 10
_DRAWS: Final = 0x64726177
_BROKEN: Final = "expected a whole checkpoint of this run; delete the run folder to start anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step came to: the loss before it, the gradient's length, and the tokens it read."""

    loss: float
    gradient: float
    n_tokens: int = 0


class Trainee(Protocol):
    """What is trained: it does a step, and says all that its next steps depend on."""

    def step(self, batch: Batch, loss: EmbeddingLoss, lr: float) -> StepResult:
        """Moves the weights against the gradient of `loss`; `RunFailed` leaves them as they are."""
        ...

    def model_tensors(self) -> Mapping[str, Tensor]:
        """The tensors that become the model, as they are now."""
        ...

    def state_tensors(self) -> Mapping[str, Tensor]:
        """All tensors that the next steps depend on."""
        ...

    def record(self) -> dict[str, Any]:
        """The rest of what they depend on, as JSON."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> None:
        """Takes over what `state_tensors` and `record` gave."""
        ...


@dataclass(slots=True, kw_only=True)
class RunState:
    """How far a run is.

    Attributes:
        step: Steps done.
        n_examples: Pairs seen.
        n_tokens: Tokens seen, specials counted and padding not, where the trainee counts them.
        seconds: Spent in steps.
        best_step: Steps after which the best score so far came, None before the first.
        best_score: That score.
        n_worse: Evaluations since then.
        curve: Of the steps so far.
    """

    step: int = 0
    n_examples: int = 0
    n_tokens: int = 0
    seconds: float = 0.0
    best_step: int | None = None
    best_score: float = -math.inf
    n_worse: int = 0
    curve: Curve = field(default_factory=Curve)

    def plain(self) -> dict[str, Any]:
        """The state in the kinds that JSON has."""
        return {
            "step": self.step,
            "n_examples": self.n_examples,
            "n_tokens": self.n_tokens,
            "seconds": self.seconds,
            "best_step": self.best_step,
            "best_score": None if self.best_step is None else self.best_score,
            "n_worse": self.n_worse,
            "curve": self.curve.plain(),
        }

    @classmethod
    def from_plain(cls, record: Mapping[str, Any], *, source: str) -> RunState:
        """The state that `plain` gave."""
        score = record["best_score"]
        record = {"n_tokens": 0, **record}  # which the first versions did not count
        for name in ("step", "n_examples", "n_tokens", "n_worse"):
            if not isinstance(record[name], int) or record[name] < 0:
                raise FormatError(f"{source}: {name} is {record[name]!r:.40}, {_BROKEN}")
        return cls(
            step=record["step"],
            n_examples=record["n_examples"],
            n_tokens=record["n_tokens"],
            seconds=record["seconds"],
            best_step=record["best_step"],
            best_score=-math.inf if score is None else score,
            n_worse=record["n_worse"],
            curve=Curve.from_plain(record["curve"], source=source),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What a run came to.

    Attributes:
        tensors: Weights of the model: those of the best evaluation, or the last ones.
        state: How the run went.
        n_steps: Steps that were planned; fewer were done where it stopped early.
    """

    tensors: Mapping[str, Tensor]
    state: RunState
    n_steps: int


def fit(
    student: Trainee,
    stream: BatchStream,
    losses: Mapping[str, EmbeddingLoss],
    settings: RunSettings,
    *,
    encoder_of: EncoderOf,
    score: Score | None = None,
    folder: RunFolder | None = None,
    tell: Callable[[str], None] | None = None,
    ready: Callable[[], None] | None = None,
    show_progress_bar: bool = False,
) -> Fitted:
    """Trains `student` on the batches of `stream` and returns the weights to keep.

    Args:
        student: What is trained; changed.
        stream: Batches without end, the same ones for the same seed.
        losses: By name of a set of pairs.
        settings: Of the whole run.
        encoder_of: Makes of the tensors of a model an encoder that scores can be taken of.
        score: What is to grow, of a model; None to train to the end and keep the last weights.
        folder: Where checkpoints go, and where an earlier run may have left one to go on from.
        tell: Called with a line where the run goes on from a checkpoint.
        ready: Called when the last checkpoint is taken up, before anything is written.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        FormatError: If the checkpoint is broken.
        RunFailed: If the loss is no number, or the disk is full; the last checkpoint stays.
    """
    loop = _Loop(student, stream, losses, settings, encoder_of, score, folder)
    if loop.go_on() and tell is not None:
        tell(f"going on from step {loop.step:,} of {loop.n_steps:,}")
    if ready is not None:
        ready()
    return loop.run(show_progress_bar)


def planned_steps(settings: RunSettings, n_batches: int) -> int:
    """Steps of a whole run over sets that make `n_batches` batches an epoch."""
    if settings.steps is not None:
        return settings.steps
    return max(1, math.ceil(settings.epochs * n_batches - 1e-9))


def warmup_steps(settings: RunSettings, n_steps: int) -> int:
    """Steps of the warm-up, a part of one counted as one, as in transformers' trainer."""
    return min(n_steps, math.ceil(n_steps * settings.warmup))


class _Loop:
    """One run, from its last checkpoint to its end."""

    def __init__(
        self,
        student: Trainee,
        stream: BatchStream,
        losses: Mapping[str, EmbeddingLoss],
        settings: RunSettings,
        encoder_of: EncoderOf,
        score: Score | None,
        folder: RunFolder | None,
    ) -> None:
        self._student, self._stream, self._losses = student, stream, losses
        self._settings, self._score, self._folder = settings, score, folder
        self._encoder_of = encoder_of
        self._n_steps = planned_steps(settings, stream.n_batches)
        self._evaluate_every = settings.evaluate_every or max(
            1, math.ceil(self._n_steps / _EVALUATIONS)
        )
        self._schedule = Schedule(
            peak=settings.lr,
            n_steps=self._n_steps,
            n_warmup=warmup_steps(settings, self._n_steps),
            decay=settings.schedule,
            floor=settings.final_lr,
        )
        self._state = RunState()
        self._best: dict[str, Tensor] | None = None

    @property
    def step(self) -> int:
        """Steps done."""
        return self._state.step

    @property
    def n_steps(self) -> int:
        """Steps of the whole run."""
        return self._n_steps

    def run(self, show_progress_bar: bool) -> Fitted:
        """The whole story after the last checkpoint."""
        self._saved = time.monotonic()
        state = self._state
        with progress_bar("training", total=self._n_steps, show=show_progress_bar) as advance:
            advance(state.step, None)
            if self._score is not None and not state.curve.evaluations:
                self._evaluate(advance)
            while state.step < self._n_steps and not self._is_over():
                self._step(advance)
                if self._score is not None and self._is_time_to_evaluate():
                    self._evaluate(advance)
                elif self._is_time_to_save():
                    self._save()
            self._save()
        return Fitted(tensors=self._kept(), state=state, n_steps=self._n_steps)

    def _step(self, advance: Advance) -> None:
        state = self._state
        started = time.perf_counter()
        batch = next(self._stream)
        lr = self._schedule.rate(state.step)
        try:
            done = self._student.step(batch, self._loss(batch.source), lr)
        except RunFailed as error:
            raise RunFailed(
                f"step {state.step + 1}, pairs {batch.source!r:.60}: {error}"
            ) from error
        state.step += 1
        state.n_examples += len(batch.rows)
        state.n_tokens += done.n_tokens
        seconds = time.perf_counter() - started
        state.seconds += seconds
        state.curve.add_step(
            state.step,
            source=batch.source,
            loss=done.loss,
            lr=lr,
            gradient=done.gradient,
            n_examples=state.n_examples,
            seconds=state.seconds,
        )
        advance(
            1,
            f"loss {done.loss:.3f}, rate {lr:.2g}, "
            f"{len(batch.rows) / max(seconds, 1e-9):,.0f} examples/s{self._scored()}",
        )

    def _loss(self, source: str) -> EmbeddingLoss:
        """The loss of this step: what it draws depends on the seed and the step alone."""
        dice = np.random.default_rng([self._settings.seed, _DRAWS, self._state.step])
        return drawn(self._losses[source], dice)

    def _scored(self) -> str:
        if self._state.best_step is None:
            return ""
        return f", best {self._state.best_score:.4f}"

    def _is_over(self) -> bool:
        patience = self._settings.patience
        return bool(patience) and self._state.n_worse >= patience

    def _is_time_to_evaluate(self) -> bool:
        step = self._state.step
        return step == self._n_steps or step % self._evaluate_every == 0

    def _evaluate(self, advance: Advance) -> None:
        assert self._score is not None
        state = self._state
        advance(0, f"scoring step {state.step:,}{self._scored()}")
        weights = self._student.model_tensors()
        score = float(self._score(self._encoder_of(weights)))
        if not math.isfinite(score):
            raise RunFailed(
                f"step {state.step}: the score is {score}, expected a number to compare by"
            )
        state.curve.add_evaluation(state.step, score, state.seconds)
        if score > state.best_score:
            state.best_step, state.best_score, state.n_worse = state.step, score, 0
            self._keep_best(weights)
        else:
            state.n_worse += 1
        self._save()

    def _keep_best(self, tensors: Mapping[str, Tensor]) -> None:
        if self._folder is None:
            self._best = {name: tensor.clone() for name, tensor in tensors.items()}
            return
        name = _best_file(self._state)
        assert name is not None
        self._folder.write_tensors(name, tensors, {"step": self._state.step})

    def _kept(self) -> Mapping[str, Tensor]:
        """The weights that become the model."""
        name = _best_file(self._state)
        if name is None:
            return self._student.model_tensors()
        if self._folder is not None:
            kept, expected = self._folder.read_tensors(name)[0], self._student.model_tensors()
            shapes = {key: tensor.shape for key, tensor in expected.items()}
            if {key: tensor.shape for key, tensor in kept.items()} != shapes:
                raise FormatError(
                    f"{self._folder.path / name}: holds other tensors than the model, {_BROKEN}"
                )
            return kept
        assert self._best is not None
        return self._best

    def _is_time_to_save(self) -> bool:
        every, minutes = self._settings.checkpoint_every, self._settings.checkpoint_minutes
        if every and self._state.step % every == 0:
            return True
        return bool(minutes) and time.monotonic() - self._saved >= 60 * minutes

    def _save(self) -> None:
        if self._folder is None:
            return
        record = {
            **self._state.plain(),
            "student": self._student.record(),
            "stream": self._stream.state(),
            "best_file": _best_file(self._state),
        }
        self._folder.write_checkpoint(self._student.state_tensors(), record)
        self._folder.write_json(CURVE_FILE, self._state.curve.plain())
        self._saved = time.monotonic()

    def go_on(self) -> bool:
        """Takes up the last checkpoint; whether there is one.

        Raises:
            FormatError: If it lacks something, or is not of this model and these pairs.
        """
        found = None if self._folder is None else self._folder.read_checkpoint()
        if found is None:
            return False
        assert self._folder is not None
        tensors, record = found
        path = self._folder.path / CHECKPOINT_FILE
        try:
            self._state = RunState.from_plain(record, source=str(path))
            self._student.restore(tensors, record["student"])
            self._stream.restore(record["stream"])
        except FormatError:
            raise
        except KeyError as error:
            raise FormatError(f"{path}: it lacks {error}, {_BROKEN}") from error
        except (TypeError, ValueError, IndexError, AttributeError, RuntimeError) as error:
            raise FormatError(f"{path}: {error!s:.300}, {_BROKEN}") from error
        return True


def _best_file(state: RunState) -> str | None:
    return None if state.best_step is None else f"best-{state.best_step:08d}.safetensors"
