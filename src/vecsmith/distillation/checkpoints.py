"""A teacher and settings -> the student as plain values."""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vecsmith._progress import progress_bar
from vecsmith._typing import PathLike
from vecsmith.compression import quantize_rows
from vecsmith.distillation.from_texts import pass_facts, read_texts, read_tokens, table_from_texts
from vecsmith.distillation.from_tokens import MadeTable, table_from_tokens
from vecsmith.distillation.lexical_tail import lexical_tail
from vecsmith.distillation.recipe import card_of, describe_counts, library_versions, plain
from vecsmith.distillation.reduction import check_dim
from vecsmith.distillation.settings import DistillSettings
from vecsmith.distillation.text_source import TextsToRead
from vecsmith.distillation.vocabulary import StudentVocabulary, build_vocabulary
from vecsmith.distillation.weighting import CountSource
from vecsmith.distillation.words import WordSource, read_words
from vecsmith.distillation.work_folder import WorkFolder
from vecsmith.formats.checkpoint import Checkpoint
from vecsmith.tokenizer import Tokenizer
from vecsmith.transformer.source import (
    TeacherSettings,
    TeacherSource,
    describe,
    find_teacher,
    read_settings,
    weights_digest,
)
from vecsmith.transformer.teacher import Teacher, read_frame
from vecsmith.transformer.text_encoder import TextEncoder

if TYPE_CHECKING:
    from vecsmith.distillation.pair_source import PairsToPolish
    from vecsmith.training.batching import BatchStream
    from vecsmith.training.token_store import TokenStore

logger = logging.getLogger(__name__)

_N_SPECIALS = 2
# What is told where there is no text; the figures are in the guide
WITHOUT_TEXTS = (
    "no texts: the table is made of the tokens alone; with texts (a few hundred thousand "
    "sentences, best of your own kind) it is fitted to the teacher's vectors of them and keeps "
    "more of the teacher"
)


def distill_checkpoint(
    teacher: PathLike,
    settings: DistillSettings,
    *,
    vocabulary: WordSource | None = None,
    counts: CountSource | None = None,
    texts: TextsToRead | None = None,
    pairs: PairsToPolish | None = None,
    work: PathLike | None = None,
    revision: str | None = None,
    token: str | None = None,
    trust_remote_code: bool = False,
    show_progress_bar: bool | None = None,
) -> Checkpoint:
    """The student of a `teacher` as plain values; `distill` describes the arguments and errors."""
    started = time.perf_counter()
    _check_together(settings, vocabulary, counts, texts, pairs)
    words = [] if vocabulary is None else read_words(vocabulary)
    source = find_teacher(teacher, revision=revision, token=token)
    logger.info(describe(source))
    said = read_settings(source, trust_remote_code=trust_remote_code)
    settings = replace(settings, prompt=_choose_prompt(said, settings))
    show = show_progress_bar is not False
    job = _Job(source, said, settings, words, trust_remote_code, show)
    if texts is None:
        logger.info(WITHOUT_TEXTS)
        made = _from_tokens(job, counts)
    else:
        with _work_folder(work) as name:
            folder = WorkFolder(Path(name))
            with folder.held():
                made = _from_texts(job, texts, pairs, folder)
    rows = made.table.rows
    if settings.lexical_dims:
        rows = lexical_tail(rows, settings.lexical_dims, scale=settings.lexical_scale)
    stored, weights = quantize_rows(rows, settings.dtype)
    recipe = {
        "settings": asdict(settings) | made.used,
        "teacher": {
            "name": source.name,
            "found": source.found,
            "revision": source.revision,
            "dim": made.teacher_dim,
            "sha256": weights_digest(source),
            "license": said.card.get("license"),
        },
        "vocabulary": {
            "n_tokens": len(made.student.tokens),
            "n_teacher_tokens": made.student.n_teacher,
            "report": asdict(made.student.report),
        },
        "counts": describe_counts(counts),
        "explained_variance": round(made.table.explained, 6),
        "versions": library_versions(),
    }
    if made.texts is None:
        recipe["seconds"] = round(time.perf_counter() - started, 3)
    else:  # no seconds: a run that was stopped gives the files of one that was not
        recipe["texts"] = made.texts
    ours = {"recipe": plain(recipe)}
    if made.pairs is not None:
        ours["data"] = plain(made.pairs)
    return Checkpoint(
        table=stored,
        weights=weights,
        tokenizer_json=made.student.tokenizer_json,
        normalize=True,
        unknown="drop",
        max_length=None,
        config={
            "tokenizer_name": source.name,
            "apply_pca": settings.dim,
            "sif_coefficient": (None if settings.weighting == "none" else settings.sif_coefficient),
            "pooling": made.used["pooling"],
            "vecsmith": ours,
        },
        card=card_of(source, said.card),
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What both ways of making a table begin with."""

    source: TeacherSource
    said: TeacherSettings
    settings: DistillSettings
    words: list[tuple[str, float | None]]
    trust_remote_code: bool
    show: bool

    def vocabulary(self, n_rows: int | None) -> StudentVocabulary:
        """The student's tokens, given the rows of the teacher's input table."""
        student = build_vocabulary(
            self.said.tokenizer_json,
            self.words,
            mode=self.settings.vocabulary_mode,
            token_remove_pattern=self.settings.token_remove_pattern,
            special=self.said.special,
            n_rows=n_rows,
            max_tokens=self.said.max_tokens - _N_SPECIALS,
            as_model2vec=self.settings.compatible is not None,
            source=str(self.source.folder / "tokenizer.json"),
        )
        if student.report.n_given:
            logger.info("vocabulary: %s", student.report)
        return student


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A table, and what the recipe says of it."""

    table: MadeTable
    student: StudentVocabulary
    teacher_dim: int
    used: dict[str, Any]
    texts: dict[str, Any] | None = None
    pairs: list[dict[str, Any]] | None = None


def _from_tokens(job: _Job, counts: CountSource | None) -> _Made:
    """The student made of the teacher's vectors of its tokens."""
    settings = job.settings
    model = Teacher(
        job.source,
        frame=read_frame(job.said.tokenizer_json, settings.prompt),
        device=settings.device,
        compute_dtype="float32" if _is_exact(settings) else settings.compute_dtype,
        pooling=settings.pooling or ("mean" if settings.compatible else None),
        use_modules=settings.compatible is None,
        trust_remote_code=job.trust_remote_code,
    )
    student = job.vocabulary(model.n_rows)
    if settings.dim is not None:  # before the long pass, not after it
        check_dim(settings.dim, model.dim - settings.remove_components, len(student.tokens))
    with progress_bar("tokens", total=len(student.tokens), show=job.show) as advance:
        vectors = model.embed(
            student.sequences, batch_tokens=settings.batch_tokens, advance=advance
        )
    used = {"compute_dtype": model.compute_dtype, "pooling": model.pooling}
    del model  # its memory is free before the reduction asks for some
    return _Made(
        table=table_from_tokens(vectors, student, settings, counts),
        student=student,
        teacher_dim=vectors.shape[1],
        used=used,
    )


def _from_texts(
    job: _Job, texts: TextsToRead, pairs: PairsToPolish | None, work: WorkFolder
) -> _Made:
    """The student fitted to the teacher's vectors of texts, and polished on pairs."""
    settings = job.settings
    assert settings.texts is not None
    encoder = TextEncoder(
        job.source,
        device=settings.device,
        compute_dtype=settings.compute_dtype,
        max_length=min(settings.texts.max_length, job.said.max_length or 2**31),
        pooling=None if settings.pooling == "balanced" else settings.pooling,
        trust_remote_code=job.trust_remote_code,
    )
    student = job.vocabulary(encoder.teacher.n_rows)
    if settings.dim is not None:
        check_dim(settings.dim, encoder.dim)
    # before the long pass: what is wrong with the pairs is said at once
    store = None if pairs is None else _pair_tokens(pairs, student, settings, work, job.show)
    isolated = read_tokens(encoder, student, settings, work, show_progress_bar=job.show)
    passed = read_texts(encoder, student, settings, texts, work, show_progress_bar=job.show)
    logger.info(texts.line())
    if passed.n_unread:
        logger.warning("%d texts have no finite vector and are left out", passed.n_unread)
    used = {
        "compute_dtype": encoder.compute_dtype,
        "pooling": settings.pooling or "+".join(encoder.teacher.head.modes),
    }
    del encoder  # its memory is free before the fitting asks for some
    table = table_from_texts(
        passed,
        isolated,
        student,
        settings,
        work,
        pairs=_pair_batches(store, settings),
        show_progress_bar=job.show,
    )
    return _Made(
        table=table,
        student=student,
        teacher_dim=passed.dim,
        used=used,
        texts=texts.facts() | {"pass": pass_facts(passed)},
        pairs=None if pairs is None or store is None else pairs.facts(store),
    )


def _pair_tokens(
    pairs: PairsToPolish,
    student: StudentVocabulary,
    settings: DistillSettings,
    work: WorkFolder,
    show_progress_bar: bool,
) -> TokenStore:
    """The pairs as the student's tokens."""
    assert settings.texts is not None
    assert settings.texts.polish is not None
    tokenizer = Tokenizer(student.tokenizer_json)
    polish = settings.texts.polish
    folder = work.pairs_folder(pairs.fingerprint(tokenizer, polish))
    store = pairs.tokens(tokenizer, polish, folder, show_progress_bar=show_progress_bar)
    for report in store.reports:
        logger.info("pairs of %s", report)
    return store


def _pair_batches(store: TokenStore | None, settings: DistillSettings) -> BatchStream | None:
    if store is None:
        return None
    from vecsmith.distillation.pair_source import polish_batches

    assert settings.texts is not None
    assert settings.texts.polish is not None
    return polish_batches(store, settings.texts.polish)


def _work_folder(work: PathLike | None) -> AbstractContextManager[PathLike]:
    """The folder asked for, or one that is gone at the end."""
    if work is not None:
        return nullcontext(work)
    return tempfile.TemporaryDirectory(prefix="vecsmith-distill-")


def _check_together(
    settings: DistillSettings,
    vocabulary: WordSource | None,
    counts: CountSource | None,
    texts: TextsToRead | None,
    pairs: PairsToPolish | None,
) -> None:
    """Raises ValueError for settings that need, or do not use, what is given with them."""
    if (pairs is None) != (settings.texts is None or settings.texts.polish is None):
        raise ValueError("pairs and settings of a polish, expected both or neither")
    if (texts is None) != (settings.texts is None):
        raise ValueError("texts and settings for texts, expected both or neither")
    if texts is not None and counts is not None:
        raise ValueError("counts with texts, expected one of both: the texts are counted")
    if settings.weighting == "sif" and counts is None and texts is None:
        raise ValueError(
            "weighting 'sif' needs counts, expected texts, a file, words with counts or 'wordfreq'"
        )
    if counts is not None and settings.weighting != "sif":
        raise ValueError(f"weighting {settings.weighting!r} uses no counts, expected 'sif'")
    if settings.vocabulary_mode != "subword" and vocabulary is None:
        raise ValueError(
            f"vocabulary_mode {settings.vocabulary_mode!r} needs a vocabulary, expected words"
        )
    if settings.vocabulary_mode == "subword" and vocabulary is not None:
        raise ValueError("vocabulary_mode 'subword' uses no vocabulary, expected 'both' or 'word'")


def _is_exact(settings: DistillSettings) -> bool:
    """Whether the teacher must run in float32: another library's vectors are to come out."""
    return settings.compatible is not None and settings.compute_dtype == "auto"


def _choose_prompt(said: TeacherSettings, settings: DistillSettings) -> str | None:
    """The text before each token: as asked, else the teacher's default."""
    name = settings.prompt_name
    if settings.prompt is not None:
        if name is not None:
            raise ValueError("prompt and prompt_name are both given, expected one of them")
        return settings.prompt or None
    if name is None and settings.compatible is None:
        name = said.default_prompt_name
    if name is None:
        return None
    if name not in said.prompts:
        raise ValueError(
            f"prompt_name {name!r}, the teacher has {sorted(said.prompts)}, "
            "expected one of them, or prompt= with a text"
        )
    return said.prompts[name] or None
