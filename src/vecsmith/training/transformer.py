"""Training a sentence transformer: what the user says -> sets, encoder, loss, loop, folder.

One rule: everything that can be refused is refused before the first text is read.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vecsmith._typing import Encoder, PathLike
from vecsmith.tokenizer import Tokenizer
from vecsmith.training.checkpointing import CURVE_FILE, RunFolder, saying_no_room
from vecsmith.training.checks import doubts, try_losses
from vecsmith.training.loop import Fitted, Score, fit
from vecsmith.training.loss_choice import check_teacher, choose_losses
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.pair_run import TokenizedPairs, asking, run_facts, run_folder, stream_of
from vecsmith.training.pair_sources import UnpromptedMatcher, open_sources
from vecsmith.training.pair_tokens import TextMatcher
from vecsmith.training.prefixes import halved_prefixes
from vecsmith.training.provenance import data_facts, describe_loss, installed_versions
from vecsmith.training.settings import Directions, TransformerSettings
from vecsmith.training.token_store import SourceReport
from vecsmith.training.transformer_encoder import TrainedPooling, TransformerEncoder
from vecsmith.training.transformer_student import TransformerStudent
from vecsmith.transformer.loading import choose_dtype, open_device
from vecsmith.transformer.saving import check_encoder_folder, save_encoder
from vecsmith.transformer.source import (
    TeacherSettings,
    TeacherSource,
    find_teacher,
    read_settings,
    weights_digest,
)
from vecsmith.transformer.teacher import Frame, read_frame
from vecsmith.transformer.text_encoder import TextEncoder

logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16"]
SCORED_FOLDER = "scored"


def train_transformer(
    base: PathLike,
    *,
    pairs: Any,
    out: PathLike,
    work: PathLike | None = None,
    dims: Sequence[int] | None = None,
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None = None,
    score: Score | None = None,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    prompts: Mapping[str, str] | None = None,
    teacher: Encoder | None = None,
    decontaminator: TextMatcher | None = None,
    pooling: TrainedPooling | None = None,
    restart: bool = False,
    trust_remote_code: bool = False,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    mini_batch: int | None = None,
    lr: float | None = None,
    warmup: float | None = None,
    schedule: Literal["linear", "cosine", "constant"] | None = None,
    weight_decay: float | None = None,
    clip_norm: float | None = None,
    temperature: float | None = None,
    directions: Directions | None = None,
    max_length: int | None = None,
    dropout: float | None = None,
    precision: Precision = "auto",
    gradient_checkpointing: bool | None = None,
    sampling: Literal["proportional", "round_robin", "temperature"] | None = None,
    alpha: float | None = None,
    unique: bool | None = None,
    seed: int | None = None,
    device: str | None = None,
    evaluate_every: int | None = None,
    patience: int | None = None,
    checkpoint_every: int | None = None,
    checkpoint_minutes: float | None = None,
    show_progress_bar: bool = False,
) -> TextEncoder:
    """A sentence transformer trained on pairs of texts that belong together.

    Settings that are None are those of `TransformerSettings`, which says what each means.

    Example:
        >>> nested = train_transformer(
        ...     "sentence-transformers/all-MiniLM-L6-v2", pairs="pairs.parquet", out="nested",
        ...     dims=[384, 192, 96, 48],
        ... )
        >>> nested.encode(["It's dangerous to go alone!"]).shape
        (1, 384)

    Args:
        base: Model to start from: a folder, a Hub id, or `package:NAME`; with a head of
            sentence-transformers or a plain transformer of any family.
        pairs: A source of pairs as `vecsmith.corpora.open_pairs` takes it: a file, glob, folder,
            data set, or rows in memory; or several in a list, or by name.
        out: Folder to write: one that sentence-transformers opens. One that was written here
            before is replaced.
        work: Folder of the run: checkpoints and curve. The same call goes on there where the last
            one stopped. None for `out` with ".run" behind it.
        dims: Prefixes of the default loss; None for the model's dims, halved down to 32.
        loss: What is made small: one for all sets, or by name of the set; None for InfoNCE in both
            directions, or CoSENT where pairs have scores, over prefixes.
        score: What is to grow, of an encoder: called now and then, and the weights of its best
            value become the model. None for the weights after the last step.
        roles: Columns of the pairs by role, or in order; None to tell them by their names.
        prompts: Text before anchors ("query") and before all other texts ("document"); None for
            those of `base`. The model keeps them.
        teacher: Encoder for losses that ask for guides or for a teacher's vectors.
        decontaminator: What it matches is left out of the pairs, and counted.
        pooling: How token states become a vector; None for the base's own way, the mean for a plain
            transformer.
        restart: Whether a run in `work` is given up for a new one.
        trust_remote_code: Whether code in the base's folder may run.
        epochs: Passes over the pairs.
        steps: Steps instead of epochs.
        batch_size: Pairs in a step, of all processes together.
        mini_batch: Texts whose activations are held at a time, by way of a gradient cache.
        lr: Highest learning rate.
        warmup: Share of the steps in which it rises.
        schedule: How it falls.
        weight_decay: As in AdamW; not of biases and of what norms scale by.
        clip_norm: Largest norm of a gradient, 0 for any.
        temperature: Of the default loss.
        directions: Of the default loss.
        max_length: Tokens of a text that count in training, specials included, 0 for as many as
            the base reads. The model goes on reading as many as the base.
        dropout: Share of activations dropped; None for what the base says.
        precision: Of products: "bfloat16", "float32", or "auto" for bfloat16 where the device is
            fast at it. Weights, sums and the loss are float32.
        gradient_checkpointing: Whether activations are computed again instead of held.
        sampling: How batches are drawn from several sets.
        alpha: Power of sampling by "temperature".
        unique: Whether no text stands twice in a batch.
        seed: Of everything random.
        device: Torch device, as in "cuda".
        evaluate_every: Steps between evaluations, 0 for a tenth of the run.
        patience: Evaluations without a better one before the run stops, 0 for never.
        checkpoint_every: Steps between checkpoints, 0 for by the clock alone.
        checkpoint_minutes: Minutes between checkpoints, 0 for by steps alone.
        show_progress_bar: Whether to show bars, if this is a terminal.

    Raises:
        ValueError: If an argument makes no sense, alone or with the others, or `work` holds a run
            of something else.
        FormatError: If a file is broken.
        HubError: If the base could not be fetched.
        RunFailed: If the loss is no number any more, or the disk is full; the last checkpoint
            stays.
        FileExistsError: If `out` or `work` holds something else, which would be lost.
    """
    given = {
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "mini_batch": mini_batch,
        "lr": lr,
        "warmup": warmup,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "dims": dims,
        "temperature": temperature,
        "directions": directions,
        "max_length": max_length,
        "dropout": dropout,
        "precision": chosen_precision(precision, device),
        "gradient_checkpointing": gradient_checkpointing,
        "sampling": sampling,
        "alpha": alpha,
        "unique": unique,
        "seed": seed,
        "device": device,
        "evaluate_every": evaluate_every,
        "patience": patience,
        "checkpoint_every": checkpoint_every,
        "checkpoint_minutes": checkpoint_minutes,
    }
    return run_transformer_training(
        pairs,
        Base(
            source=find_teacher(base),
            pooling=pooling,
            trust_remote_code=trust_remote_code,
        ),
        TransformerSettings().with_given(given),
        out=out,
        work=work,
        loss=loss,
        score=score,
        roles=roles,
        prompts=prompts,
        teacher=teacher,
        decontaminator=decontaminator,
        restart=restart,
        show_progress_bar=show_progress_bar,
    ).encoder


def chosen_precision(asked: Precision, device: str | None) -> Literal["float32", "bfloat16"]:
    """The type of factors that "auto" means on `device`, or what is asked.

    Raises:
        ValueError: If there is no such type or device.
    """
    return choose_dtype(asked, open_device(device or TransformerSettings().device))


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a run begins with.

    Attributes:
        source: Where the transformer is.
        pooling: How token states become a vector, None for its own way.
        trust_remote_code: Whether code in its folder may run.
    """

    source: TeacherSource
    pooling: TrainedPooling | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedTransformer:
    """A finished run.

    Attributes:
        encoder: The model, opened from the folder it was written to.
        fitted: How the run went.
        reports: What became of the rows of each set.
        settings: Of the run.
        n_left_out: Pairs that each pass over a set leaves out, by its name.
        notes: What was told of the run.
        provenance: What the model says of how it was made: "recipe" and "data".
    """

    encoder: TextEncoder
    fitted: Fitted
    reports: tuple[SourceReport, ...]
    settings: TransformerSettings
    n_left_out: Mapping[str, int]
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]


def run_transformer_training(
    pairs: Any,
    base: Base,
    settings: TransformerSettings,
    *,
    out: PathLike,
    work: PathLike | None = None,
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None = None,
    score: Score | None = None,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    prompts: Mapping[str, str] | None = None,
    teacher: Encoder | None = None,
    decontaminator: TextMatcher | None = None,
    restart: bool = False,
    tell: Callable[[str], None] = logger.warning,
    show_progress_bar: bool = False,
) -> TrainedTransformer:
    """As `train_transformer`, of settings made already; returns how it went beside the model.

    What is to be known of a run before its first step, as that it is too short, goes to `tell`.
    """
    notes: list[str] = []

    def say(line: str) -> None:
        notes.append(line)
        tell(line)

    open_device(settings.device)
    check_encoder_folder(out, base.source)
    said = read_settings(base.source, trust_remote_code=base.trust_remote_code)
    prompts = said.prompts if prompts is None else prompts
    sources = open_sources(pairs, roles=roles, prompts=prompts)
    encoder = TransformerEncoder.from_source(
        base.source,
        pooling=base.pooling,
        dropout=settings.dropout,
        gradient_checkpointing=settings.gradient_checkpointing,
        device=settings.device,
        seed=settings.seed,
        trust_remote_code=base.trust_remote_code,
    )
    text = _Text.of(said, settings, encoder)
    _check_dims(settings, encoder.dim)
    losses = choose_losses(loss, sources, settings, encoder.dim)
    check_teacher(losses, sources, teacher)
    try_losses(losses, sources, settings, encoder.dim)
    facts = run_facts(
        settings,
        sources,
        losses,
        _start_facts(base, said, encoder, prompts),
        teacher=teacher,
        cleaner=decontaminator,
        score=score,
    )
    if decontaminator is not None and prompts:
        decontaminator = UnpromptedMatcher(decontaminator, prompts.values())
    exporter = _Exporter(encoder, base, settings, {**said.prompts, **prompts})
    with run_folder(work or f"{Path(out)}.run", restart=restart) as (folder, _):
        folder.claim(facts)
        tokenized = TokenizedPairs(
            text.tokenizer,
            folder,
            max_length=text.max_length,
            unk_id_dropped=None,
            show_progress_bar=show_progress_bar,
        )
        with saying_no_room(folder.path):
            store = tokenized.store(sources, decontaminator)
        by_stored_name = dict(zip((s.name for s in store.sources), losses.values(), strict=True))
        stream = stream_of(store, by_stored_name, settings)
        n_rows = {source.name: len(source) for source in store.sources}
        for doubt in doubts(settings, stream, n_rows):
            say(doubt)
        vectors = None
        if teacher is not None:
            with saying_no_room(folder.path):
                vectors = tokenized.vectors(sources, asking(sources, losses), teacher)
        fitted = fit(
            TransformerStudent(encoder, settings, frame=text.frame, vectors=vectors),
            stream,
            by_stored_name,
            settings,
            encoder_of=lambda tensors: exporter.scored(tensors, folder),
            score=score,
            folder=folder,
            tell=say,
            show_progress_bar=show_progress_bar,
        )
        left_out = dict(zip(n_rows, stream.n_left_out_by_source, strict=True))
        provenance = {
            "recipe": _recipe(settings, losses, base, fitted),
            "data": data_facts(store.reports, {s.name: s.licence for s in sources}, left_out),
        }
        with saying_no_room(folder.path):
            exporter.write(fitted.tensors, out, provenance)
        folder.write_json(CURVE_FILE, fitted.state.curve.plain())
        folder.close_run()
    return TrainedTransformer(
        encoder=TextEncoder.from_pretrained(
            out, device=settings.device, trust_remote_code=base.trust_remote_code
        ),
        fitted=fitted,
        reports=store.reports,
        settings=settings,
        n_left_out=left_out,
        notes=tuple(notes),
        provenance=provenance,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """How a text becomes ids: the base's tokenizer without specials, and the frame around it."""

    tokenizer: Tokenizer
    frame: Frame
    max_length: int | None

    @classmethod
    def of(
        cls, said: TeacherSettings, settings: TransformerSettings, encoder: TransformerEncoder
    ) -> _Text:
        """That of a base; refuses a length that it has no room for."""
        frame = read_frame(said.tokenizer_json)
        n_around = len(frame.before) + len(frame.after)
        room = encoder.n_positions
        longest = settings.max_length or said.max_length or room
        if settings.max_length and (
            settings.max_length <= n_around or (room is not None and settings.max_length > room)
        ):
            most = " or more" if room is None else f" to {room}"
            raise ValueError(
                f"max_length {settings.max_length}, expected {n_around + 1}{most}, or 0 for as "
                "many tokens as the model reads"
            )
        return cls(
            tokenizer=Tokenizer(said.tokenizer_json),
            frame=frame,
            max_length=None if longest is None else longest - n_around,
        )


def _check_dims(settings: TransformerSettings, dim: int) -> None:
    if settings.dims is not None and max(settings.dims) > dim:
        raise ValueError(
            f"dims {list(settings.dims)}, expected prefixes of at most {dim}: the model has no more"
        )


class _Exporter:
    """Writes the transformer as a folder."""

    def __init__(
        self,
        encoder: TransformerEncoder,
        base: Base,
        settings: TransformerSettings,
        prompts: Mapping[str, str],
    ) -> None:
        self._encoder, self._base, self._settings = encoder, base, settings
        self._prompts = prompts

    def scored(self, tensors: Mapping[str, Tensor], folder: RunFolder) -> Encoder:
        """What an evaluation gets: the model as it would be if the run ended now."""
        out = folder.path / SCORED_FOLDER
        with saying_no_room(folder.path):
            self.write(tensors, out, {})
        return TextEncoder.from_pretrained(
            out,
            device=self._settings.device,
            compute_dtype=self._settings.precision,
            trust_remote_code=self._base.trust_remote_code,
        )

    def write(
        self, tensors: Mapping[str, Tensor], out: PathLike, provenance: Mapping[str, Any]
    ) -> None:
        """Writes the transformer with these weights."""
        with torch.no_grad():
            for name, parameter in self._encoder.named_parameters():
                parameter.copy_(tensors[name])
        save_encoder(
            self._encoder.model,
            self._base.source,
            out,
            pooling=self._base.pooling,
            prompts=self._prompts,
            dims=self._settings.dims or tuple(halved_prefixes(self._encoder.dim)),
            provenance=provenance,
        )


def _start_facts(
    base: Base, said: TeacherSettings, encoder: TransformerEncoder, prompts: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "model": weights_digest(base.source),
        "tokenizer": hashlib.sha256(said.tokenizer_json.encode()).hexdigest(),
        "pooling": list(encoder.head.modes),
        "prompts": {**said.prompts, **prompts},
    }


def _recipe(
    settings: TransformerSettings,
    losses: Mapping[str, EmbeddingLoss],
    base: Base,
    fitted: Fitted,
) -> dict[str, Any]:
    """How the model was made, for its card."""
    state = fitted.state
    different = set(map(describe_loss, losses.values()))
    return {
        "method": "train_transformer",
        "settings": settings.plain(),
        "start": {"model": base.source.name, "weights": weights_digest(base.source)},
        "loss": different.pop()
        if len(different) == 1
        else {name: describe_loss(loss) for name, loss in losses.items()},
        "steps": {"planned": fitted.n_steps, "done": state.step, "kept": state.best_step},
        "score": None if state.best_step is None else round(state.best_score, 6),
        "score_at_start": state.curve.score_at_start(),
        "pairs_seen": state.n_examples,
        "versions": installed_versions(),
        "seconds": round(state.seconds, 3),
    }
