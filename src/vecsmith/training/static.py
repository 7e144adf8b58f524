"""Training a static model: what the user says -> sets, table, loss, loop, model.

One rule: everything that can be refused is refused before the first text is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vecsmith._typing import Encoder, PathLike
from vecsmith.model import StaticModel
from vecsmith.tokenizer import Tokenizer
from vecsmith.training import _kernels
from vecsmith.training.checkpointing import (
    CURVE_FILE,
    MODEL_FOLDER,
    saying_no_room,
)
from vecsmith.training.checks import doubts, try_losses
from vecsmith.training.export import model_of_tensors
from vecsmith.training.loop import Fitted, Score, fit
from vecsmith.training.loss_choice import check_teacher, choose_losses
from vecsmith.training.losses import EmbeddingLoss
from vecsmith.training.pair_run import (
    TokenizedPairs,
    asking,
    run_facts,
    run_folder,
    stream_of,
)
from vecsmith.training.pair_sources import NamedPairs, UnpromptedMatcher, open_sources
from vecsmith.training.pair_tokens import TextMatcher
from vecsmith.training.presets import find_preset
from vecsmith.training.provenance import (
    data_facts,
    describe_loss,
    installed_versions,
    start_facts,
    with_provenance,
)
from vecsmith.training.settings import Directions, TrainSettings
from vecsmith.training.start import (
    Start,
    first_table,
    future_checkpoint,
    opened_model,
    tokenizer_facts,
)
from vecsmith.training.student import Student
from vecsmith.training.token_store import SourceReport
from vecsmith.training.tokenizer_training import (
    TokenizerFamily,
    TrainedTokenizer,
)
from vecsmith.transformer.loading import open_device

logger = logging.getLogger(__name__)


def train_static(
    *,
    pairs: Any,
    init: StaticModel | PathLike | None = None,
    tokenizer: PathLike | TrainedTokenizer | TokenizerFamily | None = None,
    dim: int | None = None,
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None = None,
    score: Score | None = None,
    out: PathLike | None = None,
    preset: TrainSettings | str | None = None,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    prompts: Mapping[str, str] | None = None,
    teacher: Encoder | None = None,
    decontaminator: TextMatcher | None = None,
    vocabulary: int = 32_000,
    lowercase: bool = True,
    restart: bool = False,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    warmup: float | None = None,
    schedule: Literal["linear", "cosine", "constant"] | None = None,
    weight_decay: float | None = None,
    clip_norm: float | None = None,
    dims: Sequence[int] | None = None,
    temperature: float | None = None,
    directions: Directions | None = None,
    start: Literal["random", "hashed"] | None = None,
    sampling: Literal["proportional", "round_robin", "temperature"] | None = None,
    unique: bool | None = None,
    alpha: float | None = None,
    seed: int | None = None,
    max_length: int | None = None,
    token_dropout: float | None = None,
    token_weights: bool | None = None,
    ema: float | None = None,
    precision: Literal["float32", "bfloat16"] | None = None,
    device: str | None = None,
    evaluate_every: int | None = None,
    patience: int | None = None,
    checkpoint_every: int | None = None,
    checkpoint_minutes: float | None = None,
    show_progress_bar: bool = False,
) -> StaticModel:
    """A static model trained on pairs of texts that belong together.

    Settings that are None are those of the preset; what each means is said by `TrainSettings`.

    Example:
        >>> from functools import partial
        >>> from vecsmith.training import info_nce, matryoshka
        >>> nested = matryoshka(partial(info_nce, temperature=0.05), {256: 1, 128: 1, 64: 1, 32: 1})
        >>> model = train_static(init=model, pairs=pairs, loss=nested)

    Args:
        pairs: A source of pairs as `vecsmith.corpora.open_pairs` takes it: a file, glob, folder,
            data set, or rows in memory; or several in a list, or by name.
        init: Model to start from, or its folder; None to start from nothing.
        tokenizer: Of a model from nothing: a `tokenizer.json`, or a family ("wordpiece", "bpe",
            "unigram") to train one of the pairs' texts.
        dim: Dimensions of a model from nothing.
        loss: What is made small: one for all sets, or by name of the set; None for InfoNCE, or
            CoSENT where pairs have scores, over prefixes. It is called once on two random pairs
            before anything is done.
        score: What is to grow, of an encoder: called now and then, and the weights of its best
            value become the model. None for the weights after the last step.
        out: Folder of the run: checkpoints, curve, and in the end the model. The same call with
            the same folder goes on where the last one stopped.
        preset: Settings, or "static-retrieval-mrl" (as published), "from-nothing" or "from-model";
            None for ours for what the run starts from.
        roles: Columns of the pairs by role, or in order; None to tell them by their names.
        prompts: Text before anchors ("query") and before all other texts ("document"); the model
            keeps them.
        teacher: Encoder for losses that ask for guides or for a teacher's vectors.
        decontaminator: What it matches is left out of the pairs, and counted.
        vocabulary: Most tokens of a tokenizer that is trained.
        lowercase: Whether such a tokenizer ignores case.
        restart: Whether a run in `out` is given up for a new one.
        epochs: Passes over the pairs.
        steps: Steps instead of epochs.
        batch_size: Pairs in a step.
        lr: Highest learning rate.
        warmup: Share of the steps in which it rises.
        schedule: How it falls.
        weight_decay: As in AdamW.
        clip_norm: Largest norm of a gradient, 0 for any.
        dims: Prefixes of the default loss.
        temperature: Of the default loss.
        directions: Of the default loss.
        start: How rows of a model from nothing begin.
        sampling: How batches are drawn from several sets.
        unique: Whether no text stands twice in a batch.
        alpha: Power of sampling by "temperature".
        seed: Of everything random.
        max_length: Tokens of a text that count in training, 0 for all.
        token_dropout: Share of tokens left out in training.
        token_weights: Whether a factor for each token is trained.
        ema: Decay of the moving average that becomes the model, 0 for none.
        precision: Of the loss's products.
        device: Torch device, as in "cuda".
        evaluate_every: Steps between evaluations, 0 for a tenth of the run.
        patience: Evaluations without a better one before the run stops, 0 for never.
        checkpoint_every: Steps between checkpoints, 0 for by the clock alone.
        checkpoint_minutes: Minutes between checkpoints, 0 for by steps alone.
        show_progress_bar: Whether to show bars, if this is a terminal.

    Raises:
        ValueError: If an argument makes no sense, alone or with the others, or `out` holds a run of
            something else.
        FormatError: If a file is broken.
        RunFailed: If the loss is no number any more, or the disk is full; the last checkpoint in
            `out` stays.
        FileExistsError: If `out` holds something else than a run.
    """
    given = {
        "dim": dim,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "lr": lr,
        "warmup": warmup,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "clip_norm": clip_norm,
        "dims": dims,
        "temperature": temperature,
        "directions": directions,
        "start": start,
        "sampling": sampling,
        "unique": unique,
        "alpha": alpha,
        "seed": seed,
        "max_length": max_length,
        "token_dropout": token_dropout,
        "token_weights": token_weights,
        "ema": ema,
        "precision": precision,
        "device": device,
        "evaluate_every": evaluate_every,
        "patience": patience,
        "checkpoint_every": checkpoint_every,
        "checkpoint_minutes": checkpoint_minutes,
    }
    return run_training(
        pairs,
        Start(init=init, tokenizer=tokenizer, vocabulary=vocabulary, lowercase=lowercase),
        find_preset(preset, has_model=init is not None).with_given(given),
        loss=loss,
        score=score,
        out=out,
        roles=roles,
        prompts=prompts,
        teacher=teacher,
        decontaminator=decontaminator,
        restart=restart,
        show_progress_bar=show_progress_bar,
    ).model


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finished run.

    Attributes:
        model: The model.
        fitted: How the run went.
        reports: What became of the rows of each set.
        settings: Of the run.
        n_left_out: Pairs that each pass over a set leaves out, by its name: texts of theirs stand
            in more pairs than there are batches.
        notes: What was told of the run: doubts before the first step, where it went on from.
    """

    model: StaticModel
    fitted: Fitted
    reports: tuple[SourceReport, ...]
    settings: TrainSettings
    n_left_out: Mapping[str, int]
    notes: tuple[str, ...]


def run_training(
    pairs: Any,
    start: Start,
    settings: TrainSettings,
    *,
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None = None,
    score: Score | None = None,
    out: PathLike | None = None,
    roles: Mapping[str, str] | Sequence[str] | None = None,
    prompts: Mapping[str, str] | None = None,
    teacher: Encoder | None = None,
    decontaminator: TextMatcher | None = None,
    restart: bool = False,
    tell: Callable[[str], None] = logger.warning,
    show_progress_bar: bool = False,
) -> Trained:
    """As `train_static`, of settings made already; returns how it went beside the model.

    What is to be known of a run before its first step, as that it is too short, goes to `tell`.
    """
    notes: list[str] = []

    def say(line: str) -> None:
        notes.append(line)
        tell(line)

    try:
        return _trained(
            pairs,
            start,
            settings,
            loss=loss,
            score=score,
            out=out,
            roles=roles,
            prompts=prompts,
            teacher=teacher,
            decontaminator=decontaminator,
            restart=restart,
            notes=notes,
            say=say,
            show_progress_bar=show_progress_bar,
        )
    finally:
        _kernels.release_memory()


def _trained(
    pairs: Any,
    start: Start,
    settings: TrainSettings,
    *,
    loss: EmbeddingLoss | Mapping[str, EmbeddingLoss] | None,
    score: Score | None,
    out: PathLike | None,
    roles: Mapping[str, str] | Sequence[str] | None,
    prompts: Mapping[str, str] | None,
    teacher: Encoder | None,
    decontaminator: TextMatcher | None,
    restart: bool,
    notes: Sequence[str],
    say: Callable[[str], None],
    show_progress_bar: bool,
) -> Trained:
    """The whole story of a run."""
    init = opened_model(start)
    open_device(settings.device)
    if restart and out is None:
        raise ValueError("restart is True and out is None, expected the folder of the run")
    sources = open_sources(pairs, roles=roles, prompts=prompts)
    dim = settings.dim if init is None else init.dim
    settings = _with_model_dim(settings, init, dim)
    losses = choose_losses(loss, sources, settings, dim)
    check_teacher(losses, sources, teacher)
    try_losses(losses, sources, settings, dim)
    facts = _facts(settings, sources, losses, start, init, prompts, teacher, decontaminator, score)
    with run_folder(out, restart=restart) as (folder, is_kept):
        if is_kept:
            folder.claim(facts)
        like = future_checkpoint(start, init, settings, sources, folder, prompts, show_progress_bar)
        if decontaminator is not None and prompts:
            decontaminator = UnpromptedMatcher(decontaminator, prompts.values())
        tokenizer = Tokenizer(like.tokenizer_json)
        tokenized = TokenizedPairs(
            tokenizer,
            folder,
            max_length=settings.max_length or like.max_length,
            unk_id_dropped=tokenizer.unk_id if like.unknown == "drop" else None,
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
        student = Student(first_table(init, like, settings), settings, vectors=vectors)
        fitted = fit(
            student,
            stream,
            by_stored_name,
            settings,
            encoder_of=lambda tensors: model_of_tensors(tensors, like),
            score=score,
            folder=folder if is_kept else None,
            tell=say,
            show_progress_bar=show_progress_bar,
        )
        licences = {source.name: source.licence for source in sources}
        recipe = _recipe(settings, losses, init, fitted)
        left_out = dict(zip(n_rows, stream.n_left_out_by_source, strict=True))
        data = data_facts(store.reports, licences, left_out)
        like = with_provenance(like, recipe=recipe, data=data)
        model = model_of_tensors(fitted.tensors, like)
        if is_kept:
            with saying_no_room(folder.path):
                model.save_pretrained(folder.path / MODEL_FOLDER)
            folder.write_json(CURVE_FILE, fitted.state.curve.plain())
        return Trained(
            model=model,
            fitted=fitted,
            reports=store.reports,
            settings=settings,
            n_left_out=left_out,
            notes=tuple(notes),
        )


def _with_model_dim(settings: TrainSettings, init: StaticModel | None, dim: int) -> TrainSettings:
    """`settings` for a model of `dim` dims.

    Raises:
        ValueError: If a prefix is longer.
    """
    if settings.dims is not None and max(settings.dims) > dim:
        raise ValueError(
            f"dims {list(settings.dims)}, expected prefixes of at most {dim}: "
            + ("the model has no more" if init is not None else "raise dim")
        )
    return settings.with_given({"dim": dim})


def _facts(
    settings: TrainSettings,
    sources: Sequence[NamedPairs],
    losses: Mapping[str, EmbeddingLoss],
    start: Start,
    init: StaticModel | None,
    prompts: Mapping[str, str] | None,
    teacher: Encoder | None,
    decontaminator: TextMatcher | None,
    score: Score | None,
) -> dict[str, Any]:
    """All that the weights depend on, for the record of the run."""
    begun = {
        "model": None if init is None else init.fingerprint,
        "tokenizer": tokenizer_facts(start),
        "prompts": {**({} if init is None else init.checkpoint.prompts), **(prompts or {})},
    }
    return run_facts(
        settings, sources, losses, begun, teacher=teacher, cleaner=decontaminator, score=score
    )


def _recipe(
    settings: TrainSettings,
    losses: Mapping[str, EmbeddingLoss],
    init: StaticModel | None,
    fitted: Fitted,
) -> dict[str, Any]:
    """How the model was made, for its card."""
    state = fitted.state
    facts = settings.plain()
    different = set(map(describe_loss, losses.values()))
    return {
        "method": "train_static",
        "settings": facts,
        "start": start_facts(init, facts),
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
