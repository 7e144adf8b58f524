"""A table from the tokens alone: each goes through the teacher once, and no text is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vecsmith._extras import require
from vecsmith._typing import FloatArray
from vecsmith.distillation.reduction import reduce
from vecsmith.distillation.settings import DistillSettings
from vecsmith.distillation.vocabulary import StudentVocabulary
from vecsmith.distillation.weighting import (
    CountSource,
    count_probabilities,
    place_words,
    rank_probabilities,
    token_counts,
    token_weights,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeTable:
    """A table before it is stored.

    Attributes:
        rows: float32 [V, K].
        explained: Share of variance, or of the size of uncentred targets, that K dimensions keep.
    """

    rows: FloatArray
    explained: float


def table_from_tokens(
    vectors: NDArray[np.float32],
    student: StudentVocabulary,
    settings: DistillSettings,
    counts: CountSource | None,
) -> MadeTable:
    """Reduced and weighted rows of the tokens' `vectors`, [V, D]."""
    reduction = reduce(
        vectors,
        settings.dim,
        whitening=settings.whitening,
        remove_components=settings.remove_components,
        fit_rows=_rows_to_fit(student, settings),
    )
    probabilities = _probabilities(student, settings, counts)
    weights = token_weights(settings.weighting, probabilities, settings.sif_coefficient)
    rows = reduction.table * weights[:, None].astype(np.float32)
    forget_unknown(rows, student, settings)
    return MadeTable(rows=rows, explained=reduction.explained)


def forget_unknown(rows: FloatArray, student: StudentVocabulary, settings: DistillSettings) -> None:
    """Makes the unknown token of a word model nothing: it stands for all words that are not in."""
    if settings.vocabulary_mode == "word" and student.unk_id is not None:
        rows[student.unk_id] = 0


def _probabilities(
    student: StudentVocabulary, settings: DistillSettings, counts: CountSource | None
) -> NDArray[np.float64]:
    """Probability of each of the student's tokens."""
    n_tokens = len(student.tokens)
    if settings.compatible:
        return rank_probabilities(n_tokens)
    if settings.weighting == "sif" and counts is not None:
        tokenizers = require("tokenizers", extra="distill", purpose="count tokens")
        tokenizer = tokenizers.Tokenizer.from_str(student.tokenizer_json)
        return count_probabilities(
            token_counts(counts, tokenizer, n_tokens, language=settings.language)
        )
    word_counts = student.word_counts
    known_counts = student.known_counts
    return place_words(n_tokens, student.n_teacher, word_counts, known_counts)


def _rows_to_fit(student: StudentVocabulary, settings: DistillSettings) -> NDArray[np.bool_] | None:
    """Rows that say something about the vocabulary: all but the unknown token of a word model."""
    if settings.vocabulary_mode != "word" or student.unk_id is None:
        return None
    rows = np.ones(len(student.tokens), dtype=np.bool_)
    rows[student.unk_id] = False
    return rows
