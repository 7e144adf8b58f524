"""A table learned step by step from a teacher's vectors of texts, as tokenlearn does.

Tulkens & van Dongen, "Tokenlearn" (2024): the mean of a text's rows is driven to the teacher's
vector of the text. Here with what makes it strong: targets in their principal directions, rows
that begin at the teacher's own vectors, Adam with warm-up and a linear decay to nothing. The
regression minimises a like distance at once; this is there to be compared with it.

The one rule: a run that was stopped goes on where it was, and ends with the bytes of one that was
not.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vecsmith._directions import principal_directions
from vecsmith._extras import require
from vecsmith._files import atomic_file
from vecsmith._progress import progress_bar
from vecsmith._typing import FloatArray
from vecsmith.distillation.from_tokens import MadeTable
from vecsmith.distillation.open_shards import OpenShards, tokens_of
from vecsmith.distillation.regression.fitting import start_rows
from vecsmith.distillation.regression.prior import weigh_rows
from vecsmith.distillation.settings import TextSettings, TokenlearnSettings
from vecsmith.distillation.teacher_pass import TeacherPass
from vecsmith.errors import FormatError, RunFailed
from vecsmith.formats.safetensors import TensorFile, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from vecsmith.training.bag import Bag
    from vecsmith.training.optimizer import RowAdam
    from vecsmith.training.token_table import TokenTable

SAVE_SECONDS = 60.0
_ADAM = "adam."


def learn_table(
    passed: TeacherPass,
    isolated: FloatArray,
    dim: int | float | None,
    how: TextSettings,
    *,
    file: Path,
    show_progress_bar: bool = False,
) -> MadeTable:
    """The table whose mean rows come near the teacher's vectors of texts by `how.objective`.

    Args:
        passed: What the teacher said of texts.
        isolated: Its vectors of the V tokens alone, [V, D].
        dim: Dimensions, a share of the targets' variance to keep, or None for the teacher's own.
        how: The settings.
        file: Where the state of the run is kept, and found if there is one of the same run.
        show_progress_bar: Whether to show one, if this is a terminal.

    Raises:
        RunFailed: If a gradient is not finite.
    """
    settings = how.tokenlearn
    targets = _Targets.of(passed, dim, settings)
    rows = _start(passed, isolated, how, targets.rotation)
    rows *= np.float32(settings.scale / max(np.sqrt(np.square(rows).mean()), 1e-12))
    run = _Run(rows, how, _fingerprint(passed, isolated, dim, how), file)
    n_steps = settings.epochs * targets.n_batches
    with progress_bar(how.objective, total=n_steps, show=show_progress_bar) as advance:
        run.learn(targets, n_steps, advance)
    return MadeTable(rows=run.table.rows.numpy(), explained=targets.explained)


def _start(
    passed: TeacherPass, isolated: FloatArray, how: TextSettings, rotation: FloatArray
) -> FloatArray:
    """Rows at the start, weighed by how rare their tokens are, not scaled yet, [V, K]."""
    if how.tokenlearn.start == "contextual":
        return start_rows(passed, isolated, how.regression, rotation)
    return weigh_rows(isolated @ rotation, passed.counts, how.regression.sif_coefficient)


@dataclass(slots=True, kw_only=True)
class _Targets:
    """Texts and what a table is to make of them, in an order that a seed decides."""

    shards: OpenShards
    places: NDArray[np.int64]
    mean: FloatArray
    rotation: FloatArray
    explained: float
    batch_size: int
    seed: int
    order: NDArray[np.int64] | None = None
    epoch: int = -1

    @classmethod
    def of(cls, passed: TeacherPass, dim: int | float | None, settings: TokenlearnSettings
           ) -> _Targets:  # fmt: skip
        read, mean, moment = _moments(passed, centered=settings.centered)
        directions, explained = principal_directions(moment, dim)
        return cls(
            shards=OpenShards(passed),
            places=np.flatnonzero(read),
            mean=mean.astype(np.float32),
            rotation=directions.astype(np.float32),
            explained=explained,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )

    @property
    def n_batches(self) -> int:
        """Batches of an epoch; the last may be smaller."""
        return -(-len(self.places) // self.batch_size)

    def batch(self, step: int) -> tuple[Bag, FloatArray]:
        """Tokens and targets [B, K] of the texts of a step."""
        from vecsmith.training.bag import Bag

        epoch, i = divmod(step, self.n_batches)
        if self.order is None or epoch != self.epoch:
            random = np.random.default_rng([self.seed, epoch])
            self.order, self.epoch = random.permutation(self.places), epoch
        chosen = self.order[i * self.batch_size : (i + 1) * self.batch_size]
        vectors = np.empty((len(chosen), len(self.mean)), dtype=np.float32)
        ids, lengths, n_done = [], [], 0
        for shard, rows in self.shards.groups(np.sort(chosen)):
            own_ids, own_lengths = tokens_of(shard, rows)
            ids.append(own_ids)
            lengths.append(own_lengths)
            vectors[n_done : n_done + len(rows)] = shard.vectors[rows]
            n_done += len(rows)
        offsets = np.zeros(len(chosen) + 1, dtype=np.int64)
        np.cumsum(np.concatenate(lengths), out=offsets[1:])
        wanted = (vectors - self.mean) @ self.rotation
        return Bag(np.concatenate(ids), offsets), wanted.astype(np.float32, copy=False)


class _Run:
    """A table while it is learned, with its optimiser, and the file that keeps both."""

    def __init__(self, rows: FloatArray, how: TextSettings, fingerprint: str, file: Path) -> None:
        torch = require("torch", extra="distill", purpose="learn a table")
        from vecsmith.training.optimizer import RowAdam
        from vecsmith.training.token_table import TokenTable

        self._how = how
        self._fingerprint = fingerprint
        self._file = file
        settings = how.tokenlearn
        self.table: TokenTable = TokenTable(torch.from_numpy(rows))
        self._adam: RowAdam = RowAdam(
            self.table, lr=settings.lr, betas=settings.betas, eps=settings.eps
        )

    def learn(self, targets: _Targets, n_steps: int, advance: Callable[[int], object]) -> None:
        """Takes all steps that are not taken yet."""
        torch = require("torch", extra="distill", purpose="learn a table")
        from vecsmith.training.schedule import Schedule

        settings = self._how.tokenlearn
        n_warmup = min(round(settings.warmup * n_steps), n_steps)
        schedule = Schedule(peak=settings.lr, n_steps=n_steps, n_warmup=n_warmup)
        loss_of = _loss(self._how.objective, settings)
        self._restore()
        advance(self._adam.n_steps)
        saved_at = time.monotonic()
        for step in range(self._adam.n_steps, n_steps):
            bag, wanted = targets.batch(step)
            vectors = self.table.embed(bag).requires_grad_()
            loss_of(vectors, torch.from_numpy(wanted)).backward()  # type: ignore[no-untyped-call]
            assert vectors.grad is not None
            try:
                self._adam.step(self.table.gradients([(bag, vectors.grad)]), schedule.rate(step))
            except FloatingPointError as error:
                raise RunFailed(
                    f"step {step + 1} of {n_steps}: {error}; lower lr or raise temperature of "
                    "TokenlearnSettings, or take objective='regression', which has neither"
                ) from error
            advance(1)
            if time.monotonic() - saved_at >= SAVE_SECONDS:
                self._save()
                saved_at = time.monotonic()
        self._save()

    def _tensors(self) -> dict[str, Tensor]:
        moments = {_ADAM + name: value for name, value in self._adam.state_tensors().items()}
        return moments | dict(self.table.state_tensors())

    def _save(self) -> None:
        arrays = {name: tensor.cpu().numpy() for name, tensor in self._tensors().items()}
        widest_first = dict(sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize))
        with atomic_file(self._file) as stream:
            write_tensors(stream, widest_first, metadata={"fingerprint": self._fingerprint})

    def _restore(self) -> None:
        """Takes over the state in the file, if it is one of this run."""
        torch = require("torch", extra="distill", purpose="learn a table")
        try:
            file = TensorFile(self._file)
        except (FormatError, FileNotFoundError):
            return
        if file.metadata.get("fingerprint") != self._fingerprint:
            return
        state = {name: torch.from_numpy(np.array(file.tensor(name))) for name in file.names()}
        self.table.restore(state)
        self._adam.restore(
            {n.removeprefix(_ADAM): v for n, v in state.items() if n.startswith(_ADAM)}
        )


def _loss(objective: str, settings: TokenlearnSettings) -> Callable[[Tensor, Tensor], Tensor]:
    from vecsmith.training.losses import cosine_distance, info_nce, mean_squared_error

    if objective == "cosine":
        return cosine_distance
    if objective == "mse":
        return mean_squared_error
    return partial(info_nce, temperature=settings.temperature)


def _moments(
    passed: TeacherPass, *, centered: bool
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Which texts have tokens and a vector [N]; the vectors' mean [D] and sum of products [D, D].

    A text that the teacher gave no vector counts for nothing. Where they are not to be centred,
    the mean is zeros.
    """
    total, moment, n_texts = np.zeros(passed.dim), np.zeros((passed.dim, passed.dim)), 0
    usable = [np.empty(0, dtype=np.bool_)]
    for shard in passed.shards():
        vectors = shard.vectors.astype(np.float32)
        is_read = vectors.any(axis=1)
        usable.append(is_read & (np.diff(shard.offsets) > 0))
        total += vectors.sum(axis=0, dtype=np.float64)
        moment += vectors.T @ vectors
        n_texts += int(is_read.sum())
    mean = total / max(1, n_texts) if centered else np.zeros_like(total)
    return np.concatenate(usable), mean, moment - n_texts * np.outer(mean, mean)


def _fingerprint(
    passed: TeacherPass, isolated: FloatArray, dim: int | float | None, how: TextSettings
) -> str:
    facts = {"pass": passed.content, "dim": dim, "how": asdict(how)}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(isolated).data)
    return digest.hexdigest()
