"""One training run of the command line: what is told before, what is kept after.

The one rule: whatever can be refused is refused before the first text is tokenised.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vecsmith.cli._console import note

if TYPE_CHECKING:
    from vecsmith.corpora.decontamination import Decontaminator
    from vecsmith.model import StaticModel
    from vecsmith.results import EvalResult
    from vecsmith.training.curves import Curve
    from vecsmith.training.losses import EmbeddingLoss
    from vecsmith.training.pair_sources import NamedPairs
    from vecsmith.training.settings import RunSettings
    from vecsmith.training.static import Trained

MINING_FOLDER = "mining"
SCORES_FOLDER = "scores"
_CURVE_STEM = "curve"
_NAMES = (
    "batch_size weight_decay clip_norm max_length token_dropout token_weights evaluate_every "
    "checkpoint_every checkpoint_minutes mini_batch gradient_checkpointing frozen_blocks "
    "final_lr"
).split()
_SHORT_NAMES = (
    "epochs steps lr warmup schedule dims temperature directions sampling alpha seed ema precision "
    "device patience dim vocabulary start teacher roles preset init tokenizer loss "
    "dropout layers pooling tokens"
).split()


def _method_in_options(found: re.Match[str]) -> str:
    """The option that `method 'a'` or `method 'a', 'b' or 'c'` speaks of."""
    return found[0].replace("'", "").replace("method", "--tuning", 1)


# what stands in messages of functions -> what the command calls it
_OPTIONS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"take unique=False and mask equal texts in the loss"), "give --repeats"),
    (re.compile(r"neither init nor tokenizer is given"), "neither --init nor --tokenizer is given"),
    (re.compile(r"expected teacher=\.\.\., an encoder"), "expected --teacher MODEL"),
    (re.compile(r"name it in roles"), "name it in --roles"),
    (re.compile(r"(?<![\w-])method '(\w+)'(, '\w+')*( or '\w+')?"), _method_in_options),
    (re.compile(r"(?<![\w-])raise tokens\b"), "raise --tokens"),
    (re.compile(r"tuning\.method was"), "--tuning was"),
    (re.compile(r"raise dim\b"), "raise --dim"),
    (re.compile(r"choose another folder, or restart it"), "choose another --work, or --restart"),
    (re.compile(r"^out is (?=.*the folder of the model itself)"), "--out "),
    *(
        (re.compile(rf"(?<![\w-]){name}="), f"--{name.replace('_', '-')} ")
        for name in (*_NAMES, *_SHORT_NAMES)
    ),
    *((re.compile(rf"(?<![\w-]){name}\b"), f"--{name.replace('_', '-')}") for name in _NAMES),
    *((re.compile(rf"^{name} (?=['\"\d\[(n-])"), f"--{name} ") for name in _SHORT_NAMES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsJob:
    """What the command line asks for of training on pairs, whatever is trained."""

    pairs: Sequence[tuple[str | None, str]]
    out: Path
    work: Path
    given: Mapping[str, Any]
    losses: Mapping[str | None, str]
    teacher: str | None
    mine: int
    mine_margin: float
    eval_folders: Sequence[Path]
    clean_folders: Sequence[Path]
    roles: Mapping[str, str] | Sequence[str] | None
    where: Mapping[str, str] | None
    split: str | None
    prompts: Mapping[str, str]
    restart: bool
    show_progress_bar: bool
    quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob(PairsJob):
    """What it asks for of training a static model."""

    init: str | None
    tokenizer: Path | Literal["wordpiece", "bpe", "unigram"] | None
    vocabulary: int
    lowercase: bool
    preset: str | None


def finish(job: TrainingJob) -> dict[str, Any]:
    """Trains, scores and writes the model; the facts of it.

    Raises:
        KeyboardInterrupt: Saying what is kept.
    """
    _check_out(job)
    with in_words_of_the_command(job):
        return _finish(job)


@contextmanager
def in_words_of_the_command(job: PairsJob) -> Iterator[None]:
    """Lets messages of functions name options, and an interrupt say what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_what_is_kept(job)) from None
    except (ValueError, TypeError) as error:
        text = in_options(str(error))
        if text == str(error):
            raise
        # not its own class: those of the standard library take other arguments than a message
        raise (TypeError if isinstance(error, TypeError) else ValueError)(text) from error


def in_options(message: str) -> str:
    """`message` of a function with the command's options instead of the function's arguments."""
    for pattern, option in _OPTIONS:
        message = pattern.sub(option, message)
    return message


def _what_is_kept(job: PairsJob) -> str:
    from vecsmith.training.checkpointing import CHECKPOINT_FILE

    if (job.work / CHECKPOINT_FILE).exists():
        return f"the last checkpoint is in {job.work}, the same command goes on from it"
    return f"no step is kept yet; {job.work} has what was read so far, the same command goes on"


def _finish(job: TrainingJob) -> dict[str, Any]:
    """The whole story of one command."""
    from vecsmith.cli._dev_score import DevScore
    from vecsmith.training.presets import find_preset
    from vecsmith.training.start import Start
    from vecsmith.training.static import run_training

    started = time.perf_counter()
    settings = find_preset(job.preset, has_model=job.init is not None).with_given(job.given)
    init = _open_model(job.init)
    sources = open_job_sources(job, job.prompts)
    dim = settings.dim if init is None else init.dim
    losses = named_losses(job, sources, settings, dim)
    teacher = open_teacher(job.teacher)
    tell_sets(sources, losses, settings, dim, quiet=job.quiet)
    score = DevScore(job.eval_folders) if job.eval_folders else None
    cleaner = decontaminator_of(job)
    if job.mine:
        sources = [mined(source, teacher or init, job, job.prompts) for source in sources]
    trained = run_training(
        sources,
        Start(
            init=init,
            tokenizer=job.tokenizer,
            vocabulary=job.vocabulary,
            lowercase=job.lowercase,
        ),
        settings,
        loss=losses,
        score=score,
        out=job.work,
        prompts=job.prompts,
        teacher=teacher if asks_for_teacher(losses) or not job.mine else None,
        decontaminator=cleaner,
        restart=job.restart,
        tell=lambda line: note(in_options(line), quiet=job.quiet),
        show_progress_bar=job.show_progress_bar,
    )
    for report in trained.reports:
        note(str(report), quiet=job.quiet)
    if cleaner is not None:
        tell_contamination(cleaner, job)
    model, result = trained.model, None
    if score is not None:
        dims = prefixes_of(trained.settings, model.dim)
        folder = job.work / SCORES_FOLDER
        result = score.result(model, dims, out=folder, name=job.out.name)
    model = _with_scores(model, result)
    model.save_pretrained(job.out)
    _keep_record(trained, job)
    return _facts(trained, model, result, job, time.perf_counter() - started)


def _check_out(job: TrainingJob) -> None:
    """Refuses at once what could only fail after hours of work, or cost the model begun with."""
    out = job.out
    if job.init is not None and Path(job.init).resolve() == out.resolve():
        raise ValueError(
            f"--out {out}: the folder of --init, which would be replaced, expected another one"
        )
    check_parent(out)
    from vecsmith.formats import check_replaceable

    check_replaceable(out)


def check_parent(out: Path) -> None:
    """Refuses a folder to write of which there is no parent.

    Raises:
        ValueError: Saying so.
    """
    if not out.absolute().parent.is_dir():
        raise ValueError(f"--out {out}: no folder {out.parent}, expected one that exists")


def _open_model(init: str | None) -> StaticModel | None:
    if init is None:
        return None
    from vecsmith.model import StaticModel

    return StaticModel.from_pretrained(init)


def open_teacher(teacher: str | None) -> Any:
    """The encoder of that name, in the type that is fastest here; None for none."""
    if teacher is None:
        return None
    from vecsmith.cli._encoders import open_encoder

    encoder = open_encoder(teacher, compute_dtype="auto", baselines=False)
    if not hasattr(encoder, "encode"):
        raise ValueError(f"--teacher {teacher}: has no vectors, expected a model that encodes")
    return encoder


def open_job_sources(job: PairsJob, prompts: Mapping[str, str]) -> list[NamedPairs]:
    """The sets of pairs, no two of one name, with `prompts` before their texts."""
    from vecsmith.training.pair_sources import open_sources

    sources: list[NamedPairs] = []
    for name, source in job.pairs:
        opened = open_sources(
            [source] if name is None else {name: source},
            roles=job.roles,
            prompts=prompts,
            split=job.split,
            where=job.where,
        )
        taken = {each.name for each in sources}
        for each in opened:
            own, number = each.name, 1
            while own in taken:
                number += 1
                own = f"{each.name} ({number})"
            sources.append(replace(each, name=own))
    return sources


def named_losses(
    job: PairsJob, sources: Sequence[NamedPairs], settings: RunSettings, dim: int
) -> dict[str, EmbeddingLoss] | None:
    """Losses by set, as --loss says; None for the default ones."""
    if not job.losses:
        return None
    from vecsmith.training.loss_choice import named_loss

    names = [source.name for source in sources]
    unknown = [name for name in job.losses if name is not None and name not in names]
    if unknown:
        raise ValueError(f"--loss {unknown[0]}=...: no such set, expected one of {names}")
    chosen = {}
    for name in names:
        asked = job.losses.get(name, job.losses.get(None))
        if asked is not None:
            chosen[name] = named_loss(asked, settings, dim)
    return chosen


def tell_sets(
    sources: Sequence[NamedPairs],
    losses: Mapping[str, EmbeddingLoss] | None,
    settings: RunSettings,
    dim: int,
    *,
    quiet: bool,
) -> None:
    """A line for each set: which columns it is read from, and its loss."""
    from vecsmith.training.checks import name_of_loss
    from vecsmith.training.loss_choice import choose_losses

    chosen = choose_losses(losses, sources, settings, dim)
    for source in sources:
        columns = ", ".join(f"{role}={name}" for role, name in source.corpus.columns.items())
        note(f"{source.name}: {columns}; {name_of_loss(chosen[source.name])}", quiet=quiet)


def asks_for_teacher(losses: Mapping[str, EmbeddingLoss] | None) -> bool:
    """Whether a loss takes a teacher's vectors."""
    from vecsmith.training.loss_choice import asks_teacher

    return any(map(asks_teacher, (losses or {}).values()))


def mined(
    source: NamedPairs, encoder: Any, job: PairsJob, prompts: Mapping[str, str]
) -> NamedPairs:
    """`source` with the hard negatives that `encoder` finds; graded pairs stay as they are."""
    if "score" in source.roles:
        return source
    from vecsmith.training.mining import mine_hard_negatives
    from vecsmith.training.pair_sources import open_sources

    keeps = bool(getattr(encoder, "fingerprint", ""))
    if keeps:
        job.work.mkdir(parents=True, exist_ok=True)
    found = mine_hard_negatives(
        source.corpus,
        encoder,
        n_negatives=job.mine,
        relative_margin=job.mine_margin,
        work=job.work / MINING_FOLDER if keeps else None,
        show_progress_bar=job.show_progress_bar,
    )
    note(f"{source.name}: {found.report}", quiet=job.quiet)
    (opened,) = open_sources({source.name: found.pairs}, prompts=prompts)
    return replace(opened, licence=source.licence)


def decontaminator_of(job: PairsJob) -> Decontaminator | None:
    """What matches texts that are scored; None if none are to be left out."""
    if not job.clean_folders:
        return None
    from vecsmith.cli._dev_score import scored_texts
    from vecsmith.corpora.decontamination import Decontaminator

    folders = list(dict.fromkeys(job.clean_folders))
    return Decontaminator(scored_texts(folders))


def tell_contamination(cleaner: Decontaminator, job: PairsJob) -> None:
    """A line on the texts that were left out, and some examples."""
    report = cleaner.report
    if not report.n_checked:  # the pairs had been tokenised by an earlier run
        return
    note(report.line(), quiet=job.quiet)
    for example in report.examples[:3]:
        kind = "equal to" if example.is_equal else "near"
        note(f"  {example.text!r} is {kind} {example.evaluation_text!r}", quiet=job.quiet)


def prefixes_of(settings: RunSettings, dim: int) -> list[int]:
    """The prefixes that are trained, the whole vector first."""
    from vecsmith.training.prefixes import halved_prefixes

    asked = settings.dims or tuple(halved_prefixes(dim))
    return sorted({dim, *asked}, reverse=True)


def _with_scores(model: StaticModel, result: EvalResult | None) -> StaticModel:
    """`model` with its scores for the card."""
    if result is None:
        return model
    from vecsmith.cli._dev_score import scores_for_card
    from vecsmith.model import StaticModel

    config = dict(model.checkpoint.config)
    config["vecsmith"] = {**config["vecsmith"], "scores": scores_for_card(result)}
    return StaticModel(replace(model.checkpoint, config=config))


def _keep_record(trained: Trained, job: TrainingJob) -> None:
    """Leaves the curve and the scores in the folder of the run, and takes the rest away."""
    from vecsmith.training.checkpointing import RunFolder

    state = trained.fitted.state
    draw_curve(state.curve, job, state.best_step)
    RunFolder(job.work).close_run()
    shutil.rmtree(job.work / MINING_FOLDER, ignore_errors=True)


def draw_curve(curve: Curve, job: PairsJob, best_step: int | None) -> None:
    """Draws the learning curve, if matplotlib is there."""
    from vecsmith._files import atomic_file
    from vecsmith.errors import MissingExtraError
    from vecsmith.reporting.pictures.drawing import png_bytes, svg_bytes
    from vecsmith.reporting.pictures.learning import learning_figure

    names = {name for point in curve.points for name in point.loss}
    losses = {
        name: [(p.step, p.loss[name]) for p in curve.points if name in p.loss]
        for name in sorted(names)
    }
    try:
        figure = learning_figure(
            losses,
            [(each.step, each.score) for each in curve.evaluations],
            title=f"Training of {job.out.name}",
            best_step=best_step,
        )
    except MissingExtraError as error:
        note(f"no picture of the curve: {error}", quiet=job.quiet)
        return
    if figure is None:
        return
    for kind, content in (("png", png_bytes(figure)), ("svg", svg_bytes(figure))):
        with atomic_file(job.work / f"{_CURVE_STEM}.{kind}") as file:
            file.write(content)


def _facts(
    trained: Trained,
    model: StaticModel,
    result: EvalResult | None,
    job: TrainingJob,
    seconds: float,
) -> dict[str, Any]:
    state, fitted = trained.fitted.state, trained.fitted
    ours = model.checkpoint.config["vecsmith"]
    return {
        "out": str(job.out),
        "work": str(job.work),
        "dim": model.dim,
        "vocabulary": model.checkpoint.n_tokens,
        "bytes": sum(path.stat().st_size for path in job.out.rglob("*") if path.is_file()),
        "steps": {"planned": fitted.n_steps, "done": state.step, "kept": state.best_step},
        "pairs": sum(report.n_kept for report in trained.reports),
        "data": ours["data"],
        "score": None if state.best_step is None else state.best_score,
        "score_at_start": state.curve.score_at_start(),
        "left_out_of_each_pass": dict(trained.n_left_out),
        "notes": [in_options(line) for line in trained.notes],
        "scores": ours.get("scores", []),
        "groups": {} if result is None else {name: result.average(name) for name in result.groups},
        "examples_per_second": state.n_examples / max(state.seconds, 1e-9),
        "settings": trained.settings.plain(),
        "seconds": seconds,
    }
