"""One run of `vecsmith train transformer`: what is told before, what is kept after.

The one rule: whatever can be refused is refused before the first text is tokenised.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vecsmith.cli._console import note
from vecsmith.cli._training import (
    MINING_FOLDER,
    SCORES_FOLDER,
    PairsJob,
    asks_for_teacher,
    check_parent,
    decontaminator_of,
    draw_curve,
    in_options,
    in_words_of_the_command,
    mined,
    named_losses,
    open_job_sources,
    open_teacher,
    prefixes_of,
    tell_contamination,
    tell_sets,
)

if TYPE_CHECKING:
    from vecsmith._typing import Encoder
    from vecsmith.training.transformer_result import TrainedTransformer


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerJob(PairsJob):
    """What the command line asks for of training a transformer."""

    base: str
    layers: str | Sequence[int] | None
    pooling: Literal["mean", "cls", "last", "max"] | None
    precision: Literal["auto", "float32", "bfloat16"]
    trust_remote_code: bool
    is_first: bool


def finish_transformer(job: TransformerJob) -> dict[str, Any]:
    """Trains, scores and writes the transformer; the facts of it.

    Raises:
        KeyboardInterrupt: Saying what is kept.
    """
    check_parent(job.out)
    with in_words_of_the_command(job):
        return _finish(job)


def _finish(job: TransformerJob) -> dict[str, Any]:
    """The whole story of one command."""
    from vecsmith.cli._dev_score import DevScore, scores_for_card
    from vecsmith.training.settings import TransformerSettings
    from vecsmith.training.transformer import run_transformer_training
    from vecsmith.training.transformer_base import chosen_device, chosen_precision, open_base
    from vecsmith.transformer.saving import check_encoder_folder

    started = time.perf_counter()
    device = chosen_device(job.given.get("device"))
    precision = chosen_precision(job.precision, device)
    settings = TransformerSettings().with_given(
        {**job.given, "device": device, "precision": precision}
    )
    base = open_base(
        job.base, settings, pooling=job.pooling, trust_remote_code=job.trust_remote_code
    )
    check_encoder_folder(job.out, base.source)
    prompts = {**base.said.prompts, **job.prompts}
    sources = open_job_sources(job, prompts)
    losses = named_losses(job, sources, settings, base.encoder.dim)
    teacher = open_teacher(job.teacher)
    tell_sets(sources, losses, settings, base.encoder.dim, quiet=job.quiet)
    score = DevScore(job.eval_folders) if job.eval_folders else None
    cleaner = decontaminator_of(job)
    if job.mine:
        miner = teacher or open_teacher(job.base)
        sources = [mined(source, miner, job, prompts) for source in sources]
    results = []

    def scores_of(encoder: Encoder) -> Sequence[Mapping[str, Any]]:
        assert score is not None
        dims = prefixes_of(settings, base.encoder.dim)
        results.append(score.result(encoder, dims, out=job.work / SCORES_FOLDER, name=job.out.name))
        return scores_for_card(results[0])

    trained = run_transformer_training(
        sources,
        base,
        settings,
        out=job.out,
        work=job.work,
        layers=job.layers,  # type: ignore[arg-type]  # a name is checked where it is used
        loss=losses,
        score=score,
        prompts=prompts,
        teacher=teacher if asks_for_teacher(losses) or not job.mine else None,
        decontaminator=cleaner,
        restart=job.restart,
        scores_of=None if score is None else scores_of,
        tell=lambda line: note(in_options(line), quiet=job.quiet),
        show_progress_bar=job.show_progress_bar,
    )
    for report in trained.reports:
        note(str(report), quiet=job.quiet)
    if cleaner is not None:
        tell_contamination(cleaner, job)
    if job.is_first:
        draw_curve(trained.fitted.state.curve, job, trained.fitted.state.best_step)
        shutil.rmtree(job.work / MINING_FOLDER, ignore_errors=True)
    facts = _facts(trained, job, time.perf_counter() - started)
    groups = {name: results[0].average(name) for name in results[0].groups} if results else {}
    return {**facts, "groups": groups, "layers": base.encoder.n_layers}


def _facts(trained: TrainedTransformer, job: TransformerJob, seconds: float) -> dict[str, Any]:
    state, fitted = trained.fitted.state, trained.fitted
    return {
        "out": str(job.out),
        "work": str(job.work),
        "dim": trained.encoder.dim,
        "bytes": sum(path.stat().st_size for path in _files(job.out)),
        "steps": {"planned": fitted.n_steps, "done": state.step, "kept": state.best_step},
        "tokens": trained.n_tokens,
        "weights": trained.provenance["recipe"]["weights"],
        "pairs": sum(report.n_kept for report in trained.reports),
        "data": trained.provenance["data"],
        "score": None if state.best_step is None else state.best_score,
        "score_at_start": state.curve.score_at_start(),
        "left_out_of_each_pass": dict(trained.n_left_out),
        "notes": [in_options(line) for line in trained.notes],
        "scores": trained.provenance.get("scores", []),
        "examples_per_second": state.n_examples / max(state.seconds, 1e-9),
        "settings": trained.settings.plain(),
        "seconds": seconds,
    }


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
