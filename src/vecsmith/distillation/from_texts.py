"""A table from texts: a teacher reads them, and the table is fitted to what it says."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vecsmith._progress import progress_bar
from vecsmith._typing import FloatArray
from vecsmith.distillation.from_tokens import MadeTable, forget_unknown
from vecsmith.distillation.reading import TextReader
from vecsmith.distillation.regression.finishing import finish, text_shares
from vecsmith.distillation.regression.fitting import Fit, fit_table
from vecsmith.distillation.settings import DistillSettings, TextSettings
from vecsmith.distillation.teacher_pass import TeacherPass, run_teacher_pass
from vecsmith.distillation.text_source import TextsToRead
from vecsmith.distillation.vocabulary import StudentVocabulary
from vecsmith.distillation.work_folder import WorkFolder
from vecsmith.errors import FormatError
from vecsmith.transformer.teacher import read_frame
from vecsmith.transformer.text_encoder import TextEncoder

if TYPE_CHECKING:
    from vecsmith.training.batching import BatchStream


def read_tokens(
    encoder: TextEncoder,
    student: StudentVocabulary,
    settings: DistillSettings,
    work: WorkFolder,
    *,
    show_progress_bar: bool = False,
) -> FloatArray:
    """The teacher's vectors of the student's tokens alone, as it pools texts, [V, D]."""
    frame = read_frame(encoder.tokenizer_json, settings.prompt)
    facts = {
        "teacher": encoder.fingerprint,
        "frame": [frame.before, frame.after],
        "pooling": settings.pooling,
        "batch_tokens": settings.batch_tokens,
        "sequences": [list(sequence) for sequence in student.sequences],
    }
    teacher = encoder.teacher.framed(frame, settings.pooling)

    def make() -> FloatArray:
        total = len(student.tokens)
        with progress_bar("tokens", total=total, show=show_progress_bar) as advance:
            return teacher.embed(
                student.sequences, batch_tokens=settings.batch_tokens, advance=advance
            )

    return work.isolated(hashlib.sha256(json.dumps(facts).encode()).hexdigest(), make)


def read_texts(
    encoder: TextEncoder,
    student: StudentVocabulary,
    settings: DistillSettings,
    texts: TextsToRead,
    work: WorkFolder,
    *,
    show_progress_bar: bool = False,
) -> TeacherPass:
    """What the teacher says of `texts`, begun or gone on with in the work folder."""
    return run_teacher_pass(
        TextReader(encoder, student, prompt=settings.prompt or ""),
        texts,
        work.pass_folder,
        n_tokens=len(student.tokens),
        total=texts.n_texts,
        show_progress_bar=show_progress_bar,
    )


def table_from_texts(
    passed: TeacherPass,
    isolated: FloatArray,
    student: StudentVocabulary,
    settings: DistillSettings,
    work: WorkFolder,
    *,
    pairs: BatchStream | None = None,
    show_progress_bar: bool = False,
) -> MadeTable:
    """The table fitted to a teacher's pass, and polished on `pairs`.

    Raises:
        FormatError: If a file of the pass is broken.
        RunFailed: If polishing comes to a loss that is no number.
        ValueError: If the texts hold not one token of the student.
    """
    assert settings.texts is not None
    if not passed.n_tokens:
        raise ValueError(
            f"{passed.n_texts} texts hold not one token of the student, expected texts in the "
            "language of the teacher or of the vocabulary"
        )
    if pairs is not None:
        made = _polished(passed, isolated, settings, settings.texts, work, pairs, show_progress_bar)
        made = _finished(made, passed, settings.texts)
    elif settings.texts.objective == "regression":
        made = _regressed(passed, isolated, settings, settings.texts, show_progress_bar)
        made = _finished(made, passed, settings.texts)
    else:
        from vecsmith.distillation.tokenlearn import learn_table

        made = learn_table(
            passed,
            isolated,
            settings.dim,
            settings.texts,
            file=work.learning_file,
            show_progress_bar=show_progress_bar,
        )
    if not np.isfinite(made.rows).all():
        raise FormatError(
            f"{work.path}: the fitted table is not finite, expected numbers; a file of the pass "
            "is broken: delete the folder"
        )
    forget_unknown(made.rows, student, settings)
    return made


def _regressed(
    passed: TeacherPass,
    isolated: FloatArray,
    settings: DistillSettings,
    how: TextSettings,
    show_progress_bar: bool,
) -> MadeTable:
    fit = _fit(passed, isolated, settings, how, show_progress_bar)
    return MadeTable(rows=fit.table, explained=fit.explained)


def _finished(made: MadeTable, passed: TeacherPass, how: TextSettings) -> MadeTable:
    """The table after the last touch, which comes after the polish: it is no part of the fit."""
    regression = how.regression
    rows = finish(
        made.rows,
        text_shares(passed.shards(), len(made.rows)),
        power=regression.element_power,
        shift=regression.mean_shift,
    )
    return replace(made, rows=rows)


def _fit(
    passed: TeacherPass,
    isolated: FloatArray,
    settings: DistillSettings,
    how: TextSettings,
    show_progress_bar: bool,
) -> Fit:
    regression = how.regression
    with progress_bar("fitting", total=regression.n_steps, show=show_progress_bar) as advance:
        return fit_table(passed, isolated, settings.dim, regression, advance=advance)


def _polished(
    passed: TeacherPass,
    isolated: FloatArray,
    settings: DistillSettings,
    how: TextSettings,
    work: WorkFolder,
    pairs: BatchStream,
    show_progress_bar: bool,
) -> MadeTable:
    """The regression's table after a polish; the regression is kept for another one."""
    from vecsmith.distillation.polish import TargetTexts, polish

    assert how.polish is not None
    facts = {"pass": passed.content, "dim": settings.dim, "regression": asdict(how.regression)}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(isolated).data)

    def make() -> dict[str, FloatArray]:
        fit = _fit(passed, isolated, settings, how, show_progress_bar)
        explained = np.array([fit.explained], dtype=np.float32)
        return {"table": fit.table, "rotation": fit.rotation, "explained": explained}

    fit = work.fitted(digest.hexdigest(), make)
    texts = TargetTexts(passed, fit["rotation"], how.polish.seed)
    with progress_bar("polishing", total=how.polish.n_steps, show=show_progress_bar) as advance:
        rows = polish(fit["table"], texts, pairs, how.polish, advance=advance)
    return MadeTable(rows=rows, explained=float(fit["explained"][0]))


def pass_facts(passed: TeacherPass) -> dict[str, Any]:
    """What the teacher read, for the recipe."""
    return {
        "n_texts": passed.n_texts,
        "n_tokens": passed.n_tokens,
        "n_unread": passed.n_unread,
        "n_tokens_seen": int((passed.counts > 0).sum()),
    }
