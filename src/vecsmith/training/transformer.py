"""Training a sentence transformer: what the user says -> sets, encoder, loss, loop, folder.

One rule: everything that can be refused is refused before the first text is read.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from torch import Tensor

from vecsmith._typing import Encoder, PathLike
from vecsmith.results.tuning import Tuning
from vecsmith.training.batching import BatchStream
from vecsmith.training.checkpointing import CURVE_FILE, RunFolder, saying_no_room
from vecsmith.training.checks import doubts, try_losses
from vecsmith.training.distributed import Processes, processes, score_of_first
from vecsmith.training.layer_choice import depths_of, with_layers
from vecsmith.training.layer_plans import LayerVariant
from vecsmith.training.loop import Score, fit
from vecsmith.training.loss_choice import check_teacher, choose_losses
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.pair_run import TokenizedPairs, asking, run_facts, stream_of
from vecsmith.training.pair_sources import UnpromptedMatcher, open_sources
from vecsmith.training.pair_tokens import TextMatcher
from vecsmith.training.provenance import data_facts
from vecsmith.training.settings import Directions, TransformerSettings
from vecsmith.training.shared_run import first_goes_ahead, shared_folder
from vecsmith.training.transformer_base import (
    Base,
    Precision,
    TextReading,
    chosen_device,
    chosen_precision,
    open_base,
)
from vecsmith.training.transformer_encoder import TrainedPooling
from vecsmith.training.transformer_export import (
    SCORED_FOLDER,
    Exporter,
    recipe_of,
    start_facts,
)
from vecsmith.training.transformer_result import TrainedTransformer
from vecsmith.training.transformer_student import TransformerStudent
from vecsmith.training.unfit import UnfitRun
from vecsmith.transformer.saving import check_encoder_folder
from vecsmith.transformer.text_encoder import TextEncoder

logger = logging.getLogger(__name__)

Layers = LayerVariant | Sequence[int]


def train_transformer(
    base: PathLike,
    *,
    pairs: Any,
    out: PathLike,
    work: PathLike | None = None,
    dims: Sequence[int] | None = None,
    layers: Layers | None = None,
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None = None,
    score: Score | None = None,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    prompts: Mapping[str, str] | None = None,
    teacher: Encoder | None = None,
    decontaminator: TextMatcher | None = None,
    pooling: TrainedPooling | None = None,
    tuning: Tuning | None = None,
    restart: bool = False,
    trust_remote_code: bool = False,
    epochs: float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    batch_size: int | None = None,
    mini_batch: int | None = None,
    lr: float | None = None,
    warmup: float | None = None,
    schedule: Literal["linear", "cosine", "constant"] | None = None,
    final_lr: float | None = None,
    weight_decay: float | None = None,
    clip_norm: float | None = None,
    temperature: float | None = None,
    directions: Directions | None = None,
    max_length: int | None = None,
    dropout: float | None = None,
    precision: Precision = "auto",
    gradient_checkpointing: bool | None = None,
    train_dense: bool | None = None,
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
        layers: Depths that the model may be cut to afterwards: "all"; a list of them, the last
            layer among them; or a variant of `layered` by name. None for the whole depth alone.
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
        tuning: Which weights are trained: all, the last blocks, biases, or adapters of low rank,
            which the model that is written has in it; None for all.
        restart: Whether a run in `work` is given up for a new one.
        trust_remote_code: Whether code in the base's folder may run.
        epochs: Passes over the pairs.
        steps: Steps instead of epochs.
        tokens: Tokens instead of epochs: the run ends after the last whole step that stays within
            so many, specials counted and padding not.
        batch_size: Pairs in a step, of all processes together.
        mini_batch: Texts whose activations are held at a time, by way of a gradient cache.
        lr: Highest learning rate.
        warmup: Share of the steps in which it rises.
        schedule: How it falls.
        final_lr: Share of it that is left at the end.
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
        train_dense: Whether Dense modules after the pooling are trained too.
        sampling: How batches are drawn from several sets.
        alpha: Power of sampling by "temperature".
        unique: Whether no text stands twice in a batch.
        seed: Of everything random.
        device: Torch device, as in "cuda"; None for that if there is one, else the CPU.
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
        "tokens": tokens,
        "tuning": tuning,
        "batch_size": batch_size,
        "mini_batch": mini_batch,
        "lr": lr,
        "warmup": warmup,
        "schedule": schedule,
        "final_lr": final_lr,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "dims": dims,
        "temperature": temperature,
        "directions": directions,
        "max_length": max_length,
        "dropout": dropout,
        "precision": chosen_precision(precision, chosen_device(device)),
        "gradient_checkpointing": gradient_checkpointing,
        "train_dense": train_dense,
        "sampling": sampling,
        "alpha": alpha,
        "unique": unique,
        "seed": seed,
        "device": chosen_device(device),
        "evaluate_every": evaluate_every,
        "patience": patience,
        "checkpoint_every": checkpoint_every,
        "checkpoint_minutes": checkpoint_minutes,
    }
    settings = TransformerSettings().with_given(given)
    return run_transformer_training(
        pairs,
        open_base(base, settings, pooling=pooling, trust_remote_code=trust_remote_code),
        settings,
        out=out,
        work=work,
        layers=layers,
        loss=loss,
        score=score,
        roles=roles,
        prompts=prompts,
        teacher=teacher,
        decontaminator=decontaminator,
        restart=restart,
        show_progress_bar=show_progress_bar,
    ).encoder


def run_transformer_training(
    pairs: Any,
    base: Base,
    settings: TransformerSettings,
    *,
    out: PathLike,
    work: PathLike | None = None,
    layers: Layers | None = None,
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None = None,
    score: Score | None = None,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    prompts: Mapping[str, str] | None = None,
    teacher: Encoder | None = None,
    decontaminator: TextMatcher | None = None,
    restart: bool = False,
    scores_of: Callable[[Encoder], Sequence[Mapping[str, Any]]] | None = None,
    tell: Callable[[str], None] = logger.warning,
    show_progress_bar: bool = False,
) -> TrainedTransformer:
    """As `train_transformer`, of settings made already; returns how it went beside the model.

    What is to be known of a run before its first step, as that it is too short, goes to `tell`.
    What `scores_of` says of the finished model goes into its card.
    """
    notes: list[str] = []

    def say(line: str) -> None:
        notes.append(line)
        tell(line)

    check_encoder_folder(out, base.source)
    said, encoder = base.said, base.encoder
    prompts = said.prompts if prompts is None else prompts
    sources = open_sources(pairs, roles=roles, prompts=prompts)
    text = TextReading.of(said, settings, encoder)
    _check_dims(settings, encoder.dim)
    losses = with_layers(
        choose_losses(loss, sources, settings, encoder.dim), layers, encoder.n_layers
    )
    check_teacher(losses, sources, teacher)
    try_losses(losses, sources, settings, encoder.dim)
    facts = run_facts(
        settings,
        sources,
        losses,
        start_facts(base, prompts),
        teacher=teacher,
        cleaner=decontaminator,
        score=score,
    )
    if decontaminator is not None and prompts:
        decontaminator = UnpromptedMatcher(decontaminator, prompts.values())
    depths = depths_of(losses, encoder.n_layers)
    exporter = Exporter(base, settings, {**said.prompts, **prompts}, depths)
    place = work or f"{Path(out)}.run"
    with (
        processes(settings.device) as group,
        shared_folder(place, group, restart=restart) as folder,
    ):
        folder.claim({**facts, **({"processes": group.n} if group.n > 1 else {})})
        tokenized = TokenizedPairs(
            text.tokenizer,
            folder,
            max_length=text.max_length,
            unk_id_dropped=None,
            show_progress_bar=show_progress_bar and group.is_first,
        )
        with saying_no_room(folder.path), first_goes_ahead(group):
            store = tokenized.store(sources, decontaminator)
        by_stored_name = dict(zip((s.name for s in store.sources), losses.values(), strict=True))
        stream = stream_of(store, by_stored_name, settings)
        planned = _with_steps(settings, stream, text)
        n_rows = {source.name: len(source) for source in store.sources}
        for doubt in doubts(planned, stream, n_rows):
            say(doubt)
        vectors = None
        if teacher is not None:
            with saying_no_room(folder.path), first_goes_ahead(group):
                vectors = tokenized.vectors(sources, asking(sources, losses), teacher)
        fitted = fit(
            TransformerStudent(encoder, planned, frame=text.frame, vectors=vectors, group=group),
            stream,
            by_stored_name,
            planned,
            encoder_of=lambda tensors: _scored(exporter, tensors, folder, group),
            score=score_of_first(score, group),
            folder=folder,
            tell=say,
            ready=group.wait,
            show_progress_bar=show_progress_bar and group.is_first,
        )
        left_out = dict(zip(n_rows, stream.n_left_out_by_source, strict=True))
        provenance: dict[str, Any] = {
            "recipe": recipe_of(settings, losses, base, fitted),
            "data": data_facts(store.reports, {s.name: s.licence for s in sources}, left_out),
        }
        if group.is_first:
            if scores_of is not None:
                finished = exporter.scored(fitted.tensors, folder)
                provenance["scores"] = [dict(row) for row in scores_of(finished)]
            with saying_no_room(folder.path):
                exporter.write(fitted.tensors, out, provenance)
            shutil.rmtree(folder.path / SCORED_FOLDER, ignore_errors=True)
            folder.write_json(CURVE_FILE, fitted.state.curve.plain())
            folder.close_run()
        group.wait()
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


def _with_steps(
    settings: TransformerSettings, stream: BatchStream, text: TextReading
) -> TransformerSettings:
    """`settings` with the steps that fit its tokens, counted ahead: the rates depend on them.

    Raises:
        ValueError: If not one step fits.
    """
    if settings.tokens is None:
        return settings
    n_around = len(text.frame.before) + len(text.frame.after)
    steps = stream.batches_within(settings.tokens, n_around=n_around)
    if not steps:
        raise UnfitRun(
            f"tokens {settings.tokens:,}: the first step of {settings.batch_size:,} pairs takes "
            "more, expected room for one step or more: raise tokens, or lower batch_size or "
            "max_length"
        )
    return replace(settings, tokens=None, steps=steps)


def _scored(
    exporter: Exporter, tensors: Mapping[str, Tensor], folder: RunFolder, group: Processes
) -> Encoder:
    """The encoder that the first process scores; the others are told what it finds."""
    return exporter.scored(tensors, folder) if group.is_first else cast(Encoder, None)


def _check_dims(settings: TransformerSettings, dim: int) -> None:
    if settings.dims is not None and max(settings.dims) > dim:
        raise ValueError(
            f"dims {list(settings.dims)}, expected prefixes of at most {dim}: the model has no more"
        )
